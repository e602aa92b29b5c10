/*
 * Three processes, source -> A -> stage -> B[] -> sink, that die all the time: at crash points
 * between every pair of stores, by SIGKILL at any instruction, and stopped and continued.
 * Each works as the real stages do and checks what it sees: I1-I6 and I9 of the rings' sheet.
 *
 *   ring_crash [--seconds N] [--deaths N] [--seed N]
 *
 * Without --deaths it ends after the seconds (20), with it after so many deaths.
 */
#include "common/clock.h"
#include "common/fault.h"
#include "common/ring.h"
#include "common/ring_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUTS_MAX   2
#define REMEMBERED    (1U << 16) /* sequence numbers whose content the sink remembers */
#define IN_FLIGHT_MAX 64
#define MESSAGE_MAX   4096
#define DRAIN_MS      30000

enum role { SOURCE, STAGE, SINK, ROLES };

static const char *const role_names[ROLES] = {"source", "stage", "sink"};

struct plan {
    uint64_t seed;
    int outputs; /* rings B */
    bool late;   /* A is released when B has been, not when B has been published */
    struct ring_config a;
    struct ring_config b[OUTPUTS_MAX];
    char path_a[128];
    char path_b[OUTPUTS_MAX][128];
};

/*
 * What the reader of a ring has seen, outliving it: the supervisor owns it, the reader of that
 * ring is its only writer.
 */
struct reader_memory {
    uint64_t last_seq;             /* of the last fragment seen; stored last */
    uint64_t acked_seq;            /* all up to it are acknowledged */
    uint64_t index_of[REMEMBERED]; /* by sequence number, fragments' too */
};

struct shared {
    _Atomic uint64_t limit; /* the source ends with this index */
    _Atomic uint64_t delivered;
    _Atomic uint64_t repeated;
    struct reader_memory a;
    struct reader_memory b[OUTPUTS_MAX];
};

static struct shared *shared;

static struct plan plan;

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t
mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ULL;
    return x ^ (x >> 32);
}

/* The stage drops about 30 % and spreads the rest: decided by the index alone. */
static bool
survives(uint64_t index)
{
    return mix(index) % 10 >= 3;
}

static int
output_of(uint64_t index)
{
    return (int)(mix(index + 99) % (uint64_t)plan.outputs);
}

/* Mostly rows of some hundred bytes, now and then one in fragments. */
static uint32_t
length_of(uint64_t index)
{
    uint64_t r = mix(index * 3);

    return (uint32_t)(r % 40 == 0 ? r / 64 % 3900 : r / 64 % 300);
}

static void
fill(uint8_t *to, uint32_t len, uint64_t index)
{
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t word = mix(index + i);

        memcpy(to + i, &word, len - i < 8 ? len - i : 8);
    }
}

__attribute__((noreturn, format(printf, 2, 3))) static void
fail(enum role role, const char *fmt, ...)
{
    va_list ap;

    (void)fprintf(stderr, "ring_crash: %s: ", role_names[role]);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    _exit(1);
}

static void
fail_err(enum role role, const struct err *e)
{
    char text[2048];

    fail(role, "%s", err_format(e, text, sizeof(text)));
}

static struct ring *
open_producer(enum role role, const struct ring_config *config)
{
    struct err e = ERR_INIT;
    struct ring *r;
    bool created;

    if (ring_open_producer(config, &r, &created, &e) != 0)
        fail_err(role, &e);
    return r;
}

static struct ring *
open_consumer(enum role role, const struct ring_config *config)
{
    struct err e = ERR_INIT;
    struct ring *r;

    while (ring_open_consumer(config, &r, &e) != 0) {
        if (e.code != ERR_NOT_FOUND)
            fail_err(role, &e);
        (void)usleep(100); /* its producer has not made it yet */
    }
    return r;
}

static uint64_t
last_index(const struct reader_memory *m)
{
    return m->index_of[m->last_seq % REMEMBERED];
}

/* Sequence number of a message's last fragment. */
static uint64_t
last_seq_of(const struct ring *r, const struct ring_view *v)
{
    uint32_t max = ring_max_record(r);

    return v->seq + (v->len > max ? (v->len + max - 1) / max - 1 : 0);
}

/*
 * I4, I6: every sequence number holds one content for ever, and the contents have no hole:
 * what is new must be index `next`.  True when it is new.
 */
static bool
see(enum role role, const struct ring *r, const struct ring_view *v, struct reader_memory *m,
    uint64_t next)
{
    static uint8_t want[MESSAGE_MAX];

    fill(want, v->len, v->src_pos);
    if (v->len != length_of(v->src_pos) || memcmp(want, v->data, v->len) != 0)
        fail(role, "index %llu has other bytes", (unsigned long long)v->src_pos);
    if (v->seq <= m->last_seq) {
        if (m->index_of[v->seq % REMEMBERED] != v->src_pos)
            fail(role, "sequence %llu held index %llu, now it holds %llu",
                 (unsigned long long)v->seq, (unsigned long long)m->index_of[v->seq % REMEMBERED],
                 (unsigned long long)v->src_pos);
        return false;
    }
    if (v->seq != m->last_seq + 1 || v->src_pos != next)
        fail(role, "after sequence %llu came %llu with index %llu, expected index %llu",
             (unsigned long long)m->last_seq, (unsigned long long)v->seq,
             (unsigned long long)v->src_pos, (unsigned long long)next);
    for (uint64_t seq = v->seq; seq <= last_seq_of(r, v); seq++)
        m->index_of[seq % REMEMBERED] = v->src_pos;
    atomic_signal_fence(memory_order_seq_cst);
    m->last_seq = last_seq_of(r, v);
    return true;
}

/* ---- source: index 1, 2, 3 ...; its own position is the index ---- */

static void
publish_source(struct ring *a, uint64_t index)
{
    struct ring_source source = {.words = {index, ~index, 0, 1}};

    ring_publish(a, &source);
}

static void
run_source(uint64_t dice)
{
    static uint8_t data[MESSAGE_MAX];
    struct ring *a = open_producer(SOURCE, &plan.a);
    struct ring_source source;
    struct err e = ERR_INIT;
    uint64_t done = 0;

    if (ring_source(a, &source)) {
        done = source.words[0];
        if (source.words[1] != ~done)
            fail(SOURCE, "torn source in the slot in force");
    }
    while (done < atomic_load(&shared->limit)) {
        uint64_t index = done + 1;
        uint32_t len = length_of(index);
        struct ring_meta meta = {.type = RING_DATA, .src_pos = index, .table_id = len};
        int rc;

        fill(data, len, index);
        rc = ring_write(a, &meta, data, len, &e);
        if (rc < 0)
            fail_err(SOURCE, &e);
        if (rc == 0) {
            publish_source(a, done);
            (void)ring_wait_room(a, len, 50);
            continue;
        }
        done = index;
        if (random_next(&dice) % 6 == 0)
            publish_source(a, done);
    }
    publish_source(a, done);
    ring_close(&a);
}

/* ---- stage: the encoder's protocol ---- */

struct batch {
    uint64_t tails[OUTPUTS_MAX];
    uint64_t input;
};

#define BATCHES 1024

struct stage {
    struct ring *a;
    struct ring *b[OUTPUTS_MAX];
    uint64_t slot[OUTPUTS_MAX];  /* input position that ring B[j] already has everything of */
    uint64_t input;              /* processed up to here */
    struct batch queue[BATCHES]; /* late: what waits for B's release */
    uint64_t head;
    uint64_t tail;
};

static void
stage_open(struct stage *s)
{
    s->a = open_consumer(STAGE, &plan.a);
    s->input = ring_release_pos(s->a);
    for (int j = 0; j < plan.outputs; j++) {
        struct ring_source source;

        s->b[j] = open_producer(STAGE, &plan.b[j]);
        if (ring_source(s->b[j], &source)) {
            if (source.epoch != ring_epoch(s->a))
                fail(STAGE, "slot of another input ring");
            s->slot[j] = source.words[0];
        }
    }
}

/* Late: A is released as far as every ring B has been. */
static void
release_drained(struct stage *s)
{
    while (s->head < s->tail) {
        const struct batch *first = &s->queue[s->head % BATCHES];

        for (int j = 0; j < plan.outputs; j++)
            if (ring_release_pos(s->b[j]) < first->tails[j])
                return;
        ring_release(s->a, first->input);
        s->head++;
    }
}

static void
stage_publish(struct stage *s)
{
    struct ring_source source = {.epoch = ring_epoch(s->a), .words = {s->input}};

    if (RING_MUTANT == RING_MUTANT_RELEASE_FIRST) {
        ring_release(s->a, s->input);
        ring_flush_release(s->a);
    }
    for (int j = 0; j < plan.outputs; j++)
        if (s->input > s->slot[j]) /* a slot never goes back while old input is seen again */
            ring_publish(s->b[j], &source);
    CRASH_POINT("stage.published");
    if (!plan.late) {
        if (RING_MUTANT != RING_MUTANT_RELEASE_FIRST)
            ring_release(s->a, s->input);
    } else if (s->tail - s->head < BATCHES) {
        struct batch *next = &s->queue[s->tail % BATCHES];

        for (int j = 0; j < plan.outputs; j++)
            next->tails[j] = ring_tail(s->b[j]);
        next->input = s->input;
        s->tail++;
    }
    CRASH_POINT("stage.released");
    release_drained(s);
}

static void
pass_on(struct stage *s, const struct ring_view *v)
{
    struct ring_meta meta = {.type = RING_DATA, .src_pos = v->src_pos, .table_id = v->len};
    int j = output_of(v->src_pos);
    struct err e = ERR_INIT;
    int rc;

    /* Already out before an earlier death of ours: exactly when its input is below the slot. */
    if (!survives(v->src_pos) || v->end <= s->slot[j])
        return;
    while ((rc = ring_write(s->b[j], &meta, v->data, v->len, &e)) == 0) {
        stage_publish(s); /* s->input is still before this record */
        (void)ring_wait_room(s->b[j], v->len, 5);
    }
    if (rc < 0)
        fail_err(STAGE, &e);
}

static void
run_stage(uint64_t dice)
{
    static struct stage s;
    struct err e = ERR_INIT;
    struct ring_view v;

    stage_open(&s);
    for (;;) {
        int rc = ring_next(s.a, &v, &e);

        if (rc < 0)
            fail_err(STAGE, &e);
        if (rc == 0) {
            stage_publish(&s);
            (void)ring_wait_data(&s.a, 1, plan.late ? 1 : 20);
            continue;
        }
        (void)see(STAGE, s.a, &v, &shared->a, last_index(&shared->a) + 1);
        pass_on(&s, &v);
        s.input = v.end;
        if (random_next(&dice) % 8 == 0)
            stage_publish(&s);
    }
}

/* ---- sink: acknowledges in random order, releases the longest acknowledged prefix ---- */

struct flight {
    uint64_t seq;
    uint64_t end;
    bool acked;
};

struct sink {
    struct ring *b;
    struct reader_memory *memory;
    struct flight flights[IN_FLIGHT_MAX];
    uint64_t head;
    uint64_t tail;
};

static uint64_t
next_index(int j, uint64_t index)
{
    do
        index++;
    while (!survives(index) || output_of(index) != j);
    return index;
}

static void
deliver(struct sink *s, int j, const struct ring_view *v, bool is_first)
{
    struct reader_memory *m = s->memory;

    if (is_first && v->seq > m->acked_seq + 1)
        fail(SINK, "ring %d was released to sequence %llu, but %llu was never acknowledged", j,
             (unsigned long long)v->seq, (unsigned long long)m->acked_seq + 1);
    atomic_fetch_add(see(SINK, s->b, v, m, next_index(j, last_index(m))) ? &shared->delivered
                                                                         : &shared->repeated,
                     1);
}

static void
acknowledge_some(struct sink *s, uint64_t *dice, bool all)
{
    uint64_t end = 0;

    for (uint64_t i = s->head; i < s->tail; i++)
        if (all || random_next(dice) % 3 == 0)
            s->flights[i % IN_FLIGHT_MAX].acked = true;
    while (s->head < s->tail && s->flights[s->head % IN_FLIGHT_MAX].acked) {
        const struct flight *f = &s->flights[s->head % IN_FLIGHT_MAX];

        if (f->seq > s->memory->acked_seq)
            s->memory->acked_seq = f->seq;
        end = f->end;
        s->head++;
    }
    if (end != 0)
        ring_release(s->b, end);
}

static void
run_sink(uint64_t dice)
{
    static struct sink sinks[OUTPUTS_MAX];
    struct ring *rings[OUTPUTS_MAX];
    bool started[OUTPUTS_MAX] = {false};
    struct err e = ERR_INIT;

    for (int j = 0; j < plan.outputs; j++) {
        rings[j] = open_consumer(SINK, &plan.b[j]);
        sinks[j] = (struct sink){.b = rings[j], .memory = &shared->b[j]};
    }
    for (;;) {
        bool idle = true;

        for (int j = 0; j < plan.outputs; j++) {
            struct sink *s = &sinks[j];
            struct ring_view v;
            int rc = s->tail - s->head < IN_FLIGHT_MAX ? ring_next(s->b, &v, &e) : 0;

            if (rc < 0)
                fail_err(SINK, &e);
            if (rc == 1) {
                deliver(s, j, &v, !started[j]);
                started[j] = true;
                s->flights[s->tail++ % IN_FLIGHT_MAX] =
                    (struct flight){last_seq_of(s->b, &v), v.end, false};
                idle = false;
            }
            if (rc == 0 || random_next(&dice) % 16 == 0)
                acknowledge_some(s, &dice, rc == 0);
        }
        if (idle)
            (void)ring_wait_data(rings, plan.outputs, 20);
    }
}

/* ---- supervisor ---- */

struct child {
    pid_t pid;
    bool stopped;
};

struct tally {
    uint64_t crash_points;
    uint64_t kills;
    uint64_t stops;
    uint64_t looks;
};

static void
start(struct child *child, enum role role, uint64_t *dice, bool may_crash)
{
    uint64_t life = random_next(dice) | 1;

    child->stopped = false;
    child->pid = fork();
    if (child->pid != 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (may_crash) {
        char rule[40];

        /* Short lives find the steps of attaching, long ones the wraps. */
        (void)snprintf(rule, sizeof(rule), "*:%llu",
                       (unsigned long long)(1 + life / 64 % (8ULL << (life % 11))));
        (void)setenv("WEIR_CRASH", rule, 1);
        fault_reload();
    }
    if (role == SOURCE)
        run_source(life);
    else if (role == STAGE)
        run_stage(life);
    else
        run_sink(life);
    _exit(0);
}

/* I1, I2 and I3, as a third process sees them. */
static bool
look_at(const char *path, uint64_t *tail, uint64_t *release)
{
    struct ring_info info;
    struct err e = ERR_INIT;
    char text[2048];
    uint64_t sums[2] = {0, 0};
    const uint8_t *map;
    int fd;

    if (ring_inspect(path, &info, &e) != 0) {
        if (e.code == ERR_NOT_FOUND)
            return true;
        (void)fprintf(stderr, "ring_crash: %s\n", err_format(&e, text, sizeof(text)));
        return false;
    }
    if (info.tail < *tail || info.release < *release || info.tail % RING_ALIGN != 0 ||
        info.release % RING_ALIGN != 0) {
        (void)fprintf(stderr, "ring_crash: %s went back: tail %llu, release %llu\n", path,
                      (unsigned long long)info.tail, (unsigned long long)info.release);
        return false;
    }
    *tail = info.tail;
    *release = info.release;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    map = mmap(NULL, RING_HEADER_BYTES + info.capacity, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED)
        return false;
    for (int pass = 0; pass < 2; pass++)
        for (uint64_t i = info.release; i < info.tail; i++)
            sums[pass] = sums[pass] * 31 + map[RING_HEADER_BYTES + (i & (info.capacity - 1))];
    (void)munmap((void *)(uintptr_t)map, RING_HEADER_BYTES + info.capacity);
    if (sums[0] == sums[1] || ring_inspect(path, &info, &e) != 0 || info.release != *release)
        return true; /* released meanwhile: its bytes may change */
    (void)fprintf(stderr, "ring_crash: %s: published bytes changed\n", path);
    return false;
}

/* Collects the dead.  False when one of them found something wrong. */
static bool
reap(struct child *children, struct tally *t)
{
    for (int r = 0; r < ROLES; r++) {
        int status;

        if (children[r].pid == 0 || waitpid(children[r].pid, &status, WNOHANG) <= 0)
            continue;
        children[r].pid = 0;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            t->crash_points++;
        else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            (void)fprintf(stderr, "ring_crash: %s ended with status 0x%x\n", role_names[r], status);
            return false;
        }
    }
    return true;
}

static void
disturb(struct child *child, uint64_t *dice, struct tally *t)
{
    if (child->pid == 0)
        return;
    if (child->stopped) {
        (void)kill(child->pid, SIGCONT);
        child->stopped = false;
    } else if (random_next(dice) % 8 == 0) {
        (void)kill(child->pid, SIGSTOP);
        child->stopped = true;
        t->stops++;
    } else {
        (void)kill(child->pid, SIGKILL);
        t->kills++;
    }
}

static bool
all_delivered(void)
{
    uint64_t limit = atomic_load(&shared->limit);

    for (int j = 0; j < plan.outputs; j++) {
        const struct reader_memory *m = &shared->b[j];

        atomic_signal_fence(memory_order_seq_cst); /* another process writes them */
        if (next_index(j, last_index(m)) <= limit || m->acked_seq != m->last_seq)
            return false;
    }
    return true;
}

static void
end_all(struct child *children)
{
    for (int r = 0; r < ROLES; r++) {
        if (children[r].pid == 0)
            continue;
        (void)kill(children[r].pid, SIGKILL);
        (void)waitpid(children[r].pid, NULL, 0);
        children[r].pid = 0;
    }
}

/* No more deaths: everything the source ever published must come out. */
static bool
drain(struct child *children, uint64_t *dice, struct tally *t)
{
    int64_t deadline = clock_mono_ns() + DRAIN_MS * NS_PER_MS;
    struct ring_info info;
    struct err e = ERR_INIT;
    struct tally ignore = {0};

    end_all(children);
    /* What lies published in A now is all there will be, and then a little more. */
    atomic_store(&shared->limit,
                 ring_inspect(plan.path_a, &info, &e) == 0 ? info.source.words[0] + 100 : 100);
    for (int r = 0; r < ROLES; r++)
        start(&children[r], (enum role)r, dice, false);
    while (!all_delivered() && clock_mono_ns() < deadline) {
        if (!reap(children, &ignore))
            return false;
        (void)usleep(1000);
    }
    t->looks++;
    end_all(children);
    if (all_delivered())
        return true;
    (void)fprintf(stderr,
                  "ring_crash: not everything was delivered by %d ms after the last death\n",
                  DRAIN_MS);
    return false;
}

static void
print_tally(const struct tally *t, bool good)
{
    (void)printf("ring_crash: %d output ring%s, %s release, A %llu B %llu: %llu deaths at crash "
                 "points, %llu kills, %llu stops, %llu looks, %llu delivered, %llu repeated: %s\n",
                 plan.outputs, plan.outputs > 1 ? "s" : "", plan.late ? "late" : "eager",
                 (unsigned long long)plan.a.capacity, (unsigned long long)plan.b[0].capacity,
                 (unsigned long long)(t->crash_points - t->kills), (unsigned long long)t->kills,
                 (unsigned long long)t->stops, (unsigned long long)t->looks,
                 (unsigned long long)atomic_load(&shared->delivered),
                 (unsigned long long)atomic_load(&shared->repeated), good ? "good" : "FAILED");
    (void)fflush(stdout);
}

static bool
campaign(uint64_t dice, uint64_t deaths, int64_t until_ns, uint64_t *died)
{
    struct child children[ROLES] = {{0}};
    uint64_t seen[1 + OUTPUTS_MAX][2] = {{0}};
    struct tally t = {0};
    bool good = true;

    while (good && (deaths == 0 ? clock_mono_ns() < until_ns : t.crash_points < deaths)) {
        for (int r = 0; r < ROLES; r++)
            if (children[r].pid == 0)
                start(&children[r], (enum role)r, &dice, random_next(&dice) % 8 != 0);
        (void)usleep((useconds_t)(random_next(&dice) % 400));
        good = reap(children, &t);
        if (random_next(&dice) % 4 == 0)
            disturb(&children[random_next(&dice) % ROLES], &dice, &t);
        if (good && random_next(&dice) % 8 == 0) {
            t.looks++;
            good = look_at(plan.path_a, &seen[0][0], &seen[0][1]);
            for (int j = 0; good && j < plan.outputs; j++)
                good = look_at(plan.path_b[j], &seen[1 + j][0], &seen[1 + j][1]);
        }
    }
    good = good && drain(children, &dice, &t);
    end_all(children);
    print_tally(&t, good);
    *died += t.crash_points;
    return good;
}

static int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static struct ring_config
small_ring(const char *path, const char *name, uint64_t dice)
{
    return (struct ring_config){.path = path,
                                .name = name,
                                .capacity = 8192ULL << (dice % 3),
                                .generation = 1,
                                .record_format = 1,
                                .checksum = true};
}

static void
make_plan(const char *dir, uint64_t seed, int variant)
{
    plan = (struct plan){.seed = seed, .outputs = 1 + variant % 2, .late = variant / 2 % 2 == 1};
    (void)snprintf(plan.path_a, sizeof(plan.path_a), "%s/a%d", dir, variant);
    plan.a = small_ring(plan.path_a, "a", seed >> 8);
    for (int j = 0; j < OUTPUTS_MAX; j++) {
        (void)snprintf(plan.path_b[j], sizeof(plan.path_b[j]), "%s/b%d.%d", dir, variant, j);
        plan.b[j] = small_ring(plan.path_b[j], "b", seed >> 16);
    }
    memset(shared, 0, sizeof(*shared));
    atomic_store(&shared->limit, UINT64_MAX);
}

static uint64_t
number_after(int argc, char **argv, const char *option, uint64_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], option) == 0)
            return strtoull(argv[i + 1], NULL, 10);
    return otherwise;
}

int
main(int argc, char **argv)
{
    uint64_t seconds = number_after(argc, argv, "--seconds", 20);
    uint64_t deaths = number_after(argc, argv, "--deaths", 0);
    uint64_t seed = number_after(argc, argv, "--seed", (uint64_t)clock_real_ns());
    char dir[] = "/dev/shm/weir-crash.XXXXXX";
    uint64_t died = 0;
    bool good = true;

    if (mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    (void)printf("ring_crash: seed %llu\n", (unsigned long long)seed);
    (void)fflush(stdout);
    ring_capacity_floor = 8192;
    ring_wait_slice_ms = 2; /* deaths between store and wake are many here */
    for (int variant = 0; good && variant < 4; variant++) {
        int64_t until = clock_mono_ns() + (int64_t)seconds * NS_PER_S / 4;

        make_plan(dir, mix(seed + (uint64_t)variant), variant);
        good = campaign(plan.seed | 1, (deaths + 3) / 4, until, &died);
    }
    (void)nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    (void)printf("ring_crash: %llu deaths: %s\n", (unsigned long long)died,
                 good ? "nothing lost, nothing out of order" : "FAILED");
    return good ? 0 : 1;
}
