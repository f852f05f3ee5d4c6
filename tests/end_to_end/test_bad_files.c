/* Damaged checkpoints, data and databases, and questions that a run cannot answer: one clear line each, exit status 2,
 * and nothing is left behind. Drives the program itself on a small run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "kernels/base/safetensors.h"
#include "tests/support/folder.h"
#include "tests/support/program.h"

static char folder[512], out[600], experiment[600], checkpoint[1200], run[65];

static const char experiment_text[] =
    "experiment: small\n"
    "dataset: {name: fashion-mnist}\n"
    "model: {preset: tiny, patch: 14, hidden: 32, depth: 1, heads: 2, classes: 10, finest_steps: 8}\n"
    "train: {updates: 4, batch: 8, warmup: 2}\n"
    "method: flow-matching\n"
    "evaluate: {steps: [1], samples: 150}\n";

/* The program must refuse "COMMAND PATH REST" with one line that has `piece` in it. */
static void refuses(const char *command, const char *path, const char *rest, const char *piece)
{
    char arguments[3000];
    snprintf(arguments, sizeof arguments, "%s %s %s", command, path, rest);
    test_program_refuses(2, arguments, piece);
}

static void shell(const char *format, const char *one, const char *two)
{
    char command[3000];
    snprintf(command, sizeof command, format, one, two);
    if (system(command) != 0) {
        fail_msg("%s", command);
    }
}

static void look_up(const char *sql, char *text, size_t size)
{
    char rows[4096];
    test_program_query(out, sql, rows, sizeof rows);
    snprintf(text, size, "%.*s", (int)strcspn(rows, " \n"), rows);
}

/* --- checkpoints --- */

/* Every command that reads a checkpoint: by itself, and beside the database that knows its run. */
static void checkpoint_refused(const char *path, const char *piece, const char *known)
{
    char rest[700];
    snprintf(rest, sizeof rest, "-o %s/never.png", folder);
    refuses("sample", path, rest, piece);
    snprintf(rest, sizeof rest, "--quiet --out %s", out);
    refuses("eval", path, rest, known);
}

static void test_truncated_checkpoints(void **state)
{
    (void)state;
    static const char *const sizes[] = {"0", "5", "100", "3000", "-1"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *path = test_path("cut.safetensors");
        shell("cp %s %s", checkpoint, path);
        shell("truncate -s %s %s", sizes[i], path);
        checkpoint_refused(path, "cut.safetensors", "cut.safetensors");
    }
}

/* The checkpoint with one tensor of its average `change`d, as checkpoint NAME. */
static const char *changed(const char *name, void (*change)(struct fs_tensor *tensor))
{
    struct fs_tensor_file file;
    struct fs_error error;
    const char *path = test_path(name);
    assert_int_equal(fs_tensor_file_read(checkpoint, &file, &error), FS_OK);
    int ema = 0;
    while (ema < file.tensor_count && strncmp(file.tensors[ema].name, "ema.", 4) != 0) {
        ema++;
    }
    assert_true(ema < file.tensor_count);
    change(&file.tensors[ema]);
    if (fs_tensor_file_write(path, file.tensors, file.tensor_count, file.metadata, file.metadata_count, &error)) {
        fail_msg("%s", error.text);
    }
    fs_tensor_file_free(&file);
    return path;
}

static void rename_tensor(struct fs_tensor *tensor)
{
    tensor->name = "ema.of.another.model";
}

static void flatten_tensor(struct fs_tensor *tensor)
{
    int64_t elements = 1;
    for (int i = 0; i < tensor->rank; i++) {
        elements *= tensor->shape[i];
    }
    tensor->rank = 3;
    tensor->shape[0] = elements;
    tensor->shape[1] = tensor->shape[2] = 1;
}

static void poison_tensor(struct fs_tensor *tensor)
{
    ((float *)tensor->data)[0] = NAN;
}

static void test_checkpoints_of_another_kind(void **state)
{
    (void)state;
    checkpoint_refused(changed("renamed.safetensors", rename_tensor), "renamed.safetensors",
                       "renamed.safetensors: its SHA-256 is");
    checkpoint_refused(changed("flat.safetensors", flatten_tensor), "flat.safetensors",
                       "flat.safetensors: its SHA-256 is");
    checkpoint_refused(changed("nan.safetensors", poison_tensor), "is not finite", "nan.safetensors: its SHA-256 is");
    checkpoint_refused("metrics/fashion-cnn.safetensors", "fashion-cnn.safetensors", "fashion-cnn.safetensors");
}

/* Training goes on from a checkpoint only when it is whole; the file that is not is named. */
static void test_run_from_a_damaged_checkpoint(void **state)
{
    (void)state;
    char other[700], rest[2000], said[4096];
    snprintf(other, sizeof other, "%s-damaged", out);
    shell("cp -r %s %s", out, other);
    shell("truncate -s 1000 $(ls %s/runs/*/%s)", other, "*.safetensors");
    snprintf(rest, sizeof rest, "run %s --out %s --quiet --set evaluate.steps=[2]", experiment, other);
    assert_int_equal(test_program_run("", rest, said, sizeof said), 3);
    assert_non_null(strstr(said, "checkpoint-4.safetensors: its SHA-256 is"));
    snprintf(rest, sizeof rest, "-o %s/never.png --out %s", folder, other);
    refuses("sample", run, rest, "checkpoint-");
}

/* --- data --- */

/* A folder like the data set's with one file replaced by what `make` leaves in its place. */
static void data_refused(const char *name, const char *make, const char *piece)
{
    static int number;
    char data[600], rest[2000];
    snprintf(data, sizeof data, "%s/data%d", folder, number++);
    shell("mkdir %s && ln -s /usr/share/datasets/fashion-mnist/* %s", data, data);
    snprintf(rest, sizeof rest, "rm %s/%s && (%s) > %s/%s", data, name, make, data, name);
    shell("%s%s", rest, "");
    snprintf(rest, sizeof rest, "--set dataset.path=%s --out %s/never", data, folder);
    refuses("run", experiment, rest, piece);
}

static void test_data(void **state)
{
    (void)state;
    static const char images[] = "train-images-idx3-ubyte.gz", labels[] = "t10k-labels-idx1-ubyte.gz";
    char whole[200], make[400];
    snprintf(whole, sizeof whole, "/usr/share/datasets/fashion-mnist/%s", images);
    data_refused(images, "true", images);
    data_refused(images, "echo this is no gzip file", images);
    snprintf(make, sizeof make, "head -c 100000 %s", whole);
    data_refused(images, make, images);
    snprintf(make, sizeof make, "gzip -cd %s | tail -c +2 | gzip -1", whole);
    data_refused(images, make, images);
    snprintf(make, sizeof make, "gzip -cd %s | head -c 1000000 | gzip -1", whole);
    data_refused(images, make, images);
    data_refused(labels, "printf '\\0\\0\\10\\1\\0\\0\\0\\2\\1\\2' | gzip", "2 labels");
    data_refused(labels, "printf '\\0\\0\\10\\1\\377\\377\\377\\377\\1\\2' | gzip", labels);
}

/* --- databases --- */

static void test_databases(void **state)
{
    (void)state;
    sqlite3 *database;
    char path[700], rest[1500];
    snprintf(path, sizeof path, "%s/newer.db", folder);
    shell("cp %s/fewstep.db %s", out, path);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    snprintf(rest, sizeof rest, "--db %s", path);
    static const char *const commands[] = {"table", "runs", "gc", "report", "regress --base HEAD"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        refuses(commands[i], "", rest, "newer.db");
    }
    refuses("show", run, rest, "newer.db");
    snprintf(rest, sizeof rest, "--out %s/never --db %s", folder, path);
    refuses("run", experiment, rest, "newer.db");
}

/* --- questions --- */

static void test_questions(void **state)
{
    (void)state;
    char rest[1500];
    static const struct {
        const char *command, *options, *piece;
    } questions[] = {
        {"eval", "--steps 9", "finest_steps 8"},
        {"eval", "--steps 16", "finest_steps 8"},
        {"eval", "--sampler euler", "method, heun or midpoint"},
        {"eval", "--steps 1,x", "--steps"},
        {"eval", "--guidance 2", "label_dropout"},
        {"eval", "--weights mean", "mean"},
        {"sample", "--steps 9 -o never.png", "finest_steps 8"},
        {"sample", "--label 11 -o never.png", "label"},
        {"sample", "--noise nowhere.npy -o never.npy", "nowhere.npy"},
        {"sample", "-o never.gif", "never.gif"},
        {"sample", "-o nowhere/never.png", "nowhere"},
    };
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        snprintf(rest, sizeof rest, "%s --out %s", questions[i].options, out);
        refuses(questions[i].command, run, rest, questions[i].piece);
    }
    snprintf(rest, sizeof rest, "--out %s", out);
    refuses("show", "0123", rest, "6");
    refuses("show", "ffffffffffff", rest, "ffffffffffff");
    refuses("eval", "ffffffffffff", rest, "ffffffffffff");
    refuses("table", "nothing-of-this-name", rest, "small");
    refuses("runs", "nothing-of-this-name", rest, "small");
}

static void test_nothing_is_left_behind(void **state)
{
    (void)state;
    shell("test -z \"$(find %s %s -name '*.tmp' -o -name 'never*.*' -o -name '*-wal' -o -name '*-shm')\"", folder, out);
    assert_int_not_equal(access("never.png", F_OK), 0);
    assert_int_not_equal(access("never.gif", F_OK), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", test_folder());
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(experiment, sizeof experiment, "%s/small.yaml", folder);
    test_write(experiment, experiment_text, sizeof experiment_text - 1);
    test_program_finish(experiment, out);
    look_up("SELECT id FROM runs", run, sizeof run);
    look_up("SELECT path FROM checkpoints ORDER BY at_update DESC", checkpoint, sizeof checkpoint);
    return 0;
}

int main(int argc, char **argv)
{
    test_program_find(argc > 0 ? argv[0] : "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncated_checkpoints),
        cmocka_unit_test(test_checkpoints_of_another_kind),
        cmocka_unit_test(test_run_from_a_damaged_checkpoint),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_databases),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
