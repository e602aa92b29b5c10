/*
 * Gathering: small queries of one row, each by itself, because any of them may be refused.
 */
#include "capture/sqlserver/health.h"

#include "capture/sqlserver/db.h"
#include "capture/sqlserver/manage.h"
#include "capture/sqlserver/poll.h"
#include "common/clock.h"
#include "common/err.h"

#include <stdarg.h>
#include <string.h>

/* Numbers of the views in struct sqlserver.blind. */
enum { VIEW_EDITION, VIEW_JOBS, VIEW_HELP_JOBS, VIEW_SESSIONS, VIEW_ERRORS, VIEW_AGENT, VIEW_RUNS };

/* Begins a query whose answer may be refused.  1 = it has a row, which is the current one; 0 = no
   row, refused, or refused before; -1 = the connection is lost. */
static int
ask(struct sqlserver *s, unsigned view, const char *sql, struct err *e)
{
    int rc;

    if ((s->blind & 1U << view) != 0)
        return 0;
    rc = db_query(s->db, sql, e);
    if (rc == 0)
        rc = db_next(s->db, e);
    if (rc >= 0)
        return rc;
    if (e->code == ERR_CONNECT || e->code == ERR_TIMEOUT || e->code == ERR_TLS ||
        e->code == ERR_STOPPED)
        return -1;
    s->blind |= 1U << view;
    err_clear(e);
    return 0;
}

static int64_t
number_or(struct sqlserver *s, int column, int64_t otherwise)
{
    size_t size;

    return db_data(s->db, column, &size) != NULL ? db_int(s->db, column) : otherwise;
}

static int
read_place(struct sqlserver *s, struct health_facts *out, struct err *e)
{
    enum { EDITION_AZURE = 5, EDITION_MANAGED = 8 };
    char updateable[32];
    int rc = ask(s, VIEW_EDITION,
                 "SELECT CONVERT(int, SERVERPROPERTY('EngineEdition')), DB_ID(N'rdsadmin'), "
                 "CONVERT(nvarchar(30), DATABASEPROPERTYEX(DB_NAME(), 'Updateability')), "
                 "(SELECT CONVERT(int, d.is_published) FROM sys.databases AS d WHERE "
                 "d.database_id = DB_ID())",
                 e);

    if (rc <= 0)
        return rc;
    if (db_int(s->db, 0) == EDITION_AZURE)
        out->flavour = FLAVOUR_AZURE;
    else if (db_int(s->db, 0) == EDITION_MANAGED)
        out->flavour = FLAVOUR_MANAGED;
    else if (number_or(s, 1, 0) != 0)
        out->flavour = FLAVOUR_RDS;
    db_text(s->db, 2, updateable, sizeof(updateable));
    out->is_secondary = strcmp(updateable, "READ_ONLY") == 0;
    out->is_published = number_or(s, 3, 0) != 0;
    return 0;
}

int
health_read_flavour(struct sqlserver *s, enum flavour *flavour, bool *is_secondary, struct err *e)
{
    struct health_facts f = {.flavour = FLAVOUR_BOX};

    if (read_place(s, &f, e) != 0)
        return -1;
    *flavour = f.flavour;
    *is_secondary = f.is_secondary;
    return 0;
}

/* ---- jobs ---- */

/* The current row: job_type, maxtrans, maxscans, continuous, pollinginterval, retention, threshold,
   from `column` on. */
static void
take_job(struct sqlserver *s, int column, struct health_jobs *out)
{
    char type[24];

    db_text(s->db, column, type, sizeof(type));
    out->is_known = true;
    if (strcmp(type, "capture") == 0) {
        out->has_capture = true;
        out->maxtrans = db_int(s->db, column + 1);
        out->maxscans = db_int(s->db, column + 2);
        out->is_continuous = db_int(s->db, column + 3) != 0;
        out->pollinginterval_s = db_int(s->db, column + 4);
    } else if (strcmp(type, "cleanup") == 0) {
        out->has_cleanup = true;
        out->retention_min = db_int(s->db, column + 5);
        out->threshold = db_int(s->db, column + 6);
    }
}

static int
take_jobs(struct sqlserver *s, unsigned view, const char *sql, int column, struct health_jobs *out,
          struct err *e)
{
    int rc = ask(s, view, sql, e);
    bool was_refused = (s->blind & 1U << view) != 0;

    for (; rc == 1; rc = db_next(s->db, e))
        take_job(s, column, out);
    if (rc == 0 && !was_refused)
        out->is_known = true; /* no row is an answer too: there is no job */
    return rc;
}

#define JOB_COLUMNS                                                                                \
    "j.job_type, j.maxtrans, j.maxscans, j.continuous, j.pollinginterval, j.retention, "           \
    "j.threshold"

static int
read_jobs(struct sqlserver *s, enum flavour flavour, struct health_jobs *out, struct err *e)
{
    static const char in_msdb[] =
        "SELECT " JOB_COLUMNS " FROM msdb.dbo.cdc_jobs AS j WHERE j.database_id = DB_ID()";
    static const char in_place[] = "SELECT " JOB_COLUMNS " FROM cdc.cdc_jobs AS j";
    int rc;

    *out = (struct health_jobs){.is_known = false};
    rc = take_jobs(s, VIEW_JOBS, flavour == FLAVOUR_AZURE ? in_place : in_msdb, 0, out, e);
    if (rc == 0 && !out->is_known)
        rc = take_jobs(s, VIEW_HELP_JOBS, "EXEC sys.sp_cdc_help_jobs", 1, out, e);
    return rc;
}

/* ---- what the views say ---- */

static int
read_scans(struct sqlserver *s, struct health_scan *out, struct err *e)
{
    int rc;

    *out = (struct health_scan){.good_age_s = -1, .last_age_s = -1, .error_age_s = -1};
    rc = ask(s, VIEW_SESSIONS,
             "SELECT DATEDIFF(second, MAX(CASE WHEN l.error_count = 0 THEN l.end_time END), "
             "GETDATE()), DATEDIFF(second, MAX(l.end_time), GETDATE()), (SELECT TOP (1) x.latency "
             "FROM sys.dm_cdc_log_scan_sessions AS x WHERE x.session_id <> 0 AND x.tran_count > 0 "
             "ORDER BY x.session_id DESC) FROM sys.dm_cdc_log_scan_sessions AS l WHERE "
             "l.session_id <> 0",
             e);
    if (rc < 0)
        return -1;
    if (rc == 1) {
        out->good_age_s = number_or(s, 0, -1);
        out->last_age_s = number_or(s, 1, -1);
        out->latency_s = number_or(s, 2, 0);
        out->is_known = out->last_age_s >= 0;
    }
    rc = ask(s, VIEW_ERRORS,
             "SELECT TOP (1) DATEDIFF(second, x.entry_time, GETDATE()), x.error_number, "
             "x.error_message FROM sys.dm_cdc_errors AS x ORDER BY x.entry_time DESC",
             e);
    if (rc == 1) {
        out->error_age_s = number_or(s, 0, -1);
        out->error_number = db_int(s->db, 1);
        db_text(s->db, 2, out->error_text, sizeof(out->error_text));
    }
    return rc < 0 ? -1 : 0;
}

static int
read_agent(struct sqlserver *s, struct health_facts *out, struct err *e)
{
    enum { RUNNING = 4 };
    int rc = ask(s, VIEW_AGENT,
                 "SELECT v.status FROM sys.dm_server_services AS v WHERE v.servicename LIKE N'SQL "
                 "Server Agent%'",
                 e);

    if (rc < 0)
        return -1;
    if (rc == 1)
        out->agent_runs = db_int(s->db, 0) == RUNNING ? HEALTH_YES : HEALTH_NO;
    rc = ask(s, VIEW_RUNS,
             "SELECT TOP (1) CASE WHEN a.start_execution_date IS NOT NULL AND "
             "a.stop_execution_date IS NULL THEN 1 ELSE 0 END FROM msdb.dbo.cdc_jobs AS j JOIN "
             "msdb.dbo.sysjobactivity AS a ON a.job_id = j.job_id WHERE j.database_id = DB_ID() "
             "AND j.job_type = N'capture' ORDER BY a.session_id DESC",
             e);
    if (rc == 1)
        out->job_runs = db_int(s->db, 0) != 0 ? HEALTH_YES : HEALTH_NO;
    return rc < 0 ? -1 : 0;
}

/* ---- the change log's own times ---- */

static int
read_log(struct sqlserver *s, const struct position *safe, struct health_facts *out, struct err *e)
{
    struct sql q = {.text = NULL};
    struct lsn done;
    int rc;

    lsn_complete_of(safe, &done);
    sql_add(&q, "SELECT MAX(m.tran_end_time), MIN(m.tran_end_time), DATEDIFF(second, "
                "MAX(m.tran_end_time), GETDATE()) FROM cdc.lsn_time_mapping AS m; SELECT TOP (1) "
                "m.tran_end_time FROM cdc.lsn_time_mapping AS m WHERE m.start_lsn > ");
    sql_add_binary(&q, done.b, LSN_SIZE);
    sql_add(&q, " ORDER BY m.start_lsn");
    rc = sql_text(&q, e) != NULL ? db_query(s->db, q.text, e) : -1;
    sql_free(&q);
    while (rc == 0 && (rc = db_next(s->db, e)) == 1) {
        out->newest_ns = poll_time_ns(s, 0);
        out->oldest_ns = poll_time_ns(s, 1);
        out->quiet_s = number_or(s, 2, -1);
        rc = 0;
    }
    out->needed_ns = out->newest_ns; /* unless something lies behind `safe` */
    if (rc == 0)
        rc = db_result(s->db, e) == 1 ? 0 : -1;
    while (rc == 0 && (rc = db_next(s->db, e)) == 1) {
        out->needed_ns = poll_time_ns(s, 0);
        rc = 0;
    }
    return rc < 0 ? err_context(e, "look at the change log") : 0;
}

int
health_gather(struct sqlserver *s, const struct position *safe, struct health_facts *out,
              struct err *e)
{
    *out = (struct health_facts){.quiet_s = -1};
    if (read_log(s, safe, out, e) != 0 || read_place(s, out, e) != 0 ||
        read_jobs(s, out->flavour, &out->jobs, e) != 0 || read_scans(s, &out->scan, e) != 0)
        return -1;
    return out->flavour == FLAVOUR_AZURE ? 0 : read_agent(s, out, e);
}

int
health_source(struct source *base, const struct position *safe, struct source_health *out,
              struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct health_facts facts;

    if (health_gather(s, safe, &facts, e) != 0)
        return err_context(e, "look at the health of the source");
    health_judge(&facts, out);
    manage_alarms(s, out);
    return 0;
}
