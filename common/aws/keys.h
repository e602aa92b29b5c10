/*
 * keys - what providers answer: access key, secret, token, and when they end.
 */
#ifndef WEIR_AWS_KEYS_H
#define WEIR_AWS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct credentials;
struct err;

/* "2026-11-22T19:00:00Z", with fraction or offset as RFC 3339 allows.  False for anything else. */
bool keys_time(const char *text, int64_t *real_ns);

/*
 * JSON with AccessKeyId, SecretAccessKey, a token called token_name, and Expiration.  from names
 * the answer in complaints.  ERR_CREDENTIALS; no complaint ever holds a value.  source is not set.
 */
int keys_from_json(const char *text, const char *token_name, const char *from,
                   struct credentials *out, struct err *e);

/* Copies a part of the keys; ERR_CREDENTIALS names it when it is too long. */
int keys_copy(char *to, size_t size, const char *from, const char *what, struct err *e);

#endif
