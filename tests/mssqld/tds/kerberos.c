#include "tests/mssqld/tds/kerberos.h"

#include "common/err.h"

#include <gssapi/gssapi_ext.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The library's words for a status. */
static int
gss_err(struct err *e, enum err_code code, const char *what, OM_uint32 major, OM_uint32 minor)
{
    gss_buffer_desc texts[2] = {GSS_C_EMPTY_BUFFER, GSS_C_EMPTY_BUFFER};
    OM_uint32 more = 0;
    OM_uint32 ignored;

    (void)gss_display_status(&ignored, major, GSS_C_GSS_CODE, GSS_C_NO_OID, &more, &texts[0]);
    more = 0;
    (void)gss_display_status(&ignored, minor, GSS_C_MECH_CODE, GSS_C_NO_OID, &more, &texts[1]);
    err_set(e, code, "%s: %.*s (%.*s)", what, (int)texts[0].length, (const char *)texts[0].value,
            (int)texts[1].length, (const char *)texts[1].value);
    (void)gss_release_buffer(&ignored, &texts[0]);
    (void)gss_release_buffer(&ignored, &texts[1]);
    return -1;
}

static int
open_keytab(struct kerberos *k, const char *keytab, struct err *e)
{
    gss_key_value_element_desc element = {.key = "keytab", .value = keytab};
    const gss_key_value_set_desc store = {.count = 1, .elements = &element};
    OM_uint32 minor;
    OM_uint32 major =
        gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, GSS_C_NO_OID_SET,
                              GSS_C_ACCEPT, &store, &k->credential, NULL, NULL);

    return major == GSS_S_COMPLETE ? 0 : gss_err(e, ERR_CONFIG, keytab, major, minor);
}

static int
take_name(struct kerberos *k, gss_name_t name, struct err *e)
{
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    OM_uint32 major = gss_display_name(&minor, name, &text, NULL);

    if (major != GSS_S_COMPLETE)
        return gss_err(e, ERR_LOGIN, "the principal's name", major, minor);
    (void)snprintf(k->principal, sizeof(k->principal), "%.*s", (int)text.length,
                   (const char *)text.value);
    (void)gss_release_buffer(&minor, &text);
    return 0;
}

int
kerberos_step(struct kerberos *k, const char *keytab, const void *token, size_t size, struct err *e)
{
    gss_buffer_desc input = {.length = size, .value = (void *)(uintptr_t)token};
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 ignored;
    OM_uint32 minor;
    OM_uint32 major;
    int rc = 0;

    if (k->credential == GSS_C_NO_CREDENTIAL && open_keytab(k, keytab, e) != 0)
        return -1;
    (void)gss_release_buffer(&ignored, &k->answer);
    major = gss_accept_sec_context(&minor, &k->context, k->credential, &input,
                                   GSS_C_NO_CHANNEL_BINDINGS, &name, NULL, &k->answer, NULL, NULL,
                                   NULL);
    if (GSS_ERROR(major))
        return gss_err(e, ERR_LOGIN, "the client's ticket", major, minor);
    if ((major & GSS_S_CONTINUE_NEEDED) == 0)
        rc = take_name(k, name, e) == 0 ? 1 : -1;
    (void)gss_release_name(&ignored, &name);
    return rc;
}

void
kerberos_end(struct kerberos *k)
{
    OM_uint32 ignored;

    (void)gss_delete_sec_context(&ignored, &k->context, GSS_C_NO_BUFFER);
    (void)gss_release_cred(&ignored, &k->credential);
    (void)gss_release_buffer(&ignored, &k->answer);
}
