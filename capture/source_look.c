/*
 * What a source still has, and where in it a task may begin.  Knows no engine.
 */
#include "capture/source.h"

#include "common/clock.h"
#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHERE_SIZE (POSITION_TEXT_SIZE + CLOCK_ISO_SIZE + 8)

int
source_range_add(struct source_ranges *ranges, const struct source_table *t,
                 const struct position *oldest, int64_t oldest_real_ns, struct err *e)
{
    struct source_range *items = realloc(ranges->items, (ranges->n + 1) * sizeof(*items));
    size_t size = strlen(t->def->schema) + strlen(t->def->name) + 2;
    struct source_range *r;

    if (items == NULL)
        return err_set(e, ERR_NOMEM, "%zu tables", ranges->n);
    ranges->items = items;
    r = &items[ranges->n];
    *r = (struct source_range){.table = malloc(size),
                               .is_usable = t->refused == NULL,
                               .oldest = *oldest,
                               .oldest_real_ns = oldest_real_ns};
    if (r->table == NULL)
        return err_set(e, ERR_NOMEM, "%zu tables", ranges->n);
    (void)snprintf(r->table, size, "%s.%s", t->def->schema, t->def->name);
    ranges->n++;
    return 0;
}

void
source_ranges_free(struct source_ranges *ranges)
{
    for (size_t i = 0; i < ranges->n; i++)
        free(ranges->items[i].table);
    free(ranges->items);
    *ranges = (struct source_ranges){.items = NULL};
}

/* ---- may a task begin there? ---- */

/* A table of which an older capture instance reaches further back has what that one has. */
static bool
reaches_further(const struct source_ranges *ranges, const struct source_range *r)
{
    for (size_t i = 0; i < ranges->n; i++) {
        const struct source_range *other = &ranges->items[i];

        if (other != r && other->is_usable && strcmp(other->table, r->table) == 0 &&
            position_compare(&other->oldest, &r->oldest) < 0)
            return true;
    }
    return false;
}

/* The table that has least of the past, by position or by time; NULL when none is usable. */
static const struct source_range *
shortest(const struct source_ranges *ranges, bool by_time)
{
    const struct source_range *found = NULL;

    for (size_t i = 0; i < ranges->n; i++) {
        const struct source_range *r = &ranges->items[i];

        if (!r->is_usable || reaches_further(ranges, r))
            continue;
        if (found == NULL || (by_time ? r->oldest_real_ns > found->oldest_real_ns
                                      : position_compare(&r->oldest, &found->oldest) > 0))
            found = r;
    }
    return found;
}

/* "00000025:00000d08:0025 (2026-03-05T08:00:00.123000Z)"; buf holds WHERE_SIZE bytes. */
static const char *
where(const char *place, int64_t real_ns, char *buf)
{
    char iso[CLOCK_ISO_SIZE];

    (void)snprintf(buf, WHERE_SIZE, "%s%s%s%s", place, real_ns != 0 ? " (" : "",
                   real_ns != 0 ? clock_iso(real_ns, iso) : "", real_ns != 0 ? ")" : "");
    return buf;
}

/* The newest place as the LSN it is, which counts: a start there gives its transaction again. */
static const char *
where_newest(const struct source_ranges *ranges, char *buf)
{
    char text[POSITION_TEXT_SIZE];

    (void)position_text(&ranges->newest, text);
    text[strcspn(text, ".")] = '\0';
    return where(text, ranges->newest_real_ns, buf);
}

static int
too_early(const struct source_ranges *ranges, const struct source_range *r, struct err *e)
{
    char text[POSITION_TEXT_SIZE];
    char from[WHERE_SIZE];
    char upto[WHERE_SIZE];

    err_set(e, ERR_RANGE,
            "the start position lies before what the source still has: of table %s, changes from "
            "%s to %s",
            r->table, where(bounds_start_text(&r->oldest, text), r->oldest_real_ns, from),
            where_newest(ranges, upto));
    return err_hint(e, "`weirctl positions` lists the range of every table: begin at a place that "
                       "all of them have, or with `earliest`, or exclude the table");
}

static int
too_late(const struct source_ranges *ranges, struct err *e)
{
    char upto[WHERE_SIZE];
    char now[CLOCK_ISO_SIZE];

    err_set(e, ERR_RANGE,
            "the start position lies ahead of the source: its newest change is at %s, its clock "
            "says %s",
            where_newest(ranges, upto), clock_iso(ranges->server_real_ns, now));
    return err_hint(e, "begin at an earlier place, or with `now`; is the position one of this "
                       "database?");
}

static int
check_time(const struct source_ranges *ranges, int64_t real_ns, struct err *e)
{
    const struct source_range *r = shortest(ranges, true);

    if (ranges->server_real_ns != 0 && real_ns > ranges->server_real_ns)
        return too_late(ranges, e);
    return r != NULL && real_ns < r->oldest_real_ns ? too_early(ranges, r, e) : 0;
}

static int
check_position(const struct source_ranges *ranges, const struct position *p, struct err *e)
{
    const struct source_range *r = shortest(ranges, false);

    if (position_compare(p, &ranges->newest) > 0)
        return too_late(ranges, e);
    return r != NULL && position_compare(p, &r->oldest) < 0 ? too_early(ranges, r, e) : 0;
}

static void
earliest(const struct source_ranges *ranges, struct position *out)
{
    *out = ranges->newest;
    for (size_t i = 0; i < ranges->n; i++)
        if (ranges->items[i].is_usable && position_compare(&ranges->items[i].oldest, out) < 0)
            *out = ranges->items[i].oldest;
}

int
source_start(struct source *s, const struct start_bound *start, struct position *out,
             struct source_ranges *ranges, struct err *e)
{
    *ranges = (struct source_ranges){.items = NULL};
    *out = start->position;
    if (s->engine->ranges(s, ranges, e) != 0)
        return -1;
    switch (start->kind) {
    case START_EARLIEST:
        earliest(ranges, out);
        return 0;
    case START_TIME:
        if (check_time(ranges, start->real_ns, e) != 0)
            return -1;
        return s->engine->at_time(s, start->real_ns, out, e);
    case START_POSITION:
        return check_position(ranges, out, e);
    case START_NONE:
    case START_NOW:
    default:
        return s->engine->join(s, out, e);
    }
}

int
source_look(const struct task *task, const struct start_bound *start, struct position *at,
            struct source_ranges *out, struct err *e)
{
    struct source_identity identity;
    struct source_table **tables;
    struct source *s = NULL;
    size_t n;
    int rc = -1;

    *out = (struct source_ranges){.items = NULL};
    if (source_open(task, &s, e) != 0)
        return -1;
    if (s->engine->connect(s, &identity, e) == 0 && s->engine->tables(s, &tables, &n, e) == 0)
        rc = source_start(s, start, at, out, e);
    s->engine->close(&s);
    return rc;
}
