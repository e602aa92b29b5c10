/*
 * value - conversion of values between SQL types, and between values and SQLite's storage.
 *
 * A struct sql_value goes with a struct sql_type; bytes point into the arena handed in, into
 * the source value or into SQLite's memory (then valid until the next step).
 */
#ifndef MSSQLD_VALUE_H
#define MSSQLD_VALUE_H

#include <sqlite3.h>

#include "tests/mssqld/sql/arena.h"
#include "tests/mssqld/sql/datetime.h"
#include "tests/mssqld/sql/decimal.h"
#include "tests/mssqld/sql/sqlerr.h"
#include "tests/mssqld/sql/types.h"

enum value_mode {
    VALUE_CAST,   /* CAST, CONVERT: too long text is cut */
    VALUE_ASSIGN, /* into a column: too long text is error 2628's business */
};

struct value_context {
    struct arena *arena;
    struct sqlerr *e;
    enum value_mode mode;
    enum date_order order; /* SET DATEFORMAT */
    int style;             /* CONVERT's third argument, 0 = none */
};

/* out may be v.  Returns 0, or -1 with the server's number in c->e. */
int value_convert(const struct value_context *c, const struct sql_type *from,
                  const struct sql_value *v, const struct sql_type *to, struct sql_value *out);

/* Exact number of an integer, money or decimal value. */
struct decimal value_decimal(const struct sql_type *t, const struct sql_value *v);
void value_set_decimal(struct sql_value *out, int128 value);

/* Text of any value as CONVERT(nvarchar(max), v, style) gives it. */
int value_text(const struct value_context *c, const struct sql_type *t, const struct sql_value *v,
               const char **text, size_t *size);

/* A value's form inside SQLite. */
struct stored {
    int kind; /* SQLITE_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL */
    int64_t i;
    double f;
    const void *data;
    size_t size;
};

void value_store(const struct sql_type *t, const struct sql_value *v, struct arena *a,
                 struct stored *out);
void
value_load(const struct sql_type *t, sqlite3_value *from, struct arena *a, struct sql_value *out);

/* The same from a stored form held elsewhere. */
void value_unstore(const struct sql_type *t, const struct stored *s, struct arena *a,
                   struct sql_value *out);

/* Takes the stored form as it is; data is borrowed. */
void stored_take(sqlite3_value *from, struct stored *out);
int stored_bind(sqlite3_stmt *stmt, int index, const struct stored *s);
void stored_result(sqlite3_context *context, const struct stored *s);
/* True when both are the same value, bit for bit. */
bool stored_equal(const struct stored *a, const struct stored *b);

/* Characters as bytes of a code page (0 = 1252), and back; arena memory. */
const char *page_encode(int page, const char *text, size_t size, struct arena *a, size_t *out);
const char *page_decode(int page, const char *bytes, size_t size, struct arena *a, size_t *out);
/* Bytes the text takes in the code page. */
size_t page_size(int page, const char *text, size_t size);

#endif
