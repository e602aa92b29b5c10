/* Transactions: when SQLite's own begins and ends, savepoints, the end of the log. */
#include "common/clock.h"
#include "common/err.h"
#include "tests/mssqld/sql/catalog.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/job.h"

static void
note_begin(struct session *s)
{
    struct moment utc;
    struct moment local;

    if (s->tran_begin != 0)
        return;
    datetime_now(&utc, &local);
    s->tran_begin = datetime_grid(local.days * TICKS_PER_DAY + local.ticks);
}

/* A record more in the log (under mutex); the records of a captured transaction end it. */
static void
grow_log(struct database *d, const uint8_t *lsn)
{
    if (lsn != NULL)
        memcpy(d->log_end, lsn, LSN_SIZE);
    else if (d->log_end[8] != 0xFF || d->log_end[9] != 0xFF) /* a block's slots end */
        lsn_add(d->log_end, 1);
}

static void
unlock_all(struct session *s, const uint8_t *lsn, bool committed)
{
    struct engine *g = s->engine;
    bool any = s->n_shares > 0;

    (void)pthread_mutex_lock(&g->mutex);
    g->n_shares -= s->n_shares;
    s->n_shares = 0;
    for (struct database *d = g->databases; d != NULL; d = d->next)
        if (d->writer == s) {
            d->writer = NULL;
            if (committed)
                grow_log(d, lsn != NULL && s->cdc.db == d ? lsn : NULL);
            atomic_store(&d->last_write_ns, clock_mono_ns());
            any = true;
        }
    if (any)
        (void)pthread_cond_broadcast(&g->changed);
    (void)pthread_mutex_unlock(&g->mutex);
}

static int
open_savepoints(struct session *s, struct savepoint *p)
{
    if (p == NULL)
        return 0;
    if (open_savepoints(s, p->up) != 0)
        return -1;
    return session_sqlf(s, "SAVEPOINT sp%d", p->number);
}

static int
begin_sqlite(struct session *s)
{
    if (s->sqlite_tx)
        return 0;
    if (session_sql(s, "BEGIN") != 0)
        return -1;
    s->sqlite_tx = true;
    return open_savepoints(s, s->savepoints);
}

/*
 * SQLite's write lock, before anything is read.  A reader that meets a header being written takes
 * that lock for an instant: who comes from reading to writing just then is refused at once
 * (SQLITE_BUSY, or a snapshot that is too old); who begins by writing waits.
 */
static int
begin_writing(struct session *s, struct database *d)
{
    char name[16];
    int rc;

    (void)snprintf(name, sizeof name, "d%d", d->id);
    if (sqlite3_txn_state(s->db, name) != SQLITE_TXN_NONE)
        return 0;
    rc = sqlite3_exec(s->db,
                      arena_printf(&s->exec_arena, "DELETE FROM %s.sys_meta WHERE k IS NULL", name),
                      NULL, NULL, NULL);
    /* A database in the making has no such table yet. */
    return rc == SQLITE_OK || rc == SQLITE_ERROR ? 0 : session_sqlite_error(s);
}

int
tx_begin_write(struct session *s, struct database *d, int object_id)
{
    if (d->id == DB_MASTER && !s->sysadmin)
        return sqlerr_set(&s->error, 262, 14, 1, "Permission denied in database 'master'.");
    if (atomic_load(&d->read_only) && !s->primary && !s->cdc_internal)
        return sqlerr_set(&s->error, 3906, 16, 1,
                          "Failed to update database \"%s\" because the database is read-only.",
                          d->name);
    if (tx_lock(s, d, object_id) != 0)
        return -1;
    note_begin(s);
    return begin_sqlite(s) != 0 ? -1 : begin_writing(s, d);
}

int
tx_begin_read(struct session *s)
{
    if (s->isolation != ISO_SNAPSHOT || s->trancount == 0 || s->sqlite_tx)
        return 0;
    if (s->current->id > DB_MSDB && !atomic_load(&s->current->snapshot_allowed))
        return sqlerr_set(&s->error, 3952, 16, 1,
                          "Snapshot isolation transaction failed accessing database '%s' because "
                          "snapshot isolation is not allowed in this database. Use ALTER DATABASE "
                          "to allow snapshot isolation.",
                          s->current->name);
    (void)pthread_mutex_lock(&s->engine->mutex);
    s->snapshot_ddl = s->engine->ddl_count; /* before the view: one too many refused, none missed */
    (void)pthread_mutex_unlock(&s->engine->mutex);
    if (begin_sqlite(s) != 0)
        return -1;
    s->snapshot_tx = true;
    return 0;
}

static void
forget(struct session *s)
{
    while (s->savepoints != NULL) {
        struct savepoint *up = s->savepoints->up;

        free(s->savepoints->name);
        free(s->savepoints);
        s->savepoints = up;
    }
    s->trancount = 0;
    s->doomed = false;
    s->snapshot_tx = false;
    s->tran_begin = 0;
    memset(s->save_lsn, 0, sizeof s->save_lsn);
    s->cdc.active = false;
    if (s->ddl_in_tx) {
        s->ddl_in_tx = false;
        engine_catalog_changed(s->engine);
    }
}

static int
finish(struct session *s, bool commit)
{
    bool undone = s->sqlite_tx && !commit;
    bool wrote = s->sqlite_tx;
    bool captured;
    struct database *deferred;
    int rc = 0;

    if (s->sqlite_tx) {
        if (commit)
            rc = cdc_before_commit(s);
        if (rc != 0)
            commit = false;
        if (session_sql(s, commit ? "COMMIT" : "ROLLBACK") != 0) {
            rc = -1;
            (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        }
        s->sqlite_tx = false;
    }
    captured = commit && rc == 0 && s->cdc.active;
    deferred = captured && s->cdc.deferred ? s->cdc.db : NULL;
    if (undone || rc != 0) /* what the catalog held may never have been */
        catalog_forget(s);
    s->turn++;
    catalog_publish_ddl(s, commit && rc == 0);
    forget(s);
    unlock_all(s, captured ? s->cdc.commit_lsn : NULL, wrote && commit && rc == 0);
    if (deferred != NULL)
        job_committed(s, deferred);
    return rc;
}

int
tx_end_statement(struct session *s, bool ok)
{
    if (s->trancount > 0)
        return 0;
    return finish(s, ok);
}

int
tx_begin(struct session *s, const char *name)
{
    if (s->trancount == 0) {
        (void)snprintf(s->tran_name, sizeof s->tran_name, "%s", name != NULL ? name : "");
        s->tran_descriptor = atomic_fetch_add(&s->engine->next_transaction, 1);
        note_begin(s);
    }
    s->trancount++;
    return 0;
}

int
tx_commit(struct session *s)
{
    if (s->trancount == 0)
        return sqlerr_set(&s->error, 3902, 16, 1,
                          "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.");
    if (s->doomed)
        return sqlerr_set(&s->error, 3930, 16, 1,
                          "The current transaction cannot be committed and cannot support "
                          "operations that write to the log file. Roll back the transaction.");
    if (--s->trancount > 0)
        return 0;
    return finish(s, true);
}

int
tx_rollback(struct session *s)
{
    return finish(s, false);
}

int
tx_save(struct session *s, const char *name)
{
    struct savepoint *p;

    if (s->trancount == 0)
        return sqlerr_set(&s->error, 628, 16, 0,
                          "Cannot issue SAVE TRANSACTION when there is no "
                          "active transaction.");
    p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->name = strdup(name);
    CHECK(p->name != NULL);
    p->number = ++s->savepoint_number;
    p->up = s->savepoints;
    s->savepoints = p;
    /* Its record stands behind every commit so far and before every later one. */
    (void)pthread_mutex_lock(&s->engine->mutex);
    grow_log(s->current, NULL);
    memcpy(s->save_lsn, s->current->log_end, LSN_SIZE);
    (void)pthread_mutex_unlock(&s->engine->mutex);
    return s->sqlite_tx ? session_sqlf(s, "SAVEPOINT sp%d", p->number) : 0;
}

int
tx_rollback_to(struct session *s, const char *name)
{
    struct savepoint *p = s->savepoints;

    while (p != NULL && strcasecmp(p->name, name) != 0)
        p = p->up;
    if (p == NULL)
        return sqlerr_set(&s->error, 6401, 16, 1,
                          "Cannot roll back %s. No transaction or savepoint of that name was "
                          "found.",
                          name);
    while (s->savepoints != p) {
        struct savepoint *up = s->savepoints->up;

        free(s->savepoints->name);
        free(s->savepoints);
        s->savepoints = up;
    }
    catalog_forget(s);
    if (s->ddl_in_tx)
        engine_catalog_changed(s->engine);
    return s->sqlite_tx ? session_sqlf(s, "ROLLBACK TO sp%d", p->number) : 0;
}
