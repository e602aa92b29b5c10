#include "common/crc32c.h"
#include "common/fault.h"
#include "common/ring.h"
#include "common/ring_internal.h"

#include <stddef.h>
#include <string.h>

/* A batch is worth a publish under load; measured in the README's section. */
#define BATCH_RECORDS 64
#define BATCH_BYTES   16384

static uint64_t
room_to_end(const struct ring *r, uint64_t pos)
{
    return r->capacity - (pos & r->mask);
}

/* Bytes one record takes at pos, with the pad before it where it would cross the end. */
static uint64_t
record_need(const struct ring *r, uint64_t pos, uint64_t len)
{
    uint64_t size = ring_record_size(len);
    uint64_t room = room_to_end(r, pos);

    if (RING_MUTANT == RING_MUTANT_NO_WRAP_ROOM)
        return size;
    return size <= room ? size : room + size;
}

uint64_t
ring_message_need(const struct ring *r, uint64_t len)
{
    uint64_t pos = r->pos;

    while (len > r->max_record) {
        pos += record_need(r, pos, r->max_record);
        len -= r->max_record;
    }
    return pos + record_need(r, pos, len) - r->pos;
}

bool
ring_has_room(struct ring *r, uint64_t need)
{
    if (r->pos + need - r->peer <= r->capacity)
        return true;
    /* pairs with the release store in ring_flush_release(): the consumer's reads of the bytes
       we are about to overwrite happened before */
    r->peer = atomic_load_explicit(
        &r->header->consumer.pos,
        RING_MUTANT == RING_MUTANT_RELAXED_ROOM_LOAD ? memory_order_relaxed : memory_order_acquire);
    return r->pos + need - r->peer <= r->capacity;
}

/* No room: say why, where that is not simply a slow consumer. */
static int
no_room(const struct ring *r, struct err *e)
{
    /* pairs with the release store in ring_poison() */
    if (atomic_load_explicit(&r->header->state.word, memory_order_acquire) != RING_OPEN)
        return ring_state_error(r, e);
    if (r->pos - r->peer > r->capacity)
        return err_set(e, ERR_CORRUPT, "ring %s: found release %llu beyond our position %llu",
                       r->path, (unsigned long long)r->peer, (unsigned long long)r->pos);
    return 0;
}

static int
refuse_length(const struct ring *r, uint64_t len, uint64_t max, struct err *e)
{
    (void)err_set(e, ERR_DATA, "ring %s: a message of %llu bytes does not fit, the limit is %llu",
                  r->path, (unsigned long long)len, (unsigned long long)max);
    return err_hint(e, "make the ring bigger (Weir.ChangeRingSize, Weir.RecordRingSize)");
}

/* The long way: too long, at the wrap, or no room as far as the private copy knows. */
static __attribute__((noinline)) int
reserve_in_full(struct ring *r, uint32_t len, void **out, struct err *e)
{
    uint64_t room = room_to_end(r, r->pos);
    bool wraps = ring_record_size(len) > room;

    if (len > r->max_record)
        return refuse_length(r, len, r->max_record, e);
    /* All room tests come before any store: a refusal must leave no trace. */
    if (!ring_has_room(r, record_need(r, r->pos, len)))
        return no_room(r, e);
    r->reserved = (uint64_t)len + 1;
    r->pad = wraps ? room : 0; /* ring_commit() writes it */
    *out = r->data + (wraps ? 0 : r->pos & r->mask) + sizeof(struct ring_record);
    return 1;
}

int
ring_reserve(struct ring *r, uint32_t len, void **out, struct err *e)
{
    uint64_t at = r->pos & r->mask;
    uint64_t size = ring_record_size(len);

    if (len > r->max_record || size > r->capacity - at || r->pos + size - r->peer > r->capacity)
        return reserve_in_full(r, len, out, e);
    r->reserved = (uint64_t)len + 1;
    r->pad = 0;
    *out = r->data + at + sizeof(struct ring_record);
    return 1;
}

/* Out of line: once a lap. */
static __attribute__((noinline)) void
put_pad(struct ring *r, uint64_t room)
{
    uint64_t word[4] = {ring_head_word((uint32_t)(room - sizeof(struct ring_record)), RING_PAD, 0),
                        r->seq + 1};

    CRASH_POINT("ring.pad.before");
    memcpy(r->data + (r->pos & r->mask), word, sizeof(word));
    r->pos += room;
    r->pad = 0;
    CRASH_POINT("ring.pad.after");
}

static uint32_t
record_crc(uint64_t word0, uint64_t seq, const struct ring_meta *meta, const uint8_t *payload)
{
    uint64_t word[4] = {word0, seq, meta->src_pos, meta->table_id};

    return crc32c(crc32c(0, word, offsetof(struct ring_record, crc32c)), payload, (uint32_t)word0);
}

/* The header goes out in whole words: built field by field it would stall the store buffer. */
static inline void
put_head(struct ring *r, const struct ring_meta *meta, uint32_t len, uint32_t flags, uint32_t crc)
{
    uint8_t *at = r->data + (r->pos & r->mask);
    uint64_t word0 = ring_head_word(len, meta->type, flags);
    uint64_t word3 = (uint64_t)crc << 32 | meta->table_id;

    CRASH_POINT("ring.record.payload");
    r->seq++;
    memcpy(at, &word0, sizeof(word0));
    memcpy(at + 8, &r->seq, sizeof(r->seq));
    memcpy(at + 16, &meta->src_pos, sizeof(meta->src_pos));
    memcpy(at + 24, &word3, sizeof(word3));
    CRASH_POINT("ring.record.header");
    r->pos += ring_record_size(len);
}

/* Ends the record whose payload of len bytes is in place, behind a pad where r->pad says so. */
static void
put_record(struct ring *r, const struct ring_meta *meta, uint32_t len, uint32_t flags)
{
    uint32_t crc = 0;

    if (r->pad != 0)
        put_pad(r, r->pad);
    if (r->checksum)
        crc = record_crc(ring_head_word(len, meta->type, flags), r->seq + 1, meta,
                         r->data + (r->pos & r->mask) + sizeof(struct ring_record));
    put_head(r, meta, len, flags, crc);
}

static bool
is_type(const struct ring_meta *meta)
{
    return meta->type == RING_DATA || meta->type == RING_CONTROL;
}

static uint32_t
txn_flags(const struct ring_meta *meta)
{
    return meta->flags & (RING_TXN_BEGIN | RING_TXN_END);
}

static __attribute__((noinline)) void
commit_in_full(struct ring *r, const struct ring_meta *meta, uint32_t len)
{
    CHECK(len < r->reserved && is_type(meta));
    put_record(r, meta, len, RING_FIRST | RING_LAST | txn_flags(meta));
    r->reserved = 0;
}

void
ring_commit(struct ring *r, const struct ring_meta *meta, uint32_t len)
{
    if (len >= r->reserved || !is_type(meta) || r->pad != 0 || r->checksum) {
        commit_in_full(r, meta, len);
        return;
    }
    put_head(r, meta, len, RING_FIRST | RING_LAST | txn_flags(meta), 0);
    r->reserved = 0;
}

int
ring_write(struct ring *r, const struct ring_meta *meta, const void *data, uint64_t len,
           struct err *e)
{
    const uint8_t *from = data;
    uint32_t flags = RING_FIRST | txn_flags(meta);

    CHECK(is_type(meta));
    r->reserved = 0; /* an open reservation is given up */
    if (len > ring_max_message(r))
        return refuse_length(r, len, ring_max_message(r), e);
    if (!ring_has_room(r, ring_message_need(r, len)))
        return no_room(r, e);
    for (;;) {
        uint32_t part = len > r->max_record ? r->max_record : (uint32_t)len;
        uint64_t room = room_to_end(r, r->pos);
        bool wraps = ring_record_size(part) > room;

        r->pad = wraps ? room : 0;
        if (part > 0)
            memcpy(r->data + (wraps ? 0 : r->pos & r->mask) + sizeof(struct ring_record), from,
                   part);
        len -= part;
        from += part;
        if (len == 0)
            flags |= RING_LAST;
        put_record(r, meta, part, flags);
        if (len == 0)
            return 1;
        flags &= ~RING_FIRST;
    }
}

static void
store_slot(struct ring *r)
{
    struct ring_slot_copy slot = {.pos = r->pos, .seq = r->seq, .source = r->source};

    if (RING_MUTANT != RING_MUTANT_SINGLE_SLOT)
        r->slot_index ^= 1;
    if (++r->slot_count == 0) /* 0 says: never published */
        r->slot_count = 1;
    slot.count = r->slot_count;
    ring_slot_store(&r->header->producer_slots[r->slot_index], &slot);
}

static bool
same_source(const struct ring_source *a, const struct ring_source *b)
{
    return a->epoch == b->epoch && a->words[0] == b->words[0] && a->words[1] == b->words[1] &&
           a->words[2] == b->words[2] && a->words[3] == b->words[3];
}

void
ring_publish(struct ring *r, const struct ring_source *src)
{
    struct ring_header *h = r->header;
    bool too_early;

    if (r->pos == r->tail && (same_source(src, &r->source) && r->slot_count != 0))
        return;
    r->source = *src;
    CRASH_POINT("ring.publish.before");
    if (RING_MUTANT != RING_MUTANT_SLOT_AFTER_TAIL)
        store_slot(r);
    if (r->pos == r->tail)
        return; /* the slot alone has moved */
    CRASH_POINT("ring.publish.slot");
    too_early = ring_looked_too_early(&h->consumer);
    /* The commit.  Pairs with the acquire load in ring_has_data(). */
    atomic_store_explicit(&h->producer.pos, r->pos,
                          RING_MUTANT == RING_MUTANT_RELAXED_TAIL ? memory_order_relaxed
                                                                  : memory_order_release);
    CRASH_POINT("ring.publish.tail");
    if (RING_MUTANT == RING_MUTANT_SLOT_AFTER_TAIL)
        store_slot(r);
    r->tail = r->pos;
    r->tail_seq = r->seq;
    if (!too_early)
        ring_wake_if_waiting(&h->consumer, &h->producer.pos);
    CRASH_POINT("ring.publish.after");
}

bool
ring_source(const struct ring *r, struct ring_source *out)
{
    *out = r->source;
    return r->slot_count != 0;
}

uint64_t
ring_pending(const struct ring *r)
{
    return r->pos - r->tail;
}

bool
ring_publish_due(const struct ring *r)
{
    return r->seq - r->tail_seq >= BATCH_RECORDS || r->pos - r->tail >= BATCH_BYTES;
}
