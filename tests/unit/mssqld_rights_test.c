/* uses: mssqld */
/* Logins, users, rights: who may see, read and ask what, and the numbers of the refusals. */
#include "tests/unit/mssqld_help.h"

static struct session *sa;
static struct session *u;
static struct record record;

static void
setup_user(void)
{
    setup();
    sa = open_database();
    ok(sa, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int, w int); INSERT INTO t VALUES (1, "
           "2, 3)");
    ok(sa, "CREATE SCHEMA sales");
    ok(sa, "CREATE TABLE sales.o (id int)");
    ok(sa, "IF SUSER_ID(N'u') IS NULL EXEC (N'CREATE LOGIN [u] WITH PASSWORD = N''p'', "
           "CHECK_POLICY = ON')");
    ok(sa, "IF USER_ID(N'u') IS NULL CREATE USER [u] FOR LOGIN [u]");
    u = login("u", "p", "db", &record);
    ck_assert_ptr_nonnull(u);
}

static void
teardown_user(void)
{
    session_close(&u);
    session_close(&sa);
    teardown();
}

START_TEST(state_of_server_and_database)
{
    static const char ASK[] =
        "SELECT HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE'), HAS_PERMS_BY_NAME(NULL, NULL, "
        "N'VIEW SERVER PERFORMANCE STATE'), HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', "
        "N'VIEW DATABASE STATE'), HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', "
        "N'VIEW DATABASE PERFORMANCE STATE')";

    capture(sa, "t");
    expect(sa, ASK, "1|1|1|1\n");
    expect(u, ASK, "0|0|0|0\n");
    refused(u, "SELECT * FROM sys.dm_cdc_log_scan_sessions", 262);
    ck_assert_ptr_nonnull(strstr(run(u, "SELECT * FROM sys.dm_cdc_errors"), "[297]"));
    refused(u, "SELECT log_end_lsn FROM sys.dm_db_log_stats(DB_ID())", 300);
    refused(u, "SELECT * FROM sys.dm_tran_database_transactions", 300);
    refused(u, "SELECT * FROM msdb.dbo.cdc_jobs", 229);
    refused(u, "SELECT * FROM msdb.dbo.sysjobs", 229);
    ok(sa, "GRANT VIEW DATABASE STATE TO [u]");
    expect(u, ASK, "0|0|1|1\n");
    expect(u, "SELECT COUNT(*) FROM sys.dm_cdc_errors", "0\n");
    refused(sa, "GRANT VIEW SERVER STATE TO [u]", 4621);
    ok(sa, "REVOKE VIEW DATABASE STATE FROM [u]; USE [master]");
    ok(sa, "GRANT VIEW SERVER STATE TO [u]");
    refused(sa, "GRANT VIEW SERVER STATE TO [nobody]", 15151);
    expect(u, ASK, "1|1|1|1\n");
    expect(u, "SELECT COUNT(*) FROM sys.dm_tran_database_transactions", "0\n");
    ok(sa, "DENY VIEW SERVER STATE TO [u]");
    expect(u, ASK, "0|0|0|0\n");
    ok(sa, "REVOKE VIEW SERVER STATE TO [u]");
    expect(u, ASK, "0|0|0|0\n");
    ok(sa, "USE [msdb]; CREATE USER u FOR LOGIN u; GRANT SELECT ON dbo.cdc_jobs TO u; USE db");
    expect(u, "SELECT COUNT(*) FROM msdb.dbo.cdc_jobs", "2\n");
    expect(u, "SELECT HAS_PERMS_BY_NAME(N'msdb.dbo.cdc_jobs', N'OBJECT', N'SELECT')", "1\n");
}
END_TEST

START_TEST(tables_schemas_columns)
{
    refused(u, "SELECT id FROM t", 229);
    expect(u, "SELECT COUNT(*) FROM sys.tables", "0\n");
    ok(sa, "GRANT SELECT ON OBJECT::dbo.t TO u");
    expect(u, "SELECT * FROM t", "1|2|3\n");
    expect(u, "SELECT name FROM sys.tables", "t\n");
    expect(u, "SELECT COUNT(*) FROM sys.columns c JOIN sys.tables t ON t.object_id = c.object_id",
           "3\n");
    ok(sa, "DENY SELECT ON dbo.t (v, w) TO u");
    expect(u, "SELECT id FROM t", "1\n");
    refused(u, "SELECT id, w FROM t", 230);
    refused(u, "SELECT * FROM t", 230);
    refused(u, "SELECT id FROM t WHERE v = 2", 230);
    ok(sa, "REVOKE SELECT ON dbo.t (v, w) FROM u; REVOKE SELECT ON dbo.t FROM u");
    ok(sa, "GRANT SELECT ON dbo.t (id, v) TO u");
    expect(u, "SELECT id, v FROM t", "1|2\n");
    refused(u, "SELECT w FROM t", 230);
    expect(sa, "SELECT * FROM t", "1|2|3\n");
    refused(sa, "GRANT SELECT ON dbo.t (nope) TO u", 207);
    refused(u, "SELECT id FROM sales.o", 229);
    ok(sa, "GRANT SELECT ON SCHEMA::sales TO u");
    expect(u, "SELECT COUNT(*) FROM sales.o", "0\n");
    expect(u,
           "SELECT HAS_PERMS_BY_NAME(N'sales', N'SCHEMA', N'SELECT'), HAS_PERMS_BY_NAME(N'dbo', "
           "N'SCHEMA', N'SELECT'), HAS_PERMS_BY_NAME(N'none', N'SCHEMA', N'SELECT')",
           "1|0|NULL\n");
    ok(sa, "DENY SELECT ON sales.o TO u"); /* stronger than the schema's grant */
    refused(u, "SELECT id FROM sales.o", 229);
    ok(sa, "GRANT EXECUTE ON OBJECT::sys.sp_cdc_help_jobs TO u"); /* accepted, means nothing */
    refused(sa, "GRANT SELECT ON dbo.nope TO u", 15151);
    ok(sa, "GRANT VIEW DEFINITION TO u");
    expect(u, "SELECT COUNT(*) FROM sys.tables", "2\n");
}
END_TEST

START_TEST(members_of_roles)
{
    static const char ASK[] = "SELECT IS_MEMBER(N'gate'), IS_ROLEMEMBER(N'gate'), "
                              "IS_MEMBER(N'db_owner'), IS_MEMBER(N'nope'), "
                              "IS_SRVROLEMEMBER(N'sysadmin'), IS_MEMBER(N'public')";

    ok(sa, "IF DATABASE_PRINCIPAL_ID(N'gate') IS NULL CREATE ROLE [gate]");
    ok(sa, "IF DATABASE_PRINCIPAL_ID(N'gate') IS NULL CREATE ROLE [gate]");
    expect(u, ASK, "0|0|0|NULL|0|1\n");
    expect(sa, ASK, "1|1|1|NULL|1|1\n");
    ok(sa, "ALTER ROLE [gate] ADD MEMBER [u]; ALTER ROLE db_datareader ADD MEMBER gate");
    expect(u, ASK, "1|1|0|NULL|0|1\n");
    expect(u, "SELECT id FROM t", "1\n"); /* through a role in a role */
    refused(u, "DELETE FROM t", 229);
    refused(u, "SELECT * FROM sys.dm_cdc_errors", 262); /* a reader's role is no state */
    ok(sa, "ALTER ROLE db_owner ADD MEMBER u");
    expect(u, "SELECT IS_MEMBER(N'db_owner')", "1\n");
    expect(u, "SELECT COUNT(*) FROM sys.dm_cdc_errors", "0\n");
    expect(u, "SELECT COUNT(*) FROM sys.fn_my_permissions(NULL, N'SERVER')", "0\n");
    expect(u,
           "SELECT permission_name FROM sys.fn_my_permissions(N'dbo.t', N'OBJECT') WHERE "
           "permission_name = N'DELETE'",
           "DELETE\n");
    expect(sa,
           "SELECT COUNT(*) FROM sys.fn_my_permissions(NULL, N'SERVER') WHERE permission_name = "
           "N'VIEW SERVER STATE'",
           "1\n");
}
END_TEST

START_TEST(logins_change)
{
    struct record r = {0};
    struct session *again;

    refused(sa, "CREATE LOGIN u WITH PASSWORD = 'q'", 15025);
    ok(sa, "ALTER LOGIN [u] WITH PASSWORD = N'new'");
    expect(u, "SELECT 1", "1\n"); /* who is in stays in */
    ck_assert_ptr_null(login("u", "p", "db", &r));
    ck_assert_ptr_nonnull(strstr(r.text, "[18456]"));
    again = login("u", "new", "db", &r);
    ck_assert_ptr_nonnull(again);
    session_close(&again);
    ok(sa, "ALTER LOGIN u DISABLE");
    r.size = 0;
    ck_assert_ptr_null(login("u", "new", "db", &r));
    ck_assert_ptr_nonnull(strstr(r.text, "[18470]"));
    ok(sa, "ALTER LOGIN u ENABLE");
    again = login("u", "new", "db", &r);
    ck_assert_ptr_nonnull(again);
    session_close(&again);
    refused(sa, "ALTER LOGIN nobody DISABLE", 15151);
    refused(u, "ALTER LOGIN u DISABLE", 15151);
}
END_TEST

/* A user with a password of its own gets into its database and no other. */
START_TEST(contained_users)
{
    struct record r = {0};
    struct session *c;

    ok(sa, "CREATE USER [alone] WITH PASSWORD = N'pw2'; GRANT SELECT ON dbo.t TO alone");
    c = login("alone", "pw2", "db", &r);
    ck_assert_ptr_nonnull(c);
    expect(c, "SELECT id FROM t", "1\n");
    session_close(&c);
    ck_assert_ptr_null(login("alone", "wrong", "db", &r));
    ck_assert_ptr_null(login("alone", "pw2", "", &r));
}
END_TEST

/* Proven by the front: no password, and only for a login FROM WINDOWS. */
START_TEST(windows_logins)
{
    struct login_request request = {
        .user = "k@REALM", .password = "", .database = "db", .is_authenticated = true};
    struct record r = {0};
    struct sink sink = sink_of(&r);
    struct session *k = NULL;

    ck_assert_int_eq(session_open(engine, &request, 51, &sink, &k), -1);
    ok(sa, "CREATE LOGIN [k@REALM] FROM WINDOWS; CREATE USER k FOR LOGIN [k@REALM]");
    ck_assert_int_eq(session_open(engine, &request, 51, &sink, &k), 0);
    expect(k, "SELECT SUSER_SNAME(), USER_NAME()", "k@REALM|k\n");
    session_close(&k);
    ck_assert_ptr_null(login("k@REALM", "", "db", &r));
    request.user = "u";
    ck_assert_int_eq(session_open(engine, &request, 51, &sink, &k), -1);
    request.user = "sa";
    ck_assert_int_eq(session_open(engine, &request, 51, &sink, &k), -1);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld rights");
    TCase *c = tcase_create("rights");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(c, setup_user, teardown_user);
    tcase_add_test(c, state_of_server_and_database);
    tcase_add_test(c, tables_schemas_columns);
    tcase_add_test(c, members_of_roles);
    tcase_add_test(c, logins_change);
    tcase_add_test(c, contained_users);
    tcase_add_test(c, windows_logins);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
