/*
 * endpoint - from an ARN, or the environment, to the region to sign for and the URL to call.
 *
 * Blocking and allocation: never.
 */
#ifndef WEIR_AWS_ENDPOINT_H
#define WEIR_AWS_ENDPOINT_H

#include <stdbool.h>

struct err;

#define AWS_REGION_SIZE 64

/* arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME */
struct aws_stream_arn {
    char text[2049];
    char partition[32];
    char region[AWS_REGION_SIZE];
    char account[13];
    char name[129];
};

struct aws_endpoint {
    char url[512];      /* "https://kinesis.eu-west-1.amazonaws.com/" */
    char host[300];     /* as in the Host header: with the port unless it is the scheme's own */
    const char *source; /* "Weir.EndpointUrl", "AWS_ENDPOINT_URL_KINESIS", ..., "region" */
    bool is_tls;
};

/* ERR_CONFIG names the part that is wrong. */
int aws_stream_arn_parse(const char *arn, struct aws_stream_arn *out, struct err *e);

/*
 * configured, else AWS_ENDPOINT_URL_KINESIS, else AWS_ENDPOINT_URL (both unless
 * AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true), else the region's own.  A URL is scheme, host
 * and port only.  ERR_CONFIG.
 */
int aws_endpoint_resolve(const struct aws_stream_arn *arn, const char *configured,
                         struct aws_endpoint *out, struct err *e);

/* A service by its name in host names and signatures, and the variable that moves it elsewhere. */
struct aws_service {
    const char *name;     /* "secretsmanager" */
    const char *variable; /* "AWS_ENDPOINT_URL_SECRETS_MANAGER" */
};

/* The same for a service without settings of its own: its variable, AWS_ENDPOINT_URL, region. */
int aws_service_endpoint(const struct aws_service *service, const char *region,
                         struct aws_endpoint *out, struct err *e);

/*
 * The region of anything's ARN ("arn:PARTITION:SERVICE:REGION:..."), else AWS_REGION,
 * AWS_DEFAULT_REGION, the profile's region in ~/.aws/config, else fallback.  ERR_CONFIG when it
 * is no region's name, or none is found.
 */
int
aws_region_find(const char *arn, const char *fallback, char out[AWS_REGION_SIZE], struct err *e);

#endif
