/* uses: capture aws */
/*
 * Any bytes as a column's value: the first byte chooses how they are read (native types, UTF-16,
 * sql_variant, hierarchyid, geometry, geography, cut), the rest is refused or becomes a value within
 * its bounds.
 */
#include "capture/sqlserver/arena.h"
#include "capture/sqlserver/types.h"
#include "common/err.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* dbcoltype() of bytes, of CLR types and of those with a form of their own. */
static const int db_types[] = {45, 240, 34, 36, 40, 41, 42, 43,  47,  48,  50, 52,
                               56, 58,  59, 60, 61, 62, 98, 106, 108, 122, 127};

static void
must(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "%s\n", what);
    abort();
}

/* A path is made of what a path is made of, and begins and ends right. */
static void
check_path(const struct value *v)
{
    must(v->bytes.size > 0 && v->bytes.data[0] == '/' && v->bytes.data[v->bytes.size - 1] == '/',
         "no path");
    for (uint32_t i = 0; i < v->bytes.size; i++)
        must(memchr("0123456789-./", v->bytes.data[i], 13) != NULL, "not in a path");
}

static void
check_value(const struct type_column *c, size_t size, const struct value *v)
{
    char text[VALUE_TEXT_MAX];

    if (c->wire == WIRE_HIERARCHYID && v->kind == VALUE_TEXT && c->limit == 0)
        check_path(v);
    if (v->kind == VALUE_CUT_TEXT || v->kind == VALUE_CUT_BYTES)
        must(c->limit > 0 && v->bytes.size <= c->limit, "cut above the limit");
    else if (c->limit > 0)
        must(v->bytes.size <= c->limit, "neither cut nor short");
    if (v->kind == VALUE_TEXT || v->kind == VALUE_BYTES) {
        must(v->bytes.size <= 8 * size + 64, "grew beyond measure");
        for (uint32_t i = 0; i < v->bytes.size; i++) /* all of it may be read */
            must(v->bytes.data[i] >= CHAR_MIN, "never");
    } else {
        (void)value_text(v, 7, text, sizeof(text));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct type_column c = {.wire = WIRE_NATIVE};
    struct arena arena = {.first = NULL};
    struct err e = ERR_INIT;
    struct value v;
    int db_type = 45;

    if (size == 0)
        return 0;
    if (data[0] < 0x80) {
        c.wire = (enum type_wire)(data[0] % (WIRE_GEOGRAPHY + 1));
        c.limit = (data[0] & 0x40) != 0 && c.wire <= WIRE_UTF16 ? LIMIT : 0;
    } else {
        db_type = db_types[data[0] % (sizeof(db_types) / sizeof(db_types[0]))];
    }
    if (type_decode_column(&c, db_type, data + 1, size - 1, &arena, &v, &e) == 0)
        check_value(&c, size - 1, &v);
    else
        must(e.code == ERR_DATA, "another error than for data");
    arena_free(&arena);
    return 0;
}
