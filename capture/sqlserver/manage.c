#include "capture/sqlserver/manage.h"

#include "capture/sqlserver/db.h"
#include "capture/sqlserver/schema.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES    520
#define INSTANCE_NAME_MAX 100 /* characters; SQL Server's limit */
#define PLACES            2   /* instances a table can have */
#define AGAIN_NS          (60 * NS_PER_S)

/* ---- which instances ---- */

/* The one that has the newest changes of its table. */
static bool
is_newest(const struct instance *in)
{
    return in->change_object != 0 && !in->has_until && !in->is_gone && !in->is_superseded &&
           !in->is_ended && in->is_known && in->table.refused == NULL && in->shape != NULL;
}

/* The instances of its table that are there, one a change table. */
static size_t
count_places(const struct sqlserver *s, const struct instance *in)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_instances; i++) {
        const struct instance *other = s->instances[i];

        n += other->source_object == in->source_object && other->change_object != 0 &&
                     !other->is_gone && !other->is_superseded
                 ? 1
                 : 0;
    }
    return n;
}

/* Replaced by a newer one: *by. */
static bool
is_replaced(const struct sqlserver *s, const struct instance *in, const struct instance **by)
{
    if (in->change_object == 0 || in->is_gone || in->is_superseded || !in->has_until)
        return false;
    for (size_t i = 0; i < s->n_instances; i++) {
        *by = s->instances[i];
        if ((*by)->source_object == in->source_object && is_newest(*by) &&
            (*by)->change_object != in->change_object)
            return true;
    }
    return false;
}

/* Everything before its end is acknowledged. */
static bool
is_over(const struct sqlserver *s, const struct instance *in)
{
    struct lsn last = in->until;

    lsn_decrement(&last);
    return lsn_compare(&s->confirmed, &last) >= 0;
}

/* The n of <schema>_<table>_w<n>; 0 = not a name weir gives. */
static unsigned
own_number(const struct instance *in)
{
    const struct table_def *d = in->table.def;
    const char *name = in->table.instance;
    size_t schema = strlen(d->schema);
    size_t table = strlen(d->name);
    unsigned long n;
    char *end;

    if (strncmp(name, d->schema, schema) != 0 || name[schema] != '_' ||
        strncmp(name + schema + 1, d->name, table) != 0 ||
        strncmp(name + schema + 1 + table, "_w", 2) != 0)
        return 0;
    n = strtoul(name + schema + table + 3, &end, 10);
    return *end == '\0' && n < UINT32_MAX ? (unsigned)n : 0;
}

static bool
may_drop(const struct sqlserver *s, const struct instance *in)
{
    enum manage_instances m = s->config.task->weir.manage_instances;

    return m == MANAGE_ALL || (m == MANAGE_OWN && own_number(in) != 0);
}

/* The first column that was added and is captured by none; NULL. */
static const char *
missing_column(const struct sqlserver *s, const struct instance *in)
{
    const struct instance *shape = in->shape;

    for (size_t i = 0; i < shape->n_missing; i++)
        if (schema_added(s, in, shape->missing[i]) != NULL)
            return shape->missing[i];
    return NULL;
}

/* ---- statements ---- */

static void
add_argument(struct sql *q, const char *name, const char *value)
{
    sql_add(q, ", %s = ", name);
    if (value[0] != '\0')
        sql_add_string(q, value, strlen(value));
    else
        sql_add(q, "NULL");
}

static void
add_source(struct sql *q, const struct instance *in)
{
    sql_add(q, "@source_schema = ");
    sql_add_string(q, in->table.def->schema, strlen(in->table.def->schema));
    sql_add(q, ", @source_name = ");
    sql_add_string(q, in->table.def->name, strlen(in->table.def->name));
}

/* What the old one captures and the source still has, and what was added since. */
static int
list_columns(const struct sqlserver *s, const struct instance *in, struct sql *out, struct err *e)
{
    const struct instance *shape = in->shape;
    const struct table_def *d = shape->table.def;
    const char *between = "";

    for (uint16_t i = 0; i < d->n_columns; i++) {
        if (shape->is_dropped[i])
            continue;
        sql_add(out, "%s", between);
        sql_add_name(out, d->columns[i].name);
        between = ", ";
    }
    for (size_t i = 0; i < shape->n_missing; i++)
        if (schema_added(s, in, shape->missing[i]) != NULL) {
            sql_add(out, ", ");
            sql_add_name(out, shape->missing[i]);
        }
    return sql_text(out, e) != NULL ? 0 : -1;
}

static void
new_name(const struct sqlserver *s, const struct instance *in, char *buf, size_t size)
{
    unsigned n = 0;

    for (size_t i = 0; i < s->n_instances; i++)
        if (s->instances[i]->source_object == in->source_object && own_number(s->instances[i]) > n)
            n = own_number(s->instances[i]);
    (void)snprintf(buf, size, "%s_%s_w%u", in->table.def->schema, in->table.def->name, n + 1);
}

/* Role, index, file group and net changes of the old instance go over to the new one. */
static int
add_likeness(struct sqlserver *s, const struct instance *in, struct sql *q, struct err *e)
{
    char role[NAME_MAX_BYTES] = "";
    char index[NAME_MAX_BYTES] = "";
    char filegroup[NAME_MAX_BYTES] = "";
    int64_t net = 0;
    int rc;

    sql_reset(&s->q);
    sql_add(&s->q,
            "SELECT c.role_name, c.index_name, c.filegroup_name, c.supports_net_changes FROM "
            "cdc.change_tables AS c WHERE c.object_id = %d",
            in->change_object);
    if (sql_text(&s->q, e) == NULL || db_query(s->db, s->q.text, e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1) {
        db_text(s->db, 0, role, sizeof(role));
        db_text(s->db, 1, index, sizeof(index));
        db_text(s->db, 2, filegroup, sizeof(filegroup));
        net = db_int(s->db, 3);
    }
    if (rc < 0 || db_result(s->db, e) < 0)
        return -1;
    add_argument(q, "@role_name", role);
    sql_add(q, ", @supports_net_changes = %d", net != 0 ? 1 : 0);
    if (index[0] != '\0')
        add_argument(q, "@index_name", index);
    if (filegroup[0] != '\0')
        add_argument(q, "@filegroup_name", filegroup);
    return 0;
}

/* Runs what changes the source.  A refusal is not asked for again at once. */
static int
run(struct sqlserver *s, struct sql *q, const char *what, struct err *e)
{
    struct sql text = {.text = NULL};
    int rc = -1;

    if (sql_text(q, e) != NULL) {
        sql_add(&text, "SET LOCK_TIMEOUT 5000; %s; SET LOCK_TIMEOUT -1", q->text);
        rc = sql_text(&text, e) == NULL ? -1 : db_run(s->db, text.text, e);
    }
    sql_free(&text);
    sql_free(q);
    if (rc == 0)
        return 0;
    s->manage_next_ns = clock_mono_ns() + AGAIN_NS;
    if (err_class(e->code) == ERR_CLASS_OPERATOR)
        e->code = ERR_SQL; /* the task goes on without */
    (void)snprintf(s->manage_error, sizeof(s->manage_error), "%s: %.180s", what, e->text);
    return err_context(e, "%s", what);
}

/* Only a member of db_owner may do any of it. */
static int
has_right(struct sqlserver *s, bool *has, struct err *e)
{
    int rc;

    *has = false;
    if (db_query(s->db, "SELECT IS_MEMBER(N'db_owner'), IS_SRVROLEMEMBER(N'sysadmin')", e) != 0)
        return -1;
    while ((rc = db_next(s->db, e)) == 1)
        *has = db_int(s->db, 0) == 1 || db_int(s->db, 1) == 1;
    if (rc < 0 || db_result(s->db, e) < 0)
        return -1;
    if (!*has) {
        s->manage_next_ns = clock_mono_ns() + AGAIN_NS;
        (void)snprintf(s->manage_error, sizeof(s->manage_error),
                       "the login is no member of db_owner");
    }
    return 0;
}

/* ---- making ---- */

static int
make_one(struct sqlserver *s, struct instance *in, struct err *e)
{
    char name[2 * NAME_MAX_BYTES];
    struct sql columns = {.text = NULL};
    struct sql q = {.text = NULL};
    bool has = false;
    int rc;

    if (has_right(s, &has, e) != 0)
        return -1;
    new_name(s, in, name, sizeof(name));
    if (!has || strlen(name) > INSTANCE_NAME_MAX)
        return 0;
    sql_add(&q, "EXEC sys.sp_cdc_enable_table ");
    add_source(&q, in);
    add_argument(&q, "@capture_instance", name);
    rc = add_likeness(s, in, &q, e);
    if (rc == 0)
        rc = list_columns(s, in, &columns, e);
    if (rc == 0)
        add_argument(&q, "@captured_column_list", columns.text);
    sql_free(&columns);
    if (rc != 0) {
        sql_free(&q);
        return -1;
    }
    if (run(s, &q, "make a capture instance", e) != 0)
        return -1;
    CRASH_POINT("capture.instance-made");
    s->manage_error[0] = '\0';
    log_info("instance-made", "table=%s.%s instance=%s", in->table.def->schema, in->table.def->name,
             name);
    return 0;
}

int
manage_make(struct sqlserver *s, struct err *e)
{
    if (s->config.task->weir.manage_instances == MANAGE_NO || clock_mono_ns() < s->manage_next_ns)
        return 0;
    for (size_t i = 0; i < s->n_instances; i++) {
        struct instance *in = s->instances[i];

        if (is_newest(in) && missing_column(s, in) != NULL && count_places(s, in) < PLACES &&
            make_one(s, in, e) != 0)
            return -1;
    }
    return 0;
}

/* ---- dropping ---- */

static int
drop_one(struct sqlserver *s, struct instance *in, struct err *e)
{
    struct sql q = {.text = NULL};

    sql_add(&q, "EXEC sys.sp_cdc_disable_table ");
    add_source(&q, in);
    add_argument(&q, "@capture_instance", in->table.instance);
    if (run(s, &q, "drop a capture instance", e) != 0)
        return -1;
    log_info("instance-dropped", "table=%s.%s instance=%s", in->table.def->schema,
             in->table.def->name, in->table.instance);
    return 0;
}

int
manage_drop(struct sqlserver *s, struct err *e)
{
    const struct instance *by;
    bool has;

    if (clock_mono_ns() < s->manage_next_ns)
        return 0;
    for (size_t i = 0; i < s->n_instances; i++) {
        struct instance *in = s->instances[i];

        if (!may_drop(s, in) || !is_replaced(s, in, &by) || !is_over(s, in))
            continue;
        if (has_right(s, &has, e) != 0 || (has && drop_one(s, in, e) != 0))
            return -1;
    }
    return 0;
}

/* ---- enabling ---- */

int
manage_enable_database(struct sqlserver *s, struct err *e)
{
    if (db_run(s->db, "EXEC sys.sp_cdc_enable_db", e) != 0) {
        err_context(e, "enable change data capture for the database (SetUpMsCdcForTables)");
        e->code = ERR_CDC_OFF;
        return err_hint(e, "it takes sysadmin (on Azure SQL Database db_owner); on Amazon RDS run "
                           "EXEC msdb.dbo.rds_cdc_enable_db yourself");
    }
    log_info("database-enabled", "database=%s", s->config.task->source.database_name);
    return 0;
}

int
manage_enable_tables(struct sqlserver *s, bool *any, struct err *e)
{
    bool has = false;

    *any = false;
    if (!s->config.is_task || !s->config.task->source.set_up_cdc)
        return 0;
    if (has_right(s, &has, e) != 0)
        return -1;
    for (size_t i = 0; i < s->n_instances && has; i++) {
        struct instance *in = s->instances[i];
        struct sql q = {.text = NULL};

        if (in->change_object != 0 || in->is_gone)
            continue;
        sql_add(&q, "EXEC sys.sp_cdc_enable_table ");
        add_source(&q, in);
        add_argument(&q, "@role_name", "");
        if (run(s, &q, "enable change data capture for a table", e) != 0)
            return -1;
        log_info("table-enabled", "table=%s.%s", in->table.def->schema, in->table.def->name);
        *any = true;
    }
    return 0;
}

/* ---- what an operator should know ---- */

static void
cut(char *buf, size_t size, struct sql *q)
{
    struct err ignored = ERR_INIT;

    (void)snprintf(buf, size, "%.*s", (int)size - 1, sql_text(q, &ignored) != NULL ? q->text : "");
    sql_free(q);
}

/* One alarm of a code at a time: the next is raised when this one is mended.  Takes the texts. */
static void
raise_alarm(struct source_health *h, enum source_level level, const char *code, struct sql *what,
            struct sql *remedy)
{
    struct source_alarm *a = &h->alarms[h->n];
    bool is_new = h->n < SOURCE_ALARMS_MAX;

    for (size_t i = 0; i < h->n; i++)
        is_new = is_new && strcmp(h->alarms[i].code, code) != 0;
    if (!is_new) {
        sql_free(what);
        sql_free(remedy);
        return;
    }
    h->n++;
    a->level = level;
    (void)snprintf(a->code, sizeof(a->code), "%s", code);
    cut(a->what, sizeof(a->what), what);
    cut(a->remedy, sizeof(a->remedy), remedy);
}

static void
tell_replaced(const struct sqlserver *s, const struct instance *in, const struct instance *by,
              struct source_health *out)
{
    struct sql what = {.text = NULL};
    struct sql remedy = {.text = NULL};

    if (may_drop(s, in) || !is_over(s, in))
        return;
    sql_add(
        &what,
        "capture instance %s of table %s.%s is read to its end, %s took over: it can be dropped",
        in->table.instance, in->table.def->schema, in->table.def->name, by->table.instance);
    sql_add(&remedy, "EXEC sys.sp_cdc_disable_table ");
    add_source(&remedy, in);
    add_argument(&remedy, "@capture_instance", in->table.instance);
    raise_alarm(out, SOURCE_OK, "instance-replaced", &what, &remedy);
}

static void
tell_missing(const struct sqlserver *s, const struct instance *in, const char *column,
             struct source_health *out)
{
    const struct table_def *d = in->table.def;
    struct sql what = {.text = NULL};
    struct sql remedy = {.text = NULL};
    char name[2 * NAME_MAX_BYTES];

    sql_add(&what,
            "table %s.%s: column %s was added and is in no capture instance, rows come without it",
            d->schema, d->name, column);
    if (count_places(s, in) >= PLACES) {
        sql_add(&what, "; both places for instances are taken");
        sql_add(&remedy, "drop the instance that is read to its end, then: ");
    } else if (s->manage_error[0] != '\0') {
        sql_add(&what, "; %s", s->manage_error);
    }
    new_name(s, in, name, sizeof(name));
    sql_add(&remedy, "EXEC sys.sp_cdc_enable_table ");
    add_source(&remedy, in);
    add_argument(&remedy, "@role_name", "");
    add_argument(&remedy, "@capture_instance", name);
    sql_add(&remedy, "; rows written meanwhile: weirctl reload");
    raise_alarm(out, SOURCE_WARNING, "column-not-captured", &what, &remedy);
}

void
manage_alarms(struct sqlserver *s, struct source_health *out)
{
    for (size_t i = 0; i < s->n_instances; i++) {
        const struct instance *in = s->instances[i];
        const struct instance *by;
        const char *column;

        if (is_replaced(s, in, &by))
            tell_replaced(s, in, by, out);
        column = is_newest(in) ? missing_column(s, in) : NULL;
        if (column != NULL)
            tell_missing(s, in, column, out);
    }
}
