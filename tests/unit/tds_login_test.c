/* uses: mssqld */
/* PRELOGIN and LOGIN7: recorded exchanges, the table of answers, hostile records. */
#include "common/err.h"
#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/login.h"
#include "tests/mssqld/tds/pool.h"
#include "tests/mssqld/tds/prelogin.h"
#include "tests/unit/tds_vectors.h"

static const struct {
    const char *recorded;
    enum prelogin_policy policy;
} policies[] = {
    {"server without certificate", PRELOGIN_NO_CERTIFICATE},
    {"server with certificate, TLS optional", PRELOGIN_OPTIONAL},
    {"server with certificate, TLS forced", PRELOGIN_FORCED},
};

/* All twelve recorded exchanges; only the product version differs between the servers. */
START_TEST(prelogin_answers_as_recorded)
{
    json_t *json = vector_load("prelogin");
    json_t *exchanges = json_object_get(json_object_get(json, "exchanges"), policies[_i].recorded);
    size_t index;
    json_t *exchange;

    ck_assert_uint_eq(json_array_size(exchanges), 4);
    json_array_foreach(exchanges, index, exchange)
    {
        struct bytes request =
            vector_payload(json_string_value(json_object_get(exchange, "request_hex")));
        struct bytes answer =
            vector_payload(json_string_value(json_object_get(exchange, "answer_hex")));
        struct buf ours = {.data = NULL};
        enum prelogin_encryption wish;
        struct err e = ERR_INIT;

        ck_assert_int_eq(prelogin_parse(request.data, request.size, &wish, &e), 0);
        ck_assert_int_eq((int)wish, (int)index);
        prelogin_put(&ours, prelogin_answer(policies[_i].policy, wish));
        ck_assert_uint_eq(ours.size, answer.size);
        memcpy(ours.data + 26, answer.data + 26, 6); /* the version */
        ck_assert_mem_eq(ours.data, answer.data, answer.size);
        buf_free(&ours);
        free(request.data);
        free(answer.data);
    }
    json_decref(json);
}
END_TEST

START_TEST(prelogin_without_a_wish_is_off)
{
    enum prelogin_encryption wish;
    struct err e = ERR_INIT;

    ck_assert_int_eq(prelogin_parse("\xFF", 1, &wish, &e), 0);
    ck_assert_int_eq((int)wish, ENCRYPT_OFF);
}
END_TEST

START_TEST(prelogin_lies_are_refused)
{
    static const struct {
        const char *data;
        size_t size;
        const char *says;
    } cases[] = {
        {"", 0, "no end"},
        {"\0\0\x1a\0\x06", 5, "ends outside"},       /* option beyond the message */
        {"\x01\0\x06\0\x01\xFF", 6, "ends outside"}, /* one byte beyond */
        {"\x01\xFF\xFF\xFF\xFF\xFF", 6, "ends outside"},
        {"\x01\0\x06\0\x01\xFF\x09", 7, "unknown encryption"},
        {"\x01\0\x06\0\x00\xFF\x01", 7, "unknown encryption"},
        {"\0\0\0", 3, "ends outside"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* On the heap in its exact size, so that the address sanitizer sees a read beyond. */
        char *data = malloc(cases[i].size + (cases[i].size == 0));
        enum prelogin_encryption wish;
        struct err e = ERR_INIT;

        memcpy(data, cases[i].data, cases[i].size);
        ck_assert_int_eq(prelogin_parse(data, cases[i].size, &wish, &e), -1);
        ck_assert_msg(strstr(e.text, cases[i].says) != NULL, "case %zu: %s", i, e.text);
        free(data);
    }
}
END_TEST

/* The LOGIN7 record of a recorded conversation, without packet headers. */
static struct bytes
recorded_login(const char *file)
{
    json_t *json = vector_load(file);
    size_t index;
    json_t *message;
    struct bytes out = {.data = NULL};

    json_array_foreach(json_object_get(json, "messages"), index, message)
    {
        const char *name = json_string_value(json_object_get(message, "message"));

        if (strcmp(name, "LOGIN7") == 0)
            out = vector_payload(json_string_value(json_object_get(message, "hex")));
    }
    ck_assert_ptr_nonnull(out.data);
    json_decref(json);
    return out;
}

START_TEST(recorded_login_is_read)
{
    struct bytes record = recorded_login("login");
    struct pool pool = {.blocks = NULL};
    struct err e = ERR_INIT;
    struct login l;

    ck_assert_int_eq(login_parse(record.data, record.size, &pool, &l, &e), 0);
    ck_assert_uint_eq(l.version, 0x74000004);
    ck_assert_uint_eq(l.packet_size, 4096);
    ck_assert_str_eq(l.host, "vectors");
    ck_assert_str_eq(l.user, "babelfish_user");
    ck_assert_str_eq(l.application, "recorder");
    ck_assert_str_eq(l.server, "127.0.0.1");
    ck_assert_str_eq(l.language, "us_english");
    ck_assert_str_eq(l.database, "shop");
    ck_assert_uint_eq(strlen(l.password), 12);
    ck_assert(l.asks_utf8);
    ck_assert(!l.integrated);
    ck_assert(!l.read_only_intent);
    pool_free(&pool);
    free(record.data);
}
END_TEST

START_TEST(packet_size_and_database_come_from_the_record)
{
    struct bytes record = recorded_login("login_packet_32767");
    struct pool pool = {.blocks = NULL};
    struct err e = ERR_INIT;
    struct login l;

    ck_assert_int_eq(login_parse(record.data, record.size, &pool, &l, &e), 0);
    ck_assert_uint_eq(l.packet_size, 32767);
    pool_free(&pool);
    free(record.data);
}
END_TEST

/* [MS-TDS] 2.2.6.4: each byte XOR 0xA5 and its nibbles swapped; here "A" and U+20AC. */
START_TEST(password_is_unscrambled)
{
    uint8_t record[98] = {98, 0, 0, 0, 4, 0, 0, 0x74};
    struct pool pool = {.blocks = NULL};
    struct err e = ERR_INIT;
    struct login l;

    record[44] = 94; /* password: offset, length */
    record[46] = 2;
    record[94] = 0xB1;
    record[95] = 0xA5;
    record[96] = 0x6F;
    record[97] = 0xA7;
    ck_assert_int_eq(login_parse(record, sizeof(record), &pool, &l, &e), 0);
    ck_assert_str_eq(l.password, "A\xE2\x82\xAC");
    pool_free(&pool);
}
END_TEST

/* The token's own length may be that of 32 bits at the end of the record's fixed part. */
START_TEST(sspi_token_is_read)
{
    uint8_t record[98] = {98, 0, 0, 0, 4, 0, 0, 0x74};
    struct pool pool = {.blocks = NULL};
    struct err e = ERR_INIT;
    struct login l;

    record[25] = 0x80; /* option flags 2: integrated */
    record[78] = 94;   /* SSPI: offset, length */
    record[80] = 4;
    memcpy(record + 94, "tick", 4);
    ck_assert_int_eq(login_parse(record, sizeof(record), &pool, &l, &e), 0);
    ck_assert(l.integrated);
    ck_assert_mem_eq(l.sspi, "tick", 4);
    ck_assert_uint_eq(l.sspi_size, 4);
    record[80] = 5; /* one byte behind the record */
    ck_assert_int_eq(login_parse(record, sizeof(record), &pool, &l, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "SSPI token at 94 with 5 bytes"));
    record[80] = 0xFF; /* now the 32 bits count: 2^31 - 1 */
    record[81] = 0xFF;
    memcpy(record + 90, "\xFF\xFF\xFF\x7F", 4);
    ck_assert_int_eq(login_parse(record, sizeof(record), &pool, &l, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "with 2147483647 bytes"));
    pool_free(&pool);
}
END_TEST

/* Every prefix of a good record is refused with a message: the record says how long it is. */
START_TEST(truncated_records_are_refused)
{
    struct bytes record = recorded_login("login");

    for (size_t size = 0; size < record.size; size++) {
        uint8_t *cut = malloc(size + (size == 0));
        struct pool pool = {.blocks = NULL};
        struct err e = ERR_INIT;
        struct login l;

        memcpy(cut, record.data, size);
        ck_assert_int_eq(login_parse(cut, size, &pool, &l, &e), -1);
        ck_assert_int_eq((int)e.code, ERR_PROTOCOL);
        pool_free(&pool);
        free(cut);
    }
    free(record.data);
}
END_TEST

/* Offsets and lengths at each place of the record set to extremes: read or refused, never
   beyond the record (the address sanitizer watches). */
START_TEST(hostile_offsets_stay_inside)
{
    static const uint16_t extremes[] = {0, 1, 93, 94, 127, 252, 253, 254, 0x7FFF, 0x8000, 0xFFFF};
    struct bytes record = recorded_login("login");
    int refused = 0;

    for (size_t at = 36; at < 94; at += 2) {
        for (size_t i = 0; i < sizeof(extremes) / sizeof(extremes[0]); i++) {
            uint8_t *copy = malloc(record.size);
            struct pool pool = {.blocks = NULL};
            struct err e = ERR_INIT;
            struct login l;

            memcpy(copy, record.data, record.size);
            memcpy(copy + at, &extremes[i], 2);
            if (login_parse(copy, record.size, &pool, &l, &e) != 0) {
                ck_assert_int_eq((int)e.code, ERR_PROTOCOL);
                refused++;
            }
            pool_free(&pool);
            free(copy);
        }
    }
    ck_assert_int_gt(refused, 50);
    free(record.data);
}
END_TEST

START_TEST(random_damage_is_survived)
{
    struct bytes record = recorded_login("login");
    uint32_t seed = 12345;

    for (int round = 0; round < 20000; round++) {
        uint8_t *copy = malloc(record.size);
        struct pool pool = {.blocks = NULL};
        struct err e = ERR_INIT;
        struct login l;

        memcpy(copy, record.data, record.size);
        for (int i = 0; i < 1 + round % 4; i++) {
            seed = seed * 1664525U + 1013904223U;
            copy[(seed >> 8) % record.size] = (uint8_t)(seed >> 24);
        }
        (void)login_parse(copy, record.size, &pool, &l, &e);
        pool_free(&pool);
        free(copy);
    }
    free(record.data);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("tds_login");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, prelogin_answers_as_recorded, 0, 3);
    tcase_add_test(t, prelogin_without_a_wish_is_off);
    tcase_add_test(t, prelogin_lies_are_refused);
    tcase_add_test(t, recorded_login_is_read);
    tcase_add_test(t, packet_size_and_database_come_from_the_record);
    tcase_add_test(t, password_is_unscrambled);
    tcase_add_test(t, sspi_token_is_read);
    tcase_add_test(t, truncated_records_are_refused);
    tcase_add_test(t, hostile_offsets_stay_inside);
    tcase_add_test(t, random_damage_is_survived);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
