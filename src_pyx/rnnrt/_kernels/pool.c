/* The pool behind isa/pool.h: persistent threads that spin for a moment after work and then sleep on a futex.
 *
 * One caller at a time gets the threads; another one that comes meanwhile runs alone, so that callers never wait
 * for each other. After fork the child starts with no threads and makes its own when it first needs them. */
#define _GNU_SOURCE
#include "isa/pool.h"

#include "dispatch.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

#define RN_MAX_THREADS 64
#define SPIN_NANOSECONDS 50000
#define SPINS_BEFORE_YIELD 4096

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

static struct {
    pthread_mutex_t mutex; /* held by the caller that has the threads */
    int32_t started;       /* worker threads that exist */
    rn_task task;
    void *argument;
    int32_t n_threads; /* of the current job, the caller included */
    rn_barrier_state barrier;
    char apart0[64];
    int32_t epoch; /* grows with each job; workers sleep on it */
    char apart1[60];
    int32_t sleeping;
    char apart2[60];
    int32_t running; /* workers that have not finished the current job */
    char apart3[60];
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local int thread_limit = 1;

static void sleep_while(int32_t *word, int32_t value)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    struct timespec moment = {0, 100000};
    (void)word, (void)value;
    nanosleep(&moment, NULL);
#endif
}

static void wake_all(int32_t *word)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, RN_MAX_THREADS, NULL, NULL, 0);
#else
    (void)word;
#endif
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Wait for the word to change: spin for a while, then sleep. */
static void wait_for_job(int32_t seen)
{
    int64_t start = now();
    do {
        for (int i = 0; i < 256; i++) {
            if (__atomic_load_n(&pool.epoch, __ATOMIC_ACQUIRE) != seen)
                return;
            PAUSE();
        }
    } while (now() - start < SPIN_NANOSECONDS);
    __atomic_add_fetch(&pool.sleeping, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&pool.epoch, __ATOMIC_SEQ_CST) == seen)
        sleep_while(&pool.epoch, seen);
    __atomic_sub_fetch(&pool.sleeping, 1, __ATOMIC_SEQ_CST);
}

static void *worker(void *start)
{
    int id = (int)((intptr_t)start & 255);
    int32_t seen = (int32_t)((intptr_t)start >> 8);
    rn_flush_denormals();
    for (;;) {
        wait_for_job(seen);
        seen = __atomic_load_n(&pool.epoch, __ATOMIC_ACQUIRE);
        if (id < pool.n_threads)
            pool.task(pool.argument, id, pool.n_threads, &pool.barrier);
        __atomic_sub_fetch(&pool.running, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void forget_threads(void)
{
    /* In the child of a fork: the threads are gone, and so is whoever held the mutex. */
    pthread_mutex_init(&pool.mutex, NULL);
    pool.started = pool.sleeping = pool.running = pool.epoch = 0;
}

static void register_fork_handler(void)
{
    pthread_atfork(NULL, NULL, forget_threads);
}

/* Called with the mutex held and no job running, so that the epoch stands still: the new threads wait for the next. */
static void start_threads(int wanted)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);
    while (pool.started < wanted && pool.started < RN_MAX_THREADS - 1) {
        pthread_attr_t attributes;
        pthread_t thread;
        sigset_t all, before;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        /* Signals belong to the program's own threads. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int failed = pthread_create(&thread, &attributes, worker, (void *)(((intptr_t)pool.epoch << 8) | (pool.started + 1)));
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
        if (failed)
            return;
        pool.started++;
    }
}

void rn_set_thread_limit(int limit)
{
    thread_limit = limit < 1 ? 1 : limit > RN_MAX_THREADS ? RN_MAX_THREADS : limit;
}

int rn_thread_limit(void)
{
    return thread_limit;
}

void rn_parallel(rn_task task, void *argument, int n_threads)
{
    rn_barrier_state alone = {.n_threads = 1};
    if (n_threads > thread_limit)
        n_threads = thread_limit;
    if (n_threads < 2 || pthread_mutex_trylock(&pool.mutex)) {
        task(argument, 0, 1, &alone);
        return;
    }
    if (pool.started < n_threads - 1)
        start_threads(n_threads - 1);
    if (pool.started < n_threads - 1)
        n_threads = pool.started + 1;
    pool.task = task;
    pool.argument = argument;
    pool.n_threads = n_threads;
    pool.barrier = (rn_barrier_state){.n_threads = n_threads};
    __atomic_store_n(&pool.running, pool.started, __ATOMIC_RELAXED);
    __atomic_add_fetch(&pool.epoch, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool.sleeping, __ATOMIC_SEQ_CST))
        wake_all(&pool.epoch);
    task(argument, 0, n_threads, &pool.barrier);
    for (int spins = 0; __atomic_load_n(&pool.running, __ATOMIC_ACQUIRE); spins++)
        if (spins < SPINS_BEFORE_YIELD)
            PAUSE();
        else
            sched_yield();
    pthread_mutex_unlock(&pool.mutex);
}

void rn_barrier(rn_barrier_state *barrier)
{
    if (barrier->n_threads == 1)
        return;
    int32_t generation = __atomic_load_n(&barrier->generation, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_ACQ_REL) == barrier->n_threads) {
        __atomic_store_n(&barrier->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&barrier->generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&barrier->generation, __ATOMIC_ACQUIRE) == generation; spins++)
        if (spins < SPINS_BEFORE_YIELD)
            PAUSE();
        else
            sched_yield();
}
