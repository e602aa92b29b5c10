#include "common/aws/role.h"

#include "common/aws/call.h"
#include "common/aws/credentials.h"
#include "common/aws/keys.h"
#include "common/err.h"
#include "common/file.h"

#include <ctype.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARN_MAX      2048
#define EXTERNAL_MAX 1224 /* STS's own bounds */
#define TOKEN_MAX    20000
#define BODY_MAX     (3 * (ARN_MAX + EXTERNAL_MAX) + 1024)
#define DURATION_S   3600U

static const struct aws_service service = {"sts", "AWS_ENDPOINT_URL_STS"};

static void
encode(const char *text, char *out)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *text != '\0'; text++)
        if (isalnum((unsigned char)*text) || strchr("-_.~", *text) != NULL) {
            *out++ = *text;
        } else {
            *out++ = '%';
            *out++ = digits[(unsigned char)*text >> 4];
            *out++ = digits[(unsigned char)*text & 15];
        }
    *out = '\0';
}

/* The text between <name> and </name>; none of these values ever holds an entity. */
static bool
take(const char *xml, const char *name, char *out, size_t size)
{
    char tag[64];
    const char *begin;
    const char *end;

    (void)snprintf(tag, sizeof(tag), "<%s>", name);
    begin = strstr(xml, tag);
    if (begin == NULL)
        return false;
    begin += strlen(tag);
    end = strchr(begin, '<');
    if (end == NULL || end == begin || (size_t)(end - begin) >= size)
        return false;
    memcpy(out, begin, (size_t)(end - begin));
    out[end - begin] = '\0';
    return true;
}

/* ---- the request's form ---- */

static void
add(char *body, size_t size, const char *name, const char *value)
{
    size_t n = strlen(body);

    if (n + strlen(name) + 3 * strlen(value) + 3 >= size)
        return; /* callers bound their values */
    n += (size_t)snprintf(body + n, size - n, "&%s=", name);
    encode(value, body + n);
}

static void
make_body(const struct aws_role *role, const char *action, char *body, size_t size)
{
    char duration[16];

    (void)snprintf(body, size, "Action=%s&Version=2011-06-15", action);
    (void)snprintf(duration, sizeof(duration), "%" PRIu32,
                   role->duration_s != 0 ? role->duration_s : DURATION_S);
    add(body, size, "DurationSeconds", duration);
    add(body, size, "RoleArn", role->arn);
    add(body, size, "RoleSessionName", role->session_name[0] != '\0' ? role->session_name : "weir");
    if (role->external_id[0] != '\0')
        add(body, size, "ExternalId", role->external_id);
}

static int
check(const struct aws_role *role, struct err *e)
{
    if (strlen(role->arn) > ARN_MAX)
        return err_set(e, ERR_CONFIG, "role %.60s...: longer than any ARN", role->arn);
    if (strlen(role->session_name) > 64 || strlen(role->external_id) > EXTERNAL_MAX)
        return err_set(e, ERR_CONFIG,
                       "role %s: the session name has more than 64 characters, or the external id "
                       "more than %d",
                       role->arn, EXTERNAL_MAX);
    return 0;
}

/* ---- the answer ---- */

static int
take_keys(const struct aws_answer *a, const struct aws_role *role, struct credentials *out,
          struct err *e)
{
    char ends[64] = "";

    memset(out, 0, sizeof(*out));
    if (!take(a->body, "AccessKeyId", out->access_key_id, sizeof(out->access_key_id)) ||
        !take(a->body, "SecretAccessKey", out->secret, sizeof(out->secret)) ||
        !take(a->body, "SessionToken", out->token, sizeof(out->token)))
        return err_set(e, ERR_PROTOCOL, "assume the role %s: the answer holds no credentials",
                       role->arn);
    if (take(a->body, "Expiration", ends, sizeof(ends)) && !keys_time(ends, &out->expires_real_ns))
        return err_set(e, ERR_PROTOCOL, "assume the role %s: Expiration is no time", role->arn);
    (void)snprintf(out->source, sizeof(out->source), "role %.500s", role->arn);
    return 0;
}

static int
ask(const struct aws_role *role, const char *region, const struct aws_wait *w, const char *body,
    const struct credentials *signer, struct credentials *out, struct err *e)
{
    const struct aws_request r = {.service = service,
                                  .region = region,
                                  .content_type = "application/x-www-form-urlencoded",
                                  .body = body,
                                  .credentials = signer};
    struct credentials found;
    struct aws_answer a;
    int rc;

    if (aws_call(&r, w, &a, e) != 0)
        return err_context(e, "assume the role %s", role->arn);
    if (a.status != 200) {
        rc = aws_answer_report(&a, "assume the role", e);
        err_context(e, "%s", role->arn);
    } else {
        rc = take_keys(&a, role, &found, e);
        if (rc == 0)
            *out = found;
        credentials_wipe(&found);
    }
    aws_answer_wipe(&a);
    return rc;
}

int
aws_role_assume(const struct aws_role *role, const char *region, const struct aws_wait *w,
                struct credentials *c, struct err *e)
{
    char body[BODY_MAX];

    if (check(role, e) != 0)
        return -1;
    make_body(role, "AssumeRole", body, sizeof(body));
    return ask(role, region, w, body, c, c, e);
}

int
aws_role_assume_web(const struct aws_role *role, const char *token_file, const char *region,
                    const struct aws_wait *w, struct credentials *out, struct err *e)
{
    size_t size = BODY_MAX + 3 * TOKEN_MAX;
    char *token = NULL;
    size_t n;
    char *body;
    int rc;

    if (check(role, e) != 0)
        return -1;
    if (file_read(token_file, TOKEN_MAX, &token, &n, e) != 0) {
        e->code = ERR_CREDENTIALS;
        return err_context(e, "the web identity token");
    }
    while (n > 0 && strchr(" \t\r\n", token[n - 1]) != NULL)
        token[--n] = '\0';
    body = calloc(1, size);
    if (body == NULL) {
        rc = err_set(e, ERR_NOMEM, "assume the role %s", role->arn);
    } else {
        make_body(role, "AssumeRoleWithWebIdentity", body, size);
        add(body, size, "WebIdentityToken", token);
        rc = ask(role, region, w, body, NULL, out, e);
        OPENSSL_cleanse(body, size);
    }
    free(body);
    OPENSSL_cleanse(token, n);
    free(token);
    return rc;
}
