/* Files: whole reads, and writes that are either there or not. */
#include "kernels/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/memory.h"

/* --- paths --- */

bool fs_ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

fs_status fs_path(char path[FS_PATH_ROOM], struct fs_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(path, FS_PATH_ROOM, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= FS_PATH_ROOM) {
        return fs_fail(error, FS_USAGE, "%.100s…: the path is too long: %d bytes, %d is the most", path, length,
                       FS_PATH_ROOM - 1);
    }
    return FS_OK;
}

void fs_program_folder(char folder[FS_PATH_ROOM])
{
    const ssize_t length = readlink("/proc/self/exe", folder, FS_PATH_ROOM - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    strcpy(slash ? slash : folder, slash ? "" : ".");
}

bool fs_program_file(const char *name, char path[FS_PATH_ROOM])
{
    static const char *const places[] = {"", "../", "../lib/fewstep/", "../share/fewstep/"};
    char folder[FS_PATH_ROOM];
    struct fs_error ignored; /* what has no room is not there */
    fs_program_folder(folder);
    for (int i = 0; i < (int)(sizeof places / sizeof *places); i++) {
        if (fs_path(path, &ignored, "%s/%s%s", folder, places[i], name) == FS_OK && access(path, F_OK) == 0) {
            return true;
        }
    }
    if (fs_path(path, &ignored, "%s/%s", folder, name) != FS_OK) {
        path[0] = '\0';
    }
    return false;
}

/* --- reading and writing --- */

/* Whether a place can be written is the user's to mend; a full disk is not a wrong use. */
static fs_status status_of(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return FS_FAILED;
    default:
        return FS_USAGE;
    }
}

/* Opens PATH.tmp and holds its lock, so that two writers of one path take turns and what a killed writer left behind
 * is written over. −1 and errno on failure. */
static int open_locked(const char *temporary)
{
    for (;;) {
        const int fd = open(temporary, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) {
            return -1;
        }
        struct stat held, there;
        while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {
        }
        /* While this one waited, the other writer renamed the file away: the name stands for another file, or none. */
        if (fstat(fd, &held) == 0 && stat(temporary, &there) == 0 && held.st_ino == there.st_ino &&
            held.st_dev == there.st_dev) {
            if (ftruncate(fd, 0) == 0) {
                return fd;
            }
            const int number = errno;
            close(fd);
            errno = number;
            return -1;
        }
        close(fd);
    }
}

fs_status fs_new_file_open(struct fs_new_file *file, const char *path, struct fs_error *error)
{
    *file = (struct fs_new_file){0};
    FS_TRY(fs_path(file->path, error, "%s", path));
    if (!*path) {
        return fs_fail(error, FS_USAGE, "the name of the file to write is empty");
    }
    struct stat there;
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) { /* the rename would put a file in a device's place */
        return fs_fail(error, FS_USAGE, "%s: cannot be written: it is %s", path,
                       S_ISDIR(there.st_mode) ? "a folder" : "no ordinary file");
    }
    snprintf(file->temporary, sizeof file->temporary, "%s.tmp", path);
    const int fd = open_locked(file->temporary);
    if (fd < 0) {
        return fs_fail(error, status_of(errno), "%s: cannot be written: %s", path, strerror(errno));
    }
    file->stream = fdopen(fd, "wb");
    if (!file->stream) {
        const int number = errno;
        unlink(file->temporary);
        close(fd);
        return fs_fail(error, FS_FAILED, "%s: cannot be written: %s", path, strerror(number));
    }
    return FS_OK;
}

/* Makes a rename in the folder of `path` durable. */
static int synchronise_folder(const char *path)
{
    char folder[1024];
    const char *slash = strrchr(path, '/');
    const int length = slash ? (int)(slash - path) : 0;
    snprintf(folder, sizeof folder, "%.*s", length, path);
    const int fd = open(slash ? (length ? folder : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    const int result = fsync(fd);
    const int number = errno;
    close(fd);
    errno = number;
    /* Some file systems cannot synchronise a folder; there is nothing more to be done there. */
    return result != 0 && number != EINVAL && number != ENOTSUP ? -1 : 0;
}

fs_status fs_new_file_commit(struct fs_new_file *file, struct fs_error *error)
{
    /* The lock goes with the stream, so the rename comes before the stream is closed. */
    errno = 0;
    const bool flushed = fflush(file->stream) == 0; /* an earlier write that failed fails again, and says why */
    const bool written = flushed && !ferror(file->stream) && fsync(fileno(file->stream)) == 0 &&
                         rename(file->temporary, file->path) == 0;
    if (!written) {
        const int number = errno ? errno : EIO;
        fs_new_file_abandon(file);
        return fs_fail(error, FS_FAILED, "%s: writing failed: %s", file->path, strerror(number));
    }
    fclose(file->stream);
    file->stream = NULL;
    if (synchronise_folder(file->path) != 0) {
        return fs_fail(error, FS_FAILED, "%s: its folder could not be synchronised: %s", file->path, strerror(errno));
    }
    return FS_OK;
}

void fs_new_file_abandon(struct fs_new_file *file)
{
    if (file->stream) {
        unlink(file->temporary);
        fclose(file->stream);
        file->stream = NULL;
    }
}

/* Reads to the end of `fd`; the size is only a hint, as a pipe has none. */
static fs_status read_all(const char *path, int fd, size_t capacity, size_t limit, char **contents, size_t *size,
                          struct fs_error *error)
{
    char *bytes = malloc(capacity + 1);
    size_t used = 0;
    while (bytes) {
        const ssize_t got = read(fd, bytes + used, capacity + 1 - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            const int number = errno;
            free(bytes);
            return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, strerror(number));
        }
        if (got == 0) {
            bytes[used] = '\0';
            *contents = bytes;
            *size = used;
            return FS_OK;
        }
        used += (size_t)got;
        if (used > limit) {
            free(bytes);
            return fs_fail(error, FS_USAGE, "%s: is larger than the %zu bytes that are allowed here", path, limit);
        }
        if (used > capacity) {
            capacity = 2 * capacity + 4096;
            char *larger = realloc(bytes, capacity + 1);
            if (!larger) {
                free(bytes);
            }
            bytes = larger;
        }
    }
    return fs_fail(error, FS_FAILED, "%s: no memory for its contents", path);
}

fs_status fs_file_read(const char *path, size_t limit, char **contents, size_t *size, struct fs_error *error)
{
    *contents = NULL;
    *size = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) {
        const int number = errno;
        if (fd >= 0) {
            close(fd);
        }
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, strerror(number));
    }
    fs_status status;
    if (S_ISREG(about.st_mode) && (uint64_t)about.st_size > limit) {
        status = fs_fail(error, FS_USAGE, "%s: is larger than the %zu bytes that are allowed here", path, limit);
    } else {
        const size_t capacity = S_ISREG(about.st_mode) ? (size_t)about.st_size : 0;
        status = read_all(path, fd, capacity, limit, contents, size, error);
    }
    close(fd);
    return status;
}

fs_status fs_file_require_ordinary(const char *path, struct fs_error *error)
{
    struct stat about;
    if (stat(path, &about) != 0 || S_ISREG(about.st_mode)) {
        return FS_OK;
    }
    return fs_fail(error, FS_USAGE, "%s: cannot be read: it is %s", path,
                   S_ISDIR(about.st_mode) ? "a folder" : "no ordinary file");
}

fs_status fs_make_folder(const char *path, struct fs_error *error)
{
    char *prefix = fs_copy_text(path, error);
    if (!prefix) {
        return FS_FAILED;
    }
    int number = 0;
    for (char *end = prefix; *end && number == 0;) {
        end += strspn(end, "/");
        end += strcspn(end, "/");
        const char separator = *end;
        *end = '\0';
        if (mkdir(prefix, 0777) != 0 && errno != EEXIST) {
            struct stat about;
            const int reason = errno;
            /* A folder that is there may answer with "read-only" or "no permission" first. */
            number = stat(prefix, &about) == 0 ? 0 : reason;
        }
        *end = separator;
    }
    free(prefix);
    struct stat about;
    if (number == 0 && (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))) {
        number = ENOTDIR;
    }
    if (number == 0 && access(path, W_OK | X_OK) != 0) {
        number = errno;
    }
    return number ? fs_fail(error, status_of(number), "%s: cannot be used as a folder to write to: %s", path,
                            strerror(number))
                  : FS_OK;
}
