/* Optimal transport of noise to data within groups of rows: the assignment against brute force, the pairing against
 * what it is meant to be. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "harness/data/loader.h"
#include "harness/train/assignment.h"
#include "harness/train/pairing.h"
#include "kernels/base/random.h"

#define DIM 4
#define BATCH 75 /* groups of 16, the last of 11 */
#define GROUP 16

static uint32_t seed;
static struct fs_dataset dataset;

static int start(void **state)
{
    (void)state;
    struct fs_error error;
    const struct fs_dataset_config config = {.name = "gaussian-mixture"};
    seed = (uint32_t)time(NULL);
    print_message("seed %u\n", seed);
    return fs_dataset_open(&config, FS_SPLIT_TRAIN, &dataset, &error) == FS_OK ? 0 : 1;
}

static int end(void **state)
{
    (void)state;
    fs_dataset_close(&dataset);
    return 0;
}

/* --- the assignment --- */

/* The least cost over all permutations of the rows from `row` on. */
static double brute_force(const double *cost, int n, int row, bool *used)
{
    double least = row == n ? 0 : INFINITY;
    for (int j = 0; row < n && j < n; j++) {
        if (!used[j]) {
            used[j] = true;
            least = fmin(least, cost[row * n + j] + brute_force(cost, n, row + 1, used));
            used[j] = false;
        }
    }
    return least;
}

/* The cost of the assignment, which has to be a permutation. */
static double cost_of(const double *cost, int n)
{
    int column[512];
    bool used[512] = {false};
    struct fs_error error;
    double sum = 0;
    assert_int_equal(fs_assign(cost, n, column, &error), FS_OK);
    for (int i = 0; i < n; i++) {
        assert_in_range(column[i], 0, n - 1);
        assert_false(used[column[i]]);
        used[column[i]] = true;
        sum += cost[i * n + column[i]];
    }
    return sum;
}

static void assignments_are_the_cheapest(void **state)
{
    (void)state;
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST};
    for (uint32_t trial = 0; trial < 400; trial++) {
        double cost[64];
        bool used[8] = {false};
        const int n = 1 + (int)(trial % 8);
        const bool whole = trial % 3 == 0; /* with many ties */
        for (uint32_t k = 0; k < 64; k++) {
            cost[k] =
                whole ? (double)fs_random_below(key, trial, k, 4) - 2 : 10 * (double)fs_uniform(key, trial, k) - 5;
        }
        const double least = brute_force(cost, n, 0, used);
        assert_true(fabs(cost_of(cost, n) - least) < 1e-9);
    }
}

/* Larger than brute force goes: a permutation that is hidden among costs above it, and no two rows that would gain by
 * changing places. */
static void large_assignments_are_found(void **state)
{
    (void)state;
    enum { N = 300 };
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST, .update = 1};
    double *cost = calloc((size_t)N * N, sizeof *cost);
    int hidden[N], found[N];
    struct fs_error error;
    assert_non_null(cost);
    for (int i = 0; i < N; i++) {
        hidden[i] = i;
    }
    for (uint32_t i = N - 1; i > 0; i--) {
        const uint32_t j = fs_random_below(key, 0, i, i + 1);
        const int other = hidden[j];
        hidden[j] = hidden[i];
        hidden[i] = other;
    }
    /* Numbers of rows and columns hide it: they add the same to every permutation. */
    for (uint32_t i = 0; i < N; i++) {
        for (uint32_t j = 0; j < N; j++) {
            const double reduced = hidden[i] == (int)j ? 0 : 0.01 + (double)fs_uniform(key, 1 + i, j);
            cost[i * N + j] = reduced + 50 * (double)fs_uniform(key, 1000, i) + 50 * (double)fs_uniform(key, 1001, j);
        }
    }
    assert_int_equal(fs_assign(cost, N, found, &error), FS_OK);
    assert_memory_equal(found, hidden, sizeof found);
    free(cost);
}

/* --- the pairing --- */

static struct fs_config config_of(int classes, int group)
{
    return (struct fs_config){
        .seed = seed, .model = {.classes = classes}, .train = {.batch = BATCH, .pairing_group = group}};
}

static void load(int64_t update, float *noise, float *data, int32_t *labels)
{
    struct fs_error error;
    for (uint32_t i = 0; i < BATCH; i++) {
        fs_normals4(fs_pairing_noise(seed, update), i, 0, noise + i * DIM);
    }
    assert_int_equal(fs_load_rows(&dataset, seed, update, BATCH, 0, BATCH, data, labels, &error), FS_OK);
}

static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (int d = 0; d < DIM; d++) {
        sum += pow((double)a[d] - (double)b[d], 2);
    }
    return sum;
}

/* Within its group, of the same label where labels count; no exchange of two rows makes it cheaper. Returns the mean of
 * |x0 − x1|² over that by chance. */
static double check_pairing(const int *source, int64_t update, bool by_label, int group)
{
    float noise[BATCH * DIM], data[BATCH * DIM];
    int32_t labels[BATCH];
    bool used[BATCH] = {false};
    double paired = 0, chance = 0;
    load(update, noise, data, labels);
    for (int i = 0; i < BATCH; i++) {
        assert_in_range(source[i], 0, BATCH - 1);
        assert_int_equal(source[i] / group, i / group);
        assert_true(!by_label || labels[source[i]] == labels[i]);
        assert_false(used[source[i]]);
        used[source[i]] = true;
        paired += distance(noise + i * DIM, data + source[i] * DIM);
        chance += distance(noise + i * DIM, data + i * DIM);
        for (int j = 0; j < i; j++) {
            if (i / group == j / group && (!by_label || labels[source[i]] == labels[source[j]])) {
                assert_true(distance(noise + i * DIM, data + source[i] * DIM) +
                                distance(noise + j * DIM, data + source[j] * DIM) <=
                            distance(noise + i * DIM, data + source[j] * DIM) +
                                distance(noise + j * DIM, data + source[i] * DIM) + 1e-5);
            }
        }
    }
    return paired / chance;
}

static void pair_all(const struct fs_config *config, int64_t update, int *source)
{
    struct fs_error error;
    struct fs_pairing *pairing = fs_pairing_create(config, &dataset, &error);
    assert_non_null(pairing);
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(fs_pairing_source(pairing, update, i, &source[i], &error), FS_OK);
    }
    fs_pairing_destroy(pairing);
}

static void pairs_are_near_within_their_group(void **state)
{
    (void)state;
    int source[BATCH];
    for (int64_t update = 0; update < 5; update++) {
        const struct fs_config all = config_of(0, GROUP), labelled = config_of(4, GROUP), whole = config_of(0, 1000);
        pair_all(&all, update, source);
        const double free_share = check_pairing(source, update, false, GROUP);
        pair_all(&labelled, update, source);
        const double label_share = check_pairing(source, update, true, GROUP);
        pair_all(&whole, update, source); /* a group larger than the batch is the batch */
        const double whole_share = check_pairing(source, update, false, BATCH);
        assert_true(whole_share < free_share && free_share < label_share && label_share < 1);
    }
}

/* Asked for in any order, of any rows, a pairing is the same. */
static void a_pairing_depends_on_its_row_alone(void **state)
{
    (void)state;
    struct fs_error error;
    const struct fs_config config = config_of(0, GROUP);
    int source[3][BATCH], different = 0;
    for (int update = 0; update < 3; update++) {
        pair_all(&config, update, source[update]);
    }
    struct fs_pairing *pairing = fs_pairing_create(&config, &dataset, &error);
    assert_non_null(pairing);
    for (uint32_t k = 0; k < 200; k++) {
        const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST, .update = 2};
        const int update = (int)fs_random_below(key, k, 0, 3), row = (int)fs_random_below(key, k, 1, BATCH);
        int got;
        assert_int_equal(fs_pairing_source(pairing, update, row, &got, &error), FS_OK);
        assert_int_equal(got, source[update][row]);
        different += source[0][row] != source[1][row];
    }
    assert_true(different > 100);
    fs_pairing_destroy(pairing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assignments_are_the_cheapest),
        cmocka_unit_test(large_assignments_are_found),
        cmocka_unit_test(pairs_are_near_within_their_group),
        cmocka_unit_test(a_pairing_depends_on_its_row_alone),
    };
    return cmocka_run_group_tests(tests, start, end);
}
