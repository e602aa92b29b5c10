/* Kinesis Data Streams as a target: client.h in the words of target.h. */
#include "shipper/target.h"

#include "common/task.h"
#include "shipper/kinesis/client.h"

#include <stdio.h>
#include <stdlib.h>

struct kinesis_writer {
    struct target base; /* first */
    struct kinesis *kinesis;
    const char *stream_arn; /* the task's */
};

static struct kinesis *
kinesis_of(const struct target *t)
{
    return ((const struct kinesis_writer *)t)->kinesis;
}

static int
writer_open(const struct target_config *config, struct target **out, struct err *e)
{
    const struct task *task = config->task;
    const struct kinesis_config kinesis = {.stream_arn = task->target.stream_arn,
                                           .endpoint_url = task->target.endpoint_url,
                                           .ca_file = task->target.ca_file,
                                           .timeout_ms = task->weir.request_timeout_ms,
                                           .requests_in_flight = config->requests_in_flight,
                                           .wake_fd = config->wake_fd};
    struct kinesis_writer *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return err_set(e, ERR_NOMEM, "a Kinesis client");
    w->base.ops = &kinesis_target;
    w->stream_arn = task->target.stream_arn;
    if (kinesis_open(&kinesis, &w->kinesis, e) != 0) {
        free(w);
        return -1;
    }
    *out = &w->base;
    return 0;
}

static void
writer_close(struct target **t)
{
    struct kinesis_writer *w = (struct kinesis_writer *)*t;

    if (w == NULL)
        return;
    kinesis_close(&w->kinesis);
    free(w);
    *t = NULL;
}

static const char *
writer_where(const struct target *t)
{
    return kinesis_endpoint(kinesis_of(t));
}

static bool
writer_put_possible(const struct target *t)
{
    return kinesis_put_possible(kinesis_of(t));
}

static int
writer_put_start(struct target *t, const struct target_entry *entries, size_t n, bool fresh,
                 void *tag, struct err *e)
{
    return kinesis_put_start(kinesis_of(t), entries, n, fresh, tag, e);
}

static void
writer_poll(struct target *t, int timeout_ms)
{
    kinesis_poll(kinesis_of(t), timeout_ms);
}

static const struct target_answer *
writer_put_next(struct target *t)
{
    return kinesis_put_next(kinesis_of(t));
}

static int
writer_refresh_start(struct target *t, struct err *e)
{
    return kinesis_refresh_start(kinesis_of(t), e);
}

static int
writer_refresh_next(struct target *t, struct target_state *state, struct target_shard **shards,
                    size_t *n, struct err *e)
{
    const struct kinesis_writer *w = (struct kinesis_writer *)t;
    struct kinesis_stream stream;
    int rc = kinesis_refresh_next(w->kinesis, &stream, shards, n, e);

    if (rc <= 0)
        return rc;
    if (stream.ignores_keys) {
        free(*shards);
        *shards = NULL;
        err_set(e, ERR_CONFIG, "%s distributes records itself (RecordDistributionStrategy AUTO)",
                w->stream_arn);
        return err_hint(e, "no order per key exists in such a stream: set the strategy to "
                           "USER_PARTITION_KEY");
    }
    *state = (struct target_state){.max_record_bytes = stream.max_record_bytes,
                                   .open_shards = stream.open_shards};
    state->is_open =
        *n > 0 && (stream.status == KINESIS_ACTIVE || stream.status == KINESIS_UPDATING);
    (void)snprintf(state->text, sizeof(state->text), "%s with %zu open shards", stream.status_text,
                   *n);
    (void)snprintf(state->identity, sizeof(state->identity), "%s", stream.created);
    return 1;
}

const struct target_ops kinesis_target = {
    .name = "kinesis",
    .open = writer_open,
    .close = writer_close,
    .where = writer_where,
    .put_possible = writer_put_possible,
    .put_start = writer_put_start,
    .poll = writer_poll,
    .put_next = writer_put_next,
    .refresh_start = writer_refresh_start,
    .refresh_next = writer_refresh_next,
};
