/*
 * digits - integers and dates to decimal text, two digits a step; inline, for value.c and the
 * encoder.
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

/* u below 100, always two digits. */
static inline char *
digits_put_pair(char *at, uint32_t u)
{
    memcpy(at, digits_pairs + 2 * u, 2);
    return at + 2;
}

/* u below 10,000, always four digits. */
static inline char *
digits_put_four(char *at, uint32_t u)
{
    return digits_put_pair(digits_put_pair(at, u / 100), u % 100);
}

/* u below 10,000, as many digits as it has. */
static inline char *
digits_put_short(char *at, uint32_t u)
{
    if (u >= 1000)
        return digits_put_four(at, u);
    if (u >= 100) {
        *at = (char)('0' + u / 100);
        return digits_put_pair(at + 1, u % 100);
    }
    if (u >= 10)
        return digits_put_pair(at, u);
    *at = (char)('0' + u);
    return at + 1;
}

static inline char *
digits_put_u64(char *at, uint64_t u)
{
    if (u < 10000)
        return digits_put_short(at, (uint32_t)u);
    if (u < 100000000) {
        at = digits_put_short(at, (uint32_t)u / 10000);
        return digits_put_four(at, (uint32_t)u % 10000);
    }
    if (u < 10000000000000000) {
        uint32_t low = (uint32_t)(u % 100000000);

        u /= 100000000;
        if (u < 10000) {
            at = digits_put_short(at, (uint32_t)u);
        } else {
            at = digits_put_short(at, (uint32_t)u / 10000);
            at = digits_put_four(at, (uint32_t)u % 10000);
        }
        at = digits_put_four(at, low / 10000);
        return digits_put_four(at, low % 10000);
    }
    at = digits_put_short(at, (uint32_t)(u / 10000000000000000));
    u %= 10000000000000000;
    for (uint64_t unit = 1000000000000; unit > 0; unit /= 10000)
        at = digits_put_four(at, (uint32_t)(u / unit % 10000));
    return at;
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

/* Since 1970-01-01: 0001-01-01 and 9999-12-31; and how far 0000-03-01 is. */
#define DIGITS_DAYS_MIN         (-719162)
#define DIGITS_DAYS_MAX         2932896
#define DIGITS_DAYS_FROM_MARCH0 719468

/*
 * "YYYY-MM-DD" of days between the two limits.  The same dates as clock_civil_from_days() gives,
 * in a third of the instructions: years begin in March, quarter days and a scaled year take the
 * place of corrections, after Neri and Schneider, "Euclidean affine functions and their
 * application to calendar algorithms".
 */
static inline char *
digits_put_date(char *at, int32_t days)
{
    uint32_t quarters = 4 * (uint32_t)(days + DIGITS_DAYS_FROM_MARCH0) + 3;
    uint32_t century = quarters / 146097;
    uint32_t in_century = quarters % 146097 | 3;
    uint64_t scaled = 2939745ULL * in_century;
    uint32_t day_of_year = (uint32_t)scaled / 2939745 / 4;
    uint32_t months = 2141 * day_of_year + 197913;
    uint32_t is_next_year = day_of_year >= 306 ? 1 : 0;

    at = digits_put_four(at, 100 * century + (uint32_t)(scaled >> 32) + is_next_year);
    *at++ = '-';
    at = digits_put_pair(at, (months >> 16) - 12 * is_next_year);
    *at++ = '-';
    return digits_put_pair(at, (months & 0xffff) / 2141 + 1);
}

#endif
