/* NumPy's .npz (libzip). */
#include "kernels/base/npz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zip.h>

#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define HEAD_MAX 10012 /* NumPy itself refuses headers of more than 10 000 bytes */
#define DEFLATE_RATIO 1032
#define CHUNK ((size_t)1 << 20)
#define NEW_YEAR_1980 0x21 /* the zip format's first day */

/* --- reading --- */

/* An archive that was added to may hold a name twice. */
static fs_status require_each_once(const struct fs_npz *npz, struct fs_error *error)
{
    const zip_int64_t count = zip_get_num_entries(npz->archive, 0);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *name = zip_get_name(npz->archive, (zip_uint64_t)i, 0);
        if (name && zip_name_locate(npz->archive, name, 0) != i) {
            return fs_fail(error, FS_USAGE,
                           "%s: holds %s twice, and readers differ in which they take: write it again with one",
                           npz->path, name);
        }
    }
    return FS_OK;
}

fs_status fs_npz_open(const char *path, struct fs_npz *npz, struct fs_error *error)
{
    int code = 0;
    *npz = (struct fs_npz){0};
    FS_TRY(fs_path(npz->path, error, "%s", path));
    FS_TRY(fs_file_require_ordinary(path, error));
    npz->archive = zip_open(path, ZIP_RDONLY, &code);
    if (!npz->archive) {
        zip_error_t reason;
        zip_error_init_with_code(&reason, code);
        fs_fail(error, FS_USAGE, "%s: cannot be read as an .npz: %s", path, zip_error_strerror(&reason));
        zip_error_fini(&reason);
        return FS_USAGE;
    }
    const fs_status status = require_each_once(npz, error);
    if (status != FS_OK) {
        fs_npz_close(npz);
    }
    return status;
}

void fs_npz_close(struct fs_npz *npz)
{
    if (npz->archive) {
        zip_discard(npz->archive);
    }
    *npz = (struct fs_npz){0};
}

/* NumPy writes NAME.npy and reads both. */
static zip_int64_t locate(const struct fs_npz *npz, const char *name)
{
    char file[256];
    snprintf(file, sizeof file, "%s.npy", name);
    const zip_int64_t index = zip_name_locate(npz->archive, file, 0);
    return index >= 0 ? index : zip_name_locate(npz->archive, name, 0);
}

bool fs_npz_has(const struct fs_npz *npz, const char *name)
{
    return locate(npz, name) >= 0;
}

void fs_npz_names(const struct fs_npz *npz, char *text, size_t size)
{
    const zip_int64_t count = zip_get_num_entries(npz->archive, 0);
    size_t used = 0;
    text[0] = '\0';
    for (zip_int64_t i = 0; i < count && used < size; i++) {
        const char *name = zip_get_name(npz->archive, (zip_uint64_t)i, 0);
        const size_t length = name ? strlen(name) : 0;
        const bool array = length > 4 && strcmp(name + length - 4, ".npy") == 0;
        used += (size_t)snprintf(text + used, size - used, "%s%.*s", i > 0 ? ", " : "",
                                 (int)(array ? length - 4 : length), name ? name : "");
    }
}

const char *fs_npz_comment(const struct fs_npz *npz)
{
    int length = 0;
    const char *comment = zip_get_archive_comment(npz->archive, &length, ZIP_FL_ENC_GUESS);
    return comment && length > 0 && length <= 4096 && strlen(comment) == (size_t)length ? comment : "";
}

static fs_status unsound(struct fs_npz_member *member, struct fs_error *error)
{
    zip_error_t *reason = zip_file_get_error(member->stream);
    return fs_fail(error, FS_USAGE, "%s: cannot be unpacked: %s", member->place,
                   zip_error_code_zip(reason) ? zip_error_strerror(reason) : "it ends too early");
}

/* Reads `size` bytes from the archive. */
static fs_status unpack(struct fs_npz_member *member, char *bytes, size_t size, struct fs_error *error)
{
    for (size_t done = 0; done < size;) {
        const size_t piece = size - done < CHUNK ? size - done : CHUNK;
        const zip_int64_t got = zip_fread(member->stream, bytes + done, piece);
        if (got <= 0) {
            return unsound(member, error);
        }
        done += (size_t)got;
    }
    return FS_OK;
}

/* Reading on behind the last byte makes libzip compare the checksum. */
static fs_status check_end(struct fs_npz_member *member, struct fs_error *error)
{
    char more;
    const zip_int64_t got = zip_fread(member->stream, &more, 1);
    if (got > 0) {
        return fs_fail(error, FS_USAGE, "%s: is longer than the archive says", member->place);
    }
    return got == 0 ? FS_OK : unsound(member, error);
}

/* The declared size must be the header's, and one that the packed bytes can unpack to. */
static fs_status open_header(struct fs_npz_member *member, const zip_stat_t *about, struct fs_error *error)
{
    const zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if ((about->valid & wanted) != wanted || about->size > INT64_MAX ||
        (about->comp_method == ZIP_CM_STORE && about->size != about->comp_size) ||
        (about->comp_method == ZIP_CM_DEFLATE && about->size / DEFLATE_RATIO > about->comp_size)) {
        return fs_fail(error, FS_USAGE, "%s: the archive lies about its size", member->place);
    }
    member->head_size = about->size < HEAD_MAX ? (size_t)about->size : HEAD_MAX;
    member->head = fs_allocate(member->head_size, 1, member->place, error);
    if (!member->head) {
        return FS_FAILED;
    }
    FS_TRY(unpack(member, member->head, member->head_size, error));
    FS_TRY(fs_npy_parse_header(member->place, member->head, member->head_size, &member->header, error));
    FS_TRY(fs_npy_check_size(member->place, &member->header, about->size, error));
    member->head_used = member->header.data_begin;
    member->left = member->header.data_bytes;
    return member->left > 0 ? FS_OK : check_end(member, error);
}

fs_status fs_npz_member_open(const struct fs_npz *npz, const char *name, struct fs_npz_member *member,
                             struct fs_error *error)
{
    zip_stat_t about;
    *member = (struct fs_npz_member){0};
    snprintf(member->place, sizeof member->place, "%s: %s", npz->path, name);
    const zip_int64_t index = locate(npz, name);
    if (index < 0) {
        return fs_fail(error, FS_USAGE, "%s: there is no such array in this .npz", member->place);
    }
    if (zip_stat_index(npz->archive, (zip_uint64_t)index, 0, &about) == 0) {
        member->stream = zip_fopen_index(npz->archive, (zip_uint64_t)index, 0);
    }
    if (!member->stream) {
        return fs_fail(error, FS_USAGE, "%s: cannot be unpacked: %s", member->place, zip_strerror(npz->archive));
    }
    const fs_status status = open_header(member, &about, error);
    if (status != FS_OK) {
        fs_npz_member_close(member);
    }
    return status;
}

fs_status fs_npz_member_read(struct fs_npz_member *member, void *bytes, size_t size, struct fs_error *error)
{
    if (size > (uint64_t)member->left) {
        return fs_fail(error, FS_FAILED, "%s: %zu bytes were asked for, %lld are left", member->place, size,
                       (long long)member->left);
    }
    const size_t held = member->head_size - member->head_used, from_head = size < held ? size : held;
    memcpy(bytes, member->head + member->head_used, from_head);
    member->head_used += from_head;
    FS_TRY(unpack(member, (char *)bytes + from_head, size - from_head, error));
    member->left -= (int64_t)size;
    return size > 0 && member->left == 0 ? check_end(member, error) : FS_OK;
}

void fs_npz_member_close(struct fs_npz_member *member)
{
    if (member->stream) {
        zip_fclose(member->stream);
    }
    free(member->head);
    *member = (struct fs_npz_member){0};
}

static fs_status read_whole(struct fs_npz_member *member, int64_t count_max, struct fs_array *array,
                            struct fs_error *error)
{
    const struct fs_npy_header *header = &member->header;
    if (header->count > count_max) {
        return fs_fail(error, FS_USAGE, "%s: has %lld elements, at most %lld are allowed here", member->place,
                       (long long)header->count, (long long)count_max);
    }
    fs_npy_describe(header, array);
    const size_t size = fs_npy_data_bytes(array);
    char *bytes = fs_allocate(size, 1, member->place, error);
    array->data = bytes ? fs_allocate(size, 1, member->place, error) : NULL;
    fs_status status = array->data ? fs_npz_member_read(member, bytes, size, error) : FS_FAILED;
    if (status == FS_OK) {
        fs_npy_elements(header, bytes, array->data);
    } else {
        free(array->data);
        *array = (struct fs_array){0};
    }
    free(bytes);
    return status;
}

fs_status fs_npz_read(const struct fs_npz *npz, const char *name, int64_t count_max, struct fs_array *array,
                      struct fs_error *error)
{
    struct fs_npz_member member;
    *array = (struct fs_array){0};
    FS_TRY(fs_npz_member_open(npz, name, &member, error));
    const fs_status status = read_whole(&member, count_max, array, error);
    fs_npz_member_close(&member);
    return status;
}

/* --- writing --- */

/* An array that waits to be written: libzip reads header and data where they lie. */
struct entry {
    char header[FS_NPY_WRITTEN_MAX];
    zip_buffer_fragment_t parts[2];
};

static bool add_entry(zip_t *archive, const char *name, const struct fs_array *array, struct entry *entry)
{
    char file[256];
    snprintf(file, sizeof file, "%s.npy", name);
    entry->parts[0].data = (zip_uint8_t *)entry->header;
    entry->parts[0].length = fs_npy_make_header(array, entry->header);
    entry->parts[1].data = array->data;
    entry->parts[1].length = fs_npy_data_bytes(array);
    zip_source_t *source = zip_source_buffer_fragment(archive, entry->parts, entry->parts[1].length > 0 ? 2 : 1, 0);
    const zip_int64_t index = source ? zip_file_add(archive, file, source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
        zip_source_free(source);
        return false;
    }
    return zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) == 0 &&
           zip_file_set_dostime(archive, (zip_uint64_t)index, 0, NEW_YEAR_1980, 0) == 0;
}

/* The archive into `buffer`, which libzip grows. */
static bool pack(zip_source_t *buffer, const char *const *names, const struct fs_array *arrays, int count,
                 const char *comment, struct entry *entries)
{
    zip_error_t reason;
    zip_error_init(&reason);
    zip_source_keep(buffer);
    zip_t *archive = zip_open_from_source(buffer, ZIP_TRUNCATE, &reason);
    zip_error_fini(&reason);
    if (!archive) {
        zip_source_free(buffer);
        return false;
    }
    bool good = !comment || zip_set_archive_comment(archive, comment, (zip_uint16_t)strnlen(comment, UINT16_MAX)) == 0;
    for (int i = 0; good && i < count; i++) {
        good = add_entry(archive, names[i], &arrays[i], &entries[i]);
    }
    if (good && zip_close(archive) == 0) {
        return true;
    }
    zip_discard(archive);
    return false;
}

static bool copy_out(zip_source_t *buffer, FILE *stream)
{
    static const size_t size = 1 << 16;
    char *piece = malloc(size);
    bool good = piece && zip_source_open(buffer) == 0;
    if (good) {
        zip_int64_t got;
        while ((got = zip_source_read(buffer, piece, size)) > 0) {
            fwrite(piece, 1, (size_t)got, stream); /* the stream's error flag is looked at when it is committed */
        }
        good = got == 0;
        zip_source_close(buffer);
    }
    free(piece);
    return good;
}

fs_status fs_npz_write(const char *path, const char *const *names, const struct fs_array *arrays, int count,
                       const char *comment, struct fs_error *error)
{
    zip_error_t reason;
    struct fs_new_file file;
    struct entry *entries = fs_allocate((size_t)count, sizeof *entries, path, error);
    if (!entries) {
        return FS_FAILED;
    }
    zip_error_init(&reason);
    zip_source_t *buffer = zip_source_buffer_create(NULL, 0, 0, &reason);
    zip_error_fini(&reason);
    fs_status status = fs_new_file_open(&file, path, error);
    if (status == FS_OK) {
        if (buffer && pack(buffer, names, arrays, count, comment, entries) && copy_out(buffer, file.stream)) {
            status = fs_new_file_commit(&file, error);
        } else {
            fs_new_file_abandon(&file);
            status = fs_fail(error, FS_FAILED, "%s: the archive could not be made: no memory?", path);
        }
    }
    zip_source_free(buffer);
    free(entries);
    return status;
}
