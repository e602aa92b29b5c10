#include "tests/mssqld/tds/fault.h"

#include "common/err.h"
#include "tests/mssqld/tds/hostile.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_SIZE_MAX 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char content[FILE_SIZE_MAX]; /* as last read; under lock */
static unsigned connections;        /* since then; under lock */

/* ---- the file ---- */

/* Does "3", "3+" or "*" mean this connection?  -1 = it is none of these. */
static int
is_meant(const char *word, unsigned connection)
{
    char *end;
    unsigned long n = strtoul(word, &end, 10);

    if (strcmp(word, "*") == 0)
        return 1;
    if (end == word || n == 0 || (*end != '\0' && strcmp(end, "+") != 0))
        return -1;
    return *end == '+' ? connection >= n : connection == n;
}

static bool
number(const char *word, uint64_t max, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(word, &end, 10);
    return errno == 0 && end != word && *end == '\0' && *out <= max;
}

/* One fault of two words behind its name ("" where the line has fewer). */
static bool
take_fault(struct fault *f, const char *name, const char *a, const char *b)
{
    uint64_t n = 0;
    uint64_t m = 0;

    if (strcmp(name, "hostile") == 0) {
        (void)snprintf(f->hostile_kind, sizeof(f->hostile_kind), "%.31s", a);
        f->hostile = f->hostile_kind;
        if (!hostile_is_known(a) || !number(b, UINT32_MAX, &n) || n == 0)
            return false;
        f->hostile_answer = (unsigned)n;
        return true;
    }
    if (strcmp(name, "route") == 0) {
        (void)snprintf(f->route_host, sizeof(f->route_host), "%s", a);
        if (*a == '\0' || !number(b, UINT16_MAX, &n) || n == 0)
            return false;
        f->route_port = (uint16_t)n;
        return true;
    }
    if (!number(a, UINT64_MAX - 1, &n))
        return false;
    if (strcmp(name, "slow") == 0) {
        if (n == 0 || n > UINT32_MAX || !number(b, 60000, &m))
            return false;
        f->slow_bytes = (uint32_t)n;
        f->slow_ms = (uint32_t)m;
        return true;
    }
    if (*b != '\0')
        return false;
    if (strcmp(name, "packet") == 0) {
        f->packet_size = (uint32_t)n;
        return n >= 512 && n <= 32767;
    }
    if (strcmp(name, "hold") == 0) {
        f->hold_after = n;
        return true;
    }
    f->end_after = n;
    f->resets = strcmp(name, "reset") == 0;
    return f->resets || strcmp(name, "cut") == 0;
}

static int
parse(const char *path, struct fault *out, struct err *e)
{
    char text[FILE_SIZE_MAX];
    char *rest = text;
    char *line;
    int n = 0;

    memcpy(text, content, sizeof(text));
    while ((line = strsep(&rest, "\n")) != NULL) {
        char who[32] = "";
        char name[32] = "";
        char a[256] = "";
        char b[32] = "";
        int words;
        int meant;

        n++;
        line[strcspn(line, "#")] = '\0';
        words = sscanf(line, "%31s %31s %255s %31s", who, name, a, b);
        if (words <= 0)
            continue;
        meant = is_meant(who, out->connection);
        if (meant < 0 || (meant > 0 && !take_fault(out, name, a, b)))
            return err_set(e, ERR_CONFIG, "%s:%d: '%s' is no fault", path, n, line);
    }
    return 0;
}

/* Under the lock.  A file that is not there has no faults. */
static int
refresh(const char *path, struct err *e)
{
    char text[FILE_SIZE_MAX] = "";
    FILE *file = fopen(path, "re");
    size_t n = 0;

    if (file == NULL && errno != ENOENT)
        return err_sys(e, ERR_IO, errno, "read %s", path);
    if (file != NULL) {
        n = fread(text, 1, sizeof(text) - 1, file);
        (void)fclose(file);
    }
    text[n] = '\0';
    if (strcmp(text, content) != 0) {
        memcpy(content, text, sizeof(content));
        connections = 0;
    }
    return 0;
}

int
fault_begin(const char *path, struct fault *out, struct err *e)
{
    int rc;

    *out = (struct fault){.end_after = UINT64_MAX, .hold_after = UINT64_MAX};
    if (path == NULL)
        return 0;
    (void)pthread_mutex_lock(&lock);
    rc = refresh(path, e);
    if (rc == 0) {
        out->connection = ++connections;
        rc = parse(path, out, e);
    }
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

/* ---- sending ---- */

static int
send_all(int fd, const void *data, size_t size, struct err *e)
{
    const char *p = data;

    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            return err_sys(e, ERR_IO, errno, "send");
        }
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/* The server closes the descriptor later; the peer sees the end now. */
static int
end(struct fault *f, int fd, struct err *e)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    f->has_ended = true;
    if (f->resets) /* with data unread, or this, close() sends a reset */
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    else
        (void)shutdown(fd, SHUT_RDWR);
    return err_set(e, ERR_CONNECT, "cut after %llu bytes, as told", (unsigned long long)f->sent);
}

static int
send_slowly(const struct fault *f, int fd, const char *p, size_t size, struct err *e)
{
    while (size > 0) {
        size_t n = size < f->slow_bytes ? size : f->slow_bytes;

        if (send_all(fd, p, n, e) != 0)
            return -1;
        (void)usleep(f->slow_ms * 1000);
        p += n;
        size -= n;
    }
    return 0;
}

int
fault_send(struct fault *f, int fd, const void *data, size_t size, struct err *e)
{
    uint64_t most;
    size_t n;
    int rc;

    if (f == NULL)
        return send_all(fd, data, size, e);
    if (f->has_ended)
        return err_set(e, ERR_CONNECT, "cut, as told");
    most = f->end_after < f->hold_after ? f->end_after : f->hold_after;
    n = size < most - f->sent ? size : (size_t)(most - f->sent);
    rc = f->slow_bytes > 0 ? send_slowly(f, fd, data, n, e) : send_all(fd, data, n, e);
    f->sent += n;
    if (rc == 0 && f->sent >= f->end_after)
        return end(f, fd, e);
    return rc; /* what lies behind hold_after is swallowed */
}
