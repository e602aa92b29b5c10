#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"
#include "common/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 520
#define WHY_MAX        (ERR_TEXT_MAX + ERR_HINT_MAX + NAME_MAX_BYTES + 16)

/* Column order of the query in meta_columns(). */
enum {
    Q_ORDINAL,
    Q_NAME,
    Q_COMPUTED,
    Q_SYSTEM_TYPE,
    Q_USER_TYPE,
    Q_MAX_LENGTH,
    Q_PRECISION,
    Q_SCALE,
    Q_COLLATION,
    Q_NULLABLE,
    Q_KEY_ORDINAL,
    Q_COLUMN_SET,
    Q_SOURCE_COLUMN,
};

#define LEFT_OUT_MAX 400

/* Room for one more column in the parallel arrays. */
static int
grow(struct instance *in, struct err *e)
{
    struct table_def *d = in->table.def;
    size_t n = (size_t)in->n_columns + 1;
    struct column_def *columns = realloc(d->columns, n * sizeof(*columns));
    struct type_column *types;
    uint16_t *ordinals;
    bool *is_dropped;

    if (columns == NULL)
        return err_set(e, ERR_NOMEM, "%zu columns", n);
    d->columns = columns;
    types = realloc(in->types, n * sizeof(*types));
    if (types == NULL)
        return err_set(e, ERR_NOMEM, "%zu columns", n);
    in->types = types;
    ordinals = realloc(in->ordinals, n * sizeof(*ordinals));
    if (ordinals == NULL)
        return err_set(e, ERR_NOMEM, "%zu columns", n);
    in->ordinals = ordinals;
    is_dropped = realloc(in->is_dropped, n * sizeof(*is_dropped));
    if (is_dropped == NULL)
        return err_set(e, ERR_NOMEM, "%zu columns", n);
    in->is_dropped = is_dropped;
    in->is_dropped[n - 1] = false;
    d->columns[n - 1] = (struct column_def){.name = NULL};
    in->types[n - 1] = (struct type_column){.collation = NULL};
    in->n_columns = (uint16_t)n;
    d->n_columns = (uint16_t)n;
    return 0;
}

static int
take_collation(struct sqlserver *s, struct type_column *t, struct err *e)
{
    char collation[132];

    db_text(s->db, Q_COLLATION, collation, sizeof(collation));
    if (collation[0] == '\0' || strcmp(collation, s->collation) == 0)
        return 0;
    if (strspn(collation, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") !=
        strlen(collation))
        return err_set(e, ERR_PROTOCOL, "collation name '%s'", collation);
    t->collation = strdup(collation);
    return t->collation != NULL ? 0 : err_set(e, ERR_NOMEM, "collation");
}

/* Notes that no message will show the column, for people; a list that is too long ends in "...". */
static int
leave_out(struct instance *in, const char *name, const char *why, struct err *e)
{
    size_t old = in->table.left_out != NULL ? strlen(in->table.left_out) : 0;
    size_t size = old + strlen(name) + strlen(why) + 16;
    char *text = realloc(in->table.left_out, size);

    if (text == NULL)
        return err_set(e, ERR_NOMEM, "columns left out");
    in->table.left_out = text;
    if (old < LEFT_OUT_MAX)
        (void)snprintf(text + old, size - old, "%s%s (%s)", old > 0 ? ", " : "", name, why);
    else if (strcmp(text + old - 3, "...") != 0)
        (void)snprintf(text + old, size - old, ", ...");
    return 0;
}

/* Takes the newest column back: it is large, and SupportLobs is off. */
static int
drop_lob(struct instance *in, const char *name, struct err *e)
{
    in->n_columns--;
    in->table.def->n_columns--;
    free(in->types[in->n_columns].collation);
    return leave_out(in, name, "SupportLobs is false", e);
}

/*
 * What the change table has no values of.  A column set is only a view on the sparse columns, which
 * are captured one by one.
 */
static const char *
why_empty(struct sqlserver *s)
{
    if (db_int(s->db, Q_COMPUTED) != 0)
        return "computed";
    return db_int(s->db, Q_COLUMN_SET) != 0 ? "column set" : NULL;
}

/* One captured column.  A type weir cannot carry refuses the table, not the engine. */
static int
take_column(struct sqlserver *s, struct instance *in, struct err *e)
{
    const struct lob_settings *lobs = &s->config.task->lobs;
    const char *empty = why_empty(s);
    char name[NAME_MAX_BYTES];
    char why[WHY_MAX];
    size_t size;
    struct type_column *t;
    struct column_def *c;
    struct err unsupported = ERR_INIT;

    db_text(s->db, Q_NAME, name, sizeof(name));
    if (empty != NULL)
        return leave_out(in, name, empty, e);
    if (in->n_columns >= EVENT_MAX_COLUMNS)
        return meta_refuse(in, "it has more than 1024 captured columns", e);
    if (grow(in, e) != 0)
        return -1;
    c = &in->table.def->columns[in->n_columns - 1];
    t = &in->types[in->n_columns - 1];
    in->ordinals[in->n_columns - 1] = (uint16_t)db_int(s->db, Q_ORDINAL);
    t->system_type = (uint8_t)db_int(s->db, Q_SYSTEM_TYPE);
    t->user_type = (int32_t)db_int(s->db, Q_USER_TYPE);
    t->max_length = (int16_t)db_int(s->db, Q_MAX_LENGTH);
    t->precision = (uint8_t)db_int(s->db, Q_PRECISION);
    t->scale = (uint8_t)db_int(s->db, Q_SCALE);
    if (take_collation(s, t, e) != 0)
        return -1;
    if (type_describe(t, c, &unsupported) != 0) {
        (void)snprintf(why, sizeof(why), "column %s: %s; %s", name, unsupported.text,
                       unsupported.hint);
        if (meta_refuse(in, why, e) != 0)
            return -1;
    }
    if (t->is_lob && !lobs->is_supported)
        return drop_lob(in, name, e);
    type_limit(t, lobs->is_limited ? lobs->max_kb * 1024 : 0);
    c->name = strdup(name);
    c->source_type = strdup(t->name);
    in->is_dropped[in->n_columns - 1] = db_data(s->db, Q_SOURCE_COLUMN, &size) == NULL;
    c->nullable = in->is_dropped[in->n_columns - 1] || db_int(s->db, Q_NULLABLE) != 0;
    c->key_ordinal = (uint16_t)db_int(s->db, Q_KEY_ORDINAL);
    if (c->name == NULL || c->source_type == NULL)
        return err_set(e, ERR_NOMEM, "column %s", name);
    return 0;
}

/* A key that is not captured whole is no key: rows cannot be told apart by a part of it. */
static int
settle_key(struct instance *in, struct err *e)
{
    struct table_def *d = in->table.def;
    struct err holes = ERR_INIT;

    if (catalog_finish(d, &holes) == 0)
        return 0;
    if (holes.code == ERR_NOMEM) {
        *e = holes;
        return -1;
    }
    for (uint16_t i = 0; i < d->n_columns; i++)
        d->columns[i].key_ordinal = 0;
    return catalog_finish(d, e);
}

/* The change table itself where that is possible: its rows have an order that can be relied on. */
static int
choose_way(struct instance *in, bool has_command_id, struct err *e)
{
    in->by_function = !in->may_select || !has_command_id;
    if (!in->by_function || in->may_call)
        return 0;
    return meta_refuse(in,
                       in->may_select
                           ? "its change table has no column __$command_id and the login may not "
                             "use its function: GRANT SELECT ON SCHEMA::cdc to the login"
                           : "the login may read neither its change table nor its function: GRANT "
                             "SELECT ON SCHEMA::cdc to the login",
                       e);
}

/* A column of the source that is not captured. */
static int
take_missing(struct sqlserver *s, struct instance *in, struct err *e)
{
    char name[NAME_MAX_BYTES];
    char **list = realloc(in->missing, (in->n_missing + 1) * sizeof(char *));

    if (list == NULL)
        return err_set(e, ERR_NOMEM, "columns that are not captured");
    in->missing = list;
    db_text(s->db, 0, name, sizeof(name));
    list[in->n_missing] = strdup(name);
    if (list[in->n_missing] == NULL)
        return err_set(e, ERR_NOMEM, "column %s", name);
    in->n_missing++;
    return 0;
}

static int
read_rows(struct sqlserver *s, struct instance *in, struct err *e)
{
    bool has_command_id = false;
    int rc;

    while ((rc = db_next(s->db, e)) == 1)
        if (take_column(s, in, e) != 0)
            return -1;
    if (rc < 0 || db_result(s->db, e) != 1)
        return -1;
    while ((rc = db_next(s->db, e)) == 1)
        has_command_id = true;
    if (rc < 0 || db_result(s->db, e) != 1)
        return -1;
    while ((rc = db_next(s->db, e)) == 1)
        if (take_missing(s, in, e) != 0)
            return -1;
    if (rc < 0 || db_result(s->db, e) < 0)
        return -1;
    if (choose_way(in, has_command_id, e) != 0)
        return -1;
    if (in->n_columns == 0)
        return meta_refuse(in, "no column of it is captured", e);
    return 0;
}

/* The object whose columns have the captured types: a login without any right on the change table
   does not see its columns. */
static void
add_described(struct sql *q, const struct instance *in)
{
    char function[NAME_MAX_BYTES + 32];
    struct sql name = {.text = NULL};

    if (in->may_select || !in->may_call) {
        sql_add(q, "cc.object_id");
        return;
    }
    (void)snprintf(function, sizeof(function), "fn_cdc_get_all_changes_%s", in->table.instance);
    sql_add(&name, "cdc.");
    sql_add_name(&name, function);
    sql_add(q, "OBJECT_ID(");
    sql_add_string(q, name.text != NULL ? name.text : "", name.len);
    sql_add(q, ")");
    q->failed = q->failed || name.failed;
    sql_free(&name);
}

int
meta_columns(struct sqlserver *s, struct instance *in, struct err *e)
{
    const char *text;

    in->n_columns = 0;
    free(in->table.left_out);
    in->table.left_out = NULL;
    sql_reset(&s->q);
    sql_add(&s->q,
            "SELECT cc.column_ordinal, cc.column_name, cc.is_computed, c.system_type_id, "
            "c.user_type_id, c.max_length, c.precision, c.scale, c.collation_name, sc.is_nullable, "
            "ic.key_ordinal, sc.is_column_set, sc.column_id FROM cdc.captured_columns AS cc JOIN "
            "sys.columns "
            "AS c ON c.object_id = ");
    add_described(&s->q, in);
    sql_add(
        &s->q,
        " AND c.name = cc.column_name LEFT JOIN sys.columns AS sc ON sc.object_id "
        "= %d AND sc.column_id = cc.column_id LEFT JOIN sys.indexes AS i ON i.object_id = %d "
        "AND i.is_primary_key = 1 LEFT JOIN sys.index_columns AS ic ON ic.object_id = "
        "i.object_id AND ic.index_id = i.index_id AND ic.column_id = cc.column_id WHERE "
        "cc.object_id = %d ORDER BY cc.column_ordinal; SELECT c.column_id FROM sys.columns AS "
        "c WHERE c.object_id = %d AND c.name = N'__$command_id'; SELECT sc.name FROM sys.columns "
        "AS sc WHERE sc.object_id = %d AND sc.is_computed = 0 AND NOT EXISTS (SELECT * FROM "
        "cdc.captured_columns AS cc WHERE cc.object_id = %d AND cc.column_id = sc.column_id) "
        "ORDER BY sc.column_id",
        in->source_object, in->source_object, in->change_object, in->change_object,
        in->source_object, in->change_object);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0 || read_rows(s, in, e) != 0)
        return -1;
    if (in->table.refused != NULL)
        return 0;
    return settle_key(in, e);
}
