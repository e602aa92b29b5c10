/*
 * bind - trees into SQLite SQL: resolves names, gives every expression its type, and writes
 * the text with the conversions that T-SQL makes by itself.
 */
#ifndef MSSQLD_BIND_H
#define MSSQLD_BIND_H

#include "tests/mssqld/sql/catalog.h"

enum bind_kind { BIND_LITERAL, BIND_VAR, BIND_GLOBAL };

struct bind {
    enum bind_kind kind;
    int index;
    struct sql_type type;
};

struct table_lock {
    struct database *db;
    int object_id;
    char hint; /* as in struct from */
};

/* A prepared SELECT with what it needs at run time. */
struct query {
    struct sbuf text;
    sqlite3_stmt *stmt;
    struct bind *binds;
    int n_binds;
    struct sql_column *columns;
    const char **variables; /* SELECT @x = ...: target of each column, or NULL */
    int n_columns;
    bool assigns;
    struct table_lock locks[8]; /* what hints ask for */
    int n_locks;
};

struct rel_column {
    const char *name;
    struct sql_type type;
    const char *sql;
    bool refused; /* the caller may not SELECT it */
};

/* One source of rows in FROM. */
struct rel {
    const char *name;   /* alias or table name */
    const char *schema; /* when no alias was given */
    struct rel_column *columns;
    int n_columns;
    const char *place;              /* SQL of %%physloc%%; NULL when rows have none */
    const struct table *refused_of; /* the table whose columns may be refused */
};

struct scope {
    struct rel *rels;
    int n_rels;
    struct scope *up;
    struct select *select; /* whose aliases ORDER BY may use */
};

struct binder {
    struct session *s;
    struct frame *frame;
    struct arena *arena;
    struct query *q;
    struct scope *scope;
    int next_rel;
};

/* Types x and all below; -1 with session.error. */
int bind_expr(struct binder *b, struct expr *x);
/* Error 230: no right to read the column. */
int bind_refused(struct binder *b, const struct rel *r, const struct rel_column *c);
/* Writes SQL of a bound expression; the second form converts it to a type. */
void emit_expr(struct binder *b, struct sbuf *o, const struct expr *x);
void emit_as(struct binder *b, struct sbuf *o, const struct expr *x, const struct sql_type *to);
/* Writes x with the collation its comparisons use. */
void emit_collated(struct binder *b, struct sbuf *o, const struct expr *x);
/* Reference to parameter (kind, index), made once per query. */
void emit_param(struct binder *b, struct sbuf *o, enum bind_kind kind, int index,
                const struct sql_type *type);
/* Function calls (bind_call.c). */
int bind_call(struct binder *b, struct expr *x);
void emit_call(struct binder *b, struct sbuf *o, const struct expr *x);
bool call_is_aggregate(const struct expr *x);

/* Binds a SELECT chain; columns and types land in *columns (arena). */
int bind_select(struct binder *b, struct select *sel, struct sql_column **columns, int *n);
/* Writes a bound chain; types (NULL = its own) are what the columns are converted to. */
void
emit_select(struct binder *b, struct sbuf *o, struct select *sel, const struct sql_type *types);

/* Whole queries, ready to run: parse tree in, q->stmt out.  Memory is a's. */
int query_select(struct session *s, struct frame *f, struct arena *a, struct select *sel,
                 struct query *q);
/* One value or condition; to may be NULL. */
int query_scalar(struct session *s, struct frame *f, struct arena *a, struct expr *x,
                 const struct sql_type *to, struct query *q);
/* Rows of a table for UPDATE and DELETE: rowid, its columns, then the expressions. */
int query_table_rows(struct session *s, struct frame *f, struct arena *a, struct table *t,
                     struct expr *where, struct expr *top, struct expr **exprs,
                     const struct sql_type *types, int n_exprs, struct query *q);
int query_prepare(struct session *s, struct query *q);
/* Binds literals, variables and globals of the running statement. */
int query_start(struct session *s, struct query *q);
void query_free(struct query *q);

/* The relation of one table, all columns. */
void rel_of_table(struct binder *b, struct table *t, const char *alias, const char *sql_alias,
                  struct rel *out);

#endif
