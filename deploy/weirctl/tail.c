/*
 * weirctl tail - prints the records of a stream, shard by shard in the order of arrival.
 */
#include "deploy/weirctl/tail.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"
#include "deploy/weirctl/text.h"
#include "deploy/weirctl/weirctl.h"

#include <getopt.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define USAGE                                                                                      \
    "tail TASK | --stream ARN|NAME [--endpoint URL] [--from trim|latest]\n"                        \
    "                    [--limit N] [--follow] [--json] [--metadata]"

#define TIMEOUT_MS  10000
#define BATCH       1000
#define FOLLOW_MS   500
#define FOREIGN_ARN "arn:aws:kinesis:%s:000000000000:stream/%s"

struct options {
    const char *path;
    const char *stream;
    const char *endpoint;
    bool from_latest;
    bool is_followed;
    unsigned long limit; /* 0 = none */
    struct tail_look look;
};

struct shard_cursor {
    char id[TARGET_SHARD_ID_SIZE];
    char last[KINESIS_SEQUENCE_SIZE]; /* sequence number printed last */
    char *iterator;                   /* NULL: read to its end */
};

struct tail {
    struct kinesis *k;
    const struct options *o;
    struct shard_cursor *shards;
    size_t n;
    unsigned long printed;
};

static volatile sig_atomic_t stop_asked;

static void
ask_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

/* ---- one record ---- */

static void
print_base64(FILE *out, const void *data, size_t size)
{
    unsigned char *text = malloc(size / 3 * 4 + 5);

    CHECK(text != NULL);
    (void)fwrite(text, 1, (size_t)EVP_EncodeBlock(text, data, (int)size), out);
    free(text);
}

static bool
is_json(const struct kinesis_record *r)
{
    json_t *v = json_loadb((const char *)r->data, r->size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool is_valid = v != NULL;

    json_decref(v);
    return is_valid;
}

/*
 * The data as it lies in the stream, without the line breaks between members: parsing and writing
 * it anew would change its numbers.
 */
static void
print_one_line(FILE *out, const struct kinesis_record *r)
{
    for (size_t i = 0; i < r->size; i++)
        if (r->data[i] != '\n' && r->data[i] != '\r' && r->data[i] != '\t')
            (void)fputc(r->data[i], out);
}

static void
print_json(FILE *out, const char *shard, const struct kinesis_record *r)
{
    char iso[CLOCK_ISO_SIZE];
    json_t *text = json_stringn((const char *)r->data, r->size);
    json_t *key = json_string(r->partition_key);

    (void)fprintf(out, "{\"ShardId\":\"%s\",\"SequenceNumber\":\"%s\",\"PartitionKey\":", shard,
                  r->sequence);
    (void)json_dumpf(key, out, JSON_ENCODE_ANY);
    if (r->arrival_real_ns != 0)
        (void)fprintf(out, ",\"ApproximateArrivalTimestamp\":\"%s\"",
                      clock_iso(r->arrival_real_ns, iso));
    if (is_json(r)) {
        (void)fputs(",\"Data\":", out);
        print_one_line(out, r);
    } else if (text != NULL) {
        (void)fputs(",\"Data\":", out);
        (void)json_dumpf(text, out, JSON_ENCODE_ANY);
    } else { /* not UTF-8 */
        (void)fputs(",\"DataBase64\":\"", out);
        print_base64(out, r->data, r->size);
        (void)fputc('"', out);
    }
    (void)fputs("}\n", out);
    json_decref(text);
    json_decref(key);
}

void
tail_print(FILE *out, const char *shard, const struct kinesis_record *r,
           const struct tail_look *look)
{
    if (look->as_json) {
        print_json(out, shard, r);
        return;
    }
    if (look->has_metadata) {
        (void)fprintf(out, "-- %s %s key ", shard, r->sequence);
        text_print_safe(out, r->partition_key, strlen(r->partition_key));
        (void)fputc('\n', out);
    }
    if (look->is_terminal)
        text_print_safe(out, r->data, r->size);
    else
        (void)fwrite(r->data, 1, r->size, out);
    if (r->size == 0 || r->data[r->size - 1] != '\n')
        (void)fputc('\n', out);
}

/* ---- shards ---- */

static int
open_shards(struct tail *t, struct err *e)
{
    struct target_shard *shards = NULL;
    size_t n = 0;
    int rc = 0;

    if (kinesis_list_shards(t->k, t->o->from_latest, &shards, &n, e) != 0)
        return -1;
    t->shards = calloc(n > 0 ? n : 1, sizeof(t->shards[0]));
    CHECK(t->shards != NULL);
    /* Parents before children: records of a key stay in order across a resharding. */
    for (int closed = 1; closed >= 0; closed--)
        for (size_t i = 0; i < n; i++)
            if (shards[i].is_open != (closed == 1))
                memcpy(t->shards[t->n++].id, shards[i].id, sizeof(t->shards[0].id));
    for (size_t i = 0; i < t->n && rc == 0; i++)
        rc = kinesis_get_iterator(t->k, t->shards[i].id,
                                  t->o->from_latest ? KINESIS_START_LATEST : KINESIS_START_OLDEST,
                                  0, NULL, &t->shards[i].iterator, e);
    free(shards);
    return rc;
}

static bool
is_done(const struct tail *t)
{
    return stop_asked || ferror(stdout) || (t->o->limit > 0 && t->printed >= t->o->limit);
}

/* Takes up where the last record printed left off, when the iterator has become too old. */
static int
renew(struct tail *t, struct shard_cursor *c, struct err *e)
{
    enum kinesis_start start = KINESIS_START_AFTER;

    if (c->last[0] == '\0')
        start = t->o->from_latest ? KINESIS_START_LATEST : KINESIS_START_OLDEST;
    free(c->iterator);
    c->iterator = NULL;
    return kinesis_get_iterator(t->k, c->id, start, 0, c->last, &c->iterator, e);
}

/* One call.  1 = there was something or more is to come, 0 = at the shard's end, -1 = error. */
static int
read_shard(struct tail *t, struct shard_cursor *c, struct err *e)
{
    struct kinesis_batch b;
    unsigned long limit = BATCH;
    int more;

    if (t->o->limit > 0 && t->o->limit - t->printed < limit)
        limit = t->o->limit - t->printed;
    if (kinesis_get_records(t->k, c->iterator, (uint32_t)limit, &b, e) != 0) {
        if (e->code == ERR_THROTTLED)
            return 1;
        return e->code == ERR_STREAM && renew(t, c, e) == 0 ? 1 : -1;
    }
    for (size_t i = 0; i < b.n && !is_done(t); i++) {
        tail_print(stdout, c->id, &b.records[i], &t->o->look);
        (void)snprintf(c->last, sizeof(c->last), "%s", b.records[i].sequence);
        t->printed++;
    }
    (void)fflush(stdout);
    free(c->iterator);
    c->iterator = b.next_iterator != NULL ? strdup(b.next_iterator) : NULL;
    more = c->iterator != NULL && (b.n > 0 || b.behind_ms > 0);
    kinesis_batch_free(&b);
    return more;
}

static void
pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    (void)nanosleep(&t, NULL);
}

/* Without --follow a shard is read to its present end, then the next. */
static int
read_all(struct tail *t, struct err *e)
{
    bool any;

    do {
        any = false;
        for (size_t i = 0; i < t->n && !is_done(t); i++) {
            struct shard_cursor *c = &t->shards[i];
            int rc = 1;

            while (rc == 1 && c->iterator != NULL && !is_done(t)) {
                rc = read_shard(t, c, e);
                if (rc < 0)
                    return -1;
                if (e->code == ERR_THROTTLED) {
                    err_clear(e);
                    pause_ms(FOLLOW_MS);
                }
            }
            any = any || c->iterator != NULL;
        }
        if (t->o->is_followed && any && !is_done(t))
            pause_ms(FOLLOW_MS);
    } while (t->o->is_followed && any && !is_done(t));
    return 0;
}

/* ---- arguments ---- */

static int
print_help(void)
{
    (void)printf("usage: weirctl %s\n\n"
                 "Prints the records of the task's stream, or of any stream, as they lie there.\n"
                 "Order holds within a shard.\n"
                 "  --endpoint   a Kinesis endpoint other than AWS's own\n"
                 "  --from       trim: the oldest there is (default); latest: what comes\n"
                 "  --limit      stop after N records\n"
                 "  --follow     go on with what comes, until Ctrl-C\n"
                 "  --json       one object a line, with shard, sequence number and key\n"
                 "  --metadata   a line with shard, sequence number and key before each\n",
                 USAGE);
    return WEIRCTL_OK;
}

/* -1 = go on, else the exit status. */
static int
parse(int argc, char **argv, struct options *o)
{
    static const struct option long_options[] = {{"stream", required_argument, NULL, 's'},
                                                 {"endpoint", required_argument, NULL, 'e'},
                                                 {"from", required_argument, NULL, 'f'},
                                                 {"limit", required_argument, NULL, 'l'},
                                                 {"follow", no_argument, NULL, 'F'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {"metadata", no_argument, NULL, 'm'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {NULL, 0, NULL, 0}};
    int c;

    *o = (struct options){.endpoint = ""};
    opterr = 0;
    while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        bool is_right = c != '?';

        if (c == 'h')
            return print_help();
        if (c == 's')
            o->stream = optarg;
        else if (c == 'e')
            o->endpoint = optarg;
        else if (c == 'f')
            is_right = strcmp(optarg, "trim") == 0 || strcmp(optarg, "latest") == 0;
        else if (c == 'l')
            is_right = weirctl_number(optarg, 1, 1000000000, &o->limit);
        o->from_latest = c == 'f' ? strcmp(optarg, "latest") == 0 : o->from_latest;
        o->is_followed = o->is_followed || c == 'F';
        o->look.as_json = o->look.as_json || c == 'j';
        o->look.has_metadata = o->look.has_metadata || c == 'm';
        if (!is_right)
            return weirctl_usage(USAGE);
    }
    if (optind < argc)
        o->path = argv[optind++];
    if (optind < argc || (o->path == NULL && o->stream == NULL) ||
        (o->path != NULL && o->stream != NULL))
        return weirctl_usage(USAGE);
    /* From the newest on there is nothing yet. */
    o->is_followed = o->is_followed || o->from_latest;
    return -1;
}

static const char *
region(void)
{
    const char *r = getenv("AWS_REGION");

    if (r == NULL || r[0] == '\0')
        r = getenv("AWS_DEFAULT_REGION");
    return r != NULL && r[0] != '\0' ? r : "us-east-1";
}

static int
run(const struct options *o, const struct kinesis_config *config)
{
    struct tail t = {.o = o};
    struct err e = ERR_INIT;
    const struct sigaction action = {.sa_handler = ask_stop};
    int rc;

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    rc = kinesis_open(config, &t.k, &e);
    if (rc == 0)
        rc = open_shards(&t, &e);
    if (rc == 0)
        rc = read_all(&t, &e);
    for (size_t i = 0; i < t.n; i++)
        free(t.shards[i].iterator);
    free(t.shards);
    kinesis_close(&t.k);
    return rc == 0 ? WEIRCTL_OK : weirctl_fail("tail", &e, WEIRCTL_PROBLEMS);
}

/* What the stream is and where.  -1 = go on, else the exit status. */
static int
resolve(const struct options *o, char *arn, size_t size, struct kinesis_config *config,
        struct task **task)
{
    int status;

    config->endpoint_url = o->endpoint;
    if (o->path != NULL) {
        status = weirctl_load("tail", o->path, task);
        if (status != WEIRCTL_OK)
            return status;
        if (strcmp((*task)->target.engine_name, "kinesis") != 0) {
            (void)fprintf(stderr, "weirctl tail: the task writes files; they are in %s\n",
                          (*task)->target.file_directory);
            return WEIRCTL_USAGE;
        }
        config->stream_arn = (*task)->target.stream_arn;
        config->ca_file = (*task)->target.ca_file;
        if (o->endpoint[0] == '\0')
            config->endpoint_url = (*task)->target.endpoint_url;
        return -1;
    }
    config->stream_arn = o->stream != NULL ? o->stream : "";
    if (strncmp(config->stream_arn, "arn:", 4) == 0)
        return -1;
    if (o->endpoint[0] == '\0') {
        (void)fprintf(stderr,
                      "weirctl tail: a stream at AWS is named by its ARN; "
                      "`aws kinesis describe-stream-summary --stream-name %s` prints it\n",
                      config->stream_arn);
        return WEIRCTL_USAGE;
    }
    /* AWS needs the account; emulators take any. */
    (void)snprintf(arn, size, FOREIGN_ARN, region(), config->stream_arn);
    config->stream_arn = arn;
    return -1;
}

int
tail_command(int argc, char **argv)
{
    struct options o;
    struct kinesis_config config = {.ca_file = "", .timeout_ms = TIMEOUT_MS, .wake_fd = -1};
    struct task *task = NULL;
    char arn[512];
    int status = parse(argc, argv, &o);

    if (status < 0)
        status = resolve(&o, arn, sizeof(arn), &config, &task);
    if (status >= 0)
        return status;
    o.look.is_terminal = isatty(STDOUT_FILENO) != 0;
    status = run(&o, &config);
    task_free(&task);
    return status;
}
