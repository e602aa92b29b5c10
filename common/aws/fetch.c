#include "common/aws/fetch.h"

#include "common/err.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <string.h>

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
    struct fetched *f = arg;

    if (f->size + size * n > FETCH_MAX)
        return 0;
    memcpy(f->body + f->size, data, size * n);
    f->size += size * n;
    f->body[f->size] = '\0';
    return size * n;
}

static struct curl_slist *
make_headers(const struct fetch *f)
{
    struct curl_slist *list = curl_slist_append(NULL, "Accept: application/json");

    for (size_t i = 0; i < FETCH_MAX_HEADERS && f->headers[i] != NULL && list != NULL; i++) {
        struct curl_slist *longer = curl_slist_append(list, f->headers[i]);

        if (longer == NULL)
            curl_slist_free_all(list);
        list = longer;
    }
    return list;
}

static enum err_code
code_of(CURLcode why)
{
    switch ((int)why) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return ERR_TLS;
    case CURLE_WRITE_ERROR:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return ERR_PROTOCOL;
    default:
        return ERR_CONNECT;
    }
}

static CURLcode
perform(CURL *c, const struct fetch *f, struct curl_slist *headers, struct fetched *out)
{
    CURLcode rc = CURLE_OK;

    (void)curl_easy_setopt(c, CURLOPT_URL, f->url);
    (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, f->method);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)f->timeout_ms);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    rc = curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
    if (rc == CURLE_OK)
        rc = curl_easy_perform(c);
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &out->status);
    return rc;
}

int
fetch(const struct fetch *f, struct fetched *out, struct err *e)
{
    CURL *c = curl_easy_init();
    struct curl_slist *headers = make_headers(f);
    CURLcode rc = CURLE_OUT_OF_MEMORY;

    out->status = 0;
    out->size = 0;
    out->body[0] = '\0';
    if (c != NULL && headers != NULL)
        rc = perform(c, f, headers, out);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    if (rc == CURLE_OK)
        return 0;
    if (rc == CURLE_OUT_OF_MEMORY)
        return err_set(e, ERR_NOMEM, "%s", f->url);
    return err_set(e, code_of(rc), "%s: %s", f->url,
                   rc == CURLE_WRITE_ERROR ? "the answer is too long" : curl_easy_strerror(rc));
}

void
fetched_wipe(struct fetched *f)
{
    OPENSSL_cleanse(f, sizeof(*f));
}
