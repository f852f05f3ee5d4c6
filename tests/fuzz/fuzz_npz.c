/* .npz archives: whole arrays, one that is read in pieces, statistics. */
#include "kernels/base/npz.h"
#include "metrics/gaussian.h"
#include "tests/fuzz/targets.h"

#include <stdlib.h>

static void read_in_pieces(const struct fs_npz *npz)
{
    struct fs_npz_member member;
    struct fs_error error;
    uint8_t piece[97];
    if (fs_npz_member_open(npz, "arr_0", &member, &error) != FS_OK) {
        return;
    }
    while (member.left > 0) {
        const size_t size = (uint64_t)member.left < sizeof piece ? (size_t)member.left : sizeof piece;
        if (fs_npz_member_read(&member, piece, size, &error) != FS_OK) {
            break;
        }
        fuzz_touch(piece, size);
    }
    fs_npz_member_close(&member);
}

void fuzz_npz(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"mu", "sigma"};
    struct fs_npz npz;
    struct fs_array array;
    struct fs_error error;
    if (fs_npz_open(fuzz_file(data, size), &npz, &error) != FS_OK) {
        return;
    }
    fuzz_touch(fs_npz_comment(&npz), 1);
    for (int i = 0; i < 2; i++) {
        if (fs_npz_read(&npz, names[i], 1 << 20, &array, &error) == FS_OK) {
            fuzz_touch(array.data, fs_npy_data_bytes(&array));
        }
        free(array.data);
    }
    read_in_pieces(&npz);
    fs_npz_close(&npz);
    struct fs_gaussian gaussian;
    if (fs_gaussian_read(fuzz_file(data, size), "", &gaussian, &error) == FS_OK) {
        fuzz_touch(gaussian.covariance, (size_t)(gaussian.dim * gaussian.dim) * sizeof *gaussian.covariance);
    }
    fs_gaussian_free(&gaussian);
}
