/* Values as text: the forms that CONVERT's styles name. */
#include <math.h>

#include "tests/mssqld/sql/utf.h"
#include "tests/mssqld/sql/value.h"

static int
give(const struct value_context *c, const char *s, size_t n, const char **text, size_t *size)
{
    *text = arena_strndup(c->arena, s, n);
    *size = n;
    return 0;
}

static int
money_text(const struct value_context *c, int64_t v, const char **text, size_t *size)
{
    struct decimal d = {v, 4};
    char plain[DECIMAL_TEXT_SIZE];
    char out[2 * DECIMAL_TEXT_SIZE];
    size_t n;
    size_t o = 0;
    size_t whole;

    (void)decimal_rescale(&d, c->style == 2 ? 4 : 2);
    n = decimal_format(&d, plain);
    if (c->style != 1)
        return give(c, plain, n, text, size);
    whole = (size_t)(strchr(plain, '.') - plain);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && i < whole && (whole - i) % 3 == 0 && plain[i - 1] != '-')
            out[o++] = ',';
        out[o++] = plain[i];
    }
    return give(c, out, o, text, size);
}

/* Three exponent digits, as the server prints them. */
static int
float_text(const struct value_context *c, const struct sql_type *t, double f, const char **text,
           size_t *size)
{
    char buf[64];
    char *e;
    int n;
    int precision = 6;

    if (c->style == 1)
        precision = 8;
    else if (c->style == 2)
        precision = 16;
    else if (c->style == 3)
        precision = t->base == SQL_REAL ? 9 : 17;
    if (c->style >= 1 && c->style <= 3)
        n = snprintf(buf, sizeof buf, "%.*e", precision - 1, f);
    else
        n = snprintf(buf, sizeof buf, "%.*g", precision, f);
    e = strchr(buf, 'e');
    if (e != NULL && strlen(e) == 4 && n < (int)sizeof buf - 1) {
        memmove(e + 3, e + 2, 3);
        e[2] = '0';
        n++;
    }
    return give(c, buf, (size_t)n, text, size);
}

static int
time_text(const struct value_context *c, const struct sql_type *t, const struct sql_value *v,
          const char **text, size_t *size)
{
    struct moment m = {.days = v->dt.days, .ticks = v->dt.ticks};
    enum datetime_kind kind = DT_DATE;
    char buf[64];

    if (t->base == SQL_TIME)
        kind = DT_TIME;
    else if (t->base == SQL_SMALLDATETIME)
        kind = DT_SMALL;
    else if (t->base == SQL_DATETIME)
        kind = DT_DATETIME;
    else if (t->base == SQL_DATETIME2)
        kind = DT_DATETIME2;
    if (t->base == SQL_DATETIMEOFFSET) {
        int64_t ticks = m.days * TICKS_PER_DAY + m.ticks + v->dt.offset_min * TICKS_PER_MINUTE;

        kind = DT_OFFSET;
        m.days = (int32_t)(ticks / TICKS_PER_DAY);
        m.ticks = ticks % TICKS_PER_DAY;
        m.offset_min = v->dt.offset_min;
    }
    if (!datetime_format(&m, kind, t->scale, c->style, buf, sizeof buf))
        return sqlerr_set(c->e, 281, 16, 1,
                          "%d is not a valid style number when converting from %s to a character "
                          "string.",
                          c->style, type_name(t->base));
    return give(c, buf, strlen(buf), text, size);
}

static int
guid_text(const struct value_context *c, const unsigned char *g, const char **text, size_t *size)
{
    char buf[40];
    int n = snprintf(buf, sizeof buf,
                     "%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X", g[3],
                     g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12],
                     g[13], g[14], g[15]);

    return give(c, buf, (size_t)n, text, size);
}

static int
hex_text(const struct value_context *c, const struct sql_value *v, const char **text, size_t *size)
{
    static const char HEX[] = "0123456789ABCDEF";
    const unsigned char *p = v->bytes.data;
    char *out = arena_alloc(c->arena, 2 * v->bytes.size + 3);
    size_t o = 0;

    if (c->style == 1) {
        out[o++] = '0';
        out[o++] = 'x';
    }
    for (size_t i = 0; i < v->bytes.size; i++) {
        out[o++] = HEX[p[i] >> 4];
        out[o++] = HEX[p[i] & 15];
    }
    *text = out;
    *size = o;
    return 0;
}

int
value_text(const struct value_context *c, const struct sql_type *t, const struct sql_value *v,
           const char **text, size_t *size)
{
    char buf[64];

    if (t->base == SQL_VARIANT)
        return value_text(c, v->variant.type, v->variant.value, text, size);
    if (type_is_text(t->base)) {
        *text = v->bytes.data;
        *size = v->bytes.size;
        return 0;
    }
    if (type_is_integer(t->base)) {
        int n = snprintf(buf, sizeof buf, "%lld", (long long)v->i);

        return give(c, buf, (size_t)n, text, size);
    }
    if (t->base == SQL_MONEY || t->base == SQL_SMALLMONEY)
        return money_text(c, v->i, text, size);
    if (type_is_decimal(t->base)) {
        struct decimal d = value_decimal(t, v);

        return give(c, buf, decimal_format(&d, buf), text, size);
    }
    if (t->base == SQL_REAL || t->base == SQL_FLOAT)
        return float_text(c, t, v->f, text, size);
    if (type_is_time(t->base))
        return time_text(c, t, v, text, size);
    if (t->base == SQL_UNIQUEIDENTIFIER)
        return guid_text(c, v->bytes.data, text, size);
    if (c->style == 1 || c->style == 2)
        return hex_text(c, v, text, size);
    *text = page_decode(0, v->bytes.data, v->bytes.size, c->arena, size);
    return 0;
}
