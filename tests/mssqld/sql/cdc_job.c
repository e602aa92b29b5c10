/* The procedures of CDC's jobs: capture and cleanup, their numbers, start and stop. */
#include <strings.h>

#include "tests/mssqld/sql/cdc_parts.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/job.h"

bool
cdc_steers_job(const char *procedure)
{
    static const char *const NAMES[] = {"sp_cdc_start_job",
                                        "sp_cdc_stop_job",
                                        "sp_cdc_scan",
                                        "sp_cdc_add_job",
                                        "sp_cdc_drop_job",
                                        "sp_cdc_help_jobs",
                                        "sp_cdc_cleanup_change_table",
                                        "sp_MScdc_cleanup_job"};

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strcasecmp(procedure, NAMES[i]) == 0)
            return true;
    return false;
}

int
cdc_create_jobs(struct session *s)
{
    int id = s->current->id;

    if (job_is_missing(s, s->current))
        return 0; /* dropped, or lost by a fail-over: only sp_cdc_add_job makes it anew */
    return cdc_run(
        s, arena_printf(&s->exec_arena,
                        "IF NOT EXISTS (SELECT 1 FROM msdb.dbo.cdc_jobs WHERE database_id = %d) "
                        "BEGIN INSERT INTO msdb.dbo.cdc_jobs VALUES (%d, N'capture', NEWID(), 500, "
                        "10, 1, 5, 0, 0); INSERT INTO msdb.dbo.cdc_jobs VALUES (%d, N'cleanup', "
                        "NEWID(), 0, 0, 0, 0, 4320, 5000) END",
                        id, id, id));
}

static int
change_job(struct session *s, const struct proc_call *call)
{
    static const char *const FIELDS[] = {"maxtrans",        "maxscans",  "continuous",
                                         "pollinginterval", "retention", "threshold"};
    const char *job = proc_text(s, call, "@job_type", 0, "capture");
    struct sbuf o = {0};
    int rc = 0;

    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    for (int i = 0; i < 6; i++) {
        char name[40];
        int64_t v;

        (void)snprintf(name, sizeof name, "@%s", FIELDS[i]);
        v = proc_int(s, call, name, i + 1, -1);
        if (v >= 0)
            sbuf_fmt(&o,
                     "UPDATE msdb.dbo.cdc_jobs SET %s = %lld WHERE database_id = %d AND "
                     "job_type = %s;",
                     FIELDS[i], (long long)v, s->current->id, cdc_quote(s, job));
    }
    if (strcasecmp(job, "capture") == 0) {
        int64_t seconds = proc_int(s, call, "@pollinginterval", 4, -1);

        job_set_limits(s, s->current, (int)proc_int(s, call, "@maxtrans", 1, 0),
                       (int)proc_int(s, call, "@maxscans", 2, 0));
        if (seconds >= 0)
            job_set_next_interval(s, s->current, seconds == 0 ? JOB_AT_ONCE : seconds * 1000);
    }
    if (o.size > 0)
        rc = cdc_run(s, o.data);
    sbuf_free(&o);
    return rc;
}

static int
help_jobs(struct session *s)
{
    return cdc_answer(s,
                      arena_printf(&s->exec_arena,
                                   "SELECT job_id, job_type, maxtrans, maxscans, continuous, "
                                   "pollinginterval, retention, threshold FROM msdb.dbo.cdc_jobs "
                                   "WHERE database_id = %d",
                                   s->current->id));
}

/* Is there a row of this job in msdb? */
static bool
job_exists(struct session *s, const char *job)
{
    struct name name = {.database = "msdb", .schema = "dbo", .object = "cdc_jobs"};
    struct table *t = catalog_find(s, &name, 'U');

    return t != NULL &&
           session_int(s, 0, "SELECT count(*) FROM d%d.t%d WHERE c1 = %d AND c2 = '%s'", t->db->id,
                       t->object_id, s->current->id, job) > 0;
}

/* 22022: what Agent says of a job it cannot start or stop. */
static int
refused(struct session *s, const char *why)
{
    return sqlerr_set(&s->error, 22022, 16, 1, "SQLServerAgent Error: %s", why);
}

static int
start_or_stop(struct session *s, const struct proc_call *call, bool start)
{
    const char *job = proc_text(s, call, "@job_type", 0, "capture");
    bool capture = strcasecmp(job, "capture") == 0;
    bool runs = job_is_running(s, s->current);

    if (!job_exists(s, capture ? "capture" : "cleanup"))
        return sqlerr_set(&s->error, 22836, 16, 1,
                          "Could not %s the %s job for database '%s': the job does not exist.",
                          start ? "start" : "stop", job, s->current->name);
    if (!atomic_load(&s->engine->agent_running))
        return refused(s, "SQLServerAgent is not currently running so it cannot be notified of "
                          "this action.");
    if (!capture)
        return start ? cdc_cleanup_job(s) : 0;
    if (start && runs)
        return refused(s, "Request to run the capture job refused because the job is already "
                          "running.");
    if (!start && !runs)
        return refused(s, "Request to stop the capture job refused because the job is not "
                          "currently running.");
    return start ? job_start(s, s->current) : job_stop(s, s->current);
}

static int
add_job(struct session *s, const struct proc_call *call)
{
    const char *job = proc_text(s, call, "@job_type", 0, "capture");
    bool capture = strcasecmp(job, "capture") == 0;

    if (job_exists(s, capture ? "capture" : "cleanup"))
        return sqlerr_set(&s->error, 22835, 16, 1, "The %s job of database '%s' already exists.",
                          job, s->current->name);
    if (cdc_run(s, arena_printf(&s->exec_arena,
                                capture ? "INSERT INTO msdb.dbo.cdc_jobs VALUES (%d, N'capture', "
                                          "NEWID(), 500, 10, 1, 5, 0, 0)"
                                        : "INSERT INTO msdb.dbo.cdc_jobs VALUES (%d, N'cleanup', "
                                          "NEWID(), 0, 0, 0, 0, 4320, 5000)",
                                s->current->id)) != 0)
        return -1;
    if (!capture || proc_int(s, call, "@start_job", 1, 1) == 0)
        return 0;
    return job_add(s, s->current);
}

static int
drop_job(struct session *s, const struct proc_call *call)
{
    const char *job = proc_text(s, call, "@job_type", 0, "capture");
    bool capture = strcasecmp(job, "capture") == 0;

    if (cdc_run(s, arena_printf(&s->exec_arena,
                                "DELETE FROM msdb.dbo.cdc_jobs WHERE database_id = %d AND "
                                "job_type = %s",
                                s->current->id, cdc_quote(s, job))) != 0)
        return -1;
    return capture ? job_drop(s, s->current) : 0;
}

/* One round by hand, as Azure SQL Database allows it beside its scheduler. */
static int
scan(struct session *s, const struct proc_call *call)
{
    return job_round(s, s->current, (int)proc_int(s, call, "@maxtrans", 0, 500),
                     (int)proc_int(s, call, "@maxscans", 1, 10));
}

int
cdc_job_procedure(struct session *s, const struct proc_call *call, const char *name, bool *known)
{
    static const char *const NAMES[] = {
        "change_job", "help_jobs", "start_job", "stop_job",
        "scan",       "add_job",   "drop_job",  "sp_MScdc_cleanup_job"};
    int which = -1;

    for (int i = 0; i < (int)(sizeof NAMES / sizeof NAMES[0]); i++)
        if (strcasecmp(name, NAMES[i]) == 0)
            which = i;
    if (which < 0)
        return 0;
    *known = true;
    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    if (flavour_of(s->engine) == FLAVOUR_AZURE && which != 0 && which != 1 && which != 4 &&
        which != 7) /* a scheduler stands in for Agent: scans and cleanup by hand only */
        return sqlerr_set(&s->error, 40510, 16, 1,
                          "Statement 'sp_cdc_%s' is not supported in this version of SQL Server.",
                          name);
    switch (which) {
    case 0:
        return change_job(s, call);
    case 1:
        return help_jobs(s);
    case 2:
    case 3:
        return start_or_stop(s, call, which == 2);
    case 4:
        return scan(s, call);
    case 5:
        return add_job(s, call);
    case 6:
        return drop_job(s, call);
    default:
        return cdc_cleanup_job(s);
    }
}
