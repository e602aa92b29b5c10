"""Following the log, weir-capture alone against mssqld: what lies in the change rings."""

import json
import random

import source
from pipeline import ROOT, Pipeline, wait_until
from test_capture import dump, enable, make_database, wait_for  # noqa: F401

SEED = 20261122


def capture_statistics(p):
    status = json.loads(p.weirctl("status", p.task_file, "--json").stdout)
    return next(s for s in status["stages"] if s["name"] == "capture")


def changes_of(p):
    return [c for c in dump(p) if c.operation in ("insert", "update", "delete")]


def started(p):
    """A task whose tables are announced: what comes now comes from the log."""
    p.capture.start()
    wait_until(lambda: any(c.operation == "create-table" for c in dump(p)), 30, "the tables")
    return p


def die_at(p, point, count):
    """One life of capture, which ends when it comes to a crash point for the count-th time."""
    p.environment["WEIR_CRASH"] = f"{point}:{count}"
    p.capture.start()
    del p.environment["WEIR_CRASH"]


def test_killed_inside_one_transaction(mssqld):
    """Rows of two tables change in one transaction while capture dies again and again: no row twice,
    none missing, numbers as if nothing had happened, and nothing read a second time."""
    make_database(mssqld, ["CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, v nvarchar(20))",
                           "CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY, v nvarchar(20))"], ["a", "b"])
    rng = random.Random(SEED)
    rows = 1000
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc",
                  weir={"ChangeRingSize": "16MiB"}) as p:
        p.capture.build = ROOT / "build/test"
        started(p)
        p.capture.kill()
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "BEGIN TRANSACTION")
            for t in "ab":
                for start in range(0, rows, 500):
                    source.execute(c, f"INSERT INTO dbo.{t} VALUES " + ", ".join(
                        f"({i}, N'x{i}')" for i in range(start, start + 500)))
            n = 2 * rows
            for _ in range(3):
                source.execute(c, f"INSERT INTO dbo.a SELECT id + {n}, v FROM dbo.a")
                source.execute(c, "UPDATE dbo.b SET v = v + N'y'")
                n *= 2
            source.execute(c, f"DELETE FROM dbo.a WHERE id >= {rows}")
            source.execute(c, "COMMIT")
        expected = 2 * rows + 7 * rows + 3 * rows + 7 * rows
        for _ in range(8):
            die_at(p, rng.choice(["capture.published", "capture.before-publish"]), rng.randint(2, 9))
            assert p.capture.wait() == -9
        given = changes_of(p)
        assert 2000 < len(given) < expected - 2000
        p.capture.start()
        changes = wait_for(p, expected)
        assert len(changes) == expected
        counters = capture_statistics(p)["counters"]
        assert counters["skipped"]["value"] == 0
        assert counters["rows_in"]["value"] == expected - len(given)
        assert [c.number for c in changes] == list(range(1, expected + 1))
        positions = [c.position for c in changes]
        assert positions == sorted(set(positions))
        assert len({c.transaction for c in changes}) == 1
        assert p.capture.stop() == 0
