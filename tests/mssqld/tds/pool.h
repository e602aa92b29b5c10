/*
 * pool - memory that lives as long as one request.
 *
 * Blocks are kept by pool_reset up to a limit, so a busy connection does not allocate.
 * A zeroed struct is an empty pool.
 */
#ifndef MSSQLD_TDS_POOL_H
#define MSSQLD_TDS_POOL_H

#include <stddef.h>

struct pool_block;

struct pool {
    struct pool_block *blocks; /* newest first */
};

/* n bytes, zeroed, aligned for any type; NULL when there is no memory. */
void *pool_alloc(struct pool *a, size_t n);
/* Frees what was handed out; keeps one block of ordinary size. */
void pool_reset(struct pool *a);
void pool_free(struct pool *a);

#endif
