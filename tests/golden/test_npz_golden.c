/* .npz: what NumPy's savez and savez_compressed write is read (make_npz_golden.py), what is written comes back, and
 * damaged archives are refused before memory is taken for them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zip.h>

#include "kernels/base/file.h"
#include "kernels/base/npz.h"
#include "tests/support/folder.h"

#define DIM 5
#define GOLDEN "tests/golden/npz/"

static struct fs_error error;

static double element(const struct fs_array *array, int64_t i)
{
    return array->type == FS_ARRAY_F64 ? ((const double *)array->data)[i] : (double)((const float *)array->data)[i];
}

/* The script's formula; every number is exact in float32. */
static double expected_sigma(int i, int j)
{
    double sum = i == j;
    for (int k = 0; k < DIM; k++) {
        sum += ((i * DIM + k) / 8.0 - 1) * ((j * DIM + k) / 8.0 - 1);
    }
    return sum;
}

static void check_statistics(const char *name, double skew)
{
    struct fs_npz npz;
    struct fs_array mu, sigma;
    char path[256];
    snprintf(path, sizeof path, GOLDEN "%s.npz", name);
    assert_int_equal(fs_npz_open(path, &npz, &error), FS_OK);
    assert_true(fs_npz_has(&npz, "mu") && fs_npz_has(&npz, "sigma") && !fs_npz_has(&npz, "sigm"));
    assert_string_equal(fs_npz_comment(&npz), "");
    assert_int_equal(fs_npz_read(&npz, "mu", DIM, &mu, &error), FS_OK);
    assert_int_equal(fs_npz_read(&npz, "sigma", DIM * DIM, &sigma, &error), FS_OK);
    fs_npz_close(&npz);
    assert_true(mu.rank == 1 && mu.shape[0] == DIM);
    assert_true(sigma.rank == 2 && sigma.shape[0] == DIM && sigma.shape[1] == DIM);
    for (int i = 0; i < DIM; i++) {
        assert_true(element(&mu, i) == i / 4.0 - 0.5);
        for (int j = 0; j < DIM; j++) {
            const double expected = expected_sigma(i, j) + (i == 0 && j == 1 ? skew : 0);
            assert_true(element(&sigma, i * DIM + j) == expected);
        }
    }
    free(mu.data);
    free(sigma.data);
}

static void numpys_archives_are_read(void **state)
{
    (void)state;
    check_statistics("float64", 0);
    check_statistics("float64_compressed", 0);
    check_statistics("float32", 0);
    check_statistics("float32_fortran", 0);
    check_statistics("big_endian", 0);
    check_statistics("skew", 0.5);
}

static void arrays_are_read_in_pieces(void **state)
{
    (void)state;
    static const char *const names[] = {GOLDEN "pictures.npz", GOLDEN "pictures_labels.npz"};
    for (int n = 0; n < 2; n++) {
        for (size_t piece = 1; piece <= 180; piece = piece * 3 + 1) {
            struct fs_npz npz;
            struct fs_npz_member member;
            uint8_t bytes[180];
            assert_int_equal(fs_npz_open(names[n], &npz, &error), FS_OK);
            assert_int_equal(fs_npz_member_open(&npz, "arr_0", &member, &error), FS_OK);
            assert_int_equal(member.header.type, FS_ARRAY_U8);
            assert_int_equal(member.left, 180);
            while (member.left > 0) {
                const size_t size = piece < (size_t)member.left ? piece : (size_t)member.left;
                uint8_t *to = bytes + (180 - member.left);
                assert_int_equal(fs_npz_member_read(&member, to, size, &error), FS_OK);
            }
            assert_int_equal(fs_npz_member_read(&member, bytes, 1, &error), FS_FAILED);
            for (int i = 0; i < 180; i++) {
                assert_int_equal(bytes[i], i * 7 % 256);
            }
            fs_npz_member_close(&member);
            fs_npz_close(&npz);
        }
    }
}

static void arrays_come_back(void **state)
{
    (void)state;
    const double numbers[3] = {1, -2, 3e300};
    const uint8_t bytes[4] = {0, 1, 254, 255};
    const char *const names[] = {"a", "b", "none"};
    const struct fs_array arrays[] = {
        {FS_ARRAY_F64, 1, {3}, (void *)numbers},
        {FS_ARRAY_U8, 2, {2, 2}, (void *)bytes},
        {FS_ARRAY_F32, 2, {0, 7}, NULL},
    };
    char *text[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fs_npz_write(test_path("a.npz"), names, arrays, 3, "{\"count\": 3}", &error), FS_OK);
        assert_int_equal(fs_file_read(test_path("a.npz"), 1 << 20, &text[i], &size[i], &error), FS_OK);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(text[0], text[1], size[0]);
    free(text[0]);
    free(text[1]);
    struct fs_npz npz;
    struct fs_array array;
    assert_int_equal(fs_npz_open(test_path("a.npz"), &npz, &error), FS_OK);
    assert_string_equal(fs_npz_comment(&npz), "{\"count\": 3}");
    assert_int_equal(fs_npz_read(&npz, "a", 3, &array, &error), FS_OK);
    assert_memory_equal(array.data, numbers, sizeof numbers);
    free(array.data);
    assert_int_equal(fs_npz_read(&npz, "b", 4, &array, &error), FS_OK);
    assert_memory_equal(array.data, bytes, sizeof bytes);
    free(array.data);
    assert_int_equal(fs_npz_read(&npz, "none", 0, &array, &error), FS_OK);
    assert_int_equal(array.shape[1], 7);
    free(array.data);
    fs_npz_close(&npz);
    assert_int_equal(fs_npz_write(test_path("no/folder.npz"), names, arrays, 3, NULL, &error), FS_USAGE);
}

/* --- archives that lie --- */

static void refused(const char *path, const char *name, int64_t count_max, const char *piece)
{
    struct fs_npz npz;
    struct fs_array array = {0};
    fs_status status = fs_npz_open(path, &npz, &error);
    if (status == FS_OK) {
        status = fs_npz_read(&npz, name, count_max, &array, &error);
        fs_npz_close(&npz);
    }
    if (status != FS_USAGE || !strstr(error.text, piece) || array.data) {
        fail_msg("%s: status %d, said: %s; expected: %s", path, (int)status, status ? error.text : "", piece);
    }
}

/* An archive with one member of these bytes. */
static void make(const char *path, const char *member, const void *bytes, size_t size, bool compressed)
{
    zip_t *archive = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(archive);
    const zip_int64_t index = zip_file_add(archive, member, zip_source_buffer(archive, bytes, size, 0), 0);
    assert_true(index >= 0);
    const int method = compressed ? ZIP_CM_DEFLATE : ZIP_CM_STORE;
    assert_int_equal(zip_set_file_compression(archive, (zip_uint64_t)index, method, 0), 0);
    assert_int_equal(zip_close(archive), 0);
}

static void what_is_no_sound_archive_is_refused(void **state)
{
    (void)state;
    refused(GOLDEN "float64.npz", "nu", 5, "float64.npz: nu: there is no such array");
    refused(GOLDEN "float64.npz", "sigma", 24, "has 25 elements, at most 24 are allowed");
    refused(test_path("absent.npz"), "mu", 5, "cannot be read as an .npz: No such file");
    test_write(test_path("junk.npz"), "junk", 4);
    refused(test_path("junk.npz"), "mu", 5, "cannot be read as an .npz");
    make(test_path("text.npz"), "mu.npy", "no array", 8, false);
    refused(test_path("text.npz"), "mu", 5, "text.npz: mu: not a sound .npy array");
    make(test_path("empty.npz"), "mu.npy", "", 0, false);
    refused(test_path("empty.npz"), "mu", 5, "not a sound .npy array");
}

/* A bomb: megabytes of zeros in a few KB, behind a header that tells of more or of fewer. */
/* As an archive holds it that was added to: NumPy takes the last, unzip asks, and others take the first. */
static void a_name_twice_is_refused(void **state)
{
    (void)state;
    double values[2] = {1, 2};
    const char *const names[] = {"sigma", "mu", "mv"};
    const struct fs_array array = {FS_ARRAY_F64, 1, {2}, values};
    const struct fs_array arrays[] = {array, array, array};
    struct fs_npz npz;
    char *bytes;
    size_t size;
    int changed = 0;
    assert_int_equal(fs_npz_write(test_path("twice.npz"), names, arrays, 3, NULL, &error), FS_OK);
    assert_int_equal(fs_npz_open(test_path("twice.npz"), &npz, &error), FS_OK);
    char all[64], some[9];
    fs_npz_names(&npz, all, sizeof all);
    assert_string_equal(all, "sigma, mu, mv");
    fs_npz_names(&npz, some, sizeof some);
    assert_string_equal(some, "sigma, m");
    fs_npz_close(&npz);
    assert_int_equal(fs_file_read(test_path("twice.npz"), 1 << 20, &bytes, &size, &error), FS_OK);
    for (size_t i = 0; i + 6 <= size; i++) {
        if (memcmp(bytes + i, "mv.npy", 6) == 0) {
            bytes[i + 1] = 'u';
            changed++;
        }
    }
    assert_int_equal(changed, 2); /* before the array, and in the list behind all of them */
    test_write(test_path("twice.npz"), bytes, size);
    free(bytes);
    assert_int_equal(fs_npz_open(test_path("twice.npz"), &npz, &error), FS_USAGE);
    assert_non_null(strstr(error.text, "twice.npz: holds mu.npy twice"));
}

static void bombs_are_refused(void **state)
{
    (void)state;
    const size_t size = 4 << 20;
    char *bytes = calloc(size, 1);
    const struct fs_array huge = {FS_ARRAY_F64, 2, {1 << 20, 1 << 20}, NULL}, small = {FS_ARRAY_F64, 1, {5}, NULL};
    assert_non_null(bytes);
    fs_npy_make_header(&huge, bytes);
    make(test_path("bomb.npz"), "sigma.npy", bytes, size, true);
    refused(test_path("bomb.npz"), "sigma", INT64_MAX, "its shape needs 8796093022208 bytes, it has");
    fs_npy_make_header(&small, bytes);
    make(test_path("bomb.npz"), "sigma.npy", bytes, size, true);
    refused(test_path("bomb.npz"), "sigma", INT64_MAX, "its shape needs 40 bytes, it has");
    free(bytes);
}

/* Every byte of an archive changed, and the archive cut everywhere: refused, or the same numbers as before. */
static void changed_archives_never_crash(void **state)
{
    (void)state;
    static const char *const names[] = {GOLDEN "float64_compressed.npz", GOLDEN "float32.npz"};
    int refusals = 0;
    for (int n = 0; n < 2; n++) {
        char *bytes;
        size_t size;
        assert_int_equal(fs_file_read(names[n], 1 << 20, &bytes, &size, &error), FS_OK);
        for (size_t i = 0; i < 2 * size; i++) {
            struct fs_npz npz;
            struct fs_array mu = {0};
            const size_t at = i % size;
            const char before = bytes[at];
            bytes[at] = (char)(before ^ (i % 3 == 0 ? 0x81 : 0xff));
            test_write(test_path("changed.npz"), bytes, i < size ? size : at);
            bytes[at] = before;
            fs_status status = fs_npz_open(test_path("changed.npz"), &npz, &error);
            if (status == FS_OK) {
                status = fs_npz_read(&npz, "mu", DIM, &mu, &error);
                fs_npz_close(&npz);
            }
            assert_true(status == FS_OK || status == FS_USAGE);
            for (int k = 0; status == FS_OK && k < DIM; k++) {
                assert_true(element(&mu, k) == k / 4.0 - 0.5);
            }
            refusals += status != FS_OK;
            free(mu.data);
        }
        free(bytes);
    }
    assert_true(refusals > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numpys_archives_are_read),
        cmocka_unit_test(arrays_are_read_in_pieces),
        cmocka_unit_test(arrays_come_back),
        cmocka_unit_test(what_is_no_sound_archive_is_refused),
        cmocka_unit_test(a_name_twice_is_refused),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(changed_archives_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
