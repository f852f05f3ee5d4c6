/* Reading and writing safetensors. Nothing in a file is believed: the header is checked as a whole before a tensor is
 * read, and then every tensor is read to its own aligned place. */
#include "kernels/base/safetensors.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define HEADER_SIZE_MAX (100u << 20) /* the format's own bound */
#define METADATA_KEY "__metadata__"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are copied as they lie in memory");

static const struct {
    const char *name;
    enum fs_type type;
} type_names[] = {{"F64", FS_F64},   {"F32", FS_F32}, {"I32", FS_I32},
                  {"BF16", FS_BF16}, {"F16", FS_F16}, {"U8", FS_U8}}; /* from the widest to the narrowest */

#define TYPE_COUNT (sizeof type_names / sizeof type_names[0])

/* What fs_tensor_file.owner points to: the header (names and metadata lie in it) and the tensors' bytes. */
struct contents {
    json_t *header;
    void *data;
};

/* A tensor's place in the file, while the header is read. */
struct extent {
    uint64_t begin, end;
    struct fs_tensor tensor;
};

static fs_status bad(const char *path, const char *tensor, const char *what, struct fs_error *error)
{
    return fs_fail(error, FS_USAGE, "%s: not a sound safetensors file: tensor '%.200s': %s", path, tensor, what);
}

/* Bytes of a dense tensor; false when they cannot be counted. */
static bool tensor_bytes(const struct fs_tensor *tensor, uint64_t *bytes)
{
    *bytes = fs_type_size(tensor->type);
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] < 0 || __builtin_mul_overflow(*bytes, (uint64_t)tensor->shape[i], bytes)) {
            return false;
        }
    }
    return true;
}

static fs_status parse_type(const char *path, const char *name, const json_t *info, enum fs_type *type,
                            struct fs_error *error)
{
    const char *text = json_string_value(json_object_get(info, "dtype"));
    if (!text) {
        return bad(path, name, "no dtype", error);
    }
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (strcmp(text, type_names[i].name) == 0) {
            *type = type_names[i].type;
            return FS_OK;
        }
    }
    return fs_fail(error, FS_USAGE, "%s: tensor '%.200s' has dtype %.20s; F32, F16, BF16, F64, I32 and U8 can be read",
                   path, name, text);
}

static fs_status parse_extent(const char *path, const char *name, const json_t *info, struct extent *extent,
                              struct fs_error *error)
{
    struct fs_tensor *tensor = &extent->tensor;
    tensor->name = name;
    FS_TRY(parse_type(path, name, info, &tensor->type, error));
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > FS_TENSOR_RANK_MAX) {
        return bad(path, name, "no shape, or one of more than 8 numbers", error);
    }
    tensor->rank = (int)json_array_size(shape);
    for (int i = 0; i < tensor->rank; i++) {
        const json_t *length = json_array_get(shape, (size_t)i);
        tensor->shape[i] = json_is_integer(length) ? json_integer_value(length) : -1;
    }
    const json_t *offsets = json_object_get(info, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin)) {
        return bad(path, name, "its data_offsets are not [begin, end]", error);
    }
    extent->begin = (uint64_t)json_integer_value(begin);
    extent->end = (uint64_t)json_integer_value(end);
    uint64_t bytes;
    if (!tensor_bytes(tensor, &bytes) || bytes != extent->end - extent->begin) {
        return bad(path, name, "its shape does not agree with its data_offsets", error);
    }
    return FS_OK;
}

static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    if (x->end != y->end) {
        return x->end < y->end ? -1 : 1;
    }
    return strcmp(x->tensor.name, y->tensor.name);
}

/* In the order of the file, one behind the other, from the first byte of the data to the last. */
static fs_status check_extents(const char *path, struct extent *extents, int count, uint64_t data_size,
                               struct fs_error *error)
{
    if (count > 0) {
        qsort(extents, (size_t)count, sizeof *extents, compare_extents);
    }
    uint64_t position = 0;
    for (int i = 0; i < count; i++) {
        if (extents[i].begin != position) {
            return bad(path, extents[i].tensor.name, "a hole or an overlap lies before it", error);
        }
        position = extents[i].end;
        if (position > data_size) {
            return bad(path, extents[i].tensor.name, "it ends behind the end of the file (truncated?)", error);
        }
    }
    return position == data_size ? FS_OK
                                 : fs_fail(error, FS_USAGE, "%s: not a sound safetensors file: %llu bytes too many",
                                           path, (unsigned long long)(data_size - position));
}

static fs_status parse_metadata(const char *path, json_t *object, struct fs_tensor_file *file, struct fs_error *error)
{
    if (!object) {
        return FS_OK;
    }
    if (!json_is_object(object)) {
        return bad(path, METADATA_KEY, "not an object of texts", error);
    }
    file->metadata = fs_allocate(json_object_size(object), sizeof *file->metadata, path, error);
    if (!file->metadata) {
        return FS_FAILED;
    }
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value)) {
            return bad(path, METADATA_KEY, "not an object of texts", error);
        }
        file->metadata[file->metadata_count++] = (struct fs_tensor_metadata){key, json_string_value(value)};
    }
    return FS_OK;
}

/* Reads the header's JSON, whose length the file's first 8 bytes tell. */
static fs_status read_header(const char *path, FILE *stream, uint64_t file_size, uint64_t *header_size, json_t **header,
                             struct fs_error *error)
{
    unsigned char length[8];
    if (file_size < sizeof length || fread(length, 1, sizeof length, stream) != sizeof length) {
        return fs_fail(error, FS_USAGE, "%s: not a safetensors file: shorter than 8 bytes", path);
    }
    memcpy(header_size, length, sizeof length);
    if (*header_size > HEADER_SIZE_MAX || *header_size > file_size - sizeof length) {
        return fs_fail(error, FS_USAGE, "%s: not a safetensors file, or truncated: its header should have %llu bytes",
                       path, (unsigned long long)*header_size);
    }
    char *text = fs_allocate((size_t)*header_size, 1, path, error);
    if (!text) {
        return FS_FAILED;
    }
    if (fread(text, 1, (size_t)*header_size, stream) != *header_size) {
        free(text);
        return fs_fail(error, FS_USAGE, "%s: its header cannot be read: %s", path, strerror(errno));
    }
    json_error_t reason;
    *header = json_loadb(text, (size_t)*header_size, JSON_REJECT_DUPLICATES, &reason);
    free(text);
    if (!json_is_object(*header)) {
        return fs_fail(error, FS_USAGE, "%s: not a sound safetensors file: its header is no JSON object%s%s", path,
                       *header ? "" : ": ", *header ? "" : reason.text);
    }
    return FS_OK;
}

/* From the header to the places of all tensors, sorted and checked. */
static fs_status parse_header(const char *path, uint64_t data_size, struct fs_tensor_file *file,
                              struct extent **extents, struct fs_error *error)
{
    json_t *header = ((struct contents *)file->owner)->header;
    FS_TRY(parse_metadata(path, json_object_get(header, METADATA_KEY), file, error));
    if (json_object_size(header) > INT_MAX / 2) {
        return fs_fail(error, FS_USAGE, "%s: too many tensors", path);
    }
    *extents = fs_allocate(json_object_size(header), sizeof **extents, path, error);
    file->tensors = fs_allocate(json_object_size(header), sizeof *file->tensors, path, error);
    if (!*extents || !file->tensors) {
        return FS_FAILED;
    }
    const char *name;
    json_t *info;
    json_object_foreach(header, name, info)
    {
        if (strcmp(name, METADATA_KEY) != 0) {
            FS_TRY(parse_extent(path, name, info, &(*extents)[file->tensor_count], error));
            file->tensor_count++;
        }
    }
    return check_extents(path, *extents, file->tensor_count, data_size, error);
}

static void describe_tensors(const struct extent *extents, uint64_t data_begin, struct fs_tensor_file *file)
{
    for (int i = 0; i < file->tensor_count; i++) {
        file->tensors[i] = extents[i].tensor;
        file->tensors[i].begin = (int64_t)(data_begin + extents[i].begin);
    }
}

/* The extents follow each other in the file; in memory each begins at a multiple of 64 bytes. */
static fs_status read_tensors(const char *path, FILE *stream, const struct extent *extents, struct fs_tensor_file *file,
                              struct fs_error *error)
{
    struct contents *contents = file->owner;
    size_t total = 0;
    for (int i = 0; i < file->tensor_count; i++) {
        total += (size_t)((extents[i].end - extents[i].begin + 63) / 64 * 64);
    }
    contents->data = fs_allocate(total, 1, path, error);
    if (!contents->data) {
        return FS_FAILED;
    }
    unsigned char *place = contents->data;
    for (int i = 0; i < file->tensor_count; i++) {
        const size_t size = (size_t)(extents[i].end - extents[i].begin);
        if (size > 0 && fread(place, 1, size, stream) != size) {
            return bad(path, extents[i].tensor.name, "it could not be read to its end", error);
        }
        file->tensors[i].data = place;
        place += (size + 63) / 64 * 64;
    }
    return FS_OK;
}

static fs_status read_stream(const char *path, FILE *stream, bool with_contents, struct fs_tensor_file *file,
                             struct fs_error *error)
{
    struct stat about;
    if (fstat(fileno(stream), &about) != 0 || !S_ISREG(about.st_mode)) {
        return fs_fail(error, FS_USAGE, "%s: not a regular file", path);
    }
    struct contents *contents = file->owner = fs_allocate(1, sizeof *contents, path, error);
    if (!contents) {
        return FS_FAILED;
    }
    const uint64_t file_size = (uint64_t)about.st_size;
    uint64_t header_size = 0;
    FS_TRY(read_header(path, stream, file_size, &header_size, &contents->header, error));
    struct extent *extents = NULL;
    fs_status status = parse_header(path, file_size - 8 - header_size, file, &extents, error);
    if (status == FS_OK) {
        describe_tensors(extents, 8 + header_size, file);
    }
    if (status == FS_OK && with_contents) {
        status = read_tensors(path, stream, extents, file, error);
    }
    free(extents);
    return status;
}

/* --- the order of a file --- */

/* From the widest type to the narrowest, so that each tensor lies at a multiple of its element's size. */
struct file_order {
    size_t type;
    int next;
};

/* The next tensor in the order of the file, *at beginning at zero, and its bytes; −1 behind the last. */
static int next_in_file(const struct fs_tensor *tensors, int tensor_count, struct file_order *at, uint64_t *bytes)
{
    for (; at->type < TYPE_COUNT; at->type++, at->next = 0) {
        while (at->next < tensor_count) {
            const int i = at->next++;
            if (tensors[i].type == type_names[at->type].type && tensor_bytes(&tensors[i], bytes)) {
                return i;
            }
        }
    }
    return -1;
}

/* Adds `bytes` of a file to a hash. */
static fs_status sum_piece(const char *path, int fd, int64_t begin, uint64_t bytes, struct fs_sha256 *hash,
                           struct fs_error *error)
{
    char buffer[1 << 16];
    while (bytes > 0) {
        const ssize_t got = pread(fd, buffer, bytes < sizeof buffer ? (size_t)bytes : sizeof buffer, (off_t)begin);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, got ? strerror(errno) : "ends too early");
        }
        fs_sha256_add(hash, buffer, (size_t)got);
        begin += got;
        bytes -= (uint64_t)got;
    }
    return FS_OK;
}

#define IN_MEMORY (-1) /* in place of a file's descriptor: the contents are at `data` */

fs_status fs_tensor_file_sum(const char *path, int fd, const struct fs_tensor *tensors, int tensor_count, char sum[65],
                             struct fs_error *error)
{
    struct fs_sha256 hash;
    struct file_order at = {0};
    uint64_t bytes;
    fs_sha256_begin(&hash);
    for (int i; (i = next_in_file(tensors, tensor_count, &at, &bytes)) >= 0;) {
        fs_sha256_add(&hash, tensors[i].name, strlen(tensors[i].name) + 1);
        if (fd == IN_MEMORY) {
            fs_sha256_add(&hash, tensors[i].data, (size_t)bytes);
        } else {
            FS_TRY(sum_piece(path, fd, tensors[i].begin, bytes, &hash, error));
        }
    }
    fs_sha256_end(&hash, sum);
    return FS_OK;
}

static fs_status check_sum(const char *path, const struct fs_tensor_file *file, struct fs_error *error)
{
    const char *written = fs_tensor_metadata_find(file, FS_TENSOR_SUM_KEY);
    char sha256[65];
    if (!written) {
        return FS_OK;
    }
    FS_TRY(fs_tensor_file_sum(path, IN_MEMORY, file->tensors, file->tensor_count, sha256, error));
    return strcmp(sha256, written) == 0
               ? FS_OK
               : fs_fail(error, FS_USAGE,
                         "%s: its contents are not those that were written (SHA-256 %.12s, not %.12s): the file was "
                         "damaged or changed; remove it, and it is made again",
                         path, sha256, written);
}

fs_status fs_tensor_file_read(const char *path, struct fs_tensor_file *file, struct fs_error *error)
{
    *file = (struct fs_tensor_file){0};
    FILE *stream = fopen(path, "rbe");
    if (!stream) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, strerror(errno));
    }
    fs_status status = read_stream(path, stream, true, file, error);
    fclose(stream);
    if (status == FS_OK) {
        status = check_sum(path, file, error);
    }
    if (status != FS_OK) {
        fs_tensor_file_free(file);
    }
    return status;
}

fs_status fs_tensor_file_describe(const char *path, int fd, struct fs_tensor_file *file, struct fs_error *error)
{
    *file = (struct fs_tensor_file){0};
    const int copy = dup(fd);
    FILE *stream = copy >= 0 ? fdopen(copy, "rb") : NULL;
    if (!stream || fseek(stream, 0, SEEK_SET) != 0) {
        const int number = errno;
        if (stream) {
            fclose(stream);
        } else if (copy >= 0) {
            close(copy);
        }
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, strerror(number));
    }
    const fs_status status = read_stream(path, stream, false, file, error);
    fclose(stream);
    if (status != FS_OK) {
        fs_tensor_file_free(file);
    }
    return status;
}

void fs_tensor_file_free(struct fs_tensor_file *file)
{
    struct contents *contents = file->owner;
    if (contents) {
        json_decref(contents->header);
        free(contents->data);
        free(contents);
    }
    free(file->tensors);
    free(file->metadata);
    *file = (struct fs_tensor_file){0};
}

const struct fs_tensor *fs_tensor_find(const struct fs_tensor_file *file, const char *name)
{
    for (int i = 0; i < file->tensor_count; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) {
            return &file->tensors[i];
        }
    }
    return NULL;
}

const char *fs_tensor_metadata_find(const struct fs_tensor_file *file, const char *key)
{
    for (int i = 0; i < file->metadata_count; i++) {
        if (strcmp(file->metadata[i].key, key) == 0) {
            return file->metadata[i].value;
        }
    }
    return NULL;
}

/* --- writing --- */

/* Sets a new key; takes `value` over. */
static fs_status add_key(const char *path, json_t *object, const char *key, json_t *value, struct fs_error *error)
{
    const bool there = json_object_get(object, key) != NULL;
    if (there) {
        json_decref(value);
    }
    if (there || json_object_set_new(object, key, value) != 0) {
        return fs_fail(error, FS_FAILED, "%s: '%.200s' is there twice, is no UTF-8 or finds no memory", path, key);
    }
    return FS_OK;
}

static fs_status add_tensor(const char *path, json_t *header, const struct fs_tensor *tensor, const char *type,
                            uint64_t *position, struct fs_error *error)
{
    uint64_t bytes;
    if (tensor->rank < 0 || tensor->rank > FS_TENSOR_RANK_MAX || !tensor_bytes(tensor, &bytes) ||
        strcmp(tensor->name, METADATA_KEY) == 0) {
        return fs_fail(error, FS_FAILED, "%s: tensor '%.200s' cannot be written: name, rank or shape", path,
                       tensor->name);
    }
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++) {
        json_array_append_new(shape, json_integer(tensor->shape[i]));
    }
    json_t *info = json_pack("{s:s, s:o, s:[I, I]}", "dtype", type, "shape", shape, "data_offsets",
                             (json_int_t)*position, (json_int_t)(*position + bytes));
    *position += bytes;
    return add_key(path, header, tensor->name, info, error);
}

static fs_status build_header(const char *path, json_t *header, const struct fs_tensor *tensors, int tensor_count,
                              const struct fs_tensor_metadata *metadata, int metadata_count, struct fs_error *error)
{
    if (metadata_count > 0) {
        json_t *object = json_object();
        FS_TRY(add_key(path, header, METADATA_KEY, object, error));
        for (int i = 0; i < metadata_count; i++) {
            FS_TRY(add_key(path, object, metadata[i].key, json_string(metadata[i].value), error));
        }
    }
    uint64_t position = 0;
    for (size_t type = 0; type < TYPE_COUNT; type++) { /* in the order of the file; one that has no size is refused */
        for (int i = 0; i < tensor_count; i++) {
            if (tensors[i].type == type_names[type].type) {
                FS_TRY(add_tensor(path, header, &tensors[i], type_names[type].name, &position, error));
            }
        }
    }
    return FS_OK;
}

/* All that stands before the first tensor: the header's length, then the header, filled up to a multiple of 8. Owned by
 * the caller; NULL without memory. */
static char *make_header(const char *path, const struct fs_tensor *tensors, int tensor_count,
                         const struct fs_tensor_metadata *metadata, int metadata_count, size_t *size,
                         struct fs_error *error)
{
    json_t *header = json_object();
    const fs_status status = build_header(path, header, tensors, tensor_count, metadata, metadata_count, error);
    char *text = status == FS_OK ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (!text) {
        if (status == FS_OK) {
            fs_fail(error, FS_FAILED, "%s: no memory for its header", path);
        }
        return NULL;
    }
    const uint64_t length = strlen(text), padded = (length + 7) / 8 * 8;
    *size = sizeof padded + (size_t)padded;
    char *bytes = fs_allocate(*size, 1, path, error);
    if (bytes) {
        memcpy(bytes, &padded, sizeof padded);
        memcpy(bytes + sizeof padded, text, (size_t)length);
        memset(bytes + sizeof padded + length, ' ', (size_t)(padded - length));
    }
    free(text);
    return bytes;
}

#define PIECE (1u << 20) /* bytes that are hashed while they are in a cache, and then written */

/* What fails here sticks to the stream, and commit reports it. */
static void write_bytes(FILE *stream, const void *data, uint64_t size, struct fs_sha256 *hash)
{
    const unsigned char *bytes = data;
    while (size > 0) {
        const size_t piece = size < PIECE ? (size_t)size : PIECE;
        if (hash) {
            fs_sha256_add(hash, bytes, piece);
        }
        fwrite(bytes, 1, piece, stream);
        bytes += piece;
        size -= piece;
    }
}

/* The contents of tensor `i`, which stand until the next are asked for. */
struct contents_source {
    const void *(*contents)(void *owner, int i);
    void *owner;
};

static fs_status write_file(const char *path, const struct fs_tensor *tensors, int tensor_count,
                            const struct fs_tensor_metadata *metadata, int metadata_count,
                            const struct contents_source *source, struct fs_sha256 *hash, int64_t *size,
                            struct fs_error *error)
{
    size_t header_size;
    char *header = make_header(path, tensors, tensor_count, metadata, metadata_count, &header_size, error);
    if (!header) {
        return error->status;
    }
    struct fs_new_file file;
    fs_status status = fs_new_file_open(&file, path, error);
    if (status == FS_OK) {
        struct file_order at = {0};
        uint64_t bytes;
        write_bytes(file.stream, header, header_size, hash);
        *size = (int64_t)header_size;
        for (int i; (i = next_in_file(tensors, tensor_count, &at, &bytes)) >= 0;) {
            write_bytes(file.stream, source->contents(source->owner, i), bytes, hash);
            *size += (int64_t)bytes;
        }
        status = fs_new_file_commit(&file, error);
    }
    free(header);
    return status;
}

static const void *contents_in_memory(void *owner, int i)
{
    return ((const struct fs_tensor *)owner)[i].data;
}

fs_status fs_tensor_file_write(const char *path, const struct fs_tensor *tensors, int tensor_count,
                               const struct fs_tensor_metadata *metadata, int metadata_count, struct fs_error *error)
{
    const struct contents_source source = {contents_in_memory, (void *)tensors};
    int64_t size;
    return write_file(path, tensors, tensor_count, metadata, metadata_count, &source, NULL, &size, error);
}

fs_status fs_tensor_file_write_made(const char *path, const struct fs_tensor *tensors, int tensor_count,
                                    const struct fs_tensor_metadata *metadata, int metadata_count,
                                    const void *(*contents)(void *owner, int i), void *owner, char sha256[65],
                                    int64_t *size, struct fs_error *error)
{
    const struct contents_source source = {contents, owner};
    struct fs_sha256 hash;
    fs_sha256_begin(&hash);
    FS_TRY(write_file(path, tensors, tensor_count, metadata, metadata_count, &source, &hash, size, error));
    fs_sha256_end(&hash, sha256);
    return FS_OK;
}

/* The metadata and the sum behind them; owned by the caller, NULL without memory. */
static struct fs_tensor_metadata *with_sum(const char *path, const struct fs_tensor_metadata *metadata,
                                           int metadata_count, const char *sum, struct fs_error *error)
{
    struct fs_tensor_metadata *all = fs_allocate((size_t)metadata_count + 1, sizeof *all, path, error);
    for (int i = 0; all && i < metadata_count; i++) {
        all[i] = metadata[i];
    }
    if (all) {
        all[metadata_count] = (struct fs_tensor_metadata){FS_TENSOR_SUM_KEY, sum};
    }
    return all;
}

fs_status fs_tensor_file_write_summed(const char *path, const struct fs_tensor *tensors, int tensor_count,
                                      const struct fs_tensor_metadata *metadata, int metadata_count,
                                      struct fs_error *error)
{
    char sha256[65];
    FS_TRY(fs_tensor_file_sum(path, IN_MEMORY, tensors, tensor_count, sha256, error));
    struct fs_tensor_metadata *all = with_sum(path, metadata, metadata_count, sha256, error);
    if (!all) {
        return FS_FAILED;
    }
    const fs_status status = fs_tensor_file_write(path, tensors, tensor_count, all, metadata_count + 1, error);
    free(all);
    return status;
}

fs_status fs_tensor_file_layout(const char *path, struct fs_tensor *tensors, int tensor_count,
                                const struct fs_tensor_metadata *metadata, int metadata_count, const char *sum,
                                char **header, size_t *size, struct fs_error *error)
{
    const char room[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct fs_tensor_metadata *all = with_sum(path, metadata, metadata_count, sum ? sum : room, error);
    *header = all ? make_header(path, tensors, tensor_count, all, metadata_count + 1, size, error) : NULL;
    free(all);
    if (!*header) {
        return error->status;
    }
    struct file_order at = {0};
    uint64_t position = *size, bytes;
    for (int i; (i = next_in_file(tensors, tensor_count, &at, &bytes)) >= 0;) {
        tensors[i].begin = (int64_t)position;
        position += bytes;
    }
    return FS_OK;
}
