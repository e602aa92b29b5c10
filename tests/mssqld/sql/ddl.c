/* CREATE, ALTER, DROP: the catalog's rows and the SQLite objects behind them. */
#include <strings.h>

#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/ddl_parts.h"
#include "tests/mssqld/sql/parse.h"
#include "tests/mssqld/sql/recovery.h"
#include "tests/mssqld/sql/security.h"
#include "tests/mssqld/sql/stats.h"

/* Binds up to four texts and runs; for catalog rows whose names need no quoting then. */
int
ddl_catalog_row(struct session *s, const char *a, const char *b, const char *c, const char *sql)
{
    sqlite3_stmt *q = session_prepare(s, sql);
    int rc;

    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, a, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, b, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 3, c, -1, SQLITE_STATIC);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rc;
}

static int64_t
now_ticks(const struct session *s)
{
    return s->now_local.days * TICKS_PER_DAY + datetime_grid(s->now_local.ticks);
}

int
ddl_begin(struct session *s, struct database *d)
{
    if (security_require_owner(s) != 0 || tx_begin_write(s, d, 0) != 0)
        return -1;
    s->ddl_in_tx = true;
    return 0;
}

/* After a change inside a transaction the own cache is stale at once. */
void
ddl_changed(struct session *s)
{
    catalog_forget(s);
    engine_catalog_changed(s->engine);
}

static struct database *
database_of(struct session *s, const struct name *name)
{
    return catalog_database(s, name);
}

static int
new_object(struct session *s, struct database *d, const struct name *name, const char *type,
           const char *definition, bool norowid, int64_t *id)
{
    const char *schema = name->schema != NULL ? name->schema : "dbo";
    int schema_id = catalog_schema_id(s, d, schema);

    if (schema_id < 0)
        return sqlerr_set(&s->error, 2760, 16, 1,
                          "The specified schema name \"%s\" either does not exist or you do not "
                          "have permission to use it.",
                          schema);
    if (catalog_find(s, name, 0) != NULL)
        return sqlerr_set(&s->error, 2714, 16, 6,
                          "There is already an object named '%s' in the database.", name->object);
    *id = catalog_next_id(s, d);
    return ddl_catalog_row(
        s, name->object, definition, type,
        arena_printf(&s->exec_arena,
                     "INSERT INTO d%d.sys_objects(object_id, schema_id, name, "
                     "definition, type, created, shipped, norowid) VALUES (%lld, "
                     "%d, ?1, ?2, ?3, %lld, %d, %d)",
                     d->id, (long long)*id, schema_id, (long long)now_ticks(s), s->cdc_internal,
                     norowid));
}

/* SQLite expression of a computed column over the columns before it; sets its type. */
static int
computed_sql(struct session *s, const struct stmt *x, int first_id, struct column_def *c,
             struct sbuf *out)
{
    struct arena a = {0};
    struct lexed l = {0};
    struct frame f = {.arena = &a};
    struct query q = {0};
    struct binder b = {.s = s, .frame = &f, .arena = &a, .q = &q};
    struct rel rel = {.name = ""};
    struct scope sc = {.rels = &rel, .n_rels = 1};
    struct expr *e;
    int rc = -1;

    b.scope = &sc;
    rel.columns = arena_alloc(&a, (size_t)(x->n_defs + 1) * sizeof *rel.columns);
    for (int i = 0; i < x->n_defs; i++)
        if (x->defs[i].computed_text == NULL) {
            rel.columns[rel.n_columns].name = x->defs[i].name;
            rel.columns[rel.n_columns].type = x->defs[i].type;
            rel.columns[rel.n_columns++].sql = arena_printf(&a, "c%d", first_id + i);
        }
    if (lex(c->computed_text, &a, &l, &s->error) == 0 &&
        parse_single_expr(&l, &a, &e, &s->error) == 0) {
        /* No parameters in a schema: literals stay as they are, texts in quotes. */
        for (int i = 0; i < l.n_literals; i++)
            l.literals[i].lifted = false;
        f.literals = l.literals;
        if (bind_expr(&b, e) == 0) {
            emit_expr(&b, out, e);
            c->type = e->type;
            c->type.nullable = true;
            c->type.identity = false;
            rc = q.n_binds == 0 ? 0
                                : sqlerr_set(&s->error, 50000, 16, 1,
                                             "Computed column '%s': only column names, functions "
                                             "and whole numbers are supported here.",
                                             c->name);
        }
    }
    sbuf_free(&l.key);
    arena_free(&a);
    return rc;
}

int
ddl_new_column(struct session *s, struct database *d, int64_t object_id, int column_id,
               struct column_def *c)
{
    sqlite3_stmt *q = session_prepare(
        s, arena_printf(&s->exec_arena,
                        "INSERT INTO d%d.sys_columns VALUES (%lld,%d,?1,?2,?3,%d,%d,%lld,%lld,?4,"
                        "?5,?6,%d,%d,?7)",
                        d->id, (long long)object_id, column_id, c->type.nullable, c->identity,
                        (long long)c->seed, (long long)c->increment, (int)c->flags, c->rowguid));
    int rc;

    if (q == NULL)
        return -1;
    (void)sqlite3_bind_text(q, 1, c->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(q, 2, type_pack(&c->type));
    if (type_is_text(c->type.base) && c->type.base != SQL_XML)
        (void)sqlite3_bind_blob(q, 3, c->type.collation, 5, SQLITE_TRANSIENT);
    (void)sqlite3_bind_text(q, 4, c->default_text, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 5, c->default_name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 6, c->computed_text, -1, SQLITE_STATIC);
    if (c->alias_id != 0)
        (void)sqlite3_bind_int(q, 7, c->alias_id);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rc;
}

int
ddl_column_sql(struct session *s, struct stmt *x, int first_id, int i, struct sbuf *sql)
{
    struct column_def *c = &x->defs[i];
    const char *collation = c->collation;

    if (ddl_alias(s, c, first_id + i) != 0)
        return -1;
    if (collation == NULL && type_is_text(c->type.base))
        collation = ddl_collation(s, s->current);
    if (collation != NULL && !collation_bytes(collation, c->type.collation))
        return sqlerr_set(&s->error, 448, 16, 3, "Invalid collation '%s'.", collation);
    if (c->type.base == SQL_ROWVERSION && !c->null_given)
        c->type.nullable = false;
    if (c->identity)
        c->type.nullable = false;
    sbuf_fmt(sql, "c%d", first_id + i);
    if (c->computed_text != NULL) {
        sbuf_add(sql, " AS (");
        if (computed_sql(s, x, first_id, c, sql) != 0)
            return -1;
        sbuf_add(sql, ") VIRTUAL");
    }
    if (type_is_text(c->type.base))
        sbuf_fmt(sql, " COLLATE %s", collation_sqlite(c->type.collation));
    return 0;
}

static int
create_table(struct session *s, struct stmt *x)
{
    struct database *d = database_of(s, &x->name);
    struct sbuf sql = {0};
    int64_t id = 0;
    int ids[32];
    bool norowid;
    int rc = d == NULL ? -1 : ddl_begin(s, d);

    ddl_gather_keys(s, x);
    norowid = s->cdc_internal && x->n_keys == 1 && x->keys[0].primary;
    for (int i = 0; i < x->n_keys && rc == 0; i++)
        rc = ddl_key_ids(s, x, &x->keys[i], ids);
    for (int i = 0; i < x->n_defs && rc == 0; i++)
        for (int k = 0; k < i; k++)
            if (strcasecmp(x->defs[i].name, x->defs[k].name) == 0)
                rc = sqlerr_set(&s->error, 2705, 16, 3,
                                "Column names in each table must be unique. Column name '%s' in "
                                "table '%s' is specified more than once.",
                                x->defs[i].name, x->name.object);
    if (rc == 0)
        rc = new_object(s, d, &x->name, "U", NULL, norowid, &id);
    if (rc == 0)
        sbuf_fmt(&sql, "CREATE TABLE d%d.t%lld(", d->id, (long long)id);
    for (int i = 0; i < x->n_defs && rc == 0; i++) {
        sbuf_add(&sql, i > 0 ? "," : "");
        rc = ddl_column_sql(s, x, 1, i, &sql);
        if (rc == 0)
            rc = ddl_new_column(s, d, id, i + 1, &x->defs[i]);
    }
    if (rc == 0 && norowid) {
        (void)ddl_key_ids(s, x, &x->keys[0], ids);
        for (int i = 0; i < x->keys[0].n_columns; i++)
            sbuf_fmt(&sql, "%sc%d", i == 0 ? ",PRIMARY KEY(" : ",", ids[i]);
        sbuf_add(&sql, ")");
    }
    if (rc == 0) {
        sbuf_add(&sql, norowid ? ") WITHOUT ROWID" : ")");
        rc = session_sql(s, sql.data);
    }
    for (int i = 0; i < x->n_keys && rc == 0; i++) {
        (void)ddl_key_ids(s, x, &x->keys[i], ids);
        rc = ddl_new_key(s, d, id, x->name.object, &x->keys[i], ids, true, !norowid);
    }
    if (rc == 0 && x->word != NULL)
        rc = partition_table(s, d, id, x->word, x->word2);
    sbuf_free(&sql);
    ddl_changed(s);
    return rc;
}

int
ddl_no_such_table(struct session *s, const struct name *name)
{
    if (s->error.number != 0)
        return -1;
    return sqlerr_set(&s->error, 4902, 16, 1,
                      "Cannot find the object \"%s\" because it does not exist or you do not have "
                      "permissions.",
                      name->object);
}

static int
drop_object(struct session *s, const struct name *name, char type, bool if_exists)
{
    struct table *t;
    int rc;

    s->error.number = 0;
    t = catalog_find(s, name, type);
    if (t == NULL) {
        if (s->error.number != 0 || if_exists)
            return s->error.number != 0 ? -1 : 0;
        return sqlerr_set(&s->error, 3701, 11, 5,
                          "Cannot drop the %s '%s', because it does not exist or you do not have "
                          "permission.",
                          type == 'U' ? "table" : "procedure", name->object);
    }
    if (ddl_begin(s, t->db) != 0)
        return -1;
    catalog_note_ddl(s, t);
    for (int i = 0; i < t->n_instances; i++)
        if (cdc_drop_instance(s, t->db, t->instances[i].object_id) != 0)
            return -1;
    rc = session_sqlf(
        s,
        "DELETE FROM d%d.sys_objects WHERE object_id = %d; DELETE FROM "
        "d%d.sys_columns WHERE object_id = %d; DELETE FROM d%d.sys_indexes WHERE "
        "object_id = %d; DELETE FROM d%d.sys_index_columns WHERE object_id = %d; "
        "DELETE FROM d%d.sys_permissions WHERE (class = 'OBJECT' OR class LIKE "
        "'COLUMN:%%') AND major_id = %d; DELETE FROM d%d.sys_histograms WHERE "
        "object_id = %d; DELETE FROM d%d.sys_stats_state WHERE object_id = %d; DELETE "
        "FROM d%d.sys_partitioned WHERE object_id = %d; "
        "DELETE FROM d%d.sys_meta WHERE k IN ('identity:%d', 'columns:%d')",
        t->db->id, t->object_id, t->db->id, t->object_id, t->db->id, t->object_id, t->db->id,
        t->object_id, t->db->id, t->object_id, t->db->id, t->object_id, t->db->id, t->object_id,
        t->db->id, t->object_id, t->db->id, t->object_id, t->object_id);
    if (rc == 0 && type == 'U') {
        /* Prepared statements on the table would keep it. */
        int db = t->db->id;
        int id = t->object_id;

        catalog_forget(s);
        rc = session_sqlf(s, "DROP TABLE d%d.t%d", db, id);
    }
    ddl_changed(s);
    return rc;
}

static int
create_schema(struct session *s, const char *name)
{
    int rc = ddl_begin(s, s->current);

    if (rc == 0 && catalog_schema_id(s, s->current, name) >= 0)
        return sqlerr_set(&s->error, 2714, 16, 6,
                          "There is already an object named '%s' in the database.", name);
    if (rc == 0)
        rc = ddl_catalog_row(
            s, name, NULL, NULL,
            arena_printf(&s->exec_arena,
                         "INSERT INTO d%d.sys_schemas SELECT max(schema_id) + 1, ?1, "
                         "1 FROM d%d.sys_schemas",
                         s->current->id, s->current->id));
    ddl_changed(s);
    return rc;
}

static int
drop_schema(struct session *s, const char *name)
{
    int id = catalog_schema_id(s, s->current, name);

    if (id < 5)
        return sqlerr_set(&s->error, 15151, 16, 1,
                          "Cannot drop the schema '%s', because it does not exist or you do not "
                          "have permission.",
                          name);
    if (session_int(s, 0, "SELECT count(*) FROM d%d.sys_objects WHERE schema_id = %d",
                    s->current->id, id) > 0)
        return sqlerr_set(&s->error, 3729, 16, 1,
                          "Cannot drop schema '%s' because it is being referenced by an object.",
                          name);
    if (ddl_begin(s, s->current) != 0)
        return -1;
    ddl_changed(s);
    return session_sqlf(s, "DELETE FROM d%d.sys_schemas WHERE schema_id = %d", s->current->id, id);
}

static int
create_procedure(struct session *s, struct stmt *x)
{
    struct database *d = database_of(s, &x->name);
    int64_t id;
    int rc = d == NULL ? -1 : ddl_begin(s, d);
    struct sbuf text = {0};
    char type[128];

    if (rc != 0)
        return rc;
    for (int i = 0; i < x->n_vars; i++)
        sbuf_fmt(&text, "%s%s %s%s", i > 0 ? ", " : "", x->vars[i].name,
                 type_describe(&x->vars[i].type, type, sizeof type),
                 x->vars[i].output ? " OUTPUT" : "");
    sbuf_fmt(&text, "\n%s", x->text);
    rc = drop_object(s, &x->name, 'P', true); /* ALTER and CREATE OR ALTER replace */
    if (rc == 0)
        rc = new_object(s, d, &x->name, "P", text.data, false, &id);
    sbuf_free(&text);
    ddl_changed(s);
    return rc;
}

static int
alter_database(struct session *s, const struct stmt *x)
{
    struct database *d = x->word == NULL ? s->current : engine_database(s->engine, x->word);
    bool on = strcasecmp(x->text, "ON") == 0;

    if (d == NULL)
        return sqlerr_set(&s->error, 5011, 14, 5,
                          "User does not have permission to alter database '%s', the database does "
                          "not exist, or the database is not in a state that allows access checks.",
                          x->word);
    if (strcasecmp(x->word2, "ALLOW_SNAPSHOT_ISOLATION") == 0)
        atomic_store(&d->snapshot_allowed, on);
    else if (strcasecmp(x->word2, "READ_COMMITTED_SNAPSHOT") == 0)
        atomic_store(&d->rcsi, on);
    else if (strcasecmp(x->word2, "ONLINE") == 0 || strcasecmp(x->word2, "OFFLINE") == 0)
        return recovery_set_state(s, d, x->word2);
    else if (strncasecmp(x->word2, "READ_", 5) == 0)
        return recovery_read_only(s, d, strcasecmp(x->word2, "READ_ONLY") == 0, false);
    engine_save_database(s->engine, d);
    return 0;
}

static int
outside_transaction(struct session *s, const char *what)
{
    if (s->trancount == 0)
        return 0;
    return sqlerr_set(&s->error, 226, 16, 6,
                      "%s statement not allowed within multi-statement transaction.", what);
}

static int
create_database(struct session *s, const struct stmt *x)
{
    uint8_t bytes[5];

    if (x->text != NULL && !collation_bytes(x->text, bytes))
        return sqlerr_set(&s->error, 448, 16, 3, "Invalid collation '%s'.", x->text);
    if (outside_transaction(s, "CREATE DATABASE") != 0 || engine_create_database(s, x->word) != 0)
        return -1;
    return x->text != NULL ? ddl_set_collation(s, x->word, x->text) : 0;
}

static int
ddl_one(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    int rc = 0;

    switch ((int)x->kind) {
    case STMT_CREATE_DATABASE:
        if (!s->sysadmin)
            return sqlerr_set(&s->error, 262, 14, 1,
                              "CREATE DATABASE permission denied in database 'master'.");
        return create_database(s, x);
    case STMT_DROP_DATABASE:
        for (int i = 0; i < x->n_names && rc == 0; i++)
            if (!x->if_exists || engine_database(s->engine, x->names[i].object) != NULL)
                rc = engine_drop_database(s, x->names[i].object);
        return rc;
    case STMT_ALTER_DATABASE:
        return alter_database(s, x);
    case STMT_CREATE_SCHEMA:
        return create_schema(s, x->word);
    case STMT_DROP_SCHEMA:
        return drop_schema(s, x->word);
    case STMT_CREATE_TYPE:
        return ddl_create_type(s, x);
    case STMT_DROP_TYPE:
        for (int i = 0; i < x->n_names && rc == 0; i++)
            rc = ddl_drop_type(s, &x->names[i], x->if_exists);
        return rc;
    case STMT_CREATE_TABLE:
        return create_table(s, x);
    case STMT_ALTER_ADD:
        return ddl_alter_add(s, x);
    case STMT_ALTER_DROP:
        return ddl_alter_drop(s, x);
    case STMT_ALTER_COLUMN:
        return ddl_alter_column(s, x);
    case STMT_DROP_TABLE:
    case STMT_DROP_PROC:
        for (int i = 0; i < x->n_names && rc == 0; i++)
            rc = drop_object(s, &x->names[i], x->kind == STMT_DROP_TABLE ? 'U' : 'P', x->if_exists);
        return rc;
    case STMT_CREATE_INDEX:
        return ddl_create_index(s, x);
    case STMT_DROP_INDEX: {
        struct table *t = catalog_find(s, &x->name, 'U');

        if (t == NULL)
            return ddl_no_such_table(s, &x->name);
        rc = ddl_begin(s, t->db) != 0 ? -1 : ddl_drop_key(s, t, x->word, x->if_exists);
        ddl_changed(s);
        return rc;
    }
    case STMT_UPDATE_STATISTICS:
        return stats_update(s, &x->name, x->word);
    case STMT_DBCC:
        return stats_show(s, x->word, x->word2);
    case STMT_PARTITION_FUNCTION:
        return partition_create_function(r, x);
    case STMT_PARTITION_SCHEME:
        return partition_create_scheme(s, x);
    case STMT_CREATE_PROC:
        return create_procedure(s, x);
    case STMT_CREATE_LOGIN:
        return security_create_login(s, x);
    case STMT_ALTER_LOGIN:
        return security_alter_login(s, x);
    case STMT_DROP_LOGIN:
        return security_drop_login(s, x);
    case STMT_CREATE_USER:
        return security_create_user(s, x);
    case STMT_DROP_USER:
        return security_drop_user(s, x);
    case STMT_CREATE_ROLE:
        return security_create_role(s, x->word);
    case STMT_ALTER_ROLE:
        return security_member(s, x->word, x->word2, x->op == 'A');
    case STMT_GRANT:
        return security_grant(s, x);
    default:
        return sqlerr_set(&s->error, 50000, 16, 1, "Statement not supported by this test server.");
    }
}

/* Statements about the server, not about what stands in a database. */
static bool
is_of_server(const struct stmt *x)
{
    return x->kind == STMT_CREATE_DATABASE || x->kind == STMT_DROP_DATABASE ||
           x->kind == STMT_ALTER_DATABASE || x->kind == STMT_CREATE_LOGIN ||
           x->kind == STMT_ALTER_LOGIN || x->kind == STMT_DROP_LOGIN;
}

int
ddl_run(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    bool own = s->trancount == 0 && !is_of_server(x);
    struct sqlerr e;

    /* All steps in one transaction: the engine's own statements among them must not end it. */
    if (own)
        (void)tx_begin(s, NULL);
    if (ddl_one(r, x) == 0)
        return own ? tx_commit(s) : tx_end_statement(s, true);
    e = s->error;
    if (own && s->trancount > 0)
        (void)tx_rollback(s);
    ddl_changed(s);
    s->error = e;
    return -1;
}
