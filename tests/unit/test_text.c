/* Text made safe for where it goes, and the word that was probably meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/text/escape.h"
#include "harness/text/nearest.h"

#define R FS_REPLACEMENT

static void put(void (*function)(const char *text, FILE *stream), const char *text, const char *expected)
{
    char *out;
    size_t size;
    FILE *stream = open_memstream(&out, &size);

    function(text, stream);
    fclose(stream);
    assert_string_equal(out, expected);
    free(out);
}

static void test_plain(void **state)
{
    static const struct {
        const char *text, *plain;
    } cases[] = {
        {"", ""},
        {"Modèle – 1 × 4 ✓ 𝒙", "Modèle – 1 × 4 ✓ 𝒙"},
        {"a\x1b[31mb\x07", "a" R "[31mb" R},
        {"two\nlines\ttab\r", "two" R "lines" R "tab" R},
        {"\x7f\xc2\x9b"
         "31m\xc2\xa0",
         R R "31m\xc2\xa0"},
        {"\xe2\x80\xaeright\xe2\x80\xac\xe2\x81\xa9\xe2\x80\x8f\xd8\x9c", R "right" R R R R},
        {"bad \xff\xc3( \xed\xa0\x80\xf5", "bad " R R "( " R R R R},
        {"cut \xe2\x80", "cut " R R},
    };
    char out[128];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(fs_plain_text(cases[i].text, out, sizeof out), cases[i].plain);
        put(fs_put_plain, cases[i].text, cases[i].plain);
    }
    assert_string_equal(fs_plain_text("ab✓", out, 5), "ab");
    assert_string_equal(fs_plain_text("ab✓", out, 6), "ab✓");
}

/* A stream says the same however its text is cut, but for newlines and tabs, which stay. */
static void test_stream(void **state)
{
    static const char text[] = "t\tx\n\x1b[0m é✓𝒙\xc2\x9b\xe2\x80\xae\xe2\x80\xac\xff\x00z\xe2\x80";
    static const char plain[] = "t\tx\n" R "[0m é✓𝒙" R R R R R "z" R R;

    (void)state;
    for (size_t piece = 1; piece < sizeof text; piece++) {
        char *out;
        size_t size;
        struct fs_plain_filter filter;
        FILE *to = open_memstream(&out, &size), *stream = fs_plain_stream(to, &filter);
        setvbuf(stream, NULL, _IONBF, 0);
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            const size_t left = sizeof text - 1 - at;
            fwrite(text + at, 1, left < piece ? left : piece, stream);
        }
        assert_int_equal(fclose(stream), 0);
        fclose(to);
        assert_string_equal(out, plain);
        free(out);
    }
}

static void test_characters(void **state)
{
    (void)state;
    assert_int_equal(fs_utf8_characters(""), 0);
    assert_int_equal(fs_utf8_characters("Flow"), 4);
    assert_int_equal(fs_utf8_characters("α-Flow 28×28 x̂"), 14 + 1); /* a combining mark is a character */
}

/* What a full disk says arrives at the one who writes. */
static void test_stream_fails(void **state)
{
    (void)state;
    struct fs_plain_filter filter;
    FILE *full = fopen("/dev/full", "w"), *stream = fs_plain_stream(full, &filter);

    fputs("text", stream);
    assert_int_not_equal(fflush(stream), 0);
    fclose(stream);
    fclose(full);
}

static void test_formats(void **state)
{
    (void)state;
    put(fs_put_csv, "plain é", "plain é");
    put(fs_put_csv, "a,b", "\"a,b\"");
    put(fs_put_csv, "say \"x\"\nand", "\"say \"\"x\"\"\nand\"");
    put(fs_put_csv, "=1+1", "'=1+1");
    put(fs_put_csv, "=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
    put(fs_put_csv, "@x", "'@x");
    put(fs_put_csv, "+x", "'+x");
    put(fs_put_csv, "-x", "'-x");
    put(fs_put_csv, "\t=x", "'" R "=x");
    put(fs_put_csv, "-1.5e-3", "-1.5e-3"); /* a number is a number */
    put(fs_put_csv, "a=\x1b[1m", "a=" R "[1m");
    put(fs_put_markdown, "**a** | <b> `c`\n[d](e) \\", "**a** \\| \\<b> \\`c\\`" R "\\[d](e) \\\\");
    put(fs_put_latex_label, "a}b\\c d_é", "a-b-c-d---");
    put(fs_put_latex_label, "max-step.1:4", "max-step.1:4");
}

/* A word that a shell reads as it is. */
static void test_shell_words(void **state)
{
    static const char *const words[] = {
        "a", "train.batch=64", "", "a b", "it's", "$HOME `id` \"x\" \\ !", "é\n", "*", "~/x", "#", "a=[1, 2]"};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char command[256], read[256];
        FILE *stream = fmemopen(command, sizeof command, "w");
        fputs("printf %s ", stream);
        fs_put_shell(words[i], stream);
        fputc(0, stream);
        fclose(stream);
        FILE *pipe = popen(command, "r");
        read[fread(read, 1, sizeof read - 1, pipe)] = 0;
        assert_int_equal(pclose(pipe), 0);
        assert_string_equal(read, words[i]);
    }
    put(fs_put_shell, "train.batch=64", "train.batch=64");
}

static void test_file_names(void **state)
{
    static const char *const good[] = {"demo", "a.b", "1-x_y"}, *const bad[] = {"",   ".",   "..", "../x", "a/b", "-o",
                                                                                "_a", "a b", "é",  "a\n",  "~"};
    char out[32];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(fs_is_file_name(good[i]));
        assert_string_equal(fs_file_name(good[i], out, sizeof out), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(fs_is_file_name(bad[i]));
        fs_file_name(bad[i], out, sizeof out);
        assert_true(out[0] && out[0] != '.' && out[0] != '-' && !strchr(out, '/'));
    }
    assert_string_equal(fs_file_name("../../etc/x", out, sizeof out), "_._.._etc_x");
}

static void test_distance(void **state)
{
    static const struct {
        const char *a, *b;
        int distance;
    } cases[] = {{"", "", 0},
                 {"", "abc", 3},
                 {"table", "tabel", 1},
                 {"batch", "bacth", 1},
                 {"kitten", "sitting", 3},
                 {"ca", "abc", 3},
                 {"--dryrun", "--dry-run", 1},
                 {"same", "same", 0}};
    char longest[FS_WORD_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(fs_edit_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(fs_edit_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
    memset(longest, 'x', sizeof longest);
    longest[FS_WORD_MAX] = 0;
    assert_int_equal(fs_edit_distance(longest, ""), FS_WORD_MAX);
    longest[FS_WORD_MAX] = 'x';
    longest[FS_WORD_MAX + 1] = 0;
    assert_int_equal(fs_edit_distance(longest, "x"), INT_MAX);
}

static void test_nearest(void **state)
{
    static const char *const names[] = {"run", "runs", "table", "fid", "gc", "regress"};
    static const struct {
        const char *word, *name;
    } cases[] = {{"tabel", "table"}, {"tabl", "table"}, {"rnu", "run"}, {"regres", "regress"},
                 {"x", NULL},        {"zebra", NULL},   {"fd", NULL},   {"", NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fs_nearest nearest = {.word = cases[i].word};
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            fs_nearest_try(&nearest, names[k]);
        }
        if (cases[i].name) {
            assert_non_null(nearest.name);
            assert_string_equal(nearest.name, cases[i].name);
        } else {
            assert_null(nearest.name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),   cmocka_unit_test(test_plain),    cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_fails), cmocka_unit_test(test_formats),  cmocka_unit_test(test_file_names),
        cmocka_unit_test(test_shell_words),  cmocka_unit_test(test_distance), cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
