#include "tests/mssqld/tds/buf.h"

#include <assert.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers go out in memory order");

bool
buf_grow(struct buf *b, size_t n)
{
    size_t need;
    size_t cap = b->cap < 256 ? 256 : b->cap;
    uint8_t *data;

    if (b->failed || __builtin_add_overflow(b->size, n, &need))
        goto fail;
    while (cap < need) {
        if (__builtin_mul_overflow(cap, (size_t)2, &cap))
            goto fail;
    }
    data = realloc(b->data, cap);
    if (data == NULL)
        goto fail;
    b->data = data;
    b->cap = cap;
    return true;

fail:
    b->failed = true;
    /* No room may be left over, or a later, smaller write would get through. */
    b->size = b->cap;
    return false;
}

void
buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.data = NULL};
}
