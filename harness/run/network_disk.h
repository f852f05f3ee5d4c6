/* Whether what a command writes lies on a disk of another machine. */
#ifndef FEWSTEP_NETWORK_DISK_H
#define FEWSTEP_NETWORK_DISK_H

#include <stdbool.h>
#include <stddef.h>

/* The name of a network file system by the number that statfs(2) has for its kind; NULL for another kind. FUSE is
 * another kind: what lies behind it may be anything. */
const char *fs_network_disk(unsigned long kind);

/* The kind of the file system that a path lies on; 0: it cannot be known. */
unsigned long fs_disk_kind(const char *path);

/* One line where the database, or else the folder of everything, lies on a network file system; false without one.
 * `kind_of` is fs_disk_kind, or a test's. */
bool fs_warn_network_disk(const char *database, const char *out, unsigned long (*kind_of)(const char *path), char *line,
                          size_t size);

#endif
