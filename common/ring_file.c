#include "common/clock.h"
#include "common/fault.h"
#include "common/ring_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/*
 * The temporary name is <path>.new.  Invariant: a file of that name is truncated or unlinked
 * only by who holds the producer's lock on it; so a creator's link() can only publish the
 * file it made, and what a killed creator left is swept by the next producer.
 */
#define TEMPORARY_SUFFIX ".new"

#define RING_FILE_MODE 0640

#ifdef WEIR_FAULTS
uint64_t ring_capacity_floor = RING_CAPACITY_MIN;
#endif

static int
check_directory(const char *path, struct err *e)
{
    char copy[PATH_MAX];
    struct stat st;
    char *dir;

    memcpy(copy, path, strlen(path) + 1);
    dir = dirname(copy);
    if (stat(dir, &st) != 0)
        return err_sys(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_ACCESS, errno,
                       "directory %s of ring file %s", dir, path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ERR_ACCESS, "%s, where ring file %s should be, is not a directory", dir,
                       path);
    if (st.st_uid != geteuid() && st.st_uid != 0) {
        (void)err_set(e, ERR_ACCESS,
                      "directory %s of ring file %s belongs to user %u, expected user %u or root",
                      dir, path, (unsigned)st.st_uid, (unsigned)geteuid());
        return err_hint(e, "run all stages of a task as the owner of its runtime directory");
    }
    if ((st.st_mode & S_IWOTH) != 0) {
        (void)err_set(e, ERR_ACCESS,
                      "directory %s of ring file %s has mode %04o: anybody can write to it", dir,
                      path, (unsigned)(st.st_mode & 07777));
        return err_hint(e, "give the task a directory of its own with mode 0750");
    }
    return 0;
}

int
ring_file_check_place(const struct ring_config *config, struct err *e)
{
    uint64_t capacity = config->capacity;

    if (strlen(config->path) + sizeof(TEMPORARY_SUFFIX) > PATH_MAX)
        return err_set(e, ERR_CONFIG, "the path of ring %s is longer than %d bytes", config->name,
                       PATH_MAX);
    if (strlen(config->name) >= sizeof(((struct ring_identity *)0)->name))
        return err_set(e, ERR_CONFIG, "ring name \"%s\" is longer than 31 bytes", config->name);
    if (capacity < ring_capacity_floor || capacity > RING_CAPACITY_MAX ||
        (capacity & (capacity - 1)) != 0)
        return err_set(e, ERR_CONFIG,
                       "ring %s: a capacity of %llu bytes is not a power of two from %llu to %llu",
                       config->name, (unsigned long long)capacity,
                       (unsigned long long)ring_capacity_floor,
                       (unsigned long long)RING_CAPACITY_MAX);
    return check_directory(config->path, e);
}

bool
ring_file_is_named(const char *path, dev_t dev, ino_t ino)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* 1 = locked, 0 = somebody else holds it, -1 = error. */
static int
lock_end(int fd, enum ring_role role, const char *path, struct err *e)
{
    struct flock lock = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = role == RING_PRODUCER ? RING_LOCK_PRODUCER : RING_LOCK_CONSUMER,
        .l_len = 1,
    };

    if (RING_MUTANT == RING_MUTANT_NO_LOCK)
        return 1;
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 1;
    if (errno == EAGAIN || errno == EACCES)
        return 0;
    return err_sys(e, ERR_IO, errno, "lock %s", path);
}

static int
refuse_busy(int fd, enum ring_role role, const char *path, struct err *e)
{
    struct ring_header h;
    const char *what = role == RING_PRODUCER ? "producer" : "consumer";
    int pid = 0;

    if (pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h))
        pid = atomic_load(role == RING_PRODUCER ? &h.producer_owner.pid : &h.consumer_owner.pid);
    if (pid > 0)
        (void)err_set(e, ERR_BUSY, "ring file %s already has a %s: process %d", path, what, pid);
    else
        (void)err_set(e, ERR_BUSY, "ring file %s already has a %s, which is just starting", path,
                      what);
    return err_hint(e, "this stage of the task is running already; stop that process first");
}

static int
check_file_mode(const struct stat *st, const char *path, struct err *e)
{
    if (!S_ISREG(st->st_mode))
        return err_set(e, ERR_ACCESS, "ring file %s is not a regular file", path);
    if (st->st_uid != geteuid()) {
        (void)err_set(e, ERR_ACCESS, "ring file %s belongs to user %u, expected user %u", path,
                      (unsigned)st->st_uid, (unsigned)geteuid());
        return err_hint(e, "run all stages of a task as the same user");
    }
    if ((st->st_mode & 07777 & ~(unsigned)RING_FILE_MODE) != 0) {
        (void)err_set(e, ERR_ACCESS, "ring file %s has mode %04o, expected at most %04o", path,
                      (unsigned)(st->st_mode & 07777), RING_FILE_MODE);
        return err_hint(e, "somebody opened it to others; chmod 0640 it if its content is trusted");
    }
    return 0;
}

/* MAP_POPULATE: a fault a page at the first lap would show as latency. */
static struct ring_header *
map_file(int fd, uint64_t capacity, const char *path, struct err *e)
{
    void *map = mmap(NULL, RING_HEADER_BYTES + capacity, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_POPULATE, fd, 0);

    if (map == MAP_FAILED) {
        (void)err_sys(e, ERR_NOMEM, errno, "map ring file %s", path);
        return NULL;
    }
    return map;
}

/* Removes what a killed creator left beside a ring whose producer's lock we hold. */
static void
sweep_temporary(const char *path, const struct ring_file *held)
{
    char name[PATH_MAX];
    struct stat st;
    int fd;

    (void)snprintf(name, sizeof(name), "%s" TEMPORARY_SUFFIX, path);
    if (ring_file_is_named(name, held->dev, held->ino)) {
        (void)unlink(name); /* killed between link and unlink: our own second name */
        return;
    }
    fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (lock_end(fd, RING_PRODUCER, name, NULL) == 1 && fstat(fd, &st) == 0 &&
        ring_file_is_named(name, st.st_dev, st.st_ino))
        (void)unlink(name);
    (void)close(fd);
}

/* Everything after open(); out->fd is set.  Result as of ring_file_open(). */
static int
adopt_file(const struct ring_config *config, enum ring_role role, struct ring_file *out,
           struct err *e)
{
    struct ring_identity id;
    struct stat st;
    ssize_t have;
    int locked;

    if (fstat(out->fd, &st) != 0)
        return err_sys(e, ERR_IO, errno, "stat %s", config->path);
    if (check_file_mode(&st, config->path, e) != 0)
        return -1;
    locked = lock_end(out->fd, role, config->path, e);
    if (locked == 0)
        return refuse_busy(out->fd, role, config->path, e);
    if (locked < 0)
        return -1;
    out->dev = st.st_dev;
    out->ino = st.st_ino;
    if (!ring_file_is_named(config->path, st.st_dev, st.st_ino))
        return 0; /* replaced between open and lock */
    have = pread(out->fd, &id, sizeof(id), 0);
    if (have < 0)
        return err_sys(e, ERR_IO, errno, "read %s", config->path);
    if (ring_identity_check(&id, (size_t)have, (uint64_t)st.st_size, config->path, config, e) != 0)
        return -1;
    out->header = map_file(out->fd, id.capacity, config->path, e);
    return out->header != NULL ? 1 : -1;
}

int
ring_file_open(const struct ring_config *config, enum ring_role role, struct ring_file *out,
               struct err *e)
{
    int rc;

    *out = (struct ring_file){.fd = open(config->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
    if (out->fd < 0) {
        if (errno == ENOENT)
            return 0;
        if (errno == ELOOP)
            return err_set(e, ERR_ACCESS, "ring file %s is a symbolic link, which is refused",
                           config->path);
        return err_sys(e, errno == EACCES ? ERR_ACCESS : ERR_IO, errno, "open ring file %s",
                       config->path);
    }
    rc = adopt_file(config, role, out, e);
    if (rc == 1 && role == RING_PRODUCER)
        sweep_temporary(config->path, out);
    if (rc != 1)
        ring_file_close(out);
    return rc;
}

void
ring_file_close(struct ring_file *f)
{
    if (f->header != NULL)
        (void)munmap(f->header, RING_HEADER_BYTES + f->header->identity.capacity);
    if (f->fd >= 0)
        (void)close(f->fd); /* gives the lock back */
    f->header = NULL;
    f->fd = -1;
}

/* Opens and locks the temporary file.  1 = ours, 0 = look again, -1 = error. */
static int
open_temporary(const char *name, struct ring_file *out, struct err *e)
{
    struct stat st;
    int locked;

    out->fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, RING_FILE_MODE);
    if (out->fd < 0)
        return err_sys(e,
                       errno == EACCES   ? ERR_ACCESS
                       : errno == ENOSPC ? ERR_NOSPACE
                                         : ERR_IO,
                       errno, "create ring file %s", name);
    locked = lock_end(out->fd, RING_PRODUCER, name, e);
    if (locked == 0)
        return refuse_busy(out->fd, RING_PRODUCER, name, e);
    if (locked < 0)
        return -1;
    if (fstat(out->fd, &st) != 0)
        return err_sys(e, ERR_IO, errno, "stat %s", name);
    if (!ring_file_is_named(name, st.st_dev, st.st_ino))
        return 0; /* its creator finished before we had the lock */
    if (st.st_nlink != 1) {
        (void)unlink(name); /* its creator died with the ring already in place */
        return 0;
    }
    out->dev = st.st_dev;
    out->ino = st.st_ino;
    return 1;
}

static int
refuse_no_space(const struct ring_config *config, uint64_t bytes, int error, struct err *e)
{
    char copy[PATH_MAX];
    struct statvfs fs;
    const char *dir;
    uint64_t available = 0;

    memcpy(copy, config->path, strlen(config->path) + 1);
    dir = dirname(copy);
    if (statvfs(dir, &fs) == 0)
        available = (uint64_t)fs.f_bavail * fs.f_frsize;
    (void)err_sys(e, ERR_NOSPACE, error,
                  "ring %s: no room for ring file %s of %llu bytes, %llu bytes are free in %s",
                  config->name, config->path, (unsigned long long)bytes,
                  (unsigned long long)available, dir);
    return err_hint(e,
                    "make the tmpfs at %s bigger (mount -o remount,size=...; in a container its "
                    "shm size) or lower the ring size setting (Weir.ChangeRingSize, "
                    "Weir.RecordRingSize)",
                    dir);
}

/* Reserves the blocks (a sparse file would be a SIGBUS later) and writes the identity. */
static int
fill_temporary(const struct ring_config *config, struct ring_file *f, struct err *e)
{
    uint64_t bytes = RING_HEADER_BYTES + config->capacity;
    uint64_t epoch = 0;
    struct ring_slot_copy first = {.pos = 0};
    int error;

    if (ftruncate(f->fd, 0) != 0 || fchmod(f->fd, RING_FILE_MODE) != 0)
        return err_sys(e, ERR_IO, errno, "prepare ring file %s", config->path);
    CRASH_POINT("ring.create.truncated");
    error = FAULT("ring.fallocate");
    while (error == 0 && (error = posix_fallocate(f->fd, 0, (off_t)bytes)) == EINTR)
        error = 0;
    if (error == ENOSPC || error == EDQUOT || error == ENOMEM)
        return refuse_no_space(config, bytes, error, e);
    if (error != 0)
        return err_sys(e, ERR_IO, error, "reserve %llu bytes for ring file %s",
                       (unsigned long long)bytes, config->path);
    CRASH_POINT("ring.create.allocated");
    while (epoch == 0)
        if (getrandom(&epoch, sizeof(epoch), 0) != (ssize_t)sizeof(epoch))
            return err_sys(e, ERR_IO, errno, "random epoch for ring file %s", config->path);
    f->header = map_file(f->fd, config->capacity, config->path, e);
    if (f->header == NULL)
        return -1;
    ring_slot_store(&f->header->producer_slots[0], &first);
    CRASH_POINT("ring.create.slot");
    ring_identity_fill(&f->header->identity, config, epoch);
    atomic_store_explicit(&f->header->producer_owner.pid, (int32_t)getpid(), memory_order_relaxed);
    CRASH_POINT("ring.create.identity");
    return 0;
}

/* Gives the file its name: the moment it begins to exist for others.  1, 0 or -1. */
static int
publish_file(const struct ring_config *config, const char *name, const struct ring_file *old,
             struct err *e)
{
    if (old != NULL) {
        /* We hold the lock of the ring that the path names, so nobody else replaces it. */
        if (rename(name, config->path) != 0)
            return err_sys(e, ERR_IO, errno, "replace ring file %s", config->path);
        return 1;
    }
    if (link(name, config->path) != 0) {
        int error = errno;

        (void)unlink(name);
        return error == EEXIST ? 0
                               : err_sys(e, ERR_IO, error, "name the new ring %s", config->path);
    }
    CRASH_POINT("ring.create.linked");
    (void)unlink(name);
    return 1;
}

int
ring_file_create(const struct ring_config *config, struct ring_file *old, struct ring_file *out,
                 struct err *e)
{
    char name[PATH_MAX];
    int rc;

    (void)snprintf(name, sizeof(name), "%s" TEMPORARY_SUFFIX, config->path);
    *out = (struct ring_file){.fd = -1};
    rc = open_temporary(name, out, e);
    CRASH_POINT("ring.create.opened");
    if (rc == 1) {
        rc = fill_temporary(config, out, e);
        if (rc == 0)
            rc = publish_file(config, name, old, e);
        else
            (void)unlink(name);
    }
    CRASH_POINT("ring.create.named");
    if (rc != 1)
        ring_file_close(out);
    return rc;
}
