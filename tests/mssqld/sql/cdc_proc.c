/* The procedures sys.sp_cdc_*: most of their work is T-SQL on the cdc tables. */
#include <strings.h>

#include "tests/mssqld/sql/cdc_parts.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/job.h"
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

int
cdc_run(struct session *s, const char *sql)
{
    struct database *d = s->current;
    int rc = run_internal(s, sql);

    s->current = d;
    return rc;
}

/* N'...' with quotes doubled; NULL gives NULL. */
const char *
cdc_quote(struct session *s, const char *text)
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

const char *
cdc_bracket(struct session *s, const char *text)
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

int
cdc_not_enabled(struct session *s)
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
    if (cdc_run(s, "CREATE SCHEMA cdc") != 0 || cdc_run(s, "CREATE USER cdc WITHOUT LOGIN") != 0 ||
        cdc_run(s, "ALTER ROLE db_owner ADD MEMBER cdc") != 0 || cdc_run(s, CDC_TABLES) != 0)
        return -1;
    atomic_store(&d->cdc_enabled, true);
    engine_save_database(s->engine, d);
    (void)pthread_cond_broadcast(&s->engine->job_wake);
    return 0;
}

int
cdc_drop_instance(struct session *s, struct database *d, int object_id)
{
    struct table *t = catalog_find_id(s, d, object_id);
    const char *id = arena_printf(&s->exec_arena, "%d", object_id);
    int source = 0;
    const char *function;
    const char *sql;

    if (t == NULL)
        return 0;
    function = cdc_quote(s, arena_printf(&s->exec_arena, "fn_cdc_get_all_changes_%.*s",
                                         (int)strlen(t->name) - 3, t->name)) +
               1;
    source = (int)session_int(s, 0, "SELECT parent_id FROM d%d.sys_objects WHERE object_id = %d",
                              d->id, object_id);
    sql = arena_printf(&s->exec_arena,
                       "DELETE FROM %s.cdc.change_tables WHERE object_id = %s; DELETE FROM "
                       "%s.cdc.captured_columns WHERE object_id = %s; DELETE FROM "
                       "%s.cdc.index_columns WHERE object_id = %s; DELETE FROM %s.cdc.ddl_history "
                       "WHERE object_id = %s; DROP TABLE %s.cdc.%s",
                       cdc_bracket(s, d->name), id, cdc_bracket(s, d->name), id,
                       cdc_bracket(s, d->name), id, cdc_bracket(s, d->name), id,
                       cdc_bracket(s, d->name), cdc_bracket(s, t->name));
    if (cdc_run(s, sql) != 0)
        return -1;
    return session_sqlf(s,
                        "DROP TABLE IF EXISTS d%d.p%d; DELETE FROM d%d.sys_columns WHERE object_id "
                        "IN (SELECT object_id FROM d%d.sys_objects WHERE type = 'IF' AND name = "
                        "%s); DELETE FROM d%d.sys_objects WHERE type = 'IF' AND name = %s; UPDATE "
                        "d%d.sys_objects SET tracked = (SELECT count(*) FROM d%d.sys_objects x "
                        "WHERE x.parent_id = %d) > 0 WHERE object_id = %d",
                        d->id, object_id, d->id, d->id, function, d->id, function, d->id, d->id,
                        source, source);
}

static int
disable_db(struct session *s)
{
    struct database *d = s->current;
    int64_t id;

    if (!atomic_load(&d->cdc_enabled))
        return 0;
    while ((id = session_int(s, 0,
                             "SELECT object_id FROM d%d.sys_objects WHERE parent_id <> 0 LIMIT 1",
                             d->id)) != 0)
        if (cdc_drop_instance(s, d, (int)id) != 0)
            return -1;
    if (cdc_run(s, "DROP TABLE cdc.change_tables, cdc.captured_columns, cdc.index_columns, "
                   "cdc.ddl_history, cdc.lsn_time_mapping; DROP SCHEMA cdc; DROP USER cdc") != 0)
        return -1;
    if (cdc_run(s, arena_printf(&s->exec_arena,
                                "DELETE FROM msdb.dbo.cdc_jobs WHERE database_id = %d", d->id)) !=
        0)
        return -1;
    if (session_sqlf(s, "DELETE FROM d%d.sys_pending; DELETE FROM d%d.sys_pending_actions", d->id,
                     d->id) != 0)
        return -1;
    job_forget(s->engine, d);
    atomic_store(&d->cdc_enabled, false);
    engine_save_database(s->engine, d);
    return 0;
}

const char *
cdc_lsn_text(struct session *s, const uint8_t *lsn)
{
    char *out = arena_alloc(&s->exec_arena, 2 * LSN_SIZE + 3);

    (void)snprintf(out, 3, "0x");
    for (size_t i = 0; i < LSN_SIZE; i++)
        (void)snprintf(out + 2 + 2 * i, 3, "%02X", lsn[i]);
    return out;
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
        return cdc_not_enabled(s);
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

/* Answers of the help procedures go to the client: run as its own text. */
int
cdc_answer(struct session *s, const char *sql)
{
    bool internal = s->cdc_internal;
    int rc;

    s->cdc_internal = true;
    rc = run_text(s, sql, NULL, 0, NULL, NULL);
    s->cdc_internal = internal;
    return rc;
}

static int
help_capture(struct session *s, const struct proc_call *call)
{
    const char *schema = proc_text(s, call, "@source_schema", 0, NULL);
    const char *table = proc_text(s, call, "@source_name", 1, NULL);

    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    return cdc_answer(
        s,
        arena_printf(
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
            "AND (%s IS NULL OR t.name = %s) AND FN_MSSQLD_MAY_READ(ct.source_object_id, "
            "ct.role_name) = 1",
            cdc_quote(s, schema), cdc_quote(s, schema), cdc_quote(s, table), cdc_quote(s, table)));
}

static int
captured_columns(struct session *s, const struct proc_call *call)
{
    const char *instance = proc_text(s, call, "@capture_instance", 0, "");

    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    return cdc_answer(
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
               cdc_quote(s, instance)));
}

static int
ddl_history(struct session *s, const struct proc_call *call)
{
    return cdc_answer(
        s, arena_printf(&s->exec_arena,
                        "SELECT s.name AS source_schema, t.name AS source_table, "
                        "ct.capture_instance, h.required_column_update, h.ddl_command, h.ddl_lsn, "
                        "h.ddl_time FROM cdc.ddl_history h JOIN cdc.change_tables ct ON "
                        "ct.object_id = h.object_id JOIN sys.tables t ON t.object_id = "
                        "ct.source_object_id JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE "
                        "ct.capture_instance = %s ORDER BY h.ddl_lsn",
                        cdc_quote(s, proc_text(s, call, "@capture_instance", 0, ""))));
}

int
cdc_note_ddl(struct session *s, struct table *t, const char *command, bool required_update)
{
    struct sbuf o = {0};
    int rc;

    if (t->n_instances == 0 || s->cdc_internal)
        return 0;
    if (cdc_begin_statement(s, t->db) != 0 || cdc_next_row(s) != 0)
        return -1;
    for (int i = 0; i < t->n_instances; i++)
        sbuf_fmt(&o,
                 "INSERT INTO cdc.ddl_history SELECT source_object_id, object_id, %d, %s, %s, "
                 "GETDATE() FROM cdc.change_tables WHERE object_id = %d;",
                 required_update, cdc_quote(s, command), cdc_lsn_text(s, s->cdc.seqval),
                 t->instances[i].object_id);
    rc = cdc_at_capture(s, t->db, o.data);
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
        return cdc_enable_table(s, call);
    if (strcasecmp(name, "disable_table") == 0)
        return disable_table(s, call);
    if (strcasecmp(name, "cleanup_change_table") == 0)
        return cdc_cleanup_table(s, call);
    if (strcasecmp(name, "help_change_data_capture") == 0)
        return help_capture(s, call);
    if (strcasecmp(name, "get_captured_columns") == 0)
        return captured_columns(s, call);
    if (strcasecmp(name, "get_ddl_history") == 0)
        return ddl_history(s, call);
    *known = false;
    return cdc_job_procedure(s, call, name, known);
}

/* The database is switched by a sysadmin, the rest is done by its owner too. */
static int
authorized(struct session *s, const char *name)
{
    bool switches =
        strcasecmp(name, "sp_cdc_enable_db") == 0 || strcasecmp(name, "sp_cdc_disable_db") == 0;

    if (s->sysadmin ||
        ((!switches || flavour_of(s->engine) == FLAVOUR_AZURE) && security_is_owner(s, s->current)))
        return 0;
    return sqlerr_set(&s->error, switches ? 22902 : 22904, 16, 1,
                      "Caller is not authorized to initiate the requested action. %s required.",
                      switches ? "Sysadmin permissions are" : "DBO privileges are");
}

bool
cdc_procedure(struct session *s, const struct proc_call *call, int *rc)
{
    const char *name = call->name->object;
    struct database *home = s->current;
    bool own = false;
    bool known;

    if (strncasecmp(name, "sp_cdc_", 7) != 0 && strcasecmp(name, "sp_MScdc_cleanup_job") != 0)
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
    if (strncasecmp(name, "sp_cdc_help_c", 13) != 0 && strncasecmp(name, "sp_cdc_get", 10) != 0) {
        *rc = authorized(s, name);
        own = s->trancount == 0 && *rc == 0 && !cdc_steers_job(name);
    }
    if (own) /* all steps in one transaction */
        (void)tx_begin(s, NULL);
    if (*rc == 0)
        *rc = dispatch(s, call, strncasecmp(name, "sp_cdc_", 7) == 0 ? name + 7 : name, &known);
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
