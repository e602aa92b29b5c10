/*
 * encoder - the loop: change ring in, one record channel per shipper out.
 *
 * Restart rule.  The slot published with a channel's tail says up to which input record the
 * outputs on that channel are complete.  A restarted encoder reads the input from its release
 * position and leaves out, channel by channel, what that channel already has.  The input is
 * released only when everything that came of it is published on every channel; so a slot is
 * never behind the release position, unless a channel's content was lost: then the input is
 * poisoned, and capture goes back to the checkpoint.
 *
 * Blocking: encoder_turn() up to its timeout; full channels.  Thread use: one thread.
 */
#ifndef WEIR_ENCODER_ENCODER_H
#define WEIR_ENCODER_ENCODER_H

#include "common/stage.h"

struct encoder;
struct err;

/* Reasons an encoder gives when it poisons its input. */
enum encoder_poison {
    ENCODER_POISON_LOST_OUTPUT = 0x0e01, /* a record channel lost what the input no longer has */
    ENCODER_POISON_BAD_EVENT = 0x0e02,   /* a record of the input cannot be read */
};

/*
 * Takes the encoder's end of its rings: waits for the input, makes the channels.
 * stage->stats may be NULL.  ERR_STOPPED, ERR_CORRUPT (input poisoned), or as ring.h says.
 */
int
encoder_open(struct stage *stage, const struct topology *topo, struct encoder **out, struct err *e);

/* Publishes what is complete and gives the rings back. */
void encoder_close(struct encoder **enc);

/*
 * Encodes what is there, at most a batch; publishes.  When nothing is there, waits up to
 * timeout_ms for it.  1 = something was done, 0 = idle, -1 = error.
 */
int encoder_turn(struct encoder *enc, int timeout_ms, struct err *e);

/* The program: turns until a stop is asked for. */
int encoder_run(struct stage *stage, struct err *e);

#endif
