/* CreateStream, DeleteStream, the Describe family, ListStreams, UpdateMaxRecordSize,
 * UpdateStreamMode. */
#include "tests/kinesisd/api.h"

#include "common/err.h"

#define CREATING_MAX      5
#define LIST_USUAL        100
#define LIST_MAX          10000
#define RECORD_KIB_MIN    1024
#define RECORD_KIB_MAX    10240
#define ON_DEMAND_SHARDS  4
#define ON_DEMAND_STREAMS 50
#define SHARD_COUNT_MAX   100000

static const char *const modes[] = {"PROVISIONED", "ON_DEMAND", NULL};

static const char *
mode_name(const struct stream *s)
{
    return modes[s->is_on_demand];
}

/* StreamModeDetails.StreamMode; NULL when absent. */
static const char *
read_mode(struct call *c, bool is_required)
{
    json_t *details = call_object(c, "StreamModeDetails");
    json_t *outer = c->args;
    const char *mode;

    if (details == NULL) {
        if (is_required)
            call_violation(c, "streamModeDetails", NULL, "Member must not be null");
        return NULL;
    }
    c->args = details;
    mode = call_choice(c, "StreamMode", true, modes);
    c->args = outer;
    return mode;
}

static uint32_t
on_demand_streams(const struct account *a)
{
    uint32_t n = 0;

    for (size_t i = 0; i < a->stream_count; i++)
        n += a->streams[i]->is_on_demand;
    return n;
}

static bool
check_account_limits(struct call *c, json_int_t shards, bool is_on_demand)
{
    const struct service *svc = c->svc;
    const struct account *a = &svc->account;
    uint32_t open = account_open_shards(a);
    uint32_t creating = 0;

    for (size_t i = 0; i < a->stream_count; i++)
        creating += a->streams[i]->status == STREAM_CREATING;
    if (creating >= CREATING_MAX)
        call_refuse(c, "LimitExceededException",
                    "Only %d streams can be in status CREATING at once under account %s.",
                    CREATING_MAX, a->id);
    else if (is_on_demand && on_demand_streams(a) >= ON_DEMAND_STREAMS)
        call_refuse(c, "LimitExceededException",
                    "Account %s has %d streams in ON_DEMAND mode, which is its limit.", a->id,
                    ON_DEMAND_STREAMS);
    else if (open + shards > svc->shard_limit)
        call_refuse(c, "LimitExceededException",
                    "This request would exceed the shard limit for the account %s in %s. Current "
                    "shard count for the account: %u. Limit: %u. Number of additional shards that "
                    "would have resulted from this request: %lld. Refer to the AWS Service Limits "
                    "page (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) "
                    "for current limits and how to request higher limits.",
                    a->id, a->region, open, svc->shard_limit, (long long)shards);
    return !c->is_refused;
}

void
api_create_stream(struct call *c)
{
    struct account *a = &c->svc->account;
    const char *name = call_string(c, "StreamName", true);
    const char *mode = read_mode(c, false);
    json_int_t shards = 0;
    json_int_t record_kib = RECORD_KIB_MIN;
    bool has_shards = call_integer(c, "ShardCount", false, 1, SHARD_COUNT_MAX, &shards);
    bool is_on_demand = mode != NULL && strcmp(mode, "ON_DEMAND") == 0;
    struct stream *s;

    (void)call_integer(c, "MaxRecordSizeInKiB", false, RECORD_KIB_MIN, RECORD_KIB_MAX, &record_kib);
    if (name != NULL && !account_name_is_valid(name))
        call_violation(c, "streamName", name,
                       strlen(name) == 0 ? "Member must have length greater than or equal to 1"
                       : strlen(name) > STREAM_NAME_MAX
                           ? "Member must have length less than or equal to 128"
                           : "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
    if (!is_on_demand && !has_shards)
        call_violation(c, "shardCount", NULL, "Member must not be null");
    if (!call_is_valid(c))
        return;
    if (is_on_demand && has_shards) {
        call_refuse(c, "ValidationException",
                    "ShardCount must not be provided for stream %s with stream mode ON_DEMAND.",
                    name);
        return;
    }
    if (account_find(a, name) != NULL) {
        call_refuse(c, "ResourceInUseException", "Stream %s under account %s already exists.", name,
                    a->id);
        return;
    }
    shards = is_on_demand ? ON_DEMAND_SHARDS : shards;
    if (!check_account_limits(c, shards, is_on_demand))
        return;
    s = account_add(a, name, (uint32_t)shards, c->svc->now_ms, a->state_delay_ms);
    s->is_on_demand = is_on_demand;
    s->max_record_kib = (uint32_t)record_kib;
    c->svc->body.len = 0;
}

void
api_delete_stream(struct call *c)
{
    struct stream *s = call_stream(c);

    if (s == NULL)
        return;
    if (s->status != STREAM_DELETING)
        stream_begin(s, CHANGE_DELETE, c->svc->now_ms + c->svc->account.state_delay_ms);
    account_advance(&c->svc->account, c->svc->now_ms);
    c->svc->body.len = 0;
}

/* What both descriptions share. */
static json_t *
describe(const struct stream *s)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:i,s:o,s:{s:s},s:s,s:[{s:[]}]}", "StreamName", s->name,
                     "StreamARN", s->arn, "StreamStatus", stream_status_name(s),
                     "StreamCreationTimestamp", api_time(s->created_ms), "RetentionPeriodHours",
                     (int)s->retention_h, "MaxRecordSizeInKiB", json_integer(s->max_record_kib),
                     "StreamModeDetails", "StreamMode", mode_name(s), "EncryptionType", "NONE",
                     "EnhancedMonitoring", "ShardLevelMetrics");
}

void
api_describe_stream_summary(struct call *c)
{
    struct stream *s = call_stream(c);
    json_t *summary;

    if (s == NULL)
        return;
    summary = describe(s);
    (void)json_object_set_new(summary, "OpenShardCount", json_integer(s->open_count));
    (void)json_object_set_new(summary, "ConsumerCount", json_integer(0));
    if (s->is_on_demand || c->svc->distributes)
        (void)json_object_set_new(summary, "RecordDistributionStrategy",
                                  json_string(c->svc->distributes ? "AUTO" : "USER_PARTITION_KEY"));
    call_answer(c, json_pack("{s:o}", "StreamDescriptionSummary", summary));
}

void
api_describe_stream(struct call *c)
{
    const char *after = call_string(c, "ExclusiveStartShardId", false);
    json_int_t limit = LIST_USUAL;
    struct stream *s;
    json_t *description;
    json_t *shards;
    uint32_t from = 0;

    (void)call_integer(c, "Limit", false, 1, LIST_MAX, &limit);
    if (!call_is_valid(c))
        return;
    s = call_stream(c);
    if (s == NULL)
        return;
    if (after != NULL) {
        const struct shard *sh = call_shard(c, s, after);

        if (sh == NULL)
            return;
        from = sh->number + 1;
    }
    description = describe(s);
    shards = json_array();
    /* A stream has no shards to show before it exists. */
    for (; from < s->shard_count && s->status != STREAM_CREATING &&
           (json_int_t)json_array_size(shards) < limit;
         from++)
        (void)json_array_append_new(shards, api_shard_json(s->shards[from]));
    (void)json_object_set_new(description, "Shards", shards);
    (void)json_object_set_new(description, "HasMoreShards",
                              json_boolean(from < s->shard_count && s->status != STREAM_CREATING));
    call_answer(c, json_pack("{s:o}", "StreamDescription", description));
}

void
api_list_streams(struct call *c)
{
    const struct account *a = &c->svc->account;
    const char *after = call_string(c, "ExclusiveStartStreamName", false);
    const char *token = call_string(c, "NextToken", false);
    json_int_t limit = LIST_USUAL;
    json_t *names;
    json_t *summaries;
    json_t *answer;
    const char *last = NULL;
    bool has_more = false;

    (void)call_integer(c, "Limit", false, 1, LIST_MAX, &limit);
    if (!call_is_valid(c))
        return;
    /* The token is the last name given: streams are listed by name. */
    after = token != NULL ? token : after;
    names = json_array();
    summaries = json_array();
    for (size_t i = 0; i < a->stream_count; i++) {
        const struct stream *s = a->streams[i];

        if (after != NULL && strcmp(s->name, after) <= 0)
            continue;
        has_more = (json_int_t)json_array_size(names) == limit;
        if (has_more)
            break;
        last = s->name;
        (void)json_array_append_new(names, json_string(s->name));
        (void)json_array_append_new(
            summaries,
            json_pack("{s:s,s:s,s:s,s:{s:s},s:o}", "StreamName", s->name, "StreamARN", s->arn,
                      "StreamStatus", stream_status_name(s), "StreamModeDetails", "StreamMode",
                      mode_name(s), "StreamCreationTimestamp", api_time(s->created_ms)));
    }
    answer = json_pack("{s:o,s:o,s:b}", "StreamNames", names, "StreamSummaries", summaries,
                       "HasMoreStreams", has_more);
    if (has_more)
        (void)json_object_set_new(answer, "NextToken", json_string(last));
    call_answer(c, answer);
}

void
api_describe_limits(struct call *c)
{
    const struct account *a = &c->svc->account;

    call_answer(c, json_pack("{s:I,s:I,s:I,s:I}", "ShardLimit", (json_int_t)c->svc->shard_limit,
                             "OpenShardCount", (json_int_t)account_open_shards(a),
                             "OnDemandStreamCount", (json_int_t)on_demand_streams(a),
                             "OnDemandStreamCountLimit", (json_int_t)ON_DEMAND_STREAMS));
}

static void
begin_setting(struct call *c, struct stream *s)
{
    stream_begin(s, CHANGE_SETTING, c->svc->now_ms + c->svc->account.state_delay_ms);
    (void)stream_advance(s, c->svc->now_ms);
    c->svc->body.len = 0;
}

void
api_update_max_record_size(struct call *c)
{
    json_int_t kib = 0;
    struct stream *s;

    (void)call_integer(c, "MaxRecordSizeInKiB", true, RECORD_KIB_MIN, RECORD_KIB_MAX, &kib);
    if (!call_is_valid(c))
        return;
    s = call_stream(c);
    if (s == NULL || !call_needs_active(c, s))
        return;
    s->max_record_kib = (uint32_t)kib;
    begin_setting(c, s);
}

void
api_update_stream_mode(struct call *c)
{
    const char *mode = read_mode(c, true);
    struct stream *s;

    if (!call_is_valid(c))
        return;
    s = call_stream(c);
    if (s == NULL || !call_needs_active(c, s))
        return;
    s->is_on_demand = strcmp(mode, "ON_DEMAND") == 0;
    begin_setting(c, s);
}
