#include "capture/sqlserver/wide.h"

#include <string.h>

#define SURROGATE_HIGH 0xD800U
#define SURROGATE_LOW  0xDC00U
#define SURROGATE_END  0xE000U
#define REPLACEMENT    0xFFFDU

/* Bits that are zero in four UTF-16LE units of ASCII. */
#define NOT_ASCII 0xFF80FF80FF80FF80ULL

static unsigned
unit_at(const uint8_t *in)
{
    return (unsigned)in[0] | (unsigned)in[1] << 8;
}

static char *
put_utf8(char *at, unsigned c)
{
    if (c < 0x80) {
        *at++ = (char)c;
    } else if (c < 0x800) {
        *at++ = (char)(0xC0 | c >> 6);
        *at++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *at++ = (char)(0xE0 | c >> 12);
        *at++ = (char)(0x80 | (c >> 6 & 0x3F));
        *at++ = (char)(0x80 | (c & 0x3F));
    } else {
        *at++ = (char)(0xF0 | c >> 18);
        *at++ = (char)(0x80 | (c >> 12 & 0x3F));
        *at++ = (char)(0x80 | (c >> 6 & 0x3F));
        *at++ = (char)(0x80 | (c & 0x3F));
    }
    return at;
}

size_t
wide_to_utf8(const uint8_t *in, size_t size, char *out)
{
    const uint8_t *end = in + (size & ~(size_t)1);
    char *at = out;

    while (in < end) {
        unsigned c;

        /* Most text is ASCII: four units at once. */
        while (end - in >= 8) {
            uint64_t four;

            memcpy(&four, in, sizeof(four));
            if ((four & NOT_ASCII) != 0)
                break;
            at[0] = (char)four;
            at[1] = (char)(four >> 16);
            at[2] = (char)(four >> 32);
            at[3] = (char)(four >> 48);
            at += 4;
            in += 8;
        }
        if (in == end)
            break;
        c = unit_at(in);
        in += 2;
        if (c >= SURROGATE_HIGH && c < SURROGATE_LOW && in < end) {
            unsigned low = unit_at(in);

            if (low >= SURROGATE_LOW && low < SURROGATE_END) {
                c = 0x10000 + ((c - SURROGATE_HIGH) << 10) + (low - SURROGATE_LOW);
                in += 2;
            }
        }
        at = put_utf8(at, c);
    }
    return (size_t)(at - out);
}

/* One code point, surrogates allowed in three-byte form.  Returns the bytes used, at least 1. */
static size_t
get_utf8(const uint8_t *in, size_t size, unsigned *out)
{
    size_t need = in[0] < 0x80 ? 1 : in[0] < 0xC2 ? 0 : in[0] < 0xE0 ? 2 : in[0] < 0xF0 ? 3 : 4;
    unsigned c = in[0];

    *out = REPLACEMENT;
    if (need == 0 || need > size || in[0] > 0xF4)
        return 1;
    if (need > 1)
        c &= 0x7FU >> need;
    for (size_t i = 1; i < need; i++) {
        if ((in[i] & 0xC0) != 0x80)
            return 1;
        c = c << 6 | (in[i] & 0x3FU);
    }
    if ((need == 3 && c < 0x800) || (need == 4 && (c < 0x10000 || c > 0x10FFFF)))
        return 1;
    *out = c;
    return need;
}

static uint8_t *
put_unit(uint8_t *at, unsigned unit)
{
    *at++ = (uint8_t)unit;
    *at++ = (uint8_t)(unit >> 8);
    return at;
}

size_t
wide_from_utf8(const char *in, size_t size, uint8_t *out)
{
    const uint8_t *bytes = (const uint8_t *)in;
    uint8_t *at = out;
    size_t i = 0;

    while (i < size) {
        unsigned c;

        i += get_utf8(bytes + i, size - i, &c);
        if (c >= 0x10000) {
            at = put_unit(at, SURROGATE_HIGH + ((c - 0x10000) >> 10));
            c = SURROGATE_LOW + ((c - 0x10000) & 0x3FF);
        }
        at = put_unit(at, c);
    }
    return (size_t)(at - out);
}
