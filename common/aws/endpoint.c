#include "common/aws/endpoint.h"

#include "common/aws/profile.h"
#include "common/err.h"

#include <ctype.h>
#include <strings.h>

static const struct {
    const char *partition;
    const char *suffix;
} suffixes[] = {
    {"aws", "amazonaws.com"},
    {"aws-us-gov", "amazonaws.com"},
    {"aws-cn", "amazonaws.com.cn"},
    {"aws-eusc", "amazonaws.eu"},
};

/* Copies the part of an ARN up to stop; *at moves behind it.  False: absent, too long, empty. */
static bool
take_part(const char **at, char stop, char *out, size_t size)
{
    const char *end = strchr(*at, stop);
    size_t n;

    if (end == NULL)
        return false;
    n = (size_t)(end - *at);
    if (n == 0 || n >= size)
        return false;
    memcpy(out, *at, n);
    out[n] = '\0';
    *at = end + 1;
    return true;
}

static bool
is_made_of(const char *text, const char *more)
{
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && strchr(more, *text) == NULL)
            return false;
    }
    return true;
}

static bool
parse_arn(const char *arn, struct aws_stream_arn *out)
{
    const char *at = arn;
    char part[16];

    if (strlen(arn) >= sizeof(out->text))
        return false;
    (void)snprintf(out->text, sizeof(out->text), "%s", arn);
    if (!take_part(&at, ':', part, sizeof(part)) || strcmp(part, "arn") != 0)
        return false;
    if (!take_part(&at, ':', out->partition, sizeof(out->partition)))
        return false;
    if (!take_part(&at, ':', part, sizeof(part)) || strcmp(part, "kinesis") != 0)
        return false;
    if (!take_part(&at, ':', out->region, sizeof(out->region)) || !is_made_of(out->region, "-"))
        return false;
    if (!take_part(&at, ':', out->account, sizeof(out->account)) || strlen(out->account) != 12 ||
        strspn(out->account, "0123456789") != 12)
        return false;
    if (!take_part(&at, '/', part, sizeof(part)) || strcmp(part, "stream") != 0)
        return false;
    if (*at == '\0' || strlen(at) >= sizeof(out->name) || !is_made_of(at, "_.-"))
        return false;
    (void)snprintf(out->name, sizeof(out->name), "%s", at);
    return true;
}

int
aws_stream_arn_parse(const char *arn, struct aws_stream_arn *out, struct err *e)
{
    if (parse_arn(arn, out))
        return 0;
    err_set(e, ERR_CONFIG, "\"%.300s\" is not the ARN of a Kinesis data stream", arn);
    return err_hint(e, "it looks like arn:aws:kinesis:eu-west-1:123456789012:stream/NAME");
}

static const char *
environment_url(const char *variable, const char **source)
{
    const char *const names[] = {variable, "AWS_ENDPOINT_URL"};
    const char *ignore = getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");

    if (ignore != NULL && strcasecmp(ignore, "true") == 0)
        return NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);

        if (value != NULL && *value != '\0') {
            *source = names[i];
            return value;
        }
    }
    return NULL;
}

/* 0 when text is no port. */
static unsigned
port_number(const char *text)
{
    unsigned n = 0;

    for (; *text != '\0'; text++) {
        if (!isdigit((unsigned char)*text) || n > 6553)
            return 0;
        n = n * 10 + (unsigned)(*text - '0');
    }
    return n <= 65535 ? n : 0;
}

/* Takes "https://host:port/" apart; anything more than that would not be what is signed. */
static bool
parse_url(const char *url, struct aws_endpoint *out)
{
    const char *rest;
    unsigned port = 0;
    char host[256];
    size_t n;

    if (strncasecmp(url, "https://", 8) == 0) {
        out->is_tls = true;
        rest = url + 8;
    } else if (strncasecmp(url, "http://", 7) == 0) {
        out->is_tls = false;
        rest = url + 7;
    } else {
        return false;
    }
    n = *rest == '[' ? strcspn(rest, "]") + 1 : strcspn(rest, ":/");
    if (n == 0 || n >= sizeof(host))
        return false;
    for (size_t i = 0; i < n; i++)
        host[i] = (char)tolower((unsigned char)rest[i]);
    host[n] = '\0';
    if (strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") != n)
        return false;
    rest += n;
    if (*rest == ':') {
        char digits[8];
        size_t size = strcspn(rest + 1, "/");

        if (size >= sizeof(digits))
            return false;
        memcpy(digits, rest + 1, size);
        digits[size] = '\0';
        port = port_number(digits);
        if (port == 0)
            return false;
        rest += 1 + size;
    }
    if (port == 0 || port == (out->is_tls ? 443 : 80))
        (void)snprintf(out->host, sizeof(out->host), "%s", host);
    else
        (void)snprintf(out->host, sizeof(out->host), "%s:%u", host, port);
    if (strcmp(rest, "") != 0 && strcmp(rest, "/") != 0)
        return false;
    (void)snprintf(out->url, sizeof(out->url), "%s://%s/", out->is_tls ? "https" : "http",
                   out->host);
    return true;
}

static int
regional(const char *service, const char *partition, const char *region, struct aws_endpoint *out,
         struct err *e)
{
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (strcmp(partition, suffixes[i].partition) != 0)
            continue;
        out->source = "region";
        out->is_tls = true;
        (void)snprintf(out->host, sizeof(out->host), "%s.%s.%s", service, region,
                       suffixes[i].suffix);
        (void)snprintf(out->url, sizeof(out->url), "https://%s/", out->host);
        return 0;
    }
    return err_set(e, ERR_CONFIG, "no endpoint is known for the partition \"%s\"", partition);
}

static int
from_url(const char *url, struct aws_endpoint *out, struct err *e)
{
    if (parse_url(url, out))
        return 0;
    err_set(e, ERR_CONFIG, "%s: \"%.300s\" is not the URL of an endpoint", out->source, url);
    return err_hint(e, "give http:// or https://, a host and, if need be, a port; nothing else");
}

int
aws_endpoint_resolve(const struct aws_stream_arn *arn, const char *configured,
                     struct aws_endpoint *out, struct err *e)
{
    const char *url = configured;

    *out = (struct aws_endpoint){.source = "Weir.EndpointUrl"};
    if (*url == '\0')
        url = environment_url("AWS_ENDPOINT_URL_KINESIS", &out->source);
    if (url != NULL)
        return from_url(url, out, e);
    if (regional("kinesis", arn->partition, arn->region, out, e) == 0)
        return 0;
    err_context(e, "%.300s", arn->text);
    return err_hint(e, "set AWS_ENDPOINT_URL_KINESIS, or Weir.EndpointUrl");
}

/* ---- services by region ---- */

/* Each partition's regions begin alike. */
static const char *
partition_of(const char *region)
{
    if (strncmp(region, "cn-", 3) == 0)
        return "aws-cn";
    if (strncmp(region, "us-gov-", 7) == 0)
        return "aws-us-gov";
    if (strncmp(region, "eusc-", 5) == 0)
        return "aws-eusc";
    return "aws";
}

int
aws_service_endpoint(const struct aws_service *service, const char *region,
                     struct aws_endpoint *out, struct err *e)
{
    const char *url;

    *out = (struct aws_endpoint){.source = service->variable};
    url = environment_url(service->variable, &out->source);
    if (url != NULL)
        return from_url(url, out, e);
    return regional(service->name, partition_of(region), region, out, e);
}

static bool
region_of_arn(const char *arn, char out[AWS_REGION_SIZE])
{
    const char *at = arn;
    char part[AWS_REGION_SIZE];

    return take_part(&at, ':', part, sizeof(part)) && strcmp(part, "arn") == 0 &&
           take_part(&at, ':', part, sizeof(part)) && take_part(&at, ':', part, sizeof(part)) &&
           take_part(&at, ':', out, AWS_REGION_SIZE);
}

static bool
region_of_profile(char out[AWS_REGION_SIZE])
{
    const char *profile = getenv("AWS_PROFILE");
    const char *file = getenv("AWS_CONFIG_FILE");
    const char *home = getenv("HOME");
    struct profile_key key = {.key = "region", .value = out, .size = AWS_REGION_SIZE};
    char path[4096];

    if (file == NULL || *file == '\0') {
        if (home == NULL ||
            (size_t)snprintf(path, sizeof(path), "%s/.aws/config", home) >= sizeof(path))
            return false;
        file = path;
    }
    if (profile == NULL || *profile == '\0')
        profile = "default";
    return profile_read(file, PROFILE_CONFIG, profile, &key, 1, NULL) == 1 && key.found;
}

int
aws_region_find(const char *arn, const char *fallback, char out[AWS_REGION_SIZE], struct err *e)
{
    const char *const variables[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    const char *found = NULL;

    if (!region_of_arn(arn, out)) {
        for (size_t i = 0; i < 2 && (found == NULL || *found == '\0'); i++)
            found = getenv(variables[i]);
        if ((found == NULL || *found == '\0') && !region_of_profile(out))
            found = fallback;
        if (found != NULL && *found != '\0')
            (void)snprintf(out, AWS_REGION_SIZE, "%s", found);
        else if (found != NULL)
            return err_set(e, ERR_CONFIG, "no AWS region is given: set AWS_REGION");
    }
    if (*out != '\0' && is_made_of(out, "-"))
        return 0;
    return err_set(e, ERR_CONFIG, "\"%.60s\" is not the name of an AWS region", out);
}
