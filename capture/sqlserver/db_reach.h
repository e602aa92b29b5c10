/*
 * db_reach - why a connection did not come about, where DB-Library only says that it did not.
 */
#ifndef WEIR_SQLSERVER_DB_REACH_H
#define WEIR_SQLSERVER_DB_REACH_H

#include <stdbool.h>
#include <stdint.h>

struct err;

/* Resolves host and opens a TCP connection to one of its addresses, within timeout_s in all.
   0 = that much works; -1 with ERR_CONNECT or ERR_TIMEOUT naming the step that does not, or
   ERR_STOPPED as soon as stop_fd (-1 = none) is readable. */
int db_reach(const char *host, uint16_t port, uint32_t timeout_s, int stop_fd, struct err *e);

/* Where the socket fd leads when that is none of the addresses of host: "10.1.2.3" and its port
   into *to, to_port.  False when it leads to host, or nowhere. */
#define DB_REACH_ADDRESS 64
bool db_reach_elsewhere(int fd, const char *host, uint16_t port, char to[DB_REACH_ADDRESS],
                        uint16_t *to_port);

#endif
