/* Which macros, switches and files a LaTeX text uses: as much of TeX as that needs. */
#include "harness/report/latex_uses.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 32

struct scanner {
    const char *place, *at;
    int line;
    const json_t *switches;
    struct fs_latex_uses *uses;
    bool taken[DEPTH_MAX], other[DEPTH_MAX]; /* whether this branch of an \if is, and the one after its \else */
    int depth;
    struct fs_error *error;
};

static bool is_taken(const struct scanner *scanner)
{
    for (int i = 0; i < scanner->depth; i++) {
        if (!scanner->taken[i]) {
            return false;
        }
    }
    return true;
}

static fs_status add_use(const struct scanner *scanner, json_t *names, const char *name)
{
    char where[1100];
    const json_t *known = json_object_get(names, name);

    snprintf(where, sizeof(where), "%s:%d", scanner->place, scanner->line);
    if (known && !json_is_null(known)) {
        return FS_OK;
    }
    return json_object_set_new(names, name, is_taken(scanner) ? json_string(where) : json_null()) == 0
               ? FS_OK
               : fs_fail(scanner->error, FS_FAILED, "%s: no memory for the names that it uses", where);
}

/* The argument "{…}" that stands at `text`, if it fits; "" else. */
static void read_argument(const char *text, char *argument, size_t size)
{
    const size_t length = *text == '{' ? strcspn(text + 1, "{}\n") : 0;

    argument[0] = 0;
    if (length > 0 && text[length + 1] == '}' && length < size) {
        snprintf(argument, size, "%.*s", (int)length, text + 1);
    }
}

static fs_status open_branch(struct scanner *scanner, const char *word)
{
    const char *name = strncmp(word, "iffs", 4) == 0 ? word + 4 : NULL;

    if (scanner->depth == DEPTH_MAX) {
        return fs_fail(scanner->error, FS_USAGE, "%s:%d: more than %d \\if within each other", scanner->place,
                       scanner->line, DEPTH_MAX);
    }
    const json_t *value = name ? json_object_get(scanner->switches, name) : NULL;
    if (name) {
        FS_TRY(add_use(scanner, scanner->uses->switches, name));
    }
    scanner->taken[scanner->depth] = !value || json_is_true(value);
    scanner->other[scanner->depth] = !value || !json_is_true(value);
    scanner->depth++;
    return FS_OK;
}

static fs_status end_branch(struct scanner *scanner, const char *word)
{
    if (scanner->depth == 0) {
        return fs_fail(scanner->error, FS_USAGE, "%s:%d: \\%s without an \\if", scanner->place, scanner->line, word);
    }
    if (strcmp(word, "fi") == 0) {
        scanner->depth--;
    } else {
        scanner->taken[scanner->depth - 1] = scanner->other[scanner->depth - 1];
    }
    return FS_OK;
}

/* A control word, the scanner behind it. */
static fs_status take_word(struct scanner *scanner, const char *word)
{
    char argument[256];

    if (strcmp(word, "newif") == 0) {
        scanner->at += *scanner->at == '\\';
        while (isalpha((unsigned char)*scanner->at)) {
            scanner->at++;
        }
        return FS_OK;
    }
    if (strcmp(word, "fs") == 0) {
        read_argument(scanner->at, argument, sizeof(argument));
        return argument[0] && !strchr(argument, '#') ? add_use(scanner, scanner->uses->facts, argument) : FS_OK;
    }
    if (strcmp(word, "else") == 0 || strcmp(word, "fi") == 0) {
        return end_branch(scanner, word);
    }
    return strncmp(word, "if", 2) == 0 && strcmp(word, "iff") != 0 ? open_branch(scanner, word) : FS_OK;
}

/* "{fs-x}" or "{fs-x.dat}". */
static fs_status take_file(const struct scanner *scanner)
{
    char name[256], file[264];

    read_argument(scanner->at, name, sizeof(name));
    if (strncmp(name, "fs-", 3) != 0 || strchr(name, '#') || strcmp(name, "fs-facts") == 0) {
        return FS_OK;
    }
    snprintf(file, sizeof(file), "%s%s", name, strchr(name, '.') ? "" : ".tex");
    return add_use(scanner, scanner->uses->files, file);
}

fs_status fs_latex_scan(const char *place, const char *text, const json_t *switches, struct fs_latex_uses *uses,
                        struct fs_error *error)
{
    struct scanner scanner = {
        .place = place, .at = text, .line = 1, .switches = switches, .uses = uses, .error = error};

    while (*scanner.at) {
        char word[64];
        int length = 0;
        if (*scanner.at == '%') {
            scanner.at += strcspn(scanner.at, "\n");
        } else if (*scanner.at == '\\') {
            while (isalpha((unsigned char)scanner.at[length + 1])) {
                length++;
            }
            snprintf(word, sizeof(word), "%.*s", length, scanner.at + 1);
            /* A control symbol is one character, which is no letter: \% begins no comment. */
            scanner.at += length > 0 ? length + 1 : scanner.at[1] && scanner.at[1] != '\n' ? 2 : 1;
            FS_TRY(take_word(&scanner, word));
        } else {
            FS_TRY(take_file(&scanner));
            scanner.line += *scanner.at++ == '\n';
        }
    }
    return scanner.depth == 0 ? FS_OK : fs_fail(error, FS_USAGE, "%s: an \\if has no \\fi", place);
}
