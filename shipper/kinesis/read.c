/* GetShardIterator and GetRecords: for whoever looks at a stream, never for the shipper. */
#include "shipper/kinesis/client_internal.h"

#include "common/clock.h"

#include <math.h>
#include <openssl/evp.h>

static json_t *
iterator_request(const struct kinesis *k, const char *shard_id, enum kinesis_start start,
                 int64_t real_ns, const char *sequence)
{
    static const char *const types[] = {[KINESIS_START_OLDEST] = "TRIM_HORIZON",
                                        [KINESIS_START_LATEST] = "LATEST",
                                        [KINESIS_START_AT_TIME] = "AT_TIMESTAMP",
                                        [KINESIS_START_AFTER] = "AFTER_SEQUENCE_NUMBER"};
    json_t *r = json_pack("{s:s, s:s, s:s}", "StreamARN", k->arn.text, "ShardId", shard_id,
                          "ShardIteratorType", types[start]);

    if (r != NULL && start == KINESIS_START_AT_TIME)
        (void)json_object_set_new(r, "Timestamp", json_real((double)real_ns / (double)NS_PER_S));
    if (r != NULL && start == KINESIS_START_AFTER)
        (void)json_object_set_new(r, "StartingSequenceNumber", json_string(sequence));
    return r;
}

int
kinesis_get_iterator(struct kinesis *k, const char *shard_id, enum kinesis_start start,
                     int64_t real_ns, const char *sequence, char **out, struct err *e)
{
    json_t *root = control_ask(k, "GetShardIterator",
                               iterator_request(k, shard_id, start, real_ns, sequence), e);
    const char *iterator = json_string_value(json_object_get(root, "ShardIterator"));

    *out = NULL;
    if (root == NULL)
        return -1;
    if (iterator == NULL)
        (void)control_no_sense(k, "no ShardIterator", e);
    else if ((*out = strdup(iterator)) == NULL)
        (void)err_set(e, ERR_NOMEM, "no memory for an iterator");
    json_decref(root);
    return *out != NULL ? 0 : -1;
}

/* Keys and numbers stay in the JSON tree, data lies decoded behind this head. */
struct memory {
    json_t *root;
    uint8_t data[];
};

/* Decodes at *at, which moves on.  False when text is no base64. */
static bool
decode(const char *text, size_t size, uint8_t **at, struct kinesis_record *out)
{
    int n = EVP_DecodeBlock(*at, (const unsigned char *)text, (int)size);

    if (n < 0 || size % 4 != 0)
        return false;
    /* EVP_DecodeBlock counts the padding as bytes. */
    for (size_t i = 0; i < 2 && i < size && text[size - 1 - i] == '='; i++)
        n--;
    out->data = *at;
    out->size = (size_t)n;
    *at += n;
    return true;
}

static bool
read_record(const json_t *item, uint8_t **at, struct kinesis_record *out)
{
    const json_t *data = json_object_get(item, "Data");
    const json_t *arrival = json_object_get(item, "ApproximateArrivalTimestamp");

    out->partition_key = json_string_value(json_object_get(item, "PartitionKey"));
    out->sequence = json_string_value(json_object_get(item, "SequenceNumber"));
    out->arrival_real_ns = (int64_t)llround(json_number_value(arrival) * 1e3) * NS_PER_MS;
    return out->partition_key != NULL && out->sequence != NULL && json_is_string(data) &&
           decode(json_string_value(data), json_string_length(data), at, out);
}

static size_t
decoded_bound(const json_t *records)
{
    size_t bound = 4;
    json_t *item;
    size_t i;

    json_array_foreach(records, i, item) bound +=
        json_string_length(json_object_get(item, "Data")) / 4 * 3 + 4;
    return bound;
}

static int
read_batch(struct kinesis *k, json_t *root, struct kinesis_batch *out, struct err *e)
{
    const json_t *records = json_object_get(root, "Records");
    const json_t *next = json_object_get(root, "NextShardIterator");
    const json_t *behind = json_object_get(root, "MillisBehindLatest");
    struct memory *m;
    uint8_t *at;

    if (!json_is_array(records))
        return control_no_sense(k, "no Records", e);
    m = malloc(sizeof(*m) + decoded_bound(records));
    out->records = calloc(json_array_size(records) + 1, sizeof(*out->records));
    if (m == NULL || out->records == NULL) {
        free(m);
        return err_set(e, ERR_NOMEM, "no memory for %zu records", json_array_size(records));
    }
    m->root = json_incref(root);
    out->memory = m;
    at = m->data;
    for (; out->n < json_array_size(records); out->n++) {
        if (!read_record(json_array_get(records, out->n), &at, &out->records[out->n]))
            return control_no_sense(k, "a record without key, number or data", e);
    }
    out->behind_ms = json_is_integer(behind) ? json_integer_value(behind) : -1;
    if (json_is_string(next) && (out->next_iterator = strdup(json_string_value(next))) == NULL)
        return err_set(e, ERR_NOMEM, "no memory for an iterator");
    return 0;
}

int
kinesis_get_records(struct kinesis *k, const char *iterator, uint32_t limit,
                    struct kinesis_batch *out, struct err *e)
{
    json_t *root;
    int rc;

    *out = (struct kinesis_batch){.behind_ms = -1};
    root = control_ask(k, "GetRecords",
                       json_pack("{s:s, s:i}", "ShardIterator", iterator, "Limit", (int)limit), e);
    if (root == NULL)
        return -1;
    rc = read_batch(k, root, out, e);
    json_decref(root);
    if (rc != 0)
        kinesis_batch_free(out);
    return rc;
}

void
kinesis_batch_free(struct kinesis_batch *b)
{
    struct memory *m = b->memory;

    if (m != NULL)
        json_decref(m->root);
    free(m);
    free(b->records);
    free(b->next_iterator);
    *b = (struct kinesis_batch){.behind_ms = -1};
}
