/* Axes and charts: positions worked out by hand, round marks, names that do not overlap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/chart.h"
#include "harness/report/svg.h"

static bool is_near(double value, double expected)
{
    return fabs(value - expected) <= 1e-9 * fabs(expected);
}

static void test_positions(void **state)
{
    struct fs_axis linear = {.low = -1, .high = 3, .start = 100, .stop = 500};
    struct fs_axis logarithmic = {.low = 1, .high = 1000, .start = 400, .stop = 100, .logarithmic = true};

    (void)state;
    assert_true(is_near(fs_axis_at(&linear, -1), 100));
    assert_true(is_near(fs_axis_at(&linear, 0), 200));
    assert_true(is_near(fs_axis_at(&linear, 9), 500)); /* beyond the end: on it */
    assert_true(is_near(fs_axis_at(&logarithmic, 10), 300));
    assert_true(is_near(fs_axis_at(&logarithmic, 1000), 100));
    /* Room on both sides: a twentieth of the range, in the axis's own measure. */
    const struct fs_axis made = fs_axis_make(10, 1000, true, 0, 1);
    assert_true(is_near(made.low, 10 / pow(100, 0.05)));
    assert_true(is_near(made.high, 1000 * pow(100, 0.05)));
}

static void marks_are(double low, double high, bool logarithmic, int wanted, const double *expected, int count)
{
    const struct fs_axis axis = {.low = low, .high = high, .start = 0, .stop = 1, .logarithmic = logarithmic};
    double ticks[FS_TICKS_MAX];

    assert_int_equal(fs_axis_ticks(&axis, wanted, ticks), count);
    for (int i = 0; i < count; i++) {
        assert_true(is_near(ticks[i], expected[i]));
    }
}

static void test_marks(void **state)
{
    (void)state;
    marks_are(-0.3, 10.2, false, 5, (const double[]){0, 2, 4, 6, 8, 10}, 6);
    marks_are(1400, 4100, false, 5, (const double[]){1500, 2000, 2500, 3000, 3500, 4000}, 6);
    marks_are(4, 250, true, 5, (const double[]){5, 10, 20, 50, 100, 200}, 6);
    marks_are(0.5e-4, 2e4, true, 5, (const double[]){1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1e3, 1e4}, 9);
    marks_are(61, 99, true, 5, (const double[]){70, 80, 90}, 3); /* less than a decade: equal distances */
}

/* Whatever the range, there are some marks, ascending and on the axis. */
static void test_marks_of_any_range(void **state)
{
    double ticks[FS_TICKS_MAX];

    (void)state;
    for (int i = 0; i < 2000; i++) {
        const double low = pow(10, rand() / (double)RAND_MAX * 12 - 6);
        const double high = low * pow(10, 0.01 + rand() / (double)RAND_MAX * 9);
        const struct fs_axis axis = fs_axis_make(low, high, i % 2, 0, 1);
        const int count = fs_axis_ticks(&axis, 5, ticks);
        assert_in_range(count, 2, FS_TICKS_MAX);
        for (int k = 0; k < count; k++) {
            assert_true(ticks[k] >= axis.low && ticks[k] <= axis.high && (k == 0 || ticks[k] > ticks[k - 1]));
        }
    }
}

/* --- charts --- */

static struct fs_chart chart_of(const struct fs_chart_line *lines, int count)
{
    return (struct fs_chart){.id = "c",
                             .title = "t",
                             .description = "d",
                             .x_title = "x",
                             .y_title = "y",
                             .lines = lines,
                             .line_count = count,
                             .baseline = (double)NAN};
}

static char *print(const struct fs_chart *chart)
{
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    fs_chart_print(chart, stream);
    fclose(stream);
    return text;
}

static int count_of(const char *text, const char *part)
{
    int count = 0;

    for (; (text = strstr(text, part)); text += strlen(part)) {
        count++;
    }
    return count;
}

/* Lines that end in one place: each name keeps its distance, and stays beside the plot. */
static void test_names_keep_their_distance(void **state)
{
    struct fs_chart_point points[9][2];
    struct fs_chart_line lines[9] = {0};
    double at[9];
    int found = 0;

    (void)state;
    for (int i = 0; i < 9; i++) {
        for (int k = 0; k < 2; k++) {
            points[i][k] =
                (struct fs_chart_point){.x = k, .y = k ? 10 : 10 + i, .low = (double)NAN, .high = (double)NAN};
        }
        snprintf(lines[i].label, sizeof(lines[i].label), "line %d", i);
        lines[i].points = points[i];
        lines[i].count = 2;
    }
    const struct fs_chart chart = chart_of(lines, 9);
    char *text = print(&chart);
    for (const char *name = text; found < 9 && (name = strstr(name, "<text class=name")); name++) {
        assert_int_equal(sscanf(strstr(name, " y="), " y=%lf", &at[found]), 1);
        assert_true(at[found] > 20 && at[found] < 400);
        for (int k = 0; k < found; k++) {
            assert_true(fabs(at[k] - at[found]) > 14);
        }
        found++;
    }
    assert_int_equal(found, 9);
    free(text);
}

static double number_behind(const char *text, const char *mark)
{
    const char *found = strstr(text, mark);

    assert_non_null(found);
    return strtod(found + strlen(mark), NULL);
}

static char *print_one_line(const char *name)
{
    struct fs_chart_point points[] = {{.x = 0, .y = 1, .low = (double)NAN, .high = (double)NAN},
                                      {.x = 1, .y = 2, .low = (double)NAN, .high = (double)NAN}};
    struct fs_chart_line line = {.points = points, .count = 2};
    const struct fs_chart chart = chart_of(&line, 1);

    snprintf(line.label, sizeof(line.label), "%s", name);
    return print(&chart);
}

/* Above the narrow chart, which is 340 wide, a long name is given the room that there is; nothing else is. */
static void test_long_names_stay_in_a_narrow_chart(void **state)
{
    char *text = print_one_line("Shortcut model, learning_rate 0.002, target_ema 0.99, groups 5");
    const char *narrow = strstr(text, "class=\"narrow");

    (void)state;
    assert_non_null(narrow);
    const double x = number_behind(narrow, "<text class=name x="), length = number_behind(narrow, " textLength=");
    assert_true(length > 200 && x + length <= 340.1);
    assert_int_equal(count_of(text, " textLength="), 1);
    free(text);
    text = print_one_line("Shortcut model");
    assert_int_equal(count_of(text, " textLength="), 0);
    free(text);
}

/* What cannot stand on a logarithmic axis is left out, without a trace of a NaN. */
static void test_what_cannot_be_drawn(void **state)
{
    struct fs_chart_point points[] = {{.x = 1, .y = 5, .low = 4, .high = 6},
                                      {.x = 2, .y = (double)NAN, .low = 4, .high = 6},
                                      {.x = 4, .y = -1, .low = (double)NAN, .high = (double)NAN},
                                      {.x = 8, .y = 9, .low = -2, .high = 10, .link = "n1"}};
    struct fs_chart_line line = {.label = "a & b", .points = points, .count = 4};
    struct fs_chart chart = chart_of(&line, 1);

    (void)state;
    chart.log_x = chart.log_y = chart.markers = chart.table = true;
    char *text = print(&chart);
    assert_int_equal(count_of(text, "class=hit"), 4); /* two points, in two sizes of chart */
    assert_int_equal(count_of(text, "href=\"#n1\""), 2);
    assert_int_equal(count_of(text, "nan"), 0);
    assert_int_equal(count_of(text, "inf"), 0);
    assert_int_equal(count_of(text, "a &amp; b</text>"), 2);
    assert_non_null(strstr(text, "<tr><th scope=row>2<td>–"));
    free(text);
    chart.line_count = 0;
    text = print(&chart);
    assert_string_equal(text, "");
    free(text);
}

/* Sixteen lines are told apart: eight colours with their marks, then the same dashed. */
static void test_styles(void **state)
{
    struct fs_chart_point points[2] = {{.x = 1, .y = 1, .low = (double)NAN, .high = (double)NAN},
                                       {.x = 2, .y = 2, .low = (double)NAN, .high = (double)NAN}};
    struct fs_chart_line lines[FS_CHART_LINES_MAX];
    struct fs_chart chart = chart_of(lines, FS_CHART_LINES_MAX);

    (void)state;
    chart.markers = true;
    for (int i = 0; i < FS_CHART_LINES_MAX; i++) {
        lines[i] = (struct fs_chart_line){.label = "line", .style = i + 1, .points = points, .count = 2};
    }
    char *text = print(&chart);
    for (int i = 0; i < 8; i++) {
        char plain[32], dashed[32];
        snprintf(plain, sizeof(plain), "<g class=k%d>", i);
        snprintf(dashed, sizeof(dashed), "<g class=\"k%d dashed\">", i);
        assert_true(count_of(text, plain) > 0);
        assert_int_equal(count_of(text, plain), count_of(text, dashed));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_marks_of_any_range),
        cmocka_unit_test(test_names_keep_their_distance),
        cmocka_unit_test(test_long_names_stay_in_a_narrow_chart),
        cmocka_unit_test(test_what_cannot_be_drawn),
        cmocka_unit_test(test_styles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
