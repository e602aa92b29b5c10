/* UPDATE, DELETE, TRUNCATE: rows are read before the first is written, then captured. */
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/dml_row.h"

/* A row read before anything is written: old values, then those of SET. */
struct held_row {
    struct stored rowid;
    struct stored *values;
    struct stored *after; /* whole new row of an update */
    bool *changed;
    bool moved; /* touches a unique key: delete and insert */
};

struct held {
    struct held_row *rows;
    int n;
    struct arena arena;
};

static void
hold(struct arena *a, sqlite3_value *v, struct stored *out)
{
    *out = (struct stored){0};
    stored_take(v, out);
    if (out->kind == SQLITE_TEXT || out->kind == SQLITE_BLOB)
        out->data = arena_dup(a, out->data, out->size);
}

/* Reads the rows a statement will change, with the values of its expressions behind. */
static int
hold_rows(struct session *s, struct query *q, const struct table *t, int n_exprs, struct held *h)
{
    int step;

    if (query_start(s, q) != 0)
        return -1;
    while ((step = sqlite3_step(q->stmt)) == SQLITE_ROW) {
        struct held_row *row;
        int n = t->n_columns + n_exprs;

        h->rows = arena_push(&h->arena, h->rows, h->n, sizeof *h->rows);
        row = &h->rows[h->n++];
        *row = (struct held_row){0};
        row->values = arena_alloc(&h->arena, (size_t)(n + 1) * sizeof *row->values);
        hold(&h->arena, sqlite3_column_value(q->stmt, 0), &row->rowid);
        for (int i = 0; i < n; i++)
            hold(&h->arena, sqlite3_column_value(q->stmt, i + 1), &row->values[i]);
    }
    (void)sqlite3_reset(q->stmt);
    return step == SQLITE_DONE ? 0 : session_sqlite_error(s);
}

static int
delete_rowid(struct session *s, sqlite3_stmt *q, const struct held_row *row)
{
    int rc;

    (void)stored_bind(q, 1, &row->rowid);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_reset(q);
    return rc;
}

/* Internal tables without rowid are cleaned by their first column's bounds: one statement. */
static int
delete_direct(struct run *r, struct stmt *x, struct table *t, int64_t *rows)
{
    struct session *s = r->s;
    struct plan *p = plan_of(s, r->entry, x);
    struct sbuf sql = {0};
    char *where;
    int rc = -1;

    if (query_table_rows(s, r->frame, &p->arena, t, x->select->where, NULL, NULL, NULL, 0,
                         &p->values) != 0)
        return -1;
    where = strstr(p->values.text.data, " FROM ");
    sbuf_fmt(&sql, "DELETE%s", where);
    (void)sqlite3_finalize(p->values.stmt);
    p->values.stmt = session_prepare(s, sql.data);
    if (p->values.stmt != NULL && query_start(s, &p->values) == 0)
        rc = sqlite3_step(p->values.stmt) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    *rows = sqlite3_changes64(s->db);
    query_free(&p->values);
    sbuf_free(&sql);
    return rc;
}

int
dml_delete(struct run *r, struct stmt *x, int64_t *rows)
{
    struct session *s = r->s;
    struct table *t = dml_target(r, x, "DELETE");
    struct plan *p = plan_of(s, r->entry, x);
    struct held h = {0};
    int rc = 0;

    if (t == NULL)
        return -1;
    if (t->without_rowid)
        return delete_direct(r, x, t, rows);
    if (!p->made) {
        query_free(&p->query);
        rc = query_table_rows(s, r->frame, &p->arena, t, x->select->where, x->expr, NULL, NULL, 0,
                              &p->query);
        if (rc == 0)
            p->values.stmt =
                session_prepare(s, arena_printf(&p->arena, "DELETE FROM d%d.t%d WHERE rowid = ?1",
                                                t->db->id, t->object_id));
        if (rc != 0 || p->values.stmt == NULL)
            return -1;
        p->made = true;
    }
    rc = hold_rows(s, &p->query, t, 0, &h);
    if (rc == 0)
        rc = dml_open_point(s, true);
    for (int i = 0; i < h.n && rc == 0; i++) {
        rc = delete_rowid(s, p->values.stmt, &h.rows[i]);
        if (rc == 0 && t->n_instances > 0 && !s->cdc_internal) {
            rc = cdc_next_row(s);
            if (rc == 0)
                rc = cdc_row(s, t, CDC_DELETE, h.rows[i].values, NULL);
        }
    }
    *rows = h.n;
    rc = dml_close_point(s, true, rc);
    arena_free(&h.arena);
    return rc;
}

/* TRUNCATE is refused on captured tables. */
int
dml_truncate(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    struct table *t = dml_target(r, x, "DELETE");

    if (t == NULL)
        return -1;
    if (t->n_instances > 0)
        return sqlerr_set(&s->error, 4711, 16, 1,
                          "Cannot truncate table '%s' because it is published for replication or "
                          "enabled for Change Data Capture.",
                          t->name);
    t->identity_turn = 0;
    return session_sqlf(s, "DELETE FROM d%d.t%d; DELETE FROM d%d.sys_meta WHERE k = 'identity:%d'",
                        t->db->id, t->object_id, t->db->id, t->object_id);
}

static int
update_plan(struct run *r, struct stmt *x, struct plan *p, struct table *t)
{
    struct session *s = r->s;
    struct expr **exprs = arena_alloc(&p->arena, (size_t)(x->n_sets + 1) * sizeof *exprs);
    struct sbuf sql = {0};
    int n = 1;

    p->targets = arena_alloc(&p->arena, (size_t)(x->n_sets + 1) * sizeof(int));
    for (int i = 0; i < x->n_sets; i++) {
        int c = catalog_column(t, x->sets[i].column);

        if (c < 0)
            return sqlerr_set(&s->error, 207, 16, 1, "Invalid column name '%s'.",
                              x->sets[i].column);
        if (t->columns[c].identity && !s->cdc_internal)
            return sqlerr_set(&s->error, 8102, 16, 1, "Cannot update identity column '%s'.",
                              t->columns[c].name);
        if (t->columns[c].computed_text != NULL)
            return sqlerr_set(&s->error, 271, 16, 1,
                              "The column \"%s\" cannot be modified because it is either a "
                              "computed column or is the result of a UNION operator.",
                              t->columns[c].name);
        if (t->columns[c].type.base == SQL_ROWVERSION)
            return sqlerr_set(&s->error, 272, 16, 1, "Cannot update a timestamp column.");
        p->targets[i] = c;
        exprs[i] = x->sets[i].e;
        if (x->sets[i].op != '=') {
            struct expr *col = arena_alloc(&p->arena, sizeof *col);
            struct expr *sum = arena_alloc(&p->arena, sizeof *sum);

            *col = (struct expr){.kind = EXPR_COLUMN, .name = t->columns[c].name};
            *sum = (struct expr){.kind = EXPR_BINARY, .op = x->sets[i].op, .n_args = 2};
            sum->args = arena_alloc(&p->arena, 2 * sizeof *sum->args);
            sum->args[0] = col;
            sum->args[1] = x->sets[i].e;
            exprs[i] = sum;
        }
    }
    p->n_targets = x->n_sets;
    if (query_table_rows(s, r->frame, &p->arena, t, x->select->where, x->expr, exprs, NULL,
                         x->n_sets, &p->query) != 0)
        return -1;
    p->types = arena_alloc(&p->arena, (size_t)(x->n_sets + 1) * sizeof *p->types);
    for (int i = 0; i < x->n_sets; i++)
        p->types[i] = exprs[i]->type;
    sbuf_fmt(&sql, "UPDATE d%d.t%d SET ", t->db->id, t->object_id);
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].computed_text == NULL) {
            n++;
            sbuf_fmt(&sql, "%sc%d=?%d", n > 2 ? "," : "", t->columns[i].id, n);
        }
    sbuf_add(&sql, " WHERE rowid=?1");
    p->values.stmt = session_prepare(s, sql.data);
    sbuf_clear(&sql);
    sbuf_fmt(&sql, "DELETE FROM d%d.t%d WHERE rowid = ?1", t->db->id, t->object_id);
    p->conditions.stmt = session_prepare(s, sql.data);
    sbuf_free(&sql);
    p->made = p->values.stmt != NULL && p->conditions.stmt != NULL;
    return p->made ? 0 : -1;
}

/* Old values plus SET: the new row, and which of its columns differ. */
static int
make_after(struct run *r, struct stmt *x, struct plan *p, struct table *t, struct arena *a,
           struct held_row *row)
{
    struct session *s = r->s;

    row->after = arena_alloc(a, (size_t)(t->n_columns + 1) * sizeof *row->after);
    row->changed = arena_alloc(a, (size_t)t->n_columns + 1);
    memcpy(row->after, row->values, (size_t)t->n_columns * sizeof *row->after);
    for (int i = 0; i < p->n_targets; i++) {
        int c = p->targets[i];
        struct sql_value v;
        struct stored *in = &row->values[t->n_columns + i];

        if (x->sets[i].e->kind == EXPR_DEFAULT) {
            if (dml_default(r, t, &t->columns[c], a, &row->after[c]) != 0)
                return -1;
        } else {
            value_unstore(&p->types[i], in, a, &v);
            if (dml_store(s, t, &t->columns[c], &p->types[i], &v, a, &row->after[c]) != 0)
                return -1;
        }
        if (row->after[c].kind == SQLITE_NULL && !t->columns[c].type.nullable)
            return dml_null_refused(s, t, &t->columns[c], "UPDATE");
        row->changed[c] = !stored_equal(&row->after[c], &row->values[c]);
    }
    for (int i = 0; i < t->n_columns; i++) {
        if (t->columns[i].type.base == SQL_ROWVERSION) {
            dml_rowversion(s, t, a, &row->after[i]);
            row->changed[i] = true;
        }
        if ((t->columns[i].flags & COLUMN_ROW_START) != 0) {
            if (dml_default(r, t, &t->columns[i], a, &row->after[i]) != 0)
                return -1;
            row->changed[i] = !stored_equal(&row->after[i], &row->values[i]);
        }
    }
    for (int k = 0; k < t->n_keys; k++)
        for (int i = 0; t->keys[k].unique && i < t->keys[k].n_columns; i++)
            row->moved = row->moved || row->changed[t->keys[k].columns[i]];
    return 0;
}

static bool
is_changed(const struct table *t, const struct held_row *row)
{
    for (int i = 0; i < t->n_columns; i++)
        if (row->changed[i])
            return true;
    return false;
}

static int
write_update(struct session *s, struct plan *p, struct table *t, const struct held_row *row)
{
    int n = 1;
    int rc;

    (void)stored_bind(p->values.stmt, 1, &row->rowid);
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].computed_text == NULL)
            (void)stored_bind(p->values.stmt, ++n, &row->after[i]);
    rc = sqlite3_step(p->values.stmt) == SQLITE_DONE ? 0 : dml_duplicate(s, t, row->after);
    (void)sqlite3_reset(p->values.stmt);
    return rc;
}

/*
 * Change rows of an update.  Moved rows are a delete of this command and an insert of the next,
 * all deletes before all inserts; both rows of one have the same sequence value.
 */
static int
capture_updates(struct session *s, struct table *t, struct held *h)
{
    uint8_t *seqvals = arena_alloc(&h->arena, (size_t)h->n * LSN_SIZE + 1);
    bool second = false;
    int rc = 0;

    for (int i = 0; i < h->n && rc == 0; i++) {
        struct held_row *row = &h->rows[i];

        if (!is_changed(t, row))
            continue;
        rc = cdc_next_row(s);
        if (rc != 0)
            break;
        memcpy(seqvals + i * LSN_SIZE, s->cdc.seqval, LSN_SIZE);
        if (row->moved) {
            rc = cdc_row(s, t, CDC_DELETE, row->values, NULL);
            second = true;
            continue;
        }
        rc = cdc_row(s, t, CDC_BEFORE, row->values, row->changed);
        if (rc == 0)
            rc = cdc_row(s, t, CDC_AFTER, row->after, row->changed);
    }
    if (second)
        cdc_next_command(s);
    for (int i = 0; i < h->n && rc == 0; i++) {
        uint8_t keep[LSN_SIZE];

        if (!h->rows[i].moved)
            continue;
        memcpy(keep, s->cdc.seqval, LSN_SIZE);
        memcpy(s->cdc.seqval, seqvals + i * LSN_SIZE, LSN_SIZE);
        rc = cdc_row(s, t, CDC_INSERT, h->rows[i].after, NULL);
        memcpy(s->cdc.seqval, keep, LSN_SIZE);
    }
    return rc;
}

/* Rows whose unique key moves go first and come last, so that swapped keys do not collide. */
static int
apply_updates(struct session *s, struct plan *p, struct table *t, struct held *h)
{
    bool capture = t->n_instances > 0 && !s->cdc_internal;
    int rc = 0;

    for (int i = 0; i < h->n && rc == 0; i++)
        if (h->rows[i].moved)
            rc = delete_rowid(s, p->conditions.stmt, &h->rows[i]);
    for (int i = 0; i < h->n && rc == 0; i++)
        if (!h->rows[i].moved)
            rc = write_update(s, p, t, &h->rows[i]);
        else
            rc = dml_write(s, t, &h->rows[i].rowid, h->rows[i].after);
    return rc == 0 && capture ? capture_updates(s, t, h) : rc;
}

int
dml_update(struct run *r, struct stmt *x, int64_t *rows)
{
    struct session *s = r->s;
    struct table *t = dml_target(r, x, "UPDATE");
    struct plan *p = plan_of(s, r->entry, x);
    struct held h = {0};
    int rc = 0;

    if (t == NULL)
        return -1;
    if (!p->made) {
        query_free(&p->query);
        if (update_plan(r, x, p, t) != 0)
            return -1;
    }
    if (dml_prepare_insert(s, t) != 0)
        return -1;
    rc = hold_rows(s, &p->query, t, x->n_sets, &h);
    for (int i = 0; i < h.n && rc == 0; i++)
        rc = make_after(r, x, p, t, &h.arena, &h.rows[i]);
    if (rc == 0 && dml_open_point(s, true) == 0)
        rc = dml_close_point(s, true, apply_updates(s, p, t, &h));
    *rows = h.n;
    arena_free(&h.arena);
    return rc;
}
