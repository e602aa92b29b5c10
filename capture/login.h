/*
 * login - what a source's connection logs in with, read anew for each connection: from the task
 * file, a file, the environment, or a secret in AWS Secrets Manager.
 *
 * A secret may be plain text (the password) or the JSON object that RDS and DMS keep:
 * {"username", "password", "host", "port"}.  Its username goes before the task's: a rotation with
 * two users changes both together.  Its host and port serve where the task names no server.
 *
 * While a rotation is under way the database may know the new password before the secret says so,
 * or after: source_login_other() finds what else may be tried after a refusal.
 */
#ifndef WEIR_LOGIN_H
#define WEIR_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct source_endpoint;

/* How the caller waits for AWS. */
struct source_login_wait {
    int stop_fd;
    void (*beat)(void *arg);
    void *beat_arg;
};

struct source_login {
    char user[129];
    char host[256];
    uint16_t port;
    char *password; /* NULL = none: Kerberos */
};

/*
 * ERR_CONFIG names what is missing or has the wrong form, never a value.  Errors of AWS as
 * aws_secret_read().  source_login_wipe() clears the password.
 */
int source_login_read(const struct source_endpoint *endpoint, const struct source_login_wait *w,
                      struct source_login *out, struct err *e);

/*
 * After the server refused *l: replaces it by another one, 1 when there is one: the same source
 * read again gives another user or password, or the secret has a version that is being made the
 * current one.  0 when there is none, for whatever reason.
 */
int source_login_other(const struct source_endpoint *endpoint, const struct source_login_wait *w,
                       struct source_login *l);

void source_login_wipe(struct source_login *l);

#endif
