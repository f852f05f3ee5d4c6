/* A run and what came out when it was made again, for people and as JSON. */
#ifndef FEWSTEP_REPRODUCTION_PRINT_H
#define FEWSTEP_REPRODUCTION_PRINT_H

#include <stdio.h>

#include "harness/results/reproduction.h"

/* The scores as text or as a JSON object a line, then the verdict. */
fs_status fs_reproduction_print(const struct fs_reproduction *reproduction, bool json, FILE *stream,
                                struct fs_error *error);

#endif
