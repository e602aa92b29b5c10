/*
 * catalog - table definitions, durable, by id and version.
 *
 * Capture writes a definition to <state>/catalog/<id>.<version>.json before it publishes the
 * first event that refers to it; encoders, shippers and weirctl read it when they meet an id
 * and version they do not know.  A file is never changed once it is there.
 */
#ifndef WEIR_CATALOG_H
#define WEIR_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* DMS's names for types, as documented for table mappings. */
/* clang-format off */
#define CATALOG_TYPES(X) \
    X(BOOLEAN) X(BYTES) X(DATE) X(TIME) X(DATETIME) X(INT1) X(INT2) \
    X(INT4) X(INT8) X(NUMERIC) X(REAL4) X(REAL8) X(STRING) X(UINT1) \
    X(UINT2) X(UINT4) X(UINT8) X(WSTRING) X(BLOB) X(CLOB) X(NCLOB)
/* clang-format on */

enum dms_type {
#define X(name) DMS_##name,
    CATALOG_TYPES(X)
#undef X
        DMS_TYPE_COUNT
};

const char *catalog_type_name(enum dms_type type);

struct column_def {
    char *name;
    char *source_type; /* as the source declares it: "decimal(38,10)", "nvarchar(max)" */
    enum dms_type type;
    uint32_t length;   /* characters or bytes; 0 = no length or unbounded */
    uint8_t precision; /* NUMERIC */
    uint8_t scale;     /* NUMERIC; fraction digits of time types */
    bool nullable;
    bool is_lob;          /* may be missing from the log */
    bool is_fixed_text;   /* char, nchar: blank-padded by the source */
    uint16_t key_ordinal; /* place in the key, from 1; 0 = not part of it */
};

struct table_def {
    uint32_t id;      /* from 1; kept for the task's life */
    uint32_t version; /* from 1; rises with every changed definition */
    char *schema;
    char *name;
    uint16_t n_columns;
    struct column_def *columns;
    uint16_t n_key;
    uint16_t *key; /* column indexes in key order; primary key of the source */
};

/* Builds key[] from key_ordinal.  ERR_DATA when ordinals have holes. */
int catalog_finish(struct table_def *t, struct err *e);
void catalog_table_free(struct table_def **t);

/* Writes atomically and durably; the directory is made.  Same id and version, same content: ok;
   other content: ERR_LAYOUT. */
int catalog_write(const char *state_directory, const struct table_def *t, struct err *e);

/* ERR_NOT_FOUND, ERR_CORRUPT. */
int catalog_read(const char *state_directory, uint32_t id, uint32_t version, struct table_def **out,
                 struct err *e);

/* The newest version of every table.  *out is an array of *n; free each, then the array. */
int
catalog_read_all(const char *state_directory, struct table_def ***out, size_t *n, struct err *e);

#endif
