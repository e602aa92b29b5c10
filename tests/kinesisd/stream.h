/*
 * stream - one stream: its shards, who is whose parent, and which shard a hash belongs to.
 *
 * Shards are numbered in order of creation and never leave the list; a closed shard keeps its
 * records.  The open shards partition the hash space at every instant.  A child's creation second
 * is above its parents', which keeps sequence numbers of one key rising across a reshard.
 *
 * Changes take `delay_ms` (status UPDATING meanwhile, writes still go to the parents) and happen in
 * stream_advance(), which callers run before they look.
 */
#ifndef KINESISD_STREAM_H
#define KINESISD_STREAM_H

#include "tests/kinesisd/bucket.h"
#include "tests/kinesisd/hashkey.h"
#include "tests/kinesisd/sequence.h"
#include "tests/kinesisd/shardlog.h"

#include <stdbool.h>
#include <stdint.h>

#define STREAM_NAME_MAX     128
#define STREAM_ARN_MAX      256
#define STREAM_NONE         UINT32_MAX
#define STREAM_SHARD_ID_MAX 21

enum stream_status { STREAM_CREATING, STREAM_ACTIVE, STREAM_UPDATING, STREAM_DELETING };

/* What is known of each stream beside its shards. */
struct stream_limits {
    int64_t shard_records_per_s;
    int64_t shard_bytes_per_s;
    uint64_t keep; /* records visible per shard */
};

struct shard {
    char id[STREAM_SHARD_ID_MAX]; /* "shardId-000000000001" */
    uint32_t number;
    uint32_t parent;   /* STREAM_NONE = none */
    uint32_t adjacent; /* second parent of a merge */
    uint32_t child;    /* first shard made of it */
    uint32_t child2;   /* second one of a split */
    bool is_closed;
    uint128 start;
    uint128 end; /* inclusive */
    uint64_t created_s;
    int64_t opened_ms;
    int64_t closed_ms;
    struct shardlog log;
    struct bucket records;
    struct bucket bytes;
    struct bucket read_calls;
    struct bucket read_bytes;
    uint64_t throttled;
};

enum stream_change {
    CHANGE_NONE,
    CHANGE_CREATE,
    CHANGE_DELETE,
    CHANGE_SPLIT,
    CHANGE_MERGE,
    CHANGE_RESIZE,
    CHANGE_SETTING
};

struct stream {
    char name[STREAM_NAME_MAX + 1];
    char arn[STREAM_ARN_MAX];
    enum stream_status status;
    bool is_on_demand;
    uint32_t max_record_kib;
    uint32_t retention_h;
    int64_t created_ms;
    struct stream_limits limits;
    struct shard **shards;
    uint32_t shard_count;
    struct shard **open; /* by start hash */
    uint32_t open_count;
    /* The change under way. */
    enum stream_change change;
    int64_t due_ms;
    uint32_t change_shard;
    uint32_t change_adjacent;
    uint128 change_hash;
    uint32_t change_count;
    /* UpdateShardCount calls of the last 24 hours. */
    int64_t resized_ms[16];
};

/* A stream of n equal shards, in status CREATING until due_ms. */
struct stream *stream_new(const char *name, const char *arn, uint32_t n,
                          const struct stream_limits *limits, int64_t now_ms, int64_t due_ms);
void stream_free(struct stream **s);

const char *stream_status_name(const struct stream *s);

/* True when records may be put and read: ACTIVE or UPDATING. */
bool stream_is_usable(const struct stream *s);

/* The open shard that owns the hash. */
struct shard *stream_route(const struct stream *s, uint128 hash);

/* NULL when there is no such shard.  Accepts "shardId-000000000001" and plain digits. */
struct shard *stream_find_shard(const struct stream *s, const char *id);

/* STREAM_SHARD_ID_MAX bytes, terminator included. */
void stream_shard_id(uint32_t number, char *out);

/* Starts a change: status UPDATING (or DELETING) until due_ms. */
void stream_begin(struct stream *s, enum stream_change change, int64_t due_ms);

/* Carries out a change whose time has come.  Returns false when the stream is to be removed. */
bool stream_advance(struct stream *s, int64_t now_ms);

/* Sequence number of the record at log index i of the shard, and of the range's two ends. */
size_t stream_sequence(const struct shard *sh, uint64_t index, int64_t arrival_ms, char *out);
size_t stream_sequence_start(const struct shard *sh, char *out);
size_t stream_sequence_end(const struct shard *sh, char *out);

/* Applies new rates to all shards. */
void stream_set_rates(struct stream *s, int64_t records_per_s, int64_t bytes_per_s);

#endif
