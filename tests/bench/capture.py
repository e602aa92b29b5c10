"""weir-capture reading the log of mssqld into a ring that nobody holds up.

figures: capture.sqlserver capture.cpu capture.rss capture.quiet1000.p50 capture.quiet1000.p99 capture.quiet1000.max

capture.sqlserver: rows per second of the invoices change table, against a bare DB-Library loop that
drains the same statements and does nothing; same server, same rows, interleaved.
capture.rss: resident memory (rings excluded) while ten million rows of one transaction are read,
with three deaths in between; every record number must come once, in order.
capture.quiet1000.*: commit to ring where one table of a thousand and one changes now and then, in
poll pauses.
"""

import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

import source  # noqa: E402
from pipeline import Pipeline, wait_until  # noqa: E402
from servers import Mssqld  # noqa: E402

ROWS = int(os.environ.get("BENCH_ROWS", "400000"))
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
HUGE = int(os.environ.get("BENCH_HUGE", "10000000"))
DRAIN = ROOT / "build/release/tests/bench/capture_drain"
NAMES = ("invoice_id", "customer_id", "billing_date", "due_date", "balance", "monthly_kwh_use",
         "total_amount_due")
# What capture selects: text comes as bytes.
COLUMNS = ", ".join(f"[{n}]" for n in NAMES[:-1]) + \
    ", CONVERT(varbinary(8000), CONVERT(nvarchar(50), [total_amount_due]))"


def figure(name, value, unit, ratio, of_what):
    print(f"figure\t{name}\t{value:.6g}\t{unit}\t{ratio:.3f}\t{of_what}", flush=True)


def make_invoices(mssqld):
    with source.connect(mssqld, "master") as c:
        for statement in [
            "CREATE DATABASE democustomer", "USE democustomer",
            "CREATE TABLE dbo.invoices (invoice_id INT NOT NULL PRIMARY KEY, customer_id INT, "
            "billing_date DATE, due_date DATE, balance INT, monthly_kwh_use INT, "
            "total_amount_due VARCHAR(50))",
            "EXEC sys.sp_cdc_enable_db",
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'invoices', "
            "@role_name = NULL",
        ]:
            source.execute(c, statement)


def insert_invoices(c, count, batch=1000):
    for start in range(1, count + 1, batch):
        values = ", ".join(
            f"({i}, {1200000 + i % 400000}, '2022-05-15', '2022-05-{1 + i % 28:02}', {i % 90}, "
            f"{i % 60}, '{i % 600 / 2:g}')" for i in range(start, min(start + batch, count + 1)))
        source.execute(c, f"INSERT INTO dbo.invoices ({', '.join(NAMES)}) VALUES {values}")


def proc(pid, file):
    return pathlib.Path(f"/proc/{pid}/{file}").read_text()


def cpu_seconds(pid):
    fields = proc(pid, "stat").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drained(answer):
    assert answer.returncode == 0, answer
    rows, ns, _ = map(int, answer.stdout.split())
    return rows / ns * 1e9


def bare(mssqld, p, rows):
    return drained(subprocess.run(
        [DRAIN, "table", str(mssqld.port), p.directory / "password", "democustomer", "dbo_invoices",
         COLUMNS, str(rows)], text=True, stdout=subprocess.PIPE, timeout=300))


class Drain:
    """The consumer at the other end of capture's ring."""

    def __init__(self, p, mode, rows):
        ring = p.runtime / "g1/change.0.ring"
        wait_until(ring.exists, 30, "the ring")
        self.process = subprocess.Popen([DRAIN, mode, ring, str(rows)], text=True, stdout=subprocess.PIPE)

    @property
    def is_done(self):
        return self.process.poll() is not None

    def rate(self):
        out = self.process.communicate(timeout=600)[0]
        return drained(subprocess.CompletedProcess([], self.process.returncode, out))


def follow(p, rows):
    """A capture that has nothing but its state begins at the load's join and reads all changes."""
    p.lose_shared_memory()
    p.capture.start()
    rate = Drain(p, "ring", rows + 1).rate()  # and the table's announcement
    cpu = cpu_seconds(p.capture.process.pid)
    assert p.capture.stop() == 0
    return rate, cpu


def baseline(p):
    p.capture.start()
    wait_until(lambda: (p.state / "capture.json").exists() and
               "table-joins" in p.capture.log_text(), 30, "capture's baseline")
    wait_until((p.runtime / "g1/change.0.ring").exists, 30, "the ring")
    assert p.capture.stop() == 0


def bench_rate():
    with Mssqld() as mssqld:
        make_invoices(mssqld)
        with Pipeline(mssqld, None, migration="cdc", weir={"ChangeRingSize": "16MiB"}) as p:
            baseline(p)
            with source.connect(mssqld, "democustomer") as c:
                insert_invoices(c, ROWS)
            limits, rates, cpus = [], [], []
            for run in range(RUNS):
                limits.append(bare(mssqld, p, ROWS))
                rate, cpu = follow(p, ROWS)
                rates.append(rate)
                cpus.append(cpu / ROWS * 1e6)
                print(f"run {run + 1}: bare loop {limits[-1]:,.0f} rows/s, capture {rate:,.0f} rows/s, "
                      f"{cpus[-1]:.2f} us of processor a row", flush=True)
    figure("capture.sqlserver", statistics.median(rates), "rows/s",
           statistics.median(rates) / statistics.median(limits), "a bare DB-Library drain (aim 0.7)")
    figure("capture.cpu", statistics.median(cpus), "us/row", statistics.median(cpus) / 2,
           "2 us/row (aim): decoding, routing, encoding")


def resident(pid):
    text = proc(pid, "status")
    return sum(int(re.search(rf"{k}:\s+(\d+) kB", text).group(1)) for k in ("RssAnon", "RssFile")) * 1024


def rows_in(p):
    status = json.loads(p.weirctl("status", p.task_file, "--json").stdout)
    capture = next(s for s in status["stages"] if s["name"] == "capture")
    return counter(capture, "rows_in"), capture


def counter(stage, name):
    return stage.get("counters", {}).get(name, {"value": 0})["value"]  # none yet: it is starting


def fill_huge(mssqld, rows):
    """One transaction: a thousand rows, doubled until there are enough."""
    with source.connect(mssqld, "democustomer", timeout=600) as c:
        source.execute(c, "BEGIN TRANSACTION")
        insert_invoices(c, 1000)
        n = 1000
        while n < rows:
            source.execute(c, f"INSERT INTO dbo.invoices SELECT TOP ({min(n, rows - n)}) invoice_id + {n}, "
                              f"{', '.join(NAMES[1:])} FROM dbo.invoices ORDER BY invoice_id")
            n *= 2
        source.execute(c, "COMMIT")


def bench_rss():
    with Mssqld() as mssqld:
        make_invoices(mssqld)
        with Pipeline(mssqld, None, migration="cdc", weir={"ChangeRingSize": "16MiB"}) as p:
            baseline(p)
            began = time.monotonic()
            fill_huge(mssqld, HUGE)
            print(f"filled {HUGE:,} rows in {time.monotonic() - began:.0f} s", flush=True)
            p.lose_shared_memory()
            p.capture.start()
            drain = Drain(p, "numbers", HUGE + 1)
            sizes, skipped, deaths = [], 0, 0
            while not drain.is_done:
                sizes.append(resident(p.capture.process.pid))
                given, capture = rows_in(p)
                skipped = max(skipped, counter(capture, "skipped"))
                if given > HUGE / 5 and deaths < 3:
                    p.capture.kill()
                    p.capture.start()
                    deaths += 1
            rate = drain.rate()
            assert p.capture.stop() == 0
    half = len(sizes) // 2
    early, late = max(sizes[:half]), max(sizes[half:])
    print(f"{rate:,.0f} rows/s over {deaths} deaths, {skipped} rows read twice; resident at most "
          f"{early / 1e6:.1f} MB in the first half, {late / 1e6:.1f} MB in the second", flush=True)
    figure("capture.rss", max(early, late) / 1e6, "MB", max(early, late) / (64 << 20),
           f"64 MiB (aim), {HUGE:,} rows in one transaction")


def bench_quiet(tables=1000, pause_ms=50, commits=200):
    rng = random.Random(1)
    with Mssqld() as mssqld:
        make_invoices(mssqld)
        with source.connect(mssqld, "democustomer") as c:
            for i in range(tables):
                source.execute(c, f"CREATE TABLE dbo.quiet{i} (id int NOT NULL PRIMARY KEY, v nvarchar(20))")
                source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                                  f"@source_name = N'quiet{i}', @role_name = NULL")
        with Pipeline(mssqld, None, migration="cdc", tables=("dbo.%",),
                      weir={"ChangeRingSize": "16MiB", "PollIntervalMs": pause_ms}) as p:
            p.capture.start()
            wait_until(lambda: p.capture.log_text().count("table-joins") == tables + 1, 60, "the tables")
            wait_until(lambda: counter(rows_in(p)[1], "polls") >= 10, 60, "the log")
            with source.connect(mssqld, "democustomer") as c:
                for i in range(1, commits + 1):
                    source.execute(c, f"INSERT INTO dbo.invoices (invoice_id) VALUES ({i})")
                    time.sleep(rng.uniform(0, 4 * pause_ms / 1000))
            wait_until(lambda: rows_in(p)[0] >= commits + tables + 1, 30, "all changes")
            latency = rows_in(p)[1]["latencies"]["commit_to_capture"]
            assert p.capture.stop() == 0
    for name in ("p50", "p99", "max"):
        pauses = latency[f"{name}_seconds"] * 1000 / pause_ms
        figure(f"capture.quiet1000.{name}", pauses, "poll pauses", pauses / 3,
               f"3 pauses (aim) of {pause_ms} ms; {tables} quiet tables, {commits} commits")


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    for bench, names in ((bench_rate, ("capture.sqlserver", "capture.cpu")), (bench_rss, ("capture.rss",)),
                         (bench_quiet, ("capture.quiet1000",))):
        if not only or any(n.startswith(only) or only.startswith(n) for n in names):
            bench()


if __name__ == "__main__":
    main()
