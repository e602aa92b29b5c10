#include "capture/load_pool.h"

#include "capture/output.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/stage.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS       2U
#define BYTES_TOTAL ((size_t)32 << 20) /* of all pages */
#define BYTES_MAX   ((size_t)4 << 20)
#define WAIT_SLICE  100U /* ms between two heartbeats */

enum slot_state { SLOT_FREE, SLOT_READY, SLOT_TAKEN };

/* The page and the connection belong to the reader's thread while it has a job; a page that is
   ready or taken belongs to the caller of the pool.  Everything else is under the pool's lock. */
struct reader {
    struct load_pool *pool;
    pthread_t thread;
    bool has_thread;
    struct source_reader *source;
    struct source_page *pages[SLOTS];
    enum slot_state slots[SLOTS];
    unsigned filling; /* slot of the next page read */
    unsigned taking;  /* slot of the next page taken */
    unsigned giving;  /* slot of the next page given back */
    bool has_job;
    bool is_over; /* its thread is done with the job */
    bool is_told; /* that it is over */
    bool is_stopping;
    bool is_held;
    bool has_failed;
    struct err why;
    struct load_job job; /* with copies of all it points to */
    char *where;
    struct source_key from;
    struct source_key upto;
};

struct load_pool {
    struct load_pool_config config;
    size_t page_bytes;
    pthread_mutex_t lock;
    pthread_cond_t work;  /* for readers: a job, a free slot, the end */
    pthread_cond_t ready; /* for the caller: a page, the end of a job */
    bool is_closing;
    uint32_t running; /* threads */
    uint32_t next;    /* reader looked at first, in turn */
    struct reader readers[];
};

/* ---- the readers' threads ---- */

/* A free slot, or -1 when the job shall end. */
static int
wait_slot(struct reader *r)
{
    struct load_pool *p = r->pool;
    int slot = -1;

    (void)pthread_mutex_lock(&p->lock);
    while (!p->is_closing && !r->is_stopping && r->slots[r->filling] != SLOT_FREE)
        (void)pthread_cond_wait(&p->work, &p->lock);
    if (!p->is_closing && !r->is_stopping)
        slot = (int)r->filling;
    (void)pthread_mutex_unlock(&p->lock);
    return slot;
}

/* Returns true when the job ends with this page. */
static bool
hand_over(struct reader *r, int slot)
{
    struct load_pool *p = r->pool;
    bool is_over;

    (void)pthread_mutex_lock(&p->lock);
    r->slots[slot] = SLOT_READY;
    r->filling = (r->filling + 1) % SLOTS;
    is_over = r->pages[slot]->is_end || r->job.is_one_page || r->is_stopping || p->is_closing;
    r->is_over = is_over;
    (void)pthread_cond_signal(&p->ready);
    (void)pthread_mutex_unlock(&p->lock);
    return is_over;
}

static int
connect_reader(struct reader *r, struct err *e)
{
    const struct source_engine *engine = r->pool->config.source->engine;

    if (r->source != NULL)
        return 0;
    return engine->reader_open(r->pool->config.source, &r->source, e);
}

/* 1 = over, and said so with the last page; 0 = over; -1 = failed. */
static int
run_job(struct reader *r, struct err *e)
{
    const struct load_pool *p = r->pool;
    const struct source_engine *engine = p->config.source->engine;
    int slot;

    if (connect_reader(r, e) != 0 || engine->reader_begin(r->source, &r->job.part, e) != 0)
        return -1;
    while ((slot = wait_slot(r)) >= 0) {
        if (r->pages[slot] == NULL)
            r->pages[slot] = engine->page_new(p->config.source);
        if (r->pages[slot] == NULL)
            return err_set(e, ERR_NOMEM, "page of a full load");
        if (engine->reader_page(r->source, p->config.page_rows, p->page_bytes, r->pages[slot], e) !=
            0)
            return -1;
        if (hand_over(r, slot))
            return 1;
    }
    return 0;
}

static void *
reader_main(void *arg)
{
    struct reader *r = arg;
    struct load_pool *p = r->pool;
    struct err e = ERR_INIT;
    int rc;

    (void)pthread_mutex_lock(&p->lock);
    while (!p->is_closing) {
        if (!r->has_job || r->is_over) {
            (void)pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&p->lock);
        rc = run_job(r, &e);
        (void)pthread_mutex_lock(&p->lock);
        if (rc == 1)
            continue; /* the caller may have given the next job already */
        r->has_failed = rc != 0;
        r->why = e;
        r->is_over = true;
        (void)pthread_cond_signal(&p->ready);
    }
    p->running--;
    (void)pthread_cond_signal(&p->ready);
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Signals are the main thread's business. */
static int
start_thread(struct reader *r, struct err *e)
{
    sigset_t all;
    sigset_t before;
    int rc;

    if (r->has_thread)
        return 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&r->thread, NULL, reader_main, r);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return err_sys(e, ERR_NOMEM, rc, "start a reader of the full load");
    r->has_thread = true;
    (void)pthread_mutex_lock(&r->pool->lock);
    r->pool->running++;
    (void)pthread_mutex_unlock(&r->pool->lock);
    return 0;
}

/* ---- the pool ---- */

int
load_pool_open(const struct load_pool_config *config, struct load_pool **out, struct err *e)
{
    struct load_pool *p;
    pthread_condattr_t attr;

    CHECK(config->readers >= 1 && config->readers <= LOAD_READERS_MAX);
    p = calloc(1, sizeof(*p) + config->readers * sizeof(struct reader));
    if (p == NULL)
        return err_set(e, ERR_NOMEM, "readers of the full load");
    p->config = *config;
    p->page_bytes = BYTES_TOTAL / (SLOTS * config->readers);
    if (p->page_bytes > BYTES_MAX)
        p->page_bytes = BYTES_MAX;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, &attr);
    (void)pthread_cond_init(&p->ready, &attr);
    (void)pthread_condattr_destroy(&attr);
    for (uint32_t i = 0; i < config->readers; i++)
        p->readers[i].pool = p;
    *out = p;
    return 0;
}

/* With the lock held: until a reader has something to say, or ms are over. */
static void
wait_ready(struct load_pool *p, uint32_t ms)
{
    struct timespec until;
    int64_t at = clock_mono_ns() + (int64_t)ms * NS_PER_MS;

    until.tv_sec = at / NS_PER_S;
    until.tv_nsec = at % NS_PER_S;
    (void)pthread_cond_timedwait(&p->ready, &p->lock, &until);
}

static void
free_reader(struct reader *r)
{
    const struct source_engine *engine = r->pool->config.source->engine;

    if (r->has_thread)
        (void)pthread_join(r->thread, NULL);
    for (unsigned i = 0; i < SLOTS; i++)
        if (r->pages[i] != NULL)
            engine->page_free(&r->pages[i]);
    if (r->source != NULL)
        engine->reader_close(&r->source);
    free(r->where);
    source_key_free(&r->from);
    source_key_free(&r->upto);
}

void
load_pool_close(struct load_pool **pool)
{
    struct load_pool *p = *pool;
    struct err ignored = ERR_INIT;

    if (p == NULL)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->is_closing = true;
    (void)pthread_cond_broadcast(&p->work);
    while (p->running > 0) {
        wait_ready(p, WAIT_SLICE);
        /* A ring in trouble is met again at the next event. */
        (void)output_beat(p->config.output, &ignored);
    }
    (void)pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->config.readers; i++)
        free_reader(&p->readers[i]);
    (void)pthread_cond_destroy(&p->ready);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
    *pool = NULL;
}

int
load_pool_idle(struct load_pool *p, uint32_t from)
{
    int found = -1;

    (void)pthread_mutex_lock(&p->lock);
    for (uint32_t i = from; i < p->config.readers && found < 0; i++)
        if (!p->readers[i].has_job)
            found = (int)i;
    (void)pthread_mutex_unlock(&p->lock);
    return found;
}

int
load_pool_start(struct load_pool *p, uint32_t reader, const struct load_job *job, struct err *e)
{
    struct reader *r = &p->readers[reader];
    char *where = strdup(job->part.where);

    CHECK(!r->has_job);
    free(r->where);
    r->where = where;
    if (where == NULL || source_key_copy(&r->from, job->part.from, e) != 0 ||
        source_key_copy(&r->upto, job->part.upto, e) != 0)
        return err_set(e, ERR_NOMEM, "job of a reader");
    r->job = *job;
    r->job.part.where = where;
    r->job.part.from = &r->from;
    r->job.part.upto = &r->upto;
    if (start_thread(r, e) != 0)
        return -1;
    (void)pthread_mutex_lock(&p->lock);
    r->has_job = true;
    r->is_over = false;
    r->is_told = false;
    r->is_stopping = false;
    r->has_failed = false;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    return 0;
}

void
load_pool_stop(struct load_pool *p, uint32_t reader)
{
    (void)pthread_mutex_lock(&p->lock);
    p->readers[reader].is_stopping =
        p->readers[reader].has_job && p->readers[reader].job.part.is_ordered;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
}

void
load_pool_hold(struct load_pool *p, uint32_t reader, bool hold)
{
    (void)pthread_mutex_lock(&p->lock);
    p->readers[reader].is_held = hold;
    (void)pthread_mutex_unlock(&p->lock);
}

static bool
has_page(const struct reader *r)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (r->slots[i] == SLOT_READY)
            return true;
    return false;
}

static bool
has_any(const struct reader *r)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (r->slots[i] != SLOT_FREE)
            return true;
    return false;
}

/* With the lock held.  What a reader has to give: 1 = a page or its end, 0 = nothing, -1 = failure,
   which comes after the pages that were read before it. */
static int
take_from(struct reader *r, uint32_t index, struct load_item *out, struct err *e)
{
    unsigned slot = r->taking;

    if (!r->has_job)
        return 0;
    *out = (struct load_item){.reader = index, .job = &r->job};
    if (r->slots[slot] == SLOT_READY) {
        r->slots[slot] = SLOT_TAKEN;
        r->taking = (slot + 1) % SLOTS;
        out->page = r->pages[slot];
        out->is_over = r->is_over && !r->has_failed && !has_page(r);
        r->is_told = r->is_told || out->is_over;
        return 1;
    }
    if (!r->is_over || r->is_told)
        return 0;
    r->is_told = true;
    if (r->has_failed) {
        *e = r->why;
        return -1;
    }
    out->is_over = true;
    if (!has_any(r))
        r->has_job = false;
    return 1;
}

static int
take_any(struct load_pool *p, int only, struct load_item *out, struct err *e)
{
    uint32_t n = p->config.readers;
    int rc = 0;

    if (only >= 0)
        return take_from(&p->readers[only], (uint32_t)only, out, e);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        uint32_t index = p->next + i < n ? p->next + i : p->next + i - n;

        if (!p->readers[index].is_held)
            rc = take_from(&p->readers[index], index, out, e);
    }
    p->next = p->next + 1 < n ? p->next + 1 : 0;
    return rc;
}

int
load_pool_take(struct load_pool *p, int only, uint32_t ms, struct load_item *out, struct err *e)
{
    int64_t until = clock_mono_ns() + (int64_t)ms * NS_PER_MS;
    int rc;

    for (;;) {
        int64_t left;

        (void)pthread_mutex_lock(&p->lock);
        rc = take_any(p, only, out, e);
        left = (until - clock_mono_ns()) / NS_PER_MS;
        if (rc == 0 && left > 0)
            wait_ready(p, left < WAIT_SLICE ? (uint32_t)left : WAIT_SLICE);
        (void)pthread_mutex_unlock(&p->lock);
        if (rc != 0 || left <= 0)
            return rc;
        out->job = NULL;
        if (stage_stopping(p->config.stage))
            return err_set(e, ERR_STOPPED, "stopped in a full load");
        if (output_beat(p->config.output, e) != 0)
            return -1;
    }
}

void
load_pool_release(struct load_pool *p, const struct load_item *item)
{
    struct reader *r = &p->readers[item->reader];

    if (item->page == NULL)
        return;
    (void)pthread_mutex_lock(&p->lock);
    CHECK(r->pages[r->giving] == item->page && r->slots[r->giving] == SLOT_TAKEN);
    r->slots[r->giving] = SLOT_FREE;
    r->giving = (r->giving + 1) % SLOTS;
    if (r->is_over && r->is_told && !has_any(r))
        r->has_job = false;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
}

struct source_reader *
load_pool_reader(struct load_pool *p, uint32_t reader, struct err *e)
{
    struct reader *r = &p->readers[reader];

    CHECK(!r->has_job);
    return connect_reader(r, e) == 0 ? r->source : NULL;
}
