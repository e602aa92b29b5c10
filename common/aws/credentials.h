/*
 * credentials - where AWS's keys come from: a chain of providers, asked in order.
 *
 * 1. environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 * 2. web identity: AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN (roles of service accounts, IRSA)
 * 3. shared files: AWS_PROFILE or default, in AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials
 *    and AWS_CONFIG_FILE or ~/.aws/config: keys, role_arn, web identity, credential_process
 * 4. container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, _FULL_URI (ECS, EKS Pod Identity)
 * 5. instance: metadata service version 2, unless AWS_EC2_METADATA_DISABLED is true
 *
 * A provider that is half configured, or configured and failing, ends the search with its own
 * complaint: falling through to other keys than the operator meant would be worse.
 *
 * Secrets live in struct credentials only; credentials_wipe() clears it.
 */
#ifndef WEIR_AWS_CREDENTIALS_H
#define WEIR_AWS_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aws_wait;
struct err;

struct credentials {
    char access_key_id[129];
    char secret[257];
    char token[16384]; /* session token; "" = none */
    char source[600]; /* for people: "environment", "profile default in /home/x/.aws/credentials" */
    int64_t expires_real_ns; /* 0 = for ever, or not told */
};

struct credentials_search {
    const char *region; /* for STS, when neither environment nor profile names one; or NULL */
    const struct aws_wait *wait; /* NULL = 5 s a request */
};

/* Asks the chain.  ERR_CREDENTIALS names every place that was looked at, or the one that failed;
   other codes as aws_call().  Blocking: several requests, when roles lead to roles. */
int
credentials_find(const struct credentials_search *search, struct credentials *out, struct err *e);

/* True when both would sign alike. */
bool credentials_equal(const struct credentials *a, const struct credentials *b);

void credentials_wipe(struct credentials *c);

#endif
