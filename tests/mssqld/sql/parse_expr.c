#include <strings.h>

#include "tests/mssqld/sql/parser.h"

static const char *const RESERVED[] = {
    "ADD",     "ALL",        "ALTER",    "AND",      "AS",          "ASC",       "BEGIN",
    "BETWEEN", "BREAK",      "BY",       "CASE",     "CHECK",       "CLOSE",     "COLLATE",
    "COMMIT",  "CONSTRAINT", "CONTINUE", "CREATE",   "CROSS",       "DECLARE",   "DEFAULT",
    "DELETE",  "DENY",       "DESC",     "DISTINCT", "DROP",        "ELSE",      "END",
    "EXCEPT",  "EXEC",       "EXECUTE",  "EXISTS",   "FETCH",       "FOR",       "FOREIGN",
    "FROM",    "FULL",       "GOTO",     "GRANT",    "GROUP",       "HAVING",    "IF",
    "IN",      "INDEX",      "INNER",    "INSERT",   "INTERSECT",   "INTO",      "IS",
    "JOIN",    "KEY",        "LEFT",     "LIKE",     "NOT",         "NULL",      "OF",
    "OFF",     "ON",         "OPEN",     "OPTION",   "OR",          "ORDER",     "OUTER",
    "OVER",    "PRIMARY",    "PRINT",    "PROC",     "PROCEDURE",   "RAISERROR", "RETURN",
    "REVOKE",  "RIGHT",      "ROLLBACK", "SAVE",     "SELECT",      "SET",       "TABLE",
    "THEN",    "TO",         "TOP",      "TRAN",     "TRANSACTION", "TRUNCATE",  "UNION",
    "UNIQUE",  "UPDATE",     "USE",      "VALUES",   "WAITFOR",     "WHEN",      "WHERE",
    "WHILE",   "WITH",
};

bool
is_reserved(const char *word)
{
    for (size_t i = 0; i < sizeof RESERVED / sizeof RESERVED[0]; i++)
        if (strcasecmp(RESERVED[i], word) == 0)
            return true;
    return false;
}

bool
at_word(const struct parser *p, const char *word)
{
    return p->t->kind == TOKEN_WORD && strcasecmp(p->t->text, word) == 0;
}

bool
at_op(const struct parser *p, int op)
{
    return p->t->kind == TOKEN_OP && p->t->op == op;
}

bool
accept_word(struct parser *p, const char *word)
{
    if (!at_word(p, word))
        return false;
    p->t++;
    return true;
}

bool
accept_op(struct parser *p, int op)
{
    if (!at_op(p, op))
        return false;
    p->t++;
    return true;
}

int
syntax_error(struct parser *p)
{
    if (p->e->number != 0)
        return -1;
    p->e->line = p->t->line;
    if (p->t->kind == TOKEN_END)
        return sqlerr_set(p->e, 102, 15, 1, "Incorrect syntax near the end of the batch.");
    if (p->t->kind == TOKEN_WORD && is_reserved(p->t->text))
        return sqlerr_set(p->e, 156, 15, 1, "Incorrect syntax near the keyword '%s'.", p->t->text);
    return sqlerr_syntax(p->e, p->t->text);
}

int
expect_word(struct parser *p, const char *word)
{
    return accept_word(p, word) ? 0 : syntax_error(p);
}

int
expect_op(struct parser *p, int op)
{
    return accept_op(p, op) ? 0 : syntax_error(p);
}

const char *
parse_identifier(struct parser *p)
{
    if (p->t->kind == TOKEN_QUOTED || (p->t->kind == TOKEN_WORD && !is_reserved(p->t->text)))
        return p->t++->text;
    (void)syntax_error(p);
    return NULL;
}

int
parse_name(struct parser *p, struct name *out)
{
    const char *parts[4] = {NULL};
    int n = 0;

    *out = (struct name){0};
    for (;;) {
        if (n > 0 && at_op(p, '.'))
            parts[n++] = NULL; /* db..t */
        else if ((parts[n++] = parse_identifier(p)) == NULL)
            return -1;
        if (!accept_op(p, '.'))
            break;
        if (n == 4)
            return syntax_error(p);
    }
    out->object = parts[n - 1];
    out->schema = n > 1 ? parts[n - 2] : NULL;
    out->database = n > 2 ? parts[n - 3] : NULL;
    return 0;
}

int
parse_integer(struct parser *p, int64_t *out)
{
    bool negative = accept_op(p, '-');
    const struct literal *lit;

    if (!negative)
        (void)accept_op(p, '+');
    if (p->t->kind != TOKEN_LITERAL)
        return syntax_error(p);
    lit = &p->literals[p->t->literal];
    if (type_is_integer(lit->type.base))
        *out = lit->value.i;
    else if (type_is_decimal(lit->type.base) && lit->type.scale == 0)
        *out = (int64_t)lit->value.dec.magnitude;
    else
        return syntax_error(p);
    if (negative)
        *out = -*out;
    p->t++;
    return 0;
}

static int
type_argument(struct parser *p, struct sql_type *t, int64_t first)
{
    int64_t second = 0;

    if (type_is_decimal(t->base)) {
        if (accept_op(p, ',') && parse_integer(p, &second) != 0)
            return -1;
        if (first < 1 || first > 38 || second < 0 || second > first)
            return sqlerr_set(p->e, 2750, 16, 1,
                              "Column or parameter: Specified column precision %lld is greater "
                              "than the maximum precision of 38.",
                              (long long)first);
        t->precision = (uint8_t)first;
        t->scale = (uint8_t)second;
    } else if (t->base == SQL_TIME || t->base == SQL_DATETIME2 || t->base == SQL_DATETIMEOFFSET) {
        if (first < 0 || first > 7)
            return sqlerr_set(p->e, 1002, 15, 1, "Line %d: Specified scale %lld is invalid.",
                              p->t->line, (long long)first);
        t->scale = (uint8_t)first;
    } else if (t->base == SQL_FLOAT) {
        if (first <= 24)
            *t = type_make(SQL_REAL);
    } else if (type_is_text(t->base) || type_is_binary(t->base)) {
        if (first < 1 || first > (type_is_wide(t->base) ? 4000 : 8000))
            return sqlerr_set(p->e, first < 1 ? 1001 : 131, 15, 2,
                              "The size (%lld) given to the type '%s' exceeds the maximum allowed "
                              "for any data type (8000).",
                              (long long)first, type_name(t->base));
        t->length = (int32_t)first;
    } else {
        return syntax_error(p);
    }
    return 0;
}

int
parse_type(struct parser *p, struct sql_type *out)
{
    const char *name = parse_identifier(p);
    int64_t n = 0;

    if (name == NULL)
        return -1;
    if (accept_op(p, '.')) /* sys.int */
        name = parse_identifier(p);
    if (name == NULL)
        return -1;
    if (strcasecmp(name, "national") == 0) {
        name = strcasecmp(p->t->text, "character") == 0 ? "nchar" : "nvarchar";
        p->t++;
    }
    if (!type_by_name(name, out)) {
        p->e->line = p->t->line;
        return sqlerr_set(p->e, 243, 16, 1, "Type %s is not a defined system type.", name);
    }
    if (strcasecmp(name, "double") == 0)
        (void)accept_word(p, "precision");
    if (accept_word(p, "varying"))
        out->base = out->base == SQL_CHAR ? SQL_VARCHAR : SQL_NVARCHAR;
    if (out->base == SQL_DECIMAL || out->base == SQL_NUMERIC)
        out->precision = 18;
    if (!accept_op(p, '('))
        return 0;
    if (accept_word(p, "max")) {
        out->length = SQL_LENGTH_MAX;
    } else if (out->base == SQL_XML) {
        struct name collection;

        if (parse_name(p, &collection) != 0)
            return -1;
    } else if (parse_integer(p, &n) != 0 || type_argument(p, out, n) != 0) {
        return -1;
    }
    return expect_op(p, ')');
}

struct expr *
new_expr(struct parser *p, enum expr_kind kind)
{
    struct expr *x = arena_alloc(p->arena, sizeof *x);

    x->kind = kind;
    x->line = p->t->line;
    return x;
}

static struct expr *
with_args(struct parser *p, enum expr_kind kind, struct expr *a, struct expr *b)
{
    struct expr *x = new_expr(p, kind);

    x->args = arena_alloc(p->arena, 3 * sizeof(struct expr *));
    x->args[0] = a;
    x->args[1] = b;
    x->n_args = b != NULL ? 2 : 1;
    return x;
}

int
parse_expr_list(struct parser *p, struct expr ***out, int *n)
{
    *out = NULL;
    *n = 0;
    do {
        struct expr *x = parse_expr(p);

        if (x == NULL)
            return -1;
        *out = arena_push(p->arena, *out, *n, sizeof **out);
        (*out)[(*n)++] = x;
    } while (accept_op(p, ','));
    return 0;
}

int
parse_order_list(struct parser *p, struct order_item **out, int *n)
{
    *out = NULL;
    *n = 0;
    do {
        struct order_item item = {.e = parse_expr(p)};

        if (item.e == NULL)
            return -1;
        item.descending = accept_word(p, "DESC");
        if (!item.descending)
            (void)accept_word(p, "ASC");
        *out = arena_push(p->arena, *out, *n, sizeof **out);
        (*out)[(*n)++] = item;
    } while (accept_op(p, ','));
    return 0;
}

static struct expr *
parse_case(struct parser *p)
{
    struct expr *x = new_expr(p, EXPR_CASE);
    struct expr *operand = NULL;
    struct expr *e;

    if (!at_word(p, "WHEN") && (operand = parse_expr(p)) == NULL)
        return NULL;
    x->args = arena_push(p->arena, x->args, x->n_args, sizeof *x->args);
    x->args[x->n_args++] = operand;
    while (accept_word(p, "WHEN")) {
        for (int k = 0; k < 2; k++) {
            if ((k == 1 && expect_word(p, "THEN") != 0) || (e = parse_expr(p)) == NULL)
                return NULL;
            x->args = arena_push(p->arena, x->args, x->n_args, sizeof *x->args);
            x->args[x->n_args++] = e;
        }
    }
    e = NULL;
    if (accept_word(p, "ELSE") && (e = parse_expr(p)) == NULL)
        return NULL;
    x->args = arena_push(p->arena, x->args, x->n_args, sizeof *x->args);
    x->args[x->n_args++] = e;
    if (x->n_args < 4) {
        (void)syntax_error(p);
        return NULL;
    }
    return expect_word(p, "END") == 0 ? x : NULL;
}

/* After "CAST(" or "CONVERT(". */
static struct expr *
parse_cast(struct parser *p, bool convert, bool try_cast)
{
    struct expr *x = new_expr(p, EXPR_CAST);

    x->try_cast = try_cast;
    x->name = convert ? "convert" : "cast";
    x->args = arena_alloc(p->arena, 2 * sizeof *x->args);
    x->n_args = 1;
    if (convert && (parse_type(p, &x->cast_to) != 0 || expect_op(p, ',') != 0))
        return NULL;
    if ((x->args[0] = parse_expr(p)) == NULL)
        return NULL;
    if (!convert && (expect_word(p, "AS") != 0 || parse_type(p, &x->cast_to) != 0))
        return NULL;
    if (convert && accept_op(p, ',')) {
        x->n_args = 2;
        if ((x->args[1] = parse_expr(p)) == NULL)
            return NULL;
    }
    /* A length left out is 30 in a conversion. */
    if (x->cast_to.length == 1 && (p->t - 1)->kind == TOKEN_WORD &&
        (type_is_text(x->cast_to.base) || type_is_binary(x->cast_to.base)))
        x->cast_to.length = 30;
    return expect_op(p, ')') == 0 ? x : NULL;
}

static struct expr *
parse_over(struct parser *p, struct expr *call)
{
    if (!accept_word(p, "OVER"))
        return call;
    call->kind = EXPR_ROW_NUMBER;
    if (expect_op(p, '(') != 0)
        return NULL;
    if (accept_word(p, "PARTITION") &&
        (expect_word(p, "BY") != 0 || parse_expr_list(p, &call->args, &call->n_args) != 0))
        return NULL;
    if (accept_word(p, "ORDER") &&
        (expect_word(p, "BY") != 0 || parse_order_list(p, &call->order, &call->n_order) != 0))
        return NULL;
    return expect_op(p, ')') == 0 ? call : NULL;
}

/* name( was read. */
static struct expr *
parse_call(struct parser *p, const char *schema, const char *name)
{
    struct expr *x;

    if (strcasecmp(name, "CAST") == 0 || strcasecmp(name, "TRY_CAST") == 0)
        return parse_cast(p, false, name[0] == 'T' || name[0] == 't');
    if (strcasecmp(name, "CONVERT") == 0 || strcasecmp(name, "TRY_CONVERT") == 0)
        return parse_cast(p, true, name[0] == 'T' || name[0] == 't');
    x = new_expr(p, EXPR_CALL);
    x->name = name;
    x->qualifier = schema;
    if (accept_op(p, '*')) {
        x->star = true;
    } else if (!at_op(p, ')')) {
        x->distinct = accept_word(p, "DISTINCT");
        if (!x->distinct)
            (void)accept_word(p, "ALL");
        if (parse_expr_list(p, &x->args, &x->n_args) != 0)
            return NULL;
    }
    return expect_op(p, ')') == 0 ? parse_over(p, x) : NULL;
}

static struct expr *
parse_reference(struct parser *p)
{
    const char *parts[4];
    int n = 0;
    struct expr *x;

    for (;;) {
        /* LEFT( and RIGHT( are functions although the words are reserved. */
        if (n == 0 && p->t->kind == TOKEN_WORD && is_reserved(p->t->text) &&
            p->t[1].kind == TOKEN_OP && p->t[1].op == '(' &&
            (at_word(p, "LEFT") || at_word(p, "RIGHT")))
            parts[n++] = p->t++->text;
        else if ((parts[n++] = parse_identifier(p)) == NULL)
            return NULL;
        if (!at_op(p, '.') || n == 4)
            break;
        p->t++;
    }
    if (accept_op(p, '('))
        return parse_call(p, n > 1 ? parts[n - 2] : NULL, parts[n - 1]);
    x = new_expr(p, EXPR_COLUMN);
    x->name = parts[n - 1];
    x->qualifier = n > 1 ? parts[n - 2] : NULL;
    x->schema = n > 2 ? parts[n - 3] : NULL;
    return x;
}

static struct expr *
parse_primary(struct parser *p)
{
    struct expr *x;

    if (p->t->kind == TOKEN_LITERAL) {
        x = new_expr(p, EXPR_LITERAL);
        x->literal = p->t++->literal;
        return x;
    }
    if (p->t->kind == TOKEN_VAR) {
        x = new_expr(p, p->t->text[1] == '@' ? EXPR_GLOBAL : EXPR_VAR);
        x->name = p->t++->text;
        return x;
    }
    if (accept_word(p, "NULL"))
        return new_expr(p, EXPR_NULL);
    if (accept_word(p, "DEFAULT"))
        return new_expr(p, EXPR_DEFAULT);
    if (accept_word(p, "CASE"))
        return parse_case(p);
    if (accept_word(p, "EXISTS")) {
        x = new_expr(p, EXPR_EXISTS);
        if (expect_op(p, '(') != 0 || (x->query = parse_select(p)) == NULL)
            return NULL;
        return expect_op(p, ')') == 0 ? x : NULL;
    }
    if (at_word(p, "CURRENT_TIMESTAMP") || at_word(p, "CURRENT_USER") ||
        at_word(p, "SYSTEM_USER") || at_word(p, "SESSION_USER") || at_word(p, "USER")) {
        x = new_expr(p, EXPR_CALL);
        x->name = p->t++->text;
        return x;
    }
    if (at_op(p, '(')) {
        p->t++;
        if (at_select(p)) {
            x = new_expr(p, EXPR_SUBQUERY);
            x->query = parse_select(p);
            if (x->query == NULL)
                return NULL;
        } else if ((x = parse_expr(p)) == NULL) {
            return NULL;
        }
        return expect_op(p, ')') == 0 ? x : NULL;
    }
    return parse_reference(p);
}

static struct expr *
parse_unary(struct parser *p)
{
    struct expr *x;

    if (accept_op(p, '+'))
        return parse_unary(p);
    if (at_op(p, '-') || at_op(p, '~')) {
        int op = p->t++->op;

        x = parse_unary(p);
        return x == NULL ? NULL : with_args(p, op == '-' ? EXPR_NEGATE : EXPR_BITNOT, x, NULL);
    }
    x = parse_primary(p);
    while (x != NULL && accept_word(p, "COLLATE")) {
        const char *name = parse_identifier(p);

        if (name == NULL)
            return NULL;
        x = with_args(p, EXPR_COLLATE, x, NULL);
        x->name = name;
    }
    return x;
}

static struct expr *
parse_term(struct parser *p)
{
    struct expr *x = parse_unary(p);

    while (x != NULL && (at_op(p, '*') || at_op(p, '/') || at_op(p, '%'))) {
        int op = p->t++->op;
        struct expr *right = parse_unary(p);

        if (right == NULL)
            return NULL;
        x = with_args(p, EXPR_BINARY, x, right);
        x->op = op;
    }
    return x;
}

static struct expr *
parse_sum(struct parser *p)
{
    struct expr *x = parse_term(p);

    while (x != NULL &&
           (at_op(p, '+') || at_op(p, '-') || at_op(p, '&') || at_op(p, '|') || at_op(p, '^'))) {
        int op = p->t++->op;
        struct expr *right = parse_term(p);

        if (right == NULL)
            return NULL;
        x = with_args(p, EXPR_BINARY, x, right);
        x->op = op;
    }
    return x;
}

static struct expr *
parse_in(struct parser *p, struct expr *left)
{
    struct expr *x = with_args(p, EXPR_IN, left, NULL);

    if (expect_op(p, '(') != 0)
        return NULL;
    if (at_select(p)) {
        x->query = parse_select(p);
        if (x->query == NULL)
            return NULL;
    } else {
        struct expr **list;
        int n;

        if (parse_expr_list(p, &list, &n) != 0)
            return NULL;
        x->args = arena_alloc(p->arena, (size_t)(n + 1) * sizeof *x->args);
        x->args[0] = left;
        memcpy(x->args + 1, list, (size_t)n * sizeof *list);
        x->n_args = n + 1;
    }
    return expect_op(p, ')') == 0 ? x : NULL;
}

static struct expr *
parse_between(struct parser *p, struct expr *left)
{
    struct expr *x = with_args(p, EXPR_BETWEEN, left, NULL);

    x->n_args = 3;
    if ((x->args[1] = parse_sum(p)) == NULL || expect_word(p, "AND") != 0 ||
        (x->args[2] = parse_sum(p)) == NULL)
        return NULL;
    return x;
}

static struct expr *
parse_like(struct parser *p, struct expr *left)
{
    struct expr *x = with_args(p, EXPR_LIKE, left, NULL);

    x->n_args = 2;
    if ((x->args[1] = parse_sum(p)) == NULL)
        return NULL;
    if (accept_word(p, "ESCAPE")) {
        x->n_args = 3;
        if ((x->args[2] = parse_sum(p)) == NULL)
            return NULL;
    }
    return x;
}

static struct expr *
parse_predicate(struct parser *p)
{
    struct expr *x = parse_sum(p);
    bool negated;

    if (x == NULL)
        return NULL;
    if (p->t->kind == TOKEN_OP &&
        (at_op(p, '=') || at_op(p, '<') || at_op(p, '>') || at_op(p, OP2('<', '=')) ||
         at_op(p, OP2('>', '=')) || at_op(p, OP2('<', '>')) || at_op(p, OP2('!', '=')) ||
         at_op(p, OP2('!', '<')) || at_op(p, OP2('!', '>')))) {
        int op = p->t++->op;
        struct expr *right = parse_sum(p);

        if (right == NULL)
            return NULL;
        x = with_args(p, EXPR_COMPARE, x, right);
        x->op = op == OP2('!', '=')   ? OP2('<', '>')
                : op == OP2('!', '<') ? OP2('>', '=')
                : op == OP2('!', '>') ? OP2('<', '=')
                                      : op;
        return x;
    }
    if (accept_word(p, "IS")) {
        negated = accept_word(p, "NOT");
        if (expect_word(p, "NULL") != 0)
            return NULL;
        x = with_args(p, EXPR_IS_NULL, x, NULL);
        x->negated = negated;
        return x;
    }
    negated = at_word(p, "NOT") &&
              (strcasecmp(p->t[1].text, "IN") == 0 || strcasecmp(p->t[1].text, "LIKE") == 0 ||
               strcasecmp(p->t[1].text, "BETWEEN") == 0);
    if (negated)
        p->t++;
    if (accept_word(p, "IN"))
        x = parse_in(p, x);
    else if (accept_word(p, "BETWEEN"))
        x = parse_between(p, x);
    else if (accept_word(p, "LIKE"))
        x = parse_like(p, x);
    else
        return x;
    if (x != NULL)
        x->negated = negated;
    return x;
}

static struct expr *
parse_not(struct parser *p)
{
    struct expr *x;

    if (!accept_word(p, "NOT"))
        return parse_predicate(p);
    x = parse_not(p);
    return x == NULL ? NULL : with_args(p, EXPR_NOT, x, NULL);
}

static struct expr *
parse_and(struct parser *p)
{
    struct expr *x = parse_not(p);

    while (x != NULL && accept_word(p, "AND")) {
        struct expr *right = parse_not(p);

        x = right == NULL ? NULL : with_args(p, EXPR_AND, x, right);
    }
    return x;
}

struct expr *
parse_expr(struct parser *p)
{
    struct expr *x;

    if (++p->depth > PARSE_DEPTH_MAX) {
        (void)sqlerr_set(p->e, 191, 15, 1,
                         "Some part of your SQL statement is nested too deeply. Rewrite the query "
                         "or break it up into smaller queries.");
        return NULL;
    }
    x = parse_and(p);
    while (x != NULL && accept_word(p, "OR")) {
        struct expr *right = parse_and(p);

        x = right == NULL ? NULL : with_args(p, EXPR_OR, x, right);
    }
    p->depth--;
    return x;
}
