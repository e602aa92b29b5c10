/*
 * snapshot - everything a task's files say at one moment, joined: stages, rings, tables.
 *
 * Only reads.  What is not there (a stage never started, a ring not made yet) is a row with
 * is_present false and the reason in problem.
 *
 * Ownership: snapshot_free() frees all.  Errors: ERR_NOMEM ends the program (CHECK).
 */
#ifndef WEIR_WEIRCTL_SNAPSHOT_H
#define WEIR_WEIRCTL_SNAPSHOT_H

#include "common/position.h"
#include "common/ring.h"
#include "common/stats.h"
#include "common/topology.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct task;

/* A stage that lives and has not shown a sign for so long is hung. */
#define SNAPSHOT_HUNG_NS 5000000000LL

enum stage_role { ROLE_CAPTURE, ROLE_ENCODER, ROLE_SHIPPER };

struct stage_row {
    enum stage_role role;
    char name[64];
    bool is_present;
    bool is_incompatible; /* a file of another release */
    char problem[256];
    struct stats_summary summary;
    struct stats_distribution distributions[HIST_COUNT];
    struct stats_error_view *errors;
    size_t n_errors;
    struct stats_alarm_view *alarms; /* raised ones, worst first */
    size_t n_alarms;
    json_t *unknown; /* counters of a newer release, from the file's own schema; may be NULL */
};

struct ring_row {
    char name[32];
    bool is_present;
    bool is_incompatible;
    char problem[256];
    struct ring_info info;
};

/* One table: capture's view of it and the sum over the shippers. */
struct table_row {
    uint32_t table_id;
    char name[257]; /* "schema.table" */
    enum table_state state;
    uint64_t captured[TSTAT_COUNT];
    uint64_t applied[TSTAT_COUNT];
    bool is_captured;             /* capture knows it */
    struct stats_position source; /* the newest change captured */
    struct stats_position acked;  /* the newest change acknowledged */
    int64_t lag_ns;               /* age of what is acknowledged; -1 = unknown */
};

struct snapshot {
    const struct task *task;
    int64_t real_ns;
    int64_t mono_ns;
    bool has_topology;
    char topology_problem[256];
    struct topology topology;
    struct stage_row *stages;
    size_t n_stages;
    struct ring_row *rings;
    size_t n_rings;
    struct table_row *tables; /* by name */
    size_t n_tables;
    bool has_position; /* the durable position of the task */
    struct position position;
    int64_t position_commit_ns; /* 0 = unknown */
    bool is_drained; /* every ring is empty and capture has nothing newer: lag is nothing */
};

void snapshot_take(const struct task *task, struct snapshot *out);
void snapshot_free(struct snapshot *s);

/* The row of the same name in an earlier snapshot, of the same run of the stage; else NULL. */
const struct stage_row *
snapshot_stage_before(const struct snapshot *before, const struct stage_row *row);
const struct table_row *
snapshot_table_before(const struct snapshot *before, const struct table_row *row);

/* True when the stage answers for nothing any more: dead, hung or FATAL. */
bool snapshot_stage_is_bad(const struct stage_row *row);

/* "dead", "hung", or the state's name. */
const char *snapshot_stage_state(const struct stage_row *row);

/* The largest known lag of the tables; -1 when none is known. *name is its table, or "". */
int64_t snapshot_max_lag(const struct snapshot *s, const char **name);

/* All shippers' acknowledgement times (and the like) in one distribution. */
void
snapshot_distribution(const struct snapshot *s, enum hist_id id, struct stats_distribution *out);

/* Alarms of warning and error level; notes do not count. */
size_t snapshot_alarms(const struct snapshot *s);

/* Exit status of `status`: 0 good, 1 degraded or an alarm, 2 nothing there, 3 another release's files. */
int snapshot_exit(const struct snapshot *s, int64_t max_lag_ns);

#endif
