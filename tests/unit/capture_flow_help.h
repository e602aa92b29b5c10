/*
 * capture_flow_help - capture with a scripted source against real rings: a task in a directory of its
 * own, runs that may be killed, and what lies in the rings afterwards.
 */
#ifndef CAPTURE_FLOW_HELP_H
#define CAPTURE_FLOW_HELP_H

#include "capture/capture.h"
#include "capture/state.h"
#include "common/checkpoint.h"
#include "common/event.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"
#include "common/record.h"
#include "common/request.h"
#include "common/ring.h"
#include "common/stage.h"
#include "common/stats.h"
#include "common/task.h"
#include "tests/unit/capture_fake.h"

#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RINGS_MAX  4
#define EVENTS_MAX 65536

const struct source_engine *__wrap_source_engine_find(const char *name);

const struct source_engine *
__wrap_source_engine_find(const char *name)
{
    return strcmp(name, "fake") == 0 ? &fake_engine : NULL;
}

/* ---- a task in a directory of its own ---- */

static char directory[] = "/tmp/weir-capture-XXXXXX";
static char state_directory[64];
static struct task task;

static inline int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void
setup(void)
{
    static char identifier[] = "t";
    static char engine[] = "fake";
    static char server[] = "s";
    static char no_stop[] = "";

    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)snprintf(state_directory, sizeof(state_directory), "%s/state", directory);
    ck_assert_int_eq(mkdir(state_directory, 0750), 0);
    memset(&task, 0, sizeof(task));
    task.identifier = identifier;
    task.migration_type = MIGRATION_FULL_LOAD_AND_CDC;
    task.cdc_stop_position = no_stop;
    task.max_full_load_sub_tasks = 3;
    task.commit_rate = 1000;
    task.source.engine_name = engine;
    task.source.server_name = server;
    task.weir = (struct weir_settings){.runtime_directory = directory,
                                       .state_directory = state_directory,
                                       .encoders = 2,
                                       .shippers = 1,
                                       .change_ring_size = RING_CAPACITY_MIN,
                                       .poll_interval_ms = 5,
                                       .load_chunk_rows = 10};
    memset(&fake_script, 0, sizeof(fake_script));
    fake_script.transactions = 20;
    fake_script.text_size = 10;
    fake_script.created = "2024";
    log_init("test", LOG_ERROR);
}

static inline void
teardown(void)
{
    (void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline int
run(struct err *e)
{
    struct stage stage = {.name = "capture", .task = &task, .stop_fd = -1};
    char path[256];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/stats.capture", directory);
    ck_assert_int_eq(
        stats_create(
            &(struct stats_config){.path = path, .stage = "capture", .task = "t", .tables = 16},
            &stage.stats, e),
        0);
    err_clear(e);
    rc = capture_run(&stage, e);
    stats_close(&stage.stats);
    return rc;
}

static inline void
must_run(void)
{
    struct err e = ERR_INIT;

    ck_assert_msg(run(&e) == 0, "%s", e.text);
}

/* Runs in a child that may be killed; true when it was. */
static inline bool
run_killed(const char *crash)
{
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct err e = ERR_INIT;

        (void)setenv("WEIR_CRASH", crash, 1);
        fault_reload();
        _exit(run(&e) == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return true;
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    return false;
}

/* ---- what lies in the rings ---- */

struct seen {
    uint32_t ring;
    uint32_t table_id;
    enum event_operation operation;
    int64_t id;
    struct position position;
};

static struct seen seen[EVENTS_MAX];
static size_t n_seen;
static struct position last_watermark[RINGS_MAX];
static size_t n_watermarks[RINGS_MAX];
static uint64_t generation = 1;

static inline void
take(uint32_t ring, const struct ring_view *v, struct position *last)
{
    static struct event_values room;
    struct event ev;
    struct err e = ERR_INIT;

    if (v->type == RING_CONTROL) {
        struct watermark w;

        ck_assert_uint_eq(v->len, sizeof(w));
        memcpy(&w, v->data, sizeof(w));
        ck_assert_uint_eq(w.kind, WATERMARK);
        ck_assert_uint_eq(w.generation, generation);
        ck_assert_int_ge(position_compare(&w.position, last), 0);
        last_watermark[ring] = w.position;
        n_watermarks[ring]++;
        *last = w.position;
        return;
    }
    ck_assert_int_eq(event_decode(v->data, v->len, v->table_id, &room, &ev, &e), 0);
    ck_assert_int_ge(position_compare(&ev.position, last), 0);
    /* Behind a watermark nothing of its range may come. */
    ck_assert_int_gt(position_compare(&ev.position, &last_watermark[ring]), 0);
    *last = ev.position;
    ck_assert_uint_lt(n_seen, EVENTS_MAX);
    seen[n_seen++] = (struct seen){.ring = ring,
                                   .table_id = ev.table_id,
                                   .operation = ev.operation,
                                   .id = ev.n_after > 0 ? ev.after[0].i : -1,
                                   .position = ev.position};
}

static inline struct ring *
open_consumer(uint32_t ring)
{
    char path[256];
    struct err e = ERR_INIT;
    struct ring *r = NULL;
    struct ring_config config = {.path = path,
                                 .name = "change",
                                 .capacity = RING_CAPACITY_MIN,
                                 .generation = generation,
                                 .record_format = EVENT_FORMAT};

    (void)snprintf(path, sizeof(path), "%s/g%lu/change.%u.ring", directory,
                   (unsigned long)generation, ring);
    ck_assert_msg(ring_open_consumer(&config, &r, &e) == 0, "%s", e.text);
    return r;
}

/* Reads everything, without releasing: may be called again. */
static inline void
look(void)
{
    n_seen = 0;
    for (uint32_t i = 0; i < task.weir.encoders; i++) {
        struct ring *r = open_consumer(i);
        struct position last = {.b = {0}};
        struct ring_view v;
        struct err e = ERR_INIT;

        memset(&last_watermark[i], 0, sizeof(last_watermark[i]));
        n_watermarks[i] = 0;
        while (ring_next(r, &v, &e) == 1)
            take(i, &v, &last);
        ring_close(&r);
    }
}

static inline size_t
count(enum event_operation operation, int64_t id, bool has_key)
{
    size_t n = 0;

    for (size_t i = 0; i < n_seen; i++)
        if (seen[i].operation == operation && (id < 0 || seen[i].id == id) &&
            (seen[i].table_id == 2) == has_key) /* h is 1, k is 2 */
            n++;
    return n;
}

/* Every change of the script once; every row of the load at least, or exactly, once. */
static inline void
check_all(bool load_exactly_once)
{
    look();
    for (int64_t id = FAKE_JOIN + 1; id <= FAKE_JOIN + fake_script.transactions; id++)
        for (int key = 0; key < 2; key++)
            ck_assert_msg(count(EVENT_INSERT, id, key == 1) == 1, "change %ld of table %d: %zu",
                          (long)id, key, count(EVENT_INSERT, id, key == 1));
    for (int64_t id = 1; id <= FAKE_ROWS; id++)
        for (int key = 0; key < 2; key++) {
            size_t n = count(EVENT_LOAD, id, key == 1);

            ck_assert_msg(load_exactly_once ? n == 1 : n >= 1, "row %ld of table %d: %zu", (long)id,
                          key, n);
        }
    for (int key = 0; key < 2; key++)
        ck_assert_uint_ge(count(EVENT_CREATE_TABLE, -1, key == 1), 1);
    for (uint32_t i = 0; i < task.weir.encoders; i++)
        ck_assert_uint_eq(fake_lsn_of(&last_watermark[i]),
                          (uint64_t)FAKE_JOIN + (uint64_t)fake_script.transactions);
}

static inline void
expect(enum err_code code, const char *text)
{
    struct err e = ERR_INIT;

    ck_assert_int_eq(run(&e), -1);
    ck_assert_msg(e.code == code, "%s: %s", err_name(e.code), e.text);
    ck_assert_msg(strstr(e.text, text) != NULL, "%s", e.text);
    ck_assert(e.hint[0] != '\0');
}

#endif
