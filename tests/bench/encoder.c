/* uses: encoder */
/*
 * figures: encoder.invoices encoder.unformatted
 *
 * One encoder between real rings, one thread: the test fills the change ring with rows of
 * invoices, the encoder's turns are timed by the processor time they take, the test empties
 * the record ring.  The limit is copying the same records, one memcpy each, between two blocks
 * of the ring's size.  Median of interleaved runs.
 *
 * encoder --count N encodes N rows once and prints nothing: for callgrind.
 */
#include "encoder/encoder.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/record.h"
#include "common/stage.h"
#include "common/stats.h"
#include "common/topology.h"
#include "tests/unit/encoder_help.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RING_SIZE (16ULL << 20)
#define BATCH     16384 /* rows that fit both rings */
#define RUNS      9
#define BATCHES   12

static const struct help_column columns[] = {
    {.name = "invoice_id", .type = DMS_INT4, .key = 1},
    {.name = "customer_id", .type = DMS_INT4},
    {.name = "billing_date", .type = DMS_DATE, .nullable = true},
    {.name = "due_date", .type = DMS_DATE, .nullable = true},
    {.name = "balance", .type = DMS_INT4, .nullable = true},
    {.name = "monthly_kwh_use", .type = DMS_INT4, .nullable = true},
    {.name = "note", .type = DMS_STRING, .length = 50, .nullable = true},
};

struct bench {
    char dir[64];
    char state[80];
    struct task task;
    struct topology topo;
    struct stage stage;
    struct ring *input;
    struct encoder *encoder;
    struct channel *output;
    char *from; /* the copies */
    char *to;
    uint32_t next_row;
};

static void
must(int rc, const struct err *e)
{
    if (rc >= 0)
        return;
    (void)fprintf(stderr, "encoder bench: %s\n", e->text);
    exit(1);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void
set_up(struct bench *b, enum message_format format)
{
    struct err e = ERR_INIT;
    char path[TOPOLOGY_PATH_MAX];
    struct table_def *table = help_table(1, "dbo", "invoices", columns, 7);
    struct ring_config in = {
        .name = "change.0", .capacity = RING_SIZE, .generation = 1, .record_format = EVENT_FORMAT};
    struct channel_config out = {.ring = {.name = "record.0.0",
                                          .capacity = RING_SIZE,
                                          .generation = 1,
                                          .record_format = RECORD_FORMAT}};
    bool created;

    memset(b, 0, sizeof(*b));
    (void)snprintf(b->dir, sizeof(b->dir), "%s/weir-bench.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(b->dir) == NULL)
        must(err_set(&e, ERR_IO, "%s", b->dir), &e);
    (void)snprintf(b->state, sizeof(b->state), "%s/state", b->dir);
    help_task(&b->task);
    b->task.target.message_format = format;
    b->task.weir.runtime_directory = b->dir;
    b->task.weir.state_directory = b->state;
    b->task.weir.change_ring_size = RING_SIZE;
    b->task.weir.record_ring_size = RING_SIZE;
    b->topo = (struct topology){.generation = 1, .encoders = 1, .shippers = 1};
    (void)mkdir(b->state, 0750);
    (void)mkdir(topology_ring_directory(&b->task, &b->topo, path), 0750);
    must(catalog_write(b->state, table, &e), &e);
    catalog_table_free(&table);
    in.path = topology_change_ring(&b->task, &b->topo, 0, path);
    must(ring_open_producer(&in, &b->input, &created, &e), &e);
    b->stage = (struct stage){.name = "encoder.0", .task = &b->task, .stop_fd = -1};
    must(stats_create(&(struct stats_config){.path = topology_stats(&b->task, "encoder.0", path),
                                             .stage = "encoder.0",
                                             .task = "bench",
                                             .tables = 16},
                      &b->stage.stats, &e),
         &e);
    must(encoder_open(&b->stage, &b->topo, &b->encoder, &e), &e);
    out.ring.path = topology_record_ring(&b->task, &b->topo, 0, 0, path);
    must(channel_open_consumer(&out, &b->output, &e), &e);
    b->from = malloc(RING_SIZE);
    b->to = malloc(RING_SIZE);
    memset(b->from, 1, RING_SIZE);
    memset(b->to, 1, RING_SIZE);
}

static void
tear_down(struct bench *b)
{
    encoder_close(&b->encoder);
    channel_close(&b->output);
    ring_close(&b->input);
    stats_close(&b->stage.stats);
    free(b->from);
    free(b->to);
    (void)nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Rows of transactions of ten, each with a text of 35 to 50 characters. */
static void
fill(struct bench *b, uint32_t rows)
{
    static const char note[] = "paid by bank transfer, thank you very much indeed.";
    static const struct ring_meta meta = {.type = RING_DATA, .table_id = 1};
    struct ring_source source = {0};
    struct err e = ERR_INIT;
    uint8_t buf[1024];

    for (uint32_t i = 0; i < rows; i++) {
        uint32_t n = b->next_row++;
        struct value row[] = {
            HELP_INT(100000 + n),
            HELP_INT(n * 7 % 50000),
            HELP_DATE(20000 + (int32_t)(n % 700)),
            HELP_DATE(20030 + (int32_t)(n % 700)),
            HELP_INT(n % 90000),
            HELP_INT(n % 900),
            {.kind = VALUE_TEXT, .bytes = {.data = note, .size = 35 + n % 16}},
        };
        struct event ev = help_event(EVENT_INSERT, 1, row, 7);

        ev.transaction_id[3] = (uint8_t)(n / 10 >> 16);
        ev.transaction_id[4] = (uint8_t)(n / 10 >> 8);
        ev.transaction_id[5] = (uint8_t)(n / 10);
        ev.record_number = n % 10 + 1;
        must(ring_write(b->input, &meta, buf, event_encode(&ev, buf), &e), &e);
    }
    source.words[0] = b->next_row;
    ring_publish(b->input, &source);
}

static int64_t
thread_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* Processor time of encoding everything there is. */
static int64_t
encode(struct bench *b)
{
    struct err e = ERR_INIT;
    int64_t from = thread_ns();
    int rc;

    while ((rc = encoder_turn(b->encoder, 0, &e)) == 1)
        ;
    must(rc, &e);
    return thread_ns() - from;
}

/* Empties the record ring; returns the processor time of copying records of these sizes. */
static int64_t
copy(struct bench *b, uint32_t rows)
{
    static uint32_t sizes[BATCH];
    struct err e = ERR_INIT;
    struct ring_view v;
    uint32_t n = 0;
    size_t at = 0;
    int64_t from;
    int rc;

    while ((rc = channel_next(b->output, &v, &e)) == 1) {
        memcpy(b->from + at, v.data, v.len);
        at += v.len;
        sizes[n++] = v.len;
        channel_release(b->output, v.end);
    }
    must(rc, &e);
    if (n != rows)
        must(err_set(&e, ERR_DATA, "%u records of %u rows", n, rows), &e);
    at = 0;
    from = thread_ns();
    for (uint32_t i = 0; i < n; i++) {
        memcpy(b->to + at, b->from + at, sizes[i]);
        __asm__ volatile("" : : "r"(b->to + at) : "memory");
        at += sizes[i];
    }
    return thread_ns() - from;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void
measure(const char *name, enum message_format format)
{
    struct bench b;
    double rates[RUNS];
    double ratios[RUNS];

    set_up(&b, format);
    for (int run = -1; run < RUNS; run++) { /* the first warms up */
        int64_t encoded = 0;
        int64_t copied = 0;

        for (int i = 0; i < BATCHES; i++) {
            fill(&b, BATCH);
            encoded += encode(&b);
            copied += copy(&b, BATCH);
        }
        if (run < 0)
            continue;
        rates[run] = (double)BATCH * BATCHES * 1e9 / (double)encoded;
        ratios[run] = (double)copied / (double)encoded;
    }
    qsort(rates, RUNS, sizeof(rates[0]), compare);
    qsort(ratios, RUNS, sizeof(ratios[0]), compare);
    printf("%s: %.0f to %.0f messages/s\n", name, rates[0], rates[RUNS - 1]);
    printf("figure\t%s\t%.0f\tmessages/s\t%.3f\tmemory copy of the same records\n", name,
           rates[RUNS / 2], ratios[RUNS / 2]);
    tear_down(&b);
}

int
main(int argc, char **argv)
{
    log_init("bench", LOG_ERROR);
    if (argc == 3 && strcmp(argv[1], "--count") == 0) {
        uint32_t rows = (uint32_t)strtoul(argv[2], NULL, 10);
        struct bench b;

        if (rows == 0 || rows > BATCH) {
            (void)fprintf(stderr, "encoder bench: --count takes 1 to %d\n", BATCH);
            return 2;
        }
        set_up(&b, FORMAT_JSON_UNFORMATTED);
        fill(&b, rows);
        (void)encode(&b);
        tear_down(&b);
        return 0;
    }
    measure("encoder.invoices", FORMAT_JSON);
    measure("encoder.unformatted", FORMAT_JSON_UNFORMATTED);
    return 0;
}
