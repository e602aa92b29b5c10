/* Opening, refusing, exclusive ends, replacement. */
#include "tests/unit/ring_help.h"

#include "common/crc32c.h"
#include "common/fault.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/wait.h>

static struct ring_config config;

static void
setup(void)
{
    config = help_config(SMALL_RING);
    (void)unlink(help_path);
    ck_assert_int_eq(chmod(help_dir, 0750), 0);
}

/* The file's header, mapped by somebody who is neither end. */
static struct ring_header *
map_header(void)
{
    int fd = open(help_path, O_RDWR | O_CLOEXEC);
    struct ring_header *h;

    ck_assert_int_ge(fd, 0);
    h = mmap(NULL, RING_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(h, MAP_FAILED);
    (void)close(fd);
    return h;
}

static void
make_ring(void)
{
    struct ring *p = help_producer(&config);

    ck_assert_int_eq(help_write(p, 100, 1), 1);
    help_publish(p, 1);
    ring_close(&p);
}

/* Both ends and, where it can tell, the inspector refuse with the code; the text says so. */
static void
refused_by_all(enum err_code code, const char *text, bool inspector)
{
    struct ring_info info;
    struct err e = ERR_INIT;
    struct ring *r;
    bool created;

    ck_assert_int_eq(ring_open_consumer(&config, &r, &e), -1);
    ck_assert_msg(e.code == code && strstr(e.text, text) != NULL, "%s", help_text(&e));
    ck_assert_ptr_nonnull(strstr(e.text, help_path));
    ck_assert_ptr_null(r);
    ck_assert_int_eq(ring_open_producer(&config, &r, &created, &e), -1);
    ck_assert_msg(e.code == code && strstr(e.text, text) != NULL, "%s", help_text(&e));
    ck_assert_ptr_null(r);
    ck_assert(code != ERR_LAYOUT || e.hint[0] != '\0');
    if (inspector) {
        ck_assert_int_eq(ring_inspect(help_path, &info, &e), -1);
        ck_assert_msg(e.code == code && strstr(e.text, text) != NULL, "%s", help_text(&e));
    }
}

START_TEST(created_with_care)
{
    struct ring *p;
    struct err e = ERR_INIT;
    struct stat st;
    bool created;
    mode_t old = umask(077);

    ck_assert_int_eq(ring_open_producer(&config, &p, &created, &e), 0);
    (void)umask(old);
    ck_assert(created);
    ck_assert_int_eq(stat(help_path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    ck_assert_int_eq(st.st_size, RING_HEADER_BYTES + SMALL_RING);
    ck_assert_int_ge(st.st_blocks * 512, RING_HEADER_BYTES + SMALL_RING); /* not sparse */
    ck_assert_uint_eq(st.st_nlink, 1);
    ck_assert_uint_ne(ring_epoch(p), 0);
    ck_assert((fcntl(p->fd, F_GETFD) & FD_CLOEXEC) != 0);
    ring_close(&p);
    ck_assert_ptr_null(p);
    config.capacity *= 4; /* a good ring keeps its own */
    ck_assert_int_eq(ring_open_producer(&config, &p, &created, &e), 0);
    ck_assert(!created);
    ck_assert_uint_eq(ring_capacity(p), SMALL_RING);
    ring_close(&p);
}
END_TEST

START_TEST(config_is_checked)
{
    static const uint64_t bad[] = {0, SMALL_RING - 1, SMALL_RING / 2, SMALL_RING * 3, 1ULL << 31};
    struct err e = ERR_INIT;
    struct ring *p;
    bool created;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        config.capacity = bad[i];
        ck_assert_int_eq(ring_open_producer(&config, &p, &created, &e), -1);
        ck_assert_int_eq(e.code, ERR_CONFIG);
    }
    config = help_config(SMALL_RING);
    config.name = "a name of more than thirty-one bytes";
    ck_assert_int_eq(ring_open_producer(&config, &p, &created, &e), -1);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    ck_assert_int_ne(access(help_path, F_OK), 0);
}
END_TEST

START_TEST(consumer_waits_for_the_file)
{
    struct err e = ERR_INIT;
    struct ring *r;

    ck_assert_int_eq(ring_open_consumer(&config, &r, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

START_TEST(place_is_checked)
{
    struct ring *r;
    struct err e = ERR_INIT;
    char target[128];

    make_ring();
    ck_assert_int_eq(chmod(help_path, 0666), 0);
    refused_by_all(ERR_ACCESS, "mode 0666", false);
    ck_assert_int_eq(chmod(help_path, 0640), 0);

    ck_assert_int_eq(chmod(help_dir, 0757), 0);
    ck_assert_int_eq(ring_open_consumer(&config, &r, &e), -1);
    ck_assert_int_eq(e.code, ERR_ACCESS);
    ck_assert_ptr_nonnull(strstr(e.text, "anybody can write"));
    ck_assert_int_eq(chmod(help_dir, 0750), 0);

    (void)snprintf(target, sizeof(target), "%s.target", help_path);
    ck_assert_int_eq(rename(help_path, target), 0);
    ck_assert_int_eq(symlink(target, help_path), 0);
    refused_by_all(ERR_ACCESS, "symbolic link", false);
    ck_assert_int_eq(unlink(help_path), 0);
    ck_assert_int_eq(unlink(target), 0);

    ck_assert_int_eq(mkfifo(help_path, 0640), 0);
    refused_by_all(ERR_ACCESS, "not a regular file", false);
    if (geteuid() == 0) {
        ck_assert_int_eq(unlink(help_path), 0);
        make_ring();
        ck_assert_int_eq(chown(help_path, 12345, 0), 0);
        refused_by_all(ERR_ACCESS, "belongs to user 12345", false);
    }
}
END_TEST

START_TEST(truncated_is_refused)
{
    static const struct {
        off_t size;
        const char *text;
    } cases[] = {
        {0, "truncated"},
        {50, "truncated"},
        {4095, "truncated"},
        {4096, "truncated: found 4096 bytes, expected 12288"},
        {4096 + SMALL_RING - 1, "truncated"},
        {4096 + SMALL_RING + 1, "too long"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)unlink(help_path);
        make_ring();
        ck_assert_int_eq(truncate(help_path, cases[i].size), 0);
        refused_by_all(ERR_LAYOUT, cases[i].text, true);
    }
}
END_TEST

/* Recomputes the checksum: what is refused then is refused for its own sake. */
static void
reseal(struct ring_header *h)
{
    h->identity.crc32c = crc32c(0, &h->identity, offsetof(struct ring_identity, crc32c));
}

START_TEST(foreign_and_other_versions_are_refused)
{
    struct ring_header *h;
    struct ring_identity saved;

    make_ring();
    h = map_header();
    saved = h->identity;

    memset(&h->identity, 0, sizeof(h->identity));
    refused_by_all(ERR_LAYOUT, "was zeroed", true);
    memcpy(&h->identity, "SQLite format 3", 16);
    refused_by_all(ERR_LAYOUT, "is not a ring file", true);
    h->identity = saved;

    h->identity.major = 2;
    reseal(h);
    refused_by_all(ERR_LAYOUT, "layout version 2.0", true);
    h->identity = saved;

    h->identity.flags |= 0x80;
    reseal(h);
    refused_by_all(ERR_LAYOUT, "flags 0x81", true);
    h->identity = saved;

    h->identity.capacity = 3 * 4096;
    reseal(h);
    refused_by_all(ERR_LAYOUT, "capacity of 12288", true);
    h->identity = saved;

    config.generation = 0x99;
    refused_by_all(ERR_LAYOUT, "another generation of the task: found 0x0000000000000077", false);
    config.generation = 0x77;
    config.record_format = 4;
    refused_by_all(ERR_LAYOUT, "format 3, this program expected format 4", false);
    config.record_format = 3;

    h->identity.minor = 9; /* additions are no reason to refuse */
    reseal(h);
    {
        struct ring *p = help_producer(&config);

        ring_close(&p);
    }
    (void)munmap(h, RING_HEADER_BYTES);
}
END_TEST

/* I10: every single bit of the identity line counts. */
START_TEST(every_flipped_bit_is_refused)
{
    struct ring_header *h;
    uint8_t *byte;

    make_ring();
    h = map_header();
    byte = (uint8_t *)h;
    for (size_t bit = 0; bit < 8 * (offsetof(struct ring_identity, crc32c) + 4); bit++) {
        byte[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        refused_by_all(ERR_LAYOUT, "", true);
        byte[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    {
        struct ring *p = help_producer(&config);

        ring_close(&p);
    }
    (void)munmap(h, RING_HEADER_BYTES);
}
END_TEST

/* Positions and slots that make no sense: corrupt, poisoned, and replaced at the next start. */
static void
corrupt_then_replaced(const char *text)
{
    struct err e = ERR_INIT;
    struct ring_source source;
    struct ring *r;
    bool created;

    ck_assert_int_eq(ring_open_producer(&config, &r, &created, &e), -1);
    ck_assert_msg(e.code == ERR_CORRUPT && strstr(e.text, text) != NULL, "%s", help_text(&e));
    ck_assert_int_eq(ring_open_consumer(&config, &r, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOT_FOUND); /* a poisoned ring is not there any more */
    ck_assert_int_eq(ring_open_producer(&config, &r, &created, &e), 0);
    ck_assert(created);
    ck_assert(!ring_source(r, &source));
    ring_close(&r);
}

START_TEST(senseless_positions_are_corrupt)
{
    struct ring_header *h;

    make_ring();
    h = map_header();
    atomic_store(&h->consumer.pos, 4096); /* beyond tail */
    corrupt_then_replaced("release 4096");
    (void)munmap(h, RING_HEADER_BYTES);

    (void)unlink(help_path);
    make_ring();
    h = map_header();
    atomic_store(&h->producer.pos, SMALL_RING + 32);
    corrupt_then_replaced("apart");
    (void)munmap(h, RING_HEADER_BYTES);

    (void)unlink(help_path);
    make_ring();
    h = map_header();
    atomic_store(&h->consumer.pos, 8);
    corrupt_then_replaced("not a record boundary");
    (void)munmap(h, RING_HEADER_BYTES);
}
END_TEST

/* Every bit of both slots: the one in force must be whole, the other one does not matter. */
START_TEST(damaged_slot_is_corrupt)
{
    struct ring_header *h;

    for (size_t bit = 0; bit < 8 * sizeof(h->producer_slots); bit += 3) {
        struct err e = ERR_INIT;
        struct ring *p;
        bool created;
        bool in_force;
        uint8_t *slots;

        (void)unlink(help_path);
        make_ring();
        h = map_header();
        slots = (uint8_t *)h->producer_slots;
        in_force = (bit / 8) / sizeof(struct ring_slot) == 1; /* creation used slot 0 */
        slots[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        ck_assert_int_eq(ring_open_producer(&config, &p, &created, &e), in_force ? -1 : 0);
        ck_assert_int_eq(e.code, in_force ? ERR_CORRUPT : ERR_NONE);
        ck_assert(!in_force || strstr(e.text, "no commit slot belongs to tail 160") != NULL);
        ring_close(&p);
        (void)munmap(h, RING_HEADER_BYTES);
    }
}
END_TEST

/* A consumer finds the nonsense first: it poisons too, so that the producer replaces. */
START_TEST(consumer_poisons_nonsense)
{
    struct ring_header *h;
    struct err e = ERR_INIT;
    struct ring *r;
    bool created;

    make_ring();
    h = map_header();
    atomic_store(&h->consumer.pos, 4096);
    (void)munmap(h, RING_HEADER_BYTES);
    ck_assert_int_eq(ring_open_consumer(&config, &r, &e), -1);
    ck_assert_int_eq(e.code, ERR_CORRUPT);
    ck_assert_int_eq(ring_open_producer(&config, &r, &created, &e), 0);
    ck_assert(created);
    ring_close(&r);
}
END_TEST

/* A consumer on the old ring drains it and learns that there is a new one. */
START_TEST(poisoned_is_replaced_under_its_consumer)
{
    struct err e = ERR_INIT;
    struct ring *c;
    struct ring *p = help_producer(&config);
    struct ring *again;
    uint64_t epoch = ring_epoch(p);
    bool created;

    ck_assert_int_eq(help_write(p, 10, 1), 1);
    help_publish(p, 1);
    c = help_consumer(&config);
    ring_poison(c, 7);
    ring_close(&p);
    ck_assert_int_eq(ring_open_producer(&config, &p, &created, &e), 0);
    ck_assert(created);
    ck_assert_uint_ne(ring_epoch(p), epoch);
    (void)help_read(c, 10, 1);
    ck_assert_int_eq(ring_heartbeat(c, &e), -1);
    ck_assert_int_eq(ring_open_consumer(&config, &again, &e), 0); /* the new ring's end is free */
    ring_close(&again);
    ck_assert_uint_eq(atomic_load(&c->header->state.successor_epoch), ring_epoch(p));
    ring_close(&c);
    ring_close(&p);
}
END_TEST

START_TEST(removed_file_is_noticed)
{
    struct err e = ERR_INIT;
    struct ring *p = help_producer(&config);
    struct ring *c = help_consumer(&config);

    ck_assert_int_eq(ring_heartbeat(p, &e), 0);
    ck_assert_int_gt(atomic_load(&p->header->producer_owner.heartbeat_ns), 0);
    ck_assert_int_eq(unlink(help_path), 0);
    ck_assert_int_eq(ring_heartbeat(p, &e), -1);
    ck_assert_int_eq(e.code, ERR_RETIRED);
    ck_assert_int_eq(ring_heartbeat(c, &e), -1);
    ck_assert_int_eq(e.code, ERR_RETIRED);
    ring_close(&p);
    ring_close(&c);
}
END_TEST

/* I7 */

static void
busy_names(enum ring_role role, pid_t pid)
{
    struct err e = ERR_INIT;
    struct ring *r;
    char want[64];
    bool created;

    (void)snprintf(want, sizeof(want), "process %d", (int)pid);
    if (role == RING_PRODUCER)
        ck_assert_int_eq(ring_open_producer(&config, &r, &created, &e), -1);
    else
        ck_assert_int_eq(ring_open_consumer(&config, &r, &e), -1);
    ck_assert_int_eq(e.code, ERR_BUSY);
    ck_assert_msg(strstr(e.text, want) != NULL, "%s does not name %s", e.text, want);
}

START_TEST(stopped_holder_keeps_its_end)
{
    pid_t pid = help_start_holder(&config);
    int status;

    busy_names(RING_PRODUCER, pid);
    busy_names(RING_CONSUMER, pid);
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    ck_assert(WIFSTOPPED(status));
    busy_names(RING_PRODUCER, pid);
    busy_names(RING_CONSUMER, pid);
    help_end_child(pid);
    {
        struct ring *p = help_producer(&config);
        struct ring *c = help_consumer(&config);

        ring_close(&p);
        ring_close(&c);
    }
}
END_TEST

/* A forked child that did not exec still has the mapping, so it keeps the lock: it fails safe. */
START_TEST(forked_child_keeps_the_end)
{
    struct ring *p = help_producer(&config);
    pid_t pid = help_fork();

    if (pid == 0)
        for (;;)
            (void)pause();
    ring_close(&p);
    busy_names(RING_PRODUCER, getpid());
    help_end_child(pid);
    p = help_producer(&config);
    ring_close(&p);
}
END_TEST

#define RACERS 4
#define RACES  1000

struct race {
    atomic_int arrived;
    atomic_int round;
    atomic_int winners[2];
    atomic_int odd_errors;
};

/* All racers leave together; the last one to arrive opens the gate. */
static void
gate(struct race *race, int *round)
{
    (*round)++;
    if (atomic_fetch_add(&race->arrived, 1) == RACERS - 1) {
        atomic_store(&race->arrived, 0);
        atomic_store(&race->round, *round);
    }
    while (atomic_load(&race->round) < *round)
        (void)sched_yield();
}

static void
racer(struct race *race, int me)
{
    int round = 0;

    for (int i = 0; i < RACES; i++) {
        struct err e = ERR_INIT;
        struct ring *p = NULL;
        struct ring *c = NULL;
        bool created;

        gate(race, &round);
        if (me == 0) {
            if (i % 2 == 0)
                (void)unlink(help_path); /* who creates it? */
            else if (i % 5 == 0) {
                struct ring *old = help_producer(&config);

                ring_poison(old, 1); /* who replaces it? */
                ring_close(&old);
            }
        }
        gate(race, &round);
        if (ring_open_producer(&config, &p, &created, &e) == 0)
            atomic_fetch_add(&race->winners[0], 1);
        else if (e.code != ERR_BUSY)
            atomic_fetch_add(&race->odd_errors, 1);
        gate(race, &round);
        if (ring_open_consumer(&config, &c, &e) == 0)
            atomic_fetch_add(&race->winners[1], 1);
        else if (e.code != ERR_BUSY)
            atomic_fetch_add(&race->odd_errors, 1);
        gate(race, &round);
        if (atomic_load(&race->winners[0]) != i + 1 || atomic_load(&race->winners[1]) != i + 1)
            atomic_fetch_add(&race->odd_errors, 1);
        gate(race, &round);
        ring_close(&p);
        ring_close(&c);
    }
    _exit(0);
}

START_TEST(thousand_racing_starts)
{
    struct race *race =
        mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[RACERS];
    char left[128];

    ck_assert_ptr_ne(race, MAP_FAILED);
    for (int i = 0; i < RACERS; i++) {
        pids[i] = help_fork();
        if (pids[i] == 0)
            racer(race, i);
    }
    for (int i = 0; i < RACERS; i++) {
        int status;

        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(atomic_load(&race->winners[0]), RACES);
    ck_assert_int_eq(atomic_load(&race->winners[1]), RACES);
    ck_assert_int_eq(atomic_load(&race->odd_errors), 0);
    (void)snprintf(left, sizeof(left), "%s.new", help_path);
    ck_assert_int_ne(access(left, F_OK), 0);
}
END_TEST

/* Killed at each step of creation: the next producer finds its way and leaves one file. */
START_TEST(creator_dies_anywhere)
{
    char left[128];
    int deaths = 0;

    (void)snprintf(left, sizeof(left), "%s.new", help_path);
    for (int hit = 1;; hit++) {
        struct ring *p;
        struct stat st;
        int status;
        pid_t pid;

        (void)unlink(help_path);
        pid = help_fork();
        if (pid == 0) {
            char rule[32];

            (void)snprintf(rule, sizeof(rule), "*:%d", hit);
            (void)setenv("WEIR_CRASH", rule, 1);
            fault_reload();
            p = help_producer(&config);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status))
            break;
        deaths++;
        p = help_producer(&config);
        ck_assert_int_eq(help_write(p, 10, 1), 1);
        help_publish(p, 1);
        ring_close(&p);
        ck_assert_int_ne(access(left, F_OK), 0);
        ck_assert_int_eq(stat(help_path, &st), 0);
        ck_assert_uint_eq(st.st_nlink, 1);
    }
    ck_assert_int_gt(deaths, 15);
}
END_TEST

/* T10 */
START_TEST(no_space_injected)
{
    struct err e = ERR_INIT;
    struct ring *p;
    char rule[64];
    bool created;

    (void)snprintf(rule, sizeof(rule), "ring.fallocate:0:%d", ENOSPC);
    (void)setenv("WEIR_FAULT", rule, 1);
    fault_reload();
    ck_assert_int_eq(ring_open_producer(&config, &p, &created, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOSPACE);
    ck_assert_ptr_nonnull(strstr(e.text, help_path));
    ck_assert_ptr_nonnull(strstr(e.text, "12288 bytes"));
    ck_assert_ptr_nonnull(strstr(e.hint, "Weir.ChangeRingSize"));
    ck_assert_ptr_nonnull(strstr(e.hint, "Weir.RecordRingSize"));
    ck_assert_ptr_nonnull(strstr(e.hint, "tmpfs"));
    (void)unsetenv("WEIR_FAULT");
    fault_reload();
    p = help_producer(&config);
    ring_close(&p);
}
END_TEST

/* T10 with a real tmpfs of 1 MiB, where we may mount one. */
START_TEST(no_space_for_real)
{
    char dir[96];
    char path[128];
    struct err e = ERR_INIT;
    struct ring *p;
    bool created;
    int rc;

    (void)snprintf(dir, sizeof(dir), "%s/small", help_dir);
    ck_assert(mkdir(dir, 0750) == 0 || errno == EEXIST);
    if (mount("weir-test", dir, "tmpfs", 0, "size=1m,mode=0750") != 0) {
        (void)fprintf(stderr, "no_space_for_real: skipped, may not mount a tmpfs here\n");
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/ring", dir);
    config.path = path;
    config.capacity = RING_CAPACITY_MIN;
    rc = ring_open_producer(&config, &p, &created, &e);
    if (rc == -1 && e.code == ERR_NOSPACE) {
        config.capacity = RING_CAPACITY_MIN / 4; /* nothing was left behind: a smaller one fits */
        rc = ring_open_producer(&config, &p, &created, &e) == 0 ? 1 : 2;
        ring_close(&p);
    }
    config.path = help_path;
    ck_assert_int_eq(umount2(dir, MNT_DETACH), 0);
    ck_assert_msg(rc == 1, "rc %d: %s", rc, help_text(&e));
}
END_TEST

static Suite *
suite(void)
{
    Suite *s = suite_create("ring_attach");
    TCase *t = tcase_create("attach");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, created_with_care);
    tcase_add_test(t, config_is_checked);
    tcase_add_test(t, consumer_waits_for_the_file);
    tcase_add_test(t, place_is_checked);
    tcase_add_test(t, truncated_is_refused);
    tcase_add_test(t, foreign_and_other_versions_are_refused);
    tcase_add_test(t, every_flipped_bit_is_refused);
    tcase_add_test(t, senseless_positions_are_corrupt);
    tcase_add_test(t, damaged_slot_is_corrupt);
    tcase_add_test(t, consumer_poisons_nonsense);
    tcase_add_test(t, poisoned_is_replaced_under_its_consumer);
    tcase_add_test(t, removed_file_is_noticed);
    tcase_add_test(t, stopped_holder_keeps_its_end);
    tcase_add_test(t, forked_child_keeps_the_end);
    tcase_add_test(t, thousand_racing_starts);
    tcase_add_test(t, creator_dies_anywhere);
    tcase_add_test(t, no_space_injected);
    tcase_add_test(t, no_space_for_real);
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
