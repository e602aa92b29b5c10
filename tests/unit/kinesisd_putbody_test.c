/* uses: kinesisd */
/* putbody: good bodies, hostile bodies, and every body cut at every byte. */
#include "tests/kinesisd/putbody.h"

#include "tests/kinesisd/base64.h"

#include <check.h>

static struct putbody body;

/* Parses a copy of exactly len bytes, so that the address sanitizer sees any read behind it. */
static int
parse_len(const char *text, size_t len, char **copy)
{
    *copy = malloc(len == 0 ? 1 : len);
    ck_assert_ptr_nonnull(*copy);
    (void)memcpy(*copy, text, len);
    return putbody_parse(&body, *copy, len);
}

static int
parse(const char *text, char **copy)
{
    return parse_len(text, strlen(text), copy);
}

static bool
is_text(const struct jsonscan_text *t, const char *want)
{
    return t->data != NULL && t->len == strlen(want) && memcmp(t->data, want, t->len) == 0;
}

static void
refuses(const char *text, const char *message)
{
    char *copy;

    ck_assert_msg(parse(text, &copy) != 0, "accepted: %s", text);
    ck_assert_msg(strstr(body.message, message) != NULL, "%s: \"%s\" lacks \"%s\"", text,
                  body.message, message);
    ck_assert_msg(message[0] != '\0' || body.message[0] == '\0', "%s: said %s", text, body.message);
    free(copy);
}

#define GOOD                                                                                       \
    " {\"StreamName\" : \"s.1\",\n\t\"Records\":[{\"Data\":\"aGVsbG8=\",\"PartitionKey\":"         \
    "\"k\\u00e4\\n\\ud83d\\ude00\",\"ExplicitHashKey\":\"12\"},"                                   \
    "{\"PartitionKey\":\"\xc3\xa4x\",\"Data\":\"QUJD\"},{}],\"DryRun\":true,"                      \
    "\"StreamARN\":\"arn:x\",\"Else\":{\"a\":[1,-2.5e+3,{\"b\":null}],\"c\":false}} "

START_TEST(all_members)
{
    char *copy;

    ck_assert_int_eq(parse(GOOD, &copy), 0);
    ck_assert_uint_eq(body.count, 3);
    ck_assert(body.has_records && body.dry_run);
    ck_assert(is_text(&body.stream_name, "s.1"));
    ck_assert(is_text(&body.stream_arn, "arn:x"));
    ck_assert(is_text(&body.records[0].data, "hello"));
    ck_assert(is_text(&body.records[0].key, "k\xc3\xa4\n\xf0\x9f\x98\x80"));
    ck_assert_uint_eq(body.records[0].key.chars, 5);
    ck_assert(is_text(&body.records[0].explicit_hash, "12"));
    ck_assert(is_text(&body.records[1].data, "ABC"));
    ck_assert(is_text(&body.records[1].key, "\xc3\xa4x"));
    ck_assert_uint_eq(body.records[1].key.chars, 2);
    ck_assert_ptr_null(body.records[1].explicit_hash.data);
    ck_assert_ptr_null(body.records[2].data.data);
    free(copy);
}
END_TEST

/* A prefix of a good body is never a good body, and never read past. */
START_TEST(cut_at_every_byte)
{
    size_t whole = (size_t)(strrchr(GOOD, '}') - GOOD);

    for (size_t len = 0; len <= whole; len++) {
        char *copy;

        ck_assert_msg(parse_len(GOOD, len, &copy) != 0, "cut at %zu", len);
        free(copy);
    }
}
END_TEST

/* Each byte of a good body replaced by each hostile one: any answer will do, no crash. */
START_TEST(every_byte_replaced)
{
    static const char hostile[] = "\"\\{}[],:\x80\xff\xed\x00u0-e=";
    char text[] = GOOD;

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        for (size_t k = 0; k < sizeof(hostile) - 1; k++) {
            char saved = text[i];
            char *copy;

            text[i] = hostile[k];
            (void)parse_len(text, sizeof(text) - 1, &copy);
            text[i] = saved;
            free(copy);
        }
    }
}
END_TEST

START_TEST(not_json)
{
    static const char *const bad[] = {
        "",
        " ",
        "null",
        "[]",
        "1",
        "\"x\"",
        "{",
        "}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1}}",
        "{\"a\":1}x",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\x80\"}",
        "{\"a\":\"\xc0\xaf\"}",
        "{\"a\":\"\xe0\x80\xaf\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xf5\x80\x80\x80\"}",
        "{\"a\":\"\xc3\"}",
        "{\"Records\":[{]}",
        "{\"Records\":[{},]}",
        "{\"Records\":[,]}",
        "{\"Records\":[{\"Data\":\"AAAA}]}",
        "{\"Records\":{]",
        "{\"Records\":[{}}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuses(bad[i], "");
}
END_TEST

START_TEST(wrong_types)
{
    refuses("{\"StreamName\":1}", "BigDecimal can not be converted to an String");
    refuses("{\"StreamName\":true}", "Boolean can not be converted to an String");
    refuses("{\"StreamName\":{}}", "Start of structure");
    refuses("{\"StreamName\":[]}", "Start of list");
    refuses("{\"Records\":\"x\"}", "Expected list or null");
    refuses("{\"Records\":{}}", "Start of structure");
    refuses("{\"Records\":[1]}", "Expected null");
    refuses("{\"Records\":[[]]}", "Start of list");
    refuses("{\"Records\":[{\"Data\":1}]}", "BigDecimal can not be converted to a Blob");
    refuses("{\"Records\":[{\"PartitionKey\":false}]}", "Boolean can not be");
    refuses("{\"DryRun\":1}", "can not be converted to an Boolean");
}
END_TEST

START_TEST(bad_base64)
{
    refuses("{\"Data\":\"AAA\"}", "'AAA' can not be converted to a Blob: Base64 encoded length is "
                                  "expected a multiple of 4 bytes but found: 3");
    refuses("{\"Data\":\"AAAAAA-A\"}", "'AAAAAA-A' can not be converted to a Blob: Invalid Base64 "
                                       "character: '-'");
    refuses("{\"Data\":\"AB==\"}", "Invalid last non-pad Base64 character");
    refuses("{\"Data\":\"AA==AAAA\"}", "Invalid Base64 character: '='");
}
END_TEST

/* Long Data is quoted in part, and the message stays within its bounds. */
START_TEST(bad_base64_of_any_length)
{
    for (size_t n = 1; n < 900; n++) {
        char text[1024] = "{\"Data\":\"";
        size_t head = strlen(text);
        char *copy;

        (void)memset(text + head, 'Q', n);
        (void)memcpy(text + head + n, "!\"}", 4);
        ck_assert_int_ne(parse(text, &copy), 0);
        ck_assert_uint_lt(strlen(body.message), PUTBODY_MESSAGE_MAX);
        ck_assert_ptr_nonnull(strstr(body.message, "can not be converted to a Blob"));
        free(copy);
    }
}
END_TEST

/* "\/" is a legal way to write a slash, also inside base64. */
START_TEST(escaped_base64)
{
    char *copy;

    ck_assert_int_eq(parse("{\"Data\":\"AAAA\\/\\/\\/\\u002fQQ==\"}", &copy), 0);
    ck_assert_uint_eq(body.single.data.len, 7);
    ck_assert_int_eq(memcmp(body.single.data.data, "\0\0\0\xff\xff\xff\x41", 7), 0);
    free(copy);
}
END_TEST

START_TEST(empty_and_absent)
{
    char *copy;

    ck_assert_int_eq(parse("{}", &copy), 0);
    ck_assert(!body.has_records && body.stream_name.data == NULL);
    free(copy);
    ck_assert_int_eq(parse("{\"Records\":null,\"StreamName\":null,\"Data\":\"\",\"DryRun\":null,"
                           "\"PartitionKey\":\"\"}",
                           &copy),
                     0);
    ck_assert(!body.has_records && body.stream_name.data == NULL);
    ck_assert(body.single.data.data != NULL && body.single.data.len == 0);
    ck_assert(body.single.key.data != NULL && body.single.key.len == 0);
    free(copy);
    ck_assert_int_eq(parse("{\"Records\":[]}", &copy), 0);
    ck_assert(body.has_records && body.count == 0);
    free(copy);
    ck_assert_int_eq(parse("{\"Records\":[null,{\"Data\":null}]}", &copy), 0);
    ck_assert(body.count == 2 && body.records[1].data.data == NULL);
    free(copy);
}
END_TEST

START_TEST(last_duplicate_wins)
{
    char *copy;

    ck_assert_int_eq(parse("{\"Records\":[{},{}],\"StreamName\":\"a\",\"Records\":[{\"Data\":"
                           "\"QQ==\",\"Data\":\"Qg==\"}],\"StreamName\":\"b\"}",
                           &copy),
                     0);
    ck_assert_uint_eq(body.count, 1);
    ck_assert(is_text(&body.records[0].data, "B"));
    ck_assert(is_text(&body.stream_name, "b"));
    free(copy);
}
END_TEST

START_TEST(more_records_than_kept)
{
    char text[8192];
    size_t n = 0;
    char *copy;

    for (int i = 0; i < 700; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{}", i == 0 ? "{\"Records\":[" : ",");
    (void)snprintf(text + n, sizeof(text) - n, "]}");
    ck_assert_int_eq(parse(text, &copy), 0);
    ck_assert_uint_eq(body.count, 700);
    free(copy);
}
END_TEST

START_TEST(depth_is_bounded)
{
    static char text[200000];
    char *copy;

    (void)snprintf(text, sizeof(text), "{\"x\":");
    (void)memset(text + 5, '[', 100000);
    ck_assert_int_ne(parse_len(text, 100005, &copy), 0);
    free(copy);
    (void)memset(text + 5 + 60, ']', 60);
    text[125] = '}';
    ck_assert_int_eq(parse_len(text, 126, &copy), 0);
    free(copy);
}
END_TEST

/* Names may be written with escapes, and similar names are other members. */
START_TEST(member_names)
{
    char *copy;

    ck_assert_int_eq(parse("{\"\\u0053treamName\":\"s\",\"streamname\":1,\"StreamNameX\":2,"
                           "\"Stream\":3,\"\":4}",
                           &copy),
                     0);
    ck_assert(is_text(&body.stream_name, "s"));
    free(copy);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("kinesisd putbody");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    base64_init();
    tcase_set_timeout(all, 30);
    tcase_add_test(all, all_members);
    tcase_add_test(all, cut_at_every_byte);
    tcase_add_test(all, every_byte_replaced);
    tcase_add_test(all, not_json);
    tcase_add_test(all, wrong_types);
    tcase_add_test(all, bad_base64);
    tcase_add_test(all, bad_base64_of_any_length);
    tcase_add_test(all, escaped_base64);
    tcase_add_test(all, empty_and_absent);
    tcase_add_test(all, last_duplicate_wins);
    tcase_add_test(all, more_records_than_kept);
    tcase_add_test(all, depth_is_bounded);
    tcase_add_test(all, member_names);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
