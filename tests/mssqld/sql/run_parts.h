/* run_parts - what the run_*.c files share; not for others. */
#ifndef MSSQLD_RUN_PARTS_H
#define MSSQLD_RUN_PARTS_H

#include "tests/mssqld/sql/plan.h"

/* A variable of the frame; NULL and error 137. */
struct variable *run_variable(struct run *r, const char *name);
/* Copies a value's bytes to the frame, where variables live. */
void run_keep(struct run *r, const struct sql_type *t, struct sql_value *v);

int run_select(struct run *r, struct stmt *x);
int run_print(struct run *r, struct stmt *x);
int run_raiserror(struct run *r, struct stmt *x);
int run_throw(struct run *r, struct stmt *x);

#endif
