/* uses: mssqld */
/* The capture job: stopped, missing, slow, failing; what it tells of itself. */
#include "common/clock.h"
#include "tests/unit/mssqld_help.h"

static struct session *
tracked(void)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int)");
    capture(s, "t");
    ok(s, "INSERT INTO t VALUES (1, 1)");
    return s;
}

/* Waits until a query answers so; the job's thread does the rest. */
static void
await(struct session *s, const char *text, const char *want)
{
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;

    while (strcmp(run(s, text), want) != 0) {
        ck_assert_msg(clock_mono_ns() < end, "%s never answered %s but %s", text, want,
                      run(s, text));
        ok(s, "WAITFOR DELAY '00:00:00.005'");
    }
}

START_TEST(a_stopped_job_captures_nothing)
{
    struct session *s = tracked();

    ok(s, "EXEC sys.sp_cdc_stop_job @job_type = N'capture'");
    ok(s, "INSERT INTO t VALUES (2, 2); UPDATE t SET v = 9 WHERE id = 1");
    ok(s, "BEGIN TRAN; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 3); COMMIT");
    ok(s, "BEGIN TRAN; INSERT INTO t VALUES (4, 4); ROLLBACK");
    expect(s, "SELECT COUNT(*) FROM cdc.dbo_t_CT", "1\n");
    expect(s, "SELECT COUNT(*) FROM cdc.lsn_time_mapping", "2\n");
    expect(s,
           "SELECT CASE WHEN l.log_end_lsn > (SELECT MAX(m.last_commit_lsn) FROM "
           "sys.dm_cdc_log_scan_sessions m) THEN 1 ELSE 0 END FROM sys.dm_db_log_stats(DB_ID()) l",
           "1\n");
    refused(s, "EXEC sys.sp_cdc_stop_job", 22022);
    ok(s, "EXEC sys.sp_cdc_start_job");
    refused(s, "EXEC sys.sp_cdc_start_job", 22022);
    expect(s,
           "SELECT [__$operation], id, v FROM cdc.dbo_t_CT ORDER BY [__$start_lsn], "
           "[__$command_id], [__$seqval], [__$operation]",
           "2|1|1\n2|2|2\n3|1|1\n4|1|9\n1|2|2\n2|3|3\n");
    expect(s, "SELECT COUNT(*) FROM cdc.lsn_time_mapping", "5\n");
    expect(s,
           "SELECT COUNT(DISTINCT c.[__$start_lsn]) FROM cdc.dbo_t_CT c JOIN cdc.lsn_time_mapping "
           "m ON m.start_lsn = c.[__$start_lsn]",
           "4\n");
    ok(s, "INSERT INTO t VALUES (5, 5)"); /* at once again */
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "5\n");
    session_close(&s);
}
END_TEST

/* What is in the log when the server ends is captured by the next one. */
START_TEST(the_log_outlives_the_server)
{
    struct engine_config config = {.directory = directory, .sa_password = "pw", .server_name = "T"};
    struct session *s = tracked();
    struct record r = {0};
    struct err e = ERR_INIT;

    ok(s, "EXEC sys.sp_cdc_stop_job");
    ok(s, "INSERT INTO t VALUES (2, 2)");
    session_close(&s);
    engine_close(&engine);
    ck_assert_int_eq(engine_open(&config, &engine, &e), 0);
    s = login("sa", "pw", "db", &r);
    ck_assert_ptr_nonnull(s);
    expect(s, "SELECT id FROM cdc.dbo_t_CT ORDER BY [__$start_lsn]", "1\n2\n");
    session_close(&s);
}
END_TEST

START_TEST(scans_by_hand_and_their_limits)
{
    struct session *s = tracked();

    ok(s, "EXEC sys.sp_cdc_stop_job");
    for (int i = 2; i < 9; i++) {
        char text[64];

        (void)snprintf(text, sizeof text, "INSERT INTO t VALUES (%d, 0)", i);
        ok(s, text);
    }
    ok(s, "EXEC sys.sp_cdc_scan @maxtrans = 2, @maxscans = 2");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "5\n");
    expect(s,
           "SELECT TOP (2) tran_count, scan_phase, error_count, empty_scan_count FROM "
           "sys.dm_cdc_log_scan_sessions ORDER BY session_id DESC",
           "2|Done|0|0\n2|Done|0|0\n");
    ok(s, "EXEC sys.sp_cdc_scan");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "8\n");
    ok(s, "EXEC sys.sp_cdc_scan; EXEC sys.sp_cdc_scan");
    expect(s,
           "SELECT TOP (2) tran_count, empty_scan_count FROM sys.dm_cdc_log_scan_sessions ORDER BY "
           "session_id DESC",
           "0|2\n3|0\n");
    expect(s, "SELECT tran_count FROM sys.dm_cdc_log_scan_sessions WHERE session_id = 0", "7\n");
    ok(s, "INSERT INTO t VALUES (9, 0)"); /* the job is stopped still */
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "8\n");
    session_close(&s);
}
END_TEST

START_TEST(a_slow_job)
{
    struct session *s = tracked();

    ok(s, "EXEC mssqld.capture_delay @ms = 20");
    ok(s, "INSERT INTO t VALUES (2, 2)");
    await(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "2\n");
    /* Empty rounds share a row whose end moves. */
    await(s,
          "SELECT TOP (1) CASE WHEN tran_count = 0 AND empty_scan_count > 2 AND end_time > "
          "start_time THEN 1 ELSE 0 END FROM sys.dm_cdc_log_scan_sessions ORDER BY session_id DESC",
          "1\n");
    ok(s, "EXEC mssqld.capture_delay @ms = 20, @lag_ms = 3600000");
    ok(s, "INSERT INTO t VALUES (3, 3)");
    ok(s, "EXEC sys.sp_cdc_scan");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "2\n");
    ok(s, "EXEC mssqld.capture_delay");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "3\n");
    /* The job's own number counts from its next start on. */
    ok(s, "EXEC sys.sp_cdc_change_job @job_type = N'capture', @pollinginterval = 3600");
    ok(s, "INSERT INTO t VALUES (4, 4)");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "4\n");
    ok(s, "EXEC sys.sp_cdc_stop_job; EXEC sys.sp_cdc_start_job");
    ok(s, "INSERT INTO t VALUES (5, 5)");
    ok(s, "EXEC sys.sp_cdc_change_job @job_type = N'capture', @pollinginterval = 0");
    ok(s, "EXEC sys.sp_cdc_stop_job; EXEC sys.sp_cdc_start_job");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "5\n");
    session_close(&s);
}
END_TEST

START_TEST(a_failing_job)
{
    struct session *s = tracked();

    ok(s, "EXEC mssqld.capture_fail @number = 2628, @message = N'\"too\" long', @times = 2");
    ok(s, "INSERT INTO t VALUES (2, 2)");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "1\n");
    expect(s, "SELECT error_number, error_message FROM sys.dm_cdc_errors", "2628|\"too\" long\n");
    ok(s, "INSERT INTO t VALUES (20, 2)");
    expect(s,
           "SELECT TOP (1) error_count, scan_phase, failed_sessions_count FROM "
           "sys.dm_cdc_log_scan_sessions ORDER BY session_id DESC",
           "1|Error|1\n");
    ok(s, "INSERT INTO t VALUES (3, 3)"); /* the next try works, and takes both */
    expect(s, "SELECT id FROM cdc.dbo_t_CT ORDER BY [__$start_lsn]", "1\n2\n20\n3\n");
    expect(s, "SELECT COUNT(*) FROM sys.dm_cdc_errors", "2\n");
    ok(s, "EXEC mssqld.capture_fail @number = 22859");
    ok(s, "INSERT INTO t VALUES (4, 4)");
    refused(s, "EXEC sys.sp_cdc_scan", 22859);
    ok(s, "EXEC mssqld.capture_fail @number = 0");
    expect(s, "SELECT COUNT(*) FROM cdc.dbo_t_CT WHERE id = 4", "1\n");
    session_close(&s);
}
END_TEST

/* A first LSN and DDL wait for the scan as rows do. */
START_TEST(instances_made_while_stopped)
{
    struct session *s = tracked();

    ok(s, "EXEC sys.sp_cdc_stop_job");
    ok(s, "INSERT INTO t VALUES (2, 2)");
    ok(s, "ALTER TABLE t ADD w int NULL");
    ok(s, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @capture_instance = N'two', @role_name = NULL");
    ok(s, "INSERT INTO t VALUES (3, 3, 3)");
    expect(s, "SELECT start_lsn FROM cdc.change_tables WHERE capture_instance = N'two'", "NULL\n");
    expect(s, "SELECT sys.fn_cdc_get_min_lsn(N'two')", "0x00000000000000000000\n");
    expect(s, "SELECT COUNT(*) FROM cdc.ddl_history", "0\n");
    ok(s, "EXEC sys.sp_cdc_start_job");
    expect(s,
           "SELECT id FROM cdc.two_CT c WHERE c.[__$start_lsn] > (SELECT start_lsn FROM "
           "cdc.change_tables WHERE capture_instance = N'two')",
           "3\n");
    expect(s, "SELECT COUNT(*) FROM cdc.ddl_history", "1\n");
    expect(s, "SELECT id FROM cdc.dbo_t_CT ORDER BY id", "1\n2\n3\n");
    /* An instance dropped before the scan takes its rows along. */
    ok(s, "EXEC sys.sp_cdc_stop_job");
    ok(s, "INSERT INTO t VALUES (4, 4, 4)");
    ok(s, "ALTER TABLE t ADD x int NULL");
    ok(s, "EXEC sys.sp_cdc_disable_table 'dbo', 't', N'two'");
    ok(s, "EXEC sys.sp_cdc_start_job");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "4\n");
    expect(s, "SELECT COUNT(*) FROM cdc.ddl_history", "2\n");
    ok(s, "EXEC sys.sp_cdc_stop_job; INSERT INTO t VALUES (5, 5, 5, 5)");
    ok(s, "EXEC sys.sp_cdc_disable_db");
    ok(s, "EXEC sys.sp_cdc_enable_db"); /* all of the old job is forgotten */
    ok(s, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = NULL");
    ok(s, "INSERT INTO t VALUES (6, 6, 6, 6)");
    expect(s, "SELECT id FROM cdc.dbo_t_CT", "6\n");
    session_close(&s);
}
END_TEST

START_TEST(agent_and_jobs)
{
    struct session *s = tracked();

    expect(s, "SELECT status_desc FROM sys.dm_server_services WHERE servicename LIKE N'%Agent%'",
           "Running\n");
    ok(s, "EXEC mssqld.agent 0");
    expect(s,
           "SELECT status, status_desc FROM sys.dm_server_services WHERE servicename LIKE "
           "N'%Agent%'",
           "1|Stopped\n");
    ok(s, "INSERT INTO t VALUES (2, 2)");
    refused(s, "EXEC sys.sp_cdc_start_job", 22022);
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "1\n");
    ok(s, "EXEC mssqld.agent 1");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "2\n");
    expect(s,
           "SELECT j.name, j.enabled, CASE WHEN a.stop_execution_date IS NULL THEN 1 ELSE 0 END "
           "FROM msdb.dbo.sysjobs j JOIN msdb.dbo.cdc_jobs c ON c.job_id = j.job_id JOIN "
           "msdb.dbo.sysjobactivity a ON a.job_id = j.job_id WHERE c.job_type = N'capture'",
           "cdc.db_capture|1|1\n");
    ok(s, "EXEC sys.sp_cdc_stop_job");
    expect(s,
           "SELECT CASE WHEN a.stop_execution_date IS NULL THEN 1 ELSE 0 END FROM "
           "msdb.dbo.cdc_jobs c JOIN msdb.dbo.sysjobactivity a ON a.job_id = c.job_id WHERE "
           "c.job_type = N'capture'",
           "0\n");
    expect(s,
           "SELECT h.run_status, v.last_run_outcome FROM msdb.dbo.sysjobhistory h JOIN "
           "msdb.dbo.cdc_jobs c ON c.job_id = h.job_id JOIN msdb.dbo.sysjobservers v ON v.job_id = "
           "c.job_id WHERE c.job_type = N'capture' AND h.step_id = 0",
           "3|3\n");
    ok(s, "EXEC sys.sp_cdc_start_job");
    ok(s, "EXEC sys.sp_cdc_drop_job @job_type = N'capture'");
    expect(s, "SELECT job_type FROM msdb.dbo.cdc_jobs", "cleanup\n");
    ok(s, "INSERT INTO t VALUES (3, 3)");
    refused(s, "EXEC sys.sp_cdc_start_job", 22836);
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "2\n");
    ok(s, "EXEC sys.sp_cdc_add_job @job_type = N'capture'");
    expect(s, "SELECT MAX(id) FROM cdc.dbo_t_CT", "3\n");
    refused(s, "EXEC sys.sp_cdc_add_job @job_type = N'capture'", 22835);
    session_close(&s);
}
END_TEST

/* Dummy rows, and none while nobody scans. */
START_TEST(dummy_rows_on_demand)
{
    struct session *s = tracked();

    ok(s, "EXEC mssqld.dummy_row @n = 2");
    expect(s, "SELECT COUNT(*) FROM cdc.lsn_time_mapping WHERE tran_id = 0x00", "2\n");
    expect(s,
           "SELECT CASE WHEN sys.fn_cdc_get_max_lsn() > MAX([__$start_lsn]) THEN 1 END FROM "
           "cdc.dbo_t_CT",
           "1\n");
    ok(s, "EXEC sys.sp_cdc_stop_job");
    ok(s, "INSERT INTO t VALUES (2, 2)");
    refused(s, "EXEC mssqld.dummy_row", 22903);
    expect(s, "SELECT COUNT(*) FROM cdc.lsn_time_mapping", "4\n");
    session_close(&s);
}
END_TEST

START_TEST(cleanup_in_two_steps)
{
    struct session *s = tracked();

    ok(s, "CREATE TABLE idle (id int NOT NULL PRIMARY KEY)");
    capture(s, "idle");
    ok(s, "INSERT INTO idle VALUES (1)");
    ok(s, "EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 60, @threshold = 1");
    ok(s, "EXEC sys.sp_MScdc_cleanup_job"); /* nothing is that old */
    expect(s, "SELECT COUNT(*) FROM cdc.dbo_t_CT", "1\n");
    ok(s, "EXEC mssqld.clock @seconds = 3500");
    ok(s, "INSERT INTO t VALUES (2, 2)");
    ok(s, "EXEC mssqld.clock @seconds = 200");
    ok(s, "INSERT INTO t VALUES (3, 3)");
    ok(s, "EXEC mssqld.cleanup_pause 1");
    ok(s, "EXEC sys.sp_MScdc_cleanup_job");
    expect(s, "SELECT id FROM cdc.dbo_t_CT ORDER BY id", "1\n2\n3\n");
    expect(s,
           "SELECT t.capture_instance, COUNT(*) FROM cdc.change_tables t JOIN cdc.lsn_time_mapping "
           "m ON m.start_lsn < t.start_lsn GROUP BY t.capture_instance ORDER BY 1",
           "dbo_idle|3\ndbo_t|3\n");
    ok(s, "EXEC mssqld.cleanup_pause 0");
    expect(s, "SELECT id FROM cdc.dbo_t_CT ORDER BY id", "2\n3\n");
    expect(s, "SELECT COUNT(*) FROM cdc.dbo_idle_CT", "1\n"); /* at the mark itself */
    expect(s,
           "SELECT COUNT(*) FROM cdc.lsn_time_mapping m JOIN cdc.change_tables t ON m.start_lsn < "
           "t.start_lsn",
           "0\n");
    ok(s, "EXEC mssqld.clock");
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld job");
    TCase *c = tcase_create("job");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_stopped_job_captures_nothing);
    tcase_add_test(c, the_log_outlives_the_server);
    tcase_add_test(c, scans_by_hand_and_their_limits);
    tcase_add_test(c, a_slow_job);
    tcase_add_test(c, a_failing_job);
    tcase_add_test(c, instances_made_while_stopped);
    tcase_add_test(c, agent_and_jobs);
    tcase_add_test(c, dummy_rows_on_demand);
    tcase_add_test(c, cleanup_in_two_steps);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
