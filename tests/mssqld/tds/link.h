/*
 * link - the bytes of one connection, in clear or under TLS.
 *
 * TLS runs over memory BIOs: during the handshake its records travel inside PRELOGIN packets
 * ([MS-TDS] 2.2.6.5), afterwards bare; TLS 1.2 at most, because FreeTDS hangs with 1.3 in this
 * wrapping and tedious does not offer it.
 *
 * Blocking: link_recv with wait, link_send, link_start_tls.  link_shutdown from another thread
 * ends them.  Thread use: otherwise one thread.
 */
#ifndef MSSQLD_TDS_LINK_H
#define MSSQLD_TDS_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;
struct fault;

#define LINK_EMPTY (-2) /* nothing there now */

struct link {
    int fd;
    SSL *ssl; /* NULL = clear text */
    BIO *incoming;
    BIO *outgoing;
    struct fault *fault; /* what its bytes suffer; NULL = nothing */
};

/* A server context for a certificate chain and key in PEM files; -1 names the bad file. */
int link_tls_context(const char *cert, const char *key, SSL_CTX **out, struct err *e);

/* Does the handshake inside PRELOGIN packets. */
int link_start_tls(struct link *link, SSL_CTX *context, struct err *e);

/* Back to clear text after the login ("login only" encryption). */
void link_end_tls(struct link *link);

/* Bytes read, 0 at the end of the stream, -1 error, LINK_EMPTY when !wait and none are there. */
ssize_t link_recv(struct link *link, void *data, size_t size, bool wait, struct err *e);

/* Sends all. */
int link_send(struct link *link, const void *data, size_t size, struct err *e);

void link_close(struct link *link);

#endif
