/* The velocity that a perfect network would have learned from a training set: two products with all its pictures. */
#include "harness/sample/exact_velocity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

#define CAPACITY 128
/* A picture whose logit is this far below the largest has no share in the mean: e^-40 is 4e-18. */
#define LOGITS_THAT_COUNT 40.0
#define LOGIT_ERROR 1e-3 /* below it, a product in float32 is good enough */

struct fs_exact_velocity {
    struct fs_backend *backend;
    struct fs_config config; /* flow matching's, of the same evaluation: the sampler asks it */
    int64_t count, dim;
    int rows, groups;               /* of labels; 1 without */
    int64_t *begin;                 /* [groups + 1]: the pictures are in the order of their groups */
    float *pictures;                /* [count, dim], the host's */
    double *squares;                /* [count], |x1|² */
    struct fs_view data, turned;    /* [count, dim] and [dim, count] on the backend */
    struct fs_view x, shares, mean; /* [rows, dim], [rows, count], [rows, dim] on the backend */
    float *host_x, *host_rows, *host_mean, *host_shares; /* [rows, dim] three times, [rows, count] */
    int *chosen;                                         /* [rows]: those of a group */
    struct fs_error failed;                              /* what went wrong inside the sampler */
};

/* --- the pictures --- */

static int group_of(const struct fs_exact_velocity *exact, const struct fs_dataset *data, int64_t index)
{
    return exact->groups > 1 && data->labels ? fs_config_label(&exact->config, data->labels[index]) : 0;
}

static fs_status count_groups(struct fs_exact_velocity *exact, const struct fs_dataset *data, struct fs_error *error)
{
    for (int64_t i = 0; i < exact->count; i++) {
        exact->begin[group_of(exact, data, i) + 1]++;
    }
    for (int g = 0; g < exact->groups; g++) {
        if (exact->begin[g + 1] == 0) {
            return fs_fail(error, FS_USAGE, "evaluate.exact_velocity: %s has no picture with label %d", data->name, g);
        }
        exact->begin[g + 1] += exact->begin[g];
    }
    return FS_OK;
}

/* The pictures to their places, their squares, and the transposed copy. */
static fs_status read_pictures(struct fs_exact_velocity *exact, const struct fs_dataset *data, struct fs_error *error)
{
    const int64_t dim = exact->dim, count = exact->count;
    const size_t bytes = (size_t)(count * dim) * sizeof(float);
    float *turned = fs_allocate((size_t)(count * dim), sizeof(float), "the training set", error);
    int64_t *next = fs_allocate((size_t)exact->groups, sizeof(int64_t), "groups of labels", error);
    fs_status status = turned && next ? FS_OK : FS_FAILED;
    if (status == FS_OK) {
        memcpy(next, exact->begin, (size_t)exact->groups * sizeof(int64_t));
    }
    for (int64_t i = 0; status == FS_OK && i < count; i++) {
        const int64_t place = next[group_of(exact, data, i)]++;
        float *picture = exact->pictures + place * dim;
        status = fs_dataset_read(data, i, picture, error);
        double square = 0;
        for (int64_t d = 0; d < dim && status == FS_OK; d++) {
            square += (double)picture[d] * (double)picture[d];
            turned[d * count + place] = picture[d];
        }
        exact->squares[place] = square;
    }
    if (status == FS_OK) {
        exact->backend->upload(exact->backend, exact->data.data, exact->pictures, bytes);
        exact->backend->upload(exact->backend, exact->turned.data, turned, bytes);
        status = exact->backend->synchronise(exact->backend, error);
    }
    free(next);
    free(turned);
    return status;
}

static fs_status allocate_all(struct fs_exact_velocity *exact, struct fs_error *error)
{
    const size_t rows = (size_t)exact->rows, dim = (size_t)exact->dim, count = (size_t)exact->count;
    const struct {
        struct fs_view *view;
        int64_t rows, cols;
    } views[] = {{&exact->data, exact->count, exact->dim},
                 {&exact->turned, exact->dim, exact->count},
                 {&exact->x, exact->rows, exact->dim},
                 {&exact->shares, exact->rows, exact->count},
                 {&exact->mean, exact->rows, exact->dim}};
    exact->begin = fs_allocate((size_t)exact->groups + 1, sizeof(int64_t), "groups of labels", error);
    exact->pictures = fs_allocate(count * dim, sizeof(float), "the training set", error);
    exact->squares = fs_allocate(count, sizeof(double), "the training set", error);
    exact->host_x = fs_allocate(rows * dim, sizeof(float), "samples", error);
    exact->host_rows = fs_allocate(rows * dim, sizeof(float), "samples", error);
    exact->host_mean = fs_allocate(rows * dim, sizeof(float), "samples", error);
    exact->host_shares = fs_allocate(rows * count, sizeof(float), "shares of the training set", error);
    exact->chosen = fs_allocate(rows, sizeof(int), "samples", error);
    if (!exact->begin || !exact->pictures || !exact->squares || !exact->host_x || !exact->host_rows ||
        !exact->host_mean || !exact->host_shares || !exact->chosen) {
        return FS_FAILED;
    }
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        FS_TRY(fs_view_create(exact->backend, views[i].rows, views[i].cols, views[i].view, error));
    }
    return FS_OK;
}

fs_status fs_exact_velocity_open(struct fs_exact_velocity **exact, struct fs_backend *backend,
                                 const struct fs_config *config, const struct fs_dataset *data, int rows,
                                 struct fs_error *error)
{
    *exact = fs_allocate(1, sizeof **exact, "the exact velocity", error);
    if (!*exact) {
        return FS_FAILED;
    }
    **exact = (struct fs_exact_velocity){.backend = backend,
                                         .config = *config,
                                         .count = data->shape.count,
                                         .dim = fs_shape_dim(&data->shape),
                                         .rows = rows,
                                         .groups = config->model.classes > 0 ? config->model.classes : 1};
    (*exact)->config.method = fs_method_find(FS_TEACHER_METHOD);
    (*exact)->config.settings = (struct fs_method_settings){{0}};
    fs_status status = allocate_all(*exact, error);
    if (status == FS_OK) {
        status = count_groups(*exact, data, error);
    }
    if (status == FS_OK) {
        status = read_pictures(*exact, data, error);
    }
    if (status != FS_OK) {
        fs_exact_velocity_close(*exact);
        *exact = NULL;
    }
    return status;
}

void fs_exact_velocity_close(struct fs_exact_velocity *exact)
{
    if (!exact) {
        return;
    }
    const struct fs_view *const views[] = {&exact->data, &exact->turned, &exact->x, &exact->shares, &exact->mean};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        if (views[i]->data) {
            exact->backend->release(exact->backend, views[i]->data);
        }
    }
    free(exact->begin);
    free(exact->pictures);
    free(exact->squares);
    free(exact->host_x);
    free(exact->host_rows);
    free(exact->host_mean);
    free(exact->host_shares);
    free(exact->chosen);
    free(exact);
}

/* --- one evaluation --- */

/* Products x·x1 of one row with pictures first … first + count − 1 become their shares. Near t = 1 the logits are
 * products times t/a², up to 10⁴ at t = 127/128, so that the rounding of a product in float32 (about 8·2⁻²⁴ of
 * |x|·|x1|) may count: then those of the pictures that can have a share are taken again in float64. */
static void posterior(const struct fs_exact_velocity *exact, const float *x, double t, int64_t first, int64_t count,
                      float *shares)
{
    const double a = 1 - (1 - FS_SIGMA) * t, slope = t / (a * a), fall = t * t / (2 * a * a);
    const double *squares = exact->squares + first;
    double length = 0, largest_square = 0, largest = -INFINITY, sum = 0;
    for (int64_t d = 0; d < exact->dim; d++) {
        length += (double)x[d] * (double)x[d];
    }
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, slope * (double)shares[i] - fall * squares[i]);
        largest_square = fmax(largest_square, squares[i]);
    }
    const double error = ldexp(8, -24) * sqrt(length * largest_square) * slope;
    const double floor = largest - LOGITS_THAT_COUNT - 2 * error;
    const bool again = error > LOGIT_ERROR;
    double best = again ? (double)-INFINITY : largest;
    for (int64_t i = 0; i < count; i++) {
        double logit = slope * (double)shares[i] - fall * squares[i];
        if (again && logit >= floor) {
            const float *picture = exact->pictures + (first + i) * exact->dim;
            double product = 0;
            for (int64_t d = 0; d < exact->dim; d++) {
                product += (double)x[d] * (double)picture[d];
            }
            logit = slope * product - fall * squares[i];
            best = fmax(best, logit);
        }
        shares[i] = (float)(logit - largest); /* small where it counts */
    }
    const double shift = best - largest;
    for (int64_t i = 0; i < count; i++) {
        const double share = exp((double)shares[i] - shift);
        sum += share;
        shares[i] = (float)share;
    }
    for (int64_t i = 0; i < count; i++) {
        shares[i] = (float)((double)shares[i] / sum);
    }
}

/* The chosen rows, all of one group of pictures. */
static fs_status evaluate_group(struct fs_exact_velocity *exact, int chosen, int64_t first, int64_t count,
                                const float *t, struct fs_error *error)
{
    struct fs_backend *backend = exact->backend;
    const int64_t dim = exact->dim;
    const struct fs_view x = fs_view_rows(exact->x, 0, chosen), mean = fs_view_rows(exact->mean, 0, chosen);
    const struct fs_view shares = fs_view(exact->shares.data, FS_F32, chosen, count);
    const size_t row_bytes = (size_t)dim * sizeof(float), share_bytes = (size_t)(chosen * count) * sizeof(float);
    for (int i = 0; i < chosen; i++) {
        memcpy(exact->host_rows + i * dim, exact->host_x + exact->chosen[i] * dim, row_bytes);
    }
    backend->upload(backend, x.data, exact->host_rows, (size_t)chosen * row_bytes);
    backend->linear_forward(backend, shares, x, fs_view_rows(exact->data, first, count), fs_no_view(), FS_LINEAR,
                            fs_no_view());
    backend->download(backend, exact->host_shares, shares.data, share_bytes);
    FS_TRY(backend->synchronise(backend, error));
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < chosen; i++) {
        posterior(exact, exact->host_rows + i * dim, (double)t[exact->chosen[i]], first, count,
                  exact->host_shares + i * count);
    }
    backend->upload(backend, shares.data, exact->host_shares, share_bytes);
    backend->linear_forward(backend, mean, shares, fs_view_cols(exact->turned, first, count), fs_no_view(), FS_LINEAR,
                            fs_no_view());
    backend->download(backend, exact->host_mean, mean.data, (size_t)chosen * row_bytes);
    FS_TRY(backend->synchronise(backend, error));
    for (int i = 0; i < chosen; i++) {
        float *row = exact->host_x + exact->chosen[i] * dim;
        const double at = (double)t[exact->chosen[i]], a = 1 - (1 - FS_SIGMA) * at;
        for (int64_t d = 0; d < dim; d++) {
            const double m = (double)exact->host_mean[i * dim + d];
            row[d] = (float)(m - (1 - FS_SIGMA) * ((double)row[d] - at * m) / a);
        }
    }
    return FS_OK;
}

fs_status fs_exact_velocity(struct fs_exact_velocity *exact, struct fs_view velocity, struct fs_view x, const float *t,
                            const int32_t *labels, struct fs_error *error)
{
    struct fs_backend *backend = exact->backend;
    const size_t bytes = (size_t)(x.rows * exact->dim) * sizeof(float);
    backend->download(backend, exact->host_x, x.data, bytes);
    FS_TRY(backend->synchronise(backend, error));
    for (int g = 0; g <= exact->groups; g++) { /* the last are those with the null label */
        int chosen = 0;
        for (int i = 0; i < (int)x.rows; i++) {
            const bool null = labels[i] < 0 || labels[i] >= exact->groups;
            if (null ? g == exact->groups : g == labels[i]) {
                exact->chosen[chosen++] = i;
            }
        }
        const int64_t first = g < exact->groups ? exact->begin[g] : 0;
        const int64_t end = g < exact->groups ? exact->begin[g + 1] : exact->count;
        if (chosen > 0) {
            FS_TRY(evaluate_group(exact, chosen, first, end - first, t, error));
        }
    }
    backend->upload(backend, velocity.data, exact->host_x, bytes);
    return backend->synchronise(backend, error);
}

/* --- in a network's place --- */

static void evaluate(struct fs_sampler *sampler, struct fs_view velocity, struct fs_view x, const float *t,
                     const float *s, const int32_t *labels)
{
    struct fs_exact_velocity *exact = sampler->owner;
    (void)s;
    if (exact->failed.status == FS_OK) {
        fs_exact_velocity(exact, velocity, x, t, labels, &exact->failed);
    }
}

fs_status fs_exact_velocity_failed(const struct fs_exact_velocity *exact, struct fs_error *error)
{
    *error = exact->failed.status == FS_OK ? *error : exact->failed;
    return exact->failed.status;
}

fs_status fs_generator_open_exact(struct fs_generator *generator, struct fs_backend *backend,
                                  const struct fs_config *config, const struct fs_dataset *data, struct fs_error *error)
{
    *generator = (struct fs_generator){.sampler = {.backend = backend}};
    FS_TRY(fs_exact_velocity_open(&generator->exact, backend, config, data, CAPACITY, error));
    generator->sampler = (struct fs_sampler){.backend = backend,
                                             .config = &generator->exact->config,
                                             .dim = generator->exact->dim,
                                             .capacity = CAPACITY,
                                             .owner = generator->exact,
                                             .evaluate = evaluate};
    fs_status status = fs_sampler_create(&generator->sampler, error);
    if (status == FS_OK) {
        status = fs_view_create(backend, CAPACITY, generator->sampler.dim, &generator->x, error);
    }
    if (status != FS_OK) {
        fs_generator_close(generator);
    }
    return status;
}
