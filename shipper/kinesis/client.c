#include "shipper/kinesis/client_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "shipper/kinesis/put_answer.h"
#include "shipper/kinesis/put_body.h"
#include "shipper/kinesis/service_error.h"

#include <curl/curl.h>
#include <openssl/crypto.h>

/* Date has whole seconds and travelled: smaller differences say nothing. */
#define OFFSET_NOISE_NS (5 * NS_PER_S)
#define OFFSET_ALARM_NS (240 * NS_PER_S)
#define OFFSET_NEWS_NS  (60 * NS_PER_S)

#define RENEW_AGAIN_NS (60 * NS_PER_S) /* after a failed search; they may be valid still */

int
kinesis_open(const struct kinesis_config *config, struct kinesis **out, struct err *e)
{
    struct http_config http = {.ca_file = config->ca_file,
                               .timeout_ms = config->timeout_ms,
                               .calls = config->requests_in_flight + 1,
                               .wake_fd = config->wake_fd};
    struct kinesis *k = calloc(1, sizeof(*k));

    if (k == NULL)
        return err_set(e, ERR_NOMEM, "no memory for a Kinesis client");
    if (aws_stream_arn_parse(config->stream_arn, &k->arn, e) != 0 ||
        aws_endpoint_resolve(&k->arn, config->endpoint_url, &k->endpoint, e) != 0)
        goto fail;
    sigv4_init(&k->signer, k->arn.region, "kinesis");
    k->n_puts = config->requests_in_flight;
    k->puts = calloc(k->n_puts + 1, sizeof(*k->puts));
    if (k->puts == NULL) {
        err_set(e, ERR_NOMEM, "no memory for %u requests in flight", k->n_puts);
        goto fail;
    }
    http.url = k->endpoint.url;
    if (http_open(&http, &k->http, e) != 0 || renewal_open(k->arn.region, &k->renewal, e) != 0)
        goto fail;
    *out = k;
    return 0;

fail:
    kinesis_close(&k);
    return -1;
}

void
kinesis_close(struct kinesis **pointer)
{
    struct kinesis *k = *pointer;

    if (k == NULL)
        return;
    *pointer = NULL;
    renewal_close(&k->renewal);
    http_close(&k->http);
    sigv4_fini(&k->signer);
    credentials_wipe(&k->credentials);
    free(k->refresh_list.shards);
    free(k->refresh_list.next_token);
    free(k->puts);
    free(k);
}

const char *
kinesis_endpoint(const struct kinesis *k)
{
    return k->endpoint.url;
}

int64_t
kinesis_clock_offset_ns(const struct kinesis *k)
{
    return k->offset_ns;
}

/* ---- credentials and clock ---- */

static int
use_credentials(struct kinesis *k, struct credentials *found, struct err *e)
{
    bool is_same = k->has_credentials && credentials_equal(found, &k->credentials);

    if (!is_same &&
        sigv4_set_credentials(&k->signer, found->access_key_id, found->secret, e) != 0) {
        credentials_wipe(found);
        return -1;
    }
    k->credentials = *found;
    k->has_credentials = true;
    k->is_stale = false;
    k->renew_real_ns = renewal_due(found, clock_real_ns());
    credentials_wipe(found);
    if (!is_same)
        log_info("credentials", "source=\"%s\" access_key_id=%s", k->credentials.source,
                 k->credentials.access_key_id);
    return 0;
}

/* What the search in the background brought.  A failure must not stop what may still be valid. */
static int
take_renewed(struct kinesis *k, struct err *e)
{
    struct credentials found;
    struct err why = ERR_INIT;
    int rc = renewal_take(k->renewal, &found, &why);

    if (rc > 0)
        return use_credentials(k, &found, e);
    if (rc < 0) {
        log_err(LOG_WARN, "credentials-not-renewed", &why);
        k->renew_real_ns = clock_real_ns() + RENEW_AGAIN_NS;
    }
    return 0;
}

/* The first ones are waited for; newer ones are looked for while the old ones are in use. */
static int
ensure_credentials(struct kinesis *k, struct err *e)
{
    const struct credentials_search search = {.region = k->arn.region};
    struct credentials found;

    if (!k->has_credentials)
        return credentials_find(&search, &found, e) == 0 ? use_credentials(k, &found, e) : -1;
    if (take_renewed(k, e) != 0)
        return -1;
    if (k->is_stale || clock_real_ns() >= k->renew_real_ns)
        return renewal_start(k->renewal, e);
    return 0;
}

int
kinesis_find_credentials(struct kinesis *k, const char **source, struct err *e)
{
    k->has_credentials = false;
    if (ensure_credentials(k, e) != 0)
        return -1;
    *source = k->credentials.source;
    return 0;
}

void
client_learn_clock(struct kinesis *k, const struct http_call *call)
{
    time_t date;
    int64_t offset_ns;

    /* An answer with an Age came from a cache and tells an old time. */
    if (call->status == 0 || call->headers.date[0] == '\0' || call->headers.age[0] != '\0')
        return;
    date = curl_getdate(call->headers.date, NULL);
    if (date <= 0)
        return;
    offset_ns = date * NS_PER_S + NS_PER_S / 2 - clock_real_ns();
    if (llabs(offset_ns) < OFFSET_NOISE_NS)
        offset_ns = 0;
    k->offset_ns = offset_ns;
    if (llabs(offset_ns) < OFFSET_ALARM_NS || llabs(offset_ns - k->told_offset_ns) < OFFSET_NEWS_NS)
        return;
    k->told_offset_ns = offset_ns;
    log_warn("clock-skew",
             "offset_s=%lld text=\"this host's clock is %lld s %s the service's; "
             "requests are signed with the service's time\" hint=\"set the clock\"",
             (long long)(offset_ns / NS_PER_S), (long long)(llabs(offset_ns) / NS_PER_S),
             offset_ns > 0 ? "behind" : "ahead of");
}

/* ---- requests ---- */

/* Lines of the headers; the token alone may need most of the room. */
struct lines {
    char target[128];
    char host[320];
    char date[48];
    char token[sizeof(((struct credentials *)NULL)->token) + 32];
    char authorization[SIGV4_AUTHORIZATION_SIZE + 32];
};

int
client_start(struct kinesis *k, struct http_call *call, const char *operation, bool fresh,
             struct err *e)
{
    static const char content_type[] = "application/x-amz-json-1.1";
    char time[SIGV4_TIME_SIZE];
    char hash[SIGV4_HASH_SIZE];
    char target[96];
    struct lines l;
    const char *sent[HTTP_MAX_HEADERS] = {"Expect:", "Content-Type: application/x-amz-json-1.1",
                                          l.target,  l.host,
                                          l.date,    l.authorization,
                                          l.token};
    struct sigv4_header headers[] = {{"content-type", content_type},
                                     {"host", k->endpoint.host},
                                     {"x-amz-date", time},
                                     {"x-amz-target", target},
                                     {"x-amz-security-token", k->credentials.token}};
    struct sigv4_request request = {"POST", "/", "", headers, 4, hash};
    size_t n_sent = 6;

    if (ensure_credentials(k, e) != 0)
        return -1;
    if (k->credentials.token[0] != '\0') {
        request.n_headers = 5;
        n_sent = 7;
    }
    (void)snprintf(target, sizeof(target), "Kinesis_20131202.%s", operation);
    sigv4_time(clock_real_ns() + k->offset_ns, time);
    sigv4_hash(call->request.data, call->request.size, hash);
    memcpy(l.authorization, "Authorization: ", 16);
    if (sigv4_sign(&k->signer, &request, time, l.authorization + 15, e) != 0)
        return -1;
    (void)snprintf(l.target, sizeof(l.target), "X-Amz-Target: %s", target);
    (void)snprintf(l.host, sizeof(l.host), "Host: %s", k->endpoint.host);
    (void)snprintf(l.date, sizeof(l.date), "X-Amz-Date: %s", time);
    (void)snprintf(l.token, sizeof(l.token), "X-Amz-Security-Token: %s", k->credentials.token);
    if (http_start(k->http, call, sent, n_sent, fresh, e) != 0)
        return -1;
    OPENSSL_cleanse(l.token, sizeof(l.token));
    return 0;
}

void
client_collect(struct kinesis *k)
{
    struct http_call *call;

    while ((call = http_next_done(k->http)) != NULL) {
        struct put *p = call->tag;

        client_learn_clock(k, call);
        if (p == NULL) {
            CHECK(call == k->control);
            k->control_done = true;
            continue;
        }
        p->next = NULL;
        if (k->finished_tail != NULL)
            k->finished_tail->next = p;
        else
            k->finished_head = p;
        k->finished_tail = p;
    }
}

void
kinesis_poll(struct kinesis *k, int timeout_ms)
{
    http_poll(k->http, k->finished_head != NULL || k->control_done ? 0 : timeout_ms);
    client_collect(k);
}

/* ---- PutRecords ---- */

static void
put_done(struct kinesis *k, struct put *p)
{
    http_release(k->http, p->call);
    p->call = NULL;
    k->puts_busy--;
}

/* Ends what kinesis_put_next() showed last. */
static void
end_shown(struct kinesis *k)
{
    if (k->shown != NULL)
        put_done(k, k->shown);
    k->shown = NULL;
}

bool
kinesis_put_possible(const struct kinesis *k)
{
    return k->puts_busy - (k->shown != NULL) < k->n_puts;
}

int
kinesis_put_start(struct kinesis *k, const struct target_entry *entries, size_t n, bool fresh,
                  void *tag, struct err *e)
{
    struct http_call *call;
    struct put *p;

    end_shown(k);
    CHECK(n > 0 && n <= TARGET_MAX_RECORDS && k->puts_busy < k->n_puts);
    call = http_acquire(k->http);
    CHECK(call != NULL);
    p = &k->puts[call->index];
    *p = (struct put){.call = call, .tag = tag, .n = n};
    call->tag = p;
    k->puts_busy++;
    if (put_body_write(&call->request, k->arn.text, entries, n, false, e) != 0 ||
        client_start(k, call, "PutRecords", fresh, e) != 0) {
        put_done(k, p);
        return -1;
    }
    return 0;
}

static void
judge_put(struct kinesis *k, struct put *p)
{
    struct target_answer *a = &k->answer;
    const struct http_call *call = p->call;
    struct service_error why;

    if (call->status >= 200 && call->status < 300) {
        if (put_answer_read(call->response.data, call->response.size, p->results, p->n,
                            &a->error) == 0) {
            a->is_answered = true;
            return;
        }
        /* Something took the request; what it did with it nobody knows. */
        a->is_ambiguous = true;
        a->error.sys = (int)call->status;
        (void)err_context(&a->error, "PutRecords on %s", k->arn.name);
        return;
    }
    (void)service_error_judge(call, "PutRecords", k->arn.name, k->offset_ns, &why, &a->error);
    a->is_ambiguous = why.is_ambiguous;
    a->is_refused = why.is_refused;
    k->is_stale |= why.is_credentials;
}

const struct target_answer *
kinesis_put_next(struct kinesis *k)
{
    struct target_answer *a = &k->answer;
    struct put *p = k->finished_head;

    end_shown(k);
    if (p == NULL)
        return NULL;
    k->finished_head = p->next;
    if (k->finished_head == NULL)
        k->finished_tail = NULL;
    k->shown = p;
    *a = (struct target_answer){.tag = p->tag, .results = p->results, .n = p->n};
    a->elapsed_ns = p->call->elapsed_ns;
    a->body_bytes = p->call->request.size;
    a->retry_after_ms = (uint32_t)strtoul(p->call->headers.retry_after_ms, NULL, 10);
    (void)snprintf(a->request_id, sizeof(a->request_id), "%s", p->call->headers.request_id);
    judge_put(k, p);
    return a;
}
