#include "common/fault.h"
#include "common/ring.h"
#include "common/ring_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Looks at positions that keep moving, and at positions that stand and make no sense. */
#define LOOKS_MOVING   100000
#define LOOKS_STANDING 64

/* Held by whom we cannot ask: the lock tells alive from dead, the pid is for people. */
static bool
is_locked(int fd, off_t byte)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1, .l_pid = 0};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/*
 * Takes positions and source that belong together.  Release is read before and after the
 * tail: either side may move, but never to where release is beyond tail or a lap behind.
 */
static int
read_positions(struct ring_header *h, const char *path, struct ring_info *out, struct err *e)
{
    struct ring_slot_copy slot;
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t tail = 0;
    bool has_slot = false;

    for (int moving = 0, standing = 0; moving < LOOKS_MOVING && standing < LOOKS_STANDING;) {
        before = atomic_load_explicit(&h->consumer.pos, memory_order_acquire);
        tail = atomic_load_explicit(&h->producer.pos, memory_order_acquire);
        has_slot = ring_slot_find(h, tail, &slot) >= 0;
        after = atomic_load_explicit(&h->consumer.pos, memory_order_acquire);
        if (before != after ||
            tail != atomic_load_explicit(&h->producer.pos, memory_order_acquire)) {
            moving++;
            continue;
        }
        standing++;
        if (tail - before <= h->identity.capacity && has_slot)
            break;
    }
    if (tail - before > h->identity.capacity || !has_slot)
        return err_set(
            e, ERR_CORRUPT, "ring file %s: found tail %llu and release %llu, %s commit slot for it",
            path, (unsigned long long)tail, (unsigned long long)before, has_slot ? "a" : "no");
    out->tail = tail;
    out->release = before;
    out->source = slot.source;
    return 0;
}

static int
copy_out(int fd, struct ring_header *h, const char *path, struct ring_info *out, struct err *e)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->name, h->identity.name, sizeof(out->name));
    out->capacity = h->identity.capacity;
    out->epoch = h->identity.epoch;
    out->generation = h->identity.upstream_epoch;
    out->state = atomic_load_explicit(&h->state.word, memory_order_acquire);
    out->producer_alive = is_locked(fd, RING_LOCK_PRODUCER);
    out->consumer_alive = is_locked(fd, RING_LOCK_CONSUMER);
    out->producer_pid = atomic_load_explicit(&h->producer_owner.pid, memory_order_relaxed);
    out->consumer_pid = atomic_load_explicit(&h->consumer_owner.pid, memory_order_relaxed);
    out->producer_heartbeat_ns =
        atomic_load_explicit(&h->producer_owner.heartbeat_ns, memory_order_relaxed);
    out->consumer_heartbeat_ns =
        atomic_load_explicit(&h->consumer_owner.heartbeat_ns, memory_order_relaxed);
    return read_positions(h, path, out, e);
}

int
ring_inspect(const char *path, struct ring_info *out, struct err *e)
{
    struct ring_identity id;
    struct stat st;
    ssize_t have;
    void *map;
    int rc = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return err_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_ACCESS, errno, "open ring file %s",
                       path);
    have = pread(fd, &id, sizeof(id), 0);
    if (have < 0 || fstat(fd, &st) != 0) {
        (void)err_sys(e, ERR_IO, errno, "read ring file %s", path);
        goto out;
    }
    if (ring_identity_check(&id, (size_t)have, (uint64_t)st.st_size, path, NULL, e) != 0)
        goto out;
    map = mmap(NULL, RING_HEADER_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        (void)err_sys(e, ERR_NOMEM, errno, "map ring file %s", path);
        goto out;
    }
    rc = copy_out(fd, map, path, out, e);
    (void)munmap(map, RING_HEADER_BYTES);

out:
    (void)close(fd);
    return rc;
}
