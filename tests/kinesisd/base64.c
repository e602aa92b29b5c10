#include "tests/kinesisd/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define BAD 0x80000000u

/* value[k][c]: the six bits of c at their place in a 24-bit group, BAD for a foreign character.
 * Written once by base64_init, read-only afterwards. */
static uint32_t value[4][256];

void
base64_init(void)
{
    for (unsigned k = 0; k < 4; k++)
        for (unsigned c = 0; c < 256; c++)
            value[k][c] = BAD;
    for (uint32_t i = 0; i < 64; i++) {
        unsigned char c = (unsigned char)alphabet[i];

        value[0][c] = i << 18;
        value[1][c] = i << 12;
        value[2][c] = i << 6;
        value[3][c] = i;
    }
}

size_t
base64_run(const char *text, size_t len, char *out)
{
    size_t i = 0;

    for (; i + 4 <= len; i += 4) {
        uint32_t group = value[0][(unsigned char)text[i]] | value[1][(unsigned char)text[i + 1]] |
                         value[2][(unsigned char)text[i + 2]] |
                         value[3][(unsigned char)text[i + 3]];

        if (group & BAD)
            break;
        *out++ = (char)(group >> 16);
        *out++ = (char)(group >> 8);
        *out++ = (char)group;
    }
    return i;
}

/* The last group, which holds padding or a fault. */
static enum base64_problem
decode_tail(const char *text, size_t len, char *out, size_t *out_len, size_t *at)
{
    size_t pad = text[len - 1] != '=' ? 0 : text[len - 2] != '=' ? 1 : 2;
    uint32_t group = 0;

    for (size_t i = 0; i < len - pad; i++) {
        uint32_t v = value[3][(unsigned char)text[i]];

        if (v & BAD) {
            *at = i;
            return BASE64_CHARACTER;
        }
        group |= i < 4 ? v << (18 - 6 * i) : 0;
    }
    if ((pad == 2 && (group & 0xffff) != 0) || (pad == 1 && (group & 0xff) != 0))
        return BASE64_LAST_BITS;
    *out = (char)(group >> 16);
    if (pad == 1)
        out[1] = (char)(group >> 8);
    *out_len += pad == 1 ? 2 : 1;
    return BASE64_OK;
}

enum base64_problem
base64_decode(const char *text, size_t len, char *out, size_t *out_len, size_t *at)
{
    size_t done;
    enum base64_problem problem;

    *out_len = 0;
    *at = 0;
    if (len % 4 != 0)
        return BASE64_LENGTH;
    done = base64_run(text, len, out);
    *out_len = done / 4 * 3;
    if (done == len)
        return BASE64_OK;
    /* More than one group left: the run stopped at a fault, which decode_tail will name. */
    problem = decode_tail(text + done, len - done, out + *out_len, out_len, at);
    *at += done;
    return problem;
}

size_t
base64_encode(const void *data, size_t len, char *out)
{
    const unsigned char *in = data;
    char *start = out;
    size_t i = 0;

    for (; i + 3 <= len; i += 3) {
        uint32_t group = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];

        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = alphabet[group >> 6 & 63];
        *out++ = alphabet[group & 63];
    }
    if (i < len) {
        uint32_t group = (uint32_t)in[i] << 16 | (i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0);

        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = i + 1 < len ? alphabet[group >> 6 & 63] : '=';
        *out++ = '=';
    }
    return (size_t)(out - start);
}
