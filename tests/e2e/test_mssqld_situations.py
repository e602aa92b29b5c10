"""mssqld's own procedures (schema mssqld) as clients that nobody here wrote see them: called by batch and
by RPC, errors between rows, connections that end while they work or wait."""

import pytds
import pytest

from servers import Mssqld
from source import connect, execute, query


@pytest.fixture(scope="module")
def server():
    with Mssqld() as server:
        with connect(server, "master") as c:
            execute(c, "CREATE DATABASE d")
            execute(c, "USE d")
            execute(c, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)")
            execute(c, "INSERT INTO t VALUES (1), (2), (3)")
            execute(c, "EXEC sys.sp_cdc_enable_db")
            execute(c, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = NULL")
        yield server


@pytest.fixture
def admin(server):
    with connect(server, "d") as c:
        yield c
        execute(c, "EXEC mssqld.fail_clear")


def test_called_by_rpc(server, admin):
    with admin.cursor() as cursor:
        cursor.callproc("mssqld.fail_next", (1222, 1, "SELECT id%"))
    with connect(server, "d") as c:
        with pytest.raises(pytds.Error, match="Lock request time out") as refused:
            query(c, "SELECT id FROM t")
        assert refused.value.number == 1222
        assert len(query(c, "SELECT id FROM t")) == 3
    assert "Could not find stored procedure" in server.tsql("EXEC mssqld.nothing", database="d").stderr


def test_error_between_rows(server, admin):
    execute(admin, "EXEC mssqld.fail_next @number = 1205, @match = N'FROM t', @after_rows = 2")
    with connect(server, "d") as c, c.cursor() as cursor:
        cursor.execute("SELECT id FROM t ORDER BY id")
        rows = []
        with pytest.raises(pytds.Error, match="deadlock"):
            while True:
                rows.append(cursor.fetchone())
        assert rows == [(1,), (2,)]
        assert query(c, "SELECT 1") == [(1,)]  # a deadlock ends the statement, not the connection


@pytest.mark.parametrize("cut, says", [(1, "kill state"), (2, None)])
def test_connection_ends(server, admin, cut, says):
    execute(admin, f"EXEC mssqld.fail_next @number = 596, @match = N'FROM t', @cut = {cut}, @after_rows = 1")
    with connect(server, "d") as c:
        with pytest.raises(Exception, match=says):
            query(c, "SELECT id FROM t")
        with pytest.raises(Exception):
            query(c, "SELECT 1")
    with connect(server, "d") as c:
        assert len(query(c, "SELECT id FROM t")) == 3


def test_login_refused_for_a_while(server, admin):
    # python-tds tries again by itself after 40613; tsql tells.
    execute(admin, "EXEC mssqld.fail_next @number = 40613, @login = 1, @times = 2")
    for _ in range(2):
        assert "Msg 40613" in server.tsql("SELECT 1", database="d").stderr
    with connect(server, "d") as c:
        assert query(c, "SELECT 1") == [(1,)]


def test_state_of_the_job_is_seen(server, admin):
    execute(admin, "EXEC sys.sp_cdc_stop_job @job_type = N'capture'")
    execute(admin, "INSERT INTO t VALUES (4)")
    assert query(admin, "SELECT id FROM cdc.dbo_t_CT") == []
    run = server.tsql("SELECT error_count, scan_phase FROM sys.dm_cdc_log_scan_sessions", database="d")
    assert "Done" in run.stdout
    execute(admin, "EXEC sys.sp_cdc_start_job @job_type = N'capture'")
    assert query(admin, "SELECT id FROM cdc.dbo_t_CT") == [(4,)]


def test_fail_over_cuts_who_waits(server, admin):
    with connect(server, "d") as idle, connect(server, "master") as elsewhere:
        assert query(idle, "SELECT @@SERVERNAME") == [("MSSQLD",)]
        execute(admin, "EXEC mssqld.failover @server = N'NODE2', @keep_jobs = 1")
        for connection in (idle, elsewhere):
            with pytest.raises(Exception):
                query(connection, "SELECT 1")
    with connect(server, "d") as c:
        assert query(c, "SELECT @@SERVERNAME") == [("NODE2",)]
        assert query(c, "SELECT COUNT(*) FROM t") == [(4,)]
