/* NumPy's .npy format, versions 1 to 3: magic, version, header length, a Python dictionary, the elements. */
#include "kernels/base/npy.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define RANK_MAX 8
#define FILE_SIZE_MAX ((size_t)64 << 30)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are written as they lie in memory");

static const struct {
    const char *descr; /* without the byte order */
    size_t size;
} types[] = {
    [FS_ARRAY_F32] = {"f4", 4}, [FS_ARRAY_F64] = {"f8", 8}, [FS_ARRAY_U8] = {"u1", 1},
    [FS_ARRAY_I32] = {"i4", 4}, [FS_ARRAY_I64] = {"i8", 8},
};

#define TYPE_COUNT ((int)(sizeof types / sizeof types[0]))

static fs_status bad(const char *path, const char *what, struct fs_error *error)
{
    return fs_fail(error, FS_USAGE, "%s: not a sound .npy array: %s", path, what);
}

/* --- the header: a dictionary of three keys in any order --- */

/* Text that is consumed from the front; it ends with a zero byte. */
static bool take(const char **text, const char *token)
{
    *text += strspn(*text, " \n");
    const size_t length = strlen(token);
    if (strncmp(*text, token, length) != 0) {
        return false;
    }
    *text += length;
    return true;
}

static fs_status parse_descr(const char *path, const char **text, struct fs_npy_header *header, struct fs_error *error)
{
    if (!take(text, "'") || !**text) {
        return bad(path, "its type is no simple one", error);
    }
    const char order = **text, *whole = *text;
    if (strchr("<>|=", order)) {
        ++*text;
    }
    for (int type = 0; type < TYPE_COUNT; type++) {
        if (strncmp(*text, types[type].descr, 2) == 0 && (*text)[2] == '\'') {
            *text += 3;
            header->type = (enum fs_array_type)type;
            header->swapped = order == '>';
            return FS_OK;
        }
    }
    const int length = (int)strcspn(whole, "'");
    return fs_fail(error, FS_USAGE, "%s: its type is '%.*s'; f4, f8, u1, i4 and i8 can be read", path,
                   length < 12 ? length : 12, whole);
}

static fs_status parse_shape(const char *path, const char **text, struct fs_npy_header *header, struct fs_error *error)
{
    bool open = take(text, "(");
    while (open && !take(text, ")")) {
        *text += strspn(*text, " ");
        int64_t length = 0;
        const char *digits = *text;
        for (; **text >= '0' && **text <= '9'; ++*text) {
            if (__builtin_mul_overflow(length, (int64_t)10, &length) ||
                __builtin_add_overflow(length, (int64_t)(**text - '0'), &length)) {
                return bad(path, "its shape is too large", error);
            }
        }
        if (*text == digits || header->rank == RANK_MAX) {
            return bad(path, "its shape is no list of at most 8 numbers", error);
        }
        header->shape[header->rank++] = length;
        *text += **text == 'L'; /* NumPy on Python 2 wrote its long integers so */
        if (!take(text, ",") && (*text)[strspn(*text, " ")] != ')') {
            return bad(path, "its shape is no list of at most 8 numbers", error);
        }
    }
    return open ? FS_OK : bad(path, "its shape is no list of at most 8 numbers", error);
}

static fs_status parse_order(const char *path, const char **text, struct fs_npy_header *header, struct fs_error *error)
{
    header->fortran = take(text, "True");
    return header->fortran || take(text, "False") ? FS_OK : bad(path, "fortran_order is neither True nor False", error);
}

static fs_status parse_dictionary(const char *path, const char *text, struct fs_npy_header *header,
                                  struct fs_error *error)
{
    bool seen[3] = {false, false, false};
    bool more = take(&text, "{");
    while (more && !take(&text, "}")) {
        const int key = take(&text, "'descr'")           ? 0
                        : take(&text, "'fortran_order'") ? 1
                        : take(&text, "'shape'")         ? 2
                                                         : 3;
        if (key == 3 || seen[key] || !take(&text, ":")) {
            return bad(path, "its header is not the dictionary of descr, fortran_order and shape", error);
        }
        seen[key] = true;
        FS_TRY(key == 0   ? parse_descr(path, &text, header, error)
               : key == 1 ? parse_order(path, &text, header, error)
                          : parse_shape(path, &text, header, error));
        take(&text, ",");
    }
    text += strspn(text, " \n");
    return more && seen[0] && seen[1] && seen[2] && !*text
               ? FS_OK
               : bad(path, "its header is not the dictionary of descr, fortran_order and shape", error);
}

/* --- the elements --- */

static void copy_element(unsigned char *to, const unsigned char *from, size_t size, bool swapped)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = from[swapped ? size - 1 - i : i];
    }
}

/* Walks through the array in C order, and through the file with the stride that Fortran order has in each dimension. */
void fs_npy_elements(const struct fs_npy_header *header, const void *bytes, void *elements)
{
    const size_t size = types[header->type].size;
    const unsigned char *from = bytes;
    unsigned char *to = elements;
    int64_t index[RANK_MAX] = {0};
    for (int64_t i = 0; i < header->count; i++) {
        int64_t position = i;
        if (header->fortran) {
            position = 0;
            for (int d = header->rank - 1; d >= 0; d--) {
                position = position * header->shape[d] + index[d];
            }
            for (int d = header->rank - 1; d >= 0 && ++index[d] == header->shape[d]; d--) {
                index[d] = 0;
            }
        }
        copy_element(to + (size_t)i * size, from + (size_t)position * size, size, header->swapped);
    }
}

/* Counts the elements of the shape. */
static fs_status count_elements(const char *path, struct fs_npy_header *header, struct fs_error *error)
{
    const int64_t size = (int64_t)types[header->type].size;
    header->data_bytes = size;
    for (int d = 0; d < header->rank; d++) {
        if (__builtin_mul_overflow(header->data_bytes, header->shape[d], &header->data_bytes)) {
            return bad(path, "its shape is too large", error);
        }
    }
    header->count = header->data_bytes / size;
    return FS_OK;
}

/* Finds the header's text (copied, with a zero byte) and where the elements begin. */
static fs_status find_header(const char *path, const unsigned char *bytes, size_t size, char **text, size_t *data,
                             struct fs_error *error)
{
    if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0) {
        return bad(path, "it does not begin like one", error);
    }
    const int version = bytes[6];
    const size_t prefix = version == 1 ? 10 : 12;
    if (version < 1 || version > 3 || size < prefix) {
        return bad(path, "unknown version", error);
    }
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (version > 1) {
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    }
    if (length > size - prefix) {
        return bad(path, "it ends within its header", error);
    }
    *data = prefix + length;
    *text = fs_allocate(length + 1, 1, path, error);
    if (!*text) {
        return FS_FAILED;
    }
    memcpy(*text, bytes + prefix, length);
    return FS_OK;
}

fs_status fs_npy_parse_header(const char *path, const void *bytes, size_t size, struct fs_npy_header *header,
                              struct fs_error *error)
{
    char *text = NULL;
    *header = (struct fs_npy_header){0};
    FS_TRY(find_header(path, bytes, size, &text, &header->data_begin, error));
    const fs_status status = parse_dictionary(path, text, header, error);
    free(text);
    return status == FS_OK ? count_elements(path, header, error) : status;
}

fs_status fs_npy_check_size(const char *path, const struct fs_npy_header *header, uint64_t size, struct fs_error *error)
{
    if ((uint64_t)header->data_bytes == size - header->data_begin) {
        return FS_OK;
    }
    return fs_fail(error, FS_USAGE, "%s: not a sound .npy array: its shape needs %lld bytes, it has %llu", path,
                   (long long)header->data_bytes, (unsigned long long)(size - header->data_begin));
}

void fs_npy_describe(const struct fs_npy_header *header, struct fs_array *array)
{
    *array = (struct fs_array){.type = header->type, .rank = header->rank};
    memcpy(array->shape, header->shape, sizeof array->shape);
}

fs_status fs_npy_parse(const char *path, const void *bytes, size_t size, struct fs_array *array, struct fs_error *error)
{
    struct fs_npy_header header;
    *array = (struct fs_array){0};
    FS_TRY(fs_npy_parse_header(path, bytes, size, &header, error));
    FS_TRY(fs_npy_check_size(path, &header, size, error));
    fs_npy_describe(&header, array);
    array->data = fs_allocate((size_t)header.count, types[array->type].size, path, error);
    if (!array->data) {
        return FS_FAILED;
    }
    fs_npy_elements(&header, (const unsigned char *)bytes + header.data_begin, array->data);
    return FS_OK;
}

fs_status fs_npy_read(const char *path, struct fs_array *array, struct fs_error *error)
{
    *array = (struct fs_array){0};
    char *bytes;
    size_t size;
    FS_TRY(fs_file_read(path, FILE_SIZE_MAX, &bytes, &size, error));
    const fs_status status = fs_npy_parse(path, bytes, size, array, error);
    free(bytes);
    return status;
}

/* --- writing --- */

size_t fs_npy_data_bytes(const struct fs_array *array)
{
    size_t bytes = types[array->type].size;
    for (int d = 0; d < array->rank; d++) {
        bytes *= (size_t)array->shape[d];
    }
    return bytes;
}

size_t fs_npy_make_header(const struct fs_array *array, char header[FS_NPY_WRITTEN_MAX])
{
    char shape[RANK_MAX * 24] = "";
    size_t used = 0;
    for (int d = 0; d < array->rank; d++) {
        used +=
            (size_t)snprintf(shape + used, sizeof shape - used, "%s%lld", d ? ", " : "", (long long)array->shape[d]);
    }
    char text[FS_NPY_WRITTEN_MAX - 64];
    const int length =
        snprintf(text, sizeof text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (%s%s), }",
                 array->type == FS_ARRAY_U8 ? '|' : '<', types[array->type].descr, shape, array->rank == 1 ? "," : "");
    /* The elements begin at a multiple of 64 bytes, behind a line end. */
    const int padded = (10 + length + 1 + 63) / 64 * 64 - 10;
    const char prefix[10] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)(padded & 255), (char)(padded >> 8)};
    memcpy(header, prefix, sizeof prefix);
    snprintf(header + sizeof prefix, FS_NPY_WRITTEN_MAX - sizeof prefix, "%-*s\n", padded - 1, text);
    return sizeof prefix + (size_t)padded;
}

fs_status fs_npy_write(const char *path, const struct fs_array *array, struct fs_error *error)
{
    char header[FS_NPY_WRITTEN_MAX];
    const size_t length = fs_npy_make_header(array, header), bytes = fs_npy_data_bytes(array);
    struct fs_new_file file;
    FS_TRY(fs_new_file_open(&file, path, error));
    fwrite(header, 1, length, file.stream);
    if (bytes > 0) {
        fwrite(array->data, 1, bytes, file.stream);
    }
    return fs_new_file_commit(&file, error);
}
