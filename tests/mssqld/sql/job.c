#include "tests/mssqld/sql/job.h"

#include <time.h>

#include "common/clock.h"
#include "common/err.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/job_parts.h"

struct job *
job_of(struct database *d)
{
    if (d->job == NULL) {
        d->job = calloc(1, sizeof *d->job);
        CHECK(d->job != NULL);
        d->job->interval_ms = JOB_AT_ONCE;
        d->job->next_interval_ms = JOB_AT_ONCE;
        d->job->maxtrans = 500;
        d->job->maxscans = 10;
        d->job->next_maxtrans = 500;
        d->job->next_maxscans = 10;
        d->job->started = job_now();
    }
    return d->job;
}

void
job_free(struct job *j)
{
    free(j);
}

int64_t
job_now(void)
{
    struct moment utc;
    struct moment local;

    datetime_now(&utc, &local);
    return local.days * TICKS_PER_DAY + datetime_grid(local.ticks);
}

bool
job_runs(const struct engine *g, const struct job *j)
{
    return atomic_load(&g->agent_running) && !j->missing && !j->stopped;
}

/* Reads the log as transactions commit (under mutex). */
static bool
at_once(const struct engine *g, const struct job *j)
{
    return job_runs(g, j) && j->interval_ms < 0 && j->fail_number == 0;
}

/* Puts the order into effect with the writer's turn held, so between transactions. */
static int
apply(struct session *s, struct database *d)
{
    struct engine *g = s->engine;
    struct job *j;
    bool drain;
    int rc = 0;

    if (tx_lock(s, d, 0) != 0)
        return -1;
    (void)pthread_mutex_lock(&g->mutex);
    j = job_of(d);
    drain = at_once(g, j);
    if (!at_once(g, j))
        atomic_store(&d->deferred, true);
    if (job_runs(g, j) && j->interval_ms >= 0)
        j->next_round_ns = clock_mono_ns();
    (void)pthread_cond_broadcast(&g->job_wake);
    (void)pthread_mutex_unlock(&g->mutex);
    if (s->trancount == 0 && tx_end_statement(s, true) != 0)
        return -1;
    if (drain && atomic_load(&d->deferred) && s->trancount == 0)
        rc = job_round(s, d, 0, INT32_MAX);
    return rc;
}

int
job_add(struct session *s, struct database *d)
{
    (void)pthread_mutex_lock(&s->engine->mutex);
    job_of(d)->missing = false;
    (void)pthread_mutex_unlock(&s->engine->mutex);
    return job_start(s, d);
}

int
job_drop(struct session *s, struct database *d)
{
    (void)pthread_mutex_lock(&s->engine->mutex);
    job_of(d)->missing = true;
    (void)pthread_mutex_unlock(&s->engine->mutex);
    return apply(s, d);
}

/* A start takes up the numbers sp_cdc_change_job has left (under mutex). */
static void
start_locked(struct job *j)
{
    j->stopped = false;
    j->interval_ms = j->next_interval_ms;
    j->maxtrans = j->next_maxtrans;
    j->maxscans = j->next_maxscans;
    j->started = job_now();
}

int
job_start(struct session *s, struct database *d)
{
    struct engine *g = s->engine;
    bool runs;
    bool polls;

    (void)pthread_mutex_lock(&g->mutex);
    runs = job_runs(g, job_of(d));
    if (!runs)
        start_locked(d->job);
    polls = d->job->interval_ms >= 0;
    (void)pthread_mutex_unlock(&g->mutex);
    if (polls)
        job_thread_start(g);
    return apply(s, d);
}

int
job_stop(struct session *s, struct database *d)
{
    struct job *j;

    (void)pthread_mutex_lock(&s->engine->mutex);
    j = job_of(d);
    if (!j->stopped) {
        j->stopped = true;
        j->ended = job_now();
        j->last_failed = false;
        j->n_runs++;
    }
    (void)pthread_mutex_unlock(&s->engine->mutex);
    job_note_idle(s, d);
    return apply(s, d);
}

int
job_agent(struct session *s, bool running)
{
    struct engine *g = s->engine;
    struct database *d = NULL;
    int rc = 0;

    (void)pthread_mutex_lock(&g->mutex);
    atomic_store(&g->agent_running, running);
    for (d = g->databases; d != NULL; d = d->next)
        if (!d->dropped && atomic_load(&d->cdc_enabled)) {
            job_of(d);
            if (running) /* Agent starts its jobs when it starts */
                start_locked(d->job);
        }
    d = g->databases;
    (void)pthread_mutex_unlock(&g->mutex);
    for (; d != NULL && rc == 0; d = d->next) /* databases are never taken out of the list */
        if (!d->dropped && atomic_load(&d->cdc_enabled))
            rc = apply(s, d);
    return rc;
}

int
job_set_interval(struct session *s, struct database *d, int64_t ms, int64_t lag_ms)
{
    (void)pthread_mutex_lock(&s->engine->mutex);
    job_of(d)->interval_ms = ms;
    d->job->lag_ms = lag_ms;
    d->job->next_interval_ms = ms;
    (void)pthread_mutex_unlock(&s->engine->mutex);
    if (ms >= 0)
        job_thread_start(s->engine);
    return apply(s, d);
}

void
job_set_next_interval(struct session *s, struct database *d, int64_t ms)
{
    (void)pthread_mutex_lock(&s->engine->mutex);
    job_of(d)->next_interval_ms = ms;
    (void)pthread_mutex_unlock(&s->engine->mutex);
}

void
job_set_limits(struct session *s, struct database *d, int maxtrans, int maxscans)
{
    struct job *j;

    (void)pthread_mutex_lock(&s->engine->mutex);
    j = job_of(d);
    if (maxtrans > 0)
        j->next_maxtrans = maxtrans;
    if (maxscans > 0)
        j->next_maxscans = maxscans;
    (void)pthread_mutex_unlock(&s->engine->mutex);
}

int
job_fail(struct session *s, struct database *d, int32_t number, const char *text, int times)
{
    struct job *j;

    (void)pthread_mutex_lock(&s->engine->mutex);
    j = job_of(d);
    j->fail_number = number;
    j->fail_left = times;
    (void)snprintf(j->fail_text, sizeof j->fail_text, "%s", text);
    (void)pthread_mutex_unlock(&s->engine->mutex);
    return apply(s, d);
}

bool
job_is_running(struct session *s, struct database *d)
{
    bool runs;

    (void)pthread_mutex_lock(&s->engine->mutex);
    runs = job_runs(s->engine, job_of(d));
    (void)pthread_mutex_unlock(&s->engine->mutex);
    return runs;
}

bool
job_is_missing(struct session *s, struct database *d)
{
    bool missing;

    (void)pthread_mutex_lock(&s->engine->mutex);
    missing = job_of(d)->missing;
    (void)pthread_mutex_unlock(&s->engine->mutex);
    return missing;
}

void
job_forget(struct engine *g, struct database *d)
{
    (void)pthread_mutex_lock(&g->mutex);
    free(d->job);
    d->job = NULL;
    atomic_store(&d->deferred, false);
    (void)pthread_mutex_unlock(&g->mutex);
}

void
job_committed(struct session *s, struct database *d)
{
    struct engine *g = s->engine;
    bool now;

    (void)pthread_mutex_lock(&g->mutex);
    now = job_runs(g, job_of(d)) && d->job->interval_ms < 0;
    (void)pthread_mutex_unlock(&g->mutex);
    if (now) {
        struct sqlerr keep = s->error;

        (void)job_round(s, d, 0, INT32_MAX); /* a failing scan is no failure of the commit */
        s->error = keep;
    }
}

/* ---- the thread ---- */

/* What is due now: 'r' a round, 'd' a dummy row; else when to look again. */
static char
next_work(struct engine *g, int64_t now, struct database **due, int64_t *next)
{
    int64_t period_ns = (int64_t)g->dummy_row_ms * NS_PER_MS;

    for (struct database *d = g->databases; d != NULL; d = d->next) {
        int64_t at = INT64_MAX;
        char what = 'd';

        if (d->dropped || !atomic_load(&d->cdc_enabled))
            continue;
        if (d->job != NULL && job_runs(g, d->job) && d->job->interval_ms >= 0) {
            at = d->job->next_round_ns;
            what = 'r';
        } else if (period_ns > 0 && !atomic_load(&d->dummies_off) && !atomic_load(&d->deferred)) {
            at = d->writer != NULL ? now + period_ns : atomic_load(&d->last_write_ns) + period_ns;
        }
        if (at <= now) {
            *due = d;
            return what;
        }
        if (at < *next)
            *next = at;
    }
    return '\0';
}

/* A round of the job's own; with nothing to read for long, a dummy row. */
static void
round_of(struct engine *g, struct database *d)
{
    struct session *s = g->internal;
    int64_t idle_ns;

    arena_reset(&s->exec_arena);
    s->error.number = 0;
    (void)job_round(s, d, 0, 0);
    catalog_release(s);
    idle_ns = clock_mono_ns() - atomic_load(&d->last_write_ns);
    (void)pthread_mutex_lock(&g->mutex);
    job_of(d)->next_round_ns = clock_mono_ns() + d->job->interval_ms * NS_PER_MS;
    (void)pthread_mutex_unlock(&g->mutex);
    if (g->dummy_row_ms > 0 && !atomic_load(&d->dummies_off) &&
        idle_ns > (int64_t)g->dummy_row_ms * NS_PER_MS)
        (void)cdc_write_dummy(s, d);
}

static void *
thread_main(void *arg)
{
    struct engine *g = arg;

    (void)pthread_mutex_lock(&g->mutex);
    while (!atomic_load(&g->stopping)) {
        int64_t now = clock_mono_ns();
        int64_t next = now + 3600 * NS_PER_S;
        struct database *due = NULL;
        char what = next_work(g, now, &due, &next);
        struct timespec until;

        if (what != '\0') {
            if (what == 'd')
                atomic_store(&due->last_write_ns, now);
            (void)pthread_mutex_unlock(&g->mutex);
            if (what == 'd')
                (void)cdc_write_dummy(g->internal, due);
            else
                round_of(g, due);
            (void)pthread_mutex_lock(&g->mutex);
            continue;
        }
        next += clock_real_ns() - now;
        until.tv_sec = (time_t)(next / NS_PER_S);
        until.tv_nsec = (long)(next % NS_PER_S);
        (void)pthread_cond_timedwait(&g->job_wake, &g->mutex, &until);
    }
    (void)pthread_mutex_unlock(&g->mutex);
    return NULL;
}

void
job_thread_start(struct engine *g)
{
    (void)pthread_mutex_lock(&g->mutex);
    if (!g->job_running) {
        CHECK(pthread_create(&g->job_thread, NULL, thread_main, g) == 0);
        g->job_running = true;
    }
    (void)pthread_mutex_unlock(&g->mutex);
}

void
job_thread_stop(struct engine *g)
{
    (void)pthread_mutex_lock(&g->mutex);
    atomic_store(&g->stopping, true);
    (void)pthread_cond_broadcast(&g->changed);
    (void)pthread_cond_broadcast(&g->job_wake);
    (void)pthread_mutex_unlock(&g->mutex);
    if (g->job_running)
        (void)pthread_join(g->job_thread, NULL);
}

void
job_recover(struct engine *g)
{
    struct session *s = g->internal;

    for (struct database *d = g->databases; d != NULL; d = d->next) {
        if (!atomic_load(&d->cdc_enabled) || session_attach(s, d) != 0 ||
            session_int(s, 0, "SELECT count(*) FROM d%d.sys_pending", d->id) == 0)
            continue;
        atomic_store(&d->deferred, true);
        (void)job_round(s, d, 0, INT32_MAX);
        catalog_release(s);
        arena_reset(&s->exec_arena);
    }
}
