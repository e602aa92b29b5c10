#include <strings.h>

#include "tests/mssqld/sql/parser.h"

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
    if (at_op(p, '%') && p->t[1].kind == TOKEN_OP && p->t[1].op == '%') { /* %%physloc%% */
        p->t += 2;
        x = new_expr(p, EXPR_COLUMN);
        if ((x->name = parse_identifier(p)) == NULL || strcasecmp(x->name, "physloc") != 0) {
            (void)syntax_error(p);
            return NULL;
        }
        x->name = PHYSLOC;
        if (expect_op(p, '%') != 0)
            return NULL;
        return expect_op(p, '%') == 0 ? x : NULL;
    }
    if (at_op(p, '$') && p->t[1].kind == TOKEN_WORD && strcasecmp(p->t[1].text, "PARTITION") == 0) {
        p->t += 2;
        x = new_expr(p, EXPR_CALL);
        x->name = "$partition";
        if (expect_op(p, '.') != 0 || (x->qualifier = parse_identifier(p)) == NULL ||
            expect_op(p, '(') != 0 || parse_expr_list(p, &x->args, &x->n_args) != 0)
            return NULL;
        return expect_op(p, ')') == 0 ? x : NULL;
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
        int op = take_op(p);

        x = parse_unary(p);
        return x == NULL ? NULL : with_args(p, op == '-' ? EXPR_NEGATE : EXPR_BITNOT, x, NULL);
    }
    x = parse_primary(p);
    if (x == NULL)
        return NULL;
    while (accept_word(p, "COLLATE")) {
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

    if (x == NULL)
        return NULL;
    while (at_op(p, '*') || at_op(p, '/') || at_op(p, '%')) {
        int op = take_op(p);
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

    if (x == NULL)
        return NULL;
    while (at_op(p, '+') || at_op(p, '-') || at_op(p, '&') || at_op(p, '|') || at_op(p, '^')) {
        int op = take_op(p);
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
        int op = take_op(p);
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
