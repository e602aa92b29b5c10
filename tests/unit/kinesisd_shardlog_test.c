/* uses: kinesisd */
/* shardlog: what goes in comes out, in order, and old records go out of sight exactly. */
#include "tests/kinesisd/shardlog.h"

#include <check.h>

static char data[700 * 1024];

/* Record i has a size and a content that follow from i. */
static uint32_t
size_of(uint64_t i)
{
    return i % 97 == 0 ? (uint32_t)sizeof(data) - (uint32_t)i : (uint32_t)(i * 37 % 3000);
}

static void
append(struct shardlog *log, uint64_t i)
{
    char key[32];
    int n = snprintf(key, sizeof(key), "key-%llu", (unsigned long long)i);

    (void)memset(data, (int)(i % 251), size_of(i));
    ck_assert_uint_eq(
        shardlog_append(log, (int64_t)(1000 + i / 10), key, (uint32_t)n, data, size_of(i)), i);
}

static void
is_record(const struct shardlog_record *r, uint64_t i)
{
    char key[32];
    int n = snprintf(key, sizeof(key), "key-%llu", (unsigned long long)i);

    ck_assert_uint_eq(r->index, i);
    ck_assert_int_eq(r->arrival_ms, (int64_t)(1000 + i / 10));
    ck_assert_uint_eq(r->key_len, (uint32_t)n);
    ck_assert_int_eq(memcmp(r->key, key, (size_t)n), 0);
    ck_assert_uint_eq(r->data_len, size_of(i));
    for (uint32_t k = 0; k < r->data_len; k += 511)
        ck_assert_int_eq((unsigned char)r->data[k], (int)(i % 251));
}

START_TEST(reads_back_from_anywhere)
{
    struct shardlog log;

    shardlog_init(&log, 1000000);
    for (uint64_t i = 0; i < 1000; i++)
        append(&log, i);
    for (uint64_t from = 0; from <= 1001; from += 7) {
        struct shardlog_cursor at;
        struct shardlog_record r;
        uint64_t i = from;

        shardlog_seek(&log, from, &at);
        while (shardlog_read(&log, &at, &r))
            is_record(&r, i++);
        ck_assert_uint_eq(i, from > 1000 ? from : 1000);
    }
    shardlog_free(&log);
}
END_TEST

START_TEST(keeps_exactly_the_newest)
{
    struct shardlog log;

    shardlog_init(&log, 50);
    for (uint64_t i = 0; i < 2000; i++) {
        struct shardlog_cursor at;
        struct shardlog_record r;

        append(&log, i);
        ck_assert_uint_eq(log.next - log.first, i < 50 ? i + 1 : 50);
        shardlog_seek(&log, 0, &at);
        ck_assert(shardlog_read(&log, &at, &r));
        is_record(&r, log.first);
        /* Memory follows what is visible: fifty records and the chunks they begin and end in. */
        ck_assert_uint_le(log.chunk_count, 5);
    }
    shardlog_free(&log);
}
END_TEST

START_TEST(finds_times)
{
    struct shardlog log;

    shardlog_init(&log, 500);
    ck_assert_uint_eq(shardlog_find_time(&log, 0), 0);
    for (uint64_t i = 0; i < 1000; i++)
        append(&log, i);
    ck_assert_uint_eq(shardlog_find_time(&log, 0), 500);
    ck_assert_uint_eq(shardlog_find_time(&log, 1060), 600);
    ck_assert_uint_eq(shardlog_find_time(&log, 1099), 990);
    ck_assert_uint_eq(shardlog_find_time(&log, 1100), 1000);
    shardlog_free(&log);
}
END_TEST

START_TEST(empty_log)
{
    struct shardlog log;
    struct shardlog_cursor at;
    struct shardlog_record r;

    shardlog_init(&log, 1);
    shardlog_seek(&log, 5, &at);
    ck_assert(!shardlog_read(&log, &at, &r));
    ck_assert_uint_eq(at.index, 0);
    shardlog_free(&log);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("kinesisd shardlog");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(all, 30);
    tcase_add_test(all, reads_back_from_anywhere);
    tcase_add_test(all, keeps_exactly_the_newest);
    tcase_add_test(all, finds_times);
    tcase_add_test(all, empty_log);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
