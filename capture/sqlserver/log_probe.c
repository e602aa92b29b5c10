#include "capture/sqlserver/db.h"
#include "capture/sqlserver/log.h"
#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define PROBES_A_SELECT 64 /* a UNION of a thousand is more than an optimizer likes */

/* @lo or @hi, or the instance's own bound as a literal. */
static void
add_bound(struct sql *q, const struct lsn *bound, const struct lsn *common, const char *name)
{
    if (lsn_compare(bound, common) == 0)
        sql_add(q, "%s", name);
    else
        sql_add_binary(q, bound->b, LSN_SIZE);
}

/* The function is asked without a condition: its refusal is a row of NULLs. */
static void
add_probe(struct sql *q, const struct instance *in, const struct log_range *r, size_t i)
{
    struct lsn after;
    struct lsn last;

    (void)log_clip(in, r, &after, &last);
    sql_add(q, "%sSELECT %zu AS i WHERE EXISTS (SELECT * FROM ",
            i == 0                     ? ""
            : i % PROBES_A_SELECT == 0 ? "; "
                                       : " UNION ALL ",
            i);
    if (in->by_function) {
        lsn_increment(&after);
        log_add_rows(q, in, &after, &last);
        sql_add(q, ")");
        return;
    }
    log_add_rows(q, in, &after, &last);
    sql_add(q, " WHERE [__$start_lsn] > ");
    add_bound(q, &after, &r->lo, "@lo");
    sql_add(q, " AND [__$start_lsn] <= ");
    add_bound(q, &last, &r->hi, "@hi");
    sql_add(q, ")");
}

/* The text is the same from round to round, only the parameters change: the server keeps its plan. */
static int
send_probes(struct sqlserver *s, const struct log_range *r, struct instance *const *candidates,
            size_t n, struct err *e)
{
    struct sql probes = {.text = NULL};
    const char *text;
    int rc = -1;

    for (size_t i = 0; i < n; i++)
        add_probe(&probes, candidates[i], r, i);
    if (sql_text(&probes, e) == NULL)
        goto done;
    sql_reset(&s->q);
    sql_add(&s->q, "DECLARE @probes nvarchar(max) = ");
    sql_add_string(&s->q, probes.text, probes.len);
    sql_add(&s->q, "; EXEC sp_executesql @probes, N'@lo binary(10), @hi binary(10)', @lo = ");
    sql_add_binary(&s->q, r->lo.b, LSN_SIZE);
    sql_add(&s->q, ", @hi = ");
    sql_add_binary(&s->q, r->hi.b, LSN_SIZE);
    text = sql_text(&s->q, e);
    if (text != NULL)
        rc = db_query(s->db, text, e);

done:
    sql_free(&probes);
    return rc;
}

static int
probe(struct sqlserver *s, const struct log_range *r, struct instance *const *candidates, size_t n,
      size_t *n_active, struct err *e)
{
    int more;

    if (send_probes(s, r, candidates, n, e) != 0)
        return err_context(e, "look for changed tables");
    do {
        int rc;

        while ((rc = db_next(s->db, e)) == 1) {
            int64_t i = db_int(s->db, 0);

            if (i < 0 || (size_t)i >= n)
                return err_set(e, ERR_PROTOCOL, "look for changed tables: table %d of %zu", (int)i,
                               n);
            s->active[(*n_active)++] = candidates[i];
        }
        more = rc < 0 ? -1 : db_result(s->db, e);
    } while (more == 1);
    return more < 0 ? err_context(e, "look for changed tables") : 0;
}

static bool
takes_part(const struct instance *in)
{
    return in->is_known && !in->is_gone && in->change_object != 0 && in->table.refused == NULL;
}

int
log_find_active(struct sqlserver *s, const struct log_range *r, size_t *n_active, struct err *e)
{
    struct instance **candidates = calloc(s->n_instances + 1, sizeof(struct instance *));
    struct lsn after;
    struct lsn last;
    size_t n = 0;
    int rc = 0;

    if (candidates == NULL)
        return err_set(e, ERR_NOMEM, "%zu tables", s->n_instances);
    *n_active = 0;
    for (size_t i = 0; i < s->n_instances; i++)
        if (takes_part(s->instances[i]) && log_clip(s->instances[i], r, &after, &last))
            candidates[n++] = s->instances[i];
    if (n == 1)
        s->active[(*n_active)++] = candidates[0]; /* its page tells as cheaply */
    else if (n > 1)
        rc = probe(s, r, candidates, n, n_active, e);
    free(candidates);
    return rc;
}

/* ---- resuming inside a transaction ---- */

/* The first rows of updates belong to their second: they are not counted. */
static size_t
add_counts(struct sqlserver *s, const struct log_range *r)
{
    struct lsn of;
    size_t n = 0;

    memcpy(of.b, r->from.start_lsn, LSN_SIZE);
    sql_reset(&s->q);
    for (size_t i = 0; i < s->n_instances; i++) {
        const struct instance *in = s->instances[i];
        struct lsn after;
        struct lsn last;

        if (!takes_part(in) || !log_is_behind(in, r) || !log_clip(in, r, &after, &last))
            continue;
        sql_add(&s->q, "%sSELECT COUNT_BIG(*) AS n FROM ",
                n == 0                     ? ""
                : n % PROBES_A_SELECT == 0 ? "; "
                                           : " UNION ALL ");
        log_add_rows(&s->q, in, &of, &of);
        log_add_upto(&s->q, in, &r->from);
        sql_add(&s->q, " AND [__$operation] <> %d", CT_UPDATE_BEFORE);
        n++;
    }
    return n;
}

int
log_count_given(struct sqlserver *s, const struct log_range *r, uint32_t *count, struct err *e)
{
    const char *text;
    int more;

    *count = 0;
    if (add_counts(s, r) == 0)
        return 0;
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0)
        return err_context(e, "count what was given of a transaction");
    do {
        int rc;

        while ((rc = db_next(s->db, e)) == 1)
            *count += (uint32_t)db_int(s->db, 0);
        more = rc < 0 ? -1 : db_result(s->db, e);
    } while (more == 1);
    return more < 0 ? err_context(e, "count what was given of a transaction") : 0;
}
