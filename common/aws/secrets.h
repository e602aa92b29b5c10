/*
 * secrets - AWS Secrets Manager: the value of a secret.
 *
 * A secret's value is a text of at most 64 KiB; databases keep a JSON object of username,
 * password, host, port in it.  Nothing is kept here: each call asks anew.
 */
#ifndef WEIR_AWS_SECRETS_H
#define WEIR_AWS_SECRETS_H

#include <stdint.h>

struct aws_wait;
struct err;

struct aws_secret {
    const char *id;       /* name or ARN */
    const char *role_arn; /* assumed for the call; "" = none */
    const char *region;   /* where to ask when neither id nor the environment says; may be "" */
};

#define AWS_SECRET_CURRENT "AWSCURRENT"
#define AWS_SECRET_PENDING "AWSPENDING" /* there while a rotation is under way */

/*
 * The secret's text in fresh memory: clear and free it with aws_secret_wipe().
 * 1 = there, 0 = the secret has no such version (not for AWSCURRENT), -1 = error: see aws_call()
 * and aws_answer_report(); ERR_CONFIG when there is no such secret, or it holds bytes.
 */
int aws_secret_read(const struct aws_secret *secret, const char *stage, const struct aws_wait *w,
                    char **out, struct err *e);

void aws_secret_wipe(char **text);

#endif
