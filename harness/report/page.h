/* The page: one HTML file that needs no network, made from the database. */
#ifndef FEWSTEP_PAGE_H
#define FEWSTEP_PAGE_H

#include <stdio.h>

#include "harness/store/store.h"

struct fs_page_options {
    const char *const *experiments; /* names, in the order of the page */
    int experiment_count;           /* 0: all that the database holds */
    const char *samples;            /* folder with EXPERIMENT/METHOD-RUN-seedS.png, as `run` leaves it */
    const char *database;           /* its file, as commands in the page should name it */
};

/* Prints the page. What cannot be shown is left out, with a line in the page that says which command would fill it;
 * *notes (owned by the caller, free()) has these lines too. FS_USAGE: an experiment is not in the database, or there is
 * none. A failed write is left to ferror(stream). */
fs_status fs_page_print(struct fs_store *store, const struct fs_page_options *options, FILE *stream, char **notes,
                        struct fs_error *error);

#endif
