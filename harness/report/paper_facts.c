/* The numbers of the paper's text, each a macro: \fsset{KEY}{VALUE}, printed in the text by \fs{KEY}. And the orders
 * that papers published, each held against ours. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex.h"
#include "harness/report/number.h"
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

static int seeds_of(struct fs_stretch row)
{
    struct fs_stretch cell;
    int seeds = 0;

    for (int at = 0; fs_next_stretch(row, &at, fs_same_cell, &cell);) {
        seeds = cell.count > seeds ? cell.count : seeds;
    }
    return seeds;
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
    fact(stream, key, "%d", seeds_of(row));
}

/* By which factor the mean at each number of steps is above that at each other one: "main/METHOD/ratio/1/128". */
static void ratio_facts(FILE *stream, const struct fs_study *study, int place, const char *prefix)
{
    for (int a = 0; a < study->section.step_count; a++) {
        for (int b = 0; b < study->section.step_count; b++) {
            const struct fs_stretch over = fs_study_cell(study, place, a), under = fs_study_cell(study, place, b);
            double above, below, error;
            char key[256];
            if (a == b || over.count == 0 || under.count == 0) {
                continue;
            }
            fs_mean_and_error(over, &above, &error);
            fs_mean_and_error(under, &below, &error);
            snprintf(key, sizeof(key), "%s/ratio/%" PRId64 "/%" PRId64, prefix, study->section.steps[a],
                     study->section.steps[b]);
            fs_paper_number_fact(stream, key, above / below);
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

static bool mean_is_lower(const struct fs_study *study, int column, int row, int other)
{
    double mean, others, error;

    fs_mean_and_error(fs_study_cell(study, row, column), &mean, &error);
    fs_mean_and_error(fs_study_cell(study, other, column), &others, &error);
    return mean < others;
}

/* In words; a single seed allows no test, only to say which number is the smaller one. */
static const char *order_words(const struct fs_study *study, int column, int row, int other)
{
    switch (study->orders[(column * study->rows + row) * study->rows + other]) {
    case FS_ORDER_LOWER:
        return "lower than";
    case FS_ORDER_HIGHER:
        return "higher than";
    default:
        if (fs_study_cell(study, row, column).count > 1 && fs_study_cell(study, other, column).count > 1) {
            return "not distinguishable from";
        }
        return mean_is_lower(study, column, row, other) ? "numerically lower than" : "numerically higher than";
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
                fact(stream, key, "%s", order_words(study, column, a, b));
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
static void row_words(const struct fs_study *study, int place, char *text, size_t size)
{
    const char *dot = strrchr(study->name.ablated, '.');
    char name[112];

    fs_study_row_key(study, place, name, sizeof(name));
    if (study->name.ablated[0]) {
        snprintf(text, size, "%s = %s", dot ? dot + 1 : study->name.ablated, name);
    } else {
        snprintf(text, size, "%s", fs_method_label(name));
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

/* "1 step: Reflow (106), not distinguishable from 2 others; 4 steps: …": a sentence that the numbers write. */
static void lowest_fact(FILE *stream, const struct fs_study *study)
{
    char key[64], words[256];

    snprintf(key, sizeof(key), "%s/lowest", study->key);
    begin_fact(stream, key);
    for (int column = 0; column < study->section.step_count; column++) {
        const int lowest = lowest_mean(study, column);
        double mean, error;
        int alike = 0;
        if (lowest < 0) {
            continue;
        }
        for (int r = 0; r < study->rows; r++) {
            alike += r != lowest && fs_study_cell(study, r, column).count > 0 &&
                     study->orders[(column * study->rows + lowest) * study->rows + r] != FS_ORDER_LOWER;
        }
        row_words(study, lowest, words, sizeof(words));
        fs_mean_and_error(fs_study_cell(study, lowest, column), &mean, &error);
        fprintf(stream, "%s%" PRId64 " step%s: ", column ? "; " : "", study->section.steps[column],
                study->section.steps[column] == 1 ? "" : "s");
        fs_latex(stream, words);
        fputs(" (", stream);
        fs_latex_value(stream, mean, error, 0, "");
        if (fs_study_cell(study, lowest, column).count < 2) {
            fputs(")", stream);
        } else if (alike > 0) {
            fprintf(stream, ", not distinguishable from %d other%s)", alike, alike == 1 ? "" : "s");
        } else {
            fputs(", lower than all others)", stream);
        }
    }
    fputs("}\n", stream);
}

static void study_facts(FILE *stream, const struct fs_study *study)
{
    const struct fs_table_score *of = study->section.all.first;
    const char *dot = strrchr(study->name.ablated, '.');
    char key[64], text[512], count[16], steps[1024]; /* room for 40 numbers of up to 20 digits */
    double least = INFINITY;
    int seeds = 0;

#define STUDY_FACT(name, ...)                                                                                          \
    do {                                                                                                               \
        snprintf(key, sizeof(key), "%s/" name, study->key);                                                            \
        fact(stream, key, __VA_ARGS__);                                                                                \
    } while (0)

    for (int r = 0; r < study->rows; r++) {
        const struct fs_stretch row = fs_study_row(study, r);
        least = fmin(least, row.first->flops);
        seeds = seeds_of(row) > seeds ? seeds_of(row) : seeds;
    }
    for (int r = 0; r < study->rows; r++) {
        row_facts(stream, study, r, least);
    }
    snprintf(count, sizeof(count), "%d", seeds);
    for (int i = 0, length = 0; i < study->section.step_count; i++) {
        length += snprintf(steps + length, sizeof(steps) - (size_t)length, "%s%" PRId64,
                           i == 0                              ? ""
                           : i + 1 < study->section.step_count ? ", "
                                                               : " and ",
                           study->section.steps[i]);
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
}

/* --- the orders that papers published --- */

struct claim {
    int64_t steps;
    int column, lower, higher; /* rows of the main study */
};

/* By which factor `higher` is above `lower` in a setting; NAN where it does not have both. */
static double published_ratio(const struct fs_published_setting *setting, const char *lower, const char *higher,
                              int64_t steps)
{
    double values[2] = {NAN, NAN};

    for (int r = 0; r < setting->row_count; r++) {
        for (int i = 0; i < setting->step_count; i++) {
            if (setting->steps[i] == steps) {
                values[0] = strcmp(setting->rows[r].method, lower) == 0 ? setting->rows[r].values[i] : values[0];
                values[1] = strcmp(setting->rows[r].method, higher) == 0 ? setting->rows[r].values[i] : values[1];
            }
        }
    }
    return values[1] / values[0];
}

static const char *method_at(const struct fs_study *study, int row)
{
    return fs_study_row(study, row).first->text[FS_TEXT_METHOD];
}

/* Whether all settings agree that `lower` is lower, and ours has both. */
static bool is_claim(const struct fs_paper *paper, const struct claim *claim)
{
    const struct fs_published *published = paper->options->published;
    const struct fs_study *main = &paper->main;

    if (claim->lower == claim->higher || fs_study_cell(main, claim->lower, claim->column).count == 0 ||
        fs_study_cell(main, claim->higher, claim->column).count == 0) {
        return false;
    }
    for (int i = 0; i < published->count; i++) {
        if (!(published_ratio(&published->settings[i], method_at(main, claim->lower), method_at(main, claim->higher),
                              claim->steps) > 1)) {
            return false;
        }
    }
    return published->count > 0;
}

/* The next claim after `claim` (start with lower, higher = 0, −1 and column 0). */
static bool next_claim(const struct fs_paper *paper, struct claim *claim)
{
    const struct fs_study *main = &paper->main;

    for (;;) {
        if (++claim->higher == main->rows) {
            claim->higher = 0;
            claim->lower++;
        }
        if (claim->lower == main->rows) {
            claim->lower = 0;
            claim->column++;
        }
        if (claim->column >= main->section.step_count) {
            return false;
        }
        claim->steps = main->section.steps[claim->column];
        if (is_claim(paper, claim)) {
            return true;
        }
    }
}

static enum fs_order our_order(const struct fs_paper *paper, const struct claim *claim)
{
    const int rows = paper->main.rows;

    return paper->main.orders[(claim->column * rows + claim->lower) * rows + claim->higher];
}

static void claim_facts(const struct fs_paper *paper, FILE *stream)
{
    struct claim claim = {.higher = -1};
    int hold = 0, reversed = 0, undecided = 0, alike = 0;

    while (next_claim(paper, &claim)) {
        const enum fs_order order = our_order(paper, &claim);
        hold += order == FS_ORDER_LOWER;
        reversed += order == FS_ORDER_HIGHER;
        undecided += order == FS_ORDER_UNDECIDED;
        alike += order == FS_ORDER_UNDECIDED && mean_is_lower(&paper->main, claim.column, claim.lower, claim.higher);
    }
    fact(stream, "claims/all", "%d", hold + reversed + undecided);
    fact(stream, "claims/hold", "%d", hold);
    fact(stream, "claims/reversed", "%d", reversed);
    fact(stream, "claims/undecided", "%d", undecided);
    fact(stream, "claims/undecided-alike", "%d", alike);
}

static void print_claim(const struct fs_paper *paper, const struct claim *claim, bool first, FILE *stream)
{
    const struct fs_study *main = &paper->main;
    const bool alike = mean_is_lower(main, claim->column, claim->lower, claim->higher);
    const char *const words[] = {alike ? "undecided ($+$)" : "undecided ($-$)", "holds", "\\textbf{reversed}"};
    double lower, higher, error;

    if (first) {
        fprintf(stream, "%" PRId64, claim->steps);
    }
    fputs(" & ", stream);
    fs_latex(stream, fs_method_label(method_at(main, claim->lower)));
    fputs(" $<$ ", stream);
    fs_latex(stream, fs_method_label(method_at(main, claim->higher)));
    for (int i = 0; i < paper->options->published->count; i++) {
        fprintf(stream, " & %.2f",
                published_ratio(&paper->options->published->settings[i], method_at(main, claim->lower),
                                method_at(main, claim->higher), claim->steps));
    }
    fs_mean_and_error(fs_study_cell(main, claim->lower, claim->column), &lower, &error);
    fs_mean_and_error(fs_study_cell(main, claim->higher, claim->column), &higher, &error);
    fprintf(stream, " & %.2f & %s \\\\\n", higher / lower, words[our_order(paper, claim)]);
}

fs_status fs_paper_claims(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_published *published = paper->options->published;
    struct claim claim = {.higher = -1};
    int64_t last = -1;

    (void)error;
    fprintf(stream, "\\begin{tabular}{rl*{%d}{r}l}\n\\toprule\n", published->count + 1);
    fprintf(stream,
            " & & \\multicolumn{%d}{c}{Ratio of the scores} & \\\\\n\\cmidrule(lr){3-%d}\nSteps & Published order",
            published->count + 1, published->count + 3);
    for (int i = 0; i < published->count; i++) {
        const char *title = published->settings[i].title;
        char word[64];
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(title, " ,"), title);
        fputs(" & ", stream);
        fs_latex(stream, word);
    }
    fputs(" & here & Verdict \\\\\n\\midrule\n", stream);
    while (next_claim(paper, &claim)) {
        fputs(last >= 0 && claim.steps != last ? "\\addlinespace\n" : "", stream);
        print_claim(paper, &claim, claim.steps != last, stream);
        last = claim.steps;
    }
    fputs("\\bottomrule\n\\end{tabular}\n", stream);
    return FS_OK;
}

/* --- all of them --- */

/* Every machine that a run of the main table was trained on. */
static fs_status machines_fact(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    static const char sql[] =
        "SELECT group_concat(machine, '; ') FROM (SELECT DISTINCT e.cpu || ' (' || e.threads || "
        "iif(e.threads = 1, ' thread, ', ' threads, ') || e.isa || ')' AS machine FROM experiment_runs x "
        "JOIN run_environments m ON m.run = x.run JOIN environments e ON e.id = m.environment WHERE x.experiment = ?1)";
    sqlite3_stmt *query;
    bool row;

    FS_TRY(fs_query_open(fs_store_handle(paper->store), &query, error, sql, "i", paper->main.name.id));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK) {
        fact(stream, "database/machines", "%s", fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    return status;
}

static fs_status machine_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    static const char sql[] =
        "SELECT e.device, e.compiler, e.libraries, substr(e.commit_hash, 1, 12) || "
        "iif(e.dirty, ' (changed tree)', '') AS \"commit\", substr(e.source_hash, 1, 12) AS source, "
        "(SELECT strftime('%Y-%m-%d', max(created), 'unixepoch') FROM scores) AS written, "
        "(SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM scores) AS scores "
        "FROM runs r JOIN run_environments m ON m.run = r.number JOIN environments e ON e.id = m.environment "
        "WHERE r.id = ?1 ORDER BY m.position DESC LIMIT 1";
    const char *name;
    const json_t *value;
    json_t *rows;
    char key[64], text[512];

    FS_TRY(machines_fact(paper, stream, error));
    FS_TRY(fs_rows_json(paper->store, &rows, error, sql, "t", paper->main.section.all.first->text[FS_TEXT_RUN]));
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
    for (int i = 0; i < paper->options->published->count; i++) {
        const struct fs_published_setting *setting = &paper->options->published->settings[i];
        for (int r = 0; r < setting->row_count; r++) {
            for (int k = 0; k < setting->step_count; k++) {
                char key[256], value[FS_NUMBER_TEXT];
                snprintf(key, sizeof(key), "published/%s/%s/%d", setting->name, setting->rows[r].method,
                         setting->steps[k]);
                fs_shortest(setting->rows[r].values[k], value);
                begin_fact(stream, key);
                fprintf(stream, "%s%s}\n", value, setting->rows[r].confirmed[k] ? "" : "$^\\dagger$");
            }
        }
    }
}

fs_status fs_paper_facts(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    const struct fs_study *studies[FS_PAPER_STUDIES];
    const int study_count = fs_paper_studies(paper, studies);

    for (int i = 0; i < study_count; i++) {
        study_facts(stream, studies[i]);
    }
    if (paper->has_budget) {
        FS_TRY(fs_paper_progress_facts(paper, stream, error));
    }
    fprintf(stream, "\\fsablation%s\n\\fssamples%s\n", paper->has_ablation ? "true" : "false",
            paper->has_samples ? "true" : "false");
    fprintf(stream, "\\fsothers%s\n", paper->main.section.all.count < paper->main.scores.run_count ? "true" : "false");
    int seeds = 0;
    for (int r = 0; r < paper->main.rows; r++) {
        const int its = seeds_of(fs_study_row(&paper->main, r));
        seeds = its > seeds ? its : seeds;
    }
    fprintf(stream, "\\fsseeds%s\n\\fsfid%s\n", seeds > 1 ? "true" : "false",
            strcmp(paper->main.section.all.first->text[FS_TEXT_METRIC], "fid") == 0 ? "true" : "false");
    fprintf(stream, "\\fsbudget%s\n\\fspairs%s\n", paper->has_budget ? "true" : "false",
            paper->has_pairs ? "true" : "false");
    FS_TRY(fs_paper_stability_facts(paper, stream, error));
    FS_TRY(fs_paper_other_facts(paper, stream, error));
    claim_facts(paper, stream);
    fact(stream, "test/alpha", "%g", FS_MARKS_ALPHA);
    fact(stream, "database/file", "%s", paper->options->database);
    published_facts(paper, stream);
    return machine_facts(paper, stream, error);
}
