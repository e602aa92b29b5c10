/* Functions that ask the catalog. */
#include <ctype.h>
#include <strings.h>

#include "tests/mssqld/sql/catalog.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/func.h"
#include "tests/mssqld/sql/rights.h"

#define META(name) static void name(sqlite3_context *c, int n, sqlite3_value **v)

/* Functions run inside a statement: the catalog is read by statements beside it. */
static struct database *
by_id(sqlite3_context *c, sqlite3_value *v)
{
    return engine_database_id(func_session(c)->engine, sqlite3_value_int(v));
}

META(fn_db_name)
{
    struct database *d = n > 0 ? by_id(c, v[0]) : func_session(c)->current;

    func_string(c, d != NULL ? d->name : NULL);
}

META(fn_db_id)
{
    struct session *s = func_session(c);
    struct database *d = n > 0 ? engine_database(s->engine, func_arg(v[0])) : s->current;

    if (d != NULL)
        sqlite3_result_int(c, d->id);
}

/* "a.b.c", with brackets or not, into a name. */
static struct name
split_name(struct session *s, const char *text)
{
    struct name out = {0};
    const char *parts[4] = {NULL};
    int n = 0;

    while (n < 4) {
        char *part = arena_alloc(&s->fn_arena, strlen(text) + 1);
        size_t k = 0;
        char close = *text == '[' ? ']' : *text == '"' ? '"' : '\0';

        if (close != '\0') {
            for (text++; *text != '\0' && (*text != close || text[1] == close); text++) {
                if (*text == close)
                    text++;
                part[k++] = *text;
            }
            text += *text == close;
        } else {
            while (*text != '\0' && *text != '.')
                part[k++] = *text++;
        }
        parts[n++] = k > 0 ? part : NULL;
        if (*text != '.')
            break;
        text++;
    }
    out.object = n > 0 && parts[n - 1] != NULL ? parts[n - 1] : "";
    out.schema = n > 1 ? parts[n - 2] : NULL;
    out.database = n > 2 ? parts[n - 3] : NULL;
    return out;
}

struct table *
security_object(struct session *s, const char *text)
{
    struct name name = split_name(s, text);
    struct sqlerr keep = s->error;
    struct table *t;

    if (name.database != NULL && engine_database(s->engine, name.database) == NULL)
        return NULL;
    t = catalog_find(s, &name, 0);
    s->error = keep;
    return t;
}

META(fn_object_id)
{
    struct table *t;

    (void)n;
    (void)func_context(c);
    t = security_object(func_session(c), func_arg(v[0]));
    if (t != NULL && (n < 2 || toupper((unsigned char)func_arg(v[1])[0]) == t->type) &&
        rights_visible(func_session(c), t->db, t->object_id))
        sqlite3_result_int(c, t->object_id);
}

META(fn_object_name)
{
    struct session *s = func_session(c);
    struct database *d = n > 1 ? by_id(c, v[1]) : s->current;
    struct table *t = d != NULL ? catalog_find_id(s, d, sqlite3_value_int(v[0])) : NULL;

    func_string(c, t != NULL ? t->name : NULL);
}

META(fn_object_schema_name)
{
    struct session *s = func_session(c);
    struct database *d = n > 1 ? by_id(c, v[1]) : s->current;
    struct table *t = d != NULL ? catalog_find_id(s, d, sqlite3_value_int(v[0])) : NULL;

    func_string(c, t != NULL ? t->schema : NULL);
}

/* First column of the first row as text. */
static void
result_text(sqlite3_context *c, struct session *s, const char *sql)
{
    sqlite3_stmt *q = session_prepare(s, sql);

    if (q == NULL)
        return;
    if (sqlite3_step(q) == SQLITE_ROW)
        sqlite3_result_value(c, sqlite3_column_value(q, 0));
    (void)sqlite3_finalize(q);
}

META(fn_schema_name)
{
    struct session *s = func_session(c);
    char sql[100];

    (void)snprintf(sql, sizeof sql, "SELECT name FROM d%d.sys_schemas WHERE schema_id = %d",
                   s->current->id, n > 0 ? sqlite3_value_int(v[0]) : 1);
    result_text(c, s, sql);
}

META(fn_schema_id)
{
    struct session *s = func_session(c);
    int id = catalog_schema_id(s, s->current, n > 0 ? func_arg(v[0]) : "dbo");

    if (id > 0)
        sqlite3_result_int(c, id);
}

META(fn_user_name)
{
    struct session *s = func_session(c);
    char sql[100];

    (void)snprintf(sql, sizeof sql, "SELECT name FROM d%d.sys_principals WHERE principal_id = %d",
                   s->current->id,
                   n > 0 ? sqlite3_value_int(v[0]) : security_user_id(s, s->current));
    result_text(c, s, sql);
}

META(fn_user_id)
{
    struct session *s = func_session(c);
    int64_t id =
        n > 0 ? security_principal(s, s->current, func_arg(v[0])) : security_user_id(s, s->current);

    if (id >= 0)
        sqlite3_result_int64(c, id);
}

META(fn_suser_sname)
{
    (void)n;
    (void)v;
    func_string(c, func_session(c)->login);
}

META(fn_suser_id)
{
    struct session *s = func_session(c);
    const char *name = n > 0 ? func_arg(v[0]) : s->login;

    if (strcasecmp(name, "sa") == 0)
        sqlite3_result_int(c, 1);
    else if (security_login_exists(s->engine, name))
        sqlite3_result_int(c, 257);
}

META(fn_suser_sid)
{
    (void)n;
    (void)v;
    sqlite3_result_blob(c, "\1", 1, SQLITE_STATIC);
}

META(fn_type_name)
{
    int id = sqlite3_value_int(v[0]);

    (void)n;
    for (int i = 0; i <= SQL_GEOGRAPHY; i++)
        if (type_user_id((enum sql_base)i) == id) {
            func_string(c, type_name((enum sql_base)i));
            return;
        }
    if (id == 256)
        func_string(c, "sysname");
}

META(fn_type_id)
{
    struct sql_type t;

    (void)n;
    if (type_by_name(func_arg(v[0]), &t))
        sqlite3_result_int(c,
                           strcasecmp(func_arg(v[0]), "sysname") == 0 ? 256 : type_user_id(t.base));
}

static const struct column *
column_by_id(struct session *s, int object_id, int column_id)
{
    struct table *t = catalog_find_id(s, s->current, object_id);

    for (int i = 0; t != NULL && i < t->n_columns; i++)
        if (t->columns[i].id == column_id)
            return &t->columns[i];
    return NULL;
}

META(fn_col_name)
{
    const struct column *col =
        column_by_id(func_session(c), sqlite3_value_int(v[0]), sqlite3_value_int(v[1]));

    (void)n;
    func_string(c, col != NULL ? col->name : NULL);
}

META(fn_col_length)
{
    struct table *t;
    int at;

    (void)n;
    (void)func_context(c);
    t = security_object(func_session(c), func_arg(v[0]));
    at = t != NULL ? catalog_column(t, func_arg(v[1])) : -1;
    if (at >= 0)
        sqlite3_result_int(c, type_max_length(&t->columns[at].type));
}

META(fn_columnproperty)
{
    struct session *s = func_session(c);
    struct table *t = catalog_find_id(s, s->current, sqlite3_value_int(v[0]));
    int at = t != NULL ? catalog_column(t, func_arg(v[1])) : -1;
    const char *p = func_arg(v[2]);

    (void)n;
    if (at < 0)
        return;
    if (strcasecmp(p, "IsIdentity") == 0)
        sqlite3_result_int(c, t->columns[at].identity);
    else if (strcasecmp(p, "IsComputed") == 0)
        sqlite3_result_int(c, t->columns[at].computed_text != NULL);
    else if (strcasecmp(p, "AllowsNull") == 0)
        sqlite3_result_int(c, t->columns[at].type.nullable);
    else if (strcasecmp(p, "ColumnId") == 0)
        sqlite3_result_int(c, t->columns[at].id);
}

META(fn_objectproperty)
{
    struct session *s = func_session(c);
    struct table *t = catalog_find_id(s, s->current, sqlite3_value_int(v[0]));
    const char *p = func_arg(v[1]);

    (void)n;
    if (t == NULL)
        return;
    if (strcasecmp(p, "IsUserTable") == 0 || strcasecmp(p, "IsTable") == 0)
        sqlite3_result_int(c, t->type == 'U');
    else if (strcasecmp(p, "IsMSShipped") == 0)
        sqlite3_result_int(c, t->shipped);
    else if (strcasecmp(p, "TableHasPrimaryKey") == 0)
        sqlite3_result_int(c, t->n_keys > 0 && t->keys[0].primary);
}

META(fn_ident_current)
{
    struct session *s = func_session(c);
    struct table *t;

    (void)n;
    (void)func_context(c);
    t = security_object(s, func_arg(v[0]));
    if (t != NULL && t->identity >= 0) {
        const struct column *col = &t->columns[t->identity];
        int64_t next =
            session_int(s, col->seed, "SELECT v FROM d%d.sys_meta WHERE k = 'identity:%d'",
                        t->db->id, t->object_id);

        func_identity(c, next == col->seed ? next : next - col->increment);
    }
}

META(fn_has_perms_by_name)
{
    struct session *s = func_session(c);
    bool no_class = sqlite3_value_type(v[1]) == SQLITE_NULL;
    const char *class = func_arg(v[1]);
    const char *permission = func_arg(v[2]);
    struct table *t;

    (void)n;
    (void)func_context(c);
    if (no_class || strcasecmp(class, "SERVER") == 0) {
        sqlite3_result_int(c, rights_server(s, permission));
        return;
    }
    if (strcasecmp(class, "DATABASE") == 0) {
        struct database *d = sqlite3_value_type(v[0]) == SQLITE_NULL
                                 ? s->current
                                 : engine_database(s->engine, split_name(s, func_arg(v[0])).object);

        if (d != NULL && session_attach(s, d) == 0)
            sqlite3_result_int(c, security_may_enter(s, d) && rights_database(s, d, permission));
        return;
    }
    if (strcasecmp(class, "SCHEMA") == 0) {
        int id = catalog_schema_id(s, s->current, split_name(s, func_arg(v[0])).object);

        if (id > 0)
            sqlite3_result_int(c, rights_object(s, s->current, 0, id, permission));
        return;
    }
    t = security_object(s, func_arg(v[0]));
    if (t != NULL) {
        sqlite3_result_int(c, security_allowed(s, t, permission));
    } else {
        struct name view = split_name(s, func_arg(v[0]));
        struct database *d =
            view.database != NULL ? engine_database(s->engine, view.database) : s->current;

        if (d != NULL && d->id == DB_MSDB && rights_job_view(view.object) != 0 &&
            session_attach(s, d) == 0)
            sqlite3_result_int(c, rights_object(s, d, rights_job_view(view.object), 1, permission));
    }
}

/* JSON array for fn_my_permissions. */
META(fn_my_permissions)
{
    struct sbuf o = {0};

    (void)n;
    (void)func_context(c);
    rights_list(func_session(c), func_arg(v[0]), func_arg(v[1]), &o);
    sqlite3_result_text(c, o.data, (int)o.size, SQLITE_TRANSIENT);
    sbuf_free(&o);
}

/* The rows of catalog views that the caller may see. */
META(fn_visible)
{
    struct database *d = by_id(c, v[0]);

    (void)n;
    sqlite3_result_int(c, d != NULL && rights_visible(func_session(c), d, sqlite3_value_int(v[1])));
}

/* The caller, through any number of roles; or (second argument) a principal itself. */
META(fn_is_rolemember)
{
    struct session *s = func_session(c);
    int d = s->current->id;
    sqlite3_stmt *q;
    char sql[300];

    if (n == 1)
        (void)snprintf(sql, sizeof sql,
                       "SELECT principal_id FROM d%d.sys_principals WHERE name = ?1 AND type = 'R'",
                       d);
    else
        (void)snprintf(sql, sizeof sql,
                       "SELECT EXISTS (SELECT 1 FROM d%d.sys_members m WHERE m.role_id = "
                       "r.principal_id AND m.member_id = p.principal_id) FROM d%d.sys_principals "
                       "r, d%d.sys_principals p WHERE r.name = ?1 AND r.type = 'R' AND p.name = ?2",
                       d, d, d);
    q = session_prepare(s, sql);
    if (q == NULL)
        return;
    for (int i = 0; i < n; i++)
        (void)sqlite3_bind_value(q, i + 1, v[i]);
    if (sqlite3_step(q) == SQLITE_ROW)
        sqlite3_result_int(c, n == 1 ? security_is_member(s, s->current, sqlite3_column_int(q, 0))
                                     : sqlite3_column_int(q, 0));
    (void)sqlite3_finalize(q);
}

META(fn_is_srvrolemember)
{
    (void)n;
    sqlite3_result_int(c, strcasecmp(func_arg(v[0]), "public") == 0 || func_session(c)->sysadmin);
}

META(fn_has_dbaccess)
{
    struct session *s = func_session(c);
    struct database *d = engine_database(s->engine, func_arg(v[0]));

    (void)n;
    if (d != NULL)
        sqlite3_result_int(c, security_may_enter(s, d));
}

META(fn_type_info)
{
    struct sql_type t = type_unpack(sqlite3_value_int64(v[0]));
    bool text = type_is_text(t.base) || type_is_binary(t.base);
    bool number = type_is_number(t.base);

    (void)n;
    switch (func_arg(v[1])[0]) {
    case 's':
        sqlite3_result_int(c, type_system_id(t.base));
        break;
    case 'u':
        sqlite3_result_int(c, type_user_id(t.base));
        break;
    case 'l':
        sqlite3_result_int(c, type_max_length(&t));
        break;
    case 'p':
        sqlite3_result_int(c, type_precision(&t));
        break;
    case 'c':
        sqlite3_result_int(c, type_scale(&t));
        break;
    case 'n':
        func_string(c, type_name(t.base));
        break;
    case 'L':
        if (text)
            sqlite3_result_int(c, type_is_lob(&t) ? 2147483647 : t.length);
        break;
    case 'P':
        if (number)
            sqlite3_result_int(c, type_precision(&t));
        break;
    case 'R':
        if (number)
            sqlite3_result_int(c, type_store(&t) == STORE_REAL ? 2 : 10);
        break;
    case 'C':
        if (number)
            sqlite3_result_int(c, type_scale(&t));
        break;
    case 'D':
        if (type_is_time(t.base))
            sqlite3_result_int(c, t.base == SQL_DATETIME ? 3 : type_scale(&t));
        break;
    default:
        break;
    }
}

META(fn_collation)
{
    char buf[128];

    (void)n;
    if (sqlite3_value_bytes(v[0]) == 5)
        func_string(c, collation_name(sqlite3_value_blob(v[0]), buf, sizeof buf));
}

/* Rows of a table, or of one of its partitions. */
META(fn_row_count)
{
    struct session *s = func_session(c);
    int d = sqlite3_value_int(v[0]);
    int id = sqlite3_value_int(v[1]);
    int64_t function = n < 3 ? 0
                             : session_int(s, 0,
                                           "SELECT s.function_id FROM d%d.sys_partitioned x JOIN "
                                           "d%d.sys_partition_schemes s ON s.data_space_id = "
                                           "x.data_space_id WHERE x.object_id = %d",
                                           d, d, id);
    int64_t rows;

    if (function == 0)
        rows = session_int(s, 0, "SELECT count(*) FROM d%d.t%d", d, id);
    else
        rows = session_int(
            s, 0,
            "SELECT count(*) FROM d%d.t%d WHERE 1 + (SELECT count(*) FROM d%d.sys_partition_values "
            "v JOIN d%d.sys_partition_functions f ON f.function_id = v.function_id WHERE "
            "v.function_id = %lld AND CASE f.is_right WHEN 1 THEN v.v <= c%lld ELSE v.v < c%lld "
            "END) = %d",
            d, id, d, d, (long long)function,
            (long long)session_int(
                s, 0, "SELECT column_id FROM d%d.sys_partitioned WHERE object_id = %d", d, id),
            (long long)session_int(
                s, 0, "SELECT column_id FROM d%d.sys_partitioned WHERE object_id = %d", d, id),
            sqlite3_value_int(v[2]));
    sqlite3_result_int64(c, rows);
}

/* %%physloc%%: page, file and slot, each little-endian; 64 rows stand on a page. */
META(fn_physloc)
{
    uint64_t row = (uint64_t)sqlite3_value_int64(v[0]);
    uint64_t page = 256 + row / 64;
    uint8_t out[8] = {0};

    (void)n;
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(page >> (8 * i));
    out[4] = 1;
    out[6] = (uint8_t)(row % 64);
    sqlite3_result_blob(c, out, sizeof out, SQLITE_TRANSIENT);
}

void
func_register_meta(struct session *s)
{
    static const struct func LIST[] = {
        {"ms_db_name", -1, true, fn_db_name},
        {"ms_db_id", -1, true, fn_db_id},
        {"ms_object_id", -1, true, fn_object_id},
        {"ms_object_name", -1, true, fn_object_name},
        {"ms_object_schema_name", -1, true, fn_object_schema_name},
        {"ms_schema_name", -1, true, fn_schema_name},
        {"ms_schema_id", -1, true, fn_schema_id},
        {"ms_user_name", -1, true, fn_user_name},
        {"ms_user_id", -1, true, fn_user_id},
        {"ms_suser_sname", -1, true, fn_suser_sname},
        {"ms_suser_id", -1, true, fn_suser_id},
        {"ms_suser_sid", -1, true, fn_suser_sid},
        {"ms_type_name", 1, true, fn_type_name},
        {"ms_type_id", 1, true, fn_type_id},
        {"ms_col_name", 2, true, fn_col_name},
        {"ms_col_length", 2, true, fn_col_length},
        {"ms_columnproperty", 3, true, fn_columnproperty},
        {"ms_objectproperty", 2, true, fn_objectproperty},
        {"ms_ident_current", 1, true, fn_ident_current},
        {"ms_my_permissions", 2, true, fn_my_permissions},
        {"ms_visible", 2, true, fn_visible},
        {"ms_has_perms_by_name", 3, true, fn_has_perms_by_name},
        {"ms_is_rolemember", -1, true, fn_is_rolemember},
        {"ms_is_srvrolemember", -1, true, fn_is_srvrolemember},
        {"ms_has_dbaccess", 1, true, fn_has_dbaccess},
        {"ms_type_info", 2, true, fn_type_info},
        {"ms_collation", 1, true, fn_collation},
        {"ms_row_count", -1, true, fn_row_count},
        {"ms_physloc", 1, false, fn_physloc},
    };

    func_add(s, LIST, sizeof LIST / sizeof LIST[0]);
}
