#include "capture/sqlserver/db.h"

#include "capture/sqlserver/db_conf.h"
#include "capture/sqlserver/db_error.h"
#include "capture/sqlserver/db_reach.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/task.h"

#include <sybfront.h>

#include <sybdb.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PACKET_SIZE           32767
#define PACKET_SIZE_ENCRYPTED 16383 /* the server's limit under TLS */

/* The session DB-Library opens has ANSI options off and cuts long values at 4096 bytes. */
static const char session_options[] =
    "SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; SET ARITHABORT ON; "
    "SET CONCAT_NULL_YIELDS_NULL ON; SET QUOTED_IDENTIFIER ON; SET NUMERIC_ROUNDABORT OFF; "
    "SET TEXTSIZE 2147483647; SET NOCOUNT ON; SET DATEFORMAT ymd; SET LANGUAGE us_english; "
    "SET LOCK_TIMEOUT 10000; SET DEADLOCK_PRIORITY LOW";

struct db {
    DBPROCESS *proc;
    struct db_error error;
    const struct source_endpoint *endpoint;
    int stop_fd;
    void (*beat)(void *arg);
    void *beat_arg;
    int64_t deadline_ns; /* of the statement until its first row; 0 = none */
    bool timed_out;      /* the deadline passed */
    bool is_busy;        /* a batch is not read to its end */
};

/* The connection being opened: handlers get no DBPROCESS of ours before dbopen() returns. */
static _Thread_local struct db *opening;

static bool
is_stopped(const struct db *d)
{
    struct pollfd p = {.fd = d->stop_fd, .events = POLLIN};

    return d->stop_fd >= 0 && poll(&p, 1, 0) > 0;
}

/* ---- DB-Library's callbacks ---- */

static struct db *
db_of(DBPROCESS *proc)
{
    struct db *d = proc != NULL ? (struct db *)(void *)dbgetuserdata(proc) : NULL;

    return d != NULL ? d : opening;
}

static int
on_error(DBPROCESS *proc, int severity, int number, int os_error, char *text, char *os_text)
{
    struct db *d = db_of(proc);

    (void)severity;
    (void)os_error;
    (void)os_text;
    if (d != NULL)
        db_error_client(&d->error, number, text);
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
    if (d != NULL && severity > 10)
        db_error_server(&d->error, number, severity, text);
    return 0;
}

/* Polled about once a second while DB-Library waits for bytes.  True ends the wait. */
static int
on_wait(void *proc)
{
    struct db *d = db_of(proc);

    if (d == NULL)
        return FALSE;
    if (d->beat != NULL)
        d->beat(d->beat_arg);
    if (d->deadline_ns != 0 && clock_mono_ns() > d->deadline_ns)
        d->timed_out = true;
    return d->timed_out || is_stopped(d) ? TRUE : FALSE;
}

static int
on_interrupt(void *proc)
{
    (void)proc;
    return INT_CANCEL; /* closes the socket */
}

/* ---- process-wide set-up ---- */

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

/* ---- errors ---- */

static int
fail(struct db *d, const char *what, struct err *e)
{
    if (is_stopped(d))
        return err_set(e, ERR_STOPPED, "%s: stopped", what);
    if (d->timed_out) {
        err_set(e, ERR_TIMEOUT, "%s: no result within %u s", what, d->endpoint->query_timeout_s);
        return err_hint(e, "see what blocks the statement; ExecuteTimeout sets the limit");
    }
    return db_error_report(&d->error, what, e);
}

/* The first error of a batch is the cause; the rest follow from it. */
static bool
is_failed(const struct db *d)
{
    return db_error_is_set(&d->error) || d->timed_out;
}

/* ---- opening ---- */

static LOGINREC *
make_login(const struct db_config *config, const char *password)
{
    const struct source_endpoint *ep = config->endpoint;
    bool is_encrypted = ep->ssl_mode != SSL_NONE;
    LOGINREC *login = dblogin();

    if (login == NULL)
        return NULL;
    DBSETLUSER(login, ep->username);
    DBSETLPWD(login, password);
    DBSETLAPP(login, config->application);
    DBSETLCHARSET(login, "UTF-8");
    DBSETLDBNAME(login, ep->database_name);
    DBSETLVERSION(login, DBVERSION_74);
    DBSETLPACKET(login, is_encrypted ? PACKET_SIZE_ENCRYPTED : PACKET_SIZE);
    if (ep->read_only_intent)
        DBSETLREADONLY(login, 1);
    return login;
}

/* dbopen() failed.  The server's message says why; without one the network or TLS did. */
static int
open_failed(struct db *d, struct err *e)
{
    const struct source_endpoint *ep = d->endpoint;

    if (is_stopped(d))
        return err_set(e, ERR_STOPPED, "connecting: stopped");
    if (db_error_is_server(&d->error))
        return db_error_report(&d->error, "log in", e);
    if (db_reach(ep->server_name, ep->port, ep->login_timeout_s, e) != 0)
        return -1;
    if (ep->ssl_mode == SSL_NONE) {
        err_set(e, ERR_CONNECT, "%s port %u takes connections but the login got no answer (%s)",
                ep->server_name, ep->port, db_error_text(&d->error));
        return err_hint(e, "is a SQL Server listening there?  A server that demands encryption "
                           "needs SslMode require, verify-ca or verify-full");
    }
    err_set(e, ERR_TLS, "%s port %u takes connections but the TLS handshake failed (%s)",
            ep->server_name, ep->port, db_error_text(&d->error));
    if (ep->ssl_mode == SSL_REQUIRE)
        return err_hint(e, "the server may not offer encryption, or only TLS versions below 1.1");
    return err_hint(e, "the certificate must be signed by the authority in %s%s",
                    ep->ssl_ca_file[0] != '\0' ? ep->ssl_ca_file : "the system's list",
                    ep->ssl_mode == SSL_VERIFY_FULL ? " and made out to ServerName" : "");
}

static int
connect_process(struct db *d, const struct db_config *config, struct err *e)
{
    char path[DB_CONF_PATH_MAX];
    char *password = NULL;
    LOGINREC *login;

    if (db_conf_write(config->private_directory, config->endpoint, path, e) != 0)
        return -1;
    if (secret_read(&config->endpoint->password, "SourceEndpoint.Password", &password, e) != 0) {
        if (e->code == ERR_NOT_FOUND)
            e->code = ERR_CONFIG; /* a file that is not there is not worth waiting for */
        return -1;
    }
    login = make_login(config, password);
    secret_wipe(&password);
    if (login == NULL)
        return err_set(e, ERR_NOMEM, "dblogin");
    dbsetifile(path);
    (void)dbsetlogintime((int)config->endpoint->login_timeout_s);
    (void)dbsettime((int)config->endpoint->query_timeout_s);
    opening = d;
    d->proc = dbopen(login, DB_CONF_SECTION);
    opening = NULL;
    dbloginfree(login);
    (void)unlink(path);
    if (d->proc == NULL)
        return open_failed(d, e);
    dbsetuserdata(d->proc, (BYTE *)d);
    dbsetinterrupt(d->proc, on_wait, on_interrupt);
    db_error_clear(&d->error);
    return 0;
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
                        d->endpoint->username);
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
    if (connect_process(d, config, e) != 0 || check_database(d, e) != 0) {
        db_close(&d);
        return -1;
    }
    *out = d;
    return 0;
}

void
db_close(struct db **d)
{
    if (*d == NULL)
        return;
    if ((*d)->proc != NULL)
        dbclose((*d)->proc);
    free(*d);
    *d = NULL;
}

/* ---- statements ---- */

int
db_exec(struct db *d, const char *sql, struct err *e)
{
    db_error_clear(&d->error);
    d->timed_out = false;
    d->deadline_ns = 0;
    if (d->is_busy && dbcancel(d->proc) == FAIL)
        return fail(d, "cancel", e);
    d->is_busy = true;
    d->deadline_ns = clock_mono_ns() + (int64_t)d->endpoint->query_timeout_s * NS_PER_S;
    if (dbcmd(d->proc, sql) == FAIL || dbsqlexec(d->proc) == FAIL || is_failed(d))
        return fail(d, "run a statement", e);
    return 0;
}

int
db_result(struct db *d, struct err *e)
{
    for (;;) {
        RETCODE rc = dbresults(d->proc);

        if (rc == FAIL || is_failed(d))
            return fail(d, "read a result", e);
        if (rc == NO_MORE_RESULTS) {
            d->is_busy = false;
            return 0;
        }
        if (dbnumcols(d->proc) > 0)
            return 1;
    }
}

int
db_next(struct db *d, struct err *e)
{
    STATUS rc = dbnextrow(d->proc);

    d->deadline_ns = 0; /* rows may take as long as they are many; each wait is bounded */
    if (rc == REG_ROW)
        return 1;
    if (rc != NO_MORE_ROWS || is_failed(d))
        return fail(d, "read a row", e);
    return 0;
}

int
db_query(struct db *d, const char *sql, struct err *e)
{
    int rc;

    if (db_exec(d, sql, e) != 0)
        return -1;
    rc = db_result(d, e);
    if (rc == 0)
        return err_set(e, ERR_PROTOCOL, "a query brought no result set: %.200s", sql);
    return rc < 0 ? -1 : 0;
}

int
db_run(struct db *d, const char *sql, struct err *e)
{
    int rc;

    if (db_exec(d, sql, e) != 0)
        return -1;
    while ((rc = db_result(d, e)) == 1) {
        while ((rc = db_next(d, e)) == 1)
            ;
        if (rc < 0)
            return -1;
    }
    return rc;
}

/* ---- values ---- */

int
db_columns(struct db *d)
{
    return dbnumcols(d->proc);
}

int
db_type(struct db *d, int column)
{
    return dbcoltype(d->proc, column + 1);
}

unsigned
db_scale(struct db *d, int column)
{
    const DBTYPEINFO *info = dbcoltypeinfo(d->proc, column + 1);

    return info != NULL && info->scale > 0 ? (unsigned)info->scale : 0;
}

const void *
db_data(struct db *d, int column, size_t *size)
{
    const BYTE *data = dbdata(d->proc, column + 1);
    DBINT n = dbdatlen(d->proc, column + 1);

    *size = n > 0 ? (size_t)n : 0;
    return data;
}

int64_t
db_int(struct db *d, int column)
{
    size_t size;
    const uint8_t *data = db_data(d, column, &size);
    uint64_t value = 0;

    if (data == NULL || size > sizeof(value))
        return 0;
    memcpy(&value, data, size);
    switch (size) {
    case 2:
        return (int16_t)value;
    case 4:
        return (int32_t)value;
    default:
        return (int64_t)value;
    }
}

void
db_text(struct db *d, int column, char *buf, size_t size)
{
    size_t n;
    const char *data = db_data(d, column, &n);

    if (data == NULL)
        n = 0;
    if (n >= size)
        n = size - 1;
    if (n > 0)
        memcpy(buf, data, n);
    buf[n] = '\0';
}
