/* What a feature distance is worth: how it answers to pictures that are made worse and worse. */
#include "harness/compare/disturbance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "kernels/base/random.h"
#include "metrics/classifier.h"
#include "metrics/moments.h"
#include "metrics/frechet.h"

#define BATCH 250
#define RADIUS_MAX 16 /* of the widest blur: four deviations */
#define NUMBERS_MAX (FS_CLASSIFIER_SIDE_MAX * FS_CLASSIFIER_SIDE_MAX * 3)

/* One picture of `in`, disturbed, as numbers from 0 to 255 that are rounded later; `index` is its place in the set. */
typedef void disturb(const struct fs_squares *in, int64_t index, double strength, double *out);

static const uint8_t *picture_of(const struct fs_squares *in, int64_t index)
{
    return in->pixels + index * in->side * in->side * in->channels;
}

/* Along one direction: `step` numbers from pixel to pixel, `lines` of them at `line`. The border is repeated. */
static void blur_lines(const struct fs_squares *in, const double *weights, int radius, const double *from, double *out,
                       int step, int line)
{
    for (int at = 0; at < in->side; at++) {
        for (int other = 0; other < in->side; other++) {
            for (int c = 0; c < in->channels; c++) {
                double sum = 0;
                for (int k = -radius; k <= radius; k++) {
                    const int place = at + k < 0 ? 0 : at + k >= in->side ? in->side - 1 : at + k;
                    sum += weights[k + radius] * from[place * step + other * line + c];
                }
                out[at * step + other * line + c] = sum;
            }
        }
    }
}

static void blur(const struct fs_squares *in, int64_t index, double deviation, double *out)
{
    double weights[2 * RADIUS_MAX + 1] = {0}, sum = 0, spare[NUMBERS_MAX] = {0};
    const int radius = (int)fmin(ceil(4 * deviation), RADIUS_MAX), row = in->side * in->channels;
    for (int k = -radius; k <= radius; k++) {
        sum += weights[k + radius] = exp(-0.5 * k * k / (deviation * deviation));
    }
    for (int k = 0; k <= 2 * radius; k++) {
        weights[k] /= sum;
    }
    for (int i = 0; i < in->side * row; i++) {
        out[i] = picture_of(in, index)[i];
    }
    blur_lines(in, weights, radius, out, spare, row, in->channels);
    blur_lines(in, weights, radius, spare, out, in->channels, row);
}

static void add_noise(const struct fs_squares *in, int64_t index, double share, double *out)
{
    const struct fs_random_key key = {.stream = FS_STREAM_DISTURBANCE};
    for (int i = 0; i < in->side * in->side * in->channels; i += 4) {
        float normals[4];
        fs_normals4(key, (uint32_t)index, (uint32_t)i / 4, normals);
        for (int k = 0; k < 4 && i + k < in->side * in->side * in->channels; k++) {
            out[i + k] = picture_of(in, index)[i + k] + 255 * share * (double)normals[k];
        }
    }
}

static void lower_contrast(const struct fs_squares *in, int64_t index, double left, double *out)
{
    for (int i = 0; i < in->side * in->side * in->channels; i++) {
        out[i] = 127.5 + left * (picture_of(in, index)[i] - 127.5);
    }
}

static const struct {
    const char *name;
    disturb *apply;
    double strengths[FS_STRENGTHS];
} kinds[FS_DISTURBANCES] = {
    {"blur, deviation in pixels", blur, {0.5, 1, 2, 4}},
    {"noise, share of the range", add_noise, {0.05, 0.1, 0.2, 0.4}},
    {"contrast that is left", lower_contrast, {0.8, 0.6, 0.4, 0.2}},
};

/* --- distances --- */

/* A batch on its way, and what it adds up to. */
struct measuring {
    struct fs_extractor *extractor;
    struct fs_statistics statistics;
    uint8_t *pixels;
    double *numbers; /* of one picture */
    float *features;
};

static fs_status add_pictures(struct measuring *m, const struct fs_squares *set, disturb *apply, double strength,
                              struct fs_error *error)
{
    const int64_t dim = (int64_t)set->side * set->side * set->channels;
    float *features[FS_TAPS_MAX] = {m->features};
    for (int64_t first = 0; first < set->count; first += BATCH) {
        const int64_t left = set->count - first, n = left < BATCH ? left : BATCH;
        memcpy(m->pixels, picture_of(set, first), (size_t)(n * dim));
        for (int64_t i = 0; apply && i < n; i++) {
            apply(set, first + i, strength, m->numbers);
            for (int64_t k = 0; k < dim; k++) {
                m->pixels[i * dim + k] = (uint8_t)lrint(fmin(fmax(m->numbers[k], 0), 255));
            }
        }
        const struct fs_image_batch batch = {.pixels = m->pixels,
                                             .is_uint8 = true,
                                             .count = n,
                                             .height = set->side,
                                             .width = set->side,
                                             .channels = set->channels};
        FS_TRY(m->extractor->extract(m->extractor, &batch, features, error));
        fs_statistics_add(&m->statistics, m->features, n);
    }
    return FS_OK;
}

static fs_status distance_to(struct measuring *m, const struct fs_moments *reference, const struct fs_squares *test,
                             disturb *apply, double strength, double *distance, struct fs_error *error)
{
    const int64_t dim = reference->dim;
    double *covariance = fs_allocate((size_t)dim, (size_t)dim * sizeof *covariance, "a covariance", error);
    fs_status status = covariance ? fs_statistics_create(dim, &m->statistics, error) : FS_FAILED;
    if (status == FS_OK) {
        status = add_pictures(m, test, apply, strength, error);
        if (status == FS_OK) {
            status = fs_statistics_covariance(&m->statistics, covariance, error);
        }
        if (status == FS_OK) {
            status = fs_frechet_from_root(dim, reference->mean, reference->root, reference->trace, m->statistics.mean,
                                          covariance, distance, error);
        }
        fs_statistics_destroy(&m->statistics);
    }
    free(covariance);
    return status;
}

static fs_status reference_of(struct measuring *m, const struct fs_squares *set, struct fs_moments *moments,
                              struct fs_error *error)
{
    FS_TRY(fs_statistics_create(m->extractor->taps[0].dim, &m->statistics, error));
    fs_status status = add_pictures(m, set, NULL, 0, error);
    if (status == FS_OK) {
        status = fs_moments_fill(moments, &m->statistics, 0, error);
    }
    fs_statistics_destroy(&m->statistics);
    return status;
}

static fs_status measure_all(struct measuring *m, const struct fs_moments *reference, const struct fs_squares *test,
                             struct fs_disturbance_table *table, struct fs_error *error)
{
    FS_TRY(distance_to(m, reference, test, NULL, 0, &table->unchanged, error));
    for (int kind = 0; kind < FS_DISTURBANCES; kind++) {
        for (int i = 0; i < FS_STRENGTHS; i++) {
            FS_TRY(distance_to(m, reference, test, kinds[kind].apply, kinds[kind].strengths[i],
                               &table->distance[kind][i], error));
        }
    }
    return FS_OK;
}

fs_status fs_disturbances_measure(struct fs_extractor *extractor, const struct fs_squares *reference,
                                  const struct fs_squares *test, struct fs_disturbance_table *table,
                                  struct fs_error *error)
{
    struct measuring m = {.extractor = extractor};
    struct fs_moments moments = {0};
    const size_t dim = (size_t)test->side * (size_t)test->side * (size_t)test->channels;
    *table = (struct fs_disturbance_table){0};
    m.pixels = fs_allocate(BATCH, dim, "pictures", error);
    m.numbers = fs_allocate(dim, sizeof *m.numbers, "a picture", error);
    m.features = fs_allocate(BATCH, (size_t)extractor->taps[0].dim * sizeof *m.features, "features", error);
    fs_status status = m.pixels && m.numbers && m.features ? FS_OK : FS_FAILED;
    if (status == FS_OK) {
        status = fs_moments_create(extractor->taps[0].dim, &moments, error);
    }
    if (status == FS_OK) {
        status = reference_of(&m, reference, &moments, error);
    }
    if (status == FS_OK) {
        status = measure_all(&m, &moments, test, table, error);
    }
    fs_moments_free(&moments);
    free(m.pixels);
    free(m.numbers);
    free(m.features);
    return status;
}

void fs_disturbances_print(const struct fs_disturbance_table *table, FILE *out)
{
    fprintf(out, "Fréchet distance from the test pictures to the training pictures: %.3g as they are; made worse:\n",
            table->unchanged);
    for (int kind = 0; kind < FS_DISTURBANCES; kind++) {
        fprintf(out, "  %-26s", kinds[kind].name);
        for (int i = 0; i < FS_STRENGTHS; i++) {
            fprintf(out, "%6.3g: %-9.3g", kinds[kind].strengths[i], table->distance[kind][i]);
        }
        fprintf(out, "\n");
    }
}
