/* uses: mssqld */
/* Change data capture: what stands in the change tables, and the procedures and functions. */
#include "common/clock.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/unit/mssqld_help.h"

#define CT_ORDER " ORDER BY [__$start_lsn], [__$command_id], [__$seqval], [__$operation]"

/* Bits count from the last byte: ordinal 1 is its lowest bit, ordinal 9 that of the one before. */
START_TEST(masks_of_many_columns)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, c2 int, c3 int, c4 int, c5 int, c6 int, "
          "c7 int, c8 int, c9 int, c10 int, c11 int, c12 int, c13 int, c14 int, c15 int, c16 int, "
          "c17 int)");
    capture(s, "t");
    ok(s, "INSERT INTO t(id) VALUES (1)");
    ok(s, "UPDATE t SET c8 = 1");
    ok(s, "UPDATE t SET c9 = 1");
    ok(s, "UPDATE t SET c2 = 1, c16 = 1, c17 = 1");
    ok(s, "UPDATE t SET c2 = 1, c17 = 2"); /* c2 keeps its value: bit clear */
    ok(s, "DELETE FROM t");
    expect(s, "SELECT [__$operation], [__$update_mask] FROM cdc.dbo_t_CT" CT_ORDER,
           "2|0x01FFFF\n3|0x000080\n4|0x000080\n3|0x000100\n4|0x000100\n3|0x018002\n4|0x018002\n"
           "3|0x010000\n4|0x010000\n1|0x01FFFF\n");
    expect(s,
           "SELECT sys.fn_cdc_get_column_ordinal('dbo_t', 'c17'), sys.fn_cdc_is_bit_set(17, "
           "0x010000), sys.fn_cdc_is_bit_set(16, 0x010000), sys.fn_cdc_is_bit_set(8, 0x000080), "
           "sys.fn_cdc_has_column_changed('dbo_t', 'c9', 0x000100), "
           "sys.fn_cdc_has_column_changed('dbo_t', 'c8', 0x000100), "
           "sys.fn_cdc_is_bit_set(99, 0x01)",
           "17|1|0|1|1|0|0\n");
    session_close(&s);
}
END_TEST

/* Updates of a unique key: all deletes, then all inserts, pairs with one sequence value. */
START_TEST(deferred_updates)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, u int NOT NULL, v int)");
    ok(s, "CREATE UNIQUE INDEX ux ON t(u)");
    capture(s, "t");
    ok(s, "INSERT INTO t VALUES (1, 10, 0), (2, 20, 0), (3, 30, 0)");
    ok(s, "UPDATE t SET id = id + 1"); /* each new key is another row's old one */
    ok(s, "UPDATE t SET u = CASE id WHEN 2 THEN 20 WHEN 3 THEN 10 ELSE u END, v = 1");
    expect(s, "SELECT id, u, v FROM t ORDER BY id", "2|20|1\n3|10|1\n4|30|1\n");
    expect(s,
           "SELECT [__$command_id], [__$operation], id, u, v FROM cdc.dbo_t_CT WHERE "
           "[__$operation] <> 2 OR [__$command_id] <> 1" CT_ORDER,
           "1|1|1|10|0\n1|1|2|20|0\n1|1|3|30|0\n2|2|2|10|0\n2|2|3|20|0\n2|2|4|30|0\n"
           "1|1|2|10|0\n1|1|3|20|0\n1|3|4|30|0\n1|4|4|30|1\n2|2|2|20|1\n2|2|3|10|1\n");
    expect(s,
           "SELECT COUNT(*) FROM cdc.dbo_t_CT a JOIN cdc.dbo_t_CT b ON a.[__$start_lsn] = "
           "b.[__$start_lsn] AND a.[__$seqval] = b.[__$seqval] WHERE a.[__$operation] = 1 AND "
           "b.[__$operation] = 2 AND a.[__$command_id] < b.[__$command_id]",
           "5\n");
    session_close(&s);
}
END_TEST

START_TEST(values_left_out)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int, a text, b ntext, c image, "
          "d varchar(max), e nvarchar(max), f varbinary(max), g varchar(20))");
    capture(s, "t");
    ok(s, "INSERT INTO t VALUES (1, 1, 'a', N'b', 0x0C, 'd', N'e', 0x0F, 'g')");
    ok(s, "UPDATE t SET v = 2");
    ok(s, "UPDATE t SET d = 'D', a = 'A'");
    ok(s, "UPDATE t SET d = NULL");
    ok(s, "DELETE FROM t");
    expect(s, "SELECT [__$operation], v, a, b, c, d, e, f, g FROM cdc.dbo_t_CT" CT_ORDER,
           "2|1|a|b|0x0C|d|e|0x0F|g\n"
           "3|1|NULL|NULL|NULL|NULL|NULL|NULL|g\n"
           "4|2|a|b|0x0C|d|e|0x0F|g\n"
           "3|2|NULL|NULL|NULL|d|NULL|NULL|g\n"
           "4|2|A|b|0x0C|D|e|0x0F|g\n"
           "3|2|NULL|NULL|NULL|D|NULL|NULL|g\n"
           "4|2|A|b|0x0C|NULL|e|0x0F|g\n"
           "1|2|NULL|NULL|NULL|NULL|e|0x0F|g\n");
    session_close(&s);
}
END_TEST

START_TEST(chosen_columns)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, a int, [b c] int, d int)");
    ok(s, "EXEC sys.sp_cdc_enable_db");
    refused(s,
            "EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = NULL, @captured_column_list "
            "= N'id, nope'",
            22911);
    refused(s,
            "EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = NULL, @captured_column_list "
            "= N'a, d'",
            22912);
    refused(s, "EXEC sys.sp_cdc_enable_table 'dbo', 'nope', @role_name = NULL", 22931);
    refused(s, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = NULL, @index_name = N'nope'",
            22831);
    expect(s, "SELECT COUNT(*) FROM cdc.change_tables", "0\n");
    ok(s, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = NULL, @capture_instance = N'few', "
          "@captured_column_list = N'[d], id,[b c]'");
    expect(s,
           "SELECT column_name, column_ordinal FROM cdc.captured_columns ORDER BY "
           "column_ordinal",
           "id|1\nb c|2\nd|3\n");
    ok(s, "INSERT INTO t VALUES (1, 2, 3, 4)");
    ok(s, "UPDATE t SET a = 9");
    ok(s, "UPDATE t SET a = 8, d = 5");
    expect(s, "SELECT [__$operation], [__$update_mask], id, [b c], d FROM cdc.few_CT" CT_ORDER,
           "2|0x07|1|3|4\n3|0x04|1|3|4\n4|0x04|1|3|5\n");
    refused(s, "SELECT a FROM cdc.few_CT", 207);
    session_close(&s);
}
END_TEST

START_TEST(second_instance)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    capture(s, "t");
    refused(s, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = NULL", 22926);
    ok(s, "INSERT INTO t VALUES (1)");
    ok(s, "ALTER TABLE t ADD v int NULL");
    ok(s, "INSERT INTO t VALUES (2, 20)");
    ok(s, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @capture_instance = N'two', @role_name = NULL");
    refused(s,
            "EXEC sys.sp_cdc_enable_table 'dbo', 't', @capture_instance = N'three', @role_name "
            "= NULL",
            22962);
    ok(s, "INSERT INTO t VALUES (3, 30)");
    expect(s, "SELECT id FROM cdc.dbo_t_CT ORDER BY id", "1\n2\n3\n");
    expect(s, "SELECT id, v FROM cdc.two_CT ORDER BY id", "3|30\n");
    expect(s,
           "SELECT a.[__$update_mask], b.[__$update_mask], CASE WHEN a.[__$seqval] = "
           "b.[__$seqval] THEN 1 ELSE 0 END FROM cdc.dbo_t_CT a JOIN cdc.two_CT b ON "
           "a.[__$start_lsn] = b.[__$start_lsn]",
           "0x01|0x03|1\n");
    expect(s, "SELECT COUNT(*), MIN(CAST(required_column_update AS int)) FROM cdc.ddl_history",
           "1|0\n");
    /* The younger instance starts behind what the older one has seen. */
    expect(s,
           "SELECT CASE WHEN sys.fn_cdc_get_min_lsn('two') > (SELECT MAX([__$start_lsn]) FROM "
           "cdc.dbo_t_CT WHERE id = 2) THEN 1 ELSE 0 END",
           "1\n");
    ok(s, "EXEC sys.sp_cdc_disable_table 'dbo', 't', @capture_instance = N'dbo_t'");
    refused(s, "SELECT * FROM cdc.dbo_t_CT", 208);
    ok(s, "UPDATE t SET v = 0 WHERE id = 3");
    expect(s, "SELECT [__$operation], v FROM cdc.two_CT" CT_ORDER, "2|30\n3|30\n4|0\n");
    refused(s, "EXEC sys.sp_cdc_disable_table 'dbo', 't', @capture_instance = N'dbo_t'", 22960);
    expect(s, "SELECT is_tracked_by_cdc FROM sys.tables WHERE name = 't'", "1\n");
    ok(s, "EXEC sys.sp_cdc_disable_table 'dbo', 't', @capture_instance = N'all'");
    expect(s, "SELECT is_tracked_by_cdc FROM sys.tables WHERE name = 't'", "0\n");
    expect(s, "SELECT COUNT(*) FROM cdc.change_tables", "0\n");
    ok(s, "DELETE FROM t");
    session_close(&s);
}
END_TEST

START_TEST(database_switched_off)
{
    struct session *s = open_database();

    refused(s, "SELECT * FROM cdc.change_tables", 208);
    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    capture(s, "t");
    expect(s, "SELECT is_cdc_enabled FROM sys.databases WHERE name = 'db'", "1\n");
    refused(s, "TRUNCATE TABLE t", 4711);
    ok(s, "EXEC sys.sp_cdc_disable_db");
    expect(s, "SELECT is_cdc_enabled FROM sys.databases WHERE name = 'db'", "0\n");
    refused(s, "SELECT * FROM cdc.dbo_t_CT", 208);
    refused(s, "EXEC sys.sp_cdc_disable_table 'dbo', 't', @capture_instance = N'all'", 22901);
    expect(s, "SELECT CASE WHEN sys.fn_cdc_get_max_lsn() IS NULL THEN 'none' END", "none\n");
    ok(s, "INSERT INTO t VALUES (1)");
    ok(s, "TRUNCATE TABLE t");
    capture(s, "t"); /* and on again, with nothing left of before */
    ok(s, "INSERT INTO t VALUES (7)");
    expect(s, "SELECT id FROM cdc.dbo_t_CT", "7\n");
    session_close(&s);
}
END_TEST

START_TEST(cleanup_moves_the_start)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    capture(s, "t");
    ok(s, "CREATE TABLE u (id int NOT NULL PRIMARY KEY)");
    ok(s, "EXEC sys.sp_cdc_enable_table 'dbo', 'u', @role_name = NULL");
    for (int i = 1; i <= 3; i++) {
        char text[80];

        (void)snprintf(text, sizeof text, "INSERT INTO t VALUES (%d)", i);
        ok(s, text);
    }
    refused(s, "EXEC sys.sp_cdc_cleanup_change_table 'nope', 0x00000000000000000001", 22981);
    refused(s, "EXEC sys.sp_cdc_cleanup_change_table 'dbo_t', 0x00000000000000000001", 22964);
    ok(s, "EXEC sys.sp_cdc_cleanup_change_table 'dbo_t', NULL");
    expect(s, "SELECT COUNT(*) FROM cdc.dbo_t_CT", "3\n");
    ok(s, "DECLARE @l binary(10) = (SELECT [__$start_lsn] FROM cdc.dbo_t_CT WHERE id = 2); EXEC "
          "sys.sp_cdc_cleanup_change_table @capture_instance = 'dbo_t', @low_water_mark = @l");
    expect(s, "SELECT id FROM cdc.dbo_t_CT ORDER BY id", "2\n3\n");
    expect(s,
           "SELECT COUNT(*) FROM cdc.change_tables c JOIN cdc.dbo_t_CT t ON c.start_lsn = "
           "t.[__$start_lsn] AND c.start_lsn = sys.fn_cdc_get_min_lsn('dbo_t') WHERE t.id = 2",
           "1\n");
    /* u still needs the older mapping rows. */
    expect(s,
           "SELECT CASE WHEN MIN(start_lsn) < sys.fn_cdc_get_min_lsn('dbo_t') THEN 'kept' END "
           "FROM cdc.lsn_time_mapping",
           "kept\n");
    ok(s, "DECLARE @l binary(10) = sys.fn_cdc_get_min_lsn('dbo_t'); EXEC "
          "sys.sp_cdc_cleanup_change_table 'dbo_u', @l");
    expect(s,
           "SELECT CASE WHEN MIN(start_lsn) = sys.fn_cdc_get_min_lsn('dbo_t') THEN 'gone' END "
           "FROM cdc.lsn_time_mapping",
           "gone\n");
    /* A mark in the past does not move the start back. */
    ok(s, "DECLARE @l binary(10) = sys.fn_cdc_get_max_lsn(); EXEC sys.sp_cdc_cleanup_change_table "
          "'dbo_t', @l; SET @l = (SELECT MIN(start_lsn) FROM cdc.lsn_time_mapping); EXEC "
          "sys.sp_cdc_cleanup_change_table 'dbo_t', @l");
    expect(s,
           "SELECT id, CASE WHEN [__$start_lsn] = sys.fn_cdc_get_min_lsn('dbo_t') THEN 1 ELSE 0 "
           "END FROM cdc.dbo_t_CT",
           "3|1\n");
    session_close(&s);
}
END_TEST

START_TEST(all_changes_function)
{
    struct session *s = open_database();
    static const char BOUNDS[] =
        "DECLARE @a binary(10) = sys.fn_cdc_get_min_lsn('dbo_t'), @b binary(10) = "
        "sys.fn_cdc_get_max_lsn(); ";
    char text[400];

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int)");
    capture(s, "t");
    ok(s, "INSERT INTO t VALUES (1, 1)");
    ok(s, "UPDATE t SET v = 2");
    ok(s, "DELETE FROM t");
    (void)snprintf(text, sizeof text,
                   "%sSELECT [__$operation], id, v FROM cdc.fn_cdc_get_all_changes_dbo_t(@a, @b, "
                   "N'all') ORDER BY [__$start_lsn], [__$seqval], [__$operation]",
                   BOUNDS);
    expect(s, text, "2|1|1\n4|1|2\n1|1|2\n");
    (void)snprintf(text, sizeof text,
                   "%sSELECT [__$operation], id, v FROM cdc.fn_cdc_get_all_changes_dbo_t(@a, @b, "
                   "N'all update old') ORDER BY [__$start_lsn], [__$seqval], [__$operation]",
                   BOUNDS);
    expect(s, text, "2|1|1\n3|1|1\n4|1|2\n1|1|2\n");
    /* Bounds outside of what the instance has, and an unknown filter. */
    (void)snprintf(text, sizeof text,
                   "%sSET @a = sys.fn_cdc_decrement_lsn(@a); SELECT * FROM "
                   "cdc.fn_cdc_get_all_changes_dbo_t(@a, @b, N'all')",
                   BOUNDS);
    refused(s, text, 313);
    (void)snprintf(text, sizeof text,
                   "%sSET @b = sys.fn_cdc_increment_lsn(@b); SELECT * FROM "
                   "cdc.fn_cdc_get_all_changes_dbo_t(@a, @b, N'all')",
                   BOUNDS);
    refused(s, text, 313);
    (void)snprintf(text, sizeof text,
                   "%sSELECT * FROM cdc.fn_cdc_get_all_changes_dbo_t(@a, @b, N'some')", BOUNDS);
    refused(s, text, 313);
    refused(s, "SELECT * FROM cdc.fn_cdc_get_all_changes_nope(0x01, 0x02, N'all')", 208);
    session_close(&s);
}
END_TEST

START_TEST(lsn_functions)
{
    struct session *s = open_database();
    static const char *const CASES[][2] = {
        {"SELECT sys.fn_cdc_increment_lsn(0x000000000000000000FF)", "0x00000000000000000100\n"},
        {"SELECT sys.fn_cdc_increment_lsn(0x00FFFFFFFFFFFFFFFFFF)", "0x01000000000000000000\n"},
        {"SELECT sys.fn_cdc_decrement_lsn(0x01000000000000000000)", "0x00FFFFFFFFFFFFFFFFFF\n"},
        {"SELECT sys.fn_cdc_decrement_lsn(sys.fn_cdc_increment_lsn(0x0000002500000D080025))",
         "0x0000002500000D080025\n"},
        {"SELECT sys.fn_cdc_get_min_lsn('nope')", "0x00000000000000000000\n"},
        {"SELECT CASE WHEN sys.fn_cdc_get_max_lsn() = (SELECT MAX(start_lsn) FROM "
         "cdc.lsn_time_mapping) THEN 1 ELSE 0 END",
         "1\n"},
        {"SELECT CASE WHEN sys.fn_cdc_get_min_lsn('dbo_t') = (SELECT start_lsn FROM "
         "cdc.change_tables) THEN 1 ELSE 0 END",
         "1\n"},
        {"SELECT CASE WHEN sys.fn_cdc_map_lsn_to_time(sys.fn_cdc_get_max_lsn()) = (SELECT "
         "MAX(tran_end_time) FROM cdc.lsn_time_mapping) THEN 1 ELSE 0 END",
         "1\n"},
        {"SELECT CASE WHEN sys.fn_cdc_map_time_to_lsn('largest less than or equal', "
         "DATEADD(day, 1, GETDATE())) = sys.fn_cdc_get_max_lsn() THEN 1 ELSE 0 END",
         "1\n"},
        {"SELECT CASE WHEN sys.fn_cdc_map_time_to_lsn('smallest greater than', DATEADD(day, 1, "
         "GETDATE())) IS NULL THEN 1 ELSE 0 END",
         "1\n"},
        {"SELECT CASE WHEN sys.fn_cdc_map_time_to_lsn('smallest greater than or equal', "
         "'2000-01-01') = (SELECT MIN(start_lsn) FROM cdc.lsn_time_mapping) THEN 1 ELSE 0 END",
         "1\n"},
    };

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    capture(s, "t");
    ok(s, "INSERT INTO t VALUES (1)");
    ok(s, "INSERT INTO t VALUES (2)");
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        expect(s, CASES[i][0], CASES[i][1]);
    session_close(&s);
}
END_TEST

/* Commits in order, commands counted through the transaction, nothing of what was undone. */
START_TEST(transactions)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int)");
    capture(s, "t");
    ok(s, "BEGIN TRAN; INSERT INTO t VALUES (1, 0); SAVE TRAN p; INSERT INTO t VALUES (2, 0); "
          "UPDATE t SET v = 5; ROLLBACK TRAN p; INSERT INTO t VALUES (3, 0); COMMIT");
    expect(s, "SELECT [__$operation], id, v FROM cdc.dbo_t_CT" CT_ORDER, "2|1|0\n2|3|0\n");
    expect(s,
           "SELECT COUNT(DISTINCT [__$start_lsn]), COUNT(DISTINCT [__$command_id]) FROM "
           "cdc.dbo_t_CT",
           "1|2\n");
    ok(s, "BEGIN TRAN; DELETE FROM t; ROLLBACK");
    (void)run(s, "BEGIN TRAN; INSERT INTO t VALUES (4, 0); INSERT INTO t VALUES (5, 0), (1, 0); "
                 "COMMIT"); /* the second statement fails whole, the first stays */
    expect(s, "SELECT id FROM cdc.dbo_t_CT" CT_ORDER, "1\n3\n4\n");
    expect(s, "SELECT COUNT(*) FROM t", "3\n");
    /* The mapping row tells when the transaction began, not when it first wrote. */
    ok(s, "BEGIN TRAN; WAITFOR DELAY '00:00:00.030'; DELETE FROM t WHERE id = 4; COMMIT");
    expect(s,
           "SELECT CASE WHEN DATEDIFF(millisecond, tran_begin_time, tran_end_time) >= 20 THEN "
           "1 ELSE 0 END FROM cdc.lsn_time_mapping WHERE start_lsn = sys.fn_cdc_get_max_lsn()",
           "1\n");
    session_close(&s);
}
END_TEST

/* Slots run over into the next block; a transaction at the end of its LSNs fails cleanly. */
START_TEST(end_of_the_lsns)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    capture(s, "t");
    ok(s, "BEGIN TRAN; INSERT INTO t VALUES (1)");
    s->cdc.seqval[8] = 0xFF;
    s->cdc.seqval[9] = 0xFE;
    ok(s, "INSERT INTO t VALUES (2), (3)");
    expect(s, "SELECT SUBSTRING([__$seqval], 9, 2) FROM cdc.dbo_t_CT ORDER BY [__$seqval]",
           "0x0002\n0xFFFF\n0x0001\n");
    memcpy(s->cdc.seqval, s->cdc.commit_lsn, LSN_SIZE);
    lsn_add(s->cdc.seqval, -3); /* slot 0xFFFE of the block before */
    ok(s, "INSERT INTO t VALUES (4)");
    refused(s, "INSERT INTO t VALUES (5)", 9002);
    refused(s, "UPDATE t SET id = id + 10", 9002);
    refused(s, "DELETE FROM t", 9002);
    expect(s, "SELECT id FROM t ORDER BY id", "1\n2\n3\n4\n");
    ok(s, "COMMIT");
    expect(s, "SELECT id FROM cdc.dbo_t_CT" CT_ORDER, "1\n2\n3\n4\n");
    expect(s, "SELECT COUNT(*) FROM cdc.dbo_t_CT WHERE [__$seqval] >= [__$start_lsn]", "0\n");
    ok(s, "INSERT INTO t VALUES (5)"); /* the next transaction has LSNs of its own */
    expect(s, "SELECT TOP (1) id FROM cdc.dbo_t_CT ORDER BY [__$start_lsn] DESC", "5\n");
    session_close(&s);
}
END_TEST

/* The role opens the function, not the change table; the function asks for the source's rights. */
START_TEST(gating_role)
{
    static const char ALL[] = "SELECT [__$operation], id FROM cdc.fn_cdc_get_all_changes_dbo_t("
                              "sys.fn_cdc_get_min_lsn('dbo_t'), sys.fn_cdc_get_max_lsn(), N'all')";
    struct session *s = open_database();
    static struct record r;
    struct session *u;

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int)");
    ok(s, "EXEC sys.sp_cdc_enable_db");
    ok(s, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = N'gate'");
    ok(s, "CREATE LOGIN reader WITH PASSWORD = 'secret'; CREATE USER reader FOR LOGIN reader");
    ok(s, "INSERT INTO t VALUES (1, 1)");
    u = login("reader", "secret", "db", &r);
    ck_assert_ptr_nonnull(u);
    refused(u, "SELECT id FROM cdc.dbo_t_CT", 229);
    refused(u, "INSERT INTO t VALUES (2, 2)", 229);
    refused(u, "EXEC sys.sp_cdc_disable_db", 22902);
    refused(u, "EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = NULL", 22904);
    expect(u, ALL, "NULL|NULL\n"); /* the guard's row: no error, no data */
    ok(s, "GRANT SELECT ON dbo.t TO reader");
    expect(u, ALL, "NULL|NULL\n");
    expect(u, "EXEC sys.sp_cdc_help_change_data_capture", "");
    ok(s, "ALTER ROLE gate ADD MEMBER reader");
    expect(u, ALL, "2|1\n");
    ck_assert_ptr_nonnull(strstr(run(u, "EXEC sys.sp_cdc_help_change_data_capture"), "|dbo_t|"));
    refused(u, "SELECT id FROM cdc.dbo_t_CT", 229);
    expect(u,
           "SELECT HAS_PERMS_BY_NAME(N'[cdc].[dbo_t_CT]', N'OBJECT', N'SELECT'), "
           "HAS_PERMS_BY_NAME(N'[cdc].[fn_cdc_get_all_changes_dbo_t]', N'OBJECT', N'SELECT'), "
           "HAS_PERMS_BY_NAME(N'[cdc].[fn_cdc_get_all_changes_no]', N'OBJECT', N'SELECT')",
           "0|1|NULL\n");
    /* The function is there for everybody, with its columns; the change table is not. */
    expect(u,
           "SELECT c.name, c.system_type_id FROM sys.columns c WHERE c.object_id = "
           "OBJECT_ID(N'[cdc].[fn_cdc_get_all_changes_dbo_t]') ORDER BY c.column_id",
           "__$start_lsn|173\n__$seqval|173\n__$operation|56\n__$update_mask|165\nid|56\nv|56\n");
    expect(u, "SELECT OBJECT_ID(N'cdc.dbo_t_CT')", "NULL\n");
    expect(u, "SELECT name FROM sys.tables", "t\n");
    ok(s, "DENY SELECT ON dbo.t (v) TO reader"); /* a captured column */
    expect(u, ALL, "NULL|NULL\n");
    ok(s, "REVOKE SELECT ON dbo.t (v) FROM reader; ALTER ROLE gate DROP MEMBER reader");
    expect(u, ALL, "NULL|NULL\n");
    ok(s, "EXEC sys.sp_cdc_disable_table 'dbo', 't', N'all'");
    expect(s, "SELECT COUNT(*) FROM sys.objects WHERE name LIKE N'fn[_]cdc%'", "0\n");
    refused(s, ALL, 208);
    session_close(&u);
    session_close(&s);
}
END_TEST

/* The guard looks at its arguments whether the change table has rows or not. */
START_TEST(bounds_of_an_empty_table)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    capture(s, "t");
    refused(s,
            "SELECT id FROM cdc.fn_cdc_get_all_changes_dbo_t(0x00000000000000000001, "
            "sys.fn_cdc_get_max_lsn(), N'all')",
            313);
    refused(s,
            "SELECT id FROM cdc.fn_cdc_get_all_changes_dbo_t(NULL, sys.fn_cdc_get_max_lsn(), "
            "N'all')",
            313);
    refused(s,
            "SELECT id FROM cdc.fn_cdc_get_all_changes_dbo_t(sys.fn_cdc_get_min_lsn('dbo_t'), "
            "sys.fn_cdc_get_max_lsn(), N'everything')",
            313);
    expect(s,
           "SELECT id FROM cdc.fn_cdc_get_all_changes_dbo_t(sys.fn_cdc_get_min_lsn('dbo_t'), "
           "sys.fn_cdc_get_max_lsn(), N'all')",
           "");
    session_close(&s);
}
END_TEST

static void
setup_dummies(void)
{
    setup_with(5);
}

/* An idle database: max LSN moves on by rows without a transaction, change tables stay empty. */
START_TEST(dummy_rows)
{
    struct session *s = open_database();
    static const char COUNT[] =
        "SELECT COUNT(*) FROM cdc.lsn_time_mapping WHERE tran_id = 0x00 AND tran_end_time IS NOT "
        "NULL";
    int64_t until = clock_mono_ns() + 20 * NS_PER_S;
    char *before;

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    capture(s, "t");
    before = strdup(run(s, "SELECT sys.fn_cdc_get_max_lsn()"));
    ck_assert_ptr_nonnull(before);
    while (strtol(run(s, COUNT), NULL, 10) < 3)
        ck_assert_msg(clock_mono_ns() < until, "no dummy rows");
    ck_assert_int_gt(strcmp(run(s, "SELECT sys.fn_cdc_get_max_lsn()"), before), 0);
    free(before);
    expect(s, "SELECT COUNT(*) FROM cdc.dbo_t_CT", "0\n");
    /* None while somebody writes: his commit comes behind all that is told so far. */
    ok(s, "BEGIN TRAN; INSERT INTO t VALUES (1)");
    expect(s,
           "SELECT COUNT(*) FROM cdc.lsn_time_mapping m JOIN cdc.dbo_t_CT c ON m.start_lsn >= "
           "c.[__$start_lsn]",
           "0\n");
    ok(s, "COMMIT");
    expect(s,
           "SELECT COUNT(*) FROM cdc.lsn_time_mapping m JOIN cdc.dbo_t_CT c ON m.start_lsn = "
           "c.[__$start_lsn] AND m.tran_id <> 0x00",
           "1\n");
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld_cdc");
    TCase *t = tcase_create("cdc");
    TCase *d = tcase_create("dummies");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 40);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, masks_of_many_columns);
    tcase_add_test(t, deferred_updates);
    tcase_add_test(t, values_left_out);
    tcase_add_test(t, chosen_columns);
    tcase_add_test(t, second_instance);
    tcase_add_test(t, database_switched_off);
    tcase_add_test(t, cleanup_moves_the_start);
    tcase_add_test(t, all_changes_function);
    tcase_add_test(t, lsn_functions);
    tcase_add_test(t, transactions);
    tcase_add_test(t, end_of_the_lsns);
    tcase_add_test(t, gating_role);
    tcase_add_test(t, bounds_of_an_empty_table);
    suite_add_tcase(suite, t);
    tcase_set_timeout(d, 40);
    tcase_add_checked_fixture(d, setup_dummies, teardown);
    tcase_add_test(d, dummy_rows);
    suite_add_tcase(suite, d);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
