/*
 * source - what a database engine must give so that capture can load and follow it.
 *
 * capture/ knows rings, resume, routing, watermarks and the load's progress, and nothing of any
 * engine; an engine (capture/sqlserver/, later others) knows its database and nothing of rings.
 * An engine is one struct source_engine.  The things every source gives stand here as:
 *
 *   stable id                  event.position: the same change has the same position for ever
 *   commit order               positions rise by memcmp from call to call of sink.change
 *   transaction borders        sink.complete, event.transaction_id and record_number
 *   low-watermark for resume   follow() starts anywhere the caller says
 *   identity of history        connect() fills struct source_identity; a changed one stops us
 *   retention horizon          sink.lost names what the source forgot, table by table;
 *                              status.oldest
 *   lag at the source          status.lag_ns, status.newest
 *   chunk hand-over            join(), load_position(), cut(), readers, view_begin()
 *   places and times           ranges(), at_time()
 *   DDL notice                 sink.definition
 *
 * Errors carry their class (common/err.h): RETRY means connect() again and go on from the last
 * position given; OPERATOR and RESTART end the process; TABLE suspends the table concerned.
 *
 * Thread use: one thread, but for readers; an engine may have helpers of its own.  Blocking: every call, but none
 * longer than the endpoint's time-outs, and all of them end soon after stop_fd becomes readable.
 */
#ifndef WEIR_SOURCE_H
#define WEIR_SOURCE_H

#include "common/bounds.h"
#include "common/catalog.h"
#include "common/event.h"
#include "common/position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct source_engine;
struct task;

/* Key columns of one table at most (SQL Server allows 32). */
#define SOURCE_KEY_MAX 32

/* Begins an engine's own struct. */
struct source {
    const struct source_engine *engine;
};

struct source_config {
    const struct task *task;
    const char *private_directory; /* exists; for files of the engine, mode 0600 */
    bool is_task;                  /* not somebody who only looks: may change the source as set */
    int stop_fd;                   /* readable once the process shall end; -1 = never */
    void (*beat)(void *arg);       /* called about once a second inside long calls; may be NULL */
    void *beat_arg;
};

/*
 * Which history the positions belong to.  Texts are compared as texts; "" = the source does not say.
 *
 * A history forks when a database is restored or fails over with loss: up to the fork's place both
 * branches share it.  fork_parent and fork_point say so of the current fork.
 */
struct source_identity {
    char server[264];
    char database[264];
    char created[64];           /* when the database was made or restored here, as printed */
    char family[64];            /* all copies and restores of one database; system identifier */
    char group[64];             /* copies that take over from each other: availability group */
    char fork[64];              /* recovery fork, timeline */
    char fork_parent[64];       /* the fork this one came from */
    struct position fork_point; /* positions at or before it are the parent's too; zero = unknown */
};

/* A table the task selects.  Owned by the source, in place until it is closed. */
struct source_table {
    struct table_def *def; /* id and version are capture's: 0 until it has looked them up */
    char *instance;        /* what the engine reads changes from: "dbo_invoices"; for people */
    struct position since; /* changes are to be had after this position */
    char *left_out;        /* columns no message shows, and why: "a (computed)"; NULL = none */
    uint64_t object;       /* what the source tells the table by, whatever its name; 0 = its name */
    char *refused;         /* why the table cannot be captured, with the remedy; NULL = it can */
    void *user;            /* capture's */
};

/* A place in a table's key order, one literal a key column in the engine's own words (printable
   ASCII).  n = 0: before the first row, or behind the last. */
struct source_key {
    uint16_t n;
    char *part[SOURCE_KEY_MAX]; /* owned */
};

/* A hole in the changes of one table: what the source forgot before it was read. */
struct source_gap {
    struct position from; /* the first position that is lost */
    struct position upto; /* the last one; all bits set = everything behind `from` */
    int64_t from_real_ns; /* commit time of the place before the hole, UTC; 0 = not known */
    int64_t
        upto_real_ns;   /* of the first place behind it that the source still has; 0 = not known */
    const char *why;    /* "the cleanup job has removed them" */
    const char *remedy; /* how the next one is avoided; may be "" */
};

/* A part of a table that is loaded on its own.  The pieces of a table never overlap and together
   hold every row it can ever have, whatever is written while it is loaded. */
struct source_piece {
    char *where;     /* owned; in the engine's own words, "" = the whole table; UTF-8, one line */
    bool is_ordered; /* its rows come in key order: reading can begin and end at any key */
};

/* One more connection, for loading: begins an engine's own struct. */
struct source_reader {
    const struct source_engine *engine;
};

/* Rows a reader has read, in memory of the page: begins an engine's own struct. */
struct source_page {
    const struct source_engine *engine;
    struct value *values; /* n_rows rows of the definition's columns */
    size_t n_rows;
    bool is_end; /* nothing follows in what was asked for */
    struct source_key
        last; /* of the last row, when the piece is ordered and something may follow */
};

/* What a reader reads: of t the rows of `where` with from < key <= upto (the bounds only when
   is_ordered).  All of it stays in place until the next reader_begin(). */
struct source_part {
    struct source_table *table;
    const char *where;
    bool is_ordered;
    const struct source_key *from;
    const struct source_key *upto;
};

/* What an engine calls.  Every call returns 0, or -1 with e set: the engine then stops and returns
   the same error.  Values in events are valid during the call only. */
struct source_sink {
    void *arg;
    /* One change or one loaded row.  table_id, version and captured_mono_ns are filled by the
       callee; for loaded rows the position too. */
    int (*change)(void *arg, struct source_table *t, struct event *ev, struct err *e);
    /* Everything of the source up to position was given.  commit_real_ns: of that place, UTC, 0 =
       unknown.  transactions: how many ended since the last call. */
    int (*complete)(void *arg, const struct position *position, int64_t commit_real_ns,
                    uint32_t transactions, struct err *e);
    /* From position on, changes of this table have the definition t->def: a table that was not
       there before, or one whose definition or name changed (old, else NULL).  ddl: the statement
       that did it, NULL when it is not known. */
    int (*definition)(void *arg, struct source_table *t, struct source_table *old,
                      const struct position *position, const char *ddl, struct err *e);
    /* From position on, t has no changes any more: it was dropped in the source, or renamed to
       what the task does not select (new_name, else NULL). */
    int (*dropped)(void *arg, struct source_table *t, const struct position *position,
                   const char *new_name, struct err *e);
    /* Changes of t are gone for good.  After 0 t->refused is set and on disk: the engine gives
       nothing more of t and goes on with the others. */
    int (*lost)(void *arg, struct source_table *t, const struct source_gap *gap, struct err *e);
};

/* What follow() learnt, for statistics and pacing. */
struct source_status {
    bool more;              /* more was there than this round took: come again at once */
    struct position newest; /* the newest position the source offers */
    struct position oldest; /* the oldest it still has; zero = not known */
    int64_t newest_commit_real_ns;
    int64_t lag_ns; /* age of the newest commit handled by the source's clock; 0 = caught up */
};

/* What the source still has of one table. */
struct source_range {
    char *table; /* "schema.table"; owned */
    bool is_usable;
    struct position oldest; /* everything behind it can be had */
    int64_t oldest_real_ns; /* everything committed from then on can be had, UTC; 0 = not known */
};

struct source_ranges {
    struct source_range *items; /* owned: source_ranges_free() */
    size_t n;
    struct position
        newest; /* the newest the source offers, of whatever table; zero = nothing yet */
    int64_t newest_real_ns; /* when that was committed; 0 = not known */
    int64_t server_real_ns; /* the source's clock, UTC; 0 = not known */
};

enum source_level { SOURCE_OK, SOURCE_WARNING, SOURCE_ERROR };

/* One finding of a check. */
struct source_finding {
    enum source_level level;
    char what[480];   /* what was looked at and what was found */
    char remedy[480]; /* what to do; "" when level is SOURCE_OK */
};

struct source_findings {
    struct source_finding *items; /* owned: source_findings_free() */
    size_t n;
};

/* What is amiss at the source now, or worth knowing (SOURCE_OK).  The code is stable: what is known
   by it is raised once and ends when a later look no longer finds it. */
struct source_alarm {
    enum source_level level;
    char code[48]; /* "capture-job-stopped" */
    char what[480];
    char remedy[420]; /* the statement that mends it; "" for a note */
};

#define SOURCE_ALARMS_MAX 16

struct source_health {
    struct source_alarm alarms[SOURCE_ALARMS_MAX];
    size_t n;
    int64_t retention_ns;       /* how long the source keeps changes; 0 = not known */
    bool retention_is_observed; /* by what is still there, for want of a right to ask */
    int64_t headroom_ns; /* until it forgets what lies behind the place asked for; at least 0 */
};

struct source_engine {
    const char *name; /* SourceEndpoint.EngineName */

    /* Allocates; no network yet. */
    int (*open)(const struct source_config *config, struct source **out, struct err *e);
    void (*close)(struct source **s);

    /* Connects, anew if need be, and says whose history this is. */
    int (*connect)(struct source *s, struct source_identity *identity, struct err *e);

    /* For how many milliseconds at least to leave the source alone after e; 0 = no wish.  May be
       NULL: none ever. */
    uint32_t (*pause_ms)(const struct err *e);

    /* The tables the task selects that have changes to offer, sorted by schema and name.  The array
       belongs to the source and is valid until the next call. */
    int (*tables)(struct source *s, struct source_table ***out, size_t *n, struct err *e);

    /* Tells the engine of a table known from an earlier run: where its changes began then, and with
       which definition (NULL: with t->def).  A source that has moved its horizon since can so tell
       a gap from a new table, and one whose definition has moved on gives rows of the old one until
       it calls sink.definition. */
    int (*known)(struct source *s, struct source_table *t, const struct position *since,
                 const struct table_def *was, struct err *e);

    /* A position at or before everything a read that starts now may miss: load, then follow from it. */
    int (*join)(struct source *s, struct position *out, struct err *e);

    /* What there is to be had, table by table as tables() listed them. */
    int (*ranges)(struct source *s, struct source_ranges *out, struct err *e);

    /* A position with everything behind it that was committed at real_ns (UTC) or later.
       ERR_CONFIG: this source keeps no times. */
    int (*at_time)(struct source *s, int64_t real_ns, struct position *out, struct err *e);

    /* The position of chunk n (from 1) of a load joined at `join`: what join() gave, or a position
       sink.complete gave. */
    void (*load_position)(const struct position *join, uint64_t chunk, struct position *out);

    /*
     * How t is to be loaded: about how many rows it has (0 = not known; for people only), and its
     * pieces, about `want` of them when it is large, as the task's parallel-load rule says or as the
     * engine sees fit.  *out is an array of *n (at least one): source_pieces_free().
     */
    int (*cut)(struct source *s, struct source_table *t, uint32_t want, uint64_t *rows,
               struct source_piece **out, size_t *n, struct err *e);

    /* Readers work in threads of their own, one thread at a time each; no call that changes what the
       engine knows of its tables runs meanwhile.  Their errors are as those of every call; ERR_DATA means
       the range's table. */
    int (*reader_open)(struct source *s, struct source_reader **out, struct err *e);
    void (*reader_close)(struct source_reader **r);
    int (*reader_begin)(struct source_reader *r, const struct source_part *part, struct err *e);

    /* Reads on: up to `rows` rows, fewer when they are more than about `bytes`. */
    int (*reader_page)(struct source_reader *r, uint32_t rows, size_t bytes,
                       struct source_page *page, struct err *e);
    struct source_page *(*page_new)(struct source *s); /* NULL without memory */
    void (*page_free)(struct source_page **page);

    /*
     * Exact hand-over: from here to view_end() the n readers see t as it is at one moment, that of
     * *since: every change up to it is seen, none behind it.  1 = not to be had, e says why and
     * what it takes; -1 = error.  No lock outlives the call.  May be NULL: never to be had.
     */
    int (*view_begin)(struct source *s, struct source_table *t,
                      struct source_reader *const *readers, size_t n, struct position *since,
                      struct err *e);
    int (*view_end)(struct source_reader *r, struct err *e);

    /* t, refused so far, is to take part again: looks at it anew.  t->refused tells the outcome. */
    int (*readmit)(struct source *s, struct source_table *t, struct err *e);

    /*
     * One round: gives what the log has after `from` (a bounded part of it), then calls
     * sink.complete.  `from` may lie inside a transaction: record numbers count from the
     * transaction's first row all the same.  An engine that can only begin at a transaction's start
     * gives again what came before; the sink skips what it has.
     * Calls sink.lost before anything behind a hole is given.  ERR_HISTORY.
     */
    int (*follow)(struct source *s, const struct position *from, const struct source_sink *sink,
                  struct source_status *status, struct err *e);

    /*
     * A look at the source's own machinery, now and then between rounds: does it still read its
     * log, how long does it keep what lies behind `safe` (acknowledged by the target)?  What the
     * login may not see is left out, and never an error; -1 only when the connection is lost.
     */
    int (*health)(struct source *s, const struct position *safe, struct source_health *out,
                  struct err *e);

    /* Runs the operator's statement that keeps the log moving.  -1: it failed, with the reason; the
       connection is lost when the error's class is RETRY. */
    int (*heartbeat)(struct source *s, const char *statement, struct err *e);

    /* Everything up to position is acknowledged by the target: the source may forget it. */
    int (*confirm)(struct source *s, const struct position *position, struct err *e);

    /* Appends what a look at the source finds, connection first.  -1 only without memory. */
    int (*check)(struct source *s, struct source_findings *findings, struct err *e);
};

/* NULL when there is no such engine. */
const struct source_engine *source_engine_find(const char *name);

/*
 * Looks at the task's source as `weirctl check` does: reachable, login, certificate, rights, change
 * data capture on, capture job alive, every selected table usable, retention.  Findings are in the
 * order of looking; the first error of the connection ends the list.  -1 only when the check itself
 * could not run (ERR_NOMEM, ERR_IO, ERR_CONFIG: unknown engine).  Free with source_findings_free().
 */
int source_check(const struct task *task, struct source_findings *out, struct err *e);
void source_findings_free(struct source_findings *findings);

/*
 * Where to begin reading for `start`, after tables(): *out is a position with everything behind it
 * that the start asks for, and *ranges is what the source has.  ERR_RANGE when the source has not
 * all of it any more, or not yet: the text names the range that can be had; *ranges is filled then
 * too.  In any case free *ranges with source_ranges_free().
 */
int source_start(struct source *s, const struct start_bound *start, struct position *out,
                 struct source_ranges *ranges, struct err *e);

/* The task's engine, opened for one look at the source: nothing stops it, it beats for nobody.
   Close it by its engine. */
int source_open(const struct task *task, struct source **out, struct err *e);

/* Opens and connects the task's source for one look: *out is what source_start() finds.  A start
   of START_NONE asks for the ranges only. */
int source_look(const struct task *task, const struct start_bound *start, struct position *at,
                struct source_ranges *out, struct err *e);

/* Appends a range; the table's name is copied. */
int source_range_add(struct source_ranges *ranges, const struct source_table *t,
                     const struct position *oldest, int64_t oldest_real_ns, struct err *e);
void source_ranges_free(struct source_ranges *ranges);

/* Appends one finding; what and remedy as printed by the caller.  For engines. */
int source_finding_add(struct source_findings *findings, enum source_level level, const char *what,
                       const char *remedy, struct err *e);

void source_pieces_free(struct source_piece **pieces, size_t n);
void source_key_free(struct source_key *key);
int source_key_copy(struct source_key *to, const struct source_key *from, struct err *e);

#endif
