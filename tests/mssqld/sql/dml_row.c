/* What INSERT, UPDATE and DELETE share: the target, the stored row, its refusals. */
#include "tests/mssqld/sql/dml_row.h"
#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/parse.h"
#include "tests/mssqld/sql/security.h"

static struct table *
find_target(struct session *s, const struct name *name)
{
    struct table *t;

    s->error.number = 0;
    t = catalog_find(s, name, 'U');
    if (t == NULL && s->error.number == 0)
        (void)sqlerr_set(&s->error, 208, 16, 1, "Invalid object name '%s%s%s'.",
                         name->schema != NULL ? name->schema : "", name->schema != NULL ? "." : "",
                         name->object);
    return t;
}

struct table *
dml_target(struct run *r, struct stmt *x, const char *permission)
{
    struct session *s = r->s;
    struct table *t;
    uint64_t version;

    do { /* while it waited for its turn, somebody may have altered the table */
        version = s->catalog_version;
        t = find_target(s, &x->name);
        if (t == NULL || security_require(s, t, permission) != 0 ||
            tx_begin_write(s, t->db, t->object_id) != 0)
            return NULL;
        catalog_refresh(s);
    } while (s->catalog_version != version);
    if (t->n_instances > 0 && !s->cdc_internal && cdc_begin_statement(s, t->db) != 0)
        return NULL;
    return t;
}

int
dml_open_point(struct session *s, bool wanted)
{
    return wanted && s->trancount > 0 ? session_sql(s, "SAVEPOINT stmt") : 0;
}

int
dml_close_point(struct session *s, bool wanted, int rc)
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
int
dml_store(struct session *s, const struct table *t, const struct column *c,
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

int
dml_null_refused(struct session *s, const struct table *t, const struct column *c, const char *verb)
{
    return sqlerr_set(&s->error, 515, 16, 2,
                      "Cannot insert the value NULL into column '%s', table '%s.%s.%s'; column "
                      "does not allow nulls. %s fails.",
                      c->name, t->db->name, t->schema, t->name, verb);
}

/* The key's values as error messages show them. */
static void
key_text(const struct table *t, const struct key *k, const struct stored *row, struct sbuf *out)
{
    struct arena a = {0};
    struct sqlerr e = {0};
    struct value_context c = {.arena = &a, .e = &e, .mode = VALUE_CAST, .style = 121};

    for (int i = 0; i < k->n_columns; i++) {
        const struct sql_type *type = &t->columns[k->columns[i]].type;
        const char *text = "<NULL>";
        size_t size = strlen(text);
        struct sql_value v;

        value_unstore(type, &row[k->columns[i]], &a, &v);
        if (!v.is_null && value_text(&c, type, &v, &text, &size) != 0)
            size = 0; /* a value without text form */
        sbuf_add(out, i > 0 ? ", " : "");
        sbuf_addn(out, text, size);
    }
    arena_free(&a);
}

/* SQLite names the columns ("t5.c1, t5.c2"); the key with these columns was violated. */
int
dml_duplicate(struct session *s, const struct table *t, const struct stored *row)
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
    key_text(t, hit, row, &text);
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

int
dml_prepare_insert(struct session *s, struct table *t)
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
int
dml_write(struct session *s, struct table *t, const struct stored *rowid, const struct stored *row)
{
    int n = 1;
    int rc;

    if (!t->without_rowid)
        (void)stored_bind(t->insert, 1, rowid);
    for (int i = 0; i < t->n_columns; i++)
        if (t->columns[i].computed_text == NULL)
            (void)stored_bind(t->insert, ++n, &row[i]);
    rc = sqlite3_step(t->insert) == SQLITE_DONE ? 0 : dml_duplicate(s, t, row);
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

void
dml_rowversion(struct session *s, struct table *t, struct arena *a, struct stored *out)
{
    int64_t v = next_rowversion(s, t);
    unsigned char *p = arena_alloc(a, 8);

    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (unsigned char)v;
    *out = (struct stored){.kind = SQLITE_BLOB, .data = p, .size = 8};
}

int
dml_default(struct run *r, struct table *t, struct column *c, struct arena *a, struct stored *out)
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
                rc = dml_store(s, t, c, &q.columns[0].type, &v, a, out);
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

int
dml_append(struct session *s, struct table *t, const struct stored *row)
{
    static const struct stored NO_ROWID = {.kind = SQLITE_NULL};

    return dml_prepare_insert(s, t) != 0 ? -1 : dml_write(s, t, &NO_ROWID, row);
}
