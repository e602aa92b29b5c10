#include <strings.h>

#include "tests/mssqld/sql/parser.h"

/* TYPE was read. */
static struct stmt *
create_type(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_CREATE_TYPE);
    struct column_def c = {.name = ""};

    if (parse_name(p, &s->name) != 0 || expect_word(p, "FROM") != 0 ||
        parse_type(p, &c.type) != 0 || parse_column_options(p, &c) != 0)
        return NULL;
    s->defs = arena_push(p->arena, s->defs, s->n_defs, sizeof *s->defs);
    s->defs[s->n_defs++] = c;
    return s;
}

static struct stmt *
create_procedure(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_CREATE_PROC);
    bool paren;

    if (parse_name(p, &s->name) != 0)
        return NULL;
    paren = accept_op(p, '(');
    if (p->t->kind == TOKEN_VAR && parse_vars(p, &s->vars, &s->n_vars) != 0)
        return NULL;
    if (paren && expect_op(p, ')') != 0)
        return NULL;
    if (accept_word(p, "WITH"))
        while (!at_word(p, "AS") && p->t->kind != TOKEN_END)
            p->t++;
    if (expect_word(p, "AS") != 0)
        return NULL;
    s->text = p->text + p->t->start;
    s->body = parse_statements(p, false); /* the rest of the batch is the body */
    return p->e->number == 0 ? s : NULL;
}

/* Name, then options up to the end of the statement; word2 holds a password. */
static struct stmt *
principal(struct parser *p, enum stmt_kind kind)
{
    struct stmt *s = new_stmt(p, kind);

    if ((s->word = parse_identifier(p)) == NULL)
        return NULL;
    if (accept_word(p, "WITHOUT")) {
        p->t++; /* LOGIN */
    } else if (accept_word(p, "ENABLE") || accept_word(p, "DISABLE")) {
        s->op = p->t[-1].text[0] & ~0x20;
        return s;
    } else if (accept_word(p, "FOR") || accept_word(p, "FROM")) {
        if (accept_word(p, "WINDOWS")) {
            s->op = 'W';
        } else {
            p->t++; /* LOGIN */
            if ((s->word2 = parse_identifier(p)) == NULL)
                return NULL;
        }
    } else if (accept_word(p, "AUTHORIZATION")) {
        p->t++;
    }
    if (!accept_word(p, "WITH"))
        return s;
    do {
        const char *option = p->t++->text;

        if (!accept_op(p, '='))
            continue;
        if (strcasecmp(option, "PASSWORD") == 0) {
            s->word2 = p->t->text;
            s->op = 'P';
        } else if (strcasecmp(option, "DEFAULT_DATABASE") == 0)
            s->text = p->t->text;
        p->t++;
        (void)accept_word(p, "MUST_CHANGE");
    } while (accept_op(p, ','));
    return s;
}

/* name (type) AS RANGE [LEFT|RIGHT] FOR VALUES (...) */
static struct stmt *
create_partition_function(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_PARTITION_FUNCTION);

    s->vars = arena_alloc(p->arena, sizeof *s->vars);
    if ((s->word = parse_identifier(p)) == NULL || expect_op(p, '(') != 0 ||
        parse_type(p, &s->vars[0].type) != 0 || expect_op(p, ')') != 0 ||
        expect_word(p, "AS") != 0 || expect_word(p, "RANGE") != 0)
        return NULL;
    s->op = accept_word(p, "RIGHT") ? 'R' : 'L';
    if (s->op == 'L')
        (void)accept_word(p, "LEFT");
    if (expect_word(p, "FOR") != 0 || expect_word(p, "VALUES") != 0 || expect_op(p, '(') != 0 ||
        (!at_op(p, ')') && parse_expr_list(p, &s->exprs, &s->n_exprs) != 0))
        return NULL;
    return expect_op(p, ')') == 0 ? s : NULL;
}

/* name AS PARTITION function [ALL] TO (filegroups) */
static struct stmt *
create_partition_scheme(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_PARTITION_SCHEME);

    if (expect_word(p, "SCHEME") != 0 || (s->word = parse_identifier(p)) == NULL ||
        expect_word(p, "AS") != 0 || expect_word(p, "PARTITION") != 0 ||
        (s->word2 = parse_identifier(p)) == NULL)
        return NULL;
    (void)accept_word(p, "ALL");
    return expect_word(p, "TO") == 0 && parse_skip_group(p) == 0 ? s : NULL;
}

struct stmt *
parse_create(struct parser *p)
{
    struct stmt *s;
    bool unique;
    bool clustered;
    bool columnstore;

    p->t++;
    if (accept_word(p, "OR"))
        (void)accept_word(p, "ALTER");
    if (accept_word(p, "DATABASE")) {
        s = new_stmt(p, STMT_CREATE_DATABASE);
        if ((s->word = parse_identifier(p)) == NULL)
            return NULL;
        if (accept_word(p, "COLLATE") && (s->text = parse_identifier(p)) == NULL)
            return NULL;
        return s;
    }
    if (accept_word(p, "SCHEMA")) {
        s = new_stmt(p, STMT_CREATE_SCHEMA);
        if ((s->word = parse_identifier(p)) == NULL)
            return NULL;
        if (accept_word(p, "AUTHORIZATION") && parse_identifier(p) == NULL)
            return NULL;
        return s;
    }
    if (accept_word(p, "TABLE"))
        return parse_create_table(p);
    if (accept_word(p, "PROCEDURE") || accept_word(p, "PROC"))
        return create_procedure(p);
    if (accept_word(p, "LOGIN"))
        return principal(p, STMT_CREATE_LOGIN);
    if (accept_word(p, "USER"))
        return principal(p, STMT_CREATE_USER);
    if (accept_word(p, "ROLE"))
        return principal(p, STMT_CREATE_ROLE);
    if (accept_word(p, "TYPE"))
        return create_type(p);
    if (accept_word(p, "PARTITION"))
        return accept_word(p, "FUNCTION") ? create_partition_function(p)
                                          : create_partition_scheme(p);
    unique = accept_word(p, "UNIQUE");
    clustered = accept_word(p, "CLUSTERED");
    if (!clustered)
        (void)accept_word(p, "NONCLUSTERED");
    columnstore = accept_word(p, "COLUMNSTORE");
    if (accept_word(p, "INDEX"))
        return parse_create_index(p, unique, clustered, columnstore);
    (void)syntax_error(p);
    return NULL;
}

struct stmt *
parse_alter(struct parser *p)
{
    const struct token *from = p->t;
    struct stmt *s;

    p->t++;
    if (accept_word(p, "TABLE")) {
        s = parse_alter_table(p);
        if (s != NULL)
            s->text = parse_source_text(p, from);
        return s;
    }
    if (accept_word(p, "DATABASE")) {
        s = new_stmt(p, STMT_ALTER_DATABASE);
        if (at_word(p, "CURRENT"))
            p->t++;
        else if ((s->word = parse_identifier(p)) == NULL)
            return NULL;
        if (expect_word(p, "SET") != 0)
            return NULL;
        s->word2 = p->t++->text;
        (void)accept_op(p, '=');
        s->text = p->t->kind == TOKEN_END || at_op(p, ';') ? "" : p->t++->text;
        while (p->t->kind != TOKEN_END && !at_op(p, ';'))
            p->t++; /* WITH ROLLBACK IMMEDIATE */
        return s;
    }
    if (accept_word(p, "ROLE") || (at_word(p, "SERVER") && (p->t += 2) != NULL)) {
        s = new_stmt(p, STMT_ALTER_ROLE);
        if ((s->word = parse_identifier(p)) == NULL)
            return NULL;
        s->op = accept_word(p, "DROP") ? 'D' : 'A';
        if (s->op == 'A' && expect_word(p, "ADD") != 0)
            return NULL;
        if (expect_word(p, "MEMBER") != 0 || (s->word2 = parse_identifier(p)) == NULL)
            return NULL;
        return s;
    }
    if (accept_word(p, "LOGIN"))
        return principal(p, STMT_ALTER_LOGIN);
    if (accept_word(p, "PROCEDURE") || accept_word(p, "PROC"))
        return create_procedure(p);
    (void)syntax_error(p);
    return NULL;
}

struct stmt *
parse_drop(struct parser *p)
{
    static const struct {
        const char *word;
        enum stmt_kind kind;
    } KINDS[] = {
        {"DATABASE", STMT_DROP_DATABASE}, {"SCHEMA", STMT_DROP_SCHEMA},  {"TABLE", STMT_DROP_TABLE},
        {"INDEX", STMT_DROP_INDEX},       {"PROCEDURE", STMT_DROP_PROC}, {"PROC", STMT_DROP_PROC},
        {"LOGIN", STMT_DROP_LOGIN},       {"USER", STMT_DROP_USER},      {"ROLE", STMT_DROP_USER},
        {"TYPE", STMT_DROP_TYPE},
    };
    struct stmt *s = NULL;

    p->t++;
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0] && s == NULL; i++)
        if (accept_word(p, KINDS[i].word))
            s = new_stmt(p, KINDS[i].kind);
    if (s == NULL) {
        (void)syntax_error(p);
        return NULL;
    }
    if (accept_word(p, "IF")) {
        s->if_exists = true;
        if (expect_word(p, "EXISTS") != 0)
            return NULL;
    }
    do {
        struct name name;

        if (parse_name(p, &name) != 0)
            return NULL;
        s->names = arena_push(p->arena, s->names, s->n_names, sizeof *s->names);
        s->names[s->n_names++] = name;
    } while (accept_op(p, ','));
    s->word = s->names[0].object;
    if (s->kind == STMT_DROP_INDEX && accept_word(p, "ON") && parse_name(p, &s->name) != 0)
        return NULL;
    return s;
}

/* word: permission; op: verb; word2: grantee; text: class; name: securable; columns. */
struct stmt *
parse_grant(struct parser *p, int op)
{
    struct stmt *s = new_stmt(p, STMT_GRANT);
    const char *words[16];
    int n = 0;

    s->op = op;
    p->t++;
    while (n < 16 && p->t->kind == TOKEN_WORD && !at_word(p, "ON") && !at_word(p, "TO") &&
           !at_word(p, "FROM")) {
        words[n++] = p->t++->text;
        if (n < 16 && accept_op(p, ','))
            words[n++] = ",";
    }
    s->word = "";
    for (int i = 0; i < n; i++)
        s->word = arena_printf(p->arena, "%s%s%s", s->word, i > 0 ? " " : "", words[i]);
    s->text = "DATABASE";
    if (accept_word(p, "ON")) {
        s->text = "OBJECT";
        if (p->t[1].kind == TOKEN_OP && p->t[1].op == OP2(':', ':')) {
            s->text = p->t->text;
            p->t += 2;
        }
        if (parse_name(p, &s->name) != 0)
            return NULL;
        if (accept_op(p, '(')) {
            do {
                const char *column = parse_identifier(p);

                if (column == NULL)
                    return NULL;
                s->columns = arena_push(p->arena, s->columns, s->n_columns, sizeof *s->columns);
                s->columns[s->n_columns++] = column;
            } while (accept_op(p, ','));
            if (expect_op(p, ')') != 0)
                return NULL;
        }
    }
    if (!accept_word(p, "TO") && expect_word(p, "FROM") != 0)
        return NULL;
    if ((s->word2 = parse_identifier(p)) == NULL)
        return NULL;
    if (accept_word(p, "WITH"))
        p->t += 2; /* GRANT OPTION */
    (void)accept_word(p, "CASCADE");
    return s;
}
