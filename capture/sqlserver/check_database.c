/*
 * The database and its tables: what stands in the way of capturing, and what SQL Server itself would
 * only tell by silence.
 */
#include "capture/sqlserver/check_parts.h"
#include "capture/sqlserver/db.h"
#include "capture/sqlserver/health.h"
#include "common/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_SIZE 520

/* ---- the database ---- */

static bool
has_large_values(const struct check *c)
{
    for (size_t i = 0; i < c->s->n_instances; i++) {
        const struct table_def *d = c->s->instances[i]->table.def;

        for (uint16_t k = 0; k < d->n_columns; k++)
            if (d->columns[k].is_lob)
                return true;
    }
    return false;
}

/* A write larger than this fails in the application, not here. */
static int
check_text_size(struct check *c)
{
    int64_t bytes = -1;

    if (!has_large_values(c) ||
        !check_number(c,
                      "SELECT CONVERT(bigint, v.value_in_use) FROM sys.configurations AS v WHERE "
                      "v.name = N'max text repl size (B)'",
                      0, &bytes) ||
        bytes < 0)
        return 0;
    return check_add(c, SOURCE_WARNING,
                     "EXEC sp_configure 'max text repl size', -1; RECONFIGURE (on Amazon RDS: the "
                     "parameter 'max text repl size' of the parameter group)",
                     "'max text repl size' is %" PRId64
                     ": the application's own writes of larger values to captured tables fail",
                     bytes);
}

int
check_database(struct check *c)
{
    int64_t n = 0;

    if (check_number(c,
                     "SELECT CONVERT(int, d.is_published) FROM sys.databases AS d WHERE "
                     "d.database_id = DB_ID()",
                     0, &n) &&
        n != 0 &&
        check_add(c, SOURCE_WARNING,
                  "let the Log Reader Agent run continuously; weir is as late as it is",
                  "the database is published for transactional replication: its Log Reader Agent "
                  "fills the change tables in place of the capture job") != 0)
        return -1;
    n = 1;
    if (check_number(c, "SELECT IS_ROLEMEMBER(N'db_owner', N'cdc')", 0, &n) && n == 0 &&
        check_add(c, SOURCE_ERROR, "ALTER ROLE db_owner ADD MEMBER cdc",
                  "the database user cdc is no member of db_owner: the capture job fails") != 0)
        return -1;
    return check_text_size(c);
}

/* ---- one table ---- */

/* `column` of a query's only row, as text; "" when there is none, or it is refused. */
static void
ask_text(struct check *c, const char *sql, char *buf, size_t size)
{
    struct err ignored = ERR_INIT;

    buf[0] = '\0';
    if (db_query(c->s->db, sql, &ignored) == 0)
        while (db_next(c->s->db, &ignored) == 1)
            db_text(c->s->db, 0, buf, size);
}

static int
check_kind(struct check *c, const struct instance *in)
{
    enum { TEMPORAL_CURRENT = 2 };
    const struct table_def *d = in->table.def;
    char sql[400];
    int64_t kind = 0;

    (void)snprintf(sql, sizeof(sql),
                   "SELECT t.temporal_type, CONVERT(int, t.is_memory_optimized), (SELECT COUNT(*) "
                   "FROM sys.indexes AS i WHERE i.object_id = t.object_id AND i.type = 5) FROM "
                   "sys.tables AS t WHERE t.object_id = %d",
                   in->source_object);
    if (check_number(c, sql, 0, &kind) && kind == TEMPORAL_CURRENT &&
        check_add(c, SOURCE_WARNING, "",
                  "table %s.%s is temporal: its own changes are captured, those of its history "
                  "table are not",
                  d->schema, d->name) != 0)
        return -1;
    if (check_number(c, sql, 1, &kind) && kind != 0)
        return check_add(c, SOURCE_ERROR, "exclude the table by a selection rule",
                         "table %s.%s is memory-optimised: SQL Server captures no changes of it",
                         d->schema, d->name);
    if (in->change_object == 0 && check_number(c, sql, 2, &kind) && kind != 0)
        return check_add(c, SOURCE_ERROR,
                         "drop the clustered columnstore index, or exclude the table",
                         "table %s.%s has a clustered columnstore index: SQL Server does not let "
                         "change data capture be enabled for it",
                         d->schema, d->name);
    return 0;
}

/* Columns made after the instance: nothing of them is captured. */
static int
check_new_columns(struct check *c, const struct instance *in)
{
    const struct table_def *d = in->table.def;
    char sql[500];
    char name[NAME_SIZE];
    char remedy[1200];

    if (in->has_until)
        return 0; /* a newer instance has them */
    (void)snprintf(sql, sizeof(sql),
                   "SELECT TOP (1) k.name FROM sys.columns AS k WHERE k.object_id = %d AND "
                   "k.column_id > (SELECT MAX(x.column_id) FROM cdc.captured_columns AS x WHERE "
                   "x.object_id = %d) ORDER BY k.column_id",
                   in->source_object, in->change_object);
    ask_text(c, sql, name, sizeof(name));
    if (name[0] == '\0')
        return 0;
    (void)snprintf(remedy, sizeof(remedy),
                   "EXEC sys.sp_cdc_enable_table @source_schema = N'%s', @source_name = N'%s', "
                   "@capture_instance = N'%s_2', @role_name = NULL; weir changes over to it",
                   d->schema, d->name, in->table.instance);
    return check_add(c, SOURCE_WARNING, remedy,
                     "table %s.%s: column %s was added after capture instance %s: it is not "
                     "captured",
                     d->schema, d->name, name, in->table.instance);
}

static int
check_instances(struct check *c, const struct instance *in)
{
    const struct table_def *d = in->table.def;
    char until[LSN_TEXT_SIZE];
    char remedy[1200];

    if (!in->has_until)
        return 0;
    (void)snprintf(remedy, sizeof(remedy),
                   "once weirctl status says that everything up to there is safe: EXEC "
                   "sys.sp_cdc_disable_table @source_schema = N'%s', @source_name = N'%s', "
                   "@capture_instance = N'%s'",
                   d->schema, d->name, in->table.instance);
    return check_add(c, SOURCE_WARNING, remedy,
                     "table %s.%s has two capture instances: %s is needed up to LSN %s, and "
                     "while it is there no third one can be made",
                     d->schema, d->name, in->table.instance, lsn_text(&in->until, until));
}

int
check_table_kind(struct check *c, const struct instance *in)
{
    if (check_kind(c, in) != 0)
        return -1;
    if (in->change_object == 0 || in->is_gone)
        return 0;
    if (check_new_columns(c, in) != 0)
        return -1;
    return check_instances(c, in);
}
