/* SHA-256 through nettle. */
#include "kernels/base/hash.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <nettle/sha2.h>

_Static_assert(sizeof(struct sha256_ctx) <= sizeof(((struct fs_sha256 *)0)->state), "nettle's context must fit");

void fs_sha256_begin(struct fs_sha256 *hash)
{
    sha256_init((struct sha256_ctx *)hash->state);
}

void fs_sha256_add(struct fs_sha256 *hash, const void *data, size_t size)
{
    if (size > 0) {
        sha256_update((struct sha256_ctx *)hash->state, size, data);
    }
}

void fs_sha256_end(struct fs_sha256 *hash, char text[65])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest((struct sha256_ctx *)hash->state, sizeof digest, digest);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 15];
    }
    text[64] = '\0';
}

void fs_sha256(const void *data, size_t size, char text[65])
{
    struct fs_sha256 hash;
    fs_sha256_begin(&hash);
    fs_sha256_add(&hash, data, size);
    fs_sha256_end(&hash, text);
}

fs_status fs_sha256_file(const char *path, char text[65], struct fs_error *error)
{
    FILE *stream = fopen(path, "rbe");
    if (!stream) {
        return fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, strerror(errno));
    }
    struct fs_sha256 hash;
    fs_sha256_begin(&hash);
    char piece[65536];
    size_t size;
    while ((size = fread(piece, 1, sizeof piece, stream)) > 0) {
        fs_sha256_add(&hash, piece, size);
    }
    const int failed = ferror(stream) ? errno : 0;
    fclose(stream);
    fs_sha256_end(&hash, text);
    return failed ? fs_fail(error, FS_USAGE, "%s: cannot be read: %s", path, strerror(failed)) : FS_OK;
}
