/*
 * A hostile ring file: whatever the bytes are, attaching and reading end in a refusal or in
 * records, never in a read outside the mapping.  The first byte says which parts of the
 * fuzzer's bytes are put over a good ring, so that it gets beyond the first checksum.
 */
#include "common/crc32c.h"
#include "common/err.h"
#include "common/ring.h"
#include "common/ring_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CAPACITY  8192U
#define FILE_SIZE (RING_HEADER_BYTES + CAPACITY)

static char dir[64];
static char path[96];

static void
remove_dir(void)
{
    (void)unlink(path);
    (void)rmdir(dir);
}

static void
prepare(void)
{
    ring_capacity_floor = CAPACITY;
    (void)snprintf(dir, sizeof(dir), "/dev/shm/weir-fuzz.XXXXXX");
    if (mkdtemp(dir) == NULL)
        abort();
    (void)snprintf(path, sizeof(path), "%s/ring", dir);
    (void)atexit(remove_dir);
}

enum mode {
    RAW_FILE = 1,       /* the bytes are the file */
    BAD_IDENTITY = 2,   /* over the identity, sealed again */
    BAD_POSITIONS = 4,  /* tail and release */
    BAD_SLOTS = 8,      /* over the slots */
    BAD_RECORDS = 16,   /* over the data */
    WITH_CHECKSUM = 32, /* of records; else the fuzzer need not guess a CRC */
};

/* Moves up to n bytes of the fuzzer's to `to`. */
static void
take(void *to, size_t n, const uint8_t **data, size_t *size)
{
    if (n > *size)
        n = *size;
    memcpy(to, *data, n);
    *data += n;
    *size -= n;
}

static void
build_file(uint8_t *file, unsigned mode, const uint8_t *data, size_t size)
{
    struct ring_config config = {.path = path,
                                 .name = "fuzz",
                                 .capacity = CAPACITY,
                                 .generation = 1,
                                 .record_format = 1,
                                 .checksum = (mode & WITH_CHECKSUM) != 0};
    struct ring_header *h = (struct ring_header *)(void *)file;
    uint64_t positions[2] = {0, 4096};
    struct ring_slot_copy slot;

    memset(file, 0, FILE_SIZE);
    ring_identity_fill(&h->identity, &config, 7);
    if ((mode & BAD_IDENTITY) != 0) {
        take(&h->identity.major, 64, &data, &size);
        h->identity.crc32c = crc32c(0, &h->identity, offsetof(struct ring_identity, crc32c));
    }
    if ((mode & BAD_POSITIONS) != 0)
        take(positions, sizeof(positions), &data, &size);
    atomic_store(&h->consumer.pos, positions[0]);
    atomic_store(&h->producer.pos, positions[1]);
    slot = (struct ring_slot_copy){.pos = positions[1], .seq = 3, .count = 1};
    ring_slot_store(&h->producer_slots[0], &slot);
    if ((mode & BAD_SLOTS) != 0)
        take(&h->producer_slots, sizeof(h->producer_slots), &data, &size);
    if ((mode & BAD_RECORDS) != 0)
        take(file + RING_HEADER_BYTES, CAPACITY, &data, &size);
}

static void
write_file(const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        abort();
    (void)close(fd);
}

/* Every byte that a view gives is read, so that the sanitizer sees where it lies. */
static void
read_all(struct ring *c)
{
    static volatile uint8_t sink;
    struct err e = ERR_INIT;
    struct ring_view v;

    while (ring_next(c, &v, &e) == 1) {
        const uint8_t *at = v.data;

        for (uint32_t i = 0; i < v.len; i++)
            sink = (uint8_t)(sink ^ at[i]);
        if ((v.flags & RING_ASSEMBLED) == 0 && (at < c->data || at + v.len > c->data + c->capacity))
            abort();
        if (v.end <= v.start || v.end - c->release > c->capacity)
            abort();
        ring_release(c, v.end);
    }
    if (e.code != ERR_NONE && e.text[0] == '\0')
        abort();
}

static void
use_file(void)
{
    struct ring_config config = {
        .path = path, .name = "fuzz", .capacity = CAPACITY, .generation = 1, .record_format = 1};
    struct ring_info info;
    struct err e = ERR_INIT;
    struct ring *r;
    bool created;

    (void)ring_inspect(path, &info, &e);
    if (ring_open_consumer(&config, &r, &e) == 0) {
        read_all(r);
        (void)ring_heartbeat(r, &e);
        ring_close(&r);
    }
    if (ring_open_producer(&config, &r, &created, &e) == 0) {
        static const uint8_t message[3000];
        struct ring_meta meta = {.type = RING_DATA};

        while (ring_write(r, &meta, message, sizeof(message), &e) == 1)
            continue;
        ring_publish(r, &(struct ring_source){.words = {1}});
        ring_close(&r);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(128) uint8_t file[FILE_SIZE];

    if (dir[0] == '\0')
        prepare();
    if (size < 1)
        return 0;
    if ((data[0] & RAW_FILE) != 0) {
        write_file(data + 1, size - 1);
    } else {
        build_file(file, data[0], data + 1, size - 1);
        write_file(file, sizeof(file));
    }
    use_file();
    return 0;
}
