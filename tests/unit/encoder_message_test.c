/* uses: encoder */
/*
 * Messages against golden files (tests/vectors/messages), byte for byte, and every value back
 * through another JSON parser.  WEIR_WRITE_VECTORS=1 writes the files anew; read the
 * difference before committing it.
 */
#include "encoder/json.h"
#include "encoder/message.h"
#include "tests/unit/encoder_help.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#define VECTORS "tests/vectors/messages/"

/* 2026-03-05T08:14:07.310442Z */
#define BUILT_NS 1772698447310442000

static char message[1 << 20];

static size_t
make(const struct task *task, const struct table_def *table, const struct event *ev,
     uint32_t encoders, const struct event *earlier)
{
    struct err e = ERR_INIT;
    struct message_writer w;
    struct key_maker *keys;
    struct plan *plan;
    struct key key;
    uint16_t n_values;
    const struct value *values = message_values(ev, &n_values);
    size_t bound;
    size_t n;

    ck_assert_msg(plan_compile(task, table, &plan, &e) == 0, "%s", e.text);
    ck_assert(plan->is_selected);
    ck_assert_int_eq(key_maker_open(&keys, &e), 0);
    message_open(&w, task, encoders);
    message_begin_batch(&w, BUILT_NS);
    if (earlier != NULL)
        message_follow(&w, earlier);
    if (event_is_control(ev->operation)) {
        ck_assert(message_control_is_sound(ev));
        bound = message_control_bound(plan, ev);
        memset(message, '#', bound + 64);
        n = message_control(&w, plan, ev, message);
    } else {
        ck_assert_uint_eq(n_values, plan->n_columns);
        message_follow(&w, ev);
        ck_assert_int_eq(key_of_row(keys, plan, values, &key, &e), 0);
        key_hash_rows(keys);
        bound = message_bound(plan, values, &key, event_bound(ev));
        ck_assert_uint_lt(bound + 64, sizeof(message));
        memset(message, '#', bound + 64);
        n = message_row(&w, plan, ev, values, &key, message);
    }
    ck_assert_uint_le(n, bound);
    for (size_t i = bound; i < bound + 64; i++)
        ck_assert_msg(message[i] == '#', "written %zu bytes behind the bound", i - bound);
    message[n] = '\0';
    key_maker_close(&keys);
    plan_free(&plan);
    return n;
}

/* Every number outside of strings in quotes, so that jansson hands it over as text. */
static json_t *
parse(const char *text, size_t n)
{
    char *quoted = malloc(3 * n + 1);
    size_t size = 0;
    bool in_string = false;
    bool in_number = false;
    json_error_t error;
    json_t *root;

    for (size_t i = 0; i < n; i++) {
        bool is_number = !in_string && strchr("+-.0123456789eE", text[i]) != NULL &&
                         (in_number || strchr("-0123456789", text[i]) != NULL);

        if (is_number != in_number)
            quoted[size++] = '"';
        in_number = is_number;
        if (text[i] == '"' && !in_number)
            in_string = !in_string;
        quoted[size++] = text[i];
        if (text[i] == '\\' && in_string)
            quoted[size++] = text[++i];
    }
    root = json_loadb(quoted, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s at %d: %.*s", error.text, error.position, (int)n, text);
    free(quoted);
    return root;
}

static void
check_golden(const char *name, size_t n)
{
    char path[256];
    static char want[sizeof(message)];
    FILE *f;
    size_t size;

    json_decref(parse(message, n));
    (void)snprintf(path, sizeof(path), VECTORS "%s.json", name);
    if (getenv("WEIR_WRITE_VECTORS") != NULL) {
        f = fopen(path, "w");
        ck_assert_msg(f != NULL, "%s", path);
        ck_assert_uint_eq(fwrite(message, 1, n, f), n);
        ck_assert_int_eq(fclose(f), 0);
        return;
    }
    f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s is missing", path);
    size = fread(want, 1, sizeof(want), f);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_msg(size == n && memcmp(want, message, n) == 0, "%s: got\n%.*s\nwanted\n%.*s", path,
                  (int)n, message, (int)size, want);
}

enum setting { DEFAULT, DETAILS, ALL, SETTINGS };

static const char *const setting_names[SETTINGS] = {"default", "details", "all"};
static const char *const format_names[] = {
    [FORMAT_JSON] = "json", [FORMAT_JSON_UNFORMATTED] = "unformatted"};

static void
set(struct task *task, enum message_format format, enum setting setting)
{
    help_task(task);
    task->target.message_format = format;
    task->target.include_transaction_details = setting != DEFAULT;
    task->target.include_partition_value = setting == ALL;
    task->target.partition_include_schema_table = setting == ALL;
    task->target.include_control_details = setting == ALL;
    task->target.include_null_and_empty = setting == ALL;
    task->target.no_hex_prefix = setting == ALL;
}

START_TEST(rows)
{
    static const char *const names[] = {"load", "insert", "update", "delete"};
    static const enum event_operation operations[] = {EVENT_LOAD, EVENT_INSERT, EVENT_UPDATE,
                                                      EVENT_DELETE};
    struct table_def *table = help_invoices(7);
    struct event earlier = help_event(EVENT_INSERT, 7, help_invoice_after, HELP_INVOICE_COLUMNS);

    earlier.transaction_id[5] = 0x1e;
    earlier.record_number = 9;
    for (unsigned format = FORMAT_JSON; format <= FORMAT_JSON_UNFORMATTED; format++) {
        for (unsigned setting = DEFAULT; setting < SETTINGS; setting++) {
            for (size_t i = 0; i < 4; i++) {
                struct task task;
                struct event ev =
                    help_event(operations[i], 7, help_invoice_after, HELP_INVOICE_COLUMNS);
                char name[128];

                set(&task, (enum message_format)format, (enum setting)setting);
                if (ev.operation == EVENT_UPDATE || ev.operation == EVENT_DELETE) {
                    ev.before = help_invoice_before;
                    ev.n_before = HELP_INVOICE_COLUMNS;
                }
                if (ev.operation == EVENT_DELETE)
                    ev.n_after = 0;
                (void)snprintf(name, sizeof(name), "%s.%s.%s", names[i], format_names[format],
                               setting_names[setting]);
                check_golden(name, make(&task, table, &ev, 1, &earlier));
            }
        }
    }
    catalog_table_free(&table);
}
END_TEST

START_TEST(controls)
{
    static const struct help_column plain[] = {{.name = "a", .type = DMS_INT8}};
    struct table_def *tables[] = {help_invoices(7), help_table(8, "dbo", "keyless", plain, 1)};

    for (unsigned format = FORMAT_JSON; format <= FORMAT_JSON_UNFORMATTED; format++) {
        for (unsigned setting = DEFAULT; setting < SETTINGS; setting += ALL) {
            for (size_t i = 0; i < 2; i++) {
                struct event ev = help_event(EVENT_CREATE_TABLE, 7, NULL, 0);
                struct task task;
                char name[128];

                set(&task, (enum message_format)format, (enum setting)setting);
                (void)snprintf(name, sizeof(name), "create-table.%s.%s%s", format_names[format],
                               setting_names[setting], i == 0 ? "" : ".keyless");
                check_golden(name, make(&task, tables[i], &ev, 1, NULL));
                ev.operation = EVENT_DROP_TABLE;
                (void)snprintf(name, sizeof(name), "drop-table.%s.%s%s", format_names[format],
                               setting_names[setting], i == 0 ? "" : ".keyless");
                check_golden(name, make(&task, tables[i], &ev, 1, NULL));
            }
        }
    }
    catalog_table_free(&tables[0]);
    catalog_table_free(&tables[1]);
}
END_TEST

/* What tells of a changed definition: with and without details, with DDL that is not known. */
START_TEST(alters)
{
    static const struct value rename[] = {HELP_TEXT("dbo"), HELP_TEXT("bills"), HELP_NULL};
    static const struct value add[] = {
        HELP_TEXT("note"), HELP_TEXT("nvarchar(50)"),
        HELP_TEXT("ALTER TABLE dbo.invoices\n  ADD [note] nvarchar(50) -- \"why\"")};
    static const struct value type[] = {HELP_TEXT("balance"), HELP_TEXT("int"), HELP_TEXT("bigint"),
                                        HELP_NULL};
    static const struct value nothing[] = {HELP_NULL};
    static const struct {
        const char *name;
        enum event_operation operation;
        const struct value *values;
        uint16_t n;
    } changes[] = {{"rename-table", EVENT_RENAME_TABLE, rename, 3},
                   {"add-column", EVENT_ADD_COLUMN, add, 3},
                   {"drop-column", EVENT_DROP_COLUMN, add, 3},
                   {"column-type-change", EVENT_CHANGE_TYPE, type, 4},
                   {"change-columns", EVENT_CHANGE_COLUMNS, nothing, 1}};
    struct table_def *table = help_invoices(7);

    for (unsigned format = FORMAT_JSON; format <= FORMAT_JSON_UNFORMATTED; format++) {
        for (unsigned setting = DEFAULT; setting < SETTINGS; setting += ALL) {
            for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
                struct event ev =
                    help_event(changes[i].operation, 7, changes[i].values, changes[i].n);
                struct task task;
                char name[128];

                set(&task, (enum message_format)format, (enum setting)setting);
                (void)snprintf(name, sizeof(name), "%s.%s.%s", changes[i].name,
                               format_names[format], setting_names[setting]);
                check_golden(name, make(&task, table, &ev, 1, NULL));
            }
        }
    }
    catalog_table_free(&table);
}
END_TEST

START_TEST(settings_choose_the_controls)
{
    static const struct {
        bool include;
        bool dropped;
        bool altered;
    } want[] = {{false, true, true}, {true, true, true}, {true, false, true}, {true, true, false}};
    struct table_def *table = help_invoices(7);
    struct err e = ERR_INIT;

    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        struct plan *plan;
        struct task task;

        help_task(&task);
        task.target.include_table_alter_operations = want[i].include;
        task.handle_source_table_dropped = want[i].dropped;
        task.handle_source_table_altered = want[i].altered;
        ck_assert_int_eq(plan_compile(&task, table, &plan, &e), 0);
        struct event ev = {.operation = EVENT_CREATE_TABLE};

        ck_assert(message_is_sent(plan, &ev));
        ev.operation = EVENT_DROP_TABLE;
        ck_assert_int_eq(message_is_sent(plan, &ev), want[i].include && want[i].dropped);
        position_load_chunk(ev.position.b, 1, &ev.position); /* what a load begins with */
        ck_assert(message_is_sent(plan, &ev));
        for (int op = EVENT_RENAME_TABLE; op <= EVENT_CHANGE_COLUMNS; op++) {
            ev.operation = (enum event_operation)op;
            ck_assert_int_eq(message_is_sent(plan, &ev), want[i].include && want[i].altered);
        }
        plan_free(&plan);
    }
    catalog_table_free(&table);
}
END_TEST

/* Names and texts that need every kind of escape; no column at all; LOBs the log left out; LOBs
   that were cut. */
START_TEST(odd_rows)
{
    static const struct help_column columns[] = {
        {.name = "quote\"back\\slash", .type = DMS_INT4},
        {.name = "tab\tGr\xc3\xbc\xc3\x9f"
                 "e",
         .type = DMS_WSTRING},
        {.name = "photo", .type = DMS_BLOB, .is_lob = true},
        {.name = "essay", .type = DMS_NCLOB, .is_lob = true},
    };
    static const struct value texts[] = {HELP_INT(-1),
                                         HELP_TEXT("\xf0\x9f\x98\x80 \x01\x1f\x7f\b\f\n\r\t\"\\/"),
                                         HELP_NULL, HELP_NULL};
    static const struct value missing[] = {
        HELP_NULL, HELP_TEXT(""), {.kind = VALUE_UNAVAILABLE}, {.kind = VALUE_UNAVAILABLE}};
    static const struct value cut[] = {
        HELP_INT(5),
        {.kind = VALUE_UNAVAILABLE},
        {.kind = VALUE_CUT_BYTES, .bytes = {.data = "\x00\xff", .size = 2, .whole = 70000}},
        {.kind = VALUE_CUT_TEXT, .bytes = {.data = "x\"", .size = 2, .whole = UINT32_MAX}}};
    struct table_def *table = help_table(9, "odd \"schema\"",
                                         "t\xc3\xa4"
                                         "ble",
                                         columns, 4);

    for (unsigned format = FORMAT_JSON; format <= FORMAT_JSON_UNFORMATTED; format++) {
        for (unsigned setting = DEFAULT; setting < SETTINGS; setting += ALL) {
            struct event ev = help_event(EVENT_UPDATE, 9, texts, 4);
            struct task task;
            char name[128];

            set(&task, (enum message_format)format, (enum setting)setting);
            (void)snprintf(name, sizeof(name), "escapes.%s.%s", format_names[format],
                           setting_names[setting]);
            check_golden(name, make(&task, table, &ev, 1, NULL));
            ev.after = missing;
            (void)snprintf(name, sizeof(name), "missing.%s.%s", format_names[format],
                           setting_names[setting]);
            check_golden(name, make(&task, table, &ev, 1, NULL));
            ev.after = cut;
            (void)snprintf(name, sizeof(name), "cut.%s.%s", format_names[format],
                           setting_names[setting]);
            check_golden(name, make(&task, table, &ev, 1, NULL));
        }
    }
    catalog_table_free(&table);
}
END_TEST

/* ---- values ---- */

static const struct {
    const char *name;
    struct help_column column;
    struct value value;
    const char *want;        /* as it stands in the message */
    const char *want_no_hex; /* where NoHexPrefix changes it */
} values[] = {
    {"bit", {.type = DMS_BOOLEAN}, {.kind = VALUE_BOOL, .boolean = true}, "true", NULL},
    {"bit0", {.type = DMS_BOOLEAN}, {.kind = VALUE_BOOL, .boolean = false}, "false", NULL},
    {"tinyint", {.type = DMS_UINT1}, HELP_INT(255), "255", NULL},
    {"smallint", {.type = DMS_INT2}, HELP_INT(INT16_MIN), "-32768", NULL},
    {"int", {.type = DMS_INT4}, HELP_INT(INT32_MIN), "-2147483648", NULL},
    {"bigint", {.type = DMS_INT8}, HELP_INT(INT64_MAX), "9223372036854775807", NULL},
    {"bigint_", {.type = DMS_INT8}, HELP_INT(INT64_MIN), "-9223372036854775808", NULL},
    {"ubigint",
     {.type = DMS_UINT8},
     {.kind = VALUE_UINT, .u = UINT64_MAX},
     "18446744073709551615",
     NULL},
    {"real", {.type = DMS_REAL4}, {.kind = VALUE_FLOAT32, .f32 = 0.1F}, "0.1", NULL},
    {"float", {.type = DMS_REAL8}, {.kind = VALUE_FLOAT64, .f64 = 1e300}, "1e+300", NULL},
    {"float_",
     {.type = DMS_REAL8},
     {.kind = VALUE_FLOAT64, .f64 = -2.2250738585072014e-308},
     "-2.2250738585072014e-308",
     NULL},
    {"nan", {.type = DMS_REAL8}, {.kind = VALUE_FLOAT64, .f64 = NAN}, "\"NaN\"", NULL},
    {"inf", {.type = DMS_REAL8}, {.kind = VALUE_FLOAT64, .f64 = -INFINITY}, "\"-Infinity\"", NULL},
    {"decimal",
     {.type = DMS_NUMERIC, .precision = 38, .scale = 10},
     HELP_DECIMAL("-9999999999999999999999999999.9999999999"),
     "-9999999999999999999999999999.9999999999",
     NULL},
    {"money", {.type = DMS_NUMERIC}, HELP_DECIMAL("-0.0100"), "-0.0100", NULL},
    {"zeros", {.type = DMS_NUMERIC}, HELP_DECIMAL("-0007.10"), "-7.10", NULL},
    {"zero", {.type = DMS_NUMERIC}, HELP_DECIMAL("000"), "0", NULL},
    {"zero_", {.type = DMS_NUMERIC}, HELP_DECIMAL("00.00"), "0.00", NULL},
    {"date", {.type = DMS_DATE}, HELP_DATE(-719162), "\"0001-01-01\"", NULL},
    {"time",
     {.type = DMS_TIME, .scale = 7},
     {.kind = VALUE_TIME, .time_ns = 86399999999900},
     "\"23:59:59.9999999\"",
     NULL},
    {"time0", {.type = DMS_TIME}, {.kind = VALUE_TIME}, "\"00:00:00\"", NULL},
    {"datetime",
     {.type = DMS_DATETIME, .scale = 3},
     {.kind = VALUE_DATETIME, .datetime = {.seconds = -6847804800, .nanos = 3000000}},
     "\"1753-01-01T00:00:00.003Z\"",
     NULL},
    {"datetime2",
     {.type = DMS_DATETIME, .scale = 7},
     {.kind = VALUE_DATETIME, .datetime = {.seconds = 253402300799, .nanos = 999999900}},
     "\"9999-12-31T23:59:59.9999999Z\"",
     NULL},
    {"smalldatetime",
     {.type = DMS_DATETIME},
     {.kind = VALUE_DATETIME, .datetime = {.seconds = 1772698440}},
     "\"2026-03-05T08:14:00Z\"",
     NULL},
    {"datetimeoffset",
     {.type = DMS_WSTRING, .scale = 7},
     {.kind = VALUE_DATETIMEOFFSET,
      .datetime = {.seconds = 1772698440, .nanos = 100, .offset_min = -210}},
     "\"2026-03-05 04:44:00.0000001 -03:30\"",
     NULL},
    {"char", {.type = DMS_STRING, .is_fixed_text = true}, HELP_TEXT("ab   "), "\"ab\"", NULL},
    {"varchar", {.type = DMS_STRING}, HELP_TEXT("ab   "), "\"ab   \"", NULL},
    {"nul", {.type = DMS_WSTRING}, HELP_TEXT("a\0b"), "\"a\\u0000b\"", NULL},
    {"high", {.type = DMS_WSTRING}, HELP_TEXT("x\xed\xa0\x80y"), "\"x\\ud800y\"", NULL},
    {"low", {.type = DMS_WSTRING}, HELP_TEXT("\xed\xbf\xbf"), "\"\\udfff\"", NULL},
    {"broken",
     {.type = DMS_WSTRING},
     HELP_TEXT("a\xff\xc3"),
     "\"a\xef\xbf\xbd\xef\xbf\xbd\"",
     NULL},
    {"binary",
     {.type = DMS_BYTES},
     {.kind = VALUE_BYTES, .bytes = {.data = "\x00\xde\xad", .size = 3}},
     "\"0x00dead\"",
     "\"00dead\""},
    {"guid",
     {.type = DMS_STRING},
     {.kind = VALUE_UUID,
      .uuid = {0x6f, 0x96, 0x19, 0xff, 0x8b, 0x86, 0xd0, 0x11, 0xb4, 0x2d, 0, 0xc0, 0x4f, 0xc9,
               0x64, 0xff}},
     "\"6F9619FF-8B86-D011-B42D-00C04FC964FF\"",
     NULL},
    {"null", {.type = DMS_INT4}, HELP_NULL, "null", NULL},
    {"empty", {.type = DMS_STRING}, HELP_TEXT(""), "\"\"", NULL},
    {"blank", {.type = DMS_STRING, .is_fixed_text = true}, HELP_TEXT("   "), "\"\"", NULL},
};

#define N_VALUES (sizeof(values) / sizeof(values[0]))

START_TEST(every_value)
{
    struct help_column columns[N_VALUES];
    struct value row[N_VALUES];
    struct table_def *table;
    struct event ev = help_event(EVENT_INSERT, 5, row, N_VALUES);
    struct task task;

    for (size_t i = 0; i < N_VALUES; i++) {
        columns[i] = values[i].column;
        columns[i].name = values[i].name;
        row[i] = values[i].value;
    }
    table = help_table(5, "dbo", "kinds", columns, N_VALUES);
    for (unsigned setting = DEFAULT; setting < SETTINGS; setting += ALL) {
        set(&task, FORMAT_JSON_UNFORMATTED, (enum setting)setting);
        (void)make(&task, table, &ev, 1, NULL);
        for (size_t i = 0; i < N_VALUES; i++) {
            const char *text = setting == ALL && values[i].want_no_hex != NULL
                                   ? values[i].want_no_hex
                                   : values[i].want;
            bool is_nothing = strcmp(text, "null") == 0 || strcmp(text, "\"\"") == 0;
            char member[256];

            (void)snprintf(member, sizeof(member), "\"%s\":%s", values[i].name,
                           setting == DEFAULT && is_nothing ? "" : text);
            if (setting == DEFAULT && is_nothing)
                ck_assert_msg(strstr(message, member) == NULL, "%s in %s", member, message);
            else
                ck_assert_msg(strstr(message, member) != NULL, "no %s in %s", member, message);
        }
    }
    catalog_table_free(&table);
}
END_TEST

/* With the setting off, blanks at the end stay. */
START_TEST(trim_is_a_setting)
{
    static const struct help_column column = {
        .name = "c", .type = DMS_STRING, .is_fixed_text = true};
    static const struct value row[] = {HELP_TEXT("ab  ")};
    struct table_def *table = help_table(5, "dbo", "c", &column, 1);
    struct event ev = help_event(EVENT_INSERT, 5, row, 1);
    struct task task;

    set(&task, FORMAT_JSON_UNFORMATTED, DEFAULT);
    task.source.trim_space_in_char = false;
    (void)make(&task, table, &ev, 1, NULL);
    ck_assert_msg(strstr(message, "\"c\":\"ab  \"") != NULL, "%s", message);
    catalog_table_free(&table);
}
END_TEST

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A character of 1 to 4 bytes, surrogates excluded. */
static size_t
put_random_character(uint64_t *state, char *at)
{
    uint32_t limits[] = {0x20, 0x80, 0x800, 0x10000, 0x110000};
    uint32_t c = (uint32_t)next_random(state) % limits[next_random(state) % 5];

    if (c >= 0xd800 && c < 0xe000)
        c = '"';
    if (c < 0x80) {
        at[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        at[0] = (char)(0xc0 | c >> 6);
        at[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        at[0] = (char)(0xe0 | c >> 12);
        at[1] = (char)(0x80 | (c >> 6 & 63));
        at[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    at[0] = (char)(0xf0 | c >> 18);
    at[1] = (char)(0x80 | (c >> 12 & 63));
    at[2] = (char)(0x80 | (c >> 6 & 63));
    at[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* Any text comes back through another parser as it went in. */
START_TEST(texts_come_back)
{
    uint64_t state = 1234567;

    for (int round = 0; round < 30000; round++) {
        char text[64] = "";
        char *block;
        size_t size = 0;
        size_t most = next_random(&state) % 60;
        char *out;
        char *end;
        json_t *back;

        while (size < most)
            size += put_random_character(&state, text + size);
        block = malloc(size + 1); /* of its exact size, for sanitizers */
        memcpy(block, text, size);
        out = malloc(JSON_TEXT_BOUND(size) + 2);
        out[0] = '"';
        end = json_put_text(out + 1, block, size);
        ck_assert_uint_le((size_t)(end - out - 1), json_text_bound(block, size));
        *end++ = '"';
        back = json_loadb(out, (size_t)(end - out), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        ck_assert_msg(back != NULL, "%.*s", (int)(end - out), out);
        ck_assert_uint_eq(json_string_length(back), size);
        ck_assert_mem_eq(json_string_value(back), block, size);
        json_decref(back);
        free(out);
        free(block);
    }
}
END_TEST

/* Bytes that are no UTF-8 still give JSON another parser takes. */
START_TEST(garbage_gives_valid_json)
{
    uint64_t state = 7654321;

    for (int round = 0; round < 30000; round++) {
        size_t size = next_random(&state) % 40;
        char *block = malloc(size + 1);
        char *out = malloc(JSON_TEXT_BOUND(size) + 2);
        char *end;
        json_t *back;

        for (size_t i = 0; i < size; i++) {
            block[i] = (char)next_random(&state);
            if ((unsigned char)block[i] == 0xed)
                block[i] = ' '; /* surrogates have a test of their own; jansson refuses them */
        }
        out[0] = '"';
        end = json_put_text(out + 1, block, size);
        *end++ = '"';
        back = json_loadb(out, (size_t)(end - out), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        ck_assert(back != NULL);
        json_decref(back);
        free(out);
        free(block);
    }
}
END_TEST

/* ---- transactions ---- */

static json_t *
metadata_of(const struct task *task, const struct table_def *table, const struct event *ev,
            uint32_t encoders, const struct event *earlier)
{
    json_t *root = parse(message, make(task, table, ev, encoders, earlier));
    json_t *metadata = json_incref(json_object_get(root, "metadata"));

    json_decref(root);
    return metadata;
}

START_TEST(transaction_ids_are_exact)
{
    struct table_def *table = help_invoices(7);
    struct event ev = help_event(EVENT_INSERT, 7, help_invoice_after, HELP_INVOICE_COLUMNS);
    struct task task;
    static const struct {
        uint8_t size;
        const char *want;
    } cases[] = {{1, "255"},
                 {6, "281474976710655"},
                 {8, "18446744073709551615"},
                 {10, "1208925819614629174706175"},
                 {16, "340282366920938463463374607431768211455"}};
    json_t *m;

    set(&task, FORMAT_JSON, DETAILS);
    memset(ev.transaction_id, 0xff, sizeof(ev.transaction_id));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ev.transaction_id_size = cases[i].size;
        m = metadata_of(&task, table, &ev, 1, NULL);
        ck_assert_str_eq(json_string_value(json_object_get(m, "transaction-id")), cases[i].want);
        json_decref(m);
    }
    memset(ev.transaction_id, 0, sizeof(ev.transaction_id));
    m = metadata_of(&task, table, &ev, 1, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(m, "transaction-id")), "0");
    json_decref(m);
    catalog_table_free(&table);
}
END_TEST

/* The previous transaction is told only by an encoder that sees all of them. */
START_TEST(previous_transaction)
{
    struct table_def *table = help_invoices(7);
    struct event ev = help_event(EVENT_INSERT, 7, help_invoice_after, HELP_INVOICE_COLUMNS);
    struct event earlier = ev;
    struct task task;
    json_t *m;

    set(&task, FORMAT_JSON, DETAILS);
    earlier.transaction_id[5] = 1;
    earlier.record_number = 41;
    m = metadata_of(&task, table, &ev, 1, &earlier);
    ck_assert_str_eq(json_string_value(json_object_get(m, "prev-transaction-id")), "4097");
    ck_assert_str_eq(json_string_value(json_object_get(m, "prev-transaction-record-id")), "41");
    json_decref(m);
    m = metadata_of(&task, table, &ev, 2, &earlier);
    ck_assert_ptr_null(json_object_get(m, "prev-transaction-id"));
    json_decref(m);
    m = metadata_of(&task, table, &ev, 1, &ev); /* the same transaction is not its own past */
    ck_assert_ptr_null(json_object_get(m, "prev-transaction-id"));
    json_decref(m);
    catalog_table_free(&table);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("encoder_message");
    TCase *t = tcase_create("messages");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, rows);
    tcase_add_test(t, controls);
    tcase_add_test(t, alters);
    tcase_add_test(t, settings_choose_the_controls);
    tcase_add_test(t, odd_rows);
    tcase_add_test(t, every_value);
    tcase_add_test(t, trim_is_a_setting);
    tcase_add_test(t, texts_come_back);
    tcase_add_test(t, garbage_gives_valid_json);
    tcase_add_test(t, transaction_ids_are_exact);
    tcase_add_test(t, previous_transaction);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
