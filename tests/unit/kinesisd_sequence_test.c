/* uses: kinesisd */
/* sequence: layout, order, and refusal of numbers that are none. */
#include "tests/kinesisd/sequence.h"

#include <check.h>

static const struct sequence samples[] = {
    {.created_s = 1763827200, .time_s = 1763827200, .shard = 0, .index = 0},
    {.created_s = 1763827200, .time_s = 1763827260, .shard = 0x12, .index = 5},
    {.created_s = 1763827200, .time_s = 1763827260, .shard = 0x12, .index = SEQUENCE_INDEX_END},
    {.created_s = (1ULL << 36) - 1, .time_s = (1ULL << 36) - 1, .shard = UINT32_MAX, .index = 1},
};

/* Computed from the layout with Python's big integers. */
static const char *const texts[] = {
    "49669211883091446877546947263383241133963833673129132034",
    "49669211883136048367944008509672357199607207665183228194",
    "49669211883147198740543273821235871503825844070887981346",
    "73559785961540364456002126680074518743612927002126843890",
};

START_TEST(known_numbers)
{
    for (size_t i = 0; i < 4; i++) {
        char text[SEQUENCE_TEXT_SIZE];
        struct sequence back;

        ck_assert_uint_eq(sequence_format(&samples[i], text), strlen(texts[i]));
        ck_assert_str_eq(text, texts[i]);
        ck_assert_int_eq(sequence_parse(text, strlen(text), &back), 0);
        ck_assert_uint_eq(back.created_s, samples[i].created_s);
        ck_assert_uint_eq(back.time_s, samples[i].time_s);
        ck_assert_uint_eq(back.index, samples[i].index);
        ck_assert_uint_eq(back.shard, samples[i].shard);
    }
}
END_TEST

/* The clock may stand or even fall: the index decides. */
START_TEST(rises_with_the_index)
{
    struct sequence s = {.created_s = 1763827200, .time_s = 1763827300, .shard = 7};
    char before[SEQUENCE_TEXT_SIZE];
    char now[SEQUENCE_TEXT_SIZE];

    (void)sequence_format(&s, before);
    for (uint64_t step = 1; step < 1ULL << 62; step *= 3) {
        s.index += step;
        s.time_s -= 1;
        (void)sequence_format(&s, now);
        ck_assert_int_lt(sequence_compare(before, now), 0);
        ck_assert_int_gt(sequence_compare(now, before), 0);
        (void)memcpy(before, now, sizeof(now));
    }
    ck_assert_int_eq(sequence_compare(now, now), 0);
}
END_TEST

/* All numbers of a shard made a second later are above all numbers of the older one. */
START_TEST(child_is_above_its_parent)
{
    struct sequence last = {.created_s = 100000000,
                            .time_s = (1ULL << 36) - 1,
                            .shard = UINT32_MAX,
                            .index = SEQUENCE_INDEX_END};
    struct sequence first = {.created_s = 100000001, .time_s = 100000001, .shard = 0};
    char parent[SEQUENCE_TEXT_SIZE];
    char child[SEQUENCE_TEXT_SIZE];

    (void)sequence_format(&last, parent);
    (void)sequence_format(&first, child);
    ck_assert_int_lt(sequence_compare(parent, child), 0);
}
END_TEST

START_TEST(shorter_is_smaller)
{
    ck_assert_int_lt(sequence_compare("9", "10"), 0);
    ck_assert_int_gt(sequence_compare("10", "9"), 0);
    ck_assert_int_lt(sequence_compare("10", "11"), 0);
}
END_TEST

START_TEST(refuses_other_numbers)
{
    static const char *const bad[] = {
        "",
        "0",
        "1",
        "-5",
        "x",
        /* last digit of the layout, then version, nibble, unknown byte and length are wrong */
        "49669211883091446877546947263383241133963833673129132035",
        "49669211883091446877546947263383241133963833673129132033",
        "496692118830914468775469472633832411339638336731291320340",
        "049669211883091446877546947263383241133963833673129132034",
        "4966921188309144687754694726338324113396383367312913203",
        "4966921188309144687754694726338324113396383367312913203x",
        "99999999999999999999999999999999999999999999999999999999999",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sequence s;

        ck_assert_msg(sequence_parse(bad[i], strlen(bad[i]), &s) != 0, "%s", bad[i]);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("kinesisd sequence");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(all, known_numbers);
    tcase_add_test(all, rises_with_the_index);
    tcase_add_test(all, child_is_above_its_parent);
    tcase_add_test(all, shorter_is_smaller);
    tcase_add_test(all, refuses_other_numbers);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
