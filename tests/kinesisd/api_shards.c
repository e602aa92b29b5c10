/* ListShards, SplitShard, MergeShards, UpdateShardCount. */
#include "tests/kinesisd/api.h"

#include "common/err.h"

#define RESULTS_MAX   10000
#define RESULTS_USUAL 1000
#define DAY_MS        (24LL * 3600 * 1000)
#define SHARDS_MAX    10000

enum filter {
    FROM_TRIM_HORIZON,
    AT_TRIM_HORIZON,
    AT_LATEST,
    AT_TIMESTAMP,
    FROM_TIMESTAMP,
    AFTER_SHARD_ID
};

static const char *const filter_names[] = {
    "FROM_TRIM_HORIZON", "AT_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP",
    "FROM_TIMESTAMP",    "AFTER_SHARD_ID",  NULL};

/* What a listing shows, and from where. */
struct listing {
    enum filter filter;
    int64_t time_ms;
    uint32_t from; /* first shard number to show */
    uint32_t max;
};

/* A shard whose records are all past retention; an open one never is. */
static bool
is_trimmed(const struct shard *sh)
{
    return sh->is_closed && sh->log.first > 0 && sh->log.first == sh->log.next;
}

static bool
is_shown(const struct listing *l, const struct shard *sh)
{
    bool was_open;

    if (sh->number < l->from || is_trimmed(sh))
        return false;
    was_open = sh->opened_ms <= l->time_ms && (!sh->is_closed || sh->closed_ms > l->time_ms);
    switch (l->filter) {
    case FROM_TRIM_HORIZON:
    case AFTER_SHARD_ID:
        return true;
    case AT_TRIM_HORIZON:
        /* Nothing older than the process has been forgotten: the horizon is the first layout. */
        return sh->parent == STREAM_NONE;
    case AT_LATEST:
        return !sh->is_closed;
    case AT_TIMESTAMP:
        return was_open;
    case FROM_TIMESTAMP:
        return was_open || sh->opened_ms > l->time_ms;
    }
    return false;
}

static void
answer_listing(struct call *c, const struct stream *s, const struct listing *l)
{
    json_t *shards = json_array();
    json_t *answer = json_pack("{s:o}", "Shards", shards);
    struct api_token t = {.kind = 'S', .issued_ms = c->svc->now_ms};
    char text[API_TOKEN_TEXT_MAX];

    for (uint32_t i = l->from; i < s->shard_count; i++) {
        if (!is_shown(l, s->shards[i]))
            continue;
        if (json_array_size(shards) == l->max) {
            /* The time of a filter by time rides in the token's second number. */
            t.number = i;
            t.number2 = (uint64_t)l->filter << 60 | (uint64_t)l->time_ms << 14 | l->max;
            (void)snprintf(t.stream, sizeof(t.stream), "%s", s->name);
            api_token_write(c->svc, &t, text);
            (void)json_object_set_new(answer, "NextToken", json_string(text));
            break;
        }
        (void)json_array_append_new(shards, api_shard_json(s->shards[i]));
    }
    call_answer(c, answer);
}

static void
continue_listing(struct call *c, const char *token, bool has_max, json_int_t max)
{
    struct api_token t;
    struct listing l;
    const struct stream *s;

    if (api_token_read(c->svc, token, 'S', &t) != 0) {
        call_refuse(c, "InvalidArgumentException", "Invalid NextToken.");
        return;
    }
    if (c->svc->now_ms - t.issued_ms > c->svc->token_ms) {
        call_refuse(c, "ExpiredNextTokenException",
                    "The NextToken has expired: it was created %lld milliseconds ago and is valid "
                    "for %lld milliseconds.",
                    (long long)(c->svc->now_ms - t.issued_ms), (long long)c->svc->token_ms);
        return;
    }
    s = account_find(&c->svc->account, t.stream);
    if (s == NULL) {
        call_refuse(c, "ResourceNotFoundException", "Stream %s under account %s not found.",
                    t.stream, c->svc->account.id);
        return;
    }
    l.filter = (enum filter)(t.number2 >> 60);
    l.time_ms = (int64_t)(t.number2 >> 14 & ((1ULL << 46) - 1));
    l.max = has_max ? (uint32_t)max : (uint32_t)(t.number2 & 0x3fff);
    l.from = (uint32_t)t.number;
    answer_listing(c, s, &l);
}

/* Reads ShardFilter into l; refuses what does not fit together. */
static bool
read_filter(struct call *c, const struct stream *s, struct listing *l)
{
    json_t *filter = call_object(c, "ShardFilter");
    json_t *outer = c->args;
    const char *type;
    const char *id;
    double seconds = 0;
    bool has_time;

    if (filter == NULL)
        return !c->is_refused;
    c->args = filter;
    type = call_choice(c, "Type", true, filter_names);
    id = call_string(c, "ShardId", false);
    has_time = call_number(c, "Timestamp", &seconds);
    c->args = outer;
    if (!call_is_valid(c))
        return false;
    while (strcmp(filter_names[l->filter], type) != 0)
        l->filter++;
    if ((l->filter == AFTER_SHARD_ID) != (id != NULL)) {
        call_refuse(c, "InvalidArgumentException",
                    "ShardId must be specified in ShardFilter exactly when its Type is "
                    "AFTER_SHARD_ID.");
        return false;
    }
    if ((l->filter == AT_TIMESTAMP || l->filter == FROM_TIMESTAMP) != has_time) {
        call_refuse(c, "InvalidArgumentException",
                    "Timestamp must be specified in ShardFilter exactly when its Type is "
                    "AT_TIMESTAMP or FROM_TIMESTAMP.");
        return false;
    }
    l->time_ms = (int64_t)(seconds * 1000);
    if (id != NULL) {
        const struct shard *sh = call_shard(c, s, id);

        if (sh == NULL)
            return false;
        l->from = sh->number + 1;
    }
    return true;
}

void
api_list_shards(struct call *c)
{
    const char *token = call_string(c, "NextToken", false);
    const char *after = call_string(c, "ExclusiveStartShardId", false);
    const char *name = call_string(c, "StreamName", false);
    const char *arn = call_string(c, "StreamARN", false);
    struct listing l = {.filter = FROM_TRIM_HORIZON, .max = RESULTS_USUAL};
    json_int_t max = RESULTS_USUAL;
    bool has_max = call_integer(c, "MaxResults", false, 1, RESULTS_MAX, &max);
    const struct shard *sh;
    const struct stream *s;

    if (!call_is_valid(c))
        return;
    /* The cap of an answer is 1000 whatever is asked for. */
    max = max > RESULTS_USUAL ? RESULTS_USUAL : max;
    if (token != NULL && (name != NULL || after != NULL)) {
        call_refuse(c, "InvalidArgumentException", "NextToken and %s cannot be provided together.",
                    name != NULL ? "StreamName" : "ExclusiveStartShardId");
        return;
    }
    if (token != NULL) {
        continue_listing(c, token, has_max, max);
        return;
    }
    s = call_select(c, name, arn);
    if (s == NULL || !read_filter(c, s, &l))
        return;
    l.max = (uint32_t)max;
    if (after != NULL) {
        sh = call_shard(c, s, after);
        if (sh == NULL)
            return;
        l.from = sh->number + 1;
    }
    answer_listing(c, s, &l);
}

/* ---- resharding ---- */

static bool
check_shard_limit(struct call *c, uint32_t more)
{
    const struct service *svc = c->svc;
    uint32_t now = account_open_shards(&svc->account);

    if (now + more <= svc->shard_limit)
        return true;
    call_refuse(c, "LimitExceededException",
                "This request would exceed the shard limit for the account %s in %s. Current shard "
                "count for the account: %u. Limit: %u. Number of additional shards that would have "
                "resulted from this request: %u. Refer to the AWS Service Limits page "
                "(http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for "
                "current limits and how to request higher limits.",
                svc->account.id, svc->account.region, now, svc->shard_limit, more);
    return false;
}

static bool
needs_provisioned(struct call *c, const struct stream *s, const char *operation)
{
    if (!s->is_on_demand)
        return true;
    call_refuse(c, "ValidationException",
                "Request is invalid. %s is not supported on stream %s under account %s with stream "
                "mode ON_DEMAND.",
                operation, s->name, c->svc->account.id);
    return false;
}

static void
begin(struct call *c, struct stream *s, enum stream_change change)
{
    stream_begin(s, change, c->svc->now_ms + c->svc->account.state_delay_ms);
    (void)stream_advance(s, c->svc->now_ms);
    c->svc->body.len = 0;
}

void
api_split_shard(struct call *c)
{
    const char *id = call_string(c, "ShardToSplit", true);
    const char *hash = call_string(c, "NewStartingHashKey", true);
    char start[HASHKEY_TEXT_SIZE];
    char end[HASHKEY_TEXT_SIZE];
    struct stream *s;
    struct shard *sh;
    uint128 at = 0;

    if (hash != NULL && hashkey_parse(hash, strlen(hash), &at) != 0)
        call_violation(c, "newStartingHashKey", hash,
                       "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})");
    if (!call_is_valid(c))
        return;
    s = call_stream(c);
    if (s == NULL || !needs_provisioned(c, s, "SplitShard"))
        return;
    sh = call_shard(c, s, id);
    if (sh == NULL || !call_needs_active(c, s))
        return;
    if (sh->is_closed) {
        call_refuse(c, "InvalidArgumentException",
                    "Shard %s in stream %s under account %s has already been merged or split, and "
                    "thus is not eligible for merging or splitting.",
                    sh->id, s->name, c->svc->account.id);
        return;
    }
    if (at <= sh->start + 1 || at >= sh->end) {
        (void)hashkey_format(sh->start, start);
        (void)hashkey_format(sh->end, end);
        call_refuse(c, "InvalidArgumentException",
                    "NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under "
                    "account %s is not both greater than one plus the shard's StartingHashKey %s "
                    "and less than the shard's EndingHashKey %s.",
                    hash, sh->id, s->name, c->svc->account.id, start, end);
        return;
    }
    if (!check_shard_limit(c, 1))
        return;
    s->change_shard = sh->number;
    s->change_hash = at;
    begin(c, s, CHANGE_SPLIT);
}

void
api_merge_shards(struct call *c)
{
    const char *id = call_string(c, "ShardToMerge", true);
    const char *other_id = call_string(c, "AdjacentShardToMerge", true);
    struct stream *s;
    const struct shard *a;
    const struct shard *b;

    if (!call_is_valid(c))
        return;
    s = call_stream(c);
    if (s == NULL || !needs_provisioned(c, s, "MergeShards"))
        return;
    a = call_shard(c, s, id);
    b = a == NULL ? NULL : call_shard(c, s, other_id);
    if (b == NULL || !call_needs_active(c, s))
        return;
    if (a->is_closed || b->is_closed) {
        call_refuse(c, "InvalidArgumentException",
                    "Shard %s in stream %s under account %s has already been merged or split, and "
                    "thus is not eligible for merging or splitting.",
                    a->is_closed ? a->id : b->id, s->name, c->svc->account.id);
        return;
    }
    if (a == b || !((a->end != HASHKEY_MAX && a->end + 1 == b->start) ||
                    (b->end != HASHKEY_MAX && b->end + 1 == a->start))) {
        call_refuse(c, "InvalidArgumentException",
                    "Shards %s and %s in stream %s under account %s are not an adjacent pair of "
                    "shards eligible for merging",
                    a->id, b->id, s->name, c->svc->account.id);
        return;
    }
    s->change_shard = a->number;
    s->change_adjacent = b->number;
    begin(c, s, CHANGE_MERGE);
}

/* Counts the calls of the last 24 hours; false and refused at the limit. */
static bool
note_resize(struct call *c, struct stream *s)
{
    int64_t now_ms = c->svc->now_ms;
    uint32_t slots = sizeof(s->resized_ms) / sizeof(s->resized_ms[0]);
    uint32_t recent = 0;
    uint32_t oldest = 0;

    for (uint32_t i = 0; i < slots; i++) {
        recent += s->resized_ms[i] != 0 && now_ms - s->resized_ms[i] < DAY_MS;
        oldest = s->resized_ms[i] < s->resized_ms[oldest] ? i : oldest;
    }
    if (c->svc->reshard_limit != 0 && recent >= c->svc->reshard_limit) {
        call_refuse(c, "LimitExceededException",
                    "Shard count of stream %s under account %s was updated %u times in the last 24 "
                    "hours; the limit is %u.",
                    s->name, c->svc->account.id, recent, c->svc->reshard_limit);
        return false;
    }
    s->resized_ms[oldest] = now_ms;
    return true;
}

void
api_update_shard_count(struct call *c)
{
    static const char *const types[] = {"UNIFORM_SCALING", NULL};
    json_int_t target = 0;
    struct stream *s;
    uint32_t before;

    (void)call_integer(c, "TargetShardCount", true, 1, SHARDS_MAX, &target);
    (void)call_choice(c, "ScalingType", true, types);
    if (!call_is_valid(c))
        return;
    s = call_stream(c);
    if (s == NULL || !needs_provisioned(c, s, "UpdateShardCount") || !call_needs_active(c, s))
        return;
    before = s->open_count;
    if (target > (json_int_t)before * 2 || target * 2 < (json_int_t)before) {
        call_refuse(c, "InvalidArgumentException",
                    "UpdateShardCount cannot scale %s your current open shard count: stream %s "
                    "under account %s has %u open shards, asked for %lld.",
                    target > before ? "up over double" : "down below half", s->name,
                    c->svc->account.id, before, (long long)target);
        return;
    }
    if ((target > before && !check_shard_limit(c, (uint32_t)target - before)) || !note_resize(c, s))
        return;
    s->change_count = (uint32_t)target;
    begin(c, s, CHANGE_RESIZE);
    call_answer(c, json_pack("{s:s,s:i,s:I,s:s}", "StreamName", s->name, "CurrentShardCount",
                             (int)before, "TargetShardCount", target, "StreamARN", s->arn));
}
