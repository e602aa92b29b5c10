/* Scans: the pending log's transactions into the change tables, in commit order. */
#include "common/clock.h"
#include "common/err.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/job_parts.h"

/* The transactions of one scan: up to this commit LSN. */
struct range {
    uint8_t last[LSN_SIZE];
    int64_t trans;
};

static sqlite3_stmt *
prepare_for(struct session *s, const uint8_t *lsn, const char *sql)
{
    sqlite3_stmt *q = session_prepare(s, sql);

    if (q != NULL && lsn != NULL)
        (void)sqlite3_bind_blob(q, 1, lsn, LSN_SIZE, SQLITE_STATIC);
    return q;
}

/* Runs a statement whose ?1 is an LSN; its number of rows, or -1. */
static int64_t
run_to(struct session *s, const uint8_t *lsn, const char *sql)
{
    sqlite3_stmt *q = prepare_for(s, lsn, sql);
    int64_t rows = -1;

    if (q == NULL)
        return -1;
    if (sqlite3_step(q) == SQLITE_DONE)
        rows = sqlite3_changes(s->db);
    else
        (void)session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rows;
}

static void
take_lsn(sqlite3_stmt *q, int column, uint8_t lsn[LSN_SIZE])
{
    if (sqlite3_column_bytes(q, column) == LSN_SIZE)
        memcpy(lsn, sqlite3_column_blob(q, column), LSN_SIZE);
}

/* The next maxtrans transactions of the log: what the scan's row says of them. */
static int
look(struct session *s, struct database *d, int maxtrans, struct range *r, struct scan *scan)
{
    int64_t newest = INT64_MAX;
    sqlite3_stmt *q;

    (void)pthread_mutex_lock(&s->engine->mutex);
    if (job_of(d)->lag_ms > 0)
        newest = scan->start - d->job->lag_ms * 10000;
    (void)pthread_mutex_unlock(&s->engine->mutex);
    q = session_prepare(s, arena_printf(&s->exec_arena,
                                        "SELECT lsn, begin_lsn, end_time FROM d%d.sys_pending "
                                        "WHERE end_time <= %lld ORDER BY lsn LIMIT %d",
                                        d->id, (long long)newest, maxtrans));

    if (q == NULL)
        return -1;
    while (sqlite3_step(q) == SQLITE_ROW) {
        take_lsn(q, 0, r->last);
        if (r->trans++ == 0) {
            take_lsn(q, 1, scan->start_lsn);
            take_lsn(q, 1, scan->first_begin_lsn);
        }
        scan->commit_time = sqlite3_column_int64(q, 2);
    }
    memcpy(scan->commit_lsn, r->last, LSN_SIZE);
    memcpy(scan->end_lsn, r->last, LSN_SIZE);
    scan->trans = r->trans;
    return sqlite3_finalize(q) == SQLITE_OK ? 0 : session_sqlite_error(s);
}

/* Change rows of every instance; an instance dropped since took its rows with it. */
static int
move_rows(struct session *s, struct database *d, const struct range *r, struct scan *scan)
{
    sqlite3_stmt *q = session_prepare(
        s, arena_printf(&s->exec_arena,
                        "SELECT object_id FROM d%d.sys_objects WHERE parent_id <> 0", d->id));
    int rc = q == NULL ? -1 : 0;

    while (rc == 0 && sqlite3_step(q) == SQLITE_ROW) {
        int id = sqlite3_column_int(q, 0);
        int64_t n = run_to(s, r->last,
                           arena_printf(&s->exec_arena,
                                        "INSERT INTO d%d.t%d SELECT * FROM d%d.p%d WHERE c1 <= ?1",
                                        d->id, id, d->id, id));

        if (n > 0 && run_to(s, r->last,
                            arena_printf(&s->exec_arena, "DELETE FROM d%d.p%d WHERE c1 <= ?1",
                                         d->id, id)) < 0)
            n = -1;
        rc = n < 0 ? -1 : 0;
        scan->commands += n;
    }
    (void)sqlite3_finalize(q);
    return rc;
}

/* T-SQL that transactions left for the moment of their capture. */
static int
run_actions(struct session *s, struct database *d, const struct range *r)
{
    struct database *home = s->current;
    struct sbuf text = {0};
    sqlite3_stmt *q =
        prepare_for(s, r->last,
                    arena_printf(&s->exec_arena,
                                 "SELECT sql FROM d%d.sys_pending_actions WHERE lsn <= ?1 ORDER BY "
                                 "lsn, rowid",
                                 d->id));
    int rc = q == NULL ? -1 : 0;

    while (rc == 0 && sqlite3_step(q) == SQLITE_ROW) {
        sbuf_add(&text, (const char *)sqlite3_column_text(q, 0));
        sbuf_add(&text, ";");
    }
    (void)sqlite3_finalize(q);
    s->current = d;
    if (rc == 0 && text.size > 0)
        rc = run_internal(s, text.data);
    s->current = home;
    sbuf_free(&text);
    return rc;
}

static int
move_range(struct session *s, struct database *d, const struct range *r, struct scan *scan)
{
    struct name name = {.database = d->name, .schema = "cdc", .object = "lsn_time_mapping"};
    struct table *map = catalog_find(s, &name, 'U');

    if (map == NULL || move_rows(s, d, r, scan) != 0 || run_actions(s, d, r) != 0)
        return -1;
    map = catalog_find(s, &name, 'U'); /* the actions may have changed the catalog */
    if (map == NULL ||
        run_to(s, r->last,
               arena_printf(&s->exec_arena,
                            "INSERT INTO d%d.t%d SELECT lsn, begin_time, end_time, tran_id, "
                            "begin_lsn FROM d%d.sys_pending WHERE lsn <= ?1 ORDER BY lsn",
                            d->id, map->object_id, d->id)) < 0 ||
        run_to(s, r->last,
               arena_printf(&s->exec_arena, "DELETE FROM d%d.sys_pending WHERE lsn <= ?1", d->id)) <
            0)
        return -1;
    return run_to(s, r->last,
                  arena_printf(&s->exec_arena,
                               "DELETE FROM d%d.sys_pending_actions WHERE lsn <= "
                               "?1",
                               d->id)) < 0
               ? -1
               : 0;
}

/* A scan that was told to fail: true when this one does. */
static bool
fails(struct session *s, struct database *d)
{
    struct engine *g = s->engine;
    struct job *j;
    bool yes;

    (void)pthread_mutex_lock(&g->mutex);
    j = job_of(d);
    yes = j->fail_number != 0;
    if (yes) {
        struct scan scan = {.start = job_now(), .end = job_now(), .failed = true};

        (void)sqlerr_set(&s->error, j->fail_number, 16, 1, "%s", j->fail_text);
        job_note(g, j, &scan);
        job_note_error(j, j->fail_number, j->fail_text);
        if (j->fail_left > 0 && --j->fail_left == 0)
            j->fail_number = 0;
    }
    (void)pthread_mutex_unlock(&g->mutex);
    return yes;
}

/* One scan in one transaction.  *trans is what it captured. */
static int
scan_once(struct session *s, struct database *d, int maxtrans, int64_t *trans)
{
    struct engine *g = s->engine;
    struct scan scan = {.start = job_now()};
    struct range r = {.trans = 0};
    struct sqlerr e;
    struct job *j;
    int rc;

    *trans = 0;
    if (fails(s, d))
        return -1;
    if (session_attach(s, d) != 0)
        return -1;
    (void)tx_begin(s, NULL); /* the statements of actions must not end the transaction */
    rc = tx_begin_write(s, d, 0);
    catalog_refresh(s);
    if (rc == 0)
        rc = look(s, d, maxtrans, &r, &scan);
    if (rc == 0 && r.trans > 0)
        rc = move_range(s, d, &r, &scan);
    if (rc == 0 && session_int(s, 1, "SELECT EXISTS (SELECT 1 FROM d%d.sys_pending)", d->id) == 0) {
        /* all is read: the next transaction may write by itself */
        (void)pthread_mutex_lock(&g->mutex);
        j = job_of(d);
        if (job_runs(g, j) && j->interval_ms < 0 && j->fail_number == 0)
            atomic_store(&d->deferred, false);
        (void)pthread_mutex_unlock(&g->mutex);
    }
    e = s->error;
    if (rc == 0)
        rc = tx_commit(s);
    else
        (void)tx_rollback(s);
    if (rc != 0) {
        atomic_store(&d->deferred, true);
        s->error = e.number != 0 ? e : s->error;
        return -1;
    }
    scan.end = job_now();
    (void)pthread_mutex_lock(&g->mutex);
    job_note(g, job_of(d), &scan);
    (void)pthread_mutex_unlock(&g->mutex);
    *trans = r.trans;
    return 0;
}

int
job_round(struct session *s, struct database *d, int maxtrans, int maxscans)
{
    bool internal = s->cdc_internal;
    int own_trans;
    int own_scans;
    int64_t trans = 0;
    int rc = 0;

    (void)pthread_mutex_lock(&s->engine->mutex);
    own_trans = job_of(d)->maxtrans;
    own_scans = d->job->maxscans;
    (void)pthread_mutex_unlock(&s->engine->mutex);
    maxtrans = maxtrans > 0 ? maxtrans : own_trans;
    maxscans = maxscans > 0 ? maxscans : own_scans;
    if (s->trancount > 0)
        return sqlerr_set(&s->error, 22906, 16, 1,
                          "The log cannot be scanned inside a transaction.");
    s->cdc_internal = true;
    for (int i = 0; i < maxscans && rc == 0; i++) {
        rc = scan_once(s, d, maxtrans, &trans);
        if (trans < maxtrans)
            break;
    }
    s->cdc_internal = internal;
    return rc;
}
