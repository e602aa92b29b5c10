/*
 * position - a place in a source's stream, the same 32 bytes for every engine.
 *
 * Positions of one source are totally ordered by memcmp.  The order is the order in which
 * capture emits: resuming, skipping and watermarks need nothing else.
 *
 * SQL Server:
 *    0  start LSN   10 bytes, big-endian as the server gives it
 *   10  command id   4 bytes, big-endian, sign bit flipped (NULL counts as -1)
 *   14  seqval      10 bytes
 *   24  operation    1 byte, 1..4
 *   25  load chunk   7 bytes, big-endian; 0 in the log
 * "All of LSN x" is x followed by 0xFF up to byte 24 and a zero chunk.  A full load that is
 * joined to the log at LSN x has the positions "all of x" + chunk 1, 2, ...: behind
 * everything up to x, before everything after it.  All rows of a chunk share one position,
 * because a chunk that is read again need not hold the same rows.
 */
#ifndef WEIR_POSITION_H
#define WEIR_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define POSITION_SIZE 32

struct position {
    uint8_t b[POSITION_SIZE];
};

/* Hexadecimal text plus NUL. */
#define POSITION_HEX_SIZE (2 * POSITION_SIZE + 1)

/* Longest text of position_text() plus NUL. */
#define POSITION_TEXT_SIZE 96

static inline int
position_compare(const struct position *a, const struct position *b)
{
    return memcmp(a->b, b->b, POSITION_SIZE);
}

/* Zero means "before everything". */
bool position_is_zero(const struct position *p);

void position_hex(const struct position *p, char *buf);

/* Reads 64 hex digits.  Returns -1 when text is anything else. */
int position_parse(const char *text, struct position *out);

/* To and from the four words of a ring's commit slot. */
void position_to_words(const struct position *p, uint64_t words[4]);
void position_from_words(const uint64_t words[4], struct position *p);

#define LSN_SIZE 10

struct position_sqlserver {
    uint8_t start_lsn[LSN_SIZE];
    uint8_t seqval[LSN_SIZE];
    int32_t command_id; /* -1 for NULL */
    uint8_t operation;
    uint64_t chunk; /* below 2^56 */
};

void position_from_sqlserver(const struct position_sqlserver *in, struct position *out);
void position_to_sqlserver(const struct position *in, struct position_sqlserver *out);

/* "All of this LSN is complete", and the place of a load's chunk joined there. */
void position_lsn_complete(const uint8_t lsn[LSN_SIZE], struct position *out);
void position_load_chunk(const uint8_t lsn[LSN_SIZE], uint64_t chunk, struct position *out);
bool position_is_load(const struct position *p);

/* The lowest position behind p that is no load chunk's: for what has no place of its own. */
void position_next(const struct position *p, struct position *out);

/*
 * The text of `stream-position` in messages and status screens; text order is stream order.
 * SQL Server log: "vvvvvvvv:bbbbbbbb:ssss.cccccccc.vvvvvvvv:bbbbbbbb:ssss.o" (start LSN, command
 * id with flipped sign bit, seqval, operation, hexadecimal).  Chunk n of a load joined at an LSN:
 * the same with all 'f' behind the LSN and ".nnnnnnnnnnnnnn" at the end.
 * buf holds POSITION_TEXT_SIZE bytes; returns the length.
 */
size_t position_text(const struct position *p, char *buf);

/* Reads such a text.  -1 when it is anything else. */
int position_from_text(const char *text, struct position *out);

/* Reads "vvvvvvvv:bbbbbbbb:ssss", to its end.  -1 when text is anything else. */
int position_lsn_parse(const char *text, uint8_t lsn[LSN_SIZE]);

/* The place right behind p that carries a chunk number: chunk n of a load joined at p. */
void position_chunk_behind(const struct position *p, uint64_t chunk, struct position *out);

#endif
