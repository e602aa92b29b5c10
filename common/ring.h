/*
 * ring - single-producer single-consumer ring of variable-length records in shared memory.
 *
 * One file per ring on tmpfs.  One process attaches as producer, one as consumer; an OFD
 * byte lock on the file enforces it.  A record exists once the tail covers it: the tail
 * store is the only commit.  Positions are byte counts that never wrap.  What the consumer
 * was given stays in place until ring_release() passes it.
 *
 * The producer's commit slot goes out with the tail and says where in its own input the
 * producer stood (struct ring_source); after any death it is read back by ring_source().
 *
 * Blocking: only ring_wait_*.  Allocation: only while attaching and for the assembly of
 * fragmented messages.  Thread use: one thread per end.
 * Layout and protocol: common/README.md, section "The ring".
 */
#ifndef WEIR_RING_H
#define WEIR_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct ring;

enum ring_role { RING_PRODUCER, RING_CONSUMER };

enum ring_type { RING_DATA = 1, RING_CONTROL = 2 };

#define RING_TXN_BEGIN 0x0004U
#define RING_TXN_END   0x0008U
/* Set in a view whose data was put together from fragments: valid until the next ring_next(). */
#define RING_ASSEMBLED 0x8000U

#define RING_CAPACITY_MIN (1ULL << 20)
#define RING_CAPACITY_MAX (1ULL << 30)

struct ring_config {
    const char *path;       /* the file; its directory must exist */
    const char *name;       /* at most 31 bytes, for people ("change.0") */
    uint64_t capacity;      /* bytes, power of two, RING_CAPACITY_MIN..MAX; used when creating */
    uint64_t generation;    /* of the task: a ring of another generation is refused (ERR_LAYOUT) */
    uint32_t record_format; /* version of what the records hold; must match */
    bool checksum;          /* CRC32C over each record, written and checked */
};

/* Where the producer stood in its input when it published. */
struct ring_source {
    uint64_t epoch;    /* of the input ring; 0 when the input is a database */
    uint64_t words[4]; /* the input position, as the producer defines it */
};

struct ring_meta {
    uint16_t type;     /* enum ring_type */
    uint16_t flags;    /* RING_TXN_* */
    uint32_t table_id; /* 0 = none */
    uint64_t src_pos;  /* free for the producer: where the record came from */
};

struct ring_view {
    const void *data;
    uint32_t len;
    uint16_t type;
    uint16_t flags;
    uint32_t table_id;
    uint64_t seq;
    uint64_t src_pos;
    uint64_t start; /* position of the record (of its first fragment) */
    uint64_t end;   /* what to give ring_release() when done with it */
};

/*
 * Opens the ring as its producer, creating the file when it is absent (*created).
 * A file whose ring was poisoned or retired is replaced by a fresh one (*created too).
 * An existing good ring keeps its own capacity whatever config says.
 * Errors: ERR_BUSY (another producer lives), ERR_LAYOUT (foreign, truncated, other version,
 * generation or record format), ERR_CORRUPT (positions or slots make no sense: now poisoned,
 * replaced on the next attach), ERR_NOSPACE, ERR_ACCESS (mode, owner), ERR_CONFIG, ERR_IO.
 */
int ring_open_producer(const struct ring_config *config, struct ring **out, bool *created,
                       struct err *e);

/*
 * Opens as consumer.  ERR_NOT_FOUND while the producer has not made the file yet, and while
 * what lies there is poisoned or retired and waits for the producer to replace it.
 */
int ring_open_consumer(const struct ring_config *config, struct ring **out, struct err *e);

/* Unmaps and gives the lock back.  *r becomes NULL.  What is unpublished never existed. */
void ring_close(struct ring **r);

uint64_t ring_epoch(const struct ring *r);
uint64_t ring_capacity(const struct ring *r);
uint64_t ring_tail(const struct ring *r);        /* published */
uint64_t ring_release_pos(const struct ring *r); /* authoritative release position */
uint32_t ring_max_record(const struct ring *r);  /* payload bytes of one record: capacity/8 - 32 */
uint64_t
ring_max_message(const struct ring *r); /* payload bytes, in fragments: capacity/2 less headers */

/* ---- producer ---- */

/* The source published with the current tail.  False when nothing was ever published. */
bool ring_source(const struct ring *r, struct ring_source *out);

/*
 * Room for one record of up to len payload bytes (<= ring_max_record), contiguous and
 * 8-aligned, at *out.  1 = yes, 0 = no room now, -1 = len too large or ring poisoned (see e).
 * Nothing is stored before the room is certain.
 */
int ring_reserve(struct ring *r, uint32_t len, void **out, struct err *e);

/* Ends the reservation with the first len bytes of it.  Not visible before ring_publish(). */
void ring_commit(struct ring *r, const struct ring_meta *meta, uint32_t len);

/*
 * Copies a message of any length up to ring_max_message(), cutting it into fragments where
 * needed: all of it or nothing.  1 = stored, 0 = no room now, -1 = error.
 */
int ring_write(struct ring *r, const struct ring_meta *meta, const void *data, uint64_t len,
               struct err *e);

/*
 * Makes everything committed visible together with the source.  Also moves the slot when
 * nothing was committed since, provided src differs: a filter must not stand still.
 * src must never go back: who reads its input again after a restart does not publish to a
 * ring until it has passed what that ring's slot said.
 */
void ring_publish(struct ring *r, const struct ring_source *src);

/* Payload and header bytes committed but not yet published. */
uint64_t ring_pending(const struct ring *r);

/* True when a batch is worth publishing under load (64 records or 16 KiB pending). */
bool ring_publish_due(const struct ring *r);

/* ---- consumer ---- */

/*
 * 1 = message in *v, 0 = none now, -1 = corrupt, poisoned or retired (see e).  Does not block.
 * A closed ring is drained first: -1 comes when nothing is left.
 */
int ring_next(struct ring *r, struct ring_view *v, struct err *e);

/*
 * Gives back everything before pos, which must be an `end` handed out before; never backwards.
 * The other side sees it in steps of an eighth of the ring, and at once when ring_next() finds
 * nothing, in ring_wait_*(), ring_heartbeat() and ring_close().
 */
void ring_release(struct ring *r, uint64_t pos);

/* ---- both ---- */

/*
 * Waits until one of n rings has unread data or timeout_ms passed.  True when there is data.
 * Both waits also end, with true, when a ring is poisoned or retired: the next call on it
 * says so.  Held-back releases are stored first.
 */
bool ring_wait_data(struct ring *const *rings, int n, int timeout_ms);

/*
 * Waits until a message of bytes payload (<= ring_max_message) fits or timeout_ms passed.
 * True when it fits.  Publish first what is pending: the consumer cannot free what it has
 * not seen.
 */
bool ring_wait_room(struct ring *r, uint64_t bytes, int timeout_ms);

/*
 * To be called about every 100 ms: writes the heartbeat, and checks that the path still
 * names this file and that nobody poisoned it.  Errors: ERR_RETIRED, ERR_CORRUPT.
 */
int ring_heartbeat(struct ring *r, struct err *e);

/* Declares the content worthless; the producer recreates the ring at its next attach. */
void ring_poison(struct ring *r, uint32_t reason);

/* ---- a third party that only looks ---- */

struct ring_info {
    char name[32];
    uint64_t capacity;
    uint64_t epoch;
    uint64_t generation;
    uint64_t tail;
    uint64_t release;
    uint32_t state; /* 0 open, 1 retired, 2 poisoned */
    bool producer_alive;
    bool consumer_alive;
    int32_t producer_pid;
    int32_t consumer_pid;
    int64_t producer_heartbeat_ns; /* monotonic */
    int64_t consumer_heartbeat_ns;
    struct ring_source source; /* of the newest commit slot */
};

/* Maps read-only, copies, unmaps.  ERR_NOT_FOUND, ERR_LAYOUT, ERR_CORRUPT. */
int ring_inspect(const char *path, struct ring_info *out, struct err *e);

#endif
