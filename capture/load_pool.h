/*
 * load_pool - reader threads of a full load.
 *
 * Each reader has a connection of its own and reads one range page by page into memory of its own,
 * two pages ahead of the thread that hands the rows on.  A reader that streams a range cannot be
 * starved by the others: pages belong to readers, so memory is bounded by readers times two pages.
 *
 * Thread use: all calls from the one thread that opened the pool; the readers' threads touch
 * nothing of capture but their reader, and the statistics never.
 */
#ifndef WEIR_CAPTURE_LOAD_POOL_H
#define WEIR_CAPTURE_LOAD_POOL_H

#include "capture/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct load_pool;
struct output;
struct stage;

#define LOAD_READERS_MAX 49U

struct load_pool_config {
    struct source *source;
    struct stage *stage;
    struct output *output; /* its heartbeats go on in waits */
    uint32_t readers;      /* 1..LOAD_READERS_MAX */
    uint32_t page_rows;    /* rows of a page at most */
};

/* What a reader shall read; texts and keys are copied. */
struct load_job {
    struct source_part part;
    bool is_one_page; /* not the whole range, only its first page */
    uint32_t table;   /* the caller's notes */
    size_t piece;
};

/* A page that was read, until load_pool_release(). */
struct load_item {
    uint32_t reader;
    const struct load_job *job;
    struct source_page *page; /* NULL: the job ended without one more */
    bool is_over;             /* the job's last */
};

/* Threads and connections are made when there is work for them. */
int load_pool_open(const struct load_pool_config *config, struct load_pool **out, struct err *e);

/* Ends what is being read, with heartbeats meanwhile, and closes the connections. */
void load_pool_close(struct load_pool **p);

/* An idle reader at or after `from`; -1 when there is none.  Idle: no job, no page left. */
int load_pool_idle(struct load_pool *p, uint32_t from);

/* Gives an idle reader a job. */
int
load_pool_start(struct load_pool *p, uint32_t reader, const struct load_job *job, struct err *e);

/* The job ends with the page being read, if its range is ordered; what was read is still given. */
void load_pool_stop(struct load_pool *p, uint32_t reader);

/* Keeps the pages of a reader from load_pool_take(..., -1): its range goes out in one piece. */
void load_pool_hold(struct load_pool *p, uint32_t reader, bool hold);

/*
 * The next page of one reader (only >= 0) or of any that is not held, waiting up to ms for one.
 * 1 = *out; 0 = none yet; -1 = a reader failed (out->job tells whose range), a stop was asked for
 * or a ring is in trouble.
 */
int
load_pool_take(struct load_pool *p, int only, uint32_t ms, struct load_item *out, struct err *e);

/* Gives the page back to its reader.  Pages of one reader come back in the order of taking. */
void load_pool_release(struct load_pool *p, const struct load_item *item);

/* The connection of an idle reader, made if need be: for views.  NULL with e set. */
struct source_reader *load_pool_reader(struct load_pool *p, uint32_t reader, struct err *e);

#endif
