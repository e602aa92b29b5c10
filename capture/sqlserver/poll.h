/*
 * poll - one look at the source: the next window of LSNs, the list of change tables, the
 * server's clock, and the checks that nothing was lost.
 */
#ifndef WEIR_SQLSERVER_POLL_H
#define WEIR_SQLSERVER_POLL_H

#include "capture/sqlserver/sqlserver.h"

/*
 * Fills s->window with the mapping rows behind lo (at most window.limit), s->newest and
 * s->server_ns; loads and announces new capture instances.  ERR_GAP, ERR_HISTORY.
 */
int poll_window(struct sqlserver *s, const struct position *from, const struct lsn *lo,
                const struct source_sink *sink, struct err *e);

/* Checks again that cleanup has not passed lo.  ERR_GAP. */
int poll_low_water(struct sqlserver *s, const struct lsn *lo, struct err *e);

#endif
