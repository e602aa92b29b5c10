#include "tests/mssqld/sql/recovery.h"

#include <strings.h>
#include <unistd.h>

#include "common/err.h"
#include "tests/mssqld/sql/cdc_parts.h"
#include "tests/mssqld/sql/job.h"

/* Where a backup of the database stands; names keep to letters, digits and '_'. */
static const char *
backup_path(struct session *s, const struct database *d, const char *name)
{
    for (const char *p = name; *p != '\0'; p++)
        if ((*p < 'a' || *p > 'z') && (*p < 'A' || *p > 'Z') && (*p < '0' || *p > '9') && *p != '_')
            return NULL;
    return name[0] == '\0' ? NULL
                           : arena_printf(&s->exec_arena, "%s/backup%d_%s.bak",
                                          s->engine->directory, d->id, name);
}

static int
outside(struct session *s, const char *what)
{
    if (s->trancount == 0)
        return 0;
    return sqlerr_set(&s->error, 3021, 16, 0, "Cannot perform a %s operation within a transaction.",
                      what);
}

/* Copies between a file and a schema of the session's connection. */
static int
copy_pages(struct session *s, const struct database *d, const char *path, bool into_database)
{
    char schema[16];
    sqlite3 *file = NULL;
    sqlite3_backup *copy;
    int rc;

    (void)snprintf(schema, sizeof schema, "d%d", d->id);
    rc = sqlite3_open_v2(
        path, &file,
        into_database ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (rc == SQLITE_OK && !into_database)
        rc = sqlite3_exec(file, "PRAGMA synchronous=OFF; PRAGMA page_size=8192", NULL, NULL, NULL);
    copy = rc != SQLITE_OK ? NULL
           : into_database ? sqlite3_backup_init(s->db, schema, file, "main")
                           : sqlite3_backup_init(file, "main", s->db, schema);
    if (copy != NULL) {
        do {
            rc = sqlite3_backup_step(copy, -1);
        } while (rc == SQLITE_BUSY || rc == SQLITE_LOCKED);
        rc = sqlite3_backup_finish(copy);
    } else if (rc == SQLITE_OK) {
        rc = SQLITE_ERROR;
    }
    if (rc != SQLITE_OK)
        (void)sqlerr_set(&s->error, 3013, 16, 1, "%s DATABASE is terminating abnormally: %s.",
                         into_database ? "RESTORE" : "BACKUP",
                         sqlite3_errmsg(into_database ? s->db : file));
    (void)sqlite3_close(file);
    return rc == SQLITE_OK ? 0 : -1;
}

int
recovery_backup(struct session *s, const char *name)
{
    struct database *d = s->current;
    const char *path = backup_path(s, d, name);
    int rc;

    if (path == NULL)
        return sqlerr_set(&s->error, 3010, 16, 1, "Invalid backup name '%s'.", name);
    if (outside(s, "backup") != 0 || tx_lock(s, d, 0) != 0)
        return -1;
    (void)unlink(path);
    rc = copy_pages(s, d, path, false);
    return tx_end_statement(s, true) != 0 ? -1 : rc;
}

/* Everybody else in the database is thrown out; waits for none of them. */
void
recovery_cut_others(struct session *s, const struct database *d)
{
    struct engine *g = s->engine;
    uint16_t spids[1024];
    int n = 0;

    (void)pthread_mutex_lock(&g->mutex);
    for (struct session *o = g->sessions; o != NULL && n < 1024; o = o->next)
        if (o != s && o != g->internal && (d == NULL || o->current == d)) {
            atomic_store(&o->ended, true);
            spids[n++] = o->spid;
        }
    (void)pthread_mutex_unlock(&g->mutex);
    for (int i = 0; i < n; i++)
        if (spids[i] != s->spid)
            engine_cut(g, spids[i]);
}

static void
now_created(struct database *d)
{
    struct moment utc;
    struct moment local;

    datetime_now(&utc, &local);
    d->create_date = datetime_grid(local.days * TICKS_PER_DAY + local.ticks);
}

static void
new_fork(struct engine *g, struct database *d)
{
    (void)pthread_mutex_lock(&g->mutex);
    memcpy(d->first_fork, d->fork_guid, sizeof d->first_fork);
    sqlite3_randomness(sizeof d->fork_guid, d->fork_guid);
    memcpy(d->fork_lsn, d->log_end, LSN_SIZE);
    d->forked = true;
    (void)pthread_mutex_unlock(&g->mutex);
}

/* The file's content is another: what the server remembers of it follows. */
static int
take_up(struct session *s, struct database *d, bool keep_cdc)
{
    struct database *home = s->current;
    int rc = 0;

    plan_forget(s);
    catalog_forget(s);
    engine_catalog_changed(s->engine);
    engine_load_log_end(s, d);
    atomic_store(&d->cdc_enabled, catalog_schema_id(s, d, "cdc") >= 0);
    if (session_int(s, 0, "SELECT EXISTS (SELECT 1 FROM d%d.sys_pending)", d->id) != 0)
        atomic_store(&d->deferred, true);
    if (!keep_cdc && atomic_load(&d->cdc_enabled)) {
        s->current = d;
        rc = cdc_run(s, "EXEC sys.sp_cdc_disable_db");
        s->current = home;
    }
    return rc;
}

static int
overwrite(struct session *s, struct database *d, const char *path, bool keep_cdc)
{
    int rc;

    recovery_cut_others(s, d);
    if (tx_lock(s, d, 0) != 0)
        return -1;
    plan_forget(s);
    catalog_forget(s);
    rc = copy_pages(s, d, path, true);
    if (tx_end_statement(s, true) != 0 || rc != 0)
        return -1;
    return take_up(s, d, keep_cdc);
}

/* The database the order speaks of: the current one, or one made for it. */
static struct database *
target(struct session *s, const struct restore_order *o)
{
    struct database *from = s->current;
    struct database *d = from;

    if (o->as == NULL)
        return d;
    if (engine_create_database(s, o->as) != 0)
        return NULL;
    d = engine_database(s->engine, o->as);
    CHECK(d != NULL);
    memcpy(d->family_guid, from->family_guid, sizeof d->family_guid);
    memcpy(d->fork_guid, from->fork_guid, sizeof d->fork_guid);
    memcpy(d->broker_guid, from->broker_guid, sizeof d->broker_guid);
    return d;
}

int
recovery_restore(struct session *s, const struct restore_order *o)
{
    const char *path = backup_path(s, s->current, o->backup);
    struct database *d;

    if (path == NULL || access(path, R_OK) != 0)
        return sqlerr_set(&s->error, 3201, 16, 2,
                          "Cannot open backup '%s' of this database: it was never made.",
                          o->backup);
    if (s->current->id <= DB_MSDB || outside(s, "restore") != 0)
        return s->error.number != 0
                   ? -1
                   : sqlerr_set(&s->error, 3108, 16, 1, "System databases are not restored here.");
    d = target(s, o);
    if (d == NULL || overwrite(s, d, path, o->keep_cdc) != 0)
        return -1;
    new_fork(s->engine, d);
    if (o->new_create_date)
        now_created(d);
    engine_save_database(s->engine, d);
    return 0;
}

static void
rename_server(struct engine *g, const char *name)
{
    char *fresh = strdup(name);

    CHECK(fresh != NULL);
    (void)pthread_mutex_lock(&g->mutex);
    CHECK(g->n_old_names < (int)(sizeof g->old_names / sizeof g->old_names[0]));
    g->old_names[g->n_old_names++] = g->server_name; /* somebody may be reading it */
    atomic_store(&g->server_name, fresh);
    (void)pthread_mutex_unlock(&g->mutex);
}

int
recovery_failover(struct session *s, const struct failover_order *o)
{
    struct database *d = s->current;
    const char *path = o->backup != NULL ? backup_path(s, d, o->backup) : NULL;

    if (outside(s, "fail-over") != 0)
        return -1;
    if (o->backup != NULL && (path == NULL || access(path, R_OK) != 0))
        return sqlerr_set(&s->error, 3201, 16, 2,
                          "Cannot open backup '%s' of this database: it was never made.",
                          o->backup);
    recovery_cut_others(s, NULL);
    if (path != NULL && overwrite(s, d, path, true) != 0)
        return -1;
    if (path != NULL || o->new_fork)
        new_fork(s->engine, d);
    if (o->new_create_date)
        now_created(d);
    engine_save_database(s->engine, d);
    if (o->server != NULL)
        rename_server(s->engine, o->server);
    if (o->keep_jobs || !atomic_load(&d->cdc_enabled))
        return 0;
    if (cdc_run(s, arena_printf(&s->exec_arena,
                                "DELETE FROM msdb.dbo.cdc_jobs WHERE database_id = %d", d->id)) !=
        0)
        return -1;
    return job_drop(s, d);
}

static const struct {
    const char *name;
    enum database_state state;
    int32_t error;
    const char *text;
} STATES[] = {
    {"ONLINE", STATE_ONLINE, 0, ""},
    {"OFFLINE", STATE_OFFLINE, 942, "Database '%s' cannot be opened because it is offline."},
    {"RESTORING", STATE_RESTORING, 927,
     "Database '%s' cannot be opened. It is in the middle of a restore."},
    {"RECOVERING", STATE_RECOVERING, 922,
     "Database '%s' is being recovered. Waiting until recovery is finished."},
    {"SUSPECT", STATE_SUSPECT, 926,
     "Database '%s' cannot be opened. It has been marked SUSPECT by recovery."},
    {"NOT_READABLE", STATE_NOT_READABLE, 976,
     "The target database, '%s', is participating in an availability group and is currently not "
     "accessible for queries. Either data movement is suspended or the availability replica is "
     "not enabled for read access."},
    {"READ_INTENT", STATE_READ_INTENT, 978,
     "The target database ('%s') is in an availability group and is currently accessible for "
     "connections when the application intent is set to read only."},
    {"RESOLVING", STATE_RESOLVING, 983,
     "Unable to access availability database '%s' because the database replica is not in the "
     "PRIMARY or SECONDARY role."},
};

int
recovery_set_state(struct session *s, struct database *d, const char *state)
{
    for (size_t i = 0; i < sizeof STATES / sizeof STATES[0]; i++) {
        if (strcasecmp(STATES[i].name, state) != 0)
            continue;
        if (d->id <= DB_MSDB)
            return sqlerr_set(&s->error, 5058, 16, 1, "The option cannot be set in database '%s'.",
                              d->name);
        atomic_store(&d->state, (int)STATES[i].state);
        if (STATES[i].state != STATE_ONLINE && STATES[i].state != STATE_READ_INTENT)
            recovery_cut_others(s, d);
        engine_save_database(s->engine, d);
        return 0;
    }
    return sqlerr_set(&s->error, 102, 15, 1, "Incorrect syntax near '%s'.", state);
}

int
recovery_read_only(struct session *s, struct database *d, bool on, bool secondary)
{
    static const uint8_t NONE[16];

    if (tx_lock(s, d, 0) != 0) /* writers that are at it finish first */
        return -1;
    atomic_store(&d->read_only, on);
    atomic_store(&d->secondary, on && secondary);
    (void)pthread_mutex_lock(&s->engine->mutex);
    if (secondary && memcmp(d->group_guid, NONE, sizeof NONE) == 0)
        sqlite3_randomness(sizeof d->group_guid, d->group_guid);
    (void)pthread_mutex_unlock(&s->engine->mutex);
    engine_save_database(s->engine, d);
    return s->trancount == 0 ? tx_end_statement(s, true) : 0;
}

int
recovery_check(struct session *s, const struct database *d)
{
    int state = atomic_load(&d->state);

    if (state == STATE_ONLINE || s->cdc_internal ||
        (state == STATE_READ_INTENT && s->read_only_intent))
        return 0;
    for (size_t i = 0; i < sizeof STATES / sizeof STATES[0]; i++)
        if ((int)STATES[i].state == state) {
            char text[400];
            const char *mark = strstr(STATES[i].text, "%s");

            (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(mark - STATES[i].text),
                           STATES[i].text, d->name, mark + 2);
            return sqlerr_set(&s->error, STATES[i].error, 14, 1, "%s", text);
        }
    return 0;
}
