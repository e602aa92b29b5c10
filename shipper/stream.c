/* What is known of the stream: its state, its limits, its shards. */
#include "shipper/shipper.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/task.h"
#include "shipper/identity.h"

#define REFRESH_NS     (30 * NS_PER_S)
#define REFRESH_MIN_NS NS_PER_S /* between two that are only hinted at */

void
stream_suspect(struct shipper *s, bool is_gone, int64_t now_ns)
{
    int64_t due_ns = is_gone ? now_ns : s->refreshed_ns + REFRESH_MIN_NS;

    if (is_gone)
        s->is_open = false;
    if (due_ns < s->refresh_due_ns)
        s->refresh_due_ns = due_ns;
}

/* The state in which the target was found: opens or closes the gate. */
static void
judge(struct shipper *s)
{
    struct err problem = ERR_INIT;

    s->is_open = s->target_state.is_open;
    if (s->is_open)
        return;
    err_set(&problem, ERR_STREAM, "%s is %s", s->stage->task->target.stream_arn,
            s->target_state.text);
    err_hint(&problem, "records wait until it is ACTIVE");
    shipper_alarm(s, "stream-not-ready", &problem);
}

static int
adopt(struct shipper *s, struct target_shard *shards, size_t n, struct err *e)
{
    bool changed;

    judge(s);
    if (n == 0) {
        free(shards);
        return 0;
    }
    changed = shard_map_set(&s->map, shards, n);
    delivery_limit_packs(s);
    stats_add(s->stage->stats, STAT_SHARD_MAP_LOADS, 1);
    stats_set(s->stage->stats, STAT_SHARDS, n);
    if (!changed)
        return 0;
    log_info("shard-map", "shards=%zu status=\"%s\" max_record_bytes=%u", n, s->target_state.text,
             s->target_state.max_record_bytes);
    s->has_map = true;
    return lanes_set_shards(s->lanes, &s->map, e);
}

/* -1 with e when only an operator can help. */
static int
fail(struct shipper *s, const struct err *problem, int64_t now_ns, struct err *e)
{
    s->is_refreshing = false;
    if (err_class(problem->code) == ERR_CLASS_OPERATOR) {
        *e = *problem;
        return -1;
    }
    if (problem->code == ERR_STREAM)
        s->is_open = false;
    shipper_alarm(s, "stream-unknown", problem);
    s->refresh_due_ns = now_ns + stage_backoff_next(&s->refresh_backoff) * NS_PER_MS;
    return 0;
}

int
stream_watch(struct shipper *s, int64_t now_ns, struct err *e)
{
    struct err problem = ERR_INIT;
    struct target_shard *shards = NULL;
    size_t n = 0;
    int rc;

    if (!s->is_refreshing) {
        if (now_ns < s->refresh_due_ns)
            return 0;
        s->is_refreshing = s->target->ops->refresh_start(s->target, &problem) == 0;
        return s->is_refreshing ? 0 : fail(s, &problem, now_ns, e);
    }
    rc = s->target->ops->refresh_next(s->target, &s->target_state, &shards, &n, &problem);
    if (rc <= 0)
        return rc < 0 ? fail(s, &problem, now_ns, e) : 0;
    s->is_refreshing = false;
    s->refreshed_ns = now_ns;
    if (identity_check(s->stage, &s->topology, &s->target_state, &problem) != 0) {
        free(shards);
        return fail(s, &problem, now_ns, e);
    }
    if (adopt(s, shards, n, e) != 0)
        return -1;
    if (s->is_open)
        stage_backoff_reset(&s->refresh_backoff);
    s->refresh_due_ns =
        now_ns + (s->is_open ? REFRESH_NS : stage_backoff_next(&s->refresh_backoff) * NS_PER_MS);
    return 0;
}
