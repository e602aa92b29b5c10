/*
 * digest - MD5, SHA-256 and HMAC-SHA-256 through libcrypto with the contexts kept.
 *
 * One struct digest per thread.  Failures of libcrypto (no memory, no MD5 in a FIPS build) end
 * the process at digest_open; the rest cannot fail.
 */
#ifndef KINESISD_DIGEST_H
#define KINESISD_DIGEST_H

#include <stddef.h>

#define DIGEST_MD5_SIZE    16
#define DIGEST_SHA256_SIZE 32

struct digest;

struct digest *digest_open(void);
void digest_close(struct digest **d);

void digest_md5(struct digest *d, const void *data, size_t len, unsigned char *out);
void digest_sha256(struct digest *d, const void *data, size_t len, unsigned char *out);
void digest_hmac(struct digest *d, const void *key, size_t key_len, const void *data, size_t len,
                 unsigned char *out);

/* Lower-case hex of n bytes into out (2n characters and a terminator). */
void digest_hex(const unsigned char *in, size_t n, char *out);

#endif
