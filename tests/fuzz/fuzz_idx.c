/* IDX files, plain or gzipped: the first byte is the length of the labels' file, which follows; the rest is that of the
 * pictures. */
#include "harness/data/dataset.h"
#include "tests/fuzz/targets.h"
#include "tests/support/folder.h"

#include <stdio.h>

void fuzz_idx(const uint8_t *data, size_t size)
{
    if (size < 1 || size < 1 + (size_t)data[0]) {
        return;
    }
    const size_t labels = data[0];
    struct fs_dataset_config config = {.name = "idx"};
    struct fs_dataset dataset;
    struct fs_error error;
    test_write(test_path("train-labels-idx1-ubyte"), data + 1, labels);
    test_write(test_path("train-images-idx3-ubyte"), data + 1 + labels, size - 1 - labels);
    snprintf(config.path, sizeof config.path, "%s", test_folder());
    if (fs_dataset_open(&config, FS_SPLIT_TRAIN, &dataset, &error) == FS_OK) {
        fuzz_touch(dataset.state, (size_t)(dataset.shape.count * fs_shape_dim(&dataset.shape)));
        if (dataset.labels) {
            fuzz_touch(dataset.labels, (size_t)dataset.shape.count * sizeof *dataset.labels);
        }
        fs_dataset_close(&dataset);
    }
}
