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
    for (int i = 0; fs_dataset_name(i); i++) {
        struct fs_dataset_config config = {0};
        struct fs_dataset data;
        struct fs_error error;
        char text[1200];
        snprintf(config.name, sizeof config.name, "%s", fs_dataset_name(i));
        const bool good = fs_dataset_open(&config, FS_SPLIT_TEST, &data, &error) == FS_OK;
        if (good) {
            snprintf(text, sizeof text, "%s: %d×%d×%d, test split SHA-256 %.16s…", data.name, data.height, data.width,
                     data.channels, data.sha256);
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
        char text[1200];
        const bool good = fs_extractor_open(fs_extractor_name(i), backend, &extractor, &error) == FS_OK;
        if (good) {
            snprintf(text, sizeof text, "%s: %.900s, SHA-256 of the weights %.16s…%s", extractor.label, extractor.path,
                     extractor.sha256, extractor.fid ? ": FID" : "");
            fs_extractor_close(&extractor);
        } else {
            snprintf(text, sizeof text, "%s", error.text);
        }
        line("extractor", good, text);
    }
}

/* What of the CUDA backend has been seen to work, by its authors: not on this machine. */
static void show_cuda_evidence(void)
{
    printf("\n%-26s %-16s %-8s %-30s %s\n", "CUDA, seen so far", "compiled", "on host", "checked by", "on a device");
    const struct fs_cuda_evidence *seen;
    for (int i = 0; (seen = fs_cuda_evidence(i)) != NULL; i++) {
        /* The dots are three bytes wide and one column. */
        printf("%-26s %-18s %-8s %-30s %s\n", seen->operation, seen->compiled ? seen->compiled : "never",
               seen->on_host ? seen->on_host : "never", seen->vendor ? seen->vendor : "never",
               seen->on_device ? seen->on_device : "never");
    }
}

fs_status fs_command_doctor(int argc, char **argv, struct fs_error *error)
{
    const struct fs_usage usage = {.command = "doctor",
                                   .arguments = "",
                                   .summary = "Compiler, libraries, instruction sets, devices, data sets and weights.",
                                   .example = "fewstep doctor"};
    int count;
    bool help;
    char text[512];
    struct fs_backend *backend;
    FS_TRY(fs_options_parse(&usage, argc, argv, NULL, &count, &help, error));
    if (help) {
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
    show_datasets();
    show_extractors(backend);
    show_cuda_evidence();
    backend->destroy(backend);
    return FS_OK;
}
