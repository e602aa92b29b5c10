#include "capture/sqlserver/db.h"
#include "capture/sqlserver/log.h"
#include "common/err.h"
#include "common/log.h"
#include "common/task.h"

#include <string.h>

/*
 * Values the log left out of an update are read from the table, by key, for many rows at once.  What
 * comes is the table's present: a later update may have changed it already (its own event follows),
 * and a row that is gone keeps its values unavailable (its delete follows).
 */

#define ROWS_FIRST   32U
#define ROWS_MAX     256U
#define BYTES_TARGET ((size_t)4 << 20)

/* The server's words for a column and a table that are no longer there. */
enum { NO_SUCH_COLUMN = 207, NO_SUCH_OBJECT = 208 };

/* A batch: rows of the page, and which columns lack in any of them. */
struct batch {
    size_t rows[ROWS_MAX];
    size_t n_rows;
    uint16_t columns[EVENT_MAX_COLUMNS];
    uint16_t n_columns;
};

static bool
lacks(const struct instance *in, size_t row, uint16_t column)
{
    return in->page.values[row * in->n_columns + column].kind == VALUE_UNAVAILABLE;
}

static bool
is_update(const struct instance *in, size_t row)
{
    struct position_sqlserver p;

    position_to_sqlserver(&in->page.positions[row], &p);
    return p.operation == CT_UPDATE_AFTER;
}

/* Rows from in->next on, as many as are asked for at once; moves fresh_upto behind them. */
static void
gather(struct instance *in, struct batch *b)
{
    bool wanted[EVENT_MAX_COLUMNS] = {false};
    size_t row = in->next;

    b->n_rows = 0;
    b->n_columns = 0;
    for (; row < in->page.n_rows && b->n_rows < in->fresh_rows; row++) {
        bool any = false;

        for (uint16_t c = 0; c < in->n_columns && is_update(in, row); c++)
            if (in->types[c].is_lob && lacks(in, row, c)) {
                wanted[c] = true;
                any = true;
            }
        if (any)
            b->rows[b->n_rows++] = row;
    }
    in->fresh_upto = row;
    for (uint16_t c = 0; c < in->n_columns; c++)
        if (wanted[c])
            b->columns[b->n_columns++] = c;
}

/* Names that begin with __$ cannot be columns of a captured table. */
static void
add_statement(struct sql *q, const struct instance *in, const struct batch *b)
{
    const struct table_def *d = in->table.def;

    sql_reset(q);
    sql_add(q, "SELECT [__$i]");
    for (uint16_t i = 0; i < b->n_columns; i++) {
        sql_add(q, ", ");
        type_add_select(q, &in->types[b->columns[i]], d->columns[b->columns[i]].name);
    }
    sql_add(q, " FROM (VALUES ");
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct value *row = in->page.values + b->rows[i] * in->n_columns;

        sql_add(q, "%s(%zu", i > 0 ? ", " : "", i);
        for (uint16_t k = 0; k < d->n_key; k++) {
            sql_add(q, ", ");
            type_add_literal(q, &in->types[d->key[k]], &row[d->key[k]]);
        }
        sql_add(q, ")");
    }
    sql_add(q, ") AS k ([__$i]");
    for (uint16_t k = 0; k < d->n_key; k++)
        sql_add(q, ", [__$%u]", k + 1U);
    sql_add(q, ") JOIN ");
    sql_add_name(q, d->schema);
    sql_add(q, ".");
    sql_add_name(q, d->name);
    sql_add(q, " AS s ON ");
    for (uint16_t k = 0; k < d->n_key; k++) {
        sql_add(q, "%ss.", k > 0 ? " AND " : "");
        sql_add_name(q, d->columns[d->key[k]].name);
        sql_add(q, " = [__$%u]", k + 1U);
    }
}

static int
take_row(struct sqlserver *s, struct instance *in, const struct batch *b, struct err *e)
{
    int64_t i = db_int(s->db, 0);
    struct value *row;

    if (i < 0 || (size_t)i >= b->n_rows)
        return err_set(e, ERR_PROTOCOL, "row %d of %zu", (int)i, b->n_rows);
    row = in->page.values + b->rows[i] * in->n_columns;
    for (uint16_t c = 0; c < b->n_columns; c++) {
        uint16_t column = b->columns[c];
        size_t size;
        const void *data = db_data(s->db, 1 + c, &size);

        if (row[column].kind != VALUE_UNAVAILABLE)
            continue;
        if (type_decode_column(&in->types[column], db_type(s->db, 1 + c), data, size, &in->fresh,
                               &row[column], e) != 0)
            return page_undecodable(in, column, e);
    }
    return 0;
}

static int
read_batch(struct sqlserver *s, struct instance *in, const struct batch *b, struct err *e)
{
    const char *text;
    int rc;

    add_statement(&s->q, in, b);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1)
        if (take_row(s, in, b, e) != 0)
            return -1;
    return rc < 0 || db_result(s->db, e) < 0 ? -1 : 0;
}

static bool
can_ask(const struct instance *in)
{
    const struct table_def *d = in->table.def;

    for (uint16_t k = 0; k < d->n_key; k++)
        if (!type_is_key(&in->types[d->key[k]]))
            return false;
    return d->n_key > 0 && !in->is_unreadable;
}

int
log_fresh(struct sqlserver *s, struct instance *in, struct err *e)
{
    struct batch b;

    if (!s->config.task->weir.reread_unavailable || in->next < in->fresh_upto || !can_ask(in))
        return 0;
    if (in->fresh_rows == 0)
        in->fresh_rows = ROWS_FIRST;
    gather(in, &b);
    if (b.n_rows == 0)
        return 0;
    arena_reset(&in->fresh);
    if (read_batch(s, in, &b, e) != 0) {
        /* The next connection goes on without. */
        if (e->sys == NO_SUCH_COLUMN || e->sys == NO_SUCH_OBJECT) {
            in->is_unreadable = true;
            log_warn("reread-ends", "table=%s.%s reason=\"%s\"", in->table.def->schema,
                     in->table.def->name, e->text);
        }
        return err_context(e, "read what the log left out of %s", in->table.instance);
    }
    if (in->fresh.used > BYTES_TARGET && in->fresh_rows > 1)
        in->fresh_rows /= 2;
    else if (in->fresh.used < BYTES_TARGET / 4 && in->fresh_rows < ROWS_MAX)
        in->fresh_rows *= 2;
    return 0;
}
