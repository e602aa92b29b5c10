/*
 * renewal - looks for credentials in a thread of its own, so that whoever signs with the old ones
 * meanwhile never waits for STS or a metadata service.
 *
 * Thread use: one owner; at most one search at a time.  Blocking: renewal_close(), until the
 * search notices (a second at most).
 */
#ifndef WEIR_AWS_RENEWAL_H
#define WEIR_AWS_RENEWAL_H

#include "common/aws/credentials.h"

#include <stdbool.h>

struct renewal;

/* region as in struct credentials_search.  ERR_NOMEM, ERR_IO. */
int renewal_open(const char *region, struct renewal **out, struct err *e);
void renewal_close(struct renewal **pointer);

/* Begins a search; nothing when one is under way.  ERR_NOMEM. */
int renewal_start(struct renewal *r, struct err *e);

/* The end of a search: 1 = found, -1 = failed with e, 0 = none has ended. */
int renewal_take(struct renewal *r, struct credentials *out, struct err *e);

/*
 * When to begin looking for newer ones (real time): 5 minutes, or a quarter of their life, before
 * they end; INT64_MAX when they do not say.  found_real_ns: when these were found.
 */
int64_t renewal_due(const struct credentials *c, int64_t found_real_ns);

#endif
