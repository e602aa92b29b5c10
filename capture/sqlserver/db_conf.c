#include "capture/sqlserver/db_conf.h"

#include "common/err.h"
#include "common/file.h"
#include "common/task.h"

#include <sybfront.h>

#include <sybdb.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX 200
#define TEXT_SIZE 2048
#define PATH_SIZE 512

/* The file in use.  Path and text change only while it has no users. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t released;
    unsigned users;
    char path[PATH_SIZE];
    char text[TEXT_SIZE];
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER};

/* The format has no quoting: values end at ';' or '#', lines at 256 bytes. */
static int
check_value(const char *what, const char *value, struct err *e)
{
    if (strlen(value) > VALUE_MAX)
        return err_set(e, ERR_CONFIG, "%s has %zu characters, at most %d can be used", what,
                       strlen(value), VALUE_MAX);
    if (strpbrk(value, ";#\n\r") != NULL)
        return err_set(e, ERR_CONFIG, "%s '%s' holds one of ; # newline, which cannot be used",
                       what, value);
    return 0;
}

static bool
verifies(const struct source_endpoint *endpoint)
{
    return endpoint->ssl_mode == SSL_VERIFY_CA || endpoint->ssl_mode == SSL_VERIFY_FULL;
}

static const char *
encryption_of(enum ssl_mode mode)
{
    /* "request" still encrypts the login where the server can. */
    return mode == SSL_NONE ? "request" : "require";
}

static int
check_endpoint(const struct source_endpoint *endpoint, const char *host, const char *ca,
               struct err *e)
{
    if (check_value("SourceEndpoint.ServerName", host, e) != 0 ||
        check_value("Weir.SourceCaFile", ca, e) != 0)
        return -1;
    if (strchr(host, '\\') != NULL) {
        err_set(e, ERR_CONFIG, "SourceEndpoint.ServerName '%s' names an instance", host);
        return err_hint(e, "give the host in ServerName and the instance's TCP port in Port");
    }
    if (verifies(endpoint) && endpoint->ssl_ca_file[0] != '\0' && access(ca, R_OK) != 0) {
        err_set(e, ERR_CONFIG, "the certificate authority's file %s cannot be read", ca);
        return err_hint(e, "Weir.SourceCaFile must name a PEM file this user can read");
    }
    return 0;
}

static int
format(const struct source_endpoint *endpoint, const char *host, uint16_t port, const char *ca,
       char text[TEXT_SIZE])
{
    int n = snprintf(text, TEXT_SIZE,
                     "[global]\n\ttds version = 7.4\n\n[" DB_CONF_SECTION "]\n"
                     "\thost = %s\n\tport = %u\n\ttds version = 7.4\n\tclient charset = UTF-8\n"
                     "\ttext size = 2147483647\n\tconnect timeout = %d\n\ttimeout = %u\n"
                     "\tencryption = %s\n",
                     host, port, DB_CONF_TICK_S, endpoint->query_timeout_s,
                     encryption_of(endpoint->ssl_mode));

    /* A certificate is looked at only when a CA file is named. */
    if (verifies(endpoint))
        n += snprintf(text + n, TEXT_SIZE - (size_t)n,
                      "\tca file = %s\n\tcheck certificate hostname = %s\n", ca,
                      endpoint->ssl_mode == SSL_VERIFY_FULL ? "yes" : "no");
    return n;
}

/* Under the lock, when nobody else is using the file. */
static int
replace(const char *text, size_t size, const char *path, struct err *e)
{
    if (file_replace(path, text, size, 0600, e) != 0)
        return -1;
    memcpy(shared.path, path, sizeof(shared.path));
    memcpy(shared.text, text, size + 1);
    dbsetifile(shared.path);
    return 0;
}

int
db_conf_acquire(const char *directory, const struct source_endpoint *endpoint, const char *host,
                uint16_t port, struct err *e)
{
    const char *ca = endpoint->ssl_ca_file[0] != '\0' ? endpoint->ssl_ca_file : "system";
    char text[TEXT_SIZE];
    char path[PATH_SIZE] = "";
    int rc = 0;
    int n;

    if (check_endpoint(endpoint, host, ca, e) != 0)
        return -1;
    n = format(endpoint, host, port, ca, text);
    if (snprintf(path, sizeof(path), "%s/freetds.%ld.conf", directory, (long)getpid()) >= PATH_SIZE)
        return err_set(e, ERR_CONFIG, "the path of the runtime directory is too long: %.64s...",
                       directory);
    (void)pthread_mutex_lock(&shared.lock);
    while (shared.users > 0 && (strcmp(shared.text, text) != 0 || strcmp(shared.path, path) != 0))
        (void)pthread_cond_wait(&shared.released, &shared.lock);
    if (shared.users == 0)
        rc = replace(text, (size_t)n, path, e);
    if (rc == 0)
        shared.users++;
    (void)pthread_mutex_unlock(&shared.lock);
    return rc;
}

void
db_conf_release(void)
{
    (void)pthread_mutex_lock(&shared.lock);
    if (--shared.users == 0)
        (void)unlink(shared.path);
    (void)pthread_cond_broadcast(&shared.released);
    (void)pthread_mutex_unlock(&shared.lock);
}
