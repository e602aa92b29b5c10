/*
 * sqlserver - the inside of the SQL Server engine: what its files share.
 *
 * One struct instance is one capture instance (one cdc.<name>_CT table) under one definition: a
 * table that has two for a while, or whose definition changes inside of one, has several, with
 * ranges of LSNs that do not overlap.
 */
#ifndef WEIR_SQLSERVER_SQLSERVER_H
#define WEIR_SQLSERVER_SQLSERVER_H

#include "capture/source.h"
#include "capture/sqlserver/arena.h"
#include "capture/sqlserver/sql.h"
#include "capture/sqlserver/types.h"

#include <stdatomic.h>

struct db;
struct json_t;

extern const struct source_engine sqlserver_engine;

struct lsn {
    uint8_t b[LSN_SIZE];
};

static inline int
lsn_compare(const struct lsn *a, const struct lsn *b)
{
    return memcmp(a->b, b->b, LSN_SIZE);
}

/* Text form "00000025:00000d08:0025". */
#define LSN_TEXT_SIZE 24
const char *lsn_text(const struct lsn *l, char buf[LSN_TEXT_SIZE]);

/* Rows read and not yet given on: values[row * n_columns + column]. */
struct page {
    struct arena arena; /* texts and bytes */
    struct value *values;
    struct position *positions; /* of change rows */
    int *wire;                  /* wire types of the result set's columns */
    bool wire_known;            /* they were asked for since page_begin() */
    size_t n_rows;
    size_t n_values; /* room in values, */
    size_t columns;  /* in wire, */
    size_t capacity; /* in positions */
};

struct instance {
    struct source_table table; /* the public part, first */
    int32_t change_object;     /* object_id of the change table */
    int32_t source_object;
    char created[32];   /* when, as sortable text */
    struct lsn start;   /* cdc.change_tables.start_lsn as last read: the low-water mark */
    struct lsn since;   /* changes behind this LSN are wanted */
    struct lsn whole;   /* in this round: read up to here, and no hole was found afterwards */
    struct lsn until;   /* and before this one (exclusive), when has_until */
    bool has_until;     /* a newer instance of the same table takes over */
    bool is_known;      /* capture has been told */
    bool is_gone;       /* dropped in the source */
    bool is_seen;       /* in the list being read */
    bool by_function;   /* changes come from cdc.fn_cdc_get_all_changes_..., without command ids */
    bool may_select;    /* the login has SELECT on the change table */
    bool may_call;      /* and on the function */
    bool is_old;        /* known from an earlier run */
    bool is_superseded; /* its change table goes on under another definition: another struct */
    bool is_ended;      /* its table is gone, and capture was told */
    bool is_gone_sure;  /* looked at twice */
    bool is_leaving;    /* since then; nothing behind leaves_at is read */
    struct lsn leaves_at;
    bool is_deselected; /* it has a name now that the task does not select */
    uint16_t n_columns; /* of the definition */
    struct type_column *types;
    uint16_t *ordinals; /* bit of each column in __$update_mask, from 1 */
    bool *is_dropped;   /* columns that the source table no longer has */
    char *masked;       /* columns the login sees masked; NULL = none */
    bool is_masked_told;
    char *select_list;      /* the columns' expressions */
    char *load_list;        /* the same in the source table, which may lack some */
    struct instance *shape; /* what the change table holds now; owned, not superseded ones only */
    char **missing;         /* of a shape: columns of the source it does not capture */
    size_t n_missing;
    uint32_t n_ddl;       /* statements of its history when the shape was read */
    atomic_bool is_stale; /* a load met a column or table that is gone: the shape is read anew */
    uint32_t n_ddl_open;  /* and when a column was seen to have changed without one (has_open) */
    bool has_open;
    bool is_overdue;  /* such a change waits for its statement no longer */
    char *schema_now; /* the source table's name now, when it is not the definition's */
    char *name_now;
    struct page page;   /* reading position in the log, and rows of a load */
    size_t next;        /* row of page to give next */
    uint32_t page_rows; /* TOP of the next page */
    size_t row_bytes;   /* of memory, in its last page; 0 = not known yet */
    bool is_read;       /* in this round */
    bool is_last_page;

    /* Weir.MergeDeferredUpdates: the other half of each row of the page, NULL = it has none. */
    const struct value **partner;
    size_t partners;    /* room */
    struct page halves; /* before images that lie outside of the page */

    /* Weir.RereadUnavailable */
    struct arena fresh;  /* values read from the table */
    size_t fresh_upto;   /* rows of the page that were looked after */
    uint32_t fresh_rows; /* rows to ask for at once */
    bool is_unreadable;  /* the table lacks a column: not asked any more */
};

/* One row of cdc.lsn_time_mapping. */
struct mapping {
    struct lsn lsn;
    int64_t commit_real_ns;
    uint8_t tran_id[EVENT_MAX_TRANSACTION];
    uint8_t tran_id_size;
};

/* One row of cdc.ddl_history. */
struct ddl {
    int32_t change_object;
    struct lsn lsn;
    bool retypes; /* it changed the type of a captured column, in the change table too */
    char *command;
};

#define WINDOW_FIRST 512U
#define WINDOW_MAX   8192U

struct window {
    struct mapping map[WINDOW_MAX];
    uint32_t n;
    uint32_t limit; /* TOP of the next window */
};

struct sqlserver {
    struct source base; /* first */
    struct source_config config;
    struct db *db;
    bool was_connected;    /* once in this process */
    bool has_no_histogram; /* an older server, or a missing right */
    bool fold_case;        /* the database compares names without case */
    char collation[132];
    struct sql q;
    struct instance **instances; /* sorted by schema, name, start LSN; owned */
    size_t n_instances;
    struct source_table **listing;
    struct instance **active;   /* those with rows in the window; room for all */
    uint64_t change_tables;     /* digest of the list of change tables as last loaded */
    struct json_t *by_function; /* names of instances, as stored; NULL = not read yet */
    struct ddl *ddl;            /* by change table and LSN; owned */
    size_t n_ddl;
    struct lsn confirmed;   /* acknowledged by the target up to here */
    int64_t manage_next_ns; /* not before: the last attempt to change the source was refused */
    char manage_error[240]; /* why; "" = it was not */
    size_t n_leaving;       /* instances that are read to leaves_at */
    struct window window;
    struct lsn newest; /* MAX(start_lsn) of lsn_time_mapping, zero when there is none */
    struct lsn done;   /* the last window's end, with its commit time, UTC */
    int64_t done_real_ns;
    int64_t server_ns; /* the server's clock, UTC */
    int64_t server_offset_ns;
    bool is_secondary; /* a readable secondary of an availability group: it may lag behind */
    uint32_t blind;    /* views this login may not see: one bit each, see health.c */
};

/* ---- meta.c: the catalogue ---- */

int meta_identity(struct sqlserver *s, struct source_identity *out, struct err *e);

/* identity.c: what tells a database from a restored, failed-over or other one, as far as the login may
   see it; and whether this is a secondary of an availability group.  -1: the connection is lost. */
int identity_read(struct sqlserver *s, struct source_identity *out, struct err *e);

/* Reads selected tables and capture instances; keeps what is known already. */
int meta_load(struct sqlserver *s, struct err *e);

/* Reads one instance's columns into its definition and types; sets table.refused when the table
   cannot be carried. */
int meta_columns(struct sqlserver *s, struct instance *in, struct err *e);

/* A new instance with that name, at the end of the list; NULL without memory. */
struct instance *meta_add_instance(struct sqlserver *s, const char *schema, const char *name,
                                   const char *instance, struct err *e);

/* protected.c: refuses tables with encrypted columns, warns of masked ones. */
int meta_protected(struct sqlserver *s, struct err *e);

/* Orders the instances and gives each its end where a newer one takes over. */
void meta_arrange(struct sqlserver *s);

void meta_instance_free(struct instance **in);

/* What a connection of this engine needs; beat only for the main one. */
struct db_config;
void meta_db_config(const struct sqlserver *s, struct db_config *out);

/* A login refused after one that worked is a fail-over in progress, not a wrong password. */
int meta_soften(const struct sqlserver *s, struct err *e);

/* Why the table is refused; keeps the first reason. */
int meta_refuse(struct instance *in, const char *why, struct err *e);

/* ---- page.c ---- */

/* Empties the page and makes room for rows of n_columns values of a new result set. */
int page_begin(struct page *p, size_t rows, size_t n_columns, struct err *e);
void page_free(struct page *p);

/* Decodes the current row's columns, the first at `column` of the result, into row n_rows of p.
   Reads nothing of in that changes. */
int page_decode_row(struct db *db, const struct instance *in, struct page *p, int column,
                    struct err *e);

/* The same into in's own page; refuses the table whose value cannot be carried. */
int page_decode(struct sqlserver *s, struct instance *in, int column, struct err *e);
int page_decode_into(struct sqlserver *s, struct instance *in, struct page *p, int column,
                     struct err *e);

/* A value that cannot be carried (e says why) suspends its table.  Returns -1. */
int page_undecodable(struct instance *in, uint16_t column, struct err *e);

/* Bytes of memory a row of the page takes, and how many rows of that size a page of `target` bytes
   shall have. */
size_t page_row_bytes(const struct page *p, uint16_t n_columns);
uint32_t page_rows_of(size_t row_bytes, size_t target);

/* ---- start.c, load.c, log.c, check.c: members of struct source_engine ---- */

int start_ranges(struct source *base, struct source_ranges *out, struct err *e);
int start_at_time(struct source *base, int64_t real_ns, struct position *out, struct err *e);

int load_join(struct source *base, struct position *out, struct err *e);
void load_chunk_position(const struct position *join, uint64_t chunk, struct position *out);
int load_cut(struct source *base, struct source_table *t, uint32_t want, uint64_t *rows,
             struct source_piece **out, size_t *n, struct err *e);
int load_readmit(struct source *base, struct source_table *t, struct err *e);

/* The key allows reading in its order, from any row on. */
bool load_has_order(const struct instance *in);

/* [schema].[table] */
void load_add_table(struct sql *q, const struct instance *in);

/* ---- load_pieces.c ---- */

/* Pieces by the task's parallel-load rule; *n = 0 when there is none, or it does not apply. */
int pieces_by_rule(struct sqlserver *s, struct instance *in, struct source_piece **out, size_t *n,
                   struct err *e);

/* About `want` ranges of one column, by statistics or by counting along an index. */
int pieces_by_column(struct sqlserver *s, struct instance *in, uint16_t column, uint64_t rows,
                     uint32_t want, struct source_piece **out, size_t *n, struct err *e);

/* Appends one piece; takes q's text over. */
int
pieces_add(struct source_piece **list, size_t *n, struct sql *q, bool is_ordered, struct err *e);

/* ---- load_reader.c ---- */

int reader_open(struct source *base, struct source_reader **out, struct err *e);
void reader_close(struct source_reader **base);
int reader_begin(struct source_reader *base, const struct source_part *part, struct err *e);
int reader_page(struct source_reader *base, uint32_t rows, size_t bytes, struct source_page *page,
                struct err *e);
struct source_page *reader_page_new(struct source *base);
void reader_page_free(struct source_page **base);

/* The reader's own batch without results, for views. */
int reader_run(struct source_reader *base, const char *text, struct err *e);
struct db *reader_db(struct source_reader *base);

/* ---- load_view.c ---- */

int view_begin(struct source *base, struct source_table *t, struct source_reader *const *readers,
               size_t n, struct position *since, struct err *e);
int view_end(struct source_reader *r, struct err *e);

int log_follow(struct source *base, const struct position *from, const struct source_sink *sink,
               struct source_status *status, struct err *e);

int check_source(struct source *base, struct source_findings *findings, struct err *e);

/* ---- sqlserver.c ---- */

/* The last LSN that is complete at p: that of p when p is behind all of it, else the one before. */
void lsn_complete_of(const struct position *p, struct lsn *out);
void lsn_increment(struct lsn *l);
void lsn_decrement(struct lsn *l);

/* Reads a binary(10) of the current row; false for NULL.  Shorter values are refused as NULL. */
bool lsn_read(struct db *db, int column, struct lsn *out);

#endif
