#include "tests/mssqld/tds/param.h"

#include "common/err.h"
#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/paramtype.h"
#include "tests/mssqld/tds/pool.h"
#include "tests/mssqld/tds/proto.h"
#include "tests/mssqld/tds/reader.h"
#include "tests/mssqld/tds/text.h"
#include "tests/mssqld/tds/wiretype.h"

#define TICKS_PER_DAY    864000000000LL
#define TICKS_PER_MINUTE 600000000LL
#define DAYS_MAX         3652058 /* 9999-12-31 since 0001-01-01 */

static const int64_t ticks_per_unit[8] = {10000000, 1000000, 100000, 10000, 1000, 100, 10, 1};

struct decoder {
    struct reader *r;
    const struct paramtype *type;
    struct pool *pool;
    struct text_codec *codec;
    struct err *e;
};

/* ---- values of fixed width ---- */

static int
check_date(struct err *e, int64_t days, int64_t ticks)
{
    if (days < 0 || days > DAYS_MAX || ticks < 0 || ticks >= TICKS_PER_DAY)
        return err_set(e, ERR_PROTOCOL, "a date or time parameter is out of range");
    return 0;
}

static int
decode_date_part(struct sql_value *out, const uint8_t *p, struct err *e)
{
    int32_t days = 0;

    memcpy(&days, p, 3);
    out->dt.days = days;
    return check_date(e, days, out->dt.ticks);
}

static int
decode_time_part(struct sql_value *out, const uint8_t *p, uint8_t scale, struct err *e)
{
    uint64_t units = 0;

    memcpy(&units, p, wiretype_time_size(scale));
    if (units > (uint64_t)(TICKS_PER_DAY / ticks_per_unit[scale]))
        return err_set(e, ERR_PROTOCOL, "a time parameter is out of range");
    out->dt.ticks = (int64_t)units * ticks_per_unit[scale];
    return check_date(e, 0, out->dt.ticks);
}

static int
decode_datetime(struct sql_value *out, const uint8_t *p, size_t size, struct err *e)
{
    int64_t days;

    if (size == 4) {
        uint16_t d;
        uint16_t minutes;

        memcpy(&d, p, 2);
        memcpy(&minutes, p + 2, 2);
        days = d;
        out->dt.ticks = minutes * TICKS_PER_MINUTE;
    } else {
        int32_t d;
        uint32_t units;

        memcpy(&d, p, 4);
        memcpy(&units, p + 4, 4);
        days = d;
        out->dt.ticks = ((int64_t)units * 100000 + 1) / 3;
    }
    days += TDS_DAYS_1900;
    out->dt.days = (int32_t)days;
    return check_date(e, days, out->dt.ticks);
}

static int
decode_decimal(struct sql_value *out, const uint8_t *p, size_t size, struct err *e)
{
    __extension__ unsigned __int128 magnitude = 0;

    if (size < 2 || size > 17)
        return paramtype_bad_size(e, TYPE_DECIMALN, (uint32_t)size);
    memcpy(&magnitude, p + 1, size - 1);
    out->dec.negative = p[0] == 0;
    out->dec.magnitude = magnitude;
    return 0;
}

static void
decode_number(const struct paramtype *type, struct sql_value *out, const uint8_t *p, size_t size)
{
    int32_t high;
    uint32_t low;

    switch (type->token) {
    case TYPE_FLTN:
    case TYPE_FLT4:
    case TYPE_FLT8:
        if (size == 4) {
            float f;

            memcpy(&f, p, sizeof(f));
            out->f = (double)f;
        } else {
            memcpy(&out->f, p, sizeof(out->f));
        }
        return;
    case TYPE_MONEYN:
    case TYPE_MONEY:
    case TYPE_MONEY4:
        if (size == 8) {
            memcpy(&high, p, 4);
            memcpy(&low, p + 4, 4);
            out->i = (int64_t)((uint64_t)(uint32_t)high << 32 | low);
            return;
        }
        break;
    default:
        break;
    }
    out->i = 0;
    memcpy(&out->i, p, size);
    if (size == 2)
        out->i = (int16_t)out->i;
    else if (size == 4)
        out->i = (int32_t)out->i;
}

/* size is the count before the value, or the fixed width; data are there. */
static int
decode_fixed(const struct decoder *d, struct sql_value *out, const uint8_t *p, size_t size)
{
    const struct paramtype *type = d->type;
    uint8_t time_size = wiretype_time_size(type->type.scale);

    switch (type->token) {
    case TYPE_DECIMALN:
    case TYPE_NUMERICN:
        return decode_decimal(out, p, size, d->e);
    case TYPE_DATE:
        return size == 3 ? decode_date_part(out, p, d->e)
                         : paramtype_bad_size(d->e, type->token, 3);
    case TYPE_TIME:
        if (size != time_size)
            return paramtype_bad_size(d->e, type->token, (uint32_t)size);
        return decode_time_part(out, p, type->type.scale, d->e);
    case TYPE_DATETIME2:
    case TYPE_DATETIMEOFFSET:
        if (size != time_size + (type->token == TYPE_DATETIME2 ? 3U : 5U))
            return paramtype_bad_size(d->e, type->token, (uint32_t)size);
        if (type->token == TYPE_DATETIMEOFFSET)
            memcpy(&out->dt.offset_min, p + time_size + 3, 2);
        if (out->dt.offset_min < -840 || out->dt.offset_min > 840)
            return err_set(d->e, ERR_PROTOCOL, "a parameter has a time zone of %d minutes",
                           out->dt.offset_min);
        if (decode_time_part(out, p, type->type.scale, d->e) != 0)
            return -1;
        return decode_date_part(out, p + time_size, d->e);
    default:
        break;
    }
    if (size != type->max_size)
        return paramtype_bad_size(d->e, type->token, (uint32_t)size);
    if (type->type.base == SQL_UNIQUEIDENTIFIER) {
        out->bytes.data = p;
        out->bytes.size = size;
        return 0;
    }
    if (type->type.base == SQL_DATETIME || type->type.base == SQL_SMALLDATETIME)
        return decode_datetime(out, p, size, d->e);
    decode_number(type, out, p, size);
    if (type->type.base == SQL_BIT)
        out->i = out->i != 0;
    return 0;
}

/* ---- values of any length ---- */

static int
decode_text(const struct decoder *d, struct sql_value *out, const uint8_t *data, size_t size,
            bool is_utf16)
{
    /* Worst case of either conversion, so that the buffer never grows out of the pool. */
    size_t cap;
    struct buf b = {.data = NULL};

    if (__builtin_mul_overflow(size, (size_t)3, &cap) ||
        __builtin_add_overflow(cap, (size_t)32, &cap))
        return err_set(d->e, ERR_PROTOCOL, "a text parameter is too long");
    b.data = pool_alloc(d->pool, cap);
    b.cap = cap;
    if (b.data == NULL)
        return err_set(d->e, ERR_NOMEM, "no memory for a parameter of %zu bytes", size);
    if (is_utf16)
        text_put_utf8(&b, data, size);
    else
        text_from_codepage(d->codec, text_codepage(d->type->type.collation), &b, data, size);
    out->bytes.data = b.data;
    out->bytes.size = b.size;
    return 0;
}

/* Gives the bytes of a value their form: text as UTF-8, binary as it is. */
static int
decode_bytes(const struct decoder *d, struct sql_value *out, const uint8_t *data, size_t size)
{
    static const uint8_t empty[1] = {0};

    switch (d->type->token) {
    case TYPE_XML:
        if (size >= 2 && data[0] == 0xFF && data[1] == 0xFE) {
            data += 2;
            size -= 2;
        }
        return decode_text(d, out, data, size, true);
    case TYPE_NVARCHAR:
    case TYPE_NCHAR:
    case TYPE_NTEXT:
        return decode_text(d, out, data, size, true);
    case TYPE_BIGVARCHAR:
    case TYPE_BIGCHAR:
    case TYPE_TEXT:
        return decode_text(d, out, data, size, false);
    default:
        out->bytes.data = size == 0 ? empty : data;
        out->bytes.size = size;
        return 0;
    }
}

/* Adds up the chunks ahead without taking them; -1 when they run past the end. */
static int
measure_chunks(const struct reader *r, size_t *total)
{
    struct reader ahead = *r;

    *total = 0;
    for (;;) {
        uint32_t n = reader_u32(&ahead);

        if (n != 0)
            (void)reader_take(&ahead, n);
        if (ahead.bad)
            return -1;
        if (n == 0)
            return 0;
        *total += n;
    }
}

static int
decode_plp(const struct decoder *d, struct sql_value *out)
{
    struct reader *r = d->r;
    uint64_t announced = reader_u64(r);
    size_t total;
    size_t at = 0;
    uint8_t *data;

    if (!r->bad && announced == TDS_PLP_NULL) {
        out->is_null = true;
        return 0;
    }
    if (r->bad || measure_chunks(r, &total) != 0)
        return err_set(d->e, ERR_PROTOCOL, "the request ends inside a (max) parameter");
    if (announced != TDS_PLP_UNKNOWN && announced != total)
        return err_set(d->e, ERR_PROTOCOL, "a (max) parameter announces %llu bytes and brings %zu",
                       (unsigned long long)announced, total);
    data = pool_alloc(d->pool, total + 1);
    if (data == NULL)
        return err_set(d->e, ERR_NOMEM, "no memory for a parameter of %zu bytes", total);
    for (;;) {
        uint32_t n = reader_u32(r);
        const uint8_t *chunk = n == 0 ? NULL : reader_take(r, n);

        if (chunk == NULL)
            break;
        memcpy(data + at, chunk, n);
        at += n;
    }
    return decode_bytes(d, out, data, total);
}

static int
decode_counted(const struct decoder *d, struct sql_value *out, size_t size)
{
    const uint8_t *p = reader_take(d->r, size);

    if (p == NULL)
        return err_set(d->e, ERR_PROTOCOL,
                       "the request ends inside a parameter of type 0x%02X with %zu bytes",
                       d->type->token, size);
    return decode_bytes(d, out, p, size);
}

/* A sql_variant: base type, properties, then the value without a count. */
static int
decode_variant(const struct decoder *d, struct sql_value *out)
{
    uint32_t total = reader_u32(d->r);
    const uint8_t *p = reader_take(d->r, total);
    struct reader r = reader_of(p, p == NULL ? 0 : total);
    struct reader props;
    struct paramtype *inner = pool_alloc(d->pool, sizeof(*inner));
    struct sql_value *value = pool_alloc(d->pool, sizeof(*value));
    struct decoder sub = *d;
    uint8_t props_size;
    bool counted;

    if (inner == NULL || value == NULL)
        return err_set(d->e, ERR_NOMEM, "no memory for a parameter");
    if (total == 0 || d->r->bad) {
        out->is_null = true;
        return 0;
    }
    *inner = (struct paramtype){.type = {.nullable = true}, .token = reader_u8(&r)};
    props_size = reader_u8(&r);
    props = reader_of(reader_take(&r, props_size), props_size);
    if (r.bad)
        return err_set(d->e, ERR_PROTOCOL, "a sql_variant ends inside its properties");
    if (paramtype_read_variant(&props, inner, &counted, d->e) != 0)
        return -1;
    if (props.bad)
        return err_set(d->e, ERR_PROTOCOL, "a sql_variant of type 0x%02X lacks properties",
                       inner->token);
    sub.type = inner;
    sub.r = &r;
    out->variant.type = &inner->type;
    out->variant.value = value;
    if (counted)
        return decode_counted(&sub, value, reader_left(&r));
    return decode_fixed(&sub, value, r.at, reader_left(&r));
}

static bool
is_fixed_token(uint8_t token)
{
    switch (token) {
    case TYPE_INT1:
    case TYPE_BIT:
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_FLT4:
    case TYPE_FLT8:
    case TYPE_MONEY:
    case TYPE_MONEY4:
    case TYPE_DATETIME:
    case TYPE_DATETIME4:
        return true;
    default:
        return false;
    }
}

static int
decode_short(const struct decoder *d, struct sql_value *out)
{
    uint16_t size;

    if (d->type->max_size == TDS_LENGTH_MAX)
        return decode_plp(d, out);
    size = reader_u16(d->r);
    if (size == TDS_LENGTH_MAX) {
        out->is_null = true;
        return 0;
    }
    if (size > d->type->max_size)
        return err_set(d->e, ERR_PROTOCOL, "a parameter of at most %u bytes brings %u",
                       d->type->max_size, size);
    return decode_counted(d, out, size);
}

static int
decode_small(const struct decoder *d, struct sql_value *out)
{
    size_t size = is_fixed_token(d->type->token) ? d->type->max_size : reader_u8(d->r);
    const uint8_t *p;

    if (size == 0) {
        out->is_null = true;
        return 0;
    }
    p = reader_take(d->r, size);
    return p == NULL ? 0 : decode_fixed(d, out, p, size);
}

static int
decode_value(const struct decoder *d, struct sql_value *out)
{
    uint32_t size;

    switch (d->type->token) {
    case TYPE_NULL:
        out->is_null = true;
        return 0;
    case TYPE_BIGCHAR:
    case TYPE_BIGVARCHAR:
    case TYPE_NCHAR:
    case TYPE_NVARCHAR:
    case TYPE_BIGBINARY:
    case TYPE_BIGVARBIN:
        return decode_short(d, out);
    case TYPE_XML:
        return decode_plp(d, out);
    case TYPE_TEXT:
    case TYPE_NTEXT:
    case TYPE_IMAGE:
        size = reader_u32(d->r);
        if (size == UINT32_MAX) {
            out->is_null = true;
            return 0;
        }
        return decode_counted(d, out, size);
    case TYPE_VARIANT:
        return decode_variant(d, out);
    default:
        return decode_small(d, out);
    }
}

int
param_read_value(struct reader *r, const struct paramtype *type, struct pool *pool,
                 struct text_codec *codec, struct sql_value *out, struct err *e)
{
    struct decoder d = {.r = r, .type = type, .pool = pool, .codec = codec, .e = e};

    memset(out, 0, sizeof(*out));
    if (decode_value(&d, out) != 0)
        return -1;
    if (r->bad)
        return err_set(e, ERR_PROTOCOL, "the request ends inside a parameter of type 0x%02X",
                       type->token);
    return 0;
}
