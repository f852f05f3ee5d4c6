/* Text in HTML and SVG, escaped. */
#ifndef FEWSTEP_HTML_H
#define FEWSTEP_HTML_H

#include <stdio.h>

/* printf whose texts are escaped for elements and quoted attributes alike: what the format says is markup, what %s puts
 * in is text. Knows %s, %.*s, %d, PRId64, %g, %f, %x and %%, with flags, width and precision. A failed write is found
 * by ferror(). */
void fs_html(FILE *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text alone, the first `length` bytes of it. Bytes that are no UTF-8 and control characters, which HTML forbids,
 * become U+FFFD. */
void fs_html_text(FILE *stream, const char *text, size_t length);

#endif
