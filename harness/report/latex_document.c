/* Queries into macros, tables and figures of a LaTeX document, held against what its text uses. */
#include "harness/report/latex_document.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report/latex_uses.h"
#include "harness/report/sql_functions.h"
#include "harness/results/tables.h"
#include "harness/store/query.h"
#include "kernels/base/file.h"
#include "kernels/base/memory.h"

#define FILE_LIMIT (1 << 22) /* bytes of a text or a query */
#define STUDIES_MAX 32

/* What the queries have made so far. */
struct made {
    const struct fs_latex_document *document;
    sqlite3 *database;
    json_t *facts, *switches, *files; /* name to LaTeX, to a boolean, to the whole text */
    json_t *makers;                   /* the name of each to the query that made it */
    json_t *asked;                    /* the document's values that a query took */
    char *notes;
    struct fs_results_study studies[STUDIES_MAX]; /* texts owned */
    int study_count;
    struct fs_error *error;
};

/* A file of queries that is being asked. */
struct query_file {
    struct made *made;
    const char *path;
    char name[256];     /* "scores" of paper/scores.sql */
    FILE *latex, *data; /* of its fs-NAME.tex and fs-NAME.dat, once there is a row */
    char *texts[2];     /* behind those */
    size_t sizes[2];
    bool names_studies;
};

/* --- the rows of a query --- */

static bool has_columns(sqlite3_stmt *query, const char *const *names)
{
    int count = 0;

    for (; names[count]; count++) {
        if (count >= sqlite3_column_count(query) || strcmp(sqlite3_column_name(query, count), names[count]) != 0) {
            return false;
        }
    }
    return count == sqlite3_column_count(query);
}

static fs_status no_memory(const struct query_file *file)
{
    return fs_fail(file->made->error, FS_FAILED, "%s: no memory for its answers", file->path);
}

/* Something made, once. */
static fs_status set_made(const struct query_file *file, json_t *into, const char *name, json_t *value)
{
    json_t *makers = file->made->makers;

    if (json_object_get(into, name)) {
        json_decref(value);
        return fs_fail(file->made->error, FS_USAGE, "%s: %s has been made already, by %s", file->path, name,
                       json_string_value(json_object_get(makers, name)));
    }
    return json_object_set_new_nocheck(into, name, value) == 0 &&
                   json_object_set_new_nocheck(makers, name, json_string_nocheck(file->path)) == 0
               ? FS_OK
               : no_memory(file);
}

static fs_status take_fact(const struct query_file *file, sqlite3_stmt *row)
{
    const char *name = fs_query_text(row, 0);

    if (strpbrk(name, "\\{}%#&$^~ \n") || !*name) {
        return fs_fail(file->made->error, FS_USAGE, "%s: '%s' is no name of a fact: LaTeX could not read it",
                       file->path, name);
    }
    return sqlite3_column_type(row, 1) == SQLITE_NULL
               ? FS_OK
               : set_made(file, file->made->facts, name, json_string_nocheck(fs_query_text(row, 1)));
}

static fs_status take_switch(const struct query_file *file, sqlite3_stmt *row)
{
    const char *name = fs_query_text(row, 0);

    if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyz") != strlen(name)) {
        return fs_fail(file->made->error, FS_USAGE, "%s: '%s' is no name of a switch: small letters alone", file->path,
                       name);
    }
    return set_made(file, file->made->switches, name, json_boolean(sqlite3_column_int(row, 1)));
}

static fs_status take_note(const struct query_file *file, sqlite3_stmt *row)
{
    char *longer = fs_format(file->made->error, "%s%s\n", file->made->notes, fs_query_text(row, 0));

    if (longer) {
        free(file->made->notes);
        file->made->notes = longer;
    }
    return longer ? FS_OK : FS_FAILED;
}

static fs_status take_latex(struct query_file *file, sqlite3_stmt *row)
{
    file->latex = file->latex ? file->latex : open_memstream(&file->texts[0], &file->sizes[0]);
    if (!file->latex) {
        return no_memory(file);
    }
    fprintf(file->latex, "%s\n", fs_query_text(row, 0));
    return FS_OK;
}

static fs_status take_data(struct query_file *file, sqlite3_stmt *row)
{
    const int columns = sqlite3_column_count(row);
    const bool begins = !file->data;

    file->data = file->data ? file->data : open_memstream(&file->texts[1], &file->sizes[1]);
    if (!file->data) {
        return no_memory(file);
    }
    for (int i = 0; begins && i < columns; i++) {
        fprintf(file->data, "%s%s", sqlite3_column_name(row, i), i + 1 < columns ? " " : "\n");
    }
    for (int i = 0; i < columns; i++) {
        fprintf(file->data, "%s%s", fs_query_text(row, i), i + 1 < columns ? " " : "\n");
    }
    return FS_OK;
}

static fs_status take_study(const struct query_file *file, sqlite3_stmt *row)
{
    struct made *made = file->made;
    struct fs_results_study *study = &made->studies[made->study_count];

    if (made->study_count == STUDIES_MAX) {
        return fs_fail(made->error, FS_USAGE, "%s: more than %d studies", file->path, STUDIES_MAX);
    }
    made->study_count++;
    study->name = fs_copy_text(fs_query_text(row, 0), made->error);
    study->experiment = fs_copy_text(fs_query_text(row, 1), made->error);
    study->stable = sqlite3_column_int(row, 2);
    return study->name && study->experiment ? FS_OK : FS_FAILED;
}

static fs_status take_row(struct query_file *file, sqlite3_stmt *row)
{
    static const char *const fact[] = {"fact", "value", NULL}, *const flag[] = {"switch", "value", NULL},
                             *const latex[] = {"latex", NULL}, *const note[] = {"note", NULL},
                             *const study[] = {"study", "experiment", "stable", NULL};

    if (file->names_studies) {
        return has_columns(row, study) ? take_study(file, row)
                                       : fs_fail(file->made->error, FS_USAGE,
                                                 "%s: its columns have to be study, experiment, stable", file->path);
    }
    return has_columns(row, fact)    ? take_fact(file, row)
           : has_columns(row, flag)  ? take_switch(file, row)
           : has_columns(row, latex) ? take_latex(file, row)
           : has_columns(row, note)  ? take_note(file, row)
                                     : take_data(file, row);
}

/* --- asking --- */

static fs_status fail_in(const struct query_file *file, const char *from, const char *statement)
{
    int line = 1;

    for (const char *at = from; at < statement; at++) {
        line += *at == '\n';
    }
    return fs_fail(file->made->error, FS_USAGE, "%s: in the statement of line %d: %s", file->path, line,
                   sqlite3_errmsg(file->made->database));
}

/* given(NAME): a value of the document; NULL where it has none of that name. */
static void call_given(sqlite3_context *call, int count, sqlite3_value **values)
{
    const struct made *made = sqlite3_user_data(call);
    const char *name = (const char *)sqlite3_value_text(values[0]);

    (void)count;
    for (int i = 0; name && i < made->document->value_count; i++) {
        const struct fs_latex_given *value = &made->document->values[i];
        if (strcmp(name, value->name) == 0) {
            json_object_set_new(made->asked, name, json_true());
            sqlite3_result_text(call, value->text, -1, SQLITE_TRANSIENT);
        }
    }
}

static fs_status ask_statement(struct query_file *file, sqlite3_stmt *query)
{
    bool row;

    FS_TRY(fs_query_next(query, &row, file->made->error));
    while (row) {
        FS_TRY(take_row(file, query));
        FS_TRY(fs_query_next(query, &row, file->made->error));
    }
    return FS_OK;
}

static fs_status ask_all(struct query_file *file, const char *sql)
{
    for (const char *at = sql + strspn(sql, " \n"), *next; *at; at = next + strspn(next, " \n")) {
        sqlite3_stmt *query;
        if (sqlite3_prepare_v2(file->made->database, at, -1, &query, &next) != SQLITE_OK) {
            return fail_in(file, sql, at);
        }
        if (!query) { /* only a comment was left */
            break;
        }
        const fs_status status = ask_statement(file, query);
        const bool refused = sqlite3_errcode(file->made->database) == SQLITE_ERROR;
        sqlite3_finalize(query);
        if (status != FS_OK) {
            return refused ? fail_in(file, sql, at) : status;
        }
    }
    return FS_OK;
}

/* Keeps what a file of queries has written for its fs-NAME.tex or .dat. */
static fs_status keep_text(struct query_file *file, FILE *stream, int which)
{
    static const char *const endings[] = {"tex", "dat"};
    char name[300];

    if (!stream) {
        return FS_OK;
    }
    const bool failed = fclose(stream) != 0;
    snprintf(name, sizeof(name), "fs-%s.%s", file->name, endings[which]);
    const fs_status status =
        failed ? no_memory(file) : set_made(file, file->made->files, name, json_string_nocheck(file->texts[which]));
    free(file->texts[which]);
    return status;
}

static fs_status ask_file(struct made *made, const char *path, bool names_studies)
{
    struct query_file file = {.made = made, .path = path, .names_studies = names_studies};
    const char *slash = strrchr(path, '/');
    char *sql;
    size_t size;

    snprintf(file.name, sizeof(file.name), "%s", slash ? slash + 1 : path);
    file.name[strcspn(file.name, ".")] = 0;
    FS_TRY(fs_file_read(path, FILE_LIMIT, &sql, &size, made->error));
    const fs_status asked = ask_all(&file, sql);
    free(sql);
    const fs_status latex = keep_text(&file, file.latex, 0), data = keep_text(&file, file.data, 1);
    return asked != FS_OK ? asked : latex != FS_OK ? latex : data;
}

/* --- the folder --- */

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), its = strlen(end);

    return length > its && strcmp(text + length - its, end) == 0;
}

static int is_query(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && ends_with(entry->d_name, ".sql");
}

static int is_text(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && ends_with(entry->d_name, ".tex");
}

/* Calls `visit` with the path of each file of the folder that `wanted` lets through, by name. */
static fs_status visit_folder(struct made *made, int (*wanted)(const struct dirent *), void *context,
                              fs_status (*visit)(struct made *, const char *path, void *context))
{
    struct dirent **entries = NULL;
    const int count = scandir(made->document->folder, &entries, wanted, alphasort);
    fs_status status = count < 0 ? fs_fail(made->error, FS_USAGE, "%s: no folder with the text and its queries",
                                           made->document->folder)
                                 : FS_OK;

    for (int i = 0; i < count; i++) {
        char *path =
            status == FS_OK ? fs_format(made->error, "%s/%s", made->document->folder, entries[i]->d_name) : NULL;
        status = status == FS_OK && !path ? FS_FAILED : status;
        status = status == FS_OK ? visit(made, path, context) : status;
        free(path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static fs_status visit_query(struct made *made, const char *path, void *context)
{
    (void)context;
    return ends_with(path, "/definitions.sql") || ends_with(path, "/studies.sql") ? FS_OK : ask_file(made, path, false);
}

static fs_status visit_text(struct made *made, const char *path, void *context)
{
    char *text;
    size_t size;

    FS_TRY(fs_file_read(path, FILE_LIMIT, &text, &size, made->error));
    const fs_status status = fs_latex_scan(path, text, made->switches, context, made->error);
    free(text);
    return status;
}

static fs_status ask_first(struct made *made, const char *name, bool names_studies)
{
    char *path = fs_format(made->error, "%s/%s", made->document->folder, name);
    const fs_status status = path ? ask_file(made, path, names_studies) : FS_FAILED;

    free(path);
    return status;
}

static fs_status ask_queries(struct made *made, struct fs_store *store)
{
    FS_TRY(fs_sql_functions(store, made->error));
    if (sqlite3_create_function(made->database, "given", 1, SQLITE_UTF8, made, call_given, NULL, NULL) != SQLITE_OK) {
        return fs_query_fail(made->database, made->error);
    }
    FS_TRY(ask_first(made, "studies.sql", true));
    FS_TRY(fs_results_tables(store, made->studies, made->study_count, made->document->published, made->error));
    FS_TRY(ask_first(made, "definitions.sql", false));
    FS_TRY(visit_folder(made, is_query, NULL, visit_query));
    for (int i = 0; i < made->document->value_count; i++) {
        const struct fs_latex_given *value = &made->document->values[i];
        if (value->needed && !json_object_get(made->asked, value->name)) {
            return fs_fail(made->error, FS_USAGE, "%s: no query of %s asks for given('%s')", value->name,
                           made->document->folder, value->name);
        }
    }
    return FS_OK;
}

/* --- what is made against what is used --- */

#define NAMED_MAX 8

/* Adds "; WHAT (WHERE), …" of the names of `all` that are not in `others`; where null, a name does not count. */
static fs_status add_difference(char **list, const char *what, const json_t *all, const json_t *others,
                                const json_t *places, struct fs_error *error)
{
    const char *name;
    const json_t *value;
    int count = 0;

    json_object_foreach((json_t *)all, name, value)
    {
        if (json_is_null(value) || json_object_get(others, name)) {
            continue;
        }
        if (count++ < NAMED_MAX) {
            char *longer = fs_format(error, "%s%s%s%s (%s)", *list,
                                     count > 1  ? ", "
                                     : *list[0] ? "; "
                                                : "",
                                     count > 1 ? "" : what, name, json_string_value(json_object_get(places, name)));
            if (!longer) {
                return FS_FAILED;
            }
            free(*list);
            *list = longer;
        }
    }
    if (count > NAMED_MAX) {
        char *longer = fs_format(error, "%s and %d more", *list, count - NAMED_MAX);
        if (!longer) {
            return FS_FAILED;
        }
        free(*list);
        *list = longer;
    }
    return FS_OK;
}

static fs_status compare_names(const struct made *made, const struct fs_latex_uses *uses)
{
    struct fs_error *error = made->error;
    char *list = fs_copy_text("", error);
    fs_status status = list ? FS_OK : FS_FAILED;
    const struct {
        const char *missed, *unused;
        const json_t *used, *made;
    } kinds[] = {
        {"no query makes the fact ", "no text uses the fact ", uses->facts, made->facts},
        {"no query makes the switch ", "no text uses the switch ", uses->switches, made->switches},
        {"no query makes the file ", "no text uses the file ", uses->files, made->files},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && status == FS_OK; i++) {
        status = add_difference(&list, kinds[i].missed, kinds[i].used, kinds[i].made, kinds[i].used, error);
        if (status == FS_OK) {
            status = add_difference(&list, kinds[i].unused, kinds[i].made, kinds[i].used, made->makers, error);
        }
    }
    if (status == FS_OK && list[0]) {
        status = fs_fail(error, FS_USAGE, "%s", list);
    }
    free(list);
    return status;
}

static fs_status check_uses(struct made *made)
{
    struct fs_latex_uses uses = {json_object(), json_object(), json_object()};
    const char *name;
    json_t *text;

    fs_status status = visit_folder(made, is_text, &uses, visit_text);
    json_object_foreach(made->files, name, text)
    {
        if (status == FS_OK && ends_with(name, ".tex")) {
            status = fs_latex_scan(name, json_string_value(text), made->switches, &uses, made->error);
        }
    }
    status = status == FS_OK ? compare_names(made, &uses) : status;
    json_decref(uses.facts);
    json_decref(uses.switches);
    json_decref(uses.files);
    return status;
}

/* --- files --- */

#define HEADING "% Made by `fewstep paper`; change the database or the queries, not this file.\n"

static void print_facts(const struct made *made, FILE *stream)
{
    const char *name;
    json_t *value;

    json_object_foreach(made->facts, name, value)
    {
        fprintf(stream, "\\fsset{%s}{%s}\n", name, json_string_value(value));
    }
    json_object_foreach(made->switches, name, value)
    {
        fprintf(stream, "\\fs%s%s\n", name, json_is_true(value) ? "true" : "false");
    }
}

/* `text` NULL: the facts. */
static fs_status write_file(const struct made *made, const char *name, const char *text)
{
    struct fs_new_file file;
    char *path = fs_format(made->error, "%s/%s", made->document->output, name);
    const fs_status status = path ? fs_new_file_open(&file, path, made->error) : FS_FAILED;

    free(path);
    FS_TRY(status);
    fputs(ends_with(name, ".tex") ? HEADING : "", file.stream);
    if (text) {
        fputs(text, file.stream);
    } else {
        print_facts(made, file.stream);
    }
    return fs_new_file_commit(&file, made->error);
}

static fs_status write_files(const struct made *made)
{
    const char *name;
    json_t *text;

    FS_TRY(fs_make_folder(made->document->output, made->error));
    json_object_foreach(made->files, name, text)
    {
        FS_TRY(write_file(made, name, json_string_value(text)));
    }
    return write_file(made, "fs-facts.tex", NULL);
}

fs_status fs_latex_document_write(struct fs_store *store, const struct fs_latex_document *document, char **notes,
                                  struct fs_error *error)
{
    struct made made = {.document = document,
                        .database = fs_store_handle(store),
                        .facts = json_object(),
                        .switches = json_object(),
                        .files = json_object(),
                        .makers = json_object(),
                        .asked = json_object(),
                        .notes = fs_copy_text("", error),
                        .error = error};

    fs_status status = made.notes ? ask_queries(&made, store) : FS_FAILED;
    status = status == FS_OK ? check_uses(&made) : status;
    status = status == FS_OK ? write_files(&made) : status;
    for (int i = 0; i < made.study_count; i++) {
        free((char *)made.studies[i].name);
        free((char *)made.studies[i].experiment);
    }
    json_decref(made.facts);
    json_decref(made.switches);
    json_decref(made.files);
    json_decref(made.makers);
    json_decref(made.asked);
    *notes = made.notes;
    return status;
}
