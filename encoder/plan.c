#include "encoder/plan.h"

#include "common/catalog.h"
#include "common/err.h"
#include "common/stats.h"
#include "common/task.h"
#include "encoder/key.h"
#include "encoder/plan_text.h"

#include <stdio.h>
#include <stdlib.h>

/* Text of a row's message that stands in no fragment: numbers, times, positions. */
#define NUMBERS_BOUND 512

/* A value but for its bytes: its text or what surrounds it (quotes, "0x", 'Z', null). */
#define VALUE_BOUND (VALUE_TEXT_MAX + 4)

/* The number types print under these names in control records: captures of DMS show INT32,
   STRING, TIMESTAMP and WSTRING; the others are formed the same way. */
static const char *const printed_types[DMS_TYPE_COUNT] = {
    [DMS_BOOLEAN] = "BOOLEAN", [DMS_BYTES] = "BYTES",        [DMS_DATE] = "DATE",
    [DMS_TIME] = "TIME",       [DMS_DATETIME] = "TIMESTAMP", [DMS_INT1] = "INT8",
    [DMS_INT2] = "INT16",      [DMS_INT4] = "INT32",         [DMS_INT8] = "INT64",
    [DMS_NUMERIC] = "NUMERIC", [DMS_REAL4] = "REAL4",        [DMS_REAL8] = "REAL8",
    [DMS_STRING] = "STRING",   [DMS_UINT1] = "UINT8",        [DMS_UINT2] = "UINT16",
    [DMS_UINT4] = "UINT32",    [DMS_UINT8] = "UINT64",       [DMS_WSTRING] = "WSTRING",
    [DMS_BLOB] = "BLOB",       [DMS_CLOB] = "CLOB",          [DMS_NCLOB] = "NCLOB",
};

static const char *const row_names[PLAN_ROWS] = {
    [PLAN_LOAD] = "load",
    [PLAN_INSERT] = "insert",
    [PLAN_UPDATE] = "update",
    [PLAN_DELETE] = "delete",
};

static struct fragment
schema_dot_table(struct plan_text *t, const char *task, const struct table_def *table,
                 const char *end)
{
    plan_text_begin(t);
    if (task != NULL) {
        plan_text_raw(t, task);
        plan_text_raw(t, ".");
    }
    plan_text_raw(t, table->schema);
    plan_text_raw(t, ".");
    plan_text_raw(t, table->name);
    plan_text_raw(t, end);
    return plan_text_end(t);
}

/* `"schema-name": ..., "table-name": ...` */
static void
put_names(struct plan_text *t, const struct table_def *table)
{
    plan_text_member(t, "schema-name");
    plan_text_string(t, table->schema);
    plan_text_member(t, "table-name");
    plan_text_string(t, table->name);
}

static void
compile_row_heads(struct plan_text *t, const struct task *task, const struct table_def *table,
                  struct plan *p)
{
    p->has_key_value = p->n_key > 0 && task->target.include_partition_value;
    for (int row = 0; row < PLAN_ROWS; row++) {
        plan_text_begin(t);
        plan_text_raw(t, "\"");
        plan_text_member(t, "record-type");
        plan_text_string(t, "data");
        plan_text_member(t, "operation");
        plan_text_string(t, row_names[row]);
        plan_text_member(t, "partition-key-type");
        plan_text_string(t, p->n_key > 0 ? "primary-key" : "schema-table");
        if (p->has_key_value) {
            plan_text_member(t, "partition-key-value");
            plan_text_raw(t, "\"");
        } else {
            put_names(t, table);
        }
        p->row_head[row] = plan_text_end(t);
    }
    plan_text_begin(t);
    if (p->has_key_value) {
        plan_text_raw(t, "\"");
        put_names(t, table);
    }
    p->after_key = plan_text_end(t);
}

static struct fragment
member_fragment(struct plan_text *t, const char *name, const char *value)
{
    plan_text_begin(t);
    plan_text_member(t, name);
    plan_text_raw(t, value);
    return plan_text_end(t);
}

static void
compile_members(struct plan_text *t, const struct table_def *table, struct plan *p)
{
    plan_text_begin(t);
    plan_text_message(t);
    plan_text_member(t, "data");
    plan_text_open(t);
    p->data_open = plan_text_end(t);
    for (uint16_t i = 0; i < p->n_columns; i++) {
        t->has_member = true; /* the first one's comma is dealt with by message.c */
        p->columns[i].name = member_fragment(t, table->columns[i].name, "");
        plan_text_begin(t);
        plan_text_string(t, table->columns[i].name);
        p->columns[i].quoted = plan_text_end(t);
    }
    plan_text_begin(t);
    plan_text_close(t);
    plan_text_member(t, "metadata");
    plan_text_open(t);
    plan_text_member(t, "timestamp");
    plan_text_raw(t, "\"");
    p->metadata_open = plan_text_end(t);
    p->transaction_id = member_fragment(t, "transaction-id", "");
    p->transaction_record_id = member_fragment(t, "transaction-record-id", "");
    p->previous_transaction_id = member_fragment(t, "prev-transaction-id", "");
    p->previous_record_id = member_fragment(t, "prev-transaction-record-id", "");
    p->commit_timestamp = member_fragment(t, "commit-timestamp", "\"");
    p->stream_position = member_fragment(t, "stream-position", "\"");
    p->unavailable = member_fragment(t, "weir-unavailable-columns", "[");
    p->truncated = member_fragment(t, "weir-truncated-columns", "{");
}

static void
put_column_def(struct plan_text *t, const struct column_def *c)
{
    plan_text_member(t, c->name);
    plan_text_open(t);
    plan_text_member(t, "type");
    plan_text_string(t, printed_types[c->type]);
    if (c->length > 0) {
        plan_text_member(t, "length");
        plan_text_number(t, c->length);
    }
    if (c->type == DMS_NUMERIC) {
        plan_text_member(t, "precision");
        plan_text_number(t, c->precision);
        plan_text_member(t, "scale");
        plan_text_number(t, c->scale);
    }
    plan_text_member(t, "nullable");
    plan_text_raw(t, c->nullable ? "true" : "false");
    plan_text_close(t);
}

static void
put_table_def(struct plan_text *t, const struct table_def *table)
{
    plan_text_member(t, "table-def");
    plan_text_open(t);
    plan_text_member(t, "columns");
    plan_text_open(t);
    for (uint16_t i = 0; i < table->n_columns; i++)
        put_column_def(t, &table->columns[i]);
    plan_text_close(t);
    if (table->n_key > 0) {
        plan_text_member(t, "primary-key");
        plan_text_raw(t, "[");
        for (uint16_t i = 0; i < table->n_key; i++) {
            if (i > 0)
                plan_text_raw(t, t->is_formatted ? ", " : ",");
            plan_text_string(t, table->columns[table->key[i]].name);
        }
        plan_text_raw(t, "]");
    }
    plan_text_close(t);
}

/* `"record-type": "control"` to the end of the message. */
static struct fragment
control_tail(struct plan_text *t, const struct task *task, const struct table_def *table,
             const char *operation)
{
    plan_text_begin(t);
    plan_text_raw(t, "\"");
    plan_text_member(t, "record-type");
    plan_text_string(t, "control");
    plan_text_member(t, "operation");
    plan_text_string(t, operation);
    plan_text_member(t, "partition-key-type");
    plan_text_string(t, "task-id");
    if (task->target.include_partition_value) {
        plan_text_member(t, "partition-key-value");
        plan_text_string(t, task->identifier);
    }
    put_names(t, table);
    plan_text_message_end(t);
    return plan_text_end(t);
}

static void
open_metadata(struct plan_text *t)
{
    plan_text_member(t, "metadata");
    plan_text_open(t);
    plan_text_member(t, "timestamp");
    plan_text_raw(t, "\"");
}

static struct plan_control
compile_control(struct plan_text *t, const struct task *task, const struct table_def *table,
                const char *operation, bool has_table_def)
{
    struct plan_control c;

    plan_text_begin(t);
    plan_text_message(t);
    if (task->target.include_control_details) {
        plan_text_member(t, "control");
        plan_text_open(t);
        if (has_table_def)
            put_table_def(t, table);
        plan_text_close(t);
    }
    open_metadata(t);
    c.head = plan_text_end(t);
    c.tail = control_tail(t, task, table, operation);
    return c;
}

/* What each kind of change tells; the order of the texts is that of the event. */
static const struct {
    const char *operation;
    const char *texts[EVENT_MAX_TEXTS];
} alters[PLAN_ALTERS] = {
    [PLAN_ALTER(EVENT_RENAME_TABLE)] = {"rename-table",
                                        {"old-schema-name", "old-table-name", "ddl"}},
    [PLAN_ALTER(EVENT_ADD_COLUMN)] = {"add-column", {"column-name", "type", "ddl"}},
    [PLAN_ALTER(EVENT_DROP_COLUMN)] = {"drop-column", {"column-name", "type", "ddl"}},
    [PLAN_ALTER(EVENT_CHANGE_TYPE)] = {"column-type-change",
                                       {"column-name", "old-type", "new-type", "ddl"}},
    [PLAN_ALTER(EVENT_CHANGE_COLUMNS)] = {"change-columns", {"ddl"}},
};

/* Which control records go out: DMS has one setting of the endpoint for all that tell of changed
   definitions, and two of the task for whether such changes are followed at all. */
static void
select_controls(const struct task *task, struct plan *p)
{
    bool is_sent = task->target.include_table_alter_operations;

    p->is_drop_sent = is_sent && task->handle_source_table_dropped;
    for (size_t i = 0; i < PLAN_ALTERS; i++)
        p->alters[i].is_sent = is_sent && task->handle_source_table_altered;
}

static void
compile_alters(struct plan_text *t, const struct task *task, const struct table_def *table,
               struct plan *p)
{
    p->has_details = task->target.include_control_details;
    select_controls(task, p);
    for (size_t i = 0; i < PLAN_ALTERS; i++) {
        struct plan_alter *a = &p->alters[i];

        plan_text_begin(t);
        plan_text_message(t);
        if (p->has_details) {
            plan_text_member(t, "control");
            plan_text_open(t);
            put_table_def(t, table);
            plan_text_member(t, "weir-change");
            plan_text_open(t);
        } else {
            open_metadata(t);
        }
        if (i == 0) /* the same for all of them */
            p->alter_head = plan_text_end(t);
        else
            t->size = t->start;
        while (p->has_details && a->n_texts < EVENT_MAX_TEXTS &&
               alters[i].texts[a->n_texts] != NULL) {
            a->texts[a->n_texts] = member_fragment(t, alters[i].texts[a->n_texts], "\"");
            a->n_texts++;
        }
        plan_text_begin(t);
        if (p->has_details) {
            plan_text_close(t);
            plan_text_close(t);
            open_metadata(t);
        }
        if (i == 0)
            p->alter_details = plan_text_end(t);
        else
            t->size = t->start;
        a->tail = control_tail(t, task, table, alters[i].operation);
    }
}

/* A constant key is cut like any other. */
static void
hash_constant(struct plan_text *t, struct plan_key *key)
{
    char fitted[RECORD_KEY_MAX];
    uint32_t size = key_fit(t->text + key->text.at, key->text.size, fitted);

    if (size != key->text.size || memcmp(fitted, t->text + key->text.at, size) != 0) {
        plan_text_begin(t);
        plan_text_bytes(t, fitted, size);
        key->text = plan_text_end(t);
    }
    key_hash(fitted, size, key->hash);
}

/* The end of a row's message comes before the controls: it closes what the members opened. */
static void
compile_text(struct plan_text *t, const struct task *task, const struct table_def *table,
             struct plan *p)
{
    compile_members(t, table, p);
    compile_row_heads(t, task, table, p);
    plan_text_begin(t);
    plan_text_message_end(t);
    p->end = plan_text_end(t);
    p->fixed_bound = t->size + NUMBERS_BOUND + (size_t)p->n_columns * VALUE_BOUND;
    p->create_table = compile_control(t, task, table, "create-table", true);
    p->drop_table = compile_control(t, task, table, "drop-table", false);
    compile_alters(t, task, table, p);
    p->table_key.text = schema_dot_table(t, NULL, table, "");
    hash_constant(t, &p->table_key);
    p->control_key.text = schema_dot_table(t, task->identifier, table, "");
    hash_constant(t, &p->control_key);
    p->empty_prefix = schema_dot_table(t, NULL, table, ".");
    if (task->target.partition_include_schema_table)
        p->key_prefix = p->empty_prefix;
    p->has_plain_prefix = p->key_prefix.size + VALUE_TEXT_MAX <= KEY_CHARACTERS_MAX &&
                          key_is_plain(t->text + p->key_prefix.at, p->key_prefix.size);
}

static int
check_definition(const struct table_def *table, struct err *e)
{
    if (table->n_columns == 0 || table->n_columns > EVENT_MAX_COLUMNS)
        return err_set(e, ERR_CORRUPT, "definition %u.%u of %s.%s has %u columns, 1 to %u can be",
                       table->id, table->version, table->schema, table->name, table->n_columns,
                       EVENT_MAX_COLUMNS);
    for (uint16_t i = 0; i < table->n_columns; i++) {
        const struct column_def *c = &table->columns[i];

        if ((c->type == DMS_TIME || c->type == DMS_DATETIME || c->type == DMS_WSTRING) &&
            c->scale > 9)
            return err_set(e, ERR_CORRUPT,
                           "definition %u.%u of %s.%s: %u fraction digits in column %s, 9 can be",
                           table->id, table->version, table->schema, table->name, c->scale,
                           c->name);
    }
    return 0;
}

int
plan_compile(const struct task *task, const struct table_def *table, struct plan **out,
             struct err *e)
{
    static const char slack[FRAGMENT_SLACK];
    struct plan_text t = {.is_formatted = task->target.message_format == FORMAT_JSON};
    struct plan *p;

    if (check_definition(table, e) != 0)
        return -1;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return err_set(e, ERR_NOMEM, "plan of %s.%s", table->schema, table->name);
    p->table_id = table->id;
    p->version = table->version;
    /* Capture knows whether names fold in the source and has chosen; what it chose under
       either reading must not be lost here. */
    p->is_selected = task_selects(task, table->schema, table->name, false) ||
                     task_selects(task, table->schema, table->name, true);
    p->n_columns = table->n_columns;
    p->n_key = table->n_key;
    p->columns = calloc(table->n_columns, sizeof(*p->columns));
    p->key = calloc((size_t)table->n_key + 1, sizeof(*p->key));
    if (p->columns == NULL || p->key == NULL) {
        plan_free(&p);
        return err_set(e, ERR_NOMEM, "plan of %s.%s", table->schema, table->name);
    }
    if (table->n_key > 0)
        memcpy(p->key, table->key, table->n_key * sizeof(*p->key));
    for (uint16_t i = 0; i < table->n_columns; i++) {
        p->columns[i].scale = table->columns[i].scale <= 9 ? table->columns[i].scale : 0;
        p->columns[i].is_trimmed =
            table->columns[i].is_fixed_text && task->source.trim_space_in_char;
    }
    compile_text(&t, task, table, p);
    plan_text_bytes(&t, slack, sizeof(slack));
    p->text = t.text;
    if (t.is_failed) {
        plan_free(&p);
        return err_set(e, ERR_NOMEM, "plan of %s.%s", table->schema, table->name);
    }
    *out = p;
    return 0;
}

void
plan_free(struct plan **p)
{
    if (*p != NULL) {
        free((*p)->columns);
        free((*p)->key);
        free((*p)->text);
    }
    free(*p);
    *p = NULL;
}

/* ---- all plans ---- */

/* Open addressing; never full, nothing is ever taken out. */
struct plans {
    const struct task *task;
    struct stats *stats;
    struct plan *last;
    struct plan **slots;
    size_t n_slots; /* a power of two */
    size_t used;
};

#define SLOTS_MIN 64

int
plans_open(const struct task *task, struct stats *stats, struct plans **out, struct err *e)
{
    struct plans *p = calloc(1, sizeof(*p));

    if (p != NULL)
        p->slots = calloc(SLOTS_MIN, sizeof(*p->slots));
    if (p == NULL || p->slots == NULL) {
        free(p);
        return err_set(e, ERR_NOMEM, "plans");
    }
    p->n_slots = SLOTS_MIN;
    p->task = task;
    p->stats = stats;
    *out = p;
    return 0;
}

void
plans_close(struct plans **p)
{
    if (*p != NULL) {
        for (size_t i = 0; i < (*p)->n_slots; i++)
            plan_free(&(*p)->slots[i]);
        free((*p)->slots);
    }
    free(*p);
    *p = NULL;
}

static struct plan **
find_slot(struct plan **slots, size_t n_slots, uint32_t table_id, uint32_t version)
{
    size_t at = (table_id * 0x9e3779b1U ^ version * 0x85ebca6bU) & (n_slots - 1);

    while (slots[at] != NULL && (slots[at]->table_id != table_id || slots[at]->version != version))
        at = (at + 1) & (n_slots - 1);
    return &slots[at];
}

static int
grow(struct plans *p, struct err *e)
{
    size_t n = 2 * p->n_slots;
    struct plan **slots;

    if (2 * (p->used + 1) <= p->n_slots)
        return 0;
    slots = calloc(n, sizeof(*slots));
    if (slots == NULL)
        return err_set(e, ERR_NOMEM, "%zu plans", n);
    for (size_t i = 0; i < p->n_slots; i++) {
        if (p->slots[i] != NULL)
            *find_slot(slots, n, p->slots[i]->table_id, p->slots[i]->version) = p->slots[i];
    }
    free(p->slots);
    p->slots = slots;
    p->n_slots = n;
    return 0;
}

static struct plan *
make_plan(struct plans *p, uint32_t table_id, uint32_t version, struct err *e)
{
    char name[257];
    struct table_def *table;
    struct plan *plan;

    if (grow(p, e) != 0 ||
        catalog_read(p->task->weir.state_directory, table_id, version, &table, e) != 0)
        return NULL;
    if (plan_compile(p->task, table, &plan, e) == 0) {
        *find_slot(p->slots, p->n_slots, table_id, version) = plan;
        p->used++;
        if (p->stats != NULL) {
            (void)snprintf(name, sizeof(name), "%s.%s", table->schema, table->name);
            plan->stats = stats_table(p->stats, table_id, name);
            stats_add(p->stats, STAT_SCHEMA_LOADS, 1);
        }
    } else {
        plan = NULL;
    }
    catalog_table_free(&table);
    return plan;
}

const struct plan *
plans_get(struct plans *p, uint32_t table_id, uint32_t version, struct err *e)
{
    struct plan *plan = p->last;

    if (plan != NULL && plan->table_id == table_id && plan->version == version)
        return plan;
    plan = *find_slot(p->slots, p->n_slots, table_id, version);
    if (plan == NULL)
        plan = make_plan(p, table_id, version, e);
    if (plan != NULL)
        p->last = plan;
    return plan;
}
