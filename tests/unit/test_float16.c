/* binary16: all 65,536 of them both ways, and the numbers around every midpoint between two neighbours. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/base/float16.h"

/* By the definition, in double. */
static double value_of(uint32_t half)
{
    const double sign = half & 0x8000u ? -1 : 1;
    const int exponent = (int)(half >> 10 & 31u), fraction = (int)(half & 0x3FFu);
    if (exponent == 31) {
        return fraction ? NAN : sign * INFINITY;
    }
    return sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static void all_of_them_come_back(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        const float value = fs_float16_value((uint16_t)half);
        const double expected = value_of(half);
        if (isnan(expected)) {
            assert_true(isnan(value) && !signbit(value) == !(half & 0x8000u));
            assert_int_equal(fs_float16_of(value), half | 0x200u); /* quiet, and its other bits are kept */
            continue;
        }
        assert_true((double)value == expected && !signbit(value) == !(half & 0x8000u));
        assert_int_equal(fs_float16_of(value), half);
    }
}

/* Between two neighbours: the midpoint goes to the even one, and the floats on either side of it to their own. */
static void the_nearest_is_taken(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7C00u; half++) {
        const double low = value_of(half), high = half == 0x7BFFu ? 65536 : value_of(half + 1);
        const float middle = (float)((low + high) / 2);
        assert_true((double)middle == (low + high) / 2);
        const uint32_t even = half & 1u ? half + 1 : half;
        for (uint32_t sign = 0; sign < 2; sign++) {
            const float s = sign ? -1.0f : 1.0f;
            assert_int_equal(fs_float16_of(s * middle), even | sign << 15);
            assert_int_equal(fs_float16_of(s * nextafterf(middle, -INFINITY)), half | sign << 15);
            assert_int_equal(fs_float16_of(s * nextafterf(middle, INFINITY)), (half + 1) | sign << 15);
        }
    }
}

static void the_ends(void **state)
{
    (void)state;
    assert_int_equal(fs_float16_of(65519.996f), 0x7BFF);
    assert_int_equal(fs_float16_of(65520.0f), 0x7C00);
    assert_int_equal(fs_float16_of(3e38f), 0x7C00);
    assert_int_equal(fs_float16_of(-INFINITY), 0xFC00);
    assert_int_equal(fs_float16_of(1e-45f), 0);
    assert_int_equal(fs_float16_of(-1e-45f), 0x8000);
    assert_int_equal(fs_float16_of(ldexpf(1, -25)), 0);
    assert_int_equal(fs_float16_of(ldexpf(1.5f, -25)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_them_come_back),
        cmocka_unit_test(the_nearest_is_taken),
        cmocka_unit_test(the_ends),
    };
    return cmocka_run_group_tests_name("float16", tests, NULL, NULL);
}
