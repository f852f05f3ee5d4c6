/* What evaluate.reference names: the training pictures, other pictures, or statistics that were published. */
#ifndef FEWSTEP_REFERENCE_SOURCE_H
#define FEWSTEP_REFERENCE_SOURCE_H

#include "harness/config/config.h"
#include "harness/data/dataset.h"

#define FS_REFERENCE_TRAIN "train" /* the value of the key, and what scores against the training pictures say */

struct fs_reference_source {
    char name[32];              /* what scores say: "train", "pictures 0123456789ab", "statistics 0123456789ab" */
    struct fs_dataset pictures; /* `source` NULL: they are not at hand, and statistics were kept of them; of published
                                   statistics, sha256 is their file's. sha256 "": they were never decoded */
    const char *statistics;     /* the .npz, the configuration's; NULL: there are pictures */
    bool opened;                /* `pictures` is its own, and not the training data's */
};

/* `train`: the training data, which outlive it. A folder is read as dataset: {kind: image-folder} would, in the size
 * and channels of `picture`, cropped and on the background that `config` says, so that reference and samples are alike;
 * `access` as fs_dataset_open_with has it. FS_USAGE, with file, line and key, for what is neither a folder nor an
 * .npz, for pictures where samples are no pictures or not square, and for metrics that need more of a reference than
 * the mean and covariance that an .npz has. Close it, also after a failure. */
fs_status fs_reference_source_open(const struct fs_config *config, const struct fs_dataset *train,
                                   const struct fs_data_access *access, struct fs_reference_source *source,
                                   struct fs_error *error);
/* What of it can be said without the data: FS_USAGE as above for what is neither, and for such metrics. */
fs_status fs_reference_source_check(const struct fs_config *config, struct fs_error *error);
void fs_reference_source_close(struct fs_reference_source *source);

/* The shape of what samples are: that of the data, or of the pictures that latents stand for. */
struct fs_data_shape fs_picture_shape_of(const struct fs_dataset *data);

#endif
