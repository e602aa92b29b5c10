#include "capture/load_internal.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TAKE_MS         100U
#define PIECES_A_READER 4U   /* so that the readers end together, though pieces differ */
#define EMPTY_AT_ONCE   256U /* announcements planned by one write */
/* ---- the pool ---- */

int
load_open(struct capture *c, struct err *e)
{
    const struct load_pool_config config = {
        .source = c->source,
        .stage = c->stage,
        .output = c->output,
        .readers = c->task->max_full_load_sub_tasks,
        .page_rows = c->task->commit_rate < c->task->weir.load_chunk_rows
                         ? c->task->commit_rate
                         : c->task->weir.load_chunk_rows,
    };

    return c->pool != NULL ? 0 : load_pool_open(&config, &c->pool, e);
}

void
load_close(struct capture *c)
{
    load_pool_close(&c->pool);
    for (size_t i = 0; i < c->state.n_tables; i++)
        for (size_t k = 0; k < c->state.tables[i].n_pieces; k++)
            c->state.tables[i].pieces[k].is_taken = false;
}

/* ---- pieces ---- */

static int
cut_table(struct load *l, struct state_table *st, struct err *e)
{
    struct capture *c = l->c;
    struct member *m = load_member(c, st);
    struct source_piece *pieces = NULL;
    uint64_t rows = 0;
    size_t n = 0;
    int rc;

    if (c->engine->cut(c->source, m->source, l->readers * PIECES_A_READER, &rows, &pieces, &n, e) !=
        0)
        return err_context(e, "cut %s into pieces", m->full_name);
    rc = state_set_pieces(st, &pieces, n, e);
    source_pieces_free(&pieces, n);
    if (rc == 0) {
        tables_load_begins(m, st->is_reload);
        stats_table_set(m->stats, TSTAT_FULL_LOAD_ESTIMATE, rows);
        log_info("table-load", "table=%s rows=%" PRIu64 " pieces=%zu", m->full_name, rows, n);
    }
    return rc;
}

int64_t
load_free_piece(const struct state_table *st)
{
    for (size_t i = 0; i < st->n_pieces; i++)
        if (!st->pieces[i].is_taken && !st->pieces[i].is_done)
            return (int64_t)i;
    return -1;
}

/* A table that will not be read, or not any more, is no longer waited for. */
static int
leave_table(struct load *l, uint32_t table, struct err *e)
{
    struct state_table *st = &l->c->state.tables[table];

    state_clear_pieces(st);
    if (st->wants_load || load_member(l->c, st) == NULL) {
        st->is_planned = true;
        return 0;
    }
    return chunk_plan_empty(l->c, l->at, table, e); /* only followed: its announcement */
}

/* The next table with a piece for a reader, cut if need be; LOAD_NO_TABLE when there is none now. */
static int
next_table(struct load *l, uint32_t *table, struct err *e)
{
    struct state *s = &l->c->state;

    for (uint32_t i = 0; i < s->n_tables; i++) {
        struct state_table *st = &s->tables[i];

        if (st->is_planned || !load_takes_part(l->c, st) || load_is_in_view(l, i))
            continue;
        if (st->n_pieces == 0 && cut_table(l, st, e) != 0)
            return -1;
        if (load_free_piece(st) >= 0) {
            *table = i;
            return 0;
        }
    }
    *table = LOAD_NO_TABLE;
    return 0;
}

int
load_start_reader(struct load *l, uint32_t reader, uint32_t table, struct err *e)
{
    static const struct source_key none = {.n = 0};
    struct state_table *st = &l->c->state.tables[table];
    int64_t piece = load_free_piece(st);
    struct state_piece *p = &st->pieces[piece];
    const struct load_job job = {
        .part = {.table = load_member(l->c, st)->source,
                 .where = p->piece.where,
                 .is_ordered = p->piece.is_ordered,
                 .from = &p->next,
                 .upto = &none},
        .is_one_page = l->is_stepping && p->piece.is_ordered,
        .table = table,
        .piece = (size_t)piece,
    };

    p->is_taken = true;
    load_pool_hold(l->c->pool, reader, false);
    return load_pool_start(l->c->pool, reader, &job, e);
}

size_t
load_count_idle(const struct load *l)
{
    size_t n = 0;

    for (int i = load_pool_idle(l->c->pool, 0); i >= 0;
         i = load_pool_idle(l->c->pool, (uint32_t)i + 1))
        n++;
    return n;
}

/* ---- giving work to idle readers ---- */

/* A reader with a view stays with its table while there is something to read. */
static int
keep_reader(struct load *l, uint32_t reader, bool *kept, struct err *e)
{
    const struct load_view *v = &l->views[reader];

    *kept = false;
    if (v->table == LOAD_NO_TABLE)
        return 0;
    if (load_free_piece(&l->c->state.tables[v->table]) < 0 || load_view_is_old(l, reader))
        return load_end_view(l, reader, e);
    *kept = true;
    return load_start_reader(l, reader, v->table, e);
}

static int
dispatch(struct load *l, struct err *e)
{
    struct load_pool *pool = l->c->pool;
    uint32_t table;
    bool kept;
    int rc;

    for (int i = load_pool_idle(pool, 0); i >= 0; i = load_pool_idle(pool, (uint32_t)i + 1))
        if (keep_reader(l, (uint32_t)i, &kept, e) != 0)
            return -1;
    for (;;) {
        int reader = load_pool_idle(pool, 0);

        if (reader < 0)
            return 0;
        if (next_table(l, &table, e) != 0)
            return -1;
        if (table == LOAD_NO_TABLE)
            return 0;
        rc = l->is_exact ? load_start_exact(l, table, e)
                         : load_start_reader(l, (uint32_t)reader, table, e);
        if (rc < 0 || (l->is_exact && rc == 0))
            return rc;
    }
}

/* ---- pages: taken, planned by one durable write, given ---- */

static int
take_batch(struct load *l, uint32_t ms, struct err *e)
{
    struct load_planned *p;
    int rc = 1;

    l->n_batch = 0;
    while (l->n_batch < LOAD_BATCH_MAX && rc == 1) {
        p = &l->batch[l->n_batch];
        rc = chunk_take(l->c, -1, l->n_batch == 0 ? ms : 0, &p->item, e);
        if (rc < 0)
            return -1;
        if (rc == 0)
            break;
        l->n_batch++;
        /* Its other pages belong to the same chunk. */
        if (p->item.page != NULL && !p->item.job->part.is_ordered)
            load_pool_hold(l->c->pool, p->item.reader, true);
    }
    return 0;
}

/* The reader of a piece went away from it. */
static void
leave_piece(struct load *l, const struct load_item *item)
{
    struct state_table *st = &l->c->state.tables[item->job->table];

    if (item->is_over && item->job->piece < st->n_pieces)
        st->pieces[item->job->piece].is_taken = false;
}

static int
plan_batch(struct load *l, struct err *e)
{
    struct capture *c = l->c;

    if (chunk_prune(c, e) != 0)
        return -1;
    for (size_t i = 0; i < l->n_batch; i++) {
        struct load_planned *p = &l->batch[i];

        if (p->item.page != NULL && chunk_plan(c, l->at, &p->item, e) != 0)
            return -1;
        p->chunk = c->state.n_chunks - 1;
        leave_piece(l, &p->item);
    }
    CRASH_POINT("capture.chunks-planned");
    if (state_write(c->task, &c->state, e) != 0)
        return -1;
    CRASH_POINT("capture.chunks-durable");
    return 0;
}

static int
give_batch(struct load *l, struct err *e)
{
    struct capture *c = l->c;

    for (size_t i = 0; i < l->n_batch; i++) {
        const struct load_planned *p = &l->batch[i];
        struct load_item item = p->item;

        if (item.page == NULL)
            continue;
        if (chunk_begin(c, p->chunk, e) != 0 || chunk_rows(c, p->chunk, item.page, e) != 0)
            return -1;
        load_pool_release(c->pool, &item);
        if (!c->state.chunks[p->chunk].is_ordered && !item.is_over &&
            chunk_drain(c, p->chunk, item.reader, e) != 0)
            return -1;
        if (chunk_end(c, p->chunk, e) != 0)
            return -1;
    }
    return 0;
}

static bool
has_pages(const struct load *l)
{
    for (size_t i = 0; i < l->n_batch; i++)
        if (l->batch[i].item.page != NULL)
            return true;
    return false;
}

static int
give_pages(struct load *l, uint32_t ms, struct err *e)
{
    if (take_batch(l, ms, e) != 0)
        return -1;
    if (has_pages(l))
        return plan_batch(l, e) != 0 || give_batch(l, e) != 0 ? -1 : 0;
    for (size_t i = 0; i < l->n_batch; i++)
        leave_piece(l, &l->batch[i].item);
    return 0;
}

/* ---- the load a task begins with ---- */

/* Announces the tables that are only followed, and drops those that are not read. */
static int
settle_others(struct load *l, struct err *e)
{
    struct capture *c = l->c;
    struct state *s = &c->state;
    size_t before;

    for (uint32_t i = 0; i < s->n_tables;) {
        if (chunk_prune(c, e) != 0)
            return -1;
        before = s->n_chunks;
        for (; i < s->n_tables && s->n_chunks - before < EMPTY_AT_ONCE; i++)
            if (!s->tables[i].is_planned && !load_takes_part(c, &s->tables[i]) &&
                leave_table(l, i, e) != 0)
                return -1;
        if (s->n_chunks == before)
            continue;
        if (state_write(c->task, s, e) != 0)
            return -1;
        for (size_t k = before; k < s->n_chunks; k++)
            if (chunk_begin(c, k, e) != 0 || chunk_end(c, k, e) != 0)
                return -1;
    }
    return 0;
}

/* A reader whose view is old gives it up at the next page. */
static void
drop_views(struct load *l)
{
    for (uint32_t i = 0; i < l->readers; i++)
        if (load_view_is_old(l, i))
            load_pool_stop(l->c->pool, i);
}

static int
end_views(struct load *l, struct err *e)
{
    for (uint32_t i = 0; i < l->readers; i++)
        if (load_end_view(l, i, e) != 0)
            return -1;
    return 0;
}

static void
begin(struct load *l, struct capture *c, const struct position *at)
{
    *l = (struct load){.c = c, .at = at, .readers = c->task->max_full_load_sub_tasks};
    for (uint32_t i = 0; i < l->readers; i++)
        l->views[i].table = LOAD_NO_TABLE;
}

static int
run(struct load *l, struct err *e)
{
    struct capture *c = l->c;

    output_state(c->output, STATE_SNAPSHOT);
    if (settle_others(l, e) != 0 || load_open(c, e) != 0)
        return -1;
    for (;;) {
        if (stage_stopping(c->stage))
            return err_set(e, ERR_STOPPED, "stopped in a full load");
        if (health_tick(c, e) != 0 || dispatch(l, e) != 0)
            return -1;
        if (load_count_idle(l) == l->readers)
            break;
        if (give_pages(l, TAKE_MS, e) != 0)
            return -1;
        drop_views(l);
    }
    if (end_views(l, e) != 0)
        return -1;
    c->state.is_loaded = true;
    return state_write(c->task, &c->state, e);
}

/* What statistics made anew do not know. */
static void
show_states(struct capture *c)
{
    for (size_t i = 0; i < c->state.n_tables; i++) {
        const struct state_table *st = &c->state.tables[i];
        struct member *m = load_member(c, st);

        if (m == NULL || m->stats == NULL || st->suspended != NULL || m->source->refused != NULL)
            continue;
        stats_table_state(m->stats, st->is_planned ? TABLE_COMPLETED
                                    : st->is_begun ? TABLE_FULL_LOAD
                                                   : TABLE_BEFORE_LOAD);
    }
}

int
load_run(struct capture *c, struct err *e)
{
    struct load *l;
    int rc = 0;

    show_states(c);
    if (chunk_replay(c, e) != 0)
        return -1;
    if (c->state.is_loaded)
        return 0;
    l = calloc(1, sizeof(*l));
    if (l == NULL)
        return err_set(e, ERR_NOMEM, "full load");
    begin(l, c, &c->state.join);
    l->is_exact = c->engine->view_begin != NULL && !c->has_no_views &&
                  c->task->weir.load_handover != LOAD_REPEATS &&
                  c->task->migration_type == MIGRATION_FULL_LOAD_AND_CDC;
    rc = run(l, e);
    free(l);
    load_close(c);
    return rc;
}

bool
load_is_over(const struct capture *c)
{
    struct position last;

    if (!c->state.is_loaded)
        return false;
    if (c->state.n_chunks == 0)
        return true;
    c->engine->load_position(&c->state.chunks[c->state.n_chunks - 1].at, c->state.next_chunk - 1,
                             &last);
    return position_compare(&last, output_low(c->output)) <= 0;
}

/* ---- while the log is followed ---- */

static bool
waits(struct capture *c)
{
    for (size_t i = 0; i < c->state.n_tables; i++) {
        const struct state_table *st = &c->state.tables[i];

        if (st->wants_reload || (!st->is_planned && load_takes_part(c, st)))
            return true;
    }
    return false;
}

/*
 * The rows are read behind c->complete, up to where the log was given as a whole, and go out at
 * that place: no older state follows a newer one.  So no page may be read ahead: each reader reads
 * one, all are given, and the log goes on.
 */
static int
step(struct load *l, struct err *e)
{
    struct capture *c = l->c;

    if (load_begin_reloads(c, e) != 0 || load_open(c, e) != 0 || dispatch(l, e) != 0)
        return -1;
    while (load_count_idle(l) < l->readers)
        if (give_pages(l, TAKE_MS, e) != 0)
            return -1;
    return 0;
}

int
load_step(struct capture *c, bool *more, struct err *e)
{
    struct position at = c->complete;
    struct load *l;
    int rc;

    *more = false;
    if (c->due != 0 && chunk_replay(c, e) != 0)
        return -1;
    if (c->due != 0 || !waits(c))
        return 0;
    *more = true;
    if (position_compare(&at, output_position(c->output)) != 0)
        return 0; /* inside a transaction */
    l = calloc(1, sizeof(*l));
    if (l == NULL)
        return err_set(e, ERR_NOMEM, "load");
    begin(l, c, &at);
    l->is_stepping = true;
    rc = step(l, e);
    free(l);
    if (rc != 0)
        return -1;
    c->complete = *output_position(c->output); /* a chunk's place is as whole as that before it */
    *more = waits(c);
    if (!*more)
        load_close(c);
    output_state(c->output, STATE_STREAMING);
    return 0;
}
