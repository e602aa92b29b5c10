/*
 * reader - a bounded walk over bytes that came from the peer.
 *
 * Reading past the end is sticky: `bad` is set and every later read gives zero or NULL, so a
 * parser reads a whole record and asks once.  Nothing is copied: pointers are into the input.
 */
#ifndef MSSQLD_TDS_READER_H
#define MSSQLD_TDS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static inline struct reader
reader_of(const void *data, size_t size)
{
    const uint8_t *p = data;

    return (struct reader){.at = p, .end = p == NULL ? NULL : p + size};
}

static inline size_t
reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* The next n bytes, or NULL when fewer are left. */
static inline const uint8_t *
reader_take(struct reader *r, size_t n)
{
    const uint8_t *p = r->at;

    if (r->bad || reader_left(r) < n) {
        r->bad = true;
        r->at = r->end;
        return NULL;
    }
    r->at += n;
    return p;
}

static inline uint8_t
reader_u8(struct reader *r)
{
    const uint8_t *p = reader_take(r, 1);

    return p == NULL ? 0 : *p;
}

#define READER_INT(name, type)                                                                     \
    static inline type reader_##name(struct reader *r)                                             \
    {                                                                                              \
        const uint8_t *p = reader_take(r, sizeof(type));                                           \
        type v = 0;                                                                                \
                                                                                                   \
        if (p != NULL)                                                                             \
            memcpy(&v, p, sizeof(v));                                                              \
        return v;                                                                                  \
    }

READER_INT(u16, uint16_t)
READER_INT(u32, uint32_t)
READER_INT(u64, uint64_t)
READER_INT(i16, int16_t)
READER_INT(i32, int32_t)
READER_INT(i64, int64_t)

#undef READER_INT

static inline uint16_t
reader_u16_be(struct reader *r)
{
    return __builtin_bswap16(reader_u16(r));
}

#endif
