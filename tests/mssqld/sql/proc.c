/* Procedures: the system's own, those of CREATE PROCEDURE, and how arguments reach them. */
#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/admin.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/parse.h"
#include "tests/mssqld/sql/plan.h"
#include "tests/mssqld/sql/stats.h"

const struct proc_arg *
proc_find(const struct proc_call *call, const char *name, int position)
{
    for (int i = 0; i < call->n_args; i++)
        if (strcasecmp(call->args[i].name, name) == 0)
            return call->args[i].is_default ? NULL : &call->args[i];
    if (position >= 0 && position < call->n_args && call->args[position].name[0] == '\0' &&
        !call->args[position].is_default)
        return &call->args[position];
    return NULL;
}

const char *
proc_text(struct session *s, const struct proc_call *call, const char *name, int position,
          const char *otherwise)
{
    const struct proc_arg *a = proc_find(call, name, position);
    struct sql_type text = type_sized(SQL_NVARCHAR, SQL_LENGTH_MAX);
    struct value_context c = run_context(s, VALUE_CAST);
    struct sql_value v;

    if (a == NULL || a->value.is_null || value_convert(&c, &a->type, &a->value, &text, &v) != 0)
        return otherwise;
    return arena_strndup(&s->exec_arena, v.bytes.data, v.bytes.size);
}

int64_t
proc_int(struct session *s, const struct proc_call *call, const char *name, int position,
         int64_t otherwise)
{
    const struct proc_arg *a = proc_find(call, name, position);
    struct sql_type whole = type_make(SQL_BIGINT);
    struct value_context c = run_context(s, VALUE_CAST);
    struct sql_value v;

    if (a == NULL || a->value.is_null || value_convert(&c, &a->type, &a->value, &whole, &v) != 0)
        return otherwise;
    return v.i;
}

/* sp_executesql @stmt, @params, values... */
static int
execute_sql(struct session *s, const struct proc_call *call)
{
    const char *text = proc_text(s, call, "@stmt", 0, NULL);
    const char *declared = proc_text(s, call, "@params", 1, "");
    struct value_context c = run_context(s, VALUE_CAST);
    struct lexed l = {0};
    struct var_def *defs = NULL;
    struct variable *vars;
    struct database *db = s->current;
    int n = 0;
    int rc = 0;

    if (text == NULL)
        text = proc_text(s, call, "@statement", 0, "");
    if (lex(declared, &s->exec_arena, &l, &s->error) != 0 ||
        parse_var_list(&l, &s->exec_arena, &defs, &n, &s->error) != 0)
        rc = -1;
    vars = arena_alloc(&s->exec_arena, (size_t)(n + 1) * sizeof *vars);
    for (int i = 0; i < n && rc == 0; i++) {
        const struct proc_arg *a = proc_find(call, defs[i].name, i + 2);

        vars[i].name = defs[i].name;
        vars[i].type = defs[i].type;
        vars[i].output = defs[i].output;
        vars[i].value.is_null = true;
        if (a != NULL)
            rc = value_convert(&c, &a->type, &a->value, &defs[i].type, &vars[i].value);
        else if (proc_find(call, defs[i].name, -1) == NULL && call->n_args <= i + 2)
            rc = sqlerr_set(&s->error, 8178, 16, 1,
                            "The parameterized query expects the parameter '%s', which was not "
                            "supplied.",
                            defs[i].name);
    }
    sbuf_free(&l.key);
    if (rc == 0)
        rc = run_text(s, text, vars, n, NULL, NULL);
    s->current = db;
    for (int i = 0; i < n && rc == 0; i++)
        for (int k = 0; k < call->n_args; k++)
            if (call->args[k].output &&
                (strcasecmp(call->args[k].name, vars[i].name) == 0 || k == i + 2)) {
                call->args[k].result = vars[i].value;
                call->args[k].result_type = vars[i].type;
            }
    return rc;
}

/* A user's procedure: its parameters in the first line of the definition, then the body. */
static int
call_user(struct session *s, const struct proc_call *call, const struct table *t, int32_t *status)
{
    struct value_context c = run_context(s, VALUE_CAST);
    const char *body = strchr(t->definition, '\n');
    struct lexed l = {0};
    struct var_def *defs = NULL;
    struct variable *vars;
    struct database *db = s->current;
    char *list;
    char *name = arena_strdup(&s->exec_arena, t->name);
    int n = 0;
    int rc;

    CHECK(body != NULL);
    list = arena_strndup(&s->exec_arena, t->definition, (size_t)(body - t->definition));
    body = arena_strdup(&s->exec_arena, body + 1);
    rc = lex(list, &s->exec_arena, &l, &s->error);
    if (rc == 0)
        rc = parse_var_list(&l, &s->exec_arena, &defs, &n, &s->error);
    vars = arena_alloc(&s->exec_arena, (size_t)(n + 1) * sizeof *vars);
    for (int i = 0; i < n && rc == 0; i++) {
        const struct proc_arg *a = proc_find(call, defs[i].name, i);

        vars[i] = (struct variable){.name = defs[i].name,
                                    .type = defs[i].type,
                                    .output = defs[i].output,
                                    .value = {.is_null = true}};
        if (a != NULL)
            rc = value_convert(&c, &a->type, &a->value, &defs[i].type, &vars[i].value);
        else if (!defs[i].output)
            rc = sqlerr_set(&s->error, 201, 16, 4,
                            "Procedure or function '%s' expects parameter '%s', which was not "
                            "supplied.",
                            name, defs[i].name);
    }
    sbuf_free(&l.key);
    s->current = t->db;
    if (rc == 0)
        rc = run_text(s, body, vars, n, name, status);
    s->current = db;
    for (int i = 0; i < n && rc == 0; i++)
        for (int k = 0; k < call->n_args; k++)
            if (strcasecmp(call->args[k].name, vars[i].name) == 0 ||
                (call->args[k].name[0] == '\0' && k == i)) {
                call->args[k].result = vars[i].value;
                call->args[k].result_type = vars[i].type;
            }
    return rc;
}

/* Procedures that answer nothing here but must be accepted. */
static bool
is_ignored(const char *name)
{
    static const char *const NAMES[] = {"sp_reset_connection", "sp_recompile", "sp_changedbowner"};

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strcasecmp(NAMES[i], name) == 0)
            return true;
    return false;
}

/* sp_configure 'max text repl size (B)', n: the one setting that means something here. */
static int
configure(struct session *s, const struct proc_call *call)
{
    const char *name = proc_text(s, call, "@configname", 0, "");

    if (strncasecmp(name, "max text repl size", 18) == 0 && call->n_args > 1)
        atomic_store(&s->engine->max_text_repl_size,
                     (int)proc_int(s, call, "@configvalue", 1, 65536));
    return 0;
}

/* Amazon RDS: CDC is switched on and off by a procedure of msdb, for who may not be sysadmin. */
static bool
rds_procedure(struct session *s, const struct proc_call *call, int *rc)
{
    bool on = strcasecmp(call->name->object, "rds_cdc_enable_db") == 0;
    struct name own = {.schema = "sys", .object = on ? "sp_cdc_enable_db" : "sp_cdc_disable_db"};
    struct proc_call inner = {.name = &own};
    bool sysadmin = s->sysadmin;

    if (flavour_of(s->engine) != FLAVOUR_RDS ||
        (!on && strcasecmp(call->name->object, "rds_cdc_disable_db") != 0))
        return false;
    own.database = proc_text(s, call, "@db_name", 0, "");
    *rc = 0;
    if (!security_may_enter(s, s->current))
        *rc = sqlerr_set(&s->error, 229, 14, 5,
                         "The EXECUTE permission was denied on the object "
                         "'%s', database 'msdb', schema 'dbo'.",
                         call->name->object);
    s->sysadmin = true;
    if (*rc == 0)
        (void)cdc_procedure(s, &inner, rc);
    s->sysadmin = sysadmin;
    return true;
}

int
proc_call(struct session *s, const struct proc_call *call, int32_t *status)
{
    const char *name = call->name->object;
    struct name lookup = *call->name;
    const struct table *t;
    int rc;

    *status = 0;
    for (int i = 0; i < call->n_args; i++)
        call->args[i].result_type = call->args[i].type;
    if (strcasecmp(name, "sp_executesql") == 0)
        return execute_sql(s, call);
    if (admin_procedure(s, call, &rc))
        return rc;
    if (cdc_procedure(s, call, &rc)) {
        if (rc != 0)
            *status = 1;
        return rc;
    }
    if (strcasecmp(name, "sp_addrolemember") == 0 || strcasecmp(name, "sp_droprolemember") == 0) {
        rc = security_member(s, proc_text(s, call, "@rolename", 0, ""),
                             proc_text(s, call, "@membername", 1, ""),
                             strcasecmp(name, "sp_addrolemember") == 0);
        return rc == 0 ? tx_end_statement(s, true) : -1;
    }
    if (rds_procedure(s, call, &rc))
        return rc;
    if (strcasecmp(name, "sp_configure") == 0)
        return configure(s, call);
    if (strcasecmp(name, "sp_updatestats") == 0)
        return stats_update_all(s);
    if (strcasecmp(name, "sp_rename") == 0) {
        rc = ddl_rename(s, call);
        return rc == 0 ? tx_end_statement(s, true) : -1;
    }
    if (is_ignored(name))
        return 0;
    s->error.number = 0;
    catalog_refresh(s);
    t = catalog_find(s, &lookup, 'P');
    if (t != NULL)
        return call_user(s, call, t, status);
    if (s->error.number != 0)
        return -1;
    return sqlerr_set(&s->error, 2812, 16, 62, "Could not find stored procedure '%s%s%s'.",
                      lookup.schema != NULL ? lookup.schema : "", lookup.schema != NULL ? "." : "",
                      name);
}
