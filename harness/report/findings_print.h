/* Sentences below a table. */
#ifndef FEWSTEP_FINDINGS_PRINT_H
#define FEWSTEP_FINDINGS_PRINT_H

#include <stdio.h>

#include "harness/store/store.h"

/* What the experiment's main table says of flow matching and the other methods at 1 and at 4 steps, a paragraph each,
 * with the intervals behind it; nothing where it has no flow matching beside others. */
fs_status fs_findings_print(struct fs_store *store, const char *experiment, FILE *stream, struct fs_error *error);

#endif
