/*
 * session - the inside of engine and session, shared by the files of this folder.
 *
 * One SQLite file per database in WAL mode; each session has a SQLite connection of its own
 * and attaches database n as schema d<n>.  Readers see the last committed state and never
 * wait.  Writers of one database take turns: database.writer, under engine.mutex, is held
 * from the first write to the end of the transaction, so SQLite itself never sees two.
 *
 * A SQLite transaction is begun at the first write (or at the first read under SNAPSHOT), not
 * at BEGIN TRAN: until then each statement reads the newest state, as READ COMMITTED does.
 */
#ifndef MSSQLD_SESSION_H
#define MSSQLD_SESSION_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "tests/mssqld/sql/arena.h"
#include "tests/mssqld/sql/ast.h"
#include "tests/mssqld/sql/lex.h"
#include "tests/mssqld/sql/value.h"

#define DB_MASTER  1
#define DB_TEMPDB  2
#define DB_MODEL   3
#define DB_MSDB    4
#define LSN_SIZE   10
#define SHARES_MAX 64

struct table;
struct ddl_note;
struct fault;
struct override;
struct job;

struct database {
    int id;
    char *name;
    char *path;
    int64_t create_date; /* ticks, local time */
    uint8_t fork_guid[16];
    uint8_t broker_guid[16];
    uint8_t guid[16];
    uint8_t family_guid[16];
    uint8_t group_guid[16]; /* of the availability group; zero = in none */
    uint8_t first_fork[16]; /* the fork the current one left at fork_lsn */
    uint8_t fork_lsn[LSN_SIZE];
    bool forked;
    _Atomic int state;       /* enum database_state */
    _Atomic bool read_only;  /* 3906 for who writes */
    _Atomic int command_ids; /* enum: of instances enabled from now on, see cdc.h */
    _Atomic bool secondary;  /* a readable replica: no scans of its own */
    _Atomic bool cdc_enabled;
    _Atomic bool snapshot_allowed;
    _Atomic bool rcsi;
    bool dropped;
    struct session *writer; /* under engine.mutex */
    _Atomic int64_t last_write_ns;
    /* Changes go to the pending log, not to the change tables: changed by who has the writer's
       turn, when the log is empty or about to be filled (job.c). */
    _Atomic bool deferred;
    _Atomic bool cleanup_paused; /* between its two steps */
    _Atomic bool dummies_off;
    uint8_t log_end[LSN_SIZE]; /* LSN of the last log record; under engine.mutex */
    struct job *job;           /* the capture job; under engine.mutex */
    struct database *next;
};

struct engine {
    pthread_mutex_t mutex;  /* databases, sessions, writers, master */
    pthread_cond_t changed; /* a writer let go */
    char *directory;
    char *sa_password;
    char *_Atomic server_name;
    char *old_names[64]; /* until the engine closes: they may be being read */
    int n_old_names;
    unsigned dummy_row_ms;
    sqlite3 *master; /* writes of srv_* tables, under mutex */
    struct database *databases;
    struct session *sessions;
    _Atomic uint64_t catalog_version;
    _Atomic uint64_t next_transaction;
    struct session *internal; /* sets up databases, then the job thread's */
    pthread_t job_thread;     /* rounds of capture jobs, dummy rows */
    pthread_cond_t job_wake;
    bool job_running;
    _Atomic bool agent_running;
    _Atomic bool stopping;
    int n_shares;               /* of all sessions; under mutex */
    struct ddl_note *ddl_notes; /* ring of the last DDL_NOTES; under mutex */
    uint64_t ddl_count;
    struct fault *faults;       /* under mutex */
    struct override *overrides; /* under mutex */
    _Atomic int flavour;        /* enum flavour */
    _Atomic int major;          /* version; 0 = the newest */
    _Atomic int max_text_repl_size;
    _Atomic int n_faults;
    void (*cut)(void *arg, uint16_t spid); /* under mutex */
    void *cut_arg;
};

struct variable {
    const char *name;
    struct sql_type type;
    struct sql_value value; /* bytes in frame.values */
    bool output;
};

/* What belongs to one running batch: a batch, a procedure body, an EXEC('...'). */
struct frame {
    const char *text;
    const struct literal *literals;
    struct variable *vars;
    int n_vars;
    struct arena *arena;
    const char *procedure;
    struct frame *up;
    int32_t return_value;
    bool has_return;
};

enum isolation {
    ISO_READ_UNCOMMITTED,
    ISO_READ_COMMITTED,
    ISO_REPEATABLE,
    ISO_SERIALIZABLE,
    ISO_SNAPSHOT
};

struct savepoint {
    char *name;
    int number; /* SQLite name sp<number> */
    struct savepoint *up;
};

/* Change capture of one database within the running transaction. */
struct cdc_tx {
    struct database *db;
    bool active;
    bool deferred; /* into the pending log */
    uint8_t commit_lsn[LSN_SIZE];
    uint8_t begin_lsn[LSN_SIZE];
    uint8_t seqval[LSN_SIZE];
    int32_t command_id;
    int64_t begin_time; /* ticks, local */
    uint64_t tran_id;
};

#define DDL_NOTES 256

/* A table changed by DDL, for snapshots older than that. */
struct ddl_note {
    int database_id;
    int object_id;
    uint64_t at; /* engine.ddl_count then */
};

/* A table held still. */
struct share {
    struct database *db;
    int object_id;
};

struct plan_entry;

struct session {
    struct engine *engine;
    sqlite3 *db;
    struct session *next; /* engine.sessions */
    char *login;
    bool sysadmin;
    bool read_only_intent;
    bool primary; /* writes databases that are read-only, as the primary's log does */
    char *application;
    char *host;
    uint16_t spid;
    struct database *current;
    struct database *waiting_for; /* this and the next: under engine.mutex */
    int waiting_object;
    bool waiting_shared;
    struct share shares[SHARES_MAX];
    int n_shares;
    struct database *attached[9]; /* each as d<id>; SQLite allows ten */

    bool nocount;
    bool xact_abort;
    bool implicit_tx;
    int lock_timeout_ms; /* -1 = forever */
    enum isolation isolation;
    enum date_order date_order;
    int64_t identity_insert; /* database id << 32 | object id */

    int trancount;
    bool doomed;
    bool sqlite_tx;
    uint64_t turn; /* counts transactions: between two of them others may write; never 0 */
    bool snapshot_tx;
    uint64_t snapshot_ddl;           /* engine.ddl_count when the view was fixed */
    struct ddl_note ddl_changed[16]; /* by this transaction */
    int n_ddl_changed;
    bool ddl_in_tx;
    bool cdc_internal; /* statements of the engine itself: not captured, not checked */
    uint64_t tran_descriptor;
    uint8_t save_lsn[LSN_SIZE]; /* of the last SAVE TRANSACTION; zero = none */
    int64_t tran_begin;         /* ticks, local; 0 = not begun */
    char tran_name[33];         /* of the outermost BEGIN TRAN; "" when it has none */
    struct savepoint *savepoints;
    int savepoint_number;
    struct cdc_tx cdc;

    int64_t rowcount;
    int32_t last_error;
    bool has_identity;
    int64_t last_identity;

    const struct sink *sink;
    enum done_kind kind;
    bool peer_gone;
    _Atomic bool ended;  /* the front closes the connection after this answer */
    int64_t fault_after; /* rows after which fault_error comes; -1 = never */
    struct sqlerr fault_error;
    int fault_cut;
    int nesting;
    struct frame *frame;
    struct sqlerr error;     /* of the statement being run */
    struct sqlerr fn_error;  /* set by a SQL function before it fails the statement */
    struct sqlerr caught;    /* in CATCH: what ERROR_NUMBER() and friends tell */
    struct arena fn_arena;   /* one function call's memory */
    struct arena row_arena;  /* one row's memory */
    struct arena exec_arena; /* one top-level run's memory */
    struct moment now_utc;   /* of the running statement */
    struct moment now_local;

    uint64_t catalog_version;
    struct table *tables;     /* cache, valid for catalog_version */
    struct table *old_tables; /* forgotten, freed between batches */
    struct plan_entry *plans;
    int n_plans;
    struct sqlite3_stmt *lsn_stmt[4];
};

/* engine.c */
struct database *engine_database(struct engine *g, const char *name); /* NULL when unknown */
struct database *engine_database_id(struct engine *g, int id);
int engine_create_database(struct session *s, const char *name);
int engine_drop_database(struct session *s, const char *name);
void engine_save_database(struct engine *g, const struct database *d);
void engine_catalog_changed(struct engine *g);
int engine_setup_database(struct session *s, struct database *d);
void engine_load_log_end(struct session *s, struct database *d); /* from the file */

/* Closes the connection of a session, whatever it does now. */
void engine_cut(struct engine *g, uint16_t spid);

/* session.c */
/* The connection is to be closed once the running answer is sent. */
void session_end(struct session *s);
int session_attach(struct session *s, struct database *d);
/* Runs SQL text on the session's connection; -1 sets s->error. */
int session_sql(struct session *s, const char *sql);
int session_sqlf(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prepares; NULL sets s->error. */
sqlite3_stmt *session_prepare(struct session *s, const char *sql);
/* Turns SQLite's last failure (or fn_error) into s->error; returns -1. */
int session_sqlite_error(struct session *s);
int64_t session_int(struct session *s, int64_t otherwise, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
struct session *session_internal_open(struct engine *g, struct database *d);

/* transaction.c */
/* The writer's turn, once nobody shares the table (0: none in particular); then a transaction. */
int tx_begin_write(struct session *s, struct database *d, int object_id);
int tx_begin_read(struct session *s); /* under SNAPSHOT fixes the view */
/* Ends what a statement outside a transaction opened. */
int tx_end_statement(struct session *s, bool ok);
int tx_begin(struct session *s, const char *name); /* name may be NULL */
int tx_commit(struct session *s);
int tx_rollback(struct session *s); /* everything */
int tx_save(struct session *s, const char *name);
int tx_rollback_to(struct session *s, const char *name);

/* lock.c: held to the end of the transaction; errors 1222, 1205. */
int tx_lock(struct session *s, struct database *d, int object_id);  /* the writer's turn */
int tx_share(struct session *s, struct database *d, int object_id); /* a table held still */

/* run.c */
int run_text(struct session *s, const char *text, struct variable *params, int n_params,
             const char *procedure, int32_t *return_value);
int run_internal(struct session *s, const char *text); /* as the engine itself, answers dropped */
int run_message(struct session *s, const struct sqlerr *e); /* -1 when the peer is gone */
int run_done(struct session *s, uint16_t status, uint16_t command, int64_t rows);
struct value_context run_context(struct session *s, enum value_mode mode);

#endif
