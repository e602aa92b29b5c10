/* The third party that only looks: I1 and I10. */
#include "tests/unit/ring_help.h"

static struct ring_config config;

static void
setup(void)
{
    config = help_config(SMALL_RING);
    (void)unlink(help_path);
}

static void
make_ring(void)
{
    struct ring *p = help_producer(&config);

    ck_assert_int_eq(help_write(p, 100, 1), 1);
    help_publish(p, 1);
    ring_close(&p);
}

START_TEST(inspect_tells)
{
    struct err e = ERR_INIT;
    struct ring_info info;
    pid_t pid;

    ck_assert_int_eq(ring_inspect(help_path, &info, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOT_FOUND);
    make_ring();
    ck_assert_int_eq(chmod(help_path, 0440), 0); /* a reader needs no more */
    ck_assert_int_eq(ring_inspect(help_path, &info, &e), 0);
    ck_assert_int_eq(chmod(help_path, 0640), 0);
    ck_assert_str_eq(info.name, "test.0");
    ck_assert_uint_eq(info.capacity, SMALL_RING);
    ck_assert_uint_eq(info.generation, 0x77);
    ck_assert_uint_eq(info.tail, ring_record_size(100));
    ck_assert_uint_eq(info.release, 0);
    ck_assert_uint_eq(info.source.words[3], 4);
    ck_assert(!info.producer_alive && !info.consumer_alive);
    pid = help_start_holder(&config);
    ck_assert_int_eq(ring_inspect(help_path, &info, &e), 0);
    ck_assert(info.producer_alive && info.consumer_alive);
    ck_assert_int_eq(info.producer_pid, pid);
    ck_assert_int_eq(info.consumer_pid, pid);
    ck_assert_int_gt(info.producer_heartbeat_ns, 0);
    help_end_child(pid);
    ck_assert_int_eq(ring_inspect(help_path, &info, &e), 0);
    ck_assert(!info.producer_alive && !info.consumer_alive);
}
END_TEST

/* I1, I10: looks while both ends run; what it sees always belongs together. */
START_TEST(inspect_while_it_moves)
{
    struct ring *p = help_producer(&config);
    struct ring *c = help_consumer(&config);
    struct err e = ERR_INIT;
    struct ring_info info = {.tail = 0};
    struct stat before;
    struct stat after;
    uint64_t tail = 0;
    uint64_t release = 0;
    pid_t pid;

    ck_assert_int_eq(stat(help_path, &before), 0);
    pid = help_fork();
    if (pid == 0) {
        for (;;) {
            uint64_t seq = p->seq + 1;
            uint64_t end = p->pos + ring_message_need(p, seq % 700);

            if (help_write(p, seq % 700, seq) == 1)
                help_publish(p, end);
            else
                while (ring_has_data(c))
                    ring_release(c, help_read(c, (c->seq + 1) % 700, c->seq + 1).end);
        }
    }
    for (int i = 0; i < 20000; i++) {
        ck_assert_msg(ring_inspect(help_path, &info, &e) == 0, "%s", help_text(&e));
        ck_assert_uint_ge(info.tail, tail);
        ck_assert_uint_ge(info.release, release);
        ck_assert_uint_le(info.release, info.tail);
        ck_assert_uint_le(info.tail - info.release, SMALL_RING);
        ck_assert(info.tail == 0 || info.source.words[0] == info.tail);
        tail = info.tail;
        release = info.release;
    }
    help_end_child(pid);
    ck_assert_uint_gt(tail, 10 * SMALL_RING);
    ck_assert_int_eq(stat(help_path, &after), 0);
    ck_assert_int_eq(before.st_size, after.st_size);
    ring_close(&p);
    ring_close(&c);
}
END_TEST

static Suite *
suite(void)
{
    Suite *s = suite_create("ring_inspect");
    TCase *t = tcase_create("inspect");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, inspect_tells);
    tcase_add_test(t, inspect_while_it_moves);
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
