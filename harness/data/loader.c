/* From the data set to a batch. */
#include "harness/data/loader.h"

void fs_load_rows(const struct fs_dataset *dataset, uint32_t seed, int64_t update, int batch, int first_row, int rows,
                  float *x1, int32_t *labels)
{
    const size_t dim = (size_t)fs_dataset_dim(dataset);
    for (int i = 0; i < rows; i++) {
        int64_t index;
        fs_data_order(dataset->count, seed, update, batch, first_row + i, 1, &index);
        fs_dataset_row(dataset, index, x1 + (size_t)i * dim);
        labels[i] = dataset->labels[index];
    }
}
