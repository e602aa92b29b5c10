#include "tests/kinesisd/digest.h"

#include "common/err.h"
#include "tests/kinesisd/bytes.h"

#include <openssl/evp.h>

#define SHA256_BLOCK 64

struct digest {
    EVP_MD *md5;
    EVP_MD *sha256;
    EVP_MD_CTX *md5_ctx;
    EVP_MD_CTX *sha256_ctx;
};

struct digest *
digest_open(void)
{
    struct digest *d = bytes_zalloc(sizeof(*d));

    d->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    d->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    d->md5_ctx = EVP_MD_CTX_new();
    d->sha256_ctx = EVP_MD_CTX_new();
    CHECK(d->md5 != NULL && d->sha256 != NULL && d->md5_ctx != NULL && d->sha256_ctx != NULL);
    CHECK(EVP_DigestInit_ex2(d->md5_ctx, d->md5, NULL) == 1);
    CHECK(EVP_DigestInit_ex2(d->sha256_ctx, d->sha256, NULL) == 1);
    return d;
}

void
digest_close(struct digest **d)
{
    if (*d == NULL)
        return;
    EVP_MD_CTX_free((*d)->md5_ctx);
    EVP_MD_CTX_free((*d)->sha256_ctx);
    EVP_MD_free((*d)->md5);
    EVP_MD_free((*d)->sha256);
    free(*d);
    *d = NULL;
}

/* A NULL type re-uses the context's digest, which spares the provider look-up. */
static void
one_shot(EVP_MD_CTX *ctx, const void *data, size_t len, unsigned char *out)
{
    CHECK(EVP_DigestInit_ex2(ctx, NULL, NULL) == 1);
    CHECK(EVP_DigestUpdate(ctx, data, len) == 1);
    CHECK(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
}

void
digest_md5(struct digest *d, const void *data, size_t len, unsigned char *out)
{
    one_shot(d->md5_ctx, data, len, out);
}

void
digest_sha256(struct digest *d, const void *data, size_t len, unsigned char *out)
{
    one_shot(d->sha256_ctx, data, len, out);
}

void
digest_hmac(struct digest *d, const void *key, size_t key_len, const void *data, size_t len,
            unsigned char *out)
{
    unsigned char block[SHA256_BLOCK] = {0};
    unsigned char pad[SHA256_BLOCK];

    if (key_len > sizeof(block))
        digest_sha256(d, key, key_len, block);
    else
        (void)memcpy(block, key, key_len);
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] = block[i] ^ 0x36;
    CHECK(EVP_DigestInit_ex2(d->sha256_ctx, NULL, NULL) == 1);
    CHECK(EVP_DigestUpdate(d->sha256_ctx, pad, sizeof(pad)) == 1);
    CHECK(EVP_DigestUpdate(d->sha256_ctx, data, len) == 1);
    CHECK(EVP_DigestFinal_ex(d->sha256_ctx, out, NULL) == 1);
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] = block[i] ^ 0x5c;
    CHECK(EVP_DigestInit_ex2(d->sha256_ctx, NULL, NULL) == 1);
    CHECK(EVP_DigestUpdate(d->sha256_ctx, pad, sizeof(pad)) == 1);
    CHECK(EVP_DigestUpdate(d->sha256_ctx, out, DIGEST_SHA256_SIZE) == 1);
    CHECK(EVP_DigestFinal_ex(d->sha256_ctx, out, NULL) == 1);
}

void
digest_hex(const unsigned char *in, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
    *out = '\0';
}
