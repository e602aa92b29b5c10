/*
 * The jobs that fill and empty the change tables: are they there, do they run, do their settings
 * hold the stream back, do they leave enough time after an outage?
 */
#include "capture/sqlserver/check_parts.h"
#include "capture/sqlserver/db.h"
#include "capture/sqlserver/health.h"
#include "common/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RETENTION_MINUTES 1440 /* less than a day of history is soon outlasted by an outage */
#define RATE_MINUTES      10
#define SLOW_POLL_S       5 /* the default */
#define AZURE_POLL_S      20

#define RESTART                                                                                    \
    "; then EXEC sys.sp_cdc_stop_job @job_type = N'capture'; EXEC sys.sp_cdc_start_job @job_type " \
    "= N'capture'"

static const char *
faster(enum flavour flavour)
{
    switch (flavour) {
    case FLAVOUR_RDS:
        return "EXEC sys.sp_cdc_change_job @job_type = N'capture', @maxtrans = 5000, @maxscans = "
               "100, @pollinginterval = 1" RESTART
               "; and for the time after a fail-over, as the master user: EXEC "
               "rdsadmin.dbo.rds_set_configuration 'cdc_capture_maxtrans', 5000; EXEC "
               "rdsadmin.dbo.rds_set_configuration 'cdc_capture_pollinginterval', 1";
    case FLAVOUR_AZURE:
        return "EXEC sys.sp_cdc_change_job @job_type = N'capture', @maxtrans = 5000, @maxscans = "
               "100";
    case FLAVOUR_BOX:
    case FLAVOUR_MANAGED:
    default:
        return "EXEC sys.sp_cdc_change_job @job_type = N'capture', @maxtrans = 5000, @maxscans = "
               "100, @pollinginterval = 1" RESTART;
    }
}

/* Transactions a second that the log has seen lately; 0 when nobody knows. */
static double
measured_rate(struct check *c)
{
    int64_t n = 0;

    if (!check_number(c,
                      "SELECT COUNT(*) FROM cdc.lsn_time_mapping AS m WHERE m.tran_id <> 0x00 AND "
                      "m.tran_end_time > DATEADD(minute, -10, GETDATE())",
                      0, &n))
        return 0;
    return (double)n / (RATE_MINUTES * 60.0);
}

/* What the job can take, and how late it is by its settings alone. */
static int
check_settings(struct check *c, const struct health_facts *f)
{
    const struct health_jobs *j = &f->jobs;
    int64_t poll_s = f->flavour == FLAVOUR_AZURE ? AZURE_POLL_S : j->pollinginterval_s;
    double most = (double)(j->maxtrans * j->maxscans) / (double)(poll_s > 0 ? poll_s : 1);
    double rate = measured_rate(c);
    bool is_late = f->flavour != FLAVOUR_AZURE && poll_s >= SLOW_POLL_S;

    if (!j->has_capture)
        return 0;
    if (!j->is_continuous && f->flavour != FLAVOUR_AZURE &&
        check_add(c, SOURCE_WARNING,
                  "EXEC sys.sp_cdc_change_job @job_type = N'capture', @continuous = 1" RESTART,
                  "the capture job does not run continuously (continuous = 0): changes come when "
                  "its schedule starts it") != 0)
        return -1;
    if (is_late || 2 * rate >= most)
        return check_add(c, SOURCE_WARNING, faster(f->flavour),
                         "the capture job takes at most %.0f transactions a second (maxtrans "
                         "%" PRId64 " x maxscans %" PRId64 " every %" PRId64
                         " s; %.1f a second were measured) and adds up to %" PRId64
                         " seconds of latency",
                         most, j->maxtrans, j->maxscans, poll_s, rate, poll_s);
    return check_add(c, SOURCE_OK, "",
                     "the capture job takes up to %.0f transactions a second (%.1f measured) and "
                     "adds up to %" PRId64 " seconds of latency",
                     most, rate, poll_s);
}

static int
check_retention(struct check *c, const struct health_facts *f)
{
    if (!f->jobs.has_cleanup || f->jobs.retention_min <= 0)
        return 0;
    if (f->jobs.retention_min < RETENTION_MINUTES)
        return check_add(c, SOURCE_WARNING,
                         "EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 4320",
                         "changes are kept for %" PRId64
                         " minutes: a longer outage of weir loses data",
                         f->jobs.retention_min);
    return check_add(c, SOURCE_OK, "", "changes are kept for %" PRId64 " hours",
                     f->jobs.retention_min / 60);
}

int
check_jobs(struct check *c)
{
    const struct position newest = {.b = {0xFF}}; /* nothing is behind it: retention is not asked */
    struct source_health health;
    struct health_facts f;
    struct err why = ERR_INIT;

    if (health_gather(c->s, &newest, &f, &why) != 0)
        return check_add(c, SOURCE_ERROR, why.hint, "%s", why.text);
    health_judge(&f, &health);
    for (size_t i = 0; i < health.n; i++)
        if (strcmp(health.alarms[i].code, "log-quiet") != 0 && /* said by check_log */
            check_add(c, health.alarms[i].level, health.alarms[i].remedy, "%s",
                      health.alarms[i].what) != 0)
            return -1;
    if (check_settings(c, &f) != 0)
        return -1;
    return check_retention(c, &f);
}
