/* Decoded pictures on the disk: OUT/data/KEY, where KEY is of the folder's path and of what its pictures are made into.
 *
 *     manifest    text: the settings; the file of pictures, their number, the hashes of both splits; and a line for
 * each file: SHA-256, size, time, split, label, name. Renamed last: what it says is there, is there pixels-N    all
 * pictures, [size, size, channels] bytes each, in the manifest's order. Never written in place: a new one gets the
 * other N, and who reads the old one keeps it lock        held, shared, by whoever has it open, so that gc leaves it
 * alone building    held by whoever looks whether it is right, or makes it so refused.txt what the last message on
 * pictures that cannot be used had no room for */
#ifndef FEWSTEP_PICTURE_CACHE_H
#define FEWSTEP_PICTURE_CACHE_H

#include "harness/data/labelled_folder.h"

struct fs_picture_cache {
    int pixels, lock;             /* open files, read with pread; −1: none */
    char sha256[2][FS_HASH_TEXT]; /* contents of each split (fs_dataset_hash_begin), by enum fs_split */
};

/* Opens what is there for these files and settings, after comparing size and time of every file (access->verify: the
 * contents too, and the decoded ones), or decodes them anew. Without access->cache the decoded pictures are a file
 * without a name in $TMPDIR. With access->only_kept nothing is decoded or written, and pixels is −1 where nothing fits.
 * Close it, also after a failure. */
fs_status fs_picture_cache_open(const struct fs_dataset_config *config, const struct fs_labelled_folder *folder,
                                const struct fs_data_access *access, struct fs_picture_cache *cache,
                                struct fs_error *error);
void fs_picture_cache_close(struct fs_picture_cache *cache);

/* The hash of the training split that the folder OUT/data/KEY holds; "" where it holds none. */
void fs_picture_cache_data(const char *folder, char sha256[FS_HASH_TEXT]);

#endif
