/*
 * fetch - one small HTTP request to a host of the neighbourhood: the instance's metadata, a
 * container's agent.  Never through a proxy, never redirected, at most 16 KiB of answer.
 *
 * Blocking: up to timeout_ms.  Thread use: any; calls are independent.
 */
#ifndef WEIR_AWS_FETCH_H
#define WEIR_AWS_FETCH_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define FETCH_MAX         16384
#define FETCH_MAX_HEADERS 4

struct fetch {
    const char *method; /* "GET", "PUT" */
    const char *url;
    const char *headers[FETCH_MAX_HEADERS]; /* "Name: value", as many as are not NULL */
    uint32_t timeout_ms;
};

struct fetched {
    long status;
    char body[FETCH_MAX + 1]; /* NUL-terminated; may hold secrets: fetched_wipe() */
    size_t size;
};

/* ERR_CONNECT, ERR_TIMEOUT, ERR_TLS, ERR_PROTOCOL (no HTTP, or too long), ERR_NOMEM. */
int fetch(const struct fetch *f, struct fetched *out, struct err *e);
void fetched_wipe(struct fetched *f);

#endif
