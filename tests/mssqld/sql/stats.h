/* stats - statistics of indexes: made by UPDATE STATISTICS, shown by views and DBCC. */
#ifndef MSSQLD_STATS_H
#define MSSQLD_STATS_H

#include "tests/mssqld/sql/security.h"

/* All statistics of the table, or the one of that name; in the running transaction. */
int stats_update(struct session *s, const struct name *table, const char *only);
int stats_update_all(struct session *s); /* sp_updatestats */
/* DBCC SHOW_STATISTICS (table, stats) WITH HISTOGRAM. */
int stats_show(struct session *s, const char *table, const char *stats);

#endif
