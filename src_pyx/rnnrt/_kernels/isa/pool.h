/* Threads for kernels. A kernel hands rn_parallel a function and how many threads it is worth; all of them run it,
 * the caller as thread 0, and rn_parallel returns when each is done. Inside, rn_barrier keeps them in step. */
#ifndef RN_POOL_H
#define RN_POOL_H

#include <stdint.h>

typedef struct {
    int32_t arrived;    /* threads at the barrier */
    int32_t generation; /* how often it has opened */
    int32_t n_threads;
    char apart[52]; /* a cache line of its own */
} rn_barrier_state;

typedef void (*rn_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier);

/* Run task on up to n_threads threads; fewer when the pool is smaller, serves another caller, or the processor has
 * fewer. Results must not depend on how many: each output is computed by one thread in one order. */
void rn_parallel(rn_task task, void *argument, int n_threads);

/* How many threads rn_parallel may use at most when this thread calls it; 1 until it is set. */
int rn_thread_limit(void);
void rn_set_thread_limit(int limit);

void rn_barrier(rn_barrier_state *barrier);

#endif
