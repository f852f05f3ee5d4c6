/* A wrong file, option or configuration gets one clear line and exit status 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char program[512];

/* Runs `fewstep ARGUMENTS` in a shell; its stderr goes to `text`. Returns the exit status. */
static int run(const char *arguments, char *text, size_t size)
{
    char command[2048];
    snprintf(command, sizeof command, "%s %s 2>&1 >/dev/null", program, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    const size_t length = fread(text, 1, size - 1, pipe);
    text[length] = 0;
    const int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void refuses(int status, const char *arguments, const char *piece)
{
    char text[4096];
    const int got = run(arguments, text, sizeof text);
    if (got != status || !strstr(text, piece)) {
        print_error("fewstep %s\n  status %d, expected %d\n  said: %s  expected: %s\n", arguments, got, status, text,
                    piece);
    }
    assert_int_equal(got, status);
    assert_non_null(strstr(text, piece));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
}

static void test_commands_and_options(void **state)
{
    (void)state;
    refuses(2, "frobnicate", "there is no command 'frobnicate'; there are: run, table");
    refuses(2, "run", "needs EXPERIMENT.yaml");
    refuses(2, "run a.yaml b.yaml", "one word too many: 'b.yaml'");
    refuses(2, "run experiments/demo.yaml --frob", "there is no option '--frob'");
    refuses(2, "run experiments/demo.yaml --set", "--set needs a value");
    refuses(2, "run experiments/demo.yaml --shard 3/2", "--shard: expected i/n");
    refuses(2, "sample 123456", "-o is missing");
    refuses(2, "sample 123456 --count x -o a.png", "--count: expected a whole number");
    refuses(2, "bench --batch -1", "expected a whole number");
}

static void test_experiments(void **state)
{
    (void)state;
    refuses(2, "run nowhere.yaml", "nowhere.yaml: cannot be read");
    refuses(2, "run build/fewstep", "build/fewstep");
    refuses(2, "run experiments/demo.yaml --set train.bach=3", "unknown key; did you mean train.batch?");
    refuses(2, "run experiments/demo.yaml --set train.batch=abc", "train.batch: expected a whole number");
    refuses(2, "run experiments/demo.yaml --set evaluate.steps=[3]", "evaluate.steps");
    refuses(2, "run experiments/demo.yaml --set method=gan", "expected flow-matching, progressive-distillation");
    refuses(2, "run experiments/demo.yaml --set model.preset=dit-xs/5", "dit-xs/5");
    refuses(2, "run experiments/demo.yaml --set dataset.name=cifar", "fashion-mnist");
    refuses(2, "run experiments/demo.yaml --only method=gan", "method");
}

static void test_files(void **state)
{
    const char *folder = *state;
    char arguments[512];
    snprintf(arguments, sizeof arguments, "run experiments/demo.yaml --set dataset.path=%s --out %s/out", folder,
             folder);
    refuses(2, arguments, "apt install dataset-fashion-mnist");
    snprintf(arguments, sizeof arguments, "run experiments/demo.yaml --out %s/junk/out", folder);
    refuses(2, arguments, "junk");
    snprintf(arguments, sizeof arguments, "table --db %s/junk", folder);
    refuses(2, arguments, "not an SQLite database");
    snprintf(arguments, sizeof arguments, "table --db %s/nowhere.db", folder);
    refuses(2, arguments, "nowhere.db");
    snprintf(arguments, sizeof arguments, "sample %s/junk.safetensors -o a.png", folder);
    refuses(2, arguments, "junk.safetensors");
    refuses(2, "sample nowhere.safetensors -o a.png", "nowhere.safetensors: cannot be read");
}

static void test_output_that_is_full(void **state)
{
    (void)state;
    static const char *const words[] = {"--help", "--version", "run --help"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char command[600];
        snprintf(command, sizeof command, "%s %s > /dev/full 2> /dev/null", program, words[i]);
        const int status = system(command);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 3);
    }
}

static void write_junk(const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("this is neither a database nor a safetensors file, but long enough to be taken for one", file);
    fclose(file);
}

static int set_up(void **state)
{
    static char folder[] = "/tmp/fewstep-bad-XXXXXX";
    if (!mkdtemp(folder)) {
        return -1;
    }
    write_junk(folder, "junk");
    write_junk(folder, "junk.safetensors");
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", (const char *)*state);
    return system(command);
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strstr(argv[0], "/tests/end_to_end/") : NULL;
    snprintf(program, sizeof program, "%.*s/fewstep", slash ? (int)(slash - argv[0]) : 5, slash ? argv[0] : "build");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_and_options),
        cmocka_unit_test(test_experiments),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_output_that_is_full),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
