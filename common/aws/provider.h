/*
 * provider - the places credentials may come from, one function each.  Included by common/aws only.
 *
 * Each answers 1 = found; 0 = nothing is configured here, and look->text says what was looked at;
 * -1 = configured and not to be had: e says why, and the search ends, because other keys than the
 * operator meant would be worse than none.
 */
#ifndef WEIR_AWS_PROVIDER_H
#define WEIR_AWS_PROVIDER_H

#include "common/aws/call.h"
#include "common/aws/credentials.h"

#include <stddef.h>
#include <stdint.h>

struct err;

struct look {
    const struct aws_wait *wait;
    const char *region; /* for STS, when neither environment nor profile names one */
    char text[1900];    /* what was looked at */
};

/* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN. */
int provider_environment(struct look *look, struct credentials *out, struct err *e);

/* AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN: roles of Kubernetes service accounts. */
int provider_web_identity(struct look *look, struct credentials *out, struct err *e);

/* A profile of the shared files, in all its forms. */
int provider_profile(struct look *look, struct credentials *out, struct err *e);

/* AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI: ECS, EKS Pod Identity. */
int provider_container(struct look *look, struct credentials *out, struct err *e);

/* The instance metadata service, version 2. */
int provider_instance(struct look *look, struct credentials *out, struct err *e);

/* Runs a command with the shell; its output is JSON of version 1. */
int provider_process(const char *command, const char *from, struct look *look,
                     struct credentials *out, struct err *e);

/* An environment variable that is there and not empty, or NULL. */
const char *provider_variable(const char *name);

/* Region for STS: AWS_REGION, AWS_DEFAULT_REGION, else look->region, else us-east-1. */
const char *provider_region(const struct look *look);

#endif
