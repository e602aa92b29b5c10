/*
 * shard_map - which open shard a hash key belongs to.
 *
 * A prediction: it paces the sending and nothing else.  The service routes by the partition key,
 * so a stale map costs no correctness.
 */
#ifndef WEIR_SHIPPER_SHARD_MAP_H
#define WEIR_SHIPPER_SHARD_MAP_H

#include "shipper/target.h"

struct shard_map {
    struct target_shard *shards; /* in the order of their ranges */
    size_t n;
};

/* Takes the array over (as kinesis_list_shards() gives it) and frees the old one.  True when
   the shards are others than before. */
bool shard_map_set(struct shard_map *m, struct target_shard *shards, size_t n);
void shard_map_free(struct shard_map *m);

/* Index of the shard whose range holds hash; the nearest one where ranges have holes.  n > 0. */
size_t shard_map_find(const struct shard_map *m, const uint8_t hash[16]);

#endif
