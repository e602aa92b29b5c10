#include "tests/kinesisd/api.h"

#include "tests/kinesisd/base64.h"
#include "tests/kinesisd/digest.h"

#include <ctype.h>
#include <stdarg.h>

/* AWS tells at most ten violations. */
#define VIOLATIONS_MAX 10

static const struct api_operation operations[] = {
    {"PutRecords", api_put_records, true},
    {"PutRecord", api_put_record, true},
    {"GetRecords", api_get_records, false},
    {"GetShardIterator", api_get_shard_iterator, false},
    {"ListShards", api_list_shards, false},
    {"DescribeStreamSummary", api_describe_stream_summary, false},
    {"DescribeStream", api_describe_stream, false},
    {"CreateStream", api_create_stream, false},
    {"DeleteStream", api_delete_stream, false},
    {"ListStreams", api_list_streams, false},
    {"SplitShard", api_split_shard, false},
    {"MergeShards", api_merge_shards, false},
    {"UpdateShardCount", api_update_shard_count, false},
    {"UpdateMaxRecordSize", api_update_max_record_size, false},
    {"UpdateStreamMode", api_update_stream_mode, false},
    {"DescribeLimits", api_describe_limits, false},
};

const struct api_operation *
api_find(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strlen(operations[i].name) == len && memcmp(operations[i].name, name, len) == 0)
            return &operations[i];
    }
    return NULL;
}

/* ---- answers ---- */

static void
write_error(struct call *c, int status, const char *code, const struct bytes *message)
{
    struct bytes *to = &c->svc->body;

    c->is_refused = true;
    c->status = status;
    to->len = 0;
    bytes_puts(to, "{\"__type\":\"");
    bytes_puts(to, code);
    if (message->len > 0) {
        bytes_puts(to, "\",\"message\":\"");
        bytes_json(to, message->data, message->len);
    }
    bytes_puts(to, "\"}");
}

__attribute__((format(printf, 4, 0))) static void
refuse_with(struct call *c, int status, const char *code, const char *fmt, va_list args)
{
    struct bytes message = {0};
    char *text = NULL;
    int n = vasprintf(&text, fmt, args);

    if (n > 0)
        bytes_add(&message, text, (size_t)n);
    write_error(c, status, code, &message);
    bytes_free(&message);
    free(text);
}

void
call_refuse(struct call *c, const char *code, const char *fmt, ...)
{
    va_list args;

    if (c->is_refused)
        return;
    va_start(args, fmt);
    refuse_with(c, 400, code, fmt, args);
    va_end(args);
}

void
call_fail(struct call *c, int status, const char *code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    refuse_with(c, status, code, fmt, args);
    va_end(args);
}

void
call_answer(struct call *c, json_t *json)
{
    struct bytes *to = &c->svc->body;
    size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(13);
    size_t need;

    if (!c->is_refused) {
        to->len = 0;
        need = json_dumpb(json, NULL, 0, flags);
        (void)json_dumpb(json, bytes_reserve(to, need), need, flags);
        to->len = need;
    }
    json_decref(json);
}

bool
call_is_dry_run(struct call *c, bool dry_run)
{
    if (dry_run)
        call_refuse(c, "DryRunOperationException",
                    "Request would have succeeded, but DryRun flag is set.");
    return dry_run;
}

/* ---- constraints ---- */

/* AWS names members with a small first letter in its messages. */
static void
add_member_name(struct bytes *to, const char *name)
{
    char first = (char)tolower((unsigned char)name[0]);

    bytes_add(to, &first, 1);
    bytes_puts(to, name + 1);
}

void
call_violation(struct call *c, const char *member, const char *value, const char *rule)
{
    struct bytes *to = &c->svc->text;

    if (c->violation_count == 0)
        to->len = 0;
    if (c->violation_count++ >= VIOLATIONS_MAX) {
        c->violation_count = VIOLATIONS_MAX;
        return;
    }
    bytes_puts(to, c->violation_count > 1 ? "; Value " : "Value ");
    if (value == NULL) {
        bytes_puts(to, "null");
    } else {
        bytes_puts(to, "'");
        bytes_puts(to, value);
        bytes_puts(to, "'");
    }
    bytes_puts(to, " at '");
    add_member_name(to, member);
    bytes_puts(to, "' failed to satisfy constraint: ");
    bytes_puts(to, rule);
}

bool
call_is_valid(struct call *c)
{
    if (!c->is_refused && c->violation_count > 0)
        call_refuse(c, "ValidationException", "%u validation error%s detected: %.*s",
                    c->violation_count, c->violation_count > 1 ? "s" : "", (int)c->svc->text.len,
                    c->svc->text.data);
    return !c->is_refused;
}

static void
refuse_type(struct call *c, const json_t *v, const char *target)
{
    const char *from = json_is_boolean(v)  ? "class java.lang.Boolean"
                       : json_is_number(v) ? "class java.math.BigDecimal"
                                           : "class java.lang.String";

    if (json_is_object(v))
        call_refuse(c, "SerializationException",
                    "Start of structure or map found where not expected.");
    else if (json_is_array(v))
        call_refuse(c, "SerializationException", "Start of list found where not expected");
    else
        call_refuse(c, "SerializationException", "%s can not be converted to an %s", from, target);
}

/* The member, NULL when absent or null; notes the violation when it is required. */
static json_t *
member(struct call *c, const char *name, bool is_required)
{
    json_t *v = json_object_get(c->args, name);

    if (v != NULL && !json_is_null(v))
        return v;
    if (is_required)
        call_violation(c, name, NULL, "Member must not be null");
    return NULL;
}

const char *
call_string(struct call *c, const char *name, bool is_required)
{
    json_t *v = member(c, name, is_required);

    if (v == NULL)
        return NULL;
    if (!json_is_string(v)) {
        refuse_type(c, v, "String");
        return NULL;
    }
    return json_string_value(v);
}

bool
call_integer(struct call *c, const char *name, bool is_required, json_int_t low, json_int_t high,
             json_int_t *out)
{
    json_t *v = member(c, name, is_required);
    char value[32];
    char rule[96];

    if (v == NULL)
        return false;
    if (!json_is_number(v)) {
        refuse_type(c, v, "Integer");
        return false;
    }
    *out = json_is_integer(v) ? json_integer_value(v) : (json_int_t)json_real_value(v);
    (void)snprintf(value, sizeof(value), "%lld", (long long)*out);
    if (*out < low) {
        (void)snprintf(rule, sizeof(rule), "Member must have value greater than or equal to %lld",
                       (long long)low);
        call_violation(c, name, value, rule);
    } else if (*out > high) {
        (void)snprintf(rule, sizeof(rule), "Member must have value less than or equal to %lld",
                       (long long)high);
        call_violation(c, name, value, rule);
    }
    return true;
}

bool
call_number(struct call *c, const char *name, double *out)
{
    json_t *v = member(c, name, false);

    if (v == NULL)
        return false;
    if (!json_is_number(v)) {
        refuse_type(c, v, "Double");
        return false;
    }
    *out = json_number_value(v);
    return true;
}

bool
call_bool(struct call *c, const char *name)
{
    json_t *v = member(c, name, false);

    if (v != NULL && !json_is_boolean(v))
        refuse_type(c, v, "Boolean");
    return json_is_true(v);
}

json_t *
call_object(struct call *c, const char *name)
{
    json_t *v = member(c, name, false);

    if (v == NULL || json_is_object(v))
        return v;
    call_refuse(c, "SerializationException",
                json_is_array(v) ? "Start of list found where not expected" : "Expected null");
    return NULL;
}

const char *
call_choice(struct call *c, const char *name, bool is_required, const char *const *names)
{
    const char *value = call_string(c, name, is_required);
    struct bytes rule = {0};

    if (value == NULL)
        return NULL;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], value) == 0)
            return value;
    }
    bytes_puts(&rule, "Member must satisfy enum value set: [");
    for (size_t i = 0; names[i] != NULL; i++)
        bytes_printf(&rule, "%s%s", i == 0 ? "" : ", ", names[i]);
    bytes_add(&rule, "]", 2);
    call_violation(c, name, value, rule.data);
    bytes_free(&rule);
    return NULL;
}

/* ---- streams and shards ---- */

/* The name behind the last slash of a stream's ARN; NULL when it is none. */
static const char *
name_in_arn(const char *arn)
{
    const char *slash = strstr(arn, ":stream/");

    return strncmp(arn, "arn:", 4) == 0 && slash != NULL ? slash + 8 : NULL;
}

struct stream *
call_select(struct call *c, const char *name, const char *arn)
{
    struct account *a = &c->svc->account;
    const char *in_arn = arn == NULL ? NULL : name_in_arn(arn);
    struct stream *s;

    if (name != NULL && !account_name_is_valid(name))
        call_violation(c, "streamName", name,
                       strlen(name) == 0 ? "Member must have length greater than or equal to 1"
                       : strlen(name) > STREAM_NAME_MAX
                           ? "Member must have length less than or equal to 128"
                           : "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
    if (arn != NULL && in_arn == NULL)
        call_violation(c, "streamARN", arn,
                       "Member must satisfy regular expression pattern: "
                       "arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+");
    if (!call_is_valid(c))
        return NULL;
    if (name == NULL && arn == NULL) {
        call_refuse(c, "InvalidArgumentException", "Missing StreamName or StreamARN.");
        return NULL;
    }
    if (name != NULL && arn != NULL && strcmp(name, in_arn) != 0) {
        call_refuse(c, "InvalidArgumentException",
                    "StreamARN %s is not compatible with StreamName %s.", arn, name);
        return NULL;
    }
    s = account_find(a, name != NULL ? name : in_arn);
    if (s == NULL || (arn != NULL && strcmp(s->arn, arn) != 0)) {
        call_refuse(c, "ResourceNotFoundException", "Stream %s under account %s not found.",
                    name != NULL ? name : in_arn, a->id);
        return NULL;
    }
    return s;
}

struct stream *
call_stream(struct call *c)
{
    const char *name = call_string(c, "StreamName", false);
    const char *arn = call_string(c, "StreamARN", false);

    return call_select(c, name, arn);
}

bool
call_needs_active(struct call *c, const struct stream *s)
{
    if (s->status == STREAM_ACTIVE)
        return true;
    call_refuse(c, "ResourceInUseException",
                "Stream %s under account %s not ACTIVE, instead in "
                "state %s",
                s->name, c->svc->account.id, stream_status_name(s));
    return false;
}

struct shard *
call_shard(struct call *c, const struct stream *s, const char *id)
{
    struct shard *sh = stream_find_shard(s, id);

    if (sh == NULL)
        call_refuse(c, "ResourceNotFoundException",
                    "Could not find shard %s in stream %s under account %s.", id, s->name,
                    c->svc->account.id);
    return sh;
}

/* ---- shared shapes ---- */

json_t *
api_time(int64_t ms)
{
    return json_real((double)ms / 1000.0);
}

json_t *
api_shard_json(const struct shard *sh)
{
    char id[STREAM_SHARD_ID_MAX];
    char start[HASHKEY_TEXT_SIZE];
    char end[HASHKEY_TEXT_SIZE];
    char sequence[SEQUENCE_TEXT_SIZE];
    json_t *range;
    json_t *j;

    (void)hashkey_format(sh->start, start);
    (void)hashkey_format(sh->end, end);
    (void)stream_sequence_start(sh, sequence);
    range = json_pack("{s:s}", "StartingSequenceNumber", sequence);
    if (sh->is_closed) {
        (void)stream_sequence_end(sh, sequence);
        (void)json_object_set_new(range, "EndingSequenceNumber", json_string(sequence));
    }
    j = json_pack("{s:s,s:{s:s,s:s},s:o}", "ShardId", sh->id, "HashKeyRange", "StartingHashKey",
                  start, "EndingHashKey", end, "SequenceNumberRange", range);
    if (sh->parent != STREAM_NONE) {
        stream_shard_id(sh->parent, id);
        (void)json_object_set_new(j, "ParentShardId", json_string(id));
    }
    if (sh->adjacent != STREAM_NONE) {
        stream_shard_id(sh->adjacent, id);
        (void)json_object_set_new(j, "AdjacentParentShardId", json_string(id));
    }
    return j;
}

/* ---- tokens ---- */

static void
token_mac(const struct service *s, const char *data, size_t len, unsigned char *out)
{
    digest_hmac(s->digest, &s->token_key, sizeof(s->token_key), data, len, out);
}

void
api_token_write(const struct service *s, const struct api_token *t, char *out)
{
    char raw[DIGEST_SHA256_SIZE + 200];
    char *payload = raw + DIGEST_SHA256_SIZE;
    int n = snprintf(payload, sizeof(raw) - DIGEST_SHA256_SIZE, "%c %lld %llx %llx %s", t->kind,
                     (long long)t->issued_ms, (unsigned long long)t->number,
                     (unsigned long long)t->number2, t->stream);
    unsigned char mac[DIGEST_SHA256_SIZE];

    token_mac(s, payload, (size_t)n, mac);
    (void)memcpy(raw, mac, sizeof(mac));
    out[base64_encode(raw, DIGEST_SHA256_SIZE + (size_t)n, out)] = '\0';
}

int
api_token_read(const struct service *s, const char *text, char kind, struct api_token *out)
{
    char raw[API_TOKEN_TEXT_MAX];
    unsigned char mac[DIGEST_SHA256_SIZE];
    char *payload = raw + DIGEST_SHA256_SIZE;
    size_t len = strlen(text);
    size_t at;

    if (len >= API_TOKEN_TEXT_MAX || base64_decode(text, len, raw, &len, &at) != BASE64_OK ||
        len <= DIGEST_SHA256_SIZE)
        return -1;
    raw[len] = '\0';
    token_mac(s, payload, len - DIGEST_SHA256_SIZE, mac);
    if (memcmp(mac, raw, sizeof(mac)) != 0 || payload[0] != kind)
        return -1;
    /* What carries our code was written by api_token_write(). */
    out->kind = kind;
    out->issued_ms = strtoll(payload + 1, &payload, 10);
    out->number = strtoull(payload, &payload, 16);
    out->number2 = strtoull(payload, &payload, 16);
    (void)snprintf(out->stream, sizeof(out->stream), "%s", payload + 1);
    return 0;
}
