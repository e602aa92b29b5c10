/* uses: mssqld */
/* mssqld.fail_next and before_next: errors and events at the wanted moment. */
#include "tests/unit/mssqld_help.h"

static struct session *sa;
static struct session *other;

static void
setup_two(void)
{
    static struct record r;

    setup();
    sa = open_database();
    ok(sa, "CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    ok(sa, "INSERT INTO t VALUES (1), (2), (3)");
    other = login("sa", "pw", "db", &r);
    ck_assert_ptr_nonnull(other);
}

static void
teardown_two(void)
{
    session_close(&other);
    session_close(&sa);
    teardown();
}

START_TEST(next_statements_fail)
{
    ok(sa, "EXEC mssqld.fail_next @number = 1222, @times = 2, @match = N'FROM t '");
    expect(sa, "SELECT COUNT(*) FROM t WHERE 1 = 1", "3\n"); /* not who ordered it */
    expect(other, "SELECT 1 AS x", "1\n");
    refused(other, "SELECT id FROM t WHERE id = 1", 1222);
    /* In a batch it is the statement that matches, and the next one runs. */
    expect(other, "SELECT 7; SELECT id FROM t WHERE id = 2; SELECT 8",
           "7\n[1222] Lock request time out period exceeded.\n8\n");
    expect(other, "SELECT id FROM t WHERE id = 1", "1\n");
    ok(sa, "EXEC mssqld.fail_next @number = 60001, @message = N'so', @severity = 14, @skip = 1, "
           "@like = N'SELECT 5%', @own = 1");
    expect(sa, "SELECT 5", "5\n");
    expect(sa, "SELECT 5", "[60001] so\n");
    expect(sa, "EXEC mssqld.fail_clear", "0\n");
    ok(sa, "EXEC mssqld.fail_next @number = 1205, @like = N'no such text'");
    expect(sa, "EXEC mssqld.fail_clear", "1\n");
    refused(sa, "EXEC mssqld.fail_next", 201);
}
END_TEST

/* Rows, then the error; a deadlock victim's transaction is gone. */
START_TEST(after_rows)
{
    ok(sa, "EXEC mssqld.fail_next @number = 1205, @match = N'ORDER BY id', @after_rows = 2");
    ok(other, "BEGIN TRAN; INSERT INTO t VALUES (4)");
    ck_assert_ptr_nonnull(strstr(run(other, "SELECT id FROM t ORDER BY id"), "1\n2\n[1205]"));
    expect(other, "SELECT @@TRANCOUNT, COUNT(*) FROM t", "0|3\n");
    ok(sa, "EXEC mssqld.fail_next @number = 601, @match = N'ORDER BY id', @after_rows = 99");
    ck_assert_ptr_nonnull(strstr(run(other, "SELECT id FROM t ORDER BY id"), "3\n[601]"));
}
END_TEST

static uint16_t cut_spid;

static void
note_cut(void *arg, uint16_t spid)
{
    (void)arg;
    cut_spid = spid;
}

START_TEST(connections_end)
{
    struct record r = {0};
    struct sink sink = sink_of(&r);

    ok(sa, "EXEC mssqld.fail_next @number = 596, @match = N'SELECT 6'");
    refused(other, "SELECT 6; SELECT 7", 596);
    ck_assert(session_ended(other));
    ck_assert(!session_ended(sa));
    session_close(&other);
    other = login("sa", "pw", "db", &r);
    /* Cut without a word, in the middle of the rows. */
    engine_on_cut(engine, note_cut, NULL);
    ok(sa, "EXEC mssqld.fail_next @number = 1, @cut = 2, @after_rows = 1, @match = N'FROM t'");
    r.size = 0;
    ck_assert_int_eq(session_run(other, "SELECT id FROM t", NULL, 0, DONE_BATCH, &sink), -1);
    ck_assert_str_eq(r.text, "1\n");
    ck_assert_uint_eq(cut_spid, 51);
    engine_on_cut(engine, NULL, NULL);
}
END_TEST

START_TEST(logins_fail)
{
    struct record r = {0};

    ok(sa, "EXEC mssqld.fail_next @number = 40613, @login = 1, @times = 2");
    ok(sa, "EXEC mssqld.fail_next @number = 4060, @login = 1, @like = N's_'");
    expect(other, "SELECT 1", "1\n"); /* statements are not meant */
    for (int i = 0; i < 2; i++) {
        r.size = 0;
        ck_assert_ptr_null(login("sa", "pw", "db", &r));
        ck_assert_ptr_nonnull(strstr(r.text, "[40613]"));
    }
    r.size = 0;
    ck_assert_ptr_null(login("sa", "pw", "db", &r));
    ck_assert_ptr_nonnull(strstr(r.text, "[18456]"));
    ck_assert_ptr_nonnull(strstr(r.text, "[4060]"));
    session_close(&other);
    other = login("sa", "pw", "db", &r);
    ck_assert_ptr_nonnull(other);
}
END_TEST

/* Somebody else's step just before a statement, captured as anybody's. */
START_TEST(before_a_statement)
{
    capture(sa, "t");
    ok(sa, "EXEC mssqld.before_next @match = N'SELECT MAX', @sql = N'INSERT INTO t VALUES (9)'");
    expect(sa, "SELECT COUNT(*) FROM t", "3\n");
    expect(other, "SELECT MAX(id) FROM t", "9\n");
    expect(other, "SELECT id FROM cdc.dbo_t_CT", "9\n");
    ok(sa, "EXEC mssqld.before_next @match = N'SELECT MAX', @sql = N'INSERT INTO nope VALUES (9)'");
    refused(other, "SELECT MAX(id) FROM t", 50000);
    refused(sa, "EXEC mssqld.before_next @match = N'x'", 201);
}
END_TEST

START_TEST(for_sysadmins_only)
{
    struct record r = {0};
    struct session *s;

    ok(sa, "CREATE LOGIN u WITH PASSWORD = 'p'; CREATE USER u FOR LOGIN u");
    s = login("u", "p", "db", &r);
    ck_assert_ptr_nonnull(s);
    refused(s, "EXEC mssqld.fail_next @number = 1205", 15247);
    refused(sa, "EXEC mssqld.no_such_thing", 2812);
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld fault");
    TCase *c = tcase_create("fault");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(c, setup_two, teardown_two);
    tcase_add_test(c, next_statements_fail);
    tcase_add_test(c, after_rows);
    tcase_add_test(c, connections_end);
    tcase_add_test(c, logins_fail);
    tcase_add_test(c, before_a_statement);
    tcase_add_test(c, for_sysadmins_only);
    suite_add_tcase(suite, c);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
