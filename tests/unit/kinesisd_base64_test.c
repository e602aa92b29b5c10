/* uses: kinesisd */
/* base64: strictness and the in-place decoding the parser relies on. */
#include "tests/kinesisd/base64.h"

#include <check.h>
#include <stdint.h>

static enum base64_problem
decode(const char *text, char *out, size_t *len)
{
    size_t at;

    return base64_decode(text, strlen(text), out, len, &at);
}

/* The vectors of RFC 4648, section 10, both ways. */
START_TEST(rfc_vectors)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[16] = {0};
        char data[16] = {0};
        size_t len;

        ck_assert_uint_eq(base64_encode(pairs[i][0], strlen(pairs[i][0]), text),
                          strlen(pairs[i][1]));
        ck_assert_str_eq(text, pairs[i][1]);
        ck_assert_int_eq(decode(pairs[i][1], data, &len), BASE64_OK);
        ck_assert_uint_eq(len, strlen(pairs[i][0]));
        ck_assert_str_eq(data, pairs[i][0]);
    }
}
END_TEST

START_TEST(refuses_what_aws_refuses)
{
    static const struct {
        const char *text;
        enum base64_problem problem;
    } cases[] = {
        {"A", BASE64_LENGTH},           {"AAAAA", BASE64_LENGTH},   {"AA=", BASE64_LENGTH},
        {"A===", BASE64_CHARACTER},     {"====", BASE64_CHARACTER}, {"AA=A", BASE64_CHARACTER},
        {"AA-_", BASE64_CHARACTER},     {"AA A", BASE64_CHARACTER}, {"AA==AAAA", BASE64_CHARACTER},
        {"AAA\x80", BASE64_CHARACTER},  {"AB==", BASE64_LAST_BITS}, {"AAB=", BASE64_LAST_BITS},
        {"AAAA//==", BASE64_LAST_BITS},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char data[16];
        size_t len;

        ck_assert_msg(decode(cases[i].text, data, &len) == cases[i].problem, "%s", cases[i].text);
    }
}
END_TEST

START_TEST(names_the_offender)
{
    char data[16];
    size_t len;
    size_t at;

    ck_assert_int_eq(base64_decode("AAAAAA*A", 8, data, &len, &at), BASE64_CHARACTER);
    ck_assert_uint_eq(at, 6);
}
END_TEST

/* Every length and byte value comes back, decoded over its own text. */
START_TEST(round_trip_in_place)
{
    for (size_t n = 0; n < 260; n++) {
        unsigned char data[260];
        char text[BASE64_SIZE(260)];
        size_t len;
        size_t at;
        size_t text_len;

        for (size_t i = 0; i < n; i++)
            data[i] = (unsigned char)(i * 7 + n);
        text_len = base64_encode(data, n, text);
        ck_assert_uint_eq(text_len, BASE64_SIZE(n));
        ck_assert_int_eq(base64_decode(text, text_len, text, &len, &at), BASE64_OK);
        ck_assert_uint_eq(len, n);
        ck_assert(n == 0 || memcmp(text, data, n) == 0);
    }
}
END_TEST

START_TEST(run_stops_at_the_quote)
{
    char text[] = "QUJDREVG\",\"PartitionKey\"";
    char data[32];

    ck_assert_uint_eq(base64_run(text, sizeof(text) - 1, data), 8);
    ck_assert_int_eq(memcmp(data, "ABCDEF", 6), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("kinesisd base64");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    base64_init();
    tcase_add_test(all, rfc_vectors);
    tcase_add_test(all, refuses_what_aws_refuses);
    tcase_add_test(all, names_the_offender);
    tcase_add_test(all, round_trip_in_place);
    tcase_add_test(all, run_stops_at_the_quote);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
