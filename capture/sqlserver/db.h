/*
 * db - one connection to SQL Server: DB-Library behind a narrow interface, with the precautions it
 * needs (private configuration, pinned TDS 7.4, TEXTSIZE, ANSI options, latched errors).
 *
 * DB-Library reports an error inside a row set as if the set had ended: every message of severity
 * above 10 is latched here, and db_next() and db_result() fail while one is latched.  After any
 * failure the connection is unusable: close it.
 *
 * Time: a login takes ConnectionTimeout in all; a statement's first row ExecuteTimeout in all, each
 * further row as much, whatever the server sends meanwhile.  A peer that vanished is noticed within
 * half a minute, also between statements.
 *
 * Blocking: every call but db_data(), bounded as above, ended within about a second of stop_fd
 * becoming readable.  Thread use: any number of connections, opened and used from any threads at
 * the same time; one connection belongs to one thread at a time (struct db holds no lock), and
 * beat() is called by that thread.
 */
#ifndef WEIR_SQLSERVER_DB_H
#define WEIR_SQLSERVER_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct err;
struct source_endpoint;

struct db_config {
    const struct source_endpoint *endpoint;
    const char *application;       /* shown in the server's session list */
    const char *private_directory; /* for the configuration file, mode 0600 */
    int stop_fd;                   /* -1 = none */
    void (*beat)(void *arg);       /* about once a second while waiting; may be NULL */
    void *beat_arg;
};

/*
 * Connects, logs in, sets the session's options, checks that the database is the one asked for.
 * ERR_CONFIG (a value DB-Library's configuration cannot hold, no password), ERR_CONNECT,
 * ERR_TIMEOUT, ERR_TLS, ERR_LOGIN, ERR_STOPPED; the server's own words are in the text.
 */
int db_open(const struct db_config *config, struct db **out, struct err *e);
void db_close(struct db **d);

/* As whom the connection logged in, and where: what the task or its secret said. */
struct db_peer {
    char user[129]; /* "" with Kerberos */
    char host[256];
    uint16_t port;
};
const struct db_peer *db_peer(const struct db *d);

/* Sends a batch.  What an earlier batch left unread is dropped. */
int db_exec(struct db *d, const char *sql, struct err *e);

/* Goes to the next result set with columns.  1 = there, 0 = the batch is over, -1 = error. */
int db_result(struct db *d, struct err *e);

/* 1 = a row, 0 = the result set is over, -1 = error. */
int db_next(struct db *d, struct err *e);

/* Both for a batch whose first result set is wanted: db_exec() and db_result(), where a batch
   without one is an error. */
int db_query(struct db *d, const char *sql, struct err *e);

/* Runs a batch whose results do not matter. */
int db_run(struct db *d, const char *sql, struct err *e);

/* Columns of the current result set, counted from 0. */
int db_columns(struct db *d);
int db_type(struct db *d, int column);
unsigned db_scale(struct db *d, int column);

/* The value in the current row: NULL for NULL, else *size bytes, valid until db_next(). */
const void *db_data(struct db *d, int column, size_t *size);

/* Conveniences for catalogue rows.  NULL counts as 0 or "". */
int64_t db_int(struct db *d, int column);
void db_text(struct db *d, int column, char *buf, size_t size);

#endif
