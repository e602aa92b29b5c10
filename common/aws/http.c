#include "common/aws/http.h"

#include "common/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 5000
#define IDLE_LIMIT_S       20
#define LIFE_LIMIT_S       300
#define HEADER_TEXT_SIZE   24576
#define KEEP_CAPACITY      (4U << 20) /* buffers larger than this are given back after use */
#define EVENTS             64

struct slot {
    struct http_call call; /* first: the two are one object */
    CURL *easy;
    struct curl_slist lines[HTTP_MAX_HEADERS];
    char *text; /* of the lines */
    char message[CURL_ERROR_SIZE];
    int64_t start_ns;
    struct slot *next; /* in the free list or the done list */
};

struct http {
    CURLM *multi;
    int epoll_fd;
    int wake_fd;
    int64_t timer_ns; /* when libcurl wants to be called; -1 = not at all */
    uint32_t n_slots;
    uint32_t busy;
    struct slot *slots;
    struct slot *free_list;
    struct slot *done_head;
    struct slot *done_tail;
    char url[512];
};

int
http_buffer_reserve(struct http_buffer *b, size_t size, struct err *e)
{
    size_t want = b->size + size + 1;
    size_t capacity = b->capacity > 0 ? b->capacity : 16384;
    char *data;

    if (want <= b->capacity)
        return 0;
    while (capacity < want)
        capacity *= 2;
    data = realloc(b->data, capacity);
    if (data == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %zu bytes of a request", capacity);
    b->data = data;
    b->capacity = capacity;
    return 0;
}

static void
buffer_reset(struct http_buffer *b)
{
    b->size = 0;
    if (b->capacity > KEEP_CAPACITY) {
        free(b->data);
        *b = (struct http_buffer){0};
    }
}

/* ---- libcurl's callbacks ---- */

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
    struct slot *s = arg;
    struct http_buffer *b = &s->call.response;

    size *= n;
    if (b->size + size > HTTP_MAX_RESPONSE || http_buffer_reserve(b, size, NULL) != 0)
        return 0;
    memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = '\0';
    return size;
}

static void
take_header(const char *line, size_t n, const char *name, char *out, size_t size)
{
    size_t name_size = strlen(name);

    if (n <= name_size || strncasecmp(line, name, name_size) != 0 || line[name_size] != ':')
        return;
    line += name_size + 1;
    n -= name_size + 1;
    while (n > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }
    while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
        n--;
    if (n >= size)
        n = size - 1;
    memcpy(out, line, n);
    out[n] = '\0';
}

static size_t
on_header(char *line, size_t size, size_t n, void *arg)
{
    struct slot *s = arg;
    struct http_headers *h = &s->call.headers;

    n *= size;
    /* A status line begins a new answer: what a "100 Continue" said does not count. */
    if (n > 5 && memcmp(line, "HTTP/", 5) == 0)
        *h = (struct http_headers){.date = ""};
    take_header(line, n, "date", h->date, sizeof(h->date));
    take_header(line, n, "age", h->age, sizeof(h->age));
    take_header(line, n, "x-amzn-requestid", h->request_id, sizeof(h->request_id));
    take_header(line, n, "x-amzn-errortype", h->error_type, sizeof(h->error_type));
    take_header(line, n, "x-amz-retry-after", h->retry_after_ms, sizeof(h->retry_after_ms));
    take_header(line, n, "content-type", h->content_type, sizeof(h->content_type));
    return n;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct http *h = arg;
    struct epoll_event ev = {.data.fd = fd};

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if (what != CURL_POLL_OUT)
        ev.events |= EPOLLIN;
    if (what != CURL_POLL_IN)
        ev.events |= EPOLLOUT;
    if (known == NULL) {
        /* A socket that libcurl closed without telling is gone from epoll too. */
        if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0 && errno == EEXIST)
            (void)epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, fd, &ev);
        (void)curl_multi_assign(h->multi, fd, h);
    } else {
        (void)epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, fd, &ev);
    }
    return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct http *h = arg;

    (void)multi;
    h->timer_ns = timeout_ms < 0 ? -1 : clock_mono_ns() + timeout_ms * NS_PER_MS;
    return 0;
}

/* ---- opening and closing ---- */

static const char *
ca_file(const struct http_config *config, const char **named_by)
{
    static const char *const names[] = {"AWS_CA_BUNDLE", "SSL_CERT_FILE"};

    *named_by = "Weir.EndpointCaFile";
    if (config->ca_file[0] != '\0')
        return config->ca_file;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);

        *named_by = names[i];
        if (value != NULL && *value != '\0')
            return value;
    }
    return NULL;
}

static int
slot_open(struct http *h, struct slot *s, const struct http_config *config, const char *ca)
{
    CURL *c = curl_easy_init();
    bool ok = c != NULL;

    s->easy = c;
    s->text = malloc(HEADER_TEXT_SIZE);
    if (!ok || s->text == NULL)
        return -1;
    ok &= curl_easy_setopt(c, CURLOPT_URL, config->url) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_POST, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)config->timeout_ms) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_MAXAGE_CONN, IDLE_LIMIT_S) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_MAXLIFETIME_CONN, LIFE_LIMIT_S) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 262144L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 65536L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_USERAGENT, "weir/" WEIR_VERSION) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_WRITEDATA, s) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_HEADERDATA, s) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_PRIVATE, s) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_ERRORBUFFER, s->message) == CURLE_OK;
    if (ca != NULL)
        ok &= curl_easy_setopt(c, CURLOPT_CAINFO, ca) == CURLE_OK;
    if (!ok)
        return -1;
    s->next = h->free_list;
    h->free_list = s;
    return 0;
}

static int
multi_open(struct http *h)
{
    CURLM *m = curl_multi_init();
    bool ok = m != NULL;

    h->multi = m;
    if (!ok)
        return -1;
    ok &= curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK;
    ok &= curl_multi_setopt(m, CURLMOPT_SOCKETDATA, h) == CURLM_OK;
    ok &= curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK;
    ok &= curl_multi_setopt(m, CURLMOPT_TIMERDATA, h) == CURLM_OK;
    ok &= curl_multi_setopt(m, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK;
    ok &= curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)h->n_slots) == CURLM_OK;
    return ok ? 0 : -1;
}

int
http_open(const struct http_config *config, struct http **out, struct err *e)
{
    /* Once: whoever goes on polling after the wake must not spin. */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = config->wake_fd};
    const char *named_by;
    const char *ca = ca_file(config, &named_by);
    struct http *h;

    if (ca != NULL && access(ca, R_OK) != 0) {
        int sys = errno;

        err_set(e, ERR_CONFIG, "%s: certificates in %s cannot be read: %s", named_by, ca,
                strerror(sys));
        return err_hint(e, "name a readable file of PEM certificates");
    }
    h = calloc(1, sizeof(*h));
    if (h == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the HTTP client");
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    h->timer_ns = -1;
    h->wake_fd = config->wake_fd;
    h->n_slots = config->calls;
    (void)snprintf(h->url, sizeof(h->url), "%s", config->url);
    h->slots = calloc(config->calls, sizeof(*h->slots));
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (h->slots == NULL || h->epoll_fd < 0 || multi_open(h) != 0)
        goto fail;
    if (h->wake_fd >= 0 && epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->wake_fd, &ev) != 0)
        goto fail;
    for (uint32_t i = config->calls; i-- > 0;) {
        h->slots[i].call.index = i;
        if (slot_open(h, &h->slots[i], config, ca) != 0)
            goto fail;
    }
    *out = h;
    return 0;

fail:
    http_close(&h);
    return err_set(e, ERR_NOMEM, "the HTTP client cannot be set up for %s", config->url);
}

void
http_close(struct http **pointer)
{
    struct http *h = *pointer;

    if (h == NULL)
        return;
    *pointer = NULL;
    for (uint32_t i = 0; h->slots != NULL && i < h->n_slots; i++) {
        struct slot *s = &h->slots[i];

        if (s->easy != NULL) {
            (void)curl_multi_remove_handle(h->multi, s->easy);
            curl_easy_cleanup(s->easy);
        }
        free(s->text);
        free(s->call.request.data);
        free(s->call.response.data);
    }
    if (h->multi != NULL)
        (void)curl_multi_cleanup(h->multi);
    if (h->epoll_fd >= 0)
        (void)close(h->epoll_fd);
    free(h->slots);
    free(h);
    curl_global_cleanup();
}

/* ---- calls ---- */

struct http_call *
http_acquire(struct http *h)
{
    struct slot *s = h->free_list;

    if (s == NULL)
        return NULL;
    h->free_list = s->next;
    h->busy++;
    s->next = NULL;
    s->call.tag = NULL;
    buffer_reset(&s->call.request);
    buffer_reset(&s->call.response);
    return &s->call;
}

void
http_release(struct http *h, struct http_call *call)
{
    struct slot *s = (struct slot *)call;

    CHECK(h->busy > 0);
    h->busy--;
    s->next = h->free_list;
    h->free_list = s;
}

uint32_t
http_busy(const struct http *h)
{
    return h->busy;
}

static int
set_headers(struct slot *s, const char *const *headers, size_t n, struct err *e)
{
    size_t at = 0;

    CHECK(n <= HTTP_MAX_HEADERS);
    for (size_t i = 0; i < n; i++) {
        size_t size = strlen(headers[i]) + 1;

        if (size > HEADER_TEXT_SIZE - at)
            return err_set(e, ERR_CONFIG, "headers are longer than %d bytes", HEADER_TEXT_SIZE);
        memcpy(s->text + at, headers[i], size);
        s->lines[i] = (struct curl_slist){s->text + at, i + 1 < n ? &s->lines[i + 1] : NULL};
        at += size;
    }
    (void)curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, n > 0 ? s->lines : NULL);
    return 0;
}

int
http_start(struct http *h, struct http_call *call, const char *const *headers, size_t n, bool fresh,
           struct err *e)
{
    struct slot *s = (struct slot *)call;
    CURLMcode rc;

    if (set_headers(s, headers, n, e) != 0)
        return -1;
    buffer_reset(&call->response);
    if (http_buffer_reserve(&call->response, 0, e) != 0)
        return -1;
    call->response.data[0] = '\0';
    call->headers = (struct http_headers){.date = ""};
    call->status = 0;
    call->was_sent = false;
    err_clear(&call->error);
    s->message[0] = '\0';
    s->start_ns = clock_mono_ns();
    (void)curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, call->request.data);
    (void)curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->request.size);
    (void)curl_easy_setopt(s->easy, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
    rc = curl_multi_add_handle(h->multi, s->easy);
    if (rc != CURLM_OK)
        return err_set(e, ERR_NOMEM, "%s: %s", h->url, curl_multi_strerror(rc));
    return 0;
}

static void
set_error(const struct http *h, struct slot *s, CURLcode rc)
{
    struct err *e = &s->call.error;
    const char *text = s->message[0] != '\0' ? s->message : curl_easy_strerror(rc);

    /* Only the codes that are no plain "could not connect or went away" are told apart. */
    if (rc == CURLE_OPERATION_TIMEDOUT) {
        err_set(e, ERR_TIMEOUT, "%s: %s", h->url, text);
        err_hint(e, "is the endpoint reachable from this host?");
    } else if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE ||
               rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_SSL_CIPHER ||
               rc == CURLE_SSL_ISSUER_ERROR) {
        err_set(e, ERR_TLS, "%s: %s", h->url, text);
        err_hint(e, "if the endpoint's certificate is signed by a private authority, name that "
                    "authority's PEM file (Weir.EndpointCaFile, or AWS_CA_BUNDLE)");
    } else if (rc == CURLE_WRITE_ERROR) {
        err_set(e, ERR_PROTOCOL, "%s: an answer of more than %u bytes", h->url, HTTP_MAX_RESPONSE);
    } else {
        err_set(e, ERR_CONNECT, "%s: %s", h->url, text);
        if (rc == CURLE_COULDNT_RESOLVE_HOST)
            err_hint(e, "the name is made from the stream ARN's region, or was set as endpoint "
                        "URL: is it right, and does this host's DNS know it?");
        else if (rc == CURLE_COULDNT_CONNECT)
            err_hint(e, "does the endpoint listen there, and may this host connect to it?");
    }
}

static void
finish(struct http *h, struct slot *s, CURLcode rc)
{
    long sent = 0;

    (void)curl_easy_getinfo(s->easy, CURLINFO_REQUEST_SIZE, &sent);
    s->call.was_sent = sent > 0;
    s->call.elapsed_ns = clock_mono_ns() - s->start_ns;
    if (rc == CURLE_OK)
        (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &s->call.status);
    else
        set_error(h, s, rc);
    (void)curl_multi_remove_handle(h->multi, s->easy);
    s->next = NULL;
    if (h->done_tail != NULL)
        h->done_tail->next = s;
    else
        h->done_head = s;
    h->done_tail = s;
}

static void
collect(struct http *h)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
        struct slot *s = NULL;

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
        finish(h, s, m->data.result);
    }
}

static int
wait_ms(const struct http *h, int timeout_ms)
{
    int64_t left;

    if (h->done_head != NULL)
        return 0;
    if (h->timer_ns < 0)
        return timeout_ms;
    left = (h->timer_ns - clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
    if (left <= 0)
        return 0;
    return left < timeout_ms ? (int)left : timeout_ms;
}

void
http_poll(struct http *h, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int running;
    int n = epoll_wait(h->epoll_fd, events, EVENTS, wait_ms(h, timeout_ms));

    for (int i = 0; i < n; i++) {
        unsigned flags = 0;

        if (events[i].data.fd == h->wake_fd)
            continue;
        if ((events[i].events & EPOLLIN) != 0)
            flags |= CURL_CSELECT_IN;
        if ((events[i].events & EPOLLOUT) != 0)
            flags |= CURL_CSELECT_OUT;
        if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0)
            flags |= CURL_CSELECT_ERR;
        (void)curl_multi_socket_action(h->multi, events[i].data.fd, (int)flags, &running);
    }
    if (h->timer_ns >= 0 && clock_mono_ns() >= h->timer_ns) {
        h->timer_ns = -1;
        (void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    collect(h);
}

struct http_call *
http_next_done(struct http *h)
{
    struct slot *s = h->done_head;

    if (s == NULL)
        return NULL;
    h->done_head = s->next;
    if (h->done_head == NULL)
        h->done_tail = NULL;
    s->next = NULL;
    return &s->call;
}
