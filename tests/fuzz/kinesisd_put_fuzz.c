/* uses: kinesisd */
/*
 * Any bytes as the body of PutRecords: what kinesisd's parser takes, jansson takes too, and both
 * read the same out of it.
 */
#include "tests/kinesisd/base64.h"
#include "tests/kinesisd/putbody.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct putbody body;

static void
must(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "%s\n", what);
    abort();
}

/* A string, or absent where it is absent or null. */
static void
same_text(const struct jsonscan_text *t, const json_t *v, const char *what)
{
    if (v == NULL || json_is_null(v)) {
        must(t->data == NULL, what);
        return;
    }
    must(json_is_string(v) && t->data != NULL && t->len == json_string_length(v) &&
             memcmp(t->data, json_string_value(v), t->len) == 0,
         what);
}

/* Encoding what was decoded gives the text back: there is one way to write base64. */
static void
same_blob(const struct jsonscan_text *t, const json_t *v)
{
    struct jsonscan_text encoded = {0};
    char *text = NULL;

    if (t->data != NULL) {
        text = malloc(BASE64_SIZE(t->len) + 1);
        must(text != NULL, "memory");
        encoded.data = text;
        encoded.len = base64_encode(t->data, t->len, text);
    }
    same_text(&encoded, v, "Data");
    free(text);
}

static void
same_record(const struct putbody_record *r, const json_t *v)
{
    same_blob(&r->data, json_object_get(v, "Data"));
    same_text(&r->key, json_object_get(v, "PartitionKey"), "PartitionKey");
    same_text(&r->explicit_hash, json_object_get(v, "ExplicitHashKey"), "ExplicitHashKey");
}

static void
same_body(const json_t *v)
{
    const json_t *records = json_object_get(v, "Records");

    same_text(&body.stream_name, json_object_get(v, "StreamName"), "StreamName");
    same_text(&body.stream_arn, json_object_get(v, "StreamARN"), "StreamARN");
    same_record(&body.single, v);
    must(body.has_records == json_is_array(records), "Records");
    must(body.count == json_array_size(records), "count of records");
    for (size_t i = 0; i < body.count && i < PUTBODY_RECORDS; i++)
        same_record(&body.records[i], json_array_get(records, i));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    json_error_t problem;
    json_t *v;
    enum json_error_code code;

    must(text != NULL, "memory");
    base64_init();
    (void)memcpy(text, data, size);
    if (putbody_parse(&body, text, size) == 0) {
        v = json_loadb((const char *)data, size, JSON_ALLOW_NUL, &problem);
        code = v == NULL ? json_error_code(&problem) : json_error_unknown;
        /* What jansson cannot hold, and a body that only looks at grammar need not. */
        if (code != json_error_numeric_overflow && code != json_error_null_byte_in_key) {
            must(json_is_object(v), "taken, but jansson refuses it");
            same_body(v);
        }
        json_decref(v);
    }
    free(text);
    return 0;
}
