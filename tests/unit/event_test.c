#include "common/err.h"
#include "common/event.h"

#include <check.h>
#include <msgpack.h>

static struct event_values room;

/* One value of every kind, extremes included. */
static const struct value samples[] = {
    {.kind = VALUE_NULL},
    {.kind = VALUE_UNAVAILABLE},
    {.kind = VALUE_BOOL, .boolean = true},
    {.kind = VALUE_BOOL, .boolean = false},
    {.kind = VALUE_INT, .i = 0},
    {.kind = VALUE_INT, .i = 127},
    {.kind = VALUE_INT, .i = 128},
    {.kind = VALUE_INT, .i = 255},
    {.kind = VALUE_INT, .i = 256},
    {.kind = VALUE_INT, .i = 65535},
    {.kind = VALUE_INT, .i = 65536},
    {.kind = VALUE_INT, .i = UINT32_MAX},
    {.kind = VALUE_INT, .i = (int64_t)UINT32_MAX + 1},
    {.kind = VALUE_INT, .i = INT64_MAX},
    {.kind = VALUE_INT, .i = -1},
    {.kind = VALUE_INT, .i = -32},
    {.kind = VALUE_INT, .i = -33},
    {.kind = VALUE_INT, .i = INT8_MIN},
    {.kind = VALUE_INT, .i = INT8_MIN - 1},
    {.kind = VALUE_INT, .i = INT16_MIN},
    {.kind = VALUE_INT, .i = INT16_MIN - 1},
    {.kind = VALUE_INT, .i = INT32_MIN},
    {.kind = VALUE_INT, .i = (int64_t)INT32_MIN - 1},
    {.kind = VALUE_INT, .i = INT64_MIN},
    {.kind = VALUE_UINT, .u = (uint64_t)INT64_MAX + 1},
    {.kind = VALUE_UINT, .u = UINT64_MAX},
    {.kind = VALUE_FLOAT32, .f32 = -1.5F},
    {.kind = VALUE_FLOAT64, .f64 = 0x1p-1074},
    {.kind = VALUE_DECIMAL, .bytes = {"0", 1}},
    {.kind = VALUE_DECIMAL, .bytes = {"-0", 2}},
    {.kind = VALUE_DECIMAL, .bytes = {"1.5", 3}},
    {.kind = VALUE_DECIMAL, .bytes = {"12.0", 4}},
    {.kind = VALUE_DECIMAL, .bytes = {"-1234.00", 8}},
    {.kind = VALUE_DECIMAL, .bytes = {"99999999999999999999999999999999999999", 38}},
    {.kind = VALUE_TEXT, .bytes = {"", 0}},
    {.kind = VALUE_TEXT,
     .bytes = {"Gr\xc3\xbc\xc3\x9f"
               "e",
               7}},
    {.kind = VALUE_TEXT, .bytes = {"with\0nul", 8}},
    {.kind = VALUE_BYTES, .bytes = {"", 0}},
    {.kind = VALUE_BYTES, .bytes = {"\x00\xff\x80", 3}},
    {.kind = VALUE_DATE, .days = INT32_MIN},
    {.kind = VALUE_DATE, .days = 20517},
    {.kind = VALUE_TIME, .time_ns = 86400000000000},
    {.kind = VALUE_TIME, .time_ns = 0},
    {.kind = VALUE_DATETIME, .datetime = {.seconds = -62135596800, .nanos = 999999999}},
    {.kind = VALUE_DATETIMEOFFSET,
     .datetime = {.seconds = 253402300799, .nanos = 1, .offset_min = -840}},
    {.kind = VALUE_UUID, .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
    {.kind = VALUE_CUT_TEXT, .bytes = {"Gr\xc3\xbc", 4, INT32_MAX}},
    {.kind = VALUE_CUT_BYTES, .bytes = {"\x00\xff\x80", 3, 4}},
};

#define N_SAMPLES (sizeof(samples) / sizeof(samples[0]))

static struct event
sample_event(void)
{
    struct event ev = {
        .operation = EVENT_UPDATE,
        .table_id = 7,
        .version = 3,
        .commit_real_ns = 1772700847123456789,
        .transaction_id = {0, 0, 0, 0, 0x0a, 0x3f},
        .transaction_id_size = 6,
        .record_number = 70000,
        .captured_mono_ns = -5,
        .n_before = (uint16_t)N_SAMPLES,
        .n_after = 3,
        .before = samples,
        .after = samples + 24,
    };

    for (size_t i = 0; i < POSITION_SIZE; i++)
        ev.position.b[i] = (uint8_t)(i * 7);
    return ev;
}

static void
assert_value_eq(const struct value *a, const struct value *b)
{
    ck_assert_int_eq((int)a->kind, (int)b->kind);
    switch (a->kind) {
    case VALUE_NULL:
    case VALUE_UNAVAILABLE:
        break;
    case VALUE_BOOL:
        ck_assert(a->boolean == b->boolean);
        break;
    case VALUE_INT:
    case VALUE_UINT:
    case VALUE_TIME:
        ck_assert_uint_eq(a->u, b->u);
        break;
    case VALUE_FLOAT32:
        ck_assert_mem_eq(&a->f32, &b->f32, sizeof(a->f32));
        break;
    case VALUE_FLOAT64:
        ck_assert_mem_eq(&a->f64, &b->f64, sizeof(a->f64));
        break;
    case VALUE_DECIMAL:
    case VALUE_TEXT:
    case VALUE_BYTES:
        ck_assert_uint_eq(a->bytes.size, b->bytes.size);
        if (a->bytes.size > 0)
            ck_assert_mem_eq(a->bytes.data, b->bytes.data, a->bytes.size);
        break;
    case VALUE_CUT_TEXT:
    case VALUE_CUT_BYTES:
        ck_assert_uint_eq(a->bytes.whole, b->bytes.whole);
        ck_assert_uint_eq(a->bytes.size, b->bytes.size);
        ck_assert_mem_eq(a->bytes.data, b->bytes.data, a->bytes.size);
        break;
    case VALUE_DATE:
        ck_assert_int_eq(a->days, b->days);
        break;
    case VALUE_DATETIME:
    case VALUE_DATETIMEOFFSET:
        ck_assert_int_eq(a->datetime.seconds, b->datetime.seconds);
        ck_assert_uint_eq(a->datetime.nanos, b->datetime.nanos);
        ck_assert_int_eq(a->datetime.offset_min, b->datetime.offset_min);
        break;
    case VALUE_UUID:
        ck_assert_mem_eq(a->uuid, b->uuid, sizeof(a->uuid));
        break;
    }
}

static void
assert_event_eq(const struct event *a, const struct event *b)
{
    ck_assert_int_eq((int)a->operation, (int)b->operation);
    ck_assert_uint_eq(a->table_id, b->table_id);
    ck_assert_uint_eq(a->version, b->version);
    ck_assert_int_eq(position_compare(&a->position, &b->position), 0);
    ck_assert_int_eq(a->commit_real_ns, b->commit_real_ns);
    ck_assert_uint_eq(a->transaction_id_size, b->transaction_id_size);
    ck_assert_mem_eq(a->transaction_id, b->transaction_id, a->transaction_id_size);
    ck_assert_uint_eq(a->record_number, b->record_number);
    ck_assert_int_eq(a->captured_mono_ns, b->captured_mono_ns);
    ck_assert_uint_eq(a->n_before, b->n_before);
    ck_assert_uint_eq(a->n_after, b->n_after);
    for (size_t i = 0; i < a->n_before; i++)
        assert_value_eq(&a->before[i], &b->before[i]);
    for (size_t i = 0; i < a->n_after; i++)
        assert_value_eq(&a->after[i], &b->after[i]);
}

/* ---- the same event by msgpack-c ---- */

static void
pack_be(msgpack_packer *pk, int8_t type, const uint64_t *words, const size_t *sizes, size_t n)
{
    char body[16];
    size_t len = 0;

    for (size_t w = 0; w < n; w++) {
        for (size_t i = 0; i < sizes[w]; i++)
            body[len++] = (char)(uint8_t)(words[w] >> 8 * (sizes[w] - 1 - i));
    }
    msgpack_pack_ext(pk, len, type);
    msgpack_pack_ext_body(pk, body, len);
}

static void
pack_cut(msgpack_packer *pk, int8_t type, const struct value *v)
{
    const char whole[4] = {(char)(v->bytes.whole >> 24), (char)(v->bytes.whole >> 16),
                           (char)(v->bytes.whole >> 8), (char)v->bytes.whole};

    msgpack_pack_ext(pk, sizeof(whole) + v->bytes.size, type);
    msgpack_pack_ext_body(pk, whole, sizeof(whole));
    msgpack_pack_ext_body(pk, v->bytes.data, v->bytes.size);
}

static void
pack_value(msgpack_packer *pk, const struct value *v)
{
    const uint64_t moment[] = {(uint64_t)v->datetime.seconds, v->datetime.nanos,
                               (uint16_t)v->datetime.offset_min};

    switch (v->kind) {
    case VALUE_NULL:
        msgpack_pack_nil(pk);
        break;
    case VALUE_UNAVAILABLE:
        pack_be(pk, 1, (const uint64_t[]){0}, (const size_t[]){1}, 1);
        break;
    case VALUE_BOOL:
        if (v->boolean)
            msgpack_pack_true(pk);
        else
            msgpack_pack_false(pk);
        break;
    case VALUE_INT:
        msgpack_pack_int64(pk, v->i);
        break;
    case VALUE_UINT:
        msgpack_pack_uint64(pk, v->u);
        break;
    case VALUE_FLOAT32:
        msgpack_pack_float(pk, v->f32);
        break;
    case VALUE_FLOAT64:
        msgpack_pack_double(pk, v->f64);
        break;
    case VALUE_DECIMAL:
        msgpack_pack_ext(pk, v->bytes.size, 2);
        msgpack_pack_ext_body(pk, v->bytes.data, v->bytes.size);
        break;
    case VALUE_TEXT:
        msgpack_pack_str(pk, v->bytes.size);
        msgpack_pack_str_body(pk, v->bytes.data, v->bytes.size);
        break;
    case VALUE_BYTES:
        msgpack_pack_bin(pk, v->bytes.size);
        msgpack_pack_bin_body(pk, v->bytes.data, v->bytes.size);
        break;
    case VALUE_DATE:
        pack_be(pk, 3, (const uint64_t[]){(uint32_t)v->days}, (const size_t[]){4}, 1);
        break;
    case VALUE_TIME:
        pack_be(pk, 4, (const uint64_t[]){(uint64_t)v->time_ns}, (const size_t[]){8}, 1);
        break;
    case VALUE_DATETIME:
        pack_be(pk, 5, moment, (const size_t[]){8, 4}, 2);
        break;
    case VALUE_DATETIMEOFFSET:
        pack_be(pk, 6, moment, (const size_t[]){8, 4, 2}, 3);
        break;
    case VALUE_UUID:
        msgpack_pack_ext(pk, 16, 7);
        msgpack_pack_ext_body(pk, v->uuid, 16);
        break;
    case VALUE_CUT_TEXT:
        pack_cut(pk, 8, v);
        break;
    case VALUE_CUT_BYTES:
        pack_cut(pk, 9, v);
        break;
    }
}

static void
pack_values(msgpack_packer *pk, const struct value *values, size_t n)
{
    if (n == 0) {
        msgpack_pack_nil(pk);
        return;
    }
    msgpack_pack_array(pk, n);
    for (size_t i = 0; i < n; i++)
        pack_value(pk, &values[i]);
}

static void
pack_event(msgpack_sbuffer *out, const struct event *ev)
{
    msgpack_packer pk;

    msgpack_sbuffer_init(out);
    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 9);
    msgpack_pack_int(&pk, (int)ev->operation);
    msgpack_pack_uint32(&pk, ev->version);
    msgpack_pack_bin(&pk, POSITION_SIZE);
    msgpack_pack_bin_body(&pk, ev->position.b, POSITION_SIZE);
    msgpack_pack_int64(&pk, ev->commit_real_ns);
    msgpack_pack_bin(&pk, ev->transaction_id_size);
    msgpack_pack_bin_body(&pk, ev->transaction_id, ev->transaction_id_size);
    msgpack_pack_uint32(&pk, ev->record_number);
    msgpack_pack_int64(&pk, ev->captured_mono_ns);
    pack_values(&pk, ev->before, ev->n_before);
    pack_values(&pk, ev->after, ev->n_after);
}

/* Both writers give the same bytes, and each reader understands the other's. */
static void
check_against_msgpack(const struct event *ev)
{
    size_t bound = event_bound(ev);
    uint8_t *buf = malloc(bound);
    size_t n = event_encode(ev, buf);
    msgpack_sbuffer theirs;
    msgpack_unpacked parsed;
    struct event back;
    struct err e = ERR_INIT;

    ck_assert_uint_le(n, bound);
    pack_event(&theirs, ev);
    ck_assert_uint_eq(n, theirs.size);
    ck_assert_mem_eq(buf, theirs.data, n);

    msgpack_unpacked_init(&parsed);
    ck_assert_int_eq((int)msgpack_unpack_next(&parsed, (const char *)buf, n, NULL),
                     (int)MSGPACK_UNPACK_SUCCESS);
    ck_assert_int_eq((int)parsed.data.type, (int)MSGPACK_OBJECT_ARRAY);
    ck_assert_uint_eq(parsed.data.via.array.size, 9);
    msgpack_unpacked_destroy(&parsed);

    ck_assert_msg(event_decode(theirs.data, theirs.size, ev->table_id, &room, &back, &e) == 0, "%s",
                  e.text);
    assert_event_eq(ev, &back);
    msgpack_sbuffer_destroy(&theirs);
    free(buf);
}

START_TEST(every_kind_against_msgpack)
{
    struct event ev = sample_event();

    check_against_msgpack(&ev);
    ev.n_before = 0;
    ev.operation = EVENT_LOAD;
    ev.transaction_id_size = 0;
    ev.record_number = 0;
    check_against_msgpack(&ev);
    ev.n_after = 0;
    ev.operation = EVENT_CREATE_TABLE;
    ev.captured_mono_ns = INT64_MAX;
    ev.commit_real_ns = INT64_MIN;
    ev.transaction_id_size = EVENT_MAX_TRANSACTION;
    check_against_msgpack(&ev);
    for (int op = EVENT_DROP_TABLE; op <= EVENT_CHANGE_COLUMNS; op++) {
        const struct value texts[] = {{.kind = VALUE_TEXT, .bytes = {"note", 4}},
                                      {.kind = VALUE_NULL}};

        ev.operation = (enum event_operation)op;
        ev.after = texts;
        ev.n_after = op > EVENT_DROP_TABLE ? 2 : 0;
        check_against_msgpack(&ev);
    }
}
END_TEST

START_TEST(sizes_around_every_length_form)
{
    static const uint32_t sizes[] = {0,   1,   2,   3,     4,     5,     7,     8,
                                     9,   15,  16,  17,    31,    32,    255,   256,
                                     257, 999, 999, 65534, 65535, 65536, 65537, 300000};
    char *text = malloc(300000);

    memset(text, '7', 300000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct value v[3] = {{.kind = VALUE_TEXT, .bytes = {text, sizes[i]}},
                             {.kind = VALUE_BYTES, .bytes = {text, sizes[i]}},
                             {.kind = VALUE_DECIMAL, .bytes = {text, sizes[i]}}};
        struct event ev = sample_event();

        ev.n_before = 0;
        ev.after = v;
        ev.n_after = sizes[i] == 0 ? 2 : 3;
        check_against_msgpack(&ev);
    }
    free(text);
}
END_TEST

START_TEST(column_counts)
{
    static struct value values[EVENT_MAX_COLUMNS];
    static const uint16_t counts[] = {1, 15, 16, 17, 255, 256, EVENT_MAX_COLUMNS};

    for (size_t i = 0; i < EVENT_MAX_COLUMNS; i++)
        values[i] = samples[i % N_SAMPLES];
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct event ev = sample_event();

        ev.before = values;
        ev.after = values;
        ev.n_before = counts[i];
        ev.n_after = counts[i];
        check_against_msgpack(&ev);
    }
}
END_TEST

/* ---- untrusted bytes ---- */

/* The data in a block of exactly its size, so that a sanitizer sees any read beyond it. */
static int
decode_exact(const uint8_t *data, size_t n, struct event *out, struct err *e)
{
    uint8_t *block = malloc(n > 0 ? n : 1);
    int result;

    memcpy(block, data, n);
    result = event_decode(block, n, 7, &room, out, e);
    free(block);
    return result;
}

START_TEST(every_truncation_is_refused)
{
    struct event ev = sample_event();
    uint8_t *buf = malloc(event_bound(&ev) + 1);
    size_t n = event_encode(&ev, buf);
    struct event back;

    for (size_t len = 0; len < n; len++) {
        struct err e = ERR_INIT;

        ck_assert_int_eq(decode_exact(buf, len, &back, &e), -1);
        ck_assert_int_eq((int)e.code, (int)ERR_CORRUPT);
    }
    buf[n] = 0xc0;
    ck_assert_int_eq(decode_exact(buf, n + 1, &back, NULL), -1);
    free(buf);
}
END_TEST

/* What a changed byte still lets through must be an event that encodes and decodes as itself. */
START_TEST(every_byte_changed)
{
    struct event ev = sample_event();
    uint8_t *buf = malloc(event_bound(&ev));
    size_t n = event_encode(&ev, buf);
    unsigned refused = 0;

    for (size_t at = 0; at < n; at++) {
        uint8_t old = buf[at];

        for (unsigned byte = 0; byte < 256; byte++) {
            struct event got;
            struct err e = ERR_INIT;

            buf[at] = (uint8_t)byte;
            if (event_decode(buf, n, 7, &room, &got, &e) == 0) {
                uint8_t *again = malloc(event_bound(&got));

                ck_assert_uint_le(event_encode(&got, again), event_bound(&got));
                free(again);
            } else {
                ck_assert_int_eq((int)e.code, (int)ERR_CORRUPT);
                refused++;
            }
        }
        buf[at] = old;
    }
    ck_assert_uint_gt(refused, 1000);
    free(buf);
}
END_TEST

/* A head that is right, with `values` (hex text) as the after array's only value. */
static int
decode_value(const char *values, struct event *out, struct err *e)
{
    struct event ev = sample_event();
    uint8_t buf[512];
    size_t n;

    ev.n_before = 0;
    ev.n_after = 0;
    n = event_encode(&ev, buf) - 1;
    buf[n++] = 0x91;
    for (const char *p = values; *p != '\0'; p += 2) {
        char pair[3] = {p[0], p[1], '\0'};

        buf[n++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return event_decode(buf, n, 7, &room, out, e);
}

START_TEST(values_that_are_refused)
{
    static const char *const cases[] = {
        "c1",                                 /* never used by msgpack */
        "90",                                 /* an array */
        "80",                                 /* a map */
        "d40100ff",                           /* a byte too much */
        "d40000",                             /* extension 0 */
        "d40a00",                             /* extension 10 */
        "d5080000",                           /* a cut text without the size of the whole */
        "d50900000000",                       /* the same of bytes */
        "c707090000000078797a",               /* three bytes of nothing */
        "d4ff00",                             /* extension -1 */
        "d50100ff",                           /* unavailable of two bytes */
        "d5030000",                           /* a date of two bytes */
        "c70002",                             /* an empty decimal */
        "d4022d",                             /* "-" */
        "d5022d2e",                           /* "-." */
        "d502312e",                           /* "1." */
        "d5022e31",                           /* ".1" */
        "d5022b31",                           /* "+1" */
        "d6023165313233",                     /* "1e12" and one more */
        "d602312e2e31",                       /* "1..1" */
        "d704ffffffffffffffff",               /* a time before midnight */
        "d70400004e94914f0001",               /* a nanosecond behind 24:00 */
        "c70c057fffffffffffffff00000000",     /* year 292 billion */
        "c70c0500000000000000003b9aca00",     /* 10^9 ns */
        "c70e060000000000000000000000000349", /* +841 minutes */
        "dbffffffff00",                       /* a text of 4 GiB */
        "c6ffffffff00",                       /* bytes of 4 GiB */
        "c9ffffffff02",                       /* a decimal of 4 GiB */
        "cfffffffff",                         /* an integer cut off */
    };
    struct event out;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err e = ERR_INIT;

        ck_assert_msg(decode_value(cases[i], &out, &e) == -1, "%s was taken", cases[i]);
        ck_assert_int_eq((int)e.code, (int)ERR_CORRUPT);
    }
    ck_assert_int_eq(decode_value("c70e060000000000000000000000000348", &out, NULL), 0);
    ck_assert_int_eq(out.after[0].datetime.offset_min, 840);
    ck_assert_int_eq(decode_value("cf000000000000002a", &out, NULL), 0);
    ck_assert_int_eq((int)out.after[0].kind, (int)VALUE_INT);
    ck_assert_int_eq(out.after[0].i, 42);
}
END_TEST

START_TEST(heads_that_are_refused)
{
    struct event ev = sample_event();
    uint8_t buf[512];
    struct event out;
    struct err e = ERR_INIT;
    size_t n;

    ev.n_before = 0;
    ev.n_after = 0;
    n = event_encode(&ev, buf);
    ck_assert_int_eq(event_decode(buf, n, 7, &room, &out, &e), 0);
    buf[0] = 0x98;
    ck_assert_int_eq(event_decode(buf, n, 7, &room, &out, &e), -1);
    buf[0] = 0x99;
    buf[1] = 5;
    ck_assert_int_eq(event_decode(buf, n, 7, &room, &out, &e), -1);
    ck_assert_msg(strstr(e.text, "unknown operation") != NULL, "%s", e.text);
    buf[1] = 1;
    buf[4] = 31; /* a position of 31 bytes: the rest shifts */
    ck_assert_int_eq(event_decode(buf, n, 7, &room, &out, &e), -1);
    buf[4] = 32;
    buf[n - 1] = 0x90; /* an empty array is not how "none" is written */
    ck_assert_int_eq(event_decode(buf, n, 7, &room, &out, &e), -1);
    memcpy(buf + n - 1, "\xdd\x00\x00\x04\x01", 5); /* 1025 columns */
    ck_assert_int_eq(event_decode(buf, n + 4, 7, &room, &out, &e), -1);
    ck_assert_msg(strstr(e.text, "number of columns") != NULL, "%s", e.text);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("event");
    TCase *t = tcase_create("event");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, every_kind_against_msgpack);
    tcase_add_test(t, sizes_around_every_length_form);
    tcase_add_test(t, column_counts);
    tcase_add_test(t, every_truncation_is_refused);
    tcase_add_test(t, every_byte_changed);
    tcase_add_test(t, values_that_are_refused);
    tcase_add_test(t, heads_that_are_refused);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
