#include "capture/capture_internal.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"

#include <stdlib.h>
#include <string.h>

#define WATERMARK_ROWS 50000U /* a watermark at least so often inside a large transaction */
#define IDLE_FIRST_MS  2U
#define SLEEP_SLICE_MS 100U

static enum tstat_id
counter_of(enum event_operation operation)
{
    switch (operation) {
    case EVENT_INSERT:
        return TSTAT_INSERTS;
    case EVENT_UPDATE:
        return TSTAT_UPDATES;
    case EVENT_DELETE:
        return TSTAT_DELETES;
    case EVENT_LOAD:
        return TSTAT_FULL_LOAD_ROWS;
    case EVENT_CREATE_TABLE:
    case EVENT_DROP_TABLE:
    case EVENT_RENAME_TABLE:
    case EVENT_ADD_COLUMN:
    case EVENT_DROP_COLUMN:
    case EVENT_CHANGE_TYPE:
    case EVENT_CHANGE_COLUMNS:
    default:
        return TSTAT_DDLS;
    }
}

/* One change.  What the rings have already is left out by output_event(), ring by ring. */
static int
on_change(void *arg, struct source_table *t, struct event *ev, struct err *e)
{
    struct capture *c = arg;
    struct member *m = t->user;
    uint32_t ring = 0;

    if (stage_stopping(c->stage))
        return err_set(e, ERR_STOPPED, "stopped between two changes");
    if (stop_lies_before(c, &ev->position, ev->commit_real_ns))
        return err_set(e, ERR_STOPPED, "the stop position lies before this change");
    if (c->n_announcements > 0 && tables_announce_due(c, &ev->position, e) != 0)
        return -1;
    if (c->due != 0 && chunk_due(c, &ev->position, e) != 0)
        return -1;
    ev->table_id = t->def->id;
    ev->version = t->def->version;
    if (route_event(c, m, ev, &ring, e) != 0 ||
        output_event(c->output, ring, ev, m->stats, counter_of(ev->operation), e) != 0 ||
        output_done(c->output, &ev->position, e) != 0)
        return -1;
    lobs_note(m, c->task, ev);
    c->reached_real_ns = ev->commit_real_ns;
    stats_position(c->stage->stats, m->stats,
                   &(struct stats_position){.position = ev->position,
                                            .commit_real_ns = ev->commit_real_ns,
                                            .seen_mono_ns = ev->captured_mono_ns});
    if (++c->rows_since_watermark < WATERMARK_ROWS)
        return 0;
    c->rows_since_watermark = 0;
    return output_watermark(c->output, &ev->position, ev->commit_real_ns, e);
}

static int
on_complete(void *arg, const struct position *position, int64_t commit_real_ns,
            uint32_t transactions, struct err *e)
{
    struct capture *c = arg;

    if (c->n_announcements > 0 && tables_announce_due(c, position, e) != 0)
        return -1;
    if (c->due != 0 && chunk_due(c, position, e) != 0)
        return -1;
    c->complete = *position;
    c->rows_since_watermark = 0;
    c->reached_real_ns = commit_real_ns;
    stats_add(c->stage->stats, STAT_TRANSACTIONS, transactions);
    stats_position(c->stage->stats, NULL,
                   &(struct stats_position){.position = *position,
                                            .commit_real_ns = commit_real_ns,
                                            .seen_mono_ns = clock_mono_ns()});
    if (output_watermark(c->output, position, commit_real_ns, e) != 0)
        return -1;
    stop_note_complete(c, position, commit_real_ns);
    return 0;
}

/* What takes over from a suspended table is suspended too: it begins behind what was not read. */
static int
inherit_refusal(const struct capture *c, struct source_table *t, const struct source_table *old,
                struct err *e)
{
    const char *why = old != NULL ? old->refused : NULL;
    const struct state_table *newest = NULL;

    for (size_t i = 0; i < c->state.n_tables; i++) {
        const struct state_table *st = &c->state.tables[i];

        if (t->object != 0 && st->object == t->object &&
            (newest == NULL || position_compare(&st->since, &newest->since) >= 0))
            newest = st;
    }
    if (why == NULL && newest != NULL)
        why = newest->suspended;
    if (why == NULL || t->refused != NULL)
        return 0;
    t->refused = strdup(why);
    return t->refused != NULL ? 0 : err_set(e, ERR_NOMEM, "table %s", t->def->name);
}

/* Queues the records of a new table or a changed definition; *last is the place of the last. */
static int
announce(struct capture *c, struct source_table *t, const struct source_table *old,
         const struct position *position, const char *ddl, struct position *last, struct err *e)
{
    *last = *position;
    if (old != NULL)
        return alter_announce(c, t->user, old->def, position, ddl, last, e);
    log_info("table-joins-late",
             "table=%s.%s text=\"change data capture was enabled after the task began; %s\"",
             t->def->schema, t->def->name,
             c->task->migration_type == MIGRATION_FULL_LOAD_AND_CDC
                 ? "it is loaded while the log is followed"
                 : "its changes are followed from now on");
    return tables_announce_event(c, t->user, EVENT_CREATE_TABLE, NULL, 0, last, e);
}

/* A table that was not there when the task began, or a changed definition.  It is on disk, with the
   place of its last record, before the first of them is given: a start in between finds the old
   definition in force and is told of the new one again. */
static int
on_definition(void *arg, struct source_table *t, struct source_table *old,
              const struct position *position, const char *ddl, struct err *e)
{
    struct capture *c = arg;
    struct position last;
    struct state_table *st;

    if (old != NULL && old->user == NULL)
        old = NULL; /* it never took part */
    if (inherit_refusal(c, t, old, e) != 0)
        return -1;
    if (t->refused != NULL)
        return tables_refuse(c, t, e);
    if ((old != NULL ? tables_join_next(c, t, old->def, e) : tables_join(c, t, NULL, e)) != 0 ||
        announce(c, t, old, position, ddl, &last, e) != 0)
        return -1;
    st = state_find_definition(&c->state, t);
    if (st == NULL)
        st = state_add_table(&c->state, t, e);
    if (st == NULL)
        return -1;
    st->since = last;
    if (old == NULL)
        st->announced = last;
    /* A table that joins a task which loads its tables is loaded too, while the log is followed. */
    st->wants_load = old == NULL && c->task->migration_type == MIGRATION_FULL_LOAD_AND_CDC;
    st->is_begun = true; /* announced: its load need not */
    st->is_planned = !st->wants_load;
    if (state_write(c->task, &c->state, e) != 0)
        return -1;
    CRASH_POINT("capture.definition-written");
    stats_table_state(((struct member *)t->user)->stats,
                      st->wants_load ? TABLE_BEFORE_LOAD : TABLE_COMPLETED);
    return 0;
}

static int
on_dropped(void *arg, struct source_table *t, const struct position *position, const char *new_name,
           struct err *e)
{
    return t->user != NULL ? tables_end(arg, t, position, new_name, e) : 0;
}

void
follow_init(struct capture *c)
{
    c->sink = (struct source_sink){
        .arg = c,
        .change = on_change,
        .complete = on_complete,
        .definition = on_definition,
        .dropped = on_dropped,
        .lost = gap_on_lost,
    };
}

/* Sleeps with heartbeats. */
static int
rest(struct capture *c, uint32_t ms, struct err *e)
{
    int64_t began = clock_mono_ns();

    while (ms > 0) {
        uint32_t slice = ms < SLEEP_SLICE_MS ? ms : SLEEP_SLICE_MS;

        if (stage_sleep(c->stage, slice))
            return err_set(e, ERR_STOPPED, "stopped");
        if (output_beat(c->output, e) != 0)
            return -1;
        ms -= slice;
    }
    stats_add(c->stage->stats, STAT_IDLE_NS, (uint64_t)(clock_mono_ns() - began));
    return 0;
}

int
follow_run(struct capture *c, struct err *e)
{
    uint32_t longest = c->task->weir.poll_interval_ms;
    uint32_t idle_ms = 0;

    output_state(c->output, STATE_STREAMING);
    for (;;) {
        struct position from = *output_position(c->output);
        struct source_status status = {.more = false};
        bool loads = false;

        if (stage_stopping(c->stage))
            return err_set(e, ERR_STOPPED, "stopped");
        stats_add(c->stage->stats, STAT_POLLS, 1);
        stats_add(c->stage->stats, STAT_LOOPS, 1);
        if (c->engine->follow(c->source, &from, &c->sink, &status, e) != 0 && !c->stop_reached)
            return -1;
        if (c->stop_reached)
            return stop_end(c, e);
        stage_backoff_reset(&c->backoff);
        stats_set(c->stage->stats, STAT_LAG_NS, status.lag_ns > 0 ? (uint64_t)status.lag_ns : 0);
        if (output_beat(c->output, e) != 0 || health_tick(c, e) != 0 || requests_now(c, e) != 0)
            return -1;
        if (c->is_left_due && gap_any_left(c, e) != 0)
            return -1;
        c->is_left_due = false;
        /* Nothing came, so nothing behind it is half given. */
        if (!status.more && position_compare(&from, output_position(c->output)) == 0)
            c->complete = from;
        if (load_step(c, &loads, e) != 0)
            return -1;
        if (load_should_stop(c))
            return 0;
        if (status.more || loads) {
            idle_ms = 0;
            continue;
        }
        /* Nothing new doubles the pause; something new begins it anew. */
        if (position_compare(&from, output_position(c->output)) < 0)
            idle_ms = IDLE_FIRST_MS;
        else
            idle_ms = idle_ms == 0 ? IDLE_FIRST_MS : idle_ms * 2;
        if (idle_ms > longest)
            idle_ms = longest;
        if (rest(c, idle_ms, e) != 0)
            return -1;
    }
}
