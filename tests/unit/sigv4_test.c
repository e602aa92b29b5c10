/* uses: shipper aws */
/* sigv4 against AWS's own vectors and against signatures made by botocore. */
#include "common/aws/sigv4.h"

#include "common/clock.h"
#include "common/err.h"

#include <check.h>
#include <dirent.h>
#include <jansson.h>

#define VECTORS "tests/vectors/sigv4"

static struct sigv4_signer signer;

static char *
slurp(const char *directory, const char *file)
{
    char path[512];
    char *text = calloc(1, 65536);
    FILE *f;
    size_t n;

    (void)snprintf(path, sizeof(path), "%s/%s", directory, file);
    f = fopen(path, "r");
    ck_assert_msg(f != NULL && text != NULL, "cannot read %s", path);
    n = fread(text, 1, 65535, f);
    (void)fclose(f);
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    return text;
}

/* A raw request taken apart in place. */
struct parsed {
    struct sigv4_request request;
    struct sigv4_header headers[SIGV4_MAX_HEADERS];
    const char *body;
};

static char *
cut(char **at, const char *stop)
{
    char *start = *at;
    char *end = strstr(start, stop);

    if (end == NULL) {
        *at = start + strlen(start);
        return start;
    }
    *end = '\0';
    *at = end + strlen(stop);
    return start;
}

static void
parse(char *raw, struct parsed *p)
{
    char *at = raw;
    char *line = cut(&at, "\n");
    char *rest = line;
    char *target;

    memset(p, 0, sizeof(*p));
    p->request.method = cut(&rest, " ");
    target = cut(&rest, " ");
    p->request.path = cut(&target, "?");
    p->request.query = target;
    while (*at != '\0' && *at != '\n') {
        line = cut(&at, "\n");
        p->headers[p->request.n_headers].name = cut(&line, ":");
        p->headers[p->request.n_headers++].value = line;
    }
    p->body = *at == '\n' ? at + 1 : at;
    p->request.headers = p->headers;
}

static void
add(struct parsed *p, const char *name, const char *value)
{
    p->headers[p->request.n_headers].name = name;
    p->headers[p->request.n_headers++].value = value;
}

/* "2015-08-30T12:36:00Z" to the form of the header. */
static void
compact_time(const char *iso, char *out)
{
    for (; *iso != '\0'; iso++) {
        if (*iso != '-' && *iso != ':')
            *out++ = *iso;
    }
    *out = '\0';
}

static void
run_case(const char *name)
{
    char directory[512];
    char hash[SIGV4_HASH_SIZE];
    char authorization[SIGV4_AUTHORIZATION_SIZE];
    char time[32];
    struct err e = ERR_INIT;
    struct parsed p;
    json_t *context;
    char *raw;
    char *text;
    const char *token;
    const char *id;
    const char *secret;
    const char *region;
    const char *service;
    const char *iso;
    int sign_body;

    (void)snprintf(directory, sizeof(directory), VECTORS "/%s", name);
    text = slurp(directory, "context.json");
    context = json_loads(text, 0, NULL);
    free(text);
    ck_assert_int_eq(0, json_unpack(context, "{s:{s:s, s:s}, s:s, s:s, s:s, s:b}", "credentials",
                                    "access_key_id", &id, "secret_access_key", &secret, "region",
                                    &region, "service", &service, "timestamp", &iso, "sign_body",
                                    &sign_body));
    token = json_string_value(json_object_get(json_object_get(context, "credentials"), "token"));
    raw = slurp(directory, "request.txt");
    parse(raw, &p);
    compact_time(iso, time);
    sigv4_hash(p.body, strlen(p.body), hash);
    p.request.payload_hash = hash;
    add(&p, "X-Amz-Date", time);
    if (token != NULL)
        add(&p, "X-Amz-Security-Token", token);
    if (sign_body)
        add(&p, "x-amz-content-sha256", hash);

    sigv4_init(&signer, region, service);
    ck_assert_int_eq(0, sigv4_set_credentials(&signer, id, secret, &e));
    ck_assert_int_eq(0, sigv4_sign(&signer, &p.request, time, authorization, &e));

    text = slurp(directory, "header-canonical-request.txt");
    ck_assert_str_eq(signer.canonical, text);
    free(text);
    text = slurp(directory, "header-string-to-sign.txt");
    ck_assert_str_eq(signer.to_sign, text);
    free(text);
    text = slurp(directory, "header-signature.txt");
    ck_assert_str_eq(strstr(authorization, "Signature=") + 10, text);
    free(text);
    text = slurp(directory, "header-signed-request.txt");
    ck_assert_msg(strstr(text, authorization) != NULL, "%s: %s", name, authorization);
    free(text);
    free(raw);
    json_decref(context);
    sigv4_fini(&signer);
}

START_TEST(every_vector_of_aws)
{
    DIR *d = opendir(VECTORS);
    struct dirent *entry;
    int n = 0;

    ck_assert_msg(d != NULL, "run from the repository's root: no " VECTORS);
    while ((entry = readdir(d)) != NULL) {
        if (strchr(entry->d_name, '.') != NULL)
            continue;
        run_case(entry->d_name);
        n++;
    }
    (void)closedir(d);
    ck_assert_int_ge(n, 10);
}
END_TEST

START_TEST(kinesis_requests_as_botocore_signs_them)
{
    json_t *cases = json_load_file("tests/vectors/sigv4-kinesis/vectors.json", 0, NULL);
    json_t *item;
    size_t i;

    ck_assert_uint_ge(json_array_size(cases), 4);
    json_array_foreach(cases, i, item)
    {
        struct sigv4_header headers[5];
        struct sigv4_request r = {"POST", "/", "", headers, 4, NULL};
        char authorization[SIGV4_AUTHORIZATION_SIZE];
        char hash[SIGV4_HASH_SIZE];
        char target[64];
        char time[SIGV4_TIME_SIZE];
        const char *body = json_string_value(json_object_get(item, "body"));
        const char *token = json_string_value(json_object_get(item, "token"));
        struct err e = ERR_INIT;

        sigv4_time(json_integer_value(json_object_get(item, "seconds")) * NS_PER_S, time);
        ck_assert_str_eq(time, json_string_value(json_object_get(item, "time")));
        (void)snprintf(target, sizeof(target), "Kinesis_20131202.%s",
                       json_string_value(json_object_get(item, "operation")));
        sigv4_hash(body, strlen(body), hash);
        r.payload_hash = hash;
        headers[0] = (struct sigv4_header){"X-Amz-Target", target};
        headers[1] =
            (struct sigv4_header){"host", json_string_value(json_object_get(item, "host"))};
        headers[2] = (struct sigv4_header){"Content-Type", "application/x-amz-json-1.1"};
        headers[3] = (struct sigv4_header){"x-amz-date", time};
        if (token != NULL)
            headers[r.n_headers++] = (struct sigv4_header){"X-Amz-Security-Token", token};
        sigv4_init(&signer, json_string_value(json_object_get(item, "region")), "kinesis");
        ck_assert_int_eq(0, sigv4_set_credentials(
                                &signer, json_string_value(json_object_get(item, "access_key_id")),
                                json_string_value(json_object_get(item, "secret_access_key")), &e));
        ck_assert_int_eq(0, sigv4_sign(&signer, &r, time, authorization, &e));
        ck_assert_str_eq(authorization, json_string_value(json_object_get(item, "authorization")));
    }
    json_decref(cases);
}
END_TEST

static void
sign_at(const char *time, char *out)
{
    struct sigv4_header headers[] = {{"host", "h"}, {"x-amz-date", time}};
    struct sigv4_request r = {"POST", "/", "", headers, 2, "00"};
    struct err e = ERR_INIT;

    ck_assert_int_eq(0, sigv4_sign(&signer, &r, time, out, &e));
}

START_TEST(the_kept_key_follows_day_and_secret)
{
    char first[SIGV4_AUTHORIZATION_SIZE];
    char second[SIGV4_AUTHORIZATION_SIZE];
    char fresh[SIGV4_AUTHORIZATION_SIZE];
    struct err e = ERR_INIT;

    sigv4_init(&signer, "r", "s");
    ck_assert_int_eq(0, sigv4_set_credentials(&signer, "ID", "one", &e));
    sign_at("20260101T235959Z", first);
    sign_at("20260102T000000Z", second);
    sigv4_init(&signer, "r", "s");
    ck_assert_int_eq(0, sigv4_set_credentials(&signer, "ID", "one", &e));
    sign_at("20260102T000000Z", fresh);
    ck_assert_str_eq(second, fresh);
    ck_assert_int_eq(0, sigv4_set_credentials(&signer, "ID", "two", &e));
    sign_at("20260102T000000Z", second);
    ck_assert_str_ne(second, fresh);
}
END_TEST

START_TEST(what_cannot_be_signed_is_refused)
{
    static char huge[SIGV4_CANONICAL_SIZE + 1];
    struct sigv4_header headers[] = {
        {"host", "h"}, {"x-amz-date", "20260101T000000Z"}, {"x-amz-security-token", huge}};
    struct sigv4_request r = {"POST", "/", "", headers, 3, "00"};
    char out[SIGV4_AUTHORIZATION_SIZE];
    struct err e = ERR_INIT;

    memset(huge, 'x', sizeof(huge) - 1);
    sigv4_init(&signer, "r", "s");
    ck_assert_int_eq(-1, sigv4_sign(&signer, &r, "20260101T000000Z", out, &e));
    ck_assert_int_eq(e.code, ERR_CREDENTIALS);
    ck_assert_int_eq(-1, sigv4_set_credentials(&signer, "", "x", &e));
    ck_assert_int_eq(-1, sigv4_set_credentials(&signer, "x", huge, &e));
    ck_assert_int_eq(0, sigv4_set_credentials(&signer, "ID", "one", &e));
    ck_assert_int_eq(-1, sigv4_sign(&signer, &r, "20260101T000000Z", out, &e));
    ck_assert_int_eq(e.code, ERR_CONFIG);
}
END_TEST

START_TEST(secrets_are_wiped)
{
    char out[SIGV4_AUTHORIZATION_SIZE];
    struct err e = ERR_INIT;
    static const struct sigv4_signer zero;

    sigv4_init(&signer, "r", "s");
    ck_assert_int_eq(0, sigv4_set_credentials(&signer, "ID", "very secret", &e));
    sign_at("20260101T000000Z", out);
    sigv4_fini(&signer);
    ck_assert_mem_eq(&signer, &zero, sizeof(zero));
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("sigv4");
    TCase *t = tcase_create("sigv4");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, every_vector_of_aws);
    tcase_add_test(t, kinesis_requests_as_botocore_signs_them);
    tcase_add_test(t, the_kept_key_follows_day_and_secret);
    tcase_add_test(t, what_cannot_be_signed_is_refused);
    tcase_add_test(t, secrets_are_wiped);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
