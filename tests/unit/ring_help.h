/*
 * ring_help - what the ring's tests share: a directory on tmpfs, opening both ends, moving a
 * ring to any position, and payloads that can be checked.
 */
#ifndef WEIR_RING_HELP_H
#define WEIR_RING_HELP_H

#include "common/err.h"
#include "common/ring.h"
#include "common/ring_internal.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL_RING 8192U

/* ck_assert() writes a mark for each success: too slow for what runs a million times. */
#define help_must(cond)                                                                            \
    do {                                                                                           \
        if (!(cond))                                                                               \
            ck_abort_msg("not so: %s", #cond);                                                     \
    } while (0)

static char help_dir[64];
static char help_path[96];

static inline void
help_make_dir(void)
{
    (void)snprintf(help_dir, sizeof(help_dir), "%s/weir-ring.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(help_dir) == NULL) {
        perror(help_dir);
        exit(1);
    }
    (void)snprintf(help_path, sizeof(help_path), "%s/ring", help_dir);
}

static inline int
help_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void
help_remove_dir(void)
{
    (void)nftw(help_dir, help_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline struct ring_config
help_config(uint64_t capacity)
{
    ring_capacity_floor = SMALL_RING;
    return (struct ring_config){.path = help_path,
                                .name = "test.0",
                                .capacity = capacity,
                                .generation = 0x77,
                                .record_format = 3,
                                .checksum = true};
}

static inline const char *
help_text(const struct err *e)
{
    static char text[2048];

    return err_format(e, text, sizeof(text));
}

static inline struct ring *
help_producer(const struct ring_config *config)
{
    struct err e = ERR_INIT;
    struct ring *r;
    bool created;

    ck_assert_msg(ring_open_producer(config, &r, &created, &e) == 0, "%s", help_text(&e));
    return r;
}

static inline struct ring *
help_consumer(const struct ring_config *config)
{
    struct err e = ERR_INIT;
    struct ring *r;

    ck_assert_msg(ring_open_consumer(config, &r, &e) == 0, "%s", help_text(&e));
    return r;
}

/* Both ends and the header stand at pos, as if so much had passed through the ring. */
static inline void
help_jump(struct ring *p, struct ring *c, uint64_t pos)
{
    struct ring_slot_copy slot = {.pos = pos, .seq = 0, .count = 1};

    help_must(pos % RING_ALIGN == 0);
    atomic_store(&p->header->producer.pos, pos);
    atomic_store(&p->header->consumer.pos, pos);
    ring_slot_store(&p->header->producer_slots[0], &slot);
    p->slot_index = 0;
    p->slot_count = 1;
    p->pos = p->tail = p->peer = pos;
    p->seq = 0;
    c->pos = c->peer = c->release = c->shared_release = pos;
    c->seq = 0;
}

static inline void
help_fill(uint8_t *to, uint64_t len, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ULL + 1;

    for (uint64_t i = 0; i < len; i += sizeof(x)) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        memcpy(to + i, &x, len - i < sizeof(x) ? len - i : sizeof(x));
    }
}

static inline bool
help_matches(const void *data, uint64_t len, uint64_t seed)
{
    static uint8_t want[1U << 20];

    help_must(len <= sizeof(want));
    help_fill(want, len, seed);
    return memcmp(want, data, len) == 0;
}

/* Sum of all bytes of the data area: tells whether a refusal left a trace. */
static inline uint64_t
help_hash(const struct ring *r)
{
    uint64_t h = 14695981039346656037ULL;

    for (uint64_t i = 0; i < r->capacity; i++)
        h = (h ^ r->data[i]) * 1099511628211ULL;
    return h;
}

/* 1 = stored; writes a message of len bytes that help_matches(.., seed) knows. */
static inline int
help_write(struct ring *p, uint64_t len, uint64_t seed)
{
    static uint8_t data[1U << 20];
    struct ring_meta meta = {.type = RING_DATA, .table_id = (uint32_t)seed, .src_pos = seed};
    static struct err e;
    int rc;

    help_fill(data, len, seed);
    rc = ring_write(p, &meta, data, len, &e);
    if (rc < 0)
        ck_abort_msg("%s", help_text(&e));
    return rc;
}

static inline void
help_publish(struct ring *p, uint64_t word)
{
    struct ring_source s = {.epoch = 5, .words = {word, word + 1, word + 2, word + 3}};

    ring_publish(p, &s);
}

/* The next message must be there and be the one written with seed. */
static inline struct ring_view
help_read(struct ring *c, uint64_t len, uint64_t seed)
{
    static struct err e;
    struct ring_view v;
    int rc = ring_next(c, &v, &e);

    if (rc != 1)
        ck_abort_msg("rc %d, %s", rc, help_text(&e));
    help_must(v.len == len);
    help_must(v.src_pos == seed);
    help_must(v.table_id == (uint32_t)seed);
    help_must(help_matches(v.data, len, seed));
    return v;
}

static inline void
help_read_nothing(struct ring *c)
{
    static struct err e;
    struct ring_view v;
    int rc = ring_next(c, &v, &e);

    if (rc != 0)
        ck_abort_msg("rc %d, %s", rc, help_text(&e));
}

/* A child that does not outlive its test. */
static inline pid_t
help_fork(void)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* A child that opens both ends, says so, and lives until it is killed. */
static inline pid_t
help_start_holder(const struct ring_config *config)
{
    int ready[2];
    char byte;
    pid_t pid;

    ck_assert_int_eq(pipe(ready), 0);
    pid = help_fork();
    if (pid == 0) {
        (void)help_producer(config);
        (void)help_consumer(config);
        (void)!write(ready[1], "x", 1);
        for (;;)
            (void)pause();
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static inline void
help_end_child(pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* xorshift: tests print their seed and are the same for the same seed. */
static inline uint64_t
help_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
