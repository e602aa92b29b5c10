/* ALTER TABLE: columns and constraints come, go and change. */
#include <strings.h>

#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/ddl_parts.h"

/* Checks one new column against the table and adds it. */
static int
add_column(struct session *s, struct stmt *x, struct table *t, int first, int i)
{
    struct sbuf sql = {0};
    struct column_def *c = &x->defs[i];
    int rc = 0;

    if (catalog_column(t, c->name) >= 0)
        return sqlerr_set(&s->error, 2705, 16, 4,
                          "Column names in each table must be unique. Column name '%s' in table "
                          "'%s' is specified more than once.",
                          c->name, t->name);
    if (!c->type.nullable && c->default_text == NULL && !c->identity &&
        session_int(s, 0, "SELECT count(*) FROM (SELECT 1 FROM d%d.t%d LIMIT 1)", t->db->id,
                    t->object_id) > 0)
        return sqlerr_set(&s->error, 4901, 16, 1,
                          "ALTER TABLE only allows columns to be added that can contain nulls, "
                          "or have a DEFAULT definition specified. Column '%s' cannot be added "
                          "to non-empty table '%s'.",
                          c->name, t->name);
    sbuf_fmt(&sql, "ALTER TABLE d%d.t%d ADD COLUMN ", t->db->id, t->object_id);
    rc = ddl_column_sql(s, x, first, i, &sql);
    if (rc == 0)
        rc = session_sql(s, sql.data);
    if (rc == 0)
        rc = ddl_new_column(s, t->db, t->object_id, first + i, c);
    sbuf_free(&sql);
    return rc;
}

static int
add_key(struct session *s, const struct table *t, const struct key_def *k)
{
    int ids[32];

    for (int c = 0; c < k->n_columns && c < 32; c++) {
        int at = catalog_column(t, k->columns[c]);

        if (at < 0)
            return sqlerr_set(&s->error, 1911, 16, 1,
                              "Column name '%s' does not exist in the target table or view.",
                              k->columns[c]);
        if (k->primary && t->columns[at].type.nullable)
            return sqlerr_set(&s->error, 8111, 16, 1,
                              "Cannot define PRIMARY KEY constraint on nullable column in table "
                              "'%s'.",
                              t->name);
        ids[c] = t->columns[at].id;
    }
    return ddl_new_key(s, t->db, t->object_id, t->name, k, ids, true, true);
}

/* Rows that are there get the default of a NOT NULL column. */
static int
fill_default(struct session *s, const struct name *table, const char *column)
{
    bool internal = s->cdc_internal;
    int rc;

    ddl_changed(s);
    s->cdc_internal = true;
    rc = run_internal(s, arena_printf(&s->exec_arena, "UPDATE [%s].[%s] SET [%s] = DEFAULT",
                                      table->schema != NULL ? table->schema : "dbo", table->object,
                                      column));
    s->cdc_internal = internal;
    return rc;
}

int
ddl_alter_add(struct session *s, struct stmt *x)
{
    struct table *t = catalog_find(s, &x->name, 'U');
    int first;
    int rc;

    if (t == NULL)
        return ddl_no_such_table(s, &x->name);
    if (ddl_begin(s, t->db) != 0)
        return -1;
    catalog_note_ddl(s, t);
    first = t->n_columns > 0 ? t->columns[t->n_columns - 1].id + 1 : 1;
    first = (int)session_int(s, first,
                             "SELECT max(%d, coalesce((SELECT v + 1 FROM d%d.sys_meta WHERE k = "
                             "'columns:%d'), 0))",
                             first, t->db->id, t->object_id);
    rc = cdc_note_ddl(s, t, x->text, false);
    for (int i = 0; i < x->n_defs && rc == 0; i++)
        rc = add_column(s, x, t, first, i);
    for (int i = 0; i < x->n_keys && rc == 0; i++)
        rc = add_key(s, t, &x->keys[i]);
    for (int i = 0; i < x->n_defs && rc == 0; i++)
        if (x->defs[i].default_text != NULL && !x->defs[i].type.nullable)
            rc = fill_default(s, &x->name, x->defs[i].name);
    ddl_changed(s);
    return rc;
}

static int
drop_column(struct session *s, struct table *t, const char *name, bool if_exists)
{
    int at = catalog_column(t, name);

    if (at < 0)
        return if_exists ? 0
                         : sqlerr_set(&s->error, 4924, 16, 1,
                                      "ALTER TABLE DROP COLUMN failed because column '%s' does not "
                                      "exist in table '%s'.",
                                      name, t->name);
    for (int k = 0; k < t->n_keys; k++)
        for (int i = 0; i < t->keys[k].n_columns; i++)
            if (t->keys[k].columns[i] == at)
                return sqlerr_set(&s->error, 5074, 16, 1,
                                  "The object '%s' is dependent on column '%s'.", t->keys[k].name,
                                  name);
    /* Ids are not used again, or old change tables would capture the wrong column. */
    return session_sqlf(s,
                        "REPLACE INTO d%d.sys_meta SELECT 'columns:%d', max(column_id) FROM "
                        "d%d.sys_columns WHERE object_id = %d; DELETE FROM d%d.sys_columns WHERE "
                        "object_id = %d AND column_id = %d; ALTER TABLE d%d.t%d DROP COLUMN c%d",
                        t->db->id, t->object_id, t->db->id, t->object_id, t->db->id, t->object_id,
                        t->columns[at].id, t->db->id, t->object_id, t->columns[at].id);
}

int
ddl_drop_key(struct session *s, struct table *t, const char *name, bool if_exists)
{
    for (int i = 0; i < t->n_keys; i++) {
        if (strcasecmp(t->keys[i].name, name) != 0)
            continue;
        if (t->n_instances > 0 && t->keys[i].primary)
            return sqlerr_set(&s->error, 4929, 16, 1,
                              "Cannot alter the table '%s' because it is being published for "
                              "replication.",
                              t->name);
        return session_sqlf(s,
                            "DELETE FROM d%d.sys_indexes WHERE object_id = %d AND index_id = %d; "
                            "DELETE FROM d%d.sys_index_columns WHERE object_id = %d AND index_id = "
                            "%d; DROP INDEX IF EXISTS d%d.i%d_%d",
                            t->db->id, t->object_id, t->keys[i].index_id, t->db->id, t->object_id,
                            t->keys[i].index_id, t->db->id, t->object_id, t->keys[i].index_id);
    }
    if (session_int(s, 0,
                    "SELECT count(*) FROM d%d.sys_indexes WHERE object_id = %d AND kind = 5 AND "
                    "name = '%s'",
                    t->db->id, t->object_id, name) > 0) /* has no columns: is no key */
        return session_sqlf(s, "DELETE FROM d%d.sys_indexes WHERE object_id = %d AND kind = 5",
                            t->db->id, t->object_id);
    if (if_exists ||
        session_int(s, 0,
                    "SELECT count(*) FROM d%d.sys_columns WHERE object_id = %d AND default_name = "
                    "'%s'",
                    t->db->id, t->object_id, name) > 0)
        return session_sqlf(s,
                            "UPDATE d%d.sys_columns SET default_text = NULL, default_name = NULL "
                            "WHERE object_id = %d AND default_name = '%s'",
                            t->db->id, t->object_id, name);
    return sqlerr_set(&s->error, 3728, 16, 1, "'%s' is not a constraint.", name);
}

int
ddl_alter_drop(struct session *s, struct stmt *x)
{
    struct table *t = catalog_find(s, &x->name, 'U');
    int rc;

    if (t == NULL)
        return ddl_no_such_table(s, &x->name);
    rc = ddl_begin(s, t->db);
    catalog_note_ddl(s, t);
    if (rc == 0 && x->op == 'c')
        rc = cdc_note_ddl(s, t, x->text, false);
    for (int i = 0; i < x->n_columns && rc == 0; i++) {
        rc = x->op == 'c' ? drop_column(s, t, x->columns[i], x->if_exists)
                          : ddl_drop_key(s, t, x->columns[i], x->if_exists);
        ddl_changed(s);
        t = catalog_find(s, &x->name, 'U');
    }
    return rc;
}

/* Nullability is no matter of the type. */
static bool
is_retyped(const struct sql_type *from, const struct sql_type *to)
{
    struct sql_type same = *to;

    same.nullable = from->nullable;
    return type_pack(from) != type_pack(&same);
}

/* Changes of length and nullability; the stored form must stay the same. */
int
ddl_alter_column(struct session *s, struct stmt *x)
{
    struct table *t = catalog_find(s, &x->name, 'U');
    struct column_def *def = &x->defs[0];
    int at;
    int rc;

    if (t == NULL)
        return ddl_no_such_table(s, &x->name);
    at = catalog_column(t, def->name);
    if (at < 0)
        return sqlerr_set(&s->error, 4924, 16, 1,
                          "ALTER TABLE ALTER COLUMN failed because column '%s' does not exist in "
                          "table '%s'.",
                          def->name, t->name);
    if (!type_same_store(&t->columns[at].type, &def->type))
        return sqlerr_set(&s->error, 50000, 16, 1,
                          "ALTER COLUMN from %s to %s is not supported by this test server.",
                          type_name(t->columns[at].type.base), type_name(def->type.base));
    rc = ddl_begin(s, t->db);
    catalog_note_ddl(s, t);
    if (rc == 0)
        rc = cdc_note_ddl(s, t, x->text, is_retyped(&t->columns[at].type, &def->type));
    if (rc == 0)
        rc = session_sqlf(s,
                          "UPDATE d%d.sys_columns SET type = %lld, nullable = %d WHERE object_id = "
                          "%d AND column_id = %d",
                          t->db->id, (long long)type_pack(&def->type), def->type.nullable,
                          t->object_id, t->columns[at].id);
    /* The change table follows the type. */
    for (int i = 0; i < t->n_instances && rc == 0; i++)
        rc = session_sqlf(s,
                          "UPDATE d%d.sys_columns SET type = %lld WHERE object_id = %d AND name = "
                          "(SELECT name FROM d%d.sys_columns WHERE object_id = %d AND column_id = "
                          "%d)",
                          t->db->id, (long long)type_pack(&def->type), t->instances[i].object_id,
                          t->db->id, t->object_id, t->columns[at].id);
    ddl_changed(s);
    return rc;
}
