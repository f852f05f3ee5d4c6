/* fewstep fid: two sets of pictures, or their statistics, compared. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/compare/comparison.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"
#include "harness/text/escape.h"

struct fid_options {
    struct fs_comparison_request request;
    const char *metrics, *device, *range;
    double ends[2]; /* of the range */
    int64_t seed;
    bool json, help;
};

/* --- options --- */

static fs_status parse(int argc, char **argv, struct fid_options *options, struct fs_error *error)
{
    char names[256], metrics[300];
    fs_metric_names(names, sizeof names);
    snprintf(metrics, sizeof metrics, "%s (fd)", names);
    const struct fs_flag flags[] = {
        {"--extractor", FS_FLAG_TEXT, &options->request.extraction.extractor, "NAME",
         "inception-v3 or fashion-cnn (that of the statistics, inception-v3)"},
        {"--resize", FS_FLAG_TEXT, &options->request.extraction.resize, "MODE",
         "clean, torch, tf1, authors or none (that of the statistics, clean)"},
        {"--metrics", FS_FLAG_TEXT, &options->metrics, "M,M,…", metrics},
        {"--samples", FS_FLAG_WHOLE, &options->request.extraction.reading.limit, "N",
         "only the first N pictures of each (all)"},
        {"--range", FS_FLAG_TEXT, &options->range, "LOW..HIGH", "what the floats of an .npy span (-1..1)"},
        {"--quantize", FS_FLAG_SWITCH, &options->request.extraction.reading.quantize, NULL,
         "clip and round floats to 8 bits, as a run does"},
        {"--seed", FS_FLAG_WHOLE, &options->seed, "S", "of subsets and resamples (0)"},
        {"--device", FS_FLAG_TEXT, &options->device, "NAME", "auto, cpu or cuda: where the features are made (auto)"},
        {"--json", FS_FLAG_SWITCH, &options->json, NULL, "an object a metric, each on a line"},
        {"--quiet", FS_FLAG_SWITCH, &options->request.extraction.quiet, NULL, "no progress, no notes"},
    };
    const struct fs_usage usage = {
        .command = "fid",
        .arguments = "A B",
        .summary =
            "Distances between two sets of pictures: samples A and a reference B. Each is a folder of PNG or JPEG,\n"
            "dataset:NAME[:train|test], an .npz of pictures (arr_0, uint8 NHWC), an .npy of pictures (uint8, or "
            "floats,\n"
            "which are neither clipped nor rounded without --quantize), or an .npz of statistics (mu and sigma: "
            "Fréchet\n"
            "distances only).\n"
            "The name of a Fréchet distance is FD with its extractor; FID is kept for the Inception weights of 2015.\n"
            "Intervals are over samples, for this reference.",
        .example = "fewstep fid samples/ celeba256.npz",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 2,
        .arguments_max = 2,
    };
    int count;
    FS_TRY(fs_options_parse(&usage, argc, argv, options->request.sources, &count, &options->help, error));
    if (options->seed > UINT32_MAX) {
        return fs_fail(error, FS_USAGE, "--seed: expected a whole number up to %" PRIu32, UINT32_MAX);
    }
    options->request.seed = (uint32_t)options->seed;
    FS_TRY(fs_parse_range(options->range, options->ends, &options->request.extraction.reading.range, error));
    FS_TRY(fs_parse_device(options->device, &options->request.extraction.device, error));
    return options->help ? FS_OK
                         : fs_parse_metrics(options->metrics, options->request.metrics, &options->request.count, error);
}

/* --- what is printed --- */

static void print_side(const char *letter, const struct fs_side *side)
{
    printf("%s: %s", letter, side->name);
    if (side->count > 0) {
        printf(", %" PRId64 " pictures%s", side->count, side->floats ? " in floats, not rounded" : "");
    }
    if (side->published) {
        printf("%s", *side->origin.extractor ? ", statistics" : ", statistics that do not say of which features");
    }
    printf("\n");
}

static void print_text(const struct fs_comparison *c)
{
    int width = 0;
    char text[128];
    for (int m = 0; m < c->request->count; m++) {
        fs_comparison_label(c, m, text);
        width = fs_utf8_characters(text) > width ? fs_utf8_characters(text) : width;
    }
    for (int m = 0; m < c->request->count; m++) {
        fs_comparison_label(c, m, text);
        printf("%s%*s  %.6g", text, width - fs_utf8_characters(text), "", c->estimates[m].value);
        if (isfinite(c->estimates[m].low)) {
            printf("  (95 %%: %.6g to %.6g)", c->estimates[m].low, c->estimates[m].high);
        }
        printf("\n");
    }
    print_side("A", &c->sides[0]);
    print_side("B", &c->sides[1]);
    if (*c->origin.extractor) {
        printf("features: %s, weights %.12s, tap %s, resize %s", c->origin.extractor, c->origin.sha256, c->origin.tap,
               c->origin.resize);
        if (c->extraction.backend) {
            printf(", made on %s (%s)", c->extraction.backend->name, c->extraction.backend->variant);
        }
        printf("\n");
    }
}

/* A folder's name may be no UTF-8. */
static json_t *side_json(const struct fs_side *side)
{
    char name[sizeof side->name * 3];
    fs_plain_text(side->name, name, sizeof name);
    return json_pack("{s:s, s:I, s:b, s:b}", "source", name, "count", (json_int_t)side->count, "statistics",
                     side->published, "quantize", !side->floats);
}

static json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static fs_status print_json(const struct fs_comparison *c, struct fs_error *error)
{
    for (int m = 0; m < c->request->count; m++) {
        char text[128];
        const struct fs_estimate *estimate = &c->estimates[m];
        fs_comparison_label(c, m, text);
        json_t *json = json_pack(
            "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:s?}", "metric", c->request->metrics[m]->name,
            "label", text, "value", number_json(estimate->value), "low", number_json(estimate->low), "high",
            number_json(estimate->high), "a", side_json(&c->sides[0]), "b", side_json(&c->sides[1]), "extractor",
            c->origin.extractor, "extractor_sha256", c->origin.sha256, "tap", c->origin.tap, "resize", c->origin.resize,
            "device", c->extraction.backend ? c->extraction.backend->name : NULL);
        const int bad = json ? json_dumpf(json, stdout, JSON_COMPACT) : -1;
        json_decref(json);
        if (bad) {
            return fs_fail(error, FS_FAILED, "no memory for the result");
        }
        printf("\n");
    }
    return FS_OK;
}

fs_status fs_command_fid(int argc, char **argv, struct fs_error *error)
{
    struct fid_options options = {.metrics = "fd", .device = "auto"};
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    struct fs_comparison *comparison = calloc(1, sizeof *comparison);
    if (!comparison) {
        return fs_fail(error, FS_FAILED, "no memory");
    }
    fs_catch_signals();
    fs_status status = fs_compare(&options.request, comparison, error);
    if (status == FS_OK && options.json) {
        status = print_json(comparison, error);
    } else if (status == FS_OK) {
        print_text(comparison);
    }
    fs_comparison_close(comparison);
    free(comparison);
    return status;
}
