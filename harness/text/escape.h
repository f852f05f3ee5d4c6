/* Text from a database or a file, made safe for where it goes. HTML and LaTeX have theirs in harness/report/. */
#ifndef FEWSTEP_ESCAPE_H
#define FEWSTEP_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define FS_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, in place of what must not be shown */

/* Bytes of the UTF-8 character at `text` (Unicode 15, table 3-7) of `length` bytes; 0 when there is none. */
size_t fs_utf8_length(const char *text, size_t length);
/* Characters of UTF-8, not bytes: what columns of text are padded by. */
int fs_utf8_characters(const char *text);
/* Whether the character of `length` bytes acts on a terminal or on the order of what is read instead of being seen:
 * C0 and C1 controls, DEL, marks of direction, line and paragraph separators. */
bool fs_is_control(const char *character, size_t length);

/* One line of plain text: controls, newlines among them, and what is no UTF-8 become U+FFFD. `out` [size] always ends
 * with 0 and never within a character. Returns `out`. */
const char *fs_plain_text(const char *text, char *out, size_t size);
/* The same, to a stream. */
void fs_put_plain(const char *text, FILE *stream);

/* The same for Markdown: what would begin HTML or end a table's cell is escaped as well. Marks of emphasis are left. */
void fs_put_markdown(const char *text, FILE *stream);

/* A stream that does this to all that is written to it but newlines and tabs, and passes it on to `to`, which stays the
 * caller's. What it keeps between writes is in `filter`, the caller's for as long as the stream is open. NULL where
 * there is no memory. */
struct fs_plain_filter {
    FILE *to;
    char waiting[4]; /* a character may come in two writes: its first bytes */
    size_t waiting_count;
};
FILE *fs_plain_stream(FILE *to, struct fs_plain_filter *filter);

/* One field of comma-separated values (RFC 4180), quoted only where it must be. A text that a spreadsheet would take
 * for a formula (= + - @ first, and no number) gets an apostrophe before it. Controls but newlines become U+FFFD. */
void fs_put_csv(const char *text, FILE *stream);

/* What stands between the braces of \label: other characters than letters, digits and .:- become '-'. */
void fs_put_latex_label(const char *text, FILE *stream);

/* One word for a POSIX shell: quoted where anything but letters, digits and _./:=,+@%- stands in it. */
void fs_put_shell(const char *text, FILE *stream);

/* Whether a name stays within its folder, and is no option: letters, digits, '.', '_' and '-', a letter or digit
 * first. */
bool fs_is_file_name(const char *name);
/* The nearest such name: other characters become '_'. `out` [size] is never empty. Returns `out`. */
const char *fs_file_name(const char *text, char *out, size_t size);

#endif
