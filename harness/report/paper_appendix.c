/* The paper's appendix: every number of the tables with its runs, and every run with the command that makes it again.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/report/paper_parts.h"
#include "harness/report/show.h"

/* --- numbers --- */

static void print_row_name(const struct fs_study *study, int place, FILE *stream)
{
    char value[112];

    fs_latex(stream, fs_method_label(fs_study_row(study, place).first->text[FS_TEXT_METHOD]));
    if (study->name.ablated[0]) {
        fs_study_row_key(study, place, value, sizeof(value));
        fputs(", ", stream);
        fs_latex(stream, value);
    }
}

static void print_number(const struct fs_study *study, int place, int column, FILE *stream)
{
    const struct fs_stretch cell = fs_study_cell(study, place, column);
    double mean, error;

    if (cell.count == 0) {
        return;
    }
    fs_mean_and_error(cell, &mean, &error);
    print_row_name(study, place, stream);
    fprintf(stream, " & %" PRId64 " & ", study->section.steps[column]);
    fs_latex_value(stream, mean, error, 0, "");
    fputs(" & ", stream);
    for (int i = 0; i < cell.count; i++) {
        const char *run = cell.first[i].text[FS_TEXT_RUN];
        fprintf(stream, "%s\\hyperlink{run:%.8s}{\\texttt{%.8s}}", i ? ", " : "", run, run);
    }
    fputs(" \\\\\n", stream);
}

static void print_numbers(const struct fs_study *study, FILE *stream)
{
    fputs("\\multicolumn{4}{@{}l}{\\itshape ", stream);
    fs_latex(stream, study->name.name);
    fputs("} \\\\*\n", stream);
    for (int r = 0; r < study->rows; r++) {
        for (int column = 0; column < study->section.step_count; column++) {
            print_number(study, r, column, stream);
        }
    }
    if (study->section.floor) {
        fputs("Data & -- & ", stream);
        fs_latex_value(stream, study->section.floor->value, (double)NAN, 0, "");
        fputs(" & no run: the score of the ", stream);
        fs_latex(stream, fs_split_name(study->section.floor));
        fputs(" split \\\\\n", stream);
    }
}

fs_status fs_paper_numbers(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *studies[FS_PAPER_STUDIES];
    const int count = fs_paper_studies(paper, studies);

    (void)error;
    for (int i = 0; i < count; i++) {
        fputs(i ? "\\addlinespace\n" : "", stream);
        print_numbers(studies[i], stream);
    }
    return FS_OK;
}

/* --- runs --- */

/* The command with the commit's first twelve digits. */
static void print_command(const char *command, FILE *stream)
{
    static const char checkout[] = "git checkout ";
    char text[1024];

    if (strncmp(command, checkout, sizeof(checkout) - 1) == 0) {
        const char *commit = command + sizeof(checkout) - 1;
        const int length = (int)strcspn(commit, " ");
        snprintf(text, sizeof(text), "%s%.*s%s", checkout, length < 12 ? length : 12, commit, commit + length);
        command = text;
    }
    fputs("\\texttt{", stream);
    fs_latex(stream, command);
    fputc('}', stream);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* " (AMD EPYC, avx512, 1 thread; then …": one of those that trained a run. */
static void print_environment(const json_t *environment, bool first, FILE *stream)
{
    const json_int_t threads = json_integer_value(json_object_get(environment, "threads"));

    fputs(first ? " (" : "; then ", stream);
    fs_latex(stream, text_of(environment, "cpu"));
    fputs(", ", stream);
    fs_latex(stream, text_of(environment, "isa"));
    fprintf(stream, ", %lld thread%s", (long long)threads, threads == 1 ? "" : "s");
    if (strstr(text_of(environment, "commit"), "-dirty")) {
        fputs(", with changes that were not committed", stream);
    }
}

static void print_run(const json_t *all, FILE *stream)
{
    const json_t *run = json_object_get(all, "run");
    const json_t *environments = json_object_get(all, "environments");
    const char *command = text_of(all, "command"), *id = text_of(run, "id");

    fprintf(stream, "\\hypertarget{run:%.8s}{\\texttt{%.8s}} & ", id, id);
    fs_latex(stream, fs_method_label(text_of(run, "method")));
    fputs(json_is_true(json_object_get(run, "is_teacher")) || json_integer_value(json_object_get(run, "is_teacher"))
              ? " (teacher)"
              : "",
          stream);
    fprintf(stream, " & %lld & ", (long long)json_integer_value(json_object_get(run, "seed")));
    if (*command) {
        print_command(command, stream);
    } else {
        fputs("made by hand", stream);
    }
    for (size_t i = 0; i < json_array_size(environments); i++) {
        print_environment(json_array_get(environments, i), i == 0, stream);
    }
    fputs(json_array_size(environments) > 0 ? ")" : "", stream);
    fputs(" \\\\\n", stream);
}

/* Prints a run once; adds it to `known`. */
static fs_status add_run(const struct fs_paper *paper, const char *id, json_t *known, FILE *stream,
                         struct fs_error *error)
{
    struct fs_error reason;
    json_t *all;

    if (!*id || json_object_get(known, id)) {
        return FS_OK;
    }
    if (json_object_set_new(known, id, json_true())) {
        return fs_fail(error, FS_FAILED, "no memory for a list of runs");
    }
    if (fs_run_json(paper->store, id, &all, &reason) != FS_OK) {
        fprintf(stream, "\\hypertarget{run:%.8s}{\\texttt{%.8s}} & -- & -- & ", id, id);
        fs_latex(stream, reason.text);
        fputs(" \\\\\n", stream);
        return FS_OK;
    }
    print_run(all, stream);
    const fs_status status = add_run(paper, text_of(json_object_get(all, "run"), "teacher"), known, stream, error);
    json_decref(all);
    return status;
}

static fs_status add_runs(const struct fs_paper *paper, const struct fs_study *study, json_t *known, FILE *stream,
                          struct fs_error *error)
{
    for (int i = 0; i < study->section.all.count; i++) {
        FS_TRY(add_run(paper, study->section.all.first[i].text[FS_TEXT_RUN], known, stream, error));
    }
    return FS_OK;
}

fs_status fs_paper_runs(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *studies[FS_PAPER_STUDIES];
    const int count = fs_paper_studies(paper, studies);
    json_t *known = json_object();
    fs_status status = FS_OK;

    for (int i = 0; i < count && status == FS_OK; i++) {
        status = add_runs(paper, studies[i], known, stream, error);
    }
    json_decref(known);
    return status;
}
