/* FROM, SELECT lists and set operations: scopes on the way down, text on the way up. */
#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/bind.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/rights.h"
#include "tests/mssqld/sql/sysview.h"

/* What binding one SELECT leaves for writing it. */
struct bound {
    struct scope scope;
    const char *from; /* text, "" when there is none */
    struct expr **items;
    struct sql_column *columns;
    const char **variables;
    int n_items;
};

void
rel_of_table(struct binder *b, struct table *t, const char *alias, const char *sql_alias,
             struct rel *out)
{
    *out = (struct rel){.name = alias != NULL ? alias : t->name,
                        .schema = alias != NULL ? NULL : t->schema,
                        .n_columns = t->n_columns};
    if (!t->without_rowid)
        out->place = arena_printf(b->arena, "ms_physloc(%s.rowid)", sql_alias);
    out->columns = arena_alloc(b->arena, (size_t)(t->n_columns + 1) * sizeof *out->columns);
    for (int i = 0; i < t->n_columns; i++) {
        out->columns[i].name = t->columns[i].name;
        out->columns[i].type = t->columns[i].type;
        out->columns[i].sql = arena_printf(b->arena, "%s.c%d", sql_alias, t->columns[i].id);
    }
}

static void
note_lock(struct query *q, const struct table *t, char hint)
{
    if (q->n_locks < (int)(sizeof q->locks / sizeof q->locks[0]))
        q->locks[q->n_locks++] = (struct table_lock){t->db, t->object_id, hint};
}

static int
invalid_object(struct binder *b, const struct from *f)
{
    const struct name *n = &f->name;

    if (b->s->error.number != 0)
        return -1;
    b->s->error.line = f->line;
    return sqlerr_set(&b->s->error, 208, 16, 1, "Invalid object name '%s%s%s%s%s'.",
                      n->database != NULL ? n->database : "", n->database != NULL ? "." : "",
                      n->schema != NULL ? n->schema : "",
                      n->schema != NULL || n->database != NULL ? "." : "", n->object);
}

static int
bind_source_name(struct binder *b, struct from *f, const char *alias, struct rel *rel,
                 struct sbuf *o)
{
    struct database *d;
    struct table *t;
    bool by_column;
    int rc;

    b->s->error.number = 0;
    d = catalog_database(b->s, &f->name);
    if (d == NULL)
        return -1;
    if (f->kind == FROM_FUNCTION) {
        rc = sysview_bind_changes(b, d, f, alias, rel, o);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
    }
    rc = sysview_bind(b, d,
                      f->name.schema != NULL     ? f->name.schema
                      : f->kind == FROM_FUNCTION ? "sys" /* fn_my_permissions needs none */
                                                 : "",
                      f, alias, rel, o);
    if (rc != 0) {
        if (f->alias != NULL)
            rel->name = f->alias;
        return rc < 0 ? -1 : 0;
    }
    t = f->kind == FROM_TABLE ? catalog_find(b->s, &f->name, 'U') : NULL;
    if (t == NULL)
        return invalid_object(b, f);
    if (catalog_check_snapshot(b->s, t) != 0)
        return -1;
    by_column = rights_by_column(b->s, t);
    if (!by_column && security_require(b->s, t, "SELECT") != 0)
        return -1;
    if (f->lock_hint != 0)
        note_lock(b->q, t, f->lock_hint);
    rel_of_table(b, t, f->alias, alias, rel);
    rel->refused_of = by_column ? t : NULL;
    for (int i = 0; by_column && i < t->n_columns; i++)
        rel->columns[i].refused = !rights_column(b->s, t, i, "SELECT");
    sbuf_fmt(o, "%s AS %s", catalog_sql_name(t, b->arena), alias);
    return 0;
}

static int
bind_derived(struct binder *b, struct from *f, const char *alias, struct rel *rel, struct sbuf *o)
{
    struct sql_column *columns;
    int n;

    if (bind_select(b, f->query, &columns, &n) != 0)
        return -1;
    *rel = (struct rel){.name = f->alias != NULL ? f->alias : alias, .n_columns = n};
    rel->columns = arena_alloc(b->arena, (size_t)(n + 1) * sizeof *rel->columns);
    for (int i = 0; i < n; i++) {
        rel->columns[i].name = i < f->n_column_names ? f->column_names[i] : columns[i].name;
        rel->columns[i].type = columns[i].type;
        rel->columns[i].type.identity = false;
        rel->columns[i].sql = arena_printf(b->arena, "%s.k%d", alias, i);
    }
    sbuf_add(o, "(");
    emit_select(b, o, f->query, NULL);
    sbuf_fmt(o, ") AS %s", alias);
    return 0;
}

static void
make_nullable(struct scope *sc, int from, int to)
{
    for (int i = from; i < to; i++)
        for (int c = 0; c < sc->rels[i].n_columns; c++)
            sc->rels[i].columns[c].type.nullable = true;
}

static int
bind_from(struct binder *b, struct from *f, struct scope *sc, struct sbuf *o)
{
    static const char *const WORDS[] = {" JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ",
                                        " CROSS JOIN "};
    const char *alias;
    struct rel rel;
    int first = sc->n_rels;
    int middle;

    if (f->kind == FROM_JOIN) {
        if (bind_from(b, f->left, sc, o) != 0)
            return -1;
        middle = sc->n_rels;
        sbuf_add(o, WORDS[f->join]);
        if (f->right->kind == FROM_JOIN)
            sbuf_add(o, "(");
        if (bind_from(b, f->right, sc, o) != 0)
            return -1;
        if (f->right->kind == FROM_JOIN)
            sbuf_add(o, ")");
        if (f->join == JOIN_RIGHT || f->join == JOIN_FULL)
            make_nullable(sc, first, middle);
        if (f->join == JOIN_LEFT || f->join == JOIN_FULL)
            make_nullable(sc, middle, sc->n_rels);
        if (f->on == NULL)
            return 0;
        if (bind_expr(b, f->on) != 0)
            return -1;
        sbuf_add(o, " ON ");
        emit_expr(b, o, f->on);
        return 0;
    }
    alias = arena_printf(b->arena, "f%d", ++b->next_rel);
    if (f->kind == FROM_QUERY ? bind_derived(b, f, alias, &rel, o) != 0
                              : bind_source_name(b, f, alias, &rel, o) != 0)
        return -1;
    sc->rels = arena_push(b->arena, sc->rels, sc->n_rels, sizeof *sc->rels);
    sc->rels[sc->n_rels++] = rel;
    return 0;
}

static void
push_item(struct binder *b, struct bound *x, struct expr *e, const char *name, const char *variable)
{
    struct sql_column *c;

    x->items = arena_push(b->arena, x->items, x->n_items, sizeof *x->items);
    x->columns = arena_push(b->arena, x->columns, x->n_items, sizeof *x->columns);
    x->variables = arena_push(b->arena, x->variables, x->n_items, sizeof *x->variables);
    x->items[x->n_items] = e;
    x->variables[x->n_items] = variable;
    c = &x->columns[x->n_items++];
    c->name = name;
    c->type = e->type;
}

static int
expand_star(struct binder *b, struct bound *x, const struct select_item *item)
{
    bool any = false;

    for (int i = 0; i < x->scope.n_rels; i++) {
        struct rel *r = &x->scope.rels[i];

        if (item->star_of != NULL && strcasecmp(item->star_of, r->name) != 0)
            continue;
        any = true;
        for (int c = 0; c < r->n_columns; c++) {
            struct expr *e = arena_alloc(b->arena, sizeof *e);

            if (r->columns[c].refused)
                return bind_refused(b, r, &r->columns[c]);
            e->kind = EXPR_COLUMN;
            e->name = r->columns[c].name;
            e->type = r->columns[c].type;
            e->sql = r->columns[c].sql;
            e->bound = true;
            push_item(b, x, e, e->name, NULL);
        }
    }
    if (!any)
        return sqlerr_set(&b->s->error, 107, 15, 1,
                          "The column prefix '%s' does not match with a table name or alias name "
                          "used in the query.",
                          item->star_of != NULL ? item->star_of : "*");
    return 0;
}

static int
bind_items(struct binder *b, struct bound *x, struct select *sel)
{
    for (int i = 0; i < sel->n_items; i++) {
        struct select_item *item = &sel->items[i];
        const char *name = item->alias;

        if (item->e == NULL) {
            if (expand_star(b, x, item) != 0)
                return -1;
            continue;
        }
        if (bind_expr(b, item->e) != 0)
            return -1;
        if (name == NULL)
            name = item->e->kind == EXPR_COLUMN ? item->e->name : "";
        push_item(b, x, item->e, name, item->variable);
    }
    return 0;
}

/* VALUES (...), (...): a column's type is that of all its rows together. */
static int
bind_rows(struct binder *b, struct bound *x, struct select *sel)
{
    for (int c = 0; c < sel->n_row_items; c++) {
        struct expr *first = NULL;
        struct sql_type t = type_make(SQL_INT);
        bool nullable = false;

        for (int r = 0; r < sel->n_rows; r++) {
            struct expr *e = sel->rows[r][c];

            if (bind_expr(b, e) != 0)
                return -1;
            nullable = nullable || e->kind == EXPR_NULL || e->type.nullable;
            if (e->kind == EXPR_NULL)
                continue;
            t = first == NULL ? e->type : type_unify(&t, &e->type);
            first = e;
        }
        t.nullable = nullable;
        push_item(b, x, sel->rows[0][c], arena_printf(b->arena, "column%d", c + 1), NULL);
        x->columns[c].type = t;
    }
    return 0;
}

static int
bind_order(struct binder *b, struct select *sel)
{
    struct bound *x = sel->bound;

    for (int i = 0; i < sel->n_order; i++) {
        struct expr *e = sel->order[i].e;
        bool found = false;

        if (e->kind == EXPR_LITERAL) {
            const struct literal *lit = &b->frame->literals[e->literal];

            if (lit->type.base != SQL_INT || lit->value.i < 1 || lit->value.i > x->n_items)
                return sqlerr_set(&b->s->error, 108, 15, 1,
                                  "The ORDER BY position number %lld is out of range of the number "
                                  "of items in the select list.",
                                  (long long)lit->value.i);
            e->op = (int)lit->value.i;
            continue;
        }
        if (e->kind == EXPR_COLUMN && e->qualifier == NULL)
            for (int k = 0; k < x->n_items && !found; k++)
                if (strcasecmp(x->columns[k].name, e->name) == 0) {
                    e->op = k + 1;
                    found = true;
                }
        if (!found && bind_expr(b, e) != 0)
            return -1;
    }
    return 0;
}

static int
bind_core(struct binder *b, struct select *sel)
{
    struct bound *x = arena_alloc(b->arena, sizeof *x);
    struct sbuf from = {0};
    int rc = 0;

    sel->bound = x;
    x->scope.up = b->scope;
    b->scope = &x->scope;
    x->from = "";
    for (int i = 0; i < sel->n_from && rc == 0; i++) {
        sbuf_add(&from, i > 0 ? " CROSS JOIN " : " FROM ");
        rc = bind_from(b, sel->from[i], &x->scope, &from);
    }
    if (rc == 0 && from.size > 0)
        x->from = arena_strdup(b->arena, from.data);
    sbuf_free(&from);
    if (rc == 0 && sel->where != NULL)
        rc = bind_expr(b, sel->where);
    for (int i = 0; i < sel->n_group && rc == 0; i++)
        rc = bind_expr(b, sel->group[i]);
    if (rc == 0 && sel->having != NULL)
        rc = bind_expr(b, sel->having);
    if (rc == 0)
        rc = sel->n_rows > 0 ? bind_rows(b, x, sel) : bind_items(b, x, sel);
    if (rc == 0 && sel->top != NULL)
        rc = bind_expr(b, sel->top);
    if (rc == 0)
        rc = bind_order(b, sel);
    if (rc == 0 && sel->offset != NULL)
        rc = bind_expr(b, sel->offset);
    if (rc == 0 && sel->fetch != NULL)
        rc = bind_expr(b, sel->fetch);
    b->scope = x->scope.up;
    return rc;
}

int
bind_select(struct binder *b, struct select *sel, struct sql_column **columns, int *n)
{
    struct bound *first;

    if (bind_core(b, sel) != 0)
        return -1;
    first = sel->bound;
    for (struct select *s = sel->next; s != NULL; s = s->next) {
        if (bind_core(b, s) != 0)
            return -1;
        if (s->bound->n_items != first->n_items)
            return sqlerr_set(&b->s->error, 205, 16, 1,
                              "All queries combined using a UNION, INTERSECT or EXCEPT operator "
                              "must have an equal number of expressions in their target lists.");
        for (int i = 0; i < first->n_items; i++) {
            bool null_first = first->items[i]->kind == EXPR_NULL && s == sel->next;
            bool null_here = s->bound->items[i]->kind == EXPR_NULL;
            struct sql_type *t = &first->columns[i].type;

            if (null_first)
                *t = s->bound->columns[i].type;
            else if (!null_here)
                *t = type_unify(t, &s->bound->columns[i].type);
            t->nullable = t->nullable || null_first || null_here;
        }
    }
    *columns = first->columns;
    *n = first->n_items;
    return 0;
}

static void
emit_order(struct binder *b, struct sbuf *o, struct select *sel)
{
    struct bound *x = sel->bound;

    for (int i = 0; i < sel->n_order; i++) {
        struct expr *e = sel->order[i].e;

        sbuf_add(o, i == 0 ? " ORDER BY " : ",");
        if (e->op > 0 && sel->next == NULL && !sel->distinct)
            emit_collated(b, o, x->items[e->op - 1]);
        else if (e->op > 0)
            sbuf_fmt(o, "%d", e->op);
        else
            emit_collated(b, o, e);
        if (sel->order[i].descending)
            sbuf_add(o, " DESC");
    }
}

static void
emit_limit(struct binder *b, struct sbuf *o, struct select *sel)
{
    struct sql_type whole = type_make(SQL_BIGINT);

    if (sel->top != NULL) {
        sbuf_add(o, " LIMIT ");
        emit_as(b, o, sel->top, &whole);
    } else if (sel->offset != NULL) {
        sbuf_add(o, " LIMIT ");
        if (sel->fetch != NULL)
            emit_as(b, o, sel->fetch, &whole);
        else
            sbuf_add(o, "-1");
        sbuf_add(o, " OFFSET ");
        emit_as(b, o, sel->offset, &whole);
    }
}

static void
emit_rows(struct binder *b, struct sbuf *o, struct select *sel, const struct sql_type *types)
{
    struct bound *x = sel->bound;

    for (int r = 0; r < sel->n_rows; r++) {
        sbuf_add(o, r == 0 ? "SELECT " : " UNION ALL SELECT ");
        for (int c = 0; c < sel->n_row_items; c++) {
            sbuf_add(o, c > 0 ? "," : "");
            /* via the common type: 28 beside 20.5 is 28.0 */
            if (types == NULL || type_same_store(&x->columns[c].type, &types[c])) {
                emit_as(b, o, sel->rows[r][c], &x->columns[c].type);
            } else {
                sbuf_add(o, "ms_cast(");
                emit_as(b, o, sel->rows[r][c], &x->columns[c].type);
                sbuf_fmt(o, ",%lld,%lld,0)", (long long)type_pack(&x->columns[c].type),
                         (long long)type_pack(&types[c]));
            }
            sbuf_fmt(o, " AS k%d", c);
        }
    }
}

static void
emit_core(struct binder *b, struct sbuf *o, struct select *sel, const struct sql_type *types)
{
    struct bound *x = sel->bound;

    if (sel->n_rows > 0) {
        emit_rows(b, o, sel, types);
        return;
    }
    sbuf_add(o, sel->distinct ? "SELECT DISTINCT " : "SELECT ");
    for (int i = 0; i < x->n_items; i++) {
        struct expr *e = x->items[i];

        sbuf_add(o, i > 0 ? "," : "");
        if (types != NULL)
            emit_as(b, o, e, &types[i]);
        else
            emit_expr(b, o, e);
        if (sel->distinct && type_is_text(e->type.base))
            sbuf_fmt(o, " COLLATE %s", collation_sqlite(e->type.collation));
        sbuf_fmt(o, " AS k%d", i);
    }
    sbuf_add(o, x->from);
    if (sel->where != NULL) {
        sbuf_add(o, " WHERE ");
        emit_expr(b, o, sel->where);
    }
    for (int i = 0; i < sel->n_group; i++) {
        sbuf_add(o, i == 0 ? " GROUP BY " : ",");
        emit_collated(b, o, sel->group[i]);
    }
    if (sel->having != NULL) {
        sbuf_add(o, sel->n_group == 0 ? " GROUP BY NULL HAVING " : " HAVING ");
        emit_expr(b, o, sel->having);
    }
}

void
emit_select(struct binder *b, struct sbuf *o, struct select *sel, const struct sql_type *types)
{
    struct sql_type *own = NULL;

    if (sel->next == NULL) {
        emit_core(b, o, sel, types);
        emit_order(b, o, sel);
        emit_limit(b, o, sel);
        return;
    }
    if (types == NULL) {
        own = arena_alloc(b->arena, (size_t)(sel->bound->n_items + 1) * sizeof *own);
        for (int i = 0; i < sel->bound->n_items; i++)
            own[i] = sel->bound->columns[i].type;
        types = own;
    }
    for (struct select *s = sel; s != NULL; s = s->next) {
        bool wrap = s->top != NULL || s->n_rows > 1;

        sbuf_add(o, wrap ? "SELECT * FROM (" : "");
        emit_core(b, o, s, types);
        if (s->top != NULL)
            emit_limit(b, o, s);
        sbuf_add(o, wrap ? ")" : "");
        if (s->next != NULL)
            sbuf_add(o, s->set_op == 'A'   ? " UNION ALL "
                        : s->set_op == 'U' ? " UNION "
                        : s->set_op == 'E' ? " EXCEPT "
                                           : " INTERSECT ");
    }
    emit_order(b, o, sel);
    if (sel->top == NULL)
        emit_limit(b, o, sel);
}

int
query_select(struct session *s, struct frame *f, struct arena *a, struct select *sel,
             struct query *q)
{
    struct binder b = {.s = s, .frame = f, .arena = a, .q = q};

    if (bind_select(&b, sel, &q->columns, &q->n_columns) != 0)
        return -1;
    q->variables = sel->bound->variables;
    for (int i = 0; i < q->n_columns; i++)
        q->assigns = q->assigns || q->variables[i] != NULL;
    emit_select(&b, &q->text, sel, NULL);
    return query_prepare(s, q);
}

int
query_scalar(struct session *s, struct frame *f, struct arena *a, struct expr *x,
             const struct sql_type *to, struct query *q)
{
    struct binder b = {.s = s, .frame = f, .arena = a, .q = q};

    if (bind_expr(&b, x) != 0)
        return -1;
    q->columns = arena_alloc(a, sizeof *q->columns);
    q->n_columns = 1;
    q->columns[0].name = "";
    q->columns[0].type = to != NULL ? *to : x->type;
    sbuf_add(&q->text, "SELECT ");
    if (to != NULL)
        emit_as(&b, &q->text, x, to);
    else
        emit_expr(&b, &q->text, x);
    return query_prepare(s, q);
}

int
query_table_rows(struct session *s, struct frame *f, struct arena *a, struct table *t,
                 struct expr *where, struct expr *top, struct expr **exprs,
                 const struct sql_type *types, int n_exprs, struct query *q)
{
    struct binder b = {.s = s, .frame = f, .arena = a, .q = q};
    struct scope sc = {0};
    struct rel rel;
    struct sql_type whole = type_make(SQL_BIGINT);

    rel_of_table(&b, t, NULL, "f0", &rel);
    sc.rels = &rel;
    sc.n_rels = 1;
    b.scope = &sc;
    sbuf_add(&q->text, t->without_rowid ? "SELECT NULL" : "SELECT f0.rowid");
    for (int i = 0; i < t->n_columns; i++)
        sbuf_fmt(&q->text, ",f0.c%d", t->columns[i].id);
    for (int i = 0; i < n_exprs; i++) {
        sbuf_add(&q->text, ",");
        if (exprs[i]->kind == EXPR_DEFAULT) {
            sbuf_add(&q->text, "NULL");
            continue;
        }
        if (bind_expr(&b, exprs[i]) != 0)
            return -1;
        emit_expr(&b, &q->text, exprs[i]);
        (void)types;
    }
    sbuf_fmt(&q->text, " FROM %s AS f0", catalog_sql_name(t, a));
    if (where != NULL) {
        if (bind_expr(&b, where) != 0)
            return -1;
        sbuf_add(&q->text, " WHERE ");
        emit_expr(&b, &q->text, where);
    }
    if (top != NULL) {
        if (bind_expr(&b, top) != 0)
            return -1;
        sbuf_add(&q->text, " LIMIT ");
        emit_as(&b, &q->text, top, &whole);
    }
    return query_prepare(s, q);
}

int
query_prepare(struct session *s, struct query *q)
{
    q->stmt = session_prepare(s, q->text.data);
    return q->stmt == NULL ? -1 : 0;
}

void
query_free(struct query *q)
{
    (void)sqlite3_finalize(q->stmt);
    sbuf_free(&q->text);
    *q = (struct query){0};
}
