/* Records in from the channels, release positions back to them. */
#include "shipper/shipper.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"

#define TURN_RECORDS  2048 /* taken at most before answers are looked at again */
#define CHUNK_RECORDS 256  /* of one channel before the next one's turn */
#define HEARTBEAT_NS  (100 * NS_PER_MS)
#define WAIT_MS       50
#define MAX_KEY_CHARS 256

static int
open_channel(struct shipper *s, uint32_t encoder, struct err *e)
{
    const struct stage *stage = s->stage;
    char path[TOPOLOGY_PATH_MAX];
    char name[32];
    struct channel_config config = {
        .ring = {.path =
                     topology_record_ring(stage->task, &s->topology, encoder, stage->index, path),
                 .name = name,
                 .capacity = stage->task->weir.record_ring_size,
                 .generation = s->topology.generation,
                 .record_format = RECORD_FORMAT,
                 .checksum = true}};

    (void)snprintf(name, sizeof(name), "record.%u.%u", encoder, stage->index);
    for (;;) {
        if (channel_open_consumer(&config, &s->channels[encoder], e) == 0)
            return 0;
        if (e->code != ERR_NOT_FOUND)
            return -1;
        stats_beat(stage->stats, clock_mono_ns());
        for (uint32_t i = 0; i < encoder; i++) {
            if (channel_heartbeat(s->channels[i], e) != 0)
                return -1;
        }
        log_debug("waits-for-encoder", "ring=%s", path);
        if (stage_sleep(stage, WAIT_MS))
            return err_set(e, ERR_STOPPED, "stopped while waiting for encoder %u", encoder);
    }
}

int
intake_open(struct shipper *s, struct err *e)
{
    CHECK(s->topology.encoders <= SHIPPER_MAX_CHANNELS);
    for (uint32_t i = 0; i < s->topology.encoders; i++) {
        if (open_channel(s, i, e) != 0)
            return -1;
        s->n_channels = i + 1;
    }
    return 0;
}

int
intake_beat(struct shipper *s, int64_t now_ns, struct err *e)
{
    if (now_ns < s->heartbeat_ns)
        return 0;
    s->heartbeat_ns = now_ns + HEARTBEAT_NS;
    for (uint32_t i = 0; i < s->n_channels; i++) {
        if (channel_heartbeat(s->channels[i], e) != 0)
            return -1;
    }
    return 0;
}

static size_t
characters(const char *text, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* What Kinesis would refuse, together with everything else in the same request. */
static int
check_limits(struct shipper *s, const struct unit *u, struct err *e)
{
    size_t size = (size_t)u->key_size + u->data_size;
    size_t key_chars = characters(u->key_text, u->key_size);
    char position[POSITION_TEXT_SIZE];

    if (size <= s->target_state.max_record_bytes && key_chars <= MAX_KEY_CHARS)
        return 0;
    (void)position_text(&u->head->position, position);
    stats_add(s->stage->stats, STAT_TOO_LARGE, 1);
    if (key_chars > MAX_KEY_CHARS) {
        err_set(e, ERR_DATA, "%s at %s: the partition key has %zu characters, Kinesis takes %d",
                tables_name(s->tables, u->table_id), position, key_chars, MAX_KEY_CHARS);
        return err_hint(e, "map the table to a shorter partition key, or set "
                           "Weir.RefusedRecordPolicy to dead-letter");
    }
    err_set(e, ERR_DATA,
            "%s at %s: a record of %zu bytes (partition key included); the stream takes %u",
            tables_name(s->tables, u->table_id), position, size, s->target_state.max_record_bytes);
    return err_hint(e, "raise the stream's MaxRecordSizeInKiB (UpdateMaxRecordSize, up to 10240), "
                       "or leave out a column; everything before this record is delivered, nothing "
                       "is skipped; or set Weir.RefusedRecordPolicy to dead-letter");
}

/* Hands one message on.  WINDOW_FULL leaves it with the inlet. */
static int
take_message(struct shipper *s, uint32_t channel, struct err *e)
{
    struct inlet *in = &s->inlets[channel];
    struct unit *u = NULL;
    struct err why = ERR_INIT;
    int rc = window_take(s->window, channel, &in->view, &u, e);

    if (rc < 0)
        return err_context(e, "record ring of encoder %u, position %llu", channel,
                           (unsigned long long)in->view.start);
    if (rc == WINDOW_FULL)
        return rc;
    in->has_view = false;
    if (rc == 0)
        return 0;
    stats_add(s->stage->stats, STAT_ROWS_IN, 1);
    if (check_limits(s, u, &why) == 0) {
        lanes_add(s->lanes, u);
        return 0;
    }
    if (delivery_refuse(s, u, &why, &s->stop_error) == 0)
        return 0;
    s->is_blocked = true;
    shipper_alarm(s, "record-blocks", &s->stop_error);
    return 0;
}

/* Up to CHUNK_RECORDS of one channel. */
static int
take_chunk(struct shipper *s, uint32_t channel, struct err *e)
{
    struct inlet *in = &s->inlets[channel];
    int taken = 0;

    while (taken < CHUNK_RECORDS && !s->is_blocked &&
           (in->has_view || window_has_room(s->window))) {
        int rc;

        if (!in->has_view) {
            rc = channel_next(s->channels[channel], &in->view, e);
            if (rc < 0)
                return -1;
            if (rc == 0)
                break;
            in->has_view = true;
        }
        rc = take_message(s, channel, e);
        if (rc < 0)
            return -1;
        if (rc == WINDOW_FULL)
            break;
        taken++;
    }
    return taken;
}

bool
intake_has_room(const struct shipper *s)
{
    if (!s->has_map || s->is_blocked || !window_has_room(s->window))
        return false;
    for (uint32_t i = 0; i < s->n_channels; i++) {
        if (s->inlets[i].has_view)
            return false;
    }
    return true;
}

int
intake_take(struct shipper *s, int64_t now_ns, struct err *e)
{
    int total = 0;
    int round;

    /* Without a map there are no lanes to put anything in. */
    if (!s->has_map)
        return 0;
    do {
        round = 0;
        for (uint32_t i = 0; i < s->n_channels; i++) {
            int n = take_chunk(s, i, e);

            if (n < 0)
                return -1;
            round += n;
        }
        total += round;
    } while (round > 0 && total < TURN_RECORDS);
    if (total > 0)
        s->quiet_ns = now_ns;
    return total;
}

void
intake_release(struct shipper *s)
{
    struct passed_watermark passed;
    uint64_t position;

    for (uint32_t i = 0; i < s->n_channels; i++) {
        if (!window_advance(s->window, i, &position))
            continue;
        CRASH_POINT("shipper-release-before");
        channel_release(s->channels[i], position);
        CRASH_POINT("shipper-release-after");
    }
    stats_set(s->stage->stats, STAT_UNACKED, window_unacked(s->window));
    if (!window_passed(s->window, &passed) || position_compare(&passed.position, &s->told) == 0)
        return;
    s->told = passed.position;
    stats_add(s->stage->stats, STAT_WATERMARKS, 1);
    stats_position(
        s->stage->stats, NULL,
        &(struct stats_position){passed.position, passed.commit_real_ns, clock_mono_ns()});
    if (passed.commit_real_ns > 0) {
        int64_t lag_ns = clock_real_ns() - passed.commit_real_ns;

        stats_set(s->stage->stats, STAT_LAG_NS, lag_ns > 0 ? (uint64_t)lag_ns : 0);
    }
}
