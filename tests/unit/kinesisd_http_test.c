/* uses: kinesisd */
/* http: heads and chunked bodies that arrive in pieces, and heads that must be refused. */
#include "tests/kinesisd/http.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define HEAD                                                                                       \
    "POST /a?b=c HTTP/1.1\r\nHost: x:1\r\nX-Amz-Target:\t T.Op \r\nContent-Length: 5\r\n"          \
    "Expect: 100-Continue\r\n\r\n"

static struct http_head head;

static bool
has(const char *text, struct http_span s, const char *want)
{
    return s.len == strlen(want) && memcmp(text + s.at, want, s.len) == 0;
}

START_TEST(whole_head)
{
    const struct http_header *h;

    ck_assert_int_eq(http_parse_head(HEAD "hello", sizeof(HEAD) + 4, &head), HTTP_READY);
    ck_assert_uint_eq(head.size, sizeof(HEAD) - 1);
    ck_assert(has(HEAD, head.method, "POST") && has(HEAD, head.path, "/a"));
    ck_assert(has(HEAD, head.query, "b=c"));
    ck_assert_uint_eq(head.content_length, 5);
    ck_assert(head.keeps_alive && head.wants_continue && !head.is_chunked);
    h = http_find(&head, HEAD, "x-amz-target");
    ck_assert(h != NULL && has(HEAD, h->value, "T.Op"));
    ck_assert_ptr_null(http_find(&head, HEAD, "x-amz"));
}
END_TEST

START_TEST(head_in_pieces)
{
    for (size_t len = 0; len < sizeof(HEAD) - 1; len++) {
        char *copy = malloc(len + 1);

        (void)memcpy(copy, HEAD, len);
        ck_assert_int_eq(http_parse_head(copy, len, &head), HTTP_MORE);
        free(copy);
    }
}
END_TEST

START_TEST(keep_alive)
{
    static const char one[] = "GET / HTTP/1.0\r\n\r\n";
    static const char two[] = "GET / HTTP/1.1\r\nConnection: Close\r\n\r\n";

    ck_assert_int_eq(http_parse_head(one, sizeof(one) - 1, &head), HTTP_READY);
    ck_assert(!head.keeps_alive);
    ck_assert_int_eq(http_parse_head(two, sizeof(two) - 1, &head), HTTP_READY);
    ck_assert(!head.keeps_alive);
}
END_TEST

START_TEST(refused_heads)
{
    static const char *const bad[] = {
        "GET /\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        " / HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\n: empty\r\n\r\n",
        "GET / HTTP/1.1\r\nA b: x\r\n\r\n",
        "GET / HTTP/1.1\r\nA: x\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(http_parse_head(bad[i], strlen(bad[i]), &head) == HTTP_BAD, "%s", bad[i]);
}
END_TEST

START_TEST(too_much_head)
{
    static char text[HTTP_HEAD_MAX + 64] = "GET / HTTP/1.1\r\nA: ";
    size_t at = strlen(text);
    char many[2048] = "GET / HTTP/1.1\r\n";

    (void)memset(text + at, 'x', sizeof(text) - at);
    ck_assert_int_eq(http_parse_head(text, sizeof(text), &head), HTTP_BAD);
    for (int i = 0; i <= HTTP_HEADERS_MAX; i++)
        (void)strncat(many, "a: b\r\n", sizeof(many) - strlen(many) - 1);
    (void)strncat(many, "\r\n", sizeof(many) - strlen(many) - 1);
    ck_assert_int_eq(http_parse_head(many, strlen(many), &head), HTTP_BAD);
}
END_TEST

#define CHUNKED "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nTrailer: x\r\n\r\nNEXT"

/* Arriving a byte at a time, at once, and split at every place: always the same body. */
START_TEST(chunks_in_pieces)
{
    for (size_t cut = 0; cut <= sizeof(CHUNKED) - 1; cut++) {
        char text[sizeof(CHUNKED)] = CHUNKED;
        struct http_dechunk d;
        enum http_result r;

        http_dechunk_init(&d, 0);
        r = http_dechunk(&d, text, cut);
        if (r != HTTP_READY)
            r = http_dechunk(&d, text, sizeof(CHUNKED) - 1);
        ck_assert_int_eq(r, HTTP_READY);
        ck_assert_uint_eq(d.out, 12);
        ck_assert_int_eq(memcmp(text, "hello, world", 12), 0);
        ck_assert_str_eq(text + d.raw, "NEXT");
    }
}
END_TEST

START_TEST(bad_chunks)
{
    static const char *const bad[] = {"x\r\n", "\r\n", "-1\r\n", "5\r\nhelloXX\r\n",
                                      "fffffffffffffffffff\r\n"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64] = {0};
        struct http_dechunk d;

        (void)memcpy(text, bad[i], strlen(bad[i]));
        http_dechunk_init(&d, 0);
        ck_assert_msg(http_dechunk(&d, text, strlen(text)) == HTTP_BAD, "%s", bad[i]);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("kinesisd http");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(all, whole_head);
    tcase_add_test(all, head_in_pieces);
    tcase_add_test(all, keep_alive);
    tcase_add_test(all, refused_heads);
    tcase_add_test(all, too_much_head);
    tcase_add_test(all, chunks_in_pieces);
    tcase_add_test(all, bad_chunks);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
