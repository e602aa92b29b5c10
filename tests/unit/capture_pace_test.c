/* The pauses between two looks at the log: their bounds and their growth, without a clock. */
/* uses: capture aws */
/* wrap: output_position output_beat output_state stage_sleep stage_stopping */
#include "capture/capture_internal.h"
#include "common/err.h"
#include "common/task.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOKS_MAX 64

enum look { IDLE, NEW, MORE };

static struct {
    enum look looks[LOOKS_MAX];
    uint32_t pauses[LOOKS_MAX]; /* slept before each look; [0] = 0 */
    size_t n;
    size_t at;
    struct position position;
} script;

const struct position *__wrap_output_position(const struct output *o);
int __wrap_output_beat(struct output *o, struct err *e);
void __wrap_output_state(struct output *o, enum stage_state state);
bool __wrap_stage_sleep(const struct stage *stage, uint32_t ms);
bool __wrap_stage_stopping(const struct stage *stage);

const struct position *
__wrap_output_position(const struct output *o)
{
    (void)o;
    return &script.position;
}

int
__wrap_output_beat(struct output *o, struct err *e)
{
    (void)o;
    (void)e;
    return 0;
}

void
__wrap_output_state(struct output *o, enum stage_state state)
{
    (void)o;
    (void)state;
}

bool
__wrap_stage_sleep(const struct stage *stage, uint32_t ms)
{
    (void)stage;
    ck_assert_uint_le(ms, 100); /* heartbeats go on in long pauses */
    script.pauses[script.at] += ms;
    return false;
}

bool
__wrap_stage_stopping(const struct stage *stage)
{
    (void)stage;
    return false;
}

static int
follow(struct source *s, const struct position *from, const struct source_sink *sink,
       struct source_status *status, struct err *e)
{
    (void)s;
    (void)from;
    (void)sink;
    if (script.at == script.n)
        return err_set(e, ERR_STOPPED, "the script is over");
    status->more = script.looks[script.at] == MORE;
    if (script.looks[script.at] != IDLE)
        script.position.b[POSITION_SIZE - 1]++;
    script.at++;
    return 0;
}

static void
run(uint32_t longest_ms, const char *looks)
{
    static const struct source_engine engine = {.name = "fake", .follow = follow};
    struct task task = {.weir = {.poll_interval_ms = longest_ms}};
    struct stats *stats = NULL;
    struct stage stage = {.task = &task, .stop_fd = -1};
    struct capture c = {.stage = &stage, .task = &task, .engine = &engine};
    char path[64];
    struct err e = ERR_INIT;

    memset(&script, 0, sizeof(script));
    for (; *looks != '\0'; looks++)
        script.looks[script.n++] = *looks == 'm' ? MORE : *looks == 'n' ? NEW : IDLE;
    (void)snprintf(path, sizeof(path), "/tmp/weir-pace-%d", (int)getpid());
    ck_assert_int_eq(
        stats_create(
            &(struct stats_config){.path = path, .stage = "capture", .task = "t", .tables = 1},
            &stats, &e),
        0);
    stage.stats = stats;
    ck_assert_int_eq(follow_run(&c, &e), -1);
    ck_assert_int_eq(e.code, ERR_STOPPED);
    stats_close(&stats);
    (void)unlink(path);
}

static void
check_pauses(size_t n, const uint32_t *expected)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(script.pauses[i] == expected[i], "pause %zu is %u, not %u", i,
                      script.pauses[i], expected[i]);
}

START_TEST(pauses_double_up_to_the_setting)
{
    run(50, "iiiiiiii");
    check_pauses(9, (const uint32_t[]){0, 2, 4, 8, 16, 32, 50, 50, 50});
    run(500, "iiiiiiiiii");
    check_pauses(11, (const uint32_t[]){0, 2, 4, 8, 16, 32, 64, 128, 256, 500, 500});
}
END_TEST

START_TEST(something_new_makes_them_short_again)
{
    run(50, "iiiinin");
    check_pauses(8, (const uint32_t[]){0, 2, 4, 8, 16, 2, 4, 2});
}
END_TEST

START_TEST(no_pause_while_there_is_more)
{
    run(50, "iiimmmn");
    check_pauses(8, (const uint32_t[]){0, 2, 4, 8, 0, 0, 0, 2});
}
END_TEST

START_TEST(the_shortest_setting_is_kept)
{
    run(1, "iin");
    check_pauses(4, (const uint32_t[]){0, 1, 1, 1});
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_pace");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, pauses_double_up_to_the_setting);
    tcase_add_test(tc, something_new_makes_them_short_again);
    tcase_add_test(tc, no_pause_while_there_is_more);
    tcase_add_test(tc, the_shortest_setting_is_kept);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
