/* Pictures of the data to stand below samples. */
#include "harness/report/data_row.h"

#include "harness/data/dataset.h"
#include "harness/data/sample_grid.h"

#define COUNT_MAX 144 /* of twelve methods twelve each */

bool fs_data_row_read(const char *config_json, int side, int channels, int across, int count, uint8_t *tiles)
{
    struct fs_config config;
    struct fs_dataset data;
    struct fs_error ignored;
    int32_t labels[COUNT_MAX];
    int64_t indices[COUNT_MAX];
    if (count > COUNT_MAX || fs_config_from_json(config_json, &config, &ignored) != FS_OK) {
        return false;
    }
    const struct fs_data_access few = {.streamed = true}; /* of a folder with many pictures one row is decoded */
    bool good = fs_dataset_open_with(&config.dataset, &few, FS_SPLIT_TRAIN, &data, &ignored) == FS_OK;
    if (good) {
        const struct fs_data_shape *shape = &data.shape;
        good = data.pictures && shape->height == side && shape->width == side && shape->channels == channels;
        for (int i = 0; i < count; i++) {
            labels[i] = config.model.classes > 0 ? i % across % config.model.classes : 0;
        }
        if (good) {
            const bool known = config.evaluate.labels == FS_LABELS_CYCLE;
            fs_data_examples(&data, &config, known ? labels : NULL, count, indices);
        }
        for (int i = 0; good && i < count; i++) {
            good = fs_dataset_bytes(&data, indices[i], 1, tiles + i * fs_shape_dim(shape), &ignored) == FS_OK;
        }
        fs_dataset_close(&data);
    }
    fs_config_free(&config);
    return good;
}
