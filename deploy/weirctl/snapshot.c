#include "deploy/weirctl/snapshot.h"

#include "common/checkpoint.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"
#include "deploy/weirctl/weirctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- stages ---- */

static void
read_errors(const struct stats_view *v, struct stage_row *row)
{
    struct stats_error_view one;

    for (uint32_t i = 0; stats_view_error(v, i, &one); i++) {
        struct stats_error_view *grown =
            realloc(row->errors, (row->n_errors + 1) * sizeof(row->errors[0]));

        CHECK(grown != NULL);
        row->errors = grown;
        row->errors[row->n_errors++] = one;
    }
}

static int
compare_alarms(const void *a, const void *b)
{
    const struct stats_alarm_view *x = a;
    const struct stats_alarm_view *y = b;

    if (x->level != y->level)
        return x->level > y->level ? -1 : 1;
    return strcmp(x->code, y->code);
}

static void
read_alarms(const struct stats_view *v, struct stage_row *row)
{
    struct stats_alarm_view one;

    for (uint32_t i = 0; stats_view_alarm(v, i, &one); i++) {
        struct stats_alarm_view *grown;

        if (!one.is_raised)
            continue;
        grown = realloc(row->alarms, (row->n_alarms + 1) * sizeof(row->alarms[0]));
        CHECK(grown != NULL);
        row->alarms = grown;
        row->alarms[row->n_alarms++] = one;
    }
    if (row->n_alarms > 1)
        qsort(row->alarms, row->n_alarms, sizeof(row->alarms[0]), compare_alarms);
}

/*
 * Counters this program does not know: the file says what they are.  Its list is in file order,
 * as ours is, and only ever grows at its end.
 */
static void
read_unknown(const struct stats_view *v, struct stage_row *row)
{
    size_t size;
    const char *text = stats_view_schema(v, &size);
    json_t *schema;
    json_t *field;
    size_t i;
    uint32_t number = 0;
    uint64_t value;

    if (!stats_view_counter(v, STAT_COUNT, &value))
        return;
    schema = json_loadb(text, size, 0, NULL);
    row->unknown = json_object();
    json_array_foreach(json_object_get(schema, "fields"), i, field)
    {
        const char *kind = json_string_value(json_object_get(field, "kind"));
        const char *name = json_string_value(json_object_get(field, "name"));

        if (kind == NULL || strcmp(kind, "stage") != 0 || name == NULL)
            continue;
        if (number >= STAT_COUNT && stats_view_counter(v, number, &value)) {
            (void)json_object_set_new(field, "value", json_integer((json_int_t)value));
            (void)json_object_set(row->unknown, name, field);
        }
        number++;
    }
    json_decref(schema);
}

static struct table_row *
table_of(struct snapshot *s, const struct stats_table_view *t)
{
    struct table_row *grown;

    for (size_t i = 0; i < s->n_tables; i++)
        if (s->tables[i].table_id == t->table_id && strcmp(s->tables[i].name, t->name) == 0)
            return &s->tables[i];
    grown = realloc(s->tables, (s->n_tables + 1) * sizeof(s->tables[0]));
    CHECK(grown != NULL);
    s->tables = grown;
    grown += s->n_tables++;
    *grown = (struct table_row){.table_id = t->table_id, .lag_ns = -1};
    memcpy(grown->name, t->name, sizeof(grown->name));
    return grown;
}

static void
read_tables(struct snapshot *s, const struct stats_view *v, enum stage_role role)
{
    struct stats_table_view t;

    if (role == ROLE_ENCODER)
        return;
    for (uint32_t i = 0; stats_view_table(v, i, &t); i++) {
        struct table_row *row;
        uint64_t *counters;
        struct stats_position *newest;

        if (t.is_retired)
            continue;
        row = table_of(s, &t);
        counters = role == ROLE_CAPTURE ? row->captured : row->applied;
        newest = role == ROLE_CAPTURE ? &row->source : &row->acked;
        for (size_t f = 0; f < TSTAT_COUNT; f++)
            counters[f] += t.counters[f];
        if (!t.position_torn && position_compare(&t.position.position, &newest->position) > 0)
            *newest = t.position;
        if (role == ROLE_CAPTURE) {
            row->is_captured = true;
            row->state = t.state;
        }
    }
}

static void
read_stage(struct snapshot *s, struct stage_row *row)
{
    char path[TOPOLOGY_PATH_MAX];
    struct stats_view *v;
    struct err e = ERR_INIT;

    if (stats_open(topology_stats(s->task, row->name, path), &v, &e) != 0) {
        row->is_incompatible = e.code == ERR_LAYOUT;
        if (e.code == ERR_NOT_FOUND)
            (void)snprintf(row->problem, sizeof(row->problem), "never started");
        else
            (void)snprintf(row->problem, sizeof(row->problem), "%.*s",
                           (int)sizeof(row->problem) - 1, e.text);
        return;
    }
    row->is_present = true;
    stats_view_summary(v, &row->summary);
    for (int i = 0; i < HIST_COUNT; i++)
        stats_view_distribution(v, (enum hist_id)i, &row->distributions[i]);
    read_errors(v, row);
    read_alarms(v, row);
    read_unknown(v, row);
    read_tables(s, v, row->role);
    stats_view_close(&v);
}

static void
read_stages(struct snapshot *s)
{
    uint32_t encoders = s->task->weir.encoders;
    uint32_t shippers = s->task->weir.shippers;
    size_t n = 0;

    s->n_stages = 1 + (size_t)encoders + shippers;
    s->stages = calloc(s->n_stages, sizeof(s->stages[0]));
    CHECK(s->stages != NULL);
    s->stages[n].role = ROLE_CAPTURE;
    (void)snprintf(s->stages[n++].name, sizeof(s->stages[0].name), "capture");
    for (uint32_t i = 0; i < encoders; i++) {
        s->stages[n].role = ROLE_ENCODER;
        (void)snprintf(s->stages[n++].name, sizeof(s->stages[0].name), "encoder.%u", i);
    }
    for (uint32_t i = 0; i < shippers; i++) {
        s->stages[n].role = ROLE_SHIPPER;
        (void)snprintf(s->stages[n++].name, sizeof(s->stages[0].name), "shipper.%u", i);
    }
    for (size_t i = 0; i < s->n_stages; i++)
        read_stage(s, &s->stages[i]);
}

/* ---- rings ---- */

static void
read_ring(struct ring_row *row, const char *path)
{
    struct err e = ERR_INIT;

    row->is_present = ring_inspect(path, &row->info, &e) == 0;
    if (row->is_present)
        return;
    row->is_incompatible = e.code == ERR_LAYOUT;
    (void)snprintf(row->problem, sizeof(row->problem), "%.*s", (int)sizeof(row->problem) - 1,
                   e.code == ERR_NOT_FOUND ? "not made yet" : e.text);
}

static void
read_rings(struct snapshot *s)
{
    char path[TOPOLOGY_PATH_MAX];
    uint32_t encoders = s->topology.encoders;
    uint32_t shippers = s->topology.shippers;
    size_t n = 0;

    if (!s->has_topology)
        return;
    s->n_rings = (size_t)encoders + (size_t)encoders * shippers;
    s->rings = calloc(s->n_rings, sizeof(s->rings[0]));
    CHECK(s->rings != NULL);
    for (uint32_t e = 0; e < encoders; e++) {
        (void)snprintf(s->rings[n].name, sizeof(s->rings[0].name), "change.%u", e);
        read_ring(&s->rings[n++], topology_change_ring(s->task, &s->topology, e, path));
    }
    for (uint32_t e = 0; e < encoders; e++) {
        for (uint32_t h = 0; h < shippers; h++) {
            (void)snprintf(s->rings[n].name, sizeof(s->rings[0].name), "record.%u.%u", e, h);
            read_ring(&s->rings[n++], topology_record_ring(s->task, &s->topology, e, h, path));
        }
    }
}

/* ---- lag ---- */

static bool
capture_lives(const struct snapshot *s)
{
    return s->stages[0].is_present && !snapshot_stage_is_bad(&s->stages[0]);
}

/* Nothing is under way: every ring was made and everything in it is released. */
static bool
rings_are_empty(const struct snapshot *s)
{
    for (size_t i = 0; i < s->n_rings; i++)
        if (!s->rings[i].is_present || s->rings[i].info.tail != s->rings[i].info.release)
            return false;
    return s->n_rings > 0;
}

/*
 * What is acknowledged is as old as its source commit while newer changes exist.  Where nothing
 * newer exists the lag is what capture says of the source.  Without a living capture nobody knows.
 */
static void
compute_lag(struct snapshot *s)
{
    int64_t source_lag_ns = (int64_t)s->stages[0].summary.counters[STAT_LAG_NS];

    s->is_drained = capture_lives(s) && rings_are_empty(s);
    for (size_t i = 0; i < s->n_tables; i++) {
        struct table_row *t = &s->tables[i];

        if (!capture_lives(s))
            t->lag_ns = -1;
        else if (s->is_drained ||
                 (t->is_captured && position_compare(&t->source.position, &t->acked.position) <= 0))
            t->lag_ns = source_lag_ns;
        else if (t->acked.commit_real_ns != 0)
            t->lag_ns =
                s->real_ns > t->acked.commit_real_ns ? s->real_ns - t->acked.commit_real_ns : 0;
        else if (t->source.commit_real_ns != 0)
            t->lag_ns =
                s->real_ns > t->source.commit_real_ns ? s->real_ns - t->source.commit_real_ns : 0;
    }
}

/* ---- the whole ---- */

static int
compare_tables(const void *a, const void *b)
{
    const struct table_row *x = a;
    const struct table_row *y = b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : (x->table_id > y->table_id) - (x->table_id < y->table_id);
}

static void
read_position(struct snapshot *s)
{
    struct err e = ERR_INIT;
    struct checkpoint lowest = {0};
    bool has_lowest = false;

    if (!s->has_topology || checkpoint_task_position(s->task, &s->topology, &s->position, &e) != 0)
        return;
    s->has_position = !position_is_zero(&s->position);
    for (uint32_t i = 0; i < s->topology.shippers; i++) {
        struct checkpoint c;

        if (checkpoint_read(s->task, s->topology.generation, i, &c, &e) != 0)
            return;
        if (!has_lowest || position_compare(&c.position, &lowest.position) < 0)
            lowest = c;
        has_lowest = true;
    }
    s->position_commit_ns = lowest.commit_real_ns;
}

void
snapshot_take(const struct task *task, struct snapshot *out)
{
    struct err e = ERR_INIT;

    *out = (struct snapshot){.task = task};
    out->has_topology = topology_read(task, &out->topology, &e) == 0;
    if (!out->has_topology)
        (void)snprintf(out->topology_problem, sizeof(out->topology_problem), "%.*s",
                       (int)sizeof(out->topology_problem) - 1, e.text);
    out->mono_ns = clock_mono_ns();
    out->real_ns = clock_real_ns();
    read_stages(out);
    read_rings(out);
    read_position(out);
    compute_lag(out);
    if (out->n_tables > 0)
        qsort(out->tables, out->n_tables, sizeof(out->tables[0]), compare_tables);
}

void
snapshot_free(struct snapshot *s)
{
    for (size_t i = 0; i < s->n_stages; i++) {
        free(s->stages[i].errors);
        free(s->stages[i].alarms);
        json_decref(s->stages[i].unknown);
    }
    free(s->stages);
    free(s->rings);
    free(s->tables);
    *s = (struct snapshot){0};
}

const struct stage_row *
snapshot_stage_before(const struct snapshot *before, const struct stage_row *row)
{
    for (size_t i = 0; before != NULL && i < before->n_stages; i++) {
        const struct stage_row *b = &before->stages[i];

        if (strcmp(b->name, row->name) == 0)
            return b->is_present && row->is_present && b->summary.epoch == row->summary.epoch
                       ? b
                       : NULL;
    }
    return NULL;
}

const struct table_row *
snapshot_table_before(const struct snapshot *before, const struct table_row *row)
{
    for (size_t i = 0; before != NULL && i < before->n_tables; i++)
        if (before->tables[i].table_id == row->table_id &&
            strcmp(before->tables[i].name, row->name) == 0)
            return &before->tables[i];
    return NULL;
}

static bool
is_hung(const struct stage_row *row)
{
    return row->summary.heartbeat_age_ns < 0 || row->summary.heartbeat_age_ns > SNAPSHOT_HUNG_NS;
}

/* A full load that has come to its end stops by itself and is not amiss. */
static bool
has_finished(const struct stage_row *row)
{
    return row->is_present && !row->summary.alive && row->summary.state == STATE_STOPPED;
}

bool
snapshot_stage_is_bad(const struct stage_row *row)
{
    return !row->is_present || !row->summary.alive || row->summary.state == STATE_FATAL ||
           is_hung(row);
}

const char *
snapshot_stage_state(const struct stage_row *row)
{
    if (!row->is_present)
        return row->is_incompatible ? "other release" : "not started";
    if (!row->summary.alive && row->summary.state != STATE_FATAL &&
        row->summary.state != STATE_STOPPED)
        return "dead";
    if (row->summary.alive && is_hung(row))
        return "hung";
    return stats_state_name(row->summary.state);
}

int64_t
snapshot_max_lag(const struct snapshot *s, const char **name)
{
    int64_t most = -1;

    *name = "";
    for (size_t i = 0; i < s->n_tables; i++) {
        if (s->tables[i].lag_ns > most) {
            most = s->tables[i].lag_ns;
            *name = s->tables[i].name;
        }
    }
    return most;
}

void
snapshot_distribution(const struct snapshot *s, enum hist_id id, struct stats_distribution *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < s->n_stages; i++)
        stats_distribution_add(out, &s->stages[i].distributions[id]);
}

size_t
snapshot_alarms(const struct snapshot *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_stages; i++)
        for (size_t k = 0; k < s->stages[i].n_alarms; k++)
            n += s->stages[i].alarms[k].level > STATS_ALARM_NOTE ? 1 : 0;
    return n;
}

int
snapshot_exit(const struct snapshot *s, int64_t max_lag_ns)
{
    bool is_full_load = s->task->migration_type == MIGRATION_FULL_LOAD;
    bool is_bad = false;
    bool is_there = false;
    const char *name;

    for (size_t i = 0; i < s->n_stages; i++) {
        const struct stage_row *row = &s->stages[i];

        if (row->is_incompatible)
            return WEIRCTL_LAYOUT;
        is_there = is_there || row->is_present;
        is_bad = is_bad || (snapshot_stage_is_bad(row) && !(is_full_load && has_finished(row)));
    }
    for (size_t i = 0; i < s->n_rings; i++)
        if (s->rings[i].is_incompatible)
            return WEIRCTL_LAYOUT;
    if (!is_there)
        return WEIRCTL_USAGE;
    return is_bad || snapshot_max_lag(s, &name) > max_lag_ns || snapshot_alarms(s) > 0
               ? WEIRCTL_PROBLEMS
               : WEIRCTL_OK;
}
