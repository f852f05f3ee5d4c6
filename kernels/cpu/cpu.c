/* The CPU backend: its life, its memory, its faults, and the choice of the instruction set. */
#include "kernels/cpu/cpu.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"
#include "kernels/cpu/onednn.h"

static const char *const isa_names[] = {"baseline", "avx2", "avx512"};

struct fs_cpu *fs_cpu_begin(struct fs_backend *backend, const char *operation, bool operands_fit)
{
    struct fs_cpu *cpu = backend->state;
    if (cpu->fault.status != FS_OK) {
        return NULL;
    }
    if (!operands_fit) {
        fs_fail(&cpu->fault, FS_FAILED, "cpu: %s: the shapes or types of its operands do not fit each other",
                operation);
        return NULL;
    }
    return cpu;
}

void *fs_cpu_scratch(struct fs_cpu *cpu, const char *operation, size_t bytes)
{
    if (bytes > cpu->scratch_bytes || cpu->scratch == NULL) {
        free(cpu->scratch);
        cpu->scratch_bytes = 0;
        cpu->scratch = fs_allocate(bytes, 1, operation, &cpu->fault);
        if (cpu->scratch != NULL) {
            cpu->scratch_bytes = bytes;
        }
    }
    return cpu->scratch;
}

/* --- memory --- */

static void *allocate(struct fs_backend *backend, size_t bytes, struct fs_error *error)
{
    (void)backend;
    return fs_allocate(bytes, 1, "a buffer of the CPU backend", error);
}

static void release(struct fs_backend *backend, void *memory)
{
    (void)backend;
    free(memory);
}

static void upload(struct fs_backend *backend, void *device, const void *host, size_t bytes)
{
    if (fs_cpu_begin(backend, "upload", true) != NULL && bytes > 0) {
        memcpy(device, host, bytes);
    }
}

static void download(struct fs_backend *backend, void *host, const void *device, size_t bytes)
{
    if (fs_cpu_begin(backend, "download", true) != NULL && bytes > 0) {
        memcpy(host, device, bytes);
    }
}

static fs_status synchronise(struct fs_backend *backend, struct fs_error *error)
{
    struct fs_cpu *cpu = backend->state;
    const fs_status status = cpu->fault.status;
    if (status != FS_OK) {
        *error = cpu->fault;
        cpu->fault.status = FS_OK;
    }
    return status;
}

static void destroy(struct fs_backend *backend)
{
    struct fs_cpu *cpu = backend->state;
    fs_onednn_destroy(cpu->onednn);
    for (int i = 0; cpu->workers != NULL && i < cpu->threads; i++) {
        fs_onednn_destroy(cpu->workers[i]);
    }
    free(cpu->workers);
    free(cpu->scratch);
    free(cpu);
    free(backend);
}

/* --- the instruction set --- */

static enum fs_isa best_isa(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return FS_ISA_AVX512;
    }
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? FS_ISA_AVX2 : FS_ISA_BASELINE;
}

static fs_status choose_isa(enum fs_isa *isa, struct fs_error *error)
{
    const char *forced = getenv("FEWSTEP_CPU");
    *isa = best_isa();
    if (forced == NULL || forced[0] == '\0') {
        return FS_OK;
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(forced, isa_names[i]) != 0) {
            continue;
        }
        if (i > (int)*isa) {
            return fs_fail(error, FS_USAGE, "FEWSTEP_CPU=%s: this CPU has %s at most", forced, isa_names[*isa]);
        }
        *isa = (enum fs_isa)i;
        return FS_OK;
    }
    return fs_fail(error, FS_USAGE, "FEWSTEP_CPU=%s: expected baseline, avx2 or avx512", forced);
}

#define INSTALL(file, isa) fs_install_##file##_##isa(backend)

static void install(struct fs_backend *backend, enum fs_isa isa)
{
    backend->destroy = destroy;
    backend->allocate = allocate;
    backend->release = release;
    backend->upload = upload;
    backend->download = download;
    backend->synchronise = synchronise;
    fs_cpu_install_linear(backend);
    fs_cpu_install_convolution(backend);
    switch (isa) {
    case FS_ISA_BASELINE:
        FS_ISA_FILES(INSTALL, baseline);
        break;
    case FS_ISA_AVX2:
        FS_ISA_FILES(INSTALL, avx2);
        break;
    case FS_ISA_AVX512:
        FS_ISA_FILES(INSTALL, avx512);
        break;
    }
}

/* Whether the CPU multiplies bf16: AVX512-BF16 or AMX (CPUID leaf 7), the latter with AVX-512 always. */
static bool has_bf16(enum fs_isa isa)
{
    return isa == FS_ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
}

struct fs_backend *fs_cpu_backend(int threads, struct fs_error *error)
{
    enum fs_isa isa;
    if (choose_isa(&isa, error) != FS_OK) {
        return NULL;
    }
    struct fs_backend *backend = fs_allocate(1, sizeof *backend, "the CPU backend", error);
    struct fs_cpu *cpu = fs_allocate(1, sizeof *cpu, "the CPU backend", error);
    if (backend == NULL || cpu == NULL) {
        free(backend);
        free(cpu);
        return NULL;
    }
    backend->state = cpu;
    backend->abi = FS_BACKEND_ABI;
    backend->name = "cpu";
    backend->variant = isa_names[isa];
    backend->real = FS_F32;
    backend->native_bf16 = has_bf16(isa);
    backend->pass_tokens = 8192; /* enough for the matrix products, little enough to stay in the cache */
    cpu->threads = threads > 0 ? threads : omp_get_max_threads();
    cpu->isa = isa;
    install(backend, isa);
    cpu->onednn = fs_onednn_create(cpu->threads, error);
    cpu->workers = fs_allocate((size_t)cpu->threads, sizeof *cpu->workers, "the CPU backend", error);
    bool good = cpu->onednn != NULL && cpu->workers != NULL;
    for (int i = 0; good && i < cpu->threads; i++) {
        cpu->workers[i] = fs_onednn_create(1, error);
        good = cpu->workers[i] != NULL;
    }
    if (!good) {
        destroy(backend);
        return NULL;
    }
    return backend;
}

int fs_cpu_threads(const struct fs_backend *backend)
{
    return backend->destroy == destroy ? ((const struct fs_cpu *)backend->state)->threads : 0;
}
