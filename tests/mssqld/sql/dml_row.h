/* dml_row - what the dml_*.c files share: targets, stored rows, refusals; not for others. */
#ifndef MSSQLD_DML_ROW_H
#define MSSQLD_DML_ROW_H

#include "tests/mssqld/sql/plan.h"

/* The table a statement writes, with its turn taken and capture ready; NULL with s->error. */
struct table *dml_target(struct run *r, struct stmt *x, const char *permission);

/* A savepoint around a statement of several rows; close undoes it when rc is not 0. */
int dml_open_point(struct session *s, bool wanted);
int dml_close_point(struct session *s, bool wanted, int rc);

/* A value into a column's stored form; out points into a or the value. */
int dml_store(struct session *s, const struct table *t, const struct column *c,
              const struct sql_type *type, const struct sql_value *v, struct arena *a,
              struct stored *out);
int dml_null_refused(struct session *s, const struct table *t, const struct column *c,
                     const char *verb);
void dml_rowversion(struct session *s, struct table *t, struct arena *a, struct stored *out);
int
dml_default(struct run *r, struct table *t, struct column *c, struct arena *a, struct stored *out);

/* t->insert; then one row, a rowid of kind NULL is SQLite's choice. */
int dml_prepare_insert(struct session *s, struct table *t);
int
dml_write(struct session *s, struct table *t, const struct stored *rowid, const struct stored *row);
/* SQLite refused the row: 2627 or 2601 for the key it names.  Returns -1. */
int dml_duplicate(struct session *s, const struct table *t, const struct stored *row);

#endif
