#include "common/event_format.h"

#include "common/err.h"

#include <inttypes.h>

#define DAY_NS 86400000000000LL

/* Keeps a date within int32 days, so that its year fits an int. */
#define SECONDS_MAX (INT32_MAX * 86400LL)

/* A number that stands in its lead byte. */
static inline int64_t
small_int(uint8_t lead)
{
    return lead < 0x80 ? lead : (int64_t)lead - 256;
}

/*
 * A cursor over untrusted bytes.  Every take_* looks at what is left before it reads; the
 * first complaint is kept in what/where and everything after it fails.
 */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *start;
    const char *what;
};

static bool
refuse(struct cursor *c, const char *what)
{
    c->what = what;
    return false;
}

static inline bool
has(const struct cursor *c, size_t n)
{
    return (size_t)(c->end - c->at) >= n;
}

static uint16_t
get_be16(const uint8_t *at)
{
    uint16_t u;

    memcpy(&u, at, sizeof(u));
    return __builtin_bswap16(u);
}

static uint32_t
get_be32(const uint8_t *at)
{
    uint32_t u;

    memcpy(&u, at, sizeof(u));
    return __builtin_bswap32(u);
}

static uint64_t
get_be64(const uint8_t *at)
{
    uint64_t u;

    memcpy(&u, at, sizeof(u));
    return __builtin_bswap64(u);
}

/* An unsigned big-endian number of `bytes` (1, 2, 4 or 8) bytes. */
static inline bool
take_be(struct cursor *c, unsigned bytes, uint64_t *out)
{
    if (!has(c, bytes))
        return refuse(c, "a number that ends too early");
    switch (bytes) {
    case 1:
        *out = *c->at;
        break;
    case 2:
        *out = get_be16(c->at);
        break;
    case 4:
        *out = get_be32(c->at);
        break;
    default:
        *out = get_be64(c->at);
        break;
    }
    c->at += bytes;
    return true;
}

/* Integers of every width msgpack has; above INT64_MAX they are VALUE_UINT. */
static inline bool
take_integer(struct cursor *c, uint8_t lead, struct value *v)
{
    uint64_t u;
    unsigned bytes = 1U << (lead & 3);

    v->kind = VALUE_INT;
    if (lead < 0x80 || lead >= 0xe0) {
        v->i = small_int(lead);
        return true;
    }
    if (lead < 0xcc || lead > 0xd3)
        return refuse(c, "something else where an integer belongs");
    if (!take_be(c, bytes, &u))
        return false;
    if (lead >= 0xd0) {
        unsigned shift = 64 - 8 * bytes;

        v->i = (int64_t)(u << shift) >> shift;
        return true;
    }
    if (u > INT64_MAX) {
        v->kind = VALUE_UINT;
        v->u = u;
        return true;
    }
    v->i = (int64_t)u;
    return true;
}

static inline bool
take_lead(struct cursor *c, uint8_t *lead)
{
    if (!has(c, 1))
        return refuse(c, "the end where a member belongs");
    *lead = *c->at++;
    return true;
}

static inline bool
take_int(struct cursor *c, int64_t *out)
{
    struct value v;
    uint8_t lead;

    if (!take_lead(c, &lead) || !take_integer(c, lead, &v))
        return false;
    if (v.kind != VALUE_INT)
        return refuse(c, "an integer above 63 bits in the head");
    *out = v.i;
    return true;
}

static inline bool
take_u32(struct cursor *c, uint32_t *out)
{
    int64_t i;

    if (!take_int(c, &i))
        return false;
    if (i < 0 || i > UINT32_MAX)
        return refuse(c, "an integer outside 32 bits in the head");
    *out = (uint32_t)i;
    return true;
}

static inline bool
take_bytes(struct cursor *c, uint64_t size, const uint8_t **out)
{
    if (!has(c, size))
        return refuse(c, "bytes that end too early");
    *out = c->at;
    c->at += size;
    return true;
}

/* A bin of at most max bytes. */
static inline bool
take_head_bin(struct cursor *c, uint32_t max, const uint8_t **out, uint32_t *size)
{
    uint8_t lead;
    uint64_t n;

    if (!take_lead(c, &lead))
        return false;
    if (lead < 0xc4 || lead > 0xc6)
        return refuse(c, "something else where bytes belong");
    if (!take_be(c, 1U << (lead - 0xc4), &n))
        return false;
    if (n > max)
        return refuse(c, "too many bytes in the head");
    *size = (uint32_t)n;
    return take_bytes(c, n, out);
}

static bool
is_decimal(const uint8_t *at, size_t size)
{
    size_t i = size > 0 && at[0] == '-' ? 1 : 0;
    size_t first = i;

    while (i < size && at[i] >= '0' && at[i] <= '9')
        i++;
    if (i == first)
        return false;
    if (i == size)
        return true;
    if (at[i++] != '.' || i == size)
        return false;
    while (i < size && at[i] >= '0' && at[i] <= '9')
        i++;
    return i == size;
}

static bool
take_datetime(struct cursor *c, const uint8_t *at, uint64_t size, struct value *v)
{
    v->datetime.seconds = (int64_t)get_be64(at);
    v->datetime.nanos = get_be32(at + 8);
    v->datetime.offset_min = size == 14 ? (int16_t)get_be16(at + 12) : 0;
    v->kind = size == 14 ? VALUE_DATETIMEOFFSET : VALUE_DATETIME;
    if (v->datetime.seconds < -SECONDS_MAX || v->datetime.seconds > SECONDS_MAX)
        return refuse(c, "a date millions of years away");
    if (v->datetime.nanos >= 1000000000U)
        return refuse(c, "a second of more than a billion nanoseconds");
    if (v->datetime.offset_min < -840 || v->datetime.offset_min > 840)
        return refuse(c, "an offset of more than 14 hours");
    return true;
}

/* What was cut is shorter than it was, or the mark would be a lie; the whole is counted as the
   source counts, in which a character of UTF-8 takes at least a third of its bytes. */
static bool
take_cut(struct cursor *c, uint8_t type, const uint8_t *at, uint64_t size, struct value *v)
{
    if (size < EVENT_CUT_HEAD)
        return refuse(c, "a cut value without the size of the whole");
    v->kind = type == EXT_CUT_TEXT ? VALUE_CUT_TEXT : VALUE_CUT_BYTES;
    v->bytes.whole = get_be32(at);
    v->bytes.data = (const char *)at + EVENT_CUT_HEAD;
    v->bytes.size = (uint32_t)(size - EVENT_CUT_HEAD);
    return v->bytes.size / 3 <= v->bytes.whole || refuse(c, "a cut value longer than the whole");
}

/* size bytes of extension type `type` at the cursor. */
static bool
take_ext(struct cursor *c, uint64_t size, struct value *v)
{
    static const uint8_t fixed_size[] = {
        [EXT_UNAVAILABLE] = 1, [EXT_DATE] = 4,  [EXT_TIME] = 8,
        [EXT_DATETIME] = 12,   [EXT_UUID] = 16, [EXT_DATETIMEOFFSET] = 14};
    uint8_t type;
    const uint8_t *at;

    if (!take_lead(c, &type) || !take_bytes(c, size, &at))
        return false;
    if (type < EXT_UNAVAILABLE || type > EXT_CUT_BYTES)
        return refuse(c, "an unknown extension type");
    if (type >= EXT_CUT_TEXT)
        return take_cut(c, type, at, size, v);
    if (type != EXT_DECIMAL && size != fixed_size[type])
        return refuse(c, "an extension of the wrong size");
    switch (type) {
    case EXT_UNAVAILABLE:
        v->kind = VALUE_UNAVAILABLE;
        return true;
    case EXT_DECIMAL:
        v->kind = VALUE_DECIMAL;
        v->bytes.data = (const char *)at;
        v->bytes.size = (uint32_t)size;
        return is_decimal(at, size) || refuse(c, "a decimal with something else than digits");
    case EXT_DATE:
        v->kind = VALUE_DATE;
        v->days = (int32_t)get_be32(at);
        return true;
    case EXT_TIME:
        v->kind = VALUE_TIME;
        v->time_ns = (int64_t)get_be64(at);
        return (v->time_ns >= 0 && v->time_ns <= DAY_NS) || refuse(c, "a time outside its day");
    case EXT_DATETIME:
    case EXT_DATETIMEOFFSET:
        return take_datetime(c, at, size, v);
    default:
        v->kind = VALUE_UUID;
        memcpy(v->uuid, at, sizeof(v->uuid));
        return true;
    }
}

static bool
take_string(struct cursor *c, enum value_kind kind, uint64_t size, struct value *v)
{
    const uint8_t *at;

    if (!take_bytes(c, size, &at))
        return false;
    v->kind = kind;
    v->bytes.data = (const char *)at;
    v->bytes.size = (uint32_t)size;
    return true;
}

static bool
take_float(struct cursor *c, uint8_t lead, struct value *v)
{
    uint64_t bits;
    uint32_t bits32;

    if (!take_be(c, lead == 0xca ? 4 : 8, &bits))
        return false;
    if (lead == 0xca) {
        bits32 = (uint32_t)bits;
        v->kind = VALUE_FLOAT32;
        memcpy(&v->f32, &bits32, sizeof(v->f32));
        return true;
    }
    v->kind = VALUE_FLOAT64;
    memcpy(&v->f64, &bits, sizeof(v->f64));
    return true;
}

static bool
take_value(struct cursor *c, struct value *v)
{
    uint8_t lead;
    uint64_t n;

    if (!take_lead(c, &lead))
        return false;
    if (lead < 0x80 || lead >= 0xe0 || (lead >= 0xcc && lead <= 0xd3))
        return take_integer(c, lead, v);
    if (lead >= 0xa0 && lead <= 0xbf)
        return take_string(c, VALUE_TEXT, lead & 31U, v);
    if (lead >= 0xd4 && lead <= 0xd8)
        return take_ext(c, 1U << (lead - 0xd4), v);
    if (lead >= 0xc4 && lead <= 0xc6)
        return take_be(c, 1U << (lead - 0xc4), &n) && take_string(c, VALUE_BYTES, n, v);
    if (lead >= 0xd9 && lead <= 0xdb)
        return take_be(c, 1U << (lead - 0xd9), &n) && take_string(c, VALUE_TEXT, n, v);
    if (lead >= 0xc7 && lead <= 0xc9)
        return take_be(c, 1U << (lead - 0xc7), &n) && take_ext(c, n, v);
    if (lead == 0xca || lead == 0xcb)
        return take_float(c, lead, v);
    if (lead == 0xc0) {
        v->kind = VALUE_NULL;
        return true;
    }
    if (lead == 0xc2 || lead == 0xc3) {
        v->kind = VALUE_BOOL;
        v->boolean = lead == 0xc3;
        return true;
    }
    return refuse(c, "something else where a value belongs");
}

/* The longest of the fixed forms that take_fast() knows. */
#define FAST_BYTES 6

/*
 * Takes as many of the n values as are of the kinds rows are mostly made of.  Whatever needs a
 * closer look, the end of the data too, is left to take_value().  Returns how many it took.
 */
static uint64_t
take_fast(struct cursor *c, struct value *values, uint64_t n)
{
    const uint8_t *at = c->at;
    const uint8_t *last = c->end - FAST_BYTES;
    const struct value *end = values + n;
    struct value *v = values;

    if (!has(c, FAST_BYTES))
        return 0;
    for (; v < end && at <= last; v++) {
        uint8_t lead = *at;

        if (lead == 0xcd) {
            v->kind = VALUE_INT;
            v->i = get_be16(at + 1);
            at += 3;
        } else if (lead == 0xce) {
            v->kind = VALUE_INT;
            v->i = get_be32(at + 1);
            at += 5;
        } else if (lead == 0xd6 && at[1] == EXT_DATE) {
            v->kind = VALUE_DATE;
            v->days = (int32_t)get_be32(at + 2);
            at += 6;
        } else if (lead == 0xd9 && at[1] <= c->end - at - 2) {
            v->kind = VALUE_TEXT;
            v->bytes.size = at[1];
            v->bytes.data = (const char *)at + 2;
            at += 2 + v->bytes.size;
        } else if (lead < 0x80 || lead >= 0xe0) {
            v->kind = VALUE_INT;
            v->i = small_int(lead);
            at++;
        } else if (lead == 0xcc) {
            v->kind = VALUE_INT;
            v->i = at[1];
            at += 2;
        } else {
            break;
        }
    }
    c->at = at;
    return (uint64_t)(v - values);
}

/* The number of columns; 0 for nil. */
static bool
take_count(struct cursor *c, uint64_t *count)
{
    uint8_t lead;

    *count = 0;
    if (!take_lead(c, &lead))
        return false;
    if (lead == 0xc0)
        return true;
    if ((lead & 0xf0) == 0x90)
        *count = lead & 15U;
    else if (lead != 0xdc && lead != 0xdd)
        return refuse(c, "something else where the values belong");
    else if (!take_be(c, lead == 0xdc ? 2 : 4, count))
        return false;
    if (*count == 0 || *count > EVENT_MAX_COLUMNS)
        return refuse(c, "an impossible number of columns");
    return true;
}

static bool
take_columns(struct cursor *c, struct value *values, uint16_t *n)
{
    uint64_t count;

    if (!take_count(c, &count))
        return false;
    for (uint64_t i = take_fast(c, values, count); i < count;) {
        if (!take_value(c, &values[i]))
            return false;
        i++;
        i += take_fast(c, &values[i], count - i);
    }
    *n = (uint16_t)count;
    return true;
}

/* One of the two rows is mostly absent. */
static inline bool
take_values(struct cursor *c, struct value *values, uint16_t *n)
{
    if (!has(c, 1) || *c->at != 0xc0)
        return take_columns(c, values, n);
    c->at++;
    *n = 0;
    return true;
}

static bool
check_operation(struct cursor *c, uint32_t operation, enum event_operation *out)
{
    const uint32_t known = 1U << EVENT_LOAD | 1U << EVENT_INSERT | 1U << EVENT_UPDATE |
                           1U << EVENT_DELETE | 1U << EVENT_CREATE_TABLE | 1U << EVENT_DROP_TABLE |
                           1U << EVENT_RENAME_TABLE | 1U << EVENT_ADD_COLUMN |
                           1U << EVENT_DROP_COLUMN | 1U << EVENT_CHANGE_TYPE |
                           1U << EVENT_CHANGE_COLUMNS;

    if (operation >= 32 || (known >> operation & 1) == 0)
        return refuse(c, "an unknown operation");
    *out = (enum event_operation)operation;
    return true;
}

/* The head up to the record number, whatever widths its numbers have. */
static bool
take_any_head(struct cursor *c, struct event *out)
{
    const uint8_t *at;
    uint32_t operation;
    uint32_t size;
    uint8_t lead;

    if (!take_lead(c, &lead))
        return false;
    if (lead != (0x90 | EVENT_MEMBERS))
        return refuse(c, "something else than an array of nine");
    if (!take_u32(c, &operation) || !check_operation(c, operation, &out->operation) ||
        !take_u32(c, &out->version) || !take_head_bin(c, POSITION_SIZE, &at, &size))
        return false;
    if (size != POSITION_SIZE)
        return refuse(c, "a position of the wrong size");
    memcpy(out->position.b, at, POSITION_SIZE);
    if (!take_int(c, &out->commit_real_ns) || !take_head_bin(c, EVENT_MAX_TRANSACTION, &at, &size))
        return false;
    memset(out->transaction_id, 0, sizeof(out->transaction_id));
    memcpy(out->transaction_id, at, size);
    out->transaction_id_size = (uint8_t)size;
    return take_u32(c, &out->record_number);
}

/* Where the members stand in nearly every event: small numbers in a byte, the commit time in nine. */
enum {
    HEAD_OPERATION = 1,
    HEAD_VERSION = 2,
    HEAD_POSITION = 3,
    HEAD_COMMIT = HEAD_POSITION + 2 + POSITION_SIZE,
    HEAD_TRANSACTION = HEAD_COMMIT + 9,
    HEAD_LONGEST = HEAD_TRANSACTION + 2 + EVENT_MAX_TRANSACTION + 1,
};

/* Times are nearly always written in nine bytes. */
static inline bool
is_usual_time(const uint8_t *at)
{
    return at[0] == 0xcf && at[1] < 0x80;
}

/* Whether the head has that form, by all its tags at once. */
static inline bool
is_usual_head(const struct cursor *c)
{
    const uint8_t *at = c->at;

    return has(c, HEAD_LONGEST) && at[0] == (0x90 | EVENT_MEMBERS) &&
           (at[HEAD_OPERATION] | at[HEAD_VERSION]) < 0x80 && at[HEAD_POSITION] == 0xc4 &&
           at[HEAD_POSITION + 1] == POSITION_SIZE && is_usual_time(at + HEAD_COMMIT) &&
           at[HEAD_TRANSACTION] == 0xc4 && at[HEAD_TRANSACTION + 1] <= EVENT_MAX_TRANSACTION &&
           at[HEAD_TRANSACTION + 2 + at[HEAD_TRANSACTION + 1]] < 0x80;
}

/* The first size of 16 readable bytes, zero behind them. */
static inline void
copy_transaction(uint8_t to[EVENT_MAX_TRANSACTION], const uint8_t *from, size_t size)
{
    static const uint64_t keep[4] = {UINT64_MAX, UINT64_MAX, 0, 0};
    uint64_t word[2];
    uint64_t mask[2];

    memcpy(word, from, sizeof(word));
    memcpy(mask, (const uint8_t *)keep + EVENT_MAX_TRANSACTION - size, sizeof(mask));
    word[0] &= mask[0];
    word[1] &= mask[1];
    memcpy(to, word, sizeof(word));
}

static inline bool
take_head(struct cursor *c, struct event *out)
{
    const uint8_t *at = c->at;
    size_t size;

    if (!is_usual_head(c))
        return take_any_head(c, out);
    size = at[HEAD_TRANSACTION + 1];
    out->version = at[HEAD_VERSION];
    memcpy(out->position.b, at + HEAD_POSITION + 2, POSITION_SIZE);
    out->commit_real_ns = (int64_t)get_be64(at + HEAD_COMMIT + 1);
    out->transaction_id_size = (uint8_t)size;
    copy_transaction(out->transaction_id, at + HEAD_TRANSACTION + 2, size);
    out->record_number = at[HEAD_TRANSACTION + 2 + size];
    c->at += HEAD_TRANSACTION + 2 + size + 1;
    return check_operation(c, at[HEAD_OPERATION], &out->operation);
}

static inline bool
take_captured(struct cursor *c, struct event *out)
{
    if (!has(c, 9) || !is_usual_time(c->at))
        return take_int(c, &out->captured_mono_ns);
    out->captured_mono_ns = (int64_t)get_be64(c->at + 1);
    c->at += 9;
    return true;
}

int
event_decode(const void *data, size_t len, uint32_t table_id, struct event_values *room,
             struct event *out, struct err *e)
{
    const uint8_t *start = data;
    struct cursor c = {.at = start, .end = start + len, .start = start};

    out->table_id = table_id;
    out->before = room->before;
    out->after = room->after;
    if (take_head(&c, out) && take_captured(&c, out) &&
        take_values(&c, room->before, &out->n_before) &&
        take_values(&c, room->after, &out->n_after) && c.at == c.end)
        return 0;
    return err_set(e, ERR_CORRUPT, "event of table %" PRIu32 ": %s at byte %zu of %zu", table_id,
                   c.what != NULL ? c.what : "bytes behind the last member",
                   (size_t)(c.at - c.start), len);
}
