#include "tests/kinesisd/conn.h"

#include "common/clock.h"
#include "common/err.h"
#include "tests/kinesisd/service.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 * 1024)

/* A buffer that a big request has grown is given back when the connection falls idle. */
#define IDLE_BUFFER_MAX ((size_t)4 * 1024 * 1024)

enum io { IO_DONE, IO_AGAIN, IO_END };

struct conn *
conn_new(int fd, SSL_CTX *tls)
{
    struct conn *c = bytes_zalloc(sizeof(*c));

    c->fd = fd;
    if (tls != NULL) {
        c->ssl = SSL_new(tls);
        CHECK(c->ssl != NULL && SSL_set_fd(c->ssl, fd) == 1);
        SSL_set_accept_state(c->ssl);
    }
    return c;
}

void
conn_free(struct conn **c)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    if ((*c)->is_reset)
        (void)setsockopt((*c)->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    SSL_free((*c)->ssl);
    (void)close((*c)->fd);
    bytes_free(&(*c)->in);
    bytes_free(&(*c)->out);
    free(*c);
    *c = NULL;
}

/* ---- bytes ---- */

static enum io
ssl_outcome(struct conn *c, int result)
{
    int why = SSL_get_error(c->ssl, result);

    c->ssl_wants_write = why == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? IO_AGAIN : IO_END;
}

static enum io
read_some(struct conn *c, size_t want)
{
    char *to = bytes_reserve(&c->in, want);
    size_t n;

    if (c->ssl != NULL) {
        int r = SSL_read_ex(c->ssl, to, want, &n);

        if (r != 1)
            return ssl_outcome(c, r);
    } else {
        ssize_t r = recv(c->fd, to, want, 0);

        if (r < 0 && (errno == EAGAIN || errno == EINTR))
            return IO_AGAIN;
        if (r <= 0)
            return IO_END;
        n = (size_t)r;
    }
    c->in.len += n;
    return IO_DONE;
}

static enum io
write_out(struct conn *c)
{
    while (c->sent < c->out.len) {
        size_t left = c->out.len - c->sent;
        size_t n;

        if (c->ssl != NULL) {
            int r = SSL_write_ex(c->ssl, c->out.data + c->sent, left, &n);

            if (r != 1)
                return ssl_outcome(c, r);
        } else {
            ssize_t r = send(c->fd, c->out.data + c->sent, left, MSG_NOSIGNAL);

            if (r < 0 && (errno == EAGAIN || errno == EINTR))
                return IO_AGAIN;
            if (r < 0)
                return IO_END;
            n = (size_t)r;
        }
        c->sent += n;
    }
    c->sent = c->out.len = 0;
    if (c->out.cap > IDLE_BUFFER_MAX)
        bytes_free(&c->out);
    return IO_DONE;
}

/* ---- requests ---- */

static enum http_result
refuse(struct conn *c, struct service *s, int status)
{
    service_plain(s, status, &c->out);
    c->closes = true;
    c->drains = c->ssl == NULL;
    return HTTP_BAD;
}

/* Parses the head once it is there; a client that asks first is told to go on. */
static enum http_result
take_head(struct conn *c, struct service *s)
{
    enum http_result r = http_parse_head(c->in.data, c->in.len, &c->head);

    if (r == HTTP_BAD)
        return refuse(c, s, 400);
    if (r == HTTP_MORE)
        return r;
    if (c->head.content_length > SERVICE_BODY_MAX)
        return refuse(c, s, 413);
    c->has_head = true;
    http_dechunk_init(&c->dechunk, c->head.size);
    if (c->head.wants_continue && c->in.len == c->head.size)
        bytes_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    return r;
}

/* HTTP_READY: the body lies behind the head; *body_len and *used (bytes of the buffer) are set. */
static enum http_result
take_body(struct conn *c, struct service *s, size_t *body_len, size_t *used)
{
    enum http_result r;

    if (!c->head.is_chunked) {
        *body_len = c->head.content_length;
        *used = c->head.size + c->head.content_length;
        return c->in.len >= *used ? HTTP_READY : HTTP_MORE;
    }
    r = http_dechunk(&c->dechunk, c->in.data, c->in.len);
    if (r == HTTP_BAD)
        return refuse(c, s, 400);
    if (c->dechunk.out - c->head.size > SERVICE_BODY_MAX)
        return refuse(c, s, 413);
    /* What is decoded already is not scanned again: the coded rest moves up to it. */
    if (r == HTTP_MORE && c->dechunk.raw > c->dechunk.out) {
        (void)memmove(c->in.data + c->dechunk.out, c->in.data + c->dechunk.raw,
                      c->in.len - c->dechunk.raw);
        c->in.len -= c->dechunk.raw - c->dechunk.out;
        c->dechunk.raw = c->dechunk.out;
    }
    *body_len = c->dechunk.out - c->head.size;
    *used = c->dechunk.raw;
    return r;
}

static void
serve(struct conn *c, struct service *s, size_t body_len, size_t used)
{
    struct service_answer answer;
    size_t before = c->out.len;

    service_handle(s, &c->head, c->in.data, c->in.data + c->head.size, body_len, &c->out, &answer);
    c->closes = !c->head.keeps_alive;
    if (answer.ending != ENDING_ANSWER) {
        c->closes = true;
        c->is_reset = answer.ending == ENDING_RESET;
        /* Half an answer is a head and some of the body. */
        c->out.len = answer.ending == ENDING_CUT ? before + (c->out.len - before) * 2 / 3 : before;
    }
    if (answer.delay_ms > 0)
        c->hold_ns = clock_mono_ns() + answer.delay_ms * NS_PER_MS;
    bytes_shift(&c->in, used);
    c->has_head = false;
    if (c->in.len == 0 && c->in.cap > IDLE_BUFFER_MAX)
        bytes_free(&c->in);
}

/* Bytes the request still needs, or what is worth reading. */
static size_t
want_bytes(const struct conn *c)
{
    size_t need;

    if (!c->has_head || c->head.is_chunked)
        return READ_SIZE;
    need = c->head.size + c->head.content_length;
    return need > c->in.len ? need - c->in.len : READ_SIZE;
}

/* Serves one request if it is all there. */
static enum http_result
step(struct conn *c, struct service *s)
{
    enum http_result r = HTTP_READY;
    size_t body_len = 0;
    size_t used = 0;

    if (c->in.len == 0)
        return HTTP_MORE;
    if (!c->has_head)
        r = take_head(c, s);
    if (r == HTTP_READY)
        r = take_body(c, s, &body_len, &used);
    if (r == HTTP_READY)
        serve(c, s, body_len, used);
    return r;
}

/* Closing with unread bytes would reset the connection and could take the answer with it. */
static bool
drain(struct conn *c)
{
    enum io io;

    (void)shutdown(c->fd, SHUT_WR);
    do {
        c->in.len = 0;
        io = read_some(c, READ_SIZE);
    } while (io == IO_DONE);
    return io == IO_AGAIN;
}

bool
conn_drive(struct conn *c, struct service *s)
{
    for (;;) {
        enum http_result r;
        enum io io;

        if (c->hold_ns != 0 && clock_mono_ns() < c->hold_ns)
            return true;
        c->hold_ns = 0;
        io = write_out(c);
        if (io != IO_DONE)
            return io == IO_AGAIN;
        if (c->closes)
            return c->drains && drain(c);
        r = step(c, s);
        if (r != HTTP_MORE || c->out.len > 0)
            continue;
        io = read_some(c, want_bytes(c));
        if (io != IO_DONE)
            return io == IO_AGAIN;
    }
}

uint32_t
conn_wants(const struct conn *c)
{
    if (c->hold_ns != 0)
        return 0;
    if (c->sent < c->out.len || c->ssl_wants_write)
        return EPOLLOUT;
    return EPOLLIN;
}
