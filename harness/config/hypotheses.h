/* What an experiment expects, named in its file before anything runs: "shortcut < flow-matching at 4". */
#ifndef FEWSTEP_HYPOTHESES_H
#define FEWSTEP_HYPOTHESES_H

#include <stdint.h>

#include "harness/config/yaml.h"
#include "methods/method.h"

#define FS_HYPOTHESES_MAX 16

/* One method's score is below another's at a number of steps; by the first metric of the experiment. */
struct fs_hypothesis {
    const struct fs_method *lower, *higher;
    int64_t steps;
};

struct fs_hypotheses {
    struct fs_hypothesis list[FS_HYPOTHESES_MAX];
    int count;
};

/* Those of the list at `node`; NULL: none. FS_USAGE with file, line and key. */
fs_status fs_hypotheses_read(const struct fs_node *node, struct fs_hypotheses *hypotheses, struct fs_error *error);

/* Those of an experiment's text, whatever else stands there; none where it cannot be read, as one of another version.
 */
void fs_hypotheses_of_text(const char *text, struct fs_hypotheses *hypotheses);

/* The place of `hypothesis` in the list; −1: it is not there. */
int fs_hypotheses_find(const struct fs_hypotheses *hypotheses, const struct fs_hypothesis *hypothesis);

#endif
