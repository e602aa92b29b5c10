/*
 * Cleanup of change tables, in the two steps of SQL Server: first the bounds move, in a
 * transaction of their own, then the rows go, `threshold` at a time, each batch a transaction.
 */
#include "tests/mssqld/sql/cdc_parts.h"

static struct table *
cdc_table(struct session *s, const char *object)
{
    struct name name = {.schema = "cdc", .object = object};

    return catalog_find(s, &name, 'U');
}

/* DELETE in batches, so that readers see rows go bit by bit. */
static int
delete_rows(struct session *s, const char *table, const char *where, int64_t threshold)
{
    int64_t gone = 0;

    do {
        if (cdc_run(s, arena_printf(&s->exec_arena, "DELETE TOP (%lld) FROM %s WHERE %s",
                                    (long long)threshold, table, where)) != 0)
            return -1;
        gone = s->rowcount;
    } while (gone >= threshold);
    return 0;
}

/* Rows below the bound of their instance; mapping rows below every bound. */
static int
remove_below_bounds(struct session *s, int64_t threshold)
{
    struct table *ct = cdc_table(s, "change_tables");
    const char *names[256];
    const char *lows[256];
    int n = 0;
    int rc = 0;
    sqlite3_stmt *q;

    if (ct == NULL)
        return cdc_not_enabled(s);
    q = session_prepare(s, arena_printf(&s->exec_arena,
                                        "SELECT c4, c5 FROM d%d.t%d WHERE c5 IS NOT NULL",
                                        ct->db->id, ct->object_id));
    if (q == NULL)
        return -1;
    while (n < 256 && sqlite3_step(q) == SQLITE_ROW) {
        names[n] = arena_printf(&s->exec_arena, "%s_CT", (const char *)sqlite3_column_text(q, 0));
        lows[n++] = cdc_lsn_text(s, sqlite3_column_blob(q, 1));
    }
    (void)sqlite3_finalize(q);
    for (int i = 0; i < n && rc == 0; i++)
        rc = delete_rows(s, arena_printf(&s->exec_arena, "cdc.%s", cdc_bracket(s, names[i])),
                         arena_printf(&s->exec_arena, "[__$start_lsn] < %s", lows[i]), threshold);
    return rc != 0 || n == 0
               ? rc
               : delete_rows(s, "cdc.lsn_time_mapping",
                             "start_lsn < (SELECT MIN(start_lsn) FROM cdc.change_tables)",
                             threshold);
}

/* instance NULL: all of them, whether they have rows or not. */
static int
clean(struct session *s, const char *instance, const char *low, int64_t threshold)
{
    const char *which =
        instance == NULL
            ? ""
            : arena_printf(&s->exec_arena, " AND capture_instance = %s", cdc_quote(s, instance));

    if (cdc_run(s, arena_printf(&s->exec_arena,
                                "UPDATE cdc.change_tables SET start_lsn = %s WHERE start_lsn < "
                                "%s%s",
                                low, low, which)) != 0)
        return -1;
    if (atomic_load(&s->current->cleanup_paused))
        return 0;
    return remove_below_bounds(s, threshold);
}

int
cdc_cleanup_table(struct session *s, const struct proc_call *call)
{
    const char *instance = proc_text(s, call, "@capture_instance", 0, "");
    const struct proc_arg *mark = proc_find(call, "@low_water_mark", 1);
    struct sql_type lsn = type_sized(SQL_BINARY, LSN_SIZE);
    struct value_context c = run_context(s, VALUE_CAST);
    struct table *map;
    const char *low;
    struct sql_value v;

    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    if (cdc_table(s, arena_printf(&s->exec_arena, "%s_CT", instance)) == NULL)
        return sqlerr_set(&s->error, 22981, 16, 1, "Object does not exist or access is denied.");
    if (mark == NULL || mark->value.is_null)
        return 0;
    map = cdc_table(s, "lsn_time_mapping");
    if (map == NULL || value_convert(&c, &mark->type, &mark->value, &lsn, &v) != 0)
        return -1;
    low = cdc_lsn_text(s, v.bytes.data);
    if (session_int(s, 0, "SELECT count(*) FROM d%d.t%d WHERE c1 = x'%s'", map->db->id,
                    map->object_id, low + 2) == 0)
        return sqlerr_set(&s->error, 22964, 16, 1,
                          "LSN %s, specified as value for the @low_water_mark parameter, is not in "
                          "the lsn_time_mapping table.",
                          low);
    return clean(s, instance, low, proc_int(s, call, "@threshold", 2, 5000));
}

/* Newest commit captured, less the retention: the largest LSN at or before it is the mark. */
static bool
low_water_mark(struct session *s, int64_t minutes, uint8_t mark[LSN_SIZE])
{
    struct table *map = cdc_table(s, "lsn_time_mapping");
    sqlite3_stmt *q;
    bool found = false;

    if (map == NULL)
        return false;
    q = session_prepare(s, arena_printf(&s->exec_arena,
                                        "SELECT max(c1) FROM d%d.t%d WHERE c3 <= (SELECT max(c3) "
                                        "FROM d%d.t%d) - %lld",
                                        map->db->id, map->object_id, map->db->id, map->object_id,
                                        (long long)(minutes * TICKS_PER_MINUTE)));
    if (q == NULL)
        return false;
    if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == LSN_SIZE) {
        memcpy(mark, sqlite3_column_blob(q, 0), LSN_SIZE);
        found = true;
    }
    (void)sqlite3_finalize(q);
    return found;
}

int
cdc_cleanup_job(struct session *s)
{
    struct name name = {.database = "msdb", .schema = "dbo", .object = "cdc_jobs"};
    struct table *jobs = catalog_find(s, &name, 'U');
    uint8_t mark[LSN_SIZE];
    int64_t minutes;
    int64_t threshold;

    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    if (jobs == NULL)
        return -1;
    minutes = session_int(s, 4320, "SELECT c8 FROM d%d.t%d WHERE c1 = %d AND c2 = 'cleanup'",
                          jobs->db->id, jobs->object_id, s->current->id);
    threshold = session_int(s, 5000, "SELECT c9 FROM d%d.t%d WHERE c1 = %d AND c2 = 'cleanup'",
                            jobs->db->id, jobs->object_id, s->current->id);
    return low_water_mark(s, minutes, mark) ? clean(s, NULL, cdc_lsn_text(s, mark), threshold) : 0;
}

int
cdc_cleanup_pause(struct session *s, bool on)
{
    if (!atomic_load(&s->current->cdc_enabled))
        return cdc_not_enabled(s);
    atomic_store(&s->current->cleanup_paused, on);
    return on ? 0 : remove_below_bounds(s, 5000);
}
