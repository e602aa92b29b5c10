/*
 * server - the listening socket and one thread a connection.
 *
 * Listens on loopback addresses only: the server knows one password and no mercy, it is not for
 * networks.
 */
#ifndef MSSQLD_TDS_SERVER_H
#define MSSQLD_TDS_SERVER_H

#include "tests/mssqld/tds/conn.h"

#include <stdint.h>

struct err;
struct server;

/* Binds and listens.  config.stopping is the server's own to set.  Port 0 takes any. */
int server_open(const char *address, uint16_t port, unsigned max_connections,
                const struct conn_config *config, struct server **out, struct err *e);

/* "127.0.0.1:1433", valid until server_close. */
const char *server_address(const struct server *server);
uint16_t server_port(const struct server *server);

/* Accepts until stop_fd is readable. */
int server_run(struct server *server, int stop_fd, struct err *e);

/* Closes the connection of one spid, whatever it waits for: engine_on_cut()'s callback. */
void server_cut(void *server, uint16_t spid);

/* Ends all connections and waits for their threads. */
void server_close(struct server **server);

#endif
