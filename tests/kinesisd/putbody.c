#include "tests/kinesisd/putbody.h"

#include "tests/kinesisd/base64.h"

/* Longest piece of a refused value quoted back. */
#define QUOTE_MAX 200

struct scan {
    struct jsonscan json;
    struct putbody *out;
};

enum member {
    MEMBER_UNKNOWN,
    MEMBER_RECORDS,
    MEMBER_STREAM_NAME,
    MEMBER_STREAM_ARN,
    MEMBER_DRY_RUN,
    MEMBER_ORDERING,
    MEMBER_DATA,
    MEMBER_KEY,
    MEMBER_EXPLICIT_HASH,
};

/* ---- members: -1 with the message set for a wrong type ---- */

static int
refuse(struct scan *s, const char *message)
{
    (void)snprintf(s->out->message, sizeof(s->out->message), "%s", message);
    return -1;
}

/* The value at s->json.at is no string where one is due: it must still be JSON to earn this message. */
static int
refuse_type(struct scan *s, const char *target)
{
    char c = jsonscan_peek(&s->json);
    char message[128];

    if (jsonscan_skip(&s->json, 0) != 0)
        return -1;
    if (c == '{')
        return refuse(s, "Start of structure or map found where not expected.");
    if (c == '[')
        return refuse(s, "Start of list found where not expected");
    (void)snprintf(message, sizeof(message), "%s can not be converted to %s",
                   c == 't' || c == 'f' ? "class java.lang.Boolean" : "class java.math.BigDecimal",
                   target);
    return refuse(s, message);
}

static int
read_text(struct scan *s, struct jsonscan_text *out)
{
    char c = jsonscan_peek(&s->json);

    *out = (struct jsonscan_text){0};
    if (c == 'n')
        return jsonscan_word(&s->json, "null");
    if (c != '"')
        return refuse_type(s, "an String");
    s->json.at++;
    return jsonscan_string(&s->json, out);
}

/* What the client sent as Data: the part already decoded (encoding it again is lossless) and the
 * rest. */
static void
quote_blob(const char *decoded, size_t decoded_len, const struct jsonscan_text *rest, char *out)
{
    size_t head = decoded_len < QUOTE_MAX / 4 * 3 ? decoded_len : QUOTE_MAX / 4 * 3;
    size_t n = base64_encode(decoded, head, out);
    size_t tail = rest->len < QUOTE_MAX - n ? rest->len : QUOTE_MAX - n;

    (void)memcpy(out + n, rest->data, tail);
    out[n + tail] = '\0';
}

static int
refuse_blob(struct scan *s, const char *decoded, size_t done, const struct jsonscan_text *rest,
            enum base64_problem problem, size_t at)
{
    char quoted[QUOTE_MAX + 1];
    char why[128];

    if (problem == BASE64_LENGTH)
        (void)snprintf(why, sizeof(why),
                       "Base64 encoded length is expected a multiple of 4 bytes but found: %zu",
                       done + rest->len);
    else if (problem == BASE64_CHARACTER)
        (void)snprintf(why, sizeof(why), "Invalid Base64 character: '%c'", rest->data[at]);
    else
        (void)snprintf(why, sizeof(why), "Invalid last non-pad Base64 character dectected");
    quote_blob(decoded, done / 4 * 3, rest, quoted);
    (void)snprintf(s->out->message, sizeof(s->out->message),
                   "'%s' can not be converted to a Blob: %s", quoted, why);
    return -1;
}

static int
read_blob(struct scan *s, struct jsonscan_text *out)
{
    char c = jsonscan_peek(&s->json);
    char *start;
    size_t done;
    size_t at = 0;
    size_t tail_len = 0;
    struct jsonscan_text rest;
    enum base64_problem problem = BASE64_LENGTH;

    *out = (struct jsonscan_text){0};
    if (c == 'n')
        return jsonscan_word(&s->json, "null");
    if (c != '"')
        return refuse_type(s, "a Blob");
    start = ++s->json.at;
    /* The bulk is decoded while it is scanned; what stops the run is the quote, padding, an
     * escape or a fault, and is looked at as a string of its own. */
    done = base64_run(start, (size_t)(s->json.end - start), start);
    s->json.at = start + done;
    if (jsonscan_string(&s->json, &rest) != 0)
        return -1;
    if (rest.len % 4 == 0)
        problem = base64_decode(rest.data, rest.len, start + done / 4 * 3, &tail_len, &at);
    if (problem != BASE64_OK)
        return refuse_blob(s, start, done, &rest, problem, at);
    *out = (struct jsonscan_text){.data = start, .len = done / 4 * 3 + tail_len};
    return 0;
}

static int
read_bool(struct scan *s, bool *out)
{
    char c = jsonscan_peek(&s->json);

    *out = false;
    if (c == 'n')
        return jsonscan_word(&s->json, "null");
    if (c == 'f')
        return jsonscan_word(&s->json, "false");
    if (c != 't')
        return refuse_type(s, "an Boolean");
    *out = true;
    return jsonscan_word(&s->json, "true");
}

/* ---- objects ---- */

static enum member
member_of(const struct jsonscan_text *name)
{
    static const struct {
        const char *name;
        enum member member;
    } known[] = {
        {"Data", MEMBER_DATA},
        {"PartitionKey", MEMBER_KEY},
        {"ExplicitHashKey", MEMBER_EXPLICIT_HASH},
        {"StreamName", MEMBER_STREAM_NAME},
        {"StreamARN", MEMBER_STREAM_ARN},
        {"Records", MEMBER_RECORDS},
        {"DryRun", MEMBER_DRY_RUN},
        {"SequenceNumberForOrdering", MEMBER_ORDERING},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) == name->len && memcmp(known[i].name, name->data, name->len) == 0)
            return known[i].member;
    }
    return MEMBER_UNKNOWN;
}

static int
read_record_member(struct scan *s, enum member m, struct putbody_record *r)
{
    if (m == MEMBER_DATA)
        return read_blob(s, &r->data);
    if (m == MEMBER_KEY)
        return read_text(s, &r->key);
    if (m == MEMBER_EXPLICIT_HASH)
        return read_text(s, &r->explicit_hash);
    return jsonscan_skip(&s->json, 1);
}

static int
read_member_name(struct scan *s, enum member *m)
{
    struct jsonscan_text name;

    if (jsonscan_expect(&s->json, '"') != 0 || jsonscan_string(&s->json, &name) != 0 ||
        jsonscan_expect(&s->json, ':') != 0)
        return -1;
    *m = member_of(&name);
    return 0;
}

/* One element of Records; s->json.at stands at it. */
static int
read_record(struct scan *s, struct putbody_record *r)
{
    enum member m;
    char c = jsonscan_peek(&s->json);

    *r = (struct putbody_record){0};
    if (c == 'n')
        return jsonscan_word(&s->json, "null");
    if (c != '{') {
        if (jsonscan_skip(&s->json, 1) != 0)
            return -1;
        return refuse(s, c == '[' ? "Start of list found where not expected" : "Expected null");
    }
    s->json.at++;
    if (jsonscan_peek(&s->json) == '}') {
        s->json.at++;
        return 0;
    }
    for (;;) {
        if (read_member_name(s, &m) != 0 || read_record_member(s, m, r) != 0)
            return -1;
        c = jsonscan_peek(&s->json);
        s->json.at += c != '\0';
        if (c == '}')
            return 0;
        if (c != ',')
            return -1;
    }
}

static int
read_records(struct scan *s)
{
    struct putbody *p = s->out;
    struct putbody_record beyond;
    char c = jsonscan_peek(&s->json);

    p->count = 0;
    p->has_records = false;
    if (c == 'n')
        return jsonscan_word(&s->json, "null");
    if (c != '[') {
        if (jsonscan_skip(&s->json, 1) != 0)
            return -1;
        return refuse(s, c == '{' ? "Start of structure or map found where not expected."
                                  : "Expected list or null");
    }
    s->json.at++;
    p->has_records = true;
    if (jsonscan_peek(&s->json) == ']') {
        s->json.at++;
        return 0;
    }
    for (;;) {
        if (read_record(s, p->count < PUTBODY_RECORDS ? &p->records[p->count] : &beyond) != 0)
            return -1;
        p->count++;
        c = jsonscan_peek(&s->json);
        s->json.at += c != '\0';
        if (c == ']')
            return 0;
        if (c != ',')
            return -1;
    }
}

static int
read_top_member(struct scan *s, enum member m)
{
    struct putbody *p = s->out;

    switch (m) {
    case MEMBER_RECORDS:
        return read_records(s);
    case MEMBER_STREAM_NAME:
        return read_text(s, &p->stream_name);
    case MEMBER_STREAM_ARN:
        return read_text(s, &p->stream_arn);
    case MEMBER_DRY_RUN:
        return read_bool(s, &p->dry_run);
    case MEMBER_ORDERING:
        return read_text(s, &p->sequence_for_ordering);
    case MEMBER_DATA:
    case MEMBER_KEY:
    case MEMBER_EXPLICIT_HASH:
        return read_record_member(s, m, &p->single);
    case MEMBER_UNKNOWN:
        break;
    }
    return jsonscan_skip(&s->json, 1);
}

int
putbody_parse(struct putbody *p, char *text, size_t len)
{
    struct scan s = {.json = {.at = text, .end = text + len}, .out = p};
    enum member m;
    char c;

    /* records[] is not cleared: count says how much of it is alive. */
    p->stream_name = (struct jsonscan_text){0};
    p->stream_arn = (struct jsonscan_text){0};
    p->sequence_for_ordering = (struct jsonscan_text){0};
    p->single = (struct putbody_record){0};
    p->dry_run = false;
    p->has_records = false;
    p->count = 0;
    p->message[0] = '\0';
    if (jsonscan_expect(&s.json, '{') != 0)
        return -1;
    if (jsonscan_peek(&s.json) == '}') {
        s.json.at++;
    } else {
        do {
            if (read_member_name(&s, &m) != 0 || read_top_member(&s, m) != 0)
                return -1;
            c = jsonscan_peek(&s.json);
            s.json.at += c != '\0';
        } while (c == ',');
        if (c != '}')
            return -1;
    }
    jsonscan_space(&s.json);
    return s.json.at == s.json.end ? 0 : -1;
}
