#include "shipper/kinesis/service_error.h"

#include "common/clock.h"

#include <jansson.h>

/* Offsets the service does not forgive, with a minute to spare. */
#define SKEW_NS (240 * NS_PER_S)

enum { AMBIGUOUS = 1, REFUSED = 2, CREDENTIALS = 4, SIGNATURE = 8 };

struct rule {
    const char *code;
    enum err_code error;
    unsigned flags;
    const char *hint;
};

#define HINT_IDENTITY                                                                              \
    "check the access key and that its policy allows kinesis:PutRecords, ListShards and "          \
    "DescribeStreamSummary on the stream"
#define HINT_EXPIRED "renew the session's credentials; they are read again before each try"
#define HINT_SECRET  "the secret access key does not belong to the access key id"
#define HINT_CLOCK   "set this host's clock (NTP)"
#define HINT_KMS     "check the stream's KMS key and who may use it"
#define HINT_STREAM  "does the stream exist in that account and region? weir never creates it"

static const struct rule rules[] = {
    {"ProvisionedThroughputExceededException", ERR_THROTTLED, 0, ""},
    {"KMSThrottlingException", ERR_THROTTLED, 0, ""},
    {"ThrottlingException", ERR_THROTTLED, 0, ""},
    {"Throttling", ERR_THROTTLED, 0, ""},
    {"LimitExceededException", ERR_THROTTLED, 0, ""},
    {"RequestLimitExceeded", ERR_THROTTLED, 0, ""},
    {"TooManyRequestsException", ERR_THROTTLED, 0, ""},
    {"SlowDown", ERR_THROTTLED, 0, ""},
    {"InternalFailure", ERR_SERVICE, AMBIGUOUS, ""},
    {"InternalFailureException", ERR_SERVICE, AMBIGUOUS, ""},
    {"InternalServerError", ERR_SERVICE, AMBIGUOUS, ""},
    {"ServiceUnavailable", ERR_SERVICE, AMBIGUOUS, ""},
    {"ServiceUnavailableException", ERR_SERVICE, AMBIGUOUS, ""},
    {"ExpiredTokenException", ERR_CREDENTIALS, CREDENTIALS, HINT_EXPIRED},
    {"ExpiredToken", ERR_CREDENTIALS, CREDENTIALS, HINT_EXPIRED},
    {"UnrecognizedClientException", ERR_CREDENTIALS, CREDENTIALS, HINT_IDENTITY},
    {"InvalidClientTokenId", ERR_CREDENTIALS, CREDENTIALS, HINT_IDENTITY},
    {"AccessDeniedException", ERR_CREDENTIALS, CREDENTIALS, HINT_IDENTITY},
    {"MissingAuthenticationTokenException", ERR_CREDENTIALS, CREDENTIALS, HINT_IDENTITY},
    {"IncompleteSignatureException", ERR_CREDENTIALS, CREDENTIALS, HINT_IDENTITY},
    {"OptInRequired", ERR_CREDENTIALS, CREDENTIALS, HINT_IDENTITY},
    {"InvalidSignatureException", ERR_CREDENTIALS, CREDENTIALS | SIGNATURE, HINT_SECRET},
    {"SignatureDoesNotMatch", ERR_CREDENTIALS, CREDENTIALS | SIGNATURE, HINT_SECRET},
    {"AuthFailure", ERR_CREDENTIALS, CREDENTIALS | SIGNATURE, HINT_SECRET},
    {"RequestExpired", ERR_CLOCK, 0, HINT_CLOCK},
    {"RequestTimeTooSkewed", ERR_CLOCK, 0, HINT_CLOCK},
    {"RequestInTheFuture", ERR_CLOCK, 0, HINT_CLOCK},
    {"ResourceNotFoundException", ERR_STREAM, 0, HINT_STREAM},
    {"ResourceInUseException", ERR_STREAM, 0, "it is being created or deleted: wait"},
    {"ExpiredIteratorException", ERR_STREAM, 0, ""},
    {"ExpiredNextTokenException", ERR_STREAM, 0, ""},
    {"KMSDisabledException", ERR_STREAM, 0, HINT_KMS},
    {"KMSInvalidStateException", ERR_STREAM, 0, HINT_KMS},
    {"KMSAccessDeniedException", ERR_STREAM, 0, HINT_KMS},
    {"KMSNotFoundException", ERR_STREAM, 0, HINT_KMS},
    {"KMSOptInRequired", ERR_STREAM, 0, HINT_KMS},
    {"ValidationException", ERR_PROTOCOL, REFUSED, ""},
    {"InvalidArgumentException", ERR_PROTOCOL, REFUSED, ""},
    {"SerializationException", ERR_PROTOCOL, REFUSED, ""},
};

/* Answers without a code anybody documents are judged by their status. */
static struct rule
rule_of_status(long status)
{
    if (status == 429)
        return (struct rule){"", ERR_THROTTLED, 0, ""};
    if (status == 413)
        return (struct rule){"", ERR_PROTOCOL, REFUSED, ""};
    if (status == 401 || status == 403)
        return (struct rule){"", ERR_CREDENTIALS, CREDENTIALS, HINT_IDENTITY};
    if (status >= 500)
        return (struct rule){"", ERR_SERVICE, AMBIGUOUS, ""};
    return (struct rule){"", ERR_PROTOCOL, 0, "is that URL a Kinesis endpoint?"};
}

static struct rule
rule_of(const char *code, long status)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(rules[i].code, code) == 0)
            return rules[i];
    }
    return rule_of_status(status);
}

static void
set_code(struct service_error *out, const char *text)
{
    const char *hash = strchr(text, '#');

    if (hash != NULL)
        text = hash + 1;
    (void)snprintf(out->code, sizeof(out->code), "%.*s", (int)strcspn(text, ",:"), text);
}

static void
read_answer(const struct http_call *call, struct service_error *out)
{
    json_t *root =
        json_loadb(call->response.data, call->response.size, JSON_REJECT_DUPLICATES, NULL);
    const char *code = json_string_value(json_object_get(root, "__type"));
    const char *message = json_string_value(json_object_get(root, "message"));

    if (code == NULL)
        code = json_string_value(json_object_get(root, "code"));
    if (code == NULL && call->headers.error_type[0] != '\0')
        code = call->headers.error_type;
    if (message == NULL)
        message = json_string_value(json_object_get(root, "Message"));
    if (code != NULL)
        set_code(out, code);
    if (message != NULL)
        (void)snprintf(out->message, sizeof(out->message), "%s", message);
    json_decref(root);
}

static bool
is_about_time(const struct service_error *s, int64_t clock_offset_ns)
{
    return clock_offset_ns >= SKEW_NS || clock_offset_ns <= -SKEW_NS ||
           strncmp(s->message, "Signature expired", 17) == 0 ||
           strncmp(s->message, "Signature not yet current", 25) == 0;
}

int
service_error_judge(const struct http_call *call, const char *what, const char *stream,
                    int64_t clock_offset_ns, struct service_error *out, struct err *e)
{
    struct rule rule;

    *out = (struct service_error){.code = ""};
    if (call->status == 0) {
        out->is_ambiguous = call->was_sent;
        if (e != NULL)
            *e = call->error;
        return err_context(e, "%s on %s", what, stream);
    }
    read_answer(call, out);
    rule = rule_of(out->code, call->status);
    if ((rule.flags & SIGNATURE) != 0 && is_about_time(out, clock_offset_ns)) {
        rule.error = ERR_CLOCK;
        rule.hint = HINT_CLOCK;
    }
    out->is_ambiguous = (rule.flags & AMBIGUOUS) != 0;
    out->is_refused = (rule.flags & REFUSED) != 0;
    out->is_credentials = (rule.flags & CREDENTIALS) != 0;
    err_set(e, rule.error, "%s on %s: HTTP %ld %s%s%s%s%s", what, stream, call->status,
            out->code[0] != '\0' ? out->code : "without an error code",
            out->message[0] != '\0' ? ": " : "", out->message,
            call->headers.request_id[0] != '\0' ? ", request " : "", call->headers.request_id);
    if (e != NULL)
        e->sys = (int)call->status;
    if (rule.error == ERR_CLOCK && clock_offset_ns != 0)
        err_context(e, "this host's clock is %lld s %s the service's",
                    (long long)(llabs(clock_offset_ns) / NS_PER_S),
                    clock_offset_ns > 0 ? "behind" : "ahead of");
    if (rule.hint[0] != '\0')
        err_hint(e, "%s", rule.hint);
    return -1;
}
