/* uses: shipper aws */
/* The chain of credentials, the oddities of AWS's files, ARNs and endpoints. */
#include "common/aws/credentials.h"
#include "common/aws/endpoint.h"
#include "common/aws/profile.h"
#include "common/aws/renewal.h"

#include "common/clock.h"
#include "common/err.h"

#include <check.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];
static char credentials_path[128];
static char config_path[128];

static void
write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(0, fclose(f));
    ck_assert_int_eq(0, chmod(path, mode));
}

static void
set_up(void)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_KINESIS",
                                        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unsetenv(names[i]);
    (void)snprintf(directory, sizeof(directory), "/tmp/weir-credentials-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    (void)snprintf(credentials_path, sizeof(credentials_path), "%s/credentials", directory);
    (void)snprintf(config_path, sizeof(config_path), "%s/config", directory);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", credentials_path, 1);
    (void)setenv("AWS_CONFIG_FILE", config_path, 1);
    (void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void
tear_down(void)
{
    (void)nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct credentials found;

static enum err_code
find(struct err *e)
{
    err_clear(e);
    return credentials_find(&(struct credentials_search){.region = "eu-west-1"}, &found, e) == 0
               ? ERR_NONE
               : e->code;
}

START_TEST(the_environment_comes_first)
{
    struct err e = ERR_INIT;

    write_file(credentials_path, "[default]\naws_access_key_id=F\naws_secret_access_key=f\n", 0600);
    (void)setenv("AWS_ACCESS_KEY_ID", "E", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "e", 1);
    ck_assert_int_eq(ERR_NONE, find(&e));
    ck_assert_str_eq(found.access_key_id, "E");
    ck_assert_str_eq(found.token, "");
    (void)setenv("AWS_SESSION_TOKEN", "t", 1);
    ck_assert_int_eq(ERR_NONE, find(&e));
    ck_assert_str_eq(found.token, "t");
    ck_assert_str_eq(found.source, "environment");
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
    ck_assert_int_eq(ERR_CREDENTIALS, find(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "AWS_SECRET_ACCESS_KEY is not"));
    ck_assert_str_eq(found.access_key_id, "");
    (void)setenv("AWS_ACCESS_KEY_ID", "", 1); /* set to nothing is not set */
    ck_assert_int_eq(ERR_NONE, find(&e));
    ck_assert_str_eq(found.access_key_id, "F");
}
END_TEST

START_TEST(what_was_looked_for_is_named)
{
    struct err e = ERR_INIT;

    ck_assert_int_eq(ERR_CREDENTIALS, find(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "AWS_ACCESS_KEY_ID is not set"));
    ck_assert_ptr_nonnull(strstr(e.text, credentials_path));
    ck_assert_ptr_nonnull(strstr(e.text, config_path));
    write_file(credentials_path, "[other]\naws_access_key_id=F\naws_secret_access_key=f\n", 0600);
    write_file(config_path, "[default]\nrole_arn = arn:x\nregion=r\n", 0600);
    ck_assert_int_eq(ERR_CREDENTIALS, find(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "exactly one of source_profile and credential_source"));
    ck_assert_ptr_nonnull(strstr(e.text, config_path));
}
END_TEST

START_TEST(half_a_profile_is_no_profile)
{
    struct err e = ERR_INIT;

    write_file(credentials_path, "[default]\naws_access_key_id = F\n", 0600);
    write_file(config_path, "[default]\naws_access_key_id=C\naws_secret_access_key=c\n", 0600);
    ck_assert_int_eq(ERR_CREDENTIALS, find(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "aws_access_key_id and no aws_secret_access_key"));
}
END_TEST

/* Profiles that lead to others, without any service: what cannot work says so. */
START_TEST(profiles_that_lead_nowhere)
{
    static const struct {
        const char *config;
        const char *complaint;
    } cases[] = {
        {"[default]\nrole_arn=arn:a\nsource_profile=b\n[profile b]\nrole_arn=arn:b\n"
         "source_profile=default\n",
         "lead in a circle"},
        {"[default]\nrole_arn=arn:a\nsource_profile=b\n", "no profile \"b\""},
        {"[default]\nrole_arn=arn:a\nsource_profile=b\n[profile b]\nregion=r\n", "has no keys"},
        {"[default]\nrole_arn=arn:a\nsource_profile=b\ncredential_source=Environment\n",
         "exactly one of"},
        {"[default]\nrole_arn=arn:a\ncredential_source=Elsewhere\n", "is none of Environment"},
        {"[default]\nrole_arn=arn:a\ncredential_source=Environment\n",
         "AWS_ACCESS_KEY_ID is not set"},
        {"[default]\nrole_arn=arn:a\nsource_profile=b\nmfa_serial=m\n", "mfa_serial"},
        {"[default]\nrole_arn=arn:a\nweb_identity_token_file=/nowhere/token\n", "/nowhere/token"},
        {"[default]\nsso_session=s\n", "needs a person and a browser"},
        {"[default]\ncredential_process=exit 3\n", "ended with status 3"},
        {"[default]\ncredential_process=echo nonsense\n", "is not JSON of Version 1"},
        {"[default]\ncredential_process=echo '{\"Version\": 2}'\n", "is not JSON of Version 1"},
        {"[default]\ncredential_process=echo '{\"Version\": 1, \"AccessKeyId\": \"A\"}'\n",
         "has no SecretAccessKey"},
        {"[default]\ncredential_process=echo '{\"Version\": 1, \"AccessKeyId\": \"A\", "
         "\"SecretAccessKey\": \"S\", \"Expiration\": \"2020-01-01T00:00:00Z\"}'\n",
         "expired"},
        {"[default]\ncredential_process=echo '{\"Version\": 1, \"AccessKeyId\": \"A\", "
         "\"SecretAccessKey\": \"S\", \"Expiration\": \"soon\"}'\n",
         "is no time"},
        {"[default]\ncredential_process=head -c 70000 /dev/zero\n", "more than 64 KiB"},
    };
    struct err e = ERR_INIT;

    write_file(config_path, cases[_i].config, 0600);
    ck_assert_int_ne(ERR_NONE, find(&e));
    ck_assert_msg(strstr(e.text, cases[_i].complaint) != NULL, "%s", e.text);
}
END_TEST

START_TEST(a_process_prints_credentials)
{
    struct err e = ERR_INIT;

    write_file(config_path,
               "[default]\ncredential_process = echo noise >&2; printf '%s' "
               "'{\"Version\": 1, \"AccessKeyId\": \"PA\", \"SecretAccessKey\": \"PS\", "
               "\"SessionToken\": \"PT\", \"Expiration\": \"2096-02-29T23:59:59+01:00\"}'\n",
               0600);
    ck_assert_int_eq(ERR_NONE, find(&e));
    ck_assert_str_eq(found.access_key_id, "PA");
    ck_assert_str_eq(found.secret, "PS");
    ck_assert_str_eq(found.token, "PT");
    ck_assert_int_eq(found.expires_real_ns, 3981394799LL * NS_PER_S);
}
END_TEST

START_TEST(when_to_look_for_newer_ones)
{
    struct credentials c = {.expires_real_ns = 0};

    ck_assert_int_eq(renewal_due(&c, 5), INT64_MAX);
    c.expires_real_ns = 3600 * NS_PER_S;
    ck_assert_int_eq(renewal_due(&c, 0), 3300 * NS_PER_S);
    c.expires_real_ns = 100 * NS_PER_S;
    ck_assert_int_eq(renewal_due(&c, 0), 75 * NS_PER_S);
    ck_assert_int_eq(renewal_due(&c, 200 * NS_PER_S), 100 * NS_PER_S);
}
END_TEST

START_TEST(oddities_of_the_credentials_file)
{
    struct err e = ERR_INIT;

    write_file(credentials_path,
               "\xef\xbb\xbf# comment\r\n"
               "; another\n"
               "aws_access_key_id = before any section\n"
               "[default]   # the one\r\n"
               "nonsense without equals\n"
               "aws_access_key_id=first\n"
               "  AWS_Access_Key_Id  =  AK#ID;x   # a comment\r\n"
               "aws_secret_access_key = a=b/+= ;comment\n"
               "aws_session_token =\n"
               "[ other ]\n"
               "aws_access_key_id = O\n"
               "aws_secret_access_key = o\n"
               "[default]\n"
               "nested =\n"
               "  aws_access_key_id = nested, not ours\n"
               "after = 1\n"
               "aws_session_token = tok==",
               0600);
    ck_assert_int_eq(ERR_NONE, find(&e));
    ck_assert_str_eq(found.access_key_id, "AK#ID;x");
    ck_assert_str_eq(found.secret, "a=b/+=");
    ck_assert_str_eq(found.token, "tok==");
    (void)setenv("AWS_PROFILE", "other", 1);
    ck_assert_int_eq(ERR_NONE, find(&e));
    ck_assert_str_eq(found.access_key_id, "O");
    ck_assert_str_eq(found.token, "");
    ck_assert_ptr_nonnull(strstr(found.source, "profile other in"));
}
END_TEST

START_TEST(sections_of_the_config_file)
{
    struct err e = ERR_INIT;

    write_file(config_path,
               "[profile default]\naws_access_key_id=P\naws_secret_access_key=p\n"
               "[default]\naws_access_key_id=D\naws_secret_access_key=d\n"
               "[work]\naws_access_key_id=W\naws_secret_access_key=w\n"
               "[profile   work  ]\naws_access_key_id=PW\naws_secret_access_key=pw\n",
               0600);
    ck_assert_int_eq(ERR_NONE, find(&e));
    ck_assert_str_eq(found.access_key_id, "P");
    (void)setenv("AWS_PROFILE", "work", 1);
    ck_assert_int_eq(ERR_NONE, find(&e));
    ck_assert_str_eq(found.access_key_id, "PW");
    (void)setenv("AWS_PROFILE", "nobody", 1);
    ck_assert_int_eq(ERR_CREDENTIALS, find(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "no profile \"nobody\""));
}
END_TEST

START_TEST(default_is_overruled_by_profile_default)
{
    struct err e = ERR_INIT;

    write_file(config_path,
               "[default]\naws_access_key_id=D\naws_secret_access_key=d\naws_session_token=t\n"
               "[profile default]\naws_access_key_id=P\naws_secret_access_key=p\n",
               0600);
    ck_assert_int_eq(ERR_NONE, find(&e));
    ck_assert_str_eq(found.access_key_id, "P");
    ck_assert_str_eq(found.token, "");
}
END_TEST

START_TEST(values_that_are_too_long)
{
    static char text[40000];
    struct err e = ERR_INIT;

    (void)snprintf(text, sizeof(text),
                   "[default]\naws_secret_access_key=s\naws_access_key_id=%0300d\n", 7);
    write_file(credentials_path, text, 0600);
    ck_assert_int_eq(ERR_CREDENTIALS, find(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "aws_access_key_id has 300 characters"));
    ck_assert_ptr_nonnull(strstr(e.text, ":3:"));
    (void)snprintf(text, sizeof(text), "%020000d", 7);
    (void)setenv("AWS_ACCESS_KEY_ID", "E", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "e", 1);
    (void)setenv("AWS_SESSION_TOKEN", text, 1);
    ck_assert_int_eq(ERR_CREDENTIALS, find(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "AWS_SESSION_TOKEN has 20000 characters"));
}
END_TEST

START_TEST(wiping_and_comparing)
{
    static const struct credentials zero;
    struct credentials other;
    struct err e = ERR_INIT;

    (void)setenv("AWS_ACCESS_KEY_ID", "E", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "e", 1);
    ck_assert_int_eq(ERR_NONE, find(&e));
    other = found;
    ck_assert(credentials_equal(&found, &other));
    other.token[0] = 't';
    ck_assert(!credentials_equal(&found, &other));
    credentials_wipe(&found);
    ck_assert_mem_eq(&found, &zero, sizeof(zero));
}
END_TEST

START_TEST(arns)
{
    static const char *const bad[] = {
        "",
        "arn",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/",
        "arn:aws:kinesis:eu-west-1:12345678901:stream/s",
        "arn:aws:kinesis::123456789012:stream/s",
        "arn:aws:s3:eu-west-1:123456789012:stream/s",
        "arn:aws:kinesis:eu-west-1:123456789012:table/s",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/a b",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/a\"b",
        "arn:aws:kinesis:eu west:123456789012:stream/s",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer",
    };
    struct aws_stream_arn arn;
    struct err e = ERR_INIT;

    ck_assert_int_eq(0, aws_stream_arn_parse(
                            "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a_B.c-1", &arn, &e));
    ck_assert_str_eq(arn.region, "cn-north-1");
    ck_assert_str_eq(arn.name, "a_B.c-1");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(aws_stream_arn_parse(bad[i], &arn, &e) == -1, "%s was taken", bad[i]);
        ck_assert_int_eq(e.code, ERR_CONFIG);
    }
}
END_TEST

static struct aws_endpoint endpoint;

static int
resolve(const char *partition, const char *region, const char *configured, struct err *e)
{
    char text[256];
    struct aws_stream_arn arn;

    (void)snprintf(text, sizeof(text), "arn:%s:kinesis:%s:123456789012:stream/s", partition,
                   region);
    ck_assert_int_eq(0, aws_stream_arn_parse(text, &arn, e));
    return aws_endpoint_resolve(&arn, configured, &endpoint, e);
}

START_TEST(endpoints)
{
    static const char *const bad[] = {"ftp://x",        "localhost:1",    "http://",
                                      "http://a b",     "http://user@h",  "http://h:0",
                                      "http://h:65536", "http://h:1x",    "http://h/path",
                                      "http://h?x",     "http://h:123456"};
    struct err e = ERR_INIT;

    ck_assert_int_eq(0, resolve("aws", "eu-west-1", "", &e));
    ck_assert_str_eq(endpoint.url, "https://kinesis.eu-west-1.amazonaws.com/");
    ck_assert_str_eq(endpoint.host, "kinesis.eu-west-1.amazonaws.com");
    ck_assert_int_eq(0, resolve("aws-cn", "cn-north-1", "", &e));
    ck_assert_str_eq(endpoint.host, "kinesis.cn-north-1.amazonaws.com.cn");
    ck_assert_int_eq(0, resolve("aws-us-gov", "us-gov-west-1", "", &e));
    ck_assert_str_eq(endpoint.host, "kinesis.us-gov-west-1.amazonaws.com");
    ck_assert_int_eq(-1, resolve("aws-iso", "us-iso-east-1", "", &e));
    ck_assert_ptr_nonnull(strstr(e.text, "aws-iso"));
    ck_assert_int_eq(0, resolve("aws", "r", "HTTP://LocalHost:4567/", &e));
    ck_assert_str_eq(endpoint.url, "http://localhost:4567/");
    ck_assert(!endpoint.is_tls);
    ck_assert_int_eq(0, resolve("aws", "r", "https://h:443", &e));
    ck_assert_str_eq(endpoint.host, "h");
    ck_assert_int_eq(0, resolve("aws", "r", "http://[::1]:80", &e));
    ck_assert_str_eq(endpoint.host, "[::1]");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(resolve("aws", "r", bad[i], &e) == -1, "%s was taken", bad[i]);
}
END_TEST

START_TEST(endpoints_of_the_environment)
{
    struct err e = ERR_INIT;

    (void)setenv("AWS_ENDPOINT_URL", "http://all:1", 1);
    ck_assert_int_eq(0, resolve("aws", "r", "", &e));
    ck_assert_str_eq(endpoint.host, "all:1");
    (void)setenv("AWS_ENDPOINT_URL_KINESIS", "http://kinesis:1", 1);
    ck_assert_int_eq(0, resolve("aws", "r", "", &e));
    ck_assert_str_eq(endpoint.source, "AWS_ENDPOINT_URL_KINESIS");
    ck_assert_int_eq(0, resolve("aws", "r", "http://task:1", &e));
    ck_assert_str_eq(endpoint.host, "task:1");
    (void)setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    ck_assert_int_eq(0, resolve("aws", "r", "", &e));
    ck_assert_str_eq(endpoint.source, "region");
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("shipper credentials");
    TCase *t = tcase_create("credentials");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, the_environment_comes_first);
    tcase_add_test(t, what_was_looked_for_is_named);
    tcase_add_test(t, half_a_profile_is_no_profile);
    tcase_add_loop_test(t, profiles_that_lead_nowhere, 0, 16);
    tcase_add_test(t, a_process_prints_credentials);
    tcase_add_test(t, when_to_look_for_newer_ones);
    tcase_add_test(t, oddities_of_the_credentials_file);
    tcase_add_test(t, sections_of_the_config_file);
    tcase_add_test(t, default_is_overruled_by_profile_default);
    tcase_add_test(t, values_that_are_too_long);
    tcase_add_test(t, wiping_and_comparing);
    tcase_add_test(t, arns);
    tcase_add_test(t, endpoints);
    tcase_add_test(t, endpoints_of_the_environment);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
