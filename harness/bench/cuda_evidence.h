/* What the tests that ran beside this program have recorded of the CUDA backend; nothing more is claimed anywhere. */
#ifndef FEWSTEP_CUDA_EVIDENCE_H
#define FEWSTEP_CUDA_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>

/* A kind's record is the file evidence/NAME.tsv in the program's folder. Its first line is "source", a tab and the
 * source hash of the tree that was tested; each other one is an operation of kernels/backend.h ("*": all that there
 * are), a tab, and what was seen. */
enum fs_evidence {
    FS_EVIDENCE_COMPILED, /* "compiled": for which devices, without a warning or a spilled register: make
                             test-cuda-build */
    FS_EVIDENCE_HOST,     /* "host": from its own source against the float64 reference: make test-cuda-host */
    FS_EVIDENCE_CUDNN,    /* "cudnn": its graphs were finished by cuDNN, without a device: make test-cuda-build */
    FS_EVIDENCE_DEVICE,   /* "device": against the float64 reference on which device, and when: make test-gpu */
    FS_EVIDENCE_KINDS,
};
const char *fs_evidence_name(enum fs_evidence kind);

/* Line `index` of the list that evidence is about: an operation of the backend, or its updates; NULL behind the last.
 */
const char *fs_evidence_operation(int index);

/* What was recorded of it, as a text of its own that is cut at `size`; false, and "", where nothing was, or only for
 * another source. */
bool fs_evidence(enum fs_evidence kind, const char *operation, char *text, size_t size);

#endif
