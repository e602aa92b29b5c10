#include "capture/sqlserver/log.h"

#include "capture/sqlserver/db.h"
#include "capture/sqlserver/poll.h"
#include "common/clock.h"
#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES_TOTAL ((size_t)16 << 20) /* of all tables that are read at once */
#define PAGE_BYTES_MAX   ((size_t)4 << 20)
#define PAGE_BYTES_MIN   ((size_t)16 << 10)

/* What the merge knows of the transaction it is in. */
struct transaction {
    struct lsn lsn;
    const struct mapping *mapping; /* NULL: not in the window's map */
    uint32_t next;                 /* where in the map to look on */
    uint32_t records;
    uint32_t n; /* transactions so far */
};

/* ---- giving rows on ---- */

static void
enter_transaction(const struct window *w, struct transaction *t, const struct position *p)
{
    struct lsn lsn;

    memcpy(lsn.b, p->b, LSN_SIZE);
    if (t->n > 0 && lsn_compare(&lsn, &t->lsn) == 0)
        return;
    t->lsn = lsn;
    t->n++;
    t->records = 0;
    while (t->next < w->n && lsn_compare(&w->map[t->next].lsn, &lsn) < 0)
        t->next++;
    t->mapping =
        t->next < w->n && lsn_compare(&w->map[t->next].lsn, &lsn) == 0 ? &w->map[t->next] : NULL;
}

/* The operation a row is about; the second half of an update is named by its first. */
static int
operation_of(const struct position *p)
{
    struct position_sqlserver at;

    position_to_sqlserver(p, &at);
    return at.operation;
}

/* Both rows of an update differ in the operation only. */
static bool
is_pair(const struct position *before, const struct position *after)
{
    struct position_sqlserver b;
    struct position expected;

    position_to_sqlserver(before, &b);
    b.operation = CT_UPDATE_AFTER;
    position_from_sqlserver(&b, &expected);
    return position_compare(&expected, after) == 0;
}

/* The other half of a deferred update, when it is merged. */
static const struct value *
partner_of(const struct sqlserver *s, const struct instance *in, size_t row)
{
    return log_is_pairing(s) ? in->partner[row] : NULL;
}

/* Builds the event of the instance's next row or pair and gives it on.  A merged update stands at
   the place of its insert; its delete is counted, and gives nothing. */
static int
give_next(struct sqlserver *s, struct instance *in, struct transaction *t,
          const struct source_sink *sink, struct err *e)
{
    struct page *p = &in->page;
    const struct value *values = p->values + in->next * in->n_columns;
    const struct value *partner = partner_of(s, in, in->next);
    struct event ev = {.position = p->positions[in->next]};
    int operation = operation_of(&ev.position);

    enter_transaction(&s->window, t, &ev.position);
    if (operation == CT_DELETE && partner != NULL) {
        in->next++;
        t->records++;
        return 0;
    }
    if (log_fresh(s, in, e) != 0)
        return -1;
    in->next++;
    if (operation == CT_UPDATE_BEFORE) {
        if (in->next == p->n_rows || !is_pair(&ev.position, &p->positions[in->next]))
            return err_set(e, ERR_PROTOCOL, "%s: the first row of an update stands alone",
                           in->table.instance);
        ev.before = values;
        values = p->values + in->next * in->n_columns;
        ev.position = p->positions[in->next];
        in->next++;
    }
    if (operation == CT_DELETE) {
        ev.operation = EVENT_DELETE;
        ev.before = values;
    } else {
        ev.operation = operation == CT_INSERT && partner == NULL ? EVENT_INSERT : EVENT_UPDATE;
        ev.before = partner != NULL ? partner : ev.before;
        ev.after = values;
    }
    ev.n_before = ev.before != NULL ? in->n_columns : 0;
    ev.n_after = ev.after != NULL ? in->n_columns : 0;
    ev.record_number = ++t->records;
    if (t->mapping != NULL) {
        ev.commit_real_ns = t->mapping->commit_real_ns;
        ev.transaction_id_size = t->mapping->tran_id_size;
        memcpy(ev.transaction_id, t->mapping->tran_id, t->mapping->tran_id_size);
    }
    return sink->change(sink->arg, &in->table, &ev, e);
}

static const struct position *
head_of(const struct instance *in)
{
    return &in->page.positions[in->next];
}

/* The active instance with the lowest next row, and the lowest of the others. */
static struct instance *
lowest(struct instance *const *active, size_t n, const struct position **second)
{
    struct instance *first = active[0];

    *second = NULL;
    for (size_t i = 1; i < n; i++) {
        if (position_compare(head_of(active[i]), head_of(first)) < 0) {
            *second = head_of(first);
            first = active[i];
        } else if (*second == NULL || position_compare(head_of(active[i]), *second) < 0) {
            *second = head_of(active[i]);
        }
    }
    return first;
}

/* Without those that have nothing more to give: read, or suspended for a hole. */
static void
drop_empty(struct sqlserver *s, size_t *n)
{
    size_t kept = 0;

    for (size_t i = 0; i < *n; i++)
        if (s->active[i]->next < s->active[i]->page.n_rows && s->active[i]->table.refused == NULL)
            s->active[kept++] = s->active[i];
    *n = kept;
}

/* The instance's page was found without a hole: a transaction it ends in may go on behind it. */
static void
note_whole(struct instance *in, const struct lsn *hi)
{
    if (in->is_last_page)
        in->whole = *hi;
    else
        lsn_complete_of(&in->page.positions[in->page.n_rows - 1], &in->whole);
}

/* k-way merge by position.  Invariants: no row is given before one with a lower position; none is
   given before the low-water mark, looked at after its page was read, says that no row is missing
   in front of it.  A row from behind a hole would move the position over the hole. */
static int
merge(struct sqlserver *s, size_t n, const struct log_range *r, size_t target,
      struct transaction *t, const struct source_sink *sink, struct err *e)
{
    if (poll_low_water(s, NULL, sink, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        note_whole(s->active[i], &r->hi);
    drop_empty(s, &n);
    while (n > 0) {
        const struct position *second;
        struct instance *in = lowest(s->active, n, &second);

        do {
            if (give_next(s, in, t, sink, e) != 0)
                return -1;
        } while (in->next < in->page.n_rows &&
                 (second == NULL || position_compare(head_of(in), second) < 0));
        if (in->next < in->page.n_rows)
            continue;
        if (!in->is_last_page) {
            if (log_page_next(s, in, r, target, e) != 0 || poll_low_water(s, in, sink, e) != 0)
                return -1;
            note_whole(in, &r->hi);
        }
        drop_empty(s, &n);
    }
    return 0;
}

/* Goes on inside a transaction: its records so far are counted on the server, not read again. */
static int
enter_in_the_middle(struct sqlserver *s, const struct log_range *r, struct transaction *t,
                    struct err *e)
{
    struct position first = {.b = {0}};
    uint32_t given;

    if (!r->is_inside)
        return 0;
    if (log_count_given(s, r, &given, e) != 0)
        return -1;
    memcpy(first.b, r->from.start_lsn, LSN_SIZE);
    enter_transaction(&s->window, t, &first);
    t->records = given;
    return 0;
}

/* Of tables that are not read in this round: each that ever had a large page would hold it. */
static void
free_other_pages(struct sqlserver *s, size_t n_active)
{
    for (size_t i = 0; i < s->n_instances; i++)
        s->instances[i]->is_read = false;
    for (size_t i = 0; i < n_active; i++)
        s->active[i]->is_read = true;
    for (size_t i = 0; i < s->n_instances; i++)
        if (!s->instances[i]->is_read && s->instances[i]->page.capacity > 0)
            log_page_free(s->instances[i]);
}

static int
read_window(struct sqlserver *s, const struct log_range *r, struct transaction *t,
            const struct source_sink *sink, struct err *e)
{
    size_t target;
    size_t n;

    if (log_find_active(s, r, &n, e) != 0)
        return -1;
    free_other_pages(s, n);
    if (n == 0)
        return poll_low_water(s, NULL, sink, e); /* empty, or emptied since the poll? */
    target = PAGE_BYTES_TOTAL / n;
    if (target > PAGE_BYTES_MAX)
        target = PAGE_BYTES_MAX;
    if (target < PAGE_BYTES_MIN)
        target = PAGE_BYTES_MIN;
    for (size_t i = 0; i < n; i++)
        if (log_page_first(s, s->active[i], r, target, e) != 0)
            return -1;
    if (enter_in_the_middle(s, r, t, e) != 0)
        return -1;
    return merge(s, n, r, target, t, sink, e);
}

static void
fill_status(const struct sqlserver *s, const struct lsn *at, int64_t commit_real_ns,
            struct source_status *status)
{
    status->more = lsn_compare(at, &s->newest) < 0;
    position_lsn_complete(s->newest.b, &status->newest);
    status->newest_commit_real_ns = commit_real_ns;
    status->lag_ns = status->more && commit_real_ns != 0 && s->server_ns > commit_real_ns
                         ? s->server_ns - commit_real_ns
                         : 0;
    memset(&status->oldest, 0, sizeof(status->oldest));
    for (size_t i = 0; i < s->n_instances; i++)
        if (s->instances[i]->change_object != 0 &&
            memcmp(s->instances[i]->start.b, status->oldest.b, LSN_SIZE) > 0)
            memcpy(status->oldest.b, s->instances[i]->start.b, LSN_SIZE);
}

int
log_follow(struct source *base, const struct position *from, const struct source_sink *sink,
           struct source_status *status, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct transaction t = {.n = 0};
    struct position complete;
    const struct mapping *top;
    struct log_range range;

    log_range_make(from, &range);
    if (poll_window(s, from, &range.lo, sink, e) != 0)
        return -1;
    if (s->window.n == 0) {
        fill_status(s, &range.lo, 0, status);
        return 0;
    }
    top = &s->window.map[s->window.n - 1];
    range.hi = top->lsn;
    if (log_settle_ways(s, &range, e) != 0)
        return -1;
    if (read_window(s, &range, &t, sink, e) != 0)
        return -1;
    s->done = top->lsn;
    s->done_real_ns = top->commit_real_ns;
    position_lsn_complete(top->lsn.b, &complete);
    fill_status(s, &top->lsn, top->commit_real_ns, status);
    return sink->complete(sink->arg, &complete, top->commit_real_ns, t.n, e);
}
