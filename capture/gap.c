/*
 * Holes in the changes of a table: it is suspended, durably and with the interval that is lost,
 * and the others go on.  Nothing of it is delivered until it is loaded anew.
 */
#include "capture/capture_internal.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RELOAD "load the table anew: weirctl reload TASK --table %s.%s"

/* The part of a position that people know: for SQL Server the LSN. */
static const char *
place_text(const struct position *p, char *buf)
{
    (void)position_text(p, buf);
    buf[strcspn(buf, ".")] = '\0';
    return buf;
}

static const char *
time_text(int64_t real_ns, char *buf)
{
    if (real_ns == 0)
        (void)snprintf(buf, CLOCK_ISO_SIZE, "time unknown");
    else
        (void)clock_iso(real_ns, buf);
    return buf;
}

static bool
is_open_ended(const struct position *p)
{
    for (size_t i = 0; i < POSITION_SIZE; i++)
        if (p->b[i] != 0xFF)
            return false;
    return true;
}

static void
describe(const struct source_gap *gap, char *buf, size_t size)
{
    char from[POSITION_TEXT_SIZE];
    char upto[POSITION_TEXT_SIZE];
    char from_time[CLOCK_ISO_SIZE];
    char upto_time[CLOCK_ISO_SIZE];

    if (is_open_ended(&gap->upto))
        (void)snprintf(buf, size, "changes from LSN %s on (after %s) are lost: %s",
                       place_text(&gap->from, from), time_text(gap->from_real_ns, from_time),
                       gap->why);
    else
        (void)snprintf(buf, size, "changes from LSN %s to %s (after %s, before %s) are lost: %s",
                       place_text(&gap->from, from), place_text(&gap->upto, upto),
                       time_text(gap->from_real_ns, from_time),
                       time_text(gap->upto_real_ns, upto_time), gap->why);
}

int
gap_suspend(struct capture *c, struct state_table *st, const struct source_gap *gap, struct err *e)
{
    char text[ERR_TEXT_MAX];
    struct source_gap g = *gap;

    if (g.from_real_ns == 0)
        g.from_real_ns = c->reached_real_ns;
    describe(&g, text, sizeof(text));
    free(st->suspended);
    st->suspended = strdup(text);
    if (st->suspended == NULL)
        return err_set(e, ERR_NOMEM, "table %s", st->name);
    st->lost = (struct state_lost){.is_set = true,
                                   .from = g.from,
                                   .upto = g.upto,
                                   .given = *output_position(c->output),
                                   .from_real_ns = g.from_real_ns,
                                   .upto_real_ns = g.upto_real_ns};
    /* What was given of the table before the hole is not asked for again once it is suspended. */
    output_publish(c->output);
    CRASH_POINT("capture.gap-found");
    if (state_write(c->task, &c->state, e) != 0)
        return -1;
    CRASH_POINT("capture.gap-written");
    return 0;
}

int
gap_rejoin(struct capture *c, struct state_table *st, struct err *e)
{
    const struct position *low = output_low(c->output);
    struct source_gap gap = {.from = *low,
                             .upto = st->lost.upto,
                             .upto_real_ns = st->lost.upto_real_ns,
                             .why = "the rings were lost too, and the source has no longer what "
                                    "was in them"};

    if (!st->lost.is_set || position_compare(low, &st->lost.given) >= 0)
        return 0;
    return gap_suspend(c, st, &gap, e);
}

int
gap_on_lost(void *arg, struct source_table *t, const struct source_gap *gap, struct err *e)
{
    struct capture *c = arg;
    struct state_table *st = state_find(&c->state, t->def->schema, t->def->name, t->instance);
    char quoted[ERR_HINT_MAX];

    CHECK(st != NULL); /* the engine speaks of tables it was told to know */
    if (gap_suspend(c, st, gap, e) != 0)
        return -1;
    if (t->refused == NULL && (t->refused = strdup(st->suspended)) == NULL)
        return err_set(e, ERR_NOMEM, "table %s", st->name);
    if (tables_refuse(c, t, e) != 0)
        return -1;
    if (gap->remedy[0] != '\0')
        log_warn("gap-remedy", "text=%s", log_quote(gap->remedy, quoted, sizeof(quoted)));
    c->watch.next_look_ns = 0; /* the alarm at once */
    c->is_left_due = true;
    return 0;
}

int
gap_any_left(struct capture *c, struct err *e)
{
    char text[ERR_TEXT_MAX];
    const struct state_table *last = NULL;
    size_t n = 0;

    for (size_t i = 0; i < c->state.n_tables; i++) {
        const struct state_table *st = &c->state.tables[i];

        if (st->suspended == NULL || st->wants_reload)
            return 0;
        last = st;
        if (n < sizeof(text))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s.%s: %s", n > 0 ? "; " : "",
                                  st->schema, st->name, st->suspended);
    }
    if (last == NULL)
        return 0;
    err_set(e, ERR_GAP, "no table of the task is left: %.900s", text);
    if (c->task->migration_type == MIGRATION_CDC)
        return err_hint(e, "begin anew at the newest change: weirctl reload TASK");
    return err_hint(e, RELOAD, last->schema, last->name);
}
