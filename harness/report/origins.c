/* The builds behind scores, as words. */
#include "harness/report/origins.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/memory.h"

static bool has_word(const char *set, const char *word, size_t length)
{
    for (; *set; set += strcspn(set, " "), set += strspn(set, " ")) {
        if (strcspn(set, " ") == length && strncmp(set, word, length) == 0) {
            return true;
        }
    }
    return false;
}

fs_status fs_add_word(char **set, const char *word, size_t length, struct fs_error *error)
{
    if (*set && has_word(*set, word, length)) {
        return FS_OK;
    }
    char *longer = fs_format(error, "%s%s%.*s", *set ? *set : "", *set ? " " : "", (int)length, word);
    free(*set);
    *set = longer;
    return longer ? FS_OK : FS_FAILED;
}

fs_status fs_add_origins(char **commits, char **sources, const char *origins, struct fs_error *error)
{
    while (*origins) {
        const size_t length = strcspn(origins, " "), commit = strcspn(origins, ":");
        FS_TRY(fs_add_word(commits, origins, commit, error));
        FS_TRY(fs_add_word(sources, origins + commit + 1, length - commit - 1, error));
        origins += length;
        origins += strspn(origins, " ");
    }
    return FS_OK;
}

/* Adds each word of `origins` to the set. */
static fs_status add_words(char **set, const char *origins, struct fs_error *error)
{
    while (*origins) {
        FS_TRY(fs_add_word(set, origins, strcspn(origins, " "), error));
        origins += strcspn(origins, " ");
        origins += strspn(origins, " ");
    }
    return FS_OK;
}

static fs_status collect(const struct fs_result_section *section, char **origins, struct fs_error *error)
{
    for (int r = 0; r < section->row_count; r++) {
        for (int c = 0; c < section->rows[r].cell_count; c++) {
            const struct fs_result_cell *cell = &section->rows[r].cells[c];
            for (int i = 0; i < cell->seeds; i++) {
                FS_TRY(add_words(origins, cell->scores[i].origins, error));
            }
        }
    }
    return section->data ? add_words(origins, section->data->scores->origins, error) : FS_OK;
}

char *fs_result_builds(const struct fs_result_section *section, struct fs_error *error)
{
    char *origins = NULL, *line = NULL;
    fs_status status = collect(section, &origins, error);

    for (const char *word = origins ? origins : ""; *word && status == FS_OK;) {
        const char *source = word + strcspn(word, ":") + 1;
        const size_t commit = (size_t)(source - 1 - word);
        const bool dirty = commit > 6 && strncmp(source - 7, "-dirty", 6) == 0;
        char *longer = fs_format(error, "%s%s %.*s%s (source %.12s)", line ? line : "from commit", line ? "," : "",
                                 commit < 12 ? (int)commit : 12, word, dirty && commit > 12 ? "-dirty" : "", source);
        free(line);
        line = longer;
        status = line ? FS_OK : FS_FAILED;
        word += strcspn(word, " ");
        word += strspn(word, " ");
    }
    free(origins);
    return line;
}
