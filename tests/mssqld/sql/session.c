/* Sessions: login, the SQLite connection and the databases attached to it. */
#include "tests/mssqld/sql/session.h"

#include <stdarg.h>
#include <strings.h>

#include "common/clock.h"
#include "common/err.h"
#include "tests/mssqld/sql/catalog.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/fault.h"
#include "tests/mssqld/sql/func.h"
#include "tests/mssqld/sql/plan.h"
#include "tests/mssqld/sql/recovery.h"
#include "tests/mssqld/sql/security.h"

#define ATTACH_MAX 9 /* SQLite allows 10 */

int
session_sqlite_error(struct session *s)
{
    if (s->fn_error.number != 0) {
        int32_t line = s->error.line;

        s->error = s->fn_error;
        s->error.line = line;
        s->fn_error.number = 0;
        return -1;
    }
    if (sqlite3_errcode(s->db) == SQLITE_INTERRUPT)
        return sqlerr_set(&s->error, 3617, 11, 1, "Query cancelled by user.");
    if (sqlite3_extended_errcode(s->db) == SQLITE_BUSY_SNAPSHOT)
        return sqlerr_set(&s->error, 3960, 16, 2,
                          "Snapshot isolation transaction aborted due to update conflict.");
    if (strstr(sqlite3_errmsg(s->db), "integer overflow") != NULL)
        return sqlerr_overflow(&s->error, "int");
    return sqlerr_set(&s->error, 50000, 17, 1, "internal: %s", sqlite3_errmsg(s->db));
}

int
session_sql(struct session *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : session_sqlite_error(s);
}

static char *format(const char *fmt, va_list args) __attribute__((format(printf, 1, 0)));

static char *
format(const char *fmt, va_list args)
{
    va_list again;
    int n;
    char *sql;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    CHECK(n >= 0);
    sql = malloc((size_t)n + 1);
    CHECK(sql != NULL);
    (void)vsnprintf(sql, (size_t)n + 1, fmt, again);
    va_end(again);
    return sql;
}

int
session_sqlf(struct session *s, const char *fmt, ...)
{
    va_list args;
    char *sql;
    int rc;

    va_start(args, fmt);
    sql = format(fmt, args);
    va_end(args);
    rc = session_sql(s, sql);
    free(sql);
    return rc;
}

sqlite3_stmt *
session_prepare(struct session *s, const char *sql)
{
    sqlite3_stmt *q = NULL;

    if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q, NULL) != SQLITE_OK) {
        (void)session_sqlite_error(s);
        return NULL;
    }
    return q;
}

int64_t
session_int(struct session *s, int64_t otherwise, const char *fmt, ...)
{
    va_list args;
    char *sql;
    sqlite3_stmt *q;

    va_start(args, fmt);
    sql = format(fmt, args);
    va_end(args);
    q = session_prepare(s, sql);
    free(sql);
    if (q == NULL)
        return otherwise;
    if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL)
        otherwise = sqlite3_column_int64(q, 0);
    (void)sqlite3_finalize(q);
    return otherwise;
}

/* Makes room: everything but master and the current database goes. */
static void
detach_others(struct session *s)
{
    plan_forget(s);
    catalog_forget(s);
    for (int i = 0; i < ATTACH_MAX; i++) {
        struct database *d = s->attached[i];

        if (d == NULL || d == s->current || d->id == DB_MASTER || d->id == DB_MSDB)
            continue;
        if (session_sqlf(s, "DETACH d%d", d->id) == 0)
            s->attached[i] = NULL;
    }
}

int
session_attach(struct session *s, struct database *d)
{
    int slot = -1;
    char *sql;
    int rc;

    for (int i = 0; i < ATTACH_MAX; i++) {
        if (s->attached[i] == d)
            return 0;
        if (s->attached[i] == NULL && slot < 0)
            slot = i;
    }
    if (slot < 0) {
        detach_others(s);
        for (int i = ATTACH_MAX - 1; i >= 0; i--)
            slot = s->attached[i] == NULL ? i : slot;
    }
    if (slot < 0)
        return sqlerr_set(&s->error, 701, 17, 1, "Too many databases in one transaction.");
    sql = sqlite3_mprintf("ATTACH %Q AS d%d", d->path, d->id);
    CHECK(sql != NULL);
    rc = session_sql(s, sql);
    sqlite3_free(sql);
    if (rc != 0)
        return -1;
    s->attached[slot] = d;
    /* Not to be set inside a transaction; without them it is only slower. */
    if (sqlite3_get_autocommit(s->db) != 0)
        rc = session_sqlf(s,
                          "PRAGMA d%d.synchronous=OFF; PRAGMA d%d.cache_size=-16384; "
                          "PRAGMA d%d.secure_delete=OFF; PRAGMA d%d.mmap_size=1073741824",
                          d->id, d->id, d->id, d->id);
    return rc;
}

static int
on_progress(void *arg)
{
    struct session *s = arg;

    return s->sink != NULL && s->sink->cancelled != NULL && s->sink->cancelled(s->sink->arg);
}

static struct session *
session_new(struct engine *g, uint16_t spid)
{
    struct session *s = calloc(1, sizeof *s);

    CHECK(s != NULL);
    s->engine = g;
    s->spid = spid;
    s->turn = 1;
    s->fault_after = -1;
    s->lock_timeout_ms = -1;
    s->isolation = ISO_READ_COMMITTED;
    CHECK(sqlite3_open_v2(":memory:", &s->db,
                          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                          NULL) == SQLITE_OK);
    (void)sqlite3_busy_timeout(s->db, 20000);
    (void)sqlite3_wal_autocheckpoint(s->db, 4000);
    (void)sqlite3_exec(s->db, "PRAGMA temp_store=MEMORY", NULL, NULL, NULL);
    CHECK(collation_register(s->db) == SQLITE_OK);
    func_register(s);
    sqlite3_progress_handler(s->db, 20000, on_progress, s);
    (void)pthread_mutex_lock(&g->mutex);
    s->next = g->sessions;
    g->sessions = s;
    (void)pthread_mutex_unlock(&g->mutex);
    return s;
}

struct session *
session_internal_open(struct engine *g, struct database *d)
{
    struct session *s = session_new(g, 0);

    s->login = strdup("sa");
    s->sysadmin = true;
    s->cdc_internal = true;
    s->current = d;
    s->application = strdup("");
    s->host = strdup("");
    CHECK(s->login != NULL && session_attach(s, d) == 0);
    return s;
}

static int
refuse(const struct sink *sink, int32_t number, uint8_t state, uint8_t severity, const char *text)
{
    if (sink != NULL && sink->message != NULL)
        (void)sink->message(sink->arg, number, state, severity, text, "", 1);
    return -1;
}

int
session_open(struct engine *engine, const struct login_request *login, uint16_t spid,
             const struct sink *sink, struct session **out)
{
    bool sysadmin = false;
    char *database = NULL;
    const char *want = login->database != NULL ? login->database : "";
    struct session *s;
    struct database *d;
    struct sqlerr fault = {0};
    int32_t refusal;
    char text[512];

    *out = NULL;
    if (fault_login(engine, login->user, &fault)) {
        (void)refuse(sink, fault.number, fault.state, fault.severity, fault.text);
        if (fault.number == 4060) {
            (void)snprintf(text, sizeof text, "Login failed for user '%s'.", login->user);
            (void)refuse(sink, 18456, 1, 14, text);
        }
        return -1;
    }
    refusal = security_login(engine, login, &sysadmin, &database);
    if (refusal != 0) {
        (void)snprintf(text, sizeof text, "Login failed for user '%s'.%s", login->user,
                       refusal == 18470 ? " Reason: The account is disabled." : "");
        return refuse(sink, refusal, 1, 14, text);
    }
    if (want[0] == '\0')
        want = database != NULL && database[0] != '\0' ? database : "master";
    s = session_new(engine, spid);
    s->login = strdup(login->user);
    s->sysadmin = sysadmin;
    s->read_only_intent = login->read_only_intent;
    s->application = strdup(login->application != NULL ? login->application : "");
    s->host = strdup(login->host != NULL ? login->host : "");
    d = engine_database(engine, want);
    if (d != NULL && recovery_check(s, d) != 0) {
        (void)refuse(sink, s->error.number, s->error.state, s->error.severity, s->error.text);
        d = NULL;
    }
    (void)snprintf(text, sizeof text,
                   "Cannot open database \"%s\" requested by the login. The login failed.", want);
    free(database);
    if (d == NULL || session_attach(s, engine_database_id(engine, DB_MASTER)) != 0 ||
        session_attach(s, engine_database_id(engine, DB_MSDB)) != 0 || session_attach(s, d) != 0 ||
        (d->id != DB_MASTER && !security_may_enter(s, d))) {
        (void)refuse(sink, 4060, 1, 11, text);
        (void)snprintf(text, sizeof text, "Login failed for user '%s'.", login->user);
        (void)refuse(sink, 18456, 1, 14, text);
        session_close(&s);
        return -1;
    }
    s->current = d;
    *out = s;
    return 0;
}

void
session_close(struct session **session)
{
    struct session *s = *session;
    struct session **link;

    if (s == NULL)
        return;
    s->sink = NULL;
    (void)tx_rollback(s);
    plan_forget(s);
    catalog_forget(s);
    catalog_release(s);
    func_forget(s);
    for (size_t i = 0; i < sizeof s->lsn_stmt / sizeof s->lsn_stmt[0]; i++)
        (void)sqlite3_finalize(s->lsn_stmt[i]);
    CHECK(sqlite3_close(s->db) == SQLITE_OK);
    (void)pthread_mutex_lock(&s->engine->mutex);
    for (link = &s->engine->sessions; *link != s; link = &(*link)->next)
        continue;
    *link = s->next;
    (void)pthread_mutex_unlock(&s->engine->mutex);
    arena_free(&s->fn_arena);
    arena_free(&s->row_arena);
    arena_free(&s->exec_arena);
    free(s->login);
    free(s->application);
    free(s->host);
    free(s);
    *session = NULL;
}

void
session_end(struct session *s)
{
    atomic_store(&s->ended, true);
}

bool
session_ended(const struct session *session)
{
    return atomic_load(&session->ended);
}

const char *
session_database(const struct session *session)
{
    return session->current->name;
}
