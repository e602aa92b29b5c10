/*
 * The ring against what two cores can hand each other at all.
 * figures: ring.256 ring.1024 ring.latency
 *
 * Two processes, each pinned to a core of its own.  Measured on the spot: the round trip of one
 * line, and blocks of 16 KiB copied in by one side and out by the other through the same amount
 * of memory.  Runs of the ring and of the blocks alternate; a round in which the blocks moved by
 * more than 15 % is thrown away, because then the machine was not ours alone.
 */
#include "common/ring.h"
#include "common/clock.h"
#include "common/err.h"

#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK       16384U
#define AREA        (4U << 20)
#define ROUNDS      9
#define RUN_BYTES   (1ULL << 30)
#define PING_ROUNDS 200000
#define MESSAGES    5000
#define MOVED_MAX   0.15

/* What the two processes share besides the ring. */
struct board {
    _Alignas(128) _Atomic uint64_t ready;
    _Alignas(128) _Atomic uint64_t ping;
    _Alignas(128) _Atomic uint64_t pong;
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) double cpu_s; /* of the child's last run */
    _Alignas(128) int64_t latency_ns[MESSAGES];
    _Alignas(4096) uint8_t area[AREA];
};

static struct board *board;
static char ring_path[64];
static int cores[2];

static void
die(const char *what, const struct err *e)
{
    char text[2048];

    (void)fprintf(stderr, "ring bench: %s: %s\n", what, err_format(e, text, sizeof(text)));
    exit(1);
}

static void
pin(int core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

static void
find_cores(void)
{
    cpu_set_t set;
    int found = 0;

    (void)sched_getaffinity(0, sizeof(set), &set);
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET((size_t)i, &set))
            cores[found++] = i;
    if (found < 2) {
        (void)printf("ring bench: skipped, it needs two cores\n");
        exit(0);
    }
}

static void
relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static double
own_cpu_s(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Forks the other side, pinned, and returns when it is ready to go. */
static pid_t
start_peer(void (*work)(const void *), const void *arg)
{
    pid_t pid;

    atomic_store(&board->ready, 0);
    pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(cores[1]);
        work(arg);
        _exit(0);
    }
    while (atomic_load(&board->ready) == 0)
        relax();
    return pid;
}

static void
end_peer(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status != 0) {
        (void)fprintf(stderr, "ring bench: the other side failed, status 0x%x\n", status);
        exit(1);
    }
}

/* ---- limits ---- */

static void
answer_pings(const void *arg)
{
    (void)arg;
    atomic_store(&board->ready, 1);
    for (uint64_t i = 1; i <= PING_ROUNDS; i++) {
        while (atomic_load_explicit(&board->ping, memory_order_acquire) != i)
            continue;
        atomic_store_explicit(&board->pong, i, memory_order_release);
    }
}

static double
ping_pong_ns(void)
{
    int64_t start;
    pid_t pid;

    atomic_store(&board->ping, 0);
    atomic_store(&board->pong, 0);
    pid = start_peer(answer_pings, NULL);
    start = clock_mono_ns();
    for (uint64_t i = 1; i <= PING_ROUNDS; i++) {
        atomic_store_explicit(&board->ping, i, memory_order_release);
        while (atomic_load_explicit(&board->pong, memory_order_acquire) != i)
            continue;
    }
    start = clock_mono_ns() - start;
    end_peer(pid);
    return (double)start / PING_ROUNDS;
}

#define BLOCKS (AREA / BLOCK)

static void
take_blocks(const void *arg)
{
    static uint8_t private[BLOCK];
    uint64_t n = *(const uint64_t *)arg;

    atomic_store(&board->ready, 1);
    for (uint64_t i = 0; i < n; i++) {
        while (atomic_load_explicit(&board->tail, memory_order_acquire) <= i)
            relax();
        memcpy(private, board->area + i % BLOCKS * BLOCK, BLOCK);
        __asm__ volatile("" ::"r"(private) : "memory");
        atomic_store_explicit(&board->head, i + 1, memory_order_release);
    }
}

/* GB/s of blocks copied in and copied out. */
static double
block_rate(void)
{
    static uint8_t private[BLOCK];
    uint64_t n = RUN_BYTES / BLOCK;
    int64_t start;
    pid_t pid;

    atomic_store(&board->tail, 0);
    atomic_store(&board->head, 0);
    pid = start_peer(take_blocks, &n);
    start = clock_mono_ns();
    for (uint64_t i = 0; i < n; i++) {
        while (i - atomic_load_explicit(&board->head, memory_order_acquire) >= BLOCKS)
            relax();
        memcpy(board->area + i % BLOCKS * BLOCK, private, BLOCK);
        atomic_store_explicit(&board->tail, i + 1, memory_order_release);
    }
    while (atomic_load_explicit(&board->head, memory_order_acquire) != n)
        relax();
    start = clock_mono_ns() - start;
    end_peer(pid);
    return (double)(n * BLOCK) / (double)start;
}

/* GB/s of a plain copy between two buffers of size bytes in one process. */
static double
copy_rate(size_t size, uint64_t bytes)
{
    uint8_t *from = malloc(size);
    uint8_t *to = malloc(size);
    int64_t start;

    if (from == NULL || to == NULL)
        exit(1);
    memset(from, 1, size);
    memset(to, 2, size);
    start = clock_mono_ns();
    for (uint64_t done = 0; done < bytes; done += size) {
        memcpy(to, from, size);
        __asm__ volatile("" ::"r"(to), "r"(from) : "memory");
    }
    start = clock_mono_ns() - start;
    free(from);
    free(to);
    return (double)bytes / (double)start;
}

/* ---- the ring ---- */

struct run {
    struct ring_config config;
    uint32_t len;
    uint64_t batch; /* records a publish; 0 = as ring_publish_due() says */
    uint64_t records;
    double gb_per_s;
    double producer_cpu_ns; /* per record */
    double consumer_cpu_ns;
};

static void
take_records(const void *arg)
{
    static uint8_t private[BLOCK];
    const struct run *run = arg;
    struct err e = ERR_INIT;
    struct ring *c;
    double cpu;

    if (ring_open_consumer(&run->config, &c, &e) != 0)
        die("consumer", &e);
    atomic_store(&board->ready, 1);
    cpu = own_cpu_s();
    for (uint64_t i = 0; i < run->records;) {
        struct ring_view v;
        int rc = ring_next(c, &v, &e);

        if (rc < 0)
            die("next", &e);
        if (rc == 0) {
            relax();
            continue;
        }
        memcpy(private, v.data, v.len);
        __asm__ volatile("" ::"r"(private) : "memory");
        ring_release(c, v.end);
        i++;
    }
    board->cpu_s = own_cpu_s() - cpu;
    ring_close(&c);
    atomic_store(&board->head, 1);
}

static void
ring_run(struct run *run)
{
    static uint8_t private[BLOCK];
    struct ring_meta meta = {.type = RING_DATA, .table_id = 1};
    struct ring_source source = {.epoch = 1};
    struct err e = ERR_INIT;
    struct ring *p;
    bool created;
    int64_t start;
    double cpu;
    pid_t pid;

    (void)unlink(run->config.path);
    if (ring_open_producer(&run->config, &p, &created, &e) != 0)
        die("producer", &e);
    atomic_store(&board->head, 0);
    pid = start_peer(take_records, run);
    cpu = own_cpu_s();
    start = clock_mono_ns();
    for (uint64_t i = 0; i < run->records; i++) {
        void *at;
        int rc;

        while ((rc = ring_reserve(p, run->len, &at, &e)) == 0) {
            ring_publish(p, &source);
            relax();
        }
        if (rc < 0)
            die("reserve", &e);
        memcpy(at, private, run->len);
        meta.src_pos = i;
        ring_commit(p, &meta, run->len);
        source.words[0] = i;
        if (run->batch == 0 ? ring_publish_due(p) : i % run->batch == 0)
            ring_publish(p, &source);
    }
    ring_publish(p, &source);
    while (atomic_load(&board->head) == 0)
        relax();
    start = clock_mono_ns() - start;
    cpu = own_cpu_s() - cpu;
    end_peer(pid);
    ring_close(&p);
    run->gb_per_s = (double)(run->records * run->len) / (double)start;
    run->producer_cpu_ns = cpu * 1e9 / (double)run->records;
    run->consumer_cpu_ns = board->cpu_s * 1e9 / (double)run->records;
}

static struct run
make_run(uint32_t len, uint64_t batch, uint64_t capacity, uint64_t bytes, bool checksum)
{
    return (struct run){.config = {.path = ring_path,
                                   .name = "bench",
                                   .capacity = capacity,
                                   .generation = 1,
                                   .record_format = 1,
                                   .checksum = checksum},
                        .len = len,
                        .batch = batch,
                        .records = bytes / len};
}

/* ---- latency ---- */

static void
take_stamps(const void *arg)
{
    const struct run *run = arg;
    struct err e = ERR_INIT;
    struct ring *c;

    if (ring_open_consumer(&run->config, &c, &e) != 0)
        die("consumer", &e);
    atomic_store(&board->ready, 1);
    for (int i = 0; i < MESSAGES;) {
        struct ring_view v;

        if (run->batch != 0)
            (void)ring_wait_data(&c, 1, 1000);
        if (ring_next(c, &v, &e) != 1)
            continue;
        board->latency_ns[i++] = clock_mono_ns() - (int64_t)v.src_pos;
        ring_release(c, v.end);
    }
    ring_close(&c);
}

static int
by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* One message of 256 bytes each 100 us; sorts board->latency_ns. */
static void
measure_latency(bool parked)
{
    struct run run = make_run(256, parked ? 1 : 0, AREA, 256, true);
    struct ring_meta meta = {.type = RING_DATA};
    struct err e = ERR_INIT;
    uint8_t payload[256] = {0};
    struct ring *p;
    int64_t next;
    bool created;
    pid_t pid;

    (void)unlink(ring_path);
    if (ring_open_producer(&run.config, &p, &created, &e) != 0)
        die("producer", &e);
    pid = start_peer(take_stamps, &run);
    next = clock_mono_ns();
    for (int i = 0; i < MESSAGES; i++) {
        next += 100000;
        while (clock_mono_ns() < next)
            relax();
        meta.src_pos = (uint64_t)clock_mono_ns();
        (void)ring_write(p, &meta, payload, sizeof(payload), &e);
        ring_publish(p, &(struct ring_source){.words = {meta.src_pos}});
    }
    end_peer(pid);
    ring_close(&p);
    qsort(board->latency_ns, MESSAGES, sizeof(board->latency_ns[0]), by_value);
}

static void
sit_idle(const void *arg)
{
    const struct run *run = arg;
    struct err e = ERR_INIT;
    struct ring *c;

    if (ring_open_consumer(&run->config, &c, &e) != 0)
        die("consumer", &e);
    atomic_store(&board->ready, 1);
    board->cpu_s = own_cpu_s();
    (void)ring_wait_data(&c, 1, 2000);
    board->cpu_s = own_cpu_s() - board->cpu_s;
    ring_close(&c);
}

/* Per cent of a core that a parked consumer takes. */
static double
idle_percent(void)
{
    struct run run = make_run(256, 0, AREA, 256, true);
    struct err e = ERR_INIT;
    struct ring *p;
    bool created;

    (void)unlink(ring_path);
    if (ring_open_producer(&run.config, &p, &created, &e) != 0)
        die("producer", &e);
    end_peer(start_peer(sit_idle, &run));
    ring_close(&p);
    return board->cpu_s / 2.0 * 100;
}

/* ---- figures ---- */

static int
by_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof(*values), by_double);
    return values[n / 2];
}

static void
throughput_figure(uint32_t len)
{
    double rates[ROUNDS];
    double ratios[ROUNDS];
    double all[ROUNDS];
    int kept = 0;

    for (int i = 0; i < ROUNDS; i++) {
        struct run run = make_run(len, 0, AREA, RUN_BYTES, false);
        double before = block_rate();
        double after;

        ring_run(&run);
        after = block_rate();
        all[i] = run.gb_per_s / ((before + after) / 2);
        (void)printf("  %4u B: blocks %5.2f and %5.2f, ring %5.2f GB/s (%.1f M records/s, CPU "
                     "%.1f + %.1f ns a record)%s\n",
                     len, before, after, run.gb_per_s, run.gb_per_s * 1000 / len,
                     run.producer_cpu_ns, run.consumer_cpu_ns,
                     fabs(before - after) > MOVED_MAX * before ? ", thrown away" : "");
        if (fabs(before - after) > MOVED_MAX * before)
            continue;
        ratios[kept] = all[i];
        rates[kept++] = run.gb_per_s;
    }
    if (kept == 0) {
        (void)printf("ring bench: the machine was too restless for ring.%u; median ratio of all "
                     "runs %.2f\n",
                     len, median(all, ROUNDS));
        return;
    }
    (void)printf("figure\tring.%u\t%.2f\tGB/s\t%.2f\tblock hand-off between the same two cores\n",
                 len, median(rates, kept), median(ratios, kept));
}

/* Of the sorted latencies, by thousandths. */
static int64_t
quantile(int thousandths)
{
    return board->latency_ns[MESSAGES / 1000 * thousandths];
}

static void
latency_figure(void)
{
    double half[5];
    double p50[5];
    double limit;

    for (int i = 0; i < 5; i++) {
        half[i] = ping_pong_ns() / 2;
        measure_latency(false);
        p50[i] = (double)quantile(500);
        (void)printf("  spinning: line one way %.0f ns; ring p50 %.0f p99 %lld p99.9 %lld ns\n",
                     half[i], p50[i], (long long)quantile(990), (long long)quantile(999));
    }
    limit = median(half, 5);
    measure_latency(true);
    (void)printf("  parked:   ring p50 %lld p99 %lld ns; idle CPU %.3f %%\n",
                 (long long)quantile(500), (long long)quantile(990), idle_percent());
    (void)printf("figure\tring.latency\t%.0f\tns\t%.2f\thalf a cache-line ping-pong of %.0f ns "
                 "(aim: at most %.0f ns)\n",
                 median(p50, 5), median(p50, 5) / limit, limit * 2, 2 * limit + 100);
}

static void
print_matrix(void)
{
    static const uint32_t lens[] = {64, 256, 1024, 4096};
    static const uint64_t batches[] = {1, 4, 16, 64};
    static const uint64_t rings[] = {1U << 20, 4U << 20, 64U << 20};

    (void)printf("  GB/s by batch 1, 4, 16, 64; the last with a checksum on both sides\n");
    for (size_t r = 0; r < 3; r++) {
        for (size_t l = 0; l < 4; l++) {
            (void)printf("  %3llu MiB %4u B:", (unsigned long long)(rings[r] >> 20), lens[l]);
            for (size_t b = 0; b < 5; b++) {
                struct run run = make_run(lens[l], batches[b % 4], rings[r],
                                          RUN_BYTES / 16 / (b == 0 ? 4 : 1), b == 4);

                if (b == 4)
                    run.batch = 0;
                ring_run(&run);
                (void)printf(" %6.2f", run.gb_per_s);
            }
            (void)printf("\n");
        }
    }
}

int
main(void)
{
    char dir[] = "/dev/shm/weir-bench.XXXXXX";

    find_cores();
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    (void)snprintf(ring_path, sizeof(ring_path), "%s/ring", dir);
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (board == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    pin(cores[0]);
    (void)printf("  copy within one core: %.1f GB/s in L2, %.1f GB/s from memory\n",
                 copy_rate(256U << 10, 4 * RUN_BYTES), copy_rate(64U << 20, RUN_BYTES));
    (void)fflush(stdout);
    throughput_figure(256);
    throughput_figure(1024);
    latency_figure();
    print_matrix();
    (void)unlink(ring_path);
    (void)rmdir(dir);
    return 0;
}
