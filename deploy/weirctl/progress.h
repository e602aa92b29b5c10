/*
 * progress - how far full loads are: of a table, and of the task in DMS's names.
 *
 * Rows are those capture has handed on, the whole is what the source's catalogue said when the
 * table's load began: an estimate, so that percent stays below 100 until the load has ended.  The
 * rate is that since the load began.
 */
#ifndef WEIR_WEIRCTL_PROGRESS_H
#define WEIR_WEIRCTL_PROGRESS_H

#include "deploy/weirctl/snapshot.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    bool is_loading;
    uint64_t rows;
    uint64_t whole;         /* 0 = not known */
    double percent;         /* -1 = not known */
    double rows_per_second; /* -1 = not known */
    int64_t left_ns;        /* estimated; -1 = not known */
    int64_t began_real_ns;  /* 0 = not yet */
    int64_t ended_real_ns;  /* 0 = not yet */
};

struct task_progress {
    size_t loaded;
    size_t loading;
    size_t queued;
    size_t errored;
    struct progress load; /* of all tables together */
};

void progress_of_table(const struct snapshot *s, const struct table_row *t, struct progress *out);

/* Percent is by rows when the size of every table is known, else by tables. */
void progress_of_task(const struct snapshot *s, struct task_progress *out);

/* "63 % of 1 200 000 rows, 12.3k rows/s, about 3m10s left" */
#define PROGRESS_TEXT 128
const char *progress_text(const struct progress *p, char buf[PROGRESS_TEXT]);

#endif
