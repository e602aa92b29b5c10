/* Types of expressions. */
#include <strings.h>

#include "tests/mssqld/sql/bind.h"
#include "tests/mssqld/sql/collation.h"

static struct sql_type
bool_type(void)
{
    struct sql_type t = type_make(SQL_BIT);

    t.nullable = false;
    return t;
}

static int
invalid_column(struct binder *b, const struct expr *x)
{
    b->s->error.line = x->line;
    if (x->qualifier != NULL) {
        for (struct scope *sc = b->scope; sc != NULL; sc = sc->up)
            for (int i = 0; i < sc->n_rels; i++)
                if (strcasecmp(sc->rels[i].name, x->qualifier) == 0)
                    return sqlerr_set(&b->s->error, 207, 16, 1, "Invalid column name '%s'.",
                                      x->name);
        return sqlerr_set(&b->s->error, 4104, 16, 1,
                          "The multi-part identifier \"%s.%s\" could not be bound.", x->qualifier,
                          x->name);
    }
    return sqlerr_set(&b->s->error, 207, 16, 1, "Invalid column name '%s'.", x->name);
}

int
bind_refused(struct binder *b, const struct rel *r, const struct rel_column *c)
{
    const struct table *t = r->refused_of;

    return sqlerr_set(&b->s->error, 230, 14, 1,
                      "The SELECT permission was denied on the column '%s' of the object '%s', "
                      "database '%s', schema '%s'.",
                      c->name, t->name, t->db->name, t->schema);
}

static int
bind_column(struct binder *b, struct expr *x)
{
    for (struct scope *sc = b->scope; sc != NULL; sc = sc->up) {
        const struct rel_column *found = NULL;
        const struct rel *from = NULL;

        for (int i = 0; i < sc->n_rels; i++) {
            const struct rel *r = &sc->rels[i];

            if (x->qualifier != NULL && strcasecmp(r->name, x->qualifier) != 0)
                continue;
            if (x->schema != NULL && r->schema != NULL && strcasecmp(r->schema, x->schema) != 0)
                continue;
            if (r->place != NULL && strcmp(x->name, PHYSLOC) == 0) {
                x->type = type_sized(SQL_BINARY, 8);
                x->sql = r->place;
                return 0;
            }
            for (int c = 0; c < r->n_columns; c++) {
                if (strcasecmp(r->columns[c].name, x->name) != 0)
                    continue;
                if (found != NULL) {
                    b->s->error.line = x->line;
                    return sqlerr_set(&b->s->error, 209, 16, 1, "Ambiguous column name '%s'.",
                                      x->name);
                }
                found = &r->columns[c];
                from = r;
            }
        }
        if (found != NULL && found->refused)
            return bind_refused(b, from, found);
        if (found != NULL) {
            x->type = found->type;
            x->sql = found->sql;
            return 0;
        }
    }
    return invalid_column(b, x);
}

static int
bind_var(struct binder *b, struct expr *x)
{
    for (int i = 0; i < b->frame->n_vars; i++)
        if (strcasecmp(b->frame->vars[i].name, x->name) == 0) {
            x->literal = i;
            x->type = b->frame->vars[i].type;
            x->type.nullable = true;
            return 0;
        }
    b->s->error.line = x->line;
    return sqlerr_set(&b->s->error, 137, 15, 2, "Must declare the scalar variable \"%s\".",
                      x->name);
}

static const struct {
    const char *name;
    enum sql_base base;
    int length;
} GLOBALS[] = {
    {"@@TRANCOUNT", SQL_INT, 0},         {"@@ROWCOUNT", SQL_INT, 0},
    {"@@SPID", SQL_SMALLINT, 0},         {"@@VERSION", SQL_NVARCHAR, 300},
    {"@@SERVERNAME", SQL_NVARCHAR, 128}, {"@@ERROR", SQL_INT, 0},
    {"@@IDENTITY", SQL_DECIMAL, 0},      {"@@SERVICENAME", SQL_NVARCHAR, 128},
    {"@@LANGUAGE", SQL_NVARCHAR, 128},   {"@@DATEFIRST", SQL_TINYINT, 0},
    {"@@MAX_PRECISION", SQL_TINYINT, 0}, {"@@LOCK_TIMEOUT", SQL_INT, 0},
    {"@@NESTLEVEL", SQL_INT, 0},         {"@@OPTIONS", SQL_INT, 0},
    {"@@FETCH_STATUS", SQL_INT, 0},      {"@@MICROSOFTVERSION", SQL_INT, 0},
    {"@@TEXTSIZE", SQL_INT, 0},          {"@@DBTS", SQL_BIGINT, 0},
};

static int
bind_global(struct binder *b, struct expr *x)
{
    for (size_t i = 0; i < sizeof GLOBALS / sizeof GLOBALS[0]; i++)
        if (strcasecmp(GLOBALS[i].name, x->name) == 0) {
            x->literal = (int)i;
            x->type = type_make(GLOBALS[i].base);
            if (GLOBALS[i].length > 0)
                x->type.length = GLOBALS[i].length;
            if (GLOBALS[i].base == SQL_DECIMAL)
                x->type = type_decimal(38, 0);
            x->type.nullable = true;
            return 0;
        }
    b->s->error.line = x->line;
    return sqlerr_set(&b->s->error, 137, 15, 2, "Must declare the scalar variable \"%s\".",
                      x->name);
}

static int
least(int a, int b)
{
    return a < b ? a : b;
}

static int
most(int a, int b)
{
    return a > b ? a : b;
}

/* The published rules for precision and scale of a decimal result. */
static struct sql_type
decimal_result(int op, const struct sql_type *a, const struct sql_type *b)
{
    struct sql_type x = type_as_decimal(a);
    struct sql_type y = type_as_decimal(b);
    int p1 = x.precision;
    int s1 = x.scale;
    int p2 = y.precision;
    int s2 = y.scale;
    int p;
    int s;

    if (op == '*') {
        p = p1 + p2 + 1;
        s = s1 + s2;
    } else if (op == '/') {
        s = most(6, s1 + p2 + 1);
        p = p1 - s1 + s2 + s;
    } else if (op == '%') {
        s = most(s1, s2);
        p = least(p1 - s1, p2 - s2) + s;
    } else {
        s = most(s1, s2);
        p = most(p1 - s1, p2 - s2) + s + 1;
    }
    if (p > 38) {
        int whole = p - s;

        if (op == '*' || op == '/')
            s = most(least(s, 38 - whole), least(s, 6));
        else
            s = most(0, least(s, 38 - whole));
        p = 38;
    }
    return type_decimal(p, s);
}

static int
bind_text_sum(struct expr *x, const struct sql_type *l, const struct sql_type *r)
{
    int limit;

    x->type = type_unify(l, r);
    if (x->type.base == SQL_CHAR)
        x->type.base = SQL_VARCHAR;
    if (x->type.base == SQL_NCHAR)
        x->type.base = SQL_NVARCHAR;
    if (x->type.base == SQL_BINARY)
        x->type.base = SQL_VARBINARY;
    limit = type_is_wide(x->type.base) ? 4000 : 8000;
    if (x->type.length != SQL_LENGTH_MAX)
        x->type.length = least(limit, l->length + r->length);
    return 0;
}

static int
bind_binary(struct binder *b, struct expr *x)
{
    const struct sql_type *l = &x->args[0]->type;
    const struct sql_type *r = &x->args[1]->type;
    bool texts = (type_is_text(l->base) || type_is_binary(l->base)) &&
                 (type_is_text(r->base) || type_is_binary(r->base));

    if (x->args[0]->kind == EXPR_NULL)
        l = r;
    if (x->args[1]->kind == EXPR_NULL)
        r = l;
    if (x->op == '+' && texts)
        return bind_text_sum(x, l, r);
    if ((x->op == '+' || x->op == '-') &&
        (type_is_datetime(l->base) || type_is_datetime(r->base))) {
        x->type = type_is_datetime(l->base) ? *l : *r;
        x->type.nullable = true;
        return 0;
    }
    x->type = type_unify(l, r);
    if (type_is_binary(x->type.base))
        x->type = type_make(SQL_INT);
    if (!type_is_number(x->type.base)) {
        b->s->error.line = x->line;
        return sqlerr_set(&b->s->error, 8117, 16, 1,
                          "Operand data type %s is invalid for %s operator.",
                          type_name(x->type.base),
                          x->op == '+'   ? "add"
                          : x->op == '-' ? "subtract"
                                         : "arithmetic");
    }
    if (type_is_decimal(x->type.base)) {
        enum sql_base base = x->type.base;

        if (type_is_text(l->base) || type_is_text(r->base))
            x->type = type_is_text(l->base) ? *r : *l;
        else
            x->type = decimal_result(x->op, l, r);
        x->type.base = base;
    } else if (x->type.base == SQL_REAL) {
        x->type = type_make(l->base == r->base ? SQL_REAL : SQL_FLOAT);
    } else if (x->type.base == SQL_BIT) {
        x->type = type_make(strchr("&|^", x->op) != NULL ? SQL_BIT : SQL_INT);
    } else if (x->type.base == SQL_SMALLMONEY) {
        x->type = type_make(SQL_MONEY);
    }
    x->type.nullable = true;
    if (l->nullable == false && r->nullable == false)
        x->type.nullable = false;
    return 0;
}

static int
bind_case(struct binder *b, struct expr *x)
{
    bool have = false;
    bool open = x->args[x->n_args - 1] == NULL;
    struct sql_type t = type_make(SQL_INT);

    for (int i = 2; i < x->n_args; i += i == x->n_args - 2 ? 1 : 2) {
        struct expr *e = x->args[i];

        if (i == x->n_args - 1 && e == NULL)
            break;
        if (e->kind == EXPR_NULL) {
            open = true;
        } else {
            t = have ? type_unify(&t, &e->type) : e->type;
            have = true;
        }
        if (i == x->n_args - 1)
            break;
    }
    x->type = t;
    x->type.nullable = x->type.nullable || open;
    x->type.identity = false;
    (void)b;
    return 0;
}

static int
bind_subquery(struct binder *b, struct expr *x)
{
    struct sql_column *columns;
    int n;

    if (bind_select(b, x->query, &columns, &n) != 0)
        return -1;
    if (x->kind == EXPR_EXISTS) {
        x->type = bool_type();
        return 0;
    }
    if (n != 1) {
        b->s->error.line = x->line;
        return sqlerr_set(&b->s->error, 116, 16, 1,
                          "Only one expression can be specified in the select list when the "
                          "subquery is not introduced with EXISTS.");
    }
    if (x->kind == EXPR_IN) {
        x->cast_to = columns[0].type;
        x->type = bool_type();
        return 0;
    }
    x->type = columns[0].type;
    x->type.nullable = true;
    x->type.identity = false;
    return 0;
}

static int
bind_cast(struct binder *b, struct expr *x)
{
    const struct expr *e = x->args[0];

    x->type = x->cast_to;
    if (!x->type.collation[0] || type_is_text(e->type.base))
        memcpy(x->type.collation, e->type.collation, sizeof x->type.collation);
    if (!type_is_text(e->type.base))
        collation_from_page(0, x->type.collation);
    x->type.nullable = x->try_cast || e->type.nullable || e->kind == EXPR_NULL;
    (void)b;
    return 0;
}

static int
bind_children(struct binder *b, struct expr *x)
{
    for (int i = 0; i < x->n_args; i++)
        if (x->args[i] != NULL && bind_expr(b, x->args[i]) != 0)
            return -1;
    for (int i = 0; i < x->n_order; i++)
        if (bind_expr(b, x->order[i].e) != 0)
            return -1;
    return 0;
}

static int
bind_node(struct binder *b, struct expr *x)
{
    switch (x->kind) {
    case EXPR_LITERAL:
        x->type = b->frame->literals[x->literal].type;
        return 0;
    case EXPR_NULL:
    case EXPR_DEFAULT:
        x->type = type_make(SQL_INT);
        return 0;
    case EXPR_VAR:
        return bind_var(b, x);
    case EXPR_GLOBAL:
        return bind_global(b, x);
    case EXPR_COLUMN:
        return bind_column(b, x);
    case EXPR_NEGATE:
    case EXPR_BITNOT:
        x->type = x->args[0]->type;
        x->type.identity = false;
        if (type_is_text(x->type.base))
            x->type = type_make(SQL_INT);
        return 0;
    case EXPR_BINARY:
        return bind_binary(b, x);
    case EXPR_CASE:
        return bind_case(b, x);
    case EXPR_CAST:
        return bind_cast(b, x);
    case EXPR_CALL:
        return bind_call(b, x);
    case EXPR_SUBQUERY:
    case EXPR_EXISTS:
        return bind_subquery(b, x);
    case EXPR_COLLATE:
        x->type = x->args[0]->type;
        if (!collation_bytes(x->name, x->type.collation)) {
            b->s->error.line = x->line;
            return sqlerr_set(&b->s->error, 448, 16, 3, "Invalid collation '%s'.", x->name);
        }
        return 0;
    case EXPR_ROW_NUMBER:
        x->type = type_make(SQL_BIGINT);
        return 0;
    case EXPR_IN:
        if (x->query != NULL)
            return bind_subquery(b, x);
        x->type = bool_type();
        return 0;
    case EXPR_COMPARE:
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_NOT:
    case EXPR_IS_NULL:
    case EXPR_BETWEEN:
    case EXPR_LIKE:
    default:
        x->type = bool_type();
        return 0;
    }
}

int
bind_expr(struct binder *b, struct expr *x)
{
    /* Names of date parts and bare words are arguments of their own kind. */
    if (x->kind != EXPR_CALL && bind_children(b, x) != 0)
        return -1;
    if (bind_node(b, x) != 0)
        return -1;
    x->bound = true;
    return 0;
}
