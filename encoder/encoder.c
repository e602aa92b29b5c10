#include "encoder/encoder_internal.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/event.h"
#include "common/fault.h"
#include "common/record.h"

#include <inttypes.h>

#define BATCH_MAX 256 /* input records between two looks at the clock */
#define BEAT_NS   (100 * NS_PER_MS)
#define WAIT_MS   100 /* longest sleep: heartbeats go on */

static void
count(struct encoder *enc, enum stat_id id, uint64_t n)
{
    if (enc->stage->stats != NULL)
        stats_add(enc->stage->stats, id, n);
}

void
encoder_show_state(struct encoder *enc, enum stage_state state)
{
    if (enc->stage->stats != NULL)
        stats_state(enc->stage->stats, state);
}

/* ---- commit slots ---- */

/* words: input position, current transaction, previous one, their record numbers. */
static void
source_of(const struct encoder *enc, const struct output *o, struct ring_source *out)
{
    bool is_ahead = o->complete > enc->done;
    const struct transactions *t = is_ahead ? &o->complete_transactions : &enc->done_transactions;

    out->epoch = enc->input_epoch;
    out->words[0] = is_ahead ? o->complete : enc->done;
    out->words[1] = t->current;
    out->words[2] = t->previous;
    out->words[3] = (uint64_t)t->previous_record << 32 | t->current_record;
}

/* Makes everything complete visible, then gives the input back: never the other way round. */
void
encoder_publish(struct encoder *enc)
{
    struct ring_source source;

    for (uint32_t j = 0; j < enc->n_outputs; j++) {
        CRASH_POINT("encoder.publish.one");
        source_of(enc, &enc->outputs[j], &source);
        channel_publish(enc->outputs[j].channel, &source);
    }
    enc->is_publish_due = false;
    count(enc, STAT_PUBLISHES, 1);
    count(enc, STAT_RECORDS_OUT, enc->n_records);
    count(enc, STAT_BYTES_OUT, enc->n_bytes);
    enc->n_records = 0;
    enc->n_bytes = 0;
    CRASH_POINT("encoder.published");
    if (enc->done > enc->released) {
        ring_release(enc->input, enc->done);
        enc->released = enc->done;
        CRASH_POINT("encoder.released");
    }
}

/* ---- liveness ---- */

static int
beat(struct encoder *enc, int64_t now_ns, struct err *e)
{
    if (now_ns - enc->beat_ns < BEAT_NS)
        return 0;
    enc->beat_ns = now_ns;
    if (enc->stage->stats != NULL) {
        stats_beat(enc->stage->stats, now_ns);
        if (enc->has_newest) {
            stats_position(enc->stage->stats, NULL, &enc->newest);
            stats_position(enc->stage->stats, enc->newest_table, &enc->newest);
        }
    }
    if (ring_heartbeat(enc->input, e) != 0)
        return err_context(e, "change ring %u", enc->stage->index);
    for (uint32_t j = 0; j < enc->n_outputs; j++) {
        if (channel_heartbeat(enc->outputs[j].channel, e) != 0)
            return err_context(e, "record channel %u.%u", enc->stage->index, j);
    }
    return encoder_check_generation(enc, e);
}

/* The channel is full: what is complete goes out, so that its consumer can make room. */
static int
wait_room(struct encoder *enc, struct output *o, uint64_t bytes, struct err *e)
{
    int64_t start_ns = clock_mono_ns();
    int64_t now_ns = start_ns;
    bool has_room = false;

    encoder_publish(enc);
    encoder_show_state(enc, STATE_BACKPRESSURE);
    count(enc, STAT_FULL_WAITS, 1);
    while (!has_room) {
        if (stage_stopping(enc->stage))
            return err_set(e, ERR_STOPPED, "stopped while a record channel was full");
        if (beat(enc, now_ns, e) != 0)
            return -1;
        has_room = channel_wait_room(o->channel, bytes, WAIT_MS);
        now_ns = clock_mono_ns();
    }
    count(enc, STAT_FULL_WAIT_NS, (uint64_t)(now_ns - start_ns));
    encoder_show_state(enc, STATE_STREAMING);
    return 0;
}

static int
reserve(struct encoder *enc, struct output *o, uint32_t bytes, void **out, struct err *e)
{
    for (;;) {
        int rc = channel_reserve(o->channel, bytes, out, e);

        if (rc != 0)
            return rc < 0 ? -1 : 0;
        if (wait_room(enc, o, bytes, e) != 0)
            return -1;
    }
}

/* ---- records ---- */

/* A short key is copied by vector moves, as a fragment is; the message goes over what is too much. */
static inline void
put_key(uint8_t *at, const struct key *key)
{
    memcpy(at, key->text, FRAGMENT_SLACK);
    if (key->size > FRAGMENT_SLACK)
        memcpy(at, key->text, key->size);
}

/* Writes record_head, key and message.  Returns the length. */
static size_t
build(struct encoder *enc, const struct job *job, uint8_t *at)
{
    struct record_head head = {
        .position = job->event.position,
        .commit_real_ns = job->event.commit_real_ns,
        .captured_mono_ns = job->event.captured_mono_ns,
        .key_size = job->key.size,
        .operation = (uint16_t)job->event.operation,
    };
    size_t before = sizeof(head) + job->key.size;
    char *message = (char *)at + before;
    size_t size;

    memcpy(head.hash, job->key.hash, sizeof(head.hash));
    put_key(at + sizeof(head), &job->key);
    if (job->values != NULL)
        size = message_row(&enc->writer, job->plan, &job->event, job->values, &job->key, message);
    else
        size = message_control(&enc->writer, job->plan, &job->event, message);
    head.data_size = (uint32_t)size;
    memcpy(at, &head, sizeof(head));
    return before + size;
}

static int
make_scratch(struct encoder *enc, size_t size, struct err *e)
{
    uint8_t *grown;

    if (size <= enc->scratch_size)
        return 0;
    grown = realloc(enc->scratch, size);
    if (grown == NULL)
        return err_set(e, ERR_NOMEM, "record of %zu bytes", size);
    enc->scratch = grown;
    enc->scratch_size = size;
    return 0;
}

/* The long way, for what may not fit one record of the ring. */
static int
write_large(struct encoder *enc, struct output *o, const struct ring_meta *meta,
            const struct job *job, size_t bound, size_t *size, struct err *e)
{
    int rc;

    if (make_scratch(enc, bound, e) != 0)
        return -1;
    *size = build(enc, job, enc->scratch);
    if (*size > channel_max_message(o->channel)) {
        err_set(e, ERR_CONFIG,
                "table %u: a record of %zu bytes cannot pass a record ring, which takes %" PRIu64,
                job->plan->table_id, *size, channel_max_message(o->channel));
        return err_hint(e, "raise Weir.RecordRingSize to more than twice the record, stop all "
                           "stages and remove the record rings");
    }
    while ((rc = channel_write(o->channel, meta, enc->scratch, *size, e)) == 0) {
        if (wait_room(enc, o, *size, e) != 0)
            return -1;
    }
    if (*size > o->max_record)
        count(enc, STAT_FRAGMENTED, 1);
    return rc < 0 ? -1 : 0;
}

static void
count_record(struct encoder *enc, const struct job *job, size_t size)
{
    static const enum tstat_id counters[] = {
        [EVENT_LOAD] = TSTAT_FULL_LOAD_ROWS,
        [EVENT_INSERT] = TSTAT_INSERTS,
        [EVENT_UPDATE] = TSTAT_UPDATES,
        [EVENT_DELETE] = TSTAT_DELETES,
    };
    struct stats_table *table = job->plan->stats;

    enc->n_records++;
    enc->n_bytes += size;
    if (table == NULL)
        return;
    stats_table_add(table, job->values != NULL ? counters[job->event.operation] : TSTAT_DDLS, 1);
    stats_table_add(table, TSTAT_BYTES, size);
}

static int
emit(struct encoder *enc, const struct job *job, struct err *e)
{
    uint32_t shipper = enc->n_outputs == 1 ? 0 : topology_shipper_of(job->key.hash, enc->n_outputs);
    struct output *o = &enc->outputs[shipper];
    const struct ring_meta meta = {.type = RING_DATA,
                                   .flags = job->view.flags & (RING_TXN_BEGIN | RING_TXN_END),
                                   .table_id = job->view.table_id,
                                   .src_pos = job->view.start};
    size_t bound = sizeof(struct record_head) + job->key.size;
    size_t size;
    void *room;

    if (job->view.end <= o->skip) {
        count(enc, STAT_SKIPPED, 1);
        return 0;
    }
    bound += job->values != NULL ? message_bound(job->plan, job->values, &job->key, job->view.len)
                                 : message_control_bound(job->plan, &job->event);
    CRASH_POINT("encoder.emit.before");
    if (bound <= o->max_record) {
        if (reserve(enc, o, (uint32_t)bound, &room, e) != 0)
            return -1;
        CRASH_POINT("encoder.emit.reserved");
        size = build(enc, job, room);
        CRASH_POINT("encoder.emit.built");
        channel_commit(o->channel, &meta, (uint32_t)size);
    } else if (write_large(enc, o, &meta, job, bound, &size, e) != 0) {
        return -1;
    }
    CRASH_POINT("encoder.emit.committed");
    if (channel_publish_due(o->channel))
        enc->is_publish_due = true;
    count_record(enc, job, size);
    return 0;
}

/* Reads an event as far as its key: what it makes, if anything, is written by emit(). */
static int
prepare_event(struct encoder *enc, struct job *job, struct err *e)
{
    struct event *ev = &job->event;
    const struct plan *plan;
    uint16_t n;

    if (event_decode(job->view.data, job->view.len, job->view.table_id, job->room, ev, e) != 0)
        return encoder_poison_input(enc, ENCODER_POISON_BAD_EVENT, e);
    CRASH_POINT("encoder.decoded");
    plan = plans_get(enc->plans, ev->table_id, ev->version, e);
    if (plan == NULL)
        return err_context(e, "table %u, definition %u", ev->table_id, ev->version);
    enc->newest = (struct stats_position){.position = ev->position,
                                          .commit_real_ns = ev->commit_real_ns,
                                          .seen_mono_ns = ev->captured_mono_ns};
    enc->newest_table = plan->stats;
    enc->has_newest = true;
    if (!plan->is_selected)
        return 0;
    if (event_is_control(ev->operation)) {
        if (!message_control_is_sound(ev)) {
            err_set(e, ERR_CORRUPT, "control event %d of table %u has other values than texts",
                    ev->operation, ev->table_id);
            return encoder_poison_input(enc, ENCODER_POISON_BAD_EVENT, e);
        }
        if (!message_is_sent(plan, ev))
            return 0;
        job->plan = plan;
        job->key.text = plan->text + plan->control_key.text.at;
        job->key.size = plan->control_key.text.size;
        job->key.hash = plan->control_key.hash;
        return 0;
    }
    job->plan = plan;
    job->values = message_values(ev, &n);
    if (n != plan->n_columns) {
        err_set(e, ERR_CORRUPT, "event of table %u has %u values, definition %u has %u columns",
                ev->table_id, n, ev->version, plan->n_columns);
        return encoder_poison_input(enc, ENCODER_POISON_BAD_EVENT, e);
    }
    return key_of_row(enc->keys, plan, job->values, &job->key, e);
}

static int
handle_watermark(struct encoder *enc, const struct ring_view *view, struct err *e)
{
    const struct ring_meta meta = {.type = RING_CONTROL, .src_pos = view->start};
    struct watermark mark;
    void *room;

    if (view->len != sizeof(mark)) {
        err_set(e, ERR_CORRUPT, "a watermark of %u bytes, %zu are right", view->len, sizeof(mark));
        return encoder_poison_input(enc, ENCODER_POISON_BAD_EVENT, e);
    }
    memcpy(&mark, view->data, sizeof(mark));
    if (mark.kind != WATERMARK) {
        err_set(e, ERR_CORRUPT, "a control record of unknown kind %08x", mark.kind);
        return encoder_poison_input(enc, ENCODER_POISON_BAD_EVENT, e);
    }
    for (uint32_t j = 0; j < enc->n_outputs; j++) {
        struct output *o = &enc->outputs[j];

        if (view->end <= o->skip)
            continue;
        if (reserve(enc, o, sizeof(mark), &room, e) != 0)
            return -1;
        memcpy(room, &mark, sizeof(mark));
        channel_commit(o->channel, &meta, sizeof(mark));
        o->complete = view->end;
        o->complete_transactions = enc->writer.transactions;
        CRASH_POINT("encoder.watermark.one");
    }
    count(enc, STAT_WATERMARKS, 1);
    return 0;
}

static int
prepare(struct encoder *enc, struct job *job, struct err *e)
{
    job->plan = NULL;
    job->values = NULL;
    if (job->view.type == RING_CONTROL || job->view.end <= enc->skip_all)
        return 0;
    return prepare_event(enc, job, e);
}

/*
 * Takes records until there are as many as are hashed together, or no more.  *n of them are
 * sound, also when it fails.  1 = some, 0 = none, -1 = error.
 */
static int
take(struct encoder *enc, unsigned *n, struct err *e)
{
    int rc = 1;

    for (*n = 0; *n < KEY_BATCH; (*n)++) {
        struct job *job = &enc->jobs[*n];

        /* what was put together from fragments is gone with the next record */
        if (*n > 0 && (job[-1].view.flags & RING_ASSEMBLED) != 0)
            break;
        rc = ring_next(enc->input, &job->view, e);
        if (rc < 0 && e->code == ERR_CORRUPT)
            rc = encoder_poison_input(enc, ENCODER_POISON_BAD_EVENT, e);
        else if (rc == 1)
            rc = prepare(enc, job, e) == 0 ? 1 : -1;
        if (rc != 1)
            break;
    }
    key_hash_rows(enc->keys);
    return rc < 0 ? -1 : *n > 0;
}

static int
finish(struct encoder *enc, const struct job *job, struct err *e)
{
    int rc = 0;

    if (job->values != NULL)
        message_follow(&enc->writer, &job->event);
    if (job->plan != NULL)
        rc = emit(enc, job, e);
    else if (job->view.type == RING_CONTROL && job->view.end > enc->skip_all)
        rc = handle_watermark(enc, &job->view, e);
    if (rc != 0)
        return -1;
    enc->done = job->view.end;
    enc->done_transactions = enc->writer.transactions;
    return 0;
}

static void
wait_input(struct encoder *enc, int timeout_ms, int64_t now_ns)
{
    if (timeout_ms <= 0)
        return;
    (void)ring_wait_data(&enc->input, 1, timeout_ms);
    count(enc, STAT_IDLE_NS, (uint64_t)(clock_mono_ns() - now_ns));
}

static int
finish_all(struct encoder *enc, unsigned n, struct err *e)
{
    for (unsigned i = 0; i < n; i++) {
        if (finish(enc, &enc->jobs[i], e) != 0)
            return -1;
        if (FAULT("encoder.mutant.release-first") != 0) /* for a test that must see it */
            ring_release(enc->input, enc->done);
        if (enc->is_publish_due)
            encoder_publish(enc);
    }
    return 0;
}

int
encoder_turn(struct encoder *enc, int timeout_ms, struct err *e)
{
    int64_t now_ns = clock_mono_ns();
    int rc = 1;
    unsigned rows = 0;

    if (beat(enc, now_ns, e) != 0)
        return -1;
    message_begin_batch(&enc->writer, clock_real_ns());
    while (rows < BATCH_MAX && rc == 1) {
        unsigned n;

        rc = take(enc, &n, e);
        if (finish_all(enc, n, e) != 0)
            return -1;
        rows += n;
    }
    if (rc < 0)
        return -1;
    encoder_publish(enc);
    count(enc, STAT_LOOPS, 1);
    if (rows == 0) {
        wait_input(enc, timeout_ms, now_ns);
        return 0;
    }
    count(enc, STAT_ROWS_IN, rows);
    if (enc->stage->stats != NULL && enc->newest.seen_mono_ns > 0 &&
        enc->newest.seen_mono_ns <= now_ns)
        stats_hist(enc->stage->stats, HIST_RING_DWELL,
                   (uint64_t)(now_ns - enc->newest.seen_mono_ns));
    return 1;
}

int
encoder_run(struct stage *stage, struct err *e)
{
    struct topology topo;
    struct encoder *enc;
    int rc = 0;

    if (stage_wait_topology(stage, &topo, e) != 0 || encoder_open(stage, &topo, &enc, e) != 0)
        return -1;
    while (rc >= 0 && !stage_stopping(stage))
        rc = encoder_turn(enc, WAIT_MS, e);
    encoder_close(&enc);
    return rc < 0 ? -1 : 0;
}
