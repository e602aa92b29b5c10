/*
 * progress - when and what to write into the shipper's durable checkpoint.
 *
 * The checkpoint is the lowest of the watermarks that every channel has passed.  It is written
 * at most once an interval, and never goes back: what a former life of this shipper wrote
 * stays true.
 *
 * Whether the checkpoint or the rings' release goes first does not matter.  Released and not
 * written: a cold start repeats what is stored.  Written and not released: a warm start
 * sends again what is stored.  Both claim only what Kinesis has acknowledged, so neither loses.
 *
 * Blocking: progress_note() while it writes (a few fsyncs).
 */
#ifndef WEIR_SHIPPER_PROGRESS_H
#define WEIR_SHIPPER_PROGRESS_H

#include "shipper/window.h"

struct stage;
struct topology;

struct progress {
    const struct stage *stage;
    uint64_t generation;
    struct position written; /* zero = nothing yet */
    int64_t next_ns;         /* no write before */
    int64_t interval_ns;
    uint64_t n_written; /* by this process */
};

/* Reads what is there.  ERR_CORRUPT, ERR_IO. */
int progress_open(struct progress *p, const struct stage *stage, const struct topology *topology,
                  struct err *e);

/*
 * Writes a checkpoint when the passed watermarks allow a higher one and the interval is over, or
 * at once when is_last.  1 = written, 0 = not now.  ERR_NOSPACE, ERR_ACCESS, ERR_IO.
 */
int progress_note(struct progress *p, const struct window *w, int64_t now_ns, bool is_last,
                  struct err *e);

#endif
