/*
 * Statistics: one for each index, as old as the last UPDATE STATISTICS.  A histogram has up to
 * 200 steps over the leading column; each ends at a value that is there, with the rows equal to
 * it and the rows between it and the step before.
 */
#include <strings.h>

#include "common/err.h"
#include "tests/mssqld/sql/cdc_parts.h"
#include "tests/mssqld/sql/ddl_parts.h"
#include "tests/mssqld/sql/stats.h"

#define STEPS_MAX 200

struct step {
    int64_t equal;
    int64_t between;
    int64_t distinct; /* values between */
};

static int
write_step(struct session *s, const struct table *t, int stats_id, int number,
           const struct sql_type *type, sqlite3_value *high, const struct step *step)
{
    struct sql_type variant = type_make(SQL_VARIANT);
    struct sql_value v = {0};
    struct sql_value boxed = {.variant = {type, &v}};
    struct stored box = {0};
    sqlite3_stmt *q;
    int rc;

    value_load(type, high, &s->exec_arena, &v);
    boxed.is_null = v.is_null;
    value_store(&variant, &boxed, &s->exec_arena, &box);
    q = session_prepare(
        s, arena_printf(&s->exec_arena,
                        "INSERT INTO d%d.sys_histograms VALUES (%d, %d, %d, ?1, %lld, %lld, %lld)",
                        t->db->id, t->object_id, stats_id, number, (long long)step->between,
                        (long long)step->equal, (long long)step->distinct));
    if (q == NULL)
        return -1;
    (void)stored_bind(q, 1, &box);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rc;
}

/* Values in order, with their rows: every n-th, the first and the last end a step. */
static int
write_steps(struct session *s, const struct table *t, const struct key *k)
{
    const struct column *c = &t->columns[k->columns[0]];
    int64_t values = session_int(s, 0, "SELECT count(DISTINCT c%d) FROM d%d.t%d", c->id, t->db->id,
                                 t->object_id);
    int64_t every = values <= STEPS_MAX - 1 ? 1 : (values + STEPS_MAX - 3) / (STEPS_MAX - 2);
    sqlite3_stmt *q = session_prepare(
        s, arena_printf(&s->exec_arena,
                        "SELECT c%d, count(*), c%d IS NULL FROM d%d.t%d GROUP BY 1 ORDER BY 1",
                        c->id, c->id, t->db->id, t->object_id));
    struct step step = {0};
    int64_t seen = 0;
    int number = 0;
    int rc = q == NULL ? -1 : 0;

    while (rc == 0 && sqlite3_step(q) == SQLITE_ROW) {
        bool null = sqlite3_column_int(q, 2) != 0;
        bool ends = null || seen % every == 0 || seen == values - 1;

        seen += null ? 0 : 1;
        if (!ends) {
            step.between += sqlite3_column_int64(q, 1);
            step.distinct++;
            continue;
        }
        step.equal = sqlite3_column_int64(q, 1);
        rc = write_step(s, t, k->index_id, ++number, &c->type, sqlite3_column_value(q, 0), &step);
        step = (struct step){0};
    }
    (void)sqlite3_finalize(q);
    return rc;
}

static int
update_one(struct session *s, const struct table *t, const struct key *k)
{
    int64_t now = s->now_local.days * TICKS_PER_DAY + datetime_grid(s->now_local.ticks);

    if (k->n_columns == 0)
        return 0;
    if (session_sqlf(s,
                     "DELETE FROM d%d.sys_histograms WHERE object_id = %d AND stats_id = %d; "
                     "REPLACE INTO d%d.sys_stats_state SELECT %d, %d, %lld, count(*) FROM d%d.t%d",
                     t->db->id, t->object_id, k->index_id, t->db->id, t->object_id, k->index_id,
                     (long long)now, t->db->id, t->object_id) != 0)
        return -1;
    return write_steps(s, t, k);
}

int
stats_update(struct session *s, const struct name *table, const char *only)
{
    struct table *t = catalog_find(s, table, 'U');
    bool any = only == NULL;

    if (t == NULL)
        return ddl_no_such_table(s, table);
    if (tx_begin_write(s, t->db, 0) != 0)
        return -1;
    for (int i = 0; i < t->n_keys; i++) {
        if (only != NULL && strcasecmp(t->keys[i].name, only) != 0)
            continue;
        any = true;
        if (update_one(s, t, &t->keys[i]) != 0)
            return -1;
    }
    if (!any)
        return sqlerr_set(&s->error, 2767, 16, 1,
                          "Could not locate statistics '%s' in the system catalogs.", only);
    return 0;
}

int
stats_update_all(struct session *s)
{
    struct database *d = s->current;
    sqlite3_stmt *q = session_prepare(
        s, arena_printf(&s->exec_arena,
                        "SELECT c.name, o.name FROM d%d.sys_objects o JOIN d%d.sys_schemas c ON "
                        "c.schema_id = o.schema_id WHERE type = 'U' AND NOT shipped",
                        d->id, d->id));
    struct sbuf sql = {0};
    int rc = q == NULL ? -1 : 0;

    while (rc == 0 && sqlite3_step(q) == SQLITE_ROW)
        sbuf_fmt(&sql, "UPDATE STATISTICS %s.%s;",
                 cdc_bracket(s, (const char *)sqlite3_column_text(q, 0)),
                 cdc_bracket(s, (const char *)sqlite3_column_text(q, 1)));
    (void)sqlite3_finalize(q);
    if (rc == 0 && sql.size > 0)
        rc = cdc_run(s, sql.data);
    sbuf_free(&sql);
    return rc;
}

int
stats_show(struct session *s, const char *table, const char *stats)
{
    struct table *t = security_object(s, table);
    char type[128];

    for (int i = 0; t != NULL && i < t->n_keys; i++)
        if (strcasecmp(t->keys[i].name, stats) == 0 && t->keys[i].n_columns > 0)
            return cdc_answer(
                s, arena_printf(
                       &s->exec_arena,
                       "SELECT CONVERT(%s, range_high_key) AS RANGE_HI_KEY, range_rows AS "
                       "RANGE_ROWS, equal_rows AS EQ_ROWS, distinct_range_rows AS "
                       "DISTINCT_RANGE_ROWS, average_range_rows AS AVG_RANGE_ROWS FROM "
                       "sys.dm_db_stats_histogram(%d, %d) ORDER BY step_number",
                       type_describe(&t->columns[t->keys[i].columns[0]].type, type, sizeof type),
                       t->object_id, t->keys[i].index_id));
    return sqlerr_set(&s->error, 2767, 16, 1,
                      "Could not locate statistics '%s' in the system catalogs.", stats);
}
