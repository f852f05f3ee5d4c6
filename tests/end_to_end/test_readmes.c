/* What the READMEs say is there: the files and headings that they link to, the commands with their options, make's
 * targets; the front page is short, and its table is the committed one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/text/escape.h"
#include "kernels/base/file.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

#define FRONT_PAGE_CHARACTERS 9000

static struct fs_error error;
static glob_t readmes;

static char *contents(const char *path)
{
    char *text = NULL;
    size_t size = 0;

    if (fs_file_read(path, 1 << 20, &text, &size, &error) != FS_OK) {
        fail_msg("%s", error.text);
    }
    return text;
}

static int setup(void **state)
{
    (void)state;
    return glob("*.md", 0, NULL, &readmes) || glob("*/README.md", GLOB_APPEND, NULL, &readmes) ||
           glob("*/*/README.md", GLOB_APPEND, NULL, &readmes);
}

static int teardown(void **state)
{
    (void)state;
    globfree(&readmes);
    return 0;
}

static void test_front_page_is_short(void **state)
{
    char *text = contents("README.md");

    (void)state;
    assert_in_range(fs_utf8_characters(text), 1000, FRONT_PAGE_CHARACTERS);
    free(text);
}

/* A heading's anchor as GitHub and GitLab make it: small letters, digits and hyphens; a space is a hyphen. */
static void anchor_of(const char *heading, char *anchor, size_t size)
{
    size_t used = 0;

    for (; *heading && *heading != '\n' && used + 1 < size; heading++) {
        if (isalnum((unsigned char)*heading) || *heading == '-' || *heading == '_' || *heading == ' ') {
            anchor[used++] = *heading == ' ' ? '-' : (char)tolower((unsigned char)*heading);
        }
    }
    anchor[used] = '\0';
}

static void check_anchor(const char *from, const char *path, const char *anchor)
{
    char *text = contents(path), made[256];
    bool found = false;

    for (const char *at = text; (at = strstr(at, "\n#")); at++) {
        anchor_of(at + 1 + strspn(at + 1, "# "), made, sizeof(made));
        found = found || strcmp(made, anchor) == 0;
    }
    free(text);
    if (!found) {
        fail_msg("%s: %s has no heading #%s", from, path, anchor);
    }
}

static void check_link(const char *from, const char *target, size_t length)
{
    char link[512], path[1100];
    const char *folder = strrchr(from, '/');

    snprintf(link, sizeof(link), "%.*s", (int)length, target);
    if (strstr(link, "://")) {
        return;
    }
    char *anchor = strchr(link, '#');
    if (anchor) {
        *anchor++ = '\0';
    }
    snprintf(path, sizeof(path), "%.*s%s", folder ? (int)(folder - from + 1) : 0, from, link);
    if (access(*link ? path : from, F_OK) != 0) {
        fail_msg("%s: the link %s leads nowhere", from, link);
    }
    if (anchor) {
        check_anchor(from, *link ? path : from, anchor);
    }
}

static void test_links(void **state)
{
    int count = 0;

    (void)state;
    for (size_t i = 0; i < readmes.gl_pathc; i++) {
        char *text = contents(readmes.gl_pathv[i]);
        for (const char *at = text; (at = strstr(at, "](")); count++) {
            at += 2;
            check_link(readmes.gl_pathv[i], at, strcspn(at, ")"));
        }
        free(text);
    }
    assert_in_range(count, 60, 10000);
}

/* The help of a command, made once; "" where there is no such command. */
static const char *help_of(const char *command)
{
    static struct {
        char command[32], text[8192];
    } known[40];
    int i = 0;

    while (known[i].command[0] && strcmp(known[i].command, command) != 0) {
        assert_in_range(++i, 0, 39);
    }
    if (!known[i].command[0]) {
        snprintf(known[i].command, sizeof(known[i].command), "%s", command);
        if (test_shell(known[i].text, sizeof(known[i].text), "%s %s --help", test_program(), command) != 0) {
            known[i].text[0] = '\0';
        }
    }
    return known[i].text;
}

static size_t word_length(const char *text)
{
    size_t length = 0;

    while (islower((unsigned char)text[length]) || text[length] == '-') {
        length++;
    }
    return length;
}

/* `at` is behind "fewstep "; the command ends with its code span or line, or where a shell begins another. */
static bool check_command(const char *from, const char *at)
{
    char command[32], option[64];
    const size_t end = strcspn(at, "`\n;|&>");

    if (!islower((unsigned char)*at) || word_length(at) >= sizeof(command) || at[word_length(at)] == '/') {
        return false;
    }
    snprintf(command, sizeof(command), "%.*s", (int)word_length(at), at);
    const char *help = help_of(command);
    if (!*help) {
        fail_msg("%s: there is no command fewstep %s", from, command);
    }
    for (const char *word = at; (word = strstr(word, " --")) && word < at + end; word++) {
        snprintf(option, sizeof(option), "  %.*s ", (int)word_length(word + 1), word + 1);
        if (strcmp(option, "  --help ") != 0 && !strstr(help, option)) {
            fail_msg("%s: fewstep %s has no option%s", from, command, option + 1);
        }
    }
    return true;
}

/* In a code span or a code block: behind a backtick, a path or a line's beginning, not in a sentence. */
static bool in_code(const char *text, const char *at)
{
    return at > text && strchr("`/\n'", at[-1]) && (at[-1] != '\n' || at[-2] == '\n' || at[-2] == 'h');
}

static void test_commands(void **state)
{
    int count = 0;

    (void)state;
    for (size_t i = 0; i < readmes.gl_pathc; i++) {
        char *text = contents(readmes.gl_pathv[i]);
        for (const char *at = text; (at = strstr(at, "fewstep ")); at++) {
            count += in_code(text, at) && check_command(readmes.gl_pathv[i], at + strlen("fewstep "));
        }
        free(text);
    }
    assert_in_range(count, 60, 10000);
}

static void test_targets_of_make(void **state)
{
    char *makefile = contents("Makefile"), rule[80], list[80];
    int count = 0;

    (void)state;
    for (size_t i = 0; i < readmes.gl_pathc; i++) {
        char *text = contents(readmes.gl_pathv[i]);
        for (const char *at = text; (at = strstr(at, "make ")); at++) {
            const int length = (int)word_length(at + 5);
            if (at == text || !strchr("`\n", at[-1]) || !length || at[5 + length] == '/') {
                continue; /* a sentence, a file, or nothing */
            }
            snprintf(rule, sizeof(rule), "\n%.*s:", length, at + 5);
            snprintf(list, sizeof(list), "\n%.*s ", length, at + 5);
            if (!strstr(makefile, rule) && !strstr(makefile, list)) {
                fail_msg("%s: make has no target %s", readmes.gl_pathv[i], rule + 1);
            }
            count++;
        }
        free(text);
    }
    free(makefile);
    assert_in_range(count, 15, 10000);
}

/* Between its two marks a README has the first table of the file that the mark names, which `make results` puts there.
 */
static void test_tables_are_those_of_the_results(void **state)
{
    static const char mark[] = "<!-- table of ";
    char *text = contents("README.md"), path[128];
    const char *at = strstr(text, mark);

    (void)state;
    assert_non_null(at);
    at += strlen(mark);
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, ":"), at);
    at = strchr(at, '\n') + 1;
    const char *end = strstr(at, "<!-- end of table -->");
    assert_non_null(end);
    char *table = contents(path);
    const char *first = strstr(table, "\n|");
    assert_non_null(first);
    if (end - at < 100 || strncmp(first + 1, at, (size_t)(end - at)) != 0 || first[1 + (end - at)] != '\n') {
        fail_msg("README.md: its table is not the first of %s: make results", path);
    }
    free(table);
    free(text);
}

/* The program says the version of the newest heading in CHANGELOG.md. */
static void test_version_is_the_newest_of_the_changes(void **state)
{
    char *text = contents("CHANGELOG.md"), said[256], expected[64];
    const char *heading = strstr(text, "\n## ");

    (void)state;
    assert_non_null(heading);
    snprintf(expected, sizeof(expected), "fewstep %.*s, commit ", (int)strcspn(heading + 4, ",\n"), heading + 4);
    assert_int_equal(test_shell(said, sizeof(said), "%s --version", test_program()), 0);
    said[strlen(expected) < strlen(said) ? strlen(expected) : 0] = '\0';
    assert_string_equal(said, expected);
    free(text);
}

/* What the sources read from the environment is in the man page, and nothing else of ours is. */
static void test_environment(void **state)
{
    (void)state;
    char said[4096];

    assert_int_equal(
        test_shell(said, sizeof(said),
                   "sources=$(grep -rhoE 'FEWSTEP_[A-Z0-9_]+' harness kernels methods metrics --include='*.[ch]' "
                   "--include='*.cu' --exclude=help.c | grep -vE '_(H|CUH)$' | sort -u); "
                   "page=$(%s --help=man | sed -n 's/^[.]B \\(FEWSTEP_[A-Z0-9_]*\\)$/\\1/p' | sort -u); "
                   "test -n \"$sources\" && test \"$sources\" = \"$page\" || { echo \"$sources\"; echo; echo "
                   "\"$page\"; false; }",
                   test_program()),
        0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_front_page_is_short),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_targets_of_make),
        cmocka_unit_test(test_tables_are_those_of_the_results),
        cmocka_unit_test(test_version_is_the_newest_of_the_changes),
    };

    (void)argc;
    test_program_find(argv[0]);
    return cmocka_run_group_tests(tests, setup, teardown);
}
