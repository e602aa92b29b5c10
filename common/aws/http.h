/*
 * http - POST requests to one endpoint over kept connections: libcurl's multi interface, driven
 * by one epoll descriptor.
 *
 * A fixed pool of calls, each with an easy handle, a request body and a response buffer that are
 * kept and reused: in the steady state nothing is allocated here per request.  HTTP/1.1 only,
 * no Expect, no redirects, certificates and host names always checked.  Connections are retired
 * before a server or a middlebox would cut them: idle ones soon, busy ones after some minutes.
 *
 * Blocking: http_poll() up to its time-out.  Thread use: one thread.
 */
#ifndef WEIR_AWS_HTTP_H
#define WEIR_AWS_HTTP_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;

#define HTTP_MAX_HEADERS  12
#define HTTP_MAX_RESPONSE (32U << 20)

struct http_config {
    const char *url;
    const char *ca_file; /* "" = AWS_CA_BUNDLE, SSL_CERT_FILE, the system's */
    uint32_t timeout_ms; /* of a whole request */
    uint32_t calls;      /* at once */
    int wake_fd;         /* ends one http_poll() when it becomes readable; -1 = none */
};

struct http_buffer {
    char *data;
    size_t size;
    size_t capacity;
};

/* What the answer's headers said; "" when absent. */
struct http_headers {
    char date[48];
    char age[16];
    char request_id[64];
    char error_type[128];
    char retry_after_ms[16];
    char content_type[64];
};

struct http_call {
    void *tag; /* free for the caller */
    uint32_t index;
    struct http_buffer request;
    struct http_buffer response; /* terminated by a NUL that size does not count */
    struct http_headers headers;
    long status;   /* 0 = no answer: error says why */
    bool was_sent; /* any byte of the request left this host */
    int64_t elapsed_ns;
    struct err error; /* ERR_CONNECT, ERR_TIMEOUT, ERR_TLS, ERR_PROTOCOL */
};

/* ERR_CONFIG (the CA file cannot be read), ERR_NOMEM. */
int http_open(const struct http_config *config, struct http **out, struct err *e);
void http_close(struct http **pointer);

/* A call nobody uses, its request empty, or NULL. */
struct http_call *http_acquire(struct http *h);
void http_release(struct http *h, struct http_call *call);

/* Calls that are acquired and not released. */
uint32_t http_busy(const struct http *h);

/* Makes room for size more bytes.  ERR_NOMEM. */
int http_buffer_reserve(struct http_buffer *b, size_t size, struct err *e);

/*
 * Sends call->request with n headers ("Name: value"; an empty value, "Name:", keeps libcurl from
 * sending its own).  The lines are copied.  fresh asks for a new connection.  ERR_NOMEM.
 */
int http_start(struct http *h, struct http_call *call, const char *const *headers, size_t n,
               bool fresh, struct err *e);

/* Moves all calls on; returns after timeout_ms, or earlier when something came. */
void http_poll(struct http *h, int timeout_ms);

/* One call that is done, or NULL; the caller releases it. */
struct http_call *http_next_done(struct http *h);

#endif
