/* func - the SQL functions (ms_*) that translated statements call. */
#ifndef MSSQLD_FUNC_H
#define MSSQLD_FUNC_H

#include "tests/mssqld/sql/session.h"

struct func {
    const char *name;
    int n_args;  /* -1 = any */
    bool varies; /* not a pure function of its arguments */
    void (*call)(sqlite3_context *c, int n, sqlite3_value **v);
};

/* Registers all families on the session's connection. */
void func_register(struct session *s);
void func_forget(struct session *s);

void func_add(struct session *s, const struct func *list, size_t n);
void func_register_text(struct session *s);
void func_register_number(struct session *s);
void func_register_time(struct session *s);
void func_register_meta(struct session *s);
void func_register_session(struct session *s);
void func_register_cdc(struct session *s);

/* Helpers of the families. */
struct session *func_session(sqlite3_context *c);
/* Hands session.fn_error (set by the caller) to SQLite. */
void func_fail(sqlite3_context *c);
bool func_any_null(int n, sqlite3_value **v);
void func_result(sqlite3_context *c, const struct sql_type *t, const struct sql_value *v);
void func_text(sqlite3_context *c, const char *text, size_t size);
void func_string(sqlite3_context *c, const char *text); /* NULL gives NULL */
/* Identity values are numeric(38,0) wherever they are asked for. */
void func_identity(sqlite3_context *c, int64_t i);
struct value_context func_context(sqlite3_context *c);
/* A text argument; "" for NULL. */
const char *func_arg(sqlite3_value *v);

#endif
