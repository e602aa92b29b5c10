"""Definitions that change while a writer works: what the stream tells, where, and that nothing is lost."""

import json
import re
import threading

import pytds
import pytest

import source
from pipeline import ROOT, Pipeline, wait_until
from stream import StreamReader
from test_capture import Change, dump, make_database

TABLE = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(20) NULL, old int NULL, n int NULL)"
ALTERS = {"IncludeTableAlterOperations": True, "IncludeControlDetails": True}


def show(change):
    return f"{change.operation} {change.table}.{change.version} {change.position}"


Change.__repr__ = show


class Writer:
    """Inserts rows one after the other, each an insert and an update, until it is told to stop."""

    def __init__(self, mssqld, *, table="dbo.t", columns="v", value="N'x'", database="shop", first=1):
        self.mssqld, self.database = mssqld, database
        self.table, self.columns, self.value = table, columns, value
        self.id = first - 1
        self.error = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            with source.connect(self.mssqld, self.database) as c:
                while not self.stopping.is_set():
                    n = self.id + 1
                    self.execute(c, f"INSERT INTO {self.table} (id, {self.columns}) VALUES ({n}, {self.value})")
                    self.id = n
                    self.execute(c, f"UPDATE {self.table} SET v = N'y' WHERE id = {n}")
        except Exception as e:  # for the test, which looks at it
            if not self.stopping.is_set():
                self.error = e

    def execute(self, connection, sql):
        while True:
            try:
                return source.execute(connection, sql)
            except pytds.Error as e:
                # what a program may meet while its table is altered
                if not re.search("Invalid object name", str(e)) or self.stopping.is_set():
                    raise

    def __enter__(self):
        self.thread.start()
        self.wait(5)
        return self

    def __exit__(self, kind, value, traceback):
        self.stopping.set()
        self.thread.join(20)
        if kind is None and self.error is not None:
            raise self.error

    def wait(self, rows):
        """Until it has written so many rows more."""
        n = self.id + rows
        wait_until(lambda: self.id >= n or self.error, 20, f"{rows} rows more")


def definitions(pipeline):
    """The catalogue's files: (id, version) to the names of the columns."""
    out = {}
    for path in (pipeline.state / "catalog").glob("*.json"):
        d = json.loads(path.read_text())
        out[d["id"], d["version"]] = [c["name"] for c in d["columns"]]
    return out


def fold(pipeline, changes):
    """The rows a consumer ends with, by the first column, each as a dictionary by column name."""
    names = definitions(pipeline)
    rows = {}
    for c in changes:
        if c.is_watermark or c.operation not in ("load", "insert", "update", "delete"):
            continue
        columns = names[c.table, c.version]
        image = c.before if c.operation == "delete" else c.after
        row = dict(zip(columns, image))
        if c.operation == "delete":
            rows.pop(row["id"], None)
        else:
            rows[row["id"]] = row
    return rows


def events(pipeline):
    return [c for c in dump(pipeline) if not c.is_watermark]


def controls(pipeline):
    return [c for c in events(pipeline) if c.operation not in ("load", "insert", "update", "delete")]


def judge(pipeline, mssqld, columns="id, v", table="dbo.t"):
    """Order, and that the folded stream is the table, for these columns."""
    with source.connect(mssqld, "shop") as c:
        want = sorted(tuple(None if v is None else str(v) for v in r)
                      for r in source.query(c, f"SELECT {columns} FROM {table}"))
    names = columns.split(", ")

    def have():
        return sorted(tuple(r.get(n) for n in names) for r in fold(pipeline, events(pipeline)).values())
    try:
        wait_until(lambda: have() == want, 20, "the stream's rows are the table's")
    except TimeoutError:
        assert have() == want
    positions = [c.position for c in dump(pipeline)]
    assert positions == sorted(positions)


def between(pipeline, operation, version):
    """The control record stands between the last row of older definitions and the first of `version`."""
    everything = events(pipeline)
    at = [i for i, c in enumerate(everything) if c.operation == operation and c.version == version]
    assert len(at) == 1, [(c.operation, c.version, c.position) for c in controls(pipeline)] + everything[-3:]
    rows = [c for c in everything if c.operation in ("insert", "update", "delete")]
    assert all(c.version < version for c in everything[:at[0]] if c in rows)
    assert all(c.version >= version for c in everything[at[0]:] if c in rows)
    assert any(c.version < version for c in rows) and any(c.version >= version for c in rows)
    return everything[at[0]]


def enable(mssqld, instance):
    with source.connect(mssqld, "shop") as c:
        source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', "
                          f"@role_name = NULL, @capture_instance = N'{instance}'")


def alter(mssqld, *statements):
    with source.connect(mssqld, "shop") as c:
        for s in statements:
            source.execute(c, s)


def shop(mssqld):
    make_database(mssqld, [TABLE, "CREATE TABLE dbo.u (id int NOT NULL PRIMARY KEY, v nvarchar(20))"], ["t", "u"])


def task(mssqld, **more):
    return Pipeline(mssqld, None, database="shop", target=ALTERS,
                    **{"tables": ("dbo.%",), "migration": "cdc", **more})


def follow(p):
    p.capture.start()
    wait_until(lambda: any(c.is_watermark for c in dump(p)), 30, "the start")


def test_column_dropped(mssqld):
    shop(mssqld)
    with task(mssqld) as p:
        follow(p)
        with Writer(mssqld, columns="v, old", value="N'x', 7") as w:
            w.columns, w.value = "v", "N'x'"
            w.wait(3)
            alter(mssqld, "ALTER TABLE dbo.t DROP COLUMN old")
            w.wait(5)
        judge(p, mssqld, "id, v, n")
        record = between(p, "drop-column", 2)
        assert record.after[:2] == ["old", "int"] and "DROP COLUMN old" in record.after[2]
        assert p.capture.stop() == 0


def test_column_retyped(mssqld):
    shop(mssqld)
    with task(mssqld) as p:
        follow(p)
        with Writer(mssqld) as w:
            alter(mssqld, "ALTER TABLE dbo.t ALTER COLUMN v nvarchar(100) NULL",
                  "ALTER TABLE dbo.t ALTER COLUMN n bigint NULL")
            w.columns, w.value = "v, n", "N'x', 9223372036854775807"
            w.wait(5)
        judge(p, mssqld, "id, v, n")
        assert between(p, "column-type-change", 2).after[:3] == ["v", "nvarchar(20)", "nvarchar(100)"]
        assert between(p, "column-type-change", 3).after[:3] == ["n", "int", "bigint"]
        assert p.capture.stop() == 0


def test_second_instance(mssqld):
    """A column is added; the new instance takes over at its start LSN; the old one may then go."""
    shop(mssqld)
    with task(mssqld) as p:
        follow(p)
        with Writer(mssqld) as w:
            alter(mssqld, "ALTER TABLE dbo.t ADD extra nvarchar(10) NULL")
            w.columns, w.value = "v, extra", "N'x', N'new'"
            w.wait(3)
            enable(mssqld, "dbo_t2")
            w.wait(5)
        judge(p, mssqld)
        record = between(p, "add-column", 2)
        assert record.after[:2] == ["extra", "nvarchar(10)"] and "ADD extra" in record.after[2]
        last = [c for c in events(p) if c.operation == "insert"][-1]
        assert last.after[-1] == "new"
        alter(mssqld, "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N't', "
                      "@capture_instance = N'dbo_t'")
        with Writer(mssqld, first=w.id + 1) as w:
            alter(mssqld, "ALTER TABLE dbo.t ADD third int NULL")
            enable(mssqld, "dbo_t3")
            w.columns, w.value = "v, third", "N'x', 3"
            w.wait(5)
        judge(p, mssqld)
        assert between(p, "add-column", 3).after[:2] == ["third", "int"]
        assert p.capture.stop() == 0


@pytest.mark.parametrize("running", [True, False])
def test_two_instances_with_one_start(mssqld, running):
    """Both begin at the same LSN: the one made later is read, each row once."""
    make_database(mssqld, [TABLE, "CREATE TABLE dbo.u (id int NOT NULL PRIMARY KEY, v nvarchar(20))"], ["u"])
    one = ("EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, "
           "@capture_instance = N'{}', @captured_column_list = N'{}'; ")
    with task(mssqld) as p:
        if running:
            follow(p)
        alter(mssqld, "BEGIN TRANSACTION; " + one.format("first", "id, v") + one.format("second", "id, v, n") +
              "UPDATE cdc.change_tables SET create_date = DATEADD(second, 1, create_date) "
              "WHERE capture_instance = N'second'; COMMIT")
        with source.connect(mssqld, "shop") as c:
            starts = source.query(c, "SELECT COUNT(*), COUNT(DISTINCT start_lsn) FROM cdc.change_tables "
                                     "WHERE capture_instance IN (N'first', N'second')")
        assert [tuple(r) for r in starts] == [(2, 1)]
        if not running:
            follow(p)
        with Writer(mssqld, columns="v, n", value="N'x', 1") as w:
            w.wait(3)
        judge(p, mssqld, "id, v, n")
        names = definitions(p)
        rows = [c for c in events(p) if c.operation == "insert"]
        assert len(rows) == w.id and all(names[c.table, c.version] == ["id", "v", "n"] for c in rows)
        assert p.capture.stop() == 0


def test_instance_without_a_place_yet(mssqld):
    """The capture job stands still when a second instance is made: nothing stops, it takes over later."""
    shop(mssqld)
    with task(mssqld) as p:
        follow(p)
        alter(mssqld, "INSERT INTO dbo.t (id, v) VALUES (1, N'x')")
        wait_until(lambda: any(c.operation == "insert" for c in dump(p)), 20, "the row")
        alter(mssqld, "EXEC sys.sp_cdc_stop_job", "ALTER TABLE dbo.t ADD extra int NULL")
        enable(mssqld, "dbo_t2")
        alter(mssqld, "INSERT INTO dbo.t (id, v, extra) VALUES (2, N'x', 7)", "EXEC sys.sp_cdc_start_job")
        judge(p, mssqld, "id, v, extra")
        assert between(p, "add-column", 2).after[0] == "extra"
        assert "source-retry" not in p.capture.log_text()
        assert p.capture.stop() == 0


def test_ddl_inside_a_transaction(mssqld):
    """The transaction has the new definition as a whole; nothing of it is lost."""
    shop(mssqld)
    with task(mssqld) as p:
        follow(p)
        alter(mssqld, "INSERT INTO dbo.t (id, v, old) VALUES (1, N'x', 7)",
              "BEGIN TRANSACTION; INSERT INTO dbo.t (id, v, old) VALUES (2, N'x', 8); "
              "ALTER TABLE dbo.t DROP COLUMN old; INSERT INTO dbo.t (id, v) VALUES (3, N'x'); COMMIT",
              "BEGIN TRANSACTION; ALTER TABLE dbo.t DROP COLUMN n; ROLLBACK",
              "INSERT INTO dbo.t (id, v, n) VALUES (4, N'x', 9)")
        judge(p, mssqld, "id, v, n")
        between(p, "drop-column", 2)
        rows = [c for c in events(p) if c.operation == "insert"]
        assert [c.version for c in rows] == [1, 2, 2, 2]
        assert len(controls(p)) == 3  # two tables and one column
        assert p.capture.stop() == 0


def test_table_renamed(mssqld):
    shop(mssqld)
    with task(mssqld) as p:
        follow(p)
        with Writer(mssqld) as w:
            w.table = "dbo.t2"  # from the next row on, once the name is there
            alter(mssqld, "EXEC sp_rename N'dbo.t', N't2'")
            w.wait(5)
            wait_until(lambda: any(c.operation == "rename-table" for c in dump(p)), 20, "the new name")
            w.wait(5)
        judge(p, mssqld, "id, v", "dbo.t2")
        assert between(p, "rename-table", 2).after[:2] == ["dbo", "t"]
        p.capture.kill()
        with Writer(mssqld, table="dbo.t2", first=w.id + 1) as w:
            p.capture.start()
            w.wait(5)
        judge(p, mssqld, "id, v", "dbo.t2")
        assert p.capture.stop() == 0
        assert len({c.table for c in events(p) if c.operation == "insert"}) == 1


def test_table_renamed_out_of_the_task(mssqld):
    shop(mssqld)
    with task(mssqld, tables=("dbo.t", "dbo.u")) as p:
        follow(p)
        alter(mssqld, "INSERT INTO dbo.t (id, v) VALUES (1, N'x')", "EXEC sp_rename N'dbo.t', N'gone'")
        wait_until(lambda: "table-left-out" in p.capture.log_text(), 20, "the name is seen")
        alter(mssqld, "INSERT INTO dbo.gone (id, v) VALUES (2, N'x')", "INSERT INTO dbo.u (id, v) VALUES (1, N'x')")
        wait_until(lambda: sum(c.operation == "insert" for c in dump(p)) == 2, 20, "two rows")
        p.capture.kill()
        p.capture.start()
        alter(mssqld, "INSERT INTO dbo.u (id, v) VALUES (2, N'x')")
        wait_until(lambda: sum(c.operation == "insert" for c in dump(p)) == 3, 20, "a third row")
        assert p.capture.stop() == 0


@pytest.mark.parametrize("running", [True, False])
def test_table_dropped_and_made_again(mssqld, running):
    """The stream says so; the new table under the old name is another one; the others go on."""
    shop(mssqld)
    with task(mssqld) as p:
        follow(p)
        with Writer(mssqld, table="dbo.u") as w:
            alter(mssqld, "INSERT INTO dbo.t (id, v) VALUES (1, N'x')")
            wait_until(lambda: any(c.operation == "insert" and c.table == 1 for c in dump(p)), 20, "the row")
            if not running:
                p.capture.kill()
            alter(mssqld, "DROP TABLE dbo.t", "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, other int)")
            if not running:
                p.capture.start()
            wait_until(lambda: "table-dropped" in p.capture.log_text(), 20, "the drop is seen")
            enable(mssqld, "dbo_t")
            wait_until(lambda: p.capture.log_text().count("table-joins table=dbo.t ") == 2, 20, "the new table")
            alter(mssqld, "INSERT INTO dbo.t VALUES (1, 2)")
            w.wait(5)
        wait_until(lambda: [c.operation for c in events(p) if c.table == 1] ==
                   ["create-table", "insert", "drop-table", "create-table", "insert"], 20, "the story of the table")
        last = [c for c in events(p) if c.table == 1][-1]
        assert last.after == ["1", "2"] and last.version == 2
        p.capture.kill()
        p.capture.start()
        alter(mssqld, "INSERT INTO dbo.t VALUES (2, 3)")
        wait_until(lambda: [c for c in events(p) if c.table == 1][-1].after == ["2", "3"], 20, "one row more")
        positions = [c.position for c in dump(p)]
        assert positions == sorted(positions)
        assert p.capture.stop() == 0


def test_change_data_capture_off_for_a_table(mssqld):
    """It is suspended with what is lost; switched on again it stays so; the others go on."""
    shop(mssqld)
    with task(mssqld) as p:
        follow(p)
        with Writer(mssqld, table="dbo.u") as w:
            alter(mssqld, "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N't', "
                          "@capture_instance = N'all'")
            wait_until(lambda: "table-suspended" in p.capture.log_text(), 20, "the suspension")
            alter(mssqld, "INSERT INTO dbo.t (id, v) VALUES (1, N'lost')")
            enable(mssqld, "dbo_t")
            alter(mssqld, "INSERT INTO dbo.t (id, v) VALUES (2, N'behind the hole')")
            w.wait(5)
            for restart in (False, True):
                if restart:
                    p.capture.kill()
                    p.capture.start()
                n = sum(c.operation == "insert" for c in dump(p))
                wait_until(lambda: sum(c.operation == "insert" for c in dump(p)) > n + 2, 20, "the other table")
        assert not any(c.operation == "insert" and c.table == 1 for c in events(p))
        assert not any(c.operation == "drop-table" for c in events(p))
        assert p.capture.stop() == 0


def test_change_data_capture_off_for_the_database(mssqld):
    shop(mssqld)
    with task(mssqld) as p:
        follow(p)
        alter(mssqld, "INSERT INTO dbo.t (id, v) VALUES (1, N'x')")
        wait_until(lambda: any(c.operation == "insert" for c in dump(p)), 20, "the row")
        alter(mssqld, "EXEC sys.sp_cdc_disable_db")
        assert p.capture.wait() == 78
        last = [c.position for c in dump(p)][-1].split(".")[0]
        assert "sp_cdc_enable_db" in p.capture.log_text()
        assert f"changes behind {last} are lost" in p.capture.log_text()


def test_column_dropped_during_the_load(mssqld):
    """Rows loaded before and after; the table takes part to the end."""
    shop(mssqld)
    with source.connect(mssqld, "shop") as c:
        for start in range(0, 3000, 500):
            source.execute(c, "INSERT INTO dbo.t VALUES " + ", ".join(
                f"({i}, N'x', {i}, 1)" for i in range(start, start + 500)))
    with task(mssqld, migration="full-load-and-cdc", weir={"LoadChunkRows": 50}) as p:
        p.capture.start()
        wait_until(lambda: any(c.operation == "load" for c in dump(p)), 20, "the load")
        alter(mssqld, "ALTER TABLE dbo.t DROP COLUMN old", "INSERT INTO dbo.t (id, v, n) VALUES (5000, N'x', 2)")
        judge(p, mssqld, "id, v, n")
        assert sum(c.operation == "drop-column" for c in events(p)) == 1
        assert "table-suspended" not in p.capture.log_text()
        assert p.capture.stop() == 0


def test_killed_around_every_change(mssqld):
    """Everything at once while capture dies again and again, in every place: each row once, in order,
    each change of the definition told once, between the right rows."""
    shop(mssqld)
    with task(mssqld) as p:
        p.capture.build = ROOT / "build/test"
        follow(p)
        p.capture.kill()
        n = 0

        def rows(columns="v", value="N'x'"):
            nonlocal n
            alter(mssqld, *[f"INSERT INTO dbo.t (id, {columns}) VALUES ({n + i}, {value})" for i in range(4)])
            n += 4
        rows("v, old", "N'x', 1")
        alter(mssqld, "ALTER TABLE dbo.t DROP COLUMN old")
        rows()
        alter(mssqld, "ALTER TABLE dbo.t ALTER COLUMN n bigint NULL")
        rows("v, n", "N'x', 5000000000")
        alter(mssqld, "ALTER TABLE dbo.t ADD a int NULL, b int NULL")
        rows("v, a", "N'x', 1")
        enable(mssqld, "dbo_t2")
        rows("v, a, b", "N'x', 1, 2")
        alter(mssqld, "ALTER TABLE dbo.t DROP COLUMN a")
        rows("v, b", "N'x', 2")
        lives = 0
        while sum(c.operation == "insert" for c in dump(p)) < n:
            p.environment["WEIR_CRASH"] = f"*:{1 + 3 * lives}"
            p.capture.start()
            wait_until(lambda: not p.capture.running or
                       sum(c.operation == "insert" for c in dump(p)) == n, 20, "a death or the end")
            p.capture.kill()
            lives += 1
            assert lives < 200
        del p.environment["WEIR_CRASH"]
        assert lives > 5
        p.capture.start()
        alter(mssqld, f"INSERT INTO dbo.t (id, v) VALUES ({n}, N'last')")
        n += 1
        judge(p, mssqld, "id, v, n, b")
        changes = [c for c in events(p) if c.table == 1]
        assert [c.after[0] for c in changes if c.operation == "insert"] == [str(i) for i in range(n)]
        assert [(c.operation, c.version, c.after[0] if c.after else None) for c in changes
                if c.operation not in ("insert", "create-table")] == [
            ("drop-column", 2, "old"), ("column-type-change", 3, "n"),
            ("add-column", 4, "a"), ("add-column", 4, "b"), ("drop-column", 5, "a")], changes
        versions = [c.version for c in changes]
        assert versions == sorted(versions)
        assert [c.version for c in changes if c.operation == "insert"] == \
            [v for v in (1, 2, 3, 3, 4, 5) for _ in range(4)] + [5]
        assert p.capture.stop() == 0


def instances(mssqld):
    with source.connect(mssqld, "shop") as c:
        return sorted(r[0] for r in source.query(c, "SELECT capture_instance FROM cdc.change_tables"))


def test_instances_made_and_dropped(mssqld, kinesisd):
    """ManageCaptureInstances: a column is added three times over while a writer works; every new instance is
    weir's, those it made go once they are delivered, the operator's stays where `own` is set."""
    shop(mssqld)
    alter(mssqld, "CREATE ROLE readers", "CREATE TABLE dbo.w (id int NOT NULL PRIMARY KEY, v nvarchar(20), dark int)",
          "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'w', @role_name = N'readers', "
          "@captured_column_list = N'id, v'")
    with Pipeline(mssqld, kinesisd, database="shop", tables=("dbo.t", "dbo.w"), target=ALTERS, migration="cdc",
                  weir={"ManageCaptureInstances": "own", "HealthIntervalMs": 100}) as p:
        p.start()
        wait_until(lambda: p.capture.log_text().count("table-loaded") == 2, 30, "the start")
        with Writer(mssqld, table="dbo.w") as w:
            alter(mssqld, "ALTER TABLE dbo.w ADD a int NULL")
            wait_until(lambda: "dbo_w_w1" in instances(mssqld), 20, "the first instance")
            w.columns, w.value = "v, a", "N'x', 1"
            w.wait(3)
            assert instances(mssqld) == ["dbo_t", "dbo_u", "dbo_w", "dbo_w_w1"]
            wait_until(lambda: "instance-replaced" in p.weirctl("status", p.task_file).stdout, 20, "the note")
            # both places are taken by the operator's and weir's own: said, and mended by the operator
            alter(mssqld, "ALTER TABLE dbo.w ADD b int NULL")
            wait_until(lambda: "both places" in p.weirctl("status", p.task_file).stdout, 20, "the alarm")
            alter(mssqld, "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N'w', "
                          "@capture_instance = N'dbo_w'")
            wait_until(lambda: instances(mssqld) == ["dbo_t", "dbo_u", "dbo_w_w2"], 20, "the second, and the first gone")
            w.columns, w.value = "v, b", "N'x', 2"
            w.wait(3)
        with source.connect(mssqld, "shop") as c:
            kept = source.query(c, "SELECT c.role_name FROM cdc.change_tables AS c WHERE c.capture_instance = N'dbo_w_w2'")
            names = source.query(c, "SELECT cc.column_name FROM cdc.captured_columns AS cc JOIN cdc.change_tables AS c "
                                    "ON c.object_id = cc.object_id WHERE c.capture_instance = N'dbo_w_w2'")
        assert kept[0][0] == "readers"
        assert sorted(r[0] for r in names) == ["a", "b", "id", "v"]  # what nobody wanted before stays out
        reader = StreamReader(kinesisd.client(), "invoices")

        def folded():
            rows = {}
            for r in reader.records:
                if r.is_data and r.table == "dbo.w":
                    rows[r.data["id"]] = r.data
            return rows
        reader.wait(lambda rs: len(folded()) == w.id and all(x["v"] == "y" for x in folded().values()), 30, "all rows")
        controls_ = [(r.operation, r.message["control"]["weir-change"]["column-name"]) for r in reader.records
                     if r.operation == "add-column"]
        assert controls_ == [("add-column", "a"), ("add-column", "b")]
        assert folded()[w.id]["b"] == 2
        assert set(p.stop().values()) == {0}


def test_instances_without_the_right(mssqld):
    """A login that is no db_owner: said once, with the statement, and everything goes on."""
    shop(mssqld)
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE LOGIN reader WITH PASSWORD = 'Reader-1-Reader'")
    alter(mssqld, "CREATE USER reader FOR LOGIN reader", "GRANT SELECT ON SCHEMA::cdc TO reader",
          "GRANT SELECT ON SCHEMA::dbo TO reader")
    with task(mssqld, weir={"ManageCaptureInstances": "all", "HealthIntervalMs": 100},
              source={"Username": "reader"}) as p:
        (p.directory / "password").write_text("Reader-1-Reader")
        follow(p)
        with Writer(mssqld) as w:
            alter(mssqld, "ALTER TABLE dbo.t ADD extra int NULL")
            wait_until(lambda: "db_owner" in p.weirctl("status", p.task_file).stdout, 20, "the alarm")
            w.wait(3)
        judge(p, mssqld)
        assert instances(mssqld) == ["dbo_t", "dbo_u"]
        assert "source-retry" not in p.capture.log_text()
        assert p.capture.stop() == 0


def test_change_data_capture_set_up(mssqld):
    """SetUpMsCdcForTables: neither the database nor the tables have it; a look (check) changes nothing."""
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    alter(mssqld, TABLE, "INSERT INTO dbo.t (id, v) VALUES (1, N'x')")
    with task(mssqld, migration="full-load-and-cdc",
              source={"MicrosoftSQLServerSettings": {"SetUpMsCdcForTables": True}}) as p:
        assert "is not enabled" in p.weirctl("check", p.task_file).stdout
        with source.connect(mssqld, "shop") as c:
            assert not source.query(c, "SELECT is_cdc_enabled FROM sys.databases WHERE name = N'shop'")[0][0]
        p.capture.start()
        wait_until(lambda: any(c.operation == "load" for c in dump(p)), 30, "the row")
        alter(mssqld, "INSERT INTO dbo.t (id, v) VALUES (2, N'x')")
        judge(p, mssqld)
        assert p.capture.stop() == 0
