/* What the capture job tells of itself: rows of the monitoring views, as JSON arrays. */
#include "common/err.h"
#include "tests/mssqld/sql/job_parts.h"

void
job_note(struct engine *g, struct job *j, const struct scan *scan)
{
    struct scan *last = j->n_scans > 0 ? &j->scans[(j->n_scans - 1) % JOB_SESSIONS] : NULL;
    struct scan *at;

    (void)g;
    j->sum.start = j->n_scans == 0 ? scan->start : j->sum.start;
    j->sum.end = scan->end;
    j->sum.trans += scan->trans;
    j->sum.commands += scan->commands;
    j->n_failed += scan->failed;
    if (scan->trans == 0 && !scan->failed) {
        j->sum.empty++;
        if (last != NULL && last->empty > 0) {
            last->empty++;
            last->end = scan->end;
            return;
        }
    } else if (!scan->failed) {
        memcpy(j->sum.commit_lsn, scan->commit_lsn, LSN_SIZE);
        j->sum.commit_time = scan->commit_time;
    }
    at = &j->scans[j->n_scans % JOB_SESSIONS];
    *at = *scan;
    at->id = ++j->n_scans;
    at->empty = scan->trans == 0 && !scan->failed;
}

void
job_note_error(struct job *j, int32_t number, const char *text)
{
    struct scan_error *e = &j->errors[j->n_errors++ % JOB_ERRORS];

    e->session = j->n_scans;
    e->time = job_now();
    e->number = number;
    (void)snprintf(e->text, sizeof e->text, "%s", text);
}

void
job_note_idle(struct session *s, struct database *d)
{
    struct scan scan = {.start = job_now(), .end = job_now()};

    (void)pthread_mutex_lock(&s->engine->mutex);
    if (job_of(d)->interval_ms < 0 && !atomic_load(&d->deferred))
        job_note(s->engine, d->job, &scan);
    (void)pthread_mutex_unlock(&s->engine->mutex);
}

static void
put_lsn(struct sbuf *o, const uint8_t *p)
{
    sbuf_fmt(o, ",\"%02x%02x%02x%02x:%02x%02x%02x%02x:%02x%02x\"", p[0], p[1], p[2], p[3], p[4],
             p[5], p[6], p[7], p[8], p[9]);
}

static void
put_time(struct sbuf *o, int64_t ticks)
{
    if (ticks == 0)
        sbuf_add(o, ",null");
    else
        sbuf_fmt(o, ",%lld", (long long)ticks);
}

static void
put_text(struct sbuf *o, const char *text)
{
    sbuf_add(o, ",\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            sbuf_add(o, "\\");
        sbuf_addn(o, *text < ' ' ? " " : text, 1);
    }
    sbuf_add(o, "\"");
}

/* Columns in the order of the view. */
static void
put_scan(struct sbuf *o, const struct scan *c, int64_t failed)
{
    int64_t second = 10000000;
    int64_t latency = c->trans > 0 ? (c->end - c->commit_time) / second : 0;

    sbuf_fmt(o, "%s[%lld", o->size > 1 ? "," : "", (long long)c->id);
    put_time(o, c->start);
    put_time(o, c->end);
    sbuf_fmt(o, ",%lld", (long long)((c->end - c->start) / second));
    put_text(o, c->failed ? "Error" : "Done");
    sbuf_fmt(o, ",%d", c->failed ? 1 : 0);
    put_lsn(o, c->start_lsn);
    put_lsn(o, c->end_lsn);
    put_lsn(o, c->end_lsn);
    sbuf_fmt(o, ",%lld", (long long)c->trans);
    put_lsn(o, c->commit_lsn);
    put_time(o, c->commit_time);
    sbuf_fmt(o, ",%lld,0,%lld", (long long)(c->commands + 2 * c->trans), (long long)c->commands);
    put_lsn(o, c->first_begin_lsn);
    put_lsn(o, c->commit_lsn);
    put_time(o, c->commit_time);
    sbuf_fmt(o, ",%lld,%lld,%lld]", (long long)(latency > 0 ? latency : 0), (long long)c->empty,
             (long long)failed);
}

/* Newest last; a job that reads at once is always just back from a scan that found nothing. */
static void
put_sessions(struct engine *g, struct database *d, struct sbuf *o)
{
    struct job *j = job_of(d);
    int64_t first = j->n_scans > JOB_SESSIONS ? j->n_scans - JOB_SESSIONS : 0;

    if (!atomic_load(&d->deferred) && job_runs(g, j)) {
        struct scan scan = {.start = job_now(), .end = job_now()};

        job_note(g, j, &scan);
        first = j->n_scans > JOB_SESSIONS ? j->n_scans - JOB_SESSIONS : 0;
    }
    if (j->n_scans == 0)
        return;
    put_scan(o, &j->sum, j->n_failed);
    for (int64_t i = first; i < j->n_scans; i++)
        put_scan(o, &j->scans[i % JOB_SESSIONS], j->scans[i % JOB_SESSIONS].failed);
}

static void
put_errors(struct database *d, struct sbuf *o)
{
    struct job *j = job_of(d);

    for (int64_t i = j->n_errors > JOB_ERRORS ? j->n_errors - JOB_ERRORS : 0; i < j->n_errors;
         i++) {
        const struct scan_error *e = &j->errors[i % JOB_ERRORS];

        sbuf_fmt(o, "%s[%lld,7", o->size > 1 ? "," : "", (long long)e->session);
        put_time(o, e->time);
        sbuf_fmt(o, ",%d,16,1", e->number);
        put_text(o, e->text);
        sbuf_add(o, ",\"00000000:00000000:0000\",\"00000000:00000000:0000\","
                    "\"00000000:00000000:0000\"]");
    }
}

/* Per database: id, name, is the job there, does it run, started, ended, last failed, runs. */
static void
put_jobs(struct engine *g, struct sbuf *o)
{
    for (struct database *d = g->databases; d != NULL; d = d->next) {
        struct job *j;
        bool runs;

        if (d->dropped || !atomic_load(&d->cdc_enabled))
            continue;
        j = job_of(d);
        runs = job_runs(g, j);
        sbuf_fmt(o, "%s[%d", o->size > 1 ? "," : "", d->id);
        put_text(o, d->name);
        sbuf_fmt(o, ",%d,%d", !j->missing, runs);
        put_time(o, j->started);
        put_time(o, runs ? 0 : j->ended);
        sbuf_fmt(o, ",%d,%lld]", j->last_failed, (long long)j->n_runs);
    }
}

void
job_rows(struct session *s, struct database *d, const char *what, struct sbuf *out)
{
    struct engine *g = s->engine;

    sbuf_add(out, "[");
    (void)pthread_mutex_lock(&g->mutex);
    if (strcmp(what, "jobs") == 0)
        put_jobs(g, out);
    else if (!atomic_load(&d->cdc_enabled) || atomic_load(&d->secondary))
        sbuf_add(out, "");
    else if (strcmp(what, "sessions") == 0)
        put_sessions(g, d, out);
    else
        put_errors(d, out);
    (void)pthread_mutex_unlock(&g->mutex);
    sbuf_add(out, "]");
}
