"""What the wire does to weir-capture: connections cut at every byte, slow and silent servers,
answers that lie about lengths, routing, transient refusals.  Whatever happens, nothing is lost,
nothing hangs, and the log says what happened."""

import concurrent.futures
import os
import random
import re
import socket
import subprocess
import time

import pytest

import source
from pipeline import Pipeline, wait_until
from servers import Mssqld
from test_capture import dump, enable, make_database, wait_for

SOAK = "WEIR_SOAK" in os.environ
ROWS = 5


class Wire(Mssqld):
    """mssqld with a fault file."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.fault_file = self.root / "faults"
        self.options += ["--fault-file", str(self.fault_file)]
        self.generation = 0

    def faults(self, *lines):
        """From the next connection on, which is number 1."""
        self.generation += 1
        new = self.fault_file.with_suffix(".new")
        new.write_text("\n".join([*lines, f"# {self.generation}"]) + "\n")
        os.replace(new, self.fault_file)

    def bytes_sent(self, connection=1):
        """Of the newest connection of that number that has ended."""
        found = re.findall(rf"connection-sent connection={connection} bytes=(\d+)", self.log_text())
        return int(found[-1]) if found else None


@pytest.fixture(scope="module", params=[False, True], ids=["clear", "tls"])
def wire(request):
    """A database with ROWS rows loaded before capture began and ROWS changes behind them."""
    with Wire(tls=request.param) as server:
        fill(server)
        yield server


@pytest.fixture(scope="module")
def clear():
    with Wire() as server:
        fill(server)
        yield server


def fill(server):
    make_database(server, ["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(40), "
                           "b varbinary(max))"], ["t"])
    with source.connect(server, "shop") as c:
        for i in range(ROWS):
            source.execute(c, f"INSERT INTO dbo.t (id, v, b) VALUES ({i}, N'row {i}', 0x{i:02}{'ab' * 300})")


def task(server, **arguments):
    settings = {"ConnectionTimeout": 3, "ExecuteTimeout": 3}
    settings.update(arguments.pop("settings", {}))
    endpoint = {"MicrosoftSQLServerSettings": settings, **arguments.pop("source", {})}
    if server.certificate and "SslMode" not in endpoint:
        endpoint["SslMode"] = "require"
    return Pipeline(server, None, database="shop", tables=("dbo.t",), source=endpoint, **arguments)


def rows_of(p):
    return [c.after[0] for c in dump(p) if c.operation == "load"]


def is_followed(p):
    """The load is there, and the log has been read: a watermark stands behind it."""
    changes = dump(p)
    loads = [i for i, c in enumerate(changes) if c.operation == "load"]
    return len(loads) >= ROWS and any(c.is_watermark for c in changes[loads[-1]:])


def run(server, *faults, timeout=30, **arguments):
    """One capture from scratch under the faults, until it follows the log.  Its log."""
    with task(server, **arguments) as p:
        server.faults(*faults)
        p.capture.start()
        wait_until(lambda: is_followed(p) or not p.capture.running, timeout,
                   f"{faults}: the load and the log\n{p.capture.log_text()[-2000:]}")
        assert p.capture.running, p.capture.log_text()
        rows = rows_of(p)
        assert set(rows) == {str(i) for i in range(ROWS)}, (faults, rows)
        begin = time.monotonic()
        assert p.capture.stop() == 0
        assert time.monotonic() - begin < 5
        return p.capture.log_text()


# ---- cuts -----------------------------------------------------------------------------

def test_cut_at_every_byte(wire):
    """A session of a load and its log is recorded, then cut behind each of its bytes (some of
    them without WEIR_SOAK)."""
    small = "1 packet 512"  # so that rows lie in several packets, and a cut between them
    log = run(wire, small)
    assert "source-retry" not in log
    total = wait_until(wire.bytes_sent, 10, "the length of a session")
    points = list(range(total))
    if not SOAK:
        # One in each part of the session, elsewhere with each seed.
        parts = 12 if wire.certificate else 30
        chance = random.Random(int(os.environ.get("WEIR_SEED", "7")))
        points = [i * total // parts + chance.randrange(total // parts) for i in range(parts)]
    for i, n in enumerate(points):
        log = run(wire, f"1 {'reset' if i % 2 else 'cut'} {n}", small)
        told = [line for line in log.splitlines() if "source-retry" in line]
        # Behind the load a session may have ended by itself before the cut.
        assert told or n > total // 2, f"cut at {n} of {total}:\n{log}"
        for line in told:
            assert re.search(r"code=(connect|tls|timeout|protocol|sql) ", line), line


def test_many_connections_are_cut(clear):
    """Five connections in a row end early, each a little later; then the task goes on."""
    run(clear)
    total = wait_until(clear.bytes_sent, 10, "the length of a session")
    log = run(clear, *[f"{k} cut {k * total // 20}" for k in range(1, 6)], timeout=60)
    assert "source-retry" in log
    assert [clear.bytes_sent(k) for k in range(3, 6)] == [k * total // 20 for k in range(3, 6)]


# ---- slow and silent --------------------------------------------------------------------

def test_slow_server(clear):
    """Some bytes at a time, below every time-out: slower, nothing else."""
    log = run(clear, "* slow 500 5", timeout=60)
    assert "source-retry" not in log


@pytest.mark.parametrize("after", [0, 100, 1500])
def test_server_falls_silent(clear, after):
    settings = {"ConnectionTimeout": 1, "ExecuteTimeout": 1}
    log = run(clear, f"1 hold {after}", settings=settings)
    assert re.search(r"source-retry code=(timeout|connect)", log), log


@pytest.mark.parametrize("after", [0, 1500])
def test_stop_while_the_server_is_silent(clear, after):
    with task(clear, settings={"ConnectionTimeout": 60, "ExecuteTimeout": 60}) as p:
        clear.faults(f"* hold {after}")
        begin = len(clear.log_text())
        p.capture.start()
        if after:
            wait_until(lambda: "login spid" in clear.log_text()[begin:], 10, "a login")
        else:
            wait_until(lambda: connections_to(clear.port), 10, "a connection")
        t = time.monotonic()
        assert p.capture.stop() == 0
        assert time.monotonic() - t < 4


def connections_to(port):
    """Established TCP connections to a local port."""
    with open("/proc/net/tcp") as f:
        return [line for line in f if line.split()[2].endswith(f":{port:04X}")
                and line.split()[3] == "01"]


# ---- servers that say "later" -------------------------------------------------------------

def order(server, sql):
    with source.connect(server, "master") as c:
        source.execute(c, sql)


def test_azure_says_later(clear):
    """40613 in the login: waited for, five seconds at least, as Azure asks."""
    order(clear, "EXEC mssqld.fail_next @number = 40613, @login = 1")
    begin = time.monotonic()
    log = run(clear)
    assert time.monotonic() - begin >= 5
    assert "40613" in log and "waited for" in log
    assert "needs-operator" not in log


def test_login_is_refused_for_good(clear):
    """Nothing but a person changes a firewall rule: exit 78, with what to do."""
    order(clear, "EXEC mssqld.fail_next @number = 40615, @login = 1")
    with task(clear) as p:
        clear.faults()
        p.capture.start()
        assert p.capture.wait(20) == 78
        assert "firewall rule" in p.capture.log_text()


# ---- answers that lie -------------------------------------------------------------------

HOSTILE = ["columns-missing", "columns-many", "columns-cut", "type-unknown", "row-beyond", "row-wide",
           "row-first", "int-wide", "decimal-wide", "datetime-wide", "plp-total", "plp-large", "plp-chunk",
           "plp-lies", "nbcrow-short", "token-unknown", "error-long", "envchange-long",
           "envchange-size", "empty", "envchange-endless", "packet-short"]


def peak_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def suffer(kind, answer):
    """One answer of the session is replaced.  The next connection does what the first could not."""
    with Wire() as server:
        fill(server)
        with task(server, settings={"ExecuteTimeout": 1}) as p:
            # DB-Library asks the allocator for what is announced, and copes with a refusal.
            p.environment["ASAN_OPTIONS"] = "allocator_may_return_null=1"
            server.faults(f"1 hostile {kind} {answer}")
            p.capture.start()
            wait_until(lambda: is_followed(p) or not p.capture.running, 30, f"{kind}: the load")
            assert p.capture.running, p.capture.log_text()
            assert set(rows_of(p)) == {str(i) for i in range(ROWS)}
            if "asan" not in os.environ.get("WEIR_BUILD", ""):
                assert peak_kib(p.capture.process.pid) < 200 * 1024
            log = p.capture.log_text()
            assert p.capture.stop() == 0
            assert "source-retry" in log, f"{kind}:\n{log}"


@pytest.mark.parametrize("answer", [5] if not SOAK else [1, 2, 3, 5, 8, 13])
def test_hostile_answers(answer):
    """Four at a time: most of it is waiting for ExecuteTimeout."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = {kind: pool.submit(suffer, kind, answer) for kind in HOSTILE}
    failed = {kind: r.exception() for kind, r in runs.items() if r.exception()}
    assert not failed, failed
