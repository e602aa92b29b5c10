/*
 * lanes - who may be sent next: at most one unacknowledged record per partition key.
 *
 * Each key has a queue of units; its head is the only one that may be in flight.  A key whose
 * head is not in flight is ready and stands in the lane of its shard; lanes_take() fills a
 * request from the ready keys, lane after lane, one key at a time.  A failed unit stays the head
 * of its key, and the key goes back to the front of its lane: only its own followers wait.
 *
 * A key is known by its 128-bit hash alone.  Two texts with one hash would share a queue, which
 * delays and never reorders; they belong to the same shard anyway.
 *
 * A lane that is throttled pauses for a random time, and has fewer records in flight
 * afterwards; what is stored lets it grow again.  Keys that have nothing to send are remembered
 * for a while (as many as the window has units) with the sequence number of their last
 * record: the next one must be higher.
 *
 * Pure bookkeeping: no clock, no input or output; times are given in.  Allocation: at
 * lanes_open() and when the shards change.
 */
#ifndef WEIR_SHIPPER_LANES_H
#define WEIR_SHIPPER_LANES_H

#include "shipper/kinesis/client.h"
#include "shipper/kinesis/shard_map.h"
#include "shipper/window.h"

struct lanes;
struct sequence;

struct lanes_config {
    uint32_t keys;         /* the window's units */
    uint32_t target_bytes; /* of a request: it is full when the next record would pass this */
    uint64_t seed;         /* of the jitter */
};

/* Units that go out in one request. */
struct batch {
    struct unit *units[KINESIS_MAX_RECORDS];
    size_t n;
    uint64_t bytes; /* data and keys */
    bool is_fresh;  /* some unit's last outcome is unknown: use a new connection */
};

int lanes_open(const struct lanes_config *config, struct lanes **out, struct err *e);
void lanes_close(struct lanes **pointer);

/* Lays the lanes out anew for another shard map, which must outlive the next call. */
int lanes_set_shards(struct lanes *l, const struct shard_map *map, struct err *e);

/* Queues a unit behind the others of its key.  Lanes must be laid out. */
void lanes_add(struct lanes *l, struct unit *u);

/* Ready keys in lanes that do not pause. */
uint32_t lanes_sendable(struct lanes *l, int64_t now_ns);

/* When the next pause ends (monotonic ns), or INT64_MAX. */
int64_t lanes_next_resume(const struct lanes *l);

/* Fills b with up to limit units; all of them are in flight then.  Returns b->n. */
size_t lanes_take(struct lanes *l, int64_t now_ns, size_t limit, struct batch *b);

/* Each unit of a batch gets exactly one of the following.  lanes_answer() comes before them. */
void lanes_answer(struct lanes *l);

/* Stored.  False when the number is not above that of the key's last record. */
bool lanes_stored(struct lanes *l, struct unit *u, const struct sequence *number);

enum lanes_trouble {
    LANES_THROTTLED, /* by the shard: the lane pauses and slows down */
    LANES_FAILED,    /* inside the shard: the lane pauses shortly */
    LANES_RETURNED,  /* the request failed as a whole: no fault of the lane */
};

/* Not stored, or not known to be.  To be called for a batch's units from the last to the first. */
void lanes_failed(struct lanes *l, struct unit *u, enum lanes_trouble trouble, int64_t now_ns);

/* The shard that u is expected in: index into the shard map. */
size_t lanes_shard_of(const struct lanes *l, const struct unit *u);

/* Units in flight, for checks. */
uint32_t lanes_in_flight(const struct lanes *l);

#endif
