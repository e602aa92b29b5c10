/* Resume, skipping, routing and watermarks of capture: a scripted source against real rings, killed
   at every crash point. */
/* uses: capture aws */
/* wrap: source_engine_find */
#include "tests/unit/capture_flow_help.h"

/* ---- tests ---- */

START_TEST(load_then_log)
{
    must_run();
    check_all(true);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, true), 1);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, false), 1);
}
END_TEST

/* One key, one ring; a table without a key, one ring. */
START_TEST(routing_is_by_key)
{
    size_t per_ring[2] = {0, 0};

    must_run();
    look();
    for (size_t i = 0; i < n_seen; i++) {
        if (seen[i].table_id == 2)
            per_ring[seen[i].ring]++;
        for (size_t j = 0; j < i; j++)
            if (seen[i].table_id == seen[j].table_id &&
                (seen[i].table_id == 1 || (seen[i].id == seen[j].id && seen[i].id >= 0)))
                ck_assert_uint_eq(seen[i].ring, seen[j].ring);
    }
    ck_assert_uint_gt(per_ring[0], 5);
    ck_assert_uint_gt(per_ring[1], 5);
}
END_TEST

START_TEST(restart_repeats_nothing)
{
    must_run();
    must_run();
    fake_script.transactions = 33;
    must_run();
    check_all(true);
}
END_TEST

/* A ring that was lost is filled again from the checkpoint; the other one sees nothing twice. */
START_TEST(rings_at_different_places)
{
    char path[256];
    size_t kept = 0;
    size_t again = 0;

    must_run();
    look();
    for (size_t i = 0; i < n_seen; i++)
        kept += seen[i].ring == 0 ? 1 : 0;
    (void)snprintf(path, sizeof(path), "%s/g1/change.1.ring", directory);
    ck_assert_int_eq(unlink(path), 0);
    must_run();
    check_all(true);
    for (size_t i = 0; i < n_seen; i++)
        again += seen[i].ring == 0 ? 1 : 0;
    ck_assert_uint_eq(kept, again);
}
END_TEST

/* Both rings lost, the shipper had acknowledged up to a place in the log: cold start there. */
START_TEST(cold_start_at_the_checkpoint)
{
    struct checkpoint c = {.generation = 1, .shipper = 0};
    struct err e = ERR_INIT;
    uint8_t lsn[LSN_SIZE];
    char path[256];

    must_run();
    fake_lsn(FAKE_JOIN + 7, lsn);
    position_lsn_complete(lsn, &c.position);
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/g1/change.%d.ring", directory, i);
        ck_assert_int_eq(unlink(path), 0);
    }
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true) + count(EVENT_LOAD, -1, false), 0);
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + 7, true), 0);
    for (int64_t id = FAKE_JOIN + 8; id <= FAKE_JOIN + fake_script.transactions; id++)
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), 1);
}
END_TEST

/* A connection that breaks inside a transaction: the engine gives its start again, the rings do
   not. */
START_TEST(broken_connection_repeats_nothing)
{
    fake_script.break_after = 9;
    must_run();
    ck_assert_int_eq(fake_script.connects, 2);
    check_all(true);
}
END_TEST

START_TEST(refused_connections_are_tried_again)
{
    fake_script.connect_failures = 2;
    must_run();
    ck_assert_int_eq(fake_script.connects, 3);
    check_all(true);
}
END_TEST

/* Killed at the n-th pass of every crash point, then finished: each change is there once. */
START_TEST(killed_anywhere)
{
    char crash[32];
    int kills = 0;

    fake_script.text_size = 2000; /* batches of several records */
    for (int n = 1 + _i; n < 400; n += 8) {
        (void)snprintf(crash, sizeof(crash), "*:%d", n);
        if (!run_killed(crash))
            break;
        kills++;
        must_run();
        check_all(false);
        teardown();
        ck_assert_int_eq(mkdir(directory, 0750), 0);
        ck_assert_int_eq(mkdir(state_directory, 0750), 0);
    }
    ck_assert_int_gt(kills, 5);
}
END_TEST

START_TEST(killed_again_and_again)
{
    int rounds = 0;

    while (run_killed("capture.published:2"))
        ck_assert_int_lt(++rounds, 200);
    ck_assert_int_gt(rounds, 5);
    check_all(false);
}
END_TEST

/* ---- a full ring ---- */

static _Atomic bool draining;
static size_t drained;

static void *
drain(void *arg)
{
    struct ring *r = arg;
    struct ring_view v;
    struct err e = ERR_INIT;
    int rc = 0;

    while (rc >= 0) {
        rc = ring_next(r, &v, &e);
        if (rc == 1) {
            drained += v.type == RING_DATA ? 1 : 0;
            ring_release(r, v.end);
        } else if (rc == 0 && !ring_wait_data(&r, 1, 20) && !atomic_load(&draining)) {
            break;
        }
    }
    return NULL;
}

START_TEST(full_ring_waits)
{
    pthread_t t;
    struct ring *r;

    task.weir.encoders = 1;
    must_run(); /* makes the ring; what it holds is a part of what is drained */
    fake_script.transactions = 60;
    fake_script.text_size = 100000; /* twelve times the ring, each but one change in a fragment */
    r = open_consumer(0);
    atomic_store(&draining, true);
    ck_assert_int_eq(pthread_create(&t, NULL, drain, r), 0);
    must_run();
    atomic_store(&draining, false);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    ring_close(&r);
    ck_assert_uint_eq(drained, 2 + 2 * FAKE_ROWS + 2 * 60);
}
END_TEST

/* A change that no ring of this size can take is the operator's business, not a loss. */
START_TEST(change_larger_than_the_ring)
{
    struct err e = ERR_INIT;

    fake_script.text_size = 900000;
    ck_assert_int_eq(run(&e), -1);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(e.hint, "ChangeRingSize"));
}
END_TEST

/* ---- kinds of task ---- */

START_TEST(cdc_only_loads_nothing)
{
    task.migration_type = MIGRATION_CDC;
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true) + count(EVENT_LOAD, -1, false), 0);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, true), 1);
    ck_assert_uint_eq(count(EVENT_INSERT, -1, true), (size_t)fake_script.transactions);
}
END_TEST

START_TEST(full_load_only_ends)
{
    task.migration_type = MIGRATION_FULL_LOAD;
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true), FAKE_ROWS);
    ck_assert_uint_eq(count(EVENT_INSERT, -1, true), 0);
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_LOAD, -1, true), FAKE_ROWS);
}
END_TEST

START_TEST(refused_table_leaves_the_others)
{
    fake_script.refuse = "h";
    must_run();
    look();
    for (size_t i = 0; i < n_seen; i++)
        ck_assert_uint_eq(seen[i].table_id, seen[0].table_id);
    ck_assert_uint_eq(n_seen, 1 + FAKE_ROWS + (size_t)fake_script.transactions);
}
END_TEST

/* What a table went through while it was refused is not known: it stays out until loaded anew. */
START_TEST(table_refused_for_a_time_stays_out)
{
    int before = fake_script.transactions;
    int64_t last;

    must_run();
    fake_script.refuse = "h";
    fake_script.transactions += 10;
    must_run();
    fake_script.refuse = NULL;
    fake_script.transactions += 10;
    must_run();
    look();
    last = FAKE_JOIN + fake_script.transactions;
    for (int64_t id = FAKE_JOIN + 1; id <= last; id++) {
        ck_assert_uint_eq(count(EVENT_INSERT, id, false), id <= FAKE_JOIN + before ? 1 : 0);
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), 1);
    }
}
END_TEST

/* ---- holes in the history of one table ---- */

/* Table h has its changes before the hole and none behind it; table k has all of them, once. */
static void
check_hole_of_h(uint64_t hole)
{
    look();
    for (int64_t id = FAKE_JOIN + 1; id <= FAKE_JOIN + fake_script.transactions; id++) {
        ck_assert_uint_eq(count(EVENT_INSERT, id, false), (uint64_t)id < hole ? 1 : 0);
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), 1);
    }
}

static const struct state_table *
read_table(struct state *st, const char *name)
{
    struct err e = ERR_INIT;
    const struct state_table *t;

    ck_assert_int_eq(state_read(&task, st, &e), 0);
    t = state_find(st, "dbo", name, name);
    ck_assert_ptr_nonnull(t);
    return t;
}

START_TEST(hole_suspends_one_table)
{
    const struct state_table *t;
    struct state st;

    fake_script.lose[1] = FAKE_JOIN + 8;
    must_run();
    check_hole_of_h(FAKE_JOIN + 8);
    t = read_table(&st, "h");
    ck_assert(t->lost.is_set);
    ck_assert_uint_eq(fake_lsn_of(&t->lost.from), FAKE_JOIN + 8);
    ck_assert_uint_eq(fake_lsn_of(&t->lost.upto), FAKE_JOIN + 9);
    ck_assert_int_eq(t->lost.upto_real_ns, 1704067200000000000);
    ck_assert_str_eq(t->suspended,
                     "changes from LSN 00000000:00000000:006c to 00000000:00000000:006d (after "
                     "time unknown, before 2024-01-01T00:00:00.000000Z) are lost: somebody swept");
    ck_assert_ptr_null(state_find(&st, "dbo", "k", "k")->suspended);
    state_free(&st);
    /* It stays out although the source has no hole to show any more. */
    fake_script.lose[1] = 0;
    fake_script.transactions += 10;
    must_run();
    check_hole_of_h(FAKE_JOIN + 8);
}
END_TEST

START_TEST(killed_around_a_hole)
{
    static const char *const points[] = {"capture.gap-found:1", "capture.gap-written:1"};

    fake_script.lose[1] = FAKE_JOIN + 8;
    ck_assert(run_killed(points[_i]));
    must_run();
    check_hole_of_h(FAKE_JOIN + 8);
}
END_TEST

/* Rings lost after the hole was found: what lay in them of the table is lost as well, and said so. */
START_TEST(hole_grows_when_rings_are_lost)
{
    struct checkpoint c = {.generation = 1, .shipper = 0, .commit_real_ns = 1000000000};
    const struct state_table *t;
    struct err e = ERR_INIT;
    struct state st;
    uint8_t lsn[LSN_SIZE];
    char path[256];

    fake_script.lose[1] = FAKE_JOIN + 8;
    must_run();
    fake_lsn(FAKE_JOIN + 4, lsn);
    position_lsn_complete(lsn, &c.position);
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/g1/change.%d.ring", directory, i);
        ck_assert_int_eq(unlink(path), 0);
    }
    must_run();
    t = read_table(&st, "h");
    ck_assert_uint_eq(fake_lsn_of(&t->lost.from), FAKE_JOIN + 4);
    ck_assert_uint_eq(fake_lsn_of(&t->lost.upto), FAKE_JOIN + 9);
    ck_assert_int_eq(t->lost.from_real_ns, 1000000000);
    state_free(&st);
}
END_TEST

START_TEST(no_table_left_is_the_operators)
{
    struct err e = ERR_INIT;

    fake_script.lose[0] = FAKE_JOIN + 10;
    fake_script.lose[1] = FAKE_JOIN + 8;
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(run(&e), -1);
        ck_assert_int_eq(e.code, ERR_GAP);
        ck_assert_int_eq(err_exit_status(&e), 78);
        ck_assert_ptr_nonnull(strstr(e.text, "dbo.h: changes from LSN 00000000:00000000:006c to"));
        ck_assert_ptr_nonnull(strstr(e.text, "dbo.k: changes from LSN 00000000:00000000:006e to"));
        ck_assert_ptr_nonnull(strstr(e.hint, "weirctl reload"));
    }
    look();
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + 9, true), 1);
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + 10, true), 0);
}
END_TEST

START_TEST(other_numbers_make_a_generation)
{
    struct checkpoint c = {.generation = 1, .shipper = 0};
    struct err e = ERR_INIT;
    uint8_t lsn[LSN_SIZE];
    char path[256];

    must_run();
    fake_lsn(FAKE_JOIN + 15, lsn);
    position_lsn_complete(lsn, &c.position);
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    task.weir.encoders = 3;
    must_run();
    (void)snprintf(path, sizeof(path), "%s/g1", directory);
    ck_assert_int_ne(access(path, F_OK), 0);
    generation = 2;
    look();
    for (int64_t id = FAKE_JOIN + 1; id <= FAKE_JOIN + fake_script.transactions; id++)
        ck_assert_uint_eq(count(EVENT_INSERT, id, true), id > FAKE_JOIN + 15 ? 1 : 0);
}
END_TEST

/* ---- bad state ---- */

static void
replace_state(const char *text)
{
    char path[256];
    struct err e = ERR_INIT;

    (void)snprintf(path, sizeof(path), "%s/capture.json", state_directory);
    ck_assert_int_eq(file_replace(path, text, strlen(text), 0640, &e), 0);
}

START_TEST(damaged_state)
{
    must_run();
    replace_state("{\"format\": 1, \"task\":");
    expect(ERR_LAYOUT, "is damaged");
    replace_state("{\"format\": 2}");
    expect(ERR_LAYOUT, "is damaged or of another version");
    replace_state("");
    expect(ERR_LAYOUT, "is damaged");
}
END_TEST

START_TEST(foreign_state)
{
    static char other[] = "other";

    must_run();
    task.identifier = other;
    expect(ERR_LAYOUT, "belongs to another task");
}
END_TEST

START_TEST(lost_state)
{
    char path[256];

    must_run();
    (void)snprintf(path, sizeof(path), "%s/capture.json", state_directory);
    ck_assert_int_eq(unlink(path), 0);
    expect(ERR_LAYOUT, "capture.json is gone");
}
END_TEST

START_TEST(other_history)
{
    must_run();
    fake_script.created = "2025";
    expect(ERR_HISTORY, "date of creation was '2024' and is '2025'");
}
END_TEST

/* The recovery fork names the history: a fail-over that keeps it is survived, on any server. */
START_TEST(failed_over_without_loss)
{
    struct state st;

    fake_script.fork = "f1";
    must_run();
    fake_script.server = "S2";
    fake_script.created = "2025";
    fake_script.transactions += 5;
    must_run();
    check_all(true);
    (void)read_table(&st, "k");
    ck_assert_str_eq(st.identity.server, "S2");
    state_free(&st);
    /* The right to see forks is gone: what is known stays known. */
    fake_script.fork = NULL;
    must_run();
    fake_script.fork = "f2";
    expect(ERR_HISTORY, "recovery fork was 'f1' and is 'f2'");
}
END_TEST

/* A fork of ours within the group is ours as long as it branched off behind all that was given. */
START_TEST(failed_over_with_a_new_fork)
{
    uint64_t given = FAKE_JOIN + 20;

    fake_script.fork = "f1";
    fake_script.group = "g";
    fake_script.family = "a";
    must_run();
    fake_script.server = "S2";
    fake_script.fork = "f2";
    expect(ERR_HISTORY, "is undone in the database"); /* nobody says where it came from */
    fake_script.fork_parent = "f1";
    fake_script.fork_point = given - 1;
    expect(ERR_HISTORY, "went back to LSN 00000000:00000000:0077, and everything up to "
                        "00000000:00000000:0078 was read). What was delivered from behind");
    fake_script.fork_point = given;
    fake_script.group = "other";
    expect(ERR_HISTORY, "recovery fork");
    fake_script.group = NULL; /* restored elsewhere */
    expect(ERR_HISTORY, "nothing that was delivered is undone");
    fake_script.group = "g";
    fake_script.server = NULL; /* restored in place: not a fail-over */
    expect(ERR_HISTORY, "recovery fork");
    fake_script.server = "S2";
    fake_script.family = "b";
    expect(ERR_HISTORY, "another database has its name");
    fake_script.family = "a";
    fake_script.transactions += 5;
    must_run();
    check_all(true);
}
END_TEST

/* Without the right to see forks, the group tells a fail-over from another server. */
START_TEST(moved_without_a_fork)
{
    must_run();
    fake_script.server = "S2";
    expect(ERR_HISTORY, "server name was 'S' and is 'S2'");
}
END_TEST

START_TEST(moved_within_the_group)
{
    fake_script.group = "g";
    must_run();
    fake_script.server = "S2";
    fake_script.transactions += 5;
    must_run();
    check_all(true);
    fake_script.created = "2030"; /* the same server now: restored */
    expect(ERR_HISTORY, "date of creation");
}
END_TEST

START_TEST(two_of_one_task)
{
    char path[256];
    struct err e = ERR_INIT;
    int lock;

    (void)snprintf(path, sizeof(path), "%s/capture.lock", state_directory);
    ck_assert_int_eq(file_lock(path, &lock, &e), 0);
    expect(ERR_BUSY, "held by process");
    (void)close(lock);
}
END_TEST

/* ---- loads: exact, anew, behind lost rings ---- */

/* Changes of the table from LSN FAKE_JOIN + first on: each once; those before not at all. */
static void
check_changes(bool has_key, int first)
{
    for (int i = 1; i <= fake_script.transactions; i++)
        ck_assert_msg(count(EVENT_INSERT, FAKE_JOIN + i, has_key) == (i >= first ? 1U : 0U),
                      "change %d of table %d: %zu", i, has_key,
                      count(EVENT_INSERT, FAKE_JOIN + i, has_key));
}

/* What a view has seen is not given again. */
START_TEST(exact_load_repeats_nothing)
{
    fake_script.has_views = true;
    fake_script.moment = 4;
    must_run();
    must_run();
    look();
    for (int key = 0; key < 2; key++) {
        check_changes(key == 1, 5);
        for (int64_t id = 1; id <= FAKE_ROWS; id++)
            ck_assert_uint_eq(count(EVENT_LOAD, id, key == 1), 1);
    }
    ck_assert_int_eq(fake_script.views, 0);
}
END_TEST

START_TEST(exact_or_not_at_all)
{
    task.weir.load_handover = LOAD_EXACT;
    expect(ERR_CONFIG, "Weir.LoadHandover is exact");
    task.weir.load_handover = LOAD_AUTO;
    must_run();
    check_all(true);
}
END_TEST

/* A table whose first rows went out keeps its moment: what came behind it is given, though the rest
   is read later. */
START_TEST(killed_in_an_exact_load)
{
    static const char *const points[] = {"capture.chunks-planned", "capture.chunks-durable",
                                         "capture.chunk-read", "capture.published"};
    char crash[48];
    int begun = 0;

    fake_script.has_views = true;
    for (int n = 1; n < 12; n++) {
        bool was_begun[2];

        fake_script.moment = 4;
        (void)snprintf(crash, sizeof(crash), "%s:%d", points[_i], n);
        if (!run_killed(crash))
            break;
        fake_script.moment = 8;
        look();
        for (int key = 0; key < 2; key++)
            was_begun[key] = count(EVENT_LOAD, -1, key == 1) > 0;
        must_run();
        look();
        for (int key = 0; key < 2; key++) {
            begun += was_begun[key] ? 1 : 0;
            for (int i = was_begun[key] ? 5 : 9; i <= fake_script.transactions; i++)
                ck_assert_msg(count(EVENT_INSERT, FAKE_JOIN + i, key == 1) == 1,
                              "%s: change %d of table %d", crash, i, key);
            for (int64_t id = 1; id <= FAKE_ROWS; id++)
                ck_assert_uint_ge(count(EVENT_LOAD, id, key == 1), 1);
        }
        teardown();
        ck_assert_int_eq(mkdir(directory, 0750), 0);
        ck_assert_int_eq(mkdir(state_directory, 0750), 0);
    }
    ck_assert_int_gt(begun, 0);
}
END_TEST

/* As load_request() notes it. */
static void
want_reload(const char *name)
{
    struct state s;
    struct err e = ERR_INIT;
    size_t found = 0;

    ck_assert_int_eq(state_read(&task, &s, &e), 0);
    for (size_t i = 0; i < s.n_tables; i++)
        if (strcmp(s.tables[i].name, name) == 0) {
            s.tables[i].wants_reload = true;
            found++;
        }
    ck_assert_uint_eq(found, 1);
    ck_assert_int_eq(state_write(&task, &s, &e), 0);
    state_free(&s);
}

static void
check_loaded_twice(bool has_key, bool exactly)
{
    for (int64_t id = 1; id <= FAKE_ROWS; id++) {
        size_t n = count(EVENT_LOAD, id, has_key);

        ck_assert_msg(exactly ? n == 2 : n >= 2, "row %ld of table %d: %zu", (long)id, has_key, n);
        ck_assert_uint_eq(count(EVENT_LOAD, id, !has_key), 1);
    }
}

/* A table is loaded anew between rounds of the log; its changes and the other table go on. */
START_TEST(reload_while_following)
{
    must_run();
    want_reload(_i == 0 ? "h" : "k");
    fake_script.transactions += 20;
    must_run();
    check_all(false);
    check_loaded_twice(_i == 1, true);
    ck_assert_uint_eq(count(EVENT_CREATE_TABLE, -1, _i == 1), 2);
}
END_TEST

START_TEST(killed_in_a_reload)
{
    char crash[32];
    int kills = 0;
    int before = fake_script.transactions;

    for (int n = 1 + 3 * _i; n < 200; n += 12) {
        must_run();
        want_reload("k");
        fake_script.transactions = before + 20;
        (void)snprintf(crash, sizeof(crash), "*:%d", n);
        if (!run_killed(crash))
            break;
        kills++;
        fake_script.transactions = before + 40;
        must_run();
        check_all(false);
        check_loaded_twice(true, false);
        teardown();
        ck_assert_int_eq(mkdir(directory, 0750), 0);
        ck_assert_int_eq(mkdir(state_directory, 0750), 0);
        fake_script.transactions = before;
    }
    ck_assert_int_gt(kills, 5);
}
END_TEST

/* The reload's chunks are given again at their places in the log, which lie behind the checkpoint. */
START_TEST(reload_behind_lost_rings)
{
    struct checkpoint c = {.generation = 1, .shipper = 0};
    struct err e = ERR_INIT;
    uint8_t lsn[LSN_SIZE];
    char path[256];

    must_run();
    want_reload("k");
    fake_script.transactions += 20;
    must_run();
    fake_lsn(FAKE_JOIN + 7, lsn);
    position_lsn_complete(lsn, &c.position);
    ck_assert_int_eq(checkpoint_write(&task, &c, &e), 0);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/g1/change.%d.ring", directory, i);
        ck_assert_int_eq(unlink(path), 0);
    }
    must_run();
    look();
    check_changes(true, 8);
    check_changes(false, 8);
    for (int64_t id = 1; id <= FAKE_ROWS; id++)
        ck_assert_uint_eq(count(EVENT_LOAD, id, true), 1);
}
END_TEST

/* A suspended table takes part again from its reload on. */
START_TEST(reload_ends_a_suspension)
{
    size_t n;

    fake_script.lose[1] = FAKE_JOIN + 8;
    must_run();
    fake_script.lose[1] = 0;
    want_reload("h");
    fake_script.transactions += 20;
    must_run();
    look();
    n = count(EVENT_INSERT, FAKE_JOIN + 7, false);
    ck_assert_uint_eq(n, 1);
    for (int i = 8; i <= 20; i++) /* while it was suspended */
        ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + i, false), 0);
    check_loaded_twice(false, true);
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + fake_script.transactions, false), 1);
    must_run();
    fake_script.transactions += 5;
    must_run();
    look();
    ck_assert_uint_eq(count(EVENT_INSERT, FAKE_JOIN + fake_script.transactions, false), 1);
}
END_TEST

/* A table with a value that cannot be carried does not stop the load of the other. */
START_TEST(unreadable_table_leaves_the_others)
{
    fake_script.bad_table = "h";
    must_run();
    look();
    for (int64_t id = 1; id <= FAKE_ROWS; id++)
        ck_assert_uint_eq(count(EVENT_LOAD, id, true), 1);
    ck_assert_uint_eq(count(EVENT_LOAD, -1, false), 0);
    check_changes(true, 1);
}
END_TEST

START_TEST(stops_once_behind_the_load)
{
    task.stop_after_load = _i == 0;
    task.stop_after_cached_changes = _i == 1;
    must_run();
    look();
    for (int64_t id = 1; id <= FAKE_ROWS; id++)
        ck_assert_uint_eq(count(EVENT_LOAD, id, true), 1);
    ck_assert_uint_eq(count(EVENT_INSERT, -1, true), 0);
    must_run();
    check_all(true);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_flow");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, load_then_log);
    tcase_add_test(tc, routing_is_by_key);
    tcase_add_test(tc, restart_repeats_nothing);
    tcase_add_test(tc, rings_at_different_places);
    tcase_add_test(tc, cold_start_at_the_checkpoint);
    tcase_add_test(tc, broken_connection_repeats_nothing);
    tcase_add_test(tc, refused_connections_are_tried_again);
#ifdef WEIR_FAULTS
    tcase_add_loop_test(tc, killed_anywhere, 0, 8);
    tcase_add_test(tc, killed_again_and_again);
#endif
    tcase_add_test(tc, full_ring_waits);
    tcase_add_test(tc, change_larger_than_the_ring);
    tcase_add_test(tc, cdc_only_loads_nothing);
    tcase_add_test(tc, full_load_only_ends);
    tcase_add_test(tc, refused_table_leaves_the_others);
    tcase_add_test(tc, table_refused_for_a_time_stays_out);
    tcase_add_test(tc, hole_suspends_one_table);
    tcase_add_loop_test(tc, killed_around_a_hole, 0, 2);
    tcase_add_test(tc, hole_grows_when_rings_are_lost);
    tcase_add_test(tc, no_table_left_is_the_operators);
    tcase_add_test(tc, exact_load_repeats_nothing);
    tcase_add_test(tc, exact_or_not_at_all);
    tcase_add_loop_test(tc, reload_while_following, 0, 2);
    tcase_add_test(tc, reload_behind_lost_rings);
    tcase_add_test(tc, reload_ends_a_suspension);
    tcase_add_test(tc, unreadable_table_leaves_the_others);
    tcase_add_loop_test(tc, stops_once_behind_the_load, 0, 2);
#ifdef WEIR_FAULTS
    tcase_add_loop_test(tc, killed_in_an_exact_load, 0, 4);
    tcase_add_loop_test(tc, killed_in_a_reload, 0, 4);
#endif
    tcase_add_test(tc, other_numbers_make_a_generation);
    tcase_add_test(tc, damaged_state);
    tcase_add_test(tc, foreign_state);
    tcase_add_test(tc, lost_state);
    tcase_add_test(tc, other_history);
    tcase_add_test(tc, failed_over_without_loss);
    tcase_add_test(tc, failed_over_with_a_new_fork);
    tcase_add_test(tc, moved_without_a_fork);
    tcase_add_test(tc, moved_within_the_group);
    tcase_add_test(tc, two_of_one_task);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
