/* SHA-256 as hexadecimal text, through nettle, which takes the instructions that a processor has for it. */
#ifndef FEWSTEP_HASH_H
#define FEWSTEP_HASH_H

#include <stddef.h>

#include "kernels/base/error.h"

/* Of `size` bytes (of none: data may be NULL). text: 64 digits in lower case and a zero byte. Does not fail. */
void fs_sha256(const void *data, size_t size, char text[65]);
/* Of a file's bytes, read in pieces. FS_USAGE, with the path, when it cannot be read. */
fs_status fs_sha256_file(const char *path, char text[65], struct fs_error *error);

/* In pieces: begin, any number of adds, end; the hash is that of all pieces one after the other. It owns no memory, and
 * may be dropped or begun anew at any time. */
struct fs_sha256 {
    _Alignas(16) unsigned char state[256]; /* room for nettle's context; checked by a static assertion */
};
void fs_sha256_begin(struct fs_sha256 *hash);
void fs_sha256_add(struct fs_sha256 *hash, const void *data, size_t size);
void fs_sha256_end(struct fs_sha256 *hash, char text[65]);

#endif
