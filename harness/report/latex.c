/* Text in LaTeX, escaped. */
#include "harness/report/latex.h"

#include <math.h>
#include <string.h>

#include "harness/text/number.h"

static const char *escape_of(char character)
{
    switch (character) {
    case '\\':
        return "\\textbackslash{}";
    case '~':
        return "\\textasciitilde{}";
    case '^':
        return "\\textasciicircum{}";
    case '<':
        return "\\textless{}";
    case '>':
        return "\\textgreater{}";
    case '|':
        return "\\textbar{}";
    case '"':
        return "\\textquotedbl{}";
    case '\'':
        return "\\textquotesingle{}";
    case '`':
        return "\\textasciigrave{}";
    case '{':
        return "\\{";
    case '}':
        return "\\}";
    case '$':
        return "\\$";
    case '&':
        return "\\&";
    case '%':
        return "\\%";
    case '#':
        return "\\#";
    case '_':
        return "\\_";
    default:
        return NULL;
    }
}

/* The code point at `text` and its length; 0 where there is no UTF-8. */
static unsigned code_point(const unsigned char *text, size_t *length)
{
    const size_t size = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    unsigned code = size == 1 ? text[0] : text[0] & (0x7fu >> size);

    *length = 1;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (text[i] & 0x3fu);
    }
    *length = size ? size : 1;
    return size && text[0] < 0xf5 ? code : 0;
}

/* What \usepackage[utf8]{inputenc} with T1 fonts knows for certain. */
static int is_known(unsigned code)
{
    return (code >= 0xa0 && code <= 0xff && code != 0xad) ||
           (code >= 0x2013 && code <= 0x201e && code != 0x2015 && code != 0x2016 && code != 0x2017 && code != 0x201b);
}

/* Signs that labels and messages use, and that LaTeX has in formulas only. */
static const char *name_of(unsigned code)
{
    switch (code) {
    case 0x3b1:
        return "$\\alpha$";
    case 0x2192:
        return "$\\to$";
    case 0x2212:
        return "$-$";
    case 0x221e:
        return "$\\infty$";
    case 0x2264:
        return "$\\le$";
    case 0x2265:
        return "$\\ge$";
    default:
        return NULL;
    }
}

void fs_latex(FILE *stream, const char *text)
{
    while (*text) {
        const char *escape = text[0] == '-' && text[1] == '-' ? "{-}" : escape_of(*text); /* two would be a dash */
        size_t length;
        const unsigned code = code_point((const unsigned char *)text, &length);
        if (escape) {
            fputs(escape, stream);
        } else if (code >= 0x20 && (code < 0x7f || is_known(code))) {
            fwrite(text, 1, length, stream);
        } else if (name_of(code)) {
            fputs(name_of(code), stream);
        } else if (code < 0x20 || code == 0x7f) {
            fputs(code == 0 ? "?" : " ", stream);
        } else {
            fprintf(stream, "[U+%04X]", code);
        }
        text += length;
    }
}

void fs_latex_cell(FILE *stream, double mean, double error, int outside, const char *mark, int seeds)
{
    char value[FS_NUMBER_TEXT], deviation[FS_NUMBER_TEXT];

    fs_three_digits(mean, value);
    fprintf(stream, outside ? "(" : "");
    fprintf(stream, *mark ? "%s{%s}" : "%s%s", mark, value);
    if (isfinite(error)) {
        const char *point = strchr(value, '.');
        int decimals = point ? (int)strlen(point + 1) : 0;
        do { /* a tiny one needs more */
            snprintf(deviation, sizeof(deviation), "%.*f", decimals++, error);
        } while (error > 0 && decimals < 10 && strspn(deviation, "0.") == strlen(deviation));
        if (strchr(value, 'e') || (error > 0 && strspn(deviation, "0.") == strlen(deviation))) {
            fs_three_digits(error, deviation);
        }
        fprintf(stream, "{\\scriptsize\\,$\\pm$\\,%s}", deviation);
    }
    if (outside || seeds > 0) {
        char count[24] = "";
        if (seeds > 0) {
            snprintf(count, sizeof(count), "$^{(%d)}$", seeds);
        }
        fprintf(stream, "\\rlap{%s%s}", outside ? ")" : "", count);
    }
}
