/* plan - parsed batches with their prepared statements, kept by session for the next use. */
#ifndef MSSQLD_PLAN_H
#define MSSQLD_PLAN_H

#include "tests/mssqld/sql/bind.h"

/* What a statement keeps between executions: its queries, valid for one catalog version. */
struct plan {
    uint64_t version;
    const struct database *database;
    bool made;
    struct query query;      /* SELECT; rows of UPDATE, DELETE, INSERT ... SELECT */
    struct query values;     /* INSERT ... VALUES with expressions */
    struct query conditions; /* IF, WHILE, SET, PRINT */
    struct table *table;
    struct arena arena;
    int *targets; /* table positions of INSERT's values */
    int n_targets;
    struct sql_type *types; /* common types of INSERT ... VALUES columns */
    bool plain_values;      /* literals, NULL and DEFAULT only */
    struct plan *next;      /* all plans of a batch */
};

struct plan_entry {
    char *key;
    size_t key_size;
    uint64_t hash;
    struct arena arena;
    struct stmt *stmts;
    struct plan *plans;
    bool in_use;
    bool keep; /* false: not in the cache, freed after the run */
    struct plan_entry *next;
};

/* The plan of a statement, emptied when the catalog has moved on. */
struct plan *plan_of(struct session *s, struct plan_entry *e, struct stmt *x);
void plan_entry_free(struct plan_entry *e);
void plan_forget(struct session *s);

/* run_stmt.c: statements in order; 0 done, -1 = batch ends (error reported or peer gone). */
enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE, FLOW_RETURN, FLOW_STOP };

struct run {
    struct session *s;
    struct plan_entry *entry;
    struct frame *frame;
    int try_depth;
    bool failed; /* inside TRY: jump to CATCH */
};

enum flow run_block(struct run *r, struct stmt *x);
/* Evaluates to a value of type to (NULL = own type, stored in *type). */
int run_scalar(struct run *r, struct stmt *x, int slot, struct expr *e, const struct sql_type *to,
               struct sql_type *type, struct sql_value *out);
int run_condition(struct run *r, struct stmt *x, struct expr *e, bool *out);

/* dml.c */
int dml_insert(struct run *r, struct stmt *x, int64_t *rows);
int dml_update(struct run *r, struct stmt *x, int64_t *rows);
int dml_delete(struct run *r, struct stmt *x, int64_t *rows);
int dml_truncate(struct run *r, struct stmt *x);
/* One finished row into a table of the engine's own. */
int dml_append(struct session *s, struct table *t, const struct stored *row);

/* ddl.c */
struct proc_call;
int ddl_run(struct run *r, struct stmt *x);
int ddl_rename(struct session *s, const struct proc_call *call); /* sp_rename */

/* proc.c: EXEC and RPC. */
struct proc_arg {
    const char *name; /* with @, or "" */
    struct sql_type type;
    struct sql_value value;
    bool is_default;
    bool output;
    struct sql_value result; /* of an output parameter */
    struct sql_type result_type;
};

struct proc_call {
    const struct name *name;
    struct proc_arg *args;
    int n_args;
};

int proc_call(struct session *s, const struct proc_call *call, int32_t *status);
/* Argument by name or, unnamed, by position; NULL when absent or DEFAULT. */
const struct proc_arg *proc_find(const struct proc_call *call, const char *name, int position);
/* Its value as text, int64 or bytes; otherwise when absent or NULL. */
const char *proc_text(struct session *s, const struct proc_call *call, const char *name,
                      int position, const char *otherwise);
int64_t proc_int(struct session *s, const struct proc_call *call, const char *name, int position,
                 int64_t otherwise);

#endif
