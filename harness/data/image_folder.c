/* A folder of pictures of all sizes, PNG and JPEG, as a data set: decoded once, and read from what was decoded. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/data/picture_cache.h"
#include "harness/data/picture_decoding.h"
#include "harness/data/source.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

struct image_folder {
    struct fs_picture_cache cache;
    int64_t *rows;                    /* of the split's pictures in the cache, or in: */
    struct fs_labelled_folder folder; /* where pictures are decoded as they are read */
    struct fs_picture_fit fit;
    bool streamed;
};

static fs_status image_folder_shape(const struct fs_dataset_config *config, enum fs_split split,
                                    struct fs_data_shape *shape, struct fs_error *error)
{
    struct fs_labelled_folder folder;
    if (config->channels == 2) {
        return fs_fail(error, FS_USAGE, "pictures have 3 channels or 1 (dataset.channels), not 2");
    }
    const fs_status status = fs_labelled_folder_list(config->path, config->test_share, &folder, error);
    *shape =
        (struct fs_data_shape){config->size, config->size, config->channels, folder.classes, folder.split_count[split]};
    fs_labelled_folder_free(&folder);
    return status;
}

/* What tells the files of a split from others, and from themselves once they are changed. */
static fs_status hash_files(const struct image_folder *state, const struct fs_labelled_folder *folder,
                            struct fs_dataset *dataset, struct fs_error *error)
{
    const struct fs_picture_fit *fit = &state->fit;
    struct fs_sha256 hash;
    char line[128];
    fs_sha256_begin(&hash);
    int length =
        snprintf(line, sizeof line, "files %d %d %d %d\n", fit->size, fit->channels, (int)fit->crop, fit->background);
    fs_sha256_add(&hash, line, (size_t)length);
    for (int64_t i = 0; i < dataset->shape.count; i++) {
        const struct fs_labelled_file *of = &folder->files[state->rows[i]];
        struct fs_decoded_file file;
        if (!fs_decoded_file_stat(of->path, &file)) {
            return fs_fail(error, FS_USAGE, "%s: is no longer there", of->path);
        }
        length = snprintf(line, sizeof line, "%lld %lld %d ", (long long)file.size, (long long)file.modified,
                          (int)of->label);
        fs_sha256_add(&hash, line, (size_t)length);
        fs_sha256_add(&hash, of->name, strlen(of->name) + 1);
    }
    fs_sha256_end(&hash, dataset->sha256);
    return FS_OK;
}

static fs_status take_nothing(void *owner, int64_t index, const struct fs_decoded_file *file, const uint8_t *pixels,
                              struct fs_error *error)
{
    (void)owner, (void)index, (void)file, (void)pixels, (void)error;
    return FS_OK;
}

/* Decodes all of them once: what cannot be used is named before hours of work, and not in the middle of them. */
static fs_status try_files(const struct fs_picture_fit *fit, const struct fs_labelled_folder *folder,
                           const struct fs_data_access *access, struct fs_error *error)
{
    const struct fs_picture_taker nobody = {.take = take_nothing};
    return fs_pictures_decode(folder, fit, access, NULL, &nobody, error);
}

static fs_status open_split(const struct fs_dataset_config *config, const struct fs_labelled_folder *folder,
                            const struct fs_data_access *access, struct fs_dataset *dataset, struct fs_error *error)
{
    struct image_folder *state = dataset->state;
    const size_t count = (size_t)folder->split_count[dataset->split];
    dataset->shape.count = (int64_t)count; /* it may have changed since it was asked for */
    dataset->shape.classes = folder->classes;
    if (folder->classes > 0) {
        dataset->labels = fs_labelled_folder_labels(folder, dataset->split, error);
    }
    state->rows = fs_allocate(count, sizeof *state->rows, "a list of pictures", error);
    if (!state->rows || (folder->classes > 0 && !dataset->labels)) {
        return FS_FAILED;
    }
    for (int64_t i = 0, row = 0; i < folder->count; i++) {
        if (folder->files[i].split == dataset->split) {
            state->rows[row++] = i;
        }
    }
    state->streamed = access->streamed;
    if (access->streamed) {
        state->fit = fs_picture_fit_of(config);
        FS_TRY(access->verify ? try_files(&state->fit, folder, access, error) : FS_OK);
        return hash_files(state, folder, dataset, error);
    }
    FS_TRY(fs_picture_cache_open(config, folder, access, &state->cache, error));
    memcpy(dataset->sha256, state->cache.sha256[dataset->split], sizeof dataset->sha256);
    return FS_OK;
}

static fs_status image_folder_open(const struct fs_dataset_config *config, const struct fs_data_access *access,
                                   struct fs_dataset *dataset, struct fs_error *error)
{
    struct fs_labelled_folder folder;
    struct image_folder *state = fs_allocate(1, sizeof *state, "a folder of pictures", error);
    if (!state) {
        return FS_FAILED;
    }
    state->cache = (struct fs_picture_cache){.pixels = -1, .lock = -1};
    dataset->state = state;
    fs_status status = fs_labelled_folder_list(config->path, config->test_share, &folder, error);
    if (status == FS_OK) {
        status = open_split(config, &folder, access, dataset, error);
    }
    if (state->streamed && status == FS_OK) {
        state->folder = folder;
    } else {
        fs_labelled_folder_free(&folder);
    }
    return status;
}

/* The bytes come to the end of `out`, three quarters behind its beginning, and are widened from the front: number i's
 * four bytes end at 4·i + 3, before the byte of number i + 1 at 3·dim + i + 1, as i < dim. */
static fs_status image_folder_read(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit,
                                   float *out, struct fs_error *error)
{
    (void)visit;
    const struct image_folder *state = dataset->state;
    const int64_t dim = fs_shape_dim(&dataset->shape);
    uint8_t *bytes = (uint8_t *)out + 3 * dim;
    if (state->streamed) {
        struct fs_decoded_file file;
        FS_TRY(fs_picture_decode_file(state->folder.files[state->rows[index]].path, &state->fit, &file, bytes, error));
    }
    for (int64_t got = state->streamed ? dim : 0; got < dim;) {
        const ssize_t more =
            pread(state->cache.pixels, bytes + got, (size_t)(dim - got), state->rows[index] * dim + got);
        if (more < 0 && errno == EINTR) {
            continue;
        }
        if (more <= 0) {
            return fs_fail(error, FS_FAILED, "%s: picture %lld cannot be read from what was decoded: %s", dataset->name,
                           (long long)index, more < 0 ? strerror(errno) : "the file was cut short");
        }
        got += more;
    }
    for (int64_t i = 0; i < dim; i++) {
        out[i] = (float)(2 * bytes[i] - 255) / 255.0f;
    }
    return FS_OK;
}

static void image_folder_close(struct fs_dataset *dataset)
{
    struct image_folder *state = dataset->state;
    if (state) {
        fs_picture_cache_close(&state->cache);
        free(state->rows);
        fs_labelled_folder_free(&state->folder);
        free(state);
    }
}

const struct fs_data_source fs_image_folder = {
    .kind = "image-folder",
    .pictures = true,
    .needs_path = true,
    .mirrors = true,
    .resized = true,
    .shape = image_folder_shape,
    .open = image_folder_open,
    .read = image_folder_read,
    .close = image_folder_close,
};
