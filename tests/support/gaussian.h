/* Rows of independent normals, for tests of statistics on known distributions. */
#ifndef FEWSTEP_TEST_GAUSSIAN_H
#define FEWSTEP_TEST_GAUSSIAN_H

#include <stdint.h>

/* out [n, dim]: mean[j] + deviation[j]·normal, NULL for 0 and 1; from FS_STREAM_TEST at `seed`. */
void test_gaussian_rows(uint32_t seed, int64_t n, int64_t dim, const double *mean, const double *deviation, float *out);

/* A cmocka group's setup: one OpenBLAS thread. Waking others costs more than small matrices do. */
int test_one_blas_thread(void **state);

#endif
