#include "capture/sqlserver/db.h"
#include "capture/sqlserver/log.h"
#include "common/err.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 528 /* 128 characters and "_CT" */

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

bool
log_clip(const struct instance *in, const struct lsn *lo, const struct lsn *hi, struct lsn *after,
         struct lsn *last)
{
    *after = lsn_compare(lo, &in->since) > 0 ? *lo : in->since;
    *last = *hi;
    if (in->has_until && lsn_compare(&in->until, last) <= 0) {
        *last = in->until;
        lsn_decrement(last);
    }
    return lsn_compare(after, last) < 0;
}

/* ---- the statement ---- */

void
log_add_table(struct sql *q, const struct instance *in)
{
    char table[NAME_MAX_BYTES];

    (void)snprintf(table, sizeof(table), "%s_CT", in->table.instance);
    sql_add(q, "cdc.");
    sql_add_name(q, table);
}

static void
add_head(struct sql *q, const struct instance *in)
{
    sql_add(q,
            "SELECT TOP (%u) [__$start_lsn], [__$command_id], [__$seqval], [__$operation], "
            "[__$update_mask], %s FROM ",
            in->page_rows, in->select_list);
    log_add_table(q, in);
}

static void
add_tail(struct sql *q, const struct lsn *last)
{
    sql_add(q, " AND [__$start_lsn] <= ");
    sql_add_binary(q, last->b, LSN_SIZE);
    sql_add(q, " ORDER BY [__$start_lsn], [__$command_id], [__$seqval], [__$operation]");
}

/* Everything behind the tuple: a seek on the start LSN, then the nested comparison.  NULL sorts
   first, as -1 does in positions. */
static void
add_keyset(struct sql *q, const struct position_sqlserver *p)
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
    sql_add(q, "([__$seqval] > ");
    sql_add_binary(q, p->seqval, LSN_SIZE);
    sql_add(q, " OR ([__$seqval] = ");
    sql_add_binary(q, p->seqval, LSN_SIZE);
    sql_add(q, " AND [__$operation] > %u)))))", p->operation);
}

/* ---- rows ---- */

static int
take_position(struct sqlserver *s, struct position *out, struct err *e)
{
    struct position_sqlserver p = {.chunk = 0};
    struct lsn start;
    struct lsn seqval;
    size_t size;

    if (!lsn_read(s->db, CT_START_LSN, &start) || !lsn_read(s->db, CT_SEQVAL, &seqval))
        return err_set(e, ERR_PROTOCOL, "a change row without start LSN or seqval");
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

static int
take_row(struct sqlserver *s, struct instance *in, struct err *e)
{
    struct page *p = &in->page;
    const uint8_t *mask;
    size_t mask_size;

    if (p->n_rows == in->page_rows)
        return err_set(e, ERR_PROTOCOL, "more rows than TOP asked for");
    if (take_position(s, &p->positions[p->n_rows], e) != 0 ||
        page_decode(s, in, CT_COLUMNS, e) != 0)
        return -1;
    if (p->n_rows > 0 &&
        position_compare(&p->positions[p->n_rows], &p->positions[p->n_rows - 1]) <= 0)
        return err_set(e, ERR_PROTOCOL, "rows of the change table are not in order");
    mask = db_data(s->db, CT_UPDATE_MASK, &mask_size);
    log_mark_unavailable(in, (int)db_int(s->db, CT_OPERATION), mask, mask != NULL ? mask_size : 0,
                         p->values + p->n_rows * in->n_columns);
    p->n_rows++;
    return 0;
}

static int
read_page(struct sqlserver *s, struct instance *in, size_t target, struct err *e)
{
    const char *text = sql_text(&s->q, e);
    struct page *p = &in->page;
    struct position_sqlserver last;
    int rc;

    if (text == NULL || db_query(s->db, text, e) != 0 ||
        page_begin(p, in->page_rows, in->n_columns, e) != 0)
        goto fail;
    while ((rc = db_next(s->db, e)) == 1)
        if (take_row(s, in, e) != 0)
            goto fail;
    if (rc < 0 || db_result(s->db, e) < 0)
        goto fail;
    in->next = 0;
    in->is_last_page = p->n_rows < in->page_rows;
    in->page_rows = page_next_rows(p, in->n_columns, target);
    if (!in->is_last_page) {
        /* The two rows of an update stay together: a lone first half is read again. */
        position_to_sqlserver(&p->positions[p->n_rows - 1], &last);
        if (last.operation == CT_UPDATE_BEFORE)
            p->n_rows--;
    }
    return 0;

fail:
    return err_context(e, "read changes of %s", in->table.instance);
}

int
log_page_first(struct sqlserver *s, struct instance *in, const struct lsn *lo, const struct lsn *hi,
               size_t target, struct err *e)
{
    struct lsn after;
    struct lsn last;

    in->next = 0;
    in->page.n_rows = 0;
    in->is_last_page = true;
    if (!log_clip(in, lo, hi, &after, &last))
        return 0;
    sql_reset(&s->q);
    add_head(&s->q, in);
    sql_add(&s->q, " WHERE [__$start_lsn] > ");
    sql_add_binary(&s->q, after.b, LSN_SIZE);
    add_tail(&s->q, &last);
    return read_page(s, in, target, e);
}

int
log_page_next(struct sqlserver *s, struct instance *in, const struct lsn *hi, size_t target,
              struct err *e)
{
    struct position_sqlserver at;
    struct lsn after;
    struct lsn last;

    CHECK(in->page.n_rows > 0 && !in->is_last_page);
    position_to_sqlserver(&in->page.positions[in->page.n_rows - 1], &at);
    (void)log_clip(in, &in->since, hi, &after, &last);
    sql_reset(&s->q);
    add_head(&s->q, in);
    add_keyset(&s->q, &at);
    add_tail(&s->q, &last);
    return read_page(s, in, target, e);
}
