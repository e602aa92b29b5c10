/* The channel over a ring: what goes in comes out, and the calls reach the ring. */
#include "common/channel.h"
#include "tests/unit/ring_help.h"

static struct channel_config config;

static void
setup(void)
{
    (void)unlink(help_path);
    config = (struct channel_config){.ring = help_config(SMALL_RING)};
}

static struct channel *
open_producer(void)
{
    struct err e = ERR_INIT;
    struct channel *c;
    bool created;

    ck_assert_msg(channel_open_producer(&config, &c, &created, &e) == 0, "%s", help_text(&e));
    return c;
}

START_TEST(carries_records_and_source)
{
    struct ring_meta meta = {.type = RING_CONTROL, .flags = RING_TXN_END, .src_pos = 8};
    struct ring_source source = {.epoch = 3, .words = {4, 5, 6, 7}};
    struct ring_source got;
    struct err e = ERR_INIT;
    struct channel *p = open_producer();
    struct channel *c;
    struct ring_view v;
    uint8_t data[3000];
    void *at;

    ck_assert_int_eq(channel_open_consumer(&config, &c, &e), 0);
    ck_assert_uint_eq(channel_epoch(p), channel_epoch(c));
    ck_assert(!channel_source(p, &got));
    ck_assert_int_eq(channel_reserve(p, 100, &at, &e), 1);
    memset(at, 'a', 100);
    channel_commit(p, &meta, 100);
    help_fill(data, sizeof(data), 1);
    ck_assert_uint_gt(sizeof(data), channel_max_record(p));
    ck_assert_int_eq(channel_write(p, &meta, data, sizeof(data), &e), 1);
    ck_assert_int_eq(channel_write(p, &meta, data, channel_max_message(p) + 1, &e), -1);
    ck_assert_uint_gt(channel_pending(p), 3100);
    ck_assert(!channel_publish_due(p));
    ck_assert_int_eq(channel_next(c, &v, &e), 0);
    ck_assert(!channel_wait_data(&c, 1, 0));
    channel_publish(p, &source);
    ck_assert(channel_source(p, &got));
    ck_assert_uint_eq(got.words[3], 7);
    ck_assert(channel_wait_data(&c, 1, 1000));
    ck_assert_int_eq(channel_next(c, &v, &e), 1);
    ck_assert_uint_eq(v.len, 100);
    ck_assert_uint_eq(v.flags, RING_TXN_END);
    ck_assert_int_eq(channel_next(c, &v, &e), 1);
    ck_assert_uint_eq(v.len, sizeof(data));
    ck_assert_int_eq(memcmp(v.data, data, sizeof(data)), 0);
    ck_assert_uint_gt(channel_backlog(c), 3100);
    channel_release(c, v.end);
    ck_assert_int_eq(channel_heartbeat(c, &e), 0);
    ck_assert_uint_eq(channel_backlog(p), 0);
    ck_assert(channel_wait_room(p, channel_max_message(p), 0));
    channel_poison(c, 3);
    ck_assert_int_eq(channel_heartbeat(p, &e), -1);
    ck_assert_int_eq(e.code, ERR_CORRUPT);
    channel_close(&p);
    channel_close(&c);
    ck_assert_ptr_null(p);
}
END_TEST

START_TEST(second_producer_is_refused)
{
    struct err e = ERR_INIT;
    struct channel *p = open_producer();
    struct channel *other;
    bool created;

    ck_assert_int_eq(channel_open_producer(&config, &other, &created, &e), -1);
    ck_assert_int_eq(e.code, ERR_BUSY);
    ck_assert_ptr_null(other);
    channel_close(&other); /* of nothing: harmless */
    channel_close(&p);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("channel");
    TCase *t = tcase_create("channel");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, carries_records_and_source);
    tcase_add_test(t, second_producer_is_refused);
    suite_add_tcase(s, t);
    help_make_dir();
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    help_remove_dir();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
