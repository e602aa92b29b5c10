/* The functions sys.fn_cdc_*. */
#include <strings.h>

#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/flavour.h"
#include "tests/mssqld/sql/func.h"
#include "tests/mssqld/sql/job.h"
#include "tests/mssqld/sql/sysview.h"

/* Name of a cdc table in SQLite, or false when the database has none. */
static bool
cdc_table(struct session *s, struct database *d, const char *table, char *out, size_t size)
{
    struct name name = {.database = d->name, .schema = "cdc", .object = table};
    struct sqlerr keep = s->error;
    struct table *t = catalog_find(s, &name, 'U');

    s->error = keep;
    if (t == NULL)
        return false;
    (void)snprintf(out, size, "d%d.t%d", d->id, t->object_id);
    return true;
}

/* Runs a query with up to two bound values; its first column is the result. */
static bool
ask(sqlite3_context *c, const char *sql, sqlite3_value *a, sqlite3_value *b)
{
    sqlite3_stmt *q = session_prepare(func_session(c), sql);
    bool found = false;

    if (q == NULL)
        return false;
    if (a != NULL)
        (void)sqlite3_bind_value(q, 1, a);
    if (b != NULL)
        (void)sqlite3_bind_value(q, 2, b);
    if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL) {
        sqlite3_result_value(c, sqlite3_column_value(q, 0));
        found = true;
    }
    (void)sqlite3_finalize(q);
    return found;
}

static void
fn_max_lsn(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct session *s = func_session(c);
    char table[40];
    char sql[120];

    (void)n;
    (void)v;
    if (!cdc_table(s, s->current, "lsn_time_mapping", table, sizeof table))
        return;
    (void)snprintf(sql, sizeof sql, "SELECT max(c1) FROM %s", table);
    (void)ask(c, sql, NULL, NULL);
}

static void
fn_min_lsn(sqlite3_context *c, int n, sqlite3_value **v)
{
    static const uint8_t ZERO[LSN_SIZE];
    struct session *s = func_session(c);
    char table[40];
    char sql[160];

    (void)n;
    if (cdc_table(s, s->current, "change_tables", table, sizeof table)) {
        (void)snprintf(sql, sizeof sql, "SELECT c5 FROM %s WHERE c4 = ?1 COLLATE MSCI", table);
        if (ask(c, sql, v[0], NULL))
            return;
    }
    sqlite3_result_blob(c, ZERO, LSN_SIZE, SQLITE_STATIC);
}

static void
step_lsn(sqlite3_context *c, sqlite3_value *v, int by)
{
    uint8_t lsn[LSN_SIZE] = {0};
    size_t size = (size_t)sqlite3_value_bytes(v);

    if (sqlite3_value_type(v) == SQLITE_NULL)
        return;
    if (size > 0)
        memcpy(lsn, sqlite3_value_blob(v), size < LSN_SIZE ? size : LSN_SIZE);
    lsn_add(lsn, by);
    sqlite3_result_blob(c, lsn, LSN_SIZE, SQLITE_TRANSIENT);
}

static void
fn_increment(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    step_lsn(c, v[0], 1);
}

static void
fn_decrement(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    step_lsn(c, v[0], -1);
}

static void
fn_lsn_to_time(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct session *s = func_session(c);
    char table[40];
    char sql[120];

    (void)n;
    if (!cdc_table(s, s->current, "lsn_time_mapping", table, sizeof table))
        return;
    (void)snprintf(sql, sizeof sql, "SELECT c3 FROM %s WHERE c1 = ?1", table);
    (void)ask(c, sql, v[0], NULL);
}

static void
fn_time_to_lsn(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct session *s = func_session(c);
    const char *op = func_arg(v[0]);
    bool largest = strncasecmp(op, "largest", 7) == 0;
    bool equal = strcasestr(op, "equal") != NULL;
    char table[40];
    char sql[160];

    (void)n;
    if (!cdc_table(s, s->current, "lsn_time_mapping", table, sizeof table))
        return;
    (void)snprintf(sql, sizeof sql, "SELECT %s(c1) FROM %s WHERE c3 %s%s ?1",
                   largest ? "max" : "min", table, largest ? "<" : ">", equal ? "=" : "");
    (void)ask(c, sql, v[1], NULL);
}

static bool
mask_bit(sqlite3_value *mask, int64_t ordinal)
{
    const uint8_t *m = sqlite3_value_blob(mask);
    int64_t size = sqlite3_value_bytes(mask);
    int64_t byte = size - 1 - (ordinal - 1) / 8;

    return ordinal >= 1 && byte >= 0 && byte < size && (m[byte] >> ((ordinal - 1) % 8) & 1) != 0;
}

static void
fn_is_bit_set(sqlite3_context *c, int n, sqlite3_value **v)
{
    if (!func_any_null(n, v))
        sqlite3_result_int(c, mask_bit(v[1], sqlite3_value_int64(v[0])));
}

static bool
ordinal_sql(struct session *s, char *sql, size_t size)
{
    char ct[40];
    char cc[40];

    if (!cdc_table(s, s->current, "change_tables", ct, sizeof ct) ||
        !cdc_table(s, s->current, "captured_columns", cc, sizeof cc))
        return false;
    (void)snprintf(
        sql, size,
        "SELECT b.c5 FROM %s a JOIN %s b ON b.c1 = a.c1 WHERE a.c4 = ?1 COLLATE MSCI AND "
        "b.c2 = ?2 COLLATE MSCI",
        ct, cc);
    return true;
}

static void
fn_column_ordinal(sqlite3_context *c, int n, sqlite3_value **v)
{
    char sql[256];

    (void)n;
    if (ordinal_sql(func_session(c), sql, sizeof sql))
        (void)ask(c, sql, v[0], v[1]);
}

static void
fn_has_changed(sqlite3_context *c, int n, sqlite3_value **v)
{
    char sql[256];
    sqlite3_stmt *q;

    if (func_any_null(n, v) || !ordinal_sql(func_session(c), sql, sizeof sql))
        return;
    q = session_prepare(func_session(c), sql);
    if (q == NULL)
        return;
    (void)sqlite3_bind_value(q, 1, v[0]);
    (void)sqlite3_bind_value(q, 2, v[1]);
    if (sqlite3_step(q) == SQLITE_ROW)
        sqlite3_result_int(c, mask_bit(v[2], sqlite3_column_int64(q, 0)));
    (void)sqlite3_finalize(q);
}

/* Bounds of fn_cdc_get_all_changes: within [start_lsn of the instance, max LSN]. */
static void
fn_cdc_check(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct session *s = func_session(c);
    struct database *d = engine_database_id(s->engine, sqlite3_value_int(v[0]));
    const char *filter = func_arg(v[4]);
    char ct[40];
    char map[40];
    char sql[300];
    sqlite3_stmt *q = NULL;
    bool ok = false;

    (void)n;
    if (!func_any_null(5, v) && d != NULL &&
        (strcasecmp(filter, "all") == 0 || strcasecmp(filter, "all update old") == 0) &&
        cdc_table(s, d, "change_tables", ct, sizeof ct) &&
        cdc_table(s, d, "lsn_time_mapping", map, sizeof map)) {
        (void)snprintf(sql, sizeof sql,
                       "SELECT ?2 >= c5 AND ?2 <= ?3 AND ?3 <= (SELECT max(c1) FROM %s) FROM %s "
                       "WHERE c4 = ?1 COLLATE MSCI",
                       map, ct);
        q = session_prepare(s, sql);
        if (q != NULL) {
            for (int i = 1; i <= 3; i++)
                (void)sqlite3_bind_value(q, i, v[i]);
            ok = sqlite3_step(q) == SQLITE_ROW && sqlite3_column_int(q, 0) != 0;
        }
        (void)sqlite3_finalize(q);
    }
    if (ok) {
        sqlite3_result_int(c, 1);
        return;
    }
    (void)sqlerr_set(&s->fn_error, 313, 16, 3,
                     "An insufficient number of arguments were supplied for the procedure or "
                     "function cdc.fn_cdc_get_all_changes_ ... .");
    func_fail(c);
}

/* 00000025:00000d08:0025 */
static void
fn_lsn_text(sqlite3_context *c, int n, sqlite3_value **v)
{
    const uint8_t *p = sqlite3_value_blob(v[0]);
    char out[32];

    (void)n;
    if (sqlite3_value_bytes(v[0]) != LSN_SIZE)
        return;
    (void)snprintf(out, sizeof out, "%02x%02x%02x%02x:%02x%02x%02x%02x:%02x%02x", p[0], p[1], p[2],
                   p[3], p[4], p[5], p[6], p[7], p[8], p[9]);
    func_string(c, out);
}

/* VLF * 10^15 + block * 10^5 + slot, as numeric(25,0). */
static void
fn_lsn_number(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct sql_type t = type_decimal(25, 0);
    struct sql_value out = {0};
    const uint8_t *p = sqlite3_value_blob(v[0]);
    int128 vlf = 0;
    int128 block = 0;

    (void)n;
    (void)func_context(c);
    if (sqlite3_value_bytes(v[0]) != LSN_SIZE)
        return;
    for (int i = 0; i < 4; i++) {
        vlf = vlf * 256 + p[i];
        block = block * 256 + p[4 + i];
    }
    value_set_decimal(&out,
                      vlf * decimal_power(15) + block * decimal_power(5) + (p[8] * 256 + p[9]));
    func_result(c, &t, &out);
}

/* Rows of a monitoring view, as JSON. */
static void
fn_job_rows(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct session *s = func_session(c);
    struct database *d = engine_database_id(s->engine, sqlite3_value_int(v[0]));
    struct sbuf o = {0};

    (void)n;
    if (d == NULL)
        return;
    job_rows(s, d, func_arg(v[1]), &o);
    sqlite3_result_text(c, o.data, (int)o.size, SQLITE_TRANSIENT);
    sbuf_free(&o);
}

/* sp_cdc_help_change_data_capture shows what its caller may read. */
static void
fn_may_read(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct session *s = func_session(c);

    (void)n;
    sqlite3_result_int(c, cdc_may_read(s, s->current, sqlite3_value_int(v[0]), func_arg(v[1])));
}

/* Amazon RDS keeps CDC's jobs to itself. */
static void
fn_hides_jobs(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)v;
    sqlite3_result_int(c, flavour_of(func_session(c)->engine) == FLAVOUR_RDS);
}

static void
fn_agent(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)v;
    sqlite3_result_int(c, atomic_load(&func_session(c)->engine->agent_running));
}

static void
fn_server(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)n;
    (void)v;
    func_string(c, func_session(c)->engine->server_name);
}

/* The last record of a database's log, or of the session's last savepoint. */
static void
fn_log_end(sqlite3_context *c, int n, sqlite3_value **v)
{
    struct session *s = func_session(c);
    struct database *d = engine_database_id(s->engine, sqlite3_value_int(v[0]));
    uint8_t lsn[LSN_SIZE];

    (void)n;
    if (d == NULL || atomic_load(&d->secondary))
        return;
    (void)pthread_mutex_lock(&s->engine->mutex);
    memcpy(lsn, d->log_end, LSN_SIZE);
    (void)pthread_mutex_unlock(&s->engine->mutex);
    sqlite3_result_blob(c, lsn, LSN_SIZE, SQLITE_TRANSIENT);
}

static void
fn_savepoint_lsn(sqlite3_context *c, int n, sqlite3_value **v)
{
    static const uint8_t NONE[LSN_SIZE];
    struct session *s = func_session(c);

    (void)n;
    (void)v;
    if (memcmp(s->save_lsn, NONE, LSN_SIZE) != 0)
        sqlite3_result_blob(c, s->save_lsn, LSN_SIZE, SQLITE_TRANSIENT);
}

void
func_register_cdc(struct session *s)
{
    static const struct func LIST[] = {
        {"ms_fn_cdc_get_max_lsn", 0, true, fn_max_lsn},
        {"ms_fn_cdc_get_min_lsn", 1, true, fn_min_lsn},
        {"ms_fn_cdc_increment_lsn", 1, false, fn_increment},
        {"ms_fn_cdc_decrement_lsn", 1, false, fn_decrement},
        {"ms_fn_cdc_map_lsn_to_time", 1, true, fn_lsn_to_time},
        {"ms_fn_cdc_map_time_to_lsn", 2, true, fn_time_to_lsn},
        {"ms_fn_cdc_is_bit_set", 2, false, fn_is_bit_set},
        {"ms_fn_cdc_get_column_ordinal", 2, true, fn_column_ordinal},
        {"ms_fn_cdc_has_column_changed", 3, true, fn_has_changed},
        {"ms_cdc_check", 5, true, fn_cdc_check},
        {"ms_fn_mssqld_may_read", 2, true, fn_may_read},
        {"ms_hides_jobs", 0, true, fn_hides_jobs},
        {"ms_agent", 0, true, fn_agent},
        {"ms_server", 0, true, fn_server},
        {"ms_job_rows", 2, true, fn_job_rows},
        {"ms_log_end", 1, true, fn_log_end},
        {"ms_savepoint_lsn", 0, true, fn_savepoint_lsn},
        {"ms_lsn_text", 1, false, fn_lsn_text},
        {"ms_lsn_number", 1, true, fn_lsn_number},
    };

    func_add(s, LIST, sizeof LIST / sizeof LIST[0]);
}
