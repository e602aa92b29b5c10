/*
 * sigv4 - AWS Signature Version 4, header form.
 *
 * Source: AWS's public description and the vectors of awslabs/aws-c-auth (tests/vectors/sigv4).
 * Paths are signed as given (Kinesis and STS use "/" only), query parameters are sorted.
 *
 * The derived key changes with the day, the region and the secret only, and is kept.
 * Blocking and allocation: never.  Thread use: the signer belongs to the caller.
 */
#ifndef WEIR_SIGV4_H
#define WEIR_SIGV4_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define SIGV4_TIME_SIZE          17 /* "YYYYMMDDTHHMMSSZ" plus NUL */
#define SIGV4_HASH_SIZE          65 /* hexadecimal SHA-256 plus NUL */
#define SIGV4_MAX_HEADERS        16
#define SIGV4_CANONICAL_SIZE     24576
#define SIGV4_AUTHORIZATION_SIZE 1024

struct sigv4_header {
    const char *name; /* any case */
    const char *value;
};

struct sigv4_request {
    const char *method;
    const char *path;
    const char *query;                  /* raw, without '?'; "" = none */
    const struct sigv4_header *headers; /* all that is to be signed; host and date among them */
    size_t n_headers;
    const char *payload_hash; /* sigv4_hash() of the exact body */
};

/* Holds the secret and a key derived from it: sigv4_fini() wipes both. */
struct sigv4_signer {
    char region[64];
    char service[32];
    char access_key_id[129];
    char secret[257];
    uint8_t key[32];
    char key_day[9];                      /* "" = no key derived yet */
    char canonical[SIGV4_CANONICAL_SIZE]; /* of the last request: for tests and complaints */
    char to_sign[256];
};

void sigv4_init(struct sigv4_signer *s, const char *region, const char *service);
void sigv4_fini(struct sigv4_signer *s);

/* ERR_CREDENTIALS when one is empty or longer than any AWS has. */
int sigv4_set_credentials(struct sigv4_signer *s, const char *access_key_id, const char *secret,
                          struct err *e);

void sigv4_time(int64_t real_ns, char out[SIGV4_TIME_SIZE]);
void sigv4_hash(const void *data, size_t size, char out[SIGV4_HASH_SIZE]);

/*
 * Writes the value of the Authorization header into out (SIGV4_AUTHORIZATION_SIZE bytes).
 * time is what the x-amz-date header says.  ERR_CREDENTIALS when none are set, ERR_CONFIG when
 * the headers do not fit.
 */
int sigv4_sign(struct sigv4_signer *s, const struct sigv4_request *r, const char *time, char *out,
               struct err *e);

#endif
