/* GetShardIterator and GetRecords. */
#include "tests/kinesisd/api.h"

#include "common/err.h"
#include "tests/kinesisd/base64.h"

#include <time.h>

#define LIMIT_DEFAULT 10000
#define ANSWER_MAX    ((size_t)10 * 1024 * 1024)

static const char *const iterator_types[] = {
    "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "AT_TIMESTAMP", "TRIM_HORIZON", NULL};

/* number = index of the next record, number2 = shard. */
static void
write_iterator(const struct service *svc, const struct stream *s, const struct shard *sh,
               uint64_t index, char *out)
{
    struct api_token t = {
        .kind = 'I', .issued_ms = svc->now_ms, .number = index, .number2 = sh->number};

    (void)snprintf(t.stream, sizeof(t.stream), "%s", s->name);
    api_token_write(svc, &t, out);
}

/* Where AT_ and AFTER_SEQUENCE_NUMBER begin. */
static bool
index_of_sequence(struct call *c, const struct stream *s, const struct shard *sh, const char *text,
                  bool is_after, uint64_t *index)
{
    struct sequence q;
    char encoded[STREAM_SHARD_ID_MAX];

    if (sequence_parse(text, strlen(text), &q) != 0) {
        call_refuse(c, "InvalidArgumentException",
                    "StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s "
                    "under account %s is invalid.",
                    text, sh->id, s->name, c->svc->account.id);
        return false;
    }
    if (q.shard != sh->number) {
        stream_shard_id(q.shard, encoded);
        call_refuse(c, "InvalidArgumentException",
                    "Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to "
                    "a shard with %s",
                    encoded, sh->id);
        return false;
    }
    if (q.created_s != sh->created_s) {
        call_refuse(c, "InvalidArgumentException",
                    "StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s "
                    "under account %s is invalid because it did not come from this stream.",
                    text, sh->id, s->name, c->svc->account.id);
        return false;
    }
    /* A sequence index is the log index plus one; 0 is the start of the range. */
    *index = q.index == 0 ? 0 : is_after ? q.index : q.index - 1;
    return true;
}

static bool
place_iterator(struct call *c, const struct stream *s, const struct shard *sh, const char *type,
               uint64_t *index)
{
    const char *sequence = call_string(c, "StartingSequenceNumber", false);
    bool by_sequence = strstr(type, "SEQUENCE_NUMBER") != NULL;
    bool by_time = strcmp(type, "AT_TIMESTAMP") == 0;
    double seconds = 0;
    bool has_time = call_number(c, "Timestamp", &seconds);

    if (c->is_refused)
        return false;
    if (by_sequence != (sequence != NULL)) {
        call_refuse(c, "InvalidArgumentException",
                    "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and "
                    "StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no "
                    "StartingSequenceNumber. Request specified %s and %s StartingSequenceNumber.",
                    type, sequence != NULL ? "also a" : "no");
        return false;
    }
    if (by_time && !has_time) {
        call_refuse(c, "InvalidArgumentException",
                    "Must specify timestamp parameter for iterator of type AT_TIMESTAMP.");
        return false;
    }
    if (by_sequence)
        return index_of_sequence(c, s, sh, sequence, type[1] == 'F', index);
    *index = sh->log.first;
    if (by_time)
        *index = shardlog_find_time(&sh->log, (int64_t)(seconds * 1000));
    else if (strcmp(type, "LATEST") == 0)
        *index = sh->log.next;
    return true;
}

void
api_get_shard_iterator(struct call *c)
{
    const char *id = call_string(c, "ShardId", true);
    const char *type = call_choice(c, "ShardIteratorType", true, iterator_types);
    bool dry_run = call_bool(c, "DryRun");
    char text[API_TOKEN_TEXT_MAX];
    struct stream *s;
    struct shard *sh;
    uint64_t index;

    if (!call_is_valid(c))
        return;
    s = call_stream(c);
    if (s == NULL)
        return;
    sh = stream_find_shard(s, id);
    if (sh == NULL) {
        call_refuse(c, "ResourceNotFoundException",
                    "Shard %s in stream %s under account %s does not exist", id, s->name,
                    c->svc->account.id);
        return;
    }
    if (!place_iterator(c, s, sh, type, &index) || call_is_dry_run(c, dry_run))
        return;
    write_iterator(c->svc, s, sh, index, text);
    call_answer(c, json_pack("{s:s}", "ShardIterator", text));
}

/* ---- GetRecords ---- */

static void
refuse_expired(struct call *c, int64_t issued_ms)
{
    char issued[64];
    char now[64];
    time_t then_s = issued_ms / 1000;
    time_t now_s = c->svc->now_ms / 1000;
    struct tm tm;

    (void)strftime(issued, sizeof(issued), "%a %b %d %H:%M:%S UTC %Y", gmtime_r(&then_s, &tm));
    (void)strftime(now, sizeof(now), "%a %b %d %H:%M:%S UTC %Y", gmtime_r(&now_s, &tm));
    call_refuse(c, "ExpiredIteratorException",
                "Iterator expired. The iterator was created at time %s while right now it is %s "
                "which is further in the future than the tolerated delay of %lld milliseconds.",
                issued, now, (long long)c->svc->iterator_ms);
}

/* The shard an iterator points into; NULL and refused when it does not. */
static struct shard *
follow_iterator(struct call *c, const char *text, struct stream **s, uint64_t *index)
{
    struct api_token t;

    if (api_token_read(c->svc, text, 'I', &t) != 0) {
        call_refuse(c, "InvalidArgumentException", "Invalid ShardIterator.");
        return NULL;
    }
    if (c->svc->now_ms - t.issued_ms > c->svc->iterator_ms) {
        refuse_expired(c, t.issued_ms);
        return NULL;
    }
    *s = account_find(&c->svc->account, t.stream);
    if (*s == NULL || t.number2 >= (*s)->shard_count || !stream_is_usable(*s)) {
        call_refuse(c, "ResourceNotFoundException",
                    "Shard shardId-%012llu in stream %s under account %s does not exist",
                    (unsigned long long)t.number2, t.stream, c->svc->account.id);
        return NULL;
    }
    *index = t.number;
    return (*s)->shards[t.number2];
}

static void
write_record(struct bytes *to, const struct shard *sh, const struct shardlog_record *r)
{
    size_t room = 200 + SEQUENCE_TEXT_SIZE + BASE64_SIZE((size_t)r->data_len);

    (void)bytes_reserve(to, room);
    bytes_puts(to, "{\"SequenceNumber\":\"");
    to->len += stream_sequence(sh, r->index, r->arrival_ms, to->data + to->len);
    bytes_printf(to, "\",\"ApproximateArrivalTimestamp\":%lld.%03d,\"Data\":\"",
                 (long long)(r->arrival_ms / 1000), (int)(r->arrival_ms % 1000));
    (void)bytes_reserve(to, BASE64_SIZE((size_t)r->data_len));
    to->len += base64_encode(r->data, r->data_len, to->data + to->len);
    bytes_puts(to, "\",\"PartitionKey\":\"");
    bytes_json(to, r->key, r->key_len);
    bytes_puts(to, "\"}");
}

/* Writes the records; returns the index after the last one.  *size is the raw bytes given. */
static uint64_t
write_records(struct call *c, const struct shard *sh, uint64_t index, uint64_t limit, size_t *size,
              int64_t *last_ms)
{
    struct bytes *to = &c->svc->body;
    struct shardlog_cursor at;
    struct shardlog_record r;
    uint64_t given = 0;

    *size = 0;
    shardlog_seek(&sh->log, index, &at);
    index = at.index;
    while (given < limit && shardlog_read(&sh->log, &at, &r)) {
        if (given > 0 && *size + r.data_len + r.key_len > ANSWER_MAX)
            break;
        if (given > 0)
            bytes_add(to, ",", 1);
        write_record(to, sh, &r);
        *size += (size_t)r.data_len + r.key_len;
        *last_ms = r.arrival_ms;
        index = r.index + 1;
        given++;
    }
    c->svc->counters.read_records += given;
    return index;
}

static void
write_children(struct bytes *to, const struct stream *s, const struct shard *sh)
{
    uint32_t children[2] = {sh->child, sh->child2};

    bytes_puts(to, ",\"ChildShards\":[");
    for (unsigned i = 0; i < 2 && children[i] != STREAM_NONE; i++) {
        const struct shard *child = s->shards[children[i]];
        char start[HASHKEY_TEXT_SIZE];
        char end[HASHKEY_TEXT_SIZE];

        (void)hashkey_format(child->start, start);
        (void)hashkey_format(child->end, end);
        bytes_printf(to, "%s{\"ShardId\":\"%s\",\"ParentShards\":[\"%s\"", i > 0 ? "," : "",
                     child->id, s->shards[child->parent]->id);
        if (child->adjacent != STREAM_NONE)
            bytes_printf(to, ",\"%s\"", s->shards[child->adjacent]->id);
        bytes_printf(to,
                     "],\"HashKeyRange\":{\"StartingHashKey\":\"%s\",\"EndingHashKey\":\"%s\"}}",
                     start, end);
    }
    bytes_puts(to, "]");
}

static bool
read_admitted(struct call *c, const struct stream *s, struct shard *sh)
{
    struct service *svc = c->svc;

    if (!svc->throttles_reads)
        return true;
    if (bucket_admits(&sh->read_calls, 1, svc->now_ns) &&
        bucket_admits(&sh->read_bytes, 1, svc->now_ns)) {
        bucket_take(&sh->read_calls, 1);
        return true;
    }
    call_refuse(c, "ProvisionedThroughputExceededException",
                "Rate exceeded for shard %s in stream %s under account %s.", sh->id, s->name,
                svc->account.id);
    return false;
}

void
api_get_records(struct call *c)
{
    struct service *svc = c->svc;
    const char *iterator = call_string(c, "ShardIterator", true);
    bool dry_run = call_bool(c, "DryRun");
    json_int_t limit = LIMIT_DEFAULT;
    char next[API_TOKEN_TEXT_MAX];
    int64_t last_ms = svc->now_ms;
    struct stream *s;
    struct shard *sh;
    uint64_t index;
    size_t size;

    (void)call_integer(c, "Limit", false, 1, LIMIT_DEFAULT, &limit);
    if (!call_is_valid(c))
        return;
    sh = follow_iterator(c, iterator, &s, &index);
    if (sh == NULL || call_is_dry_run(c, dry_run) || !read_admitted(c, s, sh))
        return;
    svc->body.len = 0;
    bytes_puts(&svc->body, "{\"Records\":[");
    index = write_records(c, sh, index, (uint64_t)limit, &size, &last_ms);
    if (svc->throttles_reads)
        bucket_take(&sh->read_bytes, (int64_t)size);
    bytes_puts(&svc->body, "]");
    if (sh->is_closed && index == sh->log.next) {
        write_children(&svc->body, s, sh);
    } else {
        write_iterator(svc, s, sh, index, next);
        bytes_printf(&svc->body, ",\"NextShardIterator\":\"%s\"", next);
    }
    bytes_printf(&svc->body, ",\"MillisBehindLatest\":%lld}",
                 index == sh->log.next ? 0LL : (long long)(svc->now_ms - last_ms));
}
