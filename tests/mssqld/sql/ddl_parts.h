/* ddl_parts - what the ddl*.c files share; not for others. */
#ifndef MSSQLD_DDL_PARTS_H
#define MSSQLD_DDL_PARTS_H

#include "tests/mssqld/sql/plan.h"

/* The owner's right and the writer's turn. */
int ddl_begin(struct session *s, struct database *d);
/* The catalog's rows changed: all sessions look again, this one at once. */
void ddl_changed(struct session *s);
int ddl_no_such_table(struct session *s, const struct name *name); /* error 4902; returns -1 */

/* Catalog rows of a column and of a key with its SQLite index; column_ids by key position. */
int ddl_new_column(struct session *s, struct database *d, int64_t object_id, int column_id,
                   struct column_def *c);
int ddl_new_key(struct session *s, struct database *d, int64_t object_id, const char *table,
                const struct key_def *k, const int *column_ids, bool constraint, bool sqlite_index);
/* Runs a statement with up to three texts bound: names need no quoting then. */
int
ddl_catalog_row(struct session *s, const char *a, const char *b, const char *c, const char *sql);
/* ddl_key.c: keys of columns as keys of the table; ids[32] of a key's columns, 8111, 1911. */
void ddl_gather_keys(struct session *s, struct stmt *x);
int ddl_key_ids(struct session *s, const struct stmt *x, const struct key_def *k, int *ids);
int ddl_create_index(struct session *s, struct stmt *x);
/* SQLite's definition of column i of the statement. */
int ddl_column_sql(struct session *s, struct stmt *x, int first_id, int i, struct sbuf *sql);

/* ddl_type.c */

/* CREATE DATABASE ... COLLATE; and what columns without a COLLATE get, NULL = the server's. */
int ddl_set_collation(struct session *s, const char *database, const char *collation);
const char *ddl_collation(struct session *s, const struct database *d);
int ddl_create_type(struct session *s, struct stmt *x);
int ddl_drop_type(struct session *s, const struct name *name, bool if_exists);
/* The type a column's alias stands for; error 2715. */
int ddl_alias(struct session *s, struct column_def *c, int ordinal);

int ddl_alter_add(struct session *s, struct stmt *x);
int ddl_alter_drop(struct session *s, struct stmt *x);
int ddl_alter_column(struct session *s, struct stmt *x);
int ddl_drop_key(struct session *s, struct table *t, const char *name, bool if_exists);

/* partition.c: functions and schemes; a table's place on a scheme. */
int partition_create_function(struct run *r, struct stmt *x);
int partition_create_scheme(struct session *s, const struct stmt *x);
int partition_table(struct session *s, struct database *d, int64_t object_id, const char *scheme,
                    const char *column);

#endif
