/* Resume, skipping, routing and watermarks of capture: a scripted source against real rings, killed
   at every crash point. */
/* uses: capture aws */
/* wrap: source_engine_find */
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

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void
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

static void
teardown(void)
{
    (void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int
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

static void
must_run(void)
{
    struct err e = ERR_INIT;

    ck_assert_msg(run(&e) == 0, "%s", e.text);
}

/* Runs in a child that may be killed; true when it was. */
static bool
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

static void
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

static struct ring *
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
static void
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

static size_t
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
static void
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

/* ---- tests ---- */

START_TEST(load_then_log)
{
    must_run();
    check_all(true);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, true), 1);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, false), 1);
}
END_TEST

/* One key, one ring; a table without a key, one ring. */
START_TEST(routing_is_by_key)
{
    size_t per_ring[2] = {0, 0};

    must_run();
    look();
    for (size_t i = 0; i < n_seen; i++) {
        if (seen[i].table_id == 2)
            per_ring[seen[i].ring]++;
        for (size_t j = 0; j < i; j++)
            if (seen[i].table_id == seen[j].table_id &&
                (seen[i].table_id == 1 || (seen[i].id == seen[j].id && seen[i].id >= 0)))
                ck_assert_uint_eq(seen[i].ring, seen[j].ring);
    }
    ck_assert_uint_gt(per_ring[0], 5);
    ck_assert_uint_gt(per_ring[1], 5);
}
END_TEST

START_TEST(restart_repeats_nothing)
{
    must_run();
    must_run();
    fake_script.transactions = 33;
    must_run();
    check_all(true);
}
END_TEST

/* A ring that was lost is filled again from the checkpoint; the other one sees nothing twice. */
START_TEST(rings_at_different_places)
{
    char path[256];
    size_t kept = 0;
    size_t again = 0;

    must_run();
    look();
    for (size_t i = 0; i < n_seen; i++)
        kept += seen[i].ring == 0 ? 1 : 0;
    (void)snprintf(path, sizeof(path), "%s/g1/change.1.ring", directory);
    ck_assert_int_eq(unlink(path), 0);
    must_run();
    check_all(true);
    for (size_t i = 0; i < n_seen; i++)
        again += seen[i].ring == 0 ? 1 : 0;
    ck_assert_uint_eq(kept, again);
}
END_TEST

/* Both rings lost, the shipper had acknowledged up to a place in the log: cold start there. */
START_TEST(cold_start_at_the_checkpoint)
{
    struct checkpoint c = {.generation = 1, .shipper = 0};
    struct err e = ERR_INIT;
    uint8_t lsn[LSN_SIZE];
    char path[256];

    must_run();
    fake_lsn(FAKE_JOIN + 7, lsn);
    position_lsn_complete(lsn, &c.position);
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/g1/change.%d.ring", directory, i);
        ck_assert_int_eq(unlink(path), 0);
    }
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true) + count(EVENT_LOAD, -1, false), 0);
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + 7, true), 0);
    for (int64_t id = FAKE_JOIN + 8; id <= FAKE_JOIN + fake_script.transactions; id++)
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), 1);
}
END_TEST

/* A connection that breaks inside a transaction: the engine gives its start again, the rings do
   not. */
START_TEST(broken_connection_repeats_nothing)
{
    fake_script.break_after = 9;
    must_run();
    ck_assert_int_eq(fake_script.connects, 2);
    check_all(true);
}
END_TEST

START_TEST(refused_connections_are_tried_again)
{
    fake_script.connect_failures = 2;
    must_run();
    ck_assert_int_eq(fake_script.connects, 3);
    check_all(true);
}
END_TEST

/* Killed at the n-th pass of every crash point, then finished: each change is there once. */
START_TEST(killed_anywhere)
{
    char crash[32];
    int kills = 0;

    fake_script.text_size = 2000; /* batches of several records */
    for (int n = 1 + _i; n < 400; n += 8) {
        (void)snprintf(crash, sizeof(crash), "*:%d", n);
        if (!run_killed(crash))
            break;
        kills++;
        must_run();
        check_all(false);
        teardown();
        ck_assert_int_eq(mkdir(directory, 0750), 0);
        ck_assert_int_eq(mkdir(state_directory, 0750), 0);
    }
    ck_assert_int_gt(kills, 5);
}
END_TEST

START_TEST(killed_again_and_again)
{
    int rounds = 0;

    while (run_killed("capture.published:2"))
        ck_assert_int_lt(++rounds, 200);
    ck_assert_int_gt(rounds, 5);
    check_all(false);
}
END_TEST

/* ---- a full ring ---- */

static _Atomic bool draining;
static size_t drained;

static void *
drain(void *arg)
{
    struct ring *r = arg;
    struct ring_view v;
    struct err e = ERR_INIT;
    int rc = 0;

    while (rc >= 0) {
        rc = ring_next(r, &v, &e);
        if (rc == 1) {
            drained += v.type == RING_DATA ? 1 : 0;
            ring_release(r, v.end);
        } else if (rc == 0 && !ring_wait_data(&r, 1, 20) && !atomic_load(&draining)) {
            break;
        }
    }
    return NULL;
}

START_TEST(full_ring_waits)
{
    pthread_t t;
    struct ring *r;

    task.weir.encoders = 1;
    must_run(); /* makes the ring; what it holds is a part of what is drained */
    fake_script.transactions = 60;
    fake_script.text_size = 100000; /* twelve times the ring, each but one change in a fragment */
    r = open_consumer(0);
    atomic_store(&draining, true);
    ck_assert_int_eq(pthread_create(&t, NULL, drain, r), 0);
    must_run();
    atomic_store(&draining, false);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    ring_close(&r);
    ck_assert_uint_eq(drained, 2 + 2 * FAKE_ROWS + 2 * 60);
}
END_TEST

/* A change that no ring of this size can take is the operator's business, not a loss. */
START_TEST(change_larger_than_the_ring)
{
    struct err e = ERR_INIT;

    fake_script.text_size = 900000;
    ck_assert_int_eq(run(&e), -1);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(e.hint, "ChangeRingSize"));
}
END_TEST

/* ---- kinds of task ---- */

START_TEST(cdc_only_loads_nothing)
{
    task.migration_type = MIGRATION_CDC;
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true) + count(EVENT_LOAD, -1, false), 0);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, true), 1);
    ck_assert_uint_eq(count(EVENT_INSERT, -1, true), (size_t)fake_script.transactions);
}
END_TEST

/* ---- a start at a place of the operator's choice ---- */

static void
expect(enum err_code code, const char *text)
{
    struct err e = ERR_INIT;

    ck_assert_int_eq(run(&e), -1);
    ck_assert_msg(e.code == code, "%s: %s", err_name(e.code), e.text);
    ck_assert_msg(strstr(e.text, text) != NULL, "%s", e.text);
    ck_assert(e.hint[0] != '\0');
}

static void
start_at(const char *text)
{
    task.migration_type = MIGRATION_CDC;
    if (strncmp(text, "second ", 7) == 0)
        task.start = (struct start_bound){.kind = START_TIME,
                                          .real_ns = strtol(text + 7, NULL, 10) * 1000000000};
    else
        ck_assert_ptr_null(bounds_start(text, &task.start));
}

/* The changes of the log from `first` on, of table h, of table k perhaps one less; each once. */
static void
check_from(int64_t first, bool h_is_first)
{
    look();
    for (int64_t id = FAKE_JOIN + 1; id <= FAKE_JOIN + fake_script.transactions; id++) {
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), id >= first + (h_is_first ? 1 : 0));
        ck_assert_uint_eq(count(EVENT_INSERT, id, false), id >= first);
    }
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, true), 1);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, false), 1);
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true) + count(EVENT_LOAD, -1, false), 0);
}

static const struct {
    const char *text;
    int64_t first; /* LSN of the first transaction wanted */
    bool is_inside;
} starts[] = {
    {"earliest", 101, false},
    {"00000000:00000000:0065", 101, false},
    {"00000000:00000000:006e", 110, false},
    {"00000000:00000000:0078", 120, false},
    {"00000000:00000000:0079", 121, false}, /* nothing yet */
    {"second 110", 110, false},
    /* Behind the second change of 110: all of 111.  Behind the first: one is left of 110. */
    {"00000000:00000000:006e.80000002.00000000:00000000:0001.2", 111, false},
    {"00000000:00000000:006e.80000001.00000000:00000000:0000.2", 110, true},
    {"00000000:00000000:006e.ffffffff.ffffffff:ffffffff:ffff.f", 111, false},
};

START_TEST(start_is_exact)
{
    start_at(starts[_i].text);
    must_run();
    check_from(starts[_i].first, starts[_i].is_inside);
    /* A start that is not the first one goes on where it was. */
    fake_script.transactions += 10;
    must_run();
    check_from(starts[_i].first, starts[_i].is_inside);
}
END_TEST

START_TEST(start_out_of_range)
{
    start_at("00000000:00000000:0064");
    expect(ERR_RANGE, "of table dbo.k, changes from 00000000:00000000:0065 to");
    start_at("00000000:00000000:007a");
    expect(ERR_RANGE, "its newest change is at 00000000:00000000:0078");
    fake_script.short_start = 5;
    start_at("00000000:00000000:0069");
    expect(ERR_RANGE, "of table dbo.h, changes from 00000000:00000000:006a to");
    /* What was refused left nothing behind. */
    start_at("00000000:00000000:006a");
    must_run();
    check_from(106, false);
}
END_TEST

/* ---- the end ---- */

/* Loads, and says, as a shipper would, that all that comes is delivered. */
static void
acknowledge_all(void)
{
    struct checkpoint c = {.generation = generation, .shipper = 0};
    int transactions = fake_script.transactions;
    struct err e = ERR_INIT;

    fake_script.transactions = 0;
    must_run();
    fake_script.transactions = transactions;
    memset(&c.position, 0xFF, sizeof(c.position));
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
}

static bool
has_ended(void)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/ended.json", state_directory);
    return access(path, F_OK) == 0;
}

static void
stop_at(const char *text)
{
    static char keep[128];

    (void)snprintf(keep, sizeof(keep), "%s", text);
    task.cdc_stop_position = keep;
    ck_assert_ptr_null(bounds_stop(keep, &task.stop));
}

static void
check_upto(int64_t last, bool half)
{
    look();
    for (int64_t id = FAKE_JOIN + 1; id <= FAKE_JOIN + fake_script.transactions; id++) {
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), id <= last + (half ? 1 : 0));
        ck_assert_uint_eq(count(EVENT_INSERT, id, false), id <= last);
    }
}

static const struct {
    const char *text;
    int64_t last; /* LSN of the last transaction wanted */
    bool is_inside;
} stops[] = {
    {"00000000:00000000:0064", 100, false}, /* where the load joined */
    {"00000000:00000000:0065", 101, false},
    {"00000000:00000000:0066", 102, false},
    {"00000000:00000000:0067", 103, false}, /* the end of a round */
    {"00000000:00000000:0068", 104, false},
    {"00000000:00000000:006e.80000001.00000000:00000000:0000.2", 109, true},
    {"commit_time:1970-01-01T00:01:46", 106, false}, /* a transaction a second */
    {"commit_time:1970-01-01T00:01:46.999", 106, false},
    {"server_time:1970-01-01T00:01:47", 107, false},
};

START_TEST(stop_is_exact)
{
    fake_script.seconds = true;
    acknowledge_all();
    stop_at(stops[_i].text);
    must_run();
    ck_assert(has_ended());
    check_upto(stops[_i].last, stops[_i].is_inside);
    /* It stays ended, and asks nothing of the source. */
    fake_script.connects = 0;
    must_run();
    ck_assert_int_eq(fake_script.connects, 0);
    /* Another stop lets it go on, none too; nothing is missing and nothing comes twice. */
    stop_at("00000000:00000000:0070");
    must_run();
    ck_assert(has_ended());
    check_upto(0x70, false);
    stop_at("");
    must_run();
    ck_assert(!has_ended());
    check_all(true);
}
END_TEST

#ifdef WEIR_FAULTS
static const char *const ends[] = {"capture.stop-reached:1", "capture.stop-acknowledged:1",
                                   "file_replace.written:1", "capture.published:4"};

START_TEST(stop_survives_deaths)
{
    acknowledge_all();
    stop_at("00000000:00000000:006b");
    ck_assert(run_killed(ends[_i]));
    for (int i = 0; i < 3; i++)
        (void)run_killed(ends[_i]);
    must_run();
    ck_assert(has_ended());
    check_upto(0x6b, false);
    /* The watermark behind the last change is in every ring: shippers can pass it. */
    for (uint32_t i = 0; i < task.weir.encoders; i++)
        ck_assert_uint_eq(fake_lsn_of(&last_watermark[i]), 0x6b);
    stop_at("");
    must_run();
    check_all(false);
}
END_TEST

/* The last change before the stop is published, its watermark is not: the connection broke between
   them, then the process died.  Shippers wait for a watermark behind that change. */
START_TEST(stop_behind_what_is_published)
{
    char point[64];

    acknowledge_all();
    stop_at("00000000:00000000:006b");
    fake_script.break_after = 14; /* 101 to 107, two changes each */
    (void)snprintf(point, sizeof(point), "capture.published:%d", _i);
    ck_assert(run_killed(point));
    fake_script.break_after = 0;
    must_run();
    ck_assert(has_ended());
    check_upto(0x6b, false);
    for (uint32_t i = 0; i < task.weir.encoders; i++)
        ck_assert_uint_eq(fake_lsn_of(&last_watermark[i]), 0x6b);
}
END_TEST
#endif

/* ---- beginning anew ---- */

static void
ask(enum request_action action, const char *from)
{
    struct request r = {.action = action};
    struct err e = ERR_INIT;

    (void)snprintf(r.from, sizeof(r.from), "%s", from);
    ck_assert_msg(request_submit(&task, &r, &e) == 0, "%s", e.text);
}

static bool
is_asked(void)
{
    struct request r = {.n_tables = 0};
    struct err e = ERR_INIT;
    int rc = request_next(&task, "", &r, &e);

    request_free(&r);
    return rc == 1;
}

static bool
exists(const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", state_directory, name);
    return access(path, F_OK) == 0;
}

/* Everything is loaded anew, into rings of its own; what was before is kept. */
static void
check_anew(uint64_t expected)
{
    ck_assert(!is_asked());
    generation = expected;
    check_all(true);
    ck_assert(exists("before.2/capture.json"));
    ck_assert(exists("before.2/checkpoint.1.0.json"));
    ck_assert(!exists("checkpoint.1.0.json"));
}

START_TEST(reload_of_the_task)
{
    acknowledge_all();
    ask(REQUEST_RELOAD, "");
    must_run();
    check_anew(2);
    must_run();
    check_anew(2);
}
END_TEST

/* A load that is over stays over, until it is asked for anew. */
START_TEST(reload_of_a_full_load)
{
    task.migration_type = MIGRATION_FULL_LOAD;
    must_run();
    ask(REQUEST_RELOAD, "");
    must_run();
    generation = 2;
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true), FAKE_ROWS);
    ck_assert_uint_eq(count(EVENT_INSERT, -1, true), 0);
}
END_TEST

/* A restored database may have lower positions: nothing of the old ones stays in the way. */
START_TEST(reload_of_a_restored_database)
{
    acknowledge_all();
    fake_script.transactions = 40;
    must_run();
    fake_script.transactions = 20;
    fake_script.created = "2025";
    expect(ERR_HISTORY, "date of creation");
    ask(REQUEST_RELOAD, "");
    must_run();
    check_anew(2);
}
END_TEST

/* What only a load from scratch mends. */
START_TEST(reload_mends_what_is_lost)
{
    char path[256];
    struct err e = ERR_INIT;

    acknowledge_all();
    must_run();
    (void)snprintf(path, sizeof(path), "%s/%s", state_directory,
                   _i == 0 ? "topology.json" : "capture.json");
    if (_i == 2)
        ck_assert_int_eq(file_replace(path, "{", 1, 0640, &e), 0);
    else
        ck_assert_int_eq(unlink(path), 0);
    expect(ERR_LAYOUT, _i == 0 ? "topology.json" : "capture.json");
    ask(REQUEST_RELOAD, "");
    must_run();
    generation = 2;
    check_all(true);
}
END_TEST

START_TEST(start_anew_at_a_place)
{
    start_at("now");
    acknowledge_all();
    must_run();
    ask(REQUEST_START, "00000000:00000000:006e");
    must_run();
    generation = 2;
    check_from(110, false);
    /* The place counts for that one start only. */
    fake_script.transactions += 5;
    must_run();
    check_from(110, false);
}
END_TEST

START_TEST(requests_that_do_not_fit_are_refused)
{
    ask(REQUEST_START, "earliest");
    must_run();
    ck_assert(!is_asked());
    check_all(true);
    task.migration_type = MIGRATION_CDC;
    ask(REQUEST_RELOAD, "");
    ask(REQUEST_START, "\"yesterday\"");
    must_run();
    ck_assert(!is_asked());
    check_all(true);
}
END_TEST

START_TEST(resume_goes_on_behind_the_stop)
{
    acknowledge_all();
    stop_at("00000000:00000000:006b");
    must_run();
    ck_assert(has_ended());
    ask(REQUEST_RESUME, "");
    must_run();
    check_all(true);
    fake_script.transactions += 10; /* it does not end there again */
    must_run();
    check_all(true);
}
END_TEST

#ifdef WEIR_FAULTS
static const char *const renewals[] = {"capture.anew-aside:1",   "capture.anew-generation:1",
                                       "capture.anew-cleaned:1", "request.before-done:1",
                                       "request.done:1",         "file_replace.written:1",
                                       "file_replace.renamed:1", "file_replace.renamed:2",
                                       "file_replace.renamed:3"};

START_TEST(reload_survives_deaths)
{
    acknowledge_all();
    must_run();
    ask(REQUEST_RELOAD, "");
    ck_assert(run_killed(renewals[_i]));
    (void)run_killed(renewals[_i]);
    must_run();
    check_anew(2);
}
END_TEST
#endif

START_TEST(full_load_only_ends)
{
    task.migration_type = MIGRATION_FULL_LOAD;
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true), FAKE_ROWS);
    ck_assert_uint_eq(count(EVENT_INSERT, -1, true), 0);
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true), FAKE_ROWS);
}
END_TEST

START_TEST(refused_table_leaves_the_others)
{
    fake_script.refuse = "h";
    must_run();
    look();
    for (size_t i = 0; i < n_seen; i++)
        ck_assert_uint_eq(seen[i].table_id, seen[0].table_id);
    ck_assert_uint_eq(n_seen, 1 + FAKE_ROWS + (size_t)fake_script.transactions);
}
END_TEST

/* What a table went through while it was refused is not known: it stays out until loaded anew. */
START_TEST(table_refused_for_a_time_stays_out)
{
    int before = fake_script.transactions;
    int64_t last;

    must_run();
    fake_script.refuse = "h";
    fake_script.transactions += 10;
    must_run();
    fake_script.refuse = NULL;
    fake_script.transactions += 10;
    must_run();
    look();
    last = FAKE_JOIN + fake_script.transactions;
    for (int64_t id = FAKE_JOIN + 1; id <= last; id++) {
        ck_assert_uint_eq(count(EVENT_INSERT, id, false), id <= FAKE_JOIN + before ? 1 : 0);
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), 1);
    }
}
END_TEST

/* ---- holes in the history of one table ---- */

/* Table h has its changes before the hole and none behind it; table k has all of them, once. */
static void
check_hole_of_h(uint64_t hole)
{
    look();
    for (int64_t id = FAKE_JOIN + 1; id <= FAKE_JOIN + fake_script.transactions; id++) {
        ck_assert_uint_eq(count(EVENT_INSERT, id, false), (uint64_t)id < hole ? 1 : 0);
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), 1);
    }
}

static const struct state_table *
read_table(struct state *st, const char *name)
{
    struct err e = ERR_INIT;
    const struct state_table *t;

    ck_assert_int_eq(state_read(&task, st, &e), 0);
    t = state_find(st, "dbo", name, name);
    ck_assert_ptr_nonnull(t);
    return t;
}

START_TEST(hole_suspends_one_table)
{
    const struct state_table *t;
    struct state st;

    fake_script.lose[1] = FAKE_JOIN + 8;
    must_run();
    check_hole_of_h(FAKE_JOIN + 8);
    t = read_table(&st, "h");
    ck_assert(t->lost.is_set);
    ck_assert_uint_eq(fake_lsn_of(&t->lost.from), FAKE_JOIN + 8);
    ck_assert_uint_eq(fake_lsn_of(&t->lost.upto), FAKE_JOIN + 9);
    ck_assert_int_eq(t->lost.upto_real_ns, 1704067200000000000);
    ck_assert_str_eq(t->suspended,
                     "changes from LSN 00000000:00000000:006c to 00000000:00000000:006d (after "
                     "time unknown, before 2024-01-01T00:00:00.000000Z) are lost: somebody swept");
    ck_assert_ptr_null(state_find(&st, "dbo", "k", "k")->suspended);
    state_free(&st);
    /* It stays out although the source has no hole to show any more. */
    fake_script.lose[1] = 0;
    fake_script.transactions += 10;
    must_run();
    check_hole_of_h(FAKE_JOIN + 8);
}
END_TEST

START_TEST(killed_around_a_hole)
{
    static const char *const points[] = {"capture.gap-found:1", "capture.gap-written:1"};

    fake_script.lose[1] = FAKE_JOIN + 8;
    ck_assert(run_killed(points[_i]));
    must_run();
    check_hole_of_h(FAKE_JOIN + 8);
}
END_TEST

/* Rings lost after the hole was found: what lay in them of the table is lost as well, and said so. */
START_TEST(hole_grows_when_rings_are_lost)
{
    struct checkpoint c = {.generation = 1, .shipper = 0, .commit_real_ns = 1000000000};
    const struct state_table *t;
    struct err e = ERR_INIT;
    struct state st;
    uint8_t lsn[LSN_SIZE];
    char path[256];

    fake_script.lose[1] = FAKE_JOIN + 8;
    must_run();
    fake_lsn(FAKE_JOIN + 4, lsn);
    position_lsn_complete(lsn, &c.position);
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/g1/change.%d.ring", directory, i);
        ck_assert_int_eq(unlink(path), 0);
    }
    must_run();
    t = read_table(&st, "h");
    ck_assert_uint_eq(fake_lsn_of(&t->lost.from), FAKE_JOIN + 4);
    ck_assert_uint_eq(fake_lsn_of(&t->lost.upto), FAKE_JOIN + 9);
    ck_assert_int_eq(t->lost.from_real_ns, 1000000000);
    state_free(&st);
}
END_TEST

START_TEST(no_table_left_is_the_operators)
{
    struct err e = ERR_INIT;

    fake_script.lose[0] = FAKE_JOIN + 10;
    fake_script.lose[1] = FAKE_JOIN + 8;
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(run(&e), -1);
        ck_assert_int_eq(e.code, ERR_GAP);
        ck_assert_int_eq(err_exit_status(&e), 78);
        ck_assert_ptr_nonnull(strstr(e.text, "dbo.h: changes from LSN 00000000:00000000:006c to"));
        ck_assert_ptr_nonnull(strstr(e.text, "dbo.k: changes from LSN 00000000:00000000:006e to"));
        ck_assert_ptr_nonnull(strstr(e.hint, "weirctl reload"));
    }
    look();
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + 9, true), 1);
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + 10, true), 0);
}
END_TEST

START_TEST(other_numbers_make_a_generation)
{
    struct checkpoint c = {.generation = 1, .shipper = 0};
    struct err e = ERR_INIT;
    uint8_t lsn[LSN_SIZE];
    char path[256];

    must_run();
    fake_lsn(FAKE_JOIN + 15, lsn);
    position_lsn_complete(lsn, &c.position);
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    task.weir.encoders = 3;
    must_run();
    (void)snprintf(path, sizeof(path), "%s/g1", directory);
    ck_assert_int_ne(access(path, F_OK), 0);
    generation = 2;
    look();
    for (int64_t id = FAKE_JOIN + 1; id <= FAKE_JOIN + fake_script.transactions; id++)
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), id > FAKE_JOIN + 15 ? 1 : 0);
}
END_TEST

/* ---- bad state ---- */

static void
replace_state(const char *text)
{
    char path[256];
    struct err e = ERR_INIT;

    (void)snprintf(path, sizeof(path), "%s/capture.json", state_directory);
    ck_assert_int_eq(file_replace(path, text, strlen(text), 0640, &e), 0);
}

START_TEST(damaged_state)
{
    must_run();
    replace_state("{\"format\": 1, \"task\":");
    expect(ERR_LAYOUT, "is damaged");
    replace_state("{\"format\": 2}");
    expect(ERR_LAYOUT, "is damaged or of another version");
    replace_state("");
    expect(ERR_LAYOUT, "is damaged");
}
END_TEST

START_TEST(foreign_state)
{
    static char other[] = "other";

    must_run();
    task.identifier = other;
    expect(ERR_LAYOUT, "belongs to another task");
}
END_TEST

START_TEST(lost_state)
{
    char path[256];

    must_run();
    (void)snprintf(path, sizeof(path), "%s/capture.json", state_directory);
    ck_assert_int_eq(unlink(path), 0);
    expect(ERR_LAYOUT, "capture.json is gone");
}
END_TEST

START_TEST(other_history)
{
    must_run();
    fake_script.created = "2025";
    expect(ERR_HISTORY, "date of creation was '2024' and is '2025'");
}
END_TEST

/* The recovery fork names the history: a fail-over that keeps it is survived, on any server. */
START_TEST(failed_over_without_loss)
{
    struct state st;

    fake_script.fork = "f1";
    must_run();
    fake_script.server = "S2";
    fake_script.created = "2025";
    fake_script.transactions += 5;
    must_run();
    check_all(true);
    (void)read_table(&st, "k");
    ck_assert_str_eq(st.identity.server, "S2");
    state_free(&st);
    /* The right to see forks is gone: what is known stays known. */
    fake_script.fork = NULL;
    must_run();
    fake_script.fork = "f2";
    expect(ERR_HISTORY, "recovery fork was 'f1' and is 'f2'");
}
END_TEST

/* A fork of ours within the group is ours as long as it branched off behind all that was given. */
START_TEST(failed_over_with_a_new_fork)
{
    uint64_t given = FAKE_JOIN + 20;

    fake_script.fork = "f1";
    fake_script.group = "g";
    fake_script.family = "a";
    must_run();
    fake_script.server = "S2";
    fake_script.fork = "f2";
    expect(ERR_HISTORY, "is undone in the database"); /* nobody says where it came from */
    fake_script.fork_parent = "f1";
    fake_script.fork_point = given - 1;
    expect(ERR_HISTORY, "went back to LSN 00000000:00000000:0077, and everything up to "
                        "00000000:00000000:0078 was read). What was delivered from behind");
    fake_script.fork_point = given;
    fake_script.group = "other";
    expect(ERR_HISTORY, "recovery fork");
    fake_script.group = NULL; /* restored elsewhere */
    expect(ERR_HISTORY, "nothing that was delivered is undone");
    fake_script.group = "g";
    fake_script.server = NULL; /* restored in place: not a fail-over */
    expect(ERR_HISTORY, "recovery fork");
    fake_script.server = "S2";
    fake_script.family = "b";
    expect(ERR_HISTORY, "another database has its name");
    fake_script.family = "a";
    fake_script.transactions += 5;
    must_run();
    check_all(true);
}
END_TEST

/* Without the right to see forks, the group tells a fail-over from another server. */
START_TEST(moved_without_a_fork)
{
    must_run();
    fake_script.server = "S2";
    expect(ERR_HISTORY, "server name was 'S' and is 'S2'");
}
END_TEST

START_TEST(moved_within_the_group)
{
    fake_script.group = "g";
    must_run();
    fake_script.server = "S2";
    fake_script.transactions += 5;
    must_run();
    check_all(true);
    fake_script.created = "2030"; /* the same server now: restored */
    expect(ERR_HISTORY, "date of creation");
}
END_TEST

START_TEST(two_of_one_task)
{
    char path[256];
    struct err e = ERR_INIT;
    int lock;

    (void)snprintf(path, sizeof(path), "%s/capture.lock", state_directory);
    ck_assert_int_eq(file_lock(path, &lock, &e), 0);
    expect(ERR_BUSY, "held by process");
    (void)close(lock);
}
END_TEST

/* ---- loads: exact, anew, behind lost rings ---- */

/* Changes of the table from LSN FAKE_JOIN + first on: each once; those before not at all. */
static void
check_changes(bool has_key, int first)
{
    for (int i = 1; i <= fake_script.transactions; i++)
        ck_assert_msg(count(EVENT_INSERT, FAKE_JOIN + i, has_key) == (i >= first ? 1U : 0U),
                      "change %d of table %d: %zu", i, has_key,
                      count(EVENT_INSERT, FAKE_JOIN + i, has_key));
}

/* What a view has seen is not given again. */
START_TEST(exact_load_repeats_nothing)
{
    fake_script.has_views = true;
    fake_script.moment = 4;
    must_run();
    must_run();
    look();
    for (int key = 0; key < 2; key++) {
        check_changes(key == 1, 5);
        for (int64_t id = 1; id <= FAKE_ROWS; id++)
            ck_assert_uint_eq(count(EVENT_LOAD, id, key == 1), 1);
    }
    ck_assert_int_eq(fake_script.views, 0);
}
END_TEST

START_TEST(exact_or_not_at_all)
{
    task.weir.load_handover = LOAD_EXACT;
    expect(ERR_CONFIG, "Weir.LoadHandover is exact");
    task.weir.load_handover = LOAD_AUTO;
    must_run();
    check_all(true);
}
END_TEST

/* A table whose first rows went out keeps its moment: what came behind it is given, though the rest
   is read later. */
START_TEST(killed_in_an_exact_load)
{
    static const char *const points[] = {"capture.chunks-planned", "capture.chunks-durable",
                                         "capture.chunk-read", "capture.published"};
    char crash[48];
    int begun = 0;

    fake_script.has_views = true;
    for (int n = 1; n < 12; n++) {
        bool was_begun[2];

        fake_script.moment = 4;
        (void)snprintf(crash, sizeof(crash), "%s:%d", points[_i], n);
        if (!run_killed(crash))
            break;
        fake_script.moment = 8;
        look();
        for (int key = 0; key < 2; key++)
            was_begun[key] = count(EVENT_LOAD, -1, key == 1) > 0;
        must_run();
        look();
        for (int key = 0; key < 2; key++) {
            begun += was_begun[key] ? 1 : 0;
            for (int i = was_begun[key] ? 5 : 9; i <= fake_script.transactions; i++)
                ck_assert_msg(count(EVENT_INSERT, FAKE_JOIN + i, key == 1) == 1,
                              "%s: change %d of table %d", crash, i, key);
            for (int64_t id = 1; id <= FAKE_ROWS; id++)
                ck_assert_uint_ge(count(EVENT_LOAD, id, key == 1), 1);
        }
        teardown();
        ck_assert_int_eq(mkdir(directory, 0750), 0);
        ck_assert_int_eq(mkdir(state_directory, 0750), 0);
    }
    ck_assert_int_gt(begun, 0);
}
END_TEST

/* As load_request() notes it. */
static void
want_reload(const char *name)
{
    struct state s;
    struct err e = ERR_INIT;
    size_t found = 0;

    ck_assert_int_eq(state_read(&task, &s, &e), 0);
    for (size_t i = 0; i < s.n_tables; i++)
        if (strcmp(s.tables[i].name, name) == 0) {
            s.tables[i].wants_reload = true;
            found++;
        }
    ck_assert_uint_eq(found, 1);
    ck_assert_int_eq(state_write(&task, &s, &e), 0);
    state_free(&s);
}

static void
check_loaded_twice(bool has_key, bool exactly)
{
    for (int64_t id = 1; id <= FAKE_ROWS; id++) {
        size_t n = count(EVENT_LOAD, id, has_key);

        ck_assert_msg(exactly ? n == 2 : n >= 2, "row %ld of table %d: %zu", (long)id, has_key, n);
        ck_assert_uint_eq(count(EVENT_LOAD, id, !has_key), 1);
    }
}

/* A table is loaded anew between rounds of the log; its changes and the other table go on. */
START_TEST(reload_while_following)
{
    must_run();
    want_reload(_i == 0 ? "h" : "k");
    fake_script.transactions += 20;
    must_run();
    check_all(false);
    check_loaded_twice(_i == 1, true);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, _i == 1), 2);
}
END_TEST

START_TEST(killed_in_a_reload)
{
    char crash[32];
    int kills = 0;
    int before = fake_script.transactions;

    for (int n = 1 + 3 * _i; n < 200; n += 12) {
        must_run();
        want_reload("k");
        fake_script.transactions = before + 20;
        (void)snprintf(crash, sizeof(crash), "*:%d", n);
        if (!run_killed(crash))
            break;
        kills++;
        fake_script.transactions = before + 40;
        must_run();
        check_all(false);
        check_loaded_twice(true, false);
        teardown();
        ck_assert_int_eq(mkdir(directory, 0750), 0);
        ck_assert_int_eq(mkdir(state_directory, 0750), 0);
        fake_script.transactions = before;
    }
    ck_assert_int_gt(kills, 5);
}
END_TEST

/* The reload's chunks are given again at their places in the log, which lie behind the checkpoint. */
START_TEST(reload_behind_lost_rings)
{
    struct checkpoint c = {.generation = 1, .shipper = 0};
    struct err e = ERR_INIT;
    uint8_t lsn[LSN_SIZE];
    char path[256];

    must_run();
    want_reload("k");
    fake_script.transactions += 20;
    must_run();
    fake_lsn(FAKE_JOIN + 7, lsn);
    position_lsn_complete(lsn, &c.position);
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/g1/change.%d.ring", directory, i);
        ck_assert_int_eq(unlink(path), 0);
    }
    must_run();
    look();
    check_changes(true, 8);
    check_changes(false, 8);
    for (int64_t id = 1; id <= FAKE_ROWS; id++)
        ck_assert_uint_eq(count(EVENT_LOAD, id, true), 1);
}
END_TEST

/* A suspended table takes part again from its reload on. */
START_TEST(reload_ends_a_suspension)
{
    size_t n;

    fake_script.lose[1] = FAKE_JOIN + 8;
    must_run();
    fake_script.lose[1] = 0;
    want_reload("h");
    fake_script.transactions += 20;
    must_run();
    look();
    n = count(EVENT_INSERT, FAKE_JOIN + 7, false);
    ck_assert_uint_eq(n, 1);
    for (int i = 8; i <= 20; i++) /* while it was suspended */
        ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + i, false), 0);
    check_loaded_twice(false, true);
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + fake_script.transactions, false), 1);
    must_run();
    fake_script.transactions += 5;
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + fake_script.transactions, false), 1);
}
END_TEST

/* A table with a value that cannot be carried does not stop the load of the other. */
START_TEST(unreadable_table_leaves_the_others)
{
    fake_script.bad_table = "h";
    must_run();
    look();
    for (int64_t id = 1; id <= FAKE_ROWS; id++)
        ck_assert_uint_eq(count(EVENT_LOAD, id, true), 1);
    ck_assert_uint_eq(count(EVENT_LOAD, -1, false), 0);
    check_changes(true, 1);
}
END_TEST

START_TEST(stops_once_behind_the_load)
{
    task.stop_after_load = _i == 0;
    task.stop_after_cached_changes = _i == 1;
    must_run();
    look();
    for (int64_t id = 1; id <= FAKE_ROWS; id++)
        ck_assert_uint_eq(count(EVENT_LOAD, id, true), 1);
    ck_assert_uint_eq(count(EVENT_INSERT, -1, true), 0);
    must_run();
    check_all(true);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_flow");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, load_then_log);
    tcase_add_test(tc, routing_is_by_key);
    tcase_add_test(tc, restart_repeats_nothing);
    tcase_add_test(tc, rings_at_different_places);
    tcase_add_test(tc, cold_start_at_the_checkpoint);
    tcase_add_test(tc, broken_connection_repeats_nothing);
    tcase_add_test(tc, refused_connections_are_tried_again);
#ifdef WEIR_FAULTS
    tcase_add_loop_test(tc, killed_anywhere, 0, 8);
    tcase_add_test(tc, killed_again_and_again);
#endif
    tcase_add_test(tc, full_ring_waits);
    tcase_add_test(tc, change_larger_than_the_ring);
    tcase_add_test(tc, cdc_only_loads_nothing);
    tcase_add_loop_test(tc, start_is_exact, 0, sizeof(starts) / sizeof(starts[0]));
    tcase_add_test(tc, start_out_of_range);
    tcase_add_loop_test(tc, stop_is_exact, 0, sizeof(stops) / sizeof(stops[0]));
#ifdef WEIR_FAULTS
    tcase_add_loop_test(tc, stop_survives_deaths, 0, sizeof(ends) / sizeof(ends[0]));
    tcase_add_loop_test(tc, stop_behind_what_is_published, 3, 8);
#endif
    tcase_add_test(tc, reload_of_the_task);
    tcase_add_test(tc, reload_of_a_full_load);
    tcase_add_test(tc, reload_of_a_restored_database);
    tcase_add_loop_test(tc, reload_mends_what_is_lost, 0, 3);
    tcase_add_test(tc, start_anew_at_a_place);
    tcase_add_test(tc, requests_that_do_not_fit_are_refused);
    tcase_add_test(tc, resume_goes_on_behind_the_stop);
#ifdef WEIR_FAULTS
    tcase_add_loop_test(tc, reload_survives_deaths, 0, sizeof(renewals) / sizeof(renewals[0]));
#endif
    tcase_add_test(tc, full_load_only_ends);
    tcase_add_test(tc, refused_table_leaves_the_others);
    tcase_add_test(tc, table_refused_for_a_time_stays_out);
    tcase_add_test(tc, hole_suspends_one_table);
    tcase_add_loop_test(tc, killed_around_a_hole, 0, 2);
    tcase_add_test(tc, hole_grows_when_rings_are_lost);
    tcase_add_test(tc, no_table_left_is_the_operators);
    tcase_add_test(tc, exact_load_repeats_nothing);
    tcase_add_test(tc, exact_or_not_at_all);
    tcase_add_loop_test(tc, reload_while_following, 0, 2);
    tcase_add_test(tc, reload_behind_lost_rings);
    tcase_add_test(tc, reload_ends_a_suspension);
    tcase_add_test(tc, unreadable_table_leaves_the_others);
    tcase_add_loop_test(tc, stops_once_behind_the_load, 0, 2);
#ifdef WEIR_FAULTS
    tcase_add_loop_test(tc, killed_in_an_exact_load, 0, 4);
    tcase_add_loop_test(tc, killed_in_a_reload, 0, 4);
#endif
    tcase_add_test(tc, other_numbers_make_a_generation);
    tcase_add_test(tc, damaged_state);
    tcase_add_test(tc, foreign_state);
    tcase_add_test(tc, lost_state);
    tcase_add_test(tc, other_history);
    tcase_add_test(tc, failed_over_without_loss);
    tcase_add_test(tc, failed_over_with_a_new_fork);
    tcase_add_test(tc, moved_without_a_fork);
    tcase_add_test(tc, moved_within_the_group);
    tcase_add_test(tc, two_of_one_task);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
