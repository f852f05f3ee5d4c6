/* All pictures of a folder, decoded and made into squares of one size, one after the other. */
#include "harness/data/picture_decoding.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define WINDOW 256 /* pictures at a time */
#define FILE_SIZE_MAX ((size_t)1 << 30)
#define LARGE_MAX ((int64_t)1 << 30) /* pixels; what is larger than usual is decoded alone: up to 4 GB */
#define REASON_MAX 400               /* bytes that one file may take in the message of all */

/* A picture of the window. */
struct decoded {
    struct fs_decoded_file file;
    fs_status status;
    struct fs_error error;
};

/* What is said of the files that cannot be used. */
struct refusals {
    int64_t count, untold; /* untold: not in the text, which has no room */
    char text[700];
    FILE *all;    /* NULL: no list is kept */
    char *listed; /* its contents */
    size_t listed_size;
};

bool fs_decoded_file_stat(const char *path, struct fs_decoded_file *file)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        return false;
    }
    file->size = (int64_t)about.st_size;
    file->modified = (int64_t)about.st_mtim.tv_sec * 1000000000 + about.st_mtim.tv_nsec;
    return true;
}

static fs_status decode_one(const char *path, const struct fs_picture_fit *fit, int64_t pixels_max,
                            struct fs_decoded_file *file, uint8_t *pixels, struct fs_error *error)
{
    const struct fs_picture_rules rules = {fit->background, pixels_max};
    struct fs_picture picture;
    char *bytes;
    size_t size;
    if (!fs_decoded_file_stat(path, file)) {
        return fs_fail(error, FS_USAGE, "%s: is no longer there", path);
    }
    FS_TRY(fs_file_read(path, FILE_SIZE_MAX, &bytes, &size, error));
    fs_sha256(bytes, size, file->sha256);
    fs_status status = fs_picture_decode_by(&rules, path, bytes, size, &picture, error);
    free(bytes);
    if (status == FS_OK) {
        status = fs_picture_fit(&picture, fit, pixels, error);
        free(picture.pixels);
    }
    return status;
}

fs_status fs_picture_decode_file(const char *path, const struct fs_picture_fit *fit, struct fs_decoded_file *file,
                                 uint8_t *pixels, struct fs_error *error)
{
    return decode_one(path, fit, LARGE_MAX, file, pixels, error);
}

/* --- refusals --- */

/* "a/b.png: has 16 bits a channel …", without the folder, which the message names once. */
static void refuse(struct refusals *refusals, const struct fs_labelled_file *file, const char *reason)
{
    const size_t folder = strlen(file->path) - strlen(file->name), used = strlen(refusals->text);
    const char *begin = strncmp(reason, file->path, strlen(file->path)) == 0 ? reason + folder : reason;
    const char *advice = strstr(begin, "; replace or remove it");
    const int length = (int)(advice ? (size_t)(advice - begin) : strlen(begin));
    refusals->count++;
    if (length < REASON_MAX && used + (size_t)length + 3 < sizeof refusals->text) {
        snprintf(refusals->text + used, sizeof refusals->text - used, "%s%.*s", used ? "; " : "", length, begin);
    } else {
        refusals->untold++;
    }
    if (refusals->all) {
        fprintf(refusals->all, "%.*s\n", length, begin);
    }
}

static fs_status write_list(const struct refusals *refusals, const char *path, struct fs_error *error)
{
    struct fs_new_file file;
    FS_TRY(fs_new_file_open(&file, path, error));
    fwrite(refusals->listed, 1, refusals->listed_size, file.stream);
    return fs_new_file_commit(&file, error);
}

static fs_status refuse_all(struct refusals *refusals, const struct fs_labelled_folder *folder, const char *path,
                            struct fs_error *error)
{
    char more[FS_PATH_ROOM + 64] = "";
    const struct fs_labelled_file *first = &folder->files[0];
    if (refusals->untold > 0 && refusals->all && fflush(refusals->all) == 0 &&
        write_list(refusals, path, error) == FS_OK) {
        snprintf(more, sizeof more, " … %lld more, all in %s", (long long)refusals->untold, path);
    } else if (refusals->untold > 0) {
        snprintf(more, sizeof more, " … %lld more", (long long)refusals->untold);
    }
    return fs_fail(error, FS_USAGE, "%.*s: %lld of %lld pictures cannot be used; replace or remove them: %s%s",
                   (int)(strlen(first->path) - strlen(first->name)) - 1, first->path, (long long)refusals->count,
                   (long long)folder->count, refusals->text, more);
}

/* --- all pictures --- */

/* What a window needs. */
struct decoding {
    const struct fs_labelled_folder *folder;
    const struct fs_picture_fit *fit;
    const struct fs_picture_taker *taker;
    struct decoded *window;
    uint8_t *pixels;
    struct refusals refusals;
};

static fs_status decode_window(struct decoding *d, int64_t first, int count, struct fs_error *error)
{
    const int64_t dim = (int64_t)d->fit->size * d->fit->size * d->fit->channels;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < count; i++) {
        struct decoded *one = &d->window[i];
        one->status = decode_one(d->folder->files[first + i].path, d->fit, FS_PICTURE_PIXELS_MAX, &one->file,
                                 d->pixels + i * dim, &one->error);
    }
    for (int i = 0; i < count; i++) {
        struct decoded *one = &d->window[i];
        if (one->status == FS_USAGE) {
            one->status = decode_one(d->folder->files[first + i].path, d->fit, LARGE_MAX, &one->file,
                                     d->pixels + i * dim, &one->error);
        }
        if (one->status == FS_USAGE) {
            refuse(&d->refusals, &d->folder->files[first + i], one->error.text);
        } else if (one->status != FS_OK) {
            *error = one->error;
            return one->status;
        } else if (d->refusals.count == 0) { /* else nothing will come of it */
            FS_TRY(d->taker->take(d->taker->owner, first + i, &one->file, d->pixels + i * dim, error));
        }
    }
    return FS_OK;
}

static fs_status decode_all(struct decoding *d, const struct fs_data_access *access, struct fs_error *error)
{
    for (int64_t first = 0; first < d->folder->count; first += WINDOW) {
        const int64_t left = d->folder->count - first;
        if (access->stop && *access->stop) {
            return fs_fail(error, FS_STOPPED,
                           "stopped after %lld of %lld pictures; the same command decodes them again", (long long)first,
                           (long long)d->folder->count);
        }
        FS_TRY(decode_window(d, first, left < WINDOW ? (int)left : WINDOW, error));
        if (access->progress) {
            access->progress(access->owner, first + (left < WINDOW ? left : WINDOW), d->folder->count);
        }
    }
    return FS_OK;
}

fs_status fs_pictures_decode(const struct fs_labelled_folder *folder, const struct fs_picture_fit *fit,
                             const struct fs_data_access *access, const char *refused,
                             const struct fs_picture_taker *taker, struct fs_error *error)
{
    struct decoding d = {.folder = folder, .fit = fit, .taker = taker};
    const size_t dim = (size_t)fit->size * (size_t)fit->size * (size_t)fit->channels;
    d.window = fs_allocate(WINDOW, sizeof *d.window, "pictures", error);
    d.pixels = fs_allocate(WINDOW, dim, "pictures", error);
    fs_status status = d.window && d.pixels ? FS_OK : FS_FAILED;
    if (refused) {
        d.refusals.all = open_memstream(&d.refusals.listed, &d.refusals.listed_size);
    }
    if (status == FS_OK) {
        status = decode_all(&d, access, error);
    }
    if (status == FS_OK && d.refusals.count > 0) {
        status = refuse_all(&d.refusals, folder, refused, error);
    }
    if (d.refusals.all) {
        fclose(d.refusals.all);
        free(d.refusals.listed);
    }
    free(d.window);
    free(d.pixels);
    return status;
}
