/* uses: shipper aws */
/* What goes out as a PutRecords body and what may come back: parsers, error table, numbers. */
#include "shipper/kinesis/hash_key.h"
#include "shipper/kinesis/put_answer.h"
#include "shipper/kinesis/put_body.h"
#include "shipper/kinesis/sequence.h"
#include "shipper/kinesis/service_error.h"
#include "shipper/shard_map.h"

#include "common/clock.h"

#include <check.h>
#include <jansson.h>
#include <openssl/evp.h>

#define GOOD                                                                                       \
    "{\"FailedRecordCount\":1,\"EncryptionType\":null,\"Records\":["                               \
    "{\"SequenceNumber\":\"49\",\"ShardId\":\"shardId-000000000001\",\"ErrorCode\":null},"         \
    "{\"ErrorCode\":\"ProvisionedThroughputExceededException\",\"ErrorMessage\":\"a \\\"b\\\"\"}"  \
    ",\n "                                                                                         \
    "{\"Extra\":[1,{\"x\":[]},\"]\"],\"ErrorCode\":\"InternalFailure\",\"SequenceNumber\":null}"   \
    ",{\"ErrorCode\":\"Strange\"}]}\n"

static int
parse(const char *text, size_t size, struct target_result *results, size_t n)
{
    /* An exact copy, so that a sanitizer sees every byte read too far. */
    char *copy = malloc(size > 0 ? size : 1);
    struct err e = ERR_INIT;
    int rc;

    memcpy(copy, text, size);
    rc = put_answer_read(copy, size, results, n, &e);
    if (rc != 0)
        ck_assert_int_eq(e.code, ERR_PROTOCOL);
    free(copy);
    return rc;
}

START_TEST(a_good_answer)
{
    struct target_result r[4];
    struct err e = ERR_INIT;
    static const char text[] = GOOD;

    ck_assert_int_eq(0, put_answer_read(text, strlen(text), r, 4, &e));
    ck_assert_int_eq(r[0].outcome, TARGET_STORED);
    ck_assert_int_eq(0, memcmp(r[0].text, "49", r[0].text_size));
    ck_assert_uint_eq(r[0].shard_id_size, 20);
    ck_assert_int_eq(r[1].outcome, TARGET_THROTTLED);
    ck_assert_int_eq(r[2].outcome, TARGET_INTERNAL);
    ck_assert_int_eq(r[3].outcome, TARGET_OTHER);
}
END_TEST

START_TEST(cut_at_every_byte)
{
    static const char text[] = GOOD;
    struct target_result r[4];

    for (size_t size = 0; size < strlen(text) - 1; size++)
        ck_assert_msg(parse(text, size, r, 4) != 0, "cut at %zu was taken", size);
    ck_assert_int_eq(0, parse(text, strlen(text), r, 4));
}
END_TEST

/* Any single wrong byte is either refused or leaves the meaning of a complete answer. */
START_TEST(every_byte_replaced)
{
    static const char with[] = {'\0', '"',  '{', '}', '[',  ']',   ',',
                                ':',  '\\', '0', 'z', '\n', '\xff'};
    struct target_result r[4];
    char text[] = GOOD;

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char kept = text[i];

        for (size_t k = 0; k < sizeof(with); k++) {
            text[i] = with[k];
            if (parse(text, sizeof(text) - 1, r, 4) == 0) {
                for (size_t j = 0; j < 4; j++)
                    ck_assert(r[j].text_size > 0 && r[j].text_size < sizeof(text));
            }
        }
        text[i] = kept;
    }
}
END_TEST

static const char *const refused[] = {
    "",
    "null",
    "[]",
    "{}",
    "<html><body>503</body></html>",
    "{\"Records\":null}",
    "{\"Records\":{}}",
    "{\"Records\":[]}",
    "{\"Records\":[{}]}",
    "{\"Records\":[null]}",
    "{\"Records\":[{\"SequenceNumber\":\"\"}]}",
    "{\"Records\":[{\"SequenceNumber\":1}]}",
    "{\"Records\":[{\"SequenceNumber\":\"12x\"}]}",
    "{\"Records\":[{\"SequenceNumber\":\"1\"},{\"SequenceNumber\":\"2\"}]}",
    "{\"Records\":[{\"SequenceNumber\":\"1\"}]} x",
    "{\"Records\":[{\"SequenceNumber\":\"1\"}],}",
    "{\"Records\":[{\"SequenceNumber\":\"1\",}]}",
    "{\"Records\":[{\"SequenceNumber\":\"1\"}]",
    "{\"x\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]],\"Records\":[{\"SequenceNumber\":\"1\"}]}",
    "{\"x\":\"\\\"}",
    "{\"x\":\"\\",
};

START_TEST(answers_that_are_none)
{
    struct target_result r[1];

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        ck_assert_msg(parse(refused[i], strlen(refused[i]), r, 1) != 0, "taken: %s", refused[i]);
}
END_TEST

START_TEST(a_count_that_lies_changes_nothing)
{
    static const char text[] = "{\"FailedRecordCount\":0,\"Records\":[{\"ErrorCode\":"
                               "\"InternalFailure\"}]}";
    struct target_result r[1];

    ck_assert_int_eq(0, parse(text, strlen(text), r, 1));
    ck_assert_int_eq(r[0].outcome, TARGET_INTERNAL);
}
END_TEST

/* ---- bodies ---- */

START_TEST(bodies_decode_to_the_same_records)
{
    struct http_buffer b = {.data = NULL};
    struct target_entry entries[300];
    static uint8_t data[300];
    static const char key[] = "quote\" back\\ tab\t \x01 \xc3\xa9\xf0\x9f\x98\x80 /";
    struct err e = ERR_INIT;
    json_error_t problem;
    json_t *root;
    json_t *list;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < 300; i++)
        entries[i] =
            (struct target_entry){data, key, (uint32_t)i, (uint32_t)(1 + i % (sizeof(key) - 1))};
    /* Not in the middle of a character: jansson checks. */
    for (size_t i = 0; i < 300; i++) {
        while ((key[entries[i].key_size] & 0xc0) == 0x80)
            entries[i].key_size++;
    }
    ck_assert_int_eq(0, put_body_write(&b, "arn:x", entries, 300, false, &e));
    root = json_loadb(b.data, b.size, 0, &problem);
    ck_assert_msg(root != NULL, "%s", problem.text);
    ck_assert_str_eq(json_string_value(json_object_get(root, "StreamARN")), "arn:x");
    ck_assert_ptr_null(json_object_get(root, "DryRun"));
    list = json_object_get(root, "Records");
    ck_assert_uint_eq(json_array_size(list), 300);
    for (size_t i = 0; i < 300; i++) {
        const json_t *item = json_array_get(list, i);
        const char *text = json_string_value(json_object_get(item, "Data"));
        const json_t *k = json_object_get(item, "PartitionKey");
        uint8_t out[512];
        int n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)strlen(text));

        ck_assert_int_ge(n, (int)i);
        ck_assert_int_le(n, (int)i + 2);
        ck_assert_mem_eq(out, data, i);
        ck_assert_uint_eq(json_string_length(k), entries[i].key_size);
        ck_assert_mem_eq(json_string_value(k), key, entries[i].key_size);
    }
    json_decref(root);
    b.size = 0;
    ck_assert_int_eq(0, put_body_write(&b, "arn:x", entries, 1, true, &e));
    ck_assert_ptr_nonnull(strstr(b.data, "\"DryRun\":true"));
    free(b.data);
}
END_TEST

/* ---- errors ---- */

static enum err_code
judge(long status, const char *body, const char *header, int64_t offset_ns,
      struct service_error *out, struct err *e)
{
    char text[1024];
    struct http_call call = {.status = status};

    (void)snprintf(text, sizeof(text), "%s", body);
    call.response = (struct http_buffer){text, strlen(text), sizeof(text)};
    (void)snprintf(call.headers.error_type, sizeof(call.headers.error_type), "%s", header);
    ck_assert_int_eq(-1, service_error_judge(&call, "PutRecords", "s", offset_ns, out, e));
    ck_assert_int_eq(e->sys, (int)status);
    return e->code;
}

START_TEST(errors_of_the_service)
{
    struct service_error s;
    struct err e = ERR_INIT;

    ck_assert_int_eq(
        ERR_THROTTLED,
        judge(400, "{\"__type\":\"a.b#LimitExceededException:http://x\"}", "", 0, &s, &e));
    ck_assert_str_eq(s.code, "LimitExceededException");
    ck_assert(!s.is_ambiguous && !s.is_refused && !s.is_credentials);
    ck_assert_int_eq(
        ERR_CREDENTIALS,
        judge(400, "{\"__type\":\"ExpiredTokenException\",\"message\":\"old\"}", "", 0, &s, &e));
    ck_assert(s.is_credentials);
    ck_assert_ptr_nonnull(strstr(e.text, "ExpiredTokenException: old"));
    ck_assert_int_eq(ERR_STREAM, judge(400, "{}", "ResourceNotFoundException:http://y", 0, &s, &e));
    ck_assert_int_eq(ERR_SERVICE, judge(500, "", "", 0, &s, &e));
    ck_assert(s.is_ambiguous);
    ck_assert_int_eq(ERR_SERVICE, judge(503, "<html>", "", 0, &s, &e));
    ck_assert(s.is_ambiguous);
    ck_assert_int_eq(ERR_THROTTLED, judge(429, "", "", 0, &s, &e));
    ck_assert_int_eq(ERR_CREDENTIALS, judge(403, "[1]", "", 0, &s, &e));
    ck_assert_int_eq(ERR_PROTOCOL, judge(404, "<html>", "", 0, &s, &e));
    ck_assert(!s.is_ambiguous && !s.is_refused);
    ck_assert_int_eq(ERR_PROTOCOL, judge(413, "", "", 0, &s, &e));
    ck_assert(s.is_refused);
    ck_assert_int_eq(
        ERR_PROTOCOL,
        judge(400, "{\"__type\":\"ValidationException\",\"Message\":\"m\"}", "", 0, &s, &e));
    ck_assert(s.is_refused);
    ck_assert_str_eq(s.message, "m");
}
END_TEST

START_TEST(a_signature_is_wrong_or_the_clock)
{
    static const char body[] = "{\"__type\":\"InvalidSignatureException\",\"message\":\"no\"}";
    static const char late[] = "{\"__type\":\"InvalidSignatureException\","
                               "\"message\":\"Signature expired: 1 is now earlier than 2\"}";
    struct service_error s;
    struct err e = ERR_INIT;

    ck_assert_int_eq(ERR_CREDENTIALS, judge(400, body, "", 239 * NS_PER_S, &s, &e));
    ck_assert_int_eq(ERR_CLOCK, judge(400, body, "", 3600 * NS_PER_S, &s, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "this host's clock is 3600 s behind the service's"));
    ck_assert_int_eq(ERR_CLOCK, judge(400, body, "", -3600 * NS_PER_S, &s, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "3600 s ahead of"));
    ck_assert_int_eq(ERR_CLOCK, judge(400, late, "", 0, &s, &e));
}
END_TEST

START_TEST(no_answer_is_ambiguous_when_something_was_sent)
{
    struct http_call call = {.status = 0, .was_sent = true};
    struct service_error s;
    struct err e = ERR_INIT;

    err_set(&call.error, ERR_TIMEOUT, "slow");
    (void)service_error_judge(&call, "PutRecords", "s", 0, &s, &e);
    ck_assert_int_eq(e.code, ERR_TIMEOUT);
    ck_assert(s.is_ambiguous);
    call.was_sent = false;
    (void)service_error_judge(&call, "PutRecords", "s", 0, &s, &e);
    ck_assert(!s.is_ambiguous);
}
END_TEST

/* ---- numbers ---- */

START_TEST(hash_keys)
{
    static const uint8_t most[16] = {255, 255, 255, 255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255, 255, 255, 255};
    uint8_t out[16];

    ck_assert(hash_key_parse("340282366920938463463374607431768211455", out));
    ck_assert_mem_eq(out, most, 16);
    ck_assert(!hash_key_parse("340282366920938463463374607431768211456", out));
    ck_assert(!hash_key_parse("", out));
    ck_assert(!hash_key_parse("-1", out));
    ck_assert(!hash_key_parse("12 ", out));
    ck_assert(hash_key_parse("256", out));
    ck_assert_uint_eq(out[14], 1);
    ck_assert_uint_eq(out[15], 0);
}
END_TEST

START_TEST(sequence_numbers)
{
    static const char *const rising[] = {
        "1",
        "9",
        "10",
        "18446744073709551615",
        "18446744073709551616",
        "49590338271490256608559692538361571095921575989136588898",
        "49590338271490256608559692538361571095921575989136588899",
        "49590338271490256608559692540925702759324208523137515618",
        "999999999999999999999999999999999999999999999999999999999",
    };
    struct sequence before = {{0, 0, 0}};
    struct sequence now;
    char longer[59];

    for (size_t i = 0; i < sizeof(rising) / sizeof(rising[0]); i++) {
        ck_assert(sequence_parse(rising[i], strlen(rising[i]), &now));
        ck_assert_int_gt(sequence_compare(&now, &before), 0);
        ck_assert_int_lt(sequence_compare(&before, &now), 0);
        ck_assert_int_eq(sequence_compare(&now, &now), 0);
        before = now;
    }
    memset(longer, '9', sizeof(longer));
    ck_assert(!sequence_parse(longer, 58, &now));
    ck_assert(!sequence_is_known(&now));
    ck_assert(!sequence_parse("12a", 3, &now));
    ck_assert(!sequence_is_known(&now));
    ck_assert(!sequence_parse("", 0, &now));
}
END_TEST

START_TEST(shards_by_hash)
{
    struct target_shard *shards = calloc(3, sizeof(*shards));
    struct target_shard *same = calloc(3, sizeof(*same));
    struct shard_map m = {NULL, 0};
    uint8_t hash[16] = {0};

    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(shards[i].id, sizeof(shards[i].id), "s%zu", i);
        memset(shards[i].last_hash, 0xff, 16);
    }
    shards[0].last_hash[0] = 0x3f;
    shards[1].last_hash[0] = 0x7f;
    memcpy(same, shards, 3 * sizeof(*same));
    ck_assert(shard_map_set(&m, shards, 3));
    ck_assert(!shard_map_set(&m, same, 3));
    ck_assert_uint_eq(shard_map_find(&m, hash), 0);
    memset(hash, 0xff, 16);
    ck_assert_uint_eq(shard_map_find(&m, hash), 2);
    hash[0] = 0x3f;
    ck_assert_uint_eq(shard_map_find(&m, hash), 0);
    memset(hash, 0, 16);
    hash[0] = 0x40;
    ck_assert_uint_eq(shard_map_find(&m, hash), 1);
    shard_map_free(&m);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("shipper answers");
    TCase *t = tcase_create("answers");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_good_answer);
    tcase_add_test(t, cut_at_every_byte);
    tcase_add_test(t, every_byte_replaced);
    tcase_add_test(t, answers_that_are_none);
    tcase_add_test(t, a_count_that_lies_changes_nothing);
    tcase_add_test(t, bodies_decode_to_the_same_records);
    tcase_add_test(t, errors_of_the_service);
    tcase_add_test(t, a_signature_is_wrong_or_the_clock);
    tcase_add_test(t, no_answer_is_ambiguous_when_something_was_sent);
    tcase_add_test(t, hash_keys);
    tcase_add_test(t, sequence_numbers);
    tcase_add_test(t, shards_by_hash);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
