/* Threads beside the main one. */
#ifndef FEWSTEP_THREAD_H
#define FEWSTEP_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Starts a thread that no signal is delivered to: they are the main thread's, and interrupt no read or write here.
 * False where there is no thread to be had. To be joined. */
bool fs_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

#endif
