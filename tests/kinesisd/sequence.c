#include "tests/kinesisd/sequence.h"

#include "tests/kinesisd/hashkey.h"

#include <string.h>

/* Bit positions in the 188-bit number. */
#define SHARD_BIT   4
#define TIME_BIT    36
#define INDEX_BIT   80
#define NIBBLE_BIT  144
#define CREATED_BIT 148
#define LEAD_BIT    184

#define SECONDS_MASK ((1ULL << 36) - 1)
#define LAYOUT       2ULL
#define TEN_19       10000000000000000000ULL
#define GROUP_DIGITS 19

/* Little-endian 64-bit limbs. */
struct wide {
    uint64_t limb[3];
};

static struct wide
pack(const struct sequence *s)
{
    struct wide w;

    w.limb[0] = LAYOUT | (uint64_t)s->shard << SHARD_BIT | s->time_s << TIME_BIT;
    w.limb[1] = s->time_s >> (64 - TIME_BIT) | s->index << (INDEX_BIT - 64);
    w.limb[2] = s->index >> (128 - INDEX_BIT) | (uint64_t)(s->shard & 15) << (NIBBLE_BIT - 128) |
                s->created_s << (CREATED_BIT - 128) | LAYOUT << (LEAD_BIT - 128);
    return w;
}

/* Divides w by 10^19 in place and returns the remainder. */
static uint64_t
take_group(struct wide *w)
{
    uint128 rest = 0;

    for (int i = 2; i >= 0; i--) {
        uint128 part = rest << 64 | w->limb[i];

        w->limb[i] = (uint64_t)(part / TEN_19);
        rest = part % TEN_19;
    }
    return (uint64_t)rest;
}

static void
put_digits(uint64_t v, unsigned digits, char *out)
{
    for (unsigned i = digits; i-- > 0;) {
        out[i] = (char)('0' + (char)(v % 10));
        v /= 10;
    }
}

size_t
sequence_format(const struct sequence *s, char *out)
{
    struct wide w = pack(s);
    uint64_t low = take_group(&w);
    uint64_t mid = take_group(&w);
    uint64_t high = w.limb[0];
    unsigned digits = 0;

    for (uint64_t v = high; v != 0; v /= 10)
        digits++;
    put_digits(high, digits, out);
    put_digits(mid, GROUP_DIGITS, out + digits);
    put_digits(low, GROUP_DIGITS, out + digits + GROUP_DIGITS);
    digits += 2 * GROUP_DIGITS;
    out[digits] = '\0';
    return digits;
}

/* w = w * 10 + digit; -1 when it does not fit. */
static int
push_digit(struct wide *w, unsigned digit)
{
    uint128 carry = digit;

    for (int i = 0; i < 3; i++) {
        carry += (uint128)w->limb[i] * 10;
        w->limb[i] = (uint64_t)carry;
        carry >>= 64;
    }
    return carry == 0 ? 0 : -1;
}

int
sequence_parse(const char *text, size_t len, struct sequence *out)
{
    struct wide w = {{0, 0, 0}};
    struct wide again;

    if (len == 0 || len > SEQUENCE_TEXT_SIZE - 1 || text[0] == '0')
        return -1;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';

        if (digit > 9 || push_digit(&w, digit) != 0)
            return -1;
    }
    out->shard = (uint32_t)(w.limb[0] >> SHARD_BIT);
    out->time_s = (w.limb[0] >> TIME_BIT | w.limb[1] << (64 - TIME_BIT)) & SECONDS_MASK;
    out->index = w.limb[1] >> (INDEX_BIT - 64) | w.limb[2] << (128 - INDEX_BIT);
    out->created_s = w.limb[2] >> (CREATED_BIT - 128) & SECONDS_MASK;
    /* Everything not covered by a field must be what pack() writes there. */
    again = pack(out);
    if (memcmp(&again, &w, sizeof(w)) != 0 || out->index > SEQUENCE_INDEX_END)
        return -1;
    return 0;
}

int
sequence_compare(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);

    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return memcmp(a, b, a_len);
}
