/* uses: mssqld */
/* Tables that change while they are captured: instances, DDL history, what is refused. */
#include "tests/unit/mssqld_help.h"

static struct session *
tracked(void)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v varchar(10), old int)");
    capture(s, "t");
    ok(s, "INSERT INTO t VALUES (1, 'a', 10)");
    return s;
}

/* The change table keeps the columns of its creation; a type change goes along. */
START_TEST(columns)
{
    struct session *s = tracked();

    ok(s, "ALTER TABLE t ADD extra int NULL; INSERT INTO t VALUES (2, 'b', 20, 200)");
    ok(s, "ALTER TABLE t DROP COLUMN old; INSERT INTO t VALUES (3, 'c', 300)");
    ok(s, "ALTER TABLE t ALTER COLUMN v varchar(40) NULL");
    expect(s, "SELECT id, v, old FROM cdc.dbo_t_CT ORDER BY id", "1|a|10\n2|b|20\n3|c|NULL\n");
    expect(s,
           "SELECT c.name, c.max_length FROM sys.columns c WHERE c.object_id = "
           "OBJECT_ID(N'cdc.dbo_t_CT') AND c.name NOT LIKE N'[_][_]$%' ORDER BY c.column_id",
           "id|4\nv|40\nold|4\n");
    expect(s,
           "SELECT required_column_update, CHARINDEX(N'ALTER TABLE', ddl_command) FROM "
           "cdc.ddl_history ORDER BY ddl_lsn",
           "0|1\n0|1\n1|1\n");
    expect(s,
           "SELECT COUNT(*) FROM cdc.ddl_history h WHERE h.ddl_lsn > (SELECT MIN([__$start_lsn]) "
           "FROM cdc.dbo_t_CT) AND h.object_id = OBJECT_ID(N'cdc.dbo_t_CT') AND "
           "h.source_object_id = OBJECT_ID(N'dbo.t')",
           "3\n");
    ok(s, "BEGIN TRAN; ALTER TABLE t ADD gone int NULL; ROLLBACK");
    expect(s, "SELECT COUNT(*) FROM cdc.ddl_history", "3\n");
    session_close(&s);
}
END_TEST

START_TEST(refused_while_captured)
{
    struct session *s = tracked();

    refused(s, "TRUNCATE TABLE t", 4711);
    refused(s, "EXEC sp_rename N'dbo.t.v', N'w', N'COLUMN'", 4928);
    refused(s, "ALTER TABLE t DROP COLUMN id", 5074);
    ok(s, "EXEC sys.sp_cdc_disable_table 'dbo', 't', N'all'");
    ok(s, "EXEC sp_rename N'dbo.t.v', N'w', N'COLUMN'");
    expect(s, "SELECT id, w FROM t", "1|a\n");
    ok(s, "TRUNCATE TABLE t");
    expect(s, "SELECT COUNT(*) FROM t", "0\n");
    session_close(&s);
}
END_TEST

/* A renamed table goes on under its instance; one made anew has another id. */
START_TEST(renamed_dropped_made_anew)
{
    struct session *s = tracked();

    ok(s, "EXEC sp_rename N'[dbo].[t]', N't2'");
    ok(s, "INSERT INTO t2 VALUES (2, 'b', 20)");
    expect(s, "SELECT id FROM cdc.dbo_t_CT ORDER BY id", "1\n2\n");
    expect(s, "SELECT OBJECT_NAME(source_object_id) FROM cdc.change_tables", "t2\n");
    ok(s, "DECLARE @before int = OBJECT_ID(N'dbo.t2'); DROP TABLE t2; CREATE TABLE t2 (id int NOT "
          "NULL PRIMARY KEY); IF OBJECT_ID(N'dbo.t2') = @before THROW 50001, N'same id', 1");
    expect(s, "SELECT COUNT(*) FROM cdc.change_tables", "0\n");
    expect(s, "SELECT OBJECT_ID(N'cdc.dbo_t_CT')", "NULL\n");
    capture(s, "t2");
    ok(s, "INSERT INTO t2 VALUES (7)");
    expect(s, "SELECT id FROM cdc.dbo_t2_CT", "7\n");
    session_close(&s);
}
END_TEST

/* Two instances made in one transaction begin at one LSN (DBZ-4273). */
START_TEST(instances_with_one_start)
{
    struct session *s = tracked();

    ok(s, "EXEC sys.sp_cdc_disable_table 'dbo', 't', N'all'");
    ok(s, "BEGIN TRAN; EXEC sys.sp_cdc_enable_table 'dbo', 't', @capture_instance = N'one', "
          "@role_name = NULL; EXEC sys.sp_cdc_enable_table 'dbo', 't', @capture_instance = N'two', "
          "@role_name = NULL; COMMIT");
    expect(s, "SELECT COUNT(*), COUNT(DISTINCT start_lsn) FROM cdc.change_tables", "2|1\n");
    ok(s, "INSERT INTO t VALUES (2, 'b', 20)");
    expect(s,
           "SELECT a.id FROM cdc.one_CT a JOIN cdc.two_CT b ON a.[__$start_lsn] = "
           "b.[__$start_lsn]",
           "2\n");
    /* One goes, the other is as it was. */
    ok(s, "EXEC sys.sp_cdc_disable_table 'dbo', 't', N'one'");
    expect(s, "SELECT capture_instance FROM cdc.change_tables", "two\n");
    expect(s, "SELECT id FROM cdc.two_CT", "2\n");
    ok(s, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @capture_instance = N'one', @role_name = NULL");
    expect(s, "SELECT COUNT(DISTINCT start_lsn) FROM cdc.change_tables", "2\n");
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld schema");
    TCase *c = tcase_create("schema");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, columns);
    tcase_add_test(c, refused_while_captured);
    tcase_add_test(c, renamed_dropped_made_anew);
    tcase_add_test(c, instances_with_one_start);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
