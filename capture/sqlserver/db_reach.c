#include "capture/sqlserver/db_reach.h"

#include "common/clock.h"
#include "common/err.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES_MAX 16

/* The addresses of a name, tried all at once, as the library does. */
struct attempt {
    struct pollfd fds[ADDRESSES_MAX + 1]; /* the last one is stop_fd */
    nfds_t n;
    int error; /* errno of the last one that failed */
};

static void
begin(struct attempt *a, const struct addrinfo *list)
{
    for (const struct addrinfo *ai = list; ai != NULL && a->n < ADDRESSES_MAX; ai = ai->ai_next) {
        int fd =
            socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);

        if (fd >= 0 && (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 || errno == EINPROGRESS)) {
            a->fds[a->n++] = (struct pollfd){.fd = fd, .events = POLLOUT};
            continue;
        }
        a->error = errno;
        if (fd >= 0)
            (void)close(fd);
    }
}

static void
drop(struct attempt *a, nfds_t i)
{
    (void)close(a->fds[i].fd);
    a->fds[i] = a->fds[--a->n];
}

/* True when one is connected; forgets those that failed. */
static bool
look(struct attempt *a)
{
    for (nfds_t i = a->n; i-- > 0;) {
        socklen_t size = sizeof(int);
        int error = 0;

        if (a->fds[i].revents == 0)
            continue;
        if (getsockopt(a->fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
        if (error == 0)
            return true;
        a->error = error;
        drop(a, i);
    }
    return false;
}

/* 0, -1 = stopped, or the errno that says why no address answers. */
static int
await(struct attempt *a, int64_t end_ns, int stop_fd)
{
    while (a->n > 0) {
        int64_t left_ms = (end_ns - clock_mono_ns()) / NS_PER_MS;

        a->fds[a->n] = (struct pollfd){.fd = stop_fd, .events = POLLIN};
        if (left_ms <= 0)
            return ETIMEDOUT;
        if (poll(a->fds, a->n + 1, (int)left_ms) < 0 && errno != EINTR)
            return errno;
        if (a->fds[a->n].revents != 0)
            return -1;
        if (look(a))
            return 0;
    }
    return a->error;
}

static int
try_addresses(const struct addrinfo *list, uint32_t timeout_s, int stop_fd)
{
    int64_t end_ns = clock_mono_ns() + (int64_t)timeout_s * NS_PER_S;
    struct attempt a = {.n = 0, .error = EADDRNOTAVAIL};
    int rc;

    begin(&a, list);
    rc = await(&a, end_ns, stop_fd);
    while (a.n > 0)
        drop(&a, a.n - 1);
    return rc;
}

int
db_reach(const char *host, uint16_t port, uint32_t timeout_s, int stop_fd, struct err *e)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char service[8];
    char why[128];
    int error;
    int rc;

    (void)snprintf(service, sizeof(service), "%u", port);
    rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0) {
        err_set(e, ERR_CONNECT, "the name %s cannot be resolved: %s", host, gai_strerror(rc));
        return err_hint(e, "check SourceEndpoint.ServerName and the resolver of this host");
    }
    error = try_addresses(list, timeout_s, stop_fd);
    freeaddrinfo(list);
    if (error == 0)
        return 0;
    if (error < 0)
        return err_set(e, ERR_STOPPED, "connect to %s port %u: stopped", host, port);
    if (error == ETIMEDOUT) {
        err_set(e, ERR_TIMEOUT, "no answer from %s port %u within %u s", host, port, timeout_s);
        return err_hint(e, "a firewall or security group may drop the packets");
    }
    err_set(e, ERR_CONNECT, "connect to %s port %u: %s", host, port,
            strerror_r(error, why, sizeof(why)));
    return err_hint(e, "check SourceEndpoint.ServerName and Port, and that the server is up and "
                       "listens on TCP");
}

bool
db_reach_elsewhere(int fd, const char *host, uint16_t port, char to[DB_REACH_ADDRESS],
                   uint16_t *to_port)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    struct addrinfo *list = NULL;
    char service[8];
    bool is_host = false;

    (void)snprintf(service, sizeof(service), "%u", port);
    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 ||
        getaddrinfo(host, service, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
        is_host |= ai->ai_addrlen == size && memcmp(ai->ai_addr, &peer, size) == 0;
    freeaddrinfo(list);
    if (is_host || getnameinfo((struct sockaddr *)&peer, size, to, DB_REACH_ADDRESS, service,
                               sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    *to_port = (uint16_t)strtoul(service, NULL, 10);
    return true;
}
