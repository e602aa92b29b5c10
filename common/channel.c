#include "common/channel.h"

#include "common/err.h"

#include <errno.h>
#include <stdlib.h>

/* Rings one wait may watch: an encoder's or a shipper's inputs. */
#define WAIT_MAX 128

/*
 * What a way of carrying records must offer.  One table per way; a channel holds the table of
 * the way it is on, so that a second way can take over behind the same handle.
 */
struct channel_ops {
    void (*close)(void **impl);
    bool (*source)(const void *impl, struct ring_source *out);
    uint32_t (*max_record)(const void *impl);
    uint64_t (*max_message)(const void *impl);
    int (*reserve)(void *impl, uint32_t len, void **out, struct err *e);
    void (*commit)(void *impl, const struct ring_meta *meta, uint32_t len);
    int (*write)(void *impl, const struct ring_meta *meta, const void *data, uint64_t len,
                 struct err *e);
    void (*publish)(void *impl, const struct ring_source *src);
    uint64_t (*pending)(const void *impl);
    bool (*publish_due)(const void *impl);
    bool (*wait_room)(void *impl, uint64_t bytes, int timeout_ms);
    int (*next)(void *impl, struct ring_view *v, struct err *e);
    void (*release)(void *impl, uint64_t pos);
    uint64_t (*epoch)(const void *impl);
    uint64_t (*backlog)(const void *impl);
    int (*heartbeat)(void *impl, struct err *e);
    void (*poison)(void *impl, uint32_t reason);
    struct ring *(*waitable)(void *impl); /* whose tail says that there is something to read */
};

struct channel {
    const struct channel_ops *ops;
    void *impl;
};

static void
over_ring_close(void **impl)
{
    struct ring *r = *impl;

    ring_close(&r);
    *impl = NULL;
}

static bool
over_ring_source(const void *impl, struct ring_source *out)
{
    return ring_source(impl, out);
}

static uint32_t
over_ring_max_record(const void *impl)
{
    return ring_max_record(impl);
}

static uint64_t
over_ring_max_message(const void *impl)
{
    return ring_max_message(impl);
}

static int
over_ring_reserve(void *impl, uint32_t len, void **out, struct err *e)
{
    return ring_reserve(impl, len, out, e);
}

static void
over_ring_commit(void *impl, const struct ring_meta *meta, uint32_t len)
{
    ring_commit(impl, meta, len);
}

static int
over_ring_write(void *impl, const struct ring_meta *meta, const void *data, uint64_t len,
                struct err *e)
{
    return ring_write(impl, meta, data, len, e);
}

static void
over_ring_publish(void *impl, const struct ring_source *src)
{
    ring_publish(impl, src);
}

static uint64_t
over_ring_pending(const void *impl)
{
    return ring_pending(impl);
}

static bool
over_ring_publish_due(const void *impl)
{
    return ring_publish_due(impl);
}

static bool
over_ring_wait_room(void *impl, uint64_t bytes, int timeout_ms)
{
    return ring_wait_room(impl, bytes, timeout_ms);
}

static int
over_ring_next(void *impl, struct ring_view *v, struct err *e)
{
    return ring_next(impl, v, e);
}

static void
over_ring_release(void *impl, uint64_t pos)
{
    ring_release(impl, pos);
}

static uint64_t
over_ring_epoch(const void *impl)
{
    return ring_epoch(impl);
}

static uint64_t
over_ring_backlog(const void *impl)
{
    uint64_t release = ring_release_pos(impl); /* first: the difference can only be too large */

    return ring_tail(impl) - release;
}

static int
over_ring_heartbeat(void *impl, struct err *e)
{
    return ring_heartbeat(impl, e);
}

static void
over_ring_poison(void *impl, uint32_t reason)
{
    ring_poison(impl, reason);
}

static struct ring *
over_ring_waitable(void *impl)
{
    return impl;
}

static const struct channel_ops over_ring = {
    .close = over_ring_close,
    .source = over_ring_source,
    .max_record = over_ring_max_record,
    .max_message = over_ring_max_message,
    .reserve = over_ring_reserve,
    .commit = over_ring_commit,
    .write = over_ring_write,
    .publish = over_ring_publish,
    .pending = over_ring_pending,
    .publish_due = over_ring_publish_due,
    .wait_room = over_ring_wait_room,
    .next = over_ring_next,
    .release = over_ring_release,
    .epoch = over_ring_epoch,
    .backlog = over_ring_backlog,
    .heartbeat = over_ring_heartbeat,
    .poison = over_ring_poison,
    .waitable = over_ring_waitable,
};

/* Takes the ring over, also when it fails. */
static int
wrap_ring(struct ring *ring, struct channel **out, struct err *e)
{
    struct channel *c = malloc(sizeof(*c));

    if (c == NULL) {
        ring_close(&ring);
        return err_sys(e, ERR_NOMEM, errno, "handle of a channel");
    }
    *c = (struct channel){.ops = &over_ring, .impl = ring};
    *out = c;
    return 0;
}

int
channel_open_producer(const struct channel_config *config, struct channel **out, bool *created,
                      struct err *e)
{
    struct ring *ring;

    *out = NULL;
    if (ring_open_producer(&config->ring, &ring, created, e) != 0)
        return -1;
    return wrap_ring(ring, out, e);
}

int
channel_open_consumer(const struct channel_config *config, struct channel **out, struct err *e)
{
    struct ring *ring;

    *out = NULL;
    if (ring_open_consumer(&config->ring, &ring, e) != 0)
        return -1;
    return wrap_ring(ring, out, e);
}

void
channel_close(struct channel **c)
{
    if (*c == NULL)
        return;
    (*c)->ops->close(&(*c)->impl);
    free(*c);
    *c = NULL;
}

bool
channel_source(const struct channel *c, struct ring_source *out)
{
    return c->ops->source(c->impl, out);
}

uint32_t
channel_max_record(const struct channel *c)
{
    return c->ops->max_record(c->impl);
}

uint64_t
channel_max_message(const struct channel *c)
{
    return c->ops->max_message(c->impl);
}

int
channel_reserve(struct channel *c, uint32_t len, void **out, struct err *e)
{
    return c->ops->reserve(c->impl, len, out, e);
}

void
channel_commit(struct channel *c, const struct ring_meta *meta, uint32_t len)
{
    c->ops->commit(c->impl, meta, len);
}

int
channel_write(struct channel *c, const struct ring_meta *meta, const void *data, uint64_t len,
              struct err *e)
{
    return c->ops->write(c->impl, meta, data, len, e);
}

void
channel_publish(struct channel *c, const struct ring_source *src)
{
    c->ops->publish(c->impl, src);
}

uint64_t
channel_pending(const struct channel *c)
{
    return c->ops->pending(c->impl);
}

bool
channel_publish_due(const struct channel *c)
{
    return c->ops->publish_due(c->impl);
}

bool
channel_wait_room(struct channel *c, uint64_t bytes, int timeout_ms)
{
    return c->ops->wait_room(c->impl, bytes, timeout_ms);
}

int
channel_next(struct channel *c, struct ring_view *v, struct err *e)
{
    return c->ops->next(c->impl, v, e);
}

void
channel_release(struct channel *c, uint64_t pos)
{
    c->ops->release(c->impl, pos);
}

bool
channel_wait_data(struct channel *const *channels, int n, int timeout_ms)
{
    struct ring *rings[WAIT_MAX];

    CHECK(n > 0 && n <= WAIT_MAX);
    for (int i = 0; i < n; i++)
        rings[i] = channels[i]->ops->waitable(channels[i]->impl);
    return ring_wait_data(rings, n, timeout_ms);
}

uint64_t
channel_epoch(const struct channel *c)
{
    return c->ops->epoch(c->impl);
}

uint64_t
channel_backlog(const struct channel *c)
{
    return c->ops->backlog(c->impl);
}

int
channel_heartbeat(struct channel *c, struct err *e)
{
    return c->ops->heartbeat(c->impl, e);
}

void
channel_poison(struct channel *c, uint32_t reason)
{
    c->ops->poison(c->impl, reason);
}
