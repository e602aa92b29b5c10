/*
 * bytes - a growing byte buffer, the one container of this server.
 *
 * Zero-initialised is empty and valid.  Running out of memory ends the process: a test server
 * that cannot hold its streams has nothing true left to say.
 */
#ifndef KINESISD_BYTES_H
#define KINESISD_BYTES_H

#include <stddef.h>

struct bytes {
    char *data;
    size_t len;
    size_t cap;
};

/* Makes room for extra more bytes and returns where they go; len is unchanged. */
char *bytes_reserve(struct bytes *b, size_t extra);

void bytes_add(struct bytes *b, const void *data, size_t len);
void bytes_puts(struct bytes *b, const char *text);
void bytes_printf(struct bytes *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds text as the inside of a JSON string (without the quotes). */
void bytes_json(struct bytes *b, const char *text, size_t len);

/* Drops the first n bytes. */
void bytes_shift(struct bytes *b, size_t n);

void bytes_free(struct bytes *b);

/* malloc and calloc that end the process instead of returning NULL. */
void *bytes_alloc(size_t size);
void *bytes_zalloc(size_t size);
void *bytes_realloc(void *p, size_t size);

#endif
