/*
 * checkpoint - the durable position of one shipper: everything up to it is acknowledged.
 *
 * <state>/checkpoint.<generation>.<shipper>.json, replaced by write, fsync, rename, fsync of
 * the directory.  The task's position is the minimum over the shippers.
 */
#ifndef WEIR_CHECKPOINT_H
#define WEIR_CHECKPOINT_H

#include "common/position.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct task;
struct topology;

struct checkpoint {
    uint64_t generation;
    uint32_t shipper;
    struct position position;
    int64_t commit_real_ns; /* source commit time at position; 0 = unknown */
    int64_t written_real_ns;
};

int checkpoint_write(const struct task *t, const struct checkpoint *c, struct err *e);

/* ERR_NOT_FOUND, ERR_LAYOUT (damaged: the hint says what can be done). */
int checkpoint_read(const struct task *t, uint64_t generation, uint32_t shipper,
                    struct checkpoint *out, struct err *e);

/*
 * The task's position: the minimum over the shippers of the topology, where a shipper
 * without a checkpoint counts as the topology's baseline.  *out is zero when the task has
 * to start from scratch.
 */
int checkpoint_task_position(const struct task *t, const struct topology *topo,
                             struct position *out, struct err *e);

/* The same with its commit time: 0 when it is not known, or when there is no checkpoint yet. */
int checkpoint_task_lowest(const struct task *t, const struct topology *topo,
                           struct position *position, int64_t *commit_real_ns, struct err *e);

#endif
