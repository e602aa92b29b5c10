"""Every scalar type of SQL Server with its extremes, through the whole pipeline, value by value.

The expected values are written by hand: what the source holds, in the form a consumer reads.
"""

from decimal import Decimal

import pytest

import source
from pipeline import Pipeline
from stream import StreamReader

D = Decimal
BIG_TEXT = "0123456789abcdef" * 1200  # above the 8000 bytes of a short column
PLANE_1 = "x\U0001F600\u00e9\u4e2d\u202ey"
ESCAPES = "q\" b\\ s/ a'\t\r\n\x01\x7f"


def text(value):
    """An N'' literal; characters below blank by NCHAR, as an editor would have to."""
    parts, plain = [], ""
    for c in value:
        if c < " ":
            parts += [f"N'{plain}'", f"NCHAR({ord(c)})"]
            plain = ""
        else:
            plain += "''" if c == "'" else c
    return " + ".join(parts + [f"N'{plain}'"])


# type, then pairs of what is written into SQL and what is expected in the message
TYPES = [
    ("bit", ("0", False), ("1", True)),
    ("tinyint", ("0", 0), ("255", 255)),
    ("smallint", ("-32768", -32768), ("32767", 32767)),
    ("int", ("-2147483648", -2**31), ("2147483647", 2**31 - 1), ("0", 0)),
    ("bigint", ("-9223372036854775808", -2**63), ("9223372036854775807", 2**63 - 1),
     ("9007199254740993", 2**53 + 1)),
    ("decimal(38,0)", ("99999999999999999999999999999999999999", 10**38 - 1),
     ("-99999999999999999999999999999999999999", 1 - 10**38), ("0", 0)),
    ("decimal(38,38)", ("0.99999999999999999999999999999999999999", D("0." + "9" * 38)),
     ("-0.00000000000000000000000000000000000001", D("-0." + "0" * 37 + "1")),
     ("0", D("0." + "0" * 38))),
    ("decimal(1,0)", ("-9", -9), ("9", 9)),
    ("numeric(9,2)", ("-1234567.89", D("-1234567.89")), ("0.1", D("0.10"))),
    ("numeric(19,4)", ("922337203685477.5808", D("922337203685477.5808")), ("-0.0001", D("-0.0001"))),
    ("money", ("-922337203685477.5808", D("-922337203685477.5808")),
     ("922337203685477.5807", D("922337203685477.5807")), ("0.0001", D("0.0001")),
     ("-0.0001", D("-0.0001"))),
    ("smallmoney", ("-214748.3648", D("-214748.3648")), ("214748.3647", D("214748.3647"))),
    ("real", ("3.4028235E38", D("3.4028235e38")), ("-1.17549435E-38", D("-1.1754944e-38")),
     ("0.1", D("0.1")), ("16777216", 16777216)),
    ("float", ("1.7976931348623157E308", D("1.7976931348623157e308")),
     ("-2.2250738585072014E-308", D("-2.2250738585072014e-308")), ("0.1", D("0.1")),
     ("9007199254740993E0", 2**53)),
    ("date", ("'0001-01-01'", "0001-01-01"), ("'9999-12-31'", "9999-12-31"),
     ("'2024-02-29'", "2024-02-29"), ("'1582-10-15'", "1582-10-15")),
    ("time(0)", ("'00:00:00'", "00:00:00"), ("'23:59:59'", "23:59:59")),
    ("time(7)", ("'00:00:00.0000001'", "00:00:00.0000001"),
     ("'23:59:59.9999999'", "23:59:59.9999999")),
    ("datetime", ("'1753-01-01T00:00:00.000'", "1753-01-01T00:00:00.000Z"),
     ("'9999-12-31T23:59:59.997'", "9999-12-31T23:59:59.997Z"),
     ("'1899-12-31T23:59:59.003'", "1899-12-31T23:59:59.003Z")),
    ("smalldatetime", ("'1900-01-01T00:00:00'", "1900-01-01T00:00:00Z"),
     ("'2079-06-06T23:59:00'", "2079-06-06T23:59:00Z")),
    ("datetime2(0)", ("'0001-01-01T00:00:00'", "0001-01-01T00:00:00Z"),
     ("'9999-12-31T23:59:59'", "9999-12-31T23:59:59Z")),
    ("datetime2(7)", ("'0001-01-01T00:00:00.0000001'", "0001-01-01T00:00:00.0000001Z"),
     ("'9999-12-31T23:59:59.9999999'", "9999-12-31T23:59:59.9999999Z")),
    ("datetimeoffset(7)",
     ("'0001-01-01T14:00:00.0000001 +14:00'", "0001-01-01 14:00:00.0000001 +14:00"),
     ("'9999-12-31T09:59:59.9999999 -14:00'", "9999-12-31 09:59:59.9999999 -14:00"),
     ("'2024-02-29T12:34:56.7 +05:30'", "2024-02-29 12:34:56.7000000 +05:30")),
    ("datetimeoffset(0)", ("'1969-12-31T23:59:59 -00:30'", "1969-12-31 23:59:59 -00:30"),
     ("'2024-02-29T00:00:00 +00:00'", "2024-02-29 00:00:00 +00:00")),
    ("char(8)", ("'abc'", "abc"), ("'12345678'", "12345678"), ("''", "")),
    ("varchar(40)", ("'  two blanks around  '", "  two blanks around  "), ("''", ""),
     (text(ESCAPES), ESCAPES), ("N'caf\u00e9 \u20ac'", "caf\u00e9 \u20ac")),
    ("varchar(8000)", ("REPLICATE('x', 8000)", "x" * 8000), ("'x'", "x")),
    ("varchar(max)", (text(BIG_TEXT), BIG_TEXT), ("''", ""), ("'short'", "short")),
    ("nchar(8)", ("N'a\u00f1b'", "a\u00f1b"), ("N'\U0001F600\u4e2d'", "\U0001F600\u4e2d")),
    ("nvarchar(60)", (text(PLANE_1), PLANE_1), (text(ESCAPES), ESCAPES), ("N''", ""),
     ("NCHAR(65279) + N'x'", "\ufeffx")),
    ("nvarchar(4000)", ("REPLICATE(N'\u4e2d', 4000)", "\u4e2d" * 4000), ("N'x'", "x")),
    ("nvarchar(max)", (text(BIG_TEXT + PLANE_1), BIG_TEXT + PLANE_1), ("N''", "")),
    ("binary(4)", ("0x00", "0x00000000"), ("0xFFFEFDFC", "0xfffefdfc")),
    ("varbinary(40)", ("0x", "0x"), ("0x00FF0080", "0x00ff0080")),
    ("varbinary(max)", ("0x" + "00FF" * 9000, "0x" + "00ff" * 9000), ("0x", "0x")),
    ("uniqueidentifier",
     ("'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "6F9619FF-8B86-D011-B42D-00C04FC964FF"),
     ("'00000000-0000-0000-0000-000000000000'", "00000000-0000-0000-0000-000000000000")),
    ("xml", ("N'<a b=\"1\">\u00e9</a>'", "<a b=\"1\">\u00e9</a>"), ("N'<r/>'", "<r/>")),
    ("sql_variant", ("CAST(42 AS int)", "42"), ("CAST(N'n\u00e9' AS nvarchar(20))", "n\u00e9"),
     ("CAST(1.50 AS decimal(9,2))", "1.50")),
    ("text", ("'a text'", "a text"), (text(BIG_TEXT), BIG_TEXT)),
    ("ntext", ("N'" + PLANE_1 + "'", PLANE_1), ("N''", "")),
    ("image", ("0xCAFE00", "0xcafe00"), ("0x", "0x")),
]
OLD_LOBS = {"text", "ntext", "image"}  # SQL Server keeps no old values of these
LOBS = OLD_LOBS | {"varchar(max)", "nvarchar(max)", "varbinary(max)", "xml"}
VARIANTS = max(len(t) - 1 for t in TYPES)


def of_variant(t, v):
    """(SQL, expected) of a column in row v; behind the last variant stands NULL."""
    return ("NULL", None) if v == VARIANTS else t[1 + v % (len(t) - 1)]


def expected(id_, v, but=()):
    return {"id": id_, "n": 0, **{f"c{i}": of_variant(t, v)[1] for i, t in enumerate(TYPES)
                                  if t[0] not in but}}


def insert(connection, id_, v):
    values = ", ".join(of_variant(t, v)[0] for t in TYPES)
    source.execute(connection, f"INSERT INTO dbo.types VALUES ({id_}, 0, {values})")


def update(connection, id_, v):
    settings = ", ".join(f"c{i} = {of_variant(t, v)[0]}" for i, t in enumerate(TYPES))
    source.execute(connection, f"UPDATE dbo.types SET {settings} WHERE id = {id_}")


def same(found, wanted):
    """Equal, and of the same kind: 1 is not true, 0.10 is 0.1."""
    if isinstance(found, bool) != isinstance(wanted, bool):
        return False
    return found == wanted


def compare(record, wanted):
    differences = {}
    for name in sorted(record.data.keys() | wanted.keys()):
        if name not in record.data or name not in wanted or \
                not same(record.data[name], wanted[name]):
            kind = TYPES[int(name[1:])][0] if name[0] == "c" else name
            differences[f"{name} {kind}"] = (str(record.data.get(name, "absent"))[:60],
                                             str(wanted.get(name, "absent"))[:60])
    assert not differences, f"{record.operation} of {record.data.get('id')}: {differences}"


def unavailable(record):
    return {TYPES[int(c[1:])][0] for c in record.metadata.get("weir-unavailable-columns", [])}


@pytest.mark.parametrize("encoders", [1, 2])
def test_every_type_in_load_insert_update_and_delete(mssqld, kinesisd, encoders):
    columns = ", ".join(f"c{i} {t[0]} NULL" for i, t in enumerate(TYPES))
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    with source.connect(mssqld, "shop") as c:
        source.execute(c, f"CREATE TABLE dbo.types (id int NOT NULL PRIMARY KEY, n int, {columns})")
        source.execute(c, "EXEC sys.sp_cdc_enable_db")
        source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                          "@source_name = N'types', @role_name = NULL")
        for v in range(VARIANTS + 1):
            insert(c, v, v)
    with Pipeline(mssqld, kinesisd, database="shop", tables=("dbo.types",), encoders=encoders,
                  target={"IncludeNullAndEmpty": True}) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) > VARIANTS, 30, "the load")
        with source.connect(mssqld, "shop") as c:
            for v in range(VARIANTS + 1):
                insert(c, 100 + v, v)
                update(c, 100 + v, (v + 1) % (VARIANTS + 1))
                source.execute(c, f"UPDATE dbo.types SET n = 0 WHERE id = {100 + v}; "
                                  f"DELETE FROM dbo.types WHERE id = {100 + v}")
        reader.wait(lambda rs: sum(r.operation == "delete" for r in rs) > VARIANTS, 30, "deletes")

        def of(operation, id_):
            return [r for r in reader.records if r.operation == operation and r.data["id"] == id_]

        for v in range(VARIANTS + 1):
            then = (v + 1) % (VARIANTS + 1)
            (load,), (inserted,), (deleted,) = of("load", v), of("insert", 100 + v), of("delete", 100 + v)
            compare(load, expected(v, v))
            compare(inserted, expected(100 + v, v))
            compare(of("update", 100 + v)[0], expected(100 + v, then))
            compare(deleted, expected(100 + v, then, but=OLD_LOBS))
            assert unavailable(deleted) == OLD_LOBS
            assert all(r.key == str(r.data["id"]) for r in (load, inserted, deleted))


def test_an_update_that_leaves_the_lobs_alone_does_not_erase_them(mssqld, kinesisd):
    """The change table may have NULL for them: then they are named as unavailable, never null."""
    lobs = [t for t in TYPES if t[0] in LOBS]
    names = [f"c{TYPES.index(t)}" for t in lobs]
    columns = ", ".join(f"{name} {t[0]} NULL" for name, t in zip(names, lobs))
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    with source.connect(mssqld, "shop") as c:
        source.execute(c, f"CREATE TABLE dbo.types (id int NOT NULL PRIMARY KEY, n int, {columns})")
        source.execute(c, "EXEC sys.sp_cdc_enable_db")
        source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                          "@source_name = N'types', @role_name = NULL")
        source.execute(c, "INSERT INTO dbo.types VALUES (1, 0, "
                       + ", ".join(t[1][0] for t in lobs) + ")")
    with Pipeline(mssqld, kinesisd, database="shop", tables=("dbo.types",),
                  target={"IncludeNullAndEmpty": True}) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: any(r.is_load for r in rs), 30, "the load")
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "UPDATE dbo.types SET n = 7 WHERE id = 1")
            source.execute(c, f"UPDATE dbo.types SET {names[0]} = NULL WHERE id = 1")
        reader.wait(lambda rs: sum(r.operation == "update" for r in rs) == 2, 30, "updates")
        first, second = [r for r in reader.records if r.operation == "update"]
        left_alone = {name: t[1][1] for name, t in zip(names, lobs)
                      if t[0] not in unavailable(first)}
        assert first.data == {"id": 1, "n": 7, **left_alone}
        assert names[0] in second.data and second.data[names[0]] is None


KEYS = ["tinyint", "bigint", "decimal(38,0)", "decimal(38,38)", "money", "smallmoney", "real", "float",
        "date", "time(7)", "datetime", "smalldatetime", "datetime2(7)", "datetimeoffset(7)", "char(8)",
        "varchar(40)", "nchar(8)", "nvarchar(60)", "binary(4)", "varbinary(40)", "uniqueidentifier",
        "bit"]


def test_chunks_by_keys_of_every_type(mssqld, kinesisd):
    """One row a chunk: each border is a literal that the server must take for the same key."""
    kinds = [next(t for t in TYPES if t[0] == key) for key in KEYS]
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE shop")
    with source.connect(mssqld, "shop") as c:
        source.execute(c, "EXEC sys.sp_cdc_enable_db")
        for i, t in enumerate(kinds):
            source.execute(c, f"CREATE TABLE dbo.k{i} (k {t[0]} NOT NULL PRIMARY KEY)")
            source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                              f"@source_name = N'k{i}', @role_name = NULL")
            for sql, _ in t[1:]:
                source.execute(c, f"INSERT INTO dbo.k{i} VALUES ({sql})")
    with Pipeline(mssqld, kinesisd, database="shop", tables=("dbo.%",), encoders=2,
                  weir={"LoadChunkRows": 1}, target={"IncludeNullAndEmpty": True}) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        count = sum(len(t) - 1 for t in kinds)
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= count, 30, "the load")
        for i, t in enumerate(kinds):
            found = [r.data["k"] for r in reader.records if r.is_load and r.table == f"dbo.k{i}"]
            assert sorted(map(str, found)) == sorted(str(e) for _, e in t[1:]), t[0]
