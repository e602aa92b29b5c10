#include "common/crc32c.h"
#include "common/fault.h"
#include "common/ring.h"
#include "common/ring_internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

bool
ring_has_data(struct ring *r)
{
    if (r->pos != r->peer)
        return true;
    /* pairs with the release store in ring_publish(): the records before it are readable */
    r->peer = atomic_load_explicit(
        &r->header->producer.pos,
        RING_MUTANT == RING_MUTANT_RELAXED_TAIL_LOAD ? memory_order_relaxed : memory_order_acquire);
    return r->pos != r->peer;
}

void
ring_flush_release(struct ring *r)
{
    struct ring_header *h = r->header;

    if (r->release == r->shared_release)
        return;
    CRASH_POINT("ring.release.before");
    /* pairs with the acquire load in ring_has_room(): our reads are done */
    atomic_store_explicit(&h->consumer.pos, r->release,
                          RING_MUTANT == RING_MUTANT_RELAXED_RELEASE ? memory_order_relaxed
                                                                     : memory_order_release);
    CRASH_POINT("ring.release.stored");
    r->shared_release = r->release;
    ring_wake_if_waiting(&h->producer, &h->consumer.pos);
    CRASH_POINT("ring.release.after");
}

void
ring_release(struct ring *r, uint64_t pos)
{
    CHECK(pos >= r->release && pos <= r->pos && pos % RING_ALIGN == 0);
    r->release = pos;
    /* In steps: one store a record would pull the line to and fro. */
    if (pos - r->shared_release >= r->capacity / 8)
        ring_flush_release(r);
}

/* What a record's own words can be wrong in, and between which neighbours. */
static int
refuse_record(const struct ring *r, uint64_t pos, const struct ring_record *head, const char *what,
              struct err *e)
{
    (void)err_set(e, ERR_CORRUPT,
                  "ring %s: %s at position %llu: found length %u, type %u, flags 0x%x, sequence "
                  "%llu; tail %llu, last sequence %llu",
                  r->path, what, (unsigned long long)pos, head->len, head->type, head->flags,
                  (unsigned long long)head->seq, (unsigned long long)r->peer,
                  (unsigned long long)r->seq);
    return err_hint(e, "the ring must be rebuilt: poison it and start its two stages again");
}

/*
 * Reads and judges the record at *pos, stepping over a pad.  seq is the last sequence number
 * before it, 0 when unknown.  Every word is checked before it is used: a broken producer or
 * file must end in ERR_CORRUPT, never in a read outside the ring.
 */
static int
read_record(const struct ring *r, uint64_t *pos, uint64_t seq, struct ring_record *head,
            struct err *e)
{
    uint64_t room = r->capacity - (*pos & r->mask);
    const uint8_t *at = r->data + (*pos & r->mask);

    memcpy(head, at, sizeof(*head));
    if (head->type == RING_PAD) {
        if (head->len != room - sizeof(*head) || r->peer - *pos < room + sizeof(*head))
            return refuse_record(r, *pos, head, "bad pad", e);
        *pos += room;
        room = r->capacity;
        at = r->data;
        memcpy(head, at, sizeof(*head));
    }
    if (head->type != RING_DATA && head->type != RING_CONTROL)
        return refuse_record(r, *pos, head, "unknown record type", e);
    if ((head->flags & ~RING_FLAGS_STORED) != 0)
        return refuse_record(r, *pos, head, "unknown record flags", e);
    if (head->len > r->max_record || ring_record_size(head->len) > room ||
        ring_record_size(head->len) > r->peer - *pos)
        return refuse_record(r, *pos, head, "impossible record length", e);
    if (seq != 0 && head->seq != seq + 1)
        return refuse_record(r, *pos, head, "hole in the sequence", e);
    if (r->checksum) {
        uint32_t crc = crc32c(0, head, offsetof(struct ring_record, crc32c));

        if (crc32c(crc, at + sizeof(*head), head->len) != head->crc32c)
            return refuse_record(r, *pos, head, "wrong checksum", e);
    }
    return 0;
}

static void
fill_view(struct ring_view *v, const struct ring_record *head, uint64_t start, uint64_t end)
{
    v->len = head->len;
    v->type = head->type;
    v->flags = head->flags & (RING_TXN_BEGIN | RING_TXN_END);
    v->table_id = head->table_id;
    v->seq = head->seq;
    v->src_pos = head->src_pos;
    v->start = start;
    v->end = end;
}

static int
grow_assembly(struct ring *r, size_t need, struct err *e)
{
    size_t size = r->assembly_size != 0 ? r->assembly_size : 4096;
    void *bigger;

    while (size < need)
        size *= 2;
    if (size == r->assembly_size)
        return 0;
    bigger = realloc(r->assembly, size);
    if (bigger == NULL)
        return err_sys(e, ERR_NOMEM, errno, "ring %s: message of %zu bytes", r->path, need);
    r->assembly = bigger;
    r->assembly_size = size;
    return 0;
}

/* The first fragment, already read, stands at pos; a message is published whole or not at all. */
static int
assemble(struct ring *r, uint64_t pos, struct ring_record head, struct ring_view *v, struct err *e)
{
    const struct ring_record first = head;
    uint64_t start = pos;
    uint64_t total = 0;
    uint64_t seq = first.seq;

    for (;;) {
        if (total + head.len > ring_max_message(r))
            return refuse_record(r, pos, &head, "message too long", e);
        if (grow_assembly(r, total + head.len, e) != 0)
            return -1;
        memcpy(r->assembly + total, r->data + (pos & r->mask) + sizeof(head), head.len);
        total += head.len;
        pos += ring_record_size(head.len);
        if ((head.flags & RING_LAST) != 0)
            break;
        if (pos == r->peer)
            return refuse_record(r, pos, &head, "message without its last fragment", e);
        if (read_record(r, &pos, seq, &head, e) != 0)
            return -1;
        if ((head.flags & RING_FIRST) != 0 || head.type != first.type ||
            head.src_pos != first.src_pos || head.table_id != first.table_id)
            return refuse_record(r, pos, &head, "fragment of another message", e);
        seq = head.seq;
    }
    fill_view(v, &first, start, pos);
    v->data = r->assembly;
    v->len = (uint32_t)total;
    v->flags |= RING_ASSEMBLED;
    r->seq = seq;
    r->pos = pos;
    return 1;
}

/* Nothing to read: a good moment to give back, and the only one to look whether it is over. */
static __attribute__((noinline)) int
next_is_absent(struct ring *r, struct err *e)
{
    ring_flush_release(r);
    /* pairs with the release store in ring_poison() */
    if (atomic_load_explicit(&r->header->state.word, memory_order_acquire) != RING_OPEN)
        return ring_state_error(r, e);
    return 0;
}

/* Whatever is not plain: pads, fragments, checksums, and all that must be refused. */
static __attribute__((noinline)) int
next_in_full(struct ring *r, struct ring_view *v, struct err *e)
{
    struct ring_record head;
    uint64_t pos = r->pos;

    if (r->peer - pos > r->capacity)
        return err_set(e, ERR_CORRUPT,
                       "ring %s: found tail %llu, expected at most %llu bytes after our %llu",
                       r->path, (unsigned long long)r->peer, (unsigned long long)r->capacity,
                       (unsigned long long)pos);
    if (read_record(r, &pos, r->seq, &head, e) != 0)
        return -1;
    if ((head.flags & RING_FIRST) == 0)
        return refuse_record(r, pos, &head, "message without its first fragment", e);
    if ((head.flags & RING_LAST) == 0)
        return assemble(r, pos, head, v, e);
    v->data = r->data + (pos & r->mask) + sizeof(head);
    r->seq = head.seq;
    r->pos = pos + ring_record_size(head.len);
    fill_view(v, &head, pos, r->pos);
    return 1;
}

static inline uint64_t
load_word(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

/*
 * The fast path takes a whole DATA or CONTROL record without checksum, having made the very
 * tests that read_record() makes; anything else goes the long way, which judges and explains.
 */
int
ring_next(struct ring *r, struct ring_view *v, struct err *e)
{
    uint64_t pos = r->pos;
    const uint8_t *at = r->data + (pos & r->mask);
    uint64_t word0;
    uint64_t seq;
    uint64_t size;
    uint64_t room;
    uint32_t flags;
    uint32_t type;

    if (!ring_has_data(r))
        return next_is_absent(r, e);
    word0 = load_word(at);
    seq = load_word(at + 8);
    type = (uint32_t)(word0 >> 32) & 0xFFFF;
    flags = (uint32_t)(word0 >> 48);
    size = ring_record_size((uint32_t)word0);
    room = r->capacity - (pos & r->mask);
    if (r->checksum || type - RING_DATA > RING_CONTROL - RING_DATA ||
        (flags & ~(RING_TXN_BEGIN | RING_TXN_END)) != (RING_FIRST | RING_LAST) ||
        (uint32_t)word0 > r->max_record || size > room || size > r->peer - pos ||
        r->peer - pos > r->capacity || (seq != r->seq + 1 && r->seq != 0))
        return next_in_full(r, v, e);
    v->data = at + sizeof(struct ring_record);
    v->len = (uint32_t)word0;
    v->type = (uint16_t)type;
    v->flags = (uint16_t)(flags & (RING_TXN_BEGIN | RING_TXN_END));
    v->table_id = (uint32_t)load_word(at + 24);
    v->seq = seq;
    v->src_pos = load_word(at + 16);
    v->start = pos;
    v->end = pos + size;
    r->seq = seq;
    r->pos = pos + size;
    return 1;
}
