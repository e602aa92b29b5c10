#include "capture/sqlserver/db.h"

#include "capture/login.h"
#include "capture/sqlserver/db_conf.h"
#include "capture/sqlserver/db_internal.h"
#include "capture/sqlserver/db_opener.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/task.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET_SIZE           32767
#define PACKET_SIZE_ENCRYPTED 16383          /* the server's limit under TLS */
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
opening_make(const struct db_config *config, const struct source_login *who, struct err *e)
{
    const struct source_endpoint *ep = config->endpoint;
    struct opening *o = opening_new(e);

    if (o == NULL)
        return NULL;
    o->timeout_s = ep->login_timeout_s;
    o->end_ns = clock_mono_ns() + (int64_t)ep->login_timeout_s * NS_PER_S;
    o->port = who->port;
    (void)snprintf(o->host, sizeof(o->host), "%s", who->host);
    o->is_encrypted = ep->ssl_mode != SSL_NONE;
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

        if (opening_is_done(o))
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
    if (db_error_is_unreachable(&o->error)) {
        err_set(e, ERR_CONNECT,
                "%s port %u takes connections, but where it routes to none does: %s", o->host,
                o->port, why);
        return err_hint(e, "open the way from this host to the address the server routes to");
    }
    if (clock_mono_ns() >= o->end_ns) {
        err_set(e, ERR_TIMEOUT, "%s port %u takes connections but has not let weir in after %u s",
                o->host, o->port, o->timeout_s);
        return err_hint(e,
                        "is a SQL Server listening there, and not overloaded?  ConnectionTimeout "
                        "sets the time; a server that routes to another one names an address "
                        "this host must reach too");
    }
    if (ep->authentication == AUTHENTICATION_KERBEROS) {
        err_set(
            e, ERR_CONNECT,
            "%s port %u takes connections but the Kerberos login at %s%s did not come about (%s)",
            o->host, o->port,
            ep->service_principal[0] != '\0' ? ep->service_principal : "MSSQLSvc/",
            ep->service_principal[0] != '\0' ? "" : o->host, why);
        return err_hint(e,
                        "klist shows the tickets: weir uses the cache of KRB5CCNAME, or gets its "
                        "own by the keytab of KRB5_CLIENT_KTNAME; Weir.SourceServicePrincipal "
                        "names the service; without encryption on the server, or a certificate "
                        "that is trusted, the login ends like this too");
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
    unsigned n = opening_leave_alone(o);

    err_set(e, n > LEFT_ALONE_MAX ? ERR_IO : ERR_TIMEOUT,
            "the login at %s port %u has not ended after %u s", o->host, o->port, o->timeout_s);
    err_hint(e, "check the resolver of this host; a proxy in between may pass bytes on one by one");
    return -1;
}

/* Logs in.  Always gives the opening up.  1 = the server routes to what stands in *to now. */
static int
run_opening(struct db *d, const struct db_config *config, struct opening *o,
            struct source_login *to, struct err *e)
{
    int rc = 0;

    if (opener_start(o, e) != 0) {
        opening_free(o);
        return -1;
    }
    if (!await_opener(o, config)) {
        rc = leave_alone(o, e);
    } else if (o->proc == NULL && o->routed_port != 0) {
        to->port = o->routed_port;
        (void)snprintf(to->host, sizeof(to->host), "%s", o->routed_host);
        rc = 1;
    } else if (o->proc == NULL) {
        rc = open_failed(config, o, e);
    } else {
        d->proc = o->proc;
        o->proc = NULL;
    }
    if (rc != 0 && db_is_stopped(d))
        rc = err_set(e, ERR_STOPPED, "connecting: stopped");
    opening_part(o);
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
connect_once(struct db *d, const struct db_config *config, struct source_login *who, struct err *e)
{
    const struct source_endpoint *ep = config->endpoint;
    struct opening *o;
    int rc;

    if (db_conf_acquire(config->private_directory, ep, who->host, who->port, e) != 0)
        return -1;
    o = opening_make(config, who, e);
    rc = o == NULL ? -1 : run_opening(d, config, o, who, e);
    /* An opener left alone has read the file long ago. */
    db_conf_release();
    return rc;
}

/* Follows one routing, as the protocol wants. */
static int
connect_as(struct db *d, const struct db_config *config, const struct source_login *who,
           struct err *e)
{
    struct source_login to = *who; /* shares the password */
    int rc = connect_once(d, config, &to, e);

    if (rc != 1)
        return rc;
    log_info("routed", "from=%s:%u to=%s:%u", who->host, who->port, to.host, to.port);
    if (config->endpoint->ssl_mode == SSL_VERIFY_FULL) {
        err_set(e, ERR_TLS,
                "%s port %u routes to %s port %u, and FreeTDS does not say under which "
                "name: its certificate cannot be verified",
                who->host, who->port, to.host, to.port);
        return err_hint(e, "name that server in ServerName and Port, or set SslMode verify-ca");
    }
    rc = connect_once(d, config, &to, e);
    if (rc == 1)
        return err_set(e, ERR_CONNECT, "%s port %u routes on to %s port %u: more than once",
                       who->host, who->port, to.host, to.port);
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

    if (opener_library(e) != 0)
        return -1;
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
