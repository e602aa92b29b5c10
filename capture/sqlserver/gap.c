#include "capture/sqlserver/gap.h"

#include "capture/sqlserver/db.h"
#include "capture/sqlserver/poll.h"
#include "common/err.h"

#include <string.h>

#define DROPPED "its capture instance was dropped"
#define REMOVED "the cleanup job has removed them"
#define LONGER                                                                                     \
    "raise the cleanup job's retention so that it outlasts an outage: EXEC sys.sp_cdc_change_job " \
    "@job_type = N'cleanup', @retention = 4320 (minutes)"

/* Commit time of the first entry at or behind lsn; 0 when nobody can say. */
static int64_t
time_at(struct sqlserver *s, const struct lsn *lsn)
{
    struct err ignored = ERR_INIT;
    struct sql q = {.text = NULL};
    int64_t found = 0;

    sql_add(&q, "SELECT TOP (1) m.tran_end_time FROM cdc.lsn_time_mapping AS m WHERE m.start_lsn "
                ">= ");
    sql_add_binary(&q, lsn->b, LSN_SIZE);
    sql_add(&q, " ORDER BY m.start_lsn");
    if (sql_text(&q, &ignored) != NULL && db_query(s->db, q.text, &ignored) == 0) {
        while (db_next(s->db, &ignored) == 1)
            found = poll_time_ns(s, 0);
        (void)db_result(s->db, &ignored);
    }
    sql_free(&q);
    return found;
}

static int
tell(struct sqlserver *s, struct instance *in, const struct lsn *from,
     const struct source_sink *sink, struct err *e)
{
    struct source_gap gap = {.why = in->is_gone ? DROPPED : REMOVED,
                             .remedy = in->is_gone ? "" : LONGER};
    struct lsn before = *from;
    struct lsn last = in->start;

    memcpy(gap.from.b, from->b, LSN_SIZE);
    lsn_decrement(&before);
    if (lsn_compare(&before, &s->done) == 0)
        gap.from_real_ns = s->done_real_ns;
    if (in->is_gone) {
        memset(gap.upto.b, 0xFF, sizeof(gap.upto.b));
    } else {
        gap.upto_real_ns = time_at(s, &in->start);
        lsn_decrement(&last);
        position_lsn_complete(last.b, &gap.upto);
    }
    if (sink->lost(sink->arg, &in->table, &gap, e) != 0)
        return -1;
    CHECK(in->table.refused != NULL);
    return 0;
}

/* The instance's own range counts: what lies before `since` is not wanted, what lies behind
   `until` is another instance's. */
static int
look_at(struct sqlserver *s, struct instance *in, const struct source_sink *sink, struct err *e)
{
    struct lsn next = lsn_compare(&in->whole, &in->since) > 0 ? in->whole : in->since;

    if (!in->is_known || in->change_object == 0 || in->table.refused != NULL)
        return 0;
    lsn_increment(&next);
    if (in->has_until && lsn_compare(&next, &in->until) >= 0)
        return 0; /* read to its end */
    if (in->is_gone || lsn_compare(&in->start, &next) > 0)
        return tell(s, in, &next, sink, e);
    return 0;
}

int
gap_look(struct sqlserver *s, struct instance *only, const struct source_sink *sink, struct err *e)
{
    if (only != NULL)
        return look_at(s, only, sink, e);
    for (size_t i = 0; i < s->n_instances; i++)
        if (look_at(s, s->instances[i], sink, e) != 0)
            return -1;
    return 0;
}
