"""Full load: every kind of key, in parallel, under writers, killed; exact; by rule; while following."""

import datetime
import json
import random
import threading
import time
import uuid

import pytest

import source
from kinesis_server import Kinesisd
from pipeline import Pipeline, wait_until
from stream import StreamReader, judge, order_breaches

SEED = 20261122
EPOCH = datetime.datetime(2024, 1, 1)
ROWS = 2500

# name: columns of the key, its declaration, the key of row i as literals
KEYS = {
    "k_int": (["id"], "id int NOT NULL PRIMARY KEY", lambda i: [str(i)]),
    "k_pair": (["a", "b"], "a int NOT NULL, b varchar(20) NOT NULL, PRIMARY KEY (a, b)",
               lambda i: [str(i % 40), f"'part {i // 40}'"]),
    "k_guid": (["id"], "id uniqueidentifier NOT NULL PRIMARY KEY",
               lambda i: [f"'{uuid.UUID(int=i * 2654435761 % 2**32 << 96 | i)}'"]),
    "k_text": (["id"], "id varchar(40) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY",
               lambda i: [f"'{'aBcZ'[i % 4]}-{i * 7919 % 100003}'"]),
    "k_time": (["id"], "id datetime2(3) NOT NULL PRIMARY KEY",
               lambda i: [f"'{(EPOCH + datetime.timedelta(milliseconds=7919 * i)).isoformat(timespec='milliseconds')}'"]),
    "k_decimal": (["id"], "id decimal(20,4) NOT NULL PRIMARY KEY", lambda i: [f"{i}.{i % 10000:04}"]),
    "k_none": (["id"], "id int NOT NULL", lambda i: [str(i)]),
}
SMALL = [f"small_{i}" for i in range(20)]


@pytest.fixture
def fast_kinesisd():
    server = Kinesisd(streams="invoices:4", throttle=False).start()
    yield server
    server.stop()


def enable(c, table):
    source.execute(c, f"EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', "
                      "@role_name = NULL")


def fill(c, name, first, count):
    columns, _, key = KEYS[name]
    for start in range(first, first + count, 500):
        values = ", ".join(f"({', '.join(key(i))}, 0, N'row {i} ü')"
                           for i in range(start, min(start + 500, first + count)))
        source.execute(c, f"INSERT INTO dbo.{name} ({', '.join(columns)}, v, t) VALUES {values}")


def make_tables(mssqld, rows, names=tuple(KEYS), small=SMALL, snapshot=False, cdc=True):
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
        if snapshot:
            source.execute(c, "ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON")
    with source.connect(mssqld, "shop") as c:
        source.execute(c, "EXEC sys.sp_cdc_enable_db")
        for name in names:
            source.execute(c, f"CREATE TABLE dbo.{name} ({KEYS[name][1]}, v int NOT NULL, t nvarchar(40))")
            fill(c, name, 0, rows)
            if cdc:
                enable(c, name)
        for name in small:
            source.execute(c, f"CREATE TABLE dbo.{name} (id int NOT NULL PRIMARY KEY, v int NOT NULL)")
            source.execute(c, f"INSERT INTO dbo.{name} VALUES (1, 0), (2, 0), (3, 0)")
            enable(c, name)


class Writers:
    """Threads that insert, update (v + 1) and delete rows of the tables until they are stopped."""

    def __init__(self, mssqld, names, rows, seed, threads=2):
        self.mssqld, self.names, self.rows = mssqld, list(names), rows
        self.stopping = threading.Event()
        self.statements = 0
        self.errors = []
        self.threads = [threading.Thread(target=self.run, args=(random.Random(seed + i), i))
                        for i in range(threads)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for t in self.threads:
            t.join()

    def run(self, rng, index):
        next_row = self.rows + index * 100_000
        try:
            with source.connect(self.mssqld, "shop") as c:
                while not self.stopping.is_set():
                    name = rng.choice(self.names)
                    columns, _, key = KEYS[name]
                    where = " AND ".join(f"{n} = {v}" for n, v in
                                         zip(columns, key(rng.randrange(self.rows))))
                    kind = rng.randrange(4)
                    if kind == 0:
                        fill(c, name, next_row, 2)
                        next_row += 2
                    elif kind == 1:
                        source.execute(c, f"DELETE FROM dbo.{name} WHERE {where}")
                    else:
                        source.execute(c, f"UPDATE dbo.{name} SET v = v + 1 WHERE {where}")
                    self.statements += 1
        except Exception as e:  # shown by the test
            self.errors.append(e)


def loaded(p):
    """The plan says that every table the task began with is loaded."""
    file = p.state / "capture.json"
    return file.exists() and json.loads(file.read_text())["loaded"]


def planned(p):
    file = p.state / "capture.json"
    return json.loads(file.read_text())["next_chunk"] - 1 if file.exists() else 0


def since_of(p):
    """Per table, the LSN from which its changes count."""
    state = json.loads((p.state / "capture.json").read_text())
    return {t["name"]: bytes.fromhex(t["since"])[:10] for t in state["tables"]}


def wait_settled(mssqld, p, reader, names, timeout=60):
    since = since_of(p)
    with source.connect(mssqld, "shop") as c:
        wait_captured(c)
        wanted = {(f"dbo.{n}", x) for n in names
                  for x in source.change_positions(c, f"dbo_{n}", since[n])}
    seen = set()

    def all_there(records):
        seen.update((r.table, r.position) for r in records[all_there.at:] if r.is_data)
        all_there.at = len(records)
        return wanted <= seen

    all_there.at = 0
    reader.wait(all_there, timeout, "all changes")


def wait_captured(c):
    """The capture job has come to the newest change: a marker row is in its change table."""
    marker = random.randrange(10**6, 10**9)
    source.execute(c, f"INSERT INTO dbo.small_0 VALUES ({marker}, 0)")
    wait_until(lambda: source.query(c, f"SELECT id FROM cdc.dbo_small_0_CT WHERE id = {marker}"), 30,
               "the capture job")


def judge_tables(mssqld, p, records, names):
    verdicts = []
    since = since_of(p)
    with source.connect(mssqld, "shop") as c:
        for name in names:
            columns = KEYS[name][0] if name in KEYS else ["id"]
            verdicts.append(judge(records, f"dbo.{name}", columns,
                                  [as_message(row) for row in source.rows(c, f"dbo.{name}")],
                                  source.change_positions(c, f"dbo_{name}", since[name])))
    return verdicts


def as_message(row):
    return {n: str(v).upper() if isinstance(v, uuid.UUID) else v for n, v in row.items()}


SETTINGS = {"FullLoadSettings": {"MaxFullLoadSubTasks": 8, "CommitRate": 150}}


@pytest.mark.parametrize("encoders,shippers,snapshot", [(1, 1, False), (2, 2, False), (2, 2, True)])
def test_every_key_under_writers_and_kills(mssqld, fast_kinesisd, encoders, shippers, snapshot):
    """With snapshots a table's changes count from its own moment, whatever dies then."""
    make_tables(mssqld, ROWS, snapshot=snapshot)
    rng = random.Random(SEED)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=encoders,
                  shippers=shippers, settings=SETTINGS) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        with Writers(mssqld, KEYS, ROWS, SEED) as w:
            p.start()
            kills = chunks = 0
            while not loaded(p) or kills < 4:
                wait_until(lambda: planned(p) > chunks or loaded(p), 30, "a step of the load")
                chunks = planned(p)
                time.sleep(rng.uniform(0, 0.2))  # the moment of death is the random part
                p.capture.kill()
                p.restart_dead()
                kills += 1
            wait_until(lambda: w.statements > 300 or w.errors, 60, "the writers")
        assert not w.errors
        wait_settled(mssqld, p, reader, list(KEYS) + SMALL)
        for name, v in zip(list(KEYS) + SMALL, judge_tables(mssqld, p, reader.records, list(KEYS) + SMALL)):
            assert v.good, f"{name}, {kills} kills: {v}\n{v.differences[:3]}{v.out_of_order[:3]}"


def replay_strictly(records, name):
    """The stream as an append-only consumer takes it: every record must fit the row it finds."""
    rows, faults = {}, []
    for r in sorted((r for r in records if r.is_data and r.table == f"dbo.{name}"),
                    key=lambda r: r.position):
        row = tuple(r.data[c] for c in KEYS[name][0])
        was = rows.get(row)
        fits = {"load": was is None, "insert": was is None, "delete": was is not None,
                "update": was is not None and r.data["v"] == was + 1}[r.operation]
        if not fits:
            faults.append((r.operation, row, was, r.data))
        rows[row] = None if r.operation == "delete" else r.data["v"]
    return {row: v for row, v in rows.items() if v is not None}, faults


def test_exact_hand_over_repeats_nothing(mssqld, fast_kinesisd):
    names = [n for n in KEYS if n != "k_none"]
    make_tables(mssqld, ROWS, names=names, small=SMALL[:1], snapshot=True)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), settings=SETTINGS,
                  weir={"LoadHandover": "exact"}) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        with Writers(mssqld, names, ROWS, SEED, threads=3) as w:
            wait_until(lambda: w.statements > 50 or w.errors, 60, "the writers")
            p.start()
            wait_until(lambda: loaded(p), 60, "the load")
            at = w.statements
            wait_until(lambda: w.statements > at + 100 or w.errors, 60, "the writers")
        assert not w.errors
        wait_settled(mssqld, p, reader, names)
        with source.connect(mssqld, "shop") as c:
            for name in names:
                rows, faults = replay_strictly(reader.records, name)
                assert not faults, f"{name}: {len(faults)} records do not fit: {faults[:3]}"
                assert len(rows) == source.query(c, f"SELECT COUNT(*) FROM dbo.{name}")[0][0]
        assert not order_breaches(reader.records)
        assert "load-with-repeats" not in p.capture.log_text()


def test_exact_only_is_refused_where_it_cannot_be(mssqld):
    make_tables(mssqld, 10, names=["k_int"], small=[])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), weir={"LoadHandover": "exact"}) as p:
        p.capture.start()
        assert p.capture.wait() == 78
        assert "ALLOW_SNAPSHOT_ISOLATION" in p.capture.log_text()


def test_table_that_joins_under_writers(mssqld, fast_kinesisd):
    """Its rows are read between rounds of the log; killed meanwhile, the load goes on."""
    make_tables(mssqld, ROWS, names=["k_pair"], small=SMALL[:1], cdc=False)
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), settings=SETTINGS) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        wait_until(lambda: loaded(p), 30, "the first load")
        with Writers(mssqld, ["k_pair"], ROWS, SEED) as w:
            with source.connect(mssqld, "shop") as c:
                enable(c, "k_pair")
            for _ in range(5):
                at = w.statements
                wait_until(lambda: w.statements > at + 40 or w.errors, 60, "the writers")
                p.capture.kill()
                p.restart_dead()
            reader.wait(lambda rs: {r.table for r in rs} >= {"dbo.k_pair"}, 60, "the table")
            wait_until(lambda: all(t["planned"] for t in json.loads(
                (p.state / "capture.json").read_text())["tables"]), 60, "its load")
        assert not w.errors
        wait_settled(mssqld, p, reader, ["k_pair", "small_0"])
        for v in judge_tables(mssqld, p, reader.records, ["k_pair"]):
            assert v.good, f"{v}\n{v.differences[:3]}"


def rules(parallel):
    return [{"rule-type": "selection", "rule-id": "1", "rule-name": "all", "rule-action": "include",
             "object-locator": {"schema-name": "dbo", "table-name": "%"}},
            {"rule-type": "table-settings", "rule-id": "2", "rule-name": "parts",
             "object-locator": {"schema-name": "dbo", "table-name": "t"}, "parallel-load": parallel}]


def test_ranges_lose_no_nulls(mssqld, fast_kinesisd):
    """Pieces by DMS's boundaries; rows with NULL, which DMS leaves out, are there once."""
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    with source.connect(mssqld, "shop") as c:
        source.execute(c, "EXEC sys.sp_cdc_enable_db")
        source.execute(c, "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a int, b varchar(10))")
        source.execute(c, "INSERT INTO dbo.t VALUES " + ", ".join(
            f"({i}, {i % 10 if i % 7 else 'NULL'}, {repr('x' * (i % 4)) if i % 5 else 'NULL'})"
            for i in range(400)))
        enable(c, "t")
    parallel = {"type": "ranges", "columns": ["a", "b"], "boundaries": [["3", "xx"], ["7", "x"]]}
    with Pipeline(mssqld, fast_kinesisd, database="shop", rules=rules(parallel)) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 400, 30, "the load")
        wait_until(lambda: loaded(p), 30, "the load's end")
        reader.poll()
        assert sorted(r.data["id"] for r in reader.records if r.is_load) == list(range(400))
        assert "pieces=3" in p.capture.log_text()


def test_wrong_boundary_is_told(mssqld):
    make_tables(mssqld, 10, names=["k_int"], small=[])
    parallel = {"type": "ranges", "columns": ["v"], "boundaries": [["often"]]}
    task_rules = rules(parallel)
    task_rules[1]["object-locator"]["table-name"] = "k_int"
    with Pipeline(mssqld, None, database="shop", rules=task_rules) as p:
        p.capture.start()
        assert p.capture.wait() == 78
        assert "a boundary is no value of its column" in p.capture.log_text()
        assert "rules[1].parallel-load" in p.capture.log_text()


def test_prep_mode_and_stop_after_load(mssqld, fast_kinesisd):
    make_tables(mssqld, 300, names=["k_int"], small=SMALL[:1])
    settings = {"FullLoadSettings": {"TargetTablePrepMode": "DROP_AND_CREATE",
                                     "StopTaskCachedChangesNotApplied": True}}
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), settings=settings) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        assert p.capture.wait() == 0
        reader.wait(lambda rs: sum(r.is_load for r in rs) == 303, 30, "the load")
        control = [r.operation for r in reader.records
                   if not r.is_data and r.metadata["table-name"] == "k_int"]
        assert control == ["drop-table", "create-table"]
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "UPDATE dbo.k_int SET v = 5 WHERE id = 1")
        p.capture.start()  # started again it goes on
        reader.wait(lambda rs: any(r.operation == "update" for r in rs), 30, "the change")
        assert p.capture.running


def test_full_load_alone_stays_ended(mssqld, fast_kinesisd):
    make_tables(mssqld, 300, names=["k_int", "k_none"], small=[])
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), migration="full-load") as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        assert p.capture.wait() == 0
        reader.wait(lambda rs: sum(r.is_load for r in rs) == 600, 30, "the load")
        p.task["SourceEndpoint"]["Port"] = 1  # nobody there: nothing is asked any more
        p.write_task()
        p.capture.start()
        assert p.capture.wait() == 0
        reader.poll()
        assert sum(r.is_load for r in reader.records) == 600


def test_partitions_and_statistics(mssqld, fast_kinesisd):
    """Pieces by $PARTITION, by a histogram, of heaps by an index and by the rows' checksums: each row once."""
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    with source.connect(mssqld, "shop") as c:
        for statement in ["EXEC sys.sp_cdc_enable_db",
                          "CREATE PARTITION FUNCTION pf(int) AS RANGE RIGHT FOR VALUES (3000, 9000)",
                          "CREATE PARTITION SCHEME ps AS PARTITION pf ALL TO ([PRIMARY])",
                          "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v int) ON ps(id)",
                          "CREATE TABLE dbo.h (id varchar(30) NOT NULL PRIMARY KEY, v int)"]:
            source.execute(c, statement)
        for start in range(0, 42_000, 1000):
            rows = range(start, start + 1000)
            source.execute(c, "INSERT INTO dbo.h VALUES " + ", ".join(f"('k{i * 7919 % 50000}', {i})" for i in rows))
            if start < 12_000:
                source.execute(c, "INSERT INTO dbo.t VALUES " + ", ".join(f"({i}, {i})" for i in rows))
        source.execute(c, "UPDATE STATISTICS dbo.h")
        for table in ("t", "h"):
            enable(c, table)
    with Pipeline(mssqld, fast_kinesisd, database="shop", rules=rules({"type": "partitions-auto"})) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 54_000, 60, "the load")
        wait_until(lambda: loaded(p), 30, "the load's end")
        reader.poll()
        assert sorted(r.data["id"] for r in reader.records if r.is_load and r.table == "dbo.t") == list(range(12_000))
        assert sorted(r.data["v"] for r in reader.records if r.is_load and r.table == "dbo.h") == list(range(42_000))
        log = p.capture.log_text()
        assert "table=dbo.t rows=12000 pieces=3" in log
        assert "table=dbo.h rows=42000 pieces=4" in log and "no-histogram" not in log
        status = json.loads(p.weirctl("status", p.task_file, "--json").stdout)
        progress = status["ReplicationTaskStats"]
        assert (progress["FullLoadProgressPercent"], progress["TablesLoaded"]) == (100, 2)
        assert {t["Weir"]["FullLoadEstimate"] for t in status["tables"]} == {12_000, 42_000}


def test_reload_by_command_under_writers(mssqld, fast_kinesisd):
    """One table anew while all go on; killed in between; the folded stream is the table."""
    names = ["k_int", "k_text"]
    make_tables(mssqld, ROWS, names=names, small=SMALL[:1])
    with Pipeline(mssqld, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2, shippers=2,
                  settings=SETTINGS) as p:
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        with Writers(mssqld, names, ROWS, SEED) as w:
            p.start()
            wait_until(lambda: loaded(p), 60, "the load")
            for _ in range(3):
                answer = p.weirctl("reload", p.task_file, "--table", "dbo.k_text")
                assert answer.returncode == 0, answer.stderr
                at = w.statements
                wait_until(lambda: w.statements > at + 20 or w.errors, 60, "the writers")
                p.capture.kill()
                p.restart_dead()
            answer = p.weirctl("reload", p.task_file, "--table", "dbo.k_text", "--wait", "40")
            assert answer.returncode == 0, answer.stderr
        assert not w.errors
        wait_settled(mssqld, p, reader, names)
        loads = {n: sum(r.is_load for r in reader.records if r.table == f"dbo.{n}") for n in names}
        assert loads["k_text"] > 1.5 * ROWS and loads["k_int"] < 1.4 * ROWS
        for v in judge_tables(mssqld, p, reader.records, names):
            assert v.good, f"{v}\n{v.differences[:3]}"
