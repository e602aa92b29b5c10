#include "common/position.h"

#include <assert.h>

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

bool
position_is_load(const struct position *p)
{
    uint64_t tail; /* the last eight bytes, the first of them not of the chunk */

    memcpy(&tail, p->b + OFF_CHUNK - 1, sizeof(tail));
    return tail >> 8 != 0;
}

/* Both digits of every byte: this text stands in each message. */
#define HEX_ROW(h)                                                                                 \
    h "0" h "1" h "2" h "3" h "4" h "5" h "6" h "7" h "8" h "9" h "a" h "b" h "c" h "d" h "e" h "f"

static const char hex_pairs[] = HEX_ROW("0") HEX_ROW("1") HEX_ROW("2") HEX_ROW("3") HEX_ROW("4")
    HEX_ROW("5") HEX_ROW("6") HEX_ROW("7") HEX_ROW("8") HEX_ROW("9") HEX_ROW("a") HEX_ROW("b")
        HEX_ROW("c") HEX_ROW("d") HEX_ROW("e") HEX_ROW("f");

static inline char *
hex_run(char *at, const uint8_t *bytes, int n)
{
    for (int i = 0; i < n; i++)
        memcpy(at + 2 * i, hex_pairs + 2 * bytes[i], 2);
    return at + 2 * n;
}

static inline char *
hex_four(char *at, const uint8_t *bytes)
{
    memcpy(at, hex_pairs + 2 * bytes[0], 2);
    memcpy(at + 2, hex_pairs + 2 * bytes[1], 2);
    memcpy(at + 4, hex_pairs + 2 * bytes[2], 2);
    memcpy(at + 6, hex_pairs + 2 * bytes[3], 2);
    return at + 8;
}

static inline char *
lsn_run(char *at, const uint8_t *lsn)
{
    at = hex_four(at, lsn);
    *at++ = ':';
    at = hex_four(at, lsn + 4);
    *at++ = ':';
    memcpy(at, hex_pairs + 2 * lsn[8], 2);
    memcpy(at + 2, hex_pairs + 2 * lsn[9], 2);
    return at + 4;
}

size_t
position_text(const struct position *p, char *buf)
{
    char *at = lsn_run(buf, p->b);

    *at++ = '.';
    at = hex_four(at, p->b + OFF_COMMAND);
    *at++ = '.';
    at = lsn_run(at, p->b + OFF_SEQVAL);
    *at++ = '.';
    *at++ = hex_digits[p->b[OFF_OPERATION] & 15];
    if (position_is_load(p)) {
        *at++ = '.';
        at = hex_run(at, p->b + OFF_CHUNK, CHUNK_SIZE);
    }
    *at = '\0';
    return (size_t)(at - buf);
}
