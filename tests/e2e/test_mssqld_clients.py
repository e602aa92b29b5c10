"""mssqld against clients that nobody here wrote: FreeTDS's tsql and bsqldb, python-tds, tedious."""

import concurrent.futures
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from decimal import Decimal
from pathlib import Path

import pytds
import pytest

import tds_replay
from servers import BUILD, ROOT, Mssqld, make_certificate

NODE_MODULES = ROOT / "build" / "node" / "node_modules"
STORY = ROOT / "tests" / "vectors" / "story" / "invoices.sql"
TEDIOUS = Path(__file__).parent / "js" / "tedious_client.js"


# ---- servers and clients ----

@pytest.fixture(scope="module")
def plain():
    with Mssqld() as server:
        yield server


@pytest.fixture(scope="module")
def optional():
    with Mssqld(tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def forced():
    with Mssqld(force_encryption=True) as server:
        yield server


@pytest.fixture(params=["clear", "tls"])
def server(request):
    """A server and, on it, the way to connect: in clear or under TLS with the certificate checked."""
    base = request.getfixturevalue("plain" if request.param == "clear" else "optional")
    return Way(base, tls=request.param == "tls")


class Way:
    """One server reached in one way, by every client."""

    def __init__(self, server, tls):
        self.server = server
        self.tls = tls

    def pytds(self, database=None, autocommit=True, **options):
        if self.tls:
            options.setdefault("cafile", str(self.server.certificate))
            options.setdefault("validate_host", False)
        options.setdefault("user", "sa")
        options.setdefault("password", self.server.sa_password)
        return pytds.connect(dsn="127.0.0.1", port=self.server.port, database=database,
                             autocommit=autocommit, login_timeout=15, timeout=60, **options)

    def freetds(self):
        if self.tls:
            return {"encryption": "require", "ca": self.server.certificate}
        return {"encryption": "off"}

    def tsql(self, sql, **options):
        return self.server.tsql(sql, **self.freetds(), **options)

    def bsqldb(self, sql, **options):
        return self.server.bsqldb(sql, **self.freetds(), **options)

    def tedious(self, steps, *, database=None, password=None, options=None, host="localhost",
                timeout=60, **job):
        tls = {"encrypt": True} if self.tls else {"encrypt": False}
        if self.tls:
            job.setdefault("ca", str(self.server.certificate))
        job = {"modules": str(NODE_MODULES), "host": host, "port": self.server.port, "steps": steps,
               "password": self.server.sa_password if password is None else password,
               "database": database, "options": {**tls, **(options or {})}, **job}
        run = subprocess.run(["node", str(TEDIOUS)], input=json.dumps(job), text=True,
                             capture_output=True, timeout=timeout)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    def run_tedious(self, *steps, **options):
        answer = self.tedious(list(steps), **options)
        assert "results" in answer, answer
        return answer["results"]


def execute(connection, sql, parameters=()):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def parameter(value):
    """python-tds sends bytes as text unless told that they are none."""
    return pytds.Binary(value) if isinstance(value, bytes) else value


def query(connection, sql, parameters=()):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [tuple(row) for row in cursor.fetchall()]


def fresh_name(prefix="t"):
    return f"{prefix}_{uuid.uuid4().hex[:10]}"


@pytest.fixture
def database(server):
    """A new database on the server, by name."""
    name = fresh_name("db")
    with server.pytds() as connection:
        execute(connection, f"CREATE DATABASE {name}")
    return name


def values_of(output):
    """The rows of tsql or bsqldb as lists of texts, without their prompts and counts."""
    rows = []
    for line in output.splitlines():
        line = re.sub(r"^(\d+> ?)+", "", line)
        if line and not line.startswith(("(", "using ", "locale")):
            rows.append(re.split(r"\t|\|", line))
    return rows


# ---- login ----

def test_login_with_every_client(server):
    assert ["42"] in values_of(server.tsql("SELECT 42 AS a").stdout)
    assert ["42"] in values_of(server.bsqldb("SELECT 42 AS a").stdout)
    with server.pytds() as connection:
        assert query(connection, "SELECT 42 AS a") == [(42,)]
    (answer,) = server.run_tedious({"do": "batch", "sql": "SELECT 42 AS a"})
    assert answer["rows"] == [[42]]


def test_wrong_password_with_every_client(server):
    for run in (server.tsql("SELECT 1", password="wrong"), server.bsqldb("SELECT 1", password="wrong")):
        assert run.returncode != 0
        assert "18456" in run.stdout + run.stderr or "Login failed" in run.stdout + run.stderr
    with pytest.raises(pytds.Error, match="Login failed"):
        server.pytds(password="wrong")
    answer = server.tedious([], password="wrong")
    assert answer["code"] == "ELOGIN" and "Login failed" in answer["connect_error"]


def test_unknown_user(server):
    with pytest.raises(pytds.Error, match="Login failed"):
        server.pytds(user="nobody")


def test_unknown_database(server):
    # FreeTDS marks the database as fatal in the record; python-tds and tedious hear 4060.
    assert server.tsql("SELECT 1", database="nowhere").returncode != 0
    with pytest.raises(pytds.Error):
        server.pytds(database="nowhere")
    assert "connect_error" in server.tedious([], database="nowhere")


def test_passwords_never_reach_the_log(server):
    with pytest.raises(pytds.Error, match="Login failed"):
        server.pytds(password="Sup3rS3cretGuess")
    log = server.server.log_text()
    assert "Sup3rS3cretGuess" not in log and server.server.sa_password not in log


# ---- encryption ----

@pytest.mark.parametrize("fixture, encryption, works", [
    ("plain", "off", True), ("plain", None, True), ("plain", "require", False),
    ("optional", "off", True), ("optional", None, True), ("optional", "require", True),
    # FreeTDS does the handshake although it was told not to; SQL Server would hang up.
    ("forced", "off", True), ("forced", None, True), ("forced", "require", True),
])
def test_freetds_encryption(request, fixture, encryption, works):
    target = request.getfixturevalue(fixture)
    run = target.tsql("SELECT 42 AS a", encryption=encryption)
    assert (["42"] in values_of(run.stdout)) == works, run.stdout + run.stderr


def test_login_only_encryption_goes_on_in_clear(optional):
    """Encryption 0: TLS for LOGIN7, then the plain stream, also for more than one packet."""
    run = optional.tsql("SELECT REPLICATE(CAST('x' AS varchar(max)), 20000) AS a\nGO\nSELECT 7 AS b",
                        encryption=None)
    assert ["x" * 20000] in values_of(run.stdout) and ["7"] in values_of(run.stdout)


def test_certificates_are_checked_by_the_clients(optional, tmp_path):
    other, _ = make_certificate(tmp_path)
    assert optional.tsql("SELECT 1 AS a", encryption="require", ca=other).returncode != 0
    with pytest.raises(Exception):
        Way(optional, tls=True).pytds(cafile=str(other))
    assert "connect_error" in Way(optional, tls=True).tedious([], ca=str(other))


def test_expired_certificate():
    with Mssqld(tls=True, certificate_days=0) as server:
        run = server.tsql("SELECT 1 AS a", encryption="require", ca=server.certificate)
        assert run.returncode != 0
        assert "connect_error" in Way(server, tls=True).tedious([])


def test_wrong_host_name():
    with Mssqld(tls=True, certificate_alternative="DNS:elsewhere.test") as server:
        assert "connect_error" in Way(server, tls=True).tedious([])
        run = server.tsql("SELECT 1 AS a", encryption="require", ca=server.certificate, host="localhost")
        assert run.returncode != 0


def test_forced_encryption_refuses_tedious_in_clear(forced):
    answer = Way(forced, tls=False).tedious([])
    assert "encrypt" in answer["connect_error"].lower()
    assert Way(forced, tls=True).run_tedious({"do": "batch", "sql": "SELECT 1 AS a"})[0]["rows"] == [[1]]


# ---- types ----

@pytest.mark.parametrize("name", tds_replay.standalone())
def test_recorded_queries_give_the_recorded_values(plain, name):
    with Way(plain, tls=False).pytds() as connection:
        rows = query(connection, tds_replay.sql(name))
    assert tds_replay.differences(name, rows) == []


TYPES = [  # declaration, value for python-tds, text of tsql or None where it has none
    ("bit", True, "1"),
    ("tinyint", 255, "255"),
    ("smallint", -32768, "-32768"),
    ("int", -2147483648, "-2147483648"),
    ("bigint", 9223372036854775807, "9223372036854775807"),
    ("decimal(18, 4)", Decimal("-12345678901234.5678"), "-12345678901234.5678"),
    ("numeric(38, 0)", Decimal("9" * 38), "9" * 38),
    ("money", Decimal("-922337203685477.5808"), None),
    ("smallmoney", Decimal("214748.3647"), None),
    ("real", 1.5, "1.5"),
    ("float", 0.1, None),
    ("date", datetime.date(9999, 12, 31), None),
    ("time(3)", datetime.time(23, 59, 59, 999000), None),
    ("datetime2(6)", datetime.datetime(1, 1, 1, 0, 0, 0, 1), None),
    ("datetimeoffset(6)", datetime.datetime(
        2024, 2, 29, 12, 34, 56, 789, datetime.timezone(datetime.timedelta(hours=-7))), None),
    ("datetime", datetime.datetime(1753, 1, 1), None),
    ("smalldatetime", datetime.datetime(2079, 6, 6, 23, 59), None),
    ("char(5)", "abc  ", "abc  "),
    ("varchar(20)", "it's é€", "it's é€"),
    ("nchar(4)", "Ωж漢 ", "Ωж漢 "),
    ("nvarchar(20)", "x😀y𝄞z", "x😀y𝄞z"),
    ("varchar(max)", "m" * 9000, "m" * 9000),
    ("nvarchar(max)", "漢😀" * 3000, "漢😀" * 3000),
    ("binary(4)", b"\x01\x02\x03\x04", "01020304"),
    ("varbinary(20)", b"\xde\xad", "dead"),
    ("varbinary(max)", bytes(range(256)) * 50, None),
    ("uniqueidentifier", uuid.UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF"),
     "6F9619FF-8B86-D011-B42D-00C04FC964FF"),
]


@pytest.mark.parametrize("declaration, value, text", TYPES, ids=[t[0] for t in TYPES])
def test_types_round_trip(server, database, declaration, value, text):
    """A parameter in, a column out, NULL beside it; nullable and NOT NULL columns differ on the wire."""
    with server.pytds(database=database) as connection:
        execute(connection, f"CREATE TABLE t (id int NOT NULL, a {declaration} NULL, b {declaration} NOT NULL)")
        execute(connection, "INSERT INTO t (id, a, b) VALUES (1, %s, %s)", (parameter(value),) * 2)
        execute(connection, "INSERT INTO t (id, a, b) VALUES (2, NULL, %s)", (parameter(value),))
        rows = query(connection, "SELECT id, a, b FROM t ORDER BY id")
    assert rows == [(1, value, value), (2, None, value)]
    if text is not None:
        out = values_of(server.tsql("SELECT a, b FROM t ORDER BY id", database=database).stdout)
        assert [text, text] in out and ["NULL", text] in out


def test_tedious_sees_the_same_types(server, database):
    with server.pytds(database=database) as connection:
        execute(connection, "CREATE TABLE t (a int NOT NULL, b bigint NULL, c decimal(10, 2) NULL, "
                            "d nvarchar(20) NULL, e varbinary(10) NULL, f datetime2(3) NULL, "
                            "g uniqueidentifier NULL, h bit NOT NULL, i nvarchar(max) NULL, "
                            "j xml NULL, k sql_variant NULL, l varchar(10) NULL)")
    insert = {"do": "sql", "sql": "INSERT INTO t (a, b, c, d, e, f, g, h, i, l) "
                                  "VALUES (@a, @b, @c, @d, @e, @f, @g, @h, @i, @l)",
              "parameters": [
                  {"name": "a", "type": "Int", "value": -7},
                  {"name": "b", "type": "BigInt", "value": "9007199254740993"},
                  {"name": "c", "type": "Decimal", "value": 12.25, "options": {"precision": 10, "scale": 2}},
                  {"name": "d", "type": "NVarChar", "value": "x😀"},
                  {"name": "e", "type": "VarBinary", "value": "0xDEAD"},
                  {"name": "f", "type": "DateTime2", "value": "2024-02-29T12:34:56.789Z", "date": True,
                   "options": {"scale": 3}},
                  {"name": "g", "type": "UniqueIdentifier", "value": "6F9619FF-8B86-D011-B42D-00C04FC964FF"},
                  {"name": "h", "type": "Bit", "value": True},
                  {"name": "i", "type": "NVarChar", "value": "long " * 2000},
                  {"name": "l", "type": "VarChar", "value": "é"},
              ]}
    _, nulls, answer = server.run_tedious(
        insert,
        {"do": "batch", "sql": "INSERT INTO t (a, h) VALUES (0, 0)"},
        {"do": "batch", "sql": "SELECT a, b, c, d, e, f, g, h, i, j, k, l FROM t ORDER BY a"},
        database=database)
    assert "error" not in nulls
    assert answer["rows"] == [
        [-7, "9007199254740993", 12.25, "x😀", "0xDEAD", "2024-02-29T12:34:56.789Z",
         "6F9619FF-8B86-D011-B42D-00C04FC964FF", True, "long " * 2000, None, None, "é"],
        [0, None, None, None, None, None, None, False, None, None, None, None]]
    nullable = {c["name"]: c["nullable"] for c in answer["columns"][0]}
    assert not nullable["a"] and not nullable["h"] and nullable["b"] and nullable["i"]


# ---- statements and calls ----

def test_several_results_and_errors(server):
    with server.pytds() as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 AS a; SELECT 2 AS b, 3 AS c")
            assert [tuple(r) for r in cursor.fetchall()] == [(1,)]
            assert cursor.nextset()
            assert [tuple(r) for r in cursor.fetchall()] == [(2, 3)]
            assert not cursor.nextset()
        with pytest.raises(pytds.Error, match="no_such_table"):
            query(connection, "SELECT * FROM no_such_table")
        assert query(connection, "SELECT 5 AS a") == [(5,)]  # the connection is none the worse
    run = server.tsql("SELECT * FROM no_such_table")
    assert "Msg 208" in run.stdout + run.stderr


def test_messages_keep_their_numbers(server):
    run = server.tsql("RAISERROR('boo %s', 16, 3, 'x')\nGO\nPRINT 'hello'")
    text = run.stdout + run.stderr
    assert re.search(r"Msg 50000 \(severity 16, state 3\)", text) and "boo x" in text
    assert "hello" in text


def test_prepared_statements(server):
    prepared, after = server.run_tedious(
        {"do": "prepared", "sql": "SELECT @a + 1 AS a, @b AS b",
         "parameters": [{"name": "a", "type": "Int"},
                        {"name": "b", "type": "NVarChar", "options": {"length": 20}}],
         "values": [{"a": 1, "b": "eins"}, {"a": 2, "b": None}, {"a": 41, "b": "x😀"}]},
        {"do": "batch", "sql": "SELECT 1 AS a"})
    assert [r["rows"] for r in prepared["results"]] == [[[2, "eins"]], [[3, None]], [[42, "x😀"]]]
    assert after["rows"] == [[1]]


def test_reset_gives_a_fresh_session(server, database):
    use, reset, after = server.run_tedious(
        {"do": "batch", "sql": f"USE {database}"}, {"do": "reset"},
        {"do": "batch", "sql": "SELECT DB_NAME() AS d"})
    assert reset == {} and after["rows"] == [["master"]]


def test_unknown_procedure(server):
    (answer,) = server.run_tedious({"do": "call", "sql": "no_such_procedure",
                                    "parameters": [{"name": "a", "type": "Int", "value": 1}]})
    assert answer["number"] == 2812


# ---- transactions ----

def test_transactions_of_python_tds(server, database):
    with server.pytds(database=database) as outside, \
            server.pytds(database=database, autocommit=False) as inside:
        execute(outside, "CREATE TABLE t (a int NOT NULL)")
        execute(inside, "INSERT INTO t (a) VALUES (1)")
        inside.rollback()
        assert query(outside, "SELECT a FROM t") == []
        execute(inside, "INSERT INTO t (a) VALUES (2)")
        inside.commit()
        assert query(outside, "SELECT a FROM t") == [(2,)]


def test_transactions_of_tedious(server, database):
    results = server.run_tedious(
        {"do": "batch", "sql": "CREATE TABLE t (a int NOT NULL)"},
        {"do": "begin"}, {"do": "batch", "sql": "INSERT INTO t (a) VALUES (1)"}, {"do": "rollback"},
        {"do": "begin"}, {"do": "batch", "sql": "INSERT INTO t (a) VALUES (2)"},
        {"do": "save", "name": "here"}, {"do": "commit"},
        {"do": "batch", "sql": "SELECT a FROM t"}, database=database)
    assert not [r for r in results if r.get("error")], results
    assert results[-1]["rows"] == [[2]]


def test_transactions_of_tsql(server, database):
    run = server.tsql("CREATE TABLE t (a int NOT NULL)\nGO\nBEGIN TRAN\nINSERT INTO t (a) VALUES (1)\n"
                      "ROLLBACK\nGO\nBEGIN TRAN\nINSERT INTO t (a) VALUES (7)\nCOMMIT\nGO\n"
                      "SELECT a FROM t", database=database)
    assert [r for r in values_of(run.stdout) if r[0] in ("1", "7")] == [["7"]]


# ---- databases and connections ----

def test_several_databases(server):
    names = [fresh_name("db") for _ in range(3)]
    with server.pytds() as connection:
        for i, name in enumerate(names):
            execute(connection, f"CREATE DATABASE {name}")
            execute(connection, f"USE {name}")
            execute(connection, "CREATE TABLE t (a int NOT NULL)")
            execute(connection, f"INSERT INTO t (a) VALUES ({i})")
    for i, name in enumerate(names):
        with server.pytds(database=name) as connection:
            assert query(connection, "SELECT a, DB_NAME() AS d FROM t") == [(i, name)]
        run = server.tsql("SELECT a FROM t", database=name)
        assert [str(i)] in values_of(run.stdout)
        assert server.run_tedious({"do": "batch", "sql": "SELECT a FROM t"},
                                  database=name)[0]["rows"] == [[i]]


def test_many_connections_at_once(server, database):
    with server.pytds(database=database) as connection:
        execute(connection, "CREATE TABLE t (worker int NOT NULL, i int NOT NULL)")

    def work(worker):
        with server.pytds(database=database) as c:
            for i in range(20):
                execute(c, f"INSERT INTO t (worker, i) VALUES ({worker}, {i})")
                assert query(c, f"SELECT COUNT(*) AS n FROM t WHERE worker = {worker}") == [(i + 1,)]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    with server.pytds(database=database) as connection:
        assert query(connection, "SELECT COUNT(*) AS n FROM t") == [(320,)]


# ---- sizes ----

@pytest.mark.parametrize("size", [512, 4096, 8192, 16383, 32767])
def test_packet_sizes(server, database, size):
    text = "".join(chr(0x4E00 + i % 5000) for i in range(30000))
    with server.pytds(database=database, blocksize=size) as connection:
        execute(connection, "CREATE TABLE t (id int NOT NULL, a nvarchar(max) NULL, b varbinary(max) NULL)")
        execute(connection, "INSERT INTO t (id, a, b) VALUES (1, %s, %s)",
                (text, parameter(text.encode())))
        assert query(connection, "SELECT id, a, b FROM t") == [(1, text, text.encode())]
    (answer,) = server.run_tedious({"do": "batch", "sql": "SELECT a FROM t"}, database=database,
                                   options={"packetSize": size})
    assert answer["rows"] == [[text]]
    run = server.tsql("SELECT a FROM t", database=database, packet_size=size)
    assert [text] in values_of(run.stdout)


@pytest.mark.parametrize("options", [["--plp-chunk", "7"], ["--plp-unknown-length"],
                                     ["--plp-chunk", "1000", "--plp-unknown-length"]])
def test_large_values_in_any_chunks(options):
    text = "0123456789é😀" * 500
    with Mssqld(options=options) as server:
        way = Way(server, tls=False)
        sql = f"SELECT CAST(N'{text}' AS nvarchar(max)) AS a, CAST(NULL AS varbinary(max)) AS b, " \
              "CAST(0x AS varbinary(max)) AS c"
        with way.pytds() as connection:
            assert query(connection, sql) == [(text, None, b"")]
        assert way.run_tedious({"do": "batch", "sql": sql})[0]["rows"] == [[text, None, "0x"]]
        assert [text, "NULL", ""] in values_of(way.tsql(sql).stdout)


def test_big_values(server, database):
    text, data = "x" * 5_000_000, os.urandom(5_000_000)
    with server.pytds(database=database) as connection:
        execute(connection, "CREATE TABLE t (a nvarchar(max) NULL, b varbinary(max) NULL)")
        execute(connection, "INSERT INTO t (a, b) VALUES (%s, %s)", (text, parameter(data)))
        assert query(connection, "SELECT a, b FROM t") == [(text, data)]


def test_wide_rows(server, database):
    n = 300
    columns = ", ".join(f"c{i} int NULL" for i in range(n))
    with server.pytds(database=database) as connection:
        execute(connection, f"CREATE TABLE t ({columns})")
        execute(connection, f"INSERT INTO t ({', '.join(f'c{i}' for i in range(0, n, 3))}) "
                            f"VALUES ({', '.join(str(i) for i in range(0, n, 3))})")
        want = tuple(i if i % 3 == 0 else None for i in range(n))
        assert query(connection, "SELECT * FROM t") == [want]


# ---- attention ----

def test_tedious_cancels_a_waiting_batch(server):
    started = time.monotonic()
    cancelled, after = server.run_tedious(
        {"do": "batch", "sql": "WAITFOR DELAY '00:00:30'", "cancel_ms": 200},
        {"do": "batch", "sql": "SELECT 1 AS a"})
    assert cancelled["code"] == "ECANCEL" and after["rows"] == [[1]]
    assert time.monotonic() - started < 10


def fill(server, database, rows):
    """Rows by doubling: the SELECT over them must be longer than all buffers on the way."""
    with server.pytds(database=database) as connection:
        execute(connection, "CREATE TABLE t (a nvarchar(100) NULL)")
        execute(connection, "INSERT INTO t (a) VALUES (N'" + "x" * 100 + "')")
        for _ in range(rows.bit_length() - 1):
            execute(connection, "INSERT INTO t (a) SELECT a FROM t")


def test_clients_cancel_a_long_result(server, database):
    fill(server, database, 131072)
    cancelled, after = server.run_tedious(
        {"do": "batch", "sql": "SELECT a FROM t", "cancel_after_rows": 10},
        {"do": "batch", "sql": "SELECT 1 AS a"}, database=database)
    assert cancelled["code"] == "ECANCEL" and after["rows"] == [[1]]
    assert len(cancelled["rows"]) < 131072
    with server.pytds(database=database) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT a FROM t")
            cursor.fetchone()
            cursor.cancel()
        assert query(connection, "SELECT 1 AS a") == [(1,)]


# ---- the story ----

def story_batches():
    return [b for b in re.split(r"(?m)^GO\s*$", STORY.read_text()) if b.strip()]


def check_story(server):
    with server.pytds(database="democustomer") as connection:
        rows = query(connection, "SELECT invoice_id, balance, billing_date, total_amount_due "
                                 "FROM dbo.invoices ORDER BY invoice_id")
        assert len(rows) == 10
        assert rows[0] == (1, 25, datetime.date(2022, 4, 15), "28")
        assert rows[1] == (2, None, datetime.date(2022, 4, 15), "20.5")
        assert query(connection, "SELECT is_cdc_enabled FROM sys.databases "
                                 "WHERE name = 'democustomer'") == [(True,)]
        assert query(connection, "SELECT capture_instance FROM cdc.change_tables") == [("dbo_invoices",)]


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("client", ["tsql", "bsqldb", "pytds", "tedious"])
def test_story_as_it_stands(client, tls):
    with Mssqld(tls=tls) as server:
        way = Way(server, tls=tls)
        if client in ("tsql", "bsqldb"):
            run = getattr(way, client)(STORY.read_text())
            assert run.returncode == 0, run.stdout + run.stderr
            assert not re.search(r"Msg (?!5701|5703)\d+ .*severity 1[1-9]", run.stdout + run.stderr), \
                run.stdout + run.stderr
        elif client == "pytds":
            with way.pytds() as connection:
                for batch in story_batches():
                    execute(connection, batch)
        else:
            results = way.run_tedious(*[{"do": "batch", "sql": b} for b in story_batches()])
            assert not [r for r in results if r.get("error")], results
        check_story(way)


# ---- the process ----

def test_ends_promptly_while_clients_are_busy():
    server = Mssqld().start()
    way = Way(server, tls=False)
    idle = way.pytds()
    waiting = subprocess.Popen(
        ["tsql", "-S", "mssqld", "-U", "sa", "-P", server.sa_password], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=server.freetds_environment())
    waiting.stdin.write("SELECT 1 AS a\nGO\nWAITFOR DELAY '00:01:00'\nGO\n")
    waiting.stdin.flush()
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 5
    waiting.communicate()
    idle.close()


def test_databases_outlive_the_process(tmp_path):
    server = Mssqld(directory=tmp_path).start()
    way = Way(server, tls=False)
    with way.pytds() as connection:
        execute(connection, "CREATE DATABASE keep")
        execute(connection, "USE keep")
        execute(connection, "CREATE TABLE t (a int NOT NULL)")
        execute(connection, "INSERT INTO t (a) VALUES (1)")
    server.kill()
    server.start()
    with way.pytds(database="keep") as connection:
        assert query(connection, "SELECT a FROM t") == [(1,)]
    server.stop()


def run_mssqld(*arguments, **environment):
    env = {k: v for k, v in os.environ.items() if k != "MSSQLD_SA_PASSWORD"}
    return subprocess.run([str(BUILD / "mssqld"), *map(str, arguments)], text=True, capture_output=True,
                          timeout=20, env={**env, **environment})


def test_help_names_every_option():
    run = run_mssqld("--help")
    assert run.returncode == 0
    for option in ("listen", "port", "port-file", "directory", "sa-password-file", "tls-cert", "tls-key",
                   "force-encryption", "dummy-row-ms", "server-name"):
        assert f"--{option} " in run.stdout


@pytest.mark.parametrize("arguments, says", [
    (["--directory", "{tmp}"], "no password for sa"),
    (["--sa-password-file", "{tmp}/none", "--directory", "{tmp}"], "password file"),
    (["--sa-password-file", "{tmp}/pw"], "--directory is missing"),
    (["--sa-password-file", "{tmp}/pw", "--directory", "{tmp}", "--listen", "0.0.0.0"], "not a loopback"),
    (["--sa-password-file", "{tmp}/pw", "--directory", "{tmp}", "--listen", "::"], "not a loopback"),
    (["--sa-password-file", "{tmp}/pw", "--directory", "{tmp}", "--port", "70000"], "--port takes"),
    (["--sa-password-file", "{tmp}/pw", "--directory", "{tmp}", "--tls-cert", "x"], "belong together"),
    (["--sa-password-file", "{tmp}/pw", "--directory", "{tmp}", "--tls-cert", "{tmp}/pw",
      "--tls-key", "{tmp}/pw"], "read certificate"),
    (["--sa-password-file", "{tmp}/pw", "--directory", "{tmp}", "--force-encryption"], "--tls-cert"),
    (["--wat"], "unknown option"),
])
def test_wrong_use_is_refused(tmp_path, arguments, says):
    (tmp_path / "pw").write_text("secret\n")
    run = run_mssqld(*[a.replace("{tmp}", str(tmp_path)) for a in arguments])
    assert run.returncode == 78
    assert says in run.stderr


def test_port_in_use(plain, tmp_path):
    run = run_mssqld("--directory", tmp_path, "--port", plain.port, MSSQLD_SA_PASSWORD="x")
    assert run.returncode == 78 and str(plain.port) in run.stderr


def test_listening_line_and_sigint(tmp_path):
    process = subprocess.Popen([str(BUILD / "mssqld"), "--directory", str(tmp_path / "d")], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               env={**os.environ, "MSSQLD_SA_PASSWORD": "x"})
    line = process.stdout.readline()
    assert re.fullmatch(r"listening 127\.0\.0\.1:\d+\n", line)
    process.send_signal(signal.SIGINT)
    process.stdout.close()
    assert process.wait(10) == 0


def closed_by_server(port, timeout=10):
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        return s.recv(1) == b""


def test_a_silent_client_is_closed_after_the_login_timeout():
    with Mssqld(options=["--login-timeout", "1"]) as server:
        started = time.monotonic()
        assert closed_by_server(server.port)
        assert 0.5 < time.monotonic() - started < 5


def test_connections_beyond_the_limit_are_closed():
    with Mssqld(options=["--max-connections", "2"]) as server:
        way = Way(server, tls=False)
        first, second = way.pytds(), way.pytds()
        assert closed_by_server(server.port)
        first.close()
        for _ in range(100):  # the place is free once the server has seen the close
            try:
                third = way.pytds()
                break
            except (pytds.Error, OSError):
                time.sleep(0.05)
        else:
            pytest.fail("no place came free")
        assert query(third, "SELECT 1 AS a") == query(second, "SELECT 1 AS a") == [(1,)]
        third.close()
        second.close()


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                                   b"\x12\x01\x00\x08\x00\x00\x00\x00", b"\x10\x01\x00\x0c\x00\x00\x00\x00abcd"])
def test_foreign_protocols_are_closed(optional, noise):
    with socket.create_connection(("127.0.0.1", optional.port), timeout=10) as s:
        s.sendall(noise)
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096):
            pass
    assert ["1"] in values_of(optional.tsql("SELECT 1 AS a").stdout)
