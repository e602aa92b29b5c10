/* uses: mssqld */
/*
 * Whole connections over a socket pair, with the fake engine behind the seam: the order of tokens,
 * DONE bits, attention, reset, refusals, and hostile messages in each state.
 */
#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/conn.h"
#include "tests/mssqld/tds/proto.h"
#include "tests/unit/tds_fake_engine.h"
#include "tests/unit/tds_vectors.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_bool stopping;

struct client {
    int fd;
    int server_fd;
    pthread_t thread;
    struct conn_config config;
    uint8_t answer[1 << 20]; /* payload of the last message */
    size_t size;
    int packets;
};

static void *
server_main(void *arg)
{
    struct client *c = arg;

    conn_serve(c->server_fd, 77, &c->config);
    (void)close(c->server_fd);
    return NULL;
}

static struct client *
client_open(void)
{
    struct client *c = calloc(1, sizeof(*c));
    int fds[2];

    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    c->fd = fds[0];
    c->server_fd = fds[1];
    c->config =
        (struct conn_config){.server_name = "TEST", .login_timeout_s = 10, .stopping = &stopping};
    ck_assert_int_eq(pthread_create(&c->thread, NULL, server_main, c), 0);
    return c;
}

/* Closes the near side and waits for the connection's thread: it must end by itself. */
static void
client_close(struct client *c)
{
    (void)close(c->fd);
    ck_assert_int_eq(pthread_join(c->thread, NULL), 0);
    free(c);
}

static void
send_message(struct client *c, uint8_t type, uint8_t status, const void *body, size_t size)
{
    uint8_t header[8] = {type, status | TDS_STATUS_EOM, (uint8_t)((size + 8) >> 8),
                         (uint8_t)(size + 8)};

    /* The server may have closed already; what it answered is read all the same. */
    (void)send(c->fd, header, 8, MSG_NOSIGNAL);
    (void)send(c->fd, body, size, MSG_NOSIGNAL);
}

static bool
read_exactly(int fd, void *data, size_t size)
{
    char *p = data;

    while (size > 0) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        ssize_t n;

        ck_assert_msg(poll(&pfd, 1, 20000) == 1, "no answer within 20 s");
        n = read(fd, p, size);
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

/* Reads one message into c->answer.  False: the server closed. */
static bool
read_message(struct client *c)
{
    uint8_t header[8];

    c->size = 0;
    c->packets = 0;
    do {
        size_t length;

        if (!read_exactly(c->fd, header, 8))
            return false;
        length = ((size_t)header[2] << 8 | header[3]) - 8;
        ck_assert_uint_eq(header[0], TDS_ANSWER);
        ck_assert_uint_eq(header[5], 77); /* SPID: FreeTDS takes its own from here */
        ck_assert_uint_le(c->size + length, sizeof(c->answer));
        if (!read_exactly(c->fd, c->answer + c->size, length))
            return false;
        c->size += length;
        c->packets++;
    } while ((header[1] & TDS_STATUS_EOM) == 0);
    return true;
}

/* The tokens of the answer as text: "ENV1 INFO5701 ... DONE(0x10,3)". */
static const char *
tokens(struct client *c)
{
    static char text[8192];
    struct walk w = {c->answer, c->answer + c->size};
    struct walk_column columns[64];
    int n = 0;
    size_t used = 0;

    text[0] = '\0';
    while (w.at < w.end) {
        uint8_t token = (uint8_t)walk_int(&w, 1);
        struct walk inner;
        char *out = text + used;
        size_t room = sizeof(text) - used;

        switch (token) {
        case TOKEN_ENVCHANGE:
        case TOKEN_INFO:
        case TOKEN_ERROR:
        case TOKEN_LOGINACK: {
            size_t size = walk_int(&w, 2);

            inner.at = walk_take(&w, size);
            inner.end = w.at;
            if (token == TOKEN_ENVCHANGE)
                (void)snprintf(out, room, "ENV%u ", inner.at[0]);
            else if (token == TOKEN_LOGINACK)
                (void)snprintf(out, room, "LOGINACK ");
            else
                (void)snprintf(out, room, "%s%u ", token == TOKEN_INFO ? "INFO" : "ERROR",
                               (unsigned)walk_int(&inner, 4));
            break;
        }
        case TOKEN_FEATUREEXTACK:
            (void)snprintf(out, room, "FEATURE ");
            while (walk_int(&w, 1) != 0xFF)
                (void)walk_take(&w, walk_int(&w, 4));
            break;
        case TOKEN_COLMETADATA:
            n = walk_columns(&w, columns, 64);
            (void)snprintf(out, room, "COLUMNS%d ", n);
            break;
        case TOKEN_ROW:
        case TOKEN_NBCROW: {
            const uint8_t *nulls =
                token == TOKEN_NBCROW ? walk_take(&w, ((size_t)n + 7) / 8) : NULL;

            for (int i = 0; i < n; i++) {
                if (nulls == NULL || (nulls[i / 8] >> (i % 8) & 1) == 0)
                    free(walk_value(&w, &columns[i]).data);
            }
            (void)snprintf(out, room, "ROW ");
            break;
        }
        case TOKEN_RETURN_STATUS:
            (void)snprintf(out, room, "STATUS%d ", (int)walk_int(&w, 4));
            break;
        case TOKEN_RETURN_VALUE: {
            unsigned ordinal = (unsigned)walk_int(&w, 2);

            (void)walk_take(&w, walk_int(&w, 1) * 2 + 1 + 6);
            walk_type(&w, &columns[0]);
            free(walk_value(&w, &columns[0]).data);
            (void)snprintf(out, room, "VALUE%u ", ordinal);
            break;
        }
        case TOKEN_DONE:
        case TOKEN_DONEPROC:
        case TOKEN_DONEINPROC: {
            unsigned status = (unsigned)walk_int(&w, 2);

            (void)walk_int(&w, 2);
            (void)snprintf(out, room, "%s(%x,%u) ",
                           token == TOKEN_DONE       ? "DONE"
                           : token == TOKEN_DONEPROC ? "PROC"
                                                     : "INPROC",
                           status, (unsigned)walk_int(&w, 8));
            break;
        }
        default:
            ck_abort_msg("token 0x%02X after %s", token, text);
        }
        used += strlen(text + used);
    }
    if (used > 0)
        text[used - 1] = '\0';
    return text;
}

static void
expect_tokens(struct client *c, const char *want)
{
    ck_assert_msg(read_message(c), "the server closed the connection");
    ck_assert_str_eq(tokens(c), want);
}

/* ---- making requests ---- */

static void
put_utf16(struct buf *b, const char *text)
{
    for (; *text != '\0'; text++)
        buf_u16(b, (uint16_t)(unsigned char)*text);
}

static void
put_headers(struct buf *b)
{
    buf_u32(b, 22);
    buf_u32(b, 18);
    buf_u16(b, 2);
    buf_u64(b, 0);
    buf_u32(b, 1);
}

static void
send_batch(struct client *c, const char *text, uint8_t status)
{
    struct buf b = {.data = NULL};

    put_headers(&b);
    put_utf16(&b, text);
    send_message(c, TDS_BATCH, status, b.data, b.size);
    buf_free(&b);
}

/* A LOGIN7 record with user, password and database. */
static void
send_login(struct client *c, const char *user, const char *password, const char *database,
           uint32_t packet_size)
{
    uint8_t fixed[94] = {0};
    struct buf b = {.data = NULL};
    static const size_t places[] = {40, 44, 68}; /* user, password, database */
    const char *const values[] = {user, password, database};
    uint32_t version = TDS_VERSION_7_4;
    uint32_t size;

    memcpy(fixed + 4, &version, 4);
    memcpy(fixed + 8, &packet_size, 4);
    buf_put(&b, fixed, sizeof(fixed));
    for (int i = 0; i < 3; i++) {
        uint16_t at = (uint16_t)b.size;

        put_utf16(&b, values[i]);
        memcpy(b.data + places[i], &at, 2);
        at = (uint16_t)strlen(values[i]);
        memcpy(b.data + places[i] + 2, &at, 2);
        if (i == 1) {
            for (size_t k = b.size - at * 2U; k < b.size; k++)
                b.data[k] = (uint8_t)((b.data[k] << 4 | b.data[k] >> 4) ^ 0xA5);
        }
    }
    size = (uint32_t)b.size;
    memcpy(b.data, &size, 4);
    send_message(c, TDS_LOGIN7, 0, b.data, b.size);
    buf_free(&b);
}

static const uint8_t prelogin_record[] = {1, 0, 6, 0, 1, 0xFF, 2};

static struct client *
client_logged_in(uint32_t packet_size)
{
    struct client *c = client_open();

    send_message(c, TDS_PRELOGIN, 0, prelogin_record, sizeof(prelogin_record));
    ck_assert(read_message(c));
    send_login(c, "sa", "S3cret!", "shop", packet_size);
    expect_tokens(c, "ENV1 INFO5701 ENV7 ENV2 INFO5703 LOGINACK ENV4 DONE(0,0)");
    return c;
}

static void
put_text_param(struct buf *b, const char *value)
{
    static const uint8_t collation[5] = {0x09, 0x04, 0xD0, 0x00, 0x34};

    buf_u16(b, 0); /* no name, no flags */
    buf_u8(b, 0xE7);
    buf_u16(b, 8000);
    buf_put(b, collation, 5);
    buf_u16(b, (uint16_t)(strlen(value) * 2));
    put_utf16(b, value);
}

static void
put_int_param(struct buf *b, int32_t value, bool output)
{
    buf_u8(b, 0);
    buf_u8(b, output ? 1 : 0);
    buf_u16(b, 0x0426);
    buf_u8(b, 4);
    buf_u32(b, (uint32_t)value);
}

static void
put_call_head(struct buf *b, uint16_t id)
{
    buf_u16(b, 0xFFFF);
    buf_u16(b, id);
    buf_u16(b, 0);
}

/* @stmt, @params and n integers; output marks those by reference. */
static void
put_call(struct buf *b, uint16_t id, const char *text, int n, bool output)
{
    put_call_head(b, id);
    put_text_param(b, text);
    put_text_param(b, "@a int, @b int, @c int");
    for (int i = 0; i < n; i++)
        put_int_param(b, i, output);
}

/* ---- tests ---- */

START_TEST(refused_logins)
{
    static const struct {
        const char *user;
        const char *password;
        const char *database;
        const char *want;
    } cases[] = {
        {"sa", "wrong", "", "ERROR18456 DONE(2,0)"},
        {"nobody", "S3cret!", "", "ERROR18456 DONE(2,0)"},
        {"sa", "S3cret!", "nowhere", "ERROR4060 DONE(2,0)"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client *c = client_open();

        send_message(c, TDS_PRELOGIN, 0, prelogin_record, sizeof(prelogin_record));
        ck_assert(read_message(c));
        send_login(c, cases[i].user, cases[i].password, cases[i].database, 0);
        expect_tokens(c, cases[i].want);
        ck_assert(!read_message(c));
        client_close(c);
    }
}
END_TEST

START_TEST(batches)
{
    struct client *c = client_logged_in(0);
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"rows 0", "COLUMNS10 DONE(10,0)"},
        {"rows 2", "COLUMNS10 ROW ROW DONE(10,2)"},
        {"two", "COLUMNS1 ROW DONE(11,1) COLUMNS1 ROW DONE(10,1)"},
        {"error", "ERROR50000 DONE(2,0)"},
        {"bare", "ERROR102 DONE(2,0)"},
        {"use other", "ENV1 INFO5701 DONE(0,0)"},
        {"", "DONE(0,0)"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        send_batch(c, cases[i].text, 0);
        expect_tokens(c, cases[i].want);
    }
    client_close(c);
}
END_TEST

START_TEST(calls)
{
    struct client *c = client_logged_in(0);
    struct buf b = {.data = NULL};

    put_headers(&b);
    put_call(&b, 10, "echo", 3, false);
    send_message(c, TDS_RPC, 0, b.data, b.size);
    expect_tokens(c, "COLUMNS3 ROW INPROC(11,1) STATUS0 PROC(0,0)");

    /* Two calls in one message; the first one's DONEPROC says that more follows. */
    buf_u8(&b, 0xFF);
    put_call(&b, 10, "output", 3, true);
    send_message(c, TDS_RPC, 0, b.data, b.size);
    expect_tokens(c, "COLUMNS3 ROW INPROC(11,1) STATUS0 PROC(1,0) "
                     "STATUS0 VALUE2 VALUE3 VALUE4 PROC(0,0)");

    /* A parameter too few, one too many. */
    buf_clear(&b);
    put_headers(&b);
    put_call(&b, 10, "echo", 2, false);
    send_message(c, TDS_RPC, 0, b.data, b.size);
    expect_tokens(c, "ERROR8178 STATUS0 PROC(2,0)");
    buf_clear(&b);
    put_headers(&b);
    put_call(&b, 10, "echo", 4, false);
    send_message(c, TDS_RPC, 0, b.data, b.size);
    expect_tokens(c, "ERROR8144 STATUS0 PROC(2,0)");

    /* No such prepared statement. */
    buf_clear(&b);
    put_headers(&b);
    put_call(&b, 12, "1", 0, false);
    send_message(c, TDS_RPC, 0, b.data, b.size);
    expect_tokens(c, "ERROR8179 STATUS0 PROC(2,0)");
    buf_free(&b);
    client_close(c);
}
END_TEST

/* sp_prepexec, sp_execute with its handle, sp_unprepare, and the handle is no more. */
START_TEST(prepared_statements)
{
    struct client *c = client_logged_in(0);
    static const struct {
        uint16_t id;
        const char *want;
    } steps[] = {
        {13, "COLUMNS1 ROW INPROC(11,1) STATUS0 VALUE0 PROC(0,0)"},
        {12, "COLUMNS1 ROW INPROC(11,1) STATUS0 PROC(0,0)"},
        {15, "STATUS0 PROC(0,0)"},
        {12, "ERROR8179 STATUS0 PROC(2,0)"},
        {11, "STATUS0 VALUE0 PROC(0,0)"},
    };

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        bool prepares = steps[i].id == 11 || steps[i].id == 13;
        struct buf b = {.data = NULL};

        put_headers(&b);
        put_call_head(&b, steps[i].id);
        put_int_param(&b, 1, prepares); /* @handle */
        if (prepares) {
            put_text_param(&b, "@a int");
            put_text_param(&b, "echo");
        }
        if (steps[i].id == 12 || steps[i].id == 13)
            put_int_param(&b, 5, false);
        send_message(c, TDS_RPC, 0, b.data, b.size);
        buf_free(&b);
        expect_tokens(c, steps[i].want);
    }
    client_close(c);
}
END_TEST

START_TEST(transactions)
{
    struct client *c = client_logged_in(0);
    struct buf b = {.data = NULL};
    static const struct {
        const char *body;
        size_t size;
        const char *want;
    } cases[] = {
        {"\x05\0\0\0", 4, "ENV8 DONE(0,0)"},
        {"\x05\0\x05\0", 4, "INFO1 DONE(1,0) ENV8 DONE(0,0)"}, /* SNAPSHOT */
        {"\x05\0\x04\0", 4, "ERROR3952 DONE(2,0)"},            /* a level that is refused */
        {"\x09\0\x02s\0", 5, "DONE(0,0)"},
        {"\x07\0\0\x01\0\0", 6, "ENV9 DONE(1,0) ENV8 DONE(0,0)"}, /* and begin the next */
        {"\x08\0\0\0", 4, "ENV10 DONE(0,0)"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buf_clear(&b);
        put_headers(&b);
        buf_put(&b, cases[i].body, cases[i].size);
        send_message(c, TDS_TRANSACTION, 0, b.data, b.size);
        expect_tokens(c, cases[i].want);
    }
    buf_free(&b);
    client_close(c);
}
END_TEST

/* Two messages: the answer comes to its end, then the acknowledgement by itself. */
START_TEST(attention_while_the_engine_works)
{
    struct client *c = client_logged_in(0);

    for (int i = 0; i < 3; i++) {
        send_batch(c, "wait", 0);
        send_message(c, TDS_ATTENTION, 0, "", 0);
        expect_tokens(c, "DONE(2,0)");
        expect_tokens(c, "DONE(20,0)");
    }
    send_batch(c, "two", 0);
    expect_tokens(c, "COLUMNS1 ROW DONE(11,1) COLUMNS1 ROW DONE(10,1)");
    client_close(c);
}
END_TEST

START_TEST(attention_while_rows_go_out)
{
    struct client *c = client_logged_in(512);
    uint8_t header[8];
    uint8_t body[32768];
    size_t rest = 0;

    send_batch(c, "rows 100000000", 0);
    ck_assert(read_exactly(c->fd, header, 8));
    rest = ((size_t)header[2] << 8 | header[3]) - 8;
    ck_assert(read_exactly(c->fd, body, rest));
    send_message(c, TDS_ATTENTION, 0, "", 0);
    do {
        ck_assert(read_exactly(c->fd, header, 8));
        rest = ((size_t)header[2] << 8 | header[3]) - 8;
        ck_assert(read_exactly(c->fd, body, rest));
    } while ((header[1] & TDS_STATUS_EOM) == 0);
    ck_assert_mem_eq(body + rest - 13, "\xFD\x02\0", 3); /* DONE, error, nothing more */
    expect_tokens(c, "DONE(20,0)");
    send_batch(c, "two", 0);
    expect_tokens(c, "COLUMNS1 ROW DONE(11,1) COLUMNS1 ROW DONE(10,1)");
    client_close(c);
}
END_TEST

START_TEST(attention_without_a_request)
{
    struct client *c = client_logged_in(0);

    send_message(c, TDS_ATTENTION, 0, "", 0);
    expect_tokens(c, "DONE(20,0)");
    client_close(c);
}
END_TEST

START_TEST(ignored_request_has_one_done)
{
    struct client *c = client_logged_in(0);

    send_batch(c, "rows 5", TDS_STATUS_IGNORE);
    expect_tokens(c, "DONE(2,0)");
    client_close(c);
}
END_TEST

START_TEST(reset_is_announced)
{
    struct client *c = client_logged_in(0);

    send_batch(c, "use other", 0);
    expect_tokens(c, "ENV1 INFO5701 DONE(0,0)");
    send_batch(c, "two", TDS_STATUS_RESET);
    expect_tokens(c, "ENV18 COLUMNS1 ROW DONE(11,1) COLUMNS1 ROW DONE(10,1)");
    client_close(c);
}
END_TEST

START_TEST(packet_size_counts_from_the_next_message)
{
    struct client *c = client_logged_in(512);

    ck_assert_int_eq(c->packets, 1); /* the login's answer: still 4096 */
    send_batch(c, "wide 2000", 0);
    ck_assert(read_message(c));
    ck_assert_int_eq(c->packets, (int)((c->size + 503) / 504));
    client_close(c);
}
END_TEST

START_TEST(a_client_that_goes_away_ends_the_batch)
{
    struct client *c = client_logged_in(0);

    send_batch(c, "wait", 0);
    client_close(c); /* joins: hangs if nobody notices */
    c = client_logged_in(0);
    send_batch(c, "rows 100000000", 0);
    client_close(c);
}
END_TEST

/* Malformed requests after the login: an ERROR where one can be read, then the end. */
START_TEST(malformed_requests_end_the_connection)
{
    static const struct {
        uint8_t type;
        const char *body;
        size_t size;
    } cases[] = {
        {TDS_BATCH, "", 0},
        {TDS_BATCH, "\x02\0\0\0", 4},
        {TDS_BATCH, "\xFF\xFF\xFF\x7F", 4},
        {TDS_BATCH, "\x04\0\0\0a", 5}, /* half a character */
        {TDS_RPC, "\x04\0\0\0\x05\0a\0", 8},
        {TDS_RPC, "\x04\0\0\0\xFF\xFF\x01\0\0\0", 10}, /* sp_cursor */
        {TDS_RPC, "\x04\0\0\0\xFF\xFF\x0A\0\0\0\0\0\xF3", 13},
        {TDS_TRANSACTION, "\x04\0\0\0", 4},
        {TDS_TRANSACTION, "\x04\0\0\0\x06\0", 6},
        {TDS_BULK, "x", 1},
        {TDS_LOGIN7, "x", 1},
        {0x55, "x", 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client *c = client_logged_in(0);

        send_message(c, cases[i].type, 0, cases[i].body, cases[i].size);
        ck_assert(read_message(c));
        ck_assert_msg(strncmp(tokens(c), "ERROR4002 ", 10) == 0, "case %zu: %s", i, tokens(c));
        ck_assert(!read_message(c));
        client_close(c);
    }
}
END_TEST

/* Before the login: no answer to what is not PRELOGIN or LOGIN7. */
START_TEST(wrong_messages_before_the_login)
{
    struct client *c = client_open();

    send_batch(c, "two", 0);
    ck_assert(!read_message(c));
    client_close(c);
    c = client_open();
    send_message(c, TDS_PRELOGIN, 0, prelogin_record, sizeof(prelogin_record));
    ck_assert(read_message(c));
    send_batch(c, "two", 0);
    ck_assert(!read_message(c));
    client_close(c);
    c = client_open();
    send_message(c, TDS_PRELOGIN, 0, "\0\0", 2);
    ck_assert(!read_message(c));
    client_close(c);
    c = client_open();
    (void)send(c->fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
    (void)shutdown(c->fd, SHUT_WR);
    ck_assert(!read_message(c));
    client_close(c);
}
END_TEST

/* A connection whose first bytes are noise: ends, whatever they say. */
START_TEST(noise_is_survived)
{
    uint32_t seed = 99;

    for (int round = 0; round < 300; round++) {
        struct client *c = round % 2 == 0 ? client_open() : client_logged_in(0);
        uint8_t noise[200];

        for (size_t i = 0; i < sizeof(noise); i++) {
            seed = seed * 1664525U + 1013904223U;
            noise[i] = (uint8_t)(seed >> 24);
        }
        if (round % 4 < 2) { /* a good header in front reaches further */
            noise[0] = round % 8 < 4 ? TDS_RPC : TDS_PRELOGIN;
            noise[1] = TDS_STATUS_EOM;
            noise[2] = 0;
            noise[3] = sizeof(noise);
        }
        (void)send(c->fd, noise, sizeof(noise), MSG_NOSIGNAL);
        (void)shutdown(c->fd, SHUT_WR);
        while (read_message(c))
            continue;
        client_close(c);
    }
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("tds_conn");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, refused_logins);
    tcase_add_test(t, batches);
    tcase_add_test(t, calls);
    tcase_add_test(t, prepared_statements);
    tcase_add_test(t, transactions);
    tcase_add_test(t, attention_while_the_engine_works);
    tcase_add_test(t, attention_while_rows_go_out);
    tcase_add_test(t, attention_without_a_request);
    tcase_add_test(t, ignored_request_has_one_done);
    tcase_add_test(t, reset_is_announced);
    tcase_add_test(t, packet_size_counts_from_the_next_message);
    tcase_add_test(t, a_client_that_goes_away_ends_the_batch);
    tcase_add_test(t, malformed_requests_end_the_connection);
    tcase_add_test(t, wrong_messages_before_the_login);
    tcase_add_test(t, noise_is_survived);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
