/* safetensors: what was written comes back, and nothing that a file says is believed. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/base/safetensors.h"
#include "tests/support/folder.h"

static struct fs_error error;

static const float weights[2][3] = {{1.5f, -2, 3}, {4, 5e-30f, 6}};
static const double moments[3] = {7, 8, 1e300};
static const uint16_t halves[5] = {0x3f80, 0xbf80, 0, 0x7f80, 1};
static const float scalar = 42;
static const struct fs_tensor tensors[] = {
    {.name = "halves", .type = FS_BF16, .rank = 3, .shape = {1, 5, 1}, .data = halves},
    {.name = "weights", .type = FS_F32, .rank = 2, .shape = {2, 3}, .data = weights},
    {.name = "empty", .type = FS_F32, .rank = 2, .shape = {0, 7}, .data = weights},
    {.name = "moments \"é\"", .type = FS_F64, .rank = 1, .shape = {3}, .data = moments},
    {.name = "scalar", .type = FS_F32, .rank = 0, .data = &scalar},
    {.name = "bytes", .type = FS_U8, .rank = 1, .shape = {3}, .data = halves},
    {.name = "labels", .type = FS_I32, .rank = 1, .shape = {2}, .data = weights},
    {.name = "float16", .type = FS_F16, .rank = 1, .shape = {5}, .data = halves},
};
#define TENSOR_COUNT ((int)(sizeof tensors / sizeof tensors[0]))
static const struct fs_tensor_metadata metadata[] = {{"method", "shortcut"}, {"config", "{\"a\": 1}\n"}};

static void write_sound(const char *path)
{
    assert_int_equal(fs_tensor_file_write(path, tensors, TENSOR_COUNT, metadata, 2, &error), FS_OK);
}

static void read_bytes(const char *path, char **bytes, size_t *size)
{
    assert_int_equal(fs_file_read(path, 1 << 20, bytes, size, &error), FS_OK);
}

/* A file with a sum is refused wherever a byte of its contents changed, in a new order too; one without a sum is not.
 */
static void a_changed_file_is_refused(void **state)
{
    (void)state;
    const char *path = test_path("summed");
    struct fs_tensor_file file;
    char *bytes;
    size_t size;
    assert_int_equal(fs_tensor_file_write_summed(path, tensors, TENSOR_COUNT, metadata, 2, &error), FS_OK);
    assert_int_equal(fs_tensor_file_read(path, &file, &error), FS_OK);
    assert_string_equal(fs_tensor_metadata_find(&file, "method"), "shortcut");
    fs_tensor_file_free(&file);
    read_bytes(path, &bytes, &size);
    const size_t begin = size - sizeof moments - sizeof weights - sizeof scalar - 2 * sizeof halves - 3 - 8;
    for (size_t at = begin; at < size; at += 3) {
        bytes[at] ^= 4;
        test_write(path, bytes, size);
        assert_int_equal(fs_tensor_file_read(path, &file, &error), FS_USAGE);
        assert_non_null(strstr(error.text, "the file was damaged or changed; remove it"));
        bytes[at] ^= 4;
    }
    test_write(path, bytes, size);
    assert_int_equal(fs_tensor_file_read(path, &file, &error), FS_OK);
    fs_tensor_file_free(&file);
    free(bytes);
}

/* Written in pieces, anywhere, and the sum last: the bytes of a file written at once. Described, its contents are read
 * where it says that they begin. */
static void a_file_in_pieces_is_the_same(void **state)
{
    (void)state;
    struct fs_tensor laid[TENSOR_COUNT];
    struct fs_tensor_file file;
    char *header, *whole, *pieces, sum[65];
    size_t size, whole_size, pieces_size;
    assert_int_equal(fs_tensor_file_write_summed(test_path("at-once"), tensors, TENSOR_COUNT, metadata, 2, &error),
                     FS_OK);
    memcpy(laid, tensors, sizeof laid);
    const int fd = open(test_path("in-pieces"), O_RDWR | O_CREAT | O_TRUNC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(fs_tensor_file_layout("x", laid, TENSOR_COUNT, metadata, 2, NULL, &header, &size, &error), FS_OK);
    free(header);
    for (int i = TENSOR_COUNT - 1; i >= 0; i--) {
        size_t bytes = fs_type_size(laid[i].type);
        for (int k = 0; k < laid[i].rank; k++) {
            bytes *= (size_t)laid[i].shape[k];
        }
        assert_true(pwrite(fd, laid[i].data, bytes, laid[i].begin) == (ssize_t)bytes);
    }
    assert_int_equal(fs_tensor_file_sum("x", fd, laid, TENSOR_COUNT, sum, &error), FS_OK);
    assert_int_equal(fs_tensor_file_layout("x", laid, TENSOR_COUNT, metadata, 2, sum, &header, &size, &error), FS_OK);
    assert_true(pwrite(fd, header, size, 0) == (ssize_t)size);
    free(header);
    read_bytes(test_path("at-once"), &whole, &whole_size);
    read_bytes(test_path("in-pieces"), &pieces, &pieces_size);
    assert_int_equal(whole_size, pieces_size);
    assert_memory_equal(whole, pieces, whole_size);
    assert_int_equal(fs_tensor_file_describe("x", fd, &file, &error), FS_OK);
    const struct fs_tensor *found = fs_tensor_find(&file, "weights");
    float values[2][3];
    assert_null(found->data);
    assert_true(pread(fd, values, sizeof values, found->begin) == (ssize_t)sizeof values);
    assert_memory_equal(values, weights, sizeof values);
    assert_string_equal(fs_tensor_metadata_find(&file, FS_TENSOR_SUM_KEY), sum);
    fs_tensor_file_free(&file);
    close(fd);
    free(whole);
    free(pieces);
}

static void tensors_come_back(void **state)
{
    (void)state;
    const char *path = test_path("sound");
    write_sound(path);
    struct fs_tensor_file file;
    assert_int_equal(fs_tensor_file_read(path, &file, &error), FS_OK);
    assert_int_equal(file.tensor_count, TENSOR_COUNT);
    for (int i = 0; i < TENSOR_COUNT; i++) {
        const struct fs_tensor *tensor = fs_tensor_find(&file, tensors[i].name);
        assert_non_null(tensor);
        assert_int_equal(tensor->type, tensors[i].type);
        assert_int_equal(tensor->rank, tensors[i].rank);
        size_t bytes = fs_type_size(tensor->type);
        for (int d = 0; d < tensor->rank; d++) {
            assert_int_equal(tensor->shape[d], tensors[i].shape[d]);
            bytes *= (size_t)tensor->shape[d];
        }
        assert_int_equal((uintptr_t)tensor->data % 64, 0);
        assert_true(bytes == 0 || memcmp(tensor->data, tensors[i].data, bytes) == 0);
    }
    assert_null(fs_tensor_find(&file, "absent"));
    assert_string_equal(fs_tensor_metadata_find(&file, "config"), metadata[1].value);
    assert_string_equal(fs_tensor_metadata_find(&file, "method"), "shortcut");
    assert_null(fs_tensor_metadata_find(&file, "absent"));
    fs_tensor_file_free(&file);
    fs_tensor_file_free(&file);
}

static void the_same_tensors_give_the_same_bytes(void **state)
{
    (void)state;
    char *bytes[2];
    size_t size[2];
    write_sound(test_path("first"));
    write_sound(test_path("second"));
    read_bytes(test_path("first"), &bytes[0], &size[0]);
    read_bytes(test_path("second"), &bytes[1], &size[1]);
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    /* The format's own rules: the header's length is little-endian and the data begin at a multiple of 8. */
    uint64_t header;
    memcpy(&header, bytes[0], sizeof header);
    assert_int_equal(header % 8, 0);
    assert_int_equal(size[0], 8 + header + sizeof weights + sizeof moments + 2 * sizeof halves + sizeof scalar + 3 + 8);
    assert_int_equal(bytes[0][8], '{');
    free(bytes[0]);
    free(bytes[1]);
}

/* Writes a file of this header and `data` bytes, and reads it. */
static fs_status read_made(const char *header, size_t data)
{
    static char bytes[1 << 16];
    const uint64_t length = strlen(header);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    memset(bytes + 8 + length, 0, data);
    test_write(test_path("made"), bytes, 8 + length + data);
    struct fs_tensor_file file;
    error.text[0] = '\0';
    const fs_status status = fs_tensor_file_read(test_path("made"), &file, &error);
    fs_tensor_file_free(&file);
    return status;
}

#define F32(shape, begin, end) "{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"

static void headers_by_other_writers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
    } sound[] = {
        {"{}", 0},
        {"{}   ", 0},
        {"{\"__metadata__\":{}}", 0},
        {"{\"b\":" F32("1", "4", "8") ",\"a\":" F32("1", "0", "4") "}", 8},
        {"{\"b\":" F32("0", "4", "4") ",\"a\":" F32("1", "0", "4") "}", 4},
        {"{ \"a\" : {\"shape\":[],\"data_offsets\":[0,2],\"dtype\":\"BF16\"}, \"b\":" F32("1", "2", "6") "}", 6},
    };
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
        assert_int_equal(read_made(sound[i].header, sound[i].data), FS_OK);
    }
}

static void headers_that_lie_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *says;
    } damaged[] = {
        {"", 0, "JSON"},
        {"[]", 0, "JSON"},
        {"null", 0, "JSON"},
        {"{}x", 0, "JSON"},
        {"{\"a\":" F32("1", "0", "4"), 4, "JSON"},
        {"{\"a\":" F32("1", "0", "4") ",\"a\":" F32("1", "4", "8") "}", 8, "uplicate"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "uplicate"},
        {"{\"a\":3}", 0, "dtype"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "I64"},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":" F32("1,1,1,1,1,1,1,1,1", "0", "4") "}", 4, "shape"},
        {"{\"a\":" F32("-1", "0", "4") "}", 4, "shape"},
        {"{\"a\":" F32("1.0", "0", "4") "}", 4, "shape"},
        {"{\"a\":" F32("\"1\"", "0", "4") "}", 4, "shape"},
        {"{\"a\":" F32("2", "0", "4") "}", 4, "shape"},
        {"{\"a\":" F32("99999999999999999999", "0", "4") "}", 4, "JSON"},
        {"{\"a\":" F32("4611686018427387904,4", "0", "0") "}", 0, "shape"},
        {"{\"a\":" F32("4294967296,4294967296", "0", "0") "}", 0, "shape"},
        {"{\"a\":" F32("4611686018427387904,4,0", "0", "0") "}", 0, "shape"},
        {"{\"a\":" F32("1", "4", "0") "}", 4, "data_offsets"},
        {"{\"a\":" F32("1", "-4", "0") "}", 4, "data_offsets"},
        {"{\"a\":" F32("1", "0", "4.0") "}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets"},
        {"{\"a\":" F32("1", "4", "8") "}", 8, "hole"},
        {"{\"a\":" F32("1", "0", "4") ",\"b\":" F32("1", "0", "4") "}", 4, "overlap"},
        {"{\"a\":" F32("2", "0", "8") ",\"b\":" F32("1", "4", "8") "}", 8, "overlap"},
        {"{\"a\":" F32("1", "0", "4") ",\"b\":" F32("1", "8", "12") "}", 12, "hole"},
        {"{\"a\":" F32("1", "0", "4") "}", 3, "truncated"},
        {"{\"a\":" F32("1", "0", "4") "}", 5, "too many"},
        {"{\"a\":" F32("2305843009213693951", "0", "9223372036854775804") "}", 8, "truncated"},
        {"{}", 1, "too many"},
        {"{\"__metadata__\":3}", 0, "__metadata__"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__"},
        {"{\"\\u0000\":" F32("1", "0", "4") "}", 4, "JSON"},
        {"{\"\xff\":" F32("1", "0", "4") "}", 4, "JSON"},
    };
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        if (read_made(damaged[i].header, damaged[i].data) != FS_USAGE || !strstr(error.text, damaged[i].says) ||
            !strstr(error.text, "made")) {
            fail_msg("%s gave: %s", damaged[i].header, error.text);
        }
    }
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    static char header[50001];
    memset(header, '[', sizeof header - 1);
    assert_int_equal(read_made(header, 0), FS_USAGE);
    memcpy(header, "{\"a\":", 5);
    assert_int_equal(read_made(header, 0), FS_USAGE);
}

static void cut_files_are_refused(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    write_sound(test_path("whole"));
    read_bytes(test_path("whole"), &bytes, &size);
    for (size_t cut = 0; cut < size; cut++) {
        test_write(test_path("cut"), bytes, cut);
        struct fs_tensor_file file;
        assert_int_equal(fs_tensor_file_read(test_path("cut"), &file, &error), FS_USAGE);
        assert_null(file.owner);
    }
    static const uint64_t lengths[] = {0, 1, 1ull << 20, 1ull << 27, 1ull << 63, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(bytes, &lengths[i], 8);
        test_write(test_path("cut"), bytes, size);
        struct fs_tensor_file file;
        assert_int_equal(fs_tensor_file_read(test_path("cut"), &file, &error), FS_USAGE);
    }
    free(bytes);
}

/* Every byte of the header, changed in several ways: sound or refused, never a crash (the sanitizers watch). */
static void changed_bytes_never_crash(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    write_sound(test_path("whole"));
    read_bytes(test_path("whole"), &bytes, &size);
    const char changes[] = {0, '9', '-', '"', '}', ',', (char)0xff};
    int refused = 0;
    uint64_t header;
    memcpy(&header, bytes, sizeof header);
    for (size_t i = 0; i < 8 + header; i++) {
        const char original = bytes[i];
        bytes[i] = changes[i % sizeof changes];
        test_write(test_path("changed"), bytes, size);
        bytes[i] = original;
        struct fs_tensor_file file;
        const fs_status status = fs_tensor_file_read(test_path("changed"), &file, &error);
        assert_true(status == FS_OK || status == FS_USAGE);
        refused += status == FS_USAGE;
        fs_tensor_file_free(&file);
    }
    assert_true(refused > (int)header / 2);
    free(bytes);
}

static void what_cannot_be_written_is_refused(void **state)
{
    (void)state;
    const int entries = test_folder_entries();
    const struct fs_tensor twice[] = {tensors[1], tensors[1]};
    const struct fs_tensor reserved = {.name = "__metadata__", .type = FS_F32, .data = &scalar};
    const struct fs_tensor no_text = {.name = "\xff", .type = FS_F32, .data = &scalar};
    const struct fs_tensor_metadata keys[] = {{"a", "b"}, {"a", "c"}};
    const char *path = test_path("refused");
    assert_int_equal(fs_tensor_file_write(path, twice, 2, NULL, 0, &error), FS_FAILED);
    assert_int_equal(fs_tensor_file_write(path, &reserved, 1, NULL, 0, &error), FS_FAILED);
    assert_int_equal(fs_tensor_file_write(path, &no_text, 1, NULL, 0, &error), FS_FAILED);
    assert_int_equal(fs_tensor_file_write(path, tensors, 1, keys, 2, &error), FS_FAILED);
    assert_int_equal(fs_tensor_file_write(test_path("no/folder"), tensors, 1, NULL, 0, &error), FS_USAGE);
    assert_int_equal(test_folder_entries(), entries);
    struct fs_tensor_file file;
    assert_int_equal(fs_tensor_file_read(test_folder(), &file, &error), FS_USAGE);
    assert_int_equal(fs_tensor_file_read(path, &file, &error), FS_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_file_is_refused),
        cmocka_unit_test(a_file_in_pieces_is_the_same),
        cmocka_unit_test(tensors_come_back),
        cmocka_unit_test(the_same_tensors_give_the_same_bytes),
        cmocka_unit_test(headers_by_other_writers_are_read),
        cmocka_unit_test(headers_that_lie_are_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(changed_bytes_never_crash),
        cmocka_unit_test(what_cannot_be_written_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
