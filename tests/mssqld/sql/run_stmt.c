/* Statements in order: changes, variables, options, transactions, EXEC, flow of control. */
#include <strings.h>
#include <unistd.h>

#include "tests/mssqld/sql/fault.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/recovery.h"
#include "tests/mssqld/sql/run_parts.h"

static int
run_change(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    int64_t rows = 0;
    uint16_t command = x->kind == STMT_INSERT ? 0xC3 : x->kind == STMT_UPDATE ? 0xC5 : 0xC4;
    int rc;

    if (s->doomed)
        return sqlerr_set(&s->error, 3930, 16, 1,
                          "The current transaction cannot be committed and cannot support "
                          "operations that write to the log file. Roll back the transaction.");
    rc = x->kind == STMT_INSERT   ? dml_insert(r, x, &rows)
         : x->kind == STMT_UPDATE ? dml_update(r, x, &rows)
         : x->kind == STMT_DELETE ? dml_delete(r, x, &rows)
                                  : dml_truncate(r, x);
    s->rowcount = rows;
    if (rc != 0)
        return -1;
    if (tx_end_statement(s, true) != 0)
        return -1;
    return run_done(s, x->kind == STMT_TRUNCATE ? 0 : DONE_COUNT, command, rows);
}

static int
run_declare(struct run *r, struct stmt *x)
{
    for (int i = 0; i < x->n_vars; i++) {
        struct variable *v = run_variable(r, x->vars[i].name);

        if (v == NULL)
            return -1;
        if (x->vars[i].init != NULL &&
            run_scalar(r, x, i + 1, x->vars[i].init, &v->type, NULL, &v->value) != 0)
            return -1;
    }
    return 0;
}

static int
run_set_var(struct run *r, struct stmt *x)
{
    struct variable *v = run_variable(r, x->word);

    if (v == NULL)
        return -1;
    if (x->op != '=') { /* @x += e becomes @x = @x + e, once */
        struct expr *left = arena_alloc(&r->entry->arena, sizeof *left);
        struct expr *sum = arena_alloc(&r->entry->arena, sizeof *sum);

        left->kind = EXPR_VAR;
        left->name = x->word;
        sum->kind = EXPR_BINARY;
        sum->op = x->op;
        sum->args = arena_alloc(&r->entry->arena, 2 * sizeof *sum->args);
        sum->args[0] = left;
        sum->args[1] = x->expr;
        sum->n_args = 2;
        x->expr = sum;
        x->op = '=';
    }
    return run_scalar(r, x, 0, x->expr, &v->type, NULL, &v->value);
}

static int
run_option(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    bool on = strcasecmp(x->text, "ON") == 0;

    if (strcasecmp(x->word, "NOCOUNT") == 0) {
        s->nocount = on;
    } else if (strcasecmp(x->word, "XACT_ABORT") == 0) {
        s->xact_abort = on;
    } else if (strcasecmp(x->word, "IMPLICIT_TRANSACTIONS") == 0) {
        s->implicit_tx = on;
    } else if (strcasecmp(x->word, "LOCK_TIMEOUT") == 0) {
        s->lock_timeout_ms = (int)strtol(x->text, NULL, 10);
    } else if (strcasecmp(x->word, "DATEFORMAT") == 0) {
        s->date_order = strcasecmp(x->text, "dmy") == 0   ? DATE_DMY
                        : strcasecmp(x->text, "ymd") == 0 ? DATE_YMD
                                                          : DATE_MDY;
    } else if (strcasecmp(x->word, "TRANSACTION") == 0) {
        s->isolation = strcasecmp(x->text, "SNAPSHOT") == 0       ? ISO_SNAPSHOT
                       : strcasecmp(x->text, "SERIALIZABLE") == 0 ? ISO_SERIALIZABLE
                       : strcasecmp(x->text, "REPEATABLE") == 0   ? ISO_REPEATABLE
                       : strcasecmp(x->text, "UNCOMMITTED") == 0  ? ISO_READ_UNCOMMITTED
                                                                  : ISO_READ_COMMITTED;
    } else if (strcasecmp(x->word, "IDENTITY_INSERT") == 0) {
        struct table *t = catalog_find(s, &x->name, 'U');

        if (t == NULL)
            return sqlerr_set(&s->error, 1088, 16, 11, "Cannot find the object \"%s\".",
                              x->name.object);
        s->identity_insert = on ? (int64_t)t->db->id << 32 | t->object_id : 0;
    }
    return run_done(s, 0, 0xF9, 0);
}

static int
run_waitfor(struct run *r, struct stmt *x)
{
    struct sql_type t = type_make(SQL_TIME);
    struct sql_value v;
    int64_t left;

    if (run_scalar(r, x, 0, x->expr, &t, NULL, &v) != 0)
        return -1;
    for (left = v.dt.ticks / 10; left > 0; left -= 20000) {
        const struct sink *sink = r->s->sink;

        if (sink != NULL && sink->cancelled != NULL && sink->cancelled(sink->arg))
            return sqlerr_set(&r->s->error, 3617, 11, 1, "Query cancelled by user.");
        (void)usleep((useconds_t)(left < 20000 ? left : 20000));
    }
    return run_done(r->s, 0, 0xFD, 0);
}

static int
run_use(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    struct name n = {.database = x->word};
    struct database *from = s->current;
    struct database *d;

    if (flavour_of(s->engine) == FLAVOUR_AZURE && strcasecmp(x->word, from->name) != 0)
        return sqlerr_set(&s->error, 40508, 16, 1,
                          "USE statement is not supported to switch between databases. Use a new "
                          "connection to connect to a different database.");
    d = catalog_database(s, &n);
    if (d == NULL)
        return -1;
    s->current = d;
    if (s->sink != NULL && s->sink->database_changed != NULL &&
        s->sink->database_changed(s->sink->arg, from->name, d->name) != 0)
        s->peer_gone = true;
    return s->peer_gone ? -1 : run_done(s, 0, 0xFD, 0);
}

static const char *
tran_name(struct run *r, const struct stmt *x)
{
    struct variable *v;

    if (x->word == NULL || x->word[0] != '@')
        return x->word;
    v = run_variable(r, x->word);
    return v == NULL || v->value.is_null
               ? ""
               : arena_strndup(r->frame->arena, v->value.bytes.data, v->value.bytes.size);
}

/* Outermost begin and end of transactions are told to the client. */
static int
run_transaction(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    int before = s->trancount;
    uint64_t descriptor = s->tran_descriptor;
    uint8_t type = 0;
    uint16_t command = 0xD4;
    const char *name = tran_name(r, x);
    int rc = 0;

    if (x->kind == STMT_BEGIN_TRAN) {
        rc = tx_begin(s, name);
        descriptor = s->tran_descriptor;
        type = before == 0 ? 8 : 0;
    } else if (x->kind == STMT_COMMIT) {
        rc = tx_commit(s);
        command = 0xD5;
        type = s->trancount == 0 ? 9 : 0;
    } else if (x->kind == STMT_SAVE_TRAN) {
        rc = tx_save(s, name != NULL ? name : "");
    } else if (s->trancount == 0) {
        return sqlerr_set(&s->error, 3903, 16, 1,
                          "The ROLLBACK TRANSACTION request has no corresponding BEGIN "
                          "TRANSACTION.");
    } else {
        bool point = false;

        for (struct savepoint *p = s->savepoints; name != NULL && p != NULL; p = p->up)
            point = point || strcasecmp(p->name, name) == 0;
        /* A name that is no savepoint's must be the transaction's. */
        point = point || (name != NULL && strcasecmp(name, s->tran_name) != 0);
        rc = point ? tx_rollback_to(s, name) : tx_rollback(s);
        command = 0xD2;
        type = point ? 0 : 10;
    }
    if (rc != 0)
        return -1;
    if (type != 0 && s->sink != NULL && s->sink->transaction_changed != NULL &&
        s->sink->transaction_changed(s->sink->arg, type, descriptor) != 0) {
        s->peer_gone = true;
        return -1;
    }
    return run_done(s, 0, command, 0);
}

/* Values of EXEC's arguments; outputs are written back by the caller. */
static int
exec_args(struct run *r, struct stmt *x, struct proc_call *call)
{
    call->n_args = x->n_args;
    call->args = arena_alloc(r->frame->arena, (size_t)(x->n_args + 1) * sizeof *call->args);
    for (int i = 0; i < x->n_args; i++) {
        struct proc_arg *a = &call->args[i];

        a->name = x->args[i].name != NULL ? x->args[i].name : "";
        a->output = x->args[i].output;
        a->is_default = x->args[i].e == NULL;
        if (x->args[i].e == NULL)
            a->value.is_null = true;
        else if (run_scalar(r, x, i + 1, x->args[i].e, NULL, &a->type, &a->value) != 0)
            return -1;
    }
    return 0;
}

static int
exec_outputs(struct run *r, struct stmt *x, struct proc_call *call)
{
    struct value_context c = run_context(r->s, VALUE_CAST);

    for (int i = 0; i < x->n_args; i++) {
        struct variable *v;

        if (!call->args[i].output || x->args[i].e == NULL || x->args[i].e->kind != EXPR_VAR)
            continue;
        v = run_variable(r, x->args[i].e->name);
        if (v == NULL || value_convert(&c, &call->args[i].result_type, &call->args[i].result,
                                       &v->type, &v->value) != 0)
            return -1;
        run_keep(r, &v->type, &v->value);
    }
    return 0;
}

static int
run_exec(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    struct proc_call call = {.name = &x->name};
    enum done_kind kind = s->kind;
    int32_t status = 0;
    int rc;

    if (x->is_text) {
        struct sql_type text = type_sized(SQL_NVARCHAR, SQL_LENGTH_MAX);
        struct sql_value v;
        struct database *d = s->current;

        if (run_scalar(r, x, 0, x->expr, &text, NULL, &v) != 0)
            return -1;
        rc = v.is_null ? 0
                       : run_text(s, arena_strndup(r->frame->arena, v.bytes.data, v.bytes.size),
                                  NULL, 0, NULL, NULL);
        s->current = d;
        return rc;
    }
    if (exec_args(r, x, &call) != 0)
        return -1;
    s->kind = DONE_IN_PROC;
    rc = proc_call(s, &call, &status);
    s->kind = kind;
    if (rc != 0)
        return -1;
    if (exec_outputs(r, x, &call) != 0)
        return -1;
    if (x->word != NULL) {
        struct variable *v = run_variable(r, x->word);

        if (v == NULL)
            return -1;
        v->value = (struct sql_value){.i = status};
    }
    if (kind == DONE_BATCH && s->sink != NULL) {
        if (s->sink->return_status(s->sink->arg, status) != 0 ||
            s->sink->done(s->sink->arg, DONE_PROC, 0, 0xE0, 0) != 0)
            s->peer_gone = true;
    }
    return s->peer_gone ? -1 : 0;
}

static int
run_return(struct run *r, struct stmt *x)
{
    struct sql_type t = type_make(SQL_INT);
    struct sql_value v = {0};

    if (x->expr != NULL && run_scalar(r, x, 0, x->expr, &t, NULL, &v) != 0)
        return -1;
    r->frame->has_return = true;
    r->frame->return_value = v.is_null ? 0 : (int32_t)v.i;
    return 0;
}

/* In a database that is closed: settings, the way out, and what an administrator says. */
static bool
is_always_allowed(const struct session *s, const struct stmt *x)
{
    return x->kind == STMT_SET_OPTION || x->kind == STMT_USE ||
           (s->sysadmin && (x->kind == STMT_EXEC || x->kind == STMT_ALTER_DATABASE));
}

static int
run_one(struct run *r, struct stmt *x)
{
    struct session *s = r->s;

    if (atomic_load(&s->engine->n_faults) > 0 && s->sink != NULL && x->end > x->start &&
        fault_statement(s, r->frame->text + x->start, x->end - x->start) != 0)
        return -1;
    if (atomic_load(&s->current->state) != STATE_ONLINE && !is_always_allowed(s, x) &&
        recovery_check(s, s->current) != 0)
        return -1;
    catalog_refresh(s);
    switch ((int)x->kind) {
    case STMT_EMPTY:
        return 0;
    case STMT_SELECT:
        return run_select(r, x);
    case STMT_INSERT:
    case STMT_UPDATE:
    case STMT_DELETE:
    case STMT_TRUNCATE:
        if (s->implicit_tx && s->trancount == 0)
            (void)tx_begin(s, NULL);
        return run_change(r, x);
    case STMT_DECLARE:
        return run_declare(r, x);
    case STMT_SET_VAR:
        return run_set_var(r, x);
    case STMT_SET_OPTION:
        return run_option(r, x);
    case STMT_PRINT:
        return run_print(r, x);
    case STMT_RAISERROR:
        return run_raiserror(r, x);
    case STMT_THROW:
        return run_throw(r, x);
    case STMT_WAITFOR:
        return run_waitfor(r, x);
    case STMT_USE:
        return run_use(r, x);
    case STMT_BEGIN_TRAN:
    case STMT_COMMIT:
    case STMT_ROLLBACK:
    case STMT_SAVE_TRAN:
        return run_transaction(r, x);
    case STMT_EXEC:
        return run_exec(r, x);
    case STMT_RETURN:
        return run_return(r, x);
    case STMT_IF:
    case STMT_WHILE:
    case STMT_BREAK:
    case STMT_CONTINUE:
    case STMT_BLOCK:
    case STMT_TRY:
        return 0; /* run_block's */
    case STMT_CREATE_DATABASE:
    default:
        return ddl_run(r, x) != 0 ? -1 : run_done(s, 0, 0xFD, 0);
    }
}

/* An error outside TRY goes to the client; true when the batch goes on. */
static bool
statement_failed(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    struct sqlerr e = s->error;
    bool ends = sqlerr_ends_batch(&e);
    bool undo = s->trancount > 0 && (s->xact_abort || e.number == 245 || e.number == 1205 ||
                                     e.number == 3960 || e.number == 3952 || e.number == 3961 ||
                                     e.number == 241 || e.number == 242 || e.number == 8114);
    bool cancelled = e.number == 3617;

    if (s->peer_gone)
        return false;
    if (e.line == 0)
        e.line = x->line;
    s->last_error = e.number;
    s->rowcount = 0;
    if (r->try_depth > 0 && e.severity < 20 && !cancelled) {
        if (s->trancount == 0)
            (void)tx_end_statement(s, false);
        else if (undo)
            s->doomed = true;
        s->caught = e;
        s->error.number = 0;
        r->failed = true;
        return false;
    }
    if (s->trancount == 0) {
        (void)tx_end_statement(s, false);
    } else if (undo) {
        (void)tx_rollback(s);
        if (s->sink != NULL && s->sink->transaction_changed != NULL &&
            s->sink->transaction_changed(s->sink->arg, 10, s->tran_descriptor) != 0)
            s->peer_gone = true;
    }
    s->error = e;
    if (s->frame != NULL && s->sink == NULL)
        return false; /* internal text: the caller sees s->error */
    s->error.number = 0;
    if (cancelled)
        return false;
    if (run_message(s, &e) != 0 ||
        run_done(s, e.severity >= 20 ? DONE_ERROR | DONE_SEVERE : DONE_ERROR, 0xFD, 0) != 0)
        return false;
    if (atomic_load(&s->ended))
        return false;
    return !ends && !(s->xact_abort && undo);
}

static enum flow
run_while(struct run *r, struct stmt *x)
{
    bool yes;

    for (;;) {
        enum flow f;

        datetime_now(&r->s->now_utc, &r->s->now_local);
        if (run_condition(r, x, x->expr, &yes) != 0)
            return statement_failed(r, x) ? FLOW_NEXT : FLOW_STOP;
        if (!yes)
            return FLOW_NEXT;
        f = run_block(r, x->body);
        if (f == FLOW_BREAK)
            return FLOW_NEXT;
        if (f == FLOW_RETURN || f == FLOW_STOP)
            return f;
    }
}

static enum flow
run_try(struct run *r, struct stmt *x)
{
    enum flow f;

    r->try_depth++;
    f = run_block(r, x->body);
    r->try_depth--;
    if (!r->failed)
        return f;
    r->failed = false;
    if (r->s->peer_gone)
        return FLOW_STOP;
    f = run_block(r, x->other);
    r->s->caught.number = 0;
    return f;
}

enum flow
run_block(struct run *r, struct stmt *x)
{
    struct session *s = r->s;

    for (; x != NULL; x = x->next) {
        enum flow f = FLOW_NEXT;
        bool yes = false;

        datetime_now(&s->now_utc, &s->now_local);
        s->error.number = 0;
        s->error.line = 0;
        if (x->kind == STMT_BREAK || x->kind == STMT_CONTINUE)
            return x->kind == STMT_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
        if (x->kind == STMT_IF) {
            if (run_condition(r, x, x->expr, &yes) != 0)
                f = statement_failed(r, x) ? FLOW_NEXT : FLOW_STOP;
            else
                f = run_block(r, yes ? x->body : x->other);
        } else if (x->kind == STMT_BLOCK) {
            f = run_block(r, x->body);
        } else if (x->kind == STMT_WHILE) {
            f = run_while(r, x);
        } else if (x->kind == STMT_TRY) {
            f = run_try(r, x);
        } else if (run_one(r, x) != 0) {
            f = statement_failed(r, x) ? FLOW_NEXT : FLOW_STOP;
        } else {
            s->last_error = 0;
            if (x->kind == STMT_RETURN)
                return FLOW_RETURN;
        }
        if (f != FLOW_NEXT)
            return f;
    }
    return FLOW_NEXT;
}
