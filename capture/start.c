/*
 * The first start of a task that begins at a place of the operator's choice.
 *
 * Nothing is loaded.  Each table takes part from that place on, or from where its own changes
 * begin when that is later; a table of which an older capture instance holds the beginning takes
 * part with both.  What was begun before the place and committed behind it is delivered: the log
 * is read in the order of commits.
 */
#include "capture/capture_internal.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/task.h"

#include <string.h>

bool
start_is_located(const struct capture *c)
{
    return c->task->migration_type == MIGRATION_CDC && c->start.kind != START_NONE &&
           c->start.kind != START_NOW;
}

static bool
same_table(const struct source_table *a, const struct source_table *b)
{
    return strcmp(a->def->schema, b->def->schema) == 0 && strcmp(a->def->name, b->def->name) == 0;
}

/* A newer instance of the same table has everything from the join on; the engine lists the
   instances of a table one behind the other, the newest last. */
static bool
is_covered(const struct capture *c, struct source_table *const *tables, size_t n, size_t i)
{
    for (size_t k = i + 1; k < n && same_table(tables[i], tables[k]); k++)
        if (tables[k]->refused == NULL && position_compare(&tables[k]->since, &c->state.join) <= 0)
            return true;
    return false;
}

static int
take_part(struct capture *c, struct source_table *t, struct err *e)
{
    bool is_later = position_compare(&t->since, &c->state.join) > 0;
    struct position since = is_later ? t->since : c->state.join;
    struct state_table *st;

    if (tables_join(c, t, NULL, e) != 0)
        return -1;
    st = state_add_table(&c->state, t, e);
    if (st == NULL)
        return -1;
    st->since = since;
    if (is_later)
        st->announced = since;
    st->is_planned = is_later; /* announced once the stream comes there; the others at once */
    stats_table_state(((struct member *)t->user)->stats, TABLE_COMPLETED);
    return c->engine->known(c->source, t, &since, NULL, e);
}

static int
take_tables(struct capture *c, struct source_table *const *tables, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        if (tables[i]->refused != NULL)
            continue;
        if ((is_covered(c, tables, n, i)
                 ? c->engine->known(c->source, tables[i], &c->state.join, NULL, e)
                 : take_part(c, tables[i], e)) != 0)
            return -1;
    }
    return 0;
}

static int
announce_later(struct capture *c, struct source_table *const *tables, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (tables[i]->user != NULL && tables[i]->refused == NULL &&
            position_compare(&tables[i]->since, &c->state.join) > 0 &&
            tables_announce_at(c, tables[i]->user, &tables[i]->since, e) != 0)
            return -1;
    return 0;
}

static void
log_ranges(const struct source_ranges *ranges)
{
    for (size_t i = 0; i < ranges->n; i++) {
        const struct source_range *r = &ranges->items[i];
        struct log_site site = {.next_ns = 0}; /* one line each */
        char oldest[POSITION_TEXT_SIZE];
        char newest[POSITION_TEXT_SIZE];
        char from[CLOCK_ISO_SIZE];
        char upto[CLOCK_ISO_SIZE];
        char name[1024];

        (void)position_text(&ranges->newest, newest);
        log_write(LOG_WARN, &site, "retained-range",
                  "table=%s usable=%d from=%s since=%s newest=%s at=%s",
                  log_quote(r->table, name, sizeof(name)), r->is_usable ? 1 : 0,
                  bounds_start_text(&r->oldest, oldest), clock_iso(r->oldest_real_ns, from), newest,
                  clock_iso(ranges->newest_real_ns, upto));
    }
}

int
start_plan(struct capture *c, struct source_table *const *tables, size_t n, struct err *e)
{
    struct source_identity identity = c->state.identity;
    struct source_ranges ranges;
    char text[POSITION_TEXT_SIZE];
    int rc;

    state_free(&c->state); /* an attempt before this one may have failed half-way */
    c->state.identity = identity;
    c->state.is_new = true;
    rc = source_start(c->source, &c->start, &c->state.join, &ranges, e);
    if (rc != 0 && e->code == ERR_RANGE)
        log_ranges(&ranges);
    source_ranges_free(&ranges);
    if (rc != 0 || take_tables(c, tables, n, e) != 0 || state_write(c->task, &c->state, e) != 0)
        return -1;
    c->state.is_new = false;
    (void)position_text(&c->state.join, text);
    log_info("starts-at", "behind=%s tables=%zu", text, c->state.n_tables);
    return announce_later(c, tables, n, e);
}

int
start_begin(struct capture *c, struct err *e)
{
    if (position_compare(output_position(c->output), &c->state.join) >= 0)
        return 0;
    return output_watermark(c->output, &c->state.join, 0, e);
}
