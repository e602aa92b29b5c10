/*
 * role - AWS STS: temporary credentials of another role.
 */
#ifndef WEIR_AWS_ROLE_H
#define WEIR_AWS_ROLE_H

#include <stdint.h>

struct aws_wait;
struct credentials;
struct err;

/* What is asked for; "" and 0 leave a part to STS. */
struct aws_role {
    const char *arn;
    const char *session_name; /* "" = weir */
    const char *external_id;
    uint32_t duration_s; /* 900..43200; 0 = 3600 */
};

/* Replaces *c, which signs the request, by credentials of the role.  Errors as aws_call() and
   aws_answer_report(). */
int aws_role_assume(const struct aws_role *role, const char *region, const struct aws_wait *w,
                    struct credentials *c, struct err *e);

/* The same with the token in a file, which is read each time because it is rotated: no credentials
   are needed.  ERR_CREDENTIALS when the file cannot be read. */
int aws_role_assume_web(const struct aws_role *role, const char *token_file, const char *region,
                        const struct aws_wait *w, struct credentials *out, struct err *e);

#endif
