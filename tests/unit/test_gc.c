/* What may go of the output folder, and what never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "harness/build_info.h"
#include "harness/config/config.h"
#include "harness/run/gc.h"
#include "harness/train/pairs.h"
#include "kernels/base/file.h"
#include "tests/support/database.h"
#include "tests/support/folder.h"

struct place {
    char folder[256], path[300], output[8192];
    struct fs_store *store;
    int64_t environment;
    struct fs_error error;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    const struct fs_environment about = test_environment();

    test_folder_make(place->folder);
    snprintf(place->path, sizeof(place->path), "%s/fewstep.db", place->folder);
    *state = place;
    return fs_store_open(place->path, FS_STORE_WRITE, &place->store, &place->error) ||
           fs_store_environment(place->store, &about, &place->environment, &place->error);
}

static int teardown(void **state)
{
    struct place *place = *state;

    fs_store_close(place->store);
    test_folder_remove(place->folder);
    free(place);
    return 0;
}

/* OUT/<kind>/<name>/checkpoint-1.safetensors of `bytes` bytes, and a lock beside it. */
static void make_folder(struct place *place, const char *kind, const char *name, int bytes)
{
    char path[700], file[800];

    snprintf(path, sizeof(path), "%s/%s/%s", place->folder, kind, name);
    assert_int_equal(fs_make_folder(path, &place->error), FS_OK);
    snprintf(file, sizeof(file), "%s/checkpoint-1.safetensors", path);
    FILE *stream = fopen(file, "wb");
    assert_int_equal(fwrite(place->output, 1, (size_t)bytes, stream), bytes);
    fclose(stream);
    snprintf(file, sizeof(file), "%s/lock", path);
    fclose(fopen(file, "wb"));
}

static bool is_there(struct place *place, const char *kind, const char *name)
{
    char path[700];

    snprintf(path, sizeof(path), "%s/%s/%s", place->folder, kind, name);
    return access(path, F_OK) == 0;
}

static void add_run(struct place *place, const char *id, const char *method, const char *source, const char *state)
{
    struct fs_run_row row = test_run(id);

    row.method = method;
    row.source_hash = source;
    assert_int_equal(fs_store_run(place->store, &row, 0, place->environment, &place->error), FS_OK);
    assert_int_equal(fs_store_run_state(place->store, id, state, NULL, 0, 0, &place->error), FS_OK);
    make_folder(place, "runs", id, 1000);
}

static fs_status collect_with(struct place *place, struct fs_gc_request request)
{
    FILE *stream = fmemopen(place->output, sizeof(place->output), "w");

    request.out = place->folder;
    const fs_status status = fs_gc(place->store, &request, stream, &place->error);
    fclose(stream);
    return status;
}

static void collect(struct place *place, struct fs_gc_request request)
{
    if (collect_with(place, request) != FS_OK) {
        fail_msg("%s", place->error.text);
    }
}

/* A Reflow run of the database, and the name of the folder of its pairs. */
static void add_reflow(struct place *place, const char *id, const char *teacher, const char *state, char pairs[17])
{
    static const char experiment[] = "experiment: x\nmethod: reflow\ntrain: {updates: 10}\n";
    struct fs_experiment read;
    char path[300], name[FS_HASH_TEXT];
    struct fs_run_row row = test_run(id);

    snprintf(path, sizeof(path), "%s/x.yaml", place->folder);
    test_write(path, experiment, sizeof(experiment) - 1);
    assert_int_equal(fs_experiment_read(path, NULL, 0, NULL, 0, &read, &place->error), FS_OK);
    add_run(place, teacher, "flow-matching", fs_build_info.source_hash, "trained");
    row.method = "reflow";
    row.teacher = teacher;
    row.config_json = read.runs[0].json;
    assert_int_equal(fs_store_run(place->store, &row, 0, place->environment, &place->error), FS_OK);
    assert_int_equal(fs_store_run_state(place->store, id, state, NULL, 0, 0, &place->error), FS_OK);
    assert_int_equal(fs_pairs_name(teacher, &read.runs[0], name, &place->error), FS_OK);
    snprintf(pairs, 17, "%.16s", name);
    make_folder(place, "pairs", pairs, 3000);
    fs_experiment_free(&read);
}

static void says(struct place *place, const char *text)
{
    if (!strstr(place->output, text)) {
        fail_msg("no '%s' in:\n%s", text, place->output);
    }
}

static void test_runs_go_only_when_they_are_asked_for(void **state)
{
    static const char *const digits[] = {"aa", "ab", "ac", "ba", "bb"};
    const struct fs_gc_request apply = {.apply = true};
    struct place *place = *state;
    char id[5][65];

    for (int i = 0; i < 5; i++) {
        test_id(digits[i], id[i]);
    }
    for (int i = 0; i < 3; i++) { /* trained here, trained elsewhere, half-trained here */
        add_run(place, id[i], "shortcut", i == 1 ? "elsewhere" : fs_build_info.source_hash,
                i == 2 ? "training" : "trained");
    }
    add_run(place, id[3], "shortcut", "elsewhere", "failed");
    make_folder(place, "runs", id[4], 2000); /* not in the database */
    make_folder(place, "runs", "my-notes", 10);

    collect(place, apply);
    says(place, "half-trained by another source: goes with --half-trained");
    says(place, "not in this database, so perhaps another one's");
    says(place, "5 folders, 6.00 kB; 0 of them, 0 B, removed");
    for (int i = 0; i < 5; i++) {
        assert_true(is_there(place, "runs", id[i]));
    }
    collect(place, (struct fs_gc_request){.half_trained = true});
    says(place, "1 of them, 1.00 kB, may go: with --apply they are removed");
    assert_true(is_there(place, "runs", id[3]));
    collect(place, (struct fs_gc_request){.half_trained = true, .apply = true});
    assert_false(is_there(place, "runs", id[3]));
    assert_true(is_there(place, "runs", id[2]));

    const char *const named[] = {"aaaaaa", "bbbbbbbb"};
    collect(place, (struct fs_gc_request){.runs = named, .run_count = 2, .apply = true});
    says(place, "2 of them, 3.00 kB, removed");
    assert_true(strstr(place->output, "goes") < strstr(place->output, "kept")); /* what goes stands first */
    assert_false(is_there(place, "runs", id[0]));
    assert_false(is_there(place, "runs", id[4]));
    assert_true(is_there(place, "runs", id[1]));
    assert_true(is_there(place, "runs", "my-notes"));
}

/* The database of another folder: nothing here is garbage for that. */
static void test_another_database(void **state)
{
    struct place *place = *state;
    char id[65];

    test_id("a1", id);
    make_folder(place, "runs", id, 1000);
    make_folder(place, "pairs", "0123456789abcdef", 3000);
    collect(place, (struct fs_gc_request){.half_trained = true, .apply = true});
    says(place, "2 folders, 4.00 kB; 0 of them, 0 B, removed");
    says(place, "none of these runs is in this database: is it that of this folder?");
    assert_true(is_there(place, "runs", id));
    assert_true(is_there(place, "pairs", "0123456789abcdef"));
}

static void test_names(void **state)
{
    struct place *place = *state;
    char id[65];
    const char *name = "a1a1a1";

    for (int i = 0; i < 2; i++) {
        test_id("a1", id);
        id[63] = (char)('0' + i);
        make_folder(place, "runs", id, 10);
    }
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"a1a1a1", "a1", "b2b2b2"};
        name = names[i];
        assert_int_equal(collect_with(place, (struct fs_gc_request){.runs = &name, .run_count = 1, .apply = true}),
                         FS_USAGE);
        assert_non_null(strstr(place->error.text, "give a run's id"));
    }
    name = id;
    collect(place, (struct fs_gc_request){.runs = &name, .run_count = 1, .apply = true});
    assert_false(is_there(place, "runs", id));
    id[63] = '0';
    assert_true(is_there(place, "runs", id));
}

static void test_pairs_stay_while_a_run_on_them_is_unfinished(void **state)
{
    const struct fs_gc_request apply = {.apply = true};
    struct place *place = *state;
    char id[65], teacher[65], pairs[17];

    test_id("c1", id);
    test_id("c2", teacher);
    add_reflow(place, id, teacher, "training", pairs);
    collect(place, apply);
    assert_true(is_there(place, "pairs", pairs));
    assert_int_equal(fs_store_run_state(place->store, id, "trained", NULL, 0, 0, &place->error), FS_OK);
    collect(place, apply);
    assert_false(is_there(place, "pairs", pairs));
    assert_true(is_there(place, "runs", teacher));
}

static void test_a_locked_folder_stays(void **state)
{
    struct place *place = *state;
    char id[65], path[700];
    const char *const named[] = {"d1d1d1"};
    const struct fs_gc_request apply = {.runs = named, .run_count = 1, .apply = true};

    test_id("d1", id);
    make_folder(place, "runs", id, 10);
    snprintf(path, sizeof(path), "%s/runs/%s/lock", place->folder, id);
    const int lock = open(path, O_RDWR);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    collect(place, apply);
    says(place, "in use");
    assert_true(is_there(place, "runs", id));
    close(lock);
    collect(place, apply);
    assert_false(is_there(place, "runs", id));
}

static void test_links_are_not_followed_and_an_empty_folder_is_fine(void **state)
{
    struct place *place = *state;
    char id[65], inner[700], outer[700];
    const char *const named[] = {"e1e1e1"};

    collect(place, (struct fs_gc_request){.apply = true});
    says(place, "0 folders, 0 B");
    make_folder(place, "precious", "thing", 10);
    test_id("e1", id);
    make_folder(place, "runs", id, 10);
    snprintf(inner, sizeof(inner), "%s/runs/%s/link", place->folder, id);
    snprintf(outer, sizeof(outer), "%s/precious", place->folder);
    assert_int_equal(symlink(outer, inner), 0);
    collect(place, (struct fs_gc_request){.runs = named, .run_count = 1, .apply = true});
    assert_false(is_there(place, "runs", id));
    assert_true(is_there(place, "precious", "thing"));
}

/* OUT/data/KEY whose manifest names these training pictures. */
static void make_pictures(struct place *place, const char *key, const char *data_sha256)
{
    char path[700], text[700];

    make_folder(place, "data", key, 500);
    snprintf(path, sizeof(path), "%s/data/%s/manifest", place->folder, key);
    snprintf(text, sizeof(text), "fewstep pictures 1\npixels-0 3 %s %s %s\n", data_sha256, data_sha256, data_sha256);
    test_write(path, text, strlen(text));
}

static void test_decoded_pictures_go_when_their_runs_are_trained(void **state)
{
    static const char *const keys[] = {"00000000000000aa", "00000000000000bb", "00000000000000cc", "00000000000000dd"};
    struct place *place = *state;
    char run[65], path[700];

    test_id("aa", run);
    const struct fs_run_row row = test_run(run);
    make_pictures(place, keys[0], row.data_sha256);
    make_pictures(place, keys[1], "0123456789abcdef");
    make_folder(place, "data", keys[2], 500); /* killed while it was made */
    make_pictures(place, keys[3], row.data_sha256);
    snprintf(path, sizeof(path), "%s/data/%s/lock", place->folder, keys[3]);
    const int reader = open(path, O_RDWR);
    assert_int_equal(flock(reader, LOCK_SH), 0);
    add_run(place, run, "shortcut", fs_build_info.source_hash, "training");
    collect(place, (struct fs_gc_request){.apply = true});
    says(place, "pictures; a run on them is unfinished");
    says(place, "pictures of no run in this database");
    assert_true(is_there(place, "data", keys[0]));
    assert_true(is_there(place, "data", keys[1]));
    assert_false(is_there(place, "data", keys[2]));
    assert_int_equal(fs_store_run_state(place->store, run, "trained", NULL, 0, 0, &place->error), FS_OK);
    collect(place, (struct fs_gc_request){.apply = true});
    assert_false(is_there(place, "data", keys[0]));
    assert_true(is_there(place, "data", keys[1]));
    assert_true(is_there(place, "data", keys[3]));
    close(reader);
    collect(place, (struct fs_gc_request){.apply = true});
    assert_false(is_there(place, "data", keys[3]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_runs_go_only_when_they_are_asked_for),
        TEST(test_another_database),
        TEST(test_names),
        TEST(test_pairs_stay_while_a_run_on_them_is_unfinished),
        TEST(test_a_locked_folder_stays),
        TEST(test_links_are_not_followed_and_an_empty_folder_is_fine),
        TEST(test_decoded_pictures_go_when_their_runs_are_trained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
