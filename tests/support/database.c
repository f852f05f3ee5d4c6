/* Rows for the database of a test. */
#include "tests/support/database.h"

#include <stdio.h>
#include <string.h>

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
