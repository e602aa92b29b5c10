#include <strings.h>

#include "tests/mssqld/sql/parser.h"

/* Source text between two tokens, for DEFAULTs and computed columns. */
static const char *
source_text(struct parser *p, const struct token *from)
{
    size_t end = (p->t - 1)->end;

    return arena_strndup(p->arena, p->text + from->start, end - from->start);
}

static int
key_columns(struct parser *p, struct key_def *key)
{
    (void)(accept_word(p, "CLUSTERED") || accept_word(p, "NONCLUSTERED"));
    if (expect_op(p, '(') != 0)
        return -1;
    do {
        const char *name = parse_identifier(p);
        bool descending;

        if (name == NULL)
            return -1;
        descending = accept_word(p, "DESC");
        if (!descending)
            (void)accept_word(p, "ASC");
        key->columns = arena_push(p->arena, key->columns, key->n_columns, sizeof *key->columns);
        key->descending =
            arena_push(p->arena, key->descending, key->n_columns, sizeof *key->descending);
        key->descending[key->n_columns] = descending;
        key->columns[key->n_columns++] = name;
    } while (accept_op(p, ','));
    return expect_op(p, ')');
}

/* A parenthesised group, whatever is in it. */
static int
skip_group(struct parser *p)
{
    int depth = 0;

    do {
        if (p->t->kind == TOKEN_END)
            return syntax_error(p);
        depth += at_op(p, '(') ? 1 : at_op(p, ')') ? -1 : 0;
        p->t++;
    } while (depth > 0);
    return 0;
}

/*
 * WITH (...), ON filegroup: storage options mean nothing here, but for ON scheme(column), noted in
 * s when it is a table's.
 */
static int
storage(struct parser *p, struct stmt *s)
{
    for (;;) {
        if (at_word(p, "WITH") && p->t[1].kind == TOKEN_OP && p->t[1].op == '(') {
            p->t++;
            if (skip_group(p) != 0)
                return -1;
        } else if (accept_word(p, "ON") || accept_word(p, "TEXTIMAGE_ON")) {
            const char *scheme = parse_identifier(p);
            const char *column;

            if (scheme == NULL)
                return -1;
            if (!accept_op(p, '('))
                continue;
            if ((column = parse_identifier(p)) == NULL || expect_op(p, ')') != 0)
                return -1;
            if (s != NULL) {
                s->word = scheme;
                s->word2 = column;
            }
        } else {
            return 0;
        }
    }
}

static int
skip_storage(struct parser *p)
{
    return storage(p, NULL);
}

static int
push_key(struct parser *p, struct stmt *s, const struct key_def *key)
{
    s->keys = arena_push(p->arena, s->keys, s->n_keys, sizeof *s->keys);
    s->keys[s->n_keys++] = *key;
    return 0;
}

/* Table-level PRIMARY KEY, UNIQUE; CHECK and FOREIGN KEY are read and not enforced. */
static int
table_constraint(struct parser *p, struct stmt *s)
{
    struct key_def key = {0};

    if (accept_word(p, "CONSTRAINT") && (key.name = parse_identifier(p)) == NULL)
        return -1;
    if (accept_word(p, "PRIMARY")) {
        key.primary = true;
        if (expect_word(p, "KEY") != 0)
            return -1;
    } else if (accept_word(p, "UNIQUE")) {
        key.unique = true;
    } else if (accept_word(p, "CHECK")) {
        return skip_group(p);
    } else if (accept_word(p, "FOREIGN")) {
        if (expect_word(p, "KEY") != 0 || skip_group(p) != 0 || expect_word(p, "REFERENCES") != 0 ||
            parse_name(p, &(struct name){0}) != 0)
            return -1;
        return at_op(p, '(') ? skip_group(p) : 0;
    } else {
        return syntax_error(p);
    }
    if (key_columns(p, &key) != 0 || skip_storage(p) != 0)
        return -1;
    return push_key(p, s, &key);
}

static int
column_identity(struct parser *p, struct column_def *c)
{
    c->identity = true;
    c->seed = 1;
    c->increment = 1;
    if (!accept_op(p, '('))
        return 0;
    if (parse_integer(p, &c->seed) != 0 || expect_op(p, ',') != 0 ||
        parse_integer(p, &c->increment) != 0)
        return -1;
    return expect_op(p, ')');
}

static int
column_key(struct parser *p, struct column_def *c, bool primary, const char *name)
{
    if (primary && expect_word(p, "KEY") != 0)
        return -1;
    c->primary_key = primary;
    c->unique = !primary;
    c->key_name = name;
    if (primary)
        c->type.nullable = false;
    (void)(accept_word(p, "CLUSTERED") || accept_word(p, "NONCLUSTERED"));
    return skip_storage(p);
}

/* GENERATED was read: when the row begins or ends to be the current one. */
static int
column_period(struct parser *p, struct column_def *c)
{
    bool is_start;

    if (expect_word(p, "ALWAYS") != 0 || expect_word(p, "AS") != 0 || expect_word(p, "ROW") != 0)
        return -1;
    is_start = accept_word(p, "START");
    if (!is_start && expect_word(p, "END") != 0)
        return -1;
    c->flags |= is_start ? COLUMN_ROW_START : COLUMN_ROW_END;
    c->default_text = is_start ? "SYSUTCDATETIME()" : "'9999-12-31T23:59:59.9999999'";
    c->type.nullable = false;
    return 0;
}

static int
column_option(struct parser *p, struct column_def *c, bool *more)
{
    const char *name = NULL;
    const struct token *from;

    *more = true;
    if (accept_word(p, "CONSTRAINT") && (name = parse_identifier(p)) == NULL)
        return -1;
    if (accept_word(p, "NOT")) {
        c->type.nullable = false;
        c->null_given = true;
        if (accept_word(p, "FOR"))
            return expect_word(p, "REPLICATION");
        return expect_word(p, "NULL");
    }
    if (accept_word(p, "NULL")) {
        c->null_given = true;
        c->null_is_allowed = true;
        c->type.nullable = true;
        return 0;
    }
    if (accept_word(p, "IDENTITY"))
        return column_identity(p, c);
    if (accept_word(p, "COLLATE"))
        return (c->collation = parse_identifier(p)) == NULL ? -1 : 0;
    if (accept_word(p, "PRIMARY"))
        return column_key(p, c, true, name);
    if (accept_word(p, "UNIQUE"))
        return column_key(p, c, false, name);
    if (accept_word(p, "ROWGUIDCOL")) {
        c->rowguid = true;
        return 0;
    }
    if (accept_word(p, "SPARSE")) {
        c->flags |= COLUMN_SPARSE;
        return 0;
    }
    if (accept_word(p, "COLUMN_SET")) {
        c->flags |= COLUMN_SET;
        return expect_word(p, "FOR") != 0 ? -1 : expect_word(p, "ALL_SPARSE_COLUMNS");
    }
    if (accept_word(p, "GENERATED"))
        return column_period(p, c);
    if (accept_word(p, "HIDDEN")) {
        c->flags |= COLUMN_HIDDEN;
        return 0;
    }
    if (accept_word(p, "CHECK"))
        return skip_group(p);
    if (accept_word(p, "REFERENCES")) {
        if (parse_name(p, &(struct name){0}) != 0)
            return -1;
        return at_op(p, '(') ? skip_group(p) : 0;
    }
    if (accept_word(p, "DEFAULT")) {
        from = p->t;
        if (parse_expr(p) == NULL)
            return -1;
        c->default_text = source_text(p, from);
        c->default_name = name;
        return accept_word(p, "WITH") ? expect_word(p, "VALUES") : 0;
    }
    *more = false;
    return 0;
}

/* A system type, or the name of an alias type, which is looked up when the statement runs. */
static int
column_type(struct parser *p, struct column_def *c)
{
    const struct token *name = p->t;

    if (name[0].kind == TOKEN_WORD && name[1].kind == TOKEN_OP && name[1].op == '.')
        name += 2;
    if (name->kind == TOKEN_WORD && !type_by_name(name->text, &c->type) &&
        strcasecmp(name->text, "national") != 0) {
        c->type = type_make(SQL_INT);
        return parse_name(p, &c->alias);
    }
    return parse_type(p, &c->type);
}

static int
column_definition(struct parser *p, struct stmt *s)
{
    struct column_def c = {.name = parse_identifier(p)};
    const struct token *from;
    bool more = true;

    if (c.name == NULL)
        return -1;
    if (accept_word(p, "AS")) {
        from = p->t;
        if (parse_expr(p) == NULL)
            return -1;
        c.computed_text = source_text(p, from);
        c.type = type_make(SQL_INT);
        (void)accept_word(p, "PERSISTED");
    } else if (at_op(p, ',') || at_op(p, ')')) {
        if (strcasecmp(c.name, "timestamp") != 0)
            return syntax_error(p);
        c.type = type_make(SQL_ROWVERSION); /* the name alone is enough */
    } else {
        if (column_type(p, &c) != 0)
            return -1;
        if (!c.type.nullable)
            c.null_given = true; /* sysname */
    }
    while (more)
        if (column_option(p, &c, &more) != 0)
            return -1;
    s->defs = arena_push(p->arena, s->defs, s->n_defs, sizeof *s->defs);
    s->defs[s->n_defs++] = c;
    return 0;
}

static int
table_elements(struct parser *p, struct stmt *s)
{
    do {
        if (at_op(p, ')'))
            break; /* a trailing comma is allowed */
        if (at_word(p, "CONSTRAINT") || at_word(p, "PRIMARY") || at_word(p, "UNIQUE") ||
            at_word(p, "CHECK") || at_word(p, "FOREIGN")) {
            if (table_constraint(p, s) != 0)
                return -1;
        } else if (at_word(p, "PERIOD") && strcasecmp(p->t[1].text, "FOR") == 0) {
            p->t += 3; /* PERIOD FOR SYSTEM_TIME: the columns say the same */
            if (skip_group(p) != 0)
                return -1;
        } else if (column_definition(p, s) != 0) {
            return -1;
        }
    } while (accept_op(p, ','));
    return 0;
}

static struct stmt *
create_table(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_CREATE_TABLE);

    if (parse_name(p, &s->name) != 0 || expect_op(p, '(') != 0 || table_elements(p, s) != 0 ||
        expect_op(p, ')') != 0 || storage(p, s) != 0)
        return NULL;
    return s;
}

static struct stmt *
create_index(struct parser *p, bool unique, bool clustered, bool columnstore)
{
    struct stmt *s = new_stmt(p, STMT_CREATE_INDEX);
    struct key_def key = {.unique = unique, .clustered = clustered, .columnstore = columnstore};

    if ((key.name = parse_identifier(p)) == NULL || expect_word(p, "ON") != 0 ||
        parse_name(p, &s->name) != 0 ||
        ((!columnstore || at_op(p, '(')) && key_columns(p, &key) != 0))
        return NULL;
    if (accept_word(p, "INCLUDE") && skip_group(p) != 0)
        return NULL;
    if (accept_word(p, "WHERE") && parse_expr(p) == NULL)
        return NULL;
    if (skip_storage(p) != 0)
        return NULL;
    (void)push_key(p, s, &key);
    return s;
}

/* TYPE was read. */
static struct stmt *
create_type(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_CREATE_TYPE);
    struct column_def c = {.name = ""};
    bool more = true;

    if (parse_name(p, &s->name) != 0 || expect_word(p, "FROM") != 0 || parse_type(p, &c.type) != 0)
        return NULL;
    while (more)
        if (column_option(p, &c, &more) != 0)
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
    return expect_word(p, "TO") == 0 && skip_group(p) == 0 ? s : NULL;
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
        return create_table(p);
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
        return create_index(p, unique, clustered, columnstore);
    (void)syntax_error(p);
    return NULL;
}

static struct stmt *
alter_table(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_ALTER_ADD);

    if (parse_name(p, &s->name) != 0)
        return NULL;
    if (accept_word(p, "ADD"))
        return table_elements(p, s) == 0 ? s : NULL;
    if (accept_word(p, "ALTER")) {
        s->kind = STMT_ALTER_COLUMN;
        return expect_word(p, "COLUMN") == 0 && column_definition(p, s) == 0 ? s : NULL;
    }
    if (expect_word(p, "DROP") != 0)
        return NULL;
    s->kind = STMT_ALTER_DROP;
    s->op = accept_word(p, "COLUMN") ? 'c' : 'k';
    if (s->op == 'k')
        (void)accept_word(p, "CONSTRAINT");
    if (accept_word(p, "IF")) {
        s->if_exists = true;
        if (expect_word(p, "EXISTS") != 0)
            return NULL;
    }
    do {
        const char *name = parse_identifier(p);

        if (name == NULL)
            return NULL;
        s->columns = arena_push(p->arena, s->columns, s->n_columns, sizeof *s->columns);
        s->columns[s->n_columns++] = name;
    } while (accept_op(p, ','));
    return s;
}

struct stmt *
parse_alter(struct parser *p)
{
    const struct token *from = p->t;
    struct stmt *s;

    p->t++;
    if (accept_word(p, "TABLE")) {
        s = alter_table(p);
        if (s != NULL)
            s->text = source_text(p, from);
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
