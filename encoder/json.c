#include "encoder/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define ONES  0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

/* Texts up to this size are taken at their worst. */
#define LOOK_ABOVE 1024

static const char hex[] = "0123456789abcdef";

/*
 * A high bit in each byte of the word that cannot be copied as it is: below 0x20, '"', '\\',
 * or above 0x7f.  Borrows can only raise false alarms behind a true one, so the lowest bit set
 * is exact.
 */
static uint64_t
special_bytes(uint64_t word)
{
    uint64_t control = word - ONES * 0x20;
    uint64_t quote = (word ^ ONES * '"') - ONES;
    uint64_t backslash = (word ^ ONES * '\\') - ONES;

    return (control | quote | backslash | word) & HIGHS;
}

static char *
put_escape(char *at, unsigned char c)
{
    static const char letters[32] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

    *at++ = '\\';
    if (c >= 0x20 || letters[c] != 0) {
        *at++ = c >= 0x20 ? (char)c : letters[c];
        return at;
    }
    memcpy(at, "u00", 3);
    at[3] = hex[c >> 4];
    at[4] = hex[c & 15];
    return at + 5;
}

static int
is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t
json_character(const unsigned char *text, size_t size)
{
    unsigned char c = text[0];

    if (c < 0x80)
        return 1;
    if (c < 0xc2 || size < 2 || !is_continuation(text[1]))
        return 0;
    if (c < 0xe0)
        return 2;
    if (size < 3 || !is_continuation(text[2]) || (c == 0xe0 && text[1] < 0xa0))
        return 0;
    if (c < 0xf0)
        return 3;
    if (size < 4 || !is_continuation(text[3]) || c > 0xf4 || (c == 0xf0 && text[1] < 0x90) ||
        (c == 0xf4 && text[1] > 0x8f))
        return 0;
    return 4;
}

/* One character above 0x7f, or one byte of what is none.  Moves *text on. */
static char *
put_wide(char *at, const char **text, size_t size)
{
    const unsigned char *p = (const unsigned char *)*text;
    size_t n = json_character(p, size);

    if (n == 0) {
        memcpy(at, "\xef\xbf\xbd", 3);
        *text += 1;
        return at + 3;
    }
    *text += n;
    if (n == 3 && p[0] == 0xed && p[1] >= 0xa0) {
        memcpy(at, "\\ud", 3);
        at[3] = hex[(p[1] >> 2) & 15];
        at[4] = hex[(p[1] & 3) << 2 | ((p[2] >> 4) & 3)];
        at[5] = hex[p[2] & 15];
        return at + 6;
    }
    memcpy(at, p, n);
    return at + n;
}

size_t
json_text_bound(const char *text, size_t size)
{
    size_t sum = JSON_SLACK;

    if (size <= LOOK_ABOVE)
        return JSON_TEXT_BOUND(size);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < 0x20)
            sum += 6;
        else if (c >= 0x80)
            sum += 3; /* a lone byte that becomes U+FFFD; two a byte for surrogates */
        else
            sum += c == '"' || c == '\\' ? 2 : 1;
    }
    return sum;
}

/*
 * The last bytes, fewer than eight, read in one word that ends where the text ends; only when
 * there are eight bytes to read.  True when they were all plain.
 */
static bool
put_plain_tail(char *at, const char *end, size_t rest)
{
    uint64_t word;

    memcpy(&word, end - 8, 8);
    word >>= 8 * (8 - rest);
    memcpy(at, &word, 8);
    return (special_bytes(word) & ((1ULL << 8 * rest) - 1)) == 0;
}

/* Blocks of 16 bytes for as long as they are plain. */
static char *
put_plain_blocks(char *at, const char **text, const char *end)
{
#ifdef __SSE2__
    const char *p = *text;

    for (; end - p >= 16; p += 16, at += 16) {
        __m128i block = _mm_loadu_si128((const __m128i_u *)p);
        /* signed: what is above 0x7f counts as below 0x20 */
        __m128i special = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));

        special = _mm_or_si128(special, _mm_cmpeq_epi8(block, _mm_set1_epi8('"')));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
        if (_mm_movemask_epi8(special) != 0)
            break;
        _mm_storeu_si128((__m128i_u *)at, block);
    }
    *text = p;
#else
    (void)text;
    (void)end;
#endif
    return at;
}

char *
json_put_text(char *at, const char *text, size_t size)
{
    const char *start = text;
    const char *end = text + size;

    while (text < end) {
        unsigned char c;

        at = put_plain_blocks(at, &text, end);
        while (end - text >= 8) {
            uint64_t word;
            uint64_t special;

            memcpy(&word, text, 8);
            memcpy(at, &word, 8);
            special = special_bytes(word);
            if (special != 0) {
                unsigned clean = (unsigned)__builtin_ctzll(special) / 8;

                at += clean;
                text += clean;
                break;
            }
            at += 8;
            text += 8;
        }
        if (text == end)
            break;
        if (end - text < 8 && end - start >= 8 && put_plain_tail(at, end, (size_t)(end - text)))
            return at + (end - text);
        c = (unsigned char)*text;
        if (c >= 0x80) {
            at = put_wide(at, &text, (size_t)(end - text));
        } else {
            text++;
            if (c < 0x20 || c == '"' || c == '\\')
                at = put_escape(at, c);
            else
                *at++ = (char)c;
        }
    }
    return at;
}
