/* The SQL Server engine without a server: pages, pieces and views of a full load. */
/* uses: capture aws */
/* wrap: db_open db_run db_query db_result db_next db_data db_type db_columns db_int db_text */
#include "tests/unit/capture_script.h"

/* ---- the load ---- */

/* A page is a statement of its own, from the last row's key on. */
START_TEST(pages_are_key_ranges)
{
    struct source_key from = {.n = 2, .part = {strdup("CONVERT(int, 1)"), strdup("N'b'")}};
    struct source_key upto = {.n = 2, .part = {strdup("CONVERT(int, 7)"), strdup("N'it''s'")}};
    const struct source_part part = {.table = &s.instances[0]->table,
                                     .where = "[id] > 0",
                                     .is_ordered = true,
                                     .from = &from,
                                     .upto = &upto};
    struct source_page *page = reader_page_new(&s.base);
    struct source_reader *r = NULL;
    struct err e = ERR_INIT;
    struct set *set = new_set(new_answer());

    for (int i = 0; i < 4; i++)
        add_row(set, "itn", 2 + i, i < 3 ? "k" : "it's");
    add_row(new_set(new_answer()), "itn", 6, "k");
    s.base.engine = &sqlserver_engine;
    ck_assert_int_eq(reader_open(&s.base, &r, &e), 0);
    ck_assert_int_eq(reader_begin(r, &part, &e), 0);
    ck_assert_msg(reader_page(r, 4, 1 << 20, page, &e) == 0, "%s", e.text);
    ck_assert_str_eq(statements[0],
                     "SELECT TOP (4) [id], CONVERT(varbinary(8000), [v]]x]), "
                     "CONVERT(varbinary(max), [big]) FROM [dbo].[a] WHERE "
                     "[id] > 0 AND ([id] > CONVERT(int, 1) OR ([id] = CONVERT(int, 1) AND "
                     "([v]]x] > N'b'))) AND ([id] < CONVERT(int, 7) OR ([id] = CONVERT(int, 7) AND "
                     "([v]]x] <= N'it''s'))) ORDER BY [id], [v]]x]");
    ck_assert_uint_eq(page->n_rows, 4);
    ck_assert(!page->is_end);
    ck_assert_uint_eq(page->last.n, 2);
    ck_assert_str_eq(page->last.part[0], "CONVERT(int, 5)");
    ck_assert_str_eq(page->last.part[1], "CONVERT(nvarchar(50), N'it''s')");
    ck_assert_int_eq(reader_page(r, 4, 1 << 20, page, &e), 0);
    ck_assert_ptr_nonnull(strstr(statements[1], " AND ([id] > CONVERT(int, 5) OR "));
    ck_assert_uint_eq(page->n_rows, 1);
    ck_assert(page->is_end);
    ck_assert_int_eq(page->values[0].i, 6);
    reader_close(&r);
    reader_page_free(&page);
    source_key_free(&from);
    source_key_free(&upto);
}
END_TEST

/* A page ends at its size in bytes too, with the key of the row that it ends with. */
START_TEST(pages_end_by_bytes)
{
    const struct source_key none = {.n = 0};
    const struct source_part part = {.table = &s.instances[0]->table,
                                     .where = "",
                                     .is_ordered = true,
                                     .from = &none,
                                     .upto = &none};
    struct source_page *page = reader_page_new(&s.base);
    struct source_reader *r = NULL;
    struct err e = ERR_INIT;
    struct set *set = new_set(new_answer());

    for (int i = 0; i < 9; i++)
        add_row(set, "itn", 2 + i, "k");
    s.base.engine = &sqlserver_engine;
    ck_assert_int_eq(reader_open(&s.base, &r, &e), 0);
    ck_assert_int_eq(reader_begin(r, &part, &e), 0);
    ck_assert_int_eq(reader_page(r, 9, 3 * 3 * sizeof(struct value), page, &e), 0);
    ck_assert_uint_ge(page->n_rows, 2);
    ck_assert_uint_le(page->n_rows, 3);
    ck_assert(!page->is_end);
    ck_assert_int_eq((int)page->values[3 * (page->n_rows - 1)].i, (int)page->n_rows + 1);
    reader_close(&r);
    reader_page_free(&page);
}
END_TEST

/* A reader's page serves one table after the other: rows may become wider. */
START_TEST(page_grows_with_the_columns)
{
    static const size_t shapes[][2] = {{100, 3}, {50, 40}, {8000, 2}, {80, 1024}, {100, 3}};
    struct page p = {.values = NULL};
    struct err e = ERR_INIT;

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        ck_assert_int_eq(page_begin(&p, shapes[i][0], shapes[i][1], &e), 0);
        ck_assert_uint_ge(p.n_values, shapes[i][0] * shapes[i][1]);
        ck_assert_uint_ge(p.capacity, shapes[i][0]);
        ck_assert_uint_ge(p.columns, shapes[i][1]);
        ck_assert_uint_le(p.n_values, 100000); /* never the most rows times the most columns */
        memset(p.values, 0, p.n_values * sizeof(*p.values));
    }
    page_free(&p);
}
END_TEST

static void
free_cut(struct source_piece *pieces, size_t n)
{
    source_pieces_free(&pieces, n);
}

/* Steps of a histogram part the rows evenly; the first piece has no lower end, the last no upper
   one, whatever the statistics say. */
START_TEST(pieces_by_statistics)
{
    struct source_piece *pieces = NULL;
    struct err e = ERR_INIT;
    struct set *set;
    uint64_t rows;
    size_t n;

    add_row(new_set(new_answer()), "i", 50000);
    add_row(new_set(new_answer()), "i", 3);
    set = new_set(new_answer());
    for (int i = 1; i <= 6; i++)
        add_row(set, "ii", 10 * i, i == 1 ? 20000 : 6000);
    ck_assert_msg(load_cut(&s.base, &s.instances[0]->table, 3, &rows, &pieces, &n, &e) == 0, "%s",
                  e.text);
    ck_assert_uint_eq(rows, 50000);
    ck_assert_uint_eq(n, 3);
    ck_assert_ptr_nonnull(strstr(statements[2], "sys.dm_db_stats_histogram(1001, 3)"));
    ck_assert_str_eq(pieces[0].where, "[id] <= CONVERT(int, 10)");
    ck_assert_str_eq(pieces[1].where, "[id] > CONVERT(int, 10) AND [id] <= CONVERT(int, 40)");
    ck_assert_str_eq(pieces[2].where, "[id] > CONVERT(int, 40)");
    for (size_t i = 0; i < n; i++)
        ck_assert(pieces[i].is_ordered);
    free_cut(pieces, n);
}
END_TEST

/* Without statistics one pass over the key counts. */
START_TEST(pieces_by_counting)
{
    struct source_piece *pieces = NULL;
    struct err e = ERR_INIT;
    uint64_t rows;
    size_t n;

    s.has_no_histogram = true;
    add_row(new_set(new_answer()), "i", 30000);
    add_row(new_set(new_answer()), "i", 10001);
    add_row(new_set(new_answer()), "i", 20001);
    ck_assert_msg(load_cut(&s.base, &s.instances[0]->table, 3, &rows, &pieces, &n, &e) == 0, "%s",
                  e.text);
    ck_assert_str_eq(statements[2], "SELECT [id] FROM [dbo].[a] WHERE [id] > CONVERT(int, 10001) "
                                    "ORDER BY [id] OFFSET 10000 ROWS FETCH NEXT 1 ROWS ONLY");
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(pieces[0].where, "[id] <= CONVERT(int, 10001)");
    ck_assert_str_eq(pieces[2].where, "[id] > CONVERT(int, 20001)");
    free_cut(pieces, n);
}
END_TEST

/* A heap without an index is cut by what its rows hold; a small one is not. */
START_TEST(pieces_of_a_heap)
{
    struct source_piece *pieces = NULL;
    struct err e = ERR_INIT;
    uint64_t rows;
    size_t n;

    s.instances[0]->table.def->n_key = 0;
    add_row(new_set(new_answer()), "i", 450000);
    (void)new_set(new_answer());
    ck_assert_msg(load_cut(&s.base, &s.instances[0]->table, 8, &rows, &pieces, &n, &e) == 0, "%s",
                  e.text);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(pieces[2].where, "ABS(BINARY_CHECKSUM(*) % 3) = 2");
    ck_assert(!pieces[2].is_ordered);
    free_cut(pieces, n);
    add_row(new_set(new_answer()), "i", 4500);
    ck_assert_int_eq(load_cut(&s.base, &s.instances[0]->table, 8, &rows, &pieces, &n, &e), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(pieces[0].where, "");
    free_cut(pieces, n);
}
END_TEST

/* parallel-load: boundaries are exclusive upper ends; NULLs, which DMS leaves out, come first. */
START_TEST(pieces_by_ranges)
{
    static char schema[] = "dbo";
    static char table[] = "a";
    static char column[] = "v]x";
    static char id[] = "id";
    static char where[] = "rules[1]";
    static char b[4][8] = {"5", "1", "7", "2"};
    char *columns[] = {column, id};
    char *boundaries[] = {b[0], b[1], b[2], b[3]};
    struct parallel_load p = {.schema_name = schema,
                              .table_name = table,
                              .type = PARALLEL_LOAD_RANGES,
                              .columns = columns,
                              .n_columns = 2,
                              .boundaries = boundaries,
                              .n_boundaries = 2,
                              .where = where};
    struct source_piece *pieces = NULL;
    struct err e = ERR_INIT;
    uint64_t rows;
    size_t n;

    task.parallel_loads = &p;
    task.n_parallel_loads = 1;
    s.instances[0]->table.def->columns[1].nullable = true;
    add_row(new_set(new_answer()), "i", 10);
    ck_assert_msg(load_cut(&s.base, &s.instances[0]->table, 8, &rows, &pieces, &n, &e) == 0, "%s",
                  e.text);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(pieces[0].where,
                     "(([v]]x] < CONVERT(nvarchar(50), N'5') OR ([v]]x] = CONVERT(nvarchar(50), "
                     "N'5') AND ([id] < CONVERT(int, N'1')))) OR [v]]x] IS NULL)");
    free_cut(pieces, n);
    task.n_parallel_loads = 0;
}
END_TEST

/* Locked, seen by all readers, the moment taken, unlocked: in this order. */
START_TEST(view_is_fixed_under_a_lock)
{
    struct source_reader *readers[2] = {NULL, NULL};
    struct position since;
    struct err e = ERR_INIT;
    char hex[POSITION_HEX_SIZE];

    s.base.engine = &sqlserver_engine;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(reader_open(&s.base, &readers[i], &e), 0);
    add_row(new_set(new_answer()), "i", 1);
    add_row(new_set(new_answer()), "a", "37000000330400012");
    batches[0] = '\0';
    ck_assert_msg(view_begin(&s.base, &s.instances[0]->table, readers, 2, &since, &e) == 0, "%s",
                  e.text);
    ck_assert_str_eq(
        batches,
        "SET LOCK_TIMEOUT 500; SET DEADLOCK_PRIORITY LOW; BEGIN TRANSACTION; SELECT TOP (0) 1 AS "
        "one FROM [dbo].[a] WITH (TABLOCK, HOLDLOCK)\n"
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION; SELECT TOP (1) 1 AS one FROM "
        "[dbo].[a]\n"
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION; SELECT TOP (1) 1 AS one FROM "
        "[dbo].[a]\n"
        "SAVE TRANSACTION weir\n"
        "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SET LOCK_TIMEOUT -1; SET DEADLOCK_PRIORITY "
        "NORMAL\n");
    position_hex(&since, hex);
    hex[20] = '\0';
    ck_assert_str_eq(hex, "0000002500000ce8000c");
    add_row(new_set(new_answer()), "i", 0);
    ck_assert_int_eq(view_begin(&s.base, &s.instances[0]->table, readers, 2, &since, &e), 1);
    ck_assert_ptr_nonnull(strstr(e.hint, "ALLOW_SNAPSHOT_ISOLATION"));
    for (int i = 0; i < 2; i++)
        reader_close(&readers[i]);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_cut");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, pages_are_key_ranges);
    tcase_add_test(tc, pages_end_by_bytes);
    tcase_add_test(tc, page_grows_with_the_columns);
    tcase_add_test(tc, pieces_by_statistics);
    tcase_add_test(tc, pieces_by_counting);
    tcase_add_test(tc, pieces_of_a_heap);
    tcase_add_test(tc, pieces_by_ranges);
    tcase_add_test(tc, view_is_fixed_under_a_lock);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
