/*
 * engine - what the TDS front of mssqld asks of the T-SQL side.
 *
 * The front (packets, TLS, login record, tokens, type encodings) knows nothing of SQL;
 * the engine (T-SQL over SQLite, databases, transactions, change data capture) knows
 * nothing of the wire.  They meet here: the front hands over text and parameters, the
 * engine answers by calling the sink, in the order in which tokens go out.
 *
 * Thread use: one engine, many sessions; a session is used by one thread at a time.
 *
 * Who does what at the seam (the front's side, settled while it was written):
 *  - DONE_MORE: the front holds each DONE back by one token and sets the bit itself.  The
 *    engine reports one done() a statement and never thinks of what follows.  A batch that
 *    reported none gets a final DONE from the front (with the error bit after an ERROR).
 *  - RPC: inside session_run(DONE_IN_PROC) and session_call() the engine reports DONE_IN_PROC
 *    per statement; the front adds RETURNSTATUS (0 unless return_status() was called) and the
 *    closing DONEPROC.  EXEC inside a batch is the engine's: done(DONE_IN_PROC)...,
 *    return_status(), done(DONE_PROC).
 *  - Output parameters: return_value() for each, after the statements.
 *  - database_changed(): the front sends ENVCHANGE 1 and INFO 5701 (text included).
 *  - session_open() calls nothing but message(), and only on refusal; the front sends the
 *    login's ENVCHANGEs and INFOs from session_database().
 *  - CHAR, NCHAR and BINARY values come padded by the engine.
 *  - The front converts no values: a parameter of sp_executesql keeps the type it had on the
 *    wire in .type, and .declared points to the type it was declared with (NULL when none was).
 */
#ifndef MSSQLD_ENGINE_H
#define MSSQLD_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct engine;
struct session;

enum sql_base {
    SQL_BIT,
    SQL_TINYINT,
    SQL_SMALLINT,
    SQL_INT,
    SQL_BIGINT,
    SQL_REAL,
    SQL_FLOAT,
    SQL_DECIMAL,
    SQL_NUMERIC,
    SQL_SMALLMONEY,
    SQL_MONEY,
    SQL_DATE,
    SQL_TIME,
    SQL_SMALLDATETIME,
    SQL_DATETIME,
    SQL_DATETIME2,
    SQL_DATETIMEOFFSET,
    SQL_CHAR,
    SQL_VARCHAR,
    SQL_TEXT,
    SQL_NCHAR,
    SQL_NVARCHAR,
    SQL_NTEXT,
    SQL_BINARY,
    SQL_VARBINARY,
    SQL_IMAGE,
    SQL_UNIQUEIDENTIFIER,
    SQL_XML,
    SQL_ROWVERSION,
    SQL_VARIANT,
    SQL_HIERARCHYID, /* CLR types: serialised bytes */
    SQL_GEOMETRY,
    SQL_GEOGRAPHY,
};

#define SQL_LENGTH_MAX (-1) /* (max) */

struct sql_type {
    enum sql_base base;
    int32_t length;    /* characters for n-types, bytes for the rest; SQL_LENGTH_MAX for (max) */
    uint8_t precision; /* decimal, numeric: 1..38 */
    uint8_t scale;     /* decimal, numeric; time types 0..7 */
    bool nullable;     /* false: the front sends the fixed-length token where one exists */
    bool identity;
    bool computed;
    uint8_t collation[5]; /* as on the wire; used by character types */
};

/* One value.  Memory belongs to whoever made it; valid during the sink call. */
struct sql_value {
    bool is_null;
    union {
        int64_t i; /* BIT..BIGINT; MONEY and SMALLMONEY in 1/10000 */
        double f;  /* REAL (exactly a float), FLOAT */
        struct {
            bool negative;
            __extension__ unsigned __int128 magnitude; /* unscaled; scale stands in the type */
        } dec;
        struct {
            int32_t days;       /* since 0001-01-01 */
            int64_t ticks;      /* 100 ns since midnight; UTC for DATETIMEOFFSET.  DATETIME: exact
                                   1/300 s rounded to 100 ns */
            int16_t offset_min; /* DATETIMEOFFSET */
        } dt;
        struct {
            const void *data; /* character types: UTF-8 (lone surrogates as WTF-8); the rest raw.
                                 UNIQUEIDENTIFIER: 16 bytes in wire order */
            size_t size;
        } bytes;
        struct {
            const struct sql_type *type; /* VARIANT */
            const struct sql_value *value;
        } variant;
    };
};

struct sql_column {
    const char *name; /* UTF-8, "" when unnamed */
    struct sql_type type;
};

enum done_kind { DONE_BATCH, DONE_PROC, DONE_IN_PROC };

#define DONE_MORE    0x0001U
#define DONE_ERROR   0x0002U
#define DONE_IN_XACT 0x0004U
#define DONE_COUNT   0x0010U
#define DONE_ATTN    0x0020U
#define DONE_SEVERE  0x0100U

/* Every call returns 0, or -1 when the peer is gone: the engine then stops the batch. */
struct sink {
    void *arg;
    int (*columns)(void *arg, const struct sql_column *columns, int n);
    int (*row)(void *arg, const struct sql_value *values);
    int (*done)(void *arg, enum done_kind kind, uint16_t status, uint16_t command, uint64_t rows);
    /* severity > 10 is an ERROR token, else INFO. */
    int (*message)(void *arg, int32_t number, uint8_t state, uint8_t severity, const char *text,
                   const char *procedure, int32_t line);
    int (*database_changed)(void *arg, const char *from, const char *to);
    int (*transaction_changed)(void *arg, uint8_t env_type /* 8, 9, 10 */, uint64_t descriptor);
    int (*return_status)(void *arg, int32_t status);
    int (*return_value)(void *arg, const char *name, const struct sql_type *type,
                        const struct sql_value *value);
    /* True when an attention has arrived: the engine ends the batch early, without DONE. */
    bool (*cancelled)(void *arg);
};

struct sql_param {
    const char *name;     /* with '@'; "" when positional */
    struct sql_type type; /* of value, as it came */
    struct sql_value value;
    const struct sql_type *declared; /* from "@p int, ..."; NULL = same as type */
    bool output;
    bool use_default;
};

struct engine_config {
    const char *directory;   /* where databases live; made if absent */
    const char *sa_password; /* login sa; further logins come from CREATE LOGIN */
    const char *server_name;
    unsigned dummy_row_ms; /* idle time after which lsn_time_mapping gets a dummy row; 0 = never */
};

int engine_open(const struct engine_config *config, struct engine **out, struct err *e);
void engine_close(struct engine **engine);

/*
 * How the engine cuts connections (fail-over, KILL, ordered faults): cut() makes the connection
 * with that spid die at once, also while it waits for a request.  Called from any session's
 * thread, perhaps its own.  NULL takes it away again.
 */
void engine_on_cut(struct engine *engine, void (*cut)(void *arg, uint16_t spid), void *arg);

struct login_request {
    const char *user;
    const char *password;
    const char *database; /* "" = the login's default, master */
    const char *application;
    const char *host;
    bool read_only_intent;
    /* The front has proven who the user is (Kerberos): a login FROM WINDOWS, no password. */
    bool is_authenticated;
};

/*
 * Opens a session.  On refusal returns -1 after sink->message() with the server's number
 * (18456 bad login, 4060 no such database).
 */
int session_open(struct engine *engine, const struct login_request *login, uint16_t spid,
                 const struct sink *sink, struct session **out);
void session_close(struct session **session);

/* True when the engine has ended the session: the front sends what it has, then closes. */
bool session_ended(const struct session *session);
const char *session_database(const struct session *session);

/*
 * Runs a batch.  params may be NULL (plain batch) or declared variables (sp_executesql,
 * sp_execute).  kind says which DONE tokens end statements: DONE_BATCH for a batch,
 * DONE_IN_PROC inside an RPC (the front then adds RETURNSTATUS and DONEPROC itself).
 * Returns 0 when the batch ran to an end, with or without SQL errors; -1 when the peer is gone.
 */
int session_run(struct session *session, const char *text, const struct sql_param *params,
                int n_params, enum done_kind kind, const struct sink *sink);

/* An RPC of a named procedure (sys.sp_cdc_enable_db ...).  Same result as session_run. */
int session_call(struct session *session, const char *procedure, struct sql_param *params,
                 int n_params, const struct sink *sink);

/* Transaction manager requests. */
int session_begin(struct session *session, const struct sink *sink);
int session_commit(struct session *session, const struct sink *sink);
int session_rollback(struct session *session, const struct sink *sink);
int session_save(struct session *session, const char *name, const struct sink *sink);

/*
 * Parses a parameter declaration list ("@p int, @q nvarchar(20) OUTPUT") into names, types and
 * the output flag.  *out is one malloc'd block, names included: the caller frees it.
 */
int engine_parse_params(const char *text, struct sql_param **out, int *n, struct err *e);

#endif
