/*
 * signature - who sent this request: verifies AWS Signature Version 4 headers.
 *
 * With a credentials file ("ACCESSKEY SECRET [TOKEN [expired]]" a line, # comments) the signature is
 * recomputed over exactly the headers the client says it signed and the body that arrived.
 * Without one the header must be present and well formed, and any key will do.  The clock is
 * checked in both cases.
 *
 * Secrets stay in this module; messages carry what AWS's carry, which is never the secret.
 */
#ifndef KINESISD_SIGNATURE_H
#define KINESISD_SIGNATURE_H

#include "tests/kinesisd/bytes.h"
#include "tests/kinesisd/http.h"

#include <stdbool.h>
#include <stdint.h>

struct digest;
struct err;
struct signature;

struct signature_request {
    const struct http_head *head;
    const char *text; /* what head's offsets refer to */
    const char *body;
    size_t body_len;
    int64_t now_s; /* the server's clock */
};

/* digest is borrowed.  tolerance_s 0 = no clock check. */
struct signature *signature_open(struct digest *digest, const char *region, int64_t tolerance_s);
void signature_close(struct signature **sig);

/* Reads the credentials file; replaces what was read before. */
int signature_load(struct signature *sig, const char *path, struct err *e);

/* NULL = accepted; otherwise AWS's error code, with the message (unescaped) in *message. */
const char *
signature_check(struct signature *sig, const struct signature_request *r, struct bytes *message);

#endif
