/*
 * kerberos - integrated logins: tokens of GSSAPI in LOGIN7 and SSPI messages.
 *
 * The service's key lies in a keytab; which principal it is the client decides by asking for its
 * ticket.  Thread use: a struct kerberos belongs to its connection.
 */
#ifndef MSSQLD_TDS_KERBEROS_H
#define MSSQLD_TDS_KERBEROS_H

#include <gssapi/gssapi.h>
#include <stddef.h>

struct err;

struct kerberos {
    gss_ctx_id_t context;
    gss_cred_id_t credential;
    gss_buffer_desc answer; /* to be sent to the client, when its length is not 0 */
    char principal[256];    /* "weir@EXAMPLE.COM", once it is proven */
};

/* Takes the client's next token.  1 = the client is who principal says, 0 = one more token is
   needed, -1 = ERR_LOGIN with the library's reason, ERR_CONFIG when the keytab is of no use. */
int kerberos_step(struct kerberos *k, const char *keytab, const void *token, size_t size,
                  struct err *e);

void kerberos_end(struct kerberos *k);

#endif
