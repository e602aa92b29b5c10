/*
 * buf - a growable run of bytes being written, little-endian unless the name says otherwise.
 *
 * A failed allocation is sticky: later writes are dropped and `failed` stays set, so callers
 * check once, where the bytes leave.  A zeroed struct is an empty buffer; free with buf_free.
 *
 * Blocking: never.  Allocation: on growth only; buf_clear keeps the memory.
 */
#ifndef MSSQLD_TDS_BUF_H
#define MSSQLD_TDS_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    uint8_t *data;
    size_t size;
    size_t cap;
    bool failed;
};

/* Makes room for n more bytes.  False: no memory, b->failed is set. */
bool buf_grow(struct buf *b, size_t n);
void buf_free(struct buf *b);

static inline void
buf_clear(struct buf *b)
{
    b->size = 0;
    b->failed = false;
}

/* Room for n bytes at the end, not yet counted in size; NULL when there is no memory. */
static inline uint8_t *
buf_room(struct buf *b, size_t n)
{
    if (__builtin_expect(b->cap - b->size < n, 0) && !buf_grow(b, n))
        return NULL;
    return b->data + b->size;
}

static inline void
buf_put(struct buf *b, const void *data, size_t n)
{
    uint8_t *p = buf_room(b, n);

    if (p == NULL || n == 0)
        return;
    memcpy(p, data, n);
    b->size += n;
}

static inline void
buf_u8(struct buf *b, unsigned v)
{
    uint8_t byte = (uint8_t)v;

    buf_put(b, &byte, 1);
}

/* The host is little-endian (asserted in buf.c), so the wire order is the memory order. */
static inline void
buf_u16(struct buf *b, uint16_t v)
{
    buf_put(b, &v, sizeof(v));
}

static inline void
buf_u32(struct buf *b, uint32_t v)
{
    buf_put(b, &v, sizeof(v));
}

static inline void
buf_u64(struct buf *b, uint64_t v)
{
    buf_put(b, &v, sizeof(v));
}

/* Overwrites a length field written earlier as zero. */
static inline void
buf_patch_u16(struct buf *b, size_t at, uint16_t v)
{
    if (!b->failed)
        memcpy(b->data + at, &v, sizeof(v));
}

#endif
