/* NumPy's .npz (libzip): named .npy arrays in a zip archive, stored or compressed, as savez and savez_compressed write
 * them. What an archive declares is checked before memory is taken for it. */
#ifndef FEWSTEP_NPZ_H
#define FEWSTEP_NPZ_H

#include "kernels/base/file.h"
#include "kernels/base/npy.h"

struct fs_npz {
    char path[FS_PATH_ROOM];
    void *archive;
};

/* FS_USAGE when it cannot be read, is no zip archive, or holds two members of one name, of which NumPy takes the last
 * and others the first. */
fs_status fs_npz_open(const char *path, struct fs_npz *npz, struct fs_error *error);
void fs_npz_close(struct fs_npz *npz);
bool fs_npz_has(const struct fs_npz *npz, const char *name); /* "mu" */
/* "mu, sigma, …": the names of what it holds, as NumPy has them, as many as fit. */
void fs_npz_names(const struct fs_npz *npz, char *text, size_t size);
/* The archive's comment, which NumPy ignores; "" when there is none or it is no text of at most 4 KB. */
const char *fs_npz_comment(const struct fs_npz *npz);

/* A whole array; free(array->data). FS_USAGE for one that is not there, unsound, or of more than `count_max`
 * elements. */
fs_status fs_npz_read(const struct fs_npz *npz, const char *name, int64_t count_max, struct fs_array *array,
                      struct fs_error *error);

/* An array that is read from the front. */
struct fs_npz_member {
    char place[1200]; /* "x.npz: arr_0", for messages */
    void *stream;
    struct fs_npy_header header;
    char *head; /* the member's first bytes: the header, and elements behind it */
    size_t head_size, head_used;
    int64_t left; /* bytes of elements not yet given */
};
/* Reads the header. Must be closed before the archive, also after a failure of read. */
fs_status fs_npz_member_open(const struct fs_npz *npz, const char *name, struct fs_npz_member *member,
                             struct fs_error *error);
/* The next `size` bytes (no more than are left) of elements, as they lie in the file. With the last one the archive's
 * checksum is compared. */
fs_status fs_npz_member_read(struct fs_npz_member *member, void *bytes, size_t size, struct fs_error *error);
void fs_npz_member_close(struct fs_npz_member *member);

/* Atomically, uncompressed, little-endian; the same arrays give the same bytes. `comment` may be NULL. */
fs_status fs_npz_write(const char *path, const char *const *names, const struct fs_array *arrays, int count,
                       const char *comment, struct fs_error *error);

#endif
