#include "tests/mssqld/tds/param.h"

#include "common/err.h"
#include "tests/mssqld/tds/buf.h"
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
    const struct param_type *type;
    struct pool *pool;
    struct text_codec *codec;
    struct err *e;
};

/* ---- types ---- */

static int
bad_size(struct err *e, uint8_t token, uint32_t size)
{
    return err_set(e, ERR_PROTOCOL, "a parameter of type 0x%02X cannot have %u bytes", token, size);
}

/* Picks the base of a type whose token stands for several sizes. */
static int
base_by_size(struct param_type *out, uint8_t size, struct err *e)
{
    static const struct {
        uint8_t token;
        uint8_t size;
        enum sql_base base;
    } sizes[] = {
        {TYPE_INTN, 1, SQL_TINYINT},      {TYPE_INTN, 2, SQL_SMALLINT},
        {TYPE_INTN, 4, SQL_INT},          {TYPE_INTN, 8, SQL_BIGINT},
        {TYPE_BITN, 1, SQL_BIT},          {TYPE_FLTN, 4, SQL_REAL},
        {TYPE_FLTN, 8, SQL_FLOAT},        {TYPE_MONEYN, 4, SQL_SMALLMONEY},
        {TYPE_MONEYN, 8, SQL_MONEY},      {TYPE_DATETIMN, 4, SQL_SMALLDATETIME},
        {TYPE_DATETIMN, 8, SQL_DATETIME}, {TYPE_GUID, 16, SQL_UNIQUEIDENTIFIER},
        {TYPE_INT1, 1, SQL_TINYINT},      {TYPE_INT2, 2, SQL_SMALLINT},
        {TYPE_INT4, 4, SQL_INT},          {TYPE_INT8, 8, SQL_BIGINT},
        {TYPE_BIT, 1, SQL_BIT},           {TYPE_FLT4, 4, SQL_REAL},
        {TYPE_FLT8, 8, SQL_FLOAT},        {TYPE_MONEY4, 4, SQL_SMALLMONEY},
        {TYPE_MONEY, 8, SQL_MONEY},       {TYPE_DATETIME4, 4, SQL_SMALLDATETIME},
        {TYPE_DATETIME, 8, SQL_DATETIME},
    };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (sizes[i].token == out->token && (size == 0 || sizes[i].size == size)) {
            out->type.base = sizes[i].base;
            out->max_size = sizes[i].size;
            return 0;
        }
    }
    return bad_size(e, out->token, size);
}

/* The u16-sized types; in characters for the UTF-16 ones. */
static int
read_short_type(struct reader *r, struct param_type *out, bool has_collation, struct err *e)
{
    bool is_utf16 = out->token == TYPE_NVARCHAR || out->token == TYPE_NCHAR;
    const uint8_t *collation;

    out->max_size = reader_u16(r);
    if (out->max_size == TDS_LENGTH_MAX)
        out->type.length = SQL_LENGTH_MAX;
    else if (out->max_size > 8000)
        return bad_size(e, out->token, out->max_size);
    else
        out->type.length = (int32_t)(is_utf16 ? out->max_size / 2 : out->max_size);
    if (!has_collation)
        return 0;
    collation = reader_take(r, 5);
    if (collation != NULL)
        memcpy(out->type.collation, collation, 5);
    return 0;
}

static int
read_long_type(struct reader *r, struct param_type *out, bool has_collation)
{
    const uint8_t *collation;

    out->max_size = reader_u32(r);
    out->type.length = SQL_LENGTH_MAX;
    if (!has_collation)
        return 0;
    collation = reader_take(r, 5);
    if (collation != NULL)
        memcpy(out->type.collation, collation, 5);
    return 0;
}

static int
read_decimal_type(struct reader *r, struct param_type *out, struct err *e)
{
    out->max_size = reader_u8(r);
    out->type.precision = reader_u8(r);
    out->type.scale = reader_u8(r);
    if (r->bad)
        return 0; /* the caller reports it */
    if (out->type.precision < 1 || out->type.precision > 38 ||
        out->type.scale > out->type.precision)
        return err_set(e, ERR_PROTOCOL, "a parameter is decimal(%u, %u)", out->type.precision,
                       out->type.scale);
    return 0;
}

static int
read_scaled_type(struct reader *r, struct param_type *out, struct err *e)
{
    out->type.scale = reader_u8(r);
    if (out->type.scale > 7)
        return err_set(e, ERR_PROTOCOL, "a time parameter has scale %u", out->type.scale);
    return 0;
}

static void
skip_name_u8(struct reader *r)
{
    (void)reader_take(r, (size_t)reader_u8(r) * 2);
}

/* Schema of an xml parameter: collection names that nothing here can use. */
static void
read_xml_type(struct reader *r)
{
    if (reader_u8(r) != 0) {
        skip_name_u8(r);
        skip_name_u8(r);
        (void)reader_take(r, (size_t)reader_u16(r) * 2);
    }
}

static int
read_type_body(struct reader *r, struct param_type *out, struct err *e)
{
    switch (out->token) {
    case TYPE_INTN:
    case TYPE_BITN:
    case TYPE_FLTN:
    case TYPE_MONEYN:
    case TYPE_DATETIMN:
    case TYPE_GUID: {
        uint8_t size = reader_u8(r);

        return r->bad ? 0 : base_by_size(out, size == 0 ? UINT8_MAX : size, e);
    }
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
        return base_by_size(out, 0, e);
    case TYPE_NULL:
        out->type.base = SQL_INT;
        return 0;
    case TYPE_DECIMALN:
        out->type.base = SQL_DECIMAL;
        return read_decimal_type(r, out, e);
    case TYPE_NUMERICN:
        out->type.base = SQL_NUMERIC;
        return read_decimal_type(r, out, e);
    case TYPE_DATE:
        out->type.base = SQL_DATE;
        return 0;
    case TYPE_TIME:
        out->type.base = SQL_TIME;
        return read_scaled_type(r, out, e);
    case TYPE_DATETIME2:
        out->type.base = SQL_DATETIME2;
        return read_scaled_type(r, out, e);
    case TYPE_DATETIMEOFFSET:
        out->type.base = SQL_DATETIMEOFFSET;
        return read_scaled_type(r, out, e);
    case TYPE_BIGCHAR:
        out->type.base = SQL_CHAR;
        return read_short_type(r, out, true, e);
    case TYPE_BIGVARCHAR:
        out->type.base = SQL_VARCHAR;
        return read_short_type(r, out, true, e);
    case TYPE_NCHAR:
        out->type.base = SQL_NCHAR;
        return read_short_type(r, out, true, e);
    case TYPE_NVARCHAR:
        out->type.base = SQL_NVARCHAR;
        return read_short_type(r, out, true, e);
    case TYPE_BIGBINARY:
        out->type.base = SQL_BINARY;
        return read_short_type(r, out, false, e);
    case TYPE_BIGVARBIN:
        out->type.base = SQL_VARBINARY;
        return read_short_type(r, out, false, e);
    case TYPE_TEXT:
        out->type.base = SQL_TEXT;
        return read_long_type(r, out, true);
    case TYPE_NTEXT:
        out->type.base = SQL_NTEXT;
        return read_long_type(r, out, true);
    case TYPE_IMAGE:
        out->type.base = SQL_IMAGE;
        return read_long_type(r, out, false);
    case TYPE_VARIANT:
        out->type.base = SQL_VARIANT;
        return read_long_type(r, out, false);
    case TYPE_XML:
        out->type.base = SQL_XML;
        read_xml_type(r);
        return 0;
    default:
        return err_set(e, ERR_PROTOCOL, "a parameter has type 0x%02X, which is not served here",
                       out->token);
    }
}

int
param_read_type(struct reader *r, struct param_type *out, struct err *e)
{
    *out = (struct param_type){.type = {.nullable = true}, .token = reader_u8(r)};
    if (r->bad)
        return err_set(e, ERR_PROTOCOL, "the request ends before the type of a parameter");
    if (read_type_body(r, out, e) != 0)
        return -1;
    if (r->bad)
        return err_set(e, ERR_PROTOCOL, "the request ends inside the type of a parameter");
    return 0;
}

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
        return bad_size(e, TYPE_DECIMALN, (uint32_t)size);
    memcpy(&magnitude, p + 1, size - 1);
    out->dec.negative = p[0] == 0;
    out->dec.magnitude = magnitude;
    return 0;
}

static void
decode_number(const struct param_type *type, struct sql_value *out, const uint8_t *p, size_t size)
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
    const struct param_type *type = d->type;
    uint8_t time_size = wiretype_time_size(type->type.scale);

    switch (type->token) {
    case TYPE_DECIMALN:
    case TYPE_NUMERICN:
        return decode_decimal(out, p, size, d->e);
    case TYPE_DATE:
        return size == 3 ? decode_date_part(out, p, d->e) : bad_size(d->e, type->token, 3);
    case TYPE_TIME:
        if (size != time_size)
            return bad_size(d->e, type->token, (uint32_t)size);
        return decode_time_part(out, p, type->type.scale, d->e);
    case TYPE_DATETIME2:
    case TYPE_DATETIMEOFFSET:
        if (size != time_size + (type->token == TYPE_DATETIME2 ? 3U : 5U))
            return bad_size(d->e, type->token, (uint32_t)size);
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
        return bad_size(d->e, type->token, (uint32_t)size);
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

/* Type of a sql_variant's value from its base type and properties; *counted: text or binary. */
static int
read_variant_type(const struct decoder *d, struct reader *props, struct param_type *inner,
                  bool *counted)
{
    static const struct {
        uint8_t token;
        enum sql_base base;
        int32_t unit; /* bytes a unit of length */
        bool is_text;
    } counts[] = {
        {TYPE_NVARCHAR, SQL_NVARCHAR, 2, true},    {TYPE_NCHAR, SQL_NCHAR, 2, true},
        {TYPE_BIGVARCHAR, SQL_VARCHAR, 1, true},   {TYPE_BIGCHAR, SQL_CHAR, 1, true},
        {TYPE_BIGVARBIN, SQL_VARBINARY, 1, false}, {TYPE_BIGBINARY, SQL_BINARY, 1, false},
    };

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const uint8_t *collation;

        if (counts[i].token != inner->token)
            continue;
        collation = counts[i].is_text ? reader_take(props, 5) : NULL;
        if (collation != NULL)
            memcpy(inner->type.collation, collation, 5);
        inner->type.base = counts[i].base;
        inner->type.length = reader_u16(props) / counts[i].unit;
        *counted = true;
        return 0;
    }
    *counted = false;
    if (inner->token == TYPE_DECIMALN || inner->token == TYPE_NUMERICN) {
        inner->type.base = inner->token == TYPE_DECIMALN ? SQL_DECIMAL : SQL_NUMERIC;
        inner->type.precision = reader_u8(props);
        inner->type.scale = reader_u8(props);
        return 0;
    }
    if (inner->token == TYPE_GUID)
        return base_by_size(inner, 16, d->e);
    if (inner->token == TYPE_VARIANT || inner->token == TYPE_XML)
        return err_set(d->e, ERR_PROTOCOL, "a sql_variant cannot hold type 0x%02X", inner->token);
    return read_type_body(props, inner, d->e);
}

/* A sql_variant: base type, properties, then the value without a count. */
static int
decode_variant(const struct decoder *d, struct sql_value *out)
{
    uint32_t total = reader_u32(d->r);
    const uint8_t *p = reader_take(d->r, total);
    struct reader r = reader_of(p, p == NULL ? 0 : total);
    struct reader props;
    struct param_type *inner = pool_alloc(d->pool, sizeof(*inner));
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
    *inner = (struct param_type){.type = {.nullable = true}, .token = reader_u8(&r)};
    props_size = reader_u8(&r);
    props = reader_of(reader_take(&r, props_size), props_size);
    if (r.bad)
        return err_set(d->e, ERR_PROTOCOL, "a sql_variant ends inside its properties");
    if (read_variant_type(d, &props, inner, &counted) != 0)
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
param_read_value(struct reader *r, const struct param_type *type, struct pool *pool,
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
