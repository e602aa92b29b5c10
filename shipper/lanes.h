/*
 * lanes - who may be sent next: at most one unacknowledged Kinesis record per key.
 *
 * Each key has a queue of units; only its front may be in flight.  A key with nothing in flight
 * is ready and stands in the lane of its shard; lanes_take() fills a request from the ready keys,
 * lane after lane, one key at a time.  What failed stays the front of its key, and the key goes
 * back to the front of its lane: only its own followers wait.
 *
 * What a key is, and how much of it may be in flight, is the task's choice (Weir.Ordering):
 *
 *   key    the partition key; one Kinesis record of it at a time
 *   row    the row, for records that name one (record_head.row): a partition key that many rows
 *          share may have records of different rows under way together
 *   final  the partition key; several Kinesis records of it in one request.  When one of them
 *          fails, it and all behind it go again, stored or not: the last record of a key is
 *          right when all is done, those before it may come twice and out of turn
 *
 * With packing (pack.h), the waiting units of a key travel together in one Kinesis record, which
 * is stored or not as a whole: a key may then fill its shard, and its order holds all the same.
 *
 * A key is known by its 128-bit hash alone.  Two texts with one hash would share a queue, which
 * delays and never reorders; they belong to the same shard anyway, but never to one record.
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
#include "shipper/pack.h"
#include "shipper/shard_map.h"
#include "shipper/window.h"

struct lanes;
struct sequence;

struct lanes_config {
    uint32_t keys;         /* the window's units */
    uint32_t target_bytes; /* of a request: it is full when the next record would pass this */
    uint64_t seed;         /* of the jitter */
    enum ordering ordering;
    enum packing packing;
};

/* What goes out in one request; parcels of one key stand side by side, in order. */
struct batch {
    struct parcel parcels[TARGET_MAX_RECORDS];
    size_t n;
    uint64_t bytes; /* data and partition keys */
    bool is_fresh;  /* some parcel's last outcome is unknown: use a new connection */
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

/* Packed records have at most this many bytes (data and partition key) and units.  Without a call:
   one unit.  A unit that is larger than that goes alone. */
void lanes_set_pack_limit(struct lanes *l, uint32_t bytes, uint32_t units);

/* Fills b with up to limit parcels; all of them are in flight then.  Returns b->n. */
size_t lanes_take(struct lanes *l, int64_t now_ns, size_t limit, struct batch *b);

/* Each parcel of a batch gets exactly one of lanes_stored() and lanes_failed(); those of one key
   in their order.  lanes_answer() comes before them. */
void lanes_answer(struct lanes *l);

enum lanes_verdict {
    LANES_DONE,    /* its units may be acknowledged */
    LANES_BREACH,  /* the same, but its number is not above that of the key's last record */
    LANES_REPEATS, /* ordering final: one before it failed, so it goes again; acknowledge nothing */
};

enum lanes_verdict
lanes_stored(struct lanes *l, const struct parcel *p, const struct sequence *number);

enum lanes_trouble {
    LANES_THROTTLED, /* by the shard: the lane pauses and slows down */
    LANES_FAILED,    /* inside the shard: the lane pauses shortly */
    LANES_RETURNED,  /* the request failed as a whole: no fault of the lane */
};

/* Not stored, or not known to be.  Different keys from a batch's last to its first, so that the
   oldest is in front again. */
void
lanes_failed(struct lanes *l, const struct parcel *p, enum lanes_trouble trouble, int64_t now_ns);

/* Takes out the front unit of a key that has nothing in flight: it will never be sent. */
void lanes_drop(struct lanes *l, struct unit *u);

/* The shard that p is expected in: index into the shard map. */
size_t lanes_shard_of(const struct lanes *l, const struct parcel *p);

/* Kinesis records in flight, for checks. */
uint32_t lanes_in_flight(const struct lanes *l);

#endif
