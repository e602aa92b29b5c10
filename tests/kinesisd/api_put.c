/* PutRecord and PutRecords: the hot path, from parsed body to written answer without a tree. */
#include "tests/kinesisd/api.h"

#include "common/clock.h"
#include "common/err.h"
#include "tests/kinesisd/digest.h"
#include "tests/kinesisd/history.h"

#define RECORDS_MAX   500
#define REQUEST_MAX   ((size_t)10 * 1024 * 1024)
#define DATA_MAX      ((size_t)10 * 1024 * 1024)
#define KEY_CHARS_MAX 256
#define MESSAGE_MAX   (512 + HOSTILE_TEXT_MAX)

/* PutRecord is metered in whole kilobytes. */
#define METER_UNIT 1024

#define THROTTLED "ProvisionedThroughputExceededException"

/* What became of one record. */
struct outcome {
    const struct shard *shard;
    const char *error; /* NULL = accepted and told so */
    const char *message;
    uint64_t index;
};

/* ---- validation ---- */

static bool
matches_hash_pattern(const struct jsonscan_text *t)
{
    if (t->len == 0 || t->len > 39 || (t->data[0] == '0' && t->len > 1))
        return false;
    for (size_t i = 0; i < t->len; i++) {
        if (t->data[i] < '0' || t->data[i] > '9')
            return false;
    }
    return true;
}

static void
text_violation(struct call *c, const char *member, const struct jsonscan_text *t, const char *rule)
{
    struct bytes value = {0};

    bytes_add(&value, t->data, t->len);
    bytes_add(&value, "", 1);
    call_violation(c, member, value.data, rule);
    bytes_free(&value);
}

static void
data_violation(struct call *c, const char *prefix, size_t len, size_t limit)
{
    char member[80];
    char value[96];
    char rule[96];

    (void)snprintf(member, sizeof(member), "%sdata", prefix);
    (void)snprintf(value, sizeof(value), "java.nio.HeapByteBuffer[pos=0 lim=%zu cap=%zu]", len,
                   len);
    (void)snprintf(rule, sizeof(rule), "Member must have length less than or equal to %zu", limit);
    call_violation(c, member, value, rule);
}

/* The constraints that hold for every stream.  prefix is "" or "records.N.member.". */
static void
check_record(struct call *c, const char *prefix, const struct putbody_record *r)
{
    char member[80];

    if (r->data.data == NULL) {
        (void)snprintf(member, sizeof(member), "%sdata", prefix);
        call_violation(c, member, NULL, "Member must not be null");
    } else if (r->data.len > DATA_MAX) {
        data_violation(c, prefix, r->data.len, DATA_MAX);
    }
    (void)snprintf(member, sizeof(member), "%spartitionKey", prefix);
    if (r->key.data == NULL)
        call_violation(c, member, NULL, "Member must not be null");
    else if (r->key.chars < 1)
        text_violation(c, member, &r->key, "Member must have length greater than or equal to 1");
    else if (r->key.chars > KEY_CHARS_MAX)
        text_violation(c, member, &r->key, "Member must have length less than or equal to 256");
    (void)snprintf(member, sizeof(member), "%sexplicitHashKey", prefix);
    if (r->explicit_hash.data != NULL && !matches_hash_pattern(&r->explicit_hash))
        text_violation(c, member, &r->explicit_hash,
                       "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})");
}

/* AWS prints the whole list when it is too long. */
static void
too_many(struct call *c, const struct putbody *p)
{
    struct bytes value = {0};

    bytes_puts(&value, "[");
    for (size_t i = 0; i < PUTBODY_RECORDS; i++) {
        const struct putbody_record *r = &p->records[i];
        bool has_hash = r->explicit_hash.data != NULL;

        bytes_printf(
            &value,
            "%sPutRecordsRequestEntry(data=java.nio.HeapByteBuffer[pos=0 lim=%zu cap=%zu], "
            "explicitHashKey=%.*s, partitionKey=%.*s)",
            i == 0 ? "" : ", ", r->data.len, r->data.len, has_hash ? (int)r->explicit_hash.len : 4,
            has_hash ? r->explicit_hash.data : "null", r->key.data == NULL ? 4 : (int)r->key.len,
            r->key.data == NULL ? "null" : r->key.data);
    }
    bytes_add(&value, p->count > PUTBODY_RECORDS ? ", ...]" : "]",
              p->count > PUTBODY_RECORDS ? 6 : 1);
    bytes_add(&value, "", 1);
    call_violation(c, "records", value.data, "Member must have length less than or equal to 500");
    bytes_free(&value);
}

static bool
check_records(struct call *c, const struct putbody *p)
{
    char prefix[48];

    if (!p->has_records)
        call_violation(c, "records", NULL, "Member must not be null");
    else if (p->count == 0)
        call_violation(c, "records", "[]", "Member must have length greater than or equal to 1");
    else if (p->count > RECORDS_MAX)
        too_many(c, p);
    for (size_t i = 0; i < p->count && i < RECORDS_MAX; i++) {
        const struct putbody_record *r = &p->records[i];

        /* The common case without a look at each constraint's name. */
        if (r->data.data != NULL && r->data.len <= DATA_MAX && r->key.chars >= 1 &&
            r->key.chars <= KEY_CHARS_MAX && r->explicit_hash.data == NULL)
            continue;
        (void)snprintf(prefix, sizeof(prefix), "records.%zu.member.", i + 1);
        check_record(c, prefix, r);
    }
    return call_is_valid(c);
}

/* Refuses a record that is larger than this stream takes.  place counts from 1; 0 = PutRecord. */
static bool
check_size(struct call *c, const struct stream *s, size_t place, const struct putbody_record *r)
{
    size_t limit = (size_t)s->max_record_kib * 1024;
    char prefix[48] = "";

    if (r->data.len + r->key.len <= limit)
        return true;
    if (place > 0)
        (void)snprintf(prefix, sizeof(prefix), "records.%zu.member.", place);
    if (r->data.len > limit) {
        data_violation(c, prefix, r->data.len, limit);
        return call_is_valid(c);
    }
    call_refuse(
        c, "InvalidArgumentException",
        "Record size %zu (data and partition key) exceeds the maximum record size of %u KiB "
        "of stream %s under account %s.",
        r->data.len + r->key.len, s->max_record_kib, s->name, c->svc->account.id);
    return false;
}

/* ---- routing and storing ---- */

/* The hash the record is routed by; false and refused when ExplicitHashKey is out of range. */
static bool
hash_of(struct call *c, const struct putbody_record *r, uint128 *out)
{
    if (r->explicit_hash.data == NULL) {
        *out = hashkey_of(c->svc->digest, r->key.data, r->key.len);
        return true;
    }
    if (hashkey_parse(r->explicit_hash.data, r->explicit_hash.len, out) == 0)
        return true;
    call_refuse(c, "InvalidArgumentException",
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "
                "Specified value was %.*s",
                (int)r->explicit_hash.len, r->explicit_hash.data);
    return false;
}

static bool
admits(struct service *svc, struct shard *sh, int64_t size)
{
    if (!svc->throttles_writes)
        return true;
    if (!bucket_admits(&sh->records, 1, svc->now_ns) ||
        !bucket_admits(&sh->bytes, size, svc->now_ns)) {
        sh->throttled++;
        svc->counters.throttled++;
        return false;
    }
    bucket_take(&sh->records, 1);
    bucket_take(&sh->bytes, size);
    return true;
}

static uint64_t
store(struct service *svc, struct stream *s, struct shard *sh, const struct putbody_record *r)
{
    uint64_t index = shardlog_append(&sh->log, svc->now_ms, r->key.data, (uint32_t)r->key.len,
                                     r->data.data, (uint32_t)r->data.len);

    svc->counters.records++;
    svc->counters.bytes += r->data.len + r->key.len;
    if (svc->history != NULL) {
        char sequence[SEQUENCE_TEXT_SIZE];
        struct history_line line = {
            .stream = s->name,
            .shard = sh->id,
            .sequence = sequence,
            .key = r->key.data,
            .key_len = r->key.len,
            .data = r->data.data,
            .data_len = r->data.len,
        };

        (void)stream_sequence(sh, index, svc->now_ms, sequence);
        history_add(svc->history, &line);
    }
    return index;
}

/* Applies the rule of the day, the shard's limits, and stores. */
static void
put_one(struct call *c, struct stream *s, struct shard *sh, const struct putbody_record *r,
        size_t i, size_t n, int64_t metered, struct outcome *out)
{
    struct service *svc = c->svc;
    const struct hostile_rule *rule = c->verdict.records;
    const struct hostile_record of = {i, n, sh->number, r->key.data, r->key.len};
    bool is_injected = rule != NULL && hostile_fails(&svc->hostile, rule, &of);

    *out = (struct outcome){.shard = sh};
    if (is_injected) {
        svc->counters.injected++;
        out->error = rule->code[0] == '\0' ? THROTTLED : rule->code;
        out->message = rule->message[0] == '\0' ? NULL : rule->message;
        if (!rule->is_committed)
            return;
    } else if (!admits(svc, sh, metered)) {
        out->error = THROTTLED;
        return;
    }
    out->index = store(svc, s, sh, r);
}

/* AWS's text for the two codes it documents for single records. */
static int
error_message(struct call *c, const struct stream *s, const struct outcome *o, char *out,
              size_t size)
{
    if (o->message != NULL)
        return snprintf(out, size, "%s", o->message);
    if (strcmp(o->error, THROTTLED) == 0)
        return snprintf(out, size, "Rate exceeded for shard %s in stream %s under account %s.",
                        o->shard->id, s->name, c->svc->account.id);
    return snprintf(out, size, "Internal service failure.");
}

/* ---- answers ---- */

static char *
put_text(char *to, const char *text, size_t len)
{
    (void)memcpy(to, text, len);
    return to + len;
}

#define PUT_LITERAL(to, text) put_text((to), (text), sizeof(text) - 1)

static void
write_outcome(struct call *c, const struct stream *s, const struct outcome *o)
{
    struct bytes *to = &c->svc->body;
    char message[MESSAGE_MAX];
    char *at;

    if (o->error != NULL) {
        int n = error_message(c, s, o, message, sizeof(message));

        bytes_puts(to, "{\"ErrorCode\":\"");
        bytes_puts(to, o->error);
        bytes_puts(to, "\",\"ErrorMessage\":\"");
        bytes_json(to, message, (size_t)n < sizeof(message) ? (size_t)n : sizeof(message) - 1);
        bytes_puts(to, "\"}");
        return;
    }
    at = bytes_reserve(to, 64 + SEQUENCE_TEXT_SIZE + STREAM_SHARD_ID_MAX);
    at = PUT_LITERAL(at, "{\"SequenceNumber\":\"");
    at += stream_sequence(o->shard, o->index, c->svc->now_ms, at);
    at = PUT_LITERAL(at, "\",\"ShardId\":\"");
    at = put_text(at, o->shard->id, STREAM_SHARD_ID_MAX - 1);
    at = PUT_LITERAL(at, "\"}");
    to->len = (size_t)(at - to->data);
}

static void
write_outcomes(struct call *c, const struct stream *s, const struct outcome *all, size_t n)
{
    struct bytes *to = &c->svc->body;
    int64_t shown = (int64_t)n + c->verdict.count_change;
    int64_t failed = 0;

    for (size_t i = 0; i < n; i++)
        failed += all[i].error != NULL;
    if (c->verdict.lies)
        failed = c->verdict.lie;
    to->len = 0;
    bytes_printf(to, "{\"FailedRecordCount\":%lld,\"Records\":[", (long long)failed);
    for (int64_t i = 0; i < shown; i++) {
        if (i > 0)
            bytes_add(to, ",", 1);
        /* Entries too many repeat the last one. */
        write_outcome(c, s, &all[i < (int64_t)n ? (size_t)i : n - 1]);
    }
    bytes_puts(to, "]}");
}

/* ---- the two calls ---- */

/* A terminated copy of a stream selector, NULL when absent; longer ones cannot name a stream. */
static const char *
selector(const struct jsonscan_text *t, char *out, size_t size)
{
    if (t->data == NULL)
        return NULL;
    (void)snprintf(out, size, "%.*s", (int)(t->len < size ? t->len : size - 1), t->data);
    return out;
}

static struct stream *
select_stream(struct call *c, const struct putbody *p)
{
    char name[STREAM_NAME_MAX + 2];
    char arn[STREAM_ARN_MAX];
    struct stream *s = call_select(c, selector(&p->stream_name, name, sizeof(name)),
                                   selector(&p->stream_arn, arn, sizeof(arn)));

    if (s == NULL)
        return NULL;
    if (!stream_is_usable(s)) {
        /* As AWS: a stream that is not there yet, or not any more, is not found. */
        call_refuse(c, "ResourceNotFoundException", "Stream %s under account %s not found.",
                    s->name, c->svc->account.id);
        return NULL;
    }
    return s;
}

/* A record that the service says it will never take. */
static bool
check_poison(struct call *c, const struct putbody_record *r)
{
    const struct hostile_rule *rule = c->verdict.poison;

    if (rule == NULL || memmem(r->data.data, r->data.len, rule->holds, strlen(rule->holds)) == NULL)
        return true;
    call_refuse(c, "ValidationException", "%s",
                rule->message[0] == '\0' ? "1 validation error detected" : rule->message);
    return false;
}

/* Everything that refuses the whole call is looked at before anything is stored. */
static bool
prepare(struct call *c, const struct stream *s, const struct putbody *p, struct shard **to)
{
    size_t total = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct putbody_record *r = &p->records[i];
        uint128 hash;

        if (!check_size(c, s, i + 1, r) || !hash_of(c, r, &hash) || !check_poison(c, r))
            return false;
        to[i] = stream_route(s, hash);
        total += r->data.len + r->key.len;
    }
    if (total > REQUEST_MAX) {
        call_refuse(c, "InvalidArgumentException", "Records size exceeds 10 MB limit");
        return false;
    }
    return true;
}

void
api_put_records(struct call *c)
{
    struct putbody *p = &c->svc->put;
    struct shard *to[RECORDS_MAX];
    struct outcome outcomes[RECORDS_MAX];
    struct stream *s;

    c->svc->counters.put_requests++;
    if (!check_records(c, p))
        return;
    s = select_stream(c, p);
    if (s == NULL || !prepare(c, s, p, to) || call_is_dry_run(c, p->dry_run))
        return;
    for (size_t i = 0; i < p->count; i++) {
        const struct putbody_record *r = &p->records[i];

        put_one(c, s, to[i], r, i, p->count, (int64_t)(r->data.len + r->key.len), &outcomes[i]);
    }
    write_outcomes(c, s, outcomes, p->count);
}

/* A number that cannot have come from this stream's past. */
static bool
check_ordering(struct call *c, const struct stream *s, const struct shard *sh)
{
    const struct jsonscan_text *t = &c->svc->put.sequence_for_ordering;
    struct sequence q;

    if (t->data == NULL)
        return true;
    if (sequence_parse(t->data, t->len, &q) == 0 && q.time_s <= (uint64_t)c->svc->now_ms / 1000 &&
        (q.shard != sh->number || q.index <= sh->log.next))
        return true;
    call_refuse(c, "InvalidArgumentException",
                "ExclusiveMinimumSequenceNumber %.*s used in PutRecord on stream %s under account "
                "%s is invalid.",
                (int)t->len, t->data, s->name, c->svc->account.id);
    return false;
}

void
api_put_record(struct call *c)
{
    struct putbody *p = &c->svc->put;
    const struct putbody_record *r = &p->single;
    struct bytes *to = &c->svc->body;
    char sequence[SEQUENCE_TEXT_SIZE];
    char message[MESSAGE_MAX];
    struct outcome o;
    struct stream *s;
    struct shard *sh;
    uint128 hash;
    size_t metered;

    check_record(c, "", r);
    if (!call_is_valid(c))
        return;
    s = select_stream(c, p);
    if (s == NULL || !check_size(c, s, 0, r) || !hash_of(c, r, &hash))
        return;
    sh = stream_route(s, hash);
    if (!check_ordering(c, s, sh) || call_is_dry_run(c, p->dry_run))
        return;
    metered = (r->data.len + r->key.len + METER_UNIT - 1) / METER_UNIT * METER_UNIT;
    put_one(c, s, sh, r, 0, 1, (int64_t)metered, &o);
    if (o.error != NULL) {
        (void)error_message(c, s, &o, message, sizeof(message));
        call_fail(c, strcmp(o.error, THROTTLED) == 0 ? 400 : 500, o.error, "%s", message);
        return;
    }
    (void)stream_sequence(sh, o.index, c->svc->now_ms, sequence);
    to->len = 0;
    bytes_printf(to, "{\"SequenceNumber\":\"%s\",\"ShardId\":\"%s\"}", sequence, sh->id);
}
