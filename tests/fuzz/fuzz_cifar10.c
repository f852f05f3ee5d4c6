/* A batch of CIFAR-10's binary version. */
#include "harness/data/dataset.h"
#include "tests/fuzz/targets.h"
#include "tests/support/folder.h"

#include <stdio.h>

void fuzz_cifar10(const uint8_t *data, size_t size)
{
    struct fs_dataset_config config = {.name = "cifar10"};
    struct fs_dataset dataset;
    struct fs_error error;
    float row[32 * 32 * 3];
    test_write(test_path("test_batch.bin"), data, size);
    snprintf(config.path, sizeof config.path, "%s", test_folder());
    if (fs_dataset_open(&config, FS_SPLIT_TEST, &dataset, &error) == FS_OK) {
        for (int64_t i = 0; i < dataset.shape.count; i++) {
            if (fs_dataset_read(&dataset, i, row, &error) == FS_OK) {
                fuzz_touch(row, sizeof row);
            }
        }
        fuzz_touch(dataset.labels, (size_t)dataset.shape.count * sizeof *dataset.labels);
        fs_dataset_close(&dataset);
    }
}
