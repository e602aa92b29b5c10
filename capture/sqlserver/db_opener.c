#include "capture/sqlserver/db_opener.h"

#include "capture/sqlserver/db_conf.h"
#include "capture/sqlserver/db_internal.h"
#include "common/clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The connection this thread is opening: the callbacks get no DBPROCESS of ours before dbopen()
   returns. */
static _Thread_local struct opening *current;

static atomic_uint left_alone;

/* ---- DB-Library's callbacks ---- */

static struct db *
db_of(DBPROCESS *proc)
{
    return proc != NULL ? (struct db *)(void *)dbgetuserdata(proc) : NULL;
}

static bool
may_wait_on(const struct opening *o)
{
    return !atomic_load_explicit(&o->is_off, memory_order_relaxed) && clock_mono_ns() < o->end_ns;
}

/*
 * FreeTDS 1.3 follows a routing under TLS with the TLS session of the first connection and gets no
 * answer, ever.  A second of silence on a connection to another address is that: the caller then
 * goes there by itself.
 */
static bool
note_routing(struct opening *o, DBPROCESS *proc)
{
    return o->is_encrypted && proc != NULL &&
           db_reach_elsewhere(dbiordesc(proc), o->host, o->port, o->routed_host, &o->routed_port);
}

static int
on_error(DBPROCESS *proc, int severity, int number, int os_error, char *text, char *os_text)
{
    struct db *d = db_of(proc);

    (void)severity;
    (void)os_error;
    (void)os_text;
    if (d == NULL && current != NULL) {
        if (number == SYBETIME && may_wait_on(current) && !note_routing(current, proc))
            return INT_CONTINUE;
        db_error_client(&current->error, number, text);
    } else if (d != NULL) {
        db_error_client(&d->error, number, text);
    }
    return INT_CANCEL; /* anything else may end the process */
}

static int
on_message(DBPROCESS *proc, DBINT number, int state, int severity, char *text, char *server,
           char *procedure, int line)
{
    struct db *d = db_of(proc);

    (void)state;
    (void)server;
    (void)procedure;
    (void)line;
    if (severity <= 10)
        return 0;
    if (d != NULL)
        db_error_server(&d->error, number, severity, text);
    else if (current != NULL)
        db_error_server(&current->error, number, severity, text);
    return 0;
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_ready;

static void
library_init(void)
{
    /* These override what is set here; TDSDUMP would write rows into a file. */
    static const char *const variables[] = {"TDSVER",   "TDSHOST",     "TDSPORT",
                                            "TDSQUERY", "TDSDUMP",     "TDSDUMPCONFIG",
                                            "FREETDS",  "FREETDSCONF", "DSQUERY"};

    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        (void)unsetenv(variables[i]);
    library_ready = dbinit() == SUCCEED;
    if (library_ready) {
        (void)dberrhandle(on_error);
        (void)dbmsghandle(on_message);
    }
}

/* ---- the opener ---- */

void
opening_free(struct opening *o)
{
    if (o->login != NULL)
        dbloginfree(o->login);
    if (o->done_fd >= 0)
        (void)close(o->done_fd);
    if (o->stop_fd >= 0)
        (void)close(o->stop_fd);
    (void)pthread_mutex_destroy(&o->lock);
    free(o);
}

struct opening *
opening_new(struct err *e)
{
    struct opening *o = calloc(1, sizeof(*o));

    if (o == NULL) {
        err_set(e, ERR_NOMEM, "connection");
        return NULL;
    }
    CHECK(pthread_mutex_init(&o->lock, NULL) == 0);
    o->done_fd = -1;
    o->stop_fd = -1;
    return o;
}

bool
opening_is_done(struct opening *o)
{
    bool done;

    (void)pthread_mutex_lock(&o->lock);
    done = o->is_done;
    (void)pthread_mutex_unlock(&o->lock);
    return done;
}

unsigned
opening_leave_alone(struct opening *o)
{
    (void)pthread_mutex_lock(&o->lock);
    o->is_left_alone = true;
    (void)pthread_mutex_unlock(&o->lock);
    return atomic_fetch_add_explicit(&left_alone, 1, memory_order_relaxed) + 1;
}

void
opening_part(struct opening *o)
{
    bool is_second;

    (void)pthread_mutex_lock(&o->lock);
    is_second = o->is_over;
    o->is_over = true;
    (void)pthread_mutex_unlock(&o->lock);
    if (!is_second)
        return;
    if (o->proc != NULL)
        dbclose(o->proc);
    if (o->is_left_alone)
        (void)atomic_fetch_sub_explicit(&left_alone, 1, memory_order_relaxed);
    opening_free(o);
}

/* DB-Library gives the TCP handshake one tick.  A slower one is no failure: db_reach() waits for
   it, and where that succeeds DB-Library may try again. */
static void
open_process(struct opening *o)
{
    for (;;) {
        int64_t begin_ns = clock_mono_ns();
        int64_t left_s;

        db_error_clear(&o->error);
        o->proc = dbopen(o->login, DB_CONF_SECTION);
        if (o->proc != NULL || db_error_is_server(&o->error) || o->routed_port != 0)
            return;
        left_s = (o->end_ns - clock_mono_ns()) / NS_PER_S;
        if (db_reach(o->host, o->port, left_s > 0 ? (uint32_t)left_s : 1, o->stop_fd, &o->reach) !=
            0)
            return;
        if (clock_mono_ns() - begin_ns < DB_CONF_TICK_S * NS_PER_S ||
            !db_error_is_unreachable(&o->error) || !may_wait_on(o))
            return;
    }
}

static void *
opener(void *arg)
{
    struct opening *o = arg;

    current = o;
    open_process(o);
    current = NULL;
    (void)pthread_mutex_lock(&o->lock);
    o->is_done = true;
    (void)pthread_mutex_unlock(&o->lock);
    (void)eventfd_write(o->done_fd, 1);
    opening_part(o);
    return NULL;
}

int
opener_start(struct opening *o, struct err *e)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    rc = pthread_create(&thread, &attr, opener, o);
    (void)pthread_attr_destroy(&attr);
    return rc == 0 ? 0 : err_sys(e, ERR_IO, rc, "start a thread for a login");
}

int
opener_library(struct err *e)
{
    (void)pthread_once(&library_once, library_init);
    return library_ready ? 0 : err_set(e, ERR_NOMEM, "DB-Library cannot be initialised");
}
