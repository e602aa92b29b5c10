#include "common/aws/sigv4.h"

#include "common/clock.h"
#include "common/err.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define HASH_BYTES 32

/* Text under construction in a buffer that must not overflow; fits turns false instead. */
struct text {
    char *at;
    size_t size;
    size_t len;
    bool fits;
};

static void
text_add(struct text *t, const char *s, size_t n)
{
    if (!t->fits || n >= t->size - t->len) {
        t->fits = false;
        return;
    }
    memcpy(t->at + t->len, s, n);
    t->len += n;
    t->at[t->len] = '\0';
}

static void
text_put(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int
compare_names(const char *a, const char *b)
{
    for (; lower(*a) == lower(*b) && *a != '\0'; a++, b++)
        ;
    return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

static void
hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static void
hmac(const void *key, size_t key_size, const char *text, uint8_t out[HASH_BYTES])
{
    unsigned size = HASH_BYTES;

    CHECK(HMAC(EVP_sha256(), key, (int)key_size, (const unsigned char *)text, strlen(text), out,
               &size) != NULL);
    CHECK(size == HASH_BYTES);
}

void
sigv4_init(struct sigv4_signer *s, const char *region, const char *service)
{
    *s = (struct sigv4_signer){.key_day = ""};
    (void)snprintf(s->region, sizeof(s->region), "%s", region);
    (void)snprintf(s->service, sizeof(s->service), "%s", service);
}

void
sigv4_fini(struct sigv4_signer *s)
{
    OPENSSL_cleanse(s, sizeof(*s));
}

int
sigv4_set_credentials(struct sigv4_signer *s, const char *access_key_id, const char *secret,
                      struct err *e)
{
    size_t id_size = strlen(access_key_id);
    size_t secret_size = strlen(secret);

    if (id_size == 0 || id_size >= sizeof(s->access_key_id))
        return err_set(e, ERR_CREDENTIALS, "access key id has %zu characters, 1 to %zu expected",
                       id_size, sizeof(s->access_key_id) - 1);
    if (secret_size == 0 || secret_size >= sizeof(s->secret))
        return err_set(e, ERR_CREDENTIALS,
                       "secret access key has %zu characters, 1 to %zu expected", secret_size,
                       sizeof(s->secret) - 1);
    OPENSSL_cleanse(s->secret, sizeof(s->secret));
    memcpy(s->access_key_id, access_key_id, id_size + 1);
    memcpy(s->secret, secret, secret_size + 1);
    s->key_day[0] = '\0';
    return 0;
}

void
sigv4_time(int64_t real_ns, char out[SIGV4_TIME_SIZE])
{
    int64_t seconds = real_ns / NS_PER_S;
    unsigned of_day = (unsigned)(seconds % 86400);
    unsigned month;
    unsigned day;
    int year;
    char buf[48];

    clock_civil_from_days(seconds / 86400, &year, &month, &day);
    (void)snprintf(buf, sizeof(buf), "%04d%02u%02uT%02u%02u%02uZ", year, month, day, of_day / 3600,
                   of_day / 60 % 60, of_day % 60);
    memcpy(out, buf, SIGV4_TIME_SIZE - 1);
    out[SIGV4_TIME_SIZE - 1] = '\0';
}

void
sigv4_hash(const void *data, size_t size, char out[SIGV4_HASH_SIZE])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    CHECK(EVP_Digest(data, size, digest, &n, EVP_sha256(), NULL) == 1 && n == HASH_BYTES);
    hex(digest, HASH_BYTES, out);
}

/* Stable insertion sort: repeated headers keep the order of their values. */
static void
sort_headers(const struct sigv4_request *r, const struct sigv4_header **sorted)
{
    for (size_t i = 0; i < r->n_headers; i++) {
        size_t at = i;

        for (; at > 0 && compare_names(sorted[at - 1]->name, r->headers[i].name) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &r->headers[i];
    }
}

static void
add_lower(struct text *t, const char *name)
{
    for (; *name != '\0'; name++) {
        char c = lower(*name);

        text_add(t, &c, 1);
    }
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Trimmed, runs of blanks made one space. */
static void
add_value(struct text *t, const char *v)
{
    bool pending = false;

    while (is_blank(*v))
        v++;
    for (; *v != '\0'; v++) {
        if (is_blank(*v)) {
            pending = true;
            continue;
        }
        if (pending)
            text_add(t, " ", 1);
        pending = false;
        text_add(t, v, 1);
    }
}

static void
add_headers(struct text *t, const struct sigv4_header *const *sorted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && compare_names(sorted[i - 1]->name, sorted[i]->name) == 0) {
            text_put(t, ",");
        } else {
            if (i > 0)
                text_put(t, "\n");
            add_lower(t, sorted[i]->name);
            text_put(t, ":");
        }
        add_value(t, sorted[i]->value);
    }
    text_put(t, "\n");
}

static void
add_names(struct text *t, const struct sigv4_header *const *sorted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && compare_names(sorted[i - 1]->name, sorted[i]->name) == 0)
            continue;
        if (i > 0)
            text_put(t, ";");
        add_lower(t, sorted[i]->name);
    }
}

struct parameter {
    const char *at;
    size_t size;
    size_t name_size;
};

static int
compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int c = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return c != 0 ? c : (a_size > b_size) - (a_size < b_size);
}

/* By name, then by value: the '=' between them has no place in the order. */
static int
compare_parameters(const void *a, const void *b)
{
    const struct parameter *pa = a;
    const struct parameter *pb = b;
    int c = compare_bytes(pa->at, pa->name_size, pb->at, pb->name_size);

    return c != 0 ? c : compare_bytes(pa->at, pa->size, pb->at, pb->size);
}

/* Parameters are expected in their escaped form; each gets its '='. */
static void
add_query(struct text *t, const char *query)
{
    struct parameter list[32];
    size_t n = 0;

    while (*query != '\0') {
        size_t size = strcspn(query, "&");
        size_t name_size = strcspn(query, "=&");

        if (n == sizeof(list) / sizeof(list[0])) {
            t->fits = false;
            return;
        }
        list[n++] = (struct parameter){query, size, name_size};
        query += size;
        query += *query == '&';
    }
    if (n > 1)
        qsort(list, n, sizeof(list[0]), compare_parameters);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            text_put(t, "&");
        text_add(t, list[i].at, list[i].size);
        if (list[i].name_size == list[i].size)
            text_put(t, "=");
    }
}

static void
derive_key(struct sigv4_signer *s, const char *day)
{
    char start[4 + sizeof(s->secret)];
    uint8_t step[HASH_BYTES];

    if (memcmp(s->key_day, day, sizeof(s->key_day)) == 0)
        return;
    (void)snprintf(start, sizeof(start), "AWS4%s", s->secret);
    hmac(start, strlen(start), day, step);
    hmac(step, sizeof(step), s->region, step);
    hmac(step, sizeof(step), s->service, step);
    hmac(step, sizeof(step), "aws4_request", s->key);
    memcpy(s->key_day, day, sizeof(s->key_day));
    OPENSSL_cleanse(start, sizeof(start));
    OPENSSL_cleanse(step, sizeof(step));
}

int
sigv4_sign(struct sigv4_signer *s, const struct sigv4_request *r, const char *time, char *out,
           struct err *e)
{
    const struct sigv4_header *sorted[SIGV4_MAX_HEADERS];
    struct text t = {s->canonical, sizeof(s->canonical), 0, true};
    char hash[SIGV4_HASH_SIZE];
    char signature[SIGV4_HASH_SIZE];
    uint8_t mac[HASH_BYTES];
    char day[9];

    if (s->secret[0] == '\0')
        return err_set(e, ERR_CREDENTIALS, "no credentials to sign with");
    CHECK(r->n_headers > 0 && r->n_headers <= SIGV4_MAX_HEADERS);
    CHECK(strlen(time) == SIGV4_TIME_SIZE - 1);
    memcpy(day, time, 8);
    day[8] = '\0';
    sort_headers(r, sorted);

    text_put(&t, r->method);
    text_put(&t, "\n");
    text_put(&t, r->path);
    text_put(&t, "\n");
    add_query(&t, r->query);
    text_put(&t, "\n");
    add_headers(&t, sorted, r->n_headers);
    text_put(&t, "\n");
    add_names(&t, sorted, r->n_headers);
    text_put(&t, "\n");
    text_put(&t, r->payload_hash);
    if (!t.fits)
        return err_set(e, ERR_CONFIG, "headers to sign are longer than %zu bytes",
                       sizeof(s->canonical));
    sigv4_hash(s->canonical, t.len, hash);
    (void)snprintf(s->to_sign, sizeof(s->to_sign),
                   "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", time, day, s->region,
                   s->service, hash);

    derive_key(s, day);
    hmac(s->key, sizeof(s->key), s->to_sign, mac);
    hex(mac, sizeof(mac), signature);

    t = (struct text){out, SIGV4_AUTHORIZATION_SIZE, 0, true};
    text_put(&t, "AWS4-HMAC-SHA256 Credential=");
    text_put(&t, s->access_key_id);
    text_put(&t, "/");
    text_put(&t, day);
    text_put(&t, "/");
    text_put(&t, s->region);
    text_put(&t, "/");
    text_put(&t, s->service);
    text_put(&t, "/aws4_request, SignedHeaders=");
    add_names(&t, sorted, r->n_headers);
    text_put(&t, ", Signature=");
    text_put(&t, signature);
    if (!t.fits)
        return err_set(e, ERR_CONFIG, "names of the headers to sign are longer than %d bytes",
                       SIGV4_AUTHORIZATION_SIZE);
    return 0;
}
