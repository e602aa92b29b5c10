/*
 * conn - one connection from PRELOGIN to its end.
 *
 *   PRELOGIN -> [TLS handshake] -> LOGIN7 -> [clear text again] -> requests, one at a time
 *
 * Anything malformed ends the connection, with an ERROR token where the client can read one.
 */
#ifndef MSSQLD_TDS_CONN_H
#define MSSQLD_TDS_CONN_H

#include "tests/mssqld/tds/prelogin.h"

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;

/* What all connections of a server share; read-only while it runs. */
struct conn_config {
    struct engine *engine;
    const char *server_name;
    SSL_CTX *tls; /* NULL without a certificate */
    enum prelogin_policy policy;
    unsigned login_timeout_s;
    uint32_t plp_chunk;
    bool plp_unknown_length;
    const char *keytab;     /* for integrated logins; NULL = none of them */
    const char *fault_file; /* NULL = no faults */
    const atomic_bool *stopping;
};

/* Serves fd to its end; the caller closes fd.  spid is not 0. */
void conn_serve(int fd, uint16_t spid, const struct conn_config *config);

#endif
