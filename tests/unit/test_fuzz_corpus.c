/* The fuzz targets on their corpora, without libFuzzer: seeds, and whatever was once a finding. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/base/file.h"
#include "tests/fuzz/targets.h"

static struct fs_error error;

/* A copy of just the input's size: a sanitizer sees any read behind it. */
static void run(fuzz_target *target, const char *path)
{
    char *bytes;
    size_t size;
    assert_int_equal(fs_file_read(path, 1 << 20, &bytes, &size, &error), FS_OK);
    uint8_t *copy = malloc(size + 1); /* malloc(0) may be NULL */
    assert_non_null(copy);
    memcpy(copy + 1, bytes, size);
    free(bytes);
    target(copy + 1, size);
    target(copy + 1, size / 2);
    free(copy);
}

static void replay(void **state)
{
    static const struct {
        const char *name;
        fuzz_target *run;
    } targets[] = {
        {"idx", fuzz_idx},
        {"latents", fuzz_latents},
        {"jpeg", fuzz_jpeg},
        {"npy", fuzz_npy},
        {"npz", fuzz_npz},
        {"png", fuzz_png},
        {"safetensors", fuzz_safetensors},
        {"yaml", fuzz_yaml},
        {"cifar10", fuzz_cifar10},
        {"manifest", fuzz_manifest},
        {"weights", fuzz_weights},
    };
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char folder[256], path[600];
        snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", targets[i].name);
        DIR *entries = opendir(folder);
        if (!entries) {
            fail_msg("%s: cannot be opened", folder);
        }
        int files = 0;
        for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
            if (entry->d_name[0] != '.') {
                snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
                run(targets[i].run, path);
                files++;
            }
        }
        closedir(entries);
        assert_true(files >= 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(replay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
