/*
 * Watching the source while the task runs: alarms raised once and ended when they are over, the
 * retention guard, the operator's heartbeat.  A look now and then; nothing of it is in the loop of
 * rows.
 */
#include "capture/capture_internal.h"
#include "common/checkpoint.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/task.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Shares of the retention that are used up: raised at, and over again below (hysteresis). */
#define USED_WARN_PERCENT  50
#define USED_ERROR_PERCENT 80
#define USED_SLACK_PERCENT 10

#define MINUTE_NS ((int64_t)60 * 1000000000)

#define SUSPENDED_CODE "table-suspended"
#define RETENTION_CODE "retention"
#define HEARTBEAT_CODE "heartbeat-failed"

/* ---- alarms ---- */

static enum stats_alarm_level
stats_level(enum source_level level)
{
    switch (level) {
    case SOURCE_ERROR:
        return STATS_ALARM_ERROR;
    case SOURCE_WARNING:
        return STATS_ALARM_WARNING;
    case SOURCE_OK:
    default:
        return STATS_ALARM_NOTE;
    }
}

static struct health_alarm *
find_alarm(struct health_watch *w, const char *code)
{
    for (size_t i = 0; i < w->n_alarms; i++)
        if (strcmp(w->alarms[i].code, code) == 0)
            return &w->alarms[i];
    return NULL;
}

/* Each alarm has a place of its own in the log's thinning out: one must not hide another. */
static void
log_alarm(struct health_alarm *had, const struct source_alarm *a)
{
    enum log_level level = LOG_INFO;
    char what[2 * sizeof(a->what)];
    char remedy[2 * sizeof(a->remedy)];

    if (a->level != SOURCE_OK)
        level = a->level == SOURCE_ERROR ? LOG_ERROR : LOG_WARN;
    had->raised = (struct log_site){.next_ns = 0};
    log_write(level, &had->raised, "alarm-raised", "alarm=%s text=%s hint=%s", a->code,
              log_quote(a->what, what, sizeof(what)), log_quote(a->remedy, remedy, sizeof(remedy)));
}

/* Raised: logged once, and once more when its level changes; its words in the statistics are always
   the newest. */
static void
raise_alarm(struct capture *c, const struct source_alarm *a)
{
    struct health_watch *w = &c->watch;
    struct health_alarm *had = find_alarm(w, a->code);

    if (had == NULL && w->n_alarms == HEALTH_ALARMS_MAX)
        return;
    if (had == NULL) {
        had = &w->alarms[w->n_alarms++];
        *had = (struct health_alarm){.level = a->level};
        (void)snprintf(had->code, sizeof(had->code), "%s", a->code);
        log_alarm(had, a);
    } else if (had->level != a->level) {
        log_alarm(had, a);
    }
    had->level = a->level;
    had->round = w->round;
    stats_alarm(c->stage->stats, a->code, stats_level(a->level), a->what, a->remedy);
}

/* What this round did not find is over. */
static void
end_alarms(struct capture *c)
{
    struct health_watch *w = &c->watch;
    uint64_t wanted = 0;
    size_t kept = 0;

    for (size_t i = 0; i < w->n_alarms; i++) {
        struct health_alarm a = w->alarms[i];

        if (a.round != w->round) {
            stats_alarm_clear(c->stage->stats, a.code);
            a.raised = (struct log_site){.next_ns = 0};
            log_write(LOG_INFO, &a.raised, "alarm-over", "alarm=%s", a.code);
            continue;
        }
        wanted += a.level != SOURCE_OK ? 1 : 0;
        w->alarms[kept++] = a;
    }
    w->n_alarms = kept;
    stats_set(c->stage->stats, STAT_ALARMS, wanted);
}

__attribute__((format(printf, 5, 6))) static void
raise_own(struct capture *c, enum source_level level, const char *code, const char *remedy,
          const char *fmt, ...)
{
    struct source_alarm a = {.level = level};
    va_list ap;

    (void)snprintf(a.code, sizeof(a.code), "%s", code);
    (void)snprintf(a.remedy, sizeof(a.remedy), "%s", remedy);
    va_start(ap, fmt);
    (void)vsnprintf(a.what, sizeof(a.what), fmt, ap);
    va_end(ap);
    raise_alarm(c, &a);
}

/* ---- what is watched ---- */

/* The level by what is used up, and by the level there is: it falls only well below. */
enum source_level
health_retention_level(uint64_t used_percent, enum source_level now)
{
    unsigned warn =
        now >= SOURCE_WARNING ? USED_WARN_PERCENT - USED_SLACK_PERCENT : USED_WARN_PERCENT;
    unsigned error =
        now >= SOURCE_ERROR ? USED_ERROR_PERCENT - USED_SLACK_PERCENT : USED_ERROR_PERCENT;

    if (used_percent >= error)
        return SOURCE_ERROR;
    return used_percent >= warn ? SOURCE_WARNING : SOURCE_OK;
}

static void
watch_retention(struct capture *c, const struct source_health *h)
{
    const struct health_alarm *had = find_alarm(&c->watch, RETENTION_CODE);
    enum source_level level;
    uint64_t used;

    stats_set(c->stage->stats, STAT_RETENTION_NS, (uint64_t)h->retention_ns);
    stats_set(c->stage->stats, STAT_HEADROOM_NS, (uint64_t)h->headroom_ns);
    if (h->retention_ns <= 0)
        return;
    used = (uint64_t)(100.0 * (1.0 - (double)h->headroom_ns / (double)h->retention_ns));
    level = health_retention_level(used, had != NULL ? had->level : SOURCE_OK);
    if (level == SOURCE_OK)
        return;
    raise_own(c, level, RETENTION_CODE,
              "let the task catch up (is the stream slow, a stage down?), or give it time: EXEC "
              "sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 10080 (minutes)",
              "in %" PRId64 " minutes the source forgets changes that are not delivered yet: "
              "%" PRIu64 " %% of the %" PRId64 " minutes it keeps them are used up%s",
              h->headroom_ns / MINUTE_NS, used, h->retention_ns / MINUTE_NS,
              h->retention_is_observed ? " (as observed: the login may not read the cleanup job's "
                                         "settings)"
                                       : "");
}

static void
watch_tables(struct capture *c)
{
    char names[320];
    size_t len = 0;
    size_t n = 0;

    names[0] = '\0';
    for (size_t i = 0; i < c->state.n_tables; i++) {
        const struct state_table *st = &c->state.tables[i];

        if (st->suspended == NULL)
            continue;
        if (len < sizeof(names))
            len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s.%s (%.120s)",
                                    n > 0 ? "; " : "", st->schema, st->name, st->suspended);
        n++;
    }
    if (n > 0)
        raise_own(c, SOURCE_ERROR, SUSPENDED_CODE,
                  "weirctl tables says why; load a table anew: weirctl reload TASK --table "
                  "schema.table",
                  "%zu table%s suspended and not delivered: %s", n, n == 1 ? " is" : "s are",
                  names);
}

static int
look(struct capture *c, struct err *e)
{
    struct source_health h = {.n = 0};
    struct position safe;
    int64_t ignored;

    if (checkpoint_task_lowest(c->task, &c->topo, &safe, &ignored, e) != 0)
        return -1;
    /* Nothing is acknowledged yet: what the load is joined to must still be there. */
    if (position_is_zero(&safe))
        safe = c->state.join;
    else if (c->engine->confirm(c->source, &safe, e) != 0)
        return -1;
    if (c->engine->health(c->source, &safe, &h, e) != 0)
        return -1;
    c->watch.round++;
    for (size_t i = 0; i < h.n; i++)
        raise_alarm(c, &h.alarms[i]);
    watch_retention(c, &h);
    watch_tables(c);
    if (c->watch.heartbeat_error[0] != '\0')
        raise_own(c, SOURCE_WARNING, HEARTBEAT_CODE,
                  "mend Weir.HeartbeatStatement, or the rights of the login on its table",
                  "the heartbeat failed: %s", c->watch.heartbeat_error);
    end_alarms(c);
    return 0;
}

/* ---- the heartbeat ---- */

/* A statement that fails is an alarm, not the end of the task; a lost connection is a lost one. */
static int
beat(struct capture *c, struct err *e)
{
    if (c->engine->heartbeat(c->source, c->task->weir.heartbeat_statement, e) == 0) {
        c->watch.heartbeat_error[0] = '\0';
        return 0;
    }
    if (e->code == ERR_CONNECT || e->code == ERR_TIMEOUT || e->code == ERR_STOPPED)
        return err_context(e, "heartbeat");
    (void)snprintf(c->watch.heartbeat_error, sizeof(c->watch.heartbeat_error), "%.*s",
                   (int)sizeof(c->watch.heartbeat_error) - 1, e->text);
    err_clear(e);
    return 0;
}

static bool
is_due(int64_t *next_ns, int64_t now_ns, uint32_t every_ms)
{
    if (now_ns < *next_ns)
        return false;
    *next_ns = now_ns + (int64_t)every_ms * NS_PER_MS;
    return true;
}

int
health_tick(struct capture *c, struct err *e)
{
    const struct weir_settings *w = &c->task->weir;
    int64_t now_ns = clock_mono_ns();

    if (w->heartbeat_interval_ms > 0 && w->heartbeat_statement[0] != '\0' &&
        is_due(&c->watch.next_beat_ns, now_ns, w->heartbeat_interval_ms) && beat(c, e) != 0)
        return -1;
    if (c->engine->health == NULL || w->health_interval_ms == 0 ||
        !is_due(&c->watch.next_look_ns, now_ns, w->health_interval_ms))
        return 0;
    return look(c, e);
}
