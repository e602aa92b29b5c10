/*
 * Two threads over one mapping, for ThreadSanitizer (MODE=tsan): it keys on addresses, so
 * both handles must see the ring at the same place.  The payload is plain memory, and only
 * the four ordered accesses to the positions keep it from being a data race.
 */
#include "tests/unit/ring_help.h"

#include <pthread.h>

#define MESSAGES 30000

static struct ring *p;
static struct ring *c;

static void *
produce(void *arg)
{
    uint64_t seed = 11;

    (void)arg;
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        uint64_t len = help_random(&seed) % (i % 50 == 0 ? 3900 : 400);
        struct ring_meta meta = {.type = RING_DATA, .src_pos = i};
        struct ring_source source = {.words = {i}};
        struct err e = ERR_INIT;
        uint8_t data[4096];

        help_fill(data, len, i);
        while (ring_write(p, &meta, data, len, &e) == 0) {
            ring_publish(p, &source);
            (void)ring_wait_room(p, len, 1000);
        }
        if (i % 5 == 0)
            ring_publish(p, &source);
        if (i % 7001 == 0)
            (void)ring_heartbeat(p, &e);
    }
    ring_publish(p, &(struct ring_source){.words = {MESSAGES}});
    return NULL;
}

static void *
consume(void *arg)
{
    uint64_t *bad = arg;
    uint8_t want[4096];

    for (uint64_t i = 1; i <= MESSAGES;) {
        struct err e = ERR_INIT;
        struct ring_view v;
        int rc = ring_next(c, &v, &e);

        if (rc == 0)
            (void)ring_wait_data(&c, 1, 1000);
        if (rc < 0)
            (*bad)++;
        if (rc != 1)
            continue;
        help_fill(want, v.len, i);
        if (v.src_pos != i || memcmp(want, v.data, v.len) != 0)
            (*bad)++;
        ring_release(c, v.end);
        i++;
    }
    return NULL;
}

START_TEST(two_threads_one_mapping)
{
    struct ring_config config = help_config(SMALL_RING);
    struct err e = ERR_INIT;
    pthread_t threads[2];
    uint64_t bad = 0;

    p = help_producer(&config);
    ck_assert_int_eq(ring_handle_new(p->header, RING_CONSUMER, help_path, &c, &e), 0);
    ck_assert_int_eq(pthread_create(&threads[0], NULL, produce, NULL), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, consume, &bad), 0);
    ck_assert_int_eq(pthread_join(threads[0], NULL), 0);
    ck_assert_int_eq(pthread_join(threads[1], NULL), 0);
    ck_assert_uint_eq(bad, 0);
    ring_close(&c);
    ring_close(&p);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("ring_threads");
    TCase *t = tcase_create("threads");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, two_threads_one_mapping);
    suite_add_tcase(s, t);
    help_make_dir();
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    help_remove_dir();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
