#include "common/clock.h"
#include "common/crc32c.h"
#include "common/ring_internal.h"

#include <stddef.h>
#include <string.h>

#define ID_CRC_BYTES offsetof(struct ring_identity, crc32c)

static const char rebuild_hint[] =
    "stop the task's processes, remove the file and start them again: the ring is made anew and "
    "the stages resume at their checkpoints";

void
ring_identity_fill(struct ring_identity *id, const struct ring_config *config, uint64_t epoch)
{
    memset(id, 0, sizeof(*id));
    id->magic = RING_MAGIC;
    id->major = RING_MAJOR;
    id->minor = RING_MINOR;
    id->header_bytes = RING_HEADER_BYTES;
    id->capacity = config->capacity;
    id->epoch = epoch;
    id->record_format = config->record_format;
    id->flags = config->checksum ? RING_FLAG_CHECKSUM : 0;
    id->upstream_epoch = config->generation;
    id->created_realtime_ns = (uint64_t)clock_real_ns();
    memcpy(id->name, config->name, strlen(config->name));
    id->crc32c = crc32c(0, id, ID_CRC_BYTES);
}

static bool
is_zero(const void *data, size_t size)
{
    const uint8_t *at = data;

    for (size_t i = 0; i < size; i++)
        if (at[i] != 0)
            return false;
    return true;
}

/* Is it a ring of ours at all, and whole? */
static int
check_shape(const struct ring_identity *id, size_t have, uint64_t size, const char *path,
            struct err *e)
{
    uint32_t crc;

    if (have < sizeof(*id) || size < RING_HEADER_BYTES)
        return err_set(e, ERR_LAYOUT,
                       "ring file %s is truncated: found %llu bytes, expected a header of %u bytes "
                       "and the data after it",
                       path, (unsigned long long)size, RING_HEADER_BYTES);
    if (is_zero(id, sizeof(*id)))
        return err_set(e, ERR_LAYOUT,
                       "ring file %s was zeroed: found zeros where the identity line should "
                       "begin with \"WEIRRING\"",
                       path);
    if (id->magic != RING_MAGIC)
        return err_set(e, ERR_LAYOUT,
                       "%s is not a ring file: found 0x%016llx in its first 8 bytes, expected "
                       "0x%016llx (\"WEIRRING\")",
                       path, (unsigned long long)id->magic, (unsigned long long)RING_MAGIC);
    if (id->major != RING_MAJOR || id->header_bytes != RING_HEADER_BYTES)
        return err_set(e, ERR_LAYOUT,
                       "ring file %s has layout version %u.%u (header of %u bytes), this program "
                       "expected %u.x (%u bytes)",
                       path, id->major, id->minor, id->header_bytes, RING_MAJOR, RING_HEADER_BYTES);
    crc = crc32c(0, id, ID_CRC_BYTES);
    if (crc != id->crc32c)
        return err_set(e, ERR_LAYOUT,
                       "identity line of ring file %s is damaged: found checksum 0x%08x, expected "
                       "0x%08x",
                       path, id->crc32c, crc);
    return 0;
}

static int
check_size(const struct ring_identity *id, uint64_t size, const char *path, struct err *e)
{
    uint64_t capacity = id->capacity;

    if (capacity < ring_capacity_floor || capacity > RING_CAPACITY_MAX ||
        (capacity & (capacity - 1)) != 0)
        return err_set(e, ERR_LAYOUT,
                       "ring file %s has a capacity of %llu bytes, expected a power of two "
                       "from %llu to %llu",
                       path, (unsigned long long)capacity, (unsigned long long)ring_capacity_floor,
                       (unsigned long long)RING_CAPACITY_MAX);
    if (size != RING_HEADER_BYTES + capacity)
        return err_set(e, ERR_LAYOUT, "ring file %s is %s: found %llu bytes, expected %llu", path,
                       size < RING_HEADER_BYTES + capacity ? "truncated" : "too long",
                       (unsigned long long)size,
                       (unsigned long long)(RING_HEADER_BYTES + capacity));
    if (memchr(id->name, '\0', sizeof(id->name)) == NULL)
        return err_set(e, ERR_LAYOUT, "ring file %s has a name without an end", path);
    if ((id->flags & ~RING_FLAG_CHECKSUM) != 0)
        return err_set(e, ERR_LAYOUT, "ring file %s has flags 0x%x, this program knows 0x%x only",
                       path, id->flags, RING_FLAG_CHECKSUM);
    return 0;
}

/* Does it belong to this task, and are its records ours to read? */
static int
check_purpose(const struct ring_identity *id, const char *path, const struct ring_config *config,
              struct err *e)
{
    if (id->upstream_epoch != config->generation)
        return err_set(e, ERR_LAYOUT,
                       "ring file %s belongs to another generation of the task: found "
                       "0x%016llx, expected 0x%016llx",
                       path, (unsigned long long)id->upstream_epoch,
                       (unsigned long long)config->generation);
    if (id->record_format != config->record_format)
        return err_set(e, ERR_LAYOUT,
                       "ring file %s holds records of format %u, this program expected format %u",
                       path, id->record_format, config->record_format);
    return 0;
}

int
ring_identity_check(const struct ring_identity *id, size_t have, uint64_t size, const char *path,
                    const struct ring_config *config, struct err *e)
{
    if (check_shape(id, have, size, path, e) != 0 || check_size(id, size, path, e) != 0 ||
        (config != NULL && check_purpose(id, path, config, e) != 0))
        return err_hint(e, "%s", rebuild_hint);
    return 0;
}
