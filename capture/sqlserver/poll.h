/*
 * poll - one look at the source: the next window of LSNs, the list of change tables, the
 * server's clock, and the checks that nothing was lost.
 */
#ifndef WEIR_SQLSERVER_POLL_H
#define WEIR_SQLSERVER_POLL_H

#include "capture/sqlserver/sqlserver.h"

/*
 * Fills s->window with the mapping rows behind lo (at most window.limit), s->newest and
 * s->server_ns; loads and announces new capture instances; suspends the tables that have a hole
 * behind lo (sink.lost).  ERR_HISTORY.
 */
int poll_window(struct sqlserver *s, const struct position *from, const struct lsn *lo,
                const struct source_sink *sink, struct err *e);

/* Looks again whether cleanup has passed what was read: of one instance, or (NULL) of all.  Those
   with a hole behind `whole` are suspended (sink.lost, table.refused). */
int poll_low_water(struct sqlserver *s, struct instance *only, const struct source_sink *sink,
                   struct err *e);

/* A date and time of the current row as UTC, read as the server's local time; 0 for NULL. */
int64_t poll_time_ns(struct sqlserver *s, int column);

#endif
