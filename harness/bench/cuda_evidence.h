/* What has been seen of each operation of the CUDA backend; nothing more is claimed anywhere. */
#ifndef FEWSTEP_CUDA_EVIDENCE_H
#define FEWSTEP_CUDA_EVIDENCE_H

/* NULL: never. */
struct fs_cuda_evidence {
    const char *operation; /* as in kernels/backend.h */
    const char *compiled;  /* for which devices, without a warning or a spilled register: make test-cuda-build */
    const char *on_host;   /* from its own source against the float64 reference: make test-cuda-host */
    const char *vendor;    /* by which of NVIDIA's libraries it was checked without a device */
    const char *on_device; /* on which device, and when: make test-gpu */
};

/* Number `index`, or NULL behind the last. */
const struct fs_cuda_evidence *fs_cuda_evidence(int index);

#endif
