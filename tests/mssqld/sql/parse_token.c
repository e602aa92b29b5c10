/* Tokens, names and types: what every part of the parser takes. */
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
take_op(struct parser *p)
{
    int op = p->t->op;

    p->t++;
    return op;
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
