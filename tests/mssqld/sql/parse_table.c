/* CREATE TABLE, ALTER TABLE, CREATE INDEX: columns, keys, storage. */
#include <strings.h>

#include "tests/mssqld/sql/parser.h"

/* Source text between two tokens, for DEFAULTs and computed columns. */
const char *
parse_source_text(struct parser *p, const struct token *from)
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
int
parse_skip_group(struct parser *p)
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
            if (parse_skip_group(p) != 0)
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
        return parse_skip_group(p);
    } else if (accept_word(p, "FOREIGN")) {
        if (expect_word(p, "KEY") != 0 || parse_skip_group(p) != 0 ||
            expect_word(p, "REFERENCES") != 0 || parse_name(p, &(struct name){0}) != 0)
            return -1;
        return at_op(p, '(') ? parse_skip_group(p) : 0;
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
        return parse_skip_group(p);
    if (accept_word(p, "REFERENCES")) {
        if (parse_name(p, &(struct name){0}) != 0)
            return -1;
        return at_op(p, '(') ? parse_skip_group(p) : 0;
    }
    if (accept_word(p, "DEFAULT")) {
        from = p->t;
        if (parse_expr(p) == NULL)
            return -1;
        c->default_text = parse_source_text(p, from);
        c->default_name = name;
        return accept_word(p, "WITH") ? expect_word(p, "VALUES") : 0;
    }
    *more = false;
    return 0;
}

int
parse_column_options(struct parser *p, struct column_def *c)
{
    bool more = true;

    while (more)
        if (column_option(p, c, &more) != 0)
            return -1;
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

    if (c.name == NULL)
        return -1;
    if (accept_word(p, "AS")) {
        from = p->t;
        if (parse_expr(p) == NULL)
            return -1;
        c.computed_text = parse_source_text(p, from);
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
    if (parse_column_options(p, &c) != 0)
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
            if (parse_skip_group(p) != 0)
                return -1;
        } else if (column_definition(p, s) != 0) {
            return -1;
        }
    } while (accept_op(p, ','));
    return 0;
}

struct stmt *
parse_create_table(struct parser *p)
{
    struct stmt *s = new_stmt(p, STMT_CREATE_TABLE);

    if (parse_name(p, &s->name) != 0 || expect_op(p, '(') != 0 || table_elements(p, s) != 0 ||
        expect_op(p, ')') != 0 || storage(p, s) != 0)
        return NULL;
    return s;
}

struct stmt *
parse_create_index(struct parser *p, bool unique, bool clustered, bool columnstore)
{
    struct stmt *s = new_stmt(p, STMT_CREATE_INDEX);
    struct key_def key = {.unique = unique, .clustered = clustered, .columnstore = columnstore};

    if ((key.name = parse_identifier(p)) == NULL || expect_word(p, "ON") != 0 ||
        parse_name(p, &s->name) != 0 ||
        ((!columnstore || at_op(p, '(')) && key_columns(p, &key) != 0))
        return NULL;
    if (accept_word(p, "INCLUDE") && parse_skip_group(p) != 0)
        return NULL;
    if (accept_word(p, "WHERE") && parse_expr(p) == NULL)
        return NULL;
    if (skip_storage(p) != 0)
        return NULL;
    (void)push_key(p, s, &key);
    return s;
}

struct stmt *
parse_alter_table(struct parser *p)
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
