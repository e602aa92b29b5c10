#include "common/aws/credentials.h"

#include "common/aws/keys.h"
#include "common/aws/provider.h"
#include "common/aws/role.h"
#include "common/err.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 5000U

const char *
provider_variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

const char *
provider_region(const struct look *look)
{
    const char *region = provider_variable("AWS_REGION");

    if (region == NULL)
        region = provider_variable("AWS_DEFAULT_REGION");
    if (region == NULL)
        region = look->region;
    return region != NULL && region[0] != '\0' ? region : "us-east-1";
}

int
provider_environment(struct look *look, struct credentials *out, struct err *e)
{
    const char *id = provider_variable("AWS_ACCESS_KEY_ID");
    const char *secret = provider_variable("AWS_SECRET_ACCESS_KEY");
    const char *token = provider_variable("AWS_SESSION_TOKEN");

    if (id == NULL && secret == NULL) {
        (void)snprintf(look->text, sizeof(look->text), "AWS_ACCESS_KEY_ID is not set");
        return 0;
    }
    if (id == NULL || secret == NULL)
        return err_set(e, ERR_CREDENTIALS, "%s is set in the environment and %s is not",
                       id != NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                       id != NULL ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    if (keys_copy(out->access_key_id, sizeof(out->access_key_id), id, "AWS_ACCESS_KEY_ID", e) !=
            0 ||
        keys_copy(out->secret, sizeof(out->secret), secret, "AWS_SECRET_ACCESS_KEY", e) != 0 ||
        keys_copy(out->token, sizeof(out->token), token != NULL ? token : "", "AWS_SESSION_TOKEN",
                  e) != 0)
        return -1;
    (void)snprintf(out->source, sizeof(out->source), "environment");
    return 1;
}

int
provider_web_identity(struct look *look, struct credentials *out, struct err *e)
{
    const char *file = provider_variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    const char *arn = provider_variable("AWS_ROLE_ARN");
    const char *session = provider_variable("AWS_ROLE_SESSION_NAME");
    const struct aws_role role = {
        .arn = arn, .session_name = session != NULL ? session : "", .external_id = ""};

    if (file == NULL) {
        (void)snprintf(look->text, sizeof(look->text), "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
        return 0;
    }
    if (arn == NULL)
        return err_set(e, ERR_CREDENTIALS,
                       "AWS_WEB_IDENTITY_TOKEN_FILE is set in the environment and AWS_ROLE_ARN is "
                       "not");
    return aws_role_assume_web(&role, file, provider_region(look), look->wait, out, e) == 0 ? 1
                                                                                            : -1;
}

static const struct {
    const char *name;
    int (*find)(struct look *look, struct credentials *out, struct err *e);
} chain[] = {
    {"environment", provider_environment}, {"web identity", provider_web_identity},
    {"shared files", provider_profile},    {"container", provider_container},
    {"instance", provider_instance},
};
#define N_PROVIDERS (sizeof(chain) / sizeof(chain[0]))

int
credentials_find(const struct credentials_search *search, struct credentials *out, struct err *e)
{
    static const struct aws_wait usual = {.timeout_ms = TIMEOUT_MS, .stop_fd = -1};
    struct look look = {.wait = search->wait != NULL ? search->wait : &usual,
                        .region = search->region};
    char all[2 * ERR_TEXT_MAX];
    int at = 0;

    for (size_t i = 0; i < N_PROVIDERS; i++) {
        int rc;

        credentials_wipe(out);
        look.text[0] = '\0';
        rc = chain[i].find(&look, out, e);
        if (rc > 0)
            return 0;
        if (rc < 0) {
            credentials_wipe(out);
            /* Roles and policies are mended while the program waits. */
            if (err_class(e->code) == ERR_CLASS_OPERATOR)
                e->code = ERR_CREDENTIALS;
            return e->hint[0] != '\0' || e->code != ERR_CREDENTIALS
                       ? -1
                       : err_hint(e, "complete the credentials or remove what is there of them");
        }
        if (at < (int)sizeof(all) - 1)
            at += snprintf(all + at, sizeof(all) - (size_t)at, "%s%s (%s)", i > 0 ? "; " : "",
                           chain[i].name, look.text);
    }
    credentials_wipe(out);
    err_set(e, ERR_CREDENTIALS, "no AWS credentials found: %.900s", all);
    return err_hint(e, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with "
                       "AWS_PROFILE, or give the host or the container a role");
}

bool
credentials_equal(const struct credentials *a, const struct credentials *b)
{
    return strcmp(a->access_key_id, b->access_key_id) == 0 && strcmp(a->secret, b->secret) == 0 &&
           strcmp(a->token, b->token) == 0;
}

void
credentials_wipe(struct credentials *c)
{
    OPENSSL_cleanse(c, sizeof(*c));
}
