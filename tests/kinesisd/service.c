#include "tests/kinesisd/service.h"

#include "common/clock.h"
#include "common/err.h"
#include "tests/kinesisd/api.h"
#include "tests/kinesisd/base64.h"
#include "tests/kinesisd/control.h"
#include "tests/kinesisd/digest.h"
#include "tests/kinesisd/history.h"
#include "tests/kinesisd/signature.h"

#include <strings.h>
#include <sys/random.h>
#include <time.h>

#define TARGET_PREFIX "Kinesis_20131202."
#define CONTENT_TYPE  "application/x-amz-json-1.1"

#define SHARD_RECORDS_PER_S 1000
#define SHARD_BYTES_PER_S   ((int64_t)1024 * 1024)
#define KEEP                1000000
#define SHARD_LIMIT         20000
#define RESHARD_LIMIT       10
#define LIFE_MS             ((int64_t)300 * 1000)
#define STATE_DELAY_MS      500

/* The request as the parts of this file see it. */
struct request {
    struct service *svc;
    const struct http_head *head;
    const char *text;
    char *body;
    size_t body_len;
    struct bytes *out;
    struct service_answer *answer;
};

void
service_init(struct service *s, const char *account_id, const char *region)
{
    *s = (struct service){0};
    base64_init();
    s->digest = digest_open();
    (void)snprintf(s->account.id, sizeof(s->account.id), "%s", account_id);
    (void)snprintf(s->account.region, sizeof(s->account.region), "%s", region);
    s->account.state_delay_ms = STATE_DELAY_MS;
    s->account.limits = (struct stream_limits){
        .shard_records_per_s = SHARD_RECORDS_PER_S,
        .shard_bytes_per_s = SHARD_BYTES_PER_S,
        .keep = KEEP,
    };
    s->throttles_writes = true;
    s->shard_limit = SHARD_LIMIT;
    s->reshard_limit = RESHARD_LIMIT;
    s->iterator_ms = s->token_ms = LIFE_MS;
    hostile_init(&s->hostile);
    CHECK(getrandom(&s->id_state, sizeof(s->id_state), 0) == (ssize_t)sizeof(s->id_state));
    CHECK(getrandom(&s->token_key, sizeof(s->token_key), 0) == (ssize_t)sizeof(s->token_key));
    service_tick(s);
}

void
service_free(struct service *s)
{
    account_free(&s->account);
    digest_close(&s->digest);
    bytes_free(&s->body);
    bytes_free(&s->text);
}

void
service_tick(struct service *s)
{
    int64_t now_ms = clock_real_ns() / NS_PER_MS;

    /* Arrival times never fall, whatever the clock does. */
    if (now_ms > s->now_ms)
        s->now_ms = now_ms;
    s->now_ns = clock_mono_ns();
    account_advance(&s->account, s->now_ms);
}

static uint64_t
draw_id(struct service *s)
{
    uint64_t z = (s->id_state += 0x9e3779b97f4a7c15ULL);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* ---- the answer's head ---- */

static const char *
reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 413:
        return "Payload Too Large";
    case 500:
        return "Internal Server Error";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Status";
    }
}

static const char *
date_header(struct service *s)
{
    int64_t now_s = s->now_ms / 1000 + s->clock_offset_s;
    time_t t = now_s;
    struct tm tm;

    if (s->date_s != now_s) {
        (void)strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
        s->date_s = now_s;
    }
    return s->date;
}

static void
write_head(struct service *s, int status, const char *type, size_t length, struct bytes *out)
{
    uint64_t a = draw_id(s);
    uint64_t b = draw_id(s);
    uint64_t extra[9];
    char id2[BASE64_SIZE(sizeof(extra)) + 1];

    for (size_t i = 0; i < 9; i++)
        extra[i] = draw_id(s);
    id2[base64_encode(extra, sizeof(extra), id2)] = '\0';
    bytes_printf(out,
                 "HTTP/1.1 %d %s\r\nx-amzn-RequestId: %08x-%04x-4%03x-%04x-%012llx\r\n"
                 "x-amz-id-2: %s\r\nDate: %s\r\n%s%s%sContent-Length: %zu\r\n\r\n",
                 status, reason(status), (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
                 (unsigned)(a & 0xfff), (unsigned)(0x8000 | (b >> 48 & 0x3fff)),
                 (unsigned long long)(b & 0xffffffffffffULL), id2, date_header(s),
                 type == NULL ? "" : "Content-Type: ", type == NULL ? "" : type,
                 type == NULL ? "" : "\r\n", length);
}

static void
answer_text(struct request *r, int status, const char *type, const char *body)
{
    write_head(r->svc, status, type, strlen(body), r->out);
    bytes_puts(r->out, body);
}

void
service_plain(struct service *s, int status, struct bytes *out)
{
    service_tick(s);
    s->counters.refused++;
    write_head(s, status, NULL, 0, out);
}

static void
answer_call(struct request *r, const struct call *c)
{
    struct service *svc = r->svc;

    if (c->status >= 400 && c->status < 500)
        svc->counters.refused++;
    write_head(svc, c->status, CONTENT_TYPE, svc->body.len, r->out);
    bytes_add(r->out, svc->body.data, svc->body.len);
}

/* ---- from request to call ---- */

static bool
span_is(const struct request *r, struct http_span s, const char *word)
{
    return strlen(word) == s.len && memcmp(r->text + s.at, word, s.len) == 0;
}

/* The media type without its parameters. */
static bool
has_content_type(const struct request *r, const char *type)
{
    const struct http_header *h = http_find(r->head, r->text, "content-type");
    size_t len = strlen(type);

    return h != NULL && h->value.len >= len && strncasecmp(r->text + h->value.at, type, len) == 0 &&
           (h->value.len == len || r->text[h->value.at + len] == ';' ||
            r->text[h->value.at + len] == ' ');
}

/* NULL and answered when the request names no operation of ours. */
static const struct api_operation *
find_operation(struct request *r)
{
    const struct http_header *target = http_find(r->head, r->text, "x-amz-target");
    size_t prefix = sizeof(TARGET_PREFIX) - 1;
    const struct api_operation *op = NULL;

    if (!span_is(r, r->head->method, "POST") || target == NULL) {
        answer_text(r, 403, NULL,
                    "<AccessDeniedException>\n  <Message>Unable to determine service/operation "
                    "name to be authorized</Message>\n</AccessDeniedException>\n");
        return NULL;
    }
    if (!has_content_type(r, CONTENT_TYPE)) {
        answer_text(r, 404, NULL, "<UnknownOperationException/>\n");
        return NULL;
    }
    if (target->value.len > prefix &&
        memcmp(r->text + target->value.at, TARGET_PREFIX, prefix) == 0)
        op = api_find(r->text + target->value.at + prefix, target->value.len - prefix);
    if (op == NULL)
        answer_text(r, 400, CONTENT_TYPE, "{\"__type\":\"UnknownOperationException\"}");
    return op;
}

static bool
is_signed(struct request *r, struct call *c)
{
    struct service *svc = r->svc;
    struct signature_request s = {
        .head = r->head,
        .text = r->text,
        .body = r->body,
        .body_len = r->body_len,
        .now_s = svc->now_ms / 1000 + svc->clock_offset_s,
    };
    const char *code = signature_check(svc->signature, &s, &svc->text);

    if (code == NULL)
        return true;
    svc->counters.signature_failures++;
    call_refuse(c, code, "%.*s", (int)svc->text.len, svc->text.data);
    return false;
}

static void
note_stream_name(struct call *c, const char *name, size_t name_len, const char *arn, size_t arn_len)
{
    if (name == NULL && arn != NULL) {
        const char *slash = memrchr(arn, '/', arn_len);

        name = slash == NULL ? arn : slash + 1;
        name_len = arn_len - (size_t)(name - arn);
    }
    if (name != NULL)
        (void)snprintf(c->stream_name, sizeof(c->stream_name), "%.*s",
                       (int)(name_len > STREAM_NAME_MAX ? STREAM_NAME_MAX : name_len), name);
}

static bool
parse_put(struct request *r, struct call *c)
{
    struct putbody *p = &r->svc->put;

    if (putbody_parse(p, r->body, r->body_len) != 0) {
        call_refuse(c, "SerializationException", "%s", p->message);
        return false;
    }
    note_stream_name(c, p->stream_name.data, p->stream_name.len, p->stream_arn.data,
                     p->stream_arn.len);
    return true;
}

static bool
parse_args(struct request *r, struct call *c)
{
    json_error_t problem;
    const char *name;
    const char *arn;

    c->args = json_loadb(r->body, r->body_len, 0, &problem);
    if (!json_is_object(c->args)) {
        json_decref(c->args);
        c->args = NULL;
        call_refuse(c, "SerializationException", "%s", "");
        return false;
    }
    name = json_string_value(json_object_get(c->args, "StreamName"));
    arn = json_string_value(json_object_get(c->args, "StreamARN"));
    note_stream_name(c, name, name == NULL ? 0 : strlen(name), arn, arn == NULL ? 0 : strlen(arn));
    return true;
}

/* ---- faults on demand ---- */

static void
answer_rule(struct request *r, struct call *c, const struct hostile_rule *rule)
{
    const char *code = rule->code;

    if (rule->action == HOSTILE_HTML) {
        answer_text(r, (int)rule->status, "text/html",
                    "<html>\r\n<head><title>Service unavailable</title></head>\r\n"
                    "<body><h1>Http/1.1 Service Unavailable</h1></body>\r\n</html>\r\n");
        return;
    }
    if (rule->action == HOSTILE_EXPIRED_TOKEN)
        call_fail(c, 400, "ExpiredTokenException", "%s",
                  "The security token included in the request is expired");
    else
        call_fail(c, (int)rule->status,
                  code[0] != '\0'       ? code
                  : rule->status == 503 ? "ServiceUnavailable"
                                        : "InternalFailure",
                  "%s", rule->message);
    answer_call(r, c);
}

static void
run_call(struct request *r, struct call *c, const struct api_operation *op)
{
    struct hostile_verdict *v = &c->verdict;

    hostile_judge(&r->svc->hostile, op->name, c->stream_name, v);
    r->answer->ending = v->ending;
    r->answer->delay_ms = v->delay_ms;
    if (v->ending == ENDING_DROP || v->ending == ENDING_RESET)
        return;
    if (v->error != NULL && !v->error->is_committed) {
        answer_rule(r, c, v->error);
        return;
    }
    op->run(c);
    if (v->ending == ENDING_LOST || v->ending == ENDING_CUT)
        r->svc->counters.lost_answers++;
    if (v->error != NULL)
        answer_rule(r, c, v->error);
    else
        answer_call(r, c);
}

static void
handle_api(struct request *r)
{
    const struct api_operation *op = find_operation(r);
    struct call c = {.svc = r->svc, .status = 200};

    if (op == NULL)
        return;
    c.operation = op->name;
    r->svc->body.len = 0;
    if (is_signed(r, &c) && (op->is_put ? parse_put(r, &c) : parse_args(r, &c)))
        run_call(r, &c, op);
    else
        answer_call(r, &c);
    json_decref(c.args);
}

static void
handle_control(struct request *r)
{
    bool is_post = span_is(r, r->head->method, "POST");
    int status = control_handle(r->svc, is_post, r->body, r->body_len, &r->svc->body);

    write_head(r->svc, status, "application/json", r->svc->body.len, r->out);
    bytes_add(r->out, r->svc->body.data, r->svc->body.len);
}

void
service_handle(struct service *s, const struct http_head *head, const char *text, char *body,
               size_t body_len, struct bytes *out, struct service_answer *answer)
{
    struct request r = {
        .svc = s,
        .head = head,
        .text = text,
        .body = body,
        .body_len = body_len,
        .out = out,
        .answer = answer,
    };

    *answer = (struct service_answer){.ending = ENDING_ANSWER};
    service_tick(s);
    if (span_is(&r, head->path, "/control")) {
        handle_control(&r);
    } else if (span_is(&r, head->path, "/healthcheck") && span_is(&r, head->method, "GET")) {
        answer_text(&r, 200, "text/plain", "ok\n");
    } else {
        s->counters.requests++;
        handle_api(&r);
    }
}
