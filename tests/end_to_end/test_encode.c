/* Latents from end to end, on pictures of Fashion-MNIST and a narrow autoencoder with random weights: encoded, trained
 * on, drawn, decoded and scored. Killed at random moments, encoding and training end with the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/data/latents.h"
#include "harness/data/picture.h"
#include "harness/data/png.h"
#include "kernels/base/clock.h"
#include "kernels/base/hash.h"
#include "kernels/base/npy.h"
#include "tests/support/autoencoder.h"
#include "tests/support/folder.h"
#include "tests/support/pictures.h"
#include "tests/support/program.h"

#define PICTURES 180
#define SAMPLES 64
#define KILLS 5

static char root[256], pictures[512], weights[512], calm[512], other[512], experiment[512], options[2048];

static const char experiment_text[] =
    "experiment: latents\n"
    "dataset: {name: garments, kind: latents, path: %s, vae: %s, mirror: true}\n"
    "model: {preset: tiny, patch: 1, hidden: 32, depth: 2, heads: 2, classes: 10, finest_steps: 8}\n"
    "train: {updates: 60, batch: 16, learning_rate: 1.0e-3, warmup: 5, label_dropout: 0.1, checkpoint_every: 0.05,"
    " ema: 0.9}\n"
    "methods: {shortcut: {bootstrap_fraction: 0.25, bootstrap_guidance: true}}\n"
    "matrix: {method: [flow-matching, shortcut]}\n"
    "evaluate: {steps: [1, 8], samples: %d, guidance_scale: 1.5, metrics: [fd, spectrum]}\n";

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char command[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    if (system(command) != 0) {
        fail_msg("%s", command);
    }
}

static int program(const char *prefix, char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int program(const char *prefix, char *text, size_t size, const char *format, ...)
{
    char arguments[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    return test_program_run(prefix, arguments, text, size);
}

static void refuses(int status, const char *piece, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void refuses(int status, const char *piece, const char *format, ...)
{
    char arguments[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    test_program_refuses(status, arguments, piece);
}

static void succeeds(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void succeeds(const char *format, ...)
{
    char arguments[4096], text[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    const int status = test_program_run("", arguments, text, sizeof text);
    if (status != 0) {
        fail_msg("fewstep %s: status %d: %s", arguments, status, text);
    }
}

/* `fewstep encode` into a folder, in the background. */
static pid_t start_encoding(const char *folder, const char *shard)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl(test_program(), test_program(), "encode", pictures, "--kind", "idx", "--vae", weights, "-o", folder,
              "--pictures-per-file", "50", "--extractor", "fashion-cnn", "--device", "cpu", "--quiet", "--shard", shard,
              (char *)NULL);
        _exit(127);
    }
    return child;
}

static void encode(const char *folder)
{
    assert_int_equal(test_program_wait(start_encoding(folder, "0/1")), 0);
}

/* Nothing but what a calm encoding left, byte for byte. */
static void same_as_calm(const char *folder)
{
    shell("diff -r %s %s", calm, folder);
    shell("test -z \"$(find %s -name '*.part' -o -name '*.rows' -o -name '*.tmp' -o -name unfinished.json)\"", folder);
}

/* --- encoding --- */

static void a_killed_encoding_ends_the_same(void **state)
{
    (void)state;
    const double begin = fs_seconds();
    encode(calm);
    const double seconds = fs_seconds() - begin;
    shell("test $(ls %s/latents-*.safetensors | wc -l) = 4", calm);
    for (int kills = 0; kills < KILLS;) {
        const pid_t child = start_encoding(other, "0/1");
        test_sleep(seconds * (double)rand() / RAND_MAX);
        kill(child, SIGKILL);
        kills++;
        if (test_program_wait(child) == 0) {
            same_as_calm(other);
            shell("rm -r %s", other);
        }
    }
    encode(other);
    same_as_calm(other);
    encode(other); /* again: nothing is made */
    same_as_calm(other);
}

/* A signal ends it with status 5, and its rows are kept. */
static void a_stopped_encoding_goes_on(void **state)
{
    (void)state;
    shell("rm -r %s", other);
    const pid_t child = start_encoding(other, "0/1");
    for (double begin = fs_seconds(); system("true") == 0 && fs_seconds() - begin < 300;) {
        char part[1024];
        snprintf(part, sizeof part, "%s/latents-00000.safetensors.part", other);
        if (access(part, F_OK) == 0) {
            break;
        }
        test_sleep(0.005);
    }
    kill(child, SIGTERM);
    const int status = test_program_wait(child);
    assert_true(status == 5 || status == 0);
    encode(other);
    same_as_calm(other);
}

/* Shares of the work, in any order and at once; whoever comes last writes the manifest. */
static void processes_share_the_work(void **state)
{
    (void)state;
    char text[4096];
    shell("rm -r %s", other);
    assert_int_equal(test_program_wait(start_encoding(other, "1/2")), 0);
    shell("test ! -e %s/latents.json && test -e %s/latents-00001.safetensors", other, other);
    assert_int_equal(
        program("", text, sizeof text, "run %s --set dataset.path=%s --out %s/early", experiment, other, root), 2);
    assert_non_null(strstr(text, "its encoding is not finished"));
    assert_int_equal(test_program_wait(start_encoding(other, "0/2")), 0);
    same_as_calm(other);
    shell("rm -r %s", other);
    const pid_t one = start_encoding(other, "0/1"), two = start_encoding(other, "0/1");
    assert_int_equal(test_program_wait(one), 0);
    assert_int_equal(test_program_wait(two), 0);
    encode(other); /* where the last shard was the other's, and its statistics too */
    same_as_calm(other);
}

/* A limit on the size of a file stands in for a full disk. */
static void a_full_disk_loses_nothing(void **state)
{
    (void)state;
    char text[4096];
    shell("rm -r %s/latents.json %s/latents-00002.safetensors", other, other);
    assert_int_equal(program("ulimit -f 40;", text, sizeof text, "encode %s", options), 3);
    assert_non_null(strstr(text, "the same command goes on"));
    encode(other);
    same_as_calm(other);
}

static void what_encode_refuses(void **state)
{
    (void)state;
    char elsewhere[600], narrow[600];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", root);
    snprintf(narrow, sizeof narrow, "%s/other-weights.safetensors", root);
    const struct test_autoencoder another = {3, {32, 32, 64}, 4, 0};
    test_write_autoencoder(narrow, &another, NULL, NULL);
    refuses(2, "made with another autoencoder",
            "encode %s --kind idx --extractor none --vae %s -o %s --pictures-per-file 50", pictures, narrow, calm);
    refuses(2, "made with another precision",
            "encode %s --kind idx --extractor none --vae %s -o %s --pictures-per-file 50 --stored fp32 --device cpu",
            pictures, weights, calm);
    refuses(2, "of other pictures",
            "encode %s --kind idx --extractor none --vae %s -o %s --pictures-per-file 50 --split test --device cpu",
            pictures, weights, calm);
    refuses(2, "multiple", "encode %s/odd --kind idx --extractor none --vae %s -o %s", root, weights, elsewhere);
    refuses(2, "-o is missing", "encode %s", pictures);
    refuses(2, "expected I/N", "encode %s -o %s --shard 2/2", pictures, elsewhere);
    refuses(2, "--stored: expected fp16 or fp32", "encode %s -o %s --stored fp8", pictures, elsewhere);
    shell("test ! -e %s", elsewhere);
    same_as_calm(other); /* nothing of it was touched */
}

/* A folder of PNG of all sizes in two classes: brought to one size as they are read. One that is broken is named before
 * anything is made. */
static void a_folder_of_pictures_is_encoded(void **state)
{
    (void)state;
    char folder[600], latents[600], path[800], text[4096];
    uint8_t pixels[40 * 40 * 3];
    struct fs_latents_manifest manifest;
    struct fs_error error;
    snprintf(folder, sizeof folder, "%s/photos", root);
    snprintf(latents, sizeof latents, "%s/photo-latents", root);
    shell("mkdir -p %s/cats %s/dogs", folder, folder);
    for (int i = 0; i < 7; i++) {
        for (int k = 0; k < (int)sizeof pixels; k++) {
            pixels[k] = (uint8_t)(k * (i + 3) + k / 97);
        }
        snprintf(path, sizeof path, "%s/%s/%d.png", folder, i % 3 ? "cats" : "dogs", i);
        assert_int_equal(fs_png_write(path, pixels, 20 + i, 40 - i, i % 2 ? 1 : 3, &error), FS_OK);
    }
    snprintf(path, sizeof path, "%s/cats/broken.png", folder);
    test_write(path, "no picture", 10);
    refuses(2, "cats/broken.png", "encode %s --size 16 --vae %s -o %s --extractor none --quiet", folder, weights,
            latents);
    shell("test ! -e %s", latents);
    assert_int_equal(unlink(path), 0);
    succeeds("encode %s --size 16 --vae %s -o %s --extractor none --quiet", folder, weights, latents);
    assert_int_equal(fs_latents_manifest_read(latents, FS_LATENTS_MANIFEST, &manifest, &error), FS_OK);
    assert_int_equal(manifest.shape.classes, 2);
    assert_int_equal(manifest.shape.height, 4);
    assert_int_equal(manifest.picture.height, 16);
    assert_int_equal(manifest.shape.count, 7);
    fs_latents_manifest_free(&manifest);
    snprintf(path, sizeof path, "%s/dogs/0.png", folder);
    assert_int_equal(fs_png_write(path, pixels, 30, 30, 3, &error), FS_OK);
    assert_int_equal(program("", text, sizeof text, "encode %s --size 16 --vae %s -o %s --extractor none --quiet",
                             folder, weights, latents),
                     2);
    assert_non_null(strstr(text, "of these before they were changed"));
}

/* --- training --- */

static void write_experiment(const char *latents)
{
    char text[4096];
    snprintf(text, sizeof text, experiment_text, latents, weights, SAMPLES);
    test_write(experiment, text, strlen(text));
}

static void a_training_on_latents_is_scored_in_pictures(void **state)
{
    (void)state;
    char out[512], text[4096], sha256[65];
    struct fs_error error;
    snprintf(out, sizeof out, "%s/out", root);
    write_experiment(calm);
    test_program_finish(experiment, out);
    assert_int_equal(fs_sha256_file(weights, sha256, &error), FS_OK);
    test_program_query(out, "SELECT DISTINCT decoder_sha256, decoder_precision FROM scores", text, sizeof text);
    assert_memory_equal(text, sha256, 64);
    assert_string_equal(text + 64, " fp32 \n");
    test_program_query(out,
                       "SELECT iif(source = 'run', source, substr(source, 21)), steps, count(*) FROM scores WHERE "
                       "metric = 'fd' GROUP BY source, steps ORDER BY "
                       "source, steps",
                       text, sizeof text);
    assert_string_equal(text, ":reconstructions 0 1 \nrun 1 2 \nrun 8 2 \n");
    /* Guided at all steps where the method allows it. */
    test_program_query(out,
                       "SELECT DISTINCT guidance_scale FROM scores s JOIN runs r ON r.number = s.run "
                       "WHERE r.method = 'flow-matching'",
                       text, sizeof text);
    assert_string_equal(text, "1.5 \n");
}

/* The same distance from the outside: samples as PNG files against the pictures as PNG files. */
static void a_score_is_what_fid_says_of_its_pictures(void **state)
{
    (void)state;
    char out[512], text[4096], id[128], folder[512], path[700];
    struct fs_dataset data;
    struct fs_error error;
    struct fs_dataset_config config = {.name = "few", .kind = "idx"};
    uint8_t pixels[784];
    snprintf(config.path, sizeof config.path, "%s", pictures);
    snprintf(out, sizeof out, "%s/out", root);
    snprintf(folder, sizeof folder, "%s/png", root);
    assert_int_equal(fs_make_folder(folder, &error), FS_OK);
    assert_int_equal(fs_dataset_open(&config, FS_SPLIT_TRAIN, &data, &error), FS_OK);
    for (int i = 0; i < PICTURES; i++) {
        snprintf(path, sizeof path, "%s/%03d.png", folder, i);
        assert_int_equal(fs_dataset_bytes(&data, i, 1, pixels, &error), FS_OK);
        assert_int_equal(fs_png_write(path, pixels, 28, 28, 1, &error), FS_OK);
    }
    fs_dataset_close(&data);
    test_program_query(out, "SELECT id FROM runs WHERE method = 'flow-matching'", id, sizeof id);
    id[12] = '\0';
    succeeds("sample %s --out %s --steps 8 --count %d -o %s/drawn/", id, out, SAMPLES, root);
    shell("%s fid %s/drawn %s --extractor fashion-cnn --json --device cpu 2>/dev/null | sed 's/.*\"value\": "
          "*\\([0-9.e+-]*\\).*/\\1/' > "
          "%s/fid",
          test_program(), root, folder, root);
    char value[64] = "";
    snprintf(path, sizeof path, "%s/fid", root);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    assert_non_null(fgets(value, sizeof value, stream));
    fclose(stream);
    test_program_query(out,
                       "SELECT printf('%.17g', value) FROM scores s JOIN runs r ON r.number = s.run WHERE r.method = "
                       "'flow-matching' AND steps = 8 AND metric = 'fd'",
                       text, sizeof text);
    const double inside = strtod(text, NULL), outside = strtod(value, NULL);
    assert_true(inside > 0);
    if (!(fabs(inside - outside) < 1e-5 * inside)) {
        fail_msg("%.9g in the database, %.9g by fid", inside, outside);
    }
}

/* Grids and folders are of pictures; an array is of latents. */
static void samples_are_pictures(void **state)
{
    (void)state;
    char out[512], id[128], path[600];
    struct fs_picture picture;
    struct fs_array array;
    struct fs_error error;
    snprintf(out, sizeof out, "%s/out", root);
    test_program_query(out, "SELECT id FROM runs WHERE method = 'shortcut'", id, sizeof id);
    id[12] = '\0';
    succeeds("sample %s --out %s --steps 4 --count 4 -o %s/grid.png", id, out, root);
    succeeds("sample %s --out %s --steps 4 --count 4 -o %s/latents.npy", id, out, root);
    snprintf(path, sizeof path, "%s/grid.png", root);
    assert_int_equal(fs_picture_read(path, &picture, &error), FS_OK);
    assert_true(picture.width > 2 * 2 * 28 && picture.width < 2 * 2 * 30 + 10);
    free(picture.pixels);
    snprintf(path, sizeof path, "%s/latents.npy", root);
    assert_int_equal(fs_npy_read(path, &array, &error), FS_OK);
    assert_true(array.rank == 4 && array.shape[0] == 4 && array.shape[1] == 7 && array.shape[3] == 4);
    free(array.data);
    snprintf(path, sizeof path, "%s/samples/latents", out);
    assert_int_equal(test_folder_files(path), 2);
}

static void a_killed_training_ends_the_same(void **state)
{
    (void)state;
    char out[512], killed[512];
    snprintf(out, sizeof out, "%s/out", root);
    snprintf(killed, sizeof killed, "%s/killed", root);
    for (int i = 0; i < KILLS; i++) {
        const pid_t child = test_program_start(experiment, killed);
        test_sleep(2.0 * (double)rand() / RAND_MAX);
        kill(child, SIGKILL);
        test_program_wait(child);
    }
    test_program_finish(experiment, killed);
    test_program_same_results(out, killed);
}

/* mirror and posterior are part of what is trained; name and place of the latents are not. */
static void what_moves_a_run(void **state)
{
    (void)state;
    char out[512], text[4096];
    snprintf(out, sizeof out, "%s/out", root);
    write_experiment(other);
    assert_int_equal(program("", text, sizeof text, "run %s --out %s --dry-run >&2", experiment, out), 0);
    assert_non_null(strstr(text, "trained, 4/4 scores"));
    static const char *const sets[] = {"dataset.mirror=false", "dataset.posterior=mean"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            program("", text, sizeof text, "run %s --out %s --dry-run --set %s >&2", experiment, out, sets[i]), 0);
        assert_null(strstr(text, "trained, "));
    }
    write_experiment(calm);
}

static void what_a_run_on_latents_refuses(void **state)
{
    (void)state;
    char another[600];
    snprintf(another, sizeof another, "%s/other-weights.safetensors", root);
    shell("cp -r %s %s/bare && rm -r %s/bare/references", calm, root, root);
    shell("cp -r %s %s/missing && rm %s/missing/latents-00001.safetensors", calm, root, root);
    refuses(2, "its latents are of another autoencoder", "run %s --out %s/refused --quiet --set dataset.vae=%s",
            experiment, root, another);
    refuses(2, "none.safetensors", "run %s --out %s/refused --quiet --set dataset.vae=%s/none.safetensors", experiment,
            root, root);
    refuses(2, "statistics of the pictures",
            "run %s --out %s/refused --quiet --set evaluate.metrics=[kid]"
            " --set dataset.path=%s/bare",
            experiment, root, root);
    refuses(2, "a shard is missing", "run %s --out %s/refused --quiet --set dataset.path=%s/missing", experiment, root,
            root);
    shell("cp -r %s %s/poisoned && printf '\\377\\177' | dd of=%s/poisoned/latents-00000.safetensors bs=1 seek=4096 "
          "conv=notrunc status=none",
          calm, root, root);
    refuses(2, "the number at byte 4096 is not finite",
            "run %s --out %s/refused --quiet --set dataset.path=%s/poisoned", experiment, root, root);
    refuses(2, "model.patch", "run %s --out %s/refused --quiet --set model.patch=4", experiment, root);
}

/* No statistics beside the latents, but the pictures somewhere else: the same distances. */
static void what_is_compared_with_can_lie_elsewhere(void **state)
{
    (void)state;
    char out[512], text[4096];
    snprintf(out, sizeof out, "%s/out", root);
    succeeds("run %s --out %s --quiet --set dataset.path=%s/bare --set evaluate.reference=%s/png", experiment, out,
             root, root);
    test_program_query(out,
                       "SELECT count(*), count(DISTINCT a.source) FROM scores a JOIN scores b ON a.source = b.source "
                       "AND a.run IS b.run AND a.steps = b.steps AND a.metric = b.metric WHERE a.metric = 'fd' AND "
                       "a.reference = 'train' AND b.reference LIKE 'pictures %' AND abs(a.value - b.value) < 1e-5 * "
                       "a.value",
                       text, sizeof text);
    assert_string_equal(text, "5 2 \n");
}

/* Two pictures of 3 × 5. */
static void write_odd(void)
{
    static const unsigned char odd[16 + 30] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 5};
    char path[600];
    snprintf(path, sizeof path, "%s/odd", root);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/odd/train-images-idx3-ubyte", root);
    test_write(path, odd, sizeof odd);
}

static int prepare(void **state)
{
    (void)state;
    const struct test_autoencoder narrow = {3, {32, 32, 32}, 4, 0};
    test_folder_make(root);
    snprintf(pictures, sizeof pictures, "%s/pictures", root);
    snprintf(weights, sizeof weights, "%s/narrow.safetensors", root);
    snprintf(calm, sizeof calm, "%s/calm", root);
    snprintf(other, sizeof other, "%s/other", root);
    snprintf(experiment, sizeof experiment, "%s/latents.yaml", root);
    snprintf(options, sizeof options,
             "%s --kind idx --vae %s -o %s --pictures-per-file 50 --extractor fashion-cnn --device cpu --quiet",
             pictures, weights, other);
    test_small_fashion_mnist(pictures, PICTURES, 50);
    write_odd();
    test_write_autoencoder(weights, &narrow, NULL, NULL);
    write_experiment(calm);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    test_folder_remove(root);
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    test_program_find(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_encoding_ends_the_same),
        cmocka_unit_test(a_stopped_encoding_goes_on),
        cmocka_unit_test(processes_share_the_work),
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(what_encode_refuses),
        cmocka_unit_test(a_folder_of_pictures_is_encoded),
        cmocka_unit_test(a_training_on_latents_is_scored_in_pictures),
        cmocka_unit_test(a_score_is_what_fid_says_of_its_pictures),
        cmocka_unit_test(samples_are_pictures),
        cmocka_unit_test(a_killed_training_ends_the_same),
        cmocka_unit_test(what_moves_a_run),
        cmocka_unit_test(what_a_run_on_latents_refuses),
        cmocka_unit_test(what_is_compared_with_can_lie_elsewhere),
    };
    return cmocka_run_group_tests_name("encode", tests, prepare, clear);
}
