/* Mean and inverse deviation of a row, held in double precision. */
#ifndef RN_MOMENTS_H
#define RN_MOMENTS_H

#include <math.h>
#include <stdint.h>

#define ACCUMULATORS 8

/* Element i goes to accumulator i mod ACCUMULATORS. */
#define DEFINE_MOMENTS(name, type)                                                                                     \
    static void name(const type *x, int64_t n, double epsilon, double *mean, double *inverse)                          \
    {                                                                                                                  \
        double sums[ACCUMULATORS] = {0}, squares[ACCUMULATORS] = {0}, total = 0;                                       \
        int64_t i = 0;                                                                                                 \
        for (; i + ACCUMULATORS <= n; i += ACCUMULATORS)                                                               \
            for (int k = 0; k < ACCUMULATORS; k++)                                                                     \
                sums[k] += x[i + k];                                                                                   \
        for (int k = 0; i + k < n; k++)                                                                                \
            sums[k] += x[i + k];                                                                                       \
        for (int k = 0; k < ACCUMULATORS; k++)                                                                         \
            total += sums[k];                                                                                          \
        const double m = total / (double)n;                                                                            \
        for (i = 0; i + ACCUMULATORS <= n; i += ACCUMULATORS)                                                          \
            for (int k = 0; k < ACCUMULATORS; k++)                                                                     \
                squares[k] += (x[i + k] - m) * (x[i + k] - m);                                                         \
        for (int k = 0; i + k < n; k++)                                                                                \
            squares[k] += (x[i + k] - m) * (x[i + k] - m);                                                             \
        total = 0;                                                                                                     \
        for (int k = 0; k < ACCUMULATORS; k++)                                                                         \
            total += squares[k];                                                                                       \
        *mean = m;                                                                                                     \
        *inverse = 1 / sqrt(total / (double)n + epsilon);                                                              \
    }
DEFINE_MOMENTS(moments_f32, float)
DEFINE_MOMENTS(moments_f64, double)

#endif
