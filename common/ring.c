#include "common/ring.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/ring_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef WEIR_VERSION
#define WEIR_VERSION "unknown"
#endif

/* Races for the creation that may be lost before the file system is called broken. */
#define CREATE_TRIES 100

static struct ring_owner *
owner_of(struct ring_header *h, enum ring_role role)
{
    return role == RING_PRODUCER ? &h->producer_owner : &h->consumer_owner;
}

/* Field 22 of /proc/self/stat; the name in field 2 may hold anything, so count from its end. */
static uint64_t
own_start_ticks(void)
{
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    char *at;

    if (fd >= 0)
        (void)close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

static void
owner_store(struct ring_header *h, enum ring_role role)
{
    struct ring_owner *o = owner_of(h, role);

    atomic_store_explicit(&o->pid, (int32_t)getpid(), memory_order_relaxed);
    CRASH_POINT("ring.attach.pid");
    atomic_store_explicit(&o->start_ticks, own_start_ticks(), memory_order_relaxed);
    atomic_store_explicit(&o->heartbeat_ns, clock_mono_ns(), memory_order_relaxed);
    (void)snprintf(o->build, sizeof(o->build), "%s", WEIR_VERSION);
    (void)atomic_fetch_add_explicit(&o->attach_count, 1, memory_order_relaxed);
    CRASH_POINT("ring.attach.owner");
}

/* A reason other than the two sides' own words for a ring being closed is a crash's doing. */
static bool
state_is_open(struct ring_header *h)
{
    /* pairs with the release stores in ring_poison() and retire() */
    return atomic_load_explicit(&h->state.word, memory_order_acquire) == RING_OPEN;
}

int
ring_state_error(const struct ring *r, struct err *e)
{
    uint32_t reason = atomic_load_explicit(&r->header->state.reason, memory_order_relaxed);

    if (atomic_load_explicit(&r->header->state.word, memory_order_acquire) == RING_RETIRED) {
        (void)err_set(e, ERR_RETIRED, "ring %s (%s) was replaced by a new one",
                      r->header->identity.name, r->path);
        return err_hint(e, "start this stage again: it will open the new ring");
    }
    (void)err_set(e, ERR_CORRUPT, "ring %s (%s) was declared worthless, reason %u",
                  r->header->identity.name, r->path, reason);
    return err_hint(e, "start the stages again: the producer makes a new ring and resumes at its "
                       "checkpoint");
}

static void
set_state(struct ring_header *h, uint32_t state, uint32_t reason)
{
    uint32_t open = RING_OPEN;

    atomic_store_explicit(&h->state.reason, reason, memory_order_relaxed);
    /* release: the reason goes before; pairs with the acquire loads of the state word */
    (void)atomic_compare_exchange_strong_explicit(&h->state.word, &open, state,
                                                  memory_order_release, memory_order_relaxed);
    ring_wake_all(&h->producer.pos);
    ring_wake_all(&h->consumer.pos);
}

void
ring_poison(struct ring *r, uint32_t reason)
{
    set_state(r->header, RING_POISONED, reason);
}

/* Where a side goes on.  Positions come from another process: nothing in them is trusted. */
static int
resume(struct ring *r, struct err *e)
{
    struct ring_header *h = r->header;
    struct ring_slot_copy slot;
    uint64_t release = atomic_load_explicit(&h->consumer.pos, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&h->producer.pos, memory_order_acquire);
    int index;

    /* Release is read first: either may rise meanwhile, and release never passes tail. */
    if (tail - release > r->capacity &&
        (r->role == RING_PRODUCER ||
         tail - atomic_load_explicit(&h->consumer.pos, memory_order_acquire) > r->capacity))
        return err_set(
            e, ERR_CORRUPT,
            "ring %s: found tail %llu and release %llu, expected them at most %llu apart", r->path,
            (unsigned long long)tail, (unsigned long long)release, (unsigned long long)r->capacity);
    if ((tail | release) % RING_ALIGN != 0)
        return err_set(e, ERR_CORRUPT,
                       "ring %s: tail %llu or release %llu is not a record boundary", r->path,
                       (unsigned long long)tail, (unsigned long long)release);
    if (r->role == RING_CONSUMER) {
        r->pos = r->release = r->shared_release = release;
        r->peer = release;
        return 0;
    }
    index = ring_slot_find(h, tail, &slot);
    if (index < 0)
        return err_set(e, ERR_CORRUPT, "ring %s: no commit slot belongs to tail %llu", r->path,
                       (unsigned long long)tail);
    r->pos = r->tail = tail;
    r->peer = release;
    r->seq = r->tail_seq = slot.seq;
    r->slot_index = (uint32_t)index;
    r->slot_count = slot.count;
    r->source = slot.source;
    return 0;
}

int
ring_handle_new(struct ring_header *h, enum ring_role role, const char *path, struct ring **out,
                struct err *e)
{
    struct ring *r = aligned_alloc(128, (sizeof(*r) + 127) / 128 * 128);

    if (r == NULL)
        return err_sys(e, ERR_NOMEM, errno, "handle of ring %s", path);
    memset(r, 0, sizeof(*r));
    r->header = h;
    r->data = (uint8_t *)h + RING_HEADER_BYTES;
    r->capacity = h->identity.capacity;
    r->mask = r->capacity - 1;
    r->max_record = (uint32_t)(r->capacity / 8 - sizeof(struct ring_record));
    r->checksum = (h->identity.flags & RING_FLAG_CHECKSUM) != 0;
    r->role = role;
    r->fd = -1;
    r->path = strdup(path);
    if (r->path == NULL) {
        (void)err_sys(e, ERR_NOMEM, errno, "handle of ring %s", path);
        goto fail;
    }
    if (resume(r, e) != 0)
        goto fail;
    *out = r;
    return 0;

fail:
    free(r->path);
    free(r);
    return -1;
}

/* Makes the handle own the file.  A ring whose positions make no sense is poisoned. */
static int
take_file(struct ring_file *f, const struct ring_config *config, enum ring_role role,
          struct ring **out, struct err *e)
{
    if (ring_handle_new(f->header, role, config->path, out, e) != 0) {
        if (e == NULL || e->code == ERR_CORRUPT) {
            set_state(f->header, RING_POISONED, 0);
            (void)err_hint(e, "start the stages again: the producer makes a new ring and resumes "
                              "at its checkpoint");
        }
        ring_file_close(f);
        return -1;
    }
    (*out)->fd = f->fd;
    (*out)->dev = f->dev;
    (*out)->ino = f->ino;
    owner_store(f->header, role);
    /* The other side may sleep on a wake that our predecessor owed it. */
    ring_wake_all(role == RING_PRODUCER ? &f->header->producer.pos : &f->header->consumer.pos);
    return 0;
}

/* Puts a fresh ring in the place of a closed one, whose lock we keep until that is done. */
static int
replace_file(const struct ring_config *config, struct ring_file *old, struct ring_file *fresh,
             struct err *e)
{
    int rc = ring_file_create(config, old, fresh, e);

    if (rc == 1) {
        atomic_store_explicit(&old->header->state.successor_epoch, fresh->header->identity.epoch,
                              memory_order_relaxed);
        set_state(old->header, RING_RETIRED, 0);
    }
    ring_file_close(old);
    return rc;
}

int
ring_open_producer(const struct ring_config *config, struct ring **out, bool *created,
                   struct err *e)
{
    struct ring_file file;
    struct ring_file fresh;
    int rc;

    *out = NULL;
    *created = false;
    if (ring_file_check_place(config, e) != 0)
        return -1;
    for (int i = 0; i < CREATE_TRIES; i++) {
        rc = ring_file_open(config, RING_PRODUCER, &file, e);
        if (rc == 1 && state_is_open(file.header))
            return take_file(&file, config, RING_PRODUCER, out, e);
        if (rc == 1)
            rc = replace_file(config, &file, &fresh, e);
        else if (rc == 0)
            rc = ring_file_create(config, NULL, &fresh, e);
        if (rc == 1) {
            *created = true;
            return take_file(&fresh, config, RING_PRODUCER, out, e);
        }
        if (rc < 0)
            return -1;
    }
    return err_set(e, ERR_BUSY, "ring file %s appears and vanishes: others keep replacing it",
                   config->path);
}

int
ring_open_consumer(const struct ring_config *config, struct ring **out, struct err *e)
{
    struct ring_file file;
    int rc;

    *out = NULL;
    if (ring_file_check_place(config, e) != 0)
        return -1;
    rc = ring_file_open(config, RING_CONSUMER, &file, e);
    if (rc == 0)
        return err_set(e, ERR_NOT_FOUND, "ring file %s is not there yet: its producer makes it",
                       config->path);
    if (rc < 0)
        return -1;
    if (!state_is_open(file.header)) {
        ring_file_close(&file);
        return err_set(e, ERR_NOT_FOUND,
                       "ring file %s was given up and waits for its producer to replace it",
                       config->path);
    }
    return take_file(&file, config, RING_CONSUMER, out, e);
}

void
ring_close(struct ring **r)
{
    struct ring *ring = *r;

    if (ring == NULL)
        return;
    if (ring->role == RING_CONSUMER)
        ring_flush_release(ring);
    if (ring->fd >= 0) {
        struct ring_file f = {.fd = ring->fd, .header = ring->header};

        ring_file_close(&f);
    }
    free(ring->assembly);
    free(ring->path);
    free(ring);
    *r = NULL;
}

int
ring_heartbeat(struct ring *r, struct err *e)
{
    if (r->role == RING_CONSUMER)
        ring_flush_release(r);
    atomic_store_explicit(&owner_of(r->header, r->role)->heartbeat_ns, clock_mono_ns(),
                          memory_order_relaxed);
    if (!state_is_open(r->header))
        return ring_state_error(r, e);
    if (!ring_file_is_named(r->path, r->dev, r->ino)) {
        (void)err_set(e, ERR_RETIRED, "ring file %s was removed or replaced while in use", r->path);
        return err_hint(e, "start the stages again: both ends must open the same file");
    }
    return 0;
}

uint64_t
ring_epoch(const struct ring *r)
{
    return r->header->identity.epoch;
}

uint64_t
ring_capacity(const struct ring *r)
{
    return r->capacity;
}

uint64_t
ring_tail(const struct ring *r)
{
    /* pairs with the release store in ring_publish() */
    return atomic_load_explicit(&r->header->producer.pos, memory_order_acquire);
}

uint64_t
ring_release_pos(const struct ring *r)
{
    /* pairs with the release store in ring_flush_release() */
    return atomic_load_explicit(&r->header->consumer.pos, memory_order_acquire);
}

uint32_t
ring_max_record(const struct ring *r)
{
    return r->max_record;
}

uint64_t
ring_max_message(const struct ring *r)
{
    /* Four full fragments and the worst pad fill five eighths: an empty ring takes it anywhere. */
    return 4 * (uint64_t)r->max_record;
}
