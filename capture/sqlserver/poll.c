#include "capture/sqlserver/poll.h"

#include "capture/sqlserver/db.h"
#include "capture/sqlserver/gap.h"
#include "capture/sqlserver/manage.h"
#include "capture/sqlserver/schema.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/request.h"
#include "common/task.h"

#include <stdlib.h>
#include <string.h>

#define CHANGE_TABLES "SELECT c.object_id, c.start_lsn FROM cdc.change_tables AS c"

/* With what tells that definitions changed: statements in the history, names. */
#define CHANGE_TABLES_WATCHED                                                                      \
    "SELECT c.object_id, c.start_lsn, (SELECT COUNT(*) FROM cdc.ddl_history AS h WHERE "           \
    "h.object_id = c.object_id), OBJECT_SCHEMA_NAME(c.source_object_id), "                         \
    "OBJECT_NAME(c.source_object_id) FROM cdc.change_tables AS c"

/* ---- times ---- */

static int64_t
value_ns(const struct value *v)
{
    return v->datetime.seconds * NS_PER_S + v->datetime.nanos;
}

/* A date and time of the current row; false for NULL or another type. */
static bool
read_time(struct sqlserver *s, int column, struct value *out)
{
    size_t size;
    const void *data = db_data(s->db, column, &size);

    /* No time needs the arena. */
    return type_decode(db_type(s->db, column), false, data, size, NULL, out, NULL) == 0 &&
           (out->kind == VALUE_DATETIME || out->kind == VALUE_DATETIMEOFFSET);
}

/* ---- the answers of a poll, in the order of the batch ---- */

static int
take_clock(struct sqlserver *s, struct err *e)
{
    struct value now = {.kind = VALUE_NULL};
    int rc;

    while ((rc = db_next(s->db, e)) == 1)
        if (read_time(s, 0, &now)) {
            s->server_ns = value_ns(&now);
            s->server_offset_ns = (int64_t)now.datetime.offset_min * 60 * NS_PER_S;
        }
    return rc;
}

int64_t
poll_time_ns(struct sqlserver *s, int column)
{
    struct value v = {.kind = VALUE_NULL};

    return read_time(s, column, &v) ? value_ns(&v) - s->server_offset_ns : 0;
}

/* lsn_time_mapping keeps the server's local time, without zone. */
static void
take_mapping(struct sqlserver *s, struct mapping *m)
{
    size_t size;
    const void *id = db_data(s->db, 2, &size);

    m->commit_real_ns = poll_time_ns(s, 1);
    m->tran_id_size = (uint8_t)(size < sizeof(m->tran_id) ? size : sizeof(m->tran_id));
    if (id != NULL)
        memcpy(m->tran_id, id, m->tran_id_size);
    else
        m->tran_id_size = 0;
}

static int
take_window(struct sqlserver *s, const struct lsn *lo, struct err *e)
{
    struct window *w = &s->window;
    int rc;

    w->n = 0;
    while ((rc = db_next(s->db, e)) == 1) {
        struct mapping *m = &w->map[w->n];
        const struct lsn *before = w->n > 0 ? &w->map[w->n - 1].lsn : lo;

        if (w->n == w->limit || !lsn_read(s->db, 0, &m->lsn) || lsn_compare(&m->lsn, before) <= 0)
            return err_set(e, ERR_PROTOCOL, "cdc.lsn_time_mapping is not in order");
        take_mapping(s, m);
        w->n++;
    }
    return rc;
}

static int
take_newest(struct sqlserver *s, struct err *e)
{
    int rc;

    memset(&s->newest, 0, sizeof(s->newest));
    while ((rc = db_next(s->db, e)) == 1)
        (void)lsn_read(s->db, 0, &s->newest);
    return rc;
}

static uint64_t
mix(uint64_t sum, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ ((const uint8_t *)data)[i]) * 0x100000001B3ULL; /* FNV-1a */
    return sum;
}

/* What the current row says of a change table, as one number. */
static uint64_t
digest_row(struct sqlserver *s, int32_t object)
{
    uint64_t sum = mix(0xCBF29CE484222325ULL, &object, sizeof(object));
    struct lsn start;

    if (!lsn_read(s->db, 1, &start))
        sum = mix(sum, "", 1); /* the capture job has not come to it yet */
    for (int c = 2; c < db_columns(s->db); c++) {
        size_t size;
        const void *data = db_data(s->db, c, &size);

        sum = mix(sum, data, data != NULL ? size : 0);
    }
    return sum;
}

/* Brings the start LSNs up to date and says by a digest whether tables came, went or changed. */
static int
take_change_tables(struct sqlserver *s, uint64_t *digest, struct err *e)
{
    int rc;

    *digest = 1;
    for (size_t i = 0; i < s->n_instances; i++)
        s->instances[i]->is_seen = s->instances[i]->change_object == 0;
    while ((rc = db_next(s->db, e)) == 1) {
        int32_t object = (int32_t)db_int(s->db, 0);
        struct lsn start;

        /* The capture job has not come to a new instance yet: it is not there before it has. */
        if (!lsn_read(s->db, 1, &start))
            continue;
        *digest += digest_row(s, object); /* in whatever order the rows come */
        for (size_t i = 0; i < s->n_instances; i++)
            if (s->instances[i]->change_object == object) {
                s->instances[i]->start = start;
                s->instances[i]->is_seen = true;
            }
    }
    if (rc == 0)
        for (size_t i = 0; i < s->n_instances; i++)
            s->instances[i]->is_gone = !s->instances[i]->is_seen;
    return rc;
}

/* The window comes before the list of change tables: whatever table has changes in the window was
   enabled before its LSNs were scanned, so the list that is read later shows it. */
static int
run_poll(struct sqlserver *s, const struct lsn *lo, uint64_t *digest, struct err *e)
{
    const char *text;

    sql_reset(&s->q);
    sql_add(&s->q,
            "SELECT SYSDATETIMEOFFSET(); SELECT TOP (%u) m.start_lsn, m.tran_end_time, m.tran_id "
            "FROM cdc.lsn_time_mapping AS m WHERE m.start_lsn > ",
            s->window.limit);
    sql_add_binary(&s->q, lo->b, LSN_SIZE);
    sql_add(&s->q, " ORDER BY m.start_lsn; SELECT MAX(start_lsn) FROM "
                   "cdc.lsn_time_mapping; " CHANGE_TABLES_WATCHED);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0 || take_clock(s, e) != 0 ||
        db_result(s->db, e) != 1 || take_window(s, lo, e) != 0 || db_result(s->db, e) != 1 ||
        take_newest(s, e) != 0 || db_result(s->db, e) != 1 ||
        take_change_tables(s, digest, e) != 0 || db_result(s->db, e) != 0)
        return err_context(e, "look at the log");
    return 0;
}

/* ---- checks ---- */

static int
check_history(const struct sqlserver *s, const struct lsn *lo, struct err *e)
{
    char a[LSN_TEXT_SIZE];
    char b[LSN_TEXT_SIZE];
    struct lsn top = s->newest;

    for (size_t i = 0; i < s->n_instances; i++)
        if (lsn_compare(&s->instances[i]->start, &top) > 0)
            top = s->instances[i]->start;
    if (lsn_compare(&top, lo) >= 0)
        return 0;
    if (s->is_secondary) {
        err_set(e, ERR_CONNECT, "this replica has the log up to LSN %s, and %s was read already",
                lsn_text(&top, b), lsn_text(lo, a));
        return err_hint(e, "it is waited for: a secondary lags behind its primary");
    }
    err_set(e, ERR_HISTORY,
            "everything up to LSN %s was read from database '%s', but its newest is %s now: what "
            "was delivered from behind that is undone there",
            lsn_text(lo, a), s->config.task->source.database_name, lsn_text(&top, b));
    return err_hint(e, "the database was restored to an older point, failed over with loss, or "
                       "another one answers under its name. The stream keeps what is undone: tell "
                       "its consumers, then " REQUEST_RELOAD_HINT);
}

/* ---- new tables ---- */

static void
next_position(const struct position *from, struct position *out)
{
    *out = *from;
    for (int i = POSITION_SIZE - 1; i >= 0; i--)
        if (++out->b[i] != 0)
            break;
}

static struct instance *
follower_of(struct sqlserver *s, const struct instance *in)
{
    for (size_t i = 0; i < s->n_instances; i++)
        if (s->instances[i] != in && s->instances[i]->source_object == in->source_object &&
            s->instances[i]->has_until && s->instances[i]->change_object != 0 &&
            lsn_compare(&s->instances[i]->until, &in->start) == 0)
            return s->instances[i];
    return NULL;
}

/* Rows written after a column was added and before the new instance came without it. */
static void
tell_windows(const struct sqlserver *s, const struct instance *old, const struct instance *in)
{
    const struct table_def *d = in->table.def;
    char from[LSN_TEXT_SIZE];
    char upto[LSN_TEXT_SIZE];

    for (uint16_t i = 0; i < d->n_columns; i++) {
        const struct ddl *ddl = schema_added(s, old, d->columns[i].name);
        struct log_site site = {0};

        if (ddl != NULL && lsn_compare(&ddl->lsn, &in->start) < 0)
            log_write(LOG_WARN, &site, "column-window",
                      "table=%s.%s column=%s from=%s upto=%s text=\"rows written in between came "
                      "without it: weirctl reload loads the table anew\"",
                      d->schema, d->name, d->columns[i].name, lsn_text(&ddl->lsn, from),
                      lsn_text(&in->start, upto));
    }
}

/* Tells the sink of an instance seen for the first time.  Its changes count from its start LSN, or
   from where we are when that lies behind us. */
static int
announce(struct sqlserver *s, struct instance *in, const struct position *from,
         const struct lsn *lo, const struct source_sink *sink, struct err *e)
{
    struct instance *old = follower_of(s, in);
    const char *ddl = old != NULL ? schema_last_ddl(s, old) : NULL;

    if (lsn_compare(&in->start, lo) > 0) {
        memset(&in->table.since, 0, sizeof(in->table.since));
        memcpy(in->table.since.b, in->start.b, LSN_SIZE);
    } else {
        next_position(from, &in->table.since);
    }
    lsn_complete_of(&in->table.since, &in->since);
    in->is_known = true;
    if (in->table.refused == NULL && in->shape != NULL && schema_settle(s, in, NULL, e) != 0)
        return -1;
    if (old != NULL)
        tell_windows(s, old, in);
    return sink->definition(sink->arg, &in->table, old != NULL ? &old->table : NULL,
                            &in->table.since, ddl, e);
}

static int
announce_new(struct sqlserver *s, const struct position *from, const struct lsn *lo,
             const struct source_sink *sink, struct err *e)
{
    struct lsn next = *lo;
    bool any = false;

    lsn_increment(&next);
    for (size_t i = 0; i < s->n_instances; i++) {
        struct instance *in = s->instances[i];

        if (in->is_known || in->is_gone || in->is_ended || in->change_object == 0 ||
            (in->has_until && lsn_compare(&in->until, &next) <= 0))
            continue; /* what it has is read already */
        if (announce(s, in, from, lo, sink, e) != 0)
            return -1;
        any = true;
    }
    return any ? schema_follow(s, from, lo, sink, e) : 0; /* altered since it was made */
}

static int
make_room(struct sqlserver *s, struct err *e)
{
    struct instance **active = realloc(s->active, (s->n_instances + 1) * sizeof(struct instance *));

    if (active == NULL)
        return err_set(e, ERR_NOMEM, "%zu tables", s->n_instances);
    s->active = active;
    return 0;
}

/* ---- the poll ---- */

/* For holes in what was there before this round.  A table with one is suspended, and so is the new
   instance that is announced as its successor. */
static int
look(struct sqlserver *s, const struct lsn *lo, const struct source_sink *sink, struct err *e)
{
    for (size_t i = 0; i < s->n_instances; i++)
        s->instances[i]->whole = *lo;
    return gap_look(s, NULL, sink, e);
}

int
poll_window(struct sqlserver *s, const struct position *from, const struct lsn *lo,
            const struct source_sink *sink, struct err *e)
{
    uint32_t asked = s->window.limit;
    uint64_t digest = 0;
    bool has_changed;

    if (run_poll(s, lo, &digest, e) != 0)
        return -1;
    has_changed = digest != s->change_tables;
    if (has_changed && meta_load(s, e) != 0)
        return -1;
    s->change_tables = digest;
    if (check_history(s, lo, e) != 0 ||
        ((has_changed || s->n_leaving > 0) && schema_follow(s, from, lo, sink, e) != 0) ||
        look(s, lo, sink, e) != 0 || announce_new(s, from, lo, sink, e) != 0 ||
        make_room(s, e) != 0 || look(s, lo, sink, e) != 0 || manage_make(s, e) != 0)
        return -1;
    if (s->window.n == asked && asked < WINDOW_MAX)
        s->window.limit = asked * 2;
    return 0;
}

static size_t
count_gone(const struct sqlserver *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_instances; i++)
        n += s->instances[i]->is_gone ? 1 : 0;
    return n;
}

/* Whether an instance was dropped alone or with its table, only the next poll finds out. */
int
poll_low_water(struct sqlserver *s, struct instance *only, const struct source_sink *sink,
               struct err *e)
{
    size_t gone = count_gone(s);
    uint64_t digest;

    if (db_query(s->db, CHANGE_TABLES, e) != 0 || take_change_tables(s, &digest, e) != 0 ||
        db_result(s->db, e) != 0)
        return err_context(e, "look at the low-water mark");
    if (count_gone(s) > gone) {
        s->change_tables = 0;
        return err_set(e, ERR_SQL, "a capture instance was dropped while changes were read");
    }
    return gap_look(s, only, sink, e);
}
