#include "shipper/shard_map.h"

static bool
is_same(const struct shard_map *m, const struct target_shard *shards, size_t n)
{
    if (m->n != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(m->shards[i].id, shards[i].id) != 0)
            return false;
    }
    return true;
}

bool
shard_map_set(struct shard_map *m, struct target_shard *shards, size_t n)
{
    bool changed = !is_same(m, shards, n);

    free(m->shards);
    m->shards = shards;
    m->n = n;
    return changed;
}

void
shard_map_free(struct shard_map *m)
{
    free(m->shards);
    *m = (struct shard_map){.shards = NULL};
}

/* The first shard whose last hash is not below hash. */
size_t
shard_map_find(const struct shard_map *m, const uint8_t hash[16])
{
    size_t low = 0;
    size_t high = m->n - 1;

    CHECK(m->n > 0);
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (memcmp(m->shards[middle].last_hash, hash, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
