/* uses: mssqld */
/* The T-SQL engine through its seam: what clients see of statements, types and capture. */
#include <pthread.h>
#include <sched.h>

#include "common/clock.h"
#include "tests/mssqld/sql/session.h"
#include "tests/unit/mssqld_help.h"

START_TEST(expressions)
{
    struct session *s = open_database();
    static const char *const CASES[][2] = {
        {"SELECT 1 AS a, N'x', NULL", "1|x|NULL\n"},
        {"SELECT CAST('-9223372036854775808' AS bigint)", "-9223372036854775808\n"},
        {"SELECT CAST('-99999999999999999999999999999999999999' AS decimal(38,0))",
         "-99999999999999999999999999999999999999\n"},
        {"SELECT CAST('1.005' AS decimal(10,2))", "1.01\n"},
        {"SELECT CAST('922337203685477.5807' AS money)", "9223372036854775807\n"},
        {"SELECT CAST('2024-02-29T12:34:56.123' AS datetime)", "738944/452961233333/0\n"},
        {"SELECT CAST('4/15/2022' AS date)", "738259/0/0\n"},
        {"SELECT CONVERT(varchar(30), CAST('2024-02-29 12:34:56.7' AS datetime2(1)), 121)",
         "2024-02-29 12:34:56.7\n"},
        {"SELECT CAST('2024-02-29 12:34:56 +05:30' AS datetimeoffset(0))",
         "738944/254960000000/330\n"},
        {"SELECT CONVERT(varbinary(max), CONVERT(nvarchar(max), N'a\xF0\x9F\x98\x80'))",
         "0x61003DD800DE\n"},
        {"SELECT CAST('ab' AS char(4)), CAST(0x01 AS binary(3))", "ab  |0x010000\n"},
        {"SELECT CAST(CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier) AS "
         "varchar(40))",
         "6F9619FF-8B86-D011-B42D-00C04FC964FF\n"},
        {"SELECT x FROM (VALUES (28), (20.5)) AS v(x)", "28.0\n20.5\n"},
        {"SELECT 'y' WHERE 1 !< 1 AND 2 !< 1 AND NOT 0 !< 1 AND 1 !> 1 AND NOT 2 !> 1 AND 1 != 2",
         "y\n"},
        {"SELECT 7 / 2, 7 % 3, -7 / 2, 1 & 3", "3|1|-3|1\n"},
        {"SELECT 'Abc' + 'd', LEN('ab  '), DATALENGTH(N'ab')", "Abcd|2|4\n"},
        {"SELECT CASE WHEN 'A' = 'a ' THEN 1 ELSE 0 END", "1\n"},
        {"SELECT 1 WHERE 'abc' LIKE '[a-c]b_' AND NULL IS NULL", "1\n"},
        {"SELECT MAX(b) FROM (SELECT 0x02 AS b UNION ALL SELECT 0x0A) AS x", "0x0A\n"},
        {"DECLARE @i int = 0; WHILE @i < 5 SET @i += 2; SELECT @i", "6\n"},
        {"SELECT TRY_CONVERT(int, 'x'), ISNULL(NULL, 3), COALESCE(NULL, 'y')", "NULL|3|y\n"},
        {"EXEC sp_executesql N'SELECT @p + 1', N'@p int', @p = 41", "42\n"},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        ck_assert_str_eq(run(s, CASES[i][0]), CASES[i][1]);
    session_close(&s);
}
END_TEST

START_TEST(errors)
{
    struct session *s = open_database();
    static const struct {
        const char *text;
        const char *number;
    } CASES[] = {
        {"SELECT * FROM dbo.nope", "[208]"},
        {"SELECT nope FROM dbo.t", "[207]"},
        {"SELECT FROM", "[156]"},
        {"SELECT 1/0", "[8134]"},
        {"SELECT CAST('x' AS int)", "[245]"},
        {"SELECT @nope", "[137]"},
        {"EXEC dbo.nope", "[2812]"},
        {"INSERT INTO t VALUES (1, 'a'), (1, 'b')", "[2627]"},
        {"INSERT INTO t VALUES (NULL, 'a')", "[515]"},
        {"INSERT INTO t VALUES (2, 'abcdef')", "[2628]"},
        {"COMMIT", "[3902]"},
        {"ROLLBACK", "[3903]"},
        {"EXEC sys.sp_cdc_enable_table 'dbo', 't', @role_name = NULL", "[22901]"},
    };

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v varchar(5))");
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        ck_assert_msg(strncmp(run(s, CASES[i].text), CASES[i].number, strlen(CASES[i].number)) == 0,
                      "%s: %s", CASES[i].text, run(s, CASES[i].text));
    ck_assert_str_eq(run(s, "SELECT COUNT(*) FROM t"), "0\n");
    session_close(&s);
}
END_TEST

START_TEST(change_rows)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, c2 int, c3 int, c4 int, c5 int, c6 int, "
          "c7 int, c8 int, m nvarchar(max), x text)");
    capture(s, "t");
    ok(s, "INSERT INTO t(id, m, x) VALUES (1, N'long', 'lob')");
    ok(s, "UPDATE t SET c8 = 5 WHERE id = 1");
    ok(s, "UPDATE t SET m = N'other' WHERE id = 1");
    ok(s, "UPDATE t SET c8 = 5 WHERE id = 1"); /* changes nothing: no row */
    ok(s, "UPDATE t SET id = 2");
    ok(s, "BEGIN TRAN; DELETE FROM t; ROLLBACK");
    ok(s, "DELETE FROM t");
    /* Ordinal 8 is the highest bit of the last byte, 9 the lowest of the one before. */
    ck_assert_str_eq(run(s, "SELECT [__$operation], [__$update_mask], id, c8, m, x, "
                            "[__$command_id] FROM cdc.dbo_t_CT ORDER BY [__$start_lsn], "
                            "[__$command_id], [__$seqval], [__$operation]"),
                     "2|0x03FF|1|NULL|long|lob|1\n"
                     "3|0x0080|1|NULL|NULL|NULL|1\n"
                     "4|0x0080|1|5|long|lob|1\n"
                     "3|0x0100|1|5|long|NULL|1\n"
                     "4|0x0100|1|5|other|lob|1\n"
                     "1|0x03FF|1|5|other|NULL|1\n"
                     "2|0x03FF|2|5|other|lob|2\n"
                     "1|0x03FF|2|5|other|NULL|1\n");
    /* All in LSN order below the commit, one mapping row a transaction. */
    ck_assert_str_eq(
        run(s, "SELECT COUNT(*) FROM cdc.dbo_t_CT WHERE [__$seqval] >= [__$start_lsn]"), "0\n");
    ck_assert_str_eq(run(s, "SELECT COUNT(*) FROM cdc.lsn_time_mapping m WHERE EXISTS (SELECT 1 "
                            "FROM cdc.dbo_t_CT c WHERE c.[__$start_lsn] = m.start_lsn)"),
                     "5\n");
    ck_assert_str_eq(run(s, "SELECT COUNT(DISTINCT [__$seqval]) FROM cdc.dbo_t_CT WHERE id IN "
                            "(1, 2) AND [__$start_lsn] IN (SELECT [__$start_lsn] FROM "
                            "cdc.dbo_t_CT WHERE [__$command_id] = 2)"),
                     "1\n");
    session_close(&s);
}
END_TEST

/* Reads the change table and plays it onto an array, in the order of the clustered key. */
static void
replay(struct session *s, int *table, int n)
{
    static const char PAGE[] =
        "SELECT [__$operation], id, v FROM cdc.dbo_t_CT ORDER BY [__$start_lsn], "
        "[__$command_id], [__$seqval], [__$operation]";
    char *copy = strdup(run(s, PAGE));
    char *save = NULL;

    ck_assert_ptr_nonnull(copy);
    for (int i = 0; i < n; i++)
        table[i] = -1;
    for (char *line = strtok_r(copy, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *at = line;
        int op = (int)strtol(at, &at, 10);
        int id = (int)strtol(at + 1, &at, 10);
        int v = (int)strtol(at + 1, &at, 10);

        ck_assert_int_eq(*at, '\0');
        ck_assert_int_lt(id, n);
        if (op == 2) {
            ck_assert_int_eq(table[id], -1);
            table[id] = v;
        } else if (op == 4) {
            ck_assert_int_ne(table[id], -1);
            table[id] = v;
        } else {
            ck_assert_int_eq(table[id], v);
            if (op == 1)
                table[id] = -1;
        }
    }
    free(copy);
}

START_TEST(random_transactions_replay)
{
    struct session *s = open_database();
    int table[32];
    unsigned seed = 4711;
    char text[300];

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NOT NULL)");
    capture(s, "t");
    for (int round = 0; round < 60; round++) {
        ok(s, "BEGIN TRAN");
        for (int i = 0; i < 4; i++) {
            int a = (int)(rand_r(&seed) % 16);
            int b = (int)(rand_r(&seed) % 16);

            switch (rand_r(&seed) % 5) {
            case 0:
                (void)snprintf(text, sizeof text, "INSERT INTO t VALUES (%d, %d)", a, round);
                break;
            case 1:
                (void)snprintf(text, sizeof text, "UPDATE t SET v = v + 1 WHERE id > %d", a);
                break;
            case 2:
                (void)snprintf(text, sizeof text, "DELETE FROM t WHERE id BETWEEN %d AND %d", a, b);
                break;
            case 3: /* keys move: all rows with deferred pairs */
                (void)snprintf(text, sizeof text, "UPDATE t SET id = 15 - id, v = v + %d", b);
                break;
            default:
                (void)snprintf(text, sizeof text,
                               "SAVE TRAN p; UPDATE t SET v = 0; DELETE FROM t WHERE id = %d; "
                               "ROLLBACK TRAN p",
                               a);
                break;
            }
            (void)run(s, text); /* a duplicate key is a statement that did nothing */
        }
        ok(s, rand_r(&seed) % 4 == 0 ? "ROLLBACK" : "COMMIT");
    }
    replay(s, table, 32);
    for (int i = 0; i < 16; i++) {
        char want[32];

        (void)snprintf(text, sizeof text, "SELECT v FROM t WHERE id = %d", i);
        want[0] = '\0';
        if (table[i] >= 0)
            (void)snprintf(want, sizeof want, "%d\n", table[i]);
        ck_assert_str_eq(run(s, text), want);
    }
    session_close(&s);
}
END_TEST

START_TEST(keyset_pages_are_complete)
{
    struct session *s = open_database();
    const char *page;

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int)");
    capture(s, "t");
    ok(s, "INSERT INTO t VALUES (1,1),(2,2),(3,3)");
    ok(s, "DECLARE @l binary(10), @q binary(10); SELECT TOP (1) @l = [__$start_lsn], @q = "
          "[__$seqval] FROM cdc.dbo_t_CT ORDER BY [__$seqval]");
    page = run(s, "DECLARE @l binary(10), @q binary(10); SELECT TOP (1) @l = [__$start_lsn], @q = "
                  "[__$seqval] FROM cdc.dbo_t_CT ORDER BY [__$seqval]; SELECT id FROM cdc.dbo_t_CT "
                  "WHERE [__$start_lsn] >= @l AND ([__$start_lsn] > @l OR ([__$command_id] > 1 OR "
                  "([__$command_id] = 1 AND ([__$seqval] > @q OR ([__$seqval] = @q AND "
                  "[__$operation] > 2))))) ORDER BY [__$start_lsn], [__$command_id], [__$seqval], "
                  "[__$operation]");
    ck_assert_str_eq(page, "2\n3\n");
    session_close(&s);
}
END_TEST

START_TEST(permissions)
{
    struct session *s = open_database();
    static struct record r;
    struct session *u;

    ok(s, "CREATE TABLE t (id int); CREATE TABLE open_t (id int)");
    ok(s, "CREATE LOGIN reader WITH PASSWORD = 'secret'");
    ck_assert_ptr_null(login("reader", "wrong", "", &r));
    ck_assert_int_eq(r.error, 18456);
    ck_assert_ptr_null(login("reader", "secret", "db", &r)); /* no user there yet */
    ck_assert_ptr_null(login("sa", "pw", "nowhere", &r));
    ok(s, "CREATE USER reader FOR LOGIN reader; GRANT SELECT ON dbo.open_t TO reader");
    u = login("reader", "secret", "db", &r);
    ck_assert_ptr_nonnull(u);
    ck_assert_msg(strncmp(run(u, "SELECT * FROM t"), "[229]", 5) == 0, "not denied");
    ck_assert_str_eq(run(u, "SELECT COUNT(*) FROM open_t"), "0\n");
    ok(s, "GRANT SELECT ON SCHEMA::dbo TO reader");
    ck_assert_str_eq(run(u, "SELECT COUNT(*) FROM t"), "0\n");
    ok(s, "DENY SELECT ON dbo.t TO reader");
    ck_assert_msg(strncmp(run(u, "SELECT * FROM t"), "[229]", 5) == 0, "DENY does not win");
    session_close(&u);
    session_close(&s);
}
END_TEST

static void *
writer_main(void *arg)
{
    struct session *s = arg;

    for (int i = 0; i < 200; i++)
        ok(s, "UPDATE t SET v = v + 1");
    return NULL;
}

START_TEST(two_writers_and_a_reader)
{
    struct session *s = open_database();
    static struct record r;
    struct session *a = login("sa", "pw", "db", &r);
    struct session *b = login("sa", "pw", "db", &r);
    pthread_t threads[2];

    ok(s, "CREATE TABLE t (v int); INSERT INTO t VALUES (0)");
    ok(s, "BEGIN TRAN; UPDATE t SET v = 100");
    /* A reader sees the committed state and does not wait; a second writer does. */
    ck_assert_str_eq(run(a, "SELECT v FROM t"), "0\n");
    ck_assert_msg(strncmp(run(a, "SET LOCK_TIMEOUT 20; UPDATE t SET v = 7"), "[1222]", 6) == 0,
                  "no lock time-out");
    ok(s, "ROLLBACK");
    ok(a, "SET LOCK_TIMEOUT -1");
    ck_assert_int_eq(pthread_create(&threads[0], NULL, writer_main, a), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, writer_main, b), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_str_eq(run(s, "SELECT v FROM t"), "400\n");
    session_close(&a);
    session_close(&b);
    session_close(&s);
}
END_TEST

/* What a role may, what a column list and DENY leave, and whose rights a change needs. */
START_TEST(roles_and_writes)
{
    struct session *s = open_database();
    static struct record r;
    struct session *u;

    ok(s, "CREATE SCHEMA x");
    ok(s, "CREATE TABLE t (id int); CREATE TABLE x.t (id int)");
    ok(s, "CREATE LOGIN app WITH PASSWORD = 'secret'; CREATE USER app FOR LOGIN app");
    u = login("app", "secret", "db", &r);
    ck_assert_ptr_nonnull(u);
    refused(u, "SELECT * FROM t", 229);
    refused(u, "INSERT INTO t VALUES (1)", 229);
    refused(u, "UPDATE t SET id = 1", 229);
    refused(u, "DELETE FROM t", 229);
    refused(u, "CREATE TABLE mine (id int)", 262);
    refused(u, "DROP TABLE t", 262);
    refused(u, "CREATE DATABASE mine", 262);
    ok(s, "ALTER ROLE db_datareader ADD MEMBER app");
    expect(u, "SELECT COUNT(*) FROM x.t", "0\n");
    refused(u, "INSERT INTO t VALUES (1)", 229);
    ok(s, "CREATE ROLE writers");
    ok(s, "GRANT INSERT, UPDATE ON SCHEMA::dbo TO writers; ALTER ROLE writers ADD MEMBER app");
    ok(u, "INSERT INTO t VALUES (1); UPDATE t SET id = 2");
    refused(u, "DELETE FROM t", 229);
    refused(u, "INSERT INTO x.t VALUES (1)", 229);
    expect(u,
           "SELECT HAS_PERMS_BY_NAME('dbo.t', 'OBJECT', 'INSERT'), "
           "HAS_PERMS_BY_NAME('dbo.t', 'OBJECT', 'DELETE'), IS_ROLEMEMBER('writers'), "
           "IS_SRVROLEMEMBER('sysadmin')",
           "1|0|1|0\n");
    ok(s, "REVOKE UPDATE ON SCHEMA::dbo FROM writers");
    refused(u, "UPDATE t SET id = 3", 229);
    ok(s, "ALTER ROLE db_owner ADD MEMBER app");
    ok(u, "DELETE FROM t; CREATE TABLE mine (id int); DROP TABLE mine");
    refused(u, "CREATE DATABASE mine", 262);
    ok(s, "DROP USER app");
    ck_assert_ptr_null(login("app", "secret", "db", &r));
    ck_assert_ptr_nonnull(strstr(r.text, "[4060] "));
    session_close(&u);
    session_close(&s);
}
END_TEST

/* A statement that fails takes only its own rows with it; what ends more is told apart. */
START_TEST(errors_inside_transactions)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL CONSTRAINT pk PRIMARY KEY, v varchar(3))");
    /* duplicate key: the transaction goes on, and so does the batch */
    expect(s,
           "BEGIN TRAN; INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b'), (1, 'c'); "
           "SELECT @@ERROR, @@TRANCOUNT, XACT_STATE(); COMMIT; SELECT id FROM t",
           "[2627] Violation of PRIMARY KEY constraint 'pk'. Cannot insert duplicate key in "
           "object 'dbo.t'. The duplicate key value is (1).\n2627|1|1\n1\n");
    /* a conversion ends the batch and the transaction */
    refused(s, "BEGIN TRAN; INSERT INTO t VALUES (3, 'a'); SELECT CAST('x' AS int); SELECT 'on'",
            245);
    expect(s, "SELECT @@TRANCOUNT, COUNT(*) FROM t", "0|1\n");
    /* so does any error under XACT_ABORT */
    refused(s,
            "SET XACT_ABORT ON; BEGIN TRAN; INSERT INTO t VALUES (4, 'a'); INSERT INTO t VALUES "
            "(1, 'b'); INSERT INTO t VALUES (5, 'c'); COMMIT",
            2627);
    expect(s, "SELECT @@TRANCOUNT, COUNT(*) FROM t", "0|1\n");
    /* in TRY it dooms the transaction, which can then only be rolled back */
    expect(s,
           "BEGIN TRY BEGIN TRAN; INSERT INTO t VALUES (6, 'a'); INSERT INTO t VALUES (1, 'b'); "
           "COMMIT; END TRY BEGIN CATCH SELECT ERROR_NUMBER(), XACT_STATE(); ROLLBACK; END "
           "CATCH; SELECT COUNT(*) FROM t",
           "2627|-1\n1\n");
    refused(s,
            "BEGIN TRY BEGIN TRAN; INSERT INTO t VALUES (1, 'b'); END TRY BEGIN CATCH COMMIT; "
            "END CATCH",
            3930);
    expect(s, "IF @@TRANCOUNT > 0 ROLLBACK; SET XACT_ABORT OFF; SELECT @@TRANCOUNT", "0\n");
    /* without it the CATCH block may still commit */
    expect(s,
           "BEGIN TRY BEGIN TRAN; INSERT INTO t VALUES (7, 'a'); INSERT INTO t VALUES (1, 'b'); "
           "END TRY BEGIN CATCH SELECT XACT_STATE(); COMMIT; END CATCH; SELECT COUNT(*) FROM t",
           "1\n2\n");
    session_close(&s);
}
END_TEST

START_TEST(savepoints)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    refused(s, "SAVE TRAN p", 628);
    ok(s, "BEGIN TRAN; SAVE TRAN p"); /* before the first write */
    ok(s, "INSERT INTO t VALUES (1); SAVE TRAN q; INSERT INTO t VALUES (2); ROLLBACK TRAN q");
    expect(s, "SELECT id FROM t", "1\n");
    ok(s, "INSERT INTO t VALUES (3); ROLLBACK TRAN q; ROLLBACK TRAN q");
    refused(s, "ROLLBACK TRAN nope", 6401);
    refused(s, "BEGIN TRAN inner_one; COMMIT; ROLLBACK TRAN inner_one", 6401);
    ok(s, "ROLLBACK TRAN p");
    expect(s, "SELECT @@TRANCOUNT, COUNT(*) FROM t", "1|0\n");
    refused(s, "ROLLBACK TRAN q", 6401);                   /* went with p */
    ok(s, "INSERT INTO t VALUES (4); BEGIN TRAN; COMMIT"); /* nested: the inner one is a count */
    expect(s, "SELECT @@TRANCOUNT", "1\n");
    ok(s, "COMMIT");
    expect(s, "SELECT id FROM t", "4\n");
    ok(s, "BEGIN TRAN whole; DELETE FROM t; ROLLBACK TRAN Whole"); /* its own name will do */
    expect(s, "SELECT @@TRANCOUNT, COUNT(*) FROM t", "0|1\n");
    session_close(&s);
}
END_TEST

/* The second writer of the deadlock test: waits until the first gives way. */
static void *
wants_t(void *arg)
{
    ok(arg, "UPDATE t SET v = 12");
    return NULL;
}

static void
wait_until_waiting(struct session *s)
{
    int64_t until = clock_mono_ns() + 20 * NS_PER_S;
    bool waits = false;

    while (!waits) {
        (void)pthread_mutex_lock(&s->engine->mutex);
        waits = s->waiting_for != NULL;
        (void)pthread_mutex_unlock(&s->engine->mutex);
        ck_assert_msg(clock_mono_ns() < until, "the second writer does not wait");
        (void)sched_yield();
    }
}

/* A writer that gave up has lost its statement only; its next try finds the first one's state. */
START_TEST(lock_timeout_and_deadlock)
{
    struct session *s = open_database();
    static struct record r;
    struct session *a = login("sa", "pw", "db", &r);
    pthread_t waiter;

    ck_assert_ptr_nonnull(a);
    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)");
    ok(s, "BEGIN TRAN; UPDATE t SET v = v + 1");
    ok(a, "SET LOCK_TIMEOUT 0; BEGIN TRAN");
    refused(a, "UPDATE t SET v = v + 10", 1222);
    expect(a, "SELECT @@TRANCOUNT, v FROM t", "1|0\n");
    ok(s, "COMMIT");
    ok(a, "UPDATE t SET v = v + 10; COMMIT");
    expect(s, "SELECT v FROM t", "11\n");
    /* Each has written one database and wants the other's: who would close the circle loses. */
    ok(s, "CREATE DATABASE other");
    ok(s, "CREATE TABLE other.dbo.t (v int); INSERT INTO other.dbo.t VALUES (0)");
    ok(s, "BEGIN TRAN; UPDATE t SET v = 100");
    ok(a, "SET LOCK_TIMEOUT -1; BEGIN TRAN; UPDATE other.dbo.t SET v = 200");
    ck_assert_int_eq(pthread_create(&waiter, NULL, wants_t, a), 0);
    wait_until_waiting(a);
    refused(s, "UPDATE other.dbo.t SET v = 300", 1205);
    ck_assert_int_eq(pthread_join(waiter, NULL), 0);
    expect(s, "SELECT @@TRANCOUNT", "0\n");
    ok(a, "COMMIT");
    expect(s, "SELECT a.v, b.v FROM t a CROSS JOIN other.dbo.t b", "12|200\n");
    session_close(&a);
    session_close(&s);
}
END_TEST

/* A session that goes away leaves no lock and no half of a transaction. */
START_TEST(closing_rolls_back)
{
    struct session *s = open_database();
    static struct record r;
    struct session *a = login("sa", "pw", "db", &r);

    ck_assert_ptr_nonnull(a);
    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    ok(a, "BEGIN TRAN; INSERT INTO t VALUES (1)");
    session_close(&a);
    ok(s, "SET LOCK_TIMEOUT 0; INSERT INTO t VALUES (2)");
    expect(s, "SELECT id FROM t", "2\n");
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld_engine");
    TCase *t = tcase_create("engine");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 40);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, expressions);
    tcase_add_test(t, errors);
    tcase_add_test(t, change_rows);
    tcase_add_test(t, random_transactions_replay);
    tcase_add_test(t, keyset_pages_are_complete);
    tcase_add_test(t, permissions);
    tcase_add_test(t, roles_and_writes);
    tcase_add_test(t, two_writers_and_a_reader);
    tcase_add_test(t, errors_inside_transactions);
    tcase_add_test(t, savepoints);
    tcase_add_test(t, lock_timeout_and_deadlock);
    tcase_add_test(t, closing_rolls_back);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
