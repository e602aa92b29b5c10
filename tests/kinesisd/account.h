/*
 * account - the streams of one account and region, by name and by ARN.
 *
 * Time is handed in: real milliseconds for what clients see.
 */
#ifndef KINESISD_ACCOUNT_H
#define KINESISD_ACCOUNT_H

#include "tests/kinesisd/stream.h"

struct err;

struct account {
    char id[16];
    char region[32];
    int64_t state_delay_ms; /* how long CREATING, UPDATING and DELETING last */
    struct stream_limits limits;
    struct stream **streams; /* by name */
    size_t stream_count;
};

/* Adds a stream, ACTIVE at now_ms + delay_ms.  The name must be new and valid. */
struct stream *
account_add(struct account *a, const char *name, uint32_t shards, int64_t now_ms, int64_t delay_ms);

/* NULL when there is none. */
struct stream *account_find(const struct account *a, const char *name);

/* Name pattern of AWS: [a-zA-Z0-9_.-]{1,128}. */
bool account_name_is_valid(const char *name);

/* Brings all streams up to now_ms; streams whose deletion is due disappear. */
void account_advance(struct account *a, int64_t now_ms);

/* Open shards of all streams. */
uint32_t account_open_shards(const struct account *a);

void account_free(struct account *a);

#endif
