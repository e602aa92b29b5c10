/* collation - names, wire bytes, code pages and comparison of the collations known here. */
#ifndef MSSQLD_COLLATION_H
#define MSSQLD_COLLATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sql_type;

#define COLLATION_DEFAULT "SQL_Latin1_General_CP1_CI_AS"

/* Fills the five wire bytes; false for a name of no known family. */
bool collation_bytes(const char *name, uint8_t out[5]);

/* Name that belongs to the bytes (the default's for unset ones); static or cached text. */
const char *collation_name(const uint8_t bytes[5], char *buf, size_t size);

/* "MSCI", "MSCS" or "MSBIN": the SQLite collation that compares as the bytes say. */
const char *collation_sqlite(const uint8_t bytes[5]);

/* Small number for the code page; 0 = Windows-1252, and back to wire bytes. */
int collation_page(const uint8_t bytes[5]);
void collation_from_page(int page, uint8_t out[5]);

/* Registers the comparison functions on a sqlite3 connection. */
struct sqlite3;
int collation_register(struct sqlite3 *db);

/* Bytes the character takes in the code page; 0 when it cannot be written there. */
int collation_char_size(int page, uint32_t cp);

/* Case-insensitive comparison with trailing blanks ignored, as MSCI. */
int collation_compare_ci(const char *a, size_t a_size, const char *b, size_t b_size);

#endif
