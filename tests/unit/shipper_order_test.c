/* uses: shipper aws */
/*
 * window and lanes against a scripted Kinesis: random partial failures, throttles, lost answers,
 * answers in any order, changing shard maps, in every ordering and packing; what must hold is
 * checked after every step.
 */
#include "shipper/lanes.h"
#include "shipper/window.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/event.h"
#include "shipper/kinesis/sequence.h"

#include <check.h>
#include <openssl/evp.h>
#include <stdalign.h>

#define CHANNELS 3
#define KEYS     40
#define RECORDS  4000 /* of each channel */
#define WINDOW   256
#define FLIGHTS  6
#define SIZE     160

/* One record as it lies in a "ring", and what became of it. */
struct sent {
    alignas(16) uint8_t bytes[SIZE];
    uint32_t key;    /* what orders it: partition key, or row */
    uint32_t n;      /* place in its key's sequence */
    uint32_t stored; /* times */
    bool is_acked;
};

struct flight {
    struct batch batch;
    bool is_used;
    bool is_lost; /* carried out in part, and the answer never comes */
    bool was_stored[TARGET_MAX_RECORDS];
    uint64_t number[TARGET_MAX_RECORDS];
};

/* A way of delivering, and what must hold then. */
struct mode {
    enum ordering ordering;
    enum packing packing;
    uint32_t partition_keys; /* fewer than KEYS: several rows share one */
};

static const struct mode modes[] = {
    {ORDERING_KEY, PACKING_NONE, KEYS},   {ORDERING_KEY, PACKING_LINES, KEYS},
    {ORDERING_KEY, PACKING_KPL, KEYS},    {ORDERING_ROW, PACKING_NONE, CHANNELS},
    {ORDERING_FINAL, PACKING_NONE, KEYS}, {ORDERING_FINAL, PACKING_LINES, KEYS},
};

struct world {
    struct mode mode;
    struct window *window;
    struct lanes *lanes;
    struct shard_map map;
    struct sent *sent[CHANNELS];
    uint32_t taken[CHANNELS];
    uint64_t released[CHANNELS];
    struct flight flights[FLIGHTS];
    uint32_t in_flight_of_key[KEYS];
    uint32_t next_of_key[KEYS]; /* n the stream expects next */
    uint32_t made_of_key[KEYS];
    uint32_t last_of_key[KEYS]; /* n + 1 of the newest record in the stream */
    uint64_t number;            /* sequence numbers of the "stream" */
    uint64_t random;
    int64_t now_ns;
    uint32_t repeats;
};

static struct world w;

static uint64_t
roll(uint64_t n)
{
    w.random ^= w.random << 13;
    w.random ^= w.random >> 7;
    w.random ^= w.random << 17;
    return w.random % n;
}

static void
shards_make(size_t n)
{
    struct target_shard *shards = calloc(n, sizeof(*shards));
    struct err e = ERR_INIT;

    for (size_t i = 0; i < n; i++) {
        (void)snprintf(shards[i].id, sizeof(shards[i].id), "shard-%zu-of-%zu", i, n);
        shards[i].is_open = true;
        shards[i].first_hash[0] = (uint8_t)(i * 256 / n);
        memset(shards[i].last_hash, 0xff, 16);
        shards[i].last_hash[0] = (uint8_t)((i + 1) * 256 / n - 1);
    }
    (void)shard_map_set(&w.map, shards, n);
    ck_assert_int_eq(0, lanes_set_shards(w.lanes, &w.map, &e));
}

static void
world_open_mode(uint64_t seed, const struct mode *mode)
{
    struct window_config wc = {WINDOW, CHANNELS, 1U << 20, 7};
    struct lanes_config lc = {WINDOW, 4000, seed, mode->ordering, mode->packing};
    struct err e = ERR_INIT;

    memset(&w, 0, sizeof(w));
    w.mode = *mode;
    w.random = seed * 2654435761U + 1;
    w.now_ns = NS_PER_S;
    w.number = 1;
    ck_assert_int_eq(0, window_open(&wc, &w.window, &e));
    ck_assert_int_eq(0, lanes_open(&lc, &w.lanes, &e));
    lanes_set_pack_limit(w.lanes, 700, 1000);
    shards_make(4);
}

/* What take_one() takes. */
static void
records_make(void)
{
    for (int c = 0; c < CHANNELS; c++)
        w.sent[c] = calloc(RECORDS, sizeof(struct sent));
}

static void
world_open(uint64_t seed)
{
    world_open_mode(seed, &modes[0]);
}

static void
world_close(void)
{
    lanes_close(&w.lanes);
    window_close(&w.window);
    shard_map_free(&w.map);
    for (int c = 0; c < CHANNELS; c++)
        free(w.sent[c]);
}

static void
position_of(uint32_t channel, uint32_t i, struct position *out)
{
    *out = (struct position){{0}};
    out->b[0] = (uint8_t)(i >> 8);
    out->b[1] = (uint8_t)i;
    out->b[2] = (uint8_t)channel;
}

/* Fills the next record of a channel; a key belongs to one channel. */
static void
make_record(uint32_t channel, uint32_t i, struct ring_view *v)
{
    struct sent *s = &w.sent[channel][i];
    struct record_head h = {.data_size = 40, .operation = EVENT_INSERT};
    char key[24];

    s->key = (uint32_t)roll(KEYS / CHANNELS) * CHANNELS + channel;
    s->n = w.made_of_key[s->key]++;
    h.key_size = (uint32_t)snprintf(key, sizeof(key), "key %u", s->key % w.mode.partition_keys);
    h.row = s->key + 1;
    position_of(channel, i, &h.position);
    ck_assert_int_eq(1, EVP_Digest(key, h.key_size, h.hash, NULL, EVP_md5(), NULL));
    memcpy(s->bytes, &h, sizeof(h));
    memcpy(s->bytes + sizeof(h), key, h.key_size);
    *v = (struct ring_view){.data = s->bytes,
                            .len = (uint32_t)sizeof(h) + h.key_size + h.data_size,
                            .type = RING_DATA,
                            .table_id = 1,
                            .start = (uint64_t)i * 2,
                            .end = (uint64_t)i * 2 + 1};
}

static struct sent *
sent_of(const struct unit *u)
{
    return (struct sent *)(void *)((uintptr_t)u->head);
}

static void
take_one(uint32_t channel)
{
    uint32_t i = w.taken[channel];
    struct watermark m = {.kind = WATERMARK, .format = RECORD_FORMAT, .generation = 7};
    struct unit *u = NULL;
    struct ring_view v;
    struct err e = ERR_INIT;

    if (i == RECORDS || !window_has_room(w.window))
        return;
    make_record(channel, i, &v);
    ck_assert_int_eq(1, window_take(w.window, channel, &v, &u, &e));
    lanes_add(w.lanes, u);
    w.taken[channel]++;
    if (roll(8) == 0 || w.taken[channel] == RECORDS) {
        position_of(channel, i, &m.position);
        m.position.b[2] = 0xff;
        v = (struct ring_view){
            .data = &m, .len = sizeof(m), .type = RING_CONTROL, .end = (uint64_t)i * 2 + 2};
        ck_assert_int_eq(0, window_take(w.window, channel, &v, &u, &e));
    }
}

/* ---- the stream ---- */

/* A record of a key may be the next one, or one the key's end has seen before.  With final
   ordering the stream may fall back, but never run ahead of what came without a hole. */
static void
store_unit(const struct unit *u)
{
    struct sent *s = sent_of(u);

    s->stored++;
    w.last_of_key[s->key] = s->n + 1;
    if (s->n == w.next_of_key[s->key]) {
        w.next_of_key[s->key]++;
        return;
    }
    w.repeats++;
    if (w.mode.ordering == ORDERING_FINAL)
        return;
    ck_assert_msg(s->n < w.next_of_key[s->key], "key %u: record %u came, %u was due", s->key, s->n,
                  w.next_of_key[s->key]);
}

static void
check_pack(const struct parcel *p)
{
    static uint8_t room[1U << 16];
    const struct unit *u = p->first;

    ck_assert(p->n == 1 || p->bytes <= 700);
    ck_assert_uint_eq(p->bytes, p->data_size + u->key_size);
    pack_write(w.mode.packing, p, room);
    for (uint32_t i = 1; i < p->n; i++, u = u->next_same_key)
        ck_assert_uint_eq(sent_of(u->next_same_key)->n, sent_of(u)->n + 1);
    ck_assert_ptr_eq(u, p->last);
}

static void
store(struct flight *f, size_t at)
{
    const struct parcel *p = &f->batch.parcels[at];
    const struct unit *u = p->first;

    f->was_stored[at] = true;
    f->number[at] = ++w.number;
    /* A record again whose first time was not seen: repeats begin where a key's record began. */
    if (w.mode.ordering != ORDERING_FINAL)
        ck_assert_uint_le(sent_of(u)->n, w.next_of_key[sent_of(u)->key]);
    for (uint32_t i = 0; i < p->n; i++, u = u->next_same_key)
        store_unit(u);
}

static void
send(void)
{
    struct flight *f = NULL;

    for (int i = 0; i < FLIGHTS; i++) {
        if (!w.flights[i].is_used)
            f = &w.flights[i];
    }
    if (f == NULL || lanes_take(w.lanes, w.now_ns, 1 + roll(50), &f->batch) == 0)
        return;
    f->is_used = true;
    f->is_lost = roll(10) == 0;
    for (size_t i = 0; i < f->batch.n; i++) {
        const struct parcel *p = &f->batch.parcels[i];
        uint32_t key = sent_of(p->first)->key;
        bool is_run = i > 0 && sent_of(f->batch.parcels[i - 1].first)->key == key;

        ck_assert_msg(++w.in_flight_of_key[key] == 1 ||
                          (is_run && w.mode.ordering == ORDERING_FINAL),
                      "two of one key in flight");
        ck_assert(!p->first->is_acked);
        check_pack(p);
        f->was_stored[i] = false;
        /* The service may carry it out now, or (below) when it answers, or not at all. */
        if (roll(4) != 0)
            store(f, i);
    }
}

static void
take_answer(struct flight *f, size_t i)
{
    const struct parcel *p = &f->batch.parcels[i];
    struct sequence number = {{0, 0, f->number[i]}};
    struct unit *u = p->first;
    /* "InternalFailure" may be told of what was stored, too. */
    bool is_stored_seen = f->was_stored[i] && roll(12) != 0;
    enum lanes_verdict verdict;

    w.in_flight_of_key[sent_of(u)->key]--;
    if (f->is_lost) {
        u->is_ambiguous = true;
        lanes_failed(w.lanes, p, LANES_RETURNED, w.now_ns);
        return;
    }
    if (!is_stored_seen) {
        lanes_failed(w.lanes, p, f->was_stored[i] || roll(2) == 0 ? LANES_FAILED : LANES_THROTTLED,
                     w.now_ns);
        return;
    }
    verdict = lanes_stored(w.lanes, p, &number);
    ck_assert_msg(verdict != LANES_BREACH, "the number did not rise");
    ck_assert(verdict == LANES_DONE || w.mode.ordering == ORDERING_FINAL);
    for (uint32_t k = 0; verdict == LANES_DONE && k < p->n; k++, u = u->next_same_key) {
        sent_of(u)->is_acked = true;
        window_acknowledge(w.window, u);
    }
}

static void
answer(struct flight *f)
{
    size_t start;

    lanes_answer(w.lanes);
    for (size_t end = f->batch.n; end > 0; end = start) {
        start = end - 1;
        while (start > 0 &&
               f->batch.parcels[start - 1].first->key == f->batch.parcels[start].first->key)
            start--;
        for (size_t i = start; i < end; i++)
            take_answer(f, i);
    }
    f->is_used = false;
}

/* ---- what must hold ---- */

static void
check_release(uint32_t channel)
{
    uint64_t position;

    if (!window_advance(w.window, channel, &position))
        return;
    ck_assert_uint_gt(position, w.released[channel]);
    /* I9: nothing that is not acknowledged lies before the release position. */
    for (uint64_t at = w.released[channel] / 2; at * 2 + 1 <= position && at < RECORDS; at++)
        ck_assert_msg(w.sent[channel][at].is_acked, "channel %u: %llu released, not acknowledged",
                      channel, (unsigned long long)at);
    w.released[channel] = position;
}

/* The checkpoint never covers what is not acknowledged. */
static void
check_watermark(void)
{
    struct passed_watermark passed;

    if (!window_passed(w.window, &passed))
        return;
    for (uint32_t c = 0; c < CHANNELS; c++) {
        for (uint32_t i = 0; i < w.taken[c]; i++) {
            struct position p;

            position_of(c, i, &p);
            ck_assert(position_compare(&p, &passed.position) > 0 || w.sent[c][i].is_acked);
        }
    }
}

static bool
is_finished(void)
{
    for (uint32_t c = 0; c < CHANNELS; c++) {
        if (w.taken[c] < RECORDS)
            return false;
    }
    return window_unacked(w.window) == 0;
}

static void
run(uint64_t seed, const struct mode *mode)
{
    struct passed_watermark passed;
    uint64_t steps = 0;

    world_open_mode(seed, mode);
    records_make();
    while (!is_finished()) {
        ck_assert_msg(++steps < 3000000, "no progress: %u unacknowledged",
                      window_unacked(w.window));
        w.now_ns += (int64_t)roll(2 * NS_PER_MS);
        take_one((uint32_t)roll(CHANNELS));
        if (roll(3) == 0)
            send();
        if (roll(3) == 0) {
            struct flight *f = &w.flights[roll(FLIGHTS)];

            if (f->is_used)
                answer(f);
        }
        if (roll(5) == 0)
            check_release((uint32_t)roll(CHANNELS));
        if (roll(500) == 0)
            check_watermark();
        if (roll(2000) == 0)
            shards_make(1 + roll(9));
        /* All lanes pause: time passes. */
        if (lanes_in_flight(w.lanes) == 0 && lanes_next_resume(w.lanes) != INT64_MAX)
            w.now_ns = lanes_next_resume(w.lanes);
    }
    for (uint32_t c = 0; c < CHANNELS; c++) {
        check_release(c);
        ck_assert_uint_eq(w.released[c], 2 * RECORDS);
        for (uint32_t i = 0; i < RECORDS; i++)
            ck_assert_uint_ge(w.sent[c][i].stored, 1);
    }
    /* Whatever came twice: the newest record of each key is its last one. */
    for (uint32_t k = 0; k < KEYS; k++)
        ck_assert_uint_eq(w.last_of_key[k], w.made_of_key[k]);
    ck_assert(window_passed(w.window, &passed));
    ck_assert_uint_gt(w.repeats, 0);
    ck_assert_uint_eq(lanes_in_flight(w.lanes), 0);
    world_close();
}

START_TEST(order_and_completeness_under_everything)
{
    run((uint64_t)_i + 1, &modes[(size_t)_i % (sizeof(modes) / sizeof(modes[0]))]);
}
END_TEST

/* ---- single rules ---- */

static struct unit *
add(uint32_t channel, const char *key, uint32_t data_size, uint64_t end)
{
    static uint8_t room[64][4096];
    static unsigned next;
    uint8_t *bytes = room[next++ % 64];
    struct record_head h = {.data_size = data_size, .key_size = (uint32_t)strlen(key)};
    struct ring_view v = {.data = bytes, .type = RING_DATA, .end = end};
    struct err e = ERR_INIT;
    struct unit *u = NULL;

    ck_assert_int_eq(1, EVP_Digest(key, h.key_size, h.hash, NULL, EVP_md5(), NULL));
    memcpy(bytes, &h, sizeof(h));
    memcpy(bytes + sizeof(h), key, h.key_size);
    v.len = (uint32_t)sizeof(h) + h.key_size + h.data_size;
    ck_assert_int_eq(1, window_take(w.window, channel, &v, &u, &e));
    lanes_add(w.lanes, u);
    return u;
}

START_TEST(a_key_waits_for_its_head)
{
    struct sequence one = {{0, 0, 1}};
    struct batch b;
    struct unit *first;
    struct unit *second;

    world_open(1);
    first = add(0, "a", 10, 1);
    second = add(0, "a", 10, 2);
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_ptr_eq(b.parcels[0].first, first);
    ck_assert_uint_eq(0, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_int_eq(LANES_DONE, lanes_stored(w.lanes, &b.parcels[0], &one));
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_ptr_eq(b.parcels[0].first, second);
    /* A number that does not rise is told, also when the key was idle in between. */
    ck_assert_int_eq(LANES_BREACH, lanes_stored(w.lanes, &b.parcels[0], &one));
    (void)add(0, "a", 10, 3);
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_int_eq(LANES_BREACH, lanes_stored(w.lanes, &b.parcels[0], &one));
    world_close();
}
END_TEST

START_TEST(a_failed_record_goes_first_again)
{
    struct batch b;
    struct unit *a;
    struct unit *late;

    world_open(1);
    shards_make(1);
    a = add(0, "a", 10, 1);
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    late = add(0, "b", 10, 2);
    lanes_answer(w.lanes);
    a->is_ambiguous = true;
    lanes_failed(w.lanes, &b.parcels[0], LANES_RETURNED, w.now_ns);
    ck_assert_uint_eq(2, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_ptr_eq(b.parcels[0].first, a);
    ck_assert_ptr_eq(b.parcels[1].first, late);
    ck_assert(b.is_fresh);
    ck_assert_uint_eq(a->tries, 2);
    world_close();
}
END_TEST

START_TEST(requests_end_at_their_byte_target)
{
    struct batch b;
    char key[16];

    world_open(1); /* target 4,000 bytes */
    for (int i = 0; i < 6; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        (void)add(0, key, 1200, (uint64_t)i + 1);
    }
    ck_assert_uint_eq(3, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_uint_eq(b.bytes, 3 * 1202);
    ck_assert_uint_eq(2, lanes_take(w.lanes, w.now_ns, 2, &b));
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    world_close();
}
END_TEST

START_TEST(one_record_larger_than_the_target_goes_alone)
{
    struct batch b;

    world_open(1);
    (void)add(0, "small", 10, 1);
    (void)add(0, "big", 3990, 2);
    (void)add(0, "big two", 3998, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_uint_eq(0, lanes_take(w.lanes, w.now_ns, 500, &b));
    world_close();
}
END_TEST

/* The shard of a key, by trying: the property that counts is that others are not delayed. */
START_TEST(a_throttled_lane_pauses_alone)
{
    struct batch b;
    struct unit *units[32];
    struct unit *hit;
    size_t lane;
    size_t others = 0;
    char key[16];

    world_open(3);
    for (int i = 0; i < 32; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        units[i] = add(0, key, 10, (uint64_t)i + 1);
    }
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 1, &b));
    hit = b.parcels[0].first;
    lane = lanes_shard_of(w.lanes, &b.parcels[0]);
    for (int i = 0; i < 32; i++)
        others += lanes_shard_of(w.lanes, &(struct parcel){.first = units[i]}) != lane;
    lanes_answer(w.lanes);
    lanes_failed(w.lanes, &b.parcels[0], LANES_THROTTLED, w.now_ns);
    ck_assert_uint_eq(lanes_sendable(w.lanes, w.now_ns), others);
    ck_assert_uint_eq(others, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_int_gt(lanes_next_resume(w.lanes), w.now_ns);
    ck_assert_int_le(lanes_next_resume(w.lanes), w.now_ns + 200 * NS_PER_MS);
    w.now_ns = lanes_next_resume(w.lanes);
    ck_assert_uint_gt(lanes_take(w.lanes, w.now_ns, 500, &b), 0);
    ck_assert_ptr_eq(b.parcels[0].first, hit);
    ck_assert_int_eq(lanes_next_resume(w.lanes) == INT64_MAX, 1);
    world_close();
}
END_TEST

START_TEST(lanes_take_turns)
{
    struct batch b;
    size_t seen[4] = {0};
    char key[16];

    world_open(1);
    for (int i = 0; i < 48; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        (void)add(0, key, 10, (uint64_t)i + 1);
    }
    ck_assert_uint_eq(4, lanes_take(w.lanes, w.now_ns, 4, &b));
    for (size_t i = 0; i < 4; i++)
        seen[lanes_shard_of(w.lanes, &b.parcels[i])]++;
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(seen[i], 1);
    world_close();
}
END_TEST

START_TEST(rows_of_one_key_go_together_when_asked)
{
    struct batch b;

    world_open_mode(1, &modes[3]);
    records_make();
    for (uint32_t i = 0; i < 3; i++)
        take_one(0); /* of 13 rows of partition key 0 */
    ck_assert_uint_ge(lanes_take(w.lanes, w.now_ns, 500, &b), 2);
    world_close();
}
END_TEST

/* ---- every pattern of failures ---- */

/* Sends what is ready; record i of the batch is stored when bit i of mask says so. */
static void
answer_by(const struct batch *b, uint32_t mask, uint64_t *number)
{
    size_t start;

    lanes_answer(w.lanes);
    for (size_t end = b->n; end > 0; end = start) {
        start = end - 1;
        while (start > 0 && b->parcels[start - 1].first->key == b->parcels[start].first->key)
            start--;
        for (size_t i = start; i < end; i++) {
            struct sequence n = {{0, 0, ++*number}};

            if ((mask >> i & 1) == 0)
                lanes_failed(w.lanes, &b->parcels[i], LANES_FAILED, w.now_ns);
            else if (lanes_stored(w.lanes, &b->parcels[i], &n) == LANES_DONE)
                window_acknowledge(w.window, b->parcels[i].first);
        }
    }
}

/*
 * n records of two keys in turn, ordering `final` (all go in one request) or `key` (two do): after
 * every pattern, exactly what is not done goes again, in its order, and all is done in the end.
 */
static void
one_pattern(const struct mode *mode, uint32_t n, uint32_t mask)
{
    struct unit *units[10] = {NULL};
    struct batch b;
    uint64_t number = 0;
    uint64_t release = 0;

    world_open_mode(1, mode);
    shards_make(1);
    for (uint32_t i = 0; i < n; i++)
        units[i] = add(0, i % 2 == 0 ? "a" : "b", 10, i + 1);
    for (int turns = 0; window_unacked(w.window) > 0; turns++) {
        uint32_t due[2] = {0, 1}; /* per key, the first that is not acknowledged */

        ck_assert_int_lt(turns, 20);
        while (lanes_take(w.lanes, w.now_ns, 500, &b) == 0)
            w.now_ns = lanes_next_resume(w.lanes);
        for (uint32_t k = 0; k < 2; k++)
            while (due[k] < n && units[due[k]]->is_acked)
                due[k] += 2;
        for (size_t i = 0; i < b.n; i++) {
            uint32_t k = ((const char *)b.parcels[i].first->key_text)[0] == 'b';

            ck_assert_uint_lt(due[k], n);
            ck_assert_ptr_eq(b.parcels[i].first, units[due[k]]);
            due[k] += 2;
        }
        answer_by(&b, turns == 0 ? mask : UINT32_MAX, &number);
    }
    ck_assert(window_advance(w.window, 0, &release));
    ck_assert_uint_eq(release, n);
    world_close();
}

START_TEST(every_pattern_of_failures)
{
    for (uint32_t n = 1; n <= 10; n++)
        for (uint32_t mask = 0; mask < 1U << n; mask++)
            one_pattern(&modes[_i == 0 ? 0 : 4], n, mask);
}
END_TEST

/* r1 is stored, r2 is not, r3 is: r2 and r3 go again, and only r1 is done. */
START_TEST(final_ordering_sends_the_tail_again)
{
    struct sequence number = {{0, 0, 0}};
    struct unit *u[3];
    struct batch b;

    world_open_mode(1, &modes[4]);
    for (uint64_t i = 0; i < 3; i++)
        u[i] = add(0, "a", 10, i + 1);
    ck_assert_uint_eq(3, lanes_take(w.lanes, w.now_ns, 500, &b));
    lanes_answer(w.lanes);
    number.word[2] = 1;
    ck_assert_int_eq(LANES_DONE, lanes_stored(w.lanes, &b.parcels[0], &number));
    lanes_failed(w.lanes, &b.parcels[1], LANES_RETURNED, w.now_ns);
    number.word[2] = 2;
    ck_assert_uint_eq(0, lanes_sendable(w.lanes, w.now_ns)); /* not before all came back */
    ck_assert_int_eq(LANES_REPEATS, lanes_stored(w.lanes, &b.parcels[2], &number));
    ck_assert_uint_eq(2, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_ptr_eq(b.parcels[0].first, u[1]);
    ck_assert_ptr_eq(b.parcels[1].first, u[2]);
    world_close();
}
END_TEST

/* Others are waiting: a hot key gets its share of the request, not all of it. */
START_TEST(final_ordering_leaves_room_for_others)
{
    struct batch b;
    size_t hot = 0;

    world_open_mode(1, &modes[4]);
    shards_make(1);
    for (uint64_t i = 0; i < 20; i++)
        (void)add(0, "hot", 10, i + 1);
    (void)add(0, "cold", 10, 21);
    ck_assert_uint_eq(6, lanes_take(w.lanes, w.now_ns, 10, &b));
    for (size_t i = 0; i < b.n; i++)
        hot += b.parcels[i].first->key_size == 3;
    ck_assert_uint_eq(hot, 5);
    world_close();
}
END_TEST

START_TEST(packs_end_at_their_limits)
{
    struct batch b;

    world_open_mode(1, &modes[1]);
    for (uint64_t i = 0; i < 10; i++)
        (void)add(0, "a", 199, i + 1); /* 200 bytes with its newline; 700 take three and the key */
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_uint_eq(b.parcels[0].n, 3);
    ck_assert_uint_eq(b.parcels[0].bytes, 601);
    lanes_failed(w.lanes, &b.parcels[0], LANES_RETURNED, w.now_ns);
    lanes_set_pack_limit(w.lanes, 700, 2);
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_uint_eq(b.parcels[0].n, 2);
    lanes_failed(w.lanes, &b.parcels[0], LANES_RETURNED, w.now_ns);
    lanes_set_pack_limit(w.lanes, 100, 1000); /* smaller than one: it goes alone */
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_uint_eq(b.parcels[0].n, 1);
    world_close();
}
END_TEST

START_TEST(a_dropped_unit_lets_its_followers_go)
{
    struct unit *u[2];
    struct batch b;

    world_open(1);
    u[0] = add(0, "a", 10, 1);
    u[1] = add(0, "a", 10, 2);
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    lanes_failed(w.lanes, &b.parcels[0], LANES_RETURNED, w.now_ns);
    lanes_drop(w.lanes, u[0]);
    ck_assert_uint_eq(1, lanes_take(w.lanes, w.now_ns, 500, &b));
    ck_assert_ptr_eq(b.parcels[0].first, u[1]);
    lanes_failed(w.lanes, &b.parcels[0], LANES_RETURNED, w.now_ns);
    lanes_drop(w.lanes, u[1]);
    ck_assert_uint_eq(0, lanes_sendable(w.lanes, w.now_ns));
    ck_assert_uint_eq(0, lanes_take(w.lanes, w.now_ns, 500, &b));
    world_close();
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
    struct watermark m = {.kind = WATERMARK, .format = RECORD_FORMAT, .generation = 8};
    uint8_t bytes[128] = {0};
    struct record_head h = {.key_size = 3, .data_size = 10};
    struct ring_view v = {.data = bytes, .type = RING_DATA, .len = 20, .end = 1};
    struct unit *u;
    struct err e = ERR_INIT;

    world_open(1);
    ck_assert_int_eq(-1, window_take(w.window, 0, &v, &u, &e));
    ck_assert_int_eq(e.code, ERR_CORRUPT);
    memcpy(bytes, &h, sizeof(h));
    for (v.len = sizeof(h); v.len < sizeof(h) + 20; v.len++) {
        if (v.len != sizeof(h) + 13)
            ck_assert_int_eq(-1, window_take(w.window, 0, &v, &u, &e));
    }
    h.key_size = 0;
    memcpy(bytes, &h, sizeof(h));
    v.len = sizeof(h) + 10;
    ck_assert_int_eq(-1, window_take(w.window, 0, &v, &u, &e));
    v = (struct ring_view){.data = &m, .type = RING_CONTROL, .len = sizeof(m), .end = 1};
    ck_assert_int_eq(-1, window_take(w.window, 0, &v, &u, &e)); /* another generation */
    m.generation = 7;
    v.len--;
    ck_assert_int_eq(-1, window_take(w.window, 0, &v, &u, &e));
    v.type = 9;
    ck_assert_int_eq(-1, window_take(w.window, 0, &v, &u, &e));
    ck_assert_int_eq(e.code, ERR_CORRUPT);
    world_close();
}
END_TEST

START_TEST(assembled_messages_are_copied_and_bounded)
{
    struct window_config wc = {8, 1, 300, 7};
    struct record_head h = {.key_size = 1, .data_size = 119};
    uint8_t bytes[200] = {0};
    struct ring_view v = {.data = bytes, .type = RING_DATA, .flags = RING_ASSEMBLED, .len = 200};
    struct unit *u[2];
    struct unit *none;
    uint64_t release;
    struct err e = ERR_INIT;

    world_open(1);
    window_close(&w.window);
    ck_assert_int_eq(0, window_open(&wc, &w.window, &e));
    memcpy(bytes, &h, sizeof(h));
    v.end = 1;
    ck_assert_int_eq(1, window_take(w.window, 0, &v, &u[0], &e));
    ck_assert_ptr_ne(u[0]->head, bytes);
    memset(bytes + sizeof(h), 'x', 100); /* the ring's room is used again */
    ck_assert_int_eq(((const uint8_t *)u[0]->data)[0], 0);
    v.end = 2;
    ck_assert_int_eq(WINDOW_FULL, window_take(w.window, 0, &v, &none, &e));
    window_acknowledge(w.window, u[0]);
    ck_assert(window_advance(w.window, 0, &release));
    ck_assert_uint_eq(release, 1);
    ck_assert_int_eq(1, window_take(w.window, 0, &v, &u[1], &e));
    world_close();
}
END_TEST

START_TEST(watermarks_never_go_back)
{
    struct watermark m = {.kind = WATERMARK, .format = RECORD_FORMAT, .generation = 7};
    struct ring_view v = {.data = &m, .type = RING_CONTROL, .len = sizeof(m)};
    struct passed_watermark passed;
    struct unit *u;
    struct err e = ERR_INIT;

    world_open(1);
    for (uint32_t c = 0; c < CHANNELS; c++) {
        ck_assert(!window_passed(w.window, &passed));
        m.position.b[0] = (uint8_t)(5 + c);
        v.end = 1;
        ck_assert_int_eq(0, window_take(w.window, c, &v, &u, &e));
    }
    ck_assert(window_passed(w.window, &passed));
    ck_assert_uint_eq(passed.position.b[0], 5);
    m.position.b[0] = 3;
    v.end = 2;
    ck_assert_int_eq(0, window_take(w.window, 0, &v, &u, &e));
    ck_assert(window_passed(w.window, &passed));
    ck_assert_uint_eq(passed.position.b[0], 5);
    world_close();
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("shipper order");
    TCase *t = tcase_create("order");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, order_and_completeness_under_everything, 0, 18);
    tcase_add_test(t, a_key_waits_for_its_head);
    tcase_add_test(t, a_failed_record_goes_first_again);
    tcase_add_test(t, requests_end_at_their_byte_target);
    tcase_add_test(t, one_record_larger_than_the_target_goes_alone);
    tcase_add_test(t, a_throttled_lane_pauses_alone);
    tcase_add_test(t, lanes_take_turns);
    tcase_add_test(t, rows_of_one_key_go_together_when_asked);
    tcase_add_loop_test(t, every_pattern_of_failures, 0, 2);
    tcase_add_test(t, final_ordering_sends_the_tail_again);
    tcase_add_test(t, final_ordering_leaves_room_for_others);
    tcase_add_test(t, packs_end_at_their_limits);
    tcase_add_test(t, a_dropped_unit_lets_its_followers_go);
    tcase_add_test(t, what_makes_no_sense_is_refused);
    tcase_add_test(t, assembled_messages_are_copied_and_bounded);
    tcase_add_test(t, watermarks_never_go_back);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
