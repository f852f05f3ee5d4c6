/* SHA-256 (libmd) as hexadecimal text. */
#ifndef FEWSTEP_HASH_H
#define FEWSTEP_HASH_H

#include <stddef.h>

#include "kernels/base/error.h"

void fs_sha256(const void *data, size_t size, char text[65]);
fs_status fs_sha256_file(const char *path, char text[65], struct fs_error *error);

/* In pieces. */
struct fs_sha256 {
    _Alignas(16) unsigned char state[256]; /* room for libmd's context; checked by a static assertion */
};
void fs_sha256_begin(struct fs_sha256 *hash);
void fs_sha256_add(struct fs_sha256 *hash, const void *data, size_t size);
void fs_sha256_end(struct fs_sha256 *hash, char text[65]);

#endif
