/* sysview_parts - what the tables of catalog views have in common; not for others. */
#ifndef MSSQLD_SYSVIEW_PARTS_H
#define MSSQLD_SYSVIEW_PARTS_H

#include <stddef.h>

/*
 * A view: its columns with a letter for the type, and the SQLite query behind it, in which "D."
 * stands for the database's schema.  Letters: i int, I bigint, m smallint, t tinyint, b bit,
 * s sysname, n nvarchar(60), S nvarchar(4000), c char(2), d datetime, l binary(10), u
 * uniqueidentifier, v varbinary(max), N numeric(25,0), V sql_variant, r real.  Upper-case letter in
 * front of a name part is never used; '!' marks NOT NULL.
 */
struct sysview {
    const char *schema; /* "msdb" for what stands in schema dbo of that database */
    const char *name;
    const char *columns;
    const char *sql;
};

extern const struct sysview SYSVIEWS_JOBS[];    /* capture job, Agent: ended by a NULL schema */
extern const struct sysview SYSVIEWS_STORAGE[]; /* indexes, partitions, statistics */

#endif
