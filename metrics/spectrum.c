/* Power spectra by FFTW, in double. */
#include "metrics/spectrum.h"

#include <fftw3.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kernels/base/memory.h"
#include "metrics/metric.h"

#define AT_ONCE 64 /* pictures between two additions, which one thread makes in their order */

/* The plan, and where each coefficient of half a plane goes. */
struct transform {
    fftw_plan plan;
    int *bins;       /* [height, width/2 + 1]; −1: none */
    double *weights; /* the same: 2 for a coefficient whose mirror image is not stored, over its bin's number and the
                        pixels */
    double *powers;  /* [AT_ONCE, bins] */
};

static int64_t shorter_side(const struct fs_spectrum *spectrum)
{
    return spectrum->height < spectrum->width ? spectrum->height : spectrum->width;
}

static int bin_of(const struct fs_spectrum *spectrum, int64_t row, int64_t column)
{
    const int64_t signed_row = 2 * row > spectrum->height ? row - spectrum->height : row;
    const double vertical = (double)signed_row / (double)spectrum->height;
    const double horizontal = (double)column / (double)spectrum->width;
    const long nearest = lround(hypot(vertical, horizontal) * (double)shorter_side(spectrum));
    return nearest >= 1 && nearest <= spectrum->bins ? (int)nearest - 1 : -1;
}

static fs_status fill_bins(const struct fs_spectrum *spectrum, struct transform *t, struct fs_error *error)
{
    const int64_t half = spectrum->width / 2 + 1, count = spectrum->height * half;
    const double pixels = (double)(spectrum->height * spectrum->width);
    double *sizes = fs_allocate((size_t)spectrum->bins, sizeof *sizes, "a spectrum", error);
    if (!sizes) {
        return FS_FAILED;
    }
    for (int64_t i = 0; i < count; i++) {
        const int64_t column = i % half;
        const bool mirrored = column > 0 && 2 * column < spectrum->width;
        t->bins[i] = bin_of(spectrum, i / half, column);
        t->weights[i] = mirrored ? 2 : 1;
        if (t->bins[i] >= 0) {
            sizes[t->bins[i]] += t->weights[i];
        }
    }
    for (int64_t i = 0; i < count; i++) {
        t->weights[i] = t->bins[i] < 0 ? 0 : t->weights[i] / (sizes[t->bins[i]] * pixels);
    }
    free(sizes);
    return FS_OK;
}

static fs_status fill_plan(const struct fs_spectrum *spectrum, struct transform *t, struct fs_error *error)
{
    const size_t pixels = (size_t)(spectrum->height * spectrum->width);
    const size_t half = (size_t)(spectrum->height * (spectrum->width / 2 + 1));
    double *in = fftw_alloc_real(pixels);
    fftw_complex *out = fftw_alloc_complex(half);
    if (in && out) { /* estimated: a measured plan would differ from run to run, and its rounding with it */
        t->plan = fftw_plan_dft_r2c_2d((int)spectrum->height, (int)spectrum->width, in, out, FFTW_ESTIMATE);
    }
    fftw_free(in);
    fftw_free(out);
    return t->plan ? FS_OK : fs_fail(error, FS_FAILED, "spectrum: FFTW has no memory for a plan");
}

fs_status fs_spectrum_create(int64_t height, int64_t width, int64_t channels, int64_t total,
                             struct fs_spectrum *spectrum, struct fs_error *error)
{
    *spectrum = (struct fs_spectrum){.height = height, .width = width, .channels = channels, .total = total};
    if (height < 2 || width < 2 || height > 1 << 15 || width > 1 << 15 || channels < 1 || total < 1) {
        return fs_fail(error, FS_USAGE, "spectrum: expected pictures of 2 × 2 or more, got %lld of %lld × %lld × %lld",
                       (long long)total, (long long)height, (long long)width, (long long)channels);
    }
    spectrum->bins = (int)(shorter_side(spectrum) / 2);
    const size_t bins = (size_t)spectrum->bins, half = (size_t)(height * (width / 2 + 1));
    struct transform *t = fs_allocate(1, sizeof *t, "a spectrum", error);
    spectrum->transform = t;
    fs_status status = t ? FS_OK : FS_FAILED;
    if (t) {
        spectrum->sums = fs_allocate(FS_SPECTRUM_GROUPS, bins * sizeof(double), "a spectrum", error);
        spectrum->squares = fs_allocate(bins, sizeof(double), "a spectrum", error);
        t->powers = fs_allocate(AT_ONCE, bins * sizeof(double), "a spectrum", error);
        t->bins = fs_allocate(half, sizeof *t->bins, "a spectrum", error);
        t->weights = fs_allocate(half, sizeof *t->weights, "a spectrum", error);
        status = spectrum->sums && spectrum->squares && t->powers && t->bins && t->weights ? FS_OK : FS_FAILED;
    }
    if (status == FS_OK) {
        status = fill_bins(spectrum, t, error);
    }
    if (status == FS_OK) {
        status = fill_plan(spectrum, t, error);
    }
    if (status != FS_OK) {
        fs_spectrum_destroy(spectrum);
    }
    return status;
}

void fs_spectrum_destroy(struct fs_spectrum *spectrum)
{
    struct transform *t = spectrum->transform;
    if (t) {
        if (t->plan) {
            fftw_destroy_plan(t->plan);
        }
        free(t->powers);
        free(t->bins);
        free(t->weights);
        free(t);
    }
    free(spectrum->sums);
    free(spectrum->squares);
    *spectrum = (struct fs_spectrum){0};
}

/* The power of one picture to `power` [bins]. */
static void power_of(const struct fs_spectrum *spectrum, const float *picture, double *in, fftw_complex *out,
                     double *power)
{
    const struct transform *t = spectrum->transform;
    const int64_t pixels = spectrum->height * spectrum->width, half = spectrum->height * (spectrum->width / 2 + 1);
    for (int b = 0; b < spectrum->bins; b++) {
        power[b] = 0;
    }
    for (int64_t c = 0; c < spectrum->channels; c++) {
        for (int64_t i = 0; i < pixels; i++) {
            in[i] = (double)picture[i * spectrum->channels + c];
        }
        fftw_execute_dft_r2c(t->plan, in, out);
        for (int64_t i = 0; i < half; i++) {
            if (t->bins[i] >= 0) {
                power[t->bins[i]] += t->weights[i] * (out[i][0] * out[i][0] + out[i][1] * out[i][1]);
            }
        }
    }
    for (int b = 0; b < spectrum->bins; b++) {
        power[b] /= (double)spectrum->channels;
    }
}

/* false without memory. */
static bool powers_of(const struct fs_spectrum *spectrum, const float *pictures, int64_t n)
{
    const struct transform *t = spectrum->transform;
    const int64_t size = spectrum->height * spectrum->width * spectrum->channels;
    bool there = true;
#pragma omp parallel reduction(&& : there)
    {
        double *in = fftw_alloc_real((size_t)(spectrum->height * spectrum->width));
        fftw_complex *out = fftw_alloc_complex((size_t)(spectrum->height * (spectrum->width / 2 + 1)));
        there = in && out;
#pragma omp for
        for (int64_t i = 0; i < n; i++) {
            if (there) {
                power_of(spectrum, pictures + i * size, in, out, t->powers + i * spectrum->bins);
            }
        }
        fftw_free(in);
        fftw_free(out);
    }
    return there;
}

fs_status fs_spectrum_add(struct fs_spectrum *spectrum, const float *pictures, int64_t n, struct fs_error *error)
{
    const struct transform *t = spectrum->transform;
    const int64_t size = spectrum->height * spectrum->width * spectrum->channels;
    for (int64_t first = 0; first < n; first += AT_ONCE) {
        const int64_t count = n - first < AT_ONCE ? n - first : AT_ONCE;
        if (!powers_of(spectrum, pictures + first * size, count)) {
            return fs_fail(error, FS_FAILED, "spectrum: no memory for a Fourier transform");
        }
        for (int64_t i = 0; i < count; i++, spectrum->count++) {
            const int64_t place = spectrum->count < spectrum->total ? spectrum->count : spectrum->total - 1;
            const int group = fs_group_of_row(place, spectrum->total, FS_SPECTRUM_GROUPS);
            spectrum->counts[group]++;
            for (int b = 0; b < spectrum->bins; b++) {
                const double power = t->powers[i * spectrum->bins + b];
                if (!isfinite(power)) {
                    return fs_fail(error, FS_FAILED, "spectrum: picture %lld has values that are not finite",
                                   (long long)spectrum->count);
                }
                spectrum->sums[group * spectrum->bins + b] += power;
                spectrum->squares[b] += power * power;
            }
        }
    }
    return FS_OK;
}

double fs_spectrum_frequency(const struct fs_spectrum *spectrum, int bin)
{
    return (double)(bin + 1) / (double)shorter_side(spectrum);
}

/* Mean power of all pictures but those of group `without` (−1: of all). */
static double power_without(const struct fs_spectrum *spectrum, int bin, int without)
{
    double sum = 0;
    int64_t count = 0;
    for (int g = 0; g < FS_SPECTRUM_GROUPS; g++) {
        sum += g == without ? 0 : spectrum->sums[g * spectrum->bins + bin];
        count += g == without ? 0 : spectrum->counts[g];
    }
    return sum / (double)count;
}

double fs_spectrum_power(const struct fs_spectrum *spectrum, int bin, double *standard_error)
{
    const double mean = power_without(spectrum, bin, -1), n = (double)spectrum->count;
    *standard_error = n > 1 ? sqrt(fmax(spectrum->squares[bin] / n - mean * mean, 0) / (n - 1)) : 0;
    return mean;
}

static double distance_without(const struct fs_spectrum *spectrum, const double *reference, int without)
{
    double sum = 0;
    for (int b = 0; b < spectrum->bins; b++) {
        const double ratio = log(power_without(spectrum, b, without) / reference[b]);
        sum += ratio * ratio;
    }
    return sqrt(sum / spectrum->bins);
}

fs_status fs_spectrum_distance(const struct fs_spectrum *spectrum, const double *reference,
                               struct fs_estimate *distance, struct fs_error *error)
{
    double without[FS_SPECTRUM_GROUPS];
    for (int g = 0; g < FS_SPECTRUM_GROUPS; g++) {
        if (spectrum->counts[g] == 0) {
            return fs_fail(error, FS_USAGE, "spectrum: expected %d pictures or more, got %lld", FS_SPECTRUM_GROUPS,
                           (long long)spectrum->count);
        }
        without[g] = distance_without(spectrum, reference, g);
    }
    *distance = fs_estimate_jackknife(distance_without(spectrum, reference, -1), without, FS_SPECTRUM_GROUPS);
    distance->low = fmax(distance->low, 0);
    return isfinite(distance->value) && isfinite(distance->standard_error)
               ? FS_OK
               : fs_fail(error, FS_FAILED, "spectrum: a frequency at which one side has no power at all");
}

/* --- the metric --- */

static fs_status open_sums(const struct fs_picture_shape *shape, int64_t total, void **sums, struct fs_error *error)
{
    struct fs_spectrum *spectrum = fs_allocate(1, sizeof *spectrum, "a spectrum", error);
    if (!spectrum) {
        return FS_FAILED;
    }
    const fs_status status = fs_spectrum_create(shape->height, shape->width, shape->channels, total, spectrum, error);
    if (status != FS_OK) {
        free(spectrum);
        return status;
    }
    *sums = spectrum;
    return FS_OK;
}

static fs_status add_sums(void *sums, const float *pictures, int64_t n, struct fs_error *error)
{
    return fs_spectrum_add(sums, pictures, n, error);
}

static void close_sums(void *sums)
{
    fs_spectrum_destroy(sums);
    free(sums);
}

static int64_t summary_count(const struct fs_picture_shape *shape)
{
    return (shape->height < shape->width ? shape->height : shape->width) / 2;
}

/* The mean power of each bin. */
static void summarise(const void *sums, double *summary)
{
    const struct fs_spectrum *spectrum = sums;
    double ignored;
    for (int bin = 0; bin < spectrum->bins; bin++) {
        summary[bin] = fs_spectrum_power(spectrum, bin, &ignored);
    }
}

static const struct fs_picture_sums powers = {
    .name = "spectrum",
    .summary = "power",
    .open = open_sums,
    .add = add_sums,
    .close = close_sums,
    .summary_count = summary_count,
    .summarise = summarise,
};

/* Mean power over frequency, beside the reference's. */
static fs_status fill_curve(const struct fs_spectrum *spectrum, const double *reference, struct fs_metric_curve *curve,
                            struct fs_error *error)
{
    curve->points = fs_allocate((size_t)spectrum->bins, sizeof *curve->points, "a spectrum", error);
    if (!curve->points) {
        return FS_FAILED;
    }
    curve->count = spectrum->bins;
    for (int bin = 0; bin < spectrum->bins; bin++) {
        struct fs_metric_point *point = &curve->points[bin];
        point->x = fs_spectrum_frequency(spectrum, bin);
        point->value = fs_spectrum_power(spectrum, bin, &point->standard_error);
        point->reference = reference[bin];
    }
    return FS_OK;
}

static fs_status evaluate(const struct fs_evaluation *e, struct fs_estimate *estimate, struct fs_metric_curve *curve,
                          struct fs_error *error)
{
    const struct fs_spectrum *spectrum = e->samples.sums;
    FS_TRY(fs_spectrum_distance(spectrum, e->reference.summary, estimate, error));
    return curve ? fill_curve(spectrum, e->reference.summary, curve, error) : FS_OK;
}

static int64_t enough(int64_t dim)
{
    (void)dim;
    return 100;
}

const struct fs_metric fs_metric_spectrum = {
    .name = "spectrum",
    .label = "spectral distance",
    .needs = {FS_NEED_PICTURES, FS_NEED_PICTURES},
    .sums = &powers,
    .minimum = FS_SPECTRUM_GROUPS,
    .enough = enough,
    .bias = "the spectrum's noise adds to the distance, which is too large",
    .evaluate = evaluate,
};
