#include "tests/kinesisd/hashkey.h"

#include "tests/kinesisd/digest.h"

uint128
hashkey_of(struct digest *d, const char *key, size_t len)
{
    unsigned char md5[DIGEST_MD5_SIZE];
    uint128 hash = 0;

    digest_md5(d, key, len, md5);
    for (unsigned i = 0; i < DIGEST_MD5_SIZE; i++)
        hash = hash << 8 | md5[i];
    return hash;
}

uint128
hashkey_bound(uint32_t k, uint32_t n)
{
    /* 2^128 = q n + r, reached without a 129-bit number by way of 2^128 - 1. */
    uint128 q = HASHKEY_MAX / n;
    uint64_t r = (uint64_t)(HASHKEY_MAX % n) + 1;

    if (r == n) {
        q++;
        r = 0;
    }
    return q * k + r * k / n;
}

int
hashkey_parse(const char *text, size_t len, uint128 *out)
{
    uint128 v = 0;

    if (len == 0 || len > HASHKEY_TEXT_SIZE - 1 || (text[0] == '0' && len > 1))
        return -1;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';

        if (digit > 9)
            return -1;
        if (v > (HASHKEY_MAX - digit) / 10)
            return -1;
        v = v * 10 + digit;
    }
    *out = v;
    return 0;
}

size_t
hashkey_format(uint128 hash, char *out)
{
    char reversed[HASHKEY_TEXT_SIZE];
    size_t n = 0;

    do {
        reversed[n++] = (char)('0' + (unsigned)(hash % 10));
        hash /= 10;
    } while (hash != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = '\0';
    return n;
}
