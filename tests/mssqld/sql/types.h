/*
 * types - what the engine knows of SQL types: names, ids, precedence, storage in SQLite.
 *
 * Storage (the form of a value inside SQLite):
 *   bit..bigint, money, smallmoney          INTEGER (money in 1/10000)
 *   decimal, numeric up to 18 digits        INTEGER, unscaled
 *   decimal, numeric above                  BLOB of 16 bytes, big-endian, sign bit flipped:
 *                                           memcmp order is numeric order
 *   real, float                             REAL
 *   date                                    INTEGER days since 0001-01-01
 *   time                                    INTEGER, 100 ns since midnight
 *   smalldatetime, datetime, datetime2      INTEGER, 100 ns since 0001-01-01
 *   datetimeoffset                          BLOB: 8 bytes UTC as above big-endian, 2 bytes offset
 *   character types, xml                    TEXT, UTF-8
 *   binary types, CLR, rowversion           BLOB
 *   uniqueidentifier                        BLOB of 16 bytes in SQL Server's order of comparison
 *   sql_variant                             BLOB: packed type (8 bytes), tag, stored inner value
 */
#ifndef MSSQLD_TYPES_H
#define MSSQLD_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/mssqld/engine.h"

enum type_store { STORE_INT, STORE_REAL, STORE_TEXT, STORE_BLOB };

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

/* Type of base with the defaults of a declaration without arguments (varchar(30) is CAST's). */
struct sql_type type_make(enum sql_base base);
struct sql_type type_sized(enum sql_base base, int32_t length);
struct sql_type type_decimal(int precision, int scale);

/* "int", "nvarchar"; and "nvarchar(20)". */
const char *type_name(enum sql_base base);
const char *type_describe(const struct sql_type *t, char *buf, size_t size);

/* Finds a type by its name; false when unknown.  Sets *t to the declaration default. */
bool type_by_name(const char *name, struct sql_type *t);

/* As sys.types numbers them. */
int type_system_id(enum sql_base base);
int type_user_id(enum sql_base base);
/* sys.columns.max_length, precision and scale. */
int type_max_length(const struct sql_type *t);
int type_precision(const struct sql_type *t);
int type_scale(const struct sql_type *t);

bool type_is_integer(enum sql_base base);
bool type_is_text(enum sql_base base);
bool type_is_wide(enum sql_base base); /* nchar, nvarchar, ntext, xml */
bool type_is_binary(enum sql_base base);
bool type_is_decimal(enum sql_base base);
bool type_is_number(enum sql_base base);
bool type_is_time(enum sql_base base);
bool type_is_datetime(enum sql_base base);  /* smalldatetime, datetime, datetime2 */
bool type_is_lob(const struct sql_type *t); /* text, ntext, image */
bool type_is_max(const struct sql_type *t);

size_t type_integer_width(enum sql_base base); /* bytes of a bit..bigint */

enum type_store type_store(const struct sql_type *t);

/* True when a stored value of `from` is, bit for bit, the stored value of `to`. */
bool type_same_store(const struct sql_type *from, const struct sql_type *to);

/* The type that both operands of a comparison, UNION or CASE are turned into. */
struct sql_type type_unify(const struct sql_type *a, const struct sql_type *b);

/* A type as one integer and back; collation bytes are kept as a code page index. */
int64_t type_pack(const struct sql_type *t);
struct sql_type type_unpack(int64_t packed);

/* Digits of a decimal that holds every value of an integer or money type. */
struct sql_type type_as_decimal(const struct sql_type *t);

#endif
