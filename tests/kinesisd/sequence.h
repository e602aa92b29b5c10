/*
 * sequence - sequence numbers in the layout AWS uses ("version 2").
 *
 * 47 hex digits read as one number and printed in decimal (56 digits): 2, shard creation second
 * (9), low digit of the shard number, index in the shard's log (16), 00, second of arrival (9),
 * shard number (8), 2.  The index stands before the time, so order within a shard is log order;
 * a child's creation second is above its parents', so its numbers are above all of theirs.
 * Compare by length, then bytes.  (Layout: reference sheet on Kinesis, section 5.)
 */
#ifndef KINESISD_SEQUENCE_H
#define KINESISD_SEQUENCE_H

#include <stddef.h>
#include <stdint.h>

/* 58 digits at most and a terminator. */
#define SEQUENCE_TEXT_SIZE 60

/* Index that only an EndingSequenceNumber carries. */
#define SEQUENCE_INDEX_END 0x7fffffffffffffffULL

struct sequence {
    uint64_t created_s; /* below 2^36 */
    uint64_t index;     /* 0 = before the first record, at most SEQUENCE_INDEX_END */
    uint64_t time_s;    /* below 2^36 */
    uint32_t shard;
};

/* Writes digits and a terminator; returns the number of digits. */
size_t sequence_format(const struct sequence *s, char *out);

/* 0 = ok, -1 = not a number of this layout. */
int sequence_parse(const char *text, size_t len, struct sequence *out);

/* Below, equal, above zero. */
int sequence_compare(const char *a, const char *b);

#endif
