/* Broadcast walks: visits an output in rows over which every operand is either contiguous or constant. */
#ifndef RN_WALK_H
#define RN_WALK_H

#include "kernel.h"
#include "vec.h"

#define RN_MAX_OPERANDS 3

typedef struct {
    int64_t shape[RN_MAX_DIMS + 1];
    int64_t stride[RN_MAX_OPERANDS][RN_MAX_DIMS + 1]; /* in elements; 0 along a broadcast axis */
    int ndim, operands;                               /* axis 0 is the innermost */
    int64_t rows;
} rn_walk;

/* Axes of extent 1 vanish, and neighbours that every operand steps through evenly become one. */
RN_INLINE void walk_init(rn_walk *w, const rn_tensor *out, const rn_tensor *const *in, int operands)
{
    int64_t step[RN_MAX_OPERANDS] = {1, 1, 1};
    w->ndim = 0;
    w->operands = operands;
    w->rows = out->size ? 1 : 0;
    w->shape[0] = 1;
    for (int k = 0; k < operands; k++)
        w->stride[k][0] = 1;
    for (int back = 1; back <= out->ndim; back++) {
        const int64_t extent = out->shape[out->ndim - back];
        int64_t stride[RN_MAX_OPERANDS];
        int merge = w->ndim > 0;
        for (int k = 0; k < operands; k++) {
            const int64_t have = back <= in[k]->ndim ? in[k]->shape[in[k]->ndim - back] : 1;
            stride[k] = have == 1 ? 0 : step[k];
            step[k] *= have;
            merge = merge && stride[k] == w->stride[k][w->ndim - 1] * w->shape[w->ndim - 1];
        }
        if (extent == 1)
            continue;
        if (merge) {
            w->shape[w->ndim - 1] *= extent;
            continue;
        }
        for (int k = 0; k < operands; k++)
            w->stride[k][w->ndim] = stride[k];
        w->shape[w->ndim++] = extent;
    }
    if (!w->ndim)
        w->ndim = 1;
    for (int d = 1; d < w->ndim; d++)
        w->rows *= w->shape[d];
}

/* Offsets of every operand at row `row`. */
RN_INLINE void walk_row(const rn_walk *w, int64_t row, int64_t *offset)
{
    for (int k = 0; k < w->operands; k++)
        offset[k] = 0;
    for (int d = 1; d < w->ndim; d++) {
        const int64_t index = row % w->shape[d];
        row /= w->shape[d];
        for (int k = 0; k < w->operands; k++)
            offset[k] += index * w->stride[k][d];
    }
}

/* Loads of at most a register, zero beyond n, so that a tail computes exactly what the body would. */
RN_INLINE vf32 vf32_load_n(const float *p, int64_t n)
{
    vf32 v = {0};
    if (n >= F32_LANES)
        return vf32_load(p);
    memcpy(&v, p, (size_t)n * 4);
    return v;
}
RN_INLINE void vf32_store_n(float *p, vf32 v, int64_t n)
{
    if (n >= F32_LANES)
        vf32_store(p, v);
    else
        memcpy(p, &v, (size_t)n * 4);
}
RN_INLINE vf64 vf64_load_n(const double *p, int64_t n)
{
    vf64 v = {0};
    if (n >= F64_LANES)
        return vf64_load(p);
    memcpy(&v, p, (size_t)n * 8);
    return v;
}
RN_INLINE void vf64_store_n(double *p, vf64 v, int64_t n)
{
    if (n >= F64_LANES)
        vf64_store(p, v);
    else
        memcpy(p, &v, (size_t)n * 8);
}

#endif
