/* Every recorded answer of a foreign TDS server through DB-Library, db.c and decode.c, value by
   value; and what db.c makes of errors, silence, stops and bad logins. */
/* uses: capture aws */
#include "capture/sqlserver/arena.h"
#include "capture/sqlserver/db.h"
#include "capture/sqlserver/db_error.h"
#include "capture/sqlserver/types.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"
#include "tests/unit/capture_replay.h"

#include <dirent.h>
#include <math.h>
#include <netinet/tcp.h>
#include <openssl/sha.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

static struct replay server;
static struct source_endpoint endpoint;
static char directory[] = "/tmp/weir-db-XXXXXX";
static int stop_fd;

static void
setup(void)
{
    static char host[] = "127.0.0.1";
    static char database[] = "shop";
    static char user[] = "sa";
    static char password[] = "secret";
    static char none[] = "";

    replay_start(&server);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    stop_fd = eventfd(0, EFD_CLOEXEC);
    endpoint = (struct source_endpoint){.server_name = host,
                                        .port = server.port,
                                        .database_name = database,
                                        .username = user,
                                        .password = {.kind = SECRET_TEXT, .value = password},
                                        .ssl_mode = SSL_NONE,
                                        .ssl_ca_file = none,
                                        .service_principal = none,
                                        .secret_id = none,
                                        .secret_role_arn = none,
                                        .aws_region = none,
                                        .login_timeout_s = 5,
                                        .query_timeout_s = 20};
}

static void
teardown(void)
{
    replay_stop(&server);
    (void)rmdir(directory);
    (void)close(stop_fd);
}

static int
try_open(struct db **d, struct err *e)
{
    const struct db_config config = {.endpoint = &endpoint,
                                     .application = "test",
                                     .private_directory = directory,
                                     .stop_fd = stop_fd};

    return db_open(&config, d, e);
}

static struct db *
must_open(void)
{
    struct db *d = NULL;
    struct err e = ERR_INIT;

    ck_assert_msg(try_open(&d, &e) == 0, "%s", e.text);
    return d;
}

/* ---- texts of values, in the vectors' form ---- */

static size_t
render(const struct value *v, unsigned scale, int db_type, char *buf, size_t size)
{
    size_t n;

    if (v->kind == VALUE_BOOL)
        return (size_t)snprintf(buf, size, "%d", v->boolean ? 1 : 0);
    if (v->kind == VALUE_TEXT) {
        memcpy(buf, v->bytes.data, v->bytes.size);
        return v->bytes.size;
    }
    if (v->kind == VALUE_BYTES) {
        n = (size_t)snprintf(buf, size, "0x");
        for (uint32_t i = 0; i < v->bytes.size; i++)
            n += (size_t)snprintf(buf + n, size - n, "%02X", (uint8_t)v->bytes.data[i]);
        return n;
    }
    if (v->kind != VALUE_DATETIME)
        return value_text(v, scale > 9 ? 0 : scale, buf, size); /* decimals carry their digits */
    n = value_text(v, db_type == 61 ? 3 : db_type == 58 ? 0 : scale, buf, size);
    buf[10] = ' ';
    return n;
}

static void
check_long(const json_t *want, const struct value *v, const char *where)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    char hex[2 * SHA256_DIGEST_LENGTH + 1];
    const char *name = v->kind == VALUE_TEXT ? "sha256_utf8" : "sha256";

    ck_assert_msg(v->kind == VALUE_TEXT || v->kind == VALUE_BYTES, "%s: kind %d", where, v->kind);
    SHA256((const uint8_t *)v->bytes.data, v->bytes.size, hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    ck_assert_msg(strcmp(hex, json_string_value(json_object_get(want, name))) == 0,
                  "%s: %u bytes with hash %s", where, v->bytes.size, hex);
}

static void
check_float(const char *want, const struct value *v, const char *where)
{
    if (v->kind == VALUE_FLOAT32)
        ck_assert_msg(strtof(want, NULL) == v->f32, "%s: %.9g for %s", where, (double)v->f32, want);
    else
        ck_assert_msg(strtod(want, NULL) == v->f64, "%s: %.17g for %s", where, v->f64, want);
}

static void
check_value(const json_t *want, const struct value *v, unsigned scale, int db_type,
            const char *where)
{
    static char text[1 << 20];
    size_t n;

    if (json_is_null(want)) {
        ck_assert_msg(v->kind == VALUE_NULL, "%s: kind %d for NULL", where, v->kind);
        return;
    }
    if (json_is_object(want)) {
        check_long(want, v, where);
        return;
    }
    if (v->kind == VALUE_FLOAT32 || v->kind == VALUE_FLOAT64) {
        check_float(json_string_value(want), v, where);
        return;
    }
    n = render(v, scale, db_type, text, sizeof(text));
    ck_assert_msg(n == json_string_length(want) && memcmp(text, json_string_value(want), n) == 0,
                  "%s: '%.*s' for '%s'", where, (int)n, text, json_string_value(want));
}

#define TYPE_VARIANT 98

/* DB-Library hides the type of what is in a sql_variant: its bytes must never be taken for a value.
   What capture asks for instead is in capture_types_test.c and tests/e2e/test_types.py. */
static void
check_hidden(const void *data, size_t size, struct arena *a, const char *where)
{
    struct err e = ERR_INIT;
    struct value v;

    ck_assert_msg(type_decode(TYPE_VARIANT, WIRE_NATIVE, data, size, a, &v, &e) == -1, "%s: taken",
                  where);
    ck_assert_int_eq(e.code, ERR_DATA);
}

/* Reads the only result set of the answer and compares it with `expected`. */
static size_t
check_vector(struct db *d, const char *name, const json_t *json)
{
    const json_t *expected = json_object_get(json, "expected");
    struct arena arena = {.first = NULL};
    struct err e = ERR_INIT;
    size_t n = 0;
    int rc;

    ck_assert_msg(db_query(d, "SELECT *", &e) == 0, "%s: %s", name, e.text);
    ck_assert_int_eq(db_columns(d), (int)json_integer_value(json_object_get(json, "columns")));
    while ((rc = db_next(d, &e)) == 1)
        for (int c = 0; c < db_columns(d); c++, n++) {
            char where[128];
            struct value v;
            size_t size;
            const void *data = db_data(d, c, &size);

            (void)snprintf(where, sizeof(where), "%s, value %zu", name, n);
            if (data != NULL && db_type(d, c) == TYPE_VARIANT) {
                check_hidden(data, size, &arena, where);
                continue;
            }
            ck_assert_msg(type_decode(db_type(d, c), WIRE_NATIVE, data, size, &arena, &v, &e) == 0,
                          "%s: %s", where, e.text);
            check_value(json_array_get(expected, n), &v, db_scale(d, c), db_type(d, c), where);
        }
    ck_assert_msg(rc == 0, "%s: %s", name, e.text);
    ck_assert_int_eq(db_result(d, &e), 0);
    ck_assert_msg(n == json_array_size(expected), "%s: %zu values", name, n);
    arena_free(&arena);
    return n;
}

static bool
is_checked(const json_t *json)
{
    return json_object_get(json, "columns") != NULL &&
           json_is_string(json_object_get(json, "response_hex")) &&
           json_is_array(json_object_get(json, "expected"));
}

START_TEST(every_recorded_value)
{
    DIR *folder = opendir("tests/vectors/tds");
    struct db *d = must_open();
    const struct dirent *entry;
    size_t files = 0;
    size_t values = 0;

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)) != NULL) {
        char name[64];
        char *dot;
        json_t *json;

        (void)snprintf(name, sizeof(name), "%.60s", entry->d_name);
        dot = strstr(name, ".json");
        if (dot == NULL)
            continue;
        *dot = '\0';
        json = vector_load(name);
        if (is_checked(json)) {
            replay_answer(&server, json_string_value(json_object_get(json, "response_hex")));
            values += check_vector(d, name, json);
            files++;
        }
        json_decref(json);
    }
    (void)closedir(folder);
    db_close(&d);
    ck_assert_uint_ge(files, 50);
    ck_assert_uint_ge(values, 2000);
}
END_TEST

/* ---- errors ---- */

START_TEST(error_after_rows_is_seen)
{
    json_t *json = vector_load("stream_error_after_rows");
    struct db *d = must_open();
    struct err e = ERR_INIT;
    int rc;

    replay_answer(&server, json_string_value(json_object_get(json, "response_hex")));
    ck_assert_int_eq(db_query(d, "SELECT x", &e), 0);
    while ((rc = db_next(d, &e)) == 1)
        ;
    if (rc == 0)
        rc = db_result(d, &e);
    ck_assert_int_eq(rc, -1);
    ck_assert_int_eq(e.code, ERR_SQL);
    ck_assert_ptr_nonnull(strstr(e.text, "server message"));
    db_close(&d);
    json_decref(json);
}
END_TEST

START_TEST(bad_login_says_so)
{
    json_t *json = vector_load("login_bad_password");
    struct db *d = NULL;
    struct err e = ERR_INIT;

    replay_answer(&server, json_string_value(json_object_get(json, "response_hex")));
    server.refuses = true;
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_int_eq(e.code, ERR_LOGIN);
    ck_assert_int_eq(e.sys, 18456);
    ck_assert(e.hint[0] != '\0');
    ck_assert_ptr_null(strstr(e.text, "secret"));
    json_decref(json);
}
END_TEST

/* What the process does about the numbers of servers in trouble; e.sys keeps them. */
START_TEST(numbers_have_their_class)
{
    static const struct {
        int32_t number;
        enum err_class class;
        uint32_t pause_ms;
    } cases[] = {
        {40613, ERR_CLASS_RETRY, 5000},  {40197, ERR_CLASS_RETRY, 5000},
        {40501, ERR_CLASS_RETRY, 10000}, {49918, ERR_CLASS_RETRY, 10000},
        {49919, ERR_CLASS_RETRY, 10000}, {49920, ERR_CLASS_RETRY, 10000},
        {10928, ERR_CLASS_RETRY, 10000}, {10929, ERR_CLASS_RETRY, 10000},
        {4221, ERR_CLASS_RETRY, 5000},   {1205, ERR_CLASS_RETRY, 0},
        {1222, ERR_CLASS_RETRY, 0},      {3961, ERR_CLASS_RETRY, 0},
        {976, ERR_CLASS_RETRY, 0},       {978, ERR_CLASS_RETRY, 0},
        {979, ERR_CLASS_RETRY, 0},       {983, ERR_CLASS_RETRY, 0},
        {35250, ERR_CLASS_RETRY, 0},     {596, ERR_CLASS_RETRY, 0},
        {64, ERR_CLASS_RETRY, 0},        {121, ERR_CLASS_RETRY, 0},
        {233, ERR_CLASS_RETRY, 0},       {10053, ERR_CLASS_RETRY, 0},
        {10054, ERR_CLASS_RETRY, 0},     {208, ERR_CLASS_RETRY, 0},
        {313, ERR_CLASS_RETRY, 0},       {4060, ERR_CLASS_OPERATOR, 0},
        {18456, ERR_CLASS_OPERATOR, 0},  {18470, ERR_CLASS_OPERATOR, 0},
        {18487, ERR_CLASS_OPERATOR, 0},  {18488, ERR_CLASS_OPERATOR, 0},
        {40615, ERR_CLASS_OPERATOR, 0},  {40914, ERR_CLASS_OPERATOR, 0},
        {229, ERR_CLASS_OPERATOR, 0},    {22981, ERR_CLASS_OPERATOR, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct db_error d = {.server = 0};
        struct err e = ERR_INIT;

        db_error_server(&d, cases[i].number, 16, "in trouble");
        ck_assert_int_eq(db_error_report(&d, "log in", &e), -1);
        ck_assert_msg(err_class(e.code) == cases[i].class, "%d: %s", cases[i].number, e.text);
        ck_assert_int_eq(e.sys, cases[i].number);
        ck_assert_msg(e.hint[0] != '\0', "%d has no hint", cases[i].number);
        ck_assert_uint_eq(db_error_pause_ms(cases[i].number), cases[i].pause_ms);
    }
}
END_TEST

START_TEST(nobody_listens)
{
    struct db *d = NULL;
    struct err e = ERR_INIT;

    endpoint.port = 1; /* reserved: nothing listens there */
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_int_eq(e.code, ERR_CONNECT);
    ck_assert_ptr_nonnull(strstr(e.text, "port 1: Connection refused"));
}
END_TEST

START_TEST(unknown_host)
{
    static char host[] = "no-such-host.invalid";
    struct db *d = NULL;
    struct err e = ERR_INIT;

    endpoint.server_name = host;
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_int_eq(e.code, ERR_CONNECT);
    ck_assert_ptr_nonnull(strstr(e.text, "cannot be resolved"));
}
END_TEST

START_TEST(values_the_configuration_cannot_hold)
{
    static char host[] = "a;b";
    static char instance[] = "host\\SQL2019";
    struct db *d = NULL;
    struct err e = ERR_INIT;

    endpoint.server_name = host;
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    endpoint.server_name = instance;
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_int_eq(e.code, ERR_CONFIG);
}
END_TEST

START_TEST(plain_server_refuses_encryption)
{
    struct db *d = NULL;
    struct err e = ERR_INIT;

    endpoint.ssl_mode = SSL_REQUIRE;
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_int_eq(e.code, ERR_TLS);
    ck_assert(e.hint[0] != '\0');
}
END_TEST

START_TEST(other_database_is_refused)
{
    static char database[] = "warehouse";
    struct db *d = NULL;
    struct err e = ERR_INIT;

    endpoint.database_name = database;
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_int_eq(e.code, ERR_LOGIN);
    ck_assert_ptr_nonnull(strstr(e.text, "shop"));
}
END_TEST

START_TEST(silence_times_out)
{
    struct db *d;
    struct err e = ERR_INIT;

    endpoint.query_timeout_s = 1;
    d = must_open();
    server.hangs = true;
    ck_assert_int_eq(db_query(d, "SELECT 1", &e), -1);
    ck_assert_int_eq(e.code, ERR_TIMEOUT);
    db_close(&d);
}
END_TEST

static void *
ask_stop(void *arg)
{
    (void)arg;
    ck_assert_int_eq(eventfd_write(stop_fd, 1), 0);
    return NULL;
}

START_TEST(stop_ends_a_wait)
{
    struct db *d = must_open();
    struct err e = ERR_INIT;
    pthread_t t;

    server.hangs = true;
    ck_assert_int_eq(pthread_create(&t, NULL, ask_stop, NULL), 0);
    ck_assert_int_eq(db_query(d, "SELECT 1", &e), -1); /* the check's own time-out guards */
    ck_assert_int_eq(e.code, ERR_STOPPED);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    db_close(&d);
}
END_TEST

/* ---- time ---- */

static int64_t
seconds_since(int64_t begin_ns)
{
    return (clock_mono_ns() - begin_ns) / NS_PER_S;
}

static void
stop_soon(pthread_t *t)
{
    ck_assert_int_eq(pthread_create(t, NULL, ask_stop, NULL), 0);
}

START_TEST(stop_ends_a_login)
{
    int64_t begin_ns = clock_mono_ns();
    struct db *d = NULL;
    struct err e = ERR_INIT;
    pthread_t t;

    endpoint.login_timeout_s = 25;
    atomic_store(&server.mute, true);
    stop_soon(&t);
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_int_eq(e.code, ERR_STOPPED);
    ck_assert_int_lt(seconds_since(begin_ns), 4);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
}
END_TEST

START_TEST(silent_login_times_out)
{
    int64_t begin_ns = clock_mono_ns();
    struct db *d = NULL;
    struct err e = ERR_INIT;

    endpoint.login_timeout_s = 1;
    atomic_store(&server.mute, true);
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_msg(e.code == ERR_TIMEOUT, "%s", e.text);
    ck_assert_ptr_nonnull(strstr(e.text, "has not let weir in after 1 s"));
    ck_assert_int_ge(seconds_since(begin_ns), 1);
    ck_assert_int_lt(seconds_since(begin_ns), 5);
}
END_TEST

/* Never silent for a second, so DB-Library would wait for minutes. */
START_TEST(dripping_login_times_out)
{
    int64_t begin_ns = clock_mono_ns();
    struct db *d = NULL;
    struct err e = ERR_INIT;

    endpoint.login_timeout_s = 1;
    atomic_store(&server.drip_ms, 300);
    ck_assert_int_eq(try_open(&d, &e), -1);
    ck_assert_msg(e.code == ERR_TIMEOUT, "%s", e.text);
    ck_assert_int_lt(seconds_since(begin_ns), 7);
    atomic_store(&server.drip_ms, 0); /* lets the one left alone end before the server does */
}
END_TEST

static const char one_row[] = "0401002900000100810100000000000800380269006400d101000000fd1000c10001"
                              "00000000000000";

START_TEST(dripping_rows_time_out)
{
    int64_t begin_ns;
    struct db *d;
    struct err e = ERR_INIT;

    endpoint.query_timeout_s = 1;
    d = must_open();
    replay_answer(&server, one_row);
    atomic_store(&server.drip_ms, 200);
    begin_ns = clock_mono_ns();
    ck_assert_int_eq(db_run(d, "SELECT 1", &e), -1);
    ck_assert_msg(e.code == ERR_TIMEOUT, "%s", e.text);
    ck_assert_int_lt(seconds_since(begin_ns), 5);
    db_close(&d);
}
END_TEST

START_TEST(stop_ends_dripping_rows)
{
    int64_t begin_ns;
    struct db *d = must_open();
    struct err e = ERR_INIT;
    pthread_t t;

    replay_answer(&server, one_row);
    atomic_store(&server.drip_ms, 200);
    begin_ns = clock_mono_ns();
    stop_soon(&t);
    ck_assert_int_eq(db_run(d, "SELECT 1", &e), -1);
    ck_assert_msg(e.code == ERR_STOPPED, "%s", e.text);
    ck_assert_int_lt(seconds_since(begin_ns), 5);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    db_close(&d);
}
END_TEST

START_TEST(connection_ended_while_idle)
{
    struct db *d = must_open();
    struct err e = ERR_INIT;

    replay_answer(&server, one_row);
    atomic_store(&server.leaves, true);
    ck_assert_int_eq(db_run(d, "SELECT 1", &e), 0);
    while (atomic_load(&server.serving) > 0)
        (void)sched_yield();
    ck_assert_int_eq(db_run(d, "SELECT 1", &e), -1);
    ck_assert_int_eq(e.code, ERR_CONNECT);
    ck_assert_ptr_nonnull(strstr(e.text, "while it was idle"));
    db_close(&d);
}
END_TEST

static int
option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);

    ck_assert_int_eq(getsockopt(fd, level, option, &value, &size), 0);
    return value;
}

/* The sockets of this process that lead to the server. */
START_TEST(vanished_peers_are_noticed)
{
    struct db *d = must_open();
    unsigned found = 0;

    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in peer = {.sin_port = 0};
        socklen_t size = sizeof(peer);

        if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 ||
            ntohs(peer.sin_port) != server.port)
            continue;
        found++;
        ck_assert_int_eq(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
        ck_assert_int_le(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
        ck_assert_int_le(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL) *
                             option_of(fd, IPPROTO_TCP, TCP_KEEPCNT),
                         30);
        ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
    }
    ck_assert_uint_ge(found, 1);
    db_close(&d);
}
END_TEST

START_TEST(no_file_stays_behind)
{
    struct db *d = must_open();

    db_close(&d);
    ck_assert_int_eq(rmdir(directory), 0); /* empty */
    ck_assert_int_eq(mkdir(directory, 0700), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_db");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, every_recorded_value);
    tcase_add_test(tc, error_after_rows_is_seen);
    tcase_add_test(tc, bad_login_says_so);
    tcase_add_test(tc, numbers_have_their_class);
    tcase_add_test(tc, nobody_listens);
    tcase_add_test(tc, unknown_host);
    tcase_add_test(tc, values_the_configuration_cannot_hold);
    tcase_add_test(tc, plain_server_refuses_encryption);
    tcase_add_test(tc, other_database_is_refused);
    tcase_add_test(tc, silence_times_out);
    tcase_add_test(tc, stop_ends_a_wait);
    tcase_add_test(tc, stop_ends_a_login);
    tcase_add_test(tc, silent_login_times_out);
    tcase_add_test(tc, dripping_login_times_out);
    tcase_add_test(tc, dripping_rows_time_out);
    tcase_add_test(tc, stop_ends_dripping_rows);
    tcase_add_test(tc, connection_ended_while_idle);
    tcase_add_test(tc, vanished_peers_are_noticed);
    tcase_add_test(tc, no_file_stays_behind);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
