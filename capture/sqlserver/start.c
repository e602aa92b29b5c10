#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/clock.h"
#include "common/err.h"

#include <stdio.h>
#include <string.h>

/* What cdc.change_tables says of one change table, and when its low-water mark was committed. */
struct mark {
    int32_t object;
    struct lsn start;
    int64_t created_ns; /* UTC, as all times here */
    int64_t start_ns;   /* 0: the low-water mark is no entry of lsn_time_mapping */
};

/* ---- times ---- */

static bool
read_ns(struct sqlserver *s, int column, int64_t offset_ns, int64_t *out)
{
    struct value v = {.kind = VALUE_NULL};
    size_t size;
    const void *data = db_data(s->db, column, &size);

    *out = 0;
    if (data == NULL ||
        type_decode(db_type(s->db, column), false, data, size, NULL, &v, NULL) != 0 ||
        (v.kind != VALUE_DATETIME && v.kind != VALUE_DATETIMEOFFSET))
        return false;
    *out = v.datetime.seconds * NS_PER_S + v.datetime.nanos - offset_ns;
    return true;
}

/* First of each batch here: the server's clock, and how far its local time is from UTC.  The CDC
   tables keep local times; those from before a change of the clocks are an hour off. */
static int
read_clock(struct sqlserver *s, int64_t *now_ns, int64_t *offset_ns, struct err *e)
{
    int rc;

    *now_ns = 0;
    *offset_ns = 0;
    while ((rc = db_next(s->db, e)) == 1) {
        struct value v = {.kind = VALUE_NULL};
        size_t size;
        const void *data = db_data(s->db, 0, &size);

        if (type_decode(db_type(s->db, 0), false, data, size, NULL, &v, NULL) != 0 ||
            v.kind != VALUE_DATETIMEOFFSET)
            return err_set(e, ERR_PROTOCOL, "SYSDATETIMEOFFSET() gave no time");
        *now_ns = v.datetime.seconds * NS_PER_S + v.datetime.nanos;
        *offset_ns = (int64_t)v.datetime.offset_min * 60 * NS_PER_S;
    }
    return rc;
}

/* ---- ranges ---- */

/* Everything from the low-water mark on is there.  In time: from the commit of the mark on, when
   the mark is an entry of lsn_time_mapping, as it is after a cleanup; a mark that is none is that
   of a table nothing was removed from yet, and its time is that of its enabling. */
static int
add_range(const struct instance *in, const struct mark *m, struct source_ranges *out, struct err *e)
{
    struct lsn before = m->start;
    struct position oldest;
    struct position at;

    position_lsn_complete(m->start.b, &at);
    if (position_compare(&at, &out->newest) > 0) {
        out->newest = at; /* enabled, and its log not scanned yet */
        out->newest_real_ns = 0;
    }
    lsn_decrement(&before);
    position_lsn_complete(before.b, &oldest);
    return source_range_add(out, &in->table, &oldest,
                            m->start_ns != 0 ? m->start_ns : m->created_ns, e);
}

static int
take_marks(struct sqlserver *s, int64_t offset_ns, struct source_ranges *out, struct err *e)
{
    int rc;

    while ((rc = db_next(s->db, e)) == 1) {
        struct mark m = {.object = (int32_t)db_int(s->db, 0)};

        if (!lsn_read(s->db, 1, &m.start))
            continue;
        (void)read_ns(s, 2, offset_ns, &m.created_ns);
        (void)read_ns(s, 3, offset_ns, &m.start_ns);
        for (size_t i = 0; i < s->n_instances; i++)
            if (s->instances[i]->change_object == m.object &&
                add_range(s->instances[i], &m, out, e) != 0)
                return -1;
    }
    return rc;
}

static int
take_newest(struct sqlserver *s, int64_t offset_ns, struct source_ranges *out, struct err *e)
{
    struct lsn newest;
    int rc;

    while ((rc = db_next(s->db, e)) == 1) {
        if (!lsn_read(s->db, 0, &newest))
            return err_set(e, ERR_PROTOCOL, "cdc.lsn_time_mapping without an LSN");
        position_lsn_complete(newest.b, &out->newest);
        (void)read_ns(s, 1, offset_ns, &out->newest_real_ns);
    }
    return rc;
}

int
start_ranges(struct source *base, struct source_ranges *out, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    int64_t offset_ns = 0;

    if (db_query(s->db,
                 "SELECT SYSDATETIMEOFFSET(); SELECT TOP (1) m.start_lsn, m.tran_end_time FROM "
                 "cdc.lsn_time_mapping AS m ORDER BY m.start_lsn DESC; "
                 "SELECT c.object_id, c.start_lsn, c.create_date, m.tran_end_time FROM "
                 "cdc.change_tables AS c LEFT JOIN cdc.lsn_time_mapping AS m ON m.start_lsn = "
                 "c.start_lsn",
                 e) != 0 ||
        read_clock(s, &out->server_real_ns, &offset_ns, e) != 0 || db_result(s->db, e) != 1 ||
        take_newest(s, offset_ns, out, e) != 0 || db_result(s->db, e) != 1 ||
        take_marks(s, offset_ns, out, e) != 0 || db_result(s->db, e) != 0)
        return err_context(e, "read what is retained");
    return 0;
}

/* ---- times to places ---- */

/* datetime has a grid of 1/300 s: a literal between two of its points is rounded to the nearer
   one.  No commit lies between the literal and what it is rounded to, so none is left out. */
static void
add_datetime(struct sql *q, int64_t local_ns)
{
    char iso[CLOCK_ISO_SIZE];

    sql_add(q, "CONVERT(datetime, '%.23s', 126)", clock_iso(local_ns, iso));
}

static int
ask_offset(struct sqlserver *s, int64_t *offset_ns, struct err *e)
{
    int64_t now_ns;

    if (db_query(s->db, "SELECT SYSDATETIMEOFFSET()", e) != 0 ||
        read_clock(s, &now_ns, offset_ns, e) != 0 || db_result(s->db, e) < 0)
        return err_context(e, "read the server's clock");
    return 0;
}

/* The LSN of the only row of the only column; zero when it is NULL. */
static int
take_lsn(struct sqlserver *s, struct lsn *out, struct err *e)
{
    int rc;

    memset(out, 0, sizeof(*out));
    while ((rc = db_next(s->db, e)) == 1)
        (void)lsn_read(s->db, 0, out);
    return rc;
}

/*
 * What sys.fn_cdc_map_time_to_lsn('smallest greater than or equal', t) finds, but for clocks that
 * were set back: the lowest LSN of all commits from then on, not that of the earliest of them.
 * While there is none, all that there is lies before: the newest is asked for first, so that a
 * commit between the two questions lies behind it.
 */
int
start_at_time(struct source *base, int64_t real_ns, struct position *out, struct err *e)
{
    static const struct lsn none;
    struct sqlserver *s = (struct sqlserver *)base;
    int64_t offset_ns = 0;
    struct lsn newest;
    struct lsn first;
    const char *text;

    if (ask_offset(s, &offset_ns, e) != 0)
        return -1;
    sql_reset(&s->q);
    sql_add(&s->q, "SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping; SELECT MIN(m.start_lsn) FROM "
                   "cdc.lsn_time_mapping AS m WHERE m.tran_end_time >= ");
    add_datetime(&s->q, real_ns + offset_ns);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0 || take_lsn(s, &newest, e) != 0 ||
        db_result(s->db, e) != 1 || take_lsn(s, &first, e) != 0 || db_result(s->db, e) != 0)
        return err_context(e, "find the LSN of a time");
    if (lsn_compare(&first, &none) > 0) {
        newest = first;
        lsn_decrement(&newest);
    }
    position_lsn_complete(newest.b, out);
    return 0;
}
