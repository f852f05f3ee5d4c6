/* Revisions, as git understands them in the current folder's repository. */
#ifndef FEWSTEP_GIT_H
#define FEWSTEP_GIT_H

#include "kernels/base/file.h"

#define FS_COMMIT_TEXT 65 /* a commit's hash in hexadecimal, SHA-1 or SHA-256, with its terminator */

/* The commit that a revision names. FS_USAGE when there is none, or no repository here. */
fs_status fs_git_commit(const char *revision, char commit[FS_COMMIT_TEXT], struct fs_error *error);

/* The source hash that a clean build of the commit embeds (harness/build_info.sh), from the repository's objects. The
 * folders and endings that count are this build's; a commit of a time with other ones gets another hash than its own
 * builds did. */
fs_status fs_git_source_hash(const char *commit, char source_hash[65], struct fs_error *error);

/* The first folder of the repository. */
fs_status fs_git_top(char path[FS_PATH_ROOM], struct fs_error *error);

#endif
