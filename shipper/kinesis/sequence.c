#include "shipper/kinesis/sequence.h"

#define MAX_DIGITS 57
#define CHUNK      19 /* decimal digits that fit 64 bits */

__extension__ typedef unsigned __int128 wide;

/* s = s * factor + add */
static void
multiply_add(struct sequence *s, uint64_t factor, uint64_t add)
{
    wide carry = add;

    for (int i = 2; i >= 0; i--) {
        carry += (wide)s->word[i] * factor;
        s->word[i] = (uint64_t)carry;
        carry >>= 64;
    }
}

bool
sequence_parse(const char *text, size_t size, struct sequence *out)
{
    *out = (struct sequence){{0, 0, 0}};
    if (size == 0 || size > MAX_DIGITS)
        return false;
    while (size > 0) {
        size_t n = size < CHUNK ? size : CHUNK;
        uint64_t factor = 1;
        uint64_t value = 0;

        for (size_t i = 0; i < n; i++) {
            unsigned digit = (unsigned)(text[i] - '0');

            if (digit > 9) {
                *out = (struct sequence){{0, 0, 0}};
                return false;
            }
            value = value * 10 + digit;
            factor *= 10;
        }
        multiply_add(out, factor, value);
        text += n;
        size -= n;
    }
    return true;
}

int
sequence_compare(const struct sequence *a, const struct sequence *b)
{
    for (int i = 0; i < 3; i++) {
        if (a->word[i] != b->word[i])
            return a->word[i] < b->word[i] ? -1 : 1;
    }
    return 0;
}
