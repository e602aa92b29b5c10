/*
 * credentials - the keys a server accepts, read from a file.
 *
 * One a line: "ACCESSKEY SECRET [TOKEN [expired]]"; # comments, "-" for "no token".  The key that
 * signs one day's requests is derived once and kept.
 */
#ifndef KINESISD_CREDENTIALS_H
#define KINESISD_CREDENTIALS_H

#include "tests/kinesisd/digest.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

struct credential {
    char *access;
    char *secret;
    char *token; /* NULL = none expected */
    bool is_expired;
    char key_day[9]; /* the day `key` is for; "" = none yet */
    unsigned char key[DIGEST_SHA256_SIZE];
};

struct credentials {
    struct credential *list;
    size_t count;
};

/* Reads path in place of what was there before. */
int credentials_load(struct credentials *c, const char *path, struct err *e);
void credentials_free(struct credentials *c);

/* NULL when no such access key is known. */
struct credential *credentials_find(struct credentials *c, const char *access, size_t len);

/* The signing key of a day (YYYYMMDD) for service kinesis in one region. */
const unsigned char *
credentials_key(struct credential *who, struct digest *d, const char *day, const char *region);

#endif
