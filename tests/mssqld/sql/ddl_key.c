/* Keys and indexes: their catalog rows and the SQLite indexes behind them. */
#include <strings.h>

#include "tests/mssqld/sql/ddl_parts.h"

static int
def_position(const struct stmt *x, const char *name)
{
    for (int i = 0; i < x->n_defs; i++)
        if (strcasecmp(x->defs[i].name, name) == 0)
            return i;
    return -1;
}

/* Column keys become table keys, so that there is one kind. */
void
ddl_gather_keys(struct session *s, struct stmt *x)
{
    for (int i = 0; i < x->n_defs; i++) {
        struct key_def k = {.name = x->defs[i].key_name,
                            .primary = x->defs[i].primary_key,
                            .unique = x->defs[i].unique,
                            .n_columns = 1};

        if (!k.primary && !k.unique)
            continue;
        k.columns = arena_alloc(&s->exec_arena, sizeof *k.columns);
        k.descending = arena_alloc(&s->exec_arena, sizeof *k.descending);
        k.columns[0] = x->defs[i].name;
        x->defs[i].primary_key = false; /* not twice when the statement runs again */
        x->defs[i].unique = false;
        x->keys = arena_push(&s->exec_arena, x->keys, x->n_keys, sizeof *x->keys);
        x->keys[x->n_keys++] = k;
    }
}

int
ddl_new_key(struct session *s, struct database *d, int64_t object_id, const char *table,
            const struct key_def *k, const int *column_ids, bool constraint, bool sqlite_index)
{
    int index_id =
        (int)session_int(s, 0, "SELECT count(*) FROM d%d.sys_indexes WHERE object_id = %lld", d->id,
                         (long long)object_id) +
        (k->primary || k->clustered ? 1 : 2);
    const char *name = k->name;
    struct sbuf sql = {0};
    int rc;

    while (session_int(s, 0,
                       "SELECT count(*) FROM d%d.sys_indexes WHERE object_id = %lld AND "
                       "index_id = %d",
                       d->id, (long long)object_id, index_id) > 0)
        index_id++;
    if (name == NULL)
        name = arena_printf(&s->exec_arena, "%s__%.20s__%08X%08X", k->primary ? "PK" : "UQ", table,
                            (unsigned)object_id, (unsigned)index_id * 2654435761U);
    rc = ddl_catalog_row(s, name, NULL, NULL,
                         arena_printf(&s->exec_arena,
                                      "INSERT INTO d%d.sys_indexes VALUES (%lld,%d,?1,%d,%d,%d,%d)",
                                      d->id, (long long)object_id, index_id, k->primary,
                                      k->primary || k->unique, constraint,
                                      k->columnstore  ? (k->clustered ? 5 : 6)
                                      : index_id == 1 ? 1
                                                      : 2));
    sbuf_fmt(&sql, "CREATE %sINDEX d%d.i%lld_%d ON t%lld(",
             k->primary || k->unique ? "UNIQUE " : "", d->id, (long long)object_id, index_id,
             (long long)object_id);
    for (int i = 0; i < k->n_columns && rc == 0; i++) {
        sbuf_fmt(&sql, "%sc%d%s", i > 0 ? "," : "", column_ids[i], k->descending[i] ? " DESC" : "");
        rc = session_sqlf(s, "INSERT INTO d%d.sys_index_columns VALUES (%lld,%d,%d,%d,%d)", d->id,
                          (long long)object_id, index_id, i + 1, column_ids[i], k->descending[i]);
    }
    sbuf_add(&sql, ")");
    if (rc == 0 && sqlite_index && !k->columnstore) {
        rc = session_sql(s, sql.data);
        if (rc != 0 && strstr(s->error.text, "UNIQUE") != NULL)
            (void)sqlerr_set(&s->error, 1505, 16, 1,
                             "The CREATE UNIQUE INDEX statement terminated because a duplicate key "
                             "was found for the object name 'dbo.%s' and the index name '%s'.",
                             table, name);
    }
    sbuf_free(&sql);
    return rc;
}

int
ddl_key_ids(struct session *s, const struct stmt *x, const struct key_def *k, int *ids)
{
    for (int i = 0; i < k->n_columns; i++) {
        int at = def_position(x, k->columns[i]);

        if (at < 0 || i >= 32)
            return sqlerr_set(&s->error, 1911, 16, 1,
                              "Column name '%s' does not exist in the target table or view.",
                              k->columns[i]);
        if (k->primary) {
            if (x->defs[at].null_given && x->defs[at].type.nullable)
                return sqlerr_set(
                    &s->error, 8111, 16, 1,
                    "Cannot define PRIMARY KEY constraint on nullable column in table "
                    "'%s'.",
                    x->name.object);
            x->defs[at].type.nullable = false;
        }
        ids[i] = at + 1;
    }
    return 0;
}

int
ddl_create_index(struct session *s, struct stmt *x)
{
    struct table *t = catalog_find(s, &x->name, 'U');
    const struct key_def *k = &x->keys[0];
    int ids[32];
    int rc;

    if (t == NULL)
        return ddl_no_such_table(s, &x->name);
    rc = ddl_begin(s, t->db);
    for (int i = 0; i < k->n_columns && rc == 0; i++) {
        int at = catalog_column(t, k->columns[i]);

        if (at < 0 || i >= 32)
            return sqlerr_set(&s->error, 1911, 16, 1,
                              "Column name '%s' does not exist in the target table or view.",
                              k->columns[i]);
        ids[i] = t->columns[at].id;
    }
    if (rc == 0)
        rc = ddl_new_key(s, t->db, t->object_id, t->name, k, ids, false, true);
    ddl_changed(s);
    return rc;
}
