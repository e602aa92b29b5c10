/*
 * arena - memory for the values of one page of rows, given back all at once.
 *
 * Thread use: belongs to its owner.
 */
#ifndef WEIR_SQLSERVER_ARENA_H
#define WEIR_SQLSERVER_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *first;   /* kept through arena_reset() */
    struct arena_block *current; /* where the next bytes come from */
    size_t used;                 /* bytes handed out since the last reset */
};

/* size bytes, 16-aligned, valid until the next reset.  NULL without memory. */
void *arena_take(struct arena *a, size_t size);

/* Gives the last `unused` bytes of the newest piece back. */
void arena_trim(struct arena *a, size_t unused);

/* Keeps one ordinary block, so that a page after a huge one does not hold its memory. */
void arena_reset(struct arena *a);
void arena_free(struct arena *a);

#endif
