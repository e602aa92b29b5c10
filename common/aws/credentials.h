/*
 * credentials - where AWS's keys come from: a chain of providers, asked in order.
 *
 * Environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), then the shared
 * files (AWS_PROFILE or default; AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials,
 * AWS_CONFIG_FILE or ~/.aws/config).  Another provider is another entry of the chain in
 * credentials.c.  A provider that is half configured ends the search with its own complaint:
 * falling through to other keys than the operator meant would be worse.
 *
 * Secrets live in struct credentials only; credentials_wipe() clears it.
 */
#ifndef WEIR_AWS_CREDENTIALS_H
#define WEIR_AWS_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

struct err;

struct credentials {
    char access_key_id[129];
    char secret[257];
    char token[16384]; /* session token; "" = none */
    char source[600]; /* for people: "environment", "profile default in /home/x/.aws/credentials" */
};

/* Asks the chain.  ERR_CREDENTIALS names every place that was looked at. */
int credentials_find(struct credentials *out, struct err *e);

/* True when both would sign alike. */
bool credentials_equal(const struct credentials *a, const struct credentials *b);

void credentials_wipe(struct credentials *c);

#endif
