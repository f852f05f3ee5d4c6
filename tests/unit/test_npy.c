/* .npy arrays: what NumPy writes is read, what is written comes back, damaged files are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/base/npy.h"
#include "tests/support/folder.h"

static struct fs_error error;

/* A version-`version` file of this header text and data, as NumPy's format description lays it out. */
static size_t make(unsigned char *out, int version, const char *header, const void *data, size_t size)
{
    const size_t length = strlen(header), prefix = version == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (unsigned char)version;
    out[7] = 0;
    for (size_t i = 8; i < prefix; i++) {
        out[i] = (unsigned char)(length >> 8 * (i - 8));
    }
    memcpy(out + prefix, header, length);
    memcpy(out + prefix + length, data, size);
    return prefix + length + size;
}

static fs_status parse(int version, const char *header, const void *data, size_t size, struct fs_array *array)
{
    unsigned char bytes[4096];
    return fs_npy_parse("made.npy", bytes, make(bytes, version, header, data, size), array, &error);
}

static void arrays_come_back(void **state)
{
    (void)state;
    const float f32[6] = {1, -2, 3e30f, 4, 5, 6};
    const double f64[6] = {1, -2, 3e300, 4, 5, 6};
    const uint8_t u8[6] = {1, 2, 255, 0, 5, 6};
    const int32_t i32[6] = {1, -2, INT32_MAX, INT32_MIN, 5, 6};
    const int64_t i64[6] = {1, -2, INT64_MAX, INT64_MIN, 5, 6};
    const struct fs_array arrays[] = {
        {FS_ARRAY_F32, 2, {2, 3}, (void *)f32},
        {FS_ARRAY_F64, 1, {6}, (void *)f64},
        {FS_ARRAY_U8, 3, {1, 6, 1}, (void *)u8},
        {FS_ARRAY_I32, 0, {0}, (void *)i32},
        {FS_ARRAY_I64, 2, {3, 2}, (void *)i64},
        {FS_ARRAY_F32, 2, {0, 3}, (void *)f32},
        {FS_ARRAY_U8, 8, {1, 1, 1, 2, 1, 1, 3, 1}, (void *)u8},
    };
    const size_t bytes[] = {24, 48, 6, 4, 48, 0, 6};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        struct fs_array array;
        assert_int_equal(fs_npy_write(test_path("a.npy"), &arrays[i], &error), FS_OK);
        assert_int_equal(fs_npy_read(test_path("a.npy"), &array, &error), FS_OK);
        assert_int_equal(array.type, arrays[i].type);
        assert_int_equal(array.rank, arrays[i].rank);
        assert_memory_equal(array.shape, arrays[i].shape, sizeof array.shape);
        assert_true(bytes[i] == 0 || memcmp(array.data, arrays[i].data, bytes[i]) == 0);
        free(array.data);
    }
    assert_int_equal(fs_npy_write(test_path("no/folder.npy"), &arrays[0], &error), FS_USAGE);
}

/* The very bytes of numpy.save for numpy.array([[1, 2], [3, 4]], dtype=numpy.uint8), NumPy 1.24. */
static void the_bytes_are_those_of_numpy(void **state)
{
    (void)state;
    static const char header[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }";
    unsigned char expected[132];
    memset(expected, ' ', sizeof expected);
    memcpy(expected, "\x93NUMPY\x01\x00v\x00", 10);
    memcpy(expected + 10, header, strlen(header));
    expected[127] = '\n';
    memcpy(expected + 128, "\x01\x02\x03\x04", 4);
    uint8_t values[4] = {1, 2, 3, 4};
    const struct fs_array array = {FS_ARRAY_U8, 2, {2, 2}, values};
    assert_int_equal(fs_npy_write(test_path("numpy.npy"), &array, &error), FS_OK);
    unsigned char written[200];
    FILE *stream = fopen(test_path("numpy.npy"), "rb");
    assert_non_null(stream);
    assert_int_equal(fread(written, 1, sizeof written, stream), sizeof expected);
    fclose(stream);
    assert_memory_equal(written, expected, sizeof expected);
}

static void byte_orders_and_fortran_order_are_read(void **state)
{
    (void)state;
    struct fs_array array;
    /* Element (i, j, k) of shape (2, 3, 4) is 100·i + 10·j + k; in Fortran order the first index runs fastest. */
    unsigned char data[2 * 3 * 4 * 4];
    int n = 0;
    for (int k = 0; k < 4; k++) {
        for (int j = 0; j < 3; j++) {
            for (int i = 0; i < 2; i++, n += 4) {
                const unsigned char big_endian[4] = {0, 0, 0, (unsigned char)(100 * i + 10 * j + k)};
                memcpy(data + n, big_endian, 4);
            }
        }
    }
    const char *header = "{'fortran_order': True,'shape':(2,3, 4) , 'descr': '>i4'}\n";
    for (int version = 1; version <= 3; version++) {
        assert_int_equal(parse(version, header, data, sizeof data, &array), FS_OK);
        assert_int_equal(array.rank, 3);
        for (int i = 0; i < 24; i++) {
            assert_int_equal(((const int32_t *)array.data)[i], 100 * (i / 12) + 10 * (i / 4 % 3) + i % 4);
        }
        free(array.data);
    }
    const unsigned char one[8] = {0x3f, 0xf0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(parse(1, "{'descr': '>f8', 'fortran_order': False, 'shape': (1,), }", one, 8, &array), FS_OK);
    assert_true(((const double *)array.data)[0] == 1.0);
    free(array.data);
    assert_int_equal(parse(1, "{'descr': '=f4', 'fortran_order': False, 'shape': (), }", one, 4, &array), FS_OK);
    free(array.data);
}

/* What NumPy on Python 2 wrote on 64-bit Windows. */
static void long_integers_of_python_2_are_read(void **state)
{
    (void)state;
    struct fs_array array;
    const float values[2] = {1, 2};
    const char *header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }";
    assert_int_equal(parse(1, header, values, sizeof values, &array), FS_OK);
    assert_true(array.rank == 1 && array.shape[0] == 2 && ((const float *)array.data)[1] == 2);
    free(array.data);
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 2L)}";
    assert_int_equal(parse(1, header, values, sizeof values, &array), FS_OK);
    assert_true(array.rank == 2 && array.shape[0] == 1 && array.shape[1] == 2);
    free(array.data);
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2LL,)}";
    assert_int_equal(parse(1, header, values, sizeof values, &array), FS_USAGE);
}

/* The type that it has, whole, and nothing of what stands behind it. */
static void an_unknown_type_is_named(void **state)
{
    (void)state;
    struct fs_array array;
    static const char *const types[] = {"<c16", "|S3", "c8"};
    for (int i = 0; i < 3; i++) {
        char header[128], expected[128];
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (1,), }", types[i]);
        snprintf(expected, sizeof expected, "made.npy: its type is '%s'; f4, f8, u1, i4 and i8 can be read", types[i]);
        assert_int_equal(parse(1, header, "", 0, &array), FS_USAGE);
        assert_string_equal(error.text, expected);
    }
}

static void damaged_headers_are_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "",
        "{",
        "{}",
        "}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), ",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'shape': (2,)}",
        "{'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f2', 'fortran_order': False, 'shape': (4,)}",
        "{'descr': '<f44', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '",
        "{'descr': '<",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 2}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2 1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 0)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, )}",
    };
    const float data[2] = {1, 2};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct fs_array array;
        if (parse(1, headers[i], data, sizeof data, &array) != FS_USAGE || !strstr(error.text, "made.npy")) {
            fail_msg("%s gave: %s", headers[i], error.text);
        }
        assert_null(array.data);
    }
    struct fs_array array;
    assert_int_equal(parse(0, headers[4], data, sizeof data, &array), FS_USAGE);
    assert_int_equal(parse(4, headers[4], data, sizeof data, &array), FS_USAGE);
    assert_int_equal(fs_npy_read(test_path("absent.npy"), &array, &error), FS_USAGE);
}

/* Cut at every byte, and each header byte changed: the copy has just the file's size, so that a sanitizer sees any
 * read behind it. */
static void cut_and_changed_files_never_crash(void **state)
{
    (void)state;
    unsigned char bytes[512];
    const int32_t data[4] = {1, 2, 3, 4};
    const size_t size =
        make(bytes, 2, "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 2), }   \n", data, sizeof data);
    struct fs_array array;
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *copy = malloc(cut + 1); /* malloc(0) may be NULL */
        assert_non_null(copy);
        memcpy(copy + 1, bytes, cut);
        assert_int_equal(fs_npy_parse("cut.npy", copy + 1, cut, &array, &error), FS_USAGE);
        free(copy);
    }
    const unsigned char changes[] = {0, '9', '(', '\'', ',', 0xff};
    for (size_t i = 0; i < size - sizeof data; i++) {
        for (size_t k = 0; k < sizeof changes; k++) {
            unsigned char *copy = malloc(size);
            assert_non_null(copy);
            memcpy(copy, bytes, size);
            copy[i] = changes[k];
            const fs_status status = fs_npy_parse("changed.npy", copy, size, &array, &error);
            assert_true(status == FS_OK || status == FS_USAGE);
            free(array.data);
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_come_back),
        cmocka_unit_test(the_bytes_are_those_of_numpy),
        cmocka_unit_test(byte_orders_and_fortran_order_are_read),
        cmocka_unit_test(long_integers_of_python_2_are_read),
        cmocka_unit_test(an_unknown_type_is_named),
        cmocka_unit_test(damaged_headers_are_refused),
        cmocka_unit_test(cut_and_changed_files_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
