/* uses: mssqld */
/* Statistics, partitions, places of heap rows: what a parallel load asks for. */
#include "tests/unit/mssqld_help.h"

START_TEST(histograms)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, g int NULL, name varchar(20), u "
          "uniqueidentifier, d datetime2(3))");
    ok(s, "CREATE INDEX by_g ON t(g, id); CREATE INDEX by_name ON t(name); CREATE INDEX by_d ON "
          "t(d)");
    ok(s, "INSERT INTO t VALUES (1, 10, 'b', NEWID(), '2026-01-02'), (2, 10, 'A', NULL, NULL), "
          "(3, 20, 'a', NULL, NULL), (4, NULL, 'c', NULL, NULL)");
    expect(s,
           "SELECT s.stats_id, s.name, c.column_id FROM sys.stats s JOIN sys.stats_columns c ON "
           "c.object_id = s.object_id AND c.stats_id = s.stats_id AND c.stats_column_id = 1 WHERE "
           "s.object_id = OBJECT_ID(N't') AND s.name LIKE N'by%' AND s.has_filter = 0 ORDER BY 1",
           "3|by_g|2\n4|by_name|3\n5|by_d|5\n");
    expect(s, "SELECT COUNT(*) FROM sys.dm_db_stats_histogram(OBJECT_ID(N't'), 3)", "0\n");
    ok(s, "UPDATE STATISTICS dbo.t WITH FULLSCAN");
    expect(s,
           "SELECT step_number, CONVERT(int, range_high_key), range_rows + equal_rows FROM "
           "sys.dm_db_stats_histogram(OBJECT_ID(N't'), 3) ORDER BY step_number",
           "1|NULL|1\n2|10|2\n3|20|1\n");
    /* Equal under the column's collation is one value. */
    expect(
        s,
        "SELECT equal_rows, CONVERT(varbinary(8000), CONVERT(nvarchar(20), range_high_key)) FROM "
        "sys.dm_db_stats_histogram(OBJECT_ID(N't'), 4) ORDER BY step_number",
        "2|0x4100\n1|0x6200\n1|0x6300\n");
    expect(s,
           "SELECT COUNT(*), MAX(CONVERT(datetime2(3), range_high_key)) FROM "
           "sys.dm_db_stats_histogram(OBJECT_ID(N't'), 5)",
           "2|739617/0/0\n");
    expect(s, "DBCC SHOW_STATISTICS ('dbo.t', by_g) WITH HISTOGRAM",
           "NULL|0|1|0|1\n10|0|2|0|1\n20|0|1|0|1\n");
    refused(s, "DBCC SHOW_STATISTICS ('dbo.t', nope) WITH HISTOGRAM", 2767);
    refused(s, "UPDATE STATISTICS dbo.t nope", 2767);
    ok(s, "INSERT INTO t(id, g) VALUES (5, 30)"); /* stale until told */
    expect(s,
           "SELECT rows, steps, modification_counter FROM "
           "sys.dm_db_stats_properties(OBJECT_ID(N't'), 3)",
           "4|3|1\n");
    ok(s, "EXEC sp_updatestats");
    expect(s, "SELECT COUNT(*) FROM sys.dm_db_stats_histogram(OBJECT_ID(N't'), 3)", "4\n");
    session_close(&s);
}
END_TEST

/* Never more than 200 steps, all rows counted once, the ends of the range in it. */
START_TEST(steps_of_many_values)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id bigint NOT NULL PRIMARY KEY)");
    ok(s, "DECLARE @i int = 0; BEGIN TRAN; WHILE @i < 1000 BEGIN INSERT INTO t VALUES (@i * 7); "
          "SET @i += 1 END; COMMIT");
    ok(s, "UPDATE STATISTICS t");
    expect(s,
           "SELECT CASE WHEN COUNT(*) BETWEEN 100 AND 200 THEN 1 ELSE 0 END, SUM(range_rows + "
           "equal_rows), MIN(CONVERT(bigint, range_high_key)), MAX(CONVERT(bigint, "
           "range_high_key)) FROM sys.dm_db_stats_histogram(OBJECT_ID(N't'), 1)",
           "1|1000|0|6993\n");
    expect(s,
           "SELECT SUM(p.rows) FROM sys.partitions AS p WHERE p.object_id = OBJECT_ID(N't') AND "
           "p.index_id IN (0, 1)",
           "1000\n");
    expect(s, "SELECT row_count FROM sys.dm_db_partition_stats WHERE object_id = OBJECT_ID(N't')",
           "1000\n");
    session_close(&s);
}
END_TEST

START_TEST(partitions)
{
    static const char BY[] =
        "SELECT f.name, c.name, f.fanout FROM sys.indexes AS i JOIN sys.partition_schemes AS ps ON "
        "ps.data_space_id = i.data_space_id JOIN sys.partition_functions AS f ON f.function_id = "
        "ps.function_id JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id "
        "= i.index_id AND ic.partition_ordinal = 1 JOIN sys.columns AS c ON c.object_id = "
        "i.object_id AND c.column_id = ic.column_id WHERE i.index_id IN (0, 1) AND i.object_id = "
        "OBJECT_ID(N'";
    struct session *s = open_database();
    char text[1200];

    ok(s, "CREATE PARTITION FUNCTION pf(int) AS RANGE RIGHT FOR VALUES (10, 20)");
    ok(s, "CREATE PARTITION FUNCTION lf(date) AS RANGE FOR VALUES ('2026-01-01')");
    ok(s, "CREATE PARTITION SCHEME ps AS PARTITION pf ALL TO ([PRIMARY])");
    refused(s, "CREATE PARTITION FUNCTION pf(int) AS RANGE LEFT FOR VALUES (1)", 7706);
    refused(s, "CREATE PARTITION SCHEME px AS PARTITION nope ALL TO ([PRIMARY])", 208);
    refused(s, "CREATE TABLE bad (a int) ON nope(a)", 1921);
    refused(s, "CREATE TABLE bad (a int) ON ps(b)", 1911);
    ok(s, "CREATE TABLE keyed (a int NOT NULL, b int NOT NULL, PRIMARY KEY (b, a)) ON ps(a)");
    ok(s, "CREATE TABLE heap (a int NULL) ON ps(a); CREATE TABLE whole (a int)");
    (void)snprintf(text, sizeof text, "%skeyed')", BY);
    expect(s, text, "pf|a|3\n");
    (void)snprintf(text, sizeof text, "%sheap')", BY);
    expect(s, text, "pf|a|3\n");
    (void)snprintf(text, sizeof text, "%swhole')", BY);
    expect(s, text, "");
    ok(s, "INSERT INTO heap VALUES (NULL), (9), (10), (19), (20), (21)");
    expect(s,
           "SELECT a, $PARTITION.[pf]([a]), $PARTITION.pf(a + 1) FROM heap WHERE "
           "$PARTITION.[pf]([a]) >= 2 ORDER BY a",
           "10|2|2\n19|2|3\n20|3|3\n21|3|3\n");
    expect(s,
           "SELECT $PARTITION.pf(NULL), $PARTITION.lf('2026-01-01'), $PARTITION.lf('2026-01-02')",
           "1|1|2\n");
    refused(s, "SELECT $PARTITION.nope(1)", 208);
    expect(s,
           "SELECT partition_number, rows FROM sys.partitions WHERE object_id = OBJECT_ID(N'heap') "
           "ORDER BY 1",
           "1|2\n2|2\n3|2\n");
    expect(s,
           "SELECT f.name, boundary_value_on_right, v.boundary_id, v.value FROM "
           "sys.partition_range_values v JOIN sys.partition_functions f ON f.function_id = "
           "v.function_id WHERE f.name = N'pf' ORDER BY 3",
           "pf|1|1|10\npf|1|2|20\n");
    ok(s, "DROP TABLE heap");
    expect(s, "SELECT COUNT(*) FROM sys.indexes WHERE data_space_id > 1", "1\n");
    session_close(&s);
}
END_TEST

/* Rows of a heap by place, and shared out by checksum. */
START_TEST(heaps)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE h (a int, b nvarchar(max), c xml)");
    ok(s,
       "INSERT INTO h VALUES (1, N'x', NULL), (1, N'x', NULL), (2, N'y', NULL), (3, NULL, NULL)");
    expect(s, "SELECT COUNT(DISTINCT %%physloc%%), DATALENGTH(MIN(%%physloc%%)) FROM h", "4|8\n");
    expect(s,
           "SELECT x.a FROM h x WHERE x.a = (SELECT y.a FROM h y WHERE y.a = 2) AND %%physloc%% = "
           "(SELECT MAX(z.p) FROM (SELECT %%physloc%% AS p FROM h WHERE a = 2) z)",
           "2\n");
    expect(s, "SELECT TOP (1) a FROM h ORDER BY %%physloc%% DESC", "3\n");
    expect(s,
           "SELECT COUNT_BIG(*), COUNT(DISTINCT BINARY_CHECKSUM(*)) FROM h WHERE "
           "ABS(BINARY_CHECKSUM(*) % 8) BETWEEN 0 AND 7",
           "4|3\n");
    refused(s, "SELECT %%nope%% FROM h", 102);
    /* An index can be clustered without being a key. */
    ok(s, "CREATE CLUSTERED INDEX ci ON h(a)");
    expect(s,
           "SELECT TOP (1) ic.column_id, i.type FROM sys.indexes AS i JOIN sys.index_columns AS ic "
           "ON ic.object_id = i.object_id AND ic.index_id = i.index_id WHERE i.object_id = "
           "OBJECT_ID(N'h') AND i.index_id > 0 AND i.has_filter = 0 AND i.is_disabled = 0 AND "
           "i.type IN (1, 2) AND ic.key_ordinal = 1 ORDER BY i.index_id",
           "1|1\n");
    session_close(&s);
}
END_TEST

START_TEST(columnstores)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE a (id int NOT NULL, v int); CREATE TABLE b (id int NOT NULL PRIMARY KEY, v "
          "int)");
    ok(s, "CREATE CLUSTERED COLUMNSTORE INDEX cci ON a; CREATE NONCLUSTERED COLUMNSTORE INDEX nci "
          "ON b (id, v)");
    expect(s, "SELECT name, type, type_desc FROM sys.indexes WHERE type IN (5, 6) ORDER BY type",
           "cci|5|CLUSTERED COLUMNSTORE\nnci|6|NONCLUSTERED COLUMNSTORE\n");
    ok(s, "INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1)");
    ok(s, "EXEC sys.sp_cdc_enable_db");
    refused(s, "EXEC sys.sp_cdc_enable_table 'dbo', 'a', @role_name = NULL", 35353);
    ok(s, "EXEC sys.sp_cdc_enable_table 'dbo', 'b', @role_name = NULL");
    ok(s, "DROP INDEX cci ON a");
    ok(s, "EXEC sys.sp_cdc_enable_table 'dbo', 'a', @role_name = NULL");
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld storage");
    TCase *c = tcase_create("storage");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, histograms);
    tcase_add_test(c, steps_of_many_values);
    tcase_add_test(c, partitions);
    tcase_add_test(c, heaps);
    tcase_add_test(c, columnstores);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
