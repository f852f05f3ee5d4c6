/* A wrong file, option or configuration gets one clear line and exit status 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/folder.h"
#include "tests/support/mock_training.h"
#include "tests/support/program.h"

/* A message says once whose it is. */
static void test_messages_begin_once(void **state)
{
    (void)state;
    char text[4096];
    assert_int_equal(test_program_run("", "run", text, sizeof text), 2);
    assert_int_equal(strncmp(text, "fewstep run: needs EXPERIMENT.yaml", 34), 0);
    assert_int_equal(test_program_run("", "run nowhere.yaml", text, sizeof text), 2);
    assert_int_equal(strncmp(text, "fewstep: nowhere.yaml", 21), 0);
}

static void test_commands_and_options(void **state)
{
    (void)state;
    test_program_refuses(2, "frobnicate", "there is no command 'frobnicate'; there are: run, table");
    test_program_refuses(2, "run", "needs EXPERIMENT.yaml");
    test_program_refuses(2, "run a.yaml b.yaml", "one word too many: 'b.yaml'");
    test_program_refuses(2, "run experiments/demo.yaml --frob", "there is no option '--frob'");
    test_program_refuses(2, "tabel", "fewstep: there is no command 'tabel'; did you mean table?");
    test_program_refuses(2, "run experiments/demo.yaml --dryrun",
                         "there is no option '--dryrun'; did you mean --dry-run?");
    test_program_refuses(2, "run experiments/demo.yaml --dryrun=1", "did you mean --dry-run?");
    test_program_refuses(2, "run experiments/demo.yaml --set", "--set needs a value");
    test_program_refuses(2, "run experiments/demo.yaml --shard 3/2", "--shard: expected i/n");
    test_program_refuses(2, "sample 123456", "-o is missing");
    test_program_refuses(2, "sample 123456 --count x -o a.png", "--count: expected a whole number");
    test_program_refuses(2, "bench --batch -1", "expected a whole number");
}

static void test_experiments(void **state)
{
    (void)state;
    test_program_refuses(2, "run nowhere.yaml", "nowhere.yaml: cannot be read");
    test_program_refuses(2, "run build/fewstep", "build/fewstep");
    test_program_refuses(2, "run experiments/demo.yaml --set train.bach=3", "unknown key; did you mean train.batch?");
    test_program_refuses(2, "run experiments/demo.yaml --set train.bacth=3", "unknown key; did you mean train.batch?");
    test_program_refuses(2, "run experiments/demo.yaml --set train.batch=abc", "train.batch: expected a whole number");
    test_program_refuses(2, "run experiments/demo.yaml --set evaluate.steps=[3] --only method=shortcut",
                         "evaluate.steps");
    char methods[512];
    fs_mock_expected_methods(methods, sizeof methods);
    test_program_refuses(2, "run experiments/demo.yaml --set method=gan", methods);
    test_program_refuses(2, "run experiments/demo.yaml --set model.preset=dit-xs/5", "dit-xs/5");
    test_program_refuses(2, "run experiments/demo.yaml --set dataset.name=cifar", "fashion-mnist");
    test_program_refuses(2, "run experiments/demo.yaml --only method=gan", "method");
    test_program_refuses(2, "run experiments/demo.yaml --set experiment=../x --dry-run",
                         "'../x' is no name: use letters");
    test_program_refuses(2, "run experiments/demo.yaml --set experiment=-x --dry-run", "'-x' is no name: use letters");
}

static void test_files(void **state)
{
    (void)state;
    const char *folder = test_folder();
    char arguments[512];
    snprintf(arguments, sizeof arguments, "run experiments/demo.yaml --set dataset.path=%s --out %s/out", folder,
             folder);
    test_program_refuses(2, arguments, "apt install dataset-fashion-mnist");
    snprintf(arguments, sizeof arguments, "run experiments/demo.yaml --dry-run --set dataset.path=%s --out %s/out",
             folder, folder);
    test_program_refuses(2, arguments, "apt install dataset-fashion-mnist");
    snprintf(arguments, sizeof arguments, "run experiments/demo.yaml --out %s/junk/out", folder);
    test_program_refuses(2, arguments, "junk");
    snprintf(arguments, sizeof arguments, "table --db %s/junk", folder);
    test_program_refuses(2, arguments, "not an SQLite database");
    snprintf(arguments, sizeof arguments, "table --db %s/nowhere.db", folder);
    test_program_refuses(2, arguments, "nowhere.db");
    snprintf(arguments, sizeof arguments, "sample %s/junk.safetensors -o a.png", folder);
    test_program_refuses(2, arguments, "junk.safetensors");
    test_program_refuses(2, "sample nowhere.safetensors -o a.png", "nowhere.safetensors: cannot be read");
}

/* Whatever would have to be cut is refused by name, before anything is made: a folder of nearly PATH_MAX bytes, and one
 * that itself has room, but not what would lie in it. */
static void test_paths_without_room(void **state)
{
    (void)state;
    static const struct {
        int length;
        const char *format;
    } tries[] = {
        {PATH_MAX - 8, "run experiments/demo.yaml --quiet --out %s"},
        {PATH_MAX - 8, "run experiments/demo.yaml --dry-run --out %s"},
        {PATH_MAX - 8, "run experiments/demo.yaml --at HEAD --out %s"},
        {PATH_MAX - 8, "table --out %s"},
        {PATH_MAX - 8, "gc --out %s"},
        {PATH_MAX - 8, "report -o - --out %s"},
        {PATH_MAX - 8, "report -o - --db results/fewstep.db --samples %s"},
        {PATH_MAX - 8, "sample 0123 -o a.png --out %s"},
        {PATH_MAX - 8, "sample %s.safetensors -o a.png --db nowhere.db"},
        {PATH_MAX - 8, "export --format tensorboard -o %s --db results/fewstep.db"},
        {900, "run experiments/demo.yaml --quiet --out %s"},
        {1015, "export --format tensorboard -o %s --db results/fewstep.db"},
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        const int entries = test_folder_entries();
        char name[PATH_MAX], arguments[PATH_MAX + 128];
        for (int at = snprintf(name, sizeof name, "%s", test_folder()); at < tries[i].length; at++) {
            name[at] = at % 100 == 50 ? '/' : 'a';
            name[at + 1] = '\0';
        }
        snprintf(arguments, sizeof arguments, tries[i].format, name);
        test_program_refuses(2, arguments, "…: the path is too long: ");
        assert_int_equal(test_folder_entries(), entries);
    }
    char name[PATH_MAX], arguments[2 * PATH_MAX];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const int entries = test_folder_entries();
    snprintf(arguments, sizeof arguments, "run experiments/demo.yaml --quiet --out %s/made --db %.1100s", test_folder(),
             name);
    test_program_refuses(2, arguments, "…: the path is too long: 1100 bytes, 1023 is the most");
    assert_int_equal(test_folder_entries(), entries);
}

static void test_output_that_is_full(void **state)
{
    (void)state;
    static const char *const words[] = {"--help", "--version", "run --help"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char command[64], text[256];
        snprintf(command, sizeof command, "%s > /dev/full", words[i]);
        assert_int_equal(test_program_run("", command, text, sizeof text), 3);
    }
}

static int set_up(void **state)
{
    (void)state;
    static const char junk[] = "this is neither a database nor a safetensors file, but long enough to be taken for one";
    test_write(test_path("junk"), junk, sizeof junk - 1);
    test_write(test_path("junk.safetensors"), junk, sizeof junk - 1);
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_begin_once), cmocka_unit_test(test_commands_and_options),
        cmocka_unit_test(test_experiments),         cmocka_unit_test(test_files),
        cmocka_unit_test(test_paths_without_room),  cmocka_unit_test(test_output_that_is_full),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
