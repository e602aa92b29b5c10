#include "shipper/tables.h"

#include "common/catalog.h"
#include "common/err.h"
#include "common/event.h"
#include "common/stage.h"
#include "common/stats.h"
#include "common/task.h"

#define MAX_TABLES   4096
#define NAME_SIZE    264
#define LAST_VERSION 64 /* of a definition that is looked for when the first is not there */

struct table {
    struct stats_table *stats;
    struct position newest; /* acknowledgements come out of order, statistics go up only */
    char name[NAME_SIZE];
};

struct tables {
    const struct stage *stage;
    struct table *known[MAX_TABLES]; /* by id; ids are given from 1 on, without holes */
    struct table other;
};

int
tables_open(const struct stage *stage, struct tables **out, struct err *e)
{
    struct tables *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the tables");
    t->stage = stage;
    *out = t;
    return 0;
}

void
tables_close(struct tables **pointer)
{
    struct tables *t = *pointer;

    if (t == NULL)
        return;
    *pointer = NULL;
    for (size_t i = 0; i < MAX_TABLES; i++)
        free(t->known[i]);
    free(t);
}

/* Id and name are the same in all versions; any that is there will do. */
static void
read_name(const struct tables *t, uint32_t table_id, char *out)
{
    struct table_def *def = NULL;

    (void)snprintf(out, NAME_SIZE, "table %u", table_id);
    for (uint32_t version = 1; version <= LAST_VERSION; version++) {
        if (catalog_read(t->stage->task->weir.state_directory, table_id, version, &def, NULL) ==
            0) {
            (void)snprintf(out, NAME_SIZE, "%s.%s", def->schema, def->name);
            catalog_table_free(&def);
            return;
        }
    }
}

static struct table *
find(struct tables *t, uint32_t table_id)
{
    struct table *table = &t->other;

    if (table_id < MAX_TABLES) {
        if (t->known[table_id] == NULL)
            t->known[table_id] = calloc(1, sizeof(*table));
        if (t->known[table_id] != NULL)
            table = t->known[table_id];
    }
    if (table->stats == NULL) {
        read_name(t, table_id, table->name);
        table->stats = stats_table(t->stage->stats, table_id, table->name);
    }
    return table;
}

const char *
tables_name(struct tables *t, uint32_t table_id)
{
    return find(t, table_id)->name;
}

static enum tstat_id
counter_of(uint16_t operation)
{
    switch (operation) {
    case EVENT_LOAD:
        return TSTAT_FULL_LOAD_ROWS;
    case EVENT_INSERT:
        return TSTAT_INSERTS;
    case EVENT_UPDATE:
        return TSTAT_UPDATES;
    case EVENT_DELETE:
        return TSTAT_DELETES;
    default:
        return TSTAT_DDLS;
    }
}

void
tables_count(struct tables *t, const struct unit *u, int64_t now_real_ns, int64_t now_mono_ns)
{
    const struct record_head *h = u->head;
    struct stats *s = t->stage->stats;
    struct table *known = find(t, u->table_id);
    struct stats_table *table = known->stats;

    stats_add(s, STAT_RECORDS_OUT, 1);
    stats_add(s, STAT_BYTES_OUT, u->data_size);
    stats_table_add(table, counter_of(h->operation), 1);
    stats_table_add(table, TSTAT_BYTES, u->data_size);
    if (u->tries > 1)
        stats_table_add(table, TSTAT_REPEATED, 1);
    if (position_compare(&h->position, &known->newest) > 0) {
        known->newest = h->position;
        stats_position(s, table,
                       &(struct stats_position){h->position, h->commit_real_ns, now_mono_ns});
    }
    if (h->commit_real_ns > 0 && now_real_ns > h->commit_real_ns)
        stats_hist(s, HIST_COMMIT_TO_ACK, (uint64_t)(now_real_ns - h->commit_real_ns));
}
