/*
 * hashkey - the 128-bit space that partition keys are spread over.
 *
 * The hash of a key is the MD5 of its UTF-8 bytes read as a big-endian number.  n equal shards
 * begin at floor(k * 2^128 / n), so that doubling a stream halves each of its shards.
 */
#ifndef KINESISD_HASHKEY_H
#define KINESISD_HASHKEY_H

#include <stddef.h>
#include <stdint.h>

struct digest;

__extension__ typedef unsigned __int128 uint128;

#define HASHKEY_MAX (~(uint128)0)

/* 39 digits and a terminator. */
#define HASHKEY_TEXT_SIZE 40

uint128 hashkey_of(struct digest *d, const char *key, size_t len);

/* First hash of shard k of n (k < n). */
uint128 hashkey_bound(uint32_t k, uint32_t n);

/* "0" or digits without leading zero, at most 2^128 - 1.  0 = ok, -1 = not such a number. */
int hashkey_parse(const char *text, size_t len, uint128 *out);

/* Writes decimal digits and a terminator; returns the number of digits. */
size_t hashkey_format(uint128 hash, char *out);

#endif
