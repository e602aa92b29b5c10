/* Alias types (CREATE TYPE name FROM a system type), and the collation of a database. */
#include "tests/mssqld/sql/ddl_parts.h"
#include "tests/mssqld/sql/parse.h"

int
ddl_set_collation(struct session *s, const char *database, const char *collation)
{
    const struct database *d = engine_database(s->engine, database);

    return session_sqlf(s, "INSERT INTO d%d.sys_meta VALUES ('collation', '%s')", d->id, collation);
}

const char *
ddl_collation(struct session *s, const struct database *d)
{
    sqlite3_stmt *q = session_prepare(
        s, arena_printf(&s->exec_arena, "SELECT v FROM d%d.sys_meta WHERE k = 'collation'", d->id));
    const char *name = NULL;

    if (q == NULL)
        return NULL;
    if (sqlite3_step(q) == SQLITE_ROW)
        name = arena_strdup(&s->exec_arena, (const char *)sqlite3_column_text(q, 0));
    (void)sqlite3_finalize(q);
    return name;
}

static const char *
schema_of(const struct name *name)
{
    return name->schema != NULL ? name->schema : "dbo";
}

/* Row of sys_types, or NULL; columns user_type_id, type, nullable. */
static sqlite3_stmt *
find_type(struct session *s, const struct database *d, const struct name *name)
{
    sqlite3_stmt *q =
        session_prepare(s, arena_printf(&s->exec_arena,
                                        "SELECT user_type_id, type, nullable FROM d%d.sys_types "
                                        "WHERE name = ?1 AND schema_id = %d",
                                        d->id, catalog_schema_id(s, s->current, schema_of(name))));

    if (q == NULL)
        return NULL;
    (void)sqlite3_bind_text(q, 1, name->object, -1, SQLITE_STATIC);
    if (sqlite3_step(q) == SQLITE_ROW)
        return q;
    (void)sqlite3_finalize(q);
    return NULL;
}

int
ddl_create_type(struct session *s, struct stmt *x)
{
    struct database *d = s->current;
    const struct column_def *c = &x->defs[0];
    int schema_id = catalog_schema_id(s, d, schema_of(&x->name));
    sqlite3_stmt *q;
    int rc;

    if (schema_id < 0)
        return sqlerr_set(&s->error, 2760, 16, 1,
                          "The specified schema name \"%s\" either does not exist or you do not "
                          "have permission to use it.",
                          schema_of(&x->name));
    if (ddl_begin(s, d) != 0)
        return -1;
    q = find_type(s, d, &x->name);
    if (q != NULL) {
        (void)sqlite3_finalize(q);
        return sqlerr_set(&s->error, 219, 16, 1,
                          "The type '%s.%s' already exists, or you do not have permission to "
                          "create it.",
                          schema_of(&x->name), x->name.object);
    }
    q = session_prepare(s, arena_printf(&s->exec_arena,
                                        "INSERT INTO d%d.sys_types SELECT coalesce(max("
                                        "user_type_id), 256) + 1, %d, ?1, %lld, %d FROM "
                                        "d%d.sys_types",
                                        d->id, schema_id, (long long)type_pack(&c->type),
                                        c->type.nullable, d->id));
    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, x->name.object, -1, SQLITE_STATIC);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    ddl_changed(s);
    return rc;
}

int
ddl_drop_type(struct session *s, const struct name *name, bool if_exists)
{
    struct database *d = s->current;
    sqlite3_stmt *q;
    int id;

    if (ddl_begin(s, d) != 0)
        return -1;
    q = find_type(s, d, name);
    if (q == NULL)
        return if_exists ? 0
                         : sqlerr_set(&s->error, 3701, 11, 5,
                                      "Cannot drop the type '%s', because it does not exist or "
                                      "you do not have permission.",
                                      name->object);
    id = sqlite3_column_int(q, 0);
    (void)sqlite3_finalize(q);
    if (session_int(s, 0, "SELECT count(*) FROM d%d.sys_columns WHERE user_type = %d", d->id, id) >
        0)
        return sqlerr_set(&s->error, 3732, 16, 1,
                          "Cannot drop type '%s' because it is being referenced by another "
                          "object. There may be other objects that reference this type.",
                          name->object);
    return session_sqlf(s, "DELETE FROM d%d.sys_types WHERE user_type_id = %d", d->id, id);
}

int
ddl_alias(struct session *s, struct column_def *c, int ordinal)
{
    bool forced = !c->type.nullable; /* a key's */
    sqlite3_stmt *q;

    if (c->alias.object == NULL)
        return 0;
    q = find_type(s, s->current, &c->alias);
    if (q == NULL)
        return sqlerr_set(&s->error, 2715, 16, 6,
                          "Column, parameter, or variable #%d: Cannot find data type %s.", ordinal,
                          c->alias.object);
    c->alias_id = sqlite3_column_int(q, 0);
    c->type = type_unpack(sqlite3_column_int64(q, 1));
    c->type.nullable =
        !forced && (c->null_given ? c->null_is_allowed : sqlite3_column_int(q, 2) != 0);
    (void)sqlite3_finalize(q);
    return 0;
}
