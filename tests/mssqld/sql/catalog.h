/*
 * catalog - databases' objects: schemas, tables, columns, keys, procedures.
 *
 * The truth stands in sys_* tables of each database's file, changed within transactions; a
 * session keeps what it looked up until engine.catalog_version moves.
 */
#ifndef MSSQLD_CATALOG_H
#define MSSQLD_CATALOG_H

#include "tests/mssqld/sql/session.h"

struct column {
    const char *name;
    int id; /* column_id; SQLite column c<id> */
    struct sql_type type;
    bool identity;
    int64_t seed;
    int64_t increment;
    const char *default_text;
    const char *computed_text;
    unsigned flags; /* COLUMN_SPARSE ... of ast.h */
};

struct key {
    const char *name;
    int index_id;
    bool primary;
    bool unique;
    bool constraint;
    int *columns; /* positions in table.columns */
    int n_columns;
};

/* One capture instance of a table. */
struct instance {
    const char *name;
    int object_id; /* of the change table */
    int *columns;  /* positions in table.columns; -1 = dropped since */
    int n_columns;
    bool command_ids;        /* the change table has __$command_id */
    bool command_nulls;      /* which may be NULL */
    int key_index;           /* -1 = none: updates stay updates */
    sqlite3_stmt *insert[2]; /* into the change table; into the pending log */
};

struct table {
    struct database *db;
    int object_id;
    int schema_id;
    const char *schema;
    const char *name;
    char type; /* 'U' table, 'P' procedure */
    bool shipped;
    bool without_rowid;
    const char *definition;
    struct column *columns;
    int n_columns;
    int identity; /* position, -1 = none */
    struct key *keys;
    int n_keys;
    struct instance *instances;
    int n_instances;
    sqlite3_stmt *insert;
    sqlite3_stmt *identity_update;
    int64_t identity_next;
    uint64_t identity_turn; /* session.turn it was read in */
    struct arena arena;
    struct table *next;
};

/* Drops the session's cache when the catalog has moved on. */
void catalog_refresh(struct session *s);
/* Empties the cache; what was handed out stays valid until catalog_release(). */
void catalog_forget(struct session *s);
/* Frees what was forgotten: between batches, when nobody holds a table. */
void catalog_release(struct session *s);

/*
 * Resolves a name in its database (the current one when none is given), schema dbo by default.
 * NULL without an error when there is no such object; type 0 = any.
 */
struct table *catalog_find(struct session *s, const struct name *name, char type);
struct table *catalog_find_id(struct session *s, struct database *d, int object_id);
/* Database a name speaks of; NULL and error 911 or 916. */
struct database *catalog_database(struct session *s, const struct name *name);

/* DDL changes this table: told to snapshots when the transaction commits. */
void catalog_note_ddl(struct session *s, const struct table *t);
void catalog_publish_ddl(struct session *s, bool committed);
/* Error 3961 when the table was changed since the session's snapshot began. */
int catalog_check_snapshot(struct session *s, const struct table *t);

int catalog_column(const struct table *t, const char *name); /* position or -1 */
int catalog_schema_id(struct session *s, struct database *d, const char *schema); /* -1 */

/* Creates the sys_* tables of a new database file. */
int catalog_create(struct session *s, struct database *d);
int64_t catalog_next_id(struct session *s, struct database *d);

/* Id and type of a partition function (partition.c); -1 when there is none. */
int64_t partition_function(struct session *s, const struct database *d, const char *name,
                           struct sql_type *type);

/* SQLite text of "d5.t77". */
const char *catalog_sql_name(const struct table *t, struct arena *a);

#endif
