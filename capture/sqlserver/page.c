#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"

#include <stdlib.h>

#define PAGE_ROWS_MIN 16U
#define PAGE_ROWS_MAX 8192U

int
page_begin(struct page *p, size_t rows, size_t n_columns, struct err *e)
{
    size_t n = rows * n_columns + 1;
    struct value *values;
    struct position *positions;
    int *wire;

    p->n_rows = 0;
    p->wire_known = false;
    arena_reset(&p->arena);
    /* A page may have been another table's, with fewer and wider rows or more and narrower ones. */
    if (n_columns > p->columns) {
        wire = realloc(p->wire, n_columns * sizeof(*wire));
        if (wire == NULL)
            return err_set(e, ERR_NOMEM, "page of %zu columns", n_columns);
        p->wire = wire;
        p->columns = n_columns;
    }
    if (n > p->n_values) {
        values = realloc(p->values, n * sizeof(*values));
        if (values == NULL)
            return err_set(e, ERR_NOMEM, "page of %zu rows", rows);
        p->values = values;
        p->n_values = n;
    }
    if (rows <= p->capacity)
        return 0;
    positions = realloc(p->positions, rows * sizeof(*positions));
    if (positions == NULL)
        return err_set(e, ERR_NOMEM, "page of %zu rows", rows);
    p->positions = positions;
    p->capacity = rows;
    return 0;
}

void
page_free(struct page *p)
{
    free(p->values);
    free(p->positions);
    free(p->wire);
    arena_free(&p->arena);
    *p = (struct page){.values = NULL};
}

static int
undecodable(const struct instance *in, uint16_t column, struct err *e)
{
    return err_context(e, "%s.%s, column %s", in->table.def->schema, in->table.def->name,
                       in->table.def->columns[column].name);
}

int
page_undecodable(struct instance *in, uint16_t column, struct err *e)
{
    (void)undecodable(in, column, e);
    if (e->code == ERR_DATA)
        (void)meta_refuse(in, e->text, NULL);
    return -1;
}

/* *bad is the column that could not be carried. */
static int
decode(struct db *db, const struct instance *in, struct page *p, int column, uint16_t *bad,
       struct err *e)
{
    struct value *row = p->values + p->n_rows * in->n_columns;

    for (uint16_t i = 0; i < in->n_columns && !p->wire_known; i++)
        p->wire[i] = db_type(db, column + i);
    p->wire_known = true;
    for (uint16_t i = 0; i < in->n_columns; i++) {
        size_t size;
        const void *data = db_data(db, column + i, &size);

        *bad = i;
        if (type_decode_column(&in->types[i], p->wire[i], data, size, &p->arena, &row[i], e) != 0)
            return -1;
    }
    return 0;
}

int
page_decode_row(struct db *db, const struct instance *in, struct page *p, int column, struct err *e)
{
    uint16_t bad;

    return decode(db, in, p, column, &bad, e) == 0 ? 0 : undecodable(in, bad, e);
}

int
page_decode_into(struct sqlserver *s, struct instance *in, struct page *p, int column,
                 struct err *e)
{
    uint16_t bad;

    return decode(s->db, in, p, column, &bad, e) == 0 ? 0 : page_undecodable(in, bad, e);
}

int
page_decode(struct sqlserver *s, struct instance *in, int column, struct err *e)
{
    return page_decode_into(s, in, &in->page, column, e);
}

size_t
page_row_bytes(const struct page *p, uint16_t n_columns)
{
    size_t row = n_columns * sizeof(struct value) + sizeof(struct position);

    return p->n_rows > 0 ? row + p->arena.used / p->n_rows : row;
}

uint32_t
page_rows_of(size_t row_bytes, size_t target)
{
    size_t rows = target / row_bytes;

    if (rows < PAGE_ROWS_MIN)
        return PAGE_ROWS_MIN;
    return rows < PAGE_ROWS_MAX ? (uint32_t)rows : PAGE_ROWS_MAX;
}
