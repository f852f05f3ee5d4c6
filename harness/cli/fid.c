/* fewstep fid: two sets of pictures, or their statistics, compared. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/extraction.h"
#include "harness/cli/options.h"
#include "harness/cli/session.h"
#include "metrics/frechet.h"

#define METRICS_MAX 16
#define SPATIAL_READ (FS_SIDE_TAPS_MAX - 1) /* where published statistics of the tap "spatial" are kept */

struct fid_options {
    const char *sources[2], *extractor, *resize, *metrics;
    int64_t samples, seed;
    bool json, quiet, help;
    const struct fs_metric *wanted[METRICS_MAX];
    int count;
};

struct comparison {
    const struct fid_options *options;
    struct fs_side_content contents[2];
    struct fs_side sides[2]; /* samples, reference */
    struct fs_extraction extraction;
    int taps[METRICS_MAX];                     /* of each metric, where an extractor is open */
    struct fs_gaussian_origin origin;          /* of the features that both are compared by; empty where nobody knows */
    struct fs_estimate estimates[METRICS_MAX]; /* low and high are NaN where there is no interval */
};

/* --- options --- */

static fs_status add_metric(struct fid_options *options, const char *text, size_t length, struct fs_error *error)
{
    char names[256] = "", name[64];
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    const struct fs_metric *metric = fs_metric_find(name);
    for (int i = 0; !metric && fs_metric_name(i); i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", fs_metric_name(i));
    }
    if (!metric) {
        return fs_fail(error, FS_USAGE, "--metrics: unknown metric '%s': there are %s", name, names);
    }
    for (int i = 0; i < options->count; i++) {
        if (options->wanted[i] == metric) {
            return FS_OK;
        }
    }
    options->wanted[options->count++] = metric;
    return FS_OK;
}

static fs_status parse_metrics(struct fid_options *options, struct fs_error *error)
{
    const char *text = options->metrics;
    for (;;) {
        const size_t length = strcspn(text, ",");
        FS_TRY(add_metric(options, text, length, error));
        if (!text[length]) {
            return FS_OK;
        }
        text += length + 1;
    }
}

static fs_status parse(int argc, char **argv, struct fid_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"--extractor", FS_FLAG_TEXT, &options->extractor, "NAME",
         "inception-v3 or fashion-cnn (that of the statistics, inception-v3)"},
        {"--resize", FS_FLAG_TEXT, &options->resize, "MODE",
         "clean, torch, tf1, authors or none (that of the statistics, clean)"},
        {"--metrics", FS_FLAG_TEXT, &options->metrics, "M,M,…",
         "fd, fd_infinity, sfd, kid, is, precision, recall, density, coverage, spectrum (fd)"},
        {"--samples", FS_FLAG_WHOLE, &options->samples, "N", "only the first N pictures of each (all)"},
        {"--seed", FS_FLAG_WHOLE, &options->seed, "S", "of subsets and resamples (0)"},
        {"--json", FS_FLAG_SWITCH, &options->json, NULL, "an object a metric, each on a line"},
        {"--quiet", FS_FLAG_SWITCH, &options->quiet, NULL, "no progress, no notes"},
    };
    const struct fs_usage usage = {
        .command = "fid",
        .arguments = "A B",
        .summary =
            "Distances between two sets of pictures: samples A and a reference B. Each is a folder of PNG or JPEG,\n"
            "dataset:NAME[:train|test], an .npz of pictures (arr_0, uint8 NHWC) or an .npz of statistics (mu and\n"
            "sigma: Fréchet distances only). The name of a Fréchet distance is FD with its extractor; FID is\n"
            "kept for the Inception weights of 2015. Intervals are over samples, for this reference.",
        .example = "fewstep fid samples/ celeba256.npz",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 2,
        .arguments_max = 2,
    };
    int count;
    options->metrics = "fd";
    FS_TRY(fs_options_parse(&usage, argc, argv, options->sources, &count, &options->help, error));
    if (options->seed > UINT32_MAX) {
        return fs_fail(error, FS_USAGE, "--seed: expected a whole number up to %" PRIu32, UINT32_MAX);
    }
    return options->help ? FS_OK : parse_metrics(options, error);
}

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
static fs_status look_at_side(struct comparison *c, int side, bool *pictures, bool *extractor, struct fs_error *error)
{
    const struct fid_options *options = c->options;
    FS_TRY(fs_side_look(options->sources[side], &c->contents[side], error));
    for (int m = 0; m < options->count; m++) {
        const struct fs_metric *metric = options->wanted[m];
        if (!takes_pictures(metric, side, &c->contents[side])) {
            continue;
        }
        if (!c->contents[side].pictures) {
            return fs_fail(error, FS_USAGE, "%s: statistics give a Fréchet distance only: %s needs pictures",
                           options->sources[side], metric->name);
        }
        *pictures = true;
        *extractor = *extractor || !metric->of_pictures;
    }
    return FS_OK;
}

/* --- the two sides --- */

static fs_status read_published(struct comparison *c, int side, struct fs_error *error)
{
    const char *path = c->options->sources[side];
    for (int m = 0; m < c->options->count; m++) {
        const struct fs_metric *metric = c->options->wanted[m];
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
static fs_status open_extractor(struct comparison *c, struct fs_error *error)
{
    const struct fid_options *options = c->options;
    const char *extractor = options->extractor ? options->extractor : *c->origin.extractor ? c->origin.extractor : NULL;
    const char *resize = options->resize ? options->resize : *c->origin.resize ? c->origin.resize : NULL;
    FS_TRY(fs_extraction_open(&c->extraction, extractor, resize, options->quiet, error));
    for (int m = 0; m < options->count; m++) {
        FS_TRY(fs_metric_tap(options->wanted[m], &c->extraction.extractor, &c->taps[m], error));
    }
    return FS_OK;
}

static fs_status make_pictures(struct comparison *c, int side, struct fs_error *error)
{
    struct fs_side_making making = {.limit = c->options->samples};
    for (int m = 0; m < c->options->count; m++) {
        const struct fs_metric *metric = c->options->wanted[m];
        if (!takes_pictures(metric, side, &c->contents[side])) {
            continue;
        }
        making.spectrum = making.spectrum || metric->of_pictures;
        making.statistics[c->taps[m]] = making.statistics[c->taps[m]] || takes_statistics(metric, side);
        making.features[c->taps[m]] =
            making.features[c->taps[m]] || (!metric->of_pictures && (side == 0 || metric->of_pairs));
    }
    FS_TRY(fs_extraction_side(&c->extraction, c->options->sources[side], &making, &c->sides[side], error));
    if (*c->sides[side].gaussians[0].origin.extractor) {
        c->origin = c->sides[side].gaussians[0].origin;
    }
    return FS_OK;
}

/* Both sides must be of the same features, as far as they say what they are of. */
static fs_status check_sides(const struct comparison *c, struct fs_error *error)
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

static fs_status make_sides(struct comparison *c, struct fs_error *error)
{
    bool pictures[2] = {false, false}, extractor = false;
    for (int side = 0; side < 2; side++) {
        snprintf(c->sides[side].name, sizeof c->sides[side].name, "%s", c->options->sources[side]);
        FS_TRY(look_at_side(c, side, &pictures[side], &extractor, error));
        FS_TRY(read_published(c, side, error));
    }
    fs_progress_begin(&c->extraction.progress, c->options->quiet);
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

static const struct fs_gaussian *gaussian_of(const struct comparison *c, int side, int m)
{
    const struct fs_side *s = &c->sides[side];
    const bool read = is_spatial(c->options->wanted[m]) && s->gaussians[SPATIAL_READ].dim > 0;
    return &s->gaussians[read ? SPATIAL_READ : c->taps[m]];
}

/* Of statistics alone, without an interval; and the authors' way, which shifts the interval with it. */
static fs_status frechet_of_statistics(struct comparison *c, int m, struct fs_error *error)
{
    const struct fs_gaussian *a = gaussian_of(c, 0, m), *b = gaussian_of(c, 1, m);
    const bool authors = strcmp(c->origin.resize, fs_resize_name(FS_RESIZE_AUTHORS)) == 0;
    struct fs_estimate *estimate = &c->estimates[m];
    double distance = NAN;
    if (takes_pictures(c->options->wanted[m], 0, &c->contents[0]) && !authors) {
        return FS_OK; /* evaluated already */
    }
    if (a->dim != b->dim) {
        return fs_fail(error, FS_USAGE, "%s: %s has %" PRId64 " features, %s has %" PRId64 ": they cannot be compared",
                       c->options->wanted[m]->name, c->sides[0].name, a->dim, c->sides[1].name, b->dim);
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

static fs_status check_samples(struct comparison *c, int m, struct fs_error *error)
{
    const struct fs_metric *metric = c->options->wanted[m];
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
static fs_status prepare(struct comparison *c, struct fs_evaluation *e, struct fs_moments moments[2], double **power,
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
    e->seed = (uint32_t)c->options->seed;
    for (int m = 0; m < c->options->count; m++) {
        const struct fs_metric *metric = c->options->wanted[m];
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

static fs_status evaluate(struct comparison *c, struct fs_evaluation *e, struct fs_error *error)
{
    for (int m = 0; m < c->options->count; m++) {
        const struct fs_metric *metric = c->options->wanted[m];
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

static fs_status compute(struct comparison *c, struct fs_error *error)
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

/* --- what is printed --- */

/* FID, FID∞ and sFID are names of the known weights' distances; all others carry the extractor's. */
static void label(const struct comparison *c, int m, char text[128])
{
    const struct fs_metric *metric = c->options->wanted[m];
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

static void print_side(const char *letter, const struct fs_side *side)
{
    printf("%s: %s", letter, side->name);
    if (side->count > 0) {
        printf(", %" PRId64 " pictures", side->count);
    }
    if (side->published) {
        printf("%s", *side->gaussians[0].origin.extractor ? ", statistics"
                                                          : ", statistics that do not say of which features");
    }
    printf("\n");
}

/* Characters of UTF-8, not bytes. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++) {
        width += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return width;
}

static void print_text(const struct comparison *c)
{
    int width = 0;
    char text[128];
    for (int m = 0; m < c->options->count; m++) {
        label(c, m, text);
        width = width_of(text) > width ? width_of(text) : width;
    }
    for (int m = 0; m < c->options->count; m++) {
        label(c, m, text);
        printf("%s%*s  %.6g", text, width - width_of(text), "", c->estimates[m].value);
        if (isfinite(c->estimates[m].low)) {
            printf("  (95 %%: %.6g to %.6g)", c->estimates[m].low, c->estimates[m].high);
        }
        printf("\n");
    }
    print_side("A", &c->sides[0]);
    print_side("B", &c->sides[1]);
    if (*c->origin.extractor) {
        printf("features: %s, weights %.12s, tap %s, resize %s, from 8-bit pictures\n", c->origin.extractor,
               c->origin.sha256, c->origin.tap, c->origin.resize);
    }
}

static json_t *side_json(const struct fs_side *side)
{
    return json_pack("{s:s, s:I, s:b}", "source", side->name, "count", (json_int_t)side->count, "statistics",
                     side->published);
}

static json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static fs_status print_json(const struct comparison *c, struct fs_error *error)
{
    for (int m = 0; m < c->options->count; m++) {
        char text[128];
        const struct fs_estimate *estimate = &c->estimates[m];
        label(c, m, text);
        json_t *json =
            json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:b}", "metric",
                      c->options->wanted[m]->name, "label", text, "value", number_json(estimate->value), "low",
                      number_json(estimate->low), "high", number_json(estimate->high), "a", side_json(&c->sides[0]),
                      "b", side_json(&c->sides[1]), "extractor", c->origin.extractor, "extractor_sha256",
                      c->origin.sha256, "tap", c->origin.tap, "resize", c->origin.resize, "quantize", true);
        const int bad = json ? json_dumpf(json, stdout, JSON_COMPACT) : -1;
        json_decref(json);
        if (bad) {
            return fs_fail(error, FS_FAILED, "no memory for the result, or a name that is no UTF-8");
        }
        printf("\n");
    }
    return FS_OK;
}

fs_status fs_command_fid(int argc, char **argv, struct fs_error *error)
{
    struct fid_options options = {0};
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    struct comparison *c = calloc(1, sizeof *c);
    if (!c) {
        return fs_fail(error, FS_FAILED, "no memory");
    }
    c->options = &options;
    fs_catch_signals();
    fs_status status = make_sides(c, error);
    if (status == FS_OK) {
        status = compute(c, error);
    }
    if (status == FS_OK && options.json) {
        status = print_json(c, error);
    } else if (status == FS_OK) {
        print_text(c);
    }
    fs_extraction_close(&c->extraction);
    fs_side_free(&c->sides[0]);
    fs_side_free(&c->sides[1]);
    free(c);
    return status;
}
