/* Rows of independent normals. */
#include "tests/support/gaussian.h"

#include <cblas.h>

#include "kernels/base/random.h"

void test_gaussian_rows(uint32_t seed, int64_t n, int64_t dim, const double *mean, const double *deviation, float *out)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST};
    for (int64_t i = 0; i < n; i++) {
        float normals[4] = {0};
        for (int64_t j = 0; j < dim; j++) {
            if (j % 4 == 0) {
                fs_normals4(key, (uint32_t)i, (uint32_t)(j / 4), normals);
            }
            out[i * dim + j] = (float)((mean ? mean[j] : 0) + (deviation ? deviation[j] : 1) * (double)normals[j % 4]);
        }
    }
}

int test_one_blas_thread(void **state)
{
    (void)state;
    openblas_set_num_threads(1);
    return 0;
}
