/* What this build was made from; written by build_info.sh. */
#ifndef FEWSTEP_BUILD_INFO_H
#define FEWSTEP_BUILD_INFO_H

#include <stdbool.h>

struct fs_build_info {
    const char *version;     /* "0.9.0", of CITATION.cff */
    const char *source_hash; /* SHA-256 over everything that can change a number */
    const char *commit;      /* "" outside git */
    bool dirty;              /* the tree had changes that were not committed */
    const char *compiler, *flags;
    const char *number_folders, *number_endings; /* which files the source hash is over: "kernels …", "c h …" */
};
extern const struct fs_build_info fs_build_info;

#endif
