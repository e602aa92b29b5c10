/* ast - what the parser makes of T-SQL, and what the binder notes in it. */
#ifndef MSSQLD_AST_H
#define MSSQLD_AST_H

#include "tests/mssqld/sql/types.h"

enum expr_kind {
    EXPR_LITERAL,
    EXPR_NULL,
    EXPR_DEFAULT, /* DEFAULT in VALUES or SET */
    EXPR_VAR,
    EXPR_GLOBAL, /* @@x */
    EXPR_COLUMN,
    EXPR_NEGATE,
    EXPR_BITNOT,
    EXPR_BINARY, /* op + - * / % & | ^ */
    EXPR_COMPARE,
    EXPR_AND,
    EXPR_OR,
    EXPR_NOT,
    EXPR_IS_NULL,
    EXPR_IN,
    EXPR_BETWEEN,
    EXPR_LIKE,
    EXPR_EXISTS,
    EXPR_CASE, /* args: [operand or NULL], when, then, ..., else or NULL */
    EXPR_CAST, /* CAST, CONVERT, TRY_...: args value, [style] */
    EXPR_CALL,
    EXPR_SUBQUERY,
    EXPR_COLLATE,
    EXPR_ROW_NUMBER,
};

#define PHYSLOC "%%physloc%%" /* name of the column that tells a heap row's place */

struct select;
struct expr;

struct order_item {
    struct expr *e;
    bool descending;
};

struct expr {
    enum expr_kind kind;
    int op;
    bool negated; /* NOT IN, NOT LIKE, IS NOT NULL ... */
    bool star;    /* COUNT(*) */
    bool distinct;
    bool try_cast;
    int line;
    int literal;
    const char *name;      /* column, function, variable, collation */
    const char *qualifier; /* table or alias of a column; schema of a function */
    const char *schema;    /* schema of a column's table: s.t.c */
    struct expr **args;
    int n_args;
    struct select *query;
    struct sql_type cast_to;
    struct order_item *order; /* ROW_NUMBER */
    int n_order;
    /* From the binder: */
    struct sql_type type;
    const char *sql; /* SQL of a column reference */
    bool bound;
};

struct name {
    const char *database; /* NULL = not given */
    const char *schema;
    const char *object;
};

enum from_kind { FROM_TABLE, FROM_QUERY, FROM_FUNCTION, FROM_JOIN };
enum join_kind { JOIN_INNER, JOIN_LEFT, JOIN_RIGHT, JOIN_FULL, JOIN_CROSS };

struct from {
    enum from_kind kind;
    struct name name;
    const char *alias;
    const char **column_names; /* AS x (a, b) */
    int n_column_names;
    struct select *query;
    struct expr **args;
    int n_args;
    struct from *left;
    struct from *right;
    enum join_kind join;
    struct expr *on;
    char lock_hint; /* 'X' TABLOCKX, UPDLOCK, XLOCK; 'S' HOLDLOCK ...; 'T' TABLOCK alone; 0 none */
    int line;
};

struct select_item {
    struct expr *e; /* NULL for * */
    const char *alias;
    const char *star_of;  /* qualifier of x.* */
    const char *variable; /* SELECT @x = e */
};

struct select {
    bool distinct;
    struct expr *top;
    struct select_item *items;
    int n_items;
    struct from **from; /* comma list */
    int n_from;
    struct expr *where;
    struct expr **group;
    int n_group;
    struct expr *having;
    struct expr ***rows; /* VALUES (...), (...) as a table */
    int n_rows;
    int n_row_items;
    /* Of the whole chain, on the first: */
    struct order_item *order;
    int n_order;
    struct expr *offset;
    struct expr *fetch;
    /* UNION chain */
    struct select *next;
    int set_op; /* between this and next: 'A' UNION ALL, 'U' UNION, 'E' EXCEPT, 'I' INTERSECT */
    int line;
    struct bound *bound; /* the binder's */
};

/* What a column may be besides its type; kept as bits in the catalog. */
enum {
    COLUMN_SPARSE = 1,
    COLUMN_SET = 2,
    COLUMN_HIDDEN = 4,
    COLUMN_ROW_START = 8,
    COLUMN_ROW_END = 16,
};

struct column_def {
    const char *name;
    struct sql_type type;
    const char *collation;
    bool null_given;
    bool identity;
    int64_t seed;
    int64_t increment;
    const char *default_text; /* source text */
    const char *default_name;
    const char *computed_text;
    bool primary_key;
    bool unique;
    bool rowguid;
    unsigned flags;       /* COLUMN_SPARSE ... */
    struct name alias;    /* of a type; object NULL = none */
    int alias_id;         /* from the catalog */
    bool null_is_allowed; /* as written, where null_given */
    const char *key_name;
};

struct key_def {
    const char *name;
    bool primary;
    bool unique;
    bool clustered; /* said so of an index */
    bool columnstore;
    const char **columns;
    bool *descending;
    int n_columns;
};

enum stmt_kind {
    STMT_EMPTY,
    STMT_SELECT,
    STMT_INSERT,
    STMT_UPDATE,
    STMT_DELETE,
    STMT_TRUNCATE,
    STMT_CREATE_DATABASE,
    STMT_DROP_DATABASE,
    STMT_ALTER_DATABASE,
    STMT_USE,
    STMT_CREATE_SCHEMA,
    STMT_DROP_SCHEMA,
    STMT_CREATE_TYPE,
    STMT_DROP_TYPE,
    STMT_CREATE_TABLE,
    STMT_DROP_TABLE,
    STMT_ALTER_ADD,
    STMT_ALTER_DROP,
    STMT_ALTER_COLUMN,
    STMT_CREATE_INDEX,
    STMT_DROP_INDEX,
    STMT_CREATE_PROC,
    STMT_DROP_PROC,
    STMT_DECLARE,
    STMT_SET_VAR,
    STMT_SET_OPTION,
    STMT_IF,
    STMT_WHILE,
    STMT_BREAK,
    STMT_CONTINUE,
    STMT_BLOCK,
    STMT_TRY,
    STMT_RETURN,
    STMT_PRINT,
    STMT_RAISERROR,
    STMT_THROW,
    STMT_WAITFOR,
    STMT_BEGIN_TRAN,
    STMT_COMMIT,
    STMT_ROLLBACK,
    STMT_SAVE_TRAN,
    STMT_EXEC,
    STMT_UPDATE_STATISTICS,  /* name, word: the statistics or NULL */
    STMT_DBCC,               /* SHOW_STATISTICS: word table, word2 statistics */
    STMT_PARTITION_FUNCTION, /* word, vars[0]: its type, exprs: boundaries, op: 'L' or 'R' */
    STMT_PARTITION_SCHEME,   /* word, word2: the function */
    STMT_CREATE_LOGIN,
    STMT_ALTER_LOGIN, /* op: 'E' enable, 'D' disable, else a password */
    STMT_DROP_LOGIN,
    STMT_CREATE_USER,
    STMT_DROP_USER,
    STMT_CREATE_ROLE,
    STMT_ALTER_ROLE,
    STMT_GRANT, /* op: 'G', 'D' deny, 'R' revoke */
};

struct assignment {
    const char *column; /* or variable name with @ */
    struct expr *e;
    int op; /* '=', or the operator of += and so on */
};

struct exec_arg {
    const char *name; /* with @, or NULL */
    struct expr *e;   /* NULL for DEFAULT */
    bool output;
};

struct var_def {
    const char *name;
    struct sql_type type;
    struct expr *init;
    bool output;
};

struct stmt {
    enum stmt_kind kind;
    int line;
    size_t start; /* of its text in the batch's */
    size_t end;
    struct stmt *next;
    struct name name;
    const char *word; /* option, variable, transaction, user, role ... */
    const char *word2;
    const char *text; /* definition, option value */
    int op;
    bool if_exists;
    struct select *select;
    struct expr *expr;
    struct expr **exprs;
    int n_exprs;
    const char **columns; /* INSERT column list, DROP list */
    int n_columns;
    struct assignment *sets;
    int n_sets;
    struct column_def *defs;
    int n_defs;
    struct key_def *keys;
    int n_keys;
    struct exec_arg *args;
    int n_args;
    struct var_def *vars;
    int n_vars;
    struct name *names; /* DROP TABLE a, b */
    int n_names;
    struct stmt *body;
    struct stmt *other;
    bool is_text;   /* EXEC ('...') */
    bool with_rows; /* INSERT ... DEFAULT VALUES */
    /* Plan, made at first execution; the session's. */
    void *plan;
};

#endif
