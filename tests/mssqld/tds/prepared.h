/*
 * prepared - the prepared statements of one connection and the binding of their parameters.
 */
#ifndef MSSQLD_TDS_PREPARED_H
#define MSSQLD_TDS_PREPARED_H

#include "tests/mssqld/engine.h"

#include <stddef.h>
#include <stdint.h>

struct pool;
struct err;

struct prepared {
    int32_t handle;
    char *text;
    struct sql_param *declared; /* one block, see engine_parse_params */
    int n_declared;
};

/* A zeroed struct is an empty table. */
struct prepared_table {
    struct prepared *entries;
    size_t n;
    size_t cap;
    int32_t last_handle;
};

void prepared_free(struct prepared_table *table);

/* Keeps a statement; *handle is its number, never given twice.  -1: bad declaration. */
int prepared_add(struct prepared_table *table, const char *text, const char *declaration,
                 int32_t *handle, struct err *e);
/* NULL when there is no such handle. */
const struct prepared *prepared_find(const struct prepared_table *table, int32_t handle);
/* -1 when there is no such handle. */
int prepared_remove(struct prepared_table *table, int32_t handle);

/*
 * Gives each declared parameter its value: by name when the value has one, else by place.
 * *out has n_declared entries in the pool.  -1: e->sys is SQL Server's message number
 * (8178 not supplied, 8144 too many, 8145 no such parameter), e->text its text.
 */
int prepared_bind(const struct sql_param *declared, int n_declared, const struct sql_param *values,
                  int n_values, struct pool *pool, struct sql_param **out, struct err *e);

#endif
