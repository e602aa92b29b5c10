/* Sleeping and waking: I8.  Slices are made so long that a lost wake-up cannot hide. */
#include "tests/unit/ring_help.h"

#include "common/clock.h"
#include "common/fault.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

/* A wait this long means that nobody woke it. */
#define LOST_MS 5000

static struct ring_config there;
static struct ring_config back;
static char back_path[128];

static void
setup(void)
{
    there = help_config(SMALL_RING);
    back = there;
    (void)snprintf(back_path, sizeof(back_path), "%s.back", help_path);
    back.path = back_path;
    (void)unlink(help_path);
    (void)unlink(back_path);
    ring_wait_slice_ms = 2 * LOST_MS;
}

static void
spin(uint64_t rounds)
{
    for (volatile uint64_t i = 0; i < rounds; i++)
        continue;
}

/* Half of a ping-pong; `spread` bytes of payload make the store buffer work. */
static bool
bounce(struct ring *out, struct ring *in, bool first, uint64_t rounds, uint64_t *slowest_ns)
{
    uint64_t seed = first ? 77 : 99;

    for (uint64_t i = 1; i <= rounds; i++) {
        struct err e = ERR_INIT;
        struct ring_view v;
        int64_t start;
        uint64_t took;

        if (first) {
            spin(help_random(&seed) % 600);
            (void)help_write(out, 700, i);
            help_publish(out, i);
        }
        start = clock_mono_ns();
        if (!ring_wait_data(&in, 1, LOST_MS) || ring_next(in, &v, &e) != 1)
            return false;
        took = (uint64_t)(clock_mono_ns() - start);
        if (took > *slowest_ns)
            *slowest_ns = took;
        ring_release(in, v.end);
        if (!first) {
            spin(help_random(&seed) % 600);
            (void)help_write(out, 700, i);
            help_publish(out, i);
        }
    }
    return true;
}

START_TEST(ping_pong_loses_no_wake)
{
    struct ring *p = help_producer(&there);
    struct ring *c;
    uint64_t slowest = 0;
    int status;
    pid_t pid = help_fork();

    if (pid == 0) {
        struct ring *in = help_consumer(&there);
        struct ring *out = help_producer(&back);

        _exit(bounce(out, in, false, 30000, &slowest) ? 0 : 1);
    }
    for (;;) {
        struct err e = ERR_INIT;

        if (ring_open_consumer(&back, &c, &e) == 0)
            break;
        ck_assert_int_eq(e.code, ERR_NOT_FOUND);
        spin(10000);
    }
    ck_assert_msg(bounce(p, c, true, 30000, &slowest), "a wake-up was lost");
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_lt(slowest, LOST_MS * NS_PER_MS / 2);
    ring_close(&p);
    ring_close(&c);
}
END_TEST

/* The producer sleeps for room: a ring of a few messages between a fast and a slow side. */
START_TEST(room_loses_no_wake)
{
    struct ring *p = help_producer(&there);
    uint64_t seed = 5;
    int status;
    pid_t pid = help_fork();

    if (pid == 0) {
        struct ring *c = help_consumer(&there);
        uint64_t other = 17;

        for (uint64_t i = 1; i <= 20000; i++) {
            struct err e = ERR_INIT;
            struct ring_view v;

            if (!ring_wait_data(&c, 1, LOST_MS) || ring_next(c, &v, &e) != 1 || v.src_pos != i)
                _exit(1);
            ring_release(c, v.end);
            if (i % 7 == 0)
                spin(help_random(&other) % 2000);
        }
        ring_close(&c);
        _exit(0);
    }
    for (uint64_t i = 1; i <= 20000; i++) {
        uint64_t len = 500 + help_random(&seed) % 1500;

        ck_assert(ring_wait_room(p, len, LOST_MS));
        ck_assert_int_eq(help_write(p, len, i), 1);
        help_publish(p, i);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ring_close(&p);
}
END_TEST

#define INPUTS 3

/* One sleeper on several rings; each publish must wake it, whichever ring it is on. */
static void
several_inputs(void)
{
    struct ring_config configs[INPUTS];
    struct ring *in[INPUTS];
    char paths[INPUTS][128];
    uint64_t got[INPUTS] = {0};
    uint64_t seed = 31;
    struct ring *out;
    int status;
    pid_t pid;

    for (int i = 0; i < INPUTS; i++) {
        configs[i] = there;
        (void)snprintf(paths[i], sizeof(paths[i]), "%s.in%d", help_path, i);
        (void)unlink(paths[i]);
        configs[i].path = paths[i];
        out = help_producer(&configs[i]);
        ring_close(&out);
        in[i] = help_consumer(&configs[i]);
    }
    out = help_producer(&back);
    pid = help_fork();
    if (pid == 0) {
        struct ring *outs[INPUTS];
        struct ring *echo = help_consumer(&back);
        struct err e = ERR_INIT;
        struct ring_view v;

        for (int i = 0; i < INPUTS; i++)
            outs[i] = help_producer(&configs[i]);
        for (uint64_t i = 1; i <= 8000; i++) {
            struct ring *to = outs[help_random(&seed) % INPUTS];

            spin(help_random(&seed) % 2000);
            if (help_write(to, 200, i) != 1)
                _exit(1);
            help_publish(to, i);
            if (!ring_wait_data(&echo, 1, LOST_MS) || ring_next(echo, &v, &e) != 1)
                _exit(2);
            ring_release(echo, v.end);
        }
        _exit(0);
    }
    for (uint64_t i = 1; i <= 8000; i++) {
        struct err e = ERR_INIT;
        struct ring_view v;
        int from = 0;

        ck_assert(ring_wait_data(in, INPUTS, LOST_MS));
        while (ring_next(in[from], &v, &e) != 1)
            ck_assert_int_lt(++from, INPUTS);
        ck_assert_uint_eq(v.src_pos, i);
        ck_assert_uint_eq(v.seq, ++got[from]);
        ring_release(in[from], v.end);
        ck_assert_int_eq(help_write(out, 8, i), 1);
        help_publish(out, i);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    for (int i = 0; i < INPUTS; i++)
        ring_close(&in[i]);
    ring_close(&out);
}

START_TEST(several_rings)
{
    several_inputs();
}
END_TEST

/* The kernel has no futex_waitv, or the sandbox forbids it. */
START_TEST(several_rings_without_waitv)
{
    char rule[64];

    (void)snprintf(rule, sizeof(rule), "ring.waitv:0:%d", ENOSYS);
    (void)setenv("WEIR_FAULT", rule, 1);
    fault_reload();
    several_inputs();
}
END_TEST

/* The peer died between its store and its wake: the sleeper looks again after one slice. */
START_TEST(dead_publisher_costs_one_slice)
{
    struct ring *c;
    struct ring *p = help_producer(&there);
    int64_t start;
    pid_t pid;

    c = help_consumer(&there);
    ring_close(&p);
    ring_wait_slice_ms = 100;
    pid = help_fork();
    if (pid == 0) {
        p = help_producer(&there);
        while (atomic_load(&p->header->consumer.waiting) == 0)
            continue;
        spin(3000000); /* asleep by now */
        (void)setenv("WEIR_CRASH", "ring.publish.tail:1", 1);
        fault_reload();
        (void)help_write(p, 10, 1);
        help_publish(p, 1);
        _exit(0);
    }
    start = clock_mono_ns();
    ck_assert(ring_wait_data(&c, 1, LOST_MS));
    ck_assert_int_lt(clock_mono_ns() - start, 5 * NS_PER_S);
    (void)help_read(c, 10, 1);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ring_close(&c);
}
END_TEST

/* Both alive: a parked consumer is on its way within a millisecond, as a rule. */
START_TEST(wakes_within_a_millisecond)
{
    struct ring *p = help_producer(&there);
    int fast = 0;
    int status;
    pid_t pid = help_fork();

    if (pid == 0) {
        struct ring *c = help_consumer(&there);
        int good = 0;

        for (uint64_t i = 1; i <= 200; i++) {
            struct err e = ERR_INIT;
            struct ring_view v;

            if (!ring_wait_data(&c, 1, LOST_MS) || ring_next(c, &v, &e) != 1)
                _exit(255);
            if (clock_mono_ns() - (int64_t)v.src_pos < NS_PER_MS)
                good++;
            ring_release(c, v.end);
        }
        ring_close(&c);
        _exit(good);
    }
    for (int i = 0; i < 200; i++) {
        struct ring_meta meta = {.type = RING_DATA};
        struct err e = ERR_INIT;

        while (atomic_load(&p->header->consumer.waiting) == 0)
            (void)usleep(50); /* until it is parked */
        meta.src_pos = (uint64_t)clock_mono_ns();
        ck_assert_int_eq(ring_write(p, &meta, "x", 1, &e), 1);
        help_publish(p, (uint64_t)i + 1);
        while (ring_release_pos(p) != ring_tail(p))
            (void)usleep(20);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    fast = WEXITSTATUS(status);
    ck_assert_int_ge(fast, 100); /* half: others use this machine too */
    ck_assert_int_le(fast, 200);
    ring_close(&p);
}
END_TEST

START_TEST(timeouts_end)
{
    struct ring *p = help_producer(&there);
    struct ring *c = help_consumer(&there);
    int64_t start = clock_mono_ns();
    uint64_t n = 0;

    ck_assert(!ring_wait_data(&c, 1, 30));
    ck_assert_int_ge(clock_mono_ns() - start, 30 * NS_PER_MS);
    ck_assert(!ring_wait_data(&c, 1, 0));
    while (help_write(p, 100, n) == 1)
        n++;
    start = clock_mono_ns();
    ck_assert(!ring_wait_room(p, 100, 30));
    ck_assert_int_ge(clock_mono_ns() - start, 30 * NS_PER_MS);
    ck_assert_int_lt(clock_mono_ns() - start, LOST_MS * NS_PER_MS);
    ck_assert_uint_eq(atomic_load(&p->header->producer.waiting), 0);
    ck_assert_uint_eq(atomic_load(&p->header->consumer.waiting), 0);
    ring_close(&p);
    ring_close(&c);
}
END_TEST

/* Poison ends a sleep for data and a sleep for room. */
START_TEST(poison_wakes)
{
    struct ring *p = help_producer(&there);
    struct ring *c = help_consumer(&there);
    int status;
    pid_t pid;

    ring_wait_slice_ms = 100; /* poison may slip between the last look and the sleep */
    pid = help_fork();
    if (pid == 0)
        _exit(ring_wait_data(&c, 1, LOST_MS) ? 0 : 1);
    while (atomic_load(&c->header->consumer.waiting) == 0)
        continue;
    ring_poison(p, 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ring_close(&p);
    ring_close(&c);
}
END_TEST

static Suite *
suite(void)
{
    Suite *s = suite_create("ring_wait");
    TCase *t = tcase_create("wait");

    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, ping_pong_loses_no_wake);
    tcase_add_test(t, room_loses_no_wake);
    tcase_add_test(t, several_rings);
    tcase_add_test(t, several_rings_without_waitv);
    tcase_add_test(t, dead_publisher_costs_one_slice);
    tcase_add_test(t, wakes_within_a_millisecond);
    tcase_add_test(t, timeouts_end);
    tcase_add_test(t, poison_wakes);
    suite_add_tcase(s, t);
    return s;
}

int
main(void)
{
    SRunner *runner = srunner_create(suite());
    int failed;

    help_make_dir();
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    help_remove_dir();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
