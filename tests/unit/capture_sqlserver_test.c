/* The SQL Server engine without a server: texts of statements, types, masks, the merge, gaps. */
/* uses: capture aws */
/* wrap: db_open db_run db_query db_result db_next db_data db_type db_columns db_int db_text */
#include "tests/unit/capture_script.h"

/* ---- texts ---- */

START_TEST(names_and_strings_are_quoted)
{
    struct sql q = {.text = NULL};

    sql_add_name(&q, "a]b]");
    sql_add(&q, " ");
    sql_add_string(&q, "it's", 4);
    sql_add(&q, " ");
    sql_add_string(&q, "\xC3\xA4", 2);
    sql_add(&q, " ");
    sql_add_binary(&q, (const uint8_t *)"\x01\xAB", 2);
    ck_assert_str_eq(q.text, "[a]]b]]] N'it''s' CONVERT(nvarchar(1), 0xE400) 0x01AB");
    sql_free(&q);
}
END_TEST

START_TEST(literals_have_their_type)
{
    static const struct {
        struct type_column type;
        struct value value;
        const char *text;
    } cases[] = {
        {{.system_type = 127}, {.kind = VALUE_INT, .i = -5}, "CONVERT(bigint, -5)"},
        {{.system_type = 104}, {.kind = VALUE_BOOL, .boolean = true}, "CONVERT(bit, 1)"},
        {{.system_type = 106, .precision = 38, .scale = 10},
         {.kind = VALUE_DECIMAL, .bytes = {.data = "1.0000000001", .size = 12}},
         "CONVERT(decimal(38,10), 1.0000000001)"},
        {{.system_type = 62},
         {.kind = VALUE_FLOAT64, .f64 = 0.1},
         "CONVERT(float, 1.0000000000000001E-01)"},
        {{.system_type = 167, .max_length = 20},
         {.kind = VALUE_TEXT, .bytes = {.data = "x'y", .size = 3}},
         "CONVERT(varchar(20), N'x''y')"},
        {{.system_type = 231, .max_length = 40},
         {.kind = VALUE_TEXT, .bytes = {.data = "x", .size = 1}},
         "CONVERT(nvarchar(20), N'x')"},
        {{.system_type = 173, .max_length = 2},
         {.kind = VALUE_BYTES, .bytes = {.data = "\x01\x02", .size = 2}},
         "CONVERT(binary(2), 0x0102)"},
        {{.system_type = 40}, {.kind = VALUE_DATE, .days = 0}, "CONVERT(date, '1970-01-01')"},
        {{.system_type = 61},
         {.kind = VALUE_DATETIME, .datetime = {.seconds = 1, .nanos = 3000000}},
         "CONVERT(datetime, '1970-01-01T00:00:01.003')"},
        {{.system_type = 42, .scale = 7},
         {.kind = VALUE_DATETIME, .datetime = {.seconds = 0, .nanos = 100}},
         "CONVERT(datetime2(7), '1970-01-01T00:00:00.0000001')"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct type_column t = cases[i].type;
        struct column_def c = {.name = NULL};
        struct sql q = {.text = NULL};
        struct err e = ERR_INIT;

        ck_assert_int_eq(type_describe(&t, &c, &e), 0);
        type_add_literal(&q, &t, &cases[i].value);
        ck_assert_str_eq(q.text, cases[i].text);
        sql_free(&q);
    }
}
END_TEST

START_TEST(types_are_those_of_dms)
{
    static const struct {
        struct type_column type;
        const char *name;
        enum dms_type dms;
        uint32_t length;
        uint8_t precision;
        uint8_t scale;
        bool is_lob;
    } cases[] = {
        {{.system_type = 48, .max_length = 1}, "tinyint", DMS_UINT1, 0, 0, 0, false},
        {{.system_type = 60, .max_length = 8, .precision = 19, .scale = 4},
         "money",
         DMS_NUMERIC,
         0,
         19,
         4,
         false},
        {{.system_type = 108, .max_length = 9, .precision = 12, .scale = 2},
         "numeric(12,2)",
         DMS_NUMERIC,
         0,
         12,
         2,
         false},
        {{.system_type = 61, .max_length = 8, .scale = 3},
         "datetime",
         DMS_DATETIME,
         0,
         0,
         3,
         false},
        {{.system_type = 41, .max_length = 5, .scale = 7}, "time(7)", DMS_TIME, 0, 0, 7, false},
        {{.system_type = 43, .max_length = 10, .scale = 7},
         "datetimeoffset(7)",
         DMS_WSTRING,
         34,
         0,
         7,
         false},
        {{.system_type = 175, .max_length = 8}, "char(8)", DMS_STRING, 8, 0, 0, false},
        {{.system_type = 167, .max_length = -1}, "varchar(max)", DMS_CLOB, 0, 0, 0, true},
        {{.system_type = 231, .max_length = 100}, "nvarchar(50)", DMS_WSTRING, 50, 0, 0, false},
        {{.system_type = 99, .max_length = 16}, "ntext", DMS_NCLOB, 0, 0, 0, true},
        {{.system_type = 165, .max_length = -1}, "varbinary(max)", DMS_BLOB, 0, 0, 0, true},
        {{.system_type = 189, .max_length = 8}, "timestamp", DMS_BYTES, 8, 0, 0, false},
        {{.system_type = 36, .max_length = 16}, "uniqueidentifier", DMS_STRING, 36, 0, 0, false},
        {{.system_type = 241, .max_length = -1}, "xml", DMS_NCLOB, 0, 0, 0, true},
        {{.system_type = 240, .user_type = 128, .max_length = 892},
         "hierarchyid",
         DMS_WSTRING,
         250,
         0,
         0,
         false},
        {{.system_type = 240, .user_type = 130, .max_length = -1},
         "geography",
         DMS_BLOB,
         0,
         0,
         0,
         true},
    };
    struct type_column unknown = {.system_type = 244};
    struct column_def c = {.name = NULL};
    struct err e = ERR_INIT;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct type_column t = cases[i].type;

        ck_assert_int_eq(type_describe(&t, &c, &e), 0);
        ck_assert_str_eq(t.name, cases[i].name);
        ck_assert_int_eq(c.type, cases[i].dms);
        ck_assert_uint_eq(c.length, cases[i].length);
        ck_assert_uint_eq(c.precision, cases[i].precision);
        ck_assert_uint_eq(c.scale, cases[i].scale);
        ck_assert_int_eq(c.is_lob, cases[i].is_lob);
    }
    ck_assert_int_eq(type_describe(&unknown, &c, &e), -1);
    ck_assert_int_eq(e.code, ERR_DATA);
}
END_TEST

START_TEST(wide_text_survives)
{
    /* "aä€😀", then a high surrogate alone, a low one alone, ASCII of more than four units. */
    static const uint8_t in[] = {'a',  0,    0xE4, 0, 0xAC, 0x20, 0x3D, 0xD8, 0x00, 0xDE,
                                 0x3D, 0xD8, 'x',  0, 0x00, 0xDE, '1',  0,    '2',  0,
                                 '3',  0,    '4',  0, '5',  0,    0x3D, 0xD8};
    static const char want[] = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\xED\xA0\xBDx\xED\xB8\x80"
                               "12345\xED\xA0\xBD";
    char text[3 * sizeof(in)];
    uint8_t back[3 * sizeof(in)];
    size_t n = wide_to_utf8(in, sizeof(in), text);

    ck_assert_uint_eq(n, sizeof(want) - 1);
    ck_assert_mem_eq(text, want, n);
    ck_assert_uint_eq(wide_from_utf8(text, n, back), sizeof(in));
    ck_assert_mem_eq(back, in, sizeof(in));
    ck_assert_uint_eq(wide_from_utf8("\xC0\xFF", 2, back), 4); /* no UTF-8: two U+FFFD */
    ck_assert_mem_eq(back, "\xFD\xFF\xFD\xFF", 4);
}
END_TEST

START_TEST(mask_counts_from_the_last_byte)
{
    const uint8_t mask[] = {0x80, 0x02, 0x01};

    ck_assert(log_mask_bit(mask, 3, 1));
    ck_assert(!log_mask_bit(mask, 3, 2));
    ck_assert(log_mask_bit(mask, 3, 10));
    ck_assert(!log_mask_bit(mask, 3, 9));
    ck_assert(log_mask_bit(mask, 3, 24));
    ck_assert(!log_mask_bit(mask, 3, 25));
    ck_assert(!log_mask_bit(mask, 3, 0));
}
END_TEST

/* ---- the log ---- */

START_TEST(merge_is_in_commit_order)
{
    static const int lsns[] = {11, 12, 13};
    struct err e = ERR_INIT;
    struct set *set;

    answer_poll(lsns, 3, 13, 5, 5);
    set = new_set(new_answer()); /* both have rows */
    add_row(set, "i", 0);
    add_row(set, "i", 1);
    set = new_set(new_answer()); /* a: start, command, seqval, operation, mask, columns */
    add_row(set, "lilimitn", 11, 1, 1, 2, 7, 1, "one");
    add_row(set, "lilimitn", 12, 2, 1, 3, 2, 1, "one");
    add_row(set, "lilimitn", 12, 2, 1, 4, 2, 1, "two");
    set = new_set(new_answer()); /* b */
    add_row(set, "lilimitt", 12, 1, 5, 2, 7, 8, "x", "large");
    add_row(set, "lilimitt", 12, 3, 6, 1, 7, 9, "y", "gone");
    answer_low_water(5, 5);
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "a 11.2#1 after(1,one,null)\n"
                            "b 12.2#1 after(8,x,large)\n"
                            "a 12.4#2 before(1,one,?) after(1,two,?)\n"
                            "b 12.1#3 before(9,y,gone)\n"
                            "complete 13 at 1704060000 of 2\n");
    ck_assert_int_eq(at_answer, n_answers - 1);
    ck_assert_str_eq(
        statements[2],
        "SELECT TOP (4) [__$start_lsn], [__$command_id], [__$seqval], [__$operation], "
        "[__$update_mask], [id], CONVERT(varbinary(8000), [v]]x]), CONVERT(varbinary(max), [big]) "
        "FROM cdc.[dbo_a_CT] WHERE [__$start_lsn] > 0x0000000000000000000A AND [__$start_lsn] <= "
        "0x0000000000000000000D ORDER BY [__$start_lsn], [__$command_id], [__$seqval], "
        "[__$operation]");
}
END_TEST

/* The first half of an update at the end of a full page is read again with its second half. */
START_TEST(pages_keep_updates_whole)
{
    static const int lsns[] = {11};
    struct err e = ERR_INIT;
    struct set *set;

    keep_table_a();
    answer_poll(lsns, 1, 11, 5, -1);
    set = new_set(new_answer());
    add_row(set, "lnlimitt", 11, 2, 2, 7, 3, "r", ""); /* no command id: from before a fix */
    add_row(set, "lilimitt", 11, 1, 1, 2, 7, 1, "p", "");
    add_row(set, "lilimitt", 11, 1, 2, 2, 7, 2, "q", "");
    add_row(set, "lilimitt", 11, 2, 9, 3, 2, 1, "p", "");
    add_row(new_set(new_answer()), "il", 1, 5); /* the low-water mark, after each page */
    set = new_set(new_answer());
    add_row(set, "lilimitt", 11, 2, 9, 3, 2, 1, "p", "");
    add_row(set, "lilimitt", 11, 2, 9, 4, 2, 1, "P", "");
    set = new_set(new_answer());
    add_row(set, "il", 1, 5);
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "a 11.2#1 after(3,r,)\n"
                            "a 11.2#2 after(1,p,)\n"
                            "a 11.2#3 after(2,q,)\n"
                            "a 11.4#4 before(1,p,) after(1,P,)\n"
                            "complete 11 at 1704060000 of 1\n");
    ck_assert_ptr_nonnull(strstr(
        statements[3],
        " WHERE [__$start_lsn] >= 0x0000000000000000000B AND ([__$start_lsn] > "
        "0x0000000000000000000B OR ([__$command_id] > 1 OR ([__$command_id] = 1 AND ([__$seqval] "
        "> 0x00000000000000000002 OR ([__$seqval] = 0x00000000000000000002 AND [__$operation] > "
        "2))))) AND [__$start_lsn] <= 0x0000000000000000000B ORDER BY "));
}
END_TEST

START_TEST(lone_half_of_an_update_is_refused)
{
    static const int lsns[] = {11};
    struct err e = ERR_INIT;

    keep_table_a();
    answer_poll(lsns, 1, 11, 5, -1);
    add_row(new_set(new_answer()), "lilimitt", 11, 1, 1, 3, 7, 1, "p", "");
    add_row(new_set(new_answer()), "il", 1, 5);
    ck_assert_int_eq(follow(10, &e), -1);
    ck_assert_int_eq(e.code, ERR_PROTOCOL);
}
END_TEST

/* Many tables share what one may hold; who is not read holds nothing. */
START_TEST(pages_shrink_with_the_number_of_tables)
{
    static const int lsns[] = {11};
    static const int more[] = {12};
    struct err e = ERR_INIT;
    struct set *set;

    s.instances[0]->row_bytes = 1U << 20;
    s.instances[1]->row_bytes = 100;
    answer_poll(lsns, 1, 11, 5, 5);
    set = new_set(new_answer());
    add_row(set, "i", 0);
    add_row(set, "i", 1);
    add_row(new_set(new_answer()), "lilimitn", 11, 1, 1, 2, 7, 1, "one");
    add_row(new_set(new_answer()), "lilimitn", 11, 2, 2, 2, 7, 1, "two");
    answer_low_water(5, 5);
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_ptr_nonnull(strstr(statements[2], "TOP (16) "));
    ck_assert_ptr_nonnull(strstr(statements[3], "TOP (8192) "));
    ck_assert_ptr_nonnull(s.instances[0]->page.values);
    n_answers = 0;
    at_answer = -1;
    answer_poll(more, 1, 12, 5, 5);
    add_row(new_set(new_answer()), "i", 1);
    add_row(new_set(new_answer()), "lilimitn", 12, 2, 2, 2, 7, 1, "two");
    answer_low_water(5, 5);
    ck_assert_msg(follow(11, &e) == 0, "%s", e.text);
    ck_assert_ptr_null(s.instances[0]->page.values);
    ck_assert_ptr_nonnull(s.instances[1]->page.values);
}
END_TEST

/* Inside a transaction nothing is read again: what was given of it is counted, all tables of it. */
START_TEST(goes_on_inside_a_transaction)
{
    static const int lsns[] = {11, 12};
    struct err e = ERR_INIT;
    struct set *set;

    answer_poll(lsns, 2, 12, 5, 5);
    set = new_set(new_answer());
    add_row(set, "i", 0);
    add_row(set, "i", 1);
    set = new_set(new_answer());
    add_row(set, "lilimitn", 11, 7, 4, 2, 7, 1, "next");
    (void)new_set(new_answer());
    set = new_set(new_answer()); /* given of a, of b */
    add_row(set, "i", 40);
    add_row(set, "i", 2);
    answer_low_water(5, 5);
    ck_assert_msg(follow_inside(11, 7, 3, 4, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "a 11.2#43 after(1,next,null)\n"
                            "complete 12 at 1704060000 of 1\n");
    ck_assert_ptr_nonnull(strstr(statements[0], "m.start_lsn > 0x0000000000000000000A "));
    ck_assert_ptr_nonnull(strstr(statements[2], "([__$command_id] = 7 AND ([__$seqval] > "));
    ck_assert_str_eq(
        statements[4],
        "SELECT COUNT_BIG(*) AS n FROM cdc.[dbo_a_CT] WHERE [__$start_lsn] = "
        "0x0000000000000000000B AND ([__$command_id] IS NULL OR [__$command_id] < 7 OR "
        "[__$command_id] = 7 AND ([__$seqval] < 0x00000000000000000003 OR ([__$seqval] = "
        "0x00000000000000000003 AND [__$operation] <= 4))) AND [__$operation] <> 3 UNION ALL "
        "SELECT COUNT_BIG(*) AS n FROM cdc.[dbo_b_CT] WHERE [__$start_lsn] = "
        "0x0000000000000000000B AND ([__$command_id] IS NULL OR [__$command_id] < 7 OR "
        "[__$command_id] = 7 AND ([__$seqval] < 0x00000000000000000003 OR ([__$seqval] = "
        "0x00000000000000000003 AND [__$operation] <= 4))) AND [__$operation] <> 3");
}
END_TEST

/* ---- the function ---- */

START_TEST(function_rows_come_first_in_their_transaction)
{
    static const int lsns[] = {11, 12};
    struct err e = ERR_INIT;
    struct set *set;

    read_by_function(s.instances[1]);
    answer_poll(lsns, 2, 12, 5, 5);
    set = new_set(new_answer());
    add_row(set, "i", 0);
    add_row(set, "i", 1);
    set = new_set(new_answer());
    add_row(set, "lilimitn", 11, 1, 1, 2, 7, 1, "one");
    set = new_set(new_answer()); /* b, full */
    add_row(set, "lnlimitn", 11, 9, 1, 7, 8, "x");
    add_row(set, "lnlimitn", 11, 9, 2, 7, 9, "y");
    add_row(set, "lnlimitn", 12, 1, 2, 7, 8, "z");
    add_row(set, "lnlimitn", 12, 2, 2, 7, 10, "z");
    answer_low_water(5, 5);
    (void)new_set(new_answer());
    answer_low_water(5, 5);
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "b 11.1#1 before(8,x,null)\n"
                            "b 11.2#2 after(9,y,null)\n"
                            "a 11.2#3 after(1,one,null)\n"
                            "b 12.2#1 after(8,z,null)\n"
                            "b 12.2#2 after(10,z,null)\n"
                            "complete 12 at 1704060000 of 2\n");
    ck_assert_ptr_nonnull(strstr(statements[1],
                                 "SELECT 1 AS i WHERE EXISTS (SELECT * FROM "
                                 "cdc.[fn_cdc_get_all_changes_dbo_b](0x0000000000000000000B, "
                                 "0x0000000000000000000C, N''all update old'')"));
    ck_assert_str_eq(
        statements[3],
        "SELECT TOP (4) [__$start_lsn], CONVERT(int, NULL), [__$seqval], [__$operation], "
        "[__$update_mask], [id], CONVERT(varbinary(8000), [v]]x]), CONVERT(varbinary(max), [big]) "
        "FROM cdc.[fn_cdc_get_all_changes_dbo_b](0x0000000000000000000B, 0x0000000000000000000C, "
        "N'all update old') ORDER BY [__$start_lsn], [__$seqval], [__$operation]");
    ck_assert_ptr_nonnull(strstr(
        statements[5], "(0x0000000000000000000C, 0x0000000000000000000C, N'all update old') WHERE "
                       "([__$start_lsn] IS NULL OR [__$start_lsn] > 0x0000000000000000000C OR "
                       "([__$start_lsn] = 0x0000000000000000000C AND ([__$seqval] > "
                       "0x00000000000000000002 OR ([__$seqval] = 0x00000000000000000002 AND "
                       "[__$operation] > 2)))) ORDER BY "));
}
END_TEST

/* Where a row with a command id was given, all that a function has of the transaction was. */
START_TEST(function_is_asked_behind_a_half_read_transaction)
{
    static const int lsns[] = {11, 12};
    struct err e = ERR_INIT;

    keep_table_a();
    read_by_function(s.instances[0]);
    answer_poll(lsns, 2, 12, 5, -1);
    (void)new_set(new_answer());
    add_row(new_set(new_answer()), "i", 3);
    add_row(new_set(new_answer()), "il", 1, 5);
    ck_assert_msg(follow_inside(11, 7, 3, 4, &e) == 0, "%s", e.text);
    ck_assert_ptr_nonnull(strstr(statements[1], "(0x0000000000000000000C, 0x0000000000000000000C"));
    ck_assert_ptr_nonnull(strstr(statements[2], "(0x0000000000000000000B, 0x0000000000000000000B"));
    ck_assert_ptr_null(strstr(statements[2], "seqval"));
}
END_TEST

/* The row of NULLs is a refusal, not a change and not nothing. */
START_TEST(refusal_of_the_function_is_an_error)
{
    static const int lsns[] = {11};
    struct err e = ERR_INIT;

    keep_table_a();
    read_by_function(s.instances[0]);
    answer_poll(lsns, 1, 11, 5, -1);
    add_row(new_set(new_answer()), "nnnnnnnn");
    ck_assert_int_eq(follow(10, &e), -1);
    ck_assert_int_eq(e.code, ERR_ACCESS);
    ck_assert_ptr_nonnull(strstr(e.text, "dbo_a"));
    ck_assert_ptr_nonnull(strstr(e.hint, "gating role"));
}
END_TEST

/* Nobody can tell such rows apart after a restart: the table stops, it does not lose one. */
START_TEST(rows_without_a_place_of_their_own_suspend_the_table)
{
    static const int lsns[] = {11};
    struct err e = ERR_INIT;
    struct set *set;

    keep_table_a();
    read_by_function(s.instances[0]);
    answer_poll(lsns, 1, 11, 5, -1);
    set = new_set(new_answer());
    add_row(set, "lnlimitn", 11, 9, 1, 7, 8, "x");
    add_row(set, "lnlimitn", 11, 9, 1, 7, 9, "y");
    ck_assert_int_eq(follow(10, &e), -1);
    ck_assert_int_eq(e.code, ERR_DATA);
    ck_assert_ptr_nonnull(s.instances[0]->table.refused);
    ck_assert_str_eq(story, "");
}
END_TEST

/* Half a transaction was read in the order of command ids: no other order goes on from there. */
START_TEST(way_does_not_change_inside_a_transaction)
{
    static const int lsns[] = {11};
    struct instance *in = s.instances[0];
    struct err e = ERR_INIT;

    keep_table_a();
    in->is_old = true;
    in->by_function = true; /* SELECT on the change table is gone */
    answer_poll(lsns, 1, 11, 5, -1);
    ck_assert_int_eq(follow_inside(11, 7, 3, 4, &e), -1);
    ck_assert_int_eq(e.code, ERR_ACCESS);
    ck_assert_ptr_nonnull(strstr(e.text, "00000000:00000000:000b"));
    ck_assert_ptr_nonnull(strstr(e.hint, "GRANT SELECT"));

    read_by_function(in); /* and the other way round: it stays with the function */
    in->by_function = false;
    answer_poll(lsns, 1, 11, 5, -1);
    (void)new_set(new_answer());
    add_row(new_set(new_answer()), "i", 3);
    add_row(new_set(new_answer()), "il", 1, 5);
    ck_assert_msg(follow_inside(11, -1, 3, 2, &e) == 0, "%s", e.text);
    ck_assert_ptr_nonnull(strstr(statements[2], "fn_cdc_get_all_changes_dbo_a"));
}
END_TEST

/* Dummy rows move the position although no table changed. */
START_TEST(idle_log_moves_on)
{
    static const int lsns[] = {11, 19};
    struct err e = ERR_INIT;

    answer_poll(lsns, 2, 19, 5, 5);
    (void)new_set(new_answer()); /* no table has rows */
    answer_low_water(5, 5);
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "complete 19 at 1704060000 of 0\n");
    answer_poll(NULL, 0, 19, 5, 5);
    ck_assert_msg(follow(19, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "");
}
END_TEST

/* ---- times and places ---- */

/* 2024-01-01T00:00:00 at +02:00 is what 'd' and 'o' answer. */
START_TEST(times_are_the_servers_own)
{
    struct position p;
    struct err e = ERR_INIT;
    struct answer *a;

    add_row(new_set(new_answer()), "o");
    a = new_answer();
    add_row(new_set(a), "l", 40);
    add_row(new_set(a), "l", 31);
    /* 2024-01-01T10:00:00.123456Z is 12:00 there. */
    ck_assert_msg(start_at_time(&s.base, 1704103200123456000, &p, &e) == 0, "%s", e.text);
    ck_assert_str_eq(statements[1],
                     "SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping; SELECT MIN(m.start_lsn) "
                     "FROM cdc.lsn_time_mapping AS m WHERE m.tran_end_time >= CONVERT(datetime, "
                     "'2024-01-01T12:00:00.123', 126)");
    ck_assert_int_eq(p.b[9], 30); /* 31 itself is wanted */
    ck_assert_int_eq(p.b[10], 0xFF);
    /* Nothing committed since: behind the newest. */
    add_row(new_set(new_answer()), "o");
    a = new_answer();
    add_row(new_set(a), "l", 40);
    add_row(new_set(a), "n");
    ck_assert_msg(start_at_time(&s.base, 1704103200123456000, &p, &e) == 0, "%s", e.text);
    ck_assert_int_eq(p.b[9], 40);
}
END_TEST

START_TEST(ranges_of_tables)
{
    struct source_ranges r = {.items = NULL};
    struct err e = ERR_INIT;
    struct answer *a = new_answer();
    struct set *set;

    add_row(new_set(a), "o");
    add_row(new_set(a), "ld", 40);
    set = new_set(a);
    add_row(set, "ildd", 1, 20); /* cleaned: its mark is in the mapping */
    add_row(set, "ildn", 2, 50); /* just enabled, not scanned */
    add_row(set, "ildn", 7, 60); /* a table that is not selected */
    ck_assert_msg(start_ranges(&s.base, &r, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(r.n, 2);
    ck_assert_str_eq(r.items[0].table, "dbo.a");
    ck_assert_int_eq(r.items[0].oldest.b[9], 19);
    ck_assert_int_eq(r.items[1].oldest.b[9], 49);
    ck_assert_int_eq(r.items[0].oldest_real_ns / 1000000000, 1704060000); /* 22:00 UTC */
    ck_assert_int_eq(r.newest.b[9], 50);
    source_ranges_free(&r);
}
END_TEST

/* The commit time of the first entry behind a hole. */
static void
answer_time_at(void)
{
    add_row(new_set(new_answer()), "d");
}

/* Table b has lost something; a goes on as if nothing had happened. */
START_TEST(cleanup_that_overtook_is_a_gap_of_one_table)
{
    static const int lsns[] = {31};
    struct err e = ERR_INIT;

    answer_poll(lsns, 1, 31, 5, 20); /* b starts at 20 now, and 11 was needed next */
    answer_time_at();
    add_row(new_set(new_answer()), "lilimitn", 31, 1, 1, 2, 7, 1, "one");
    answer_low_water(5, 20);
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "b lost 11-19 before 1704060000: the cleanup job has removed them\n"
                            "a 31.2#1 after(1,one,null)\n"
                            "complete 31 at 1704060000 of 1\n");
    ck_assert_ptr_nonnull(strstr(statements[1], "start_lsn >= 0x00000000000000000014"));
}
END_TEST

/* Cleanup ran while pages were read: no row of the table goes out. */
START_TEST(cleanup_between_pages_is_a_gap)
{
    static const int lsns[] = {31};
    struct err e = ERR_INIT;
    struct set *set;

    answer_poll(lsns, 1, 31, 5, 11); /* exactly the next one needed: nothing is lost */
    set = new_set(new_answer());
    add_row(set, "i", 0);
    add_row(set, "i", 1);
    add_row(new_set(new_answer()), "lilimitn", 31, 1, 1, 2, 7, 1, "one");
    add_row(new_set(new_answer()), "lilimitt", 31, 1, 2, 2, 7, 2, "two", "");
    answer_low_water(12, 11);
    answer_time_at();
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "a lost 11-11 before 1704060000: the cleanup job has removed them\n"
                            "b 31.2#1 after(2,two,)\n"
                            "complete 31 at 1704060000 of 1\n");
}
END_TEST

/* Cleanup ran before the look for changed tables: they look as if nothing had happened. */
START_TEST(cleanup_before_the_look_is_a_gap)
{
    static const int lsns[] = {31};
    struct err e = ERR_INIT;

    answer_poll(lsns, 1, 31, 5, 5);
    (void)new_set(new_answer()); /* no table has rows any more */
    answer_low_water(12, 5);
    answer_time_at();
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "a lost 11-11 before 1704060000: the cleanup job has removed them\n"
                            "complete 31 at 1704060000 of 0\n");
}
END_TEST

/* Between two pages cleanup passes what the first one gave: that is no loss.  Then it passes more:
   the hole begins at the transaction the first page ended in, and what was given stays given. */
START_TEST(hole_begins_where_reading_stood)
{
    static const int lsns[] = {11, 12, 13, 14, 15};
    struct err e = ERR_INIT;
    struct set *set;

    for (int hole = 0; hole < 2; hole++) {
        keep_table_a();
        s.instances[0]->page_rows = 4;
        answer_poll(lsns, 5, 15, 5, -1);
        set = new_set(new_answer());
        for (int i = 0; i < 4; i++)
            add_row(set, "lilimitn", 11 + i, 1, 1, 2, 7, i, "x");
        add_row(new_set(new_answer()), "il", 1, 5);
        set = new_set(new_answer());
        if (hole == 0)
            add_row(set, "lilimitn", 15, 1, 1, 2, 7, 9, "x");
        add_row(new_set(new_answer()), "il", 1, hole == 0 ? 14 : 15);
        if (hole == 1)
            answer_time_at();
        ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
        if (hole == 0) {
            ck_assert_ptr_null(strstr(story, "lost"));
            ck_assert_ptr_nonnull(strstr(story, "a 15.2#1 after(9,x,null)\ncomplete 15"));
            teardown();
            setup();
        } else {
            ck_assert_ptr_nonnull(strstr(story, "a 14.2#1 after(3,x,null)\n"
                                                "a lost 14-14 before 1704060000"));
        }
    }
}
END_TEST

/* Dropped before it was read to its end: nobody can say where the hole ends. */
START_TEST(dropped_instance_is_a_gap)
{
    static const int lsns[] = {31};
    struct err e = ERR_INIT;

    s.change_tables = list_digest(1, 0); /* known to be without b */
    answer_poll(lsns, 1, 31, 5, -1);
    add_row(new_set(new_answer()), "lilimitn", 31, 1, 1, 2, 7, 1, "one");
    add_row(new_set(new_answer()), "il", 1, 5);
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "b lost 11-255 before 0: its capture instance was dropped\n"
                            "a 31.2#1 after(1,one,null)\n"
                            "complete 31 at 1704060000 of 1\n");
}
END_TEST

START_TEST(restored_database_is_another_history)
{
    struct err e = ERR_INIT;

    answer_poll(NULL, 0, 25, 5, 5);
    ck_assert_int_eq(follow(30, &e), -1);
    ck_assert_int_eq(e.code, ERR_HISTORY);
    ck_assert_ptr_nonnull(strstr(e.text, "'shop'"));
}
END_TEST

/* A second instance of table a takes over at LSN 12; each is read in its own range only. */
START_TEST(new_instance_takes_over)
{
    static const int lsns[] = {11, 12, 13};
    struct instance *next = make_instance("a", 3);
    struct err e = ERR_INIT;
    struct answer *a;
    struct set *set;

    next->source_object = s.instances[0]->source_object;
    next->is_known = false;
    set_lsn(&next->start, 12);
    free(next->table.instance);
    next->table.instance = strdup("dbo_a2");
    meta_instance_free(&s.instances[1]);
    s.instances[1] = next;
    s.change_tables = list_digest(1, 3);
    meta_arrange(&s);
    a = new_answer();
    add_row(new_set(a), "o");
    set = new_set(a);
    for (int i = 0; i < 3; i++)
        add_row(set, "ldm", lsns[i], lsns[i]);
    add_row(new_set(a), "l", 13);
    set = new_set(a);
    add_row(set, "il", 1, 5);
    add_row(set, "il", 3, 12);
    set = new_set(new_answer());
    add_row(set, "i", 0);
    add_row(set, "i", 1);
    add_row(new_set(new_answer()), "lilimitn", 11, 1, 1, 2, 7, 1, "old");
    add_row(new_set(new_answer()), "lilimitn", 12, 1, 1, 2, 7, 2, "new");
    set = new_set(new_answer());
    add_row(set, "il", 1, 5);
    add_row(set, "il", 3, 12);
    ck_assert_msg(follow(10, &e) == 0, "%s", e.text);
    ck_assert_str_eq(story, "definition of dbo_a2 at 12, again\n"
                            "a 11.2#1 after(1,old,null)\n"
                            "a 12.2#1 after(2,new,null)\n"
                            "complete 13 at 1704060000 of 2\n");
    ck_assert_ptr_nonnull(strstr(statements[2], "<= 0x0000000000000000000B "));
    ck_assert_ptr_nonnull(strstr(statements[3], "> 0x0000000000000000000B "));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("capture_sqlserver");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, names_and_strings_are_quoted);
    tcase_add_test(tc, literals_have_their_type);
    tcase_add_test(tc, types_are_those_of_dms);
    tcase_add_test(tc, wide_text_survives);
    tcase_add_test(tc, mask_counts_from_the_last_byte);
    tcase_add_test(tc, merge_is_in_commit_order);
    tcase_add_test(tc, pages_keep_updates_whole);
    tcase_add_test(tc, lone_half_of_an_update_is_refused);
    tcase_add_test(tc, pages_shrink_with_the_number_of_tables);
    tcase_add_test(tc, goes_on_inside_a_transaction);
    tcase_add_test(tc, function_rows_come_first_in_their_transaction);
    tcase_add_test(tc, function_is_asked_behind_a_half_read_transaction);
    tcase_add_test(tc, refusal_of_the_function_is_an_error);
    tcase_add_test(tc, rows_without_a_place_of_their_own_suspend_the_table);
    tcase_add_test(tc, way_does_not_change_inside_a_transaction);
    tcase_add_test(tc, idle_log_moves_on);
    tcase_add_test(tc, times_are_the_servers_own);
    tcase_add_test(tc, ranges_of_tables);
    tcase_add_test(tc, cleanup_that_overtook_is_a_gap_of_one_table);
    tcase_add_test(tc, cleanup_between_pages_is_a_gap);
    tcase_add_test(tc, cleanup_before_the_look_is_a_gap);
    tcase_add_test(tc, hole_begins_where_reading_stood);
    tcase_add_test(tc, dropped_instance_is_a_gap);
    tcase_add_test(tc, restored_database_is_another_history);
    tcase_add_test(tc, new_instance_takes_over);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
