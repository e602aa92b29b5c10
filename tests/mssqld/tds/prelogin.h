/*
 * prelogin - the first exchange: versions and whether to encrypt ([MS-TDS] 2.2.6.5).
 */
#ifndef MSSQLD_TDS_PRELOGIN_H
#define MSSQLD_TDS_PRELOGIN_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

enum prelogin_encryption {
    ENCRYPT_OFF = 0, /* the LOGIN7 record only */
    ENCRYPT_ON = 1,
    ENCRYPT_NOT_SUP = 2,
    ENCRYPT_REQ = 3,
};

/* What this server can and wants. */
enum prelogin_policy {
    PRELOGIN_NO_CERTIFICATE,
    PRELOGIN_OPTIONAL,
    PRELOGIN_FORCED,
};

/* Reads the client's options.  -1: malformed.  *wish is ENCRYPT_OFF when none was sent. */
int prelogin_parse(const void *data, size_t size, enum prelogin_encryption *wish, struct err *e);

/* What to answer to a wish. */
enum prelogin_encryption
prelogin_answer(enum prelogin_policy policy, enum prelogin_encryption wish);

/* Appends the answer's payload.  FEDAUTHREQUIRED is never echoed: tedious would remember it. */
void prelogin_put(struct buf *b, enum prelogin_encryption answer);

#endif
