/* Statistics files: what is written is read, through deaths, restarts and damage. */
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/stats.h"
#include "common/stats_internal.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64];
static char path[128];

static void
setup(void)
{
    (void)snprintf(directory, sizeof(directory), "/dev/shm/weir-stats-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/stats.capture", directory);
}

static void
teardown(void)
{
    static const char *const names[] = {"stats.capture", "stats.capture.prev", "stats.capture.new"};
    char name[192];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(name, sizeof(name), "%s/%s", directory, names[i]);
        (void)unlink(name);
    }
    ck_assert_int_eq(rmdir(directory), 0);
}

static const struct stats_config *
config_of(uint32_t tables)
{
    static struct stats_config config;

    config = (struct stats_config){
        .path = path, .stage = "capture", .task = "invoices", .tables = tables};
    return &config;
}

static struct stats *
created(uint32_t tables)
{
    struct err e = ERR_INIT;
    struct stats *s;

    ck_assert_msg(stats_create(config_of(tables), &s, &e) == 0, "%s", e.text);
    return s;
}

static struct stats_view *
opened(void)
{
    struct err e = ERR_INIT;
    struct stats_view *v;

    ck_assert_msg(stats_open(path, &v, &e) == 0, "%s", e.text);
    return v;
}

static struct stats_position
position_of(uint64_t n)
{
    struct stats_position p = {.commit_real_ns = (int64_t)n, .seen_mono_ns = (int64_t)n};

    for (size_t i = 0; i < POSITION_SIZE; i++)
        p.position.b[i] = (uint8_t)(n >> (8 * (i % 8)));
    return p;
}

/* ---- writing and reading ---- */

START_TEST(test_everything_written_is_read)
{
    struct stats *s = created(8);
    struct stats_view *v = opened();
    struct stats_summary sum;
    struct stats_table_view t;
    struct stats_position p = position_of(77);
    struct stats_table *table = stats_table(s, 5, "dbo.invoices");

    stats_add(s, STAT_ROWS_IN, 3);
    stats_add(s, STAT_ROWS_IN, 4);
    stats_set(s, STAT_UNACKED, 9);
    stats_state(s, STATE_STREAMING);
    stats_beat(s, clock_mono_ns());
    stats_position(s, NULL, &p);
    stats_table_add(table, TSTAT_INSERTS, 2);
    stats_table_set(table, TSTAT_FULL_LOAD_ROWS, 10);
    stats_table_state(table, TABLE_COMPLETED);
    p = position_of(78);
    stats_position(s, table, &p);

    stats_view_summary(v, &sum);
    ck_assert_str_eq(sum.stage, "capture");
    ck_assert_str_eq(sum.task, "invoices");
    ck_assert_int_eq(sum.pid, getpid());
    ck_assert(sum.alive);
    ck_assert_int_eq(sum.state, STATE_STREAMING);
    ck_assert_uint_eq(sum.counters[STAT_ROWS_IN], 7);
    ck_assert_uint_eq(sum.counters[STAT_UNACKED], 9);
    ck_assert_uint_eq(sum.counters[STAT_LOOPS], 1);
    ck_assert_uint_gt(sum.counters[STAT_RSS_BYTES], 0);
    ck_assert_int_ge(sum.heartbeat_age_ns, 0);
    ck_assert_int_lt(sum.heartbeat_age_ns, 60 * NS_PER_S);
    ck_assert_int_eq(sum.position.commit_real_ns, 77);
    ck_assert(!sum.position_torn);

    ck_assert(stats_view_table(v, 0, &t));
    ck_assert_uint_eq(t.table_id, 5);
    ck_assert_str_eq(t.name, "dbo.invoices");
    ck_assert_int_eq(t.state, TABLE_COMPLETED);
    ck_assert_uint_eq(t.counters[TSTAT_INSERTS], 2);
    ck_assert_uint_eq(t.counters[TSTAT_FULL_LOAD_ROWS], 10);
    ck_assert_int_eq(t.position.commit_real_ns, 78);
    ck_assert(!stats_view_table(v, 1, &t));

    stats_close(&s);
    ck_assert_ptr_null(s);
    stats_view_summary(v, &sum);
    ck_assert(!sum.alive); /* the lock went with the process' end of it */
    stats_view_close(&v);
}
END_TEST

START_TEST(test_loop_times)
{
    struct stats *s = created(1);
    struct stats_view *v = opened();
    struct stats_summary sum;

    stats_beat(s, 1000 * NS_PER_S);
    stats_beat(s, 1000 * NS_PER_S + 5 * NS_PER_MS);
    stats_beat(s, 1002 * NS_PER_S);
    stats_view_summary(v, &sum);
    ck_assert_uint_eq(sum.max_loop_ns, 1995 * (uint64_t)NS_PER_MS);
    ck_assert_uint_eq(sum.slow_loops, 1);
    ck_assert_uint_eq(sum.counters[STAT_LOOPS], 3);
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

START_TEST(test_table_names)
{
    struct stats *s = created(8);
    struct stats_view *v = opened();
    struct stats_table_view t;
    char name[400];
    char cut[257];

    /* 1 + 2 * 199 bytes: the 256th byte is the first half of a letter. */
    name[0] = 'x';
    for (size_t i = 0; i < 199; i++)
        memcpy(name + 1 + 2 * i, "\xC3\xA4", 2);
    name[399] = '\0';
    (void)stats_table(s, 1, "f\xC3\xBC.\xE8\xA1\xA8");
    (void)stats_table(s, 2, name);
    ck_assert(stats_view_table(v, 0, &t));
    ck_assert_str_eq(t.name, "f\xC3\xBC.\xE8\xA1\xA8");
    ck_assert(stats_view_table(v, 1, &t));
    memcpy(cut, name, 255);
    cut[255] = '\0';
    ck_assert_str_eq(t.name, cut); /* whole letters only */
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

START_TEST(test_capacity_and_others)
{
    struct stats *s = created(4096);
    struct stats_view *v = opened();
    struct stats_table_view t;
    struct stats_table *first = NULL;
    struct stats_table *others;
    char name[32];

    for (uint32_t i = 1; i <= 4096; i++) {
        struct stats_table *one;

        (void)snprintf(name, sizeof(name), "dbo.t%u", i);
        one = stats_table(s, i * 7919U, name);
        stats_table_add(one, TSTAT_INSERTS, i);
        if (i == 1)
            first = one;
        ck_assert_ptr_eq(stats_table(s, i * 7919U, name), one);
    }
    ck_assert_ptr_eq(stats_table(s, 7919U, "dbo.t1"), first);
    others = stats_table(s, 1, "dbo.late");
    ck_assert_ptr_eq(stats_table(s, 2, "dbo.later"), others);
    stats_table_add(others, TSTAT_INSERTS, 5);
    for (uint32_t i = 0; i < 4096; i++) {
        ck_assert(stats_view_table(v, i, &t));
        ck_assert_uint_eq(t.counters[TSTAT_INSERTS], i + 1);
    }
    ck_assert(stats_view_table(v, 4096, &t));
    ck_assert_str_eq(t.name, "(others)");
    ck_assert_uint_eq(t.counters[TSTAT_INSERTS], 5);
    ck_assert(!stats_view_table(v, 4097, &t));
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

START_TEST(test_an_id_given_anew)
{
    struct stats *s = created(4);
    struct stats_view *v = opened();
    struct stats_table_view t;
    struct stats_table *old = stats_table(s, 1, "dbo.a");
    struct stats_table *new = stats_table(s, 1, "dbo.b");

    ck_assert_ptr_ne(old, new);
    ck_assert_ptr_eq(stats_table(s, 1, "dbo.b"), new);
    ck_assert(stats_view_table(v, 0, &t) && t.is_retired);
    ck_assert(stats_view_table(v, 1, &t) && !t.is_retired);
    ck_assert_str_eq(t.name, "dbo.b");
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

/* ---- histograms ---- */

START_TEST(test_buckets)
{
    uint64_t v = 0;
    uint32_t last = 0;

    for (uint32_t b = 0; b + 1 < STATS_HIST_BUCKETS; b++) {
        uint64_t top = stats_bucket_top(b);

        ck_assert_uint_eq(stats_bucket(top), b);
        ck_assert_uint_eq(stats_bucket(top + 1), b + 1);
    }
    ck_assert_uint_eq(stats_bucket(UINT64_MAX), STATS_HIST_BUCKETS - 1);
    ck_assert_uint_eq(stats_bucket_top(STATS_HIST_BUCKETS - 1), UINT64_MAX);
    for (; v < UINT64_MAX / 2; v = v + 1 + v / 50) {
        uint32_t b = stats_bucket(v);

        ck_assert_uint_ge(b, last);
        ck_assert(stats_bucket_top(b) >= v);
        ck_assert((double)(stats_bucket_top(b) - v) <= 0.125 * (double)v);
        last = b;
    }
}
END_TEST

START_TEST(test_quantiles)
{
    struct stats *s = created(1);
    struct stats_view *v = opened();
    struct stats_distribution first;
    struct stats_distribution second;

    ck_assert_uint_eq(stats_view_quantile(v, HIST_REQUEST, 0.5), 0);
    for (uint64_t ms = 1; ms <= 1000; ms++)
        stats_hist(s, HIST_REQUEST, ms * (uint64_t)NS_PER_MS);
    for (int percent = 1; percent <= 100; percent++) {
        double q = percent / 100.0;
        double exact = q * 1000 + 1;
        double got = (double)stats_view_quantile(v, HIST_REQUEST, q) / 1e6;

        ck_assert_msg(got >= exact - 2 && got <= exact * 1.125 + 1, "%d%%: %f", percent, got);
    }
    ck_assert_uint_eq(stats_view_quantile(v, HIST_REQUEST, 1.0), 1000 * (uint64_t)NS_PER_MS);
    ck_assert_uint_eq(stats_view_quantile(v, HIST_RING_DWELL, 0.5), 0);

    stats_view_distribution(v, HIST_REQUEST, &first);
    ck_assert_uint_eq(first.count, 1000);
    for (int i = 0; i < 10; i++)
        stats_hist(s, HIST_REQUEST, 5);
    stats_view_distribution(v, HIST_REQUEST, &second);
    stats_distribution_subtract(&second, &first);
    ck_assert_uint_eq(second.count, 10);
    ck_assert_uint_eq(stats_distribution_quantile(&second, 0.99), 5);
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

/* ---- errors ---- */

static void
error_at(struct stats *s, enum err_code code, int line, uint32_t table_id, const char *text)
{
    struct err e = ERR_INIT;

    err_set_at(&e, code, 0, "x/some.c", line, "%s", text);
    stats_error(s, &e, table_id);
}

START_TEST(test_errors_are_distinct_by_place)
{
    struct stats *s = created(4);
    struct stats_view *v = opened();
    struct stats_summary sum;
    struct stats_error_view e;

    error_at(s, ERR_CONNECT, 10, 0, "try 1 failed");
    error_at(s, ERR_CONNECT, 10, 0, "try 2 failed");
    error_at(s, ERR_CONNECT, 11, 0, "elsewhere");
    error_at(s, ERR_DATA, 10, 3, "bad row");
    ck_assert(stats_view_error(v, 0, &e));
    ck_assert_str_eq(e.code, "connect");
    ck_assert_str_eq(e.file, "some.c");
    ck_assert_uint_eq(e.line, 10);
    ck_assert_str_eq(e.text, "try 2 failed");
    ck_assert_uint_eq(e.count, 2);
    ck_assert_int_le(e.first_real_ns, e.last_real_ns);
    ck_assert(stats_view_error(v, 1, &e) && e.count == 1);
    ck_assert(stats_view_error(v, 2, &e) && e.table_id == 3);
    ck_assert(!stats_view_error(v, 3, &e));
    stats_view_summary(v, &sum);
    ck_assert_uint_eq(sum.counters[STAT_ERRORS], 4);
    ck_assert_uint_eq(sum.error_seq, 3);
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

START_TEST(test_a_full_error_table_replaces_the_oldest)
{
    struct stats *s = created(1);
    struct stats_view *v = opened();
    struct stats_error_view e;
    char text[900];
    bool found = false;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    for (int i = 0; i < 200; i++)
        error_at(s, ERR_SQL, 1000 + i, 0, text);
    for (uint32_t i = 0; stats_view_error(v, i, &e); i++) {
        ck_assert_uint_lt(i, STATS_ERROR_SLOTS);
        ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
        found = found || e.line == 1199;
    }
    ck_assert(found);
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

/* ---- restarts ---- */

/* Raised once, brought up to date, over; its slot is another's afterwards. */
START_TEST(test_alarms)
{
    struct stats *s = created(1);
    struct stats_view *v = opened();
    struct stats_alarm_view a;
    struct stats_alarm_view b;
    char long_text[900];
    char code[16];

    memset(long_text, 'x', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';
    ck_assert(!stats_view_alarm(v, 0, &a));
    stats_alarm_clear(s, "job-stopped"); /* was not raised */
    stats_alarm(s, "job-stopped", STATS_ALARM_ERROR, "it is stopped", "start it");
    stats_alarm(s, "retention", STATS_ALARM_WARNING, long_text, long_text);
    ck_assert(stats_view_alarm(v, 0, &a) && a.is_raised && a.level == STATS_ALARM_ERROR);
    ck_assert_str_eq(a.code, "job-stopped");
    ck_assert_str_eq(a.text, "it is stopped");
    ck_assert_str_eq(a.remedy, "start it");
    ck_assert(stats_view_alarm(v, 1, &b) && b.level == STATS_ALARM_WARNING);
    ck_assert_uint_eq(strlen(b.text), sizeof(b.text) - 1);
    ck_assert_uint_eq(strlen(b.remedy), sizeof(b.remedy) - 1);
    ck_assert(!stats_view_alarm(v, 2, &b));
    stats_alarm(s, "job-stopped", STATS_ALARM_WARNING, "still", "");
    ck_assert(stats_view_alarm(v, 0, &b) && b.since_real_ns == a.since_real_ns);
    ck_assert(b.level == STATS_ALARM_WARNING && b.last_real_ns >= a.last_real_ns);
    ck_assert_str_eq(b.text, "still");
    stats_alarm_clear(s, "job-stopped");
    ck_assert(stats_view_alarm(v, 0, &b) && !b.is_raised);
    stats_alarm(s, "agent-stopped", STATS_ALARM_NOTE, "t", "r");
    ck_assert(stats_view_alarm(v, 0, &b) && b.is_raised);
    ck_assert_str_eq(b.code, "agent-stopped");
    ck_assert(b.since_real_ns >= a.since_real_ns);
    for (int i = 0; i < 100; i++) { /* more than there is room for */
        (void)snprintf(code, sizeof(code), "a%d", i);
        stats_alarm(s, code, STATS_ALARM_NOTE, "t", "r");
    }
    ck_assert(stats_view_alarm(v, STATS_ALARM_SLOTS - 1, &b) && b.is_raised);
    ck_assert(!stats_view_alarm(v, STATS_ALARM_SLOTS, &b));
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

START_TEST(test_tables_are_carried_over)
{
    struct stats *s = created(4);
    struct stats_view *v = opened();
    struct stats_table_view t;
    struct stats_summary sum;
    struct stats_position p = position_of(5);
    uint64_t epoch;
    char prev[192];

    stats_add(s, STAT_ROWS_IN, 100);
    stats_table_add(stats_table(s, 9, "dbo.t"), TSTAT_UPDATES, 41);
    stats_table_state(stats_table(s, 9, "dbo.t"), TABLE_FULL_LOAD);
    stats_position(s, stats_table(s, 9, "dbo.t"), &p);
    stats_view_summary(v, &sum);
    epoch = sum.epoch;
    ck_assert(!stats_view_stale(v));
    stats_close(&s);
    s = created(6);
    ck_assert(stats_view_stale(v));
    stats_table_add(stats_table(s, 9, "dbo.t"), TSTAT_UPDATES, 1);
    ck_assert(stats_view_table(v, 0, &t)); /* the old view is frozen, and safe */
    ck_assert_uint_eq(t.counters[TSTAT_UPDATES], 41);
    stats_view_close(&v);

    v = opened();
    stats_view_summary(v, &sum);
    ck_assert(sum.epoch != epoch);
    ck_assert_uint_eq(sum.counters[STAT_ROWS_IN], 0);
    ck_assert(stats_view_table(v, 0, &t));
    ck_assert_uint_eq(t.counters[TSTAT_UPDATES], 42);
    ck_assert_int_eq(t.state, TABLE_FULL_LOAD);
    ck_assert_int_eq(t.position.commit_real_ns, 5);
    stats_view_close(&v);
    (void)snprintf(prev, sizeof(prev), "%s.prev", path);
    ck_assert_int_eq(access(prev, R_OK), 0);
    stats_close(&s);
}
END_TEST

START_TEST(test_another_task_starts_at_zero)
{
    struct stats *s = created(4);
    struct stats_config other = *config_of(4);
    struct stats_view *v;
    struct stats_table_view t;
    struct err e = ERR_INIT;

    (void)stats_table(s, 1, "dbo.t");
    stats_close(&s);
    other.task = "orders";
    ck_assert_int_eq(stats_create(&other, &s, &e), 0);
    v = opened();
    ck_assert(!stats_view_table(v, 0, &t));
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

START_TEST(test_one_owner)
{
    struct stats *s = created(4);
    struct stats *second;
    struct err e = ERR_INIT;
    char pid[32];

    ck_assert_int_eq(stats_create(config_of(4), &second, &e), -1);
    ck_assert_int_eq(e.code, ERR_BUSY);
    (void)snprintf(pid, sizeof(pid), "process %d ", (int)getpid());
    ck_assert_msg(strstr(e.text, pid) != NULL, "%s", e.text);
    ck_assert_ptr_null(second);
    stats_close(&s);
    s = created(4);
    stats_close(&s);
}
END_TEST

/* Many processes want to be the one: at every moment at most one is. */
START_TEST(test_many_starts_at_once)
{
    _Atomic int *inside =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int rounds[8];

    ck_assert_ptr_ne(inside, MAP_FAILED);
    for (size_t i = 0; i < 8; i++) {
        pid_t child = fork();

        if (child != 0) {
            rounds[i] = child;
            continue;
        }
        for (int n = 0; n < 200; n++) {
            struct err e = ERR_INIT;
            struct stats *s;

            if (stats_create(config_of(1), &s, &e) != 0) {
                if (e.code != ERR_BUSY)
                    _exit(2);
                continue;
            }
            if (atomic_fetch_add(&inside[0], 1) != 0)
                _exit(3);
            (void)atomic_fetch_add(&inside[1], 1);
            (void)atomic_fetch_sub(&inside[0], 1);
            stats_close(&s);
        }
        _exit(0);
    }
    for (size_t i = 0; i < 8; i++) {
        int status;

        ck_assert_int_eq(waitpid(rounds[i], &status, 0), rounds[i]);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
    }
    ck_assert_int_gt(atomic_load(&inside[1]), 0);
}
END_TEST

START_TEST(test_no_room)
{
    struct stats *s;
    struct err e = ERR_INIT;
    char new_path[192];

    (void)setenv("WEIR_FAULT", "stats-reserve:0:28", 1);
    fault_reload();
    ck_assert_int_eq(stats_create(config_of(4), &s, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOSPACE);
    ck_assert_ptr_nonnull(strstr(e.hint, "Weir.RuntimeDirectory"));
    (void)snprintf(new_path, sizeof(new_path), "%s.new", path);
    ck_assert_int_ne(access(new_path, F_OK), 0);
    (void)unsetenv("WEIR_FAULT");
    fault_reload();
}
END_TEST

/* ---- deaths ---- */

/* The writer of the crash tests: updates everything, dies where the environment says. */
static void
write_until_death(void)
{
    struct err e = ERR_INIT;
    struct stats *s;

    if (stats_create(config_of(4), &s, &e) != 0)
        _exit(9);
    for (uint64_t n = 1; n < 50; n++) {
        struct stats_position p = position_of(n * 0x0101010101010101ULL);
        char name[32];

        (void)snprintf(name, sizeof(name), "dbo.t%llu", (unsigned long long)(n % 3));
        stats_position(s, NULL, &p);
        stats_position(s, stats_table(s, (uint32_t)(n % 3) + 1, name), &p);
        stats_table_add(stats_table(s, (uint32_t)(n % 3) + 1, name), TSTAT_INSERTS, 1);
        error_at(s, ERR_SQL, (int)(n % 5), 0, "something");
        stats_beat(s, clock_mono_ns());
    }
    _exit(0);
}

/* Every part of a position was made of one number. */
static bool
is_one_sample(const struct stats_position *p)
{
    for (size_t i = 0; i < POSITION_SIZE; i++)
        if (p->position.b[i] != p->position.b[0])
            return false;
    return (uint8_t)p->commit_real_ns == p->position.b[0] && p->commit_real_ns == p->seen_mono_ns;
}

static void
check_file(void)
{
    struct stats_view *v;
    struct stats_summary sum;
    struct stats_table_view t;
    struct stats_error_view e;
    struct err err = ERR_INIT;

    if (stats_open(path, &v, &err) != 0) {
        ck_assert_msg(err.code == ERR_NOT_FOUND, "%s", err.text);
        return;
    }
    stats_view_summary(v, &sum);
    ck_assert(sum.position_torn || is_one_sample(&sum.position));
    for (uint32_t i = 0; stats_view_table(v, i, &t); i++) {
        ck_assert_ptr_nonnull(strstr(t.name, "dbo.t"));
        ck_assert(t.position_torn || is_one_sample(&t.position));
    }
    for (uint32_t i = 0; stats_view_error(v, i, &e); i++)
        ck_assert(e.count > 0 || e.text[0] == '\0' || strcmp(e.text, "something") == 0);
    stats_view_close(&v);
}

/* Killed at each store in turn; the next one goes on with what was carried over. */
START_TEST(test_killed_at_each_store)
{
    unsigned deaths = 0;
    unsigned step = 1;

    /* Each of the first points one by one, then in growing strides to the last. */
    for (unsigned point = 1; point < 40000; point += step) {
        pid_t child = fork();
        int status;

        if (child == 0) {
            char text[32];

            (void)snprintf(text, sizeof(text), "*:%u", point);
            (void)setenv("WEIR_CRASH", text, 1);
            fault_reload();
            write_until_death();
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        check_file();
        if (WIFEXITED(status)) {
            ck_assert_int_eq(WEXITSTATUS(status), 0);
            break;
        }
        ck_assert_int_eq(WTERMSIG(status), SIGKILL);
        deaths++;
        if (point > 400)
            step = 29;
    }
    ck_assert_uint_gt(deaths, 400);
    /* After all that a good start still works and counts on. */
    (void)unsetenv("WEIR_CRASH");
    fault_reload();
    struct stats *s = created(4);

    ck_assert_uint_gt(stats_table_get(stats_table(s, 1, "dbo.t0"), TSTAT_INSERTS), 0);
    stats_close(&s);
}
END_TEST

/* Killed between the two renames: no file in place, and nothing is forgotten. */
START_TEST(test_killed_between_the_renames)
{
    struct stats *s = created(4);
    pid_t child;
    int status;

    stats_table_add(stats_table(s, 1, "dbo.t1"), TSTAT_INSERTS, 7);
    stats_close(&s);
    child = fork();
    if (child == 0) {
        (void)setenv("WEIR_CRASH", "stats-kept:1", 1);
        fault_reload();
        write_until_death();
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_ne(access(path, F_OK), 0);
    s = created(4);
    ck_assert_uint_eq(stats_table_get(stats_table(s, 1, "dbo.t1"), TSTAT_INSERTS), 7);
    stats_close(&s);
}
END_TEST

/*
 * A writer started again and again against a reader that never stops looking.  The reader sees
 * one life at a time, whole samples, and counters of tables that never go back.
 */
START_TEST(test_reader_against_restarts)
{
    const char *long_form = getenv("WEIR_STATS_RESTARTS");
    int restarts = long_form != NULL ? (int)strtol(long_form, NULL, 10) : 1000;
    pid_t child = fork();
    uint64_t last = 0;
    unsigned looks = 0;
    unsigned lives = 0;
    unsigned torn = 0;
    uint64_t epoch = 0;
    int status = 0;

    if (child == 0) {
        for (int i = 0; i < restarts; i++) {
            struct err e = ERR_INIT;
            struct stats *s;
            struct stats_table *t;

            if (stats_create(config_of(2), &s, &e) != 0)
                _exit(9);
            t = stats_table(s, 1, "dbo.t1");
            for (uint64_t n = 1; n <= 100; n++) {
                struct stats_position p = position_of(n % 255 * 0x0101010101010101ULL);

                stats_table_add(t, TSTAT_INSERTS, 1);
                stats_position(s, t, &p);
                stats_position(s, NULL, &p);
            }
            stats_close(&s);
        }
        _exit(0);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct err e = ERR_INIT;
        struct stats_view *v;
        struct stats_summary sum;
        struct stats_table_view t;

        if (stats_open(path, &v, &e) != 0) {
            ck_assert_msg(e.code == ERR_NOT_FOUND, "%s", e.text);
            continue;
        }
        do {
            stats_view_summary(v, &sum);
            ck_assert(sum.position_torn || is_one_sample(&sum.position));
            torn += sum.position_torn;
            if (sum.epoch != epoch)
                lives++;
            epoch = sum.epoch;
            if (stats_view_table(v, 0, &t)) {
                ck_assert(t.position_torn || is_one_sample(&t.position));
                ck_assert_uint_ge(t.counters[TSTAT_INSERTS], last);
                last = t.counters[TSTAT_INSERTS];
            }
            looks++;
        } while (sum.alive && !stats_view_stale(v));
        stats_view_close(&v);
    }
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_uint_gt(looks, 10);
    /* Only a writer that was put to sleep inside a cell leaves it torn for so long. */
    ck_assert_uint_lt(torn, looks / 10 + 5);
    ck_assert_uint_gt(lives, 1);

    struct stats *s = created(2);

    ck_assert_uint_eq(stats_table_get(stats_table(s, 1, "dbo.t1"), TSTAT_INSERTS),
                      100U * (unsigned)restarts);
    stats_close(&s);
}
END_TEST

/* ---- damage ---- */

static void
expect_refusal(const char *text)
{
    struct err e = ERR_INIT;
    struct stats_view *v;

    ck_assert_int_eq(stats_open(path, &v, &e), -1);
    ck_assert_ptr_null(v);
    ck_assert_int_eq(e.code, ERR_LAYOUT);
    ck_assert_msg(strstr(e.text, text) != NULL, "%s", e.text);
    ck_assert_ptr_nonnull(strstr(e.text, path));
    /* What cannot be read can be replaced. */
    struct stats *s = created(2);

    stats_close(&s);
}

static void
poke(off_t offset, const void *data, size_t size)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, data, size, offset), (ssize_t)size);
    (void)close(fd);
}

START_TEST(test_damaged_files)
{
    struct stats *s = created(2);
    uint16_t major = STATS_MAJOR + 1;
    uint32_t offset = 0xFFFFFFFF;
    struct err e = ERR_INIT;
    struct stats_view *v;
    int fd;

    stats_close(&s);
    ck_assert_int_eq(truncate(path, 5000), 0);
    expect_refusal("is cut");
    ck_assert_int_eq(truncate(path, 100), 0);
    expect_refusal("less than a header");
    ck_assert_int_eq(truncate(path, 0), 0);
    expect_refusal("less than a header");
    fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
    (void)close(fd);
    expect_refusal("not a statistics file");
    poke(offsetof(struct stats_identity, major), &major, sizeof(major));
    expect_refusal("layout 2.2, this program reads 1.x");
    poke(offsetof(struct stats_identity, task), "x", 1);
    expect_refusal("checksum");
    poke(offsetof(struct stats_header, sections) + offsetof(struct stats_section, offset), &offset,
         sizeof(offset));
    expect_refusal("checksum");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(stats_open(path, &v, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

/* A minor version of tomorrow: more counters, longer records, a kind nobody knows yet. */
START_TEST(test_newer_minor)
{
    struct stats *s = created(2);
    struct stats_header h;
    struct stats_view *v;
    struct stats_summary sum;
    uint64_t value;
    uint64_t added = 4711;
    int fd;

    stats_add(s, STAT_ROWS_IN, 6);
    stats_close(&s);
    fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pread(fd, &h, sizeof(h), 0), (ssize_t)sizeof(h));
    h.identity.minor = 7;
    h.sections[1].fields = STAT_COUNT + 1;
    h.sections[5] = (struct stats_section){.kind = 99, .offset = 4096, .stride = 8, .capacity = 1};
    h.identity.section_crc32c = stats_section_crc(&h);
    /* The identity's own sum covers what stands before it. */
    h.identity.crc32c = crc32c(0, &h.identity, offsetof(struct stats_identity, crc32c));
    ck_assert_int_eq(pwrite(fd, &h, sizeof(h), 0), (ssize_t)sizeof(h));
    ck_assert_int_eq(pwrite(fd, &added, 8, (off_t)(h.sections[1].offset + 8 * STAT_COUNT)), 8);
    (void)close(fd);
    v = opened();
    stats_view_summary(v, &sum);
    ck_assert_uint_eq(sum.counters[STAT_ROWS_IN], 6);
    ck_assert(stats_view_counter(v, STAT_COUNT, &value));
    ck_assert_uint_eq(value, 4711);
    ck_assert(!stats_view_counter(v, STAT_COUNT + 1, &value));
    stats_view_close(&v);
}
END_TEST

/* A file of yesterday has fewer counters: those it lacks are nothing. */
START_TEST(test_older_minor)
{
    struct stats *s = created(2);
    struct stats_header h;
    struct stats_view *v;
    struct stats_summary sum;
    int fd;

    stats_add(s, STAT_ROWS_IN, 6);
    stats_add(s, STAT_ROWS_IN + 1, 8);
    stats_close(&s);
    fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pread(fd, &h, sizeof(h), 0), (ssize_t)sizeof(h));
    h.sections[1].fields = 1;
    h.sections[5] = (struct stats_section){.kind = STATS_KIND_NONE}; /* no alarms before 1.2 */
    h.identity.section_crc32c = stats_section_crc(&h);
    h.identity.crc32c = crc32c(0, &h.identity, offsetof(struct stats_identity, crc32c));
    ck_assert_int_eq(pwrite(fd, &h, sizeof(h), 0), (ssize_t)sizeof(h));
    (void)close(fd);
    v = opened();
    stats_view_summary(v, &sum);
    ck_assert_uint_eq(sum.counters[STAT_ROWS_IN], 6);
    ck_assert_uint_eq(sum.counters[STAT_ROWS_IN + 1], 0);
    ck_assert(!stats_view_alarm(v, 0, &(struct stats_alarm_view){0}));
    stats_view_close(&v);
}
END_TEST

/* Cut while it is mapped: no SIGBUS, the view says nothing and is stale. */
START_TEST(test_cut_while_mapped)
{
    struct stats *s = created(2);
    struct stats_view *v = opened();
    struct stats_summary sum;
    struct stats_table_view t;
    struct stats_error_view e;

    (void)stats_table(s, 1, "dbo.t");
    stats_close(&s);
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert(stats_view_stale(v));
    stats_view_summary(v, &sum);
    ck_assert(!sum.alive);
    ck_assert(!stats_view_table(v, 0, &t));
    ck_assert(!stats_view_error(v, 0, &e));
    ck_assert_uint_eq(stats_view_quantile(v, HIST_REQUEST, 0.5), 0);
    stats_view_close(&v);
}
END_TEST

/* ---- the format ---- */

#define GOLDEN "tests/vectors/stats/layout.txt"

/* Names and offsets as released: a change here is a change of the format.  WEIR_GOLDEN=1 writes
   the file anew, for a commit that raises the version. */
START_TEST(test_layout_is_as_released)
{
    FILE *golden = fopen(GOLDEN, getenv("WEIR_GOLDEN") != NULL ? "w+" : "r");
    char *now = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&now, &size);
    static char was[65536];
    size_t n;

    ck_assert_msg(golden != NULL, "%s is not there: tests run from the root", GOLDEN);
    (void)fprintf(out, "layout %u.%u\n", STATS_MAJOR, STATS_MINOR);
#define AT(type, member)                                                                           \
    (void)fprintf(out, "%-28s %-20s %5zu\n", #type, #member, offsetof(struct type, member))
    AT(stats_identity, magic);
    AT(stats_identity, major);
    AT(stats_identity, minor);
    AT(stats_identity, header_bytes);
    AT(stats_identity, total_bytes);
    AT(stats_identity, epoch);
    AT(stats_identity, start_real_ns);
    AT(stats_identity, mono_to_real_ns);
    AT(stats_identity, pid);
    AT(stats_identity, boot_id);
    AT(stats_identity, build);
    AT(stats_identity, stage);
    AT(stats_identity, task);
    AT(stats_identity, section_crc32c);
    AT(stats_identity, crc32c);
    AT(stats_header, live);
    AT(stats_live, state);
    AT(stats_live, error_seq);
    AT(stats_live, heartbeat_mono_ns);
    AT(stats_live, loop_count);
    AT(stats_live, max_loop_ns);
    AT(stats_live, slow_loops);
    AT(stats_header, sections);
    AT(stats_section, kind);
    AT(stats_section, fields);
    AT(stats_section, offset);
    AT(stats_section, stride);
    AT(stats_section, capacity);
    AT(stats_section, used);
    AT(stats_section, bytes);
    AT(stats_cell, words);
    AT(stats_alarm_body, level);
    AT(stats_alarm_body, is_raised);
    AT(stats_alarm_body, since_real_ns);
    AT(stats_alarm_body, last_real_ns);
    AT(stats_alarm_body, code);
    AT(stats_alarm_body, text);
    AT(stats_alarm_body, remedy);
    AT(stats_alarm_slot, words);
    AT(stats_stage_section, counters);
    AT(stats_stage_section, position);
    AT(stats_table, record_state);
    AT(stats_table, table_id);
    AT(stats_table, name_hash);
    AT(stats_table, name_bytes);
    AT(stats_table, state);
    AT(stats_table, counters);
    AT(stats_table, position);
    AT(stats_table, name);
    AT(stats_histogram, count);
    AT(stats_histogram, sum_ns);
    AT(stats_histogram, max_ns);
    AT(stats_histogram, buckets);
    AT(stats_error_slot, words);
    AT(stats_error_body, line);
    AT(stats_error_body, table_id);
    AT(stats_error_body, count);
    AT(stats_error_body, first_real_ns);
    AT(stats_error_body, last_real_ns);
    AT(stats_error_body, code);
    AT(stats_error_body, file);
    AT(stats_error_body, text);
#undef AT
    for (int i = 0; i < STAT_COUNT; i++)
        (void)fprintf(out, "stage     %3d %s\n", i, stats_stage_field((enum stat_id)i)->name);
    for (int i = 0; i < TSTAT_COUNT; i++)
        (void)fprintf(out, "table     %3d %s\n", i, stats_table_field((enum tstat_id)i)->name);
    for (int i = 0; i < HIST_COUNT; i++)
        (void)fprintf(out, "histogram %3d %s\n", i, stats_hist_field((enum hist_id)i)->name);
    (void)fclose(out);
    if (getenv("WEIR_GOLDEN") != NULL) {
        (void)fputs(now, golden);
        rewind(golden);
    }
    n = fread(was, 1, sizeof(was) - 1, golden);
    was[n] = '\0';
    (void)fclose(golden);
    for (size_t i = 0; now[i] != '\0' || was[i] != '\0'; i++)
        ck_assert_msg(now[i] == was[i],
                      "the layout is another one: raise the version if that is meant; at \"%.60s\"",
                      &now[i]);
    free(now);
}
END_TEST

START_TEST(test_schema_names_every_field)
{
    struct stats *s = created(1);
    struct stats_view *v = opened();
    size_t size;
    const char *text = stats_view_schema(v, &size);

    ck_assert_uint_eq(size, strlen(stats_schema()));
    ck_assert_int_eq(memcmp(text, stats_schema(), size), 0);
    for (int i = 0; i < STAT_COUNT; i++)
        ck_assert_ptr_nonnull(strstr(stats_schema(), stats_stage_field((enum stat_id)i)->name));
    stats_view_close(&v);
    stats_close(&s);
}
END_TEST

START_TEST(test_names_of_states)
{
    ck_assert_str_eq(stats_state_name(STATE_WAIT_SINK), "WAIT_SINK");
    ck_assert_str_eq(stats_state_name((enum stage_state)99), "UNKNOWN");
    ck_assert_str_eq(stats_table_state_name(TABLE_COMPLETED), "Table completed");
    ck_assert_str_eq(stats_table_state_name((enum table_state)99), "Unknown");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("stats");
    TCase *quick = tcase_create("quick");
    TCase *deaths = tcase_create("deaths");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(quick, setup, teardown);
    tcase_add_checked_fixture(deaths, setup, teardown);
    tcase_set_timeout(quick, 20);
    tcase_set_timeout(deaths, 120);
    tcase_add_test(quick, test_everything_written_is_read);
    tcase_add_test(quick, test_loop_times);
    tcase_add_test(quick, test_table_names);
    tcase_add_test(quick, test_capacity_and_others);
    tcase_add_test(quick, test_an_id_given_anew);
    tcase_add_test(quick, test_buckets);
    tcase_add_test(quick, test_quantiles);
    tcase_add_test(quick, test_errors_are_distinct_by_place);
    tcase_add_test(quick, test_a_full_error_table_replaces_the_oldest);
    tcase_add_test(quick, test_alarms);
    tcase_add_test(quick, test_tables_are_carried_over);
    tcase_add_test(quick, test_another_task_starts_at_zero);
    tcase_add_test(quick, test_one_owner);
    tcase_add_test(quick, test_no_room);
    tcase_add_test(quick, test_damaged_files);
    tcase_add_test(quick, test_newer_minor);
    tcase_add_test(quick, test_older_minor);
    tcase_add_test(quick, test_cut_while_mapped);
    tcase_add_test(quick, test_layout_is_as_released);
    tcase_add_test(quick, test_schema_names_every_field);
    tcase_add_test(quick, test_names_of_states);
    tcase_add_test(deaths, test_many_starts_at_once);
    tcase_add_test(deaths, test_killed_at_each_store);
    tcase_add_test(deaths, test_killed_between_the_renames);
    tcase_add_test(deaths, test_reader_against_restarts);
    suite_add_tcase(suite, quick);
    suite_add_tcase(suite, deaths);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
