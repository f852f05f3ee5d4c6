/* The backend with a clock around each operation: it counts what the list of operations says, and changes no bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/bench/cases.h"
#include "harness/bench/profile.h"

static bool is_wrapped(const struct fs_profile *profile, const struct fs_operation *operation)
{
    return memcmp((const char *)&profile->backend + operation->entry, (const char *)profile->inner + operation->entry,
                  sizeof(void (*)(void))) != 0;
}

static void allocate(struct fs_backend *backend, const struct fs_case *c, struct fs_view views[FS_CASE_OPERANDS])
{
    struct fs_case_operand operands[FS_CASE_OPERANDS];
    struct fs_error error;
    assert_int_equal(fs_case_allocate(backend, c, FS_F32, 0, views, &error), FS_OK);
    const int count = c->operation->operands(c, operands);
    for (int i = 0; i < count; i++) {
        if (operands[i].content != FS_IDS && views[i].data) {
            backend->normals(backend, views[i], (struct fs_random_key){7, FS_STREAM_TEST, 0, 0}, (uint32_t)i);
        }
    }
    if (c->operation->prepare) {
        c->operation->prepare(backend, c, views);
    }
}

/* Runs a case on both, from the same operands; returns whether the profile has it. */
static bool compare_case(struct fs_profile *profile, const struct fs_case *c)
{
    struct fs_view plain[FS_CASE_OPERANDS], clocked[FS_CASE_OPERANDS];
    struct fs_case_operand operands[FS_CASE_OPERANDS];
    char name[256];
    if (!is_wrapped(profile, c->operation)) {
        return false;
    }
    fs_case_name(c, name, sizeof name);
    allocate(profile->inner, c, plain);
    allocate(profile->inner, c, clocked);
    fs_profile_clear(profile);
    c->operation->run(profile->inner, c, plain);
    c->operation->run(&profile->backend, c, clocked);
    const int count = c->operation->operands(c, operands);
    for (int i = 0; i < count; i++) {
        const size_t bytes = (size_t)(plain[i].rows * plain[i].cols) * fs_type_size(plain[i].type);
        if (bytes > 0 && memcmp(plain[i].data, clocked[i].data, bytes) != 0) {
            fail_msg("%s: %s differs", name, operands[i].name);
        }
    }
    const double flops = c->operation->flops ? c->operation->flops(c) : 0, bytes = fs_case_bytes(c, clocked);
    const struct fs_profile_row *row = profile->rows;
    if (profile->count != 1 || row->calls != 1 || row->seconds < 0 || row->flops != flops || row->bytes != bytes) {
        fail_msg("%s: %d rows, %lld calls, %g of %g FLOPs, %g of %g bytes", name, profile->count, (long long)row->calls,
                 row->flops, flops, row->bytes, bytes);
    }
    fs_case_release(profile->inner, c, plain);
    fs_case_release(profile->inner, c, clocked);
    return true;
}

static void test_every_case(void **state)
{
    (void)state;
    struct fs_error error;
    struct fs_backend *backend = fs_cpu_backend(1, &error);
    struct fs_profile *profile = calloc(1, sizeof *profile);
    struct fs_case c;
    int compared = 0;
    assert_non_null(backend);
    assert_non_null(profile);
    fs_profile_begin(profile, backend, true);
    for (int i = 0; fs_small_case(i, &c); i++) {
        compared += compare_case(profile, &c);
    }
    assert_true(compared > 60);
    free(profile);
    backend->destroy(backend);
}

/* Calls of one size are one row, of another size another one; what finds no place is left out. */
static void test_rows(void **state)
{
    (void)state;
    float numbers[FS_PROFILE_ROWS + 2];
    struct fs_error error;
    struct fs_backend *backend = fs_cpu_backend(1, &error);
    struct fs_profile *profile = calloc(1, sizeof *profile);
    assert_non_null(backend);
    assert_non_null(profile);
    fs_profile_begin(profile, backend, false);
    for (int round = 0; round < 3; round++) {
        for (int64_t n = 1; n <= FS_PROFILE_ROWS + 2; n++) {
            profile->backend.fill(&profile->backend, fs_view(numbers, FS_F32, 1, n), (double)n);
            assert_true(numbers[n - 1] == (float)n);
        }
    }
    assert_int_equal(profile->count, FS_PROFILE_ROWS);
    for (int i = 0; i < FS_PROFILE_ROWS; i++) {
        assert_int_equal(profile->rows[i].calls, 3);
        assert_true(profile->rows[i].bytes == 3.0 * 4 * (i + 1));
    }
    free(profile);
    backend->destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_case), cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
