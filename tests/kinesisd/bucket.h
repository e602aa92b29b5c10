/*
 * bucket - one refilling token bucket with the clock handed in.
 *
 * Holds one second of its rate at most.  An amount larger than the bucket is admitted when the
 * bucket is full and leaves a debt, so that a 10 MiB record passes a 1 MiB/s shard once and is
 * paid for afterwards, as AWS describes for large records.
 */
#ifndef KINESISD_BUCKET_H
#define KINESISD_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Rates above this are clipped: level arithmetic stays inside 63 bits. */
#define BUCKET_RATE_MAX 4000000000LL

struct bucket {
    int64_t rate;  /* tokens per second */
    int64_t level; /* tokens times 10^9 */
    int64_t at_ns; /* when level was true */
};

/* Full at now_ns. */
void bucket_init(struct bucket *b, int64_t rate, int64_t now_ns);

/* Changes the rate; the level is kept but cut to the new capacity. */
void bucket_set_rate(struct bucket *b, int64_t rate);

/* True when amount may be taken now.  Nothing is taken. */
bool bucket_admits(struct bucket *b, int64_t amount, int64_t now_ns);

/* Takes amount, which bucket_admits() has just granted. */
void bucket_take(struct bucket *b, int64_t amount);

#endif
