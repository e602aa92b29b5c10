#include "tests/mssqld/tds/server.h"

#include "common/err.h"
#include "common/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG    256
#define FIRST_SPID 51U /* SQL Server keeps those below for itself */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct client {
    struct client *next; /* under server->lock */
    struct server *server;
    int fd; /* -1 once the thread has given it up; under server->lock */
    uint16_t spid;
};

struct server {
    int fd;
    uint16_t port;
    char address[INET6_ADDRSTRLEN + 16];
    unsigned max_connections;
    struct conn_config config;
    atomic_bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* signalled when n_clients falls to 0 */
    struct client *clients;
    unsigned n_clients;
    uint16_t last_spid;
};

/* ---- listening ---- */

static int
parse_address(const char *text, uint16_t port, union address *out, socklen_t *size, struct err *e)
{
    struct in_addr v4 = {.s_addr = 0};

    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, &v4) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        out->v4.sin_addr = v4;
        *size = sizeof(out->v4);
        if (ntohl(v4.s_addr) >> 24 == 127)
            return 0;
    } else if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        *size = sizeof(out->v6);
        if (IN6_IS_ADDR_LOOPBACK(&out->v6.sin6_addr))
            return 0;
    } else {
        return err_set(e, ERR_USAGE, "'%s' is no IP address", text);
    }
    (void)err_set(e, ERR_USAGE, "%s is not a loopback address", text);
    return err_hint(e, "this is a test server; use 127.0.0.1 or ::1");
}

/* Asks the kernel which port it was and writes the printable address. */
static int
note_address(struct server *s, const char *text, struct err *e)
{
    union address bound;
    socklen_t size = sizeof(bound);

    memset(&bound, 0, sizeof(bound));
    if (getsockname(s->fd, &bound.any, &size) != 0)
        return err_sys(e, ERR_IO, errno, "ask for the port");
    if (bound.any.sa_family == AF_INET6) {
        s->port = ntohs(bound.v6.sin6_port);
        (void)snprintf(s->address, sizeof(s->address), "[%s]:%u", text, s->port);
    } else {
        s->port = ntohs(bound.v4.sin_port);
        (void)snprintf(s->address, sizeof(s->address), "%s:%u", text, s->port);
    }
    return 0;
}

static int
open_socket(struct server *s, const char *text, uint16_t port, struct err *e)
{
    union address address;
    socklen_t size = 0;
    int on = 1;

    if (parse_address(text, port, &address, &size, e) != 0)
        return -1;
    s->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return err_sys(e, ERR_IO, errno, "make a socket");
    if (setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return err_sys(e, ERR_IO, errno, "set SO_REUSEADDR");
    if (bind(s->fd, &address.any, size) != 0 || listen(s->fd, BACKLOG) != 0) {
        (void)err_sys(e, ERR_BUSY, errno, "listen on %s port %u", text, port);
        return err_hint(e, "choose another --port, or 0 for any");
    }
    return note_address(s, text, e);
}

int
server_open(const char *address, uint16_t port, unsigned max_connections,
            const struct conn_config *config, struct server **out, struct err *e)
{
    struct server *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the server");
    s->fd = -1;
    s->max_connections = max_connections;
    s->config = *config;
    s->config.stopping = &s->stopping;
    s->last_spid = FIRST_SPID - 1;
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    CHECK(pthread_cond_init(&s->idle, NULL) == 0);
    if (open_socket(s, address, port, e) != 0) {
        server_close(&s);
        return -1;
    }
    *out = s;
    return 0;
}

const char *
server_address(const struct server *server)
{
    return server->address;
}

uint16_t
server_port(const struct server *server)
{
    return server->port;
}

/* ---- clients ---- */

static void
forget_client(struct client *client)
{
    struct server *s = client->server;
    struct client **p = &s->clients;

    (void)pthread_mutex_lock(&s->lock);
    while (*p != client)
        p = &(*p)->next;
    *p = client->next;
    (void)close(client->fd); /* under the lock: nobody may shut down a number given anew */
    s->n_clients--;
    if (s->n_clients == 0)
        (void)pthread_cond_broadcast(&s->idle);
    (void)pthread_mutex_unlock(&s->lock);
    free(client);
}

static void *
client_main(void *arg)
{
    struct client *client = arg;

    conn_serve(client->fd, client->spid, &client->server->config);
    /* Once the client is forgotten the process may exit before this thread does; what OpenSSL
       keeps for the thread must be gone by then. */
    OPENSSL_thread_stop();
    forget_client(client);
    return NULL;
}

/* Takes a place in the list; NULL when all are taken. */
static struct client *
add_client(struct server *s, int fd)
{
    struct client *client = NULL;

    (void)pthread_mutex_lock(&s->lock);
    if (s->n_clients < s->max_connections)
        client = calloc(1, sizeof(*client));
    if (client != NULL) {
        s->last_spid = s->last_spid == UINT16_MAX ? FIRST_SPID : (uint16_t)(s->last_spid + 1);
        *client = (struct client){.next = s->clients, .server = s, .fd = fd, .spid = s->last_spid};
        s->clients = client;
        s->n_clients++;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return client;
}

static void
start_client(struct server *s, int fd)
{
    struct client *client = add_client(s, fd);
    pthread_attr_t attr;
    pthread_t thread;
    int on = 1;
    int r;

    if (client == NULL) {
        log_warn("too-many-connections", "limit=%u", s->max_connections);
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    r = pthread_create(&thread, &attr, client_main, client);
    (void)pthread_attr_destroy(&attr);
    if (r != 0) {
        log_error("thread-failed", "errno=%d", r);
        forget_client(client);
    }
}

void
server_cut(void *server, uint16_t spid)
{
    struct server *s = server;

    (void)pthread_mutex_lock(&s->lock);
    for (struct client *c = s->clients; c != NULL; c = c->next)
        if (c->spid == spid)
            (void)shutdown(c->fd, SHUT_RDWR);
    (void)pthread_mutex_unlock(&s->lock);
}

int
server_run(struct server *server, int stop_fd, struct err *e)
{
    struct pollfd fds[2] = {{.fd = server->fd, .events = POLLIN},
                            {.fd = stop_fd, .events = POLLIN}};

    for (;;) {
        int fd;

        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return err_sys(e, ERR_IO, errno, "wait for connections");
        }
        if (fds[1].revents != 0)
            return 0;
        fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            start_client(server, fd);
        } else if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) {
            return err_sys(e, ERR_IO, errno, "accept a connection");
        }
    }
}

void
server_close(struct server **server)
{
    struct server *s = *server;

    if (s == NULL)
        return;
    *server = NULL;
    if (s->fd >= 0)
        (void)close(s->fd);
    /* Connections see this in cancelled(), or their socket dies under them. */
    atomic_store_explicit(&s->stopping, true, memory_order_relaxed);
    (void)pthread_mutex_lock(&s->lock);
    for (struct client *c = s->clients; c != NULL; c = c->next)
        (void)shutdown(c->fd, SHUT_RDWR);
    while (s->n_clients > 0)
        (void)pthread_cond_wait(&s->idle, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->idle);
    free(s);
}
