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
#include "metrics/kid.h"
#include "metrics/prdc.h"

enum metric { METRIC_FD, METRIC_KID, METRIC_PRECISION, METRIC_RECALL, METRIC_DENSITY, METRIC_COVERAGE, METRIC_COUNT };

static const struct {
    const char *name, *label;
    bool needs_features;
} metrics[METRIC_COUNT] = {
    [METRIC_FD] = {"fd", "FD", false},
    [METRIC_KID] = {"kid", "KID", true},
    [METRIC_PRECISION] = {"precision", "precision", true},
    [METRIC_RECALL] = {"recall", "recall", true},
    [METRIC_DENSITY] = {"density", "density", true},
    [METRIC_COVERAGE] = {"coverage", "coverage", true},
};

struct fid_options {
    const char *sources[2], *extractor, *resize, *metrics;
    int64_t samples, seed;
    bool json, quiet, help;
    bool wanted[METRIC_COUNT];
    bool features; /* one of them needs features, not statistics alone */
};

struct comparison {
    const struct fid_options *options;
    struct fs_side sides[2];
    struct fs_gaussian_origin origin; /* what both are compared by; empty where nobody knows */
    struct fs_progress progress;
    struct fs_estimate estimates[METRIC_COUNT]; /* low and high are NaN where there is no interval */
};

/* --- options --- */

static fs_status parse_metrics(struct fid_options *options, struct fs_error *error)
{
    const char *text = options->metrics;
    for (;;) {
        const size_t length = strcspn(text, ",");
        int found = -1;
        for (int m = 0; m < METRIC_COUNT; m++) {
            if (strlen(metrics[m].name) == length && strncmp(metrics[m].name, text, length) == 0) {
                found = m;
            }
        }
        if (found < 0) {
            return fs_fail(error, FS_USAGE,
                           "--metrics: unknown metric '%.*s': there are fd, kid, precision, recall, density, coverage",
                           (int)length, text);
        }
        options->wanted[found] = true;
        options->features = options->features || metrics[found].needs_features;
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
        {"--metrics", FS_FLAG_TEXT, &options->metrics, "M,M,…", "fd, kid, precision, recall, density, coverage (fd)"},
        {"--samples", FS_FLAG_WHOLE, &options->samples, "N", "only the first N pictures of each (all)"},
        {"--seed", FS_FLAG_WHOLE, &options->seed, "S", "of the draws that KID makes (0)"},
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
            "kept for the Inception weights of 2015.",
        .example = "fewstep fid samples/ celeba256.npz",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 2,
        .arguments_max = 2,
    };
    int count;
    options->metrics = "fd";
    FS_TRY(fs_options_parse(&usage, argc, argv, options->sources, &count, &options->help, error));
    return options->help ? FS_OK : parse_metrics(options, error);
}

/* --- the two sides --- */

/* Statistics come first: they may say which extractor the pictures must go through. */
static fs_status read_published(struct comparison *c, struct fs_error *error)
{
    const struct fid_options *options = c->options;
    for (int i = 0; i < 2; i++) {
        bool published;
        FS_TRY(fs_side_is_published(options->sources[i], options->features, &published, error));
        if (!published) {
            continue;
        }
        if (options->features) {
            return fs_fail(error, FS_USAGE,
                           "%s: statistics give a Fréchet distance only: the other metrics need pictures",
                           options->sources[i]);
        }
        FS_TRY(fs_side_read(options->sources[i], &c->sides[i], error));
        if (*c->sides[i].gaussians[0].origin.extractor) {
            c->origin = c->sides[i].gaussians[0].origin;
        }
    }
    return FS_OK;
}

static fs_status make_pictures(struct comparison *c, struct fs_error *error)
{
    const struct fid_options *options = c->options;
    struct fs_extraction extraction;
    const char *extractor = options->extractor ? options->extractor : *c->origin.extractor ? c->origin.extractor : NULL;
    const char *resize = options->resize ? options->resize : *c->origin.resize ? c->origin.resize : NULL;
    const struct fs_side_making making = {
        .statistics = {true}, .features = {options->features}, .limit = options->samples};
    FS_TRY(fs_extraction_open(&extraction, extractor, resize, options->quiet, error));
    fs_status status = FS_OK;
    for (int i = 0; status == FS_OK && i < 2; i++) {
        if (!c->sides[i].published) {
            status = fs_extraction_side(&extraction, options->sources[i], &making, &c->sides[i], error);
            c->origin = c->sides[i].gaussians[0].origin;
        }
    }
    fs_extraction_close(&extraction);
    return status;
}

/* Both sides must be of the same features, as far as they say what they are of. */
static fs_status check_sides(const struct comparison *c, struct fs_error *error)
{
    const struct fs_gaussian *a = &c->sides[0].gaussians[0], *b = &c->sides[1].gaussians[0];
    if (a->dim != b->dim) {
        return fs_fail(error, FS_USAGE, "%s has %" PRId64 " features, %s has %" PRId64 ": they cannot be compared",
                       c->sides[0].name, a->dim, c->sides[1].name, b->dim);
    }
    if (*a->origin.extractor && *b->origin.extractor &&
        (strcmp(a->origin.extractor, b->origin.extractor) != 0 || strcmp(a->origin.sha256, b->origin.sha256) != 0 ||
         strcmp(a->origin.tap, b->origin.tap) != 0 || strcmp(a->origin.resize, b->origin.resize) != 0)) {
        return fs_fail(
            error, FS_USAGE,
            "%s: features of %s (%.12s), tap %s, resize %s; %s: of %s (%.12s), tap %s, resize %s: they cannot "
            "be compared",
            c->sides[0].name, a->origin.extractor, a->origin.sha256, a->origin.tap, a->origin.resize, c->sides[1].name,
            b->origin.extractor, b->origin.sha256, b->origin.tap, b->origin.resize);
    }
    return FS_OK;
}

static fs_status make_sides(struct comparison *c, struct fs_error *error)
{
    FS_TRY(read_published(c, error));
    if (!c->sides[0].published || !c->sides[1].published) {
        FS_TRY(make_pictures(c, error));
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

static fs_status frechet(struct comparison *c, struct fs_error *error)
{
    const struct fs_gaussian *a = &c->sides[0].gaussians[0], *b = &c->sides[1].gaussians[0];
    const bool authors = strcmp(c->origin.resize, fs_resize_name(FS_RESIZE_AUTHORS)) == 0;
    return (authors ? fs_frechet_distance_authors : fs_frechet_distance)(
        a->dim, a->mean, a->covariance, b->mean, b->covariance, &c->estimates[METRIC_FD].value, error);
}

static fs_status kid(struct comparison *c, const struct fs_metric_watch *watch, struct fs_error *error)
{
    const struct fs_side *a = &c->sides[0], *b = &c->sides[1];
    struct fs_kid result;
    FS_TRY(fs_kid(a->gaussians[0].dim, a->features[0], a->count, b->features[0], b->count, FS_KID_SUBSETS,
                  FS_KID_SUBSET_ROWS, (uint32_t)c->options->seed, watch, &result, error));
    c->estimates[METRIC_KID] = result.estimate;
    return FS_OK;
}

static fs_status prdc(struct comparison *c, const struct fs_metric_watch *watch, struct fs_error *error)
{
    const struct fs_side *a = &c->sides[0], *b = &c->sides[1];
    struct fs_prdc result;
    FS_TRY(fs_prdc(a->gaussians[0].dim, a->features[0], a->count, b->features[0], b->count, FS_PRECISION_NEAREST,
                   FS_DENSITY_NEAREST, watch, &result, error));
    c->estimates[METRIC_PRECISION] = result.precision;
    c->estimates[METRIC_RECALL] = result.recall;
    c->estimates[METRIC_DENSITY] = result.density;
    c->estimates[METRIC_COVERAGE] = result.coverage;
    return FS_OK;
}

static fs_status compute(struct comparison *c, struct fs_error *error)
{
    const bool *wanted = c->options->wanted;
    const struct fs_metric_watch watch = {show, &c->progress};
    for (int m = 0; m < METRIC_COUNT; m++) {
        c->estimates[m] = (struct fs_estimate){.standard_error = NAN, .low = NAN, .high = NAN};
    }
    if (wanted[METRIC_FD]) {
        FS_TRY(frechet(c, error));
    }
    if (wanted[METRIC_KID]) {
        FS_TRY(kid(c, &watch, error));
    }
    if (wanted[METRIC_PRECISION] || wanted[METRIC_RECALL] || wanted[METRIC_DENSITY] || wanted[METRIC_COVERAGE]) {
        FS_TRY(prdc(c, &watch, error));
    }
    return FS_OK;
}

/* --- what is printed --- */

static void label(const struct comparison *c, int m, char text[96])
{
    if (m == METRIC_FD && c->origin.fid) {
        snprintf(text, 96, "FID");
    } else {
        snprintf(text, 96, "%s (%s)", metrics[m].label, *c->origin.label ? c->origin.label : "unknown features");
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

static void print_text(const struct comparison *c)
{
    for (int m = 0; m < METRIC_COUNT; m++) {
        char text[96];
        if (!c->options->wanted[m]) {
            continue;
        }
        label(c, m, text);
        printf("%-24s %.6g", text, c->estimates[m].value);
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
    for (int m = 0; m < METRIC_COUNT; m++) {
        char text[96];
        if (!c->options->wanted[m]) {
            continue;
        }
        label(c, m, text);
        const struct fs_estimate *estimate = &c->estimates[m];
        json_t *json =
            json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:b}", "metric", metrics[m].name,
                      "label", text, "value", number_json(estimate->value), "low", number_json(estimate->low), "high",
                      number_json(estimate->high), "a", side_json(&c->sides[0]), "b", side_json(&c->sides[1]),
                      "extractor", c->origin.extractor, "extractor_sha256", c->origin.sha256, "tap", c->origin.tap,
                      "resize", c->origin.resize, "quantize", true);
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
    fs_progress_begin(&c->progress, options.quiet);
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
    fs_side_free(&c->sides[0]);
    fs_side_free(&c->sides[1]);
    free(c);
    return status;
}
