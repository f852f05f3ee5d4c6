/* Every cuDNN graph that the backend uses, by the real cuDNN and without a device: it must finish each and refuse wrong
 * ones. For some devices that are not there, known by their properties, it must propose engines that are deterministic
 * (and, for convolutions, exact); that needs a driver's library to be found, for which the toolkit's stub is enough.
 * Nothing is executed. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/cudnn/attention_graph.h"
#include "kernels/cuda/cudnn/convolution_graph.h"

static int failures;

static void expect(bool good, const char *what, const char *reason)
{
    if (!good) {
        failures++;
        printf("FAILED: %s: %s\n", what, reason);
    }
}

/* --- devices --- */

/* As NVIDIA publishes them, in cuDNN's own form. */
struct device {
    const char *name;
    int version, processors, clock, memory_clock, cache, shared, blocks, threads;
    long memory;
};

static const struct device devices[] = {
    {"A100", 800, 108, 1410000, 1215000, 41943040, 166912, 32, 2048, 42949672960},
    {"RTX 4090", 890, 128, 2520000, 10501000, 75497472, 101376, 24, 1536, 25757220864},
    {"H100", 900, 132, 1980000, 2619000, 52428800, 232448, 32, 2048, 85899345920},
    {"B200", 1000, 148, 1965000, 3996000, 132644864, 232448, 32, 2048, 191126044672},
};
#define DEVICES (sizeof devices / sizeof *devices)

static fs_cudnn_part open_device(const struct device *d)
{
    char json[1024], reason[256] = "";
    snprintf(
        json, sizeof json,
        "{\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64], \"regsPerBlock\": 65536, "
        "\"multiProcessorCount\": %d, \"smClockRateKHz\": %d, \"memClockRateKHz\": %d, \"l2CacheSize\": %d, "
        "\"warpSize\": 32, \"maxSharedMemoryPerBlock\": 49152, \"maxSharedMemoryPerBlockOptin\": %d, "
        "\"reservedSharedMemoryPerBlock\": 1024, \"maxRegistersPerSM\": 65536, \"maxCtasPerSM\": %d, "
        "\"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": %d, \"isTccDriver\": 0, \"supportCoopLaunch\": 1, "
        "\"driverVer\": 13000, \"deviceVer\": %d, \"totalGlobalMem\": %ld, \"cudaDeviceId\": 0, \"pciDeviceId\": 0, "
        "\"deviceName\": \"%s\"}",
        d->processors, d->clock, d->memory_clock, d->cache, d->shared, d->blocks, d->threads, d->version, d->memory,
        d->name);
    const fs_cudnn_part device = fs_cudnn_device(json, reason, sizeof reason);
    if (device == NULL) {
        printf("%s: this cuDNN does not take its properties (%s)\n", d->name, reason);
    }
    return device;
}

/* --- what is asked --- */

/* How many engines a device has for a graph, printed with the workspace of the best; -1 where it was not asked. */
static int engines_on(fs_cudnn_part device, struct fs_cudnn_graph *graph, bool ieee)
{
    fs_cudnn_part engines[FS_CUDNN_PROPOSALS];
    int64_t one = 0, workspace = 0;
    if (device == NULL) {
        printf("%18s", "not asked");
        return -1;
    }
    const int count = fs_cudnn_propose(graph, device, ieee, engines);
    if (count == 0) {
        printf("%18s", "none");
    } else {
        cudnnBackendGetAttribute(engines[0], CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &one,
                                 &workspace);
        printf("%5d, %6.1f MiB", count, (double)workspace / 1048576);
    }
    for (int i = 0; i < count; i++) {
        cudnnBackendDestroyDescriptor(engines[i]);
    }
    return count;
}

/* A line of the table for a finished graph. */
static void show(const char *name, struct fs_cudnn_graph *graph, const fs_cudnn_part *opened, bool ieee,
                 bool none_expected)
{
    const bool finished = graph->graph != NULL && graph->refusal[0] == '\0';
    expect(finished, name, graph->refusal);
    for (size_t i = 0; i < DEVICES && finished; i++) {
        const int count = engines_on(opened[i], graph, ieee);
        expect(count < 0 || (count == 0) == none_expected, name,
               none_expected ? "engines for a shape that has none" : graph->refusal);
        graph->refusal[0] = '\0';
    }
    printf("  %s\n", name);
    fs_cudnn_graph_destroy(graph);
}

struct attention_case {
    const char *name;
    int64_t samples, tokens, heads, head_width;
    bool no_forward, no_backward; /* no engine is expected: an autoencoder has no backward pass */
};

static const struct attention_case attentions[] = {
    {"dit-xs/4 on 28×28, batch 128", 128, 49, 4, 32, false, false},
    {"dit-xs/7 on 28×28, batch 128", 128, 16, 4, 32, false, false},
    {"dit-ti/4 on 28×28, batch 128", 128, 49, 3, 64, false, false},
    {"dit-s/2 on 32×32, batch 256", 256, 256, 6, 64, false, false},
    {"dit-b/2 on 32×32, batch 256", 256, 256, 12, 64, false, false},
    {"dit-l/2 on 32×32, batch 64", 64, 256, 16, 64, false, false},
    {"dit-xl/2 on 32×32, batch 256", 256, 256, 16, 72, false, false},
    {"one sample", 1, 256, 16, 72, false, false},
    {"an autoencoder's middle, 32×32", 4, 1024, 1, 512, false, true},
    {"an odd head width", 3, 5, 2, 7, true, true},
};

/* Backward as one operation: which versions of cuDNN take it was tried, which of its engines run where only a device
 * can say. Where it is refused the backend goes by products. */
#define OPERATION_REFUSED 92000 /* up to this version */
#define OPERATION_TAKEN 92600   /* from this one on; between them none was tried */

static void check_backward_operation(const fs_cudnn_part *opened, const char *of,
                                     const struct fs_attention_shape *shape)
{
    struct fs_cudnn_graph graph = {};
    char name[128];
    snprintf(name, sizeof name, "attention, %s: backward, one operation", of);
    const bool finished = fs_attention_graph_backward_operation(&graph, shape);
    expect(!finished || cudnnGetVersion() > OPERATION_REFUSED, name, "taken by a version that refused it");
    expect(finished || cudnnGetVersion() < OPERATION_TAKEN, name, graph.refusal);
    for (size_t i = 0; i < DEVICES; i++) {
        if (finished) {
            (void)engines_on(opened[i], &graph, false);
            graph.refusal[0] = '\0';
        } else {
            printf("%18s", "refused");
        }
    }
    printf("  %s\n", name);
    fs_cudnn_graph_destroy(&graph);
}

static void check_attention(const fs_cudnn_part *opened)
{
    for (const struct attention_case &c : attentions) {
        const int64_t width = c.heads * c.head_width;
        struct fs_attention_shape shape = {c.samples, c.tokens, c.heads,   c.head_width, 3 * width,
                                           width,     c.heads,  3 * width, width};
        for (int way = 0; way < 3; way++) {
            static const char *const ways[] = {"forward", "backward", "forward, sampling"};
            struct fs_cudnn_graph graph = {};
            char name[128];
            snprintf(name, sizeof name, "attention, %s: %s", c.name, ways[way]);
            shape.lse_stride = way == 2 ? 0 : c.heads;
            (void)(way == 1 ? fs_attention_graph_backward_products : fs_attention_graph_forward)(&graph, &shape);
            show(name, &graph, opened, false, way == 1 ? c.no_backward : c.no_forward);
        }
        shape.lse_stride = c.heads;
        check_backward_operation(opened, c.name, &shape);
    }
}

struct convolution_case {
    const char *name;
    struct fs_convolution_shape shape;
};

static const struct convolution_case convolutions[] = {
    {"fashion-cnn, conv1", {250, {28, 28, 1, 16, 3, 3, 1, 1, 1}, 1, 1}},
    {"fashion-cnn, conv2", {250, {28, 28, 16, 32, 3, 3, 2, 1, 1}, 1, 1}},
    {"fashion-cnn, conv3", {250, {14, 14, 32, 64, 3, 3, 2, 1, 1}, 1, 1}},
    {"fashion-cnn, conv4", {250, {7, 7, 64, 64, 3, 3, 1, 1, 1}, 1, 1}},
    {"fashion-cnn, hidden", {250, {4, 4, 64, 128, 4, 4, 1, 0, 0}, 1, 1}},
    {"fashion-cnn, logits", {250, {1, 1, 128, 10, 1, 1, 1, 0, 0}, 1, 0}},
    {"inception, first", {64, {299, 299, 3, 32, 3, 3, 2, 0, 0}, 1, 1}},
    {"inception, 3×3", {64, {35, 35, 64, 96, 3, 3, 1, 1, 1}, 1, 1}},
    {"inception, 1×7", {64, {17, 17, 192, 192, 1, 7, 1, 0, 3}, 1, 1}},
    {"inception, 1×1", {64, {8, 8, 2048, 320, 1, 1, 1, 0, 0}, 1, 1}},
    {"an autoencoder's 3×3, no ReLU", {8, {64, 64, 512, 512, 3, 3, 1, 1, 1}, 1, 0}},
    {"no bias", {3, {9, 7, 8, 16, 3, 3, 1, 1, 1}, 0, 0}},
    {"bf16: an autoencoder's 3×3", {8, {64, 64, 512, 512, 3, 3, 1, 1, 1, 0, 0, 1}, 1, 0, FS_BF16, FS_BF16}},
    {"bf16: its widest, 256×256", {4, {256, 256, 256, 256, 3, 3, 1, 1, 1, 0, 0, 1}, 1, 0, FS_BF16, FS_BF16}},
    {"bf16: its 1×1", {4, {256, 256, 256, 128, 1, 1, 1, 0, 0, 0, 0, 1}, 1, 0, FS_BF16, FS_BF16}},
    {"bf16: its way down", {4, {256, 256, 128, 128, 3, 3, 2, 0, 0, 1, 1, 1}, 1, 0, FS_BF16, FS_BF16}},
    {"float32: its way down", {4, {256, 256, 128, 128, 3, 3, 2, 0, 0, 1, 1, 1}, 1, 0, FS_F32, FS_F32}},
    {"bf16: its picture, float32", {4, {256, 256, 128, 3, 3, 3, 1, 1, 1, 0, 0, 1}, 1, 0, FS_BF16, FS_F32}},
    {"bf16: its first", {4, {256, 256, 3, 128, 3, 3, 1, 1, 1, 0, 0, 1}, 1, 0, FS_BF16, FS_BF16}},
    {"bf16: of latents", {4, {32, 32, 4, 512, 3, 3, 1, 1, 1, 0, 0, 1}, 1, 0, FS_BF16, FS_BF16}},
};

static void check_convolutions(const fs_cudnn_part *opened)
{
    for (const struct convolution_case &c : convolutions) {
        struct fs_cudnn_graph graph = {};
        char name[128];
        snprintf(name, sizeof name, "convolution, %s", c.name);
        (void)fs_convolution_graph(&graph, &c.shape);
        show(name, &graph, opened, c.shape.type == FS_F32, false);
    }
}

/* --- what must be refused --- */

static void check_refusals()
{
    struct fs_cudnn_graph graph = {};
    const int64_t small[] = {1, 1, 4, 4}, other[] = {1, 1, 5, 4}, strides[] = {20, 20, 4, 1};
    fs_cudnn_multiply(&graph, fs_cudnn_tensor(&graph, 1, CUDNN_DATA_FLOAT, small, strides),
                      fs_cudnn_tensor(&graph, 2, CUDNN_DATA_FLOAT, small, strides),
                      fs_cudnn_tensor(&graph, 3, CUDNN_DATA_FLOAT, other, strides));
    expect(!fs_cudnn_finish(&graph), "a product of 4×4 and 5×4", "taken");
    fs_cudnn_graph_destroy(&graph);

    graph = {};
    const struct fs_window window = {8, 8, 4, 4, 3, 3, 1, 1, 1};
    const int64_t images[] = {1, 4, 8, 8}, filters[] = {4, 4, 3, 3}, wrong[] = {1, 4, 7, 8},
                  of_images[] = {256, 1, 32, 4}, of_filters[] = {36, 1, 12, 4};
    fs_cudnn_convolve(&graph, fs_cudnn_tensor(&graph, 1, CUDNN_DATA_FLOAT, wrong, of_images),
                      fs_cudnn_tensor(&graph, 2, CUDNN_DATA_FLOAT, images, of_images),
                      fs_cudnn_tensor(&graph, 3, CUDNN_DATA_FLOAT, filters, of_filters), &window);
    expect(!fs_cudnn_finish(&graph), "a convolution into a row too few", "taken");
    fs_cudnn_graph_destroy(&graph);

    graph = {};
    const struct fs_cudnn_role roles[] = {
        {CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, fs_cudnn_tensor(&graph, 1, CUDNN_DATA_BFLOAT16, small, strides)}};
    fs_cudnn_operation(&graph, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, "attention without keys", roles, 1);
    expect(!fs_cudnn_finish(&graph), "attention without keys and values", "taken");
    fs_cudnn_graph_destroy(&graph);

#if CUDNN_VERSION >= 91700
    graph = {};
    const struct fs_cudnn_role no_gradients[] = {
        {CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, fs_cudnn_tensor(&graph, 1, CUDNN_DATA_BFLOAT16, small, strides)}};
    fs_cudnn_operation(&graph, CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR, "attention to nowhere", no_gradients, 1);
    expect(!fs_cudnn_finish(&graph), "attention backward without gradients", "taken");
    fs_cudnn_graph_destroy(&graph);
#endif
}

int main(void)
{
    fs_cudnn_part opened[DEVICES];
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); /* cuDNN looks for it before it proposes anything */
    printf("cuDNN %zu, without a device: how many engines it has for each, and the workspace of the best\n",
           cudnnGetVersion());
    for (size_t i = 0; i < DEVICES; i++) {
        printf("%18s", devices[i].name);
    }
    printf("\n");
    for (size_t i = 0; i < DEVICES; i++) {
        opened[i] = driver != NULL ? open_device(&devices[i]) : NULL;
    }
    check_attention(opened);
    check_convolutions(opened);
    check_refusals();
    for (fs_cudnn_part device : opened) {
        if (device != NULL) {
            cudnnBackendDestroyDescriptor(device);
        }
    }
    if (driver == NULL) {
        printf("engines: not asked, there is no driver's library and no stub of it\n");
    } else {
        dlclose(driver);
    }
    printf("not used, and so not here: gradients of convolutions\n%s\n",
           failures == 0 ? "every graph was finished, and the wrong ones refused" : "FAILED");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
