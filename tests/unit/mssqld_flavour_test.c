/* uses: mssqld */
/* What differs from server to server: editions, versions, command ids, catalog values. */
#include "tests/unit/mssqld_help.h"

static struct session *
tracked(void)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int)");
    capture(s, "t");
    return s;
}

START_TEST(editions_and_versions)
{
    static const char ASK[] = "SELECT SERVERPROPERTY('EngineEdition'), "
                              "SERVERPROPERTY('ProductVersion'), SERVERPROPERTY('Edition')";
    struct session *s = tracked();

    expect(s, ASK, "3|16.0.4135.4|Developer Edition (64-bit)\n");
    ok(s, "EXEC mssqld.flavour N'box', 12");
    expect(s, ASK, "3|12.0.6449.1|Developer Edition (64-bit)\n");
    ck_assert_ptr_nonnull(strstr(run(s, "SELECT @@VERSION"), "SQL Server 2014"));
    refused(s, "SELECT * FROM sys.dm_db_stats_histogram(1, 1)", 208);
    refused(s, "SELECT * FROM sys.dm_db_log_stats(DB_ID())", 208);
    expect(s, "SELECT COUNT(*) FROM sys.dm_db_stats_properties(1, 1)", "0\n");
    ok(s, "EXEC mssqld.flavour N'managed-instance'");
    expect(s, ASK, "8|12.0.2000.8|SQL Azure\n");
    ok(s, "EXEC mssqld.flavour");
    expect(s, ASK, "3|16.0.4135.4|Developer Edition (64-bit)\n");
    refused(s, "EXEC mssqld.flavour N'oracle'", 50000);
    refused(s, "EXEC mssqld.flavour N'box', 9", 50000);
    session_close(&s);
}
END_TEST

/* One database to a connection, no Agent: jobs stand in the database itself. */
START_TEST(azure_sql_database)
{
    struct session *s = tracked();

    ok(s, "ALTER DATABASE db SET ALLOW_SNAPSHOT_ISOLATION OFF");
    refused(s, "SELECT * FROM cdc.cdc_jobs", 208);
    ok(s, "EXEC mssqld.flavour N'azure-sql-database'");
    expect(s, "SELECT SERVERPROPERTY('EngineEdition')", "5\n");
    expect(s, "SELECT snapshot_isolation_state FROM sys.databases WHERE name = N'db'", "1\n");
    expect(s, "SELECT job_type, maxtrans FROM cdc.cdc_jobs ORDER BY job_type",
           "capture|500\ncleanup|0\n");
    refused(s, "SELECT * FROM msdb.dbo.cdc_jobs", 40515);
    refused(s, "USE msdb", 40508);
    refused(s, "SELECT * FROM sys.dm_server_services", 208);
    refused(s, "EXEC sys.sp_cdc_stop_job", 40510);
    ok(s, "EXEC sys.sp_cdc_change_job @job_type = N'capture', @maxtrans = 100");
    expect(s, "SELECT maxtrans FROM cdc.cdc_jobs WHERE job_type = N'capture'", "100\n");
    ok(s, "EXEC mssqld.capture_delay @ms = 20000; INSERT INTO t VALUES (1, 1)");
    ok(s, "EXEC sys.sp_cdc_scan"); /* beside the scheduler */
    expect(s, "SELECT id FROM cdc.dbo_t_CT", "1\n");
    session_close(&s);
}
END_TEST

START_TEST(rds)
{
    struct record r = {0};
    struct session *s = tracked();
    struct session *u;

    expect(s, "SELECT COUNT(*) FROM msdb.dbo.sysjobs", "2\n");
    refused(s, "EXEC msdb.dbo.rds_cdc_enable_db N'db'", 2812);
    ok(s, "EXEC mssqld.flavour N'rds'");
    expect(s, "SELECT COUNT(*) FROM msdb.dbo.sysjobs", "0\n");
    expect(s, "SELECT DB_ID(N'rdsadmin') - DB_ID(N'db')", "1\n");
    ok(s, "EXEC msdb.dbo.rds_cdc_disable_db N'db'");
    ok(s, "CREATE LOGIN u WITH PASSWORD = 'p'; CREATE USER u FOR LOGIN u");
    u = login("u", "p", "db", &r);
    ck_assert_ptr_nonnull(u);
    refused(u, "EXEC sys.sp_cdc_enable_db", 22902);
    ok(u, "EXEC msdb.dbo.rds_cdc_enable_db 'db'");
    expect(s, "SELECT is_cdc_enabled FROM sys.databases WHERE name = N'db'", "1\n");
    session_close(&u);
    session_close(&s);
}
END_TEST

/* Servers before KB3030352, and change tables that have lived through the update. */
START_TEST(command_ids)
{
    struct session *s = tracked();

    ok(s, "CREATE TABLE old (id int NOT NULL PRIMARY KEY, v int); CREATE TABLE mid (id int NOT "
          "NULL PRIMARY KEY, v int)");
    ok(s, "EXEC mssqld.command_id 0");
    capture(s, "old");
    ok(s, "EXEC mssqld.command_id 2");
    capture(s, "mid");
    ok(s,
       "BEGIN TRAN; INSERT INTO t VALUES (1, 1), (2, 2); INSERT INTO old SELECT * FROM t; INSERT "
       "INTO mid SELECT * FROM t; COMMIT");
    ok(s, "UPDATE old SET id = id + 1; UPDATE mid SET v = 5 WHERE id = 1");
    refused(s, "SELECT [__$command_id] FROM cdc.dbo_old_CT", 207);
    expect(s,
           "SELECT [__$operation], id FROM cdc.dbo_old_CT ORDER BY [__$start_lsn], [__$seqval], "
           "[__$operation]",
           "2|1\n2|2\n1|1\n2|2\n1|2\n2|3\n");
    expect(s,
           "SELECT [__$command_id], [__$operation], id FROM cdc.dbo_mid_CT ORDER BY "
           "[__$start_lsn], [__$command_id], [__$seqval], [__$operation]",
           "NULL|2|1\nNULL|2|2\nNULL|3|1\nNULL|4|1\n");
    expect(s, "SELECT COUNT([__$command_id]) FROM cdc.dbo_t_CT", "2\n");
    ok(s,
       "EXEC mssqld.command_id 1; DELETE FROM mid WHERE id = 1"); /* updated: numbers from now on */
    expect(s, "SELECT [__$command_id] FROM cdc.dbo_mid_CT WHERE [__$operation] = 1", "1\n");
    expect(s,
           "SELECT [__$operation], id FROM cdc.fn_cdc_get_all_changes_dbo_old("
           "sys.fn_cdc_get_min_lsn('dbo_old'), sys.fn_cdc_get_max_lsn(), N'all') ORDER BY "
           "[__$start_lsn], [__$seqval], [__$operation]",
           "2|1\n2|2\n1|1\n2|2\n1|2\n2|3\n");
    /* Deferred capture knows the difference too. */
    ok(s, "EXEC sys.sp_cdc_stop_job; INSERT INTO old VALUES (9, 9); INSERT INTO mid VALUES (9, 9); "
          "EXEC sys.sp_cdc_start_job");
    expect(s, "SELECT (SELECT MAX(id) FROM cdc.dbo_old_CT), (SELECT MAX(id) FROM cdc.dbo_mid_CT)",
           "9|9\n");
    session_close(&s);
}
END_TEST

START_TEST(what_the_catalog_says)
{
    struct session *s = tracked();

    ok(s, "CREATE TABLE u (id int)");
    ok(s, "EXEC mssqld.override N'sys.tables', N'temporal_type', N'2', N'dbo.t'");
    ok(s, "EXEC mssqld.override @view = N'databases', @column = N'log_reuse_wait_desc', @value = "
          "N'it''s', @object = N'db'");
    expect(s, "SELECT name, temporal_type FROM sys.tables WHERE name IN (N't', N'u') ORDER BY name",
           "t|2\nu|0\n");
    expect(s,
           "SELECT log_reuse_wait_desc FROM sys.databases WHERE name IN (N'db', N'master') ORDER "
           "BY name",
           "it's\nNOTHING\n");
    ok(s, "EXEC mssqld.override N'sys.databases', N'is_published', N'1'");
    expect(s, "SELECT MIN(CAST(is_published AS int)) FROM sys.databases", "1\n");
    ok(s, "EXEC mssqld.override N'sys.databases', N'is_published'; EXEC mssqld.override "
          "N'sys.tables', N'temporal_type', NULL, N'dbo.t'");
    expect(s, "SELECT MAX(CAST(is_published AS int)) FROM sys.databases", "0\n");
    expect(s, "SELECT MAX(temporal_type) FROM sys.tables", "0\n");
    refused(s, "EXEC mssqld.override N'sys.tables', N'temporal_type', N'1', N'dbo.nope'", 208);
    refused(s, "EXEC mssqld.override N'sys.tables'", 201);
    expect(s, "SELECT value_in_use FROM sys.configurations WHERE name = N'max text repl size (B)'",
           "65536\n");
    ok(s, "EXEC sp_configure 'max text repl size', -1; RECONFIGURE WITH OVERRIDE; SELECT 1 AS x");
    expect(s, "SELECT value_in_use FROM sys.configurations WHERE name = N'max text repl size (B)'",
           "-1\n");
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld flavour");
    TCase *c = tcase_create("flavour");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, editions_and_versions);
    tcase_add_test(c, azure_sql_database);
    tcase_add_test(c, rds);
    tcase_add_test(c, command_ids);
    tcase_add_test(c, what_the_catalog_says);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
