/*
 * call - one request to an AWS service that is asked now and then: signed, sent, awaited.
 *
 * Keeps nothing between calls.  A clock that is wrong is met by asking once more with the
 * service's own time; every other error is the caller's to retry.
 *
 * Blocking: until the answer, timeout_ms or stop_fd.  Thread use: any; calls are independent.
 */
#ifndef WEIR_AWS_CALL_H
#define WEIR_AWS_CALL_H

#include "common/aws/endpoint.h"

#include <stddef.h>
#include <stdint.h>

struct credentials;
struct err;

/* How the caller waits. */
struct aws_wait {
    uint32_t timeout_ms;
    int stop_fd;             /* ends the wait when it becomes readable; -1 = none */
    void (*beat)(void *arg); /* about once a second; may be NULL */
    void *beat_arg;
};

struct aws_request {
    struct aws_service service;
    const char *region;
    const char *target; /* X-Amz-Target; NULL = none */
    const char *content_type;
    const char *body;
    const struct credentials *credentials; /* NULL = not signed: the body proves who asks */
};

struct aws_answer {
    long status;
    char *body; /* NUL-terminated */
    size_t size;
    char error[128]; /* "" for 200; else the service's name of the error, or "" when it gave none */
    char message[256];
};

/*
 * 0 with any answer of the service, errors of its own included; the caller wipes it with
 * aws_answer_wipe().  -1: ERR_CONFIG (endpoint, region), ERR_CONNECT, ERR_TIMEOUT, ERR_TLS,
 * ERR_STOPPED, ERR_CREDENTIALS, ERR_PROTOCOL (an answer that is not of an AWS service).
 */
int aws_call(const struct aws_request *r, const struct aws_wait *w, struct aws_answer *out,
             struct err *e);

void aws_answer_wipe(struct aws_answer *a);

/*
 * Fills e for an answer that is an error: what, the service's words, a code by the error's name.
 * ERR_ACCESS, ERR_CREDENTIALS, ERR_THROTTLED, ERR_CLOCK, ERR_SERVICE (its fault: try again),
 * ERR_CONFIG (anything else: the request is wrong).  Returns -1.
 */
int aws_answer_report(const struct aws_answer *a, const char *what, struct err *e);

#endif
