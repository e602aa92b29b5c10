#include "common/file.h"

#include "common/err.h"
#include "common/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err_code
code_of(int sys)
{
    switch (sys) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_ACCESS;
    case ENOSPC:
    case EDQUOT:
        return ERR_NOSPACE;
    default:
        return ERR_IO;
    }
}

int
file_make_directory(const char *path, mode_t mode, struct err *e)
{
    char part[PATH_MAX];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof(part))
        return err_set(e, ERR_CONFIG, "directory name of %zu bytes: '%.64s'", n, path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, mode) != 0 && errno != EEXIST) {
            int sys = errno;

            err_sys(e, code_of(sys), sys, "make directory %s", part);
            return err_hint(e, "create it, or give this user the right to");
        }
    }
    return 0;
}

static int
write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

/* The rename is durable only once the directory is. */
static int
sync_directory_of(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd;
    int rc;

    (void)snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(slash - path) : 1,
                   slash != NULL ? path : ".");
    fd = open(dir[0] != '\0' ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    rc = fsync(fd);
    (void)close(fd);
    return rc;
}

int
file_replace(const char *path, const void *data, size_t size, mode_t mode, struct err *e)
{
    char tmp[PATH_MAX];
    const char *step = "create";
    int sys = FAULT("file_replace");
    int fd = -1;

    if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
        return err_set(e, ERR_CONFIG, "path too long: %.64s...", path);
    if (sys != 0)
        goto fail;
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        sys = errno;
        goto fail;
    }
    CRASH_POINT("file_replace.created");
    step = "write";
    if (write_all(fd, data, size) != 0 || fsync(fd) != 0) {
        sys = errno;
        goto fail;
    }
    CRASH_POINT("file_replace.written");
    step = "rename";
    if (rename(tmp, path) != 0 || sync_directory_of(path) != 0) {
        sys = errno;
        goto fail;
    }
    CRASH_POINT("file_replace.renamed");
    (void)close(fd);
    return 0;

fail:
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(tmp);
    }
    err_sys(e, code_of(sys), sys, "%s %s", step, path);
    if (code_of(sys) == ERR_NOSPACE)
        err_hint(e, "make room on the file system of %s; nothing is lost meanwhile", path);
    return -1;
}

int
file_read(const char *path, size_t max, char **out, size_t *size, struct err *e)
{
    struct stat st;
    char *text = NULL;
    size_t have = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int sys;

    if (fd < 0)
        return err_sys(e, code_of(errno), errno, "open %s", path);
    if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
        err_set(e, ERR_IO, "%s is not a readable file", path);
        goto fail;
    }
    if ((uint64_t)st.st_size > max) {
        err_set(e, ERR_LAYOUT, "%s has %" PRId64 " bytes, more than the %zu allowed", path,
                (int64_t)st.st_size, max);
        goto fail;
    }
    /* One byte more than is allowed, so that growth shows; one more for the NUL. */
    text = malloc(max + 2);
    if (text == NULL) {
        err_set(e, ERR_NOMEM, "read %s", path);
        goto fail;
    }
    while (have <= max) {
        ssize_t n = read(fd, text + have, max + 1 - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            sys = errno;
            err_sys(e, ERR_IO, sys, "read %s", path);
            goto fail;
        }
        if (n == 0)
            break;
        have += (size_t)n;
    }
    if (have > max) {
        err_set(e, ERR_LAYOUT, "%s grew beyond the %zu bytes allowed", path, max);
        goto fail;
    }
    text[have] = '\0';
    (void)close(fd);
    *out = text;
    *size = have;
    return 0;

fail:
    free(text);
    (void)close(fd);
    return -1;
}

int
file_lock(const char *path, int *fd, struct err *e)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char pid[32];
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    int n;

    if (f < 0)
        return err_sys(e, code_of(errno), errno, "open %s", path);
    if (fcntl(f, F_OFD_SETLK, &lock) != 0) {
        ssize_t got = pread(f, pid, sizeof(pid) - 1, 0);

        pid[got > 0 ? got : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        (void)close(f);
        err_set(e, ERR_BUSY, "%s is held by process %s", path, pid[0] != '\0' ? pid : "(unknown)");
        return err_hint(e, "the same task runs already; stop it first, or give this one another "
                           "StateDirectory and RuntimeDirectory");
    }
    n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(f, 0) != 0 || pwrite(f, pid, (size_t)n, 0) != n) {
        err_sys(e, code_of(errno), errno, "write %s", path);
        (void)close(f);
        return -1;
    }
    *fd = f;
    return 0;
}

bool
file_is_locked(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool is_locked;

    if (fd < 0)
        return false;
    is_locked = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    (void)close(fd);
    return is_locked;
}
