/*
 * What the facts amount to: one alarm for one cause, with the statement that mends it here.
 */
#include "capture/sqlserver/health.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SILENT_S  60  /* a scan at least so often, or every third polling interval */
#define SLOW_S    60  /* behind the log by so much */
#define QUIET_S   900 /* a change log without any entry, dummy rows included */
#define AZURE_S   20  /* the scheduler's interval there */
#define POLLS     3
#define MINUTE_NS (60 * NS_PER_S)

__attribute__((format(printf, 5, 6))) static void
raise_alarm(struct source_health *h, enum source_level level, const char *code, const char *remedy,
            const char *fmt, ...)
{
    struct source_alarm *a = &h->alarms[h->n];
    va_list ap;

    if (h->n == SOURCE_ALARMS_MAX)
        return;
    h->n++;
    a->level = level;
    (void)snprintf(a->code, sizeof(a->code), "%s", code);
    (void)snprintf(a->remedy, sizeof(a->remedy), "%s", remedy);
    va_start(ap, fmt);
    (void)vsnprintf(a->what, sizeof(a->what), fmt, ap);
    va_end(ap);
}

static const char *
add_capture_job(enum flavour flavour)
{
    if (flavour == FLAVOUR_RDS)
        return "EXEC msdb.dbo.rds_cdc_enable_db N'<database>' makes the jobs anew (as the master "
               "user)";
    return "EXEC sys.sp_cdc_add_job @job_type = N'capture'";
}

static const char *
start_agent(enum flavour flavour)
{
    switch (flavour) {
    case FLAVOUR_RDS:
        return "restart the RDS instance, or ask AWS: SQL Server Agent is theirs";
    case FLAVOUR_MANAGED:
        return "SQL Server Agent runs always on a Managed Instance: ask Azure support";
    case FLAVOUR_BOX:
    case FLAVOUR_AZURE:
    default:
        return "start the service SQL Server Agent on the server, and let it start by itself "
               "(systemctl enable --now mssql-server with sqlagent.enabled, or services.msc)";
    }
}

/* ---- is the capture job there, and does it run? ---- */

static bool
judge_presence(const struct health_facts *f, struct source_health *h)
{
    static const char start_job[] = "EXEC sys.sp_cdc_start_job @job_type = N'capture'";

    if (f->agent_runs == HEALTH_NO) {
        raise_alarm(h, SOURCE_ERROR, "agent-stopped", start_agent(f->flavour),
                    "SQL Server Agent is stopped: the capture job does not run, and no change "
                    "reaches the change tables");
        return true;
    }
    if (f->jobs.is_known && !f->jobs.has_capture && f->flavour != FLAVOUR_RDS && !f->is_published) {
        raise_alarm(h, SOURCE_ERROR, "capture-job-missing", add_capture_job(f->flavour),
                    "the database has no capture job on this server: no change reaches the change "
                    "tables (a fail-over or a restore leaves the jobs behind)");
        return true;
    }
    if (f->job_runs == HEALTH_NO && f->jobs.is_continuous) {
        raise_alarm(h, SOURCE_ERROR, "capture-job-stopped", start_job,
                    "the capture job is stopped: no change reaches the change tables");
        return true;
    }
    return false;
}

/* ---- does it get on? ---- */

static bool
is_failing(const struct health_scan *s)
{
    return s->error_age_s >= 0 &&
           (s->good_age_s < 0 || s->last_age_s < s->good_age_s || s->error_age_s < s->good_age_s);
}

static int64_t
silence_s(const struct health_facts *f)
{
    int64_t interval = f->flavour == FLAVOUR_AZURE ? AZURE_S : f->jobs.pollinginterval_s;

    return interval * POLLS > SILENT_S ? interval * POLLS : SILENT_S;
}

static void
judge_progress(const struct health_facts *f, struct source_health *h)
{
    const struct health_scan *s = &f->scan;

    if (is_failing(s))
        raise_alarm(h, SOURCE_ERROR, "capture-job-failing",
                    "SELECT * FROM sys.dm_cdc_errors ORDER BY entry_time DESC names every error; "
                    "mend its cause: the job goes on by itself",
                    "the capture job fails, and no change reaches the change tables: error "
                    "%" PRId64 ": %s",
                    s->error_number, s->error_text);
    else if (s->is_known && s->last_age_s > silence_s(f))
        raise_alarm(h, SOURCE_ERROR, "capture-job-silent",
                    f->flavour == FLAVOUR_AZURE
                        ? "EXEC sys.sp_cdc_scan scans once; a paused serverless database does not "
                          "capture"
                        : "EXEC sys.sp_cdc_stop_job @job_type = N'capture'; EXEC "
                          "sys.sp_cdc_start_job @job_type = N'capture'",
                    "the capture job has not finished a scan of the log for %" PRId64 " seconds",
                    s->last_age_s);
    else if (s->is_known && s->latency_s >= SLOW_S)
        raise_alarm(h, SOURCE_WARNING, "capture-job-slow",
                    "raise what it takes at once: EXEC sys.sp_cdc_change_job @job_type = "
                    "N'capture', @maxtrans = 5000, @maxscans = 100, @pollinginterval = 1; then "
                    "EXEC sys.sp_cdc_stop_job @job_type = N'capture'; EXEC sys.sp_cdc_start_job "
                    "@job_type = N'capture'",
                    "the capture job is %" PRId64 " seconds behind the log (maxtrans %" PRId64
                    ", maxscans %" PRId64 ", pollinginterval %" PRId64 " s)",
                    s->latency_s, f->jobs.maxtrans, f->jobs.maxscans, f->jobs.pollinginterval_s);
    else if (!s->is_known && f->quiet_s >= QUIET_S)
        raise_alarm(h, SOURCE_WARNING, "log-quiet",
                    "GRANT VIEW DATABASE STATE to the login, and weir can tell; look for the "
                    "capture job: EXEC sys.sp_cdc_help_jobs; EXEC sys.sp_cdc_start_job @job_type = "
                    "N'capture'",
                    "the change log has no entry newer than %" PRId64
                    " minutes: the database is idle, or the capture job stands still",
                    f->quiet_s / 60);
}

static void
judge_retention(const struct health_facts *f, struct source_health *h)
{
    /* What is needed may have come after the look at the newest: nothing is used up then. */
    int64_t used_ns = f->newest_ns > f->needed_ns ? f->newest_ns - f->needed_ns : 0;

    if (f->jobs.is_known && f->jobs.has_cleanup) {
        h->retention_ns = f->jobs.retention_min * MINUTE_NS;
    } else if (f->newest_ns > f->oldest_ns) {
        h->retention_ns = f->newest_ns - f->oldest_ns;
        h->retention_is_observed = true;
    }
    if (h->retention_ns > used_ns)
        h->headroom_ns = h->retention_ns - used_ns;
    if (f->jobs.is_known && f->jobs.has_capture && !f->jobs.has_cleanup && !f->is_secondary)
        raise_alarm(h, SOURCE_WARNING, "cleanup-job-missing",
                    "EXEC sys.sp_cdc_add_job @job_type = N'cleanup'",
                    "the database has no cleanup job: its change tables grow without end");
}

void
health_judge(const struct health_facts *f, struct source_health *out)
{
    memset(out, 0, sizeof(*out));
    if (f->flavour == FLAVOUR_AZURE)
        raise_alarm(out, SOURCE_OK, "latency-floor", "",
                    "Azure SQL Database captures every %d seconds, and nothing can change that: "
                    "no change is here sooner",
                    AZURE_S);
    /* The views and jobs of a readable secondary are not those of the primary that captures. */
    if (!f->is_secondary && (f->flavour == FLAVOUR_AZURE || !judge_presence(f, out)))
        judge_progress(f, out);
    judge_retention(f, out);
}
