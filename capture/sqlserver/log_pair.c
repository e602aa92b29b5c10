#include "capture/sqlserver/db.h"
#include "capture/sqlserver/log.h"
#include "common/err.h"
#include "common/task.h"

#include <stdlib.h>
#include <string.h>

/*
 * The two rows of a deferred update share LSN and seqval; the delete has the lower command id, and
 * in one change table no command of the transaction lies between the two.  Of a statement over many
 * rows all deletes come first: a row's other half may be pages away, and is then asked for by its
 * neighbour command and the page's range of seqvals: two seeks, never a scan of the transaction.
 *
 * Invariant: whether two rows are a pair depends on the change table alone, not on where pages or
 * lives of the process begin.
 */

/* Rows [from, upto) of a page that share LSN and command id. */
struct run {
    size_t from;
    size_t upto;
};

#define COMMAND_BYTES (LSN_SIZE + 4) /* of a position: LSN and command id */

static bool
same_command(const struct page *p, size_t a, size_t b)
{
    return memcmp(p->positions[a].b, p->positions[b].b, COMMAND_BYTES) == 0;
}

static bool
same_transaction(const struct page *p, size_t a, size_t b)
{
    return memcmp(p->positions[a].b, p->positions[b].b, LSN_SIZE) == 0;
}

static struct run
run_at(const struct page *p, size_t from)
{
    struct run r = {.from = from, .upto = from};

    while (r.upto < p->n_rows && same_command(p, r.upto, from))
        r.upto++;
    return r;
}

static struct position_sqlserver
place(const struct page *p, size_t row)
{
    struct position_sqlserver at;

    position_to_sqlserver(&p->positions[row], &at);
    return at;
}

bool
log_is_pairing(const struct sqlserver *s)
{
    return s->config.task->weir.merge_deferred_updates;
}

/* ---- keys ---- */

static bool
same_value(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_INT:
    case VALUE_UINT:
        return a->u == b->u;
    case VALUE_FLOAT32:
        return memcmp(&a->f32, &b->f32, sizeof(a->f32)) == 0;
    case VALUE_FLOAT64:
        return memcmp(&a->f64, &b->f64, sizeof(a->f64)) == 0;
    case VALUE_DECIMAL:
    case VALUE_TEXT:
    case VALUE_BYTES:
        return a->bytes.size == b->bytes.size &&
               memcmp(a->bytes.data, b->bytes.data, a->bytes.size) == 0;
    case VALUE_DATE:
        return a->days == b->days;
    case VALUE_TIME:
        return a->time_ns == b->time_ns;
    case VALUE_DATETIME:
    case VALUE_DATETIMEOFFSET:
        return a->datetime.seconds == b->datetime.seconds &&
               a->datetime.nanos == b->datetime.nanos &&
               a->datetime.offset_min == b->datetime.offset_min;
    case VALUE_UUID:
        return memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0;
    case VALUE_UNAVAILABLE:
    case VALUE_CUT_TEXT:
    case VALUE_CUT_BYTES:
    default:
        return false;
    }
}

/* A row whose key changed stays a delete and an insert: a consumer must learn that the old key is
   gone, and where keys move along a chain the deletes must come before the inserts. */
static bool
same_key(const struct instance *in, const struct value *a, const struct value *b)
{
    const struct table_def *d = in->table.def;

    for (uint16_t k = 0; k < d->n_key; k++)
        if (!same_value(&a[d->key[k]], &b[d->key[k]]))
            return false;
    return d->n_key > 0;
}

/* ---- within the page ---- */

static const struct value *
row_of(const struct instance *in, const struct page *p, size_t row)
{
    return p->values + row * in->n_columns;
}

static void
note_pair(struct instance *in, size_t delete, size_t insert)
{
    const struct value *before = row_of(in, &in->page, delete);

    if (!same_key(in, before, row_of(in, &in->page, insert)))
        return;
    in->partner[delete] = before; /* any: it comes back */
    in->partner[insert] = before;
}

/* Both runs are in order of seqval. */
static void
pair_runs(struct instance *in, struct run first, struct run second)
{
    size_t d = first.from;
    size_t i = second.from;

    while (d < first.upto && i < second.upto) {
        struct position_sqlserver a = place(&in->page, d);
        struct position_sqlserver b = place(&in->page, i);
        int c = memcmp(a.seqval, b.seqval, LSN_SIZE);

        if (a.operation != CT_DELETE) {
            d++;
        } else if (b.operation != CT_INSERT) {
            i++;
        } else if (c == 0) {
            note_pair(in, d++, i++);
        } else if (c < 0) {
            d++;
        } else {
            i++;
        }
    }
}

/* Rows without a command id, and whatever shares one: both halves are neighbours. */
static void
pair_neighbours(struct instance *in)
{
    for (size_t i = 0; i + 1 < in->page.n_rows; i++) {
        struct position_sqlserver a = place(&in->page, i);
        struct position_sqlserver b = place(&in->page, i + 1);

        if (a.operation == CT_DELETE && b.operation == CT_INSERT &&
            same_command(&in->page, i, i + 1) && memcmp(a.seqval, b.seqval, LSN_SIZE) == 0)
            note_pair(in, i, i + 1);
    }
}

/* ---- beyond the page ---- */

/* First and last row of the run with the operation and without a partner so far. */
static bool
lonely(const struct instance *in, struct run r, int operation, size_t *first, size_t *last)
{
    bool any = false;

    for (size_t i = r.from; i < r.upto; i++) {
        if (in->partner[i] != NULL || place(&in->page, i).operation != operation)
            continue;
        if (!any)
            *first = i;
        *last = i;
        any = true;
    }
    return any;
}

/* The rows of the command next to that of row `first` (below it for inserts, above it for deletes)
   with the other operation and a seqval of the range. */
static void
add_halves(struct sqlserver *s, const struct instance *in, size_t first, size_t last)
{
    struct position_sqlserver from = place(&in->page, first);
    struct position_sqlserver upto = place(&in->page, last);
    bool is_insert = from.operation == CT_INSERT;
    struct lsn of;

    memcpy(of.b, from.start_lsn, LSN_SIZE);
    sql_reset(&s->q);
    sql_add(&s->q, "SELECT [__$seqval], %s FROM ", in->select_list);
    log_add_rows(&s->q, in, &of, &of);
    sql_add(&s->q, " WHERE [__$start_lsn] = ");
    sql_add_binary(&s->q, of.b, LSN_SIZE);
    sql_add(&s->q, " AND [__$command_id] = (SELECT %s([__$command_id]) FROM ",
            is_insert ? "MAX" : "MIN");
    log_add_rows(&s->q, in, &of, &of);
    sql_add(&s->q, " WHERE [__$start_lsn] = ");
    sql_add_binary(&s->q, of.b, LSN_SIZE);
    sql_add(&s->q, " AND [__$command_id] %c %d) AND [__$seqval] >= ", is_insert ? '<' : '>',
            from.command_id);
    sql_add_binary(&s->q, from.seqval, LSN_SIZE);
    sql_add(&s->q, " AND [__$seqval] <= ");
    sql_add_binary(&s->q, upto.seqval, LSN_SIZE);
    sql_add(&s->q, " AND [__$operation] = %d ORDER BY [__$seqval]",
            is_insert ? CT_DELETE : CT_INSERT);
}

/* One row of the answer against the rows of the run from *at on.  A delete's image is kept as the
   before image of its insert; an insert's is looked at and forgotten. */
static int
take_half(struct sqlserver *s, struct instance *in, int operation, size_t *at, size_t last,
          struct err *e)
{
    struct page *halves = &in->halves;
    const struct value *half = row_of(in, halves, halves->n_rows);
    struct lsn seqval;
    int c = -1;

    if (!lsn_read(s->db, 0, &seqval))
        return err_set(e, ERR_PROTOCOL, "a change row without seqval");
    for (; *at <= last; (*at)++) {
        struct position_sqlserver p = place(&in->page, *at);

        c = memcmp(p.seqval, seqval.b, LSN_SIZE);
        if (c > 0 || (c == 0 && p.operation == operation))
            break;
    }
    if (*at > last || c != 0 || in->partner[*at] != NULL)
        return 0;
    if (page_decode_into(s, in, halves, 1, e) != 0)
        return -1;
    if (!same_key(in, half, row_of(in, &in->page, *at)))
        return 0;
    in->partner[*at] = half;
    if (operation == CT_INSERT) {
        log_mark_unavailable(in, CT_DELETE, NULL, 0,
                             halves->values + halves->n_rows * in->n_columns);
        halves->n_rows++;
    }
    return 0;
}

static int
pair_beyond(struct sqlserver *s, struct instance *in, struct run r, int operation, struct err *e)
{
    size_t first = 0;
    size_t last = 0;
    size_t at;
    const char *text;
    int rc;

    if (!lonely(in, r, operation, &first, &last) || place(&in->page, first).command_id < 0)
        return 0;
    add_halves(s, in, first, last);
    text = sql_text(&s->q, e);
    if (text == NULL || db_query(s->db, text, e) != 0)
        return -1;
    in->halves.wire_known = false;
    at = first;
    while ((rc = db_next(s->db, e)) == 1)
        if (take_half(s, in, operation, &at, last, e) != 0)
            return -1;
    return rc < 0 || db_result(s->db, e) < 0 ? -1 : 0;
}

/* ---- the page ---- */

static int
make_room(struct instance *in, struct err *e)
{
    const struct value **list;

    if (page_begin(&in->halves, in->page.capacity + 1, in->n_columns, e) != 0)
        return -1;
    if (in->partners < in->page.capacity) {
        list = realloc(in->partner, in->page.capacity * sizeof(*list));
        if (list == NULL)
            return err_set(e, ERR_NOMEM, "page of %zu rows", in->page.capacity);
        in->partner = list;
        in->partners = in->page.capacity;
    }
    memset(in->partner, 0, in->page.n_rows * sizeof(*in->partner));
    return 0;
}

int
log_pair(struct sqlserver *s, struct instance *in, const struct position_sqlserver *behind,
         struct err *e)
{
    const struct page *p = &in->page;
    struct run before = {.from = 0, .upto = 0};
    size_t n_rows = p->n_rows;

    if (make_room(in, e) != 0)
        return -1;
    if (n_rows == 0 || in->table.def->n_key == 0)
        return 0;
    pair_neighbours(in);
    for (struct run r = run_at(p, 0); r.from < n_rows; before = r, r = run_at(p, r.upto)) {
        bool is_first = r.from == 0;
        bool is_last = r.upto == n_rows;

        if (!is_first && same_transaction(p, before.from, r.from))
            pair_runs(in, before, r);
        /* The command before may have begun before the page: that of the first run, and of the
           second where the first is the rest of a command. */
        if (behind != NULL && memcmp(behind->start_lsn, p->positions[r.from].b, LSN_SIZE) == 0 &&
            (is_first || before.from == 0) && pair_beyond(s, in, r, CT_INSERT, e) != 0)
            return -1;
        /* And the one behind may end behind it. */
        if (!in->is_last_page && !is_first && is_last &&
            pair_beyond(s, in, before, CT_DELETE, e) != 0)
            return -1;
        if (!in->is_last_page && is_last && pair_beyond(s, in, r, CT_DELETE, e) != 0)
            return -1;
    }
    return 0;
}
