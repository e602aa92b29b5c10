/* The procedures sys.sp_cdc_*: most of their work is T-SQL on the cdc tables. */
#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/plan.h"
#include "tests/mssqld/sql/security.h"

const char CDC_JOBS_TABLE[] =
    "CREATE TABLE dbo.cdc_jobs (database_id int NOT NULL, job_type nvarchar(20) NOT NULL, "
    "job_id uniqueidentifier NULL, maxtrans int NULL, maxscans int NULL, continuous bit NULL, "
    "pollinginterval bigint NULL, retention bigint NULL, threshold bigint NULL)";

static const char CDC_TABLES[] =
    "CREATE TABLE cdc.change_tables (object_id int NOT NULL, version int NULL, source_object_id "
    "int NULL, capture_instance sysname NOT NULL, start_lsn binary(10) NULL, end_lsn binary(10) "
    "NULL, supports_net_changes bit NULL, has_drop_pending bit NULL, role_name sysname NULL, "
    "index_name sysname NULL, filegroup_name sysname NULL, create_date datetime NULL, "
    "partition_switch bit NOT NULL);"
    "CREATE TABLE cdc.captured_columns (object_id int NOT NULL, column_name sysname NOT NULL, "
    "column_id int NULL, column_type sysname NOT NULL, column_ordinal int NOT NULL, is_computed "
    "bit NULL, masking_function nvarchar(4000) NULL);"
    "CREATE TABLE cdc.index_columns (object_id int NOT NULL, column_name sysname NOT NULL, "
    "index_ordinal tinyint NOT NULL, column_id int NOT NULL);"
    "CREATE TABLE cdc.ddl_history (source_object_id int NULL, object_id int NOT NULL, "
    "required_column_update bit NULL, ddl_command nvarchar(max) NULL, ddl_lsn binary(10) NOT NULL, "
    "ddl_time datetime NULL);"
    "CREATE TABLE cdc.lsn_time_mapping (start_lsn binary(10) NOT NULL PRIMARY KEY, "
    "tran_begin_time datetime NULL, tran_end_time datetime NULL, tran_id varbinary(10) NULL, "
    "tran_begin_lsn binary(10) NULL)";

static int
run_formatted(struct session *s, const char *sql)
{
    struct database *d = s->current;
    int rc = run_internal(s, sql);

    s->current = d;
    return rc;
}

/* N'...' with quotes doubled; NULL gives NULL. */
static const char *
quote(struct session *s, const char *text)
{
    struct sbuf o = {0};
    const char *out;

    if (text == NULL)
        return "NULL";
    sbuf_add(&o, "N'");
    for (; *text != '\0'; text++) {
        sbuf_addn(&o, text, 1);
        if (*text == '\'')
            sbuf_add(&o, "'");
    }
    sbuf_add(&o, "'");
    out = arena_strdup(&s->exec_arena, o.data);
    sbuf_free(&o);
    return out;
}

static const char *
bracket(struct session *s, const char *text)
{
    struct sbuf o = {0};
    const char *out;

    sbuf_add(&o, "[");
    for (; *text != '\0'; text++) {
        sbuf_addn(&o, text, 1);
        if (*text == ']')
            sbuf_add(&o, "]");
    }
    sbuf_add(&o, "]");
    out = arena_strdup(&s->exec_arena, o.data);
    sbuf_free(&o);
    return out;
}

static int
not_enabled(struct session *s)
{
    return sqlerr_set(&s->error, 22901, 16, 1,
                      "The database '%s' is not enabled for Change Data Capture. Ensure that the "
                      "correct database context is set and retry the operation. To report on the "
                      "databases enabled for Change Data Capture, query the is_cdc_enabled column "
                      "in the sys.databases catalog view.",
                      s->current->name);
}

static int
enable_db(struct session *s)
{
    struct database *d = s->current;

    if (!s->sysadmin)
        return sqlerr_set(&s->error, 22902, 16, 1,
                          "Caller is not authorized to initiate the requested action. Sysadmin "
                          "permissions are required.");
    if (d->id <= DB_MSDB)
        return sqlerr_set(&s->error, 22988, 16, 1,
                          "This instance of SQL Server cannot enable Change Data Capture on "
                          "database '%s', which is a system database.",
                          d->name);
    if (atomic_load(&d->cdc_enabled))
        return 0;
    if (catalog_schema_id(s, d, "cdc") >= 0)
        return sqlerr_set(&s->error, 22906, 16, 1,
                          "The database '%s' cannot be enabled for Change Data Capture because a "
                          "database user named 'cdc' or a schema named 'cdc' already exists in the "
                          "current database.",
                          d->name);
    if (run_formatted(s, "CREATE SCHEMA cdc") != 0 ||
        run_formatted(s, "CREATE USER cdc WITHOUT LOGIN") != 0 || run_formatted(s, CDC_TABLES) != 0)
        return -1;
    atomic_store(&d->cdc_enabled, true);
    engine_save_database(s->engine, d);
    (void)pthread_cond_broadcast(&s->engine->changed);
    return 0;
}

int
cdc_drop_instance(struct session *s, struct database *d, int object_id)
{
    struct table *t = catalog_find_id(s, d, object_id);
    const char *id = arena_printf(&s->exec_arena, "%d", object_id);
    int source = 0;
    const char *sql;

    if (t == NULL)
        return 0;
    source = (int)session_int(s, 0, "SELECT parent_id FROM d%d.sys_objects WHERE object_id = %d",
                              d->id, object_id);
    sql = arena_printf(&s->exec_arena,
                       "DELETE FROM %s.cdc.change_tables WHERE object_id = %s; DELETE FROM "
                       "%s.cdc.captured_columns WHERE object_id = %s; DELETE FROM "
                       "%s.cdc.index_columns WHERE object_id = %s; DELETE FROM %s.cdc.ddl_history "
                       "WHERE object_id = %s; DROP TABLE %s.cdc.%s",
                       bracket(s, d->name), id, bracket(s, d->name), id, bracket(s, d->name), id,
                       bracket(s, d->name), id, bracket(s, d->name), bracket(s, t->name));
    if (run_formatted(s, sql) != 0)
        return -1;
    return session_sqlf(s,
                        "UPDATE d%d.sys_objects SET tracked = (SELECT count(*) FROM "
                        "d%d.sys_objects x WHERE x.parent_id = %d) > 0 WHERE object_id = %d",
                        d->id, d->id, source, source);
}

static int
disable_db(struct session *s)
{
    struct database *d = s->current;
    int64_t id;

    if (!s->sysadmin)
        return sqlerr_set(&s->error, 22902, 16, 1,
                          "Caller is not authorized to initiate the requested action. Sysadmin "
                          "permissions are required.");
    if (!atomic_load(&d->cdc_enabled))
        return 0;
    while ((id = session_int(s, 0,
                             "SELECT object_id FROM d%d.sys_objects WHERE parent_id <> 0 LIMIT 1",
                             d->id)) != 0)
        if (cdc_drop_instance(s, d, (int)id) != 0)
            return -1;
    if (run_formatted(s,
                      "DROP TABLE cdc.change_tables, cdc.captured_columns, cdc.index_columns, "
                      "cdc.ddl_history, cdc.lsn_time_mapping; DROP SCHEMA cdc; DROP USER cdc") != 0)
        return -1;
    if (run_formatted(s, arena_printf(&s->exec_arena,
                                      "DELETE FROM msdb.dbo.cdc_jobs WHERE database_id = %d",
                                      d->id)) != 0)
        return -1;
    atomic_store(&d->cdc_enabled, false);
    engine_save_database(s->engine, d);
    return 0;
}

/* [a], [b c], d: the next name of a list; false at its end. */
static bool
next_name(const char **p, char *out, size_t size)
{
    size_t n = 0;
    const char *s = *p;

    while (*s == ' ' || *s == ',')
        s++;
    if (*s == '\0')
        return false;
    if (*s == '[') {
        for (s++; *s != '\0' && (s[0] != ']' || s[1] == ']'); s++) {
            if (*s == ']')
                s++;
            if (n < size - 1)
                out[n++] = *s;
        }
        s += *s == ']';
    } else {
        for (; *s != '\0' && *s != ','; s++)
            if (n < size - 1)
                out[n++] = *s;
        while (n > 0 && out[n - 1] == ' ')
            n--;
    }
    out[n] = '\0';
    *p = s;
    return true;
}

static int
choose_columns(struct session *s, const struct table *t, const char *list, bool *chosen)
{
    char name[300];

    for (int i = 0; i < t->n_columns; i++)
        chosen[i] = list == NULL;
    while (list != NULL && next_name(&list, name, sizeof name)) {
        int c = catalog_column(t, name);

        if (c < 0 || strncmp(name, "__$", 3) == 0)
            return sqlerr_set(&s->error, 22911, 16, 1,
                              "The column '%s' of the captured column list is not a column of "
                              "source table '%s.%s'.",
                              name, t->schema, t->name);
        chosen[c] = true;
    }
    return 0;
}

static const struct key *
identity_key(const struct table *t, const char *index)
{
    for (int i = 0; i < t->n_keys; i++)
        if (index != NULL ? strcasecmp(t->keys[i].name, index) == 0 && t->keys[i].unique
                          : t->keys[i].primary)
            return &t->keys[i];
    return NULL;
}

/* The change table's CREATE TABLE. */
static const char *
change_table_sql(struct session *s, const struct table *t, const char *instance, const bool *chosen)
{
    struct sbuf o = {0};
    char type[128];
    char coll[128];
    const char *out;

    sbuf_fmt(&o,
             "CREATE TABLE cdc.%s ([__$start_lsn] binary(10) NOT NULL, [__$end_lsn] binary(10) "
             "NULL, [__$seqval] binary(10) NOT NULL, [__$operation] int NOT NULL, "
             "[__$update_mask] varbinary(128) NULL",
             bracket(s, arena_printf(&s->exec_arena, "%s_CT", instance)));
    for (int i = 0; i < t->n_columns; i++) {
        struct sql_type ct = t->columns[i].type;

        if (!chosen[i])
            continue;
        if (ct.base == SQL_ROWVERSION)
            ct = type_sized(SQL_BINARY, 8);
        sbuf_fmt(&o, ", %s %s", bracket(s, t->columns[i].name),
                 type_describe(&ct, type, sizeof type));
        if (type_is_text(ct.base) && ct.base != SQL_XML)
            sbuf_fmt(&o, " COLLATE %s", collation_name(ct.collation, coll, sizeof coll));
        sbuf_add(&o, " NULL");
    }
    sbuf_add(&o, ", [__$command_id] int, PRIMARY KEY ([__$start_lsn], [__$command_id], "
                 "[__$seqval], [__$operation]))");
    out = arena_strdup(&s->exec_arena, o.data);
    sbuf_free(&o);
    return out;
}

static int
describe_instance(struct session *s, const struct table *t, int ct, const struct key *key,
                  const bool *chosen)
{
    struct sbuf o = {0};
    int ordinal = 0;
    int rc;

    for (int i = 0; i < t->n_columns; i++)
        if (chosen[i])
            sbuf_fmt(&o,
                     "INSERT INTO cdc.captured_columns VALUES (%d, %s, %d, N'%s', %d, %d, "
                     "NULL);",
                     ct, quote(s, t->columns[i].name), t->columns[i].id,
                     type_name(t->columns[i].type.base), ++ordinal,
                     t->columns[i].computed_text != NULL);
    for (int i = 0; key != NULL && i < key->n_columns; i++)
        sbuf_fmt(&o, "INSERT INTO cdc.index_columns VALUES (%d, %s, %d, %d);", ct,
                 quote(s, t->columns[key->columns[i]].name), i + 1, t->columns[key->columns[i]].id);
    rc = run_formatted(s, o.data);
    sbuf_free(&o);
    return rc;
}

static int
create_jobs(struct session *s)
{
    int id = s->current->id;

    return run_formatted(
        s, arena_printf(&s->exec_arena,
                        "IF NOT EXISTS (SELECT 1 FROM msdb.dbo.cdc_jobs WHERE database_id = %d) "
                        "BEGIN INSERT INTO msdb.dbo.cdc_jobs VALUES (%d, N'capture', NEWID(), 500, "
                        "10, 1, 5, 0, 0); INSERT INTO msdb.dbo.cdc_jobs VALUES (%d, N'cleanup', "
                        "NEWID(), 0, 0, 0, 0, 4320, 5000) END",
                        id, id, id));
}

/* A mapping row of its own gives the instance its first LSN. */
static int
first_lsn(struct session *s, struct table *ct, const char *insert)
{
    if (cdc_begin_statement(s, s->current) != 0 || run_formatted(s, insert) != 0)
        return -1;
    return session_sqlf(s,
                        "UPDATE d%d.sys_columns SET nullable = 1 WHERE object_id = %d AND name = "
                        "'__$command_id'; UPDATE d%d.sys_indexes SET is_primary = 0, is_constraint "
                        "= 0, name = %s WHERE object_id = %d",
                        s->current->id, ct->object_id, s->current->id,
                        quote(s, arena_printf(&s->exec_arena, "%s_clustered_idx", ct->name)) + 1,
                        ct->object_id);
}

static const char *
lsn_text(struct session *s, const uint8_t *lsn)
{
    char *out = arena_alloc(&s->exec_arena, 2 * LSN_SIZE + 3);

    (void)snprintf(out, 3, "0x");
    for (size_t i = 0; i < LSN_SIZE; i++)
        (void)snprintf(out + 2 + 2 * i, 3, "%02X", lsn[i]);
    return out;
}

static int
enable_checked(struct session *s, const struct proc_call *call, struct table *t,
               const char *instance)
{
    const char *index = proc_text(s, call, "@index_name", 5, NULL);
    const char *role = proc_text(s, call, "@role_name", 4, NULL);
    const char *list = proc_text(s, call, "@captured_column_list", 6, NULL);
    const struct key *key = identity_key(t, index);
    bool *chosen = arena_alloc(&s->exec_arena, (size_t)t->n_columns + 1);
    struct name ct_name = {.schema = "cdc"};
    int source = t->object_id;
    int64_t net = proc_int(s, call, "@supports_net_changes", 3, key != NULL);
    struct table *ct;
    const char *key_name;
    const char *insert;

    if (index != NULL && key == NULL)
        return sqlerr_set(&s->error, 22831, 16, 1,
                          "Could not find unique index '%s' for table '%s.%s'.", index, t->schema,
                          t->name);
    if (net != 0 && key == NULL)
        return sqlerr_set(&s->error, 22939, 16, 1,
                          "The parameter @supports_net_changes is set to 1, but the source table "
                          "does not have a primary key defined and no alternate unique index has "
                          "been specified.");
    for (int i = 0; index != NULL && i < key->n_columns; i++)
        if (t->columns[key->columns[i]].type.nullable)
            return sqlerr_set(&s->error, 22838, 16, 1,
                              "All columns of a CDC unique key must be defined as NOT NULL. Index "
                              "'%s' selected as the CDC unique key for source table '%s.%s' does "
                              "not meet this requirement.",
                              index, t->schema, t->name);
    if (choose_columns(s, t, list, chosen) != 0)
        return -1;
    for (int i = 0; key != NULL && i < key->n_columns; i++)
        if (!chosen[key->columns[i]])
            return sqlerr_set(&s->error, 22912, 16, 1,
                              "The key column '%s' must be in the captured column list.",
                              t->columns[key->columns[i]].name);
    if (role != NULL &&
        session_int(s, 0, "SELECT count(*) FROM d%d.sys_principals WHERE name = %s", s->current->id,
                    quote(s, role) + 1) == 0 &&
        security_create_role(s, role) != 0)
        return -1;
    if (run_formatted(s, change_table_sql(s, t, instance, chosen)) != 0)
        return -1;
    ct_name.object = arena_printf(&s->exec_arena, "%s_CT", instance);
    ct = catalog_find(s, &ct_name, 'U');
    t = catalog_find_id(s, s->current, source);
    if (ct == NULL || t == NULL)
        return -1;
    key = identity_key(t, index);
    key_name = key != NULL ? arena_strdup(&s->exec_arena, key->name) : NULL;
    if (describe_instance(s, t, ct->object_id, key, chosen) != 0 ||
        cdc_begin_statement(s, s->current) != 0)
        return -1;
    ct = catalog_find(s, &ct_name, 'U');
    insert = arena_printf(&s->exec_arena,
                          "INSERT INTO cdc.change_tables VALUES (%d, 0, %d, %s, %s, NULL, %d, 0, "
                          "%s, %s, NULL, GETDATE(), %d)",
                          ct->object_id, source, quote(s, instance), lsn_text(s, s->cdc.commit_lsn),
                          net != 0, quote(s, role), quote(s, key_name),
                          proc_int(s, call, "@allow_partition_switch", 8, 1) != 0);
    if (first_lsn(s, ct, insert) != 0 ||
        session_sqlf(s,
                     "UPDATE d%d.sys_objects SET tracked = 1 WHERE object_id = %d; UPDATE "
                     "d%d.sys_objects SET parent_id = %d WHERE object_id = %d",
                     s->current->id, source, s->current->id, source, ct->object_id) != 0)
        return -1;
    if (role != NULL &&
        run_formatted(s, arena_printf(&s->exec_arena, "GRANT SELECT ON cdc.%s TO %s",
                                      bracket(s, ct_name.object), bracket(s, role))) != 0)
        return -1;
    catalog_forget(s);
    engine_catalog_changed(s->engine);
    return create_jobs(s);
}

static int
enable_table(struct session *s, const struct proc_call *call)
{
    struct name source = {.schema = proc_text(s, call, "@source_schema", 0, NULL),
                          .object = proc_text(s, call, "@source_name", 1, NULL)};
    const char *instance = proc_text(s, call, "@capture_instance", 2, NULL);
    struct table *t;
    size_t n;

    if (!atomic_load(&s->current->cdc_enabled))
        return not_enabled(s);
    if (source.object == NULL || source.schema == NULL)
        return sqlerr_set(&s->error, 201, 16, 4,
                          "Procedure or function 'sp_cdc_enable_table' expects parameter "
                          "'@source_%s', which was not supplied.",
                          source.schema == NULL ? "schema" : "name");
    s->error.number = 0;
    t = catalog_find(s, &source, 'U');
    if (t == NULL || t->shipped)
        return sqlerr_set(
            &s->error, 22931, 16, 1,
            "Source table '%s.%s' does not exist in the current database. Ensure that "
            "the correct database context is set. Specify a valid schema and table "
            "name for the database.",
            source.schema, source.object);
    if (t->n_instances >= 2)
        return sqlerr_set(&s->error, 22962, 16, 1,
                          "Two capture instances already exist for source table '%s.%s'. A table "
                          "can have at most two capture instances.",
                          t->schema, t->name);
    if (instance == NULL)
        instance = arena_printf(&s->exec_arena, "%s_%s", t->schema, t->name);
    n = strlen(instance);
    while (n > 0 && instance[n - 1] == ' ')
        n--;
    instance = arena_strndup(&s->exec_arena, instance, n);
    if (n > 100)
        return sqlerr_set(&s->error, 22835, 16, 1,
                          "The capture instance name '%s' exceeds 100 characters.", instance);
    if (catalog_find(s,
                     &(struct name){.schema = "cdc",
                                    .object = arena_printf(&s->exec_arena, "%s_CT", instance)},
                     0) != NULL)
        return sqlerr_set(&s->error, 22926, 16, 1,
                          "Could not create a capture instance because the capture instance name "
                          "'%s' already exists in the current database. Specify an explicit unique "
                          "name for the parameter @capture_instance.",
                          instance);
    return enable_checked(s, call, t, instance);
}

static int
disable_table(struct session *s, const struct proc_call *call)
{
    struct name source = {.schema = proc_text(s, call, "@source_schema", 0, "dbo"),
                          .object = proc_text(s, call, "@source_name", 1, "")};
    const char *instance = proc_text(s, call, "@capture_instance", 2, "all");
    bool all = strcasecmp(instance, "all") == 0;
    bool any = false;
    struct table *t;

    if (!atomic_load(&s->current->cdc_enabled))
        return not_enabled(s);
    t = catalog_find(s, &source, 'U');
    for (int i = 0; t != NULL && i < t->n_instances; i++) {
        if (!all && strcasecmp(t->instances[i].name, instance) != 0)
            continue;
        any = true;
        if (cdc_drop_instance(s, t->db, t->instances[i].object_id) != 0)
            return -1;
        i = -1;
        catalog_forget(s);
        t = catalog_find(s, &source, 'U');
        if (!all)
            break;
    }
    engine_catalog_changed(s->engine);
    catalog_forget(s);
    if (!any && !all)
        return sqlerr_set(&s->error, 22960, 16, 1,
                          "Change data capture instance '%s' has not been enabled for the source "
                          "table '%s.%s'.",
                          instance, source.schema, source.object);
    return 0;
}

static int
no_instance(struct session *s)
{
    return sqlerr_set(&s->error, 22981, 16, 1, "Object does not exist or access is denied.");
}

/* First the bounds, in a transaction of their own; then the rows. */
static int
cleanup(struct session *s, const struct proc_call *call)
{
    const char *instance = proc_text(s, call, "@capture_instance", 0, "");
    const struct proc_arg *mark = proc_find(call, "@low_water_mark", 1);
    struct sql_type lsn = type_sized(SQL_BINARY, LSN_SIZE);
    struct value_context c = run_context(s, VALUE_CAST);
    const char *q = quote(s, instance);
    const char *low;
    struct sql_value v;

    if (!atomic_load(&s->current->cdc_enabled))
        return not_enabled(s);
    if (catalog_find(s,
                     &(struct name){.schema = "cdc",
                                    .object = arena_printf(&s->exec_arena, "%s_CT", instance)},
                     'U') == NULL)
        return no_instance(s);
    if (mark == NULL || mark->value.is_null)
        return 0;
    if (value_convert(&c, &mark->type, &mark->value, &lsn, &v) != 0)
        return -1;
    low = lsn_text(s, v.bytes.data);
    if (run_formatted(s, arena_printf(&s->exec_arena,
                                      "IF NOT EXISTS (SELECT 1 FROM cdc.lsn_time_mapping WHERE "
                                      "start_lsn = %s) THROW 22964, N'LSN %s, specified as value "
                                      "for the @low_water_mark parameter, is not in the "
                                      "lsn_time_mapping table.', 1; UPDATE cdc.change_tables SET "
                                      "start_lsn = %s WHERE capture_instance = %s AND start_lsn < "
                                      "%s",
                                      low, low, low, q, low)) != 0)
        return -1;
    return run_formatted(
        s,
        arena_printf(&s->exec_arena,
                     "DELETE FROM cdc.%s WHERE [__$start_lsn] < %s; IF NOT EXISTS (SELECT 1 "
                     "FROM cdc.change_tables WHERE start_lsn < %s) DELETE FROM "
                     "cdc.lsn_time_mapping WHERE start_lsn < %s",
                     bracket(s, arena_printf(&s->exec_arena, "%s_CT", instance)), low, low, low));
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
        return not_enabled(s);
    for (int i = 0; i < 6; i++) {
        char name[40];
        int64_t v;

        (void)snprintf(name, sizeof name, "@%s", FIELDS[i]);
        v = proc_int(s, call, name, i + 1, -1);
        if (v >= 0)
            sbuf_fmt(&o,
                     "UPDATE msdb.dbo.cdc_jobs SET %s = %lld WHERE database_id = %d AND "
                     "job_type = %s;",
                     FIELDS[i], (long long)v, s->current->id, quote(s, job));
    }
    if (o.size > 0)
        rc = run_formatted(s, o.data);
    sbuf_free(&o);
    return rc;
}

/* Answers of the help procedures go to the client: run as its own text. */
static int
answer(struct session *s, const char *sql)
{
    bool internal = s->cdc_internal;
    int rc;

    s->cdc_internal = true;
    rc = run_text(s, sql, NULL, 0, NULL, NULL);
    s->cdc_internal = internal;
    return rc;
}

static int
help_jobs(struct session *s)
{
    return answer(s, arena_printf(&s->exec_arena,
                                  "SELECT job_id, job_type, maxtrans, maxscans, continuous, "
                                  "pollinginterval, retention, threshold FROM msdb.dbo.cdc_jobs "
                                  "WHERE database_id = %d",
                                  s->current->id));
}

static int
help_capture(struct session *s, const struct proc_call *call)
{
    const char *schema = proc_text(s, call, "@source_schema", 0, NULL);
    const char *table = proc_text(s, call, "@source_name", 1, NULL);

    if (!atomic_load(&s->current->cdc_enabled))
        return not_enabled(s);
    return answer(
        s, arena_printf(
               &s->exec_arena,
               "SELECT s.name AS source_schema, t.name AS source_table, ct.capture_instance, "
               "ct.object_id, ct.source_object_id, ct.start_lsn, ct.end_lsn, "
               "ct.supports_net_changes, ct.has_drop_pending, ct.role_name, ct.index_name, "
               "ct.filegroup_name, ct.create_date, (SELECT STRING_AGG(QUOTENAME(i.column_name), "
               "N', ') FROM cdc.index_columns i WHERE i.object_id = ct.object_id) AS "
               "index_column_list, (SELECT STRING_AGG(QUOTENAME(c.column_name), N', ') FROM "
               "cdc.captured_columns c WHERE c.object_id = ct.object_id) AS captured_column_list "
               "FROM cdc.change_tables ct JOIN sys.tables t ON t.object_id = ct.source_object_id "
               "JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE (%s IS NULL OR s.name = %s) "
               "AND (%s IS NULL OR t.name = %s)",
               quote(s, schema), quote(s, schema), quote(s, table), quote(s, table)));
}

static int
captured_columns(struct session *s, const struct proc_call *call)
{
    const char *instance = proc_text(s, call, "@capture_instance", 0, "");

    if (!atomic_load(&s->current->cdc_enabled))
        return not_enabled(s);
    return answer(
        s, arena_printf(
               &s->exec_arena,
               "SELECT s.name AS source_schema, t.name AS source_table, ct.capture_instance, "
               "cc.column_name, cc.column_id, cc.column_ordinal, cc.column_type AS data_type, "
               "c.CHARACTER_MAXIMUM_LENGTH AS character_maximum_length, c.NUMERIC_PRECISION AS "
               "numeric_precision, c.NUMERIC_PRECISION_RADIX AS numeric_precision_radix, "
               "c.NUMERIC_SCALE AS numeric_scale, c.DATETIME_PRECISION AS datetime_precision FROM "
               "cdc.change_tables ct JOIN cdc.captured_columns cc ON cc.object_id = ct.object_id "
               "JOIN sys.tables t ON t.object_id = ct.source_object_id JOIN sys.schemas s ON "
               "s.schema_id = t.schema_id LEFT JOIN INFORMATION_SCHEMA.COLUMNS c ON "
               "c.TABLE_SCHEMA = s.name AND c.TABLE_NAME = t.name AND c.COLUMN_NAME = "
               "cc.column_name WHERE ct.capture_instance = %s ORDER BY cc.column_ordinal",
               quote(s, instance)));
}

static int
ddl_history(struct session *s, const struct proc_call *call)
{
    return answer(
        s, arena_printf(&s->exec_arena,
                        "SELECT s.name AS source_schema, t.name AS source_table, "
                        "ct.capture_instance, h.required_column_update, h.ddl_command, h.ddl_lsn, "
                        "h.ddl_time FROM cdc.ddl_history h JOIN cdc.change_tables ct ON "
                        "ct.object_id = h.object_id JOIN sys.tables t ON t.object_id = "
                        "ct.source_object_id JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE "
                        "ct.capture_instance = %s ORDER BY h.ddl_lsn",
                        quote(s, proc_text(s, call, "@capture_instance", 0, ""))));
}

int
cdc_note_ddl(struct session *s, struct table *t, const char *command, bool required_update)
{
    struct sbuf o = {0};
    int rc;

    if (t->n_instances == 0 || s->cdc_internal)
        return 0;
    if (cdc_begin_statement(s, t->db) != 0)
        return -1;
    cdc_next_row(s);
    for (int i = 0; i < t->n_instances; i++)
        sbuf_fmt(&o, "INSERT INTO cdc.ddl_history VALUES (%d, %d, %d, %s, %s, GETDATE());",
                 t->object_id, t->instances[i].object_id, required_update, quote(s, command),
                 lsn_text(s, s->cdc.seqval));
    rc = run_formatted(s, o.data);
    sbuf_free(&o);
    return rc;
}

static int
dispatch(struct session *s, const struct proc_call *call, const char *name, bool *known)
{
    *known = true;
    if (strcasecmp(name, "enable_db") == 0)
        return enable_db(s);
    if (strcasecmp(name, "disable_db") == 0)
        return disable_db(s);
    if (strcasecmp(name, "enable_table") == 0)
        return enable_table(s, call);
    if (strcasecmp(name, "disable_table") == 0)
        return disable_table(s, call);
    if (strcasecmp(name, "cleanup_change_table") == 0)
        return cleanup(s, call);
    if (strcasecmp(name, "change_job") == 0)
        return change_job(s, call);
    if (strcasecmp(name, "help_jobs") == 0)
        return help_jobs(s);
    if (strcasecmp(name, "help_change_data_capture") == 0)
        return help_capture(s, call);
    if (strcasecmp(name, "get_captured_columns") == 0)
        return captured_columns(s, call);
    if (strcasecmp(name, "get_ddl_history") == 0)
        return ddl_history(s, call);
    if (strcasecmp(name, "start_job") == 0 || strcasecmp(name, "stop_job") == 0 ||
        strcasecmp(name, "scan") == 0 || strcasecmp(name, "add_job") == 0)
        return 0; /* capture is synchronous here: there is no job to steer */
    *known = false;
    return 0;
}

bool
cdc_procedure(struct session *s, const struct proc_call *call, int *rc)
{
    const char *name = call->name->object;
    struct database *home = s->current;
    bool own = false;
    bool known;

    if (strncasecmp(name, "sp_cdc_", 7) != 0)
        return false;
    *rc = 0;
    if (call->name->database != NULL) {
        s->current = catalog_database(s, call->name);
        if (s->current == NULL) {
            s->current = home;
            *rc = -1;
            return true;
        }
    }
    catalog_refresh(s);
    s->error.number = 0;
    if (strncasecmp(name, "sp_cdc_help", 11) != 0 && strncasecmp(name, "sp_cdc_get", 10) != 0) {
        *rc = security_require_owner(s);
        own = s->trancount == 0 && *rc == 0;
    }
    if (own) /* all steps in one transaction */
        (void)tx_begin(s);
    if (*rc == 0)
        *rc = dispatch(s, call, name + 7, &known);
    else
        known = true;
    if (own && s->trancount > 0) {
        struct sqlerr e = s->error;

        if (*rc == 0)
            *rc = tx_commit(s);
        else
            (void)tx_rollback(s);
        if (*rc != 0 && e.number != 0)
            s->error = e;
    }
    s->current = home;
    return known;
}
