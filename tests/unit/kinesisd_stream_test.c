/* uses: kinesisd */
/* hashkey and stream: AWS's bounds, known MD5 routes, resharding that keeps order. */
#include "tests/kinesisd/stream.h"

#include "tests/kinesisd/digest.h"

#include <check.h>

#define NOW_MS INT64_C(1763827200000)

static const struct stream_limits limits = {
    .shard_records_per_s = 1000, .shard_bytes_per_s = 1 << 20, .keep = 100};

static struct stream *
make(uint32_t shards)
{
    return stream_new("s", "arn", shards, &limits, NOW_MS, NOW_MS);
}

static void
is_number(uint128 v, const char *want)
{
    char text[HASHKEY_TEXT_SIZE];

    (void)hashkey_format(v, text);
    ck_assert_str_eq(text, want);
}

START_TEST(bounds)
{
    is_number(hashkey_bound(1, 4), "85070591730234615865843651857942052864");
    is_number(hashkey_bound(2, 3), "226854911280625642308916404954512140970");
    is_number(hashkey_bound(6, 7), "291670600217947254397178234941515609819");
    is_number(hashkey_bound(5, 6), "283568639100782052886145506193140176213");
    for (uint32_t k = 0; k < 5000; k++)
        ck_assert(hashkey_bound(k, 5000) == hashkey_bound(2 * k, 10000));
    is_number(hashkey_bound(0, 1), "0");
    is_number(HASHKEY_MAX, "340282366920938463463374607431768211455");
}
END_TEST

START_TEST(parse_numbers)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "00",
                                      "01",
                                      "1.0",
                                      " 1",
                                      "1 ",
                                      "340282366920938463463374607431768211456",
                                      "999999999999999999999999999999999999999",
                                      "1000000000000000000000000000000000000000"};
    uint128 v;

    ck_assert_int_eq(hashkey_parse("0", 1, &v), 0);
    is_number(v, "0");
    ck_assert_int_eq(hashkey_parse("340282366920938463463374607431768211455", 39, &v), 0);
    ck_assert(v == HASHKEY_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(hashkey_parse(bad[i], strlen(bad[i]), &v) != 0, "%s", bad[i]);
}
END_TEST

/* MD5 values of RFC 1321, and one key that is not ASCII. */
START_TEST(known_routes)
{
    static const struct {
        const char *key;
        const char *hash;
        uint32_t shard; /* of four */
    } cases[] = {
        {"a", "16955237001963240173058271559858726497", 0},
        {"abc", "191415658344158766168031473277922803570", 2},
        {"message digest", "331535486309434048055371704012530344400", 3},
        {"k\xc3\xa4", "31710822080282702426614672036660755410", 0},
    };
    struct digest *d = digest_open();
    struct stream *s = make(4);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint128 hash = hashkey_of(d, cases[i].key, strlen(cases[i].key));

        is_number(hash, cases[i].hash);
        ck_assert_uint_eq(stream_route(s, hash)->number, cases[i].shard);
    }
    stream_free(&s);
    digest_close(&d);
}
END_TEST

/* The first and last hash of each range belong to it. */
START_TEST(range_ends_are_inclusive)
{
    for (uint32_t n = 1; n < 40; n++) {
        struct stream *s = make(n);

        for (uint32_t k = 0; k < n; k++) {
            ck_assert_ptr_eq(stream_route(s, s->shards[k]->start), s->shards[k]);
            ck_assert_ptr_eq(stream_route(s, s->shards[k]->end), s->shards[k]);
        }
        stream_free(&s);
    }
}
END_TEST

START_TEST(split_and_merge)
{
    struct stream *s = make(2);
    struct shard *left;
    struct shard *right;

    s->change_shard = 0;
    s->change_hash = 1000;
    stream_begin(s, CHANGE_SPLIT, NOW_MS + 10);
    ck_assert_int_eq(s->status, STREAM_UPDATING);
    ck_assert(stream_advance(s, NOW_MS + 9));
    ck_assert_uint_eq(stream_route(s, 5)->number, 0);
    ck_assert(stream_advance(s, NOW_MS + 10));
    ck_assert_int_eq(s->status, STREAM_ACTIVE);
    ck_assert_uint_eq(s->shard_count, 4);
    ck_assert_uint_eq(s->open_count, 3);
    left = stream_route(s, 999);
    right = stream_route(s, 1000);
    ck_assert(left->number == 2 && right->number == 3);
    ck_assert(left->parent == 0 && right->parent == 0 && left->adjacent == STREAM_NONE);
    ck_assert(s->shards[0]->is_closed && s->shards[0]->child == 2 && s->shards[0]->child2 == 3);

    s->change_shard = 2;
    s->change_adjacent = 3;
    stream_begin(s, CHANGE_MERGE, NOW_MS + 20);
    ck_assert(stream_advance(s, NOW_MS + 20));
    ck_assert_uint_eq(s->open_count, 2);
    ck_assert_uint_eq(stream_route(s, 0)->number, 4);
    ck_assert(s->shards[4]->parent == 2 && s->shards[4]->adjacent == 3);
    stream_free(&s);
}
END_TEST

/* However fast shards follow each other, a child's first number is above its parents' last. */
START_TEST(numbers_rise_over_generations)
{
    struct stream *s = make(1);

    for (int generation = 0; generation < 20; generation++) {
        s->change_count = s->open_count == 1 ? 2 : 1;
        stream_begin(s, CHANGE_RESIZE, NOW_MS);
        ck_assert(stream_advance(s, NOW_MS));
    }
    for (uint32_t i = 0; i < s->shard_count; i++) {
        const struct shard *sh = s->shards[i];
        char parent_end[SEQUENCE_TEXT_SIZE];
        char start[SEQUENCE_TEXT_SIZE];

        if (sh->parent == STREAM_NONE)
            continue;
        (void)stream_sequence_start(sh, start);
        (void)stream_sequence_end(s->shards[sh->parent], parent_end);
        ck_assert_int_lt(sequence_compare(parent_end, start), 0);
    }
    stream_free(&s);
}
END_TEST

/* Any count to any count: equal shards at AWS's bounds, the rest closed. */
START_TEST(resize_is_uniform)
{
    for (uint32_t from = 1; from <= 9; from++) {
        for (uint32_t to = 1; to <= 9; to++) {
            struct stream *s = make(from);

            s->change_count = to;
            stream_begin(s, CHANGE_RESIZE, NOW_MS);
            ck_assert(stream_advance(s, NOW_MS));
            ck_assert_uint_eq(s->open_count, to);
            for (uint32_t k = 0; k < to; k++)
                ck_assert(s->open[k]->start == hashkey_bound(k, to));
            stream_free(&s);
        }
    }
}
END_TEST

START_TEST(shard_names)
{
    struct stream *s = make(3);

    ck_assert_str_eq(s->shards[2]->id, "shardId-000000000002");
    ck_assert_ptr_eq(stream_find_shard(s, "shardId-000000000002"), s->shards[2]);
    ck_assert_ptr_eq(stream_find_shard(s, "2"), s->shards[2]);
    ck_assert_ptr_null(stream_find_shard(s, "shardId-000000000003"));
    ck_assert_ptr_null(stream_find_shard(s, "shardId-"));
    ck_assert_ptr_null(stream_find_shard(s, "shardId-00000000000x"));
    ck_assert_ptr_null(stream_find_shard(s, "shardId-4294967296"));
    ck_assert_ptr_null(stream_find_shard(s, ""));
    stream_free(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("kinesisd stream");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(all, bounds);
    tcase_add_test(all, parse_numbers);
    tcase_add_test(all, known_routes);
    tcase_add_test(all, range_ends_are_inclusive);
    tcase_add_test(all, split_and_merge);
    tcase_add_test(all, numbers_rise_over_generations);
    tcase_add_test(all, resize_is_uniform);
    tcase_add_test(all, shard_names);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
