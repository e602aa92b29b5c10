/*
 * shipper - takes records from the encoders' channels and delivers them to a target.
 *
 * One thread, one loop: intake (channels to window and lanes), delivery (lanes to requests,
 * answers back), release and checkpoint, then a wait for whatever comes first.
 * Included by shipper/ only.
 */
#ifndef WEIR_SHIPPER_H
#define WEIR_SHIPPER_H

#include "common/channel.h"
#include "common/err.h"
#include "common/log.h"
#include "common/stage.h"
#include "common/stats.h"
#include "shipper/lanes.h"
#include "shipper/progress.h"
#include "shipper/tables.h"
#include "shipper/target.h"
#include "shipper/window.h"

#define SHIPPER_MAX_CHANNELS 64

/* One encoder's record ring. */
struct inlet {
    struct ring_view view; /* taken from the channel and without room in the window so far */
    bool has_view;
};

struct shipper {
    struct stage *stage;
    struct topology topology;
    struct channel *channels[SHIPPER_MAX_CHANNELS];
    struct inlet inlets[SHIPPER_MAX_CHANNELS];
    uint32_t n_channels;
    int64_t heartbeat_ns; /* when the next one is due */
    int64_t quiet_ns;     /* when the last record came in */

    struct window *window;
    struct lanes *lanes;
    struct target *target;
    struct progress progress;
    struct tables *tables;
    struct position told; /* what the statistics say is complete */

    /*
     * A record was met that Kinesis cannot take.  It stays in the window, outside the lanes;
     * nothing more is taken, and the shipper ends with this error when all before it is stored.
     */
    struct err stop_error;
    bool is_blocked;

    /* delivery.c */
    struct batch *batches; /* one for each request in flight */
    struct batch **idle;   /* stack of those not in use */
    uint32_t n_idle;
    uint32_t n_batches;
    uint32_t failures;          /* requests in a row that failed as a whole */
    int64_t hold_until_ns;      /* nothing is sent before */
    int64_t linger_until_ns;    /* a request that is not full waits until then; 0 = none waits */
    int64_t saturated_until_ns; /* no lane may have more in flight: tried again then */
    size_t batch_limit;         /* less than 500 while a refused record is being looked for */
    uint32_t pack_units;        /* the same for the changes in one record */
    void *pack_room;            /* packed records of the request being made */
    size_t pack_room_size;

    /* stream.c */
    struct shard_map map;
    struct target_state target_state;
    struct stage_backoff refresh_backoff;
    int64_t refresh_due_ns;
    int64_t refreshed_ns;
    bool has_map;
    bool is_open; /* the stream takes records */
    bool is_refreshing;

    enum stage_state state;
    struct log_site alarms[ERR_CODE_COUNT];
};

int shipper_run(struct stage *stage, struct err *e);

/* ---- run.c ---- */

/* Counts and logs a failure that is waited out. */
void shipper_alarm(struct shipper *s, const char *event, const struct err *problem);

/* ---- intake.c ---- */

/* Opens the channels, waiting for encoders that have not made them yet. */
int intake_open(struct shipper *s, struct err *e);
/* Takes what came in, as far as the window has room.  Number of messages taken, -1 on error. */
int intake_take(struct shipper *s, int64_t now_ns, struct err *e);
/* Gives back what is acknowledged. */
void intake_release(struct shipper *s);
/* Whether new messages could be taken now. */
bool intake_has_room(const struct shipper *s);
/* Heartbeats of the channels, when due. */
int intake_beat(struct shipper *s, int64_t now_ns, struct err *e);

/* ---- delivery.c ---- */

int delivery_open(struct shipper *s, struct err *e);
void delivery_close(struct shipper *s);
/* Starts all requests that may start now. */
void delivery_send(struct shipper *s, int64_t now_ns);
/* Handles all answers that are there.  -1: a record that the service will never take. */
int delivery_answers(struct shipper *s, struct err *e);
uint32_t delivery_in_flight(const struct shipper *s);
/* The stream's limits are known, or changed. */
void delivery_limit_packs(struct shipper *s);
/* u, which stands in no lane, can never be sent.  By policy: 0 = it is a dead letter and counts as
   handled; -1 = it is not (*why, or why it cannot be written), and nothing may pass it. */
int delivery_refuse(struct shipper *s, struct unit *u, const struct err *why, struct err *e);
/* When delivery_send() could have something to do (monotonic ns); INT64_MAX = not by itself. */
int64_t delivery_due(struct shipper *s, int64_t now_ns);

/* ---- stream.c ---- */

/* Keeps shard map and state of the stream fresh, in the background.  -1: it must not be used. */
int stream_watch(struct shipper *s, int64_t now_ns, struct err *e);
/* Something hints that the map is old, or that the stream is gone. */
void stream_suspect(struct shipper *s, bool is_gone, int64_t now_ns);

#endif
