/* sp_rename: tables and columns keep their ids, and with them their change tables. */
#include <strings.h>

#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/ddl_parts.h"

#define PARTS_MAX 3

/* [a].[b c].d: the parts of a name; 0 when there are too many. */
static int
split(struct session *s, const char *text, const char *parts[PARTS_MAX])
{
    char part[300];
    int n = 0;

    while (*text != '\0') {
        size_t size = 0;
        bool quoted = *text == '[';

        if (n == PARTS_MAX)
            return 0;
        for (text += quoted;
             *text != '\0' && (quoted ? *text != ']' || text[1] == ']' : *text != '.'); text++) {
            if (quoted && *text == ']')
                text++;
            if (size < sizeof part - 1)
                part[size++] = *text;
        }
        text += quoted && *text == ']';
        text += *text == '.';
        parts[n++] = arena_strndup(&s->exec_arena, part, size);
    }
    return n;
}

static int
ambiguous(struct session *s)
{
    return sqlerr_set(
        &s->error, 15248, 11, 1,
        "Either the parameter @objname is ambiguous or the claimed @objtype is wrong.");
}

static int
set_name(struct session *s, const char *sql, const char *name)
{
    sqlite3_stmt *q = session_prepare(s, sql);
    int rc;

    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    ddl_changed(s);
    return rc;
}

static int
rename_column(struct session *s, const struct table *t, const char *column, const char *name)
{
    int at = catalog_column(t, column);

    if (at < 0)
        return ambiguous(s);
    if (t->n_instances > 0)
        return sqlerr_set(&s->error, 4928, 16, 1,
                          "Cannot alter column '%s' because it is 'REPLICATED'.", column);
    if (catalog_column(t, name) >= 0)
        return sqlerr_set(&s->error, 15335, 11, 1,
                          "Error: The new name '%s' is already in use as a COLUMN name and would "
                          "cause a duplicate that is not permitted.",
                          name);
    if (ddl_begin(s, t->db) != 0)
        return -1;
    return set_name(s,
                    arena_printf(&s->exec_arena,
                                 "UPDATE d%d.sys_columns SET name = ?1 WHERE object_id = %d AND "
                                 "column_id = %d",
                                 t->db->id, t->object_id, t->columns[at].id),
                    name);
}

static int
rename_table(struct session *s, const struct table *t, const char *name)
{
    const struct name other = {.schema = t->schema, .object = name};

    if (catalog_find(s, &other, 0) != NULL)
        return sqlerr_set(&s->error, 15335, 11, 1,
                          "Error: The new name '%s' is already in use as a OBJECT name and would "
                          "cause a duplicate that is not permitted.",
                          name);
    if (ddl_begin(s, t->db) != 0)
        return -1;
    return set_name(s,
                    arena_printf(&s->exec_arena,
                                 "UPDATE d%d.sys_objects SET name = ?1 WHERE object_id = %d",
                                 t->db->id, t->object_id),
                    name);
}

int
ddl_rename(struct session *s, const struct proc_call *call)
{
    const char *what = proc_text(s, call, "@objname", 0, "");
    const char *name = proc_text(s, call, "@newname", 1, "");
    bool is_column = strcasecmp(proc_text(s, call, "@objtype", 2, ""), "COLUMN") == 0;
    const char *parts[PARTS_MAX] = {NULL};
    int n = split(s, what, parts);
    int table = n - (is_column ? 2 : 1);
    struct name lookup;
    const struct table *t;

    if (table < 0 || *name == '\0')
        return ambiguous(s);
    lookup = (struct name){.schema = table > 0 ? parts[table - 1] : NULL, .object = parts[table]};
    catalog_refresh(s);
    s->error.number = 0;
    t = catalog_find(s, &lookup, 'U');
    if (t == NULL || t->shipped)
        return s->error.number != 0 ? -1 : ambiguous(s);
    if (is_column)
        return rename_column(s, t, parts[n - 1], name);
    return rename_table(s, t, name);
}
