/* cdc.fn_cdc_get_all_changes_<instance>: a guard, then the rows of the change table. */
#include <strings.h>

#include "tests/mssqld/sql/rights.h"
#include "tests/mssqld/sql/sysview.h"

static int
bad_bounds(struct binder *b)
{
    return sqlerr_set(&b->s->error, 313, 16, 3,
                      "An insufficient number of arguments were supplied for the procedure or "
                      "function cdc.fn_cdc_get_all_changes_ ... .");
}

bool
cdc_may_read(struct session *s, struct database *d, int source_id, const char *role)
{
    struct table *t = catalog_find_id(s, d, source_id);
    int64_t id;

    if (s->sysadmin || security_is_owner(s, d))
        return true;
    if (t == NULL)
        return false;
    if (role != NULL && role[0] != '\0') {
        id = security_principal(s, d, role);
        if (id < 0 || !security_is_member(s, d, (int)id))
            return false;
    }
    if (!rights_by_column(s, t))
        return security_allowed(s, t, "SELECT");
    for (int i = 0; i < t->n_columns; i++)
        if (!rights_column(s, t, i, "SELECT"))
            return false;
    return true;
}

/* Does the gating role let the caller in, and may it read the source? */
static bool
may_read(struct session *s, const struct table *ct)
{
    struct name name = {.database = ct->db->name, .schema = "cdc", .object = "change_tables"};
    struct table *list = catalog_find(s, &name, 'U');
    sqlite3_stmt *q;
    bool ok = false;

    if (list == NULL)
        return false;
    q = session_prepare(s, arena_printf(&s->exec_arena, "SELECT c3, c9 FROM d%d.t%d WHERE c1 = %d",
                                        ct->db->id, list->object_id, ct->object_id));
    if (q == NULL)
        return false;
    if (sqlite3_step(q) == SQLITE_ROW)
        ok = cdc_may_read(s, ct->db, sqlite3_column_int(q, 0),
                          (const char *)sqlite3_column_text(q, 1));
    (void)sqlite3_finalize(q);
    return ok;
}

/* ms_cdc_check(database, instance, from, to, filter): 1, or the statement fails with 313. */
static void
emit_check(struct binder *b, struct sbuf *o, const struct database *d, const char *instance,
           const struct from *f)
{
    struct sql_type lsn = type_sized(SQL_BINARY, LSN_SIZE);
    struct sql_type text = type_sized(SQL_NVARCHAR, 30);

    sbuf_fmt(o, "ms_cdc_check(%d,'", d->id);
    for (const char *p = instance; *p != '\0'; p++) {
        sbuf_addn(o, p, 1);
        if (*p == '\'')
            sbuf_addn(o, p, 1);
    }
    sbuf_add(o, "',");
    emit_as(b, o, f->args[0], &lsn);
    sbuf_add(o, ",");
    emit_as(b, o, f->args[1], &lsn);
    sbuf_add(o, ",");
    emit_as(b, o, f->args[2], &text);
    sbuf_add(o, ")");
}

/* One row of NULLs: what a caller gets who may not read. */
static void
emit_guard_row(const struct table *t, const char *sql_alias, struct sbuf *o)
{
    sbuf_add(o, "(SELECT ");
    for (int i = 0; i < t->n_columns; i++)
        sbuf_fmt(o, "%sNULL AS c%d", i > 0 ? "," : "", t->columns[i].id);
    sbuf_fmt(o, ") AS %s", sql_alias);
}

int
sysview_bind_changes(struct binder *b, struct database *d, const struct from *f,
                     const char *sql_alias, struct rel *out, struct sbuf *o)
{
    static const char PREFIX[] = "fn_cdc_get_all_changes_";
    size_t skip = sizeof PREFIX - 1;
    struct sql_type lsn = type_sized(SQL_BINARY, LSN_SIZE);
    struct sql_type text = type_sized(SQL_NVARCHAR, 30);
    struct name name = {.database = d->name, .schema = "cdc"};
    struct table *t;
    int n;

    if (strncasecmp(f->name.object, PREFIX, skip) != 0)
        return 0;
    name.object = arena_printf(b->arena, "%s_CT", f->name.object + skip);
    t = catalog_find(b->s, &name, 'U');
    if (t == NULL)
        return 0; /* 208 follows */
    if (f->n_args != 3)
        return bad_bounds(b);
    for (int i = 0; i < 3; i++)
        if (bind_expr(b, f->args[i]) != 0)
            return -1;
    rel_of_table(b, t, f->alias != NULL ? f->alias : f->name.object, sql_alias, out);
    /* start_lsn, seqval, operation, mask, captured columns: no end_lsn, no command_id */
    n = 0;
    for (int i = 0; i < out->n_columns; i++) {
        if (strcmp(out->columns[i].name, "__$end_lsn") == 0 ||
            strcmp(out->columns[i].name, "__$command_id") == 0)
            continue;
        out->columns[n] = out->columns[i];
        out->columns[n++].type.nullable = true;
    }
    out->n_columns = n;
    if (!may_read(b->s, t)) {
        emit_guard_row(t, sql_alias, o);
        return 1;
    }
    /* The guard is asked once, before and whatever the rows; CROSS JOIN keeps the order. */
    sbuf_add(o, "(SELECT r.* FROM (SELECT ");
    emit_check(b, o, d, f->name.object + skip, f);
    sbuf_fmt(
        o, " AS k) AS g CROSS JOIN %s AS r WHERE g.k AND r.c1 >= ", catalog_sql_name(t, b->arena));
    emit_as(b, o, f->args[0], &lsn);
    sbuf_add(o, " AND r.c1 <= ");
    emit_as(b, o, f->args[1], &lsn);
    sbuf_add(o, " AND (r.c4 <> 3 OR lower(");
    emit_as(b, o, f->args[2], &text);
    sbuf_fmt(o, ") = 'all update old')) AS %s", sql_alias);
    return 1;
}
