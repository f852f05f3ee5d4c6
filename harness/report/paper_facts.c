/* The numbers of the paper's text, each a macro: \fsset{KEY}{VALUE}, printed in the text by \fs{KEY}. And the orders
 * that papers published, each held against ours. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/text/number.h"
#include "harness/report/paper_parts.h"
#include "harness/store/query.h"
#include "kernels/base/memory.h"

/* --- facts --- */

static void begin_fact(FILE *stream, const char *key)
{
    fputs("\\fsset{", stream);
    for (; *key; key++) { /* what a \csname cannot hold */
        fputc(strchr("\\{}%#&$^~ \n", *key) || (*key & 0x80) ? '-' : *key, stream);
    }
    fputs("}{", stream);
}

/* The value as text, escaped. */
static void fact(FILE *stream, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fact(FILE *stream, const char *key, const char *format, ...)
{
    char text[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    begin_fact(stream, key);
    fs_latex(stream, text);
    fputs("}\n", stream);
}

void fs_paper_number_fact(FILE *stream, const char *key, double value)
{
    char text[FS_NUMBER_TEXT];

    fs_three_digits(value, text);
    fact(stream, key, "%s", text);
}

/* The configuration, each key by its dotted name. */
static void config_facts(FILE *stream, const char *prefix, const json_t *object)
{
    const char *name;
    const json_t *value;
    char key[256], text[256];

    json_object_foreach((json_t *)object, name, value)
    {
        snprintf(key, sizeof(key), "%s%s%s", prefix, prefix[strlen(prefix) - 1] == '/' ? "" : ".", name);
        if (json_is_object(value)) {
            config_facts(stream, key, value);
        } else {
            fs_json_text(value, text, sizeof(text));
            fact(stream, key, "%s", text);
        }
    }
}

static void cost_facts(FILE *stream, const char *prefix, struct fs_stretch row, double least)
{
    const struct fs_cost_mean cost = fs_mean_cost(row);
    char key[256], text[FS_NUMBER_TEXT];

    snprintf(key, sizeof(key), "%s/updates", prefix);
    fact(stream, key, "%" PRId64, row.first->updates);
    snprintf(key, sizeof(key), "%s/teacher-updates", prefix);
    fact(stream, key, "%" PRId64, row.first->teacher_updates);
    snprintf(key, sizeof(key), "%s/tflop", prefix);
    fs_paper_number_fact(stream, key, row.first->flops * 1e-12);
    snprintf(key, sizeof(key), "%s/work", prefix);
    fact(stream, key, "%.2f", row.first->flops / least);
    snprintf(key, sizeof(key), "%s/time", prefix);
    fs_duration((int64_t)(cost.seconds + 0.5), text);
    fact(stream, key, "%s", text);
    snprintf(key, sizeof(key), "%s/memory", prefix);
    fs_byte_size((int64_t)cost.peak_bytes, text);
    fact(stream, key, "%s", text);
    snprintf(key, sizeof(key), "%s/seeds", prefix);
    fact(stream, key, "%d", fs_stretch_seeds(row));
}

/* By which factor the score at each number of steps is above that at each other one: "main/METHOD/ratio/1/128". */
static void ratio_facts(FILE *stream, const struct fs_study *study, int place, const char *prefix)
{
    for (int a = 0; a < study->section.step_count; a++) {
        for (int b = 0; b < study->section.step_count; b++) {
            const double ratio = fs_cell_ratio(fs_study_cell(study, place, a), fs_study_cell(study, place, b)).ratio;
            char key[256];
            if (a != b && !isnan(ratio)) {
                snprintf(key, sizeof(key), "%s/ratio/%" PRId64 "/%" PRId64, prefix, study->section.steps[a],
                         study->section.steps[b]);
                fs_paper_number_fact(stream, key, ratio);
            }
        }
    }
}

static void row_facts(FILE *stream, const struct fs_study *study, int place, double least)
{
    const struct fs_stretch row = fs_study_row(study, place);
    char name[112], prefix[160], key[256];

    fs_study_row_key(study, place, name, sizeof(name));
    snprintf(prefix, sizeof(prefix), "%s/%s", study->key, name);
    snprintf(key, sizeof(key), "%s/label", prefix);
    fact(stream, key, "%s", fs_method_label(row.first->text[FS_TEXT_METHOD]));
    cost_facts(stream, prefix, row, least);
    for (int column = 0; column < study->section.step_count; column++) {
        const struct fs_stretch cell = fs_study_cell(study, place, column);
        double mean, error;
        if (cell.count == 0) {
            continue;
        }
        fs_mean_and_error(cell, &mean, &error);
        snprintf(key, sizeof(key), "%s/%" PRId64, prefix, study->section.steps[column]);
        begin_fact(stream, key);
        fs_latex_value(stream, mean, error, 0, "");
        fputs("}\n", stream);
    }
    ratio_facts(stream, study, place, prefix);
    json_t *config = json_loads(row.first->text[FS_TEXT_CONFIG], 0, NULL);
    snprintf(key, sizeof(key), "%s/config/", prefix);
    config_facts(stream, key, config);
    if (place == 0) {
        snprintf(key, sizeof(key), "%s/config/", study->key);
        config_facts(stream, key, config);
    }
    json_decref(config);
}

/* In words; a single seed allows no test, only to say which number is the smaller one. */
static const char *order_words(enum fs_order order, struct fs_cell_ratio ratio)
{
    if (order != FS_ORDER_UNDECIDED) {
        return order == FS_ORDER_LOWER ? "lower than" : "higher than";
    }
    return isnan(ratio.ratio) ? "not comparable with"
           : ratio.seeds > 1  ? "not distinguishable from"
           : ratio.ratio < 1  ? "numerically lower than"
                              : "numerically higher than";
}

/* "KEY/ratio" of two rows, and "KEY/lower-in": "2 of 3 seeds". */
static void ratio_fact(FILE *stream, const char *order_key, struct fs_cell_ratio ratio)
{
    char key[640];

    snprintf(key, sizeof(key), "%s/lower-in", order_key);
    fact(stream, key, "%d of %d seed%s", ratio.below, ratio.seeds, ratio.seeds == 1 ? "" : "s");
    if (!isnan(ratio.ratio)) {
        snprintf(key, sizeof(key), "%s/ratio", order_key);
        fs_paper_number_fact(stream, key, ratio.ratio);
    }
}

/* How each two rows compare at each number of steps. */
static void order_facts(FILE *stream, const struct fs_study *study)
{
    char key[512], name[112], other_name[112];
    int decided = 0, pairs = 0;

    for (int column = 0; column < study->section.step_count; column++) {
        for (int a = 0; a < study->rows; a++) {
            for (int b = 0; b < study->rows; b++) {
                const enum fs_order order = study->orders[(column * study->rows + a) * study->rows + b];
                if (a == b) {
                    continue;
                }
                fs_study_row_key(study, a, name, sizeof(name));
                fs_study_row_key(study, b, other_name, sizeof(other_name));
                snprintf(key, sizeof(key), "%s/%" PRId64 "/%s/vs/%s", study->key, study->section.steps[column], name,
                         other_name);
                const struct fs_cell_ratio ratio =
                    fs_cell_ratio(fs_study_cell(study, a, column), fs_study_cell(study, b, column));
                fact(stream, key, "%s", order_words(order, ratio));
                ratio_fact(stream, key, ratio);
                decided += a < b && order != FS_ORDER_UNDECIDED;
                pairs += a < b;
            }
        }
    }
    snprintf(key, sizeof(key), "%s/pairs", study->key);
    fact(stream, key, "%d", pairs);
    snprintf(key, sizeof(key), "%s/pairs-decided", study->key);
    fact(stream, key, "%d", decided);
}

/* Names a row in a sentence: the method, or the ablated key with its value. */
static void print_row(FILE *stream, const struct fs_study *study, int place)
{
    const char *dot = strrchr(study->name.ablated, '.');
    char name[112];

    fs_study_row_key(study, place, name, sizeof(name));
    if (study->name.ablated[0]) {
        fs_latex(stream, dot ? dot + 1 : study->name.ablated);
        fputs(" = ", stream);
        fs_latex(stream, name);
    } else {
        fs_paper_method(name, stream);
    }
}

static int lowest_mean(const struct fs_study *study, int column)
{
    double lowest = INFINITY, mean, error;
    int found = -1;

    for (int r = 0; r < study->rows; r++) {
        const struct fs_stretch cell = fs_study_cell(study, r, column);
        if (cell.count > 0) {
            fs_mean_and_error(cell, &mean, &error);
            if (mean < lowest) {
                lowest = mean;
                found = r;
            }
        }
    }
    return found;
}

/* What stands before an item of a list of `count`: "A, B and C". */
static const char *joint(int item, int count)
{
    return item == 0 ? "" : item + 1 < count ? ", " : " and ";
}

/* Whether a row cannot be told from the one that has the lowest mean of a column. */
static bool is_alike(const struct fs_study *study, int column, int lowest, int row)
{
    return row != lowest && fs_study_cell(study, row, column).count > 0 &&
           study->orders[(column * study->rows + lowest) * study->rows + row] != FS_ORDER_LOWER;
}

/* Whether two columns say the same of their lowest mean. */
static bool same_lowest(const struct fs_study *study, int column, int other)
{
    const int lowest = lowest_mean(study, column);
    bool same = lowest >= 0 && lowest == lowest_mean(study, other);

    for (int r = 0; same && r < study->rows; r++) {
        same = is_alike(study, column, lowest, r) == is_alike(study, other, lowest, r);
    }
    return same;
}

/* ", not distinguishable from A and B"; nothing of a single seed. */
static void print_alike(FILE *stream, const struct fs_study *study, int column, int lowest)
{
    int alike = 0, printed = 0;

    if (fs_study_cell(study, lowest, column).count < 2) {
        return;
    }
    for (int r = 0; r < study->rows; r++) {
        alike += is_alike(study, column, lowest, r);
    }
    fputs(alike > 0 ? ", not distinguishable from " : ", lower than all others", stream);
    for (int r = 0; r < study->rows; r++) {
        if (is_alike(study, column, lowest, r)) {
            fputs(joint(printed++, alike), stream);
            print_row(stream, study, r);
        }
    }
}

/* "at 1 step to Reflow, not distinguishable from A and B; at 4, 8 and 16 steps to …": to whom the lowest mean belongs.
 */
static void lowest_fact(FILE *stream, const struct fs_study *study)
{
    const int steps = study->section.step_count;

    fprintf(stream, "\\fsset{%s/lowest}{", study->key);
    for (int column = 0, end; column < steps; column = end) {
        const int lowest = lowest_mean(study, column);
        for (end = column + 1; end < steps && same_lowest(study, column, end); end++) {
        }
        if (lowest < 0) {
            continue;
        }
        fputs(column ? "; at " : "at ", stream);
        for (int i = column; i < end; i++) {
            fprintf(stream, "%s%" PRId64, joint(i - column, end - column), study->section.steps[i]);
        }
        fputs(end == column + 1 && study->section.steps[column] == 1 ? " step to " : " steps to ", stream);
        print_row(stream, study, lowest);
        print_alike(stream, study, column, lowest);
    }
    fputs("}\n", stream);
}

/* What the comparisons of the study can decide at all. */
static fs_status power_facts(FILE *stream, const struct fs_study *study, struct fs_error *error)
{
    struct fs_section_power power;
    char key[64];

    FS_TRY(fs_section_power(&study->section, &power, error));
    const char *const names[] = {"dof", "smallest", "largest"};
    const double values[] = {power.dof, power.smallest, power.largest};
    for (int i = 0; i < 3; i++) {
        snprintf(key, sizeof(key), "%s/test/%s", study->key, names[i]);
        fact(stream, key, power.tested == 0 ? FS_NO_VALUE : i == 0 ? "%g" : "%.2f", values[i]);
    }
    return FS_OK;
}

static fs_status study_facts(FILE *stream, const struct fs_study *study, struct fs_error *error)
{
    const struct fs_table_score *of = study->section.all.first;
    const char *dot = strrchr(study->name.ablated, '.');
    char key[64], text[512], count[16], steps[1024]; /* room for 40 numbers of up to 20 digits */
    double least = INFINITY;
    const int seeds = fs_stretch_seeds(study->section.all);

#define STUDY_FACT(name, ...)                                                                                          \
    do {                                                                                                               \
        snprintf(key, sizeof(key), "%s/" name, study->key);                                                            \
        fact(stream, key, __VA_ARGS__);                                                                                \
    } while (0)

    for (int r = 0; r < study->rows; r++) {
        least = fmin(least, fs_study_row(study, r).first->flops);
    }
    for (int r = 0; r < study->rows; r++) {
        row_facts(stream, study, r, least);
    }
    snprintf(count, sizeof(count), "%d", seeds);
    for (int i = 0, length = 0; i < study->section.step_count; i++) {
        length += snprintf(steps + length, sizeof(steps) - (size_t)length, "%s%" PRId64,
                           joint(i, study->section.step_count), study->section.steps[i]);
    }
    fs_metric_label(of, text, sizeof(text));
    STUDY_FACT("metric", "%s", text);
    STUDY_FACT("metric-short", "%s", strcmp(of->text[FS_TEXT_METRIC], "fid") == 0 ? "FID" : "FD");
    fs_section_title(of, text, sizeof(text));
    STUDY_FACT("title", "%s", text);
    STUDY_FACT("name", "%s", study->name.name);
    STUDY_FACT("rows", "%d", study->rows);
    STUDY_FACT("seeds", "%d", seeds);
    STUDY_FACT("seeds-words", "%s%s", seeds == 1 ? "one" : count, seeds == 1 ? " seed" : " seeds");
    STUDY_FACT("steps-list", "%s", steps);
    STUDY_FACT("samples", "%" PRId64, of->samples);
    STUDY_FACT("updates", "%" PRId64, of->updates);
    STUDY_FACT("extractor", "%s", of->text[FS_TEXT_EXTRACTOR]);
    STUDY_FACT("ablated", "%s", dot ? dot + 1 : study->name.ablated);
    STUDY_FACT("floor-note", "%s",
               study->section.floor && !fs_study_shows_floor(study) ? " The score of data itself lies below the axis."
                                                                    : "");
    if (study->section.floor) {
        snprintf(key, sizeof(key), "%s/floor", study->key);
        fs_paper_number_fact(stream, key, study->section.floor->value);
    } else {
        STUDY_FACT("floor", "%s", FS_NO_VALUE);
    }
#undef STUDY_FACT
    order_facts(stream, study);
    lowest_fact(stream, study);
    return power_facts(stream, study, error);
}

/* --- all of them --- */

/* The builds behind the main table and its floor. */
static fs_status builds_fact(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    char *origins = fs_section_origins(&paper->main.section, error);

    if (!origins) {
        return FS_FAILED;
    }
    begin_fact(stream, "database/builds");
    fs_latex(stream, origins);
    fputs("}\n", stream);
    free(origins);
    return FS_OK;
}

/* Everything of a kind that the runs of the main table were trained with, each once. */
static fs_status trained_with(const struct fs_paper *paper, const char *key, const char *expression, FILE *stream,
                              struct fs_error *error)
{
    char sql[640];
    sqlite3_stmt *query;
    bool row;

    snprintf(sql, sizeof(sql),
             "SELECT group_concat(one, '; ') FROM (SELECT DISTINCT %s AS one FROM experiment_runs x "
             "JOIN runs r ON r.number = x.run JOIN run_environments m ON m.run = x.run "
             "JOIN environments e ON e.id = m.environment WHERE x.experiment = ?1)",
             expression);
    FS_TRY(fs_query_open(fs_store_handle(paper->store), &query, error, sql, "i", paper->main.name.id));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK) {
        fact(stream, key, "%s", fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status machine_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    static const struct {
        const char *key, *expression;
    } all[] = {
        {"database/machines",
         "e.cpu || ' (' || e.threads || iif(e.threads = 1, ' thread, ', ' threads, ') || e.isa || ')'"},
        {"database/device", "e.device"},
        {"database/compiler", "e.compiler"},
        {"database/flags", "e.flags"},
        {"database/libraries", "e.libraries"},
        {"database/data", "substr(r.data_sha256, 1, 16)"},
    };

    FS_TRY(builds_fact(paper, stream, error));
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        FS_TRY(trained_with(paper, all[i].key, all[i].expression, stream, error));
    }
    return FS_OK;
}

/* How large the database is, and when its last score was made. */
static fs_status size_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    json_t *rows;
    const json_t *value;
    const char *name;
    char key[64], text[64];

    FS_TRY(fs_rows_json(paper->store, &rows, error,
                        "SELECT (SELECT strftime('%Y-%m-%d', max(created), 'unixepoch') FROM scores) AS written, "
                        "(SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM scores) AS scores",
                        "", NULL));
    json_object_foreach(json_array_get(rows, 0), name, value)
    {
        snprintf(key, sizeof(key), "database/%s", name);
        fs_json_text(value, text, sizeof(text));
        fact(stream, key, "%s", text);
    }
    json_decref(rows);
    return FS_OK;
}

static void published_facts(const struct fs_paper *paper, FILE *stream)
{
    for (int i = 0; i < paper->options->published->section_count; i++) {
        const struct fs_result_section *setting = &paper->options->published->sections[i];
        for (int r = 0; r < setting->row_count; r++) {
            for (int k = 0; k < setting->step_count; k++) {
                char key[256], value[FS_NUMBER_TEXT];
                snprintf(key, sizeof(key), "published/%s/%s/%" PRId64, setting->name, setting->rows[r].method,
                         setting->steps[k]);
                fs_shortest(setting->rows[r].cells[k].mean, value);
                begin_fact(stream, key);
                fprintf(stream, "%s%s}\n", value, setting->rows[r].cells[k].confirmed ? "" : "$^\\dagger$");
            }
        }
    }
}

fs_status fs_paper_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *studies[FS_PAPER_STUDIES];
    const int study_count = fs_paper_studies(paper, studies);

    for (int i = 0; i < study_count; i++) {
        FS_TRY(study_facts(stream, studies[i], error));
    }
    fs_paper_claim_facts(paper, &paper->main, "", stream);
    if (paper->has_stable) {
        FS_TRY(study_facts(stream, &paper->stable, error));
        fs_paper_claim_facts(paper, &paper->stable, "stable/", stream);
    }
    if (paper->has_budget) {
        FS_TRY(fs_paper_progress_facts(paper, stream, error));
    }
    fact(stream, "main/samples-seed", "%" PRId64, paper->samples_seed);
    fprintf(stream, "\\fsablation%s\n\\fssamples%s\n", paper->has_ablation ? "true" : "false",
            paper->has_samples ? "true" : "false");
    fprintf(stream, "\\fsothers%s\n", paper->main.section.all.count < paper->main.scores.run_count ? "true" : "false");
    fprintf(stream, "\\fsseeds%s\n\\fsfid%s\n", fs_stretch_seeds(paper->main.section.all) > 1 ? "true" : "false",
            strcmp(paper->main.section.all.first->text[FS_TEXT_METRIC], "fid") == 0 ? "true" : "false");
    fprintf(stream, "\\fsbudget%s\n\\fspairs%s\n", paper->has_budget ? "true" : "false",
            paper->has_pairs ? "true" : "false");
    FS_TRY(fs_paper_stability_facts(paper, stream, error));
    FS_TRY(fs_paper_other_facts(paper, stream, error));
    fact(stream, "test/alpha", "%g", FS_MARKS_ALPHA);
    fact(stream, "database/file", "%s", paper->options->database);
    published_facts(paper, stream);
    FS_TRY(machine_facts(paper, stream, error));
    return size_facts(paper, stream, error);
}
