/*
 * load_internal - a full load under way: what load.c and load_exact.c share.
 */
#ifndef WEIR_CAPTURE_LOAD_INTERNAL_H
#define WEIR_CAPTURE_LOAD_INTERNAL_H

#include "capture/capture_internal.h"
#include "capture/load_pool.h"

#define LOAD_BATCH_MAX (2U * LOAD_READERS_MAX) /* pages of all readers */
#define LOAD_NO_TABLE  UINT32_MAX

/* What a reader may see: the table as it was when the view began. */
struct load_view {
    uint32_t table; /* LOAD_NO_TABLE = none */
    int64_t began_ns;
};

/* A page and the chunk it is, or begins. */
struct load_planned {
    struct load_item item;
    size_t chunk;
};

struct load {
    struct capture *c;
    const struct position *at; /* where the load joins the log */
    uint32_t readers;
    bool is_exact;    /* views are tried */
    bool is_stepping; /* one page a reader, between two rounds of the log */
    struct load_view views[LOAD_READERS_MAX];
    struct load_planned batch[LOAD_BATCH_MAX];
    size_t n_batch;
};

/* ---- load.c ---- */

/* A piece nobody reads and that is not read; -1 when there is none. */
int64_t load_free_piece(const struct state_table *st);

size_t load_count_idle(const struct load *l);

/* Gives an idle reader the next free piece of a table that has one. */
int load_start_reader(struct load *l, uint32_t reader, uint32_t table, struct err *e);

/* ---- load_exact.c ---- */

/* Starts readers on a table that is to be loaded exactly: all of them with one view.  1 = started,
   0 = too few are idle yet.  A table that cannot be exact any more, or not at all, is begun as
   others are. */
int load_start_exact(struct load *l, uint32_t table, struct err *e);

/* Readers have a view of the table: others would see newer rows. */
bool load_is_in_view(const struct load *l, uint32_t table);

/* Snapshots keep the source's old rows alive: none may last. */
bool load_view_is_old(const struct load *l, uint32_t reader);

/* Does nothing when the reader has none. */
int load_end_view(struct load *l, uint32_t reader, struct err *e);

#endif
