/* uses: weirctl capture shipper aws */
/* How numbers, names and records look on a terminal. */
#include "common/clock.h"
#include "deploy/weirctl/tail.h"
#include "deploy/weirctl/text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define N(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const struct {
    uint64_t n;
    const char *text;
} counts[] = {{0, "0"},
              {999, "999"},
              {1000, "1 000"},
              {1234567, "1 234 567"},
              {9999999, "9 999 999"},
              {10000000, "10.0M"},
              {1234567890123, "1234.6G"},
              {UINT64_MAX, "18.4E"}};

START_TEST(test_count)
{
    char buf[TEXT_NUMBER];

    ck_assert_str_eq(text_count(counts[_i].n, buf, sizeof(buf)), counts[_i].text);
}
END_TEST

static const struct {
    double rate;
    const char *text;
} rates[] = {{-1, "-"},       {0, "0"},        {0.5, "0.5"},     {9.94, "9.9"},
             {9.96, "10"},    {950, "950"},    {999.96, "1.0k"}, {12345, "12.3k"},
             {99960, "100k"}, {4.1e6, "4.1M"}, {1.5e9, "1.5G"},  {7e15, "7000T"}};

START_TEST(test_rate)
{
    char buf[TEXT_NUMBER];

    ck_assert_str_eq(text_rate(rates[_i].rate, buf, sizeof(buf)), rates[_i].text);
}
END_TEST

static const struct {
    uint64_t bytes;
    const char *text;
} sizes[] = {{0, "0"},
             {512, "512"},
             {1024, "1Ki"},
             {1536, "1.5Ki"},
             {64ULL << 20, "64Mi"},
             {1000ULL << 10, "1.0Mi"},
             {1ULL << 30, "1Gi"},
             {3ULL << 50, "3072Ti"}};

START_TEST(test_bytes)
{
    char buf[TEXT_NUMBER];

    ck_assert_str_eq(text_bytes(sizes[_i].bytes, buf, sizeof(buf)), sizes[_i].text);
}
END_TEST

static const struct {
    int64_t ns;
    const char *text;
} durations[] = {{-1, "-"},
                 {0, "0"},
                 {1, "1us"},
                 {850000, "850us"},
                 {999900, "1.0ms"},
                 {1200000, "1.2ms"},
                 {40 * NS_PER_MS, "40ms"},
                 {999600000, "1.0s"},
                 {3100 * NS_PER_MS, "3.1s"},
                 {59 * NS_PER_S, "59s"},
                 {302 * NS_PER_S, "5m02s"},
                 {5999 * NS_PER_S, "99m59s"},
                 {11040 * NS_PER_S, "3h04m"},
                 {800000 * NS_PER_S, "9d"},
                 {INT64_MAX, "106751d"}};

START_TEST(test_duration)
{
    char buf[TEXT_NUMBER];

    ck_assert_str_eq(text_duration(durations[_i].ns, buf, sizeof(buf)), durations[_i].text);
}
END_TEST

START_TEST(test_percent)
{
    char buf[TEXT_NUMBER];

    ck_assert_str_eq(text_percent(1, 3, buf, sizeof(buf)), "33");
    ck_assert_str_eq(text_percent(0, 3, buf, sizeof(buf)), "0");
    ck_assert_str_eq(text_percent(1, 0, buf, sizeof(buf)), "-");
    ck_assert_str_eq(text_percent(1e9, 1, buf, sizeof(buf)), "999");
    ck_assert_str_eq(text_percent(-1, 100, buf, sizeof(buf)), "-");
}
END_TEST

START_TEST(test_fit)
{
    char buf[64];

    ck_assert_str_eq(text_fit("abc", 5, 1, buf, sizeof(buf)), "abc  ");
    ck_assert_str_eq(text_fit("abc", 5, 0, buf, sizeof(buf)), "abc");
    ck_assert_str_eq(text_fit("abcdefgh", 5, 1, buf, sizeof(buf)), "~efgh");
    ck_assert_str_eq(text_fit("verk\xC3\xA4ufe", 8, 1, buf, sizeof(buf)), "verk\xC3\xA4ufe");
    ck_assert_str_eq(text_fit("\xC3\xA4\xC3\xB6\xC3\xBC", 2, 1, buf, sizeof(buf)), "~\xC3\xBC");
    ck_assert_str_eq(text_fit("a\033[1mb", 8, 1, buf, sizeof(buf)), "a?[1mb  ");
    ck_assert_str_eq(text_fit("abc", 0, 1, buf, sizeof(buf)), "");
    ck_assert_str_eq(text_cut("abcdefgh", 5, buf, sizeof(buf)), "abcd~");
    ck_assert_str_eq(text_cut("abcde", 5, buf, sizeof(buf)), "abcde");
    ck_assert_str_eq(text_cut("\xC3\xA4\xC3\xB6\xC3\xBC", 2, buf, sizeof(buf)), "\xC3\xA4~");
    ck_assert_str_eq(text_cut("a\nb", 5, buf, sizeof(buf)), "a?b");
}
END_TEST

/* ---- records ---- */

static char *
printed(const void *data, size_t size, struct tail_look look)
{
    const struct kinesis_record r = {.data = data,
                                     .size = size,
                                     .partition_key = "k\"1",
                                     .sequence = "4959",
                                     .arrival_real_ns = 1500000000LL * NS_PER_S};
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    tail_print(out, "shardId-000000000000", &r, &look);
    (void)fclose(out);
    return text;
}

static void
expect(const void *data, size_t size, struct tail_look look, const char *expected)
{
    char *text = printed(data, size, look);

    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(test_records)
{
    const struct tail_look plain = {0};
    const struct tail_look terminal = {.is_terminal = true};
    const struct tail_look metadata = {.has_metadata = true};
    const struct tail_look json = {.as_json = true};

    expect("{\"a\":1}\n", 8, plain, "{\"a\":1}\n");
    expect("{\"a\":1}", 7, plain, "{\"a\":1}\n");
    expect("", 0, plain, "\n");
    expect("{\n\t\"a\":\t1\n}", 11, terminal, "{\n\t\"a\":\t1\n}\n");
    expect("a\033[31mb", 7, terminal, "a\\x1b[31mb\n");
    expect("x\n", 2, metadata, "-- shardId-000000000000 4959 key k\"1\nx\n");
#define HEAD                                                                                       \
    "{\"ShardId\":\"shardId-000000000000\",\"SequenceNumber\":\"4959\",\"PartitionKey\":"          \
    "\"k\\\"1\",\"ApproximateArrivalTimestamp\":\"2017-07-14T02:40:00.000000Z\","
    expect("{\"a\":[1]}\n", 10, json, HEAD "\"Data\":{\"a\":[1]}}\n");
    expect("{\n\t\"a b\":\t1\r\n}", 14, json, HEAD "\"Data\":{\"a b\":1}}\n");
    expect("not json", 8, json, HEAD "\"Data\":\"not json\"}\n");
    expect("a\nb", 3, json, HEAD "\"Data\":\"a\\nb\"}\n");
    expect("\xFF\x00\x01", 3, json, HEAD "\"DataBase64\":\"/wAB\"}\n");
    expect("", 0, json, HEAD "\"Data\":\"\"}\n");
    /* Numbers stay as they lie in the stream. */
    expect("{\"n\":12345678901234567.89,\"m\":1.10}", 35, json,
           HEAD "\"Data\":{\"n\":12345678901234567.89,\"m\":1.10}}\n");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("weirctl text");
    TCase *one = tcase_create("text");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(one, test_count, 0, N(counts));
    tcase_add_loop_test(one, test_rate, 0, N(rates));
    tcase_add_loop_test(one, test_bytes, 0, N(sizes));
    tcase_add_loop_test(one, test_duration, 0, N(durations));
    tcase_add_test(one, test_percent);
    tcase_add_test(one, test_fit);
    tcase_add_test(one, test_records);
    suite_add_tcase(suite, one);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
