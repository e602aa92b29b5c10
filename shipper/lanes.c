#include "shipper/lanes.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "shipper/kinesis/sequence.h"

#define THROTTLE_BASE_NS (200 * NS_PER_MS)
#define FAILURE_BASE_NS  (50 * NS_PER_MS)
#define PAUSE_CAP_NS     (20 * NS_PER_S)
#define PAUSE_DOUBLINGS  10

/* Records of one lane in flight at once: where it starts, shrinks to, and how it changes. */
#define LIMIT_START  4000.0
#define LIMIT_MIN    8.0
#define LIMIT_SHRINK 0.7
#define LIMIT_GROW   0.05

struct key {
    uint8_t hash[16];
    uint32_t row;     /* 0 = all rows of the partition key */
    uint32_t flights; /* parcels in flight: the first units of the queue */
    struct unit *head;
    struct unit *tail;
    struct lane *lane;
    struct key *next_in_bucket;
    struct key *next; /* in the lane's queue; in the list of idle ones, with previous */
    struct key *previous;
    struct sequence last; /* number of its last stored record */
    bool has_failed;      /* some parcel of this flight: those behind it go again */
};

struct lane {
    struct key *first; /* ready */
    struct key *last;
    struct lane *next; /* in the queue of active lanes */
    uint32_t n_ready;
    uint32_t in_flight;
    double limit; /* of in_flight */
    int64_t pause_until_ns;
    uint32_t pauses; /* in a row, without a record stored in between */
    uint64_t answer; /* the last answer that paused it */
    bool is_active;  /* in the queue: it has ready keys and does not pause */
    bool is_paused;
};

struct lanes {
    struct key *keys;
    uint32_t n_keys;
    uint32_t used_keys; /* of keys[], ever */
    struct key **buckets;
    uint32_t bucket_mask;
    struct key *idle_oldest;
    struct key *idle_newest;

    const struct shard_map *map;
    struct lane *lanes;
    size_t n_lanes;
    struct lane *active_first;
    struct lane *active_last;
    uint32_t n_active;
    uint32_t sendable;
    uint32_t in_flight;
    int64_t next_resume_ns;
    uint64_t answer;
    uint32_t target_bytes;
    uint32_t pack_bytes;
    uint32_t pack_units;
    enum ordering ordering;
    enum packing packing;
    uint64_t random;
};

int
lanes_open(const struct lanes_config *config, struct lanes **out, struct err *e)
{
    struct lanes *l = calloc(1, sizeof(*l));
    uint32_t buckets = 1;

    CHECK(config->keys > 0 && config->keys < (1U << 30));
    if (l == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the lanes");
    /* Half of them busy at most, the rest remembers. */
    l->n_keys = 2 * config->keys;
    while (buckets < l->n_keys)
        buckets *= 2;
    l->bucket_mask = buckets - 1;
    l->keys = calloc(l->n_keys, sizeof(struct key));
    l->buckets = calloc(buckets, sizeof(struct key *));
    if (l->keys == NULL || l->buckets == NULL) {
        lanes_close(&l);
        return err_set(e, ERR_NOMEM, "no memory for %u partition keys", 2 * config->keys);
    }
    l->next_resume_ns = INT64_MAX;
    l->target_bytes = config->target_bytes;
    l->ordering = config->ordering;
    l->packing = config->packing;
    l->pack_units = 1;
    /* Spread over all bits: xorshift is slow to leave a small number, and stays at zero. */
    l->random = (config->seed + 1) * 0x9e3779b97f4a7c15ULL | 1;
    *out = l;
    return 0;
}

void
lanes_close(struct lanes **pointer)
{
    struct lanes *l = *pointer;

    if (l == NULL)
        return;
    *pointer = NULL;
    free(l->keys);
    free(l->buckets);
    free(l->lanes);
    free(l);
}

/* ---- keys ---- */

static struct key **
bucket_of(const struct lanes *l, const uint8_t hash[16], uint32_t row)
{
    uint32_t bits;

    /* The hash's last bytes: its first ones are alike for all keys of one shard. */
    memcpy(&bits, hash + 12, sizeof(bits));
    return &l->buckets[(bits ^ row) & l->bucket_mask];
}

static void
idle_remove(struct lanes *l, struct key *k)
{
    if (k->previous != NULL)
        k->previous->next = k->next;
    else
        l->idle_oldest = k->next;
    if (k->next != NULL)
        k->next->previous = k->previous;
    else
        l->idle_newest = k->previous;
    k->next = NULL;
    k->previous = NULL;
}

static void
idle_append(struct lanes *l, struct key *k)
{
    k->next = NULL;
    k->previous = l->idle_newest;
    if (l->idle_newest != NULL)
        l->idle_newest->next = k;
    else
        l->idle_oldest = k;
    l->idle_newest = k;
}

static void
bucket_remove(struct lanes *l, struct key *k)
{
    struct key **at = bucket_of(l, k->hash, k->row);

    while (*at != k)
        at = &(*at)->next_in_bucket;
    *at = k->next_in_bucket;
}

/* A key that nobody uses: a new one, or the one that was idle longest. */
static struct key *
key_allocate(struct lanes *l)
{
    struct key *k;

    if (l->used_keys < l->n_keys)
        return &l->keys[l->used_keys++];
    k = l->idle_oldest;
    CHECK(k != NULL);
    idle_remove(l, k);
    bucket_remove(l, k);
    return k;
}

static struct key *
key_find(struct lanes *l, const uint8_t hash[16], uint32_t row)
{
    struct key **bucket = bucket_of(l, hash, row);
    struct key *k;

    for (k = *bucket; k != NULL; k = k->next_in_bucket) {
        if (k->row == row && memcmp(k->hash, hash, 16) == 0) {
            if (k->head == NULL)
                idle_remove(l, k);
            return k;
        }
    }
    k = key_allocate(l);
    /* Taking over an idle key changed the buckets: where this one belongs is looked up again. */
    *k = (struct key){.row = row};
    memcpy(k->hash, hash, 16);
    bucket = bucket_of(l, hash, row);
    k->next_in_bucket = *bucket;
    *bucket = k;
    return k;
}

/* ---- lanes ---- */

static void
activate(struct lanes *l, struct lane *lane)
{
    if (lane->is_active || lane->is_paused || lane->n_ready == 0)
        return;
    lane->is_active = true;
    lane->next = NULL;
    if (l->active_last != NULL)
        l->active_last->next = lane;
    else
        l->active_first = lane;
    l->active_last = lane;
    l->n_active++;
}

static struct lane *
pop_active(struct lanes *l)
{
    struct lane *lane = l->active_first;

    if (lane == NULL)
        return NULL;
    l->active_first = lane->next;
    if (l->active_first == NULL)
        l->active_last = NULL;
    lane->next = NULL;
    lane->is_active = false;
    l->n_active--;
    return lane;
}

static void
make_ready(struct lanes *l, struct key *k, bool at_front)
{
    struct lane *lane = k->lane;

    k->previous = NULL;
    k->next = at_front ? lane->first : NULL;
    if (lane->first == NULL)
        lane->first = lane->last = k;
    else if (at_front)
        lane->first = k;
    else
        lane->last = lane->last->next = k;
    lane->n_ready++;
    if (!lane->is_paused)
        l->sendable++;
    activate(l, lane);
}

static struct key *
pop_ready(struct lanes *l, struct lane *lane)
{
    struct key *k = lane->first;

    lane->first = k->next;
    if (lane->first == NULL)
        lane->last = NULL;
    k->next = NULL;
    lane->n_ready--;
    l->sendable--;
    return k;
}

/* Removes a lane from wherever it stands in the active queue. */
static void
deactivate(struct lanes *l, struct lane *lane)
{
    struct lane *previous = NULL;

    if (!lane->is_active)
        return;
    for (struct lane *at = l->active_first; at != lane; at = at->next)
        previous = at;
    if (previous != NULL)
        previous->next = lane->next;
    else
        l->active_first = lane->next;
    if (l->active_last == lane)
        l->active_last = previous;
    lane->next = NULL;
    lane->is_active = false;
    l->n_active--;
}

/* xorshift64: jitter needs no better. */
static double
random_fraction(struct lanes *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return (double)(l->random >> 11) / (double)(1ULL << 53);
}

static void
pause_lane(struct lanes *l, struct lane *lane, int64_t base_ns, int64_t now_ns)
{
    uint32_t doublings = lane->pauses < PAUSE_DOUBLINGS ? lane->pauses : PAUSE_DOUBLINGS;
    int64_t most_ns = base_ns << doublings;

    /* Answers to requests that were under way when the lane paused tell nothing new. */
    if (lane->is_paused && now_ns < lane->pause_until_ns)
        return;
    if (most_ns > PAUSE_CAP_NS)
        most_ns = PAUSE_CAP_NS;
    lane->pauses++;
    lane->pause_until_ns = now_ns + (int64_t)(random_fraction(l) * (double)most_ns);
    if (lane->pause_until_ns < l->next_resume_ns)
        l->next_resume_ns = lane->pause_until_ns;
    if (lane->is_paused)
        return;
    deactivate(l, lane);
    lane->is_paused = true;
    l->sendable -= lane->n_ready;
}

static void
resume_lanes(struct lanes *l, int64_t now_ns)
{
    if (now_ns < l->next_resume_ns)
        return;
    l->next_resume_ns = INT64_MAX;
    for (size_t i = 0; i < l->n_lanes; i++) {
        struct lane *lane = &l->lanes[i];

        if (!lane->is_paused)
            continue;
        if (now_ns >= lane->pause_until_ns) {
            lane->is_paused = false;
            l->sendable += lane->n_ready;
            activate(l, lane);
        } else if (lane->pause_until_ns < l->next_resume_ns) {
            l->next_resume_ns = lane->pause_until_ns;
        }
    }
}

/* Moves every waiting or flying key from the old lanes to the new. */
static void
relay(struct lanes *l, struct lane *old, size_t n_old)
{
    l->active_first = l->active_last = NULL;
    l->n_active = 0;
    l->sendable = 0;
    l->next_resume_ns = INT64_MAX;
    for (size_t i = 0; i < n_old; i++) {
        struct key *k = old[i].first;

        while (k != NULL) {
            struct key *next = k->next;

            k->lane = &l->lanes[shard_map_find(l->map, k->hash)];
            make_ready(l, k, false);
            k = next;
        }
    }
    for (uint32_t i = 0; i < l->used_keys; i++) {
        struct key *k = &l->keys[i];

        if (k->flights == 0)
            continue;
        k->lane = &l->lanes[shard_map_find(l->map, k->hash)];
        k->lane->in_flight += k->flights;
    }
}

int
lanes_set_shards(struct lanes *l, const struct shard_map *map, struct err *e)
{
    struct lane *old = l->lanes;
    size_t n_old = l->n_lanes;
    struct lane *lanes = calloc(map->n, sizeof(*lanes));

    CHECK(map->n > 0);
    if (lanes == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the lanes of %zu shards", map->n);
    for (size_t i = 0; i < map->n; i++)
        lanes[i].limit = LIMIT_START;
    l->map = map;
    l->lanes = lanes;
    l->n_lanes = map->n;
    relay(l, old, n_old);
    free(old);
    return 0;
}

void
lanes_add(struct lanes *l, struct unit *u)
{
    struct key *k = key_find(l, u->head->hash, l->ordering == ORDERING_ROW ? u->head->row : 0);

    CHECK(l->n_lanes > 0);
    u->key = k;
    u->next_same_key = NULL;
    if (k->head != NULL) {
        k->tail = k->tail->next_same_key = u;
        return;
    }
    k->head = k->tail = u;
    k->lane = &l->lanes[shard_map_find(l->map, k->hash)];
    make_ready(l, k, false);
}

/* ---- sending ---- */

uint32_t
lanes_sendable(struct lanes *l, int64_t now_ns)
{
    resume_lanes(l, now_ns);
    return l->sendable;
}

int64_t
lanes_next_resume(const struct lanes *l)
{
    return l->next_resume_ns;
}

uint32_t
lanes_in_flight(const struct lanes *l)
{
    return l->in_flight;
}

void
lanes_set_pack_limit(struct lanes *l, uint32_t bytes, uint32_t units)
{
    l->pack_bytes = bytes;
    l->pack_units = l->packing == PACKING_NONE || units == 0 ? 1 : units;
}

static bool
fits(const struct lanes *l, const struct batch *b, uint64_t bytes)
{
    return b->n == 0 || b->bytes + bytes <= l->target_bytes;
}

/* What travels with u: the units behind it, as far as one record may hold them. */
static void
make_parcel(const struct lanes *l, struct unit *u, struct parcel *p)
{
    pack_begin(l->packing, u, p);
    while (p->n < l->pack_units && pack_add(l->packing, p, l->pack_bytes))
        ;
}

static void
send_parcel(struct lanes *l, struct key *k, const struct parcel *p, struct batch *b)
{
    struct unit *u = p->first;

    for (uint32_t i = 0; i < p->n; i++, u = u->next_same_key)
        u->tries++;
    k->flights++;
    k->lane->in_flight++;
    l->in_flight++;
    b->is_fresh |= p->first->is_ambiguous;
    b->bytes += p->bytes;
    b->parcels[b->n++] = *p;
}

/* Sends the key at the front of the lane, up to `share` parcels of it.  False: the request has no
   room for its first one. */
static bool
send_key(struct lanes *l, struct lane *lane, size_t share, struct batch *b)
{
    struct key *k = lane->first;
    struct unit *u = k->head;
    struct parcel p;

    make_parcel(l, u, &p);
    if (!fits(l, b, p.bytes))
        return false;
    (void)pop_ready(l, lane);
    do {
        send_parcel(l, k, &p, b);
        u = p.last->next_same_key;
        if (u == NULL || --share == 0)
            break;
        make_parcel(l, u, &p);
    } while (fits(l, b, p.bytes));
    return true;
}

/* How many more the lane may have in flight; at least one, or nobody would ask. */
static size_t
room_of(const struct lane *lane)
{
    double room = lane->limit - (double)lane->in_flight;

    return room < 1 ? 1 : (size_t)room;
}

static size_t
least(size_t a, size_t b, size_t c)
{
    a = a < b ? a : b;
    return a < c ? a : c;
}

size_t
lanes_take(struct lanes *l, int64_t now_ns, size_t limit, struct batch *b)
{
    uint32_t passed_over = 0;
    size_t share = 1;

    b->n = 0;
    b->bytes = 0;
    b->is_fresh = false;
    resume_lanes(l, now_ns);
    /* A key may fill a request only while nobody else has something to put into it. */
    if (l->ordering == ORDERING_FINAL && l->sendable > 0 && limit > l->sendable)
        share = limit / l->sendable;
    /* A mutant that the tests must catch: followers do not wait for their key's first record. */
    if (FAULT("shipper-no-hold-back") != 0)
        share = limit;
    while (b->n < limit && passed_over < l->n_active) {
        struct lane *lane = pop_active(l);
        bool is_sent;

        if ((double)lane->in_flight >= lane->limit) {
            passed_over++;
            activate(l, lane);
            continue;
        }
        is_sent = send_key(l, lane, least(share, limit - b->n, room_of(lane)), b);
        activate(l, lane);
        if (!is_sent)
            break;
        passed_over = 0;
    }
    return b->n;
}

void
lanes_answer(struct lanes *l)
{
    l->answer++;
}

/* One parcel of k came back.  With the last one the key may go again. */
static void
landed(struct lanes *l, struct key *k)
{
    bool at_front = k->has_failed;

    CHECK(k->flights > 0 && k->lane->in_flight > 0 && l->in_flight > 0);
    k->flights--;
    k->lane->in_flight--;
    l->in_flight--;
    if (k->flights > 0)
        return;
    k->has_failed = false;
    if (k->head != NULL)
        make_ready(l, k, at_front);
    else
        idle_append(l, k);
}

/* A mutant that the tests must catch: what is stored behind a failure counts, and the failed record
   with what came before it is passed over. */
static bool
is_tail_lost(void)
{
    return FAULT("shipper-tail-lost") != 0;
}

enum lanes_verdict
lanes_stored(struct lanes *l, const struct parcel *p, const struct sequence *number)
{
    struct key *k = p->first->key;
    struct lane *lane = k->lane;
    bool rises = !sequence_is_known(&k->last) || !sequence_is_known(number) ||
                 sequence_compare(number, &k->last) > 0;

    lane->pauses = 0;
    if (lane->limit < LIMIT_START)
        lane->limit += LIMIT_GROW;
    if (sequence_is_known(number))
        k->last = *number;
    if (k->has_failed) {
        landed(l, k);
        return LANES_REPEATS;
    }
    CHECK(k->head == p->first || is_tail_lost());
    k->head = p->last->next_same_key;
    landed(l, k);
    return rises ? LANES_DONE : LANES_BREACH;
}

void
lanes_failed(struct lanes *l, const struct parcel *p, enum lanes_trouble trouble, int64_t now_ns)
{
    struct key *k = p->first->key;
    struct lane *lane = k->lane;

    if (trouble != LANES_RETURNED && lane->answer != l->answer) {
        /* Once per answer, however many of its records failed. */
        lane->answer = l->answer;
        if (trouble == LANES_THROTTLED) {
            double most = (double)lane->in_flight;

            lane->limit = (most < lane->limit ? most : lane->limit) * LIMIT_SHRINK;
            if (lane->limit < LIMIT_MIN)
                lane->limit = LIMIT_MIN;
        }
        pause_lane(l, lane, trouble == LANES_THROTTLED ? THROTTLE_BASE_NS : FAILURE_BASE_NS,
                   now_ns);
    }
    k->has_failed = !is_tail_lost();
    landed(l, k);
}

void
lanes_drop(struct lanes *l, struct unit *u)
{
    struct key *k = u->key;
    struct lane *lane = k->lane;
    struct key *before = NULL;

    CHECK(k->flights == 0 && k->head == u);
    k->head = u->next_same_key;
    if (k->head != NULL)
        return;
    for (struct key *at = lane->first; at != k; at = at->next)
        before = at;
    if (before == NULL) {
        lane->first = k->next;
    } else {
        before->next = k->next;
    }
    if (lane->last == k)
        lane->last = before;
    lane->n_ready--;
    if (!lane->is_paused)
        l->sendable--;
    if (lane->n_ready == 0)
        deactivate(l, lane);
    idle_append(l, k);
}

size_t
lanes_shard_of(const struct lanes *l, const struct parcel *p)
{
    return (size_t)(p->first->key->lane - l->lanes);
}
