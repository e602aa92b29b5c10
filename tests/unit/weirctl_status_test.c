/* uses: weirctl capture shipper aws */
/* The status screen and the table statistics, from snapshots made by hand and from real files. */
#include "common/checkpoint.h"
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/err.h"
#include "common/file.h"
#include "common/stats_internal.h"
#include "common/task.h"
#include "deploy/weirctl/progress.h"
#include "deploy/weirctl/status.h"
#include "deploy/weirctl/tables.h"
#include "deploy/weirctl/weirctl.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* 2026-03-05T08:00:00Z */
#define NOON (1772697600LL * NS_PER_S)

static char identifier[] = "invoices";
static struct task task = {.identifier = identifier,
                           .migration_type = MIGRATION_FULL_LOAD_AND_CDC,
                           .weir = {.encoders = 1, .shippers = 1}};

static struct stage_row stages[2][3];
static struct ring_row rings[2][2];
static struct table_row tables[2][2];
static struct stats_error_view shipper_error = {.code = "throttled",
                                                .text = "shard 1 is over its limit",
                                                .count = 12,
                                                .last_real_ns = NOON - 3 * NS_PER_S};

static struct stats_error_view capture_error = {
    .code = "data", .text = "no primary key", .table_id = 2, .count = 1, .last_real_ns = NOON};

static void
make_stage(struct stage_row *row, enum stage_role role, const char *name, enum stage_state state,
           uint64_t seconds)
{
    *row = (struct stage_row){.role = role, .is_present = true};
    (void)snprintf(row->name, sizeof(row->name), "%s", name);
    row->summary = (struct stats_summary){.pid = 4121 + (int)role,
                                          .alive = true,
                                          .epoch = 7,
                                          .state = state,
                                          .start_real_ns = NOON - 7500 * NS_PER_S,
                                          .heartbeat_age_ns = 40 * NS_PER_MS};
    row->summary.counters[STAT_RECORDS_OUT] = 48210 * seconds;
    row->summary.counters[STAT_BYTES_OUT] = 14200000 * seconds;
    row->summary.counters[STAT_IDLE_NS] = 610000000 * seconds;
    row->summary.counters[STAT_CPU_USER_NS] = 330000000 * seconds;
    row->summary.counters[STAT_CPU_SYS_NS] = 20000000 * seconds;
    row->summary.counters[STAT_RSS_BYTES] = 12U << 20;
}

static struct stats_position
lsn_position(uint8_t n)
{
    const struct position_sqlserver s = {
        .start_lsn = {0, 0, 0, 0x3b, 0, 0, 0x0a, 0x40, 0, n}, .command_id = 1, .operation = 2};
    struct stats_position p = {.commit_real_ns = NOON - 800 * NS_PER_MS};

    position_from_sqlserver(&s, &p.position);
    return p;
}

/* The same task at two moments, two seconds apart. */
static void
make_snapshot(struct snapshot *s, size_t which)
{
    uint64_t seconds = 100 + 2 * which;
    struct table_row *t = tables[which];

    *s = (struct snapshot){.task = &task,
                           .real_ns = NOON,
                           .mono_ns = (int64_t)seconds * NS_PER_S,
                           .has_topology = true,
                           .stages = stages[which],
                           .n_stages = 3,
                           .rings = rings[which],
                           .n_rings = 2,
                           .tables = tables[which],
                           .n_tables = 2,
                           .has_position = true,
                           .position = lsn_position(2).position};
    make_stage(&stages[which][0], ROLE_CAPTURE, "capture", STATE_STREAMING, seconds);
    make_stage(&stages[which][1], ROLE_ENCODER, "encoder.0", STATE_STREAMING, seconds);
    make_stage(&stages[which][2], ROLE_SHIPPER, "shipper.0", STATE_WAIT_SINK, seconds);
    stages[which][2].summary.counters[STAT_ERRORS] = 12;
    stages[which][2].errors = &shipper_error;
    stages[which][2].n_errors = 1;
    stages[which][2].distributions[HIST_COMMIT_TO_ACK].count = 10 * seconds;
    stages[which][2].distributions[HIST_COMMIT_TO_ACK].buckets[193] = 10 * seconds;
    stages[which][2].distributions[HIST_COMMIT_TO_ACK].max_ns = 123456789;
    rings[which][0] = (struct ring_row){.name = "change.0",
                                        .is_present = true,
                                        .info = {.capacity = 64U << 20,
                                                 .epoch = 5,
                                                 .tail = (8U << 20) + 3000000 * seconds,
                                                 .release = 3000000 * seconds,
                                                 .producer_alive = true,
                                                 .consumer_alive = true,
                                                 .producer_pid = 4121,
                                                 .consumer_pid = 4122}};
    rings[which][1] = (struct ring_row){.name = "record.0.0", .is_present = false};
    (void)snprintf(rings[which][1].problem, sizeof(rings[0][0].problem), "not made yet");
    t[0] = (struct table_row){.table_id = 1,
                              .name = "dbo.invoices",
                              .state = TABLE_COMPLETED,
                              .is_captured = true,
                              .source = lsn_position(3),
                              .acked = lsn_position(2),
                              .lag_ns = 800 * NS_PER_MS};
    t[0].captured[TSTAT_FULL_LOAD_ROWS] = 10;
    t[0].captured[TSTAT_INSERTS] = 31020 * seconds;
    t[0].captured[TSTAT_UPDATES] = 410 * seconds;
    t[0].captured[TSTAT_DELETES] = 2 * seconds;
    t[0].captured[TSTAT_DDLS] = 1;
    t[0].applied[TSTAT_FULL_LOAD_ROWS] = 10;
    t[0].applied[TSTAT_INSERTS] = 31000 * seconds;
    t[0].applied[TSTAT_UPDATES] = 300 * seconds;
    t[1] = (struct table_row){.table_id = 2,
                              .name = "sales.a_table_with_a_long_name",
                              .state = TABLE_ERROR,
                              .is_captured = true,
                              .lag_ns = -1};
}

static char *
screen(const struct snapshot *now, const struct snapshot *before, bool has_colour)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    const struct status_look look = {.has_colour = has_colour};

    status_print(out, now, before, &look);
    (void)fclose(out);
    return text;
}

static const char expected_screen[] =
    "task invoices   full-load-and-cdc   up 2h05m   2026-03-05T08:00:00Z\n"
    "lag 800ms (dbo.invoices)   errors 1   safe at 0000003b:00000a40:0002\n"
    "\n"
    "STAGE      STATE             PID   BEAT  ROWS/s   MB/s WAIT%    RSS CPU%    ERR\n"
    "capture    STREAMING        4121   40ms   48.2k   14.2    61   12Mi   35      0\n"
    "encoder.0  STREAMING        4122   40ms   48.2k   14.2    61   12Mi   35      0\n"
    "shipper.0  WAIT_SINK        4123   40ms   48.2k   14.2    61   12Mi   35     12\n"
    "\n"
    "RING            SIZE   USED  BYTES/s  PRODUCER        CONSUMER\n"
    "change.0        64Mi    12%     3.0M  alive 4121      alive 4122\n"
    "record.0.0    not made yet\n"
    "\n"
    "TABLE               INS/s  UPD/s  DEL/s ACKED/s    LAG  ACKED AT\n"
    "dbo.invoices        31.0k    410      2   31.3k  800ms  0000003b:00000a40:0002\n"
    "~_with_a_long_name      0      0      0       0      ?  - ERROR\n"
    "\n"
    "LATENCY                       P50      P90      P99      MAX      COUNT\n"
    "commit to capture               -        -        -        -          0\n"
    "in a ring                       -        -        -        -          0\n"
    "PutRecords call                 -        -        -        -          0\n"
    "commit to acknowledged       84ms     84ms     84ms    123ms         20\n"
    "\n"
    "ERRORS        COUNT    AGO  LATEST\n"
    "shipper.0        12   3.0s  shard 1 is over its limit\n";

START_TEST(test_screen)
{
    struct snapshot before;
    struct snapshot now;
    char *text;

    make_snapshot(&before, 0);
    make_snapshot(&now, 1);
    text = screen(&now, &before, false);
    ck_assert_str_eq(text, expected_screen);
    free(text);
}
END_TEST

/* Every line but those with long names fits 80 columns. */
START_TEST(test_width)
{
    struct snapshot now;
    char *text;
    size_t column = 0;

    make_snapshot(&now, 0);
    for (size_t i = 0; i < 3; i++) {
        struct stats_summary *s = &stages[0][i].summary;

        s->pid = 4194304;
        s->heartbeat_age_ns = 5999 * NS_PER_S;
        s->counters[STAT_ERRORS] = 999999;
        s->counters[STAT_RSS_BYTES] = 1023ULL << 30;
        stages[0][i].summary.state = STATE_BACKPRESSURE;
    }
    rings[0][0].info.producer_pid = 4194304;
    rings[0][0].info.consumer_pid = 4194304;
    text = screen(&now, NULL, false);
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\n') {
            ck_assert_msg(column <= 80, "%zu columns: %.*s", column, 100, p - column);
            column = 0;
        } else {
            column++;
        }
    }
    free(text);
}
END_TEST

/* A restarted stage has no past to compare with: its rates are unknown, never negative. */
START_TEST(test_restarted_stage)
{
    struct snapshot before;
    struct snapshot now;
    char *text;

    make_snapshot(&before, 0);
    make_snapshot(&now, 1);
    stages[0][0].summary.epoch = 6;
    text = screen(&now, &before, false);
    ck_assert_ptr_nonnull(strstr(
        text, "capture    STREAMING        4121   40ms       -      -     -   12Mi    -      0\n"));
    free(text);
}
END_TEST

START_TEST(test_bad_stages)
{
    struct snapshot now;
    char *text;

    make_snapshot(&now, 0);
    stages[0][0].summary.alive = false;
    stages[0][1].summary.heartbeat_age_ns = SNAPSHOT_HUNG_NS + 1;
    stages[0][2] = (struct stage_row){.role = ROLE_SHIPPER, .name = "shipper.0"};
    ck_assert(snapshot_stage_is_bad(&stages[0][0]));
    ck_assert(snapshot_stage_is_bad(&stages[0][1]));
    ck_assert(snapshot_stage_is_bad(&stages[0][2]));
    text = screen(&now, NULL, true);
    ck_assert_ptr_nonnull(strstr(text, "capture    \033[31mdead         \033[0m"));
    ck_assert_ptr_nonnull(strstr(text, "encoder.0  \033[31mhung         \033[0m"));
    ck_assert_ptr_nonnull(strstr(text, "shipper.0  \033[31mnot started\033[0m\n"));
    free(text);
}
END_TEST

START_TEST(test_exit_status)
{
    struct snapshot s;
    const int64_t minute = 60 * NS_PER_S;

    make_snapshot(&s, 0);
    ck_assert_int_eq(snapshot_exit(&s, minute), WEIRCTL_OK);
    ck_assert_int_eq(snapshot_exit(&s, 799 * NS_PER_MS), WEIRCTL_PROBLEMS);
    stages[0][1].summary.state = STATE_FATAL;
    ck_assert_int_eq(snapshot_exit(&s, minute), WEIRCTL_PROBLEMS);
    stages[0][1].is_present = false;
    ck_assert_int_eq(snapshot_exit(&s, minute), WEIRCTL_PROBLEMS);
    stages[0][1].is_incompatible = true;
    ck_assert_int_eq(snapshot_exit(&s, minute), WEIRCTL_LAYOUT);
    for (size_t i = 0; i < 3; i++)
        stages[0][i] = (struct stage_row){.name = "x"};
    ck_assert_int_eq(snapshot_exit(&s, minute), WEIRCTL_USAGE);

    /* A full load ends by itself. */
    make_snapshot(&s, 0);
    for (size_t i = 0; i < 3; i++) {
        stages[0][i].summary.alive = false;
        stages[0][i].summary.state = STATE_STOPPED;
    }
    ck_assert_int_eq(snapshot_exit(&s, minute), WEIRCTL_PROBLEMS);
    task.migration_type = MIGRATION_FULL_LOAD;
    ck_assert_int_eq(snapshot_exit(&s, minute), WEIRCTL_OK);
    task.migration_type = MIGRATION_FULL_LOAD_AND_CDC;
}
END_TEST

/* What is amiss now stands first, with the whole statement that mends it; only a note leaves the
   exit status alone. */
START_TEST(test_alarms)
{
    static struct stats_alarm_view alarms[] = {
        {.is_raised = true,
         .level = STATS_ALARM_ERROR,
         .code = "capture-job-missing",
         .text =
             "the database has no capture job: after a fail-over it must be made anew on the new "
             "primary",
         .remedy = "EXEC sys.sp_cdc_add_job @job_type = N'capture', @start_job = 1, @maxtrans = "
                   "5000",
         .since_real_ns = NOON - 125 * NS_PER_S},
        {.is_raised = true, .level = STATS_ALARM_NOTE, .code = "latency-floor", .text = "20 s"}};
    static const char expected[] =
        "\nALARMS\n"
        "error   capture-job-missing of capture, for 2m05s\n"
        "        the database has no capture job: after a fail-over it must be made anew\n"
        "        on the new primary\n"
        "        do: EXEC sys.sp_cdc_add_job @job_type = N'capture', @start_job = 1,\n"
        "            @maxtrans = 5000\n"
        "note    latency-floor of capture, for ";
    const int64_t minute = 60 * NS_PER_S;
    struct snapshot now;
    const json_t *alarm;
    json_t *o;
    char *text;

    make_snapshot(&now, 0);
    stages[0][0].alarms = &alarms[1];
    stages[0][0].n_alarms = 1;
    ck_assert_int_eq(snapshot_exit(&now, minute), WEIRCTL_OK);
    stages[0][0].alarms = alarms;
    stages[0][0].n_alarms = 2;
    ck_assert_int_eq(snapshot_exit(&now, minute), WEIRCTL_PROBLEMS);
    stages[0][0].summary.counters[STAT_RETENTION_NS] = 259200ULL * NS_PER_S;
    stages[0][0].summary.counters[STAT_HEADROOM_NS] = 3600ULL * NS_PER_S;
    text = screen(&now, NULL, false);
    ck_assert_msg(strstr(text, expected) != NULL, "%s", text);
    ck_assert_ptr_nonnull(strstr(text,
                                 "\nthe source keeps changes 72h00m; what is not acknowledged is "
                                 "lost in 60m00s\n\nALARMS\n"));
    free(text);
    o = status_json(&now);
    ck_assert_int_eq((int)json_number_value(json_object_get(o, "seconds_until_loss")), 3600);
    alarm = json_array_get(json_object_get(o, "alarms"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(alarm, "level")), "error");
    ck_assert_str_eq(json_string_value(json_object_get(alarm, "remedy")), alarms[0].remedy);
    json_decref(o);
}
END_TEST

/* Only as many tables as the screen has room for, the busiest first. */
START_TEST(test_busiest_tables_first)
{
    struct snapshot before;
    struct snapshot now;
    const struct status_look look = {.max_tables = 1};
    char *text = NULL;
    size_t size = 0;
    FILE *out;

    make_snapshot(&before, 0);
    make_snapshot(&now, 1);
    tables[1][1].captured[TSTAT_INSERTS] = 10000000;
    out = open_memstream(&text, &size);
    status_print(out, &now, &before, &look);
    (void)fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "~_with_a_long_name"));
    ck_assert_ptr_null(strstr(text, "\ndbo.invoices "));
    ck_assert_ptr_nonnull(strstr(text, "... and 1 more: weirctl tables\n"));
    free(text);
}
END_TEST

static void
set_load(struct table_row *t, enum table_state state, uint64_t rows, uint64_t whole, int seconds)
{
    t->state = state;
    t->captured[TSTAT_FULL_LOAD_ROWS] = rows;
    t->captured[TSTAT_FULL_LOAD_ESTIMATE] = whole;
    t->captured[TSTAT_FULL_LOAD_BEGAN] =
        seconds > 0 ? (uint64_t)(NOON - (int64_t)seconds * NS_PER_S) : 0;
}

/* Percent, rate and time left, of a table and of the task, in DMS's names. */
START_TEST(test_progress)
{
    struct snapshot s;
    struct task_progress all;
    struct progress one;
    char text[PROGRESS_TEXT];
    json_t *o;
    json_t *t;

    make_snapshot(&s, 0);
    set_load(&tables[0][0], TABLE_FULL_LOAD, 30000, 120000, 10);
    set_load(&tables[0][1], TABLE_RELOAD, 10000, 40000, 20);
    progress_of_table(&s, &tables[0][0], &one);
    ck_assert_double_eq_tol(one.percent, 25, 1e-9);
    ck_assert_double_eq_tol(one.rows_per_second, 3000, 1e-6);
    ck_assert_int_eq(one.left_ns, 30 * NS_PER_S);
    ck_assert_str_eq(progress_text(&one, text),
                     "25.0 % of 120 000 rows, 3.0k rows/s, about 30s left");
    progress_of_task(&s, &all);
    ck_assert_uint_eq(all.loading, 2);
    ck_assert_double_eq_tol(all.load.percent, 25, 1e-9);
    ck_assert_int_eq(all.load.left_ns, 60 * NS_PER_S);
    /* More rows than were expected are not the end. */
    set_load(&tables[0][0], TABLE_FULL_LOAD, 130000, 120000, 10);
    progress_of_table(&s, &tables[0][0], &one);
    ck_assert_double_lt(one.percent, 100);
    ck_assert_int_eq(one.left_ns, 0);
    /* A table whose size is not known yet: by tables. */
    set_load(&tables[0][0], TABLE_BEFORE_LOAD, 0, 0, 0);
    progress_of_task(&s, &all);
    ck_assert_uint_eq(all.queued, 1);
    ck_assert_double_eq_tol(all.load.percent, 12.5, 1e-9);
    ck_assert_int_eq(all.load.left_ns, -1);
    set_load(&tables[0][1], TABLE_COMPLETED, 40000, 40000, 20);
    tables[0][1].captured[TSTAT_FULL_LOAD_ENDED] = (uint64_t)(NOON - 10 * NS_PER_S);
    o = status_json(&s);
    t = json_object_get(o, "ReplicationTaskStats");
    ck_assert_int_eq(json_integer_value(json_object_get(t, "FullLoadProgressPercent")), 50);
    ck_assert_int_eq(json_integer_value(json_object_get(t, "TablesLoaded")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(t, "TablesQueued")), 1);
    ck_assert(json_is_null(json_object_get(t, "FullLoadFinishDate")));
    t = json_array_get(json_object_get(o, "tables"), 1);
    ck_assert(json_is_string(json_object_get(t, "FullLoadEndTime")));
    t = json_object_get(t, "Weir");
    ck_assert_double_eq_tol(json_real_value(json_object_get(t, "FullLoadRowsPerSecond")), 4000,
                            1e-6);
    json_decref(o);
}
END_TEST

START_TEST(test_tables_text)
{
    struct snapshot s;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    make_snapshot(&s, 0);
    stages[0][0].errors = &capture_error;
    stages[0][0].n_errors = 1;
    tables_print(out, &s);
    (void)fclose(out);
    ck_assert_str_eq(
        text, "TABLE              STATE           FULL LOAD   INSERTS   UPDATES   DELETES  DDLS\n"
              "dbo.invoices       Table completed        10 3 102 000    41 000       200     1\n"
              "  acknowledged     lag 800ms              10 3 100 000    30 000         0     0\n"
              "  at 0000003b:00000a40:0002.80000001.00000000:00000000:0000.2\n"
              "~_with_a_long_name Table error             0         0         0         0     0\n"
              "  acknowledged     lag unknown             0         0         0         0     0\n"
              "  at -\n"
              "  error: no primary key\n");
    free(text);
}
END_TEST

START_TEST(test_tables_json)
{
    struct snapshot s;
    json_t *o;
    json_t *t;

    make_snapshot(&s, 0);
    stages[0][0].errors = &capture_error;
    stages[0][0].n_errors = 1;
    o = tables_json(&s);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "TableStatistics")), 2);
    t = json_array_get(json_object_get(o, "TableStatistics"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(t, "SchemaName")), "dbo");
    ck_assert_str_eq(json_string_value(json_object_get(t, "TableName")), "invoices");
    ck_assert_str_eq(json_string_value(json_object_get(t, "TableState")), "Table completed");
    ck_assert_int_eq(json_integer_value(json_object_get(t, "FullLoadRows")), 10);
    ck_assert_int_eq(json_integer_value(json_object_get(t, "Inserts")), 3102000);
    ck_assert_int_eq(json_integer_value(json_object_get(t, "AppliedInserts")), 3100000);
    ck_assert_int_eq(json_integer_value(json_object_get(t, "Updates")), 41000);
    ck_assert_int_eq(json_integer_value(json_object_get(t, "AppliedDeletes")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(t, "Ddls")), 1);
    t = json_object_get(t, "Weir");
    ck_assert_double_eq_tol(json_real_value(json_object_get(t, "LagSeconds")), 0.8, 1e-9);
    t = json_object_get(json_array_get(json_object_get(o, "TableStatistics"), 1), "Weir");
    ck_assert(json_is_null(json_object_get(t, "LagSeconds")));
    ck_assert(json_is_null(json_object_get(t, "AppliedPosition")));
    ck_assert_str_eq(json_string_value(json_object_get(t, "LastError")), "no primary key");
    json_decref(o);
}
END_TEST

START_TEST(test_status_json)
{
    struct snapshot s;
    json_t *o;
    json_t *stage;
    json_t *counter;

    make_snapshot(&s, 0);
    o = status_json(&s);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "format")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "stages")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "rings")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(o, "tables")), 2);
    stage = json_array_get(json_object_get(o, "stages"), 2);
    ck_assert_str_eq(json_string_value(json_object_get(stage, "state")), "WAIT_SINK");
    counter = json_object_get(json_object_get(stage, "counters"), "errors");
    ck_assert_int_eq(json_integer_value(json_object_get(counter, "value")), 12);
    ck_assert_str_eq(json_string_value(json_object_get(counter, "unit")), "times");
    ck_assert_uint_eq(json_object_size(json_object_get(stage, "counters")), STAT_COUNT);
    ck_assert_uint_eq(json_array_size(json_object_get(stage, "errors")), 1);
    json_decref(o);
}
END_TEST

/* ---- from real files ---- */

static char directory[64];
static char runtime_path[96];
static char state_path[96];

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void
setup_files(void)
{
    struct err e = ERR_INIT;

    (void)snprintf(directory, sizeof(directory), "/dev/shm/weir-status-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)snprintf(runtime_path, sizeof(runtime_path), "%s/run", directory);
    (void)snprintf(state_path, sizeof(state_path), "%s/state", directory);
    ck_assert_int_eq(file_make_directory(runtime_path, 0750, &e), 0);
    ck_assert_int_eq(file_make_directory(state_path, 0750, &e), 0);
    task.weir.runtime_directory = runtime_path;
    task.weir.state_directory = state_path;
    task.weir.shippers = 2;
}

static void
teardown_files(void)
{
    ck_assert_int_eq(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    task.weir.shippers = 1;
}

static struct stats *
stage_stats(const char *name)
{
    char path[TOPOLOGY_PATH_MAX];
    const struct stats_config config = {
        .path = topology_stats(&task, name, path), .stage = name, .task = identifier, .tables = 8};
    struct err e = ERR_INIT;
    struct stats *s;

    ck_assert_msg(stats_create(&config, &s, &e) == 0, "%s", e.text);
    stats_state(s, STATE_STREAMING);
    stats_beat(s, clock_mono_ns());
    return s;
}

/* Two shippers share a table: their counts add up, the newest acknowledgement counts. */
START_TEST(test_snapshot_joins_the_stages)
{
    struct topology topology = {.generation = 3, .encoders = 1, .shippers = 2};
    struct stats *capture = stage_stats("capture");
    struct stats *one = stage_stats("shipper.0");
    struct stats *two = stage_stats("shipper.1");
    struct stats_position p;
    struct snapshot s;
    struct err e = ERR_INIT;

    ck_assert_int_eq(topology_write(&task, &topology, &e), 0);
    stats_table_set(stats_table(capture, 1, "dbo.b"), TSTAT_INSERTS, 100);
    (void)stats_table(capture, 2, "dbo.a");
    stats_table_set(stats_table(one, 1, "dbo.b"), TSTAT_INSERTS, 60);
    stats_table_set(stats_table(two, 1, "dbo.b"), TSTAT_INSERTS, 38);
    p = lsn_position(9);
    p.commit_real_ns = clock_real_ns() - NS_PER_S;
    stats_position(capture, stats_table(capture, 1, "dbo.b"), &p);
    p = lsn_position(8);
    p.commit_real_ns = clock_real_ns() - 3 * NS_PER_S;
    stats_position(one, stats_table(one, 1, "dbo.b"), &p);
    p = lsn_position(7);
    stats_position(two, stats_table(two, 1, "dbo.b"), &p);

    snapshot_take(&task, &s);
    ck_assert_uint_eq(s.n_stages, 4);
    ck_assert_str_eq(s.stages[1].name, "encoder.0");
    ck_assert(!s.stages[1].is_present);
    ck_assert_str_eq(s.stages[1].problem, "never started");
    ck_assert(s.stages[3].is_present && s.stages[3].summary.alive);
    ck_assert_uint_eq(s.n_rings, 3);
    ck_assert_str_eq(s.rings[2].name, "record.0.1");
    ck_assert_uint_eq(s.n_tables, 2);
    ck_assert_str_eq(s.tables[0].name, "dbo.a");
    ck_assert_uint_eq(s.tables[1].captured[TSTAT_INSERTS], 100);
    ck_assert_uint_eq(s.tables[1].applied[TSTAT_INSERTS], 98);
    p = lsn_position(8);
    ck_assert_int_eq(position_compare(&s.tables[1].acked.position, &p.position), 0);
    ck_assert_int_ge(s.tables[1].lag_ns, 3 * NS_PER_S);
    ck_assert_int_lt(s.tables[1].lag_ns, 60 * NS_PER_S);
    ck_assert_int_eq(s.tables[0].lag_ns, 0); /* nothing newer to acknowledge */
    ck_assert_int_eq(snapshot_exit(&s, 300 * NS_PER_S), WEIRCTL_PROBLEMS);
    snapshot_free(&s);

    /* Nobody knows what a dead capture would have read. */
    stats_close(&capture);
    snapshot_take(&task, &s);
    ck_assert_int_eq(s.tables[1].lag_ns, -1);
    ck_assert_str_eq(snapshot_stage_state(&s.stages[0]), "dead");
    snapshot_free(&s);
    stats_close(&one);
    stats_close(&two);
}
END_TEST

START_TEST(test_snapshot_of_nothing)
{
    struct snapshot s;

    snapshot_take(&task, &s);
    ck_assert(!s.has_topology && !s.has_position);
    ck_assert_uint_eq(s.n_tables, 0);
    ck_assert_uint_eq(s.n_rings, 0);
    ck_assert_int_eq(snapshot_exit(&s, 300 * NS_PER_S), WEIRCTL_USAGE);
    snapshot_free(&s);
}
END_TEST

START_TEST(test_snapshot_of_damage)
{
    struct stats *s = stage_stats("capture");
    struct snapshot shot;
    char path[TOPOLOGY_PATH_MAX];

    stats_close(&s);
    ck_assert_int_eq(truncate(topology_stats(&task, "capture", path), 5000), 0);
    snapshot_take(&task, &shot);
    ck_assert(!shot.stages[0].is_present && shot.stages[0].is_incompatible);
    ck_assert_ptr_nonnull(strstr(shot.stages[0].problem, "is cut"));
    ck_assert_int_eq(snapshot_exit(&shot, 300 * NS_PER_S), WEIRCTL_LAYOUT);
    snapshot_free(&shot);
}
END_TEST

/* The stage is of a newer release that counts one thing more: shown with its own name and help. */
START_TEST(test_counter_of_a_newer_release)
{
    struct stats *s = stage_stats("capture");
    struct snapshot shot;
    struct stats_header *h;
    char path[TOPOLOGY_PATH_MAX];
    char *schema;
    json_t *o;
    json_t *counters;
    json_t *counter;
    int fd = open(topology_stats(&task, "capture", path), O_RDWR | O_CLOEXEC);

    h = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(h, MAP_FAILED);
    (void)close(fd);
    /* The first table counter of the schema becomes one more of the stage's. */
    schema = memmem((char *)h + h->sections[0].offset, h->sections[0].bytes, "\"table\"", 7);
    ck_assert_ptr_nonnull(schema);
    memcpy(schema, "\"stage\"", 7);
    h->sections[1].fields = STAT_COUNT + 1;
    atomic_store((_Atomic uint64_t *)(void *)((char *)h + h->sections[1].offset) + STAT_COUNT,
                 4711);
    h->identity.section_crc32c = stats_section_crc(h);
    h->identity.crc32c = crc32c(0, &h->identity, offsetof(struct stats_identity, crc32c));
    (void)munmap(h, 1 << 16);

    snapshot_take(&task, &shot);
    o = status_json(&shot);
    counters = json_object_get(json_array_get(json_object_get(o, "stages"), 0), "counters");
    counter = json_object_get(counters, stats_table_field((enum tstat_id)0)->name);
    ck_assert_int_eq(json_integer_value(json_object_get(counter, "value")), 4711);
    ck_assert_str_eq(json_string_value(json_object_get(counter, "help")),
                     stats_table_field((enum tstat_id)0)->help);
    ck_assert_uint_eq(json_object_size(counters), STAT_COUNT + 1);
    json_decref(o);
    snapshot_free(&shot);
    stats_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("weirctl status");
    TCase *made = tcase_create("made");
    TCase *files = tcase_create("files");
    SRunner *runner;
    int failed;

    tcase_add_test(made, test_screen);
    tcase_add_test(made, test_width);
    tcase_add_test(made, test_restarted_stage);
    tcase_add_test(made, test_bad_stages);
    tcase_add_test(made, test_exit_status);
    tcase_add_test(made, test_alarms);
    tcase_add_test(made, test_busiest_tables_first);
    tcase_add_test(made, test_progress);
    tcase_add_test(made, test_tables_text);
    tcase_add_test(made, test_tables_json);
    tcase_add_test(made, test_status_json);
    tcase_add_checked_fixture(files, setup_files, teardown_files);
    tcase_add_test(files, test_snapshot_joins_the_stages);
    tcase_add_test(files, test_snapshot_of_nothing);
    tcase_add_test(files, test_snapshot_of_damage);
    tcase_add_test(files, test_counter_of_a_newer_release);
    suite_add_tcase(suite, made);
    suite_add_tcase(suite, files);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
