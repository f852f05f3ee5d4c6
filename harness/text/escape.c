/* Text from a database or a file, made safe for where it goes. */
#define _GNU_SOURCE /* fopencookie */
#include "harness/text/escape.h"

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

size_t fs_utf8_length(const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;
    const size_t size = length == 0    ? 0
                        : at[0] < 0x80 ? 1
                        : at[0] < 0xc2 ? 0
                        : at[0] < 0xe0 ? 2
                        : at[0] < 0xf0 ? 3
                        : at[0] < 0xf5 ? 4
                                       : 0;
    if (size == 0 || size > length) {
        return 0;
    }
    const unsigned char low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < size; i++) {
        if (at[i] < (i == 1 ? low : 0x80) || at[i] > (i == 1 ? high : 0xbf)) {
            return 0;
        }
    }
    return size;
}

int fs_utf8_characters(const char *text)
{
    int count = 0;
    for (; *text; text++) {
        count += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return count;
}

bool fs_is_control(const char *character, size_t length)
{
    const unsigned char *at = (const unsigned char *)character;
    if (length == 1) {
        return at[0] < 0x20 || at[0] == 0x7f;
    }
    if (length == 2) { /* U+0080 … U+009F; U+061C */
        return (at[0] == 0xc2 && at[1] < 0xa0) || (at[0] == 0xd8 && at[1] == 0x9c);
    }
    if (length != 3 || at[0] != 0xe2) {
        return false;
    }
    return (at[1] == 0x80 && (at[2] == 0x8e || at[2] == 0x8f || (at[2] >= 0xa8 && at[2] <= 0xae))) ||
           (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9); /* U+200E F, U+2028 … 202E; U+2066 … 2069 */
}

/* The next character of `length` bytes, or its replacement: *shown of *size bytes. Bytes that were taken. */
static size_t next_plain(const char *text, size_t length, const char *kept, const char **shown, size_t *size)
{
    const size_t bytes = fs_utf8_length(text, length);
    const bool replaced = bytes == 0 || (fs_is_control(text, bytes) && !(bytes == 1 && *text && strchr(kept, *text)));
    *shown = replaced ? FS_REPLACEMENT : text;
    *size = replaced ? sizeof FS_REPLACEMENT - 1 : bytes;
    return bytes ? bytes : 1;
}

const char *fs_plain_text(const char *text, char *out, size_t size)
{
    size_t length = strlen(text), used = 0;
    while (length > 0) {
        const char *shown;
        size_t bytes;
        const size_t taken = next_plain(text, length, "", &shown, &bytes);
        if (used + bytes >= size) {
            break;
        }
        memcpy(out + used, shown, bytes);
        used += bytes;
        text += taken;
        length -= taken;
    }
    out[used] = '\0';
    return out;
}

static void put_plain(const char *text, size_t length, const char *kept, FILE *stream)
{
    while (length > 0) {
        const char *shown;
        size_t bytes;
        const size_t taken = next_plain(text, length, kept, &shown, &bytes);
        fwrite(shown, 1, bytes, stream);
        text += taken;
        length -= taken;
    }
}

void fs_put_plain(const char *text, FILE *stream)
{
    put_plain(text, strlen(text), "", stream);
}

void fs_put_markdown(const char *text, FILE *stream)
{
    while (*text) {
        const size_t length = strcspn(text, "|<\\`[");
        put_plain(text, length, "", stream);
        text += length;
        if (*text) {
            fprintf(stream, "\\%c", *text);
            text++;
        }
    }
}

/* --- a stream --- */

/* How many bytes at the end of `text` begin a character that is not whole. */
static size_t unfinished(const char *text, size_t length)
{
    for (size_t back = 1; back <= 3 && back <= length; back++) {
        const unsigned char first = (unsigned char)text[length - back];
        if (first >= 0xc2 && first < 0xf5) {
            const size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
            return size > back ? back : 0;
        }
        if (first < 0x80) {
            return 0;
        }
    }
    return 0;
}

static ssize_t filter_write(void *cookie, const char *text, size_t length)
{
    struct fs_plain_filter *filter = cookie;
    char *all = malloc(filter->waiting_count + length);
    if (!all) {
        return 0; /* an error of the stream */
    }
    memcpy(all, filter->waiting, filter->waiting_count);
    memcpy(all + filter->waiting_count, text, length);
    const size_t count = filter->waiting_count + length, rest = unfinished(all, count);
    put_plain(all, count - rest, "\n\t", filter->to);
    memcpy(filter->waiting, all + count - rest, rest);
    filter->waiting_count = rest;
    free(all);
    return fflush(filter->to) == 0 && !ferror(filter->to) ? (ssize_t)length : 0;
}

static int filter_close(void *cookie)
{
    struct fs_plain_filter *filter = cookie;
    put_plain(filter->waiting, filter->waiting_count, "", filter->to);
    return fflush(filter->to);
}

FILE *fs_plain_stream(FILE *to, struct fs_plain_filter *filter)
{
    const cookie_io_functions_t functions = {.write = filter_write, .close = filter_close};
    *filter = (struct fs_plain_filter){.to = to};
    return fopencookie(filter, "w", functions);
}

/* --- formats --- */

static bool is_number(const char *text)
{
    char *end;
    (void)strtod(text, &end);
    return end != text && !*end;
}

void fs_put_csv(const char *text, FILE *stream)
{
    const bool formula = *text && strchr("=+-@\t\r", *text) && !is_number(text);
    const bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    fputs(quoted ? "\"" : "", stream);
    fputs(formula ? "'" : "", stream);
    for (size_t length; *text; text += length) {
        length = *text == '"' ? 1 : strcspn(text, "\"");
        if (*text == '"') {
            fputs("\"\"", stream);
        } else {
            put_plain(text, length, "\n", stream);
        }
    }
    fputs(quoted ? "\"" : "", stream);
}

void fs_put_latex_label(const char *text, FILE *stream)
{
    for (; *text; text++) {
        fputc(strchr(LETTERS ".:-", *text) ? *text : '-', stream);
    }
}

void fs_put_shell(const char *text, FILE *stream)
{
    if (*text && !text[strspn(text, LETTERS "_./:=,+@%-")]) {
        fputs(text, stream);
        return;
    }
    fputc('\'', stream);
    for (; *text; text++) {
        if (*text == '\'') {
            fputs("'\\''", stream);
        } else {
            fputc(*text, stream);
        }
    }
    fputc('\'', stream);
}

bool fs_is_file_name(const char *name)
{
    return *name && strchr(LETTERS, *name) && !name[strspn(name, LETTERS "._-")];
}

const char *fs_file_name(const char *text, char *out, size_t size)
{
    size_t used = 0;
    for (; *text && used + 1 < size; text++, used++) {
        out[used] = strchr(used ? LETTERS "._-" : LETTERS, *text) ? *text : '_';
    }
    if (used == 0) {
        out[used++] = '_';
    }
    out[used] = '\0';
    return out;
}
