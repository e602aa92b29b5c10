/*
 * db_internal - what the files of a connection share: db.c (statements, values), db_open.c (login)
 * and db_watch.c (time).
 */
#ifndef WEIR_SQLSERVER_DB_INTERNAL_H
#define WEIR_SQLSERVER_DB_INTERNAL_H

#include "capture/sqlserver/db.h"
#include "capture/sqlserver/db_error.h"
#include "capture/sqlserver/db_watch.h"

#include <sybfront.h>

#include <sybdb.h>

struct db {
    DBPROCESS *proc;
    struct db_error error;
    const struct source_endpoint *endpoint;
    int stop_fd;
    void (*beat)(void *arg);
    void *beat_arg;
    struct db_watch watch;
    int64_t used_ns; /* when the last batch ended, as far as it was read */
    struct db_peer peer;
    bool is_busy; /* a batch is not read to its end */
};

bool db_is_stopped(const struct db *d);

/* What DB-Library's callbacks of a connection do: for db_open.c, which installs them. */
int db_on_wait(void *proc);
int db_on_interrupt(void *proc);

#endif
