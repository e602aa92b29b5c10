/* uses: kinesisd */
/* bucket: rate, burst and debt, with the clock in the test's hand. */
#include "tests/kinesisd/bucket.h"

#include "common/clock.h"

#include <check.h>

#define T0 (1000 * NS_PER_S)

static int64_t
drain(struct bucket *b, int64_t now_ns)
{
    int64_t n = 0;

    while (bucket_admits(b, 1, now_ns)) {
        bucket_take(b, 1);
        n++;
    }
    return n;
}

START_TEST(burst_is_one_second)
{
    struct bucket b;

    bucket_init(&b, 1000, T0);
    ck_assert_int_eq(drain(&b, T0), 1000);
    /* An hour of silence fills it no further. */
    ck_assert_int_eq(drain(&b, T0 + 3600 * NS_PER_S), 1000);
}
END_TEST

START_TEST(refills_evenly)
{
    struct bucket b;
    int64_t total = 0;

    bucket_init(&b, 1000, T0);
    (void)drain(&b, T0);
    ck_assert_int_eq(drain(&b, T0 + NS_PER_MS - 1), 0);
    ck_assert_int_eq(drain(&b, T0 + NS_PER_MS), 1);
    for (int64_t ms = 2; ms <= 5000; ms++)
        total += drain(&b, T0 + ms * NS_PER_MS);
    ck_assert_int_eq(total, 4999);
}
END_TEST

/* Looking often must not lose the fractions of a token. */
START_TEST(fractions_add_up)
{
    struct bucket b;
    int64_t total = 0;

    bucket_init(&b, 3, T0);
    (void)drain(&b, T0);
    for (int64_t i = 1; i <= 1000000; i++)
        total += drain(&b, T0 + i * 1000);
    ck_assert_int_eq(total, 3);
}
END_TEST

START_TEST(large_amount_leaves_a_debt)
{
    struct bucket b;
    int64_t mib = 1024 * 1024;

    bucket_init(&b, mib, T0);
    ck_assert(bucket_admits(&b, 10 * mib, T0));
    bucket_take(&b, 10 * mib);
    ck_assert(!bucket_admits(&b, 1, T0 + 9 * NS_PER_S));
    ck_assert(bucket_admits(&b, 1, T0 + 9 * NS_PER_S + NS_PER_MS));
    /* Another large one needs the bucket full again. */
    ck_assert(!bucket_admits(&b, 10 * mib, T0 + 10 * NS_PER_S - NS_PER_MS));
    ck_assert(bucket_admits(&b, 10 * mib, T0 + 10 * NS_PER_S));
}
END_TEST

START_TEST(large_amount_needs_a_full_bucket)
{
    struct bucket b;

    bucket_init(&b, 100, T0);
    bucket_take(&b, 1);
    ck_assert(!bucket_admits(&b, 101, T0));
    ck_assert(bucket_admits(&b, 99, T0));
}
END_TEST

START_TEST(clock_that_stands_or_falls)
{
    struct bucket b;

    bucket_init(&b, 10, T0);
    ck_assert_int_eq(drain(&b, T0), 10);
    ck_assert_int_eq(drain(&b, T0), 0);
    ck_assert_int_eq(drain(&b, T0 - NS_PER_S), 0);
    ck_assert_int_eq(drain(&b, T0 + NS_PER_S), 10);
}
END_TEST

START_TEST(rate_can_change)
{
    struct bucket b;

    bucket_init(&b, 1000, T0);
    bucket_set_rate(&b, 10);
    ck_assert_int_eq(drain(&b, T0), 10);
    bucket_set_rate(&b, 1000);
    ck_assert_int_eq(drain(&b, T0 + 100 * NS_PER_MS), 100);
}
END_TEST

START_TEST(extreme_rates)
{
    struct bucket b;

    bucket_init(&b, INT64_MAX, T0);
    ck_assert_int_eq(b.rate, BUCKET_RATE_MAX);
    ck_assert(bucket_admits(&b, INT64_C(1) << 30, T0));
    bucket_take(&b, INT64_C(1) << 30);
    ck_assert(bucket_admits(&b, 1, INT64_MAX));
    bucket_init(&b, 0, T0);
    ck_assert_int_eq(b.rate, 1);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("kinesisd bucket");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(all, burst_is_one_second);
    tcase_add_test(all, refills_evenly);
    tcase_add_test(all, fractions_add_up);
    tcase_add_test(all, large_amount_leaves_a_debt);
    tcase_add_test(all, large_amount_needs_a_full_bucket);
    tcase_add_test(all, clock_that_stands_or_falls);
    tcase_add_test(all, rate_can_change);
    tcase_add_test(all, extreme_rates);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
