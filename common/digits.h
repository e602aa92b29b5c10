/*
 * digits - integers to decimal text, two digits a step; inline, for value.c and the encoder.
 *
 * at needs room for 20 digits (and a sign).  Each returns the end.
 */
#ifndef WEIR_DIGITS_H
#define WEIR_DIGITS_H

#include <stdint.h>
#include <string.h>

static const char digits_pairs[] = "00010203040506070809101112131415161718192021222324"
                                   "25262728293031323334353637383940414243444546474849"
                                   "50515253545556575859606162636465666768697071727374"
                                   "75767778798081828384858687888990919293949596979899";

static const uint64_t digits_pow10[20] = {
    1ULL,
    10ULL,
    100ULL,
    1000ULL,
    10000ULL,
    100000ULL,
    1000000ULL,
    10000000ULL,
    100000000ULL,
    1000000000ULL,
    10000000000ULL,
    100000000000ULL,
    1000000000000ULL,
    10000000000000ULL,
    100000000000000ULL,
    1000000000000000ULL,
    10000000000000000ULL,
    100000000000000000ULL,
    1000000000000000000ULL,
    10000000000000000000ULL,
};

/* log10 from the bit length (1233/4096 is log10(2)), mended by one comparison. */
static inline unsigned
digits_count(uint64_t u)
{
    unsigned guess = (64U - (unsigned)__builtin_clzll(u | 1)) * 1233U >> 12;

    return guess + (u >= digits_pow10[guess] ? 1U : 0U) + (u == 0 ? 1U : 0U);
}

/* u below 100, always two digits. */
static inline char *
digits_put_pair(char *at, uint32_t u)
{
    memcpy(at, digits_pairs + 2 * u, 2);
    return at + 2;
}

static inline char *
digits_put_u64(char *at, uint64_t u)
{
    char *end = at + digits_count(u);
    char *p = end;

    while (u > UINT32_MAX) {
        p -= 2;
        memcpy(p, digits_pairs + 2 * (u % 100), 2);
        u /= 100;
    }
    for (uint32_t rest = (uint32_t)u;; rest /= 100) {
        if (rest < 10) {
            p[-1] = (char)('0' + rest);
            return end;
        }
        p -= 2;
        memcpy(p, digits_pairs + 2 * (rest % 100), 2);
        if (rest < 100)
            return end;
    }
}

static inline char *
digits_put_i64(char *at, int64_t i)
{
    uint64_t u = (uint64_t)i;

    if (i < 0) {
        *at++ = '-';
        u = 0 - u;
    }
    return digits_put_u64(at, u);
}

#endif
