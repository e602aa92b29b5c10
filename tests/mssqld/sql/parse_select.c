#include <strings.h>

#include "tests/mssqld/sql/parser.h"

bool
at_select(const struct parser *p)
{
    const struct token *t = p->t;

    while (t->kind == TOKEN_OP && t->op == '(')
        t++;
    return t->kind == TOKEN_WORD &&
           (strcasecmp(t->text, "SELECT") == 0 || strcasecmp(t->text, "VALUES") == 0);
}

static int
parse_item(struct parser *p, struct select_item *item)
{
    *item = (struct select_item){0};
    if (accept_op(p, '*'))
        return 0;
    /* x.* and s.x.* */
    for (const struct token *t = p->t; t->kind == TOKEN_WORD || t->kind == TOKEN_QUOTED; t += 2) {
        if (t[1].kind != TOKEN_OP || t[1].op != '.')
            break;
        if (t[2].kind == TOKEN_OP && t[2].op == '*') {
            item->star_of = t->text;
            p->t = t + 3;
            return 0;
        }
    }
    if (p->t->kind == TOKEN_VAR && p->t->text[1] != '@' && p->t[1].kind == TOKEN_OP &&
        p->t[1].op == '=') {
        item->variable = p->t->text;
        p->t += 2;
    } else if ((p->t->kind == TOKEN_WORD || p->t->kind == TOKEN_QUOTED) &&
               p->t[1].kind == TOKEN_OP && p->t[1].op == '=' &&
               (p->t->kind == TOKEN_QUOTED || !is_reserved(p->t->text))) {
        item->alias = p->t->text;
        p->t += 2;
    }
    if ((item->e = parse_expr(p)) == NULL)
        return -1;
    if (accept_word(p, "AS") || p->t->kind == TOKEN_QUOTED ||
        (p->t->kind == TOKEN_WORD && !is_reserved(p->t->text))) {
        if (p->t->kind == TOKEN_LITERAL)
            item->alias = p->t++->text;
        else if ((item->alias = parse_identifier(p)) == NULL)
            return -1;
    }
    return 0;
}

static int
parse_hints(struct parser *p, struct from *f)
{
    while (!accept_op(p, ')')) {
        if (p->t->kind == TOKEN_END)
            return syntax_error(p);
        if (at_word(p, "TABLOCKX") || at_word(p, "UPDLOCK") || at_word(p, "XLOCK"))
            f->lock_hint = 'X';
        else if (f->lock_hint != 'X' && (at_word(p, "HOLDLOCK") || at_word(p, "SERIALIZABLE") ||
                                         at_word(p, "REPEATABLEREAD")))
            f->lock_hint = 'S';
        else if (f->lock_hint == 0 && at_word(p, "TABLOCK"))
            f->lock_hint = 'T';
        p->t++;
    }
    return 0;
}

static int
parse_alias(struct parser *p, struct from *f)
{
    if (accept_word(p, "AS") || p->t->kind == TOKEN_QUOTED ||
        (p->t->kind == TOKEN_WORD && !is_reserved(p->t->text))) {
        if ((f->alias = parse_identifier(p)) == NULL)
            return -1;
    }
    if (f->alias != NULL && f->kind == FROM_QUERY && accept_op(p, '(')) {
        do {
            const char *name = parse_identifier(p);

            if (name == NULL)
                return -1;
            f->column_names =
                arena_push(p->arena, f->column_names, f->n_column_names, sizeof *f->column_names);
            f->column_names[f->n_column_names++] = name;
        } while (accept_op(p, ','));
        if (expect_op(p, ')') != 0)
            return -1;
    }
    return 0;
}

static struct from *parse_from(struct parser *p);

static struct from *
parse_source(struct parser *p)
{
    struct from *f = arena_alloc(p->arena, sizeof *f);

    f->line = p->t->line;
    if (at_op(p, '(')) {
        p->t++;
        if (!at_select(p)) {
            f = parse_from(p);
            return f != NULL && expect_op(p, ')') == 0 ? f : NULL;
        }
        f->kind = FROM_QUERY;
        if ((f->query = parse_select(p)) == NULL || expect_op(p, ')') != 0)
            return NULL;
        return parse_alias(p, f) == 0 ? f : NULL;
    }
    if (parse_name(p, &f->name) != 0)
        return NULL;
    if (accept_op(p, '(')) {
        f->kind = FROM_FUNCTION;
        if (!at_op(p, ')') && parse_expr_list(p, &f->args, &f->n_args) != 0)
            return NULL;
        if (expect_op(p, ')') != 0)
            return NULL;
    }
    if (parse_alias(p, f) != 0)
        return NULL;
    if (at_word(p, "WITH") && p->t[1].kind == TOKEN_OP && p->t[1].op == '(') {
        p->t += 2;
        if (parse_hints(p, f) != 0)
            return NULL;
    } else if (f->kind == FROM_TABLE && at_op(p, '(')) {
        p->t++; /* the old form: t (nolock) */
        if (parse_hints(p, f) != 0)
            return NULL;
    }
    return f;
}

static bool
join_follows(struct parser *p, enum join_kind *kind)
{
    const struct token *start = p->t;

    *kind = JOIN_INNER;
    if (accept_word(p, "CROSS"))
        *kind = JOIN_CROSS;
    else if (accept_word(p, "LEFT"))
        *kind = JOIN_LEFT;
    else if (accept_word(p, "RIGHT"))
        *kind = JOIN_RIGHT;
    else if (accept_word(p, "FULL"))
        *kind = JOIN_FULL;
    else
        (void)accept_word(p, "INNER");
    (void)accept_word(p, "OUTER");
    if (accept_word(p, "JOIN"))
        return true;
    p->t = start;
    return false;
}

static struct from *
parse_from(struct parser *p)
{
    struct from *f = parse_source(p);
    enum join_kind kind;

    while (f != NULL && join_follows(p, &kind)) {
        struct from *j = arena_alloc(p->arena, sizeof *j);

        j->kind = FROM_JOIN;
        j->join = kind;
        j->left = f;
        if ((j->right = parse_source(p)) == NULL)
            return NULL;
        if (kind != JOIN_CROSS && (expect_word(p, "ON") != 0 || (j->on = parse_expr(p)) == NULL))
            return NULL;
        f = j;
    }
    return f;
}

static int
parse_from_list(struct parser *p, struct select *s)
{
    do {
        struct from *f = parse_from(p);

        if (f == NULL)
            return -1;
        s->from = arena_push(p->arena, s->from, s->n_from, sizeof *s->from);
        s->from[s->n_from++] = f;
    } while (accept_op(p, ','));
    return 0;
}

static int
parse_value_rows(struct parser *p, struct select *s)
{
    do {
        struct expr **row;
        int n;

        if (expect_op(p, '(') != 0 || parse_expr_list(p, &row, &n) != 0 || expect_op(p, ')') != 0)
            return -1;
        if (s->n_rows > 0 && n != s->n_row_items)
            return sqlerr_set(p->e, 10709, 16, 1,
                              "The number of columns for each row in a table value constructor "
                              "must be the same.");
        s->n_row_items = n;
        s->rows = arena_push(p->arena, s->rows, s->n_rows, sizeof *s->rows);
        s->rows[s->n_rows++] = row;
    } while (accept_op(p, ','));
    return 0;
}

static int
parse_core_tail(struct parser *p, struct select *s)
{
    if (accept_word(p, "FROM") && parse_from_list(p, s) != 0)
        return -1;
    if (accept_word(p, "WHERE") && (s->where = parse_expr(p)) == NULL)
        return -1;
    if (accept_word(p, "GROUP") &&
        (expect_word(p, "BY") != 0 || parse_expr_list(p, &s->group, &s->n_group) != 0))
        return -1;
    if (accept_word(p, "HAVING") && (s->having = parse_expr(p)) == NULL)
        return -1;
    return 0;
}

static struct select *
parse_core(struct parser *p)
{
    struct select *s;

    if (accept_op(p, '(')) {
        s = parse_select(p);
        return s != NULL && expect_op(p, ')') == 0 ? s : NULL;
    }
    s = arena_alloc(p->arena, sizeof *s);
    s->line = p->t->line;
    if (accept_word(p, "VALUES"))
        return parse_value_rows(p, s) == 0 ? s : NULL;
    if (expect_word(p, "SELECT") != 0)
        return NULL;
    s->distinct = accept_word(p, "DISTINCT");
    if (!s->distinct)
        (void)accept_word(p, "ALL");
    if (accept_word(p, "TOP")) {
        if (accept_op(p, '(')) {
            if ((s->top = parse_expr(p)) == NULL || expect_op(p, ')') != 0)
                return NULL;
        } else {
            s->top = new_expr(p, EXPR_LITERAL);
            if (p->t->kind != TOKEN_LITERAL) {
                (void)syntax_error(p);
                return NULL;
            }
            s->top->literal = p->t++->literal;
        }
    }
    do {
        s->items = arena_push(p->arena, s->items, s->n_items, sizeof *s->items);
        if (parse_item(p, &s->items[s->n_items++]) != 0)
            return NULL;
    } while (accept_op(p, ','));
    return parse_core_tail(p, s) == 0 ? s : NULL;
}

static int
parse_order_tail(struct parser *p, struct select *s)
{
    if (accept_word(p, "ORDER")) {
        if (expect_word(p, "BY") != 0 || parse_order_list(p, &s->order, &s->n_order) != 0)
            return -1;
        if (accept_word(p, "OFFSET")) {
            if ((s->offset = parse_expr(p)) == NULL)
                return -1;
            if (!accept_word(p, "ROWS"))
                (void)accept_word(p, "ROW");
            if (accept_word(p, "FETCH")) {
                p->t++; /* NEXT or FIRST */
                if ((s->fetch = parse_expr(p)) == NULL)
                    return -1;
                p->t++; /* ROWS */
                if (expect_word(p, "ONLY") != 0)
                    return -1;
            }
        }
    }
    return 0;
}

struct select *
parse_select(struct parser *p)
{
    struct select *first = parse_core(p);
    struct select *s = first;

    while (s != NULL) {
        int op = 0;

        if (accept_word(p, "UNION"))
            op = accept_word(p, "ALL") ? 'A' : 'U';
        else if (accept_word(p, "EXCEPT"))
            op = 'E';
        else if (accept_word(p, "INTERSECT"))
            op = 'I';
        if (op == 0)
            break;
        s->set_op = op;
        if ((s->next = parse_core(p)) == NULL)
            return NULL;
        s = s->next;
    }
    if (s == NULL || parse_order_tail(p, first) != 0)
        return NULL;
    return first;
}
