#include "tests/mssqld/tds/link.h"

#include "common/err.h"
#include "tests/mssqld/tds/fault.h"
#include "tests/mssqld/tds/proto.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAW_SIZE 16384U

/* ---- TLS context ---- */

static int
tls_err_as(struct err *e, enum err_code as, const char *what)
{
    char text[256] = "no reason given";
    unsigned long code = ERR_get_error();

    if (code != 0)
        ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return err_set(e, as, "%s: %s", what, text);
}

static int
tls_err(struct err *e, const char *what)
{
    return tls_err_as(e, ERR_TLS, what);
}

int
link_tls_context(const char *cert, const char *key, SSL_CTX **out, struct err *e)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    char what[512];

    if (context == NULL)
        return tls_err(e, "make a TLS context");
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) != 1) {
        (void)tls_err(e, "limit TLS to 1.2");
        goto fail;
    }
    /* A session ticket would only make the last flight longer; nothing resumes sessions here. */
    (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_use_certificate_chain_file(context, cert) != 1) {
        (void)snprintf(what, sizeof(what), "read certificate %s", cert);
        (void)tls_err_as(e, ERR_CONFIG, what);
        goto fail;
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        (void)snprintf(what, sizeof(what), "read key %s of certificate %s", key, cert);
        (void)tls_err_as(e, ERR_CONFIG, what);
        goto fail;
    }
    *out = context;
    return 0;

fail:
    SSL_CTX_free(context);
    return -1;
}

/* ---- raw bytes ---- */

static ssize_t
raw_recv(int fd, void *data, size_t size, bool wait, struct err *e)
{
    for (;;) {
        ssize_t n = recv(fd, data, size, wait ? 0 : MSG_DONTWAIT);

        if (n >= 0)
            return n;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return wait ? err_set(e, ERR_TIMEOUT, "the client stayed silent") : LINK_EMPTY;
        return err_sys(e, ERR_IO, errno, "receive");
    }
}

static int
raw_recv_exactly(int fd, void *data, size_t size, struct err *e)
{
    char *p = data;

    while (size > 0) {
        ssize_t n = raw_recv(fd, p, size, true, e);

        if (n < 0)
            return -1;
        if (n == 0)
            return err_set(e, ERR_CONNECT, "the client closed the connection");
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

/* ---- handshake ---- */

/* Sends what TLS wants to send as exactly one message: tedious reads one for each of its own. */
static int
send_flight(struct link *link, struct err *e)
{
    uint8_t packet[TDS_PACKET_DEFAULT];
    uint8_t id = 0;

    while (BIO_ctrl_pending(link->outgoing) > 0) {
        int n = BIO_read(link->outgoing, packet + TDS_HEADER_SIZE,
                         (int)(sizeof(packet) - TDS_HEADER_SIZE));
        size_t size;

        if (n <= 0)
            return tls_err(e, "take a handshake record");
        size = TDS_HEADER_SIZE + (size_t)n;
        packet[0] = TDS_PRELOGIN;
        packet[1] = BIO_ctrl_pending(link->outgoing) > 0 ? 0 : (uint8_t)TDS_STATUS_EOM;
        packet[2] = (uint8_t)(size >> 8);
        packet[3] = (uint8_t)size;
        memset(packet + 4, 0, 4);
        packet[6] = ++id;
        if (fault_send(link->fault, link->fd, packet, size, e) != 0)
            return -1;
    }
    return 0;
}

static int
recv_flight_packet(struct link *link, struct err *e)
{
    uint8_t body[TDS_PACKET_MAX];
    uint8_t header[TDS_HEADER_SIZE];
    size_t size;

    if (raw_recv_exactly(link->fd, header, sizeof(header), e) != 0)
        return -1;
    size = (size_t)header[2] << 8 | header[3];
    if (header[0] != TDS_PRELOGIN || size <= TDS_HEADER_SIZE ||
        size > TDS_HEADER_SIZE + sizeof(body)) {
        return err_set(e, ERR_PROTOCOL,
                       "expected a TLS handshake in a packet of type 0x12, found type 0x%02X with "
                       "%zu bytes",
                       header[0], size);
    }
    size -= TDS_HEADER_SIZE;
    if (raw_recv_exactly(link->fd, body, size, e) != 0)
        return -1;
    if (BIO_write(link->incoming, body, (int)size) != (int)size)
        return tls_err(e, "pass on a handshake record");
    return 0;
}

int
link_start_tls(struct link *link, SSL_CTX *context, struct err *e)
{
    link->ssl = SSL_new(context);
    link->incoming = BIO_new(BIO_s_mem());
    link->outgoing = BIO_new(BIO_s_mem());
    if (link->ssl == NULL || link->incoming == NULL || link->outgoing == NULL) {
        BIO_free(link->incoming);
        BIO_free(link->outgoing);
        SSL_free(link->ssl);
        link->ssl = NULL;
        return tls_err(e, "start TLS");
    }
    SSL_set_bio(link->ssl, link->incoming, link->outgoing);
    SSL_set_accept_state(link->ssl);
    for (;;) {
        int r = SSL_do_handshake(link->ssl);
        int why = SSL_get_error(link->ssl, r);

        if (r != 1 && why != SSL_ERROR_WANT_READ) {
            (void)tls_err(e, "TLS handshake");
            (void)send_flight(link, NULL); /* the alert */
            return -1;
        }
        if (send_flight(link, e) != 0)
            return -1;
        if (r == 1)
            return 0;
        if (recv_flight_packet(link, e) != 0)
            return -1;
    }
}

void
link_end_tls(struct link *link)
{
    SSL_free(link->ssl); /* frees both BIOs */
    link->ssl = NULL;
}

/* ---- traffic ---- */

ssize_t
link_recv(struct link *link, void *data, size_t size, bool wait, struct err *e)
{
    char raw[RAW_SIZE];
    ssize_t n;

    if (link->ssl == NULL)
        return raw_recv(link->fd, data, size, wait, e);
    for (;;) {
        int r = SSL_read(link->ssl, data, size > INT32_MAX ? INT32_MAX : (int)size);
        int why;

        if (r > 0)
            return r;
        why = SSL_get_error(link->ssl, r);
        if (why == SSL_ERROR_ZERO_RETURN)
            return 0;
        if (why != SSL_ERROR_WANT_READ)
            return tls_err(e, "read under TLS");
        n = raw_recv(link->fd, raw, sizeof(raw), wait, e);
        if (n <= 0)
            return n;
        if (BIO_write(link->incoming, raw, (int)n) != (int)n)
            return tls_err(e, "pass on a TLS record");
    }
}

int
link_send(struct link *link, const void *data, size_t size, struct err *e)
{
    const char *p = data;
    char raw[RAW_SIZE];

    if (link->ssl == NULL)
        return fault_send(link->fault, link->fd, data, size, e);
    while (size > 0) {
        int n = (int)(size < RAW_SIZE ? size : RAW_SIZE);

        if (SSL_write(link->ssl, p, n) != n)
            return tls_err(e, "write under TLS");
        p += n;
        size -= (size_t)n;
        while (BIO_ctrl_pending(link->outgoing) > 0) {
            int got = BIO_read(link->outgoing, raw, sizeof(raw));

            if (got <= 0)
                return tls_err(e, "take a TLS record");
            if (fault_send(link->fault, link->fd, raw, (size_t)got, e) != 0)
                return -1;
        }
    }
    return 0;
}

void
link_close(struct link *link)
{
    link_end_tls(link);
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
}
