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
#include "harness/report/gc.h"
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

static void collect(struct place *place, bool apply)
{
    FILE *stream = fmemopen(place->output, sizeof(place->output), "w");

    if (fs_gc(place->store, place->folder, apply, stream, &place->error) != FS_OK) {
        fail_msg("%s", place->error.text);
    }
    fclose(stream);
}

static void says(struct place *place, const char *text)
{
    if (!strstr(place->output, text)) {
        fail_msg("no '%s' in:\n%s", text, place->output);
    }
}

static void test_only_what_nobody_needs_goes_and_only_when_told(void **state)
{
    static const char *const kept[] = {"aa", "ab", "ac"}, *const gone[] = {"ba", "bb"};
    struct place *place = *state;
    char id[65];

    for (int i = 0; i < 3; i++) { /* trained here, trained elsewhere, half-trained here */
        test_id(kept[i], id);
        add_run(place, id, "shortcut", i == 1 ? "elsewhere" : fs_build_info.source_hash,
                i == 2 ? "training" : "trained");
    }
    test_id(gone[0], id);
    add_run(place, id, "shortcut", "elsewhere", "failed");
    test_id(gone[1], id);
    make_folder(place, "runs", id, 2000); /* not in the database */
    make_folder(place, "runs", "my-notes", 10);
    make_folder(place, "pairs", "0123456789abcdef", 3000);

    collect(place, false);
    says(place, "6 folders, 9.00 kB; 3 of them, 6.00 kB, may go: `fewstep gc --apply`");
    says(place, "half-trained by another source");
    says(place, "not in the database");
    for (int i = 0; i < 2; i++) {
        test_id(gone[i], id);
        assert_true(is_there(place, "runs", id));
    }
    collect(place, true);
    says(place, "3 of them, 6.00 kB, removed");
    for (int i = 0; i < 3; i++) {
        test_id(kept[i], id);
        assert_true(is_there(place, "runs", id));
    }
    for (int i = 0; i < 2; i++) {
        test_id(gone[i], id);
        assert_false(is_there(place, "runs", id));
    }
    assert_false(is_there(place, "pairs", "0123456789abcdef"));
    assert_true(is_there(place, "runs", "my-notes"));
    collect(place, true);
    says(place, "3 folders, 3.00 kB; 0 of them, 0 B, removed");
}

static void test_pairs_stay_while_a_reflow_run_is_unfinished(void **state)
{
    struct place *place = *state;
    char id[65];

    test_id("c1", id);
    add_run(place, id, "reflow", fs_build_info.source_hash, "training");
    make_folder(place, "pairs", "0123456789abcdef", 3000);
    collect(place, true);
    assert_true(is_there(place, "pairs", "0123456789abcdef"));
    assert_int_equal(fs_store_run_state(place->store, id, "trained", NULL, 0, 0, &place->error), FS_OK);
    collect(place, true);
    assert_false(is_there(place, "pairs", "0123456789abcdef"));
    assert_true(is_there(place, "runs", id));
}

static void test_a_locked_folder_stays(void **state)
{
    struct place *place = *state;
    char id[65], path[700];

    test_id("d1", id);
    make_folder(place, "runs", id, 10);
    snprintf(path, sizeof(path), "%s/runs/%s/lock", place->folder, id);
    const int lock = open(path, O_RDWR);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    collect(place, true);
    says(place, "in use");
    assert_true(is_there(place, "runs", id));
    close(lock);
    collect(place, true);
    assert_false(is_there(place, "runs", id));
}

static void test_links_are_not_followed_and_an_empty_folder_is_fine(void **state)
{
    struct place *place = *state;
    char id[65], inner[700], outer[700];

    collect(place, true);
    says(place, "0 folders, 0 B");
    make_folder(place, "precious", "thing", 10);
    test_id("e1", id);
    make_folder(place, "runs", id, 10);
    snprintf(inner, sizeof(inner), "%s/runs/%s/link", place->folder, id);
    snprintf(outer, sizeof(outer), "%s/precious", place->folder);
    assert_int_equal(symlink(outer, inner), 0);
    collect(place, true);
    assert_false(is_there(place, "runs", id));
    assert_true(is_there(place, "precious", "thing"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_only_what_nobody_needs_goes_and_only_when_told),
        TEST(test_pairs_stay_while_a_reflow_run_is_unfinished),
        TEST(test_a_locked_folder_stays),
        TEST(test_links_are_not_followed_and_an_empty_folder_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
