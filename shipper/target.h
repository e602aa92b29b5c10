/*
 * target - where records go: what the shipper asks of it, and what it gets back.
 *
 * Order, holds, retries, acknowledgement and back-pressure are the shipper's; a target moves
 * requests and tells what became of each record.  Requests are answered in any order, and each
 * exactly once.  A target that takes parts of the keys independently says so by its shards; one
 * that does not has one shard.
 *
 * One target is one struct target_ops in its own folder and one line in target.c.
 *
 * Thread use: one thread.  Blocking: poll(), up to its time-out.
 */
#ifndef WEIR_SHIPPER_TARGET_H
#define WEIR_SHIPPER_TARGET_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct task;

#define TARGET_MAX_RECORDS   500 /* of one request */
#define TARGET_SHARD_ID_SIZE 129

struct target_entry {
    const void *data;
    const void *key; /* partition key: UTF-8, 1..256 characters */
    uint32_t data_size;
    uint32_t key_size;
};

enum target_outcome {
    TARGET_STORED,
    TARGET_THROTTLED, /* over the shard's limits: not stored */
    TARGET_INTERNAL,  /* the service failed: stored or not */
    TARGET_OTHER,     /* a code nobody documented for a record */
};

struct target_result {
    enum target_outcome outcome;
    const char *text; /* sequence number, or the error's code; not terminated */
    uint32_t text_size;
    const char *shard_id; /* not terminated; size 0 unless stored and told */
    uint32_t shard_id_size;
};

struct target_answer {
    void *tag; /* as given to put_start() */
    /*
     * True: results[0..n) hold an outcome for each entry.  False: the request failed as a
     * whole, and error says how.
     */
    bool is_answered;
    bool is_ambiguous; /* not answered, and the records may be stored or not */
    bool is_refused;   /* the target will never take this request: a bad member */
    struct err error;
    uint32_t retry_after_ms; /* the service's wish; 0 = none */
    const struct target_result *results;
    size_t n;
    int64_t elapsed_ns;
    size_t body_bytes;
    char request_id[64]; /* for the log; may be empty */
};

struct target_shard {
    char id[TARGET_SHARD_ID_SIZE];
    char parent[TARGET_SHARD_ID_SIZE]; /* "" = none */
    uint8_t first_hash[16];            /* big-endian, inclusive */
    uint8_t last_hash[16];
    bool is_open;
};

/* The target as it was last seen. */
struct target_state {
    bool is_open;              /* takes records */
    char text[64];             /* "ACTIVE", for people */
    char identity[40];         /* when it was made: tells one of a name from the next; "" = none */
    uint32_t max_record_bytes; /* data and partition key */
    uint32_t open_shards;      /* 0 = not told */
};

struct target_config {
    const struct task *task;
    uint32_t shipper;            /* number of this one */
    uint32_t requests_in_flight; /* at most */
    int wake_fd;                 /* ends a poll() when it becomes readable; -1 = none */
};

/* Begins a target's own struct. */
struct target {
    const struct target_ops *ops;
};

struct target_ops {
    const char *name; /* TargetEndpoint.EngineName */

    /* No network yet.  ERR_CONFIG, ERR_NOMEM, ERR_ACCESS, ERR_IO. */
    int (*open)(const struct target_config *config, struct target **out, struct err *e);
    void (*close)(struct target **t);

    /* What it is called in logs: an address, a directory. */
    const char *(*where)(const struct target *t);

    /* True when another put_start() is possible now. */
    bool (*put_possible)(const struct target *t);

    /* Starts one request of n records; entries are not needed afterwards.  fresh: the outcome of
       some record's last request is unknown, so no connection of that time may be used.  Nothing
       was sent when -1 is returned: ERR_CREDENTIALS, ERR_NOMEM, ERR_IO. */
    int (*put_start)(struct target *t, const struct target_entry *entries, size_t n, bool fresh,
                     void *tag, struct err *e);

    /* Moves everything on; returns after timeout_ms, or earlier when something came. */
    void (*poll)(struct target *t, int timeout_ms);

    /* One finished request, or NULL.  Valid until the next put_next() or put_start(). */
    const struct target_answer *(*put_next)(struct target *t);

    /* Asks for state and shards in the background: start, then next after each poll() until it
       answers 1 (*shards, in the order of their ranges, is the caller's to free) or -1.  0 = not
       yet.  An error of class OPERATOR means that the target must not be used. */
    int (*refresh_start)(struct target *t, struct err *e);
    int (*refresh_next)(struct target *t, struct target_state *state, struct target_shard **shards,
                        size_t *n, struct err *e);
};

/* NULL when there is no such target. */
const struct target_ops *target_find(const char *name);

extern const struct target_ops kinesis_target;
extern const struct target_ops file_target;

#endif
