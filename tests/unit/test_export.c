/* What is exported reads back as what the database holds. TensorBoard's own reader is asked in
 * test_export_tensorboard.py (development only); here its format is decoded by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "harness/report/export.h"
#include "harness/report/tfrecord.h"
#include "harness/store/query.h"
#include "kernels/base/file.h"
#include "tests/support/folder.h"
#include "tests/support/study.h"

static struct fs_error error;
static struct fs_store *store;

static void good(fs_status status)
{
    if (status != FS_OK) {
        fail_msg("%s", error.text);
    }
}

static int open_study(void **state)
{
    const char *database = test_path("fewstep.db");

    (void)state;
    good(test_study_make(database, test_path("samples"), &error));
    good(fs_store_open(database, FS_STORE_READ, &store, &error));
    return 0;
}

static int close_study(void **state)
{
    (void)state;
    fs_store_close(store);
    return 0;
}

/* --- checksums: RFC 3720, appendix B.4, and the check value of the CRC catalogue --- */

static void test_crc32c(void **state)
{
    unsigned char bytes[32];
    static const unsigned char command[48] = {0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0, 0, 0, 0,    0, 0, 0, 0,
                                              0x14, 0,    0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                              0x28, 0,    0, 0, 0, 0, 0,    0, 2, 0, 0, 0,    0, 0, 0, 0};

    (void)state;
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(fs_crc32c(bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(fs_crc32c(bytes, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (unsigned char)i;
    }
    assert_int_equal(fs_crc32c(bytes, 32), 0x46dd794eu);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (unsigned char)(31 - i);
    }
    assert_int_equal(fs_crc32c(bytes, 32), 0x113fdb5cu);
    assert_int_equal(fs_crc32c(command, 48), 0xd9963a56u);
    assert_int_equal(fs_crc32c("123456789", 9), 0xe3069283u);
    assert_int_equal(fs_crc32c("", 0), 0);
    /* Masked: the rotation undone and the constant taken away give the sum again. */
    const uint32_t turned = fs_crc32c_masked("123456789", 9) - 0xa282ead8u;
    assert_int_equal((turned >> 17 | turned << 15), 0xe3069283u);
}

/* --- a reader of event files --- */

static uint64_t little_endian(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << 8 * i;
    }
    return value;
}

static uint64_t take_varint(const unsigned char **at)
{
    uint64_t value = 0;
    int shift = 0;

    do {
        value |= (uint64_t)(**at & 0x7f) << shift;
        shift += 7;
    } while (*(*at)++ & 0x80);
    return value;
}

struct field {
    int number;
    uint64_t value;             /* of numbers; the size of bytes */
    const unsigned char *bytes; /* NULL for numbers */
};

static struct field take_field(const unsigned char **at)
{
    const uint64_t key = take_varint(at);
    struct field field = {.number = (int)(key >> 3)};

    switch (key & 7) {
    case 0:
        field.value = take_varint(at);
        break;
    case 1:
    case 5:
        field.value = little_endian(*at, (key & 7) == 1 ? 8 : 4);
        *at += (key & 7) == 1 ? 8 : 4;
        break;
    default:
        assert_int_equal(key & 7, 2);
        field.value = take_varint(at);
        field.bytes = *at;
        *at += field.value;
    }
    return field;
}

struct point {
    double wall_time;
    int64_t step;
    char tag[256];
    float value;
};

static void read_summary(struct field summary, struct point *point)
{
    const unsigned char *at = summary.bytes, *end = at + summary.value;
    const struct field value = take_field(&at);

    assert_true(at == end && value.number == 1);
    at = value.bytes;
    while (at < value.bytes + value.value) {
        const struct field field = take_field(&at);
        if (field.number == 1) {
            snprintf(point->tag, sizeof(point->tag), "%.*s", (int)field.value, (const char *)field.bytes);
        } else {
            const uint32_t bits = (uint32_t)field.value;
            assert_int_equal(field.number, 2);
            memcpy(&point->value, &bits, sizeof(bits));
        }
    }
}

/* The next scalar of a file; false at its end. Checks every checksum. */
static bool next_point(const unsigned char **at, const unsigned char *end, struct point *point)
{
    if (*at == end) {
        return false;
    }
    const uint64_t size = little_endian(*at, 8);
    const unsigned char *data = *at + 12;
    assert_int_equal(little_endian(*at + 8, 4), fs_crc32c_masked(*at, 8));
    assert_true(data + size + 4 <= end);
    assert_int_equal(little_endian(data + size, 4), fs_crc32c_masked(data, size));
    *at = data + size + 4;
    *point = (struct point){0};
    while (data < *at - 4) {
        const struct field field = take_field(&data);
        if (field.number == 1) {
            memcpy(&point->wall_time, &field.value, sizeof(field.value));
        } else if (field.number == 2) {
            point->step = (int64_t)field.value;
        } else if (field.number == 3) {
            assert_memory_equal(field.bytes, "brain.Event:2", 13);
        } else {
            assert_int_equal(field.number, 5);
            read_summary(field, point);
        }
    }
    return true;
}

static void test_scalars(void **state)
{
    static const int64_t steps[] = {0, 1, 127, 128, 300, 1LL << 40};
    char long_tag[300], *text;
    size_t size;
    struct point point;
    FILE *stream = open_memstream(&text, &size);

    (void)state;
    memset(long_tag, 'x', sizeof(long_tag) - 1);
    long_tag[sizeof(long_tag) - 1] = '\0';
    fs_event_begin(stream, 1.5e9);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        fs_event_scalar(stream, 1.5e9 + (double)i, steps[i], i == 3 ? long_tag : "loss", (float)i / 3);
    }
    fclose(stream);
    const unsigned char *at = (const unsigned char *)text, *end = at + size;
    assert_true(next_point(&at, end, &point));
    assert_true(point.wall_time == 1.5e9 && point.tag[0] == '\0');
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_true(next_point(&at, end, &point));
        assert_int_equal(point.step, steps[i]);
        assert_true(point.value == (float)i / 3 && point.wall_time == 1.5e9 + (double)i);
        assert_int_equal(strlen(point.tag), i == 3 ? FS_EVENT_TAG_MAX : 4);
    }
    assert_false(next_point(&at, end, &point));
    free(text);
}

/* A run's file has its curve and its scores, each tag's steps ascending. */
static void test_tensorboard(void **state)
{
    char id[65], path[1200], pattern[1200], *bytes;
    int runs, losses = 0, scores = 0;
    size_t size;
    int64_t created, last = 0;
    struct point point;

    (void)state;
    good(fs_export_tensorboard(store, "table", test_path("events"), &runs, &error));
    assert_int_equal(runs, 12);
    test_study_run(3, 1, id);
    good(
        fs_query_whole(fs_store_handle(store), &created, 0, &error, "SELECT created FROM runs WHERE id = ?1", "t", id));
    snprintf(pattern, sizeof(pattern), "events/shortcut-%.8s-seed1/events.out.tfevents.%010lld.fewstep", id,
             (long long)created);
    snprintf(path, sizeof(path), "%s", test_path(pattern));
    good(fs_file_read(path, 1 << 20, &bytes, &size, &error));
    const unsigned char *at = (const unsigned char *)bytes;
    while (next_point(&at, (const unsigned char *)bytes + size, &point)) {
        if (strcmp(point.tag, "loss") == 0) {
            assert_true(point.step > last);
            last = point.step;
            losses++;
        } else if (strcmp(point.tag, "fd fashion-cnn/1 step") == 0) {
            assert_true(point.value == (float)test_study_value(3, 1, 1) && point.step == 4000);
            scores++;
        } else if (strcmp(point.tag, "fd fashion-cnn/4 steps") == 0) {
            scores++;
        }
    }
    assert_int_equal(losses, 200);
    assert_int_equal(scores, 1 + 4); /* one update at one step, four updates at four */
    free(bytes);
}

/* --- JSON --- */

static json_t *export_lines(const char *experiment)
{
    char *text;
    size_t size;
    json_t *lines = json_array();
    FILE *stream = open_memstream(&text, &size);

    good(fs_export_json(store, experiment, stream, &error));
    fclose(stream);
    for (char *line = text; *line; line += strlen(line) + 1) {
        line[strcspn(line, "\n")] = '\0';
        json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        json_array_append_new(lines, object);
    }
    free(text);
    return lines;
}

static int count_type(const json_t *lines, const char *type)
{
    int count = 0;
    size_t i;
    json_t *line;

    json_array_foreach(lines, i, line)
    {
        count += strcmp(json_string_value(json_object_get(line, "type")), type) == 0;
    }
    return count;
}

static int64_t count_rows(const char *table)
{
    char sql[128];
    int64_t count;

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    good(fs_query_whole(fs_store_handle(store), &count, -1, &error, sql, ""));
    return count;
}

static void test_json(void **state)
{
    char id[65];
    size_t i;
    json_t *line, *all = export_lines(NULL);
    bool seen = false;

    (void)state;
    assert_int_equal(count_type(all, "experiment"), count_rows("experiments"));
    assert_int_equal(count_type(all, "environment"), count_rows("environments"));
    assert_int_equal(count_type(all, "run"), count_rows("runs"));
    assert_int_equal(count_type(all, "score"), count_rows("scores"));
    assert_int_equal(count_type(all, "spectrum_point"), count_rows("spectra"));
    assert_int_equal(count_type(all, "curve"), count_rows("(SELECT DISTINCT run, name FROM curves)"));
    test_study_run(0, 2, id);
    json_array_foreach(all, i, line)
    {
        const char *run = json_string_value(json_object_get(line, "run_id"));
        const char *metric = json_string_value(json_object_get(line, "metric"));
        if (run && metric && strcmp(run, id) == 0 && strcmp(metric, "fd") == 0 &&
            json_integer_value(json_object_get(line, "steps")) == 32) {
            /* To the last bit. */
            assert_true(json_real_value(json_object_get(line, "value")) == test_study_value(0, 32, 2));
            seen = true;
        }
    }
    assert_true(seen);
    json_decref(all);

    json_t *table = export_lines("table");
    assert_int_equal(count_type(table, "experiment"), 1);
    assert_int_equal(count_type(table, "run"), 12);
    assert_int_equal(count_type(table, "curve"), 12);
    json_array_foreach(table, i, line)
    {
        if (strcmp(json_string_value(json_object_get(line, "type")), "curve") == 0) {
            assert_int_equal(json_array_size(json_object_get(line, "updates")), 200);
            assert_int_equal(json_array_size(json_object_get(line, "values")), 200);
        }
    }
    json_decref(table);
    FILE *nowhere = fopen("/dev/null", "w");
    assert_int_equal(fs_export_json(store, "tabel", nowhere, &error), FS_USAGE);
    fclose(nowhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_tensorboard),
        cmocka_unit_test(test_json),
    };

    return cmocka_run_group_tests(tests, open_study, close_study);
}
