#include "capture/login.h"

#include "common/aws/call.h"
#include "common/aws/secrets.h"
#include "common/err.h"
#include "common/log.h"
#include "common/task.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AWS_TIMEOUT_MS 10000

/* ---- secrets of Secrets Manager ---- */

/* The secret that holds the login; id NULL when the task names none. */
static struct aws_secret
secret_of(const struct source_endpoint *ep)
{
    struct aws_secret secret = {
        .id = NULL, .role_arn = ep->secret_role_arn, .region = ep->aws_region};

    if (ep->secret_id[0] != '\0')
        secret.id = ep->secret_id;
    else if (ep->password.kind == SECRET_MANAGER)
        secret.id = ep->password.value;
    return secret;
}

static int
wrong_form(const struct aws_secret *secret, const char *what, struct err *e)
{
    err_set(e, ERR_CONFIG, "secret %s: %s", secret->id, what);
    return err_hint(e, "it holds the password as plain text, or a JSON object of username, "
                       "password, host and port");
}

/* A member of the secret that is a text; NULL when absent. */
static const char *
member(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

/* A port may stand there as a number or as text; 0 = absent, -1 = no port. */
static long
port_of(const json_t *json)
{
    const json_t *port = json_object_get(json, "port");
    long n = 0;
    char *end = NULL;

    if (port == NULL)
        return 0;
    if (json_is_integer(port))
        n = (long)json_integer_value(port);
    else if (json_is_string(port))
        n = strtol(json_string_value(port), &end, 10);
    return (end != NULL && *end != '\0') || n < 1 || n > UINT16_MAX ? -1 : n;
}

static int
take_object(const struct source_endpoint *ep, const struct aws_secret *secret, const json_t *json,
            struct source_login *out, struct err *e)
{
    const char *user = member(json, "username");
    const char *password = member(json, "password");
    const char *host = member(json, "host");
    long port = port_of(json);

    if (password == NULL || password[0] == '\0')
        return wrong_form(secret, "its JSON has no member password with a text", e);
    if (port < 0)
        return wrong_form(secret, "its member port is no port", e);
    if ((user != NULL && strlen(user) >= sizeof(out->user)) ||
        (host != NULL && strlen(host) >= sizeof(out->host)))
        return wrong_form(secret, "its member username or host is too long", e);
    if (user != NULL && user[0] != '\0')
        (void)snprintf(out->user, sizeof(out->user), "%s", user);
    if (ep->server_name[0] == '\0' && host != NULL) {
        (void)snprintf(out->host, sizeof(out->host), "%s", host);
        if (port > 0)
            out->port = (uint16_t)port;
    }
    out->password = strdup(password);
    explicit_bzero((char *)(uintptr_t)password, strlen(password)); /* jansson's copy */
    return out->password != NULL ? 0 : err_set(e, ERR_NOMEM, "password");
}

/* Takes the text over. */
static int
take_secret(const struct source_endpoint *ep, const struct aws_secret *secret, char **text,
            struct source_login *out, struct err *e)
{
    json_t *json;
    int rc;

    if ((*text)[strspn(*text, " \t\r\n")] != '{') {
        out->password = *text;
        *text = NULL;
        return out->password[0] != '\0' ? 0 : wrong_form(secret, "it is empty", e);
    }
    json = json_loads(*text, JSON_REJECT_DUPLICATES, NULL);
    aws_secret_wipe(text);
    if (json == NULL)
        return wrong_form(secret, "it begins like a JSON object and is none", e);
    rc = take_object(ep, secret, json, out, e);
    json_decref(json);
    return rc;
}

/* 1, 0 = no such version, -1. */
static int
read_secret(const struct source_endpoint *ep, const struct source_login_wait *w, const char *stage,
            struct source_login *out, struct err *e)
{
    const struct aws_secret secret = secret_of(ep);
    const struct aws_wait wait = {.timeout_ms = AWS_TIMEOUT_MS,
                                  .stop_fd = w->stop_fd,
                                  .beat = w->beat,
                                  .beat_arg = w->beat_arg};
    char *text = NULL;
    int rc = aws_secret_read(&secret, stage, &wait, &text, e);

    if (rc == 1 && take_secret(ep, &secret, &text, out, e) != 0)
        rc = -1;
    return rc;
}

/* ---- every source ---- */

static int
complete(const struct source_endpoint *ep, const struct source_login *l, struct err *e)
{
    const char *missing = NULL;

    if (l->host[0] == '\0')
        missing = "host";
    else if (l->user[0] == '\0' && ep->authentication != AUTHENTICATION_KERBEROS)
        missing = "username";
    if (missing == NULL)
        return 0;
    return err_set(e, ERR_CONFIG, "secret %s has no member %s, and the task names none",
                   secret_of(ep).id, missing);
}

static int
read_version(const struct source_endpoint *ep, const struct source_login_wait *w, const char *stage,
             struct source_login *out, struct err *e)
{
    int rc = 1;

    *out = (struct source_login){.port = ep->port};
    (void)snprintf(out->user, sizeof(out->user), "%s", ep->username);
    (void)snprintf(out->host, sizeof(out->host), "%s", ep->server_name);
    if (ep->authentication == AUTHENTICATION_KERBEROS)
        return 1;
    if (secret_of(ep).id != NULL)
        rc = read_secret(ep, w, stage, out, e);
    else if (secret_read(&ep->password, "SourceEndpoint.Password", &out->password, e) != 0)
        rc = -1;
    if (rc < 0 && e->code == ERR_NOT_FOUND)
        e->code = ERR_CONFIG; /* a file that is not there is not worth waiting for */
    if (rc == 1 && complete(ep, out, e) != 0)
        rc = -1;
    if (rc != 1)
        source_login_wipe(out);
    return rc;
}

int
source_login_read(const struct source_endpoint *endpoint, const struct source_login_wait *w,
                  struct source_login *out, struct err *e)
{
    return read_version(endpoint, w, AWS_SECRET_CURRENT, out, e) == 1 ? 0 : -1;
}

int
source_login_other(const struct source_endpoint *endpoint, const struct source_login_wait *w,
                   struct source_login *l)
{
    static const char *const stages[] = {AWS_SECRET_CURRENT, AWS_SECRET_PENDING};
    bool has_versions = secret_of(endpoint).id != NULL;

    if (l->password == NULL)
        return 0;
    for (size_t i = 0; i < (has_versions ? 2 : 1); i++) {
        struct source_login other;
        struct err e = ERR_INIT;

        if (read_version(endpoint, w, stages[i], &other, &e) != 1) {
            if (e.code != ERR_NONE)
                log_err(LOG_DEBUG, "login-not-read-again", &e);
            continue;
        }
        if (strcmp(other.password, l->password) == 0 && strcmp(other.user, l->user) == 0) {
            source_login_wipe(&other);
            continue;
        }
        log_info("login-changed", "user=%s version=%s", other.user,
                 has_versions ? stages[i] : "new");
        source_login_wipe(l);
        *l = other;
        return 1;
    }
    return 0;
}

void
source_login_wipe(struct source_login *l)
{
    secret_wipe(&l->password);
}
