/* Conversion to the binary types and to uniqueidentifier, and the dispatch over all types. */
#include <ctype.h>

#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/utf.h"
#include "tests/mssqld/sql/value.h"
#include "tests/mssqld/sql/value_parts.h"

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
hex_bytes(const struct value_context *c, const struct sql_type *from, const char *s, size_t n,
          struct sql_value *out)
{
    unsigned char *p = arena_alloc(c->arena, n / 2 + 1);
    size_t o = 0;

    if (c->style == 1 && n >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        s += 2;
        n -= 2;
    } else if (c->style == 1) {
        n = 1; /* falls into the error below */
    }
    for (size_t i = 0; i + 1 < n && n % 2 == 0; i += 2) {
        int hi = hex_digit(s[i]);
        int lo = hex_digit(s[i + 1]);

        if (hi < 0 || lo < 0)
            break;
        p[o++] = (unsigned char)(hi << 4 | lo);
    }
    if (2 * o != n)
        return sqlerr_set(c->e, 8114, 16, 5, "Error converting data type %s to varbinary.",
                          type_name(from->base));
    out->bytes.data = p;
    out->bytes.size = o;
    return 0;
}

static void
big_endian(const struct value_context *c, uint64_t v, size_t width, struct sql_value *out)
{
    unsigned char *p = arena_alloc(c->arena, width);

    for (size_t i = width; i-- > 0; v >>= 8)
        p[i] = (unsigned char)v;
    out->bytes.data = p;
    out->bytes.size = width;
}

static int
source_bytes(const struct value_context *c, const struct sql_type *from, const struct sql_value *v,
             struct sql_value *out)
{
    if (type_is_binary(from->base) || from->base == SQL_UNIQUEIDENTIFIER) {
        out->bytes = v->bytes;
    } else if (type_is_text(from->base) && c->style != 0) {
        return hex_bytes(c, from, v->bytes.data, v->bytes.size, out);
    } else if (type_is_wide(from->base)) {
        char *buf = arena_alloc(c->arena, 2 * v->bytes.size + 2);

        out->bytes.size = utf_to_utf16(v->bytes.data, v->bytes.size, buf);
        out->bytes.data = buf;
    } else if (type_is_text(from->base)) {
        size_t n = 0;

        out->bytes.data = page_encode(collation_page(from->collation), v->bytes.data, v->bytes.size,
                                      c->arena, &n);
        out->bytes.size = n;
    } else if (type_is_integer(from->base)) {
        big_endian(c, (uint64_t)v->i, type_integer_width(from->base), out);
    } else if (from->base == SQL_MONEY || from->base == SQL_SMALLMONEY) {
        big_endian(c, (uint64_t)v->i, from->base == SQL_MONEY ? 8 : 4, out);
    } else if (from->base == SQL_FLOAT) {
        uint64_t bits;

        memcpy(&bits, &v->f, sizeof bits);
        big_endian(c, bits, 8, out);
    } else if (from->base == SQL_REAL) {
        float f = (float)v->f;
        uint32_t bits;

        memcpy(&bits, &f, sizeof bits);
        big_endian(c, bits, 4, out);
    } else if (from->base == SQL_DATETIME) {
        uint64_t days = (uint32_t)(v->dt.days - DAYS_TO_1900);

        big_endian(c, days << 32 | (uint64_t)((v->dt.ticks * 3 + 50000) / 100000), 8, out);
    } else if (type_is_decimal(from->base)) {
        unsigned char *p = arena_alloc(c->arena, 20);
        size_t n = from->precision <= 9    ? 4
                   : from->precision <= 19 ? 8
                   : from->precision <= 28 ? 12
                                           : 16;

        p[0] = from->precision;
        p[1] = from->scale;
        p[3] = v->dec.negative ? 0 : 1;
        memcpy(p + 4, &v->dec.magnitude, n);
        out->bytes.data = p;
        out->bytes.size = 4 + n;
    } else {
        return value_not_allowed(c, from->base, SQL_VARBINARY);
    }
    return 0;
}

static int
to_binary(const struct value_context *c, const struct sql_type *from, const struct sql_value *v,
          const struct sql_type *to, struct sql_value *out)
{
    size_t limit = to->length == SQL_LENGTH_MAX ? SIZE_MAX : (size_t)to->length;
    bool fixed = to->base == SQL_BINARY || to->base == SQL_ROWVERSION;
    struct sql_value b = {0};

    if (source_bytes(c, from, v, &b) != 0)
        return -1;
    if (b.bytes.size > limit) {
        bool number = type_is_number(from->base);

        if (c->mode == VALUE_ASSIGN && !number)
            return sqlerr_set(c->e, 8152, 16, 30, "String or binary data would be truncated.");
        if (number) /* numbers keep their low end */
            b.bytes.data = (const char *)b.bytes.data + (b.bytes.size - limit);
        b.bytes.size = limit;
    } else if (fixed && b.bytes.size < limit) {
        unsigned char *p = arena_alloc(c->arena, limit);
        size_t at = type_is_integer(from->base) ? limit - b.bytes.size : 0;

        if (b.bytes.size > 0)
            memcpy(p + at, b.bytes.data, b.bytes.size);
        b.bytes.data = p;
        b.bytes.size = limit;
    }
    *out = b;
    return 0;
}

static int
to_guid(const struct value_context *c, const struct sql_type *from, const struct sql_value *v,
        struct sql_value *out)
{
    static const uint8_t PLACE[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    const char *s = v->bytes.data;
    size_t n = v->bytes.size;
    unsigned char *g = arena_alloc(c->arena, 16);
    size_t i = 0;
    int k = 0;

    if (type_is_binary(from->base)) {
        if (n > 0)
            memcpy(g, s, n < 16 ? n : 16);
        k = 16;
    } else if (type_is_text(from->base)) {
        if (n > 0 && s[0] == '{')
            i++;
        for (; k < 16 && i + 1 < n; k++) {
            int hi;
            int lo;

            if (k == 4 || k == 6 || k == 8 || k == 10) {
                if (s[i++] != '-' || i + 1 >= n)
                    break;
            }
            hi = hex_digit(s[i]);
            lo = hex_digit(s[i + 1]);
            if (hi < 0 || lo < 0)
                break;
            g[PLACE[k]] = (unsigned char)(hi << 4 | lo);
            i += 2;
        }
    } else {
        return value_not_allowed(c, from->base, SQL_UNIQUEIDENTIFIER);
    }
    if (k != 16)
        return sqlerr_set(c->e, 8169, 16, 2,
                          "Conversion failed when converting from a character string to "
                          "uniqueidentifier.");
    *out = (struct sql_value){.bytes = {g, 16}};
    return 0;
}

static int
to_variant(const struct value_context *c, const struct sql_type *from, const struct sql_value *v,
           struct sql_value *out)
{
    struct sql_type *t = arena_dup(c->arena, from, sizeof *from);
    struct sql_value *inner = arena_dup(c->arena, v, sizeof *v);

    t->nullable = true;
    out->is_null = false;
    out->variant.type = t;
    out->variant.value = inner;
    return 0;
}

int
value_convert(const struct value_context *c, const struct sql_type *from, const struct sql_value *v,
              const struct sql_type *to, struct sql_value *out)
{
    struct sql_value in = *v;

    if (in.is_null) {
        *out = (struct sql_value){.is_null = true};
        return 0;
    }
    if (from->base == SQL_VARIANT && to->base != SQL_VARIANT)
        return value_convert(c, in.variant.type, in.variant.value, to, out);
    if (to->base == SQL_VARIANT && from->base != SQL_VARIANT)
        return to_variant(c, from, &in, out);
    if (to->base == SQL_VARIANT || (from->base == to->base && to->base == SQL_UNIQUEIDENTIFIER)) {
        *out = in;
        return 0;
    }
    *out = (struct sql_value){0};
    if (to->base == SQL_XML && type_is_text(from->base))
        value_trim_xml(&in);
    if (type_is_text(to->base))
        return value_to_text(c, from, &in, to, out);
    if (to->base == SQL_HIERARCHYID && type_is_text(from->base))
        return value_to_hierarchyid(c, &in, out);
    if (type_is_binary(to->base))
        return to_binary(c, from, &in, to, out);
    if (to->base == SQL_UNIQUEIDENTIFIER)
        return to_guid(c, from, &in, out);
    if (type_is_time(to->base))
        return value_to_time(c, from, &in, to, out);
    return value_to_number(c, from, &in, to, out);
}
