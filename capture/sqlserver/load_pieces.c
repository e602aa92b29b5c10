/*
 * Pieces of a table: predicates that part its rows, so that readers can share the work.
 *
 * Invariant: the first piece has no lower end and holds the rows whose column is NULL, the last one
 * has no upper end, and each begins where the one before it ends.  So statistics that are old, empty
 * or wrong make uneven pieces and never leave out a row.  The server compares, with literals of the
 * column's own type and collation.
 */
#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"
#include "common/log.h"
#include "common/task.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STEPS_MAX 256 /* a histogram has 200 at most */
#define NAME_SIZE 520

int
pieces_add(struct source_piece **list, size_t *n, struct sql *q, bool is_ordered, struct err *e)
{
    struct source_piece *grown = realloc(*list, (*n + 1) * sizeof(*grown));

    if (grown != NULL)
        *list = grown;
    if (grown == NULL || sql_text(q, e) == NULL) {
        sql_free(q);
        return err_set(e, ERR_NOMEM, "%zu pieces", *n);
    }
    grown[(*n)++] = (struct source_piece){.where = q->text, .is_ordered = is_ordered};
    return 0;
}

/* ---- ranges of one column ---- */

/* Places where a column's values may be parted, rising. */
struct bounds {
    char *literal[STEPS_MAX];
    uint64_t rows[STEPS_MAX]; /* about how many up to it, from the one before */
    size_t n;
};

static void
bounds_free(struct bounds *b)
{
    for (size_t i = 0; i < b->n; i++)
        free(b->literal[i]);
    b->n = 0;
}

/* The value in `column` of the current row as a literal of in's column c. */
static int
take_bound(struct sqlserver *s, struct instance *in, uint16_t c, uint64_t rows, struct bounds *b,
           struct err *e)
{
    const struct type_column *type = &in->types[c];
    struct sql q = {.text = NULL};
    struct value v;
    size_t size;
    const void *data = db_data(s->db, 0, &size);

    if (data == NULL) { /* of the rows with NULL */
        if (b->n > 0)
            b->rows[b->n - 1] += rows;
        return 0;
    }
    if (b->n == STEPS_MAX)
        return 0;
    if (page_begin(&in->page, 1, in->n_columns, e) != 0 ||
        type_decode_column(type, db_type(s->db, 0), data, size, &in->page.arena, &v, e) != 0)
        return err_context(e, "statistics of column %s", in->table.def->columns[c].name);
    type_add_literal(&q, type, &v);
    if (sql_text(&q, e) == NULL)
        return -1;
    b->literal[b->n] = q.text;
    b->rows[b->n] = rows;
    b->n++;
    return 0;
}

static int
read_bounds(struct sqlserver *s, struct instance *in, uint16_t c, struct bounds *b, struct err *e)
{
    const char *text = sql_text(&s->q, e);
    int rc;

    if (text == NULL || db_query(s->db, text, e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1)
        if (take_bound(s, in, c, db_columns(s->db) > 1 ? (uint64_t)db_int(s->db, 1) : 0, b, e) != 0)
            return -1;
    return rc < 0 || db_result(s->db, e) < 0 ? -1 : 0;
}

/* Statistics whose first column is c; 0 = none. */
static int
find_statistics(struct sqlserver *s, const struct instance *in, uint16_t c, int32_t *id,
                struct err *e)
{
    const char *text;
    int rc;

    *id = 0;
    sql_reset(&s->q);
    sql_add(
        &s->q,
        "SELECT TOP (1) st.stats_id FROM sys.stats AS st JOIN sys.stats_columns AS sc ON "
        "sc.object_id = st.object_id AND sc.stats_id = st.stats_id JOIN cdc.captured_columns AS "
        "cc ON cc.object_id = %d AND cc.column_id = sc.column_id WHERE st.object_id = %d AND "
        "sc.stats_column_id = 1 AND cc.column_ordinal = %u AND st.has_filter = 0 ORDER BY "
        "st.stats_id",
        in->change_object, in->source_object, in->ordinals[c]);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1)
        *id = (int32_t)db_int(s->db, 0);
    return rc < 0 || db_result(s->db, e) < 0 ? -1 : 0;
}

/* Servers before 2016 SP1 CU2 have no such function. */
static int
by_histogram(struct sqlserver *s, struct instance *in, uint16_t c, struct bounds *b, struct err *e)
{
    static const char column[] = "k";
    const struct type_column *type = &in->types[c];
    int32_t id;
    int rc;

    if (s->has_no_histogram)
        return 0;
    if (find_statistics(s, in, c, &id, e) != 0)
        return -1;
    if (id == 0)
        return 0;
    sql_reset(&s->q);
    sql_add(&s->q, "SELECT ");
    type_add_select(&s->q, type, column);
    sql_add(&s->q,
            ", CONVERT(bigint, x.n) FROM (SELECT CONVERT(%s, h.range_high_key) AS [%s], "
            "h.range_rows + h.equal_rows AS n, h.step_number AS step FROM "
            "sys.dm_db_stats_histogram(%d, %d) AS h) AS x ORDER BY x.step",
            type->name, column, in->source_object, id);
    rc = read_bounds(s, in, c, b, e);
    if (rc != 0 && e->code == ERR_SQL) {
        log_info("no-histogram", "table=%s.%s reason=\"%s\"", in->table.def->schema,
                 in->table.def->name, e->text);
        err_clear(e);
        s->has_no_histogram = true;
        bounds_free(b);
        return 0;
    }
    return rc;
}

/* Along the index: one pass over it for all bounds together. */
static int
by_counting(struct sqlserver *s, struct instance *in, uint16_t c, uint64_t rows, uint32_t want,
            struct bounds *b, struct err *e)
{
    const char *name = in->table.def->columns[c].name;
    size_t before;

    do {
        before = b->n;
        sql_reset(&s->q);
        sql_add(&s->q, "SELECT ");
        type_add_select(&s->q, &in->types[c], name);
        sql_add(&s->q, " FROM ");
        load_add_table(&s->q, in);
        if (before > 0) {
            sql_add(&s->q, " WHERE ");
            sql_add_name(&s->q, name);
            sql_add(&s->q, " > %s", b->literal[before - 1]);
        }
        sql_add(&s->q, " ORDER BY ");
        sql_add_name(&s->q, name);
        sql_add(&s->q, " OFFSET %llu ROWS FETCH NEXT 1 ROWS ONLY",
                (unsigned long long)(rows / want));
        if (read_bounds(s, in, c, b, e) != 0)
            return -1;
        if (b->n > before)
            b->rows[before] = rows / want;
    } while (b->n > before && b->n + 1 < want && b->n < STEPS_MAX);
    return 0;
}

/* One piece: above `from` (NULL = from the first), up to `upto` (NULL = to the last). */
static int
add_range(struct instance *in, uint16_t c, const char *from, const char *upto,
          struct source_piece **out, size_t *n, struct err *e)
{
    const struct column_def *column = &in->table.def->columns[c];
    struct sql q = {.text = NULL};

    if (from != NULL) {
        sql_add_name(&q, column->name);
        sql_add(&q, " > %s", from);
    }
    if (from != NULL && upto != NULL)
        sql_add(&q, " AND ");
    if (upto != NULL) {
        bool with_null = from == NULL && column->nullable;

        sql_add(&q, with_null ? "(" : "");
        sql_add_name(&q, column->name);
        sql_add(&q, " <= %s", upto);
        if (with_null) {
            sql_add(&q, " OR ");
            sql_add_name(&q, column->name);
            sql_add(&q, " IS NULL)");
        }
    }
    return pieces_add(out, n, &q, load_has_order(in), e);
}

/* Of the first n bounds those that part `rows` rows about evenly. */
static int
add_ranges(struct instance *in, uint16_t c, const struct bounds *b, size_t n_bounds, uint64_t rows,
           uint32_t want, struct source_piece **out, size_t *n, struct err *e)
{
    uint64_t share = rows / want > 0 ? rows / want : 1;
    const char *from = NULL;
    uint64_t taken = 0;

    for (size_t i = 0; i < n_bounds; i++) {
        taken += b->rows[i];
        if (taken < share)
            continue;
        if (add_range(in, c, from, b->literal[i], out, n, e) != 0)
            return -1;
        from = b->literal[i];
        taken = 0;
    }
    return from != NULL ? add_range(in, c, from, NULL, out, n, e) : 0;
}

int
pieces_by_column(struct sqlserver *s, struct instance *in, uint16_t column, uint64_t rows,
                 uint32_t want, struct source_piece **out, size_t *n, struct err *e)
{
    struct bounds b = {.n = 0};
    uint64_t total = 0;
    int rc;

    if (want > STEPS_MAX)
        want = STEPS_MAX;
    rc = by_histogram(s, in, column, &b, e);
    if (rc == 0 && b.n > 1) {
        for (size_t i = 0; i < b.n; i++)
            total += b.rows[i];
        /* Behind the last step are new rows only. */
        rc = add_ranges(in, column, &b, b.n - 1, total, want, out, n, e);
    } else if (rc == 0) {
        bounds_free(&b);
        rc = by_counting(s, in, column, rows, want, &b, e);
        if (rc == 0)
            rc = add_ranges(in, column, &b, b.n, rows, want, out, n, e);
    }
    bounds_free(&b);
    return rc;
}

/* ---- by rule ---- */

static const struct column_def *
find_column(const struct instance *in, const char *name, bool fold_case, uint16_t *index)
{
    const struct table_def *d = in->table.def;

    for (uint16_t i = 0; i < d->n_columns; i++)
        if ((fold_case ? strcasecmp(d->columns[i].name, name) : strcmp(d->columns[i].name, name)) ==
            0) {
            *index = i;
            return &d->columns[i];
        }
    return NULL;
}

/* The text of a boundary in the column's type: the server converts it, and complains if it cannot. */
static void
add_boundary(struct sql *q, const struct type_column *type, const char *text)
{
    sql_add(q, "CONVERT(%s, ", type->name);
    sql_add_string(q, text, strlen(text));
    if (type->collation != NULL)
        sql_add(q, " COLLATE %s", type->collation);
    sql_add(q, ")");
}

/* (c1 < b1 OR (c1 = b1 AND (c2 < b2 ...))); with `last` ">=" and `strict` ">" the rest. */
static void
add_tuple(struct sql *q, const struct instance *in, const uint16_t *columns,
          const struct parallel_load *p, size_t boundary, const char *strict, const char *last)
{
    for (size_t k = 0; k < p->n_columns; k++) {
        const struct type_column *type = &in->types[columns[k]];
        const char *name = in->table.def->columns[columns[k]].name;
        const char *text = p->boundaries[boundary * p->n_columns + k];
        bool is_last = k + 1 == p->n_columns;

        sql_add(q, "(");
        sql_add_name(q, name);
        sql_add(q, " %s ", is_last ? last : strict);
        add_boundary(q, type, text);
        if (is_last)
            break;
        sql_add(q, " OR (");
        sql_add_name(q, name);
        sql_add(q, " = ");
        add_boundary(q, type, text);
        sql_add(q, " AND ");
    }
    for (size_t k = 0; k + 1 < p->n_columns; k++)
        sql_add(q, "))");
    sql_add(q, ")");
}

/* Rows with a NULL among the columns belong to the first piece and to no other. */
static void
add_nulls(struct sql *q, const struct instance *in, const uint16_t *columns, size_t n, bool first)
{
    for (size_t k = 0; k < n; k++) {
        const struct column_def *c = &in->table.def->columns[columns[k]];

        if (!c->nullable)
            continue;
        sql_add(q, first ? " OR " : " AND ");
        sql_add_name(q, c->name);
        sql_add(q, first ? " IS NULL" : " IS NOT NULL");
    }
}

/* The server converts all of them once, so that a wrong one is told with its rule. */
static int
check_boundaries(struct sqlserver *s, const struct instance *in, const uint16_t *columns,
                 const struct parallel_load *p, struct err *e)
{
    const char *text;

    sql_reset(&s->q);
    for (size_t i = 0; i < p->n_boundaries * p->n_columns; i++) {
        sql_add(&s->q, i == 0 ? "SELECT " : ", ");
        add_boundary(&s->q, &in->types[columns[i % p->n_columns]], p->boundaries[i]);
        sql_add(&s->q, " AS b%zu", i);
    }
    text = sql_text(&s->q, e);
    if (text == NULL)
        return -1;
    if (db_run(s->db, text, e) == 0)
        return 0;
    if (e->code != ERR_SQL)
        return -1;
    e->code = ERR_CONFIG;
    return err_context(e, "%s: a boundary is no value of its column", p->where);
}

static int
by_boundaries(struct sqlserver *s, struct instance *in, const struct parallel_load *p,
              struct source_piece **out, size_t *n, struct err *e)
{
    uint16_t columns[PARALLEL_LOAD_COLUMNS];

    for (size_t k = 0; k < p->n_columns; k++) {
        if (find_column(in, p->columns[k], s->fold_case, &columns[k]) != NULL &&
            type_is_key(&in->types[columns[k]]))
            continue;
        err_set(e, ERR_CONFIG,
                "%s: column '%s' is not there, not captured or of a type without "
                "order",
                p->where, p->columns[k]);
        return err_hint(e, "name captured columns of ordinary types in parallel-load");
    }
    if (check_boundaries(s, in, columns, p, e) != 0)
        return -1;
    for (size_t i = 0; i <= p->n_boundaries; i++) {
        struct sql q = {.text = NULL};

        sql_add(&q, "(");
        if (i > 0)
            add_tuple(&q, in, columns, p, i - 1, ">", ">=");
        if (i > 0 && i < p->n_boundaries)
            sql_add(&q, " AND ");
        if (i < p->n_boundaries)
            add_tuple(&q, in, columns, p, i, "<", "<");
        add_nulls(&q, in, columns, p->n_columns, i == 0);
        sql_add(&q, ")");
        if (pieces_add(out, n, &q, load_has_order(in), e) != 0)
            return -1;
    }
    return 0;
}

/* The function and column of a partitioned table; *fanout = 0 when it is not partitioned. */
static int
read_partitioning(struct sqlserver *s, const struct instance *in, char *function, char *column,
                  int64_t *fanout, struct err *e)
{
    const char *text;
    int rc;

    *fanout = 0;
    sql_reset(&s->q);
    sql_add(
        &s->q,
        "SELECT f.name, c.name, f.fanout FROM sys.indexes AS i JOIN sys.partition_schemes AS ps "
        "ON ps.data_space_id = i.data_space_id JOIN sys.partition_functions AS f ON "
        "f.function_id = ps.function_id JOIN sys.index_columns AS ic ON ic.object_id = "
        "i.object_id AND ic.index_id = i.index_id AND ic.partition_ordinal = 1 JOIN sys.columns "
        "AS c ON c.object_id = i.object_id AND c.column_id = ic.column_id WHERE i.object_id = "
        "%d AND i.index_id IN (0, 1)",
        in->source_object);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1) {
        db_text(s->db, 0, function, NAME_SIZE);
        db_text(s->db, 1, column, NAME_SIZE);
        *fanout = db_int(s->db, 2);
    }
    return rc < 0 || db_result(s->db, e) < 0 ? -1 : 0;
}

static int
add_partition(struct instance *in, const char *function, const char *column, long long number,
              struct source_piece **out, size_t *n, struct err *e)
{
    struct sql q = {.text = NULL};

    sql_add(&q, "$PARTITION.");
    sql_add_name(&q, function);
    sql_add(&q, "(");
    sql_add_name(&q, column);
    sql_add(&q, ") = %lld", number);
    return pieces_add(out, n, &q, load_has_order(in), e);
}

static int
by_partitions(struct sqlserver *s, struct instance *in, const struct parallel_load *p,
              struct source_piece **out, size_t *n, struct err *e)
{
    char function[NAME_SIZE] = "";
    char column[NAME_SIZE] = "";
    int64_t fanout;

    if (read_partitioning(s, in, function, column, &fanout, e) != 0)
        return -1;
    if (fanout == 0) {
        log_warn("not-partitioned",
                 "table=%s.%s rule=\"%s\" text=\"parallel-load by partitions "
                 "means nothing for it\"",
                 in->table.def->schema, in->table.def->name, p->where);
        return 0;
    }
    for (size_t i = 0; i < p->n_partitions; i++) {
        if (p->partitions[i] < 1 || p->partitions[i] > fanout)
            return err_set(e, ERR_CONFIG, "%s: the table has no partition %u, only 1 to %lld",
                           p->where, p->partitions[i], (long long)fanout);
        if (add_partition(in, function, column, p->partitions[i], out, n, e) != 0)
            return -1;
    }
    for (int64_t i = 1; p->n_partitions == 0 && i <= fanout; i++)
        if (add_partition(in, function, column, i, out, n, e) != 0)
            return -1;
    return 0;
}

int
pieces_by_rule(struct sqlserver *s, struct instance *in, struct source_piece **out, size_t *n,
               struct err *e)
{
    const struct parallel_load *p = task_parallel_load(s->config.task, in->table.def->schema,
                                                       in->table.def->name, s->fold_case);

    if (p == NULL || p->type == PARALLEL_LOAD_NONE)
        return 0;
    return p->type == PARALLEL_LOAD_RANGES ? by_boundaries(s, in, p, out, n, e)
                                           : by_partitions(s, in, p, out, n, e);
}
