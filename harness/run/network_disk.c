/* Whether what a command writes lies on a disk of another machine. */
#include "harness/run/network_disk.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/vfs.h>

const char *fs_network_disk(unsigned long kind)
{
    static const struct {
        uint32_t kind;
        const char *name;
    } kinds[] = {{0x6969, "NFS"},        {0x517b, "SMB"},      {0xff534d42, "CIFS"},   {0xfe534d42, "SMB"},
                 {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}, {0x19830326, "BeeGFS"}, {0x00c36400, "Ceph"},
                 {0x5346414f, "AFS"},    {0x01021997, "9P"},   {0x7461636f, "OCFS2"},  {0x01161970, "GFS2"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if ((uint32_t)kind == kinds[i].kind) { /* where the field is a signed int, its sign is in the upper half */
            return kinds[i].name;
        }
    }
    return NULL;
}

unsigned long fs_disk_kind(const char *path)
{
    struct statfs disk;
    return statfs(path, &disk) == 0 ? (unsigned long)disk.f_type : 0;
}

bool fs_warn_network_disk(const char *database, const char *out, unsigned long (*kind_of)(const char *path), char *line,
                          size_t size)
{
    const char *of_database = fs_network_disk(kind_of(database)), *of_out = fs_network_disk(kind_of(out));
    if (of_database) {
        snprintf(
            line, size,
            "the database %s lies on a network file system (%s), whose locks may not hold: several processes with one "
            "database there can lose data; give each its own on a local disk (--db) and join them with merge",
            database, of_database);
    } else if (of_out) {
        snprintf(line, size,
                 "%s lies on a network file system (%s), whose locks may not hold: no two processes may train the same "
                 "run there at once",
                 out, of_out);
    }
    return of_database || of_out;
}
