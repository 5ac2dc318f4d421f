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

#define SPIN_NANOSECONDS 50000
#define SPINS_BEFORE_PAUSE 128
#define SPINS_BEFORE_YIELD 4096
/* After a call that no thread was awake for: short work lasts longer than the usual moment. */
#define LONG_SPIN_NANOSECONDS 150000
#define SHY_NANOSECONDS 1000000
#define MOST_SHY_NANOSECONDS 16000000
#define DISTURBANCES 3

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
    int32_t cpu;       /* where its caller runs */
    char apart[64];
    rn_barrier_state barrier;
    char apart0[64];
    int32_t epoch; /* grows with each job; workers sleep on it */
    char apart1[60];
    int32_t sleeping;
    char apart2[60];
    int32_t running; /* workers that have not finished the current job */
    int64_t short_done; /* when short work last ended */
    int64_t shy_until, shy_next; /* until when jobs run alone, and for how long after the next disturbance */
    char apart3[32];
    int32_t disturbed; /* how often a thread of the current job was missed at a barrier */
    char apart4[60];
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local int thread_limit = 1;
static int32_t callers; /* runs under way that may use threads */

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

int64_t rn_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Wait for the word to change: spin for a while, then sleep. */
static void wait_for_job(int32_t seen, int64_t spin)
{
    int64_t start = rn_now();
    do {
        for (int i = 0; i < 256; i++) {
            if (__atomic_load_n(&pool.epoch, __ATOMIC_ACQUIRE) != seen)
                return;
            PAUSE();
        }
    } while (rn_now() - start < spin);
    __atomic_add_fetch(&pool.sleeping, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&pool.epoch, __ATOMIC_SEQ_CST) == seen)
        sleep_while(&pool.epoch, seen);
    __atomic_sub_fetch(&pool.sleeping, 1, __ATOMIC_SEQ_CST);
}

static int32_t current_cpu(void)
{
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

/* A woken thread may find itself on its caller's processor, where each would wait for the other to be descheduled.
 * Forbidding that one for a moment moves the thread; where it runs afterwards is the system's choice again. */
static void leave_cpu(int32_t cpu)
{
#ifdef __linux__
    cpu_set_t allowed, others;
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    others = allowed;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof allowed, &allowed);
#else
    (void)cpu;
#endif
}

static void *worker(void *start)
{
    int id = (int)((intptr_t)start & 255);
    int32_t seen = (int32_t)((intptr_t)start >> 8);
    int64_t spin = SPIN_NANOSECONDS;
    rn_flush_denormals();
    for (;;) {
        wait_for_job(seen, spin);
        seen = __atomic_load_n(&pool.epoch, __ATOMIC_ACQUIRE);
        spin = pool.n_threads ? SPIN_NANOSECONDS : LONG_SPIN_NANOSECONDS;
        if (id < pool.n_threads) {
            if (pool.cpu == current_cpu())
                leave_cpu(pool.cpu);
            pool.task(pool.argument, id, pool.n_threads, &pool.barrier);
        }
        __atomic_sub_fetch(&pool.running, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void forget_threads(void)
{
    /* In the child of a fork: the threads are gone, and so is whoever held the mutex. */
    pthread_mutex_init(&pool.mutex, NULL);
    pool.started = pool.sleeping = pool.running = pool.epoch = 0;
    callers = thread_limit > 1;
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

int rn_begin_run(int limit)
{
    const int before = thread_limit;
    thread_limit = limit < 1 ? 1 : limit > RN_MAX_THREADS ? RN_MAX_THREADS : limit;
    if (thread_limit > 1)
        __atomic_add_fetch(&callers, 1, __ATOMIC_RELAXED);
    return before;
}

void rn_end_run(int before)
{
    if (thread_limit > 1)
        __atomic_sub_fetch(&callers, 1, __ATOMIC_RELAXED);
    thread_limit = before;
}

int rn_thread_limit(void)
{
    return thread_limit;
}

/* Whether short work gets threads: only those that are awake. If such work comes in quick succession they are woken
 * for what follows. */
static int awake(void)
{
    const int32_t sleeping = __atomic_load_n(&pool.sleeping, __ATOMIC_SEQ_CST);
    if (pool.started && !sleeping)
        return 1;
    if (rn_now() - __atomic_load_n(&pool.short_done, __ATOMIC_RELAXED) > SPIN_NANOSECONDS)
        return 0;
    if (!pool.started)
        return 1;
    pool.n_threads = 0; /* a job for nobody */
    __atomic_store_n(&pool.running, pool.started, __ATOMIC_RELAXED);
    __atomic_add_fetch(&pool.epoch, 1, __ATOMIC_SEQ_CST);
    wake_all(&pool.epoch);
    return 0;
}

/* Threads that meet at barriers stand still when one of them has lost its processor to another program. After a job in
 * which that happened the next ones of a moment run alone, which is slower than on two free processors but several times
 * faster than on one and a half. */
static int shy(void)
{
    if (!pool.shy_until)
        return 0;
    if (rn_now() < pool.shy_until)
        return 1;
    pool.shy_until = 0;
    return 0;
}

void rn_parallel(rn_task task, void *argument, int n_threads, int is_short)
{
    if (n_threads > thread_limit)
        n_threads = thread_limit;
    if (n_threads > 1) {
        const int32_t others = __atomic_load_n(&callers, __ATOMIC_RELAXED);
        n_threads = others > 1 ? n_threads / others : n_threads;
    }
    if (n_threads < 2 || pthread_mutex_trylock(&pool.mutex)) {
        task(argument, 0, 1, NULL);
        return;
    }
    if (__atomic_load_n(&pool.running, __ATOMIC_ACQUIRE) || shy() || (is_short && !awake())) {
        pthread_mutex_unlock(&pool.mutex);
        task(argument, 0, 1, NULL);
        if (is_short)
            __atomic_store_n(&pool.short_done, rn_now(), __ATOMIC_RELAXED);
        return;
    }
    if (pool.started < n_threads - 1)
        start_threads(n_threads - 1);
    if (pool.started < n_threads - 1)
        n_threads = pool.started + 1;
    pool.task = task;
    pool.argument = argument;
    pool.n_threads = n_threads;
    pool.cpu = current_cpu();
    pool.barrier.n_threads = n_threads;
    pool.disturbed = 0;
    for (int i = 0; i < n_threads; i++) {
        pool.barrier.of[i].arrivals = 0;
        pool.barrier.of[i].cpu = -1;
    }
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
    if (pool.disturbed > DISTURBANCES) {
        pool.shy_next = pool.shy_next ? pool.shy_next : SHY_NANOSECONDS;
        pool.shy_until = rn_now() + pool.shy_next;
        pool.shy_next = 2 * pool.shy_next < MOST_SHY_NANOSECONDS ? 2 * pool.shy_next : MOST_SHY_NANOSECONDS;
    } else {
        pool.shy_next = 0;
    }
    pthread_mutex_unlock(&pool.mutex);
}

void rn_barrier(rn_barrier_state *barrier, int thread)
{
    const uint32_t arrivals = barrier->of[thread].arrivals + 1;
    __atomic_store_n(&barrier->of[thread].cpu, current_cpu(), __ATOMIC_RELAXED);
    __atomic_store_n(&barrier->of[thread].arrivals, arrivals, __ATOMIC_RELEASE);
    for (int i = 0; i < barrier->n_threads; i++)
        for (int spins = 0; (int32_t)(__atomic_load_n(&barrier->of[i].arrivals, __ATOMIC_ACQUIRE) - arrivals) < 0; spins++)
            if (spins < SPINS_BEFORE_PAUSE)
                continue;
            else if (spins < SPINS_BEFORE_YIELD)
                PAUSE();
            else if (spins == SPINS_BEFORE_YIELD)
                __atomic_add_fetch(&pool.disturbed, 1, __ATOMIC_RELAXED);
            else if (thread && __atomic_load_n(&barrier->of[i].cpu, __ATOMIC_RELAXED) == current_cpu())
                leave_cpu(current_cpu());
            else
                sched_yield();
}
