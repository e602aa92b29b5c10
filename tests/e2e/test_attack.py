"""Attempts to break the promises: deaths inside protocols, lost and stale files, odd data."""

import json
import random
import re
import signal
import subprocess
import threading
import time

import pytest

import source
from kinesis_server import Kinesisd
from pipeline import ROOT, Pipeline, wait_until
from stream import StreamReader, order_breaches
from test_restart import (SEED, fast_kinesisd, insert_orders, judge_shop,  # noqa: F401
                          make_shop, wait_settled)


def crash_points(*folders):
    names = set()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.c")):
            names |= set(re.findall(r'CRASH_POINT\("([^"]+)"\)', path.read_text()))
    return sorted(names)


def use_test_build(pipeline):
    """Crash points are only in it."""
    for stage in pipeline.stages:
        stage.program = f"../test/{stage.program}"


def restless(mssqld, stop, rows, failures):
    """Updates, deletes, inserts and moves of keys over the whole range, until stop."""
    rng = random.Random(SEED)
    fresh = rows + 1
    try:
        with source.connect(mssqld, "shop") as c:
            while not stop.is_set():
                i = rng.randint(1, rows)
                source.execute(c, rng.choice([
                    f"UPDATE dbo.orders SET amount = amount + 1 WHERE id = {i}",
                    f"DELETE FROM dbo.orders WHERE id = {i}",
                    f"UPDATE dbo.orders SET id = {fresh} WHERE id = {i}",
                    f"UPDATE dbo.orders SET id = -{fresh} WHERE id = {i}",
                    f"INSERT INTO dbo.orders (id, customer, state, amount, changed) VALUES "
                    f"({fresh}, 1, 'new', 1.5, '2024-01-01T00:00:00.000')",
                ]))
                fresh += 1
    except Exception as e:  # told by the test's own thread
        failures.append(e)


POINTS = {
    "weir-capture": ("capture", r"capture\..*|file_replace\..*|ring\.(publish|record|slot|wake)\..*"),
    "weir-encoder": ("encoder", r"encoder\..*|ring\.(publish|record|slot|release)\..*"),
    "weir-shipper": ("shipper", r"shipper-.*|checkpoint\..*|file_replace\..*|ring\.release\..*"),
}


def test_death_at_every_crash_point_in_load_and_log(mssqld, fast_kinesisd):  # noqa: F811
    """One task whose stages die at each named point in turn while rows change under the load."""
    rows = 4000
    make_shop(mssqld, rows=rows)
    rng = random.Random(SEED)
    plan = [(program, n) for program, (folder, wanted) in POINTS.items()
            for n in crash_points(folder, "common") if re.fullmatch(wanted, n)]
    rng.shuffle(plan)
    plan.sort(key=lambda step: step[1].startswith(("shipper", "encoder")))  # the load comes first
    stop = threading.Event()
    failures = []
    missed = []
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2,
                  shippers=2, weir={"LoadChunkRows": 10}) as p:
        use_test_build(p)
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        writer = threading.Thread(target=restless, args=(mssqld, stop, rows, failures))
        writer.start()
        try:
            for program, point in plan:
                stage = rng.choice([s for s in p.stages if s.program.endswith(program)])
                stage.kill()
                p.environment["WEIR_CRASH"] = f"{point}:{rng.randint(1, 3)}"
                stage.start()
                del p.environment["WEIR_CRASH"]
                try:
                    assert stage.process.wait(0.3) == -9, stage.log_text()[-2000:]
                except subprocess.TimeoutExpired:
                    missed.append(point)
                stage.kill()
                p.restart_dead()
        finally:
            stop.set()
            writer.join()
        p.restart_dead()
        assert not failures
        assert len(missed) < len(plan) / 3, f"never came to {missed}"
        wait_settled(mssqld, p, reader, 60)
        for verdict in judge_shop(mssqld, p, reader.records):
            assert verdict.good, f"{verdict}\n{verdict.differences[:3]}\n{verdict.out_of_order[:3]}"


# ---- lost and stale files -------------------------------------------------------------


def loaded(p, reader, count, timeout=30):
    reader.wait(lambda rs: sum(r.is_load for r in rs) >= count, timeout, "the load")


def settled_checkpoints(p, timeout=30):
    """Waits until every shipper's checkpoint stands still: all there was is acknowledged."""
    def texts():
        return [f.read_text() for f in sorted(p.state.glob("checkpoint.*"))]

    def quiet():
        before = texts()
        time.sleep(0.3)
        return before and texts() == before
    wait_until(quiet, timeout, "quiet checkpoints")


def refused(p, *texts):
    p.capture.start()
    assert p.capture.wait(30) == 78, p.capture.log_text()
    for text in texts:
        assert text in p.capture.log_text()


@pytest.mark.parametrize("lost", [["change.0"], ["record.0.1"], ["change.0", "record.1.1"],
                                  ["record.0.0", "record.1.1"]])
def test_two_by_two_with_rings_lost_and_shippers_killed(mssqld, fast_kinesisd, lost):  # noqa: F811
    make_shop(mssqld, rows=200)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2,
                  shippers=2) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 200)
        settled_checkpoints(p)  # or the load would rightly come again
        p.stage("weir-shipper.1").kill()
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 5000, 1500)
            source.execute(c, "UPDATE dbo.orders SET state = 'paid' WHERE id < 5200")
        reader.wait(lambda rs: sum(r.operation == "insert" for r in rs) > 200, 30, "some inserts")
        p.kill_all()
        for name in lost:
            (p.runtime / f"g1/{name}.ring").unlink()
        p.start()
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 9000, 100)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            p.restart_dead()
            try:
                wait_settled(mssqld, p, reader, 0.3)
                break
            except TimeoutError:
                pass
        wait_settled(mssqld, p, reader, 1)
        for v in judge_shop(mssqld, p, reader.records):
            assert not v.lost and not v.differences and not v.out_of_order, f"{lost}: {v}"


def test_cold_starts_in_the_load_before_any_checkpoint(mssqld, fast_kinesisd):  # noqa: F811
    make_shop(mssqld, rows=3000)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2, shippers=2,
                  weir={"LoadChunkRows": 100, "CheckpointIntervalMs": 60000}) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        for n in (50, 400):
            p.start()
            have = len(reader.records)
            reader.wait(lambda rs: len(rs) >= have + n, 30, "a part of the load")  # noqa: B023
            p.kill_all()
            p.lose_shared_memory()
            with source.connect(mssqld, "shop") as c:
                source.execute(c, f"DELETE FROM dbo.orders WHERE id % 7 = {n % 7}")
                source.execute(c, f"UPDATE dbo.orders SET id = id + 10000 WHERE id % 11 = {n % 11}")
        p.start()
        loaded(p, reader, 1)
        wait_settled(mssqld, p, reader, 30)
        for v in judge_shop(mssqld, p, reader.records):
            assert not v.lost and not v.differences, v


def test_topology_lost_while_one_shipper_was_behind(mssqld, fast_kinesisd):  # noqa: F811
    """Checkpoints of two shippers mean nothing to one: not to be taken for its own."""
    make_shop(mssqld, rows=100)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), shippers=2) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 100)
        settled_checkpoints(p)
        p.stage("weir-shipper.1").kill()
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 5000, 300)
        settled_checkpoints(p)
        p.kill_all()
        (p.state / "topology.json").unlink()
        p.task["Weir"]["Shippers"] = 1
        p.write_task()
        refused(p, "topology.json", "weirctl reload TASK")


def test_state_directory_of_an_older_backup_in_the_load(mssqld, fast_kinesisd):  # noqa: F811
    """The rings know chunks that the restored file will cut again, elsewhere."""
    make_shop(mssqld, rows=2000)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.orders",),
                  weir={"LoadChunkRows": 10}) as p:
        file = p.state / "capture.json"

        def chunks():
            return json.loads(file.read_text())["next_chunk"] if file.exists() else 0
        p.capture.start()
        wait_until(lambda: chunks() > 5, 30, "the first chunks")
        backup = file.read_text()
        assert json.loads(backup)["next_chunk"] < 200
        wait_until(lambda: chunks() > 150, 30, "the load")
        p.kill_all()
        file.write_text(backup)
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "DELETE FROM dbo.orders WHERE id BETWEEN 1000 AND 1500")
        refused(p, "capture.json", "older")


def test_table_left_out_for_a_time(mssqld, fast_kinesisd):  # noqa: F811
    """What a table went through while the task did not want it is not known: no silent gap."""
    make_shop(mssqld, rows=10)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.orders", "dbo.lines")) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 10)
        assert set(p.stop().values()) == {0}
        rules = p.task["TableMappings"]["rules"]
        p.task["TableMappings"]["rules"] = rules[:1]
        p.write_task()
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "INSERT INTO dbo.lines VALUES (1, 1, N'missed')")
            insert_orders(c, 100, 1)
        p.start()
        reader.wait(lambda rs: any(r.operation == "insert" for r in rs), 30, "the order")
        assert set(p.stop().values()) == {0}
        p.task["TableMappings"]["rules"] = rules
        p.write_task()
        p.start()
        wait_until(lambda: "dbo.lines" in p.capture.log_text()
                   and "left out" in p.capture.log_text(), 20, "the complaint")
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 200, 1)
        reader.wait(lambda rs: sum(r.operation == "insert" for r in rs) == 2, 30, "goes on")


@pytest.mark.parametrize("file", ["checkpoint.1.0.json", "capture.json", "topology.json"])
def test_damaged_state_is_named(mssqld, fast_kinesisd, file):  # noqa: F811
    make_shop(mssqld, rows=10)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.orders",)) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 10)
        settled_checkpoints(p)
        p.kill_all()
        text = (p.state / file).read_text()
        for damage in (text[:len(text) // 2], "", "{}", text.replace('"', "'")):
            (p.state / file).write_text(damage)
            p.capture.log.unlink()
            refused(p, str(p.state / file), "hint=")


def test_database_dropped_and_created_anew(mssqld, fast_kinesisd):  # noqa: F811
    make_shop(mssqld, rows=10)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.orders",)) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 10)
        assert set(p.stop().values()) == {0}
        with source.connect(mssqld, "master") as c:
            source.execute(c, "DROP DATABASE shop")
        make_shop(mssqld, rows=20)
        refused(p, "weirctl reload TASK")


# ---- odd data ---------------------------------------------------------------------------


def sql_name(name):
    return "[" + name.replace("]", "]]") + "]"


def sql_text(value):
    return "N'" + value.replace("'", "''") + "'"


def test_names_that_need_quoting_everywhere(mssqld, fast_kinesisd):  # noqa: F811
    schema, table = "o'dd ]sch\u00e9ma", 't]a"b\'l\\e \u4e2d\U0001F600'
    columns = ["k]ey", "sp ace", "qu\"ote", "ap'os", "back\\slash", "\u00fcml\u00e4ut", "select",
               "%_[x]", "__$mine"[2:]]
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    with source.connect(mssqld, "shop") as c:
        source.execute(c, f"CREATE SCHEMA {sql_name(schema)}")
        full = f"{sql_name(schema)}.{sql_name(table)}"
        source.execute(c, f"CREATE TABLE {full} ({sql_name(columns[0])} nvarchar(20) NOT NULL PRIMARY "
                          "KEY, " + ", ".join(f"{sql_name(n)} int" for n in columns[1:]) + ")")
        source.execute(c, "EXEC sys.sp_cdc_enable_db")
        source.execute(c, f"EXEC sys.sp_cdc_enable_table @source_schema = {sql_text(schema)}, "
                          f"@source_name = {sql_text(table)}, @role_name = NULL, "
                          "@capture_instance = N'odd ]instance''s'")
        values = ", ".join("1" for _ in columns[1:])
        for key in ("a'b", "c]d", "e\\f", "\U0001F600", "x" * 20):
            source.execute(c, f"INSERT INTO {full} VALUES ({sql_text(key)}, {values})")
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("%.%",), encoders=2, shippers=2,
                  weir={"LoadChunkRows": 1}, target={"IncludeControlDetails": True}) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 5)
        with source.connect(mssqld, "shop") as c:
            source.execute(c, f"UPDATE {full} SET {sql_name(columns[1])} = 2")
            source.execute(c, f"DELETE FROM {full} WHERE {sql_name(columns[0])} = N'a''b'")
        reader.wait(lambda rs: any(r.operation == "delete" for r in rs), 30, "the delete")
        records = [r for r in reader.records if r.is_data]
        assert {r.table for r in records} == {f"{schema}.{table}"}
        assert {r.key for r in records} == {"a'b", "c]d", "e\\f", "\U0001F600", "x" * 20}
        assert list(records[0].data) == columns
        assert sorted(r.operation for r in records) == ["delete"] + ["load"] * 5 + ["update"] * 5
        answer = p.weirctl("tables", p.task_file, "--json")
        assert answer.returncode == 0 and json.loads(answer.stdout)
        assert set(p.stop().values()) == {0}


def test_many_tables(mssqld, fast_kinesisd):  # noqa: F811
    n = 200
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    with source.connect(mssqld, "shop") as c:
        source.execute(c, "EXEC sys.sp_cdc_enable_db")
        for i in range(n):
            source.execute(c, f"CREATE TABLE dbo.t{i} (id int NOT NULL PRIMARY KEY, v int); "
                              f"INSERT INTO dbo.t{i} VALUES (1, {i})")
            source.execute(c, f"EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                              f"@source_name = N't{i}', @role_name = NULL")
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, n)
        with source.connect(mssqld, "shop") as c:
            for i in range(0, n, 20):
                source.execute(c, "BEGIN TRAN; " + "; ".join(
                    f"INSERT INTO dbo.t{j} VALUES (2, {j})" for j in range(i, i + 20)) + "; COMMIT")
        reader.wait(lambda rs: sum(r.operation == "insert" for r in rs) == n, 30, "inserts")
        assert {(r.table, r.data["v"]) for r in reader.records if r.operation == "insert"} == \
            {(f"dbo.t{i}", i) for i in range(n)}
        assert not order_breaches(reader.records)
        assert set(p.stop().values()) == {0}


def test_rows_larger_than_an_eighth_and_than_half_of_a_ring(mssqld):
    """Fragments pass; what can never pass is told with the remedy, and the remedy mends it."""
    server = Kinesisd(streams="invoices:1", throttle=False).start()
    try:
        server.client().update_max_record_size(StreamARN=(
            "arn:aws:kinesis:us-east-1:000000000000:stream/invoices"), MaxRecordSizeInKiB=10240)
        with source.connect(mssqld, "master") as c:
            source.execute(c, "CREATE DATABASE shop")
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v varchar(max))")
            source.execute(c, "EXEC sys.sp_cdc_enable_db")
            source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                              "@source_name = N't', @role_name = NULL")
            source.execute(c, f"INSERT INTO dbo.t VALUES (1, '{'a' * 200_000}')")
        with Pipeline(mssqld, server, database="shop", tables=("dbo.t",),
                      weir={"ChangeRingSize": "1MiB", "RecordRingSize": "1MiB"}) as p:
            reader = StreamReader(server.client(), "invoices")
            p.start()
            loaded(p, reader, 1)
            with source.connect(mssqld, "shop") as c:
                source.execute(c, f"INSERT INTO dbo.t VALUES (2, '{'b' * 400_000}')")
                source.execute(c, f"INSERT INTO dbo.t VALUES (3, '{'c' * 900_000}')")
                source.execute(c, "INSERT INTO dbo.t VALUES (4, 'd')")
            assert p.capture.wait(30) == 78, p.capture.log_text()
            assert "Weir.ChangeRingSize" in p.capture.log_text()
            reader.wait(lambda rs: any(r.data.get("id") == 2 for r in rs), 30, "what came before it")
            assert set(p.stop().values()) <= {0, 78}
            for ring in (p.runtime / "g1").glob("*.ring"):
                ring.unlink()
            p.task["Weir"]["ChangeRingSize"] = p.task["Weir"]["RecordRingSize"] = "4MiB"
            p.write_task()
            p.start()
            reader.wait(lambda rs: any(r.data.get("id") == 4 for r in rs), 30, "the rest")
            assert {r.data["id"]: len(r.data["v"]) for r in reader.records if r.is_data} == \
                {1: 200_000, 2: 400_000, 3: 900_000, 4: 1}
    finally:
        server.stop()


def test_a_transaction_larger_than_all_rings_and_stages_that_stand_still(
        mssqld, fast_kinesisd):  # noqa: F811
    make_shop(mssqld, rows=10)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2, shippers=2,
                  weir={"ChangeRingSize": "1MiB", "RecordRingSize": "1MiB"}) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 10)
        stopped = p.stage("weir-shipper.1")
        stopped.process.send_signal(signal.SIGSTOP)
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "BEGIN TRAN")
            insert_orders(c, 1000, 12000)
            source.execute(c, "COMMIT")
        wait_until(lambda: '"backpressure"' in p.weirctl("status", p.task_file, "--json").stdout
                   .lower(), 20, "back-pressure")
        stopped.process.send_signal(signal.SIGCONT)
        for s in p.stages:
            s.process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)  # it stands still for so long
            s.process.send_signal(signal.SIGCONT)
        wait_settled(mssqld, p, reader, 30)
        for v in judge_shop(mssqld, p, reader.records):
            assert v.good, v
            assert v.repeated == 0
        assert set(p.stop().values()) == {0}


# ---- a hostile Kinesis --------------------------------------------------------------------


def test_kinesis_that_does_everything_wrong_at_once(mssqld):
    make_shop(mssqld, rows=300)
    server = Kinesisd(streams="invoices:2", throttle=False, state_delay_ms=20).start()
    try:
        server.control(seed=SEED, rules=[
            {"action": "fail_records", "operation": "PutRecords", "mode": "random", "fraction": 0.5,
             "probability": 0.5},
            {"action": "fail_records", "operation": "PutRecords", "mode": "random", "fraction": 0.3,
             "probability": 0.2, "code": "InternalFailure", "committed": True},
            {"action": "lost_answer", "operation": "PutRecords", "probability": 0.1},
            {"action": "cut_answer", "operation": "PutRecords", "probability": 0.1},
            {"action": "reset", "operation": "PutRecords", "probability": 0.1},
            {"action": "error", "operation": "PutRecords", "probability": 0.1, "status": 500},
            {"action": "error", "operation": "PutRecords", "probability": 0.1, "status": 503,
             "committed": True},
            {"action": "wrong_count", "operation": "PutRecords", "probability": 0.1, "number": -1},
            {"action": "lie_failed_count", "operation": "PutRecords", "probability": 0.1,
             "number": 0},
            {"action": "html", "operation": "PutRecords", "probability": 0.05, "status": 200},
        ])
        with Pipeline(mssqld, server, database="shop", tables=("dbo.%",), encoders=2,
                      shippers=2) as p:
            reader = StreamReader(server.client(), "invoices")
            p.start()
            with source.connect(mssqld, "shop") as c:
                for i in range(10):
                    source.execute(c, "UPDATE dbo.orders SET amount = amount + 1 WHERE id < 40")
                    insert_orders(c, 1000 + 20 * i, 20)
                    if i == 3:
                        arn = "arn:aws:kinesis:us-east-1:000000000000:stream/invoices"
                        server.client().update_shard_count(
                            StreamARN=arn, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
            wait_until(lambda: (p.state / "capture.json").exists(), 30, "the state")
            wait_until(lambda: sum(rule["hits"] for rule in server.report()["rules"]) > 40, 60,
                       "enough wrong answers")
            server.control(clear=True)  # else pauses add up to a minute now and then
            wait_settled(mssqld, p, reader, 60)
            by_key = {}
            for r in sorted(reader.records, key=lambda r: r.sequence):
                if r.is_data:
                    by_key.setdefault(r.key, []).append(r)
            for key, records in by_key.items():
                newest = ""
                for r in records:  # new ones in order; repeats of the newest only
                    assert r.position >= newest, f"key {key}: {r.position} after {newest}"
                    newest = r.position
            for v in judge_shop(mssqld, p, reader.records):
                assert not v.lost and not v.differences, v
    finally:
        server.stop()


# ---- disks that are full ------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    directory = tmp_path / "disk"
    directory.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", directory],
                      capture_output=True).returncode != 0:
        pytest.skip("mounting takes rights this user does not have")
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)


def fill(directory):
    with open(directory / "filler", "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 4096)
        except OSError:
            pass


def test_state_disk_full_in_mid_run_and_room_again(mssqld, fast_kinesisd, small_disk):  # noqa: F811
    make_shop(mssqld, rows=100)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",),
                  weir={"StateDirectory": str(small_disk)}) as p:
        p.state = small_disk
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 100)
        settled_checkpoints(p)
        fill(small_disk)
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 1000, 500)
        reader.wait(lambda rs: sum(r.operation == "insert" for r in rs) == 500, 30, "delivery")
        wait_until(lambda: "checkpoint-not-written" in p.stage("weir-shipper.0").log_text(), 20,
                   "the alarm")
        assert p.stage("weir-shipper.0").log_text().count("checkpoint-not-written") < 20
        (small_disk / "filler").unlink()
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 2000, 5)
        wait_settled(mssqld, p, reader, 30)
        assert all(s.running for s in p.stages)
        settled_checkpoints(p)
        p.kill_all()
        p.lose_shared_memory()
        repeats_before = len(reader.records)
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 3000, 5)
        p.start()
        wait_settled(mssqld, p, reader, 30)
        assert len(reader.records) == repeats_before + 5, "the checkpoint was written again"


def test_state_disk_full_before_the_load_ends(mssqld, fast_kinesisd, small_disk):  # noqa: F811
    make_shop(mssqld, rows=3000)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",),
                  weir={"StateDirectory": str(small_disk), "LoadChunkRows": 10}) as p:
        p.state = small_disk
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        wait_until(lambda: (p.state / "capture.json").exists(), 20, "the load")
        fill(small_disk)
        status = p.capture.wait(30)
        assert status == 78, p.capture.log_text()[-2000:]
        assert str(small_disk) in p.capture.log_text() and "No space" in p.capture.log_text()
        (small_disk / "filler").unlink()
        p.capture.start()
        loaded(p, reader, 3000)
        for v in judge_shop(mssqld, p, reader.records):
            assert v.good, v


# ---- order of what shares a partition key --------------------------------------------------


def test_rows_that_share_a_partition_key_keep_their_order(mssqld, fast_kinesisd):  # noqa: F811
    """char is shown without its blanks: two rows may have one key, and so take one path."""
    rows = [(f"{i}.1", "2", f"{i}", "1.2") for i in range(8)]
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    with source.connect(mssqld, "shop") as c:
        source.execute(c, "CREATE TABLE dbo.t (a char(9) NOT NULL, b varchar(9) NOT NULL, v int, "
                          "PRIMARY KEY (a, b))")
        source.execute(c, "EXEC sys.sp_cdc_enable_db")
        source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                          "@source_name = N't', @role_name = NULL")
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.t",), encoders=2) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        settled_checkpoints(p)
        p.stage("weir-encoder.0").process.send_signal(signal.SIGSTOP)
        with source.connect(mssqld, "shop") as c:
            for a, b, x, y in rows:
                source.execute(c, f"INSERT INTO dbo.t VALUES ('{a}', '{b}', 1)")
                source.execute(c, f"INSERT INTO dbo.t VALUES ('{x}', '{y}', 2)")
                source.execute(c, f"UPDATE dbo.t SET v = 3 WHERE a = '{a}'")
        reader.wait(lambda rs: sum(r.is_data for r in rs) > 0, 30, "what encoder 1 has")
        p.stage("weir-encoder.0").process.send_signal(signal.SIGCONT)
        reader.wait(lambda rs: sum(r.is_data for r in rs) == 3 * len(rows), 30, "all changes")
        assert {r.key for r in reader.records if r.is_data} == {f"{i}.1.2" for i in range(len(rows))}
        assert not order_breaches(reader.records)


# ---- history that is gone -----------------------------------------------------------------


def lsns(connection, instance):
    return [bytes(r[0]).hex() for r in source.query(
        connection, f"SELECT [__$start_lsn] FROM cdc.[{instance}_CT] ORDER BY [__$start_lsn]")]


def test_cleanup_overtakes_a_capture_that_stands_still(mssqld, fast_kinesisd):  # noqa: F811
    """The range that is told holds all that was removed, and nothing that is still there."""
    make_shop(mssqld, rows=10)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",)) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 10)
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 500, 1)
            reader.wait(lambda rs: any(r.operation == "insert" for r in rs), 30, "the first")
            p.capture.process.send_signal(signal.SIGSTOP)
            for i in range(10):
                insert_orders(c, 1000 + i, 1)
            all_of_them = lsns(c, "dbo_orders")[11:]
            mark = all_of_them[6]
            source.execute(c, "EXEC sys.sp_cdc_cleanup_change_table @capture_instance = "
                              f"N'dbo_orders', @low_water_mark = 0x{mark}, @threshold = 5000")
            p.capture.process.send_signal(signal.SIGCONT)
            wait_until(lambda: "table-suspended" in p.capture.log_text(), 30, "the alarm")
            source.execute(c, "INSERT INTO dbo.lines (order_id, line) VALUES (7, 1)")  # the others go on
            reader.wait(lambda rs: any(r.operation == "insert" and r.metadata["table-name"] == "lines" for r in rs),
                        30, "a line")
        text = p.capture.log_text()
        first, last = (lsn.replace(":", "") for lsn in re.search(
            r"table dbo\.orders is suspended: changes from LSN (\S+) to (\S+) \(after", text).groups())
        removed = [lsn for lsn in all_of_them if lsn < mark]
        assert removed and first <= removed[0] and removed[-1] <= last < mark
        assert not [r for r in reader.records if r.operation == "insert" and r.metadata["table-name"] == "orders"
                    and r.data["id"] >= 1000]


@pytest.mark.parametrize("statement", [
    "DROP TABLE dbo.lines",
    "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N'lines', "
    "@capture_instance = N'dbo_lines'",
    "EXEC sys.sp_cdc_disable_db",
])
def test_history_taken_away_while_running(mssqld, fast_kinesisd, statement):  # noqa: F811
    """A table of which changes were not read is suspended; without any history the task stays down."""
    make_shop(mssqld, rows=10)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",)) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 10)
        settled_checkpoints(p)
        with source.connect(mssqld, "shop") as c:
            p.capture.process.send_signal(signal.SIGSTOP)
            source.execute(c, "INSERT INTO dbo.lines (order_id, line) VALUES (7, 1)")
            source.execute(c, statement)
            insert_orders(c, 500, 1)
            p.capture.process.send_signal(signal.SIGCONT)
        if "disable_db" in statement:
            assert p.capture.wait(30) == 78, p.capture.log_text()
            assert "change data capture" in p.capture.log_text()
            p.capture.log.unlink()
            refused(p, "hint=")  # and stays down, with a remedy
            return
        reader.wait(lambda rs: any(r.operation == "insert" and r.metadata["table-name"] == "orders" for r in rs),
                    30, "the other table")
        text = p.capture.log_text()
        told = "table-dropped" if "DROP TABLE" in statement else "table-suspended"
        assert told in text and "dbo.lines" in text and "dropped" in text, text
        assert re.search("changes (from|behind) (LSN )?[0-9a-f]{8}:", text), "no place after which changes are gone"
        assert p.capture.stop() == 0
        p.capture.start()  # and the next start leaves it out again
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 501, 1)
        reader.wait(lambda rs: any(r.operation == "insert" and r.data["id"] == 501 for r in rs), 30,
                    "the other table")


def test_cleanup_in_the_middle_of_a_window(mssqld, fast_kinesisd):  # noqa: F811
    """No row from behind the hole goes out: a start after the alarm would go on from there."""
    make_shop(mssqld, rows=10)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",),
                  weir={"ChangeRingSize": "1MiB"}) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 10)
        settled_checkpoints(p)
        p.capture.process.send_signal(signal.SIGSTOP)
        p.stage("weir-encoder.0").process.send_signal(signal.SIGSTOP)
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 1000, 20000)
            mark = lsns(c, "dbo_orders")[-1]
            p.capture.process.send_signal(signal.SIGCONT)
            wait_until(lambda: '"backpressure"' in p.weirctl("status", p.task_file, "--json").stdout
                       .lower(), 20, "a full ring in the middle of the window")
            source.execute(c, "EXEC sys.sp_cdc_cleanup_change_table @capture_instance = "
                              f"N'dbo_orders', @low_water_mark = 0x{mark}, @threshold = 500000")
            source.execute(c, "INSERT INTO dbo.lines (order_id, line) VALUES (7, 1)")
        p.stage("weir-encoder.0").process.send_signal(signal.SIGCONT)
        reader.wait(lambda rs: any(r.operation == "insert" and r.metadata["table-name"] == "lines" for r in rs),
                    30, "a line from behind the hole in the other table")
        text = p.capture.log_text()
        assert "code=history-gap" in text and "dbo.orders" in text, text
        settled_checkpoints(p)
        reader.poll()
        got = [r.data["id"] for r in reader.records
               if r.operation == "insert" and r.metadata["table-name"] == "orders"]
        assert got == list(range(1000, 1000 + len(got))) or \
            sorted(got) == list(range(1000, 1000 + len(got)))
        assert 0 < len(got) < 20000


def test_stop_under_back_pressure_repeats_nothing(mssqld, fast_kinesisd):  # noqa: F811
    make_shop(mssqld, rows=10)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2, shippers=2,
                  weir={"ChangeRingSize": "1MiB", "RecordRingSize": "1MiB"}) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 10)
        fast_kinesisd.control(rules=[{"action": "error", "operation": "PutRecords", "status": 500}])
        with source.connect(mssqld, "shop") as c:
            insert_orders(c, 1000, 16000)
        wait_until(lambda: '"backpressure"' in p.weirctl("status", p.task_file, "--json").stdout
                   .lower(), 20, "back-pressure")
        assert set(p.stop().values()) == {0}
        fast_kinesisd.control(clear=True)
        p.start()
        wait_settled(mssqld, p, reader, 30)
        for v in judge_shop(mssqld, p, reader.records):
            assert v.good, v
            assert v.repeated == 0


def test_other_numbers_in_the_middle_of_the_load(mssqld, fast_kinesisd):  # noqa: F811
    make_shop(mssqld, rows=3000)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), shippers=2,
                  weir={"LoadChunkRows": 20}) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        loaded(p, reader, 100)
        p.kill_all()
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "UPDATE dbo.orders SET id = id + 5000 WHERE id % 3 = 0")
            source.execute(c, "DELETE FROM dbo.orders WHERE id % 5 = 0")
        with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=3,
                      weir={"LoadChunkRows": 500, "RuntimeDirectory": str(p.runtime),
                            "StateDirectory": str(p.state)}) as q:
            q.start()
            wait_until(lambda: '"generation": 2' in (p.state / "topology.json").read_text(), 20,
                       "the new generation")
            wait_settled(mssqld, p, reader, 30)
            for v in judge_shop(mssqld, p, reader.records):
                assert not v.lost and not v.differences, v
