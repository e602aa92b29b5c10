/* uses: mssqld */
/* Packets: cutting and gathering messages over a socket pair, lying headers, attention. */
#include "common/err.h"
#include "tests/mssqld/tds/link.h"
#include "tests/mssqld/tds/packet.h"
#include "tests/mssqld/tds/proto.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT (1U << 24)

struct pair {
    struct link near;
    int far;
    struct packet_in in;
    struct packet_out out;
};

static void
pair_open(struct pair *p)
{
    int fds[2];
    struct err e = ERR_INIT;

    memset(p, 0, sizeof(*p));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    p->near.fd = fds[0];
    p->far = fds[1];
    ck_assert_int_eq(packet_in_open(&p->in, &p->near, &e), 0);
    ck_assert_int_eq(packet_out_open(&p->out, &p->near, &e), 0);
}

static void
pair_close(struct pair *p)
{
    packet_in_close(&p->in);
    packet_out_close(&p->out);
    link_close(&p->near);
    if (p->far >= 0)
        (void)close(p->far);
}

static void
far_send(struct pair *p, const void *data, size_t size)
{
    ck_assert_int_eq(write(p->far, data, size), (ssize_t)size);
}

static void
far_close(struct pair *p)
{
    (void)close(p->far);
    p->far = -1;
}

/* ---- writing ---- */

struct drain {
    int fd;
    uint8_t *data;
    size_t size;
};

static void *
drain_main(void *arg)
{
    struct drain *d = arg;

    for (;;) {
        ssize_t n;

        d->data = realloc(d->data, d->size + 65536);
        ck_assert_ptr_nonnull(d->data);
        n = read(d->fd, d->data + d->size, 65536);
        if (n <= 0)
            return NULL;
        d->size += (size_t)n;
    }
}

/* Writes `size` bytes in pieces of `piece` and checks every header of what arrives. */
static void
check_cutting(size_t packet_size, size_t size, size_t piece)
{
    struct pair p;
    struct err e = ERR_INIT;
    struct drain d;
    pthread_t thread;
    uint8_t *data = calloc(size + 8, 1);
    size_t at = 0;
    size_t body = 0;
    uint8_t id = 1;

    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    pair_open(&p);
    p.out.spid = 0x1234;
    ck_assert_int_eq(packet_out_resize(&p.out, packet_size, &e), 0);
    d = (struct drain){.fd = p.far};
    ck_assert_int_eq(pthread_create(&thread, NULL, drain_main, &d), 0);
    packet_begin(&p.out, TDS_ANSWER);
    for (size_t i = 0; i < size; i += piece)
        ck_assert_int_eq(packet_write(&p.out, data + i, size - i < piece ? size - i : piece, &e),
                         0);
    ck_assert_int_eq(packet_finish(&p.out, &e), 0);
    ck_assert_int_eq(shutdown(p.near.fd, SHUT_WR), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    do {
        size_t length = (size_t)d.data[at + 2] << 8 | d.data[at + 3];
        bool last = at + length == d.size;

        ck_assert_uint_eq(d.data[at], TDS_ANSWER);
        ck_assert_uint_eq(d.data[at + 1], last ? TDS_STATUS_EOM : 0);
        ck_assert(last || length == packet_size);
        ck_assert_uint_le(length, packet_size);
        ck_assert_uint_eq(d.data[at + 4], 0x12);
        ck_assert_uint_eq(d.data[at + 5], 0x34);
        ck_assert_uint_eq(d.data[at + 6], id++);
        ck_assert_uint_eq(d.data[at + 7], 0);
        if (length > 8)
            ck_assert_mem_eq(d.data + at + 8, data + body, length - 8);
        body += length - 8;
        at += length;
    } while (at < d.size);
    ck_assert_uint_eq(body, size);
    free(d.data);
    free(data);
    pair_close(&p);
}

START_TEST(messages_are_cut_at_any_size)
{
    static const size_t packets[] = {512, 513, 4096, 8192, 16383, 32767};
    size_t packet = packets[_i];

    for (size_t piece = 1; piece < 100000; piece = piece * 3 + 1) {
        check_cutting(packet, packet - 9, piece);
        check_cutting(packet, packet - 8, piece); /* exactly one full packet */
        check_cutting(packet, packet - 7, piece);
        check_cutting(packet, 3 * (packet - 8), piece);
        check_cutting(packet, 200000, piece); /* more than is sent at once; ids wrap at 512 */
    }
    check_cutting(packet, 0, 1);
}
END_TEST

/* ---- reading ---- */

static void
put_packet(struct buf *b, uint8_t type, uint8_t status, const void *data, size_t size)
{
    buf_u8(b, type);
    buf_u8(b, status);
    buf_u8(b, (unsigned)((size + 8) >> 8));
    buf_u8(b, (unsigned)(size + 8));
    buf_u32(b, 0);
    buf_put(b, data, size);
}

START_TEST(packets_become_one_message)
{
    struct pair p;
    struct err e = ERR_INIT;
    struct packet_message m = {.type = 0};
    struct buf b = {.data = NULL};

    pair_open(&p);
    put_packet(&b, TDS_BATCH, TDS_STATUS_RESET, "abc", 3);
    put_packet(&b, TDS_BATCH, 0, "", 0);
    put_packet(&b, TDS_BATCH, TDS_STATUS_EOM, "de", 2);
    put_packet(&b, TDS_RPC, TDS_STATUS_EOM, "f", 1);
    /* Byte by byte: whatever the kernel hands over must do. */
    for (size_t i = 0; i < b.size; i++)
        far_send(&p, b.data + i, 1);
    ck_assert_int_eq(packet_read(&p.in, &m, LIMIT, &e), 1);
    ck_assert_uint_eq(m.type, TDS_BATCH);
    ck_assert_uint_eq(m.status, TDS_STATUS_RESET | TDS_STATUS_EOM);
    ck_assert_uint_eq(m.body.size, 5);
    ck_assert_mem_eq(m.body.data, "abcde", 5);
    ck_assert_int_eq(packet_read(&p.in, &m, LIMIT, &e), 1);
    ck_assert_uint_eq(m.type, TDS_RPC);
    far_close(&p);
    ck_assert_int_eq(packet_read(&p.in, &m, LIMIT, &e), 0);
    buf_free(&b);
    buf_free(&m.body);
    pair_close(&p);
}
END_TEST

START_TEST(broken_packets_are_refused)
{
    static const struct {
        const char *data;
        size_t size;
        const char *says;
    } cases[] = {
        {"\x01\x01\0\x07\0\0\0\0", 8, "claims 7 bytes"},
        {"\x01\x01\0\0\0\0\0\0", 8, "claims 0 bytes"},
        {"\x01\x01\0\x10\0\0\0\0abc", 11, "inside a packet"},
        {"\x01\x01\0", 3, "inside a packet"},
        {"\x01\0\0\x09\0\0\0\0a", 9, "inside a message"},
        {"\x01\0\0\x09\0\0\0\0a\x03\x01\0\x09\0\0\0\0b", 18, "stands inside a message"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair p;
        struct err e = ERR_INIT;
        struct packet_message m = {.type = 0};

        pair_open(&p);
        far_send(&p, cases[i].data, cases[i].size);
        far_close(&p);
        ck_assert_int_eq(packet_read(&p.in, &m, LIMIT, &e), -1);
        ck_assert_msg(strstr(e.text, cases[i].says) != NULL, "case %zu: %s", i, e.text);
        buf_free(&m.body);
        pair_close(&p);
    }
}
END_TEST

START_TEST(messages_have_a_limit)
{
    struct pair p;
    struct err e = ERR_INIT;
    struct packet_message m = {.type = 0};
    struct buf b = {.data = NULL};
    char data[100] = {0};

    pair_open(&p);
    put_packet(&b, TDS_BATCH, 0, data, 100);
    put_packet(&b, TDS_BATCH, 0, data, 100);
    far_send(&p, b.data, b.size);
    ck_assert_int_eq(packet_read(&p.in, &m, 150, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "longer than 150 bytes"));
    buf_free(&b);
    buf_free(&m.body);
    pair_close(&p);
}
END_TEST

START_TEST(attention_is_seen_without_waiting)
{
    struct pair p;
    struct err e = ERR_INIT;
    struct packet_message m = {.type = 0};
    static const uint8_t attention[8] = {TDS_ATTENTION, TDS_STATUS_EOM, 0, 8, 0, 0, 1, 0};
    struct buf b = {.data = NULL};

    pair_open(&p);
    ck_assert_int_eq(packet_poll_attention(&p.in, &e), 0);
    far_send(&p, attention, 5);
    ck_assert_int_eq(packet_poll_attention(&p.in, &e), 0);
    far_send(&p, attention + 5, 3);
    ck_assert_int_eq(packet_poll_attention(&p.in, &e), 1);
    ck_assert_int_eq(packet_poll_attention(&p.in, &e), 0);
    /* Another message is left where it is. */
    put_packet(&b, TDS_BATCH, TDS_STATUS_EOM, "x", 1);
    far_send(&p, b.data, b.size);
    ck_assert_int_eq(packet_poll_attention(&p.in, &e), 0);
    ck_assert_int_eq(packet_read(&p.in, &m, LIMIT, &e), 1);
    ck_assert_uint_eq(m.body.size, 1);
    far_close(&p);
    ck_assert_int_eq(packet_poll_attention(&p.in, &e), -1);
    buf_free(&b);
    buf_free(&m.body);
    pair_close(&p);
}
END_TEST

/* A client that gives a request up in the middle of sending it. */
START_TEST(attention_replaces_an_unfinished_message)
{
    struct pair p;
    struct err e = ERR_INIT;
    struct packet_message m = {.type = 0};
    struct buf b = {.data = NULL};

    pair_open(&p);
    put_packet(&b, TDS_BATCH, 0, "abc", 3);
    put_packet(&b, TDS_ATTENTION, TDS_STATUS_EOM, "", 0);
    far_send(&p, b.data, b.size);
    ck_assert_int_eq(packet_read(&p.in, &m, LIMIT, &e), 1);
    ck_assert_uint_eq(m.type, TDS_ATTENTION);
    ck_assert_uint_eq(m.body.size, 0);
    buf_free(&b);
    buf_free(&m.body);
    pair_close(&p);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("tds_packet");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, messages_are_cut_at_any_size, 0, 6);
    tcase_add_test(t, packets_become_one_message);
    tcase_add_test(t, broken_packets_are_refused);
    tcase_add_test(t, messages_have_a_limit);
    tcase_add_test(t, attention_is_seen_without_waiting);
    tcase_add_test(t, attention_replaces_an_unfinished_message);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
