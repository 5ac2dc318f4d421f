/* Threads for kernels. A kernel hands rn_parallel a function and how many threads it is worth; all of them run it,
 * the caller as thread 0, and rn_parallel returns when each is done. Inside, rn_barrier keeps them in step. */
#ifndef RN_POOL_H
#define RN_POOL_H

#include <stdint.h>

#define RN_MAX_THREADS 64

/* Each thread writes a line of its own and reads the others'. */
typedef struct {
    struct {
        uint32_t arrivals;
        int32_t cpu; /* where the thread was when it last arrived */
        char apart[56];
    } of[RN_MAX_THREADS];
    int n_threads;
} rn_barrier_state;

typedef void (*rn_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier);

/* Run task on up to n_threads threads; fewer when the pool is smaller or serves another caller. Short work, which would
 * be done before a sleeping thread is awake, gets only threads that are awake. Results must not depend on how many:
 * each output is computed by one thread in one order. */
void rn_parallel(rn_task task, void *argument, int n_threads, int is_short);

/* Around the kernels of one run: how many threads rn_parallel may use at most when this thread calls it (1 outside a
 * run). Callers that run at the same time share the processors between them. rn_end_run takes what rn_begin_run returned,
 * so that a run inside a run leaves the outer one as it was. */
int rn_begin_run(int limit);
void rn_end_run(int before);
int rn_thread_limit(void);

/* Wait until all threads of the task are here. */
void rn_barrier(rn_barrier_state *barrier, int thread);

/* Nanoseconds of a clock that only goes forward. */
int64_t rn_now(void);

#endif
