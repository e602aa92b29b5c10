/*
 * db_conf - DB-Library's configuration file, the only way to set TLS before FreeTDS 1.5.
 *
 * Which file is read is a setting of the whole process.  Connections to one endpoint share a file
 * and open at the same time; one to another endpoint waits until they have opened.
 */
#ifndef WEIR_SQLSERVER_DB_CONF_H
#define WEIR_SQLSERVER_DB_CONF_H

#include <stdint.h>

struct err;
struct source_endpoint;

#define DB_CONF_SECTION "weir"

/* Seconds of silence after which DB-Library asks whether a login shall go on waiting. */
#define DB_CONF_TICK_S 1

/* Makes <directory>/freetds.<pid>.conf (mode 0600, no secrets) the one that dbopen() reads.
   ERR_CONFIG for values the format cannot hold; ERR_IO. */
int db_conf_acquire(const char *directory, const struct source_endpoint *endpoint, const char *host,
                    uint16_t port, struct err *e);

/* After dbopen(); the last of those that share the file removes it. */
void db_conf_release(void);

#endif
