/* The options that make a stored run of an experiment file again. What the file gives by itself is left out: the keys
 * that differ are set, and of what is left that varies as much is named as tells the run from the others. */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "harness/config/schema.h"
#include "harness/text/escape.h"
#include "kernels/base/memory.h"

#define OPTIONS_MAX 256

struct search {
    struct fs_schema schema;
    struct fs_config wanted;
    const char *text;
    char *sets[OPTIONS_MAX]; /* "KEY=VALUE", owned */
    int set_count;
    char *only[OPTIONS_MAX];
    int only_count;
};

/* The name of the experiment moves nothing, and may be another one's that shares the run. */
static bool counts(const struct search *search, const struct fs_key *key)
{
    return fs_key_counts(key, &search->wanted) && strcmp(key->name, "experiment") != 0;
}

static fs_status compare(const struct fs_key *key, const struct fs_config *a, const struct fs_config *b, bool *same,
                         struct fs_error *error)
{
    char *one = fs_key_text(key, a, error), *other = fs_key_text(key, b, error);
    const bool failed = one == NULL || other == NULL;
    *same = !failed && strcmp(one, other) == 0;
    free(one);
    free(other);
    return failed ? FS_FAILED : FS_OK;
}

/* How many keys of a run differ from the wanted ones. A method's own keys do where the method is another one. */
static fs_status distance(const struct search *search, const struct fs_config *run, int *count, struct fs_error *error)
{
    *count = 0;
    for (int i = 0; i < search->schema.count; i++) {
        const struct fs_key *key = &search->schema.keys[i];
        bool same = fs_key_counts(key, run);
        if (counts(search, key)) {
            FS_TRY(same ? compare(key, run, &search->wanted, &same, error) : FS_OK);
            *count += !same;
        }
    }
    return FS_OK;
}

/* The nearest run of the file with the settings so far; *best is −1 where the file has none with them. */
static fs_status expand(const struct search *search, struct fs_experiment *experiment, int *best, int *least,
                        struct fs_error *error)
{
    struct fs_error refused;
    *best = -1;
    *least = INT_MAX;
    if (fs_experiment_parse("the stored experiment", search->text, (const char *const *)search->sets, search->set_count,
                            NULL, 0, experiment, &refused) != FS_OK) {
        *experiment = (struct fs_experiment){.runs = NULL};
        return FS_OK;
    }
    for (int i = 0; i < experiment->run_count; i++) {
        int count;
        FS_TRY(distance(search, &experiment->runs[i], &count, error));
        if (count < *least) {
            *least = count;
            *best = i;
        }
    }
    return FS_OK;
}

/* Whether YAML reads a bare word as a text: it begins with a letter and is none of those that stand for something. */
static bool reads_as_text(const char *word, size_t length)
{
    static const char *const others[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strlen(others[i]) == length && strncasecmp(others[i], word, length) == 0) {
            return false;
        }
    }
    return (word[0] >= 'a' && word[0] <= 'z') || (word[0] >= 'A' && word[0] <= 'Z') || word[0] == '/';
}

/* "KEY=VALUE" with the wanted value, as YAML reads it: words without their quotation marks. */
static char *assignment(const struct search *search, const struct fs_key *key, struct fs_error *error)
{
    char *value = fs_key_text(key, &search->wanted, error);
    if (value == NULL) {
        return NULL;
    }
    const size_t length = strlen(value);
    const bool safe =
        length > 2 && value[0] == '"' &&
        strspn(value + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") == length - 2;
    /* A user's text may read as a number or as true; a name of ours does not. */
    const bool word = safe && (key->kind != FS_KEY_TEXT || reads_as_text(value + 1, length - 2));
    char *text = word ? fs_format(error, "%s=%.*s", key->name, (int)length - 2, value + 1)
                      : fs_format(error, "%s=%s", key->name, value);
    free(value);
    return text;
}

static fs_status add(char *list[OPTIONS_MAX], int *count, const struct search *search, const struct fs_key *key,
                     struct fs_error *error)
{
    if (*count == OPTIONS_MAX) {
        return fs_fail(error, FS_USAGE, "a run differs from its experiment in more than %d keys", OPTIONS_MAX);
    }
    list[*count] = assignment(search, key, error);
    return list[(*count)++] ? FS_OK : FS_FAILED;
}

/* Sets every key in which the nearest run differs. */
static fs_status set_differing(struct search *search, const struct fs_config *nearest, struct fs_error *error)
{
    for (int i = 0; i < search->schema.count; i++) {
        const struct fs_key *key = &search->schema.keys[i];
        bool same = nearest && fs_key_counts(key, nearest);
        if (counts(search, key)) {
            FS_TRY(same ? compare(key, nearest, &search->wanted, &same, error) : FS_OK);
            FS_TRY(same ? FS_OK : add(search->sets, &search->set_count, search, key, error));
        }
    }
    return FS_OK;
}

/* Whether the settings so far have the wanted run among theirs. */
static fs_status reaches(const struct search *search, bool *reached, struct fs_error *error)
{
    struct fs_experiment experiment;
    int best, least;
    const fs_status status = expand(search, &experiment, &best, &least, error);
    *reached = least == 0;
    fs_experiment_free(&experiment);
    return status;
}

/* Takes away what the others imply: a preset its sizes. */
static fs_status drop_needless(struct search *search, struct fs_error *error)
{
    for (int i = search->set_count - 1; i >= 0; i--) {
        char *dropped = search->sets[i];
        bool reached = false;
        memmove(search->sets + i, search->sets + i + 1, (size_t)(search->set_count - i - 1) * sizeof *search->sets);
        search->set_count--;
        const fs_status status = reaches(search, &reached, error);
        if (reached) {
            free(dropped);
        } else {
            memmove(search->sets + i + 1, search->sets + i, (size_t)(search->set_count - i) * sizeof *search->sets);
            search->sets[i] = dropped;
            search->set_count++;
        }
        FS_TRY(status);
    }
    return FS_OK;
}

/* Names keys until no other run of the file is left. */
static fs_status tell_apart(struct search *search, const struct fs_experiment *experiment, struct fs_error *error)
{
    bool *gone = fs_allocate((size_t)experiment->run_count, sizeof *gone, "the runs", error);
    fs_status status = gone ? FS_OK : FS_FAILED;
    for (int i = 0; status == FS_OK && i < search->schema.count; i++) {
        const struct fs_key *key = &search->schema.keys[i];
        bool tells = false;
        for (int r = 0; status == FS_OK && counts(search, key) && r < experiment->run_count; r++) {
            const struct fs_config *run = &experiment->runs[r];
            bool same = fs_key_counts(key, run);
            if (!gone[r] && same) {
                status = compare(key, run, &search->wanted, &same, error);
            }
            tells |= !gone[r] && !same;
            gone[r] |= !same;
        }
        if (status == FS_OK && tells) {
            status = add(search->only, &search->only_count, search, key, error);
        }
    }
    free(gone);
    return status;
}

static void forget_sets(struct search *search)
{
    while (search->set_count > 0) {
        free(search->sets[--search->set_count]);
    }
}

/* Sets what the nearest run has otherwise. Where another run of the matrix refuses that, all keys, so that no other run
 * is left: a batch of one row, say, is too small for a method of the matrix that the wanted run has nothing to do with.
 */
static fs_status set_enough(struct search *search, const struct fs_config *nearest, struct fs_error *error)
{
    bool reached;
    FS_TRY(set_differing(search, nearest, error));
    FS_TRY(reaches(search, &reached, error));
    if (!reached && nearest) {
        forget_sets(search);
        return set_differing(search, NULL, error);
    }
    return FS_OK;
}

static fs_status find(struct search *search, struct fs_error *error)
{
    struct fs_experiment experiment;
    int best, least;
    fs_status status = expand(search, &experiment, &best, &least, error);
    if (status == FS_OK && least > 0) {
        status = set_enough(search, best >= 0 ? &experiment.runs[best] : NULL, error);
    }
    fs_experiment_free(&experiment);
    FS_TRY(status);
    FS_TRY(drop_needless(search, error));
    status = expand(search, &experiment, &best, &least, error);
    if (status == FS_OK && least != 0) {
        status = fs_fail(error, FS_USAGE, "no options of `fewstep run` make this run of its experiment file again");
    }
    if (status == FS_OK) {
        status = tell_apart(search, &experiment, error);
    }
    fs_experiment_free(&experiment);
    return status;
}

static fs_status print(const struct search *search, char **options, struct fs_error *error)
{
    size_t size;
    FILE *stream = open_memstream(options, &size);
    for (int i = 0; stream && i < search->set_count; i++) {
        fputs(" --set ", stream);
        fs_put_shell(search->sets[i], stream);
    }
    for (int i = 0; stream && i < search->only_count; i++) {
        fputs(" --only ", stream);
        fs_put_shell(search->only[i], stream);
    }
    if (!stream || fclose(stream) != 0) {
        return fs_fail(error, FS_FAILED, "no memory for a run's options");
    }
    return FS_OK;
}

fs_status fs_run_options(const char *text, const char *config_json, char **options, struct fs_error *error)
{
    struct search search = {.text = text};
    *options = NULL;
    FS_TRY(fs_config_from_json(config_json, &search.wanted, error));
    fs_status status = fs_schema_create(&search.schema, error);
    if (status == FS_OK) {
        status = find(&search, error);
    }
    if (status == FS_OK) {
        status = print(&search, options, error);
    }
    forget_sets(&search);
    for (int i = 0; i < search.only_count; i++) {
        free(search.only[i]);
    }
    fs_schema_destroy(&search.schema);
    fs_config_free(&search.wanted);
    return status;
}
