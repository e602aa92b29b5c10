/* Requests out, answers in. */
#include "shipper/shipper.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/task.h"
#include "shipper/kinesis/sequence.h"
#include "shipper/letters.h"

#include <sys/random.h>

#define TARGET_BYTES   (1U << 20)
#define LINGER_NS      (5 * NS_PER_MS)
#define PACK_UNITS_MAX 10000U /* changes in one record: what a consumer unpacks in one go */

int
delivery_open(struct shipper *s, struct err *e)
{
    const struct weir_settings *w = &s->stage->task->weir;
    struct lanes_config config = {.keys = w->window_records,
                                  .target_bytes = TARGET_BYTES,
                                  .ordering = w->ordering,
                                  .packing = w->packing};

    s->n_batches = w->requests_in_flight;
    s->batch_limit = TARGET_MAX_RECORDS;
    s->pack_units = PACK_UNITS_MAX;
    s->batches = calloc(s->n_batches, sizeof(*s->batches));
    s->idle = calloc(s->n_batches, sizeof(struct batch *));
    if (s->batches == NULL || s->idle == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %u requests in flight", s->n_batches);
    for (uint32_t i = 0; i < s->n_batches; i++)
        s->idle[s->n_idle++] = &s->batches[i];
    if (getrandom(&config.seed, sizeof(config.seed), GRND_NONBLOCK) != sizeof(config.seed))
        config.seed = (uint64_t)clock_mono_ns();
    return lanes_open(&config, &s->lanes, e);
}

void
delivery_close(struct shipper *s)
{
    lanes_close(&s->lanes);
    free(s->batches);
    free(s->idle);
    free(s->pack_room);
    s->pack_room = NULL;
    s->batches = NULL;
    s->idle = NULL;
}

uint32_t
delivery_in_flight(const struct shipper *s)
{
    return s->n_batches - s->n_idle;
}

/* ---- failures of whole requests ---- */

struct pace {
    int64_t base_ns;
    int64_t cap_ns;
};

static struct pace
pace_of(enum err_code code)
{
    if (code == ERR_THROTTLED)
        return (struct pace){500 * NS_PER_MS, 20 * NS_PER_S};
    if (code == ERR_CREDENTIALS)
        return (struct pace){200 * NS_PER_MS, 30 * NS_PER_S};
    return (struct pace){50 * NS_PER_MS, 20 * NS_PER_S};
}

/* Stops all sending for a random time; requests that fail during a hold do not prolong it. */
static void
hold(struct shipper *s, enum err_code code, uint32_t retry_after_ms, int64_t now_ns)
{
    struct pace pace = pace_of(code);
    struct stage_backoff b = {.base_ms = (uint32_t)(pace.base_ns / NS_PER_MS),
                              .cap_ms = (uint32_t)(pace.cap_ns / NS_PER_MS),
                              .tries = s->failures};
    int64_t wait_ms;

    if (s->failures > 0 && now_ns < s->hold_until_ns)
        return;
    s->failures++;
    wait_ms = stage_backoff_next(&b);
    if (wait_ms < retry_after_ms)
        wait_ms = retry_after_ms < wait_ms + 5000 ? retry_after_ms : wait_ms + 5000;
    s->hold_until_ns = now_ns + wait_ms * NS_PER_MS;
}

/* Puts a batch's parcels back to the heads of their keys, in their order. */
static void
give_back(struct shipper *s, struct batch *b, bool is_ambiguous, int64_t now_ns)
{
    lanes_answer(s->lanes);
    for (size_t i = b->n; i-- > 0;) {
        b->parcels[i].first->is_ambiguous = is_ambiguous;
        lanes_failed(s->lanes, &b->parcels[i], LANES_RETURNED, now_ns);
    }
    s->idle[s->n_idle++] = b;
}

void
delivery_limit_packs(struct shipper *s)
{
    uint64_t bytes = s->stage->task->weir.pack_size;

    if (s->target_state.max_record_bytes < bytes)
        bytes = s->target_state.max_record_bytes;
    lanes_set_pack_limit(s->lanes, (uint32_t)bytes, s->pack_units);
}

int
delivery_refuse(struct shipper *s, struct unit *u, const struct err *why, struct err *e)
{
    const struct task *task = s->stage->task;
    const struct letter letter = {.unit = u,
                                  .table = tables_name(s->tables, u->table_id),
                                  .reason = why->text,
                                  .real_ns = clock_real_ns()};

    if (task->weir.refused_record == REFUSED_STOP) {
        *e = *why;
        return -1;
    }
    if (letters_write(task, s->stage->index, &letter, e) != 0) {
        err_hint(e, "a record that Kinesis will not take cannot be put aside; nothing is passed "
                    "over without trace");
        return -1;
    }
    CRASH_POINT("shipper-letter-synced");
    stats_add(s->stage->stats, STAT_DEAD_LETTERS, 1);
    shipper_alarm(s, "dead-letter", why);
    window_acknowledge(s->window, u);
    return 0;
}

static int
refuse_record(struct shipper *s, struct unit *u, const struct err *why, struct err *e)
{
    struct err reason = ERR_INIT;
    char position[POSITION_TEXT_SIZE];

    (void)position_text(&u->head->position, position);
    stats_add(s->stage->stats, STAT_TOO_LARGE, 1);
    err_set(&reason, ERR_DATA, "%s: the record of %u bytes (key %u, data %u) at %s is refused: %s",
            tables_name(s->tables, u->table_id), u->key_size + u->data_size, u->key_size,
            u->data_size, position, why->text);
    err_hint(&reason, "raise the stream's limit or change the table's mapping, then start the "
                      "shipper again; or set Weir.RefusedRecordPolicy to dead-letter");
    return delivery_refuse(s, u, &reason, e);
}

/* One record of many spoils the request: halve until it stands alone, first the request, then
   the pack. */
static int
search_refused(struct shipper *s, const struct batch *b, const struct err *why, struct err *e)
{
    struct unit *u = b->parcels[0].first;

    if (b->n > 1) {
        s->batch_limit = b->n / 2;
        return 0;
    }
    if (b->parcels[0].n > 1) {
        s->pack_units = b->parcels[0].n / 2;
        delivery_limit_packs(s);
        return 0;
    }
    if (s->stage->task->weir.refused_record == REFUSED_DEAD_LETTER)
        lanes_drop(s->lanes, u);
    return refuse_record(s, u, why, e);
}

/* A request that failed as a whole. */
static int
take_failure(struct shipper *s, const struct target_answer *a, int64_t now_ns, struct err *e)
{
    struct batch *b = a->tag;

    stats_add(s->stage->stats, STAT_FAILED_REQUESTS, 1);
    if (a->error.code == ERR_TIMEOUT)
        stats_add(s->stage->stats, STAT_TIMEOUTS, 1);
    if (a->error.sys == 0)
        stats_add(s->stage->stats, STAT_RECONNECTS, 1);
    shipper_alarm(s, "request-failed", &a->error);
    give_back(s, b, a->is_ambiguous, now_ns);
    if (a->is_refused)
        return search_refused(s, b, &a->error, e);
    if (a->error.code == ERR_STREAM)
        stream_suspect(s, true, now_ns);
    hold(s, a->error.code, a->retry_after_ms, now_ns);
    return 0;
}

/* ---- answers ---- */

static void
check_shard(struct shipper *s, const struct parcel *p, const struct target_result *r,
            int64_t now_ns)
{
    const char *expected = s->map.shards[lanes_shard_of(s->lanes, p)].id;

    if (r->shard_id_size == 0 || (strlen(expected) == r->shard_id_size &&
                                  memcmp(expected, r->shard_id, r->shard_id_size) == 0))
        return;
    stream_suspect(s, false, now_ns);
}

static void
tell_breach(struct shipper *s, const struct unit *u, const struct target_result *r)
{
    char position[POSITION_TEXT_SIZE];

    stats_add(s->stage->stats, STAT_ORDER_BREACHES, 1);
    (void)position_text(&u->head->position, position);
    log_error("order-breach",
              "table=%s position=%s sequence=%.*s text=\"not above the number of the record "
              "before it of the same partition key\"",
              tables_name(s->tables, u->table_id), position, (int)r->text_size, r->text);
}

static void
take_stored(struct shipper *s, const struct parcel *p, const struct target_result *r,
            int64_t now_ns, int64_t now_real_ns)
{
    struct unit *u = p->first;
    enum lanes_verdict verdict;
    struct sequence number;

    check_shard(s, p, r, now_ns);
    (void)sequence_parse(r->text, r->text_size, &number);
    verdict = lanes_stored(s->lanes, p, &number);
    if (verdict == LANES_REPEATS)
        return;
    if (verdict == LANES_BREACH)
        tell_breach(s, u, r);
    for (uint32_t i = 0; i < p->n; i++, u = u->next_same_key) {
        tables_count(s->tables, u, now_real_ns, now_ns);
        window_acknowledge(s->window, u);
    }
}

static void
take_failed(struct shipper *s, const struct parcel *p, const struct target_result *r,
            int64_t now_ns)
{
    const char *shard = s->map.shards[lanes_shard_of(s->lanes, p)].id;

    p->first->is_ambiguous = r->outcome != TARGET_THROTTLED;
    if (r->outcome == TARGET_THROTTLED) {
        stats_add(s->stage->stats, STAT_THROTTLED, 1);
        log_warn("throttled", "shard=%s text=\"over the shard's limits; it gets a pause\"", shard);
        lanes_failed(s->lanes, p, LANES_THROTTLED, now_ns);
        return;
    }
    log_warn("record-failed", "shard=%s code=%.*s", shard, (int)r->text_size, r->text);
    lanes_failed(s->lanes, p, LANES_FAILED, now_ns);
}

/* Requests, and packs, that were made small to find a refused record grow again. */
static void
grow_limits(struct shipper *s)
{
    if (s->batch_limit < TARGET_MAX_RECORDS)
        s->batch_limit =
            s->batch_limit * 2 < TARGET_MAX_RECORDS ? s->batch_limit * 2 : TARGET_MAX_RECORDS;
    if (s->pack_units < PACK_UNITS_MAX) {
        s->pack_units = s->pack_units * 2 < PACK_UNITS_MAX ? s->pack_units * 2 : PACK_UNITS_MAX;
        delivery_limit_packs(s);
    }
}

/* Where the parcels begin that are of the same key as the one before `end`. */
static size_t
run_start(const struct batch *b, size_t end)
{
    const struct key *key = b->parcels[end - 1].first->key;
    size_t start = end - 1;

    while (start > 0 && b->parcels[start - 1].first->key == key)
        start--;
    return start;
}

/* An answer with an outcome for each record: key by key from the last to the first, so that what
   failed is queued again in its order; the records of one key from the first to the last. */
static void
take_results(struct shipper *s, const struct target_answer *a, int64_t now_ns)
{
    struct batch *b = a->tag;
    int64_t now_real_ns = clock_real_ns();
    size_t start;

    stats_hist(s->stage->stats, HIST_REQUEST, (uint64_t)a->elapsed_ns);
    if (s->failures > 0)
        log_info("requests-succeed-again", "failures=%u", s->failures);
    s->failures = 0;
    s->hold_until_ns = 0;
    grow_limits(s);
    lanes_answer(s->lanes);
    for (size_t end = b->n; end > 0; end = start) {
        start = run_start(b, end);
        for (size_t i = start; i < end; i++) {
            if (a->results[i].outcome == TARGET_STORED)
                take_stored(s, &b->parcels[i], &a->results[i], now_ns, now_real_ns);
            else
                take_failed(s, &b->parcels[i], &a->results[i], now_ns);
        }
    }
    s->idle[s->n_idle++] = b;
}

int
delivery_answers(struct shipper *s, struct err *e)
{
    const struct target_answer *a;
    int rc = 0;

    while (rc == 0 && (a = s->target->ops->put_next(s->target)) != NULL) {
        int64_t now_ns = clock_mono_ns();

        s->saturated_until_ns = 0;
        CRASH_POINT("shipper-answer-before");
        if (a->is_answered)
            take_results(s, a, now_ns);
        else
            rc = take_failure(s, a, now_ns, e);
        CRASH_POINT("shipper-answer-after");
    }
    stats_set(s->stage->stats, STAT_IN_FLIGHT, delivery_in_flight(s));
    return rc;
}

/* ---- requests ---- */

static void
count_sent(struct shipper *s, const struct batch *b)
{
    uint64_t again = 0;

    for (size_t i = 0; i < b->n; i++)
        again += b->parcels[i].first->tries > 1;
    stats_add(s->stage->stats, STAT_REQUESTS, 1);
    stats_add(s->stage->stats, STAT_REQUEST_BYTES, b->bytes);
    stats_add(s->stage->stats, STAT_RETRIES, again);
}

/* Room for the batch's packed records, kept for the next one. */
static int
make_pack_room(struct shipper *s, size_t size, struct err *e)
{
    void *grown;

    if (size <= s->pack_room_size)
        return 0;
    grown = realloc(s->pack_room, size);
    if (grown == NULL)
        return err_set(e, ERR_NOMEM, "packed records of %zu bytes", size);
    s->pack_room = grown;
    s->pack_room_size = size;
    return 0;
}

static int
make_entries(struct shipper *s, const struct batch *b, struct target_entry *entries, struct err *e)
{
    enum packing packing = s->stage->task->weir.packing;
    size_t packed = 0;
    char *at;

    for (size_t i = 0; i < b->n; i++)
        packed += pack_is_plain(packing, &b->parcels[i]) ? 0 : b->parcels[i].data_size;
    if (make_pack_room(s, packed, e) != 0)
        return -1;
    at = s->pack_room;
    for (size_t i = 0; i < b->n; i++) {
        const struct parcel *p = &b->parcels[i];
        const struct unit *u = p->first;
        const void *data = u->data;

        if (!pack_is_plain(packing, p)) {
            pack_write(packing, p, at);
            data = at;
            at += p->data_size;
        }
        entries[i] = (struct target_entry){data, u->key_text, p->data_size, u->key_size};
    }
    return 0;
}

/* False when it could not be started. */
static bool
start_request(struct shipper *s, struct batch *b, int64_t now_ns)
{
    struct target_entry entries[TARGET_MAX_RECORDS];
    struct err problem = ERR_INIT;

    CRASH_POINT("shipper-send-before");
    if (make_entries(s, b, entries, &problem) == 0 &&
        s->target->ops->put_start(s->target, entries, b->n, b->is_fresh, b, &problem) == 0) {
        CRASH_POINT("shipper-send-after");
        count_sent(s, b);
        return true;
    }
    shipper_alarm(s, "request-not-sent", &problem);
    give_back(s, b, b->is_fresh, now_ns);
    hold(s, problem.code, 0, now_ns);
    return false;
}

/* Whether a request is worth sending now, or better waits for company. */
static bool
is_worthwhile(struct shipper *s, int64_t now_ns)
{
    uint32_t sendable = lanes_sendable(s->lanes, now_ns);

    if (sendable == 0 || now_ns < s->saturated_until_ns)
        return false;
    if (sendable >= s->batch_limit || delivery_in_flight(s) == 0)
        return true;
    if (s->linger_until_ns == 0)
        s->linger_until_ns = now_ns + LINGER_NS;
    return now_ns >= s->linger_until_ns;
}

void
delivery_send(struct shipper *s, int64_t now_ns)
{
    while (s->is_open && now_ns >= s->hold_until_ns && s->n_idle > 0 &&
           s->target->ops->put_possible(s->target) && is_worthwhile(s, now_ns)) {
        struct batch *b = s->idle[s->n_idle - 1];

        if (lanes_take(s->lanes, now_ns, s->batch_limit, b) == 0) {
            /* Every lane has as much in flight as it may. */
            s->saturated_until_ns = now_ns + LINGER_NS;
            break;
        }
        s->n_idle--;
        s->linger_until_ns = 0;
        if (!start_request(s, b, now_ns))
            break;
    }
    stats_set(s->stage->stats, STAT_IN_FLIGHT, delivery_in_flight(s));
}

int64_t
delivery_due(struct shipper *s, int64_t now_ns)
{
    uint32_t sendable;

    if (!s->is_open || s->n_idle == 0)
        return INT64_MAX;
    if (now_ns < s->hold_until_ns)
        return s->hold_until_ns;
    sendable = lanes_sendable(s->lanes, now_ns);
    if (sendable == 0)
        return lanes_next_resume(s->lanes);
    if (now_ns < s->saturated_until_ns)
        return s->saturated_until_ns;
    if (sendable >= s->batch_limit || delivery_in_flight(s) == 0)
        return now_ns;
    /* Fewer: they wait for company, from the next delivery_send() on at the latest. */
    return s->linger_until_ns;
}
