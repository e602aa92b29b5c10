"""Least privilege: the scripts of deploy/sqlserver make a login, weir runs as it, and `weirctl check`
names each right that is missing with the statement that grants it."""

import contextlib
import re

import pytds
import pytest

import source
from pipeline import ROOT, Pipeline
from servers import Mssqld
from test_capture import enable, make_database, wait_for

SCRIPTS = ROOT / "deploy/sqlserver"
PASSWORD = "Least-1-privilege"
ROWS = 3


@pytest.fixture(scope="module")
def server():
    with Mssqld() as s:
        make_database(s, ["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(20))",
                          "CREATE TABLE dbo.u (id int NOT NULL PRIMARY KEY)"])
        with source.connect(s, "shop") as c:
            for i in range(ROWS):
                source.execute(c, f"INSERT INTO dbo.t (id, v) VALUES ({i}, N'x')")
            source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                              "@source_name = N't', @role_name = N'gate'")
            enable(c, "u")
        yield s


def run_script(server, name, database="master", **variables):
    """As sqlcmd would: variables replaced, batches between GO lines, the first error ends it."""
    text = (SCRIPTS / name).read_text()
    for key, value in variables.items():
        text = text.replace(f"$({key})", value)
    lines = [line for line in text.splitlines()
             if not line.startswith(":") and not line.startswith("--")]
    assert "$(" not in "\n".join(lines), "a variable was not given"
    batches = re.split(r"^GO\s*$", "\n".join(lines), flags=re.MULTILINE)
    with source.connect(server, database) as c:
        for batch in batches:
            if batch.strip():
                source.execute(c, batch)


DEFAULTS = {"Database": "shop", "Login": "weir", "Password": PASSWORD, "Schema": "dbo",
            "Access": "change-tables", "GatingRole": "none", "Monitoring": "yes",
            "ExactLoad": "yes", "Msdb": "yes"}


@contextlib.contextmanager
def login(server, script="make-login.sql", database="master", **changes):
    variables = {**DEFAULTS, **changes}
    run_script(server, script, database, **variables)
    run_script(server, script, database, **variables)  # a second run changes nothing
    try:
        yield variables["Login"]
    finally:
        run_script(server, "drop-login.sql", **variables)


def as_login(server, name, tables=("dbo.t",), **arguments):
    p = Pipeline(server, None, database="shop", tables=tables,
                 source={"Username": name, **arguments.pop("source", {})}, **arguments)
    (p.directory / "password").write_text(PASSWORD)
    return p


def findings(p):
    """(level, text, remedy) of the part about the source."""
    out = p.weirctl("check", p.task_file).stdout
    part = out.split("\n  source\n" if "\n  source\n" in out else "\nsource\n")[1].split("\nstream\n")[0]
    found = []
    for line in part.splitlines():
        word, _, text = line.strip().partition(" ")
        if word == "do:":
            found[-1][2] = text.strip()
        elif word in ("ok", "warn", "FAIL"):
            found.append([word, text.strip(), ""])
    return found


def problems(p):
    """What check says of the login; the rest is other tests' business."""
    return [f for f in findings(p) if f[0] != "ok" and "login" in f[1]]


# ---- the scripts --------------------------------------------------------------------------

@pytest.mark.parametrize("changes", [
    {}, {"Monitoring": "no", "ExactLoad": "no", "Msdb": "no"},
    {"Access": "function", "GatingRole": "gate"},
    {"Login": "we]ir".replace("]", "-")}], ids=["all", "least", "function", "odd-name"])
def test_weir_runs_with_these_rights(server, changes):
    """A load and changes arrive; check finds no error, and no warning where all was granted."""
    with login(server, **changes) as name, as_login(server, name) as p:
        found = problems(p)
        assert not [f for f in found if f[0] == "FAIL"], found
        if changes.get("ExactLoad") != "no":
            assert not found, found
        p.capture.start()
        wait_for(p, ROWS)
        with source.connect(server, "shop") as c:
            source.execute(c, f"INSERT INTO dbo.t (id, v) VALUES ({100 + len(name)}, N'new')")
            source.execute(c, f"DELETE FROM dbo.t WHERE id = {100 + len(name)}")
        changes_seen = wait_for(p, ROWS + 2)
        assert [c.operation for c in changes_seen[-2:]] == ["insert", "delete"]
        assert p.capture.stop() == 0


def test_azure_user(server):
    """The contained user of Azure SQL Database: no login in master at all."""
    variables = {"Login": "azure_weir", "Password": PASSWORD, "Schema": "dbo", "Monitoring": "yes"}
    run_script(server, "make-user-azure.sql", "shop", **variables)
    with as_login(server, "azure_weir") as p:
        p.capture.start()
        wait_for(p, ROWS)
        assert p.capture.stop() == 0
    with source.connect(server, "shop") as c:
        source.execute(c, "DROP USER azure_weir")


def test_login_may_do_nothing_else(server):
    """No write, no other schema, no change of definitions."""
    with login(server) as name:
        with pytds.connect(dsn="127.0.0.1", port=server.port, user=name, password=PASSWORD,
                           database="shop", autocommit=True) as c:
            for sql in ("INSERT INTO dbo.t (id) VALUES (999)", "DELETE FROM cdc.dbo_t_CT",
                        "UPDATE dbo.t SET v = N'y'", "CREATE TABLE dbo.x (id int)",
                        "EXEC sys.sp_cdc_disable_db"):
                with pytest.raises(pytds.Error):
                    source.execute(c, sql)


# ---- each right that is missing -------------------------------------------------------------

# (statement that takes the right, its database, level, words of the finding, remedy)
MISSING = {
    "log": ("DENY SELECT ON OBJECT::[cdc].[lsn_time_mapping] TO [weir]", "shop", "FAIL",
            "cdc.lsn_time_mapping", "GRANT SELECT ON SCHEMA::cdc TO [weir]"),
    "change-tables": ("DENY SELECT ON OBJECT::[cdc].[change_tables] TO [weir]", "shop", "FAIL",
                      "cdc.change_tables", "GRANT SELECT ON SCHEMA::cdc TO [weir]"),
    "columns": ("DENY SELECT ON OBJECT::[cdc].[captured_columns] TO [weir]", "shop", "FAIL",
                "cdc.captured_columns", "GRANT SELECT ON SCHEMA::cdc TO [weir]"),
    "ddl": ("DENY SELECT ON OBJECT::[cdc].[ddl_history] TO [weir]", "shop", "FAIL",
            "cdc.ddl_history", "GRANT SELECT ON SCHEMA::cdc TO [weir]"),
    "schema-cdc": ("REVOKE SELECT ON SCHEMA::[cdc] FROM [weir]", "shop", "FAIL",
                   "cdc.lsn_time_mapping", "GRANT SELECT ON SCHEMA::cdc TO [weir]"),
    "change-table": ("DENY SELECT ON OBJECT::[cdc].[dbo_t_CT] TO [weir]", "shop", "FAIL",
                     "no member of its gating role gate", "ALTER ROLE [gate] ADD MEMBER [weir]"),
    "table": ("DENY SELECT ON OBJECT::[dbo].[t] TO [weir]", "shop", "FAIL",
              "table dbo.t may not be read", "GRANT SELECT ON OBJECT::[dbo].[t] TO [weir]"),
    "database-state": ("REVOKE VIEW DATABASE STATE FROM [weir]", "shop", "warn",
                       "lacks VIEW DATABASE STATE", "GRANT VIEW DATABASE STATE TO [weir]"),
    "server-state": ("REVOKE VIEW SERVER STATE FROM [weir]", "master", "warn",
                     "lacks VIEW SERVER STATE", "in master: GRANT VIEW SERVER STATE TO [weir]"),
    "jobs": ("REVOKE SELECT ON OBJECT::[dbo].[cdc_jobs] FROM [weir]", "msdb", "warn",
             "msdb.dbo.cdc_jobs", "GRANT SELECT ON OBJECT::dbo.cdc_jobs TO [weir]"),
    "activity": ("REVOKE SELECT ON OBJECT::[dbo].[sysjobactivity] FROM [weir]", "msdb", "warn",
                 "msdb.dbo.sysjobactivity", "GRANT SELECT ON OBJECT::dbo.sysjobactivity TO [weir]"),
}


@pytest.mark.parametrize("right", list(MISSING))
def test_missing_right_is_named(server, right):
    take, database, level, words, remedy = MISSING[right]
    changes = {"Monitoring": "yes"}
    if right == "server-state":
        changes["Monitoring"] = "no"  # VIEW SERVER STATE brings the other one along
    with login(server) as name:
        with source.connect(server, database) as c:
            source.execute(c, take)
        if right == "database-state":
            with source.connect(server, "master") as c:
                source.execute(c, "REVOKE VIEW SERVER STATE FROM [weir]")
        with as_login(server, name) as p:
            found = problems(p)
            named = [f for f in found if words in f[1]]
            assert named and named[0][0] == level, found
            assert remedy in named[0][2], named


def test_hidden_table_is_named(server):
    """Without any right on it a table is not even listed: the selection rules alone say nothing."""
    with login(server) as name:
        with source.connect(server, "shop") as c:
            source.execute(c, "REVOKE SELECT ON SCHEMA::[dbo] FROM [weir]")
            source.execute(c, "GRANT SELECT ON OBJECT::[dbo].[t] TO [weir]")
        with as_login(server, name, tables=("dbo.%",)) as p:
            found = problems(p)
            assert any("capture instance dbo_u is hidden" in f[1] for f in found), found


def test_granted_remedies_end_the_complaints(server):
    """Doing what check says, word for word, until it has nothing left to say."""
    with login(server, Monitoring="no", ExactLoad="no", Msdb="no") as name, \
            as_login(server, name) as p:
        for level, text, remedy in problems(p):
            database = "shop"
            for prefix, where in (("in master: ", "master"), ("in msdb (CREATE USER first): ", "msdb")):
                if remedy.startswith(prefix):
                    remedy, database = remedy[len(prefix):], where
            with source.connect(server, database) as c:
                if database == "msdb":
                    source.execute(c, "IF USER_ID(N'weir') IS NULL CREATE USER [weir] FOR LOGIN [weir]")
                source.execute(c, remedy)
        assert not problems(p)
