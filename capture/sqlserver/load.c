#include "capture/sqlserver/db.h"
#include "capture/sqlserver/schema.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_ROWS      10000U  /* a piece with fewer rows is not worth its query */
#define HEAP_PIECE_ROWS 200000U /* a piece of a table without order is read anew as a whole */
#define SCANS_MAX       64U     /* each such piece scans the table */

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

bool
load_has_order(const struct instance *in)
{
    const struct table_def *d = in->table.def;

    for (uint16_t k = 0; k < d->n_key; k++)
        if (!type_is_key(&in->types[d->key[k]]))
            return false;
    return d->n_key > 0 && d->n_key <= SOURCE_KEY_MAX;
}

void
load_add_table(struct sql *q, const struct instance *in)
{
    sql_add_name(q, in->table.def->schema);
    sql_add(q, ".");
    sql_add_name(q, in->table.def->name);
}

/* ---- pieces ---- */

/* A single number; 0 without a row. */
static int
read_number(struct sqlserver *s, int64_t *out, struct err *e)
{
    const char *text = sql_text(&s->q, e);
    int rc;

    *out = 0;
    if (text == NULL || db_query(s->db, text, e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1)
        *out = db_int(s->db, 0);
    return rc < 0 || db_result(s->db, e) < 0 ? -1 : 0;
}

/* As the server counts them: roughly. */
static int
count_rows(struct sqlserver *s, const struct instance *in, uint64_t *rows, struct err *e)
{
    int64_t n;

    sql_reset(&s->q);
    sql_add(&s->q,
            "SELECT SUM(p.rows) FROM sys.partitions AS p WHERE p.object_id = %d AND p.index_id IN "
            "(0, 1)",
            in->source_object);
    if (read_number(s, &n, e) != 0)
        return -1;
    *rows = n > 0 ? (uint64_t)n : 0;
    return 0;
}

/* The captured column that leads an index, the clustered one if there is one. */
static int
find_indexed(struct sqlserver *s, const struct instance *in, int32_t *column, struct err *e)
{
    int64_t ordinal;

    *column = -1;
    sql_reset(&s->q);
    sql_add(
        &s->q,
        "SELECT TOP (1) cc.column_ordinal FROM sys.indexes AS i JOIN sys.index_columns AS ic ON "
        "ic.object_id = i.object_id AND ic.index_id = i.index_id JOIN cdc.captured_columns AS "
        "cc ON cc.object_id = %d AND cc.column_id = ic.column_id WHERE i.object_id = %d AND "
        "i.type IN (1, 2) AND i.has_filter = 0 AND i.is_disabled = 0 AND ic.key_ordinal = 1 "
        "ORDER BY i.index_id",
        in->change_object, in->source_object);
    if (read_number(s, &ordinal, e) != 0)
        return -1;
    for (uint16_t i = 0; i < in->n_columns; i++)
        if (in->ordinals[i] == ordinal && type_is_key(&in->types[i]))
            *column = i;
    return 0;
}

static uint32_t
lower(uint64_t a, uint32_t b)
{
    return a < b ? (uint32_t)a : b;
}

/* By what the rows hold, not by where they lie: a row that moves in the file stays in its piece,
   and one that changes its piece has a change in the log. */
static int
pieces_by_sum(uint64_t rows, struct source_piece **out, size_t *n, struct err *e)
{
    uint32_t pieces = lower(rows / HEAP_PIECE_ROWS + 1, SCANS_MAX);

    for (uint32_t i = 0; i < pieces && pieces > 1; i++) {
        struct sql q = {.text = NULL};

        sql_add(&q, "ABS(BINARY_CHECKSUM(*) %% %u) = %u", pieces, i);
        if (pieces_add(out, n, &q, false, e) != 0)
            return -1;
    }
    return 0;
}

/* Without a usable key a piece is a chunk: many small ones, where a column allows to find them. */
static int
cut_unordered(struct sqlserver *s, struct instance *in, uint64_t rows, struct source_piece **out,
              size_t *n, struct err *e)
{
    int32_t column;

    if (rows <= HEAP_PIECE_ROWS)
        return 0;
    if (find_indexed(s, in, &column, e) != 0)
        return -1;
    if (column >= 0 && pieces_by_column(s, in, (uint16_t)column, rows,
                                        lower(rows / HEAP_PIECE_ROWS + 1, 1000), out, n, e) != 0)
        return -1;
    return *n > 0 ? 0 : pieces_by_sum(rows, out, n, e);
}

int
load_cut(struct source *base, struct source_table *t, uint32_t want, uint64_t *rows,
         struct source_piece **out, size_t *n, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct instance *in = (struct instance *)t;
    struct sql whole = {.text = NULL};

    *out = NULL;
    *n = 0;
    if (count_rows(s, in, rows, e) != 0 || pieces_by_rule(s, in, out, n, e) != 0)
        goto fail;
    if (*n > 0)
        return 0;
    if (!load_has_order(in)) {
        if (cut_unordered(s, in, *rows, out, n, e) != 0)
            goto fail;
    } else {
        want = lower(*rows / PIECE_ROWS, want);
        if (want > 1 && pieces_by_column(s, in, t->def->key[0], *rows, want, out, n, e) != 0)
            goto fail;
    }
    if (*n > 0)
        return 0;
    sql_add(&whole, "%s", "");
    if (pieces_add(out, n, &whole, load_has_order(in), e) == 0)
        return 0;

fail:
    source_pieces_free(out, *n);
    *n = 0;
    return err_context(e, "%s.%s", t->def->schema, t->def->name);
}

/* ---- taking part again ---- */

int
load_readmit(struct source *base, struct source_table *t, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct instance *in = (struct instance *)t;

    if (in->change_object == 0 || in->is_gone)
        return meta_refuse(in, "change data capture is not enabled for the table", e);
    return schema_reread(s, in, e);
}
