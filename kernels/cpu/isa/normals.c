/* Standard normals from the counter-based generator. Plain C without contraction: the same bits on each instruction
 * set. */
#include "kernels/cpu/isa/vector.h"

#define BLOCKS_A_TASK 64 /* of four numbers */

static void normals(struct fs_backend *backend, struct fs_view out, struct fs_random_key key, uint32_t first_row)
{
    const struct fs_cpu *cpu = fs_cpu_begin(backend, "normals", fs_normals_fits(backend, out));
    if (cpu == NULL) {
        return;
    }
    const int64_t blocks = (out.cols + 3) / 4, parts = (blocks + BLOCKS_A_TASK - 1) / BLOCKS_A_TASK;
#pragma omp parallel for num_threads(cpu->threads) schedule(static)
    for (int64_t task = 0; task < out.rows * parts; task++) {
        const int64_t row = task / parts, first = task % parts * BLOCKS_A_TASK;
        const int64_t last = first + BLOCKS_A_TASK < blocks ? first + BLOCKS_A_TASK : blocks;
        float values[4 * BLOCKS_A_TASK];
        for (int64_t block = first; block < last; block++) {
            fs_normals4(key, first_row + (uint32_t)row, (uint32_t)block, values + 4 * (block - first));
        }
        const struct span to = span_of(out, row, 4 * first), from = {(char *)values, false};
        const int64_t count = (last == blocks ? out.cols : 4 * last) - 4 * first;
        for (int64_t j = 0; j < count; j += FS_WIDTH) {
            span_store(to, j, count - j, span_load(from, j, count - j));
        }
    }
}

void FS_ISA_NAME(fs_install_normals)(struct fs_backend *backend)
{
    backend->normals = normals;
}
