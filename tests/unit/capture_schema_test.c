/* Where definitions change: places and contents of the readings a change table is cut into. */
/* uses: capture aws */
#include "capture/sqlserver/manage.h"
#include "capture/sqlserver/schema.h"
#include "common/err.h"
#include "common/task.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct sqlserver s;
static struct task task;
static char story[4096];

__attribute__((format(printf, 1, 2))) static void
tell(const char *format, ...)
{
    size_t n = strlen(story);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(story + n, sizeof(story) - n, format, ap);
    va_end(ap);
}

static void
set_lsn(struct lsn *l, int n)
{
    memset(l, 0, sizeof(*l));
    l->b[9] = (uint8_t)n;
}

/* Columns by name; "name:type" where the type is not int. */
static void
set_columns(struct instance *in, const char *const *names, uint16_t n)
{
    struct table_def *d = in->table.def;
    struct err e = ERR_INIT;

    d->columns = calloc(n, sizeof(*d->columns));
    in->types = calloc(n, sizeof(*in->types));
    in->ordinals = calloc(n, sizeof(*in->ordinals));
    in->is_dropped = calloc(n, sizeof(*in->is_dropped));
    for (uint16_t i = 0; i < n; i++) {
        bool is_big = strstr(names[i], ":bigint") != NULL;

        in->types[i].system_type = is_big ? 127 : 56;
        in->types[i].max_length = is_big ? 8 : 4;
        ck_assert_int_eq(type_describe(&in->types[i], &d->columns[i], &e), 0);
        d->columns[i].name = strndup(names[i], strcspn(names[i], ":"));
        d->columns[i].source_type = strdup(in->types[i].name);
        in->ordinals[i] = (uint16_t)(i + 1);
    }
    d->columns[0].key_ordinal = 1;
    d->n_columns = n;
    in->n_columns = n;
    ck_assert_int_eq(catalog_finish(d, &e), 0);
}

static struct instance *
blank(const char *name, const char *instance, int object)
{
    struct instance *in = calloc(1, sizeof(*in));

    in->table.def = calloc(1, sizeof(*in->table.def));
    in->table.def->schema = strdup("dbo");
    in->table.def->name = strdup(name);
    in->table.instance = strdup(instance);
    in->change_object = object;
    in->source_object = 1000;
    return in;
}

/* A followed instance with columns id, a, b; its change table holds `names` now. */
static struct instance *
follow(const char *const *names, uint16_t n)
{
    static const char *const before[] = {"id", "a", "b"};
    struct instance *in = blank("t", "dbo_t", 1);

    set_columns(in, before, 3);
    in->shape = blank("t", "dbo_t", 1);
    set_columns(in->shape, names, n);
    in->is_known = true;
    in->is_seen = true;
    set_lsn(&in->start, 5);
    set_lsn(&in->since, 10);
    s.instances = calloc(1, sizeof(struct instance *));
    s.instances[0] = in;
    s.n_instances = 1;
    return in;
}

static void
add_ddl(int lsn, bool retypes, const char *command)
{
    struct ddl *d;

    s.ddl = realloc(s.ddl, (s.n_ddl + 1) * sizeof(*d));
    d = &s.ddl[s.n_ddl++];
    *d = (struct ddl){.change_object = 1, .retypes = retypes, .command = strdup(command)};
    set_lsn(&d->lsn, lsn);
}

static int
on_definition(void *arg, struct source_table *t, struct source_table *old,
              const struct position *position, const char *ddl, struct err *e)
{
    const struct instance *in = (const struct instance *)t;
    const struct instance *was = (const struct instance *)old;
    struct position_sqlserver p;

    (void)arg;
    (void)e;
    position_to_sqlserver(position, &p);
    /* The place is before every row of its LSN, and the two readings meet there. */
    ck_assert_int_eq(p.operation, 0);
    ck_assert_int_eq(p.command_id, INT32_MIN);
    ck_assert_int_eq(was->until.b[9], p.start_lsn[9]);
    ck_assert_int_eq(in->since.b[9] + 1, p.start_lsn[9]);
    tell("%s at %d:", t->def->name, p.start_lsn[9]);
    for (uint16_t i = 0; i < t->def->n_columns; i++)
        tell(" %s %s", t->def->columns[i].name, t->def->columns[i].source_type);
    tell(" (%s)\n", ddl != NULL ? ddl : "-");
    return 0;
}

static int
on_dropped(void *arg, struct source_table *t, const struct position *position, const char *new_name,
           struct err *e)
{
    (void)arg;
    (void)e;
    tell("%s ends at %d (%s)\n", t->def->name, position->b[9], new_name != NULL ? new_name : "-");
    return 0;
}

static const struct source_sink sink = {.definition = on_definition, .dropped = on_dropped};

/* One look while everything up to lo is given. */
static int
look(int lo, struct err *e)
{
    struct position from;
    struct lsn l;

    story[0] = '\0';
    set_lsn(&l, lo);
    position_lsn_complete(l.b, &from);
    for (size_t i = 0; i < s.n_instances; i++)
        s.instances[i]->n_ddl = (uint32_t)s.n_ddl;
    return schema_follow(&s, &from, &l, &sink, e);
}

static void
must_look(int lo, const char *want)
{
    struct err e = ERR_INIT;

    ck_assert_msg(look(lo, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, want);
}

static void
setup(void)
{
    memset(&s, 0, sizeof(s));
    memset(&task, 0, sizeof(task));
    s.config.task = &task;
}

static void
teardown(void)
{
    for (size_t i = 0; i < s.n_instances; i++)
        meta_instance_free(&s.instances[i]);
    free(s.instances);
    schema_free_history(&s);
}

START_TEST(each_change_at_its_own_place)
{
    static const char *const now[] = {"id", "a:bigint", "b"};
    struct instance *in = follow(now, 3);

    in->shape->is_dropped[2] = true;
    add_ddl(30, true, "ALTER TABLE t ALTER COLUMN a bigint");
    add_ddl(20, false, "ALTER TABLE t DROP COLUMN [b]");
    must_look(15, "t at 20: id int a int (ALTER TABLE t DROP COLUMN [b])\n"
                  "t at 30: id int a bigint (ALTER TABLE t ALTER COLUMN a bigint)\n");
    must_look(15, ""); /* told once */
    ck_assert_uint_eq(s.n_instances, 3);
}
END_TEST

/* One statement about two columns is one definition; words of other statements are not names. */
START_TEST(one_statement_is_one_place)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);

    in->shape->is_dropped[1] = true;
    in->shape->is_dropped[2] = true;
    add_ddl(18, false, "ALTER TABLE t DROP COLUMN abc, ba");
    add_ddl(21, false, "alter table t drop column a, b");
    must_look(15, "t at 21: id int (alter table t drop column a, b)\n");
}
END_TEST

/* Seen too late: from here on.  What lies before the reading's beginning is another's. */
START_TEST(passed_places_are_now)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);

    in->shape->is_dropped[2] = true;
    add_ddl(9, false, "ALTER TABLE t DROP COLUMN b");
    add_ddl(20, false, "ALTER TABLE t DROP COLUMN b");
    must_look(25, "t at 26: id int a int (ALTER TABLE t DROP COLUMN b)\n");
}
END_TEST

/* The catalogue is ahead of the log: nothing is said before the statement is there, or another. */
START_TEST(a_change_waits_for_its_statement)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);

    in->shape->is_dropped[2] = true;
    must_look(15, "");
    must_look(16, "");
    add_ddl(20, false, "ALTER TABLE t DROP COLUMN b");
    must_look(17, "t at 20: id int a int (ALTER TABLE t DROP COLUMN b)\n");
}
END_TEST

START_TEST(a_change_without_a_statement_comes_with_the_next)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);

    in->shape->is_dropped[2] = true;
    must_look(15, "");
    add_ddl(20, false, "ALTER TABLE t ADD c int");
    must_look(17, "t at 18: id int a int (-)\n");
}
END_TEST

/* Behind the end of the reading a newer instance rules. */
START_TEST(a_replaced_instance_is_left_alone)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);

    in->shape->is_dropped[2] = true;
    in->has_until = true;
    set_lsn(&in->until, 20);
    add_ddl(20, false, "ALTER TABLE t DROP COLUMN b");
    must_look(15, "");
}
END_TEST

START_TEST(names_change_where_they_are_seen)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);

    in->schema_now = strdup("dbo");
    in->name_now = strdup("t2");
    must_look(15, "t2 at 16: id int a int b int (-)\n");
    must_look(15, "");
}
END_TEST

/* Renamed out of the task: what was there when the name was seen is still read. */
START_TEST(a_name_that_is_not_picked_ends_the_table)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);

    in->schema_now = strdup("dbo");
    in->name_now = strdup("other");
    in->is_deselected = true;
    set_lsn(&s.newest, 20);
    must_look(15, "");
    must_look(19, "");
    must_look(20, "t ends at 21 (dbo.other)\n");
    must_look(22, "");
    ck_assert_int_eq(in->until.b[9], 21);
}
END_TEST

START_TEST(a_dropped_table_ends)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);
    struct err e = ERR_INIT;

    in->is_gone = true;
    must_look(15, "t ends at 16 (-)\n");
    must_look(16, "");
    /* Dropped alone, it is looked at again, and then is a hole. */
    in->is_ended = false;
    in->has_until = false;
    s.instances = realloc(s.instances, 2 * sizeof(struct instance *));
    s.instances[1] = blank("t", "", 0);
    s.n_instances = 2;
    ck_assert_int_eq(look(17, &e), -1);
    ck_assert_int_eq(e.code, ERR_SQL);
    must_look(17, "");
}
END_TEST

/* The definition of an earlier run stays in force until its change is told. */
START_TEST(a_start_goes_on_with_what_was)
{
    static const char *const now[] = {"id", "a:bigint", "b"};
    static const char *const before[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);
    struct instance *was = blank("old", "dbo_t", 1);
    struct err e = ERR_INIT;

    set_columns(was, before, 3);
    ck_assert_int_eq(schema_settle(NULL, in, NULL, &e), 0);
    ck_assert_str_eq(in->table.def->columns[1].source_type, "bigint");
    ck_assert_int_eq(schema_resume(in, was->table.def, &e), 0);
    ck_assert_str_eq(in->table.def->columns[1].source_type, "int");
    ck_assert_str_eq(in->table.def->name, "old");
    ck_assert_str_eq(in->name_now, "t");
    add_ddl(20, true, "ALTER TABLE t ALTER COLUMN a bigint");
    must_look(15, "t at 16: id int a int b int (-)\n"
                  "t at 20: id int a bigint b int (ALTER TABLE t ALTER COLUMN a bigint)\n");
    meta_instance_free(&was);
}
END_TEST

START_TEST(what_the_source_lacks_is_loaded_as_null)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);
    struct table_def *like;
    struct err e = ERR_INIT;

    in->shape->is_dropped[1] = true;
    ck_assert_int_eq(schema_copy(in->table.def, &like, &e), 0);
    ck_assert_int_eq(schema_settle(NULL, in, like, &e), 0);
    ck_assert_str_eq(in->select_list, "[id], [a], [b]");
    ck_assert_str_eq(in->load_list, "[id], CONVERT(int, NULL), [b]");
    catalog_table_free(&like);
}
END_TEST

/* Alarms: which column nobody captures, which instance can go, and when. */
START_TEST(alarms_name_the_statement)
{
    static const char *const now[] = {"id", "a", "b"};
    struct instance *in = follow(now, 3);
    struct instance *old = blank("t", "dbo_old", 2);
    struct source_health h = {.n = 0};

    in->shape->missing = calloc(2, sizeof(char *));
    in->shape->missing[0] = strdup("never"); /* left out when the instance was made */
    in->shape->missing[1] = strdup("late");
    in->shape->n_missing = 2;
    manage_alarms(&s, &h);
    ck_assert_uint_eq(h.n, 0);
    add_ddl(20, false, "ALTER TABLE t ADD late int");
    manage_alarms(&s, &h);
    ck_assert_uint_eq(h.n, 1);
    ck_assert_str_eq(h.alarms[0].code, "column-not-captured");
    ck_assert_ptr_nonnull(strstr(h.alarms[0].what, "column late"));
    ck_assert_ptr_nonnull(strstr(h.alarms[0].remedy, "@capture_instance = N'dbo_t_w1'"));
    old->has_until = true;
    set_lsn(&old->until, 40);
    s.instances = realloc(s.instances, 2 * sizeof(struct instance *));
    s.instances[1] = old;
    s.n_instances = 2;
    set_lsn(&s.confirmed, 38);
    h.n = 0;
    manage_alarms(&s, &h);
    ck_assert_uint_eq(h.n, 1); /* its last LSN, 39, is not acknowledged */
    ck_assert_ptr_nonnull(strstr(h.alarms[0].what, "both places"));
    set_lsn(&s.confirmed, 39);
    h.n = 0;
    manage_alarms(&s, &h);
    ck_assert_uint_eq(h.n, 2);
    ck_assert_str_eq(h.alarms[1].code, "instance-replaced");
    ck_assert_ptr_nonnull(strstr(h.alarms[1].remedy, "@capture_instance = N'dbo_old'"));
    task.weir.manage_instances = MANAGE_ALL; /* then weir drops it by itself */
    h.n = 0;
    manage_alarms(&s, &h);
    ck_assert_uint_eq(h.n, 1);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_schema");
    TCase *t = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, each_change_at_its_own_place);
    tcase_add_test(t, one_statement_is_one_place);
    tcase_add_test(t, passed_places_are_now);
    tcase_add_test(t, a_change_waits_for_its_statement);
    tcase_add_test(t, a_change_without_a_statement_comes_with_the_next);
    tcase_add_test(t, a_replaced_instance_is_left_alone);
    tcase_add_test(t, names_change_where_they_are_seen);
    tcase_add_test(t, a_name_that_is_not_picked_ends_the_table);
    tcase_add_test(t, a_dropped_table_ends);
    tcase_add_test(t, a_start_goes_on_with_what_was);
    tcase_add_test(t, what_the_source_lacks_is_loaded_as_null);
    tcase_add_test(t, alarms_name_the_statement);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
