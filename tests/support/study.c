/* A database as larger experiments leave it, with made-up scores. */
#include "tests/support/study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/data/png.h"
#include "harness/store/query.h"
#include "kernels/base/file.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"
#include "tests/support/database.h"

#define SIDE 28
#define GRID_COLUMNS 12
#define UPDATES 4000

static const char *const methods[] = {"flow-matching", "progressive-distillation", "reflow", "shortcut"};
static const int steps[] = {1, 2, 4, 8, 16, 32, 128};
static const char *const fractions[] = {"1", "1/2", "1/4", "1/8", "1/16", "1/32", "1/64"};
#define STEPS ((int)(sizeof(steps) / sizeof(steps[0])))

struct study {
    struct fs_store *store;
    int64_t experiment, environment;
    int updates; /* of the runs that are added */
    struct fs_error *error;
};

/* In [−1, 1], from the bits of its arguments (a step of splitmix64). */
static double noise(int a, int b, int c)
{
    uint64_t bits = (uint64_t)(a + 1) * 0x9e3779b97f4a7c15u + (uint64_t)(b + 1) * 0xbf58476d1ce4e5b9u +
                    (uint64_t)(c + 1) * 0x94d049bb133111ebu;

    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return (double)(int64_t)(bits ^ (bits >> 31)) / 9.3e18;
}

double test_study_value(int method, int step_count, int seed)
{
    static const double at_one[] = {240, 60, 75, 55}, slope[] = {-0.62, 0.18, -0.12, -0.27};

    return (at_one[method] * pow(step_count, slope[method]) + 6) * exp(0.06 * noise(method, step_count, seed));
}

static void run_id(const char *of, int seed, const char *source, char id[65])
{
    char text[512];

    snprintf(text, sizeof(text), "%s %d %s", of, seed, source);
    fs_sha256(text, strlen(text), id);
}

void test_study_run(int method, int seed, char id[65])
{
    char train_hash[256];

    snprintf(train_hash, sizeof(train_hash), "%s ", methods[method]);
    run_id(train_hash, seed, "50a", id);
}

/* A trained run; `own` are its method's keys, `data` more of its data set's. */
static fs_status add_run_on(const struct study *study, const char *data, const char *method, const char *own, int seed,
                            const char *source, char id[65])
{
    char config[512], train_hash[256], budget[32] = "";

    if (study->updates != UPDATES) {
        snprintf(budget, sizeof(budget), " %d updates", study->updates);
    }
    snprintf(train_hash, sizeof(train_hash), "%s %s%s%s", method, own, data, budget);
    snprintf(config, sizeof(config),
             "{\"config_version\":1,\"dataset\":{\"name\":\"fashion-mnist\"%s},\"evaluate\":{\"metrics\":[\"fd\"],"
             "\"samples\":5000,\"steps\":[1,2,4,8,16,32,128]},\"experiment\":\"t\",\"method\":\"%s\","
             "\"methods\":{\"%s\":{%s}},\"model\":{\"classes\":10,\"finest_steps\":128,\"preset\":\"dit-xs/4\"},"
             "\"seed\":%d,\"train\":{\"updates\":%d}}",
             data, method, method, own, seed, study->updates);
    run_id(train_hash, seed, source, id);
    struct fs_run_row row = test_run(id);
    row.method = method;
    row.config_json = config;
    row.train_hash = train_hash;
    row.seed = seed;
    row.source_hash = source;
    row.updates = study->updates;
    FS_TRY(fs_store_run(study->store, &row, study->experiment, study->environment, study->error));
    FS_TRY(fs_store_run_state(study->store, id, "trained", NULL, 1234.5, 4e8, study->error));
    return fs_store_checkpoint(study->store, id, study->updates, "out/runs/x/last.safetensors", "c0de", 123456,
                               study->error);
}

static fs_status add_run(const struct study *study, const char *method, const char *own, int seed, const char *source,
                         char id[65])
{
    return add_run_on(study, "", method, own, seed, source, id);
}

static fs_status add_curve(const struct study *study, const char *id, int method, int seed)
{
    struct fs_curve_point points[200];

    for (int i = 0; i < 200; i++) {
        const int64_t update = (i + 1) * (UPDATES / 200);
        points[i] = (struct fs_curve_point){"loss", update,
                                            (0.1 + 0.05 * method + 3 * exp(-0.002 * (double)update)) *
                                                exp(0.1 * noise(method, seed, i))};
    }
    return fs_store_curve(study->store, id, points, 200, study->error);
}

static fs_status add_score(const struct study *study, const char *id, int seed, const char *metric, int step_count,
                           int64_t update, const char *source, double value)
{
    char name[256], hash[65];

    snprintf(name, sizeof(name), "%s %s %d %lld", id ? id : "data", metric, step_count, (long long)update);
    fs_sha256(name, strlen(name), hash);
    struct fs_score_row score = test_score(hash, id);
    score.source = id ? "run" : "dataset:fashion-mnist:test";
    score.metric = metric;
    score.steps = step_count;
    score.update = update;
    score.noise_seed = seed;
    score.source_hash = source;
    score.value = value;
    score.low = 0.97 * value;
    score.high = 1.04 * value;
    return fs_store_score(study->store, &score, study->experiment, study->environment, study->error);
}

/* A score with its spectrum: high frequencies are lost, the more the fewer the steps.
 */
static fs_status add_spectrum(const struct study *study, const char *id, int seed, int step_count)
{
    struct fs_spectrum_point points[SIDE / 2];
    char name[256], hash[65];

    snprintf(name, sizeof(name), "%s spectrum %d", id, step_count);
    fs_sha256(name, strlen(name), hash);
    struct fs_score_row score = test_score(hash, id);
    score.metric = "spectrum";
    score.extractor = "pixels";
    score.noise_seed = seed;
    score.source_hash = "50a";
    score.steps = step_count;
    score.spectrum = points;
    score.spectrum_count = SIDE / 2;
    for (int b = 0; b < SIDE / 2; b++) {
        const double frequency = (b + 1.0) / SIDE, power = 0.01 / (frequency * frequency);
        points[b] =
            (struct fs_spectrum_point){frequency, power * exp(-2 * frequency / step_count), 0.02 * power, power};
    }
    return fs_store_score(study->store, &score, study->experiment, study->environment, study->error);
}

static fs_status begin_experiment(struct study *study, const char *name, const char *ablated)
{
    study->updates = UPDATES;
    return fs_store_experiment(study->store, name, "experiments/made-up.yaml", name, ablated, &study->experiment,
                               study->error);
}

static fs_status begin_source(struct study *study, const char *commit, bool dirty, const char *source)
{
    struct fs_environment about = test_environment();

    about.commit = commit;
    about.dirty = dirty;
    about.source_hash = source;
    return fs_store_environment(study->store, &about, &study->environment, study->error);
}

/* Discs that grow sharper with more steps: anything that can be told apart. */
static fs_status draw_grid(const struct study *study, const char *samples, const char *method, const char *id)
{
    char path[1200];
    const int count = STEPS * GRID_COLUMNS;
    float *pixels = fs_allocate((size_t)(count * SIDE * SIDE), sizeof(*pixels), "a grid", study->error);

    if (!pixels) {
        return FS_FAILED;
    }
    for (int i = 0; i < count * SIDE * SIDE; i++) {
        const int sample = i / (SIDE * SIDE), y = i / SIDE % SIDE - SIDE / 2, x = i % SIDE - SIDE / 2;
        const double radius = 5 + sample % GRID_COLUMNS * 0.6, edge = 0.15 + sample / GRID_COLUMNS * 0.2;
        pixels[i] = (float)(tanh(edge * (radius - sqrt(x * x + y * y))) + 0.2 * noise(sample, i, 7));
    }
    snprintf(path, sizeof(path), "%s/table/%s-%.8s-seed0.png", samples, method, id);
    const fs_status status = fs_png_write_grid(path, pixels, STEPS, GRID_COLUMNS, SIDE, SIDE, 1, 2, study->error);
    free(pixels);
    return status;
}

static fs_status make_table(struct study *study, const char *samples)
{
    char folder[1200], id[65];

    snprintf(folder, sizeof(folder), "%s/table", samples);
    FS_TRY(fs_make_folder(folder, study->error));
    FS_TRY(begin_experiment(study, "table", NULL));
    FS_TRY(begin_source(study, "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00", false, "50a"));
    for (int m = 0; m < 4; m++) {
        for (int seed = 0; seed < 3; seed++) {
            FS_TRY(add_run(study, methods[m], "", seed, "50a", id));
            FS_TRY(add_curve(study, id, m, seed));
            for (int i = 0; i < STEPS; i++) {
                const double value = test_study_value(m, steps[i], seed);
                FS_TRY(add_score(study, id, seed, "fd", steps[i], UPDATES, "50a", value));
                FS_TRY(add_score(study, id, seed, "density", steps[i], UPDATES, "50a", 1 / (1 + value / 80)));
            }
            for (int at = UPDATES / 4; at < UPDATES; at += UPDATES / 4) {
                FS_TRY(add_score(study, id, seed, "fd", 4, at, "50a",
                                 test_study_value(m, 4, seed) * (1 + 900.0 / at) * exp(0.05 * noise(m, seed, at))));
            }
            FS_TRY(m == 3 ? add_spectrum(study, id, seed, 1) : FS_OK);
            FS_TRY(m == 3 ? add_spectrum(study, id, seed, 8) : FS_OK);
            FS_TRY(seed == 0 ? draw_grid(study, samples, methods[m], id) : FS_OK);
        }
    }
    return add_score(study, NULL, 0, "fd", 0, 0, "50a", 1.25);
}

static fs_status make_ablation(struct study *study)
{
    char own[64], id[65];

    FS_TRY(begin_experiment(study, "ablation", "methods.shortcut.max_step"));
    for (int i = 0; i < 7; i++) {
        for (int seed = 0; seed < 2; seed++) {
            snprintf(own, sizeof(own), "\"max_step\":\"%s\"", fractions[i]);
            FS_TRY(add_run(study, "shortcut", own, seed, "50a", id));
            for (int k = 0; k < STEPS; k += 2) {
                const double asked = fmax(log2((double)(1 << i)) - log2(steps[k]), 0); /* levels never trained on */
                FS_TRY(add_score(study, id, seed, "fd", steps[k], UPDATES, "50a",
                                 test_study_value(3, steps[k], seed) * exp(0.35 * asked + 0.05 * noise(i, k, seed))));
            }
        }
    }
    return FS_OK;
}

static fs_status make_commits(struct study *study)
{
    static const char *const commits[] = {
        "1111111aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "2222222bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        "3333333ccccccccccccccccccccccccccccccccc", "4444444ddddddddddddddddddddddddddddddddd"};
    static const char *const sources[] = {"51", "52", "53", "54"};
    char id[65];

    FS_TRY(begin_experiment(study, "commits", NULL));
    for (int c = 0; c < 4; c++) {
        FS_TRY(begin_source(study, commits[c], c == 3, sources[c]));
        for (int run = 0; run < 6; run++) {
            const int method = run < 3 ? 0 : 3, seed = run % 3;
            FS_TRY(add_run(study, methods[method], "", seed, sources[c], id));
            for (int k = 0; k < STEPS; k += 3) {
                FS_TRY(add_score(study, id, seed, "fd", steps[k], UPDATES, sources[c],
                                 test_study_value(method, steps[k], seed) * (c >= 2 && method == 3 ? 1.3 : 1) *
                                     exp(0.03 * noise(c, run, k))));
            }
        }
    }
    return FS_OK;
}

double test_study_told(int method, int groups, int step_count, int seed)
{
    return test_study_value(method, step_count, seed) / (method == 0 ? sqrt(groups) : 1);
}

/* The score of the exact velocity of the training set with so many labels. */
static fs_status add_exact(const struct study *study, int labels, int step_count)
{
    char source[64], hash[65];

    snprintf(source, sizeof(source), "exact:fashion-mnist:0123456789ab:%d", labels);
    snprintf(hash, sizeof(hash), "%032d%032d", labels + 1, step_count);
    struct fs_score_row score = test_score(hash, NULL);
    score.source = source;
    score.metric = "fd";
    score.steps = step_count;
    score.source_hash = "50a";
    score.value = test_study_exact(labels, step_count);
    score.low = 0.97 * score.value;
    score.high = 1.04 * score.value;
    return fs_store_score(study->store, &score, study->experiment, study->environment, study->error);
}

double test_study_exact(int labels, int step_count)
{
    return 300.0 / (step_count * (labels ? labels : 1));
}

static fs_status make_groups(struct study *study)
{
    static const int groups[] = {1, 10}, some[] = {1, 4, 128};
    char data[32], id[65];

    FS_TRY(begin_experiment(study, "groups", "dataset.groups"));
    FS_TRY(begin_source(study, "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00", false, "50a"));
    for (int run = 0; run < 8; run++) {
        const int method = run / 2 % 2 ? 3 : 0, seed = run % 2, told = groups[run / 4];
        snprintf(data, sizeof(data), ",\"groups\":%d", told);
        FS_TRY(add_run_on(study, data, methods[method], "", seed, "50a", id));
        for (int k = 0; k < 3; k++) {
            FS_TRY(add_score(study, id, seed, "fd", some[k], UPDATES, "50a",
                             test_study_told(method, told, some[k], seed)));
        }
    }
    for (int k = 0; k < 6; k++) {
        FS_TRY(add_exact(study, k / 3 ? 10 : 0, some[k % 3]));
    }
    return FS_OK;
}

/* A run of so many updates, with scores at `count` numbers of steps: its method's of UPDATES times `factor`. */
static fs_status add_budget(struct study *study, int method, int seed, int updates, const int *some, int count,
                            double factor)
{
    char id[65];

    study->updates = updates;
    FS_TRY(add_run(study, methods[method], "", seed, "50a", id));
    for (int k = 0; k < count; k++) {
        FS_TRY(add_score(study, id, seed, "fd", some[k], updates, "50a",
                         factor * test_study_value(method, some[k], seed)));
    }
    return FS_OK;
}

static fs_status make_budgets(struct study *study)
{
    static const int some[] = {4, 128};

    FS_TRY(begin_experiment(study, "longer", "train.updates"));
    FS_TRY(begin_source(study, "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00", false, "50a"));
    for (int times = 1; times <= 4; times += 3) {
        FS_TRY(add_budget(study, 0, 5, times * UPDATES, some, 2, 1));
        FS_TRY(add_budget(study, 3, 5, times * UPDATES, some, 2, 1.0 / times));
    }
    FS_TRY(begin_experiment(study, "work", "train.updates"));
    for (int seed = 5; seed < 8; seed++) {
        FS_TRY(add_budget(study, 0, seed, UPDATES, some, 1, 1));
        FS_TRY(add_budget(study, 2, seed, UPDATES / 2, some, 1, 3));
        FS_TRY(add_budget(study, 3, seed, UPDATES / 4, some, 1, 1));
    }
    return FS_OK;
}

static fs_status add_to(const char *database, fs_status (*make)(struct study *study), struct fs_error *error)
{
    struct study study = {.error = error};

    FS_TRY(fs_store_open(database, FS_STORE_WRITE, &study.store, error));
    const fs_status status = make(&study);
    fs_store_close(study.store);
    return status;
}

fs_status test_study_add_budgets(const char *database, struct fs_error *error)
{
    return add_to(database, make_budgets, error);
}

fs_status test_study_add_groups(const char *database, struct fs_error *error)
{
    return add_to(database, make_groups, error);
}

fs_status test_study_make(const char *database, const char *samples, struct fs_error *error)
{
    struct study study = {.error = error};

    FS_TRY(fs_store_open(database, FS_STORE_WRITE, &study.store, error));
    /* A test's database need not outlive a power cut. */
    fs_status status = fs_execute(fs_store_handle(study.store), error, "PRAGMA synchronous = OFF", "");
    status = status == FS_OK ? make_table(&study, samples) : status;
    status = status == FS_OK ? make_ablation(&study) : status;
    status = status == FS_OK ? make_commits(&study) : status;
    status = status == FS_OK ? begin_experiment(&study, TEST_STUDY_HOSTILE, NULL) : status;
    fs_store_close(study.store);
    return status;
}
