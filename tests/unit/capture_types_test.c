/* What types.c asks for and decode.c makes of the answer, where the two have to fit: CLR types,
   sql_variant, values that are cut. */
/* uses: capture aws */
#include "capture/sqlserver/arena.h"
#include "capture/sqlserver/clr.h"
#include "capture/sqlserver/sql.h"
#include "capture/sqlserver/types.h"
#include "common/catalog.h"
#include "common/err.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_BINARY 45
#define TYPE_CLR    240

static struct arena arena;

static void
setup(void)
{
    memset(&arena, 0, sizeof(arena));
}

static void
teardown(void)
{
    arena_free(&arena);
}

/* Bytes of hexadecimal text, in a block of exactly their size, so that a sanitizer sees any read
   beyond it. */
static uint8_t *
bytes_of(const char *hex, size_t *size)
{
    uint8_t *out;

    *size = strlen(hex) / 2;
    out = malloc(*size + (*size == 0 ? 1 : 0));
    for (size_t i = 0; i < *size; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return out;
}

static void
check_hex(const void *got, size_t size, const char *want, const char *where)
{
    size_t n;
    uint8_t *bytes = bytes_of(want, &n);

    ck_assert_msg(size == n && memcmp(got, bytes, n) == 0, "%s: %zu bytes", where, size);
    free(bytes);
}

/* ---- hierarchyid ---- */

/* Bytes as the documentation and other implementations give them; ends of every range. */
static const struct {
    const char *hex;
    const char *path;
} paths[] = {
    {"", "/"},
    {"48", "/0/"},
    {"58", "/1/"},
    {"68", "/2/"},
    {"78", "/3/"},
    {"84", "/4/"},
    {"9C", "/7/"},
    {"A2", "/8/"},
    {"BE", "/15/"},
    {"C110", "/16/"},
    {"DBF0", "/79/"},
    {"E00440", "/80/"},
    {"EEEFC0", "/1103/"},
    {"F00088", "/1104/"},
    {"F7DDF8", "/5199/"},
    {"3F80", "/-1/"},
    {"3880", "/-8/"},
    {"2DF8", "/-9/"},
    {"2088", "/-72/"},
    {"1BEEFC", "/-73/"},
    {"180044", "/-4168/"},
    {"5AC0", "/1/1/"},
    {"5AD6", "/1/1/1/"},
    {"5B40", "/1/2/"},
    {"62C0", "/1.1/"},
    {"6AC0", "/2/1/"},
};

START_TEST(hierarchyids_become_paths)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        size_t size;
        uint8_t *in = bytes_of(paths[i].hex, &size);
        char *out = malloc(CLR_PATH_BOUND(size));
        size_t n = clr_path(in, size, out);

        ck_assert_msg(n == strlen(paths[i].path) && memcmp(out, paths[i].path, n) == 0,
                      "%s: '%.*s' for %s", paths[i].hex, (int)n, out, paths[i].path);
        free(out);
        free(in);
    }
}
END_TEST

/* The long patterns: six bits of prefix, 36 or 42 of number between fixed ones. */
START_TEST(hierarchyids_of_many_digits)
{
    static const struct {
        const char *hex;
        const char *path;
    } cases[] = {
        {"F80000000220", "/5200/"},
        {"FC00000000000110", "/4294972496/"},
        {"FFFFF7FFFFDFBBF0", "/281479271683151/"},
        {"140000000220", "/-4294971464/"},
        {"1000000000000110", "/-281479271682120/"},
        {"FFFFF7FFFFDFBBE0", NULL}, /* ends behind a point */
        {"FFFFFFFFFFDFBBF0", NULL}, /* a fixed bit is another */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size;
        uint8_t *in = bytes_of(cases[i].hex, &size);
        char out[256];
        size_t n = clr_path(in, size, out);

        if (cases[i].path == NULL)
            ck_assert_msg(n == 0, "%s: '%.*s'", cases[i].hex, (int)n, out);
        else
            ck_assert_msg(n == strlen(cases[i].path) && memcmp(out, cases[i].path, n) == 0,
                          "%s: '%.*s' for %s", cases[i].hex, (int)n, out, cases[i].path);
        free(in);
    }
}
END_TEST

START_TEST(bytes_that_are_no_hierarchyid)
{
    static const char *const cases[] = {"00", "FF", "08", "60" /* "1." and nothing behind */,
                                        "5800"};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct value v;
        struct err e = ERR_INIT;
        size_t size;
        uint8_t *in = bytes_of(cases[i], &size);
        char out[64];

        ck_assert_msg(clr_path(in, size, out) == 0, "%s", cases[i]);
        ck_assert_int_eq(type_decode(TYPE_CLR, WIRE_HIERARCHYID, in, size, &arena, &v, &e), -1);
        ck_assert_int_eq(e.code, ERR_DATA);
        free(in);
    }
}
END_TEST

/* ---- geometry, geography ---- */

#define D0   "0000000000000000"
#define D1   "000000000000F03F"
#define D2   "0000000000000040"
#define D3   "0000000000000840"
#define D4   "0000000000001040"
#define DNAN "000000000000F87F"
#define NO   "FFFFFFFF"
#define U(n) "0" #n "000000"

static const struct {
    const char *name;
    bool is_geography;
    const char *in;
    const char *wkb;
} spatials[] = {
    {"POINT (1 2)", false, U(0) "010C" D1 D2,
     "01"
     "01000020" U(0) D1 D2},
    {"POINT (1 2 3 4)", false, U(0) "010F" D1 D2 D3 D4,
     "01"
     "010000E0" U(0) D1 D2 D3 D4},
    {"geography POINT (2 1), SRID 4326", true,
     "E6100000"
     "010C" D1 D2,
     "01"
     "01000020"
     "E6100000" D2 D1},
    {"LINESTRING (0 1, 2 3)", false, U(0) "0114" D0 D1 D2 D3,
     "01"
     "02000020" U(0) U(2) D0 D1 D2 D3},
    {"LINESTRING Z", false, U(0) "0115" D0 D1 D2 D3 D4 D1,
     "01"
     "020000A0" U(0) U(2) D0 D1 D4 D2 D3 D1},
    {"POINT EMPTY", false, U(0) "0104" U(0) U(0) U(1) NO NO "01",
     "01"
     "01000020" U(0) DNAN DNAN},
    {"LINESTRING EMPTY", false, U(0) "0104" U(0) U(0) U(1) NO NO "02",
     "01"
     "02000020" U(0) U(0)},
    {"GEOMETRYCOLLECTION EMPTY", false, U(0) "0104" U(0) U(0) U(1) NO NO "07",
     "01"
     "07000020" U(0) U(0)},
    {"POLYGON with a hole", false,
     U(0) "0104" U(8) D0 D0 D0 D4 D4 D0 D0 D0 D1 D1 D2 D1 D1 D2 D1 D1 U(2) "02" U(0) "00" U(4) U(1)
         NO U(0) "03",
     "01"
     "03000020" U(0) U(2) U(4) D0 D0 D0 D4 D4 D0 D0 D0 U(4) D1 D1 D2 D1 D1 D2 D1 D1},
    {"MULTIPOINT (1 2, 3 4)", false,
     U(0) "0104" U(2) D1 D2 D3 D4 U(2) "01" U(0) "01" U(1) U(3) NO U(0) "04" U(0) U(0) "01" U(0)
         U(1) "01",
     "01"
     "04000020" U(0) U(2) "01" U(1) D1 D2 "01" U(1) D3 D4},
    {"GEOMETRYCOLLECTION (POINT (1 2), GEOMETRYCOLLECTION (POINT EMPTY), LINESTRING (0 0, 1 1))",
     false,
     U(0) "0104" U(3) D1 D2 D0 D0 D1 D1 U(2) "01" U(0) "01" U(1) U(5) NO U(0) "07" U(0)
         U(0) "01" U(0) NO "07" U(2) NO "01" U(0) U(1) "02",
     "01"
     "07000020" U(0) U(3) "01" U(1) D1 D2 "01" U(7) U(1) "01" U(1) DNAN DNAN "01" U(2) U(2)
         D0 D0 D1 D1},
    {"CIRCULARSTRING (0 0, 1 1, 2 0)", false,
     U(0) "0204" U(3) D0 D0 D1 D1 D2 D0 U(1) "02" U(0) U(1) NO U(0) "08",
     "01"
     "08000020" U(0) U(3) D0 D0 D1 D1 D2 D0},
    {"COMPOUNDCURVE ((0 0, 1 0, 2 0), CIRCULARSTRING (2 0, 3 1, 4 0), (4 0, 4 4))", false,
     U(0) "0204" U(6) D0 D0 D1 D0 D2 D0 D3 D1 D4 D0 D4 D4 U(1) "03" U(0) U(1)
         NO U(0) "09" U(4) "02000302",
     "01"
     "09000020" U(0) U(3) "01" U(2) U(3) D0 D0 D1 D0 D2 D0 "01" U(8) U(3) D2 D0 D3 D1 D4 D0
     "01" U(2) U(2) D4 D0 D4 D4},
    {"CURVEPOLYGON (CIRCULARSTRING)", false,
     U(0) "0204" U(5) D0 D0 D1 D1 D2 D0 D1 D0 D0 D0 U(1) "02" U(0) U(1) NO U(0) "0A",
     "01"
     "0A000020" U(0) U(1) "01" U(8) U(5) D0 D0 D1 D1 D2 D0 D1 D0 D0 D0},
    {"FULLGLOBE", true,
     "E6100000"
     "0224" U(0) U(0) U(1) NO NO "0B",
     "01"
     "7E000020"
     "E6100000"},
};

static uint8_t *
wkb_of(const uint8_t *in, size_t size, bool is_geography, size_t *n)
{
    uint8_t *out;

    *n = clr_wkb(in, size, is_geography, NULL);
    out = malloc(*n + (*n == 0 ? 1 : 0));
    if (*n > 0)
        ck_assert_uint_eq(clr_wkb(in, size, is_geography, out), *n);
    return out;
}

START_TEST(spatial_values_become_wkb)
{
    for (size_t i = 0; i < sizeof(spatials) / sizeof(spatials[0]); i++) {
        size_t size;
        size_t n;
        uint8_t *in = bytes_of(spatials[i].in, &size);
        uint8_t *out = wkb_of(in, size, spatials[i].is_geography, &n);

        check_hex(out, n, spatials[i].wkb, spatials[i].name);
        free(out);
        free(in);
    }
}
END_TEST

/* Version 2 may say that there are no segments. */
START_TEST(no_segments)
{
    size_t size;
    uint8_t *in =
        bytes_of(U(0) "0204" U(3) D0 D0 D1 D1 D2 D0 U(1) "02" U(0) U(1) NO U(0) "08" U(0), &size);

    ck_assert_uint_eq(clr_wkb(in, size, false, NULL), 61);
    in[size - 4] = 1; /* one, which is not there */
    ck_assert_uint_eq(clr_wkb(in, size, false, NULL), 0);
    free(in);
}
END_TEST

/* Cut anywhere, or with any byte changed, a value is refused or read whole: never beyond its end. */
START_TEST(broken_spatial_values)
{
    unsigned refused = 0;

    for (size_t i = 0; i < sizeof(spatials) / sizeof(spatials[0]); i++) {
        size_t size;
        uint8_t *in = bytes_of(spatials[i].in, &size);

        for (size_t at = 0; at < size; at++) {
            uint8_t old = in[at];
            uint8_t *shorter = malloc(at + 1);
            size_t n;

            memcpy(shorter, in, at);
            ck_assert_uint_eq(clr_wkb(shorter, at, false, NULL), 0);
            free(shorter);
            for (unsigned byte = 0; byte < 256; byte++) {
                in[at] = (uint8_t)byte;
                free(wkb_of(in, size, spatials[i].is_geography, &n));
                refused += n == 0 ? 1 : 0;
            }
            in[at] = old;
        }
        free(in);
    }
    ck_assert_uint_gt(refused, 1000);
}
END_TEST

/* ---- sql_variant ---- */

static const struct {
    const char *wire; /* what the query gives, ASCII */
    const char *text; /* NULL: refused */
} variants[] = {
    {"t42", "42"},
    {"t", ""},
    {"t0xFF", "0xFF"},
    {"d0x3FB999999999999A", "0.1"},
    {"d0x0000000000000001", "5e-324"},
    {"d0x8000000000000000", "-0"},
    {"d0x7FEFFFFFFFFFFFFF", "1.7976931348623157e+308"},
    {"r0x3DCCCCCD", "0.1"},
    {"r0x3DCCCCC", NULL},
    {"d0x3FB999999999999g", NULL},
    {"d", NULL},
    {"", NULL},
    {"x42", NULL},
};

START_TEST(variants_become_text)
{
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        uint8_t wide[64];
        size_t n = strlen(variants[i].wire);
        struct value v;
        struct err e = ERR_INIT;
        int rc;

        for (size_t k = 0; k < n; k++) {
            wide[2 * k] = (uint8_t)variants[i].wire[k];
            wide[2 * k + 1] = 0;
        }
        rc = type_decode(TYPE_BINARY, WIRE_VARIANT, wide, 2 * n, &arena, &v, &e);
        if (variants[i].text == NULL) {
            ck_assert_msg(rc == -1 && e.code == ERR_DATA, "%s was taken", variants[i].wire);
            continue;
        }
        ck_assert_msg(rc == 0, "%s: %s", variants[i].wire, e.text);
        ck_assert_int_eq(v.kind, VALUE_TEXT);
        ck_assert_msg(v.bytes.size == strlen(variants[i].text) &&
                          memcmp(v.bytes.data, variants[i].text, v.bytes.size) == 0,
                      "%s: '%.*s'", variants[i].wire, (int)v.bytes.size, v.bytes.data);
    }
}
END_TEST

/* ---- cut values ---- */

static struct type_column
column(uint8_t system_type, int16_t max_length, uint32_t limit)
{
    struct type_column t = {.system_type = system_type, .user_type = 130, .max_length = max_length};
    struct column_def c = {.name = NULL};
    struct err e = ERR_INIT;

    ck_assert_int_eq(type_describe(&t, &c, &e), 0);
    type_limit(&t, limit);
    return t;
}

static const struct {
    uint8_t system_type;
    int16_t max_length;
    const char *select;
} selects[] = {
    {231, -1,
     "CONVERT(binary(8), CONVERT(bigint, DATALENGTH([c]))) + CONVERT(varbinary(max), "
     "SUBSTRING([c], 1, 1025))"},
    {167, -1,
     "CONVERT(binary(8), CONVERT(bigint, DATALENGTH([c]))) + CONVERT(varbinary(max), "
     "CONVERT(nvarchar(max), SUBSTRING([c], 1, 1025)))"},
    {35, 16,
     "CONVERT(binary(8), CONVERT(bigint, DATALENGTH(CONVERT(varchar(max), [c])))) + "
     "CONVERT(varbinary(max), CONVERT(nvarchar(max), SUBSTRING(CONVERT(varchar(max), [c]), 1, "
     "1025)))"},
    {241, -1,
     "CONVERT(binary(8), CONVERT(bigint, DATALENGTH(CONVERT(nvarchar(max), [c])))) + "
     "CONVERT(varbinary(max), SUBSTRING(CONVERT(nvarchar(max), [c]), 1, 1025))"},
    {165, -1,
     "CONVERT(binary(8), CONVERT(bigint, DATALENGTH([c]))) + CONVERT(varbinary(max), "
     "SUBSTRING([c], 1, 1025))"},
    {240, -1, "[c]"},                            /* a part of a geography is none */
    {231, 100, "CONVERT(varbinary(8000), [c])"}, /* not large */
    {165, 100, "[c]"},
};

START_TEST(the_query_cuts)
{
    for (size_t i = 0; i < sizeof(selects) / sizeof(selects[0]); i++) {
        struct type_column t = column(selects[i].system_type, selects[i].max_length, 1024);
        struct sql q = {.text = NULL};
        struct err e = ERR_INIT;

        type_add_select(&q, &t, "c");
        ck_assert_str_eq(sql_text(&q, &e), selects[i].select);
        sql_free(&q);
    }
}
END_TEST

/* `units` UTF-16 characters behind the size of the whole, which is said to be `whole`. */
static void
decode_cut(const struct type_column *t, const uint16_t *units, size_t n, uint64_t whole,
           struct value *v)
{
    uint8_t *in = malloc(8 + 2 * n);
    struct err e = ERR_INIT;

    for (size_t i = 0; i < 8; i++)
        in[i] = (uint8_t)(whole >> (56 - 8 * i));
    for (size_t i = 0; i < n; i++) {
        in[8 + 2 * i] = (uint8_t)units[i];
        in[9 + 2 * i] = (uint8_t)(units[i] >> 8);
    }
    ck_assert_msg(type_decode_column(t, TYPE_BINARY, in, 8 + 2 * n, &arena, v, &e) == 0, "%s",
                  e.text);
    free(in);
}

START_TEST(text_is_cut_between_characters)
{
    const struct type_column t = column(231, -1, 4);
    static const struct {
        uint16_t units[5];
        size_t n;
        uint64_t whole;
        const char *text;
        enum value_kind kind;
    } cases[] = {
        {{'a', 'b', 'c', 'd'}, 4, 8, "abcd", VALUE_TEXT},
        {{'a', 'b', 'c', 'd', 'e'}, 5, 10, "abcd", VALUE_CUT_TEXT},
        {{'a', 'b', 'c', 0xE9}, 4, 8, "abc", VALUE_CUT_TEXT},
        {{'a', 'b', 0xE9}, 3, 6, "ab\xc3\xa9", VALUE_TEXT},
        {{'a', 0xD83D, 0xDE00}, 3, 6, "a", VALUE_CUT_TEXT},
        {{0xD83D, 0xDE00}, 2, 4, "\xf0\x9f\x98\x80", VALUE_TEXT},
        {{'a', 'b', 'c', 'd', 0xD83D}, 5, 400, "abcd", VALUE_CUT_TEXT}, /* half a pair fetched */
        {{0x4E2D, 0x4E2D}, 2, (uint64_t)1 << 40, "\xe4\xb8\xad", VALUE_CUT_TEXT},
        {{0}, 0, 0, "", VALUE_TEXT},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct value v;

        decode_cut(&t, cases[i].units, cases[i].n, cases[i].whole, &v);
        ck_assert_msg(v.kind == cases[i].kind, "case %zu: kind %d", i, v.kind);
        ck_assert_msg(v.bytes.size == strlen(cases[i].text) &&
                          memcmp(v.bytes.data, cases[i].text, v.bytes.size) == 0,
                      "case %zu: '%.*s'", i, (int)v.bytes.size, v.bytes.data);
        if (v.kind == VALUE_CUT_TEXT)
            ck_assert_uint_eq(v.bytes.whole,
                              cases[i].whole > UINT32_MAX ? UINT32_MAX : cases[i].whole);
    }
}
END_TEST

START_TEST(bytes_are_cut_anywhere)
{
    const struct type_column t = column(165, -1, 2);
    static const uint8_t in[] = {0, 0, 0, 0, 0, 1, 0, 0, 0x80, 0x81, 0x82};
    struct value v;
    struct err e = ERR_INIT;

    ck_assert_int_eq(type_decode_column(&t, TYPE_BINARY, in, sizeof(in), &arena, &v, &e), 0);
    ck_assert_int_eq(v.kind, VALUE_CUT_BYTES);
    ck_assert_uint_eq(v.bytes.whole, 65536);
    check_hex(v.bytes.data, v.bytes.size, "8081", "cut");
    ck_assert_int_eq(type_decode_column(&t, TYPE_BINARY, in, 10, &arena, &v, &e), 0);
    ck_assert_int_eq(v.kind, VALUE_BYTES);
    ck_assert_int_eq(type_decode_column(&t, TYPE_BINARY, NULL, 0, &arena, &v, &e), 0);
    ck_assert_int_eq(v.kind, VALUE_NULL);
    ck_assert_int_eq(type_decode_column(&t, TYPE_BINARY, in, 7, &arena, &v, &e), -1);
    ck_assert_int_eq(e.code, ERR_DATA);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_types");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, hierarchyids_become_paths);
    tcase_add_test(tc, hierarchyids_of_many_digits);
    tcase_add_test(tc, bytes_that_are_no_hierarchyid);
    tcase_add_test(tc, spatial_values_become_wkb);
    tcase_add_test(tc, no_segments);
    tcase_add_test(tc, broken_spatial_values);
    tcase_add_test(tc, variants_become_text);
    tcase_add_test(tc, the_query_cuts);
    tcase_add_test(tc, text_is_cut_between_characters);
    tcase_add_test(tc, bytes_are_cut_anywhere);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
