/*
 * service_error - what an answer that is no success means for whoever asked.
 *
 * The code is looked for where the SDKs look: "__type", then "code", in the body, then the
 * header x-amzn-errortype; cut at ',' and ':', and what stands behind '#'.
 */
#ifndef WEIR_KINESIS_SERVICE_ERROR_H
#define WEIR_KINESIS_SERVICE_ERROR_H

#include "common/aws/http.h"

struct service_error {
    char code[96];       /* "" when the answer named none */
    char message[400];   /* of the service; may be empty */
    bool is_ambiguous;   /* what was asked may have been done */
    bool is_refused;     /* the same request will never be taken */
    bool is_credentials; /* new credentials could mend it */
};

/*
 * Judges a call whose status is not 2xx, or that got no answer at all (status 0).  Sets e for it:
 * what says what was asked ("PutRecords"), clock_offset_ns how far our clock is off as far as is
 * known.  Always returns -1.
 */
int service_error_judge(const struct http_call *call, const char *what, const char *stream,
                        int64_t clock_offset_ns, struct service_error *out, struct err *e);

#endif
