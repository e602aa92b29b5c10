#include "deploy/weirctl/status.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"
#include "deploy/weirctl/progress.h"
#include "deploy/weirctl/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define RED    "\033[31m"
#define BOLD   "\033[1m"
#define PLAIN  "\033[0m"

#define ERRORS_SHOWN 5

struct screen {
    FILE *out;
    const struct snapshot *now;
    const struct snapshot *before;
    const struct status_look *look;
    double seconds; /* between the two; 0 = no rates */
};

static const char *
colour(const struct screen *s, const char *code)
{
    return s->look->has_colour ? code : "";
}

/* A negative rate means "not known". */
static double
rate(const struct screen *s, uint64_t now, uint64_t before)
{
    return s->seconds > 0 && now >= before ? (double)(now - before) / s->seconds : -1;
}

static const char *
migration_text(enum migration_type type)
{
    switch (type) {
    case MIGRATION_FULL_LOAD:
        return "full-load";
    case MIGRATION_CDC:
        return "cdc";
    case MIGRATION_FULL_LOAD_AND_CDC:
    default:
        return "full-load-and-cdc";
    }
}

/* The first part of a position says where in the log it is; the rest would fill the line. */
static const char *
short_position(const struct position *p, char *buf)
{
    if (position_is_zero(p)) {
        (void)snprintf(buf, POSITION_TEXT_SIZE, "-");
        return buf;
    }
    (void)position_text(p, buf);
    buf[strcspn(buf, ".")] = '\0';
    return buf;
}

/* ---- head ---- */

static void
print_head(const struct screen *s)
{
    const struct snapshot *n = s->now;
    char iso[CLOCK_ISO_SIZE];
    char name[4 * 24 + 1];
    char lag[TEXT_NUMBER];
    char position[POSITION_TEXT_SIZE];
    char up[TEXT_NUMBER] = "-";
    const char *table;
    int64_t lag_ns = snapshot_max_lag(n, &table);
    size_t kinds = 0;

    for (size_t i = 0; i < n->n_stages; i++)
        kinds += n->stages[i].n_errors;
    if (n->stages[0].is_present && n->stages[0].summary.alive)
        (void)text_duration(n->real_ns - n->stages[0].summary.start_real_ns, up, sizeof(up));
    (void)clock_iso(n->real_ns, iso);
    (void)snprintf(iso + 19, sizeof(iso) - 19, "Z");
    (void)fprintf(s->out, "%stask %s%s   %s   up %s   %s\n", colour(s, BOLD),
                  text_fit(n->task->identifier, 24, 0, name, sizeof(name)), colour(s, PLAIN),
                  migration_text(n->task->migration_type), up, iso);
    (void)fprintf(
        s->out, "lag %s%s%s%s   errors %zu   safe at %s\n",
        lag_ns >= 0 ? text_duration(lag_ns, lag, sizeof(lag)) : "unknown", lag_ns > 0 ? " (" : "",
        lag_ns > 0 ? text_fit(table, 24, 0, name, sizeof(name)) : "", lag_ns > 0 ? ")" : "", kinds,
        n->has_position ? short_position(&n->position, position) : "- (no checkpoint)");
}

/* How long the source still has what is not acknowledged. */
static void
print_retention(const struct screen *s)
{
    const uint64_t *n = s->now->stages[0].summary.counters;
    char keeps[TEXT_NUMBER];
    char left[TEXT_NUMBER];

    if (n[STAT_RETENTION_NS] == 0)
        return;
    (void)fprintf(s->out, "the source keeps changes %s; what is not acknowledged is lost in %s\n",
                  text_duration((int64_t)n[STAT_RETENTION_NS], keeps, sizeof(keeps)),
                  text_duration((int64_t)n[STAT_HEADROOM_NS], left, sizeof(left)));
}

/* While something is loaded or waits for it. */
static void
print_load(const struct screen *s)
{
    struct task_progress p;
    char text[PROGRESS_TEXT];

    progress_of_task(s->now, &p);
    if (!p.load.is_loading || s->now->task->migration_type == MIGRATION_CDC)
        return;
    (void)fprintf(s->out, "full load %s\n", progress_text(&p.load, text));
    (void)fprintf(s->out, "tables loaded %zu, loading %zu, queued %zu, errored %zu\n", p.loaded,
                  p.loading, p.queued, p.errored);
}

/* ---- stages ---- */

static const char *
state_colour(const struct screen *s, const struct stage_row *row)
{
    if (snapshot_stage_is_bad(row))
        return colour(s, RED);
    switch (row->summary.state) {
    case STATE_STREAMING:
    case STATE_SNAPSHOT:
        return colour(s, GREEN);
    case STATE_BACKPRESSURE:
    case STATE_WAIT_SOURCE:
    case STATE_WAIT_SINK:
        return colour(s, YELLOW);
    case STATE_STARTING:
    case STATE_RECOVERING:
    case STATE_FATAL:
    case STATE_STOPPED:
    case STATE_COUNT:
    default:
        return "";
    }
}

static double
percent_of_time(const struct screen *s, uint64_t now_ns, uint64_t before_ns)
{
    double r = rate(s, now_ns, before_ns);

    return r < 0 ? -1 : r / 1e7;
}

static void
print_stage(const struct screen *s, const struct stage_row *row)
{
    const struct stage_row *b = snapshot_stage_before(s->before, row);
    const uint64_t *n = row->summary.counters;
    const uint64_t *p = b != NULL ? b->summary.counters : NULL;
    char beat[TEXT_NUMBER] = "-";
    char rows[TEXT_NUMBER];
    char mb[TEXT_NUMBER] = "-";
    char wait[TEXT_NUMBER];
    char cpu[TEXT_NUMBER];
    char rss[TEXT_NUMBER];
    char text[256];
    double bytes;

    if (!row->is_present) {
        (void)fprintf(s->out, "%-11s%s%s%s%s%s\n", row->name, state_colour(s, row),
                      snapshot_stage_state(row), colour(s, PLAIN), row->is_incompatible ? ": " : "",
                      row->is_incompatible ? text_cut(row->problem, 52, text, sizeof(text)) : "");
        return;
    }
    (void)fprintf(s->out, "%-11s%s%-13s%s", row->name, state_colour(s, row),
                  snapshot_stage_state(row), colour(s, PLAIN));
    if (row->summary.alive)
        (void)text_duration(row->summary.heartbeat_age_ns, beat, sizeof(beat));
    bytes = p != NULL ? rate(s, n[STAT_BYTES_OUT], p[STAT_BYTES_OUT]) : -1;
    if (bytes >= 0)
        (void)snprintf(mb, sizeof(mb), bytes < 99.95e6 ? "%.1f" : "%.0f", bytes / 1e6);
    (void)text_rate(p != NULL ? rate(s, n[STAT_RECORDS_OUT], p[STAT_RECORDS_OUT]) : -1, rows,
                    sizeof(rows));
    /* A wait is booked when it ends: it may have begun before the first look. */
    (void)text_percent(p != NULL ? fmin(percent_of_time(s, n[STAT_IDLE_NS] + n[STAT_FULL_WAIT_NS],
                                                        p[STAT_IDLE_NS] + p[STAT_FULL_WAIT_NS]),
                                        100)
                                 : -1,
                       100, wait, sizeof(wait));
    (void)text_percent(p != NULL ? percent_of_time(s, n[STAT_CPU_USER_NS] + n[STAT_CPU_SYS_NS],
                                                   p[STAT_CPU_USER_NS] + p[STAT_CPU_SYS_NS])
                                 : -1,
                       100, cpu, sizeof(cpu));
    (void)fprintf(s->out, "%8d %6s %7s %6s %5s %6s %4s %6llu\n", row->summary.pid, beat, rows, mb,
                  wait, text_bytes(n[STAT_RSS_BYTES], rss, sizeof(rss)), cpu,
                  (unsigned long long)n[STAT_ERRORS]);
}

/* ---- rings ---- */

static const struct ring_row *
ring_before(const struct screen *s, const struct ring_row *row)
{
    for (size_t i = 0; s->before != NULL && i < s->before->n_rings; i++) {
        const struct ring_row *b = &s->before->rings[i];

        if (b->is_present && strcmp(b->name, row->name) == 0 && b->info.epoch == row->info.epoch)
            return b;
    }
    return NULL;
}

/* Padded to width, but for the last column. */
static void
print_side(const struct screen *s, bool is_alive, int32_t pid, int width)
{
    char text[32];

    if (is_alive)
        (void)snprintf(text, sizeof(text), "alive %d", pid);
    else
        (void)snprintf(text, sizeof(text), "gone");
    (void)fprintf(s->out, "  %s%-*s%s", colour(s, is_alive ? "" : RED), width, text,
                  is_alive ? "" : colour(s, PLAIN));
}

static void
print_ring(const struct screen *s, const struct ring_row *row)
{
    static const char *const states[] = {"", " RETIRED", " POISONED"};
    const struct ring_row *b = ring_before(s, row);
    const struct ring_info *i = &row->info;
    char size[TEXT_NUMBER];
    char used[TEXT_NUMBER];
    char in[TEXT_NUMBER];
    char text[256];

    (void)fprintf(s->out, "%-14s", row->name);
    if (!row->is_present) {
        (void)fprintf(s->out, "%s\n", text_cut(row->problem, 64, text, sizeof(text)));
        return;
    }
    (void)fprintf(
        s->out, "%6s %5s%% %8s", text_bytes(i->capacity, size, sizeof(size)),
        text_percent((double)(i->tail - i->release), (double)i->capacity, used, sizeof(used)),
        text_rate(b != NULL ? rate(s, i->tail, b->info.tail) : -1, in, sizeof(in)));
    print_side(s, i->producer_alive, i->producer_pid, 14);
    print_side(s, i->consumer_alive, i->consumer_pid, 0);
    (void)fprintf(s->out, "%s\n", i->state < 3 ? states[i->state] : " ?");
}

/* ---- tables ---- */

static uint64_t
changes_of(const uint64_t counters[TSTAT_COUNT])
{
    return counters[TSTAT_FULL_LOAD_ROWS] + counters[TSTAT_INSERTS] + counters[TSTAT_UPDATES] +
           counters[TSTAT_DELETES];
}

static void
print_table(const struct screen *s, const struct table_row *t)
{
    const struct table_row *b = snapshot_table_before(s->before, t);
    char name[4 * 18 + 1];
    char ins[TEXT_NUMBER];
    char upd[TEXT_NUMBER];
    char del[TEXT_NUMBER];
    char acked[TEXT_NUMBER];
    char lag[TEXT_NUMBER];
    char position[POSITION_TEXT_SIZE];
    const uint64_t *n = t->captured;
    const uint64_t *p = b != NULL ? b->captured : NULL;

    (void)fprintf(
        s->out, "%s %6s %6s %6s %7s %6s  %s%s\n", text_fit(t->name, 18, 1, name, sizeof(name)),
        text_rate(p != NULL ? rate(s, n[TSTAT_INSERTS] + n[TSTAT_FULL_LOAD_ROWS],
                                   p[TSTAT_INSERTS] + p[TSTAT_FULL_LOAD_ROWS])
                            : -1,
                  ins, sizeof(ins)),
        text_rate(p != NULL ? rate(s, n[TSTAT_UPDATES], p[TSTAT_UPDATES]) : -1, upd, sizeof(upd)),
        text_rate(p != NULL ? rate(s, n[TSTAT_DELETES], p[TSTAT_DELETES]) : -1, del, sizeof(del)),
        text_rate(b != NULL ? rate(s, changes_of(t->applied), changes_of(b->applied)) : -1, acked,
                  sizeof(acked)),
        t->lag_ns >= 0 ? text_duration(t->lag_ns, lag, sizeof(lag)) : "?",
        short_position(&t->acked.position, position), t->state == TABLE_ERROR ? " ERROR" : "");
}

struct ranked {
    const struct table_row *table;
    uint64_t moved;
};

static int
compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;

    if (x->moved != y->moved)
        return x->moved < y->moved ? 1 : -1;
    return strcmp(x->table->name, y->table->name);
}

static void
print_tables(const struct screen *s)
{
    size_t n = s->now->n_tables;
    size_t shown = n;
    struct ranked *order;

    if (n == 0)
        return;
    (void)fprintf(s->out, "\n%s%-18s %6s %6s %6s %7s %6s  %s%s\n", colour(s, BOLD), "TABLE",
                  "INS/s", "UPD/s", "DEL/s", "ACKED/s", "LAG", "ACKED AT", colour(s, PLAIN));
    order = calloc(n, sizeof(order[0]));
    CHECK(order != NULL);
    for (size_t i = 0; i < n; i++) {
        const struct table_row *t = &s->now->tables[i];
        const struct table_row *b = snapshot_table_before(s->before, t);

        order[i].table = t;
        order[i].moved = b != NULL ? changes_of(t->captured) - changes_of(b->captured) +
                                         changes_of(t->applied) - changes_of(b->applied)
                                   : 0;
    }
    if (s->look->max_tables > 0 && n > s->look->max_tables) {
        qsort(order, n, sizeof(order[0]), compare_ranked);
        shown = s->look->max_tables;
    }
    for (size_t i = 0; i < shown; i++)
        print_table(s, order[i].table);
    if (shown < n)
        (void)fprintf(s->out, "... and %zu more: weirctl tables\n", n - shown);
    free(order);
}

/* ---- latencies ---- */

/* What was measured between the two snapshots; all there is when a stage is new in between. */
static void
recent(const struct screen *s, enum hist_id id, struct stats_distribution *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < s->now->n_stages; i++) {
        const struct stage_row *row = &s->now->stages[i];
        const struct stage_row *b = snapshot_stage_before(s->before, row);
        struct stats_distribution d = row->distributions[id];

        if (b != NULL)
            stats_distribution_subtract(&d, &b->distributions[id]);
        stats_distribution_add(out, &d);
    }
}

static void
print_latencies(const struct screen *s)
{
    static const struct {
        enum hist_id id;
        const char *name;
    } lines[] = {{HIST_COMMIT_TO_CAPTURE, "commit to capture"},
                 {HIST_RING_DWELL, "in a ring"},
                 {HIST_REQUEST, "PutRecords call"},
                 {HIST_COMMIT_TO_ACK, "commit to acknowledged"}};

    (void)fprintf(s->out, "\n%s%-24s %8s %8s %8s %8s %10s%s\n", colour(s, BOLD), "LATENCY", "P50",
                  "P90", "P99", "MAX", "COUNT", colour(s, PLAIN));
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct stats_distribution d;
        char n[5][TEXT_NUMBER];
        const char *whole = "";

        recent(s, lines[i].id, &d);
        if (d.count == 0) {
            snapshot_distribution(s->now, lines[i].id, &d);
            whole = s->before != NULL && d.count > 0 ? "  total" : "";
        }
        if (d.count == 0) {
            (void)fprintf(s->out, "%-24s %8s %8s %8s %8s %10s\n", lines[i].name, "-", "-", "-", "-",
                          "0");
            continue;
        }
        for (size_t q = 0; q < 3; q++)
            (void)text_duration(
                (int64_t)stats_distribution_quantile(&d, (double[]){.5, .9, .99}[q]), n[q],
                sizeof(n[q]));
        (void)fprintf(s->out, "%-24s %8s %8s %8s %8s %10s%s\n", lines[i].name, n[0], n[1], n[2],
                      text_duration((int64_t)d.max_ns, n[3], sizeof(n[3])),
                      text_count(d.count, n[4], sizeof(n[4])), whole);
    }
}

/* ---- errors ---- */

struct shown_error {
    const char *stage;
    const struct stats_error_view *error;
};

static int
compare_errors(const void *a, const void *b)
{
    const struct shown_error *x = a;
    const struct shown_error *y = b;

    return (x->error->last_real_ns < y->error->last_real_ns) -
           (x->error->last_real_ns > y->error->last_real_ns);
}

static void
print_errors(const struct screen *s)
{
    struct shown_error *all;
    size_t n = 0;

    for (size_t i = 0; i < s->now->n_stages; i++)
        n += s->now->stages[i].n_errors;
    if (n == 0)
        return;
    all = calloc(n, sizeof(all[0]));
    CHECK(all != NULL);
    n = 0;
    for (size_t i = 0; i < s->now->n_stages; i++)
        for (size_t k = 0; k < s->now->stages[i].n_errors; k++)
            all[n++] = (struct shown_error){.stage = s->now->stages[i].name,
                                            .error = &s->now->stages[i].errors[k]};
    qsort(all, n, sizeof(all[0]), compare_errors);
    (void)fprintf(s->out, "\n%s%-11s %7s %6s  %s%s\n", colour(s, BOLD), "ERRORS", "COUNT", "AGO",
                  "LATEST", colour(s, PLAIN));
    for (size_t i = 0; i < n && i < ERRORS_SHOWN; i++) {
        const struct stats_error_view *e = all[i].error;
        char text[4 * 52 + 1];
        char ago[TEXT_NUMBER];
        char count[TEXT_NUMBER];

        (void)fprintf(
            s->out, "%-11s %7s %6s  %s\n", all[i].stage, text_count(e->count, count, sizeof(count)),
            text_duration(s->now->real_ns > e->last_real_ns ? s->now->real_ns - e->last_real_ns : 0,
                          ago, sizeof(ago)),
            text_cut(e->text, 52, text, sizeof(text)));
    }
    free(all);
}

void
status_print(FILE *out, const struct snapshot *now, const struct snapshot *before,
             const struct status_look *look)
{
    struct screen s = {.out = out, .now = now, .before = before, .look = look};

    if (before != NULL && now->mono_ns > before->mono_ns)
        s.seconds = (double)(now->mono_ns - before->mono_ns) / (double)NS_PER_S;
    print_head(&s);
    print_load(&s);
    print_retention(&s);
    (void)fputc('\n', out);
    status_print_alarms(out, now, look->has_colour);
    (void)fprintf(out, "%s%-11s%-13s%8s %6s %7s %6s %5s %6s %4s %6s%s\n", colour(&s, BOLD), "STAGE",
                  "STATE", "PID", "BEAT", "ROWS/s", "MB/s", "WAIT%", "RSS", "CPU%", "ERR",
                  colour(&s, PLAIN));
    for (size_t i = 0; i < now->n_stages; i++)
        print_stage(&s, &now->stages[i]);
    (void)fprintf(out, "\n%s%-14s%6s %6s %8s  %-14s  %s%s\n", colour(&s, BOLD), "RING", "SIZE",
                  "USED", "BYTES/s", "PRODUCER", "CONSUMER", colour(&s, PLAIN));
    for (size_t i = 0; i < now->n_rings; i++)
        print_ring(&s, &now->rings[i]);
    if (now->n_rings == 0)
        (void)fprintf(out, "none yet: capture makes the topology at its first start\n");
    print_tables(&s);
    print_latencies(&s);
    print_errors(&s);
}
