/* Selection rules and their wildcards, secrets, the table of settings. */
#include "common/settings.h"
#include "common/task_doc.h"
#include "tests/unit/task_help.h"

/* ---- selection ---- */

static const struct {
    const char *pattern;
    const char *text;
    bool fold;
    bool matches;
} patterns[] = {
    {"%", "", false, true},
    {"%", "anything", false, true},
    {"invoices", "invoices", false, true},
    {"invoices", "Invoices", false, false},
    {"invoices", "INVOICES", true, true},
    {"invoices", "invoice", false, false},
    {"invoice", "invoices", false, false},
    {"inv%", "invoices", false, true},
    {"inv%s", "invoices", false, true},
    {"%inv%s%", "xxinvoices", false, true},
    {"%a%b%c", "abcabcabc", false, true},
    {"%a%b%c", "abcabcab", false, false},
    {"a%%b", "ab", false, true},
    {"order_items", "orderXitems", false, true},
    {"order[_]items", "orderXitems", false, false},
    {"order[_]items", "order_items", false, true},
    {"t[ab]", "ta", false, true},
    {"t[ab]", "tc", false, false},
    {"t[ab]", "t", false, false},
    {"t[ab]", "tab", false, false},
    {"t[a-d]", "tc", false, true},
    {"t[a-d]", "te", false, false},
    {"t[a-d]", "tC", false, false},
    {"t[a-d]", "tC", true, true},
    {"t[a-]", "t-", false, true},
    {"t[%]", "t%", false, true},
    {"t[%]", "tx", false, false},
    {"_", "", false, false},
    {"_", "\xC3\xA4", false, true}, /* one character, two bytes */
    {"__", "\xC3\xA4", false, false},
    {"stra\xC3\x9F"
     "e_",
     "stra\xC3\x9F"
     "e1",
     false, true},
    {"\xC3\x84%", "\xC3\xA4x", true, true}, /* A-umlaut, a-umlaut */
    {"\xC3\x84%", "\xC3\xA4x", false, false},
    {"[\xD0\x90-\xD0\xAF]", "\xD0\x96", false, true}, /* Cyrillic */
    {"\xD0\x96", "\xD0\xB6", true, true},
    {"%x", "\xFF\xFEx", false, true}, /* not UTF-8: no harm */
};

START_TEST(test_pattern)
{
    struct selection_rule rule = {.action = SELECTION_INCLUDE,
                                  .schema_name = (char *)(uintptr_t) "%",
                                  .table_name = (char *)(uintptr_t)patterns[_i].pattern};
    struct task t = {.selections = &rule, .n_selections = 1};

    ck_assert_msg(task_selects(&t, "s", patterns[_i].text, patterns[_i].fold) ==
                      patterns[_i].matches,
                  "%s on %s", patterns[_i].pattern, patterns[_i].text);
}
END_TEST

/* A pattern of many stars on a text that almost matches ends at once. */
START_TEST(test_pattern_has_no_bad_case)
{
    char text[4001];
    struct selection_rule rule = {.action = SELECTION_INCLUDE,
                                  .schema_name = (char *)(uintptr_t) "%",
                                  .table_name =
                                      (char *)(uintptr_t) "%a%a%a%a%a%a%a%a%a%a%a%a%a%a%a%b"};
    struct task t = {.selections = &rule, .n_selections = 1};

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ck_assert(!task_selects(&t, "s", text, false));
}
END_TEST

#define RULE_EXCLUDE SELECTION("1", "a", "dbo", "stg%", "exclude", "")
#define RULE_ALL                                                                                   \
    SELECTION("\"2\"", "b", "dbo", "%", "include",                                                 \
              ", \"load-order\": \"3\", \"filters\": [], \"value\": null")
#define RULE_BIG      SELECTION("3", "c", "dbo", "big", "include", ", \"load-order\": 9")
#define RULE_EXPLICIT SELECTION("4", "d", "x", "a_b", "explicit", "")

START_TEST(test_precedence_and_load_order)
{
    struct task *t;

    write_edited(BASE_RULE, RULE_EXCLUDE "," RULE_ALL "," RULE_BIG "," RULE_EXPLICIT);
    t = load_good();
    ck_assert(task_selects(t, "dbo", "big", false));
    ck_assert(!task_selects(t, "dbo", "stg1", false));
    ck_assert(!task_selects(t, "dbo2", "big", false));
    ck_assert(task_selects(t, "x", "a_b", false));
    ck_assert(!task_selects(t, "x", "aXb", false)); /* no wildcard in an explicit rule */
    ck_assert(!task_selects(t, "X", "A_B", false));
    ck_assert(task_selects(t, "X", "A_B", true));
    ck_assert_uint_eq(task_load_order(t, "dbo", "big", false), 9);
    ck_assert_uint_eq(task_load_order(t, "dbo", "small", false), 3);
    ck_assert_uint_eq(task_load_order(t, "x", "a_b", false), 0);
    task_free(&t);
}
END_TEST

START_TEST(test_mappings_as_a_string)
{
    struct task *t;

    write_edited("{\"rules\": [\n" BASE_RULE "  ]}",
                 "\"{\\\"rules\\\": [{\\\"rule-type\\\": \\\"selection\\\", \\\"rule-id\\\": "
                 "\\\"7\\\", \\\"rule-name\\\": \\\"n\\\", \\\"rule-action\\\": \\\"include\\\", "
                 "\\\"object-locator\\\": {\\\"schema-name\\\": \\\"dbo\\\", \\\"table-name\\\": "
                 "\\\"t\\\"}}]}\"");
    t = load_good();
    ck_assert_uint_eq(t->n_selections, 1);
    ck_assert_str_eq(t->selections[0].rule_id, "7");
    ck_assert_str_eq(t->selections[0].where, "task.json:17: $.TableMappings.rules[0]");
    task_free(&t);
}
END_TEST

/* ---- secrets ---- */

static void
expect_secret(enum secret_kind kind, const char *value, const char *expected, const char *complaint)
{
    struct secret s = {.kind = kind, .value = (char *)(uintptr_t)value};
    struct err e = ERR_INIT;
    char *text;
    int rc = secret_read(&s, "the password", &text, &e);

    if (expected != NULL) {
        ck_assert_msg(rc == 0, "%s", e.text);
        ck_assert_str_eq(text, expected);
    } else {
        ck_assert_int_eq(rc, -1);
        ck_assert_str_eq(e.text, complaint);
        ck_assert_ptr_null(text);
    }
    secret_wipe(&text);
    ck_assert_ptr_null(text);
}

START_TEST(test_secrets)
{
    (void)setenv("WEIR_TEST_PASSWORD", "p w", 1);
    (void)unsetenv("WEIR_TEST_NOTHING");
    expect_secret(SECRET_TEXT, "plain", "plain", NULL);
    expect_secret(SECRET_ENV, "WEIR_TEST_PASSWORD", "p w", NULL);
    expect_secret(SECRET_ENV, "WEIR_TEST_NOTHING", NULL,
                  "the password: the environment variable WEIR_TEST_NOTHING is not set");
    expect_secret(SECRET_NONE, "", NULL, "the password: no password is given");
    expect_secret(SECRET_MANAGER, "prod/db", NULL,
                  "the password: the secret prod/db is read by weir-capture only");
    expect_secret(SECRET_FILE, "password", NULL,
                  "the password: open password: No such file or directory");
    write_file("password", " with blanks \r\n", 0640);
    expect_secret(SECRET_FILE, "password", " with blanks ", NULL);
    write_file("password", "\n", 0640);
    expect_secret(SECRET_FILE, "password", NULL,
                  "the password: password holds no password (one line of text)");
    write_file("password", "two\nlines", 0640);
    expect_secret(SECRET_FILE, "password", NULL,
                  "the password: password holds no password (one line of text)");
}
END_TEST

/* ---- the table itself ---- */

START_TEST(test_table_is_sound)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings_table[i];
        char word[128];
        bool is_word = s->type != SETTING_WORD || s->preset == NULL;

        ck_assert_msg(settings_find(s->section, s->name) == s, "%s.%s stands twice", s->section,
                      s->name);
        ck_assert_msg(s->help[0] != '\0', "%s has no help", s->name);
        ck_assert_msg((s->status == SETTING_USED) == (s->reason == NULL), "%s", s->name);
        for (size_t w = 0; !is_word && settings_word(s->words, w, word, sizeof(word)); w++)
            is_word = strcmp(word, s->preset) == 0;
        ck_assert_msg(is_word, "%s: its default is none of its words", s->name);
        if (s->type == SETTING_NUMBER && s->preset != NULL) {
            long long n = strtoll(s->preset, NULL, 10);

            ck_assert_msg(n >= s->minimum && n <= s->maximum, "%s", s->name);
        }
    }
}
END_TEST

START_TEST(test_distance)
{
    ck_assert_uint_eq(settings_distance("", ""), 0);
    ck_assert_uint_eq(settings_distance("abc", "abc"), 0);
    ck_assert_uint_eq(settings_distance("abc", "ABC"), 0);
    ck_assert_uint_eq(settings_distance("abc", "abd"), 1);
    ck_assert_uint_eq(settings_distance("abc", "acb"), 1); /* neighbours swapped */
    ck_assert_uint_eq(settings_distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(settings_distance("", "abc"), 3);
}
END_TEST

static char *
printed(int (*print)(int fd))
{
    int fd = open("out", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t size;
    char *text;

    ck_assert_int_eq(print(fd), 0);
    size = lseek(fd, 0, SEEK_CUR);
    text = calloc(1, (size_t)size + 1);
    ck_assert_int_eq(pread(fd, text, (size_t)size, 0), size);
    (void)close(fd);
    (void)unlink("out");
    return text;
}

START_TEST(test_pages_hold_every_setting)
{
    char *text = printed(task_print_settings);
    char *page = printed(task_print_markdown);
    char *schema = printed(task_print_schema);
    json_t *o = json_loads(schema, 0, NULL);

    ck_assert_ptr_nonnull(o);
    ck_assert_ptr_nonnull(json_object_get(json_object_get(o, "properties"), "SourceEndpoint"));
    for (size_t i = 0; i < settings_count; i++) {
        ck_assert_ptr_nonnull(strstr(text, settings_table[i].name));
        ck_assert_ptr_nonnull(strstr(page, settings_table[i].name));
        ck_assert_ptr_nonnull(strstr(schema, settings_table[i].name));
    }
    json_decref(o);
    free(text);
    free(page);
    free(schema);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("task select");
    TCase *files = tcase_create("files");
    TCase *pure = tcase_create("pure");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_test(files, test_precedence_and_load_order);
    tcase_add_test(files, test_mappings_as_a_string);
    tcase_add_test(files, test_secrets);
    tcase_add_test(files, test_pages_hold_every_setting);
    tcase_add_loop_test(pure, test_pattern, 0, N(patterns));
    tcase_add_test(pure, test_pattern_has_no_bad_case);
    tcase_add_test(pure, test_table_is_sound);
    tcase_add_test(pure, test_distance);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, pure);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
