#include "common/aws/secrets.h"

#include "common/aws/call.h"
#include "common/aws/credentials.h"
#include "common/aws/role.h"
#include "common/err.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static const struct aws_service service = {"secretsmanager", "AWS_ENDPOINT_URL_SECRETS_MANAGER"};

static char *
make_body(const struct aws_secret *secret, const char *stage)
{
    json_t *json = json_pack("{s:s, s:s}", "SecretId", secret->id, "VersionStage", stage);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    return text;
}

/* Clears the text inside jansson's own copy before it is freed. */
static void
wipe_json(json_t *json, const char *text)
{
    if (text != NULL)
        OPENSSL_cleanse((char *)(uintptr_t)text, strlen(text));
    json_decref(json);
}

static int
take_text(const struct aws_secret *secret, const struct aws_answer *a, char **out, struct err *e)
{
    json_t *json = json_loads(a->body, 0, NULL);
    const json_t *string = json_object_get(json, "SecretString");
    const char *text = json_string_value(string);
    int rc = 1;

    if (text != NULL) {
        *out = strdup(text);
        if (*out == NULL)
            rc = err_set(e, ERR_NOMEM, "secret %s", secret->id);
    } else if (json_object_get(json, "SecretBinary") != NULL) {
        rc = err_set(e, ERR_CONFIG, "secret %s holds bytes (SecretBinary) instead of text",
                     secret->id);
    } else {
        rc = err_set(e, ERR_PROTOCOL, "secret %s: the answer is none of Secrets Manager",
                     secret->id);
    }
    wipe_json(json, text);
    return rc;
}

static int
refused(const struct aws_secret *secret, const char *stage, const char *region,
        const struct aws_answer *a, struct err *e)
{
    char what[256];

    (void)snprintf(what, sizeof(what), "read the secret %.200s", secret->id);
    if (strcmp(a->error, "ResourceNotFoundException") != 0)
        return aws_answer_report(a, what, e);
    if (strcmp(stage, AWS_SECRET_CURRENT) != 0)
        return 0;
    err_set(e, ERR_CONFIG, "%s: there is no such secret in region %s", what, region);
    return err_hint(e, "check SecretsManagerSecretId; the region is that of the secret's ARN, else "
                       "AWS_REGION");
}

int
aws_secret_read(const struct aws_secret *secret, const char *stage, const struct aws_wait *w,
                char **out, struct err *e)
{
    struct credentials c;
    struct aws_answer a;
    char region[AWS_REGION_SIZE];
    const struct credentials_search search = {.region = region, .wait = w};
    const struct aws_role role = {
        .arn = secret->role_arn, .session_name = "", .external_id = "", .duration_s = 900};
    struct aws_request r = {.service = service,
                            .region = region,
                            .target = "secretsmanager.GetSecretValue",
                            .content_type = "application/x-amz-json-1.1",
                            .credentials = &c};
    char *body = NULL;
    int rc = -1;

    *out = NULL;
    if (aws_region_find(secret->id, secret->region, region, e) != 0)
        return err_context(e, "secret %s", secret->id);
    if (credentials_find(&search, &c, e) != 0)
        return err_context(e, "read the secret %s", secret->id);
    if (secret->role_arn[0] != '\0' && aws_role_assume(&role, region, w, &c, e) != 0)
        goto out;
    body = make_body(secret, stage);
    if (body == NULL) {
        err_set(e, ERR_CONFIG, "secret '%.100s': the name is no UTF-8 text", secret->id);
        goto out;
    }
    r.body = body;
    if (aws_call(&r, w, &a, e) != 0) {
        err_context(e, "read the secret %s", secret->id);
        goto out;
    }
    rc = a.status == 200 ? take_text(secret, &a, out, e) : refused(secret, stage, region, &a, e);
    aws_answer_wipe(&a);

out:
    free(body);
    credentials_wipe(&c);
    return rc;
}

void
aws_secret_wipe(char **text)
{
    if (*text == NULL)
        return;
    OPENSSL_cleanse(*text, strlen(*text));
    free(*text);
    *text = NULL;
}
