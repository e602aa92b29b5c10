/*
 * md5 - the MD5 of several short texts at once, one in each lane of a vector.
 *
 * Kinesis places a record by the MD5 of its partition key.  MD5 is one chain of 64 steps, each
 * waiting for the one before; several keys side by side cost hardly more than one.  Longer
 * texts are OpenSSL's: key_hash().
 */
#ifndef WEIR_ENCODER_MD5_H
#define WEIR_ENCODER_MD5_H

#include <stdint.h>

#define MD5_LANES     8
#define MD5_SHORT_MAX 55 /* what MD5 pads to a single block */

struct md5_text {
    const char *text; /* MD5_SHORT_MAX + 1 bytes are readable there, whatever the size */
    uint32_t size;    /* at most MD5_SHORT_MAX */
    uint8_t *hash;    /* 16 bytes, written */
};

/* n is at most MD5_LANES. */
void md5_short(const struct md5_text *texts, unsigned n);

#endif
