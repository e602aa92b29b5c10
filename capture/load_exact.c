/* Exact hand-over: readers that see a table as it was at one moment. */
#include "capture/load_internal.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"

#define NS_PER_MINUTE (60LL * NS_PER_S)

/* ---- views of readers ---- */

int
load_end_view(struct load *l, uint32_t reader, struct err *e)
{
    struct source_reader *r;

    if (l->views[reader].table == LOAD_NO_TABLE)
        return 0;
    l->views[reader].table = LOAD_NO_TABLE;
    r = load_pool_reader(l->c->pool, reader, e);
    return r == NULL ? -1 : l->c->engine->view_end(r, e);
}

bool
load_view_is_old(const struct load *l, uint32_t reader)
{
    return l->views[reader].table != LOAD_NO_TABLE &&
           clock_mono_ns() - l->views[reader].began_ns >
               (int64_t)l->c->task->weir.load_view_minutes * NS_PER_MINUTE;
}

bool
load_is_in_view(const struct load *l, uint32_t table)
{
    for (uint32_t i = 0; i < l->readers; i++)
        if (l->views[i].table == table)
            return true;
    return false;
}

/* ---- beginning one ---- */

static size_t
count_free(const struct state_table *st)
{
    size_t n = 0;

    for (size_t i = 0; i < st->n_pieces; i++)
        n += !st->pieces[i].is_taken && !st->pieces[i].is_done ? 1 : 0;
    return n;
}

/* No view is to be had: the table is loaded with repeats, unless it must be exact.  What holds for
   all tables (a missing right) is said once. */
static int
without_view(struct load *l, struct state_table *st, const struct member *m, struct err *e)
{
    struct err why = *e;

    st->has_no_view = true;
    if (l->c->task->weir.load_handover == LOAD_EXACT) {
        e->code = ERR_CONFIG;
        err_context(e, "Weir.LoadHandover is exact, and %s cannot be loaded so", m->full_name);
        return -1;
    }
    if (err_class(why.code) != ERR_CLASS_RETRY) {
        l->c->has_no_views = true;
        l->is_exact = false;
    }
    log_err(LOG_WARN, "load-with-repeats", &why);
    return 0;
}

/*
 * Gives idle readers one view of the table.  It says from where the table's changes count, which is
 * durable with its first chunk.  When the view is lost (a crash, its age), the rest is read as it
 * is then, and the changes still count from there: what lies between the two comes twice.
 */
static int
begin_view(struct load *l, uint32_t table, size_t n, struct err *e)
{
    struct capture *c = l->c;
    struct state_table *st = &c->state.tables[table];
    struct member *m = load_member(c, st);
    struct source_reader *readers[LOAD_READERS_MAX];
    uint32_t index[LOAD_READERS_MAX];
    struct position since;
    int reader = -1;
    int rc;

    for (size_t i = 0; i < n; i++) {
        reader = load_pool_idle(c->pool, (uint32_t)(reader + 1));
        CHECK(reader >= 0);
        index[i] = (uint32_t)reader;
        if (load_end_view(l, index[i], e) != 0 ||
            (readers[i] = load_pool_reader(c->pool, index[i], e)) == NULL)
            return -1;
    }
    rc = c->engine->view_begin(c->source, m->source, readers, n, &since, e);
    if (rc != 0)
        return rc < 0 ? err_context(e, "load %s", m->full_name) : without_view(l, st, m, e);
    for (size_t i = 0; i < n; i++)
        l->views[index[i]] = (struct load_view){.table = table, .began_ns = clock_mono_ns()};
    if (position_compare(&since, &st->since) > 0) {
        st->since = since;
        if (c->engine->known(c->source, m->source, &since, NULL, e) != 0)
            return -1;
    }
    CRASH_POINT("capture.view-begun");
    return 0;
}

int
load_start_exact(struct load *l, uint32_t table, struct err *e)
{
    const struct state_table *st = &l->c->state.tables[table];
    size_t want = count_free(st);
    int reader;

    if (st->is_begun || st->has_no_view) {
        reader = load_pool_idle(l->c->pool, 0);
        return load_start_reader(l, (uint32_t)reader, table, e) == 0 ? 1 : -1;
    }
    if (want > l->readers)
        want = l->readers;
    if (load_count_idle(l) < want)
        return 0;
    if (begin_view(l, table, want, e) != 0)
        return -1;
    for (size_t i = 0; i < want; i++) {
        reader = load_pool_idle(l->c->pool, 0);
        if (load_start_reader(l, (uint32_t)reader, table, e) != 0)
            return -1;
    }
    return 1;
}
