/*
 * control - the door for tests: GET reports counters, POST changes what the server does.
 *
 * The members a POST may hold are listed in README.md; an unknown one is refused and nothing of
 * that request is applied.
 */
#ifndef KINESISD_CONTROL_H
#define KINESISD_CONTROL_H

#include "tests/kinesisd/bytes.h"

#include <stdbool.h>

struct service;

/* Replaces out by the JSON answer and returns the HTTP status (200 or 400). */
int control_handle(struct service *s, bool is_post, const char *body, size_t body_len,
                   struct bytes *out);

#endif
