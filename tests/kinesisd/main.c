/* kinesisd - a Kinesis Data Streams server for tests: see README.md. */
#include "common/err.h"
#include "common/log.h"
#include "tests/kinesisd/history.h"
#include "tests/kinesisd/server.h"
#include "tests/kinesisd/service.h"
#include "tests/kinesisd/signature.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>

#define EXIT_USAGE 64
#define SHARDS_MAX 10000

struct options {
    struct server_options server;
    const char *port_file;
    const char *streams;
    const char *account;
    const char *region;
    const char *credentials;
    const char *history;
    bool history_has_data;
    bool throttles;
    bool throttles_reads;
    int64_t tolerance_s;
    int64_t clock_offset_s;
    int64_t state_delay_ms;
    int64_t shard_rate;
    int64_t shard_bytes;
    int64_t keep;
    int64_t reshard_limit;
};

static const char usage[] =
    "usage: kinesisd [--listen 127.0.0.1] [--port P] [--port-file FILE]\n"
    "  --port P                    0 = any free one; prints \"listening ADDRESS:PORT\" when ready\n"
    "  --port-file FILE            writes the port there too\n"
    "  --tls-cert FILE --tls-key FILE\n"
    "  --streams NAME:SHARDS,...   ACTIVE from the start\n"
    "  --account 000000000000      --region us-east-1\n"
    "  --credentials FILE          lines \"ACCESSKEY SECRET [TOKEN|- [expired]]\"; verifies "
    "signatures\n"
    "  --clock-tolerance 300       seconds a signature may be off; 0 = any\n"
    "  --clock-offset-s 0          the server's clock is this much ahead of the machine's\n"
    "  --history FILE              one line per accepted record; --history-data: with the data\n"
    "  --state-delay-ms 500        time in CREATING, UPDATING, DELETING\n"
    "  --throttle on|off           per-shard write limits (on)\n"
    "  --read-throttle on|off      GetRecords limits (off)\n"
    "  --shard-rate 1000           records/s and shard\n"
    "  --shard-bytes 1048576       bytes/s and shard\n"
    "  --max-records-kept 1000000  per shard; older ones are trimmed\n"
    "  --reshard-limit 10          UpdateShardCount calls per stream and day; 0 = any\n";

enum option_id {
    OPT_LISTEN = 256,
    OPT_PORT,
    OPT_PORT_FILE,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_STREAMS,
    OPT_ACCOUNT,
    OPT_REGION,
    OPT_CREDENTIALS,
    OPT_TOLERANCE,
    OPT_CLOCK_OFFSET,
    OPT_HISTORY,
    OPT_HISTORY_DATA,
    OPT_STATE_DELAY,
    OPT_THROTTLE,
    OPT_READ_THROTTLE,
    OPT_SHARD_RATE,
    OPT_SHARD_BYTES,
    OPT_KEEP,
    OPT_RESHARD_LIMIT,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"port", required_argument, NULL, OPT_PORT},
    {"port-file", required_argument, NULL, OPT_PORT_FILE},
    {"tls-cert", required_argument, NULL, OPT_TLS_CERT},
    {"tls-key", required_argument, NULL, OPT_TLS_KEY},
    {"streams", required_argument, NULL, OPT_STREAMS},
    {"account", required_argument, NULL, OPT_ACCOUNT},
    {"region", required_argument, NULL, OPT_REGION},
    {"credentials", required_argument, NULL, OPT_CREDENTIALS},
    {"clock-tolerance", required_argument, NULL, OPT_TOLERANCE},
    {"clock-offset-s", required_argument, NULL, OPT_CLOCK_OFFSET},
    {"history", required_argument, NULL, OPT_HISTORY},
    {"history-data", no_argument, NULL, OPT_HISTORY_DATA},
    {"state-delay-ms", required_argument, NULL, OPT_STATE_DELAY},
    {"throttle", required_argument, NULL, OPT_THROTTLE},
    {"read-throttle", required_argument, NULL, OPT_READ_THROTTLE},
    {"shard-rate", required_argument, NULL, OPT_SHARD_RATE},
    {"shard-bytes", required_argument, NULL, OPT_SHARD_BYTES},
    {"max-records-kept", required_argument, NULL, OPT_KEEP},
    {"reshard-limit", required_argument, NULL, OPT_RESHARD_LIMIT},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int
read_number(const char *name, const char *text, int64_t low, int64_t high, int64_t *out,
            struct err *e)
{
    char *end;
    long long v;

    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || v < low || v > high)
        return err_set(e, ERR_USAGE, "--%s %s is not a number from %lld to %lld", name, text,
                       (long long)low, (long long)high);
    *out = v;
    return 0;
}

static int
read_switch(const char *name, const char *text, bool *out, struct err *e)
{
    *out = strcmp(text, "on") == 0;
    if (!*out && strcmp(text, "off") != 0)
        return err_set(e, ERR_USAGE, "--%s %s is neither on nor off", name, text);
    return 0;
}

/* Options that are plain texts; false when o is none of them. */
static bool
take_text(struct options *opt, int o)
{
    switch (o) {
    case OPT_LISTEN:
        opt->server.address = optarg;
        return true;
    case OPT_PORT_FILE:
        opt->port_file = optarg;
        return true;
    case OPT_TLS_CERT:
        opt->server.tls_cert = optarg;
        return true;
    case OPT_TLS_KEY:
        opt->server.tls_key = optarg;
        return true;
    case OPT_STREAMS:
        opt->streams = optarg;
        return true;
    case OPT_ACCOUNT:
        opt->account = optarg;
        return true;
    case OPT_REGION:
        opt->region = optarg;
        return true;
    case OPT_CREDENTIALS:
        opt->credentials = optarg;
        return true;
    case OPT_HISTORY:
        opt->history = optarg;
        return true;
    case OPT_HISTORY_DATA:
        opt->history_has_data = true;
        return true;
    default:
        return false;
    }
}

static int
take_value(struct options *opt, int o, const char *name, struct err *e)
{
    int64_t port;

    switch (o) {
    case OPT_PORT:
        if (read_number(name, optarg, 0, UINT16_MAX, &port, e) != 0)
            return -1;
        opt->server.port = (uint16_t)port;
        return 0;
    case OPT_TOLERANCE:
        return read_number(name, optarg, 0, INT32_MAX, &opt->tolerance_s, e);
    case OPT_CLOCK_OFFSET:
        return read_number(name, optarg, INT32_MIN, INT32_MAX, &opt->clock_offset_s, e);
    case OPT_STATE_DELAY:
        return read_number(name, optarg, 0, INT32_MAX, &opt->state_delay_ms, e);
    case OPT_THROTTLE:
        return read_switch(name, optarg, &opt->throttles, e);
    case OPT_READ_THROTTLE:
        return read_switch(name, optarg, &opt->throttles_reads, e);
    case OPT_SHARD_RATE:
        return read_number(name, optarg, 1, BUCKET_RATE_MAX, &opt->shard_rate, e);
    case OPT_SHARD_BYTES:
        return read_number(name, optarg, 1, BUCKET_RATE_MAX, &opt->shard_bytes, e);
    case OPT_KEEP:
        return read_number(name, optarg, 1, INT64_MAX, &opt->keep, e);
    case OPT_RESHARD_LIMIT:
        return read_number(name, optarg, 0, 16, &opt->reshard_limit, e);
    default:
        return err_set(e, ERR_USAGE, "see the usage");
    }
}

static int
read_options(int argc, char **argv, struct options *opt, struct err *e)
{
    int at = 0;
    int o;

    while ((o = getopt_long(argc, argv, "", long_options, &at)) != -1) {
        if (o == OPT_HELP) {
            (void)fputs(usage, stdout);
            exit(0);
        }
        if (o == '?')
            return err_set(e, ERR_USAGE, "unknown or incomplete option");
        CHECK(optarg != NULL || long_options[at].has_arg == no_argument);
        if (!take_text(opt, o) && take_value(opt, o, long_options[at].name, e) != 0)
            return -1;
    }
    if (optind < argc)
        return err_set(e, ERR_USAGE, "%s is not an option", argv[optind]);
    if ((opt->server.tls_cert == NULL) != (opt->server.tls_key == NULL))
        return err_set(e, ERR_USAGE, "--tls-cert and --tls-key go together");
    if (strlen(opt->account) != 12 || strspn(opt->account, "0123456789") != 12)
        return err_set(e, ERR_USAGE, "--account %s is not twelve digits", opt->account);
    return 0;
}

static int
add_streams(struct service *s, const char *list, struct err *e)
{
    char *copy = strdup(list);
    char *save = NULL;
    int result = 0;

    CHECK(copy != NULL);
    for (char *item = strtok_r(copy, ",", &save); item != NULL && result == 0;
         item = strtok_r(NULL, ",", &save)) {
        char *colon = strchr(item, ':');
        int64_t shards = 4;

        if (colon != NULL) {
            *colon = '\0';
            result = read_number("streams", colon + 1, 1, SHARDS_MAX, &shards, e);
        }
        if (result != 0)
            break;
        if (!account_name_is_valid(item) || account_find(&s->account, item) != NULL)
            result =
                err_set(e, ERR_USAGE, "--streams: \"%s\" is no stream name or comes twice", item);
        else
            (void)account_add(&s->account, item, (uint32_t)shards, s->now_ms, 0);
    }
    free(copy);
    return result;
}

static int
set_up(struct service *s, const struct options *opt, struct err *e)
{
    service_init(s, opt->account, opt->region);
    s->throttles_writes = opt->throttles;
    s->throttles_reads = opt->throttles_reads;
    s->clock_offset_s = opt->clock_offset_s;
    s->reshard_limit = (uint32_t)opt->reshard_limit;
    s->account.state_delay_ms = opt->state_delay_ms;
    s->account.limits = (struct stream_limits){
        .shard_records_per_s = opt->shard_rate,
        .shard_bytes_per_s = opt->shard_bytes,
        .keep = (uint64_t)opt->keep,
    };
    s->signature = signature_open(s->digest, opt->region, opt->tolerance_s);
    if (opt->credentials != NULL && signature_load(s->signature, opt->credentials, e) != 0)
        return -1;
    if (opt->history != NULL &&
        history_open(opt->history, opt->history_has_data, s->digest, &s->history, e) != 0)
        return -1;
    return opt->streams == NULL ? 0 : add_streams(s, opt->streams, e);
}

/* Appears whole or not at all: a test that polls for it must not read half a number. */
static int
write_port_file(const char *path, uint16_t port, struct err *e)
{
    char temporary[PATH_MAX];
    FILE *f;

    (void)snprintf(temporary, sizeof(temporary), "%s.new", path);
    f = fopen(temporary, "we");
    if (f == NULL)
        return err_sys(e, ERR_IO, errno, "create %s", temporary);
    (void)fprintf(f, "%u\n", port);
    if (fclose(f) != 0 || rename(temporary, path) != 0)
        return err_sys(e, ERR_IO, errno, "write %s", path);
    return 0;
}

static int
serve(struct service *s, const struct options *opt, struct err *e)
{
    struct server *server = NULL;
    int result;

    if (server_open(&opt->server, s, &server, e) != 0)
        return -1;
    result = opt->port_file == NULL ? 0 : write_port_file(opt->port_file, server_port(server), e);
    if (result == 0) {
        (void)printf("listening %s:%u\n", opt->server.address, server_port(server));
        (void)fflush(stdout);
        result = server_run(server, e);
    }
    server_close(&server);
    return result;
}

int
main(int argc, char **argv)
{
    /* One of them: it holds the parsed body, which is too large for the stack. */
    static struct service service;
    struct err e = ERR_INIT;
    struct options opt = {
        .server = {.address = "127.0.0.1", .port = 4567},
        .account = "000000000000",
        .region = "us-east-1",
        .throttles = true,
        .tolerance_s = 300,
        .state_delay_ms = 500,
        .shard_rate = 1000,
        .shard_bytes = (int64_t)1024 * 1024,
        .keep = 1000000,
        .reshard_limit = 10,
    };
    int result;

    log_init("kinesisd", LOG_INFO);
    if (read_options(argc, argv, &opt, &e) != 0) {
        (void)fprintf(stderr, "kinesisd: %s\n%s", e.text, usage);
        return EXIT_USAGE;
    }
    result = set_up(&service, &opt, &e);
    if (result == 0)
        result = serve(&service, &opt, &e);
    if (result != 0)
        log_err(LOG_ERROR, "stopped", &e);
    history_close(&service.history);
    signature_close(&service.signature);
    service_free(&service);
    return result == 0 ? 0 : err_exit_status(&e);
}
