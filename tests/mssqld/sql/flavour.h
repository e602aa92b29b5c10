/*
 * flavour - which SQL Server this one resembles: the box product of a version, Amazon RDS, Azure
 * SQL Database or a Managed Instance; and what its catalog shows against the truth.
 */
#ifndef MSSQLD_FLAVOUR_H
#define MSSQLD_FLAVOUR_H

#include "tests/mssqld/sql/session.h"

enum flavour { FLAVOUR_BOX, FLAVOUR_RDS, FLAVOUR_AZURE, FLAVOUR_MI };

/* name: box, rds, azure-sql-database, managed-instance; major: 11 (2012) to 16 (2022), 0 = 16. */
int flavour_set(struct session *s, const char *name, int major);
enum flavour flavour_of(const struct engine *g);
int flavour_major(const struct engine *g);
/* SERVERPROPERTY's text; NULL when it is a number (then *number) or unknown (*number = -1). */
const char *flavour_property(const struct engine *g, const char *name, int *number);
const char *flavour_version(const struct engine *g); /* @@VERSION */
/* Is there a view of that name in this flavour and version? */
bool flavour_has_view(const struct engine *g, const char *name);
/* Azure SQL Database knows no other database: error 40515. */
int flavour_check_name(struct session *s, const struct name *name);

/*
 * What a column of a catalog view shows from now on (value NULL: the truth again), for all rows
 * or those of one object: a table, or in sys.databases a database.
 */
int flavour_override(struct session *s, const char *view, const char *column, const char *value,
                     const char *object);
/* Writes the column for a view's query: plain, or with what was ordered. */
void flavour_emit_column(struct engine *g, const struct database *d, const char *view,
                         const char *column, bool is_text, struct sbuf *o);
void flavour_free(struct engine *g);

#endif
