/* Folders of latents for tests, written by other code than the program's. */
#ifndef FEWSTEP_TEST_LATENTS_H
#define FEWSTEP_TEST_LATENTS_H

#include "harness/data/latents.h"

#define TEST_LATENTS_PICTURES 7 /* in shards of 3, 3 and 1 */
#define TEST_LATENTS_DIM 12     /* 2 × 3 × 2 */

struct test_latents {
    float mean[TEST_LATENTS_PICTURES][2][TEST_LATENTS_DIM], log_variance[TEST_LATENTS_PICTURES][2][TEST_LATENTS_DIM];
    int32_t labels[TEST_LATENTS_PICTURES]; /* of 4 classes */
};

/* Numbers that fp16 has room for, exactly. */
void test_latents_fill(struct test_latents *latents);
/* Writes them as `stored` to `folder`, which is made. */
void test_latents_write(const char *folder, const struct test_latents *latents, enum fs_type stored);

#endif
