#include "tests/mssqld/sql/admin.h"

#include <strings.h>

#include "tests/mssqld/sql/cdc_parts.h"
#include "tests/mssqld/sql/fault.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/job.h"
#include "tests/mssqld/sql/recovery.h"

static int
missing(struct session *s, const char *parameter)
{
    return sqlerr_set(&s->error, 201, 16, 4,
                      "This procedure expects parameter '%s', which was not supplied.", parameter);
}

/* @like, or @match for text that stands anywhere. */
static const char *
pattern(struct session *s, const struct proc_call *call, int position)
{
    const char *match = proc_text(s, call, "@match", -1, NULL);

    return match != NULL ? arena_printf(&s->exec_arena, "%%%s%%", match)
                         : proc_text(s, call, "@like", position, "%");
}

static int
fail_next(struct session *s, const struct proc_call *call)
{
    struct fault_order o = {
        .number = (int32_t)proc_int(s, call, "@number", 0, 0),
        .times = (int)proc_int(s, call, "@times", 1, 1),
        .like = pattern(s, call, 2),
        .after_rows = proc_int(s, call, "@after_rows", 3, -1),
        .skip = (int)proc_int(s, call, "@skip", -1, 0),
        .cut = (int)proc_int(s, call, "@cut", -1, -1),
        .severity = (int)proc_int(s, call, "@severity", -1, 0),
        .message = proc_text(s, call, "@message", -1, proc_text(s, call, "@text", -1, NULL)),
        .login = proc_int(s, call, "@login", -1, 0) != 0,
        .except = proc_int(s, call, "@own", -1, 0) != 0 ? NULL : s,
    };

    if (o.number == 0)
        return missing(s, "@number");
    fault_add(s->engine, &o);
    return 0;
}

static int
before_next(struct session *s, const struct proc_call *call)
{
    struct fault_order o = {
        .number = 50000,
        .times = (int)proc_int(s, call, "@times", -1, 1),
        .like = pattern(s, call, 0),
        .sql = proc_text(s, call, "@sql", 1, NULL),
        .skip = (int)proc_int(s, call, "@skip", -1, 0),
        .after_rows = -1,
        .cut = FAULT_KEEP,
        .except = s,
    };

    if (o.sql == NULL)
        return missing(s, "@sql");
    fault_add(s->engine, &o);
    return 0;
}

/* What tests ask before they blame the client: have all orders been met? */
static int
fail_clear(struct session *s, const struct proc_call *call)
{
    int left = fault_clear(s->engine);

    (void)call;
    return cdc_answer(s, arena_printf(&s->exec_arena, "SELECT %d AS orders_left", left));
}

static int
capture_delay(struct session *s, const struct proc_call *call)
{
    int64_t ms = proc_int(s, call, "@ms", 0, JOB_AT_ONCE);
    int64_t lag_ms = proc_int(s, call, "@lag_ms", 1, 0);

    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    if (lag_ms > 0 && ms < 0)
        ms = 50;
    return job_set_interval(s, s->current, ms, lag_ms);
}

static int
capture_fail(struct session *s, const struct proc_call *call)
{
    const char *text = proc_text(s, call, "@message", 1, proc_text(s, call, "@text", -1, NULL));

    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    return job_fail(s, s->current, (int32_t)proc_int(s, call, "@number", 0, 0),
                    text != NULL ? text
                                 : "Log Scan process failed in processing log records. Refer to "
                                   "previous errors in the current session to identify the cause "
                                   "and correct any associated problems.",
                    (int)proc_int(s, call, "@times", 2, 0));
}

static int
agent(struct session *s, const struct proc_call *call)
{
    return job_agent(s, proc_int(s, call, "@running", 0, 1) != 0);
}

/* n > 0 writes so many now; 0 and -1 stop and start those of idle time. */
static int
dummy_row(struct session *s, const struct proc_call *call)
{
    int64_t n = proc_int(s, call, "@n", 0, 1);

    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    if (n > 0 && atomic_load(&s->current->deferred))
        return sqlerr_set(&s->error, 22903, 16, 1,
                          "Dummy rows are written by a scan that has read the whole log.");
    atomic_store(&s->current->dummies_off, n == 0);
    for (; n > 0; n--)
        if (cdc_write_dummy(s, s->current) != 0)
            return -1;
    return 0;
}

static int
clock_shift(struct session *s, const struct proc_call *call)
{
    datetime_shift(proc_int(s, call, "@seconds", 0, 0));
    return 0;
}

static int
zone(struct session *s, const struct proc_call *call)
{
    const struct proc_arg *a = proc_find(call, "@minutes", 0);

    datetime_zone(a == NULL || a->value.is_null ? DATETIME_OWN_ZONE
                                                : (int)proc_int(s, call, "@minutes", 0, 0));
    return 0;
}

static int
cleanup_pause(struct session *s, const struct proc_call *call)
{
    return cdc_cleanup_pause(s, proc_int(s, call, "@on", 0, 1) != 0);
}

static int
backup(struct session *s, const struct proc_call *call)
{
    return recovery_backup(s, proc_text(s, call, "@name", 0, ""));
}

static int
restore(struct session *s, const struct proc_call *call)
{
    struct restore_order o = {
        .backup = proc_text(s, call, "@name", 0, ""),
        .new_create_date = proc_int(s, call, "@new_create_date", 1, 1) != 0,
        .as = proc_text(s, call, "@as", 2, NULL),
        .keep_cdc = proc_int(s, call, "@keep_cdc", 3, 1) != 0,
    };

    return recovery_restore(s, &o);
}

static int
failover(struct session *s, const struct proc_call *call)
{
    struct failover_order o = {
        .server = proc_text(s, call, "@server", 0, NULL),
        .backup = proc_text(s, call, "@restore", 1, NULL),
        .new_fork = proc_int(s, call, "@new_fork", 2, 0) != 0,
        .new_create_date = proc_int(s, call, "@new_create_date", 3, 1) != 0,
        .keep_jobs = proc_int(s, call, "@keep_jobs", 4, 0) != 0,
    };

    return recovery_failover(s, &o);
}

static int
database_state(struct session *s, const struct proc_call *call)
{
    return recovery_set_state(s, s->current, proc_text(s, call, "@state", 0, "ONLINE"));
}

static int
read_only(struct session *s, const struct proc_call *call)
{
    return recovery_read_only(s, s->current, proc_int(s, call, "@on", 0, 1) != 0, true);
}

static int
as_primary(struct session *s, const struct proc_call *call)
{
    s->primary = proc_int(s, call, "@on", 0, 1) != 0;
    return 0;
}

/* One connection, or all others. */
static int
kill_sessions(struct session *s, const struct proc_call *call)
{
    int64_t spid = proc_int(s, call, "@spid", 0, 0);

    if (spid == 0)
        recovery_cut_others(s, NULL);
    else
        engine_cut(s->engine, (uint16_t)spid);
    return 0;
}

static int
flavour(struct session *s, const struct proc_call *call)
{
    return flavour_set(s, proc_text(s, call, "@name", 0, "box"),
                       (int)proc_int(s, call, "@major", 1, 0));
}

static int
override(struct session *s, const struct proc_call *call)
{
    const char *view = proc_text(s, call, "@view", 0, NULL);
    const char *column = proc_text(s, call, "@column", 1, NULL);

    if (view == NULL || column == NULL)
        return missing(s, view == NULL ? "@view" : "@column");
    return flavour_override(s, view, column, proc_text(s, call, "@value", 2, NULL),
                            proc_text(s, call, "@object", 3, NULL));
}

/* 1 as today, 0 no column, 2 NULLs: of instances that are enabled from now on. */
static int
command_id(struct session *s, const struct proc_call *call)
{
    int64_t on = proc_int(s, call, "@on", 0, 1);

    atomic_store(&s->current->command_ids, on == 0   ? NO_COMMAND_IDS
                                           : on == 2 ? NULL_COMMAND_IDS
                                                     : COMMAND_IDS);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct session *s, const struct proc_call *call);
} PROCEDURES[] = {
    {"fail_next", fail_next},
    {"before_next", before_next},
    {"fail_clear", fail_clear},
    {"capture_delay", capture_delay},
    {"capture_fail", capture_fail},
    {"agent", agent},
    {"dummy_row", dummy_row},
    {"clock", clock_shift},
    {"flavour", flavour},
    {"override", override},
    {"command_id", command_id},
    {"backup", backup},
    {"restore", restore},
    {"failover", failover},
    {"database_state", database_state},
    {"read_only", read_only},
    {"as_primary", as_primary},
    {"kill", kill_sessions},
    {"zone", zone},
    {"cleanup_pause", cleanup_pause},
};

bool
admin_procedure(struct session *s, const struct proc_call *call, int *rc)
{
    struct database *home = s->current;

    if (call->name->schema == NULL || strcasecmp(call->name->schema, "mssqld") != 0)
        return false;
    *rc = -1;
    if (!s->sysadmin) {
        (void)sqlerr_set(&s->error, 15247, 16, 1,
                         "User does not have permission to perform this action.");
        return true;
    }
    s->error.number = 0;
    for (size_t i = 0; i < sizeof PROCEDURES / sizeof PROCEDURES[0]; i++)
        if (strcasecmp(PROCEDURES[i].name, call->name->object) == 0) {
            if (call->name->database != NULL)
                s->current = catalog_database(s, call->name);
            *rc = s->current == NULL ? -1 : PROCEDURES[i].run(s, call);
            s->current = home;
            return true;
        }
    (void)sqlerr_set(&s->error, 2812, 16, 62, "Could not find stored procedure 'mssqld.%s'.",
                     call->name->object);
    return true;
}
