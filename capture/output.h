/*
 * output - capture's end of the change rings: N of them, one an encoder.
 *
 * Each ring's commit slot says up to which source position that ring is complete.  After a start
 * the rings may stand at different places: reading begins at the lowest (output_low), and an event
 * is left out for a ring exactly when its position is not above what that ring has.
 *
 * "Done" is the position up to which everything was given to all rings.  It rises with
 * output_done() and output_watermark() only; rows of a load chunk, which share one position, are
 * therefore no progress until their chunk is whole.
 *
 * A full ring blocks, with heartbeats going on, until there is room or a stop is asked for
 * (ERR_STOPPED).  ERR_CORRUPT and ERR_RETIRED: the process must be started again.
 *
 * Thread use: one thread.
 */
#ifndef WEIR_CAPTURE_OUTPUT_H
#define WEIR_CAPTURE_OUTPUT_H

#include "common/position.h"
#include "common/stats.h"

#include <stdint.h>

struct err;
struct event;
struct output;
struct stage;
struct topology;

/* Opens or creates the rings in their directory, which is made.  A ring without a position of its
   own begins at `fresh`. */
int output_open(struct stage *stage, const struct topology *topo, const struct position *fresh,
                struct output **out, struct err *e);

/* Publishes what was committed, then closes. */
void output_close(struct output **o);

/* Where reading must begin. */
const struct position *output_low(const struct output *o);

/* Up to where everything was given, at least output_low(). */
const struct position *output_position(const struct output *o);

/* The highest position any ring has of its own: nothing from behind it was ever given. */
const struct position *output_high(const struct output *o);

/* Gives one event to one ring.  captured_mono_ns is filled in.  t is counted (`counter`, bytes)
   when the event is published. */
int output_event(struct output *o, uint32_t encoder, struct event *ev, struct stats_table *t,
                 enum tstat_id counter, struct err *e);

/* Everything up to p was given; full batches are published. */
int output_done(struct output *o, const struct position *p, struct err *e);

/* The same, told to every ring as a watermark, and published. */
int
output_watermark(struct output *o, const struct position *p, int64_t commit_real_ns, struct err *e);

/* Makes what was given visible. */
void output_publish(struct output *o);

/* The state shown while no ring is full. */
void output_state(struct output *o, enum stage_state state);

/* Heartbeats of rings and statistics, at most every 100 ms.  To be called in every loop. */
int output_beat(struct output *o, struct err *e);

#endif
