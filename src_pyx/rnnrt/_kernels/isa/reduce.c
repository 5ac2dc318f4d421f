/* Reductions over any axes, in one order whatever the other axes hold. */
#include "kernel.h"
#include "vecmath.h"
#include "walk.h"

enum { SUM, MEAN, MAX, MIN, PROD, L1, L2, SUM_SQUARE, LOG_SUM, LOG_SUM_EXP };

/* Some of the axes of an array: how many places they have, and where these lie. */
typedef struct {
    int64_t count;
    int n;
    int64_t extent[RN_MAX_DIMS], stride[RN_MAX_DIMS]; /* innermost first, in elements */
} rn_axes;

/* `rows`: the innermost axis is reduced, else it is kept; it has `inner` elements and is part of neither list. */
typedef struct {
    rn_axes kept, gone;
    int64_t inner;
    int rows;
} rn_reduction;

RN_INLINE int64_t axes_offset(const rn_axes *axes, int64_t index)
{
    int64_t offset = 0;
    int d = 0;
    for (; d + 1 < axes->n; d++) {
        offset += index % axes->extent[d] * axes->stride[d];
        index /= axes->extent[d];
    }
    return d < axes->n ? offset + index * axes->stride[d] : offset;
}

RN_INLINE double finite_or_zero(double x) { return x - x == 0 ? x : 0; }
RN_INLINE vf64 wide_start(int op) { return vf64_set(op == PROD ? 1 : 0); }
/* The element that changes nothing. */
RN_INLINE double wide_neutral(int op) { return op == PROD ? 1 : op == LOG_SUM_EXP ? -INFINITY : 0; }
RN_INLINE vf64 wide_step(int op, vf64 acc, vf64 x, vf64 top)
{
    switch (op) {
    case PROD: return acc * x;
    case L1: return acc + vf64_abs(x);
    case L2:
    case SUM_SQUARE: return acc + x * x;
    case LOG_SUM_EXP: return acc + vf64_exp(x - top);
    default: return acc + x;
    }
}
RN_INLINE double wide_end(int op, double total, double top, double count)
{
    switch (op) {
    case MEAN: return total / count;
    case L2: return sqrt(total);
    case LOG_SUM: return log(total);
    case LOG_SUM_EXP: return log(total) + top;
    default: return total;
    }
}

#define RN_REAL_BITS 32
#include "real.h"
#include "reduce_body.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "reduce_body.h"

/* Integers: sums and products wrap. `wide` is the unsigned type of the same size. */
#define LOOP(number, start, expression)                                                                                \
    case number:                                                                                                       \
        for (int64_t o = 0; o < r->kept.count; o++)                                                                    \
            for (int64_t c = 0; c < columns; c++) {                                                                    \
                wide acc = (wide)(start);                                                                              \
                for (int64_t k = 0; k < r->gone.count; k++) {                                                          \
                    const type *p = x + axes_offset(&r->kept, o) + axes_offset(&r->gone, k) + c;                       \
                    for (int64_t i = 0; i < n; i++) {                                                                  \
                        const wide v = (wide)p[i];                                                                     \
                        acc = (wide)(expression);                                                                      \
                    }                                                                                                  \
                }                                                                                                      \
                y[o * columns + c] = (type)acc;                                                                        \
            }                                                                                                          \
        return RN_OK;
#define DEFINE_INT(name, type_, wide_, lowest, highest)                                                                \
    static int name(int64_t op, const rn_reduction *r, const type_ *x, type_ *y)                                       \
    {                                                                                                                  \
        typedef type_ type;                                                                                            \
        typedef wide_ wide;                                                                                            \
        const int64_t columns = r->rows ? 1 : r->inner, n = r->rows ? r->inner : 1;                                    \
        switch (op) {                                                                                                  \
            LOOP(SUM, 0, acc + v)                                                                                      \
            LOOP(PROD, 1, acc * v)                                                                                     \
            LOOP(MAX, lowest, (type)v > (type)acc ? v : acc)                                                           \
            LOOP(MIN, highest, (type)v < (type)acc ? v : acc)                                                          \
            LOOP(L1, 0, acc + ((type)v < 0 ? 0 - v : v))                                                               \
            LOOP(SUM_SQUARE, 0, acc + v * v)                                                                           \
        }                                                                                                              \
        return RN_BAD_VALUE;                                                                                           \
    }
DEFINE_INT(reduce_i32, int32_t, uint32_t, INT32_MIN, INT32_MAX)
DEFINE_INT(reduce_i64, int64_t, uint64_t, INT64_MIN, INT64_MAX)
DEFINE_INT(reduce_u8, uint8_t, uint32_t, 0, UINT8_MAX)
DEFINE_INT(reduce_i8, int8_t, uint32_t, INT8_MIN, INT8_MAX)
DEFINE_INT(reduce_bool, uint8_t, uint32_t, 0, 1)

/* IN x; ints: op, whether the innermost axis is reduced, then the extents of x with neighbours of one kind joined,
 * innermost first: kept and reduced ones take turns. OUT the reduced array.
 * float32, float64, int32, int64; the other integers and bool for MAX and MIN. */
RN_KERNEL(reduce)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    const int64_t op = call->ints[0];
    rn_reduction r = {.rows = (int)call->ints[1], .inner = call->ints[2]};
    int64_t step = r.inner;
    r.kept.count = r.gone.count = 1;
    for (int i = 3; i < call->n_ints; i++) {
        rn_axes *axes = (i % 2 != 0) == (r.rows != 0) ? &r.kept : &r.gone;
        axes->extent[axes->n] = call->ints[i];
        axes->stride[axes->n++] = step;
        axes->count *= call->ints[i];
        step *= call->ints[i];
    }
    switch (x->dtype) {
    case RN_F32: return reduce_f32(op, &r, x->data, y->data);
    case RN_F64: return reduce_f64(op, &r, x->data, y->data);
    case RN_I32: return reduce_i32(op, &r, x->data, y->data);
    case RN_I64: return reduce_i64(op, &r, x->data, y->data);
    case RN_U8: return reduce_u8(op, &r, x->data, y->data);
    case RN_I8: return reduce_i8(op, &r, x->data, y->data);
    case RN_BOOL: return reduce_bool(op, &r, x->data, y->data);
    }
    return RN_BAD_DTYPE;
}
