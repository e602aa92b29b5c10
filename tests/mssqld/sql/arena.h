/*
 * arena - memory of one batch: given out piece by piece, freed as a whole.
 *
 * Syntax trees, plans and values of a running statement live here.  Allocation never
 * fails to the caller: a test server without memory aborts.
 */
#ifndef MSSQLD_ARENA_H
#define MSSQLD_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *head;
    size_t left; /* bytes free in head */
};

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size);
char *arena_strndup(struct arena *a, const char *text, size_t size);
char *arena_strdup(struct arena *a, const char *text);
void *arena_dup(struct arena *a, const void *data, size_t size);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Forgets all content; keeps one block for the next use. */
void arena_reset(struct arena *a);
void arena_free(struct arena *a);

/* A growing array in an arena: returns room for item n (of `size` bytes each). */
void *arena_push(struct arena *a, void *items, int n, size_t size);

/* Text that grows; always NUL-terminated once something was added. */
struct sbuf {
    char *data;
    size_t size;
    size_t room;
};

void sbuf_add(struct sbuf *s, const char *text);
void sbuf_addn(struct sbuf *s, const void *data, size_t size);
void sbuf_fmt(struct sbuf *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sbuf_clear(struct sbuf *s);
void sbuf_free(struct sbuf *s);

#endif
