/*
 * capture_replay - a TDS server of recorded answers, a thread a connection, for DB-Library to talk to.
 *
 * It answers PRELOGIN and LOGIN7 with the recorded ones, the session's first batches (SET ...,
 * DB_NAME()) by itself, and every other batch with the answer set by replay_answer().
 */
#ifndef CAPTURE_REPLAY_H
#define CAPTURE_REPLAY_H

#include "tests/unit/tds_vectors.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLAY_TEXT_MAX 8192

#define REPLAY_CLIENTS_MAX 256 /* in a test */

struct replay_client {
    struct replay *server;
    int fd;
};

struct replay {
    struct replay_client clients[REPLAY_CLIENTS_MAX];
    unsigned n_clients; /* so far; the accepting thread's */
    int listener;
    uint16_t port;
    pthread_t thread;
    struct bytes prelogin;
    struct bytes login;
    pthread_mutex_t lock;
    struct bytes answer;
    bool hangs;                  /* answers no further batch */
    bool refuses;                /* answers the login with `answer` */
    atomic_bool mute;            /* says nothing at all, not even to PRELOGIN */
    atomic_bool leaves;          /* ends each connection after its next answer to a batch */
    atomic_uint drip_ms;         /* pause after each byte of what it sends; 0 = none */
    atomic_uint serving;         /* connections */
    char batch[REPLAY_TEXT_MAX]; /* the last batch that got the answer, ASCII */
};

static inline bool
replay_read(int fd, uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = read(fd, data, size);

        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static inline bool
replay_write(struct replay *r, int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        unsigned pause_ms = atomic_load(&r->drip_ms);
        ssize_t n = send(fd, data, pause_ms > 0 ? 1 : size, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        if (pause_ms > 0)
            (void)usleep(pause_ms * 1000);
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* One message: its type, its text (UTF-16 cut to bytes) in text.  0 at the end. */
static inline int
replay_message(int fd, char *text)
{
    uint8_t head[8];
    uint8_t body[65536];
    size_t n = 0;

    do {
        size_t size;

        if (!replay_read(fd, head, sizeof(head)))
            return 0;
        size = ((size_t)head[2] << 8 | head[3]) - sizeof(head);
        if (!replay_read(fd, body, size))
            return 0;
        /* All headers: 22 bytes before the text of a batch. */
        for (size_t i = n == 0 && head[0] == 1 ? 22 : 0; i + 1 < size; i += 2)
            if (n + 1 < REPLAY_TEXT_MAX)
                text[n++] = (char)body[i];
    } while ((head[1] & 1) == 0);
    text[n] = '\0';
    return head[0];
}

static inline bool
replay_done(struct replay *r, int fd, uint8_t status)
{
    const uint8_t done[] = {4, 1, 0, 21, 0, 0, 1, 0, 0xFD, status, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

    return replay_write(r, fd, done, sizeof(done));
}

/* DB_NAME() = N'shop'. */
static inline bool
replay_database(struct replay *r, int fd)
{
    static const uint8_t answer[] = {4, 1,   0, 58,   0, 0,   1, 0,   0x81, 1,    0,    0, 0,    0,
                                     0, 9,   0, 0xE7, 0, 1,   9, 4,   0xD0, 0,    0x34, 0, 0xD1, 8,
                                     0, 's', 0, 'h',  0, 'o', 0, 'p', 0,    0xFD, 0x10, 0, 0xC1, 0,
                                     1, 0,   0, 0,    0, 0,   0, 0};
    uint8_t copy[sizeof(answer)];

    memcpy(copy, answer, sizeof(copy));
    copy[3] = (uint8_t)sizeof(copy);
    return replay_write(r, fd, copy, sizeof(copy));
}

static inline bool
replay_batch(struct replay *r, int fd, const char *text)
{
    bool ok;

    if (strncmp(text, "SET ", 4) == 0 || strncmp(text, "set ", 4) == 0)
        return replay_done(r, fd, 0);
    if (strcmp(text, "SELECT DB_NAME()") == 0)
        return replay_database(r, fd);
    pthread_mutex_lock(&r->lock);
    (void)snprintf(r->batch, sizeof(r->batch), "%s", text);
    ok = r->hangs || replay_write(r, fd, r->answer.data, r->answer.size);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

static inline void
replay_serve(struct replay *r, int fd)
{
    char text[REPLAY_TEXT_MAX];
    bool ok = true;
    bool leaves;

    while (ok) {
        switch (replay_message(fd, text)) {
        case 0x12:
            ok = atomic_load(&r->mute) || replay_write(r, fd, r->prelogin.data, r->prelogin.size);
            break;
        case 0x10:
            ok = r->refuses ? replay_write(r, fd, r->answer.data, r->answer.size)
                            : replay_write(r, fd, r->login.data, r->login.size);
            break;
        case 0x06:
            ok = replay_done(r, fd, 0x20);
            break;
        case 0x01:
            /* Looked at before the answer: who has it may already mean the next one. */
            leaves = atomic_load(&r->leaves);
            ok = replay_batch(r, fd, text) && !leaves;
            break;
        default:
            ok = false;
            break;
        }
    }
    (void)close(fd);
}

static inline void *
replay_client_run(void *arg)
{
    struct replay_client *c = arg;

    replay_serve(c->server, c->fd);
    (void)atomic_fetch_sub(&c->server->serving, 1);
    return NULL;
}

static inline void *
replay_run(void *arg)
{
    struct replay *r = arg;
    int fd;

    while ((fd = accept(r->listener, NULL, NULL)) >= 0) {
        struct replay_client *c = &r->clients[r->n_clients];
        pthread_t t;

        ck_assert_uint_lt(++r->n_clients, REPLAY_CLIENTS_MAX);
        *c = (struct replay_client){.server = r, .fd = fd};
        (void)atomic_fetch_add(&r->serving, 1);
        ck_assert_int_eq(pthread_create(&t, NULL, replay_client_run, c), 0);
        ck_assert_int_eq(pthread_detach(t), 0);
    }
    return NULL;
}

static inline struct bytes
replay_server_message(const char *vector, const char *kind)
{
    json_t *json = vector_load(vector);
    struct bytes out = {.data = NULL};
    json_t *m;
    size_t i;

    json_array_foreach(json_object_get(json, "messages"), i, m)
    {
        const char *name = json_string_value(json_object_get(m, "message"));

        if (strcmp(json_string_value(json_object_get(m, "direction")), "server") == 0 &&
            name != NULL && strncmp(name, kind, strlen(kind)) == 0) {
            free(out.data); /* the last one counts */
            out = vector_unhex(json_string_value(json_object_get(m, "hex")));
        }
    }
    json_decref(json);
    ck_assert_ptr_nonnull(out.data);
    return out;
}

static inline void
replay_start(struct replay *r)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);

    memset(r, 0, sizeof(*r));
    r->prelogin = replay_server_message("login", "PRELOGIN");
    r->login = replay_server_message("login", "answer");
    ck_assert_int_eq(pthread_mutex_init(&r->lock, NULL), 0);
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(r->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(r->listener, 16), 0);
    ck_assert_int_eq(getsockname(r->listener, (struct sockaddr *)&a, &size), 0);
    r->port = ntohs(a.sin_port);
    ck_assert_int_eq(pthread_create(&r->thread, NULL, replay_run, r), 0);
}

static inline void
replay_answer(struct replay *r, const char *hex)
{
    pthread_mutex_lock(&r->lock);
    free(r->answer.data);
    r->answer = vector_unhex(hex);
    pthread_mutex_unlock(&r->lock);
}

/* Connections must be closed before. */
static inline void
replay_stop(struct replay *r)
{
    (void)shutdown(r->listener, SHUT_RDWR);
    ck_assert_int_eq(pthread_join(r->thread, NULL), 0);
    while (atomic_load(&r->serving) > 0)
        (void)sched_yield();
    (void)close(r->listener);
    free(r->prelogin.data);
    free(r->login.data);
    free(r->answer.data);
}

#endif
