/* Pictures and labels in IDX files: the reader, and the kind of data set `idx`, which is any of them. */
#include "harness/data/idx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define WORDS_MAX 4
#define SIDE_MAX 65536
#define DEFLATE_RATIO 1032 /* no deflate stream grows by more */

/* One of the files: a magic number and its lengths, big-endian, then bytes. */
enum file_kind { PICTURES, LABELS };
static const struct {
    const char *names[2]; /* by split */
    uint32_t magic;
    int words; /* of the header: the magic number, the count, and for pictures height and width */
} kinds[] = {
    {{"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"}, 0x00000803, 4},
    {{"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"}, 0x00000801, 2},
};

/* A file that is being read; its bytes pass through the hash. */
struct idx_file {
    char path[FS_PATH_ROOM];
    const struct fs_idx_folder *folder;
    const char *sha256; /* that it must have, or NULL */
    gzFile stream;
    int64_t stored_bytes; /* as it lies on the disk */
    int64_t count;
    int height, width;
    struct fs_sha256 hash;
};

static fs_status corrupt(const struct idx_file *file, const char *what, struct fs_error *error)
{
    return fs_fail(error, FS_USAGE, "%s: %s (%s)", file->path, what, file->folder->wrong);
}

/* NAME.gz, or else NAME; zlib reads both. FS_USAGE where neither is there. */
static fs_status find_file(const struct fs_idx_folder *folder, const char *name, char path[FS_PATH_ROOM],
                           struct stat *about, struct fs_error *error)
{
    FS_TRY(fs_path(path, error, "%s/%s.gz", folder->path, name));
    if (stat(path, about) == 0) {
        return FS_OK;
    }
    FS_TRY(fs_path(path, error, "%s/%s", folder->path, name));
    return stat(path, about) == 0 ? FS_OK : fs_fail(error, FS_USAGE, "%s(.gz): not there; %s", path, folder->missing);
}

static fs_status idx_read(struct idx_file *file, void *bytes, size_t size, struct fs_error *error)
{
    const size_t got = gzfread(bytes, 1, size, file->stream);
    if (got != size) {
        int number;
        const char *reason = gzerror(file->stream, &number);
        return number != Z_OK && number != Z_BUF_ERROR ? corrupt(file, reason, error)
                                                       : corrupt(file, "ends too early", error);
    }
    fs_sha256_add(&file->hash, bytes, size);
    return FS_OK;
}

static fs_status read_header(struct idx_file *file, enum file_kind kind, struct fs_error *error)
{
    uint8_t bytes[4 * WORDS_MAX];
    uint32_t words[WORDS_MAX] = {0, 0, 1, 1};
    FS_TRY(idx_read(file, bytes, 4 * (size_t)kinds[kind].words, error));
    for (int i = 0; i < kinds[kind].words; i++) {
        const uint8_t *b = bytes + 4 * i;
        words[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    if (words[0] != kinds[kind].magic) {
        return corrupt(file, "wrong magic number", error);
    }
    if (words[2] < 1 || words[2] > SIDE_MAX || words[3] < 1 || words[3] > SIDE_MAX) {
        return corrupt(file, "its pictures have no size", error);
    }
    file->count = words[1];
    file->height = (int)words[2];
    file->width = (int)words[3];
    const int64_t most = DEFLATE_RATIO * (file->stored_bytes + 1);
    if (file->count < 1 || file->count > most / ((int64_t)file->height * file->width)) {
        return corrupt(file, "is too short for the number of rows it claims", error);
    }
    return FS_OK;
}

/* Opens a file and reads its header; close file->stream also after a failure. */
static fs_status open_file(const struct fs_idx_folder *folder, enum fs_split split, enum file_kind kind,
                           struct idx_file *file, struct fs_error *error)
{
    struct stat about;
    *file = (struct idx_file){.folder = folder, .sha256 = folder->sha256[split][kind]};
    FS_TRY(find_file(folder, kinds[kind].names[split], file->path, &about, error));
    file->stored_bytes = (int64_t)about.st_size;
    errno = 0;
    file->stream = S_ISREG(about.st_mode) ? gzopen(file->path, "rbe") : NULL;
    if (!file->stream) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", file->path,
                       errno ? strerror(errno) : "not a regular file");
    }
    gzbuffer(file->stream, 1u << 17);
    fs_sha256_begin(&file->hash);
    return read_header(file, kind, error);
}

static void close_file(struct idx_file *file)
{
    if (file->stream) {
        gzclose(file->stream);
    }
}

/* Nothing may follow; reading on also makes zlib compare the checksum. */
static fs_status finish(struct idx_file *file, struct fs_error *error)
{
    char more;
    const int got = gzread(file->stream, &more, 1);
    int number;
    const char *reason = gzerror(file->stream, &number);
    if (got < 0 || number == Z_BUF_ERROR) {
        return corrupt(file, got < 0 ? reason : "ends too early", error);
    }
    if (got > 0) {
        return corrupt(file, "has data behind its last row", error);
    }
    char text[65];
    fs_sha256_end(&file->hash, text);
    if (file->sha256 && strcmp(text, file->sha256) != 0) {
        return corrupt(file, "its contents have the wrong SHA-256", error);
    }
    return FS_OK;
}

/* All rows of an open file, in fresh memory; NULL after a failure. */
static uint8_t *read_rows(struct idx_file *file, struct fs_error *error)
{
    const size_t row = (size_t)file->height * (size_t)file->width;
    uint8_t *rows = fs_allocate((size_t)file->count, row, file->path, error);
    if (rows && (idx_read(file, rows, (size_t)file->count * row, error) != FS_OK || finish(file, error) != FS_OK)) {
        free(rows);
        return NULL;
    }
    return rows;
}

/* The labels of `count` pictures, and the classes that the largest needs; NULL and 0 where there are none. */
static fs_status read_labels(const struct fs_idx_folder *folder, enum fs_split split, int64_t count, int32_t **labels,
                             int *classes, struct fs_error *error)
{
    struct idx_file file;
    struct stat about;
    struct fs_error missing;
    *labels = NULL;
    *classes = 0;
    if (!folder->sha256[split][LABELS] &&
        find_file(folder, kinds[LABELS].names[split], file.path, &about, &missing) != FS_OK) {
        return FS_OK; /* their names are no longer than those of the pictures, which had room */
    }
    uint8_t *bytes = NULL;
    fs_status status = open_file(folder, split, LABELS, &file, error);
    if (status == FS_OK && file.count != count) {
        status =
            fs_fail(error, FS_USAGE, "%s: %lld pictures in %s, but %lld labels in %s", folder->path, (long long)count,
                    kinds[PICTURES].names[split], (long long)file.count, kinds[LABELS].names[split]);
    }
    if (status == FS_OK) {
        bytes = read_rows(&file, error);
        *labels = bytes ? fs_allocate((size_t)count, sizeof **labels, "labels", error) : NULL;
        status = *labels ? FS_OK : error->status;
    }
    for (int64_t i = 0; status == FS_OK && i < count; i++) {
        (*labels)[i] = bytes[i];
        *classes = bytes[i] >= *classes ? bytes[i] + 1 : *classes;
    }
    free(bytes);
    close_file(&file);
    return status;
}

fs_status fs_idx_shape(const struct fs_idx_folder *folder, enum fs_split split, struct fs_data_shape *shape,
                       struct fs_error *error)
{
    struct idx_file file;
    int32_t *labels = NULL;
    fs_status status = open_file(folder, split, PICTURES, &file, error);
    *shape = (struct fs_data_shape){.height = file.height, .width = file.width, .channels = 1, .count = file.count};
    close_file(&file);
    if (status == FS_OK) {
        status = read_labels(folder, split, shape->count, &labels, &shape->classes, error);
    }
    free(labels);
    return status;
}

fs_status fs_idx_open(const struct fs_idx_folder *folder, struct fs_dataset *dataset, struct fs_error *error)
{
    const enum fs_split split = dataset->split;
    const struct fs_data_shape *shape = &dataset->shape;
    struct idx_file file;
    fs_status status = open_file(folder, split, PICTURES, &file, error);
    if (status == FS_OK && (file.count != shape->count || file.height != shape->height || file.width != shape->width)) {
        char text[160];
        snprintf(text, sizeof text, "holds %lld pictures of %d × %d, not %lld of %d × %d", (long long)file.count,
                 file.height, file.width, (long long)shape->count, shape->height, shape->width);
        status = corrupt(&file, text, error);
    }
    if (status == FS_OK) {
        dataset->state = read_rows(&file, error);
        status = dataset->state ? FS_OK : error->status;
    }
    close_file(&file);
    int classes;
    if (status == FS_OK) {
        status = read_labels(folder, split, shape->count, &dataset->labels, &classes, error);
    }
    if (status == FS_OK && classes != shape->classes) {
        status = fs_fail(error, FS_USAGE, "%s: labels of %d classes, not of %d (%s)", folder->path, classes,
                         shape->classes, folder->wrong);
    }
    return status;
}

fs_status fs_idx_read(const struct fs_dataset *dataset, int64_t index, const struct fs_visit *visit, float *out,
                      struct fs_error *error)
{
    (void)visit, (void)error;
    const size_t dim = (size_t)fs_shape_dim(&dataset->shape);
    const uint8_t *pixels = (const uint8_t *)dataset->state + (size_t)index * dim;
    for (size_t i = 0; i < dim; i++) {
        out[i] = (float)(2 * pixels[i] - 255) / 255.0f;
    }
    return FS_OK;
}

/* --- the kind `idx` --- */

static struct fs_idx_folder any_folder(const char *path)
{
    return (struct fs_idx_folder){
        .path = path,
        .missing = "dataset.path is a folder with MNIST's four files: train-images-idx3-ubyte, train-labels-idx1-ubyte "
                   "and the same for t10k, gzipped or not",
        .wrong = "not the IDX file that its name says",
    };
}

static fs_status idx_shape(const struct fs_dataset_config *config, enum fs_split split, struct fs_data_shape *shape,
                           struct fs_error *error)
{
    const struct fs_idx_folder folder = any_folder(config->path);
    return fs_idx_shape(&folder, split, shape, error);
}

static fs_status idx_open(const struct fs_dataset_config *config, const struct fs_data_access *access,
                          struct fs_dataset *dataset, struct fs_error *error)
{
    (void)access;
    const struct fs_idx_folder folder = any_folder(config->path);
    return fs_idx_open(&folder, dataset, error);
}

const struct fs_data_source fs_idx = {
    .kind = "idx",
    .pictures = true,
    .needs_path = true,
    .mirrors = true,
    .shape = idx_shape,
    .open = idx_open,
    .read = fs_idx_read,
};
