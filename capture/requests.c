/*
 * What operators ask for (common/request.h), carried out.
 *
 * To begin anew is a new generation of rings and checkpoints, an empty capture.json, and everything
 * of before put aside in <state>/before.<generation>/.  Steps, each of which a start after a death
 * can repeat:
 *
 *   1. capture.json and ended.json are moved away
 *   2. topology.json names the new generation, and the request it was made for: from here on the
 *      request counts as carried out
 *   3. old checkpoints are moved away, old rings removed: encoders and shippers that still run see
 *      it and start again
 *   4. the request is ended
 *
 * The catalogue stays: a table keeps its id, and its versions go on.  Positions of the new
 * generation need not be higher than those of the old one: a database that was restored begins
 * lower.
 */
#include "capture/capture_internal.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"
#include "common/request.h"
#include "common/task.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_NS (1000 * NS_PER_MS) /* between two looks at the folder while following */

/* ---- putting aside ---- */

/* Moves <state>/<name> into <state>/before.<generation>/.  What is not there was moved before. */
static int
move_aside(const struct capture *c, uint64_t generation, const char *name, struct err *e)
{
    char from[TOPOLOGY_PATH_MAX];
    char to[TOPOLOGY_PATH_MAX];
    char inside[TOPOLOGY_PATH_MAX / 2];

    (void)snprintf(inside, sizeof(inside), "before.%" PRIu64 "/%.200s", generation, name);
    (void)topology_state_file(c->task, name, from);
    if (rename(from, topology_state_file(c->task, inside, to)) != 0 && errno != ENOENT)
        return err_sys(e, ERR_IO, errno, "rename %s to %s", from, to);
    return 0;
}

/* The number behind "prefix", up to a '.' or the end; 0 when name is anything else. */
static uint64_t
number_behind(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    char *end;
    uint64_t number;

    if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9')
        return 0;
    number = strtoull(name + n, &end, 10);
    return *end == '\0' || *end == '.' ? number : 0;
}

/* Calls act for each entry of a directory whose name is prefix and a number; -1 when act fails. */
static int
each_numbered(const char *directory, const char *prefix,
              int (*act)(void *arg, const char *name, uint64_t number, struct err *e), void *arg,
              struct err *e)
{
    const struct dirent *entry;
    DIR *d = opendir(directory);
    int rc = 0;

    if (d == NULL)
        return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "list %s", directory);
    while (rc == 0 && (entry = readdir(d)) != NULL) {
        uint64_t number = number_behind(entry->d_name, prefix);

        if (number > 0)
            rc = act(arg, entry->d_name, number, e);
    }
    (void)closedir(d);
    return rc;
}

static int
take_highest(void *arg, const char *name, uint64_t number, struct err *e)
{
    uint64_t *highest = arg;

    (void)name;
    (void)e;
    if (number > *highest)
        *highest = number;
    return 0;
}

/* A generation nobody has used: topology.json may be what is damaged or lost. */
static int
next_generation(const struct capture *c, const struct topology *old, uint64_t *out, struct err *e)
{
    uint64_t highest = old->generation;

    if (each_numbered(c->task->weir.state_directory, "checkpoint.", take_highest, &highest, e) !=
            0 ||
        each_numbered(c->task->weir.runtime_directory, "g", take_highest, &highest, e) != 0)
        return -1;
    *out = highest + 1;
    return 0;
}

struct cleaning {
    struct capture *capture;
    uint64_t generation; /* the one that stays */
};

static int
clean_checkpoint(void *arg, const char *name, uint64_t number, struct err *e)
{
    const struct cleaning *k = arg;

    return number != k->generation ? move_aside(k->capture, k->generation, name, e) : 0;
}

static int
clean_rings(void *arg, const char *name, uint64_t number, struct err *e)
{
    const struct cleaning *k = arg;
    struct topology gone = {.generation = number};

    (void)name;
    (void)e;
    if (number != k->generation)
        topology_remove_rings(k->capture->task, &gone);
    return 0;
}

/* ---- beginning anew ---- */

static int
new_generation(struct capture *c, const struct request *r, const struct topology *old,
               uint64_t *generation, struct err *e)
{
    const struct weir_settings *w = &c->task->weir;
    struct topology next = {.encoders = w->encoders, .shippers = w->shippers};
    char path[TOPOLOGY_PATH_MAX];
    char name[64];

    if (next_generation(c, old, &next.generation, e) != 0)
        return -1;
    *generation = next.generation;
    (void)snprintf(next.request, sizeof(next.request), "%s", r->id);
    (void)snprintf(next.start, sizeof(next.start), "%s", r->from);
    (void)snprintf(name, sizeof(name), "before.%" PRIu64, next.generation);
    if (file_make_directory(topology_state_file(c->task, name, path), 0750, e) != 0 ||
        move_aside(c, next.generation, "capture.json", e) != 0)
        return -1;
    CRASH_POINT("capture.anew-aside");
    if (move_aside(c, next.generation, "ended.json", e) != 0)
        return -1;
    topology_remove_rings(c->task, &next);
    if (topology_write(c->task, &next, e) != 0)
        return -1;
    CRASH_POINT("capture.anew-generation");
    return 0;
}

static int
begin_anew(struct capture *c, const struct request *r, struct err *e)
{
    struct cleaning k = {.capture = c};
    struct topology old = {.generation = 0};

    if (topology_read(c->task, &old, e) != 0) {
        if (e->code != ERR_NOT_FOUND && e->code != ERR_LAYOUT)
            return -1;
        old = (struct topology){.generation = 0};
    }
    k.generation = old.generation;
    if (strcmp(old.request, r->id) != 0 && new_generation(c, r, &old, &k.generation, e) != 0)
        return err_context(e, "begin anew");
    if (each_numbered(c->task->weir.state_directory, "checkpoint.", clean_checkpoint, &k, e) != 0 ||
        each_numbered(c->task->weir.runtime_directory, "g", clean_rings, &k, e) != 0)
        return err_context(e, "begin anew");
    CRASH_POINT("capture.anew-cleaned");
    log_warn("begins-anew", "request=%s action=%s generation=%" PRIu64 "%s%s", r->id,
             request_name(r->action), k.generation, r->from[0] != '\0' ? " from=" : "", r->from);
    return request_done(c->task, r, e);
}

/* ---- at the start ---- */

static int
carry_out_first(struct capture *c, const struct request *r, struct err *e)
{
    bool loads = c->task->migration_type != MIGRATION_CDC;
    struct start_bound start;

    switch (r->action) {
    case REQUEST_RELOAD:
        if (!loads)
            return request_refuse(c->task, r,
                                  "a cdc task loads nothing; `weirctl start TASK --from POSITION` "
                                  "begins it anew",
                                  e);
        return begin_anew(c, r, e);
    case REQUEST_START:
        if (loads)
            return request_refuse(c->task, r,
                                  "the task begins with a full load; `weirctl reload TASK` begins "
                                  "it anew",
                                  e);
        if (bounds_start(r->from, &start) != NULL)
            return request_refuse(c->task, r, "its start is no position", e);
        return begin_anew(c, r, e);
    case REQUEST_RESUME:
        if (stop_pass(c, e) != 0)
            return -1;
        log_info("resumes", "request=%s", r->id);
        return request_done(c->task, r, e);
    case REQUEST_RELOAD_TABLES: /* once the source is connected */
    default:
        if (c->task->migration_type != MIGRATION_FULL_LOAD_AND_CDC)
            return request_refuse(c->task, r,
                                  "a table is loaded anew beside its changes by tasks of "
                                  "MigrationType full-load-and-cdc only",
                                  e);
        return 0;
    }
}

int
requests_first(struct capture *c, struct err *e)
{
    char after[REQUEST_ID_SIZE] = "";
    struct request r;
    int rc;

    while ((rc = request_next(c->task, after, &r, e)) == 1) {
        (void)snprintf(after, sizeof(after), "%s", r.id);
        rc = carry_out_first(c, &r, e);
        request_free(&r);
        if (rc != 0)
            return -1;
    }
    return rc;
}

/* ---- while the log is followed ---- */

/* Asks for each table; the first one that cannot be loaded is what is told. */
static int
reload_tables(struct capture *c, const struct request *r, struct err *e)
{
    char why[ERR_TEXT_MAX] = "";

    for (size_t i = 0; i < r->n_tables; i++) {
        const struct request_table *t = &r->tables[i];

        if (load_request(c, t->schema, t->name, e) == 0) {
            log_info("table-reload-asked", "request=%s table=%s.%s", r->id, t->schema, t->name);
            continue;
        }
        if (e->code != ERR_NOT_FOUND && e->code != ERR_CONFIG)
            return -1;
        if (why[0] == '\0')
            (void)snprintf(why, sizeof(why), "%.600s%s", e->text,
                           r->n_tables > 1 ? " (the other tables are loaded)" : "");
        err_clear(e);
    }
    CRASH_POINT("capture.reload-asked");
    if (why[0] == '\0')
        return request_done(c->task, r, e);
    log_warn("request-refused", "request=%s text=\"%s\"", r->id, why);
    return request_refuse(c->task, r, why, e);
}

static int
carry_out_now(struct capture *c, const struct request *r, struct err *e)
{
    switch (r->action) {
    case REQUEST_RELOAD_TABLES:
        return reload_tables(c, r, e);
    case REQUEST_RESUME:
        return request_done(c->task, r, e); /* it has not ended */
    case REQUEST_START:
    case REQUEST_RELOAD:
    default:
        return request_refuse(c->task, r, "the task runs: stop its capture, then ask again", e);
    }
}

int
requests_now(struct capture *c, struct err *e)
{
    char after[REQUEST_ID_SIZE] = "";
    int64_t now_ns = clock_mono_ns();
    struct request r;
    int rc;

    if (now_ns < c->requests_due_ns)
        return 0;
    c->requests_due_ns = now_ns + LOOK_NS;
    while ((rc = request_next(c->task, after, &r, e)) == 1) {
        (void)snprintf(after, sizeof(after), "%s", r.id);
        rc = carry_out_now(c, &r, e);
        request_free(&r);
        if (rc != 0)
            return -1;
    }
    return rc;
}
