/*
 * Where the task begins and ends: CdcStartTime, CdcStartPosition, CdcStopPosition.
 */
#include "common/task.h"
#include "common/task_internal.h"

static void
check_start(struct task_doc *doc, struct task *t, const struct place *root)
{
    const struct place time = {.up = root, .key = "CdcStartTime"};
    const struct place position = {.up = root, .key = "CdcStartPosition"};
    bool has_time = t->cdc_start_time[0] != '\0';
    const struct place *at = has_time ? &time : &position;
    const char *text = has_time ? t->cdc_start_time : t->cdc_start_position;
    const char *fault;

    if (text[0] == '\0')
        return;
    if (has_time && t->cdc_start_position[0] != '\0') {
        doc_complain(doc, &position,
                     "is given together with CdcStartTime; leave one of the two out");
        return;
    }
    if (has_time) {
        t->start.kind = START_TIME;
        fault = bounds_time(text, &t->start.real_ns);
    } else {
        fault = bounds_start(text, &t->start);
    }
    if (fault != NULL)
        doc_complain(doc, at, "found the text \"%.100s\", which %s", text, fault);
    else if (t->migration_type != MIGRATION_CDC)
        doc_complain(doc, at,
                     "counts for MigrationType cdc only: a full load begins to read changes where "
                     "the load itself began; leave it out");
}

static void
check_stop(struct task_doc *doc, struct task *t, const struct place *root)
{
    const struct place at = {.up = root, .key = "CdcStopPosition"};
    const char *fault = bounds_stop(t->cdc_stop_position, &t->stop);

    if (fault != NULL) {
        doc_complain(doc, &at, "found the text \"%.100s\", which %s", t->cdc_stop_position, fault);
    } else if (t->stop.kind != STOP_NONE && t->migration_type == MIGRATION_FULL_LOAD) {
        doc_warn(doc, &at, "has no meaning here and is ignored: a full-load task ends by itself");
        t->stop.kind = STOP_NONE;
    }
}

void
task_bounds_check(struct task_doc *doc, struct task *t, const struct place *root)
{
    check_start(doc, t, root);
    check_stop(doc, t, root);
}
