/* parser - what the parse_*.c files share; not for others. */
#ifndef MSSQLD_PARSER_H
#define MSSQLD_PARSER_H

#include "tests/mssqld/sql/parse.h"

struct parser {
    const char *text;
    const struct token *t; /* the next token */
    const struct literal *literals;
    struct arena *arena;
    struct sqlerr *e;
    int depth; /* nesting, bounded */
};

#define PARSE_DEPTH_MAX 200

/* Tokens.  accept_* take the token when it is the one asked for. */
bool at_word(const struct parser *p, const char *word);
bool at_op(const struct parser *p, int op);
bool accept_word(struct parser *p, const char *word);
bool accept_op(struct parser *p, int op);
int expect_word(struct parser *p, const char *word);
int expect_op(struct parser *p, int op);
int take_op(struct parser *p); /* the operator that stands next */
int syntax_error(struct parser *p);
bool is_reserved(const char *word);

/* An identifier, bare or quoted; NULL and an error when there is none. */
const char *parse_identifier(struct parser *p);
/* a.b.c with empty middle parts allowed. */
int parse_name(struct parser *p, struct name *out);
/* A signed whole number literal. */
int parse_integer(struct parser *p, int64_t *out);
/* Type with its arguments. */
int parse_type(struct parser *p, struct sql_type *out);

struct expr *parse_expr(struct parser *p); /* value or condition */
struct expr *new_expr(struct parser *p, enum expr_kind kind);
int parse_expr_list(struct parser *p, struct expr ***out, int *n);
int parse_order_list(struct parser *p, struct order_item **out, int *n);

struct select *parse_select(struct parser *p);
bool at_select(const struct parser *p); /* SELECT or VALUES, parentheses skipped */

struct stmt *parse_statement(struct parser *p);
struct stmt *parse_statements(struct parser *p, bool block);
struct stmt *new_stmt(struct parser *p, enum stmt_kind kind);
int parse_vars(struct parser *p, struct var_def **out, int *n);

/* CREATE, ALTER, DROP, GRANT and friends; the verb is the next token. */
struct stmt *parse_create(struct parser *p);
struct stmt *parse_alter(struct parser *p);
struct stmt *parse_drop(struct parser *p);
struct stmt *parse_grant(struct parser *p, int op);
/* Tables and indexes; CREATE TABLE, ALTER TABLE and the words before INDEX were read. */
struct stmt *parse_create_table(struct parser *p);
struct stmt *parse_alter_table(struct parser *p);
struct stmt *parse_create_index(struct parser *p, bool unique, bool clustered, bool columnstore);
/* A parenthesised group, whatever is in it. */
int parse_skip_group(struct parser *p);
/* What stands behind a column's type: NULL, DEFAULT, keys ... */
int parse_column_options(struct parser *p, struct column_def *c);
/* The text from a token up to the one that stands next. */
const char *parse_source_text(struct parser *p, const struct token *from);

#endif
