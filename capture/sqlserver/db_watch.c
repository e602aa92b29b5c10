#include "capture/sqlserver/db_watch.h"

#include "common/clock.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct db_watch *watched;
static bool has_thread;

static bool
is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return fd >= 0 && poll(&p, 1, 0) > 0;
}

static void
look_at(struct db_watch *w, int64_t now)
{
    uint64_t calls = atomic_load_explicit(&w->calls, memory_order_relaxed);
    int64_t until = atomic_load_explicit(&w->until_ns, memory_order_relaxed);

    if (calls != w->seen) {
        w->seen = calls;
        w->since_ns = now;
    }
    if ((calls & 1) == 0)
        return;
    if (now - w->since_ns > w->call_limit_ns || (until != 0 && now > until))
        atomic_store_explicit(&w->is_late, true, memory_order_relaxed);
    else if (now == w->since_ns || !is_readable(w->stop_fd))
        return;
    (void)shutdown(w->fd, SHUT_RDWR);
}

static void *
watch(void *arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&lock);
    for (;;) {
        struct timespec next;
        int64_t now;

        while (watched == NULL)
            (void)pthread_cond_wait(&changed, &lock);
        (void)clock_gettime(CLOCK_REALTIME, &next);
        next.tv_sec++;
        (void)pthread_cond_timedwait(&changed, &lock, &next);
        now = clock_mono_ns();
        for (struct db_watch *w = watched; w != NULL; w = w->next)
            look_at(w, now);
    }
    return NULL;
}

/* The thread stays for the life of the process: it waits for nothing while nothing is watched. */
static int
need_thread(struct err *e)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    if (has_thread)
        return 0;
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    rc = pthread_create(&thread, &attr, watch, NULL);
    (void)pthread_attr_destroy(&attr);
    if (rc != 0)
        return err_sys(e, ERR_IO, rc, "start the thread that watches connections");
    has_thread = true;
    return 0;
}

int
db_watch_begin(struct db_watch *w, int fd, int stop_fd, uint32_t call_limit_s, struct err *e)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int rc;

    if (own < 0)
        return err_sys(e, ERR_IO, errno, "duplicate a socket");
    (void)pthread_mutex_lock(&lock);
    rc = need_thread(e);
    if (rc == 0) {
        w->fd = own;
        w->stop_fd = stop_fd;
        w->call_limit_ns = (int64_t)call_limit_s * NS_PER_S;
        w->seen = 0;
        w->since_ns = clock_mono_ns();
        w->next = watched;
        watched = w;
        (void)pthread_cond_signal(&changed);
    }
    (void)pthread_mutex_unlock(&lock);
    if (rc != 0)
        (void)close(own);
    return rc;
}

void
db_watch_end(struct db_watch *w)
{
    struct db_watch **p = &watched;

    if (w->fd < 0)
        return;
    (void)pthread_mutex_lock(&lock);
    while (*p != w)
        p = &(*p)->next;
    *p = w->next;
    (void)pthread_mutex_unlock(&lock);
    (void)close(w->fd);
    w->fd = -1;
}
