"""Definitions that change while a writer works: what the stream tells, where, and that nothing is lost."""

import json
import subprocess
import threading
import time

import pytds
import pytest

import source
from pipeline import ROOT, Pipeline, wait_until
from test_capture import CHANGE_DUMP, Change, dump, make_database

TABLE = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(20) NULL, old int NULL, n int NULL)"
ALTERS = {"IncludeTableAlterOperations": True, "IncludeControlDetails": True}


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
                if "internal" not in str(e) and "update conflict" not in str(e):
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
    wait_until(lambda: have() == want, 30, "the stream's rows are the table's")
    positions = [c.position for c in dump(pipeline)]
    assert positions == sorted(positions)


def between(pipeline, operation, version):
    """The control record stands between the last row of older definitions and the first of `version`."""
    everything = events(pipeline)
    at = [i for i, c in enumerate(everything) if c.operation == operation and c.version == version]
    assert len(at) == 1, [(c.operation, c.version) for c in everything if c.operation != "insert"][:50]
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
    return Pipeline(mssqld, None, database="shop", tables=("dbo.%",), target=ALTERS,
                    **{"migration": "cdc", **more})


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
