#include "tests/kinesisd/putbody.h"

#include "tests/kinesisd/base64.h"

#define DEPTH_MAX 64

/* Longest piece of a refused value quoted back. */
#define QUOTE_MAX 200

struct scan {
    char *at;
    char *end;
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

/* ---- lexical level: each returns 0, or -1 for text that is not JSON ---- */

static void
skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* The next significant character, 0 at the end. */
static char
peek(struct scan *s)
{
    if (s->at<s->end && * s->at> ' ')
        return *s->at;
    skip_space(s);
    return s->at < s->end ? *s->at : '\0';
}

static int
expect(struct scan *s, char c)
{
    if (peek(s) != c)
        return -1;
    s->at++;
    return 0;
}

static int
hex4(struct scan *s, unsigned *out)
{
    unsigned v = 0;

    if (s->end - s->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *s->at++;

        if (c >= '0' && c <= '9')
            v = v << 4 | (unsigned)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v << 4 | (unsigned)((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    *out = v;
    return 0;
}

static char *
put_utf8(char *to, unsigned cp)
{
    if (cp < 0x80) {
        *to++ = (char)cp;
    } else if (cp < 0x800) {
        *to++ = (char)(0xc0 | cp >> 6);
        *to++ = (char)(0x80 | (cp & 63));
    } else if (cp < 0x10000) {
        *to++ = (char)(0xe0 | cp >> 12);
        *to++ = (char)(0x80 | (cp >> 6 & 63));
        *to++ = (char)(0x80 | (cp & 63));
    } else {
        *to++ = (char)(0xf0 | cp >> 18);
        *to++ = (char)(0x80 | (cp >> 12 & 63));
        *to++ = (char)(0x80 | (cp >> 6 & 63));
        *to++ = (char)(0x80 | (cp & 63));
    }
    return to;
}

/* After a backslash: writes what it stands for.  Surrogates must come in pairs. */
static char *
unescape(struct scan *s, char *to, size_t *chars)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meaning[] = "\"\\/\b\f\n\r\t";
    unsigned cp;
    unsigned low;
    const char *which;

    if (s->at == s->end || *s->at == '\0')
        return NULL;
    which = strchr(letters, *s->at);
    if (which != NULL) {
        s->at++;
        *chars += 1;
        *to = meaning[which - letters];
        return to + 1;
    }
    if (*s->at++ != 'u' || hex4(s, &cp) != 0 || (cp >= 0xdc00 && cp < 0xe000))
        return NULL;
    *chars += 1;
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
            return NULL;
        s->at += 2;
        if (hex4(s, &low) != 0 || low < 0xdc00 || low >= 0xe000)
            return NULL;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        *chars += 1;
    }
    return put_utf8(to, cp);
}

/* Copies one multi-byte UTF-8 character; NULL when it is malformed, overlong or a surrogate. */
static char *
copy_utf8(struct scan *s, char *to, size_t *chars)
{
    unsigned char lead = (unsigned char)*s->at;
    unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    unsigned cp = lead & (0x3fU >> more);

    if (lead < 0xc2 || lead > 0xf4 || s->end - s->at <= (ptrdiff_t)more)
        return NULL;
    for (unsigned i = 1; i <= more; i++) {
        unsigned char c = (unsigned char)s->at[i];

        if ((c & 0xc0) != 0x80)
            return NULL;
        cp = cp << 6 | (c & 63);
    }
    if ((more == 2 && (cp < 0x800 || (cp >= 0xd800 && cp < 0xe000))) ||
        (more == 3 && (cp < 0x10000 || cp > 0x10ffff)))
        return NULL;
    s->at += more + 1;
    *chars += more == 3 ? 2 : 1;
    return put_utf8(to, cp);
}

static bool
is_plain(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 0x20 && u < 0x80 && u != '"' && u != '\\';
}

/* s->at stands behind the opening quote; the text is unescaped in place. */
static int
scan_string(struct scan *s, struct putbody_text *out)
{
    char *start = s->at;
    char *to;
    size_t chars = 0;

    /* Plain ASCII needs no copying. */
    while (s->at < s->end && is_plain(*s->at))
        s->at++;
    to = s->at;
    chars = (size_t)(to - start);
    while (s->at < s->end && *s->at != '"') {
        unsigned char c = (unsigned char)*s->at;

        if (c < 0x20)
            return -1;
        if (c == '\\') {
            s->at++;
            to = unescape(s, to, &chars);
        } else if (c >= 0x80) {
            to = copy_utf8(s, to, &chars);
        } else {
            *to++ = *s->at++;
            chars++;
        }
        if (to == NULL)
            return -1;
    }
    if (s->at == s->end)
        return -1;
    s->at++;
    *out = (struct putbody_text){.data = start, .len = (size_t)(to - start), .chars = chars};
    return 0;
}

static int
scan_digits(struct scan *s)
{
    char *start = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > start ? 0 : -1;
}

static int
scan_number(struct scan *s)
{
    if (*s->at == '-')
        s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else if (scan_digits(s) != 0)
        return -1;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (scan_digits(s) != 0)
            return -1;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return scan_digits(s);
    }
    return 0;
}

static int
scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return -1;
    s->at += len;
    return 0;
}

static int skip_value(struct scan *s, unsigned depth);

/* Behind '{' or '[': everything up to and with the closing one. */
static int
skip_container(struct scan *s, char close, unsigned depth)
{
    struct putbody_text name;

    if (depth == DEPTH_MAX)
        return -1;
    if (peek(s) == close) {
        s->at++;
        return 0;
    }
    for (;;) {
        if (close == '}' &&
            (expect(s, '"') != 0 || scan_string(s, &name) != 0 || expect(s, ':') != 0))
            return -1;
        if (skip_value(s, depth + 1) != 0)
            return -1;
        if (peek(s) == close) {
            s->at++;
            return 0;
        }
        if (expect(s, ',') != 0)
            return -1;
    }
}

static int
skip_value(struct scan *s, unsigned depth)
{
    struct putbody_text text;

    switch (peek(s)) {
    case '"':
        s->at++;
        return scan_string(s, &text);
    case '{':
        s->at++;
        return skip_container(s, '}', depth);
    case '[':
        s->at++;
        return skip_container(s, ']', depth);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    case '\0':
        return -1;
    default:
        return scan_number(s);
    }
}

/* ---- members: -1 with the message set for a wrong type ---- */

static int
refuse(struct scan *s, const char *message)
{
    (void)snprintf(s->out->message, sizeof(s->out->message), "%s", message);
    return -1;
}

/* The value at s->at is no string where one is due: it must still be JSON to earn this message. */
static int
refuse_type(struct scan *s, const char *target)
{
    char c = peek(s);
    char message[128];

    if (skip_value(s, 0) != 0)
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
read_text(struct scan *s, struct putbody_text *out)
{
    char c = peek(s);

    *out = (struct putbody_text){0};
    if (c == 'n')
        return scan_word(s, "null");
    if (c != '"')
        return refuse_type(s, "an String");
    s->at++;
    return scan_string(s, out);
}

/* What the client sent as Data: the part already decoded (encoding it again is lossless) and the
 * rest. */
static void
quote_blob(const char *decoded, size_t decoded_len, const struct putbody_text *rest, char *out)
{
    size_t head = decoded_len < QUOTE_MAX / 4 * 3 ? decoded_len : QUOTE_MAX / 4 * 3;
    size_t n = base64_encode(decoded, head, out);
    size_t tail = rest->len < QUOTE_MAX - n ? rest->len : QUOTE_MAX - n;

    (void)memcpy(out + n, rest->data, tail);
    out[n + tail] = '\0';
}

static int
refuse_blob(struct scan *s, const char *decoded, size_t done, const struct putbody_text *rest,
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
read_blob(struct scan *s, struct putbody_text *out)
{
    char c = peek(s);
    char *start;
    size_t done;
    size_t at = 0;
    size_t tail_len = 0;
    struct putbody_text rest;
    enum base64_problem problem = BASE64_LENGTH;

    *out = (struct putbody_text){0};
    if (c == 'n')
        return scan_word(s, "null");
    if (c != '"')
        return refuse_type(s, "a Blob");
    start = ++s->at;
    /* The bulk is decoded while it is scanned; what stops the run is the quote, padding, an
     * escape or a fault, and is looked at as a string of its own. */
    done = base64_run(start, (size_t)(s->end - start), start);
    s->at = start + done;
    if (scan_string(s, &rest) != 0)
        return -1;
    if (rest.len % 4 == 0)
        problem = base64_decode(rest.data, rest.len, start + done / 4 * 3, &tail_len, &at);
    if (problem != BASE64_OK)
        return refuse_blob(s, start, done, &rest, problem, at);
    *out = (struct putbody_text){.data = start, .len = done / 4 * 3 + tail_len};
    return 0;
}

static int
read_bool(struct scan *s, bool *out)
{
    char c = peek(s);

    *out = false;
    if (c == 'n')
        return scan_word(s, "null");
    if (c == 'f')
        return scan_word(s, "false");
    if (c != 't')
        return refuse_type(s, "an Boolean");
    *out = true;
    return scan_word(s, "true");
}

/* ---- objects ---- */

static enum member
member_of(const struct putbody_text *name)
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
    return skip_value(s, 1);
}

static int
read_member_name(struct scan *s, enum member *m)
{
    struct putbody_text name;

    if (expect(s, '"') != 0 || scan_string(s, &name) != 0 || expect(s, ':') != 0)
        return -1;
    *m = member_of(&name);
    return 0;
}

/* One element of Records; s->at stands at it. */
static int
read_record(struct scan *s, struct putbody_record *r)
{
    enum member m;
    char c = peek(s);

    *r = (struct putbody_record){0};
    if (c == 'n')
        return scan_word(s, "null");
    if (c != '{') {
        if (skip_value(s, 1) != 0)
            return -1;
        return refuse(s, c == '[' ? "Start of list found where not expected" : "Expected null");
    }
    s->at++;
    if (peek(s) == '}') {
        s->at++;
        return 0;
    }
    for (;;) {
        if (read_member_name(s, &m) != 0 || read_record_member(s, m, r) != 0)
            return -1;
        c = peek(s);
        s->at += c != '\0';
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
    char c = peek(s);

    p->count = 0;
    p->has_records = false;
    if (c == 'n')
        return scan_word(s, "null");
    if (c != '[') {
        if (skip_value(s, 1) != 0)
            return -1;
        return refuse(s, c == '{' ? "Start of structure or map found where not expected."
                                  : "Expected list or null");
    }
    s->at++;
    p->has_records = true;
    if (peek(s) == ']') {
        s->at++;
        return 0;
    }
    for (;;) {
        if (read_record(s, p->count < PUTBODY_RECORDS ? &p->records[p->count] : &beyond) != 0)
            return -1;
        p->count++;
        c = peek(s);
        s->at += c != '\0';
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
    return skip_value(s, 1);
}

int
putbody_parse(struct putbody *p, char *text, size_t len)
{
    struct scan s = {.at = text, .end = text + len, .out = p};
    enum member m;
    char c;

    /* records[] is not cleared: count says how much of it is alive. */
    p->stream_name = (struct putbody_text){0};
    p->stream_arn = (struct putbody_text){0};
    p->sequence_for_ordering = (struct putbody_text){0};
    p->single = (struct putbody_record){0};
    p->dry_run = false;
    p->has_records = false;
    p->count = 0;
    p->message[0] = '\0';
    if (expect(&s, '{') != 0)
        return -1;
    if (peek(&s) == '}') {
        s.at++;
    } else {
        do {
            if (read_member_name(&s, &m) != 0 || read_top_member(&s, m) != 0)
                return -1;
            c = peek(&s);
            s.at += c != '\0';
        } while (c == ',');
        if (c != '}')
            return -1;
    }
    skip_space(&s);
    return s.at == s.end ? 0 : -1;
}
