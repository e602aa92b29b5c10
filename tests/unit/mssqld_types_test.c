/* uses: mssqld */
/* Every SQL type: its ends, NULL, the way to text and back, and what it refuses. */
#include "tests/unit/mssqld_help.h"

/* A type, its least and greatest value as literals, and both as the sink shows them. */
static const struct {
    const char *type;
    const char *least;
    const char *greatest;
    const char *seen_least;
    const char *seen_greatest;
    int style; /* of CONVERT to text that keeps everything; -1 = no text form */
} TYPES[] = {
    {"bit", "0", "1", "0", "1", 0},
    {"tinyint", "0", "255", "0", "255", 0},
    {"smallint", "-32768", "32767", "-32768", "32767", 0},
    {"int", "-2147483648", "2147483647", "-2147483648", "2147483647", 0},
    {"bigint", "'-9223372036854775808'", "9223372036854775807", "-9223372036854775808",
     "9223372036854775807", 0},
    {"real", "-3.40E+38", "1.18E-38", "-3.3999999521443642e+38", "1.1799999457746311e-38", 3},
    {"float", "-1.79E+308", "2.23E-308", "-1.79e+308", "2.2300000000000001e-308", 3},
    {"decimal(1,1)", "-0.9", "0.9", "-0.9", "0.9", 0},
    {"decimal(18,4)", "-99999999999999.9999", "99999999999999.9999", "-99999999999999.9999",
     "99999999999999.9999", 0},
    {"decimal(19,0)", "-9999999999999999999", "9999999999999999999", "-9999999999999999999",
     "9999999999999999999", 0},
    {"numeric(38,0)", "-99999999999999999999999999999999999999",
     "99999999999999999999999999999999999999", "-99999999999999999999999999999999999999",
     "99999999999999999999999999999999999999", 0},
    {"numeric(38,38)", "-.99999999999999999999999999999999999999",
     ".00000000000000000000000000000000000001", "-0.99999999999999999999999999999999999999",
     "0.00000000000000000000000000000000000001", 0},
    {"smallmoney", "-214748.3648", "214748.3647", "-2147483648", "2147483647", 2},
    {"money", "-922337203685477.5808", "922337203685477.5807", "-9223372036854775808",
     "9223372036854775807", 2},
    {"date", "'0001-01-01'", "'9999-12-31'", "0/0/0", "3652058/0/0", 23},
    {"time(0)", "'00:00:00'", "'23:59:59'", "0/0/0", "0/863990000000/0", 114},
    {"time(7)", "'00:00:00'", "'23:59:59.9999999'", "0/0/0", "0/863999999999/0", 121},
    {"smalldatetime", "'1900-01-01T00:00:00'", "'2079-06-06T23:59:00'", "693595/0/0",
     "759130/863400000000/0", 120},
    {"datetime", "'1753-01-01T00:00:00'", "'9999-12-31T23:59:59.997'", "639905/0/0",
     "3652058/863999966667/0", 126},
    {"datetime2(0)", "'0001-01-01T00:00:00'", "'9999-12-31T23:59:59'", "0/0/0",
     "3652058/863990000000/0", 126},
    {"datetime2(7)", "'0001-01-01T00:00:00'", "'9999-12-31T23:59:59.9999999'", "0/0/0",
     "3652058/863999999999/0", 126},
    {"datetimeoffset(7)", "'0001-01-01T14:00:00+14:00'", "'9999-12-31T23:59:59.9999999-00:00'",
     "0/0/840", "3652058/863999999999/0", 127},
    {"char(4)", "''", "'abcd'", "    ", "abcd", 0},
    {"varchar(4)", "''", "'abcd'", "", "abcd", 0},
    {"nchar(2)", "N''", "N'\xC3\xBC\xE2\x82\xAC'", "  ", "\xC3\xBC\xE2\x82\xAC", 0},
    {"nvarchar(2)", "N''", "N'\xF0\x9F\x98\x80'", "", "\xF0\x9F\x98\x80", 0},
    {"binary(3)", "0x", "0xFFFEFD", "0x000000", "0xFFFEFD", 1},
    {"varbinary(3)", "0x", "0xFFFEFD", "0x", "0xFFFEFD", 1},
    {"uniqueidentifier", "'00000000-0000-0000-0000-000000000000'",
     "'ffffffff-fffe-fffd-fffc-fffffffffffb'", "0x00000000000000000000000000000000",
     "0xFFFFFFFFFEFFFDFFFFFCFFFFFFFFFFFB", 0},
};

#define N_TYPES (sizeof TYPES / sizeof TYPES[0])

START_TEST(ends_of_the_range)
{
    struct session *s = open_database();
    char text[400];
    char want[200];

    for (size_t i = 0; i < N_TYPES; i++) {
        (void)snprintf(text, sizeof text, "SELECT CAST(%s AS %s), CAST(%s AS %s), CAST(NULL AS %s)",
                       TYPES[i].least, TYPES[i].type, TYPES[i].greatest, TYPES[i].type,
                       TYPES[i].type);
        (void)snprintf(want, sizeof want, "%s|%s|NULL\n", TYPES[i].seen_least,
                       TYPES[i].seen_greatest);
        expect(s, text, want);
    }
    session_close(&s);
}
END_TEST

/* Text of a value converts to the value again; so does the value as a sql_variant. */
START_TEST(text_and_back)
{
    struct session *s = open_database();
    char text[600];

    for (size_t i = 0; i < N_TYPES; i++)
        for (int end = 0; end < 2; end++) {
            (void)snprintf(text, sizeof text,
                           "DECLARE @v %s = %s; DECLARE @t nvarchar(100) = CONVERT(nvarchar(100), "
                           "@v, %d); DECLARE @x sql_variant = @v; SELECT CASE WHEN CONVERT(%s, @t, "
                           "%d) = @v AND CAST(@x AS %s) = @v THEN 'same' ELSE @t END",
                           TYPES[i].type, end == 0 ? TYPES[i].least : TYPES[i].greatest,
                           TYPES[i].style, TYPES[i].type, TYPES[i].style, TYPES[i].type);
            expect(s, text, "same\n");
        }
    session_close(&s);
}
END_TEST

/* The ends and NULL through a table, and through its change table. */
START_TEST(stored_and_captured)
{
    struct session *s = open_database();
    char text[800];
    char want[400];

    ok(s, "EXEC sys.sp_cdc_enable_db");
    for (size_t i = 0; i < N_TYPES; i++) {
        (void)snprintf(text, sizeof text,
                       "CREATE TABLE t%zu (id int NOT NULL PRIMARY KEY, v %s NULL); EXEC "
                       "sys.sp_cdc_enable_table 'dbo', 't%zu', @role_name = NULL; INSERT INTO t%zu "
                       "VALUES (1, CAST(%s AS %s)); INSERT INTO t%zu SELECT 2, CAST(%s AS %s); "
                       "INSERT INTO t%zu(id) VALUES (3)",
                       i, TYPES[i].type, i, i, TYPES[i].least, TYPES[i].type, i, TYPES[i].greatest,
                       TYPES[i].type, i);
        ok(s, text);
        (void)snprintf(want, sizeof want, "1|%s\n2|%s\n3|NULL\n", TYPES[i].seen_least,
                       TYPES[i].seen_greatest);
        (void)snprintf(text, sizeof text, "SELECT id, v FROM t%zu ORDER BY id", i);
        expect(s, text, want);
        (void)snprintf(text, sizeof text, "SELECT id, v FROM cdc.dbo_t%zu_CT ORDER BY id", i);
        expect(s, text, want);
        (void)snprintf(text, sizeof text, "SELECT COUNT(*) FROM t%zu WHERE v = CAST(%s AS %s)", i,
                       TYPES[i].greatest, TYPES[i].type);
        expect(s, text, "1\n");
    }
    session_close(&s);
}
END_TEST

START_TEST(long_types)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, a varchar(max), b nvarchar(max), c "
          "varbinary(max), d text, e ntext, f image, g xml, h rowversion, i sql_variant)");
    ok(s, "INSERT INTO t(id, a, b, c, d, e, f, g, i) VALUES (1, REPLICATE(CAST('x' AS "
          "varchar(max)), 100000), REPLICATE(CAST(N'\xC3\xA4' AS nvarchar(max)), 50000), "
          "CAST(REPLICATE(CAST('y' AS varchar(max)), 70000) AS varbinary(max)), 'text', N'n', "
          "0x0102, '<a>1</a>', CAST('2024-01-01' AS date))");
    ok(s, "INSERT INTO t(id) VALUES (2)");
    expect(s,
           "SELECT DATALENGTH(a), DATALENGTH(b), DATALENGTH(c), d, e, f, g, DATALENGTH(h), i "
           "FROM t WHERE id = 1",
           "100000|100000|70000|text|n|0x0102|<a>1</a>|8|738885/0/0\n");
    expect(s, "SELECT a, b, c, d, e, f, g, DATALENGTH(h), i FROM t WHERE id = 2",
           "NULL|NULL|NULL|NULL|NULL|NULL|NULL|8|NULL\n");
    expect(s, "SELECT SQL_VARIANT_PROPERTY(i, 'BaseType') FROM t WHERE id = 1", "date\n");
    expect(s,
           "SELECT CASE WHEN a.h < b.h THEN 1 ELSE 0 END FROM t a JOIN t b ON a.id = 1 AND "
           "b.id = 2",
           "1\n");
    refused(s, "INSERT INTO t(id, h) VALUES (3, 0x01)", 273);
    session_close(&s);
}
END_TEST

static const struct {
    const char *expression;
    int number;
} REFUSED[] = {
    /* one past the end, from a number */
    {"CAST(256 AS tinyint)", 220},
    {"CAST(3E9 AS tinyint)", 232},
    {"CAST(-1 AS tinyint)", 220},
    {"CAST(32768 AS smallint)", 220},
    {"CAST(CAST(2147483648 AS bigint) AS int)", 8115},
    {"CAST(2147483648 AS int)", 8115},
    {"CAST(9223372036854775808 AS bigint)", 8115},
    {"CAST(1000 AS decimal(5,2))", 8115},
    {"CAST(CAST(1 AS decimal(38,0)) * 9 AS decimal(38,38))", 8115},
    {"CAST(214748.3648 AS smallmoney)", 8115},
    {"CAST(922337203685477.5808 AS money)", 8115},
    {"CAST(1E39 AS real)", 232},
    {"CAST(1E30 AS int)", 232},
    {"CAST(1E30 AS bigint)", 8115},
    {"2147483647 + 1", 8115},
    {"CAST(9223372036854775807 AS bigint) + 1", 8115},
    {"CAST(255 AS tinyint) + CAST(1 AS tinyint)", 8115},
    {"1 / 0", 8134},
    {"1 % 0", 8134},
    {"1.0 / 0", 8134},
    /* from text */
    {"CAST('x' AS bit)", 245},
    {"CAST('x' AS tinyint)", 245},
    {"CAST('x' AS smallint)", 245},
    {"CAST('1.5' AS int)", 245},
    {"CAST('x' AS bigint)", 8114},
    {"CAST('300' AS tinyint)", 244},
    {"CAST('40000' AS smallint)", 244},
    {"CAST('3000000000' AS int)", 248},
    {"CAST('9223372036854775808' AS bigint)", 8115},
    {"CAST('x' AS decimal(5,2))", 8114},
    {"CAST('1000' AS decimal(5,2))", 8115},
    {"CAST('x' AS float)", 8114},
    {"CAST('x' AS real)", 8114},
    {"CAST('x' AS money)", 235},
    {"CAST('x' AS smallmoney)", 293},
    {"CAST('2023-02-29' AS date)", 241},
    {"CAST('x' AS datetime2(7))", 241},
    {"CAST('x' AS datetime)", 241},
    {"CAST('25:00' AS time)", 241},
    {"CAST('2024-01-01 00:00 +15:00' AS datetimeoffset)", 241},
    {"CAST('1752-12-31' AS datetime)", 242},
    {"CAST('2079-06-07' AS smalldatetime)", 242},
    {"CAST(CAST('1752-12-31' AS date) AS datetime)", 242},
    {"CAST('6F9619FF' AS uniqueidentifier)", 8169},
    {"CONVERT(varbinary(4), '0xZZ', 1)", 8114},
    {"CONVERT(varbinary(4), '0x123', 1)", 8114},
    /* into text that is too short */
    {"CAST(123456 AS nvarchar(3))", 8115},
    {"CAST(1234.5 AS varchar(3))", 8115},
    {"CAST(CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier) AS varchar(10))", 8170},
    /* not convertible at all */
    {"CAST(CAST(1 AS int) AS date)", 529},
    {"CAST(CAST('2024-01-01' AS date) AS int)", 529},
    {"CAST(CAST(1 AS int) AS uniqueidentifier)", 529},
};

START_TEST(refused_conversions)
{
    struct session *s = open_database();
    char text[300];

    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        (void)snprintf(text, sizeof text, "SELECT %s", REFUSED[i].expression);
        refused(s, text, REFUSED[i].number);
    }
    session_close(&s);
}
END_TEST

/* Conversions that lose something, but are allowed. */
START_TEST(lossy_conversions)
{
    struct session *s = open_database();
    static const char *const CASES[][2] = {
        {"SELECT CAST(-1.9 AS int), CAST(2.5E0 AS int), CAST(1.5 AS bit)", "-1|2|1\n"},
        {"SELECT CAST('true' AS bit), CAST('FALSE' AS bit), CAST(' 7 ' AS int)", "1|0|7\n"},
        {"SELECT CAST(1.005 AS money), CAST($1.23456 AS smallmoney)", "10050|12346\n"},
        {"SELECT $1.5, -$2, x FROM (VALUES (-$3)) AS v(x)", "15000|-20000|-30000\n"},
        {"SELECT CAST(-2.345 AS decimal(5,2)), CAST(1E2 AS decimal(5,1))", "-2.35|100.0\n"},
        {"SELECT CAST('abcdef' AS varchar(3)), CAST(0x010203 AS varbinary(2))", "abc|0x0102\n"},
        {"SELECT CAST(N'\xE2\x82\xAC\xE6\xBC\xA2' AS varchar(10))", "\xE2\x82\xAC?\n"},
        {"SELECT CAST(123456 AS varchar(3)), CAST(1234567 AS char(2))", "*|* \n"},
        {"SELECT CAST('12:00:29.9' AS smalldatetime), CAST('2024-01-01 12:00:30' AS smalldatetime)",
         "693595/432000000000/0|738885/432600000000/0\n"},
        {"SELECT CAST('23:59:59.99999999' AS time(7))", "0/0/0\n"},
        {"SELECT CAST('2024-01-01T00:00:00.9999999' AS datetime2(3))", "738885/10000000/0\n"},
        {"SELECT CAST(CAST('2024-01-01 23:30 -01:00' AS datetimeoffset(0)) AS datetime2(0))",
         "738885/846000000000/0\n"},
        {"SELECT CAST(CAST('2024-06-01 12:34:56' AS datetime) AS time(0)), CAST(CAST('2024-06-01 "
         "12:34:56' AS datetime) AS date)",
         "0/452960000000/0|739037/0/0\n"},
        {"SELECT CAST(258 AS varbinary(8)), CAST(CAST(2 AS smallint) AS varbinary(8))",
         "0x00000102|0x0002\n"},
        {"SELECT CAST(CAST(258 AS int) AS varbinary(4)), CAST(0x0102 AS int)", "0x00000102|258\n"},
        {"SELECT CAST(CAST(-1 AS bigint) AS binary(8)), CAST(CAST(1 AS money) AS varbinary(8))",
         "0xFFFFFFFFFFFFFFFF|0x0000000000002710\n"},
        {"SELECT CONVERT(varchar(20), 0x0AFF, 1), CONVERT(varchar(20), 0x0AFF, 2)",
         "0x0AFF|0AFF\n"},
        {"SELECT CONVERT(varchar(30), CAST(1234.5 AS money), 1), CAST(1E15 AS varchar(30))",
         "1,234.50|1e+015\n"},
        {"SELECT TRY_CAST('x' AS int), TRY_CONVERT(date, '2023-02-29'), TRY_CAST(256 AS tinyint)",
         "NULL|NULL|NULL\n"},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        expect(s, CASES[i][0], CASES[i][1]);
    session_close(&s);
}
END_TEST

/* A value that does not fit its column stays out; one that fits exactly goes in. */
/* Bytes as documented; order of the bytes is order of the tree. */
START_TEST(paths)
{
    struct session *s = open_database();

    expect(s,
           "SELECT CONVERT(hierarchyid, '/1/'), CONVERT(hierarchyid, N'/1/1/'), "
           "CONVERT(hierarchyid, '/'), CONVERT(hierarchyid, '/1.1/')",
           "0x58|0x5AC0|0x|0x62C0\n");
    ok(s, "CREATE TABLE h (p hierarchyid NOT NULL PRIMARY KEY, n int)");
    ok(s, "INSERT INTO h VALUES ('/2/', 4), ('/1/', 1), ('/1.5/', 3), ('/1/9/', 2), ('/-1/', 0)");
    expect(s, "SELECT n FROM h ORDER BY p", "0\n1\n2\n3\n4\n");
    expect(s, "SELECT n FROM h WHERE p > CONVERT(hierarchyid, N'/1/') ORDER BY p", "2\n3\n4\n");
    refused(s, "SELECT CONVERT(hierarchyid, '1/')", 6522);
    refused(s, "SELECT CONVERT(hierarchyid, '/1')", 6522);
    refused(s, "SELECT CONVERT(hierarchyid, '/1//')", 6522);
    refused(s, "SELECT CONVERT(hierarchyid, '/281479271683152/')", 6522);
    expect(s,
           "SELECT CONVERT(nvarchar(max), CONVERT(xml, NCHAR(65279) + N'<?xml "
           "version=\"1.0\"?><a/>'))",
           "<a/>\n");
    session_close(&s);
}
END_TEST

START_TEST(columns_refuse)
{
    struct session *s = open_database();

    ok(s, "CREATE TABLE t (a varchar(3), b varbinary(2), c tinyint, d decimal(4,1), e char(2) NOT "
          "NULL DEFAULT 'z', f nvarchar(2))");
    refused(s, "INSERT INTO t(a) VALUES ('abcd')", 2628);
    refused(s, "INSERT INTO t(b) VALUES (0x010203)", 2628);
    refused(s, "INSERT INTO t(c) VALUES (256)", 220);
    refused(s, "INSERT INTO t(d) VALUES (1000)", 8115);
    refused(s, "INSERT INTO t(e) VALUES (NULL)", 515);
    refused(s, "INSERT INTO t(f) VALUES (N'\xF0\x9F\x98\x80x')", 2628);
    expect(s, "SELECT COUNT(*) FROM t", "0\n");
    ok(s, "INSERT INTO t(a, b, c, d, f) VALUES ('abc', 0x0102, 255, 999.94, N'\xF0\x9F\x98\x80')");
    ok(s, "INSERT INTO t(a) VALUES ('abc   ')"); /* blanks behind the end are dropped */
    expect(s, "SELECT a, b, c, d, e, f FROM t",
           "abc|0x0102|255|999.9|z |\xF0\x9F\x98\x80\nabc|NULL|NULL|NULL|z |NULL\n");
    session_close(&s);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("mssqld_types");
    TCase *t = tcase_create("types");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 40);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, ends_of_the_range);
    tcase_add_test(t, text_and_back);
    tcase_add_test(t, stored_and_captured);
    tcase_add_test(t, long_types);
    tcase_add_test(t, refused_conversions);
    tcase_add_test(t, lossy_conversions);
    tcase_add_test(t, paths);
    tcase_add_test(t, columns_refuse);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
