/* What a query can call to write its answers as LaTeX. */
#include "harness/report/sql_functions.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/report/latex.h"
#include "harness/report/show.h"
#include "harness/report/svg.h"
#include "harness/store/query.h"
#include "harness/text/number.h"
#include "methods/method.h"

/* --- numbers --- */

static void number_text(sqlite3_context *call, sqlite3_value **values,
                        const char *(*write)(double, char[FS_NUMBER_TEXT]))
{
    char text[FS_NUMBER_TEXT];

    if (sqlite3_value_type(values[0]) != SQLITE_NULL) {
        write(sqlite3_value_double(values[0]), text);
        sqlite3_result_text(call, text, -1, SQLITE_TRANSIENT);
    }
}

static void call_three_digits(sqlite3_context *call, int count, sqlite3_value **values)
{
    (void)count;
    number_text(call, values, fs_three_digits);
}

static void call_shortest(sqlite3_context *call, int count, sqlite3_value **values)
{
    (void)count;
    number_text(call, values, fs_shortest);
}

static const char *write_duration(double seconds, char text[FS_NUMBER_TEXT])
{
    return fs_duration((int64_t)(seconds + 0.5), text);
}

static void call_duration(sqlite3_context *call, int count, sqlite3_value **values)
{
    (void)count;
    number_text(call, values, write_duration);
}

static const char *write_byte_size(double bytes, char text[FS_NUMBER_TEXT])
{
    return fs_byte_size((int64_t)bytes, text);
}

static void call_byte_size(sqlite3_context *call, int count, sqlite3_value **values)
{
    (void)count;
    number_text(call, values, write_byte_size);
}

/* --- LaTeX --- */

/* Ends a text that was written to open_memstream. */
static void end_text(sqlite3_context *call, FILE *stream, char **text)
{
    if (fclose(stream) != 0) {
        free(*text);
        sqlite3_result_error_nomem(call);
        return;
    }
    sqlite3_result_text(call, *text, -1, free);
}

static FILE *begin_text(sqlite3_context *call, char **text, size_t *size)
{
    FILE *stream = open_memstream(text, size);

    if (!stream) {
        sqlite3_result_error_nomem(call);
    }
    return stream;
}

static void call_latex(sqlite3_context *call, int count, sqlite3_value **values)
{
    const char *from = (const char *)sqlite3_value_text(values[0]);
    char *text;
    size_t size;

    (void)count;
    FILE *stream = from ? begin_text(call, &text, &size) : NULL;
    if (stream) {
        fs_latex(stream, from);
        end_text(call, stream, &text);
    }
}

static const char *mark_command(const char *mark)
{
    return !mark ? "" : strcmp(mark, "best") == 0 ? "\\textbf" : strcmp(mark, "second") == 0 ? "\\underline" : "";
}

static void call_table_cell(sqlite3_context *call, int count, sqlite3_value **values)
{
    char *text;
    size_t size;

    if (count < 1 || count > 5) {
        sqlite3_result_error(call, "table_cell(mean, error, outside, mark, seeds): one to five values", -1);
        return;
    }
    FILE *stream = sqlite3_value_type(values[0]) != SQLITE_NULL ? begin_text(call, &text, &size) : NULL;
    if (!stream) {
        return;
    }
    const bool has_error = count > 1 && sqlite3_value_type(values[1]) != SQLITE_NULL;
    fs_latex_cell(stream, sqlite3_value_double(values[0]), has_error ? sqlite3_value_double(values[1]) : (double)NAN,
                  count > 2 && sqlite3_value_int(values[2]),
                  mark_command(count > 3 ? (const char *)sqlite3_value_text(values[3]) : NULL),
                  count > 4 ? sqlite3_value_int(values[4]) : 0);
    end_text(call, stream, &text);
}

static void call_log_axis(sqlite3_context *call, int count, sqlite3_value **values)
{
    double ticks[FS_TICKS_MAX];
    char *text, number[FS_NUMBER_TEXT];
    size_t size;

    (void)count;
    const double low = sqlite3_value_double(values[0]), high = sqlite3_value_double(values[1]);
    FILE *stream = high > 0 ? begin_text(call, &text, &size) : NULL;
    if (!stream) {
        return;
    }
    const struct fs_axis axis = fs_axis_make(fmax(low, 1e-9), fmax(high, 1e-9), true, 0, 1);
    const int tick_count = fs_axis_ticks(&axis, 6, ticks);
    fprintf(stream, "ymin=%.6g, ymax=%.6g, ytick={", axis.low, axis.high);
    for (int i = 0; i < tick_count; i++) {
        fprintf(stream, "%s%.6g", i ? "," : "", ticks[i]);
    }
    fputs("}, yticklabels={", stream);
    for (int i = 0; i < tick_count; i++) {
        fs_shortest(ticks[i], number);
        fprintf(stream, "%s%s", i ? "," : "", number);
    }
    fputs("}", stream);
    end_text(call, stream, &text);
}

/* --- what is known of a run --- */

static void call_method_label(sqlite3_context *call, int count, sqlite3_value **values)
{
    const char *name = (const char *)sqlite3_value_text(values[0]);

    (void)count;
    if (name) {
        const struct fs_method *method = fs_method_find(name);
        sqlite3_result_text(call, method ? method->label : name, -1, SQLITE_TRANSIENT);
    }
}

static void call_run_command(sqlite3_context *call, int count, sqlite3_value **values)
{
    const char *id = (const char *)sqlite3_value_text(values[0]);
    struct fs_error error;
    json_t *all;

    (void)count;
    if (!id) {
        return;
    }
    if (fs_run_json(sqlite3_user_data(call), id, &all, &error) != FS_OK) {
        sqlite3_result_error(call, error.text, -1);
        return;
    }
    const char *command = json_string_value(json_object_get(all, "command"));
    if (command) {
        sqlite3_result_text(call, command, -1, SQLITE_TRANSIENT);
    }
    json_decref(all);
}

static void call_file_path(sqlite3_context *call, int count, sqlite3_value **values)
{
    const char *path = (const char *)sqlite3_value_text(values[0]);
    char whole[PATH_MAX];

    (void)count;
    if (path && access(path, R_OK) == 0 && realpath(path, whole) && !strpbrk(whole, "%#{}\\~ ")) {
        sqlite3_result_text(call, whole, -1, SQLITE_TRANSIENT);
    }
}

fs_status fs_sql_functions(struct fs_store *store, struct fs_error *error)
{
    static const struct {
        const char *name;
        int values;
        void (*call)(sqlite3_context *, int, sqlite3_value **);
    } all[] = {
        {"latex", 1, call_latex},         {"three_digits", 1, call_three_digits}, {"shortest", 1, call_shortest},
        {"duration", 1, call_duration},   {"byte_size", 1, call_byte_size},       {"table_cell", -1, call_table_cell},
        {"log_axis", 2, call_log_axis},   {"method_label", 1, call_method_label}, {"run_command", 1, call_run_command},
        {"file_path", 1, call_file_path},
    };
    sqlite3 *database = fs_store_handle(store);

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (sqlite3_create_function(database, all[i].name, all[i].values, SQLITE_UTF8, store, all[i].call, NULL,
                                    NULL) != SQLITE_OK) {
            return fs_query_fail(database, error);
        }
    }
    return FS_OK;
}
