/* Text in LaTeX, escaped. */
#ifndef FEWSTEP_LATEX_H
#define FEWSTEP_LATEX_H

#include <stdio.h>

/* The text as LaTeX (UTF-8 input, T1 fonts) sets it: what has a meaning there is escaped. Letters and signs of Latin-1,
 * dashes, quotation marks and a few signs (∞, ≤, →) stay; of anything else the code point is printed ("[U+4E2D]"),
 * control characters become spaces. A failed write is found by ferror(). */
void fs_latex(FILE *stream, const char *text);

/* The mean of a cell with as many decimals for its standard error (NAN: none): "52.0{\scriptsize\,$\pm$\,1.2}". `mark`
 * is a command for the mean, such as "\textbf"; "" for none. In parentheses where `outside`, with the number of its
 * seeds raised behind it; 0: as many as the caption says. */
void fs_latex_cell(FILE *stream, double mean, double error, int outside, const char *mark, int seeds);

#endif
