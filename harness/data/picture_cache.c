/* Decoded pictures on the disk. */
#include "harness/data/picture_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/data/picture_decoding.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

#define VERSION 1 /* raised when other bytes are decoded from the same file */
#define SETTINGS_ROOM 160

/* A cache that is being opened. */
struct opening {
    const struct fs_labelled_folder *folder;
    const struct fs_data_access *access;
    struct fs_picture_fit fit;
    int64_t dim;                  /* bytes of a picture */
    char settings[SETTINGS_ROOM]; /* the manifest's first line */
    char path[FS_PATH_ROOM];      /* OUT/data/KEY; "": no cache is kept */
    struct fs_picture_cache *cache;
};

/* The manifest's second line. */
struct summary {
    int pixels; /* N of pixels-N */
    int64_t count;
    char pixels_sha256[FS_HASH_TEXT], split_sha256[2][FS_HASH_TEXT];
};

static fs_status name_folder(struct opening *o, const struct fs_dataset_config *config, struct fs_error *error)
{
    char key[65], *real = realpath(config->path, NULL);
    char *text = real ? fs_format(error, "%s%s", o->settings, real) : NULL;
    free(real);
    if (!text) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", config->path, strerror(errno));
    }
    fs_sha256(text, strlen(text), key);
    free(text);
    return fs_path(o->path, error, "%s/%.16s", o->access->cache, key);
}

/* --- locks --- */

static bool is_still_named(int file, const char *path)
{
    struct stat held, there;
    return fstat(file, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
           held.st_dev == there.st_dev;
}

/* Waits for the lock until *stop. A lock whose folder was cleared away meanwhile is none: the folder is made again. */
static fs_status take_lock(const struct opening *o, const char *name, int operation, int *lock, struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    const volatile sig_atomic_t *stop = o->access->stop;
    FS_TRY(fs_path(path, error, "%s/%s", o->path, name));
    for (;;) {
        FS_TRY(fs_make_folder(o->path, error));
        *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (*lock < 0) {
            return fs_fail(error, FS_USAGE, "%s: cannot be written: %s", path, strerror(errno));
        }
        while (flock(*lock, operation) != 0) {
            if (errno != EINTR) {
                return fs_fail(error, FS_FAILED, "%s: cannot be locked: %s", path, strerror(errno));
            }
            if (stop && *stop) {
                return fs_fail(error, FS_STOPPED, "stopped while another process decodes the pictures");
            }
        }
        if (is_still_named(*lock, path)) {
            return FS_OK;
        }
        close(*lock);
    }
}

/* --- the manifest --- */

static fs_status manifest_path(const char *folder, char path[FS_PATH_ROOM], struct fs_error *error)
{
    return fs_path(path, error, "%s/manifest", folder);
}

static void describe_settings(struct opening *o, const struct fs_dataset_config *config)
{
    snprintf(o->settings, sizeof o->settings,
             "fewstep pictures %d: size %d, channels %d, crop %d, background %d, test share %.17g\n", VERSION,
             config->size, config->channels, (int)config->crop, o->fit.background, config->test_share);
}

static bool read_summary(FILE *stream, struct summary *summary)
{
    char *line = NULL;
    size_t room = 0;
    long long count = 0;
    const bool good = getline(&line, &room, stream) > 0 &&
                      sscanf(line, "pixels-%1d %lld %64[0-9a-f] %64[0-9a-f] %64[0-9a-f]", &summary->pixels, &count,
                             summary->pixels_sha256, summary->split_sha256[FS_SPLIT_TRAIN],
                             summary->split_sha256[FS_SPLIT_TEST]) == 5;
    summary->count = count;
    free(line);
    return good;
}

/* What stands behind the SHA-256 in a file's line. */
static void describe_file(const struct fs_labelled_file *file, const struct fs_decoded_file *is, FILE *stream)
{
    fprintf(stream, " %" PRId64 " %" PRId64 " %s %d %s\n", is->size, is->modified,
            file->split == FS_SPLIT_TEST ? "test" : "train", (int)file->label, file->name);
}

/* Whether the line says what is true of the file now. */
static bool line_holds(const char *line, const struct fs_labelled_file *file, bool verify)
{
    struct fs_decoded_file is;
    struct fs_error ignored;
    char *text = NULL;
    size_t size = 0;
    if (strlen(line) < 64 || !fs_decoded_file_stat(file->path, &is)) {
        return false;
    }
    FILE *stream = open_memstream(&text, &size);
    if (!stream) {
        return false;
    }
    describe_file(file, &is, stream);
    bool holds = fclose(stream) == 0 && strcmp(line + 64, text) == 0;
    free(text);
    if (holds && verify) {
        holds = fs_sha256_file(file->path, is.sha256, &ignored) == FS_OK && strncmp(line, is.sha256, 64) == 0;
    }
    return holds;
}

/* Whether the manifest is of these settings and of the files as they are now. */
static bool manifest_holds(const struct opening *o, FILE *stream, struct summary *summary)
{
    char *line = NULL;
    size_t room = 0;
    bool holds = getline(&line, &room, stream) > 0 && strcmp(line, o->settings) == 0 && read_summary(stream, summary) &&
                 summary->count == o->folder->count;
    for (int64_t i = 0; holds && i < o->folder->count; i++) {
        holds = getline(&line, &room, stream) > 0 && line_holds(line, &o->folder->files[i], o->access->verify) &&
                !(o->access->stop && *o->access->stop);
    }
    holds = holds && getline(&line, &room, stream) < 0;
    free(line);
    return holds;
}

/* Opens the pictures of a cache that fits; pixels stays −1 where none does. */
static fs_status open_kept(struct opening *o, struct summary *summary, struct fs_error *error)
{
    char path[FS_PATH_ROOM], sha256[FS_HASH_TEXT];
    struct fs_error ignored;
    struct stat about;
    *summary = (struct summary){.pixels = 1};
    FS_TRY(manifest_path(o->path, path, error));
    FILE *stream = fopen(path, "rbe");
    const bool holds = stream && manifest_holds(o, stream, summary);
    if (stream) {
        fclose(stream);
    }
    FS_TRY(fs_path(path, error, "%s/pixels-%d", o->path, summary->pixels));
    if (!holds || (o->access->verify &&
                   (fs_sha256_file(path, sha256, &ignored) != FS_OK || strcmp(sha256, summary->pixels_sha256) != 0))) {
        return FS_OK;
    }
    const int pixels = open(path, O_RDONLY | O_CLOEXEC);
    if (pixels >= 0 && fstat(pixels, &about) == 0 && about.st_size == o->folder->count * o->dim) {
        o->cache->pixels = pixels;
        memcpy(o->cache->sha256, summary->split_sha256, sizeof o->cache->sha256);
    } else if (pixels >= 0) {
        close(pixels);
    }
    return FS_OK;
}

/* --- decoding --- */

/* What the decoded pictures go to. */
struct writing {
    const struct opening *opening;
    FILE *pixels, *files; /* files: the manifest's lines; NULL: no cache is kept */
    const char *path;     /* of the pixels, for messages */
    struct fs_sha256 all, splits[2];
};

static fs_status take_picture(void *owner, int64_t index, const struct fs_decoded_file *is, const uint8_t *pixels,
                              struct fs_error *error)
{
    struct writing *w = owner;
    const struct fs_labelled_file *file = &w->opening->folder->files[index];
    const size_t bytes = (size_t)w->opening->dim;
    errno = 0;
    if (fwrite(pixels, 1, bytes, w->pixels) != bytes) {
        return fs_fail(error, FS_FAILED, "%s: writing failed: %s", w->path, strerror(errno));
    }
    fs_sha256_add(&w->all, pixels, bytes);
    fs_sha256_add(&w->splits[file->split], pixels, bytes);
    if (w->files && strchr(file->name, '\n')) {
        return fs_fail(error, FS_USAGE, "%s: has a line break in its name: rename it", file->path);
    }
    if (w->files) {
        fprintf(w->files, "%s", is->sha256);
        describe_file(file, is, w->files);
    }
    return FS_OK;
}

/* The hash of a split begins with its shape and labels. */
static fs_status begin_split(const struct opening *o, enum fs_split split, struct fs_sha256 *hash,
                             struct fs_error *error)
{
    const struct fs_labelled_folder *folder = o->folder;
    const struct fs_data_shape shape = {o->fit.size, o->fit.size, o->fit.channels, folder->classes,
                                        folder->split_count[split]};
    int32_t *labels = fs_labelled_folder_labels(folder, split, error);
    if (!labels) {
        return FS_FAILED;
    }
    fs_dataset_hash_begin(hash, true, &shape, folder->classes > 0 ? labels : NULL);
    free(labels);
    return FS_OK;
}

static fs_status decode_to(struct writing *w, struct summary *summary, struct fs_error *error)
{
    const struct opening *o = w->opening;
    char refused[FS_PATH_ROOM] = "";
    const struct fs_picture_taker taker = {w, take_picture};
    fs_sha256_begin(&w->all);
    for (int split = 0; split < 2; split++) {
        FS_TRY(begin_split(o, (enum fs_split)split, &w->splits[split], error));
    }
    if (o->path[0]) {
        FS_TRY(fs_path(refused, error, "%s/refused.txt", o->path));
    }
    FS_TRY(fs_pictures_decode(o->folder, &o->fit, o->access, o->path[0] ? refused : NULL, &taker, error));
    fs_sha256_end(&w->all, summary->pixels_sha256);
    for (int split = 0; split < 2; split++) {
        fs_sha256_end(&w->splits[split], summary->split_sha256[split]);
    }
    summary->count = o->folder->count;
    memcpy(o->cache->sha256, summary->split_sha256, sizeof o->cache->sha256);
    return FS_OK;
}

/* A file without a name, as long as it is open. */
static fs_status decode_for_now(struct opening *o, struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    struct summary summary;
    const char *folder = getenv("TMPDIR");
    FS_TRY(fs_path(path, error, "%s/fewstep-XXXXXX", folder && *folder ? folder : "/tmp"));
    const int file = mkstemp(path);
    const int number = errno;
    o->cache->pixels = file >= 0 ? fcntl(file, F_DUPFD_CLOEXEC, 0) : -1;
    FILE *stream = file >= 0 ? fdopen(file, "wb") : NULL;
    if (file >= 0) {
        unlink(path);
    }
    if (!stream || o->cache->pixels < 0) {
        return fs_fail(error, FS_FAILED, "%s: cannot be written: %s", path, strerror(number));
    }
    struct writing w = {.opening = o, .pixels = stream, .path = path};
    fs_status status = decode_to(&w, &summary, error);
    if (fclose(stream) != 0 && status == FS_OK) {
        status = fs_fail(error, FS_FAILED, "%s: writing failed: %s", path, strerror(errno));
    }
    return status;
}

static fs_status write_manifest(const struct opening *o, const struct summary *summary, const char *files, size_t size,
                                struct fs_error *error)
{
    char path[FS_PATH_ROOM];
    struct fs_new_file file;
    FS_TRY(manifest_path(o->path, path, error));
    FS_TRY(fs_new_file_open(&file, path, error));
    fprintf(file.stream, "%spixels-%d %" PRId64 " %s %s %s\n", o->settings, summary->pixels, summary->count,
            summary->pixels_sha256, summary->split_sha256[FS_SPLIT_TRAIN], summary->split_sha256[FS_SPLIT_TEST]);
    fwrite(files, 1, size, file.stream);
    return fs_new_file_commit(&file, error);
}

/* `last` is what the manifest says that does not fit any more, if there is one. */
static fs_status decode_and_keep(struct opening *o, const struct summary *last, struct fs_error *error)
{
    struct summary summary = {.pixels = last->pixels == 0 ? 1 : 0};
    char path[FS_PATH_ROOM], old[FS_PATH_ROOM], *files = NULL;
    size_t size = 0;
    struct fs_new_file file;
    FS_TRY(fs_path(path, error, "%s/pixels-%d", o->path, summary.pixels));
    FS_TRY(fs_path(old, error, "%s/pixels-%d", o->path, last->pixels));
    FS_TRY(fs_new_file_open(&file, path, error));
    struct writing w = {.opening = o, .pixels = file.stream, .path = path, .files = open_memstream(&files, &size)};
    fs_status status =
        w.files ? decode_to(&w, &summary, error) : fs_fail(error, FS_FAILED, "no memory for the list of pictures");
    if (w.files && fclose(w.files) != 0 && status == FS_OK) {
        status = fs_fail(error, FS_FAILED, "no memory for the list of pictures");
    }
    if (status == FS_OK) {
        status = fs_new_file_commit(&file, error);
    } else {
        fs_new_file_abandon(&file);
    }
    if (status == FS_OK) {
        status = write_manifest(o, &summary, files, size, error);
    }
    free(files);
    FS_TRY(status);
    unlink(old);
    o->cache->pixels = open(path, O_RDONLY | O_CLOEXEC);
    return o->cache->pixels >= 0 ? FS_OK : fs_fail(error, FS_FAILED, "%s: cannot be read: %s", path, strerror(errno));
}

/* --- the whole --- */

static fs_status open_in_folder(struct opening *o, struct fs_error *error)
{
    struct summary last;
    int building = -1;
    if (o->access->only_kept && access(o->path, F_OK) != 0) {
        return FS_OK;
    }
    FS_TRY(take_lock(o, "lock", LOCK_SH, &o->cache->lock, error));
    fs_status status = take_lock(o, "building", LOCK_EX, &building, error);
    if (status == FS_OK) {
        status = open_kept(o, &last, error);
    }
    if (status == FS_OK && o->cache->pixels < 0 && !o->access->only_kept) {
        status = decode_and_keep(o, &last, error);
    }
    if (building >= 0) {
        close(building);
    }
    return status;
}

fs_status fs_picture_cache_open(const struct fs_dataset_config *config, const struct fs_labelled_folder *folder,
                                const struct fs_data_access *access, struct fs_picture_cache *cache,
                                struct fs_error *error)
{
    struct opening o = {.folder = folder, .access = access, .fit = fs_picture_fit_of(config), .cache = cache};
    *cache = (struct fs_picture_cache){.pixels = -1, .lock = -1};
    o.dim = (int64_t)o.fit.size * o.fit.size * o.fit.channels;
    describe_settings(&o, config);
    if (!access->cache) {
        return access->only_kept ? FS_OK : decode_for_now(&o, error);
    }
    FS_TRY(name_folder(&o, config, error));
    return open_in_folder(&o, error);
}

void fs_picture_cache_close(struct fs_picture_cache *cache)
{
    if (cache->pixels >= 0) {
        close(cache->pixels);
    }
    if (cache->lock >= 0) {
        close(cache->lock);
    }
    *cache = (struct fs_picture_cache){.pixels = -1, .lock = -1};
}

void fs_picture_cache_data(const char *folder, char sha256[FS_HASH_TEXT])
{
    char path[FS_PATH_ROOM], *line = NULL;
    size_t room = 0;
    struct fs_error ignored;
    struct summary summary;
    sha256[0] = '\0';
    FILE *stream = manifest_path(folder, path, &ignored) == FS_OK ? fopen(path, "rbe") : NULL;
    if (stream && getline(&line, &room, stream) > 0 && read_summary(stream, &summary)) {
        memcpy(sha256, summary.split_sha256[FS_SPLIT_TRAIN], FS_HASH_TEXT);
    }
    if (stream) {
        fclose(stream);
    }
    free(line);
}
