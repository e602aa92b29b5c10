#include "capture/capture_internal.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"

#include <stdlib.h>
#include <string.h>

/* ---- the plan ---- */

/* Higher load orders first; else by name, as the engine lists them. */
struct ranked {
    struct source_table *table;
    uint32_t order;
    size_t index;
};

static int
compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;

    if (x->order != y->order)
        return x->order > y->order ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static bool
same_table(const struct source_table *a, const struct source_table *b)
{
    return strcmp(a->def->schema, b->def->schema) == 0 && strcmp(a->def->name, b->def->name) == 0;
}

/* Of several instances of one table only the newest takes part: it covers everything from the join
   on.  The older ones are told to be known, so that the engine does not announce them. */
static int
rank_tables(struct capture *c, struct source_table *const *tables, size_t n, struct ranked *out,
            size_t *n_kept, struct err *e)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (tables[i]->refused != NULL)
            continue;
        if (i + 1 < n && same_table(tables[i], tables[i + 1]) && tables[i + 1]->refused == NULL) {
            if (c->engine->known(c->source, tables[i], &c->state.join, NULL, e) != 0)
                return -1;
            continue;
        }
        out[kept] = (struct ranked){
            .table = tables[i],
            .order = task_load_order(c->task, tables[i]->def->schema, tables[i]->def->name, true),
            .index = i};
        kept++;
    }
    if (kept > 1)
        qsort(out, kept, sizeof(*out), compare_ranked);
    *n_kept = kept;
    return 0;
}

int
load_plan(struct capture *c, struct source_table *const *tables, size_t n, struct err *e)
{
    struct ranked *ranked = calloc(n + 1, sizeof(*ranked));
    size_t kept = 0;
    int rc = 0;

    struct source_identity identity = c->state.identity;

    if (ranked == NULL)
        return err_set(e, ERR_NOMEM, "%zu tables", n);
    state_free(&c->state); /* an attempt before this one may have failed half-way */
    c->state.identity = identity;
    c->state.is_new = true;
    if (c->engine->join(c->source, &c->state.join, e) != 0 ||
        rank_tables(c, tables, n, ranked, &kept, e) != 0) {
        free(ranked);
        return -1;
    }
    for (size_t i = 0; i < kept && rc == 0; i++) {
        struct source_table *t = ranked[i].table;
        struct state_table *st;

        rc = tables_join(c, t, NULL, e);
        st = rc == 0 ? state_add_table(&c->state, t, e) : NULL;
        if (st == NULL) {
            rc = -1;
            break;
        }
        st->since = c->state.join;
        st->wants_load = c->task->migration_type != MIGRATION_CDC;
        rc = c->engine->known(c->source, t, &c->state.join, NULL, e);
        stats_table_state(((struct member *)t->user)->stats, TABLE_BEFORE_LOAD);
    }
    free(ranked);
    if (rc == 0)
        rc = state_write(c->task, &c->state, e);
    if (rc == 0)
        c->state.is_new = false;
    return rc;
}

/* ---- who takes part ---- */

/* With the entry's definition, if it is there; that of a suspended table need not be. */
struct member *
load_member(struct capture *c, const struct state_table *st)
{
    struct member *found = NULL;

    for (size_t i = 0; i < c->n_members; i++) {
        const struct source_table *t = c->members[i]->source;

        if (strcmp(t->def->name, st->name) != 0 || strcmp(t->def->schema, st->schema) != 0 ||
            strcmp(t->instance, st->instance) != 0)
            continue;
        found = c->members[i];
        if (t->def->version == st->version)
            break;
    }
    return found;
}

bool
load_takes_part(struct capture *c, const struct state_table *st)
{
    const struct member *m = load_member(c, st);

    return m != NULL && st->wants_load && st->suspended == NULL && m->source->refused == NULL;
}

/* ---- reloads ---- */

/* Of several instances of a table the newest is loaded. */
static struct state_table *
newest_instance(struct state *s, const char *schema, const char *table)
{
    struct state_table *found = NULL;

    for (size_t i = 0; i < s->n_tables; i++) {
        struct state_table *st = &s->tables[i];

        if (strcmp(st->schema, schema) == 0 && strcmp(st->name, table) == 0 &&
            (found == NULL || position_compare(&st->since, &found->since) >= 0))
            found = st;
    }
    return found;
}

int
load_request(struct capture *c, const char *schema, const char *table, struct err *e)
{
    struct state_table *st = newest_instance(&c->state, schema, table);

    if (st == NULL)
        return err_set(e, ERR_NOT_FOUND, "the task has no table %s.%s", schema, table);
    if (c->task->migration_type != MIGRATION_FULL_LOAD_AND_CDC)
        return err_set(e, ERR_CONFIG,
                       "a table can be loaded anew only by a task of MigrationType "
                       "full-load-and-cdc");
    if (load_member(c, st) == NULL)
        return err_set(e, ERR_CONFIG,
                       "table %s.%s is not there in the source, or left out by rules", schema,
                       table);
    st->wants_reload = true;
    return state_write(c->task, &c->state, e);
}

/* A table that was suspended: the source looks at it anew. */
static int
readmit(struct capture *c, struct state_table *st, struct member *m, struct err *e)
{
    free(m->source->refused);
    m->source->refused = NULL;
    m->is_refused = false;
    if (c->engine->readmit(c->source, m->source, e) != 0)
        return -1;
    free(st->suspended);
    st->suspended = NULL;
    st->lost.is_set = false;
    if (m->source->refused == NULL) {
        if (tables_define(c, m, e) != 0)
            return -1;
        st->id = m->source->def->id;
        st->version = m->source->def->version;
        return 0;
    }
    st->suspended = strdup(m->source->refused);
    if (st->suspended == NULL)
        return err_set(e, ERR_NOMEM, "table %s", st->name);
    return tables_refuse(c, m->source, e);
}

static int
begin_reload(struct capture *c, struct state_table *st, struct err *e)
{
    struct member *m = load_member(c, st);
    bool was_out;

    st->wants_reload = false;
    if (m == NULL)
        return 0;
    was_out = st->suspended != NULL || m->source->refused != NULL;
    if (was_out && readmit(c, st, m, e) != 0)
        return -1;
    if (st->suspended != NULL)
        return 0;
    /* What a suspended table went through is not given: its rows as they are now are. */
    if (was_out) {
        st->since = c->complete;
        if (c->engine->known(c->source, m->source, &st->since, NULL, e) != 0)
            return -1;
    }
    state_clear_pieces(st);
    st->wants_load = true;
    st->is_reload = true;
    st->is_begun = false;
    st->is_planned = false;
    tables_load_begins(m, true);
    log_info("table-reload", "table=%s was_suspended=%d", m->full_name, was_out ? 1 : 0);
    return 0;
}

int
load_begin_reloads(struct capture *c, struct err *e)
{
    bool any = false;

    for (size_t i = 0; i < c->state.n_tables; i++) {
        if (!c->state.tables[i].wants_reload)
            continue;
        any = true;
        if (begin_reload(c, &c->state.tables[i], e) != 0)
            return -1;
    }
    CRASH_POINT("capture.reload-begins");
    return any ? state_write(c->task, &c->state, e) : 0;
}

/* ---- stopping behind a load ---- */

/* "Applied" means: what was committed while the tables were loaded, as far as the source offers it
   when they are. */
int
load_stop_after(struct capture *c, struct err *e)
{
    const struct task *t = c->task;

    if (c->state.has_stopped || t->migration_type != MIGRATION_FULL_LOAD_AND_CDC ||
        !(t->stop_after_load || t->stop_after_cached_changes) || !position_is_zero(&c->state.stop))
        return 0;
    if (t->stop_after_load)
        c->state.stop = c->state.join;
    else if (c->engine->join(c->source, &c->state.stop, e) != 0)
        return -1;
    return state_write(t, &c->state, e);
}

bool
load_should_stop(struct capture *c)
{
    struct err e = ERR_INIT;

    if (c->state.has_stopped || position_is_zero(&c->state.stop) ||
        position_compare(output_position(c->output), &c->state.stop) < 0)
        return false;
    c->state.has_stopped = true;
    if (state_write(c->task, &c->state, &e) != 0)
        log_err(LOG_WARN, "stop-not-noted", &e); /* it then stops once more */
    log_info("stops-after-load", "tables=%zu", c->state.n_tables);
    return true;
}
