#include "capture/sqlserver/decode.h"
#include "capture/sqlserver/arena.h"
#include "capture/sqlserver/types.h"
#include "capture/sqlserver/wide.h"
#include "common/clock.h"
#include "common/err.h"

#include <sybfront.h>

#include <sybdb.h>

#include <string.h>

/* dbcoltype() of uniqueidentifier and of CLR types: sybdb.h has no names for them. */
#define TYPE_UNIQUE 36
#define TYPE_CLR    240

#define DAYS_1900_TO_1970 25567
#define SECONDS_PER_DAY   86400
#define MONEY_SCALE       4
#define DECIMAL_TEXT_MAX  48
#define TICKS_PER_DAY     (SECONDS_PER_DAY * INT64_C(10000000)) /* of 100 ns */

/* Years 1 to 9999, in days since 1900, and a day of offset on either side. */
#define DAYS_MIN          (-693596)
#define DAYS_MAX          2958464
#define OFFSET_MAX        840
#define NUMERIC_PRECISION 38

__extension__ typedef unsigned __int128 u128;

/* Bytes that hold the magnitude of a precision. */
static const uint8_t numeric_bytes[NUMERIC_PRECISION + 1] = {
    0, 1, 1,  2,  2,  3,  3,  3,  4,  4,  5,  5,  5,  6,  6,  7,  7,  8,  8,  8,
    9, 9, 10, 10, 10, 11, 11, 12, 12, 13, 13, 13, 14, 14, 15, 15, 15, 16, 16,
};

static int
wrong_size(int db_type, size_t size, struct err *e)
{
    return err_set(e, ERR_DATA, "a value of wire type %d has %zu bytes", db_type, size);
}

/* The decimal digits of magnitude / 10^scale, right-aligned before end.  Returns their start. */
static char *
put_scaled(char *end, u128 magnitude, unsigned scale, bool negative)
{
    char *at = end;
    unsigned digits = 0;

    while (magnitude > UINT64_MAX) {
        *--at = (char)('0' + (int)(magnitude % 10));
        magnitude /= 10;
        if (++digits == scale)
            *--at = '.';
    }
    for (uint64_t rest = (uint64_t)magnitude; rest != 0 || digits <= scale; rest /= 10) {
        *--at = (char)('0' + (int)(rest % 10));
        if (++digits == scale)
            *--at = '.';
    }
    if (negative)
        *--at = '-';
    return at;
}

static int
set_decimal(u128 magnitude, unsigned scale, bool negative, struct arena *a, struct value *out,
            struct err *e)
{
    char buf[DECIMAL_TEXT_MAX];
    char *end = buf + sizeof(buf);
    char *at = put_scaled(end, magnitude, scale, negative && magnitude != 0);
    size_t n = (size_t)(end - at);
    char *copy = arena_take(a, n);

    if (copy == NULL)
        return err_set(e, ERR_NOMEM, "decimal of %zu digits", n);
    memcpy(copy, at, n);
    out->kind = VALUE_DECIMAL;
    out->bytes.data = copy;
    out->bytes.size = (uint32_t)n;
    return 0;
}

static int
decode_numeric(const void *data, size_t size, struct arena *a, struct value *out, struct err *e)
{
    DBNUMERIC n;
    u128 magnitude = 0;

    if (size != sizeof(n))
        return wrong_size(SYBNUMERIC, size, e);
    memcpy(&n, data, sizeof(n));
    if (n.precision < 1 || n.precision > NUMERIC_PRECISION || n.scale > n.precision)
        return err_set(e, ERR_DATA, "a decimal has precision %d and scale %d", n.precision,
                       n.scale);
    for (unsigned i = 1; i <= numeric_bytes[n.precision]; i++)
        magnitude = magnitude << 8 | n.array[i];
    return set_decimal(magnitude, n.scale, n.array[0] != 0, a, out, e);
}

static int
set_money(int64_t units, struct arena *a, struct value *out, struct err *e)
{
    uint64_t magnitude = units < 0 ? 0 - (uint64_t)units : (uint64_t)units;

    return set_decimal(magnitude, MONEY_SCALE, units < 0, a, out, e);
}

/* ---- times ---- */

static void
set_datetime(struct value *out, int64_t days_1900, int64_t seconds, uint32_t nanos)
{
    out->kind = VALUE_DATETIME;
    out->datetime.seconds = (days_1900 - DAYS_1900_TO_1970) * SECONDS_PER_DAY + seconds;
    out->datetime.nanos = nanos;
    out->datetime.offset_min = 0;
}

/* Ticks of 1/300 s, rounded to the milliseconds SQL Server prints: .000, .003, .007. */
static int
decode_datetime(const void *data, struct value *out, struct err *e)
{
    DBDATETIME d;
    uint32_t ticks;
    uint32_t ms;

    memcpy(&d, data, sizeof(d));
    ticks = (uint32_t)d.dttime;
    if (ticks / 300 >= SECONDS_PER_DAY || d.dtdays < DAYS_MIN || d.dtdays > DAYS_MAX)
        return err_set(e, ERR_DATA, "a datetime that is none: day %d, %u/300 s", d.dtdays, ticks);
    ms = (ticks % 300 * 10 + 1) / 3;
    set_datetime(out, d.dtdays, ticks / 300, ms * 1000000U);
    return 0;
}

static void
decode_smalldatetime(const void *data, struct value *out)
{
    DBDATETIME4 d;

    memcpy(&d, data, sizeof(d));
    set_datetime(out, d.days, d.minutes * 60, 0);
}

/* date, time, datetime2, datetimeoffset: one struct, time in 100 ns, date and time of UTC.  A time
   of 24:00:00 is none of SQL Server's, but Babelfish sends it. */
static int
decode_new_time(int db_type, const void *data, struct value *out, struct err *e)
{
    DBDATETIMEALL d;

    memcpy(&d, data, sizeof(d));
    if (d.time > TICKS_PER_DAY || d.date < DAYS_MIN || d.date > DAYS_MAX ||
        d.offset < -OFFSET_MAX || d.offset > OFFSET_MAX)
        return err_set(e, ERR_DATA, "a time that is none: day %d, %llu00 ns, offset %d", d.date,
                       (unsigned long long)d.time, d.offset);
    switch (db_type) {
    case SYBMSDATE:
        out->kind = VALUE_DATE;
        out->days = d.date - DAYS_1900_TO_1970;
        break;
    case SYBMSTIME:
        out->kind = VALUE_TIME;
        out->time_ns = (int64_t)d.time * 100;
        break;
    default:
        set_datetime(out, d.date, (int64_t)(d.time / 10000000U),
                     (uint32_t)(d.time % 10000000U) * 100U);
        if (db_type == SYBMSDATETIMEOFFSET) {
            out->kind = VALUE_DATETIMEOFFSET;
            out->datetime.offset_min = d.offset;
        }
        break;
    }
    return 0;
}

/* ---- bytes ---- */

static int
set_bytes(enum value_kind kind, const void *data, size_t size, struct arena *a, struct value *out,
          struct err *e)
{
    char *copy;

    if (size > UINT32_MAX)
        return err_set(e, ERR_DATA, "a value of %zu bytes", size);
    copy = arena_take(a, size);
    if (copy == NULL)
        return err_set(e, ERR_NOMEM, "value of %zu bytes", size);
    memcpy(copy, data, size);
    out->kind = kind;
    out->bytes.data = copy;
    out->bytes.size = (uint32_t)size;
    return 0;
}

int
decode_wide(const void *data, size_t size, struct arena *a, struct value *out, struct err *e)
{
    const uint8_t *in = data;
    size_t room;
    size_t n;
    char *text;

    if (size % 2 != 0 || size > (size_t)INT32_MAX)
        return err_set(e, ERR_DATA, "a text of %zu bytes of UTF-16", size);
    /* No byte order mark to take off: xml comes by way of nvarchar, and U+FEFF is a character. */
    room = size / 2 * 3;
    text = arena_take(a, room);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "text of %zu bytes", size);
    n = wide_to_utf8(in, size, text);
    if (n > UINT32_MAX)
        return err_set(e, ERR_DATA, "a text of %zu bytes", n);
    arena_trim(a, room - n);
    out->kind = VALUE_TEXT;
    out->bytes.data = text;
    out->bytes.size = (uint32_t)n;
    return 0;
}

static void
set_uuid(const uint8_t *wire, struct value *out)
{
    /* The first three groups travel little-endian. */
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

    out->kind = VALUE_UUID;
    for (size_t i = 0; i < sizeof(order); i++)
        out->uuid[i] = wire[order[i]];
}

/* ---- what fits into struct value ---- */

static size_t
fixed_size(int db_type)
{
    switch (db_type) {
    case SYBBIT:
    case SYBINT1:
        return 1;
    case SYBINT2:
        return 2;
    case SYBINT4:
    case SYBREAL:
    case SYBMONEY4:
    case SYBDATETIME4:
        return 4;
    case SYBINT8:
    case SYBFLT8:
    case SYBMONEY:
    case SYBDATETIME:
        return 8;
    case SYBMSDATE:
    case SYBMSTIME:
    case SYBMSDATETIME2:
    case SYBMSDATETIMEOFFSET:
        return sizeof(DBDATETIMEALL);
    case TYPE_UNIQUE:
        return 16;
    default:
        return 0;
    }
}

static void
set_int(struct value *out, int64_t i)
{
    out->kind = VALUE_INT;
    out->i = i;
}

/* Types whose value fits into struct value; size is right. */
static int
decode_fixed(int db_type, const void *data, struct value *out, struct err *e)
{
    const uint8_t *bytes = data;
    int16_t i2;
    int32_t i4;
    int64_t i8;

    switch (db_type) {
    case SYBBIT:
        out->kind = VALUE_BOOL;
        out->boolean = bytes[0] != 0;
        break;
    case SYBINT1:
        set_int(out, bytes[0]);
        break;
    case SYBINT2:
        memcpy(&i2, data, sizeof(i2));
        set_int(out, i2);
        break;
    case SYBINT4:
        memcpy(&i4, data, sizeof(i4));
        set_int(out, i4);
        break;
    case SYBINT8:
        memcpy(&i8, data, sizeof(i8));
        set_int(out, i8);
        break;
    case SYBREAL:
        out->kind = VALUE_FLOAT32;
        memcpy(&out->f32, data, sizeof(out->f32));
        break;
    case SYBFLT8:
        out->kind = VALUE_FLOAT64;
        memcpy(&out->f64, data, sizeof(out->f64));
        break;
    case SYBDATETIME:
        return decode_datetime(data, out, e);
    case SYBDATETIME4:
        decode_smalldatetime(data, out);
        break;
    case TYPE_UNIQUE:
        set_uuid(data, out);
        break;
    default:
        return decode_new_time(db_type, data, out, e);
    }
    return 0;
}

static int
decode_money(int db_type, const void *data, struct arena *a, struct value *out, struct err *e)
{
    DBMONEY m;
    int32_t small;

    if (db_type == SYBMONEY4) {
        memcpy(&small, data, sizeof(small));
        return set_money(small, a, out, e);
    }
    memcpy(&m, data, sizeof(m));
    return set_money((int64_t)((uint64_t)(uint32_t)m.mnyhigh << 32 | m.mnylow), a, out, e);
}

/* ---- cut values ---- */

/* The bytes behind the size of the whole; what exceeds the limit ends before a character. */
static int
decode_limited(const struct type_column *c, int db_type, const uint8_t *data, size_t size,
               struct arena *a, struct value *out, struct err *e)
{
    uint64_t whole = 0;
    uint32_t n = c->limit;

    if (size < sizeof(whole))
        return err_set(e, ERR_DATA, "a large value came without its size");
    for (size_t i = 0; i < sizeof(whole); i++)
        whole = whole << 8 | data[i];
    if (type_decode(db_type, c->wire, data + sizeof(whole), size - sizeof(whole), a, out, e) != 0)
        return -1;
    if (out->bytes.size <= c->limit)
        return 0;
    if (out->kind == VALUE_TEXT)
        while (n > 0 && ((uint8_t)out->bytes.data[n] & 0xC0) == 0x80)
            n--;
    out->kind = out->kind == VALUE_TEXT ? VALUE_CUT_TEXT : VALUE_CUT_BYTES;
    out->bytes.size = n;
    out->bytes.whole = whole > UINT32_MAX ? UINT32_MAX : (uint32_t)whole;
    return 0;
}

/* ---- all ---- */

static int
decode_bytes(enum type_wire wire, const void *data, size_t size, struct arena *a, struct value *out,
             struct err *e)
{
    switch (wire) {
    case WIRE_UTF16:
        return decode_wide(data, size, a, out, e);
    case WIRE_VARIANT:
        return decode_variant(data, size, a, out, e);
    case WIRE_HIERARCHYID:
        return decode_path(data, size, a, out, e);
    case WIRE_GEOMETRY:
    case WIRE_GEOGRAPHY:
        return decode_spatial(wire, data, size, a, out, e);
    case WIRE_NATIVE:
        break;
    }
    return set_bytes(VALUE_BYTES, data, size, a, out, e);
}

int
type_decode(int db_type, enum type_wire wire, const void *data, size_t size, struct arena *a,
            struct value *out, struct err *e)
{
    size_t fixed = fixed_size(db_type);

    if (data == NULL) {
        out->kind = VALUE_NULL;
        return 0;
    }
    if (fixed != 0) {
        if (size != fixed)
            return wrong_size(db_type, size, e);
        if (db_type == SYBMONEY || db_type == SYBMONEY4)
            return decode_money(db_type, data, a, out, e);
        return decode_fixed(db_type, data, out, e);
    }
    switch (db_type) {
    case SYBNUMERIC:
    case SYBDECIMAL:
        return decode_numeric(data, size, a, out, e);
    case SYBBINARY:
    case SYBVARBINARY:
    case SYBIMAGE:
    case TYPE_CLR:
        return decode_bytes(wire, data, size, a, out, e);
    case SYBCHAR:
    case SYBVARCHAR:
    case SYBTEXT:
    case SYBNTEXT:
        return set_bytes(VALUE_TEXT, data, size, a, out, e);
    default:
        return err_set(e, ERR_DATA, "a value came with wire type %d, which no column has", db_type);
    }
}

int
type_decode_column(const struct type_column *c, int db_type, const void *data, size_t size,
                   struct arena *a, struct value *out, struct err *e)
{
    if (c->limit > 0 && data != NULL)
        return decode_limited(c, db_type, data, size, a, out, e);
    return type_decode(db_type, c->wire, data, size, a, out, e);
}
