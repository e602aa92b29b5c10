#include "capture/capture.h"

#include "capture/capture_internal.h"
#include "common/checkpoint.h"
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/request.h"
#include "common/stats.h"
#include "common/task.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCK_FILE       "capture.lock"
#define BACKOFF_BASE_MS 200U
#define BACKOFF_CAP_MS  30000U

/* ---- topology ---- */

/* A first start finds nothing.  Checkpoints without the arrangement they belong to prove nothing:
   another number of shippers would take the position of one for that of all. */
static int
check_first_start(const struct capture *c, struct err *e)
{
    const char *directory = c->task->weir.state_directory;
    const struct dirent *entry;
    DIR *d = opendir(directory);

    if (d == NULL)
        return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "list %s", directory);
    while ((entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, "capture.json") == 0 ||
            strncmp(entry->d_name, "checkpoint.", strlen("checkpoint.")) == 0)
            break;
    if (entry != NULL) {
        err_set(e, ERR_LAYOUT, "%s/topology.json is gone, but %s is there", directory,
                entry->d_name);
        err_hint(e, "restore the file, or " REQUEST_RELOAD_HINT);
    }
    (void)closedir(d);
    return entry != NULL ? -1 : 0;
}

/* The stored arrangement if it fits the task file, else the next generation. */
static int
settle_topology(struct capture *c, struct err *e)
{
    const struct weir_settings *w = &c->task->weir;
    struct topology old;
    struct topology next = {.generation = 1, .encoders = w->encoders, .shippers = w->shippers};

    if (topology_read(c->task, &old, e) == 0) {
        if (old.encoders == w->encoders && old.shippers == w->shippers) {
            c->topo = old;
            return 0;
        }
        if (checkpoint_task_position(c->task, &old, &next.baseline, e) != 0)
            return -1;
        next.generation = old.generation + 1;
        memcpy(next.request, old.request, sizeof(next.request));
        memcpy(next.start, old.start, sizeof(next.start));
        log_info("topology-changes", "generation=%" PRIu64 " encoders=%u shippers=%u",
                 next.generation, next.encoders, next.shippers);
    } else if (e->code != ERR_NOT_FOUND) {
        return -1;
    } else {
        if (check_first_start(c, e) != 0)
            return -1;
        old = next;
    }
    /* Rings may lie about from a life whose state directory was removed. */
    topology_remove_rings(c->task, &next);
    if (topology_write(c->task, &next, e) != 0)
        return -1;
    if (old.generation != next.generation)
        topology_remove_rings(c->task, &old);
    c->topo = next;
    return 0;
}

/* ---- tables of a start ---- */

/* Both are about one table of the source; by its name where the source has nothing better. */
static bool
is_same_table(const struct state_table *a, const struct state_table *b)
{
    if (a->object != 0 && b->object != 0)
        return a->object == b->object;
    return strcmp(a->schema, b->schema) == 0 && strcmp(a->name, b->name) == 0;
}

static bool
is_of_table(const struct source_table *t, const struct state_table *st)
{
    if (t->object != 0 && st->object != 0)
        return t->object == st->object;
    return strcmp(t->def->schema, st->schema) == 0 && strcmp(t->def->name, st->name) == 0;
}

/* Of several definitions the one that capture knows as st, else the one nobody has met yet. */
static struct source_table *
find_source(struct source_table *const *tables, size_t n, const struct state_table *st)
{
    struct source_table *fresh = NULL;

    for (size_t i = 0; i < n; i++) {
        struct source_table *t = tables[i];

        if (!is_of_table(t, st) || strcmp(t->instance, st->instance) != 0)
            continue;
        if (t->def->id == st->id && t->def->version == st->version)
            return t;
        if (fresh == NULL && t->def->version == 0)
            fresh = t;
    }
    return fresh;
}

/*
 * An entry that is not in force where reading begins: a later one of the same table is, or an
 * earlier one still is.  The engine comes to the later ones by itself and tells of them again.
 */
static bool
is_out_of_force(const struct capture *c, const struct state_table *st)
{
    const struct position *low = output_low(c->output);
    bool is_ahead = position_compare(&st->since, low) > 0;

    for (size_t i = 0; i < c->state.n_tables; i++) {
        const struct state_table *other = &c->state.tables[i];
        int order = position_compare(&other->since, &st->since);

        if (other == st || !is_same_table(st, other))
            continue;
        if (is_ahead ? order < 0
                     : (order > 0 || (order == 0 && other > st)) &&
                           position_compare(&other->since, low) <= 0)
            return true;
    }
    return false;
}

/* A newer instance of the same table that covers everything still to be read. */
static bool
is_replaced(const struct capture *c, const struct state_table *st)
{
    for (size_t i = 0; i < c->state.n_tables; i++) {
        const struct state_table *other = &c->state.tables[i];

        if (other != st && is_same_table(other, st) &&
            position_compare(&other->since, &st->since) > 0 &&
            position_compare(&other->since, output_low(c->output)) <= 0)
            return true;
    }
    return false;
}

/* The task no longer wants the table.  Should it want it again, what came meanwhile is missing. */
static int
leave_out(struct capture *c, struct state_table *st, struct err *e)
{
    log_warn("table-left-out",
             "table=%s.%s text=\"the selection rules no longer pick it; to take it in again, its "
             "rows must be loaded anew\"",
             st->schema, st->name);
    st->suspended = strdup("the selection rules left out the table for a time, and its changes of "
                           "that time were not read; " REQUEST_RELOAD_TABLE_HINT);
    if (st->suspended == NULL)
        return err_set(e, ERR_NOMEM, "table %s", st->name);
    return state_write(c->task, &c->state, e);
}

/* A death between the note and the record would leave the record out. */
static int
tell_end(struct capture *c, struct state_table *st, struct err *e)
{
    if (st->is_end_told || position_compare(&st->ended, output_low(c->output)) <= 0)
        return 0;
    st->is_end_told = true;
    return tables_announce_drop(c, st, e);
}

static bool
is_there(struct source_table *const *tables, size_t n, const struct state_table *st)
{
    for (size_t i = 0; i < n; i++)
        if (is_of_table(tables[i], st))
            return true;
    return false;
}

/* What took part and is no longer there was dropped, with its table or without, unless the task no
   longer wants it. */
static int
miss_table(struct capture *c, struct source_table *const *tables, size_t n, struct state_table *st,
           struct err *e)
{
    struct source_gap gap = {.why = "its capture instance is gone", .remedy = ""};
    struct err why = ERR_INIT;

    if (!position_is_zero(&st->ended))
        return tell_end(c, st, e);
    if (st->suspended != NULL || is_replaced(c, st))
        return 0;
    if (!task_selects(c->task, st->schema, st->name, true))
        return leave_out(c, st, e);
    if (st->object != 0 && !is_there(tables, n, st))
        return tables_ended_unseen(c, st, e);
    gap.from = *output_low(c->output);
    memset(gap.upto.b, 0xFF, sizeof(gap.upto.b));
    if (gap_suspend(c, st, &gap, e) != 0)
        return -1;
    err_set(&why, ERR_GAP, "table %s.%s is suspended: %s", st->schema, st->name, st->suspended);
    err_hint(&why, "exclude the table by a selection rule, or enable change data capture for it "
                   "and load it anew");
    stats_error(c->stage->stats, &why, st->id);
    log_err(LOG_ERROR, "table-suspended", &why);
    return 0;
}

/* Refused now or before: what is not read while the position moves on is missing for good. */
static int
keep_out(struct capture *c, struct source_table *t, struct state_table *st, struct err *e)
{
    bool is_told = st->suspended != NULL;

    if (is_told && t->refused == NULL)
        t->refused = strdup(st->suspended);
    else if (!is_told)
        st->suspended = strdup(t->refused);
    if (t->refused == NULL || st->suspended == NULL)
        return err_set(e, ERR_NOMEM, "table %s", st->name);
    if (!is_told && state_write(c->task, &c->state, e) != 0)
        return -1;
    return tables_refuse(c, t, e);
}

/* The engine goes on with the definition that was in force. */
static int
tell_known(struct capture *c, struct source_table *t, const struct state_table *st, struct err *e)
{
    struct table_def *was = NULL;
    int rc;

    if (catalog_read(c->task->weir.state_directory, st->id, st->version, &was, e) != 0 &&
        e->code != ERR_NOT_FOUND)
        return -1;
    rc = c->engine->known(c->source, t, &st->since, was, e);
    catalog_table_free(&was);
    return rc;
}

static int
rejoin_tables(struct capture *c, struct source_table *const *tables, size_t n, struct err *e)
{
    for (size_t i = 0; i < c->state.n_tables; i++) {
        struct state_table *st = &c->state.tables[i];
        struct source_table *t = find_source(tables, n, st);
        bool is_new_here;

        if (is_out_of_force(c, st))
            continue;
        if (gap_rejoin(c, st, e) != 0)
            return -1;
        if (t == NULL) {
            if (miss_table(c, tables, n, st, e) != 0)
                return -1;
            continue;
        }
        is_new_here = t->user == NULL;
        if (tell_known(c, t, st, e) != 0)
            return -1;
        if (t->refused != NULL || st->suspended != NULL) {
            if (keep_out(c, t, st, e) != 0)
                return -1;
            continue;
        }
        if (tables_join(c, t, st, e) != 0)
            return -1;
        if (is_new_here && !position_is_zero(&st->announced) &&
            tables_announce_at(c, t->user, &st->announced, e) != 0)
            return -1;
    }
    return 0;
}

static int
no_tables(struct source_table *const *tables, size_t n, struct err *e)
{
    if (n > 0) {
        err_set(e, ERR_CDC_OFF, "none of the %zu selected tables can be captured; %s.%s: %s", n,
                tables[0]->def->schema, tables[0]->def->name,
                tables[0]->refused != NULL ? tables[0]->refused : "no reason");
        return err_hint(e, "`weirctl check` lists every table with its remedy");
    }
    err_set(e, ERR_CONFIG, "the selection rules pick no table of the database");
    return err_hint(e, "check schema-name and table-name in TableMappings; the login sees only "
                       "tables it may read");
}

static int
settle_tables(struct capture *c, struct err *e)
{
    struct source_table **tables = NULL;
    size_t usable = 0;
    size_t n = 0;

    if (c->engine->tables(c->source, &tables, &n, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (tables[i]->refused == NULL)
            usable++;
        else if (tables_refuse(c, tables[i], e) != 0)
            return -1;
    }
    if (c->state.is_new && usable == 0)
        return no_tables(tables, n, e);
    if (!c->state.is_new)
        return rejoin_tables(c, tables, n, e);
    return start_is_located(c) ? start_plan(c, tables, n, e) : load_plan(c, tables, n, e);
}

/* ---- one connection's life ---- */

/* Change data capture was switched off for the database: whatever was not read is gone with it. */
static void
name_lost(const struct capture *c, struct err *e)
{
    char at[POSITION_TEXT_SIZE];

    if (e->code != ERR_CDC_OFF || c->state.is_new)
        return;
    (void)position_text(output_position(c->output), at);
    at[strcspn(at, ".")] = '\0';
    err_context(e, "changes behind %s are lost, to the end", at);
}

static int
connect_failed(const struct capture *c, struct err *e)
{
    const struct task *task = c->task;

    name_lost(c, e);
    if (task->source.server_name[0] == '\0')
        return err_context(e, "source of secret %s", task->source.secret_id);
    return err_context(e, "source %s:%u", task->source.server_name, task->source.port);
}

static int
session(struct capture *c, struct err *e)
{
    struct source_identity identity;

    output_state(c->output, STATE_WAIT_SOURCE);
    if (c->engine->connect(c->source, &identity, e) != 0)
        return connect_failed(c, e);
    if (identity_check(c, &identity, e) != 0)
        return -1;
    output_state(c->output, STATE_RECOVERING);
    log_info("source-connected", "server=%s database=%s", identity.server, identity.database);
    if (settle_tables(c, e) != 0)
        return -1;
    if (load_run(c, e) != 0)
        return -1;
    if (c->task->migration_type == MIGRATION_FULL_LOAD) {
        log_info("full-load-ends", "tables=%zu", c->state.n_tables);
        return 0;
    }
    c->is_left_due = true;
    if (start_begin(c, e) != 0 || load_stop_after(c, e) != 0)
        return -1;
    return load_should_stop(c) ? 0 : follow_run(c, e);
}

static int
retry_later(struct capture *c, struct err *e)
{
    uint32_t pause_ms = stage_backoff_next(&c->backoff);
    uint32_t least_ms = c->engine->pause_ms != NULL ? c->engine->pause_ms(e) : 0;

    if (pause_ms < least_ms)
        pause_ms = least_ms;
    stats_error(c->stage->stats, e, 0);
    stats_add(c->stage->stats, STAT_RECONNECTS, 1);
    log_err(LOG_WARN, "source-retry", e);
    output_publish(c->output);
    output_state(c->output, STATE_WAIT_SOURCE);
    for (uint32_t slept = 0; slept < pause_ms; slept += 100) {
        if (stage_sleep(c->stage, pause_ms - slept < 100 ? pause_ms - slept : 100))
            return err_set(e, ERR_STOPPED, "stopped");
        if (output_beat(c->output, e) != 0)
            return -1;
    }
    return 0;
}

/* 0 = finished, -1 = give up with e. */
static int
run_sessions(struct capture *c, struct err *e)
{
    for (;;) {
        struct err why;

        int rc;

        err_clear(e);
        rc = session(c, e);
        load_close(c);
        if (rc == 0)
            return 0;
        if (e->code == ERR_STOPPED || stage_stopping(c->stage))
            return err_set(e, ERR_STOPPED, "stopped");
        switch (err_class(e->code)) {
        case ERR_CLASS_TABLE:
            why = *e;
            if (!tables_suspend_refused(c, &why, e)) {
                *e = why;
                return -1;
            }
            break;
        case ERR_CLASS_RETRY:
            if (retry_later(c, e) != 0)
                return -1;
            break;
        case ERR_CLASS_RESTART:
        case ERR_CLASS_OPERATOR:
        default:
            return -1;
        }
    }
}

/* A task that only loads stays ended, whatever became of its source. */
static bool
is_ended(const struct capture *c)
{
    if (c->task->migration_type != MIGRATION_FULL_LOAD || !load_is_over(c))
        return false;
    log_info("full-load-ended", "tables=%zu", c->state.n_tables);
    return true;
}

/* ---- the process ---- */

static void
beat(void *arg)
{
    struct capture *c = arg;
    struct err ignored = ERR_INIT;

    /* A ring in trouble is met again, with somebody to tell, at the next event. */
    if (c->output != NULL && output_beat(c->output, &ignored) != 0)
        log_err(LOG_DEBUG, "beat-failed", &ignored);
}

static int
prepare(struct capture *c, struct err *e)
{
    struct source_config config = {
        .task = c->task,
        .private_directory = c->task->weir.runtime_directory,
        .is_task = true,
        .stop_fd = c->stage->stop_fd,
        .beat = beat,
        .beat_arg = c,
    };
    struct position fresh;

    if (settle_topology(c, e) != 0 || state_read(c->task, &c->state, e) != 0 ||
        checkpoint_task_lowest(c->task, &c->topo, &fresh, &c->reached_real_ns, e) != 0 ||
        output_open(c->stage, &c->topo, &fresh, &c->output, e) != 0)
        return -1;
    if (c->topo.start[0] != '\0' && bounds_start(c->topo.start, &c->start) != NULL)
        return err_set(e, ERR_LAYOUT, "topology.json holds no start position: %s", c->topo.start);
    if (c->state.is_new && !position_is_zero(output_low(c->output))) {
        err_set(e, ERR_LAYOUT, "the task has a position, but %s/capture.json is gone",
                c->task->weir.state_directory);
        return err_hint(e, "restore the file, or " REQUEST_RELOAD_HINT);
    }
    return c->engine->open(&config, &c->source, e);
}

static int
run_task(struct capture *c, struct err *e)
{
    bool has_ended = false;

    if (requests_first(c, e) != 0 || stop_look_back(c, &has_ended, e) != 0)
        return -1;
    if (has_ended)
        return 0;
    if (prepare(c, e) != 0)
        return -1;
    return is_ended(c) ? 0 : run_sessions(c, e);
}

int
capture_run(struct stage *stage, struct err *e)
{
    struct capture *c = calloc(1, sizeof(*c));
    char path[TOPOLOGY_PATH_MAX];
    int lock = -1;
    int rc = -1;

    if (c == NULL)
        return err_set(e, ERR_NOMEM, "capture");
    c->stage = stage;
    c->task = stage->task;
    c->state.next_chunk = 1;
    c->start = stage->task->start;
    c->stop = stage->task->stop;
    c->backoff = (struct stage_backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    follow_init(c);
    c->engine = source_engine_find(c->task->source.engine_name);
    if (c->engine == NULL)
        err_set(e, ERR_CONFIG, "no source engine is named '%s'", c->task->source.engine_name);
    else if (file_lock(topology_state_file(c->task, LOCK_FILE, path), &lock, e) == 0)
        rc = run_task(c, e);
    if (rc != 0 && e->code == ERR_STOPPED)
        rc = 0;
    if (c->source != NULL)
        c->source->engine->close(&c->source);
    output_close(&c->output);
    tables_free(c);
    state_free(&c->state);
    free(c->key_text);
    free(c);
    if (lock >= 0)
        (void)close(lock);
    return rc;
}
