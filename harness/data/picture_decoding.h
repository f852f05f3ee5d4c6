/* All pictures of a folder, decoded and made into squares of one size, one after the other. */
#ifndef FEWSTEP_PICTURE_DECODING_H
#define FEWSTEP_PICTURE_DECODING_H

#include "harness/data/labelled_folder.h"
#include "harness/data/picture_fit.h"

/* A file as it was when it was read. */
struct fs_decoded_file {
    char sha256[65];
    int64_t size, modified; /* bytes; nanoseconds since 1970 */
};

/* What takes the pictures: number `index` of the folder as [size, size, channels], in the folder's order. */
struct fs_picture_taker {
    void *owner;
    fs_status (*take)(void *owner, int64_t index, const struct fs_decoded_file *file, const uint8_t *pixels,
                      struct fs_error *error);
};

/* Decodes on all threads, a few hundred pictures at a time. Files that cannot be used are FS_USAGE, all of them in one
 * message, after every file has been looked at; where the message has no room for all, they are listed in the file
 * `refused` (NULL: nowhere). FS_STOPPED when *access->stop is set. */
fs_status fs_pictures_decode(const struct fs_labelled_folder *folder, const struct fs_picture_fit *fit,
                             const struct fs_data_access *access, const char *refused,
                             const struct fs_picture_taker *taker, struct fs_error *error);

/* One of them by itself: [size, size, channels] to `pixels`. */
fs_status fs_picture_decode_file(const char *path, const struct fs_picture_fit *fit, struct fs_decoded_file *file,
                                 uint8_t *pixels, struct fs_error *error);

/* Size and time of the file at `path` now; false where there is none. */
bool fs_decoded_file_stat(const char *path, struct fs_decoded_file *file);

#endif
