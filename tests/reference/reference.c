/* The reference backend itself: memory, copies, faults, random numbers. */
#include "tests/reference/reference.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

struct reference {
    struct fs_error fault; /* the first since the last synchronise; status FS_OK when there is none */
};

bool fs_reference_begin(struct fs_backend *backend, const char *operation, bool operands_fit)
{
    struct reference *reference = backend->state;
    if (!operands_fit && reference->fault.status == FS_OK) {
        fs_fail(&reference->fault, FS_FAILED,
                "reference backend: %s: the shapes or types of its operands do not fit each other", operation);
    }
    return reference->fault.status == FS_OK;
}

static void destroy(struct fs_backend *backend)
{
    free(backend->state);
    free(backend);
}

static void *allocate(struct fs_backend *backend, size_t bytes, struct fs_error *error)
{
    (void)backend;
    return fs_allocate(bytes, 1, "memory of the reference backend", error);
}

static void release(struct fs_backend *backend, void *memory)
{
    (void)backend;
    free(memory);
}

static void upload(struct fs_backend *backend, void *device, const void *host, size_t bytes)
{
    (void)backend;
    memcpy(device, host, bytes);
}

static void download(struct fs_backend *backend, void *host, const void *device, size_t bytes)
{
    (void)backend;
    memcpy(host, device, bytes);
}

static fs_status synchronise(struct fs_backend *backend, struct fs_error *error)
{
    struct reference *reference = backend->state;
    const struct fs_error fault = reference->fault;
    reference->fault.status = FS_OK;
    return fault.status == FS_OK ? FS_OK : fs_fail(error, fault.status, "%s", fault.text);
}

/* --- any type --- */

static double load(struct fs_view view, int64_t i, int64_t j)
{
    const int64_t at = i * view.stride + j;
    if (view.type == FS_F64) {
        return ((const double *)view.data)[at];
    }
    if (view.type == FS_F32) {
        return ((const float *)view.data)[at];
    }
    const uint32_t bits = (uint32_t)((const uint16_t *)view.data)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint16_t bf16_from(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)((bits >> 16) | 0x40u); /* NaN stays NaN */
    }
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16); /* to nearest, ties to even */
}

static void store(struct fs_view view, int64_t i, int64_t j, double value)
{
    const int64_t at = i * view.stride + j;
    if (view.type == FS_F64) {
        ((double *)view.data)[at] = value;
    } else if (view.type == FS_F32) {
        ((float *)view.data)[at] = (float)value;
    } else {
        ((uint16_t *)view.data)[at] = bf16_from((float)value);
    }
}

static void fill(struct fs_backend *backend, struct fs_view out, double value)
{
    (void)backend;
    for (int64_t i = 0; i < out.rows; i++) {
        for (int64_t j = 0; j < out.cols; j++) {
            store(out, i, j, value);
        }
    }
}

static void copy(struct fs_backend *backend, struct fs_view out, struct fs_view in)
{
    if (!fs_reference_begin(backend, "copy", out.rows == in.rows && out.cols == in.cols)) {
        return;
    }
    for (int64_t i = 0; i < out.rows; i++) {
        for (int64_t j = 0; j < out.cols; j++) {
            store(out, i, j, load(in, i, j));
        }
    }
}

static void normals(struct fs_backend *backend, struct fs_view out, struct fs_random_key key, uint32_t first_row)
{
    if (!fs_reference_begin(backend, "normals", fs_normals_fits(backend, out))) {
        return;
    }
    for (int64_t i = 0; i < out.rows; i++) {
        for (int64_t j = 0; j < out.cols; j++) {
            float four[4];
            fs_normals4(key, first_row + (uint32_t)i, (uint32_t)(j / 4), four);
            *fs_at(out, i, j) = four[j % 4];
        }
    }
}

struct fs_backend *fs_reference_backend(struct fs_error *error)
{
    struct fs_backend *backend = fs_allocate(1, sizeof *backend, "the reference backend", error);
    struct reference *reference = fs_allocate(1, sizeof *reference, "the reference backend", error);
    if (backend == NULL || reference == NULL) {
        free(backend);
        free(reference);
        return NULL;
    }
    *backend = (struct fs_backend){
        .abi = FS_BACKEND_ABI,
        .name = "reference",
        .variant = "float64",
        .real = FS_F64,
        .pass_tokens = 8192,
        .state = reference,
        .destroy = destroy,
        .allocate = allocate,
        .release = release,
        .upload = upload,
        .download = download,
        .fill = fill,
        .copy = copy,
        .synchronise = synchronise,
        .normals = normals,
    };
    fs_reference_network(backend);
    fs_reference_pictures(backend);
    fs_reference_training(backend);
    fs_reference_tangents(backend);
    return backend;
}
