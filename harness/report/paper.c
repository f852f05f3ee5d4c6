/* What the paper takes from the database: which experiments, and the files. */
#include "harness/report/paper.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/report/latex.h"
#include "harness/report/paper_parts.h"
#include "harness/report/table_views.h"
#include "harness/store/query.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define MAIN "fashion-table"
#define ABLATION "ablation-max-step"
#define BUDGET "why-budget"
#define PAIRS "why-pairs"

/* --- studies --- */

static void choose_section(struct fs_study *study)
{
    static const char *const metrics[] = {"fid", "fd"};
    const struct fs_stretch all = {study->scores.runs, study->scores.run_count};
    struct fs_stretch part, chosen = {0};
    int rank = 3;

    for (int at = 0; all.count && fs_next_stretch(all, &at, fs_same_section, &part);) {
        int its = 2;
        for (int m = 0; m < 2; m++) {
            its = strcmp(part.first->text[FS_TEXT_METRIC], metrics[m]) == 0 ? m : its;
        }
        if (its < rank) {
            rank = its;
            chosen = part;
        }
    }
    study->section = fs_section_make(&study->scores, &study->name, chosen);
}

static fs_status read_study(struct fs_store *store, const char *key, const char *name, struct fs_study *study,
                            struct fs_error *error)
{
    study->key = key;
    FS_TRY(fs_experiment_find(store, name, &study->name, error));
    FS_TRY(fs_table_scores_read(store, study->name.id, NULL, &study->scores, error));
    if (study->scores.run_count == 0) {
        return fs_fail(error, FS_USAGE, "%s: no run of it has a score yet; `fewstep run` with its file makes them",
                       study->name.name);
    }
    choose_section(study);
    study->rows = fs_section_rows(&study->section);
    return fs_section_orders(&study->section, &study->orders, error);
}

/* The study again without the trainings that fell back; *found: whether one did. */
static fs_status make_stable(struct fs_paper *paper, bool *found, struct fs_error *error)
{
    struct fs_study *stable = &paper->stable;

    stable->key = "stable";
    stable->name = paper->main.name;
    FS_TRY(fs_paper_stable_scores(paper->store, &paper->main, &stable->scores, error));
    *found = stable->scores.run_count > 0 && stable->scores.run_count < paper->main.scores.run_count;
    if (!*found) {
        return FS_OK;
    }
    choose_section(stable);
    stable->rows = fs_section_rows(&stable->section);
    return fs_section_orders(&stable->section, &stable->orders, error);
}

static void study_free(struct fs_study *study)
{
    fs_table_scores_free(&study->scores);
    free(study->orders);
}

struct fs_stretch fs_study_row(const struct fs_study *study, int place)
{
    struct fs_stretch row = {0};

    for (int at = 0, r = 0; r <= place && fs_next_stretch(study->section.all, &at, fs_same_row, &row); r++) {
    }
    return row;
}

struct fs_stretch fs_study_cell(const struct fs_study *study, int place, int column)
{
    const struct fs_stretch row = fs_study_row(study, place);
    struct fs_stretch cell;

    for (int at = 0; fs_next_stretch(row, &at, fs_same_cell, &cell);) {
        if (cell.first->steps == study->section.steps[column]) {
            return cell;
        }
    }
    return (struct fs_stretch){0};
}

void fs_study_row_key(const struct fs_study *study, int place, char *text, size_t size)
{
    const struct fs_table_score *of = fs_study_row(study, place).first;

    if (study->name.ablated[0]) {
        fs_ablated_value(of, study->name.ablated, text, size);
    } else {
        snprintf(text, size, "%s", of->text[FS_TEXT_METHOD]);
    }
}

void fs_paper_method(const char *method, FILE *stream)
{
    const char *label = fs_method_label(method), *aside = strstr(label, " (");
    char name[112];

    snprintf(name, sizeof(name), "%.*s", (int)(aside ? aside - label : (long)strlen(label)), label);
    fs_latex(stream, name);
}

int fs_study_method(const struct fs_study *study, const char *method)
{
    for (int r = 0; r < study->rows; r++) {
        if (strcmp(fs_study_row(study, r).first->text[FS_TEXT_METHOD], method) == 0) {
            return r;
        }
    }
    return -1;
}

bool fs_paper_picture(const struct fs_paper *paper, int place, int64_t seed, char path[1400])
{
    const struct fs_stretch row = fs_study_row(&paper->main, place);

    for (int i = 0; i < row.count; i++) {
        const struct fs_table_score *of = &row.first[i];
        if (of->seed == seed) {
            snprintf(path, 1400, "%s/%s/%s-%.8s-seed%" PRId64 ".png", paper->options->samples, paper->main.name.name,
                     of->text[FS_TEXT_METHOD], of->text[FS_TEXT_RUN], seed);
            return access(path, R_OK) == 0;
        }
    }
    return false;
}

/* How good a seed is for the pictures: rows that have one, those of trainings that fell back counted as half. */
static int picture_worth(const struct fs_paper *paper, int64_t seed)
{
    const struct fs_stretch stable = paper->stable.section.all;
    char path[1400];
    int worth = 0;

    for (int r = 0; r < paper->main.rows; r++) {
        if (fs_paper_picture(paper, r, seed, path)) {
            const struct fs_table_score *row = fs_study_row(&paper->main, r).first;
            bool fell = paper->has_stable;
            for (int i = 0; i < stable.count; i++) {
                fell = fell && !(fs_same_row(&stable.first[i], row) && stable.first[i].seed == seed);
            }
            worth += fell ? 1 : 2;
        }
    }
    return worth;
}

/* The first of the best seeds. */
static void choose_pictures(struct fs_paper *paper)
{
    const struct fs_stretch all = paper->main.section.all;
    int best = 0;

    for (int i = 0; i < all.count; i++) {
        const int64_t seed = all.first[i].seed;
        const int worth = picture_worth(paper, seed);
        if (worth > best || (worth == best && seed < paper->samples_seed)) {
            best = worth;
            paper->samples_seed = seed;
        }
    }
    paper->has_samples = best > 0;
}

/* --- which --- */

/* The newest experiment with scores among those of a name (NULL: any that ablates nothing). */
static fs_status find_scored(struct fs_store *store, const char *name, char found[64], struct fs_error *error)
{
    sqlite3_stmt *query;
    bool row;

    found[0] = 0;
    FS_TRY(fs_query_open(fs_store_handle(store), &query, error,
                         "SELECT e.name FROM experiments e WHERE (?1 IS NULL AND coalesce(e.ablated, '') = '' OR "
                         "e.name = ?1) AND EXISTS (SELECT 1 FROM experiment_scores m JOIN scores s ON s.number = "
                         "m.score WHERE m.experiment = e.id AND s.run IS NOT NULL) ORDER BY e.used DESC, e.id DESC",
                         "t", name));
    const fs_status status = fs_query_next(query, &row, error);
    if (status == FS_OK && row) {
        snprintf(found, 64, "%s", fs_query_text(query, 0));
    }
    sqlite3_finalize(query);
    return status;
}

/* The study that was asked for, or else the usual one where that has scores. */
static fs_status read_optional(struct fs_paper *paper, const char *key, const char *asked, const char *usual,
                               struct fs_study *study, bool *found, struct fs_error *error)
{
    char scored[64] = "";

    if (!asked) {
        FS_TRY(find_scored(paper->store, usual, scored, error));
    }
    *found = asked || scored[0];
    return *found ? read_study(paper->store, key, asked ? asked : usual, study, error) : FS_OK;
}

static fs_status read_studies(struct fs_paper *paper, struct fs_error *error)
{
    const struct fs_paper_options *options = paper->options;
    const char *main = options->main;
    char name[64];

    if (!main) {
        FS_TRY(find_scored(paper->store, MAIN, name, error));
        if (!name[0]) {
            FS_TRY(find_scored(paper->store, NULL, name, error));
        }
        main = name[0] ? name : NULL; /* NULL says what to do where there is none */
    }
    FS_TRY(read_study(paper->store, "main", main, &paper->main, error));
    FS_TRY(
        read_optional(paper, "ablation", options->ablation, ABLATION, &paper->ablation, &paper->has_ablation, error));
    if (paper->has_ablation && !paper->ablation.name.ablated[0]) {
        return fs_fail(error, FS_USAGE, "--ablation %s: the matrix of this experiment varies only method and seed",
                       paper->ablation.name.name);
    }
    FS_TRY(read_optional(paper, "pairs", options->pairs, PAIRS, &paper->pairs, &paper->has_pairs, error));
    FS_TRY(read_optional(paper, "budget", options->budget, BUDGET, &paper->budget, &paper->has_budget, error));
    if (paper->has_budget) {
        FS_TRY(fs_table_scores_history(paper->store, paper->budget.name.id, FS_EVERY_UPDATE, &paper->progress, error));
    }
    FS_TRY(make_stable(paper, &paper->has_stable, error));
    choose_pictures(paper);
    return FS_OK;
}

int fs_paper_studies(const struct fs_paper *paper, const struct fs_study *studies[FS_PAPER_STUDIES])
{
    const struct fs_study *const all[FS_PAPER_STUDIES] = {&paper->main, &paper->budget, &paper->pairs,
                                                          &paper->ablation};
    const bool there[FS_PAPER_STUDIES] = {true, paper->has_budget, paper->has_pairs, paper->has_ablation};
    int count = 0;

    for (int i = 0; i < FS_PAPER_STUDIES; i++) {
        if (there[i]) {
            studies[count++] = all[i];
        }
    }
    return count;
}

/* --- files --- */

fs_status fs_paper_file(const struct fs_paper *paper, const char *name, fs_paper_part *part)
{
    struct fs_error *error = paper->error;
    char path[1024];
    struct fs_new_file file;

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", paper->folder, name) >= sizeof(path)) {
        return fs_fail(error, FS_USAGE, "%s: the name of the folder is too long", paper->folder);
    }
    FS_TRY(fs_new_file_open(&file, path, error));
    fprintf(file.stream, "%% Made by `fewstep paper`; change the database, not this file.\n");
    const fs_status status = part(paper, file.stream, error);
    if (status != FS_OK) {
        fs_new_file_abandon(&file);
        return status;
    }
    return fs_new_file_commit(&file, error);
}

static fs_status main_scores(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    return fs_latex_scores(&paper->main.section, stream, error);
}

static fs_status main_cost(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    (void)error;
    fs_latex_cost(&paper->main.section, stream);
    return FS_OK;
}

static fs_status ablation_scores(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    return paper->has_ablation ? fs_latex_scores(&paper->ablation.section, stream, error) : FS_OK;
}

static fs_status pairs_scores(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    return paper->has_pairs ? fs_latex_scores(&paper->pairs.section, stream, error) : FS_OK;
}

static fs_status published(const struct fs_paper *paper, FILE *stream, struct fs_error *error)
{
    (void)error;
    for (int i = 0; i < paper->options->published->section_count; i++) {
        const struct fs_result_section *setting = &paper->options->published->sections[i];
        fputs(i % 2 ? "\\hfill\n" : i ? "\n\\medskip\n\n" : "", stream);
        fputs("\\begin{fspublished}{", stream);
        fs_latex(stream, setting->title);
        fputs("}\n", stream);
        fs_table_latex_scores(paper->options->published, setting, stream);
        fputs("\\end{fspublished}%\n", stream);
    }
    return FS_OK;
}

static fs_status write_files(const struct fs_paper *paper)
{
    static const struct {
        const char *name;
        fs_paper_part *part;
    } files[] = {
        {"fs-facts.tex", fs_paper_facts},
        {"fs-main-scores.tex", main_scores},
        {"fs-main-cost.tex", main_cost},
        {"fs-others.tex", fs_paper_others},
        {"fs-published.tex", published},
        {"fs-claims.tex", fs_paper_claims},
        {"fs-steps-figure.tex", fs_paper_steps_figure},
        {"fs-ablation-scores.tex", ablation_scores},
        {"fs-ablation-figure.tex", fs_paper_ablation_figure},
        {"fs-progress.tex", fs_paper_progress},
        {"fs-pairs-scores.tex", pairs_scores},
        {"fs-samples.tex", fs_paper_samples},
        {"fs-numbers.tex", fs_paper_numbers},
        {"fs-runs.tex", fs_paper_runs},
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        FS_TRY(fs_paper_file(paper, files[i].name, files[i].part));
    }
    return fs_paper_data(paper, paper->error);
}

/* What is not there, a line each. */
static fs_status take_notes(const struct fs_paper *paper, char **notes, struct fs_error *error)
{
#define NO_SCORES(name)                                                                                                \
    "no scores of " name ": the paper does without (`fewstep run experiments/" name ".yaml` makes them)\n"
    *notes = fs_format(error, "%s%s%s%s", paper->has_ablation ? "" : NO_SCORES(ABLATION),
                       paper->has_budget ? "" : NO_SCORES(BUDGET), paper->has_pairs ? "" : NO_SCORES(PAIRS),
                       paper->has_samples ? "" : "no pictures of samples: the paper has no figure of them\n");
#undef NO_SCORES
    return *notes ? FS_OK : FS_FAILED;
}

fs_status fs_paper_write(struct fs_store *store, const struct fs_paper_options *options, const char *folder,
                         char **notes, struct fs_error *error)
{
    struct fs_paper paper = {.store = store, .options = options, .folder = folder, .error = error};

    *notes = NULL;
    fs_status status = read_studies(&paper, error);
    if (status == FS_OK) {
        status = fs_make_folder(folder, error);
    }
    if (status == FS_OK) {
        status = write_files(&paper);
    }
    if (status == FS_OK) {
        status = take_notes(&paper, notes, error);
    }
    study_free(&paper.main);
    study_free(&paper.ablation);
    study_free(&paper.budget);
    study_free(&paper.pairs);
    fs_table_scores_free(&paper.progress);
    free(paper.stable.scores.runs);
    free(paper.stable.orders);
    return status;
}
