/* A folder of latents: the first byte is the length of latents.json in 16s, which follows; the rest is its first shard.
 */
#include "harness/data/latents.h"
#include "tests/fuzz/targets.h"
#include "tests/support/folder.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_latents(const uint8_t *data, size_t size)
{
    if (size < 1 || size < 1 + 16 * (size_t)data[0]) {
        return;
    }
    const size_t manifest = 16 * (size_t)data[0];
    struct fs_dataset_config config = {.name = "latents"};
    struct fs_dataset dataset;
    struct fs_error error;
    test_write(test_path("latents.json"), data + 1, manifest);
    test_write(test_path("latents-00000.safetensors"), data + 1 + manifest, size - 1 - manifest);
    snprintf(config.path, sizeof config.path, "%s", test_folder());
    if (fs_dataset_open(&config, FS_SPLIT_TRAIN, &dataset, &error) != FS_OK) {
        return;
    }
    const struct fs_visit visit = {1, 2, 3};
    float *row = malloc((size_t)fs_shape_dim(&dataset.shape) * sizeof *row + 1);
    if (row && fs_dataset_visit(&dataset, dataset.shape.count - 1, &visit, row, &error) == FS_OK) {
        fuzz_touch(row, (size_t)fs_shape_dim(&dataset.shape) * sizeof *row);
    }
    if (dataset.labels) {
        fuzz_touch(dataset.labels, (size_t)dataset.shape.count * sizeof *dataset.labels);
    }
    free(row);
    fs_dataset_close(&dataset);
}
