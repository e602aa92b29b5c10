#include "capture/sqlserver/db.h"

#include "capture/sqlserver/db_internal.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

bool
db_is_stopped(const struct db *d)
{
    struct pollfd p = {.fd = d->stop_fd, .events = POLLIN};

    return d->stop_fd >= 0 && poll(&p, 1, 0) > 0;
}

/* ---- waiting ---- */

static bool
is_late(const struct db *d)
{
    return atomic_load_explicit(&d->watch.is_late, memory_order_relaxed);
}

/* Polled about once a second while DB-Library waits for bytes.  True ends the wait. */
int
db_on_wait(void *proc)
{
    struct db *d = (struct db *)(void *)dbgetuserdata(proc);
    int64_t until = atomic_load_explicit(&d->watch.until_ns, memory_order_relaxed);

    if (d->beat != NULL)
        d->beat(d->beat_arg);
    if (until != 0 && clock_mono_ns() > until)
        atomic_store_explicit(&d->watch.is_late, true, memory_order_relaxed);
    return is_late(d) || db_is_stopped(d) ? TRUE : FALSE;
}

int
db_on_interrupt(void *proc)
{
    (void)proc;
    return INT_CANCEL; /* closes the socket */
}

/* ---- errors ---- */

static int
fail(struct db *d, const char *what, struct err *e)
{
    if (db_is_stopped(d))
        return err_set(e, ERR_STOPPED, "%s: stopped", what);
    if (is_late(d)) {
        err_set(e, ERR_TIMEOUT, "%s: no result within %u s", what, d->endpoint->query_timeout_s);
        return err_hint(e, "see what blocks the statement; ExecuteTimeout sets the limit");
    }
    return db_error_report(&d->error, what, e);
}

/* The first error of a batch is the cause; the rest follow from it. */
static bool
is_failed(const struct db *d)
{
    return db_error_is_set(&d->error) || is_late(d);
}

void
db_close(struct db **d)
{
    if (*d == NULL)
        return;
    db_watch_end(&(*d)->watch);
    if ((*d)->proc != NULL)
        dbclose((*d)->proc);
    free(*d);
    *d = NULL;
}

const struct db_peer *
db_peer(const struct db *d)
{
    return &d->peer;
}

/* ---- statements ---- */

/* A firewall may have forgotten the connection, a server may have ended it, while nobody looked. */
static int
check_idle(struct db *d, struct err *e)
{
    struct pollfd p = {.fd = dbiordesc(d->proc), .events = POLLRDHUP};
    int64_t idle_ns = clock_mono_ns() - d->used_ns;

    if (d->is_busy || poll(&p, 1, 0) <= 0)
        return 0;
    err_set(e, ERR_CONNECT, "the server or the network ended the connection while it was idle");
    return err_hint(e, "idle for %lld s; weir connects again", (long long)(idle_ns / NS_PER_S));
}

static void
set_until(struct db *d, int64_t until_ns)
{
    atomic_store_explicit(&d->watch.until_ns, until_ns, memory_order_relaxed);
}

int
db_exec(struct db *d, const char *sql, struct err *e)
{
    bool is_sent;

    if (check_idle(d, e) != 0)
        return -1;
    db_error_clear(&d->error);
    atomic_store_explicit(&d->watch.is_late, false, memory_order_relaxed);
    set_until(d, clock_mono_ns() + (int64_t)d->endpoint->query_timeout_s * NS_PER_S);
    db_watch_enter(&d->watch);
    is_sent = !d->is_busy || dbcancel(d->proc) != FAIL;
    d->is_busy = true;
    is_sent = is_sent && dbcmd(d->proc, sql) != FAIL && dbsqlexec(d->proc) != FAIL;
    db_watch_leave(&d->watch);
    return is_sent && !is_failed(d) ? 0 : fail(d, "run a statement", e);
}

int
db_result(struct db *d, struct err *e)
{
    for (;;) {
        RETCODE rc;

        db_watch_enter(&d->watch);
        rc = dbresults(d->proc);
        db_watch_leave(&d->watch);
        if (rc == FAIL || is_failed(d))
            return fail(d, "read a result", e);
        if (rc == NO_MORE_RESULTS) {
            d->is_busy = false;
            d->used_ns = clock_mono_ns();
            return 0;
        }
        if (dbnumcols(d->proc) > 0)
            return 1;
    }
}

int
db_next(struct db *d, struct err *e)
{
    STATUS rc;

    db_watch_enter(&d->watch);
    rc = dbnextrow(d->proc);
    db_watch_leave(&d->watch);
    set_until(d, 0); /* rows may take as long as they are many; the wait for each is bounded */
    if (rc == REG_ROW)
        return 1;
    if (rc != NO_MORE_ROWS || is_failed(d))
        return fail(d, "read a row", e);
    return 0;
}

int
db_query(struct db *d, const char *sql, struct err *e)
{
    int rc;

    if (db_exec(d, sql, e) != 0)
        return -1;
    rc = db_result(d, e);
    if (rc == 0)
        return err_set(e, ERR_PROTOCOL, "a query brought no result set: %.200s", sql);
    return rc < 0 ? -1 : 0;
}

int
db_run(struct db *d, const char *sql, struct err *e)
{
    int rc;

    if (db_exec(d, sql, e) != 0)
        return -1;
    while ((rc = db_result(d, e)) == 1) {
        while ((rc = db_next(d, e)) == 1)
            ;
        if (rc < 0)
            return -1;
    }
    return rc;
}

/* ---- values ---- */

int
db_columns(struct db *d)
{
    return dbnumcols(d->proc);
}

int
db_type(struct db *d, int column)
{
    return dbcoltype(d->proc, column + 1);
}

unsigned
db_scale(struct db *d, int column)
{
    const DBTYPEINFO *info = dbcoltypeinfo(d->proc, column + 1);

    return info != NULL && info->scale > 0 ? (unsigned)info->scale : 0;
}

const void *
db_data(struct db *d, int column, size_t *size)
{
    const BYTE *data = dbdata(d->proc, column + 1);
    DBINT n = dbdatlen(d->proc, column + 1);

    *size = n > 0 ? (size_t)n : 0;
    return data;
}

int64_t
db_int(struct db *d, int column)
{
    size_t size;
    const uint8_t *data = db_data(d, column, &size);
    uint64_t value = 0;

    if (data == NULL || size > sizeof(value))
        return 0;
    memcpy(&value, data, size);
    switch (size) {
    case 2:
        return (int16_t)value;
    case 4:
        return (int32_t)value;
    default:
        return (int64_t)value;
    }
}

void
db_text(struct db *d, int column, char *buf, size_t size)
{
    size_t n = 0;
    const char *data = db_data(d, column, &n);

    buf[0] = '\0';
    if (data == NULL)
        return;
    if (n >= size)
        n = size - 1;
    memcpy(buf, data, n);
    buf[n] = '\0';
}
