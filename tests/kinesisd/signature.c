#include "tests/kinesisd/signature.h"

#include "common/clock.h"
#include "common/err.h"
#include "tests/kinesisd/credentials.h"
#include "tests/kinesisd/digest.h"

#include <openssl/crypto.h>
#include <strings.h>

#define ALGORITHM      "AWS4-HMAC-SHA256"
#define STAMP_LEN      16 /* YYYYMMDDTHHMMSSZ */
#define NAME_MAX_BYTES 128
#define HEX_SIZE       (2 * DIGEST_SHA256_SIZE + 1)

struct signature {
    struct digest *digest;
    char region[32];
    int64_t tolerance_s;
    bool verifies;
    struct credentials credentials;
    struct bytes canonical;
    struct bytes to_sign;
};

/* The parts of one Authorization header, as spans of the request text. */
struct claim {
    struct http_span access;
    struct http_span scope; /* day/region/service/aws4_request */
    struct http_span day;
    struct http_span region;
    struct http_span service;
    struct http_span terminator;
    struct http_span signed_headers;
    struct http_span signature;
    char stamp[STAMP_LEN + 1];
};

struct signature *
signature_open(struct digest *digest, const char *region, int64_t tolerance_s)
{
    struct signature *sig = bytes_zalloc(sizeof(*sig));

    sig->digest = digest;
    sig->tolerance_s = tolerance_s;
    (void)snprintf(sig->region, sizeof(sig->region), "%s", region);
    return sig;
}

void
signature_close(struct signature **sig)
{
    if (*sig == NULL)
        return;
    credentials_free(&(*sig)->credentials);
    bytes_free(&(*sig)->canonical);
    bytes_free(&(*sig)->to_sign);
    free(*sig);
    *sig = NULL;
}

int
signature_load(struct signature *sig, const char *path, struct err *e)
{
    if (credentials_load(&sig->credentials, path, e) != 0)
        return -1;
    sig->verifies = true;
    return 0;
}

/* ---- the header taken apart ---- */

static bool
span_equals(const char *text, struct http_span s, const char *word)
{
    return strlen(word) == s.len && memcmp(text + s.at, word, s.len) == 0;
}

/* Finds "name=value" among comma- or blank-separated parameters. */
static struct http_span
parameter(const char *text, struct http_span in, const char *name)
{
    size_t at = in.at;
    size_t end = in.at + in.len;
    size_t name_len = strlen(name);

    while (at < end) {
        size_t stop = at;

        while (stop < end && text[stop] != ',' && text[stop] != ' ')
            stop++;
        if (stop - at > name_len && memcmp(text + at, name, name_len) == 0 &&
            text[at + name_len] == '=')
            return (struct http_span){.at = at + name_len + 1, .len = stop - at - name_len - 1};
        at = stop + 1;
    }
    return (struct http_span){0};
}

/* Cuts the span's first part up to c off; the last part has no c behind it. */
static struct http_span
cut(const char *text, struct http_span *rest, char c)
{
    const char *at = memchr(text + rest->at, c, rest->len);
    size_t len = at == NULL ? rest->len : (size_t)(at - (text + rest->at));
    struct http_span part = {.at = rest->at, .len = len};

    rest->at += at == NULL ? len : len + 1;
    rest->len -= at == NULL ? len : len + 1;
    return part;
}

static bool
stamp_is_valid(const char *stamp)
{
    for (int i = 0; i < STAMP_LEN; i++) {
        if (i == 8 ? stamp[i] != 'T' : i == 15 ? stamp[i] != 'Z' : stamp[i] < '0' || stamp[i] > '9')
            return false;
    }
    return stamp[STAMP_LEN] == '\0';
}

/* Fills the claim; NULL = complete, else an error code with the message. */
static const char *
read_claim(const struct signature_request *r, const struct http_header *auth, struct claim *c,
           struct bytes *message)
{
    const struct http_header *date = http_find(r->head, r->text, "x-amz-date");
    struct http_span all = auth->value;
    struct http_span credential = parameter(r->text, all, "Credential");
    struct http_span rest = credential;

    c->signed_headers = parameter(r->text, all, "SignedHeaders");
    c->signature = parameter(r->text, all, "Signature");
    if (credential.len == 0)
        bytes_puts(message, "Authorization header requires 'Credential' parameter. ");
    if (c->signature.len == 0)
        bytes_puts(message, "Authorization header requires 'Signature' parameter. ");
    if (c->signed_headers.len == 0)
        bytes_puts(message, "Authorization header requires 'SignedHeaders' parameter. ");
    if (date == NULL)
        bytes_puts(message, "Authorization header requires existence of either a 'X-Amz-Date' or "
                            "a 'Date' header. ");
    if (date == NULL || message->len > 0) {
        bytes_printf(message, "Authorization=%.*s", (int)all.len, r->text + all.at);
        return "IncompleteSignatureException";
    }
    (void)snprintf(c->stamp, sizeof(c->stamp), "%.*s",
                   (int)(date->value.len < STAMP_LEN ? date->value.len : STAMP_LEN),
                   r->text + date->value.at);
    if (date->value.len != STAMP_LEN || !stamp_is_valid(c->stamp)) {
        bytes_printf(message,
                     "Date must be in ISO-8601 'basic format'. Got '%.*s'. See "
                     "http://en.wikipedia.org/wiki/ISO_8601",
                     (int)date->value.len, r->text + date->value.at);
        return "IncompleteSignatureException";
    }
    c->access = cut(r->text, &rest, '/');
    c->scope = rest;
    c->day = cut(r->text, &rest, '/');
    c->region = cut(r->text, &rest, '/');
    c->service = cut(r->text, &rest, '/');
    c->terminator = rest;
    if (c->access.len == 0 || c->terminator.len == 0) {
        bytes_printf(message,
                     "Credential must have exactly 5 slash-delimited elements, e.g. "
                     "keyid/date/region/service/term, got '%.*s'",
                     (int)credential.len, r->text + credential.at);
        return "IncompleteSignatureException";
    }
    return NULL;
}

/* ---- the clock ---- */

static int64_t
number(const char *digits, int n)
{
    int64_t v = 0;

    for (int i = 0; i < n; i++)
        v = v * 10 + (digits[i] - '0');
    return v;
}

static int64_t
stamp_seconds(const char *stamp)
{
    int64_t days = clock_days_from_civil((int)number(stamp, 4), (unsigned)number(stamp + 4, 2),
                                         (unsigned)number(stamp + 6, 2));

    return days * 86400 + number(stamp + 9, 2) * 3600 + number(stamp + 11, 2) * 60 +
           number(stamp + 13, 2);
}

static void
stamp_write(int64_t seconds, char *out)
{
    int year;
    unsigned month;
    unsigned day;
    int64_t of_day = seconds % 86400;

    clock_civil_from_days(seconds / 86400, &year, &month, &day);
    (void)snprintf(out, STAMP_LEN + 1, "%04u%02u%02uT%02u%02u%02uZ", (unsigned)year % 10000,
                   month % 100, day % 100, (unsigned)(of_day / 3600) % 100,
                   (unsigned)(of_day / 60 % 60), (unsigned)(of_day % 60));
}

static const char *
check_clock(const struct signature *sig, const struct claim *c, int64_t now_s,
            struct bytes *message)
{
    int64_t sent_s = stamp_seconds(c->stamp);
    int64_t tolerance_s = sig->tolerance_s;
    bool is_old = sent_s < now_s - tolerance_s;
    char now[STAMP_LEN + 1];
    char limit[STAMP_LEN + 1];

    if (tolerance_s == 0 || (!is_old && sent_s <= now_s + tolerance_s))
        return NULL;
    stamp_write(now_s, now);
    stamp_write(is_old ? now_s - tolerance_s : now_s + tolerance_s, limit);
    if (is_old)
        bytes_printf(message, "Signature expired: %s is now earlier than %s (%s - %lld min.)",
                     c->stamp, limit, now, (long long)tolerance_s / 60);
    else
        bytes_printf(message,
                     "Signature not yet current: %s is still later than %s (%s + %lld min.)",
                     c->stamp, limit, now, (long long)tolerance_s / 60);
    return "InvalidSignatureException";
}

/* ---- the signature ---- */

/* The value with inner runs of blanks as one; repeated headers joined by commas. */
static void
add_header_value(struct bytes *to, const struct signature_request *r, struct http_span name)
{
    bool is_first = true;

    for (size_t i = 0; i < r->head->header_count; i++) {
        const struct http_header *h = &r->head->headers[i];
        const char *v = r->text + h->value.at;

        if (h->name.len != name.len ||
            strncasecmp(r->text + h->name.at, r->text + name.at, name.len) != 0)
            continue;
        if (!is_first)
            bytes_add(to, ",", 1);
        is_first = false;
        for (size_t k = 0; k < h->value.len; k++) {
            if (v[k] != ' ' || v[k - 1] != ' ')
                bytes_add(to, v + k, 1);
        }
    }
}

static void
build_canonical(struct signature *sig, const struct signature_request *r, const struct claim *c)
{
    struct bytes *to = &sig->canonical;
    struct http_span rest = c->signed_headers;
    unsigned char hash[DIGEST_SHA256_SIZE];
    char hex[HEX_SIZE];

    to->len = 0;
    bytes_add(to, r->text + r->head->method.at, r->head->method.len);
    bytes_add(to, "\n", 1);
    bytes_add(to, r->text + r->head->path.at, r->head->path.len);
    bytes_add(to, "\n", 1);
    bytes_add(to, r->text + r->head->query.at, r->head->query.len);
    bytes_add(to, "\n", 1);
    while (rest.len > 0) {
        struct http_span name = cut(r->text, &rest, ';');

        bytes_add(to, r->text + name.at, name.len);
        bytes_add(to, ":", 1);
        add_header_value(to, r, name);
        bytes_add(to, "\n", 1);
    }
    bytes_add(to, "\n", 1);
    bytes_add(to, r->text + c->signed_headers.at, c->signed_headers.len);
    bytes_add(to, "\n", 1);
    digest_sha256(sig->digest, r->body, r->body_len, hash);
    digest_hex(hash, sizeof(hash), hex);
    bytes_add(to, hex, HEX_SIZE - 1);

    digest_sha256(sig->digest, to->data, to->len, hash);
    digest_hex(hash, sizeof(hash), hex);
    sig->to_sign.len = 0;
    bytes_printf(&sig->to_sign, ALGORITHM "\n%s\n%.*s\n%s", c->stamp, (int)c->scope.len,
                 r->text + c->scope.at, hex);
}

static const char *
check_scope(const struct signature *sig, const struct signature_request *r, const struct claim *c,
            struct bytes *message)
{
    if (!span_equals(r->text, c->region, sig->region))
        bytes_puts(message, "Credential should be scoped to a valid region. ");
    if (!span_equals(r->text, c->service, "kinesis"))
        bytes_puts(message, "Credential should be scoped to correct service: 'kinesis'. ");
    if (!span_equals(r->text, c->terminator, "aws4_request"))
        bytes_puts(message,
                   "Credential should be scoped with a valid terminator: 'aws4_request'. ");
    if (c->day.len != 8 || memcmp(r->text + c->day.at, c->stamp, 8) != 0)
        bytes_printf(message,
                     "Date in Credential scope does not match YYYYMMDD from ISO-8601 "
                     "version of date from HTTP: '%.*s' != '%.8s', from '%s'. ",
                     (int)c->day.len, r->text + c->day.at, c->stamp, c->stamp);
    return message->len == 0 ? NULL : "InvalidSignatureException";
}

static bool
is_listed(const char *text, struct http_span list, const char *name, size_t name_len)
{
    while (list.len > 0) {
        struct http_span one = cut(text, &list, ';');

        if (one.len == name_len && strncasecmp(text + one.at, name, name_len) == 0)
            return true;
    }
    return false;
}

/* Each name listed must be there, in lower case and in ascending order. */
static const char *
check_list(const struct signature_request *r, struct http_span list, struct bytes *message)
{
    char previous[NAME_MAX_BYTES] = "";
    char name[NAME_MAX_BYTES];

    while (list.len > 0) {
        struct http_span one = cut(r->text, &list, ';');

        (void)snprintf(name, sizeof(name), "%.*s", (int)one.len, r->text + one.at);
        if (one.len >= sizeof(name) || strcmp(previous, name) >= 0 ||
            strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL)
            bytes_printf(message, "SignedHeaders must be sorted, unique and in lower case: '%s'.",
                         name);
        else if (http_find(r->head, r->text, name) == NULL)
            bytes_printf(message, "The request has no header '%s', which is a 'SignedHeader'.",
                         name);
        if (message->len > 0)
            return "InvalidSignatureException";
        (void)memcpy(previous, name, sizeof(name));
    }
    return NULL;
}

/* host and every x-amz- header must be signed: without them nothing binds the request. */
static const char *
check_signed_headers(const struct signature_request *r, const struct claim *c,
                     struct bytes *message)
{
    if (!is_listed(r->text, c->signed_headers, "host", 4)) {
        bytes_puts(message,
                   "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
        return "InvalidSignatureException";
    }
    for (size_t i = 0; i < r->head->header_count; i++) {
        struct http_span name = r->head->headers[i].name;

        if (name.len < 6 || strncasecmp(r->text + name.at, "x-amz-", 6) != 0 ||
            is_listed(r->text, c->signed_headers, r->text + name.at, name.len))
            continue;
        bytes_printf(message, "'%.*s' must be a 'SignedHeader' in the AWS Authorization.",
                     (int)name.len, r->text + name.at);
        return "InvalidSignatureException";
    }
    return check_list(r, c->signed_headers, message);
}

static const char *
check_match(struct signature *sig, const struct signature_request *r, const struct claim *c,
            struct credential *who, struct bytes *message)
{
    unsigned char mac[DIGEST_SHA256_SIZE];
    char hex[HEX_SIZE];
    char day[9];

    (void)snprintf(day, sizeof(day), "%.8s", c->stamp);
    build_canonical(sig, r, c);
    digest_hmac(sig->digest, credentials_key(who, sig->digest, day, sig->region),
                DIGEST_SHA256_SIZE, sig->to_sign.data, sig->to_sign.len, mac);
    digest_hex(mac, sizeof(mac), hex);
    if (c->signature.len == HEX_SIZE - 1 &&
        CRYPTO_memcmp(hex, r->text + c->signature.at, HEX_SIZE - 1) == 0)
        return NULL;
    bytes_printf(message,
                 "The request signature we calculated does not match the signature you provided. "
                 "Check your AWS Secret Access Key and signing method. Consult the service "
                 "documentation for details.\n\nThe Canonical String for this request should have "
                 "been\n'%.*s'\n\nThe String-to-Sign should have been\n'%.*s'\n",
                 (int)sig->canonical.len, sig->canonical.data, (int)sig->to_sign.len,
                 sig->to_sign.data);
    return "InvalidSignatureException";
}

/* The session token must be the one listed, and present exactly when one is listed. */
static bool
token_matches(const struct signature_request *r, const struct credential *who)
{
    const struct http_header *token = http_find(r->head, r->text, "x-amz-security-token");

    if (who->token == NULL)
        return token == NULL;
    return token != NULL && span_equals(r->text, token->value, who->token);
}

const char *
signature_check(struct signature *sig, const struct signature_request *r, struct bytes *message)
{
    const struct http_header *auth = http_find(r->head, r->text, "authorization");
    struct credential *who = NULL;
    struct claim c;
    const char *refused;

    message->len = 0;
    if (auth == NULL) {
        bytes_puts(message, "Missing Authentication Token");
        return "MissingAuthenticationTokenException";
    }
    if (auth->value.len < sizeof(ALGORITHM) ||
        memcmp(r->text + auth->value.at, ALGORITHM " ", sizeof(ALGORITHM)) != 0) {
        bytes_printf(message, "Unsupported AWS 'algorithm': '%.*s'", (int)auth->value.len,
                     r->text + auth->value.at);
        return "IncompleteSignatureException";
    }
    refused = read_claim(r, auth, &c, message);
    if (refused == NULL && sig->verifies) {
        who = credentials_find(&sig->credentials, r->text + c.access.at, c.access.len);
        if (who == NULL || !token_matches(r, who)) {
            bytes_puts(message, "The security token included in the request is invalid.");
            return "UnrecognizedClientException";
        }
        if (who->is_expired) {
            bytes_puts(message, "The security token included in the request is expired");
            return "ExpiredTokenException";
        }
        refused = check_scope(sig, r, &c, message);
    }
    if (refused == NULL)
        refused = check_clock(sig, &c, r->now_s, message);
    if (refused == NULL && sig->verifies)
        refused = check_signed_headers(r, &c, message);
    if (refused == NULL && sig->verifies)
        refused = check_match(sig, r, &c, who, message);
    return refused;
}
