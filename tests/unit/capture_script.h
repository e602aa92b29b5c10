/*
 * The SQL Server engine without a server: a DB-Library of scripted answers, an engine with two tables,
 * and a sink that writes down what it gets.  The program wraps the calls of db.h.
 */
#ifndef WEIR_TESTS_CAPTURE_SCRIPT_H
#define WEIR_TESTS_CAPTURE_SCRIPT_H

#include "capture/sqlserver/db.h"
#include "capture/sqlserver/log.h"
#include "capture/sqlserver/wide.h"
#include "common/err.h"
#include "common/task.h"
#include <check.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a database of scripted answers ---- */

enum { T_INT = 56, T_BINARY = 45, T_CHAR = 47, T_DATETIME = 61, T_OFFSET = 43 };

struct cell {
    int type;
    bool is_null;
    size_t size;
    uint8_t data[64];
};

#define CELLS_MAX  20
#define ROWS_MAX   64
#define SETS_MAX   8
#define ANSWER_MAX 8

struct set {
    int n_columns;
    int n_rows;
    struct cell rows[ROWS_MAX][CELLS_MAX];
};

struct answer {
    int n_sets;
    struct set sets[SETS_MAX];
};

static struct answer answers[ANSWER_MAX];
static int n_answers;
static int at_answer = -1;
static int at_set;
static int at_row;
static char statements[ANSWER_MAX][4096];
static char batches[8192]; /* those without results that matter */

int __wrap_db_open(const struct db_config *config, struct db **out, struct err *e);
int __wrap_db_run(struct db *d, const char *sql, struct err *e);
int __wrap_db_query(struct db *d, const char *sql, struct err *e);
int __wrap_db_result(struct db *d, struct err *e);
int __wrap_db_next(struct db *d, struct err *e);
const void *__wrap_db_data(struct db *d, int column, size_t *size);
int __wrap_db_type(struct db *d, int column);
int __wrap_db_columns(struct db *d);
int64_t __wrap_db_int(struct db *d, int column);
void __wrap_db_text(struct db *d, int column, char *buf, size_t size);

int
__wrap_db_open(const struct db_config *config, struct db **out, struct err *e)
{
    (void)config;
    (void)e;
    *out = NULL;
    return 0;
}

int
__wrap_db_run(struct db *d, const char *sql, struct err *e)
{
    (void)d;
    (void)e;
    size_t n = strlen(batches);

    (void)snprintf(batches + n, sizeof(batches) - n, "%s\n", sql);
    return 0;
}

int
__wrap_db_query(struct db *d, const char *sql, struct err *e)
{
    (void)d;
    at_answer++;
    if (at_answer >= n_answers)
        return err_set(e, ERR_SQL, "unexpected statement: %s", sql);
    (void)snprintf(statements[at_answer], sizeof(statements[0]), "%s", sql);
    at_set = 0;
    at_row = -1;
    return 0;
}

int
__wrap_db_result(struct db *d, struct err *e)
{
    (void)d;
    (void)e;
    at_row = -1;
    return ++at_set < answers[at_answer].n_sets ? 1 : 0;
}

int
__wrap_db_next(struct db *d, struct err *e)
{
    (void)d;
    (void)e;
    return ++at_row < answers[at_answer].sets[at_set].n_rows ? 1 : 0;
}

static inline const struct cell *
current(int column)
{
    return &answers[at_answer].sets[at_set].rows[at_row][column];
}

const void *
__wrap_db_data(struct db *d, int column, size_t *size)
{
    const struct cell *c = current(column);

    (void)d;
    *size = c->is_null ? 0 : c->size;
    return c->is_null ? NULL : c->data;
}

int
__wrap_db_type(struct db *d, int column)
{
    (void)d;
    return current(column)->type;
}

int
__wrap_db_columns(struct db *d)
{
    (void)d;
    return answers[at_answer].sets[at_set].n_columns;
}

int64_t
__wrap_db_int(struct db *d, int column)
{
    int32_t i = 0;

    (void)d;
    if (!current(column)->is_null)
        memcpy(&i, current(column)->data, sizeof(i));
    return i;
}

void
__wrap_db_text(struct db *d, int column, char *buf, size_t size)
{
    const struct cell *c = current(column);

    (void)d;
    (void)snprintf(buf, size, "%.*s", c->is_null ? 0 : (int)c->size, (const char *)c->data);
}

static inline struct answer *
new_answer(void)
{
    ck_assert_int_lt(n_answers, ANSWER_MAX);
    memset(&answers[n_answers], 0, sizeof(answers[0]));
    return &answers[n_answers++];
}

static inline struct set *
new_set(struct answer *a)
{
    ck_assert_int_lt(a->n_sets, SETS_MAX);
    return &a->sets[a->n_sets++];
}

/* Adds a row.  i: int; l: LSN (int); m: mask (int, one byte); t: text as UTF-16 bytes; a: as ASCII; n: NULL;
   d: a moment; o: a moment with offset. */
static inline void
add_row(struct set *s, const char *format, ...)
{
    struct cell *row = s->rows[s->n_rows++];
    va_list ap;

    va_start(ap, format);
    for (int c = 0; format[c] != '\0'; c++) {
        struct cell *x = &row[c];
        const char *text;
        int32_t i;

        s->n_columns = c + 1;
        switch (format[c]) {
        case 'i':
            i = va_arg(ap, int);
            *x = (struct cell){.type = T_INT, .size = 4};
            memcpy(x->data, &i, sizeof(i));
            break;
        case 'l':
            i = va_arg(ap, int);
            *x = (struct cell){.type = T_BINARY, .size = LSN_SIZE};
            x->data[8] = (uint8_t)(i >> 8);
            x->data[9] = (uint8_t)i;
            break;
        case 'm':
            i = va_arg(ap, int);
            *x = (struct cell){.type = T_BINARY, .size = 1, .data = {(uint8_t)i}};
            break;
        case 'a':
            text = va_arg(ap, const char *);
            *x = (struct cell){.type = T_CHAR, .size = strlen(text)};
            memcpy(x->data, text, x->size);
            break;
        case 't':
            text = va_arg(ap, const char *);
            *x = (struct cell){.type = T_BINARY};
            x->size = wide_from_utf8(text, strlen(text), x->data);
            break;
        case 'd': /* 2024-01-01 00:00:00 local */
            *x = (struct cell){.type = T_DATETIME, .size = 8};
            i = 45290;
            memcpy(x->data, &i, sizeof(i));
            break;
        case 'o': /* +02:00 */
            *x = (struct cell){.type = T_OFFSET, .size = 16};
            i = 45290;
            memcpy(x->data + 8, &i, sizeof(i));
            x->data[12] = 120;
            break;
        default:
            *x = (struct cell){.type = T_BINARY, .is_null = true};
            break;
        }
    }
    va_end(ap);
}

/* ---- an engine with two tables ---- */

static struct sqlserver s;
static struct task task;

static inline void
set_lsn(struct lsn *l, int n)
{
    memset(l, 0, sizeof(*l));
    l->b[8] = (uint8_t)(n >> 8);
    l->b[9] = (uint8_t)n;
}

/* id int key, v nvarchar(50), big nvarchar(max) */
static inline struct instance *
make_instance(const char *name, int object)
{
    static const struct {
        const char *name;
        uint8_t type;
        int16_t length;
    } columns[] = {{"id", 56, 4}, {"v]x", 231, 100}, {"big", 231, -1}};
    struct instance *in = calloc(1, sizeof(*in));
    struct table_def *d = calloc(1, sizeof(*d));
    struct sql q = {.text = NULL};
    struct err e = ERR_INIT;

    in->table.def = d;
    in->table.instance = malloc(80);
    (void)snprintf(in->table.instance, 80, "dbo_%s", name);
    d->schema = strdup("dbo");
    d->name = strdup(name);
    d->n_columns = 3;
    in->n_columns = 3;
    d->columns = calloc(3, sizeof(*d->columns));
    in->types = calloc(3, sizeof(*in->types));
    in->ordinals = calloc(3, sizeof(*in->ordinals));
    for (uint16_t i = 0; i < 3; i++) {
        in->types[i].system_type = columns[i].type;
        in->types[i].max_length = columns[i].length;
        ck_assert_int_eq(type_describe(&in->types[i], &d->columns[i], &e), 0);
        d->columns[i].name = strdup(columns[i].name);
        d->columns[i].source_type = strdup(in->types[i].name);
        in->ordinals[i] = (uint16_t)(i + 1);
        if (i > 0)
            sql_add(&q, ", ");
        type_add_select(&q, &in->types[i], columns[i].name);
    }
    d->columns[0].key_ordinal = 1;
    d->columns[1].key_ordinal = 2;
    ck_assert_int_eq(catalog_finish(d, &e), 0);
    in->select_list = q.text;
    in->load_list = strdup(q.text);
    in->change_object = object;
    in->source_object = object + 1000;
    in->is_known = true;
    in->page_rows = 4;
    set_lsn(&in->start, 5);
    set_lsn(&in->since, 10);
    return in;
}

/* Of a list of one or two change tables, of which nothing but the id is told. */
static inline uint64_t
list_digest(int32_t a, int32_t b)
{
    const int32_t objects[] = {a, b};
    uint64_t sum = 1;

    for (int i = 0; i < (b != 0 ? 2 : 1); i++) {
        uint64_t one = 0xCBF29CE484222325ULL;

        for (size_t k = 0; k < sizeof(objects[i]); k++)
            one = (one ^ (uint8_t)((uint32_t)objects[i] >> (8 * k))) * 0x100000001B3ULL;
        sum += one;
    }
    return sum;
}

static inline void
setup(void)
{
    static char database[] = "shop";

    memset(&s, 0, sizeof(s));
    n_answers = 0;
    at_answer = -1;
    task.source.database_name = database;
    s.config.task = &task;
    s.window.limit = 16;
    s.by_function = json_array();
    s.instances = calloc(4, sizeof(struct instance *));
    s.active = calloc(4, sizeof(struct instance *));
    s.instances[0] = make_instance("a", 1);
    s.instances[1] = make_instance("b", 2);
    s.n_instances = 2;
    s.change_tables = list_digest(1, 2);
}

static inline void
teardown(void)
{
    for (size_t i = 0; i < s.n_instances; i++)
        meta_instance_free(&s.instances[i]);
    free(s.instances);
    free(s.active);
    json_decref(s.by_function);
    sql_free(&s.q);
}

/* As an earlier run has noted it. */
static inline void
read_by_function(struct instance *in)
{
    in->by_function = true;
    in->is_old = true;
    (void)json_array_append_new(s.by_function, json_string(in->table.instance));
}

static inline void
keep_table_a(void)
{
    meta_instance_free(&s.instances[1]);
    s.n_instances = 1;
    s.change_tables = list_digest(1, 0);
}

/* ---- what the sink gets ---- */

static char story[8192];

__attribute__((format(printf, 1, 2))) static void
tell(const char *format, ...)
{
    size_t n = strlen(story);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(story + n, sizeof(story) - n, format, ap);
    va_end(ap);
}

static inline void
tell_values(const char *what, const struct value *v, unsigned n)
{
    if (n == 0)
        return;
    tell(" %s(", what);
    for (unsigned i = 0; i < n; i++)
        switch (v[i].kind) {
        case VALUE_NULL:
            tell("%snull", i > 0 ? "," : "");
            break;
        case VALUE_UNAVAILABLE:
            tell("%s?", i > 0 ? "," : "");
            break;
        case VALUE_INT:
            tell("%s%ld", i > 0 ? "," : "", (long)v[i].i);
            break;
        case VALUE_TEXT:
        case VALUE_BOOL:
        case VALUE_UINT:
        case VALUE_FLOAT32:
        case VALUE_FLOAT64:
        case VALUE_DECIMAL:
        case VALUE_BYTES:
        case VALUE_DATE:
        case VALUE_TIME:
        case VALUE_DATETIME:
        case VALUE_DATETIMEOFFSET:
        case VALUE_UUID:
        case VALUE_CUT_TEXT:
        case VALUE_CUT_BYTES:
        default:
            tell("%s%.*s", i > 0 ? "," : "", (int)v[i].bytes.size, v[i].bytes.data);
            break;
        }
    tell(")");
}

static inline int
on_change(void *arg, struct source_table *t, struct event *ev, struct err *e)
{
    struct position_sqlserver p;

    (void)arg;
    (void)e;
    position_to_sqlserver(&ev->position, &p);
    tell("%s %d.%d#%u", t->def->name, p.start_lsn[9], p.operation, ev->record_number);
    tell_values("before", ev->before, ev->n_before);
    tell_values("after", ev->after, ev->n_after);
    tell("\n");
    return 0;
}

static inline int
on_complete(void *arg, const struct position *position, int64_t commit_real_ns, uint32_t n,
            struct err *e)
{
    (void)arg;
    (void)e;
    tell("complete %d at %ld of %u\n", position->b[9], (long)(commit_real_ns / 1000000000), n);
    return 0;
}

static inline int
on_definition(void *arg, struct source_table *t, struct source_table *old,
              const struct position *position, const char *ddl, struct err *e)
{
    (void)arg;
    (void)e;
    tell("definition of %s at %d, %s%s%s\n", t->instance, position->b[9],
         old != NULL ? "again" : "new", ddl != NULL ? ": " : "", ddl != NULL ? ddl : "");
    return 0;
}

static inline int
on_lost(void *arg, struct source_table *t, const struct source_gap *gap, struct err *e)
{
    (void)arg;
    (void)e;
    tell("%s lost %d-%d before %ld: %s\n", t->def->name, gap->from.b[9], gap->upto.b[9],
         (long)(gap->upto_real_ns / 1000000000), gap->why);
    t->refused = strdup("lost");
    return 0;
}

static const struct source_sink sink = {
    .change = on_change, .complete = on_complete, .definition = on_definition, .lost = on_lost};

/* The poll's four sets: clock, window, newest, change tables. */
static inline void
answer_poll(const int *lsns, int n, int newest, int start_a, int start_b)
{
    struct answer *a = new_answer();
    struct set *set;

    add_row(new_set(a), "o");
    set = new_set(a);
    for (int i = 0; i < n; i++)
        add_row(set, "ldm", lsns[i], lsns[i]);
    add_row(new_set(a), "l", newest);
    set = new_set(a);
    add_row(set, "il", 1, start_a);
    if (start_b >= 0)
        add_row(set, "il", 2, start_b);
}

static inline void
answer_low_water(int start_a, int start_b)
{
    struct set *set = new_set(new_answer());

    add_row(set, "il", 1, start_a);
    add_row(set, "il", 2, start_b);
}

static inline int
follow(int from, struct err *e)
{
    struct source_status status;
    struct position p;
    struct lsn l;

    set_lsn(&l, from);
    position_lsn_complete(l.b, &p);
    story[0] = '\0';
    return log_follow(&s.base, &p, &sink, &status, e);
}

/* Goes on behind (LSN, command id, seqval, operation). */
static inline int
follow_inside(int lsn, int command_id, int seqval, int operation, struct err *e)
{
    struct position_sqlserver p = {.command_id = command_id, .operation = (uint8_t)operation};
    struct source_status status;
    struct position from;
    struct lsn l;

    set_lsn(&l, lsn);
    memcpy(p.start_lsn, l.b, LSN_SIZE);
    set_lsn(&l, seqval);
    memcpy(p.seqval, l.b, LSN_SIZE);
    position_from_sqlserver(&p, &from);
    story[0] = '\0';
    return log_follow(&s.base, &from, &sink, &status, e);
}

#endif
