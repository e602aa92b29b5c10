#include "shipper/shipper.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/task.h"

#define COPY_BYTES (64U << 20)
#define IDLE_MS    100
#define BUSY_MS    1 /* between two looks at the rings while requests are under way */
#define QUIET_MS   5 /* the same when nothing came in lately */
#define QUIET_NS   (20 * NS_PER_MS)
#define DRAIN_NS   (5 * NS_PER_S)

void
shipper_alarm(struct shipper *s, const char *event, const struct err *problem)
{
    stats_error(s->stage->stats, problem, 0);
    /* One site a code: a trouble that repeats must not hide another one. */
    log_err_write(LOG_WARN, &s->alarms[problem->code], event, problem);
}

static void
show_state(struct shipper *s, int64_t now_ns)
{
    enum stage_state state = STATE_STREAMING;

    if (!s->is_open || s->failures > 0)
        state = STATE_WAIT_SINK;
    else if (!window_has_room(s->window))
        state = STATE_BACKPRESSURE;
    if (!s->has_map && s->failures == 0 && s->refresh_backoff.tries == 0)
        state = STATE_STARTING;
    if (state != s->state) {
        s->state = state;
        stats_state(s->stage->stats, state);
    }
    stats_beat(s->stage->stats, now_ns);
    stats_add(s->stage->stats, STAT_LOOPS, 1);
}

/* The part of a turn that also goes on while the shipper stops. */
static int
settle(struct shipper *s, int64_t now_ns, bool is_last, struct err *e)
{
    struct err problem = ERR_INIT;

    if (intake_beat(s, now_ns, e) != 0 || delivery_answers(s, e) != 0)
        return -1;
    intake_release(s);
    /* A full disk stops no delivery: the checkpoint only gets older. */
    if (progress_note(&s->progress, s->window, now_ns, is_last, &problem) < 0)
        shipper_alarm(s, "checkpoint-not-written", &problem);
    stats_set(s->stage->stats, STAT_CHECKPOINTS, s->progress.n_written);
    return 0;
}

static int
milliseconds_until(int64_t due_ns, int64_t now_ns, int most)
{
    int64_t ms;

    if (due_ns <= now_ns)
        return 0;
    if (due_ns - now_ns >= most * NS_PER_MS)
        return most;
    ms = (due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return (int)ms;
}

/* Waits for whatever comes first: an answer, records, the end of a pause. */
static void
rest(struct shipper *s)
{
    int64_t now_ns = clock_mono_ns();
    int ms = milliseconds_until(delivery_due(s, now_ns), now_ns, IDLE_MS);
    bool has_room = intake_has_room(s);
    int64_t start_ns = now_ns;

    if (!s->is_refreshing)
        ms = milliseconds_until(s->refresh_due_ns, now_ns, ms);
    if (delivery_in_flight(s) == 0 && !s->is_refreshing && has_room) {
        (void)channel_wait_data(s->channels, (int)s->n_channels, ms);
    } else {
        if (has_room && ms > BUSY_MS)
            ms = now_ns - s->quiet_ns < QUIET_NS ? BUSY_MS : ms < QUIET_MS ? ms : QUIET_MS;
        s->target->ops->poll(s->target, ms);
    }
    stats_add(s->stage->stats, STAT_IDLE_NS, (uint64_t)(clock_mono_ns() - start_ns));
}

static int
turn(struct shipper *s, struct err *e)
{
    int64_t now_ns = clock_mono_ns();
    int taken;

    show_state(s, now_ns);
    if (stream_watch(s, now_ns, e) != 0)
        return -1;
    taken = intake_take(s, now_ns, e);
    if (taken < 0)
        return -1;
    delivery_send(s, now_ns);
    s->target->ops->poll(s->target, 0);
    if (settle(s, now_ns, false, e) != 0)
        return -1;
    if (s->is_blocked && window_unacked(s->window) == 1) {
        *e = s->stop_error;
        return -1;
    }
    if (taken == 0)
        rest(s);
    return 0;
}

/* Lets what is under way come to an end, so that little is repeated by the next life. */
static int
drain(struct shipper *s, struct err *e)
{
    int64_t until_ns = clock_mono_ns() + DRAIN_NS;

    while (delivery_in_flight(s) > 0 && clock_mono_ns() < until_ns) {
        s->target->ops->poll(s->target, IDLE_MS);
        if (settle(s, clock_mono_ns(), false, e) != 0)
            return -1;
    }
    return settle(s, clock_mono_ns(), true, e);
}

static int
loop(struct shipper *s, struct err *e)
{
    while (!stage_stopping(s->stage)) {
        if (turn(s, e) != 0) {
            struct err ignored = ERR_INIT;

            /* A record that cannot go must not take back those before it. */
            if (e->code == ERR_DATA)
                (void)drain(s, &ignored);
            return -1;
        }
    }
    return drain(s, e);
}

static int
shipper_open(struct shipper *s, struct err *e)
{
    const struct task *task = s->stage->task;
    struct target_config target = {.task = task,
                                   .shipper = s->stage->index,
                                   .requests_in_flight = task->weir.requests_in_flight,
                                   .wake_fd = s->stage->stop_fd};
    const struct target_ops *ops = target_find(task->target.engine_name);
    struct window_config window = {.records = task->weir.window_records, .copy_bytes = COPY_BYTES};

    s->refresh_backoff = (struct stage_backoff){.base_ms = 200, .cap_ms = 5000};
    s->state = STATE_STARTING;
    if (ops == NULL)
        return err_set(e, ERR_CONFIG, "no target is named '%s'", task->target.engine_name);
    if (ops->open(&target, &s->target, e) != 0 ||
        stage_wait_topology(s->stage, &s->topology, e) != 0)
        return -1;
    window.channels = s->topology.encoders;
    window.generation = s->topology.generation;
    if (intake_open(s, e) != 0 || window_open(&window, &s->window, e) != 0 ||
        delivery_open(s, e) != 0 || tables_open(s->stage, &s->tables, e) != 0 ||
        progress_open(&s->progress, s->stage, &s->topology, e) != 0)
        return -1;
    log_info("ready", "target=%s endpoint=%s stream=%s encoders=%u generation=%llu", ops->name,
             s->target->ops->where(s->target), task->target.stream_name, s->topology.encoders,
             (unsigned long long)s->topology.generation);
    return 0;
}

static void
shipper_close(struct shipper *s)
{
    if (s->target != NULL)
        s->target->ops->close(&s->target);
    delivery_close(s);
    shard_map_free(&s->map);
    window_close(&s->window);
    tables_close(&s->tables);
    for (uint32_t i = 0; i < s->n_channels; i++)
        channel_close(&s->channels[i]);
    free(s);
}

int
shipper_run(struct stage *stage, struct err *e)
{
    struct shipper *s = calloc(1, sizeof(*s));
    int rc;

    if (s == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the shipper");
    s->stage = stage;
    rc = shipper_open(s, e);
    if (rc == 0)
        rc = loop(s, e);
    shipper_close(s);
    return rc;
}
