"""weir-capture alone against mssqld: what lies in the change rings, read with change_dump."""

import json
import subprocess

import pytest

import source
from pipeline import ROOT, Pipeline, wait_until
from test_story import insert, run_story_sql

CHANGE_DUMP = ROOT / "build/test/tests/crash/change_dump"


class Change:
    """One line of change_dump."""

    def __init__(self, line):
        fields = line.rstrip("\n").split("\t")
        self.operation = fields[0]
        self.is_watermark = self.operation == "watermark"
        if self.is_watermark:
            self.position = fields[1]
            return
        self.table, self.version = int(fields[1]), int(fields[2])
        self.position, self.transaction, self.number = fields[3], fields[4], int(fields[5])
        self.commit_ns = int(fields[6])
        images = [json.loads(f) for f in fields[7:]]
        self.before = images[0] if self.operation in ("update", "delete") else None
        self.after = images[-1] if images and self.operation != "delete" else None


def dump(pipeline, encoder=0, generation=1):
    ring = pipeline.runtime / f"g{generation}" / f"change.{encoder}.ring"
    if not ring.exists():
        return []
    answer = subprocess.run([CHANGE_DUMP, ring, str(generation)], text=True, capture_output=True, timeout=30)
    if answer.returncode != 0 and "appear" not in answer.stderr:
        raise AssertionError(answer.stderr)
    return [Change(line) for line in answer.stdout.split("\n") if line]


def wait_for(pipeline, count, operations=("load", "insert", "update", "delete"), timeout=30):
    """All changes of the ring once there are `count` of them."""
    def enough():
        changes = [c for c in dump(pipeline) if c.operation in operations]
        return changes if len(changes) >= count else None
    return wait_until(enough, timeout, f"{count} changes")


def make_database(mssqld, statements, tables=(), name="shop"):
    with source.connect(mssqld, "master") as c:
        source.execute(c, f"CREATE DATABASE {name}")
    with source.connect(mssqld, name) as c:
        for s in statements:
            source.execute(c, s)
        source.execute(c, "EXEC sys.sp_cdc_enable_db")
        for t in tables:
            enable(c, t)


def enable(connection, table):
    source.execute(connection, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                               f"@source_name = N'{table}', @role_name = NULL")


def test_story(mssqld):
    run_story_sql(mssqld)
    with Pipeline(mssqld, None) as p:
        p.capture.start()
        loads = wait_for(p, 10)
        assert [c.operation for c in loads] == ["load"] * 10
        assert loads[0].after == ["1", "1219578", "2022-04-15", "2022-04-30", "25", "6", "28"]
        assert loads[1].after[4] is None
        with source.connect(mssqld, "democustomer") as c:
            insert(c, 11, 3)
            source.execute(c, "UPDATE dbo.invoices SET balance = 99 WHERE invoice_id = 11")
            source.execute(c, "DELETE FROM dbo.invoices WHERE invoice_id = 12")
        changes = wait_for(p, 15)[10:]
        assert [c.operation for c in changes] == ["insert"] * 3 + ["update", "delete"]
        assert changes[3].before[0] == changes[3].after[0] == "11"
        assert changes[3].after[4] == "99" != changes[3].before[4]
        assert changes[4].before[0] == "12"
        assert all(c.number == 1 for c in changes)
        everything = dump(p)
        positions = [c.position for c in everything]
        assert positions == sorted(positions)
        assert everything[0].operation == "create-table"
        assert p.capture.stop() == 0


def test_order_over_tables(mssqld):
    make_database(mssqld, ["CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, v nvarchar(20))",
                           "CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY, v nvarchar(20))"], ["a", "b"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",)) as p:
        p.capture.start()
        wait_until(lambda: sum(c.operation == "create-table" for c in dump(p)) == 2, 30, "two tables")
        with source.connect(mssqld, "shop") as c:
            for i in range(1, 21):
                source.execute(c, "BEGIN TRANSACTION; "
                                  f"INSERT INTO dbo.a (id, v) VALUES ({i}, N'x'); "
                                  f"INSERT INTO dbo.b (id, v) VALUES ({i}, N'x'); "
                                  f"UPDATE dbo.a SET v = N'y' WHERE id = {i}; COMMIT")
        changes = wait_for(p, 60)
        assert [(c.operation, c.number) for c in changes] == \
            [("insert", 1), ("insert", 2), ("update", 3)] * 20
        assert [c.after[0] for c in changes] == [str(i) for i in range(1, 21) for _ in range(3)]
        assert len({c.table for c in changes}) == 2
        assert p.capture.stop() == 0


TYPES = [
    ("bigint", "9223372036854775807", "9223372036854775807"),
    ("smallint", "-32768", "-32768"),
    ("tinyint", "255", "255"),
    ("bit", "1", "true"),
    ("decimal(38,10)", "1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789"),
    ("numeric(9,2)", "-0.05", "-0.05"),
    ("money", "-922337203685477.5808", "-922337203685477.5808"),
    ("smallmoney", "214748.3647", "214748.3647"),
    ("float", "0.1", "0.1"),
    ("real", "1.5", "1.5"),
    ("date", "'0001-01-01'", "0001-01-01"),
    ("time(7)", "'23:59:59.9999999'", "23:59:59.9999999"),
    ("datetime", "'2024-02-29T12:34:56.007'", "2024-02-29T12:34:56.0070000"),
    ("datetime2(7)", "'9999-12-31T23:59:59.9999999'", "9999-12-31T23:59:59.9999999"),
    ("smalldatetime", "'2024-02-29T12:34:00'", "2024-02-29T12:34:00.0000000"),
    ("datetimeoffset(7)", "'2024-02-29T12:34:56.1234567+05:30'", "2024-02-29 12:34:56.1234567 +05:30"),
    ("char(5)", "'ab'", "ab   "),
    ("varchar(20)", "'it''s'", "it's"),
    ("nchar(3)", "N'\u00e4'", "\u00e4  "),
    ("nvarchar(20)", "N'\u6f22\U0001F600'", "\u6f22\U0001F600"),
    ("nvarchar(max)", "N'long'", "long"),
    ("varchar(max)", "'long'", "long"),
    ("binary(4)", "0x0102", "01020000"),
    ("varbinary(8)", "0xFF00", "ff00"),
    ("varbinary(max)", "0xABCD", "abcd"),
    ("uniqueidentifier", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "6F9619FF-8B86-D011-B42D-00C04FC964FF"),
    ("xml", "N'<a>x</a>'", "<a>x</a>"),
]


def test_every_type_in_load_and_log(mssqld):
    columns = ", ".join(f"c{i} {t[0]} NULL" for i, t in enumerate(TYPES))
    values = ", ".join(t[1] for t in TYPES)
    make_database(mssqld, [f"CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, {columns})",
                           f"INSERT INTO dbo.t VALUES (1, {values})",
                           "INSERT INTO dbo.t (id) VALUES (2)"], ["t"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.t",)) as p:
        p.capture.start()
        loads = wait_for(p, 2)
        with source.connect(mssqld, "shop") as c:
            source.execute(c, f"INSERT INTO dbo.t VALUES (3, {values})")
            source.execute(c, "DELETE FROM dbo.t WHERE id = 3")
        changes = wait_for(p, 4)[2:]
        want = [t[2] for t in TYPES]
        for image in (loads[0].after, changes[0].after, changes[1].before):
            assert image[1:] == want
        assert loads[1].after[1:] == [None] * len(TYPES)
        assert p.capture.stop() == 0


def test_chunks_of_a_composite_key(mssqld):
    rows = [(f"k{i % 7}'", i) for i in range(250)]
    inserts = [f"INSERT INTO dbo.t VALUES (N'{k.replace(chr(39), chr(39) * 2)}', {i}, N'row {i}')" for k, i in rows]
    make_database(mssqld, ["CREATE TABLE dbo.t (k nvarchar(10) NOT NULL, n int NOT NULL, v nvarchar(20), "
                           "PRIMARY KEY (k, n))", *inserts], ["t"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.t",), weir={"LoadChunkRows": 100}) as p:
        p.capture.start()
        loads = wait_for(p, 250)
        assert sorted((c.after[0], int(c.after[1])) for c in loads) == sorted(rows)
        assert len({c.position for c in loads}) == 3
        keys = [(c.after[0], int(c.after[1])) for c in loads]
        assert keys == sorted(keys)
        assert p.capture.stop() == 0


def test_killed_again_and_again(mssqld):
    """Each change once in the ring, in order, however often capture dies."""
    make_database(mssqld, ["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(20))"], ["t"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.t",), migration="cdc") as p:
        p.capture.start()
        wait_until(lambda: any(c.operation == "create-table" for c in dump(p)), 30, "the table")
        with source.connect(mssqld, "shop") as c:
            for round_ in range(10):
                for i in range(30):
                    source.execute(c, f"INSERT INTO dbo.t VALUES ({round_ * 30 + i}, N'x')")
                if round_ % 2:  # else it dies while starting, or before it sees them
                    wait_for(p, round_ * 30 + 1)
                p.capture.kill()
                p.capture.start()
            source.execute(c, "INSERT INTO dbo.t VALUES (300, N'last')")
        changes = wait_for(p, 301)
        assert [int(c.after[0]) for c in changes] == list(range(301))
        assert p.capture.stop() == 0


def test_table_enabled_later(mssqld):
    make_database(mssqld, ["CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY)",
                           "CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY)"], ["a"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",)) as p:
        p.capture.start()
        wait_until(lambda: any(c.operation == "create-table" for c in dump(p)), 30, "table a")
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "INSERT INTO dbo.b VALUES (7)")
            enable(c, "b")
            source.execute(c, "INSERT INTO dbo.b VALUES (1)")
            source.execute(c, "INSERT INTO dbo.a VALUES (2)")

        def seen(operation):
            return [c.after[0] for c in dump(p) if c.operation == operation]
        wait_until(lambda: len(seen("insert")) == 2 and "7" in seen("load"), 30, "table b")
        assert seen("insert") == ["1", "2"]
        # Its rows are loaded while the log is followed; a row may be in both.
        assert set(seen("load")) <= {"7", "1"}
        assert sum(c.operation == "create-table" for c in dump(p)) == 2
        assert p.capture.stop() == 0


def test_cleanup_that_overtook_stops_the_task(mssqld):
    make_database(mssqld, ["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)"], ["t"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.t",)) as p:
        p.capture.start()
        wait_until(lambda: any(c.is_watermark for c in dump(p)), 30, "the start")
        assert p.capture.stop() == 0
        with source.connect(mssqld, "shop") as c:
            for i in range(5):
                source.execute(c, f"INSERT INTO dbo.t VALUES ({i})")
            source.execute(c, "DECLARE @m binary(10) = (SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping "
                              "WHERE tran_id <> 0x00); EXEC sys.sp_cdc_cleanup_change_table "
                              "@capture_instance = N'dbo_t', @low_water_mark = @m, @threshold = 5000")
        p.capture.start()
        assert p.capture.wait() == 78
        text = p.capture.log_text()
        assert "history-gap" in text and "table dbo.t" in text and "retention" in text


@pytest.mark.parametrize("what", ["database", "table"])
def test_change_data_capture_off(mssqld, what):
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    with source.connect(mssqld, "shop") as c:
        source.execute(c, "CREATE TABLE dbo.t (id int)")
        if what == "table":
            source.execute(c, "EXEC sys.sp_cdc_enable_db")
    with Pipeline(mssqld, None, database="shop", tables=("dbo.t",)) as p:
        p.capture.start()
        assert p.capture.wait() == 78
        assert f"sp_cdc_enable_{'db' if what == 'database' else 'table'}" in p.capture.log_text()


def test_server_restart_is_waited_for(mssqld):
    make_database(mssqld, ["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)"], ["t"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.t",)) as p:
        p.capture.start()
        wait_until(lambda: any(c.is_watermark for c in dump(p)), 30, "the start")
        mssqld.restart()
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "INSERT INTO dbo.t VALUES (1)")
        assert wait_for(p, 1)[0].after == ["1"]
        assert p.capture.running
        assert p.capture.stop() == 0
