/*
 * feed_records - stands for capture and all encoders before a shipper under test.
 *
 *   feed_records TASK RECORDS KEYS SIZE [RATE]
 *
 * Writes the topology and a catalogue of one table, makes the record rings and fills them: record
 * i has the partition key "key-<i % KEYS>", the position i and the data
 * {"key":..,"n":<count of the key>,"i":<i>,"pad":..} of about SIZE bytes; a SIZE of 0 makes
 * every thousandth record larger than an eighth of the ring.  Watermarks go to all rings at
 * random distances.  Prints "written" when all are published and "drained" when all are
 * released, then keeps heartbeats and watermarks going until its standard input ends.
 * WEIR_SEED changes the distances.
 */
#include "common/catalog.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/event.h"
#include "common/file.h"
#include "common/record.h"
#include "common/task.h"
#include "common/topology.h"

#include <openssl/evp.h>
#include <poll.h>
#include <unistd.h>

#define TABLE_ID 1

struct feeder {
    struct task *task;
    struct topology topology;
    struct channel *rings[64][64];
    uint64_t records;
    uint64_t n_keys;
    uint64_t size;
    uint64_t rate;
    uint64_t *counts; /* of each key */
    uint64_t random;
    uint64_t next; /* record to write */
    char *room;
};

static void
die(const struct err *e)
{
    char text[2048];

    (void)fprintf(stderr, "feed_records: %s\n", err_format(e, text, sizeof(text)));
    exit(1);
}

static uint64_t
roll(struct feeder *f)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
}

static void
position_of(uint64_t i, struct position *out)
{
    struct position_sqlserver p = {.command_id = -1, .operation = 2};

    for (int at = 0; at < 8; at++)
        p.start_lsn[LSN_SIZE - 1 - at] = p.seqval[LSN_SIZE - 1 - at] = (uint8_t)(i >> (8 * at));
    position_from_sqlserver(&p, out);
}

static void
write_catalogue(struct feeder *f, struct err *e)
{
    char name[] = "i";
    char type[] = "bigint";
    char schema[] = "dbo";
    char table[] = "fed";
    struct column_def column = {.name = name, .source_type = type, .type = DMS_INT8};
    struct table_def def = {.id = TABLE_ID,
                            .version = 1,
                            .schema = schema,
                            .name = table,
                            .n_columns = 1,
                            .columns = &column};

    if (catalog_write(f->task->weir.state_directory, &def, e) != 0)
        die(e);
}

static void
open_rings(struct feeder *f, struct err *e)
{
    char directory[TOPOLOGY_PATH_MAX];
    char path[TOPOLOGY_PATH_MAX];
    char name[32];

    (void)topology_ring_directory(f->task, &f->topology, directory);
    if (file_make_directory(directory, 0750, e) != 0)
        die(e);
    for (uint32_t i = 0; i < f->topology.encoders; i++) {
        for (uint32_t j = 0; j < f->topology.shippers; j++) {
            struct channel_config config = {
                .ring = {.path = topology_record_ring(f->task, &f->topology, i, j, path),
                         .name = name,
                         .capacity = f->task->weir.record_ring_size,
                         .generation = f->topology.generation,
                         .record_format = RECORD_FORMAT,
                         .checksum = true}};
            bool created;

            (void)snprintf(name, sizeof(name), "record.%u.%u", i, j);
            if (channel_open_producer(&config, &f->rings[i][j], &created, e) != 0)
                die(e);
        }
    }
}

static void
each_ring(struct feeder *f, void (*act)(struct feeder *f, struct channel *c))
{
    for (uint32_t i = 0; i < f->topology.encoders; i++) {
        for (uint32_t j = 0; j < f->topology.shippers; j++)
            act(f, f->rings[i][j]);
    }
}

static void
publish(struct feeder *f, struct channel *c)
{
    struct ring_source source = {.epoch = 1, .words = {f->next}};

    channel_publish(c, &source);
}

static void
beat(struct feeder *f, struct channel *c)
{
    struct err e = ERR_INIT;

    (void)f;
    if (channel_heartbeat(c, &e) != 0)
        die(&e);
}

static void
write_message(struct feeder *f, struct channel *c, const struct ring_meta *meta, const void *data,
              uint64_t size)
{
    struct err e = ERR_INIT;
    int rc;

    while ((rc = channel_write(c, meta, data, size, &e)) == 0) {
        each_ring(f, publish);
        each_ring(f, beat);
        (void)channel_wait_room(c, size, 100);
    }
    if (rc < 0)
        die(&e);
}

static void
send_watermark(struct feeder *f, struct channel *c)
{
    struct ring_meta meta = {.type = RING_CONTROL};
    struct watermark m = {.kind = WATERMARK,
                          .format = RECORD_FORMAT,
                          .generation = f->topology.generation,
                          .commit_real_ns = clock_real_ns(),
                          .captured_mono_ns = clock_mono_ns()};

    position_of(f->next, &m.position); /* positions count from 1: all before next is out */
    write_message(f, c, &meta, &m, sizeof(m));
    publish(f, c);
}

static void
send_record(struct feeder *f)
{
    uint64_t i = f->next;
    uint64_t k = i % f->n_keys;
    struct record_head *h = (struct record_head *)(void *)f->room;
    char *key = f->room + sizeof(*h);
    struct ring_meta meta = {.type = RING_DATA, .table_id = TABLE_ID};
    uint64_t size = f->size;
    struct channel *c;
    char *data;
    int n;

    if (size == 0)
        size = i % 1000 == 999 ? f->task->weir.record_ring_size / 6 : 300;
    *h = (struct record_head){.commit_real_ns = clock_real_ns(),
                              .captured_mono_ns = clock_mono_ns(),
                              .operation = EVENT_INSERT};
    position_of(i + 1, &h->position);
    h->key_size = (uint32_t)snprintf(key, 64, "key-%llu", (unsigned long long)k);
    data = key + h->key_size;
    n = snprintf(data, 200, "{\"key\":\"key-%llu\",\"n\":%llu,\"i\":%llu,\"pad\":\"",
                 (unsigned long long)k, (unsigned long long)f->counts[k]++, (unsigned long long)i);
    for (; (uint64_t)n + 3 < size; n++)
        data[n] = (char)('a' + n % 26);
    memcpy(data + n, "\"}\n", 3);
    h->data_size = (uint32_t)n + 3;
    CHECK(EVP_Digest(key, h->key_size, h->hash, NULL, EVP_md5(), NULL) == 1);
    c = f->rings[k % f->topology.encoders][topology_shipper_of(h->hash, f->topology.shippers)];
    write_message(f, c, &meta, f->room, sizeof(*h) + h->key_size + h->data_size);
    if (channel_publish_due(c))
        publish(f, c);
    f->next++;
}

static void
feed(struct feeder *f)
{
    int64_t start_ns = clock_mono_ns();
    uint64_t mark = 0;

    while (f->next < f->records) {
        if (f->rate > 0 && f->next % 10 == 0) {
            int64_t due_ns = start_ns + (int64_t)(f->next * (uint64_t)NS_PER_S / f->rate);
            int64_t left_ns = due_ns - clock_mono_ns();

            if (left_ns > NS_PER_MS) {
                each_ring(f, publish);
                (void)poll(NULL, 0, (int)(left_ns / NS_PER_MS));
            }
        }
        send_record(f);
        if (f->next >= mark) {
            each_ring(f, send_watermark);
            each_ring(f, beat);
            mark = f->next + 1 + roll(f) % 500;
        }
    }
    each_ring(f, publish);
    each_ring(f, send_watermark);
}

static bool
is_drained(const struct feeder *f)
{
    for (uint32_t i = 0; i < f->topology.encoders; i++) {
        for (uint32_t j = 0; j < f->topology.shippers; j++) {
            if (channel_backlog(f->rings[i][j]) > 0)
                return false;
        }
    }
    return true;
}

static void
idle(struct feeder *f)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    bool told = false;

    (void)puts("written");
    (void)fflush(stdout);
    while (poll(&in, 1, 50) == 0) {
        each_ring(f, beat);
        if (!told && is_drained(f)) {
            told = true;
            (void)puts("drained");
            (void)fflush(stdout);
        }
        if (told)
            each_ring(f, send_watermark);
    }
}

int
main(int argc, char **argv)
{
    static struct feeder f;
    struct err e = ERR_INIT;
    const char *seed = getenv("WEIR_SEED");

    if (argc < 5) {
        (void)fprintf(stderr, "usage: feed_records TASK RECORDS KEYS SIZE [RATE]\n");
        return 2;
    }
    if (task_load(argv[1], &f.task, &e) != 0)
        die(&e);
    f.records = strtoull(argv[2], NULL, 10);
    f.n_keys = strtoull(argv[3], NULL, 10);
    f.size = strtoull(argv[4], NULL, 10);
    f.rate = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
    f.random = seed != NULL ? strtoull(seed, NULL, 10) | 1 : 88172645463325252ULL;
    f.counts = calloc(f.n_keys, sizeof(*f.counts));
    f.room = calloc(1, f.task->weir.record_ring_size);
    CHECK(f.counts != NULL && f.room != NULL);
    f.topology = (struct topology){
        .generation = 1, .encoders = f.task->weir.encoders, .shippers = f.task->weir.shippers};
    if (file_make_directory(f.task->weir.state_directory, 0750, &e) != 0)
        die(&e);
    write_catalogue(&f, &e);
    open_rings(&f, &e);
    if (topology_write(f.task, &f.topology, &e) != 0)
        die(&e);
    feed(&f);
    idle(&f);
    for (uint32_t i = 0; i < f.topology.encoders; i++) {
        for (uint32_t j = 0; j < f.topology.shippers; j++)
            channel_close(&f.rings[i][j]);
    }
    task_free(&f.task);
    free(f.counts);
    free(f.room);
    return 0;
}
