#include "tests/kinesisd/stream.h"

#include "common/clock.h"
#include "common/err.h"
#include "tests/kinesisd/bytes.h"

/* GetRecords: five calls and 2 MiB a second and shard. */
#define READ_CALLS_PER_S 5
#define READ_BYTES_PER_S ((int64_t)2 * 1024 * 1024)

#define DEFAULT_RECORD_KIB  1024
#define DEFAULT_RETENTION_H 24

static struct shard *
add_shard(struct stream *s, uint128 start, uint128 end, int64_t now_ms, uint64_t created_s)
{
    struct shard *sh = bytes_zalloc(sizeof(*sh));
    int64_t now_ns = clock_mono_ns();

    sh->number = s->shard_count;
    stream_shard_id(sh->number, sh->id);
    sh->parent = sh->adjacent = sh->child = sh->child2 = STREAM_NONE;
    sh->start = start;
    sh->end = end;
    sh->created_s = created_s;
    sh->opened_ms = now_ms;
    shardlog_init(&sh->log, s->limits.keep);
    bucket_init(&sh->records, s->limits.shard_records_per_s, now_ns);
    bucket_init(&sh->bytes, s->limits.shard_bytes_per_s, now_ns);
    bucket_init(&sh->read_calls, READ_CALLS_PER_S, now_ns);
    bucket_init(&sh->read_bytes, READ_BYTES_PER_S, now_ns);
    s->shards = bytes_realloc(s->shards, (s->shard_count + 1) * sizeof(struct shard *));
    s->shards[s->shard_count++] = sh;
    return sh;
}

static int
by_start(const void *a, const void *b)
{
    const struct shard *x = *(struct shard *const *)a;
    const struct shard *y = *(struct shard *const *)b;

    return x->start < y->start ? -1 : x->start > y->start;
}

/* Rebuilds the routing table; the open shards must tile the hash space. */
static void
index_open(struct stream *s)
{
    s->open = bytes_realloc(s->open, s->shard_count * sizeof(struct shard *));
    s->open_count = 0;
    for (uint32_t i = 0; i < s->shard_count; i++) {
        if (!s->shards[i]->is_closed)
            s->open[s->open_count++] = s->shards[i];
    }
    qsort(s->open, s->open_count, sizeof(struct shard *), by_start);
    CHECK(s->open[0]->start == 0 && s->open[s->open_count - 1]->end == HASHKEY_MAX);
    for (uint32_t i = 1; i < s->open_count; i++)
        CHECK(s->open[i]->start == s->open[i - 1]->end + 1);
}

struct stream *
stream_new(const char *name, const char *arn, uint32_t n, const struct stream_limits *limits,
           int64_t now_ms, int64_t due_ms)
{
    struct stream *s = bytes_zalloc(sizeof(*s));

    CHECK(n > 0);
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
    (void)snprintf(s->arn, sizeof(s->arn), "%s", arn);
    s->limits = *limits;
    s->created_ms = now_ms;
    s->max_record_kib = DEFAULT_RECORD_KIB;
    s->retention_h = DEFAULT_RETENTION_H;
    for (uint32_t k = 0; k < n; k++) {
        uint128 end = k + 1 == n ? HASHKEY_MAX : hashkey_bound(k + 1, n) - 1;

        (void)add_shard(s, hashkey_bound(k, n), end, now_ms, (uint64_t)now_ms / 1000);
    }
    index_open(s);
    stream_begin(s, CHANGE_CREATE, due_ms);
    (void)stream_advance(s, now_ms);
    return s;
}

void
stream_free(struct stream **s)
{
    if (*s == NULL)
        return;
    for (uint32_t i = 0; i < (*s)->shard_count; i++) {
        shardlog_free(&(*s)->shards[i]->log);
        free((*s)->shards[i]);
    }
    free((*s)->shards);
    free((*s)->open);
    free(*s);
    *s = NULL;
}

const char *
stream_status_name(const struct stream *s)
{
    static const char *const names[] = {"CREATING", "ACTIVE", "UPDATING", "DELETING"};

    return names[s->status];
}

bool
stream_is_usable(const struct stream *s)
{
    return s->status == STREAM_ACTIVE || s->status == STREAM_UPDATING;
}

struct shard *
stream_route(const struct stream *s, uint128 hash)
{
    uint32_t low = 0;
    uint32_t high = s->open_count;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (s->open[mid]->start <= hash)
            low = mid;
        else
            high = mid;
    }
    return s->open[low];
}

struct shard *
stream_find_shard(const struct stream *s, const char *id)
{
    const char *digits = strncmp(id, "shardId-", 8) == 0 ? id + 8 : id;
    size_t len = strlen(digits);
    uint64_t number = 0;

    if (len == 0 || len > 12)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return NULL;
        number = number * 10 + (uint64_t)(digits[i] - '0');
    }
    return number < s->shard_count ? s->shards[number] : NULL;
}

void
stream_shard_id(uint32_t number, char *out)
{
    (void)snprintf(out, STREAM_SHARD_ID_MAX, "shardId-%012u", number);
}

void
stream_begin(struct stream *s, enum stream_change change, int64_t due_ms)
{
    s->change = change;
    s->due_ms = due_ms;
    s->status = change == CHANGE_CREATE   ? STREAM_CREATING
                : change == CHANGE_DELETE ? STREAM_DELETING
                                          : STREAM_UPDATING;
}

static uint64_t
later_second(const struct shard *parent, int64_t now_ms)
{
    uint64_t now_s = (uint64_t)now_ms / 1000;

    return now_s > parent->created_s ? now_s : parent->created_s + 1;
}

static void
close_shard(struct shard *sh, uint32_t child, uint32_t child2, int64_t now_ms)
{
    sh->is_closed = true;
    sh->closed_ms = now_ms > sh->log.last_ms ? now_ms : sh->log.last_ms;
    sh->child = child;
    sh->child2 = child2;
}

/* Returns the left child. */
static struct shard *
split(struct stream *s, struct shard *parent, uint128 at, int64_t now_ms)
{
    uint64_t created_s = later_second(parent, now_ms);
    struct shard *left = add_shard(s, parent->start, at - 1, now_ms, created_s);
    struct shard *right = add_shard(s, at, parent->end, now_ms, created_s);

    left->parent = right->parent = parent->number;
    close_shard(parent, left->number, right->number, now_ms);
    return left;
}

static struct shard *
merge(struct stream *s, struct shard *a, struct shard *b, int64_t now_ms)
{
    uint64_t after_a = later_second(a, now_ms);
    uint64_t after_b = later_second(b, now_ms);
    struct shard *low = a->start < b->start ? a : b;
    struct shard *high = low == a ? b : a;
    struct shard *child =
        add_shard(s, low->start, high->end, now_ms, after_a > after_b ? after_a : after_b);

    child->parent = a->number;
    child->adjacent = b->number;
    close_shard(a, child->number, STREAM_NONE, now_ms);
    close_shard(b, child->number, STREAM_NONE, now_ms);
    return child;
}

/* Uniform scaling as AWS does it: split at every target bound that is not one yet, then merge what
 * lies between two target bounds.  Leaves short-lived shards behind. */
static void
resize(struct stream *s, uint32_t n, int64_t now_ms)
{
    for (uint32_t k = 1; k < n; k++) {
        uint128 bound = hashkey_bound(k, n);
        struct shard *sh = stream_route(s, bound);

        if (sh->start != bound) {
            (void)split(s, sh, bound, now_ms);
            index_open(s);
        }
    }
    for (uint32_t k = 0; k < n; k++) {
        uint128 end = k + 1 == n ? HASHKEY_MAX : hashkey_bound(k + 1, n) - 1;
        struct shard *sh = stream_route(s, hashkey_bound(k, n));

        while (sh->end != end) {
            sh = merge(s, sh, stream_route(s, sh->end + 1), now_ms);
            index_open(s);
        }
    }
}

bool
stream_advance(struct stream *s, int64_t now_ms)
{
    enum stream_change change = s->change;

    if (change == CHANGE_NONE || now_ms < s->due_ms)
        return true;
    s->change = CHANGE_NONE;
    s->status = STREAM_ACTIVE;
    switch (change) {
    case CHANGE_DELETE:
        return false;
    case CHANGE_SPLIT:
        (void)split(s, s->shards[s->change_shard], s->change_hash, now_ms);
        break;
    case CHANGE_MERGE:
        (void)merge(s, s->shards[s->change_shard], s->shards[s->change_adjacent], now_ms);
        break;
    case CHANGE_RESIZE:
        resize(s, s->change_count, now_ms);
        break;
    case CHANGE_NONE:
    case CHANGE_CREATE:
    case CHANGE_SETTING:
        return true;
    }
    index_open(s);
    return true;
}

size_t
stream_sequence(const struct shard *sh, uint64_t index, int64_t arrival_ms, char *out)
{
    /* Index 0 is the range's start, in front of the first record. */
    struct sequence q = {
        .created_s = sh->created_s,
        .index = index + 1,
        .time_s = (uint64_t)arrival_ms / 1000,
        .shard = sh->number,
    };

    return sequence_format(&q, out);
}

size_t
stream_sequence_start(const struct shard *sh, char *out)
{
    struct sequence q = {.created_s = sh->created_s, .time_s = sh->created_s, .shard = sh->number};

    return sequence_format(&q, out);
}

size_t
stream_sequence_end(const struct shard *sh, char *out)
{
    struct sequence q = {
        .created_s = sh->created_s,
        .index = SEQUENCE_INDEX_END,
        .time_s = (uint64_t)sh->closed_ms / 1000,
        .shard = sh->number,
    };

    return sequence_format(&q, out);
}

void
stream_set_rates(struct stream *s, int64_t records_per_s, int64_t bytes_per_s)
{
    s->limits.shard_records_per_s = records_per_s;
    s->limits.shard_bytes_per_s = bytes_per_s;
    for (uint32_t i = 0; i < s->shard_count; i++) {
        bucket_set_rate(&s->shards[i]->records, records_per_s);
        bucket_set_rate(&s->shards[i]->bytes, bytes_per_s);
    }
}
