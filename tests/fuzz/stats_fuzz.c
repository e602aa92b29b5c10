/*
 * A hostile statistics file: whatever its bytes are, opening and reading end, and read nothing
 * outside it.  The first byte says whether the checksums are made right, so that the fuzzer gets
 * beyond them.
 */
#include "common/crc32c.h"
#include "common/err.h"
#include "common/stats.h"
#include "common/stats_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static uint8_t *good;
static size_t good_size;
static uint8_t *file;

static void
remove_file(void)
{
    (void)unlink(path);
}

static void
make_good(void)
{
    struct stats_config config = {.path = path, .stage = "s", .task = "t", .tables = 2};
    struct err e = ERR_INIT;
    struct stats *s;
    int fd;

    (void)snprintf(path, sizeof(path), "/dev/shm/weir-stats-fuzz-%d", (int)getpid());
    (void)atexit(remove_file);
    if (stats_create(&config, &s, &e) != 0)
        abort();
    (void)stats_table(s, 1, "dbo.t");
    err_set_at(&e, ERR_SQL, 0, "x.c", 1, "text");
    stats_error(s, &e, 1);
    stats_close(&s);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    good_size = (size_t)lseek(fd, 0, SEEK_END);
    good = malloc(good_size);
    file = malloc(good_size);
    if (good == NULL || file == NULL || pread(fd, good, good_size, 0) != (ssize_t)good_size)
        abort();
    (void)close(fd);
}

static void
look_at_everything(void)
{
    struct err e = ERR_INIT;
    struct stats_view *v;
    struct stats_summary summary;
    struct stats_table_view t;
    struct stats_error_view error;
    struct stats_distribution d;
    uint64_t value;
    size_t size;
    const char *schema;
    uint64_t sum = 0;

    if (stats_open(path, &v, &e) != 0)
        return;
    stats_view_summary(v, &summary);
    for (uint32_t i = 0; stats_view_table(v, i, &t); i++)
        sum += strlen(t.name);
    for (uint32_t i = 0; stats_view_error(v, i, &error); i++)
        sum += strlen(error.text);
    for (int i = 0; i < HIST_COUNT; i++) {
        stats_view_distribution(v, (enum hist_id)i, &d);
        sum += stats_distribution_quantile(&d, 0.99);
    }
    for (uint32_t i = 0; stats_view_counter(v, i, &value); i++)
        sum += value;
    schema = stats_view_schema(v, &size);
    for (size_t i = 0; i < size; i++)
        sum += (unsigned char)schema[i];
    stats_view_close(&v);
    if (sum == UINT64_MAX)
        (void)fputc('.', stderr);
}

/* Each patch is a two-byte offset within the header or the whole, a length and its bytes. */
static void
patch(const uint8_t *data, size_t size)
{
    while (size >= 4) {
        size_t at = (size_t)(data[0] | data[1] << 8) * (data[2] & 1U ? 8 : 1);
        size_t n = data[3];

        data += 4;
        size -= 4;
        n = n < size ? n : size;
        if (at < good_size)
            memcpy(file + at, data, n < good_size - at ? n : good_size - at);
        data += n;
        size -= n;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stats_header *h;
    size_t length;
    int fd;

    if (good == NULL)
        make_good();
    if (size < 3)
        return 0;
    memcpy(file, good, good_size);
    patch(data + 3, size - 3);
    h = (struct stats_header *)(void *)file;
    if ((data[0] & 1U) == 0) {
        h->identity.section_crc32c = stats_section_crc(h);
        h->identity.crc32c = crc32c(0, &h->identity, offsetof(struct stats_identity, crc32c));
    }
    length = data[0] & 2U ? (size_t)(data[1] | data[2] << 8) : good_size;
    if (length > good_size)
        length = good_size;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, file, length) != (ssize_t)length)
        abort();
    (void)close(fd);
    look_at_everything();
    return 0;
}
