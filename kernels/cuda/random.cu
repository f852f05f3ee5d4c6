/* Normals: the CPU's bits, from the same header, compiled without contraction. */
#include "kernels/cuda/device.cuh"

struct normals_numbers {
    struct fs_random_key key;
    uint32_t first_row;
};

struct normals_operation {
    struct span out;
    const struct normals_numbers *numbers;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        const struct fs_random_key key = numbers->key;
        const uint32_t at = numbers->first_row + (uint32_t)row;
        struct piece p;
        fs_normals4(key, at, (uint32_t)(col / 4), p.v);
        fs_normals4(key, at, (uint32_t)(col / 4) + 1, p.v + 4);
        store_piece(out, row, col, count, p);
    }
};

static void normals(struct fs_backend *backend, struct fs_view out, struct fs_random_key key, uint32_t first_row)
{
    struct fs_cuda *cuda = fs_cuda_begin_upload(backend, "normals", fs_normals_fits(backend, out));
    if (cuda == NULL) {
        return;
    }
    const struct normals_numbers numbers = {key, first_row};
    const void *on_device = fs_cuda_numbers(cuda, &numbers, sizeof numbers);
    if (on_device != NULL) {
        for_each_piece(cuda, normals_operation{span_of(out), (const struct normals_numbers *)on_device}, out.rows,
                       out.cols);
    }
}

void fs_cuda_install_random(struct fs_backend *backend)
{
    backend->normals = FS_TOLD(normals);
}
