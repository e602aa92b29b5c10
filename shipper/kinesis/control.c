/* The blocking calls, and the refresh in the background. */
#include "shipper/kinesis/client_internal.h"

#include "common/clock.h"
#include "shipper/kinesis/hash_key.h"
#include "shipper/kinesis/put_answer.h"
#include "shipper/kinesis/put_body.h"
#include "shipper/kinesis/service_error.h"

#include <math.h>

#define POLL_MS        100
#define PAGE_SHARDS    1000
#define MAX_SHARDS     100000
#define DEFAULT_RECORD (1U << 20)
#define MAX_RECORD_KIB 10240
#define CREATED_SIZE   sizeof(((struct kinesis_stream *)NULL)->created)

/* ---- one control call ---- */

static void
control_end(struct kinesis *k)
{
    http_release(k->http, k->control);
    k->control = NULL;
    k->control_done = false;
}

static int
control_begin(struct kinesis *k, const char *operation, const char *body, struct err *e)
{
    struct http_call *call;
    size_t size = strlen(body);

    CHECK(k->control == NULL);
    call = http_acquire(k->http);
    CHECK(call != NULL);
    k->control = call;
    k->control_what = operation;
    k->control_done = false;
    if (http_buffer_reserve(&call->request, size, e) != 0)
        goto fail;
    memcpy(call->request.data, body, size);
    call->request.size = size;
    if (client_start(k, call, operation, false, e) == 0)
        return 0;

fail:
    control_end(k);
    return -1;
}

static int
control_result(struct kinesis *k, struct err *e)
{
    struct service_error why;

    if (k->control->status >= 200 && k->control->status < 300)
        return 1;
    (void)service_error_judge(k->control, k->control_what, k->arn.name, k->offset_ns, &why, e);
    k->is_stale |= why.is_credentials;
    control_end(k);
    return -1;
}

/* Asks once, and once more when the credentials or the clock were to blame.  1 or -1. */
static int
ask(struct kinesis *k, const char *operation, const char *body, struct err *e)
{
    for (int attempt = 0;; attempt++) {
        if (control_begin(k, operation, body, e) != 0)
            return -1;
        while (!k->control_done)
            kinesis_poll(k, POLL_MS);
        if (control_result(k, e) == 1)
            return 1;
        if (attempt > 0 || (e->code != ERR_CREDENTIALS && e->code != ERR_CLOCK))
            return -1;
    }
}

static json_t *
control_json(struct kinesis *k, struct err *e)
{
    json_t *root = json_loadb(k->control->response.data, k->control->response.size, 0, NULL);

    if (json_is_object(root))
        return root;
    json_decref(root);
    err_set(e, ERR_PROTOCOL, "%s on %s: the answer of %zu bytes is no JSON object", k->control_what,
            k->arn.name, k->control->response.size);
    (void)err_hint(e, "is %s a Kinesis endpoint?", k->endpoint.url);
    return NULL;
}

int
control_no_sense(const struct kinesis *k, const char *what, struct err *e)
{
    return err_set(e, ERR_PROTOCOL, "%s on %s: the answer makes no sense (%s)", k->control_what,
                   k->arn.name, what);
}

json_t *
control_ask(struct kinesis *k, const char *operation, json_t *request, struct err *e)
{
    char *body = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
    json_t *root = NULL;

    json_decref(request);
    if (body == NULL) {
        err_set(e, ERR_NOMEM, "no memory for %s", operation);
        return NULL;
    }
    if (ask(k, operation, body, e) == 1) {
        root = control_json(k, e);
        control_end(k);
    }
    free(body);
    return root;
}

/* ---- DescribeStreamSummary ---- */

static enum kinesis_status
status_of(const char *text)
{
    static const struct {
        const char *text;
        enum kinesis_status status;
    } known[] = {{"CREATING", KINESIS_CREATING},
                 {"ACTIVE", KINESIS_ACTIVE},
                 {"UPDATING", KINESIS_UPDATING},
                 {"DELETING", KINESIS_DELETING}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(text, known[i].text) == 0)
            return known[i].status;
    }
    return KINESIS_STATUS_UNKNOWN;
}

static bool
member_is(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL && strcmp(value, text) == 0;
}

static uint32_t
member_count(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));

    return value > 0 && value <= INT32_MAX ? (uint32_t)value : 0;
}

/* A time of the JSON protocol, seconds since 1970 with up to three digits, as text. */
static void
member_time(const json_t *object, const char *key, char out[CREATED_SIZE])
{
    const json_t *value = json_object_get(object, key);

    out[0] = '\0';
    if (json_is_string(value))
        (void)snprintf(out, CREATED_SIZE, "%s", json_string_value(value));
    else if (json_is_number(value) && json_number_value(value) > 0)
        (void)clock_iso(llround(json_number_value(value) * 1e3) * NS_PER_MS, out);
}

static int
read_description(struct kinesis *k, const json_t *root, struct kinesis_stream *out, struct err *e)
{
    const json_t *s = json_object_get(root, "StreamDescriptionSummary");
    const char *status = json_string_value(json_object_get(s, "StreamStatus"));
    uint32_t kib;

    if (status == NULL)
        return control_no_sense(k, "no StreamStatus", e);
    *out = (struct kinesis_stream){.status = status_of(status)};
    (void)snprintf(out->status_text, sizeof(out->status_text), "%s", status);
    out->is_on_demand =
        member_is(json_object_get(s, "StreamModeDetails"), "StreamMode", "ON_DEMAND");
    out->ignores_keys = member_is(s, "RecordDistributionStrategy", "AUTO");
    out->is_encrypted = member_is(s, "EncryptionType", "KMS");
    member_time(s, "StreamCreationTimestamp", out->created);
    out->open_shards = member_count(s, "OpenShardCount");
    out->retention_hours = member_count(s, "RetentionPeriodHours");
    kib = member_count(s, "MaxRecordSizeInKiB");
    out->max_record_bytes = kib > 0 && kib <= MAX_RECORD_KIB ? kib << 10 : DEFAULT_RECORD;
    return 0;
}

static json_t *
stream_request(const struct kinesis *k)
{
    return json_pack("{s:s}", "StreamARN", k->arn.text);
}

int
kinesis_describe(struct kinesis *k, struct kinesis_stream *out, struct err *e)
{
    json_t *root = control_ask(k, "DescribeStreamSummary", stream_request(k), e);
    int rc = root != NULL ? read_description(k, root, out, e) : -1;

    json_decref(root);
    return rc;
}

/* ---- ListShards ---- */

static json_t *
page_request(const struct kinesis *k, const struct shard_list *list)
{
    /* A token stands for the selector and the filter, too. */
    if (list->next_token != NULL)
        return json_pack("{s:s, s:i}", "NextToken", list->next_token, "MaxResults", PAGE_SHARDS);
    return json_pack("{s:s, s:i}", "StreamARN", k->arn.text, "MaxResults", PAGE_SHARDS);
}

static int
list_grow(struct shard_list *list, struct err *e)
{
    size_t capacity = list->capacity > 0 ? list->capacity * 2 : 64;
    struct target_shard *shards;

    if (list->n < list->capacity)
        return 0;
    if (list->n >= MAX_SHARDS)
        return err_set(e, ERR_PROTOCOL, "the stream has more than %d shards", MAX_SHARDS);
    shards = realloc(list->shards, capacity * sizeof(*shards));
    if (shards == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %zu shards", capacity);
    list->shards = shards;
    list->capacity = capacity;
    return 0;
}

static bool
read_shard(const json_t *s, struct target_shard *out)
{
    const json_t *range = json_object_get(s, "HashKeyRange");
    const json_t *numbers = json_object_get(s, "SequenceNumberRange");
    const char *id = json_string_value(json_object_get(s, "ShardId"));
    const char *parent = json_string_value(json_object_get(s, "ParentShardId"));
    const char *first = json_string_value(json_object_get(range, "StartingHashKey"));
    const char *last = json_string_value(json_object_get(range, "EndingHashKey"));

    *out = (struct target_shard){.id = ""};
    if (id == NULL || first == NULL || last == NULL)
        return false;
    (void)snprintf(out->id, sizeof(out->id), "%s", id);
    (void)snprintf(out->parent, sizeof(out->parent), "%s", parent != NULL ? parent : "");
    out->is_open = !json_is_string(json_object_get(numbers, "EndingSequenceNumber"));
    return hash_key_parse(first, out->first_hash) && hash_key_parse(last, out->last_hash);
}

static int
read_page(struct kinesis *k, const json_t *root, bool open_only, struct shard_list *list,
          struct err *e)
{
    const json_t *shards = json_object_get(root, "Shards");
    const char *token = json_string_value(json_object_get(root, "NextToken"));
    json_t *item;
    size_t i;

    free(list->next_token);
    list->next_token = NULL;
    if (!json_is_array(shards))
        return control_no_sense(k, "no Shards", e);
    json_array_foreach(shards, i, item)
    {
        if (list_grow(list, e) != 0)
            return -1;
        if (!read_shard(item, &list->shards[list->n]))
            return control_no_sense(k, "a shard without id or range of hash keys", e);
        if (list->shards[list->n].is_open || !open_only)
            list->n++;
    }
    if (token == NULL || *token == '\0')
        return 0;
    list->next_token = strdup(token);
    return list->next_token != NULL ? 0 : err_set(e, ERR_NOMEM, "no memory for a token");
}

static int
compare_shards(const void *a, const void *b)
{
    const struct target_shard *sa = a;
    const struct target_shard *sb = b;

    return memcmp(sa->first_hash, sb->first_hash, sizeof(sa->first_hash));
}

static void
list_finish(struct shard_list *list, struct target_shard **out, size_t *n)
{
    if (list->n > 0)
        qsort(list->shards, list->n, sizeof(*list->shards), compare_shards);
    *out = list->shards;
    *n = list->n;
    free(list->next_token);
    *list = (struct shard_list){.shards = NULL};
}

static void
list_drop(struct shard_list *list)
{
    free(list->shards);
    free(list->next_token);
    *list = (struct shard_list){.shards = NULL};
}

int
kinesis_list_shards(struct kinesis *k, bool open_only, struct target_shard **out, size_t *n,
                    struct err *e)
{
    struct shard_list list = {.shards = NULL};

    do {
        json_t *root = control_ask(k, "ListShards", page_request(k, &list), e);
        int rc = root != NULL ? read_page(k, root, open_only, &list, e) : -1;

        json_decref(root);
        if (rc != 0) {
            list_drop(&list);
            return -1;
        }
    } while (list.next_token != NULL);
    list_finish(&list, out, n);
    return 0;
}

/* ---- refresh in the background ---- */

static int
refresh_ask(struct kinesis *k, enum refresh_step step, struct err *e)
{
    bool is_list = step == REFRESH_LIST;
    json_t *request = is_list ? page_request(k, &k->refresh_list) : stream_request(k);
    char *body = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
    int rc = -1;

    json_decref(request);
    if (body == NULL)
        err_set(e, ERR_NOMEM, "no memory for a refresh");
    else
        rc = control_begin(k, is_list ? "ListShards" : "DescribeStreamSummary", body, e);
    free(body);
    k->refresh = rc == 0 ? step : REFRESH_IDLE;
    return rc;
}

int
kinesis_refresh_start(struct kinesis *k, struct err *e)
{
    CHECK(k->refresh == REFRESH_IDLE);
    list_drop(&k->refresh_list);
    return refresh_ask(k, REFRESH_DESCRIBE, e);
}

/* Reads the answer of the step that has just ended.  1 = all done, 0 = another step began. */
static int
refresh_step(struct kinesis *k, struct err *e)
{
    json_t *root = control_json(k, e);
    int rc = -1;

    if (root != NULL && k->refresh == REFRESH_DESCRIBE)
        rc = read_description(k, root, &k->refresh_stream, e);
    else if (root != NULL)
        rc = read_page(k, root, true, &k->refresh_list, e);
    json_decref(root);
    control_end(k);
    if (rc != 0)
        return -1;
    if (k->refresh == REFRESH_LIST && k->refresh_list.next_token == NULL)
        return 1;
    return refresh_ask(k, REFRESH_LIST, e);
}

int
kinesis_refresh_next(struct kinesis *k, struct kinesis_stream *stream, struct target_shard **shards,
                     size_t *n, struct err *e)
{
    int rc;

    CHECK(k->refresh != REFRESH_IDLE);
    if (!k->control_done)
        return 0;
    rc = control_result(k, e);
    if (rc == 1)
        rc = refresh_step(k, e);
    if (rc == 0)
        return 0;
    k->refresh = REFRESH_IDLE;
    if (rc < 0) {
        list_drop(&k->refresh_list);
        return -1;
    }
    *stream = k->refresh_stream;
    list_finish(&k->refresh_list, shards, n);
    return 1;
}

/* ---- PutRecords as a question ---- */

int
kinesis_probe_put(struct kinesis *k, bool *was_written, struct err *e)
{
    static const struct target_entry entry = {"{}\n", "weir-check", 3, 10};
    struct http_buffer body = {.data = NULL};
    struct target_result result;
    int rc;

    *was_written = false;
    if (put_body_write(&body, k->arn.text, &entry, 1, true, e) != 0)
        return -1;
    rc = ask(k, "PutRecords", body.data, e);
    free(body.data);
    if (rc != 1)
        /* The one error that means yes. */
        return strstr(e->text, "DryRunOperationException") != NULL ? 0 : -1;
    rc = put_answer_read(k->control->response.data, k->control->response.size, &result, 1, e);
    control_end(k);
    *was_written = rc == 0 && result.outcome == TARGET_STORED;
    return rc;
}
