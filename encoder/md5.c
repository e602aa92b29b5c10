#include "encoder/md5.h"

#include <string.h>

/* One 32-bit word of each text; the compiler makes of it what the processor has. */
typedef uint32_t lanes __attribute__((vector_size(4 * MD5_LANES)));

/* RFC 1321: the whole part of 2^32 times the sine of 1, 2, ... 64. */
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

/* RFC 1321: the four ways to mix three words. */
#define MIX_F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define MIX_G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#define MIX_H(x, y, z) ((x) ^ (y) ^ (z))
#define MIX_I(x, y, z) ((y) ^ ((x) | ~(z)))

#define STEP(mixed, a, b, word, sine, shift)                                                       \
    do {                                                                                           \
        (a) += (mixed) + (word) + (sine);                                                          \
        (a) = (b) + ((a) << (shift) | (a) >> (32 - (shift)));                                      \
    } while (0)

/* Four steps from the i-th of a round on, all indexes known to the compiler. */
#define FOUR(MIX, sine, first, stride, i, s0, s1, s2, s3)                                          \
    STEP(MIX(b, c, d), a, b, x[((first) + (stride) * (i)) % 16], (sine)[i], s0);                   \
    STEP(MIX(a, b, c), d, a, x[((first) + (stride) * ((i) + 1)) % 16], (sine)[(i) + 1], s1);       \
    STEP(MIX(d, a, b), c, d, x[((first) + (stride) * ((i) + 2)) % 16], (sine)[(i) + 2], s2);       \
    STEP(MIX(c, d, a), b, c, x[((first) + (stride) * ((i) + 3)) % 16], (sine)[(i) + 3], s3)

/* Sixteen steps; the words are taken from `first` on, `stride` apart. */
#define ROUND(MIX, sine, first, stride, s0, s1, s2, s3)                                            \
    do {                                                                                           \
        FOUR(MIX, sine, first, stride, 0, s0, s1, s2, s3);                                         \
        FOUR(MIX, sine, first, stride, 4, s0, s1, s2, s3);                                         \
        FOUR(MIX, sine, first, stride, 8, s0, s1, s2, s3);                                         \
        FOUR(MIX, sine, first, stride, 12, s0, s1, s2, s3);                                        \
    } while (0)

/* The hash of one block a lane.  By address: vectors of this width have no settled ABI. */
static inline __attribute__((always_inline)) void
hash_blocks(const lanes x[16], lanes state[4])
{
    const lanes zero = {0};
    const lanes a0 = zero + 0x67452301U;
    const lanes b0 = zero + 0xefcdab89U;
    const lanes c0 = zero + 0x98badcfeU;
    const lanes d0 = zero + 0x10325476U;
    lanes a = a0;
    lanes b = b0;
    lanes c = c0;
    lanes d = d0;

    ROUND(MIX_F, sines, 0, 1, 7, 12, 17, 22);
    ROUND(MIX_G, sines + 16, 1, 5, 5, 9, 14, 20);
    ROUND(MIX_H, sines + 32, 5, 3, 4, 11, 16, 23);
    ROUND(MIX_I, sines + 48, 0, 7, 6, 10, 15, 21);
    state[0] = a0 + a;
    state[1] = b0 + b;
    state[2] = c0 + c;
    state[3] = d0 + d;
}

static void
hash_blocks_anywhere(const lanes x[16], lanes state[4])
{
    hash_blocks(x, state);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void
hash_blocks_avx2(const lanes x[16], lanes state[4])
{
    hash_blocks(x, state);
}
#endif

/* The text, a bit behind it, and its length in bits as the block's last word but one. */
static inline void
fill_lane(lanes x[16], unsigned lane, const struct md5_text *t)
{
    uint32_t word[(MD5_SHORT_MAX + 1) / 4];
    uint32_t last = t->size / 4;
    uint32_t bit = 0x80U << 8 * (t->size % 4);

    memcpy(word, t->text, sizeof(word)); /* of a fixed size: a few vector moves */
    word[last] = (word[last] & ((bit >> 7) - 1)) | bit;
    for (uint32_t i = 0; i <= last; i++)
        x[i][lane] = word[i];
    x[14][lane] = 8 * t->size;
}

void
md5_short(const struct md5_text *texts, unsigned n)
{
    lanes x[16] = {0};
    lanes state[4];

    for (unsigned lane = 0; lane < n; lane++)
        fill_lane(x, lane, &texts[lane]);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        hash_blocks_avx2(x, state);
    else
#endif
        hash_blocks_anywhere(x, state);
    for (unsigned lane = 0; lane < n; lane++) {
        uint32_t word[4] = {state[0][lane], state[1][lane], state[2][lane], state[3][lane]};

        memcpy(texts[lane].hash, word, sizeof(word)); /* little endian, as everything here */
    }
}
