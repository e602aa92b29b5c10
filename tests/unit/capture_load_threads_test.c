/* Readers of a full load: order, two pages ahead and no more, ends, failures, being closed while they
   read; also under ThreadSanitizer. */
/* uses: capture aws */
/* wrap: source_engine_find output_beat */
#include "capture/load_pool.h"
#include "common/err.h"
#include "common/stage.h"
#include "common/task.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READERS 8

int __wrap_output_beat(struct output *o, struct err *e);
const struct source_engine *__wrap_source_engine_find(const char *name);

static atomic_uint beats;

int
__wrap_output_beat(struct output *o, struct err *e)
{
    (void)o;
    (void)e;
    atomic_fetch_add(&beats, 1);
    return 0;
}

const struct source_engine *
__wrap_source_engine_find(const char *name)
{
    (void)name;
    return NULL;
}

/* ---- an engine whose ranges are numbers: "first last"; a failure, or a wait, at a number ---- */

static atomic_int fail_at;
static atomic_int wait_at; /* that page is not read before `go` */
static atomic_bool go;
static atomic_uint pages_read;
static atomic_uint connections;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;

struct counting {
    struct source_reader base;
    int next;
    int last;
};

static const struct source_engine engine;

static int
open_reader(struct source *s, struct source_reader **out, struct err *e)
{
    struct counting *r = calloc(1, sizeof(*r));

    (void)s;
    (void)e;
    r->base.engine = &engine;
    *out = &r->base;
    atomic_fetch_add(&connections, 1);
    return 0;
}

static void
close_reader(struct source_reader **r)
{
    free(*r);
    *r = NULL;
    atomic_fetch_sub(&connections, 1);
}

static int
begin_range(struct source_reader *base, const struct source_part *part, struct err *e)
{
    struct counting *r = (struct counting *)base;
    char *rest;

    (void)e;
    r->next = (int)strtol(part->where, &rest, 10);
    r->last = (int)strtol(rest, NULL, 10);
    return 0;
}

static void
wait_gate(int number)
{
    (void)pthread_mutex_lock(&gate);
    while (atomic_load(&wait_at) == number && !atomic_load(&go))
        (void)pthread_cond_wait(&opened, &gate);
    (void)pthread_mutex_unlock(&gate);
}

static void
open_gate(void)
{
    (void)pthread_mutex_lock(&gate);
    atomic_store(&go, true);
    (void)pthread_cond_broadcast(&opened);
    (void)pthread_mutex_unlock(&gate);
}

static int
read_page(struct source_reader *base, uint32_t rows, size_t bytes, struct source_page *page,
          struct err *e)
{
    struct counting *r = (struct counting *)base;

    (void)bytes;
    wait_gate(r->next);
    if (atomic_load(&fail_at) == r->next)
        return err_set(e, ERR_CONNECT, "broken at %d", r->next);
    for (page->n_rows = 0; page->n_rows < rows && r->next <= r->last; page->n_rows++)
        page->values[page->n_rows] = (struct value){.kind = VALUE_INT, .i = r->next++};
    page->is_end = r->next > r->last;
    atomic_fetch_add(&pages_read, 1);
    return 0;
}

static struct source_page *
new_page(struct source *s)
{
    struct source_page *p = calloc(1, sizeof(*p));

    (void)s;
    p->engine = &engine;
    p->values = calloc(100, sizeof(*p->values));
    return p;
}

static void
free_page(struct source_page **page)
{
    free((*page)->values);
    free(*page);
    *page = NULL;
}

static const struct source_engine engine = {
    .name = "counting",
    .reader_open = open_reader,
    .reader_close = close_reader,
    .reader_begin = begin_range,
    .reader_page = read_page,
    .page_new = new_page,
    .page_free = free_page,
};

/* ---- the pool ---- */

static struct source source = {.engine = &engine};
static struct stage stage = {.stop_fd = -1};
static struct load_pool *pool;

static void
open_pool(uint32_t readers)
{
    const struct load_pool_config config = {
        .source = &source, .stage = &stage, .readers = readers, .page_rows = 10};
    struct err e = ERR_INIT;

    atomic_store(&fail_at, -1);
    atomic_store(&wait_at, -1);
    atomic_store(&go, false);
    atomic_store(&pages_read, 0);
    ck_assert_int_eq(load_pool_open(&config, &pool, &e), 0);
}

static void
start(uint32_t reader, int first, int last, bool is_ordered, bool is_one_page)
{
    static const struct source_key none = {.n = 0};
    char where[32];
    const struct load_job job = {
        .part = {.where = where, .is_ordered = is_ordered, .from = &none, .upto = &none},
        .is_one_page = is_one_page,
        .table = reader};
    struct err e = ERR_INIT;

    (void)snprintf(where, sizeof(where), "%d %d", first, last);
    ck_assert_int_eq(load_pool_start(pool, reader, &job, &e), 0);
}

/* Takes all there is of all readers; each reader's numbers must rise by one.  Returns how many. */
static unsigned
drain(int next[READERS])
{
    unsigned n = 0;
    unsigned over = 0;
    unsigned busy = 0;
    struct err e = ERR_INIT;

    for (uint32_t i = 0; i < READERS; i++)
        busy += next[i] > 0 ? 1 : 0;
    while (over < busy) {
        struct load_item item;

        ck_assert_int_eq(load_pool_take(pool, -1, 5000, &item, &e), 1);
        ck_assert_uint_eq(item.job->table, item.reader);
        for (size_t i = 0; item.page != NULL && i < item.page->n_rows; i++)
            ck_assert_int_eq((int)item.page->values[i].i, next[item.reader]++);
        n += item.page != NULL ? (unsigned)item.page->n_rows : 0;
        over += item.is_over ? 1 : 0;
        load_pool_release(pool, &item);
    }
    return n;
}

START_TEST(all_rows_in_each_readers_order)
{
    int next[READERS];

    open_pool(READERS);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < READERS; i++) {
            next[i] = 1000 * i + 1;
            start((uint32_t)i, next[i], next[i] + 94, true, false);
        }
        ck_assert_uint_eq(drain(next), READERS * 95U);
        ck_assert_int_eq(load_pool_idle(pool, 0), 0);
    }
    ck_assert_uint_eq(atomic_load(&connections), READERS); /* kept for the next range */
    load_pool_close(&pool);
    ck_assert_uint_eq(atomic_load(&connections), 0);
}
END_TEST

/* Nobody takes pages: a reader reads two and waits. */
START_TEST(two_pages_ahead_and_no_more)
{
    struct load_item item;
    struct err e = ERR_INIT;

    open_pool(1);
    atomic_store(&wait_at, 31); /* the fourth page */
    start(0, 1, 1000, true, false);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(load_pool_take(pool, -1, 5000, &item, &e), 1);
    ck_assert_int_eq(load_pool_take(pool, -1, 50, &item, &e), 0); /* both slots are taken */
    ck_assert_uint_eq(atomic_load(&pages_read), 2);
    open_gate();
    load_pool_close(&pool);
}
END_TEST

START_TEST(one_page_is_one_page)
{
    struct load_item item;
    struct err e = ERR_INIT;

    open_pool(1);
    start(0, 1, 1000, true, true);
    ck_assert_int_eq(load_pool_take(pool, 0, 5000, &item, &e), 1);
    ck_assert(item.is_over && !item.page->is_end);
    ck_assert_int_eq(load_pool_idle(pool, 0), -1); /* until its page is given back */
    load_pool_release(pool, &item);
    ck_assert_int_eq(load_pool_idle(pool, 0), 0);
    load_pool_close(&pool);
}
END_TEST

/* The range of a held reader comes in one piece, and only when it is asked for. */
START_TEST(held_reader_is_left_alone)
{
    struct load_item item;
    struct err e = ERR_INIT;
    int next[READERS] = {0, 501};
    unsigned n = 0;

    open_pool(2);
    start(0, 1, 100, false, false);
    ck_assert_int_eq(load_pool_take(pool, 0, 5000, &item, &e), 1);
    load_pool_hold(pool, 0, true);
    load_pool_release(pool, &item);
    start(1, 501, 600, true, false);
    ck_assert_uint_eq(drain(next), 100);
    do {
        ck_assert_int_eq(load_pool_take(pool, 0, 5000, &item, &e), 1);
        n += (unsigned)item.page->n_rows;
        load_pool_release(pool, &item);
    } while (!item.is_over);
    ck_assert_uint_eq(n, 90);
    load_pool_close(&pool);
}
END_TEST

/* A stop leaves no hole: what was read is given, nothing behind it; a range without order goes on. */
START_TEST(stop_ends_at_a_page)
{
    struct load_item item = {.is_over = false};
    struct err e = ERR_INIT;
    int next = 1;

    open_pool(1);
    start(0, 1, 1000, _i == 0, false);
    ck_assert_int_eq(load_pool_take(pool, 0, 5000, &item, &e), 1);
    load_pool_stop(pool, 0);
    for (;;) {
        for (size_t i = 0; item.page != NULL && i < item.page->n_rows; i++)
            ck_assert_int_eq((int)item.page->values[i].i, next++);
        load_pool_release(pool, &item);
        if (item.is_over)
            break;
        ck_assert_int_eq(load_pool_take(pool, 0, 5000, &item, &e), 1);
    }
    if (_i == 0)
        ck_assert_int_le(next, 41);
    else
        ck_assert_int_eq(next, 1001);
    load_pool_close(&pool);
}
END_TEST

/* The pages before a failure come first, then the failure, with the range it is about. */
START_TEST(failure_comes_behind_its_pages)
{
    struct load_item item;
    struct err e = ERR_INIT;

    open_pool(2);
    atomic_store(&fail_at, 21);
    start(1, 1, 100, true, false);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(load_pool_take(pool, -1, 5000, &item, &e), 1);
        load_pool_release(pool, &item);
    }
    ck_assert_int_eq(load_pool_take(pool, -1, 5000, &item, &e), -1);
    ck_assert_uint_eq(item.job->table, 1);
    ck_assert_str_eq(e.text, "broken at 21");
    load_pool_close(&pool);
}
END_TEST

static void *
open_gate_later(void *arg)
{
    (void)arg;
    while (atomic_load(&beats) == 0)
        (void)sched_yield();
    open_gate();
    return NULL;
}

/* Closing waits for what a reader is about, with heartbeats. */
START_TEST(closed_while_reading)
{
    pthread_t thread;

    open_pool(READERS);
    atomic_store(&wait_at, 1);
    for (uint32_t i = 0; i < READERS; i++)
        start(i, i == 3 ? 1 : 1000 * (int)i + 2, 1000 * (int)i + 900, true, false);
    atomic_store(&beats, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, open_gate_later, NULL), 0);
    load_pool_close(&pool);
    (void)pthread_join(thread, NULL);
    ck_assert_uint_eq(atomic_load(&connections), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_load_threads");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 10);
    tcase_add_test(tc, all_rows_in_each_readers_order);
    tcase_add_test(tc, two_pages_ahead_and_no_more);
    tcase_add_test(tc, one_page_is_one_page);
    tcase_add_test(tc, held_reader_is_left_alone);
    tcase_add_loop_test(tc, stop_ends_at_a_page, 0, 2);
    tcase_add_test(tc, failure_comes_behind_its_pages);
    tcase_add_test(tc, closed_while_reading);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
