/* Files: whole reads, and writes that are either there or not. */
#ifndef FEWSTEP_FILE_H
#define FEWSTEP_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "kernels/base/error.h"

/* Paths are built here and nowhere else: printf into `path`, FS_USAGE when it has no room. */
#define FS_PATH_ROOM 1024
fs_status fs_path(char path[FS_PATH_ROOM], struct fs_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The folder of the running program, "." where the system does not say. */
void fs_program_folder(char folder[FS_PATH_ROOM]);
/* A file that comes with the program, "libfewstep_mpi.so" or "metrics/fashion-cnn.safetensors": beside the program, in
 * the folder above it (a source tree's), or in ../lib/fewstep or ../share/fewstep, where `make install` puts it. Where
 * it is in none of them, false, and `path` is the first. */
bool fs_program_file(const char *name, char path[FS_PATH_ROOM]);

/* Whether a path has this ending: ".png". */
bool fs_ends_with(const char *path, const char *end);

/* A file that is written under a temporary name beside its own; commit fsyncs, renames and fsyncs the folder. */
struct fs_new_file {
    FILE *stream;
    char path[FS_PATH_ROOM], temporary[FS_PATH_ROOM + 64];
};
fs_status fs_new_file_open(struct fs_new_file *file, const char *path, struct fs_error *error);
fs_status fs_new_file_commit(struct fs_new_file *file, struct fs_error *error); /* closes; on failure removes */
void fs_new_file_abandon(struct fs_new_file *file);                             /* closes and removes */

/* The whole file in fresh memory with a zero byte behind it (not counted in *size); FS_USAGE when it cannot be read or
 * is larger than `limit`. */
fs_status fs_file_read(const char *path, size_t limit, char **contents, size_t *size, struct fs_error *error);
/* FS_USAGE for a pipe, a device or a folder, which a reader that looks for the end would wait for; nothing where
 * nothing is there. */
fs_status fs_file_require_ordinary(const char *path, struct fs_error *error);
/* mkdir -p. FS_USAGE when it cannot be made or written to. */
fs_status fs_make_folder(const char *path, struct fs_error *error);

#endif
