#include "capture/sqlserver/sqlserver.h"

#include "capture/sqlserver/db.h"
#include "capture/sqlserver/db_error.h"
#include "capture/sqlserver/health.h"
#include "capture/sqlserver/manage.h"
#include "capture/sqlserver/schema.h"
#include "common/err.h"
#include "common/task.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
lsn_text(const struct lsn *l, char buf[LSN_TEXT_SIZE])
{
    const uint8_t *b = l->b;

    (void)snprintf(buf, LSN_TEXT_SIZE, "%02x%02x%02x%02x:%02x%02x%02x%02x:%02x%02x", b[0], b[1],
                   b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9]);
    return buf;
}

void
lsn_complete_of(const struct position *p, struct lsn *out)
{
    struct position all;

    memcpy(out->b, p->b, LSN_SIZE);
    position_lsn_complete(out->b, &all);
    if (position_compare(p, &all) < 0)
        lsn_decrement(out);
}

void
lsn_decrement(struct lsn *l)
{
    for (int i = LSN_SIZE - 1; i >= 0; i--)
        if (l->b[i]-- != 0)
            break;
}

void
lsn_increment(struct lsn *l)
{
    for (int i = LSN_SIZE - 1; i >= 0; i--)
        if (++l->b[i] != 0)
            break;
}

bool
lsn_read(struct db *db, int column, struct lsn *out)
{
    size_t size;
    const void *data = db_data(db, column, &size);

    if (data == NULL || size != LSN_SIZE)
        return false;
    memcpy(out->b, data, LSN_SIZE);
    return true;
}

static int
engine_open(const struct source_config *config, struct source **out, struct err *e)
{
    struct sqlserver *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return err_set(e, ERR_NOMEM, "SQL Server engine");
    s->base.engine = &sqlserver_engine;
    s->config = *config;
    s->window.limit = WINDOW_FIRST;
    *out = &s->base;
    return 0;
}

static void
engine_close(struct source **base)
{
    struct sqlserver *s = (struct sqlserver *)*base;

    if (s == NULL)
        return;
    db_close(&s->db);
    for (size_t i = 0; i < s->n_instances; i++)
        meta_instance_free(&s->instances[i]);
    free(s->instances);
    schema_free_history(s);
    free(s->listing);
    free(s->active);
    sql_free(&s->q);
    json_decref(s->by_function);
    free(s);
    *base = NULL;
}

int
meta_soften(const struct sqlserver *s, struct err *e)
{
    if (s->was_connected && e->code == ERR_LOGIN) {
        e->code = ERR_CONNECT;
        return err_context(e, "login refused although it worked before");
    }
    return -1;
}

void
meta_db_config(const struct sqlserver *s, struct db_config *out)
{
    *out = (struct db_config){
        .endpoint = &s->config.task->source,
        .application = "weir-capture",
        .private_directory = s->config.private_directory,
        .stop_fd = s->config.stop_fd,
    };
}

static int
engine_connect(struct source *base, struct source_identity *identity, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    struct db_config config;

    meta_db_config(s, &config);
    config.beat = s->config.beat;
    config.beat_arg = s->config.beat_arg;
    memset(identity, 0, sizeof(*identity));
    db_close(&s->db);
    if (db_open(&config, &s->db, e) != 0 || meta_identity(s, identity, e) != 0) {
        db_close(&s->db);
        return meta_soften(s, e);
    }
    s->was_connected = true;
    s->blind = 0;
    return 0;
}

static uint32_t
engine_pause_ms(const struct err *e)
{
    return db_error_pause_ms(e->sys);
}

/* A change table holds everything from its start LSN on, that LSN included. */
static void
set_since_start(struct instance *in)
{
    memset(&in->table.since, 0, sizeof(in->table.since));
    memcpy(in->table.since.b, in->start.b, LSN_SIZE);
    lsn_complete_of(&in->table.since, &in->since);
}

static int
engine_tables(struct source *base, struct source_table ***out, size_t *n, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;
    bool any;

    if (meta_load(s, e) != 0 || manage_enable_tables(s, &any, e) != 0 ||
        (any && meta_load(s, e) != 0))
        return -1;
    free(s->listing);
    s->listing = calloc(s->n_instances + 1, sizeof(struct source_table *));
    if (s->listing == NULL)
        return err_set(e, ERR_NOMEM, "%zu tables", s->n_instances);
    for (size_t i = 0; i < s->n_instances; i++) {
        struct instance *in = s->instances[i];

        if (!in->is_known)
            set_since_start(in);
        s->listing[i] = &in->table;
    }
    *out = s->listing;
    *n = s->n_instances;
    return 0;
}

static int
engine_known(struct source *base, struct source_table *t, const struct position *since,
             const struct table_def *was, struct err *e)
{
    struct instance *in = (struct instance *)t;

    (void)base;
    in->is_old = true;
    in->table.since = *since;
    lsn_complete_of(since, &in->since);
    if (!in->is_known && was != NULL && in->shape != NULL && in->table.refused == NULL &&
        schema_resume(in, was, e) != 0)
        return -1;
    in->is_known = true;
    return 0;
}

static int
engine_heartbeat(struct source *base, const char *statement, struct err *e)
{
    return db_run(((struct sqlserver *)base)->db, statement, e);
}

/* Change tables forget by age, on the server's own schedule; instances that were replaced can go. */
static int
engine_confirm(struct source *base, const struct position *position, struct err *e)
{
    struct sqlserver *s = (struct sqlserver *)base;

    lsn_complete_of(position, &s->confirmed);
    return manage_drop(s, e);
}

const struct source_engine sqlserver_engine = {
    .name = "sqlserver",
    .open = engine_open,
    .close = engine_close,
    .connect = engine_connect,
    .pause_ms = engine_pause_ms,
    .tables = engine_tables,
    .known = engine_known,
    .join = load_join,
    .ranges = start_ranges,
    .at_time = start_at_time,
    .load_position = load_chunk_position,
    .cut = load_cut,
    .reader_open = reader_open,
    .reader_close = reader_close,
    .reader_begin = reader_begin,
    .reader_page = reader_page,
    .page_new = reader_page_new,
    .page_free = reader_page_free,
    .view_begin = view_begin,
    .view_end = view_end,
    .readmit = load_readmit,
    .follow = log_follow,
    .health = health_source,
    .heartbeat = engine_heartbeat,
    .confirm = engine_confirm,
    .check = check_source,
};
