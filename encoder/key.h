/*
 * key - the partition key of a record and its place in the 128-bit hash space of Kinesis.
 *
 * The key of a row is the canonical text of its primary key columns joined by '.'.  Kinesis
 * takes 1 to 256 characters of Unicode, so
 * - a longer key keeps its first 223 characters, '#' and the MD5 of the whole in 32 hex digits:
 *   the same row still has the same key, and so its order;
 * - an empty key is written "schema.table.";
 * - unpaired surrogates and bytes that are no UTF-8 become U+FFFD.
 */
#ifndef WEIR_ENCODER_KEY_H
#define WEIR_ENCODER_KEY_H

#include "common/record.h"
#include "common/value.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct plan;

#define KEY_CHARACTERS_MAX 256

struct key_maker;

struct key {
    const char *text; /* at most RECORD_KEY_MAX bytes; valid until the next key_of_row() */
    uint32_t size;
    const uint8_t *hash; /* MD5 of text */
};

int key_maker_open(struct key_maker **out, struct err *e);
void key_maker_close(struct key_maker **m);

/* values: one a column of the plan's table.  Only ERR_NOMEM. */
int key_of_row(struct key_maker *m, const struct plan *plan, const struct value *values,
               struct key *out, struct err *e);

/* Makes any bytes a key Kinesis takes, by the rules above.  Returns its size. */
uint32_t key_fit(const char *text, size_t size, char out[RECORD_KEY_MAX]);

void key_hash(const void *text, size_t size, uint8_t hash[16]);

/* The size of a blank-padded text without its padding. */
uint32_t key_trimmed(const struct value *v);

#endif
