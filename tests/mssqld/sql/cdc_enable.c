/* sys.sp_cdc_enable_table: the change table and what describes it. */
#include <strings.h>

#include "tests/mssqld/sql/cdc_parts.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/security.h"

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
             cdc_bracket(s, arena_printf(&s->exec_arena, "%s_CT", instance)));
    for (int i = 0; i < t->n_columns; i++) {
        struct sql_type ct = t->columns[i].type;

        if (!chosen[i])
            continue;
        if (ct.base == SQL_ROWVERSION)
            ct = type_sized(SQL_BINARY, 8);
        sbuf_fmt(&o, ", %s %s", cdc_bracket(s, t->columns[i].name),
                 type_describe(&ct, type, sizeof type));
        if (type_is_text(ct.base) && ct.base != SQL_XML)
            sbuf_fmt(&o, " COLLATE %s", collation_name(ct.collation, coll, sizeof coll));
        sbuf_add(&o, " NULL");
    }
    /* A key whose columns may be NULL is no PRIMARY KEY: it is made a unique index instead. */
    if (atomic_load(&s->current->command_ids) == NO_COMMAND_IDS)
        sbuf_add(&o, ", PRIMARY KEY ([__$start_lsn], [__$seqval], [__$operation]))");
    else
        sbuf_fmt(&o,
                 ", [__$command_id] int, %s ([__$start_lsn], [__$command_id], [__$seqval], "
                 "[__$operation]))",
                 atomic_load(&s->current->command_ids) == NULL_COMMAND_IDS ? "UNIQUE"
                                                                           : "PRIMARY KEY");
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
                     ct, cdc_quote(s, t->columns[i].name), t->columns[i].id,
                     type_name(t->columns[i].type.base), ++ordinal,
                     t->columns[i].computed_text != NULL);
    for (int i = 0; key != NULL && i < key->n_columns; i++)
        sbuf_fmt(&o, "INSERT INTO cdc.index_columns VALUES (%d, %s, %d, %d);", ct,
                 cdc_quote(s, t->columns[key->columns[i]].name), i + 1,
                 t->columns[key->columns[i]].id);
    rc = cdc_run(s, o.data);
    sbuf_free(&o);
    return rc;
}

/* A mapping row of its own gives the instance its first LSN, once that row is captured. */
static int
first_lsn(struct session *s, struct table *ct, const char *insert)
{
    if (cdc_run(s, insert) != 0 ||
        cdc_at_capture(s, s->current,
                       arena_printf(&s->exec_arena,
                                    "UPDATE cdc.change_tables SET start_lsn = %s WHERE object_id = "
                                    "%d",
                                    cdc_lsn_text(s, s->cdc.commit_lsn), ct->object_id)) != 0)
        return -1;
    return session_sqlf(
        s,
        "CREATE TABLE d%d.p%d AS SELECT * FROM d%d.t%d; CREATE INDEX d%d.x%d ON "
        "p%d(c1); UPDATE d%d.sys_columns SET nullable = 1 WHERE object_id = %d AND name = "
        "'__$command_id'; UPDATE d%d.sys_indexes SET is_primary = 0, is_constraint "
        "= 0, name = %s WHERE object_id = %d",
        s->current->id, ct->object_id, s->current->id, ct->object_id, s->current->id, ct->object_id,
        ct->object_id, s->current->id, ct->object_id, s->current->id,
        cdc_quote(s, arena_printf(&s->exec_arena, "%s_clustered_idx", ct->name)) + 1,
        ct->object_id);
}

/* The key rows are told apart by, the columns captured: refused when they do not fit. */
static int
check_choice(struct session *s, const struct table *t, const struct key *key, const char *index,
             bool net, const bool *chosen)
{
    if (index != NULL && key == NULL)
        return sqlerr_set(&s->error, 22831, 16, 1,
                          "Could not find unique index '%s' for table '%s.%s'.", index, t->schema,
                          t->name);
    if (net && key == NULL)
        return sqlerr_set(&s->error, 22939, 16, 1,
                          "The parameter @supports_net_changes is set to 1, but the source table "
                          "does not have a primary key defined and no alternate unique index has "
                          "been specified.");
    for (int i = 0; key != NULL && i < key->n_columns; i++) {
        const struct column *c = &t->columns[key->columns[i]];

        if (index != NULL && c->type.nullable)
            return sqlerr_set(&s->error, 22838, 16, 1,
                              "All columns of a CDC unique key must be defined as NOT NULL. Index "
                              "'%s' selected as the CDC unique key for source table '%s.%s' does "
                              "not meet this requirement.",
                              index, t->schema, t->name);
        if (!chosen[key->columns[i]])
            return sqlerr_set(&s->error, 22912, 16, 1,
                              "The key column '%s' must be in the captured column list.", c->name);
    }
    return 0;
}

/* The gating role: made when the database has none of that name. */
static int
make_role(struct session *s, const char *role)
{
    if (role == NULL || session_int(s, 0, "SELECT count(*) FROM d%d.sys_principals WHERE name = %s",
                                    s->current->id, cdc_quote(s, role) + 1) > 0)
        return 0;
    return security_create_role(s, role);
}

/*
 * The catalog's rows of cdc.fn_cdc_get_all_changes_<instance>, which everybody may see and call:
 * the gating role and the rights on the source decide what it answers.
 */
static int
make_function(struct session *s, const struct table *ct, const char *instance)
{
    int64_t id = catalog_next_id(s, s->current);
    int d = s->current->id;

    return session_sqlf(
        s,
        "INSERT INTO d%d.sys_objects(object_id, schema_id, name, type, created, shipped) SELECT "
        "%lld, schema_id, %s, 'IF', created, 1 FROM d%d.sys_objects WHERE object_id = %d; INSERT "
        "INTO d%d.sys_columns SELECT %lld, row_number() OVER (ORDER BY column_id), name, type, "
        "collation, 1, 0, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL FROM d%d.sys_columns WHERE "
        "object_id = %d AND name NOT IN ('__$end_lsn', '__$command_id')",
        d, (long long)id,
        cdc_quote(s, arena_printf(&s->exec_arena, "fn_cdc_get_all_changes_%s", instance)) + 1, d,
        ct->object_id, d, (long long)id, d, ct->object_id);
}

/* What cdc.change_tables says of the instance; from now on the source is tracked. */
static int
enlist(struct session *s, const struct proc_call *call, const struct name *ct_name, int source,
       const char *instance, const char *key_name)
{
    const char *role = proc_text(s, call, "@role_name", 4, NULL);
    struct table *ct = catalog_find(s, ct_name, 'U');
    const char *insert;

    if (ct == NULL || cdc_begin_statement(s, s->current) != 0)
        return -1;
    insert = arena_printf(&s->exec_arena,
                          "INSERT INTO cdc.change_tables VALUES (%d, 0, %d, %s, NULL, NULL, %d, 0, "
                          "%s, %s, NULL, GETDATE(), %d)",
                          ct->object_id, source, cdc_quote(s, instance),
                          proc_int(s, call, "@supports_net_changes", 3, key_name != NULL) != 0,
                          cdc_quote(s, role), cdc_quote(s, key_name),
                          proc_int(s, call, "@allow_partition_switch", 8, 1) != 0);
    if (first_lsn(s, ct, insert) != 0 ||
        session_sqlf(s,
                     "UPDATE d%d.sys_objects SET tracked = 1 WHERE object_id = %d; UPDATE "
                     "d%d.sys_objects SET parent_id = %d WHERE object_id = %d",
                     s->current->id, source, s->current->id, source, ct->object_id) != 0)
        return -1;
    return make_function(s, ct, instance);
}

/* Error 35353: a clustered columnstore index keeps no rows to capture. */
static int
check_storage(struct session *s, const struct table *t)
{
    sqlite3_stmt *q = session_prepare(
        s, arena_printf(&s->exec_arena,
                        "SELECT name FROM d%d.sys_indexes WHERE object_id = %d AND kind = 5",
                        t->db->id, t->object_id));
    int rc = q == NULL ? -1 : 0;

    if (rc == 0 && sqlite3_step(q) == SQLITE_ROW)
        rc = sqlerr_set(&s->error, 35353, 16, 1,
                        "Change Data Capture cannot be enabled on a table with a clustered "
                        "columnstore index. Consider dropping clustered columnstore index '%s' on "
                        "table '%s'.",
                        (const char *)sqlite3_column_text(q, 0), t->name);
    (void)sqlite3_finalize(q);
    return rc;
}

static int
enable_checked(struct session *s, const struct proc_call *call, struct table *t,
               const char *instance)
{
    const char *index = proc_text(s, call, "@index_name", 5, NULL);
    const char *list = proc_text(s, call, "@captured_column_list", 6, NULL);
    const struct key *key = identity_key(t, index);
    bool net = proc_int(s, call, "@supports_net_changes", 3, key != NULL) != 0;
    bool *chosen = arena_alloc(&s->exec_arena, (size_t)t->n_columns + 1);
    struct name ct_name = {.schema = "cdc"};
    int source = t->object_id;
    struct table *ct;

    if (check_storage(s, t) != 0 || choose_columns(s, t, list, chosen) != 0 ||
        check_choice(s, t, key, index, net, chosen) != 0 ||
        make_role(s, proc_text(s, call, "@role_name", 4, NULL)) != 0 ||
        cdc_run(s, change_table_sql(s, t, instance, chosen)) != 0)
        return -1;
    ct_name.object = arena_printf(&s->exec_arena, "%s_CT", instance);
    ct = catalog_find(s, &ct_name, 'U');
    t = catalog_find_id(s, s->current, source); /* the catalog moved on */
    if (ct == NULL || t == NULL)
        return -1;
    key = identity_key(t, index);
    if (describe_instance(s, t, ct->object_id, key, chosen) != 0 ||
        enlist(s, call, &ct_name, source, instance, key != NULL ? key->name : NULL) != 0)
        return -1;
    catalog_forget(s);
    engine_catalog_changed(s->engine);
    return cdc_create_jobs(s);
}

int
cdc_enable_table(struct session *s, const struct proc_call *call)
{
    struct name source = {.schema = proc_text(s, call, "@source_schema", 0, NULL),
                          .object = proc_text(s, call, "@source_name", 1, NULL)};
    const char *instance = proc_text(s, call, "@capture_instance", 2, NULL);
    struct table *t;
    size_t n;

    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
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
