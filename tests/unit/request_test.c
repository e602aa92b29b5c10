/* Requests: written, taken in order, ended for good; damage, foreign files, deaths at every step. */
#include "common/err.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"
#include "common/request.h"
#include "common/task.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/weir-request-XXXXXX";
static char identifier[] = "t";
static struct task task;

static void
setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    task = (struct task){.identifier = identifier, .weir.state_directory = directory};
    log_init("test", LOG_ERROR);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void
teardown(void)
{
    (void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void
submit(enum request_action action, const char *table, char id[REQUEST_ID_SIZE])
{
    struct request r = {.action = action};
    struct err e = ERR_INIT;

    if (table != NULL)
        ck_assert_int_eq(request_add_table(&r, table, &e), 0);
    ck_assert_msg(request_submit(&task, &r, &e) == 0, "%s", e.text);
    memcpy(id, r.id, REQUEST_ID_SIZE);
    request_free(&r);
}

static bool
next(const char *after, struct request *out)
{
    struct err e = ERR_INIT;
    int rc = request_next(&task, after, out, &e);

    ck_assert_msg(rc >= 0, "%s", e.text);
    return rc == 1;
}

static void
put_file(const char *name, const char *text)
{
    char path[256];
    struct err e = ERR_INIT;

    (void)snprintf(path, sizeof(path), "%s/requests", directory);
    ck_assert_int_eq(file_make_directory(path, 0750, &e), 0);
    (void)snprintf(path, sizeof(path), "%s/requests/%s", directory, name);
    ck_assert_int_eq(file_replace(path, text, strlen(text), 0640, &e), 0);
}

START_TEST(round_trip_in_order)
{
    char first[REQUEST_ID_SIZE];
    char second[REQUEST_ID_SIZE];
    char why[256];
    struct request r;
    struct err e = ERR_INIT;

    ck_assert(!next("", &r)); /* no folder yet */
    submit(REQUEST_RELOAD_TABLES, "[my schema].[a.b]]c]", first);
    submit(REQUEST_RESUME, NULL, second);
    ck_assert_int_lt(strcmp(first, second), 0);
    ck_assert(next("", &r));
    ck_assert_str_eq(r.id, first);
    ck_assert_int_eq(r.action, REQUEST_RELOAD_TABLES);
    ck_assert_uint_eq(r.n_tables, 1);
    ck_assert_str_eq(r.tables[0].schema, "my schema");
    ck_assert_str_eq(r.tables[0].name, "a.b]c");
    ck_assert_int_eq(request_fate(&task, first, why, sizeof(why)), REQUEST_WAITS);
    ck_assert_int_eq(request_refuse(&task, &r, "no such table", &e), 0);
    request_free(&r);
    ck_assert_int_eq(request_fate(&task, first, why, sizeof(why)), REQUEST_IS_REFUSED);
    ck_assert_str_eq(why, "no such table");
    ck_assert(next("", &r));
    ck_assert_str_eq(r.id, second);
    ck_assert_int_eq(request_done(&task, &r, &e), 0);
    ck_assert_int_eq(request_done(&task, &r, &e), 0); /* once more after a death */
    ck_assert_int_eq(request_fate(&task, second, why, sizeof(why)), REQUEST_IS_DONE);
    ck_assert(!next("", &r));
}
END_TEST

START_TEST(later_ones_behind_one_that_waits)
{
    char ids[3][REQUEST_ID_SIZE];
    struct request r;

    submit(REQUEST_RELOAD_TABLES, "dbo.a", ids[0]);
    submit(REQUEST_RESUME, NULL, ids[1]);
    submit(REQUEST_RELOAD, NULL, ids[2]);
    for (int i = 0; i < 3; i++) {
        ck_assert(next(i == 0 ? "" : ids[i - 1], &r));
        ck_assert_str_eq(r.id, ids[i]);
        request_free(&r);
    }
    ck_assert(!next(ids[2], &r));
}
END_TEST

static const struct {
    const char *text;
    const char *schema; /* NULL = refused */
    const char *name;
} tables[] = {
    {"dbo.invoices", "dbo", "invoices"},
    {"[dbo].[invoices]", "dbo", "invoices"},
    {"dbo.[in]]v]", "dbo", "in]v"},
    {"[a.b].c d", "a.b", "c d"},
    {"invoices", NULL, NULL},
    {"dbo.", NULL, NULL},
    {".invoices", NULL, NULL},
    {"", NULL, NULL},
    {"[dbo.invoices", NULL, NULL},
    {"[dbo].[invoices", NULL, NULL},
    {"[dbo]x.[invoices]", NULL, NULL},
    {"[dbo].[invoices]x", NULL, NULL},
    {"[].[]", NULL, NULL},
};

START_TEST(table_names)
{
    struct request r = {.action = REQUEST_RELOAD_TABLES};
    struct err e = ERR_INIT;
    int rc = request_add_table(&r, tables[_i].text, &e);

    ck_assert_int_eq(rc, tables[_i].schema != NULL ? 0 : -1);
    if (rc == 0) {
        ck_assert_str_eq(r.tables[0].schema, tables[_i].schema);
        ck_assert_str_eq(r.tables[0].name, tables[_i].name);
    } else {
        ck_assert_int_eq(e.code, ERR_USAGE);
        ck_assert_uint_eq(r.n_tables, 0);
    }
    request_free(&r);
}
END_TEST

#define GOOD                                                                                       \
    "\"format\": 1, \"task\": \"t\", \"action\": \"resume\", \"from\": \"\", \"tables\": []"

static const char *const bad[] = {
    "",
    "{",
    "[]",
    "{\"format\": 2, \"task\": \"t\", \"action\": \"resume\", \"from\": \"\", \"tables\": []}",
    "{\"format\": 1, \"task\": \"other\", \"action\": \"resume\", \"from\": \"\", \"tables\": []}",
    "{\"format\": 1, \"task\": \"t\", \"action\": \"explode\", \"from\": \"\", \"tables\": []}",
    "{\"format\": 1, \"task\": \"t\", \"action\": \"resume\", \"from\": \"\", \"tables\": {}}",
    "{\"format\": 1, \"task\": \"t\", \"action\": \"resume\", \"from\": 5, \"tables\": []}",
    "{\"format\": 1, \"task\": \"t\", \"action\": \"reload-tables\", \"from\": \"\", \"tables\": "
    "[]}",
    "{\"format\": 1, \"task\": \"t\", \"action\": \"reload-tables\", \"from\": \"\", \"tables\": "
    "[{}]}",
    "{\"format\": 1, \"task\": \"t\", \"action\": \"resume\", \"from\": \"\", \"tables\": "
    "[{\"schema\": \"a\", \"table\": \"b\"}]}",
    "{" GOOD ", \"task\": \"t\"}",
    "{\"format\": 1, \"task\": \"t\", \"action\": \"start\", \"from\": \"\", \"tables\": []}",
    "{\"format\": 1, \"task\": \"t\", \"action\": \"reload\", \"from\": \"now\", \"tables\": []}",
};

/* What is no request is never met twice, and hides none that is. */
START_TEST(damaged_ones_are_put_aside)
{
    char why[256];
    char path[256];
    struct request r;

    put_file("1.json", bad[_i]);
    put_file("2.json", "{" GOOD "}");
    put_file("3.json.new", "half");
    put_file("readme.txt", "?");
    ck_assert(next("", &r));
    ck_assert_str_eq(r.id, "2");
    request_free(&r);
    ck_assert_int_eq(request_fate(&task, "1", why, sizeof(why)), REQUEST_IS_REFUSED);
    (void)snprintf(path, sizeof(path), "%s/requests/1.refused", directory);
    ck_assert_int_eq(access(path, F_OK), 0);
    (void)snprintf(path, sizeof(path), "%s/requests/1.json", directory);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert(!next("2", &r));
}
END_TEST

/* Root asks, capture runs as somebody else: what it cannot read it leaves, and looks again. */
START_TEST(owner_is_that_of_the_state)
{
    char id[REQUEST_ID_SIZE];
    char path[256];
    struct stat st;
    struct request r;

    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chown(directory, 65534, 65534), 0);
    submit(REQUEST_RESUME, NULL, id);
    (void)snprintf(path, sizeof(path), "%s/requests/%s.json", directory, id);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, 65534);
    ck_assert_int_eq(chown(path, 0, 0), 0);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(seteuid(65534), 0);
    ck_assert(!next("", &r));
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chown(path, 65534, 65534), 0);
    ck_assert_int_eq(seteuid(65534), 0);
    ck_assert(next("", &r));
    request_free(&r);
    ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(finished_ones_are_few)
{
    char id[REQUEST_ID_SIZE] = "";
    char why[256];
    char first[REQUEST_ID_SIZE] = "";
    struct request r;
    struct err e = ERR_INIT;

    for (int i = 0; i < 25; i++) {
        submit(REQUEST_RESUME, NULL, i == 0 ? first : id);
        ck_assert(next("", &r));
        ck_assert_int_eq(
            i % 2 == 0 ? request_done(&task, &r, &e) : request_refuse(&task, &r, "no", &e), 0);
    }
    ck_assert_int_eq(request_fate(&task, id, why, sizeof(why)), REQUEST_IS_DONE);
    for (int i = 0; i < 50; i++) {
        submit(REQUEST_RESUME, NULL, id);
        ck_assert(next("", &r));
        ck_assert_int_eq(request_done(&task, &r, &e), 0);
    }
    (void)snprintf(why, sizeof(why), "ls %s/requests | wc -l | grep -q '^3[0-2]$'", directory);
    ck_assert_int_eq(system(why), 0); /* 20 done, 12 refused at most */
}
END_TEST

#ifdef WEIR_FAULTS
static const char *const deaths[] = {"request.before-done:1", "request.done:1", "request.refused:1",
                                     "file_replace.created:1", "file_replace.written:1"};

/* A death leaves the request there, or ended; never both, never neither for good. */
START_TEST(deaths_in_between)
{
    char id[REQUEST_ID_SIZE];
    char why[256];
    struct request r;
    struct err e = ERR_INIT;
    int status;
    pid_t pid;

    submit(REQUEST_RESUME, NULL, id);
    pid = fork();
    if (pid == 0) {
        (void)setenv("WEIR_CRASH", deaths[_i], 1);
        fault_reload();
        if (request_next(&task, "", &r, &e) != 1)
            _exit(1);
        (void)(_i < 2 ? request_done(&task, &r, &e) : request_refuse(&task, &r, "no", &e));
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    if (next("", &r))
        ck_assert_int_eq(_i < 2 ? request_done(&task, &r, &e) : request_refuse(&task, &r, "no", &e),
                         0);
    ck_assert(!next("", &r));
    ck_assert_int_eq(request_fate(&task, id, why, sizeof(why)),
                     _i < 2 ? REQUEST_IS_DONE : REQUEST_IS_REFUSED);
}
END_TEST
#endif

int
main(void)
{
    Suite *s = suite_create("request");
    TCase *t = tcase_create("request");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, round_trip_in_order);
    tcase_add_test(t, later_ones_behind_one_that_waits);
    tcase_add_loop_test(t, table_names, 0, sizeof(tables) / sizeof(tables[0]));
    tcase_add_loop_test(t, damaged_ones_are_put_aside, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(t, owner_is_that_of_the_state);
    tcase_add_test(t, finished_ones_are_few);
#ifdef WEIR_FAULTS
    tcase_add_loop_test(t, deaths_in_between, 0, sizeof(deaths) / sizeof(deaths[0]));
#endif
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
