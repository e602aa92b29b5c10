/*
 * schema - definitions that change: what SQL Server does to a change table when its source table is
 * altered, renamed or dropped, and at which LSN.
 *
 * A change table keeps the columns it was made with.  A column dropped in the source stays in it,
 * NULL from then on; a column's new type is carried into it, old rows included; a new column is not
 * in it at all.  So what it holds now (the shape) differs from the definition its older rows
 * have, and cdc.ddl_history says from which LSN on: there the reading of the change table is cut in
 * two, each part with its own definition.
 */
#ifndef WEIR_SQLSERVER_SCHEMA_H
#define WEIR_SQLSERVER_SCHEMA_H

#include "capture/sqlserver/sqlserver.h"

/* Reads cdc.ddl_history into s->ddl, and what each change table holds if that was not read yet or
   there was DDL since; settles the definitions of new instances. */
int schema_read_all(struct sqlserver *s, struct err *e);

/* Gives the instance the definition `like` (NULL: all columns there are now and, unless s is NULL,
   those dropped behind in->since): columns, types and expressions. */
int schema_settle(const struct sqlserver *s, struct instance *in, const struct table_def *like,
                  struct err *e);

/* Forgets what is known of the instance's columns: they are as the change table has them now. */
int schema_reread(struct sqlserver *s, struct instance *in, struct err *e);

/* The instance goes on with the definition it had in an earlier run, its name included. */
int schema_resume(struct instance *in, const struct table_def *was, struct err *e);

/* Tells the sink of tables that were altered, renamed or dropped since, in the order of positions. */
int schema_follow(struct sqlserver *s, const struct position *from, const struct lsn *lo,
                  const struct source_sink *sink, struct err *e);

/* A copy for the caller, id and version included. */
int schema_copy(const struct table_def *from, struct table_def **out, struct err *e);

/* The statement behind the instance's beginning that dropped a column (the last one: it may have
   been added and dropped before) or changed its type (the first one).  NULL: not known. */
const struct ddl *schema_find_ddl(const struct sqlserver *s, const struct instance *in,
                                  const char *column, bool is_drop);

/* The statement that added a column the instance does not have; NULL. */
const struct ddl *
schema_added(const struct sqlserver *s, const struct instance *in, const char *column);

/* The newest statement in the history of an instance; NULL. */
const char *schema_last_ddl(const struct sqlserver *s, const struct instance *in);

void schema_free_history(struct sqlserver *s);

#endif
