/*
 * role - AWS STS: temporary credentials of another role.
 */
#ifndef WEIR_AWS_ROLE_H
#define WEIR_AWS_ROLE_H

struct aws_wait;
struct credentials;
struct err;

/* Replaces *c, which signs the request, by credentials of the role.  Errors as aws_call() and
   aws_answer_report(). */
int aws_role_assume(const char *role_arn, const char *region, const struct aws_wait *w,
                    struct credentials *c, struct err *e);

#endif
