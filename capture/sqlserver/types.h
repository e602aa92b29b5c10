/*
 * types - SQL Server's types: what a column is called, how it is asked for, how its bytes become a
 * struct value, and how a value becomes a literal of exactly its type.
 *
 * Character columns are asked for as UTF-16LE bytes (CONVERT to varbinary) and decoded here:
 * DB-Library's own conversion loses unpaired surrogates and dies of some of them.  A sql_variant
 * becomes text in the query, because DB-Library hides the type of what is in it.  Where large values
 * are cut, the query cuts them, so that the rest never crosses the wire.
 *
 * Source of the formats: DB-Library's structs as in sybdb.h; sys.columns.system_type_id.
 */
#ifndef WEIR_SQLSERVER_TYPES_H
#define WEIR_SQLSERVER_TYPES_H

#include "common/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct column_def;
struct err;
struct sql;

/* How a column's bytes arrive, and what they become. */
enum type_wire {
    WIRE_NATIVE,      /* as DB-Library gives the type */
    WIRE_UTF16,       /* UTF-16LE in varbinary */
    WIRE_VARIANT,     /* UTF-16LE in varbinary; the first character says what the rest is */
    WIRE_HIERARCHYID, /* the CLR type's own bytes: see clr.h */
    WIRE_GEOMETRY,
    WIRE_GEOGRAPHY,
};

struct type_column {
    uint8_t system_type; /* sys.columns.system_type_id */
    int32_t user_type;   /* sys.columns.user_type_id; tells the CLR types apart */
    int16_t max_length;  /* bytes; -1 = (max) */
    uint8_t precision;
    uint8_t scale;
    enum type_wire wire;
    bool is_lob;     /* NULL in an update's rows may mean "not there" */
    bool is_old_lob; /* text, ntext, image: never in before images */
    uint32_t limit;  /* of a LOB: bytes (of UTF-8) above which it is cut; 0 = never */
    char name[40];   /* declaration: "decimal(38,10)" */
    char *collation; /* when it is not the database's; else NULL.  Owned by the table */
};

/* Fills the rest of c from its first five members, and out's type fields (not its name, key or
   nullability; out->source_type is c->name).  ERR_DATA for a type weir cannot carry. */
int type_describe(struct type_column *c, struct column_def *out, struct err *e);

/* True when values of the type can be written as literals: a key can be paged. */
bool type_is_key(const struct type_column *c);

/* The select expression for column `name`.  Never with the name as alias: ORDER BY would then mean
   the expression and not the column. */
void type_add_select(struct sql *q, const struct type_column *c, const char *name);

/* A literal of the column's exact type; v is not NULL. */
void type_add_literal(struct sql *q, const struct type_column *c, const struct value *v);

/* Sets the size at which values of c are cut, where a part of a value is of use: not of geometry and
   geography.  Before type_add_select(). */
void type_limit(struct type_column *c, uint32_t bytes);

/*
 * Decodes what DB-Library gives for a value.  db_type is dbcoltype(); data NULL = NULL.  Texts and
 * bytes are copied into a.  ERR_DATA for a db_type no column of ours can have or a wrong size,
 * ERR_NOMEM.
 */
int type_decode(int db_type, enum type_wire wire, const void *data, size_t size, struct arena *a,
                struct value *out, struct err *e);

/* The same for a value of column c, asked for by type_add_select(). */
int type_decode_column(const struct type_column *c, int db_type, const void *data, size_t size,
                       struct arena *a, struct value *out, struct err *e);

#endif
