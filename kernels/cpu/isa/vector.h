/* Vectors of the instruction set that a file is compiled for: loads and stores of float32 and bf16 rows with their
 * tails, the few instructions that GCC's vector extensions lack, and exp. */
#ifndef FEWSTEP_VECTOR_H
#define FEWSTEP_VECTOR_H

#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

#if defined(__AVX512F__)
#define FS_WIDTH 16
#elif defined(__AVX2__)
#define FS_WIDTH 8
#else
#define FS_WIDTH 4
#endif

typedef float vf __attribute__((vector_size(4 * FS_WIDTH)));
typedef int32_t vi __attribute__((vector_size(4 * FS_WIDTH)));
typedef uint32_t vu __attribute__((vector_size(4 * FS_WIDTH)));
typedef uint16_t vh __attribute__((vector_size(2 * FS_WIDTH)));

#define FS_INLINE static inline __attribute__((always_inline, unused))

/* a·b + c, one rounding where the instruction set has it. max and min return b when either is NaN. */
#if FS_WIDTH == 16
#define FS_VECTOR_CALL(name) _mm512_##name
FS_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
#elif FS_WIDTH == 8
#define FS_VECTOR_CALL(name) _mm256_##name
FS_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
#else
#define FS_VECTOR_CALL(name) _mm_##name
FS_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
#endif

FS_INLINE vf vf_max(vf a, vf b)
{
    return FS_VECTOR_CALL(max_ps)(a, b);
}

FS_INLINE vf vf_min(vf a, vf b)
{
    return FS_VECTOR_CALL(min_ps)(a, b);
}

FS_INLINE vf vf_sqrt(vf a)
{
    return FS_VECTOR_CALL(sqrt_ps)(a);
}

FS_INLINE vf vf_all(float value)
{
    return FS_VECTOR_CALL(set1_ps)(value);
}

FS_INLINE vf vf_load(const float *p)
{
    return FS_VECTOR_CALL(loadu_ps)(p);
}

FS_INLINE void vf_store(float *p, vf v)
{
    FS_VECTOR_CALL(storeu_ps)(p, v);
}

FS_INLINE vi vi_lanes(void)
{
#if FS_WIDTH == 16
    return (vi){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif FS_WIDTH == 8
    return (vi){0, 1, 2, 3, 4, 5, 6, 7};
#else
    return (vi){0, 1, 2, 3};
#endif
}

/* a where the mask's lane is all ones, b where it is 0. */
FS_INLINE vf vf_select(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* Sum over the lanes, halving each time: the same order always. */
FS_INLINE float vf_sum(vf v)
{
#pragma GCC unroll 4
    for (int half = FS_WIDTH / 2; half > 0; half /= 2) {
        v += __builtin_shuffle(v, vi_lanes() ^ half);
    }
    return v[0];
}

FS_INLINE float vf_largest(vf v)
{
#pragma GCC unroll 4
    for (int half = FS_WIDTH / 2; half > 0; half /= 2) {
        v = vf_max(v, __builtin_shuffle(v, vi_lanes() ^ half));
    }
    return v[0];
}

/* A row, or a piece of one, of a view of any type. */
struct span {
    char *data;
    bool half; /* bf16 */
};

FS_INLINE struct span span_of(struct fs_view view, int64_t row, int64_t col)
{
    return (struct span){(char *)view.data + (size_t)(row * view.stride + col) * fs_type_size(view.type),
                         view.type == FS_BF16};
}

FS_INLINE vf vf_from_half(vh h)
{
#if FS_WIDTH == 16
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16);
#else
    return (vf)(__builtin_convertvector(h, vu) << 16);
#endif
}

/* The lower half of each lane. */
FS_INLINE vh vh_from_lanes(vu lanes)
{
#if FS_WIDTH == 16
    return (vh)_mm512_cvtepi32_epi16((__m512i)lanes);
#else
    return __builtin_convertvector(lanes, vh);
#endif
}

/* Round to nearest even; NaN stays NaN. */
FS_INLINE vh vf_to_half(vf v)
{
    const vu bits = (vu)v;
    const vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const vu nan = (vu)(v != v);
    return vh_from_lanes((nan & ((bits >> 16) | 0x40u)) | (~nan & rounded));
}

/* Elements j … j + count − 1 of a row (count ≤ FS_WIDTH), zeros behind them. */
FS_INLINE vf span_load(struct span s, int64_t j, int64_t count)
{
    if (!s.half) {
        const float *p = (const float *)(const void *)s.data + j;
        if (count >= FS_WIDTH) {
            return vf_load(p);
        }
        float lanes[FS_WIDTH] = {0};
        for (int64_t i = 0; i < count; i++) {
            lanes[i] = p[i];
        }
        return vf_load(lanes);
    }
    vh h = {0};
    if (count >= FS_WIDTH) { /* by itself: a copy of some length goes through memory */
        memcpy(&h, s.data + 2 * j, sizeof h);
    } else {
        memcpy(&h, s.data + 2 * j, 2 * (size_t)count);
    }
    return vf_from_half(h);
}

FS_INLINE void span_store(struct span s, int64_t j, int64_t count, vf v)
{
    if (!s.half) {
        float *p = (float *)(void *)s.data + j;
        if (count >= FS_WIDTH) {
            vf_store(p, v);
            return;
        }
        float lanes[FS_WIDTH];
        vf_store(lanes, v);
        for (int64_t i = 0; i < count; i++) {
            p[i] = lanes[i];
        }
        return;
    }
    const vh h = vf_to_half(v);
    if (count >= FS_WIDTH) {
        memcpy(s.data + 2 * j, &h, sizeof h);
    } else {
        memcpy(s.data + 2 * j, &h, 2 * (size_t)count);
    }
}

/* e^x to about one unit in the last place: x = n·ln 2 + r with |r| ≤ ln 2 / 2, a polynomial of degree 6 in r, and n put
 * into the exponent. Below −87.3 the result is that of −87.3 (about 1e-38), above 88.3 that of 88.3. */
FS_INLINE vf vf_exp(vf x)
{
    x = vf_min(vf_all(88.3f), vf_max(vf_all(-87.3f), x));
    const vf magic = vf_all(12582912.0f); /* 1.5·2^23: adding it rounds to a whole number */
    const vf shifted = vf_fma(x, vf_all(1.44269504f), magic);
    const vf n = shifted - magic;
    const vf r = vf_fma(n, vf_all(2.12194440e-4f), vf_fma(n, vf_all(-0.693359375f), x));
    vf p = vf_fma(vf_all(1.0f / 720), r, vf_all(1.0f / 120));
    p = vf_fma(p, r, vf_all(1.0f / 24));
    p = vf_fma(p, r, vf_all(1.0f / 6));
    p = vf_fma(p, r, vf_all(0.5f));
    p = vf_fma(p, r, vf_all(1.0f));
    p = vf_fma(p, r, vf_all(1.0f));
    return (vf)((vu)p + ((vu)shifted << 23));
}

/* ln x for normal x > 0: x = m·2^e with m in [√½, √2), and ln m = 2·artanh(u), u = (m − 1)/(m + 1), as a series. */
FS_INLINE vf vf_log(vf x)
{
    const vu bits = (vu)x - 0x3f3504f3u; /* √½: the exponent field now changes there */
    const vf e = __builtin_convertvector((vi)bits >> 23, vf);
    const vf m = (vf)((bits & 0x7fffffu) + 0x3f3504f3u);
    const vf u = (m - 1.0f) / (m + 1.0f), u2 = u * u;
    vf series = vf_fma(u2, vf_all(2.0f / 9), vf_all(2.0f / 7));
    series = vf_fma(series, u2, vf_all(2.0f / 5));
    series = vf_fma(series, u2, vf_all(2.0f / 3));
    return vf_fma(e, vf_all(0.693147181f), vf_fma(series * u2, u, 2.0f * u));
}

/* 1/(1 + e^−x), and 0 below −80: further out the quotient would be subnormal, which some processors compute by
 * microcode, a hundred times slower than a normal one. */
FS_INLINE vf vf_sigmoid(vf x)
{
    const vf s = 1.0f / (1.0f + vf_exp(vf_min(vf_all(80), -x)));
    return (vf)((vi)s & (x >= vf_all(-80)));
}

#endif
