#include "common/aws/renewal.h"

#include "common/aws/call.h"
#include "common/aws/endpoint.h"
#include "common/clock.h"
#include "common/err.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TIMEOUT_MS 5000U
#define EARLY_NS   (300 * NS_PER_S)

struct renewal {
    char region[AWS_REGION_SIZE];
    int stop_fd;
    pthread_t thread;
    bool is_running; /* started and not taken */
    /* The thread writes found, why and rc, then is_done (release); the owner reads is_done
       (acquire), then the rest. */
    _Atomic bool is_done;
    struct credentials found;
    struct err why;
    int rc;
};

int
renewal_open(const char *region, struct renewal **out, struct err *e)
{
    struct renewal *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return err_set(e, ERR_NOMEM, "renewal of credentials");
    (void)snprintf(r->region, sizeof(r->region), "%s", region);
    r->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->stop_fd < 0) {
        int why = errno;

        free(r);
        return err_sys(e, ERR_IO, why, "renewal of credentials");
    }
    *out = r;
    return 0;
}

static void
join(struct renewal *r)
{
    if (r->is_running)
        (void)pthread_join(r->thread, NULL);
    r->is_running = false;
}

void
renewal_close(struct renewal **pointer)
{
    struct renewal *r = *pointer;

    if (r == NULL)
        return;
    *pointer = NULL;
    (void)eventfd_write(r->stop_fd, 1);
    join(r);
    (void)close(r->stop_fd);
    credentials_wipe(&r->found);
    free(r);
}

static void *
search(void *arg)
{
    struct renewal *r = arg;
    const struct aws_wait wait = {.timeout_ms = TIMEOUT_MS, .stop_fd = r->stop_fd};
    const struct credentials_search s = {.region = r->region, .wait = &wait};

    err_clear(&r->why);
    r->rc = credentials_find(&s, &r->found, &r->why);
    atomic_store_explicit(&r->is_done, true, memory_order_release); /* with renewal_take() */
    return NULL;
}

int
renewal_start(struct renewal *r, struct err *e)
{
    sigset_t all;
    sigset_t before;
    int rc;

    if (r->is_running)
        return 0;
    atomic_store_explicit(&r->is_done, false, memory_order_relaxed);
    /* Signals are the main thread's business. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&r->thread, NULL, search, r);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return err_sys(e, ERR_NOMEM, rc, "renewal of credentials");
    r->is_running = true;
    return 0;
}

int
renewal_take(struct renewal *r, struct credentials *out, struct err *e)
{
    /* with search() */
    if (!r->is_running || !atomic_load_explicit(&r->is_done, memory_order_acquire))
        return 0;
    join(r);
    if (r->rc != 0) {
        *e = r->why;
        return -1;
    }
    *out = r->found;
    credentials_wipe(&r->found);
    return 1;
}

int64_t
renewal_due(const struct credentials *c, int64_t found_real_ns)
{
    int64_t early_ns;

    if (c->expires_real_ns == 0)
        return INT64_MAX;
    early_ns = (c->expires_real_ns - found_real_ns) / 4;
    if (early_ns > EARLY_NS)
        early_ns = EARLY_NS;
    return c->expires_real_ns - (early_ns > 0 ? early_ns : 0);
}
