#include "capture/sqlserver/db.h"
#include "capture/sqlserver/log.h"
#include "capture/sqlserver/manage.h"
#include "capture/sqlserver/schema.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"
#include "common/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 520 /* sysname: 128 characters */
#define FIRST_PAGE     256U

/* ---- identity ---- */

int
meta_identity(struct sqlserver *s, struct source_identity *out, struct err *e)
{
    bool is_enabled = false;
    int rc;

    if (db_query(s->db,
                 "SELECT CONVERT(nvarchar(128), @@SERVERNAME), DB_NAME(), "
                 "CONVERT(nvarchar(30), d.create_date, 126), d.collation_name, d.is_cdc_enabled "
                 "FROM sys.databases AS d WHERE d.name = DB_NAME()",
                 e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1) {
        db_text(s->db, 0, out->server, sizeof(out->server));
        db_text(s->db, 1, out->database, sizeof(out->database));
        db_text(s->db, 2, out->created, sizeof(out->created));
        db_text(s->db, 3, s->collation, sizeof(s->collation));
        is_enabled = db_int(s->db, 4) != 0;
    }
    if (rc < 0 || db_result(s->db, e) < 0)
        return -1;
    if (identity_read(s, out, e) != 0)
        return -1;
    s->fold_case = strstr(s->collation, "_CI") != NULL;
    if (!is_enabled && s->config.is_task && s->config.task->source.set_up_cdc && !s->was_connected)
        return manage_enable_database(s, e);
    if (!is_enabled) {
        err_set(e, ERR_CDC_OFF, "change data capture is not enabled for database '%s'",
                out->database);
        return err_hint(e,
                        "run in it: EXEC sys.sp_cdc_enable_db (on Amazon RDS: EXEC "
                        "msdb.dbo.rds_cdc_enable_db '%s'), then sys.sp_cdc_enable_table for "
                        "each table",
                        out->database);
    }
    return 0;
}

/* ---- instances ---- */

void
meta_instance_free(struct instance **in)
{
    struct instance *i = *in;

    if (i == NULL)
        return;
    for (uint16_t c = 0; i->types != NULL && c < i->n_columns; c++)
        free(i->types[c].collation);
    catalog_table_free(&i->table.def);
    free(i->table.instance);
    free(i->table.refused);
    free(i->types);
    free(i->ordinals);
    free(i->is_dropped);
    free(i->select_list);
    free(i->table.left_out);
    free(i->masked);
    free(i->load_list);
    free(i->schema_now);
    free(i->name_now);
    for (size_t c = 0; c < i->n_missing; c++)
        free(i->missing[c]);
    free(i->missing);
    meta_instance_free(&i->shape);
    log_page_free(i);
    free(i);
    *in = NULL;
}

int
meta_refuse(struct instance *in, const char *why, struct err *e)
{
    if (in->table.refused != NULL)
        return 0;
    in->table.refused = strdup(why);
    return in->table.refused != NULL ? 0 : err_set(e, ERR_NOMEM, "refuse %s", in->table.instance);
}

static struct instance *
find_instance(struct sqlserver *s, int32_t change_object, int32_t source_object)
{
    for (size_t i = 0; i < s->n_instances; i++)
        if (!s->instances[i]->is_superseded && s->instances[i]->change_object == change_object &&
            s->instances[i]->source_object == source_object)
            return s->instances[i];
    return NULL;
}

struct instance *
meta_add_instance(struct sqlserver *s, const char *schema, const char *name, const char *instance,
                  struct err *e)
{
    struct instance **list =
        realloc(s->instances, (s->n_instances + 1) * sizeof(struct instance *));
    struct instance *in = calloc(1, sizeof(*in));

    if (list != NULL)
        s->instances = list;
    if (in != NULL)
        in->table.def = calloc(1, sizeof(*in->table.def));
    if (list == NULL || in == NULL || in->table.def == NULL)
        goto fail;
    in->table.def->schema = strdup(schema);
    in->table.def->name = strdup(name);
    in->table.instance = strdup(instance);
    in->page_rows = FIRST_PAGE;
    if (in->table.def->schema == NULL || in->table.def->name == NULL || in->table.instance == NULL)
        goto fail;
    s->instances[s->n_instances++] = in;
    return in;

fail:
    meta_instance_free(&in);
    err_set(e, ERR_NOMEM, "table %s.%s", schema, name);
    return NULL;
}

/* The name of a table that is known already may be another one now. */
static int
take_name(struct instance *in, const char *schema, const char *name, bool is_selected,
          struct err *e)
{
    const struct table_def *d = in->table.def;

    free(in->schema_now);
    free(in->name_now);
    in->schema_now = NULL;
    in->name_now = NULL;
    in->is_deselected = !is_selected;
    if (strcmp(d->schema, schema) == 0 && strcmp(d->name, name) == 0)
        return 0;
    in->schema_now = strdup(schema);
    in->name_now = strdup(name);
    return in->schema_now != NULL && in->name_now != NULL
               ? 0
               : err_set(e, ERR_NOMEM, "table %s.%s", schema, name);
}

/* A row of: schema, table, source object, change object, instance, start LSN, may the login select
   from the change table, from its function.  All behind the third are NULL for a table without
   change data capture. */
static int
take_instance(struct sqlserver *s, struct err *e)
{
    char schema[NAME_MAX_BYTES];
    char name[NAME_MAX_BYTES];
    char instance[NAME_MAX_BYTES];
    char why[1400];
    int32_t source_object = (int32_t)db_int(s->db, 2);
    int32_t change_object = (int32_t)db_int(s->db, 3);
    struct lsn start;
    struct instance *in;
    bool is_selected;
    bool has_start = lsn_read(s->db, 5, &start);

    db_text(s->db, 0, schema, sizeof(schema));
    db_text(s->db, 1, name, sizeof(name));
    db_text(s->db, 4, instance, sizeof(instance));
    is_selected =
        strcmp(schema, "cdc") != 0 && task_selects(s->config.task, schema, name, s->fold_case);
    in = find_instance(s, change_object, source_object);
    if (in == NULL) {
        if (!is_selected)
            return 0;
        /* Just made: the capture job gives it its place, and the next list shows that it did.  A
           start waits for it. */
        if (change_object != 0 && !has_start && s->active != NULL)
            return 0;
        in = meta_add_instance(s, schema, name, instance, e);
        if (in == NULL)
            return -1;
        in->change_object = change_object;
        in->source_object = source_object;
        in->table.object = (uint32_t)source_object;
    }
    in->is_seen = true;
    in->may_select = db_int(s->db, 6) != 0;
    in->may_call = db_int(s->db, 7) != 0;
    db_text(s->db, 8, in->created, sizeof(in->created));
    if (take_name(in, schema, name, is_selected, e) != 0)
        return -1;
    if (change_object != 0) {
        if (!has_start) {
            err_set(e, ERR_PROTOCOL,
                    "capture instance %s has no start_lsn yet: the capture job has not come to it",
                    instance);
            return err_hint(e, "EXEC sys.sp_cdc_start_job @job_type = N'capture'");
        }
        in->start = start;
        return 0;
    }
    (void)snprintf(why, sizeof(why),
                   "change data capture is not enabled for the table: run EXEC "
                   "sys.sp_cdc_enable_table @source_schema = N'%s', @source_name = N'%s', "
                   "@role_name = NULL",
                   schema, name);
    return meta_refuse(in, why, e);
}

static int
compare_instances(const void *a, const void *b)
{
    const struct instance *x = *(struct instance *const *)a;
    const struct instance *y = *(struct instance *const *)b;
    int c = strcmp(x->table.def->schema, y->table.def->schema);

    if (c == 0)
        c = strcmp(x->table.def->name, y->table.def->name);
    if (c == 0)
        c = lsn_compare(&x->start, &y->start);
    if (c == 0)
        c = strcmp(x->created, y->created); /* ids do not rise */
    if (c == 0)
        c = (x->change_object > y->change_object) - (x->change_object < y->change_object);
    if (c == 0)
        c = lsn_compare(&x->since, &y->since);
    return c;
}

/* Invariant: of the instances of one table, only the last (newest start LSN, then made last)
   is open-ended; each other one ends where its follower starts. */
void
meta_arrange(struct sqlserver *s)
{
    if (s->n_instances > 1)
        qsort(s->instances, s->n_instances, sizeof(struct instance *), compare_instances);
    for (size_t i = 0; i + 1 < s->n_instances; i++) {
        struct instance *in = s->instances[i];
        const struct instance *next = s->instances[i + 1];

        if (in->has_until || in->change_object == next->change_object ||
            in->source_object != next->source_object || next->change_object == 0 || next->is_gone)
            continue;
        in->has_until = true;
        in->until = next->start;
    }
}

/* A table that got its first instance since is no longer refused for having none. */
static void
drop_placeholders(struct sqlserver *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->n_instances; i++) {
        if (s->instances[i]->change_object == 0 && !s->instances[i]->is_seen &&
            s->instances[i]->table.user == NULL)
            meta_instance_free(&s->instances[i]);
        else
            s->instances[kept++] = s->instances[i];
    }
    s->n_instances = kept;
}

int
meta_load(struct sqlserver *s, struct err *e)
{
    int rc;

    for (size_t i = 0; i < s->n_instances; i++)
        s->instances[i]->is_seen = false;
    if (db_query(
            s->db,
            "SELECT s.name, t.name, t.object_id, c.object_id, c.capture_instance, c.start_lsn, "
            "HAS_PERMS_BY_NAME(N'cdc.' + QUOTENAME(c.capture_instance + N'_CT'), N'OBJECT', "
            "N'SELECT'), HAS_PERMS_BY_NAME(N'cdc.' + QUOTENAME(N'fn_cdc_get_all_changes_' + "
            "c.capture_instance), N'OBJECT', N'SELECT'), CONVERT(nvarchar(30), c.create_date, 126) "
            "FROM sys.tables AS t JOIN sys.schemas AS s "
            "ON s.schema_id = t.schema_id "
            "LEFT JOIN cdc.change_tables AS c ON c.source_object_id = t.object_id "
            "WHERE t.is_ms_shipped = 0",
            e) != 0)
        return err_context(e, "list the tables");
    while ((rc = db_next(s->db, e)) == 1)
        if (take_instance(s, e) != 0)
            return -1;
    if (rc < 0 || db_result(s->db, e) < 0)
        return err_context(e, "list the tables");
    for (size_t i = 0; i < s->n_instances; i++)
        if (!s->instances[i]->is_superseded)
            s->instances[i]->is_gone = !s->instances[i]->is_seen;
    drop_placeholders(s);
    if (schema_read_all(s, e) != 0 || meta_protected(s, e) != 0)
        return -1;
    meta_arrange(s);
    return 0;
}
