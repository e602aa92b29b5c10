/* uses: kinesisd */
/* figures: kinesisd.put.300 kinesisd.put.300.signed */
/*
 * kinesisd_put - how fast kinesisd takes PutRecords of 500 records of 300 bytes.
 *
 * One client thread on raw sockets sends prebuilt bodies over keep-alive connections, one request
 * a connection in flight, to build/<mode>/kinesisd.  The limit it is held against is measured
 * in the same run, interleaved: a process that reads the same requests and answers a fixed few
 * bytes without looking at them.  Signed bodies are signed once (the server's clock check is
 * wide), so the client's cost is the same in every run.
 */
#include "common/clock.h"
#include "common/err.h"
#include "tests/kinesisd/base64.h"
#include "tests/kinesisd/bytes.h"
#include "tests/kinesisd/digest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 4
#define BODIES      16
#define RECORDS     500
#define DATA_SIZE   300
#define RUNS        5
#define RUN_NS      (700 * NS_PER_MS)
#define STREAM      "bench"
#define ACCESS      "AKIDEXAMPLE"
#define SECRET      "weir-bench-only"

struct target {
    const char *name;
    pid_t pid;
    uint16_t port;
    uint64_t records; /* acknowledged */
    double rates[RUNS];
    double cpu_us[RUNS]; /* of the server, per record */
};

struct client {
    int fd;
    const struct bytes *request;
    size_t sent;
    struct bytes in;
};

__attribute__((noreturn)) static void
die(const char *what)
{
    (void)fprintf(stderr, "kinesisd_put: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- requests ---- */

static void
sign(struct digest *d, const struct bytes *body, const char *host, const char *stamp, char *out)
{
    struct bytes text = {0};
    unsigned char hash[DIGEST_SHA256_SIZE];
    char hex[2 * DIGEST_SHA256_SIZE + 1];

    digest_sha256(d, body->data, body->len, hash);
    digest_hex(hash, sizeof(hash), hex);
    bytes_printf(&text,
                 "POST\n/\n\ncontent-type:application/x-amz-json-1.1\nhost:%s\nx-amz-date:%s\n"
                 "x-amz-target:Kinesis_20131202.PutRecords\n\n"
                 "content-type;host;x-amz-date;x-amz-target\n%s",
                 host, stamp, hex);
    digest_sha256(d, text.data, text.len, hash);
    digest_hex(hash, sizeof(hash), hex);
    text.len = 0;
    bytes_printf(&text, "AWS4-HMAC-SHA256\n%s\n%.8s/us-east-1/kinesis/aws4_request\n%s", stamp,
                 stamp, hex);
    digest_hmac(d, "AWS4" SECRET, sizeof("AWS4" SECRET) - 1, stamp, 8, hash);
    digest_hmac(d, hash, sizeof(hash), "us-east-1", 9, hash);
    digest_hmac(d, hash, sizeof(hash), "kinesis", 7, hash);
    digest_hmac(d, hash, sizeof(hash), "aws4_request", 12, hash);
    digest_hmac(d, hash, sizeof(hash), text.data, text.len, hash);
    digest_hex(hash, sizeof(hash), out);
    bytes_free(&text);
}

static void
build_body(struct bytes *b, unsigned *seed)
{
    char data[DATA_SIZE];
    char encoded[BASE64_SIZE(DATA_SIZE)];

    bytes_puts(b, "{\"Records\":[");
    for (int i = 0; i < RECORDS; i++) {
        for (size_t k = 0; k < sizeof(data); k++)
            data[k] = (char)rand_r(seed);
        bytes_printf(b, "%s{\"Data\":\"", i == 0 ? "" : ",");
        bytes_add(b, encoded, base64_encode(data, sizeof(data), encoded));
        bytes_printf(b, "\",\"PartitionKey\":\"dbo.invoices.%d\"}", rand_r(seed) % 1000000);
    }
    bytes_puts(b, "],\"StreamName\":\"" STREAM "\"}");
}

static void
build_requests(struct bytes *requests, uint16_t port)
{
    struct digest *d = digest_open();
    unsigned seed = 1;
    char host[32];
    char stamp[32];
    char signature[2 * DIGEST_SHA256_SIZE + 1];
    time_t now = time(NULL);
    struct tm tm;

    (void)snprintf(host, sizeof(host), "127.0.0.1:%u", port);
    (void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    for (int i = 0; i < BODIES; i++) {
        struct bytes body = {0};

        build_body(&body, &seed);
        sign(d, &body, host, stamp, signature);
        requests[i].len = 0;
        bytes_printf(&requests[i],
                     "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-amz-json-1.1\r\n"
                     "X-Amz-Date: %s\r\nX-Amz-Target: Kinesis_20131202.PutRecords\r\n"
                     "Authorization: AWS4-HMAC-SHA256 Credential=" ACCESS
                     "/%.8s/us-east-1/kinesis/aws4_request, "
                     "SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=%s\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     host, stamp, stamp, signature, body.len);
        bytes_add(&requests[i], body.data, body.len);
        bytes_free(&body);
    }
    digest_close(&d);
}

/* ---- the client ---- */

static int
dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* True when a whole answer is there; anything but success ends the bench. */
static bool
take_answer(struct client *c)
{
    const char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);
    const char *length;
    size_t size;

    if (end == NULL)
        return false;
    length = memmem(c->in.data, c->in.len, "Content-Length: ", 16);
    size = (size_t)(end + 4 - c->in.data) + strtoul(length + 16, NULL, 10);
    if (c->in.len < size)
        return false;
    if (memcmp(c->in.data, "HTTP/1.1 200", 12) != 0 ||
        memmem(c->in.data, size, "\"FailedRecordCount\":0", 21) == NULL) {
        (void)fprintf(stderr, "kinesisd_put: answer is %.*s\n", (int)(size < 600 ? size : 600),
                      c->in.data);
        exit(1);
    }
    c->in.len = 0;
    return true;
}

/* Sends and receives what it can.  True when an answer is complete. */
static bool
turn(struct client *c)
{
    while (c->sent < c->request->len) {
        ssize_t n = send(c->fd, c->request->data + c->sent, c->request->len - c->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            die("send");
        c->sent += (size_t)n;
    }
    for (;;) {
        ssize_t n = recv(c->fd, bytes_reserve(&c->in, 65536), 65536, MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
            return false;
        if (n <= 0)
            die("receive");
        c->in.len += (size_t)n;
        if (take_answer(c))
            return true;
    }
}

static void
watch(int epoll, struct client *c, int operation)
{
    struct epoll_event ev = {.data.ptr = c};

    ev.events = c->sent < c->request->len ? EPOLLOUT : EPOLLIN;
    if (epoll_ctl(epoll, operation, c->fd, &ev) != 0)
        die("epoll_ctl");
}

/* Records per second over one run. */
static double
drive(const struct target *t, const struct bytes *requests, uint64_t *records)
{
    struct client clients[CONNECTIONS] = {{0}};
    struct epoll_event events[CONNECTIONS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int64_t start_ns;
    int64_t now_ns;
    uint64_t done = 0;
    uint64_t given = 0;

    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i].fd = dial(t->port);
        clients[i].request = &requests[given++ % BODIES];
        watch(epoll, &clients[i], EPOLL_CTL_ADD);
    }
    start_ns = clock_mono_ns();
    do {
        int n = epoll_wait(epoll, events, CONNECTIONS, 1000);

        if (n <= 0)
            die("no answer within a second");
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;

            while (turn(c)) {
                done++;
                c->request = &requests[given++ % BODIES];
                c->sent = 0;
            }
            watch(epoll, c, EPOLL_CTL_MOD);
        }
        now_ns = clock_mono_ns();
    } while (now_ns - start_ns < RUN_NS);
    for (int i = 0; i < CONNECTIONS; i++) {
        (void)close(clients[i].fd);
        bytes_free(&clients[i].in);
    }
    (void)close(epoll);
    *records = done * RECORDS;
    return (double)(done * RECORDS) * 1e9 / (double)(now_ns - start_ns);
}

/* ---- the two kinds of server ---- */

/* Reads a request of known size, answers, and so on; looks at nothing but the length. */
static void
sink_connection(int fd, struct bytes *in)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n"
                                 "{\"FailedRecordCount\":0}";

    for (;;) {
        ssize_t n = recv(fd, bytes_reserve(in, 1 << 18), 1 << 18, MSG_DONTWAIT);
        const char *end;
        const char *length;

        if (n <= 0)
            return;
        in->len += (size_t)n;
        end = memmem(in->data, in->len < 4096 ? in->len : 4096, "\r\n\r\n", 4);
        if (end == NULL)
            continue;
        length = memmem(in->data, (size_t)(end - in->data), "Content-Length: ", 16);
        if (in->len < (size_t)(end + 4 - in->data) + strtoul(length + 16, NULL, 10))
            continue;
        in->len = 0;
        if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
            return;
    }
}

__attribute__((noreturn)) static void
sink_main(int listener)
{
    static struct bytes in[1024];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
    struct epoll_event events[16];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        int n = epoll_wait(epoll, events, 16, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char byte;

            if (fd == listener) {
                ev.data.fd = accept(listener, NULL, NULL);
                in[ev.data.fd].len = 0;
                (void)epoll_ctl(epoll, EPOLL_CTL_ADD, ev.data.fd, &ev);
            } else if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
                (void)close(fd);
            } else {
                sink_connection(fd, &in[fd]);
            }
        }
    }
}

static void
start_sink(struct target *t)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        die("open the sink");
    t->port = ntohs(a.sin_port);
    t->pid = fork();
    if (t->pid == 0)
        sink_main(fd);
    (void)close(fd);
}

static void
start_kinesisd(struct target *t, const char *program, const char *credentials)
{
    int out[2];
    char line[128] = "";
    FILE *f;
    const char *colon = NULL;

    if (pipe(out) != 0)
        die("pipe");
    t->pid = fork();
    if (t->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)close(out[0]);
        if (credentials != NULL)
            (void)execl(program, program, "--port", "0", "--streams", STREAM ":4", "--throttle",
                        "off", "--max-records-kept", "100000", "--credentials", credentials, NULL);
        else
            (void)execl(program, program, "--port", "0", "--streams", STREAM ":4", "--throttle",
                        "off", "--max-records-kept", "100000", NULL);
        _exit(127);
    }
    (void)close(out[1]);
    f = fdopen(out[0], "r");
    if (f == NULL || fgets(line, sizeof(line), f) == NULL || (colon = strrchr(line, ':')) == NULL)
        die(program);
    t->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    (void)fclose(f);
}

/* User and system time of a child so far, in microseconds. */
static double
cpu_us(pid_t pid)
{
    char path[64];
    char text[1024];
    unsigned long user;
    unsigned long system;
    char *end;
    FILE *f;
    size_t n;
    const char *rest;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    f = fopen(path, "re");
    if (f == NULL)
        die(path);
    n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    (void)fclose(f);
    /* Behind the name, which may hold blanks: state, ten numbers, then user and system time. */
    rest = strrchr(text, ')');
    for (int field = 0; rest != NULL && field < 12; field++)
        rest = strchr(rest + 1, ' ');
    if (rest == NULL)
        die(path);
    user = strtoul(rest, &end, 10);
    system = strtoul(end, NULL, 10);
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

/* ---- the measurement ---- */

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double
median(const double *values)
{
    double sorted[RUNS];

    (void)memcpy(sorted, values, sizeof(sorted));
    qsort(sorted, RUNS, sizeof(sorted[0]), compare);
    return sorted[RUNS / 2];
}

/* The server must hold what it acknowledged: its own count may only be larger, by what was in
 * flight when a run ended. */
static void
check_count(const struct target *t)
{
    static const char request[] = "GET /control HTTP/1.1\r\nHost: localhost\r\n"
                                  "Connection: close\r\n\r\n";
    struct bytes in = {0};
    int fd = dial(t->port);
    const char *count;
    ssize_t n;

    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
        die("ask for the counters");
    while ((n = recv(fd, bytes_reserve(&in, 65536), 65536, 0)) > 0)
        in.len += (size_t)n;
    (void)close(fd);
    bytes_add(&in, "", 1);
    count = strstr(in.data, "\"records\":");
    if (count == NULL || strtoull(count + 10, NULL, 10) < t->records) {
        (void)fprintf(stderr, "kinesisd_put: %s acknowledged %llu records and counts %s\n", t->name,
                      (unsigned long long)t->records, count == NULL ? "none" : count);
        exit(1);
    }
    bytes_free(&in);
}

static void
stop(const struct target *t)
{
    (void)kill(t->pid, SIGTERM);
    (void)waitpid(t->pid, NULL, 0);
}

int
main(int argc, char **argv)
{
    struct target targets[] = {{.name = "sink"}, {.name = "plain"}, {.name = "signed"}};
    struct bytes requests[3][BODIES] = {{{0}}};
    char program[PATH_MAX];
    char self[PATH_MAX];
    char credentials[] = "/tmp/kinesisd-put-XXXXXX";
    int fd = mkstemp(credentials);

    (void)argc;
    base64_init();
    /* build/<mode>/tests/bench/kinesisd_put: the server is three folders up. */
    (void)snprintf(self, sizeof(self), "%s", argv[0]);
    (void)snprintf(program, sizeof(program), "%s/../../kinesisd", dirname(self));
    if (fd < 0 || dprintf(fd, ACCESS " " SECRET "\n") < 0)
        die("write the credentials");
    (void)close(fd);
    start_sink(&targets[0]);
    start_kinesisd(&targets[1], program, NULL);
    start_kinesisd(&targets[2], program, credentials);
    for (size_t i = 0; i < 3; i++)
        build_requests(requests[i], targets[i].port);
    for (int run = 0; run < RUNS; run++) {
        for (size_t i = 0; i < 3; i++) {
            double before = cpu_us(targets[i].pid);
            uint64_t records;

            targets[i].rates[run] = drive(&targets[i], requests[i], &records);
            targets[i].records += records;
            targets[i].cpu_us[run] = (cpu_us(targets[i].pid) - before) / (double)records;
        }
    }
    for (size_t i = 0; i < 3; i++) {
        (void)printf("%-7s %9.0f records/s, server CPU %.2f us a record\n", targets[i].name,
                     median(targets[i].rates), median(targets[i].cpu_us));
        if (i > 0)
            check_count(&targets[i]);
        stop(&targets[i]);
        for (int k = 0; k < BODIES; k++)
            bytes_free(&requests[i][k]);
    }
    (void)unlink(credentials);
    for (size_t i = 1; i < 3; i++)
        (void)printf("figure\tkinesisd.put.300%s\t%.0f\trecords/s\t%.2f\t%s\n",
                     i == 1 ? "" : ".signed", median(targets[i].rates),
                     median(targets[i].rates) / median(targets[0].rates),
                     "an HTTP sink taking the same requests");
    return 0;
}
