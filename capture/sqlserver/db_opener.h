/*
 * db_opener - the thread that opens one connection.
 *
 * DB-Library gives no hold on a connection before dbopen() returns, and dbopen() may wait: for the
 * resolver, for each byte of a slow server.  So it runs in a thread of its own, while the caller
 * (db_open.c) waits for it, for a stop and for the end of the time.  With each silent second
 * DB-Library asks whether to go on: that is how the opener is called off.  One that does not come
 * back even so is left alone and closes what it has got when it does.
 */
#ifndef WEIR_SQLSERVER_DB_OPENER_H
#define WEIR_SQLSERVER_DB_OPENER_H

#include "capture/sqlserver/db_error.h"
#include "capture/sqlserver/db_reach.h"
#include "common/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sybfront.h>

#include <sybdb.h>

#define OPENER_HOST_MAX 256

/* What caller and opener share.  Whoever comes second, by is_over, frees it. */
struct opening {
    pthread_mutex_t lock;
    bool is_done;               /* the results are there; under lock */
    bool is_over;               /* one of the two has gone; under lock */
    bool is_left_alone;         /* the caller has gone before the opener was done; under lock */
    atomic_bool is_off;         /* the caller wants no more */
    int done_fd;                /* eventfd: the opener is through */
    int stop_fd;                /* the opener's own duplicate, or -1 */
    int64_t end_ns;             /* of the time for all of it */
    uint32_t timeout_s;         /* the same, as configured */
    char host[OPENER_HOST_MAX]; /* copies: the caller's may be gone */
    uint16_t port;
    LOGINREC *login;
    bool is_encrypted;
    /* results, the caller's to read after done_fd */
    DBPROCESS *proc;
    struct db_error error;
    char routed_host[DB_REACH_ADDRESS]; /* with routed_port: see note_routing() */
    uint16_t routed_port;               /* 0 = not routed */
    struct err reach;                   /* why the server cannot be reached; ERR_NONE when it can */
};

/* Once per process: DB-Library, its callbacks, an environment it cannot be led astray by. */
int opener_library(struct err *e);

/* Zeroed, with its lock. */
struct opening *opening_new(struct err *e);
void opening_free(struct opening *o);

/* Starts the thread; ERR_IO. */
int opener_start(struct opening *o, struct err *e);

/* True once the results may be read. */
bool opening_is_done(struct opening *o);

/* Counts an opener that does not come back; how many there are now. */
unsigned opening_leave_alone(struct opening *o);

/* Each of the two calls it when it is through with o; the second one frees everything. */
void opening_part(struct opening *o);

#endif
