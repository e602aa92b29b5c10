#include "capture/output.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/event.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"
#include "common/record.h"
#include "common/ring.h"
#include "common/stage.h"
#include "common/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_MAX    256U
#define BEAT_NS        (100 * NS_PER_MS)
#define ROOM_TIMEOUT   100 /* ms between two heartbeats while a ring is full */
#define ENCODERS_LIMIT 64U

/* What is counted once it is published. */
struct pending {
    struct stats_table *table;
    enum tstat_id counter;
    uint32_t bytes;
    int64_t commit_real_ns;
};

struct out_ring {
    struct ring *ring;
    struct position floor; /* what it had when we came: never published below */
    struct position sent;  /* source of its newest commit slot */
    struct pending pending[PENDING_MAX];
    uint32_t n_pending;
    bool is_due; /* a batch is full */
};

struct output {
    struct stage *stage;
    struct topology topo;
    struct position low;
    struct position done;
    struct position watermark;
    int64_t beat_ns;
    int64_t now_ns; /* of the batch being filled */
    enum stage_state state;
    uint8_t *scratch; /* events larger than a record */
    size_t scratch_size;
    uint32_t n;
    struct out_ring rings[];
};

/* ---- opening ---- */

static int
open_ring(struct output *o, uint32_t encoder, const struct position *fresh, struct err *e)
{
    const struct weir_settings *w = &o->stage->task->weir;
    struct out_ring *r = &o->rings[encoder];
    char path[TOPOLOGY_PATH_MAX];
    char name[32];
    struct ring_source source;
    struct ring_config config = {
        .path = topology_change_ring(o->stage->task, &o->topo, encoder, path),
        .name = name,
        .capacity = w->change_ring_size,
        .generation = o->topo.generation,
        .record_format = EVENT_FORMAT,
    };
    bool created = false;

    (void)snprintf(name, sizeof(name), "change.%u", encoder);
    if (ring_open_producer(&config, &r->ring, &created, e) != 0)
        return -1;
    r->floor = *fresh;
    if (ring_source(r->ring, &source))
        position_from_words(source.words, &r->floor);
    r->sent = r->floor;
    log_info("ring-opened", "ring=%s created=%d", name, created ? 1 : 0);
    return 0;
}

int
output_open(struct stage *stage, const struct topology *topo, const struct position *fresh,
            struct output **out, struct err *e)
{
    char directory[TOPOLOGY_PATH_MAX];
    struct output *o;

    CHECK(topo->encoders >= 1 && topo->encoders <= ENCODERS_LIMIT);
    o = calloc(1, sizeof(*o) + topo->encoders * sizeof(struct out_ring));
    if (o == NULL)
        return err_set(e, ERR_NOMEM, "change rings");
    o->stage = stage;
    o->topo = *topo;
    o->state = STATE_STARTING;
    if (file_make_directory(topology_ring_directory(stage->task, topo, directory), 0750, e) != 0)
        goto fail;
    for (uint32_t i = 0; i < topo->encoders; i++) {
        if (open_ring(o, i, fresh, e) != 0)
            goto fail;
        o->n++;
        if (i == 0 || position_compare(&o->rings[i].floor, &o->low) < 0)
            o->low = o->rings[i].floor;
    }
    o->done = o->low;
    o->watermark = o->low;
    *out = o;
    return 0;

fail:
    output_close(&o);
    return -1;
}

void
output_close(struct output **o)
{
    if (*o == NULL)
        return;
    if ((*o)->n == (*o)->topo.encoders)
        output_publish(*o);
    for (uint32_t i = 0; i < (*o)->n; i++)
        ring_close(&(*o)->rings[i].ring);
    free((*o)->scratch);
    free(*o);
    *o = NULL;
}

const struct position *
output_low(const struct output *o)
{
    return &o->low;
}

const struct position *
output_high(const struct output *o)
{
    const struct position *high = &o->done;

    for (size_t i = 0; i < o->n; i++)
        if (position_compare(&o->rings[i].floor, high) > 0)
            high = &o->rings[i].floor;
    return high;
}

const struct position *
output_position(const struct output *o)
{
    return &o->done;
}

/* ---- publishing ---- */

static void
count_published(struct output *o, struct out_ring *r)
{
    struct stats *s = o->stage->stats;
    int64_t now = 0;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < r->n_pending; i++) {
        const struct pending *p = &r->pending[i];

        stats_table_add(p->table, p->counter, 1);
        stats_table_add(p->table, TSTAT_BYTES, p->bytes);
        bytes += p->bytes;
        if (p->commit_real_ns == 0)
            continue;
        if (now == 0)
            now = clock_real_ns();
        if (now > p->commit_real_ns)
            stats_hist(s, HIST_COMMIT_TO_CAPTURE, (uint64_t)(now - p->commit_real_ns));
    }
    stats_add(s, STAT_RECORDS_OUT, r->n_pending);
    stats_add(s, STAT_BYTES_OUT, bytes);
    stats_add(s, STAT_PUBLISHES, 1);
    r->n_pending = 0;
    r->is_due = false;
}

static void
publish_ring(struct output *o, struct out_ring *r)
{
    struct ring_source source = {.epoch = 0};
    const struct position *at = position_compare(&r->floor, &o->done) > 0 ? &r->floor : &o->done;

    if (ring_pending(r->ring) == 0 && position_compare(at, &r->sent) == 0)
        return;
    position_to_words(at, source.words);
    CRASH_POINT("capture.before-publish");
    ring_publish(r->ring, &source);
    CRASH_POINT("capture.published");
    r->sent = *at;
    count_published(o, r);
}

void
output_publish(struct output *o)
{
    for (uint32_t i = 0; i < o->n; i++)
        publish_ring(o, &o->rings[i]);
    o->now_ns = 0;
}

int
output_beat(struct output *o, struct err *e)
{
    int64_t now = clock_mono_ns();

    if (now - o->beat_ns < BEAT_NS)
        return 0;
    o->beat_ns = now;
    stats_beat(o->stage->stats, now);
    for (uint32_t i = 0; i < o->n; i++)
        if (ring_heartbeat(o->rings[i].ring, e) != 0)
            return -1;
    return 0;
}

void
output_state(struct output *o, enum stage_state state)
{
    o->state = state;
    stats_state(o->stage->stats, state);
}

/* Waits until r takes `bytes` more.  Everything is published first: room comes only from what the
   encoder can see. */
static int
wait_room(struct output *o, struct out_ring *r, uint64_t bytes, struct err *e)
{
    struct stats *s = o->stage->stats;
    int64_t began = clock_mono_ns();
    int rc = 0;

    output_publish(o);
    if (ring_wait_room(r->ring, bytes, 0))
        return 0;
    stats_add(s, STAT_FULL_WAITS, 1);
    stats_state(s, STATE_BACKPRESSURE);
    while (rc == 0 && !ring_wait_room(r->ring, bytes, ROOM_TIMEOUT)) {
        if (stage_stopping(o->stage))
            rc = err_set(e, ERR_STOPPED, "stopped while a change ring was full");
        else
            rc = output_beat(o, e);
    }
    stats_add(s, STAT_FULL_WAIT_NS, (uint64_t)(clock_mono_ns() - began));
    stats_state(s, o->state);
    return rc;
}

/* ---- events ---- */

static bool
ring_has(const struct output *o, const struct out_ring *r, const struct position *p)
{
    return position_compare(p, &r->floor) <= 0 || position_compare(p, &o->done) <= 0;
}

static int
too_large(const struct out_ring *r, uint64_t size, struct err *e)
{
    err_set(e, ERR_CONFIG, "a change of %" PRIu64 " bytes does not fit into its change ring", size);
    return err_hint(e,
                    "a ring of %" PRIu64 " bytes takes changes of up to %" PRIu64
                    ": raise Weir.ChangeRingSize and remove the ring file while the task is "
                    "stopped (nothing is lost)",
                    ring_capacity(r->ring), ring_max_message(r->ring));
}

/* Straight into the ring. */
static int
write_record(struct output *o, struct out_ring *r, const struct ring_meta *meta,
             const struct event *ev, uint32_t bound, uint32_t *size, struct err *e)
{
    void *at;
    int rc;

    while ((rc = ring_reserve(r->ring, bound, &at, e)) == 0)
        if (wait_room(o, r, bound, e) != 0)
            return -1;
    if (rc < 0)
        return -1;
    *size = (uint32_t)event_encode(ev, at);
    ring_commit(r->ring, meta, *size);
    return 0;
}

/* By way of memory, for what may be cut into fragments. */
static int
write_message(struct output *o, struct out_ring *r, const struct ring_meta *meta, const void *data,
              uint64_t size, struct err *e)
{
    int rc;

    if (size > ring_max_message(r->ring))
        return too_large(r, size, e);
    while ((rc = ring_write(r->ring, meta, data, size, e)) == 0)
        if (wait_room(o, r, size, e) != 0)
            return -1;
    return rc < 0 ? -1 : 0;
}

static int
write_large(struct output *o, struct out_ring *r, const struct ring_meta *meta,
            const struct event *ev, size_t bound, uint32_t *size, struct err *e)
{
    size_t n;

    if (bound > o->scratch_size) {
        uint8_t *scratch = realloc(o->scratch, bound);

        if (scratch == NULL)
            return err_set(e, ERR_NOMEM, "a change of up to %zu bytes", bound);
        o->scratch = scratch;
        o->scratch_size = bound;
    }
    n = event_encode(ev, o->scratch);
    if (n > UINT32_MAX)
        return too_large(r, n, e);
    *size = (uint32_t)n;
    stats_add(o->stage->stats, STAT_FRAGMENTED, n > ring_max_record(r->ring) ? 1 : 0);
    return write_message(o, r, meta, o->scratch, n, e);
}

static int
publish_due(struct output *o, struct err *e)
{
    bool any = false;

    for (uint32_t i = 0; i < o->n; i++)
        if (o->rings[i].is_due) {
            publish_ring(o, &o->rings[i]);
            any = true;
        }
    if (!any)
        return 0;
    o->now_ns = 0;
    return output_beat(o, e);
}

int
output_event(struct output *o, uint32_t encoder, struct event *ev, struct stats_table *t,
             enum tstat_id counter, struct err *e)
{
    struct out_ring *r = &o->rings[encoder];
    struct ring_meta meta = {.type = RING_DATA, .table_id = ev->table_id};
    uint32_t size = 0;
    size_t bound;
    int rc;

    CHECK(encoder < o->n);
    if (ring_has(o, r, &ev->position)) {
        stats_add(o->stage->stats, STAT_SKIPPED, 1);
        return 0;
    }
    if (o->now_ns == 0)
        o->now_ns = clock_mono_ns(); /* one reading a batch: microseconds apart */
    ev->captured_mono_ns = o->now_ns;
    if (ev->record_number == 1)
        meta.flags = RING_TXN_BEGIN;
    bound = event_bound(ev);
    rc = bound <= ring_max_record(r->ring)
             ? write_record(o, r, &meta, ev, (uint32_t)bound, &size, e)
             : write_large(o, r, &meta, ev, bound, &size, e);
    if (rc != 0)
        return -1;
    CRASH_POINT("capture.committed");
    r->pending[r->n_pending++] = (struct pending){
        .table = t, .counter = counter, .bytes = size, .commit_real_ns = ev->commit_real_ns};
    stats_add(o->stage->stats, STAT_ROWS_IN, 1);
    r->is_due = r->n_pending == PENDING_MAX || ring_publish_due(r->ring);
    /* A change goes out together with its own position (output_done), or a crash in between would
       repeat it.  Rows of a chunk have no position until the chunk is whole. */
    return r->is_due && position_is_load(&ev->position) ? publish_due(o, e) : 0;
}

int
output_done(struct output *o, const struct position *p, struct err *e)
{
    if (position_compare(p, &o->done) > 0)
        o->done = *p;
    return publish_due(o, e);
}

int
output_watermark(struct output *o, const struct position *p, int64_t commit_real_ns, struct err *e)
{
    static const struct ring_meta meta = {.type = RING_CONTROL};
    struct watermark w = {
        .kind = WATERMARK,
        .format = RECORD_FORMAT,
        .generation = o->topo.generation,
        .position = *p,
        .commit_real_ns = commit_real_ns,
        .captured_mono_ns = clock_mono_ns(),
    };

    if (position_compare(p, &o->watermark) <= 0)
        return 0;
    for (uint32_t i = 0; i < o->n; i++) {
        struct out_ring *r = &o->rings[i];

        if (position_compare(p, &r->floor) > 0 && write_message(o, r, &meta, &w, sizeof(w), e) != 0)
            return -1;
    }
    if (position_compare(p, &o->done) > 0)
        o->done = *p;
    o->watermark = *p;
    output_publish(o);
    stats_add(o->stage->stats, STAT_WATERMARKS, 1);
    return output_beat(o, e);
}
