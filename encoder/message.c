#include "encoder/message.h"

#include "common/digits.h"
#include "common/task.h"
#include "encoder/json.h"

#include <math.h>

#define TIMESTAMP_SIZE (CLOCK_ISO_SIZE - 1)
#define SMALL_EVENT    512

void
message_open(struct message_writer *w, const struct task *task, uint32_t encoders)
{
    memset(w, 0, sizeof(*w));
    w->has_details = task->target.include_transaction_details;
    w->has_previous = w->has_details && encoders == 1;
    w->has_null = task->target.include_null_and_empty;
    w->has_hex_prefix = !task->target.no_hex_prefix;
    w->is_formatted = task->target.message_format == FORMAT_JSON;
    w->commit_real_ns = INT64_MIN;
}

void
message_begin_batch(struct message_writer *w, int64_t real_ns)
{
    (void)clock_iso(real_ns, w->timestamp);
}

const struct value *
message_values(const struct event *ev, uint16_t *n)
{
    bool is_before = ev->operation == EVENT_DELETE && ev->n_before > 0;

    *n = is_before ? ev->n_before : ev->n_after;
    return is_before ? ev->before : ev->after;
}

/* ---- transactions ---- */

/* The text of a number of up to 16 bytes, big-endian, by long division: digits from the end. */
static uint8_t
put_long_number(char *at, const uint8_t *bytes, uint8_t size)
{
    uint8_t rest[EVENT_MAX_TRANSACTION];
    char digits[ID_TEXT_MAX];
    uint8_t n = 0;
    bool is_zero;

    memcpy(rest, bytes, sizeof(rest));
    do {
        unsigned carry = 0;

        is_zero = true;
        for (uint8_t i = 0; i < size; i++) {
            carry = carry << 8 | rest[i];
            rest[i] = (uint8_t)(carry / 10);
            carry %= 10;
            is_zero = is_zero && rest[i] == 0;
        }
        digits[sizeof(digits) - ++n] = (char)('0' + carry);
    } while (!is_zero);
    memcpy(at, digits + sizeof(digits) - n, n);
    return n;
}

/* The id's number, and its text for all messages of the transaction. */
__attribute__((noinline)) static void
begin_transaction(struct message_writer *w, const struct event *ev)
{
    uint64_t number = 0;

    memcpy(w->id, ev->transaction_id, sizeof(w->id));
    w->id_size = ev->transaction_id_size;
    w->id_number = 0;
    if (w->id_size > sizeof(number)) {
        w->id_text_size = put_long_number(w->id_text, w->id, w->id_size);
        return;
    }
    for (uint8_t i = 0; i < w->id_size; i++)
        number = number << 8 | w->id[i];
    w->id_number = number;
    w->id_text_size = (uint8_t)(digits_put_u64(w->id_text, number) - w->id_text);
}

void
message_follow(struct message_writer *w, const struct event *ev)
{
    struct transactions *t = &w->transactions;

    if (ev->transaction_id_size == 0 || ev->operation == EVENT_LOAD)
        return;
    if (ev->transaction_id_size != w->id_size ||
        memcmp(ev->transaction_id, w->id, sizeof(w->id)) != 0) /* zero behind the size */
        begin_transaction(w, ev);
    if (!w->has_previous)
        return;
    if (w->id_size > sizeof(w->id_number) || ev->record_number == 0) {
        *t = (struct transactions){0}; /* no books are kept of such */
        return;
    }
    if (t->current_record != 0 && w->id_number != t->current) {
        t->previous = t->current;
        t->previous_record = t->current_record;
    }
    t->current = w->id_number;
    t->current_record = ev->record_number;
}

static char *
put_details(struct message_writer *w, const struct plan *p, const struct event *ev, char *at)
{
    const struct transactions *t = &w->transactions;

    if (ev->record_number != 0)
        at = digits_put_u64(fragment_put(at, p, p->transaction_record_id), ev->record_number);
    if (t->previous_record != 0) {
        at = digits_put_u64(fragment_put(at, p, p->previous_transaction_id), t->previous);
        at = digits_put_u64(fragment_put(at, p, p->previous_record_id), t->previous_record);
    }
    if (ev->commit_real_ns != 0) {
        if (ev->commit_real_ns != w->commit_real_ns) {
            (void)clock_iso(ev->commit_real_ns, w->commit_text);
            w->commit_real_ns = ev->commit_real_ns;
        }
        at = fragment_put(at, p, p->commit_timestamp);
        memcpy(at, w->commit_text, TIMESTAMP_SIZE);
        at += TIMESTAMP_SIZE;
        *at++ = '"';
    }
    return at;
}

/* ---- values ---- */

static char *
put_float(char *at, const struct value *v)
{
    double d = v->kind == VALUE_FLOAT32 ? (double)v->f32 : v->f64;
    bool is_finite = isfinite(d) != 0;

    /* JSON has no such numbers; a string keeps what it was. */
    if (!is_finite)
        *at++ = '"';
    at += value_text(v, 0, at, VALUE_TEXT_MAX);
    if (!is_finite)
        *at++ = '"';
    return at;
}

/* A decimal as it is, but for zeros in front, which JSON does not allow. */
static char *
put_decimal(char *at, const struct value *v)
{
    const char *from = v->bytes.data;
    const char *end = from + v->bytes.size;

    if (*from == '-')
        *at++ = *from++;
    while (end - from > 1 && from[0] == '0' && from[1] != '.')
        from++;
    memcpy(at, from, (size_t)(end - from));
    return at + (end - from);
}

static char *
put_quoted(const struct plan_column *c, char *at, const struct value *v)
{
    *at++ = '"';
    at += value_text(v, c->scale, at, VALUE_TEXT_MAX);
    if (v->kind == VALUE_DATETIME)
        *at++ = 'Z'; /* DMS writes it although the source knows no zone */
    *at++ = '"';
    return at;
}

static char *
put_bytes(const struct message_writer *w, char *at, const struct value *v)
{
    *at++ = '"';
    if (w->has_hex_prefix) {
        *at++ = '0';
        *at++ = 'x';
    }
    at += value_text(v, 0, at, 2 * (size_t)v->bytes.size);
    *at++ = '"';
    return at;
}

static char *
put_text(char *at, const char *text, uint32_t size)
{
    *at++ = '"';
    at = json_put_text(at, text, size);
    *at++ = '"';
    return at;
}

static char *
put_value(const struct message_writer *w, const struct plan_column *c, char *at,
          const struct value *v)
{
    switch (v->kind) {
    case VALUE_NULL:
    case VALUE_UNAVAILABLE: /* has no member */
        memcpy(at, "null", 4);
        return at + 4;
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_UINT:
        return at + value_text(v, 0, at, VALUE_TEXT_MAX);
    case VALUE_FLOAT32:
    case VALUE_FLOAT64:
        return put_float(at, v);
    case VALUE_DECIMAL:
        return put_decimal(at, v);
    case VALUE_TEXT:
        return put_text(at, v->bytes.data, c->is_trimmed ? key_trimmed(v) : v->bytes.size);
    case VALUE_CUT_TEXT:
        return put_text(at, v->bytes.data, v->bytes.size);
    case VALUE_BYTES:
    case VALUE_CUT_BYTES:
        return put_bytes(w, at, v);
    case VALUE_DATE:
    case VALUE_TIME:
    case VALUE_DATETIME:
    case VALUE_DATETIMEOFFSET:
    case VALUE_UUID:
        return put_quoted(c, at, v);
    }
    return at;
}

/* A member that IncludeNullAndEmpty = false leaves out. */
static bool
is_nothing(const struct plan_column *c, const struct value *v)
{
    if (v->kind == VALUE_TEXT)
        return (c->is_trimmed ? key_trimmed(v) : v->bytes.size) == 0;
    return v->kind == VALUE_NULL || (v->kind == VALUE_BYTES && v->bytes.size == 0);
}

/* What the metadata has to speak of. */
enum { MARK_UNAVAILABLE = 1, MARK_CUT = 2 };

/*
 * The members of "data", whose brace stands before *out.  Every name begins with a comma; the
 * first one is written over the brace, which comes back in the end.  Returns the marks.
 */
static unsigned
put_members(const struct message_writer *w, const struct plan *p, const struct value *values,
            char **out)
{
    const struct plan_column *c = p->columns;
    const struct value *end = values + p->n_columns;
    char *brace = *out - 1;
    char *at = brace;
    unsigned marks = 0;

    for (const struct value *v = values; v < end; v++, c++) {
        if (v->kind == VALUE_INT) { /* what most columns of most rows are */
            at = digits_put_i64(fragment_put(at, p, c->name), v->i);
            continue;
        }
        if (v->kind == VALUE_DATE && v->days >= DIGITS_DAYS_MIN && v->days <= DIGITS_DAYS_MAX) {
            at = fragment_put(at, p, c->name);
            *at++ = '"';
            at = digits_put_date(at, v->days);
            *at++ = '"';
            continue;
        }
        if (v->kind >= VALUE_CUT_TEXT) {
            if (v->kind == VALUE_UNAVAILABLE) {
                marks |= MARK_UNAVAILABLE;
                continue;
            }
            marks |= MARK_CUT;
        }
        if (!w->has_null && is_nothing(c, v))
            continue;
        at = put_value(w, c, fragment_put(at, p, c->name), v);
    }
    *brace = '{';
    *out = at == brace ? at + 1 : at;
    return marks;
}

static char *
put_comma(const struct message_writer *w, bool *is_first, char *at)
{
    if (!*is_first) {
        *at++ = ',';
        if (w->is_formatted)
            *at++ = ' ';
    }
    *is_first = false;
    return at;
}

static char *
put_unavailable(const struct message_writer *w, const struct plan *p, const struct value *values,
                char *at)
{
    bool is_first = true;

    at = fragment_put(at, p, p->unavailable);
    for (uint16_t i = 0; i < p->n_columns; i++)
        if (values[i].kind == VALUE_UNAVAILABLE)
            at = fragment_put(put_comma(w, &is_first, at), p, p->columns[i].quoted);
    *at++ = ']';
    return at;
}

/* Name and size of the whole value, for each column that shows a part of it. */
static char *
put_cut(const struct message_writer *w, const struct plan *p, const struct value *values, char *at)
{
    bool is_first = true;

    at = fragment_put(at, p, p->truncated);
    for (uint16_t i = 0; i < p->n_columns; i++) {
        if (values[i].kind != VALUE_CUT_TEXT && values[i].kind != VALUE_CUT_BYTES)
            continue;
        at = fragment_put(put_comma(w, &is_first, at), p, p->columns[i].quoted);
        *at++ = ':';
        if (w->is_formatted)
            *at++ = '\t';
        at = digits_put_u64(at, values[i].bytes.whole);
    }
    *at++ = '}';
    return at;
}

/* Away from the way of most rows. */
__attribute__((noinline, cold)) static char *
put_marks(const struct message_writer *w, const struct plan *p, const struct value *values,
          unsigned marks, char *at)
{
    if ((marks & MARK_UNAVAILABLE) != 0)
        at = put_unavailable(w, p, values, at);
    return (marks & MARK_CUT) != 0 ? put_cut(w, p, values, at) : at;
}

/* ---- messages ---- */

/* Of a large event: each value by itself. */
__attribute__((noinline)) static size_t
values_bound(const struct plan *plan, const struct value *values)
{
    size_t bound = 0;

    for (const struct value *v = values; v < values + plan->n_columns; v++) {
        if (v->kind == VALUE_TEXT || v->kind == VALUE_CUT_TEXT)
            bound += json_text_bound(v->bytes.data, v->bytes.size);
        else if (v->kind == VALUE_BYTES || v->kind == VALUE_CUT_BYTES || v->kind == VALUE_DECIMAL)
            bound += value_text_bound(v);
    }
    return bound;
}

size_t
message_bound(const struct plan *plan, const struct value *values, const struct key *key,
              size_t event_size)
{
    size_t bound = plan->fixed_bound + JSON_TEXT_BOUND(key->size) + FRAGMENT_SLACK;

    /* All bytes of the values stand in the event; a small one is taken at its worst. */
    if (event_size <= SMALL_EVENT)
        return bound + (size_t)plan->n_columns * JSON_SLACK + 6 * event_size;
    return bound + values_bound(plan, values);
}

static enum plan_row
row_of(enum event_operation operation)
{
    switch (operation) {
    case EVENT_LOAD:
        return PLAN_LOAD;
    case EVENT_INSERT:
        return PLAN_INSERT;
    case EVENT_UPDATE:
        return PLAN_UPDATE;
    case EVENT_DELETE:
    case EVENT_CREATE_TABLE:
    case EVENT_DROP_TABLE:
    case EVENT_RENAME_TABLE:
    case EVENT_ADD_COLUMN:
    case EVENT_DROP_COLUMN:
    case EVENT_CHANGE_TYPE:
    case EVENT_CHANGE_COLUMNS:
        break;
    }
    return PLAN_DELETE;
}

static char *
put_timestamp(const struct message_writer *w, char *at)
{
    memcpy(at, w->timestamp, FRAGMENT_SLACK);
    return at + TIMESTAMP_SIZE;
}

size_t
message_row(struct message_writer *w, const struct plan *plan, const struct event *ev,
            const struct value *values, const struct key *key, char *buf)
{
    char *at = fragment_put(buf, plan, plan->data_open);
    unsigned marks = put_members(w, plan, values, &at);

    at = put_timestamp(w, fragment_put(at, plan, plan->metadata_open));
    at = fragment_put(at, plan, plan->row_head[row_of(ev->operation)]);
    if (plan->has_key_value) {
        at = json_put_text(at, key->text, key->size);
        at = fragment_put(at, plan, plan->after_key);
    }
    if (ev->transaction_id_size > 0 && ev->operation != EVENT_LOAD) {
        at = fragment_put(at, plan, plan->transaction_id);
        memcpy(at, w->id_text, sizeof(w->id_text));
        at += w->id_text_size;
        if (w->has_details)
            at = put_details(w, plan, ev, at);
    }
    at = fragment_put(at, plan, plan->stream_position);
    at += position_text(&ev->position, at);
    *at++ = '"';
    if (marks != 0)
        at = put_marks(w, plan, values, marks, at);
    at = fragment_put(at, plan, plan->end);
    return (size_t)(at - buf);
}

/* ---- control records ---- */

static bool
is_alter(const struct event *ev)
{
    return ev->operation >= EVENT_RENAME_TABLE;
}

static const struct plan_alter *
alter_of(const struct plan *plan, const struct event *ev)
{
    return &plan->alters[PLAN_ALTER(ev->operation)];
}

bool
message_is_sent(const struct plan *plan, const struct event *ev)
{
    if (is_alter(ev))
        return alter_of(plan, ev)->is_sent;
    return ev->operation != EVENT_DROP_TABLE || plan->is_drop_sent ||
           position_is_load(&ev->position);
}

bool
message_control_is_sound(const struct event *ev)
{
    if (ev->n_after > EVENT_MAX_TEXTS)
        return false;
    for (uint16_t i = 0; i < ev->n_after; i++)
        if (ev->after[i].kind != VALUE_TEXT && ev->after[i].kind != VALUE_NULL)
            return false;
    return true;
}

size_t
message_control_bound(const struct plan *plan, const struct event *ev)
{
    const struct plan_alter *a;
    size_t bound = CLOCK_ISO_SIZE + FRAGMENT_SLACK;

    if (!is_alter(ev))
        return bound + plan->create_table.head.size + plan->create_table.tail.size +
               plan->drop_table.head.size + plan->drop_table.tail.size;
    a = alter_of(plan, ev);
    bound += (size_t)plan->alter_head.size + plan->alter_details.size + a->tail.size;
    for (uint16_t i = 0; i < ev->n_after && i < a->n_texts; i++)
        if (ev->after[i].kind == VALUE_TEXT)
            bound += a->texts[i].size + 1 +
                     json_text_bound(ev->after[i].bytes.data, ev->after[i].bytes.size);
    return bound;
}

static char *
put_alter(const struct message_writer *w, const struct plan *p, const struct plan_alter *a,
          const struct event *ev, char *at)
{
    at = fragment_put(at, p, p->alter_head);
    for (uint16_t i = 0; i < ev->n_after && i < a->n_texts; i++) {
        if (ev->after[i].kind != VALUE_TEXT)
            continue;
        at = fragment_put(at, p, a->texts[i]);
        at = json_put_text(at, ev->after[i].bytes.data, ev->after[i].bytes.size);
        *at++ = '"';
    }
    return fragment_put(put_timestamp(w, fragment_put(at, p, p->alter_details)), p, a->tail);
}

size_t
message_control(const struct message_writer *w, const struct plan *plan, const struct event *ev,
                char *buf)
{
    const struct plan_control *c =
        ev->operation == EVENT_CREATE_TABLE ? &plan->create_table : &plan->drop_table;
    char *at;

    if (is_alter(ev))
        return (size_t)(put_alter(w, plan, alter_of(plan, ev), ev, buf) - buf);
    at = put_timestamp(w, fragment_put(buf, plan, c->head));
    return (size_t)(fragment_put(at, plan, c->tail) - buf);
}
