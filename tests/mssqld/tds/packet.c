#include "tests/mssqld/tds/packet.h"

#include "common/err.h"
#include "tests/mssqld/tds/link.h"
#include "tests/mssqld/tds/proto.h"

/* Holds any packet: their length field has 16 bits. */
#define PACKET_IN_SIZE  65536U
/* Bytes gathered before a system call. */
#define PACKET_OUT_SIZE 65536U

int
packet_in_open(struct packet_in *in, struct link *link, struct err *e)
{
    *in = (struct packet_in){.link = link, .data = malloc(PACKET_IN_SIZE)};
    if (in->data == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a receive buffer");
    return 0;
}

void
packet_in_close(struct packet_in *in)
{
    free(in->data);
    in->data = NULL;
}

static size_t
header_length(const uint8_t *header)
{
    return (size_t)header[2] << 8 | header[3];
}

/* Receives more bytes behind those there.  1 = some came, 0 = end, -1, LINK_EMPTY. */
static int
fill(struct packet_in *in, bool wait, struct err *e)
{
    ssize_t n;

    if (in->start > 0) {
        memmove(in->data, in->data + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    CHECK(in->end < PACKET_IN_SIZE);
    n = link_recv(in->link, in->data + in->end, PACKET_IN_SIZE - in->end, wait, e);
    if (n <= 0)
        return (int)n;
    in->end += (size_t)n;
    return 1;
}

/* Waits until size bytes are there.  1, 0 = end of stream with nothing there, -1. */
static int
need(struct packet_in *in, size_t size, struct err *e)
{
    while (in->end - in->start < size) {
        int r = fill(in, true, e);

        if (r < 0)
            return -1;
        if (r == 0) {
            if (in->end == in->start)
                return 0;
            return err_set(e, ERR_PROTOCOL,
                           "the client closed the connection inside a packet: %zu bytes of %zu",
                           in->end - in->start, size);
        }
    }
    return 1;
}

/* Takes the next packet.  Its data stay valid until the next read. */
static int
next_packet(struct packet_in *in, const uint8_t **packet, size_t *length, struct err *e)
{
    int r = need(in, TDS_HEADER_SIZE, e);

    if (r <= 0)
        return r;
    *length = header_length(in->data + in->start);
    if (*length < TDS_HEADER_SIZE) {
        return err_set(e, ERR_PROTOCOL,
                       "a packet of type 0x%02X claims %zu bytes, its header has 8",
                       in->data[in->start], *length);
    }
    r = need(in, *length, e);
    if (r <= 0)
        return -1;
    *packet = in->data + in->start;
    in->start += *length;
    return 1;
}

int
packet_read(struct packet_in *in, struct packet_message *m, size_t limit, struct err *e)
{
    bool first = true;

    buf_clear(&m->body);
    m->status = 0;
    for (;;) {
        const uint8_t *packet = NULL;
        size_t length = 0;
        int r = next_packet(in, &packet, &length, e);

        if (r < 0)
            return -1;
        if (r == 0) {
            if (first)
                return 0;
            return err_set(e, ERR_PROTOCOL, "the client closed the connection inside a message");
        }
        if (!first && packet[0] != m->type && packet[0] != TDS_ATTENTION) {
            return err_set(e, ERR_PROTOCOL,
                           "a packet of type 0x%02X stands inside a message of type 0x%02X",
                           packet[0], m->type);
        }
        if (!first && packet[0] == TDS_ATTENTION) {
            buf_clear(&m->body);
            m->status = 0;
        }
        m->type = packet[0];
        m->status |= packet[1];
        first = false;
        if (m->body.size + (length - TDS_HEADER_SIZE) > limit) {
            return err_set(e, ERR_PROTOCOL, "a message of type 0x%02X is longer than %zu bytes",
                           m->type, limit);
        }
        buf_put(&m->body, packet + TDS_HEADER_SIZE, length - TDS_HEADER_SIZE);
        if (m->body.failed)
            return err_set(e, ERR_NOMEM, "no memory for a message of more than %zu bytes", limit);
        if ((packet[1] & TDS_STATUS_EOM) != 0)
            return 1;
    }
}

int
packet_poll_attention(struct packet_in *in, struct err *e)
{
    size_t have = in->end - in->start;
    int r = have >= TDS_HEADER_SIZE ? LINK_EMPTY : fill(in, false, e);

    if (r == 0)
        return err_set(e, ERR_CONNECT, "the client closed the connection");
    if (r < 0 && r != LINK_EMPTY)
        return -1;
    have = in->end - in->start;
    if (have < TDS_HEADER_SIZE || in->data[in->start] != TDS_ATTENTION ||
        have < header_length(in->data + in->start))
        return 0;
    in->start += header_length(in->data + in->start);
    return 1;
}

/* ---- writing ---- */

int
packet_out_resize(struct packet_out *out, size_t size, struct err *e)
{
    size_t packets = PACKET_OUT_SIZE / size > 1 ? PACKET_OUT_SIZE / size : 1;
    uint8_t *data = realloc(out->data, packets * size);

    if (data == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a send buffer");
    out->data = data;
    out->cap = packets * size;
    out->packet_size = size;
    return 0;
}

int
packet_out_open(struct packet_out *out, struct link *link, struct err *e)
{
    *out = (struct packet_out){.link = link};
    return packet_out_resize(out, TDS_PACKET_DEFAULT, e);
}

void
packet_out_close(struct packet_out *out)
{
    free(out->data);
    out->data = NULL;
}

void
packet_begin(struct packet_out *out, uint8_t type)
{
    out->type = type;
    out->id = 0;
    out->start = 0;
    out->fill = TDS_HEADER_SIZE;
}

static void
close_packet(struct packet_out *out, uint8_t status)
{
    uint8_t *header = out->data + out->start;

    header[0] = out->type;
    header[1] = status;
    header[2] = (uint8_t)(out->fill >> 8);
    header[3] = (uint8_t)out->fill;
    header[4] = (uint8_t)(out->spid >> 8);
    header[5] = (uint8_t)out->spid;
    header[6] = ++out->id;
    header[7] = 0;
}

static int
flush(struct packet_out *out, struct err *e)
{
    size_t size = out->start + out->fill;

    out->start = 0;
    out->fill = TDS_HEADER_SIZE;
    out->sends++;
    return link_send(out->link, out->data, size, e);
}

int
packet_write(struct packet_out *out, const void *data, size_t size, struct err *e)
{
    const uint8_t *p = data;

    while (size > 0) {
        size_t room = out->packet_size - out->fill;
        size_t n = size < room ? size : room;

        /* A full packet is closed only when more follows: the last one carries the EOM bit. */
        if (room == 0) {
            close_packet(out, 0);
            if (out->start + 2 * out->packet_size <= out->cap) {
                out->start += out->packet_size;
                out->fill = TDS_HEADER_SIZE;
            } else if (flush(out, e) != 0) {
                return -1;
            }
            continue;
        }
        memcpy(out->data + out->start + out->fill, p, n);
        out->fill += n;
        p += n;
        size -= n;
    }
    return 0;
}

int
packet_finish(struct packet_out *out, struct err *e)
{
    close_packet(out, TDS_STATUS_EOM);
    return flush(out, e);
}
