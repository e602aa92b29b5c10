/* INSERT, UPDATE, DELETE: rows are read, converted and written one by one, and captured. */
#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/parse.h"
#include "tests/mssqld/sql/plan.h"
#include "tests/mssqld/sql/security.h"

/* A row read before anything is written: old values, then those of SET. */
struct held_row {
    struct stored rowid;
    struct stored *values;
    struct stored *after; /* whole new row of an update */
    bool *changed;
    bool moved; /* touches a unique key: delete and insert */
};

struct held {
    struct held_row *rows;
    int n;
    struct arena arena;
};

static struct table *
target(struct run *r, struct stmt *x, const char *permission)
{
    struct session *s = r->s;
    struct table *t;

    s->error.number = 0;
    t = catalog_find(s, &x->name, 'U');
    if (t == NULL) {
        if (s->error.number == 0)
            (void)sqlerr_set(&s->error, 208, 16, 1, "Invalid object name '%s%s%s'.",
                             x->name.schema != NULL ? x->name.schema : "",
                             x->name.schema != NULL ? "." : "", x->name.object);
        return NULL;
    }
    if (security_require(s, t, permission) != 0 || tx_begin_write(s, t->db) != 0 ||
        (t->n_instances > 0 && !s->cdc_internal && cdc_begin_statement(s, t->db) != 0))
        return NULL;
    return t;
}

static int
open_point(struct session *s, bool wanted)
{
    return wanted && s->trancount > 0 ? session_sql(s, "SAVEPOINT stmt") : 0;
}

static int
close_point(struct session *s, bool wanted, int rc)
{
    struct sqlerr keep = s->error;

    if (!wanted || s->trancount == 0)
        return rc;
    if (rc != 0) {
        (void)session_sql(s, "ROLLBACK TO stmt");
        catalog_forget(s);
    }
    (void)session_sql(s, "RELEASE stmt");
    s->error = keep;
    return rc;
}

static int
truncated(struct session *s, const struct table *t, const struct column *c,
          const struct sql_type *type, const struct sql_value *v)
{
    int n = type_is_text(type->base) ? (int)(v->bytes.size < 100 ? v->bytes.size : 100) : 0;

    return sqlerr_set(&s->error, 2628, 16, 1,
                      "String or binary data would be truncated in table '%s.%s.%s', column '%s'. "
                      "Truncated value: '%.*s'.",
                      t->db->name, t->schema, t->name, c->name, n,
                      n > 0 ? (const char *)v->bytes.data : "");
}

/* A value into a column's stored form. */
static int
store_column(struct session *s, const struct table *t, const struct column *c,
             const struct sql_type *type, const struct sql_value *v, struct arena *a,
             struct stored *out)
{
    struct value_context x = {
        .arena = a, .e = &s->error, .mode = VALUE_ASSIGN, .order = s->date_order};
    struct sql_value converted;

    if (v->is_null) {
        out->kind = SQLITE_NULL;
        return 0;
    }
    if (value_convert(&x, type, v, &c->type, &converted) != 0)
        return s->error.number == 8152 ? truncated(s, t, c, type, v) : -1;
    *out = (struct stored){0};
    value_store(&c->type, &converted, a, out);
    return 0;
}

static int
null_refused(struct session *s, const struct table *t, const struct column *c, const char *verb)
{
    return sqlerr_set(&s->error, 515, 16, 2,
                      "Cannot insert the value NULL into column '%s', table '%s.%s.%s'; column "
                      "does not allow nulls. %s fails.",
                      c->name, t->db->name, t->schema, t->name, verb);
}

static void
key_text(const struct session *s, const struct table *t, const struct key *k,
         const struct stored *row, struct sbuf *out)
{
    struct arena a = {0};
    struct sqlerr e = {0};
    struct value_context c = {.arena = &a, .e = &e, .mode = VALUE_CAST, .style = 121};

    (void)s;
    for (int i = 0; i < k->n_columns; i++) {
        const struct column *col = &t->columns[k->columns[i]];
        const struct stored *st = &row[k->columns[i]];
        const char *text = "<NULL>";
        size_t size = 6;

        sbuf_add(out, i > 0 ? ", " : "");
        if (st->kind == SQLITE_INTEGER && type_is_integer(col->type.base)) {
            sbuf_fmt(out, "%lld", (long long)st->i);
            continue;
        }
        if (st->kind == SQLITE_TEXT) {
            text = st->data;
            size = st->size;
        }
        (void)c;
        sbuf_addn(out, text, size);
    }
    arena_free(&a);
}

/* SQLite names the columns ("t5.c1, t5.c2"); the key with these columns was violated. */
static int
duplicate(struct session *s, const struct table *t, const struct stored *row)
{
    const char *message = sqlite3_errmsg(s->db);
    const struct key *hit = NULL;
    struct sbuf text = {0};

    if (sqlite3_extended_errcode(s->db) != SQLITE_CONSTRAINT_UNIQUE &&
        sqlite3_extended_errcode(s->db) != SQLITE_CONSTRAINT_PRIMARYKEY)
        return session_sqlite_error(s);
    for (int i = 0; i < t->n_keys && hit == NULL; i++) {
        char want[1024] = "failed: ";
        size_t n = strlen(want);

        for (int c = 0; c < t->keys[i].n_columns && n < sizeof want - 64; c++)
            n += (size_t)snprintf(want + n, sizeof want - n, "%st%d.c%d", c > 0 ? ", " : "",
                                  t->object_id, t->columns[t->keys[i].columns[c]].id);
        if (t->keys[i].unique && strstr(message, want) != NULL &&
            strlen(strstr(message, want)) == n)
            hit = &t->keys[i];
    }
    if (hit == NULL)
        return session_sqlite_error(s);
    key_text(s, t, hit, row, &text);
    if (hit->constraint)
        (void)sqlerr_set(&s->error, 2627, 14, 1,
                         "Violation of %s constraint '%s'. Cannot insert duplicate key in object "
                         "'%s.%s'. The duplicate key value is (%s).",
                         hit->primary ? "PRIMARY KEY" : "UNIQUE KEY", hit->name, t->schema, t->name,
                         text.data);
    else
        (void)sqlerr_set(&s->error, 2601, 14, 1,
                         "Cannot insert duplicate key row in object '%s.%s' with unique index "
                         "'%s'. The duplicate key value is (%s).",
                         t->schema, t->name, hit->name, text.data);
    sbuf_free(&text);
    return -1;
}

static int
prepare_insert(struct session *s, struct table *t)
{
    struct sbuf sql = {0};
    int n = 1;

    if (t->insert != NULL)
        return 0;
    sbuf_fmt(&sql, "INSERT INTO d%d.t%d(%s", t->db->id, t->object_id,
             t->without_rowid ? "" : "rowid");
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].computed_text == NULL)
            sbuf_fmt(&sql, "%sc%d", sql.data[sql.size - 1] == '(' ? "" : ",", t->columns[i].id);
    sbuf_add(&sql, t->without_rowid ? ") VALUES(" : ") VALUES(?1");
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].computed_text == NULL)
            sbuf_fmt(&sql, "%s?%d", sql.data[sql.size - 1] == '(' ? "" : ",", ++n);
    sbuf_add(&sql, ")");
    t->insert = session_prepare(s, sql.data);
    sbuf_free(&sql);
    return t->insert == NULL ? -1 : 0;
}

/* rowid may be of kind NULL: SQLite chooses. */
static int
write_row(struct session *s, struct table *t, const struct stored *rowid, const struct stored *row)
{
    int n = 1;
    int rc;

    if (!t->without_rowid)
        (void)stored_bind(t->insert, 1, rowid);
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].computed_text == NULL)
            (void)stored_bind(t->insert, ++n, &row[i]);
    rc = sqlite3_step(t->insert) == SQLITE_DONE ? 0 : duplicate(s, t, row);
    (void)sqlite3_reset(t->insert);
    return rc;
}

static int64_t
next_rowversion(struct session *s, struct table *t)
{
    int64_t v =
        session_int(s, 2000, "SELECT v FROM d%d.sys_meta WHERE k = 'rowversion'", t->db->id) + 1;

    (void)session_sqlf(s, "UPDATE d%d.sys_meta SET v = %lld WHERE k = 'rowversion'", t->db->id,
                       (long long)v);
    return v;
}

static void
store_rowversion(struct session *s, struct table *t, struct arena *a, struct stored *out)
{
    int64_t v = next_rowversion(s, t);
    unsigned char *p = arena_alloc(a, 8);

    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (unsigned char)v;
    *out = (struct stored){.kind = SQLITE_BLOB, .data = p, .size = 8};
}

static int
default_value(struct run *r, struct table *t, struct column *c, struct arena *a, struct stored *out)
{
    struct session *s = r->s;
    struct lexed l = {0};
    struct arena own = {0};
    struct query q = {0};
    struct expr *e;
    struct frame f = {.arena = &own, .up = s->frame};
    int rc = -1;

    out->kind = SQLITE_NULL;
    if (c->default_text == NULL)
        return 0;
    s->frame = &f;
    if (lex(c->default_text, &own, &l, &s->error) == 0 &&
        parse_single_expr(&l, &own, &e, &s->error) == 0) {
        f.literals = l.literals;
        if (query_scalar(s, &f, &own, e, NULL, &q) == 0 && query_start(s, &q) == 0) {
            if (sqlite3_step(q.stmt) == SQLITE_ROW) {
                struct sql_value v;

                value_load(&q.columns[0].type, sqlite3_column_value(q.stmt, 0), a, &v);
                rc = store_column(s, t, c, &q.columns[0].type, &v, a, out);
                if (rc == 0 && (out->kind == SQLITE_TEXT || out->kind == SQLITE_BLOB))
                    out->data = arena_dup(a, out->data, out->size);
            } else {
                rc = session_sqlite_error(s);
            }
        }
    }
    s->frame = f.up;
    query_free(&q);
    sbuf_free(&l.key);
    arena_free(&own);
    return rc;
}

static int
take_identity(struct session *s, struct table *t)
{
    const struct column *c = &t->columns[t->identity];

    if (t->identity_loaded)
        return 0;
    t->identity_next = session_int(s, c->seed, "SELECT v FROM d%d.sys_meta WHERE k = 'identity:%d'",
                                   t->db->id, t->object_id);
    t->identity_loaded = true;
    return 0;
}

static int
save_identity(struct session *s, struct table *t)
{
    if (t->identity < 0)
        return 0;
    return session_sqlf(s, "REPLACE INTO d%d.sys_meta VALUES ('identity:%d', %lld)", t->db->id,
                        t->object_id, (long long)t->identity_next);
}

/* given[i]: column i has a value already; the rest come from identity, rowversion, defaults. */
static int
complete_row(struct run *r, struct table *t, const bool *given, struct arena *a, struct stored *row)
{
    struct session *s = r->s;
    int64_t me = (int64_t)t->db->id << 32 | t->object_id;

    for (int i = 0; i < t->n_columns; i++) {
        struct column *c = &t->columns[i];

        if (c->identity) {
            if (take_identity(s, t) != 0)
                return -1;
            if (given[i]) {
                if (s->identity_insert == me && (c->increment > 0 ? row[i].i >= t->identity_next
                                                                  : row[i].i <= t->identity_next))
                    t->identity_next = row[i].i + c->increment;
            } else {
                struct sql_type whole = type_make(SQL_BIGINT);
                struct sql_value v = {.i = t->identity_next};

                if (store_column(s, t, c, &whole, &v, a, &row[i]) != 0)
                    return -1;
                t->identity_next += c->increment;
            }
            s->has_identity = true;
            s->last_identity = row[i].kind == SQLITE_INTEGER ? row[i].i : 0;
        } else if (c->type.base == SQL_ROWVERSION && c->computed_text == NULL &&
                   !(s->cdc_internal && given[i])) {
            store_rowversion(s, t, a, &row[i]);
        } else if (!given[i] && c->computed_text == NULL &&
                   default_value(r, t, c, a, &row[i]) != 0) {
            return -1;
        }
        if (row[i].kind == SQLITE_NULL && !c->type.nullable && c->computed_text == NULL)
            return null_refused(s, t, c, "INSERT");
    }
    return 0;
}

static int
insert_row(struct run *r, struct table *t, const bool *given, struct arena *a, struct stored *row)
{
    static const struct stored NO_ROWID = {.kind = SQLITE_NULL};

    if (complete_row(r, t, given, a, row) != 0 || write_row(r->s, t, &NO_ROWID, row) != 0)
        return -1;
    if (t->n_instances == 0 || r->s->cdc_internal)
        return 0;
    cdc_next_row(r->s);
    return cdc_row(r->s, t, CDC_INSERT, row, NULL);
}

/* Which table column each inserted value goes to. */
static int
insert_targets(struct run *r, struct stmt *x, struct plan *p, struct table *t)
{
    struct session *s = r->s;
    int64_t me = (int64_t)t->db->id << 32 | t->object_id;

    p->n_targets = 0;
    p->targets = arena_alloc(&p->arena, (size_t)(t->n_columns + x->n_columns + 1) * sizeof(int));
    for (int i = 0; i < x->n_columns; i++) {
        int c = catalog_column(t, x->columns[i]);

        if (c < 0)
            return sqlerr_set(&s->error, 207, 16, 1, "Invalid column name '%s'.", x->columns[i]);
        p->targets[p->n_targets++] = c;
    }
    if (x->n_columns == 0 && !x->with_rows)
        for (int i = 0; i < t->n_columns; i++) {
            bool own = t->columns[i].type.base == SQL_ROWVERSION ||
                       (t->columns[i].identity && s->identity_insert != me);

            if (t->columns[i].computed_text == NULL && (!own || s->cdc_internal))
                p->targets[p->n_targets++] = i;
        }
    for (int i = 0; i < p->n_targets; i++) {
        const struct column *c = &t->columns[p->targets[i]];

        if (c->computed_text != NULL)
            return sqlerr_set(&s->error, 271, 16, 1,
                              "The column \"%s\" cannot be modified because it is either a "
                              "computed column or is the result of a UNION operator.",
                              c->name);
        if (c->identity && s->identity_insert != me && !s->cdc_internal)
            return sqlerr_set(&s->error, 544, 16, 1,
                              "Cannot insert explicit value for identity column in table '%s' when "
                              "IDENTITY_INSERT is set to OFF.",
                              t->name);
        if (c->type.base == SQL_ROWVERSION && !s->cdc_internal)
            return sqlerr_set(&s->error, 273, 16, 1,
                              "Cannot insert an explicit value into a timestamp column. Use INSERT "
                              "with a column list to exclude the timestamp column, or insert a "
                              "DEFAULT into the timestamp column.");
    }
    return 0;
}

static int
count_mismatch(struct session *s, bool few)
{
    return few ? sqlerr_set(&s->error, 213, 16, 1,
                            "Column name or number of supplied values does not match table "
                            "definition.")
               : sqlerr_set(&s->error, 109, 15, 1,
                            "There are more columns in the INSERT statement than values specified "
                            "in the VALUES clause. The number of values in the VALUES clause must "
                            "match the number of columns specified in the INSERT statement.");
}

static bool
is_plain(const struct expr *e)
{
    if (e->kind == EXPR_NEGATE)
        return e->args[0]->kind == EXPR_LITERAL;
    return e->kind == EXPR_LITERAL || e->kind == EXPR_NULL || e->kind == EXPR_DEFAULT ||
           e->kind == EXPR_VAR;
}

/* The type a plain expression has; its value in *v. */
static int
plain_value(struct run *r, const struct expr *e, struct sql_type *t, struct sql_value *v)
{
    struct frame *f = r->frame;
    const struct expr *lit = e->kind == EXPR_NEGATE ? e->args[0] : e;

    *v = (struct sql_value){.is_null = true};
    if (lit->kind == EXPR_LITERAL) {
        *t = f->literals[lit->literal].type;
        *v = f->literals[lit->literal].value;
        if (e->kind == EXPR_NEGATE) {
            if (type_is_decimal(t->base))
                v->dec.negative = v->dec.magnitude != 0;
            else if (t->base == SQL_FLOAT)
                v->f = -v->f;
            else if (type_is_integer(t->base))
                v->i = -v->i;
            else
                return sqlerr_set(&r->s->error, 8117, 16, 1,
                                  "Operand data type %s is invalid for minus operator.",
                                  type_name(t->base));
        }
    } else if (e->kind == EXPR_VAR) {
        for (int i = 0; i < f->n_vars; i++)
            if (strcasecmp(f->vars[i].name, e->name) == 0) {
                *t = f->vars[i].type;
                *v = f->vars[i].value;
                return 0;
            }
        return sqlerr_set(&r->s->error, 137, 15, 2, "Must declare the scalar variable \"%s\".",
                          e->name);
    }
    return 0;
}

/* Common type of each VALUES column: 28 beside 20.5 becomes 28.0. */
static int
common_types(struct run *r, struct stmt *x, struct plan *p)
{
    const struct select *v = x->select;

    p->types = arena_alloc(&p->arena, (size_t)(v->n_row_items + 1) * sizeof *p->types);
    for (int c = 0; c < v->n_row_items; c++) {
        bool have = false;

        for (int i = 0; i < v->n_rows; i++) {
            struct sql_type t = type_make(SQL_INT);
            struct sql_value value;
            const struct expr *e = v->rows[i][c];

            if (plain_value(r, e, &t, &value) != 0)
                return -1;
            if (e->kind == EXPR_NULL || e->kind == EXPR_DEFAULT)
                continue;
            if (type_is_text(t.base) || type_is_binary(t.base))
                t.length = SQL_LENGTH_MAX; /* lengths differ from run to run */
            p->types[c] = have ? type_unify(&p->types[c], &t) : t;
            have = true;
        }
        if (!have)
            p->types[c] = type_make(SQL_INT);
    }
    return 0;
}

static int
insert_plain_row(struct run *r, struct stmt *x, struct plan *p, struct table *t,
                 struct expr *const *items)
{
    struct session *s = r->s;
    struct stored *row;
    bool *given;
    struct value_context c = run_context(s, VALUE_CAST);
    bool many = x->select->n_rows > 1;

    arena_reset(&s->row_arena);
    c.arena = &s->row_arena;
    row = arena_alloc(&s->row_arena, (size_t)(t->n_columns + 1) * sizeof *row);
    given = arena_alloc(&s->row_arena, (size_t)t->n_columns + 1);
    for (int i = 0; i < t->n_columns; i++)
        row[i].kind = SQLITE_NULL;
    for (int i = 0; i < p->n_targets; i++) {
        struct sql_type type = type_make(SQL_INT);
        struct sql_value v;
        int col = p->targets[i];

        if (items[i]->kind == EXPR_DEFAULT)
            continue;
        given[col] = true;
        if (plain_value(r, items[i], &type, &v) != 0)
            return -1;
        if (many && !v.is_null && type.base != p->types[i].base &&
            value_convert(&c, &type, &v, &p->types[i], &v) != 0)
            return -1;
        if (many && !v.is_null && type.base == p->types[i].base && type_is_decimal(type.base) &&
            value_convert(&c, &type, &v, &p->types[i], &v) != 0)
            return -1;
        if (store_column(s, t, &t->columns[col], many ? &p->types[i] : &type, &v, &s->row_arena,
                         &row[col]) != 0)
            return -1;
    }
    return insert_row(r, t, given, &s->row_arena, row);
}

static int
insert_values(struct run *r, struct stmt *x, struct plan *p, struct table *t, int64_t *rows)
{
    struct select *v = x->select;

    if (v->n_row_items != p->n_targets)
        return count_mismatch(r->s, x->n_columns == 0 || v->n_row_items > p->n_targets);
    for (int i = 0; i < v->n_rows; i++) {
        if (insert_plain_row(r, x, p, t, v->rows[i]) != 0)
            return -1;
        ++*rows;
    }
    return 0;
}

/* INSERT ... SELECT: all rows are read before the first is written. */
static int
insert_query(struct run *r, struct plan *p, struct table *t, int64_t *rows)
{
    struct session *s = r->s;
    struct arena held = {0};
    struct stored **all = NULL;
    bool *given = arena_alloc(&held, (size_t)t->n_columns + 1);
    int n = 0;
    int rc = 0;
    int step = SQLITE_DONE;

    if (p->query.n_columns != p->n_targets)
        rc = count_mismatch(s, true);
    if (rc == 0)
        rc = query_start(s, &p->query);
    while (rc == 0 && (step = sqlite3_step(p->query.stmt)) == SQLITE_ROW) {
        struct stored *row = arena_alloc(&held, (size_t)(t->n_columns + 1) * sizeof *row);

        for (int i = 0; i < t->n_columns; i++)
            row[i].kind = SQLITE_NULL;
        for (int i = 0; i < p->n_targets && rc == 0; i++) {
            int col = p->targets[i];
            struct sql_value v;

            value_load(&p->query.columns[i].type, sqlite3_column_value(p->query.stmt, i), &held,
                       &v);
            given[col] = true;
            rc = store_column(s, t, &t->columns[col], &p->query.columns[i].type, &v, &held,
                              &row[col]);
            if (rc == 0 && (row[col].kind == SQLITE_TEXT || row[col].kind == SQLITE_BLOB))
                row[col].data = arena_dup(&held, row[col].data, row[col].size);
        }
        all = arena_push(&held, all, n, sizeof *all);
        all[n++] = row;
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = session_sqlite_error(s);
    (void)sqlite3_reset(p->query.stmt);
    for (int i = 0; i < n && rc == 0; i++) {
        rc = insert_row(r, t, given, &held, all[i]);
        *rows += rc == 0;
    }
    arena_free(&held);
    return rc;
}

static int
insert_plan(struct run *r, struct stmt *x, struct plan *p, struct table *t)
{
    struct select *v = x->select;

    if (p->made)
        return 0;
    if (insert_targets(r, x, p, t) != 0)
        return -1;
    p->plain_values = !x->with_rows && v->n_rows > 0 && v->next == NULL;
    for (int i = 0; p->plain_values && i < v->n_rows; i++)
        for (int c = 0; p->plain_values && c < v->n_row_items; c++)
            p->plain_values = is_plain(v->rows[i][c]);
    if (p->plain_values) {
        if (v->n_rows > 1 && common_types(r, x, p) != 0)
            return -1;
    } else if (!x->with_rows && query_select(r->s, r->frame, &p->arena, v, &p->query) != 0) {
        return -1;
    }
    p->made = true;
    return 0;
}

int
dml_append(struct session *s, struct table *t, const struct stored *row)
{
    static const struct stored NO_ROWID = {.kind = SQLITE_NULL};

    return prepare_insert(s, t) != 0 ? -1 : write_row(s, t, &NO_ROWID, row);
}

int
dml_insert(struct run *r, struct stmt *x, int64_t *rows)
{
    struct session *s = r->s;
    struct plan *p = plan_of(s, r->entry, x);
    struct table *t = target(r, x, "INSERT");
    bool many;
    int rc;

    if (t == NULL)
        return -1;
    if (p->made && s->identity_insert != 0)
        p->made = false; /* IDENTITY_INSERT changes what may be given */
    if (insert_plan(r, x, p, t) != 0 || prepare_insert(s, t) != 0)
        return -1;
    many = !p->plain_values || x->select->n_rows > 1;
    if (open_point(s, many) != 0)
        return -1;
    if (x->with_rows) {
        struct stored *row = arena_alloc(&s->exec_arena, (size_t)(t->n_columns + 1) * sizeof *row);
        bool *given = arena_alloc(&s->exec_arena, (size_t)t->n_columns + 1);

        for (int i = 0; i < t->n_columns; i++)
            row[i].kind = SQLITE_NULL;
        rc = insert_row(r, t, given, &s->exec_arena, row);
        *rows = 1;
    } else if (p->plain_values) {
        rc = insert_values(r, x, p, t, rows);
    } else {
        rc = insert_query(r, p, t, rows);
    }
    if (rc == 0)
        rc = save_identity(s, t);
    return close_point(s, many, rc);
}

static void
hold(struct arena *a, sqlite3_value *v, struct stored *out)
{
    *out = (struct stored){0};
    stored_take(v, out);
    if (out->kind == SQLITE_TEXT || out->kind == SQLITE_BLOB)
        out->data = arena_dup(a, out->data, out->size);
}

/* Reads the rows a statement will change, with the values of its expressions behind. */
static int
hold_rows(struct session *s, struct query *q, const struct table *t, int n_exprs, struct held *h)
{
    int step;

    if (query_start(s, q) != 0)
        return -1;
    while ((step = sqlite3_step(q->stmt)) == SQLITE_ROW) {
        struct held_row *row;
        int n = t->n_columns + n_exprs;

        h->rows = arena_push(&h->arena, h->rows, h->n, sizeof *h->rows);
        row = &h->rows[h->n++];
        *row = (struct held_row){0};
        row->values = arena_alloc(&h->arena, (size_t)(n + 1) * sizeof *row->values);
        hold(&h->arena, sqlite3_column_value(q->stmt, 0), &row->rowid);
        for (int i = 0; i < n; i++)
            hold(&h->arena, sqlite3_column_value(q->stmt, i + 1), &row->values[i]);
    }
    (void)sqlite3_reset(q->stmt);
    return step == SQLITE_DONE ? 0 : session_sqlite_error(s);
}

static int
delete_rowid(struct session *s, sqlite3_stmt *q, const struct held_row *row)
{
    int rc;

    (void)stored_bind(q, 1, &row->rowid);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_reset(q);
    return rc;
}

/* Internal tables without rowid are cleaned by their first column's bounds: one statement. */
static int
delete_direct(struct run *r, struct stmt *x, struct table *t, int64_t *rows)
{
    struct session *s = r->s;
    struct plan *p = plan_of(s, r->entry, x);
    struct sbuf sql = {0};
    char *where;
    int rc = -1;

    if (query_table_rows(s, r->frame, &p->arena, t, x->select->where, NULL, NULL, NULL, 0,
                         &p->values) != 0)
        return -1;
    where = strstr(p->values.text.data, " FROM ");
    sbuf_fmt(&sql, "DELETE%s", where);
    (void)sqlite3_finalize(p->values.stmt);
    p->values.stmt = session_prepare(s, sql.data);
    if (p->values.stmt != NULL && query_start(s, &p->values) == 0)
        rc = sqlite3_step(p->values.stmt) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    *rows = sqlite3_changes64(s->db);
    query_free(&p->values);
    sbuf_free(&sql);
    return rc;
}

int
dml_delete(struct run *r, struct stmt *x, int64_t *rows)
{
    struct session *s = r->s;
    struct plan *p = plan_of(s, r->entry, x);
    struct table *t = target(r, x, "DELETE");
    struct held h = {0};
    int rc = 0;

    if (t == NULL)
        return -1;
    if (t->without_rowid)
        return delete_direct(r, x, t, rows);
    if (!p->made) {
        query_free(&p->query);
        rc = query_table_rows(s, r->frame, &p->arena, t, x->select->where, x->expr, NULL, NULL, 0,
                              &p->query);
        if (rc == 0)
            p->values.stmt =
                session_prepare(s, arena_printf(&p->arena, "DELETE FROM d%d.t%d WHERE rowid = ?1",
                                                t->db->id, t->object_id));
        if (rc != 0 || p->values.stmt == NULL)
            return -1;
        p->made = true;
    }
    rc = hold_rows(s, &p->query, t, 0, &h);
    if (rc == 0)
        rc = open_point(s, true);
    for (int i = 0; i < h.n && rc == 0; i++) {
        rc = delete_rowid(s, p->values.stmt, &h.rows[i]);
        if (rc == 0 && t->n_instances > 0 && !s->cdc_internal) {
            cdc_next_row(s);
            rc = cdc_row(s, t, CDC_DELETE, h.rows[i].values, NULL);
        }
    }
    *rows = h.n;
    rc = close_point(s, true, rc);
    arena_free(&h.arena);
    return rc;
}

/* TRUNCATE is refused on captured tables. */
int
dml_truncate(struct run *r, struct stmt *x)
{
    struct session *s = r->s;
    struct table *t = target(r, x, "DELETE");

    if (t == NULL)
        return -1;
    if (t->n_instances > 0)
        return sqlerr_set(&s->error, 4711, 16, 1,
                          "Cannot truncate table '%s' because it is published for replication or "
                          "enabled for Change Data Capture.",
                          t->name);
    t->identity_loaded = false;
    return session_sqlf(s, "DELETE FROM d%d.t%d; DELETE FROM d%d.sys_meta WHERE k = 'identity:%d'",
                        t->db->id, t->object_id, t->db->id, t->object_id);
}

static int
update_plan(struct run *r, struct stmt *x, struct plan *p, struct table *t)
{
    struct session *s = r->s;
    struct expr **exprs = arena_alloc(&p->arena, (size_t)(x->n_sets + 1) * sizeof *exprs);
    struct sbuf sql = {0};
    int n = 1;

    p->targets = arena_alloc(&p->arena, (size_t)(x->n_sets + 1) * sizeof(int));
    for (int i = 0; i < x->n_sets; i++) {
        int c = catalog_column(t, x->sets[i].column);

        if (c < 0)
            return sqlerr_set(&s->error, 207, 16, 1, "Invalid column name '%s'.",
                              x->sets[i].column);
        if (t->columns[c].identity && !s->cdc_internal)
            return sqlerr_set(&s->error, 8102, 16, 1, "Cannot update identity column '%s'.",
                              t->columns[c].name);
        if (t->columns[c].computed_text != NULL)
            return sqlerr_set(&s->error, 271, 16, 1,
                              "The column \"%s\" cannot be modified because it is either a "
                              "computed column or is the result of a UNION operator.",
                              t->columns[c].name);
        if (t->columns[c].type.base == SQL_ROWVERSION)
            return sqlerr_set(&s->error, 272, 16, 1, "Cannot update a timestamp column.");
        p->targets[i] = c;
        exprs[i] = x->sets[i].e;
        if (x->sets[i].op != '=') {
            struct expr *col = arena_alloc(&p->arena, sizeof *col);
            struct expr *sum = arena_alloc(&p->arena, sizeof *sum);

            *col = (struct expr){.kind = EXPR_COLUMN, .name = t->columns[c].name};
            *sum = (struct expr){.kind = EXPR_BINARY, .op = x->sets[i].op, .n_args = 2};
            sum->args = arena_alloc(&p->arena, 2 * sizeof *sum->args);
            sum->args[0] = col;
            sum->args[1] = x->sets[i].e;
            exprs[i] = sum;
        }
    }
    p->n_targets = x->n_sets;
    if (query_table_rows(s, r->frame, &p->arena, t, x->select->where, x->expr, exprs, NULL,
                         x->n_sets, &p->query) != 0)
        return -1;
    p->types = arena_alloc(&p->arena, (size_t)(x->n_sets + 1) * sizeof *p->types);
    for (int i = 0; i < x->n_sets; i++)
        p->types[i] = exprs[i]->type;
    sbuf_fmt(&sql, "UPDATE d%d.t%d SET ", t->db->id, t->object_id);
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].computed_text == NULL) {
            n++;
            sbuf_fmt(&sql, "%sc%d=?%d", n > 2 ? "," : "", t->columns[i].id, n);
        }
    sbuf_add(&sql, " WHERE rowid=?1");
    p->values.stmt = session_prepare(s, sql.data);
    sbuf_clear(&sql);
    sbuf_fmt(&sql, "DELETE FROM d%d.t%d WHERE rowid = ?1", t->db->id, t->object_id);
    p->conditions.stmt = session_prepare(s, sql.data);
    sbuf_free(&sql);
    p->made = p->values.stmt != NULL && p->conditions.stmt != NULL;
    return p->made ? 0 : -1;
}

/* Old values plus SET: the new row, and which of its columns differ. */
static int
make_after(struct run *r, struct stmt *x, struct plan *p, struct table *t, struct arena *a,
           struct held_row *row)
{
    struct session *s = r->s;

    row->after = arena_alloc(a, (size_t)(t->n_columns + 1) * sizeof *row->after);
    row->changed = arena_alloc(a, (size_t)t->n_columns + 1);
    memcpy(row->after, row->values, (size_t)t->n_columns * sizeof *row->after);
    for (int i = 0; i < p->n_targets; i++) {
        int c = p->targets[i];
        struct sql_value v;
        struct stored *in = &row->values[t->n_columns + i];

        if (x->sets[i].e->kind == EXPR_DEFAULT) {
            if (default_value(r, t, &t->columns[c], a, &row->after[c]) != 0)
                return -1;
        } else {
            value_unstore(&p->types[i], in, a, &v);
            if (store_column(s, t, &t->columns[c], &p->types[i], &v, a, &row->after[c]) != 0)
                return -1;
        }
        if (row->after[c].kind == SQLITE_NULL && !t->columns[c].type.nullable)
            return null_refused(s, t, &t->columns[c], "UPDATE");
        row->changed[c] = !stored_equal(&row->after[c], &row->values[c]);
    }
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].type.base == SQL_ROWVERSION) {
            store_rowversion(s, t, a, &row->after[i]);
            row->changed[i] = true;
        }
    for (int k = 0; k < t->n_keys; k++)
        for (int i = 0; t->keys[k].unique && i < t->keys[k].n_columns; i++)
            row->moved = row->moved || row->changed[t->keys[k].columns[i]];
    return 0;
}

static bool
is_changed(const struct table *t, const struct held_row *row)
{
    for (int i = 0; i < t->n_columns; i++)
        if (row->changed[i])
            return true;
    return false;
}

static int
write_update(struct session *s, struct plan *p, struct table *t, const struct held_row *row)
{
    int n = 1;
    int rc;

    (void)stored_bind(p->values.stmt, 1, &row->rowid);
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].computed_text == NULL)
            (void)stored_bind(p->values.stmt, ++n, &row->after[i]);
    rc = sqlite3_step(p->values.stmt) == SQLITE_DONE ? 0 : duplicate(s, t, row->after);
    (void)sqlite3_reset(p->values.stmt);
    return rc;
}

/*
 * Change rows of an update.  Moved rows are a delete of this command and an insert of the next,
 * all deletes before all inserts; both rows of one have the same sequence value.
 */
static int
capture_updates(struct session *s, struct table *t, struct held *h)
{
    uint8_t *seqvals = arena_alloc(&h->arena, (size_t)h->n * LSN_SIZE + 1);
    bool second = false;
    int rc = 0;

    for (int i = 0; i < h->n && rc == 0; i++) {
        struct held_row *row = &h->rows[i];

        if (!is_changed(t, row))
            continue;
        cdc_next_row(s);
        memcpy(seqvals + i * LSN_SIZE, s->cdc.seqval, LSN_SIZE);
        if (row->moved) {
            rc = cdc_row(s, t, CDC_DELETE, row->values, NULL);
            second = true;
            continue;
        }
        rc = cdc_row(s, t, CDC_BEFORE, row->values, row->changed);
        if (rc == 0)
            rc = cdc_row(s, t, CDC_AFTER, row->after, row->changed);
    }
    if (second)
        cdc_next_command(s);
    for (int i = 0; i < h->n && rc == 0; i++) {
        uint8_t keep[LSN_SIZE];

        if (!h->rows[i].moved)
            continue;
        memcpy(keep, s->cdc.seqval, LSN_SIZE);
        memcpy(s->cdc.seqval, seqvals + i * LSN_SIZE, LSN_SIZE);
        rc = cdc_row(s, t, CDC_INSERT, h->rows[i].after, NULL);
        memcpy(s->cdc.seqval, keep, LSN_SIZE);
    }
    return rc;
}

/* Rows whose unique key moves go first and come last, so that swapped keys do not collide. */
static int
apply_updates(struct session *s, struct plan *p, struct table *t, struct held *h)
{
    bool capture = t->n_instances > 0 && !s->cdc_internal;
    int rc = 0;

    for (int i = 0; i < h->n && rc == 0; i++)
        if (h->rows[i].moved)
            rc = delete_rowid(s, p->conditions.stmt, &h->rows[i]);
    for (int i = 0; i < h->n && rc == 0; i++)
        if (!h->rows[i].moved)
            rc = write_update(s, p, t, &h->rows[i]);
        else
            rc = write_row(s, t, &h->rows[i].rowid, h->rows[i].after);
    return rc == 0 && capture ? capture_updates(s, t, h) : rc;
}

int
dml_update(struct run *r, struct stmt *x, int64_t *rows)
{
    struct session *s = r->s;
    struct plan *p = plan_of(s, r->entry, x);
    struct table *t = target(r, x, "UPDATE");
    struct held h = {0};
    int rc = 0;

    if (t == NULL)
        return -1;
    if (!p->made) {
        query_free(&p->query);
        if (update_plan(r, x, p, t) != 0)
            return -1;
    }
    if (prepare_insert(s, t) != 0)
        return -1;
    rc = hold_rows(s, &p->query, t, x->n_sets, &h);
    for (int i = 0; i < h.n && rc == 0; i++)
        rc = make_after(r, x, p, t, &h.arena, &h.rows[i]);
    if (rc == 0 && open_point(s, true) == 0)
        rc = close_point(s, true, apply_updates(s, p, t, &h));
    *rows = h.n;
    arena_free(&h.arena);
    return rc;
}
