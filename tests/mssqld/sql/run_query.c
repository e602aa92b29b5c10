/* Queries and values: what a statement reads, and the rows it sends. */
#include <strings.h>

#include "tests/mssqld/sql/fault.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/run_parts.h"

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
        text = flavour_version(s->engine);
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
void
run_keep(struct run *r, const struct sql_type *t, struct sql_value *v)
{
    if (!v->is_null &&
        (type_is_text(t->base) || type_is_binary(t->base) || t->base == SQL_UNIQUEIDENTIFIER))
        v->bytes.data = arena_dup(r->frame->arena, v->bytes.data, v->bytes.size);
    if (!v->is_null && t->base == SQL_VARIANT) {
        struct sql_type *type = arena_dup(r->frame->arena, v->variant.type, sizeof *type);
        struct sql_value *inner = arena_dup(r->frame->arena, v->variant.value, sizeof *inner);

        run_keep(r, type, inner);
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
            run_keep(r, &q->columns[0].type, out);
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
            run_keep(r, to, out);
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

struct variable *
run_variable(struct run *r, const char *name)
{
    for (int i = 0; i < r->frame->n_vars; i++)
        if (strcasecmp(r->frame->vars[i].name, name) == 0)
            return &r->frame->vars[i];
    (void)sqlerr_set(&r->s->error, 137, 15, 1, "Must declare the scalar variable \"%s\".", name);
    return NULL;
}

/* The catalog moved between binding and running: nothing was sent, bind and run again. */
#define BIND_ANEW 1

static int
send_rows(struct run *r, struct query *q, int64_t *rows)
{
    struct session *s = r->s;
    const struct sink *sink = s->sink;
    struct sql_value *values =
        arena_alloc(&s->exec_arena, (size_t)(q->n_columns + 1) * sizeof *values);
    int step = sqlite3_step(q->stmt);

    if (step == SQLITE_ERROR && strncmp(sqlite3_errmsg(s->db), "no such ", 8) == 0)
        return BIND_ANEW;
    if (sink != NULL && sink->columns(sink->arg, q->columns, q->n_columns) != 0) {
        s->peer_gone = true;
        return -1;
    }
    for (; step == SQLITE_ROW; step = sqlite3_step(q->stmt)) {
        if (s->fault_after >= 0 && fault_row(s, *rows, false) != 0)
            return -1;
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
    if (s->fault_after >= 0 && fault_row(s, *rows, true) != 0)
        return -1;
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
            v = run_variable(r, q->variables[i]);
            if (v == NULL)
                return -1;
            value_load(&q->columns[i].type, sqlite3_column_value(q->stmt, i), r->frame->arena,
                       &value);
            run_keep(r, &q->columns[i].type, &value);
            if (value_convert(&c, &q->columns[i].type, &value, &v->type, &v->value) != 0)
                return -1;
        }
        ++*rows;
    }
    return step == SQLITE_DONE ? 0 : session_sqlite_error(r->s);
}

/* TABLOCK alone is let go with its statement at READ COMMITTED: nobody need see it. */
static int
take_lock(struct session *s, const struct table_lock *l)
{
    if (l->hint == 'X')
        return tx_lock(s, l->db, l->object_id);
    if (l->hint == 'S' || s->isolation == ISO_REPEATABLE || s->isolation == ISO_SERIALIZABLE)
        return tx_share(s, l->db, l->object_id);
    return 0;
}

/* Locks, then the rows. */
static int
select_once(struct run *r, struct query *q, int64_t *rows)
{
    struct session *s = r->s;
    int rc = 0;

    if (s->trancount > 0) {
        for (int i = 0; i < q->n_locks && rc == 0; i++)
            rc = take_lock(s, &q->locks[i]);
        if (rc == 0 && (s->isolation == ISO_REPEATABLE || s->isolation == ISO_SERIALIZABLE))
            rc = tx_lock(s, s->current, 0);
        if (rc == 0)
            rc = tx_begin_read(s);
    }
    if (rc == 0)
        rc = query_start(s, q);
    if (rc == 0)
        rc = q->assigns ? assign_rows(r, q, rows) : send_rows(r, q, rows);
    (void)sqlite3_reset(q->stmt);
    return rc;
}

int
run_select(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    int64_t rows = 0;
    int rc = BIND_ANEW;

    for (int tries = 0; rc == BIND_ANEW && tries < 5; tries++) {
        struct plan *p = plan_of(s, r->entry, x);

        if (!p->made) {
            query_free(&p->query);
            if (query_select(s, r->frame, &p->arena, x->select, &p->query) != 0)
                return -1;
            p->made = true;
        }
        rc = select_once(r, &p->query, &rows);
    }
    s->rowcount = rows;
    if (rc != 0)
        return rc < 0 ? -1 : session_sqlite_error(s);
    return run_done(s, DONE_COUNT, 0xC1, rows);
}
