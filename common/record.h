/*
 * record - what travels in a record ring, and the watermark that travels in both rings.
 *
 * RING_DATA: struct record_head, the partition key, the message: one Kinesis record.
 * RING_CONTROL: struct watermark.
 */
#ifndef WEIR_RECORD_H
#define WEIR_RECORD_H

#include "common/position.h"

#include <assert.h>
#include <stdint.h>

#define RECORD_FORMAT 1U /* record_format of record rings */

/* Kinesis: 1..256 Unicode characters, at most 4 bytes each. */
#define RECORD_KEY_MAX 1024

struct record_head {
    uint8_t hash[16]; /* MD5 of the partition key: the 128-bit Kinesis hash, big-endian */
    struct position position;
    int64_t commit_real_ns;
    int64_t captured_mono_ns;
    uint32_t key_size;
    uint32_t data_size;
    uint16_t operation; /* enum event_operation */
    uint16_t reserved;
    uint32_t row; /* hash of table and primary key, for Weir.Ordering row; 0 = orders by its key */
};

static_assert(sizeof(struct record_head) == 80, "record_head is a format");

/*
 * "Complete up to position": everything of the source at or before it went out before this
 * record, on this ring.  Capture broadcasts it to all encoders, an encoder passes it to all
 * its shippers when it has published all that came before.
 */
struct watermark {
    uint32_t kind; /* WATERMARK */
    uint32_t format;
    uint64_t generation; /* of the task's topology */
    struct position position;
    int64_t commit_real_ns;   /* source commit time at position; 0 = unknown */
    int64_t captured_mono_ns; /* when capture sent it */
};

#define WATERMARK 0x57415445U

static_assert(sizeof(struct watermark) == 64, "watermark is a format");

#endif
