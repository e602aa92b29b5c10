/* Functions that ask the session or the server. */
#include <strings.h>

#include "tests/mssqld/sql/catalog.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/ddl_parts.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/func.h"
#include "tests/mssqld/sql/recovery.h"

#define META(name) static void name(sqlite3_context *c, int n, sqlite3_value **v)

/* A value of some type as sql_variant. */
static void
variant_text(sqlite3_context *c, const char *text)
{
    struct sql_type variant = type_make(SQL_VARIANT);
    struct sql_type t = type_sized(SQL_NVARCHAR, 128);
    struct sql_value inner = {.bytes = {text, strlen(text)}};
    struct sql_value out = {.variant = {&t, &inner}};

    func_result(c, &variant, &out);
}

static void
variant_int(sqlite3_context *c, int64_t i)
{
    struct sql_type variant = type_make(SQL_VARIANT);
    struct sql_type t = type_make(SQL_INT);
    struct sql_value inner = {.i = i};
    struct sql_value out = {.variant = {&t, &inner}};

    func_result(c, &variant, &out);
}

META(fn_serverproperty)
{
    static const struct {
        const char *name;
        const char *text; /* NULL: number */
        int number;
    } PROPERTIES[] = {
        {"ProductMinorVersion", "0", 0},  {"ProductBuild", "4135", 0},
        {"ProductLevel", "RTM", 0},       {"ProductUpdateLevel", "CU14", 0},
        {"EditionID", NULL, -2117995310}, {"Collation", COLLATION_DEFAULT, 0},
        {"IsHadrEnabled", NULL, 0},       {"IsClustered", NULL, 0},
        {"IsFullTextInstalled", NULL, 0}, {"IsIntegratedSecurityOnly", NULL, 0},
    };
    const char *name = func_arg(v[0]);
    int number;
    const char *own;

    (void)n;
    (void)func_context(c);
    own = flavour_property(func_session(c)->engine, name, &number);
    if (own != NULL)
        variant_text(c, own);
    else if (number >= 0)
        variant_int(c, number);
    if (strcasecmp(name, "ServerName") == 0 || strcasecmp(name, "MachineName") == 0) {
        variant_text(c, func_session(c)->engine->server_name);
        return;
    }
    for (size_t i = 0; i < sizeof PROPERTIES / sizeof PROPERTIES[0]; i++)
        if (strcasecmp(PROPERTIES[i].name, name) == 0) {
            if (PROPERTIES[i].text != NULL)
                variant_text(c, PROPERTIES[i].text);
            else
                variant_int(c, PROPERTIES[i].number);
        }
}

static const char *
collation_of(struct session *s, const struct database *d)
{
    const char *name = ddl_collation(s, d);

    return name != NULL ? name : COLLATION_DEFAULT;
}

META(fn_databasepropertyex)
{
    struct database *d = engine_database(func_session(c)->engine, func_arg(v[0]));
    const char *p = func_arg(v[1]);

    (void)n;
    (void)func_context(c);
    if (d == NULL)
        return;
    if (strcasecmp(p, "Updateability") == 0)
        variant_text(c, atomic_load(&d->read_only) ? "READ_ONLY" : "READ_WRITE");
    else if (strcasecmp(p, "Collation") == 0)
        variant_text(c, collation_of(func_session(c), d));
    else if (strcasecmp(p, "Status") == 0)
        variant_text(c, atomic_load(&d->state) == STATE_OFFLINE      ? "OFFLINE"
                        : atomic_load(&d->state) == STATE_RESTORING  ? "RESTORING"
                        : atomic_load(&d->state) == STATE_RECOVERING ? "RECOVERING"
                        : atomic_load(&d->state) == STATE_SUSPECT    ? "SUSPECT"
                                                                     : "ONLINE");
    else if (strcasecmp(p, "Recovery") == 0)
        variant_text(c, "FULL");
    else if (strcasecmp(p, "UserAccess") == 0)
        variant_text(c, "MULTI_USER");
    else if (strcasecmp(p, "Edition") == 0)
        variant_text(c, "Developer Edition");
}

META(fn_sql_variant_property)
{
    struct value_context x = func_context(c);
    struct sql_type t = type_unpack(sqlite3_value_int64(v[1]));
    struct sql_value value;
    const char *p = func_arg(v[2]);

    (void)n;
    if (sqlite3_value_type(v[0]) == SQLITE_NULL)
        return;
    value_load(&t, v[0], x.arena, &value);
    if (t.base == SQL_VARIANT)
        t = *value.variant.type;
    if (strcasecmp(p, "BaseType") == 0)
        variant_text(c, type_name(t.base));
    else if (strcasecmp(p, "Precision") == 0)
        variant_int(c, type_precision(&t));
    else if (strcasecmp(p, "Scale") == 0)
        variant_int(c, type_scale(&t));
    else if (strcasecmp(p, "MaxLength") == 0 || strcasecmp(p, "TotalBytes") == 0)
        variant_int(c, type_max_length(&t));
}

META(fn_connectionproperty)
{
    (void)n;
    (void)func_context(c);
    if (strcasecmp(func_arg(v[0]), "net_transport") == 0)
        variant_text(c, "TCP");
    else if (strcasecmp(func_arg(v[0]), "auth_scheme") == 0)
        variant_text(c, "SQL");
}

META(fn_host_name)
{
    (void)n;
    (void)v;
    func_string(c, func_session(c)->host);
}

META(fn_app_name)
{
    (void)n;
    (void)v;
    func_string(c, func_session(c)->application);
}

META(fn_spid)
{
    (void)n;
    (void)v;
    sqlite3_result_int(c, func_session(c)->spid);
}

META(fn_newid)
{
    struct sql_type t = type_make(SQL_UNIQUEIDENTIFIER);
    unsigned char g[16];
    struct sql_value out = {.bytes = {g, 16}};

    (void)n;
    (void)v;
    (void)func_context(c);
    sqlite3_randomness(16, g);
    g[7] = (unsigned char)((g[7] & 0x0F) | 0x40);
    g[8] = (unsigned char)((g[8] & 0x3F) | 0x80);
    func_result(c, &t, &out);
}

META(fn_scope_identity)
{
    (void)n;
    (void)v;
    if (func_session(c)->has_identity)
        func_identity(c, func_session(c)->last_identity);
}

META(fn_xact_state)
{
    (void)n;
    (void)v;
    sqlite3_result_int(c, func_session(c)->trancount == 0 ? 0 : func_session(c)->doomed ? -1 : 1);
}

META(fn_transaction_id)
{
    (void)n;
    (void)v;
    sqlite3_result_int64(c, (sqlite3_int64)func_session(c)->tran_descriptor);
}

META(fn_max_text_repl_size)
{
    (void)n;
    (void)v;
    (void)func_context(c);
    variant_int(c, atomic_load(&func_session(c)->engine->max_text_repl_size));
}

META(fn_is_snapshot)
{
    (void)n;
    (void)v;
    sqlite3_result_int(c, func_session(c)->snapshot_tx);
}

META(fn_error_number)
{
    (void)n;
    (void)v;
    if (func_session(c)->caught.number != 0)
        sqlite3_result_int(c, func_session(c)->caught.number);
}

META(fn_error_severity)
{
    (void)n;
    (void)v;
    if (func_session(c)->caught.number != 0)
        sqlite3_result_int(c, func_session(c)->caught.severity);
}

META(fn_error_state)
{
    (void)n;
    (void)v;
    if (func_session(c)->caught.number != 0)
        sqlite3_result_int(c, func_session(c)->caught.state);
}

META(fn_error_line)
{
    (void)n;
    (void)v;
    if (func_session(c)->caught.number != 0)
        sqlite3_result_int(c, func_session(c)->caught.line);
}

META(fn_error_message)
{
    (void)n;
    (void)v;
    if (func_session(c)->caught.number != 0)
        func_string(c, func_session(c)->caught.text);
}

META(fn_error_procedure)
{
    (void)n;
    (void)v;
    sqlite3_result_null(c);
}

void
func_register_session(struct session *s)
{
    static const struct func LIST[] = {
        {"ms_serverproperty", 1, true, fn_serverproperty},
        {"ms_databasepropertyex", 2, true, fn_databasepropertyex},
        {"ms_sql_variant_property", 3, true, fn_sql_variant_property},
        {"ms_connectionproperty", 1, true, fn_connectionproperty},
        {"ms_host_name", 0, true, fn_host_name},
        {"ms_app_name", 0, true, fn_app_name},
        {"ms_spid", 0, true, fn_spid},
        {"ms_newid", 0, true, fn_newid},
        {"ms_scope_identity", 0, true, fn_scope_identity},
        {"ms_xact_state", 0, true, fn_xact_state},
        {"ms_current_transaction_id", 0, true, fn_transaction_id},
        {"ms_max_text_repl_size", 0, true, fn_max_text_repl_size},
        {"ms_is_snapshot", 0, true, fn_is_snapshot},
        {"ms_error_number", 0, true, fn_error_number},
        {"ms_error_severity", 0, true, fn_error_severity},
        {"ms_error_state", 0, true, fn_error_state},
        {"ms_error_line", 0, true, fn_error_line},
        {"ms_error_message", 0, true, fn_error_message},
        {"ms_error_procedure", 0, true, fn_error_procedure},
    };

    func_add(s, LIST, sizeof LIST / sizeof LIST[0]);
}
