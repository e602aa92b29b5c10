/* Profiles of ~/.aws/credentials and ~/.aws/config, in all the forms a server can use. */
#include "common/aws/provider.h"

#include "common/aws/keys.h"
#include "common/aws/profile.h"
#include "common/aws/role.h"
#include "common/err.h"
#include "common/log.h"

#include <openssl/crypto.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 512
#define DEPTH_MAX 8 /* roles that lead to roles */

/* X(member, size, key) */
#define PROFILE_KEYS(X)                                                                            \
    X(access_key_id, 129, "aws_access_key_id")                                                     \
    X(secret, 257, "aws_secret_access_key")                                                        \
    X(token, 16384, "aws_session_token")                                                           \
    X(role_arn, 2049, "role_arn")                                                                  \
    X(source_profile, 256, "source_profile")                                                       \
    X(credential_source, 64, "credential_source")                                                  \
    X(external_id, 1300, "external_id")                                                            \
    X(session_name, 128, "role_session_name")                                                      \
    X(duration, 16, "duration_seconds")                                                            \
    X(mfa_serial, 256, "mfa_serial")                                                               \
    X(token_file, 1024, "web_identity_token_file")                                                 \
    X(process, 4096, "credential_process")                                                         \
    X(region, 64, "region")                                                                        \
    X(sso_session, 256, "sso_session")                                                             \
    X(sso_start_url, 1024, "sso_start_url")

/* "" = not there. */
struct profile {
#define X(member, size, key) char member[size];
    PROFILE_KEYS(X)
#undef X
    const char *name;
    const char *file; /* where it was found, for people */
    bool is_there;
};

struct files {
    char credentials[PATH_SIZE];
    char config[PATH_SIZE];
};

static void
file_path(const char *override, const char *name, char *out)
{
    const char *path = provider_variable(override);
    const char *home = provider_variable("HOME");
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

/* ---- reading ---- */

/* One file's part of a profile; what the other file said already stays. */
static int
read_file(const char *path, enum profile_file kind, struct profile *p, struct err *e)
{
    struct profile *found = calloc(1, sizeof(*found));
    int rc;

    if (found == NULL)
        return err_set(e, ERR_NOMEM, "%s", path);
    struct profile_key keys[] = {
#define X(member, size, key) {key, found->member, size, false},
        PROFILE_KEYS(X)
#undef X
    };
    rc = profile_read(path, kind, p->name, keys, sizeof(keys) / sizeof(keys[0]), e);
    if (rc > 0) {
        /* Keys belong together: never the name of one file with the secret of the other. */
        if (p->access_key_id[0] != '\0' || p->secret[0] != '\0')
            found->access_key_id[0] = found->secret[0] = found->token[0] = '\0';
#define X(member, size, key)                                                                       \
    if (p->member[0] == '\0')                                                                      \
        memcpy(p->member, found->member, size);
        PROFILE_KEYS(X)
#undef X
        p->file = p->is_there ? p->file : path;
        p->is_there = true;
    }
    OPENSSL_cleanse(found, sizeof(*found));
    free(found);
    if (rc < 0 && e->code == ERR_NOT_FOUND) {
        err_clear(e);
        return 0;
    }
    if (rc < 0)
        e->code = ERR_CREDENTIALS;
    return rc < 0 ? -1 : 0;
}

static struct profile *
load(const struct files *files, const char *name, struct err *e)
{
    struct profile *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        err_set(e, ERR_NOMEM, "profile %s", name);
        return NULL;
    }
    p->name = name;
    if (read_file(files->credentials, PROFILE_CREDENTIALS, p, e) == 0 &&
        read_file(files->config, PROFILE_CONFIG, p, e) == 0)
        return p;
    OPENSSL_cleanse(p, sizeof(*p));
    free(p);
    return NULL;
}

static void
profile_free(struct profile *p)
{
    OPENSSL_cleanse(p, sizeof(*p));
    free(p);
}

/* ---- the forms ---- */

static int
take_static(const struct profile *p, struct credentials *out, struct err *e)
{
    if (p->access_key_id[0] == '\0' || p->secret[0] == '\0')
        return err_set(e, ERR_CREDENTIALS, "profile \"%s\" in %s has %s and no %s", p->name,
                       p->file,
                       p->secret[0] == '\0' ? "aws_access_key_id" : "aws_secret_access_key",
                       p->secret[0] == '\0' ? "aws_secret_access_key" : "aws_access_key_id");
    warn_of_mode(p->file);
    (void)snprintf(out->access_key_id, sizeof(out->access_key_id), "%s", p->access_key_id);
    (void)snprintf(out->secret, sizeof(out->secret), "%s", p->secret);
    (void)snprintf(out->token, sizeof(out->token), "%s", p->token);
    (void)snprintf(out->source, sizeof(out->source), "profile %.60s in %.500s", p->name, p->file);
    out->expires_real_ns = 0;
    return 0;
}

static int resolve(const struct files *files, const char *name, unsigned depth, bool is_source,
                   struct look *look, struct credentials *out, struct err *e);

static int
from_credential_source(const struct profile *p, struct look *look, struct credentials *out,
                       struct err *e)
{
    int rc = 0;

    if (strcmp(p->credential_source, "Environment") == 0)
        rc = provider_environment(look, out, e);
    else if (strcmp(p->credential_source, "Ec2InstanceMetadata") == 0)
        rc = provider_instance(look, out, e);
    else if (strcmp(p->credential_source, "EcsContainer") == 0)
        rc = provider_container(look, out, e);
    else
        return err_set(e, ERR_CREDENTIALS,
                       "profile \"%s\" in %s: credential_source \"%s\" is none of Environment, "
                       "Ec2InstanceMetadata, EcsContainer",
                       p->name, p->file, p->credential_source);
    if (rc == 0)
        rc = err_set(e, ERR_CREDENTIALS, "profile \"%s\" in %s: credential_source %s: %.600s",
                     p->name, p->file, p->credential_source, look->text);
    return rc < 0 ? -1 : 0;
}

static int
assume(const struct files *files, const struct profile *p, unsigned depth, struct look *look,
       struct credentials *out, struct err *e)
{
    const char *region = p->region[0] != '\0' && provider_variable("AWS_REGION") == NULL &&
                                 provider_variable("AWS_DEFAULT_REGION") == NULL
                             ? p->region
                             : provider_region(look);
    const struct aws_role role = {.arn = p->role_arn,
                                  .session_name = p->session_name,
                                  .external_id = p->external_id,
                                  .duration_s = (uint32_t)strtoul(p->duration, NULL, 10)};
    bool has_profile = p->source_profile[0] != '\0';

    if (p->mfa_serial[0] != '\0')
        return err_set(e, ERR_CREDENTIALS,
                       "profile \"%s\" in %s has mfa_serial: nobody is there to type the code",
                       p->name, p->file);
    if (p->token_file[0] != '\0')
        return aws_role_assume_web(&role, p->token_file, region, look->wait, out, e);
    if (has_profile == (p->credential_source[0] != '\0'))
        return err_set(e, ERR_CREDENTIALS,
                       "profile \"%s\" in %s has role_arn, which needs exactly one of "
                       "source_profile and credential_source",
                       p->name, p->file);
    if (has_profile ? resolve(files, p->source_profile, depth + 1, true, look, out, e) != 0
                    : from_credential_source(p, look, out, e) != 0)
        return -1;
    return aws_role_assume(&role, region, look->wait, out, e);
}

/* Roles go before keys, but for a profile that a role leads to: its keys are what was meant. */
static int
choose(const struct files *files, const struct profile *p, unsigned depth, bool is_source,
       struct look *look, struct credentials *out, struct err *e)
{
    bool has_keys = p->access_key_id[0] != '\0' || p->secret[0] != '\0';

    if (p->role_arn[0] != '\0' && !(is_source && has_keys))
        return assume(files, p, depth, look, out, e);
    if (has_keys)
        return take_static(p, out, e);
    if (p->process[0] != '\0')
        return provider_process(p->process, p->name, look, out, e);
    if (p->sso_session[0] != '\0' || p->sso_start_url[0] != '\0')
        return err_set(e, ERR_CREDENTIALS,
                       "profile \"%s\" in %s signs in by SSO, which needs a person and a browser",
                       p->name, p->file);
    (void)snprintf(look->text, sizeof(look->text), "profile \"%.100s\" in %.500s has no keys",
                   p->name, p->file);
    return 1;
}

/* 0 = out, 1 = nothing there, -1 = e. */
static int
resolve(const struct files *files, const char *name, unsigned depth, bool is_source,
        struct look *look, struct credentials *out, struct err *e)
{
    struct profile *p;
    int rc = 1;

    if (depth > DEPTH_MAX)
        return err_set(e, ERR_CREDENTIALS,
                       "the profiles lead in a circle: \"%s\" is source_profile of itself", name);
    p = load(files, name, e);
    if (p == NULL)
        return -1;
    if (p->is_there)
        rc = choose(files, p, depth, is_source, look, out, e);
    else
        (void)snprintf(look->text, sizeof(look->text), "no profile \"%.100s\" in %.500s or %.500s",
                       name, files->credentials, files->config);
    profile_free(p);
    /* A profile that another one leads to has to be good for something. */
    if (rc == 1 && is_source)
        return err_set(e, ERR_CREDENTIALS, "source_profile: %.900s", look->text);
    return rc;
}

int
provider_profile(struct look *look, struct credentials *out, struct err *e)
{
    const char *name = provider_variable("AWS_PROFILE");
    struct files files;
    int rc;

    file_path("AWS_SHARED_CREDENTIALS_FILE", "credentials", files.credentials);
    file_path("AWS_CONFIG_FILE", "config", files.config);
    rc = resolve(&files, name != NULL ? name : "default", 0, false, look, out, e);
    return rc < 0 ? -1 : rc == 0;
}
