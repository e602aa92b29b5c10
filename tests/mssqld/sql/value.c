/* Conversion between types; value_text.c has the way to text. */
#include "tests/mssqld/sql/value.h"

#include <ctype.h>
#include <math.h>

#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/utf.h"
#include "tests/mssqld/sql/value_parts.h"

struct decimal
value_decimal(const struct sql_type *t, const struct sql_value *v)
{
    struct decimal d = {v->i, 0};

    if (type_is_decimal(t->base)) {
        d.value = v->dec.negative ? -(int128)v->dec.magnitude : (int128)v->dec.magnitude;
        d.scale = t->scale;
    } else if (t->base == SQL_MONEY || t->base == SQL_SMALLMONEY) {
        d.scale = 4;
    }
    return d;
}

void
value_set_decimal(struct sql_value *out, int128 value)
{
    out->dec.negative = value < 0;
    out->dec.magnitude = value < 0 ? -(uint128)value : (uint128)value;
}

int
value_not_allowed(const struct value_context *c, enum sql_base from, enum sql_base to)
{
    return sqlerr_set(c->e, 529, 16, 2,
                      "Explicit conversion from data type %s to %s is not allowed.",
                      type_name(from), type_name(to));
}

static int
text_too_long(const struct value_context *c, const struct sql_type *to)
{
    (void)to;
    return sqlerr_set(c->e, 8152, 16, 30, "String or binary data would be truncated.");
}

static size_t
blanks_at_end(const char *s, size_t n)
{
    size_t k = 0;

    while (k < n && s[n - 1 - k] == ' ')
        k++;
    return k;
}

/* Characters that the code page does not have become '?'. */
static const char *
page_clean(int page, const char *text, size_t *size, struct arena *a)
{
    char *out = NULL;
    size_t o = 0;

    for (size_t i = 0; i < *size;) {
        size_t from = i;
        uint32_t cp = utf_next(text, *size, &i);

        if (cp >= 0x80 && collation_char_size(page, cp) == 0) {
            if (out == NULL) {
                out = arena_alloc(a, 2 * *size);
                memcpy(out, text, from);
                o = from;
            }
            out[o++] = '?';
            if (cp >= 0x10000)
                out[o++] = '?'; /* two UTF-16 units, two marks */
        } else if (out != NULL) {
            memcpy(out + o, text + from, i - from);
            o += i - from;
        }
    }
    if (out == NULL)
        return text;
    *size = o;
    return out;
}

/* Largest prefix of at most `limit` bytes of the code page. */
static size_t
page_prefix(int page, const char *text, size_t size, size_t limit, size_t *used)
{
    size_t i = 0;

    for (*used = 0; i < size;) {
        size_t next = i;
        int n = collation_char_size(page, utf_next(text, size, &next));

        if (*used + (size_t)n > limit)
            break;
        *used += (size_t)n;
        i = next;
    }
    return i;
}

/* Cuts or pads text for a type; numbers were turned to text by the caller. */
static int
fit_text(const struct value_context *c, const struct sql_type *to, const char *text, size_t size,
         struct sql_value *out)
{
    bool wide = type_is_wide(to->base);
    int page = collation_page(to->collation);
    bool fixed = to->base == SQL_CHAR || to->base == SQL_NCHAR;
    size_t limit = to->length == SQL_LENGTH_MAX ? SIZE_MAX : (size_t)to->length;
    size_t units;

    if (!wide)
        text = page_clean(page, text, &size, c->arena);
    if (size > limit || fixed) {
        units = wide ? utf_units(text, size) : page_size(page, text, size);
        if (units > limit) {
            if (c->mode == VALUE_ASSIGN && units - blanks_at_end(text, size) > limit)
                return text_too_long(c, to);
            if (wide) {
                char *cut = arena_alloc(c->arena, size + 4);

                size = utf_substring(text, size, 0, limit, cut);
                text = cut;
                units = limit;
            } else {
                size = page_prefix(page, text, size, limit, &units);
            }
        }
        if (fixed && units < limit) {
            char *padded = arena_alloc(c->arena, size + limit - units + 1);

            memcpy(padded, text, size);
            memset(padded + size, ' ', limit - units);
            size += limit - units;
            text = padded;
        }
    }
    out->is_null = false;
    out->bytes.data = text;
    out->bytes.size = size;
    return 0;
}

int
value_to_text(const struct value_context *c, const struct sql_type *from, const struct sql_value *v,
              const struct sql_type *to, struct sql_value *out)
{
    const char *text;
    size_t size;

    if (type_is_binary(from->base) && from->base != SQL_ROWVERSION && c->style == 0 &&
        type_is_wide(to->base)) {
        char *buf = arena_alloc(c->arena, 2 * v->bytes.size + 4);

        size = utf_from_utf16(v->bytes.data, v->bytes.size, buf);
        return fit_text(c, to, buf, size, out);
    }
    if (value_text(c, from, v, &text, &size) != 0)
        return -1;
    if (to->length != SQL_LENGTH_MAX && size > (size_t)to->length && type_is_number(from->base)) {
        if (from->base >= SQL_TINYINT && from->base <= SQL_INT && !type_is_wide(to->base))
            return fit_text(c, to, "*", 1, out);
        return sqlerr_set(
            c->e, 8115, 16, 5, "Arithmetic overflow error converting %s to data type %s.",
            type_is_decimal(from->base) ? "numeric" : "expression", type_name(to->base));
    }
    if (from->base == SQL_UNIQUEIDENTIFIER && to->length != SQL_LENGTH_MAX && to->length < 36)
        return sqlerr_set(c->e, 8170, 16, 2,
                          "Insufficient result space to convert uniqueidentifier value to char.");
    return fit_text(c, to, text, size, out);
}

static int
integer_range(const struct value_context *c, enum sql_base to, int128 n, struct sql_value *out)
{
    static const int64_t LOW[] = {0, 0, INT16_MIN, INT32_MIN, INT64_MIN};
    static const int64_t HIGH[] = {1, 255, INT16_MAX, INT32_MAX, INT64_MAX};

    if (to == SQL_BIT)
        n = n != 0;
    if (n < LOW[to] || n > HIGH[to]) {
        if (to == SQL_TINYINT || to == SQL_SMALLINT)
            return sqlerr_set(c->e, 220, 16, to == SQL_TINYINT ? 2 : 1,
                              "Arithmetic overflow error for data type %s, value = %lld.",
                              type_name(to), (long long)n);
        return sqlerr_overflow(c->e, type_name(to));
    }
    out->i = (int64_t)n;
    return 0;
}

static int
number_from_decimal(const struct value_context *c, struct decimal d, const struct sql_type *to,
                    struct sql_value *out)
{
    out->is_null = false;
    if (type_is_integer(to->base)) {
        if (to->base == SQL_BIT)
            return integer_range(c, SQL_BIT, d.value != 0, out);
        if (!decimal_truncate(&d, 0))
            return sqlerr_overflow(c->e, type_name(to->base));
        return integer_range(c, to->base, d.value, out);
    }
    if (to->base == SQL_MONEY || to->base == SQL_SMALLMONEY) {
        int64_t limit = to->base == SQL_MONEY ? INT64_MAX : INT32_MAX;

        if (!decimal_rescale(&d, 4) || d.value > limit || d.value < -(int128)limit - 1)
            return sqlerr_overflow(c->e, type_name(to->base));
        out->i = (int64_t)d.value;
        return 0;
    }
    if (type_is_decimal(to->base)) {
        if (!decimal_rescale(&d, to->scale) ||
            (d.value != 0 && decimal_digits(d.value) > to->precision))
            return sqlerr_set(c->e, 8115, 16, 8,
                              "Arithmetic overflow error converting numeric to data type numeric.");
        value_set_decimal(out, d.value);
        return 0;
    }
    out->f = decimal_to_double(&d);
    if (to->base == SQL_REAL)
        out->f = (double)(float)out->f;
    return 0;
}

static int
number_from_double(const struct value_context *c, double f, const struct sql_type *to,
                   struct sql_value *out)
{
    struct decimal d;
    int scale = 0;

    out->is_null = false;
    if (to->base == SQL_REAL || to->base == SQL_FLOAT) {
        if (to->base == SQL_REAL && isinf((float)f))
            return sqlerr_set(c->e, 232, 16, 2,
                              "Arithmetic overflow error for type real, value = %f.", f);
        out->f = to->base == SQL_REAL ? (double)(float)f : f;
        return 0;
    }
    if (to->base == SQL_BIT)
        return integer_range(c, SQL_BIT, f != 0, out);
    if (type_is_decimal(to->base))
        scale = to->scale;
    else if (!type_is_integer(to->base))
        scale = 4;
    if (type_is_integer(to->base) && to->base != SQL_BIGINT &&
        !(trunc(f) >= INT32_MIN && trunc(f) <= INT32_MAX))
        return sqlerr_set(c->e, 232, 16, 3, "Arithmetic overflow error for type %s, value = %f.",
                          type_name(to->base), f);
    if (!decimal_from_double(type_is_integer(to->base) ? trunc(f) : f, scale, &d))
        return sqlerr_overflow(c->e, type_name(to->base));
    return number_from_decimal(c, d, to, out);
}

static int
number_from_text(const struct value_context *c, const struct sql_type *from, const char *s,
                 size_t n, const struct sql_type *to, struct sql_value *out)
{
    char *text = arena_strndup(c->arena, s, n);
    struct decimal d = {0};
    char *end;
    double f;

    while (n > 0 && text[n - 1] == ' ')
        text[--n] = '\0';
    while (*text == ' ') {
        text++;
        n--;
    }
    if (to->base == SQL_BIT && (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0)) {
        out->is_null = false;
        out->i = tolower((unsigned char)text[0]) == 't';
        return 0;
    }
    if (to->base == SQL_REAL || to->base == SQL_FLOAT) {
        f = strtod(text, &end);
        if (end == text || *end != '\0' || strpbrk(text, "xXnNiI") != NULL)
            return sqlerr_set(c->e, 8114, 16, 5, "Error converting data type %s to %s.",
                              type_name(from->base), type_name(to->base));
        return number_from_double(c, f, to, out);
    }
    if (to->base == SQL_MONEY || to->base == SQL_SMALLMONEY) {
        char *o = text;

        if (*text == '$')
            text++, o++;
        for (const char *p = text; *p != '\0'; p++)
            if (*p != ',')
                *o++ = *p;
        *o = '\0';
        n = (size_t)(o - text);
    }
    if (n == 0 && !type_is_decimal(to->base))
        d = (struct decimal){0};
    else if (!decimal_parse(text, n, &d) ||
             (type_is_integer(to->base) && strspn(text, "+-0123456789") != n)) {
        if (to->base == SQL_MONEY || to->base == SQL_SMALLMONEY)
            return sqlerr_set(c->e, to->base == SQL_MONEY ? 235 : 293, 16, 0,
                              "Cannot convert a char value to %s. The char value has incorrect "
                              "syntax.",
                              type_name(to->base));
        if (!type_is_integer(to->base) || to->base == SQL_BIGINT)
            return sqlerr_set(c->e, 8114, 16, 5, "Error converting data type %s to %s.",
                              type_name(from->base),
                              type_is_decimal(to->base) ? "numeric" : type_name(to->base));
        return sqlerr_conversion(c->e, type_name(from->base), text, type_name(to->base));
    }
    if (type_is_integer(to->base) && to->base != SQL_BIT && to->base != SQL_BIGINT &&
        (d.value > INT32_MAX || d.value < INT32_MIN))
        return sqlerr_set(c->e, 248, 16, 1,
                          "The conversion of the %s value '%s' overflowed an int column.",
                          type_name(from->base), text);
    if ((to->base == SQL_TINYINT && (d.value < 0 || d.value > UINT8_MAX)) ||
        (to->base == SQL_SMALLINT && (d.value < INT16_MIN || d.value > INT16_MAX)))
        return sqlerr_set(c->e, 244, 16, to->base == SQL_TINYINT ? 1 : 2,
                          "The conversion of the %s value '%s' overflowed an %s column. Use a "
                          "larger integer column.",
                          type_name(from->base), text, to->base == SQL_TINYINT ? "INT1" : "INT2");
    return number_from_decimal(c, d, to, out);
}

static double
days_since_1900(const struct sql_value *v)
{
    return (double)(v->dt.days - DAYS_TO_1900) + (double)v->dt.ticks / (double)TICKS_PER_DAY;
}

int
value_to_number(const struct value_context *c, const struct sql_type *from,
                const struct sql_value *v, const struct sql_type *to, struct sql_value *out)
{
    if (from->base == SQL_REAL || from->base == SQL_FLOAT)
        return number_from_double(c, v->f, to, out);
    if (type_is_number(from->base))
        return number_from_decimal(c, value_decimal(from, v), to, out);
    if (type_is_text(from->base))
        return number_from_text(c, from, v->bytes.data, v->bytes.size, to, out);
    if (type_is_binary(from->base) && (type_is_integer(to->base) || to->base == SQL_MONEY)) {
        size_t width = type_is_integer(to->base) ? type_integer_width(to->base) : 8;
        const unsigned char *p = v->bytes.data;
        uint64_t n = 0;
        size_t start = v->bytes.size > width ? v->bytes.size - width : 0;

        for (size_t i = start; i < v->bytes.size; i++)
            n = n << 8 | p[i];
        out->is_null = false;
        out->i = width == 2 ? (int16_t)n : width == 4 ? (int32_t)n : (int64_t)n;
        if (to->base == SQL_BIT)
            out->i = out->i != 0;
        return 0;
    }
    if (from->base == SQL_DATETIME || from->base == SQL_SMALLDATETIME) {
        double f = days_since_1900(v);

        return number_from_double(c, type_is_integer(to->base) ? floor(f + 0.5) : f, to, out);
    }
    return value_not_allowed(c, from->base, to->base);
}

static int
out_of_range(const struct value_context *c, const struct sql_type *from, const struct sql_type *to)
{
    return sqlerr_set(c->e, 242, 16, 3,
                      "The conversion of a %s data type to a %s data type resulted in an "
                      "out-of-range value.",
                      type_name(from->base), type_name(to->base));
}

/* m is local time; the result is rounded to the type's grid. */
static int
fit_time(const struct value_context *c, const struct sql_type *from, struct moment m,
         const struct sql_type *to, struct sql_value *out)
{
    int64_t all;

    if (to->base == SQL_SMALLDATETIME)
        /* up from 29.999 s, down to 29.998 s */
        m.ticks = (datetime_round(m.ticks, 3) + 30 * TICKS_PER_SECOND + 10000) / TICKS_PER_MINUTE *
                  TICKS_PER_MINUTE;
    else if (to->base == SQL_DATETIME)
        m.ticks = datetime_grid(m.ticks);
    else if (to->base != SQL_DATE)
        m.ticks = datetime_round(m.ticks, to->scale);
    if (to->base == SQL_DATE)
        m.ticks = 0;
    if (to->base == SQL_TIME)
        m.days = 0;
    all = m.days * TICKS_PER_DAY + m.ticks;
    if (to->base == SQL_TIME && m.ticks >= TICKS_PER_DAY)
        all = m.ticks - TICKS_PER_DAY;
    if (to->base == SQL_DATETIMEOFFSET)
        all -= m.offset_min * TICKS_PER_MINUTE;
    out->is_null = false;
    if (all < 0)
        return out_of_range(c, from, to);
    out->dt.days = (int32_t)(all / TICKS_PER_DAY);
    out->dt.ticks = all % TICKS_PER_DAY;
    out->dt.offset_min = to->base == SQL_DATETIMEOFFSET ? m.offset_min : 0;
    if (out->dt.days > DAYS_MAX || (to->base == SQL_DATETIME && out->dt.days < DAYS_TO_1753) ||
        (to->base == SQL_SMALLDATETIME &&
         (out->dt.days < DAYS_TO_1900 || out->dt.days > DAYS_TO_1900 + 65535)))
        return out_of_range(c, from, to);
    return 0;
}

int
value_to_time(const struct value_context *c, const struct sql_type *from, const struct sql_value *v,
              const struct sql_type *to, struct sql_value *out)
{
    struct moment m = {.days = DAYS_TO_1900};

    if (type_is_text(from->base)) {
        if (!datetime_parse(v->bytes.data, v->bytes.size, c->order, c->style, &m)) {
            const char *s = v->bytes.data;
            bool digits = v->bytes.size > 0 && isdigit((unsigned char)s[0]) != 0;
            struct moment again;

            /* A well-formed text with a date that does not exist is out of range. */
            if (digits && (to->base == SQL_DATETIME || to->base == SQL_SMALLDATETIME) &&
                !datetime_parse(s, v->bytes.size, DATE_DMY, 0, &again) &&
                memchr(s, '/', v->bytes.size) != NULL)
                return out_of_range(c, from, to);
            return sqlerr_set(c->e, 241, 16, 1,
                              "Conversion failed when converting date and/or time from character "
                              "string.");
        }
        if (m.has_zone && to->base != SQL_DATETIMEOFFSET && to->base != SQL_DATETIME2 &&
            to->base != SQL_DATE && to->base != SQL_TIME)
            return sqlerr_set(c->e, 241, 16, 1,
                              "Conversion failed when converting date and/or time from character "
                              "string.");
        return fit_time(c, from, m, to, out);
    }
    if (type_is_number(from->base)) {
        struct sql_type f = type_make(SQL_FLOAT);
        struct sql_value d = {0};
        double whole;

        if (to->base != SQL_DATETIME && to->base != SQL_SMALLDATETIME)
            return value_not_allowed(c, from->base, to->base);
        if (value_to_number(c, from, v, &f, &d) != 0)
            return -1;
        whole = floor(d.f);
        if (whole < -200000 || whole > 3000000)
            return out_of_range(c, from, to);
        m.days = DAYS_TO_1900 + (int32_t)whole;
        m.ticks = llround((d.f - whole) * (double)TICKS_PER_DAY);
        return fit_time(c, from, m, to, out);
    }
    if (!type_is_time(from->base))
        return value_not_allowed(c, from->base, to->base);
    if ((from->base == SQL_DATE && to->base == SQL_TIME) ||
        (from->base == SQL_TIME && to->base == SQL_DATE))
        return value_not_allowed(c, from->base, to->base);
    m.ticks = v->dt.ticks;
    m.days = from->base == SQL_TIME ? DAYS_TO_1900 : v->dt.days;
    if (from->base == SQL_DATETIMEOFFSET) {
        int64_t all = m.days * TICKS_PER_DAY + m.ticks + v->dt.offset_min * TICKS_PER_MINUTE;

        m.days = (int32_t)(all / TICKS_PER_DAY);
        m.ticks = all % TICKS_PER_DAY;
        m.offset_min = v->dt.offset_min;
    }
    return fit_time(c, from, m, to, out);
}
