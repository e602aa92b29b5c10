/* Credentials from the neighbourhood: a container's agent, the instance's metadata. */
#include "common/aws/provider.h"

#include "common/aws/fetch.h"
#include "common/aws/keys.h"
#include "common/err.h"
#include "common/file.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_HOST  "http://169.254.169.254"
#define INSTANCE_HOST6 "http://[fd00:ec2::254]"
#define TIMEOUT_MS     1000U
#define TRIES          3
#define TOKEN_MAX      8192
#define ROLES          "/latest/meta-data/iam/security-credentials/"

/* ---- containers ---- */

/* Keys travel in clear only to the host itself and to the agents AWS documents. */
static bool
may_be_clear(const char *url)
{
    static const char *const hosts[] = {"127.",          "localhost",      "[::1]",
                                        "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    const char *host = url + strlen("http://");

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        size_t n = strlen(hosts[i]);

        if (strncmp(host, hosts[i], n) == 0 &&
            (i == 0 || host[n] == '\0' || host[n] == '/' || host[n] == ':'))
            return true;
    }
    return false;
}

static int
container_url(char *out, size_t size, struct err *e)
{
    const char *relative = provider_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = provider_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");

    if (relative != NULL) {
        (void)snprintf(out, size, CONTAINER_HOST "%s", relative);
        return 0;
    }
    (void)snprintf(out, size, "%s", full);
    if (strncmp(full, "https://", 8) == 0 ||
        (strncmp(full, "http://", 7) == 0 && may_be_clear(full)))
        return 0;
    err_set(e, ERR_CREDENTIALS,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this host or of "
            "the agents of ECS and EKS");
    return err_hint(e, "give an https:// address");
}

/* The Authorization header; "" when none is asked for.  The file is read each time: it changes. */
static int
container_token(char *out, size_t size, struct err *e)
{
    const char *path = provider_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *text = provider_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    char *read = NULL;
    size_t n = 0;
    int rc = 0;

    out[0] = '\0';
    if (path != NULL) {
        if (file_read(path, TOKEN_MAX, &read, &n, e) != 0) {
            e->code = ERR_CREDENTIALS;
            return err_context(e, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        }
        while (n > 0 && strchr(" \t\r\n", read[n - 1]) != NULL)
            read[--n] = '\0';
        text = read;
    }
    if (text != NULL && strpbrk(text, "\r\n") != NULL)
        rc = err_set(e, ERR_CREDENTIALS, "the container's authorization token has several lines");
    else if (text != NULL)
        (void)snprintf(out, size, "Authorization: %s", text);
    free(read);
    return rc;
}

static bool
is_stopping(const struct aws_wait *w)
{
    struct pollfd p = {.fd = w->stop_fd, .events = POLLIN};

    return w->stop_fd >= 0 && poll(&p, 1, 0) > 0;
}

static int
ask_container(const char *url, const char *token, const struct aws_wait *w, struct credentials *out,
              struct err *e)
{
    struct fetch f = {.method = "GET", .url = url, .timeout_ms = TIMEOUT_MS};
    struct fetched *answer = calloc(1, sizeof(*answer));
    int rc = -1;

    if (answer == NULL)
        return err_set(e, ERR_NOMEM, "credentials from %s", url);
    err_set(e, ERR_STOPPED, "stopped");
    if (token[0] != '\0')
        f.headers[0] = token;
    for (int i = 0; i < TRIES && rc != 0 && !is_stopping(w); i++) {
        err_clear(e);
        rc = fetch(&f, answer, e);
        if (rc == 0 && answer->status >= 500)
            rc = err_set(e, ERR_CREDENTIALS, "%s answered %ld", url, answer->status);
    }
    if (rc == 0 && answer->status != 200)
        rc = err_set(e, ERR_CREDENTIALS, "%s answered %ld: %.200s", url, answer->status,
                     answer->body);
    if (rc == 0)
        rc = keys_from_json(answer->body, "Token", url, out, e);
    if (rc == 0)
        (void)snprintf(out->source, sizeof(out->source), "container agent %.500s", url);
    fetched_wipe(answer);
    free(answer);
    return rc == 0 ? 1 : -1;
}

int
provider_container(struct look *look, struct credentials *out, struct err *e)
{
    char url[1024];
    char token[TOKEN_MAX + 32];

    if (provider_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") == NULL &&
        provider_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") == NULL) {
        (void)snprintf(look->text, sizeof(look->text),
                       "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set");
        return 0;
    }
    if (container_url(url, sizeof(url), e) != 0 || container_token(token, sizeof(token), e) != 0)
        return -1;
    return ask_container(url, token, look->wait, out, e);
}

/* ---- the instance ---- */

static const char *
instance_host(void)
{
    const char *endpoint = provider_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = provider_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

    if (endpoint != NULL)
        return endpoint;
    return mode != NULL && strcasecmp(mode, "IPv6") == 0 ? INSTANCE_HOST6 : INSTANCE_HOST;
}

/* Base and path with one slash between them. */
static void
join(const char *base, const char *path, const char *more, char *out, size_t size)
{
    size_t n = strlen(base);

    while (n > 0 && base[n - 1] == '/')
        n--;
    (void)snprintf(out, size, "%.*s%s%s", (int)n, base, path, more);
}

/* 1 = answered 200, 0 = nobody there, -1 = answered otherwise. */
static int
ask_instance(const char *host, const char *path, const char *more, const char *method,
             const char *header, struct fetched *answer, struct err *e)
{
    char url[1024];
    const struct fetch f = {
        .method = method, .url = url, .headers = {header}, .timeout_ms = TIMEOUT_MS};

    join(host, path, more, url, sizeof(url));
    if (fetch(&f, answer, e) != 0)
        return 0;
    if (answer->status == 200)
        return 1;
    return err_set(e, ERR_CREDENTIALS, "%s answered %ld", url, answer->status);
}

static int
instance_keys(const char *host, struct fetched *answer, struct credentials *out, struct err *e)
{
    char header[FETCH_MAX + 64];
    char role[256];
    int rc = ask_instance(host, "/latest/api/token", "", "PUT",
                          "X-aws-ec2-metadata-token-ttl-seconds: 21600", answer, e);

    if (rc <= 0)
        return rc;
    (void)snprintf(header, sizeof(header), "X-aws-ec2-metadata-token: %s", answer->body);
    rc = ask_instance(host, ROLES, "", "GET", header, answer, e);
    if (rc < 0 && answer->status == 404)
        return err_set(e, ERR_CREDENTIALS, "the instance has no role");
    if (rc <= 0)
        return -1;
    (void)snprintf(role, sizeof(role), "%.*s", (int)strcspn(answer->body, " \t\r\n"), answer->body);
    if (ask_instance(host, ROLES, role, "GET", header, answer, e) <= 0 ||
        keys_from_json(answer->body, "Token", "the instance's metadata", out, e) != 0)
        return -1;
    (void)snprintf(out->source, sizeof(out->source), "instance role %.200s at %.200s", role, host);
    return 1;
}

int
provider_instance(struct look *look, struct credentials *out, struct err *e)
{
    const char *disabled = provider_variable("AWS_EC2_METADATA_DISABLED");
    const char *host = instance_host();
    struct fetched *answer;
    int rc;

    if (disabled != NULL && strcasecmp(disabled, "true") == 0) {
        (void)snprintf(look->text, sizeof(look->text), "AWS_EC2_METADATA_DISABLED is true");
        return 0;
    }
    answer = calloc(1, sizeof(*answer));
    if (answer == NULL)
        return err_set(e, ERR_NOMEM, "the instance's metadata");
    rc = instance_keys(host, answer, out, e);
    if (rc == 0) {
        (void)snprintf(look->text, sizeof(look->text), "%.900s", e->text);
        err_clear(e);
    }
    fetched_wipe(answer);
    free(answer);
    return rc;
}
