/*
 * What changed between two definitions of a table, as control events: one for each column
 * concerned, at positions of their own, so that a restart in between repeats none.
 */
#include "capture/capture_internal.h"
#include "common/catalog.h"
#include "common/err.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The events of one change of a definition, in the making. */
struct alter {
    struct capture *capture;
    struct member *member;
    const char *ddl;
    struct position at; /* of the next event */
    struct position last;
    unsigned n;
};

static int
tell(struct alter *a, enum event_operation operation, const char *first, const char *second,
     const char *third, struct err *e)
{
    const char *texts[EVENT_MAX_TEXTS] = {NULL};
    size_t n = 0;

    if (first != NULL)
        texts[n++] = first;
    if (second != NULL)
        texts[n++] = second;
    if (third != NULL)
        texts[n++] = third;
    texts[n++] = a->ddl;
    a->last = a->at;
    if (tables_announce_event(a->capture, a->member, operation, texts, n, &a->last, e) != 0)
        return -1;
    position_next(&a->last, &a->at);
    a->n++;
    return 0;
}

static const struct column_def *
find_column(const struct table_def *d, const char *name)
{
    for (uint16_t i = 0; i < d->n_columns; i++)
        if (strcmp(d->columns[i].name, name) == 0)
            return &d->columns[i];
    return NULL;
}

static int
tell_dropped(struct alter *a, const struct table_def *old, const struct table_def *now,
             struct err *e)
{
    for (uint16_t i = 0; i < old->n_columns; i++) {
        const struct column_def *c = &old->columns[i];

        if (find_column(now, c->name) == NULL &&
            tell(a, EVENT_DROP_COLUMN, c->name, c->source_type, NULL, e) != 0)
            return -1;
    }
    return 0;
}

static int
tell_added(struct alter *a, const struct table_def *old, const struct table_def *now, struct err *e)
{
    for (uint16_t i = 0; i < now->n_columns; i++) {
        const struct column_def *c = &now->columns[i];
        const struct column_def *was = find_column(old, c->name);
        int rc = 0;

        if (was == NULL)
            rc = tell(a, EVENT_ADD_COLUMN, c->name, c->source_type, NULL, e);
        else if (strcmp(was->source_type, c->source_type) != 0)
            rc = tell(a, EVENT_CHANGE_TYPE, c->name, was->source_type, c->source_type, e);
        if (rc != 0)
            return -1;
    }
    return 0;
}

int
alter_announce(struct capture *c, struct member *m, const struct table_def *old,
               const struct position *position, const char *ddl, struct position *last,
               struct err *e)
{
    const struct table_def *now = m->source->def;
    struct alter a = {.capture = c, .member = m, .ddl = ddl, .at = *position, .last = *position};
    bool is_renamed = strcmp(old->schema, now->schema) != 0 || strcmp(old->name, now->name) != 0;

    if (is_renamed && tell(&a, EVENT_RENAME_TABLE, old->schema, old->name, NULL, e) != 0)
        return -1;
    if (tell_dropped(&a, old, now, e) != 0 || tell_added(&a, old, now, e) != 0)
        return -1;
    /* Order, nullability, key: one record with the whole definition. */
    if (a.n == 0 && !tables_same_definition(old, now) &&
        tell(&a, EVENT_CHANGE_COLUMNS, NULL, NULL, NULL, e) != 0)
        return -1;
    log_info("definition-changes", "table=%s version=%u was=%u records=%u", m->full_name,
             now->version, old->version, a.n);
    *last = a.last;
    return 0;
}

/* ---- the end of a table ---- */

static char *
why_ended(const struct position *position, const char *new_name)
{
    char at[POSITION_TEXT_SIZE];
    char text[1600];

    (void)position_text(position, at);
    at[strcspn(at, ".")] = '\0';
    if (new_name != NULL)
        (void)snprintf(
            text, sizeof(text),
            "it was renamed to %s, which the selection rules do not pick; nothing behind "
            "%s was read: to take it in again, it must be loaded anew",
            new_name, at);
    else
        (void)snprintf(text, sizeof(text),
                       "it was dropped in the source: changes behind %s, if there were any, went "
                       "with its change table",
                       at);
    return strdup(text);
}

/* Written before the record is given: a start in between queues it again. */
static int
note_end(struct capture *c, struct state_table *st, const struct position *at, const char *new_name,
         char *why, struct err *e)
{
    log_warn(new_name == NULL ? "table-dropped" : "table-left-out", "table=%s.%s text=\"%s\"",
             st->schema, st->name, why);
    st->suspended = why;
    if (new_name == NULL)
        st->ended = *at;
    st->is_end_told = true;
    return state_write(c->task, &c->state, e);
}

int
tables_end(struct capture *c, struct source_table *t, const struct position *position,
           const char *new_name, struct err *e)
{
    struct member *m = t->user;
    struct state_table *st = state_find_definition(&c->state, t);
    struct position at = *position;
    char *why;

    if (m->is_refused || st == NULL || st->suspended != NULL)
        return 0;
    if (new_name == NULL && tables_announce_event(c, m, EVENT_DROP_TABLE, NULL, 0, &at, e) != 0)
        return -1;
    why = why_ended(position, new_name);
    if (why == NULL)
        return err_set(e, ERR_NOMEM, "end of %s", m->full_name);
    m->is_refused = true;
    stats_table_state(m->stats, TABLE_ERROR);
    return note_end(c, st, &at, new_name, why, e);
}

int
tables_ended_unseen(struct capture *c, struct state_table *st, struct err *e)
{
    struct position at;
    char *why;

    position_next(output_low(c->output), &at);
    why = why_ended(&at, NULL);
    if (why == NULL)
        return err_set(e, ERR_NOMEM, "end of %s.%s", st->schema, st->name);
    return note_end(c, st, &at, NULL, why, e) != 0 ? -1 : tables_announce_drop(c, st, e);
}
