#include "common/request.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"
#include "common/task.h"
#include "common/topology.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "requests"
#define FILE_MAX  ((size_t)1 << 20)
#define NAME_SIZE 96
#define FORMAT    1
#define WAITING   ".json"
#define DONE      ".done"
#define REFUSED   ".refused"
#define KEPT      20 /* finished ones that stay */
#define PART_SIZE 512

static const char *const names[] = {
    [REQUEST_START] = "start",
    [REQUEST_RESUME] = "resume",
    [REQUEST_RELOAD] = "reload",
    [REQUEST_RELOAD_TABLES] = "reload-tables",
};

#define N_NAMES (sizeof(names) / sizeof(names[0]))

const char *
request_name(enum request_action action)
{
    return names[action];
}

void
request_free(struct request *r)
{
    for (size_t i = 0; i < r->n_tables; i++) {
        free(r->tables[i].schema);
        free(r->tables[i].name);
    }
    free(r->tables);
    r->tables = NULL;
    r->n_tables = 0;
}

static int
append(struct request *r, const char *schema, const char *name, struct err *e)
{
    struct request_table *list = realloc(r->tables, (r->n_tables + 1) * sizeof(*list));
    struct request_table *t;

    if (list == NULL)
        return err_set(e, ERR_NOMEM, "request");
    r->tables = list;
    t = &list[r->n_tables++];
    t->schema = strdup(schema);
    t->name = strdup(name);
    return t->schema != NULL && t->name != NULL ? 0 : err_set(e, ERR_NOMEM, "request");
}

/* One part of a name, plain up to the mark or in brackets.  NULL when it is neither. */
static const char *
take_name(const char *at, const char *marks, char *out, size_t size)
{
    size_t n = 0;

    if (*at != '[') {
        n = strcspn(at, marks);
        if (n == 0 || n >= size)
            return NULL;
        (void)snprintf(out, size, "%.*s", (int)n, at);
        return at + n;
    }
    for (at++; *at != '\0' && n + 1 < size; at++) {
        if (*at == ']' && at[1] != ']')
            break;
        at += *at == ']';
        out[n++] = *at;
    }
    out[n] = '\0';
    return *at == ']' && n > 0 ? at + 1 : NULL;
}

int
request_add_table(struct request *r, const char *text, struct err *e)
{
    char schema[PART_SIZE];
    char name[PART_SIZE];
    const char *at = take_name(text, ".", schema, sizeof(schema));

    if (at != NULL && *at == '.')
        at = take_name(at + 1, "", name, sizeof(name));
    else
        at = NULL;
    if (at == NULL || *at != '\0') {
        err_set(e, ERR_USAGE, "'%.200s' is no table name", text);
        return err_hint(e, "write schema.table, or [schema].[table] when a name holds a point");
    }
    return append(r, schema, name, e);
}

/* ---- files ---- */

static const char *
file_path(const struct task *t, const char *id, const char *suffix, char *buf)
{
    char name[NAME_SIZE + sizeof(DIRECTORY) + 16];

    (void)snprintf(name, sizeof(name), DIRECTORY "/%.*s%s", NAME_SIZE, id, suffix);
    return topology_state_file(t, name, buf);
}

static bool
has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    size_t m = strlen(suffix);

    return n > m && strcmp(name + n - m, suffix) == 0;
}

static char *
to_text(const struct task *t, const struct request *r, const char *refused)
{
    char iso[CLOCK_ISO_SIZE];
    json_t *tables = json_array();
    json_t *root;
    char *text;

    for (size_t i = 0; i < r->n_tables; i++)
        (void)json_array_append_new(tables, json_pack("{s:s, s:s}", "schema", r->tables[i].schema,
                                                      "table", r->tables[i].name));
    root = json_pack("{s:i, s:s, s:s, s:s, s:o, s:s, s:s*}", "format", FORMAT, "task",
                     t->identifier, "action", names[r->action], "from", r->from, "tables", tables,
                     "written", clock_iso(clock_real_ns(), iso), "refused", refused);
    text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    return text;
}

static int
write_file(const struct task *t, const struct request *r, const char *suffix, const char *refused,
           struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char *text = to_text(t, r, refused);
    int rc;

    if (text == NULL)
        return err_set(e, ERR_NOMEM, "request");
    rc = file_replace(file_path(t, r->id, suffix, path), text, strlen(text), 0640, e);
    free(text);
    return rc;
}

/* What root asks for must be readable, and its folder writable, by the user that capture runs as:
   the owner of the state directory. */
static int
give_to_owner(const struct task *t, const char *path, struct err *e)
{
    struct stat st;

    if (geteuid() != 0)
        return 0;
    if (stat(t->weir.state_directory, &st) != 0 || chown(path, st.st_uid, st.st_gid) != 0)
        return err_sys(e, ERR_IO, errno, "give %s to the owner of %s", path,
                       t->weir.state_directory);
    return 0;
}

int
request_submit(const struct task *t, struct request *r, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char iso[CLOCK_ISO_SIZE];

    (void)clock_iso(clock_real_ns(), iso);
    iso[13] = iso[16] = '-'; /* file names without colons */
    (void)snprintf(r->id, sizeof(r->id), "%s-%ld", iso, (long)getpid());
    if (file_make_directory(topology_state_file(t, DIRECTORY, path), 0750, e) != 0 ||
        give_to_owner(t, path, e) != 0 || write_file(t, r, WAITING, NULL, e) != 0)
        return -1;
    return give_to_owner(t, file_path(t, r->id, WAITING, path), e);
}

/* ---- reading ---- */

static bool
parse_tables(const json_t *tables, struct request *r)
{
    size_t i;
    json_t *item;

    json_array_foreach(tables, i, item)
    {
        const char *schema = NULL;
        const char *name = NULL;

        if (json_unpack(item, "{s:s, s:s}", "schema", &schema, "table", &name) != 0 ||
            append(r, schema, name, NULL) != 0)
            return false;
    }
    return json_is_array(tables);
}

/* NULL, or why the text is no request of this task. */
static const char *
parse(const struct task *t, const char *text, size_t size, struct request *r)
{
    json_error_t je;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &je);
    const char *why = NULL;
    const char *task = NULL;
    const char *action = NULL;
    const char *from = NULL;
    json_t *tables = NULL;
    size_t known = 0;
    int format = 0;

    if (root == NULL ||
        json_unpack(root, "{s:i, s:s, s:s, s:s, s:o}", "format", &format, "task", &task, "action",
                    &action, "from", &from, "tables", &tables) != 0) {
        json_decref(root);
        return "it is damaged";
    }
    while (known < N_NAMES && strcmp(names[known], action) != 0)
        known++;
    if (format != FORMAT || known == N_NAMES)
        why = "it is of another release";
    else if (strcmp(task, t->identifier) != 0)
        why = "it is for another task";
    else if (strlen(from) >= sizeof(r->from) || !parse_tables(tables, r) ||
             (known == REQUEST_RELOAD_TABLES) != (r->n_tables > 0) ||
             (known == REQUEST_START) != (from[0] != '\0'))
        why = "it is damaged";
    r->action = (enum request_action)known;
    if (why == NULL)
        (void)snprintf(r->from, sizeof(r->from), "%s", from);
    json_decref(root);
    return why;
}

/* What is no request is put aside as it is, so that nobody stumbles over it again. */
static int
put_aside(const struct task *t, const char *id, const char *why, struct err *e)
{
    char from[TOPOLOGY_PATH_MAX];
    char to[TOPOLOGY_PATH_MAX];

    (void)file_path(t, id, WAITING, from);
    log_warn("request-refused", "file=%s text=\"%s; kept as .refused\"", from, why);
    if (rename(from, file_path(t, id, REFUSED, to)) != 0 && errno != ENOENT)
        return err_sys(e, ERR_IO, errno, "rename %s", from);
    return 0;
}

/* 1 = read, 0 = it was none, or is gone. */
static int
read_request(const struct task *t, const char *id, struct request *out, struct err *e)
{
    struct request r = {.n_tables = 0};
    char path[TOPOLOGY_PATH_MAX];
    const char *why;
    char *text;
    size_t size;

    if (file_read(file_path(t, id, WAITING, path), FILE_MAX, &text, &size, e) != 0) {
        if (e->code == ERR_ACCESS)
            log_warn("request-unreadable", "file=%s text=\"give it to the user of capture\"", path);
        if (e->code == ERR_NOT_FOUND || e->code == ERR_ACCESS)
            return 0;
        return e->code == ERR_LAYOUT ? put_aside(t, id, "it is too large", e) : -1;
    }
    why = parse(t, text, size, &r);
    free(text);
    if (why != NULL) {
        request_free(&r);
        return put_aside(t, id, why, e);
    }
    (void)snprintf(r.id, sizeof(r.id), "%s", id);
    *out = r;
    return 1;
}

/* The first name behind `after` with this suffix, without it; "" when there is none. */
static int
first_behind(const struct task *t, const char *after, const char *suffix, char *out, size_t *n,
             struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    const struct dirent *entry;
    DIR *d = opendir(topology_state_file(t, DIRECTORY, path));

    out[0] = '\0';
    *n = 0;
    if (d == NULL)
        return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "list %s", path);
    while ((entry = readdir(d)) != NULL) {
        char id[REQUEST_ID_SIZE];
        size_t length = strlen(entry->d_name);

        if (!has_suffix(entry->d_name, suffix))
            continue;
        length -= strlen(suffix);
        if (length >= sizeof(id))
            continue; /* none that weirctl wrote */
        (void)snprintf(id, sizeof(id), "%.*s", (int)length, entry->d_name);
        (*n)++;
        if (strcmp(id, after) > 0 && (out[0] == '\0' || strcmp(id, out) < 0))
            (void)snprintf(out, REQUEST_ID_SIZE, "%s", id);
    }
    (void)closedir(d);
    return 0;
}

int
request_next(const struct task *t, const char *after, struct request *out, struct err *e)
{
    char id[REQUEST_ID_SIZE];
    char last[REQUEST_ID_SIZE];
    size_t n;
    int rc = 0;

    (void)snprintf(last, sizeof(last), "%s", after);
    while (rc == 0) {
        if (first_behind(t, last, WAITING, id, &n, e) != 0)
            return -1;
        if (id[0] == '\0')
            return 0;
        rc = read_request(t, id, out, e);
        (void)snprintf(last, sizeof(last), "%s", id);
    }
    return rc;
}

/* ---- ending ---- */

static int
cannot(const char *step, const char *path, struct err *e)
{
    bool is_right = errno == EACCES || errno == EPERM || errno == EROFS;

    err_sys(e, is_right ? ERR_ACCESS : ERR_IO, errno, "%s %s", step, path);
    return err_hint(e, "the request is carried out; let capture's user write in that folder, or "
                       "remove the file");
}

static void
prune(const struct task *t, const char *suffix)
{
    char path[TOPOLOGY_PATH_MAX];
    char id[REQUEST_ID_SIZE];
    struct err ignored = ERR_INIT;
    size_t n;

    while (first_behind(t, "", suffix, id, &n, &ignored) == 0 && n > KEPT)
        if (unlink(file_path(t, id, suffix, path)) != 0)
            return;
}

static int
sync_directory(const struct task *t, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    int fd = open(topology_state_file(t, DIRECTORY, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);

    if (rc != 0)
        err_sys(e, ERR_IO, errno, "sync %s", path);
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

int
request_done(const struct task *t, const struct request *r, struct err *e)
{
    char from[TOPOLOGY_PATH_MAX];
    char to[TOPOLOGY_PATH_MAX];

    CRASH_POINT("request.before-done");
    if (rename(file_path(t, r->id, WAITING, from), file_path(t, r->id, DONE, to)) != 0 &&
        errno != ENOENT)
        return cannot("rename", from, e);
    CRASH_POINT("request.done");
    prune(t, DONE);
    return sync_directory(t, e);
}

int
request_refuse(const struct task *t, const struct request *r, const char *why, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];

    if (write_file(t, r, REFUSED, why, e) != 0)
        return -1;
    CRASH_POINT("request.refused");
    if (unlink(file_path(t, r->id, WAITING, path)) != 0 && errno != ENOENT)
        return cannot("remove", path, e);
    prune(t, REFUSED);
    return sync_directory(t, e);
}

enum request_fate
request_fate(const struct task *t, const char *id, char *why, size_t size)
{
    char path[TOPOLOGY_PATH_MAX];
    struct err ignored = ERR_INIT;
    const char *reason = NULL;
    char *text;
    size_t length;
    json_t *root;

    (void)snprintf(why, size, "%s", "");
    if (access(file_path(t, id, WAITING, path), F_OK) == 0)
        return REQUEST_WAITS;
    if (file_read(file_path(t, id, REFUSED, path), FILE_MAX, &text, &length, &ignored) != 0)
        return REQUEST_IS_DONE;
    root = json_loadb(text, length, 0, NULL);
    free(text);
    (void)json_unpack(root, "{s:s}", "refused", &reason);
    (void)snprintf(why, size, "%s", reason != NULL ? reason : "it is no request");
    json_decref(root);
    return REQUEST_IS_REFUSED;
}
