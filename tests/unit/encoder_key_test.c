/* uses: encoder */
#include "encoder/key.h"
#include "encoder/plan.h"
#include "tests/unit/encoder_help.h"

#include <check.h>
#include <openssl/evp.h>

static const struct help_column two_columns[] = {
    {.name = "b", .type = DMS_WSTRING, .key = 2},
    {.name = "a", .type = DMS_STRING, .key = 1, .is_fixed_text = true},
};
static const struct help_column one_column[] = {
    {.name = "k", .type = DMS_WSTRING, .key = 1},
};

static char key_text[RECORD_KEY_MAX + 1];

static const char *
key_of(const struct help_column *columns, uint16_t n, bool has_prefix, const struct value *values,
       uint8_t hash[16])
{
    struct table_def *table = help_table(1, "dbo", "t", columns, n);
    struct key_maker *m;
    struct task task;
    struct plan *plan;
    struct key key;
    struct err e = ERR_INIT;

    help_task(&task);
    task.target.partition_include_schema_table = has_prefix;
    ck_assert_int_eq(plan_compile(&task, table, &plan, &e), 0);
    ck_assert_int_eq(key_maker_open(&m, &e), 0);
    for (int again = 0; again < 2; again++) { /* the second time in a used place */
        ck_assert_int_eq(key_of_row(m, plan, values, &key, &e), 0);
        key_hash_rows(m);
        memcpy(key_text, key.text, key.size);
        key_text[key.size] = '\0';
        memcpy(hash, key.hash, 16);
    }
    key_maker_close(&m);
    plan_free(&plan);
    catalog_table_free(&table);
    return key_text;
}

static const char *
key_of_text(const char *text, size_t size)
{
    struct value v = {.kind = VALUE_TEXT, .bytes = {.data = text, .size = (uint32_t)size}};
    uint8_t hash[16];

    return key_of(one_column, 1, false, &v, hash);
}

START_TEST(joined_in_key_order)
{
    const struct value values[] = {HELP_TEXT("x "), HELP_TEXT("ab   ")};
    uint8_t hash[16];

    ck_assert_str_eq(key_of(two_columns, 2, false, values, hash), "ab.x ");
    ck_assert_str_eq(key_of(two_columns, 2, true, values, hash), "dbo.t.ab.x ");
}
END_TEST

START_TEST(without_a_key_the_table)
{
    static const struct help_column plain[] = {{.name = "a", .type = DMS_INT4}};
    const struct value v = HELP_INT(5);
    uint8_t hash[16];

    ck_assert_str_eq(key_of(plain, 1, false, &v, hash), "dbo.t");
    ck_assert_str_eq(key_of(plain, 1, true, &v, hash), "dbo.t");
}
END_TEST

START_TEST(integer_keys)
{
    static const struct help_column column[] = {{.name = "a", .type = DMS_INT8, .key = 1}};
    const struct value lowest = HELP_INT(INT64_MIN);
    uint8_t hash[16];

    ck_assert_str_eq(key_of(column, 1, false, &lowest, hash), "-9223372036854775808");
    ck_assert_str_eq(key_of(column, 1, true, &lowest, hash), "dbo.t.-9223372036854775808");
}
END_TEST

START_TEST(empty_key_is_written_out)
{
    ck_assert_str_eq(key_of_text("", 0), "dbo.t.");
}
END_TEST

START_TEST(known_hashes)
{
    static const uint8_t abc[16] = {0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0,
                                    0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72};
    static const uint8_t eighty[16] = {0x57, 0xed, 0xf4, 0xa2, 0x2b, 0xe3, 0xc9, 0x55,
                                       0xac, 0x49, 0xda, 0x2e, 0x21, 0x07, 0xb6, 0x7a};
    static const char digits[] =
        "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
    uint8_t hash[16];

    key_hash("abc", 3, hash);
    ck_assert_mem_eq(hash, abc, 16);
    key_hash(digits, 80, hash);
    ck_assert_mem_eq(hash, eighty, 16);
}
END_TEST

/* Every length that fits one block, in every lane, next to neighbours of other lengths. */
START_TEST(short_hashes_side_by_side)
{
    char text[MD5_SHORT_MAX + 1];
    uint8_t hash[MD5_LANES][16];
    uint8_t theirs[16];
    struct md5_text texts[MD5_LANES];

    for (uint32_t i = 0; i <= MD5_SHORT_MAX; i++)
        text[i] = (char)(i * 37 + 5);
    for (uint32_t first = 0; first <= MD5_SHORT_MAX; first++) {
        for (unsigned n = 1; n <= MD5_LANES; n++) {
            for (unsigned i = 0; i < n; i++)
                texts[i] = (struct md5_text){
                    .text = text, .size = (first + 7 * i) % (MD5_SHORT_MAX + 1), .hash = hash[i]};
            md5_short(texts, n);
            for (unsigned i = 0; i < n; i++) {
                key_hash(text, texts[i].size, theirs);
                ck_assert_mem_eq(hash[i], theirs, 16);
            }
        }
    }
}
END_TEST

/* A batch of all sorts of keys: each must get its own hash. */
START_TEST(keys_hashed_together)
{
    struct table_def *table = help_table(1, "dbo", "t", one_column, 1);
    struct key keys[KEY_BATCH];
    char text[KEY_BATCH * 100];
    struct key_maker *m;
    struct task task;
    struct plan *plan;
    struct err e = ERR_INIT;
    uint8_t hash[16];

    memset(text, 'k', sizeof(text));
    help_task(&task);
    ck_assert_int_eq(plan_compile(&task, table, &plan, &e), 0);
    ck_assert_int_eq(key_maker_open(&m, &e), 0);
    for (int again = 0; again < 2; again++) {
        for (uint32_t i = 0; i < KEY_BATCH; i++) {
            struct value v = {.kind = VALUE_TEXT, .bytes = {.data = text, .size = 40 * i + 1}};

            ck_assert_int_eq(key_of_row(m, plan, &v, &keys[i], &e), 0);
        }
        key_hash_rows(m);
        for (uint32_t i = 0; i < KEY_BATCH; i++) {
            key_hash(keys[i].text, keys[i].size, hash);
            ck_assert_mem_eq(keys[i].hash, hash, 16);
            ck_assert_uint_eq(keys[i].size, 40 * i + 1 <= 256 ? 40 * i + 1 : 256);
        }
    }
    key_maker_close(&m);
    plan_free(&plan);
    catalog_table_free(&table);
}
END_TEST

/* Around the lengths where MD5 pads into another block, against OpenSSL's own way. */
START_TEST(hashes_of_every_length)
{
    char text[130];
    uint8_t ours[16];
    uint8_t theirs[16];
    unsigned size;

    memset(text, 'k', sizeof(text));
    for (size_t n = 0; n <= sizeof(text); n++) {
        key_hash(text, n, ours);
        ck_assert_int_eq(EVP_Digest(text, n, theirs, &size, EVP_md5(), NULL), 1);
        ck_assert_mem_eq(ours, theirs, 16);
    }
}
END_TEST

START_TEST(long_keys_keep_their_head_and_get_a_hash)
{
    char text[2000];
    const char *key;
    char kept[300];

    memset(text, 'a', sizeof(text));
    ck_assert_uint_eq(strlen(key_of_text(text, 256)), 256);
    ck_assert_int_eq(strchr(key_text, '#') == NULL, 1);
    key = key_of_text(text, 257);
    ck_assert_uint_eq(strlen(key), 256);
    ck_assert_int_eq(key[223], '#');
    memcpy(kept, key, 257);
    ck_assert_str_eq(key_of_text(text, 257), kept); /* the same row, the same key */
    text[256] = 'b';
    ck_assert_str_ne(key_of_text(text, 257), kept); /* another row, another one */
}
END_TEST

/* Kinesis counts characters: 256 of four bytes fit. */
START_TEST(limits_count_characters)
{
    char text[4 * 257];
    size_t n;

    for (n = 0; n < 257; n++)
        memcpy(text + 4 * n, "\xf0\x9f\x98\x80", 4);
    ck_assert_uint_eq(strlen(key_of_text(text, 1024)), 1024);
    ck_assert_uint_eq(strlen(key_of_text(text, 1028)), 4 * 223 + 33);
}
END_TEST

START_TEST(what_is_no_character_is_replaced)
{
    ck_assert_str_eq(key_of_text("a\xed\xa0\x80z", 5), "a\xef\xbf\xbdz");
    ck_assert_str_eq(key_of_text("\xff\xc3", 2), "\xef\xbf\xbd\xef\xbf\xbd");
    ck_assert_str_eq(key_of_text("\xc3\xbc", 2), "\xc3\xbc");
}
END_TEST

/* A constant key obeys the limits too. */
START_TEST(long_table_names)
{
    static const struct help_column plain[] = {{.name = "a", .type = DMS_INT4}};
    struct task task;
    char name[300];
    struct table_def *table;
    struct plan *plan;
    struct err e = ERR_INIT;
    uint8_t hash[16];

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    table = help_table(1, "dbo", name, plain, 1);
    help_task(&task);
    ck_assert_int_eq(plan_compile(&task, table, &plan, &e), 0);
    ck_assert_uint_eq(plan->table_key.text.size, 256);
    ck_assert_uint_eq(plan->control_key.text.size, 256);
    key_hash(plan->text + plan->table_key.text.at, 256, hash);
    ck_assert_mem_eq(hash, plan->table_key.hash, 16);
    plan_free(&plan);
    catalog_table_free(&table);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("encoder_key");
    TCase *t = tcase_create("keys");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 30);
    tcase_add_test(t, joined_in_key_order);
    tcase_add_test(t, without_a_key_the_table);
    tcase_add_test(t, integer_keys);
    tcase_add_test(t, empty_key_is_written_out);
    tcase_add_test(t, known_hashes);
    tcase_add_test(t, hashes_of_every_length);
    tcase_add_test(t, short_hashes_side_by_side);
    tcase_add_test(t, keys_hashed_together);
    tcase_add_test(t, long_keys_keep_their_head_and_get_a_hash);
    tcase_add_test(t, limits_count_characters);
    tcase_add_test(t, what_is_no_character_is_replaced);
    tcase_add_test(t, long_table_names);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
