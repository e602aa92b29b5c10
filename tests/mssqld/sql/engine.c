/* Server-wide state: the databases and their files. */
#include <dirent.h>
#include <errno.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "tests/mssqld/sql/catalog.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/fault.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/job.h"

static const char SERVER_TABLES[] =
    "CREATE TABLE IF NOT EXISTS srv_databases (id INTEGER PRIMARY KEY, name TEXT UNIQUE, "
    "created INT, fork BLOB, broker BLOB, cdc INT, snapshot INT, rcsi INT, guid BLOB, family BLOB, "
    "grp BLOB, first_fork BLOB, fork_lsn BLOB, state INT, read_only INT);"
    "CREATE TABLE IF NOT EXISTS srv_logins (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE "
    "UNIQUE, "
    "password TEXT, sysadmin INT, database TEXT, disabled INT, windows INT);"
    "CREATE TABLE IF NOT EXISTS srv_permissions (login TEXT COLLATE NOCASE, permission TEXT "
    "COLLATE NOCASE, state TEXT, PRIMARY KEY(login, permission))";

struct database *
engine_database_id(struct engine *g, int id)
{
    struct database *d;

    (void)pthread_mutex_lock(&g->mutex);
    for (d = g->databases; d != NULL && (d->id != id || d->dropped); d = d->next)
        continue;
    (void)pthread_mutex_unlock(&g->mutex);
    return d;
}

struct database *
engine_database(struct engine *g, const char *name)
{
    struct database *d;

    (void)pthread_mutex_lock(&g->mutex);
    for (d = g->databases; d != NULL && (d->dropped || strcasecmp(d->name, name) != 0); d = d->next)
        continue;
    (void)pthread_mutex_unlock(&g->mutex);
    return d;
}

void
engine_on_cut(struct engine *engine, void (*cut)(void *arg, uint16_t spid), void *arg)
{
    (void)pthread_mutex_lock(&engine->mutex);
    engine->cut = cut;
    engine->cut_arg = arg;
    (void)pthread_mutex_unlock(&engine->mutex);
}

void
engine_cut(struct engine *g, uint16_t spid)
{
    void (*cut)(void *arg, uint16_t spid);
    void *arg;

    (void)pthread_mutex_lock(&g->mutex);
    for (struct session *s = g->sessions; s != NULL; s = s->next)
        if (s->spid == spid)
            atomic_store(&s->ended, true);
    cut = g->cut;
    arg = g->cut_arg;
    (void)pthread_mutex_unlock(&g->mutex);
    if (cut != NULL)
        cut(arg, spid);
}

void
engine_catalog_changed(struct engine *g)
{
    (void)atomic_fetch_add(&g->catalog_version, 1);
}

static void
save_locked(struct engine *g, const struct database *d)
{
    static const uint8_t NONE[16];
    sqlite3_stmt *q = NULL;

    CHECK(sqlite3_prepare_v2(g->master,
                             "REPLACE INTO srv_databases VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,"
                             "?11,?12,?13,?14,?15)",
                             -1, &q, NULL) == SQLITE_OK);
    (void)sqlite3_bind_int(q, 1, d->id);
    (void)sqlite3_bind_text(q, 2, d->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(q, 3, d->create_date);
    (void)sqlite3_bind_blob(q, 4, d->fork_guid, 16, SQLITE_STATIC);
    (void)sqlite3_bind_blob(q, 5, d->broker_guid, 16, SQLITE_STATIC);
    (void)sqlite3_bind_int(q, 6, atomic_load(&d->cdc_enabled));
    (void)sqlite3_bind_int(q, 7, atomic_load(&d->snapshot_allowed));
    (void)sqlite3_bind_int(q, 8, atomic_load(&d->rcsi));
    (void)sqlite3_bind_blob(q, 9, d->guid, 16, SQLITE_STATIC);
    (void)sqlite3_bind_blob(q, 10, d->family_guid, 16, SQLITE_STATIC);
    if (memcmp(d->group_guid, NONE, sizeof NONE) != 0)
        (void)sqlite3_bind_blob(q, 11, d->group_guid, 16, SQLITE_STATIC);
    if (d->forked) {
        (void)sqlite3_bind_blob(q, 12, d->first_fork, 16, SQLITE_STATIC);
        (void)sqlite3_bind_blob(q, 13, d->fork_lsn, LSN_SIZE, SQLITE_STATIC);
    }
    (void)sqlite3_bind_int(q, 14, atomic_load(&d->state));
    (void)sqlite3_bind_int(q, 15, atomic_load(&d->read_only));
    CHECK(sqlite3_step(q) == SQLITE_DONE);
    (void)sqlite3_finalize(q);
}

void
engine_save_database(struct engine *g, const struct database *d)
{
    (void)pthread_mutex_lock(&g->mutex);
    save_locked(g, d);
    (void)pthread_mutex_unlock(&g->mutex);
}

static struct database *
database_new(struct engine *g, int id, const char *name)
{
    struct database *d = calloc(1, sizeof *d);
    size_t room;

    CHECK(d != NULL);
    d->id = id;
    d->name = strdup(name);
    room = strlen(g->directory) + 32;
    d->path = malloc(room);
    CHECK(d->name != NULL && d->path != NULL);
    (void)snprintf(d->path, room, "%s/%s%d.db", g->directory, id == DB_MASTER ? "master" : "db",
                   id);
    d->next = g->databases;
    g->databases = d;
    return d;
}

static struct database *
database_create(struct engine *g, int id, const char *name)
{
    struct database *d = database_new(g, id, name);
    struct moment utc;
    struct moment local;

    datetime_now(&utc, &local);
    d->create_date = datetime_grid(local.days * TICKS_PER_DAY + local.ticks);
    sqlite3_randomness(16, d->fork_guid);
    sqlite3_randomness(16, d->broker_guid);
    sqlite3_randomness(16, d->guid);
    sqlite3_randomness(16, d->family_guid);
    save_locked(g, d);
    return d;
}

static void
remove_files(const struct database *d)
{
    static const char *const ENDS[] = {"", "-wal", "-shm"};
    char path[4096];

    for (int i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s%s", d->path, ENDS[i]);
        (void)unlink(path);
    }
}

/* The file's own settings, which must stand before its first table. */
static int
prepare_file(const char *path, struct sqlerr *e)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open(path, &db);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "PRAGMA synchronous=OFF; PRAGMA page_size=8192; PRAGMA journal_mode=WAL",
                          NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        (void)sqlerr_set(e, 5123, 16, 1, "CREATE FILE of '%s' failed: %s.", path,
                         sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    return rc == SQLITE_OK ? 0 : -1;
}

void
engine_load_log_end(struct session *s, struct database *d)
{
    sqlite3_stmt *q =
        session_attach(s, d) != 0
            ? NULL
            : session_prepare(s, arena_printf(&s->exec_arena,
                                              "SELECT v FROM d%d.sys_meta WHERE k = 'last_lsn'",
                                              d->id));

    (void)pthread_mutex_lock(&s->engine->mutex);
    if (q != NULL && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == LSN_SIZE)
        memcpy(d->log_end, sqlite3_column_blob(q, 0), LSN_SIZE);
    (void)pthread_mutex_unlock(&s->engine->mutex);
    (void)sqlite3_finalize(q);
}

int
engine_setup_database(struct session *s, struct database *d)
{
    int rc;

    if (prepare_file(d->path, &s->error) != 0 || session_attach(s, d) != 0)
        return -1;
    rc = session_sql(s, "BEGIN");
    if (rc == 0)
        rc = catalog_create(s, d);
    (void)session_sql(s, rc == 0 ? "COMMIT" : "ROLLBACK");
    if (rc == 0)
        engine_load_log_end(s, d);
    return rc;
}

int
engine_create_database(struct session *s, const char *name)
{
    struct engine *g = s->engine;
    struct database *d;
    int id = DB_MSDB;

    if (engine_database(g, name) != NULL)
        return sqlerr_set(&s->error, 1801, 16, 3,
                          "Database '%s' already exists. Choose a different database name.", name);
    (void)pthread_mutex_lock(&g->mutex);
    for (d = g->databases; d != NULL; d = d->next)
        if (d->id > id)
            id = d->id;
    d = database_create(g, id + 1, name);
    (void)pthread_mutex_unlock(&g->mutex);
    remove_files(d);
    if (flavour_of(g) == FLAVOUR_AZURE) {
        atomic_store(&d->snapshot_allowed, true);
        atomic_store(&d->rcsi, true);
        engine_save_database(g, d);
    }
    return engine_setup_database(s, d);
}

int
engine_drop_database(struct session *s, const char *name)
{
    struct engine *g = s->engine;
    struct database *d = engine_database(g, name);
    bool used = false;
    char sql[80];

    if (d == NULL)
        return sqlerr_set(&s->error, 3701, 11, 1,
                          "Cannot drop the database '%s', because it does not exist or you do not "
                          "have permission.",
                          name);
    (void)pthread_mutex_lock(&g->mutex);
    for (struct session *o = g->sessions; o != NULL; o = o->next)
        used = used || o->current == d;
    if (!used && d->id > DB_MSDB) {
        d->dropped = true;
        (void)snprintf(sql, sizeof sql, "DELETE FROM srv_databases WHERE id = %d", d->id);
        CHECK(sqlite3_exec(g->master, sql, NULL, NULL, NULL) == SQLITE_OK);
    }
    (void)pthread_mutex_unlock(&g->mutex);
    if (used || d->id <= DB_MSDB)
        return sqlerr_set(&s->error, 3702, 16, 3,
                          "Cannot drop database \"%s\" because it is currently in use.", name);
    remove_files(d);
    engine_catalog_changed(g);
    return 0;
}

static void
load_databases(struct engine *g)
{
    sqlite3_stmt *q = NULL;

    CHECK(sqlite3_prepare_v2(g->master, "SELECT * FROM srv_databases ORDER BY id", -1, &q, NULL) ==
          SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) {
        struct database *d =
            database_new(g, sqlite3_column_int(q, 0), (const char *)sqlite3_column_text(q, 1));

        d->create_date = sqlite3_column_int64(q, 2);
        memcpy(d->fork_guid, sqlite3_column_blob(q, 3), 16);
        memcpy(d->broker_guid, sqlite3_column_blob(q, 4), 16);
        atomic_store(&d->cdc_enabled, sqlite3_column_int(q, 5) != 0);
        atomic_store(&d->snapshot_allowed, sqlite3_column_int(q, 6) != 0);
        atomic_store(&d->rcsi, sqlite3_column_int(q, 7) != 0);
        memcpy(d->guid, sqlite3_column_blob(q, 8), 16);
        memcpy(d->family_guid, sqlite3_column_blob(q, 9), 16);
        if (sqlite3_column_bytes(q, 10) == 16)
            memcpy(d->group_guid, sqlite3_column_blob(q, 10), 16);
        d->forked = sqlite3_column_bytes(q, 11) == 16;
        if (d->forked) {
            memcpy(d->first_fork, sqlite3_column_blob(q, 11), 16);
            memcpy(d->fork_lsn, sqlite3_column_blob(q, 12), LSN_SIZE);
        }
        atomic_store(&d->state, sqlite3_column_int(q, 13));
        atomic_store(&d->read_only, sqlite3_column_int(q, 14) != 0);
    }
    (void)sqlite3_finalize(q);
}

static int
open_master(struct engine *g, struct err *e)
{
    char path[4096];
    int rc;

    (void)snprintf(path, sizeof path, "%s/master1.db", g->directory);
    rc = sqlite3_open_v2(path, &g->master,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(g->master,
                          "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; "
                          "PRAGMA synchronous=OFF; PRAGMA busy_timeout=10000",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(g->master, SERVER_TABLES, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return err_set(e, ERR_IO, "open %s: %s", path, sqlite3_errmsg(g->master));
    load_databases(g);
    return 0;
}

static int
setup_system(struct engine *g, struct err *e)
{
    static const char *const NAMES[] = {"master", "tempdb", "model", "msdb"};
    bool fresh = g->databases == NULL;

    for (int i = 0; fresh && i < 4; i++)
        (void)database_create(g, i + 1, NAMES[i]);
    g->internal = session_internal_open(g, engine_database_id(g, DB_MASTER));
    for (int i = 1; fresh && i <= 4; i++)
        if (engine_setup_database(g->internal, engine_database_id(g, i)) != 0)
            return err_set(e, ERR_IO, "set up database %s: %s", NAMES[i - 1],
                           g->internal->error.text);
    for (struct database *d = g->databases; !fresh && d != NULL; d = d->next)
        engine_load_log_end(g->internal, d);
    if (fresh) {
        g->internal->current = engine_database_id(g, DB_MSDB);
        if (run_internal(g->internal, CDC_JOBS_TABLE) != 0)
            return err_set(e, ERR_IO, "set up msdb: %s", g->internal->error.text);
        g->internal->current = engine_database_id(g, DB_MASTER);
    }
    return 0;
}

int
engine_open(const struct engine_config *config, struct engine **out, struct err *e)
{
    struct engine *g = calloc(1, sizeof *g);

    *out = NULL;
    CHECK(g != NULL);
    (void)pthread_mutex_init(&g->mutex, NULL);
    (void)pthread_cond_init(&g->changed, NULL);
    (void)pthread_cond_init(&g->job_wake, NULL);
    atomic_store(&g->agent_running, true);
    atomic_store(&g->max_text_repl_size, 65536);
    atomic_store(&g->catalog_version, 1);
    atomic_store(&g->next_transaction, 900);
    g->directory = strdup(config->directory);
    g->sa_password = strdup(config->sa_password != NULL ? config->sa_password : "");
    g->server_name = strdup(config->server_name != NULL ? config->server_name : "MSSQLD");
    g->dummy_row_ms = config->dummy_row_ms;
    CHECK(g->directory != NULL && g->sa_password != NULL && g->server_name != NULL);
    if (mkdir(g->directory, 0700) != 0 && errno != EEXIST) {
        err_sys(e, ERR_IO, errno, "make directory %s", g->directory);
        engine_close(&g);
        return -1;
    }
    if (open_master(g, e) != 0 || setup_system(g, e) != 0) {
        engine_close(&g);
        return -1;
    }
    job_recover(g);
    if (g->dummy_row_ms > 0)
        job_thread_start(g);
    *out = g;
    return 0;
}

void
engine_close(struct engine **engine)
{
    struct engine *g = *engine;

    if (g == NULL)
        return;
    job_thread_stop(g);
    session_close(&g->internal);
    CHECK(g->sessions == NULL);
    (void)sqlite3_close(g->master);
    while (g->databases != NULL) {
        struct database *next = g->databases->next;

        free(g->databases->name);
        free(g->databases->path);
        job_free(g->databases->job);
        free(g->databases);
        g->databases = next;
    }
    fault_free(g);
    free(g->ddl_notes);
    flavour_free(g);
    (void)pthread_cond_destroy(&g->changed);
    (void)pthread_cond_destroy(&g->job_wake);
    (void)pthread_mutex_destroy(&g->mutex);
    free(g->directory);
    free(g->sa_password);
    free(g->server_name);
    while (g->n_old_names > 0)
        free(g->old_names[--g->n_old_names]);
    free(g);
    *engine = NULL;
}
