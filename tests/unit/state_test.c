/* What survives a restart: atomic files, topology, checkpoints, catalogue; under crashes too. */
#include "common/catalog.h"
#include "common/checkpoint.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/task.h"
#include "common/topology.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static struct task task;

static void
setup(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/weir-state-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    task.weir.state_directory = dir;
    task.weir.runtime_directory = dir;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void
teardown(void)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
put_file(const char *name, const char *text)
{
    char path[TOPOLOGY_PATH_MAX];
    FILE *f = fopen(topology_state_file(&task, name, path), "w");

    ck_assert_ptr_nonnull(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

START_TEST(file_directories_and_reading)
{
    struct err e = ERR_INIT;
    char path[TOPOLOGY_PATH_MAX];
    char *text;
    size_t size;

    ck_assert_int_eq(file_make_directory(topology_state_file(&task, "a/b/c", path), 0750, &e), 0);
    ck_assert_int_eq(file_make_directory(path, 0750, &e), 0);
    ck_assert_int_eq(file_read(path, 10, &text, &size, &e), -1);
    put_file("f", "0123456789");
    topology_state_file(&task, "f", path);
    ck_assert_int_eq(file_read(path, 10, &text, &size, &e), 0);
    ck_assert_uint_eq(size, 10);
    ck_assert_str_eq(text, "0123456789");
    free(text);
    ck_assert_int_eq(file_read(path, 9, &text, &size, &e), -1);
    ck_assert_int_eq(e.code, ERR_LAYOUT);
    ck_assert_int_eq(file_make_directory(topology_state_file(&task, "f/g", path), 0750, &e), -1);
    ck_assert_int_eq(file_read("/nonexistent/x", 9, &text, &size, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

/* At every crash point the file holds the old text or the new one, whole. */
START_TEST(file_replace_survives_crashes)
{
    static const char *const points[] = {"file_replace.created:1", "file_replace.written:1",
                                         "file_replace.renamed:1"};
    static const char *const after[] = {"old", "old", "new"};
    struct err e = ERR_INIT;
    char path[TOPOLOGY_PATH_MAX];

    topology_state_file(&task, "f", path);
    for (unsigned i = 0; i < 3; i++) {
        char *text;
        size_t size;
        pid_t child;
        int status;

        ck_assert_int_eq(file_replace(path, "old", 3, 0640, &e), 0);
        child = fork();
        if (child == 0) {
            (void)setenv("WEIR_CRASH", points[i], 1);
            fault_reload();
            (void)file_replace(path, "new", 3, 0640, &e);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        ck_assert_int_eq(file_read(path, 10, &text, &size, &e), 0);
        ck_assert_str_eq(text, after[i]);
        free(text);
    }
}
END_TEST

START_TEST(file_replace_without_room)
{
    struct err e = ERR_INIT;
    char path[TOPOLOGY_PATH_MAX];

    topology_state_file(&task, "f", path);
    (void)setenv("WEIR_FAULT", "file_replace:1:28", 1);
    fault_reload();
    ck_assert_int_eq(file_replace(path, "x", 1, 0640, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOSPACE);
    ck_assert_int_eq(e.sys, ENOSPC);
    ck_assert_ptr_nonnull(strstr(e.hint, "make room"));
    ck_assert_int_eq(file_replace(path, "x", 1, 0640, &e), 0);
}
END_TEST

START_TEST(file_lock_names_the_holder)
{
    struct err e = ERR_INIT;
    char path[TOPOLOGY_PATH_MAX];
    char pid[32];
    int a = -1;
    int b = -1;

    topology_state_file(&task, "lock", path);
    (void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    ck_assert_int_eq(file_lock(path, &a, &e), 0);
    ck_assert_int_eq(file_lock(path, &b, &e), -1);
    ck_assert_int_eq(e.code, ERR_BUSY);
    ck_assert_ptr_nonnull(strstr(e.text, pid));
    (void)close(a);
    ck_assert_int_eq(file_lock(path, &b, &e), 0);
    (void)close(b);
}
END_TEST

START_TEST(topology_round_trip_and_damage)
{
    struct topology in = {.generation = 3, .encoders = 2, .shippers = 4};
    struct topology out;
    struct err e = ERR_INIT;
    char path[TOPOLOGY_PATH_MAX];
    char want[TOPOLOGY_PATH_MAX];

    in.baseline.b[0] = 0xab;
    in.baseline.b[31] = 0x01;
    ck_assert_int_eq(topology_read(&task, &out, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOT_FOUND);
    ck_assert_int_eq(topology_write(&task, &in, &e), 0);
    ck_assert_int_eq(topology_read(&task, &out, &e), 0);
    ck_assert_uint_eq(out.generation, 3);
    ck_assert_uint_eq(out.encoders, 2);
    ck_assert_uint_eq(out.shippers, 4);
    ck_assert_int_eq(position_compare(&in.baseline, &out.baseline), 0);
    (void)snprintf(want, sizeof(want), "%s/g3/record.1.2.ring", dir);
    ck_assert_str_eq(topology_record_ring(&task, &in, 1, 2, path), want);
    put_file("topology.json", "{\"generation\": 0}");
    ck_assert_int_eq(topology_read(&task, &out, &e), -1);
    ck_assert_int_eq(e.code, ERR_LAYOUT);
    put_file("topology.json", "");
    ck_assert_int_eq(topology_read(&task, &out, &e), -1);
    ck_assert_int_eq(e.code, ERR_LAYOUT);
}
END_TEST

START_TEST(topology_shares_are_even_and_contiguous)
{
    uint32_t shares[3] = {0};
    uint32_t encoders[4] = {0};
    uint32_t last = 0;

    for (unsigned i = 0; i < 256; i++) {
        uint8_t hash[16] = {(uint8_t)i, 0x80};
        uint32_t s = topology_shipper_of(hash, 3);

        ck_assert_uint_ge(s, last); /* ranges rise with the hash */
        ck_assert_uint_lt(s, 3);
        last = s;
        shares[s]++;
    }
    for (unsigned i = 0; i < 3; i++)
        ck_assert(shares[i] >= 84 && shares[i] <= 87);
    for (unsigned i = 0; i < 40000; i++) {
        char key[16];
        int n = snprintf(key, sizeof(key), "%u", i);

        encoders[topology_encoder_of(key, (size_t)n, 4)]++;
    }
    for (unsigned i = 0; i < 4; i++)
        ck_assert(encoders[i] > 9000 && encoders[i] < 11000);
}
END_TEST

START_TEST(checkpoint_minimum_over_shippers)
{
    struct topology topo = {.generation = 2, .encoders = 1, .shippers = 2};
    struct checkpoint c = {.generation = 2, .shipper = 0, .commit_real_ns = -5};
    struct checkpoint back;
    struct position p;
    struct err e = ERR_INIT;

    topo.baseline.b[0] = 3;
    ck_assert_int_eq(checkpoint_task_position(&task, &topo, &p, &e), 0);
    ck_assert_int_eq(position_compare(&p, &topo.baseline), 0);
    c.position.b[0] = 9;
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    ck_assert_int_eq(checkpoint_read(&task, 2, 0, &back, &e), 0);
    ck_assert_int_eq(back.commit_real_ns, -5);
    /* Shipper 1 has none yet: the baseline holds the task back. */
    ck_assert_int_eq(checkpoint_task_position(&task, &topo, &p, &e), 0);
    ck_assert_int_eq(p.b[0], 3);
    c.shipper = 1;
    c.position.b[0] = 7;
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    ck_assert_int_eq(checkpoint_task_position(&task, &topo, &p, &e), 0);
    ck_assert_int_eq(p.b[0], 7);
    /* Of another generation: not looked at. */
    topo.generation = 3;
    ck_assert_int_eq(checkpoint_task_position(&task, &topo, &p, &e), 0);
    ck_assert_int_eq(p.b[0], 3);
    /* A damaged one is never taken as absent. */
    put_file("checkpoint.3.1.json", "{\"generation\": 3, \"shipp");
    ck_assert_int_eq(checkpoint_task_position(&task, &topo, &p, &e), -1);
    ck_assert_int_eq(e.code, ERR_LAYOUT);
}
END_TEST

static struct table_def *
sample_table(void)
{
    struct table_def *t = calloc(1, sizeof(*t));
    static const struct column_def columns[] = {
        {.type = DMS_INT4, .key_ordinal = 2, .precision = 10},
        {.type = DMS_WSTRING, .length = 50, .nullable = true, .is_fixed_text = true},
        {.type = DMS_NUMERIC, .precision = 38, .scale = 10, .key_ordinal = 1},
    };
    static const char *const names[] = {"id", "Grüße \"x\"", "amount"};
    static const char *const types[] = {"int", "nchar(50)", "decimal(38,10)"};

    t->id = 7;
    t->version = 2;
    t->schema = strdup("dbo");
    t->name = strdup("in]voices");
    t->n_columns = 3;
    t->columns = calloc(3, sizeof(*t->columns));
    for (unsigned i = 0; i < 3; i++) {
        t->columns[i] = columns[i];
        t->columns[i].name = strdup(names[i]);
        t->columns[i].source_type = strdup(types[i]);
    }
    return t;
}

START_TEST(catalog_round_trip)
{
    struct table_def *t = sample_table();
    struct table_def *back;
    struct table_def **all;
    struct err e = ERR_INIT;
    size_t n;

    ck_assert_int_eq(catalog_finish(t, &e), 0);
    ck_assert_uint_eq(t->n_key, 2);
    ck_assert_uint_eq(t->key[0], 2);
    ck_assert_uint_eq(t->key[1], 0);
    ck_assert_int_eq(catalog_read_all(dir, &all, &n, &e), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(catalog_write(dir, t, &e), 0);
    ck_assert_int_eq(catalog_write(dir, t, &e), 0);
    ck_assert_int_eq(catalog_read(dir, 7, 2, &back, &e), 0);
    ck_assert_str_eq(back->name, "in]voices");
    ck_assert_str_eq(back->columns[1].name, "Grüße \"x\"");
    ck_assert(back->columns[1].is_fixed_text && back->columns[1].nullable);
    ck_assert_uint_eq(back->columns[2].scale, 10);
    ck_assert_uint_eq(back->key[0], 2);
    catalog_table_free(&back);
    /* The same version with another content is a mix-up of tasks. */
    t->columns[0].type = DMS_INT8;
    ck_assert_int_eq(catalog_write(dir, t, &e), -1);
    ck_assert_int_eq(e.code, ERR_LAYOUT);
    t->version = 3;
    ck_assert_int_eq(catalog_write(dir, t, &e), 0);
    ck_assert_int_eq(catalog_read_all(dir, &all, &n, &e), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(all[0]->version, 3);
    catalog_table_free(&all[0]);
    free(all);
    t->columns[0].key_ordinal = 3;
    ck_assert_int_eq(catalog_finish(t, &e), -1);
    catalog_table_free(&t);
    put_file("catalog/7.2.json", "{}");
    ck_assert_int_eq(catalog_read(dir, 7, 2, &back, &e), -1);
    ck_assert_int_eq(e.code, ERR_CORRUPT);
    ck_assert_int_eq(catalog_read(dir, 8, 1, &back, &e), -1);
    ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("state");
    TCase *t = tcase_create("state");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, file_directories_and_reading);
    tcase_add_test(t, file_replace_survives_crashes);
    tcase_add_test(t, file_replace_without_room);
    tcase_add_test(t, file_lock_names_the_holder);
    tcase_add_test(t, topology_round_trip_and_damage);
    tcase_add_test(t, topology_shares_are_even_and_contiguous);
    tcase_add_test(t, checkpoint_minimum_over_shippers);
    tcase_add_test(t, catalog_round_trip);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
