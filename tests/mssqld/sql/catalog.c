#include "tests/mssqld/sql/catalog.h"

#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/recovery.h"
#include "tests/mssqld/sql/security.h"

static const char *const TABLES[] = {
    "CREATE TABLE d%d.sys_meta (k TEXT PRIMARY KEY, v) WITHOUT ROWID",
    "CREATE TABLE d%d.sys_schemas (schema_id INTEGER PRIMARY KEY, name TEXT COLLATE MSCI UNIQUE, "
    "principal_id INT)",
    "CREATE TABLE d%d.sys_objects (object_id INTEGER PRIMARY KEY, schema_id INT, "
    "name TEXT COLLATE MSCI, type TEXT, created INT, shipped INT, tracked INT DEFAULT 0, "
    "norowid INT DEFAULT 0, definition TEXT, parent_id INT DEFAULT 0, UNIQUE(schema_id, name))",
    "CREATE TABLE d%d.sys_columns (object_id INT, column_id INT, name TEXT COLLATE MSCI, "
    "type INT, collation BLOB, nullable INT, is_identity INT, seed INT, increment INT, "
    "default_text TEXT, default_name TEXT, computed_text TEXT, sparse INT, rowguid INT, "
    "user_type TEXT, PRIMARY KEY(object_id, column_id)) WITHOUT ROWID",
    "CREATE TABLE d%d.sys_types (user_type_id INTEGER PRIMARY KEY, schema_id INT, name TEXT "
    "COLLATE "
    "MSCI, type INT, nullable INT, UNIQUE(schema_id, name))",
    "CREATE TABLE d%d.sys_indexes (object_id INT, index_id INT, name TEXT COLLATE MSCI, "
    "is_primary INT, is_unique INT, is_constraint INT, kind INT, PRIMARY KEY(object_id, "
    "index_id)) "
    "WITHOUT ROWID",
    "CREATE TABLE d%d.sys_index_columns (object_id INT, index_id INT, ordinal INT, column_id INT, "
    "descending INT, PRIMARY KEY(object_id, index_id, ordinal)) WITHOUT ROWID",
    "CREATE TABLE d%d.sys_principals (principal_id INTEGER PRIMARY KEY, "
    "name TEXT COLLATE MSCI UNIQUE, type TEXT, login TEXT COLLATE MSCI, password TEXT)",
    "CREATE TABLE d%d.sys_members (role_id INT, member_id INT, PRIMARY KEY(role_id, member_id)) "
    "WITHOUT ROWID",
    "CREATE TABLE d%d.sys_permissions (class TEXT, major_id INT, grantee_id INT, "
    "permission TEXT COLLATE MSCI, state TEXT, "
    "PRIMARY KEY(class, major_id, grantee_id, permission)) WITHOUT ROWID",
    "CREATE TABLE d%d.sys_histograms (object_id INT, stats_id INT, step INT, high, range_rows INT, "
    "equal_rows INT, distinct_rows INT, PRIMARY KEY(object_id, stats_id, step)) WITHOUT ROWID",
    "CREATE TABLE d%d.sys_stats_state (object_id INT, stats_id INT, updated INT, n_rows INT, "
    "PRIMARY KEY(object_id, stats_id)) WITHOUT ROWID",
    "CREATE TABLE d%d.sys_partition_functions (function_id INTEGER PRIMARY KEY, name TEXT COLLATE "
    "MSCI UNIQUE, type INT, is_right INT)",
    "CREATE TABLE d%d.sys_partition_values (function_id INT, boundary_id INT, v, box, PRIMARY "
    "KEY(function_id, boundary_id)) WITHOUT ROWID",
    "CREATE TABLE d%d.sys_partition_schemes (data_space_id INTEGER PRIMARY KEY, name TEXT COLLATE "
    "MSCI UNIQUE, function_id INT)",
    "CREATE TABLE d%d.sys_partitioned (object_id INTEGER PRIMARY KEY, data_space_id INT, column_id "
    "INT)",
    "CREATE TABLE d%d.sys_pending (lsn BLOB PRIMARY KEY, begin_time INT, end_time INT, "
    "tran_id BLOB, begin_lsn BLOB) WITHOUT ROWID",
    "CREATE TABLE d%d.sys_pending_actions (lsn BLOB, sql TEXT)",
    "INSERT INTO d%d.sys_schemas VALUES (1,'dbo',1),(2,'guest',2),(3,'INFORMATION_SCHEMA',3),"
    "(4,'sys',4)",
    "INSERT INTO d%d.sys_meta VALUES ('next_id', 1977058079), ('rowversion', 2000), "
    "('last_lsn', x'00000025000000100001')",
    "INSERT INTO d%d.sys_principals (principal_id, name, type, login) VALUES "
    "(0,'public','R',NULL),(1,'dbo','S','sa'),"
    "(2,'guest','S',NULL),(3,'INFORMATION_SCHEMA','S',NULL),(4,'sys','S',NULL),"
    "(16384,'db_owner','R',NULL),(16385,'db_accessadmin','R',NULL),"
    "(16386,'db_securityadmin','R',NULL),(16387,'db_ddladmin','R',NULL),"
    "(16390,'db_datareader','R',NULL),(16391,'db_datawriter','R',NULL)",
};

int
catalog_create(struct session *s, struct database *d)
{
    for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0]; i++) {
        char *sql = arena_strdup(&s->exec_arena, TABLES[i]);
        char *mark = strstr(sql, "d%d.");

        CHECK(mark != NULL);
        sql = arena_printf(&s->exec_arena, "%.*sd%d.%s", (int)(mark - sql), sql, d->id, mark + 4);
        if (session_sql(s, sql) != 0)
            return -1;
    }
    return 0;
}

int64_t
catalog_next_id(struct session *s, struct database *d)
{
    int64_t id = session_int(s, 0, "SELECT v FROM d%d.sys_meta WHERE k = 'next_id'", d->id);

    /* Object ids of real servers jump by 16000057 modulo 2^31; any unique number will do. */
    id = (id + 16000057) % 2147483647;
    if (id < 100)
        id += 100;
    (void)session_sqlf(s, "UPDATE d%d.sys_meta SET v = %lld WHERE k = 'next_id'", d->id,
                       (long long)id);
    return id;
}

static void
table_free(struct table *t)
{
    (void)sqlite3_finalize(t->insert);
    (void)sqlite3_finalize(t->identity_update);
    for (int i = 0; i < t->n_instances; i++) {
        (void)sqlite3_finalize(t->instances[i].insert[0]);
        (void)sqlite3_finalize(t->instances[i].insert[1]);
    }
    arena_free(&t->arena);
    free(t);
}

void
catalog_forget(struct session *s)
{
    while (s->tables != NULL) {
        struct table *t = s->tables;

        s->tables = t->next;
        t->next = s->old_tables;
        s->old_tables = t;
    }
}

void
catalog_release(struct session *s)
{
    while (s->old_tables != NULL) {
        struct table *next = s->old_tables->next;

        table_free(s->old_tables);
        s->old_tables = next;
    }
}

void
catalog_refresh(struct session *s)
{
    uint64_t now = atomic_load(&s->engine->catalog_version);

    if (now == s->catalog_version)
        return;
    catalog_forget(s);
    s->catalog_version = now;
}

static const char *
column_text(sqlite3_stmt *q, int i, struct arena *a)
{
    const char *text = (const char *)sqlite3_column_text(q, i);

    return text == NULL ? NULL : arena_strdup(a, text);
}

static int
load_columns(struct session *s, struct table *t)
{
    char *sql =
        arena_printf(&t->arena,
                     "SELECT column_id, name, type, collation, nullable, is_identity, "
                     "seed, increment, default_text, computed_text, sparse FROM d%d.sys_columns "
                     "WHERE object_id = %d ORDER BY column_id",
                     t->db->id, t->object_id);
    sqlite3_stmt *q = session_prepare(s, sql);

    if (q == NULL)
        return -1;
    t->identity = -1;
    while (sqlite3_step(q) == SQLITE_ROW) {
        struct column *c;

        t->columns = arena_push(&t->arena, t->columns, t->n_columns, sizeof *t->columns);
        c = &t->columns[t->n_columns];
        *c = (struct column){.id = sqlite3_column_int(q, 0)};
        c->name = column_text(q, 1, &t->arena);
        c->type = type_unpack(sqlite3_column_int64(q, 2));
        if (sqlite3_column_bytes(q, 3) == 5)
            memcpy(c->type.collation, sqlite3_column_blob(q, 3), 5);
        c->type.nullable = sqlite3_column_int(q, 4) != 0;
        c->identity = sqlite3_column_int(q, 5) != 0;
        c->type.identity = c->identity;
        c->seed = sqlite3_column_int64(q, 6);
        c->increment = sqlite3_column_int64(q, 7);
        c->default_text = column_text(q, 8, &t->arena);
        c->computed_text = column_text(q, 9, &t->arena);
        c->type.computed = c->computed_text != NULL;
        c->flags = (unsigned)sqlite3_column_int(q, 10);
        if (c->identity)
            t->identity = t->n_columns;
        t->n_columns++;
    }
    return sqlite3_finalize(q) == SQLITE_OK ? 0 : session_sqlite_error(s);
}

static int
position_of(const struct table *t, int column_id)
{
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].id == column_id)
            return i;
    return -1;
}

static int
load_keys(struct session *s, struct table *t)
{
    char *sql = arena_printf(&t->arena,
                             "SELECT i.index_id, i.name, i.is_primary, i.is_unique, "
                             "i.is_constraint, c.column_id FROM d%d.sys_indexes i JOIN "
                             "d%d.sys_index_columns c ON c.object_id = i.object_id AND "
                             "c.index_id = i.index_id WHERE i.object_id = %d ORDER BY "
                             "i.is_primary DESC, i.index_id, c.ordinal",
                             t->db->id, t->db->id, t->object_id);
    sqlite3_stmt *q = session_prepare(s, sql);
    struct key *k = NULL;

    if (q == NULL)
        return -1;
    while (sqlite3_step(q) == SQLITE_ROW) {
        if (k == NULL || k->index_id != sqlite3_column_int(q, 0)) {
            t->keys = arena_push(&t->arena, t->keys, t->n_keys, sizeof *t->keys);
            k = &t->keys[t->n_keys++];
            *k = (struct key){.index_id = sqlite3_column_int(q, 0)};
            k->name = column_text(q, 1, &t->arena);
            k->primary = sqlite3_column_int(q, 2) != 0;
            k->unique = sqlite3_column_int(q, 3) != 0;
            k->constraint = sqlite3_column_int(q, 4) != 0;
        }
        k->columns = arena_push(&t->arena, k->columns, k->n_columns, sizeof *k->columns);
        k->columns[k->n_columns++] = position_of(t, sqlite3_column_int(q, 5));
    }
    return sqlite3_finalize(q) == SQLITE_OK ? 0 : session_sqlite_error(s);
}

/* Capture instances, read from the cdc tables themselves. */
static int
load_instances(struct session *s, struct table *t)
{
    int64_t ct = session_int(s, 0,
                             "SELECT o.object_id FROM d%d.sys_objects o JOIN d%d.sys_schemas c ON "
                             "c.schema_id = o.schema_id WHERE c.name = 'cdc' AND o.name = "
                             "'change_tables'",
                             t->db->id, t->db->id);
    int64_t cc = session_int(s, 0,
                             "SELECT o.object_id FROM d%d.sys_objects o JOIN d%d.sys_schemas c ON "
                             "c.schema_id = o.schema_id WHERE c.name = 'cdc' AND o.name = "
                             "'captured_columns'",
                             t->db->id, t->db->id);
    sqlite3_stmt *q;
    struct instance *n = NULL;

    if (ct == 0 || cc == 0)
        return 0;
    q = session_prepare(
        s, arena_printf(&t->arena,
                        "SELECT a.c1, a.c4, b.c3, (SELECT count(*) FROM d%d.sys_columns x WHERE "
                        "x.object_id = a.c1 AND x.name = '__$command_id'), (SELECT NOT norowid "
                        "FROM d%d.sys_objects o WHERE o.object_id = a.c1) FROM d%d.t%lld a JOIN "
                        "d%d.t%lld b ON b.c1 = a.c1 WHERE a.c3 = %d ORDER BY a.rowid, b.c5",
                        t->db->id, t->db->id, t->db->id, (long long)ct, t->db->id, (long long)cc,
                        t->object_id));
    if (q == NULL)
        return -1;
    while (sqlite3_step(q) == SQLITE_ROW) {
        if (n == NULL || n->object_id != sqlite3_column_int(q, 0)) {
            t->instances =
                arena_push(&t->arena, t->instances, t->n_instances, sizeof *t->instances);
            n = &t->instances[t->n_instances++];
            *n = (struct instance){.object_id = sqlite3_column_int(q, 0), .key_index = -1};
            n->command_ids = sqlite3_column_int(q, 3) != 0;
            n->command_nulls = sqlite3_column_int(q, 4) != 0;
            n->name = column_text(q, 1, &t->arena);
        }
        n->columns = arena_push(&t->arena, n->columns, n->n_columns, sizeof *n->columns);
        n->columns[n->n_columns++] = position_of(t, sqlite3_column_int(q, 2));
    }
    return sqlite3_finalize(q) == SQLITE_OK ? 0 : session_sqlite_error(s);
}

static struct table *
load_table(struct session *s, struct database *d, sqlite3_stmt *q)
{
    struct table *t = calloc(1, sizeof *t);

    CHECK(t != NULL);
    t->db = d;
    t->object_id = sqlite3_column_int(q, 0);
    t->schema_id = sqlite3_column_int(q, 1);
    t->name = column_text(q, 2, &t->arena);
    t->type = ((const char *)sqlite3_column_text(q, 3))[0];
    t->shipped = sqlite3_column_int(q, 4) != 0;
    t->without_rowid = sqlite3_column_int(q, 6) != 0;
    t->definition = column_text(q, 7, &t->arena);
    t->schema = column_text(q, 8, &t->arena);
    if (load_columns(s, t) != 0 || load_keys(s, t) != 0 ||
        (sqlite3_column_int(q, 5) != 0 && load_instances(s, t) != 0)) {
        table_free(t);
        return NULL;
    }
    t->next = s->tables;
    s->tables = t;
    return t;
}

#define OBJECT_SELECT                                                                              \
    "SELECT o.object_id, o.schema_id, o.name, o.type, o.shipped, o.tracked, o.norowid, "           \
    "o.definition, c.name FROM d%d.sys_objects o JOIN d%d.sys_schemas c "                          \
    "ON c.schema_id = o.schema_id WHERE "

struct database *
catalog_database(struct session *s, const struct name *name)
{
    struct database *d = s->current;

    if (name->database != NULL && flavour_check_name(s, name) != 0)
        return NULL;
    if (name->database != NULL)
        d = engine_database(s->engine, name->database);
    if (d == NULL) {
        (void)sqlerr_set(&s->error, 911, 16, 1,
                         "Database '%s' does not exist. Make sure that the name is entered "
                         "correctly.",
                         name->database);
        return NULL;
    }
    if (d != s->current && !security_may_enter(s, d)) {
        (void)sqlerr_set(&s->error, 916, 14, 2,
                         "The server principal \"%s\" is not able to access the database \"%s\" "
                         "under the current security context.",
                         s->login, d->name);
        return NULL;
    }
    if (d != s->current && recovery_check(s, d) != 0)
        return NULL;
    return session_attach(s, d) == 0 ? d : NULL;
}

struct table *
catalog_find(struct session *s, const struct name *name, char type)
{
    struct database *d = catalog_database(s, name);
    const char *schema = name->schema != NULL ? name->schema : "dbo";
    sqlite3_stmt *q;
    struct table *t = NULL;

    if (d == NULL)
        return NULL;
    for (t = s->tables; t != NULL; t = t->next)
        if (t->db == d && strcasecmp(t->name, name->object) == 0 &&
            strcasecmp(t->schema, schema) == 0 && (type == 0 || t->type == type))
            return t;
    q = session_prepare(
        s, arena_printf(&s->exec_arena, OBJECT_SELECT "o.name = ?1 AND c.name = ?2", d->id, d->id));
    if (q == NULL)
        return NULL;
    (void)sqlite3_bind_text(q, 1, name->object, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, schema, -1, SQLITE_STATIC);
    if (sqlite3_step(q) == SQLITE_ROW) {
        const char *found = (const char *)sqlite3_column_text(q, 3);

        if (type == 0 || found[0] == type)
            t = load_table(s, d, q);
    }
    (void)sqlite3_finalize(q);
    return t;
}

struct table *
catalog_find_id(struct session *s, struct database *d, int object_id)
{
    sqlite3_stmt *q;
    struct table *t;

    for (t = s->tables; t != NULL; t = t->next)
        if (t->db == d && t->object_id == object_id)
            return t;
    if (session_attach(s, d) != 0)
        return NULL;
    q = session_prepare(
        s, arena_printf(&s->exec_arena, OBJECT_SELECT "o.object_id = %d", d->id, d->id, object_id));
    if (q == NULL)
        return NULL;
    if (sqlite3_step(q) == SQLITE_ROW)
        t = load_table(s, d, q);
    (void)sqlite3_finalize(q);
    return t;
}

void
catalog_note_ddl(struct session *s, const struct table *t)
{
    int room = (int)(sizeof s->ddl_changed / sizeof s->ddl_changed[0]);

    if (s->n_ddl_changed < room)
        s->ddl_changed[s->n_ddl_changed++] =
            (struct ddl_note){.database_id = t->db->id, .object_id = t->object_id};
}

void
catalog_publish_ddl(struct session *s, bool committed)
{
    struct engine *g = s->engine;

    if (committed && s->n_ddl_changed > 0) {
        (void)pthread_mutex_lock(&g->mutex);
        if (g->ddl_notes == NULL) {
            g->ddl_notes = calloc(DDL_NOTES, sizeof *g->ddl_notes);
            CHECK(g->ddl_notes != NULL);
        }
        for (int i = 0; i < s->n_ddl_changed; i++) {
            s->ddl_changed[i].at = ++g->ddl_count;
            g->ddl_notes[g->ddl_count % DDL_NOTES] = s->ddl_changed[i];
        }
        (void)pthread_mutex_unlock(&g->mutex);
    }
    s->n_ddl_changed = 0;
}

int
catalog_check_snapshot(struct session *s, const struct table *t)
{
    struct engine *g = s->engine;
    bool changed = false;

    if (!s->snapshot_tx)
        return 0;
    (void)pthread_mutex_lock(&g->mutex);
    for (int i = 0; g->ddl_notes != NULL && i < DDL_NOTES; i++)
        changed = changed || (g->ddl_notes[i].at > s->snapshot_ddl &&
                              g->ddl_notes[i].database_id == t->db->id &&
                              g->ddl_notes[i].object_id == t->object_id);
    (void)pthread_mutex_unlock(&g->mutex);
    if (!changed)
        return 0;
    return sqlerr_set(&s->error, 3961, 16, 1,
                      "Snapshot isolation transaction failed in database '%s' because the object "
                      "accessed by the statement has been modified by a DDL statement in another "
                      "concurrent transaction since the start of this transaction.  It is "
                      "disallowed because the metadata is not versioned.",
                      t->db->name);
}

int
catalog_column(const struct table *t, const char *name)
{
    for (int i = 0; i < t->n_columns; i++)
        if (strcasecmp(t->columns[i].name, name) == 0)
            return i;
    return -1;
}

int
catalog_schema_id(struct session *s, struct database *d, const char *schema)
{
    sqlite3_stmt *q = session_prepare(
        s, arena_printf(&s->exec_arena, "SELECT schema_id FROM d%d.sys_schemas WHERE name = ?1",
                        d->id));
    int id = -1;

    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, schema, -1, SQLITE_STATIC);
    if (sqlite3_step(q) == SQLITE_ROW)
        id = sqlite3_column_int(q, 0);
    (void)sqlite3_finalize(q);
    return id;
}

const char *
catalog_sql_name(const struct table *t, struct arena *a)
{
    return arena_printf(a, "d%d.t%d", t->db->id, t->object_id);
}
