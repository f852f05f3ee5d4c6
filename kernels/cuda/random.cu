/* Normals: the CPU's bits, from the same header, compiled without contraction. */
#include "kernels/cuda/device.cuh"

struct normals_operation {
    struct span out;
    struct fs_random_key key;
    uint32_t first_row;
    __device__ void piece(int64_t row, int64_t col, int count) const
    {
        struct piece p;
        fs_normals4(key, first_row + (uint32_t)row, (uint32_t)(col / 4), p.v);
        fs_normals4(key, first_row + (uint32_t)row, (uint32_t)(col / 4) + 1, p.v + 4);
        store_piece(out, row, col, count, p);
    }
};

static void normals(struct fs_backend *backend, struct fs_view out, struct fs_random_key key, uint32_t first_row)
{
    struct fs_cuda *cuda = fs_cuda_begin(backend, "normals", fs_is_any(out));
    if (cuda != NULL) {
        for_each_piece(cuda, normals_operation{span_of(out), key, first_row}, out.rows, out.cols);
    }
}

void fs_cuda_install_random(struct fs_backend *backend)
{
    backend->normals = normals;
}
