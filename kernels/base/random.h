/* Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * Header only and free of library mathematics, so that every compiler, instruction set and device gives the same
 * bits: each file that includes it is compiled with -ffp-contract=off (nvcc: -fmad=false). */
#ifndef FEWSTEP_RANDOM_H
#define FEWSTEP_RANDOM_H

#include <stdint.h>

/* Named streams never overlap: the stream is half of the key. Append only, the numbers are part of every result. */
enum fs_stream {
    FS_STREAM_INITIAL_WEIGHTS = 1,
    FS_STREAM_DATA_ORDER = 2,
    FS_STREAM_TRAIN_NOISE = 3,
    FS_STREAM_TRAIN_TIME = 4,
    FS_STREAM_LABEL_DROPOUT = 5,
    FS_STREAM_BOOTSTRAP_NOISE = 6,
    FS_STREAM_BOOTSTRAP_TIME = 7,
    FS_STREAM_PAIR_NOISE = 8,
    FS_STREAM_PAIR_LABEL = 9,
    FS_STREAM_PAIR_ORDER = 10,
    FS_STREAM_EVALUATION_NOISE = 11,
    FS_STREAM_SYNTHETIC_DATA = 12,
    FS_STREAM_CLASSIFIER = 13,
    FS_STREAM_RESAMPLING = 14, /* bootstrap intervals */
    FS_STREAM_TEST = 15,
};

/* Where in a stream a draw stands. The counter is (element / 4, row, step, update). */
struct fs_random_key {
    uint32_t seed, stream;
    uint32_t update; /* training update, or 0 */
    uint32_t step;   /* sampling step, or 0 */
};

/* One block of Philox4x32-10: 128 random bits from a 128-bit counter and a 64-bit key. */
static inline void fs_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* The four words that stand at element 4·block … 4·block + 3 of a row. */
static inline void fs_random_words(struct fs_random_key key, uint32_t row, uint32_t block, uint32_t out[4]);
/* Four standard normals (Box–Muller) at the same place: own logarithm and sine-cosine polynomials. */
static inline void fs_normals4(struct fs_random_key key, uint32_t row, uint32_t block, float out[4]);
/* Element `element` of a row: uniform in [0, 1) with 24 bits. */
static inline float fs_uniform(struct fs_random_key key, uint32_t row, uint32_t element);
/* Element `element` of a row: a whole number below n, by the high half of a 32 × 32-bit product. */
static inline uint32_t fs_random_below(struct fs_random_key key, uint32_t row, uint32_t element, uint32_t n);

#endif
