/*
 * state - what capture must remember beyond its rings: <state>/capture.json.
 *
 * Which history the positions belong to, where the load joins the log, which tables take part under
 * which id, and the chunk boundaries that may have to be read again.  Replaced as a whole
 * (file_replace); written before anything that relies on it is published.
 *
 * Invariants: chunk numbers rise by one from 1 over all tables of the load; a chunk's lower bound
 * is the upper bound of the chunk before it when both are of the same table.  Chunks that every
 * shipper has acknowledged are dropped, but for the newest of them.
 */
#ifndef WEIR_CAPTURE_STATE_H
#define WEIR_CAPTURE_STATE_H

#include "capture/source.h"

struct task;

/* What a suspended table lost at the source: see struct source_gap. */
struct state_lost {
    bool is_set;
    struct position from;
    struct position upto;
    struct position given; /* where the task stood: before it the table was whole */
    int64_t from_real_ns;
    int64_t upto_real_ns;
};

struct state_table {
    uint32_t id; /* of the catalogue */
    uint32_t version;
    char *schema;
    char *name;
    char *instance;
    struct position since; /* its changes count from here; the load's join for its first tables */
    bool wants_load;
    bool is_planned;        /* its last chunk is in the list, or was */
    char *suspended;        /* why; NULL = it takes part */
    struct state_lost lost; /* when it is suspended for a hole in its changes */
};

struct state_chunk {
    uint64_t number;
    uint32_t table; /* index in tables */
    bool is_first;  /* of its table */
    struct source_key upto;
};

struct state {
    bool is_new; /* there was no file */
    struct source_identity identity;
    struct position join;
    uint64_t next_chunk; /* number of the next one planned, from 1 */
    struct state_table *tables;
    size_t n_tables;
    struct state_chunk *chunks;
    size_t n_chunks;
};

/* No file gives an empty state with is_new.  ERR_LAYOUT: damaged, or of another task. */
int state_read(const struct task *t, struct state *out, struct err *e);
int state_write(const struct task *t, const struct state *s, struct err *e);
void state_free(struct state *s);

/* Appends; the new element is zero but for what is given.  NULL without memory. */
struct state_table *state_add_table(struct state *s, const struct source_table *t, struct err *e);
struct state_chunk *state_add_chunk(struct state *s, struct err *e);

/* Drops the chunks before the last one whose number is at most `acknowledged`. */
void state_prune(struct state *s, uint64_t acknowledged);

/* The table of a capture instance; NULL. */
struct state_table *
state_find(const struct state *s, const char *schema, const char *name, const char *instance);

#endif
