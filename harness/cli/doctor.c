/* fewstep doctor: what is here, what is missing, and what each missing thing would be needed for. */
#include <stdio.h>
#include <string.h>

#include "harness/build_info.h"
#include "harness/cli/command.h"
#include "harness/bench/cuda_evidence.h"
#include "harness/cli/options.h"
#include "harness/run/session.h"
#include "harness/data/dataset.h"
#include "harness/store/environment.h"

static void line(const char *what, bool good, const char *text)
{
    printf("%-18s %-3s %s\n", what, good ? "ok" : "--", text);
}

static void show_backend(struct fs_backend *backend)
{
    char text[256];
    snprintf(text, sizeof text, "%s; FEWSTEP_CPU=baseline|avx2|avx512 forces another", backend->variant);
    line("instruction set", true, text);
    line("bf16", backend->native_bf16,
         backend->native_bf16 ? "matrix instructions"
                              : "no matrix instructions on this CPU: train.precision must be fp32");
    snprintf(text, sizeof text, "%.0f GFLOP/s float32, measured now", fs_cpu_peak_flops(backend) * 1e-9);
    line("peak", true, text);
}

static void show_cuda(void)
{
    struct fs_error error;
    struct fs_backend *cuda = fs_load_cuda_backend(&error);
    line("CUDA", cuda != NULL, cuda ? cuda->variant : error.text);
    if (cuda) {
        line("", true, cuda->choices);
        cuda->destroy(cuda);
    }
}

static void show_datasets(void)
{
    bool needs_path;
    for (int i = 0; fs_dataset_kind(i, &needs_path); i++) {
        struct fs_dataset_config config = {0};
        struct fs_dataset data;
        struct fs_error error;
        char text[sizeof error.text];
        snprintf(config.name, sizeof config.name, "%s", fs_dataset_kind(i, &needs_path));
        if (needs_path) {
            continue; /* the user's own, somewhere */
        }
        const bool good = fs_dataset_open(&config, FS_SPLIT_TEST, &data, &error) == FS_OK;
        if (good) {
            snprintf(text, sizeof text, "%s: %d×%d×%d, test split SHA-256 %.16s…", data.name, data.shape.height,
                     data.shape.width, data.shape.channels, data.sha256);
            fs_dataset_close(&data);
        } else {
            snprintf(text, sizeof text, "%s", error.text);
        }
        line("data set", good, text);
    }
}

static void show_extractors(struct fs_backend *backend)
{
    for (int i = 0; fs_extractor_name(i); i++) {
        struct fs_extractor extractor = {0};
        struct fs_error error;
        char text[FS_PATH_ROOM + 256];
        const bool good = fs_extractor_open(fs_extractor_name(i), backend, &extractor, &error) == FS_OK;
        if (good) {
            snprintf(text, sizeof text, "%s: %s, SHA-256 of the weights %.16s…%s", extractor.label, extractor.path,
                     extractor.sha256, extractor.fid ? ": FID" : "");
            fs_extractor_close(&extractor);
        } else {
            snprintf(text, sizeof text, "%s", error.text);
        }
        line("extractor", good, text);
    }
}

/* What the tests recorded of the CUDA backend beside this program: one line, or, when asked for, one an operation. */
static void show_cuda_evidence(bool details)
{
    int count = 0, seen[FS_EVIDENCE_KINDS] = {0};
    const char *operation;
    for (; (operation = fs_evidence_operation(count)) != NULL; count++) {
        char text[FS_EVIDENCE_KINDS][160];
        for (int kind = 0; kind < FS_EVIDENCE_KINDS; kind++) {
            seen[kind] += fs_evidence((enum fs_evidence)kind, operation, text[kind], sizeof text[kind]);
        }
        if (details) {
            printf("%-26s compiled: %s; on the host: %s; by cuDNN: %s; on a device: %s\n", operation,
                   *text[0] ? text[0] : "never", *text[1] ? text[1] : "never", *text[2] ? text[2] : "never",
                   *text[3] ? text[3] : "never");
        }
    }
    if (!details) {
        char text[256];
        snprintf(text, sizeof text, "of %d operations %d compiled, %d tested on the host, %d on a device%s", count,
                 seen[FS_EVIDENCE_COMPILED], seen[FS_EVIDENCE_HOST], seen[FS_EVIDENCE_DEVICE],
                 seen[FS_EVIDENCE_COMPILED] + seen[FS_EVIDENCE_HOST] + seen[FS_EVIDENCE_DEVICE] > 0
                     ? "; doctor --cuda lists them"
                     : ": make test-cuda-build, test-cuda-host and test-gpu record it for this source");
        line("CUDA tests", seen[FS_EVIDENCE_DEVICE] == count, text);
    }
}

fs_status fs_command_doctor(int argc, char **argv, struct fs_error *error)
{
    bool cuda = false, help;
    const struct fs_flag flags[] = {
        {"--cuda", FS_FLAG_SWITCH, &cuda, NULL,
         "only what the tests recorded of each operation of the CUDA backend, for this source"},
    };
    const struct fs_usage usage = {.command = "doctor",
                                   .arguments = "",
                                   .summary = "Compiler, libraries, instruction sets, devices, data sets and weights.",
                                   .example = "fewstep doctor",
                                   .flags = flags,
                                   .flag_count = sizeof flags / sizeof *flags};
    int count;
    char text[512];
    struct fs_backend *backend;
    FS_TRY(fs_options_parse(&usage, argc, argv, NULL, &count, &help, error));
    if (help) {
        return FS_OK;
    }
    if (cuda) {
        show_cuda_evidence(true);
        return FS_OK;
    }
    FS_TRY(fs_open_backend(FS_DEVICE_CPU, &backend, error));
    snprintf(text, sizeof text, "commit %.12s%s, source %.12s",
             *fs_build_info.commit ? fs_build_info.commit : "unknown", fs_build_info.dirty ? " (changed)" : "",
             fs_build_info.source_hash);
    line("build", true, text);
    line("compiler", true, fs_build_info.compiler);
    fs_library_versions(text, sizeof text);
    line("libraries", true, text);
    show_backend(backend);
    show_cuda();
    show_cuda_evidence(false);
    show_datasets();
    show_extractors(backend);
    backend->destroy(backend);
    return FS_OK;
}
