/*
 * db_conf - DB-Library's configuration file, the only way to set TLS before FreeTDS 1.5.
 */
#ifndef WEIR_SQLSERVER_DB_CONF_H
#define WEIR_SQLSERVER_DB_CONF_H

struct err;
struct source_endpoint;

#define DB_CONF_SECTION  "weir"
#define DB_CONF_PATH_MAX 512

/* Writes <directory>/freetds.<pid>.conf (mode 0600, no secrets).  ERR_CONFIG for values the format
   cannot hold; ERR_IO. */
int db_conf_write(const char *directory, const struct source_endpoint *endpoint,
                  char path[DB_CONF_PATH_MAX], struct err *e);

#endif
