/* hierarchyid: an ORDPATH, a string of bits that sorts as bytes in depth-first order. */
#include "capture/sqlserver/clr.h"
#include "common/digits.h"

/*
 * A number's range is told by the bits it begins with.  In `bits`, 'x' is a bit of the offset from
 * the range's lowest number, 0 and 1 are fixed, and T tells whether the level ends here ("/") or goes
 * on behind a point; there the number is kept one higher, so that 1.5 sorts behind 1.
 */
struct pattern {
    int64_t lowest;
    const char *bits;
};

#define X6  "xxxxxx"
#define LOW "0xxxxxx0xxx0x1xxxT" /* the last 17 bits of the long ones */

static const struct pattern patterns[] = {
    {0, "01xxT"},
    {4, "100xxT"},
    {8, "101xxxT"},
    {16, "110xx0x1xxxT"},
    {80, "1110xxx0xxx0x1xxxT"},
    {1104, "11110xxxxx0xxx0x1xxxT"},
    {5200, "111110" X6 X6 X6 "x" LOW},
    {4294972496, "111111" X6 X6 "xx0" X6 X6 X6 "xxx" LOW},
    {-8, "00111xxxT"},
    {-72, "0010xx0x1xxxT"},
    {-4168, "000110xxxxx0xxx0x1xxxT"},
    {-4294971464, "000101" X6 X6 X6 "x" LOW},
    {-281479271682120, "000100" X6 X6 "xx0" X6 X6 X6 "xxx" LOW},
};

struct bits {
    const uint8_t *in;
    size_t at;
    size_t end;
};

static unsigned
bit_at(const struct bits *b, size_t at)
{
    return (unsigned)b->in[at / 8] >> (7 - at % 8) & 1U;
}

/* One number, when the bits are of this pattern. */
static bool
take(struct bits *b, const struct pattern *p, int64_t *number, bool *ends_level)
{
    uint64_t offset = 0;
    size_t at = b->at;

    for (const char *c = p->bits; *c != '\0'; c++, at++) {
        unsigned bit;

        if (at >= b->end)
            return false;
        bit = bit_at(b, at);
        if (*c == 'x')
            offset = offset << 1 | bit;
        else if (*c == 'T')
            *ends_level = bit != 0;
        else if (bit != (unsigned)(*c - '0'))
            return false;
    }
    b->at = at;
    *number = p->lowest + (int64_t)offset - (*ends_level ? 0 : 1);
    return true;
}

/* Fewer than eight bits, all of them zero, fill the last byte. */
static bool
is_padding(const struct bits *b)
{
    if (b->end - b->at >= 8)
        return false;
    for (size_t i = b->at; i < b->end; i++)
        if (bit_at(b, i) != 0)
            return false;
    return true;
}

size_t
clr_path(const uint8_t *in, size_t size, char *out)
{
    struct bits b = {.in = in, .end = 8 * size};
    char *at = out;
    bool ends_level = true;

    *at++ = '/';
    while (!is_padding(&b)) {
        int64_t number = 0;
        size_t i = 0;

        while (i < sizeof(patterns) / sizeof(patterns[0]) &&
               !take(&b, &patterns[i], &number, &ends_level))
            i++;
        if (i == sizeof(patterns) / sizeof(patterns[0]))
            return 0;
        at = digits_put_i64(at, number);
        *at++ = ends_level ? '/' : '.';
    }
    return ends_level ? (size_t)(at - out) : 0;
}
