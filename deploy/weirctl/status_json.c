#include "common/clock.h"
#include "common/task.h"
#include "deploy/weirctl/progress.h"
#include "deploy/weirctl/status.h"
#include "deploy/weirctl/tables.h"

#include <string.h>

static json_t *
seconds(int64_t ns)
{
    return ns >= 0 ? json_real((double)ns / (double)NS_PER_S) : json_null();
}

static json_t *
time_or_null(int64_t real_ns)
{
    char iso[CLOCK_ISO_SIZE];

    return real_ns != 0 ? json_string(clock_iso(real_ns, iso)) : json_null();
}

static json_t *
position_or_null(const struct position *p)
{
    char text[POSITION_TEXT_SIZE];

    if (position_is_zero(p))
        return json_null();
    (void)position_text(p, text);
    return json_string(text);
}

static json_t *
counters_json(const struct stats_summary *s)
{
    json_t *o = json_object();

    for (int i = 0; i < STAT_COUNT; i++) {
        const struct stats_field *f = stats_stage_field((enum stat_id)i);

        (void)json_object_set_new(o, f->name,
                                  json_pack("{s:I, s:s, s:s, s:s}", "value",
                                            (json_int_t)s->counters[i], "type",
                                            f->type == STATS_TYPE_gauge ? "gauge" : "counter",
                                            "unit", f->unit, "help", f->help));
    }
    return o;
}

static json_t *
latency_json(const struct stats_distribution *d)
{
    json_t *o = json_object();

    (void)json_object_set_new(o, "count", json_integer((json_int_t)d->count));
    (void)json_object_set_new(o, "p50_seconds",
                              seconds((int64_t)stats_distribution_quantile(d, 0.5)));
    (void)json_object_set_new(o, "p90_seconds",
                              seconds((int64_t)stats_distribution_quantile(d, 0.9)));
    (void)json_object_set_new(o, "p99_seconds",
                              seconds((int64_t)stats_distribution_quantile(d, 0.99)));
    (void)json_object_set_new(o, "max_seconds", seconds((int64_t)d->max_ns));
    return o;
}

static json_t *
errors_json(const struct stage_row *row)
{
    json_t *list = json_array();

    for (size_t i = 0; i < row->n_errors; i++) {
        const struct stats_error_view *e = &row->errors[i];

        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:i, s:i, s:I, s:o, s:o, s:s}", "code", e->code, "file",
                            e->file, "line", (int)e->line, "table_id", (int)e->table_id, "count",
                            (json_int_t)e->count, "first", time_or_null(e->first_real_ns), "last",
                            time_or_null(e->last_real_ns), "text", e->text));
    }
    return list;
}

static json_t *
alarms_json(const struct snapshot *s)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->n_stages; i++) {
        for (size_t k = 0; k < s->stages[i].n_alarms; k++) {
            const struct stats_alarm_view *a = &s->stages[i].alarms[k];

            (void)json_array_append_new(
                list,
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "code", a->code, "level",
                          stats_alarm_level_name(a->level), "stage", s->stages[i].name, "text",
                          a->text, "remedy", a->remedy, "since", time_or_null(a->since_real_ns),
                          "last", time_or_null(a->last_real_ns)));
        }
    }
    return list;
}

static json_t *
stage_json(const struct stage_row *row)
{
    const struct stats_summary *s = &row->summary;
    json_t *o =
        json_pack("{s:s, s:s, s:b, s:b}", "name", row->name, "state", snapshot_stage_state(row),
                  "present", row->is_present, "degraded", snapshot_stage_is_bad(row));
    json_t *latencies;

    if (!row->is_present) {
        (void)json_object_set_new(o, "problem", json_string(row->problem));
        return o;
    }
    (void)json_object_set_new(o, "pid", json_integer(s->pid));
    (void)json_object_set_new(o, "alive", json_boolean(s->alive));
    (void)json_object_set_new(o, "build", json_string(s->build));
    (void)json_object_set_new(o, "started", time_or_null(s->start_real_ns));
    (void)json_object_set_new(o, "heartbeat_age_seconds", seconds(s->heartbeat_age_ns));
    (void)json_object_set_new(o, "max_loop_seconds", seconds((int64_t)s->max_loop_ns));
    (void)json_object_set_new(o, "slow_loops", json_integer((json_int_t)s->slow_loops));
    (void)json_object_set_new(o, "position", position_or_null(&s->position.position));
    (void)json_object_set_new(o, "counters", counters_json(s));
    (void)json_object_update(json_object_get(o, "counters"), row->unknown);
    latencies = json_object();
    for (int i = 0; i < HIST_COUNT; i++)
        if (row->distributions[i].count > 0)
            (void)json_object_set_new(latencies, stats_hist_field((enum hist_id)i)->name,
                                      latency_json(&row->distributions[i]));
    (void)json_object_set_new(o, "latencies", latencies);
    (void)json_object_set_new(o, "errors", errors_json(row));
    return o;
}

static json_t *
ring_json(const struct ring_row *row)
{
    static const char *const states[] = {"open", "retired", "poisoned"};
    const struct ring_info *i = &row->info;
    json_t *o = json_pack("{s:s, s:b}", "name", row->name, "present", row->is_present);

    if (!row->is_present) {
        (void)json_object_set_new(o, "problem", json_string(row->problem));
        return o;
    }
    (void)json_object_set_new(o, "state", json_string(i->state < 3 ? states[i->state] : "unknown"));
    (void)json_object_set_new(o, "capacity_bytes", json_integer((json_int_t)i->capacity));
    (void)json_object_set_new(o, "used_bytes", json_integer((json_int_t)(i->tail - i->release)));
    (void)json_object_set_new(o, "published_bytes", json_integer((json_int_t)i->tail));
    (void)json_object_set_new(o, "producer_alive", json_boolean(i->producer_alive));
    (void)json_object_set_new(o, "producer_pid", json_integer(i->producer_pid));
    (void)json_object_set_new(o, "consumer_alive", json_boolean(i->consumer_alive));
    (void)json_object_set_new(o, "consumer_pid", json_integer(i->consumer_pid));
    return o;
}

/* A time of capture's; null while the source's retention is not known. */
static json_t *
gauge_or_null(const struct snapshot *s, enum stat_id id)
{
    const uint64_t *n = s->stages[0].summary.counters;

    return seconds(n[STAT_RETENTION_NS] != 0 ? (int64_t)n[id] : -1);
}

/* The members of DMS's ReplicationTaskStats that mean something here. */
static json_t *
task_stats_json(const struct snapshot *s)
{
    struct task_progress p;
    json_t *o = json_object();

    progress_of_task(s, &p);
    (void)json_object_set_new(o, "FullLoadProgressPercent",
                              json_integer(p.load.percent > 0 ? (json_int_t)p.load.percent : 0));
    (void)json_object_set_new(o, "TablesLoaded", json_integer((json_int_t)p.loaded));
    (void)json_object_set_new(o, "TablesLoading", json_integer((json_int_t)p.loading));
    (void)json_object_set_new(o, "TablesQueued", json_integer((json_int_t)p.queued));
    (void)json_object_set_new(o, "TablesErrored", json_integer((json_int_t)p.errored));
    (void)json_object_set_new(o, "FullLoadStartDate", time_or_null(p.load.began_real_ns));
    (void)json_object_set_new(o, "FullLoadFinishDate", time_or_null(p.load.ended_real_ns));
    (void)json_object_set_new(o, "FullLoadRowsPerSecond",
                              p.load.rows_per_second >= 0 ? json_real(p.load.rows_per_second)
                                                          : json_null());
    (void)json_object_set_new(o, "FullLoadSecondsLeft", seconds(p.load.left_ns));
    return o;
}

json_t *
status_json(const struct snapshot *s)
{
    json_t *o = json_pack("{s:i, s:s}", "format", 1, "task", s->task->identifier);
    json_t *stages = json_array();
    json_t *rings = json_array();
    json_t *tables = tables_json(s);
    const char *name;

    for (size_t i = 0; i < s->n_stages; i++)
        (void)json_array_append_new(stages, stage_json(&s->stages[i]));
    for (size_t i = 0; i < s->n_rings; i++)
        (void)json_array_append_new(rings, ring_json(&s->rings[i]));
    (void)json_object_set_new(o, "time", time_or_null(s->real_ns));
    (void)json_object_set_new(o, "lag_seconds", seconds(snapshot_max_lag(s, &name)));
    (void)json_object_set_new(o, "lag_table", json_string(name));
    (void)json_object_set_new(o, "generation",
                              s->has_topology ? json_integer((json_int_t)s->topology.generation)
                                              : json_null());
    (void)json_object_set_new(o, "safe_position",
                              s->has_position ? position_or_null(&s->position) : json_null());
    (void)json_object_set_new(o, "safe_commit_time", time_or_null(s->position_commit_ns));
    (void)json_object_set_new(o, "drained", json_boolean(s->is_drained));
    (void)json_object_set_new(o, "source_keeps_seconds", gauge_or_null(s, STAT_RETENTION_NS));
    (void)json_object_set_new(o, "seconds_until_loss", gauge_or_null(s, STAT_HEADROOM_NS));
    (void)json_object_set_new(o, "ReplicationTaskStats", task_stats_json(s));
    (void)json_object_set_new(o, "alarms", alarms_json(s));
    (void)json_object_set_new(o, "stages", stages);
    (void)json_object_set_new(o, "rings", rings);
    (void)json_object_set(o, "tables", json_object_get(tables, "TableStatistics"));
    json_decref(tables);
    return o;
}
