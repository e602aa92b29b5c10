#include "tests/mssqld/sql/sysview.h"

#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/rights.h"
#include "tests/mssqld/sql/sysview_parts.h"

static const struct sysview VIEWS[] = {
    {"sys", "databases",
     "name s!,database_id i!,source_database_id i,owner_sid v,create_date d!,compatibility_level "
     "t!,collation_name s,user_access t,user_access_desc n,is_read_only b,state t,state_desc "
     "n,snapshot_isolation_state t,snapshot_isolation_state_desc n,is_read_committed_snapshot_on "
     "b,recovery_model t,recovery_model_desc n,is_cdc_enabled b!,service_broker_guid "
     "u!,is_broker_enabled b!,is_published b!,replica_id u,group_database_id u,log_reuse_wait_desc "
     "n,is_encrypted b,is_accelerated_database_recovery_on b,delayed_durability "
     "i,delayed_durability_desc n",
     "SELECT name, id, NULL, x'01', created, 160, coalesce(CASE id WHEN %ID% THEN (SELECT v FROM "
     "D.sys_meta WHERE k = 'collation') END, 'SQL_Latin1_General_CP1_CI_AS'), 0, 'MULTI_USER', "
     "read_only, CASE WHEN state < 20 THEN state ELSE 0 END, CASE state WHEN 1 THEN 'RESTORING' "
     "WHEN 2 THEN 'RECOVERING' WHEN 4 THEN 'SUSPECT' WHEN 6 THEN 'OFFLINE' ELSE 'ONLINE' END, "
     "snapshot, CASE snapshot WHEN 1 THEN 'ON' ELSE 'OFF' END, rcsi, 1, 'FULL', cdc, broker, 1, 0, "
     "grp, grp, CASE cdc WHEN 1 THEN 'REPLICATION' ELSE 'NOTHING' END, 0, 0, 0, 'DISABLED' FROM "
     "d1.srv_databases"},
    {"sys", "database_recovery_status",
     "database_id i!,database_guid u,family_guid u,last_log_backup_lsn N,recovery_fork_guid "
     "u,first_recovery_fork_guid u,fork_point_lsn N",
     "SELECT id, guid, family, NULL, fork, first_fork, ms_lsn_number(fork_lsn) FROM "
     "d1.srv_databases WHERE ms_has_perms_by_name(NULL, NULL, 'VIEW SERVER STATE')"},
    {"sys", "schemas", "name s!,schema_id i!,principal_id i",
     "SELECT name, schema_id, principal_id FROM D.sys_schemas"},
    {"sys", "tables",
     "name s!,object_id i!,principal_id i,schema_id i!,parent_object_id i!,type c,type_desc "
     "n,create_date d!,modify_date d!,is_ms_shipped b!,is_published b!,is_replicated "
     "b,is_tracked_by_cdc b,temporal_type t,temporal_type_desc n,is_memory_optimized b,is_external "
     "b!,lob_data_space_id i!,max_column_id_used i!",
     "SELECT name, object_id, NULL, schema_id, 0, 'U ', 'USER_TABLE', created, created, shipped, "
     "0, "
     "0, tracked, CASE WHEN EXISTS (SELECT 1 FROM D.sys_columns p WHERE p.object_id = o.object_id "
     "AND p.sparse & 8) THEN 2 ELSE 0 END, CASE WHEN EXISTS (SELECT 1 FROM D.sys_columns p WHERE "
     "p.object_id = o.object_id AND p.sparse & 8) THEN 'SYSTEM_VERSIONED_TEMPORAL_TABLE' ELSE "
     "'NON_TEMPORAL_TABLE' END, 0, 0, 0, (SELECT max(column_id) FROM D.sys_columns c "
     "WHERE c.object_id = o.object_id) FROM D.sys_objects o WHERE type = 'U' AND %SEEN%"},
    {"sys", "objects",
     "name s!,object_id i!,principal_id i,schema_id i!,parent_object_id i!,type c,type_desc "
     "n,create_date d!,modify_date d!,is_ms_shipped b!,is_published b!,is_schema_published b!",
     "SELECT name, object_id, NULL, schema_id, 0, substr(type || ' ', 1, 2), CASE type WHEN 'U' "
     "THEN 'USER_TABLE' WHEN 'IF' THEN 'SQL_INLINE_TABLE_VALUED_FUNCTION' ELSE "
     "'SQL_STORED_PROCEDURE' END, created, created, shipped, 0, 0 FROM D.sys_objects o WHERE "
     "%SEEN%"},
    {"sys", "procedures",
     "name s!,object_id i!,schema_id i!,type c,type_desc n,create_date d!,modify_date d!",
     "SELECT name, object_id, schema_id, 'P ', 'SQL_STORED_PROCEDURE', created, created FROM "
     "D.sys_objects WHERE type = 'P'"},
    {"sys", "columns",
     "object_id i!,name s,column_id i!,system_type_id t!,user_type_id i!,max_length m!,precision "
     "t!,scale t!,collation_name s,is_nullable b,is_ansi_padded b!,is_rowguidcol b!,is_identity "
     "b!,is_computed b!,is_filestream b!,is_replicated b,default_object_id i!,is_sparse "
     "b,is_column_set b,generated_always_type t,generated_always_type_desc n,encryption_type "
     "i,encryption_type_desc n,is_hidden b!,is_masked b!",
     "SELECT object_id, name, column_id, ms_type_info(type,'s'), coalesce(user_type + 0, "
     "ms_type_info(type,'u')), ms_type_info(type,'l'), ms_type_info(type,'p'), "
     "ms_type_info(type,'c'), "
     "ms_collation(collation), nullable, 1, rowguid, is_identity, computed_text IS NOT NULL, 0, 0, "
     "CASE WHEN default_text IS NULL THEN 0 ELSE object_id + column_id END, sparse & 1, (sparse >> "
     "1) & 1, (sparse >> 3) & 3, CASE (sparse >> 3) & 3 WHEN 1 THEN 'AS_ROW_START' WHEN 2 THEN "
     "'AS_ROW_END' ELSE 'NOT_APPLICABLE' END, NULL, NULL, (sparse >> 2) & 1, 0 FROM D.sys_columns "
     "o WHERE %SEEN%"},
    {"sys", "identity_columns",
     "object_id i!,name s,column_id i!,seed_value V,increment_value V,last_value V",
     "SELECT object_id, name, column_id, NULL, NULL, NULL FROM D.sys_columns WHERE is_identity"},
    {"sys", "computed_columns",
     "object_id i!,name s,column_id i!,definition S,is_persisted b!,is_computed b!",
     "SELECT object_id, name, column_id, computed_text, 0, 1 FROM D.sys_columns WHERE "
     "computed_text "
     "IS NOT NULL"},
    {"sys", "default_constraints",
     "name s!,object_id i!,parent_object_id i!,parent_column_id i!,definition S",
     "SELECT coalesce(default_name, 'DF__' || object_id || '_' || column_id), object_id + "
     "column_id, object_id, column_id, '(' || default_text || ')' FROM D.sys_columns WHERE "
     "default_text IS NOT NULL"},
    {"sys", "types",
     "name s!,system_type_id t!,user_type_id i!,schema_id i!,principal_id i,max_length "
     "m!,precision t!,scale t!,collation_name s,is_nullable b,is_user_defined b!,is_assembly_type "
     "b!,is_table_type b!",
     "SELECT name, sid, uid, 4, NULL, len, prec, sc, coll, 1, 0, asm, 0 FROM (%TYPES%) UNION ALL "
     "SELECT name, ms_type_info(type,'s'), user_type_id, schema_id, NULL, ms_type_info(type,'l'), "
     "ms_type_info(type,'p'), ms_type_info(type,'c'), NULL, nullable, 1, 0, 0 FROM D.sys_types"},
    {"sys", "key_constraints",
     "name s!,object_id i!,schema_id i!,parent_object_id i!,type c,type_desc n,unique_index_id i",
     "SELECT i.name, i.object_id + i.index_id, o.schema_id, i.object_id, CASE is_primary WHEN 1 "
     "THEN 'PK' ELSE 'UQ' END, CASE is_primary WHEN 1 THEN 'PRIMARY_KEY_CONSTRAINT' ELSE "
     "'UNIQUE_CONSTRAINT' END, i.index_id FROM D.sys_indexes i JOIN D.sys_objects o ON o.object_id "
     "= i.object_id WHERE is_constraint"},
    {"sys", "database_principals",
     "name s!,principal_id i!,type c,type_desc n,default_schema_name s,sid v,is_fixed_role b!",
     "SELECT name, principal_id, type || ' ', CASE type WHEN 'R' THEN 'DATABASE_ROLE' ELSE "
     "'SQL_USER' END, 'dbo', x'01', principal_id BETWEEN 16384 AND 16400 FROM D.sys_principals"},
    {"sys", "database_role_members", "role_principal_id i!,member_principal_id i!",
     "SELECT role_id, member_id FROM D.sys_members"},
    {"sys", "server_principals", "name s!,principal_id i!,type c,type_desc n,is_disabled b",
     "SELECT 'sa', 1, 'S ', 'SQL_LOGIN', 0 UNION ALL SELECT name, id + 256, 'S ', 'SQL_LOGIN', 0 "
     "FROM d1.srv_logins"},
    {"sys", "change_tracking_databases", "database_id i!", "SELECT 0 WHERE 0"},
    {"sys", "change_tracking_tables", "object_id i!", "SELECT 0 WHERE 0"},
    {"sys", "configurations", "configuration_id i!,name s!,value V,value_in_use V",
     "SELECT 1536, 'max text repl size (B)', ms_max_text_repl_size(), ms_max_text_repl_size()"},
    {"sys", "dm_tran_current_transaction", "transaction_id I!,transaction_is_snapshot b",
     "SELECT ms_current_transaction_id(), ms_is_snapshot()"},
    {"sys", "dm_tran_database_transactions",
     "transaction_id I!,database_id i!,database_transaction_begin_lsn "
     "N,database_transaction_most_recent_savepoint_lsn N,database_transaction_commit_lsn "
     "N,database_transaction_last_lsn N",
     "SELECT ms_current_transaction_id(), %ID%, ms_lsn_number(ms_savepoint_lsn()), "
     "ms_lsn_number(ms_savepoint_lsn()), NULL, ms_lsn_number(ms_log_end(%ID%)) WHERE "
     "ms_xact_state() <> 0"},
    {"sys", "dm_exec_sessions",
     "session_id m!,login_name s!,host_name s,program_name s,database_id m!,status n!",
     "SELECT ms_spid(), ms_suser_sname(), ms_host_name(), ms_app_name(), %ID%, 'running'"},
    {"sys", "dm_db_log_stats", "database_id i,log_end_lsn n",
     "SELECT %ID%, ms_lsn_text(ms_log_end(%ID%))"},
    {"sys", "fn_my_permissions", "entity_name s,subentity_name s,permission_name n",
     "SELECT coalesce(%1%, lower(%2%)), '', value FROM json_each(ms_my_permissions(%1%, %2%))"},
    {"INFORMATION_SCHEMA", "TABLES", "TABLE_CATALOG s,TABLE_SCHEMA s,TABLE_NAME s!,TABLE_TYPE s",
     "SELECT ms_db_name(%ID%), s.name, o.name, 'BASE TABLE' FROM D.sys_objects o JOIN "
     "D.sys_schemas "
     "s ON s.schema_id = o.schema_id WHERE type = 'U'"},
    {"INFORMATION_SCHEMA", "SCHEMATA", "CATALOG_NAME s,SCHEMA_NAME s!",
     "SELECT ms_db_name(%ID%), name FROM D.sys_schemas"},
    {"INFORMATION_SCHEMA", "COLUMNS",
     "TABLE_CATALOG s,TABLE_SCHEMA s,TABLE_NAME s!,COLUMN_NAME s,ORDINAL_POSITION i,COLUMN_DEFAULT "
     "S,IS_NULLABLE n,DATA_TYPE s,CHARACTER_MAXIMUM_LENGTH i,NUMERIC_PRECISION "
     "t,NUMERIC_PRECISION_RADIX m,NUMERIC_SCALE i,DATETIME_PRECISION m,COLLATION_NAME s",
     "SELECT ms_db_name(%ID%), s.name, o.name, c.name, c.column_id, '(' || c.default_text || ')', "
     "CASE c.nullable WHEN 1 THEN 'YES' ELSE 'NO' END, ms_type_info(c.type,'n'), "
     "ms_type_info(c.type,'L'), ms_type_info(c.type,'P'), ms_type_info(c.type,'R'), "
     "ms_type_info(c.type,'C'), ms_type_info(c.type,'D'), ms_collation(c.collation) FROM "
     "D.sys_columns c JOIN D.sys_objects o ON o.object_id = c.object_id JOIN D.sys_schemas s ON "
     "s.schema_id = o.schema_id WHERE o.type = 'U'"},
};

static struct sql_type
type_of_letter(char c)
{
    switch (c) {
    case 'I':
        return type_make(SQL_BIGINT);
    case 'm':
        return type_make(SQL_SMALLINT);
    case 't':
        return type_make(SQL_TINYINT);
    case 'b':
        return type_make(SQL_BIT);
    case 's':
        return type_sized(SQL_NVARCHAR, 128);
    case 'n':
        return type_sized(SQL_NVARCHAR, 60);
    case 'S':
        return type_sized(SQL_NVARCHAR, 4000);
    case 'c':
        return type_sized(SQL_CHAR, 2);
    case 'd':
        return type_make(SQL_DATETIME);
    case 'l':
        return type_sized(SQL_BINARY, 10);
    case 'u':
        return type_make(SQL_UNIQUEIDENTIFIER);
    case 'v':
        return type_sized(SQL_VARBINARY, SQL_LENGTH_MAX);
    case 'N':
        return type_decimal(25, 0);
    case 'V':
        return type_make(SQL_VARIANT);
    case 'r':
        return type_make(SQL_REAL);
    default:
        return type_make(SQL_INT);
    }
}

/* "name i!,other s" into columns whose SQL is alias."name". */
static void
make_columns(struct binder *b, const char *list, const char *alias, struct rel *out)
{
    while (*list != '\0') {
        size_t n = strcspn(list, " ");
        struct rel_column c = {.name = arena_strndup(b->arena, list, n)};
        const char *end = list + strcspn(list, ",");

        c.type = type_of_letter(list[n + 1]);
        c.type.nullable = list[n + 2] != '!';
        c.sql = arena_printf(b->arena, "%s.\"%s\"", alias, c.name);
        out->columns = arena_push(b->arena, out->columns, out->n_columns, sizeof *out->columns);
        out->columns[out->n_columns++] = c;
        list = *end == ',' ? end + 1 : end;
    }
}

static void
emit_types(struct sbuf *o)
{
    for (int i = 0; i <= SQL_GEOGRAPHY; i++) {
        struct sql_type t = type_make((enum sql_base)i);

        if (type_is_text(t.base) || type_is_binary(t.base))
            t.length = type_is_wide(t.base) ? 4000 : 8000;
        sbuf_fmt(o,
                 "%s SELECT '%s' AS name, %d AS sid, %d AS uid, %d AS len, %d AS prec, %d AS sc, "
                 "%s AS coll, %d AS asm",
                 i > 0 ? " UNION ALL" : "", type_name(t.base), type_system_id(t.base),
                 type_user_id(t.base), type_max_length(&t), type_precision(&t), type_scale(&t),
                 type_is_text(t.base) && t.base != SQL_XML ? "'SQL_Latin1_General_CP1_CI_AS'"
                                                           : "NULL",
                 t.base >= SQL_HIERARCHYID);
    }
    sbuf_add(o, " UNION ALL SELECT 'sysname', 231, 256, 256, 0, 0, 'SQL_Latin1_General_CP1_CI_AS', "
                "0");
}

/* SQLite's name of msdb.dbo.cdc_jobs. */
static const char *
cdc_jobs(struct binder *b)
{
    struct name name = {.database = "msdb", .schema = "dbo", .object = "cdc_jobs"};
    bool internal = b->s->cdc_internal;
    struct table *t;

    b->s->cdc_internal = true; /* it is the view that looks there, whoever may not */
    t = catalog_find(b->s, &name, 'U');
    b->s->cdc_internal = internal;
    return t != NULL ? catalog_sql_name(t, b->arena) : "(SELECT 1 WHERE 0)";
}

/*
 * Writes the query with its marks replaced: "D." the schema, %ID% the number, %TYPES%, and
 * %CDCJOBS% the table of jobs; %1%, %2% arguments; %SEEN% whether the caller may know of object
 * o.object_id.
 */
static void
emit_view(struct binder *b, const struct sysview *v, struct database *d, const struct from *f,
          struct sbuf *o)
{
    bool all = b->s->cdc_internal || b->s->sysadmin || security_is_owner(b->s, d);
    struct sql_type text = type_sized(SQL_NVARCHAR, SQL_LENGTH_MAX);
    const char *jobs = strstr(v->sql, "%CDCJOBS%") != NULL ? cdc_jobs(b) : "";
    char schema[16];
    char id[16];

    (void)snprintf(schema, sizeof schema, "d%d.", d->id);
    (void)snprintf(id, sizeof id, "%d", d->id);
    for (const char *p = v->sql; *p != '\0';) {
        bool word = p > v->sql && (p[-1] == ' ' || p[-1] == '(');

        if (word && strncmp(p, "D.", 2) == 0) {
            sbuf_add(o, schema);
            p += 2;
        } else if (strncmp(p, "%ID%", 4) == 0) {
            sbuf_add(o, id);
            p += 4;
        } else if (strncmp(p, "%TYPES%", 7) == 0) {
            emit_types(o);
            p += 7;
        } else if (strncmp(p, "%1%", 3) == 0 || strncmp(p, "%2%", 3) == 0) {
            int i = p[1] - '1';

            if (i < f->n_args)
                emit_as(b, o, f->args[i], &text);
            else
                sbuf_add(o, "NULL");
            p += 3;
        } else if (strncmp(p, "%SEEN%", 6) == 0) {
            sbuf_add(o, all ? "(1" : "(ms_visible(");
            if (!all)
                sbuf_fmt(o, "%d,o.object_id)", d->id);
            sbuf_add(o, ")");
            p += 6;
        } else if (strncmp(p, "%CDCJOBS%", 9) == 0) {
            sbuf_add(o, jobs);
            p += 9;
        } else {
            sbuf_addn(o, p++, 1);
        }
    }
}

static const struct sysview *
find_view(const char *schema, const char *name)
{
    static const struct sysview *const MORE[] = {SYSVIEWS_JOBS, SYSVIEWS_STORAGE};

    for (size_t i = 0; i < sizeof VIEWS / sizeof VIEWS[0]; i++)
        if (strcasecmp(VIEWS[i].schema, schema) == 0 && strcasecmp(VIEWS[i].name, name) == 0)
            return &VIEWS[i];
    for (size_t k = 0; k < sizeof MORE / sizeof MORE[0]; k++)
        for (const struct sysview *v = MORE[k]; v->schema != NULL; v++)
            if (strcasecmp(v->schema, schema) == 0 && strcasecmp(v->name, name) == 0)
                return v;
    return NULL;
}

/* What a view of the state asks of its reader. */
static char
right_of(const char *name)
{
    static const struct {
        const char *name;
        char right;
    } RIGHTS[] = {
        {"dm_cdc_errors", 'D'},
        {"dm_cdc_log_scan_sessions", 'D'},
        {"dm_db_partition_stats", 'D'},
        {"dm_tran_current_transaction", 'S'},
        {"dm_tran_database_transactions", 'S'},
        {"dm_db_log_stats", 'S'},
        {"dm_server_services", 'S'},
        {"sysjobs", 'J'},
        {"sysjobactivity", 'J'},
        {"sysjobhistory", 'J'},
        {"sysjobservers", 'J'},
        {"syssessions", 'J'},
    };

    for (size_t i = 0; i < sizeof RIGHTS / sizeof RIGHTS[0]; i++)
        if (strcasecmp(RIGHTS[i].name, name) == 0)
            return RIGHTS[i].right;
    return '\0';
}

/* Arguments of a table-valued function: %1% and %2%; one that is not given is NULL. */
static int
bind_arguments(struct binder *b, const struct from *f)
{
    for (int i = 0; i < f->n_args; i++)
        if (bind_expr(b, f->args[i]) != 0)
            return -1;
    return 0;
}

int
sysview_bind(struct binder *b, struct database *d, const char *schema, const struct from *f,
             const char *sql_alias, struct rel *out, struct sbuf *o)
{
    const char *name = f->name.object;
    bool msdb = d->id == DB_MSDB && (schema[0] == '\0' || strcasecmp(schema, "dbo") == 0);
    const struct sysview *v = find_view(msdb ? "msdb" : schema, name);

    if (v == NULL || !flavour_has_view(b->s->engine, v->name) ||
        session_attach(b->s, engine_database_id(b->s->engine, DB_MASTER)) != 0)
        return 0;
    if (rights_require_state(b->s, d, v->name, right_of(v->name)) != 0 || bind_arguments(b, f) != 0)
        return -1;
    *out = (struct rel){.name = v->name, .schema = v->schema};
    make_columns(b, v->columns, sql_alias, out);
    /* A WITH clause names the columns, since the query need not. */
    sbuf_add(o, "(WITH v(");
    for (int i = 0; i < out->n_columns; i++)
        sbuf_fmt(o, "%s\"%s\"", i > 0 ? "," : "", out->columns[i].name);
    sbuf_add(o, ") AS (");
    emit_view(b, v, d, f, o);
    sbuf_add(o, ") SELECT ");
    for (int i = 0; i < out->n_columns; i++) {
        sbuf_add(o, i > 0 ? "," : "");
        flavour_emit_column(b->s->engine, d, v->name, out->columns[i].name,
                            type_is_text(out->columns[i].type.base), o);
    }
    sbuf_fmt(o, " FROM v) AS %s", sql_alias);
    return 1;
}
