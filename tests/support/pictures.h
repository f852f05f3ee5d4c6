/* Small sets of pictures for tests. */
#ifndef FEWSTEP_TEST_PICTURES_H
#define FEWSTEP_TEST_PICTURES_H

/* Makes `folder`, a data set of the kind idx, with the first `train` and `test` pictures of Fashion-MNIST's splits. */
void test_small_fashion_mnist(const char *folder, int train, int test);

/* Colour pictures of sizes that differ, `count` in each of `classes` sub-folders c0, c1 …: 3.png, 4.png … */
void test_picture_folder(const char *folder, int classes, int count);

/* CIFAR-10's binary batches with so many records in each of data_batch_1.bin, data_batch_2.bin and test_batch.bin. */
void test_small_cifar10(const char *folder, int records);

#endif
