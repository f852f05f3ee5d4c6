/* A network with random weights and a random question, for tests: on any backend, from the same numbers. */
#ifndef FEWSTEP_TEST_NETWORK_H
#define FEWSTEP_TEST_NETWORK_H

#include "harness/model/dit.h"

struct test_network {
    struct fs_backend *backend; /* not owned */
    struct fs_dit *dit;
    struct fs_weights weights;
    struct fs_view gradients;              /* [1, parameter count] */
    struct fs_view x, dvelocity, velocity; /* [rows, H·W·C] */
    float *t, *s;
    int32_t *labels;
    int rows;
};

/* Odd on purpose: a picture that is not square, three channels, a width that fills no vector. */
extern const struct fs_model_config test_network_config;
#define TEST_NETWORK_HEIGHT 4
#define TEST_NETWORK_WIDTH 6
#define TEST_NETWORK_CHANNELS 3

/* Every weight, zero-initialised ones included, is drawn from N(0, scale²); so are x and dvelocity from N(0, 1). Fails
 * the test when something cannot be made. */
struct test_network test_network_create(struct fs_backend *backend, const struct fs_model_config *config, int rows,
                                        enum fs_type precision, double scale, uint32_t seed);
void test_network_destroy(struct test_network *network);

/* velocity for rows first … first + rows − 1, and `gradients` += its gradient. */
void test_network_pass(struct test_network *network, int first, int rows);
/* The same, told to somebody. */
void test_network_pass_watched(struct test_network *network, int first, int rows, const struct fs_dit_watch *watch);
/* Σ dvelocity·velocity over all rows, without keeping anything. */
double test_network_value(struct test_network *network);

/* Fresh host copies of `count` values in the backend's memory as doubles; values from doubles back into it. free() it.
 */
double *test_download(struct fs_backend *backend, struct fs_view view);
void test_upload(struct fs_backend *backend, struct fs_view view, const double *values);
/* |a − b|/|b| over `count` values. */
double test_relative_distance(const double *a, const double *b, int64_t count);

#endif
