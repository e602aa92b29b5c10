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
#include "encoder/md5.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct plan;

#define KEY_CHARACTERS_MAX 256

/* Keys of rows whose hashes are worked out together. */
#define KEY_BATCH MD5_LANES

struct key_maker;

/* Both pointers are valid until the first key_of_row() after the next key_hash_rows(). */
struct key {
    const char *text; /* at most RECORD_KEY_MAX bytes; FRAGMENT_SLACK may always be read */
    uint32_t size;
    const uint8_t *hash; /* MD5 of text: there after key_hash_rows() */
};

int key_maker_open(struct key_maker **out, struct err *e);
void key_maker_close(struct key_maker **m);

/*
 * values: one a column of the plan's table.  At most KEY_BATCH rows from one key_hash_rows() to
 * the next.  Only ERR_NOMEM.
 */
int key_of_row(struct key_maker *m, const struct plan *plan, const struct value *values,
               struct key *out, struct err *e);

/* Completes the keys made since the last call. */
void key_hash_rows(struct key_maker *m);

/* Makes any bytes a key Kinesis takes, by the rules above.  Returns its size. */
uint32_t key_fit(const char *text, size_t size, char out[RECORD_KEY_MAX]);

/* Nothing above 0x7f: every byte is a character. */
bool key_is_plain(const char *text, size_t size);

void key_hash(const void *text, size_t size, uint8_t hash[16]);

/* The size of a blank-padded text without its padding. */
uint32_t key_trimmed(const struct value *v);

#endif
