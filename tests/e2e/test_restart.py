"""Stages die with -9 and start again; the host loses its shared memory.  Nothing is lost."""

import json
import os
import random
import threading
import time

import pytest

import source
from kinesis_server import Kinesisd
from pipeline import Pipeline, wait_until
from stream import StreamReader, judge, order_breaches

SEED = int(os.environ.get("WEIR_SEED", "20221122"))
SOAK = 10 if os.environ.get("WEIR_SOAK") else 1
ROWS = 50_000 * SOAK
KILLS = 40 * SOAK

SETUP = [
    "CREATE DATABASE shop",
    "USE shop",
    "CREATE TABLE dbo.orders (id INT NOT NULL PRIMARY KEY, customer INT, state VARCHAR(20), "
    "amount DECIMAL(12,2), changed DATETIME2(3))",
    "CREATE TABLE dbo.lines (order_id INT NOT NULL, line INT NOT NULL, item NVARCHAR(40), "
    "PRIMARY KEY (order_id, line))",
    "EXEC sys.sp_cdc_enable_db",
    "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'orders', "
    "@role_name = NULL",
    "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'lines', "
    "@role_name = NULL",
]


def make_shop(mssqld, rows=0):
    with source.connect(mssqld, "master") as c:
        for statement in SETUP:
            source.execute(c, statement)
        insert_orders(c, 1, rows)


def insert_orders(c, first, count, batch=500):
    for start in range(first, first + count, batch):
        n = min(batch, first + count - start)
        values = ", ".join(
            f"({i}, {i % 977}, 'new', {i % 100000 / 100:.2f}, '2022-05-15T10:00:00.{i % 1000:03}')"
            for i in range(start, start + n))
        source.execute(c, "INSERT INTO dbo.orders (id, customer, state, amount, changed) VALUES "
                       + values)


def traffic(mssqld, total, stop, progress, seed):
    """Transactions over two tables: inserts, updates, deletes, rollbacks, until total rows."""
    rng = random.Random(seed)
    with source.connect(mssqld, "shop") as c:
        next_id = 1_000_000
        done = 0
        while done < total and not stop.is_set():
            n = rng.randint(1, 400)
            rows = ", ".join(f"({next_id + i}, {rng.randint(1, 999)}, 'new', {rng.randint(0, 9999)}.5, "
                             f"'2023-01-01T00:00:00.123')" for i in range(n))
            lines = ", ".join(f"({next_id + i}, 1, N'item {i} ü')" for i in range(n))
            statements = [
                "BEGIN TRAN",
                "INSERT INTO dbo.orders (id, customer, state, amount, changed) VALUES " + rows,
                "INSERT INTO dbo.lines (order_id, line, item) VALUES " + lines,
                f"UPDATE dbo.orders SET state = 'paid', amount = amount + 1 WHERE id >= "
                f"{next_id + n // 2} AND id < {next_id + n}",
                f"DELETE FROM dbo.lines WHERE order_id = {next_id + rng.randrange(n)}",
                "ROLLBACK" if rng.random() < 0.1 else "COMMIT",
            ]
            source.execute(c, "; ".join(statements))
            if statements[-1] == "COMMIT":
                done += 2 * n + (n - n // 2) + 1
                next_id += n
                progress[0] = done


def joined_at(pipeline):
    """The LSN at which the load joins the log: what came before it arrives as loaded rows."""
    state = json.loads((pipeline.state / "capture.json").read_text())
    return bytes.fromhex(state["join"])[:10]


def judge_shop(mssqld, pipeline, records):
    verdicts = []
    join = joined_at(pipeline)
    with source.connect(mssqld, "shop") as c:
        for table, keys in (("orders", ["id"]), ("lines", ["order_id", "line"])):
            verdicts.append(judge(records, f"dbo.{table}", keys, source.rows(c, f"dbo.{table}"),
                                  source.change_positions(c, f"dbo_{table}", join)))
    return verdicts


def wait_settled(mssqld, pipeline, reader, timeout):
    join = joined_at(pipeline)
    with source.connect(mssqld, "shop") as c:
        wanted = {(f"dbo.{t}", p) for t in ("orders", "lines")
                  for p in source.change_positions(c, f"dbo_{t}", join)}
    seen = set()

    def all_there(records):
        seen.update((r.table, r.position) for r in records[all_there.at:] if r.is_data)
        all_there.at = len(records)
        return wanted <= seen

    all_there.at = 0
    reader.wait(all_there, timeout, "all changes of both tables")


@pytest.fixture
def fast_kinesisd():
    """Without throttling: a run of many thousand rows must not take minutes."""
    server = Kinesisd(streams="invoices:4", throttle=False).start()
    yield server
    server.stop()


@pytest.mark.parametrize("encoders,shippers", [(1, 1), (2, 2)])
def test_random_kills_of_random_stages(mssqld, fast_kinesisd, encoders, shippers):
    make_shop(mssqld, rows=2000)
    rng = random.Random(SEED + encoders)
    stop = threading.Event()
    progress = [0]
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=encoders,
                  shippers=shippers, weir={"LoadChunkRows": 300, "ChangeRingSize": "1MiB",
                                           "RecordRingSize": "1MiB"}) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        writer = threading.Thread(target=traffic,
                                  args=(mssqld, ROWS, stop, progress, SEED))
        p.start()
        writer.start()
        kills = 0
        try:
            while writer.is_alive() or kills < KILLS:
                victim = rng.choice(p.stages)
                wait_until(lambda: victim.running or p.restart_dead(), 30, f"{victim.name} running")
                time.sleep(rng.uniform(0.02, 0.3))  # the moment of death is the random part
                victim.kill()
                p.restart_dead()
                kills += 1
            writer.join()
        finally:
            stop.set()
        p.restart_dead()
        wait_settled(mssqld, p, reader, 120)
        for verdict in judge_shop(mssqld, p, reader.records):
            assert verdict.good, f"seed {SEED}, {kills} kills: {verdict}\n{verdict.differences[:3]}"
        print(f"{kills} kills, {len(reader.records)} records")


def test_each_stage_restarts_alone_without_repeats_upstream(mssqld, fast_kinesisd):
    """A dead capture or encoder repeats nothing: their rings are exactly once."""
    make_shop(mssqld)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",)) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        wait_until(lambda: (p.state / "checkpoint.1.0.json").exists(), 30, "a checkpoint")
        with source.connect(mssqld, "shop") as c:
            for round_ in range(10):
                insert_orders(c, 1 + 100 * round_, 100)
                for name in ("weir-capture", "weir-encoder.0"):
                    p.stage(name).kill()
                    p.restart_dead()
        wait_settled(mssqld, p, reader, 60)
        verdicts = judge_shop(mssqld, p, reader.records)
        assert all(v.good for v in verdicts), verdicts
        assert [v.repeated for v in verdicts] == [0, 0]


def load_acknowledged(p, shippers):
    """All checkpoints are at the load's last chunk or, chunk 0, in the log behind it."""
    chunks = json.loads((p.state / "capture.json").read_text())["next_chunk"] - 1
    at = [json.loads(f.read_text())["position"][-14:] for f in p.state.glob("checkpoint.*.json")]
    return len(at) == shippers and all(int(a, 16) in (0, chunks) for a in at)


def test_cold_start_from_the_checkpoints(mssqld, fast_kinesisd):
    """The host loses /dev/shm: the task goes on from its checkpoints, without a new load."""
    make_shop(mssqld, rows=1000)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2,
                  shippers=2) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 1000, 30, "the load")
        wait_until(lambda: load_acknowledged(p, shippers=2), 30, "the load's checkpoints")
        for round_ in range(3):
            with source.connect(mssqld, "shop") as c:
                insert_orders(c, 5000 + 1000 * round_, 1000)
            wait_until(lambda: any(r.operation == "insert" for r in reader.poll()), 30, "inserts")
            p.kill_all()
            p.lose_shared_memory()
            with source.connect(mssqld, "shop") as c:
                insert_orders(c, 15000 + 1000 * round_, 500)
            p.start()
        wait_settled(mssqld, p, reader, 60)
        verdicts = judge_shop(mssqld, p, reader.records)
        assert all(v.good for v in verdicts), verdicts
        loads = [r for r in reader.records if r.is_load]
        assert len(loads) == 1000, "the load is not repeated once its checkpoint is written"


def test_one_lost_record_ring_goes_back_to_the_checkpoint(mssqld, fast_kinesisd):
    """Records that only lay in a lost ring are read from the source again."""
    make_shop(mssqld, rows=100)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",)) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 100, 30, "the load")
        p.stage("weir-shipper.0").kill()
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 5000, 2000)
        ring = p.runtime / "g1/record.0.0.ring"
        wait_until(lambda: p.weirctl("status", p.task_file).returncode is not None, 5, "status")
        p.stage("weir-encoder.0").kill()
        ring.unlink()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            p.restart_dead()
            reader.poll()
            if sum(r.operation == "insert" for r in reader.records) >= 2000:
                break
            time.sleep(0.05)
        wait_settled(mssqld, p, reader, 60)
        verdicts = judge_shop(mssqld, p, reader.records)
        assert all(not v.lost and not v.differences for v in verdicts), verdicts


def test_other_numbers_of_encoders_and_shippers(mssqld, fast_kinesisd):
    """A task started with other numbers goes on from its checkpoint in a new generation."""
    make_shop(mssqld, rows=500)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",)) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 500, 30, "the load")
        assert set(p.stop().values()) == {0}
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 5000, 300)
        q = Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2,
                     shippers=3, weir={"RuntimeDirectory": str(p.runtime),
                                       "StateDirectory": str(p.state)})
        with q:
            q.start()
            wait_settled(mssqld, p, reader, 60)
            assert (p.state / "topology.json").read_text().find('"generation": 2') > 0
            verdicts = judge_shop(mssqld, p, reader.records)
            assert all(v.good for v in verdicts), verdicts
            assert sum(r.is_load for r in reader.records) == 500
            assert not order_breaches(reader.records)
