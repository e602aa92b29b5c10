/*
 * lex - T-SQL text into tokens, and into a key under which its plan is kept.
 *
 * Literals that only carry data (after a comparison, in a VALUES row, in TOP) are lifted: the
 * key holds their type instead of their text, so that statements which differ in such
 * values share one plan.
 */
#ifndef MSSQLD_LEX_H
#define MSSQLD_LEX_H

#include "tests/mssqld/sql/arena.h"
#include "tests/mssqld/sql/sqlerr.h"
#include "tests/mssqld/sql/types.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,    /* bare identifier or keyword */
    TOKEN_QUOTED,  /* [x] or "x", unescaped */
    TOKEN_VAR,     /* @x, @@x */
    TOKEN_LITERAL, /* number, string, binary */
    TOKEN_OP,      /* one or two characters in op */
};

struct token {
    enum token_kind kind;
    const char *text; /* NUL-terminated */
    size_t size;
    int op;      /* 'c', or 'a' << 8 | 'b' for two characters */
    int literal; /* index into lexed.literals */
    int line;
    size_t start; /* byte range in the batch */
    size_t end;
};

#define OP2(a, b) ((a) << 8 | (b))

struct literal {
    struct sql_type type;
    struct sql_value value;
    bool lifted;
};

struct lexed {
    struct token *tokens;
    int n_tokens;
    struct literal *literals;
    int n_literals;
    struct sbuf key;
};

/* Memory is a's; key grows in out (reused from call to call).  -1 and e on a bad character. */
int lex(const char *text, struct arena *a, struct lexed *out, struct sqlerr *e);

#endif
