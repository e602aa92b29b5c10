#include "tests/kinesisd/server.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "tests/kinesisd/conn.h"
#include "tests/kinesisd/history.h"
#include "tests/kinesisd/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX        64
#define BACKLOG           512
#define HISTORY_PERIOD_NS (50 * NS_PER_MS)

struct server {
    int epoll;
    int listener;
    int signals;
    SSL_CTX *tls;
    struct service *service;
    struct conn *conns; /* all, in a list */
    uint16_t port;
    int64_t history_due_ns; /* 0 = nothing waits */
};

/* ---- set-up ---- */

static int
open_listener(struct server *s, const struct server_options *o, struct err *e)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(o->port)};
    socklen_t len = sizeof(a);
    int one = 1;

    if (inet_pton(AF_INET, o->address, &a.sin_addr) != 1 ||
        ntohl(a.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET) {
        (void)err_set(e, ERR_USAGE, "--listen %s is not a loopback address", o->address);
        return err_hint(e, "kinesisd is a test server: use 127.0.0.1");
    }
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener < 0)
        return err_sys(e, ERR_IO, errno, "create the listening socket");
    (void)setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s->listener, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        listen(s->listener, BACKLOG) != 0 ||
        getsockname(s->listener, (struct sockaddr *)&a, &len) != 0)
        return err_sys(e, ERR_IO, errno, "listen on %s:%u", o->address, o->port);
    s->port = ntohs(a.sin_port);
    return 0;
}

static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int
open_tls(struct server *s, const struct server_options *o, struct err *e)
{
    s->tls = SSL_CTX_new(TLS_server_method());
    if (s->tls == NULL)
        return err_set(e, ERR_TLS, "create a TLS context");
    SSL_CTX_set_alpn_select_cb(s->tls, choose_protocol, NULL);
    (void)SSL_CTX_set_mode(s->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(s->tls, o->tls_cert) != 1)
        return err_set(e, ERR_TLS, "read certificate %s: %s", o->tls_cert,
                       ERR_reason_error_string(ERR_peek_last_error()));
    if (SSL_CTX_use_PrivateKey_file(s->tls, o->tls_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(s->tls) != 1)
        return err_set(e, ERR_TLS, "read private key %s: %s", o->tls_key,
                       ERR_reason_error_string(ERR_peek_last_error()));
    return 0;
}

/* The stop signals become readable events; SIGPIPE must not end the server. */
static int
open_signals(struct server *s, struct err *e)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_sys(e, ERR_IO, errno, "block the stop signals");
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signals < 0)
        return err_sys(e, ERR_IO, errno, "open the signal descriptor");
    return 0;
}

static int
watch(struct server *s, int fd, void *what, struct err *e)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = what};

    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
        return err_sys(e, ERR_IO, errno, "watch descriptor %d", fd);
    return 0;
}

int
server_open(const struct server_options *o, struct service *service, struct server **out,
            struct err *e)
{
    struct server *s = bytes_zalloc(sizeof(*s));

    s->service = service;
    s->listener = s->signals = -1;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0) {
        (void)err_sys(e, ERR_IO, errno, "create the event loop");
        goto fail;
    }
    if (open_listener(s, o, e) != 0 || open_signals(s, e) != 0 ||
        (o->tls_cert != NULL && open_tls(s, o, e) != 0))
        goto fail;
    /* Listener and signals are told apart from connections by the address of their field. */
    if (watch(s, s->listener, &s->listener, e) != 0 || watch(s, s->signals, &s->signals, e) != 0)
        goto fail;
    *out = s;
    return 0;

fail:
    server_close(&s);
    return -1;
}

uint16_t
server_port(const struct server *s)
{
    return s->port;
}

/* ---- the loop ---- */

static void
forget(struct server *s, struct conn *c)
{
    struct conn **at = &s->conns;

    while (*at != c) {
        CHECK(*at != NULL);
        at = &(*at)->next;
    }
    *at = c->next;
    conn_free(&c);
}

static void
accept_all(struct server *s)
{
    struct err e = ERR_INIT;
    int one = 1;
    int fd;

    while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c;

        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        c = conn_new(fd, s->tls);
        if (watch(s, fd, c, &e) != 0) {
            log_err(LOG_WARN, "connection-refused", &e);
            conn_free(&c);
            continue;
        }
        c->events = EPOLLIN;
        c->next = s->conns;
        s->conns = c;
        s->service->counters.connections++;
    }
}

/* Lets the connection do what it can and arms what it waits for. */
static void
drive(struct server *s, struct conn *c)
{
    uint32_t want;
    struct epoll_event ev = {.data.ptr = c};

    if (!conn_drive(c, s->service)) {
        forget(s, c);
        return;
    }
    want = conn_wants(c);
    if (want == c->events)
        return;
    ev.events = want;
    c->events = want;
    if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &ev) != 0)
        forget(s, c);
}

/* A client that gave up while its answer is held back must not be reported for ever. */
static void
on_event(struct server *s, struct conn *c, uint32_t events)
{
    if (c->hold_ns != 0 && (events & (EPOLLHUP | EPOLLERR)) != 0)
        forget(s, c);
    else
        drive(s, c);
}

/* Milliseconds until the next timer, -1 = none.  Answers held back are few: a scan will do. */
static int
next_timer_ms(const struct server *s)
{
    int64_t due_ns = s->history_due_ns == 0 ? INT64_MAX : s->history_due_ns;
    int64_t wait_ns;

    for (const struct conn *c = s->conns; c != NULL; c = c->next) {
        if (c->hold_ns != 0 && c->hold_ns < due_ns)
            due_ns = c->hold_ns;
    }
    if (due_ns == INT64_MAX)
        return -1;
    wait_ns = due_ns - clock_mono_ns();
    return wait_ns <= 0 ? 0 : (int)(wait_ns / NS_PER_MS) + 1;
}

static void
flush_history(struct server *s)
{
    struct err e = ERR_INIT;

    s->history_due_ns = 0;
    if (s->service->history != NULL && history_flush(s->service->history, &e) != 0)
        log_err(LOG_ERROR, "history-write", &e);
}

static void
run_timers(struct server *s)
{
    int64_t now_ns = clock_mono_ns();
    struct conn *next;

    for (struct conn *c = s->conns; c != NULL; c = next) {
        next = c->next;
        if (c->hold_ns != 0 && c->hold_ns <= now_ns)
            drive(s, c);
    }
    if (s->history_due_ns != 0 && s->history_due_ns <= now_ns)
        flush_history(s);
    if (s->history_due_ns == 0 && s->service->history != NULL &&
        history_is_dirty(s->service->history))
        s->history_due_ns = now_ns + HISTORY_PERIOD_NS;
}

int
server_run(struct server *s, struct err *e)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int n = epoll_wait(s->epoll, events, EVENTS_MAX, next_timer_ms(s));

        if (n < 0 && errno != EINTR)
            return err_sys(e, ERR_IO, errno, "wait for events");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &s->signals) {
                flush_history(s);
                return 0;
            }
            if (events[i].data.ptr == &s->listener)
                accept_all(s);
            else
                on_event(s, events[i].data.ptr, events[i].events);
        }
        run_timers(s);
    }
}

void
server_close(struct server **s)
{
    if (*s == NULL)
        return;
    while ((*s)->conns != NULL)
        forget(*s, (*s)->conns);
    if ((*s)->listener >= 0)
        (void)close((*s)->listener);
    if ((*s)->signals >= 0)
        (void)close((*s)->signals);
    if ((*s)->epoll >= 0)
        (void)close((*s)->epoll);
    SSL_CTX_free((*s)->tls);
    free(*s);
    *s = NULL;
}
