/* A LaTeX document whose numbers are answers of queries: a folder with *.tex, and beside them *.sql over the database
 * and over the results (harness/results/tables.h). What a query's answer becomes follows from its columns:
 *   fact, value     macros: \fsset{FACT}{VALUE} in fs-facts.tex, printed in the text by \fs{FACT}
 *   switch, value   \fsSWITCHtrue or \fsSWITCHfalse, also there; the text asks \iffsSWITCH
 *   latex           lines of fs-NAME.tex, for NAME.sql: the body of a table, a figure
 *   note            a line for whoever runs the command
 *   anything else   fs-NAME.dat: the data of a figure, its columns' names in the first line
 * A value that is NULL is not made, nor is a file without rows. Values and lines are LaTeX as they are: latex() and its
 * like (sql_functions.h) escape. A file holds any number of statements; given('X') in them is the document's value X,
 * or NULL. studies.sql comes first and says what the tables of the results are of (study, experiment, stable: struct
 * fs_results_study), then definitions.sql with views that the others share, then the others by their names. */
#ifndef FEWSTEP_LATEX_DOCUMENT_H
#define FEWSTEP_LATEX_DOCUMENT_H

#include "harness/results/results.h"

struct fs_latex_given {
    const char *name, *text; /* "main" for given('main') */
    bool needed;             /* a mistake when no query asks for it */
};

struct fs_latex_document {
    const char *folder;                 /* with its text and its queries */
    const char *output;                 /* where the files go; made */
    const struct fs_results *published; /* published.h; NULL: none */
    const struct fs_latex_given *values;
    int value_count;
};

/* Asks the queries, and writes their files unless a macro, switch or file is made that the text does not use, or is
 * used and not made: FS_USAGE names them. The text is read with its switches, so what stands in a branch that is not
 * taken need not be there. *notes (owned by the caller, free()): lines. Leaves the temporary tables in the store. */
fs_status fs_latex_document_write(struct fs_store *store, const struct fs_latex_document *document, char **notes,
                                  struct fs_error *error);

#endif
