#include "capture/sqlserver/db.h"
#include "capture/sqlserver/log.h"
#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES_LEAST ((size_t)64 << 10)

#define NAME_MAX_BYTES 560 /* 128 characters and what is put around them */

bool
log_mask_bit(const uint8_t *mask, size_t size, unsigned ordinal)
{
    size_t at = (ordinal - 1) / 8;

    if (ordinal == 0 || at >= size)
        return false;
    return (mask[size - 1 - at] >> ((ordinal - 1) % 8) & 1) != 0;
}

void
log_mark_unavailable(const struct instance *in, int operation, const uint8_t *mask,
                     size_t mask_size, struct value *values)
{
    bool is_update = operation == CT_UPDATE_BEFORE || operation == CT_UPDATE_AFTER;

    for (uint16_t i = 0; i < in->n_columns; i++) {
        const struct type_column *t = &in->types[i];
        bool is_before = operation == CT_DELETE || operation == CT_UPDATE_BEFORE;

        if (values[i].kind != VALUE_NULL || !t->is_lob)
            continue;
        if ((is_before && t->is_old_lob) ||
            (is_update && !log_mask_bit(mask, mask_size, in->ordinals[i])))
            values[i].kind = VALUE_UNAVAILABLE;
    }
}

/* ---- ranges ---- */

void
log_range_make(const struct position *from, struct log_range *r)
{
    memset(r, 0, sizeof(*r));
    lsn_complete_of(from, &r->lo);
    position_to_sqlserver(from, &r->from);
    r->is_inside = memcmp(r->lo.b, from->b, LSN_SIZE) != 0;
}

bool
log_clip(const struct instance *in, const struct log_range *r, struct lsn *after, struct lsn *last)
{
    *after = lsn_compare(&r->lo, &in->since) > 0 ? r->lo : in->since;
    *last = r->hi;
    if (in->has_until && lsn_compare(&in->until, last) <= 0) {
        *last = in->until;
        lsn_decrement(last);
    }
    return lsn_compare(after, last) < 0;
}

bool
log_is_behind(const struct instance *in, const struct log_range *r)
{
    return r->is_inside && lsn_compare(&in->since, &r->lo) <= 0;
}

/* ---- the statement ---- */

void
log_add_rows(struct sql *q, const struct instance *in, const struct lsn *first,
             const struct lsn *last)
{
    char name[NAME_MAX_BYTES];

    sql_add(q, "cdc.");
    if (!in->by_function) {
        (void)snprintf(name, sizeof(name), "%s_CT", in->table.instance);
        sql_add_name(q, name);
        return;
    }
    (void)snprintf(name, sizeof(name), LOG_FUNCTION "%s", in->table.instance);
    sql_add_name(q, name);
    sql_add(q, "(");
    sql_add_binary(q, first->b, LSN_SIZE);
    sql_add(q, ", ");
    sql_add_binary(q, last->b, LSN_SIZE);
    sql_add(q, ", N'all update old')");
}

/* The function gives no command id; its columns are those of a page all the same. */
static void
add_head(struct sql *q, const struct instance *in, const struct lsn *first, const struct lsn *last)
{
    sql_add(q,
            "SELECT TOP (%u) [__$start_lsn], %s, [__$seqval], [__$operation], "
            "[__$update_mask], %s FROM ",
            in->page_rows, in->by_function ? "CONVERT(int, NULL)" : "[__$command_id]",
            in->select_list);
    log_add_rows(q, in, first, last);
}

static void
add_tail(struct sql *q, const struct instance *in, const struct lsn *last)
{
    if (in->by_function) {
        sql_add(q, " ORDER BY [__$start_lsn], [__$seqval], [__$operation]");
        return;
    }
    sql_add(q, " AND [__$start_lsn] <= ");
    sql_add_binary(q, last->b, LSN_SIZE);
    sql_add(q, " ORDER BY [__$start_lsn], [__$command_id], [__$seqval], [__$operation]");
}

static void
add_seqval(struct sql *q, const struct position_sqlserver *p, char side, const char *operation)
{
    sql_add(q, "([__$seqval] %c ", side);
    sql_add_binary(q, p->seqval, LSN_SIZE);
    sql_add(q, " OR ([__$seqval] = ");
    sql_add_binary(q, p->seqval, LSN_SIZE);
    sql_add(q, " AND [__$operation] %s %u))", operation, p->operation);
}

/* Everything behind the tuple: a seek on the start LSN, then the nested comparison.  NULL sorts
   first, as -1 does in positions. */
static void
add_behind(struct sql *q, const struct position_sqlserver *p)
{
    sql_add(q, " WHERE [__$start_lsn] >= ");
    sql_add_binary(q, p->start_lsn, LSN_SIZE);
    sql_add(q, " AND ([__$start_lsn] > ");
    sql_add_binary(q, p->start_lsn, LSN_SIZE);
    if (p->command_id < 0)
        sql_add(q, " OR ([__$command_id] IS NOT NULL OR ([__$command_id] IS NULL AND ");
    else
        sql_add(q, " OR ([__$command_id] > %d OR ([__$command_id] = %d AND ", p->command_id,
                p->command_id);
    add_seqval(q, p, '>', ">");
    sql_add(q, ")))");
}

/* The same for the function's rows.  A row without a start LSN is the function's refusal: it must
   be seen, not filtered out. */
static void
add_behind_function(struct sql *q, const struct position_sqlserver *p)
{
    sql_add(q, " WHERE ([__$start_lsn] IS NULL OR [__$start_lsn] > ");
    sql_add_binary(q, p->start_lsn, LSN_SIZE);
    sql_add(q, " OR ([__$start_lsn] = ");
    sql_add_binary(q, p->start_lsn, LSN_SIZE);
    sql_add(q, " AND ");
    add_seqval(q, p, '>', ">");
    sql_add(q, "))");
}

void
log_add_upto(struct sql *q, const struct instance *in, const struct position_sqlserver *p)
{
    sql_add(q, " WHERE [__$start_lsn] = ");
    sql_add_binary(q, p->start_lsn, LSN_SIZE);
    if (in->by_function && p->command_id >= 0)
        return; /* rows without a command id come before every other of their transaction */
    if (in->by_function)
        sql_add(q, " AND (");
    else if (p->command_id < 0)
        sql_add(q, " AND ([__$command_id] IS NULL AND ");
    else
        sql_add(q,
                " AND ([__$command_id] IS NULL OR [__$command_id] < %d OR [__$command_id] = %d "
                "AND ",
                p->command_id, p->command_id);
    add_seqval(q, p, '<', "<=");
    sql_add(q, ")");
}

/* ---- rows ---- */

/* The function answers whom it does not serve with one row of NULLs, and no error. */
static int
not_allowed(struct err *e)
{
    err_set(e, ERR_ACCESS, "the function gave a row of NULLs: the login may not read the changes");
    return err_hint(e, "make the login a member of the capture instance's gating role and GRANT it "
                       "SELECT on the table; or GRANT SELECT ON SCHEMA::cdc");
}

static int
take_position(struct sqlserver *s, const struct instance *in, struct position *out, struct err *e)
{
    struct position_sqlserver p = {.chunk = 0};
    struct lsn start;
    struct lsn seqval;
    size_t size;

    if (!lsn_read(s->db, CT_START_LSN, &start) || !lsn_read(s->db, CT_SEQVAL, &seqval))
        return in->by_function
                   ? not_allowed(e)
                   : err_set(e, ERR_PROTOCOL, "a change row without start LSN or seqval");
    memcpy(p.start_lsn, start.b, LSN_SIZE);
    memcpy(p.seqval, seqval.b, LSN_SIZE);
    p.operation = (uint8_t)db_int(s->db, CT_OPERATION);
    if (p.operation < CT_DELETE || p.operation > CT_UPDATE_AFTER)
        return err_set(e, ERR_PROTOCOL, "a change row with operation %u", p.operation);
    p.command_id =
        db_data(s->db, CT_COMMAND_ID, &size) != NULL ? (int32_t)db_int(s->db, CT_COMMAND_ID) : -1;
    position_from_sqlserver(&p, out);
    return 0;
}

/* Without the command id two rows might share a place: then none of them has a stable position. */
static int
check_order(struct instance *in, struct err *e)
{
    const struct position *last = &in->page.positions[in->page.n_rows];
    int order = in->page.n_rows > 0 ? position_compare(last, last - 1) : 1;

    if (order > 0)
        return 0;
    if (order < 0 || !in->by_function)
        return err_set(e, ERR_PROTOCOL, "rows of the change table are not in order");
    err_set(e, ERR_DATA,
            "two changes share LSN, seqval and operation, and the function tells no command id: "
            "GRANT SELECT ON SCHEMA::cdc to the login, then load the table anew");
    (void)meta_refuse(in, e->text, NULL);
    return -1;
}

static int
take_row(struct sqlserver *s, struct instance *in, struct err *e)
{
    struct page *p = &in->page;
    const uint8_t *mask;
    size_t mask_size;

    if (p->n_rows == in->page_rows)
        return err_set(e, ERR_PROTOCOL, "more rows than TOP asked for");
    if (take_position(s, in, &p->positions[p->n_rows], e) != 0 || check_order(in, e) != 0 ||
        page_decode(s, in, CT_COLUMNS, e) != 0)
        return -1;
    mask = db_data(s->db, CT_UPDATE_MASK, &mask_size);
    log_mark_unavailable(in, (int)db_int(s->db, CT_OPERATION), mask, mask != NULL ? mask_size : 0,
                         p->values + p->n_rows * in->n_columns);
    p->n_rows++;
    return 0;
}

/* A page ends before a row whose other half may be the next one: the lone half is read again.  The
   two rows of an update always stay together. */
static void
cut_page(const struct sqlserver *s, struct page *p)
{
    struct position_sqlserver last;

    position_to_sqlserver(&p->positions[p->n_rows - 1], &last);
    if (last.operation == CT_UPDATE_BEFORE || (last.operation == CT_DELETE && log_is_pairing(s)))
        p->n_rows--;
}

/* Rows may be far larger than those of the page before, by which it was sized: it ends early rather
   than hold them all.  Two rows at least, or a pair would never be whole.  The next statement, the
   look at the low-water mark before any row goes out, drops what is not read. */
static bool
is_full(const struct page *p, size_t target)
{
    size_t limit = 2 * target > PAGE_BYTES_LEAST ? 2 * target : PAGE_BYTES_LEAST;

    return p->n_rows >= 2 && p->arena.used > limit;
}

static int
read_page(struct sqlserver *s, struct instance *in, const struct position_sqlserver *behind,
          size_t target, struct err *e)
{
    const char *text = sql_text(&s->q, e);
    struct page *p = &in->page;
    bool is_cut = false;
    int rc = 0;

    if (text == NULL || db_query(s->db, text, e) != 0 ||
        page_begin(p, in->page_rows, in->n_columns, e) != 0)
        goto fail;
    while (!is_cut && (rc = db_next(s->db, e)) == 1) {
        if (take_row(s, in, e) != 0)
            goto fail;
        is_cut = is_full(p, target);
    }
    if (rc < 0 || (!is_cut && db_result(s->db, e) < 0))
        goto fail;
    in->next = 0;
    in->fresh_upto = 0;
    in->is_last_page = !is_cut && p->n_rows < in->page_rows;
    if (p->n_rows > 0)
        in->row_bytes = page_row_bytes(p, in->n_columns);
    if (in->row_bytes != 0)
        in->page_rows = page_rows_of(in->row_bytes, target);
    if (!in->is_last_page)
        cut_page(s, p);
    if (!log_is_pairing(s) || log_pair(s, in, behind, e) == 0)
        return 0;

fail:
    return err_context(e, "read changes of %s", in->table.instance);
}

int
log_page_first(struct sqlserver *s, struct instance *in, const struct log_range *r, size_t target,
               struct err *e)
{
    bool is_behind = log_is_behind(in, r);
    struct lsn after;
    struct lsn first;
    struct lsn last;
    bool any = log_clip(in, r, &after, &last);

    in->next = 0;
    in->page.n_rows = 0;
    in->is_last_page = true;
    if (in->row_bytes != 0)
        in->page_rows = page_rows_of(in->row_bytes, target); /* more tables, smaller pages */
    if (is_behind && in->by_function && r->from.command_id >= 0) {
        is_behind = false; /* all that the function gives of this transaction was given */
        lsn_increment(&after);
        any = any && lsn_compare(&after, &last) < 0;
    }
    if (!any)
        return 0;
    first = after;
    lsn_increment(&first);
    sql_reset(&s->q);
    add_head(&s->q, in, &first, &last);
    if (is_behind && in->by_function) {
        add_behind_function(&s->q, &r->from);
    } else if (is_behind) {
        add_behind(&s->q, &r->from);
    } else if (!in->by_function) {
        sql_add(&s->q, " WHERE [__$start_lsn] > ");
        sql_add_binary(&s->q, after.b, LSN_SIZE);
    }
    add_tail(&s->q, in, &last);
    return read_page(s, in, is_behind ? &r->from : NULL, target, e);
}

void
log_page_free(struct instance *in)
{
    page_free(&in->page);
    page_free(&in->halves);
    arena_free(&in->fresh);
    free(in->partner);
    in->partner = NULL;
    in->partners = 0;
    in->next = 0;
    in->fresh_upto = 0;
}

int
log_page_next(struct sqlserver *s, struct instance *in, const struct log_range *r, size_t target,
              struct err *e)
{
    struct position_sqlserver at;
    struct lsn first;
    struct lsn last;

    CHECK(in->page.n_rows > 0 && !in->is_last_page);
    position_to_sqlserver(&in->page.positions[in->page.n_rows - 1], &at);
    (void)log_clip(in, r, &first, &last);
    memcpy(first.b, at.start_lsn, LSN_SIZE);
    sql_reset(&s->q);
    add_head(&s->q, in, &first, &last);
    if (in->by_function)
        add_behind_function(&s->q, &at);
    else
        add_behind(&s->q, &at);
    add_tail(&s->q, in, &last);
    return read_page(s, in, &at, target, e);
}
