#include "shipper/progress.h"

#include "common/checkpoint.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/stage.h"
#include "common/task.h"

int
progress_open(struct progress *p, const struct stage *stage, const struct topology *topology,
              struct err *e)
{
    struct checkpoint c;

    *p = (struct progress){
        .stage = stage,
        .generation = topology->generation,
        .interval_ns = stage->task->weir.checkpoint_interval_ms * NS_PER_MS,
    };
    if (checkpoint_read(stage->task, topology->generation, stage->index, &c, e) == 0)
        p->written = c.position;
    else if (e->code != ERR_NOT_FOUND)
        return -1;
    err_clear(e);
    return 0;
}

int
progress_note(struct progress *p, const struct window *w, int64_t now_ns, bool is_last,
              struct err *e)
{
    struct passed_watermark passed;
    struct checkpoint c = {.generation = p->generation, .shipper = p->stage->index};

    if (now_ns < p->next_ns && !is_last)
        return 0;
    if (!window_passed(w, &passed) || position_compare(&passed.position, &p->written) <= 0)
        return 0;
    p->next_ns = now_ns + p->interval_ns;
    c.position = passed.position;
    c.commit_real_ns = passed.commit_real_ns;
    c.written_real_ns = clock_real_ns();
    CRASH_POINT("shipper-checkpoint-before");
    if (checkpoint_write(p->stage->task, &c, e) != 0)
        return -1;
    CRASH_POINT("shipper-checkpoint-after");
    p->written = passed.position;
    p->n_written++;
    return 1;
}
