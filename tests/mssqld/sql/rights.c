/* Rights: who may do what with objects, databases and the server; GRANT, DENY, REVOKE. */
#include "tests/mssqld/sql/rights.h"

#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/flavour.h"

#define ROLE_READER     16390
#define ROLE_WRITER     16391
#define PRINCIPAL_DBO   1
#define PRINCIPAL_GUEST 2

/* m: the user with all roles it is in, public included. */
#define MEMBERSHIPS                                                                                \
    "WITH RECURSIVE m(id) AS (SELECT %d UNION SELECT 0 UNION SELECT role_id FROM d%d.sys_members " \
    "JOIN m ON member_id = m.id) "

static const char *const SERVER_RIGHTS[] = {
    "VIEW SERVER STATE",
    "VIEW SERVER PERFORMANCE STATE",
    "VIEW SERVER SECURITY STATE",
    "VIEW ANY DATABASE",
    "VIEW ANY DEFINITION",
    "CONTROL SERVER",
    "ALTER ANY LOGIN",
    "CONNECT SQL",
    "CONNECT ANY DATABASE",
    "SELECT ALL USER SECURABLES",
};

static bool
is_server_right(const char *permission)
{
    for (size_t i = 0; i < sizeof SERVER_RIGHTS / sizeof SERVER_RIGHTS[0]; i++)
        if (strcasecmp(SERVER_RIGHTS[i], permission) == 0)
            return true;
    return false;
}

/* The right that brings this one along; NULL when there is none but CONTROL. */
static const char *
covered_by(const char *permission)
{
    if (strcasecmp(permission, "VIEW DATABASE PERFORMANCE STATE") == 0 ||
        strcasecmp(permission, "VIEW DATABASE SECURITY STATE") == 0)
        return "VIEW DATABASE STATE";
    if (strcasecmp(permission, "VIEW SERVER PERFORMANCE STATE") == 0 ||
        strcasecmp(permission, "VIEW SERVER SECURITY STATE") == 0)
        return "VIEW SERVER STATE";
    return NULL;
}

/* A role that has the right on every table. */
static int
role_for(const char *permission)
{
    if (strcasecmp(permission, "SELECT") == 0)
        return ROLE_READER;
    if (strcasecmp(permission, "INSERT") == 0 || strcasecmp(permission, "UPDATE") == 0 ||
        strcasecmp(permission, "DELETE") == 0)
        return ROLE_WRITER;
    return -1;
}

static int
user_of(struct session *s, struct database *d)
{
    int user = security_user_id(s, d);

    return user < 0 ? PRINCIPAL_GUEST : user;
}

static bool
may_do_all(struct session *s, struct database *d)
{
    return s->sysadmin || s->cdc_internal || security_is_owner(s, d);
}

bool
rights_object(struct session *s, struct database *d, int object_id, int schema_id,
              const char *permission)
{
    sqlite3_stmt *q;
    char sql[800];
    bool ok = false;

    if (may_do_all(s, d))
        return true;
    (void)snprintf(sql, sizeof sql,
                   MEMBERSHIPS
                   ", p AS (SELECT state FROM d%d.sys_permissions JOIN m ON grantee_id = m.id "
                   "WHERE permission IN (?1,'CONTROL') AND (class = 'DATABASE' OR (class = "
                   "'SCHEMA' AND major_id = %d) OR (class = 'OBJECT' AND major_id = %d))) SELECT "
                   "count(*) FILTER (WHERE state = 'D'), count(*) FILTER (WHERE state = 'G') + "
                   "(SELECT count(*) FROM m WHERE id = %d) + (SELECT count(*) FROM "
                   "d%d.sys_objects WHERE object_id = %d AND type = 'IF' AND ?1 = 'SELECT' COLLATE "
                   "NOCASE) FROM p",
                   user_of(s, d), d->id, d->id, schema_id, object_id, role_for(permission), d->id,
                   object_id);
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
rights_column(struct session *s, const struct table *t, int column, const char *permission)
{
    const char *kind;
    sqlite3_stmt *q;
    char sql[600];
    char state = '\0';

    if (may_do_all(s, t->db))
        return true;
    kind = arena_printf(&s->exec_arena, "COLUMN:%d", t->columns[column].id);
    (void)snprintf(sql, sizeof sql,
                   MEMBERSHIPS "SELECT min(state) FROM d%d.sys_permissions JOIN m ON grantee_id = "
                               "m.id WHERE permission = ?1 AND class = ?2 AND major_id = %d",
                   user_of(s, t->db), t->db->id, t->db->id, t->object_id);
    q = session_prepare(s, sql);
    if (q == NULL)
        return false;
    (void)sqlite3_bind_text(q, 1, permission, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, kind, -1, SQLITE_STATIC);
    if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 0) > 0)
        state = ((const char *)sqlite3_column_text(q, 0))[0]; /* 'D' comes before 'G' */
    (void)sqlite3_finalize(q);
    return state == 'G' || (state == '\0' && security_allowed(s, t, permission));
}

bool
rights_by_column(struct session *s, const struct table *t)
{
    return !may_do_all(s, t->db) &&
           session_int(s, 0,
                       "SELECT count(*) FROM d%d.sys_permissions WHERE major_id = %d AND class "
                       "LIKE 'COLUMN:%%'",
                       t->db->id, t->object_id) > 0;
}

bool
rights_visible(struct session *s, struct database *d, int object_id)
{
    if (may_do_all(s, d))
        return true;
    return session_int(
               s, 0,
               MEMBERSHIPS
               "SELECT EXISTS (SELECT 1 FROM d%d.sys_permissions p JOIN m ON grantee_id = m.id "
               "WHERE state = 'G' AND ((class = 'DATABASE' AND permission IN ('SELECT','INSERT',"
               "'UPDATE','DELETE','CONTROL','VIEW DEFINITION','EXECUTE','ALTER')) OR (class = "
               "'SCHEMA' AND major_id = o.schema_id) OR ((class = 'OBJECT' OR class LIKE "
               "'COLUMN:%%') AND major_id = o.object_id))) OR type = 'IF' OR EXISTS (SELECT 1 FROM "
               "m WHERE id IN (%d,%d)) FROM d%d.sys_objects o WHERE object_id = %d",
               user_of(s, d), d->id, d->id, ROLE_READER, ROLE_WRITER, d->id, object_id) != 0;
}

bool
rights_server(struct session *s, const char *permission)
{
    const char *wider = covered_by(permission);
    sqlite3_stmt *q;
    bool ok = false;

    if (s->sysadmin || s->cdc_internal)
        return true;
    if (session_attach(s, engine_database_id(s->engine, DB_MASTER)) != 0)
        return false;
    q = session_prepare(s, "SELECT min(state) = 'G' FROM d1.srv_permissions WHERE login = ?1 AND "
                           "permission IN (?2, ?3, 'CONTROL SERVER')");
    if (q == NULL)
        return false;
    (void)sqlite3_bind_text(q, 1, s->login, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, permission, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 3, wider != NULL ? wider : permission, -1, SQLITE_STATIC);
    ok = sqlite3_step(q) == SQLITE_ROW && sqlite3_column_int(q, 0) != 0;
    (void)sqlite3_finalize(q);
    return ok;
}

bool
rights_database(struct session *s, struct database *d, const char *permission)
{
    const char *wider = covered_by(permission);

    if (rights_object(s, d, 0, 0, permission) ||
        (wider != NULL && rights_object(s, d, 0, 0, wider)))
        return true;
    if (strcasecmp(permission, "CONNECT") == 0)
        return security_may_enter(s, d);
    if (strncasecmp(permission, "VIEW DATABASE ", 14) == 0)
        return rights_server(s, "VIEW SERVER STATE");
    return false;
}

/* Two messages, as the server sends them: what is missing, then that it is. */
static int
state_refused(struct session *s, int32_t number, const char *text)
{
    struct sqlerr e = {0};

    (void)sqlerr_set(&e, number, 14, 1, "%s", text);
    if (run_message(s, &e) != 0)
        return -1;
    return sqlerr_set(&s->error, 297, 16, 1,
                      "The user does not have permission to perform this action.");
}

int
rights_job_view(const char *name)
{
    static const char *const VIEWS[] = {"sysjobs", "sysjobactivity", "sysjobhistory",
                                        "sysjobservers", "syssessions"};

    for (size_t i = 0; i < sizeof VIEWS / sizeof VIEWS[0]; i++)
        if (strcasecmp(VIEWS[i], name) == 0)
            return 0x7E000000 + (int)i;
    return 0;
}

int
rights_require_state(struct session *s, struct database *d, const char *name, char right)
{
    /* From 2022 on the narrower right is enough. */
    const char *more = flavour_major(s->engine) >= 16 ? "PERFORMANCE " : "";
    const char *server = arena_printf(&s->exec_arena, "VIEW SERVER %sSTATE", more);
    const char *database = arena_printf(&s->exec_arena, "VIEW DATABASE %sSTATE", more);

    if (right == 'S' && !rights_server(s, server))
        return state_refused(s, 300,
                             arena_printf(&s->exec_arena,
                                          "%s permission was denied on object 'server', database "
                                          "'master'.",
                                          server));
    if (right == 'D' && !rights_database(s, d, database))
        return state_refused(s, 262,
                             arena_printf(&s->exec_arena, "%s permission denied in database '%s'.",
                                          database, d->name));
    if (right == 'J' && !rights_object(s, d, rights_job_view(name), 1, "SELECT"))
        return sqlerr_set(&s->error, 229, 14, 5,
                          "The SELECT permission was denied on the object '%s', database 'msdb', "
                          "schema 'dbo'.",
                          name);
    return 0;
}

/* ---- GRANT, DENY, REVOKE ---- */

static int
grant_server(struct session *s, const struct stmt *x, const char *permission)
{
    struct engine *g = s->engine;
    sqlite3_stmt *q = NULL;
    char state[2] = {(char)x->op, '\0'};

    if (!s->sysadmin)
        return sqlerr_set(&s->error, 4613, 16, 1, "Grantor does not have GRANT permission.");
    if (s->current->id != DB_MASTER)
        return sqlerr_set(&s->error, 4621, 16, 10,
                          "Permissions at the server scope can only be granted when the current "
                          "database is master.");
    if (!security_login_exists(g, x->word2))
        return sqlerr_set(&s->error, 15151, 16, 1,
                          "Cannot find the login '%s', because it does not exist or you do not "
                          "have permission.",
                          x->word2);
    (void)pthread_mutex_lock(&g->mutex);
    CHECK(sqlite3_prepare_v2(g->master,
                             x->op == 'R' ? "DELETE FROM srv_permissions WHERE login = ?1 AND "
                                            "permission = ?2"
                                          : "REPLACE INTO srv_permissions VALUES (?1, ?2, ?3)",
                             -1, &q, NULL) == SQLITE_OK);
    (void)sqlite3_bind_text(q, 1, x->word2, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, permission, -1, SQLITE_STATIC);
    if (x->op != 'R')
        (void)sqlite3_bind_text(q, 3, state, -1, SQLITE_STATIC);
    CHECK(sqlite3_step(q) == SQLITE_DONE);
    (void)sqlite3_finalize(q);
    (void)pthread_mutex_unlock(&g->mutex);
    engine_catalog_changed(g);
    return 0;
}

static int
grant_row(struct session *s, const struct stmt *x, const char *permission, const char *class,
          int64_t major, int64_t grantee)
{
    sqlite3_stmt *q;
    int rc;

    if (security_require_owner(s) != 0 || tx_begin_write(s, s->current, 0) != 0)
        return -1;
    s->ddl_in_tx = true;
    q = session_prepare(
        s, x->op == 'R'
               ? arena_printf(&s->exec_arena,
                              "DELETE FROM d%d.sys_permissions WHERE class = ?2 AND major_id = "
                              "%lld AND grantee_id = %lld AND permission = ?1",
                              s->current->id, (long long)major, (long long)grantee)
               : arena_printf(&s->exec_arena,
                              "REPLACE INTO d%d.sys_permissions VALUES (?2, %lld, %lld, ?1, '%c')",
                              s->current->id, (long long)major, (long long)grantee, x->op));
    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, permission, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, class, -1, SQLITE_STATIC);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rc;
}

/* What a GRANT speaks of. */
struct securable {
    const char *class;
    int64_t major; /* -1 = not found */
    struct table *table;
};

static int
grant_one(struct session *s, const struct stmt *x, const struct securable *on,
          const char *permission, int64_t grantee)
{
    if (strcmp(on->class, "DATABASE") == 0 && is_server_right(permission))
        return grant_server(s, x, permission);
    if (grantee < 0)
        return sqlerr_set(&s->error, 15151, 16, 1,
                          "Cannot find the user '%s', because it does not exist or you do not have "
                          "permission.",
                          x->word2);
    for (int i = 0; i < x->n_columns; i++) {
        int at = on->table != NULL ? catalog_column(on->table, x->columns[i]) : -1;

        if (at < 0)
            return sqlerr_set(&s->error, 207, 16, 1, "Invalid column name '%s'.", x->columns[i]);
        if (grant_row(s, x, permission,
                      arena_printf(&s->exec_arena, "COLUMN:%d", on->table->columns[at].id),
                      on->major, grantee) != 0)
            return -1;
    }
    return x->n_columns > 0 ? 0 : grant_row(s, x, permission, on->class, on->major, grantee);
}

/* Procedures and functions of the server itself may be granted; nobody is asked for it. */
static bool
is_system_object(const struct name *n)
{
    return n->schema != NULL && strcasecmp(n->schema, "sys") == 0;
}

int
security_grant(struct session *s, const struct stmt *x)
{
    int64_t grantee = security_principal(s, s->current, x->word2);
    struct securable on = {.class = "DATABASE"};
    char word[64];
    const char *p = x->word;

    if (strcasecmp(x->text, "SCHEMA") == 0) {
        on.class = "SCHEMA";
        on.major = catalog_schema_id(s, s->current, x->name.object);
    } else if (strcasecmp(x->text, "DATABASE") != 0) {
        on.class = "OBJECT";
        if (is_system_object(&x->name))
            return 0;
        on.table = catalog_find(s, &x->name, 0);
        on.major = on.table != NULL ? on.table->object_id : -1;
        if (on.major < 0 && s->current->id == DB_MSDB && rights_job_view(x->name.object) != 0)
            on.major = rights_job_view(x->name.object);
    }
    if (on.major < 0)
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
        if (grant_one(s, x, &on, word, grantee) != 0)
            return -1;
        p += n + (p[n] == ',' ? 1U : 0U);
    }
    return 0;
}

/* ---- fn_my_permissions ---- */

void
rights_list(struct session *s, const char *securable, const char *class, struct sbuf *out)
{
    static const char *const DATABASE[] = {"CONNECT",
                                           "SELECT",
                                           "INSERT",
                                           "UPDATE",
                                           "DELETE",
                                           "EXECUTE",
                                           "VIEW DATABASE STATE",
                                           "VIEW DEFINITION",
                                           "VIEW DATABASE PERFORMANCE STATE",
                                           "CONTROL"};
    static const char *const OBJECT[] = {"SELECT", "INSERT",          "UPDATE",
                                         "DELETE", "VIEW DEFINITION", "CONTROL"};
    bool server = strcasecmp(class, "SERVER") == 0;
    bool database = strcasecmp(class, "DATABASE") == 0;
    struct table *t = server || database ? NULL : security_object(s, securable);
    const char *const *list = server ? SERVER_RIGHTS : database ? DATABASE : OBJECT;
    size_t n = server     ? sizeof SERVER_RIGHTS / sizeof SERVER_RIGHTS[0]
               : database ? sizeof DATABASE / sizeof DATABASE[0]
                          : sizeof OBJECT / sizeof OBJECT[0];

    sbuf_add(out, "[");
    for (size_t i = 0; i < n; i++)
        if (server     ? rights_server(s, list[i])
            : database ? rights_database(s, s->current, list[i])
                       : t != NULL && security_allowed(s, t, list[i]))
            sbuf_fmt(out, "%s\"%s\"", out->size > 1 ? "," : "", list[i]);
    sbuf_add(out, "]");
}
