/* uses: mssqld */
/* Calls and their parameters: recorded requests, every type, truncation and damage. */
#include "common/err.h"
#include "tests/mssqld/tds/param.h"
#include "tests/mssqld/tds/paramtype.h"
#include "tests/mssqld/tds/pool.h"
#include "tests/mssqld/tds/reader.h"
#include "tests/mssqld/tds/rpc.h"
#include "tests/mssqld/tds/wirevalue.h"
#include "tests/unit/tds_vectors.h"

static struct bytes
recorded_call(const char *file)
{
    json_t *json = vector_load(file);
    json_t *message = json_array_get(json_object_get(json, "messages"), 0);
    struct bytes out = vector_payload(json_string_value(json_object_get(message, "hex")));

    json_decref(json);
    return out;
}

/* Parses a whole request; returns the number of calls or -1.  *first is the first one. */
static int
parse(const struct bytes *request, struct pool *pool, struct text_codec *codec,
      struct rpc_call *first, struct err *e)
{
    struct reader r = reader_of(request->data, request->size);
    struct rpc_call call;
    int n = 0;
    int more;

    if (rpc_skip_headers(&r, e) != 0)
        return -1;
    while ((more = rpc_next(&r, pool, codec, &call, e)) > 0) {
        if (n++ == 0)
            *first = call;
    }
    return more < 0 ? -1 : n;
}

static void
expect_text(const struct sql_param *p, const char *text)
{
    ck_assert(!p->value.is_null);
    ck_assert_uint_eq(p->value.bytes.size, strlen(text));
    ck_assert_mem_eq(p->value.bytes.data, text, strlen(text));
}

START_TEST(recorded_sp_executesql)
{
    struct bytes request = recorded_call("rpc_sp_executesql");
    struct pool pool = {.blocks = NULL};
    struct text_codec codec = {.n = 0};
    struct err e = ERR_INIT;
    struct rpc_call call;
    const struct sql_param *p;

    ck_assert_int_eq(parse(&request, &pool, &codec, &call, &e), 1);
    ck_assert_uint_eq(call.id, RPC_EXECUTESQL);
    ck_assert_int_eq(call.n_params, 6);
    p = call.params;
    expect_text(&p[0], "SELECT @P1 + 1 AS a, @P2 AS b, NULL AS c, @P3 AS d, @P4 AS e");
    ck_assert_int_eq(p[0].type.length, SQL_LENGTH_MAX);
    ck_assert_str_eq(p[2].name, "@P1");
    ck_assert_int_eq((int)p[2].type.base, SQL_INT);
    ck_assert_int_eq(p[2].value.i, 41);
    expect_text(&p[3], "zwei");
    ck_assert_int_eq((int)p[4].type.base, SQL_DECIMAL);
    ck_assert_uint_eq(p[4].type.precision, 4);
    ck_assert_uint_eq(p[4].type.scale, 2);
    ck_assert(!p[4].value.dec.negative && p[4].value.dec.magnitude == 1234);
    ck_assert_uint_eq(p[5].value.bytes.size, 2);
    ck_assert_mem_eq(p[5].value.bytes.data, "\1\2", 2);
    text_codec_close(&codec);
    pool_free(&pool);
    free(request.data);
}
END_TEST

START_TEST(recorded_named_procedure)
{
    struct bytes request = recorded_call("rpc_procedure");
    struct pool pool = {.blocks = NULL};
    struct text_codec codec = {.n = 0};
    struct err e = ERR_INIT;
    struct rpc_call call;

    ck_assert_int_eq(parse(&request, &pool, &codec, &call, &e), 1);
    ck_assert_uint_eq(call.id, RPC_NAMED);
    ck_assert_str_eq(call.name, "dbo.pr");
    ck_assert_int_eq(call.n_params, 2);
    ck_assert_int_eq(call.params[0].value.i, 4);
    ck_assert(!call.params[0].output);
    ck_assert(call.params[1].output);
    ck_assert(call.params[1].value.is_null);
    pool_free(&pool);
    free(request.data);
}
END_TEST

/* ---- every type there and back ---- */

static const char *const texts[] = {"", "abc", "\xC3\xA9\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                                    "a\xED\xA0\xBDz"};

static void
there_and_back(const struct sql_type *type, const struct sql_value *v)
{
    struct wirevalue_encoder encoder = {.plp_chunk = 3};
    struct wiretype_plan plan;
    struct buf b = {.data = NULL};
    struct reader r;
    struct pool pool = {.blocks = NULL};
    struct err e = ERR_INIT;
    struct paramtype got;
    struct sql_value out;

    wiretype_plan(type, &plan);
    wiretype_put_info(&b, &plan);
    wirevalue_put(&b, &encoder, &plan, v);
    r = reader_of(b.data, b.size);
    ck_assert_msg(paramtype_read(&r, &got, &e) == 0, "%s", e.text);
    ck_assert_msg(param_read_value(&r, &got, &pool, &encoder.codec, &out, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(reader_left(&r), 0);
    ck_assert_int_eq((int)got.type.base, (int)type->base);
    ck_assert_int_eq(got.type.scale, type->scale);
    ck_assert_int_eq(out.is_null, v->is_null);
    if (!v->is_null && plan.form <= FORM_FLOAT) {
        ck_assert_int_eq(out.i, v->i);
    } else if (!v->is_null && plan.form == FORM_DECIMAL) {
        ck_assert(out.dec.magnitude == v->dec.magnitude && out.dec.negative == v->dec.negative);
    } else if (!v->is_null && plan.form <= FORM_MONEY) {
        ck_assert_int_eq(out.i, v->i);
    } else if (!v->is_null && plan.form <= FORM_DATETIMEOFFSET) {
        ck_assert_int_eq(out.dt.days, v->dt.days);
        ck_assert_int_eq(out.dt.ticks, v->dt.ticks);
        ck_assert_int_eq(out.dt.offset_min, v->dt.offset_min);
    } else if (!v->is_null) {
        ck_assert_uint_eq(out.bytes.size, v->bytes.size);
        ck_assert_mem_eq(out.bytes.data, v->bytes.data, v->bytes.size);
    }
    pool_free(&pool);
    buf_free(&b);
    wirevalue_encoder_free(&encoder);
}

START_TEST(numbers_there_and_back)
{
    static const struct {
        struct sql_type type;
        int64_t values[4];
    } cases[] = {
        {{.base = SQL_BIT}, {0, 1, 1, 0}},
        {{.base = SQL_TINYINT}, {0, 1, 128, 255}},
        {{.base = SQL_SMALLINT}, {0, -1, INT16_MIN, INT16_MAX}},
        {{.base = SQL_INT}, {0, -1, INT32_MIN, INT32_MAX}},
        {{.base = SQL_BIGINT}, {0, -1, INT64_MIN, INT64_MAX}},
        {{.base = SQL_SMALLMONEY}, {0, -1, INT32_MIN, INT32_MAX}},
        {{.base = SQL_MONEY}, {0, -1, INT64_MIN, INT64_MAX}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int nullable = 0; nullable < 2; nullable++) {
            struct sql_type type = cases[i].type;
            struct sql_value null = {.is_null = true};

            type.nullable = nullable == 1;
            for (int k = 0; k < 4; k++)
                there_and_back(&type, &(struct sql_value){.i = cases[i].values[k]});
            if (type.nullable)
                there_and_back(&type, &null);
        }
    }
    for (uint8_t precision = 1; precision <= 38; precision++) {
        struct sql_type type = {.base = SQL_DECIMAL, .precision = precision, .nullable = true};
        struct sql_value v = {.is_null = false};

        for (int d = 0; d < precision; d++)
            v.dec.magnitude = v.dec.magnitude * 10 + 9;
        there_and_back(&type, &v);
        v.dec.negative = true;
        there_and_back(&type, &v);
    }
}
END_TEST

START_TEST(times_there_and_back)
{
    static const enum sql_base bases[] = {SQL_TIME, SQL_DATETIME2, SQL_DATETIMEOFFSET};
    static const int64_t unit[8] = {10000000, 1000000, 100000, 10000, 1000, 100, 10, 1};

    for (uint8_t scale = 0; scale <= 7; scale++) {
        for (size_t i = 0; i < 3; i++) {
            struct sql_type type = {.base = bases[i], .scale = scale, .nullable = true};
            struct sql_value v = {.dt = {.ticks = 864000000000 - unit[scale]}};

            if (bases[i] != SQL_TIME)
                v.dt.days = 3652058;
            if (bases[i] == SQL_DATETIMEOFFSET)
                v.dt.offset_min = -840;
            there_and_back(&type, &v);
            v.dt.ticks = 0;
            v.dt.days = 0;
            there_and_back(&type, &v);
        }
    }
    for (int64_t units = 0; units < 25920000; units += 7919) {
        struct sql_type type = {.base = SQL_DATETIME, .nullable = true};
        struct sql_value v = {.dt = {.days = 639905, .ticks = (units * 100000 + 1) / 3}};

        there_and_back(&type, &v);
    }
}
END_TEST

START_TEST(bytes_there_and_back)
{
    static const enum sql_base bases[] = {SQL_NVARCHAR, SQL_NCHAR,     SQL_XML,   SQL_VARCHAR,
                                          SQL_CHAR,     SQL_VARBINARY, SQL_BINARY};

    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        for (int max = 0; max < 2; max++) {
            struct sql_type type = {.base = bases[i],
                                    .length = 20,
                                    .nullable = true,
                                    .collation = {0x09, 0x04, 0xD0, 0x04, 0}};

            if (max == 1 && bases[i] != SQL_NCHAR && bases[i] != SQL_CHAR && bases[i] != SQL_BINARY)
                type.length = SQL_LENGTH_MAX;
            for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
                struct sql_value v = {.bytes = {.data = texts[k], .size = strlen(texts[k])}};

                /* A lone surrogate has no form in a UTF-8 column. */
                if (k != 4 || (bases[i] != SQL_VARCHAR && bases[i] != SQL_CHAR))
                    there_and_back(&type, &v);
            }
            there_and_back(&type, &(struct sql_value){.is_null = true});
        }
    }
}
END_TEST

/* Code pages: what a column holds comes back as the same text. */
START_TEST(code_pages_there_and_back)
{
    static const struct {
        uint8_t collation[5];
        const char *text;
        size_t size; /* in the code page */
    } cases[] = {
        {{0x09, 0x04, 0xD0, 0x00, 0x34}, "\xE2\x82\xAC\xC3\xBF\xC5\x93", 3}, /* 1252 */
        {{0x19, 0x04, 0xD0, 0x00, 0x00}, "\xD0\x9F\xD1\x80\xD0\xB8", 3},     /* 1251 */
        {{0x11, 0x04, 0xD0, 0x00, 0x00}, "\xE6\x97\xA5\xE6\x9C\xAC", 4},     /* 932 */
        {{0x09, 0x04, 0xD0, 0x04, 0x00}, "\xE6\x97\xA5\xF0\x9F\x98\x80", 7}, /* UTF-8 */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text_codec codec = {.n = 0};
        struct buf wire = {.data = NULL};
        struct buf back = {.data = NULL};
        unsigned page = text_codepage(cases[i].collation);

        text_put_codepage(&codec, page, &wire, cases[i].text, strlen(cases[i].text));
        ck_assert_uint_eq(wire.size, cases[i].size);
        text_from_codepage(&codec, page, &back, wire.data, wire.size);
        ck_assert_uint_eq(back.size, strlen(cases[i].text));
        ck_assert_mem_eq(back.data, cases[i].text, back.size);
        buf_free(&wire);
        buf_free(&back);
        text_codec_close(&codec);
    }
}
END_TEST

START_TEST(what_a_code_page_lacks_becomes_a_question_mark)
{
    static const uint8_t cyrillic[5] = {0x19, 0x04, 0xD0, 0x00, 0x00};
    struct text_codec codec = {.n = 0};
    struct buf b = {.data = NULL};
    const char *text = "\xE6\x97\xA5x\xED\xA0\xBD";

    text_put_codepage(&codec, TEXT_LATIN1, &b, text, strlen(text));
    ck_assert_uint_eq(b.size, 3);
    ck_assert_mem_eq(b.data, "?x?", 3);
    buf_clear(&b);
    text_put_codepage(&codec, text_codepage(cyrillic), &b, text, strlen(text));
    ck_assert_uint_eq(b.size, 3);
    ck_assert_mem_eq(b.data, "?x?", 3);
    buf_free(&b);
    text_codec_close(&codec);
}
END_TEST

/* ---- hostile input ---- */

START_TEST(truncated_calls_are_refused)
{
    static const char *const files[] = {"rpc_sp_executesql", "rpc_procedure"};
    struct bytes request = recorded_call(files[_i]);

    for (size_t size = 0; size < request.size; size++) {
        struct bytes cut = {.data = malloc(size + (size == 0)), .size = size};
        struct pool pool = {.blocks = NULL};
        struct text_codec codec = {.n = 0};
        struct err e = ERR_INIT;
        struct rpc_call call = {.n_params = 0};
        int n;

        memcpy(cut.data, request.data, size);
        n = parse(&cut, &pool, &codec, &call, &e);
        /* Cut between two parameters, or before the first call, it is a shorter good request. */
        if (n == 1)
            ck_assert_int_lt(call.n_params, _i == 0 ? 6 : 2);
        else if (n < 0)
            ck_assert_int_eq((int)e.code, ERR_PROTOCOL);
        else
            ck_assert_uint_eq(size, 22);
        pool_free(&pool);
        text_codec_close(&codec);
        free(cut.data);
    }
    free(request.data);
}
END_TEST

START_TEST(random_damage_is_survived)
{
    struct bytes request = recorded_call("rpc_sp_executesql");
    uint32_t seed = 4711;

    for (int round = 0; round < 50000; round++) {
        struct bytes copy = {.data = malloc(request.size), .size = request.size};
        struct pool pool = {.blocks = NULL};
        struct text_codec codec = {.n = 0};
        struct err e = ERR_INIT;
        struct rpc_call call;

        memcpy(copy.data, request.data, request.size);
        for (int i = 0; i < 1 + round % 5; i++) {
            seed = seed * 1664525U + 1013904223U;
            copy.data[(seed >> 8) % copy.size] = (uint8_t)(seed >> 24);
        }
        (void)parse(&copy, &pool, &codec, &call, &e);
        pool_free(&pool);
        text_codec_close(&codec);
        free(copy.data);
    }
    free(request.data);
}
END_TEST

START_TEST(impossible_parameters_are_refused)
{
    static const struct {
        const char *data;
        size_t size;
    } cases[] = {
        {"\x26\x03\x03\0\0\0", 6},                                  /* an integer of three bytes */
        {"\x26\x04\x02\0\0", 5},                                    /* four declared, two sent */
        {"\x6a\x11\x27\x00\x05\x01\0\0\0\0", 10},                   /* decimal(39) */
        {"\x6a\x05\x05\x06\x05\x01\0\0\0\0", 10},                   /* scale above precision */
        {"\x29\x08\x05\0\0\0\0\0", 8},                              /* time(8) */
        {"\x29\x00\x03\xFF\xFF\xFF", 6},                            /* a time beyond the day */
        {"\x28\x03\xFF\xFF\xFF", 5},                                /* a date beyond 9999 */
        {"\x28\x02\x01\x01", 4},                                    /* a date of two bytes */
        {"\xE7\x02\x00\x09\x04\xD0\0\x34\x04\0a\0b\0", 14},         /* longer than declared */
        {"\xA5\xFF\xFF\x05\0\0\0\0\0\0\0\x02\0\0\0ab\0\0\0\0", 21}, /* 5 announced, 2 sent */
        {"\xA5\xFF\xFF\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 15}, /* endless chunk */
        {"\xF3\0\0\0", 4},                                                    /* a table */
        {"\x62\x49\x1f\0\0\x06\0\0\0\x62\0\0\0\0\0", 15}, /* a variant in a variant */
        {"\x62\x49\x1f\0\0\x03\0\0\0\x38\x00\x01", 12},   /* a variant of too few bytes */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *data = malloc(cases[i].size);
        struct reader r = reader_of(data, cases[i].size);
        struct pool pool = {.blocks = NULL};
        struct text_codec codec = {.n = 0};
        struct err e = ERR_INIT;
        struct paramtype type;
        struct sql_value v;

        memcpy(data, cases[i].data, cases[i].size);
        ck_assert_msg(paramtype_read(&r, &type, &e) != 0 ||
                          param_read_value(&r, &type, &pool, &codec, &v, &e) != 0,
                      "case %zu was taken", i);
        ck_assert_int_eq((int)e.code, ERR_PROTOCOL);
        pool_free(&pool);
        text_codec_close(&codec);
        free(data);
    }
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("tds_rpc");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, recorded_sp_executesql);
    tcase_add_test(t, recorded_named_procedure);
    tcase_add_test(t, numbers_there_and_back);
    tcase_add_test(t, times_there_and_back);
    tcase_add_test(t, bytes_there_and_back);
    tcase_add_test(t, code_pages_there_and_back);
    tcase_add_test(t, what_a_code_page_lacks_becomes_a_question_mark);
    tcase_add_loop_test(t, truncated_calls_are_refused, 0, 2);
    tcase_add_test(t, random_damage_is_survived);
    tcase_add_test(t, impossible_parameters_are_refused);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
