/* Small sets of pictures for tests. */
#ifndef FEWSTEP_TEST_PICTURES_H
#define FEWSTEP_TEST_PICTURES_H

/* Makes `folder`, a data set of the kind idx, with the first `train` and `test` pictures of Fashion-MNIST's splits. */
void test_small_fashion_mnist(const char *folder, int train, int test);

#endif
