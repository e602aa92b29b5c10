/* uses: mssqld */
/* Databases put back, failed over, taken away; read-only replicas. */
#include "tests/unit/mssqld_help.h"

#define WHO                                                                                        \
    "SELECT CONVERT(nvarchar(36), database_guid), CONVERT(nvarchar(36), family_guid), "            \
    "CONVERT(nvarchar(36), recovery_fork_guid), CONVERT(nvarchar(36), first_recovery_fork_guid), " \
    "CONVERT(nvarchar(40), fork_point_lsn) FROM sys.database_recovery_status WHERE database_id = " \
    "DB_ID()"

struct who {
    char guid[40];
    char family[40];
    char fork[40];
    char first[40];
    char point[48];
};

static struct who
who(struct session *s)
{
    struct who w;

    ck_assert_int_eq(sscanf(run(s, WHO), "%39[^|]|%39[^|]|%39[^|]|%39[^|]|%47[^\n]", w.guid,
                            w.family, w.fork, w.first, w.point),
                     5);
    return w;
}

static struct session *
tracked(void)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int)");
    capture(s, "t");
    ok(s, "INSERT INTO t VALUES (1, 1)");
    return s;
}

static struct session *
another(void)
{
    static struct record r;

    return login("sa", "pw", "db", &r);
}

/* Rows, change rows and LSNs are those of the backup; who the database is tells. */
START_TEST(restored)
{
    struct session *s = tracked();
    struct session *o = another();
    struct who before = who(s);
    struct who after;
    char lsn[64];
    char end[64];
    char created[64];

    ck_assert_str_eq(before.first, "NULL");
    ck_assert_str_eq(before.point, "NULL");
    ok(s, "EXEC mssqld.backup @name = N'early'");
    (void)snprintf(end, sizeof end, "%.40s",
                   run(s, "SELECT log_end_lsn FROM sys.dm_db_log_stats(DB_ID())"));
    (void)snprintf(created, sizeof created, "%.40s",
                   run(s, "SELECT create_date FROM sys.databases WHERE name = N'db'"));
    ok(s, "INSERT INTO t VALUES (2, 2); ALTER TABLE t ADD w int NULL");
    (void)snprintf(lsn, sizeof lsn, "%.40s",
                   run(s, "SELECT MAX([__$start_lsn]) FROM cdc.dbo_t_CT"));
    refused(s, "EXEC mssqld.restore @name = N'never'", 3201);
    refused(s, "BEGIN TRAN; EXEC mssqld.restore @name = N'early'", 3021);
    ok(s, "ROLLBACK");
    ok(s, "WAITFOR DELAY '00:00:00.01'; EXEC mssqld.restore @name = N'early'");
    ck_assert(session_ended(o));
    ck_assert(!session_ended(s));
    expect(s, "SELECT * FROM t", "1|1\n");
    expect(s, "SELECT id FROM cdc.dbo_t_CT", "1\n");
    expect(s, "SELECT COUNT(*) FROM cdc.ddl_history", "0\n");
    expect(s, "SELECT log_end_lsn FROM sys.dm_db_log_stats(DB_ID())", end);
    after = who(s);
    ck_assert_str_eq(after.guid, before.guid);
    ck_assert_str_eq(after.family, before.family);
    ck_assert_str_ne(after.fork, before.fork);
    ck_assert_str_eq(after.first, before.fork);
    ck_assert_str_ne(after.point, "NULL");
    ck_assert_str_ne(created, run(s, "SELECT create_date FROM sys.databases WHERE name = N'db'"));
    ok(s, "INSERT INTO t VALUES (3, 3)"); /* the LSN of row 2 is used again */
    expect(s, "SELECT MAX([__$start_lsn]) FROM cdc.dbo_t_CT", lsn);
    session_close(&o);
    session_close(&s);
}
END_TEST

/* What was in the log and not captured is captured after the restore. */
START_TEST(restored_with_pending_log)
{
    struct session *s = tracked();
    char created[64];

    ok(s, "EXEC sys.sp_cdc_stop_job; INSERT INTO t VALUES (2, 2)");
    ok(s, "EXEC mssqld.backup pending");
    ok(s, "EXEC sys.sp_cdc_start_job");
    (void)snprintf(created, sizeof created, "%.40s",
                   run(s, "SELECT create_date FROM sys.databases WHERE name = N'db'"));
    ok(s, "EXEC mssqld.restore @name = N'pending', @new_create_date = 0");
    expect(s, "SELECT create_date FROM sys.databases WHERE name = N'db'", created);
    ok(s, "INSERT INTO t VALUES (3, 3)");
    expect(s, "SELECT id FROM cdc.dbo_t_CT ORDER BY [__$start_lsn]", "1\n2\n3\n");
    session_close(&s);
}
END_TEST

START_TEST(restored_beside_and_without_cdc)
{
    struct session *s = tracked();
    struct who old = who(s);
    struct who new;

    ok(s, "EXEC mssqld.backup b");
    ok(s, "EXEC mssqld.restore @name = N'b', @as = N'copy'");
    ok(s, "INSERT INTO t VALUES (2, 2); USE copy");
    expect(s, "SELECT id FROM cdc.dbo_t_CT", "1\n");
    new = who(s);
    ck_assert_str_ne(new.guid, old.guid);
    ck_assert_str_eq(new.family, old.family);
    ok(s, "USE db; EXEC mssqld.restore @name = N'b', @keep_cdc = 0");
    expect(s,
           "SELECT is_cdc_enabled FROM sys.databases WHERE name IN (N'db', N'copy') ORDER BY name",
           "1\n0\n");
    refused(s, "SELECT * FROM cdc.change_tables", 208);
    expect(s, "SELECT id FROM t", "1\n");
    session_close(&s);
}
END_TEST

/* Another server with the same database: jobs are not there until somebody adds them. */
START_TEST(failed_over)
{
    struct session *s = tracked();
    struct session *o = another();
    struct who before = who(s);

    ok(s, "EXEC mssqld.failover @server = N'NODE2'");
    ck_assert(session_ended(o));
    expect(s, "SELECT @@SERVERNAME, SERVERPROPERTY('ServerName')", "NODE2|NODE2\n");
    ck_assert_str_eq(who(s).fork, before.fork);
    expect(s, "SELECT COUNT(*) FROM msdb.dbo.cdc_jobs", "0\n");
    ok(s, "INSERT INTO t VALUES (2, 2)");
    expect(s, "SELECT COUNT(*) FROM cdc.dbo_t_CT", "1\n");
    ok(s, "EXEC sys.sp_cdc_add_job @job_type = N'capture'");
    expect(s, "SELECT COUNT(*) FROM cdc.dbo_t_CT", "2\n");
    /* With loss of data: the other server never saw the last rows. */
    ok(s, "EXEC mssqld.backup seen; INSERT INTO t VALUES (3, 3)");
    ok(s, "EXEC mssqld.failover @server = N'NODE1', @restore = N'seen', @keep_jobs = 1");
    ck_assert_str_eq(who(s).first, before.fork);
    expect(s, "SELECT MAX(id) FROM t", "2\n");
    ok(s, "INSERT INTO t VALUES (4, 4)");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "4\n");
    session_close(&o);
    session_close(&s);
}
END_TEST

START_TEST(states)
{
    struct record r = {0};
    struct session *s = tracked();
    struct session *o = another();

    ok(s, "USE master; ALTER DATABASE db SET OFFLINE WITH ROLLBACK IMMEDIATE");
    ck_assert(session_ended(o));
    refused(o, "SELECT 1", 942);
    refused(s, "USE db", 942);
    refused(s, "SELECT * FROM db.dbo.t", 942);
    ck_assert_ptr_null(login("sa", "pw", "db", &r));
    ck_assert_ptr_nonnull(strstr(r.text, "[4060]"));
    expect(s,
           "SELECT state, state_desc, DATABASEPROPERTYEX(N'db', 'Status') FROM sys.databases "
           "WHERE name = N'db'",
           "6|OFFLINE|OFFLINE\n");
    ok(s, "ALTER DATABASE db SET ONLINE; USE db");
    expect(s, "SELECT id FROM t", "1\n");
    for (int i = 0; i < 3; i++) {
        static const struct {
            const char *name;
            int number;
        } STATES[] = {{"RESTORING", 927}, {"NOT_READABLE", 976}, {"RESOLVING", 983}};
        char text[80];

        (void)snprintf(text, sizeof text, "EXEC mssqld.database_state N'%s'", STATES[i].name);
        ok(s, text);
        refused(s, "SELECT id FROM t", STATES[i].number);
        (void)snprintf(text, sizeof text, "[%d]", STATES[i].number);
        r.size = 0;
        ck_assert_ptr_null(login("sa", "pw", "db", &r));
        ck_assert_ptr_nonnull(strstr(r.text, text));
    }
    ok(s, "EXEC mssqld.database_state N'ONLINE'");
    expect(s, "SELECT id FROM t", "1\n");
    refused(s, "EXEC mssqld.database_state N'NO_SUCH'", 102);
    refused(s, "USE master; EXEC mssqld.database_state N'OFFLINE'", 5058);
    session_close(&o);
    session_close(&s);
}
END_TEST

START_TEST(for_reading_only)
{
    struct login_request request = {
        .user = "sa", .password = "pw", .database = "db", .read_only_intent = true};
    struct record r = {0};
    struct sink sink = sink_of(&r);
    struct session *s = tracked();
    struct session *reader = NULL;

    ok(s, "EXEC mssqld.database_state N'READ_INTENT'");
    refused(s, "SELECT id FROM t", 978);
    ck_assert_int_eq(session_open(engine, &request, 51, &sink, &reader), 0);
    expect(reader, "SELECT id FROM t", "1\n");
    ok(s, "EXEC mssqld.database_state N'ONLINE'; EXEC mssqld.read_only 1");
    expect(s,
           "SELECT DATABASEPROPERTYEX(DB_NAME(), 'Updateability'), is_read_only, CASE WHEN "
           "group_database_id IS NULL THEN 0 ELSE 1 END FROM sys.databases WHERE name = N'db'",
           "READ_ONLY|1|1\n");
    refused(s, "INSERT INTO t VALUES (2, 2)", 3906);
    refused(s, "CREATE TABLE x (a int)", 3906);
    expect(s, "SELECT COUNT(*) FROM sys.dm_cdc_log_scan_sessions", "0\n");
    expect(s, "SELECT log_end_lsn FROM sys.dm_db_log_stats(DB_ID())", "NULL\n");
    ok(s, "EXEC mssqld.as_primary 1; INSERT INTO t VALUES (2, 2)"); /* what the primary sends */
    expect(reader, "SELECT MAX(id) FROM cdc.dbo_t_CT", "2\n");
    ok(s, "EXEC mssqld.as_primary 0; EXEC mssqld.read_only 0; INSERT INTO t VALUES (3, 3)");
    expect(s, "SELECT DATABASEPROPERTYEX(DB_NAME(), 'Updateability')", "READ_WRITE\n");
    session_close(&reader);
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld recovery");
    TCase *c = tcase_create("recovery");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, restored);
    tcase_add_test(c, restored_with_pending_log);
    tcase_add_test(c, restored_beside_and_without_cdc);
    tcase_add_test(c, failed_over);
    tcase_add_test(c, states);
    tcase_add_test(c, for_reading_only);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
