/* parse - T-SQL tokens into syntax trees. */
#ifndef MSSQLD_PARSE_H
#define MSSQLD_PARSE_H

#include "tests/mssqld/sql/ast.h"
#include "tests/mssqld/sql/lex.h"

/* Parses a whole batch.  Trees live in a.  -1 and e (with line) on a syntax error. */
int parse_batch(const char *text, const struct lexed *tokens, struct arena *a, struct stmt **out,
                struct sqlerr *e);

/* "@a int, @b nvarchar(20) = 'x' OUTPUT": declarations of sp_executesql and procedures. */
int parse_var_list(const struct lexed *tokens, struct arena *a, struct var_def **out, int *n,
                   struct sqlerr *e);

/* One scalar expression: DEFAULT and computed columns. */
int
parse_single_expr(const struct lexed *tokens, struct arena *a, struct expr **out, struct sqlerr *e);

#endif
