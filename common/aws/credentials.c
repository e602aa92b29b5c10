#include "common/aws/credentials.h"

#include "common/aws/profile.h"
#include "common/err.h"
#include "common/log.h"

#include <openssl/crypto.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 512

/* 1 = found, 0 = nothing here (looked says what was looked at), -1 = half configured. */
struct provider {
    const char *name;
    int (*find)(struct credentials *out, char *looked, size_t size, struct err *e);
};

static const char *
variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

static int
copy(char *to, size_t size, const char *from, const char *what, struct err *e)
{
    if (strlen(from) >= size)
        return err_set(e, ERR_CREDENTIALS, "%s has %zu characters, at most %zu expected", what,
                       strlen(from), size - 1);
    (void)snprintf(to, size, "%s", from);
    return 0;
}

static int
find_in_environment(struct credentials *out, char *looked, size_t size, struct err *e)
{
    const char *id = variable("AWS_ACCESS_KEY_ID");
    const char *secret = variable("AWS_SECRET_ACCESS_KEY");
    const char *token = variable("AWS_SESSION_TOKEN");

    if (id == NULL && secret == NULL) {
        (void)snprintf(looked, size, "AWS_ACCESS_KEY_ID is not set");
        return 0;
    }
    if (id == NULL || secret == NULL)
        return err_set(e, ERR_CREDENTIALS, "%s is set in the environment and %s is not",
                       id != NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                       id != NULL ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    if (copy(out->access_key_id, sizeof(out->access_key_id), id, "AWS_ACCESS_KEY_ID", e) != 0 ||
        copy(out->secret, sizeof(out->secret), secret, "AWS_SECRET_ACCESS_KEY", e) != 0 ||
        copy(out->token, sizeof(out->token), token != NULL ? token : "", "AWS_SESSION_TOKEN", e) !=
            0)
        return -1;
    (void)snprintf(out->source, sizeof(out->source), "environment");
    return 1;
}

static void
file_path(const char *override, const char *name, char *out)
{
    const char *path = variable(override);
    const char *home = variable("HOME");
    struct passwd entry;
    struct passwd *found = NULL;
    char room[1024];

    if (path != NULL) {
        (void)snprintf(out, PATH_SIZE, "%s", path);
        return;
    }
    if (home == NULL && getpwuid_r(getuid(), &entry, room, sizeof(room), &found) == 0 &&
        found != NULL)
        home = entry.pw_dir;
    (void)snprintf(out, PATH_SIZE, "%s/.aws/%s", home != NULL ? home : "", name);
}

static void
warn_of_mode(const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        log_warn("credentials-file-mode",
                 "file=%s mode=%04o text=\"others can read or write it\" hint=\"chmod 600\"", path,
                 (unsigned)(st.st_mode & 07777));
}

/* What a profile may hold instead of keys: naming it beats saying "no keys". */
static const char *const other_ways[] = {"role_arn", "credential_process",
                                         "web_identity_token_file", "sso_session", "sso_start_url"};
#define N_OTHER_WAYS (sizeof(other_ways) / sizeof(other_ways[0]))
#define N_KEYS       3

static int
judge_keys(const struct profile_key *keys, const char *path, const char *profile, char *looked,
           size_t size, struct err *e)
{
    if (keys[0].found && keys[1].found)
        return 1;
    if (keys[0].found || keys[1].found)
        return err_set(e, ERR_CREDENTIALS, "profile \"%s\" in %s has %s and no %s", profile, path,
                       keys[keys[0].found ? 0 : 1].key, keys[keys[0].found ? 1 : 0].key);
    for (size_t i = N_KEYS; i < N_KEYS + N_OTHER_WAYS; i++) {
        if (keys[i].found) {
            (void)snprintf(looked, size,
                           "profile \"%s\" in %s has no aws_access_key_id; its %s cannot be "
                           "followed by this version",
                           profile, path, keys[i].key);
            return 0;
        }
    }
    (void)snprintf(looked, size, "profile \"%s\" in %s has no aws_access_key_id", profile, path);
    return 0;
}

/* One file: 1 = keys, 0 = none, -1 = broken. */
static int
find_in_file(const char *path, enum profile_file kind, const char *profile, struct credentials *out,
             char *looked, size_t size, struct err *e)
{
    struct profile_key keys[N_KEYS + N_OTHER_WAYS] = {
        {"aws_access_key_id", out->access_key_id, sizeof(out->access_key_id), false},
        {"aws_secret_access_key", out->secret, sizeof(out->secret), false},
        {"aws_session_token", out->token, sizeof(out->token), false},
    };
    int rc;

    for (size_t i = 0; i < N_OTHER_WAYS; i++)
        keys[N_KEYS + i].key = other_ways[i];
    rc = profile_read(path, kind, profile, keys, N_KEYS + N_OTHER_WAYS, e);
    if (rc < 0 && e->code == ERR_NOT_FOUND) {
        (void)snprintf(looked, size, "%s does not exist", path);
        return 0;
    }
    if (rc < 0) {
        e->code = ERR_CREDENTIALS;
        return -1;
    }
    if (rc == 0) {
        (void)snprintf(looked, size, "%s has no profile \"%s\"", path, profile);
        return 0;
    }
    rc = judge_keys(keys, path, profile, looked, size, e);
    if (rc > 0) {
        warn_of_mode(path);
        (void)snprintf(out->source, sizeof(out->source), "profile %.60s in %s", profile, path);
    }
    return rc;
}

static int
find_in_files(struct credentials *out, char *looked, size_t size, struct err *e)
{
    const char *profile = variable("AWS_PROFILE");
    char credentials_path[PATH_SIZE];
    char config_path[PATH_SIZE];
    char first[900];
    char second[900];
    int rc;

    if (profile == NULL)
        profile = "default";
    file_path("AWS_SHARED_CREDENTIALS_FILE", "credentials", credentials_path);
    file_path("AWS_CONFIG_FILE", "config", config_path);
    rc = find_in_file(credentials_path, PROFILE_CREDENTIALS, profile, out, first, sizeof(first), e);
    if (rc != 0)
        return rc;
    credentials_wipe(out);
    rc = find_in_file(config_path, PROFILE_CONFIG, profile, out, second, sizeof(second), e);
    if (rc == 0)
        (void)snprintf(looked, size, "%s, %s", first, second);
    return rc;
}

static const struct provider chain[] = {
    {"environment", find_in_environment},
    {"shared files", find_in_files},
};
#define N_PROVIDERS (sizeof(chain) / sizeof(chain[0]))

int
credentials_find(struct credentials *out, struct err *e)
{
    char looked[N_PROVIDERS][ERR_TEXT_MAX];
    char all[2 * ERR_TEXT_MAX];
    int at = 0;

    for (size_t i = 0; i < N_PROVIDERS; i++) {
        int rc;

        credentials_wipe(out);
        looked[i][0] = '\0';
        rc = chain[i].find(out, looked[i], sizeof(looked[i]), e);
        if (rc > 0)
            return 0;
        if (rc < 0) {
            credentials_wipe(out);
            return err_hint(e, "complete the credentials or remove what is there of them");
        }
    }
    credentials_wipe(out);
    for (size_t i = 0; i < N_PROVIDERS && at < (int)sizeof(all) - 1; i++)
        at += snprintf(all + at, sizeof(all) - (size_t)at, "%s%s (%s)", i > 0 ? "; " : "",
                       chain[i].name, looked[i]);
    err_set(e, ERR_CREDENTIALS, "no AWS credentials found: %.900s", all);
    return err_hint(e, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with "
                       "AWS_PROFILE");
}

bool
credentials_equal(const struct credentials *a, const struct credentials *b)
{
    return strcmp(a->access_key_id, b->access_key_id) == 0 && strcmp(a->secret, b->secret) == 0 &&
           strcmp(a->token, b->token) == 0;
}

void
credentials_wipe(struct credentials *c)
{
    OPENSSL_cleanse(c, sizeof(*c));
}
