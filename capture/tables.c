#include "capture/capture_internal.h"
#include "common/catalog.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- definitions ---- */

static bool
same_column(const struct column_def *a, const struct column_def *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->source_type, b->source_type) == 0 &&
           a->type == b->type && a->length == b->length && a->precision == b->precision &&
           a->scale == b->scale && a->nullable == b->nullable && a->is_lob == b->is_lob &&
           a->is_fixed_text == b->is_fixed_text && a->key_ordinal == b->key_ordinal;
}

bool
tables_same_definition(const struct table_def *a, const struct table_def *b)
{
    if (a->n_columns != b->n_columns)
        return false;
    for (uint16_t i = 0; i < a->n_columns; i++)
        if (!same_column(&a->columns[i], &b->columns[i]))
            return false;
    return true;
}

/* The id and version of the state, if the definition is still the one written then. */
static int
take_known(struct capture *c, struct table_def *d, const struct state_table *known, bool *taken,
           struct err *e)
{
    struct table_def *old = NULL;

    *taken = false;
    if (catalog_read(c->task->weir.state_directory, known->id, known->version, &old, e) != 0)
        return e->code == ERR_NOT_FOUND ? 0 : -1;
    if (tables_same_definition(old, d)) {
        d->id = known->id;
        d->version = known->version;
        *taken = true;
    }
    catalog_table_free(&old);
    return 0;
}

/* The newest version of each table, as the catalogue has it: capture is its only writer, so that it
   is read once, not once a table. */
static int
know_catalogue(struct capture *c, struct err *e)
{
    if (c->is_catalogue_read)
        return 0;
    if (catalog_read_all(c->task->weir.state_directory, &c->catalogue, &c->n_catalogue, e) != 0 &&
        e->code != ERR_NOT_FOUND)
        return -1;
    c->is_catalogue_read = true;
    return 0;
}

/* d was written: its own copy takes the place of the version before. */
static int
note_written(struct capture *c, const struct table_def *d, struct err *e)
{
    struct table_def *copy = NULL;
    struct table_def **list;

    if (!c->is_catalogue_read)
        return 0;
    if (catalog_read(c->task->weir.state_directory, d->id, d->version, &copy, e) != 0)
        return -1;
    for (size_t i = 0; i < c->n_catalogue; i++)
        if (c->catalogue[i]->id == d->id) {
            catalog_table_free(&c->catalogue[i]);
            c->catalogue[i] = copy;
            return 0;
        }
    list = realloc(c->catalogue, (c->n_catalogue + 1) * sizeof(struct table_def *));
    if (list == NULL) {
        catalog_table_free(&copy);
        return err_set(e, ERR_NOMEM, "%zu definitions", c->n_catalogue);
    }
    c->catalogue = list;
    list[c->n_catalogue++] = copy;
    return 0;
}

/* By the catalogue: the newest version when it is the same, the next one when not, a new id for a
   table that was never there. */
static int
take_catalogued(struct capture *c, struct table_def *d, struct err *e)
{
    uint32_t highest = 0;

    if (know_catalogue(c, e) != 0)
        return -1;
    d->id = 0;
    for (size_t i = 0; i < c->n_catalogue; i++) {
        const struct table_def *old = c->catalogue[i];

        if (old->id > highest)
            highest = old->id;
        if (strcmp(old->schema, d->schema) == 0 && strcmp(old->name, d->name) == 0) {
            d->id = old->id;
            d->version = old->version + (tables_same_definition(old, d) ? 0 : 1);
        }
    }
    if (d->id == 0) {
        d->id = highest + 1;
        d->version = 1;
    }
    return 0;
}

/* The first version behind the old one's that is the same, else the next one.  A definition that is
   met again after a restart so gets the version it had. */
static int
take_next(struct capture *c, struct table_def *d, const struct table_def *old, struct err *e)
{
    struct err why = ERR_INIT;

    d->id = old->id;
    for (d->version = old->version + 1;; d->version++) {
        struct table_def *seen = NULL;
        bool same;

        if (catalog_read(c->task->weir.state_directory, d->id, d->version, &seen, &why) != 0) {
            if (why.code == ERR_NOT_FOUND)
                return 0;
            *e = why;
            return -1;
        }
        same = tables_same_definition(seen, d) && strcmp(seen->schema, d->schema) == 0 &&
               strcmp(seen->name, d->name) == 0;
        catalog_table_free(&seen);
        if (same)
            return 0;
    }
}

/* ---- members ---- */

static struct member *
add_member(struct capture *c, struct source_table *t, struct err *e)
{
    struct member **list = realloc(c->members, (c->n_members + 1) * sizeof(struct member *));
    struct member *m = calloc(1, sizeof(*m));
    size_t size = strlen(t->def->schema) + strlen(t->def->name) + 2;

    if (list != NULL)
        c->members = list;
    if (m != NULL)
        m->full_name = malloc(size);
    if (list == NULL || m == NULL || m->full_name == NULL) {
        free(m);
        err_set(e, ERR_NOMEM, "table %s", t->def->name);
        return NULL;
    }
    (void)snprintf(m->full_name, size, "%s.%s", t->def->schema, t->def->name);
    m->source = t;
    m->home = route_table(c, m->full_name);
    c->members[c->n_members++] = m;
    t->user = m;
    return m;
}

static int
write_definition(struct capture *c, const struct table_def *d, struct err *e)
{
    if (catalog_write(c->task->weir.state_directory, d, e) != 0 || note_written(c, d, e) != 0)
        return err_context(e, "definition of %s.%s", d->schema, d->name);
    stats_add(c->stage->stats, STAT_SCHEMA_LOADS, 1);
    return 0;
}

int
tables_define(struct capture *c, struct member *m, struct err *e)
{
    if (take_catalogued(c, m->source->def, e) != 0 || write_definition(c, m->source->def, e) != 0)
        return -1;
    m->stats = stats_table(c->stage->stats, m->source->def->id, m->full_name);
    return lobs_watch(m, e);
}

static void
tell_left_out(const struct member *m, const struct source_table *t)
{
    char quoted[600];
    struct log_site site = {0}; /* each table's line is its own */

    if (t->left_out != NULL)
        log_write(LOG_INFO, &site, "columns-left-out", "table=%s columns=%s", m->full_name,
                  log_quote(t->left_out, quoted, sizeof(quoted)));
}

/* A table whose definition has its id and version. */
static int
join(struct capture *c, struct source_table *t, struct err *e)
{
    struct member *m = t->user;

    if (write_definition(c, t->def, e) != 0)
        return -1;
    if (m == NULL)
        m = add_member(c, t, e);
    if (m == NULL)
        return -1;
    if (lobs_watch(m, e) != 0)
        return -1;
    m->stats = stats_table(c->stage->stats, t->def->id, m->full_name);
    log_info("table-joins", "table=%s id=%u version=%u columns=%u key=%u", m->full_name, t->def->id,
             t->def->version, t->def->n_columns, t->def->n_key);
    tell_left_out(m, t);
    return 0;
}

int
tables_join(struct capture *c, struct source_table *t, const struct state_table *known,
            struct err *e)
{
    const struct member *m = t->user;
    bool taken = false;

    if (m != NULL && m->stats != NULL)
        return 0;
    if (known != NULL && take_known(c, t->def, known, &taken, e) != 0)
        return -1;
    if (!taken && take_catalogued(c, t->def, e) != 0)
        return -1;
    return join(c, t, e);
}

int
tables_join_next(struct capture *c, struct source_table *t, const struct table_def *old,
                 struct err *e)
{
    return take_next(c, t->def, old, e) != 0 ? -1 : join(c, t, e);
}

int
tables_refuse(struct capture *c, struct source_table *t, struct err *e)
{
    struct member *m = t->user != NULL ? t->user : add_member(c, t, e);
    const struct state_table *st = state_find(&c->state, t->def->schema, t->def->name, t->instance);
    enum err_code code = st != NULL && st->lost.is_set ? ERR_GAP : ERR_DATA;
    struct err why = ERR_INIT;

    if (m == NULL)
        return -1;
    if (m->is_refused)
        return 0;
    m->is_refused = true;
    if (m->stats == NULL && t->def->id == 0 && take_catalogued(c, t->def, e) != 0)
        return -1;
    if (m->stats == NULL)
        m->stats = stats_table(c->stage->stats, t->def->id, m->full_name);
    stats_table_state(m->stats, TABLE_ERROR);
    stats_table_add(m->stats, TSTAT_ERRORS, 1);
    (void)err_set(&why, code, "table %s is suspended: %s", m->full_name, t->refused);
    stats_error(c->stage->stats, &why, t->def->id);
    log_err_write(LOG_ERROR, &m->refusal, "table-suspended", &why); /* one must not hide another */
    return 0;
}

bool
tables_suspend_refused(struct capture *c, const struct err *why, struct err *e)
{
    bool any = false;

    for (size_t i = 0; i < c->n_members; i++) {
        struct source_table *t = c->members[i]->source;
        struct state_table *st = state_find(&c->state, t->def->schema, t->def->name, t->instance);

        if (t->refused == NULL || c->members[i]->is_refused)
            continue;
        any = true;
        if (tables_refuse(c, t, e) != 0)
            return false;
        if (st != NULL && st->suspended == NULL)
            st->suspended = strdup(why->text);
    }
    /* What was given of them before is not asked for again once they are suspended. */
    output_publish(c->output);
    return any && state_write(c->task, &c->state, e) == 0;
}

static void
free_announcement(struct announcement *a)
{
    for (size_t i = 0; i < a->n_texts; i++)
        free(a->texts[i]);
}

void
tables_free(struct capture *c)
{
    for (size_t i = 0; i < c->n_members; i++) {
        free(c->members[i]->full_name);
        free(c->members[i]->lobs);
        free(c->members[i]);
    }
    for (size_t i = 0; i < c->n_catalogue; i++)
        catalog_table_free(&c->catalogue[i]);
    free(c->catalogue);
    for (size_t i = 0; i < c->n_announcements; i++)
        free_announcement(&c->announcements[i]);
    free(c->members);
    free(c->announcements);
    c->catalogue = NULL;
    c->n_catalogue = 0;
    c->is_catalogue_read = false;
    c->members = NULL;
    c->announcements = NULL;
    c->n_members = 0;
    c->n_announcements = 0;
}

/* ---- announcements ---- */

int
tables_announce(struct capture *c, struct member *m, const struct position *position, struct err *e)
{
    struct event ev = {
        .operation = EVENT_CREATE_TABLE,
        .table_id = m->source->def->id,
        .version = m->source->def->version,
        .position = *position,
    };

    return output_event(c->output, m->home, &ev, m->stats, TSTAT_DDLS, e);
}

int
tables_announce_load(struct capture *c, struct member *m, const struct position *position,
                     struct err *e)
{
    struct event drop = {
        .operation = EVENT_DROP_TABLE,
        .table_id = m->source->def->id,
        .version = m->source->def->version,
        .position = *position,
    };

    if (c->task->target_prep == TARGET_PREP_DROP_AND_CREATE &&
        output_event(c->output, m->home, &drop, m->stats, TSTAT_DDLS, e) != 0)
        return -1;
    return tables_announce(c, m, position, e);
}

void
tables_load_begins(struct member *m, bool is_reload)
{
    stats_table_set(m->stats, TSTAT_FULL_LOAD_BEGAN, (uint64_t)clock_real_ns());
    stats_table_set(m->stats, TSTAT_FULL_LOAD_ENDED, 0);
    stats_table_set(m->stats, TSTAT_FULL_LOAD_ROWS, 0); /* of an earlier generation too */
    if (is_reload)
        stats_table_set(m->stats, TSTAT_FULL_LOAD_RELOADED, 1);
    stats_table_state(m->stats, is_reload ? TABLE_RELOAD : TABLE_BEFORE_LOAD);
}

void
tables_loaded(struct member *m)
{
    stats_table_state(m->stats, TABLE_COMPLETED);
    if (stats_table_get(m->stats, TSTAT_FULL_LOAD_BEGAN) != 0)
        stats_table_set(m->stats, TSTAT_FULL_LOAD_ENDED, (uint64_t)clock_real_ns());
}

/* Takes its place in the list; *position moves behind those that are there. */
static int
queue(struct capture *c, struct announcement *a, const char *const *texts,
      struct position *position, struct err *e)
{
    struct announcement *list = realloc(c->announcements, (c->n_announcements + 1) * sizeof(*list));
    size_t at = 0;

    if (list == NULL)
        return err_set(e, ERR_NOMEM, "announcements");
    c->announcements = list;
    /* Two of one position would be taken for one. */
    for (; at < c->n_announcements && position_compare(&list[at].position, position) <= 0; at++)
        if (position_compare(&list[at].position, position) == 0)
            position_next(&list[at].position, position);
    for (size_t i = 0; i < a->n_texts; i++)
        if (texts[i] != NULL && (a->texts[i] = strdup(texts[i])) == NULL) {
            free_announcement(a);
            return err_set(e, ERR_NOMEM, "announcements");
        }
    a->position = *position;
    memmove(list + at + 1, list + at, (c->n_announcements - at) * sizeof(*list));
    list[at] = *a;
    c->n_announcements++;
    return 0;
}

int
tables_announce_event(struct capture *c, struct member *m, enum event_operation operation,
                      const char *const *texts, size_t n, struct position *position, struct err *e)
{
    struct announcement a = {.table_id = m->source->def->id,
                             .version = m->source->def->version,
                             .home = m->home,
                             .stats = m->stats,
                             .operation = operation,
                             .n_texts = n};

    return queue(c, &a, texts, position, e);
}

int
tables_announce_drop(struct capture *c, const struct state_table *st, struct err *e)
{
    char full_name[600];
    struct announcement a = {
        .table_id = st->id, .version = st->version, .operation = EVENT_DROP_TABLE};
    struct position at = st->ended;

    (void)snprintf(full_name, sizeof(full_name), "%s.%s", st->schema, st->name);
    a.home = route_table(c, full_name);
    a.stats = stats_table(c->stage->stats, st->id, full_name);
    return queue(c, &a, NULL, &at, e);
}

int
tables_announce_at(struct capture *c, struct member *m, const struct position *position,
                   struct err *e)
{
    struct position at = *position;

    return tables_announce_event(c, m, EVENT_CREATE_TABLE, NULL, 0, &at, e);
}

static int
give_announcement(struct capture *c, const struct announcement *a, struct err *e)
{
    struct value texts[EVENT_MAX_TEXTS] = {{.kind = VALUE_NULL}};
    struct event ev = {
        .operation = a->operation,
        .table_id = a->table_id,
        .version = a->version,
        .position = a->position,
        .n_after = (uint16_t)a->n_texts,
        .after = texts,
    };

    for (size_t i = 0; i < a->n_texts; i++)
        if (a->texts[i] != NULL)
            texts[i] = (struct value){
                .kind = VALUE_TEXT,
                .bytes = {.data = a->texts[i], .size = (uint32_t)strlen(a->texts[i])}};
        else
            texts[i] = (struct value){.kind = VALUE_NULL};
    if (output_event(c->output, a->home, &ev, a->stats, TSTAT_DDLS, e) != 0 ||
        output_done(c->output, &a->position, e) != 0)
        return -1;
    CRASH_POINT("capture.announced");
    return 0;
}

/* What is given leaves the list one by one: an error in between must not repeat any. */
int
tables_announce_due(struct capture *c, const struct position *position, struct err *e)
{
    while (c->n_announcements > 0 &&
           position_compare(&c->announcements[0].position, position) <= 0) {
        if (give_announcement(c, &c->announcements[0], e) != 0)
            return -1;
        free_announcement(&c->announcements[0]);
        memmove(c->announcements, c->announcements + 1,
                --c->n_announcements * sizeof(*c->announcements));
    }
    return 0;
}
