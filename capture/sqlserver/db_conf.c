#include "capture/sqlserver/db_conf.h"

#include "common/err.h"
#include "common/file.h"
#include "common/task.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX 200

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

static const char *
encryption_of(enum ssl_mode mode)
{
    /* "request" still encrypts the login where the server can. */
    return mode == SSL_NONE ? "request" : "require";
}

int
db_conf_write(const char *directory, const struct source_endpoint *endpoint,
              char path[DB_CONF_PATH_MAX], struct err *e)
{
    const char *ca = endpoint->ssl_ca_file[0] != '\0' ? endpoint->ssl_ca_file : "system";
    bool verifies = endpoint->ssl_mode == SSL_VERIFY_CA || endpoint->ssl_mode == SSL_VERIFY_FULL;
    char text[2048];
    int n;

    if (check_value("SourceEndpoint.ServerName", endpoint->server_name, e) != 0 ||
        check_value("Weir.SourceCaFile", ca, e) != 0)
        return -1;
    if (strchr(endpoint->server_name, '\\') != NULL) {
        err_set(e, ERR_CONFIG, "SourceEndpoint.ServerName '%s' names an instance",
                endpoint->server_name);
        return err_hint(e, "give the host in ServerName and the instance's TCP port in Port");
    }
    if (verifies && endpoint->ssl_ca_file[0] != '\0' && access(ca, R_OK) != 0) {
        err_set(e, ERR_CONFIG, "the certificate authority's file %s cannot be read", ca);
        return err_hint(e, "Weir.SourceCaFile must name a PEM file this user can read");
    }
    n = snprintf(text, sizeof(text),
                 "[global]\n\ttds version = 7.4\n\n[" DB_CONF_SECTION "]\n"
                 "\thost = %s\n\tport = %u\n\ttds version = 7.4\n\tclient charset = UTF-8\n"
                 "\ttext size = 2147483647\n\tencryption = %s\n",
                 endpoint->server_name, endpoint->port, encryption_of(endpoint->ssl_mode));
    /* A certificate is looked at only when a CA file is named. */
    if (verifies)
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      "\tca file = %s\n\tcheck certificate hostname = %s\n", ca,
                      endpoint->ssl_mode == SSL_VERIFY_FULL ? "yes" : "no");
    if (snprintf(path, DB_CONF_PATH_MAX, "%s/freetds.%ld.conf", directory, (long)getpid()) >=
        DB_CONF_PATH_MAX)
        return err_set(e, ERR_CONFIG, "the path of the runtime directory is too long: %.64s...",
                       directory);
    return file_replace(path, text, (size_t)n, 0600, e);
}
