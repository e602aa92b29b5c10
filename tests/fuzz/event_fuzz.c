/* uses: encoder */
/*
 * Any bytes as a change event: refused, or understood so that what was understood encodes and
 * decodes to the same again, and gives a message that another parser takes.
 */
#include "common/err.h"
#include "encoder/message.h"
#include "tests/unit/encoder_help.h"

#include <jansson.h>

#define COLUMNS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct event_values room;
static struct event_values room_again;

static void
must(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "%s\n", what);
    abort();
}

static void
check_encoding(const struct event *ev)
{
    size_t bound = event_bound(ev);
    uint8_t *first = malloc(bound);
    uint8_t *second = malloc(bound);
    size_t n = event_encode(ev, first);
    struct event again;

    must(n <= bound, "longer than its bound");
    must(event_decode(first, n, 1, &room_again, &again, NULL) == 0, "own encoding refused");
    must(event_encode(&again, second) == n && memcmp(first, second, n) == 0, "not the same again");
    free(first);
    free(second);
}

static const struct plan *
plan_once(void)
{
    static const struct help_column columns[COLUMNS] = {
        {.name = "k", .type = DMS_WSTRING, .key = 1},
        {.name = "t", .type = DMS_DATETIME, .scale = 7},
        {.name = "c", .type = DMS_STRING, .is_fixed_text = true},
        {.name = "d", .type = DMS_STRING},
        {.name = "e", .type = DMS_STRING},
        {.name = "f", .type = DMS_STRING},
        {.name = "g", .type = DMS_STRING},
        {.name = "h", .type = DMS_STRING},
    };
    static struct plan *plan;
    static struct task task;

    if (plan == NULL) {
        struct table_def *table = help_table(1, "dbo", "t", columns, COLUMNS);

        help_task(&task);
        task.target.include_transaction_details = true;
        task.target.include_partition_value = true;
        task.target.include_control_details = true;
        must(plan_compile(&task, table, &plan, NULL) == 0, "no plan");
        catalog_table_free(&table);
    }
    return plan;
}

/* Numbers jansson cannot hold and surrogates it does not take are no faults of the message. */
static bool
is_for_jansson(const char *message, size_t n, const struct value *values)
{
    for (int i = 0; i < COLUMNS; i++) {
        if (values[i].kind == VALUE_DECIMAL && values[i].bytes.size > 300)
            return false;
    }
    return memmem(message, n, "\\ud", 3) == NULL;
}

static void
check_message(const struct event *ev, size_t event_size)
{
    static struct key_maker *keys;
    static struct message_writer w;
    const struct plan *plan = plan_once();
    uint16_t n;
    const struct value *values = message_values(ev, &n);
    struct value row[COLUMNS] = {{.kind = VALUE_NULL}};
    struct task task;
    struct key key;
    size_t bound;
    char *message;
    size_t size;
    json_t *root;

    if (keys == NULL) {
        help_task(&task);
        task.target.include_transaction_details = true;
        must(key_maker_open(&keys, NULL) == 0, "no keys");
        message_open(&w, &task, 1);
        message_begin_batch(&w, 0);
    }
    memcpy(row, values, (n < COLUMNS ? n : COLUMNS) * sizeof(*row));
    message_follow(&w, ev);
    must(key_of_row(keys, plan, row, &key, NULL) == 0, "no key");
    key_hash_rows(keys);
    must(key.size > 0 && key.size <= RECORD_KEY_MAX, "a key Kinesis refuses");
    bound = message_bound(plan, row, &key, event_size);
    message = malloc(bound);
    size = message_row(&w, plan, ev, row, &key, message);
    must(size <= bound, "message longer than its bound");
    if (is_for_jansson(message, size, row)) {
        root = json_loadb(message, size, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
        must(root != NULL, "no JSON");
        json_decref(root);
    }
    free(message);
}

static void
check_control(const struct event *ev)
{
    static struct message_writer w;
    const struct plan *plan = plan_once();
    size_t bound = message_control_bound(plan, ev);
    char *message = malloc(bound);
    size_t size;
    json_t *root;

    message_begin_batch(&w, 0);
    size = message_control(&w, plan, ev, message);
    must(size <= bound, "control message longer than its bound");
    if (memmem(message, size, "\\ud", 3) == NULL) {
        root = json_loadb(message, size, JSON_ALLOW_NUL, NULL);
        must(root != NULL, "no JSON");
        json_decref(root);
    }
    free(message);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    struct event ev;

    if (event_decode(data, size, 1, &room, &ev, &e) != 0) {
        must(e.code == ERR_CORRUPT && e.text[0] != '\0', "refused without a word");
        return 0;
    }
    check_encoding(&ev);
    if (!event_is_control(ev.operation))
        check_message(&ev, size);
    else if (message_control_is_sound(&ev))
        check_control(&ev);
    return 0;
}
