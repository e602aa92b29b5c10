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
    {18459, ERR_LOGIN, "the server has no licence for more users"},
    {18470, ERR_LOGIN, "the login is disabled: ALTER LOGIN ... ENABLE"},
    {18486, ERR_LOGIN, "the login is locked out: ALTER LOGIN ... UNLOCK"},
    {18487, ERR_LOGIN, "the password has expired: set a new one"},
    {18488, ERR_LOGIN, "the password must be changed: set a new one"},
    {40532, ERR_LOGIN, "the server name of the login is not known: try name@server as Username"},
    {40607, ERR_LOGIN, "logins of this kind are not allowed by the server"},
    {40615, ERR_LOGIN, "a firewall rule of the server must allow this host's address"},
    {40914, ERR_LOGIN, "a virtual network rule of the server must allow this host's subnet"},
    {47073, ERR_LOGIN, "public access to the server is switched off: use its private endpoint"},
    {229, ERR_ACCESS, "GRANT SELECT ON SCHEMA::cdc and on the tables of the task to the login"},
    {230, ERR_ACCESS, "GRANT SELECT on the whole table to the login"},
    {262, ERR_ACCESS, "the login lacks the permission named in the message"},
    {297, ERR_ACCESS, "GRANT VIEW DATABASE STATE to the login"},
    {300, ERR_ACCESS, "GRANT VIEW SERVER STATE to the login"},
    {916, ERR_ACCESS, "the login is no user of the database"},
    {22981, ERR_ACCESS, "the login must be a member of the capture instance's gating role"},
    {313, ERR_SQL, "the change function was asked outside of what it has: looked at anew"},
    {207, ERR_SQL, "a column was changed between two looks: the definition is read again"},
    {208, ERR_SQL, "a table or capture instance went away between two looks: they are read again"},
    {701, ERR_SQL, "the server is short of memory: tried again"},
    {802, ERR_SQL, "the server is short of memory: tried again"},
    {845, ERR_SQL, "the server waited too long for a page: tried again"},
    {1105, ERR_SQL, "a file group of the database is full: make room"},
    {1204, ERR_SQL, "the server is out of locks: tried again"},
    {1205, ERR_SQL, "deadlock victim: tried again"},
    {1222, ERR_SQL, "lock time-out: tried again"},
    {3906, ERR_SQL, "the database is read-only: nothing can be written there"},
    {3952, ERR_SQL, "ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON"},
    {3958, ERR_SQL, "the snapshot is too old (version store): tried again"},
    {3960, ERR_SQL, "the snapshot met a later write: tried again"},
    {3961, ERR_SQL, "a table was changed since the snapshot began: tried again"},
    {3966, ERR_SQL, "the snapshot is too old (version store): tried again"},
    {8645, ERR_SQL, "the server is short of memory for queries: tried again"},
    {9002, ERR_SQL,
     "the database's log is full: SELECT log_reuse_wait_desc FROM sys.databases says why; back the "
     "log up, or start the capture job when it says REPLICATION"},
    {911, ERR_CONNECT, "the database is not there: dropped, renamed, or not attached yet"},
    {921, ERR_CONNECT, "the database is being recovered: waited for"},
    {922, ERR_CONNECT, "the database is being recovered: waited for"},
    {923, ERR_CONNECT, "the database admits its owner only: waited for"},
    {924, ERR_CONNECT, "the database is in single-user mode: waited for"},
    {926, ERR_CONNECT, "the database is suspect: RESTORE it; waited for"},
    {927, ERR_CONNECT, "the database is being restored: waited for"},
    {942, ERR_CONNECT, "the database is offline: ALTER DATABASE ... SET ONLINE; waited for"},
    {945, ERR_CONNECT, "the database cannot be opened (files, memory, disk): waited for"},
    {952, ERR_CONNECT, "the database changes its state: waited for"},
    {954, ERR_CONNECT, "the database is a mirror here: point the task at the principal"},
    {6005, ERR_CONNECT, "the server is shutting down: waited for"},
    {17142, ERR_CONNECT, "the server is paused: waited for"},
    {17187, ERR_CONNECT, "the server is starting: waited for"},
    {18451, ERR_CONNECT, "the server is shutting down: waited for"},
    {35250, ERR_CONNECT, "the replica is not connected to its primary: waited for"},
    {976, ERR_CONNECT, "the replica is not readable; ApplicationIntent ReadOnly may be needed"},
    {978, ERR_CONNECT, "the replica is not readable; ApplicationIntent ReadOnly may be needed"},
    {979, ERR_CONNECT, "the replica is not readable; ApplicationIntent ReadOnly may be needed"},
    {983, ERR_CONNECT, "the replica is not readable now"},
    {4221, ERR_CONNECT, "the secondary replica is not ready for reads yet: waited for"},
    {10928, ERR_CONNECT, "the database's limit of workers or sessions is reached: waited for"},
    {10929, ERR_CONNECT, "the service is too busy for this database: waited for"},
    {10936, ERR_CONNECT, "the elastic pool's limit of requests is reached: waited for"},
    {17197, ERR_CONNECT, "the server let the login time out: tried again"},
    {17809, ERR_CONNECT, "the server has as many connections as it allows: waited for"},
    {18401, ERR_CONNECT, "the server upgrades itself: waited for"},
    {18461, ERR_CONNECT, "the server is in single-user mode: waited for"},
    {40143, ERR_CONNECT, "the service could not process the request: tried again"},
    {40197, ERR_CONNECT, "the service is being reconfigured: waited for"},
    {40501, ERR_CONNECT, "the service is busy: waited for"},
    {40540, ERR_CONNECT, "the service failed over: connected again"},
    {40549, ERR_CONNECT, "the service ended a session with a long transaction: connected again"},
    {40550, ERR_CONNECT, "the service ended a session with too many locks: connected again"},
    {40551, ERR_CONNECT, "the service ended a session for its use of tempdb: connected again"},
    {40552, ERR_CONNECT, "the service ended a session for its use of the log: connected again"},
    {40553, ERR_CONNECT, "the service ended a session for its use of memory: connected again"},
    {40613, ERR_CONNECT, "the database is not available now (fail-over, pause): waited for"},
    {49918, ERR_CONNECT, "the service has no resources for the request: waited for"},
    {49919, ERR_CONNECT, "the service has too many such requests: waited for"},
    {49920, ERR_CONNECT, "the service has too many requests: waited for"},
    {64, ERR_CONNECT, "the connection broke in the login: tried again"},
    {121, ERR_CONNECT, "the connection broke: tried again"},
    {233, ERR_CONNECT, "the server ended the connection in the login: tried again"},
    {596, ERR_CONNECT, "the session was killed: connected again"},
    {10053, ERR_CONNECT, "the connection broke: tried again"},
    {10054, ERR_CONNECT, "the connection broke: tried again"},
    {10060, ERR_CONNECT, "the server was not reached: tried again"},
};

/* What Azure's pages ask for: 5 s after a reconfiguration, 10 s where a limit was met. */
static const struct {
    int32_t number;
    uint32_t pause_ms;
} pauses[] = {
    {40143, 5000},  {40197, 5000},  {40540, 5000},  {40613, 5000},  {4221, 5000},   {10928, 10000},
    {10929, 10000}, {10936, 10000}, {40501, 10000}, {40549, 10000}, {40550, 10000}, {40551, 10000},
    {40552, 10000}, {40553, 10000}, {49918, 10000}, {49919, 10000}, {49920, 10000}, {17809, 5000},
};

uint32_t
db_error_pause_ms(int number)
{
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++)
        if (pauses[i].number == number)
            return pauses[i].pause_ms;
    return 0;
}

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
