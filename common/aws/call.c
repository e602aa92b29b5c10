#include "common/aws/call.h"

#include "common/aws/credentials.h"
#include "common/aws/http.h"
#include "common/aws/sigv4.h"
#include "common/clock.h"
#include "common/err.h"

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (256U * 1024U) /* a secret has 64 KiB at most */

/* ---- sending ---- */

struct lines {
    char target[128];
    char content_type[96];
    char host[320];
    char date[48];
    char token[sizeof(((struct credentials *)NULL)->token) + 32];
    char authorization[SIGV4_AUTHORIZATION_SIZE + 32];
};

/* The lines that are sent whether or not the request is signed. */
static void
make_lines(const struct aws_request *r, const struct aws_endpoint *endpoint, struct lines *l)
{
    (void)snprintf(l->host, sizeof(l->host), "Host: %s", endpoint->host);
    (void)snprintf(l->content_type, sizeof(l->content_type), "Content-Type: %s", r->content_type);
    (void)snprintf(l->target, sizeof(l->target), "X-Amz-Target: %s",
                   r->target != NULL ? r->target : "");
}

static int
sign(const struct aws_request *r, const struct aws_endpoint *endpoint, int64_t now_ns,
     struct lines *l, struct err *e)
{
    struct sigv4_signer *signer = calloc(1, sizeof(*signer));
    const struct credentials *c = r->credentials;
    char time[SIGV4_TIME_SIZE];
    char hash[SIGV4_HASH_SIZE];
    struct sigv4_header headers[5];
    struct sigv4_request request = {"POST", "/", "", headers, 0, hash};
    int rc;

    if (signer == NULL)
        return err_set(e, ERR_NOMEM, "a request to %s", endpoint->host);
    sigv4_init(signer, r->region, r->service.name);
    sigv4_time(now_ns, time);
    sigv4_hash(r->body, strlen(r->body), hash);
    headers[request.n_headers++] = (struct sigv4_header){"content-type", r->content_type};
    headers[request.n_headers++] = (struct sigv4_header){"host", endpoint->host};
    headers[request.n_headers++] = (struct sigv4_header){"x-amz-date", time};
    if (r->target != NULL)
        headers[request.n_headers++] = (struct sigv4_header){"x-amz-target", r->target};
    if (c->token[0] != '\0')
        headers[request.n_headers++] = (struct sigv4_header){"x-amz-security-token", c->token};
    memcpy(l->authorization, "Authorization: ", 16);
    rc = sigv4_set_credentials(signer, c->access_key_id, c->secret, e);
    if (rc == 0)
        rc = sigv4_sign(signer, &request, time, l->authorization + 15, e);
    sigv4_fini(signer);
    free(signer);
    (void)snprintf(l->date, sizeof(l->date), "X-Amz-Date: %s", time);
    (void)snprintf(l->token, sizeof(l->token), "X-Amz-Security-Token: %s", c->token);
    return rc;
}

static int
start(struct http *h, struct http_call *call, const struct aws_request *r,
      const struct aws_endpoint *endpoint, int64_t now_ns, struct err *e)
{
    struct lines l = {.target = ""};
    const char *sent[HTTP_MAX_HEADERS] = {"Expect:", l.content_type, l.host};
    size_t n = 3;
    size_t size = strlen(r->body);
    int rc = -1;

    make_lines(r, endpoint, &l);
    if (r->target != NULL)
        sent[n++] = l.target;
    if (r->credentials != NULL) {
        sent[n++] = l.date;
        sent[n++] = l.authorization;
        if (r->credentials->token[0] != '\0')
            sent[n++] = l.token;
    }
    if ((r->credentials == NULL || sign(r, endpoint, now_ns, &l, e) == 0) &&
        http_buffer_reserve(&call->request, size, e) == 0) {
        memcpy(call->request.data, r->body, size);
        call->request.size = size;
        rc = http_start(h, call, sent, n, true, e);
    }
    OPENSSL_cleanse(&l, sizeof(l));
    return rc;
}

static bool
is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return fd >= 0 && poll(&p, 1, 0) > 0;
}

static int
await(struct http *h, const struct aws_wait *w, struct err *e)
{
    int64_t beat_ns = clock_mono_ns();

    while (http_next_done(h) == NULL) {
        http_poll(h, 250);
        if (is_readable(w->stop_fd))
            return err_set(e, ERR_STOPPED, "stopped");
        if (w->beat != NULL && clock_mono_ns() - beat_ns >= NS_PER_S) {
            w->beat(w->beat_arg);
            beat_ns = clock_mono_ns();
        }
    }
    return 0;
}

/* ---- the answer ---- */

/* "com.amazon#ThrottlingException:http://..." is ThrottlingException. */
static void
set_error(struct aws_answer *a, const char *type)
{
    const char *hash = strrchr(type, '#');
    const char *name = hash != NULL ? hash + 1 : type;

    (void)snprintf(a->error, sizeof(a->error), "%.*s", (int)strcspn(name, ":"), name);
}

static void
parse_json_error(struct aws_answer *a)
{
    json_t *json = json_loads(a->body, 0, NULL);
    const char *type = json_string_value(json_object_get(json, "__type"));
    const char *text = json_string_value(json_object_get(json, "message"));

    if (text == NULL)
        text = json_string_value(json_object_get(json, "Message"));
    if (type != NULL && a->error[0] == '\0')
        set_error(a, type);
    if (text != NULL)
        (void)snprintf(a->message, sizeof(a->message), "%s", text);
    json_decref(json);
}

/* <Error><Code>...</Code><Message>...</Message>: services that answer in XML. */
static void
parse_xml_error(struct aws_answer *a)
{
    static const struct {
        const char *begin;
        const char *end;
    } tags[] = {{"<Code>", "</Code>"}, {"<Message>", "</Message>"}};
    char *const places[] = {a->error, a->message};
    const size_t sizes[] = {sizeof(a->error), sizeof(a->message)};

    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(a->body, tags[i].begin);
        const char *end = at != NULL ? strstr(at, tags[i].end) : NULL;

        if (end == NULL)
            continue;
        at += strlen(tags[i].begin);
        (void)snprintf(places[i], sizes[i], "%.*s", (int)(end - at), at);
    }
}

/* Takes the answer out of the call and wipes what libcurl's side keeps of it. */
static int
take_answer(struct http_call *call, const struct aws_endpoint *endpoint, struct aws_answer *out,
            struct err *e)
{
    if (call->status == 0) {
        *e = call->error;
        return err_context(e, "%s", endpoint->url);
    }
    out->status = call->status;
    if (call->response.size > ANSWER_MAX)
        return err_set(e, ERR_PROTOCOL, "%s answered %zu bytes", endpoint->url,
                       call->response.size);
    out->size = call->response.size;
    out->body = calloc(1, out->size + 1);
    if (out->body == NULL)
        return err_set(e, ERR_NOMEM, "an answer of %s", endpoint->url);
    if (out->size > 0) {
        memcpy(out->body, call->response.data, out->size);
        OPENSSL_cleanse(call->response.data, out->size);
    }
    if (out->status == 200)
        return 0;
    if (call->headers.error_type[0] != '\0')
        set_error(out, call->headers.error_type);
    if (out->body[0] == '{')
        parse_json_error(out);
    else
        parse_xml_error(out);
    if (out->error[0] != '\0' || out->status == 429 || out->status >= 500)
        return 0;
    err_set(e, ERR_PROTOCOL, "%s answered HTTP %ld with what no AWS service says: %.60s",
            endpoint->url, out->status, out->body);
    e->sys = (int)out->status;
    return err_hint(e, "a proxy may stand in between; the endpoint came from: %s",
                    endpoint->source);
}

/* By how much the service's clock is ahead; 0 when it does not say, or the clocks agree. */
static int64_t
clock_offset(const struct http_call *call)
{
    time_t date = call->headers.date[0] != '\0' ? curl_getdate(call->headers.date, NULL) : -1;
    int64_t offset_ns = date * NS_PER_S - clock_real_ns();

    return date > 0 && llabs(offset_ns) > 60 * NS_PER_S ? offset_ns : 0;
}

static bool
is_clock_error(const char *error)
{
    static const char *const names[] = {"InvalidSignatureException", "RequestExpired",
                                        "SignatureDoesNotMatch", "RequestTimeTooSkewed",
                                        "RequestInTheFuture"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], error) == 0)
            return true;
    return false;
}

/* One exchange; *offset_ns learns what the service's clock says. */
static int
exchange(struct http *h, const struct aws_request *r, const struct aws_wait *w,
         const struct aws_endpoint *endpoint, int64_t *offset_ns, struct aws_answer *out,
         struct err *e)
{
    struct http_call *call = http_acquire(h);
    int rc;

    CHECK(call != NULL);
    rc = start(h, call, r, endpoint, clock_real_ns() + *offset_ns, e);
    if (rc == 0)
        rc = await(h, w, e);
    if (rc != 0)
        return -1; /* http_close() ends the call */
    rc = take_answer(call, endpoint, out, e);
    *offset_ns = clock_offset(call);
    http_release(h, call);
    return rc;
}

int
aws_call(const struct aws_request *r, const struct aws_wait *w, struct aws_answer *out,
         struct err *e)
{
    struct aws_endpoint endpoint;
    struct http_config config = {.url = endpoint.url,
                                 .ca_file = "",
                                 .timeout_ms = w->timeout_ms,
                                 .calls = 1,
                                 .wake_fd = w->stop_fd};
    struct http *h = NULL;
    int64_t offset_ns = 0;
    int rc;

    *out = (struct aws_answer){.status = 0};
    if (aws_service_endpoint(&r->service, r->region, &endpoint, e) != 0 ||
        http_open(&config, &h, e) != 0)
        return -1;
    rc = exchange(h, r, w, &endpoint, &offset_ns, out, e);
    if (rc == 0 && offset_ns != 0 && is_clock_error(out->error)) {
        aws_answer_wipe(out);
        rc = exchange(h, r, w, &endpoint, &offset_ns, out, e);
    }
    http_close(&h);
    if (rc != 0)
        aws_answer_wipe(out);
    return rc;
}

void
aws_answer_wipe(struct aws_answer *a)
{
    if (a->body != NULL)
        OPENSSL_cleanse(a->body, a->size);
    free(a->body);
    a->body = NULL;
    a->size = 0;
}

/* ---- errors of the service ---- */

static const struct {
    const char *name;
    enum err_code code;
    const char *hint;
} meanings[] = {
    {"AccessDeniedException", ERR_ACCESS, "allow the action to this principal by an IAM policy"},
    {"AccessDenied", ERR_ACCESS, "allow the action to this principal by an IAM policy"},
    {"DecryptionFailure", ERR_ACCESS, "allow kms:Decrypt with the secret's key to this principal"},
    {"ExpiredTokenException", ERR_CREDENTIALS, "renew the AWS credentials"},
    {"ExpiredToken", ERR_CREDENTIALS, "renew the AWS credentials"},
    {"UnrecognizedClientException", ERR_CREDENTIALS, "check the AWS credentials"},
    {"InvalidClientTokenId", ERR_CREDENTIALS, "check the AWS credentials"},
    {"IncompleteSignature", ERR_CREDENTIALS, "check the AWS credentials"},
    {"MissingAuthenticationToken", ERR_CREDENTIALS, "check the AWS credentials"},
    {"OptInRequired", ERR_ACCESS, "enable the region for the AWS account"},
    {"ThrottlingException", ERR_THROTTLED, ""},
    {"Throttling", ERR_THROTTLED, ""},
    {"TooManyRequestsException", ERR_THROTTLED, ""},
    {"RequestLimitExceeded", ERR_THROTTLED, ""},
};

static enum err_code
code_of(const struct aws_answer *a, const char **hint)
{
    *hint = "";
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (strcmp(meanings[i].name, a->error) == 0) {
            *hint = meanings[i].hint;
            return meanings[i].code;
        }
    if (is_clock_error(a->error)) {
        *hint = "check the AWS credentials, and the clock of this host";
        return ERR_CREDENTIALS;
    }
    if (a->status == 429)
        return ERR_THROTTLED;
    return a->status >= 500 ? ERR_SERVICE : ERR_CONFIG;
}

int
aws_answer_report(const struct aws_answer *a, const char *what, struct err *e)
{
    const char *hint;
    enum err_code code = code_of(a, &hint);

    err_set(e, code, "%s: HTTP %ld %s%s%s", what, a->status,
            a->error[0] != '\0' ? a->error : "without a reason", a->message[0] != '\0' ? ": " : "",
            a->message);
    e->sys = (int)a->status;
    return hint[0] != '\0' ? err_hint(e, "%s", hint) : -1;
}
