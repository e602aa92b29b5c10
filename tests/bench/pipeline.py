"""The whole pipeline on this machine: rows per second, processor time, memory, latency.

figures: pipeline.sqlserver pipeline.load pipeline.cpu pipeline.rss latency.p50 latency.p99

A table of invoices with a primary key; ROWS changes wait in the change table when the stages
start, and the clock runs until the last of them is acknowledged.  Test servers included, on
whatever cores there are: the figure is what one small machine does end to end.
"""

import json
import os
import pathlib
import re
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

import source  # noqa: E402
from kinesis_server import Kinesisd  # noqa: E402
from pipeline import Pipeline, wait_until  # noqa: E402
from servers import Mssqld  # noqa: E402

ROWS = int(os.environ.get("BENCH_ROWS", "200000"))
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
LATENCY_SECONDS = 3
LATENCY_RATE = 10_000
STAGES = ["capture", "encoder.0", "shipper.0"]
COLUMNS = ("invoice_id, customer_id, billing_date, due_date, balance, monthly_kwh_use, "
           "total_amount_due")


def figure(name, value, unit, ratio, of_what):
    print(f"figure\t{name}\t{value:.6g}\t{unit}\t{ratio:.3f}\t{of_what}", flush=True)


def make_source(mssqld):
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


def insert(connection, first, count, batch=1000):
    for start in range(first, first + count, batch):
        values = ", ".join(
            f"({i}, {1200000 + i % 400000}, '2022-05-15', '2022-05-{1 + i % 28:02}', {i % 90}, "
            f"{i % 60}, '{i % 600 / 2:g}')" for i in range(start, min(start + batch, first + count)))
        source.execute(connection, f"INSERT INTO dbo.invoices ({COLUMNS}) VALUES {values}")


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def anonymous_bytes(pid):
    text = open(f"/proc/{pid}/status").read()
    return sum(int(re.search(rf"{k}:\s+(\d+) kB", text).group(1)) for k in ("RssAnon", "RssFile")) * 1024


def drain(mssqld, kinesisd, wanted, migration, before=None):
    """Starts a fresh task and waits until kinesisd has taken `wanted` records more."""
    with Pipeline(mssqld, kinesisd, migration=migration,
                  weir={"ChangeRingSize": "16MiB", "RecordRingSize": "16MiB", "WindowRecords": 32768,
                        "RequestsInFlight": 4, "CheckpointIntervalMs": 1000,
                        "LoadChunkRows": 50000}) as p:
        if before is not None:
            p.capture.start()
            wait_until(lambda: (p.state / "topology.json").exists() and
                       (p.state / "capture.json").exists(), 30, "capture's baseline")
            wait_until(lambda: list((p.runtime / "g1").glob("change.0.ring")), 30, "the ring")
            p.capture.stop()
            before()
        first = kinesisd.counters()["records"]
        cpu = {}
        start = time.monotonic()
        p.start()
        wait_until(lambda: kinesisd.counters()["records"] - first >= wanted, 300, "all records")
        seconds = time.monotonic() - start
        for s in p.stages:
            cpu[s.name] = cpu_seconds(s.process.pid) if s.running else 0.0
        rss = sum(anonymous_bytes(s.process.pid) for s in p.stages if s.running)
        return wanted / seconds, cpu, rss


def latency(mssqld, kinesisd):
    """Commit to acknowledgement at about LATENCY_RATE rows a second, from the shipper's histogram."""
    with Pipeline(mssqld, kinesisd, migration="cdc",
                  weir={"PollIntervalMs": 5, "WindowRecords": 32768}) as p:
        p.start()
        wait_until(lambda: (p.state / "checkpoint.1.0.json").exists(), 30, "a checkpoint")
        first = 50_000_000
        deadline = time.monotonic() + LATENCY_SECONDS
        with source.connect(mssqld, "democustomer") as c:
            while time.monotonic() < deadline:
                tick = time.monotonic()
                insert(c, first, LATENCY_RATE // 100, LATENCY_RATE // 100)
                first += LATENCY_RATE // 100
                time.sleep(max(0.0, 0.01 - (time.monotonic() - tick)))
        wait_until(lambda: applied(p) >= first - 50_000_000, 60, "all acknowledged")
        status = json.loads(p.weirctl("status", p.task_file, "--json").stdout)
        shipper = next(s for s in status["stages"] if s["name"] == "shipper.0")
        return shipper["latencies"]["commit_to_ack"], (first - 50_000_000) / LATENCY_SECONDS


def applied(p):
    return sum(t.get("AppliedInserts", 0) for t in p.table_statistics().get("TableStatistics", []))


def main():
    mssqld = Mssqld().start()
    kinesisd = Kinesisd(streams="invoices:8", throttle=False, max_records_kept=1000).start()
    try:
        make_source(mssqld)
        rates, loads, cpus, sizes = [], [], [], []
        next_id = 1
        for run in range(RUNS):
            def fill(first=next_id):
                with source.connect(mssqld, "democustomer") as c:
                    insert(c, first, ROWS)

            rate, cpu, rss = drain(mssqld, kinesisd, ROWS, "cdc", before=fill)
            next_id += ROWS
            rates.append(rate)
            cpus.append(sum(cpu.values()) / ROWS * 1e6)
            sizes.append(rss)
            per_stage = ", ".join(f"{k} {v / ROWS * 1e6:.2f}" for k, v in cpu.items())
            print(f"run {run + 1}: changes {rate:,.0f} rows/s; CPU us/row: {per_stage}; "
                  f"resident {rss / 1e6:.1f} MB", flush=True)
            if run == 0:
                load, cpu, _ = drain(mssqld, kinesisd, next_id - 1, "full-load-and-cdc")
                loads.append(load)
                print(f"       full load {load:,.0f} rows/s", flush=True)
        figure("pipeline.sqlserver", statistics.median(rates), "rows/s",
               statistics.median(rates) / 150_000, "150,000 rows/s (aim), two cores, servers included")
        figure("pipeline.load", statistics.median(loads), "rows/s",
               statistics.median(loads) / 150_000, "150,000 rows/s, full load")
        figure("pipeline.cpu", statistics.median(cpus), "us/row", statistics.median(cpus) / 6,
               "6 us/row (aim), all stages")
        figure("pipeline.rss", max(sizes) / 1e6, "MB", max(sizes) / 100e6,
               "100 MB (aim), all stages, rings excluded")
        acked, rate = latency(mssqld, kinesisd)
        for name, member, aim in (("latency.p50", "p50_seconds", 20), ("latency.p99", "p99_seconds", 100)):
            ms = acked[member] * 1000
            figure(name, ms, "ms", ms / aim, f"{aim} ms (aim), commit to acknowledgement, {rate:,.0f} rows/s")
    finally:
        kinesisd.stop()
        mssqld.stop()


if __name__ == "__main__":
    main()
