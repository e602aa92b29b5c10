/* Large values that a message shows a part of, or nothing: counted, and told of once a column. */
#include "capture/capture_internal.h"
#include "common/err.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/task.h"

#include <stdlib.h>

int
lobs_watch(struct member *m, struct err *e)
{
    const struct table_def *d = m->source->def;

    free(m->lobs);
    m->n_lobs = 0;
    m->lobs = calloc((size_t)d->n_columns + 1, sizeof(*m->lobs));
    if (m->lobs == NULL)
        return err_set(e, ERR_NOMEM, "large columns of %s", m->full_name);
    for (uint16_t i = 0; i < d->n_columns; i++)
        if (d->columns[i].is_lob)
            m->lobs[m->n_lobs++].column = i;
    return 0;
}

/* A site of its own: the first cut of a column is told even when another's has just been. */
static void
tell(const struct member *m, const struct task *task, uint16_t column, const struct value *v)
{
    struct log_site site = {0};
    char name[280];

    log_write(LOG_WARN, &site, "value-truncated",
              "table=%s column=%s bytes=%u limit_kb=%u more=\"in TruncatedValues\"", m->full_name,
              log_quote(m->source->def->columns[column].name, name, sizeof(name)), v->bytes.whole,
              task->lobs.max_kb);
}

void
lobs_note(struct member *m, const struct task *task, const struct event *ev)
{
    bool is_delete = ev->operation == EVENT_DELETE && ev->n_before > 0;
    const struct value *row = is_delete ? ev->before : ev->after;
    uint16_t n = is_delete ? ev->n_before : ev->n_after;
    unsigned cut = 0;
    unsigned unavailable = 0;

    for (uint16_t i = 0; i < m->n_lobs && m->lobs[i].column < n; i++) {
        const struct value *v = &row[m->lobs[i].column];

        if (v->kind == VALUE_UNAVAILABLE)
            unavailable++;
        if (v->kind != VALUE_CUT_TEXT && v->kind != VALUE_CUT_BYTES)
            continue;
        cut++;
        if (!m->lobs[i].is_told)
            tell(m, task, m->lobs[i].column, v);
        m->lobs[i].is_told = true;
    }
    if (cut > 0)
        stats_table_add(m->stats, TSTAT_TRUNCATED, cut);
    if (unavailable > 0)
        stats_table_add(m->stats, TSTAT_UNAVAILABLE, unavailable);
}
