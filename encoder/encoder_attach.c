#include "encoder/encoder_internal.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/event.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"
#include "common/record.h"
#include "common/task.h"

#include <inttypes.h>
#include <sys/stat.h>

#define RETRY_MS 50 /* between two looks for the input ring */

/* The input cannot be read: restarting alone would meet it again. */
int
encoder_poison_input(struct encoder *enc, enum encoder_poison reason, struct err *e)
{
    ring_poison(enc->input, (uint32_t)reason);
    return err_hint(e, "the change ring is given up; capture makes it anew and goes on from the "
                       "checkpoint");
}

/* A task that was given a new generation leaves its old rings to nobody. */
int
encoder_check_generation(struct encoder *enc, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    struct topology now;
    struct stat st;

    if (stat(topology_state_file(enc->stage->task, "topology.json", path), &st) != 0 ||
        st.st_ino == enc->topology_inode)
        return 0;
    enc->topology_inode = st.st_ino;
    if (topology_read(enc->stage->task, &now, e) != 0)
        return -1;
    if (now.generation == enc->topo.generation)
        return 0;
    return err_set(e, ERR_RETIRED, "the task went on to generation %" PRIu64 ", this is %" PRIu64,
                   now.generation, enc->topo.generation);
}

static void
transactions_of(const struct ring_source *source, struct transactions *out)
{
    out->current = source->words[1];
    out->previous = source->words[2];
    out->previous_record = (uint32_t)(source->words[3] >> 32);
    out->current_record = (uint32_t)source->words[3];
}

static int
open_input(struct encoder *enc, struct err *e)
{
    const struct task *task = enc->stage->task;
    char path[TOPOLOGY_PATH_MAX];
    char name[32];
    const struct ring_config config = {
        .path = topology_change_ring(task, &enc->topo, enc->stage->index, path),
        .name = name,
        .capacity = task->weir.change_ring_size,
        .generation = enc->topo.generation,
        .record_format = EVENT_FORMAT,
    };

    (void)snprintf(name, sizeof(name), "change.%u", enc->stage->index);
    encoder_show_state(enc, STATE_WAIT_SOURCE);
    while (ring_open_consumer(&config, &enc->input, e) != 0) {
        if (e->code != ERR_NOT_FOUND)
            return -1;
        if (enc->stage->stats != NULL)
            stats_beat(enc->stage->stats, clock_mono_ns());
        if (encoder_check_generation(enc, e) != 0)
            return -1;
        if (stage_sleep(enc->stage, RETRY_MS))
            return err_set(e, ERR_STOPPED, "stopped while waiting for capture's ring");
    }
    enc->input_epoch = ring_epoch(enc->input);
    enc->released = ring_release_pos(enc->input);
    enc->done = enc->released;
    return 0;
}

/* Where a channel's content ends, in input positions. */
static int
find_skip(struct encoder *enc, uint32_t j, bool created, struct err *e)
{
    struct output *o = &enc->outputs[j];
    struct ring_source source = {0};

    o->skip = 0;
    if (channel_source(o->channel, &source) && source.epoch == enc->input_epoch)
        o->skip = source.words[0];
    else
        memset(&source, 0, sizeof(source));
    if (o->skip < enc->released) {
        err_set(e, ERR_CORRUPT,
                "record channel %u.%u%s ends at %" PRIu64 " of its input, which is gone up to "
                "%" PRIu64,
                enc->stage->index, j, created ? ", made anew," : "", o->skip, enc->released);
        return encoder_poison_input(enc, ENCODER_POISON_LOST_OUTPUT, e);
    }
    if (o->skip > ring_tail(enc->input)) {
        err_set(e, ERR_CORRUPT,
                "record channel %u.%u is at %" PRIu64 " of its input, which ends at %" PRIu64,
                enc->stage->index, j, o->skip, ring_tail(enc->input));
        return encoder_poison_input(enc, ENCODER_POISON_LOST_OUTPUT, e);
    }
    o->complete = o->skip;
    transactions_of(&source, &o->complete_transactions);
    if (j == 0 || o->skip < enc->skip_all) {
        enc->skip_all = o->skip;
        enc->writer.transactions = o->complete_transactions;
    }
    return 0;
}

static int
open_output(struct encoder *enc, uint32_t j, struct err *e)
{
    const struct task *task = enc->stage->task;
    char path[TOPOLOGY_PATH_MAX];
    char name[32];
    struct channel_config config = {
        .ring = {.path = topology_record_ring(task, &enc->topo, enc->stage->index, j, path),
                 .name = name,
                 .capacity = task->weir.record_ring_size,
                 .generation = enc->topo.generation,
                 .record_format = RECORD_FORMAT,
                 .checksum = true}};
    bool created;

    (void)snprintf(name, sizeof(name), "record.%u.%u", enc->stage->index, j);
    if (channel_open_producer(&config, &enc->outputs[j].channel, &created, e) != 0)
        return -1;
    enc->n_outputs = j + 1;
    enc->outputs[j].max_record = channel_max_record(enc->outputs[j].channel);
    CRASH_POINT("encoder.open.channel");
    return find_skip(enc, j, created, e);
}

static int
open_parts(struct encoder *enc, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    struct stat st;

    if (stat(topology_state_file(enc->stage->task, "topology.json", path), &st) == 0)
        enc->topology_inode = st.st_ino;
    if (file_make_directory(topology_ring_directory(enc->stage->task, &enc->topo, path), 0750, e) !=
            0 ||
        plans_open(enc->stage->task, enc->stage->stats, &enc->plans, e) != 0 ||
        key_maker_open(&enc->keys, e) != 0 || open_input(enc, e) != 0)
        return -1;
    encoder_show_state(enc, STATE_RECOVERING);
    message_open(&enc->writer, enc->stage->task, enc->topo.encoders);
    for (uint32_t j = 0; j < enc->topo.shippers; j++) {
        if (open_output(enc, j, e) != 0)
            return -1;
    }
    enc->done_transactions = enc->writer.transactions;
    return 0;
}

static void
drop(struct encoder **out)
{
    struct encoder *enc = *out;

    *out = NULL;
    if (enc == NULL)
        return;
    for (uint32_t j = 0; j < enc->n_outputs; j++)
        channel_close(&enc->outputs[j].channel);
    if (enc->input != NULL)
        ring_close(&enc->input);
    plans_close(&enc->plans);
    key_maker_close(&enc->keys);
    free(enc->scratch);
    for (int i = 0; i < KEY_BATCH; i++)
        free(enc->jobs[i].room);
    free(enc);
}

int
encoder_open(struct stage *stage, const struct topology *topo, struct encoder **out, struct err *e)
{
    struct encoder *enc = calloc(1, sizeof(*enc));

    CHECK(topo->shippers >= 1 && topo->shippers <= ENCODER_OUTPUTS_MAX);
    if (enc == NULL)
        return err_set(e, ERR_NOMEM, "encoder");
    enc->stage = stage;
    enc->topo = *topo;
    for (int i = 0; i < KEY_BATCH; i++) {
        enc->jobs[i].room = malloc(sizeof(*enc->jobs[i].room));
        if (enc->jobs[i].room == NULL) {
            drop(&enc);
            return err_set(e, ERR_NOMEM, "encoder");
        }
    }
    if (open_parts(enc, e) != 0) {
        drop(&enc);
        return -1;
    }
    encoder_show_state(enc, STATE_STREAMING);
    log_info("attached",
             "generation=%" PRIu64 " shippers=%u input_from=%" PRIu64 " outputs_from=%" PRIu64,
             topo->generation, topo->shippers, enc->released, enc->skip_all);
    *out = enc;
    return 0;
}

void
encoder_close(struct encoder **enc)
{
    if (*enc != NULL)
        encoder_publish(*enc);
    drop(enc);
}
