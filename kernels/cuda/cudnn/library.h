/* cuDNN's library, opened when a backend starts and not when it is loaded: a machine without it has our own paths. */
#ifndef FEWSTEP_CUDNN_LIBRARY_H
#define FEWSTEP_CUDNN_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

/* Whether it is here, with all calls that we make; else why not. Before that nothing of cuDNN's may be called. It stays
 * open until the process ends. */
bool fs_cudnn_open(char *reason, size_t size);

#endif
