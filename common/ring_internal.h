/*
 * ring_internal - what the ring's own files share: the handle of one end, and the steps of
 * opening.  Included by common/ring*.c and by the ring's tests only.
 */
#ifndef WEIR_RING_INTERNAL_H
#define WEIR_RING_INTERNAL_H

#include "common/err.h"
#include "common/ring.h"
#include "common/ring_layout.h"

#include <sys/types.h>

/*
 * Private to the process, so that a crash leaves nothing of it behind: all of it is rebuilt
 * from the shared header by the next attach.
 *
 * Producer: tail <= pos; [tail, pos) is committed and not published.
 * Consumer: shared_release <= release <= read <= peer; [shared_release, release) is given
 * back by the caller and not yet by us.
 */
struct ring {
    /* Touched with every record. */
    uint8_t *data;
    uint64_t mask; /* capacity - 1 */
    uint64_t capacity;
    uint64_t peer;     /* last seen position of the other side: spares reading its line */
    uint64_t seq;      /* producer: of the last record; consumer: of the last one read, 0 = none */
    uint64_t pos;      /* producer: write cursor; consumer: read cursor */
    uint64_t tail;     /* producer: as published */
    uint64_t reserved; /* producer: payload bytes of the open reservation + 1, 0 = none open */
    uint64_t release;  /* consumer */
    uint64_t shared_release; /* consumer */
    uint64_t pad;            /* producer: bytes to skip before the reserved record; mostly 0 */
    uint64_t tail_seq;       /* producer: of the last record published */
    uint32_t max_record;
    bool checksum;
    struct ring_header *header;

    /* Producer: slot in force. */
    uint32_t slot_index;
    uint32_t slot_count;
    struct ring_source source;

    /* Consumer: where a message in fragments is put together. */
    uint8_t *assembly;
    size_t assembly_size;

    enum ring_role role;
    int fd; /* carries the lock; -1 when the mapping is borrowed (tests) */
    dev_t dev;
    ino_t ino;
    char *path;
};

/* A ring file, opened, locked for a role and mapped. */
struct ring_file {
    int fd;
    dev_t dev;
    ino_t ino;
    struct ring_header *header;
};

/* ring_file.c */

/* Refuses a config no ring can have, and a directory others can write to. */
int ring_file_check_place(const struct ring_config *config, struct err *e);
/* 1 = opened, 0 = no such file (or it was replaced meanwhile), -1 = refused. */
int ring_file_open(const struct ring_config *config, enum ring_role role, struct ring_file *out,
                   struct err *e);
/* 1 = created and locked, 0 = somebody else was first, -1 = error.  With old: takes its place. */
int ring_file_create(const struct ring_config *config, struct ring_file *old, struct ring_file *out,
                     struct err *e);
void ring_file_close(struct ring_file *f);
/* Whether path still names the file. */
bool ring_file_is_named(const char *path, dev_t dev, ino_t ino);

/* ring_identity.c */

void ring_identity_fill(struct ring_identity *id, const struct ring_config *config, uint64_t epoch);
/* Judges 4096 bytes read from the start of a file of size bytes.  config NULL: any task's. */
int ring_identity_check(const struct ring_identity *id, size_t have, uint64_t size,
                        const char *path, const struct ring_config *config, struct err *e);

/* ring_slot.c */

struct ring_slot_copy {
    uint64_t pos;
    uint64_t seq;
    uint32_t count;
    struct ring_source source;
};

/* Ends with the store of the position, which makes the slot count. */
void ring_slot_store(struct ring_slot *slot, const struct ring_slot_copy *from);
/* False when the slot is torn or was never written. */
bool ring_slot_load(struct ring_slot *slot, struct ring_slot_copy *to);
/* Index of the slot in force at pos, or -1. */
int ring_slot_find(struct ring_header *h, uint64_t pos, struct ring_slot_copy *to);

/* ring.c */

/* Makes a handle over a checked mapping; takes no ownership of it.  ERR_CORRUPT, ERR_NOMEM. */
int ring_handle_new(struct ring_header *h, enum ring_role role, const char *path, struct ring **out,
                    struct err *e);
/* CORRUPT or RETIRED when the ring is no longer open. */
int ring_state_error(const struct ring *r, struct err *e);

/* ring_producer.c */

/* Bytes that a message of len payload bytes takes from pos on, its pads and headers included. */
uint64_t ring_message_need(const struct ring *r, uint64_t len);
/* Whether need bytes are free, looking at the consumer's position when the copy says no. */
bool ring_has_room(struct ring *r, uint64_t need);

/* ring_consumer.c */

/* Stores the release position if any of it is held back. */
void ring_flush_release(struct ring *r);
/* Whether unread bytes are published. */
bool ring_has_data(struct ring *r);

/* ring_wait.c */

/*
 * Full barrier between a store and a later load of what the other side stores.
 * ThreadSanitizer knows no fences; the instruction alone keeps the machine right without
 * telling it of an order that the positions themselves must give.
 */
static inline void
ring_fence(void)
{
#if defined(__SANITIZE_THREAD__) && defined(__x86_64__)
    __asm__ volatile("mfence" ::: "memory");
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Mutant: the look at the waiting word overtakes the store, as it may where no fence is. */
bool ring_looked_too_early(const struct ring_end *side);
/* Wakes the side that `side` belongs to, asleep on `word`, if its waiting word says so. */
void ring_wake_if_waiting(struct ring_end *side, _Atomic uint64_t *word);
/* Longest sleep before a waiter looks for itself: a peer killed between store and wake owes one. */
#define RING_WAIT_SLICE_MS 100
/* Wakes whoever sleeps on the word, asked or not. */
void ring_wake_all(_Atomic uint64_t *word);

#ifdef WEIR_FAULTS
/* Smallest capacity accepted: tests lower it to see many wraps. */
extern uint64_t ring_capacity_floor;
/* Longest sleep before a waiter looks again: tests make it so long that a lost wake shows. */
extern int ring_wait_slice_ms;
/* Looks before the first sleep. */
extern int ring_wait_spins;
#else
#define ring_wait_slice_ms  RING_WAIT_SLICE_MS
#define ring_capacity_floor RING_CAPACITY_MIN
#endif

/*
 * tests/crash/ring_mutants.sh builds the ring with one protocol step broken and proves that
 * a named test notices.  Release builds have no mutants.
 */
#if !defined(WEIR_FAULTS) || !defined(RING_MUTANT)
#undef RING_MUTANT
#define RING_MUTANT 0
#endif

#define RING_MUTANT_SLOT_AFTER_TAIL   1
#define RING_MUTANT_SINGLE_SLOT       2
#define RING_MUTANT_RELEASE_FIRST     3 /* lives in the crash harness's stage */
#define RING_MUTANT_NO_WRAP_ROOM      4
#define RING_MUTANT_EARLY_LOOK        5
#define RING_MUTANT_RELAXED_TAIL      6
#define RING_MUTANT_RELAXED_RELEASE   7
#define RING_MUTANT_RELAXED_TAIL_LOAD 8
#define RING_MUTANT_RELAXED_ROOM_LOAD 9
#define RING_MUTANT_NO_LOCK           10

#endif
