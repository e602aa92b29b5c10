/*
 * stats - counters of one process in a mapped file: one writer, any number of readers.
 *
 * Written with plain relaxed stores (one writer per file), read by weirctl without touching
 * the process.  Field names, units and help come from common/stats_fields.def; the file
 * describes itself.  Layout: common/README.md, section "Statistics".
 *
 * A restarted process carries its table counters over from the file it replaces (kept as
 * <name>.prev): table statistics count the task's life, not the process's.
 *
 * Blocking: never.  Allocation: only on create and open.  Thread use: one writing thread.
 */
#ifndef WEIR_STATS_H
#define WEIR_STATS_H

#include "common/position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct stats;
struct stats_table;

/* Enumerations STAT_*, TSTAT_*, HIST_* are made from the definition file. */
enum stat_id {
#define F_STAGE(id, name, type, unit, level, help) STAT_##id,
#define F_TABLE(id, name, type, unit, level, help)
#define F_HIST(id, name, unit, level, help)
#include "common/stats_fields.def"
#undef F_STAGE
#undef F_TABLE
#undef F_HIST
    STAT_COUNT
};

enum tstat_id {
#define F_STAGE(id, name, type, unit, level, help)
#define F_TABLE(id, name, type, unit, level, help) TSTAT_##id,
#define F_HIST(id, name, unit, level, help)
#include "common/stats_fields.def"
#undef F_STAGE
#undef F_TABLE
#undef F_HIST
    TSTAT_COUNT
};

enum hist_id {
#define F_STAGE(id, name, type, unit, level, help)
#define F_TABLE(id, name, type, unit, level, help)
#define F_HIST(id, name, unit, level, help) HIST_##id,
#include "common/stats_fields.def"
#undef F_STAGE
#undef F_TABLE
#undef F_HIST
    HIST_COUNT
};

enum stage_state {
    STATE_STARTING,
    STATE_RECOVERING,
    STATE_SNAPSHOT,
    STATE_STREAMING,
    STATE_BACKPRESSURE,
    STATE_WAIT_SOURCE,
    STATE_WAIT_SINK,
    STATE_FATAL,
    STATE_STOPPED,
    STATE_COUNT
};

const char *stats_state_name(enum stage_state s);

/* DMS's table states. */
enum table_state {
    TABLE_BEFORE_LOAD,
    TABLE_FULL_LOAD,
    TABLE_COMPLETED,
    TABLE_ERROR,
    TABLE_RELOAD,
    TABLE_STATE_COUNT
};

const char *stats_table_state_name(enum table_state s); /* "Before load", "Full load", ... */

/* ---- writer ---- */

struct stats_config {
    const char *path;  /* <runtime>/stats.<stage> */
    const char *stage; /* "capture", "encoder.0", "shipper.1" */
    const char *task;  /* ReplicationTaskIdentifier */
    uint32_t tables;   /* capacity, e.g. 4096 */
};

/*
 * Makes the file, takes over the table counters of the one it replaces, and puts it in place.
 * ERR_BUSY when the process of the file in place lives; ERR_NOSPACE, ERR_ACCESS, ERR_IO.
 */
int stats_create(const struct stats_config *config, struct stats **out, struct err *e);

/* Unmaps and gives the lock up; the file stays for readers and for the next start. */
void stats_close(struct stats **s);

void stats_add(struct stats *s, enum stat_id id, uint64_t n);
void stats_set(struct stats *s, enum stat_id id, uint64_t value);
void stats_state(struct stats *s, enum stage_state state);

/* Heartbeat, loop time, CPU and memory; cheap, to be called once a loop. now_ns is monotonic. */
void stats_beat(struct stats *s, int64_t now_ns);

/* The record of a table, made on first use.  Never NULL: when the capacity is used up, a shared
   overflow record named "(others)" takes the rest.  name is "schema.table". */
struct stats_table *stats_table(struct stats *s, uint32_t table_id, const char *name);
void stats_table_add(struct stats_table *t, enum tstat_id id, uint64_t n);
void stats_table_set(struct stats_table *t, enum tstat_id id, uint64_t value);
uint64_t stats_table_get(const struct stats_table *t, enum tstat_id id);
void stats_table_state(struct stats_table *t, enum table_state state);

struct stats_position {
    struct position position;
    int64_t commit_real_ns; /* source commit time, UTC; 0 = unknown */
    int64_t seen_mono_ns;
};

/* Newest position of a table, and of the whole process (table NULL). */
void stats_position(struct stats *s, struct stats_table *t, const struct stats_position *p);

void stats_hist(struct stats *s, enum hist_id id, uint64_t ns);

/* Counts an error by (code, source line, table); the text is the latest instance.  The table's own
   count, TSTAT_ERRORS, is the caller's. */
void stats_error(struct stats *s, const struct err *e, uint32_t table_id);

/* Conditions that last: what is wrong now, as opposed to what went wrong once. */
enum stats_alarm_level { STATS_ALARM_NOTE, STATS_ALARM_WARNING, STATS_ALARM_ERROR };

const char *stats_alarm_level_name(enum stats_alarm_level level); /* "note", "warning", "error" */

/* Raises the alarm named code ("capture-job-stopped"), or brings its words up to date.  With all
   slots taken, further ones are not shown. */
void stats_alarm(struct stats *s, const char *code, enum stats_alarm_level level, const char *text,
                 const char *remedy);

/* It is over; nothing when it was not raised. */
void stats_alarm_clear(struct stats *s, const char *code);

/* ---- reader ---- */

struct stats_view; /* a mapped file of some process, living or dead */

/* ERR_NOT_FOUND, ERR_ACCESS, ERR_IO; ERR_LAYOUT for a file that is foreign, cut or newer. */
int stats_open(const char *path, struct stats_view **out, struct err *e);
void stats_view_close(struct stats_view **v);

/* True when the path now names another file (the process was restarted): open again. */
bool stats_view_stale(const struct stats_view *v);

struct stats_summary {
    char stage[64];
    char task[256];
    char build[64];
    uint64_t epoch; /* differs between two starts */
    int32_t pid;
    bool alive; /* its owner's lock is held */
    enum stage_state state;
    int64_t start_real_ns;
    int64_t heartbeat_age_ns; /* of the monotonic clock; -1 = from before a restart of the host */
    uint64_t max_loop_ns;
    uint64_t slow_loops; /* turns of a second and more */
    uint32_t error_seq;  /* rises with each new kind of error */
    uint64_t counters[STAT_COUNT];
    struct stats_position position;
    bool position_torn; /* the writer died inside the cell */
};

void stats_view_summary(const struct stats_view *v, struct stats_summary *out);

struct stats_table_view {
    uint32_t table_id;
    char name[257];
    enum table_state state;
    uint64_t counters[TSTAT_COUNT];
    struct stats_position position;
    bool position_torn;
    bool is_retired; /* its id was given to another table */
};

/* Fills *out with table number i (0..); false past the end. */
bool stats_view_table(const struct stats_view *v, uint32_t i, struct stats_table_view *out);

/* q in 0..1; 0 when the histogram is empty.  Nanoseconds, at most 12.5 % too high. */
uint64_t stats_view_quantile(const struct stats_view *v, enum hist_id id, double q);

/* A copy of a histogram; the difference of two copies is the time between them. */
#define STATS_BUCKETS 496
struct stats_distribution {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t buckets[STATS_BUCKETS];
};

void stats_view_distribution(const struct stats_view *v, enum hist_id id,
                             struct stats_distribution *out);
/* Takes `earlier` off; max_ns stays that of the whole life. */
void
stats_distribution_subtract(struct stats_distribution *d, const struct stats_distribution *earlier);
void stats_distribution_add(struct stats_distribution *d, const struct stats_distribution *other);
uint64_t stats_distribution_quantile(const struct stats_distribution *d, double q);

struct stats_error_view {
    char code[32];
    char file[40]; /* where it was first seen */
    uint32_t line;
    char text[400];
    uint32_t table_id;
    uint64_t count;
    int64_t first_real_ns;
    int64_t last_real_ns;
};

/* Fills *out with error number i; false past the end. */
bool stats_view_error(const struct stats_view *v, uint32_t i, struct stats_error_view *out);

struct stats_alarm_view {
    bool is_raised; /* false: over, skip it */
    enum stats_alarm_level level;
    char code[48];
    char text[512];
    char remedy[432];
    int64_t since_real_ns;
    int64_t last_real_ns; /* when it was last seen to be so */
};

/* Fills *out with alarm number i; false past the end, and for files of before 1.2. */
bool stats_view_alarm(const struct stats_view *v, uint32_t i, struct stats_alarm_view *out);

/* The file's own list of its counters: JSON, which may name more than this program knows. */
const char *stats_view_schema(const struct stats_view *v, size_t *size);

/* Counter number i of the file's own list; false past its end. */
bool stats_view_counter(const struct stats_view *v, uint32_t i, uint64_t *out);

/* ---- the definition file, for tools ---- */

enum stats_type { STATS_TYPE_counter, STATS_TYPE_gauge };
enum stats_level { STATS_LEVEL_info, STATS_LEVEL_diag, STATS_LEVEL_debug };

struct stats_field {
    const char *name;
    enum stats_type type;
    const char *unit;
    enum stats_level level;
    const char *help;
};

const struct stats_field *stats_stage_field(enum stat_id id);
const struct stats_field *stats_table_field(enum tstat_id id);
const struct stats_field *stats_hist_field(enum hist_id id);

/* The schema this program writes. */
const char *stats_schema(void);

#endif
