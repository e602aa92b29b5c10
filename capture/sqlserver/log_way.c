#include "capture/sqlserver/log.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"
#include "common/task.h"
#include "common/topology.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/*
 * <state>/sqlserver.json: which capture instances are read by their function.
 *
 * Inside a transaction the place of a row depends on the way it is read: the function's rows come
 * first.  A table whose way changed while a transaction was half read would lose the rest of its
 * rows, or give them twice.  So the way is remembered before it is gone, and changes only between
 * transactions.
 */

#define WAY_FILE     "sqlserver.json"
#define WAY_FILE_MAX ((size_t)1 << 20)
#define WAY_FORMAT   1

/* ---- the file ---- */

static int
damaged(const char *path, struct err *e)
{
    err_set(e, ERR_LAYOUT, "%s is damaged or of another version", path);
    return err_hint(e, "restore the file; without it (remove it) every table counts as read from "
                       "its change table");
}

static int
read_file(struct sqlserver *s, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char *text = NULL;
    size_t size = 0;
    json_t *root;
    json_t *list = NULL;
    int format = 0;

    (void)topology_state_file(s->config.task, WAY_FILE, path);
    if (file_read(path, WAY_FILE_MAX, &text, &size, e) != 0) {
        if (e->code != ERR_NOT_FOUND)
            return -1;
        s->by_function = json_array();
        return s->by_function != NULL ? 0 : err_set(e, ERR_NOMEM, "%s", WAY_FILE);
    }
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (root == NULL ||
        json_unpack(root, "{s:i,s:O}", "format", &format, "by_function", &list) != 0 ||
        format != WAY_FORMAT || !json_is_array(list)) {
        json_decref(list);
        json_decref(root);
        return damaged(path, e);
    }
    json_decref(root);
    s->by_function = list;
    return 0;
}

static int
write_file(struct sqlserver *s, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    json_t *root =
        json_pack("{s:i,s:O}", "format", WAY_FORMAT, "by_function", (json_t *)s->by_function);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    int rc;

    json_decref(root);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "%s", WAY_FILE);
    (void)topology_state_file(s->config.task, WAY_FILE, path);
    CRASH_POINT("sqlserver.way-before");
    rc = file_replace(path, text, strlen(text), 0640, e);
    CRASH_POINT("sqlserver.way-written");
    free(text);
    return rc;
}

/* ---- the ways ---- */

static bool
was_by_function(const struct sqlserver *s, const struct instance *in)
{
    size_t i;
    json_t *name;

    json_array_foreach(s->by_function, i, name)
    {
        const char *text = json_string_value(name);

        if (text != NULL && strcmp(text, in->table.instance) == 0)
            return true;
    }
    return false;
}

/* The way changed while the instance's part of a transaction is half read. */
static int
keep_way(struct instance *in, const struct log_range *r, struct err *e)
{
    char lsn[LSN_TEXT_SIZE];
    struct lsn of;

    if (!in->by_function) {
        in->by_function = true; /* as it was; the change table from the next start on */
        return 0;
    }
    memcpy(of.b, r->from.start_lsn, LSN_SIZE);
    err_set(e, ERR_ACCESS,
            "the login lost SELECT on the change table of %s in the middle of transaction %s, "
            "which was half read from it: its function tells no order that goes on from there",
            in->table.instance, lsn_text(&of, lsn));
    return err_hint(e, "GRANT SELECT ON SCHEMA::cdc to the login, at least until the task's "
                       "position has passed that transaction");
}

static int
take_list(struct sqlserver *s, struct err *e)
{
    (void)json_array_clear(s->by_function);
    for (size_t i = 0; i < s->n_instances; i++) {
        const struct instance *in = s->instances[i];

        if (!in->by_function || in->change_object == 0)
            continue;
        if (json_array_append_new(s->by_function, json_string(in->table.instance)) != 0)
            return err_set(e, ERR_NOMEM, "%s", WAY_FILE);
        log_warn("read-by-function",
                 "table=%s.%s reason=\"the login may not read its change table, or that has no "
                 "__$command_id: rows of a transaction come in the order of seqval\"",
                 in->table.def->schema, in->table.def->name);
    }
    return write_file(s, e);
}

int
log_settle_ways(struct sqlserver *s, const struct log_range *r, struct err *e)
{
    bool is_changed = false;

    if (s->by_function == NULL && read_file(s, e) != 0)
        return -1;
    for (size_t i = 0; i < s->n_instances; i++) {
        struct instance *in = s->instances[i];

        if (!in->is_known || in->is_gone || in->change_object == 0 || in->table.refused != NULL ||
            was_by_function(s, in) == in->by_function)
            continue;
        if (!log_is_behind(in, r) || !in->is_old)
            is_changed = true;
        else if (keep_way(in, r, e) != 0)
            return -1;
    }
    return is_changed ? take_list(s, e) : 0;
}
