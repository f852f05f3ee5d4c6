/* fewstep encode: from pictures to a folder of latents. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness/cli/command.h"
#include "harness/cli/options.h"
#include "harness/run/encode_stage.h"
#include "harness/run/worker.h"

static fs_status parse_part(const char *text, struct fs_encode_job *job, struct fs_error *error)
{
    int length = 0;
    if (!text) {
        return FS_OK;
    }
    if (sscanf(text, "%d/%d%n", &job->part, &job->parts, &length) != 2 || text[length] || job->parts < 1 ||
        job->part < 0 || job->part >= job->parts) {
        return fs_fail(error, FS_USAGE, "--shard: expected I/N with 0 ≤ I < N, got '%s'", text);
    }
    return FS_OK;
}

static fs_status choose(const char *option, const char *text, const char *first, const char *second, bool *is_second,
                        struct fs_error *error)
{
    *is_second = text && strcmp(text, second) == 0;
    if (text && !*is_second && strcmp(text, first) != 0) {
        return fs_fail(error, FS_USAGE, "%s: expected %s or %s, got '%s'", option, first, second, text);
    }
    return FS_OK;
}

static fs_status parse(int argc, char **argv, struct fs_encode_job *job, bool *help, struct fs_error *error)
{
    const char *part = NULL, *device = "auto", *stored = NULL, *precision = NULL;
    const struct fs_flag flags[] = {
        {"-o", FS_FLAG_TEXT, &job->folder, "DIR", "the folder of latents: made, or gone on with"},
        {"--vae", FS_FLAG_TEXT, &job->vae, "FILE",
         "the autoencoder's weights (in $FEWSTEP_DATA or beside Inception's)"},
        {"--shard", FS_FLAG_TEXT, &part, "I/N", "only every Nth file, beginning with number I (0 … N − 1)"},
        {"--size", FS_FLAG_WHOLE, &job->size, "N", "height and width that pictures of a folder are brought to"},
        {"--crop", FS_FLAG_TEXT, &job->crop, "HOW", "as dataset.crop (center)"},
        {"--background", FS_FLAG_TEXT, &job->background, "WHAT", "as dataset.background (white)"},
        {"--kind", FS_FLAG_TEXT, &job->kind, "NAME", "what SOURCE is, as dataset.kind (image-folder)"},
        {"--split", FS_FLAG_TEXT, &job->split, "NAME",
         "train or test (all of a folder without these two in it; else train)"},
        {"--pictures-per-file", FS_FLAG_WHOLE, &job->shard_rows, "N", "(as many as 256 MB have room for)"},
        {"--stored", FS_FLAG_TEXT, &stored, "TYPE", "fp16 or fp32: how numbers are stored (fp16)"},
        {"--precision", FS_FLAG_TEXT, &precision, "TYPE", "fp32 or bf16: what the autoencoder computes in (fp32)"},
        {"--extractor", FS_FLAG_TEXT, &job->extractor, "NAME",
         "whose statistics of the pictures are kept too, or none (inception-v3 where its weights are)"},
        {"--resize", FS_FLAG_TEXT, &job->resize, "MODE", "as evaluate.resize, for these statistics (clean)"},
        {"--device", FS_FLAG_TEXT, &device, "NAME", "auto, cpu or cuda (auto)"},
        {"--quiet", FS_FLAG_SWITCH, &job->quiet, NULL, "no progress"},
    };
    const struct fs_usage usage = {
        .command = "encode",
        .arguments = "SOURCE",
        .summary =
            "Mean and log-variance of each picture and of its mirror image by an autoencoder, for dataset: {kind:\n"
            "latents}. SOURCE: a folder of pictures, with a sub-folder for each class or none, or dataset:NAME.\n"
            "Stopped or killed, the same command goes on; several processes may share the work (mpirun and srun deal\n"
            "it to their ranks), and the last to finish writes latents.json.",
        .example = "fewstep encode imagenet/train --size 256 -o imagenet256-latents --resize authors",
        .flags = flags,
        .flag_count = sizeof flags / sizeof *flags,
        .arguments_min = 1,
        .arguments_max = 1,
    };
    int count;
    bool fp32, bf16;
    FS_TRY(fs_options_parse(&usage, argc, argv, &job->source, &count, help, error));
    if (*help) {
        return FS_OK;
    }
    if (!job->folder || !job->folder[0]) {
        return fs_fail(error, FS_USAGE, "fewstep encode: -o is missing: the folder to write");
    }
    FS_TRY(parse_part(part, job, error));
    FS_TRY(choose("--stored", stored, "fp16", "fp32", &fp32, error));
    FS_TRY(choose("--precision", precision, "fp32", "bf16", &bf16, error));
    FS_TRY(choose("--split", job->split, "train", "test", &job->test, error));
    job->stored = fp32 ? FS_F32 : FS_F16;
    job->precision = bf16 ? FS_BF16 : FS_F32;
    return fs_parse_device(device, &job->device, error);
}

static fs_status encode_command(struct fs_comm *comm, int argc, char **argv, struct fs_error *error)
{
    struct fs_encode_job job = {.parts = 1};
    struct fs_encode_outcome outcome;
    bool help;
    FS_TRY(parse(argc, argv, &job, &help, error));
    if (help) {
        return FS_OK;
    }
    const fs_status status = fs_encode_run(&job, comm, &outcome, error);
    if (status == FS_OK && outcome.complete) {
        char sha256[65];
        const struct fs_latents_manifest *manifest = &outcome.manifest;
        fs_latents_hash(manifest, sha256);
        printf("%s: %" PRId64 " latents of %d × %d × %d in %d file%s, data SHA-256 %.16s\n", job.folder,
               manifest->shape.count, manifest->shape.height, manifest->shape.width, manifest->shape.channels,
               manifest->shard_count, manifest->shard_count == 1 ? "" : "s", sha256);
    } else if (status == FS_OK) {
        printf("%s: %d of %d files are there; the others are another process's%s\n", job.folder, outcome.finished,
               outcome.shards, comm->size > 1 ? ", or lie where rank 0 does not see them" : "");
    }
    fs_latents_manifest_free(&outcome.manifest);
    return status;
}

fs_status fs_command_encode(int argc, char **argv, struct fs_error *error)
{
    return fs_run_each_rank(encode_command, argc, argv, error);
}
