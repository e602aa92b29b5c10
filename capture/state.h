/*
 * state - what capture must remember beyond its rings: <state>/capture.json.
 *
 * Which history the positions belong to, where the load joins the log, which tables take part under
 * which id, how far each load has come, and the chunks that may have to be read again.  Replaced as
 * a whole (file_replace); written before anything that relies on it is published.
 *
 * Invariants: chunk numbers rise by one from 1 over the task's life; a chunk holds all it takes to
 * read it again; a piece's rows up to `next` belong to chunks that are or were in the list.  Chunks
 * that every shipper has acknowledged are dropped, but for the newest of them.
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

/* A piece of a table whose load is under way. */
struct state_piece {
    struct source_piece piece;
    struct source_key next; /* rows up to here are in chunks */
    bool is_done;           /* all of them are */
    bool is_taken;          /* a reader is at it; not stored */
};

struct state_table {
    uint32_t id; /* of the catalogue */
    uint32_t version;
    char *schema;
    char *name;
    char *instance;
    uint64_t object;       /* as in source_table; 0 = not known */
    struct position since; /* its changes count from here; the load's join for its first tables */
    struct position
        announced; /* where its definition was announced in the log; zero = by its load */
    bool wants_load;
    bool is_begun;              /* its first chunk is in the list, or was */
    bool is_planned;            /* its last chunk is in the list, or was */
    bool wants_reload;          /* somebody asked for it; begins at the next complete position */
    bool has_no_view;           /* is loaded with repeats; not stored */
    bool is_reload;             /* the load under way, or the last one, was not its first */
    struct state_piece *pieces; /* while it is loaded, from its first chunk to its last */
    size_t n_pieces;
    char *suspended;        /* why; NULL = it takes part */
    struct position ended;  /* its drop-table record; zero = it was not dropped */
    bool is_end_told;       /* that record is queued; not stored */
    struct state_lost lost; /* when it is suspended for a hole in its changes */
};

struct state_chunk {
    uint64_t number;
    struct position at; /* its load joins the log here: with the number, its position */
    uint32_t table;     /* index in tables */
    bool is_first;      /* of its table */
    bool is_last;
    char *where; /* of its piece; NULL = it has no rows, only announces the table */
    bool is_ordered;
    struct source_key from;
    struct source_key upto;
};

struct state {
    bool is_new; /* there was no file */
    struct source_identity identity;
    struct position join;
    bool is_loaded;       /* every table the task began with is planned to its end */
    bool has_stopped;     /* it was stopped for that, as the settings say; next time it goes on */
    struct position stop; /* the task is to stop when the log was given up to here; zero = not */
    uint64_t next_chunk;  /* number of the next one planned, from 1 */
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

/* Takes the last chunk back: it could not be made whole. */
void state_drop_chunk(struct state *s);

/* Takes the pieces over: *pieces is emptied.  -1 without memory. */
int state_set_pieces(struct state_table *t, struct source_piece **pieces, size_t n, struct err *e);
void state_clear_pieces(struct state_table *t);

/* Drops the chunks before the last one whose number is at most `acknowledged`. */
void state_prune(struct state *s, uint64_t acknowledged);

/* The newest entry of a capture instance; NULL. */
struct state_table *
state_find(const struct state *s, const char *schema, const char *name, const char *instance);

/* The entry of t with its definition: same id, version, instance and object; NULL. */
struct state_table *state_find_definition(const struct state *s, const struct source_table *t);

#endif
