/* Records, fragments, wraps and positions: one process at both ends of a ring. */
#include "tests/unit/ring_help.h"

#include "common/crc32c.h"

static struct ring *p;
static struct ring *c;

static void
open_both(uint64_t capacity)
{
    struct ring_config config = help_config(capacity);

    (void)unlink(help_path); /* of a test that failed */
    p = help_producer(&config);
    c = help_consumer(&config);
}

static void
setup_small(void)
{
    open_both(SMALL_RING);
}

static void
teardown(void)
{
    ring_close(&p);
    ring_close(&c);
    (void)unlink(help_path);
}

/* T1 */
START_TEST(every_size_at_every_offset)
{
    for (uint64_t offset = 0; offset < SMALL_RING; offset += RING_ALIGN) {
        for (uint32_t len = 0; len <= ring_max_record(p); len++) {
            struct ring_view v;

            help_jump(p, c, 10 * SMALL_RING + offset);
            help_must(help_write(p, len, len + offset) == 1);
            help_publish(p, len);
            v = help_read(c, len, len + offset);
            help_must(v.flags == 0);
            help_must(v.end - v.start == ring_record_size(len));
            help_read_nothing(c);
        }
    }
}
END_TEST

/* Messages of many fragments at every offset; lengths around each fragment border. */
START_TEST(fragments_at_every_wrap)
{
    uint64_t max = ring_max_message(p);

    for (uint64_t offset = 0; offset < SMALL_RING; offset += RING_ALIGN) {
        for (uint64_t len = ring_max_record(p) + 1; len <= max; len++) {
            struct ring_view v;

            if (len % ring_max_record(p) > 33 && len % 61 != 0 && len != max)
                continue;
            help_jump(p, c, 3 * SMALL_RING + offset);
            help_must(help_write(p, len, len + offset) == 1);
            help_must(ring_pending(p) <= SMALL_RING);
            help_publish(p, len);
            v = help_read(c, len, len + offset);
            help_must(v.flags == RING_ASSEMBLED);
            help_read_nothing(c);
            ring_release(c, v.end);
            help_read_nothing(c);
            help_must(ring_release_pos(p) == ring_tail(p));
        }
    }
}
END_TEST

/* T2: the record ends where the ring ends; the next one begins at offset 0 without a pad. */
START_TEST(exact_fit_to_the_end)
{
    struct ring_view v;

    help_jump(p, c, SMALL_RING - 256);
    ck_assert_int_eq(help_write(p, 256 - 32, 1), 1);
    ck_assert_int_eq(help_write(p, 10, 2), 1);
    help_publish(p, 1);
    v = help_read(c, 256 - 32, 1);
    ck_assert_uint_eq(v.end, SMALL_RING);
    v = help_read(c, 10, 2);
    ck_assert_uint_eq(v.start, SMALL_RING);
}
END_TEST

/* T3: fits neither before the end nor, for now, before the unread bytes at the front. */
START_TEST(wrap_refused_when_front_is_occupied)
{
    struct ring_meta meta = {.type = RING_DATA};
    struct err e = ERR_INIT;
    uint64_t before;
    uint64_t pos;
    void *at;

    /* release = 64, tail = capacity - 64: 64 bytes at the end, 64 at the front are free. */
    help_jump(p, c, 64);
    for (uint64_t i = 0; i < 15; i++)
        ck_assert_int_eq(help_write(p, 512 - 32, i), 1);
    ck_assert_int_eq(help_write(p, 384 - 32, 15), 1);
    help_publish(p, 1);
    ck_assert_uint_eq(ring_tail(p), SMALL_RING - 64);

    before = help_hash(p);
    pos = p->pos;
    ck_assert_int_eq(help_write(p, 96 - 32, 99), 0);
    ck_assert_int_eq(ring_reserve(p, 96 - 32, &at, &e), 0);
    ck_assert_int_eq(help_write(p, 3000, 99), 0);
    ck_assert_uint_eq(help_hash(p), before);
    ck_assert_uint_eq(p->pos, pos);

    for (uint64_t i = 0; i < 15; i++)
        ring_release(c, help_read(c, 512 - 32, i).end);
    ring_flush_release(c);
    ck_assert_int_eq(ring_reserve(p, 96 - 32, &at, &e), 1);
    ck_assert_ptr_eq(at, p->data + sizeof(struct ring_record));
    help_fill(at, 96 - 32, 16);
    meta.src_pos = meta.table_id = 16;
    ring_commit(p, &meta, 96 - 32);
    help_publish(p, 2);
    (void)help_read(c, 384 - 32, 15);
    ck_assert_uint_eq(help_read(c, 96 - 32, 16).start, SMALL_RING);
}
END_TEST

/* The same with room for the record alone at the front, but not for the pad's bytes too. */
START_TEST(pad_counts_as_room)
{
    uint64_t before;

    /* 96 free at the end and 32 at the front: 128 in all, yet no 128 in one piece. */
    help_jump(p, c, 32);
    for (uint64_t i = 0; i < 15; i++)
        ck_assert_int_eq(help_write(p, 512 - 32, i), 1);
    ck_assert_int_eq(help_write(p, 384 - 32, 15), 1);
    help_publish(p, 1);
    before = help_hash(p);
    ck_assert_int_eq(help_write(p, 128 - 32, 16), 0);
    ck_assert_uint_eq(help_hash(p), before);
    ck_assert_int_eq(help_write(p, 96 - 32, 16), 1);
    help_publish(p, 2);
    for (uint64_t i = 0; i < 15; i++)
        (void)help_read(c, 512 - 32, i);
    (void)help_read(c, 384 - 32, 15);
    (void)help_read(c, 96 - 32, 16);
    help_read_nothing(c);
}
END_TEST

/* T4: 32 bytes are left, which hold a pad's header and nothing else. */
START_TEST(smallest_pad)
{
    const struct ring_record *pad;

    help_jump(p, c, SMALL_RING - 32);
    ck_assert_int_eq(help_write(p, 1, 1), 1);
    help_publish(p, 1);
    pad = (const void *)(p->data + SMALL_RING - 32);
    ck_assert_uint_eq(pad->type, RING_PAD);
    ck_assert_uint_eq(pad->len, 0);
    ck_assert_uint_eq(help_read(c, 1, 1).start, SMALL_RING);

    /* Where a header alone fits, a record of nothing needs no pad. */
    help_jump(p, c, SMALL_RING - 32);
    ck_assert_int_eq(help_write(p, 0, 2), 1);
    help_publish(p, 1);
    ck_assert_uint_eq(help_read(c, 0, 2).end, SMALL_RING);
}
END_TEST

static void
go_round_from(uint64_t start)
{
    uint64_t seed = start ^ 0x1234567;
    uint64_t next_read = 0;

    help_jump(p, c, start);
    for (uint64_t i = 0; i < 4000; i++) {
        uint64_t lens[8];
        uint64_t n = help_random(&seed) % 4;

        for (uint64_t k = 0; k < n; k++) {
            lens[k] = help_random(&seed) % 1500;
            help_must(help_write(p, lens[k], next_read + k) == 1);
        }
        help_publish(p, i);
        for (uint64_t k = 0; k < n; k++)
            ring_release(c, help_read(c, lens[k], next_read + k).end);
        help_read_nothing(c);
        next_read += n;
        help_must(ring_release_pos(c) == ring_tail(c));
    }
    ck_assert_uint_gt(ring_tail(p), start + 2 * (uint64_t)SMALL_RING);
}

/* T5 */
START_TEST(positions_beyond_32_and_63_bits)
{
    go_round_from((1ULL << 32) - SMALL_RING + 32);
    go_round_from((1ULL << 32) - 64);
    go_round_from((1ULL << 63) - SMALL_RING + 32);
    go_round_from((1ULL << 63) - 64);
}
END_TEST

/* T6: tail - release == capacity is full, and is not empty. */
START_TEST(full_to_the_last_byte)
{
    for (uint64_t start = 0; start < SMALL_RING; start += 32) {
        struct ring_meta meta = {.type = RING_DATA};
        struct err e = ERR_INIT;
        uint64_t n = 0;
        void *at;

        help_jump(p, c, start);
        while (help_write(p, 0, n) == 1)
            n++;
        help_must(n == SMALL_RING / 32);
        help_publish(p, 1);
        help_must(ring_tail(p) - ring_release_pos(p) == SMALL_RING);
        help_must(ring_reserve(p, 0, &at, &e) == 0);
        for (uint64_t i = 0; i < n; i++)
            ring_release(c, help_read(c, 0, i).end);
        help_read_nothing(c);
        help_must(ring_reserve(p, 0, &at, &e) == 1);
        ring_commit(p, &meta, 0);
    }
}
END_TEST

/* T6: never more than one message in the ring, the largest there is. */
START_TEST(one_message_at_a_time)
{
    uint64_t max = ring_max_message(p);

    for (uint64_t i = 0; i < 1000; i++) {
        ck_assert_int_eq(help_write(p, max, i), 1);
        help_publish(p, i);
        ring_release(c, help_read(c, max, i).end);
        help_read_nothing(c);
    }
}
END_TEST

START_TEST(what_is_too_long_is_refused)
{
    static const uint8_t data[SMALL_RING];
    struct ring_meta meta = {.type = RING_DATA};
    struct err e = ERR_INIT;
    uint64_t before = help_hash(p);
    void *at;

    ck_assert_uint_eq(ring_max_record(p), SMALL_RING / 8 - 32);
    ck_assert_int_eq(ring_reserve(p, ring_max_record(p) + 1, &at, &e), -1);
    ck_assert_int_eq(e.code, ERR_DATA);
    ck_assert_ptr_nonnull(strstr(e.hint, "Weir.ChangeRingSize"));
    ck_assert_int_eq(ring_write(p, &meta, data, ring_max_message(p) + 1, &e), -1);
    ck_assert_int_eq(e.code, ERR_DATA);
    ck_assert_uint_eq(help_hash(p), before);
}
END_TEST

/* A reservation that is given less than it asked for, or nothing. */
START_TEST(commit_less_than_reserved)
{
    struct ring_meta meta = {.type = RING_CONTROL, .flags = RING_TXN_BEGIN | RING_TXN_END};
    struct ring_view v;
    struct err e = ERR_INIT;
    void *at;

    help_jump(p, c, SMALL_RING - 128);
    ck_assert_int_eq(ring_reserve(p, 500, &at, &e), 1); /* abandoned: leaves no trace */
    ck_assert_uint_eq(ring_pending(p), 0);
    ck_assert_int_eq(help_write(p, 30, 6), 1); /* and does not stand in the way */
    help_publish(p, 1);
    (void)help_read(c, 30, 6);
    ck_assert_int_eq(ring_reserve(p, 500, &at, &e), 1);
    help_fill(at, 20, 7);
    ring_commit(p, &meta, 20);
    help_publish(p, 1);
    ck_assert_int_eq(ring_next(c, &v, &e), 1);
    ck_assert_uint_eq(v.type, RING_CONTROL);
    ck_assert_uint_eq(v.flags, RING_TXN_BEGIN | RING_TXN_END);
    ck_assert_uint_eq(v.len, 20);
    ck_assert_uint_eq(v.seq, 2);
    ck_assert_uint_eq(v.start, SMALL_RING);
    ck_assert(help_matches(v.data, 20, 7));
}
END_TEST

START_TEST(nothing_is_seen_before_publish)
{
    ck_assert_int_eq(help_write(p, 100, 1), 1);
    ck_assert_uint_eq(ring_pending(p), ring_record_size(100));
    help_read_nothing(c);
    help_publish(p, 1);
    ck_assert_uint_eq(ring_pending(p), 0);
    (void)help_read(c, 100, 1);
}
END_TEST

START_TEST(batch_is_due_by_records_and_bytes)
{
    ring_close(&p);
    ring_close(&c);
    (void)unlink(help_path);
    open_both(RING_CAPACITY_MIN);
    for (uint64_t i = 0; i < 63; i++)
        ck_assert_int_eq(help_write(p, 8, i), 1);
    ck_assert(!ring_publish_due(p));
    ck_assert_int_eq(help_write(p, 8, 63), 1);
    ck_assert(ring_publish_due(p));
    help_publish(p, 1);
    ck_assert(!ring_publish_due(p));
    ck_assert_int_eq(help_write(p, 16384 - 32, 64), 1);
    ck_assert(ring_publish_due(p));
}
END_TEST

/* The source goes out with the tail, comes back after a restart, and moves without records. */
START_TEST(source_follows_the_tail)
{
    struct ring_config config = help_config(SMALL_RING);
    struct ring_source s;
    uint64_t tail;

    ck_assert(!ring_source(p, &s));
    ck_assert_int_eq(help_write(p, 10, 1), 1);
    help_publish(p, 100);
    ck_assert_int_eq(help_write(p, 10, 2), 1); /* never published: dies with the producer */
    ring_close(&p);

    p = help_producer(&config);
    ck_assert(ring_source(p, &s));
    ck_assert_uint_eq(s.epoch, 5);
    for (uint64_t i = 0; i < 4; i++)
        ck_assert_uint_eq(s.words[i], 100 + i);
    tail = ring_tail(p);
    help_publish(p, 200);
    help_publish(p, 300);
    ck_assert_uint_eq(ring_tail(p), tail);
    ring_close(&p);

    p = help_producer(&config);
    ck_assert(ring_source(p, &s));
    ck_assert_uint_eq(s.words[0], 300);
    ck_assert_int_eq(help_write(p, 10, 3), 1);
    help_publish(p, 400);
    (void)help_read(c, 10, 1);
    ck_assert_uint_eq(help_read(c, 10, 3).seq, 2);
    help_read_nothing(c);
}
END_TEST

/* A publish with an all-zero source counts as published. */
START_TEST(zero_source_is_a_source)
{
    struct ring_source zero = {.epoch = 0};
    struct ring_source s;

    ring_publish(p, &zero);
    ck_assert(ring_source(p, &s));
}
END_TEST

/* Release is held back in steps and let go when the consumer has nothing to do. */
START_TEST(release_is_deferred_and_flushed)
{
    struct ring_view v;

    for (uint64_t i = 0; i < 10; i++)
        ck_assert_int_eq(help_write(p, 100, i), 1);
    help_publish(p, 1);
    v = help_read(c, 100, 0);
    ring_release(c, v.end);
    ck_assert_uint_eq(ring_release_pos(p), 0);
    for (uint64_t i = 1; i < 10; i++)
        v = help_read(c, 100, i);
    ring_release(c, v.end);
    ck_assert_uint_eq(ring_release_pos(p), v.end); /* beyond an eighth */
    ck_assert_int_eq(help_write(p, 10, 10), 1);
    help_publish(p, 2);
    v = help_read(c, 10, 10);
    ring_release(c, v.end);
    ck_assert_uint_ne(ring_release_pos(p), v.end);
    help_read_nothing(c);
    ck_assert_uint_eq(ring_release_pos(p), v.end);

    ck_assert_int_eq(help_write(p, 10, 11), 1);
    help_publish(p, 3);
    v = help_read(c, 10, 11);
    ring_release(c, v.end);
    ring_close(&c);
    ck_assert_uint_eq(ring_release_pos(p), v.end);
}
END_TEST

/* What was read and not released comes again after a restart, from the release position on. */
START_TEST(consumer_resumes_at_release)
{
    struct ring_config config = help_config(SMALL_RING);

    for (uint64_t i = 0; i < 10; i++)
        ck_assert_int_eq(help_write(p, 100, i), 1);
    help_publish(p, 1);
    ring_release(c, help_read(c, 100, 0).end);
    for (uint64_t i = 1; i < 5; i++)
        (void)help_read(c, 100, i);
    ring_close(&c);
    c = help_consumer(&config);
    for (uint64_t i = 1; i < 10; i++)
        ck_assert_uint_eq(help_read(c, 100, i).seq, i + 1);
}
END_TEST

/* Slot counts wrap and stay comparable; 0 stays the mark of a ring never published to. */
START_TEST(slot_count_wraps)
{
    struct ring_config config = help_config(SMALL_RING);
    struct ring_source s;

    p->slot_count = UINT32_MAX - 3;
    ck_assert_int_eq(help_write(p, 0, 0), 1);
    help_publish(p, 0);
    for (uint64_t i = 1; i < 9; i++) {
        help_publish(p, i);
        ring_close(&p);
        p = help_producer(&config);
        ck_assert(ring_source(p, &s));
        ck_assert_uint_eq(s.words[0], i);
    }
}
END_TEST

struct model_message {
    uint64_t len;
    uint64_t seed;
    uint64_t end;
    const uint8_t *at; /* in the ring, NULL when assembled */
    uint32_t crc;
};

#define MODEL_MAX 4096

/*
 * Against a plain queue: random lengths, publishes, reads, releases and restarts.  I1, I2, I3
 * (published bytes do not change until released), I4, I9 (the shared release position never
 * passes what was given back).
 */
static void
run_model(uint64_t seed, uint64_t steps)
{
    static struct model_message q[MODEL_MAX];
    struct ring_config config = help_config(SMALL_RING);
    uint64_t written = 0; /* indexes into the endless sequence of messages */
    uint64_t published = 0;
    uint64_t read = 0;
    uint64_t released = 0;
    uint64_t given_back = 0;

    for (uint64_t step = 0; step < steps; step++) {
        uint64_t dice = help_random(&seed) % 100;

        if (dice < 40 && written - released < MODEL_MAX) {
            uint64_t len = help_random(&seed) % (dice < 4 ? 3968 : 300);

            if (help_write(p, len, written) == 1)
                q[written++ % MODEL_MAX] = (struct model_message){.len = len};
        } else if (dice < 55) {
            help_publish(p, written);
            published = written;
        } else if (dice < 80 && read < published) {
            struct model_message *m = &q[read % MODEL_MAX];
            struct ring_view v = help_read(c, m->len, read);

            m->end = v.end;
            m->at = (v.flags & RING_ASSEMBLED) != 0 ? NULL : v.data;
            m->crc = crc32c(0, v.data, v.len);
            read++;
        } else if (dice < 95 && released < read) {
            uint64_t upto = released + 1 + help_random(&seed) % (read - released);

            for (; released < upto; released++) {
                const struct model_message *m = &q[released % MODEL_MAX];

                help_must(m->at == NULL || crc32c(0, m->at, m->len) == m->crc);
                given_back = m->end;
            }
            ring_release(c, given_back);
        } else if (dice == 95) {
            struct ring_source s;

            ring_close(&p);
            written = published;
            p = help_producer(&config);
            help_must(!ring_source(p, &s) || s.words[0] <= published);
        } else if (dice == 96) {
            ring_close(&c);
            c = help_consumer(&config);
            read = released;
        } else if (dice == 97 && read == published) {
            help_read_nothing(c);
        }
        help_must(ring_release_pos(p) <= given_back);
        help_must(ring_tail(p) - ring_release_pos(p) <= SMALL_RING);
    }
    ck_assert_uint_gt(released, steps / 20);
}

START_TEST(random_against_a_queue)
{
    run_model(0x5eed0000 + (uint64_t)_i, 40000);
}
END_TEST

/* Words of a record that a broken producer may leave: each is refused, none is followed. */
START_TEST(bad_records_are_refused)
{
    static const struct {
        const char *what;
        size_t offset;
        uint32_t value;
        size_t size;
    } cases[] = {
        {"impossible record length", 0, 0xFFFFFFFFU, 4},
        {"impossible record length", 0, 993, 4},
        {"impossible record length", 0, 300, 4}, /* beyond tail */
        {"unknown record type", 4, 0, 2},
        {"unknown record type", 4, 3, 2},
        {"bad pad", 4, 0xFFFF, 2},
        {"unknown record flags", 6, 0x1003, 2},
        {"hole in the sequence", 8, 7, 4},
        {"wrong checksum", 16, 9, 4},
        {"wrong checksum", 24, 77, 4},
        {"wrong checksum", 28, 1, 4},
        {"wrong checksum", 32, 0xdeadbeef, 4},
    };
    struct err e = ERR_INIT;
    struct ring_view v;

    ck_assert_int_eq(help_write(p, 10, 1), 1);
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(help_write(p, 100, i), 1);
    help_publish(p, 1);
    (void)help_read(c, 10, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *record = c->data + c->pos;
        uint8_t saved[64];

        memcpy(saved, record, sizeof(saved));
        memcpy(record + cases[i].offset, &cases[i].value, cases[i].size);
        ck_assert_int_eq(ring_next(c, &v, &e), -1);
        ck_assert_int_eq(e.code, ERR_CORRUPT);
        ck_assert_msg(strstr(e.text, cases[i].what) != NULL, "case %zu: %s", i, e.text);
        ck_assert_int_eq(ring_next(c, &v, &e), -1); /* and it stays refused */
        memcpy(record, saved, sizeof(saved));
    }
    (void)help_read(c, 100, 0);
}
END_TEST

/* Fragments that do not make a message. */
START_TEST(bad_fragments_are_refused)
{
    struct err e = ERR_INIT;
    struct ring_view v;
    struct ring_record *first = (void *)p->data;
    struct ring_record *second = (void *)(p->data + 1024);

    p->checksum = c->checksum = false;
    ck_assert_int_eq(help_write(p, 1500, 1), 1);
    help_publish(p, 1);

    first->flags = 0;
    ck_assert_int_eq(ring_next(c, &v, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "without its first fragment"));
    first->flags = RING_FIRST;
    second->flags = RING_FIRST | RING_LAST;
    ck_assert_int_eq(ring_next(c, &v, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "fragment of another message"));
    second->flags = 0;
    ck_assert_int_eq(ring_next(c, &v, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "without its last fragment"));
    second->flags = RING_LAST;
    second->src_pos = 9;
    ck_assert_int_eq(ring_next(c, &v, &e), -1);
    second->src_pos = 1;
    (void)help_read(c, 1500, 1);
}
END_TEST

/* Positions of a peer gone mad. */
START_TEST(mad_peer_is_refused)
{
    struct err e = ERR_INIT;
    struct ring_view v;
    void *at;

    atomic_store(&p->header->producer.pos, SMALL_RING + 32);
    ck_assert_int_eq(ring_next(c, &v, &e), -1);
    ck_assert_int_eq(e.code, ERR_CORRUPT);

    for (uint64_t i = 0; i < SMALL_RING / 32; i++)
        ck_assert_int_eq(help_write(p, 0, i), 1);
    atomic_store(&p->header->consumer.pos, 2 * SMALL_RING);
    ck_assert_int_eq(ring_reserve(p, 0, &at, &e), -1);
    ck_assert_int_eq(e.code, ERR_CORRUPT);
}
END_TEST

START_TEST(poison_reaches_both_ends)
{
    struct err e = ERR_INIT;
    struct ring_view v;
    void *at;

    for (uint64_t i = 0; i < SMALL_RING / 32; i++)
        ck_assert_int_eq(help_write(p, 0, i), 1);
    help_publish(p, 1);
    ck_assert_int_eq(ring_heartbeat(p, &e), 0);
    ring_poison(c, 42);
    ck_assert_int_eq(ring_heartbeat(p, &e), -1);
    ck_assert_int_eq(e.code, ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.text, "reason 42"));
    ck_assert_int_eq(ring_reserve(p, 0, &at, &e), -1);
    ck_assert_int_eq(e.code, ERR_CORRUPT);
    for (uint64_t i = 0; i < SMALL_RING / 32; i++)
        (void)help_read(c, 0, i);
    ck_assert_int_eq(ring_next(c, &v, &e), -1);
    ck_assert_int_eq(e.code, ERR_CORRUPT);
    ck_assert(ring_wait_data(&c, 1, 10000)); /* at once: there is something to report */
}
END_TEST

static void
abort_is_expected(void)
{
    (void)freopen("/dev/null", "w", stderr);
}

START_TEST(release_backwards_is_a_bug)
{
    struct ring_view v;

    ck_assert_int_eq(help_write(p, 0, 0), 1);
    ck_assert_int_eq(help_write(p, 0, 1), 1);
    help_publish(p, 1);
    v = help_read(c, 0, 0);
    ring_release(c, help_read(c, 0, 1).end);
    abort_is_expected();
    ring_release(c, v.end);
}
END_TEST

START_TEST(release_of_the_unread_is_a_bug)
{
    ck_assert_int_eq(help_write(p, 0, 0), 1);
    help_publish(p, 1);
    abort_is_expected();
    ring_release(c, 32);
}
END_TEST

START_TEST(commit_without_reserve_is_a_bug)
{
    struct ring_meta meta = {.type = RING_DATA};

    abort_is_expected();
    ring_commit(p, &meta, 0);
}
END_TEST

START_TEST(crc_vectors)
{
    uint8_t data[1024];

    memset(data, 0, sizeof(data));
    /* RFC 3720, B.4 */
    ck_assert_uint_eq(crc32c(0, data, 32), 0x8a9136aaU);
    memset(data, 0xff, 32);
    ck_assert_uint_eq(crc32c(0, data, 32), 0x62a8ab43U);
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283U);
    help_fill(data, sizeof(data), 9);
    for (size_t len = 0; len <= 256; len++) {
        for (size_t at = 0; at < 9; at++) {
            uint32_t want = crc32c_portable(0, data + at, len);

            ck_assert_uint_eq(crc32c(0, data + at, len), want);
            ck_assert_uint_eq(
                crc32c(crc32c(0, data + at, len / 3), data + at + len / 3, len - len / 3), want);
        }
    }
}
END_TEST

static Suite *
suite(void)
{
    Suite *s = suite_create("ring");
    TCase *t = tcase_create("records");
    TCase *bugs = tcase_create("bugs");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup_small, teardown);
    tcase_add_test(t, every_size_at_every_offset);
    tcase_add_test(t, fragments_at_every_wrap);
    tcase_add_test(t, exact_fit_to_the_end);
    tcase_add_test(t, wrap_refused_when_front_is_occupied);
    tcase_add_test(t, pad_counts_as_room);
    tcase_add_test(t, smallest_pad);
    tcase_add_test(t, positions_beyond_32_and_63_bits);
    tcase_add_test(t, full_to_the_last_byte);
    tcase_add_test(t, one_message_at_a_time);
    tcase_add_test(t, what_is_too_long_is_refused);
    tcase_add_test(t, commit_less_than_reserved);
    tcase_add_test(t, nothing_is_seen_before_publish);
    tcase_add_test(t, batch_is_due_by_records_and_bytes);
    tcase_add_test(t, source_follows_the_tail);
    tcase_add_test(t, zero_source_is_a_source);
    tcase_add_test(t, release_is_deferred_and_flushed);
    tcase_add_test(t, consumer_resumes_at_release);
    tcase_add_test(t, slot_count_wraps);
    tcase_add_loop_test(t, random_against_a_queue, 0, 8);
    tcase_add_test(t, bad_records_are_refused);
    tcase_add_test(t, bad_fragments_are_refused);
    tcase_add_test(t, mad_peer_is_refused);
    tcase_add_test(t, poison_reaches_both_ends);
    tcase_add_test(t, crc_vectors);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(bugs, setup_small, NULL);
    tcase_add_test_raise_signal(bugs, release_backwards_is_a_bug, SIGABRT);
    tcase_add_test_raise_signal(bugs, release_of_the_unread_is_a_bug, SIGABRT);
    tcase_add_test_raise_signal(bugs, commit_without_reserve_is_a_bug, SIGABRT);
    suite_add_tcase(s, bugs);
    return s;
}

int
main(void)
{
    SRunner *runner = srunner_create(suite());
    int failed;

    help_make_dir();
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    help_remove_dir();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
