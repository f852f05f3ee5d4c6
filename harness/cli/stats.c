/* fewstep stats: mean and covariance of features, for `fid` here and other. */
#include <inttypes.h>
#include <stdio.h>

#include "harness/cli/command.h"
#include "harness/compare/extraction.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"
#include "kernels/base/file.h"

struct stats_options {
    struct fs_extraction_request request;
    const char *source, *output, *device, *range;
    double ends[2]; /* of the range */
    bool help;
};

static fs_status parse(int argc, char **argv, struct stats_options *options, struct fs_error *error)
{
    const struct fs_flag flags[] = {
        {"-o", FS_FLAG_TEXT, &options->output, "OUT.npz", "the statistics: mu and sigma, float64"},
        {"--extractor", FS_FLAG_TEXT, &options->request.extractor, "NAME",
         "whose features: inception-v3 (the default) or fashion-cnn"},
        {"--resize", FS_FLAG_TEXT, &options->request.resize, "MODE", "clean, torch, tf1, authors or none (clean)"},
        {"--samples", FS_FLAG_WHOLE, &options->request.reading.limit, "N", "only the first N pictures (all)"},
        {"--range", FS_FLAG_TEXT, &options->range, "LOW..HIGH", "what the floats of an .npy span (-1..1)"},
        {"--quantize", FS_FLAG_SWITCH, &options->request.reading.quantize, NULL,
         "clip and round floats to 8 bits, as a run does"},
        {"--device", FS_FLAG_TEXT, &options->device, "NAME", "auto, cpu or cuda: where the features are made (auto)"},
        {"--quiet", FS_FLAG_SWITCH, &options->request.quiet, NULL, "no progress"},
    };
    const struct fs_usage usage = {
        .command = "stats",
        .arguments = "SOURCE",
        .summary = "Mean and covariance of features of pictures: mu and sigma in an .npz, as pytorch-fid and clean-fid "
                   "keep them.\n"
                   "SOURCE: a folder of PNG or JPEG, dataset:NAME[:train|test], an .npz (arr_0) or .npy of pictures, "
                   "or an .npz\n"
                   "of statistics, which is written again in this form.",
        .example = "fewstep stats celeba256/ --resize torch -o celeba256.npz",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = 1,
    };
    int count;
    FS_TRY(fs_options_parse(&usage, argc, argv, &options->source, &count, &options->help, error));
    if (!options->help && !options->output) {
        return fs_fail(error, FS_USAGE, "fewstep stats: -o is missing: the .npz to write");
    }
    FS_TRY(fs_parse_range(options->range, options->ends, &options->request.reading.range, error));
    return fs_parse_device(options->device, &options->request.device, error);
}

/* Whether the result can be written is asked before the work, not after it. */
static fs_status try_output(const char *path, struct fs_error *error)
{
    struct fs_new_file file;
    FS_TRY(fs_new_file_open(&file, path, error));
    fs_new_file_abandon(&file);
    return FS_OK;
}

static fs_status make_side(const struct stats_options *options, struct fs_side *side, struct fs_error *error)
{
    const struct fs_metric *const fd = fs_metric_find("fd");
    const struct fs_side *const sides[] = {side};
    const struct fs_side_request request = {.reading = options->request.reading, .statistics = {true}};
    struct fs_extraction extraction = {0};
    struct fs_side_content content;
    FS_TRY(fs_extraction_check(&options->request, error));
    FS_TRY(fs_side_look(options->source, &fd, 1, &content, error));
    if (!content.pictures) {
        return fs_side_read(options->source, fd, side, error);
    }
    fs_progress_begin(&extraction.progress, options->request.quiet);
    fs_status status = fs_extraction_read(&extraction, options->source, &request.reading, side, error);
    if (status == FS_OK) {
        status = fs_extraction_open(&extraction, &options->request, sides, 1, error);
    }
    if (status == FS_OK) {
        status = fs_extraction_side(&extraction, &request, side, error);
    }
    if (status == FS_OK) {
        fs_extraction_warn(&extraction, fd, options->source, side->count, side->gaussians[0].dim);
    }
    fs_extraction_close(&extraction);
    return status;
}

fs_status fs_command_stats(int argc, char **argv, struct fs_error *error)
{
    struct stats_options options = {.device = "auto"};
    struct fs_side side = {0};
    FS_TRY(parse(argc, argv, &options, error));
    if (options.help) {
        return FS_OK;
    }
    FS_TRY(try_output(options.output, error));
    fs_catch_signals();
    fs_status status = make_side(&options, &side, error);
    const struct fs_gaussian *gaussian = side.published ? &side.read[0].gaussian : &side.gaussians[0];
    if (status == FS_OK) {
        status = fs_gaussian_write(options.output, gaussian, error);
    }
    if (status == FS_OK) {
        const struct fs_gaussian_origin *origin = &gaussian->origin;
        printf("%s: mean and covariance of %" PRId64 " features", options.output, gaussian->dim);
        if (*origin->extractor) {
            printf(": %s, tap %s, resize %s, %" PRId64 " pictures", origin->extractor, origin->tap, origin->resize,
                   origin->count);
        }
        printf("\n");
    }
    fs_side_free(&side);
    return status;
}
