#include "capture/sqlserver/db_reach.h"

#include "common/err.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* 0, or the errno of the connection attempt. */
static int
try_address(const struct addrinfo *ai, uint32_t timeout_s)
{
    struct pollfd p = {.events = POLLOUT};
    socklen_t size = sizeof(int);
    int error = 0;

    p.fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
    if (p.fd < 0)
        return errno;
    if (connect(p.fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            error = errno;
        else if (poll(&p, 1, (int)timeout_s * 1000) <= 0)
            error = ETIMEDOUT;
        else if (getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
    }
    (void)close(p.fd);
    return error;
}

int
db_reach(const char *host, uint16_t port, uint32_t timeout_s, struct err *e)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char service[8];
    char why[128];
    int error = 0;
    int rc;

    (void)snprintf(service, sizeof(service), "%u", port);
    rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0) {
        err_set(e, ERR_CONNECT, "the name %s cannot be resolved: %s", host, gai_strerror(rc));
        return err_hint(e, "check SourceEndpoint.ServerName and the resolver of this host");
    }
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        error = try_address(ai, timeout_s);
        if (error == 0)
            break;
    }
    freeaddrinfo(list);
    if (error == 0)
        return 0;
    if (error == ETIMEDOUT) {
        err_set(e, ERR_TIMEOUT, "no answer from %s port %u within %u s", host, port, timeout_s);
        return err_hint(e, "a firewall or security group may drop the packets");
    }
    err_set(e, ERR_CONNECT, "connect to %s port %u: %s", host, port,
            strerror_r(error, why, sizeof(why)));
    return err_hint(e, "check SourceEndpoint.ServerName and Port, and that the server is up and "
                       "listens on TCP");
}
