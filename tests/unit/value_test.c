#include "common/clock.h"
#include "common/value.h"

#include <check.h>
#include <inttypes.h>
#include <math.h>

static const char *
text_of(const struct value *v, unsigned scale)
{
    static char buf[256];
    size_t n = value_text(v, scale, buf, sizeof(buf) - 1);

    ck_assert_uint_le(n, value_text_bound(v));
    buf[n] = '\0';
    return buf;
}

static void
expect_int(int64_t i)
{
    char want[32];
    struct value v = {.kind = VALUE_INT, .i = i};

    (void)snprintf(want, sizeof(want), "%" PRId64, i);
    ck_assert_str_eq(text_of(&v, 0), want);
}

static void
expect_uint(uint64_t u)
{
    char want[32];
    struct value v = {.kind = VALUE_UINT, .u = u};

    (void)snprintf(want, sizeof(want), "%" PRIu64, u);
    ck_assert_str_eq(text_of(&v, 0), want);
}

START_TEST(integers_of_every_length)
{
    uint64_t power = 1;

    for (int i = 0; i < 20; i++) {
        for (uint64_t d = 0; d < 3; d++) {
            uint64_t u = power - 1 + d;

            expect_uint(u);
            expect_int((int64_t)u);
            expect_int((int64_t)(0 - u));
        }
        power *= 10;
    }
    for (int bit = 0; bit < 64; bit++) {
        expect_uint(1ULL << bit);
        expect_uint((1ULL << bit) - 1);
    }
    expect_int(INT64_MIN);
    expect_int(INT64_MAX);
    expect_uint(UINT64_MAX);
}
END_TEST

static void
expect_f64(double d, const char *want)
{
    struct value v = {.kind = VALUE_FLOAT64, .f64 = d};

    ck_assert_str_eq(text_of(&v, 0), want);
}

static void
expect_f32(float f, const char *want)
{
    struct value v = {.kind = VALUE_FLOAT32, .f32 = f};

    ck_assert_str_eq(text_of(&v, 0), want);
}

START_TEST(floats_known_texts)
{
    expect_f64(0, "0");
    expect_f64(-0.0, "-0");
    expect_f64(1, "1");
    expect_f64(-1.5, "-1.5");
    expect_f64(0.1, "0.1");
    expect_f64(129.40, "129.4");
    expect_f64(0.1 + 0.2, "0.30000000000000004");
    expect_f64(1e15, "1000000000000000");
    expect_f64(123456789012345680.0, "123456789012345680");
    expect_f64(1e21, "1e+21");
    expect_f64(1.5e300, "1.5e+300");
    expect_f64(1e-5, "0.00001");
    expect_f64(1e-6, "0.000001");
    expect_f64(1e-7, "1e-7");
    expect_f64(1.7976931348623157e308, "1.7976931348623157e+308");
    expect_f64(5e-324, "5e-324");
    expect_f64(-2.2250738585072014e-308, "-2.2250738585072014e-308");
    expect_f64(2.2250738585072009e-308, "2.225073858507201e-308");
    expect_f64(9007199254740993.0, "9007199254740992");
    /* A power of two: the nearest text of 16 digits, not the lower one, although both read back. */
    expect_f64(0x1p-44, "5.684341886080802e-14");
    expect_f64(NAN, "NaN");
    expect_f64(-INFINITY, "-Infinity");
    expect_f32(0.1F, "0.1");
    expect_f32(16777216.0F, "16777216");
    expect_f32(3.4028235e38F, "3.4028235e+38");
    expect_f32(1e-45F, "1e-45");
    expect_f32(1.17549435e-38F, "1.1754944e-38");
    expect_f32(-0.0F, "-0");
    expect_f32(0.3333333433F, "0.33333334");
    expect_f32(8388608.5F, "8388608");
    expect_f32(4194304.5F, "4194304.5");
}
END_TEST

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Significant digits of a number's text. */
static int
significant(const char *text)
{
    int n = 0;
    int zeros = 0;

    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (*text == '0' && n == 0))
            continue;
        n++;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

/* Bits come back, and no text one digit shorter brings them back. */
static void
check_f64(double d)
{
    struct value v = {.kind = VALUE_FLOAT64, .f64 = d};
    const char *text = text_of(&v, 0);
    double back = strtod(text, NULL);
    char shorter[64];
    int n = significant(text);

    ck_assert_msg(memcmp(&back, &d, sizeof(d)) == 0, "%a became %s", d, text);
    if (n > 1) {
        (void)snprintf(shorter, sizeof(shorter), "%.*e", n - 2, d);
        ck_assert_msg(strtod(shorter, NULL) != d, "%s: %s is shorter", text, shorter);
    }
}

static void
check_f32(float f)
{
    struct value v = {.kind = VALUE_FLOAT32, .f32 = f};
    const char *text = text_of(&v, 0);
    float back = strtof(text, NULL);
    char shorter[64];
    int n = significant(text);

    ck_assert_msg(memcmp(&back, &f, sizeof(f)) == 0, "%a became %s", (double)f, text);
    if (n > 1) {
        (void)snprintf(shorter, sizeof(shorter), "%.*e", n - 2, (double)f);
        ck_assert_msg(strtof(shorter, NULL) != f, "%s: %s is shorter", text, shorter);
    }
}

START_TEST(floats_read_back_and_are_short)
{
    uint64_t state = 88172645463325252ULL;

    for (int i = 0; i < 200000; i++) {
        uint64_t bits = next_random(&state);
        uint32_t bits32 = (uint32_t)(bits >> 16);
        double d;
        float f;

        memcpy(&d, &bits, sizeof(d));
        if (isfinite(d))
            check_f64(d);
        memcpy(&f, &bits32, sizeof(f));
        if (isfinite(f))
            check_f32(f);
        check_f64((double)(int64_t)(bits % 2000000000000ULL) / 100);
        check_f64((double)(int64_t)(bits >> 20) / 1e6);
    }
    for (int exponent = -1074; exponent < 1024; exponent++)
        check_f64(ldexp(1, exponent));
    for (int exponent = -149; exponent < 128; exponent++)
        check_f32(ldexpf(1, exponent));
}
END_TEST

START_TEST(dates)
{
    struct value v = {.kind = VALUE_DATE};
    const struct {
        int32_t days;
        const char *want;
    } cases[] = {
        {0, "1970-01-01"},
        {-1, "1969-12-31"},
        {-719162, "0001-01-01"},
        {2932896, "9999-12-31"},
        {11016, "2000-02-29"},
        {-719528, "0000-01-01"},
        {-719529, "-0001-12-31"},
        {2932897, "+10000-01-01"},
        {INT32_MAX, "+5881580-07-11"},
        {INT32_MIN, "-5877641-06-23"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        v.days = cases[i].days;
        ck_assert_str_eq(text_of(&v, 0), cases[i].want);
    }
}
END_TEST

/* The quick way against the plain one, on every day there is; under a sanitizer, which takes ten
   times as long, on every day of one weekday. */
#ifdef __SANITIZE_ADDRESS__
#define DAYS_STEP 7
#else
#define DAYS_STEP 1
#endif

START_TEST(every_day_of_ten_thousand_years)
{
    for (int32_t days = -719528 - 400; days <= 2932896 + 400; days += DAYS_STEP) {
        struct value v = {.kind = VALUE_DATE, .days = days};
        const char *text = text_of(&v, 0);
        int year;
        unsigned month;
        unsigned day;
        unsigned long got;
        char *end;

        clock_civil_from_days(days, &year, &month, &day);
        if (year < 0 || year > 9999)
            continue;
        got = strtoul(text, &end, 10);
        ck_assert_uint_eq(got, (unsigned)year);
        got = strtoul(end + 1, &end, 10);
        ck_assert_uint_eq(got, month);
        got = strtoul(end + 1, &end, 10);
        ck_assert_uint_eq(got, day);
        ck_assert_int_eq(end - text, 10);
    }
}
END_TEST

START_TEST(times_at_every_scale)
{
    static const char whole[] = "23:59:59.123456789";
    struct value v = {.kind = VALUE_TIME, .time_ns = 86399123456789};

    for (unsigned scale = 0; scale <= 9; scale++) {
        char want[32];

        (void)snprintf(want, sizeof(want), "%.*s", scale == 0 ? 8 : (int)(9 + scale), whole);
        ck_assert_str_eq(text_of(&v, scale), want);
    }
    v.time_ns = 0;
    ck_assert_str_eq(text_of(&v, 7), "00:00:00.0000000");
}
END_TEST

START_TEST(datetimes)
{
    struct value v = {.kind = VALUE_DATETIME, .datetime = {.seconds = -1, .nanos = 997000000}};

    ck_assert_str_eq(text_of(&v, 3), "1969-12-31T23:59:59.997");
    v.datetime.seconds = 253402300799;
    v.datetime.nanos = 999999900;
    ck_assert_str_eq(text_of(&v, 7), "9999-12-31T23:59:59.9999999");
    v.datetime.seconds = -62135596800;
    v.datetime.nanos = 0;
    ck_assert_str_eq(text_of(&v, 0), "0001-01-01T00:00:00");
    v.datetime.seconds = INT32_MAX * 86400LL;
    ck_assert_str_eq(text_of(&v, 9), "+5881580-07-11T00:00:00.000000000");
    v.kind = VALUE_DATETIMEOFFSET;
    v.datetime.seconds = 1772700847;
    v.datetime.nanos = 123456700;
    v.datetime.offset_min = 330;
    ck_assert_str_eq(text_of(&v, 7), "2026-03-05 14:24:07.1234567 +05:30");
    v.datetime.offset_min = -840;
    ck_assert_str_eq(text_of(&v, 0), "2026-03-04 18:54:07 -14:00");
    v.datetime.offset_min = 0;
    ck_assert_str_eq(text_of(&v, 0), "2026-03-05 08:54:07 +00:00");
}
END_TEST

START_TEST(bytes_texts_and_the_rest)
{
    struct value v = {.kind = VALUE_BYTES, .bytes = {.data = "\x00\x7f\x80\xff", .size = 4}};
    char buf[8];

    ck_assert_str_eq(text_of(&v, 0), "007f80ff");
    v.kind = VALUE_TEXT;
    v.bytes.data = "Grüße";
    v.bytes.size = 7;
    ck_assert_str_eq(text_of(&v, 0), "Grüße");
    v.kind = VALUE_DECIMAL;
    v.bytes.data = "-0.0000000001";
    v.bytes.size = 13;
    ck_assert_str_eq(text_of(&v, 0), "-0.0000000001");
    ck_assert_uint_eq(value_text(&v, 0, buf, 3), 13);
    v = (struct value){.kind = VALUE_UUID,
                       .uuid = {0x6f, 0x96, 0x19, 0xff, 0x8b, 0x86, 0xd0, 0x11, 0xb4, 0x2d, 0x00,
                                0xc0, 0x4f, 0xc9, 0x64, 0xff}};
    ck_assert_str_eq(text_of(&v, 0), "6F9619FF-8B86-D011-B42D-00C04FC964FF");
    v = (struct value){.kind = VALUE_BOOL, .boolean = true};
    ck_assert_str_eq(text_of(&v, 0), "true");
    v.boolean = false;
    ck_assert_str_eq(text_of(&v, 0), "false");
    v.kind = VALUE_NULL;
    ck_assert_str_eq(text_of(&v, 0), "");
    v.kind = VALUE_UNAVAILABLE;
    ck_assert_str_eq(text_of(&v, 0), "");
    ck_assert_str_eq(text_of(&v, 38), "");
    v = (struct value){.kind = VALUE_CUT_BYTES,
                       .bytes = {.data = "\x00\xfe", .size = 2, .whole = 9}};
    ck_assert_str_eq(text_of(&v, 0), "00fe");
}
END_TEST

/* Never a byte beyond what was offered, and the true length all the same. */
START_TEST(short_buffers)
{
    const struct value values[] = {
        {.kind = VALUE_INT, .i = INT64_MIN},
        {.kind = VALUE_UUID},
        {.kind = VALUE_DATETIMEOFFSET},
        {.kind = VALUE_BYTES, .bytes = {.data = "abcdef", .size = 6}},
        {.kind = VALUE_TEXT, .bytes = {.data = "abcdef", .size = 6}},
        {.kind = VALUE_CUT_TEXT, .bytes = {.data = "abcdef", .size = 6, .whole = 7}},
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char whole[64];
        size_t n = value_text(&values[i], 9, whole, sizeof(whole));

        for (size_t size = 0; size <= n; size++) {
            char buf[80];

            memset(buf, '#', sizeof(buf));
            ck_assert_uint_eq(value_text(&values[i], 9, buf, size), n);
            for (size_t k = size; k < sizeof(buf); k++)
                ck_assert_int_eq(buf[k], '#');
            if (values[i].kind != VALUE_BYTES || size % 2 == 0)
                ck_assert_mem_eq(buf, whole, size);
        }
    }
    ck_assert_uint_eq(value_text(&values[0], 0, NULL, 0), 20);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("value");
    TCase *t = tcase_create("text");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, integers_of_every_length);
    tcase_add_test(t, floats_known_texts);
    tcase_add_test(t, floats_read_back_and_are_short);
    tcase_add_test(t, dates);
    tcase_add_test(t, every_day_of_ten_thousand_years);
    tcase_add_test(t, times_at_every_scale);
    tcase_add_test(t, datetimes);
    tcase_add_test(t, bytes_texts_and_the_rest);
    tcase_add_test(t, short_buffers);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
