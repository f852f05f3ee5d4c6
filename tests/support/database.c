/* A folder of its own for a test, and rows for the database. */
#include "tests/support/database.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void test_folder_make(char path[256])
{
    const char *base = getenv("TMPDIR");

    snprintf(path, 256, "%s/fewstep-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path)) {
        perror(path);
        abort();
    }
}

void test_folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    char inner[1024];

    if (!folder) {
        return;
    }
    while ((entry = readdir(folder))) {
        struct stat about;
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || lstat(inner, &about) != 0) {
            continue;
        }
        if (S_ISDIR(about.st_mode)) {
            test_folder_remove(inner);
        } else {
            unlink(inner);
        }
    }
    closedir(folder);
    rmdir(path);
}

int test_folder_files(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0;

    while (folder && (entry = readdir(folder))) {
        count += entry->d_type != DT_DIR;
    }
    if (folder) {
        closedir(folder);
    }
    return count;
}

struct fs_environment test_environment(void)
{
    return (struct fs_environment){
        .commit = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00",
        .source_hash = "5011ce005011ce005011ce005011ce005011ce005011ce005011ce005011ce00",
        .compiler = "gcc 12.2.0",
        .flags = "-O2",
        .libraries = "oneDNN 2.6.3",
        .cpu = "a processor",
        .isa = "avx2",
        .device = "cpu",
        .host = "here",
        .threads = 2,
    };
}

struct fs_run_row test_run(const char *id)
{
    return (struct fs_run_row){
        .id = id,
        .method = "flow-matching",
        .dataset = "fashion-mnist",
        .model = "dit-xs/4",
        .config_json = "{}",
        .train_hash = "7a17",
        .data_sha256 = "da7a",
        .source_hash = "5011ce005011ce005011ce005011ce005011ce005011ce005011ce005011ce00",
        .seed = 0,
        .updates = 4000,
        .flops = 123.4e12,
    };
}

struct fs_score_row test_score(const char *score_hash, const char *run)
{
    return (struct fs_score_row){
        .score_hash = score_hash,
        .run = run,
        .source = "run",
        .update = 4000,
        .weights = "ema",
        .steps = 4,
        .guidance_scale = 1,
        .labels = "index mod 10",
        .samples = 5000,
        .quantize = true,
        .resize = "none",
        .extractor = "fashion-cnn",
        .extractor_sha256 = "e0",
        .tap = "features",
        .reference = "dataset:fashion-mnist:train",
        .reference_sha256 = "4e",
        .metric = "fd",
        .precision = "fp32",
        .device = "cpu",
        .source_hash = "5011ce005011ce005011ce005011ce005011ce005011ce005011ce005011ce00",
        .value = 12.5,
        .low = 12,
        .high = 13,
        .seconds = 2.5,
    };
}

void test_id(const char *digits, char id[65])
{
    const size_t length = strlen(digits);

    for (size_t i = 0; i < 64; i++) {
        id[i] = digits[i % length];
    }
    id[64] = 0;
}
