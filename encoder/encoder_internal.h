/*
 * encoder_internal - the encoder's state, shared by its loop and its attaching.
 */
#ifndef WEIR_ENCODER_INTERNAL_H
#define WEIR_ENCODER_INTERNAL_H

#include "common/channel.h"
#include "common/stage.h"
#include "common/stats.h"
#include "encoder/encoder.h"
#include "encoder/key.h"
#include "encoder/message.h"
#include "encoder/plan.h"

#include <sys/types.h>

#define ENCODER_OUTPUTS_MAX 64

struct output {
    struct channel *channel;
    uint32_t max_record;
    uint64_t skip;     /* outputs of input records that end here or before are already there */
    uint64_t complete; /* outputs on this channel are complete up to here, where that is ahead
                          of encoder.done: after a restart, and inside a watermark */
    struct transactions complete_transactions; /* as they stood at complete */
};

/* One input record on its way to the outputs; the encoder has KEY_BATCH of them under way. */
struct job {
    struct ring_view view;
    struct event event;
    const struct plan *plan;    /* NULL: it makes no message */
    const struct value *values; /* NULL: a control record */
    struct key key;
    struct event_values *room;
};

struct encoder {
    struct stage *stage;
    struct topology topo;
    struct ring *input;
    uint64_t input_epoch;
    uint32_t n_outputs;
    struct output outputs[ENCODER_OUTPUTS_MAX];
    uint64_t skip_all; /* the lowest skip: before it nothing has to be read at all */
    uint64_t done;     /* end of the last input record whose outputs are complete everywhere */
    uint64_t released;
    struct transactions done_transactions; /* as they stood at done */
    struct plans *plans;
    struct key_maker *keys;
    struct message_writer writer;
    struct job jobs[KEY_BATCH];
    uint8_t *scratch; /* a record that does not fit the ring in one piece; grows on demand */
    size_t scratch_size;
    bool is_publish_due;
    uint64_t n_records; /* written and not yet counted in the statistics */
    uint64_t n_bytes;
    int64_t beat_ns;
    ino_t topology_inode;
    struct stats_position newest;
    struct stats_table *newest_table;
    bool has_newest;
};

/* The task went on to another generation: ERR_RETIRED.  A stat() unless the file changed. */
int encoder_check_generation(struct encoder *enc, struct err *e);

/* Declares the input worthless and says so in e, which holds the reason.  Returns -1. */
int encoder_poison_input(struct encoder *enc, enum encoder_poison reason, struct err *e);

/* Publishes what is complete on every channel, then gives the input back. */
void encoder_publish(struct encoder *enc);

void encoder_show_state(struct encoder *enc, enum stage_state state);

#endif
