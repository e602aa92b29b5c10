#include "tests/mssqld/tds/pool.h"

#include <stdint.h>

#define POOL_BLOCK_SIZE 16384U

struct pool_block {
    struct pool_block *next;
    size_t cap;
    size_t used;
    size_t pad; /* keeps data aligned to 16 */
    unsigned char data[];
};

_Static_assert(sizeof(struct pool_block) % 16 == 0, "data must be aligned for any type");

void *
pool_alloc(struct pool *a, size_t n)
{
    struct pool_block *block = a->blocks;
    size_t need;
    void *p;

    if (__builtin_add_overflow(n, (size_t)15, &need))
        return NULL;
    need &= ~(size_t)15;
    if (block == NULL || block->cap - block->used < need) {
        size_t cap = need > POOL_BLOCK_SIZE ? need : POOL_BLOCK_SIZE;
        size_t total;

        if (__builtin_add_overflow(cap, sizeof(*block), &total))
            return NULL;
        block = malloc(total);
        if (block == NULL)
            return NULL;
        *block = (struct pool_block){.next = a->blocks, .cap = cap};
        a->blocks = block;
    }
    p = block->data + block->used;
    block->used += need;
    memset(p, 0, n);
    return p;
}

void
pool_reset(struct pool *a)
{
    struct pool_block *keep = NULL;

    while (a->blocks != NULL) {
        struct pool_block *next = a->blocks->next;

        if (keep == NULL && a->blocks->cap == POOL_BLOCK_SIZE)
            keep = a->blocks;
        else
            free(a->blocks);
        a->blocks = next;
    }
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    a->blocks = keep;
}

void
pool_free(struct pool *a)
{
    while (a->blocks != NULL) {
        struct pool_block *next = a->blocks->next;

        free(a->blocks);
        a->blocks = next;
    }
}
