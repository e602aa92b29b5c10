/*
 * channel - the record path from an encoder to a shipper.
 *
 * A channel is a ring today; a disk spool can stand beside the ring behind the same calls,
 * taking over while the ring stays full.  Neither side knows which of the two a record
 * came through: positions are opaque, rise, and are compared only with each other.
 *
 * The calls mirror ring.h, whose contracts hold here too.
 */
#ifndef WEIR_CHANNEL_H
#define WEIR_CHANNEL_H

#include "common/ring.h"

struct channel;

struct channel_config {
    struct ring_config ring;
};

int channel_open_producer(const struct channel_config *config, struct channel **out, bool *created,
                          struct err *e);
int channel_open_consumer(const struct channel_config *config, struct channel **out, struct err *e);
void channel_close(struct channel **c);

/* Producer. */
bool channel_source(const struct channel *c, struct ring_source *out);
uint32_t channel_max_record(const struct channel *c);
uint64_t channel_max_message(const struct channel *c);
int channel_reserve(struct channel *c, uint32_t len, void **out, struct err *e);
void channel_commit(struct channel *c, const struct ring_meta *meta, uint32_t len);
int channel_write(struct channel *c, const struct ring_meta *meta, const void *data, uint64_t len,
                  struct err *e);
void channel_publish(struct channel *c, const struct ring_source *src);
uint64_t channel_pending(const struct channel *c);
bool channel_publish_due(const struct channel *c);
bool channel_wait_room(struct channel *c, uint64_t bytes, int timeout_ms);

/* Consumer. */
int channel_next(struct channel *c, struct ring_view *v, struct err *e);
void channel_release(struct channel *c, uint64_t pos);
bool channel_wait_data(struct channel *const *channels, int n, int timeout_ms);

/* Both. */
uint64_t channel_epoch(const struct channel *c);
uint64_t channel_backlog(const struct channel *c); /* bytes published and not yet released */
int channel_heartbeat(struct channel *c, struct err *e);
void channel_poison(struct channel *c, uint32_t reason);

#endif
