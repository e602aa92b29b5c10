/* Where a task begins and ends, and what is asked of it: every form, killed at every step. */
/* uses: capture aws */
/* wrap: source_engine_find */
#include "tests/unit/capture_flow_help.h"

/* ---- a start at a place of the operator's choice ---- */

static void
start_at(const char *text)
{
    task.migration_type = MIGRATION_CDC;
    if (strncmp(text, "second ", 7) == 0)
        task.start = (struct start_bound){.kind = START_TIME,
                                          .real_ns = strtol(text + 7, NULL, 10) * 1000000000};
    else
        ck_assert_ptr_null(bounds_start(text, &task.start));
}

/* The changes of the log from `first` on, of table h, of table k perhaps one less; each once. */
static void
check_from(int64_t first, bool h_is_first)
{
    look();
    for (int64_t id = FAKE_JOIN + 1; id <= FAKE_JOIN + fake_script.transactions; id++) {
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), id >= first + (h_is_first ? 1 : 0));
        ck_assert_uint_eq(count(EVENT_INSERT, id, false), id >= first);
    }
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, true), 1);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, false), 1);
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true) + count(EVENT_LOAD, -1, false), 0);
}

static const struct {
    const char *text;
    int64_t first; /* LSN of the first transaction wanted */
    bool is_inside;
} starts[] = {
    {"earliest", 101, false},
    {"00000000:00000000:0065", 101, false},
    {"00000000:00000000:006e", 110, false},
    {"00000000:00000000:0078", 120, false},
    {"00000000:00000000:0079", 121, false}, /* nothing yet */
    {"second 110", 110, false},
    /* Behind the second change of 110: all of 111.  Behind the first: one is left of 110. */
    {"00000000:00000000:006e.80000002.00000000:00000000:0001.2", 111, false},
    {"00000000:00000000:006e.80000001.00000000:00000000:0000.2", 110, true},
    {"00000000:00000000:006e.ffffffff.ffffffff:ffffffff:ffff.f", 111, false},
};

START_TEST(start_is_exact)
{
    start_at(starts[_i].text);
    must_run();
    check_from(starts[_i].first, starts[_i].is_inside);
    /* A start that is not the first one goes on where it was. */
    fake_script.transactions += 10;
    must_run();
    check_from(starts[_i].first, starts[_i].is_inside);
}
END_TEST

START_TEST(start_out_of_range)
{
    start_at("00000000:00000000:0064");
    expect(ERR_RANGE, "of table dbo.k, changes from 00000000:00000000:0065 to");
    start_at("00000000:00000000:007a");
    expect(ERR_RANGE, "its newest change is at 00000000:00000000:0078");
    fake_script.short_start = 5;
    start_at("00000000:00000000:0069");
    expect(ERR_RANGE, "of table dbo.h, changes from 00000000:00000000:006a to");
    /* What was refused left nothing behind. */
    start_at("00000000:00000000:006a");
    must_run();
    check_from(106, false);
}
END_TEST

/* ---- the end ---- */

/* Loads, and says, as a shipper would, that all that comes is delivered. */
static void
acknowledge_all(void)
{
    struct checkpoint c = {.generation = generation, .shipper = 0};
    int transactions = fake_script.transactions;
    struct err e = ERR_INIT;

    fake_script.transactions = 0;
    must_run();
    fake_script.transactions = transactions;
    memset(&c.position, 0xFF, sizeof(c.position));
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
}

static bool
has_ended(void)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/ended.json", state_directory);
    return access(path, F_OK) == 0;
}

static void
stop_at(const char *text)
{
    static char keep[128];

    (void)snprintf(keep, sizeof(keep), "%s", text);
    task.cdc_stop_position = keep;
    ck_assert_ptr_null(bounds_stop(keep, &task.stop));
}

static void
check_upto(int64_t last, bool half)
{
    look();
    for (int64_t id = FAKE_JOIN + 1; id <= FAKE_JOIN + fake_script.transactions; id++) {
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), id <= last + (half ? 1 : 0));
        ck_assert_uint_eq(count(EVENT_INSERT, id, false), id <= last);
    }
}

static const struct {
    const char *text;
    int64_t last; /* LSN of the last transaction wanted */
    bool is_inside;
} stops[] = {
    {"00000000:00000000:0064", 100, false}, /* where the load joined */
    {"00000000:00000000:0065", 101, false},
    {"00000000:00000000:0066", 102, false},
    {"00000000:00000000:0067", 103, false}, /* the end of a round */
    {"00000000:00000000:0068", 104, false},
    {"00000000:00000000:006e.80000001.00000000:00000000:0000.2", 109, true},
    {"commit_time:1970-01-01T00:01:46", 106, false}, /* a transaction a second */
    {"commit_time:1970-01-01T00:01:46.999", 106, false},
    {"server_time:1970-01-01T00:01:47", 107, false},
};

START_TEST(stop_is_exact)
{
    fake_script.seconds = true;
    acknowledge_all();
    stop_at(stops[_i].text);
    must_run();
    ck_assert(has_ended());
    check_upto(stops[_i].last, stops[_i].is_inside);
    /* It stays ended, and asks nothing of the source. */
    fake_script.connects = 0;
    must_run();
    ck_assert_int_eq(fake_script.connects, 0);
    /* Another stop lets it go on, none too; nothing is missing and nothing comes twice. */
    stop_at("00000000:00000000:0070");
    must_run();
    ck_assert(has_ended());
    check_upto(0x70, false);
    stop_at("");
    must_run();
    ck_assert(!has_ended());
    check_all(true);
}
END_TEST

#ifdef WEIR_FAULTS
static const char *const ends[] = {"capture.stop-reached:1", "capture.stop-acknowledged:1",
                                   "file_replace.written:1", "capture.published:4"};

START_TEST(stop_survives_deaths)
{
    acknowledge_all();
    stop_at("00000000:00000000:006b");
    ck_assert(run_killed(ends[_i]));
    for (int i = 0; i < 3; i++)
        (void)run_killed(ends[_i]);
    must_run();
    ck_assert(has_ended());
    check_upto(0x6b, false);
    /* The watermark behind the last change is in every ring: shippers can pass it. */
    for (uint32_t i = 0; i < task.weir.encoders; i++)
        ck_assert_uint_eq(fake_lsn_of(&last_watermark[i]), 0x6b);
    stop_at("");
    must_run();
    check_all(false);
}
END_TEST

/* The last change before the stop is published, its watermark is not: the connection broke between
   them, then the process died.  Shippers wait for a watermark behind that change. */
START_TEST(stop_behind_what_is_published)
{
    char point[64];

    acknowledge_all();
    stop_at("00000000:00000000:006b");
    fake_script.break_after = 14; /* 101 to 107, two changes each */
    (void)snprintf(point, sizeof(point), "capture.published:%d", _i);
    ck_assert(run_killed(point));
    fake_script.break_after = 0;
    must_run();
    ck_assert(has_ended());
    check_upto(0x6b, false);
    for (uint32_t i = 0; i < task.weir.encoders; i++)
        ck_assert_uint_eq(fake_lsn_of(&last_watermark[i]), 0x6b);
}
END_TEST
#endif

/* ---- beginning anew ---- */

static void
ask(enum request_action action, const char *from)
{
    struct request r = {.action = action};
    struct err e = ERR_INIT;

    (void)snprintf(r.from, sizeof(r.from), "%s", from);
    ck_assert_msg(request_submit(&task, &r, &e) == 0, "%s", e.text);
}

static bool
is_asked(void)
{
    struct request r = {.n_tables = 0};
    struct err e = ERR_INIT;
    int rc = request_next(&task, "", &r, &e);

    request_free(&r);
    return rc == 1;
}

static bool
exists(const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", state_directory, name);
    return access(path, F_OK) == 0;
}

/* Everything is loaded anew, into rings of its own; what was before is kept. */
static void
check_anew(uint64_t expected)
{
    ck_assert(!is_asked());
    generation = expected;
    check_all(true);
    ck_assert(exists("before.2/capture.json"));
    ck_assert(exists("before.2/checkpoint.1.0.json"));
    ck_assert(!exists("checkpoint.1.0.json"));
}

START_TEST(reload_of_the_task)
{
    acknowledge_all();
    ask(REQUEST_RELOAD, "");
    must_run();
    check_anew(2);
    must_run();
    check_anew(2);
}
END_TEST

/* A load that is over stays over, until it is asked for anew. */
START_TEST(reload_of_a_full_load)
{
    task.migration_type = MIGRATION_FULL_LOAD;
    must_run();
    ask(REQUEST_RELOAD, "");
    must_run();
    generation = 2;
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true), FAKE_ROWS);
    ck_assert_uint_eq(count(EVENT_INSERT, -1, true), 0);
}
END_TEST

/* A restored database may have lower positions: nothing of the old ones stays in the way. */
START_TEST(reload_of_a_restored_database)
{
    acknowledge_all();
    fake_script.transactions = 40;
    must_run();
    fake_script.transactions = 20;
    fake_script.created = "2025";
    expect(ERR_HISTORY, "date of creation");
    ask(REQUEST_RELOAD, "");
    must_run();
    check_anew(2);
}
END_TEST

/* What only a load from scratch mends. */
START_TEST(reload_mends_what_is_lost)
{
    char path[256];
    struct err e = ERR_INIT;

    acknowledge_all();
    must_run();
    (void)snprintf(path, sizeof(path), "%s/%s", state_directory,
                   _i == 0 ? "topology.json" : "capture.json");
    if (_i == 2)
        ck_assert_int_eq(file_replace(path, "{", 1, 0640, &e), 0);
    else
        ck_assert_int_eq(unlink(path), 0);
    expect(ERR_LAYOUT, _i == 0 ? "topology.json" : "capture.json");
    ask(REQUEST_RELOAD, "");
    must_run();
    generation = 2;
    check_all(true);
}
END_TEST

START_TEST(start_anew_at_a_place)
{
    start_at("now");
    acknowledge_all();
    must_run();
    ask(REQUEST_START, "00000000:00000000:006e");
    must_run();
    generation = 2;
    check_from(110, false);
    /* The place counts for that one start only. */
    fake_script.transactions += 5;
    must_run();
    check_from(110, false);
}
END_TEST

START_TEST(requests_that_do_not_fit_are_refused)
{
    ask(REQUEST_START, "earliest");
    must_run();
    ck_assert(!is_asked());
    check_all(true);
    task.migration_type = MIGRATION_CDC;
    ask(REQUEST_RELOAD, "");
    ask(REQUEST_START, "\"yesterday\"");
    must_run();
    ck_assert(!is_asked());
    check_all(true);
}
END_TEST

START_TEST(resume_goes_on_behind_the_stop)
{
    acknowledge_all();
    stop_at("00000000:00000000:006b");
    must_run();
    ck_assert(has_ended());
    ask(REQUEST_RESUME, "");
    must_run();
    check_all(true);
    fake_script.transactions += 10; /* it does not end there again */
    must_run();
    check_all(true);
}
END_TEST

#ifdef WEIR_FAULTS
static const char *const renewals[] = {"capture.anew-aside:1",   "capture.anew-generation:1",
                                       "capture.anew-cleaned:1", "request.before-done:1",
                                       "request.done:1",         "file_replace.written:1",
                                       "file_replace.renamed:1", "file_replace.renamed:2",
                                       "file_replace.renamed:3"};

START_TEST(reload_survives_deaths)
{
    acknowledge_all();
    must_run();
    ask(REQUEST_RELOAD, "");
    ck_assert(run_killed(renewals[_i]));
    (void)run_killed(renewals[_i]);
    must_run();
    check_anew(2);
}
END_TEST
#endif

int
main(void)
{
    Suite *suite = suite_create("capture_control");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, start_is_exact, 0, sizeof(starts) / sizeof(starts[0]));
    tcase_add_test(tc, start_out_of_range);
    tcase_add_loop_test(tc, stop_is_exact, 0, sizeof(stops) / sizeof(stops[0]));
#ifdef WEIR_FAULTS
    tcase_add_loop_test(tc, stop_survives_deaths, 0, sizeof(ends) / sizeof(ends[0]));
    tcase_add_loop_test(tc, stop_behind_what_is_published, 3, 8);
#endif
    tcase_add_test(tc, reload_of_the_task);
    tcase_add_test(tc, reload_of_a_full_load);
    tcase_add_test(tc, reload_of_a_restored_database);
    tcase_add_loop_test(tc, reload_mends_what_is_lost, 0, 3);
    tcase_add_test(tc, start_anew_at_a_place);
    tcase_add_test(tc, requests_that_do_not_fit_are_refused);
    tcase_add_test(tc, resume_goes_on_behind_the_stop);
#ifdef WEIR_FAULTS
    tcase_add_loop_test(tc, reload_survives_deaths, 0, sizeof(renewals) / sizeof(renewals[0]));
#endif
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
