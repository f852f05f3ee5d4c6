/* Attention over an image in blocks of channels: two matrix products around a softmax. */
#include "kernels/cpu/blocked.h"

#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/onednn.h"

#define QUERIES_A_PART 256 /* their logits, with all keys, lie in memory at one time */

int64_t fs_blocked_norm_floats(int64_t channels, int64_t pixels, int64_t block)
{
    const int64_t chunks = (pixels + FS_BLOCKED_CHUNK - 1) / FS_BLOCKED_CHUNK;
    return 2 * (chunks + 1) * ((channels + block - 1) / block * block);
}

static int64_t queries_of(int64_t pixels)
{
    return pixels < QUERIES_A_PART ? pixels : QUERIES_A_PART;
}

int64_t fs_blocked_attention_floats(int64_t channels, int64_t pixels)
{
    return pixels * 4 * channels + queries_of(pixels) * pixels;
}

static struct fs_operand plain(struct fs_view view)
{
    return (struct fs_operand){view.data, FS_F32, view.stride, 1};
}

static struct fs_operand transposed(struct fs_view view)
{
    return (struct fs_operand){view.data, FS_F32, 1, view.stride};
}

fs_status fs_blocked_attention(struct fs_cpu *cpu, struct fs_blocked out, struct fs_blocked qkv, float *memory,
                               struct fs_error *error)
{
    const int64_t pixels = out.pixels, channels = out.channels;
    const struct fs_view rows = fs_view(memory, FS_F32, pixels, 3 * channels),
                         result = fs_view(memory + pixels * 3 * channels, FS_F32, pixels, channels),
                         k = fs_view_cols(rows, channels, channels), v = fs_view_cols(rows, 2 * channels, channels);
    cpu->blocked.to_rows(cpu, rows, qkv);
    for (int64_t first = 0; first < pixels; first += QUERIES_A_PART) {
        const int64_t count = queries_of(pixels - first);
        const struct fs_view logits = fs_view(memory + pixels * 4 * channels, FS_F32, count, pixels),
                             q = fs_view_cols(fs_view_rows(rows, first, count), 0, channels);
        const struct fs_product products[2] = {
            {count, pixels, channels, plain(q), transposed(k), plain(logits), NULL, false, false},
            {count, channels, pixels, plain(logits), plain(v), plain(fs_view_rows(result, first, count)), NULL, false,
             false}};
        FS_TRY(fs_onednn_product(cpu->onednn, &products[0], error));
        cpu->blocked.softmax(cpu, logits, 1 / sqrtf((float)channels));
        FS_TRY(fs_onednn_product(cpu->onednn, &products[1], error));
    }
    cpu->blocked.from_rows(cpu, out, result);
    return FS_OK;
}
