#include <strings.h>

#include "tests/mssqld/sql/parser.h"

struct stmt *
new_stmt(struct parser *p, enum stmt_kind kind)
{
    struct stmt *s = arena_alloc(p->arena, sizeof *s);

    s->kind = kind;
    s->line = p->t->line;
    s->start = p->t->start;
    return s;
}

/* OPTION ( ... ) is read and forgotten. */
static int
skip_option(struct parser *p)
{
    int depth = 0;

    if (!at_word(p, "OPTION"))
        return 0;
    p->t++;
    if (!at_op(p, '('))
        return syntax_error(p);
    do {
        if (p->t->kind == TOKEN_END)
            return syntax_error(p);
        depth += at_op(p, '(') ? 1 : at_op(p, ')') ? -1 : 0;
        p->t++;
    } while (depth > 0);
    return 0;
}

static struct stmt *
parse_query(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_SELECT);

    if ((s->select = parse_select(p)) == NULL || skip_option(p) != 0)
        return NULL;
    return s;
}

static int
skip_table_hints(struct parser *p)
{
    if (!at_word(p, "WITH") || p->t[1].kind != TOKEN_OP)
        return 0;
    while (!at_op(p, ')')) {
        if (p->t->kind == TOKEN_END)
            return syntax_error(p);
        p->t++;
    }
    p->t++;
    return 0;
}

static int
parse_column_list(struct parser *p, const char ***out, int *n)
{
    do {
        const char *name = parse_identifier(p);

        if (name == NULL)
            return -1;
        *out = arena_push(p->arena, *out, *n, sizeof **out);
        (*out)[(*n)++] = name;
    } while (accept_op(p, ','));
    return 0;
}

static struct stmt *
parse_insert(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_INSERT);

    p->t++;
    (void)accept_word(p, "INTO");
    if (parse_name(p, &s->name) != 0 || skip_table_hints(p) != 0)
        return NULL;
    if (at_op(p, '(') && !at_select(p)) {
        p->t++;
        if (parse_column_list(p, &s->columns, &s->n_columns) != 0 || expect_op(p, ')') != 0)
            return NULL;
    }
    if (accept_word(p, "DEFAULT")) {
        s->with_rows = true;
        return expect_word(p, "VALUES") == 0 ? s : NULL;
    }
    if (!at_select(p)) {
        (void)syntax_error(p);
        return NULL;
    }
    if ((s->select = parse_select(p)) == NULL || skip_option(p) != 0)
        return NULL;
    return s;
}

static int
assign_op(struct parser *p)
{
    static const char OPS[] = "+-*/%&|^";

    if (accept_op(p, '='))
        return '=';
    for (const char *o = OPS; *o != '\0'; o++)
        if (accept_op(p, OP2(*o, '=')))
            return *o;
    (void)syntax_error(p);
    return 0;
}

static struct stmt *
parse_update(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_UPDATE);

    p->t++;
    if (accept_word(p, "TOP")) {
        if (expect_op(p, '(') != 0 || (s->expr = parse_expr(p)) == NULL || expect_op(p, ')') != 0)
            return NULL;
    }
    if (parse_name(p, &s->name) != 0 || skip_table_hints(p) != 0 || expect_word(p, "SET") != 0)
        return NULL;
    do {
        struct assignment a = {0};

        a.column = p->t->kind == TOKEN_VAR ? p->t++->text : parse_identifier(p);
        if (a.column != NULL && accept_op(p, '.')) /* t.c */
            a.column = parse_identifier(p);
        if (a.column == NULL || (a.op = assign_op(p)) == 0 || (a.e = parse_expr(p)) == NULL)
            return NULL;
        s->sets = arena_push(p->arena, s->sets, s->n_sets, sizeof *s->sets);
        s->sets[s->n_sets++] = a;
    } while (accept_op(p, ','));
    s->select = arena_alloc(p->arena, sizeof *s->select);
    if (accept_word(p, "WHERE") && (s->select->where = parse_expr(p)) == NULL)
        return NULL;
    return skip_option(p) == 0 ? s : NULL;
}

static struct stmt *
parse_delete(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_DELETE);

    p->t++;
    if (accept_word(p, "TOP")) {
        if (expect_op(p, '(') != 0 || (s->expr = parse_expr(p)) == NULL || expect_op(p, ')') != 0)
            return NULL;
    }
    (void)accept_word(p, "FROM");
    if (parse_name(p, &s->name) != 0 || skip_table_hints(p) != 0)
        return NULL;
    s->select = arena_alloc(p->arena, sizeof *s->select);
    if (accept_word(p, "WHERE") && (s->select->where = parse_expr(p)) == NULL)
        return NULL;
    return skip_option(p) == 0 ? s : NULL;
}

int
parse_vars(struct parser *p, struct var_def **out, int *n)
{
    do {
        struct var_def v = {0};

        if (p->t->kind != TOKEN_VAR)
            return syntax_error(p);
        v.name = p->t++->text;
        (void)accept_word(p, "AS");
        if (parse_type(p, &v.type) != 0)
            return -1;
        v.type.nullable = true;
        if (accept_word(p, "NULL") || accept_word(p, "NOT"))
            (void)accept_word(p, "NULL");
        if (accept_op(p, '=') && (v.init = parse_expr(p)) == NULL)
            return -1;
        v.output = accept_word(p, "OUTPUT") || accept_word(p, "OUT");
        (void)accept_word(p, "READONLY");
        *out = arena_push(p->arena, *out, *n, sizeof **out);
        (*out)[(*n)++] = v;
    } while (accept_op(p, ','));
    return 0;
}

/* SET x ON and its relations: everything up to the value is the option's name. */
static struct stmt *
parse_set(struct parser *p)
{
    struct stmt *s;

    p->t++;
    if (p->t->kind == TOKEN_VAR) {
        s = new_stmt(p, STMT_SET_VAR);
        s->word = p->t++->text;
        if ((s->op = assign_op(p)) == 0 || (s->expr = parse_expr(p)) == NULL)
            return NULL;
        return s;
    }
    s = new_stmt(p, STMT_SET_OPTION);
    if (p->t->kind != TOKEN_WORD) {
        (void)syntax_error(p);
        return NULL;
    }
    s->word = p->t++->text;
    if (strcasecmp(s->word, "TRANSACTION") == 0) {
        if (expect_word(p, "ISOLATION") != 0 || expect_word(p, "LEVEL") != 0)
            return NULL;
        s->text = p->t++->text;
        if (accept_word(p, "UNCOMMITTED"))
            s->text = "UNCOMMITTED";
        else if (accept_word(p, "COMMITTED"))
            s->text = "COMMITTED";
        else
            (void)accept_word(p, "READ");
        return s;
    }
    if (strcasecmp(s->word, "IDENTITY_INSERT") == 0) {
        if (parse_name(p, &s->name) != 0)
            return NULL;
    } else if (strcasecmp(s->word, "STATISTICS") == 0) {
        p->t++;
    } else {
        while (accept_op(p, ',')) /* SET ANSI_NULLS, QUOTED_IDENTIFIER ON */
            p->t++;
    }
    if (at_op(p, '-')) {
        p->t++;
        s->text = arena_printf(p->arena, "-%s", p->t++->text);
    } else {
        s->text = p->t->kind == TOKEN_LITERAL || p->t->kind == TOKEN_WORD || p->t->kind == TOKEN_VAR
                      ? p->t++->text
                      : "";
    }
    return s;
}

static struct stmt *
parse_if(struct parser *p, enum stmt_kind kind)
{
    struct stmt *s = new_stmt(p, kind);

    p->t++;
    if ((s->expr = parse_expr(p)) == NULL || (s->body = parse_statement(p)) == NULL)
        return NULL;
    if (kind == STMT_IF) {
        while (at_op(p, ';') && p->t[1].kind == TOKEN_WORD && strcasecmp(p->t[1].text, "ELSE") == 0)
            p->t++;
        if (accept_word(p, "ELSE") && (s->other = parse_statement(p)) == NULL)
            return NULL;
    }
    return s;
}

static struct stmt *
parse_transaction(struct parser *p, enum stmt_kind kind)
{
    struct stmt *s = new_stmt(p, kind);

    if (!accept_word(p, "TRANSACTION") && !accept_word(p, "TRAN"))
        (void)accept_word(p, "WORK");
    if (p->t->kind == TOKEN_VAR || p->t->kind == TOKEN_QUOTED ||
        (p->t->kind == TOKEN_WORD && !is_reserved(p->t->text) && p->t->line == (p->t - 1)->line))
        s->word = p->t++->text;
    return s;
}

static struct stmt *
parse_begin(struct parser *p)
{
    struct stmt *s;

    p->t++;
    if (at_word(p, "TRAN") || at_word(p, "TRANSACTION"))
        return parse_transaction(p, STMT_BEGIN_TRAN);
    if (accept_word(p, "TRY")) {
        s = new_stmt(p, STMT_TRY);
        s->body = parse_statements(p, true);
        if (p->e->number != 0 || expect_word(p, "END") != 0 || expect_word(p, "TRY") != 0)
            return NULL;
        (void)accept_op(p, ';');
        if (expect_word(p, "BEGIN") != 0 || expect_word(p, "CATCH") != 0)
            return NULL;
        s->other = parse_statements(p, true);
        if (p->e->number != 0 || expect_word(p, "END") != 0 || expect_word(p, "CATCH") != 0)
            return NULL;
        return s;
    }
    s = new_stmt(p, STMT_BLOCK);
    s->body = parse_statements(p, true);
    if (p->e->number != 0 || expect_word(p, "END") != 0)
        return NULL;
    return s;
}

static int
parse_exec_args(struct parser *p, struct stmt *s)
{
    do {
        struct exec_arg a = {0};

        if (p->t->kind == TOKEN_VAR && p->t[1].kind == TOKEN_OP && p->t[1].op == '=') {
            a.name = p->t->text;
            p->t += 2;
        }
        if (p->t->kind == TOKEN_WORD && !is_reserved(p->t->text) &&
            !(p->t[1].kind == TOKEN_OP && p->t[1].op == '(')) {
            /* a bare word is a string here */
            a.e = new_expr(p, EXPR_CALL);
            a.e->name = "$word";
            a.e->qualifier = p->t++->text;
        } else if (accept_word(p, "DEFAULT")) {
            a.e = NULL;
        } else if ((a.e = parse_expr(p)) == NULL) {
            return -1;
        }
        a.output = accept_word(p, "OUTPUT") || accept_word(p, "OUT");
        s->args = arena_push(p->arena, s->args, s->n_args, sizeof *s->args);
        s->args[s->n_args++] = a;
    } while (accept_op(p, ','));
    return 0;
}

static bool
statement_ends(const struct parser *p)
{
    return p->t->kind == TOKEN_END || at_op(p, ';') ||
           (p->t->kind == TOKEN_WORD && is_reserved(p->t->text) && !at_word(p, "NULL") &&
            !at_word(p, "DEFAULT"));
}

static struct stmt *
parse_exec(struct parser *p, bool keyword)
{
    struct stmt *s = new_stmt(p, STMT_EXEC);

    p->t += keyword ? 1 : 0;
    if (accept_op(p, '(')) {
        s->is_text = true;
        if ((s->expr = parse_expr(p)) == NULL || expect_op(p, ')') != 0)
            return NULL;
        return s;
    }
    if (p->t->kind == TOKEN_VAR && p->t[1].kind == TOKEN_OP && p->t[1].op == '=') {
        s->word = p->t->text; /* EXEC @rc = p */
        p->t += 2;
    }
    if (parse_name(p, &s->name) != 0)
        return NULL;
    if (!statement_ends(p) && parse_exec_args(p, s) != 0)
        return NULL;
    return s;
}

static struct stmt *
parse_raiserror(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_RAISERROR);

    p->t++;
    if (expect_op(p, '(') != 0 || parse_expr_list(p, &s->exprs, &s->n_exprs) != 0 ||
        expect_op(p, ')') != 0)
        return NULL;
    if (accept_word(p, "WITH"))
        do {
            p->t++;
        } while (accept_op(p, ','));
    return s;
}

static struct stmt *
parse_throw(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_THROW);

    p->t++;
    if (!statement_ends(p) && parse_expr_list(p, &s->exprs, &s->n_exprs) != 0)
        return NULL;
    return s;
}

static struct stmt *
with_expr(struct parser *p, enum stmt_kind kind, bool optional)
{
    struct stmt *s = new_stmt(p, kind);

    p->t++;
    if (optional && statement_ends(p))
        return s;
    return (s->expr = parse_expr(p)) != NULL ? s : NULL;
}

/* UPDATE STATISTICS t [name | (name)] [WITH ...] */
static struct stmt *
parse_statistics(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_UPDATE_STATISTICS);

    p->t += 2;
    if (parse_name(p, &s->name) != 0)
        return NULL;
    if (accept_op(p, '(')) {
        if ((s->word = parse_identifier(p)) == NULL || expect_op(p, ')') != 0)
            return NULL;
    } else if (!statement_ends(p) && (s->word = parse_identifier(p)) == NULL) {
        return NULL;
    }
    if (accept_word(p, "WITH"))
        while (p->t->kind != TOKEN_END && !at_op(p, ';'))
            p->t++;
    return s;
}

/* DBCC SHOW_STATISTICS ('t', 'name') WITH HISTOGRAM */
static struct stmt *
parse_dbcc(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_DBCC);

    p->t++;
    if (expect_word(p, "SHOW_STATISTICS") != 0 || expect_op(p, '(') != 0)
        return NULL;
    s->word = p->t->kind == TOKEN_LITERAL ? p->t++->text : parse_identifier(p);
    if (s->word == NULL || expect_op(p, ',') != 0)
        return NULL;
    s->word2 = p->t->kind == TOKEN_LITERAL ? p->t++->text : parse_identifier(p);
    if (s->word2 == NULL || expect_op(p, ')') != 0 || expect_word(p, "WITH") != 0 ||
        expect_word(p, "HISTOGRAM") != 0)
        return NULL;
    return s;
}

static struct stmt *
parse_word_statement(struct parser *p)
{
    struct stmt *s;

    if (at_word(p, "TRUNCATE")) {
        s = new_stmt(p, STMT_TRUNCATE);
        p->t++;
        return expect_word(p, "TABLE") == 0 && parse_name(p, &s->name) == 0 ? s : NULL;
    }
    if (at_word(p, "USE")) {
        s = new_stmt(p, STMT_USE);
        p->t++;
        return (s->word = parse_identifier(p)) != NULL ? s : NULL;
    }
    if (at_word(p, "DECLARE")) {
        s = new_stmt(p, STMT_DECLARE);
        p->t++;
        return parse_vars(p, &s->vars, &s->n_vars) == 0 ? s : NULL;
    }
    if (at_word(p, "WAITFOR")) {
        s = new_stmt(p, STMT_WAITFOR);
        p->t++;
        return expect_word(p, "DELAY") == 0 && (s->expr = parse_expr(p)) != NULL ? s : NULL;
    }
    if (at_word(p, "BREAK") || at_word(p, "CONTINUE")) {
        s = new_stmt(p, at_word(p, "BREAK") ? STMT_BREAK : STMT_CONTINUE);
        p->t++;
        return s;
    }
    if (at_word(p, "GRANT") || at_word(p, "DENY") || at_word(p, "REVOKE"))
        return parse_grant(p, p->t->text[0] & ~0x20);
    if (accept_word(p, "RECONFIGURE")) {
        if (accept_word(p, "WITH") && expect_word(p, "OVERRIDE") != 0)
            return NULL;
        return new_stmt(p, STMT_EMPTY);
    }
    if (at_word(p, "DBCC"))
        return parse_dbcc(p);
    if (at_word(p, "CREATE"))
        return parse_create(p);
    if (at_word(p, "ALTER"))
        return parse_alter(p);
    if (at_word(p, "DROP"))
        return parse_drop(p);
    if (at_word(p, "THROW"))
        return parse_throw(p);
    /* A procedure's name may open a batch without EXEC. */
    if ((p->t->kind == TOKEN_WORD && !is_reserved(p->t->text)) || p->t->kind == TOKEN_QUOTED) {
        if (p->t->start == 0 || (p->t[1].kind == TOKEN_OP && p->t[1].op == '.') ||
            strncasecmp(p->t->text, "sp_", 3) == 0)
            return parse_exec(p, false);
    }
    (void)syntax_error(p);
    return NULL;
}

struct stmt *
parse_statement(struct parser *p)
{
    struct stmt *s = NULL;
    size_t start = p->t->start;

    if (++p->depth > PARSE_DEPTH_MAX) {
        (void)syntax_error(p);
        return NULL;
    }
    if (at_select(p))
        s = parse_query(p);
    else if (at_word(p, "INSERT"))
        s = parse_insert(p);
    else if (at_word(p, "UPDATE") && p->t[1].kind == TOKEN_WORD &&
             strcasecmp(p->t[1].text, "STATISTICS") == 0)
        s = parse_statistics(p);
    else if (at_word(p, "UPDATE"))
        s = parse_update(p);
    else if (at_word(p, "DELETE"))
        s = parse_delete(p);
    else if (at_word(p, "SET"))
        s = parse_set(p);
    else if (at_word(p, "IF"))
        s = parse_if(p, STMT_IF);
    else if (at_word(p, "WHILE"))
        s = parse_if(p, STMT_WHILE);
    else if (at_word(p, "BEGIN"))
        s = parse_begin(p);
    else if (accept_word(p, "COMMIT"))
        s = parse_transaction(p, STMT_COMMIT);
    else if (accept_word(p, "ROLLBACK"))
        s = parse_transaction(p, STMT_ROLLBACK);
    else if (accept_word(p, "SAVE"))
        s = parse_transaction(p, STMT_SAVE_TRAN);
    else if (at_word(p, "EXEC") || at_word(p, "EXECUTE"))
        s = parse_exec(p, true);
    else if (at_word(p, "PRINT"))
        s = with_expr(p, STMT_PRINT, false);
    else if (at_word(p, "RETURN"))
        s = with_expr(p, STMT_RETURN, true);
    else if (at_word(p, "RAISERROR"))
        s = parse_raiserror(p);
    else
        s = parse_word_statement(p);
    if (s != NULL) {
        s->start = start;
        s->end = p->t->start;
    }
    p->depth--;
    return s;
}

/* Statements up to the end of text, or in a block up to END. */
struct stmt *
parse_statements(struct parser *p, bool block)
{
    struct stmt *first = NULL;
    struct stmt **tail = &first;

    for (;;) {
        while (accept_op(p, ';'))
            continue;
        if (p->t->kind == TOKEN_END || (block && at_word(p, "END")))
            return first;
        if ((*tail = parse_statement(p)) == NULL)
            return NULL;
        tail = &(*tail)->next;
    }
}

int
parse_batch(const char *text, const struct lexed *tokens, struct arena *a, struct stmt **out,
            struct sqlerr *e)
{
    struct parser p = {
        .text = text, .t = tokens->tokens, .literals = tokens->literals, .arena = a, .e = e};

    e->number = 0;
    *out = parse_statements(&p, false);
    return e->number == 0 ? 0 : -1;
}

int
parse_var_list(const struct lexed *tokens, struct arena *a, struct var_def **out, int *n,
               struct sqlerr *e)
{
    struct parser p = {.t = tokens->tokens, .literals = tokens->literals, .arena = a, .e = e};

    e->number = 0;
    *out = NULL;
    *n = 0;
    if (p.t->kind == TOKEN_END)
        return 0;
    if (parse_vars(&p, out, n) != 0)
        return -1;
    return p.t->kind == TOKEN_END ? 0 : syntax_error(&p);
}

int
parse_single_expr(const struct lexed *tokens, struct arena *a, struct expr **out, struct sqlerr *e)
{
    struct parser p = {.t = tokens->tokens, .literals = tokens->literals, .arena = a, .e = e};

    e->number = 0;
    *out = parse_expr(&p);
    if (*out == NULL)
        return -1;
    return p.t->kind == TOKEN_END ? 0 : syntax_error(&p);
}
