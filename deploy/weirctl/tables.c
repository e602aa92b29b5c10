/*
 * weirctl tables - what DMS's DescribeTableStatistics answers, for a task of weir.
 *
 * The plain counts are capture's (read from the source), the applied ones the shippers'
 * (acknowledged by Kinesis).
 */
#include "deploy/weirctl/tables.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"
#include "deploy/weirctl/progress.h"
#include "deploy/weirctl/text.h"
#include "deploy/weirctl/weirctl.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define USAGE "tables TASK [--json]"

/* "schema.table": the schema ends at the first point. */
static void
split_name(const char *name, char *schema, size_t schema_size, const char **table)
{
    size_t n = strcspn(name, ".");

    if (name[n] == '\0')
        n = 0;
    (void)snprintf(schema, schema_size, "%.*s", (int)n, name);
    *table = n > 0 ? name + n + 1 : name;
}

static const char *
position_or_dash(const struct stats_position *p, char *buf)
{
    if (position_is_zero(&p->position))
        (void)snprintf(buf, POSITION_TEXT_SIZE, "-");
    else
        (void)position_text(&p->position, buf);
    return buf;
}

/* The newest error that concerns the table, of any stage; NULL when there is none. */
static const struct stats_error_view *
newest_error(const struct snapshot *s, const struct table_row *t)
{
    const struct stats_error_view *newest = NULL;

    for (size_t i = 0; i < s->n_stages; i++) {
        for (size_t k = 0; k < s->stages[i].n_errors; k++) {
            const struct stats_error_view *e = &s->stages[i].errors[k];

            if (t->table_id != 0 && e->table_id == t->table_id &&
                (newest == NULL || e->last_real_ns > newest->last_real_ns))
                newest = e;
        }
    }
    return newest;
}

/* ---- JSON ---- */

static json_t *
time_or_null(int64_t real_ns)
{
    char iso[CLOCK_ISO_SIZE];

    return real_ns != 0 ? json_string(clock_iso(real_ns, iso)) : json_null();
}

static json_t *
position_or_null(const struct stats_position *p)
{
    char text[POSITION_TEXT_SIZE];

    return position_is_zero(&p->position) ? json_null() : json_string(position_or_dash(p, text));
}

static void
set_count(json_t *object, const char *name, uint64_t value)
{
    (void)json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *
number_or_null(double value)
{
    return value >= 0 ? json_real(value) : json_null();
}

static void
add_progress(const struct progress *p, json_t *o)
{
    (void)json_object_set_new(o, "FullLoadEstimate",
                              p->whole != 0 ? json_integer((json_int_t)p->whole) : json_null());
    (void)json_object_set_new(o, "FullLoadPercent", number_or_null(p->percent));
    (void)json_object_set_new(o, "FullLoadRowsPerSecond", number_or_null(p->rows_per_second));
    (void)json_object_set_new(
        o, "FullLoadSecondsLeft",
        number_or_null(p->left_ns >= 0 ? (double)p->left_ns / (double)NS_PER_S : -1));
}

static json_t *
table_extension(const struct snapshot *s, const struct table_row *t)
{
    const struct stats_error_view *error = newest_error(s, t);
    struct progress progress;
    json_t *o = json_object();

    progress_of_table(s, t, &progress);
    add_progress(&progress, o);
    set_count(o, "AppliedFullLoadRows", t->applied[TSTAT_FULL_LOAD_ROWS]);
    set_count(o, "Repeated", t->applied[TSTAT_REPEATED]);
    set_count(o, "Bytes", t->applied[TSTAT_BYTES]);
    set_count(o, "Errors", t->captured[TSTAT_ERRORS] + t->applied[TSTAT_ERRORS]);
    set_count(o, "TruncatedValues", t->captured[TSTAT_TRUNCATED]);
    set_count(o, "UnavailableValues", t->captured[TSTAT_UNAVAILABLE]);
    (void)json_object_set_new(o, "LastPosition", position_or_null(&t->source));
    (void)json_object_set_new(o, "LastCommitTime", time_or_null(t->source.commit_real_ns));
    (void)json_object_set_new(o, "AppliedPosition", position_or_null(&t->acked));
    (void)json_object_set_new(o, "AppliedCommitTime", time_or_null(t->acked.commit_real_ns));
    (void)json_object_set_new(o, "LagSeconds",
                              t->lag_ns >= 0 ? json_real((double)t->lag_ns / 1e9) : json_null());
    (void)json_object_set_new(o, "LastError",
                              error != NULL ? json_string(error->text) : json_null());
    return o;
}

static json_t *
table_json(const struct snapshot *s, const struct table_row *t)
{
    static const struct {
        const char *name;
        enum tstat_id id;
    } counts[] = {{"Inserts", TSTAT_INSERTS},
                  {"Updates", TSTAT_UPDATES},
                  {"Deletes", TSTAT_DELETES},
                  {"Ddls", TSTAT_DDLS}};
    json_t *o = json_object();
    char schema[sizeof(t->name)];
    char applied[32];
    const char *table;

    split_name(t->name, schema, sizeof(schema), &table);
    (void)json_object_set_new(o, "SchemaName", json_string(schema));
    (void)json_object_set_new(o, "TableName", json_string(table));
    (void)json_object_set_new(o, "TableState", json_string(stats_table_state_name(t->state)));
    set_count(o, "FullLoadRows", t->captured[TSTAT_FULL_LOAD_ROWS]);
    (void)json_object_set_new(o, "FullLoadStartTime",
                              time_or_null((int64_t)t->captured[TSTAT_FULL_LOAD_BEGAN]));
    (void)json_object_set_new(o, "FullLoadEndTime",
                              time_or_null((int64_t)t->captured[TSTAT_FULL_LOAD_ENDED]));
    (void)json_object_set_new(o, "FullLoadReloaded",
                              json_boolean(t->captured[TSTAT_FULL_LOAD_RELOADED] != 0));
    set_count(o, "FullLoadErrorRows", 0);
    set_count(o, "FullLoadCondtnlChkFailedRows", 0);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        set_count(o, counts[i].name, t->captured[counts[i].id]);
        (void)snprintf(applied, sizeof(applied), "Applied%s", counts[i].name);
        set_count(o, applied, t->applied[counts[i].id]);
    }
    (void)json_object_set_new(o, "LastUpdateTime", time_or_null(s->real_ns));
    (void)json_object_set_new(o, "ValidationState", json_string("Not enabled"));
    (void)json_object_set_new(o, "Weir", table_extension(s, t));
    return o;
}

json_t *
tables_json(const struct snapshot *s)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->n_tables; i++)
        (void)json_array_append_new(list, table_json(s, &s->tables[i]));
    return json_pack("{s:s, s:o}", "ReplicationTaskIdentifier", s->task->identifier,
                     "TableStatistics", list);
}

/* ---- text ---- */

static void
print_counts(FILE *out, const uint64_t counters[TSTAT_COUNT])
{
    char n[5][TEXT_NUMBER];

    (void)fprintf(out, " %9s %9s %9s %9s %5s\n",
                  text_count(counters[TSTAT_FULL_LOAD_ROWS], n[0], sizeof(n[0])),
                  text_count(counters[TSTAT_INSERTS], n[1], sizeof(n[1])),
                  text_count(counters[TSTAT_UPDATES], n[2], sizeof(n[2])),
                  text_count(counters[TSTAT_DELETES], n[3], sizeof(n[3])),
                  text_count(counters[TSTAT_DDLS], n[4], sizeof(n[4])));
}

static void
print_progress(FILE *out, const struct snapshot *s, const struct table_row *t)
{
    struct progress p;
    char text[PROGRESS_TEXT];

    progress_of_table(s, t, &p);
    if (p.is_loading)
        (void)fprintf(out, "  load %s\n", progress_text(&p, text));
}

void
tables_print(FILE *out, const struct snapshot *s)
{
    (void)fprintf(out, "%-18s %-15s %9s %9s %9s %9s %5s\n", "TABLE", "STATE", "FULL LOAD",
                  "INSERTS", "UPDATES", "DELETES", "DDLS");
    for (size_t i = 0; i < s->n_tables; i++) {
        const struct table_row *t = &s->tables[i];
        char name[4 * 18 + 1];
        char lag[TEXT_NUMBER];
        char lag_text[48];
        char position[POSITION_TEXT_SIZE];
        char error[sizeof(((struct stats_error_view *)0)->text) + 1];

        (void)fprintf(out, "%s %-15s", text_fit(t->name, 18, 1, name, sizeof(name)),
                      t->is_captured ? stats_table_state_name(t->state) : "-");
        print_counts(out, t->captured);
        (void)snprintf(lag_text, sizeof(lag_text), "lag %s",
                       t->lag_ns >= 0 ? text_duration(t->lag_ns, lag, sizeof(lag)) : "unknown");
        (void)fprintf(out, "%-18s %-15s", "  acknowledged", lag_text);
        print_counts(out, t->applied);
        print_progress(out, s, t);
        (void)fprintf(out, "  at %s\n", position_or_dash(&t->acked, position));
        if (newest_error(s, t) != NULL)
            (void)fprintf(out, "  error: %s\n",
                          text_cut(newest_error(s, t)->text, 400, error, sizeof(error)));
    }
}

int
tables_command(int argc, char **argv)
{
    bool as_json = false;
    const char *path = NULL;
    struct task *task;
    struct snapshot s;
    int status;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            as_json = true;
        else if (strcmp(argv[i], "--help") == 0) {
            (void)printf("usage: weirctl %s\n\n"
                         "First line of a table: what was read from the source.  Second: what "
                         "Kinesis has acknowledged.\n",
                         USAGE);
            return WEIRCTL_OK;
        } else if (argv[i][0] == '-' || path != NULL)
            return weirctl_usage(USAGE);
        else
            path = argv[i];
    }
    if (path == NULL)
        return weirctl_usage(USAGE);
    status = weirctl_load("tables", path, &task);
    if (status != WEIRCTL_OK)
        return status;
    snapshot_take(task, &s);
    if (as_json) {
        json_t *o = tables_json(&s);

        (void)json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        (void)printf("\n");
        json_decref(o);
    } else if (s.n_tables > 0) {
        tables_print(stdout, &s);
    }
    if (s.n_tables == 0) {
        (void)fprintf(stderr, "weirctl tables: no table of task %s has been seen yet\n",
                      task->identifier);
        status = WEIRCTL_USAGE;
    }
    snapshot_free(&s);
    task_free(&task);
    return status;
}
