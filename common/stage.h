/*
 * stage - what the three programs share: arguments, task file, signals, statistics, exit codes.
 *
 * stage_main() parses "weir-<name> TASK [-i N] [--log-level L]", loads the task file, makes the
 * directories and the statistics file, runs def->run once and turns its result into an exit
 * status: 0 after a stop by signal or the end of a full load, 75 restart, 78 operator.
 */
#ifndef WEIR_STAGE_H
#define WEIR_STAGE_H

#include "common/topology.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct stats;
struct task;

struct stage {
    char name[64];  /* "capture", "encoder.0" */
    uint32_t index; /* -i N */
    struct task *task;
    struct stats *stats;
    int stop_fd; /* readable once a stop was asked for; for poll and epoll */
};

struct stage_def {
    const char *name;  /* "capture" */
    bool is_indexed;   /* takes -i N */
    const char *about; /* one sentence for --help */
    int (*run)(struct stage *stage, struct err *e);
};

int stage_main(int argc, char **argv, const struct stage_def *def);

/* True once SIGTERM or SIGINT came. */
bool stage_stopping(const struct stage *stage);

/* Sleeps up to ms, less when a stop is asked for.  Returns stage_stopping(). */
bool stage_sleep(const struct stage *stage, uint32_t ms);

/* Exponential backoff with full jitter: base, 2 base, ... up to cap. */
struct stage_backoff {
    uint32_t base_ms;
    uint32_t cap_ms;
    uint32_t tries;
};

uint32_t stage_backoff_next(struct stage_backoff *b);
void stage_backoff_reset(struct stage_backoff *b);

/*
 * Waits until capture has written a topology that agrees with the task file (encoders,
 * shippers).  -1 with ERR_STOPPED when a stop is asked for.
 */
int stage_wait_topology(struct stage *stage, struct topology *out, struct err *e);

#endif
