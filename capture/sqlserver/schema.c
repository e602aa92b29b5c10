#include "capture/sqlserver/schema.h"

#include "capture/sqlserver/db.h"
#include "common/err.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COMMAND_MAX (2000 * 3 + 1) /* as many characters are asked for, in UTF-8 */

/* ---- cdc.ddl_history ---- */

void
schema_free_history(struct sqlserver *s)
{
    for (size_t i = 0; i < s->n_ddl; i++)
        free(s->ddl[i].command);
    free(s->ddl);
    s->ddl = NULL;
    s->n_ddl = 0;
}

static int
take_ddl(struct sqlserver *s, struct err *e)
{
    struct ddl *list = realloc(s->ddl, (s->n_ddl + 1) * sizeof(*list));
    char command[COMMAND_MAX];
    struct ddl *d;

    if (list == NULL)
        return err_set(e, ERR_NOMEM, "history of %zu statements", s->n_ddl);
    s->ddl = list;
    d = &list[s->n_ddl];
    *d = (struct ddl){.change_object = (int32_t)db_int(s->db, 0), .retypes = db_int(s->db, 2) != 0};
    if (!lsn_read(s->db, 1, &d->lsn))
        return err_set(e, ERR_PROTOCOL, "a row of cdc.ddl_history without LSN");
    db_text(s->db, 3, command, sizeof(command));
    d->command = strdup(command);
    if (d->command == NULL)
        return err_set(e, ERR_NOMEM, "history of %zu statements", s->n_ddl);
    s->n_ddl++;
    return 0;
}

static int
read_history(struct sqlserver *s, struct err *e)
{
    int rc;

    schema_free_history(s);
    if (db_query(s->db,
                 "SELECT h.object_id, h.ddl_lsn, h.required_column_update, LEFT(h.ddl_command, "
                 "2000) FROM cdc.ddl_history AS h ORDER BY h.object_id, h.ddl_lsn",
                 e) != 0)
        return err_context(e, "read the history of definitions");
    while ((rc = db_next(s->db, e)) == 1)
        if (take_ddl(s, e) != 0)
            return -1;
    return rc < 0 || db_result(s->db, e) < 0 ? err_context(e, "read the history of definitions")
                                             : 0;
}

static uint32_t
count_ddl(const struct sqlserver *s, const struct instance *in)
{
    uint32_t n = 0;

    for (size_t i = 0; i < s->n_ddl; i++)
        n += s->ddl[i].change_object == in->change_object ? 1 : 0;
    return n;
}

static bool
is_name_character(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '@' || c == '$' || c == '#' || c >= 0x80;
}

/* The statement has that word or name in it, as a whole.  Which statement of several is about a
   column needs no more; one that escapes it (a name with a bracket) only moves the change to
   where it was noticed. */
static bool
mentions(const char *command, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = command; *at != '\0'; at++)
        if (strncasecmp(at, name, size) == 0 &&
            (at == command || !is_name_character((unsigned char)at[-1])) &&
            !is_name_character((unsigned char)at[size]))
            return true;
    return false;
}

const struct ddl *
schema_find_ddl(const struct sqlserver *s, const struct instance *in, const char *column,
                bool is_drop)
{
    const struct ddl *found = NULL;

    for (size_t i = 0; i < s->n_ddl; i++) {
        const struct ddl *d = &s->ddl[i];

        if (d->change_object != in->change_object || lsn_compare(&d->lsn, &in->since) <= 0 ||
            !mentions(d->command, column) || mentions(d->command, "DROP") != is_drop ||
            (!is_drop && !d->retypes))
            continue;
        found = d;
        if (!is_drop)
            break;
    }
    return found;
}

const char *
schema_last_ddl(const struct sqlserver *s, const struct instance *in)
{
    const char *last = NULL;

    for (size_t i = 0; i < s->n_ddl; i++)
        if (s->ddl[i].change_object == in->change_object)
            last = s->ddl[i].command;
    return last;
}

const struct ddl *
schema_added(const struct sqlserver *s, const struct instance *in, const char *column)
{
    for (size_t i = s->n_ddl; i > 0; i--) {
        const struct ddl *d = &s->ddl[i - 1];

        if (d->change_object == in->change_object && mentions(d->command, column) &&
            mentions(d->command, "ADD"))
            return d;
    }
    return NULL;
}

/* ---- definitions ---- */

static int
copy_column(const struct column_def *from, struct column_def *to, struct err *e)
{
    *to = *from;
    to->name = strdup(from->name);
    to->source_type = strdup(from->source_type);
    return to->name != NULL && to->source_type != NULL
               ? 0
               : err_set(e, ERR_NOMEM, "column %s", from->name);
}

static void
free_columns(struct instance *in)
{
    struct table_def *d = in->table.def;

    for (uint16_t i = 0; i < d->n_columns && d->columns != NULL; i++) {
        free(d->columns[i].name);
        free(d->columns[i].source_type);
    }
    for (uint16_t i = 0; i < in->n_columns && in->types != NULL; i++)
        free(in->types[i].collation);
    free(d->columns);
    free(in->types);
    free(in->ordinals);
    free(in->is_dropped);
    free(in->select_list);
    free(in->load_list);
    d->columns = NULL;
    in->types = NULL;
    in->ordinals = NULL;
    in->is_dropped = NULL;
    in->select_list = NULL;
    in->load_list = NULL;
    free(d->key);
    d->key = NULL;
    d->n_key = 0;
    d->n_columns = 0;
    in->n_columns = 0;
    page_free(&in->page); /* its rows have other columns */
}

static int
find_column(const struct table_def *d, const char *name)
{
    for (uint16_t i = 0; i < d->n_columns; i++)
        if (strcmp(d->columns[i].name, name) == 0)
            return i;
    return -1;
}

/* Column i of in, as `from` says it is called and was typed, read as the change table has it now. */
static int
take_column(struct instance *in, uint16_t i, const struct column_def *from, struct err *e)
{
    const struct instance *shape = in->shape;
    int at = find_column(shape->table.def, from->name);

    if (copy_column(from, &in->table.def->columns[i], e) != 0)
        return -1;
    in->table.def->n_columns = (uint16_t)(i + 1);
    in->n_columns = (uint16_t)(i + 1);
    in->is_dropped[i] = at < 0 || shape->is_dropped[at];
    if (at < 0)
        return err_set(e, ERR_PROTOCOL, "change table of %s: column %s is gone", in->table.instance,
                       from->name);
    in->types[i] = shape->types[at];
    in->ordinals[i] = shape->ordinals[at];
    if (shape->types[at].collation == NULL)
        return 0;
    in->types[i].collation = strdup(shape->types[at].collation);
    return in->types[i].collation != NULL ? 0 : err_set(e, ERR_NOMEM, "column %s", from->name);
}

/* The expressions of both lists.  What the source no longer has is NULL in rows loaded from it. */
static int
make_lists(struct instance *in, struct err *e)
{
    struct sql log = {.text = NULL};
    struct sql load = {.text = NULL};

    for (uint16_t i = 0; i < in->n_columns; i++) {
        const char *name = in->table.def->columns[i].name;

        if (i > 0) {
            sql_add(&log, ", ");
            sql_add(&load, ", ");
        }
        type_add_select(&log, &in->types[i], name);
        if (in->is_dropped[i])
            sql_add(&load, "CONVERT(int, NULL)");
        else
            type_add_select(&load, &in->types[i], name);
    }
    if (sql_text(&log, e) == NULL || sql_text(&load, e) == NULL) {
        sql_free(&log);
        sql_free(&load);
        return -1;
    }
    in->select_list = log.text;
    in->load_list = load.text;
    return 0;
}

/* Column i of a new instance was dropped behind the instance's beginning: until then it has values. */
static bool
is_dropped_later(const struct sqlserver *s, const struct instance *in,
                 const struct table_def *shape, uint16_t i)
{
    return s != NULL && schema_find_ddl(s, in, shape->columns[i].name, true) != NULL;
}

int
schema_settle(const struct sqlserver *s, struct instance *in, const struct table_def *like,
              struct err *e)
{
    const struct table_def *from = like != NULL ? like : in->shape->table.def;
    struct table_def *d = in->table.def;
    size_t room = (size_t)from->n_columns + 1;
    uint16_t n = 0;

    free_columns(in);
    d->columns = calloc(room, sizeof(*d->columns));
    in->types = calloc(room, sizeof(*in->types));
    in->ordinals = calloc(room, sizeof(*in->ordinals));
    in->is_dropped = calloc(room, sizeof(*in->is_dropped));
    if (d->columns == NULL || in->types == NULL || in->ordinals == NULL || in->is_dropped == NULL)
        return err_set(e, ERR_NOMEM, "columns of %s", in->table.instance);
    for (uint16_t i = 0; i < from->n_columns; i++) {
        if (like == NULL && in->shape->is_dropped[i] && !is_dropped_later(s, in, from, i))
            continue;
        if (take_column(in, n, &from->columns[i], e) != 0)
            return -1;
        n++;
    }
    if (n == 0)
        return meta_refuse(in, "none of its captured columns is left", e);
    return catalog_finish(d, e) != 0 ? -1 : make_lists(in, e);
}

int
schema_copy(const struct table_def *from, struct table_def **out, struct err *e)
{
    struct table_def *d = calloc(1, sizeof(*d));

    if (d == NULL ||
        (d->columns = calloc((size_t)from->n_columns + 1, sizeof(*d->columns))) == NULL)
        goto fail;
    d->id = from->id;
    d->version = from->version;
    d->schema = strdup(from->schema);
    d->name = strdup(from->name);
    if (d->schema == NULL || d->name == NULL)
        goto fail;
    for (uint16_t i = 0; i < from->n_columns; i++) {
        d->n_columns = (uint16_t)(i + 1);
        if (copy_column(&from->columns[i], &d->columns[i], e) != 0)
            goto fail;
    }
    if (catalog_finish(d, e) != 0)
        goto fail;
    *out = d;
    return 0;

fail:
    catalog_table_free(&d);
    return err_set(e, ERR_NOMEM, "definition of %s.%s", from->schema, from->name);
}

/* The definition stays; expressions and types follow the change table. */
static int
settle_again(struct instance *in, struct err *e)
{
    struct table_def *same = NULL;
    int rc;

    if (in->types == NULL)
        return schema_settle(NULL, in, NULL, e);
    if (schema_copy(in->table.def, &same, e) != 0)
        return -1;
    rc = schema_settle(NULL, in, same, e);
    catalog_table_free(&same);
    return rc;
}

/* Reads what the instance's change table holds, if it was not yet or there was DDL since. */
static int
read_shape(struct sqlserver *s, struct instance *in, bool *any, struct err *e)
{
    uint32_t n_ddl = count_ddl(s, in);
    struct instance *shape;

    if (in->change_object == 0 || in->is_gone || in->is_superseded || in->table.refused != NULL ||
        (in->shape != NULL && in->n_ddl == n_ddl && !atomic_load(&in->is_stale)))
        return 0;
    *any = true;
    shape = calloc(1, sizeof(*shape));
    if (shape != NULL)
        shape->table.def = calloc(1, sizeof(*shape->table.def));
    if (shape == NULL || shape->table.def == NULL ||
        (shape->table.instance = strdup(in->table.instance)) == NULL) {
        meta_instance_free(&shape);
        return err_set(e, ERR_NOMEM, "columns of %s", in->table.instance);
    }
    shape->change_object = in->change_object;
    shape->source_object = in->source_object;
    shape->may_select = in->may_select;
    shape->may_call = in->may_call;
    if (meta_columns(s, shape, e) != 0) {
        meta_instance_free(&shape);
        return -1;
    }
    in->n_ddl = n_ddl;
    meta_instance_free(&in->shape);
    in->shape = shape;
    in->by_function = shape->by_function;
    free(in->table.left_out);
    in->table.left_out = shape->table.left_out;
    shape->table.left_out = NULL;
    if (shape->table.refused != NULL)
        return meta_refuse(in, shape->table.refused, e);
    return settle_again(in, e);
}

/* The history is read again behind the shapes: what a shape shows has its statement in it, if the
   log has come to it; one that came in between is seen by the next poll. */
int
schema_read_all(struct sqlserver *s, struct err *e)
{
    bool any = false;

    if (read_history(s, e) != 0)
        return -1;
    for (size_t i = 0; i < s->n_instances; i++)
        if (read_shape(s, s->instances[i], &any, e) != 0)
            return err_context(e, "read the columns of %s", s->instances[i]->table.instance);
    return any ? read_history(s, e) : 0;
}

int
schema_reread(struct sqlserver *s, struct instance *in, struct err *e)
{
    bool any;

    meta_instance_free(&in->shape);
    free_columns(in);
    return read_shape(s, in, &any, e);
}

int
schema_resume(struct instance *in, const struct table_def *was, struct err *e)
{
    struct table_def *d = in->table.def;
    char *schema = strdup(was->schema);
    char *name = strdup(was->name);

    if (schema == NULL || name == NULL) {
        free(schema);
        free(name);
        return err_set(e, ERR_NOMEM, "table %s", was->name);
    }
    if (in->name_now == NULL && (strcmp(d->schema, schema) != 0 || strcmp(d->name, name) != 0)) {
        in->schema_now = d->schema;
        in->name_now = d->name;
    } else {
        free(d->schema);
        free(d->name);
    }
    d->schema = schema;
    d->name = name;
    return schema_settle(NULL, in, was, e);
}
