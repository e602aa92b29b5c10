/* uses: encoder */
/* wrap: malloc calloc realloc */
/*
 * The encoder between real rings.  The test is capture (it fills the change rings) and the
 * shippers (it empties the record rings); the encoder runs in a child that dies where it is
 * told to and is started again.  Whatever happened, each channel must hold the encoding of the
 * input, each record once, in order.
 */
#include "common/channel.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/record.h"
#include "common/stage.h"
#include "common/topology.h"
#include "encoder/encoder.h"
#include "encoder/message.h"
#include "tests/unit/encoder_help.h"

#include <check.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RING_SIZE   (1ULL << 20)
#define MAX_SIDE    2
#define MAX_RECORDS 4096
#define WAIT_MS     10
#define DEADLINE_S  100

/* One expected or received record, as hash and size; times masked. */
struct seen {
    uint64_t hash;
    uint32_t size;
    uint32_t type;
};

struct list {
    struct seen items[MAX_RECORDS];
    size_t n;
};

struct world {
    char dir[96];
    char state_dir[128];
    struct task task;
    struct topology topo;
    struct table_def *tables[3];
    struct ring *inputs[MAX_SIDE];
    struct channel *channels[MAX_SIDE][MAX_SIDE];
    struct list want[MAX_SIDE][MAX_SIDE];
    struct list got[MAX_SIDE][MAX_SIDE];
    struct message_writer writers[MAX_SIDE];
    struct key_maker *keys;
    struct plan *plans[3];
    uint64_t next_position;
};

static struct world w;
static char base[64]; /* made and removed by main(), whatever becomes of the tests */

/* Allocations of all that is linked here, counted on request. */
static unsigned allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *
__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    allocations++;
    return __real_calloc(n, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    allocations++;
    return __real_realloc(old, size);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static struct ring_config
change_config(uint32_t encoder, char *path)
{
    return (struct ring_config){.path = topology_change_ring(&w.task, &w.topo, encoder, path),
                                .name = "change",
                                .capacity = RING_SIZE,
                                .generation = w.topo.generation,
                                .record_format = EVENT_FORMAT};
}

static const struct help_column keyless_columns[] = {
    {.name = "a", .type = DMS_INT8},
    {.name = "b", .type = DMS_WSTRING, .nullable = true},
};

/* What one world is: a task, a catalogue, change rings without content. */
static void
world_open(uint32_t encoders, uint32_t shippers)
{
    static const char *const names[] = {"invoices", "keyless", "staging"};
    struct err e = ERR_INIT;
    char path[TOPOLOGY_PATH_MAX];

    memset(&w, 0, sizeof(w));
    (void)snprintf(w.dir, sizeof(w.dir), "%s/world.XXXXXX", base);
    ck_assert_ptr_nonnull(mkdtemp(w.dir));
    (void)snprintf(w.state_dir, sizeof(w.state_dir), "%s/state", w.dir);
    help_task(&w.task);
    w.task.target.message_format = FORMAT_JSON_UNFORMATTED;
    w.task.target.include_transaction_details = true;
    w.task.weir.runtime_directory = w.dir;
    w.task.weir.state_directory = w.state_dir;
    w.task.weir.encoders = encoders;
    w.task.weir.shippers = shippers;
    w.task.weir.change_ring_size = RING_SIZE;
    w.task.weir.record_ring_size = RING_SIZE;
    w.topo = (struct topology){.generation = 1, .encoders = encoders, .shippers = shippers};
    ck_assert_int_eq(mkdir(w.state_dir, 0750), 0);
    ck_assert_int_eq(mkdir(topology_ring_directory(&w.task, &w.topo, path), 0750), 0);
    ck_assert_msg(topology_write(&w.task, &w.topo, &e) == 0, "%s", e.text);
    ck_assert_int_eq(key_maker_open(&w.keys, &e), 0);
    for (uint32_t i = 0; i < 3; i++) {
        w.tables[i] =
            i == 1 ? help_table(2, "dbo", names[1], keyless_columns, 2)
                   : help_table(i + 1, "dbo", names[i], help_invoice_columns, HELP_INVOICE_COLUMNS);
        ck_assert_msg(catalog_write(w.state_dir, w.tables[i], &e) == 0, "%s", e.text);
        ck_assert_int_eq(plan_compile(&w.task, w.tables[i], &w.plans[i], &e), 0);
    }
    for (uint32_t i = 0; i < encoders; i++) {
        struct ring_config config = change_config(i, path);
        bool created;

        ck_assert_msg(ring_open_producer(&config, &w.inputs[i], &created, &e) == 0, "%s", e.text);
        message_open(&w.writers[i], &w.task, encoders);
        message_begin_batch(&w.writers[i], 0);
    }
}

static void
world_close(void)
{
    for (uint32_t i = 0; i < w.topo.encoders; i++) {
        ring_close(&w.inputs[i]);
        for (uint32_t j = 0; j < w.topo.shippers; j++) {
            if (w.channels[i][j] != NULL)
                channel_close(&w.channels[i][j]);
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        plan_free(&w.plans[i]);
        catalog_table_free(&w.tables[i]);
    }
    key_maker_close(&w.keys);
    (void)nftw(w.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- what must come out ---- */

static uint64_t
hash_of(uint64_t h, const void *data, size_t n)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3ULL;
    return h;
}

/* The time a message was built is the only thing in a record that may differ. */
static struct seen
see(uint16_t type, const void *data, uint32_t size)
{
    static const char mark[] = "\"timestamp\":\"";
    struct seen s = {.size = size, .type = type, .hash = 0xcbf29ce484222325ULL};
    const char *stamp = type == RING_DATA ? memmem(data, size, mark, sizeof(mark) - 1) : NULL;
    size_t before = size;

    if (stamp != NULL) {
        before = (size_t)(stamp + sizeof(mark) - 1 - (const char *)data);
        s.hash = hash_of(s.hash, (const char *)data + before + 27, size - before - 27);
    }
    s.hash = hash_of(s.hash, data, before);
    return s;
}

static void
append(struct list *list, struct seen s)
{
    ck_assert_uint_lt(list->n, MAX_RECORDS);
    list->items[list->n++] = s;
}

static void
expect_event(uint32_t encoder, const struct event *ev)
{
    static uint8_t record[2 << 20];
    const struct plan *plan = w.plans[ev->table_id - 1];
    struct record_head head = {.position = ev->position,
                               .commit_real_ns = ev->commit_real_ns,
                               .captured_mono_ns = ev->captured_mono_ns,
                               .operation = (uint16_t)ev->operation};
    struct err e = ERR_INIT;
    struct key key = {.text = plan->text + plan->control_key.text.at,
                      .size = plan->control_key.text.size,
                      .hash = plan->control_key.hash};
    uint16_t n;
    const struct value *values = message_values(ev, &n);
    char *message;
    size_t size;

    if (!task_selects(&w.task, "dbo", w.tables[ev->table_id - 1]->name, false))
        return;
    if (ev->operation < EVENT_CREATE_TABLE) {
        message_follow(&w.writers[encoder], ev);
        ck_assert_int_eq(key_of_row(w.keys, plan, values, &key, &e), 0);
        key_hash_rows(w.keys);
        ck_assert_uint_lt(message_bound(plan, values, &key, event_bound(ev)) + 2048,
                          sizeof(record));
    }
    memcpy(head.hash, key.hash, 16);
    head.key_size = key.size;
    memcpy(record + sizeof(head), key.text, key.size);
    message = (char *)record + sizeof(head) + key.size;
    if (ev->operation < EVENT_CREATE_TABLE)
        size = message_row(&w.writers[encoder], plan, ev, values, &key, message);
    else
        size = message_control(&w.writers[encoder], plan, ev, message);
    head.data_size = (uint32_t)size;
    memcpy(record, &head, sizeof(head));
    append(&w.want[encoder][topology_shipper_of(key.hash, w.topo.shippers)],
           see(RING_DATA, record, (uint32_t)(sizeof(head) + key.size + size)));
}

/* ---- capture ---- */

static void
write_input(uint32_t encoder, const struct ring_meta *meta, const void *data, size_t size)
{
    struct err e = ERR_INIT;
    struct ring_source source = {.words = {++w.next_position}};

    ck_assert_msg(ring_write(w.inputs[encoder], meta, data, size, &e) == 1, "%s", e.text);
    ring_publish(w.inputs[encoder], &source);
}

static void
send_event(uint32_t encoder, const struct event *ev)
{
    uint8_t *buf = malloc(event_bound(ev));
    struct ring_meta meta = {.type = RING_DATA, .table_id = ev->table_id};

    write_input(encoder, &meta, buf, event_encode(ev, buf));
    free(buf);
    expect_event(encoder, ev);
}

static void
send_watermark(uint32_t encoder)
{
    struct ring_meta meta = {.type = RING_CONTROL};
    struct watermark mark;

    memset(&mark, 0, sizeof(mark));
    mark.kind = WATERMARK;
    mark.format = RECORD_FORMAT;
    mark.generation = 1;
    mark.position.b[9] = (uint8_t)(w.next_position >> 8);
    mark.position.b[10] = (uint8_t)w.next_position;
    write_input(encoder, &meta, &mark, sizeof(mark));
    for (uint32_t j = 0; j < w.topo.shippers; j++)
        append(&w.want[encoder][j], see(RING_CONTROL, &mark, sizeof(mark)));
}

static void
send_row(uint32_t encoder, enum event_operation operation, uint32_t table_id, uint32_t n,
         uint32_t text_size)
{
    char *text = malloc(text_size + 1);
    struct value row[HELP_INVOICE_COLUMNS];
    struct event ev = help_event(operation, table_id, row, HELP_INVOICE_COLUMNS);

    memcpy(row, help_invoice_after, sizeof(row));
    row[0].i = n;
    memset(text, 'x', text_size);
    row[6].bytes.data = text;
    row[6].bytes.size = text_size;
    if (table_id == 2) {
        ev.n_after = 2;
        row[1] = row[6];
    }
    if (operation != EVENT_LOAD)
        ev.transaction_id[5] = (uint8_t)(n / 3);
    ev.record_number = operation == EVENT_LOAD ? 0 : n % 3 + 1;
    ev.position.b[23] = (uint8_t)n;
    send_event(encoder, &ev);
    free(text);
}

/* A bit of everything: load, rows, a table without a key, controls, one row in fragments. */
static void
send_story(uint32_t rows, uint32_t big_text)
{
    for (uint32_t i = 0; i < w.topo.encoders; i++) {
        struct event create = help_event(EVENT_CREATE_TABLE, 1, NULL, 0);

        send_event(i, &create);
        for (uint32_t n = 0; n < rows; n++) {
            send_row(i,
                     n < 3        ? EVENT_LOAD
                     : n % 3 == 0 ? EVENT_INSERT
                                  : EVENT_UPDATE,
                     n % 5 == 4 ? 2 : 1, n, n % 20 == 7 ? big_text : n % 50);
            if (n % 7 == 6)
                send_watermark(i);
        }
        send_watermark(i);
    }
}

/* ---- shippers ---- */

static void
drain(uint32_t encoder, uint32_t shipper)
{
    char path[TOPOLOGY_PATH_MAX];
    struct channel_config config = {
        .ring = {.path = topology_record_ring(&w.task, &w.topo, encoder, shipper, path),
                 .name = "record",
                 .capacity = RING_SIZE,
                 .generation = w.topo.generation,
                 .record_format = RECORD_FORMAT}};
    struct channel **c = &w.channels[encoder][shipper];
    struct ring_view v;
    struct err e = ERR_INIT;
    int rc;

    if (*c == NULL && channel_open_consumer(&config, c, &e) != 0) {
        ck_assert_msg(e.code == ERR_NOT_FOUND, "%s", e.text);
        return;
    }
    while ((rc = channel_next(*c, &v, &e)) == 1) {
        append(&w.got[encoder][shipper], see(v.type, v.data, v.len));
        channel_release(*c, v.end);
    }
    ck_assert_msg(rc == 0, "%s", e.text);
}

static void
drain_all(uint32_t encoder)
{
    for (uint32_t j = 0; j < w.topo.shippers; j++)
        drain(encoder, j);
}

static size_t
received(uint32_t encoder)
{
    size_t n = 0;

    for (uint32_t j = 0; j < w.topo.shippers; j++)
        n += w.got[encoder][j].n;
    return n;
}

/* ---- the encoder, in a child ---- */

static struct stage
make_stage(uint32_t encoder)
{
    return (struct stage){.name = "encoder", .index = encoder, .task = &w.task, .stop_fd = -1};
}

/* Runs until the input is empty.  Exit status: 0, or 1 after an error. */
static void
child(uint32_t encoder, const char *crash, const char *fault)
{
    struct stage stage = make_stage(encoder);
    struct encoder *enc;
    struct err e = ERR_INIT;
    int rc = 1;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setenv("WEIR_CRASH", crash, 1);
    (void)setenv("WEIR_FAULT", fault, 1);
#ifdef WEIR_FAULTS
    fault_reload();
#endif
    if (encoder_open(&stage, &w.topo, &enc, &e) != 0)
        _exit(1);
    while (rc == 1)
        rc = encoder_turn(enc, 0, &e);
    encoder_close(&enc);
    _exit(rc == 0 ? 0 : 1);
}

/* Starts the encoder and empties its channels until it ends.  kill_after: records after which
   it is killed from outside; 0 = never.  Returns the wait status. */
static int
run_encoder(uint32_t encoder, const char *crash, const char *fault, size_t kill_after)
{
    time_t deadline = time(NULL) + DEADLINE_S;
    size_t from = received(encoder);
    bool killed = false;
    int status;
    pid_t pid;

    for (uint32_t j = 0; j < w.topo.shippers; j++)
        drain(encoder, j);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        child(encoder, crash, fault);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        drain_all(encoder);
        if (kill_after > 0 && !killed && received(encoder) >= from + kill_after) {
            (void)kill(pid, SIGKILL);
            killed = true;
        }
        if (w.channels[encoder][0] != NULL)
            (void)channel_wait_data(&w.channels[encoder][0], 1, 1);
        ck_assert_msg(time(NULL) < deadline, "the encoder does not end");
    }
    drain_all(encoder);
    return status;
}

static void
run_to_the_end(uint32_t encoder)
{
    int status = run_encoder(encoder, "", "", 0);

    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

/* ---- verdicts ---- */

static bool
all_as_wanted(void)
{
    for (uint32_t i = 0; i < w.topo.encoders; i++) {
        for (uint32_t j = 0; j < w.topo.shippers; j++) {
            const struct list *want = &w.want[i][j];
            const struct list *got = &w.got[i][j];

            if (want->n != got->n ||
                memcmp(want->items, got->items, want->n * sizeof(*want->items)) != 0)
                return false;
        }
    }
    return true;
}

static void
assert_all_as_wanted(const char *what)
{
    for (uint32_t i = 0; i < w.topo.encoders; i++) {
        for (uint32_t j = 0; j < w.topo.shippers; j++)
            ck_assert_msg(w.want[i][j].n == w.got[i][j].n,
                          "%s: channel %u.%u: %zu records, not %zu", what, i, j, w.got[i][j].n,
                          w.want[i][j].n);
    }
    ck_assert_msg(all_as_wanted(), "%s: other records than wanted", what);
}

/* Every slot stands at the end of the input, and the input is released. */
static void
assert_slots_at_end(void)
{
    struct ring_info in;
    struct ring_info out;
    struct err e = ERR_INIT;
    char path[TOPOLOGY_PATH_MAX];

    for (uint32_t i = 0; i < w.topo.encoders; i++) {
        ck_assert_int_eq(ring_inspect(topology_change_ring(&w.task, &w.topo, i, path), &in, &e), 0);
        ck_assert_uint_eq(in.release, in.tail);
        for (uint32_t j = 0; j < w.topo.shippers; j++) {
            (void)topology_record_ring(&w.task, &w.topo, i, j, path);
            ck_assert_int_eq(ring_inspect(path, &out, &e), 0);
            ck_assert_uint_eq(out.source.epoch, in.epoch);
            ck_assert_uint_eq(out.source.words[0], in.tail);
        }
    }
}

/* ---- tests ---- */

static const struct {
    uint32_t encoders;
    uint32_t shippers;
} shapes[] = {{1, 1}, {2, 2}};

START_TEST(straight_through)
{
    world_open(shapes[_i].encoders, shapes[_i].shippers);
    send_story(300, 200);
    for (uint32_t i = 0; i < w.topo.encoders; i++)
        run_to_the_end(i);
    assert_all_as_wanted("straight");
    assert_slots_at_end();
    ck_assert_uint_gt(w.got[0][0].n, 100);
    /* More of it, to a second life of the encoder. */
    send_story(50, 10);
    for (uint32_t i = 0; i < w.topo.encoders; i++)
        run_to_the_end(i);
    assert_all_as_wanted("second life");
    assert_slots_at_end();
    world_close();
}
END_TEST

/* Rows larger than a ring's record, and more of them than the ring holds at once. */
START_TEST(fragments_and_back_pressure)
{
    world_open(1, 2);
    for (uint32_t n = 0; n < 40; n++) {
        send_row(0, EVENT_INSERT, 1, n, n % 2 == 0 ? 200000 : 60000);
        send_watermark(0);
        if (n % 4 == 3)
            run_to_the_end(0);
    }
    assert_all_as_wanted("large");
    assert_slots_at_end();
    world_close();
}
END_TEST

/* A child that does not get room stops where it is; nothing is lost or done twice. */
START_TEST(full_output_then_death)
{
    char quotes[60000];
    struct value row[2] = {HELP_INT(1), {.kind = VALUE_TEXT}};
    struct event ev = help_event(EVENT_INSERT, 2, row, 2);
    pid_t pid;
    int status;
    struct ring_info info;
    char path[TOPOLOGY_PATH_MAX];
    uint64_t tail = 0;

    world_open(1, 1);
    memset(quotes, '"', sizeof(quotes)); /* twice as long in the message */
    row[1].bytes.data = quotes;
    row[1].bytes.size = sizeof(quotes);
    for (uint32_t n = 0; n < 14; n++) {
        row[0].i = n;
        send_event(0, &ev);
    }
    pid = fork();
    if (pid == 0)
        child(0, "", "");
    (void)topology_record_ring(&w.task, &w.topo, 0, 0, path);
    /* Nobody reads: the tail comes to rest below the ring's size. */
    for (time_t until = time(NULL) + DEADLINE_S; time(NULL) < until;) {
        if (ring_inspect(path, &info, NULL) == 0 && info.tail == tail && tail > RING_SIZE / 2)
            break;
        tail = ring_inspect(path, &info, NULL) == 0 ? info.tail : 0;
        ck_assert_int_eq(waitpid(pid, &status, WNOHANG), 0);
        (void)usleep(20000); /* between two looks; the verdict does not hang on it */
    }
    ck_assert_uint_gt(tail, RING_SIZE / 2);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    run_to_the_end(0);
    assert_all_as_wanted("full");
    assert_slots_at_end();
    world_close();
}
END_TEST

START_TEST(killed_from_outside)
{
    uint32_t encoders = shapes[_i].encoders;

    for (size_t after = 1; after < 80; after += 3) {
        world_open(encoders, shapes[_i].shippers);
        send_story(120, 30000);
        for (uint32_t i = 0; i < encoders; i++) {
            (void)run_encoder(i, "", "", after);
            (void)run_encoder(i, "", "", after / 2 + 1);
            run_to_the_end(i);
        }
        assert_all_as_wanted("killed");
        assert_slots_at_end();
        world_close();
    }
}
END_TEST

/* Rows that the rules leave out move the slots and the release all the same. */
START_TEST(a_filter_does_not_stand_still)
{
    static char staging[] = "staging";
    static struct selection_rule rules[2];

    world_open(1, 2);
    rules[0] = help_rule;
    rules[1] = help_rule;
    rules[1].action = SELECTION_EXCLUDE;
    rules[1].table_name = staging;
    w.task.selections = rules;
    w.task.n_selections = 2;
    send_row(0, EVENT_INSERT, 1, 0, 10);
    for (uint32_t n = 0; n < 500; n++)
        send_row(0, EVENT_INSERT, 3, n, 10);
    run_to_the_end(0);
    assert_all_as_wanted("filtered");
    ck_assert_uint_eq(w.got[0][0].n + w.got[0][1].n, 1);
    assert_slots_at_end();
    world_close();
}
END_TEST

/* Once it has seen its tables, the loop lives on what it has. */
START_TEST(nothing_is_allocated_in_the_loop)
{
    struct stage stage;
    struct encoder *enc;
    struct err e = ERR_INIT;
    unsigned before;

    world_open(1, 2);
    stage = make_stage(0);
    ck_assert_int_eq(encoder_open(&stage, &w.topo, &enc, &e), 0);
    for (int round = 0; round < 3; round++) {
        send_story(200, 100);
        before = allocations;
        while (encoder_turn(enc, 0, &e) == 1)
            ;
        if (round > 0)
            ck_assert_uint_eq(allocations, before);
        else
            ck_assert_uint_gt(allocations, before); /* the plans: the count counts */
        drain_all(0);
    }
    encoder_close(&enc);
    assert_all_as_wanted("quiet");
    world_close();
}
END_TEST

/* ---- poison ---- */

static uint32_t
input_state(void)
{
    struct ring_info info;
    char path[TOPOLOGY_PATH_MAX];
    struct err e = ERR_INIT;

    ck_assert_msg(ring_inspect(topology_change_ring(&w.task, &w.topo, 0, path), &info, &e) == 0,
                  "%s", e.text);
    return info.state;
}

static void
recreate_input(void)
{
    char path[TOPOLOGY_PATH_MAX];
    struct ring_config config = change_config(0, path);
    struct err e = ERR_INIT;
    bool created;

    ring_close(&w.inputs[0]);
    ck_assert_msg(ring_open_producer(&config, &w.inputs[0], &created, &e) == 0, "%s", e.text);
    ck_assert(created);
}

/* A record ring that was removed: what it held is nowhere any more. */
START_TEST(lost_channel_poisons_the_input)
{
    struct stage stage;
    struct encoder *enc;
    struct err e = ERR_INIT;
    char path[TOPOLOGY_PATH_MAX];

    world_open(1, 2);
    stage = make_stage(0);
    send_story(20, 10);
    run_to_the_end(0);
    channel_close(&w.channels[0][1]);
    ck_assert_int_eq(unlink(topology_record_ring(&w.task, &w.topo, 0, 1, path)), 0);
    send_row(0, EVENT_INSERT, 1, 99, 10);
    if (_i == 1) /* the life that made the ring anew dies before it poisons */
        (void)run_encoder(0, "encoder.open.channel:2", "", 0);
    ck_assert_int_eq(encoder_open(&stage, &w.topo, &enc, &e), -1);
    ck_assert_int_eq((int)e.code, (int)ERR_CORRUPT);
    ck_assert_int_eq((int)input_state(), 2);
    ck_assert_int_eq(err_exit_status(&e), 75);

    /* Capture makes the input anew and sends again what the checkpoint does not cover; the
       slots, of the dead ring's epoch, must not hide it. */
    recreate_input();
    memset(w.want, 0, sizeof(w.want));
    memset(w.got, 0, sizeof(w.got));
    message_open(&w.writers[0], &w.task, 1);
    message_begin_batch(&w.writers[0], 0);
    send_story(30, 10);
    run_to_the_end(0);
    assert_all_as_wanted("after the poison");
    assert_slots_at_end();
    world_close();
}
END_TEST

START_TEST(unreadable_input_is_poisoned)
{
    static const struct ring_meta data = {.type = RING_DATA, .table_id = 1};
    static const struct ring_meta control = {.type = RING_CONTROL};
    struct stage stage;
    struct encoder *enc;
    struct err e = ERR_INIT;
    struct watermark mark = {.kind = 1};
    struct event ev = help_event(EVENT_INSERT, 1, help_invoice_after, 3);
    uint8_t buf[1024];
    int rc;

    world_open(1, 1);
    stage = make_stage(0);
    send_row(0, EVENT_INSERT, 1, 5, 10);
    switch (_i) {
    case 0:
        write_input(0, &data, "garbage", 7);
        break;
    case 1:
        write_input(0, &control, &mark, sizeof(mark));
        break;
    case 2:
        write_input(0, &control, &mark, 5);
        break;
    default: /* three values for seven columns */
        write_input(0, &data, buf, event_encode(&ev, buf));
        break;
    }
    ck_assert_msg(encoder_open(&stage, &w.topo, &enc, &e) == 0, "%s", e.text);
    while ((rc = encoder_turn(enc, 0, &e)) == 1)
        ;
    ck_assert_int_eq(rc, -1);
    ck_assert_int_eq((int)e.code, (int)ERR_CORRUPT);
    encoder_close(&enc);
    ck_assert_int_eq((int)input_state(), 2);
    drain_all(0);
    assert_all_as_wanted("before the garbage"); /* what came before went out */
    world_close();
}
END_TEST

/* Damage below the events: the ring's own framing. */
START_TEST(damaged_ring_is_poisoned)
{
    char path[TOPOLOGY_PATH_MAX];
    struct stage stage;
    struct encoder *enc;
    struct err e = ERR_INIT;
    FILE *f;

    world_open(1, 1);
    stage = make_stage(0);
    send_row(0, EVENT_INSERT, 1, 5, 10);
    f = fopen(topology_change_ring(&w.task, &w.topo, 0, path), "r+");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fseek(f, 4096, SEEK_SET), 0); /* the first record's header */
    ck_assert_uint_eq(fwrite("\xff\xff\xff\xff", 1, 4, f), 4);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(encoder_open(&stage, &w.topo, &enc, &e), 0);
    ck_assert_int_eq(encoder_turn(enc, 0, &e), -1);
    ck_assert_int_eq((int)e.code, (int)ERR_CORRUPT);
    encoder_close(&enc);
    ck_assert_int_eq((int)input_state(), 2);
    world_close();
}
END_TEST

/* A definition that is not in the catalogue stops the encoder; it does not skip. */
START_TEST(missing_definition_stops)
{
    struct stage stage;
    struct encoder *enc;
    struct err e = ERR_INIT;
    struct event ev = help_event(EVENT_INSERT, 77, help_invoice_after, HELP_INVOICE_COLUMNS);
    static const struct ring_meta data = {.type = RING_DATA, .table_id = 77};
    uint8_t buf[1024];

    world_open(1, 1);
    stage = make_stage(0);
    write_input(0, &data, buf, event_encode(&ev, buf));
    ck_assert_int_eq(encoder_open(&stage, &w.topo, &enc, &e), 0);
    ck_assert_int_eq(encoder_turn(enc, 0, &e), -1);
    ck_assert_int_eq((int)e.code, (int)ERR_NOT_FOUND);
    ck_assert_int_eq(err_exit_status(&e), 75);
    ck_assert_ptr_nonnull(strstr(e.text, "table 77"));
    encoder_close(&enc);
    ck_assert_int_eq((int)input_state(), 0);
    world_close();
}
END_TEST

/* A record that no ring of this size can carry is the operator's matter, and is kept. */
START_TEST(too_large_for_the_ring)
{
    static char quotes[300000];
    struct value row[2] = {HELP_INT(1), {.kind = VALUE_TEXT}};
    struct event ev = help_event(EVENT_INSERT, 2, row, 2);
    static const struct ring_meta data = {.type = RING_DATA, .table_id = 2};
    struct stage stage;
    struct encoder *enc;
    struct err e = ERR_INIT;
    uint8_t *buf;

    world_open(1, 1);
    stage = make_stage(0);
    memset(quotes, '"', sizeof(quotes)); /* twice as long in the message */
    row[1].bytes.data = quotes;
    row[1].bytes.size = sizeof(quotes);
    buf = malloc(event_bound(&ev));
    write_input(0, &data, buf, event_encode(&ev, buf));
    free(buf);
    ck_assert_int_eq(encoder_open(&stage, &w.topo, &enc, &e), 0);
    ck_assert_int_eq(encoder_turn(enc, 0, &e), -1);
    ck_assert_int_eq((int)e.code, (int)ERR_CONFIG);
    ck_assert_int_eq(err_exit_status(&e), 78);
    ck_assert_ptr_nonnull(strstr(e.hint, "RecordRingSize"));
    encoder_close(&enc);
    ck_assert_int_eq((int)input_state(), 0);
    world_close();
}
END_TEST

/* Once the task is in another generation the old rings' encoder ends, to be started anew. */
START_TEST(another_generation_ends_it)
{
    struct stage stage;
    struct encoder *enc;
    struct err e = ERR_INIT;
    struct topology next;
    int rc = 0;

    world_open(1, 1);
    stage = make_stage(0);
    ck_assert_int_eq(encoder_open(&stage, &w.topo, &enc, &e), 0);
    next = w.topo;
    next.generation = 2;
    ck_assert_int_eq(topology_write(&w.task, &next, &e), 0);
    for (int i = 0; rc == 0 && i < 1000; i++)
        rc = encoder_turn(enc, WAIT_MS, &e);
    ck_assert_int_eq(rc, -1);
    ck_assert_int_eq((int)e.code, (int)ERR_RETIRED);
    ck_assert_int_eq(err_exit_status(&e), 75);
    encoder_close(&enc);
    world_close();
}
END_TEST

#ifdef WEIR_FAULTS

/* One death at the n-th crash point of everything, rings included; false when the encoder got
   through without reaching it. */
static bool
die_at(unsigned n, const char *fault, bool *is_right)
{
    bool died = false;
    char crash[32];

    world_open(shapes[1].encoders, shapes[1].shippers);
    send_story(12, 10);
    (void)snprintf(crash, sizeof(crash), "*:%u", n);
    for (uint32_t i = 0; i < w.topo.encoders; i++) {
        int status = run_encoder(i, crash, fault, 0);

        died = died || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        (void)run_encoder(i, "", fault, 0);
    }
    *is_right = all_as_wanted();
    if (*is_right && fault[0] == '\0')
        assert_slots_at_end();
    world_close();
    return died;
}

START_TEST(death_at_every_step)
{
    unsigned n = 1;
    bool is_right;

    while (die_at(n, "", &is_right)) {
        ck_assert_msg(is_right, "death at crash point %u left other records than wanted", n);
        n++;
    }
    ck_assert_msg(is_right, "undisturbed");
    ck_assert_uint_gt(n, 100);
}
END_TEST

/* The same for single crash points by name, with fragments on the way. */
START_TEST(death_at_named_steps)
{
    static const char *const points[] = {
        "encoder.open.channel",  "encoder.decoded",     "encoder.emit.before",
        "encoder.emit.reserved", "encoder.emit.built",  "encoder.emit.committed",
        "encoder.watermark.one", "encoder.publish.one", "encoder.published",
        "encoder.released",      "ring.publish.slot",   "ring.publish.tail",
    };
    unsigned deaths = 0;

    for (size_t p = 0; p < sizeof(points) / sizeof(points[0]); p++) {
        world_open(1, 2);
        send_story(40, 40000);
        for (unsigned k = 1; k <= 6; k++) {
            char crash[64];
            int status;

            (void)snprintf(crash, sizeof(crash), "%s:%u", points[p], k);
            status = run_encoder(0, crash, "", 0);
            deaths += WIFSIGNALED(status) ? 1 : 0;
        }
        run_to_the_end(0);
        assert_all_as_wanted(points[p]);
        assert_slots_at_end();
        world_close();
    }
    ck_assert_uint_gt(deaths, 40);
}
END_TEST

/* The suite is worth something only if it sees the fault it is there for. */
START_TEST(release_before_publish_is_seen)
{
    bool is_right = true;
    unsigned n = 1;

    while (is_right && die_at(n, "encoder.mutant.release-first:0:1", &is_right))
        n++;
    ck_assert_msg(!is_right, "an input released before its outputs were published went unseen");
}
END_TEST

#endif

int
main(void)
{
    Suite *suite = suite_create("encoder_flow");
    TCase *t = tcase_create("flow");
    SRunner *runner;
    int failed;

    log_init("encoder-flow-test", LOG_ERROR);
    (void)snprintf(base, sizeof(base), "%s/weir-flow.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(base) == NULL) {
        perror(base);
        return 1;
    }
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, straight_through, 0, 2);
    tcase_add_test(t, fragments_and_back_pressure);
    tcase_add_test(t, full_output_then_death);
    tcase_add_loop_test(t, killed_from_outside, 0, 2);
    tcase_add_test(t, a_filter_does_not_stand_still);
    tcase_add_test(t, nothing_is_allocated_in_the_loop);
    tcase_add_loop_test(t, unreadable_input_is_poisoned, 0, 4);
    tcase_add_test(t, damaged_ring_is_poisoned);
    tcase_add_test(t, missing_definition_stops);
    tcase_add_test(t, too_large_for_the_ring);
    tcase_add_test(t, another_generation_ends_it);
#ifdef WEIR_FAULTS
    tcase_add_loop_test(t, lost_channel_poisons_the_input, 0, 2);
    tcase_add_test(t, death_at_every_step);
    tcase_add_test(t, death_at_named_steps);
    tcase_add_test(t, release_before_publish_is_seen);
#else
    tcase_add_loop_test(t, lost_channel_poisons_the_input, 0, 1);
#endif
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    (void)nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return failed == 0 ? 0 : 1;
}
