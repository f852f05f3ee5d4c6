/* Statistics of features as they are published. */
#include "metrics/gaussian.h"

#include <cblas.h>
#include <float.h>
#include <jansson.h>
#include <lapacke.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "kernels/base/npz.h"

/* Sums of products in float32, of the largest element. */
#define ASYMMETRY_MAX 1e-5

/* --- origins --- */

void fs_gaussian_origin_of(const struct fs_extractor *extractor, int tap, int64_t count,
                           struct fs_gaussian_origin *origin)
{
    *origin = (struct fs_gaussian_origin){.fid = extractor->fid, .count = count};
    snprintf(origin->extractor, sizeof origin->extractor, "%s", extractor->name);
    snprintf(origin->label, sizeof origin->label, "%s", extractor->label);
    snprintf(origin->sha256, sizeof origin->sha256, "%s", extractor->sha256);
    snprintf(origin->tap, sizeof origin->tap, "%s", extractor->taps[tap].name);
    snprintf(origin->resize, sizeof origin->resize, "%s", fs_resize_name((int)extractor->resize));
}

fs_status fs_gaussian_origins_agree(const char *a_name, const struct fs_gaussian_origin *a, const char *b_name,
                                    const struct fs_gaussian_origin *b, struct fs_error *error)
{
    if (*a->extractor && *b->extractor &&
        (strcmp(a->extractor, b->extractor) != 0 || strcmp(a->sha256, b->sha256) != 0 || strcmp(a->tap, b->tap) != 0 ||
         strcmp(a->resize, b->resize) != 0)) {
        return fs_fail(error, FS_USAGE,
                       "%s: features of %s (%.12s), tap %s, resize %s; %s: of %s (%.12s), tap %s, resize %s: they "
                       "cannot be compared",
                       a_name, a->extractor, a->sha256, a->tap, a->resize, b_name, b->extractor, b->sha256, b->tap,
                       b->resize);
    }
    return FS_OK;
}

/* --- reading --- */

/* An array's numbers as doubles, in place where they are. */
static fs_status read_numbers(const struct fs_npz *npz, const char *name, int64_t count_max, struct fs_array *array,
                              struct fs_error *error)
{
    FS_TRY(fs_npz_read(npz, name, count_max, array, error));
    int64_t count = 1;
    for (int d = 0; d < array->rank; d++) {
        count *= array->shape[d];
    }
    if (array->type != FS_ARRAY_F32 && array->type != FS_ARRAY_F64) {
        return fs_fail(error, FS_USAGE, "%s: %s: expected float32 or float64 numbers", npz->path, name);
    }
    if (array->type == FS_ARRAY_F32) {
        double *wide = fs_allocate((size_t)count, sizeof *wide, name, error);
        if (!wide) {
            return FS_FAILED;
        }
        for (int64_t i = 0; i < count; i++) {
            wide[i] = (double)((const float *)array->data)[i];
        }
        free(array->data);
        array->data = wide;
        array->type = FS_ARRAY_F64;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(((const double *)array->data)[i])) {
            return fs_fail(error, FS_USAGE, "%s: %s: element %lld is not finite: make the statistics again", npz->path,
                           name, (long long)i);
        }
    }
    return FS_OK;
}

/* A vector, also as a matrix of one row or column. */
static fs_status read_mean(const struct fs_npz *npz, const char *name, struct fs_gaussian *gaussian,
                           struct fs_error *error)
{
    struct fs_array mu;
    fs_status status = read_numbers(npz, name, FS_GAUSSIAN_DIM_MAX, &mu, error);
    if (status == FS_OK) {
        const bool flat = mu.rank == 1 || (mu.rank == 2 && (mu.shape[0] == 1 || mu.shape[1] == 1));
        gaussian->dim = flat ? mu.shape[0] * (mu.rank == 2 ? mu.shape[1] : 1) : 0;
        if (gaussian->dim < 1) {
            status = fs_fail(error, FS_USAGE, "%s: %s: expected one row of numbers", npz->path, name);
        }
    }
    gaussian->mean = mu.data;
    return status;
}

static fs_status read_covariance(const struct fs_npz *npz, const char *name, struct fs_gaussian *gaussian,
                                 struct fs_error *error)
{
    struct fs_array sigma;
    const int64_t dim = gaussian->dim;
    const fs_status status = read_numbers(npz, name, dim * dim, &sigma, error);
    gaussian->covariance = sigma.data;
    if (status == FS_OK && (sigma.rank != 2 || sigma.shape[0] != dim || sigma.shape[1] != dim)) {
        return fs_fail(error, FS_USAGE, "%s: %s: expected %lld × %lld numbers, as mu has %lld; it has %lld × %lld",
                       npz->path, name, (long long)dim, (long long)dim, (long long)dim, (long long)sigma.shape[0],
                       (long long)(sigma.rank < 2 ? 1 : sigma.shape[1]));
    }
    return status;
}

/* --- what makes a matrix a covariance --- */

static double largest_element(const struct fs_gaussian *gaussian)
{
    const int count = (int)(gaussian->dim * gaussian->dim);
    return fabs(gaussian->covariance[cblas_idamax(count, gaussian->covariance, 1)]);
}

static fs_status make_symmetric(const char *place, struct fs_gaussian *gaussian, struct fs_error *error)
{
    const int64_t dim = gaussian->dim;
    const double largest = largest_element(gaussian);
    for (int64_t i = 0; i < dim; i++) {
        for (int64_t j = 0; j <= i; j++) {
            double *lower = &gaussian->covariance[i * dim + j], *upper = &gaussian->covariance[j * dim + i];
            if (fabs(*lower - *upper) > ASYMMETRY_MAX * largest) {
                return fs_fail(error, FS_USAGE,
                               "%s: not symmetric: element (%lld, %lld) is %g, its mirror %g: no covariance", place,
                               (long long)i, (long long)j, *lower, *upper);
            }
            *lower = *upper = (*lower + *upper) / 2;
        }
        if (gaussian->covariance[i * dim + i] < 0) {
            return fs_fail(error, FS_USAGE, "%s: the variance of feature %lld is negative (%g): no covariance", place,
                           (long long)i, gaussian->covariance[i * dim + i]);
        }
    }
    return FS_OK;
}

/* Whether Cholesky's factor exists: much cheaper than eigenvalues, and the usual case. `work` [dim, dim]. */
static bool is_positive_definite(const struct fs_gaussian *gaussian, double *work)
{
    const lapack_int dim = (lapack_int)gaussian->dim;
    memcpy(work, gaussian->covariance, (size_t)(gaussian->dim * gaussian->dim) * sizeof *work);
    return LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'U', dim, work, dim) == 0;
}

/* Negative eigenvalues within float32's rounding become 0: Σ = (V·Λ^½)·(V·Λ^½)ᵀ. `vectors` [dim, dim], `values` [dim].
 */
static fs_status clip_eigenvalues(const char *place, struct fs_gaussian *gaussian, double *vectors, double *values,
                                  struct fs_error *error)
{
    const int dim = (int)gaussian->dim;
    memcpy(vectors, gaussian->covariance, (size_t)(gaussian->dim * gaussian->dim) * sizeof *vectors);
    if (LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'U', dim, vectors, dim, values) != 0) {
        return fs_fail(error, FS_FAILED, "%s: its eigenvalues could not be found", place);
    }
    if (values[0] < -(double)dim * FLT_EPSILON * largest_element(gaussian)) {
        return fs_fail(error, FS_USAGE, "%s: has an eigenvalue of %g (the largest is %g): no covariance", place,
                       values[0], values[dim - 1]);
    }
    if (values[0] >= -(double)dim * DBL_EPSILON * values[dim - 1]) {
        return FS_OK; /* a zero, but for the rounding of this very computation */
    }
    for (int i = 0; i < dim; i++) {
        cblas_dscal(dim, sqrt(fmax(values[i], 0)), vectors + i, dim);
    }
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, dim, dim, 1, vectors, dim, 0, gaussian->covariance, dim);
    for (int64_t i = 0; i < dim; i++) {
        for (int64_t j = 0; j < i; j++) {
            gaussian->covariance[i * dim + j] = gaussian->covariance[j * dim + i];
        }
    }
    return FS_OK;
}

static fs_status make_covariance(const char *place, struct fs_gaussian *gaussian, struct fs_error *error)
{
    FS_TRY(make_symmetric(place, gaussian, error));
    const size_t dim = (size_t)gaussian->dim;
    double *work = fs_allocate(dim + 1, dim * sizeof *work, place, error);
    if (!work) {
        return FS_FAILED;
    }
    const fs_status status =
        is_positive_definite(gaussian, work) ? FS_OK : clip_eigenvalues(place, gaussian, work, work + dim * dim, error);
    free(work);
    return status;
}

/* --- the origin --- */

static void copy_text(const json_t *comment, const char *key, char *text, size_t size)
{
    const char *value = json_string_value(json_object_get(comment, key));
    snprintf(text, size, "%s", value ? value : "");
}

static void read_origin(const char *comment, struct fs_gaussian_origin *origin)
{
    json_t *json = json_loads(comment, 0, NULL);
    copy_text(json, "extractor", origin->extractor, sizeof origin->extractor);
    copy_text(json, json_object_get(json, "label") ? "label" : "extractor", origin->label, sizeof origin->label);
    origin->fid = json_is_true(json_object_get(json, "fid"));
    copy_text(json, "sha256", origin->sha256, sizeof origin->sha256);
    copy_text(json, "tap", origin->tap, sizeof origin->tap);
    copy_text(json, "resize", origin->resize, sizeof origin->resize);
    origin->count = json_integer_value(json_object_get(json, "count"));
    json_decref(json);
}

fs_status fs_gaussian_read(const char *path, const char *suffix, struct fs_gaussian *gaussian, struct fs_error *error)
{
    struct fs_npz npz;
    char mu[32], sigma[32], place[1200];
    snprintf(mu, sizeof mu, "mu%s", suffix);
    snprintf(sigma, sizeof sigma, "sigma%s", suffix);
    snprintf(place, sizeof place, "%s: %s", path, sigma);
    *gaussian = (struct fs_gaussian){0};
    FS_TRY(fs_npz_open(path, &npz, error));
    fs_status status = read_mean(&npz, mu, gaussian, error);
    if (status == FS_OK) {
        status = read_covariance(&npz, sigma, gaussian, error);
    }
    if (status == FS_OK) {
        status = make_covariance(place, gaussian, error);
        read_origin(fs_npz_comment(&npz), &gaussian->origin);
    }
    fs_npz_close(&npz);
    return status;
}

void fs_gaussian_free(struct fs_gaussian *gaussian)
{
    free(gaussian->mean);
    free(gaussian->covariance);
    *gaussian = (struct fs_gaussian){0};
}

/* --- writing --- */

fs_status fs_gaussian_write(const char *path, const struct fs_gaussian *gaussian, struct fs_error *error)
{
    static const char *const names[] = {"mu", "sigma"};
    const struct fs_gaussian_origin *origin = &gaussian->origin;
    const struct fs_array arrays[] = {
        {FS_ARRAY_F64, 1, {gaussian->dim}, gaussian->mean},
        {FS_ARRAY_F64, 2, {gaussian->dim, gaussian->dim}, gaussian->covariance},
    };
    json_t *json = json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:I}", "extractor", origin->extractor, "label",
                             origin->label, "fid", origin->fid, "sha256", origin->sha256, "tap", origin->tap, "resize",
                             origin->resize, "count", (json_int_t)origin->count);
    char *comment = json ? json_dumps(json, JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (!comment) {
        return fs_fail(error, FS_FAILED, "%s: no memory", path);
    }
    const fs_status status = fs_npz_write(path, names, arrays, 2, comment, error);
    free(comment);
    return status;
}
