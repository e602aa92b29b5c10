/* mssqld - a SQL Server look-alike for tests: see README.md in this folder. */
#include "common/err.h"
#include "common/log.h"
#include "tests/mssqld/engine.h"
#include "tests/mssqld/tds/link.h"
#include "tests/mssqld/tds/server.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWORD_MAX 256

struct options {
    const char *listen;
    uint16_t port;
    const char *port_file;
    const char *directory;
    const char *sa_password_file;
    const char *tls_cert;
    const char *tls_key;
    bool force_encryption;
    const char *server_name;
    unsigned dummy_row_ms;
    unsigned max_connections;
    unsigned login_timeout_s;
    unsigned plp_chunk;
    bool plp_unknown_length;
    const char *fault_file;
    const char *keytab;
    enum log_level log_level;
    bool help;
};

static const char usage[] =
    "usage: mssqld --directory DIR --sa-password-file FILE [options]\n"
    "\n"
    "A SQL Server look-alike for tests: TDS 7.4 over SQLite, loopback only.\n"
    "\n"
    "  --directory DIR          where databases live; made if absent\n"
    "  --sa-password-file FILE  password of login sa, first line of FILE\n"
    "                           (or environment MSSQLD_SA_PASSWORD)\n"
    "  --listen ADDRESS         loopback address to listen on        [127.0.0.1]\n"
    "  --port PORT              0 = any; printed as \"listening ADDRESS:PORT\"  [0]\n"
    "  --port-file FILE         the chosen port, written when it listens\n"
    "  --tls-cert FILE          certificate chain, PEM; with --tls-key\n"
    "  --tls-key FILE           its key, PEM\n"
    "  --force-encryption       no clear text (needs a certificate)\n"
    "  --server-name NAME       @@SERVERNAME and the name in messages [MSSQLD]\n"
    "  --dummy-row-ms N         idle time before cdc.lsn_time_mapping gets a row\n"
    "                           without changes; 0 = never           [300000]\n"
    "  --max-connections N      further ones are closed at once      [512]\n"
    "  --login-timeout N        seconds for a client to log in       [30]\n"
    "  --plp-chunk N            bytes a chunk of (max) values; 0 = one chunk  [0]\n"
    "  --plp-unknown-length     do not announce the length of (max) values\n"
    "  --keytab FILE            key of the service, for integrated logins by Kerberos\n"
    "  --fault-file FILE        what connections suffer on the wire: tds/fault.h; read\n"
    "                           for each connection, need not be there\n"
    "  --log-level LEVEL        error, warn, info, debug             [info]\n"
    "  --help                   this text\n"
    "\n"
    "SIGTERM and SIGINT end it.  Exit status: 0 ended by a signal, 75 failed, 78 wrong use.\n";

/* ---- command line ---- */

static int
parse_number(const char *option, const char *text, unsigned long max, unsigned *out, struct err *e)
{
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || v > max)
        return err_set(e, ERR_USAGE, "--%s takes a number from 0 to %lu, not '%s'", option, max,
                       text);
    *out = (unsigned)v;
    return 0;
}

enum option_id {
    OPT_LISTEN = 1,
    OPT_PORT,
    OPT_PORT_FILE,
    OPT_DIRECTORY,
    OPT_PASSWORD_FILE,
    OPT_CERT,
    OPT_KEY,
    OPT_FORCE,
    OPT_SERVER_NAME,
    OPT_DUMMY,
    OPT_MAX_CONNECTIONS,
    OPT_LOGIN_TIMEOUT,
    OPT_PLP_CHUNK,
    OPT_PLP_UNKNOWN,
    OPT_FAULT_FILE,
    OPT_KEYTAB,
    OPT_LOG_LEVEL,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"port", required_argument, NULL, OPT_PORT},
    {"port-file", required_argument, NULL, OPT_PORT_FILE},
    {"directory", required_argument, NULL, OPT_DIRECTORY},
    {"sa-password-file", required_argument, NULL, OPT_PASSWORD_FILE},
    {"tls-cert", required_argument, NULL, OPT_CERT},
    {"tls-key", required_argument, NULL, OPT_KEY},
    {"force-encryption", no_argument, NULL, OPT_FORCE},
    {"server-name", required_argument, NULL, OPT_SERVER_NAME},
    {"dummy-row-ms", required_argument, NULL, OPT_DUMMY},
    {"max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS},
    {"login-timeout", required_argument, NULL, OPT_LOGIN_TIMEOUT},
    {"plp-chunk", required_argument, NULL, OPT_PLP_CHUNK},
    {"plp-unknown-length", no_argument, NULL, OPT_PLP_UNKNOWN},
    {"keytab", required_argument, NULL, OPT_KEYTAB},
    {"fault-file", required_argument, NULL, OPT_FAULT_FILE},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int
take_option(struct options *o, int id, struct err *e)
{
    unsigned port;

    switch (id) {
    case OPT_LISTEN:
        o->listen = optarg;
        return 0;
    case OPT_PORT:
        if (parse_number("port", optarg, UINT16_MAX, &port, e) != 0)
            return -1;
        o->port = (uint16_t)port;
        return 0;
    case OPT_PORT_FILE:
        o->port_file = optarg;
        return 0;
    case OPT_DIRECTORY:
        o->directory = optarg;
        return 0;
    case OPT_PASSWORD_FILE:
        o->sa_password_file = optarg;
        return 0;
    case OPT_CERT:
        o->tls_cert = optarg;
        return 0;
    case OPT_KEY:
        o->tls_key = optarg;
        return 0;
    case OPT_FORCE:
        o->force_encryption = true;
        return 0;
    case OPT_SERVER_NAME:
        o->server_name = optarg;
        return 0;
    case OPT_DUMMY:
        return parse_number("dummy-row-ms", optarg, UINT32_MAX, &o->dummy_row_ms, e);
    case OPT_MAX_CONNECTIONS:
        return parse_number("max-connections", optarg, 10000, &o->max_connections, e);
    case OPT_LOGIN_TIMEOUT:
        return parse_number("login-timeout", optarg, 3600, &o->login_timeout_s, e);
    case OPT_PLP_CHUNK:
        return parse_number("plp-chunk", optarg, INT32_MAX, &o->plp_chunk, e);
    case OPT_PLP_UNKNOWN:
        o->plp_unknown_length = true;
        return 0;
    case OPT_KEYTAB:
        o->keytab = optarg;
        return 0;
    case OPT_FAULT_FILE:
        o->fault_file = optarg;
        return 0;
    case OPT_LOG_LEVEL:
        if (log_level_parse(optarg, &o->log_level) == 0)
            return 0;
        return err_set(e, ERR_USAGE, "--log-level '%s' is not error, warn, info or debug", optarg);
    case OPT_HELP:
        o->help = true;
        return 0;
    default:
        (void)err_set(e, ERR_USAGE, "unknown option or missing value");
        return err_hint(e, "see mssqld --help");
    }
}

static int
parse_options(int argc, char **argv, struct options *o, struct err *e)
{
    int id;

    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (take_option(o, id, e) != 0)
            return -1;
    }
    if (o->help)
        return 0;
    if (optind != argc)
        return err_set(e, ERR_USAGE, "'%s' is no option", argv[optind]);
    if (o->directory == NULL)
        return err_set(e, ERR_USAGE, "--directory is missing");
    if ((o->tls_cert == NULL) != (o->tls_key == NULL))
        return err_set(e, ERR_USAGE, "--tls-cert and --tls-key belong together");
    if (o->force_encryption && o->tls_cert == NULL)
        return err_set(e, ERR_USAGE, "--force-encryption needs --tls-cert and --tls-key");
    return 0;
}

/* ---- files ---- */

/* First line of the file, or the environment variable. */
static int
read_password(const struct options *o, char *out, struct err *e)
{
    const char *env = getenv("MSSQLD_SA_PASSWORD");
    FILE *file;
    size_t n;

    if (o->sa_password_file == NULL) {
        if (env == NULL || env[0] == '\0')
            return err_set(e, ERR_USAGE,
                           "no password for sa: give --sa-password-file or MSSQLD_SA_PASSWORD");
        if ((size_t)snprintf(out, PASSWORD_MAX, "%s", env) >= PASSWORD_MAX)
            return err_set(e, ERR_USAGE, "MSSQLD_SA_PASSWORD is longer than %d bytes",
                           PASSWORD_MAX - 1);
        return 0;
    }
    file = fopen(o->sa_password_file, "re");
    if (file == NULL)
        return err_sys(e, ERR_ACCESS, errno, "read password file %s", o->sa_password_file);
    n = fread(out, 1, PASSWORD_MAX - 1, file);
    (void)fclose(file);
    out[n] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    if (out[0] == '\0')
        return err_set(e, ERR_USAGE, "password file %s has an empty first line",
                       o->sa_password_file);
    return 0;
}

/* Appears complete or not at all: whoever waits for the file reads a whole number. */
static int
write_port_file(const char *path, uint16_t port, struct err *e)
{
    char temporary[4096];
    char text[16];
    int n = snprintf(text, sizeof(text), "%u\n", port);
    int fd;

    if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
        return err_set(e, ERR_USAGE, "--port-file has too long a path");
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_sys(e, ERR_IO, errno, "write %s", temporary);
    if (write(fd, text, (size_t)n) != n) {
        (void)err_sys(e, ERR_IO, errno, "write %s", temporary);
        (void)close(fd);
        return -1;
    }
    (void)close(fd);
    if (rename(temporary, path) != 0)
        return err_sys(e, ERR_IO, errno, "rename %s to %s", temporary, path);
    return 0;
}

/* ---- life ---- */

/* A descriptor that is readable once SIGTERM or SIGINT has come.  Before any thread starts, so
   that all inherit the mask. */
static int
open_stop_signal(int *fd, struct err *e)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return err_set(e, ERR_IO, "cannot block signals");
    *fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (*fd < 0)
        return err_sys(e, ERR_IO, errno, "open a signal descriptor");
    return 0;
}

static enum prelogin_policy
policy_of(const struct options *o)
{
    if (o->tls_cert == NULL)
        return PRELOGIN_NO_CERTIFICATE;
    return o->force_encryption ? PRELOGIN_FORCED : PRELOGIN_OPTIONAL;
}

static int
listen_and_serve(const struct options *o, struct engine *engine, SSL_CTX *tls, int stop_fd,
                 struct err *e)
{
    struct conn_config config = {.engine = engine,
                                 .server_name = o->server_name,
                                 .tls = tls,
                                 .policy = policy_of(o),
                                 .login_timeout_s = o->login_timeout_s,
                                 .plp_chunk = o->plp_chunk,
                                 .plp_unknown_length = o->plp_unknown_length,
                                 .fault_file = o->fault_file,
                                 .keytab = o->keytab};
    struct server *server = NULL;
    int r;

    if (server_open(o->listen, o->port, o->max_connections, &config, &server, e) != 0)
        return -1;
    r = o->port_file == NULL ? 0 : write_port_file(o->port_file, server_port(server), e);
    if (r == 0) {
        (void)printf("listening %s\n", server_address(server));
        (void)fflush(stdout);
        engine_on_cut(engine, server_cut, server);
        r = server_run(server, stop_fd, e);
        engine_on_cut(engine, NULL, NULL);
    }
    server_close(&server);
    return r;
}

static int
run(const struct options *o, struct err *e)
{
    char password[PASSWORD_MAX];
    struct engine_config config = {.directory = o->directory,
                                   .sa_password = password,
                                   .server_name = o->server_name,
                                   .dummy_row_ms = o->dummy_row_ms};
    struct engine *engine = NULL;
    SSL_CTX *tls = NULL;
    int stop_fd = -1;
    int r = -1;

    if (read_password(o, password, e) != 0 || open_stop_signal(&stop_fd, e) != 0)
        goto out;
    if (o->tls_cert != NULL && link_tls_context(o->tls_cert, o->tls_key, &tls, e) != 0)
        goto out;
    if (engine_open(&config, &engine, e) != 0)
        goto out;
    r = listen_and_serve(o, engine, tls, stop_fd, e);
out:
    engine_close(&engine);
    SSL_CTX_free(tls);
    if (stop_fd >= 0)
        (void)close(stop_fd);
    explicit_bzero(password, sizeof(password));
    return r;
}

int
main(int argc, char **argv)
{
    struct options o = {.listen = "127.0.0.1",
                        .server_name = "MSSQLD",
                        .dummy_row_ms = 300000,
                        .max_connections = 512,
                        .login_timeout_s = 30,
                        .log_level = LOG_INFO};
    struct err e = ERR_INIT;

    log_init("mssqld", LOG_INFO);
    if (parse_options(argc, argv, &o, &e) == 0 && o.help) {
        (void)fputs(usage, stdout);
        return 0;
    }
    log_init("mssqld", o.log_level);
    if (e.code == ERR_NONE && run(&o, &e) == 0)
        return 0;
    log_err(LOG_ERROR, "failed", &e);
    return err_exit_status(&e);
}
