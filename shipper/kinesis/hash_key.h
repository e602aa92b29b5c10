/* hash_key - the 128-bit hash keys of Kinesis, as decimal text and as 16 big-endian bytes. */
#ifndef WEIR_KINESIS_HASH_KEY_H
#define WEIR_KINESIS_HASH_KEY_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits of at most 2^128 - 1.  False for anything else. */
bool hash_key_parse(const char *text, uint8_t out[16]);

#endif
