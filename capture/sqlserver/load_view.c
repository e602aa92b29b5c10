/*
 * Exact hand-over: readers that see a table at one moment, and that moment's LSN.
 *
 * The main connection holds a shared lock on the table, so that nobody commits a change of it.
 * Meanwhile each reader opens a SNAPSHOT transaction and fixes its view by a first read, and one of
 * them sets a savepoint, which has an LSN.  Then the lock is given up.  Every change of the table
 * that a reader sees was committed at or below that LSN, every other one above it.
 * (Savepoint LSN: sys.dm_tran_database_transactions; the method is Materialize's.)
 *
 * The lock waits for running writers and holds up new ones meanwhile: it is tried for half a second
 * at a time, with pauses, until FullLoadSettings.TransactionConsistencyTimeout.
 */
#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_TRY     "500" /* ms */
#define PAUSE_MS     250
#define NUMERIC_SIZE 48

/* Digits of an LSN as numeric(25, 0): VLF, block (10), slot (5). */
#define SLOT_DIGITS  5U
#define BLOCK_DIGITS 10U

enum { LOCK_TIMEOUT_PASSED = 1222, DEADLOCK_VICTIM = 1205 };

static const char unlock[] =
    "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SET LOCK_TIMEOUT -1; SET DEADLOCK_PRIORITY NORMAL";
static const char drop_view[] =
    "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/* ---- the moment ---- */

static bool
read_part(const char *digits, size_t n, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(digits[i] - '0');
    }
    *out = value;
    return value <= most;
}

/* The LSN of its decimal form. */
static bool
parse_lsn(const char *text, struct lsn *out)
{
    size_t n = strlen(text);
    uint64_t vlf;
    uint64_t block;
    uint64_t slot;

    if (n <= BLOCK_DIGITS + SLOT_DIGITS || n > 25 ||
        !read_part(text, n - BLOCK_DIGITS - SLOT_DIGITS, UINT32_MAX, &vlf) ||
        !read_part(text + n - BLOCK_DIGITS - SLOT_DIGITS, BLOCK_DIGITS, UINT32_MAX, &block) ||
        !read_part(text + n - SLOT_DIGITS, SLOT_DIGITS, UINT16_MAX, &slot))
        return false;
    for (int i = 0; i < 4; i++) {
        out->b[i] = (uint8_t)(vlf >> (24 - 8 * i));
        out->b[4 + i] = (uint8_t)(block >> (24 - 8 * i));
    }
    out->b[8] = (uint8_t)(slot >> 8);
    out->b[9] = (uint8_t)slot;
    return true;
}

static int
read_moment(struct source_reader *r, struct lsn *out, struct err *e)
{
    struct db *db = reader_db(r);
    char text[NUMERIC_SIZE] = "";
    int rc;

    if (reader_run(r, "SAVE TRANSACTION weir", e) != 0 ||
        db_query(db,
                 "SELECT CONVERT(varchar(40), t.database_transaction_most_recent_savepoint_lsn) "
                 "FROM sys.dm_tran_database_transactions AS t JOIN sys.dm_tran_current_transaction "
                 "AS c ON c.transaction_id = t.transaction_id WHERE t.database_id = DB_ID()",
                 e) != 0)
        return -1;
    while ((rc = db_next(db, e)) == 1)
        db_text(db, 0, text, sizeof(text));
    if (rc < 0 || db_result(db, e) < 0)
        return -1;
    return parse_lsn(text, out)
               ? 0
               : err_set(e, ERR_SQL, "the server names no savepoint LSN: '%s'", text);
}

/* ---- what it takes ---- */

/* 1 with the reason when this database does not allow it. */
static int
check_allowed(struct sqlserver *s, struct err *e)
{
    int64_t state = 0;
    int rc;

    if (db_query(s->db,
                 "SELECT d.snapshot_isolation_state FROM sys.databases AS d WHERE d.database_id = "
                 "DB_ID()",
                 e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1)
        state = db_int(s->db, 0);
    if (rc < 0 || db_result(s->db, e) < 0)
        return -1;
    if (state == 1)
        return 0;
    err_set(e, ERR_CONFIG, "the database does not allow snapshot isolation");
    err_hint(e,
             "for loads without repeats: ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON");
    return 1;
}

/* 0 = locked, 1 = not yet, -1 = error. */
static int
try_lock(struct sqlserver *s, const struct instance *in, struct err *e)
{
    const char *text;

    sql_reset(&s->q);
    sql_add(&s->q, "SET LOCK_TIMEOUT " LOCK_TRY "; SET DEADLOCK_PRIORITY LOW; BEGIN TRANSACTION; "
                   "SELECT TOP (0) 1 AS one FROM ");
    load_add_table(&s->q, in);
    sql_add(&s->q, " WITH (TABLOCK, HOLDLOCK)");
    text = sql_text(&s->q, e);
    if (text == NULL)
        return -1;
    if (db_run(s->db, text, e) == 0)
        return 0;
    if (e->code != ERR_SQL || (e->sys != LOCK_TIMEOUT_PASSED && e->sys != DEADLOCK_VICTIM))
        return -1;
    return db_run(s->db, unlock, e) == 0 ? 1 : -1;
}

/* With heartbeats; true when a stop was asked for. */
static bool
pause_lock(const struct sqlserver *s)
{
    struct pollfd stop = {.fd = s->config.stop_fd, .events = POLLIN};

    if (s->config.beat != NULL)
        s->config.beat(s->config.beat_arg);
    return poll(&stop, stop.fd >= 0 ? 1 : 0, PAUSE_MS) > 0;
}

static int
lock_table(struct sqlserver *s, const struct instance *in, struct err *e)
{
    uint32_t seconds = s->config.task->transaction_consistency_timeout;
    int64_t until = clock_mono_ns() + (int64_t)seconds * NS_PER_S;
    int rc;

    while ((rc = try_lock(s, in, e)) == 1) {
        if (clock_mono_ns() >= until) {
            err_set(e, ERR_TIMEOUT, "transactions on %s.%s did not end within %u s",
                    in->table.def->schema, in->table.def->name, seconds);
            err_hint(e, "raise FullLoadSettings.TransactionConsistencyTimeout, or load when fewer "
                        "long transactions run");
            return 1;
        }
        if (pause_lock(s))
            return err_set(e, ERR_STOPPED, "stopped in a full load");
    }
    return rc;
}

static int
fix_view(struct sqlserver *s, const struct instance *in, struct source_reader *r, struct err *e)
{
    const char *text;

    sql_reset(&s->q);
    sql_add(&s->q, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION; SELECT TOP (1) 1 "
                   "AS one FROM ");
    load_add_table(&s->q, in);
    text = sql_text(&s->q, e);
    return text == NULL ? -1 : reader_run(r, text, e);
}

static int
fix_views(struct sqlserver *s, const struct instance *in, struct source_reader *const *readers,
          size_t n, struct lsn *moment, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (fix_view(s, in, readers[i], e) != 0)
            return -1;
    return read_moment(readers[0], moment, e);
}

static int
drop_views(struct source_reader *const *readers, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (reader_run(readers[i], drop_view, e) != 0)
            return -1;
    return 0;
}

/* What the server refuses while the lock is held: another right, another edition. */
static int
refused(struct source_reader *const *readers, size_t n, struct err *e)
{
    struct err why = *e;

    if (why.code != ERR_SQL)
        return -1;
    if (drop_views(readers, n, e) != 0)
        return -1;
    *e = why;
    e->code = ERR_CONFIG;
    err_context(e, "no exact hand-over");
    err_hint(e,
             "grant the login VIEW SERVER STATE (2022: VIEW SERVER PERFORMANCE STATE; Azure: VIEW "
             "DATABASE STATE), or set Weir.LoadHandover to repeats");
    return 1;
}

int
view_begin(struct source *base, struct source_table *t, struct source_reader *const *readers,
           size_t n, struct position *since, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct instance *in = (struct instance *)t;
    struct err ignored = ERR_INIT;
    struct lsn moment;
    int rc = check_allowed(s, e);

    if (rc == 0)
        rc = lock_table(s, in, e);
    if (rc != 0)
        return rc;
    rc = fix_views(s, in, readers, n, &moment, e);
    if (db_run(s->db, unlock, rc == 0 ? e : &ignored) != 0)
        return -1;
    if (rc != 0)
        return refused(readers, n, e);
    position_lsn_complete(moment.b, since);
    return 0;
}

int
view_end(struct source_reader *r, struct err *e)
{
    return reader_run(r, "COMMIT TRANSACTION; SET TRANSACTION ISOLATION LEVEL READ COMMITTED", e);
}
