#include "capture/capture_internal.h"
#include "capture/load_pool.h"
#include "common/checkpoint.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/request.h"
#include "common/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PRUNE_CHUNKS 16   /* chunks kept before acknowledged ones are looked for */
#define TAKE_MS      1000 /* one wait for a page */

static void
position_of(const struct capture *c, const struct state_chunk *chunk, struct position *out)
{
    c->engine->load_position(&chunk->at, chunk->number, out);
}

/* ---- planning ---- */

/* A chunk is planned durably before any of its rows goes out.  One that the rings have already was
   cut by a plan that is gone: cut again, elsewhere, rows between the two would be left out. */
static int
check_is_new(const struct capture *c, const struct position *at, struct err *e)
{
    struct position position;

    c->engine->load_position(at, c->state.next_chunk, &position);
    if (position_compare(&position, output_position(c->output)) > 0)
        return 0;
    err_set(e, ERR_LAYOUT,
            "%s/capture.json is older than the rings and checkpoints of the task: chunk %" PRIu64
            " of the full load is delivered, but not planned",
            c->task->weir.state_directory, c->state.next_chunk);
    return err_hint(e, "restore the newest capture.json, or " REQUEST_RELOAD_HINT);
}

int
chunk_prune(struct capture *c, struct err *e)
{
    struct position acknowledged;
    struct position at;
    uint64_t number = 0;

    if (c->state.n_chunks < PRUNE_CHUNKS)
        return 0;
    if (checkpoint_task_position(c->task, &c->topo, &acknowledged, e) != 0)
        return -1;
    for (size_t i = 0; i < c->state.n_chunks; i++) {
        position_of(c, &c->state.chunks[i], &at);
        if (position_compare(&at, &acknowledged) <= 0)
            number = c->state.chunks[i].number;
    }
    state_prune(&c->state, number);
    return 0;
}

static struct state_chunk *
add_chunk(struct capture *c, const struct position *at, uint32_t table, struct err *e)
{
    struct state_table *st = &c->state.tables[table];
    struct state_chunk *chunk;

    if (check_is_new(c, at, e) != 0)
        return NULL;
    chunk = state_add_chunk(&c->state, e);
    if (chunk == NULL)
        return NULL;
    chunk->number = c->state.next_chunk++;
    chunk->at = *at;
    chunk->table = table;
    chunk->is_first = !st->is_begun;
    st->is_begun = true;
    return chunk;
}

int
chunk_plan_empty(struct capture *c, const struct position *at, uint32_t table, struct err *e)
{
    struct state_chunk *chunk = add_chunk(c, at, table, e);

    if (chunk == NULL)
        return -1;
    chunk->is_last = true;
    c->state.tables[table].is_planned = true;
    return 0;
}

static bool
all_done(const struct state_table *st)
{
    for (size_t i = 0; i < st->n_pieces; i++)
        if (!st->pieces[i].is_done)
            return false;
    return true;
}

int
chunk_plan(struct capture *c, const struct position *at, const struct load_item *item,
           struct err *e)
{
    struct state_table *st = &c->state.tables[item->job->table];
    struct state_piece *piece = &st->pieces[item->job->piece];
    bool is_ordered = piece->piece.is_ordered;
    struct state_chunk *chunk = add_chunk(c, at, item->job->table, e);

    if (chunk == NULL)
        return -1;
    chunk->is_ordered = is_ordered;
    chunk->where = strdup(piece->piece.where);
    if (chunk->where == NULL)
        return err_set(e, ERR_NOMEM, "chunk %" PRIu64, chunk->number);
    if (is_ordered &&
        (source_key_copy(&chunk->from, &piece->next, e) != 0 ||
         (!item->page->is_end && (source_key_copy(&chunk->upto, &item->page->last, e) != 0 ||
                                  source_key_copy(&piece->next, &item->page->last, e) != 0))))
        return -1;
    piece->is_done = item->page->is_end || !is_ordered;
    if (all_done(st)) {
        chunk->is_last = true;
        st->is_planned = true;
        state_clear_pieces(st);
    }
    return 0;
}

/* ---- giving ---- */

int
chunk_begin(struct capture *c, size_t i, struct err *e)
{
    const struct state_chunk *chunk = &c->state.chunks[i];
    struct state_table *st = &c->state.tables[chunk->table];
    struct member *m = load_member(c, st);
    struct position position;

    if (m == NULL || st->suspended != NULL || m->source->refused != NULL)
        return 0;
    position_of(c, chunk, &position);
    if (st->wants_load)
        stats_table_state(m->stats, st->is_reload ? TABLE_RELOAD : TABLE_FULL_LOAD);
    return chunk->is_first ? tables_announce_load(c, m, &position, e) : 0;
}

int
chunk_rows(struct capture *c, size_t i, const struct source_page *page, struct err *e)
{
    const struct state_chunk *chunk = &c->state.chunks[i];
    struct member *m = load_member(c, &c->state.tables[chunk->table]);
    const struct table_def *d = m->source->def;
    struct event ev = {
        .operation = EVENT_LOAD, .table_id = d->id, .version = d->version, .n_after = d->n_columns};
    uint32_t ring = 0;

    position_of(c, chunk, &ev.position);
    for (size_t row = 0; row < page->n_rows; row++) {
        ev.after = page->values + row * d->n_columns;
        lobs_note(m, c->task, &ev);
        if (route_event(c, m, &ev, &ring, e) != 0 ||
            output_event(c->output, ring, &ev, m->stats, TSTAT_FULL_LOAD_ROWS, e) != 0)
            return -1;
    }
    if (stage_stopping(c->stage))
        return err_set(e, ERR_STOPPED, "stopped in a full load");
    return output_beat(c->output, e);
}

int
chunk_end(struct capture *c, size_t i, struct err *e)
{
    const struct state_chunk *chunk = &c->state.chunks[i];
    struct state_table *st = &c->state.tables[chunk->table];
    struct member *m = load_member(c, st);
    struct position position;

    position_of(c, chunk, &position);
    CRASH_POINT("capture.chunk-read");
    if (output_watermark(c->output, &position, 0, e) != 0)
        return -1;
    if (!chunk->is_last)
        return 0;
    if (m == NULL || st->suspended != NULL || m->source->refused != NULL)
        return 0; /* it was read by nobody */
    tables_loaded(m);
    log_info("table-loaded", "table=%s rows=%" PRIu64, m->full_name,
             stats_table_get(m->stats, TSTAT_FULL_LOAD_ROWS));
    return 0;
}

/* A failing reader: its table is what ERR_DATA is about. */
static int
failed(struct capture *c, const struct load_item *item, struct err *e)
{
    struct state_table *st;
    struct member *m;

    if (item->job == NULL)
        return -1;
    st = &c->state.tables[item->job->table];
    m = load_member(c, st);
    if (m != NULL && err_class(e->code) == ERR_CLASS_TABLE && m->source->refused == NULL)
        m->source->refused = strdup(e->text);
    return err_context(e, "load %s.%s", st->schema, st->name);
}

int
chunk_take(struct capture *c, int only, uint32_t ms, struct load_item *item, struct err *e)
{
    int rc = load_pool_take(c->pool, only, ms, item, e);

    return rc < 0 ? failed(c, item, e) : rc;
}

int
chunk_drain(struct capture *c, size_t i, uint32_t reader, struct err *e)
{
    struct load_item item = {.is_over = false};
    int rc;

    while (!item.is_over) {
        rc = chunk_take(c, (int)reader, TAKE_MS, &item, e);
        if (rc < 0 || (rc == 1 && item.page != NULL && chunk_rows(c, i, item.page, e) != 0))
            return -1;
        if (rc == 1)
            load_pool_release(c->pool, &item);
    }
    return 0;
}

/* ---- giving again ---- */

/* Reads a planned chunk anew: its rows may be more by now than one page. */
static int
replay_start(struct capture *c, size_t i, uint32_t *reader, struct err *e)
{
    const struct state_chunk *chunk = &c->state.chunks[i];
    struct state_table *st = &c->state.tables[chunk->table];
    struct load_job job = {.table = chunk->table};
    int idle = load_pool_idle(c->pool, 0);

    CHECK(idle >= 0);
    *reader = (uint32_t)idle;
    job.part = (struct source_part){.table = load_member(c, st)->source,
                                    .where = chunk->where,
                                    .is_ordered = chunk->is_ordered,
                                    .from = &chunk->from,
                                    .upto = &chunk->upto};
    return load_pool_start(c->pool, *reader, &job, e);
}

/* Chunk i, now. */
static int
replay_one(struct capture *c, size_t i, struct err *e)
{
    const struct state_chunk *chunk = &c->state.chunks[i];
    uint32_t reader = 0;

    if (chunk_begin(c, i, e) != 0)
        return -1;
    if (chunk->where != NULL && load_takes_part(c, &c->state.tables[chunk->table])) {
        if (load_open(c, e) != 0 || replay_start(c, i, &reader, e) != 0 ||
            chunk_drain(c, i, reader, e) != 0)
            return -1;
    }
    return chunk_end(c, i, e);
}

int
chunk_replay(struct capture *c, struct err *e)
{
    struct position position;

    c->due = 0;
    for (size_t i = 0; i < c->state.n_chunks; i++) {
        const struct state_chunk *chunk = &c->state.chunks[i];

        position_of(c, chunk, &position);
        if (position_compare(&position, output_position(c->output)) <= 0)
            continue;
        if (position_compare(&chunk->at, &c->state.join) > 0 &&
            position_compare(&chunk->at, output_position(c->output)) > 0) {
            c->due = chunk->number;
            return 0;
        }
        output_state(c->output, STATE_SNAPSHOT);
        if (replay_one(c, i, e) != 0)
            return -1;
    }
    return 0;
}

int
chunk_due(struct capture *c, const struct position *position, struct err *e)
{
    struct position at;
    size_t i = 0;

    while (i < c->state.n_chunks && c->state.chunks[i].number < c->due)
        i++;
    for (; i < c->state.n_chunks; i++) {
        position_of(c, &c->state.chunks[i], &at);
        if (position_compare(&at, position) > 0) {
            c->due = c->state.chunks[i].number;
            return 0;
        }
        if (replay_one(c, i, e) != 0)
            return -1;
    }
    c->due = 0;
    return 0;
}
