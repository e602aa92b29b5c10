/* uses: shipper aws */
/*
 * Any bytes as the answer to PutRecords: refused, or an outcome for each record that points into
 * the body and agrees with what another JSON parser sees.  The first byte is the number of records.
 */
#include "common/err.h"
#include "shipper/kinesis/put_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "%s\n", what);
    abort();
}

static bool
is_inside(const char *text, size_t n, const char *body, size_t size)
{
    return n == 0 || (text >= body && text + n <= body + size);
}

/* What was understood must be JSON, with as many records, and stored where there is a number. */
static void
compare(const char *body, size_t size, const struct target_result *results, size_t n)
{
    json_t *root = json_loadb(body, size, JSON_ALLOW_NUL, NULL);
    const json_t *records = json_object_get(root, "Records");

    if (root == NULL)
        return; /* jansson refuses more: numbers out of range, U+0000 in keys, deep nesting */
    must(json_array_size(records) == n, "another number of records");
    for (size_t i = 0; i < n; i++) {
        const json_t *number = json_object_get(json_array_get(records, i), "SequenceNumber");

        if (results[i].outcome == TARGET_STORED)
            must(json_string_length(number) > 0, "stored without a number");
    }
    json_decref(root);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target_result results[TARGET_MAX_RECORDS];
    struct err e = ERR_INIT;
    size_t n;
    char *body;

    if (size == 0)
        return 0;
    n = data[0] == 0 ? 1 : data[0];
    body = malloc(size);
    memcpy(body, data + 1, size - 1);
    body[size - 1] = '\0';
    if (put_answer_read(body, size - 1, results, n, &e) == 0) {
        for (size_t i = 0; i < n; i++) {
            must(is_inside(results[i].text, results[i].text_size, body, size - 1), "text outside");
            must(is_inside(results[i].shard_id, results[i].shard_id_size, body, size - 1),
                 "shard outside");
        }
        compare(body, size - 1, results, n);
    } else {
        must(e.code == ERR_PROTOCOL, "refused with another code");
    }
    free(body);
    return 0;
}
