/* The order of the data: one keyed permutation an epoch, any place of which can be computed by itself. */
#include "harness/data/dataset.h"
#include "kernels/base/random.h"

#define ROUNDS 8

/* A Feistel network over the numbers of 2·half_bits bits: a bijection whatever its round function is, which here is
 * Philox (Luby & Rackoff 1988: four rounds of a good one make a permutation that looks random). */
static uint64_t feistel(struct fs_random_key key, int half_bits, uint64_t value)
{
    const uint64_t mask = (1ull << half_bits) - 1;
    uint64_t left = value >> half_bits, right = value & mask;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t words[4];
        fs_random_words(key, (uint32_t)right, round, words);
        const uint64_t mixed = left ^ (words[0] & mask);
        left = right;
        right = mixed;
    }
    return left << half_bits | right;
}

/* The network's numbers are up to four times as many as the rows; walking along its cycle until one of them is a row
 * keeps it a bijection (Black & Rogaway 2002). */
static int64_t permute(struct fs_random_key key, int64_t count, int64_t place)
{
    int half_bits = 1;
    while (1ll << 2 * half_bits < count) {
        half_bits++;
    }
    uint64_t value = (uint64_t)place;
    do {
        value = feistel(key, half_bits, value);
    } while (value >= (uint64_t)count);
    return (int64_t)value;
}

void fs_data_order(int64_t count, uint32_t seed, int64_t update, int batch, int first_row, int rows, int64_t *indices)
{
    for (int i = 0; i < rows; i++) {
        const int64_t position = update * batch + first_row + i;
        const uint64_t epoch = (uint64_t)(position / count);
        const struct fs_random_key key = {seed, FS_STREAM_DATA_ORDER, (uint32_t)epoch, (uint32_t)(epoch >> 32)};
        indices[i] = permute(key, count, position % count);
    }
}
