/*
 * ring_layout - what lies where in a ring file.  Version 1.0.
 *
 * 4096 bytes of header, then `capacity` bytes of records.  Little endian.  Every 128-byte
 * block of the header is written by one side only (the state block and the waiting words
 * are the exceptions: written seldom, by both), so that the two sides never fight for a
 * line, nor for the pair of lines that the prefetcher fetches together.
 *
 * Whoever needs more than ring.h gives (the ring's own files, its tests) includes this.
 */
#ifndef WEIR_RING_LAYOUT_H
#define WEIR_RING_LAYOUT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define RING_MAGIC        0x474e495252494557ULL /* "WEIRRING" */
#define RING_MAJOR        1                     /* another one is refused */
#define RING_MINOR        0                     /* additions that older readers may ignore */
#define RING_HEADER_BYTES 4096U

#define RING_FLAG_CHECKSUM 0x0001U /* each record carries a CRC32C */

enum ring_state_word { RING_OPEN = 0, RING_RETIRED = 1, RING_POISONED = 2 };

/* Written before the file gets its name and never again. */
struct ring_identity {
    uint64_t magic;
    uint16_t major;
    uint16_t minor;
    uint32_t header_bytes;
    uint64_t capacity;
    uint64_t epoch; /* random, of this creation */
    uint32_t record_format;
    uint32_t flags;
    uint64_t upstream_epoch; /* the task's generation */
    uint64_t created_realtime_ns;
    char name[32];
    uint32_t crc32c; /* of the bytes before it */
    uint32_t zero;
};

/* One way only: OPEN to RETIRED or POISONED, by whichever side sees the reason. */
struct ring_state {
    _Atomic uint32_t word; /* enum ring_state_word */
    _Atomic uint32_t reason;
    _Atomic uint64_t successor_epoch;
};

/* A side's published position, whose low half is the futex word the other side sleeps on. */
struct ring_end {
    _Atomic uint64_t pos;
    _Atomic uint32_t waiting; /* this side sleeps; the other side clears it and wakes */
};

/*
 * Where the producer stood in its input when its tail became slot[SLOT_POS].  The slot whose
 * position equals the tail is the one in force; where both do (the input moved on without
 * output), the one with the later count.
 */
enum ring_slot_word {
    SLOT_POS,   /* stored last; RING_NOWHERE while the rest is being written */
    SLOT_SEQ,   /* of the last record before that position */
    SLOT_EPOCH, /* struct ring_source follows */
    SLOT_SOURCE,
    SLOT_CHECK = SLOT_SOURCE + 4, /* high half: CRC32C of the rest, low half: count, 0 = creation */
    SLOT_WORDS
};

#define RING_NOWHERE UINT64_MAX /* never a position: not a multiple of RING_ALIGN */

struct ring_slot {
    _Atomic uint64_t word[SLOT_WORDS];
};

/* Who holds an end.  For people and status screens: the lock is what counts. */
struct ring_owner {
    _Atomic int32_t pid;
    _Atomic uint32_t attach_count;
    _Atomic uint64_t start_ticks; /* of that pid, field 22 of /proc/<pid>/stat */
    _Atomic int64_t heartbeat_ns; /* monotonic */
    char build[32];               /* version of the program */
};

struct ring_header {
    struct ring_identity identity;
    alignas(128) struct ring_state state;
    alignas(128) struct ring_end producer;           /* pos is the tail */
    alignas(128) struct ring_slot producer_slots[2]; /* pair with producer.pos */
    alignas(128) struct ring_end consumer;           /* pos is the release position */
    alignas(128) struct ring_slot consumer_slots[2]; /* kept for a consumer's state; zero today */
    alignas(128) struct ring_owner producer_owner;
    alignas(128) struct ring_owner consumer_owner;
    alignas(128) uint8_t zero[RING_HEADER_BYTES - 0x400];
};

#define RING_ALIGN 32U

#define RING_PAD   0xFFFFU /* type: skip to the end of the data area */
#define RING_FIRST 0x0001U /* flag: first fragment of a message */
#define RING_LAST  0x0002U /* flag: last fragment */

/* What flags a record may carry in the ring. */
#define RING_FLAGS_STORED (RING_FIRST | RING_LAST | 0x0004U | 0x0008U)

/* Stands in front of every record, 32-aligned, so it never crosses a line or the end. */
struct ring_record {
    uint32_t len; /* payload bytes; of a PAD: all that is left to the end, less this header */
    uint16_t type;
    uint16_t flags;
    uint64_t seq; /* 1, 2, 3 ...; a PAD has that of the record that follows it */
    uint64_t src_pos;
    uint32_t table_id;
    uint32_t crc32c; /* of the header up to here and the payload; 0 without RING_FLAG_CHECKSUM */
};

/* The first eight bytes of a record's header. */
static inline uint64_t
ring_head_word(uint32_t len, uint32_t type, uint32_t flags)
{
    return (uint64_t)flags << 48 | (uint64_t)type << 32 | len;
}

/* Bytes a record of len payload bytes takes in the ring. */
static inline uint64_t
ring_record_size(uint64_t len)
{
    return (sizeof(struct ring_record) + len + (RING_ALIGN - 1)) & ~(uint64_t)(RING_ALIGN - 1);
}

/* Byte of the file that an end locks while it lives. */
#define RING_LOCK_PRODUCER 0
#define RING_LOCK_CONSUMER 1

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the futex word is the low half");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
              "atomics shared by processes must be address-free");
static_assert(offsetof(struct ring_identity, crc32c) == 0x58, "identity");
static_assert(offsetof(struct ring_header, state) == 0x080, "state");
static_assert(offsetof(struct ring_header, producer) == 0x100, "producer");
static_assert(offsetof(struct ring_header, producer_slots) == 0x180, "producer slots");
static_assert(offsetof(struct ring_header, consumer) == 0x200, "consumer");
static_assert(offsetof(struct ring_header, consumer_slots) == 0x280, "consumer slots");
static_assert(offsetof(struct ring_header, producer_owner) == 0x300, "producer owner");
static_assert(offsetof(struct ring_header, consumer_owner) == 0x380, "consumer owner");
static_assert(sizeof(struct ring_slot) == 64, "a slot is a line");
static_assert(sizeof(struct ring_owner) <= 128, "an owner is a block");
static_assert(sizeof(struct ring_header) == RING_HEADER_BYTES, "header");
static_assert(sizeof(struct ring_record) == RING_ALIGN, "a pad always fits");

#endif
