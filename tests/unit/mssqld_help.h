/*
 * What the tests of the T-SQL engine share: an engine in a directory of its own, and a sink that
 * writes answers down as text - rows as a|b|c lines, messages as [number] text.
 */
#ifndef WEIR_TESTS_MSSQLD_HELP_H
#define WEIR_TESTS_MSSQLD_HELP_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "tests/mssqld/engine.h"

/* A sink that writes everything down as text. */
struct record {
    char text[65536];
    size_t size;
    struct sql_type types[64];
    int n_columns;
    int32_t error; /* last message above severity 10 */
};

static inline void
put(struct record *r, const char *text, size_t size)
{
    if (r->size + size + 1 > sizeof r->text)
        size = sizeof r->text - r->size - 1;
    memcpy(r->text + r->size, text, size);
    r->size += size;
    r->text[r->size] = '\0';
}

static inline void
put_decimal(struct record *r, const struct sql_value *v, int scale)
{
    char digits[48];
    int at = (int)sizeof digits;
    int n = 0;
    __extension__ unsigned __int128 m = v->dec.magnitude;

    do {
        if (n == scale && n > 0)
            digits[--at] = '.';
        digits[--at] = (char)('0' + (int)(m % 10));
        m /= 10;
        n++;
    } while (m > 0 || n <= scale);
    if (v->dec.negative)
        put(r, "-", 1);
    put(r, digits + at, sizeof digits - (size_t)at);
}

static inline void
put_value(struct record *r, const struct sql_type *t, const struct sql_value *v)
{
    char buf[64];
    int n = 0;

    if (v->is_null) {
        put(r, "NULL", 4);
    } else if (t->base == SQL_DECIMAL || t->base == SQL_NUMERIC) {
        put_decimal(r, v, t->scale);
    } else if (t->base == SQL_REAL || t->base == SQL_FLOAT) {
        n = snprintf(buf, sizeof buf, "%.17g", v->f);
    } else if (t->base >= SQL_DATE && t->base <= SQL_DATETIMEOFFSET) {
        n = snprintf(buf, sizeof buf, "%d/%lld/%d", v->dt.days, (long long)v->dt.ticks,
                     v->dt.offset_min);
    } else if (t->base >= SQL_CHAR && t->base <= SQL_NTEXT) {
        put(r, v->bytes.data, v->bytes.size);
    } else if (t->base == SQL_VARIANT) {
        put_value(r, v->variant.type, v->variant.value);
    } else if (t->base >= SQL_BINARY && t->base != SQL_XML) {
        put(r, "0x", 2);
        for (size_t i = 0; i < v->bytes.size; i++) {
            n = snprintf(buf, sizeof buf, "%02X", ((const unsigned char *)v->bytes.data)[i]);
            put(r, buf, (size_t)n);
        }
        n = 0;
    } else if (t->base == SQL_XML) {
        put(r, v->bytes.data, v->bytes.size);
    } else {
        n = snprintf(buf, sizeof buf, "%lld", (long long)v->i);
    }
    put(r, buf, (size_t)n);
}

static inline int
on_columns(void *arg, const struct sql_column *columns, int n)
{
    struct record *r = arg;

    ck_assert_int_le(n, 64);
    r->n_columns = n;
    for (int i = 0; i < n; i++)
        r->types[i] = columns[i].type;
    return 0;
}

static inline int
on_row(void *arg, const struct sql_value *values)
{
    struct record *r = arg;

    for (int i = 0; i < r->n_columns; i++) {
        put(r, i > 0 ? "|" : "", i > 0 ? 1 : 0);
        put_value(r, &r->types[i], &values[i]);
    }
    put(r, "\n", 1);
    return 0;
}

static inline int
on_done(void *arg, enum done_kind kind, uint16_t status, uint16_t command, uint64_t rows)
{
    (void)arg;
    (void)kind;
    (void)status;
    (void)command;
    (void)rows;
    return 0;
}

static inline int
on_message(void *arg, int32_t number, uint8_t state, uint8_t severity, const char *text,
           const char *procedure, int32_t line)
{
    struct record *r = arg;
    char buf[600];
    int n = snprintf(buf, sizeof buf, "[%d] %.500s\n", number, text);

    (void)state;
    (void)procedure;
    (void)line;
    if (severity > 10)
        r->error = number;
    put(r, buf, (size_t)n);
    return 0;
}

static inline int
on_database(void *arg, const char *from, const char *to)
{
    (void)arg;
    (void)from;
    (void)to;
    return 0;
}

static inline int
on_transaction(void *arg, uint8_t type, uint64_t descriptor)
{
    (void)arg;
    (void)type;
    (void)descriptor;
    return 0;
}

static inline int
on_status(void *arg, int32_t status)
{
    (void)arg;
    (void)status;
    return 0;
}

static inline int
on_return(void *arg, const char *name, const struct sql_type *type, const struct sql_value *value)
{
    struct record *r = arg;

    put(r, name, strlen(name));
    put(r, "=", 1);
    put_value(r, type, value);
    put(r, "\n", 1);
    return 0;
}

static struct engine *engine;
static char directory[64];

static inline struct sink
sink_of(struct record *r)
{
    return (struct sink){r,           on_columns,     on_row,    on_done,   on_message,
                         on_database, on_transaction, on_status, on_return, NULL};
}

static inline struct session *
login(const char *user, const char *password, const char *database, struct record *r)
{
    struct login_request request = {
        .user = user, .password = password, .database = database, .application = "t", .host = "h"};
    struct sink sink = sink_of(r);
    struct session *s = NULL;

    (void)session_open(engine, &request, 51, &sink, &s);
    return s;
}

/* Runs text; the answer stays in a buffer until the next call. */
static inline const char *
run(struct session *s, const char *text)
{
    static _Thread_local struct record r;
    struct sink sink = sink_of(&r);

    r.size = 0;
    r.text[0] = '\0';
    r.error = 0;
    ck_assert_int_eq(session_run(s, text, NULL, 0, DONE_BATCH, &sink), 0);
    return r.text;
}

static inline void
ok(struct session *s, const char *text)
{
    const char *answer = run(s, text);

    ck_assert_msg(strchr(answer, '[') == NULL, "%s: %s", text, answer);
}

/* One answer, compared whole. */
static inline void
expect(struct session *s, const char *text, const char *want)
{
    const char *answer = run(s, text);

    ck_assert_msg(strcmp(answer, want) == 0, "%s\n  want %s  have %s", text, want, answer);
}

/* The statement fails with this number and no other. */
static inline void
refused(struct session *s, const char *text, int number)
{
    const char *answer = run(s, text);
    char want[16];

    (void)snprintf(want, sizeof want, "[%d] ", number);
    ck_assert_msg(strncmp(answer, want, strlen(want)) == 0, "%s\n  want %s  have %s", text, want,
                  answer);
}

static inline void
setup_with(unsigned dummy_row_ms)
{
    struct engine_config config = {.directory = directory,
                                   .sa_password = "pw",
                                   .server_name = "T",
                                   .dummy_row_ms = dummy_row_ms};
    struct err e = ERR_INIT;

    (void)snprintf(directory, sizeof directory, "/tmp/mssqld_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_msg(engine_open(&config, &engine, &e) == 0, "%s", e.text);
}

static inline void
setup(void)
{
    setup_with(0);
}

static inline void
teardown(void)
{
    char command[128];

    engine_close(&engine);
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static inline struct session *
open_database(void)
{
    static struct record r;
    struct session *s = login("sa", "pw", "", &r);

    ck_assert_ptr_nonnull(s);
    ok(s, "CREATE DATABASE db");
    ok(s, "USE db");
    return s;
}

static inline void
capture(struct session *s, const char *table)
{
    char text[200];

    ok(s, "EXEC sys.sp_cdc_enable_db");
    (void)snprintf(text, sizeof text,
                   "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'%s', "
                   "@role_name = NULL",
                   table);
    ok(s, text);
}

#endif
