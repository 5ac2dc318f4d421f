/* unary: out = f(in), f by number (ints[0]), parameters in floats. float32 and float64; a few for int32 and int64. */
#include "kernel.h"
#include "vecmath.h"
#include "walk.h"

/* Functions that few networks use go through libm lane by lane. */
#define RARE(name)                                                                                                     \
    RN_LANES(vf32, vf32_##name, float, F32_LANES, name##f(v))                                                          \
    RN_LANES(vf64, vf64_##name, double, F64_LANES, name(v))
RARE(tan)
RARE(asin)
RARE(acos)
RARE(atan)
RARE(sinh)
RARE(cosh)
RARE(asinh)
RARE(acosh)
RARE(atanh)

/* E(name): the vector function of the type at hand; x: the argument; p, q: the parameters. */
#define UNARY_TABLE(OP)                                                                                                \
    OP(0, E(sqrt)(x))                                                                                                  \
    OP(1, E(log)(x))                                                                                                   \
    OP(2, E(exp)(x))                                                                                                   \
    OP(3, E(sigmoid)(x))                                                                                               \
    OP(4, E(tanh)(x))                                                                                                  \
    OP(5, E(erf)(x))                                                                                                   \
    OP(6, E(select)(x < 0, p * E(expm1)(E(min)(x, zero)), x)) /* Elu */                                                \
    OP(7, E(select)(x < 0, p * x, x))                         /* LeakyRelu */                                          \
    OP(8, x / (1 + E(abs)(x)))                                                                                         \
    OP(9, E(max)(x, zero) + E(log1p)(E(exp)(-E(abs)(x))))                                                              \
    OP(10, E(min)(E(max)(p * x + q, zero), one))                                                                       \
    OP(11, half * x * (1 + E(erf)(x * E(set)(0.70710678118654752440))))                                                \
    OP(12, half * x * (1 + E(tanh)(E(set)(0.79788456080286535588) * (x + E(set)(0.044715) * x * x * x))))              \
    OP(13, 1 / x)                                                                                                      \
    OP(14, E(floor)(x))                                                                                                \
    OP(15, E(ceil)(x))                                                                                                 \
    OP(16, E(round)(x))                                                                                                \
    OP(17, q * E(select)(x < 0, p * E(expm1)(E(min)(x, zero)), x)) /* Selu */                                          \
    OP(18, E(select)(x <= p, zero, x))                             /* ThresholdedRelu */                               \
    OP(19, x * E(min)(E(max)(x / 6 + half, zero), one))            /* HardSwish */                                     \
    OP(20, E(max)(x, zero) + E(min)(p * E(expm1)(E(min)(x, zero) / p), zero)) /* Celu */                               \
    OP(21, x * E(tanh)(E(max)(x, zero) + E(log1p)(E(exp)(-E(abs)(x)))))       /* Mish */                               \
    OP(22, E(sin)(x))                                                                                                  \
    OP(23, E(cos)(x))                                                                                                  \
    OP(24, -x)                                                                                                         \
    OP(25, E(abs)(x))                                                                                                  \
    OP(26, E(max)(x, zero))                                                                                            \
    OP(27, E(select)(x > 0, one, E(select)(x < 0, -one, x)))                                                           \
    OP(28, E(tan)(x))                                                                                                  \
    OP(29, E(asin)(x))                                                                                                 \
    OP(30, E(acos)(x))                                                                                                 \
    OP(31, E(atan)(x))                                                                                                 \
    OP(32, E(sinh)(x))                                                                                                 \
    OP(33, E(cosh)(x))                                                                                                 \
    OP(34, E(asinh)(x))                                                                                                \
    OP(35, E(acosh)(x))                                                                                                \
    OP(36, E(atanh)(x))

#define CASE(number, expression)                                                                                       \
    case number:                                                                                                       \
        for (int64_t i = 0; i < n; i += LANES) {                                                                       \
            const VEC x = E(load_n)(in + i, n - i);                                                                    \
            E(store_n)(out + i, expression, n - i);                                                                    \
        }                                                                                                              \
        return RN_OK;

#define DEFINE(function, type)                                                                                         \
    static int function(int64_t op, const type *in, type *out, int64_t n, type p_, type q_)                           \
    {                                                                                                                  \
        const VEC p = E(set)(p_), q = E(set)(q_), zero = E(set)(0), one = E(set)(1), half = E(set)(0.5f);              \
        (void)p, (void)q, (void)zero, (void)one, (void)half;                                                           \
        switch (op) { UNARY_TABLE(CASE) }                                                                              \
        return RN_BAD_VALUE;                                                                                           \
    }

#define E(name) vf32_##name
#define VEC vf32
#define LANES F32_LANES
DEFINE(unary_f32, float)
#undef E
#undef VEC
#undef LANES
#define E(name) vf64_##name
#define VEC vf64
#define LANES F64_LANES
DEFINE(unary_f64, double)

enum { NEG = 24, ABS = 25, RELU = 26, SIGN = 27 };

#define DEFINE_INT(function, type, wide)                                                                               \
    static int function(int64_t op, const type *in, type *out, int64_t n)                                              \
    {                                                                                                                  \
        switch (op) {                                                                                                  \
        case NEG: for (int64_t i = 0; i < n; i++) out[i] = (type)(0 - (wide)in[i]); return RN_OK;                      \
        case ABS: for (int64_t i = 0; i < n; i++) out[i] = in[i] < 0 ? (type)(0 - (wide)in[i]) : in[i]; return RN_OK;  \
        case RELU: for (int64_t i = 0; i < n; i++) out[i] = in[i] > 0 ? in[i] : 0; return RN_OK;                       \
        case SIGN: for (int64_t i = 0; i < n; i++) out[i] = (in[i] > 0) - (in[i] < 0); return RN_OK;                   \
        }                                                                                                              \
        return RN_BAD_VALUE;                                                                                           \
    }
DEFINE_INT(unary_i32, int32_t, uint32_t)
DEFINE_INT(unary_i64, int64_t, uint64_t)

RN_KERNEL(unary)
{
    const rn_tensor *in = call->in[0], *out = call->out[0];
    const double p = call->n_floats > 0 ? call->floats[0] : 0, q = call->n_floats > 1 ? call->floats[1] : 0;
    if (in->dtype == RN_F32)
        return unary_f32(call->ints[0], in->data, out->data, out->size, (float)p, (float)q);
    if (in->dtype == RN_F64)
        return unary_f64(call->ints[0], in->data, out->data, out->size, p, q);
    if (in->dtype == RN_I32)
        return unary_i32(call->ints[0], in->data, out->data, out->size);
    if (in->dtype == RN_I64)
        return unary_i64(call->ints[0], in->data, out->data, out->size);
    return RN_BAD_DTYPE;
}

/* NaN in the array or in a bound gives NaN. */
#define CLIP(type, lowest, highest)                                                                                    \
    {                                                                                                                  \
        const type low = call->in[1] ? *(const type *)call->in[1]->data : lowest;                                      \
        const type high = call->in[2] ? *(const type *)call->in[2]->data : highest;                                    \
        const type *in = x->data;                                                                                      \
        type *out = y->data;                                                                                           \
        for (int64_t i = 0; i < y->size; i++) {                                                                        \
            const type v = in[i] < low || low != low ? low : in[i];                                                    \
            out[i] = v > high || high != high ? high : v;                                                              \
        }                                                                                                              \
        return RN_OK;                                                                                                  \
    }

/* IN x, lower and upper bound (one element, or absent). OUT x between the bounds; float32, float64, int32, int64. */
RN_KERNEL(clip)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    switch (x->dtype) {
    case RN_F32: CLIP(float, -INFINITY, INFINITY)
    case RN_F64: CLIP(double, -INFINITY, INFINITY)
    case RN_I32: CLIP(int32_t, INT32_MIN, INT32_MAX)
    case RN_I64: CLIP(int64_t, INT64_MIN, INT64_MAX)
    }
    return RN_BAD_DTYPE;
}
