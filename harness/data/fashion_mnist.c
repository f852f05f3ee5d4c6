/* Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): four IDX files, gzipped or plain. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "harness/data/sources.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define DEFAULT_FOLDER "/usr/share/datasets/fashion-mnist"
#define SIZE 28
#define CLASSES 10
#define HEADER_MAX 16
#define DEFLATE_RATIO 1032 /* no deflate stream grows by more */

/* One IDX file: a magic number and its lengths, big-endian, then bytes. */
struct idx_kind {
    const char *names[2];  /* by split */
    const char *sha256[2]; /* of the published file, unpacked */
    uint32_t header[4];    /* magic, count (0: any), then the lengths that must be there */
    int header_words;
    size_t row_bytes;
};

static const struct idx_kind images = {
    {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"},
    {"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
     "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
    {0x00000803, 0, SIZE, SIZE},
    4,
    SIZE *SIZE,
};
static const struct idx_kind labels = {
    {"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"},
    {"bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
     "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"},
    {0x00000801, 0, 0, 0},
    2,
    1,
};

/* An IDX file that is being read; its bytes pass through the hash. */
struct idx_file {
    char path[1200];
    gzFile stream;
    int64_t stored_bytes; /* as it lies on the disk */
    struct fs_sha256 hash;
};

static fs_status corrupt(const struct idx_file *file, const char *what, struct fs_error *error)
{
    return fs_fail(error, FS_USAGE, "%s: %s (not the Fashion-MNIST file it should be; reinstall or download it again)",
                   file->path, what);
}

/* NAME.gz, or else NAME, in the folder; zlib reads both. */
static fs_status idx_open(const char *path, const char *name, struct idx_file *file, struct fs_error *error)
{
    const char *folder = *path ? path : DEFAULT_FOLDER;
    struct stat about;
    snprintf(file->path, sizeof file->path, "%s/%s.gz", folder, name);
    if (stat(file->path, &about) != 0) {
        snprintf(file->path, sizeof file->path, "%s/%s", folder, name);
        if (stat(file->path, &about) != 0) {
            return fs_fail(error, FS_USAGE,
                           "%s(.gz): not there; install it with `apt install dataset-fashion-mnist`, or name the "
                           "folder that holds it as dataset.path",
                           file->path);
        }
    }
    file->stored_bytes = (int64_t)about.st_size;
    errno = 0;
    file->stream = S_ISREG(about.st_mode) ? gzopen(file->path, "rbe") : NULL;
    if (!file->stream) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", file->path,
                       errno ? strerror(errno) : "not a regular file");
    }
    gzbuffer(file->stream, 1u << 17);
    fs_sha256_begin(&file->hash);
    return FS_OK;
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

/* Checks magic and lengths; gives the number of rows. */
static fs_status idx_read_header(struct idx_file *file, const struct idx_kind *kind, int64_t *count,
                                 struct fs_error *error)
{
    uint8_t bytes[HEADER_MAX];
    FS_TRY(idx_read(file, bytes, 4 * (size_t)kind->header_words, error));
    for (int i = 0; i < kind->header_words; i++) {
        const uint8_t *b = bytes + 4 * i;
        const uint32_t word = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        if (i == 1) {
            *count = word;
        } else if (word != kind->header[i]) {
            return corrupt(file, i == 0 ? "wrong magic number" : "its pictures are not 28 × 28", error);
        }
    }
    if (*count < 1 || *count * (int64_t)kind->row_bytes > DEFLATE_RATIO * (file->stored_bytes + 1)) {
        return corrupt(file, "is too short for the number of rows it claims", error);
    }
    return FS_OK;
}

/* Nothing may follow; reading on also makes zlib compare the checksum. Debian's file must be the published one; in a
 * folder of the user's own the data may be other data. */
static fs_status idx_finish(struct idx_file *file, const char *expected, struct fs_error *error)
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
    if (expected && strcmp(text, expected) != 0) {
        return corrupt(file, "its contents have the wrong SHA-256", error);
    }
    return FS_OK;
}

/* The rows of one file, in fresh memory that the caller frees also after a failure. */
static fs_status read_rows(const char *path, enum fs_split split, const struct idx_kind *kind, uint8_t **rows,
                           int64_t *count, struct fs_error *error)
{
    struct idx_file file = {0};
    FS_TRY(idx_open(path, kind->names[split], &file, error));
    fs_status status = idx_read_header(&file, kind, count, error);
    if (status == FS_OK) {
        *rows = fs_allocate((size_t)*count, kind->row_bytes, file.path, error);
        status = *rows ? idx_read(&file, *rows, (size_t)*count * kind->row_bytes, error) : FS_FAILED;
    }
    if (status == FS_OK) {
        status = idx_finish(&file, *path ? NULL : kind->sha256[split], error);
    }
    gzclose(file.stream);
    return status;
}

static fs_status convert_labels(const char *path, const uint8_t *bytes, struct fs_dataset *dataset,
                                struct fs_error *error)
{
    dataset->labels = fs_allocate((size_t)dataset->count, sizeof *dataset->labels, "labels", error);
    if (!dataset->labels) {
        return FS_FAILED;
    }
    for (int64_t i = 0; i < dataset->count; i++) {
        if (bytes[i] >= CLASSES) {
            return fs_fail(error, FS_USAGE, "%s: label %d of picture %lld is not below %d", path, bytes[i],
                           (long long)i, CLASSES);
        }
        dataset->labels[i] = bytes[i];
    }
    return FS_OK;
}

static fs_status fashion_mnist_read(const char *path, enum fs_split split, struct fs_dataset *dataset,
                                    struct fs_error *error)
{
    const char *folder = *path ? path : DEFAULT_FOLDER;
    FS_TRY(read_rows(path, split, &images, &dataset->pixels, &dataset->count, error));
    uint8_t *bytes = NULL;
    int64_t label_count = 0;
    fs_status status = read_rows(path, split, &labels, &bytes, &label_count, error);
    if (status == FS_OK && label_count != dataset->count) {
        status = fs_fail(error, FS_USAGE, "%s: %lld pictures in %s, but %lld labels in %s", folder,
                         (long long)dataset->count, images.names[split], (long long)label_count, labels.names[split]);
    }
    if (status == FS_OK) {
        status = convert_labels(folder, bytes, dataset, error);
    }
    free(bytes);
    return status;
}

const struct fs_dataset_source fs_fashion_mnist = {"fashion-mnist", SIZE, SIZE, 1, CLASSES, fashion_mnist_read};
