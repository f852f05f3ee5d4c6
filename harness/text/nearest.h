/* What was probably meant by a word that is none of those there are. */
#ifndef FEWSTEP_NEAREST_H
#define FEWSTEP_NEAREST_H

/* Levenshtein's distance, where two neighbouring letters that changed places count once (Damerau). Texts of more than
 * FS_WORD_MAX bytes are as far as can be: INT_MAX. */
#define FS_WORD_MAX 127
int fs_edit_distance(const char *a, const char *b);

/* A search for the nearest name: at most two edits away, and less than half of the word's letters; the first of equals.
 */
struct fs_nearest {
    const char *word;
    const char *name; /* NULL: nothing is near */
    int distance;
};
void fs_nearest_try(struct fs_nearest *nearest, const char *name);

#endif
