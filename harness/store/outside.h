/* Whether a score is of a method used outside what it was trained for, as a column. */
#ifndef FEWSTEP_OUTSIDE_H
#define FEWSTEP_OUTSIDE_H

#include <sqlite3.h>
#include <stdint.h>

#include "kernels/base/error.h"

/* Fills scores.outside of the score of this number, or of all (0), from the configurations of their runs. It stays NULL
 * where this build does not know the configuration, and for scores of data. To be called within a transaction. */
fs_status fs_outside_fill(sqlite3 *database, int64_t score, struct fs_error *error);

#endif
