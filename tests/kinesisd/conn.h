/*
 * conn - one client connection: bytes in, complete requests to the service, answers out.
 */
#ifndef KINESISD_CONN_H
#define KINESISD_CONN_H

#include "tests/kinesisd/bytes.h"
#include "tests/kinesisd/http.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct service;

struct conn {
    struct conn *next; /* the server's list */
    int fd;
    uint32_t events;      /* what the event loop watches for now */
    SSL *ssl;             /* NULL = plain */
    bool ssl_wants_write; /* the TLS layer must write before it can go on */
    struct bytes in;
    struct http_head head; /* valid while has_head */
    struct http_dechunk dechunk;
    bool has_head;
    bool is_reset; /* close with RST */
    bool closes;   /* after the answer */
    bool drains;   /* what the client still sends is read and dropped before closing */
    struct bytes out;
    size_t sent;     /* of out */
    int64_t hold_ns; /* monotonic time before which out must not leave; 0 = none */
};

/* Takes fd; tls may be NULL. */
struct conn *conn_new(int fd, SSL_CTX *tls);
void conn_free(struct conn **c);

/* Reads, serves and writes until it would block.  False: the connection is over, free it. */
bool conn_drive(struct conn *c, struct service *s);

/* The events to wait for. */
uint32_t conn_wants(const struct conn *c);

#endif
