/*
 * Opening a connection.  DB-Library gives no hold on a connection before dbopen() returns, and
 * dbopen() may wait: for the resolver, for each byte of a slow server.  So it runs in a thread of
 * its own, the opener, while the caller waits for it, for a stop and for the end of the time.
 * With each silent second DB-Library asks on_error() whether to go on: that is how the opener is
 * called off.  One that does not come back even so is left to itself and closes what it has got
 * when it does.
 */
#include "capture/login.h"
#include "capture/sqlserver/db_conf.h"
#include "capture/sqlserver/db_internal.h"
#include "capture/sqlserver/db_reach.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET_SIZE           32767
#define PACKET_SIZE_ENCRYPTED 16383 /* the server's limit under TLS */
#define HOST_MAX              256
#define CALL_OFF_NS           (2 * NS_PER_S) /* an opener that was called off ends within one */
#define LOGIN_FAILED          18456 /* name or password; also a login that is just being made */
#define LEFT_ALONE_MAX        8

/* A peer that vanished is noticed within half a minute, in a wait and between two of them. */
#define KEEPALIVE_IDLE_S     20
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_PROBES     3
#define UNANSWERED_MS        30000

/* The session DB-Library opens has ANSI options off and cuts long values at 4096 bytes. */
static const char session_options[] =
    "SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; SET ARITHABORT ON; "
    "SET CONCAT_NULL_YIELDS_NULL ON; SET QUOTED_IDENTIFIER ON; SET NUMERIC_ROUNDABORT OFF; "
    "SET TEXTSIZE 2147483647; SET NOCOUNT ON; SET DATEFORMAT ymd; SET LANGUAGE us_english; "
    "SET LOCK_TIMEOUT 10000; SET DEADLOCK_PRIORITY LOW";

/* What caller and opener share.  Whoever comes second, by is_over, frees it. */
struct opening {
    pthread_mutex_t lock;
    bool is_done;        /* the results are there; under lock */
    bool is_over;        /* one of the two has gone; under lock */
    bool is_left_alone;  /* the caller has gone before the opener was done; under lock */
    atomic_bool is_off;  /* the caller wants no more */
    int done_fd;         /* eventfd: the opener is through */
    int stop_fd;         /* the opener's own duplicate, or -1 */
    int64_t end_ns;      /* of the time for all of it */
    uint32_t timeout_s;  /* the same, as configured */
    char host[HOST_MAX]; /* copies: the caller's may be gone */
    uint16_t port;
    LOGINREC *login;
    /* results, the caller's to read after done_fd */
    DBPROCESS *proc;
    struct db_error error;
    struct err reach; /* why the server cannot be reached; ERR_NONE when it can */
};

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

static int
on_error(DBPROCESS *proc, int severity, int number, int os_error, char *text, char *os_text)
{
    struct db *d = db_of(proc);

    (void)severity;
    (void)os_error;
    (void)os_text;
    if (d == NULL && current != NULL) {
        if (number == SYBETIME && may_wait_on(current))
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

static void
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

/* True for the second of the two who calls it: that one owns what is left. */
static bool
opening_part(struct opening *o)
{
    bool is_second;

    (void)pthread_mutex_lock(&o->lock);
    is_second = o->is_over;
    o->is_over = true;
    (void)pthread_mutex_unlock(&o->lock);
    return is_second;
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
        if (o->proc != NULL || db_error_is_server(&o->error))
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
    if (opening_part(o)) {
        if (o->proc != NULL)
            dbclose(o->proc);
        if (o->is_left_alone)
            (void)atomic_fetch_sub_explicit(&left_alone, 1, memory_order_relaxed);
        opening_free(o);
    }
    return NULL;
}

/* ---- the caller ---- */

static LOGINREC *
make_login(const struct db_config *config, const struct source_login *who)
{
    const struct source_endpoint *ep = config->endpoint;
    bool is_encrypted = ep->ssl_mode != SSL_NONE;
    LOGINREC *login = dblogin();

    if (login == NULL)
        return NULL;
    if (who->password != NULL) {
        DBSETLUSER(login, who->user);
        DBSETLPWD(login, who->password);
    } else {
        /* No user: DB-Library asks Kerberos for a ticket. */
        DBSETLNETWORKAUTH(login, 1);
        DBSETLMUTUALAUTH(login, 1);
        if (ep->service_principal[0] != '\0')
            DBSETLSERVERPRINCIPAL(login, ep->service_principal);
    }
    DBSETLAPP(login, config->application);
    DBSETLCHARSET(login, "UTF-8");
    DBSETLDBNAME(login, ep->database_name);
    DBSETLVERSION(login, DBVERSION_74);
    DBSETLPACKET(login, is_encrypted ? PACKET_SIZE_ENCRYPTED : PACKET_SIZE);
    if (ep->read_only_intent)
        DBSETLREADONLY(login, 1);
    return login;
}

static struct opening *
opening_new(const struct db_config *config, const struct source_login *who, struct err *e)
{
    const struct source_endpoint *ep = config->endpoint;
    struct opening *o = calloc(1, sizeof(*o));

    if (o == NULL) {
        err_set(e, ERR_NOMEM, "connection");
        return NULL;
    }
    CHECK(pthread_mutex_init(&o->lock, NULL) == 0);
    o->timeout_s = ep->login_timeout_s;
    o->end_ns = clock_mono_ns() + (int64_t)ep->login_timeout_s * NS_PER_S;
    o->port = who->port;
    (void)snprintf(o->host, sizeof(o->host), "%s", who->host);
    o->login = make_login(config, who);
    o->done_fd = eventfd(0, EFD_CLOEXEC);
    o->stop_fd = config->stop_fd >= 0 ? fcntl(config->stop_fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (o->login != NULL && o->done_fd >= 0 && (o->stop_fd >= 0) == (config->stop_fd >= 0))
        return o;
    err_sys(e, o->login == NULL ? ERR_NOMEM : ERR_IO, o->login == NULL ? 0 : errno,
            "open a connection");
    opening_free(o);
    return NULL;
}

static int
start_opener(struct opening *o, struct err *e)
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

static bool
is_done(struct opening *o)
{
    bool done;

    (void)pthread_mutex_lock(&o->lock);
    done = o->is_done;
    (void)pthread_mutex_unlock(&o->lock);
    return done;
}

/* Waits for the opener; false when it does not come back although it was called off. */
static bool
await_opener(struct opening *o, const struct db_config *config)
{
    struct pollfd fds[2] = {{.fd = o->done_fd, .events = POLLIN},
                            {.fd = config->stop_fd, .events = POLLIN}};
    int64_t off_ns = 0; /* when it was called off */

    for (;;) {
        int64_t now;
        int rc = poll(fds, off_ns == 0 ? 2 : 1, 1000);

        if (is_done(o))
            return true;
        if (config->beat != NULL)
            config->beat(config->beat_arg);
        now = clock_mono_ns();
        if (off_ns == 0 && ((rc > 0 && fds[1].revents != 0) || now >= o->end_ns)) {
            off_ns = now;
            atomic_store_explicit(&o->is_off, true, memory_order_relaxed);
        } else if (off_ns != 0 && now - off_ns > CALL_OFF_NS) {
            return false;
        }
    }
}

/* dbopen() failed.  The server's message says why; without one the network or TLS did. */
static int
open_failed(const struct db_config *config, const struct opening *o, struct err *e)
{
    const struct source_endpoint *ep = config->endpoint;
    const char *why = db_error_text(&o->error);

    if (db_error_is_server(&o->error))
        return db_error_report(&o->error, "log in", e);
    if (o->reach.code != ERR_NONE) {
        *e = o->reach;
        return -1;
    }
    if (clock_mono_ns() >= o->end_ns) {
        err_set(e, ERR_TIMEOUT, "%s port %u takes connections but has not let weir in after %u s",
                o->host, o->port, o->timeout_s);
        return err_hint(e,
                        "is a SQL Server listening there, and not overloaded?  ConnectionTimeout "
                        "sets the time; a server that routes to another one names an address "
                        "this host must reach too");
    }
    if (ep->ssl_mode == SSL_NONE) {
        err_set(e, ERR_CONNECT, "%s port %u takes connections but the login got no answer (%s)",
                o->host, o->port, why);
        return err_hint(e, "is a SQL Server listening there?  A server that demands encryption "
                           "needs SslMode require, verify-ca or verify-full");
    }
    err_set(e, ERR_TLS, "%s port %u takes connections but the TLS handshake failed (%s)", o->host,
            o->port, why);
    if (ep->ssl_mode == SSL_REQUIRE)
        return err_hint(e, "the server may not offer encryption, or only TLS versions below 1.1");
    return err_hint(e, "the certificate must be signed by the authority in %s%s",
                    ep->ssl_ca_file[0] != '\0' ? ep->ssl_ca_file : "the system's list",
                    ep->ssl_mode == SSL_VERIFY_FULL ? " and made out to ServerName" : "");
}

/* The opener does not come back: a resolver or a server that sends a byte now and then holds it. */
static int
leave_alone(struct opening *o, struct err *e)
{
    unsigned n = atomic_fetch_add_explicit(&left_alone, 1, memory_order_relaxed) + 1;

    err_set(e, n > LEFT_ALONE_MAX ? ERR_IO : ERR_TIMEOUT,
            "the login at %s port %u has not ended after %u s", o->host, o->port, o->timeout_s);
    err_hint(e, "check the resolver of this host; a proxy in between may pass bytes on one by one");
    (void)pthread_mutex_lock(&o->lock);
    o->is_left_alone = true;
    (void)pthread_mutex_unlock(&o->lock);
    return -1;
}

/* Logs in.  Always gives the opening up. */
static int
run_opening(struct db *d, const struct db_config *config, struct opening *o, struct err *e)
{
    int rc = 0;

    if (start_opener(o, e) != 0) {
        opening_free(o);
        return -1;
    }
    if (!await_opener(o, config)) {
        rc = leave_alone(o, e);
    } else if (o->proc == NULL) {
        rc = open_failed(config, o, e);
    } else {
        d->proc = o->proc;
        o->proc = NULL;
    }
    if (rc != 0 && db_is_stopped(d))
        rc = err_set(e, ERR_STOPPED, "connecting: stopped");
    if (opening_part(o)) {
        /* It came back after all. */
        if (o->proc != NULL)
            dbclose(o->proc);
        if (o->is_left_alone)
            (void)atomic_fetch_sub_explicit(&left_alone, 1, memory_order_relaxed);
        opening_free(o);
    }
    return rc;
}

/* Without these a peer that vanished without a word is met only after minutes. */
static void
set_socket_options(int fd)
{
    static const struct {
        int level;
        int option;
        int value;
    } options[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
                   {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
                   {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
                   {IPPROTO_TCP, TCP_USER_TIMEOUT, UNANSWERED_MS}};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        (void)setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof(int));
}

static int
connect_as(struct db *d, const struct db_config *config, const struct source_login *who,
           struct err *e)
{
    const struct source_endpoint *ep = config->endpoint;
    struct opening *o;
    int rc;

    if (db_conf_acquire(config->private_directory, ep, who->host, who->port, e) != 0)
        return -1;
    o = opening_new(config, who, e);
    rc = o == NULL ? -1 : run_opening(d, config, o, e);
    /* An opener left alone has read the file long ago. */
    db_conf_release();
    return rc;
}

/* A password that is being changed may be refused before, or after, its source says so. */
static int
log_in(struct db *d, const struct db_config *config, struct err *e)
{
    const struct source_login_wait wait = {config->stop_fd, config->beat, config->beat_arg};
    struct source_login who;
    int rc;

    if (source_login_read(config->endpoint, &wait, &who, e) != 0)
        return -1;
    rc = connect_as(d, config, &who, e);
    if (rc != 0 && e->sys == LOGIN_FAILED &&
        source_login_other(config->endpoint, &wait, &who) == 1) {
        err_clear(e);
        rc = connect_as(d, config, &who, e);
    }
    if (rc == 0) {
        d->peer.port = who.port;
        (void)snprintf(d->peer.user, sizeof(d->peer.user), "%s", who.user);
        (void)snprintf(d->peer.host, sizeof(d->peer.host), "%s", who.host);
    }
    source_login_wipe(&who);
    return rc;
}

static int
connect_process(struct db *d, const struct db_config *config, struct err *e)
{
    if (log_in(d, config, e) != 0)
        return -1;
    dbsetuserdata(d->proc, (BYTE *)d);
    dbsetinterrupt(d->proc, db_on_wait, db_on_interrupt);
    set_socket_options(dbiordesc(d->proc));
    return db_watch_begin(&d->watch, dbiordesc(d->proc), d->stop_fd,
                          config->endpoint->query_timeout_s, e);
}

/* A login without rights on the database may land in another one. */
static int
check_database(struct db *d, struct err *e)
{
    char name[264];

    if (db_run(d, session_options, e) != 0)
        return err_context(e, "set the session's options");
    if (db_query(d, "SELECT DB_NAME()", e) != 0)
        return -1;
    if (db_next(d, e) != 1)
        return -1;
    db_text(d, 0, name, sizeof(name));
    if (strcasecmp(name, d->endpoint->database_name) != 0) {
        err_set(e, ERR_LOGIN, "the login landed in database '%s' instead of '%s'", name,
                d->endpoint->database_name);
        return err_hint(e, "check SourceEndpoint.DatabaseName and that %s may use it",
                        d->peer.user[0] != '\0' ? d->peer.user : "the login");
    }
    return 0;
}

int
db_open(const struct db_config *config, struct db **out, struct err *e)
{
    struct db *d;

    (void)pthread_once(&library_once, library_init);
    if (!library_ready)
        return err_set(e, ERR_NOMEM, "DB-Library cannot be initialised");
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        return err_set(e, ERR_NOMEM, "connection");
    d->endpoint = config->endpoint;
    d->stop_fd = config->stop_fd;
    d->beat = config->beat;
    d->beat_arg = config->beat_arg;
    d->watch.fd = -1;
    if (connect_process(d, config, e) != 0 || check_database(d, e) != 0) {
        db_close(&d);
        return -1;
    }
    *out = d;
    return 0;
}
