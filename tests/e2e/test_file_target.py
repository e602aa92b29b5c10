"""TargetEndpoint.EngineName file: the same messages, as newline-delimited JSON in a directory."""

import collections
import json
import os
import random
import resource
import signal

import pytest
from kinesis_server import wait_until
from pipeline import Pipeline
from source import connect, execute, rows
from test_shipper import FAULT_BUILD, SEED, Fed


class Files(Fed):
    """A fed shipper that writes files."""

    def __init__(self, **settings):
        build = settings.pop("build", FAULT_BUILD)
        shippers = settings.pop("shippers", 1)
        super().__init__("http://127.0.0.1:1", build=build, shippers=shippers)
        self.out = self.directory / "out"
        self.task["TargetEndpoint"]["EngineName"] = "file"
        self.task["TargetEndpoint"]["FileSettings"] = {"Directory": str(self.out), **settings}
        del self.task["TargetEndpoint"]["KinesisSettings"]["StreamArn"]
        self.write_task()

    def names(self):
        return sorted(p.name for p in self.out.iterdir()) if self.out.exists() else []

    def lines(self):
        """(shipper, line) in the order of writing, file after file; whole lines only."""
        for name in self.names():
            data = (self.out / name).read_bytes()
            assert data.endswith(b"\n") or name.endswith(".part") or not data
            for line in data.splitlines():
                yield name.split(".")[1], line


def judge_files(fed, records):
    """Complete and in order per key; returns the number of repeats."""
    seen = collections.Counter()
    there = set()
    repeats = 0
    for _, line in fed.lines():
        message = json.loads(line)
        key = message["key"]
        assert message["n"] <= seen[key], f"{key}: {message['n']} came, {seen[key]} was due"
        repeats += message["n"] < seen[key]
        seen[key] = max(seen[key], message["n"] + 1)
        there.add(message["i"])
    assert there == set(range(records))
    return repeats


@pytest.mark.parametrize("shippers", [1, 2])
def test_everything_is_in_the_files_once_and_in_order(shippers):
    with Files(MaxFileSize="1MiB", shippers=shippers) as fed:
        fed.feed(20000, 500).ship_all()
        fed.wait_drained()
        for i in range(shippers):
            wait_until(lambda: fed.checkpoint(i) == 20000, 10, f"checkpoint of shipper {i}")
            assert fed.stop(i) == 0
        assert judge_files(fed, 20000) == 0
        names = fed.names()
        assert not [n for n in names if n.endswith(".part")], "a stop ends the file"
        assert len(names) >= 5, f"no rotation: {names}"
        for i in range(shippers):
            numbers = [int(n.split(".")[2]) for n in names if n.startswith(f"fed.{i}.")]
            assert numbers == list(range(1, len(numbers) + 1))
        sizes = [(fed.out / n).stat().st_size for n in names]
        assert max(sizes) < 3 << 20, f"a request beyond the limit is the most: {sizes}"


def test_killed_at_random():
    rng = random.Random(SEED)
    with Files(MaxFileSize="256KiB") as fed:
        fed.feed(30000, 300, rate=10000).ship()
        for _ in range(6):
            at = fed.checkpoint() + rng.randrange(500, 4000)
            wait_until(lambda: fed.checkpoint() >= min(at, 29000), 20, "progress")
            fed.kill()
            fed.ship()
        fed.wait_drained()
        assert fed.stop() == 0
        judge_files(fed, 30000)


@pytest.mark.parametrize("point", ["file-target-written", "file-target-synced",
                                   "shipper-answer-before", "shipper-release-before"])
def test_killed_at(point):
    with Files(MaxFileSize="64KiB") as fed:
        fed.feed(3000, 50)
        assert fed.ship(WEIR_CRASH=f"{point}:3").wait(20) != 0
        fed.ship()
        fed.wait_drained()
        judge_files(fed, 3000)


def test_a_torn_line_is_cut():
    with Files() as fed:
        fed.feed(2000, 50, rate=2000).ship()
        wait_until(lambda: fed.names(), 20, "a file")
        fed.kill()
        part = fed.out / fed.names()[-1]
        with open(part, "ab") as f:
            f.write(b'{"key":"key-1","n":')
        fed.ship()
        fed.wait_drained()
        assert "file-cut" in fed.log()
        judge_files(fed, 2000)


def test_a_full_disk_holds_and_loses_nothing():
    """The shipper may write 300 KB a file until somebody makes room."""
    with Files() as fed:
        # With the signal ignored, a write beyond the limit fails as on a full disk.
        fed.popen = {"restore_signals": False,
                     "preexec_fn": lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN)}
        fed.feed(6000, 50, rate=3000)
        shipper = fed.ship()
        fed.wait_log("ready")
        resource.prlimit(shipper.pid, resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        fed.wait_log("request-not-sent")
        assert shipper.poll() is None
        held = sum((fed.out / n).stat().st_size for n in fed.names())
        assert held <= 300_000
        resource.prlimit(shipper.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        fed.wait_drained()
        assert judge_files(fed, 6000) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written():
    with Files() as fed:
        fed.out.mkdir(mode=0o500)
        fed.feed(10, 1)
        assert fed.ship().wait(20) == 78


def test_file_in_place_of_the_directory():
    with Files() as fed:
        fed.out.write_text("not a directory")
        fed.feed(10, 1)
        assert fed.ship().wait(20) == 78
        assert "is not a directory" in fed.log()


@pytest.mark.parametrize("change, complaint", [
    (lambda t: t["FileSettings"].pop("Directory"), "Directory is missing"),
    (lambda t: t["KinesisSettings"].update(MessageFormat="json"), "must be json-unformatted"),
    (lambda t: t["FileSettings"].update(MaxFileSize=10), r"\$.TargetEndpoint.FileSettings.MaxFileSize"),
    (lambda t: t.update(EngineName="s3"), r"\$.TargetEndpoint.EngineName"),
])
def test_bad_settings(change, complaint):
    with Files() as fed:
        change(fed.task["TargetEndpoint"])
        fed.write_task()
        assert fed.ship().wait(20) == 78
        fed.wait_log(complaint)


def test_from_the_database_to_files(mssqld):
    """The whole pipeline without any AWS: what the files say is what the table holds."""
    with connect(mssqld, "master") as master:
        execute(master, "CREATE DATABASE files")
    with connect(mssqld, "files") as db:
        execute(db, "EXEC sys.sp_cdc_enable_db")
        execute(db, "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(40))")
        execute(db, "EXEC sys.sp_cdc_enable_table N'dbo', N't', NULL")
        for i in range(50):
            execute(db, f"INSERT dbo.t VALUES ({i}, N'v{i}')")
        with Pipeline(mssqld, None, database="files", tables=("dbo.t",)) as p:
            out = p.directory / "out"
            p.task["TargetEndpoint"]["EngineName"] = "file"
            p.task["TargetEndpoint"]["FileSettings"] = {"Directory": str(out)}
            p.write_task()
            check = p.weirctl("check", str(p.task_file))
            assert "FileSettings.Directory" in check.stdout and check.returncode == 0, check.stdout
            p.start()

            def folded():
                state = {}
                for path in sorted(out.glob("*.ndjson*")) if out.exists() else []:
                    for line in path.read_text().splitlines():
                        message = json.loads(line)
                        kind = message["metadata"]["operation"]
                        if message["metadata"]["record-type"] != "data":
                            continue
                        if kind == "delete":
                            state.pop(message["data"]["id"], None)
                        else:
                            state[message["data"]["id"]] = message["data"]["v"]
                return state

            wait_until(lambda: len(folded()) == 50, 30, "the load")
            execute(db, "UPDATE dbo.t SET v = N'new' WHERE id < 10")
            execute(db, "DELETE dbo.t WHERE id >= 40")
            want = {r["id"]: r["v"] for r in rows(db, "dbo.t")}
            wait_until(lambda: folded() == want, 30, "the changes")
            tail = p.weirctl("tail", str(p.task_file))
            assert tail.returncode == 2 and str(out) in tail.stderr
