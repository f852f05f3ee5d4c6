/* From the data set to a batch. */
#include "harness/data/loader.h"

fs_status fs_load_rows(const struct fs_dataset *dataset, uint32_t seed, int64_t update, int batch, int first_row,
                       int rows, float *x1, int32_t *labels, struct fs_error *error)
{
    const int64_t dim = fs_shape_dim(&dataset->shape);
    for (int i = 0; i < rows; i++) {
        const struct fs_visit visit = {seed, update, first_row + i};
        int64_t index;
        fs_data_order(dataset->shape.count, seed, update, batch, first_row + i, 1, &index);
        FS_TRY(fs_dataset_visit(dataset, index, &visit, x1 + i * dim, error));
        labels[i] = dataset->labels ? dataset->labels[index] : 0;
    }
    return FS_OK;
}
