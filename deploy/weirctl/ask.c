/*
 * weirctl start, resume, reload - what is asked of a task is written down; capture carries it out.
 *
 * The stages are started and stopped by whatever supervises them, not from here.
 */
#include "deploy/weirctl/weirctl.h"

#include "capture/source.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/file.h"
#include "common/request.h"
#include "common/task.h"
#include "common/topology.h"
#include "deploy/weirctl/snapshot.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define START_USAGE  "start TASK --from POSITION [--wait [SECONDS]]"
#define RESUME_USAGE "resume TASK [--wait [SECONDS]]"
#define RELOAD_USAGE "reload TASK [--table SCHEMA.TABLE]... [--wait [SECONDS]]"
#define WAIT_S       60
#define LOOK_MS      100

struct options {
    const char *command;
    const char *usage;
    const char *help;
    const char *path;
    const char *from;
    bool wants_wait;
    unsigned long wait_s;
    struct request request;
    int64_t asked_real_ns;
};

/* -1 = go on, else the exit status. */
static int
parse_option(struct options *o, int argc, char **argv, int *i)
{
    bool has_more = *i + 1 < argc;
    struct err e = ERR_INIT;

    if (strcmp(argv[*i], "--help") == 0) {
        (void)printf("usage: weirctl %s\n\n%s", o->usage, o->help);
        return WEIRCTL_OK;
    }
    if (strcmp(argv[*i], "--wait") == 0) {
        o->wants_wait = true;
        if (has_more && weirctl_number(argv[*i + 1], 1, 86400, &o->wait_s))
            (*i)++;
        return -1;
    }
    if (strcmp(argv[*i], "--from") == 0 && o->request.action == REQUEST_START && has_more) {
        o->from = argv[++*i];
        return -1;
    }
    if (strcmp(argv[*i], "--table") == 0 && o->request.action != REQUEST_START &&
        o->request.action != REQUEST_RESUME && has_more) {
        o->request.action = REQUEST_RELOAD_TABLES;
        return request_add_table(&o->request, argv[++*i], &e) == 0
                   ? -1
                   : weirctl_fail(o->command, &e, WEIRCTL_USAGE);
    }
    if (argv[*i][0] == '-' || o->path != NULL)
        return weirctl_usage(o->usage);
    o->path = argv[*i];
    return -1;
}

static int
parse(struct options *o, int argc, char **argv)
{
    o->wait_s = WAIT_S;
    for (int i = 1; i < argc; i++) {
        int status = parse_option(o, argc, argv, &i);

        if (status >= 0)
            return status;
    }
    if (o->path == NULL || (o->request.action == REQUEST_START && o->from == NULL))
        return weirctl_usage(o->usage);
    return -1;
}

static bool
capture_runs(const struct task *t)
{
    char path[TOPOLOGY_PATH_MAX];

    return file_is_locked(topology_state_file(t, "capture.lock", path));
}

static int
check_is_stopped(const struct task *t, struct err *e)
{
    if (!capture_runs(t))
        return 0;
    err_set(e, ERR_BUSY, "task %s runs", t->identifier);
    return err_hint(e, "stop its capture first (supervisorctl stop weir:weir-capture, systemctl "
                       "stop, ...); encoders and shippers may go on");
}

static bool
is_there(const struct task *t, const char *name)
{
    char path[TOPOLOGY_PATH_MAX];

    return access(topology_state_file(t, name, path), F_OK) == 0;
}

/* ---- asking and waiting ---- */

/* Has capture read all of the table since it was asked to?  1 = yes, 0 = not yet, -1 = it cannot. */
static int
table_is_loaded(const struct snapshot *s, const struct request_table *wanted, int64_t asked_real_ns)
{
    char name[sizeof(s->tables->name)];

    (void)snprintf(name, sizeof(name), "%s.%s", wanted->schema, wanted->name);
    for (size_t i = 0; i < s->n_tables; i++) {
        const struct table_row *t = &s->tables[i];
        uint64_t ended = t->captured[TSTAT_FULL_LOAD_ENDED];

        if (strcmp(t->name, name) != 0)
            continue;
        if (t->state == TABLE_ERROR && t->captured[TSTAT_FULL_LOAD_BEGAN] > (uint64_t)asked_real_ns)
            return -1;
        return ended > (uint64_t)asked_real_ns ? 1 : 0;
    }
    return 0;
}

static int
tables_are_loaded(const struct options *o, const struct task *t)
{
    struct snapshot s;
    int all = 1;

    snapshot_take(t, &s);
    for (size_t i = 0; i < o->request.n_tables && all == 1; i++)
        all = table_is_loaded(&s, &o->request.tables[i], o->asked_real_ns);
    snapshot_free(&s);
    return all;
}

/* 1 = carried out, a reload of tables to its end; 0 = not yet; -1 = refused, and said so. */
static int
look(const struct options *o, const struct task *t)
{
    char why[ERR_TEXT_MAX];
    int loaded;

    switch (request_fate(t, o->request.id, why, sizeof(why))) {
    case REQUEST_IS_REFUSED:
        (void)fprintf(stderr, "weirctl %s: refused: %s\n", o->command, why);
        return -1;
    case REQUEST_IS_DONE:
        loaded = tables_are_loaded(o, t);
        if (loaded < 0)
            (void)fprintf(stderr, "weirctl %s: a table is in error; `weirctl tables` says why\n",
                          o->command);
        return loaded;
    case REQUEST_WAITS:
    default:
        return 0;
    }
}

static int
wait_for(const struct options *o, const struct task *t)
{
    int64_t until_ns = clock_mono_ns() + (int64_t)o->wait_s * NS_PER_S;
    const struct timespec pause = {.tv_nsec = LOOK_MS * NS_PER_MS};
    int rc;

    while ((rc = look(o, t)) == 0 && clock_mono_ns() < until_ns)
        (void)nanosleep(&pause, NULL);
    if (rc > 0) {
        (void)printf("done\n");
        return WEIRCTL_OK;
    }
    if (rc == 0)
        (void)fprintf(stderr, "weirctl %s: not done within %lu s; %s\n", o->command, o->wait_s,
                      capture_runs(t) ? "capture runs, its log says what it does"
                                      : "capture does not run");
    return WEIRCTL_PROBLEMS;
}

static int
ask(struct options *o, const struct task *t)
{
    struct err e = ERR_INIT;

    o->asked_real_ns = clock_real_ns();
    if (request_submit(t, &o->request, &e) != 0)
        return weirctl_fail(o->command, &e, WEIRCTL_PROBLEMS);
    (void)printf("asked: %s, request %s\n", request_name(o->request.action), o->request.id);
    (void)fflush(stdout);
    return o->wants_wait ? wait_for(o, t) : WEIRCTL_OK;
}

/* ---- start ---- */

static int
place(struct options *o, const struct task *t, struct err *e)
{
    struct source_ranges ranges;
    struct start_bound start;
    struct position at;
    const char *fault = bounds_start(o->from, &start);
    char text[POSITION_TEXT_SIZE];
    int rc;

    if (fault != NULL)
        return err_set(e, ERR_USAGE, "--from %.100s %s", o->from, fault);
    if (strlen(o->from) >= sizeof(o->request.from))
        return err_set(e, ERR_USAGE, "--from %.40s... is too long", o->from);
    rc = source_look(t, &start, &at, &ranges, e);
    source_ranges_free(&ranges);
    if (rc != 0)
        return -1;
    (void)snprintf(o->request.from, sizeof(o->request.from), "%s", o->from);
    (void)printf("the next start of task %s begins anew at %s, now %s, without a load\n",
                 t->identifier, o->from, bounds_start_text(&at, text));
    return 0;
}

static int
start(struct options *o, const struct task *t, struct err *e)
{
    if (t->migration_type != MIGRATION_CDC) {
        err_set(e, ERR_CONFIG, "task %s begins with a full load", t->identifier);
        return err_hint(e, "`weirctl reload` begins it anew; a place to start at is for tasks of "
                           "MigrationType cdc");
    }
    return check_is_stopped(t, e) != 0 ? -1 : place(o, t, e);
}

/* ---- resume and reload ---- */

static int
reload_tables(const struct task *t, struct err *e)
{
    if (t->migration_type == MIGRATION_FULL_LOAD_AND_CDC)
        return 0;
    err_set(e, ERR_CONFIG,
            "a table is loaded anew beside its changes by tasks of MigrationType full-load-and-cdc "
            "only");
    return err_hint(e, t->migration_type == MIGRATION_CDC
                           ? "`weirctl start TASK --from POSITION` begins the task anew"
                           : "`weirctl reload TASK` loads all of the task anew");
}

static int
reload(const struct task *t, struct err *e)
{
    if (t->migration_type == MIGRATION_CDC) {
        err_set(e, ERR_CONFIG, "task %s is of MigrationType cdc: it loads nothing", t->identifier);
        return err_hint(e, "`weirctl start %s --from POSITION` begins it anew", t->path);
    }
    if (check_is_stopped(t, e) != 0)
        return -1;
    (void)printf("the next start of task %s loads everything anew; what there is now is kept in "
                 "%s/before.<generation>\n",
                 t->identifier, t->weir.state_directory);
    return 0;
}

static int
run(struct options *o, int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct task *t;
    int status = parse(o, argc, argv);
    int rc = 0;

    if (status < 0)
        status = weirctl_load(o->command, o->path, &t);
    else
        t = NULL;
    if (t == NULL || status != WEIRCTL_OK) {
        request_free(&o->request);
        return status;
    }
    if (o->request.action == REQUEST_RESUME && !is_there(t, "ended.json")) {
        (void)printf("task %s has not ended at a CdcStopPosition: it resumes where it was whenever "
                     "it is started\n",
                     t->identifier);
        task_free(&t);
        return WEIRCTL_OK;
    }
    if (o->request.action == REQUEST_START)
        rc = start(o, t, &e);
    else if (o->request.action == REQUEST_RELOAD)
        rc = reload(t, &e);
    else if (o->request.action == REQUEST_RELOAD_TABLES)
        rc = reload_tables(t, &e);
    status = rc == 0 ? ask(o, t) : weirctl_fail(o->command, &e, WEIRCTL_PROBLEMS);
    request_free(&o->request);
    task_free(&t);
    return status;
}

int
start_command(int argc, char **argv)
{
    struct options o = {
        .command = "start",
        .usage = START_USAGE,
        .help =
            "Lets a stopped task of MigrationType cdc begin anew at POSITION when it is started "
            "the next\ntime: now, earliest, a UTC time (2026-03-05T08:00:00), an LSN, a "
            "stream-position.\nThe source is asked first whether it has everything from there "
            "on.  A first start\nneeds no command: it begins at CdcStartPosition.\n"
            "--wait: until capture has carried it out.\n",
        .request.action = REQUEST_START};

    return run(&o, argc, argv);
}

int
resume_command(int argc, char **argv)
{
    struct options o = {
        .command = "resume",
        .usage = RESUME_USAGE,
        .help = "Lets a task that has ended at its CdcStopPosition go on behind it, from its next "
                "start on.\nA task that was stopped resumes by itself when it is started.\n",
        .request.action = REQUEST_RESUME};

    return run(&o, argc, argv);
}

int
reload_command(int argc, char **argv)
{
    struct options o = {
        .command = "reload",
        .usage = RELOAD_USAGE,
        .help = "Lets a stopped task load everything anew when it is started the next time.  With "
                "--table,\nas often as needed: loads these tables anew while the others go on, "
                "running or when\nstarted; a suspended table takes part again.  [schema].[table] "
                "for names with points.\n--wait: until capture has carried it out, and read the "
                "tables.\n",
        .request.action = REQUEST_RELOAD};

    return run(&o, argc, argv);
}
