/* What one core of this processor can do: multiply-adds a second from registers, and bytes a second streamed from
 * blocks of several sizes. Prints JSON. tools/bench/kernels.py compiles and runs it. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#ifdef __AVX512F__
#define BYTES 64
#elif defined(__AVX2__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define ACCUMULATORS 12
typedef float vec __attribute__((vector_size(BYTES)));

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float total(vec v)
{
    float sum = 0;
    for (size_t i = 0; i < BYTES / 4; i++)
        sum += v[i];
    return sum;
}

static volatile float keep;

static double flops(void)
{
    vec acc[ACCUMULATORS] = {0};
    vec a = (vec){0} + 0.999f, b = (vec){0} + 1e-3f;
    const long count = 2000000;
    double best = 0;
    for (int round = 0; round < 20; round++) {
        const double start = now();
        for (long i = 0; i < count; i++)
#pragma GCC unroll 12
            for (int k = 0; k < ACCUMULATORS; k++) {
                acc[k] = acc[k] * a + b;
                __asm__ volatile("" : "+v"(acc[k]));
            }
        const double rate = 2.0 * count * ACCUMULATORS * (BYTES / 4) / (now() - start);
        best = rate > best ? rate : best;
    }
#pragma GCC unroll 12
    for (int k = 0; k < ACCUMULATORS; k++)
        keep = total(acc[k]);
    return best;
}

static double stream(size_t bytes)
{
    const size_t room = (bytes + (2u << 20) - 1) / (2u << 20) * (2u << 20);
    float *data = aligned_alloc(2u << 20, room);
    if (!data)
        exit(1);
#ifdef MADV_HUGEPAGE
    madvise(data, room, MADV_HUGEPAGE);
#endif
    for (size_t i = 0; i < bytes / 4; i++)
        data[i] = 1e-6f;
    const long passes = (long)((256u << 20) / bytes) + 1;
    double best = 0;
    for (int round = 0; round < 5; round++) {
        vec acc[8] = {0};
        const double start = now();
        for (long pass = 0; pass < passes; pass++)
            for (size_t i = 0; i < bytes / BYTES; i += 8)
#pragma GCC unroll 8
                for (int k = 0; k < 8; k++)
                    acc[k] += *(const vec *)((const char *)data + (i + (size_t)k) * BYTES);
        const double rate = (double)bytes * (double)passes / (now() - start);
        best = rate > best ? rate : best;
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++)
            keep = total(acc[k]);
    }
    free(data);
    return best;
}

int main(void)
{
    const size_t kib[] = {16, 512, 8192, 262144};
    const char *names[] = {"l1", "l2", "l3", "dram"};
    printf("{\"flops\": %.4g", flops());
    for (int i = 0; i < 4; i++)
        printf(", \"%s\": %.4g", names[i], stream(kib[i] << 10));
    printf("}\n");
    return 0;
}
