#include "tests/kinesisd/shardlog.h"

#include "common/err.h"
#include "tests/kinesisd/bytes.h"

#define CHUNK_SIZE ((uint32_t)256 * 1024)

struct shardlog_chunk {
    uint64_t first; /* index of its first record */
    uint64_t count;
    int64_t last_ms; /* arrival of its last record */
    uint32_t used;
    uint32_t room;
    char data[];
};

/* In front of each record: key bytes and data bytes follow, padded to eight. */
struct entry {
    int64_t arrival_ms;
    uint32_t key_len;
    uint32_t data_len;
};

static uint32_t
entry_size(uint32_t key_len, uint32_t data_len)
{
    return ((uint32_t)sizeof(struct entry) + key_len + data_len + 7) & ~(uint32_t)7;
}

void
shardlog_init(struct shardlog *log, uint64_t keep)
{
    CHECK(keep > 0);
    *log = (struct shardlog){.keep = keep};
}

void
shardlog_free(struct shardlog *log)
{
    for (size_t i = 0; i < log->chunk_count; i++)
        free(log->chunks[i]);
    free(log->chunks);
    free(log->spare);
    *log = (struct shardlog){.keep = 1};
}

static struct shardlog_chunk *
add_chunk(struct shardlog *log, uint32_t need)
{
    struct shardlog_chunk *c = log->spare;

    if (c != NULL && c->room >= need) {
        log->spare = NULL;
    } else {
        uint32_t room = need > CHUNK_SIZE ? need : CHUNK_SIZE;

        c = bytes_alloc(sizeof(*c) + room);
        c->room = room;
    }
    c->first = log->next;
    c->count = 0;
    c->used = 0;
    c->last_ms = log->last_ms;
    if (log->chunk_count == log->chunk_room) {
        log->chunk_room = log->chunk_room == 0 ? 16 : log->chunk_room * 2;
        log->chunks = bytes_realloc(log->chunks, log->chunk_room * sizeof(struct shardlog_chunk *));
    }
    log->chunks[log->chunk_count++] = c;
    return c;
}

/* Keeps the newest `keep` records visible and recycles the chunks that fell out of sight. */
static void
trim(struct shardlog *log)
{
    size_t gone = 0;

    if (log->next - log->first <= log->keep)
        return;
    log->first = log->next - log->keep;
    while (gone + 1 < log->chunk_count && log->chunks[gone + 1]->first <= log->first)
        gone++;
    if (gone == 0)
        return;
    for (size_t i = 0; i < gone; i++) {
        free(log->spare);
        log->spare = log->chunks[i];
    }
    log->chunk_count -= gone;
    (void)memmove(log->chunks, log->chunks + gone,
                  log->chunk_count * sizeof(struct shardlog_chunk *));
}

uint64_t
shardlog_append(struct shardlog *log, int64_t arrival_ms, const char *key, uint32_t key_len,
                const char *data, uint32_t data_len)
{
    struct entry e = {.arrival_ms = arrival_ms, .key_len = key_len, .data_len = data_len};
    uint32_t need = entry_size(key_len, data_len);
    struct shardlog_chunk *c = log->chunk_count == 0 ? NULL : log->chunks[log->chunk_count - 1];
    char *to;

    CHECK(arrival_ms >= log->last_ms);
    log->last_ms = arrival_ms;
    if (c == NULL || c->room - c->used < need)
        c = add_chunk(log, need);
    to = c->data + c->used;
    (void)memcpy(to, &e, sizeof(e));
    (void)memcpy(to + sizeof(e), key, key_len);
    (void)memcpy(to + sizeof(e) + key_len, data, data_len);
    c->used += need;
    c->count++;
    c->last_ms = arrival_ms;
    log->next++;
    log->bytes += (uint64_t)key_len + data_len;
    trim(log);
    return log->next - 1;
}

/* The last chunk whose first record is at or before index. */
static size_t
chunk_of(const struct shardlog *log, uint64_t index)
{
    size_t low = 0;
    size_t high = log->chunk_count;

    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;

        if (log->chunks[mid]->first <= index)
            low = mid;
        else
            high = mid;
    }
    return low;
}

void
shardlog_seek(const struct shardlog *log, uint64_t index, struct shardlog_cursor *at)
{
    struct shardlog_record skipped;

    if (index < log->first)
        index = log->first;
    if (log->chunk_count == 0 || index >= log->next) {
        *at = (struct shardlog_cursor){.chunk = log->chunk_count, .index = log->next};
        return;
    }
    at->chunk = chunk_of(log, index);
    at->offset = 0;
    at->index = log->chunks[at->chunk]->first;
    while (at->index < index)
        (void)shardlog_read(log, at, &skipped);
}

bool
shardlog_read(const struct shardlog *log, struct shardlog_cursor *at, struct shardlog_record *out)
{
    const struct shardlog_chunk *c;
    const char *from;
    struct entry e;

    if (at->index >= log->next)
        return false;
    c = log->chunks[at->chunk];
    if (at->index == c->first + c->count) {
        c = log->chunks[++at->chunk];
        at->offset = 0;
    }
    from = c->data + at->offset;
    (void)memcpy(&e, from, sizeof(e));
    *out = (struct shardlog_record){
        .index = at->index,
        .arrival_ms = e.arrival_ms,
        .key = from + sizeof(e),
        .data = from + sizeof(e) + e.key_len,
        .key_len = e.key_len,
        .data_len = e.data_len,
    };
    at->offset += entry_size(e.key_len, e.data_len);
    at->index++;
    return true;
}

uint64_t
shardlog_find_time(const struct shardlog *log, int64_t time_ms)
{
    struct shardlog_cursor at;
    struct shardlog_record r;
    size_t chunk = 0;

    while (chunk < log->chunk_count && log->chunks[chunk]->last_ms < time_ms)
        chunk++;
    if (chunk == log->chunk_count)
        return log->next;
    shardlog_seek(log, log->chunks[chunk]->first, &at);
    while (shardlog_read(log, &at, &r)) {
        if (r.arrival_ms >= time_ms)
            return r.index;
    }
    return log->next;
}
