#include "common/aws/role.h"

#include "common/aws/call.h"
#include "common/aws/credentials.h"
#include "common/err.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARN_MAX 2048

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

int
aws_role_assume(const char *role_arn, const char *region, const struct aws_wait *w,
                struct credentials *c, struct err *e)
{
    char arn[3 * ARN_MAX + 1];
    char body[sizeof(arn) + 128];
    struct aws_request r = {.service = service,
                            .region = region,
                            .content_type = "application/x-www-form-urlencoded",
                            .body = body,
                            .credentials = c};
    struct credentials found = {.access_key_id = ""};
    struct aws_answer a;
    int rc = 0;

    if (strlen(role_arn) > ARN_MAX)
        return err_set(e, ERR_CONFIG, "role %.60s...: longer than any ARN", role_arn);
    encode(role_arn, arn);
    (void)snprintf(body, sizeof(body),
                   "Action=AssumeRole&Version=2011-06-15&RoleSessionName=weir&DurationSeconds=900"
                   "&RoleArn=%s",
                   arn);
    if (aws_call(&r, w, &a, e) != 0)
        return err_context(e, "assume the role %s", role_arn);
    if (a.status != 200) {
        rc = aws_answer_report(&a, "assume the role", e);
        err_context(e, "%s", role_arn);
    } else if (!take(a.body, "AccessKeyId", found.access_key_id, sizeof(found.access_key_id)) ||
               !take(a.body, "SecretAccessKey", found.secret, sizeof(found.secret)) ||
               !take(a.body, "SessionToken", found.token, sizeof(found.token))) {
        rc = err_set(e, ERR_PROTOCOL, "assume the role %s: the answer holds no credentials",
                     role_arn);
    } else {
        (void)snprintf(found.source, sizeof(found.source), "role %.500s", role_arn);
        *c = found;
    }
    credentials_wipe(&found);
    aws_answer_wipe(&a);
    return rc;
}
