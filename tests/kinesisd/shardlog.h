/*
 * shardlog - the records of one shard, oldest first, in memory.
 *
 * Records lie as raw bytes in chunks; a record's place in the log (0, 1, ...) never changes.
 * At most `keep` records are visible; older ones are trimmed as if past retention, and a chunk
 * is recycled when nothing visible is left in it.  Pointers in a shardlog_record live until the
 * next append.
 */
#ifndef KINESISD_SHARDLOG_H
#define KINESISD_SHARDLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shardlog_chunk;

struct shardlog {
    uint64_t keep;  /* visible records at most */
    uint64_t first; /* oldest visible record */
    uint64_t next;  /* index the next record gets */
    uint64_t bytes; /* data and keys ever appended */
    int64_t last_ms;
    struct shardlog_chunk **chunks; /* ascending; [0] holds `first` when there is a record */
    size_t chunk_count;
    size_t chunk_room;
    struct shardlog_chunk *spare; /* the last chunk trimmed, to be used next */
};

struct shardlog_record {
    uint64_t index;
    int64_t arrival_ms;
    const char *key;
    const char *data;
    uint32_t key_len;
    uint32_t data_len;
};

/* Where a reader stands; valid until the next append. */
struct shardlog_cursor {
    size_t chunk;
    uint32_t offset;
    uint64_t index;
};

/* keep >= 1. */
void shardlog_init(struct shardlog *log, uint64_t keep);
void shardlog_free(struct shardlog *log);

/* Stores one record and returns its index.  arrival_ms never falls from call to call. */
uint64_t shardlog_append(struct shardlog *log, int64_t arrival_ms, const char *key,
                         uint32_t key_len, const char *data, uint32_t data_len);

/* Stands at index, or at the oldest visible record when index is trimmed. */
void shardlog_seek(const struct shardlog *log, uint64_t index, struct shardlog_cursor *at);

/* Gives the record under the cursor and steps on; false at the end of the log. */
bool
shardlog_read(const struct shardlog *log, struct shardlog_cursor *at, struct shardlog_record *out);

/* Index of the first visible record that arrived at or after time_ms (log->next when none). */
uint64_t shardlog_find_time(const struct shardlog *log, int64_t time_ms);

#endif
