/*
 * server - the connections: one thread, one epoll loop, HTTP/1.1 keep-alive, optional TLS.
 *
 * A connection reads into one buffer that grows to the size its request announces, so a body is
 * never copied before it is parsed.  Requests of one connection are answered in order; pipelined
 * ones wait in the buffer while an answer is held back or not yet taken by the client.
 */
#ifndef KINESISD_SERVER_H
#define KINESISD_SERVER_H

#include <stdint.h>

struct err;
struct server;
struct service;

struct server_options {
    const char *address;  /* loopback only */
    uint16_t port;        /* 0 = any */
    const char *tls_cert; /* NULL = no TLS */
    const char *tls_key;
};

/* Listens; service is borrowed. */
int server_open(const struct server_options *o, struct service *service, struct server **out,
                struct err *e);

/* The port listened on. */
uint16_t server_port(const struct server *s);

/* Serves until SIGTERM or SIGINT.  0 = asked to stop, -1 = the loop itself failed. */
int server_run(struct server *s, struct err *e);

void server_close(struct server **s);

#endif
