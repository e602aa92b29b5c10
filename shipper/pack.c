/* The one-shot MD5 is deprecated only as cryptography; here it is a checksum of the format. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "shipper/pack.h"

#include "common/err.h"

#include <openssl/md5.h>
#include <string.h>

#define KPL_MAGIC_SIZE 4
#define KPL_FRAME      (KPL_MAGIC_SIZE + MD5_DIGEST_LENGTH)

/* Protobuf tags: field number << 3 | wire type (0 varint, 2 length-delimited). */
#define KPL_KEY_TABLE   (1 << 3 | 2) /* AggregatedRecord.partition_key_table */
#define KPL_RECORDS     (3 << 3 | 2) /* AggregatedRecord.records */
#define KPL_RECORD_KEY  (1 << 3 | 0) /* Record.partition_key_index */
#define KPL_RECORD_DATA (3 << 3 | 2) /* Record.data */

/* ---- sizes ---- */

static uint32_t
varint_size(uint32_t n)
{
    uint32_t size = 1;

    while (n >= 0x80) {
        n >>= 7;
        size++;
    }
    return size;
}

/* Record: the index of the key, always 0, and the data. */
static uint32_t
kpl_record_size(const struct unit *u)
{
    return 2 + 1 + varint_size(u->data_size) + u->data_size;
}

static uint32_t
kpl_size(const struct unit *u)
{
    uint32_t inner = kpl_record_size(u);

    return 1 + varint_size(inner) + inner;
}

static uint32_t
kpl_overhead(const struct unit *u)
{
    return KPL_FRAME + 1 + varint_size(u->key_size) + u->key_size;
}

/* Messages of format json-unformatted end with a newline already. */
static bool
needs_newline(enum packing packing, const struct unit *u)
{
    return packing == PACKING_LINES &&
           (u->data_size == 0 || ((const char *)u->data)[u->data_size - 1] != '\n');
}

/* What the record's data grows by when u joins the n units that are there. */
static uint64_t
growth(enum packing packing, const struct parcel *p, const struct unit *u)
{
    uint64_t first = 0;

    if (packing == PACKING_LINES)
        return (uint64_t)u->data_size + needs_newline(packing, u);
    if (p->n == 1) /* it was alone, and plain */
        first = (uint64_t)kpl_overhead(u) + kpl_size(p->first) - p->first->data_size;
    return first + kpl_size(u);
}

void
pack_begin(enum packing packing, struct unit *u, struct parcel *p)
{
    uint32_t size = u->data_size + needs_newline(packing, u);

    *p = (struct parcel){
        .first = u, .last = u, .n = 1, .data_size = size, .bytes = size + u->key_size};
}

bool
pack_add(enum packing packing, struct parcel *p, uint64_t limit)
{
    struct unit *u = p->last->next_same_key;
    uint64_t more;

    if (packing == PACKING_NONE || u == NULL || u->key_size != p->first->key_size ||
        memcmp(u->key_text, p->first->key_text, u->key_size) != 0)
        return false;
    more = growth(packing, p, u);
    if (p->bytes + more > limit)
        return false;
    p->last = u;
    p->n++;
    p->data_size += (uint32_t)more;
    p->bytes += (uint32_t)more;
    return true;
}

bool
pack_is_plain(enum packing packing, const struct parcel *p)
{
    return p->n == 1 && !needs_newline(packing, p->first);
}

/* ---- writing ---- */

static uint8_t *
put(uint8_t *at, const void *data, size_t n)
{
    memcpy(at, data, n);
    return at + n;
}

static uint8_t *
put_varint(uint8_t *at, uint32_t n)
{
    while (n >= 0x80) {
        *at++ = (uint8_t)(n | 0x80);
        n >>= 7;
    }
    *at++ = (uint8_t)n;
    return at;
}

static uint8_t *
put_lines(const struct parcel *p, uint8_t *at)
{
    const struct unit *u = p->first;

    for (uint32_t i = 0; i < p->n; i++, u = u->next_same_key) {
        at = put(at, u->data, u->data_size);
        if (needs_newline(PACKING_LINES, u))
            *at++ = '\n';
    }
    return at;
}

static uint8_t *
put_aggregate(const struct parcel *p, uint8_t *at)
{
    const struct unit *u = p->first;

    *at++ = KPL_KEY_TABLE;
    at = put_varint(at, u->key_size);
    at = put(at, u->key_text, u->key_size);
    for (uint32_t i = 0; i < p->n; i++, u = u->next_same_key) {
        *at++ = KPL_RECORDS;
        at = put_varint(at, kpl_record_size(u));
        *at++ = KPL_RECORD_KEY;
        *at++ = 0;
        *at++ = KPL_RECORD_DATA;
        at = put_varint(at, u->data_size);
        at = put(at, u->data, u->data_size);
    }
    return at;
}

void
pack_write(enum packing packing, const struct parcel *p, void *out)
{
    static const uint8_t magic[KPL_MAGIC_SIZE] = {0xf3, 0x89, 0x9a, 0xc2};
    uint8_t *start = out;
    uint8_t *at = start;

    if (pack_is_plain(packing, p)) {
        at = put(at, p->first->data, p->first->data_size);
    } else if (packing == PACKING_LINES) {
        at = put_lines(p, at);
    } else {
        uint8_t *body = put(at, magic, sizeof(magic));

        at = put_aggregate(p, body);
        (void)MD5(body, (size_t)(at - body), at);
        at += MD5_DIGEST_LENGTH;
    }
    CHECK((size_t)(at - start) == p->data_size);
}
