/* Revisions, as git understands them in the current folder's repository. */
#include "harness/git/git.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/build_info.h"
#include "harness/git/process.h"
#include "kernels/base/hash.h"
#include "kernels/base/memory.h"

/* --- names --- */

/* The first line that git prints; FS_USAGE outside a repository. *found: whether git succeeded. */
static fs_status first_line(const char *const *argv, char *line, size_t length, bool *found, struct fs_error *error)
{
    char *output;
    size_t size;
    int result;

    FS_TRY(fs_capture(argv, -1, &output, &size, &result, error));
    const int whole = snprintf(line, length, "%.*s", (int)strcspn(output, "\n"), output);
    free(output);
    if (whole >= (int)length) {
        return fs_fail(error, FS_USAGE, "%.100s…: git's answer is too long: %d bytes, %zu is the most", line, whole,
                       length - 1);
    }
    *found = result == 0;
    return FS_OK;
}

fs_status fs_git_top(char path[FS_PATH_ROOM], struct fs_error *error)
{
    const char *const argv[] = {"git", "rev-parse", "--show-toplevel", NULL};
    bool found = false;

    FS_TRY(first_line(argv, path, FS_PATH_ROOM, &found, error));
    return found ? FS_OK : fs_fail(error, FS_USAGE, "not in a git repository: go to the source tree of fewstep");
}

fs_status fs_git_commit(const char *revision, char commit[FS_COMMIT_TEXT], struct fs_error *error)
{
    char top[FS_PATH_ROOM];
    bool found = false;

    FS_TRY(fs_git_top(top, error));
    char *name = fs_format(error, "%s^{commit}", revision);
    if (!name) {
        return FS_FAILED;
    }
    const char *const argv[] = {"git", "rev-parse", "--verify", "--quiet", "--end-of-options", name, NULL};
    const fs_status status = first_line(argv, commit, FS_COMMIT_TEXT, &found, error);
    free(name);
    return status == FS_OK && !found ? fs_fail(error, FS_USAGE, "%s: no such revision in %s", revision, top) : status;
}

/* --- the sources of a commit --- */

struct source {
    const char *object, *path; /* in the listing */
};

struct sources {
    char *listing;
    struct source *list;
    int count;
};

static void sources_free(struct sources *sources)
{
    free(sources->listing);
    free(sources->list);
    *sources = (struct sources){0};
}

/* Whether `ending` of a name stands in the words of `endings`. */
static bool ending_counts(const char *path, const char *endings)
{
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    char word[32], words[256];

    if (!dot || (slash && dot < slash) || strlen(dot + 1) + 3 > sizeof(word)) {
        return false;
    }
    snprintf(words, sizeof(words), " %s ", endings);
    snprintf(word, sizeof(word), " %s ", dot + 1);
    return strstr(words, word) != NULL;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct source *)a)->path, ((const struct source *)b)->path);
}

/* Takes "MODE TYPE OBJECT\tPATH\0" apart, in place. */
static void take_entry(char *entry, struct sources *sources)
{
    char *tab = strchr(entry, '\t'), *object = tab;

    if (!tab || strncmp(entry, "100", 3) != 0 || !ending_counts(tab + 1, fs_build_info.number_endings)) {
        return; /* a link, or another module's commit */
    }
    *tab = 0;
    while (object > entry && object[-1] != ' ') {
        object--;
    }
    sources->list[sources->count++] = (struct source){object, tab + 1};
}

static fs_status list_sources(const char *commit, struct sources *sources, struct fs_error *error)
{
    const char *argv[32] = {"git", "ls-tree", "-r", "-z", "--full-tree", commit, "--"};
    char folders[512];
    size_t size;
    int result, words = 7, entries = 0;

    snprintf(folders, sizeof(folders), "%s", fs_build_info.number_folders);
    char *rest;
    for (char *word = strtok_r(folders, " ", &rest); word && words < 31; word = strtok_r(NULL, " ", &rest)) {
        argv[words++] = word;
    }
    FS_TRY(fs_capture(argv, -1, &sources->listing, &size, &result, error));
    if (result != 0) {
        return fs_fail(error, FS_FAILED, "git cannot list the files of commit %.12s", commit);
    }
    for (size_t i = 0; i < size; i++) {
        entries += sources->listing[i] == 0;
    }
    sources->list = fs_allocate((size_t)entries, sizeof(*sources->list), "the files of a commit", error);
    if (!sources->list) {
        return FS_FAILED;
    }
    for (char *entry = sources->listing; entries > 0; entries--) {
        char *next = entry + strlen(entry) + 1;
        take_entry(entry, sources);
        entry = next;
    }
    qsort(sources->list, (size_t)sources->count, sizeof(*sources->list), by_path);
    return FS_OK;
}

/* The blobs' contents one after the other, each behind a line "OBJECT blob SIZE" and before a newline. */
static fs_status read_blobs(const struct sources *sources, char **contents, size_t *size, struct fs_error *error)
{
    const char *const argv[] = {"git", "cat-file", "--batch", NULL};
    int result = 0;
    FILE *wanted = tmpfile();

    for (int i = 0; wanted && i < sources->count; i++) {
        fprintf(wanted, "%s\n", sources->list[i].object);
    }
    if (!wanted || fflush(wanted) != 0 || fseek(wanted, 0, SEEK_SET) != 0) {
        if (wanted) {
            fclose(wanted);
        }
        return fs_fail(error, FS_FAILED, "no temporary file for a list of files: is the disk full?");
    }
    const fs_status status = fs_capture(argv, fileno(wanted), contents, size, &result, error);
    fclose(wanted);
    return status == FS_OK && result != 0 ? fs_fail(error, FS_FAILED, "git cannot read the files of a commit") : status;
}

static fs_status hash_blobs(const struct sources *sources, const char *contents, size_t size, char source_hash[65],
                            struct fs_error *error)
{
    const char *at = contents, *end = contents + size;
    struct fs_sha256 hash;

    fs_sha256_begin(&hash);
    for (int i = 0; i < sources->count; i++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t length = 0;
        if (!line_end || sscanf(at, "%*s blob %zu", &length) != 1 || length >= (size_t)(end - line_end - 1)) {
            return fs_fail(error, FS_FAILED, "git does not give the contents of %s", sources->list[i].path);
        }
        fs_sha256_add(&hash, sources->list[i].path, strlen(sources->list[i].path));
        fs_sha256_add(&hash, "\n", 1);
        fs_sha256_add(&hash, line_end + 1, length);
        at = line_end + 1 + length + 1;
    }
    fs_sha256_end(&hash, source_hash);
    return FS_OK;
}

fs_status fs_git_source_hash(const char *commit, char source_hash[65], struct fs_error *error)
{
    struct sources sources = {0};
    char *contents = NULL;
    size_t size;

    fs_status status = list_sources(commit, &sources, error);
    if (status == FS_OK) {
        status = read_blobs(&sources, &contents, &size, error);
    }
    if (status == FS_OK) {
        status = hash_blobs(&sources, contents, size, source_hash, error);
    }
    free(contents);
    sources_free(&sources);
    return status;
}
