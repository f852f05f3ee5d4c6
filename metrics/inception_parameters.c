/* The parameters of inception-v3: which there are, whether a file has them, and whose they are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "metrics/inception.h"

#define OUTPUTS 1008
#define FEATURES 2048

/* --- which there are --- */

struct list {
    struct fs_inception_tensor *tensors;
    int count;
};

static void append(struct list *list, const char *module, const char *parameter, int rank, const int64_t *shape)
{
    struct fs_inception_tensor *tensor = &list->tensors[list->count++];
    *tensor = (struct fs_inception_tensor){.rank = rank, .shape = {1, 1, 1, 1}};
    snprintf(tensor->name, sizeof tensor->name, "%s.%s", module, parameter);
    memcpy(tensor->shape, shape, (size_t)rank * sizeof *shape);
}

static void append_convolution(void *owner, const char *name, const int64_t shape[4])
{
    append(owner, name, "conv.weight", 4, shape);
    append(owner, name, "bn.weight", 1, shape);
    append(owner, name, "bn.bias", 1, shape);
    append(owner, name, "bn.running_mean", 1, shape);
    append(owner, name, "bn.running_var", 1, shape);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct fs_inception_tensor *)a)->name, ((const struct fs_inception_tensor *)b)->name);
}

void fs_inception_tensors(struct fs_inception_tensor *tensors)
{
    const int64_t shape[2] = {OUTPUTS, FEATURES};
    struct list list = {.tensors = tensors};
    fs_inception_walk(append_convolution, &list);
    append(&list, "fc", "weight", 2, shape);
    append(&list, "fc", "bias", 1, shape);
    qsort(tensors, (size_t)list.count, sizeof *tensors, compare_names);
}

static int64_t element_count(const struct fs_inception_tensor *tensor)
{
    return tensor->shape[0] * tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* --- a file --- */

static fs_status check_values(const char *path, const struct fs_inception_tensor *expected, const float *values,
                              struct fs_error *error)
{
    const bool variance = ends_with(expected->name, "running_var");
    for (int64_t i = 0; i < element_count(expected); i++) {
        if (!isfinite(values[i]) || (variance && values[i] < 0)) {
            return fs_fail(error, FS_USAGE, "%s: %s holds %g", path, expected->name, (double)values[i]);
        }
    }
    return FS_OK;
}

fs_status fs_inception_check(const char *path, const struct fs_tensor_file *file, struct fs_error *error)
{
    struct fs_inception_tensor expected[FS_INCEPTION_TENSORS];
    fs_inception_tensors(expected);
    for (int i = 0; i < FS_INCEPTION_TENSORS; i++) {
        const struct fs_tensor *tensor = fs_tensor_find(file, expected[i].name);
        if (!tensor || tensor->type != FS_F32 || tensor->rank != expected[i].rank ||
            memcmp(tensor->shape, expected[i].shape, (size_t)tensor->rank * sizeof *tensor->shape) != 0) {
            return fs_fail(error, FS_USAGE, "%s: no float32 tensor %s of the shape that the Inception-v3 of 2015 has",
                           path, expected[i].name);
        }
        FS_TRY(check_values(path, &expected[i], tensor->data, error));
    }
    return FS_OK;
}

void fs_inception_hash(const struct fs_tensor_file *file, char sha256[65])
{
    struct fs_inception_tensor tensors[FS_INCEPTION_TENSORS];
    struct fs_sha256 hash;
    fs_inception_tensors(tensors);
    fs_sha256_begin(&hash);
    for (int i = 0; i < FS_INCEPTION_TENSORS; i++) {
        fs_sha256_add(&hash, tensors[i].name, strlen(tensors[i].name) + 1);
        fs_sha256_add(&hash, fs_tensor_find(file, tensors[i].name)->data,
                      (size_t)element_count(&tensors[i]) * sizeof(float));
    }
    fs_sha256_end(&hash, sha256);
}

bool fs_inception_is_published(const struct fs_tensor_file *file, const char *sha256)
{
    const char *source = fs_tensor_metadata_find(file, "source_sha256");
    const char *converted = fs_tensor_metadata_find(file, "parameters_sha256");
    return source && converted && strcmp(source, FS_INCEPTION_SOURCE_SHA256) == 0 && strcmp(converted, sha256) == 0;
}

/* --- random ones --- */

/* low … high of a tensor's values. Filters after He et al. (2015), so that ReLUs keep the activations' size. */
static void range_of(const struct fs_inception_tensor *tensor, float *low, float *high)
{
    if (tensor->rank > 1) {
        *high = (float)sqrt(6.0 / (double)(tensor->shape[1] * tensor->shape[2] * tensor->shape[3]));
        *low = -*high;
    } else if (ends_with(tensor->name, "bn.weight") || ends_with(tensor->name, "running_var")) {
        *low = 0.5F;
        *high = 1.5F;
    } else {
        *low = -0.1F;
        *high = 0.1F;
    }
}

static void fill(uint32_t seed, uint32_t row, const struct fs_inception_tensor *tensor, float *values)
{
    const struct fs_random_key key = {.seed = seed, .stream = FS_STREAM_TEST};
    const int64_t count = element_count(tensor);
    float low, high;
    range_of(tensor, &low, &high);
#pragma omp parallel for
    for (int64_t first = 0; first < count; first += 4) {
        uint32_t words[4];
        fs_random_words(key, row, (uint32_t)(first / 4), words);
        for (int64_t i = first; i < first + 4 && i < count; i++) {
            const float uniform = (float)(int32_t)(words[i - first] >> 8) * 5.96046448e-8F; /* 2⁻²⁴ */
            values[i] = low + (high - low) * uniform;
        }
    }
}

fs_status fs_inception_random_create(uint32_t seed, struct fs_inception_random *random, struct fs_error *error)
{
    *random = (struct fs_inception_random){.values = NULL};
    fs_inception_tensors(random->names);
    int64_t total = 0;
    for (int i = 0; i < FS_INCEPTION_TENSORS; i++) {
        total += element_count(&random->names[i]);
    }
    random->values = fs_allocate((size_t)total, sizeof *random->values, "the parameters of inception-v3", error);
    if (!random->values) {
        return FS_FAILED;
    }
    float *values = random->values;
    for (int i = 0; i < FS_INCEPTION_TENSORS; i++) {
        const struct fs_inception_tensor *name = &random->names[i];
        random->tensors[i] = (struct fs_tensor){.name = name->name, .type = FS_F32, .rank = name->rank, .data = values};
        memcpy(random->tensors[i].shape, name->shape, sizeof name->shape);
        fill(seed, (uint32_t)i, name, values);
        values += element_count(name);
    }
    random->file = (struct fs_tensor_file){.tensors = random->tensors, .tensor_count = FS_INCEPTION_TENSORS};
    return FS_OK;
}

void fs_inception_random_destroy(struct fs_inception_random *random)
{
    free(random->values);
    *random = (struct fs_inception_random){.values = NULL};
}
