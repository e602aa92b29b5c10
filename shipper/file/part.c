#include "shipper/file/part.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_SUFFIX ".part"
#define TAIL_BYTES  65536

struct part {
    struct part_config config;
    char prefix[300];    /* "<task>.<shipper>." */
    char path[PATH_MAX]; /* with suffix, of the open file */
    uint64_t number;     /* of the open file, or of the last one */
    int directory_fd;
    int fd;        /* -1 = none is open */
    uint64_t size; /* of whole lines */
    int64_t opened_ns;
    char *gathered;
    size_t n_gathered;
    size_t room;
};

static enum err_code
code_of(int why)
{
    if (why == ENOSPC || why == EDQUOT || why == EFBIG)
        return ERR_NOSPACE;
    return why == EACCES || why == EROFS ? ERR_ACCESS : ERR_IO;
}

/* ---- finding the file ---- */

/* The number of "<prefix>NNN.ndjson" or "....ndjson.part"; false for other files. */
static bool
parse_name(const struct part *p, const char *name, uint64_t *number, bool *is_part)
{
    static const char suffix[] = ".ndjson";
    size_t size = strlen(p->prefix);
    char *end;

    if (strncmp(name, p->prefix, size) != 0 || name[size] < '0' || name[size] > '9')
        return false;
    errno = 0;
    *number = strtoull(name + size, &end, 10);
    if (errno != 0 || strncmp(end, suffix, sizeof(suffix) - 1) != 0)
        return false;
    end += sizeof(suffix) - 1;
    *is_part = strcmp(end, PART_SUFFIX) == 0;
    return *is_part || *end == '\0';
}

/* The highest number there is, and whether that one is unfinished. */
static int
find_last(struct part *p, bool *is_part, struct err *e)
{
    const struct dirent *entry;
    DIR *d = opendir(p->config.directory);

    *is_part = false;
    if (d == NULL)
        return err_sys(e, code_of(errno), errno, "list %s", p->config.directory);
    while ((entry = readdir(d)) != NULL) {
        uint64_t number;
        bool unfinished;

        if (!parse_name(p, entry->d_name, &number, &unfinished) || number <= p->number)
            continue;
        *is_part = unfinished;
        p->number = number;
    }
    (void)closedir(d);
    return 0;
}

/* Cuts what is not a whole line off the end. */
static int
cut_to_line(struct part *p, struct err *e)
{
    char tail[TAIL_BYTES];
    struct stat st;
    off_t end;

    if (fstat(p->fd, &st) != 0)
        return err_sys(e, ERR_IO, errno, "look at %s", p->path);
    end = st.st_size;
    p->size = 0;
    while (end > 0 && p->size == 0) {
        size_t n = end < TAIL_BYTES ? (size_t)end : TAIL_BYTES;
        ssize_t got = pread(p->fd, tail, n, end - (off_t)n);
        const char *newline;

        if (got != (ssize_t)n)
            return err_sys(e, ERR_IO, got < 0 ? errno : EIO, "read %s", p->path);
        newline = memrchr(tail, '\n', n);
        end -= (off_t)n;
        if (newline != NULL)
            p->size = (uint64_t)end + (uint64_t)(newline - tail) + 1;
    }
    if ((uint64_t)st.st_size == p->size)
        return 0;
    log_info("file-cut", "file=%s bytes=%" PRIu64 " text=\"a line that was not finished\"", p->path,
             (uint64_t)st.st_size - p->size);
    return ftruncate(p->fd, (off_t)p->size) != 0 ? err_sys(e, ERR_IO, errno, "cut %s", p->path) : 0;
}

static int
open_number(struct part *p, struct err *e)
{
    int n = snprintf(p->path, sizeof(p->path), "%s/%s%010" PRIu64 ".ndjson" PART_SUFFIX,
                     p->config.directory, p->prefix, p->number);

    if (n < 0 || (size_t)n >= sizeof(p->path))
        return err_set(e, ERR_CONFIG, "%s: the path is too long", p->config.directory);
    p->fd = open(p->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (p->fd < 0)
        return err_sys(e, code_of(errno), errno, "open %s", p->path);
    p->opened_ns = clock_mono_ns();
    if (cut_to_line(p, e) != 0)
        goto fail;
    if (fsync(p->directory_fd) != 0) {
        err_sys(e, ERR_IO, errno, "sync %s", p->config.directory);
        goto fail;
    }
    return 0;

fail:
    (void)close(p->fd);
    p->fd = -1;
    return -1;
}

int
part_open(const struct part_config *config, struct part **out, struct err *e)
{
    struct part *p = calloc(1, sizeof(*p));
    bool is_part;

    if (p == NULL)
        return err_set(e, ERR_NOMEM, "a file target");
    p->config = *config;
    p->fd = -1;
    (void)snprintf(p->prefix, sizeof(p->prefix), "%s.%u.", config->task, config->shipper);
    p->directory_fd = open(config->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->directory_fd < 0) {
        err_sys(e, code_of(errno), errno, "open %s", config->directory);
        goto fail;
    }
    if (find_last(p, &is_part, e) != 0 || (is_part && open_number(p, e) != 0))
        goto fail;
    *out = p;
    return 0;

fail:
    part_close(&p);
    return -1;
}

void
part_close(struct part **pointer)
{
    struct part *p = *pointer;

    if (p == NULL)
        return;
    *pointer = NULL;
    if (p->fd >= 0)
        (void)close(p->fd);
    if (p->directory_fd >= 0)
        (void)close(p->directory_fd);
    free(p->gathered);
    free(p);
}

/* ---- lines ---- */

int
part_add(struct part *p, const void *data, size_t size, struct err *e)
{
    size_t need = p->n_gathered + size + 1;

    if (need > p->room) {
        size_t room = need + need / 2;
        char *grown = realloc(p->gathered, room);

        if (grown == NULL)
            return err_set(e, ERR_NOMEM, "%zu bytes of lines", room);
        p->gathered = grown;
        p->room = room;
    }
    memcpy(p->gathered + p->n_gathered, data, size);
    p->n_gathered += size;
    if (size == 0 || p->gathered[p->n_gathered - 1] != '\n')
        p->gathered[p->n_gathered++] = '\n';
    return 0;
}

void
part_undo(struct part *p)
{
    p->n_gathered = 0;
}

/* Back to the last whole line; if even that fails, the next life cuts it. */
static int
take_back(struct part *p, int why, struct err *e)
{
    p->n_gathered = 0;
    if (ftruncate(p->fd, (off_t)p->size) != 0) {
        (void)close(p->fd);
        p->fd = -1;
    }
    return err_sys(e, code_of(why), why, "write %s", p->path);
}

int
part_write(struct part *p, struct err *e)
{
    size_t done = 0;

    if (p->fd < 0) {
        p->number++;
        if (open_number(p, e) != 0) {
            p->number--;
            p->n_gathered = 0;
            return -1;
        }
    }
    while (done < p->n_gathered) {
        ssize_t n = write(p->fd, p->gathered + done, p->n_gathered - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return take_back(p, n < 0 ? errno : EIO, e);
        done += (size_t)n;
    }
    p->size += p->n_gathered;
    p->n_gathered = 0;
    return 0;
}

int
part_sync(struct part *p, struct err *e)
{
    if (p->fd >= 0 && fdatasync(p->fd) != 0)
        return err_sys(e, code_of(errno), errno, "sync %s", p->path);
    return 0;
}

/* ---- the end of a file ---- */

bool
part_is_due(const struct part *p)
{
    return p->fd >= 0 && p->size > 0 &&
           (p->size >= p->config.max_bytes ||
            clock_mono_ns() - p->opened_ns >= p->config.max_age_ns);
}

int
part_finish(struct part *p, struct err *e)
{
    char path[PATH_MAX];
    size_t size = strlen(p->path) - strlen(PART_SUFFIX);

    if (p->fd < 0 || p->size == 0)
        return 0;
    memcpy(path, p->path, size);
    path[size] = '\0';
    if (rename(p->path, path) != 0)
        return err_sys(e, code_of(errno), errno, "finish %s", path);
    /* Its old name is gone: whatever follows, this file is not written to any more. */
    (void)close(p->fd);
    p->fd = -1;
    p->size = 0;
    return fsync(p->directory_fd) != 0 ? err_sys(e, code_of(errno), errno, "finish %s", path) : 0;
}
