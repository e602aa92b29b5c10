#include "capture/sqlserver/check_rights.h"

#include "capture/sqlserver/db.h"
#include "capture/sqlserver/health.h"
#include "capture/sqlserver/sql.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"

#include <stdio.h>
#include <string.h>

#define WHO_SIZE    300 /* a name of 128 characters, quoted */
#define PROBE_SIZE  600
#define REMEDY_SIZE 480 /* as in struct source_finding */

#define BOX     (1U << FLAVOUR_BOX)
#define RDS     (1U << FLAVOUR_RDS)
#define AZURE   (1U << FLAVOUR_AZURE)
#define MANAGED (1U << FLAVOUR_MANAGED)
#define ALL     (BOX | RDS | AZURE | MANAGED)

/* Quoted, for the statements that grant. */
struct grantee {
    char user[WHO_SIZE];
    char login[WHO_SIZE];
};

/* A right, asked for by an expression that is 1 for a login that has it. */
static const struct right {
    const char *probe;
    enum source_level level;
    unsigned flavours;
    const char *missing; /* what cannot be done without it */
    const char *grant;   /* the statement up to the grantee */
    bool is_server_wide; /* granted to the login instead of the user */
} rights[] = {
    {"HAS_PERMS_BY_NAME(N'cdc.lsn_time_mapping', N'OBJECT', N'SELECT')", SOURCE_ERROR, ALL,
     "the login may not read cdc.lsn_time_mapping: there is no log to follow",
     "GRANT SELECT ON SCHEMA::cdc TO ", false},
    {"HAS_PERMS_BY_NAME(N'cdc.change_tables', N'OBJECT', N'SELECT')", SOURCE_ERROR, ALL,
     "the login may not read cdc.change_tables: no capture instance is found",
     "GRANT SELECT ON SCHEMA::cdc TO ", false},
    {"HAS_PERMS_BY_NAME(N'cdc.captured_columns', N'OBJECT', N'SELECT')", SOURCE_ERROR, ALL,
     "the login may not read cdc.captured_columns: no column is known",
     "GRANT SELECT ON SCHEMA::cdc TO ", false},
    {"HAS_PERMS_BY_NAME(N'cdc.ddl_history', N'OBJECT', N'SELECT')", SOURCE_ERROR, ALL,
     "the login may not read cdc.ddl_history: changed definitions are not noticed",
     "GRANT SELECT ON SCHEMA::cdc TO ", false},
    {"CASE WHEN HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'VIEW DATABASE STATE') = 1 OR "
     "HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'VIEW DATABASE PERFORMANCE STATE') = 1 THEN 1 "
     "ELSE 0 END",
     SOURCE_WARNING, ALL,
     "the login lacks VIEW DATABASE STATE: weir cannot see whether the capture job still scans the "
     "log",
     "GRANT VIEW DATABASE STATE TO ", false},
    {"CASE WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') = 1 OR "
     "HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') = 1 THEN 1 ELSE 0 END",
     SOURCE_WARNING, BOX | RDS | MANAGED,
     "the login lacks VIEW SERVER STATE: the full load cannot be joined to the log exactly (rows "
     "changed meanwhile come twice), and weir cannot see whether SQL Server Agent runs",
     "in master: GRANT VIEW SERVER STATE TO ", true},
    {"HAS_PERMS_BY_NAME(N'msdb.dbo.cdc_jobs', N'OBJECT', N'SELECT')", SOURCE_WARNING, BOX | MANAGED,
     "the login may not read msdb.dbo.cdc_jobs: weir cannot see for how long changes are kept",
     "in msdb (CREATE USER first): GRANT SELECT ON OBJECT::dbo.cdc_jobs TO ", true},
    {"HAS_PERMS_BY_NAME(N'msdb.dbo.sysjobactivity', N'OBJECT', N'SELECT')", SOURCE_WARNING,
     BOX | MANAGED,
     "the login may not read msdb.dbo.sysjobactivity: weir cannot see whether the capture job runs",
     "in msdb (CREATE USER first): GRANT SELECT ON OBJECT::dbo.sysjobactivity TO ", true},
};

/* ---- asking ---- */

/* The number an expression has; NULL counts as 0, and so does a question the server refuses. */
static int64_t
ask(struct sqlserver *s, const char *expression)
{
    struct err ignored = ERR_INIT;
    char sql[PROBE_SIZE];
    int64_t n = 0;
    int rc;

    (void)snprintf(sql, sizeof(sql), "SELECT %s", expression);
    if (db_query(s->db, sql, &ignored) != 0)
        return 0;
    while ((rc = db_next(s->db, &ignored)) == 1)
        n = db_int(s->db, 0);
    return rc == 0 ? n : 0;
}

static void
quote(const char *name, char out[WHO_SIZE])
{
    struct sql q = {.text = NULL};

    sql_add_name(&q, name);
    (void)snprintf(out, WHO_SIZE, "%s", q.text != NULL && !q.failed ? q.text : "the login");
    sql_free(&q);
}

static void
read_grantee(struct sqlserver *s, struct grantee *who)
{
    struct err ignored = ERR_INIT;
    char user[264] = "";
    char login[264] = "";

    if (db_query(s->db, "SELECT USER_NAME(), SUSER_SNAME()", &ignored) == 0)
        while (db_next(s->db, &ignored) == 1) {
            db_text(s->db, 0, user, sizeof(user));
            db_text(s->db, 1, login, sizeof(login));
        }
    quote(user, who->user);
    quote(login, who->login);
}

static int
tell(struct source_findings *findings, const struct right *r, const struct grantee *who,
     struct err *e)
{
    char remedy[REMEDY_SIZE];

    (void)snprintf(remedy, sizeof(remedy), "%s%s", r->grant,
                   r->is_server_wide ? who->login : who->user);
    return source_finding_add(findings, r->level, r->missing, remedy, e);
}

/* ---- what is asked for ---- */

int
check_rights(struct sqlserver *s, struct source_findings *findings, bool *usable, struct err *e)
{
    enum flavour flavour = FLAVOUR_BOX;
    bool is_secondary = false;
    struct grantee who;
    size_t before = findings->n;

    *usable = true;
    read_grantee(s, &who);
    if (health_read_flavour(s, &flavour, &is_secondary, e) != 0)
        return -1;
    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        const struct right *r = &rights[i];

        if ((r->flavours & 1U << flavour) == 0 || ask(s, r->probe) == 1)
            continue;
        if (r->level == SOURCE_ERROR)
            *usable = false;
        if (tell(findings, r, &who, e) != 0)
            return -1;
    }
    if (findings->n > before)
        return 0;
    return source_finding_add(findings, SOURCE_OK,
                              "the login has every right weir uses on the log and on the server's "
                              "views",
                              "", e);
}

/* The function lets only members of the instance's gating role see anything; SELECT on it says
   nothing of that. */
static int
check_gate(struct sqlserver *s, const struct instance *in, const struct grantee *who,
           struct source_findings *findings, bool *granted, struct err *e)
{
    struct err ignored = ERR_INIT;
    char sql[PROBE_SIZE];
    char role[264] = "";
    char quoted[WHO_SIZE];
    char what[REMEDY_SIZE];
    char remedy[2 * WHO_SIZE + 64];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT c.role_name FROM cdc.change_tables AS c WHERE c.object_id = %d AND "
                   "c.role_name IS NOT NULL AND IS_MEMBER(c.role_name) = 0 AND "
                   "IS_MEMBER(N'db_owner') = 0",
                   in->change_object);
    if (!in->by_function || db_query(s->db, sql, &ignored) != 0)
        return 0;
    while (db_next(s->db, &ignored) == 1)
        db_text(s->db, 0, role, sizeof(role));
    if (role[0] == '\0')
        return 0;
    *granted = false;
    quote(role, quoted);
    (void)snprintf(
        what, sizeof(what),
        "table %s.%s: the login may not read the change table of %s, and is no member of "
        "its gating role %s",
        in->table.def->schema, in->table.def->name, in->table.instance, role);
    (void)snprintf(remedy, sizeof(remedy), "ALTER ROLE %s ADD MEMBER %s", quoted, who->user);
    return source_finding_add(findings, SOURCE_ERROR, what, remedy, e);
}

int
check_rights_table(struct sqlserver *s, const struct instance *in, struct source_findings *findings,
                   bool *granted, struct err *e)
{
    const struct table_def *d = in->table.def;
    struct grantee who;
    struct sql name = {.text = NULL};
    struct sql q = {.text = NULL};
    char what[REMEDY_SIZE];
    char remedy[REMEDY_SIZE];
    int rc = 0;

    sql_add_name(&name, d->schema);
    sql_add(&name, ".");
    sql_add_name(&name, d->name);
    sql_add(&q, "HAS_PERMS_BY_NAME(");
    sql_add_string(&q, name.text != NULL ? name.text : "", name.len);
    sql_add(&q, ", N'OBJECT', N'SELECT')");
    if (sql_text(&q, e) == NULL || sql_text(&name, e) == NULL) {
        rc = -1;
    } else {
        read_grantee(s, &who);
        *granted = ask(s, q.text) == 1;
        if (*granted) {
            rc = check_gate(s, in, &who, findings, granted, e);
        } else {
            (void)snprintf(what, sizeof(what), "table %s.%s may not be read by the login",
                           d->schema, d->name);
            (void)snprintf(remedy, sizeof(remedy), "GRANT SELECT ON OBJECT::%s TO %s", name.text,
                           who.user);
            rc = source_finding_add(findings, SOURCE_ERROR, what, remedy, e);
        }
    }
    sql_free(&q);
    sql_free(&name);
    return rc;
}

int
check_rights_unseen(struct sqlserver *s, struct source_findings *findings, struct err *e)
{
    struct err ignored = ERR_INIT;
    struct grantee who;
    char name[264];
    char what[REMEDY_SIZE];
    char remedy[REMEDY_SIZE];

    read_grantee(s, &who);
    if (db_query(s->db,
                 "SELECT c.capture_instance FROM cdc.change_tables AS c LEFT JOIN sys.tables AS t "
                 "ON t.object_id = c.source_object_id WHERE t.object_id IS NULL ORDER BY "
                 "c.capture_instance",
                 &ignored) != 0)
        return 0;
    while (db_next(s->db, &ignored) == 1) {
        db_text(s->db, 0, name, sizeof(name));
        (void)snprintf(what, sizeof(what),
                       "the table of capture instance %s is hidden from the login, and so left out "
                       "whatever the selection rules say",
                       name);
        (void)snprintf(remedy, sizeof(remedy),
                       "if the task is to have it: GRANT SELECT ON its table (or its schema) TO %s",
                       who.user);
        if (source_finding_add(findings, SOURCE_WARNING, what, remedy, e) != 0)
            return -1;
    }
    return 0;
}
