#include "capture/capture_internal.h"
#include "common/checkpoint.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PRUNE_CHUNKS 16 /* chunks kept before acknowledged ones are looked for */

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
static size_t
rank_tables(struct capture *c, struct source_table *const *tables, size_t n, struct ranked *out)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (tables[i]->refused != NULL)
            continue;
        if (i + 1 < n && same_table(tables[i], tables[i + 1]) && tables[i + 1]->refused == NULL) {
            c->engine->known(c->source, tables[i], &c->state.join);
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
    return kept;
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
    if (c->engine->join(c->source, &c->state.join, e) != 0) {
        free(ranked);
        return -1;
    }
    kept = rank_tables(c, tables, n, ranked);
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
        c->engine->known(c->source, t, &c->state.join);
        stats_table_state(((struct member *)t->user)->stats, TABLE_BEFORE_LOAD);
    }
    free(ranked);
    if (rc == 0)
        rc = state_write(c->task, &c->state, e);
    if (rc == 0)
        c->state.is_new = false;
    return rc;
}

/* ---- chunks ---- */

static struct member *
member_of(struct capture *c, const struct state_table *st)
{
    for (size_t i = 0; i < c->n_members; i++) {
        const struct source_table *t = c->members[i]->source;

        if (strcmp(t->def->schema, st->schema) == 0 && strcmp(t->def->name, st->name) == 0 &&
            strcmp(t->instance, st->instance) == 0)
            return c->members[i];
    }
    return NULL;
}

struct load_sink {
    struct capture *capture;
    struct position position; /* of the chunk */
};

static int
on_row(void *arg, struct source_table *t, struct event *ev, struct err *e)
{
    struct load_sink *l = arg;
    struct capture *c = l->capture;
    struct member *m = t->user;
    uint32_t ring = 0;

    if (stage_stopping(c->stage))
        return err_set(e, ERR_STOPPED, "stopped in a full load");
    ev->operation = EVENT_LOAD;
    ev->table_id = t->def->id;
    ev->version = t->def->version;
    ev->position = l->position;
    if (route_event(c, m, ev, &ring, e) != 0)
        return -1;
    lobs_note(m, c->task, ev);
    return output_event(c->output, ring, ev, m->stats, TSTAT_FULL_LOAD_ROWS, e);
}

static const struct source_key no_key = {.n = 0};

static const struct source_key *
lower_bound(const struct state *s, size_t i)
{
    return s->chunks[i].is_first || i == 0 ? &no_key : &s->chunks[i - 1].upto;
}

static int
read_rows(struct capture *c, size_t i, struct member *m, const struct position *position,
          struct err *e)
{
    struct load_sink l = {.capture = c, .position = *position};
    const struct source_sink sink = {.arg = &l, .change = on_row};
    struct state_chunk *chunk = &c->state.chunks[i];

    if (c->engine->chunk_read(c->source, m->source, lower_bound(&c->state, i), &chunk->upto, &sink,
                              e) != 0)
        return err_context(e, "load %s, chunk %" PRIu64, m->full_name, chunk->number);
    return 0;
}

/* Gives chunk i: announcement, rows, watermark. */
static int
run_chunk(struct capture *c, size_t i, const struct position *position, struct err *e)
{
    struct state_chunk *chunk = &c->state.chunks[i];
    struct state_table *st = &c->state.tables[chunk->table];
    struct member *m = member_of(c, st);
    bool takes_part = m != NULL && st->suspended == NULL && m->source->refused == NULL;

    if (takes_part) {
        if (chunk->is_first && tables_announce(c, m, position, e) != 0)
            return -1;
        if (st->wants_load) {
            stats_table_state(m->stats, TABLE_FULL_LOAD);
            if (read_rows(c, i, m, position, e) != 0)
                return -1;
        }
    }
    CRASH_POINT("capture.chunk-read");
    if (output_watermark(c->output, position, 0, e) != 0)
        return -1;
    if (takes_part && chunk->upto.n == 0) {
        stats_table_state(m->stats, TABLE_COMPLETED);
        log_info("table-loaded", "table=%s rows=%" PRIu64, m->full_name,
                 stats_table_get(m->stats, TSTAT_FULL_LOAD_ROWS));
    }
    return 0;
}

/* Forgets chunks that no start can need any more. */
static int
prune(struct capture *c, struct err *e)
{
    struct position acknowledged;
    struct position at;
    uint64_t number = 0;

    if (c->state.n_chunks < PRUNE_CHUNKS)
        return 0;
    if (checkpoint_task_position(c->task, &c->topo, &acknowledged, e) != 0)
        return -1;
    for (size_t i = 0; i < c->state.n_chunks; i++) {
        c->engine->load_position(&c->state.join, c->state.chunks[i].number, &at);
        if (position_compare(&at, &acknowledged) <= 0)
            number = c->state.chunks[i].number;
    }
    state_prune(&c->state, number);
    return 0;
}

/* A chunk is planned durably before any of its rows goes out.  One that the rings have already was
   cut by a plan that is gone: cut again, elsewhere, rows between the two would be left out. */
static int
check_is_new(struct capture *c, struct err *e)
{
    struct position position;

    c->engine->load_position(&c->state.join, c->state.next_chunk, &position);
    if (position_compare(&position, output_position(c->output)) > 0)
        return 0;
    err_set(e, ERR_LAYOUT,
            "%s/capture.json is older than the rings and checkpoints of the task: chunk %" PRIu64
            " of the full load is delivered, but not planned",
            c->task->weir.state_directory, c->state.next_chunk);
    return err_hint(e, "restore the newest capture.json, or load from scratch: stop the task, "
                       "remove its state directory, start it");
}

/* Adds the next chunk of table `table` and makes it durable before any of its rows is published. */
static int
plan_chunk(struct capture *c, uint32_t table, struct err *e)
{
    struct state_table *st = &c->state.tables[table];
    struct member *m = member_of(c, st);
    const struct state_chunk *last =
        c->state.n_chunks > 0 ? &c->state.chunks[c->state.n_chunks - 1] : NULL;
    bool is_first = last == NULL || last->table != table;
    bool is_read =
        m != NULL && st->wants_load && st->suspended == NULL && m->source->refused == NULL;
    struct source_key upto = {.n = 0};
    struct state_chunk *chunk;

    if (check_is_new(c, e) != 0)
        return -1;
    if (is_read && c->engine->chunk_bound(c->source, m->source, is_first ? &no_key : &last->upto,
                                          c->task->weir.load_chunk_rows, &upto, e) != 0)
        return err_context(e, "cut %s into chunks", m->full_name);
    if (prune(c, e) != 0)
        goto fail;
    chunk = state_add_chunk(&c->state, e);
    if (chunk == NULL)
        goto fail;
    chunk->number = c->state.next_chunk++;
    chunk->table = table;
    chunk->is_first = is_first;
    chunk->upto = upto;
    st->is_planned = upto.n == 0;
    return state_write(c->task, &c->state, e);

fail:
    source_key_free(&upto);
    return -1;
}

/* The first table whose last chunk is not planned; n_tables when there is none. */
static uint32_t
next_table(const struct state *s)
{
    uint32_t i = 0;

    while (i < s->n_tables && s->tables[i].is_planned)
        i++;
    return i;
}

int
load_run(struct capture *c, struct err *e)
{
    struct state *s = &c->state;
    struct position position;
    uint32_t table;

    for (;;) {
        for (size_t i = 0; i < s->n_chunks; i++) {
            c->engine->load_position(&s->join, s->chunks[i].number, &position);
            if (position_compare(&position, output_position(c->output)) <= 0)
                continue;
            output_state(c->output, STATE_SNAPSHOT);
            if (run_chunk(c, i, &position, e) != 0)
                return -1;
        }
        table = next_table(s);
        if (table == s->n_tables)
            return 0;
        if (stage_stopping(c->stage))
            return err_set(e, ERR_STOPPED, "stopped in a full load");
        if (output_beat(c->output, e) != 0 || health_tick(c, e) != 0 ||
            plan_chunk(c, table, e) != 0)
            return -1;
    }
}
