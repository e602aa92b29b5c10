#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define LOAD_PAGE_BYTES ((size_t)4 << 20)

/*
 * P = the newest LSN the capture job has written, or the newest start LSN of a selected instance if
 * that is newer (right after enabling, the log has not been scanned yet).  Everything up to P was
 * committed before this call, so a read that starts now sees it.
 */
int
load_join(struct source *base, struct position *out, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct lsn p = {.b = {0}};
    int rc;

    if (db_query(s->db, "SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping", e) != 0)
        return err_context(e, "read the newest LSN");
    while ((rc = db_next(s->db, e)) == 1)
        (void)lsn_read(s->db, 0, &p);
    if (rc < 0 || db_result(s->db, e) < 0)
        return err_context(e, "read the newest LSN");
    for (size_t i = 0; i < s->n_instances; i++)
        if (s->instances[i]->change_object != 0 && !s->instances[i]->is_gone &&
            lsn_compare(&s->instances[i]->start, &p) > 0)
            p = s->instances[i]->start;
    position_lsn_complete(p.b, out);
    return 0;
}

void
load_chunk_position(const struct position *join, uint64_t chunk, struct position *out)
{
    position_chunk_behind(join, chunk, out);
}

/* ---- keys ---- */

static bool
can_page(const struct instance *in)
{
    const struct table_def *d = in->table.def;

    for (uint16_t k = 0; k < d->n_key; k++)
        if (!type_is_key(&in->types[d->key[k]]))
            return false;
    return d->n_key > 0 && d->n_key <= SOURCE_KEY_MAX;
}

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
add_range(struct sql *q, const struct instance *in, const struct source_key *from,
          const struct source_key *upto)
{
    if (from->n > 0) {
        sql_add(q, " WHERE ");
        add_key_compare(q, in, ">", ">", from);
    }
    if (upto->n > 0) {
        sql_add(q, from->n > 0 ? " AND " : " WHERE ");
        add_key_compare(q, in, "<", "<=", upto);
    }
}

/* The key of a row of the page, as literals. */
static int
key_of_row(struct instance *in, size_t row, struct source_key *out, struct err *e)
{
    const struct table_def *d = in->table.def;
    const struct value *values = in->page.values + row * in->n_columns;

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

static void
add_table(struct sql *q, const struct instance *in)
{
    sql_add_name(q, in->table.def->schema);
    sql_add(q, ".");
    sql_add_name(q, in->table.def->name);
}

/* ---- chunks ---- */

/* The table was dropped or lost a column since its definition was read: it, not the task, stops. */
static int
failed(struct instance *in, struct err *e)
{
    enum { INVALID_COLUMN = 207, INVALID_OBJECT = 208 };

    if (e->code == ERR_SQL && (e->sys == INVALID_COLUMN || e->sys == INVALID_OBJECT)) {
        e->code = ERR_DATA;
        (void)meta_refuse(in, e->text, NULL);
    }
    return -1;
}

/* A row of key columns only, into row 0 of the page. */
static int
decode_key(struct sqlserver *s, struct instance *in, struct err *e)
{
    const struct table_def *d = in->table.def;

    for (uint16_t k = 0; k < d->n_key; k++) {
        size_t size;
        const void *data = db_data(s->db, k, &size);

        if (type_decode_column(&in->types[d->key[k]], db_type(s->db, k), data, size,
                               &in->page.arena, &in->page.values[d->key[k]], e) != 0)
            return err_context(e, "key of %s.%s", d->schema, d->name);
    }
    return 0;
}

static void
add_key_select(struct sql *q, const struct instance *in)
{
    const struct table_def *d = in->table.def;

    for (uint16_t k = 0; k < d->n_key; k++) {
        if (k > 0)
            sql_add(q, ", ");
        type_add_select(q, &in->types[d->key[k]], d->columns[d->key[k]].name);
    }
}

int
load_chunk_bound(struct source *base, struct source_table *t, const struct source_key *from,
                 uint32_t rows, struct source_key *out, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct instance *in = (struct instance *)t;
    const struct source_key none = {.n = 0};
    const char *text;
    int rc;

    source_key_free(out);
    if (!can_page(in))
        return 0;
    sql_reset(&s->q);
    sql_add(&s->q, "SELECT ");
    add_key_select(&s->q, in);
    sql_add(&s->q, " FROM ");
    add_table(&s->q, in);
    add_range(&s->q, in, from, &none);
    sql_add(&s->q, " ORDER BY ");
    add_key_names(&s->q, in);
    sql_add(&s->q, " OFFSET %u ROWS FETCH NEXT 1 ROWS ONLY", rows);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0 ||
        page_begin(&in->page, 1, in->n_columns, e) != 0)
        return failed(in, e);
    while ((rc = db_next(s->db, e)) == 1) {
        if (decode_key(s, in, e) != 0 || key_of_row(in, 0, out, e) != 0)
            return -1;
    }
    if (rc < 0 || db_result(s->db, e) < 0)
        return -1;
    return 0;
}

static int
give_row(struct instance *in, size_t row, const struct source_sink *sink, struct err *e)
{
    struct event ev = {
        .operation = EVENT_LOAD,
        .n_after = in->n_columns,
        .after = in->page.values + row * in->n_columns,
    };

    return sink->change(sink->arg, &in->table, &ev, e);
}

/* Without a key there is no order to page by: one SELECT, row by row. */
static int
read_stream(struct sqlserver *s, struct instance *in, const struct source_sink *sink, struct err *e)
{
    const char *text;
    int rc;

    sql_reset(&s->q);
    sql_add(&s->q, "SELECT %s FROM ", in->select_list);
    add_table(&s->q, in);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0 ||
        page_begin(&in->page, 1, in->n_columns, e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1) {
        arena_reset(&in->page.arena);
        if (page_decode(s, in, 0, e) != 0 || give_row(in, 0, sink, e) != 0)
            return -1;
    }
    return rc < 0 || db_result(s->db, e) < 0 ? -1 : 0;
}

/* One page of a chunk into memory, so that no result set stays open while rings are full. */
static int
read_page(struct sqlserver *s, struct instance *in, const struct source_key *from,
          const struct source_key *upto, struct err *e)
{
    const char *text;
    int rc;

    sql_reset(&s->q);
    sql_add(&s->q, "SELECT TOP (%u) %s FROM ", in->page_rows, in->select_list);
    add_table(&s->q, in);
    add_range(&s->q, in, from, upto);
    sql_add(&s->q, " ORDER BY ");
    add_key_names(&s->q, in);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0 ||
        page_begin(&in->page, in->page_rows, in->n_columns, e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1) {
        if (in->page.n_rows == in->page_rows)
            return err_set(e, ERR_PROTOCOL, "more rows than TOP asked for");
        if (page_decode(s, in, 0, e) != 0)
            return -1;
        in->page.n_rows++;
    }
    return rc < 0 || db_result(s->db, e) < 0 ? -1 : 0;
}

static int
read_pages(struct sqlserver *s, struct instance *in, const struct source_key *from,
           const struct source_key *upto, const struct source_sink *sink, struct err *e)
{
    struct source_key last = {.n = 0};
    const struct source_key *above = from;
    int result = -1;

    for (;;) {
        bool is_last;

        if (read_page(s, in, above, upto, e) != 0)
            goto done;
        is_last = in->page.n_rows < in->page_rows;
        if (!is_last && key_of_row(in, in->page.n_rows - 1, &last, e) != 0)
            goto done;
        for (size_t row = 0; row < in->page.n_rows; row++)
            if (give_row(in, row, sink, e) != 0)
                goto done;
        if (is_last)
            break;
        above = &last;
        in->page_rows = page_next_rows(&in->page, in->n_columns, LOAD_PAGE_BYTES);
    }
    result = 0;

done:
    source_key_free(&last);
    return result;
}

int
load_chunk_read(struct source *base, struct source_table *t, const struct source_key *from,
                const struct source_key *upto, const struct source_sink *sink, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct instance *in = (struct instance *)t;

    if ((can_page(in) ? read_pages(s, in, from, upto, sink, e) : read_stream(s, in, sink, e)) != 0)
        return failed(in, e);
    return 0;
}
