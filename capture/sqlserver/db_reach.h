/*
 * db_reach - why a connection did not come about, where DB-Library only says that it did not.
 */
#ifndef WEIR_SQLSERVER_DB_REACH_H
#define WEIR_SQLSERVER_DB_REACH_H

#include <stdint.h>

struct err;

/* Resolves host and opens a TCP connection, with a time-out.  0 = that much works; -1 with
   ERR_CONNECT or ERR_TIMEOUT naming the step that does not. */
int db_reach(const char *host, uint16_t port, uint32_t timeout_s, struct err *e);

#endif
