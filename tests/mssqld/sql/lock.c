/*
 * Locks: whose turn it is to write a database, and which tables are held still.
 *
 * The writer's turn is one for a whole database.  A shared lock (TABLOCK, HOLDLOCK) is taken on
 * a table when nobody has the turn, and then keeps everybody else from writing that table until
 * its transaction ends; holders do not mind each other.
 */
#include <time.h>

#include "common/clock.h"
#include "tests/mssqld/sql/session.h"

/* What a session waits for; under mutex. */
struct wish {
    struct database *db;
    int object_id; /* 0: no table in particular */
    bool shared;
};

static bool
shares(const struct session *s, const struct database *d, int object_id)
{
    for (int i = 0; i < s->n_shares; i++)
        if (s->shares[i].db == d && (object_id == 0 || s->shares[i].object_id == object_id))
            return true;
    return false;
}

/* Does o stand in the way of s? (under mutex) */
static bool
blocks(const struct session *o, const struct session *s, const struct wish *w)
{
    if (o == s)
        return false;
    if (w->db->writer == o)
        return true;
    return !w->shared && w->object_id != 0 && shares(o, w->db, w->object_id);
}

static bool
is_blocked(const struct session *s, const struct wish *w)
{
    if (w->db->writer != NULL && w->db->writer != s)
        return true;
    if (w->shared || w->object_id == 0 || s->engine->n_shares == 0)
        return false;
    for (const struct session *o = s->engine->sessions; o != NULL; o = o->next)
        if (blocks(o, s, w))
            return true;
    return false;
}

/* True when somebody in the way of waiter waits, over however many, for s. */
static bool
closes_circle(const struct session *s, const struct session *waiter, const struct wish *w,
              int depth)
{
    if (depth > 16)
        return false;
    for (const struct session *o = s->engine->sessions; o != NULL; o = o->next) {
        struct wish next = {o->waiting_for, o->waiting_object, o->waiting_shared};

        if (!blocks(o, waiter, w))
            continue;
        if (o == s || (next.db != NULL && closes_circle(s, o, &next, depth + 1)))
            return true;
    }
    return false;
}

static int
lock_failed(struct session *s, bool deadlock)
{
    if (deadlock)
        return sqlerr_set(&s->error, 1205, 13, 51,
                          "Transaction (Process ID %u) was deadlocked on lock resources with "
                          "another process and has been chosen as the deadlock victim. Rerun the "
                          "transaction.",
                          s->spid);
    return sqlerr_set(&s->error, 1222, 16, 51, "Lock request time out period exceeded.");
}

/* Waits (under mutex) until nothing blocks the wish. */
static int
await(struct session *s, const struct wish *w)
{
    struct engine *g = s->engine;
    int64_t start = clock_mono_ns();

    while (is_blocked(s, w)) {
        int64_t slice = clock_real_ns() + 50 * NS_PER_MS;
        struct timespec until = {(time_t)(slice / NS_PER_S), (long)(slice % NS_PER_S)};
        int64_t waited_ms = (clock_mono_ns() - start) / NS_PER_MS;

        if (closes_circle(s, s, w, 0))
            return lock_failed(s, true);
        if (s->lock_timeout_ms >= 0 && waited_ms >= s->lock_timeout_ms)
            return lock_failed(s, false);
        if (s->sink != NULL && s->sink->cancelled != NULL && s->sink->cancelled(s->sink->arg))
            return sqlerr_set(&s->error, 3617, 11, 1, "Query cancelled by user.");
        s->waiting_for = w->db;
        s->waiting_object = w->object_id;
        s->waiting_shared = w->shared;
        (void)pthread_cond_timedwait(&g->changed, &g->mutex, &until);
        s->waiting_for = NULL;
    }
    return 0;
}

int
tx_lock(struct session *s, struct database *d, int object_id)
{
    struct wish w = {d, object_id, false};
    int rc;

    (void)pthread_mutex_lock(&s->engine->mutex);
    rc = await(s, &w);
    if (rc == 0)
        d->writer = s;
    (void)pthread_mutex_unlock(&s->engine->mutex);
    return rc;
}

int
tx_share(struct session *s, struct database *d, int object_id)
{
    struct wish w = {d, object_id, true};
    int rc = 0;

    (void)pthread_mutex_lock(&s->engine->mutex);
    if (!shares(s, d, object_id)) {
        rc = await(s, &w);
        if (rc == 0 && s->n_shares == SHARES_MAX)
            rc = sqlerr_set(&s->error, 1204, 19, 4,
                            "The instance of the SQL Server Database Engine cannot obtain a LOCK "
                            "resource at this time.");
        if (rc == 0) {
            s->shares[s->n_shares++] = (struct share){d, object_id};
            s->engine->n_shares++;
        }
    }
    (void)pthread_mutex_unlock(&s->engine->mutex);
    return rc;
}
