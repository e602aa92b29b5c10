/*
 * change_dump - prints what lies in a change ring, for tests that look at capture alone.
 *
 *   change_dump RING-FILE GENERATION
 *
 * One line a record: "watermark POSITION" or
 * "OPERATION TABLE-ID VERSION POSITION TRANSACTION-ID RECORD-NUMBER COMMIT-NS [BEFORE] [AFTER]", with
 * values as their canonical texts in JSON strings, null, "?" for what the log left out, or
 * [text, size of the whole] for what was cut.  Nothing is released: the ring stays as it is, but for the time of the look it has a consumer.
 */
#include "common/err.h"
#include "common/event.h"
#include "common/record.h"
#include "common/ring.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *
operation_name(enum event_operation operation)
{
    switch (operation) {
    case EVENT_LOAD:
        return "load";
    case EVENT_INSERT:
        return "insert";
    case EVENT_UPDATE:
        return "update";
    case EVENT_DELETE:
        return "delete";
    case EVENT_CREATE_TABLE:
        return "create-table";
    case EVENT_DROP_TABLE:
        return "drop-table";
    case EVENT_RENAME_TABLE:
        return "rename-table";
    case EVENT_ADD_COLUMN:
        return "add-column";
    case EVENT_DROP_COLUMN:
        return "drop-column";
    case EVENT_CHANGE_TYPE:
        return "column-type-change";
    case EVENT_CHANGE_COLUMNS:
        return "change-columns";
    default:
        return "unknown";
    }
}

static void
print_value(const struct value *v)
{
    size_t bound = value_text_bound(v);
    char *text = malloc(bound + 1);
    size_t n;

    if (text == NULL)
        abort();
    n = value_text(v, 7, text, bound);
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < ' ') {
            printf("\\u%04x", text[i]);
            continue;
        }
        if (text[i] == '"' || text[i] == '\\')
            putchar('\\');
        putchar(text[i]);
    }
    putchar('"');
    free(text);
}

static void
print_cut(const struct value *v)
{
    putchar('[');
    print_value(v);
    printf(",%u]", v->bytes.whole);
}

static void
print_image(const struct value *values, unsigned n)
{
    printf("\t[");
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            putchar(',');
        if (values[i].kind == VALUE_NULL)
            printf("null");
        else if (values[i].kind == VALUE_UNAVAILABLE)
            printf("\"?\"");
        else if (values[i].kind == VALUE_CUT_TEXT || values[i].kind == VALUE_CUT_BYTES)
            print_cut(&values[i]);
        else
            print_value(&values[i]);
    }
    putchar(']');
}

static void
print_event(const struct event *ev)
{
    char position[POSITION_TEXT_SIZE];

    (void)position_text(&ev->position, position);
    printf("%s\t%u\t%u\t%s\t", operation_name(ev->operation), ev->table_id, ev->version, position);
    for (unsigned i = 0; i < ev->transaction_id_size; i++)
        printf("%02x", ev->transaction_id[i]);
    printf("\t%u\t%" PRId64, ev->record_number, ev->commit_real_ns);
    print_image(ev->before, ev->n_before);
    print_image(ev->after, ev->n_after);
    putchar('\n');
}

static int
print_record(const struct ring_view *v, struct err *e)
{
    static struct event_values room;
    char position[POSITION_TEXT_SIZE];
    struct watermark w;
    struct event ev;

    if (v->type == RING_CONTROL) {
        if (v->len != sizeof(w))
            return err_set(e, ERR_CORRUPT, "a control record of %u bytes", v->len);
        memcpy(&w, v->data, sizeof(w));
        (void)position_text(&w.position, position);
        printf("watermark\t%s\n", position);
        return 0;
    }
    if (event_decode(v->data, v->len, v->table_id, &room, &ev, e) != 0)
        return -1;
    print_event(&ev);
    return 0;
}

int
main(int argc, char **argv)
{
    struct ring_config config = {
        .name = "change", .capacity = RING_CAPACITY_MIN, .record_format = EVENT_FORMAT};
    struct ring *r = NULL;
    struct ring_view v;
    struct err e = ERR_INIT;
    int rc;

    if (argc != 3) {
        (void)fprintf(stderr, "usage: change_dump RING-FILE GENERATION\n");
        return 2;
    }
    config.path = argv[1];
    config.generation = strtoull(argv[2], NULL, 10);
    rc = ring_open_consumer(&config, &r, &e);
    while (rc == 0 && (rc = ring_next(r, &v, &e)) == 1)
        rc = print_record(&v, &e);
    ring_close(&r);
    if (rc < 0)
        (void)fprintf(stderr, "change_dump: %s\n", e.text);
    return rc < 0 ? 1 : 0;
}
