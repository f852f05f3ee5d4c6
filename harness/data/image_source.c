/* Pictures one after the other, wherever they lie. */
#include "harness/data/image_source.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/data/folder.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define HEADER_MAX 10012 /* NumPy itself refuses headers of more than 10 000 bytes */
#define BATCH_BYTES_MAX ((int64_t)256 << 20)
#define SCANNED_MAX ((int64_t)1 << 28) /* floats whose range is looked at before the work */
#define BEYOND_MAX 10                  /* half widths from the middle: further out lies no sample of a picture */

/* --- opening --- */

static fs_status open_dataset(const char *text, struct fs_image_source *source, struct fs_error *error)
{
    struct fs_dataset_config config = {0};
    const char *colon = strchr(text, ':');
    const size_t length = colon ? (size_t)(colon - text) : strlen(text);
    enum fs_split split = FS_SPLIT_TRAIN;
    if (colon && strcmp(colon + 1, "test") == 0) {
        split = FS_SPLIT_TEST;
    } else if (colon && strcmp(colon + 1, "train") != 0) {
        return fs_fail(error, FS_USAGE, "dataset:%s: unknown split '%s': there are train and test", text, colon + 1);
    }
    if (length >= sizeof config.name) {
        return fs_fail(error, FS_USAGE, "dataset:%.40s…: there is no data set of that name", text);
    }
    memcpy(config.name, text, length);
    FS_TRY(fs_dataset_open(&config, split, &source->dataset, error));
    if (!source->dataset.pictures) {
        return fs_fail(error, FS_USAGE, "dataset:%s: its rows are no pictures", text);
    }
    const struct fs_data_shape *shape = &source->dataset.shape;
    source->count = shape->count;
    source->height = shape->height;
    source->width = shape->width;
    source->own_channels = shape->channels;
    return FS_OK;
}

/* What an array's header says of its pictures. */
static fs_status take_header(const char *place, const struct fs_npy_header *header, bool floats_allowed,
                             struct fs_image_source *source, struct fs_error *error)
{
    const int64_t *shape = header->shape;
    source->floats = floats_allowed && header->type == FS_ARRAY_F32;
    if ((header->type != FS_ARRAY_U8 && !source->floats) || header->rank != 4 || header->fortran || header->swapped ||
        (shape[3] != 1 && shape[3] != 3)) {
        return fs_fail(error, FS_USAGE,
                       "%s: expected uint8%s pictures [N, height, width, 1 or 3] in C order; save them so with NumPy",
                       place, floats_allowed ? " or little-endian float32" : "");
    }
    if (shape[0] < 1 || shape[1] < 1 || shape[2] < 1 || shape[1] > INT_MAX || shape[2] > INT_MAX ||
        shape[1] * shape[2] > FS_PICTURE_PIXELS_MAX) {
        return fs_fail(error, FS_USAGE, "%s: %lld pictures of %lld × %lld pixels: no such pictures are taken", place,
                       (long long)shape[0], (long long)shape[1], (long long)shape[2]);
    }
    source->count = shape[0];
    source->height = (int)shape[1];
    source->width = (int)shape[2];
    source->own_channels = (int)shape[3];
    return FS_OK;
}

static fs_status open_npz(const char *path, struct fs_image_source *source, struct fs_error *error)
{
    FS_TRY(fs_npz_open(path, &source->npz, error));
    if (!fs_npz_has(&source->npz, "arr_0")) {
        char names[200];
        fs_npz_names(&source->npz, names, sizeof names);
        return fs_fail(error, FS_USAGE, "%s: holds neither pictures (arr_0) nor statistics (mu and sigma), but %s",
                       path, *names ? names : "nothing");
    }
    FS_TRY(fs_npz_member_open(&source->npz, "arr_0", &source->member, error));
    return take_header(source->member.place, &source->member.header, false, source, error);
}

/* Reads the header, and leaves the stream behind it. */
static fs_status open_npy(const char *path, struct fs_image_source *source, struct fs_error *error)
{
    char head[HEADER_MAX];
    struct fs_npy_header header;
    struct stat about;
    FS_TRY(fs_file_require_ordinary(path, error));
    source->stream = fopen(path, "rbe");
    if (!source->stream || fstat(fileno(source->stream), &about) != 0) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, strerror(errno));
    }
    const size_t size = fread(head, 1, sizeof head, source->stream);
    FS_TRY(fs_npy_parse_header(path, head, size, &header, error));
    FS_TRY(fs_npy_check_size(path, &header, (uint64_t)about.st_size, error));
    if (fseek(source->stream, (long)header.data_begin, SEEK_SET) != 0) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, strerror(errno));
    }
    return take_header(path, &header, true, source, error);
}

fs_status fs_image_source_open(const char *text, int channels, struct fs_image_source *source, struct fs_error *error)
{
    static const char prefix[] = "dataset:";
    struct stat about;
    *source = (struct fs_image_source){.channels = channels, .low = -1, .high = 1};
    FS_TRY(fs_path(source->name, error, "%s", text));
    if (strncmp(text, prefix, sizeof prefix - 1) == 0) {
        return open_dataset(text + sizeof prefix - 1, source, error);
    }
    const size_t length = strlen(text);
    const char *ending = length > 4 ? text + length - 4 : "";
    if (strcmp(ending, ".npz") == 0 || strcmp(ending, ".npy") == 0) {
        return (ending[3] == 'z' ? open_npz : open_npy)(text, source, error);
    }
    if (stat(text, &about) == 0 && !S_ISDIR(about.st_mode)) {
        return fs_fail(error, FS_USAGE,
                       "%s: expected a folder of pictures, an .npz or .npy, or dataset:NAME[:train|test]", text);
    }
    return fs_folder_pictures(text, &source->paths, &source->count, error);
}

void fs_image_source_close(struct fs_image_source *source)
{
    fs_folder_free(source->paths, source->paths ? source->count : 0);
    for (int i = source->window_first; i < source->window_count; i++) {
        free(source->window[i].pixels);
    }
    if (source->stream) {
        fclose(source->stream);
    }
    fs_npz_member_close(&source->member);
    fs_npz_close(&source->npz);
    fs_dataset_close(&source->dataset);
    free(source->pixels);
    *source = (struct fs_image_source){0};
}

void fs_image_source_place(const struct fs_image_source *source, int64_t index, char text[FS_IMAGE_PLACE])
{
    if (source->paths) {
        snprintf(text, FS_IMAGE_PLACE, "%s", source->paths[index]);
    } else {
        snprintf(text, FS_IMAGE_PLACE, "%s: picture %lld", source->name, (long long)index);
    }
}

/* --- what floats span --- */

/* The smallest and the largest of the next floats, at most SCANNED_MAX of them; the stream is left where it was. */
static fs_status scan(struct fs_image_source *source, struct fs_error *error)
{
    enum { AT_ONCE = 1 << 14 };
    float *values = fs_allocate(AT_ONCE, sizeof *values, source->name, error);
    const long begin = values ? ftell(source->stream) : -1;
    if (!values) {
        return FS_FAILED;
    }
    source->lowest = INFINITY;
    source->highest = -INFINITY;
    size_t got = 1;
    for (int64_t read = 0; read < SCANNED_MAX && got > 0; read += (int64_t)got) {
        got = fread(values, sizeof *values, AT_ONCE, source->stream);
        for (size_t i = 0; i < got; i++) { /* what is not finite is refused when its picture is read */
            source->lowest = isfinite(values[i]) ? fminf(source->lowest, values[i]) : source->lowest;
            source->highest = isfinite(values[i]) ? fmaxf(source->highest, values[i]) : source->highest;
        }
    }
    free(values);
    return begin >= 0 && fseek(source->stream, begin, SEEK_SET) == 0
               ? FS_OK
               : fs_fail(error, FS_USAGE, "%s: cannot be read: %s", source->name, strerror(errno));
}

fs_status fs_image_source_range(struct fs_image_source *source, const double *range, struct fs_error *error)
{
    if (!source->floats) {
        return FS_OK;
    }
    source->low = range ? (float)range[0] : -1;
    source->high = range ? (float)range[1] : 1;
    FS_TRY(scan(source, error));
    const float middle = (source->low + source->high) / 2, beyond = BEYOND_MAX * (source->high - source->low) / 2;
    const bool above = !range && source->lowest >= 0;
    const bool far = source->lowest < middle - beyond || source->highest > middle + beyond;
    if (source->lowest > source->highest || (!above && !far)) {
        return FS_OK;
    }
    return fs_fail(error, FS_USAGE,
                   "%s: floats from %g to %g, where %g is black and %g white: say which values are, such as --range %s",
                   source->name, (double)source->lowest, (double)source->highest, (double)source->low,
                   (double)source->high, source->highest <= 1 ? "0..1" : "0..255");
}

/* --- the next batch --- */

static fs_status reserve(struct fs_image_source *source, size_t bytes, struct fs_error *error)
{
    if (bytes <= source->capacity) {
        return FS_OK;
    }
    const size_t capacity = source->capacity == 0 ? bytes : bytes + source->capacity / 2;
    void *larger = realloc(source->pixels, capacity);
    if (!larger) {
        return fs_fail(error, FS_FAILED, "%s: no memory for a batch of pictures, %zu bytes", source->name, capacity);
    }
    source->pixels = larger;
    source->capacity = capacity;
    return FS_OK;
}

/* One picture's pixels, of `size` bytes a channel, into the channels that were asked for. */
static fs_status convert(const struct fs_image_source *source, int64_t index, const void *pixels, int channels,
                         int64_t count, size_t size, void *converted, struct fs_error *error)
{
    char place[FS_IMAGE_PLACE];
    const char *from = pixels;
    char *to = converted;
    if (channels == source->channels) {
        memcpy(to, from, (size_t)count * (size_t)channels * size);
        return FS_OK;
    }
    for (int64_t i = 0; i < count; i++) {
        const char *one = from + (size_t)(i * channels) * size;
        if (channels == 3 && (memcmp(one, one + size, size) != 0 || memcmp(one, one + 2 * size, size) != 0)) {
            fs_image_source_place(source, index, place);
            return fs_fail(error, FS_USAGE, "%s: is in colour, where grey pictures are needed", place);
        }
        for (int c = 0; c < source->channels; c++) {
            memcpy(to + (size_t)(i * source->channels + c) * size, one, size);
        }
    }
    return FS_OK;
}

/* The next files, each by a thread; of several that cannot be decoded the first is named. */
static fs_status fill_window(struct fs_image_source *source, struct fs_error *error)
{
    struct fs_error errors[FS_IMAGE_WINDOW];
    fs_status status[FS_IMAGE_WINDOW];
    const int64_t left = source->count - source->next;
    const int count = left < FS_IMAGE_WINDOW ? (int)left : FS_IMAGE_WINDOW;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < count; i++) {
        status[i] = fs_picture_read(source->paths[source->next + i], &source->window[i], &errors[i]);
    }
    source->window_first = 0;
    source->window_count = count;
    for (int i = 0; i < count; i++) {
        if (status[i] != FS_OK) {
            *error = errors[i];
            return status[i];
        }
    }
    return FS_OK;
}

static bool fits(const struct fs_picture *picture, const struct fs_image_batch *batch)
{
    return batch->count == 0 || (picture->height == batch->height && picture->width == batch->width);
}

/* Adds the window's first picture, which fits. */
static fs_status take_picture(struct fs_image_source *source, struct fs_image_batch *batch, struct fs_error *error)
{
    struct fs_picture *picture = &source->window[source->window_first];
    const int64_t pixels = (int64_t)picture->height * picture->width, bytes = pixels * source->channels;
    batch->height = picture->height;
    batch->width = picture->width;
    FS_TRY(reserve(source, (size_t)((batch->count + 1) * bytes), error));
    FS_TRY(convert(source, source->next, picture->pixels, picture->channels, pixels, 1,
                   (uint8_t *)source->pixels + batch->count * bytes, error));
    free(picture->pixels);
    *picture = (struct fs_picture){0};
    source->window_first++;
    source->next++;
    batch->count++;
    return FS_OK;
}

static fs_status next_files(struct fs_image_source *source, int64_t max, struct fs_image_batch *batch,
                            struct fs_error *error)
{
    while (batch->count < max && source->next < source->count) {
        if (source->window_first == source->window_count) {
            FS_TRY(fill_window(source, error));
        }
        if (!fits(&source->window[source->window_first], batch)) {
            break;
        }
        FS_TRY(take_picture(source, batch, error));
        if ((batch->count + 1) * batch->height * batch->width * source->channels > BATCH_BYTES_MAX) {
            break;
        }
    }
    return FS_OK;
}

/* One picture of a data set, or the next of an array that is read from the front. */
static fs_status read_row(struct fs_image_source *source, int64_t index, void *row, size_t bytes,
                          struct fs_error *error)
{
    if (source->dataset.source) {
        return fs_dataset_bytes(&source->dataset, index, 1, row, error);
    }
    if (!source->stream) {
        return fs_npz_member_read(&source->member, row, bytes, error);
    }
    if (fread(row, 1, bytes, source->stream) != bytes) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: it ends too early, or the disk fails", source->name);
    }
    for (size_t i = 0; source->floats && i < bytes / sizeof(float); i++) {
        if (!isfinite(((const float *)row)[i])) {
            return fs_fail(error, FS_USAGE, "%s: picture %lld has a value that is not finite: draw it again",
                           source->name, (long long)index);
        }
    }
    return FS_OK;
}

/* From an array that holds all: an .npz or .npy that is read from the front, or a data set. */
static fs_status next_rows(struct fs_image_source *source, int64_t max, struct fs_image_batch *batch,
                           struct fs_error *error)
{
    const size_t size = source->floats ? sizeof(float) : 1;
    const int64_t pixels = (int64_t)source->height * source->width, row = pixels * source->own_channels;
    const int64_t converted = pixels * source->channels * (int64_t)size;
    const int64_t most = BATCH_BYTES_MAX / converted, left = source->count - source->next;
    const int64_t wanted = max < left ? max : left, count = wanted <= most ? wanted : most < 1 ? 1 : most;
    FS_TRY(reserve(source, (size_t)(count * converted), error));
    void *own = fs_allocate((size_t)row, size, source->name, error);
    fs_status status = own ? FS_OK : FS_FAILED;
    for (int64_t i = 0; status == FS_OK && i < count; i++) {
        status = read_row(source, source->next + i, own, (size_t)row * size, error);
        if (status == FS_OK) {
            status = convert(source, source->next + i, own, source->own_channels, pixels, size,
                             (uint8_t *)source->pixels + i * converted, error);
        }
    }
    free(own);
    batch->height = source->height;
    batch->width = source->width;
    batch->count = status == FS_OK ? count : 0;
    source->next += batch->count;
    return status;
}

fs_status fs_image_source_next(struct fs_image_source *source, int64_t max, struct fs_image_batch *batch,
                               struct fs_error *error)
{
    *batch = (struct fs_image_batch){
        .is_uint8 = !source->floats, .channels = source->channels, .low = source->low, .high = source->high};
    if (source->next >= source->count || max < 1) {
        return FS_OK;
    }
    FS_TRY(source->paths ? next_files(source, max, batch, error) : next_rows(source, max, batch, error));
    batch->pixels = source->pixels;
    return FS_OK;
}
