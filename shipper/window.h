/*
 * window - the records taken from the channels and not yet acknowledged, in each channel's order.
 *
 * A unit is one Kinesis record.  It points into the ring, where the record lies until it is
 * released; only what a ring put together from fragments is copied.  window_advance() gives the
 * position up to which a channel may be released: everything before it is acknowledged, and
 * nothing behind an unacknowledged record is ever given (invariant I9 of the rings).
 *
 * A watermark is passed when everything before it on its channel is acknowledged; one that
 * finds records before it is kept with the last of them.
 *
 * Allocation: at window_open(), and for copies, whose sum is bounded.
 */
#ifndef WEIR_SHIPPER_WINDOW_H
#define WEIR_SHIPPER_WINDOW_H

#include "common/record.h"
#include "common/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct key;
struct window;

struct unit {
    const struct record_head *head; /* in the ring, or copy */
    const void *key_text;
    const void *data;
    uint32_t key_size;
    uint32_t data_size;
    uint32_t table_id;
    uint32_t channel;
    uint32_t tries;    /* requests it went out with so far */
    bool is_acked;     /* stored; still here because something before it is not */
    bool is_ambiguous; /* the last request's outcome was unknown */
    bool has_watermark;
    uint64_t end; /* release position of it and of the watermarks behind it */
    void *copy;   /* NULL = head is in the ring */
    size_t copy_size;
    struct unit *next; /* in the channel; in the free list */
    struct key *key;   /* lanes.c */
    struct unit *next_same_key;
    struct position watermark;
    int64_t watermark_real_ns;
};

struct window_config {
    uint32_t records; /* units at most */
    uint32_t channels;
    uint64_t copy_bytes; /* of all copies together; a single larger one is still taken */
    uint64_t generation; /* that watermarks must have */
};

int window_open(const struct window_config *config, struct window **out, struct err *e);
void window_close(struct window **pointer);

/*
 * Takes one message of a channel.  1 = a record: *out is its unit; 0 = a watermark, or nothing to
 * keep; 2 = no room now: give the same view again later; -1 = ERR_CORRUPT, it makes no sense.
 */
enum { WINDOW_FULL = 2 };
int window_take(struct window *w, uint32_t channel, const struct ring_view *v, struct unit **out,
                struct err *e);

/* Whether a record (without copy) would find room. */
bool window_has_room(const struct window *w);

/* Units taken and not acknowledged. */
uint32_t window_unacked(const struct window *w);

/* The record is stored.  Its memory stays valid until window_advance() passes it. */
void window_acknowledge(struct window *w, struct unit *u);

/* True when the channel may be released up to *release, which is further than before. */
bool window_advance(struct window *w, uint32_t channel, uint64_t *release);

struct passed_watermark {
    struct position position;
    int64_t commit_real_ns;
};

/* The highest watermark passed on every channel; false while one has passed none. */
bool window_passed(const struct window *w, struct passed_watermark *out);

#endif
