#include "common/position.h"

#include <assert.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define OFF_COMMAND   10
#define OFF_SEQVAL    14
#define OFF_OPERATION 24
#define OFF_CHUNK     25
#define CHUNK_SIZE    7

static_assert(OFF_CHUNK + CHUNK_SIZE == POSITION_SIZE, "the chunk ends the position");

static const char hex_digits[] = "0123456789abcdef";

bool
position_is_zero(const struct position *p)
{
    static const struct position zero;

    return position_compare(p, &zero) == 0;
}

void
position_hex(const struct position *p, char *buf)
{
    for (size_t i = 0; i < POSITION_SIZE; i++) {
        buf[2 * i] = hex_digits[p->b[i] >> 4];
        buf[2 * i + 1] = hex_digits[p->b[i] & 15];
    }
    buf[2 * POSITION_SIZE] = '\0';
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int
position_parse(const char *text, struct position *out)
{
    for (size_t i = 0; i < POSITION_SIZE; i++) {
        int hi = hex_value(text[2 * i]);
        int lo = hi < 0 ? -1 : hex_value(text[2 * i + 1]);

        if (lo < 0)
            return -1;
        out->b[i] = (uint8_t)(hi << 4 | lo);
    }
    return text[2 * POSITION_SIZE] == '\0' ? 0 : -1;
}

void
position_to_words(const struct position *p, uint64_t words[4])
{
    memcpy(words, p->b, POSITION_SIZE);
}

void
position_from_words(const uint64_t words[4], struct position *p)
{
    memcpy(p->b, words, POSITION_SIZE);
}

static void
put_be(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        at[i] = (uint8_t)value;
        value >>= 8;
    }
}

static uint64_t
get_be(const uint8_t *at, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

void
position_from_sqlserver(const struct position_sqlserver *in, struct position *out)
{
    memcpy(out->b, in->start_lsn, LSN_SIZE);
    put_be(out->b + OFF_COMMAND, (uint32_t)in->command_id ^ 0x80000000U, 4);
    memcpy(out->b + OFF_SEQVAL, in->seqval, LSN_SIZE);
    out->b[OFF_OPERATION] = in->operation;
    put_be(out->b + OFF_CHUNK, in->chunk, CHUNK_SIZE);
}

void
position_to_sqlserver(const struct position *in, struct position_sqlserver *out)
{
    memcpy(out->start_lsn, in->b, LSN_SIZE);
    out->command_id = (int32_t)((uint32_t)get_be(in->b + OFF_COMMAND, 4) ^ 0x80000000U);
    memcpy(out->seqval, in->b + OFF_SEQVAL, LSN_SIZE);
    out->operation = in->b[OFF_OPERATION];
    out->chunk = get_be(in->b + OFF_CHUNK, CHUNK_SIZE);
}

void
position_lsn_complete(const uint8_t lsn[LSN_SIZE], struct position *out)
{
    position_load_chunk(lsn, 0, out);
}

void
position_load_chunk(const uint8_t lsn[LSN_SIZE], uint64_t chunk, struct position *out)
{
    memcpy(out->b, lsn, LSN_SIZE);
    memset(out->b + OFF_COMMAND, 0xff, OFF_CHUNK - OFF_COMMAND);
    put_be(out->b + OFF_CHUNK, chunk, CHUNK_SIZE);
}

void
position_chunk_behind(const struct position *p, uint64_t chunk, struct position *out)
{
    *out = *p;
    put_be(out->b + OFF_CHUNK, chunk, CHUNK_SIZE);
}

bool
position_is_load(const struct position *p)
{
    uint64_t tail; /* the last eight bytes, the first of them not of the chunk */

    memcpy(&tail, p->b + OFF_CHUNK - 1, sizeof(tail));
    return tail >> 8 != 0;
}

void
position_next(const struct position *p, struct position *out)
{
    *out = *p;
    memset(out->b + OFF_CHUNK, 0, CHUNK_SIZE);
    for (int i = OFF_CHUNK - 1; i >= 0; i--)
        if (++out->b[i] != 0)
            break;
}

/* The 32 digits of 16 bytes; position_text() stands in each message. */
static inline void
hex_sixteen(char digits[32], const uint8_t *bytes)
{
#ifdef __SSE2__
    const __m128i low_half = _mm_set1_epi8(15);
    __m128i all = _mm_loadu_si128((const __m128i_u *)bytes);
    __m128i low = _mm_and_si128(all, low_half);
    __m128i high = _mm_and_si128(_mm_srli_epi16(all, 4), low_half);
    __m128i half[2] = {_mm_unpacklo_epi8(high, low), _mm_unpackhi_epi8(high, low)};

    for (int i = 0; i < 2; i++) {
        __m128i is_letter = _mm_cmpgt_epi8(half[i], _mm_set1_epi8(9));
        __m128i text = _mm_add_epi8(half[i], _mm_set1_epi8('0'));

        text = _mm_add_epi8(text, _mm_and_si128(is_letter, _mm_set1_epi8('a' - '0' - 10)));
        _mm_storeu_si128((__m128i_u *)(digits + 16 * i), text);
    }
#else
    for (int i = 0; i < 16; i++) {
        digits[2 * i] = hex_digits[bytes[i] >> 4];
        digits[2 * i + 1] = hex_digits[bytes[i] & 15];
    }
#endif
}

/* Ten bytes as SQL Server's people write them: 8, 8 and 4 digits. */
static inline char *
put_lsn(char *at, const char *digits)
{
    memcpy(at, digits, 8);
    at[8] = ':';
    memcpy(at + 9, digits + 8, 8);
    at[17] = ':';
    memcpy(at + 18, digits + 16, 4);
    return at + 22;
}

static_assert(OFF_COMMAND + 4 <= 16, "the first 16 bytes hold all up to the command");
static_assert(OFF_OPERATION < OFF_SEQVAL + 16, "the operation is read with the seqval");

size_t
position_text(const struct position *p, char *buf)
{
    char start[32];
    char seqval[32];
    char end[32];
    char *at;

    hex_sixteen(start, p->b);
    hex_sixteen(seqval, p->b + OFF_SEQVAL);
    at = put_lsn(buf, start);
    *at++ = '.';
    memcpy(at, start + 2 * OFF_COMMAND, 8);
    at += 8;
    *at++ = '.';
    at = put_lsn(at, seqval);
    *at++ = '.';
    *at++ = seqval[2 * (OFF_OPERATION - OFF_SEQVAL) + 1];
    if (position_is_load(p)) {
        *at++ = '.';
        hex_sixteen(end, p->b + POSITION_SIZE - 16);
        memcpy(at, end + 32 - 2 * CHUNK_SIZE, 2 * CHUNK_SIZE);
        at += 2 * CHUNK_SIZE;
    }
    *at = '\0';
    return (size_t)(at - buf);
}

/* ---- reading the text ---- */

/* n bytes as 2 n digits; NULL when there are fewer. */
static const char *
take_hex(const char *at, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++, at += 2) {
        int hi = hex_value(at[0]);
        int lo = hi < 0 ? -1 : hex_value(at[1]);

        if (lo < 0)
            return NULL;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return at;
}

static const char *
take_mark(const char *at, char mark)
{
    return at != NULL && *at == mark ? at + 1 : NULL;
}

static const char *
take_lsn(const char *at, uint8_t lsn[LSN_SIZE])
{
    at = take_mark(take_hex(at, lsn, 4), ':');
    if (at != NULL)
        at = take_mark(take_hex(at, lsn + 4, 4), ':');
    return at != NULL ? take_hex(at, lsn + 8, 2) : NULL;
}

int
position_lsn_parse(const char *text, uint8_t lsn[LSN_SIZE])
{
    const char *end = take_lsn(text, lsn);

    return end != NULL && *end == '\0' ? 0 : -1;
}

int
position_from_text(const char *text, struct position *out)
{
    const char *at = take_mark(take_lsn(text, out->b), '.');
    int operation;

    memset(out->b + OFF_OPERATION, 0, POSITION_SIZE - OFF_OPERATION);
    if (at != NULL)
        at = take_mark(take_hex(at, out->b + OFF_COMMAND, 4), '.');
    if (at != NULL)
        at = take_mark(take_lsn(at, out->b + OFF_SEQVAL), '.');
    operation = at != NULL ? hex_value(*at) : -1;
    if (operation < 0)
        return -1;
    /* One digit stands for the byte: 'f' is 0xFF, "all of it". */
    out->b[OFF_OPERATION] = operation == 15 ? 0xFF : (uint8_t)operation;
    at++;
    if (*at == '\0')
        return 0;
    at = take_mark(at, '.');
    if (at != NULL)
        at = take_hex(at, out->b + OFF_CHUNK, CHUNK_SIZE);
    return at != NULL && *at == '\0' ? 0 : -1;
}
