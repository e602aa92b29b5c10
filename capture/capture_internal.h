/*
 * capture_internal - what the files of the engine-independent part share.
 */
#ifndef WEIR_CAPTURE_CAPTURE_INTERNAL_H
#define WEIR_CAPTURE_CAPTURE_INTERNAL_H

#include "capture/output.h"
#include "capture/source.h"
#include "capture/state.h"
#include "common/log.h"
#include "common/stage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_item;
struct load_pool;
struct stats_table;
struct task;

/* A column of large values. */
struct member_lob {
    uint16_t column;
    bool is_told; /* the log has a line about its first cut value */
};

/* A table that takes part; source_table.user points here. */
struct member {
    struct source_table *source;
    struct stats_table *stats;
    char *full_name; /* "schema.table" */
    uint32_t home;   /* ring of its announcements, and of its rows when it has no key */
    bool is_refused; /* said so already */
    struct log_site refusal;
    struct member_lob *lobs;
    uint16_t n_lobs;
};

/* A definition to be announced when the stream reaches its position. */
struct announcement {
    struct position position;
    uint32_t table_id;
    uint32_t version;
    uint32_t home;
    struct stats_table *stats;
    enum event_operation operation;
    size_t n_texts;
    char *texts[EVENT_MAX_TEXTS]; /* owned; NULL = not known */
};

#define HEALTH_ALARMS_MAX (SOURCE_ALARMS_MAX + 4) /* the source's, and capture's own */

/* What health.c remembers between two looks. */
struct health_watch {
    struct health_alarm {
        char code[48];
        enum source_level level;
        uint64_t round; /* of looks, that saw it last */
        struct log_site raised;
    } alarms[HEALTH_ALARMS_MAX];
    size_t n_alarms;
    uint64_t round;
    int64_t next_look_ns; /* monotonic */
    int64_t next_beat_ns;
    char heartbeat_error[240]; /* of the last one; "" = it went well */
};

struct capture {
    struct stage *stage;
    const struct task *task;
    struct topology topo;
    const struct source_engine *engine;
    struct source *source;
    struct output *output;
    struct state state;
    struct start_bound start; /* where a first start begins */
    struct stop_bound stop;   /* where the task ends; STOP_NONE once it was told to go on */
    bool stop_reached;        /* everything up to the stop was given */
    int64_t requests_due_ns;  /* next look at what operators ask for */
    struct member **members;
    size_t n_members;
    struct table_def **catalogue; /* newest versions, owned; once is_catalogue_read */
    size_t n_catalogue;
    bool is_catalogue_read;
    struct announcement *announcements; /* by position */
    size_t n_announcements;
    struct source_sink sink;  /* for following */
    struct position complete; /* newest place the log was given up to as a whole */
    struct load_pool *pool;   /* readers of a load, while there is one */
    uint64_t due;             /* first chunk to be given when the log reaches its place; 0 = none */
    bool has_no_views;        /* the source gives no exact hand-over; said so already */
    uint32_t rows_since_watermark;
    int64_t reached_real_ns; /* commit time of the place reached; 0 = not known */
    bool is_left_due;        /* gap_any_left() is to be asked behind the next round */
    struct health_watch watch;
    struct stage_backoff backoff;
    char *key_text; /* room for routing */
    size_t key_size;
};

/* ---- identity.c ---- */

/* Is this the history the task's positions belong to?  ERR_HISTORY when not.  A fail-over that lost
   nothing of what was given is written down and survived. */
int identity_check(struct capture *c, const struct source_identity *is, struct err *e);

/* ---- tables.c: ids, versions, catalogue, announcements ---- */

/* Makes t a member: id and version as known (state), or by the catalogue; writes the definition. */
int tables_join(struct capture *c, struct source_table *t, const struct state_table *known,
                struct err *e);

/* The same for the definition that follows `old`. */
int tables_join_next(struct capture *c, struct source_table *t, const struct table_def *old,
                     struct err *e);

/* Columns only: names of tables are not looked at. */
bool tables_same_definition(const struct table_def *a, const struct table_def *b);

/* A refused table: state and log, once. */
int tables_refuse(struct capture *c, struct source_table *t, struct err *e);

/* Suspends every member that was refused since; false when there was none. */
bool tables_suspend_refused(struct capture *c, const struct err *why, struct err *e);

/* Queues t's announcement. */
int tables_announce_at(struct capture *c, struct member *m, const struct position *position,
                       struct err *e);

/* Queues a control event with its texts (copied).  *position moves behind those that are there. */
int
tables_announce_event(struct capture *c, struct member *m, enum event_operation operation,
                      const char *const *texts, size_t n, struct position *position, struct err *e);

/* Gives the announcements up to position. */
int tables_announce_due(struct capture *c, const struct position *position, struct err *e);

/* What a load begins with: by TargetTablePrepMode a drop-table, then the announcement. */
int tables_announce_load(struct capture *c, struct member *m, const struct position *position,
                         struct err *e);

/* Statistics of a load's begin and end. */
void tables_load_begins(struct member *m, bool is_reload);
void tables_loaded(struct member *m);

/* Gives m's definition, as the source has it now, its id and version, and writes it. */
int tables_define(struct capture *c, struct member *m, struct err *e);

/* Gives one announcement now. */
int tables_announce(struct capture *c, struct member *m, const struct position *position,
                    struct err *e);

void tables_free(struct capture *c);

/* ---- alter.c ---- */

/* Queues what changed between old and m's definition, from position on; *last is the place of the
   last record, position when there is none. */
int alter_announce(struct capture *c, struct member *m, const struct table_def *old,
                   const struct position *position, const char *ddl, struct position *last,
                   struct err *e);

/* The same for a table that is met no more, only known from the state. */
int tables_announce_drop(struct capture *c, const struct state_table *st, struct err *e);

/* st's table was dropped while nobody looked: as tables_end(), behind everything the rings have. */
int tables_ended_unseen(struct capture *c, struct state_table *st, struct err *e);

/* t is no more from position on: dropped in the source, or renamed (new_name, else NULL) to what the
   task does not select.  Durable; a dropped one is announced. */
int tables_end(struct capture *c, struct source_table *t, const struct position *position,
               const char *new_name, struct err *e);

/* ---- route.c ---- */

/* The ring for an event of m. */
int route_event(struct capture *c, const struct member *m, const struct event *ev, uint32_t *ring,
                struct err *e);
uint32_t route_table(const struct capture *c, const char *full_name);

/* ---- lobs.c ---- */

/* Looks up m's columns of large values. */
int lobs_watch(struct member *m, struct err *e);

/* Counts what ev's row has of cut and of unavailable values. */
void lobs_note(struct member *m, const struct task *task, const struct event *ev);

/* ---- start.c ---- */

/* True when the first start of a cdc task begins elsewhere than at the newest change. */
bool start_is_located(const struct capture *c);

/* Writes the plan of such a start: where it begins, and from where on each table takes part.
   ERR_RANGE, with the range that can be had, when the source has not all of it. */
int start_plan(struct capture *c, struct source_table *const *tables, size_t n, struct err *e);

/* Says that everything up to the join is given; does nothing when a load said so. */
int start_begin(struct capture *c, struct err *e);

/* ---- requests.c ---- */

/* At the start of the process: carries out what was asked for, but for what needs the source. */
int requests_first(struct capture *c, struct err *e);

/* Between two rounds of the log, looking once a second: tables to be loaded anew. */
int requests_now(struct capture *c, struct err *e);

/* ---- stop.c ---- */

/* True when a change at this position, committed then, lies behind the stop: it must not go out. */
bool stop_lies_before(struct capture *c, const struct position *position, int64_t commit_real_ns);

/* The same for a place up to which everything was given. */
void stop_note_complete(struct capture *c, const struct position *position, int64_t commit_real_ns);

/* Once the stop is reached: waits until all is acknowledged, writes down that the task has ended. */
int stop_end(struct capture *c, struct err *e);

/* At a start: has the task ended at the stop it still has? */
int stop_look_back(struct capture *c, bool *has_ended, struct err *e);

/* Lets a task that has ended go on behind its stop, from its next start on. */
int stop_pass(struct capture *c, struct err *e);

/* ---- load_plan.c: which tables are loaded ---- */

/* Writes the plan of a first start: the join, the tables, in load order. */
int load_plan(struct capture *c, struct source_table *const *tables, size_t n, struct err *e);

/* Has schema.table loaded anew while the log is followed; a suspended table takes part again from
   then on.  Durable when it returns.  ERR_NOT_FOUND: the task has no such table; ERR_CONFIG: a task
   that only loads or only follows, or a table the source refuses for good.  To be called between
   two rounds of the log. */
int load_request(struct capture *c, const char *schema, const char *table, struct err *e);

/* Begins the reloads that were asked for; the log is complete at c->complete. */
int load_begin_reloads(struct capture *c, struct err *e);

struct member *load_member(struct capture *c, const struct state_table *st);

/* The table has rows to be read. */
bool load_takes_part(struct capture *c, const struct state_table *st);

/* ---- load_chunk.c: chunks of the plan ---- */

/* Adds the chunk that begins with this page; durable with the next state_write(). */
int chunk_plan(struct capture *c, const struct position *at, const struct load_item *item,
               struct err *e);

/* Adds a chunk without rows, which announces the table. */
int chunk_plan_empty(struct capture *c, const struct position *at, uint32_t table, struct err *e);

/* Forgets chunks that no start can need any more. */
int chunk_prune(struct capture *c, struct err *e);

/* Gives chunk i: what comes before its rows; a page of them; what comes behind. */
int chunk_begin(struct capture *c, size_t i, struct err *e);
int chunk_rows(struct capture *c, size_t i, const struct source_page *page, struct err *e);
int chunk_end(struct capture *c, size_t i, struct err *e);

/* load_pool_take(), with what its errors mean for the table. */
int chunk_take(struct capture *c, int only, uint32_t ms, struct load_item *item, struct err *e);

/* The rest of a range whose pages all belong to chunk i. */
int chunk_drain(struct capture *c, size_t i, uint32_t reader, struct err *e);

/* Gives again the chunks the rings do not have whole: now those whose place the log has reached,
   the others when it comes there (c->due, chunk_due()). */
int chunk_replay(struct capture *c, struct err *e);

/* Before anything behind `position` is given. */
int chunk_due(struct capture *c, const struct position *position, struct err *e);

/* ---- load.c: who reads what, when ---- */

/* Does what is left of the load a task begins with.  Returns at once when nothing is. */
int load_run(struct capture *c, struct err *e);

/* The load is over and the rings have all of it. */
bool load_is_over(const struct capture *c);

/* The load is over: notes where the task is to stop, if FullLoadSettings say so.  Only once: a task
   that is started again goes on. */
int load_stop_after(struct capture *c, struct err *e);
bool load_should_stop(struct capture *c);

/* Between two rounds of the log: loads a chunk a reader of the tables that wait for it.  *more:
   something is left. */
int load_step(struct capture *c, bool *more, struct err *e);

/* Makes the readers, if they are not there. */
int load_open(struct capture *c, struct err *e);

/* Ends the readers: before a connection is made anew, at the end. */
void load_close(struct capture *c);

/* ---- gap.c ---- */

/* Suspends st on disk, with what it lost. */
int
gap_suspend(struct capture *c, struct state_table *st, const struct source_gap *gap, struct err *e);

/* A table suspended for a hole, met again at a start: the hole is larger when reading begins before
   it, for nothing of a suspended table is read. */
int gap_rejoin(struct capture *c, struct state_table *st, struct err *e);

/* source_sink.lost */
int gap_on_lost(void *arg, struct source_table *t, const struct source_gap *gap, struct err *e);

/* ERR_GAP, naming all of them, when every table of the task is suspended.  Asked behind a round of
   the log, which may have brought a table that came meanwhile. */
int gap_any_left(struct capture *c, struct err *e);

/* ---- health.c ---- */

/* To be called between the engine's calls, as often as one likes: looks at the source's health and
   sends the heartbeat when they are due.  -1: the connection is lost, or the checkpoints are. */
int health_tick(struct capture *c, struct err *e);

/* The alarm's level for so much of the retention used up, with the level it has now. */
enum source_level health_retention_level(uint64_t used_percent, enum source_level now);

/* ---- follow.c ---- */

void follow_init(struct capture *c);

/* Follows the log until an error or a stop (ERR_STOPPED). */
int follow_run(struct capture *c, struct err *e);

#endif
