/* INSERT: rows are completed, converted and written one by one, and captured. */
#include <strings.h>

#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/dml_row.h"

static int
take_identity(struct session *s, struct table *t)
{
    const struct column *c = &t->columns[t->identity];

    if (t->identity_turn == s->turn)
        return 0;
    t->identity_next = session_int(s, c->seed, "SELECT v FROM d%d.sys_meta WHERE k = 'identity:%d'",
                                   t->db->id, t->object_id);
    t->identity_turn = s->turn;
    return 0;
}

static int
save_identity(struct session *s, struct table *t)
{
    if (t->identity < 0)
        return 0;
    return session_sqlf(s, "REPLACE INTO d%d.sys_meta VALUES ('identity:%d', %lld)", t->db->id,
                        t->object_id, (long long)t->identity_next);
}

/* given[i]: column i has a value already; the rest come from identity, rowversion, defaults. */
static int
complete_row(struct run *r, struct table *t, const bool *given, struct arena *a, struct stored *row)
{
    struct session *s = r->s;
    int64_t me = (int64_t)t->db->id << 32 | t->object_id;

    for (int i = 0; i < t->n_columns; i++) {
        struct column *c = &t->columns[i];

        if (c->identity) {
            if (take_identity(s, t) != 0)
                return -1;
            if (given[i]) {
                if (s->identity_insert == me && (c->increment > 0 ? row[i].i >= t->identity_next
                                                                  : row[i].i <= t->identity_next))
                    t->identity_next = row[i].i + c->increment;
            } else {
                struct sql_type whole = type_make(SQL_BIGINT);
                struct sql_value v = {.i = t->identity_next};

                if (dml_store(s, t, c, &whole, &v, a, &row[i]) != 0)
                    return -1;
                t->identity_next += c->increment;
            }
            s->has_identity = true;
            s->last_identity = row[i].kind == SQLITE_INTEGER ? row[i].i : 0;
        } else if (c->type.base == SQL_ROWVERSION && c->computed_text == NULL &&
                   !(s->cdc_internal && given[i])) {
            dml_rowversion(s, t, a, &row[i]);
        } else if (!given[i] && c->computed_text == NULL && dml_default(r, t, c, a, &row[i]) != 0) {
            return -1;
        }
        if (row[i].kind == SQLITE_NULL && !c->type.nullable && c->computed_text == NULL)
            return dml_null_refused(s, t, c, "INSERT");
    }
    return 0;
}

/* The change row's place comes first: without one the row must not be written. */
static int
insert_row(struct run *r, struct table *t, const bool *given, struct arena *a, struct stored *row)
{
    static const struct stored NO_ROWID = {.kind = SQLITE_NULL};
    bool capture = t->n_instances > 0 && !r->s->cdc_internal;

    if (complete_row(r, t, given, a, row) != 0 || (capture && cdc_next_row(r->s) != 0) ||
        dml_write(r->s, t, &NO_ROWID, row) != 0)
        return -1;
    return capture ? cdc_row(r->s, t, CDC_INSERT, row, NULL) : 0;
}

/* Which table column each inserted value goes to. */
static int
insert_targets(struct run *r, struct stmt *x, struct plan *p, struct table *t)
{
    struct session *s = r->s;
    int64_t me = (int64_t)t->db->id << 32 | t->object_id;

    p->n_targets = 0;
    p->targets = arena_alloc(&p->arena, (size_t)(t->n_columns + x->n_columns + 1) * sizeof(int));
    for (int i = 0; i < x->n_columns; i++) {
        int c = catalog_column(t, x->columns[i]);

        if (c < 0)
            return sqlerr_set(&s->error, 207, 16, 1, "Invalid column name '%s'.", x->columns[i]);
        p->targets[p->n_targets++] = c;
    }
    if (x->n_columns == 0 && !x->with_rows)
        for (int i = 0; i < t->n_columns; i++) {
            bool own = t->columns[i].type.base == SQL_ROWVERSION ||
                       (t->columns[i].identity && s->identity_insert != me);

            own = own || (t->columns[i].flags & (COLUMN_HIDDEN | COLUMN_SET)) != 0;
            if (t->columns[i].computed_text == NULL && (!own || s->cdc_internal))
                p->targets[p->n_targets++] = i;
        }
    for (int i = 0; i < p->n_targets; i++) {
        const struct column *c = &t->columns[p->targets[i]];

        if (c->computed_text != NULL)
            return sqlerr_set(&s->error, 271, 16, 1,
                              "The column \"%s\" cannot be modified because it is either a "
                              "computed column or is the result of a UNION operator.",
                              c->name);
        if (c->identity && s->identity_insert != me && !s->cdc_internal)
            return sqlerr_set(&s->error, 544, 16, 1,
                              "Cannot insert explicit value for identity column in table '%s' when "
                              "IDENTITY_INSERT is set to OFF.",
                              t->name);
        if ((c->flags & (COLUMN_ROW_START | COLUMN_ROW_END)) != 0)
            return sqlerr_set(&s->error, 13536, 16, 1,
                              "Cannot insert an explicit value into a GENERATED ALWAYS column in "
                              "table '%s'. Use INSERT with a column list to exclude the GENERATED "
                              "ALWAYS column, or insert a DEFAULT into GENERATED ALWAYS column.",
                              t->name);
        if (c->type.base == SQL_ROWVERSION && !s->cdc_internal)
            return sqlerr_set(&s->error, 273, 16, 1,
                              "Cannot insert an explicit value into a timestamp column. Use INSERT "
                              "with a column list to exclude the timestamp column, or insert a "
                              "DEFAULT into the timestamp column.");
    }
    return 0;
}

static int
count_mismatch(struct session *s, bool few)
{
    return few ? sqlerr_set(&s->error, 213, 16, 1,
                            "Column name or number of supplied values does not match table "
                            "definition.")
               : sqlerr_set(&s->error, 109, 15, 1,
                            "There are more columns in the INSERT statement than values specified "
                            "in the VALUES clause. The number of values in the VALUES clause must "
                            "match the number of columns specified in the INSERT statement.");
}

static bool
is_plain(const struct expr *e)
{
    if (e->kind == EXPR_NEGATE)
        return e->args[0]->kind == EXPR_LITERAL;
    return e->kind == EXPR_LITERAL || e->kind == EXPR_NULL || e->kind == EXPR_DEFAULT ||
           e->kind == EXPR_VAR;
}

/* The type a plain expression has; its value in *v. */
static int
plain_value(struct run *r, const struct expr *e, struct sql_type *t, struct sql_value *v)
{
    struct frame *f = r->frame;
    const struct expr *lit = e->kind == EXPR_NEGATE ? e->args[0] : e;

    *v = (struct sql_value){.is_null = true};
    if (lit->kind == EXPR_LITERAL) {
        *t = f->literals[lit->literal].type;
        *v = f->literals[lit->literal].value;
        if (e->kind == EXPR_NEGATE) {
            if (type_is_decimal(t->base))
                v->dec.negative = v->dec.magnitude != 0;
            else if (t->base == SQL_FLOAT)
                v->f = -v->f;
            else if (type_is_integer(t->base) || t->base == SQL_MONEY)
                v->i = -v->i;
            else
                return sqlerr_set(&r->s->error, 8117, 16, 1,
                                  "Operand data type %s is invalid for minus operator.",
                                  type_name(t->base));
        }
    } else if (e->kind == EXPR_VAR) {
        for (int i = 0; i < f->n_vars; i++)
            if (strcasecmp(f->vars[i].name, e->name) == 0) {
                *t = f->vars[i].type;
                *v = f->vars[i].value;
                return 0;
            }
        return sqlerr_set(&r->s->error, 137, 15, 2, "Must declare the scalar variable \"%s\".",
                          e->name);
    }
    return 0;
}

/* Common type of each VALUES column: 28 beside 20.5 becomes 28.0. */
static int
common_types(struct run *r, struct stmt *x, struct plan *p)
{
    const struct select *v = x->select;

    p->types = arena_alloc(&p->arena, (size_t)(v->n_row_items + 1) * sizeof *p->types);
    for (int c = 0; c < v->n_row_items; c++) {
        bool have = false;

        for (int i = 0; i < v->n_rows; i++) {
            struct sql_type t = type_make(SQL_INT);
            struct sql_value value;
            const struct expr *e = v->rows[i][c];

            if (plain_value(r, e, &t, &value) != 0)
                return -1;
            if (e->kind == EXPR_NULL || e->kind == EXPR_DEFAULT)
                continue;
            if (type_is_text(t.base) || type_is_binary(t.base))
                t.length = SQL_LENGTH_MAX; /* lengths differ from run to run */
            p->types[c] = have ? type_unify(&p->types[c], &t) : t;
            have = true;
        }
        if (!have)
            p->types[c] = type_make(SQL_INT);
    }
    return 0;
}

static int
insert_plain_row(struct run *r, struct stmt *x, struct plan *p, struct table *t,
                 struct expr *const *items)
{
    struct session *s = r->s;
    struct stored *row;
    bool *given;
    struct value_context c = run_context(s, VALUE_CAST);
    bool many = x->select->n_rows > 1;

    arena_reset(&s->row_arena);
    c.arena = &s->row_arena;
    row = arena_alloc(&s->row_arena, (size_t)(t->n_columns + 1) * sizeof *row);
    given = arena_alloc(&s->row_arena, (size_t)t->n_columns + 1);
    for (int i = 0; i < t->n_columns; i++)
        row[i].kind = SQLITE_NULL;
    for (int i = 0; i < p->n_targets; i++) {
        struct sql_type type = type_make(SQL_INT);
        struct sql_value v;
        int col = p->targets[i];

        if (items[i]->kind == EXPR_DEFAULT)
            continue;
        given[col] = true;
        if (plain_value(r, items[i], &type, &v) != 0)
            return -1;
        if (many && !v.is_null && type.base != p->types[i].base &&
            value_convert(&c, &type, &v, &p->types[i], &v) != 0)
            return -1;
        if (many && !v.is_null && type.base == p->types[i].base && type_is_decimal(type.base) &&
            value_convert(&c, &type, &v, &p->types[i], &v) != 0)
            return -1;
        if (dml_store(s, t, &t->columns[col], many ? &p->types[i] : &type, &v, &s->row_arena,
                      &row[col]) != 0)
            return -1;
    }
    return insert_row(r, t, given, &s->row_arena, row);
}

static int
insert_values(struct run *r, struct stmt *x, struct plan *p, struct table *t, int64_t *rows)
{
    struct select *v = x->select;

    if (v->n_row_items != p->n_targets)
        return count_mismatch(r->s, x->n_columns == 0 || v->n_row_items > p->n_targets);
    for (int i = 0; i < v->n_rows; i++) {
        if (insert_plain_row(r, x, p, t, v->rows[i]) != 0)
            return -1;
        ++*rows;
    }
    return 0;
}

/* INSERT ... SELECT: all rows are read before the first is written. */
static int
insert_query(struct run *r, struct plan *p, struct table *t, int64_t *rows)
{
    struct session *s = r->s;
    struct arena held = {0};
    struct stored **all = NULL;
    bool *given = arena_alloc(&held, (size_t)t->n_columns + 1);
    int n = 0;
    int rc = 0;
    int step = SQLITE_DONE;

    if (p->query.n_columns != p->n_targets)
        rc = count_mismatch(s, true);
    if (rc == 0)
        rc = query_start(s, &p->query);
    while (rc == 0 && (step = sqlite3_step(p->query.stmt)) == SQLITE_ROW) {
        struct stored *row = arena_alloc(&held, (size_t)(t->n_columns + 1) * sizeof *row);

        for (int i = 0; i < t->n_columns; i++)
            row[i].kind = SQLITE_NULL;
        for (int i = 0; i < p->n_targets && rc == 0; i++) {
            int col = p->targets[i];
            struct sql_value v;

            value_load(&p->query.columns[i].type, sqlite3_column_value(p->query.stmt, i), &held,
                       &v);
            given[col] = true;
            rc = dml_store(s, t, &t->columns[col], &p->query.columns[i].type, &v, &held, &row[col]);
            if (rc == 0 && (row[col].kind == SQLITE_TEXT || row[col].kind == SQLITE_BLOB))
                row[col].data = arena_dup(&held, row[col].data, row[col].size);
        }
        all = arena_push(&held, all, n, sizeof *all);
        all[n++] = row;
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = session_sqlite_error(s);
    (void)sqlite3_reset(p->query.stmt);
    for (int i = 0; i < n && rc == 0; i++) {
        rc = insert_row(r, t, given, &held, all[i]);
        *rows += rc == 0;
    }
    arena_free(&held);
    return rc;
}

static int
insert_plan(struct run *r, struct stmt *x, struct plan *p, struct table *t)
{
    struct select *v = x->select;

    if (p->made)
        return 0;
    if (insert_targets(r, x, p, t) != 0)
        return -1;
    p->plain_values = !x->with_rows && v->n_rows > 0 && v->next == NULL;
    for (int i = 0; p->plain_values && i < v->n_rows; i++)
        for (int c = 0; p->plain_values && c < v->n_row_items; c++)
            p->plain_values = is_plain(v->rows[i][c]);
    if (p->plain_values) {
        if (v->n_rows > 1 && common_types(r, x, p) != 0)
            return -1;
    } else if (!x->with_rows && query_select(r->s, r->frame, &p->arena, v, &p->query) != 0) {
        return -1;
    }
    p->made = true;
    return 0;
}

int
dml_insert(struct run *r, struct stmt *x, int64_t *rows)
{
    struct session *s = r->s;
    struct table *t = dml_target(r, x, "INSERT");
    struct plan *p = plan_of(s, r->entry, x); /* of the catalog as it is, now that t is ours */
    bool many;
    int rc;

    if (t == NULL)
        return -1;
    if (p->made && s->identity_insert != 0)
        p->made = false; /* IDENTITY_INSERT changes what may be given */
    if (insert_plan(r, x, p, t) != 0 || dml_prepare_insert(s, t) != 0)
        return -1;
    many = !p->plain_values || x->select->n_rows > 1;
    if (dml_open_point(s, many) != 0)
        return -1;
    if (x->with_rows) {
        struct stored *row = arena_alloc(&s->exec_arena, (size_t)(t->n_columns + 1) * sizeof *row);
        bool *given = arena_alloc(&s->exec_arena, (size_t)t->n_columns + 1);

        for (int i = 0; i < t->n_columns; i++)
            row[i].kind = SQLITE_NULL;
        rc = insert_row(r, t, given, &s->exec_arena, row);
        *rows = 1;
    } else if (p->plain_values) {
        rc = insert_values(r, x, p, t, rows);
    } else {
        rc = insert_query(r, p, t, rows);
    }
    if (rc == 0)
        rc = save_identity(s, t);
    return dml_close_point(s, many, rc);
}
