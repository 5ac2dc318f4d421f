/* Many callers share the kernels' threads; each job's parts meet at barriers and read what the others wrote before. Built
 * with -fsanitize=thread, so that a data race ends the program with an error. Arguments: callers, seconds. */
#include "isa/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 20

void rn_flush_denormals(void) {}

typedef struct {
    int64_t cells[RN_MAX_THREADS][8]; /* a line of each thread; written in one round, read by all in the next */
    int64_t wrong[RN_MAX_THREADS][8];
} job;

static int64_t until;
static int64_t jobs, failures;

static void part(void *argument, int thread, int n_threads, rn_barrier_state *barrier)
{
    job *j = argument;
    for (int round = 1; round <= ROUNDS; round++) {
        j->cells[thread][0] = round * 1000 + thread;
        if (barrier)
            rn_barrier(barrier, thread);
        for (int other = 0; other < n_threads; other++)
            j->wrong[thread][0] += j->cells[other][0] != round * 1000 + other;
        if (barrier)
            rn_barrier(barrier, thread);
    }
}

static void *caller(void *number)
{
    const long id = (long)number;
    while (rn_now() < until) {
        job *j = calloc(1, sizeof *j);
        const int before = rn_begin_run(2 + id % 3);
        rn_parallel(part, j, 4, id % 2);
        rn_end_run(before);
        for (int thread = 0; thread < RN_MAX_THREADS; thread++)
            __atomic_add_fetch(&failures, j->wrong[thread][0], __ATOMIC_RELAXED);
        __atomic_add_fetch(&jobs, 1, __ATOMIC_RELAXED);
        free(j);
    }
    return NULL;
}

int main(int count, char **words)
{
    const int callers = count > 1 ? atoi(words[1]) : 4;
    until = rn_now() + (int64_t)(1e9 * (count > 2 ? atof(words[2]) : 2));
    pthread_t threads[64];
    for (long i = 0; i < callers; i++)
        pthread_create(&threads[i], NULL, caller, (void *)i);
    for (int i = 0; i < callers; i++)
        pthread_join(threads[i], NULL);
    printf("%lld jobs, %lld failures\n", (long long)jobs, (long long)failures);
    return failures != 0 || jobs == 0;
}
