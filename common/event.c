#include "common/event_format.h"

#include "common/err.h"

#define HEAD_BOUND     112 /* everything but the values: longer than the sum of its parts */
#define VALUE_BOUND    18  /* the longest value of fixed size: fixext 16 */
#define VARIABLE_BOUND 10  /* head of the longest str, bin or ext, and of what was cut */

static uint8_t *
put_be16(uint8_t *at, uint16_t u)
{
    u = __builtin_bswap16(u);
    memcpy(at, &u, sizeof(u));
    return at + sizeof(u);
}

static uint8_t *
put_be32(uint8_t *at, uint32_t u)
{
    u = __builtin_bswap32(u);
    memcpy(at, &u, sizeof(u));
    return at + sizeof(u);
}

static uint8_t *
put_be64(uint8_t *at, uint64_t u)
{
    u = __builtin_bswap64(u);
    memcpy(at, &u, sizeof(u));
    return at + sizeof(u);
}

/* The shortest form that holds the number, as msgpack-c packs it. */
static uint8_t *
put_uint(uint8_t *at, uint64_t u)
{
    if (u < 0x80) {
        *at++ = (uint8_t)u;
        return at;
    }
    if (u <= UINT8_MAX) {
        *at++ = 0xcc;
        *at++ = (uint8_t)u;
        return at;
    }
    if (u <= UINT16_MAX) {
        *at++ = 0xcd;
        return put_be16(at, (uint16_t)u);
    }
    if (u <= UINT32_MAX) {
        *at++ = 0xce;
        return put_be32(at, (uint32_t)u);
    }
    *at++ = 0xcf;
    return put_be64(at, u);
}

static uint8_t *
put_int(uint8_t *at, int64_t i)
{
    if (i >= 0)
        return put_uint(at, (uint64_t)i);
    if (i >= -32) {
        *at++ = (uint8_t)i;
        return at;
    }
    if (i >= INT8_MIN) {
        *at++ = 0xd0;
        *at++ = (uint8_t)i;
        return at;
    }
    if (i >= INT16_MIN) {
        *at++ = 0xd1;
        return put_be16(at, (uint16_t)i);
    }
    if (i >= INT32_MIN) {
        *at++ = 0xd2;
        return put_be32(at, (uint32_t)i);
    }
    *at++ = 0xd3;
    return put_be64(at, (uint64_t)i);
}

/* Length in 8, 16 or 32 bits behind one of three consecutive lead bytes. */
static uint8_t *
put_length(uint8_t *at, uint8_t lead8, uint32_t size)
{
    if (size <= UINT8_MAX) {
        *at++ = lead8;
        *at++ = (uint8_t)size;
        return at;
    }
    if (size <= UINT16_MAX) {
        *at++ = (uint8_t)(lead8 + 1);
        return put_be16(at, (uint16_t)size);
    }
    *at++ = (uint8_t)(lead8 + 2);
    return put_be32(at, size);
}

static uint8_t *
put_bytes(uint8_t *at, const void *data, uint32_t size)
{
    if (size > 0)
        memcpy(at, data, size);
    return at + size;
}

static uint8_t *
put_bin(uint8_t *at, const void *data, uint32_t size)
{
    return put_bytes(put_length(at, 0xc4, size), data, size);
}

static uint8_t *
put_text(uint8_t *at, const void *data, uint32_t size)
{
    if (size < 32)
        *at++ = (uint8_t)(0xa0 | size);
    else
        at = put_length(at, 0xd9, size);
    return put_bytes(at, data, size);
}

static uint8_t *
put_ext_head(uint8_t *at, uint8_t type, uint32_t size)
{
    if (size >= 1 && size <= 16 && (size & (size - 1)) == 0)
        *at++ = (uint8_t)(0xd4 + __builtin_ctz(size));
    else
        at = put_length(at, 0xc7, size);
    *at++ = type;
    return at;
}

static uint8_t *
put_float(uint8_t *at, const struct value *v)
{
    uint32_t bits32;
    uint64_t bits64;

    if (v->kind == VALUE_FLOAT32) {
        memcpy(&bits32, &v->f32, sizeof(bits32));
        *at++ = 0xca;
        return put_be32(at, bits32);
    }
    memcpy(&bits64, &v->f64, sizeof(bits64));
    *at++ = 0xcb;
    return put_be64(at, bits64);
}

static uint8_t *
put_cut(uint8_t *at, uint8_t type, const struct value *v)
{
    /* A ring record ends before 4 GiB: capture has refused what would not fit. */
    at = put_ext_head(at, type, v->bytes.size + EVENT_CUT_HEAD);
    return put_bytes(put_be32(at, v->bytes.whole), v->bytes.data, v->bytes.size);
}

static uint8_t *
put_value(uint8_t *at, const struct value *v)
{
    switch (v->kind) {
    case VALUE_NULL:
        *at++ = 0xc0;
        return at;
    case VALUE_BOOL:
        *at++ = v->boolean ? 0xc3 : 0xc2;
        return at;
    case VALUE_INT:
        return put_int(at, v->i);
    case VALUE_UINT:
        return put_uint(at, v->u);
    case VALUE_FLOAT32:
    case VALUE_FLOAT64:
        return put_float(at, v);
    case VALUE_DECIMAL:
        return put_bytes(put_ext_head(at, EXT_DECIMAL, v->bytes.size), v->bytes.data,
                         v->bytes.size);
    case VALUE_TEXT:
        return put_text(at, v->bytes.data, v->bytes.size);
    case VALUE_BYTES:
        return put_bin(at, v->bytes.data, v->bytes.size);
    case VALUE_DATE:
        return put_be32(put_ext_head(at, EXT_DATE, 4), (uint32_t)v->days);
    case VALUE_TIME:
        return put_be64(put_ext_head(at, EXT_TIME, 8), (uint64_t)v->time_ns);
    case VALUE_DATETIME:
        at = put_be64(put_ext_head(at, EXT_DATETIME, 12), (uint64_t)v->datetime.seconds);
        return put_be32(at, v->datetime.nanos);
    case VALUE_DATETIMEOFFSET:
        at = put_be64(put_ext_head(at, EXT_DATETIMEOFFSET, 14), (uint64_t)v->datetime.seconds);
        at = put_be32(at, v->datetime.nanos);
        return put_be16(at, (uint16_t)v->datetime.offset_min);
    case VALUE_UUID:
        return put_bytes(put_ext_head(at, EXT_UUID, 16), v->uuid, 16);
    case VALUE_CUT_TEXT:
        return put_cut(at, EXT_CUT_TEXT, v);
    case VALUE_CUT_BYTES:
        return put_cut(at, EXT_CUT_BYTES, v);
    case VALUE_UNAVAILABLE:
        at = put_ext_head(at, EXT_UNAVAILABLE, 1);
        *at++ = 0;
        return at;
    }
    CHECK(v->kind <= VALUE_UNAVAILABLE);
    return at;
}

static uint8_t *
put_values(uint8_t *at, const struct value *values, uint16_t n)
{
    if (n == 0) {
        *at++ = 0xc0;
        return at;
    }
    if (n < 16) {
        *at++ = (uint8_t)(0x90 | n);
    } else {
        *at++ = 0xdc;
        at = put_be16(at, n);
    }
    for (uint16_t i = 0; i < n; i++)
        at = put_value(at, &values[i]);
    return at;
}

static size_t
values_bound(const struct value *values, uint16_t n)
{
    size_t sum = 0;

    for (uint16_t i = 0; i < n; i++) {
        bool is_variable = values[i].kind == VALUE_DECIMAL || values[i].kind == VALUE_TEXT ||
                           values[i].kind == VALUE_BYTES || values[i].kind == VALUE_CUT_TEXT ||
                           values[i].kind == VALUE_CUT_BYTES;

        sum += is_variable ? VARIABLE_BOUND + (size_t)values[i].bytes.size : VALUE_BOUND;
    }
    return sum;
}

size_t
event_bound(const struct event *ev)
{
    return HEAD_BOUND + values_bound(ev->before, ev->n_before) +
           values_bound(ev->after, ev->n_after);
}

size_t
event_encode(const struct event *ev, void *buf)
{
    uint8_t *at = buf;

    CHECK(ev->transaction_id_size <= EVENT_MAX_TRANSACTION);
    CHECK(ev->n_before <= EVENT_MAX_COLUMNS && ev->n_after <= EVENT_MAX_COLUMNS);
    *at++ = 0x90 | EVENT_MEMBERS;
    at = put_uint(at, (uint64_t)ev->operation);
    at = put_uint(at, ev->version);
    at = put_bin(at, ev->position.b, POSITION_SIZE);
    at = put_int(at, ev->commit_real_ns);
    at = put_bin(at, ev->transaction_id, ev->transaction_id_size);
    at = put_uint(at, ev->record_number);
    at = put_int(at, ev->captured_mono_ns);
    at = put_values(at, ev->before, ev->n_before);
    at = put_values(at, ev->after, ev->n_after);
    return (size_t)(at - (uint8_t *)buf);
}
