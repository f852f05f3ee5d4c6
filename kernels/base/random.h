/* Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * Header only and free of library mathematics, so that every compiler, instruction set and device gives the same
 * bits: each file that includes it is compiled with -ffp-contract=off (nvcc: -fmad=false). */
#ifndef FEWSTEP_RANDOM_H
#define FEWSTEP_RANDOM_H

#include <math.h>
#include <stdint.h>
#include <string.h>

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
    FS_STREAM_EVALUATION_NOISE = 11,
    FS_STREAM_SYNTHETIC_DATA = 12,
    FS_STREAM_CLASSIFIER = 13,
    FS_STREAM_RESAMPLING = 14, /* bootstrap intervals */
    FS_STREAM_TEST = 15,
    FS_STREAM_SUBSETS = 16,          /* of features: KID, the reference of precision and recall */
    FS_STREAM_SAMPLING_NOISE = 17,   /* of steps that re-noise */
    FS_STREAM_MIRROR = 18,           /* which visits of a training see a picture mirrored */
    FS_STREAM_POSTERIOR = 19,        /* what visits of a training see of a latent */
    FS_STREAM_PAIRED_NOISE = 20,     /* of a training that pairs noise with data */
    FS_STREAM_DISTURBANCE = 31,      /* noise in pictures that are made worse on purpose */
    FS_STREAM_EVALUATION_LABEL = 21, /* of samples, where they are not dealt in turn */
    FS_STREAM_METHOD = 64,           /* to 95: draws of a training method that mean something else than those above */
};

/* Where in a stream a draw stands. The counter is (element / 4, row, step, update). */
struct fs_random_key {
    uint32_t seed, stream;
    uint32_t update; /* training update, or 0 */
    uint32_t step;   /* sampling step, or 0 */
};

#ifdef __CUDACC__
#define FS_RANDOM_FUNCTION static __host__ __device__ inline
#else
#define FS_RANDOM_FUNCTION static inline
#endif

/* One block of Philox4x32-10: 128 random bits from a 128-bit counter and a 64-bit key. A round is a bijection of the
 * counter: the low half of a word's product with an odd constant can be undone, and the high half is only XORed, with a
 * round's key, into a word that stays as it is otherwise. So different counters never give the same block, and ten
 * rounds of such mixing pass BigCrush (section 4 there); no state is carried, which is why any thread may draw any
 * number. */
FS_RANDOM_FUNCTION void fs_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t product0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t product1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += 0x9E3779B9u; /* the golden ratio, and √3 − 1 */
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The four words that stand at element 4·block … 4·block + 3 of a row. */
FS_RANDOM_FUNCTION void fs_random_words(struct fs_random_key key, uint32_t row, uint32_t block, uint32_t out[4])
{
    const uint32_t counter[4] = {block, row, key.step, key.update};
    const uint32_t philox_key[2] = {key.seed, key.stream};
    fs_philox4x32(counter, philox_key, out);
}

/* ln(u) for a normal u > 0: u = m·2^e with m in [√½, √2), and with s = (m − 1)/(m + 1), |s| ≤ 0.172,
 * ln m = 2·artanh(s) = 2·(s + s³/3 + s⁵/5 + …); what is left out behind s⁹/9 is below 2e-9 of it. */
FS_RANDOM_FUNCTION float fs_random_log(float u)
{
    const uint32_t root_half = 0x3F3504F3u; /* the bits of √½ */
    uint32_t bits;
    memcpy(&bits, &u, sizeof bits);
    bits -= root_half;
    const float exponent = (float)((int32_t)bits >> 23);
    bits = (bits & 0x007FFFFFu) + root_half;
    float m;
    memcpy(&m, &bits, sizeof m);
    const float s = (m - 1.0f) / (m + 1.0f);
    const float s2 = s * s;
    const float series = s2 * (1.0f / 3.0f + s2 * (1.0f / 5.0f + s2 * (1.0f / 7.0f + s2 * (1.0f / 9.0f))));
    return exponent * 0.693147181f + 2.0f * (s + s * series);
}

/* Sine and cosine of 2π·turn/2³², by Taylor series around the nearest quarter turn (at most π/4 away). */
FS_RANDOM_FUNCTION void fs_random_sincos(uint32_t turn, float *sine, float *cosine)
{
    const uint32_t quarter = (turn + 0x20000000u) >> 30;
    const int32_t rest = (int32_t)(turn - (quarter << 30));
    const float x = (float)rest * 1.46291808e-9f; /* (π/2)/2³⁰ */
    const float x2 = x * x;
    const float s =
        x + x * (x2 * (-1.0f / 6.0f + x2 * (1.0f / 120.0f + x2 * (-1.0f / 5040.0f + x2 * (1.0f / 362880.0f)))));
    const float c =
        1.0f +
        x2 * (-0.5f + x2 * (1.0f / 24.0f + x2 * (-1.0f / 720.0f + x2 * (1.0f / 40320.0f + x2 * (-1.0f / 3628800.0f)))));
    const float swapped_sine = quarter & 1u ? c : s;
    const float swapped_cosine = quarter & 1u ? s : c;
    *sine = quarter & 2u ? -swapped_sine : swapped_sine;
    *cosine = (quarter + 1u) & 2u ? -swapped_cosine : swapped_cosine;
}

/* Two standard normals from two words (Box & Muller 1958). The density of a pair of them, exp(−r²/2)/2π, knows only the
 * distance r from 0: the direction is uniform, a turn of word1/2³², and P(distance > r) = ∫_r^∞ ρ·exp(−ρ²/2) dρ =
 * exp(−r²/2). That probability is itself uniform on (0, 1), so r = √(−2·ln u) with u = (⌊word0/2⌋ + ½)/2³¹. As
 * u ≥ 2⁻³², no number is beyond √(64·ln 2) = 6.66. */
FS_RANDOM_FUNCTION void fs_random_box_muller(uint32_t word0, uint32_t word1, float *normal0, float *normal1)
{
    /* A signed conversion, as that is what all instruction sets have. */
    const float u = ((float)(int32_t)(word0 >> 1) + 0.5f) * 4.65661287e-10f; /* 2⁻³¹ */
    const float radius = sqrtf(-2.0f * fs_random_log(u));                    /* sqrtf is correctly rounded everywhere */
    float sine, cosine;
    fs_random_sincos(word1, &sine, &cosine);
    *normal0 = radius * cosine;
    *normal1 = radius * sine;
}

/* Four standard normals (Box–Muller) at the same place: own logarithm and sine-cosine polynomials. */
FS_RANDOM_FUNCTION void fs_normals4(struct fs_random_key key, uint32_t row, uint32_t block, float out[4])
{
    uint32_t words[4];
    fs_random_words(key, row, block, words);
    fs_random_box_muller(words[0], words[1], &out[0], &out[1]);
    fs_random_box_muller(words[2], words[3], &out[2], &out[3]);
}

/* The word of one element of a row. */
FS_RANDOM_FUNCTION uint32_t fs_random_word(struct fs_random_key key, uint32_t row, uint32_t element)
{
    uint32_t words[4];
    fs_random_words(key, row, element / 4, words);
    return words[element % 4];
}

/* Element `element` of a row: uniform in [0, 1) with 24 bits. */
FS_RANDOM_FUNCTION float fs_uniform(struct fs_random_key key, uint32_t row, uint32_t element)
{
    return (float)(int32_t)(fs_random_word(key, row, element) >> 8) * 5.96046448e-8f; /* 2⁻²⁴ */
}

/* Element `element` of a row: a whole number below n, by the high half of a 32 × 32-bit product. */
FS_RANDOM_FUNCTION uint32_t fs_random_below(struct fs_random_key key, uint32_t row, uint32_t element, uint32_t n)
{
    return (uint32_t)((uint64_t)fs_random_word(key, row, element) * n >> 32);
}

#endif
