#include "capture/sqlserver/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#define ARENA_BLOCK ((size_t)256 * 1024)
#define ARENA_ALIGN ((size_t)16)

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    alignas(16) uint8_t data[];
};

static struct arena_block *
block_new(size_t size)
{
    struct arena_block *b = malloc(sizeof(*b) + size);

    if (b != NULL)
        *b = (struct arena_block){.size = size};
    return b;
}

void *
arena_take(struct arena *a, size_t size)
{
    struct arena_block *b = a->current;
    size_t at;

    if (size > SIZE_MAX / 2)
        return NULL;
    at = b != NULL ? (b->used + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1) : 0;
    if (b == NULL || at > b->size || size > b->size - at) {
        b = block_new(size > ARENA_BLOCK ? size : ARENA_BLOCK);
        if (b == NULL)
            return NULL;
        if (a->current != NULL)
            a->current->next = b;
        else
            a->first = b;
        a->current = b;
        at = 0;
    }
    b->used = at + size;
    a->used += size;
    return b->data + at;
}

void
arena_trim(struct arena *a, size_t unused)
{
    a->current->used -= unused;
    a->used -= unused;
}

void
arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL;

    for (struct arena_block *b = a->first, *next; b != NULL; b = next) {
        next = b->next;
        if (keep == NULL && b->size == ARENA_BLOCK)
            keep = b;
        else
            free(b);
    }
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    *a = (struct arena){.first = keep, .current = keep};
}

void
arena_free(struct arena *a)
{
    arena_reset(a);
    free(a->first);
    *a = (struct arena){.first = NULL};
}
