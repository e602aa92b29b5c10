/* Many connections from many threads at once: opening, reading and closing, to one server and to
   two of them; also under ThreadSanitizer. */
/* uses: capture aws */
#include "capture/sqlserver/db.h"
#include "common/err.h"
#include "common/task.h"
#include "tests/unit/capture_replay.h"

#include <sys/stat.h>

#define THREADS 8
#define ROUNDS  6

static const char one_row[] = "0401002900000100810100000000000800380269006400d101000000fd1000c10001"
                              "00000000000000";

static struct replay servers[2];
static char directory[] = "/tmp/weir-db-XXXXXX";
static atomic_uint rows_read;

static void
set_up_endpoint(struct source_endpoint *ep, const struct replay *r)
{
    static char host[] = "127.0.0.1";
    static char database[] = "shop";
    static char user[] = "sa";
    static char password[] = "secret";
    static char none[] = "";

    *ep = (struct source_endpoint){.server_name = host,
                                   .port = r->port,
                                   .database_name = database,
                                   .username = user,
                                   .password = {.kind = SECRET_TEXT, .value = password},
                                   .ssl_mode = SSL_NONE,
                                   .ssl_ca_file = none,
                                   .service_principal = none,
                                   .secret_id = none,
                                   .secret_role_arn = none,
                                   .aws_region = none,
                                   .login_timeout_s = 20,
                                   .query_timeout_s = 20};
}

static void *
read_often(void *arg)
{
    const struct replay *r = arg;
    struct source_endpoint endpoint;
    const struct db_config config = {.endpoint = &endpoint,
                                     .application = "test",
                                     .private_directory = directory,
                                     .stop_fd = -1};

    set_up_endpoint(&endpoint, r);
    for (int i = 0; i < ROUNDS; i++) {
        struct err e = ERR_INIT;
        struct db *d = NULL;

        ck_assert_msg(db_open(&config, &d, &e) == 0, "%s", e.text);
        for (int k = 0; k < 5; k++) {
            ck_assert_msg(db_query(d, "SELECT id", &e) == 0, "%s", e.text);
            while (db_next(d, &e) == 1) {
                ck_assert_int_eq(db_int(d, 0), 1);
                (void)atomic_fetch_add(&rows_read, 1);
            }
            ck_assert_int_eq(db_result(d, &e), 0);
        }
        db_close(&d);
    }
    return NULL;
}

static void
run_threads(unsigned n_servers)
{
    pthread_t threads[THREADS];

    ck_assert_ptr_nonnull(mkdtemp(directory));
    for (unsigned i = 0; i < n_servers; i++) {
        replay_start(&servers[i]);
        replay_answer(&servers[i], one_row);
    }
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_often, &servers[i % n_servers]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(atomic_load(&rows_read), THREADS * ROUNDS * 5);
    for (unsigned i = 0; i < n_servers; i++)
        replay_stop(&servers[i]);
    ck_assert_int_eq(rmdir(directory), 0); /* no configuration file is left */
}

START_TEST(one_endpoint)
{
    run_threads(1);
}
END_TEST

START_TEST(two_endpoints)
{
    run_threads(2);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_db_threads");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, one_endpoint);
    tcase_add_test(tc, two_endpoints);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
