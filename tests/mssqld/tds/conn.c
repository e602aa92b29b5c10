#include "tests/mssqld/tds/conn.h"

#include "common/log.h"
#include "tests/mssqld/tds/fault.h"
#include "tests/mssqld/tds/hostile.h"
#include "tests/mssqld/tds/kerberos.h"
#include "tests/mssqld/tds/link.h"
#include "tests/mssqld/tds/login.h"
#include "tests/mssqld/tds/proto.h"
#include "tests/mssqld/tds/request.h"
#include "tests/mssqld/tds/token.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

/* Before the login nobody is known, so little is taken from them. */
#define LOGIN_LIMIT   (128U * 1024U)
#define REQUEST_LIMIT (512U * 1024U * 1024U)

struct conn {
    const struct conn_config *config;
    struct fault fault;
    struct link link;
    struct packet_in in;
    struct packet_out out;
    struct packet_message message;
    struct answer answer;
    struct request_state state;
    struct pool login_pool; /* holds login, which a reset needs again */
    struct login login;
    struct kerberos kerberos;
    uint16_t spid;
    bool encrypted; /* to the end, not for the login alone */
};

/* SQL Server's default collation: US English, sort id 52, CP1252. */
static const uint8_t default_collation[5] = {0x09, 0x04, 0xD0, 0x00, 0x34};

/* ---- before the login ---- */

static int
set_receive_timeout(const struct conn *c, unsigned seconds, struct err *e)
{
    struct timeval tv = {.tv_sec = (time_t)seconds};

    if (setsockopt(c->link.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) != 0)
        return err_sys(e, ERR_IO, errno, "set the receive time-out");
    return 0;
}

/* Reads a message that must be of one type.  1, 0 = closed, -1. */
static int
expect_message(struct conn *c, uint8_t type, const char *what, struct err *e)
{
    int r = packet_read(&c->in, &c->message, LOGIN_LIMIT, e);

    if (r <= 0)
        return r;
    if (c->message.type != type)
        return err_set(e, ERR_PROTOCOL, "expected %s (0x%02X), found a message of type 0x%02X",
                       what, type, c->message.type);
    return 1;
}

/* PRELOGIN and, when agreed, the handshake.  1, 0 = closed, -1. */
static int
prelogin(struct conn *c, enum prelogin_encryption *agreed, struct err *e)
{
    enum prelogin_encryption wish;
    struct buf payload = {.data = NULL};
    int r = expect_message(c, TDS_PRELOGIN, "PRELOGIN", e);

    if (r <= 0)
        return r;
    if (prelogin_parse(c->message.body.data, c->message.body.size, &wish, e) != 0)
        return -1;
    *agreed = prelogin_answer(c->config->policy, wish);
    prelogin_put(&payload, *agreed);
    packet_begin(&c->out, TDS_ANSWER);
    r = packet_write(&c->out, payload.data, payload.size, e);
    buf_free(&payload);
    if (r != 0 || packet_finish(&c->out, e) != 0)
        return -1;
    if (*agreed == ENCRYPT_NOT_SUP)
        return 1;
    return link_start_tls(&c->link, c->config->tls, e) == 0 ? 1 : -1;
}

/* ---- login ---- */

static int
open_session(struct conn *c)
{
    struct login_request request = {.is_authenticated = c->login.integrated,
                                    .user = c->login.user,
                                    .password = c->login.password,
                                    .database = c->login.database,
                                    .application = c->login.application,
                                    .host = c->login.host,
                                    .read_only_intent = c->login.read_only_intent};

    return session_open(c->config->engine, &request, c->spid, &c->answer.sink, &c->state.session);
}

static size_t
grant_packet_size(const struct conn *c)
{
    size_t most = c->encrypted ? TDS_PACKET_MAX_TLS : TDS_PACKET_MAX;
    size_t size = c->login.packet_size == 0 ? TDS_PACKET_DEFAULT : c->login.packet_size;

    if (c->fault.packet_size != 0 && size > c->fault.packet_size)
        size = c->fault.packet_size;

    if (size < TDS_PACKET_MIN)
        return TDS_PACKET_MIN;
    return size > most ? most : size;
}

static void
message_of_login(struct conn *c, int32_t number, uint8_t state, const char *text)
{
    (void)c->answer.sink.message(&c->answer, number, state, 0, text, "", 1);
}

/* The tokens of a login that went well. */
static void
welcome(struct conn *c, size_t packet_size)
{
    const char *database = session_database(c->state.session);
    struct buf *b = answer_tokens(&c->answer);
    char text[300];
    char size_text[16];

    token_env_text(b, ENV_DATABASE, database, "master");
    (void)snprintf(text, sizeof(text), "Changed database context to '%s'.", database);
    message_of_login(c, 5701, 2, text);
    token_env_bytes(b, ENV_COLLATION, default_collation, sizeof(default_collation), NULL, 0);
    token_env_text(b, ENV_LANGUAGE, "us_english", "");
    message_of_login(c, 5703, 1, "Changed language setting to us_english.");
    token_loginack(b, c->login.version > TDS_VERSION_7_4 ? TDS_VERSION_7_4 : c->login.version);
    if (c->login.asks_utf8)
        token_feature_ack(b);
    (void)snprintf(size_text, sizeof(size_text), "%zu", packet_size);
    token_env_text(b, ENV_PACKET_SIZE, size_text, "4096");
    if (c->fault.route_port != 0)
        token_env_routing(b, c->fault.route_host, c->fault.route_port);
}

/* Exchanges tokens until the client is proven to be somebody; its last answer goes out with those of
   the login.  1, 0 = closed, -1 = refused. */
static int
authenticate(struct conn *c, struct err *e)
{
    const void *token = c->login.sspi;
    size_t size = c->login.sspi_size;
    int r = -1;

    if (c->config->keytab == NULL)
        err_set(e, ERR_LOGIN, "the client asks for an integrated login, and there is no keytab");
    while (c->config->keytab != NULL) {
        r = kerberos_step(&c->kerberos, c->config->keytab, token, size, e);
        if (r >= 0 && c->kerberos.answer.length > 0)
            token_sspi(answer_tokens(&c->answer), c->kerberos.answer.value,
                       c->kerberos.answer.length);
        if (r != 0)
            break;
        if (answer_finish(&c->answer) != 0)
            return -1;
        r = expect_message(c, TDS_SSPI, "an SSPI token", e);
        if (r <= 0)
            return r;
        answer_begin(&c->answer);
        token = c->message.body.data;
        size = c->message.body.size;
    }
    if (r == 1) {
        c->login.user = c->kerberos.principal;
        return 1;
    }
    answer_error(&c->answer, 18452, 14,
                 "Login failed. The login is from an untrusted domain and cannot be used with "
                 "Integrated authentication.");
    (void)answer_finish(&c->answer);
    return -1;
}

/* Parses the record and logs in.  1, 0 = closed, -1 = refused or broken; *e says why. */
static int
login(struct conn *c, enum prelogin_encryption agreed, struct err *e)
{
    int r = expect_message(c, TDS_LOGIN7, "LOGIN7", e);
    size_t packet_size;

    if (r <= 0)
        return r;
    r = login_parse(c->message.body.data, c->message.body.size, &c->login_pool, &c->login, e);
    /* The record has held the password. */
    explicit_bzero(c->message.body.data, c->message.body.size);
    if (r != 0)
        return -1;
    c->encrypted = agreed == ENCRYPT_ON || agreed == ENCRYPT_REQ;
    if (!c->encrypted)
        link_end_tls(&c->link);
    answer_begin(&c->answer);
    if (c->login.version < TDS_VERSION_7_3) {
        answer_error(&c->answer, 17830, 20, "This server speaks TDS 7.3 and 7.4 only.");
        (void)answer_finish(&c->answer);
        return err_set(e, ERR_PROTOCOL, "the client speaks TDS version 0x%08X", c->login.version);
    }
    if (c->login.integrated) {
        r = authenticate(c, e);
        if (r <= 0)
            return r;
    }
    if (open_session(c) != 0) {
        (void)answer_finish(&c->answer);
        return err_set(e, ERR_LOGIN, "login of user '%s' was refused", c->login.user);
    }
    packet_size = grant_packet_size(c);
    welcome(c, packet_size);
    if (answer_finish(&c->answer) != 0) {
        *e = c->answer.e;
        return -1;
    }
    return packet_out_resize(&c->out, packet_size, e) == 0 ? 1 : -1;
}

/* ---- requests ---- */

/* A pooled connection starts anew: a fresh session, announced in front of the answer. */
static int
reset_session(struct conn *c, bool keep_transaction, struct err *e)
{
    if (!keep_transaction) {
        session_close(&c->state.session);
        prepared_free(&c->state.prepared);
        c->answer.muted = true;
        if (open_session(c) != 0) {
            c->answer.muted = false;
            return err_set(e, ERR_LOGIN, "user '%s' cannot log in again for a reset",
                           c->login.user);
        }
        c->answer.muted = false;
    }
    token_env_bytes(answer_tokens(&c->answer), ENV_RESET, NULL, 0, NULL, 0);
    return 0;
}

static int
serve_message(struct conn *c, struct err *e)
{
    const struct packet_message *m = &c->message;

    pool_reset(&c->state.pool);
    if (c->fault.hostile != NULL && ++c->fault.answers == c->fault.hostile_answer)
        return hostile_send(c->fault.hostile, &c->out, e);
    if (m->type == TDS_ATTENTION)
        return answer_done_only(&c->answer, DONE_ATTN);
    if ((m->status & TDS_STATUS_IGNORE) != 0)
        return answer_done_only(&c->answer, DONE_ERROR);
    answer_begin(&c->answer);
    if ((m->status & (TDS_STATUS_RESET | TDS_STATUS_RESET_TRAN)) != 0 &&
        reset_session(c, (m->status & TDS_STATUS_RESET_TRAN) != 0, e) != 0)
        return request_refuse(&c->state, e);
    switch (m->type) {
    case TDS_BATCH:
        return request_batch(&c->state, m->body.data, m->body.size, e);
    case TDS_RPC:
        return request_rpc(&c->state, m->body.data, m->body.size, e);
    case TDS_TRANSACTION:
        return request_transaction(&c->state, m->body.data, m->body.size, e);
    default:
        (void)err_set(e, ERR_PROTOCOL, "messages of type 0x%02X are not served here", m->type);
        return request_refuse(&c->state, e);
    }
}

static int
serve_requests(struct conn *c, struct err *e)
{
    for (;;) {
        int r = packet_read(&c->in, &c->message, REQUEST_LIMIT, e);

        if (r <= 0)
            return r;
        if (serve_message(c, e) != 0) {
            if (c->answer.gone)
                *e = c->answer.e;
            return -1;
        }
        if (session_ended(c->state.session))
            return 0;
    }
}

static int
serve(struct conn *c, struct err *e)
{
    enum prelogin_encryption agreed = ENCRYPT_NOT_SUP;
    int r;

    if (packet_in_open(&c->in, &c->link, e) != 0 || packet_out_open(&c->out, &c->link, e) != 0)
        return -1;
    c->out.spid = c->spid; /* FreeTDS takes its spid from here */
    if (set_receive_timeout(c, c->config->login_timeout_s, e) != 0)
        return -1;
    r = prelogin(c, &agreed, e);
    if (r <= 0)
        return r;
    r = login(c, agreed, e);
    if (r <= 0)
        return r;
    if (set_receive_timeout(c, 0, e) != 0)
        return -1;
    log_info("login", "spid=%u user=%s database=%s encrypted=%d packet_size=%zu read_only=%d",
             c->spid, c->login.user, c->login.database, c->encrypted, c->out.packet_size,
             c->login.read_only_intent);
    return serve_requests(c, e);
}

void
conn_serve(int fd, uint16_t spid, const struct conn_config *config)
{
    struct err e = ERR_INIT;
    struct conn *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        log_error("no-memory", "spid=%u", spid);
        return;
    }
    c->config = config;
    c->link.fd = fd;
    c->link.fault = &c->fault;
    c->spid = spid;
    answer_open(&c->answer, &c->in, &c->out, config->server_name, config->stopping);
    c->answer.encoder.plp_chunk = config->plp_chunk;
    c->answer.encoder.plp_unknown_length = config->plp_unknown_length;
    c->state.answer = &c->answer;
    if ((fault_begin(config->fault_file, &c->fault, &e) != 0 || serve(c, &e) != 0) &&
        !atomic_load_explicit(config->stopping, memory_order_relaxed))
        log_err(e.code == ERR_IO || e.code == ERR_CONNECT ? LOG_DEBUG : LOG_WARN,
                "connection-ended", &e);
    if (c->fault.connection != 0)
        log_info("connection-sent", "connection=%u bytes=%llu", c->fault.connection,
                 (unsigned long long)c->fault.sent);
    if (c->state.session != NULL)
        session_close(&c->state.session);
    request_state_free(&c->state);
    answer_close(&c->answer);
    packet_in_close(&c->in);
    packet_out_close(&c->out);
    buf_free(&c->message.body);
    pool_free(&c->login_pool);
    kerberos_end(&c->kerberos);
    link_end_tls(&c->link);
    free(c);
}
