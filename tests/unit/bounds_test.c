/* Every form of a start and of a stop, and what is refused with which words. */
#include "common/bounds.h"
#include "common/clock.h"
#include "common/position.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define LSN      "00000014:00000061:0001"
#define RECORD   LSN ".80000001." LSN ".4"
#define EIGHT_NS (1772697600 * NS_PER_S) /* 2026-03-05T08:00:00Z */

static struct position
complete(const char *text)
{
    uint8_t lsn[LSN_SIZE];
    struct position p;

    ck_assert_int_eq(position_lsn_parse(text, lsn), 0);
    position_lsn_complete(lsn, &p);
    return p;
}

static void
same(const struct position *a, const struct position *b)
{
    char x[POSITION_HEX_SIZE];
    char y[POSITION_HEX_SIZE];

    position_hex(a, x);
    position_hex(b, y);
    ck_assert_str_eq(x, y);
}

/* ---- times ---- */

static const struct {
    const char *text;
    int64_t ns;
} times[] = {
    {"2026-03-05T08:00:00", EIGHT_NS},
    {"2026-03-05T08:00:00Z", EIGHT_NS},
    {"2026-03-05T08:00:00.5", EIGHT_NS + NS_PER_S / 2},
    {"2026-03-05T08:00:00.123456789Z", EIGHT_NS + 123456789},
    {"2026-03-05T10:00:00+02:00", EIGHT_NS},
    {"2026-03-04T18:30:00-13:30", EIGHT_NS},
    {"2024-02-29T00:00:00", 1709164800 * NS_PER_S},
    {"1970-01-01T00:00:00", 0},
    {"3018-02-09T12:12:12", INT64_MAX},
};

START_TEST(start_times)
{
    struct start_bound b;

    ck_assert_ptr_null(bounds_start(times[_i].text, &b));
    ck_assert_int_eq(b.kind, START_TIME);
    ck_assert_int_eq(b.real_ns, times[_i].ns);
}
END_TEST

static const char *const bad_times[] = {
    "2026-03-05",           "2026-03-05 08:00:00",      "2026-03-05T08:00",
    "2026-3-5T08:00:00",    "2026-03-05T08:00:00.",     "2026-03-05T08:00:00.1234567890",
    "2026-03-05T08:00:00z", "2026-03-05T08:00:00+2:00", "2026-03-05T08:00:00+15:00",
    "2026-02-29T08:00:00",  "2026-13-01T08:00:00",      "2026-00-01T08:00:00",
    "2026-04-31T08:00:00",  "2026-03-05T24:00:00",      "2026-03-05T08:60:00",
    "2026-03-05T08:00:60",  "1969-12-31T23:59:59",      "1970-01-01T00:00:00+00:01",
    "2026-03-05T08:00:00 ", " 2026-03-05T08:00:00",     "2026-03-05T08:00:00Zulu",
};

START_TEST(bad_time)
{
    struct start_bound start;
    struct stop_bound stop;
    char text[64];
    int64_t ns;

    ck_assert_ptr_nonnull(bounds_start(bad_times[_i], &start));
    ck_assert_ptr_nonnull(bounds_time(bad_times[_i], &ns));
    (void)snprintf(text, sizeof(text), "commit_time:%s", bad_times[_i]);
    if (bad_times[_i][0] != ' ')
        ck_assert_ptr_nonnull(bounds_stop(text, &stop));
}
END_TEST

START_TEST(seconds_since_1970)
{
    struct start_bound b;
    int64_t ns = 0;

    ck_assert_ptr_null(bounds_time("1772697600", &ns));
    ck_assert_int_eq(ns, EIGHT_NS);
    ck_assert_ptr_null(bounds_time("1772697600.250000", &ns));
    ck_assert_int_eq(ns, EIGHT_NS + NS_PER_S / 4);
    ck_assert_ptr_null(bounds_time("2026-03-05T08:00:00", &ns));
    ck_assert_int_eq(ns, EIGHT_NS);
    ck_assert_ptr_null(bounds_time("99999999999", &ns));
    ck_assert_int_eq(ns, INT64_MAX);
    ck_assert_ptr_nonnull(bounds_time("123456789012", &ns));
    ck_assert_ptr_nonnull(bounds_time("1772697600.", &ns));
    ck_assert_ptr_nonnull(bounds_time("-1", &ns));
    ck_assert_ptr_nonnull(bounds_time("", &ns));
    /* A number is no position. */
    ck_assert_ptr_nonnull(bounds_start("1772697600", &b));
}
END_TEST

/* ---- places ---- */

START_TEST(words)
{
    struct start_bound b;

    ck_assert_ptr_null(bounds_start("", &b));
    ck_assert_int_eq(b.kind, START_NONE);
    ck_assert_ptr_null(bounds_start("now", &b));
    ck_assert_int_eq(b.kind, START_NOW);
    ck_assert_ptr_null(bounds_start("earliest", &b));
    ck_assert_int_eq(b.kind, START_EARLIEST);
    ck_assert_ptr_nonnull(bounds_start("Now", &b));
    ck_assert_ptr_nonnull(bounds_start("latest", &b));
}
END_TEST

/* An LSN counts: reading begins behind the one before. */
static const struct {
    const char *text;
    const char *before;
} lsns[] = {
    {LSN, "00000014:00000061:0000"},
    {"0x00000014000000610001", "00000014:00000061:0000"},
    {"00000014:00000061:0000", "00000014:00000060:ffff"},
    {"00000014:00000000:0000", "00000013:ffffffff:ffff"},
    {"0000001A:0000000f:00fF", "0000001a:0000000f:00fe"},
    {"checkpoint:V1#27#" LSN "#0#0#*#0#93", "00000014:00000061:0000"},
    {"checkpoint:V1#27#0x00000014000000610001", "00000014:00000061:0000"},
};

START_TEST(start_lsn)
{
    struct position wanted = complete(lsns[_i].before);
    struct start_bound b;

    ck_assert_ptr_null(bounds_start(lsns[_i].text, &b));
    ck_assert_int_eq(b.kind, START_POSITION);
    same(&b.position, &wanted);
}
END_TEST

/* What is printed for copying asks for exactly the same. */
START_TEST(start_text)
{
    struct position wanted = complete(lsns[_i].before);
    struct start_bound b;
    struct start_bound again;
    char text[POSITION_TEXT_SIZE];

    ck_assert_ptr_null(bounds_start(bounds_start_text(&wanted, text), &b));
    same(&b.position, &wanted);
    ck_assert_uint_eq(strlen(text), strlen(LSN));
    ck_assert_ptr_null(bounds_start(RECORD, &b));
    ck_assert_ptr_null(bounds_start(bounds_start_text(&b.position, text), &again));
    same(&again.position, &b.position);
}
END_TEST

START_TEST(start_of_all_lsns)
{
    struct start_bound b;

    ck_assert_ptr_null(bounds_start("00000000:00000000:0000", &b));
    ck_assert(position_is_zero(&b.position));
}
END_TEST

START_TEST(stream_positions)
{
    struct position all = complete(LSN);
    struct position p;
    struct start_bound b;
    char text[POSITION_TEXT_SIZE];

    ck_assert_ptr_null(bounds_start(RECORD, &b));
    ck_assert_int_eq(b.kind, START_POSITION);
    (void)position_text(&b.position, text);
    ck_assert_str_eq(text, RECORD);
    /* Behind everything of an LSN, as `weirctl positions` prints it. */
    (void)position_text(&all, text);
    ck_assert_ptr_null(bounds_start(text, &b));
    same(&b.position, &all);
    /* A loaded row: its load joined the log behind that LSN. */
    position_chunk_behind(&all, 7, &p);
    (void)position_text(&p, text);
    ck_assert_int_eq(position_from_text(text, &b.position), 0);
    same(&b.position, &p);
    ck_assert_ptr_null(bounds_start(text, &b));
    same(&b.position, &all);
}
END_TEST

static const char *const bad_places[] = {
    "00000014:00000061",
    "14:61:1",
    "00000014:00000061:0001 ",
    "00000014:00000061:00011",
    "0000001g:00000061:0001",
    "0x0000001400000061000",
    "0x000000140000006100011",
    "0X00000014000000610001",
    "00000014000000610001",
    RECORD ".",
    RECORD ".1",
    RECORD ".000000000000071",
    LSN ".80000001." LSN,
    LSN ".80000001." LSN ".g",
    LSN "." LSN ".4",
    "checkpoint:V2#27#" LSN,
    "checkpoint:V1#27",
    "checkpoint:V1#27#mysql-bin-changelog.157832:1975:-1:2002:677883278264080#0#0#*#0#93",
    "checkpoint:",
};

START_TEST(bad_place)
{
    struct start_bound start;
    struct stop_bound stop;

    ck_assert_ptr_nonnull(bounds_start(bad_places[_i], &start));
    ck_assert_ptr_nonnull(bounds_stop(bad_places[_i], &stop));
}
END_TEST

/* ---- stops ---- */

START_TEST(stops)
{
    struct position all = complete(LSN);
    struct stop_bound b;
    char text[POSITION_TEXT_SIZE];

    ck_assert_ptr_null(bounds_stop("", &b));
    ck_assert_int_eq(b.kind, STOP_NONE);
    ck_assert_ptr_null(bounds_stop("commit_time:2026-03-05T08:00:00", &b));
    ck_assert_int_eq(b.kind, STOP_COMMIT_TIME);
    ck_assert_int_eq(b.real_ns, EIGHT_NS);
    ck_assert_ptr_null(bounds_stop("server_time: 2026-03-05T08:00:00Z", &b));
    ck_assert_int_eq(b.kind, STOP_SERVER_TIME);
    ck_assert_int_eq(b.real_ns, EIGHT_NS);
    ck_assert_ptr_null(bounds_stop(LSN, &b));
    ck_assert_int_eq(b.kind, STOP_POSITION);
    same(&b.position, &all);
    ck_assert_ptr_null(bounds_stop(RECORD, &b));
    (void)position_text(&b.position, text);
    ck_assert_str_eq(text, RECORD);
    ck_assert_ptr_nonnull(strstr(bounds_stop("2026-03-05T08:00:00", &b), "commit_time:..."));
    ck_assert_ptr_nonnull(bounds_stop("commit_time:", &b));
    ck_assert_ptr_nonnull(bounds_stop("server_time:now", &b));
    ck_assert_ptr_nonnull(bounds_stop("commit_time:1772697600", &b));
    ck_assert_ptr_nonnull(bounds_stop("now", &b));
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("bounds");
    TCase *t = tcase_create("bounds");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, start_times, 0, sizeof(times) / sizeof(times[0]));
    tcase_add_loop_test(t, bad_time, 0, sizeof(bad_times) / sizeof(bad_times[0]));
    tcase_add_test(t, seconds_since_1970);
    tcase_add_test(t, words);
    tcase_add_loop_test(t, start_lsn, 0, sizeof(lsns) / sizeof(lsns[0]));
    tcase_add_loop_test(t, start_text, 0, sizeof(lsns) / sizeof(lsns[0]));
    tcase_add_test(t, start_of_all_lsns);
    tcase_add_test(t, stream_positions);
    tcase_add_loop_test(t, bad_place, 0, sizeof(bad_places) / sizeof(bad_places[0]));
    tcase_add_test(t, stops);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
