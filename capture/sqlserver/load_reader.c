/*
 * A reader of a full load: a connection of its own that reads ranges of tables page by page.
 *
 * In key order a page is a statement of its own, so that no result set stays open while the rows
 * wait to be handed on.  A piece without order is one statement, read as its rows are wanted.
 */
#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROWS 256U /* until the size of a row is known */

struct reader {
    struct source_reader base; /* first */
    struct sqlserver *s;       /* its settings only: the main thread has its own connection */
    struct db *db;
    struct sql q;
    struct source_part part;
    struct source_key above; /* the last row read, in key order */
    uint32_t rows;           /* of the next page */
    bool is_open;            /* rows of the statement are left */
};

struct reader_page {
    struct source_page base; /* first */
    struct page page;
};

/* ---- connections and pages ---- */

int
reader_open(struct source *base, struct source_reader **out, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct reader *r = calloc(1, sizeof(*r));
    struct db_config config;

    if (r == NULL)
        return err_set(e, ERR_NOMEM, "reader");
    meta_db_config(s, &config);
    r->base.engine = &sqlserver_engine;
    r->s = s;
    if (db_open(&config, &r->db, e) != 0) {
        free(r);
        return meta_soften(s, e);
    }
    *out = &r->base;
    return 0;
}

void
reader_close(struct source_reader **base)
{
    struct reader *r = (struct reader *)*base;

    db_close(&r->db);
    sql_free(&r->q);
    source_key_free(&r->above);
    free(r);
    *base = NULL;
}

struct source_page *
reader_page_new(struct source *base)
{
    struct reader_page *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->base.engine = base->engine;
    return &p->base;
}

void
reader_page_free(struct source_page **base)
{
    struct reader_page *p = (struct reader_page *)*base;

    page_free(&p->page);
    source_key_free(&p->base.last);
    free(p);
    *base = NULL;
}

int
reader_run(struct source_reader *base, const char *text, struct err *e)
{
    return db_run(((struct reader *)base)->db, text, e);
}

struct db *
reader_db(struct source_reader *base)
{
    return ((struct reader *)base)->db;
}

/* ---- statements ---- */

static void
add_key_names(struct sql *q, const struct instance *in)
{
    const struct table_def *d = in->table.def;

    for (uint16_t k = 0; k < d->n_key; k++) {
        if (k > 0)
            sql_add(q, ", ");
        sql_add_name(q, d->columns[d->key[k]].name);
    }
}

/* (k1 > a OR (k1 = a AND (k2 > b OR ...))): the server compares, in its own order. */
static void
add_key_compare(struct sql *q, const struct instance *in, const char *strict, const char *last,
                const struct source_key *key)
{
    const struct table_def *d = in->table.def;

    for (uint16_t k = 0; k < d->n_key; k++) {
        const char *name = d->columns[d->key[k]].name;
        bool is_last = k + 1 == d->n_key;

        sql_add(q, "(");
        sql_add_name(q, name);
        sql_add(q, " %s %s", is_last ? last : strict, key->part[k]);
        if (is_last)
            break;
        sql_add(q, " OR (");
        sql_add_name(q, name);
        sql_add(q, " = %s AND ", key->part[k]);
    }
    for (uint16_t k = 0; k + 1 < d->n_key; k++)
        sql_add(q, "))");
    sql_add(q, ")");
}

static void
add_where(struct sql *q, const struct reader *r, const struct instance *in)
{
    const char *word = " WHERE ";

    if (r->part.where[0] != '\0') {
        sql_add(q, "%s%s", word, r->part.where);
        word = " AND ";
    }
    if (!r->part.is_ordered)
        return;
    if (r->above.n > 0) {
        sql_add(q, "%s", word);
        add_key_compare(q, in, ">", ">", &r->above);
        word = " AND ";
    }
    if (r->part.upto->n > 0) {
        sql_add(q, "%s", word);
        add_key_compare(q, in, "<", "<=", r->part.upto);
    }
}

static int
send(struct reader *r, const struct instance *in, struct err *e)
{
    const char *text;

    sql_reset(&r->q);
    sql_add(&r->q, "SELECT ");
    if (r->part.is_ordered)
        sql_add(&r->q, "TOP (%u) ", r->rows);
    sql_add(&r->q, "%s FROM ", in->load_list);
    load_add_table(&r->q, in);
    add_where(&r->q, r, in);
    if (r->part.is_ordered) {
        sql_add(&r->q, " ORDER BY ");
        add_key_names(&r->q, in);
    }
    text = sql_text(&r->q, e);
    if (text == NULL || db_query(r->db, text, e) != 0)
        return -1;
    r->is_open = true;
    return 0;
}

/* ---- rows ---- */

/* The key of a page's row, as literals. */
static int
key_of_row(const struct instance *in, const struct page *p, size_t row, struct source_key *out,
           struct err *e)
{
    const struct table_def *d = in->table.def;
    const struct value *values = p->values + row * in->n_columns;

    source_key_free(out);
    for (uint16_t k = 0; k < d->n_key; k++) {
        struct sql q = {.text = NULL};

        type_add_literal(&q, &in->types[d->key[k]], &values[d->key[k]]);
        if (sql_text(&q, e) == NULL) {
            sql_free(&q);
            return -1;
        }
        out->part[k] = q.text;
        out->n = (uint16_t)(k + 1);
    }
    return 0;
}

/* Until the page is full, by rows or bytes (then 1), or the rows are over (0). */
static int
fill(struct reader *r, const struct instance *in, struct page *p, size_t bytes, struct err *e)
{
    size_t row = in->n_columns * sizeof(struct value);
    int rc;

    while (p->n_rows < r->rows && p->n_rows * row + p->arena.used < bytes) {
        rc = db_next(r->db, e);
        if (rc <= 0)
            return rc == 0 ? db_result(r->db, e) : -1;
        if (page_decode_row(r->db, in, p, 0, e) != 0)
            return -1;
        p->n_rows++;
    }
    return 1;
}

/* As many rows as fit, by the size of those seen. */
static uint32_t
next_rows(const struct page *p, const struct instance *in, uint32_t rows, size_t bytes)
{
    size_t row = in->n_columns * sizeof(struct value);
    size_t fit;

    if (p->n_rows > 0)
        row += p->arena.used / p->n_rows;
    fit = bytes / (row > 0 ? row : 1) + 1;
    return fit < rows ? (uint32_t)fit : rows;
}

/* The table was dropped or lost a column since its definition was read.  Once, that is a reason to
   read it again; if that does not help the table stops, not the task. */
static int
failed(struct instance *in, struct err *e)
{
    enum { INVALID_COLUMN = 207, INVALID_OBJECT = 208 };

    if (e->code == ERR_SQL && (e->sys == INVALID_COLUMN || e->sys == INVALID_OBJECT) &&
        atomic_exchange(&in->is_stale, true))
        e->code = ERR_DATA;
    return -1;
}

int
reader_begin(struct source_reader *base, const struct source_part *part, struct err *e)
{
    struct reader *r = (struct reader *)base;

    r->part = *part;
    r->rows = FIRST_ROWS;
    r->is_open = false; /* what an earlier range left unread is dropped by the next statement */
    return source_key_copy(&r->above, part->from, e);
}

int
reader_page(struct source_reader *base, uint32_t rows, size_t bytes, struct source_page *page,
            struct err *e)
{
    struct reader *r = (struct reader *)base;
    struct instance *in = (struct instance *)r->part.table;
    struct reader_page *out = (struct reader_page *)page;
    struct page *p = &out->page;
    bool is_full;
    int rc;

    if (r->rows > rows)
        r->rows = rows;
    source_key_free(&page->last);
    if ((r->part.is_ordered || !r->is_open) && send(r, in, e) != 0)
        return failed(in, e);
    if (page_begin(p, r->rows, in->n_columns, e) != 0)
        return -1;
    rc = fill(r, in, p, bytes, e);
    if (rc < 0)
        return failed(in, e);
    is_full = rc == 1;
    page->values = p->values;
    page->n_rows = p->n_rows;
    page->is_end = !is_full;
    if (r->part.is_ordered && is_full &&
        (key_of_row(in, p, p->n_rows - 1, &page->last, e) != 0 ||
         source_key_copy(&r->above, &page->last, e) != 0))
        return -1;
    r->rows = next_rows(p, in, rows, bytes);
    return 0;
}
