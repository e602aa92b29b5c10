/* SQLite text of bound expressions. */
#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/bind.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/lex.h"

void
emit_param(struct binder *b, struct sbuf *o, enum bind_kind kind, int index,
           const struct sql_type *type)
{
    struct query *q = b->q;

    for (int i = 0; i < q->n_binds; i++)
        if (q->binds[i].kind == kind && q->binds[i].index == index) {
            sbuf_fmt(o, "?%d", i + 1);
            return;
        }
    q->binds = arena_push(b->arena, q->binds, q->n_binds, sizeof *q->binds);
    q->binds[q->n_binds] = (struct bind){kind, index, *type};
    q->n_binds++;
    sbuf_fmt(o, "?%d", q->n_binds);
}

void
emit_as(struct binder *b, struct sbuf *o, const struct expr *x, const struct sql_type *to)
{
    const struct sql_type *from = &x->type;
    bool length =
        (type_is_text(to->base) || type_is_binary(to->base)) && to->length != SQL_LENGTH_MAX &&
        (from->length == SQL_LENGTH_MAX || from->length > to->length || to->base != from->base);

    if (x->kind == EXPR_NULL) {
        sbuf_add(o, "NULL");
        return;
    }
    if (type_same_store(from, to) && !length &&
        (!type_is_text(to->base) || type_is_wide(to->base) || !type_is_wide(from->base)) &&
        !(type_is_decimal(to->base) && from->precision > to->precision) &&
        (!type_is_datetime(to->base) || to->base == from->base) &&
        !(type_is_time(to->base) && from->scale > to->scale) &&
        !(type_is_integer(to->base) && from->base > to->base) &&
        !(to->base == SQL_REAL && from->base == SQL_FLOAT)) {
        emit_expr(b, o, x);
        return;
    }
    sbuf_add(o, "ms_cast(");
    emit_expr(b, o, x);
    sbuf_fmt(o, ",%lld,%lld,0)", (long long)type_pack(from), (long long)type_pack(to));
}

/* For comparisons the storage form is all that counts. */
static void
emit_compared(struct binder *b, struct sbuf *o, const struct expr *x, const struct sql_type *to)
{
    if (x->kind == EXPR_NULL)
        sbuf_add(o, "NULL");
    else if (to->base == SQL_DATETIMEOFFSET) {
        sbuf_add(o, "ms_instant(");
        emit_as(b, o, x, to);
        sbuf_add(o, ")");
    } else if (type_same_store(&x->type, to))
        emit_expr(b, o, x);
    else
        emit_as(b, o, x, to);
    if (type_is_text(to->base))
        sbuf_fmt(o, " COLLATE %s", collation_sqlite(to->collation));
}

void
emit_collated(struct binder *b, struct sbuf *o, const struct expr *x)
{
    emit_expr(b, o, x);
    if (type_is_text(x->type.base))
        sbuf_fmt(o, " COLLATE %s", collation_sqlite(x->type.collation));
}

static struct sql_type
compare_type(const struct expr *l, const struct expr *r)
{
    struct sql_type t;

    if (l->kind == EXPR_NULL)
        return r->type;
    if (r->kind == EXPR_NULL)
        return l->type;
    t = type_unify(&l->type, &r->type);
    if (type_is_text(t.base)) {
        const struct expr *c = l->kind == EXPR_COLLATE || l->kind == EXPR_COLUMN ? l : r;

        if (c->kind != EXPR_COLLATE && r->kind == EXPR_COLLATE)
            c = r;
        if (type_is_text(c->type.base))
            memcpy(t.collation, c->type.collation, sizeof t.collation);
        t.length = SQL_LENGTH_MAX;
    }
    if (type_is_binary(t.base))
        t = type_sized(SQL_VARBINARY, SQL_LENGTH_MAX);
    if (t.base == SQL_DATETIME || t.base == SQL_SMALLDATETIME) {
        /* text against datetime must round to the type's grid, times among themselves must not */
        if (!type_is_text(l->type.base) && !type_is_text(r->type.base))
            t = type_make(SQL_DATETIME2);
    }
    return t;
}

static const char *
op_text(int op)
{
    switch (op) {
    case OP2('<', '='):
        return "<=";
    case OP2('>', '='):
        return ">=";
    case OP2('<', '>'):
        return "<>";
    case '<':
        return "<";
    case '>':
        return ">";
    case '=':
    default:
        return "=";
    }
}

static void
emit_compare(struct binder *b, struct sbuf *o, const struct expr *l, const char *op,
             const struct expr *r)
{
    struct sql_type t = compare_type(l, r);

    sbuf_add(o, "(");
    emit_compared(b, o, l, &t);
    sbuf_add(o, op);
    emit_compared(b, o, r, &t);
    sbuf_add(o, ")");
}

/* A column compared so that no side of it needs work: what an index can answer. */
static bool
plain_pair(const struct expr *x, int op)
{
    struct sql_type t;

    if (x->kind != EXPR_COMPARE || x->op != op || x->args[0]->kind != EXPR_COLUMN)
        return false;
    t = compare_type(x->args[0], x->args[1]);
    return type_same_store(&x->args[0]->type, &t) && t.base != SQL_DATETIMEOFFSET;
}

/*
 * c1 > x1 OR (c1 = x1 AND (c2 > x2 OR (...))), the written-out form of a tuple comparison that
 * keyset paging uses, becomes (c1, c2, ...) > (x1, x2, ...), which seeks in an index.
 * Returns the number of columns, 0 when the tree has another shape.
 */
static int
tuple_shape(const struct expr *x, const struct expr **pairs, int room)
{
    const struct expr *gt;
    const struct expr *both;
    int n;

    if (room == 0)
        return 0;
    if (plain_pair(x, '>')) {
        pairs[0] = x;
        return 1;
    }
    if (x->kind != EXPR_OR)
        return 0;
    gt = x->args[0];
    both = x->args[1];
    if (!plain_pair(gt, '>') || both->kind != EXPR_AND || !plain_pair(both->args[0], '=') ||
        strcmp(gt->args[0]->sql, both->args[0]->args[0]->sql) != 0)
        return 0;
    pairs[0] = gt;
    n = tuple_shape(both->args[1], pairs + 1, room - 1);
    return n == 0 ? 0 : n + 1;
}

static bool
same_constant(struct binder *b, const struct expr *x, const struct expr *y)
{
    struct sbuf s = {0};
    struct sbuf t = {0};
    bool same;
    struct query keep = *b->q;

    if (x->kind == EXPR_LITERAL && y->kind == EXPR_LITERAL) {
        const struct literal *p = &b->frame->literals[x->literal];
        const struct literal *q = &b->frame->literals[y->literal];
        struct stored u = {0};
        struct stored v = {0};

        if (!type_same_store(&p->type, &q->type))
            return false;
        value_store(&p->type, &p->value, b->arena, &u);
        value_store(&q->type, &q->value, b->arena, &v);
        return stored_equal(&u, &v);
    }
    emit_expr(b, &s, x);
    emit_expr(b, &t, y);
    same = s.size == t.size && memcmp(s.data, t.data, s.size) == 0;
    *b->q = keep;
    sbuf_free(&s);
    sbuf_free(&t);
    return same;
}

static bool
equal_constants(struct binder *b, const struct expr *x)
{
    for (; x->kind == EXPR_OR; x = x->args[1]->args[1])
        if (!same_constant(b, x->args[0]->args[1], x->args[1]->args[0]->args[1]))
            return false;
    return true;
}

static void
write_tuple(struct binder *b, struct sbuf *o, const struct expr **pairs, int n)
{
    for (int side = 0; side < 2; side++) {
        sbuf_add(o, side == 0 ? "((" : ")>(");
        for (int i = 0; i < n; i++) {
            struct sql_type t = compare_type(pairs[i]->args[0], pairs[i]->args[1]);

            sbuf_add(o, i > 0 ? "," : "");
            emit_compared(b, o, pairs[i]->args[side], &t);
        }
    }
    sbuf_add(o, "))");
}

static bool
emit_tuple(struct binder *b, struct sbuf *o, const struct expr *x)
{
    const struct expr *pairs[16];
    int n = tuple_shape(x, pairs, 16);

    if (n < 2 || !equal_constants(b, x))
        return false;
    write_tuple(b, o, pairs, n);
    return true;
}

/*
 * The same with the equality of the first column left to a bound beside it:
 * c1 >= x1 AND (c1 > x1 OR (c2 > x2 OR (c2 = x2 AND ...))).  left is what stands before AND.
 * Returns the number of columns, 0 when the trees have another shape.
 */
static int
bounded_tuple(struct binder *b, const struct expr *left, const struct expr *x,
              const struct expr **pairs)
{
    const struct expr *bound = left->kind == EXPR_AND ? left->args[1] : left;
    int n;

    if (x->kind != EXPR_OR || !plain_pair(bound, OP2('>', '=')) || !plain_pair(x->args[0], '>') ||
        strcmp(bound->args[0]->sql, x->args[0]->args[0]->sql) != 0)
        return 0;
    pairs[0] = x->args[0];
    n = tuple_shape(x->args[1], pairs + 1, 15);
    if (n < 1 || !equal_constants(b, x->args[1]) ||
        !same_constant(b, bound->args[1], x->args[0]->args[1]))
        return 0;
    return n + 1;
}

/* Where the tuple is the tighter bound, the plus keeps SQLite from seeking by the looser one. */
static void
emit_and(struct binder *b, struct sbuf *o, const struct expr *x)
{
    const struct expr *pairs[16];
    int n = bounded_tuple(b, x->args[0], x->args[1], pairs);

    sbuf_add(o, n > 0 && x->args[0]->kind != EXPR_AND ? "(+(" : "((");
    emit_expr(b, o, x->args[0]);
    sbuf_add(o, ") AND ");
    if (n > 0)
        write_tuple(b, o, pairs, n);
    else
        emit_expr(b, o, x->args[1]);
    sbuf_add(o, ")");
}

static void
emit_in(struct binder *b, struct sbuf *o, const struct expr *x)
{
    const struct expr *l = x->args[0];
    struct sql_type t = l->type;

    sbuf_add(o, x->negated ? "(NOT " : "(");
    if (x->query != NULL) {
        struct expr right = {.kind = EXPR_COLUMN, .type = x->cast_to};

        t = compare_type(l, &right);
        emit_compared(b, o, l, &t);
        sbuf_add(o, " IN (");
        emit_select(b, o, x->query, type_same_store(&x->cast_to, &t) ? NULL : &t);
        sbuf_add(o, "))");
        return;
    }
    for (int i = 1; i < x->n_args; i++)
        if (x->args[i]->kind != EXPR_NULL)
            t = type_unify(&t, &x->args[i]->type);
    if (type_is_text(t.base) && type_is_text(l->type.base))
        memcpy(t.collation, l->type.collation, sizeof t.collation);
    if (type_is_text(t.base) || type_is_binary(t.base))
        t.length = SQL_LENGTH_MAX;
    emit_compared(b, o, l, &t);
    sbuf_add(o, " IN (");
    for (int i = 1; i < x->n_args; i++) {
        sbuf_add(o, i > 1 ? "," : "");
        emit_compared(b, o, x->args[i], &t);
    }
    sbuf_add(o, "))");
}

static void
emit_case(struct binder *b, struct sbuf *o, const struct expr *x)
{
    const struct expr *operand = x->args[0];
    const struct expr *otherwise = x->args[x->n_args - 1];

    sbuf_add(o, "(CASE");
    for (int i = 1; i + 1 < x->n_args - 0 && i < x->n_args - 1; i += 2) {
        sbuf_add(o, " WHEN ");
        if (operand != NULL)
            emit_compare(b, o, operand, "=", x->args[i]);
        else
            emit_expr(b, o, x->args[i]);
        sbuf_add(o, " THEN ");
        emit_as(b, o, x->args[i + 1], &x->type);
    }
    if (otherwise != NULL) {
        sbuf_add(o, " ELSE ");
        emit_as(b, o, otherwise, &x->type);
    }
    sbuf_add(o, " END)");
}

static void
emit_binary(struct binder *b, struct sbuf *o, const struct expr *x)
{
    const struct expr *l = x->args[0];
    const struct expr *r = x->args[1];

    if (x->op == '+' && type_is_text(x->type.base)) {
        sbuf_add(o, "(");
        emit_as(b, o, l, &(struct sql_type){.base = x->type.base, .length = SQL_LENGTH_MAX});
        sbuf_add(o, "||");
        emit_as(b, o, r, &(struct sql_type){.base = x->type.base, .length = SQL_LENGTH_MAX});
        sbuf_add(o, ")");
        return;
    }
    if (strchr("&|", x->op) != NULL && type_is_integer(x->type.base)) {
        sbuf_add(o, "(");
        emit_as(b, o, l, &x->type);
        sbuf_fmt(o, "%c", x->op);
        emit_as(b, o, r, &x->type);
        sbuf_add(o, ")");
        return;
    }
    sbuf_fmt(o, "ms_arith(%d,", x->op);
    emit_expr(b, o, l);
    sbuf_fmt(o, ",%lld,", (long long)type_pack(&l->type));
    emit_expr(b, o, r);
    sbuf_fmt(o, ",%lld,%lld)", (long long)type_pack(&r->type), (long long)type_pack(&x->type));
}

static void
emit_cast(struct binder *b, struct sbuf *o, const struct expr *x)
{
    const struct expr *e = x->args[0];

    if (e->kind == EXPR_NULL) {
        sbuf_add(o, "NULL");
        return;
    }
    sbuf_add(o, x->try_cast ? "ms_try_cast(" : "ms_cast(");
    emit_expr(b, o, e);
    sbuf_fmt(o, ",%lld,%lld,", (long long)type_pack(&e->type), (long long)type_pack(&x->type));
    if (x->n_args > 1)
        emit_expr(b, o, x->args[1]);
    else
        sbuf_add(o, "0");
    sbuf_add(o, ")");
}

static void
emit_row_number(struct binder *b, struct sbuf *o, const struct expr *x)
{
    sbuf_fmt(o, "%s() OVER (",
             strcasecmp(x->name, "RANK") == 0         ? "rank"
             : strcasecmp(x->name, "DENSE_RANK") == 0 ? "dense_rank"
                                                      : "row_number");
    for (int i = 0; i < x->n_args; i++) {
        sbuf_add(o, i == 0 ? "PARTITION BY " : ",");
        emit_collated(b, o, x->args[i]);
    }
    for (int i = 0; i < x->n_order; i++) {
        sbuf_add(o, i == 0 ? " ORDER BY " : ",");
        emit_collated(b, o, x->order[i].e);
        sbuf_add(o, x->order[i].descending ? " DESC" : "");
    }
    sbuf_add(o, ")");
}

static void
emit_like(struct binder *b, struct sbuf *o, const struct expr *x)
{
    struct sql_type text = type_sized(SQL_NVARCHAR, SQL_LENGTH_MAX);

    sbuf_add(o, x->negated ? "(NOT ms_like(" : "(ms_like(");
    for (int i = 0; i < 2; i++) {
        emit_as(b, o, x->args[i], &text);
        sbuf_add(o, ",");
    }
    if (x->n_args > 2)
        emit_as(b, o, x->args[2], &text);
    else
        sbuf_add(o, "NULL");
    sbuf_fmt(o, ",%d))", strcmp(collation_sqlite(x->args[0]->type.collation), "MSCI") == 0);
}

static void
emit_literal(struct binder *b, struct sbuf *o, const struct expr *x)
{
    const struct literal *lit = &b->frame->literals[x->literal];

    if (!lit->lifted && lit->type.base == SQL_INT)
        sbuf_fmt(o, "%lld", (long long)lit->value.i);
    else
        emit_param(b, o, BIND_LITERAL, x->literal, &lit->type);
}

static void
emit_logic(struct binder *b, struct sbuf *o, const struct expr *x)
{
    if (x->kind == EXPR_OR) {
        if (emit_tuple(b, o, x))
            return;
        /* The plus keeps SQLite from turning OR into several index scans and a sort. */
        sbuf_add(o, "(+(");
        emit_expr(b, o, x->args[0]);
        sbuf_add(o, " OR ");
        emit_expr(b, o, x->args[1]);
        sbuf_add(o, "))");
        return;
    }
    emit_and(b, o, x);
}

static void
emit_simple(struct binder *b, struct sbuf *o, const struct expr *x)
{
    if (x->kind == EXPR_NEGATE) {
        if (x->args[0]->kind == EXPR_LITERAL && type_is_integer(x->type.base)) {
            sbuf_add(o, "(-");
            emit_expr(b, o, x->args[0]);
            sbuf_add(o, ")");
            return;
        }
        sbuf_add(o, "ms_negate(");
        emit_as(b, o, x->args[0], &x->type);
        sbuf_fmt(o, ",%lld)", (long long)type_pack(&x->type));
        return;
    }
    if (x->kind == EXPR_BITNOT) {
        sbuf_add(o, x->type.base == SQL_BIT ? "(1-" : "(~");
        emit_expr(b, o, x->args[0]);
        sbuf_add(o, ")");
        return;
    }
    if (x->kind == EXPR_NOT) {
        sbuf_add(o, "(NOT ");
        emit_expr(b, o, x->args[0]);
        sbuf_add(o, ")");
        return;
    }
    sbuf_add(o, "(");
    emit_expr(b, o, x->args[0]);
    sbuf_add(o, x->negated ? " IS NOT NULL)" : " IS NULL)");
}

void
emit_expr(struct binder *b, struct sbuf *o, const struct expr *x)
{
    switch (x->kind) {
    case EXPR_LITERAL:
        emit_literal(b, o, x);
        break;
    case EXPR_NULL:
    case EXPR_DEFAULT:
        sbuf_add(o, "NULL");
        break;
    case EXPR_VAR:
        emit_param(b, o, BIND_VAR, x->literal, &x->type);
        break;
    case EXPR_GLOBAL:
        emit_param(b, o, BIND_GLOBAL, x->literal, &x->type);
        break;
    case EXPR_COLUMN:
        sbuf_add(o, x->sql);
        break;
    case EXPR_BINARY:
        emit_binary(b, o, x);
        break;
    case EXPR_COMPARE:
        emit_compare(b, o, x->args[0], op_text(x->op), x->args[1]);
        break;
    case EXPR_AND:
    case EXPR_OR:
        emit_logic(b, o, x);
        break;
    case EXPR_IN:
        emit_in(b, o, x);
        break;
    case EXPR_BETWEEN:
        sbuf_add(o, x->negated ? "(NOT (" : "((");
        emit_compare(b, o, x->args[0], ">=", x->args[1]);
        sbuf_add(o, " AND ");
        emit_compare(b, o, x->args[0], "<=", x->args[2]);
        sbuf_add(o, "))");
        break;
    case EXPR_LIKE:
        emit_like(b, o, x);
        break;
    case EXPR_EXISTS:
    case EXPR_SUBQUERY:
        sbuf_add(o, x->kind == EXPR_EXISTS ? "EXISTS (" : "(");
        emit_select(b, o, x->query, NULL);
        sbuf_add(o, ")");
        break;
    case EXPR_CASE:
        emit_case(b, o, x);
        break;
    case EXPR_CAST:
        emit_cast(b, o, x);
        break;
    case EXPR_CALL:
        emit_call(b, o, x);
        break;
    case EXPR_COLLATE:
        emit_expr(b, o, x->args[0]);
        break;
    case EXPR_ROW_NUMBER:
        emit_row_number(b, o, x);
        break;
    case EXPR_NEGATE:
    case EXPR_BITNOT:
    case EXPR_NOT:
    case EXPR_IS_NULL:
    default:
        emit_simple(b, o, x);
        break;
    }
}
