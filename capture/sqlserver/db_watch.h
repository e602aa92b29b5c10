/*
 * db_watch - bounds every call of DB-Library in time, whatever the server does.
 *
 * DB-Library counts silence only: a server that sends a byte now and then holds it for ever, and
 * a stop is looked at in silent seconds only.  One thread of the process looks at all connections
 * once a second and shuts down the socket of a call that is over its time, or that is still
 * running although a stop was asked for; the call then fails at once.
 *
 * The thread works on a descriptor of its own (a duplicate), so it can never hit a socket that got
 * the number of one DB-Library has closed.
 *
 * Thread use: db_watch_enter() and _leave() by the connection's thread; the rest is locked.
 */
#ifndef WEIR_SQLSERVER_DB_WATCH_H
#define WEIR_SQLSERVER_DB_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

struct db_watch {
    struct db_watch *next; /* under the lock, as are fd, seen, since_ns */
    int fd;                /* -1 = not watched */
    int stop_fd;
    int64_t call_limit_ns; /* one call at most */
    uint64_t seen;
    int64_t since_ns;
    atomic_uint_fast64_t calls;   /* odd while a call runs; the connection's thread writes */
    atomic_int_fast64_t until_ns; /* monotonic end of the statement's wait for rows; 0 = none */
    atomic_bool is_late;          /* the watcher cut it off */
};

/* Watches the socket fd.  ERR_IO when there is no descriptor or thread left. */
int db_watch_begin(struct db_watch *w, int fd, int stop_fd, uint32_t call_limit_s, struct err *e);
void db_watch_end(struct db_watch *w);

/* Around each call that may wait.  A store each: this is the path of every row. */
static inline void
db_watch_step(struct db_watch *w)
{
    uint_fast64_t n = atomic_load_explicit(&w->calls, memory_order_relaxed);

    atomic_store_explicit(&w->calls, n + 1, memory_order_relaxed);
}

static inline void
db_watch_enter(struct db_watch *w)
{
    db_watch_step(w);
}

static inline void
db_watch_leave(struct db_watch *w)
{
    db_watch_step(w);
}

#endif
