"""Large values: what the log leaves out, what a setting cuts or leaves out, and what is just large."""

import hashlib

import source
from kinesis_server import Kinesisd
from pipeline import Pipeline, wait_until
from stream import StreamReader
from test_capture import dump, make_database

MIB = 1 << 20
EVERY = {"IncludeNullAndEmpty": True, "IncludeControlDetails": True}
METADATA = {"TargetMetadata": {"LimitedSizeLobMode": True, "LobMaxSize": 1}}


def wait_rows(reader, count, operation):
    reader.wait(lambda rs: sum(r.operation == operation for r in rs) >= count, 30,
                f"{count} x {operation}")
    return [r for r in reader.records if r.operation == operation]


def unavailable(record):
    return record.metadata.get("weir-unavailable-columns", [])


def truncated(record):
    return record.metadata.get("weir-truncated-columns", {})


def as_in_row(c, names, left_out):
    """The newest update as the log of a row that keeps these values elsewhere shows it; the test
    server has them all."""
    newest = ("[__$start_lsn] = (SELECT MAX(m.start_lsn) FROM cdc.lsn_time_mapping AS m "
              "WHERE m.tran_id <> 0x00)")
    values = ", ".join("NULL" if n in left_out else n for n in names)
    source.execute(c, "INSERT INTO cdc.dbo_wide_CT SELECT [__$start_lsn], NULL, [__$seqval], "
                      f"[__$operation], [__$update_mask], {values}, [__$command_id] + 1000 "
                      f"FROM cdc.dbo_wide_CT WHERE {newest}")
    source.execute(c, f"DELETE FROM cdc.dbo_wide_CT WHERE {newest} AND [__$command_id] < 1000")


def test_what_an_update_leaves_alone_is_named_and_never_null(mssqld, kinesisd):
    """LOBs in places 1, 9 and 17: one in each byte of the update mask, whose last byte comes first."""
    names = ["l1", "id"] + [f"n{i}" for i in range(3, 9)] + ["l9"] \
        + [f"n{i}" for i in range(10, 17)] + ["l17"] + [f"n{i}" for i in range(18, 21)]
    columns = ", ".join(
        f"{n} int NOT NULL PRIMARY KEY" if n == "id" else
        f"{n} {({'l1': 'nvarchar(max)', 'l9': 'varbinary(max)', 'l17': 'xml'}).get(n, 'int')} NULL"
        for n in names)
    values = ", ".join({"id": "1", "l1": "N'one'", "l9": "0x09", "l17": "N'<r/>'"}.get(n, "0")
                       for n in names)
    updates = ["n20 = 1", "n3 = 1", "l1 = NULL", "l9 = NULL", "l17 = NULL", "l9 = 0xFF, n10 = 2",
               "l1 = N'again', l17 = N'<s/>'"]
    make_database(mssqld, [f"CREATE TABLE dbo.wide ({columns})",
                           f"INSERT INTO dbo.wide VALUES ({values})"], ("wide",))
    with Pipeline(mssqld, kinesisd, database="shop", tables=("dbo.wide",), target=EVERY) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        wait_rows(reader, 1, "load")
        p.capture.kill()
        with source.connect(mssqld, "shop") as c:
            for u in updates:
                source.execute(c, f"UPDATE dbo.wide SET {u} WHERE id = 1")
                as_in_row(c, names, [n for n in ("l1", "l9", "l17") if f"{n} =" not in u])
        p.capture.start()
        records = wait_rows(reader, len(updates), "update")
        shown = [({n: r.data[n] for n in ("l1", "l9", "l17") if n in r.data}, unavailable(r))
                 for r in records]
        assert shown == [
            ({}, ["l1", "l9", "l17"]),
            ({}, ["l1", "l9", "l17"]),
            ({"l1": None}, ["l9", "l17"]),
            ({"l9": None}, ["l1", "l17"]),
            ({"l17": None}, ["l1", "l9"]),
            ({"l9": "0xff"}, ["l1", "l17"]),
            ({"l1": "again", "l17": "<s/>"}, ["l9"]),
        ]
        assert all(len(r.data) + len(unavailable(r)) == len(names) for r in records)
        left_out = sum(len(unavailable(r)) for r in records)
        assert p.table_statistics()["TableStatistics"][0]["Weir"]["UnavailableValues"] == left_out


CUT = {  # 3000 characters each; what is left of them, and the size of the whole in the source
    "varchar(max)": ("REPLICATE(CONVERT(varchar(max), 'x'), 3000)", "x" * 1024, 3000),
    "nvarchar(max)": ("REPLICATE(CONVERT(nvarchar(max), N'\u4e2d'), 3000)", "\u4e2d" * 341, 6000),
    "varbinary(max)": ("CONVERT(varbinary(max), REPLICATE(CONVERT(varchar(max), 'x'), 3000))",
                       "0x" + "78" * 1024, 3000),
    "text": ("REPLICATE(CONVERT(varchar(max), 'x'), 3000)", "x" * 1024, 3000),
    "ntext": ("REPLICATE(CONVERT(nvarchar(max), N'\U0001F600'), 1500)", "\U0001F600" * 256, 6000),
    "image": ("CONVERT(varbinary(max), REPLICATE(CONVERT(varchar(max), 'x'), 3000))",
              "0x" + "78" * 1024, 3000),
    "xml": ("N'<r>' + REPLICATE(CONVERT(nvarchar(max), N'\u00e9'), 3000) + N'</r>'",
            "<r>" + "\u00e9" * 510, 6014),
}
WHOLE = {  # just at the limit
    "varchar(max)": ("REPLICATE('x', 1024)", "x" * 1024),
    "nvarchar(max)": ("REPLICATE(N'\u00e9', 512)", "\u00e9" * 512),
    "varbinary(max)": ("CONVERT(varbinary(max), REPLICATE('x', 1024))", "0x" + "78" * 1024),
    "text": ("''", ""), "ntext": ("N'x'", "x"), "image": ("0xFF", "0xff"), "xml": ("N'<r/>'", "<r/>"),
}


def test_limited_size_cuts_and_marks(mssqld, kinesisd):
    columns = ", ".join(f"c{i} {t} NULL" for i, t in enumerate(CUT))
    shape = "0xE6100000010C17D9CEF753D34740D34D6210585936C0"

    def row(id_, kinds):
        return f"INSERT INTO dbo.large VALUES ({id_}, {', '.join(k[0] for k in kinds)}, {shape}, 'b')"

    make_database(mssqld, [
        f"CREATE TABLE dbo.large (id int NOT NULL PRIMARY KEY, {columns}, g geography NULL, "
        "short varchar(8000) NULL)",
        row(1, CUT.values()), row(2, WHOLE.values())], ("large",))
    cut = {f"c{i}": v[1] for i, v in enumerate(CUT.values())}
    whole = {f"c{i}": v[1] for i, v in enumerate(WHOLE.values())}
    sizes = {f"c{i}": v[2] for i, v in enumerate(CUT.values())}
    with Pipeline(mssqld, kinesisd, database="shop", tables=("dbo.large",), target=EVERY,
                  settings=METADATA) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        wait_rows(reader, 2, "load")
        with source.connect(mssqld, "shop") as c:
            source.execute(c, row(3, CUT.values()))
            source.execute(c, row(4, WHOLE.values()))
            source.execute(c, f"UPDATE dbo.large SET c0 = {CUT['varchar(max)'][0]}, "
                              "short = REPLICATE('s', 8000) WHERE id = 4")
            source.execute(c, "DELETE FROM dbo.large WHERE id = 3")
        deleted, = wait_rows(reader, 1, "delete")
        rows = {r.data["id"]: r for r in reader.records if r.operation in ("load", "insert")}
        for id_ in (1, 3):
            assert {n: rows[id_].data[n] for n in cut} == cut
            assert truncated(rows[id_]) == sizes
            assert rows[id_].data["g"].startswith("0x01") and rows[id_].data["short"] == "b"
        for id_ in (2, 4):
            assert {n: rows[id_].data[n] for n in whole} == whole
            assert "weir-truncated-columns" not in rows[id_].metadata
        updated, = wait_rows(reader, 1, "update")
        assert (updated.data["c0"], truncated(updated)) == ("x" * 1024, {"c0": 3000})
        assert updated.data["short"] == "s" * 8000  # not a LOB
        assert truncated(deleted) == {n: sizes[n] for n in ("c0", "c1", "c2", "c6")}
        assert unavailable(deleted) == ["c3", "c4", "c5"]
        log = p.capture.log_text()
        assert log.count("value-truncated") == len(CUT), log  # once a column
        assert 'column="c1" bytes=6000 limit_kb=1' in log
        count = 2 * len(CUT) + 1 + 4
        assert p.table_statistics()["TableStatistics"][0]["Weir"]["TruncatedValues"] == count


def test_without_lobs(mssqld, kinesisd):
    make_database(mssqld, [
        "CREATE TABLE dbo.large (id int NOT NULL PRIMARY KEY, doc nvarchar(max) NULL, "
        "name varchar(20) NULL, shape geometry NULL, node hierarchyid NULL, old text NULL)",
        "INSERT INTO dbo.large VALUES (1, N'doc', 'n', NULL, '/1/', 'old')"], ("large",))
    with Pipeline(mssqld, kinesisd, database="shop", tables=("dbo.large",), target=EVERY,
                  settings={"TargetMetadata": {"SupportLobs": False}}) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        loaded, = wait_rows(reader, 1, "load")
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "UPDATE dbo.large SET doc = N'x', name = 'm' WHERE id = 1")
        updated, = wait_rows(reader, 1, "update")
        assert loaded.data == {"id": 1, "name": "n", "node": "/1/"}
        assert updated.data == {"id": 1, "name": "m", "node": "/1/"}
        assert not unavailable(updated)
        table, = (r.message["control"]["table-def"] for r in reader.records
                  if r.operation == "create-table")
        assert list(table["columns"]) == ["id", "name", "node"]


LARGE = {
    "varchar(max)": ("REPLICATE(CONVERT(varchar(max), 'abcdefgh'), {n} / 8)", lambda n: "abcdefgh" * (n // 8)),
    "nvarchar(max)": ("REPLICATE(CONVERT(nvarchar(max), N'a\u00e9\u4e2d\U0001F600...'), {n} / 16)",
                      lambda n: "a\u00e9\u4e2d\U0001F600..." * (n // 16)),
    "varbinary(max)": ("CONVERT(varbinary(max), REPLICATE(CONVERT(varchar(max), 'abcdefgh'), {n} / 8))",
                       lambda n: "0x" + b"abcdefgh".hex() * (n // 8)),
    "text": ("REPLICATE(CONVERT(varchar(max), 'abcdefgh'), {n} / 8)", lambda n: "abcdefgh" * (n // 8)),
    "ntext": ("REPLICATE(CONVERT(nvarchar(max), N'abcdefgh'), {n} / 16)", lambda n: "abcdefgh" * (n // 16)),
    "image": ("CONVERT(varbinary(max), REPLICATE(CONVERT(varchar(max), 'abcdefgh'), {n} / 8))",
              lambda n: "0x" + b"abcdefgh".hex() * (n // 8)),
    "xml": ("N'<r>' + REPLICATE(CONVERT(nvarchar(max), N'abcdefgh'), {n} / 16) + N'</r>'",
            lambda n: "<r>" + "abcdefgh" * (n // 16) + "</r>"),
}
BYTES = {"varbinary(max)", "image"}  # twice as long in hexadecimal


def digest(text):
    return len(text), hashlib.sha256(text.encode()).hexdigest()


def large_rows(kinds, sizes):
    """id -> (column, SQL, expected)"""
    rows = {}
    for i, (t, (sql, make)) in enumerate(LARGE.items()):
        for n in sizes:
            if t in kinds:
                rows[len(rows) + 1] = (f"c{i}", sql.format(n=n), make(n))
    return rows


def large_table():
    columns = ", ".join(f"c{i} {t} NULL" for i, t in enumerate(LARGE))
    return f"CREATE TABLE dbo.large (id int NOT NULL PRIMARY KEY, {columns})"


def inserts(rows, base):
    return [f"INSERT INTO dbo.large (id, {column}) VALUES ({base + id_}, {sql})"
            for id_, (column, sql, _) in rows.items()]


def test_two_and_eight_megabytes(mssqld):
    """Through Kinesis, whose records may be made 10 MiB large; 8 MB of bytes are 16 MB of message."""
    rows = large_rows(LARGE.keys(), [2 * MIB]) | {
        100 + i: r for i, r in large_rows(LARGE.keys() - BYTES, [8 * MIB]).items()}
    make_database(mssqld, [large_table()] + inserts(rows, 0), ("large",))
    with Kinesisd(streams="invoices:1", throttle=False) as k, \
            Pipeline(mssqld, k, database="shop", tables=("dbo.large",),
                     weir={"ChangeRingSize": "64MiB", "RecordRingSize": "64MiB"}) as p:
        k.client().update_max_record_size(
            StreamARN="arn:aws:kinesis:us-east-1:000000000000:stream/invoices",
            MaxRecordSizeInKiB=10240)
        reader = StreamReader(k.client(), "invoices")
        p.start()
        wait_rows(reader, len(rows), "load")
        with source.connect(mssqld, "shop") as c:
            for sql in inserts(rows, 1000):
                source.execute(c, sql)
        wait_rows(reader, len(rows), "insert")
        for r in reader.records:
            if r.is_data:
                column, _, wanted = rows[r.data["id"] % 1000]
                assert list(r.data) == ["id", column] and digest(r.data[column]) == digest(wanted)


def test_eight_megabytes_of_bytes(mssqld):
    """What no Kinesis record can hold, up to the change ring."""
    rows = large_rows(BYTES, [8 * MIB])
    make_database(mssqld, [large_table()] + inserts(rows, 0), ("large",))
    with Pipeline(mssqld, None, database="shop", tables=("dbo.large",),
                  weir={"ChangeRingSize": "64MiB"}) as p:
        p.capture.start()
        wait_until(lambda: sum(c.operation == "load" for c in dump(p)) == len(rows), 30, "the load")
        with source.connect(mssqld, "shop") as c:
            for sql in inserts(rows, 1000):
                source.execute(c, sql)
        wait_until(lambda: sum(c.operation == "insert" for c in dump(p)) == len(rows), 30, "inserts")
        for change in dump(p):
            if change.operation in ("load", "insert"):
                column, _, wanted = rows[int(change.after[0]) % 1000]
                assert digest(change.after[1 + int(column[1:])]) == digest(wanted[2:])
