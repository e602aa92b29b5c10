/* Partition functions and schemes: which rows of a table belong together. */
#include <strings.h>

#include "tests/mssqld/sql/ddl_parts.h"
#include "tests/mssqld/sql/security.h"

static int
insert_named(struct session *s, const char *name, const char *sql)
{
    sqlite3_stmt *q = session_prepare(s, sql);
    int rc;

    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rc;
}

static int64_t
id_of(struct session *s, const struct database *d, const char *table, const char *column,
      const char *name)
{
    sqlite3_stmt *q =
        session_prepare(s, arena_printf(&s->exec_arena, "SELECT %s FROM d%d.%s WHERE name = ?1",
                                        column, d->id, table));
    int64_t id = -1;

    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(q) == SQLITE_ROW)
        id = sqlite3_column_int64(q, 0);
    (void)sqlite3_finalize(q);
    return id;
}

int64_t
partition_function(struct session *s, const struct database *d, const char *name,
                   struct sql_type *type)
{
    int64_t id = id_of(s, d, "sys_partition_functions", "function_id", name);

    if (id >= 0) {
        *type = type_unpack(session_int(
            s, 0, "SELECT type FROM d%d.sys_partition_functions WHERE function_id = %lld", d->id,
            (long long)id));
        memcpy(type->collation, type_make(SQL_VARCHAR).collation, sizeof type->collation);
    }
    return id;
}

/* One boundary: as the function's type, and as sql_variant for the catalog. */
static int
add_value(struct run *r, struct stmt *x, int64_t id, int i)
{
    struct session *s = r->s;
    const struct sql_type *type = &x->vars[0].type;
    struct sql_type variant = type_make(SQL_VARIANT);
    struct sql_value v = {0};
    struct sql_value boxed = {.variant = {type, &v}};
    struct stored plain = {0};
    struct stored box = {0};
    sqlite3_stmt *q;
    int rc;

    if (run_scalar(r, x, i + 1, x->exprs[i], type, NULL, &v) != 0)
        return -1;
    boxed.is_null = v.is_null;
    value_store(type, &v, &s->exec_arena, &plain);
    value_store(&variant, &boxed, &s->exec_arena, &box);
    q = session_prepare(
        s, arena_printf(&s->exec_arena,
                        "INSERT INTO d%d.sys_partition_values VALUES (%lld, %d, ?1, ?2)",
                        s->current->id, (long long)id, i + 1));
    if (q == NULL)
        return -1;
    (void)stored_bind(q, 1, &plain);
    (void)stored_bind(q, 2, &box);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rc;
}

int
partition_create_function(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    struct sql_type type;
    int64_t id;

    if (ddl_begin(s, s->current) != 0)
        return -1;
    if (partition_function(s, s->current, x->word, &type) >= 0)
        return sqlerr_set(&s->error, 7706, 16, 1, "Partition function '%s' already exists.",
                          x->word);
    id = catalog_next_id(s, s->current);
    if (insert_named(s, x->word,
                     arena_printf(&s->exec_arena,
                                  "INSERT INTO d%d.sys_partition_functions VALUES (%lld, ?1, %lld, "
                                  "%d)",
                                  s->current->id, (long long)id,
                                  (long long)type_pack(&x->vars[0].type), x->op == 'R')) != 0)
        return -1;
    for (int i = 0; i < x->n_exprs; i++)
        if (add_value(r, x, id, i) != 0)
            return -1;
    ddl_changed(s);
    return 0;
}

int
partition_create_scheme(struct session *s, const struct stmt *x)
{
    struct sql_type type;
    int64_t function;

    if (ddl_begin(s, s->current) != 0)
        return -1;
    function = partition_function(s, s->current, x->word2, &type);
    if (function < 0)
        return sqlerr_set(&s->error, 208, 16, 58, "Invalid object name '%s'.", x->word2);
    ddl_changed(s);
    return insert_named(s, x->word,
                        arena_printf(&s->exec_arena,
                                     "INSERT INTO d%d.sys_partition_schemes SELECT max(coalesce("
                                     "max(data_space_id), 0), 65600) + 1, ?1, %lld FROM "
                                     "d%d.sys_partition_schemes",
                                     s->current->id, (long long)function, s->current->id));
}

int
partition_table(struct session *s, struct database *d, int64_t object_id, const char *scheme,
                const char *column)
{
    int64_t space = id_of(s, d, "sys_partition_schemes", "data_space_id", scheme);
    int rc;

    if (space < 0)
        return sqlerr_set(&s->error, 1921, 16, 1, "Invalid partition scheme '%s' specified.",
                          scheme);
    rc = insert_named(s, column,
                      arena_printf(&s->exec_arena,
                                   "INSERT INTO d%d.sys_partitioned SELECT object_id, %lld, "
                                   "column_id FROM d%d.sys_columns WHERE object_id = %lld AND name "
                                   "= ?1",
                                   d->id, (long long)space, d->id, (long long)object_id));
    if (rc == 0 && sqlite3_changes(s->db) == 0)
        return sqlerr_set(&s->error, 1911, 16, 1,
                          "Column name '%s' does not exist in the target table or view.", column);
    return rc;
}
