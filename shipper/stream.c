/* What is known of the stream: its state, its limits, its shards. */
#include "shipper/shipper.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/task.h"

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

/* The state in which the stream was found; opens or closes the gate. */
static int
judge(struct shipper *s, size_t n_shards, struct err *e)
{
    const char *name = s->stage->task->target.stream_arn;
    struct err problem = ERR_INIT;

    if (s->stream.ignores_keys) {
        err_set(e, ERR_CONFIG, "%s distributes records itself (RecordDistributionStrategy AUTO)",
                name);
        return err_hint(e, "no order per key exists in such a stream: set the strategy to "
                           "USER_PARTITION_KEY");
    }
    s->is_open = n_shards > 0 &&
                 (s->stream.status == KINESIS_ACTIVE || s->stream.status == KINESIS_UPDATING);
    if (s->is_open)
        return 0;
    err_set(&problem, ERR_STREAM, "%s is %s with %zu open shards", name, s->stream.status_text,
            n_shards);
    err_hint(&problem, "records wait until it is ACTIVE");
    shipper_alarm(s, "stream-not-ready", &problem);
    return 0;
}

static int
adopt(struct shipper *s, struct kinesis_shard *shards, size_t n, struct err *e)
{
    bool changed;

    if (judge(s, n, e) != 0 || n == 0) {
        free(shards);
        return n == 0 ? 0 : -1;
    }
    changed = shard_map_set(&s->map, shards, n);
    delivery_limit_packs(s);
    stats_add(s->stage->stats, STAT_SHARD_MAP_LOADS, 1);
    stats_set(s->stage->stats, STAT_SHARDS, n);
    if (!changed)
        return 0;
    log_info("shard-map", "shards=%zu status=%s max_record_bytes=%u", n, s->stream.status_text,
             s->stream.max_record_bytes);
    s->has_map = true;
    return lanes_set_shards(s->lanes, &s->map, e);
}

static void
fail(struct shipper *s, const struct err *problem, int64_t now_ns)
{
    s->is_refreshing = false;
    if (problem->code == ERR_STREAM)
        s->is_open = false;
    shipper_alarm(s, "stream-unknown", problem);
    s->refresh_due_ns = now_ns + stage_backoff_next(&s->refresh_backoff) * NS_PER_MS;
}

int
stream_watch(struct shipper *s, int64_t now_ns, struct err *e)
{
    struct err problem = ERR_INIT;
    struct kinesis_shard *shards;
    size_t n;
    int rc;

    if (!s->is_refreshing) {
        if (now_ns < s->refresh_due_ns)
            return 0;
        s->is_refreshing = kinesis_refresh_start(s->kinesis, &problem) == 0;
        if (!s->is_refreshing)
            fail(s, &problem, now_ns);
        return 0;
    }
    rc = kinesis_refresh_next(s->kinesis, &s->stream, &shards, &n, &problem);
    if (rc < 0)
        fail(s, &problem, now_ns);
    if (rc <= 0)
        return 0;
    s->is_refreshing = false;
    s->refreshed_ns = now_ns;
    if (adopt(s, shards, n, e) != 0)
        return -1;
    if (s->is_open)
        stage_backoff_reset(&s->refresh_backoff);
    s->refresh_due_ns =
        now_ns + (s->is_open ? REFRESH_NS : stage_backoff_next(&s->refresh_backoff) * NS_PER_MS);
    return 0;
}
