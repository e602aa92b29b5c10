/*
 * Tables altered, renamed or dropped while they are followed: each becomes a new definition at its
 * place, in the order of places.
 */
#include "capture/sqlserver/schema.h"
#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What happens to one reading of a change table next. */
struct step {
    struct lsn
        lsn;     /* rows behind lsn - 1 are concerned; that of `lo` when the place is not known */
    bool is_now; /* it is not known, or passed: from here on, then */
    const char *ddl;
    uint16_t n; /* columns concerned */
    bool is_concerned[EVENT_MAX_COLUMNS];
};

static const struct column_def *
shape_of(const struct instance *in, const struct column_def *c, bool *is_dropped)
{
    const struct instance *shape = in->shape;
    const struct table_def *d = shape->table.def;

    for (uint16_t i = 0; i < d->n_columns; i++)
        if (strcmp(d->columns[i].name, c->name) == 0) {
            *is_dropped = shape->is_dropped[i];
            return &d->columns[i];
        }
    *is_dropped = true;
    return NULL;
}

/*
 * Where a column stops being what the definition says.
 *
 * The source's catalogue is ahead of the log: a column may be gone whose statement the capture job has
 * not come to.  A change without a statement therefore waits for the next statement; is that one not
 * about it either, nobody will say its place any more, and it happens now.
 */
static bool
column_step(const struct sqlserver *s, struct instance *in, const struct column_def *c,
            const struct lsn *lo, struct lsn *lsn, const struct ddl **ddl)
{
    bool is_dropped;
    const struct column_def *now = shape_of(in, c, &is_dropped);

    if (!is_dropped && strcmp(now->source_type, c->source_type) == 0)
        return false;
    *ddl = schema_find_ddl(s, in, c->name, is_dropped);
    if (*ddl == NULL && !in->is_overdue) {
        in->has_open = true;
        return false;
    }
    *lsn = *ddl != NULL && lsn_compare(&(*ddl)->lsn, lo) > 0 ? (*ddl)->lsn : *lo;
    return true;
}

/* The lowest place at which something changes, and everything that changes there. */
static bool
next_step(const struct sqlserver *s, struct instance *in, const struct lsn *lo, struct step *step)
{
    const struct table_def *d = in->table.def;

    *step = (struct step){.n = 0};
    if (in->name_now != NULL && !in->is_deselected) {
        step->lsn = *lo;
        step->n = 1;
    }
    for (uint16_t i = 0; i < d->n_columns; i++) {
        const struct ddl *ddl;
        struct lsn lsn;

        if (!column_step(s, in, &d->columns[i], lo, &lsn, &ddl))
            continue;
        if (step->n > 0 && lsn_compare(&lsn, &step->lsn) > 0)
            continue;
        if (step->n > 0 && lsn_compare(&lsn, &step->lsn) < 0)
            *step = (struct step){.n = 0};
        step->lsn = lsn;
        step->is_concerned[i] = true;
        step->ddl = ddl != NULL ? ddl->command : step->ddl;
        step->n++;
    }
    step->is_now = lsn_compare(&step->lsn, lo) <= 0;
    /* What a newer instance reads is its own affair. */
    return step->n > 0 && !(in->has_until && lsn_compare(&step->lsn, &in->until) >= 0);
}

/* The definition behind the step. */
static int
define(const struct instance *in, const struct step *step, struct table_def **out, struct err *e)
{
    struct table_def *d;
    uint16_t kept = 0;
    bool is_dropped;

    if (schema_copy(in->table.def, &d, e) != 0)
        return -1;
    for (uint16_t i = 0; i < d->n_columns; i++) {
        struct column_def c = d->columns[i];
        const struct column_def *now = shape_of(in, &c, &is_dropped);

        if (step->is_concerned[i] && is_dropped) {
            free(c.name);
            free(c.source_type);
            continue;
        }
        if (step->is_concerned[i] && now != NULL) {
            char *type = strdup(now->source_type);

            if (type != NULL) {
                char *name = c.name;
                uint16_t key = c.key_ordinal;

                free(c.source_type);
                c = *now;
                c.name = name;
                c.source_type = type;
                c.key_ordinal = key;
            }
        }
        d->columns[kept++] = c;
    }
    d->n_columns = kept;
    d->id = 0;
    d->version = 0;
    *out = d;
    return catalog_finish(d, e);
}

static bool
is_renamed(const struct instance *in, const struct step *step)
{
    return step->is_now && in->name_now != NULL && !in->is_deselected;
}

/* What the two readings of a change table share goes over to the later one. */
static void
hand_over(struct instance *in, struct instance *next, bool with_names)
{
    next->table.object = in->table.object;
    next->change_object = in->change_object;
    next->source_object = in->source_object;
    next->start = in->start;
    memcpy(next->created, in->created, sizeof(next->created));
    next->until = in->until;
    next->has_until = in->has_until;
    next->page_rows = in->page_rows;
    next->n_ddl = in->n_ddl;
    next->may_select = in->may_select;
    next->may_call = in->may_call;
    next->by_function = in->by_function;
    next->is_known = true;
    next->is_seen = true;
    next->shape = in->shape;
    in->shape = NULL;
    if (!with_names)
        return;
    next->schema_now = in->schema_now;
    next->name_now = in->name_now;
    next->is_deselected = in->is_deselected;
    in->schema_now = NULL;
    in->name_now = NULL;
}

/* The rest of the change table under another definition: `in` ends where it begins. */
static struct instance *
cut(struct sqlserver *s, struct instance *in, const struct step *step,
    const struct position *position, struct err *e)
{
    bool renames = is_renamed(in, step);
    const struct table_def *d = in->table.def;
    struct table_def *like = NULL;
    struct instance *next;
    int rc = -1;

    if (define(in, step, &like, e) != 0)
        return NULL;
    next = meta_add_instance(s, renames ? in->schema_now : d->schema,
                             renames ? in->name_now : d->name, in->table.instance, e);
    if (next != NULL) {
        next->table.since = *position;
        lsn_complete_of(position, &next->since);
        hand_over(in, next, !renames);
        in->is_superseded = true;
        in->has_until = true;
        in->until = next->since;
        lsn_increment(&in->until);
        rc = schema_settle(NULL, next, like, e);
    }
    catalog_table_free(&like);
    return rc == 0 ? next : NULL;
}

static void
place(const struct step *step, const struct position *from, struct position *out)
{
    if (step->is_now) {
        position_next(from, out);
        return;
    }
    memset(out, 0, sizeof(*out));
    memcpy(out->b, step->lsn.b, LSN_SIZE);
}

/* The steps of one reading, each the beginning of the next reading. */
static int
follow_one(struct sqlserver *s, struct instance *in, const struct position *from,
           const struct lsn *lo, const struct source_sink *sink, struct err *e)
{
    struct position position;
    struct step step;

    in->is_overdue = in->has_open && in->n_ddl > in->n_ddl_open;
    in->has_open = false;
    while (next_step(s, in, lo, &step)) {
        struct instance *next;

        place(&step, from, &position);
        next = cut(s, in, &step, &position, e);
        if (next == NULL ||
            sink->definition(sink->arg, &next->table, &in->table, &position, step.ddl, e) != 0)
            return -1;
        in = next;
    }
    in->n_ddl_open = in->n_ddl;
    return 0;
}

/* Nothing of it is read any more, and nothing missed. */
static int
end_one(struct sqlserver *s, struct instance *in, const struct position *from, const struct lsn *lo,
        const char *new_name, const struct source_sink *sink, struct err *e)
{
    struct position position;
    bool is_last = !in->has_until;

    (void)s;
    in->is_ended = true;
    in->has_until = true;
    in->until = *lo;
    lsn_increment(&in->until);
    if (!is_last)
        return 0; /* what took over from it tells */
    position_next(from, &position);
    return sink->dropped(sink->arg, &in->table, &position, new_name, e);
}

/* The source still has the table, with change data capture or without. */
static bool
has_source(const struct sqlserver *s, const struct instance *in)
{
    for (size_t i = 0; i < s->n_instances; i++)
        if (s->instances[i]->source_object == in->source_object && !s->instances[i]->is_gone)
            return true;
    return false;
}

/* The list of change tables and the catalogue are read by two statements: what was dropped with its
   table may still seem to have one.  Said twice it is true, and the hole is another's affair. */
static int
look_again(struct sqlserver *s, struct instance *in, struct err *e)
{
    if (in->is_gone_sure)
        return 0;
    in->is_gone_sure = true;
    s->change_tables = 0;
    return err_set(e, ERR_SQL, "capture instance %s was dropped: looking again",
                   in->table.instance);
}

/* A name has no place in the log: what was committed by the time it was seen is still read. */
static int
leave(struct sqlserver *s, struct instance *in, const struct position *from, const struct lsn *lo,
      const struct source_sink *sink, struct err *e)
{
    char name[1100];

    if (!in->is_leaving) {
        in->is_leaving = true;
        in->leaves_at = s->newest;
        s->n_leaving++;
    }
    if (lsn_compare(lo, &in->leaves_at) < 0)
        return 0;
    s->n_leaving--;
    (void)snprintf(name, sizeof(name), "%s.%s", in->schema_now, in->name_now);
    return end_one(s, in, from, lo, name, sink, e);
}

int
schema_follow(struct sqlserver *s, const struct position *from, const struct lsn *lo,
              const struct source_sink *sink, struct err *e)
{
    size_t n = s->n_instances; /* those made here need no look */

    for (size_t i = 0; i < n; i++) {
        struct instance *in = s->instances[i];
        int rc = 0;

        if (!in->is_known || in->is_superseded || in->is_ended || in->change_object == 0 ||
            in->table.refused != NULL)
            continue;
        if (in->is_gone)
            rc = has_source(s, in) ? look_again(s, in, e) : end_one(s, in, from, lo, NULL, sink, e);
        else if (in->is_deselected && in->name_now != NULL)
            rc = leave(s, in, from, lo, sink, e);
        else if (in->shape != NULL)
            rc = follow_one(s, in, from, lo, sink, e);
        if (rc != 0)
            return -1;
    }
    meta_arrange(s);
    return 0;
}
