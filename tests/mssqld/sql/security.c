#include "tests/mssqld/sql/security.h"

#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/rights.h"

#define ROLE_OWNER    16384
#define ROLE_WRITER   16391
#define PRINCIPAL_DBO 1

/* A user of one database alone, as Azure SQL Database has them: no login behind it. */
static bool
contained_login(struct engine *g, const char *user, const char *password, const char *database)
{
    struct database *d = engine_database(g, database);
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    bool ok = false;

    if (d == NULL || d->id <= DB_MSDB ||
        sqlite3_open_v2(d->path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
            SQLITE_OK) {
        (void)sqlite3_close(db);
        return false;
    }
    (void)sqlite3_busy_timeout(db, 5000);
    if (collation_register(db) == SQLITE_OK &&
        sqlite3_prepare_v2(db,
                           "SELECT 1 FROM sys_principals WHERE name = ?1 AND login = ?1 AND "
                           "password = ?2",
                           -1, &q, NULL) == SQLITE_OK) {
        (void)sqlite3_bind_text(q, 1, user, -1, SQLITE_STATIC);
        (void)sqlite3_bind_text(q, 2, password, -1, SQLITE_STATIC);
        ok = sqlite3_step(q) == SQLITE_ROW;
    }
    (void)sqlite3_finalize(q);
    (void)sqlite3_close(db);
    return ok;
}

/* 18456 unless the login exists and the password fits (or somebody else has proven who it is). */
static int32_t
check_login(struct engine *g, const struct login_request *l, bool *sysadmin, char **database)
{
    sqlite3_stmt *q = NULL;
    int32_t refusal = 18456;

    (void)pthread_mutex_lock(&g->mutex);
    CHECK(sqlite3_prepare_v2(g->master,
                             "SELECT password, sysadmin, database, disabled, windows FROM "
                             "srv_logins WHERE name = ?1",
                             -1, &q, NULL) == SQLITE_OK);
    (void)sqlite3_bind_text(q, 1, l->user, -1, SQLITE_STATIC);
    if (sqlite3_step(q) == SQLITE_ROW) {
        const char *known = (const char *)sqlite3_column_text(q, 0);
        const char *home = (const char *)sqlite3_column_text(q, 2);
        bool windows = sqlite3_column_int(q, 4) != 0;

        if (windows ? l->is_authenticated
                    : !l->is_authenticated && known != NULL && strcmp(known, l->password) == 0)
            refusal = sqlite3_column_int(q, 3) != 0 ? 18470 : 0;
        *sysadmin = sqlite3_column_int(q, 1) != 0;
        *database = refusal == 0 && home != NULL ? strdup(home) : NULL;
    }
    (void)sqlite3_finalize(q);
    (void)pthread_mutex_unlock(&g->mutex);
    return refusal;
}

int32_t
security_login(struct engine *g, const struct login_request *l, bool *sysadmin, char **database)
{
    int32_t refusal;

    if (strcasecmp(l->user, "sa") == 0 && !l->is_authenticated) {
        *sysadmin = true;
        return strcmp(l->password, g->sa_password) == 0 ? 0 : 18456;
    }
    refusal = check_login(g, l, sysadmin, database);
    if (refusal == 18456 && !l->is_authenticated && l->database != NULL &&
        contained_login(g, l->user, l->password, l->database))
        return 0;
    return refusal;
}

bool
security_login_exists(struct engine *g, const char *name)
{
    sqlite3_stmt *q = NULL;
    bool found;

    if (strcasecmp(name, "sa") == 0)
        return true;
    (void)pthread_mutex_lock(&g->mutex);
    CHECK(sqlite3_prepare_v2(g->master, "SELECT 1 FROM srv_logins WHERE name = ?1", -1, &q, NULL) ==
          SQLITE_OK);
    (void)sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    found = sqlite3_step(q) == SQLITE_ROW;
    (void)sqlite3_finalize(q);
    (void)pthread_mutex_unlock(&g->mutex);
    return found;
}

static int64_t
principal_id(struct session *s, struct database *d, const char *name, const char *by)
{
    sqlite3_stmt *q;
    char sql[128];
    int64_t id = -1;

    if (session_attach(s, d) != 0)
        return -1;
    (void)snprintf(sql, sizeof sql, "SELECT principal_id FROM d%d.sys_principals WHERE %s = ?1",
                   d->id, by);
    q = session_prepare(s, sql);
    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(q) == SQLITE_ROW)
        id = sqlite3_column_int64(q, 0);
    (void)sqlite3_finalize(q);
    return id;
}

int64_t
security_principal(struct session *s, struct database *d, const char *name)
{
    return principal_id(s, d, name, "name");
}

int
security_user_id(struct session *s, struct database *d)
{
    if (s->sysadmin)
        return PRINCIPAL_DBO;
    return (int)principal_id(s, d, s->login, "login");
}

bool
security_may_enter(struct session *s, struct database *d)
{
    if (s->sysadmin || d->id <= DB_MSDB)
        return true;
    return security_user_id(s, d) >= 0;
}

bool
security_is_member(struct session *s, struct database *d, int role_id)
{
    int user = security_user_id(s, d);

    if (user == PRINCIPAL_DBO || role_id == 0)
        return true;
    if (user < 0)
        return false;
    return session_int(s, 0,
                       "WITH RECURSIVE m(id) AS (SELECT %d UNION SELECT role_id FROM "
                       "d%d.sys_members JOIN m ON member_id = m.id) SELECT count(*) FROM m WHERE "
                       "id = %d",
                       user, d->id, role_id) > 0;
}

bool
security_is_owner(struct session *s, struct database *d)
{
    return security_is_member(s, d, ROLE_OWNER);
}

bool
security_allowed(struct session *s, const struct table *t, const char *permission)
{
    return rights_object(s, t->db, t->object_id, t->schema_id, permission);
}

int
security_require(struct session *s, const struct table *t, const char *permission)
{
    if (s->sysadmin || security_allowed(s, t, permission))
        return 0;
    return sqlerr_set(&s->error, 229, 14, 5,
                      "The %s permission was denied on the object '%s', database '%s', schema "
                      "'%s'.",
                      permission, t->name, t->db->name, t->schema);
}

int
security_require_owner(struct session *s)
{
    if (s->sysadmin || security_is_owner(s, s->current))
        return 0;
    return sqlerr_set(&s->error, 262, 14, 1, "Permission denied in database '%s'.",
                      s->current->name);
}

static int
server_statement(struct session *s, const char *sql, const char *a, const char *b, const char *c)
{
    struct engine *g = s->engine;
    sqlite3_stmt *q = NULL;
    int changes;

    (void)pthread_mutex_lock(&g->mutex);
    CHECK(sqlite3_prepare_v2(g->master, sql, -1, &q, NULL) == SQLITE_OK);
    (void)sqlite3_bind_text(q, 1, a, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, b, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 3, c, -1, SQLITE_STATIC);
    changes = sqlite3_step(q) == SQLITE_DONE ? sqlite3_changes(g->master) : -1;
    (void)sqlite3_finalize(q);
    (void)pthread_mutex_unlock(&g->mutex);
    return changes;
}

int
security_create_login(struct session *s, const struct stmt *x)
{
    if (!s->sysadmin)
        return sqlerr_set(&s->error, 15247, 16, 1,
                          "User does not have permission to perform this "
                          "action.");
    if (server_statement(s,
                         x->op == 'W' ? "INSERT INTO srv_logins(name, password, sysadmin, "
                                        "database, disabled, windows) VALUES (?1,NULL,?2 <> ?2,"
                                        "?3,0,1)"
                                      : "INSERT INTO srv_logins(name, password, sysadmin, "
                                        "database, disabled, windows) VALUES (?1,?2,0,?3,0,0)",
                         x->word, x->word2 != NULL ? x->word2 : "",
                         x->text != NULL ? x->text : "") < 0)
        return sqlerr_set(&s->error, 15025, 16, 1, "The server principal '%s' already exists.",
                          x->word);
    return 0;
}

/* A new password, ENABLE or DISABLE; sessions that are there go on. */
int
security_alter_login(struct session *s, const struct stmt *x)
{
    const char *sql = x->op == 'E'   ? "UPDATE srv_logins SET disabled = 0 WHERE name = ?1"
                      : x->op == 'D' ? "UPDATE srv_logins SET disabled = 1 WHERE name = ?1"
                                     : "UPDATE srv_logins SET password = ?2 WHERE name = ?1";

    if (!s->sysadmin ||
        server_statement(s, sql, x->word, x->word2 != NULL ? x->word2 : "", "") != 1)
        return sqlerr_set(&s->error, 15151, 16, 1,
                          "Cannot alter the login '%s', because it does not exist or you do not "
                          "have permission.",
                          x->word);
    return 0;
}

int
security_drop_login(struct session *s, const struct stmt *x)
{
    if (server_statement(s, "DELETE FROM srv_logins WHERE name = ?1", x->word, "", "") != 1 &&
        !x->if_exists)
        return sqlerr_set(&s->error, 15151, 16, 1,
                          "Cannot drop the login '%s', because it does not exist or you do not "
                          "have permission.",
                          x->word);
    (void)server_statement(s, "DELETE FROM srv_permissions WHERE login = ?1", x->word, "", "");
    return 0;
}

/* Runs a statement with up to two text parameters in the current database, as a write. */
static int
database_statement(struct session *s, const char *fmt, const char *a, const char *b)
{
    char sql[400];
    sqlite3_stmt *q;
    int rc;

    if (security_require_owner(s) != 0 || tx_begin_write(s, s->current, 0) != 0)
        return -1;
    s->ddl_in_tx = true;
    (void)snprintf(sql, sizeof sql, "%s", fmt);
    for (char *p = sql; (p = strstr(p, "D.")) != NULL;) {
        char rest[400];

        (void)snprintf(rest, sizeof rest, "%s", p + 1);
        (void)snprintf(p, sizeof sql - (size_t)(p - sql), "d%d%s", s->current->id, rest);
        p += 2;
    }
    q = session_prepare(s, sql);
    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, a, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, b, -1, SQLITE_STATIC);
    (void)sqlite3_step(q);
    rc = sqlite3_finalize(q);
    if (rc == SQLITE_CONSTRAINT)
        return sqlerr_set(&s->error, 15023, 16, 1,
                          "User, group, or role '%s' already exists in the current database.", a);
    return rc == SQLITE_OK ? sqlite3_changes(s->db) : session_sqlite_error(s);
}

int
security_create_user(struct session *s, const struct stmt *x)
{
    static const char NEXT[] = "SELECT max(max(principal_id) FILTER (WHERE principal_id < 16384), "
                               "4) + 1, ?1, 'S', ";
    bool contained = x->op == 'P';
    char sql[400];

    /* A contained user is its own login, and has a password that only this database knows. */
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO D.sys_principals(principal_id, name, type, login, password) "
                   "%s%s FROM D.sys_principals",
                   NEXT, contained ? "?1, ?2" : "?2, NULL");
    return database_statement(s, sql, x->word, x->word2 != NULL ? x->word2 : x->word) < 0 ? -1 : 0;
}

int
security_create_role(struct session *s, const char *name)
{
    return database_statement(s,
                              "INSERT INTO D.sys_principals(principal_id, name, type) SELECT "
                              "max(max(principal_id), 20000) + 1, ?1, 'R' FROM D.sys_principals",
                              name, "") < 0
               ? -1
               : 0;
}

int
security_drop_user(struct session *s, const struct stmt *x)
{
    int64_t id = principal_id(s, s->current, x->word, "name");

    if (id < 5 || (id >= 16384 && id <= ROLE_WRITER)) {
        if (x->if_exists)
            return 0;
        return sqlerr_set(&s->error, 15151, 16, 1,
                          "Cannot drop the user '%s', because it does not exist or you do not have "
                          "permission.",
                          x->word);
    }
    /* Rights and memberships go with the user: its id may be another one's later. */
    if (database_statement(s,
                           "DELETE FROM D.sys_permissions WHERE grantee_id = (SELECT principal_id "
                           "FROM D.sys_principals WHERE name = ?1)",
                           x->word, "") < 0 ||
        database_statement(s,
                           "DELETE FROM D.sys_members WHERE member_id = (SELECT principal_id FROM "
                           "D.sys_principals WHERE name = ?1)",
                           x->word, "") < 0 ||
        database_statement(s, "DELETE FROM D.sys_principals WHERE name = ?1", x->word, "") < 0)
        return -1;
    return 0;
}

int
security_member(struct session *s, const char *role, const char *member, bool add)
{
    int64_t r = principal_id(s, s->current, role, "name");
    int64_t m = principal_id(s, s->current, member, "name");
    char sql[128];

    if (r < 0 || m < 0)
        return sqlerr_set(&s->error, 15151, 16, 1,
                          "Cannot %s the %s '%s', because it does not exist or you do not have "
                          "permission.",
                          add ? "alter" : "drop", r < 0 ? "role" : "user", r < 0 ? role : member);
    (void)snprintf(sql, sizeof sql,
                   add ? "REPLACE INTO D.sys_members VALUES (%lld, %lld)"
                       : "DELETE FROM D.sys_members WHERE role_id = %lld AND member_id = %lld",
                   (long long)r, (long long)m);
    return database_statement(s, sql, "", "") < 0 ? -1 : 0;
}
