/* Errors, clock, log text, positions: the small things everything else stands on. */
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/position.h"

#include <check.h>
#include <errno.h>
#include <time.h>

START_TEST(err_text_context_hint)
{
    struct err e = ERR_INIT;
    char buf[4096];

    ck_assert_int_eq(err_sys(&e, ERR_IO, ENOENT, "open %s", "/x"), -1);
    err_context(&e, "attach ring %s", "change.0");
    err_hint(&e, "start capture first");
    ck_assert_str_eq(e.text, "attach ring change.0: open /x: No such file or directory");
    err_format(&e, buf, sizeof(buf));
    ck_assert_ptr_nonnull(strstr(buf, "[io, basics_test.c:"));
    ck_assert_ptr_nonnull(strstr(buf, "; start capture first"));
    ck_assert_int_eq(err_exit_status(&e), 75);
    err_set(&e, ERR_GAP, "gone");
    ck_assert_int_eq(err_exit_status(&e), 78);
    ck_assert_str_eq(e.hint, "");
    ck_assert_str_eq(err_name(ERR_GAP), "history-gap");
    ck_assert_int_eq(err_set(NULL, ERR_GAP, "nobody listens"), -1);
}
END_TEST

START_TEST(err_text_never_overflows)
{
    struct err e = ERR_INIT;
    char long_text[3000];

    memset(long_text, 'a', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    err_sys(&e, ERR_IO, ENOSPC, "%s", long_text);
    ck_assert_uint_eq(strlen(e.text), ERR_TEXT_MAX - 1);
    err_context(&e, "%s", long_text);
    ck_assert_uint_eq(strlen(e.text), ERR_TEXT_MAX - 1);
    err_hint(&e, "%s", long_text);
    ck_assert_uint_eq(strlen(e.hint), ERR_HINT_MAX - 1);
}
END_TEST

START_TEST(log_quote_escapes)
{
    char buf[32];

    ck_assert_str_eq(log_quote("a \"b\"\n\\", buf, sizeof(buf)), "\"a \\\"b\\\"\\x0a\\\\\"");
    ck_assert_uint_lt(strlen(log_quote("0123456789012345678901234567890123456789", buf, 16)), 16);
}
END_TEST

START_TEST(clock_iso_against_gmtime)
{
    static const int64_t samples[] = {
        0,          1,     -1,     951782399, 951782400,    -2208988800, 4102444799,
        1709164800, 86399, -86400, 68169600,  -62135596800, 253402300799};

    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        time_t t = (time_t)samples[i];
        struct tm tm;
        char want[64];
        char got[CLOCK_ISO_SIZE];

        gmtime_r(&t, &tm);
        (void)snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        /* Nanoseconds of these times would not fit for the years 1 and 9999. */
        if (samples[i] > INT64_MAX / NS_PER_S || samples[i] < INT64_MIN / NS_PER_S)
            continue;
        clock_iso(samples[i] * NS_PER_S, got);
        ck_assert_int_eq(strncmp(got, want, 19), 0);
    }
    for (int64_t day = -719162; day < 2932897; day += 97) {
        int year;
        unsigned month;
        unsigned mday;

        clock_civil_from_days(day, &year, &month, &mday);
        ck_assert_int_eq(clock_days_from_civil(year, month, mday), day);
    }
}
END_TEST

START_TEST(clock_iso_of_fractions)
{
    char got[CLOCK_ISO_SIZE];

    ck_assert_str_eq(clock_iso(1234567, got), "1970-01-01T00:00:00.001234Z");
    ck_assert_str_eq(clock_iso(-1, got), "1969-12-31T23:59:59.999999Z");
    ck_assert_str_eq(clock_iso(1709251199999999999, got), "2024-02-29T23:59:59.999999Z");
}
END_TEST

static struct position
log_position(uint8_t lsn_last, int32_t command, uint8_t seq_last, uint8_t op)
{
    struct position_sqlserver s = {.command_id = command, .operation = op};
    struct position p;

    s.start_lsn[9] = lsn_last;
    s.seqval[9] = seq_last;
    position_from_sqlserver(&s, &p);
    return p;
}

START_TEST(position_order)
{
    uint8_t lsn[LSN_SIZE] = {[9] = 5};
    struct position in_order[] = {
        log_position(5, -1, 9, 4), log_position(5, 0, 1, 1), log_position(5, 1, 1, 1),
        log_position(5, 1, 1, 2),  log_position(5, 1, 2, 1), log_position(5, 2147483647, 0, 1),
    };
    struct position complete;
    struct position chunk1;
    struct position chunk300;
    struct position next = log_position(6, -1, 0, 1);

    for (size_t i = 1; i < sizeof(in_order) / sizeof(in_order[0]); i++)
        ck_assert_int_lt(position_compare(&in_order[i - 1], &in_order[i]), 0);
    position_lsn_complete(lsn, &complete);
    position_load_chunk(lsn, 1, &chunk1);
    position_load_chunk(lsn, 300, &chunk300);
    ck_assert_int_lt(position_compare(&in_order[5], &complete), 0);
    ck_assert_int_lt(position_compare(&complete, &chunk1), 0);
    ck_assert_int_lt(position_compare(&chunk1, &chunk300), 0);
    ck_assert_int_lt(position_compare(&chunk300, &next), 0);
    ck_assert(position_is_load(&chunk1));
    ck_assert(!position_is_load(&complete));
    ck_assert(!position_is_zero(&complete));
}
END_TEST

START_TEST(position_round_trips)
{
    struct position_sqlserver s = {.command_id = -7, .operation = 4, .chunk = 0xabcdef};
    struct position_sqlserver back;
    struct position p;
    struct position q;
    char hex[POSITION_HEX_SIZE];
    uint64_t words[4];

    for (unsigned i = 0; i < LSN_SIZE; i++) {
        s.start_lsn[i] = (uint8_t)(17 * i);
        s.seqval[i] = (uint8_t)(255 - i);
    }
    position_from_sqlserver(&s, &p);
    position_to_sqlserver(&p, &back);
    ck_assert_int_eq(memcmp(s.start_lsn, back.start_lsn, LSN_SIZE), 0);
    ck_assert_int_eq(memcmp(s.seqval, back.seqval, LSN_SIZE), 0);
    ck_assert_int_eq(back.command_id, -7);
    ck_assert_int_eq(back.operation, 4);
    ck_assert_uint_eq(back.chunk, 0xabcdef);
    position_hex(&p, hex);
    ck_assert_int_eq(position_parse(hex, &q), 0);
    ck_assert_int_eq(position_compare(&p, &q), 0);
    hex[10] = 'g';
    ck_assert_int_eq(position_parse(hex, &q), -1);
    ck_assert_int_eq(position_parse("12", &q), -1);
    position_to_words(&p, words);
    position_from_words(words, &q);
    ck_assert_int_eq(position_compare(&p, &q), 0);
}
END_TEST

START_TEST(position_texts)
{
    uint8_t lsn[LSN_SIZE] = {0, 0, 0, 0x25, 0, 0, 0x0d, 0x08, 0, 0x25};
    struct position p = log_position(5, 1, 2, 4);
    char text[POSITION_TEXT_SIZE];

    ck_assert_uint_eq(position_text(&p, text), strlen(text));
    ck_assert_str_eq(text, "00000000:00000000:0005.80000001.00000000:00000000:0002.4");
    position_load_chunk(lsn, 2, &p);
    (void)position_text(&p, text);
    ck_assert_str_eq(text,
                     "00000025:00000d08:0025.ffffffff.ffffffff:ffffffff:ffff.f.00000000000002");
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("basics");
    TCase *t = tcase_create("basics");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, err_text_context_hint);
    tcase_add_test(t, err_text_never_overflows);
    tcase_add_test(t, log_quote_escapes);
    tcase_add_test(t, clock_iso_against_gmtime);
    tcase_add_test(t, clock_iso_of_fractions);
    tcase_add_test(t, position_order);
    tcase_add_test(t, position_round_trips);
    tcase_add_test(t, position_texts);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
