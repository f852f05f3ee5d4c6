/* IEEE 754's binary16, as numbers are stored; no operation computes in it. Header only, in whole numbers, so that every
 * compiler and machine gives the same bits. */
#ifndef FEWSTEP_FLOAT16_H
#define FEWSTEP_FLOAT16_H

#include <stdint.h>
#include <string.h>

/* Sign, 5 bits of exponent with bias 15, 10 of fraction; exponent 0 is fraction·2⁻²⁴, 31 is infinity or NaN. Exact: a
 * float has room for each; a NaN keeps its bits. */
static inline float fs_float16_value(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 0x3FFu;
    uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13; /* 112 = 127 − 15 */
    float value;
    if (exponent == 31) {
        bits = sign | 0x7F800000u | fraction << 13;
    } else if (exponent == 0) {
        const float small = (float)(int32_t)fraction * 5.96046448e-8f; /* 2⁻²⁴ */
        memcpy(&bits, &small, sizeof bits);
        bits |= sign;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The nearest one, of two equally near ones the even one; from 65520 on infinity. A NaN stays one, as x86 and Arm
 * convert it: quiet, with the upper bits of its fraction. */
static inline uint16_t fs_float16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u, size = bits & 0x7FFFFFFFu;
    if (size > 0x7F800000u) {
        return (uint16_t)(sign | 0x7E00u | (size >> 13 & 0x3FFu));
    }
    if (size >= 0x477FF000u) { /* 65520, half-way between the largest number, 65504, and 2¹⁶ */
        return (uint16_t)(sign | 0x7C00u);
    }
    /* What is dropped of the fraction: 13 bits, and one more for each power of two below 2⁻¹⁴. */
    const uint32_t exponent = size >> 23;
    const uint32_t dropped = exponent >= 113 ? 13 : 126 - exponent;
    if (dropped > 24) { /* at most 2⁻²⁵, half of the smallest: 0, which is even */
        return (uint16_t)sign;
    }
    const uint32_t whole = exponent >= 113 ? size - (112u << 23) : (size & 0x7FFFFFu) | 0x800000u;
    const uint32_t kept = whole >> dropped, rest = whole & ((1u << dropped) - 1), middle = 1u << (dropped - 1);
    return (uint16_t)(sign | (kept + (rest > middle || (rest == middle && (kept & 1u)))));
}

#endif
