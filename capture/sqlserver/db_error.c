#include "capture/sqlserver/db_error.h"

#include "common/err.h"

#include <sybfront.h>

#include <sybdb.h>

#include <stdio.h>

/* Numbers of the server with a meaning of their own; every other one is ERR_SQL: try again. */
static const struct {
    int32_t number;
    enum err_code code;
    const char *hint;
} meanings[] = {
    {4060, ERR_LOGIN, "check SourceEndpoint.DatabaseName, and that the login is a user of it"},
    {4064, ERR_LOGIN, "the login's default database cannot be opened"},
    {18450, ERR_LOGIN, "check SourceEndpoint.Username and Password"},
    {18452, ERR_LOGIN, "the login must use SQL Server authentication"},
    {18456, ERR_LOGIN, "check SourceEndpoint.Username and Password"},
    {18486, ERR_LOGIN, "the login is locked out: ALTER LOGIN ... UNLOCK"},
    {18487, ERR_LOGIN, "the password has expired: set a new one"},
    {18488, ERR_LOGIN, "the password must be changed: set a new one"},
    {229, ERR_ACCESS, "GRANT SELECT ON SCHEMA::cdc and on the tables of the task to the login"},
    {230, ERR_ACCESS, "GRANT SELECT on the whole table to the login"},
    {262, ERR_ACCESS, "the login lacks the permission named in the message"},
    {297, ERR_ACCESS, "GRANT VIEW DATABASE STATE to the login"},
    {300, ERR_ACCESS, "GRANT VIEW SERVER STATE to the login"},
    {916, ERR_ACCESS, "the login is no user of the database"},
    {22981, ERR_ACCESS, "the login must be a member of the capture instance's gating role"},
    {313, ERR_SQL, "the change function was asked outside of what it has: looked at anew"},
    {1205, ERR_SQL, "deadlock victim: tried again"},
    {1222, ERR_SQL, "lock time-out: tried again"},
    {976, ERR_CONNECT, "the replica is not readable; ApplicationIntent ReadOnly may be needed"},
    {978, ERR_CONNECT, "the replica is not readable; ApplicationIntent ReadOnly may be needed"},
    {979, ERR_CONNECT, "the replica is not readable; ApplicationIntent ReadOnly may be needed"},
    {983, ERR_CONNECT, "the replica is not readable now"},
    {40613, ERR_CONNECT, "the database is not available now"},
    {40197, ERR_CONNECT, "the service is being reconfigured"},
    {40501, ERR_CONNECT, "the service is busy"},
    {596, ERR_CONNECT, "the session was killed"},
};

void
db_error_clear(struct db_error *d)
{
    *d = (struct db_error){.server = 0};
}

void
db_error_server(struct db_error *d, int32_t number, int severity, const char *text)
{
    if (d->server != 0)
        return;
    d->server = number != 0 ? number : -1;
    d->severity = severity;
    (void)snprintf(d->text, sizeof(d->text), "%s", text != NULL ? text : "");
}

void
db_error_client(struct db_error *d, int number, const char *text)
{
    /* 20018 only says that the server said something. */
    if (number == SYBESMSG || d->client != 0)
        return;
    d->client = number;
    if (d->server == 0)
        (void)snprintf(d->text, sizeof(d->text), "%s", text != NULL ? text : "");
}

bool
db_error_is_set(const struct db_error *d)
{
    return d->server != 0 || d->client != 0;
}

bool
db_error_is_server(const struct db_error *d)
{
    return d->server != 0;
}

bool
db_error_is_unreachable(const struct db_error *d)
{
    return d->server == 0 && d->client == SYBECONN;
}

const char *
db_error_text(const struct db_error *d)
{
    return d->text[0] != '\0' ? d->text : "no reason given";
}

static int
report_server(const struct db_error *d, const char *what, struct err *e)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].number == d->server) {
            err_sys(e, meanings[i].code, d->server, "%s: server message %d: %s", what, d->server,
                    d->text);
            return err_hint(e, "%s", meanings[i].hint);
        }
    /* Severity 20 and more: the server has closed the connection. */
    return err_sys(e, d->severity >= 20 ? ERR_CONNECT : ERR_SQL, d->server,
                   "%s: server message %d (severity %d): %s", what, d->server, d->severity,
                   d->text);
}

int
db_error_report(const struct db_error *d, const char *what, struct err *e)
{
    if (d->server != 0)
        return report_server(d, what, e);
    switch (d->client) {
    case SYBETIME:
        err_set(e, ERR_TIMEOUT, "%s: the server was silent too long", what);
        return err_hint(e, "ExecuteTimeout sets how long a statement may take");
    case 0:
        return err_set(e, ERR_CONNECT, "%s: the connection ended", what);
    default:
        return err_set(e, ERR_CONNECT, "%s: %s (DB-Library %d)", what, db_error_text(d), d->client);
    }
}
