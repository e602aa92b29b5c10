/* uses: mssqld */
/* CREATE, ALTER, DROP: tables as they are made and changed, and what is refused. */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/mssqld_help.h"

START_TEST(defaults_identity_computed)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int IDENTITY(10,5) NOT NULL PRIMARY KEY, a int NOT NULL DEFAULT 7, "
          "b varchar(10) NULL CONSTRAINT df_b DEFAULT 'x' , c AS a * 2)");
    ok(s, "INSERT INTO t(a) VALUES (1); INSERT INTO t(b) VALUES (NULL); INSERT INTO t DEFAULT "
          "VALUES");
    expect(s, "SELECT id, a, b, c FROM t", "10|1|x|2\n15|7|NULL|14\n20|7|x|14\n");
    ok(s, "CREATE TABLE signs (i int, m money, f float, d decimal(5,2)); INSERT INTO signs VALUES "
          "(-1, -$2, -3E0, -4.5)");
    expect(s, "SELECT i, m, f, d FROM signs", "-1|-20000|-3|-4.50\n");
    expect(s, "SELECT SCOPE_IDENTITY(), IDENT_CURRENT('t')", "20|20\n");
    refused(s, "INSERT INTO t(id) VALUES (99)", 544);
    refused(s, "INSERT INTO t(c) VALUES (1)", 271);
    refused(s, "UPDATE t SET id = 1", 8102);
    ok(s, "SET IDENTITY_INSERT t ON; INSERT INTO t(id) VALUES (100); SET IDENTITY_INSERT t OFF; "
          "INSERT INTO t(a) VALUES (0)");
    expect(s, "SELECT MAX(id) FROM t", "105\n");
    ok(s, "TRUNCATE TABLE t; INSERT INTO t(a) VALUES (0)"); /* starts over */
    expect(s, "SELECT id FROM t", "10\n");
    session_close(&s);
}
END_TEST

/* Two sessions draw from one identity; what a rollback used up is given out again. */
START_TEST(identity_is_shared)
{
    struct session *s = open_database();
    static struct record r;
    struct session *a = login("sa", "pw", "db", &r);

    ck_assert_ptr_nonnull(a);
    ok(s, "CREATE TABLE t (id int IDENTITY NOT NULL PRIMARY KEY, v int)");
    ok(s, "INSERT INTO t(v) VALUES (1)");
    ok(a, "INSERT INTO t(v) VALUES (2)");
    ok(s, "INSERT INTO t(v) VALUES (3); INSERT INTO t(v) VALUES (4)");
    ok(a, "INSERT INTO t(v) VALUES (5)");
    expect(s, "SELECT id, v FROM t", "1|1\n2|2\n3|3\n4|4\n5|5\n");
    ok(s, "BEGIN TRAN; INSERT INTO t(v) VALUES (6); SAVE TRAN p; INSERT INTO t(v) VALUES (7); "
          "ROLLBACK TRAN p; INSERT INTO t(v) VALUES (8); COMMIT");
    ok(a, "BEGIN TRAN; INSERT INTO t(v) VALUES (9); ROLLBACK");
    ok(a, "INSERT INTO t(v) VALUES (10)");
    expect(s, "SELECT id, v FROM t WHERE v > 5", "6|6\n7|8\n8|10\n");
    session_close(&a);
    session_close(&s);
}
END_TEST

START_TEST(columns_come_and_go)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v varchar(3))");
    ok(s, "INSERT INTO t VALUES (1, 'a')");
    ok(s, "ALTER TABLE t ADD n int NULL, d int NOT NULL CONSTRAINT df_d DEFAULT 5");
    expect(s, "SELECT * FROM t", "1|a|NULL|5\n");
    refused(s, "ALTER TABLE t ADD v int NULL", 2705);
    refused(s, "ALTER TABLE t ADD m int NOT NULL", 4901);
    refused(s, "ALTER TABLE nope ADD m int NULL", 4902);
    refused(s, "INSERT INTO t(id, v) VALUES (2, 'long')", 2628);
    ok(s, "ALTER TABLE t ALTER COLUMN v varchar(10) NULL; INSERT INTO t(id, v) VALUES (2, 'long')");
    refused(s, "ALTER TABLE t ALTER COLUMN nope int NULL", 4924);
    refused(s, "ALTER TABLE t DROP COLUMN id", 5074);
    refused(s, "ALTER TABLE t DROP COLUMN nope", 4924);
    ok(s, "ALTER TABLE t DROP COLUMN IF EXISTS nope");
    ok(s, "ALTER TABLE t DROP CONSTRAINT df_d; ALTER TABLE t DROP COLUMN n");
    refused(s, "INSERT INTO t(id) VALUES (3)", 515); /* d has no default any more */
    /* The number of a dropped column is not used again. */
    ok(s, "ALTER TABLE t DROP COLUMN d; ALTER TABLE t ADD e int NULL");
    expect(s, "SELECT name, column_id FROM sys.columns WHERE object_id = OBJECT_ID('t')",
           "id|1\nv|2\ne|5\n");
    expect(s, "SELECT * FROM t ORDER BY id", "1|a|NULL\n2|long|NULL\n");
    session_close(&s);
}
END_TEST

START_TEST(keys_and_indexes)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (a int NOT NULL, b int NOT NULL, d date NULL)");
    ok(s, "INSERT INTO t VALUES (1, 1, '2024-01-02'), (1, 2, NULL)");
    refused(s, "ALTER TABLE t ADD CONSTRAINT pk PRIMARY KEY (d)", 8111);
    refused(s, "ALTER TABLE t ADD CONSTRAINT pk PRIMARY KEY (nope)", 1911);
    ok(s, "ALTER TABLE t ADD CONSTRAINT pk PRIMARY KEY (a, b)");
    expect(s, "INSERT INTO t VALUES (1, 2, NULL)",
           "[2627] Violation of PRIMARY KEY constraint 'pk'. Cannot insert duplicate key in object "
           "'dbo.t'. The duplicate key value is (1, 2).\n");
    ok(s, "CREATE UNIQUE INDEX ux ON t(d)");
    expect(s, "INSERT INTO t VALUES (2, 2, '2024-01-02')",
           "[2601] Cannot insert duplicate key row in object 'dbo.t' with unique index 'ux'. The "
           "duplicate key value is (2024-01-02).\n");
    expect(s,
           "SELECT name, is_primary_key, is_unique FROM sys.indexes WHERE object_id = "
           "OBJECT_ID('t') ORDER BY index_id",
           "pk|1|1\nux|0|1\n");
    ok(s, "DROP INDEX ux ON t; INSERT INTO t VALUES (2, 2, '2024-01-02')");
    ok(s, "ALTER TABLE t DROP CONSTRAINT pk; INSERT INTO t VALUES (2, 2, NULL)");
    refused(s, "ALTER TABLE t DROP CONSTRAINT pk", 3728);
    session_close(&s);
}
END_TEST

START_TEST(special_columns)
{
    struct session *s = open_database();

    ok(s, "CREATE TYPE dbo.Phone FROM varchar(20) NOT NULL");
    refused(s, "CREATE TYPE dbo.Phone FROM int", 219);
    refused(s, "CREATE TABLE t (a dbo.Fax)", 2715);
    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, a Phone, b dbo.Phone NULL)");
    expect(s,
           "SELECT c.name, c.system_type_id, c.user_type_id, c.max_length, c.is_nullable FROM "
           "sys.columns AS c WHERE c.object_id = OBJECT_ID(N't') AND c.column_id > 1",
           "a|167|257|20|0\nb|167|257|20|1\n");
    expect(s, "SELECT t.name, t.is_user_defined FROM sys.types AS t WHERE t.user_type_id = 257",
           "Phone|1\n");
    refused(s, "DROP TYPE dbo.Phone", 3732);
    ok(s, "DROP TABLE t");
    ok(s, "DROP TYPE dbo.Phone");
    refused(s, "DROP TYPE dbo.Phone", 3701);
    ok(s,
       "CREATE TABLE v (id int NOT NULL PRIMARY KEY, x int SPARSE NULL, cs xml COLUMN_SET FOR "
       "ALL_SPARSE_COLUMNS, a datetime2(7) GENERATED ALWAYS AS ROW START HIDDEN NOT NULL, b "
       "datetime2(7) GENERATED ALWAYS AS ROW END HIDDEN NOT NULL, PERIOD FOR SYSTEM_TIME (a, b)) "
       "WITH (SYSTEM_VERSIONING = ON)");
    expect(s,
           "SELECT c.name, c.is_sparse, c.is_column_set, c.generated_always_type, c.is_hidden FROM "
           "sys.columns AS c WHERE c.object_id = OBJECT_ID(N'v') AND c.column_id > 1",
           "x|1|0|0|0\ncs|0|1|0|0\na|0|0|1|1\nb|0|0|2|1\n");
    ok(s, "INSERT INTO v VALUES (1, 5)");
    expect(s, "SELECT x, CONVERT(varchar(30), b, 126) FROM v", "5|9999-12-31T23:59:59.9999999\n");
    refused(s, "INSERT INTO v (id, a) VALUES (2, '2024-01-01')", 13536);
    expect(s, "SELECT t.temporal_type FROM sys.tables AS t WHERE t.name = N'v'", "2\n");
    refused(s, "CREATE DATABASE elsewhere COLLATE Klingon_CI_AS", 448);
    session_close(&s);
}
END_TEST

START_TEST(objects)
{
    struct session *s = open_database();

    refused(s, "CREATE TABLE nope.t (id int)", 2760);
    ok(s, "CREATE SCHEMA x");
    ok(s, "CREATE TABLE x.[a b]]c] (id int)");
    refused(s, "CREATE TABLE x.[A B]]C] (id int)", 2714);
    expect(s,
           "SELECT s.name, t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = "
           "t.schema_id",
           "x|a b]c\n");
    refused(s, "DROP SCHEMA x", 3729);
    refused(s, "DROP TABLE nope", 3701);
    ok(s, "DROP TABLE IF EXISTS nope; DROP TABLE x.[a b]]c]; DROP SCHEMA x");
    refused(s, "CREATE DATABASE db", 1801);
    refused(s, "BEGIN TRAN; CREATE DATABASE two", 226);
    ok(s, "ROLLBACK");
    refused(s, "USE nope", 911);
    ok(s, "CREATE DATABASE two");
    ok(s, "DROP DATABASE two");
    refused(s, "DROP DATABASE two", 3701);
    session_close(&s);
}
END_TEST

/* Objects made or changed in a transaction that is rolled back were never there. */
START_TEST(rolled_back)
{
    struct session *s = open_database();
    static struct record r;
    struct session *a = login("sa", "pw", "db", &r);

    ck_assert_ptr_nonnull(a);
    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    ok(a, "INSERT INTO t VALUES (1)"); /* knows the table now */
    ok(s, "BEGIN TRAN; ALTER TABLE t ADD v int NULL; CREATE TABLE u (id int); INSERT INTO u "
          "VALUES (1); UPDATE t SET v = 1; ROLLBACK");
    refused(s, "SELECT * FROM u", 208);
    refused(s, "SELECT v FROM t", 207);
    ok(s, "ALTER TABLE t ADD v int NULL");
    expect(a, "SELECT id, v FROM t", "1|NULL\n"); /* the other session looks again */
    ok(a, "INSERT INTO t VALUES (2, 2)");
    ok(s, "ALTER TABLE t ADD w int NULL");
    ok(a, "ALTER TABLE t DROP COLUMN w");
    session_close(&a);
    session_close(&s);
}
END_TEST

static _Atomic bool stop;

static void *
keeps_writing(void *arg)
{
    while (!atomic_load(&stop)) {
        ok(arg, "UPDATE t SET v = v + 1 WHERE id = 1");
        ok(arg, "SELECT * FROM t");
    }
    return NULL;
}

/* DDL is one transaction: a writer beside it waits and never sees a lock or a conflict. */
START_TEST(beside_a_writer)
{
    static struct record r;
    struct session *s = open_database();
    struct session *w = login("sa", "pw", "db", &r);
    pthread_t writer;

    ck_assert_ptr_nonnull(w);
    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)");
    capture(s, "t");
    ck_assert_int_eq(pthread_create(&writer, NULL, keeps_writing, w), 0);
    for (int i = 0; i < 20; i++) {
        ok(s, "ALTER TABLE t ADD x int NOT NULL DEFAULT 7 WITH VALUES");
        ok(s, "ALTER TABLE t DROP COLUMN x");
    }
    atomic_store(&stop, true);
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    expect(s,
           "SELECT CASE WHEN v = (SELECT COUNT(*) FROM cdc.dbo_t_CT WHERE [__$operation] = 4) THEN "
           "1 ELSE 0 END FROM t",
           "1\n");
    expect(s, "SELECT COUNT(*) FROM cdc.ddl_history", "40\n");
    session_close(&w);
    session_close(&s);
}
END_TEST

START_TEST(procedures)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    ok(s,
       "CREATE PROCEDURE add_one @id int, @n int = 0 OUTPUT AS BEGIN INSERT INTO t VALUES (@id); "
       "SET @n = (SELECT COUNT(*) FROM t); RETURN 3 END");
    expect(s, "DECLARE @r int, @n int; EXEC @r = add_one 1, @n OUTPUT; SELECT @r, @n", "3|1\n");
    expect(s, "DECLARE @n int; EXEC add_one @n = @n OUTPUT, @id = 2; SELECT @n", "2\n");
    refused(s, "EXEC add_one", 201);
    refused(s, "EXEC add_one 1", 2627);
    ok(s, "DROP PROCEDURE add_one");
    refused(s, "EXEC add_one 3", 2812);
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld_ddl");
    TCase *t = tcase_create("ddl");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 40);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, defaults_identity_computed);
    tcase_add_test(t, identity_is_shared);
    tcase_add_test(t, columns_come_and_go);
    tcase_add_test(t, keys_and_indexes);
    tcase_add_test(t, special_columns);
    tcase_add_test(t, objects);
    tcase_add_test(t, rolled_back);
    tcase_add_test(t, beside_a_writer);
    tcase_add_test(t, procedures);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
