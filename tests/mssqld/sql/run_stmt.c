/* Statements in order: queries, variables, flow of control, messages. */
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "tests/mssqld/sql/parse.h"
#include "tests/mssqld/sql/plan.h"
#include "tests/mssqld/sql/security.h"

static const char VERSION_TEXT[] =
    "Microsoft SQL Server 2022 (RTM-CU14) (KB5038325) - 16.0.4135.4 (X64) \n\tDeveloper Edition "
    "(64-bit) on Linux (mssqld test server) <X64>";

/* Values of @@x, in the order of the binder's table. */
static void
global_value(struct session *s, int index, struct arena *a, struct sql_value *v)
{
    const char *text = NULL;

    *v = (struct sql_value){0};
    switch (index) {
    case 0:
        v->i = s->trancount;
        break;
    case 1:
        v->i = s->rowcount;
        break;
    case 2:
        v->i = s->spid;
        break;
    case 3:
        text = VERSION_TEXT;
        break;
    case 4:
        text = s->engine->server_name;
        break;
    case 5:
        v->i = s->last_error;
        break;
    case 6:
        v->is_null = !s->has_identity;
        value_set_decimal(v, s->last_identity);
        break;
    case 7:
        text = "MSSQLSERVER";
        break;
    case 8:
        text = "us_english";
        break;
    case 9:
        v->i = 7;
        break;
    case 10:
        v->i = 38;
        break;
    case 11:
        v->i = s->lock_timeout_ms;
        break;
    case 12:
        v->i = s->nesting - 1;
        break;
    case 15:
        v->i = 0x10001027;
        break;
    case 16:
        v->i = INT32_MAX;
        break;
    default:
        break;
    }
    if (text != NULL) {
        v->bytes.data = arena_strdup(a, text);
        v->bytes.size = strlen(text);
    }
}

int
query_start(struct session *s, struct query *q)
{
    struct frame *f = s->frame;

    (void)sqlite3_reset(q->stmt);
    for (int i = 0; i < q->n_binds; i++) {
        const struct bind *b = &q->binds[i];
        struct sql_value v;
        struct stored st = {0};

        if (b->kind == BIND_LITERAL)
            v = f->literals[b->index].value;
        else if (b->kind == BIND_VAR)
            v = f->vars[b->index].value;
        else
            global_value(s, b->index, &s->exec_arena, &v);
        value_store(&b->type, &v, &s->exec_arena, &st);
        if (stored_bind(q->stmt, i + 1, &st) != SQLITE_OK)
            return session_sqlite_error(s);
    }
    return 0;
}

/* Keeps a value in the frame: bytes are copied. */
static void
keep(struct run *r, const struct sql_type *t, struct sql_value *v)
{
    if (!v->is_null &&
        (type_is_text(t->base) || type_is_binary(t->base) || t->base == SQL_UNIQUEIDENTIFIER))
        v->bytes.data = arena_dup(r->frame->arena, v->bytes.data, v->bytes.size);
    if (!v->is_null && t->base == SQL_VARIANT) {
        struct sql_type *type = arena_dup(r->frame->arena, v->variant.type, sizeof *type);
        struct sql_value *inner = arena_dup(r->frame->arena, v->variant.value, sizeof *inner);

        keep(r, type, inner);
        v->variant.type = type;
        v->variant.value = inner;
    }
}

static int
scalar_once(struct run *r, struct query *q, struct sql_value *out)
{
    struct session *s = r->s;
    int rc = -1;

    if (query_start(s, q) == 0) {
        int step = sqlite3_step(q->stmt);

        if (step == SQLITE_ROW) {
            value_load(&q->columns[0].type, sqlite3_column_value(q->stmt, 0), r->frame->arena, out);
            keep(r, &q->columns[0].type, out);
            rc = 0;
        } else {
            rc = session_sqlite_error(s);
        }
    }
    (void)sqlite3_reset(q->stmt);
    return rc;
}

int
run_scalar(struct run *r, struct stmt *x, int slot, struct expr *e, const struct sql_type *to,
           struct sql_type *type, struct sql_value *out)
{
    struct plan *p;
    struct query once = {0};
    int rc = 0;

    if (e->kind == EXPR_LITERAL) { /* needs no SQLite */
        const struct literal *lit = &r->frame->literals[e->literal];
        struct value_context c = run_context(r->s, VALUE_CAST);

        if (type != NULL)
            *type = to != NULL ? *to : lit->type;
        if (to == NULL) {
            *out = lit->value;
            return 0;
        }
        rc = value_convert(&c, &lit->type, &lit->value, to, out);
        if (rc == 0)
            keep(r, to, out);
        return rc;
    }
    p = plan_of(r->s, r->entry, x);
    if (slot == 0) { /* the statement's one expression is kept */
        if (p->conditions.stmt == NULL) {
            query_free(&p->conditions);
            rc = query_scalar(r->s, r->frame, &p->arena, e, to, &p->conditions);
        }
        if (rc == 0 && type != NULL)
            *type = p->conditions.columns[0].type;
        return rc == 0 ? scalar_once(r, &p->conditions, out) : -1;
    }
    rc = query_scalar(r->s, r->frame, r->frame->arena, e, to, &once);
    if (rc == 0 && type != NULL)
        *type = once.columns[0].type;
    if (rc == 0)
        rc = scalar_once(r, &once, out);
    query_free(&once);
    return rc;
}

int
run_condition(struct run *r, struct stmt *x, struct expr *e, bool *out)
{
    struct sql_value v = {.is_null = true};
    struct sql_type t;

    if (run_scalar(r, x, 0, e, NULL, &t, &v) != 0)
        return -1;
    *out = !v.is_null && v.i != 0;
    return 0;
}

static struct variable *
find_var(struct run *r, const char *name)
{
    for (int i = 0; i < r->frame->n_vars; i++)
        if (strcasecmp(r->frame->vars[i].name, name) == 0)
            return &r->frame->vars[i];
    (void)sqlerr_set(&r->s->error, 137, 15, 1, "Must declare the scalar variable \"%s\".", name);
    return NULL;
}

static int
send_rows(struct run *r, struct query *q, int64_t *rows)
{
    struct session *s = r->s;
    const struct sink *sink = s->sink;
    struct sql_value *values =
        arena_alloc(&s->exec_arena, (size_t)(q->n_columns + 1) * sizeof *values);
    int step;

    if (sink != NULL && sink->columns(sink->arg, q->columns, q->n_columns) != 0) {
        s->peer_gone = true;
        return -1;
    }
    while ((step = sqlite3_step(q->stmt)) == SQLITE_ROW) {
        arena_reset(&s->row_arena);
        for (int i = 0; i < q->n_columns; i++) {
            value_load(&q->columns[i].type, sqlite3_column_value(q->stmt, i), &s->row_arena,
                       &values[i]);
            if (values[i].is_null && !q->columns[i].type.nullable)
                return sqlerr_set(&s->error, 50000, 17, 1,
                                  "internal: NULL in column %d, announced as NOT NULL", i + 1);
        }
        if (sink != NULL && sink->row(sink->arg, values) != 0) {
            s->peer_gone = true;
            return -1;
        }
        ++*rows;
    }
    return step == SQLITE_DONE ? 0 : session_sqlite_error(s);
}

/* SELECT @a = x, @b = y: the last row stays. */
static int
assign_rows(struct run *r, struct query *q, int64_t *rows)
{
    struct value_context c = run_context(r->s, VALUE_CAST);
    int step;

    while ((step = sqlite3_step(q->stmt)) == SQLITE_ROW) {
        for (int i = 0; i < q->n_columns; i++) {
            struct variable *v;
            struct sql_value value;

            if (q->variables[i] == NULL)
                return sqlerr_set(&r->s->error, 141, 15, 1,
                                  "A SELECT statement that assigns a value to a variable must not "
                                  "be combined with data-retrieval operations.");
            v = find_var(r, q->variables[i]);
            if (v == NULL)
                return -1;
            value_load(&q->columns[i].type, sqlite3_column_value(q->stmt, i), r->frame->arena,
                       &value);
            keep(r, &q->columns[i].type, &value);
            if (value_convert(&c, &q->columns[i].type, &value, &v->type, &v->value) != 0)
                return -1;
        }
        ++*rows;
    }
    return step == SQLITE_DONE ? 0 : session_sqlite_error(r->s);
}

static int
run_select(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    struct plan *p = plan_of(s, r->entry, x);
    int64_t rows = 0;
    int rc = 0;

    if (!p->made) {
        query_free(&p->query);
        if (query_select(s, r->frame, &p->arena, x->select, &p->query) != 0)
            return -1;
        p->made = true;
    }
    if (s->trancount > 0) {
        for (int i = 0; i < p->query.n_locks && rc == 0; i++)
            rc = tx_lock(s, p->query.locks[i]);
        if (rc == 0 && (s->isolation == ISO_REPEATABLE || s->isolation == ISO_SERIALIZABLE))
            rc = tx_lock(s, s->current);
        if (rc == 0)
            rc = tx_begin_read(s);
    }
    if (rc == 0)
        rc = query_start(s, &p->query);
    if (rc == 0)
        rc = p->query.assigns ? assign_rows(r, &p->query, &rows) : send_rows(r, &p->query, &rows);
    (void)sqlite3_reset(p->query.stmt);
    s->rowcount = rows;
    if (rc != 0)
        return -1;
    return run_done(s, DONE_COUNT, 0xC1, rows);
}

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
        struct variable *v = find_var(r, x->vars[i].name);

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
    struct variable *v = find_var(r, x->word);

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
run_print(struct run *r, struct stmt *x)
{
    struct sql_type text = type_sized(SQL_NVARCHAR, 4000);
    struct sql_value v;
    struct sqlerr e = {.line = x->line};

    if (run_scalar(r, x, 0, x->expr, &text, NULL, &v) != 0)
        return -1;
    (void)sqlerr_set(&e, 1, 0, 1, "%.*s", v.is_null ? 0 : (int)v.bytes.size,
                     v.is_null ? "" : (const char *)v.bytes.data);
    e.number = 0;
    return run_message(r->s, &e);
}

/* printf-like substitution of RAISERROR: %s %d %i %u %x %%, without widths. */
static int
format_message(struct run *r, struct stmt *x, const char *f, struct sbuf *out)
{
    struct sql_type text = type_sized(SQL_NVARCHAR, 4000);
    int arg = 3;

    sbuf_add(out, "");
    for (; *f != '\0'; f++) {
        struct sql_value v;

        if (*f != '%' || f[1] == '\0') {
            sbuf_addn(out, f, 1);
            continue;
        }
        f++;
        if (*f == '%') {
            sbuf_addn(out, f, 1);
            continue;
        }
        while (*f != '\0' && strchr("-+ 0123456789.lI*", *f) != NULL)
            f++;
        if (arg >= x->n_exprs) {
            sbuf_add(out, "(null)");
            continue;
        }
        if (run_scalar(r, x, arg + 1, x->exprs[arg], &text, NULL, &v) != 0)
            return -1;
        arg++;
        if (v.is_null)
            sbuf_add(out, "(null)");
        else
            sbuf_addn(out, v.bytes.data, v.bytes.size);
    }
    return 0;
}

static int
run_raiserror(struct run *r, struct stmt *x)
{
    struct sql_type whole = type_make(SQL_BIGINT);
    struct sql_type text = type_sized(SQL_NVARCHAR, 4000);
    struct sql_type type;
    struct sql_value v[3] = {{0}};
    struct sbuf out = {0};
    struct sqlerr e = {.line = x->line};
    int32_t number = 50000;
    int rc;

    if (x->n_exprs < 3)
        return sqlerr_syntax(&r->s->error, "RAISERROR");
    if (run_scalar(r, x, 1, x->exprs[0], NULL, &type, &v[0]) != 0 ||
        run_scalar(r, x, 2, x->exprs[1], &whole, NULL, &v[1]) != 0 ||
        run_scalar(r, x, 3, x->exprs[2], &whole, NULL, &v[2]) != 0)
        return -1;
    if (type_is_integer(type.base)) {
        number = (int32_t)v[0].i;
        sbuf_fmt(&out,
                 "Error %d, severity %lld, state %lld was raised, but no message with that "
                 "error number was found in sys.messages.",
                 number, (long long)v[1].i, (long long)v[2].i);
        rc = 0;
    } else {
        if (run_scalar(r, x, 4, x->exprs[0], &text, NULL, &v[0]) != 0)
            return -1;
        rc = format_message(r, x, arena_strndup(r->frame->arena, v[0].bytes.data, v[0].bytes.size),
                            &out);
    }
    if (rc == 0) {
        (void)sqlerr_set(&e, number,
                         (uint8_t)(v[1].i < 0    ? 0
                                   : v[1].i > 25 ? 25
                                                 : v[1].i),
                         (uint8_t)v[2].i, "%s", out.data);
        if (e.severity > 10) {
            r->s->error = e;
            rc = -1;
        } else {
            rc = run_message(r->s, &e);
        }
    }
    sbuf_free(&out);
    return rc;
}

static int
run_throw(struct run *r, struct stmt *x)
{
    struct sql_type whole = type_make(SQL_BIGINT);
    struct sql_type text = type_sized(SQL_NVARCHAR, 2048);
    struct sql_value v[3];

    if (x->n_exprs == 0) {
        if (r->s->caught.number == 0)
            return sqlerr_set(&r->s->error, 10704, 15, 1,
                              "To rethrow an error, a THROW statement must be used inside a CATCH "
                              "block.");
        r->s->error = r->s->caught;
        return -1;
    }
    if (x->n_exprs != 3)
        return sqlerr_syntax(&r->s->error, "THROW");
    if (run_scalar(r, x, 1, x->exprs[0], &whole, NULL, &v[0]) != 0 ||
        run_scalar(r, x, 2, x->exprs[1], &text, NULL, &v[1]) != 0 ||
        run_scalar(r, x, 3, x->exprs[2], &whole, NULL, &v[2]) != 0)
        return -1;
    return sqlerr_set(&r->s->error, (int32_t)v[0].i, 16, (uint8_t)v[2].i, "%.*s",
                      (int)v[1].bytes.size, (const char *)v[1].bytes.data);
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
    struct database *d = catalog_database(s, &n);

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
    v = find_var(r, x->word);
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
        rc = tx_begin(s);
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
        v = find_var(r, x->args[i].e->name);
        if (v == NULL || value_convert(&c, &call->args[i].result_type, &call->args[i].result,
                                       &v->type, &v->value) != 0)
            return -1;
        keep(r, &v->type, &v->value);
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
        struct variable *v = find_var(r, x->word);

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

static int
run_one(struct run *r, struct stmt *x)
{
    struct session *s = r->s;

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
            (void)tx_begin(s);
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
    bool undo = s->trancount > 0 &&
                (s->xact_abort || e.number == 245 || e.number == 1205 || e.number == 3960 ||
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
    if (run_message(s, &e) != 0 || run_done(s, DONE_ERROR, 0xFD, 0) != 0)
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
