/*
 * tds_expected - the texts of `expected` in tests/vectors/tds as values of the engine.
 *
 * The text forms are those of the vectors' README.  Memory made here lives until kept_free.
 */
#ifndef TDS_EXPECTED_H
#define TDS_EXPECTED_H

#include "tests/mssqld/engine.h"
#include "tests/unit/tds_vectors.h"

static void *kept[16];
static int n_kept;

/* Remembers memory to be freed after the value was compared; gives it back. */
static inline void *
kept_add(void *p)
{
    ck_assert_ptr_nonnull(p);
    ck_assert_int_lt(n_kept, 16);
    kept[n_kept++] = p;
    return p;
}

static inline void
kept_free(void)
{
    while (n_kept > 0)
        free(kept[--n_kept]);
}

static inline int32_t
days_of(int year, int month, int day)
{
    static const int before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int y = year - 1;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return y * 365 + y / 4 - y / 100 + y / 400 + before[month - 1] + (leap && month > 2) + day - 1;
}

/* The next number of exactly `digits` digits; false, and nothing taken, when there is none. */
static inline bool
take_number(const char **text, int digits, int *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        if ((*text)[i] < '0' || (*text)[i] > '9')
            return false;
        *out = *out * 10 + ((*text)[i] - '0');
    }
    *text += digits;
    if (**text == '-' || **text == ':')
        (*text)++;
    return true;
}

static inline int64_t
ticks_of(const char *text, const char **end)
{
    int h;
    int m;
    int s;
    int64_t ticks;
    int64_t unit = 1000000;

    ck_assert(take_number(&text, 2, &h) && take_number(&text, 2, &m) && take_number(&text, 2, &s));
    ticks = (((int64_t)h * 60 + m) * 60 + s) * 10000000;
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
            ticks += (*text - '0') * unit;
    }
    *end = text;
    return ticks;
}

static inline void
parse_date_time(const char *text, struct sql_value *v)
{
    int y;
    int m;
    int d;
    int sign;

    if (take_number(&text, 4, &y)) {
        ck_assert(take_number(&text, 2, &m) && take_number(&text, 2, &d));
        v->dt.days = days_of(y, m, d);
        text += *text == ' ';
    }
    if (*text == '\0')
        return;
    v->dt.ticks = ticks_of(text, &text);
    if (*text != ' ')
        return;
    sign = text[1] == '-' ? -1 : 1;
    text += 2;
    ck_assert(take_number(&text, 2, &y) && take_number(&text, 2, &m));
    v->dt.offset_min = (int16_t)((y * 60 + m) * sign);
    v->dt.ticks -= (int64_t)v->dt.offset_min * 600000000; /* local to UTC */
    if (v->dt.ticks < 0) {
        v->dt.ticks += 864000000000;
        v->dt.days--;
    } else if (v->dt.ticks >= 864000000000) {
        v->dt.ticks -= 864000000000;
        v->dt.days++;
    }
}

/* Digits with a point into an unscaled number of `scale` places. */
static inline void
parse_decimal(const char *text, struct sql_value *v, int scale)
{
    int places = -1;

    v->dec.negative = *text == '-';
    for (text += v->dec.negative; *text != '\0'; text++) {
        if (*text == '.') {
            places = 0;
            continue;
        }
        v->dec.magnitude = v->dec.magnitude * 10 + (unsigned)(*text - '0');
        places += places >= 0;
    }
    for (places = places < 0 ? 0 : places; places < scale; places++)
        v->dec.magnitude *= 10;
}

static inline void
parse_bytes(const char *text, struct sql_value *v)
{
    struct bytes b;

    ck_assert(strncmp(text, "0x", 2) == 0);
    b = vector_unhex(text + 2);
    kept_add(b.data);
    v->bytes.data = b.data;
    v->bytes.size = b.size;
}

static inline void
parse_guid(const char *text, struct sql_value *v)
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    char hex[33];
    size_t n = 0;
    struct bytes b;
    uint8_t *wire = kept_add(malloc(16));

    for (; *text != '\0'; text++) {
        if (*text != '-')
            hex[n++] = *text;
    }
    hex[n] = '\0';
    b = vector_unhex(hex);
    ck_assert_uint_eq(b.size, 16);
    for (int i = 0; i < 16; i++)
        wire[i] = b.data[order[i]];
    free(b.data);
    v->bytes.data = wire;
    v->bytes.size = 16;
}

static inline void
parse_value(const char *text, const struct sql_type *type, struct sql_value *v)
{
    switch (type->base) {
    case SQL_BIT:
    case SQL_TINYINT:
    case SQL_SMALLINT:
    case SQL_INT:
    case SQL_BIGINT:
        v->i = strtoll(text, NULL, 10);
        break;
    case SQL_REAL:
        v->f = (double)strtof(text, NULL);
        break;
    case SQL_FLOAT:
        v->f = strtod(text, NULL);
        break;
    case SQL_DECIMAL:
    case SQL_NUMERIC:
        parse_decimal(text, v, type->scale);
        break;
    case SQL_MONEY:
    case SQL_SMALLMONEY: {
        struct sql_value d = {.is_null = false};

        parse_decimal(text, &d, 4);
        v->i = d.dec.negative ? (int64_t)(0 - (uint64_t)d.dec.magnitude) : (int64_t)d.dec.magnitude;
        break;
    }
    case SQL_DATE:
    case SQL_TIME:
    case SQL_DATETIME:
    case SQL_SMALLDATETIME:
    case SQL_DATETIME2:
    case SQL_DATETIMEOFFSET:
        parse_date_time(text, v);
        break;
    case SQL_BINARY:
    case SQL_VARBINARY:
    case SQL_IMAGE:
    case SQL_ROWVERSION:
        parse_bytes(text, v);
        break;
    case SQL_UNIQUEIDENTIFIER:
        parse_guid(text, v);
        break;
    case SQL_CHAR:
    case SQL_VARCHAR:
    case SQL_TEXT:
    case SQL_NCHAR:
    case SQL_NVARCHAR:
    case SQL_NTEXT:
    case SQL_XML:
        v->bytes.data = text;
        v->bytes.size = strlen(text);
        break;
    case SQL_VARIANT:
    case SQL_HIERARCHYID:
    case SQL_GEOMETRY:
    case SQL_GEOGRAPHY:
        ck_abort_msg("no text form");
    }
}

#endif
