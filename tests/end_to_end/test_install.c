/* What `make install` leaves works from any folder: it finds experiments, weights and published numbers of its own; the
 * man page and the completion are made from its options; `make uninstall` leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/npy.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"
#include "tests/support/shell.h"

static char root[512], prefix[600], text[65536];

/* A shell command in an empty folder that is no source tree, `fewstep` being the installed one. */
static int elsewhere(const char *command)
{
    return test_shell(text, sizeof(text), "mkdir -p %s/elsewhere && cd %s/elsewhere && PATH='%s'/bin:$PATH && %s",
                      test_folder(), test_folder(), prefix, command);
}

static void must(const char *command)
{
    if (elsewhere(command) != 0) {
        fail_msg("%s:\n%s", command, text);
    }
}

static void said(const char *piece)
{
    if (!strstr(text, piece)) {
        fail_msg("no '%s' in:\n%s", piece, text);
    }
}

static int setup(void **state)
{
    (void)state;
    unsetenv("FEWSTEP_DATA");
    if (!getcwd(root, sizeof(root))) {
        return 1;
    }
    snprintf(prefix, sizeof(prefix), "%s/stage/opt/few step", test_folder()); /* a space, as packagers have them */
    return test_shell(text, sizeof(text), "sh harness/install.sh install '%s' '/opt/few step' %s/stage", test_program(),
                      test_folder());
}

static void test_experiments(void **state)
{
    static const char *const names[] = {"demo", "demo.yaml", "experiments/demo.yaml"};
    char command[256];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(command, sizeof(command), "fewstep run %s --dry-run --only method=shortcut", names[i]);
        must(command);
        said("1400");
    }
    must("printf 'experiment: mine\\nmethod: flow-matching\\ntrain: {updates: 7}\\ndataset: {name: fashion-mnist}\\n"
         "model: {preset: dit-xs/7}\\n' > demo && fewstep run demo --dry-run && rm demo"); /* one that is here comes
                                                                                              first */
    assert_null(strstr(text, "1400"));
    assert_int_equal(elsewhere("fewstep run nothing --dry-run"), 2);
    said("nothing: ");
}

/* Pictures brought through the extractor that was installed. */
static void test_weights(void **state)
{
    static uint8_t pixels[40 * 28 * 28];
    const struct fs_array pictures = {.type = FS_ARRAY_U8, .rank = 4, .shape = {40, 28, 28, 1}, .data = pixels};
    char command[600];
    struct fs_error error;

    (void)state;
    for (int i = 0; i < (int)sizeof(pixels); i++) {
        pixels[i] = (uint8_t)(i * 7919 % 251);
    }
    assert_int_equal(fs_npy_write(test_path("pictures.npy"), &pictures, &error), FS_OK);
    snprintf(command, sizeof(command), "fewstep fid %s %s --extractor fashion-cnn", test_path("pictures.npy"),
             test_path("pictures.npy"));
    must(command);
    must("fewstep doctor");
    said("share/fewstep/metrics/fashion-cnn.safetensors");
}

static void test_published_numbers(void **state)
{
    (void)state;
    must("fewstep table --published celebahq256");
    said("Shortcut model");
}

static void test_man_page(void **state)
{
    (void)state;
    must("cat \"$(dirname \"$(command -v fewstep)\")/../share/man/man1/fewstep.1\"");
    said(".SS regress\n");
    said("\\fB\\-\\-minimal\\fR \\fISHARE\\fR\n");
    said(".SH EXIT STATUS\n");
    for (const char *at = text; (at = strstr(at, "\n'")); at++) {
        fail_msg("a line of the man page is taken for a command: %.40s", at + 1);
    }
    if (test_shell(text, sizeof(text), "command -v groff") != 0) {
        return; /* what follows asks groff whether it is sound */
    }
    must("groff -K utf8 -man -Tutf8 -ww -z \"$(dirname \"$(command -v fewstep)\")/../share/man/man1/fewstep.1\"");
    assert_string_equal(text, "");
}

/* What bash offers for a line of words; the last one is begun. */
static void completes(const char *words, int count, const char *previous, const char *current, const char *expected)
{
    char command[1024];

    snprintf(command, sizeof(command),
             "bash -c '. \"$(dirname \"$(command -v fewstep)\")/../share/bash-completion/completions/fewstep\"; "
             "COMP_WORDS=(%s); COMP_CWORD=%d; _fewstep fewstep \"%s\" \"%s\"; echo ${COMPREPLY[@]}'",
             words, count - 1, current, previous);
    must(command);
    text[strcspn(text, "\n")] = '\0';
    assert_string_equal(text, expected);
}

static void test_completion(void **state)
{
    (void)state;
    completes("fewstep re", 2, "fewstep", "re", "report regress reproduce");
    completes("fewstep regress --b", 3, "regress", "--b", "--base --bisect");
    completes("fewstep eval x --weights ''", 5, "--weights", "", "ema raw");
    completes("fewstep table --format m", 4, "--format", "m", "markdown");
    completes("fewstep run --db o", 4, "--db", "o", ""); /* files, by bash itself */
}

static void test_uninstall(void **state)
{
    (void)state;
    assert_int_equal(test_shell(text, sizeof(text), "sh harness/install.sh uninstall '%s' '/opt/few step' %s/stage",
                                test_program(), test_folder()),
                     0);
    assert_int_equal(test_shell(text, sizeof(text), "find %s/stage ! -type d", test_folder()), 0);
    assert_string_equal(text, "");
    assert_int_equal(test_shell(text, sizeof(text), "sh harness/install.sh install '%s' relative", test_program()), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_experiments), cmocka_unit_test(test_weights),    cmocka_unit_test(test_published_numbers),
        cmocka_unit_test(test_man_page),    cmocka_unit_test(test_completion), cmocka_unit_test(test_uninstall),
    };

    (void)argc;
    test_program_find(argv[0]);
    return cmocka_run_group_tests(tests, setup, NULL);
}
