#include "capture/source.h"

#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"
#include "common/file.h"
#include "common/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct source_engine *const engines[] = {&sqlserver_engine};

const struct source_engine *
source_engine_find(const char *name)
{
    for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
        if (strcmp(engines[i]->name, name) == 0)
            return engines[i];
    return NULL;
}

void
source_key_free(struct source_key *key)
{
    for (uint16_t i = 0; i < key->n; i++)
        free(key->part[i]);
    key->n = 0;
}

int
source_key_copy(struct source_key *to, const struct source_key *from, struct err *e)
{
    source_key_free(to);
    for (uint16_t i = 0; i < from->n; i++) {
        to->part[i] = strdup(from->part[i]);
        if (to->part[i] == NULL)
            return err_set(e, ERR_NOMEM, "key");
        to->n = (uint16_t)(i + 1);
    }
    return 0;
}

void
source_pieces_free(struct source_piece **pieces, size_t n)
{
    for (size_t i = 0; *pieces != NULL && i < n; i++)
        free((*pieces)[i].where);
    free(*pieces);
    *pieces = NULL;
}

/* ---- checks ---- */

int
source_finding_add(struct source_findings *findings, enum source_level level, const char *what,
                   const char *remedy, struct err *e)
{
    struct source_finding *items =
        realloc(findings->items, (findings->n + 1) * sizeof(*findings->items));
    struct source_finding *f;

    if (items == NULL)
        return err_set(e, ERR_NOMEM, "finding");
    findings->items = items;
    f = &items[findings->n++];
    f->level = level;
    (void)snprintf(f->what, sizeof(f->what), "%s", what);
    (void)snprintf(f->remedy, sizeof(f->remedy), "%s", remedy);
    return 0;
}

void
source_findings_free(struct source_findings *findings)
{
    free(findings->items);
    *findings = (struct source_findings){.items = NULL};
}

int
source_open(const struct task *task, struct source **out, struct err *e)
{
    const struct source_engine *engine = source_engine_find(task->source.engine_name);
    const struct source_config config = {
        .task = task,
        .private_directory = task->weir.runtime_directory,
        .stop_fd = -1,
    };

    if (engine == NULL)
        return err_set(e, ERR_CONFIG, "no source engine is named '%s'", task->source.engine_name);
    if (file_make_directory(config.private_directory, 0750, e) != 0)
        return -1;
    return engine->open(&config, out, e);
}

int
source_check(const struct task *task, struct source_findings *out, struct err *e)
{
    struct source *s = NULL;
    int rc;

    *out = (struct source_findings){.items = NULL};
    if (source_open(task, &s, e) != 0)
        return -1;
    rc = s->engine->check(s, out, e);
    s->engine->close(&s);
    if (rc != 0)
        source_findings_free(out);
    return rc;
}
