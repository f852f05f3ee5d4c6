/* Two sides brought together. */
#include "harness/compare/comparison.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/frechet.h"

#define SPATIAL_READ (FS_SIDE_TAPS_MAX - 1) /* where published statistics of the tap "spatial" are kept */

/* --- what is needed of whom --- */

static bool is_spatial(const struct fs_metric *metric)
{
    return strcmp(metric->name, "sfd") == 0;
}

static bool is_frechet(const struct fs_metric *metric)
{
    return strcmp(metric->name, "fd") == 0 || is_spatial(metric);
}

/* Whether a metric takes mean and covariance of a side (0: samples, 1: reference). */
static bool takes_statistics(const struct fs_metric *metric, int side)
{
    return is_frechet(metric) || (side == 1 && strcmp(metric->name, "fd_infinity") == 0);
}

static bool has_statistics(const struct fs_side_content *content, const struct fs_metric *metric)
{
    return is_spatial(metric) ? content->spatial : content->statistics;
}

static bool takes_pictures(const struct fs_metric *metric, int side, const struct fs_side_content *content)
{
    if (takes_statistics(metric, side)) {
        return !has_statistics(content, metric);
    }
    return side == 0 || metric->of_pairs || metric->of_pictures; /* the Inception Score takes nothing of B */
}

/* Whether any metric takes pictures of a side, and in *extractor whether features of them. */
static fs_status look_at_side(struct fs_comparison *c, int side, bool *pictures, bool *extractor,
                              struct fs_error *error)
{
    const struct fs_comparison_request *request = c->request;
    FS_TRY(fs_side_look(request->sources[side], &c->contents[side], error));
    for (int m = 0; m < request->count; m++) {
        const struct fs_metric *metric = request->metrics[m];
        if (!takes_pictures(metric, side, &c->contents[side])) {
            continue;
        }
        if (!c->contents[side].pictures) {
            return fs_fail(error, FS_USAGE, "%s: statistics give a Fréchet distance only: %s needs pictures",
                           request->sources[side], metric->name);
        }
        *pictures = true;
        *extractor = *extractor || !metric->of_pictures;
    }
    return FS_OK;
}

/* --- the two sides --- */

static fs_status read_published(struct fs_comparison *c, int side, struct fs_error *error)
{
    const char *path = c->request->sources[side];
    for (int m = 0; m < c->request->count; m++) {
        const struct fs_metric *metric = c->request->metrics[m];
        const int slot = is_spatial(metric) ? SPATIAL_READ : 0;
        if (takes_statistics(metric, side) && has_statistics(&c->contents[side], metric) &&
            c->sides[side].gaussians[slot].dim == 0) {
            FS_TRY(fs_side_read(path, is_spatial(metric) ? "_s" : "", slot, &c->sides[side], error));
        }
    }
    if (*c->sides[side].gaussians[0].origin.extractor) {
        c->origin = c->sides[side].gaussians[0].origin;
    }
    return FS_OK;
}

/* Statistics may say which extractor the pictures must go through. */
static fs_status open_extractor(struct fs_comparison *c, struct fs_error *error)
{
    const struct fs_comparison_request *request = c->request;
    struct fs_extraction_request extraction = request->extraction;
    if (!extraction.extractor && *c->origin.extractor) {
        extraction.extractor = c->origin.extractor;
    }
    if (!extraction.resize && *c->origin.resize) {
        extraction.resize = c->origin.resize;
    }
    FS_TRY(fs_extraction_open(&c->extraction, &extraction, error));
    for (int m = 0; m < request->count; m++) {
        FS_TRY(fs_metric_tap(request->metrics[m], &c->extraction.extractor, &c->taps[m], error));
    }
    return FS_OK;
}

static fs_status make_pictures(struct fs_comparison *c, int side, struct fs_error *error)
{
    struct fs_side_request request = {.limit = c->request->samples};
    for (int m = 0; m < c->request->count; m++) {
        const struct fs_metric *metric = c->request->metrics[m];
        if (!takes_pictures(metric, side, &c->contents[side])) {
            continue;
        }
        request.spectrum = request.spectrum || metric->of_pictures;
        request.statistics[c->taps[m]] = request.statistics[c->taps[m]] || takes_statistics(metric, side);
        request.features[c->taps[m]] =
            request.features[c->taps[m]] || (!metric->of_pictures && (side == 0 || metric->of_pairs));
    }
    FS_TRY(fs_extraction_side(&c->extraction, c->request->sources[side], &request, &c->sides[side], error));
    if (*c->sides[side].gaussians[0].origin.extractor) {
        c->origin = c->sides[side].gaussians[0].origin;
    }
    return FS_OK;
}

/* Both sides must be of the same features, as far as they say what they are of. */
static fs_status check_sides(const struct fs_comparison *c, struct fs_error *error)
{
    const struct fs_gaussian *a = &c->sides[0].gaussians[0], *b = &c->sides[1].gaussians[0];
    if (a->dim == 0 || b->dim == 0) {
        return FS_OK; /* no metric compares them */
    }
    if (a->dim != b->dim) {
        return fs_fail(error, FS_USAGE, "%s has %" PRId64 " features, %s has %" PRId64 ": they cannot be compared",
                       c->sides[0].name, a->dim, c->sides[1].name, b->dim);
    }
    if (*a->origin.extractor && *b->origin.extractor &&
        (strcmp(a->origin.extractor, b->origin.extractor) != 0 || strcmp(a->origin.sha256, b->origin.sha256) != 0 ||
         strcmp(a->origin.tap, b->origin.tap) != 0 || strcmp(a->origin.resize, b->origin.resize) != 0)) {
        return fs_fail(error, FS_USAGE,
                       "%s: features of %s (%.12s), tap %s, resize %s; %s: of %s (%.12s), tap %s, resize %s: they "
                       "cannot be compared",
                       c->sides[0].name, a->origin.extractor, a->origin.sha256, a->origin.tap, a->origin.resize,
                       c->sides[1].name, b->origin.extractor, b->origin.sha256, b->origin.tap, b->origin.resize);
    }
    return FS_OK;
}

static fs_status make_sides(struct fs_comparison *c, struct fs_error *error)
{
    bool pictures[2] = {false, false}, extractor = false;
    for (int side = 0; side < 2; side++) {
        snprintf(c->sides[side].name, sizeof c->sides[side].name, "%s", c->request->sources[side]);
        FS_TRY(look_at_side(c, side, &pictures[side], &extractor, error));
        FS_TRY(read_published(c, side, error));
    }
    fs_progress_begin(&c->extraction.progress, c->request->extraction.quiet);
    if (extractor) {
        FS_TRY(open_extractor(c, error));
        const struct fs_extractor *opened = &c->extraction.extractor;
        struct fs_gaussian_origin *origin = &c->origin; /* also where no side has statistics of its own */
        snprintf(origin->extractor, sizeof origin->extractor, "%s", opened->name);
        snprintf(origin->label, sizeof origin->label, "%s", opened->label);
        snprintf(origin->sha256, sizeof origin->sha256, "%s", opened->sha256);
        snprintf(origin->tap, sizeof origin->tap, "%s", opened->taps[0].name);
        snprintf(origin->resize, sizeof origin->resize, "%s", fs_resize_name((int)opened->resize));
        origin->fid = opened->fid;
    }
    for (int side = 0; side < 2; side++) {
        if (pictures[side]) {
            FS_TRY(make_pictures(c, side, error));
        }
    }
    return check_sides(c, error);
}

/* --- the metrics --- */

static void show(void *owner, const char *metric, int64_t done, int64_t of)
{
    struct fs_progress *progress = owner;
    if (fs_progress_due(progress, done == of)) {
        fs_progress_line(progress, done == of, "%s: %" PRId64 "/%" PRId64, metric, done, of);
    }
}

static const struct fs_gaussian *gaussian_of(const struct fs_comparison *c, int side, int m)
{
    const struct fs_side *s = &c->sides[side];
    const bool read = is_spatial(c->request->metrics[m]) && s->gaussians[SPATIAL_READ].dim > 0;
    return &s->gaussians[read ? SPATIAL_READ : c->taps[m]];
}

/* Of statistics alone, without an interval; and the authors' way, which shifts the interval with it. */
static fs_status frechet_of_statistics(struct fs_comparison *c, int m, struct fs_error *error)
{
    const struct fs_gaussian *a = gaussian_of(c, 0, m), *b = gaussian_of(c, 1, m);
    const bool authors = strcmp(c->origin.resize, fs_resize_name(FS_RESIZE_AUTHORS)) == 0;
    struct fs_estimate *estimate = &c->estimates[m];
    double distance = NAN;
    if (takes_pictures(c->request->metrics[m], 0, &c->contents[0]) && !authors) {
        return FS_OK; /* evaluated already */
    }
    if (a->dim != b->dim) {
        return fs_fail(error, FS_USAGE, "%s: %s has %" PRId64 " features, %s has %" PRId64 ": they cannot be compared",
                       c->request->metrics[m]->name, c->sides[0].name, a->dim, c->sides[1].name, b->dim);
    }
    FS_TRY((authors ? fs_frechet_distance_authors : fs_frechet_distance)(a->dim, a->mean, a->covariance, b->mean,
                                                                         b->covariance, &distance, error));
    estimate->low += distance - estimate->value;
    estimate->high += distance - estimate->value;
    estimate->value = distance;
    return FS_OK;
}

/* Σ^½ and tr Σ of the reference, for a metric that takes its statistics. */
static fs_status make_moments(const struct fs_gaussian *gaussian, struct fs_moments *moments, struct fs_error *error)
{
    const int64_t dim = gaussian->dim;
    if (dim == 0 || moments->root) {
        return FS_OK;
    }
    moments->dim = dim;
    moments->mean = gaussian->mean;
    moments->root = calloc((size_t)dim * (size_t)dim, sizeof *moments->root);
    if (!moments->root) {
        return fs_fail(error, FS_FAILED, "no memory for a square root of %" PRId64 " × %" PRId64 " numbers", dim, dim);
    }
    for (int64_t i = 0; i < dim; i++) {
        moments->trace += gaussian->covariance[i * dim + i];
    }
    return fs_symmetric_root(dim, gaussian->covariance, moments->root, error);
}

static fs_status make_reference_power(const struct fs_spectrum *spectrum, double **power, struct fs_error *error)
{
    *power = spectrum->bins > 0 ? calloc((size_t)spectrum->bins, sizeof **power) : NULL;
    for (int bin = 0; *power && bin < spectrum->bins; bin++) {
        double ignored;
        (*power)[bin] = fs_spectrum_power(spectrum, bin, &ignored);
    }
    return *power || spectrum->bins == 0 ? FS_OK : fs_fail(error, FS_FAILED, "no memory for a spectrum");
}

static fs_status check_samples(struct fs_comparison *c, int m, struct fs_error *error)
{
    const struct fs_metric *metric = c->request->metrics[m];
    const struct fs_extractor *extractor = &c->extraction.extractor;
    const int64_t dim = extractor->state ? extractor->taps[c->taps[m]].dim : 0;
    for (int side = 0; side < 2; side++) {
        const struct fs_side *s = &c->sides[side];
        if (!takes_pictures(metric, side, &c->contents[side])) {
            continue;
        }
        if (s->count < metric->minimum) {
            return fs_fail(error, FS_USAGE, "%s: %" PRId64 " pictures: %s needs %" PRId64 " or more", s->name, s->count,
                           metric->name, metric->minimum);
        }
        fs_extraction_warn(&c->extraction, metric, s->name, s->count, dim);
    }
    if (metric->of_pictures && c->sides[0].spectrum.bins != c->sides[1].spectrum.bins) {
        return fs_fail(error, FS_USAGE,
                       "%s: its pictures are of another size than those of %s: spectra cannot be compared",
                       c->sides[0].name, c->sides[1].name);
    }
    return FS_OK;
}

/* What fs_evaluate needs; taps that no metric wants stay NULL. */
static fs_status prepare(struct fs_comparison *c, struct fs_evaluation *e, struct fs_moments moments[2], double **power,
                         struct fs_error *error)
{
    const struct fs_side *a = &c->sides[0], *b = &c->sides[1];
    moments[0].dim = c->extraction.extractor.state ? c->extraction.extractor.taps[0].dim : 0;
    e->n = a->count;
    e->features = a->features[0];
    e->moments = &moments[0];
    e->spatial_moments = &moments[1];
    e->reference = b->features[0];
    e->reference_n = b->count;
    e->spectrum = &a->spectrum;
    e->seed = (uint32_t)c->request->seed;
    for (int m = 0; m < c->request->count; m++) {
        const struct fs_metric *metric = c->request->metrics[m];
        const float *features = a->features[c->taps[m]];
        if (is_spatial(metric)) {
            e->spatial = features;
        } else if (metric->tap) {
            e->logits = features;
            e->classes = c->extraction.extractor.taps[c->taps[m]].dim;
        }
        if (takes_pictures(metric, 0, &c->contents[0]) && takes_statistics(metric, 1)) {
            FS_TRY(make_moments(gaussian_of(c, 1, m), &moments[is_spatial(metric)], error));
        }
    }
    FS_TRY(make_reference_power(&b->spectrum, power, error));
    e->reference_power = *power;
    return FS_OK;
}

static fs_status evaluate(struct fs_comparison *c, struct fs_evaluation *e, struct fs_error *error)
{
    for (int m = 0; m < c->request->count; m++) {
        const struct fs_metric *metric = c->request->metrics[m];
        c->estimates[m] = (struct fs_estimate){.value = NAN, .standard_error = NAN, .low = NAN, .high = NAN};
        FS_TRY(check_samples(c, m, error));
        if (takes_pictures(metric, 0, &c->contents[0])) {
            FS_TRY(fs_evaluate(e, metric, &c->estimates[m], error));
        }
        if (is_frechet(metric)) {
            FS_TRY(frechet_of_statistics(c, m, error));
        }
    }
    return FS_OK;
}

static fs_status compute(struct fs_comparison *c, struct fs_error *error)
{
    const struct fs_metric_watch watch = {show, &c->extraction.progress};
    struct fs_evaluation e = {.watch = &watch};
    struct fs_moments moments[2] = {{0}, {0}};
    double *power = NULL;
    fs_status status = prepare(c, &e, moments, &power, error);
    if (status == FS_OK) {
        status = evaluate(c, &e, error);
    }
    free(moments[0].root);
    free(moments[1].root);
    free(power);
    return status;
}

fs_status fs_compare(const struct fs_comparison_request *request, struct fs_comparison *c, struct fs_error *error)
{
    c->request = request;
    FS_TRY(make_sides(c, error));
    return compute(c, error);
}

void fs_comparison_close(struct fs_comparison *c)
{
    fs_extraction_close(&c->extraction);
    fs_side_free(&c->sides[0]);
    fs_side_free(&c->sides[1]);
}

void fs_comparison_label(const struct fs_comparison *c, int m, char text[128])
{
    const struct fs_metric *metric = c->request->metrics[m];
    if (metric->of_pictures) {
        snprintf(text, 128, "%s", metric->label);
    } else if (!c->origin.fid) {
        snprintf(text, 128, "%s (%s)", metric->label, *c->origin.label ? c->origin.label : "unknown features");
    } else if (takes_statistics(metric, 1)) {
        snprintf(text, 128, "%s", is_spatial(metric) ? "sFID" : is_frechet(metric) ? "FID" : "FID∞");
    } else {
        snprintf(text, 128, "%s", metric->label);
    }
}
