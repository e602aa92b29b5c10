#include "tests/mssqld/sql/security.h"

#include <strings.h>

#include "common/err.h"

#define ROLE_OWNER      16384
#define ROLE_READER     16390
#define ROLE_WRITER     16391
#define PRINCIPAL_DBO   1
#define PRINCIPAL_GUEST 2

bool
security_login(struct engine *g, const char *user, const char *password, bool *sysadmin,
               char **database)
{
    sqlite3_stmt *q = NULL;
    bool ok = false;

    if (strcasecmp(user, "sa") == 0) {
        *sysadmin = true;
        return strcmp(password, g->sa_password) == 0;
    }
    (void)pthread_mutex_lock(&g->mutex);
    if (sqlite3_prepare_v2(g->master,
                           "SELECT password, sysadmin, database FROM srv_logins WHERE name = ?1",
                           -1, &q, NULL) == SQLITE_OK) {
        (void)sqlite3_bind_text(q, 1, user, -1, SQLITE_STATIC);
        if (sqlite3_step(q) == SQLITE_ROW) {
            const char *known = (const char *)sqlite3_column_text(q, 0);
            const char *home = (const char *)sqlite3_column_text(q, 2);

            ok = known != NULL && strcmp(known, password) == 0;
            *sysadmin = sqlite3_column_int(q, 1) != 0;
            *database = ok && home != NULL ? strdup(home) : NULL;
        }
    }
    (void)sqlite3_finalize(q);
    (void)pthread_mutex_unlock(&g->mutex);
    return ok;
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
security_allowed_id(struct session *s, struct database *d, int object_id, int schema_id,
                    const char *permission)
{
    int user = security_user_id(s, d);
    sqlite3_stmt *q;
    char sql[640];
    bool ok = false;
    bool read = strcasecmp(permission, "SELECT") == 0;

    if (user == PRINCIPAL_DBO || s->cdc_internal || security_is_owner(s, d))
        return true;
    if (user < 0)
        user = PRINCIPAL_GUEST;
    (void)snprintf(sql, sizeof sql,
                   "WITH RECURSIVE m(id) AS (SELECT %d UNION SELECT 0 UNION SELECT role_id FROM "
                   "d%d.sys_members JOIN m ON member_id = m.id), p AS (SELECT state FROM "
                   "d%d.sys_permissions JOIN m ON grantee_id = m.id WHERE permission IN "
                   "(?1,'CONTROL') AND (class = 'DATABASE' OR (class = 'SCHEMA' AND major_id = "
                   "%d) OR (class = 'OBJECT' AND major_id = %d))) SELECT count(*) FILTER (WHERE "
                   "state = 'D'), count(*) FILTER (WHERE state = 'G') + (SELECT count(*) FROM m "
                   "WHERE id = %d) FROM p",
                   user, d->id, d->id, schema_id, object_id, read ? ROLE_READER : ROLE_WRITER);
    q = session_prepare(s, sql);
    if (q == NULL)
        return false;
    (void)sqlite3_bind_text(q, 1, permission, -1, SQLITE_STATIC);
    if (sqlite3_step(q) == SQLITE_ROW)
        ok = sqlite3_column_int(q, 0) == 0 && sqlite3_column_int(q, 1) > 0;
    (void)sqlite3_finalize(q);
    return ok;
}

bool
security_allowed(struct session *s, const struct table *t, const char *permission)
{
    return security_allowed_id(s, t->db, t->object_id, t->schema_id, permission);
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
                         "INSERT INTO srv_logins(name, password, sysadmin, database) "
                         "VALUES (?1,?2,0,?3)",
                         x->word, x->word2 != NULL ? x->word2 : "",
                         x->text != NULL ? x->text : "") < 0)
        return sqlerr_set(&s->error, 15025, 16, 1, "The server principal '%s' already exists.",
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
    return database_statement(s,
                              "INSERT INTO D.sys_principals(principal_id, name, type, login) "
                              "SELECT max(max(principal_id) FILTER (WHERE principal_id < 16384), "
                              "4) + 1, ?1, 'S', ?2 FROM D.sys_principals",
                              x->word, x->word2 != NULL ? x->word2 : x->word) < 0
               ? -1
               : 0;
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
    return database_statement(s, "DELETE FROM D.sys_principals WHERE name = ?1", x->word, "") < 0
               ? -1
               : 0;
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

static int
grant_one(struct session *s, const struct stmt *x, const char *permission, int64_t major,
          int64_t grantee)
{
    char sql[200];
    const char *class = strcasecmp(x->text, "SCHEMA") == 0     ? "SCHEMA"
                        : strcasecmp(x->text, "DATABASE") == 0 ? "DATABASE"
                                                               : "OBJECT";

    if (x->op == 'R')
        (void)snprintf(sql, sizeof sql,
                       "DELETE FROM D.sys_permissions WHERE class = ?2 AND major_id = %lld AND "
                       "grantee_id = %lld AND permission = ?1",
                       (long long)major, (long long)grantee);
    else
        (void)snprintf(sql, sizeof sql,
                       "REPLACE INTO D.sys_permissions VALUES (?2, %lld, %lld, ?1, '%c')",
                       (long long)major, (long long)grantee, x->op);
    return database_statement(s, sql, permission, class) < 0 ? -1 : 0;
}

int
security_grant(struct session *s, const struct stmt *x)
{
    int64_t grantee = principal_id(s, s->current, x->word2, "name");
    int64_t major = 0;
    char word[64];
    const char *p = x->word;

    if (grantee < 0)
        return sqlerr_set(&s->error, 15151, 16, 1,
                          "Cannot find the user '%s', because it does not exist or you do not have "
                          "permission.",
                          x->word2);
    if (strcasecmp(x->text, "SCHEMA") == 0)
        major = catalog_schema_id(s, s->current, x->name.object);
    if (strcasecmp(x->text, "OBJECT") == 0) {
        struct table *t = catalog_find(s, &x->name, 0);

        major = t != NULL ? t->object_id : -1;
    }
    if (major < 0)
        return sqlerr_set(&s->error, 15151, 16, 1,
                          "Cannot find the object '%s', because it does not exist or you do not "
                          "have permission.",
                          x->name.object);
    while (*p != '\0') { /* "SELECT, INSERT" */
        size_t n = strcspn(p, ",");
        size_t skip = strspn(p, " ");

        (void)snprintf(word, sizeof word, "%.*s", (int)(n - skip), p + skip);
        while (strlen(word) > 0 && word[strlen(word) - 1] == ' ')
            word[strlen(word) - 1] = '\0';
        if (grant_one(s, x, word, major, grantee) != 0)
            return -1;
        p += n + (p[n] == ',' ? 1U : 0U);
    }
    return 0;
}
