/*
 * client - the Kinesis Data Streams API, as far as weir needs it, for one stream.
 *
 * Control calls block up to config.timeout_ms and answer with a struct err whose code says
 * what to do: ERR_CREDENTIALS (none found, refused, expired, not permitted), ERR_CLOCK (signed
 * with a clock that is off: the text names the offset), ERR_STREAM (no such stream, or not
 * usable yet), ERR_THROTTLED, ERR_SERVICE (5xx), ERR_PROTOCOL (an answer that makes no sense),
 * ERR_CONNECT, ERR_TIMEOUT, ERR_TLS.  err.sys is the HTTP status, 0 when there was no answer.
 *
 * PutRecords does not block: kinesis_put_start(), kinesis_poll(), kinesis_put_next().
 *
 * Expired credentials are read again and a clock that is off is corrected from the answers'
 * Date, each once per call, before an error is returned.
 *
 * Blocking: control calls, kinesis_poll() up to its time-out.  Thread use: one thread.
 * Source of the formats: Kinesis API reference 2013-12-02, protocol AWS JSON 1.1.
 */
#ifndef WEIR_KINESIS_CLIENT_H
#define WEIR_KINESIS_CLIENT_H

#include "common/err.h"
#include "shipper/target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kinesis;

#define KINESIS_MAX_REQUEST_BYTES (10U << 20) /* data before base64, plus partition keys */
#define KINESIS_SEQUENCE_SIZE     130

struct kinesis_config {
    const char *stream_arn;      /* names the region too; what requests carry */
    const char *endpoint_url;    /* "" = AWS_ENDPOINT_URL_KINESIS, AWS_ENDPOINT_URL, AWS's own */
    const char *ca_file;         /* "" = AWS_CA_BUNDLE, the system's */
    uint32_t timeout_ms;         /* of one request, connecting included */
    uint32_t requests_in_flight; /* PutRecords calls at once; 0 = control calls only */
    int wake_fd;                 /* kinesis_poll() also returns when this is readable; -1 = none */
};

/* Checks the ARN, makes the connections' pool, reads no credentials yet.  ERR_CONFIG, ERR_NOMEM. */
int kinesis_open(const struct kinesis_config *config, struct kinesis **out, struct err *e);
void kinesis_close(struct kinesis **pointer);

const char *
kinesis_endpoint(const struct kinesis *k); /* "https://kinesis.eu-west-1.amazonaws.com" */

/* Finds credentials now.  *source says where they came from ("environment", "profile default
   in /home/x/.aws/credentials"); valid until the next call.  ERR_CREDENTIALS. */
int kinesis_find_credentials(struct kinesis *k, const char **source, struct err *e);

/* Server's clock minus ours, as far as an answer has shown it; 0 before. */
int64_t kinesis_clock_offset_ns(const struct kinesis *k);

/* ---- control calls ---- */

enum kinesis_status {
    KINESIS_CREATING,
    KINESIS_ACTIVE,
    KINESIS_UPDATING, /* resharding: takes records as ACTIVE does */
    KINESIS_DELETING,
    KINESIS_STATUS_UNKNOWN,
};

struct kinesis_stream {
    enum kinesis_status status;
    char status_text[32];
    bool is_on_demand;
    bool ignores_keys;         /* RecordDistributionStrategy AUTO: no order by key exists */
    uint32_t open_shards;      /* 0 = not told */
    uint32_t max_record_bytes; /* data + partition key */
    uint32_t retention_hours;  /* 0 = not told */
    bool is_encrypted;
    char created[40]; /* StreamCreationTimestamp as the service says it; "" = not told */
};

int kinesis_describe(struct kinesis *k, struct kinesis_stream *out, struct err *e);

/* All pages.  *out is an array of *n in the order of first_hash; the caller frees it. */
int kinesis_list_shards(struct kinesis *k, bool open_only, struct target_shard **out, size_t *n,
                        struct err *e);

/*
 * The same two questions asked in the background, while PutRecords calls go on: start, then ask
 * kinesis_refresh_next() after each kinesis_poll() until it answers 1 (*shards is the caller's) or
 * -1.  0 = not yet.  No blocking control call may come in between.
 */
int kinesis_refresh_start(struct kinesis *k, struct err *e);
int kinesis_refresh_next(struct kinesis *k, struct kinesis_stream *stream,
                         struct target_shard **shards, size_t *n, struct err *e);

enum kinesis_start {
    KINESIS_START_OLDEST,  /* TRIM_HORIZON */
    KINESIS_START_LATEST,  /* LATEST */
    KINESIS_START_AT_TIME, /* AT_TIMESTAMP: real_ns */
    KINESIS_START_AFTER,   /* AFTER_SEQUENCE_NUMBER: sequence */
};

/* *out is a heap string the caller frees; good for five minutes (then ERR_STREAM from
   kinesis_get_records: ask again with KINESIS_START_AFTER). */
int kinesis_get_iterator(struct kinesis *k, const char *shard_id, enum kinesis_start start,
                         int64_t real_ns, const char *sequence, char **out, struct err *e);

struct kinesis_record {
    const uint8_t *data;
    size_t size;
    const char *partition_key;
    const char *sequence;
    int64_t arrival_real_ns; /* 0 = not told */
};

struct kinesis_batch {
    struct kinesis_record *records;
    size_t n;
    char *next_iterator; /* NULL: a closed shard was read to its end */
    int64_t behind_ms;   /* how far the batch's end is behind the shard's; -1 = not told */
    void *memory;        /* what records point into */
};

/* At most limit records (1..10000).  Free with kinesis_batch_free(), also after zero records. */
int kinesis_get_records(struct kinesis *k, const char *iterator, uint32_t limit,
                        struct kinesis_batch *out, struct err *e);
void kinesis_batch_free(struct kinesis_batch *b);

/*
 * Asks whether PutRecords would be permitted, with DryRun: nothing is written at AWS.
 * Emulators that do not know DryRun store the one record (key "weir-check", data "{}\n");
 * *was_written tells.
 */
int kinesis_probe_put(struct kinesis *k, bool *was_written, struct err *e);

/* ---- PutRecords ---- */

/* True when another kinesis_put_start() is possible now. */
bool kinesis_put_possible(const struct kinesis *k);

/*
 * Writes, signs and starts one PutRecords call; entries are not needed afterwards.
 * fresh asks for a new connection (after an ambiguous outcome).  ERR_CREDENTIALS when there
 * are none; ERR_NOMEM.  Nothing was sent when -1 is returned.
 */
int kinesis_put_start(struct kinesis *k, const struct target_entry *entries, size_t n, bool fresh,
                      void *tag, struct err *e);

/* Moves all connections on; returns after timeout_ms, or earlier when something came. */
void kinesis_poll(struct kinesis *k, int timeout_ms);

/* One finished call, or NULL.  Valid until the next kinesis_put_next() or kinesis_put_start(). */
const struct target_answer *kinesis_put_next(struct kinesis *k);

#endif
